/**
 * The gateway's state: guests, flows, timers and counters, without a socket or a clock of its own.
 *
 * **Turns.** Frames and socket events come in any number; then `turn` is called once: due timers fire, everything that
 * became due ends its turn (queued bytes are written, FINs pass, acknowledgements leave), the links are flushed, and
 * the time of the next deadline is the answer. Nothing here waits or is called later by itself.
 *
 * **Flows** are the business of `relay/`: `tcp_flows.ts`, `udp_flows.ts` and `echo_flows.ts` find and open those of
 * their protocol. `flow/flow_registry.ts` knows all of them.
 *
 * **Limits.** `flow/quota.ts` says how many flows and connects there may be, and how guests share them; beyond, a SYN
 * gets a RST. Mappings of UDP and ICMP echo have a bound of their own: the guest with the most gives up the one that it
 * used longest ago. The buffers of all flows together have a bound too, at which each keeps only what it must.
 * `maxNewFlows` rations the beginning of flows of every protocol; what is refused by a rule takes nothing from it.
 *
 * @module
 */
import type { IpAddress } from "../net/wire/address.ts";
import { DNS_PORT } from "../net/wire/dns.ts";
import { PROTOCOL_UDP } from "../net/wire/ipv4.ts";
import { Batch } from "./base/batch.ts";
import { BufferPool, LARGE_BUFFER } from "./base/buffers.ts";
import { type Counters, createCounters, type DropReason } from "./base/counters.ts";
import type { Logger } from "./base/logger.ts";
import { RateLimitedLog } from "./base/rate_limited_log.ts";
import { TimerWheel } from "./base/timers.ts";
import type { Connectors, FlowsContext, Records } from "./flow/relay_context.ts";
import type { Endings, FlowEnding } from "./flow/endings.ts";
import { Events } from "./flow/events.ts";
import type { EndsTurn, FlowInfo, ForwardTarget, GuestSide } from "./flow/flow.ts";
import type { FlowKey } from "./flow/flow_key.ts";
import { flowLog } from "./flow/flow_log.ts";
import { hashFlowKey } from "./flow/flow_table.ts";
import { FlowRegistry } from "./flow/flow_registry.ts";
import { Quotas } from "./flow/quota.ts";
import { Forwards } from "./forwards.ts";
import { Guest, type GuestContext } from "./guest.ts";
import { fixedIpv6Routes, type HostNetwork, type Ipv6Routes } from "./host.ts";
import type { FrameSink } from "./ip/frame_sender.ts";
import type { Packet } from "./ip/packet.ts";
import { GatewayConnectors } from "./relay/connectors.ts";
import { EchoFlows } from "./relay/echo_flows.ts";
import { Gathering } from "./relay/gathering.ts";
import type { TcpRelay } from "./relay/tcp_relay.ts";
import { TcpFlows } from "./relay/tcp_flows.ts";
import { UdpFlows } from "./relay/udp_flows.ts";
import { UdpForward, type UdpForwardContext } from "./relay/udp_forward.ts";
import type { DhcpExtras } from "./service/dhcp_options.ts";
import type { GuestService } from "./service/guest_services.ts";
import { LOCAL_DNS_NAMES } from "./service/dns_local.ts";
import { DnsService } from "./service/dns_service.ts";
import { TCP_DEFAULTS, type TcpConfig, type TcpContext } from "./tcp/context.ts";
import { GuestBindings } from "./rules/bindings.ts";
import type { Decide } from "./rules/decide.ts";
import { Gatekeeper } from "./rules/gatekeeper.ts";
import { HostGuard } from "./rules/host_guard.ts";
import type { RuleList } from "./rules/rule_list.ts";
import { hostAddressesIn, segmentOf } from "./rules/segment.ts";
import { type Target, type TranslationRules, withDnsServers } from "./rules/translate.ts";

/** Bytes of buffers from which on flows keep nothing that can be had again. */
export const MAX_BUFFER_BYTES = 256 << 20;
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
  /** Whether guests are told of a way to everywhere by IPv6. Default as the host's routes are, if it can read them. */
  readonly ipv6Route?: boolean;
  /** Whether what happens can be recorded; nothing begins while it cannot. Default always. */
  readonly records?: Records;
  /** Whether rules only report. Default false. */
  readonly reportOnly?: boolean;
  /** Whether a TCP flow that only a name allows must say a name in its first bytes. Default false. */
  readonly strictNames?: boolean;
  /** What the program decides of each flow that rules allow. Default nothing. */
  readonly decide?: Decide;
  /** Least seconds for which an address keeps the name of an answer. Default `DEFAULT_NAMES_TTL_S`. */
  readonly namesTtlS?: number;
  /** What DHCP tells beside addresses. Default nothing. */
  readonly dhcp?: DhcpExtras;
  /** The services that guests do without. Default none. */
  readonly without?: readonly GuestService[];
  /** Other limits and times than `TCP_DEFAULTS`. */
  readonly tcp?: Partial<TcpConfig>;
}

