/**
 * The gateway's state: guests, flows, timers and counters, without a socket or a clock of its own.
 *
 * **Turns.** Frames and socket events come in any number; then `turn` is called once: due timers fire, everything that became due ends its turn (queued bytes are
 * written, FINs pass, acknowledgements leave), the links are flushed, and the time of the next deadline is the answer. Nothing here waits or is called later by itself.
 *
 * **Flows.** One table for all guests, keyed by guest, protocol, ports and addresses. A TCP flow leaves it when its endpoint is CLOSED; while its host side still has
 * bytes to write it stays known as draining. An ended flow leaves nothing behind but one in the count of its way to end.
 *
 * **Limits.** `flow/quota.ts` says how many flows and connects there may be, and how guests share them; beyond, a SYN gets
 * a RST. Mappings of UDP and ICMP echo have a bound of their own: the guest with the most gives up the one that it used
 * longest ago. The buffers of all flows together have a bound too, at which each keeps only what it must.
 * `maxNewFlows` rations the beginning of flows of every protocol; what is refused by a rule takes nothing from it.
 *
 * @module
 */
import { DNS_PORT } from "../net/wire/dns.ts";
import { Batch } from "./base/batch.ts";
import { BufferPool, LARGE_BUFFER } from "./base/buffers.ts";
import { type Counters, createCounters, type DropReason } from "./base/counters.ts";
import { createEndings, type Endings, type FlowEnding } from "./flow/endings.ts";
import type { EndsTurn, Flow, FlowInfo, ForwardTarget, GuestSide } from "./flow/flow.ts";
import { FlowKey } from "./flow/flow_key.ts";
import { FlowLog } from "./flow/flow_log.ts";
import { FlowTable, hashFlowKey } from "./flow/flow_table.ts";
import { greediest, type QuotaRefusal, Quotas } from "./flow/quota.ts";
import { type ForwardContext, Forwards } from "./forwards.ts";
import type { FrameSink } from "./ip/frame_sender.ts";
import type { Packet } from "./ip/packet.ts";
import { Guest, type GuestContext } from "./guest.ts";
import type { HostNetwork } from "./host.ts";
import type { Logger } from "./base/logger.ts";
import { RateLimitedLog } from "./base/rate_limited_log.ts";
import { DatagramRelay } from "./relay/datagram.ts";
import { Gathering } from "./relay/gathering.ts";
import { EchoRelay } from "./relay/icmp.ts";
import { TcpRelay } from "./relay/tcp.ts";
import { TcpGuestOpening } from "./relay/tcp_guest_opening.ts";
import { UdpRelay } from "./relay/udp.ts";
import { UdpForward, UdpForwardFlow } from "./relay/udp_forward.ts";
import { DnsService } from "./service/dns.ts";
import { TCP_DEFAULTS, type TcpConfig, type TcpContext } from "./tcp/context.ts";
import { TimerWheel } from "./base/timers.ts";
import {
  destinationOf,
  isGroupAddress,
  type Refusal,
  type Target,
  translate,
  type TranslationRules,
  withDnsServers,
} from "./rules/translate.ts";
import { TranslationCache } from "./rules/translation_cache.ts";

/** Bytes of buffers from which on flows keep nothing that can be had again. */
export const MAX_BUFFER_BYTES = 256 << 20;
/** Mappings of UDP and ICMP echo that may exist at once. */
export const MAX_MAPPINGS = 1024;
/** The gateway's MAC address, on every link: locally administered, so it is nobody's. */
export const GATEWAY_MAC = 0x52_54_00_12_34_02;

