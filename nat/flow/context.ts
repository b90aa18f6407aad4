/**
 * What relays and services need of the gateway.
 *
 * @module
 */
import type { BufferPool } from "../base/buffers.ts";
import type { Counters } from "../base/counters.ts";
import type { RateLimitedLog } from "../base/rate_limited_log.ts";
import type { TimerWheel } from "../base/timers.ts";
import type { HostNetwork } from "../host.ts";
import type { Gathering } from "../relay/gathering.ts";
import type { TcpContext } from "../tcp/context.ts";
import type { FlowEnding } from "./endings.ts";
import type { EndsTurn, Flow, GuestSide } from "./flow.ts";
import type { FlowKey } from "./flow_key.ts";

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
  /** The flow's key is free, the flow still has something to do. */
  drain(flow: Flow): void;
  /** Bytes can pass. */
  flowOpened(flow: Flow): void;
  /** The flow is over: it is counted and forgotten. */
  flowEnded(flow: Flow, ending: FlowEnding): void;
}
