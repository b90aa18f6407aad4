/**
 * A gateway under a frame script, between a guest and a host that do what the script says, on a virtual clock.
 *
 * After every frame it looks whether the gateway keeps its promises: nothing is thrown; the frame moved exactly one
 * counter or had an effect; one from an address of nobody had none; nobody was asked whom no guest may reach; flows,
 * timers, buffers and answers stay within their bounds; and every frame that came out is a whole one with right lengths
 * and checksums, for this guest (`sent_frames.ts`). At the end nothing may be left.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { LARGE_BUFFER } from "../../nat/base/buffers.ts";
import { type Counters, DROP_REASONS, type DropReason } from "../../nat/base/counters.ts";
import type { Guest } from "../../nat/guest.ts";
import type { HostError } from "../../nat/host.ts";
import { SILENT } from "../../nat/base/logger.ts";
import { Nat } from "../../nat/nat.ts";
import { MAX_MAPPINGS } from "../../nat/relay/mappings.ts";
import { MAX_DNS_PENDING } from "../../nat/service/dns_service.ts";
import type { TcpState } from "../../nat/tcp/transitions.ts";
import { DEFAULT_RULES } from "../../nat/rules/rule.ts";
import { RuleList } from "../../nat/rules/rule_list.ts";
import { createTranslationRules } from "../../nat/rules/translation_options.ts";
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, Frame } from "../../net/wire/frame.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { familyOf } from "../../nat/rules/policy.ts";
import { segmentOf } from "../../nat/rules/segment.ts";
import type { HostAddresses, Ipv6Routes } from "../../nat/host.ts";
import { endpoint } from "../support/forward_script.ts";
import { nameRule } from "../support/name_rules.ts";
import { OtherGuest } from "../support/other_guest.ts";
import type { ScriptPingSocket, ScriptUdpSocket } from "../support/script_datagram.ts";
import { ScriptHost, ScriptTcpSocket } from "../support/script_host.ts";
import {
  answeredAddress,
  asksDns,
  asksRouter,
  isFragment,
  isSpoofed,
  playsRouter,
  protocolOf,
  tcpKey,
  withoutPriority,
} from "./guest_frames.ts";
import { payloadOf, ScriptGuest } from "./guest_script.ts";
import { HostTargets } from "./host_targets.ts";
import { type Action, FRAME_VERBS } from "./script.ts";
import { SentFrames } from "./sent_frames.ts";

/** A host with one address of each family beside loopback. */
const HOST: HostAddresses = {
  version: () => 0,
  has: (address) => ["192.0.2.9", "2001:db8:1::9"].includes(`${address}`),
};
/** Frames that one frame of the guest may bring about: what a window of data is cut into. */
const MOST_FRAMES = 4096;
/** Bytes that a fragment carries at least, but the last one: what fits behind all headers in the least MTU of IPv4. */
const LEAST_FILLED = 480;
/** Beyond so many flows they are counted and not looked at one by one, which would take too long. */
const MANY_FLOWS = 64;

/** The host's default route for IPv6, which it does not have at first. */
class ScriptRoutes implements Ipv6Routes {
  readonly listeners = new Set<() => void>();
  #has = false;

  has(): boolean {
    return this.#has;
  }