/** What a `Nat` is made of. */
export interface NatOptions {
  /** The host's sockets, clock and turns. */
  readonly host: HostNetwork;
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** Where lines go. */
  readonly logger: Logger;
  /** Gives an unpredictable unsigned 32-bit number. */
  readonly random: () => number;
  /** Flows at once. */
  readonly maxFlows: number;
  /** Bytes of buffers that all flows together may use before they hold back. Default `MAX_BUFFER_BYTES`. */
  readonly maxBufferBytes?: number;
  /**
   * The host's resolvers as they are now, instead of those of the rules; asked whenever a guest needs one, and the same
   * array as long as nothing has changed. Not asked where the rules say that there is no DNS.
   */
  readonly resolvers?: () => readonly Target[];
  /** Flows that may begin in a second, of whatever protocol; as many may begin at once. Default no limit. */
  readonly maxNewFlows?: number;
  /**
   * Whether guests share flows and connects from the start, so that none may have all of them even while it is alone.
   * Default false: as soon as there are two.
   */
  readonly shared?: boolean;
  /** Other limits and times than `TCP_DEFAULTS`. */
  readonly tcp?: Partial<TcpConfig>;
}

/** The state of a gateway. */
export class Nat implements ForwardContext, GuestContext {
  /** The host. */
  readonly host: HostNetwork;
  /** The gateway's timers. */
  readonly timers: TimerWheel;
  /** Buffers of all flows. */
  readonly pool: BufferPool;
  /** Drops by reason. */
  readonly counters: Counters = createCounters();
  /** Flows that ended, by how. */
  readonly endings: Endings = createEndings();
  /** Lines that a guest can provoke. */
  readonly log: RateLimitedLog;
  /** What TCP endpoints share. */
  readonly tcp: TcpContext;
  /** A large buffer for packets that are put together; used within one call. */
  readonly scratch: Uint8Array = new Uint8Array(LARGE_BUFFER);
  /** What addresses mean; the resolvers in it are those that the host had when a guest last asked one. */
  rules: TranslationRules;
  /** DNS at the DNS address; null where there is none. */
  readonly dns: DnsService | null;
  /** The gateway's MAC address. */
  readonly mac: number = GATEWAY_MAC;
  /** The gateway's IPv4 address as a number. */
  readonly gateway: number;
  /** What clients of the host's ports meet. */
  readonly forwards: Forwards = new Forwards(this);
  /** Where small segments of a turn are put together. */
  readonly gathering: Gathering = new Gathering();
  /** An unpredictable unsigned 32-bit number. */
  readonly random: () => number;
  /** Datagrams of guests that have not come whole. */
  incompleteDatagrams = 0;

  #resolvers: (() => readonly Target[]) | null;
  /** What `#resolvers` last answered. */
  #resolversSeen: readonly Target[] | null = null;
  #flowLog: FlowLog;
  #quotas: Quotas;
  #translations: TranslationCache;
  #secret: number;
  #flows: FlowTable<Flow>;
  #draining = new Set<Flow>();
  #mappings = 0;
  /** How many flows there are of clients of UDP forwards. */
  #forwarded = 0;
  #mappingKey = new FlowKey();
  #logger: Logger;
  /** Whether the host has no ping sockets, which was then said in the log. */
  #pingless = false;
  #guests = new Map<number, Guest>();
  #nextGuest = 1;
  #due = new Batch<EndsTurn>();
  #ending = new Batch<EndsTurn>();
  #usedLinks = new Batch<FrameSink>();
  #readBuffer: Uint8Array;

  /** An empty gateway. */
  constructor(options: NatOptions) {
    this.host = options.host;
    this.pool = new BufferPool(options.maxBufferBytes ?? MAX_BUFFER_BYTES);
    this.timers = new TimerWheel(options.host.now());
    this.log = new RateLimitedLog(options.logger, () => options.host.now());
    this.#flowLog = new FlowLog(options.logger, () => options.host.now());
    this.tcp = {
      config: { ...TCP_DEFAULTS, ...options.tcp },
      pool: this.pool,
      timers: this.timers,
      drops: this.counters,
      scratch: this.scratch,
      now: () => options.host.now(),
    };
    this.rules = options.rules;
    this.gateway = options.rules.gateway.ipv4;
    this.#logger = options.logger;
    this.#resolvers = options.rules.dnsServers === null ? null : options.resolvers ?? null;
    this.dns = options.rules.dnsServers === null ? null : new DnsService(this, {
      gateway: this.gateway,
      random: options.random,
      servers: () => this.#findResolvers() ?? [],
    });
    this.#translations = new TranslationCache(options.rules);
    this.#quotas = new Quotas(options, options.host.now());
    this.random = options.random;
    this.#secret = options.random();
    this.#flows = new FlowTable<Flow>(options.random());
    this.#readBuffer = this.pool.takeLarge();
  }