/** The state of a gateway. */
export class Nat implements UdpForwardContext, FlowsContext, GuestContext {
  /** The host. */
  readonly host: HostNetwork;
  /** Whether IPv6 leads anywhere beyond the gateway. */
  readonly ipv6Routes: Ipv6Routes;
  /** The gateway's timers. */
  readonly timers: TimerWheel;
  /** Buffers of all flows. */
  readonly pool: BufferPool;
  /** Drops by reason. */
  readonly counters: Counters = createCounters();
  /** Who is told of what happens. */
  readonly events: Events = new Events();
  /** Every flow, of whatever protocol. */
  readonly registry: FlowRegistry = new FlowRegistry(this.events, () => this.host.now());
  /** What guests may have. */
  readonly quotas: Quotas;
  /** Who may go where. */
  readonly gatekeeper: Gatekeeper;
  /** Whether what happens can be recorded. */
  readonly records: Records;
  /** Keeps guests off the host's own addresses, if they may reach none. */
  readonly hostGuard: HostGuard;
  /** Chooses who connects a TCP flow. */
  readonly connectors: Connectors = new GatewayConnectors(this);
  /** The TCP flows. */
  readonly tcpFlows: TcpFlows;
  /** The UDP flows. */
  readonly udpFlows: UdpFlows;
  /** Where lines go that are said once. */
  readonly logger: Logger;
  /** What DHCP tells beside addresses. */
  readonly dhcp: DhcpExtras;
  /** The services that guests do without. */
  readonly without: readonly GuestService[];
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
  #secret: number;
  /** Where names of the gateway's own lead. */
  readonly #localAddresses: readonly IpAddress[];
  readonly #namesTtlS: number | undefined;
  #echoFlows: EchoFlows;
  #guests = new Map<number, Guest>();
  #nextGuest = 1;
  #due = new Batch<EndsTurn>();
  #ending = new Batch<EndsTurn>();
  #usedLinks = new Batch<FrameSink>();
  #readBuffer: Uint8Array;

  /** An empty gateway. */
  constructor(options: NatOptions) {
    this.host = options.host;
    const { ipv6Route } = options, routes = ipv6Route === undefined ? options.host.ipv6Routes : undefined;
    this.ipv6Routes = routes ?? fixedIpv6Routes(ipv6Route ?? false);
    this.pool = new BufferPool(options.maxBufferBytes ?? MAX_BUFFER_BYTES);
    this.timers = new TimerWheel(options.host.now());
    this.log = new RateLimitedLog(options.logger, () => options.host.now());
    this.events.listen(flowLog(options.logger, this.log, () => options.host.now()));
    this.tcp = {
      config: { ...TCP_DEFAULTS, ...options.tcp },
      pool: this.pool,
      timers: this.timers,
      drops: this.counters,
      scratch: this.scratch,
      now: () => options.host.now(),
    };
    this.rules = options.rules;
    this.records = options.records ?? { isAvailable: true };
    const { reportOnly = false, strictNames: strict = false, decide } = options;
    this.gatekeeper = new Gatekeeper(this, { reportOnly, strict, ...(decide !== undefined && { decide }) });
    this.dhcp = options.dhcp ?? {};
    this.without = options.without ?? [];
    this.gateway = options.rules.ipv4?.gateway.ipv4 ?? 0;
    this.logger = options.logger;
    this.#resolvers = options.rules.dnsServers === null ? null : options.resolvers ?? null;
    this.#localAddresses = hostAddressesIn(options.rules);
    this.#namesTtlS = options.namesTtlS;
    this.dns = options.rules.dnsServers === null ? null : new DnsService(this, {
      gateways: this.#localAddresses,
      nat64: options.rules.nat64,
      random: options.random,
      rules: () => this.rules,
      reportOnly,
      records: this.records,
      servers: () => this.#findResolvers() ?? [],
    });
    this.hostGuard = new HostGuard(options.rules.hostAddresses, () => options.host.now());
    this.quotas = new Quotas(options, options.host.now());
    this.random = options.random;
    this.#secret = options.random();
    this.tcpFlows = new TcpFlows(this);
    this.udpFlows = new UdpFlows(this);
    this.#echoFlows = new EchoFlows(this);
    this.#readBuffer = this.pool.takeLarge();
  }

  /** Monotonic milliseconds of the host. */
  now(): number {
    return this.host.now();
  }