  changed(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** It comes or goes. */
  set(has: boolean): void {
    if (has === this.#has) return;
    this.#has = has;
    for (const listener of this.listeners) listener();
  }
}

/** A gateway and what a script does to it. */
export class FuzzTarget {
  readonly host: ScriptHost;
  readonly nat: Nat;
  readonly guest: Guest;
  readonly script = new ScriptGuest();
  /** Every TCP state that a flow was seen in. */
  readonly states = new Set<TcpState | "draining" | "open">();
  /** Every line as it was played: frames are there as bytes. */
  readonly played: string[] = [];

  #routes = new ScriptRoutes();
  #maxFlows: number;
  #maxBufferBytes: number;
  #taken: number;
  #sent: SentFrames;
  #targets: HostTargets;
  #linkTakes = true;
  #linkGone = false;
  #others: OtherGuest[] = [];
  /** Clients of forwards. */
  #clients: ScriptTcpSocket[] = [];

  /** A gateway as an `options` line says. */
  constructor(options: ReadonlyMap<string, string> = new Map()) {
    const number = (name: string, otherwise: number) => Number(options.get(name) ?? otherwise);
    const mtu = number("mtu", 1500);
    this.#sent = new SentFrames({
      mtu,
      mac: () => this.guest.mac,
      segment: (bytes, tcp, end) => this.script.received(bytes, tcp, end),
    });
    this.#maxFlows = number("maxFlows", 16);
    this.#maxBufferBytes = number("maxBufferBytes", 1 << 20);
    const allowed = options.get("allowName");
    const dnsServers = options.get("dns") === "none" ? null : [options.get("dns") ?? "127.0.0.53"];
    this.host = Object.assign(new ScriptHost(), { ipv6Routes: this.#routes });
    this.#targets = new HostTargets(this.host);
    this.nat = new Nat({
      host: this.host,
      rules: createTranslationRules({
        dnsServers,
        families: (options.get("families") ?? "both") as "both" | "ipv4" | "ipv6",
        nat64: options.get("nat64") === "yes",
        hostLoopback: options.get("hostLoopback") !== "no",
        hostAddresses: options.get("hostAddresses") === "no" ? HOST : null,
        ...(allowed !== undefined && { egress: new RuleList([nameRule("allow", allowed), ...DEFAULT_RULES]) }),
      }),
      ...(options.get("audit") === "no" && { records: { isAvailable: false } }),
      ...(options.get("decide") === "no" && { decide: () => "refuse" }),
      namesTtlS: number("namesTtl", 3600),
      logger: SILENT,
      random: () => 7,
      maxFlows: this.#maxFlows,
      maxBufferBytes: this.#maxBufferBytes,
      ...(options.has("maxNewFlows") && { maxNewFlows: number("maxNewFlows", 1) }),
      shared: options.get("shared") === "yes",
      tcp: { receiveLimit: number("receiveLimit", 65536), sendLimit: number("sendLimit", 1 << 18) },
    });
    this.host.start(() => this.nat.turn());
    const offload = options.get("offload") === "yes";
    const send = (frame: Frame) => {
      this.#sent.take(frame);
      return this.#linkTakes;
    };
    this.guest = this.nat.attach({ name: "fuzz", mtu, offload, send, flush() {} });
    if (allowed !== undefined) {
      const address = options.get("bound") ?? "192.0.2.7";
      this.guest.bindings.bind(IpAddress.parse(address), allowed, 0, this.nat.now());
    }
    this.#taken = this.nat.pool.takenBytes;
    if (options.size > 0) this.played.push(`options ${[...options].map((field) => field.join("=")).join(" ")}`);
  }

  /** Does what a line says. */
  act(action: Action): void {
    if (FRAME_VERBS.has(action.verb)) {
      for (let i = 0; i < Number(action.fields.get("times") ?? 1); i++) {
        this.frame(this.script.frame(action, i), action.words.includes("vouched"));
      }
    } else if (action.verb !== "options") {
      if (action.verb !== "expect") this.played.push(action.line);
      this.#do(action);
    }
  }

  /** A frame of the guest, and all that must hold after it. */
  frame(bytes: Uint8Array, vouched: boolean = false): void {
    // A link that has ended delivers nothing.
    if (this.#linkGone) return;
    this.played.push(
      `frame ${[...bytes].map((b) => b.toString(16).padStart(2, "0")).join("")}${vouched ? " vouched" : ""}`,
    );
    // A frame that is only heard changes how long the guest was silent.
    this.host.advance(1);
    this.#sent.count = 0;
    const plain = withoutPriority(bytes);
    const answer = this.#answersGateway(plain), turnedAway = this.#turnedAway;
    const before = this.#signature(plain), counted = total(this.nat.counters), full = this.nat.counters.linkFull;
    // What was kept for a guest of whom nothing was known is released by its first frame.
    const wasKnown = this.guest.mac >= 0;
    // In the middle of a buffer of its own: what is written beside it or kept is found out.
    const buffer = new Uint8Array(bytes.length + 14).fill(0xa5);
    buffer.set(bytes, 7);
    const frame = new Frame().set(buffer, 7, 7 + bytes.length);
    frame.checksum = vouched ? CHECKSUM_PARTIAL : CHECKSUM_COMPLETE;
    this.guest.receive(frame);
    assertEquals([buffer.subarray(7, 7 + bytes.length), buffer[6], buffer[7 + bytes.length]], [bytes, 0xa5, 0xa5]);
    buffer.fill(0xa5);
    this.host.wake();
    this.host.run();
    const moved = total(this.nat.counters) - counted - (this.nat.counters.linkFull - full);
    // Clients that have waited for the guest are counted for themselves, where there are too many flows for them.
    // A segment to DNS may fill a gap. What it releases has at most as many messages as a receive window has room for
    // lengths, each of which is counted for itself.
    const messages = asksDns(plain, this.nat.rules, PROTOCOL_TCP) ? LARGE_BUFFER >> 1 : 0;
    assert(moved <= 1 + messages + this.#turnedAway - turnedAway, `one frame moved counters ${moved} times`);
    const hasEffect = this.#signature(plain) !== before ||
      asksDns(plain, this.nat.rules, PROTOCOL_UDP) ||
      asksRouter(plain) || this.#isKept(plain) || answer;
    // One that was dropped, as a frame to another station is, answered nothing.
    if (answer && moved === 0) this.#sent.asked.delete(answeredAddress(plain)!);
    assert(moved >= 1 || hasEffect, "the frame had no effect and moved no counter");
    // Dropped all the same, it may have told an address of the guest.
    assert(moved >= 1 || !playsRouter(plain), "the guest was believed to be a router");
    assert(this.#signature(plain) === before || !isSpoofed(plain), "a frame from an address of nobody had an effect");
    const most = wasKnown ? this.#mostAnswers(plain) : MOST_FRAMES;
    assert(this.#sent.count <= most, `one frame brought about ${this.#sent.count}`);
    this.#checkBounds();
  }

  /** The latest connection's state, or none. */
  get state(): string {
    const addresses = [this.guest.address(4), this.guest.address(6)].filter((address) => address !== null);
    const guests = addresses.map((address) => formatEndpoint(address, this.script.port));
    // What only drains comes last, and stands for the connection where nothing else does.
    return this.nat.flows().find((flow) => flow.protocol === "tcp" && guests.includes(flow.guest))?.state ?? "none";
  }

  /** Ends the gateway: nothing may be left. */
  close(): void {
    this.nat.close();
    assertEquals(this.nat.flows(), []);
    assertEquals(this.nat.timers.size, 0, "timers");
    assertEquals(this.nat.pool.takenBytes, this.#taken, "buffers");
    const datagramSockets = [...this.host.udpSockets, ...this.host.pingSockets].filter((s) => !s.closed);
    assertEquals(this.host.openSockets.length + datagramSockets.length, 0, "sockets");
    assertEquals(this.nat.incompleteDatagrams, 0, "fragments");
    assertEquals(this.#routes.listeners.size, 0, "who listens to the host's routes");
    const { flows, clients, connecting, mappings } = this.guest.use;
    assertEquals([flows, clients, connecting, mappings.size], [0, 0, 0, 0], "what the guest uses");
  }

  // --- what a script does ---

  #do({ verb, words, fields }: Action): void {
    if (verb === "wait") this.host.advance(Number(words[0]));
    else if (verb === "link" && words[0] === "gone") {
      this.nat.detach(this.guest);
      this.#linkGone = true;
    } else if (verb === "guest") this.#other(words, fields);
    else if (verb === "link") this.#linkTakes = words[0] !== "full";
    else if (words[0] === "client") this.#client(fields);
    else if (verb === "expect") this.#expect(fields);
    else if (words[0] === "route") this.#routes.set(words[1] !== "gone");
    else if (words[0]?.startsWith("udp-")) this.#udp(words[0], fields);
    else if (words[0]?.startsWith("echo-")) this.#echo(words[0], fields);
    else this.#tcp(words, fields);
    this.host.wake();
    this.host.run();
    this.#checkBounds();
  }

  #expect(fields: ReadonlyMap<string, string>): void {
    for (const [name, value] of fields) {
      if (name === "state") assertEquals(this.state, value);
      else if (!(name in DROP_REASONS)) throw new SyntaxError(`Cannot expect "${name}": it is no counter`);
      else assertEquals(this.nat.counters[name as DropReason], Number(value), name);
    }
  }

  /** A client comes to a forward that leads to the guest. */
  #client(fields: ReadonlyMap<string, string>): void {
    const client = endpoint(fields.get("from") ?? "127.0.0.1:5000"), socket = new ScriptTcpSocket(client);
    const guestPort = Number(fields.get("to") ?? this.script.port);
    const guestAddress = fields.has("at") ? IpAddress.parse(fields.get("at")!) : null;
    // Nobody can set such a forward up.
    if (guestAddress !== null && segmentOf(this.nat.rules, familyOf(guestAddress)) === null) return;
    const target = { name: "tcp 127.0.0.1:8080", guestAddress, guestPort };
    this.#clients.push(socket);
    const handler = this.nat.forwards.acceptTcp(target, this.host.addSocket(socket), client);
    if (handler !== null) socket.serve(handler);
  }

  #other(words: readonly string[], fields: ReadonlyMap<string, string>): void {
    if (words[0] === "attach") return void this.#others.push(new OtherGuest(this));
    const guest = pick<OtherGuest>(this.#others, fields.get("guest")), sender = fields.get("sender") ?? "10.0.2.15";
    if (guest === undefined) return;
    if (words[0] === "speak") guest.speak(sender);
    else if (words[0] === "answer") guest.answer(sender);
    else if (words[0] === "leave") {
      guest.leave();
      this.#others = this.#others.filter((other) => other !== guest);
    }
  }

  /** Does nothing where the socket is not in a state for it: the fuzzer does not know. */
  #tcp(words: readonly string[], fields: ReadonlyMap<string, string>): void {
    const socket = pick<ScriptTcpSocket>(this.host.sockets, fields.get("socket"));
    if (socket === undefined) return;
    if (fields.has("budget")) socket.budget = Number(fields.get("budget"));
    if (words[0] === "accept" && isPending(socket)) socket.accept();
    else if (words[0] === "refuse" && isPending(socket)) socket.refuse(words[1] as HostError | undefined);
    if (socket.state !== "connected" || socket.closed) return;
    try {
      if (words[0] === "send") socket.hostSends(payloadOf(fields));
      else if (words[0] === "eof") socket.hostEof();
      else if (words[0] === "reset") socket.hostResets();
    } catch (error) {
      // A host that has finished or is broken says nothing more.
      if (!(error instanceof Error && /^Cannot .*(FIN|broken)/.test(error.message))) throw error;
    }
  }

  #udp(verb: string, fields: ReadonlyMap<string, string>): void {
    if (verb === "udp-open") {
      const error = fields.get("error");
      if (error === undefined) this.host.udpError = undefined;
      else this.host.udpError = error as HostError;
      return;
    }
    const socket = pick<ScriptUdpSocket>(this.host.udpSockets, fields.get("socket"));
    if (socket === undefined || socket.closed) return;
    const peer = endpoint(fields.get("from") ?? "127.0.0.1:80");
    if (verb === "udp-send") socket.hostSends(payloadOf(fields), peer);
    else if (verb === "udp-refuse") socket.hostRefuses(peer);
    else if (verb === "udp-takes") socket.takes = fields.get("takes") !== "no";
  }

  #echo(verb: string, fields: ReadonlyMap<string, string>): void {
    const socket = pick<ScriptPingSocket>(this.host.pingSockets, fields.get("socket")), request = socket?.sent.at(-1);
    if (socket === undefined || socket.closed) return;
    if (verb === "echo-takes") socket.takes = fields.get("takes") !== "no";
    else if (request === undefined) return;
    else if (verb === "echo-fail") socket.hostFails(request, (fields.get("error") ?? "refused") as HostError);
    else if (verb === "echo-reply") {
      socket.hostReplies(request, fields.has("from") ? IpAddress.parse(fields.get("from")!) : request.to);
    }
  }

  // --- what must hold ---

  #checkBounds(): void {
    const { nat } = this, flows = nat.flowCount;
    this.#targets.check();
    if (flows <= MANY_FLOWS) { for (const flow of nat.flows()) this.states.add(flow.state); }
    assert(flows <= this.#maxFlows + MAX_MAPPINGS, `${flows} flows`);
    assert(nat.timers.size <= 4 * flows + MAX_DNS_PENDING + 64, `${nat.timers.size} timers for ${flows} flows`);
    const most = this.#maxBufferBytes + ((flows + 2) * 3 + nat.incompleteDatagrams) * LARGE_BUFFER;
    assert(nat.pool.takenBytes <= most, `${nat.pool.takenBytes} bytes of buffers for ${flows} flows`);
  }

  /**
   * The most frames that one of the guest may bring about. What is no segment has an answer or two, of which each fills
   * a frame, and lets clients in that have waited for it.
   */
  #mostAnswers(bytes: Uint8Array): number {
    if (protocolOf(bytes) === PROTOCOL_TCP) return MOST_FRAMES;
    const longest = isFragment(bytes) ? 65535 : bytes.length;
    return 2 + Math.ceil(longest / LEAST_FILLED) + 2 * this.#clients.length;
  }

  get #turnedAway(): number {
    return this.#clients.filter(({ wasReset }) => wasReset).length;
  }

