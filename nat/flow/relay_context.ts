/**
 * What relays and services need of the gateway.
 *
 * @module
 */
import type { BufferPool } from "../base/buffers.ts";
import type { Counters, DropReason } from "../base/counters.ts";
import type { Logger } from "../base/logger.ts";
import type { RateLimitedLog } from "../base/rate_limited_log.ts";
import type { TimerWheel } from "../base/timers.ts";
import type { HostNetwork } from "../host.ts";
import type { Packet } from "../ip/packet.ts";
import type { Path } from "../ip/path.ts";
import type { Gathering } from "../relay/gathering.ts";
import type { TcpContext } from "../tcp/context.ts";
import type { Gatekeeper } from "../rules/gatekeeper.ts";
import type { TranslationRules } from "../rules/translate.ts";
import type { FlowPermit, Said } from "../rules/verdict.ts";
import type { Events } from "./events.ts";
import type { EndsTurn, Flow, GuestSide } from "./flow.ts";
import type { FlowKey } from "./flow_key.ts";
import type { FlowRegistry } from "./flow_registry.ts";
import type { HostGuard } from "../rules/host_guard.ts";
import type { Quotas } from "./quota.ts";

/** What relays need of the gateway. */
export interface RelayContext {
  /** The host's sockets. */
  readonly host: HostNetwork;
  /** What TCP endpoints share. */
  readonly tcp: TcpContext;
  /** The gateway's timers. */
  readonly timers: TimerWheel;
  /** Where buffers come from. */
  readonly pool: BufferPool;
  /** Where small segments of a turn are put together. */
  readonly gathering: Gathering;
  /** Drops by reason. */
  readonly counters: Counters;
  /** Lines that a guest can provoke. */
  readonly log: RateLimitedLog;
  /** Monotonic milliseconds. */
  now(): number;
  /** The initial sequence number for a connection (RFC 6528). */
  initialSequence(key: FlowKey): number;
  /** A large buffer to read a host socket into; the same one until it is taken. */
  readBuffer(): Uint8Array;
  /** The buffer that `readBuffer` gave is kept by someone. */
  readBufferTaken(): void;
  /** Calls `endTurn` at the end of this turn. */
  due(item: EndsTurn): void;
  /** A host connect that was under way has been answered. */
  connectEnded(guest: GuestSide): void;
  /** Who is told of what happens. */
  readonly events: Events;
  /** Every flow, of whatever protocol. */
  readonly registry: FlowRegistry;
  /** Who connects TCP flows. */
  readonly connectors: Connectors;
}

/** A guest that begins a flow, or asks the gateway's DNS. */
export interface Asker {
  /** The guest. */
  readonly guest: GuestSide;
  /** The key of its flow or question: its address and port, and those that it asks for. */
  readonly key: FlowKey;
  /** The way to it. */
  readonly path: Path;
}

/** Who connects: the host, or what stands in its place or before it. */
export type Connector = Pick<HostNetwork, "connectTcp">;

/** Chooses who connects a TCP flow. */
export interface Connectors {
  /** Who connects `flow`, which `asker` begins and that may lead to the targets of `permit`. */
  for(asker: Asker, permit: FlowPermit, flow: WatchedFlow): Connector;
}

/** A flow whose first bytes somebody may look at. */
export interface WatchedFlow extends Flow {
  /** They said what may be said. */
  verified(said: Said): void;
}

/** The gateway's own DNS as flows see it. */
export interface DnsAnswering {
  /** Takes a query over UDP. Returns why it has no answer, or null: it has one, now or later. */
  ask(packet: Packet, asker: Asker): DropReason | null;
  /** Takes the connections of a guest that asks over TCP, in the place of the host. */
  connector(asker: Asker): Connector;
}

/** Where records of what happens go. */
export interface Records {
  /** Whether they can be written, now. */
  readonly isAvailable: boolean;
}

/** What the flows of a protocol need of the gateway. */
export interface FlowsContext extends RelayContext {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** What guests may have. */
  readonly quotas: Quotas;
  /** Who may go where. */
  readonly gatekeeper: Gatekeeper;
  /** Whether what happens can be recorded; if not, nothing begins. */
  readonly records: Records;
  /** Keeps guests off the host's own addresses, if they may reach none. */
  readonly hostGuard: HostGuard;
  /** Lines that are said once. */
  readonly logger: Logger;
  /** The gateway's own DNS, if that is what a packet with this key asks; else null. */
  dnsFor(key: FlowKey): DnsAnswering | null;
  /** The guests that are attached. */
  guests(): readonly GuestSide[];
  /** An unpredictable unsigned 32-bit number. */
  random(): number;
}
