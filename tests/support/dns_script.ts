/**
 * A gateway whose guests ask for names, on a virtual clock: queries in, what resolvers were sent and what guests were
 * answered out.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { EventOf } from "../../nat/flow/events.ts";
import type { Guest } from "../../nat/guest.ts";
import { Nat, type NatOptions } from "../../nat/nat.ts";
import type { RuleList } from "../../nat/rules/rule_list.ts";
import type { Target } from "../../nat/rules/translate.ts";
import { type ScriptRules, scriptRules } from "./rules.ts";
import { formatEndpoint, IpAddress, parseIpv4 } from "../../net/wire/address.ts";
import { decodeDns, DNS_QR } from "../../net/wire/dns.ts";
import type { Frame } from "../../net/wire/frame.ts";
import { PROTOCOL_ICMP } from "../../net/wire/ipv4.ts";
import { aaaaRecord, aRecord, dnsAnswer, dnsQuery, type MessageFields, soaRecord } from "./dns_messages.ts";
import type { ScriptUdpSocket } from "./script_datagram.ts";
import { ScriptHost } from "./script_host.ts";
import { FragmentsInOrder, readUdpFrameToGuest, udpFrameOfGuest } from "./sent_datagrams.ts";

/** Where resolvers are. */
export const SERVERS: readonly Target[] = [target("192.0.2.53"), target("127.0.0.53"), target("::1")];
const DNS_IP = parseIpv4("10.0.2.3");

/** A message that a guest got. */
export interface GuestAnswer {
  guest: number;
  port: number;
  bytes: Uint8Array;
}

/** A resolver's address. */
export function target(address: string, port = 53): Target {
  return { address: IpAddress.parse(address), port };
}

/** How the gateway is set up. */
export interface DnsScriptOptions extends Pick<NatOptions, "reportOnly" | "records" | "namesTtlS"> {
  servers?: readonly Target[];
  guests?: number;
  mtu?: number;
  rules?: ScriptRules;
}

/** A gateway under these rules. */
export function scriptUnder(egress: RuleList, options: DnsScriptOptions & { more?: ScriptRules } = {}): DnsScript {
  return new DnsScript({ ...options, rules: { egress, ...options.more } });
}

/** The gateway under test. */
export class DnsScript {
  readonly host = new ScriptHost();
  readonly nat: Nat;
  readonly warnings: string[] = [];
  /** The host's resolvers; assign another array to change them. */
  servers: readonly Target[];
  /** The ids that upstream queries get, in order; counted up from 0x7000 once they are used up. */
  readonly ids: number[] = [];
  readonly guests: Guest[] = [];
  /** What events have told of answers. */
  readonly answered: EventOf<"dnsAnswered">[] = [];
  #answers: GuestAnswer[] = [];
  #fragments = new FragmentsInOrder();
  #seen = 0;
  #nextId = 0x7000;