  /** Monotonic milliseconds of the host. */
  now(): number {
    return this.host.now();
  }

  /** Flows in the table and draining. */
  get flowCount(): number {
    return this.#flows.size + this.#draining.size;
  }

  /** Every flow. */
  flows(): FlowInfo[] {
    return this.allFlows().map((flow) => flow.info());
  }

  /** Every flow itself. */
  allFlows(): Flow[] {
    return [...this.#flows.values(), ...this.#draining];
  }

  /** The guests that are attached. */
  guests(): Guest[] {
    return [...this.#guests.values()];
  }

  /** A new guest on `link`, whose frames go to its `receive`. */
  attach(link: FrameSink): Guest {
    const guest = new Guest(this, { number: this.#nextGuest++, use: this.#quotas.guestCame(this.now()) }, link);
    this.#guests.set(guest.number, guest);
    return guest;
  }

  /** The guest's link has ended: its flows end too. */
  detach(guest: Guest, ending: FlowEnding = "guestGone"): void {
    if (!this.#guests.has(guest.number)) return;
    for (const flow of this.allFlows()) if (flow.key.guest === guest.number) flow.abort(ending);
    this.dns?.forget(guest);
    guest.dispose();
    this.#quotas.guestLeft();
    this.#guests.delete(guest.number);
    this.forwards.gone(guest);
  }

  /** Ends every flow, those included whose guest is gone while their host still drains. */
  close(): void {
    for (const guest of this.guests()) this.detach(guest, "gatewayClosed");
    for (const flow of this.allFlows()) flow.abort("gatewayClosed");
    this.turn();
  }

  /** The end of a turn; returns when the next one is wanted at the latest, in `now()` time. */
  turn(): number {
    this.timers.advance(this.now());
    while (this.#due.length > 0) {
      const due = this.#due;
      this.#due = this.#ending;
      this.#ending = due;
      for (let i = 0; i < due.length; i++) due.at(i).endTurn();
      due.clear();
    }
    for (let i = 0; i < this.#usedLinks.length; i++) this.#usedLinks.at(i).flush();
    this.#usedLinks.clear();
    return this.timers.nextDeadline();
  }

  // --- what a guest asks ---

  /** The TCP flow with this key. */
  tcpFlow(key: FlowKey): TcpRelay | undefined {
    const flow = this.#flows.get(key);
    return flow instanceof TcpRelay ? flow : undefined;
  }

  /** Begins a TCP flow for the SYN `packet`. Returns why not, or null. */
  openTcp(guest: GuestSide, packet: Packet): DropReason | null {
    const { key } = packet;
    const dns = this.#asksDns(key) ? this.dns : null;
    const translation = dns === null ? translate(this.rules, destinationOf(key)) : { targets: [destinationOf(key)] };
    if ("refusal" in translation) return this.#refuse(key, translation.refusal, translation.rule);
    const limit = this.#quotas.refusesFlow(guest.use, this.flowCount) ?? this.#refusesNew(guest);
    if (limit !== null) return this.#refuse(key, limit.reason, limit.why);
    const { targets } = translation;
    const owned = key.clone(), host = dns?.connector({ guest, key: owned, path: guest.path(owned) }) ?? this.host;
    const opening = new TcpGuestOpening(this, { host, targets, syn: packet });
    const relay = new TcpRelay(this, { guest, key: owned, hostEnd: targets[0]!, forward: null, opening });
    this.enter(relay);
    this.#quotas.connectBegan(guest.use);
    relay.open();
    return null;
  }

  #asksDns(key: FlowKey): boolean {
    return key.remotePort === DNS_PORT && key.isTo(this.rules.dns);
  }

  /** Whether a datagram with this key was sent to the guest: by whom it has asked, or by a client of a forward. */
  hasSentDatagram(key: FlowKey): boolean {
    const mapping = this.#flows.get(this.#mappingKey.setMapping(key));
    return (mapping instanceof DatagramRelay && mapping.peers.has(key)) || this.#forwardedUdp(key) !== undefined;
  }

  /** The flow of a forward's client that the guest sees at the other end of this key. */
  #forwardedUdp(key: FlowKey): UdpForwardFlow | undefined {
    const flow = this.#forwarded === 0 ? undefined : this.#flows.get(key);
    return flow instanceof UdpForwardFlow ? flow : undefined;
  }

  /** Sends a UDP datagram of a guest. Returns why not, or null. */
  sendUdp(guest: GuestSide, packet: Packet): DropReason | null {
    const { key } = packet, forwarded = this.#forwardedUdp(key);
    if (forwarded !== undefined) return forwarded.answer(packet);
    if (this.dns !== null && this.#asksDns(key)) {
      const owned = key.clone();
      return this.dns.ask(packet, { guest, key: owned, path: guest.path(owned) });
    }
    const flow = this.#flows.get(this.#mappingKey.setMapping(key));
    const known = flow instanceof UdpRelay ? flow : undefined, peer = known?.peers.ask(key);
    // What was asked before was translated then.
    if (known !== undefined && peer !== undefined) return known.send(packet, peer);
    const translation = this.#translations.find(this.rules, key);
    if ("refusal" in translation) return this.#refuseDatagram(key, translation);
    const limit = known === undefined ? this.#refusesNew(guest) : null;
    if (limit !== null) return this.#refuse(key, limit.reason, limit.why);
    const target = translation.targets[0]!;
    const relay = known ?? this.#addMapping(new UdpRelay(this, { guest, key: this.#mappingKey.clone() }), guest);
    return relay.send(packet, relay.peers.add(key, guest.path(key), target));
  }

  /** Sends an echo request of a guest. Returns why not, or null. */
  sendEcho(guest: GuestSide, packet: Packet): DropReason | null {
    const { key } = packet, flow = this.#flows.get(this.#mappingKey.setMapping(key));
    const known = flow instanceof EchoRelay ? flow : undefined, peer = known?.peers.ask(key);
    if (known !== undefined && peer !== undefined) return known.send(packet, peer);
    const translation = translate(this.rules, destinationOf(key));
    if ("refusal" in translation) return this.#refuseDatagram(key, translation);
    const target = translation.targets[0]!;
    if (!target.address.isIpv4) return "icmpNotRelayed";
    const relay = known ?? this.#openEcho(guest, this.#mappingKey);
    return typeof relay === "string" ? relay : relay.send(packet, relay.peers.add(key, guest.path(key), target));
  }

  /** A handler for the host socket of a UDP forward. */
  forwardUdp(target: ForwardTarget): UdpForward {
    return new UdpForward(this, this.forwards, target);
  }

  // --- ForwardContext ---

  /** Why no further client of a forward can have a flow to `guest`, or null. */
  refusesClient(guest: GuestSide): DropReason | null {
    return this.#quotas.refusesClient(guest.use, this.flowCount);
  }

  /** Whether a flow has this key. */
  isTaken(key: FlowKey): boolean {
    return this.#flows.has(key);
  }

  /** Takes a flow into the table. */
  enter(flow: Flow): void {
    this.#flows.set(flow.key, flow);
    const { use } = flow.guest;
    if (flow.forward === null) use.flows++;
    else use.clients++;
    if (flow instanceof UdpForwardFlow) this.#forwarded++;
  }

  // --- RelayContext ---

  /** The initial sequence number for a connection: a clock of 4 µs plus a keyed hash (RFC 6528 section 3). */
  initialSequence(key: FlowKey): number {
    return (Math.floor(this.now() * 250) + hashFlowKey(key.words, this.#secret)) >>> 0;
  }

  /** A large buffer to read a host socket into. */
  readBuffer(): Uint8Array {
    return this.#readBuffer;
  }

  /** Someone keeps the buffer that `readBuffer` gave. */
  readBufferTaken(): void {
    this.#readBuffer = this.pool.takeLarge();
  }

  /** Calls `endTurn` at the end of this turn. */
  due(item: EndsTurn): void {
    this.#due.push(item);
  }

  /** A frame was given to `link`: it is flushed at the end of this turn. */
  linkUsed(link: FrameSink): void {
    if (!this.#usedLinks.includes(link)) this.#usedLinks.push(link);
  }

  /** A host connect was answered. */
  connectEnded({ use }: GuestSide): void {
    this.#quotas.connectEnded(use);
  }

  /** The flow's key is free, its host side is not done. */
  drain(flow: Flow): void {
    if (this.#flows.get(flow.key) === flow) this.#flows.delete(flow.key);
    this.#draining.add(flow);
  }

  /** Tells of a flow that bytes can pass. */
  flowOpened(flow: Flow): void {
    this.#flowLog.opened(flow);
  }

  /** Counts and forgets a flow. */
  flowEnded(flow: Flow, ending: FlowEnding): void {
    this.endings[ending]++;
    this.#flowLog.ended(flow, ending);
    if (this.#flows.get(flow.key) === flow) this.#flows.delete(flow.key);
    else this.#draining.delete(flow);
    const { use } = flow.guest;
    if (flow.forward === null) use.flows--;
    else use.clients--;
    if (flow instanceof UdpForwardFlow) this.#forwarded--;
    if (!(flow instanceof DatagramRelay)) return;
    use.mappings.remove(flow);
    this.#mappings--;
  }

  /** Brings the host's resolvers in the rules up to date and returns them. */
  #findResolvers(): readonly Target[] | null {
    const resolvers = this.#resolvers?.() ?? null;
    if (resolvers !== null && resolvers !== this.#resolversSeen) {
      this.#resolversSeen = resolvers;
      this.rules = withDnsServers(this.rules, resolvers);
    }
    return this.rules.dnsServers;
  }

  #refusesNew({ use }: GuestSide): QuotaRefusal | null {
    return this.#quotas.refusesNew(use, this.now());
  }

  #refuse(key: FlowKey, reason: DropReason, why: string): DropReason {
    this.log.warn(() => `Refused ${key} of guest ${key.guest}: ${why}`);
    return reason;
  }

  #refuseDatagram(key: FlowKey, { refusal, rule }: Refusal): DropReason {
    // Every system announces itself to its neighbours: that is no attempt to reach anything.
    return isGroupAddress(this.rules, key.remoteAddress.ipv4) ? refusal : this.#refuse(key, refusal, rule);
  }

  #addMapping<T extends DatagramRelay>(relay: T, guest: GuestSide): T {
    if (this.#mappings >= MAX_MAPPINGS) this.#greediest(guest).use.mappings.oldest?.abort("evicted");
    this.enter(relay);
    guest.use.mappings.add(relay);
    this.#mappings++;
    relay.open();
    return relay;
  }

  /** The guest with the most mappings. */
  #greediest(asker: GuestSide): GuestSide {
    return greediest<GuestSide>([...this.#guests.values()].map((guest) => [guest, guest.use.mappings.size]), asker);
  }

  #openEcho(guest: GuestSide, key: FlowKey): EchoRelay | DropReason {
    if (this.#pingless) return "icmpNotRelayed";
    const limit = this.#refusesNew(guest);
    if (limit !== null) return this.#refuse(key, limit.reason, limit.why);
    const relay = new EchoRelay(this, { guest, key: key.clone() });
    const socket = this.host.openPing?.(relay) ?? "other";
    if (typeof socket !== "string") {
      relay.use(socket);
      return this.#addMapping(relay, guest);
    }
    if (socket === "exhausted") return "hostExhausted";
    this.#pingless = true;
    this.#logger.warn(
      `Echo requests beyond the gateway are dropped: the host (${this.host.name}) has no ping socket for this user`,
    );
    return "icmpNotRelayed";
  }
}