  /**
   * Whether the frame is a fragment that may wait for others: what there is of a datagram shows nowhere until it is
   * whole.
   */
  #isKept(bytes: Uint8Array): boolean {
    return this.nat.incompleteDatagrams > 0 && isFragment(bytes);
  }

  /**
   * Whether the frame is the first reply to an ARP request of the gateway: it tells who is there, and shows nowhere
   * where that was known.
   */
  #answersGateway(bytes: Uint8Array): boolean {
    const address = this.#sent.asked.size === 0 ? null : answeredAddress(bytes);
    return address !== null && this.#sent.asked.has(address);
  }

  /** Everything that a frame can change, but for counters. */
  #signature(frame: Uint8Array): string {
    const { nat, host, guest } = this;
    const { send, receive } = nat.tcpFlow(tcpKey(guest.number, frame))?.endpoint ?? {};
    return JSON.stringify([
      nat.flowCount,
      nat.flowCount > MANY_FLOWS || nat.flows(),
      send && [send.record.una, send.record.next, send.record.window, send.record.mss],
      receive && [receive.record.initial, receive.record.next, receive.record.finSeq, receive.pinned],
      host.sockets.length,
      nat.flowCount > MANY_FLOWS || host.openSockets.map((s) => [s.receivedLength, s.closeWriteCalled, s.interest]),
      [...host.udpSockets, ...host.pingSockets].map((s) => [s.sent.length, s.closed]),
      nat.incompleteDatagrams,
      [guest.ipv4.mtu, guest.ipv6.mtu],
      nat.timers.size,
      `${guest.address(4)} ${guest.address(6)}`,
      guest.mac,
      this.#sent.count,
    ]);
  }
}

function total(counters: Counters): number {
  let sum = 0;
  for (const reason in counters) sum += counters[reason as DropReason];
  return sum;
}

function isPending(socket: ScriptTcpSocket): boolean {
  return socket.state === "connecting" && !socket.closed;
}

function pick<T>(sockets: readonly T[], number: string | undefined): T | undefined {
  return number === undefined ? sockets.at(-1) : sockets[Number(number)];
}