  constructor(
    options: DnsScriptOptions = {},
  ) {
    this.servers = options.servers ?? SERVERS.slice(0, 1);
    const logger = { debug() {}, info() {}, error() {}, warn: (line: string) => void this.warnings.push(line) };
    const rules = scriptRules({ dnsServers: [], ...options.rules });
    const random = () => (this.ids.shift() ?? this.#nextId++) + 0xabcd0000;
    const resolvers = () => this.servers;
    const { reportOnly = false, records, namesTtlS } = options;
    const more = { reportOnly, ...(records && { records }), ...(namesTtlS !== undefined && { namesTtlS }) };
    this.nat = new Nat({ host: this.host, rules, logger, random, maxFlows: 8, resolvers, ...more });
    this.nat.events.listen((type, make) => {
      if (type === "dnsAnswered") this.answered.push(make() as EventOf<"dnsAnswered">);
    });
    this.#nextId = 0x7000;
    this.host.start(() => this.nat.turn());
    for (let number = 1; number <= (options.guests ?? 1); number++) {
      const send = (frame: Frame) => this.#take(number, frame);
      const link = { name: "script", mtu: options.mtu ?? 1500, offload: false, send, flush() {} };
      this.guests.push(this.nat.attach(link));
    }
  }

  /** A guest sends a message to DNS. */
  ask(message: Uint8Array, from: { guest?: number; port?: number; to?: number } = {}): void {
    const ends = { remote: DNS_IP, remotePort: from.to ?? 53, guestPort: from.port ?? 40000 };
    this.guests[(from.guest ?? 1) - 1]!.receive(udpFrameOfGuest(ends, message));
    this.host.wake();
    this.host.run();
  }

  /** What guests got since this was last called. */
  take(): GuestAnswer[] {
    return this.#answers.splice(0);
  }

  /** How many fragments guests got. */
  get fragments(): number {
    return this.#fragments.count;
  }

  /** The guest asks one question and gets an answer: the gateway's own, or what the resolver says of it. */
  resolve(question: string, answer: MessageFields = {}, query: MessageFields = {}, guest = 1): Uint8Array {
    this.ask(dnsQuery(question, query), { guest });
    const [socket] = this.sockets();
    if (socket !== undefined) {
      const sent = decodeDns(socket.sent[0]!.bytes), [about] = sent.question;
      const asked = `${about!.name} ${about!.type} ${about!.class}`;
      this.reply(socket, dnsAnswer(asked, { id: sent.id, ...answer }));
    }
    return this.answer();
  }

  /** Whether a question is sent on; then there is no such name. */
  isForwarded(question: string, fields: MessageFields = {}): boolean {
    this.ask(dnsQuery(question, fields));
    const sockets = this.sockets();
    for (const socket of sockets) {
      const { id } = decodeDns(socket.sent[0]!.bytes);
      this.reply(socket, dnsQuery(question, { id, flags: DNS_QR | 3, authorities: [soaRecord(0, 0)] }));
    }
    this.take();
    return sockets.length > 0;
  }

  /** If a name has these addresses by its resolver: those that the guest is given, and those that are bound to it. */
  gives(name: string, addresses: readonly string[]): { given: string[]; bound: string[] } {
    const given: string[] = [];
    for (const address of addresses) {
      const isIpv4 = !address.includes(":");
      const record = isIpv4 ? aRecord(0, address.split(".").map(Number)) : aaaaRecord(0, address);
      const bytes = this.resolve(`${name} ${isIpv4 ? "A" : "AAAA"}`, { answers: [record] });
      if (decodeDns(bytes).records.some(({ type }) => type === record.type)) given.push(address);
    }
    return { given, bound: addresses.filter((address) => this.namesOf(address).includes(name)) };
  }

  /** The names that an address has for a guest. */
  namesOf(address: string, guest = 1): string[] {
    return this.guests[guest - 1]!.bindings.of(IpAddress.parse(address), this.nat.now()).map(({ name }) => name);
  }

  /** The one answer that the only guest got. */
  answer(): Uint8Array {
    const answers = this.take();
    assertEquals(answers.length, 1, "answers");
    return answers[0]!.bytes;
  }

  /** The sockets opened since this was last called. */
  sockets(): ScriptUdpSocket[] {
    const sockets = this.host.udpSockets.slice(this.#seen);
    this.#seen = this.host.udpSockets.length;
    return sockets;
  }

  /** The one socket opened since the last, and the message that it sent first. */
  upstream(): { socket: ScriptUdpSocket; message: Uint8Array; id: number; to: string } {
    const sockets = this.sockets();
    assertEquals(sockets.length, 1, "sockets");
    const socket = sockets[0]!, { bytes, to } = socket.sent[0]!;
    return { socket, message: bytes, id: (bytes[0]! << 8) | bytes[1]!, to: formatEndpoint(to.address, to.port) };
  }

  /** A resolver sends bytes to a socket. */
  reply(socket: ScriptUdpSocket, bytes: Uint8Array, from: Target = this.servers[0]!): void {
    socket.hostSends(bytes, from);
    this.host.run();
  }

  /** Lets time pass. */
  advance(ms: number): void {
    this.host.advance(ms);
  }

  /** A counter that is not 0 is one of these, and has this count. */
  assertCounters(expected: Partial<Nat["counters"]>): void {
    assertEquals(Object.fromEntries(Object.entries(this.nat.counters).filter(([, count]) => count > 0)), expected);
  }

  /** Nothing is under way: no exchange, timer or socket. */
  assertIdle(): void {
    assertEquals(this.nat.dns!.pending, 0, "exchanges");
    assertEquals(this.nat.timers.size, 0, "timers");
    assert(this.host.udpSockets.every((socket) => socket.closed), "sockets");
    assertEquals(this.nat.flows(), []);
  }

  #take(guest: number, frame: Frame): boolean {
    if (frame.bytes[frame.start + 23] === PROTOCOL_ICMP) return true;
    const whole = this.#fragments.add(frame);
    if (whole === null) return true;
    const { remote, remotePort, guestPort, payload } = readUdpFrameToGuest(whole);
    assertEquals([remote, remotePort], [DNS_IP, 53]);
    this.#answers.push({ guest, port: guestPort, bytes: payload });
    return true;
  }
}