  /** FlowRegistry in the table and draining. */
  get flowCount(): number {
    return this.registry.count;
  }

  /** Every flow. */
  flows(): FlowInfo[] {
    return this.registry.all().map((flow) => flow.info());
  }

  /** Flows that ended, by how. */
  get endings(): Endings {
    return this.registry.endings;
  }

  /** The guests that are attached. */
  guests(): Guest[] {
    return [...this.#guests.values()];
  }

  /** A new guest on `link`, whose frames go to its `receive`. */
  attach(link: FrameSink): Guest {
    const use = this.quotas.guestCame(this.now()), bindings = new GuestBindings(this.#namesTtlS);
    const guest = new Guest(this, { number: this.#nextGuest++, use, bindings }, link);
    if (this.dns !== null) {
      for (const address of this.#localAddresses) {
        for (const name of LOCAL_DNS_NAMES) bindings.bindAlways(address, name);
      }
    }
    this.#guests.set(guest.number, guest);
    const guestNumber = guest.number, { name } = link;
    this.events.emit("guestAttached", () => ({ type: "guestAttached", guestNumber, link: name }));
    return guest;
  }

  /** The guest's link has ended: its flows end too. */
  detach(guest: Guest, ending: FlowEnding = "guestGone"): void {
    if (!this.#guests.has(guest.number)) return;
    for (const flow of this.registry.all()) if (flow.key.guest === guest.number) flow.abort(ending);
    this.dns?.forget(guest);
    guest.dispose();
    this.events.emit("guestDetached", () => {
      const { number: guestNumber, out } = guest;
      return { type: "guestDetached", guestNumber, link: out.link.name, totals: this.registry.totalsOf(guest) };
    });
    this.quotas.guestLeft();
    this.#guests.delete(guest.number);
    this.forwards.gone(guest);
  }

  /**
   * Other rules are in force from now on: flows and peers that they do not allow end, unless `keepFlows`. Returns how
   * many those were.
   */
  replaceRules(egress: RuleList, { keepFlows = false }: { readonly keepFlows?: boolean } = {}): number {
    this.rules = { ...this.rules, egress };
    if (keepFlows) return 0;
    return this.registry.all().reduce((ended, flow) => ended + flow.rejudge(this.gatekeeper), 0);
  }

  /** Ends every flow, those included whose guest is gone while their host still drains. */
  close(): void {
    for (const guest of this.guests()) this.detach(guest, "gatewayClosed");
    for (const flow of this.registry.all()) flow.abort("gatewayClosed");
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
    return this.tcpFlows.get(key);
  }

  /** Begins a TCP flow for the SYN `packet`. Returns why not, or null. */
  openTcp(guest: GuestSide, packet: Packet): DropReason | null {
    return this.tcpFlows.open(guest, packet);
  }

  /** Sends a UDP datagram or an echo request. Returns why not, or null. */
  sendDatagram(guest: GuestSide, packet: Packet): DropReason | null {
    return packet.key.protocol === PROTOCOL_UDP
      ? this.udpFlows.send(guest, packet)
      : this.#echoFlows.send(guest, packet);
  }

  /** Whether a datagram with this key was sent to the guest. */
  hasSentDatagram(key: FlowKey): boolean {
    return key.protocol === PROTOCOL_UDP ? this.udpFlows.hasSent(key) : this.#echoFlows.hasSent(key);
  }

  /** The guest has nobody at the port of the packet with this key. Returns whether that changes anything. */
  datagramRefused(key: FlowKey, bytes: Uint8Array, start: number, end: number): boolean {
    return this.udpFlows.refused(key, bytes, start, end);
  }

  /** A handler for the host socket of a UDP forward. */
  forwardUdp(target: ForwardTarget): UdpForward {
    return new UdpForward(this, this.forwards, target);
  }

  // --- ForwardContext ---

  /** Why no further client of a forward can have a flow to `guest`, or null. */
  refusesClient(guest: GuestSide): DropReason | null {
    return this.quotas.refusesClient(guest.use, this.flowCount);
  }

  /** Whether a flow has this key. */
  isTaken(key: FlowKey): boolean {
    return key.protocol === PROTOCOL_UDP ? this.udpFlows.hasClient(key) : this.tcpFlows.get(key) !== undefined;
  }

  // --- FlowsContext ---

  /** The gateway's own DNS, if that is what a packet with this key asks; else null. */
  dnsFor(key: FlowKey): DnsService | null {
    if (key.remotePort !== DNS_PORT) return null;
    const segment = segmentOf(this.rules, key.family);
    return segment !== null && key.isTo(segment.dns) ? this.dns : null;
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
    this.quotas.connectEnded(use);
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
}
