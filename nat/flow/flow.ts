/**
 * What a flow is to the gateway, and what a relay needs of it.
 *
 * @module
 */
import type { BufferPool } from "../base/buffers.ts";
import type { Counters } from "../base/counters.ts";
import type { FlowEnding } from "./endings.ts";
import type { FlowKey } from "./flow_key.ts";
import type { ForwardTarget } from "../forwards.ts";
import type { Guest } from "../guest.ts";
import type { HostNetwork } from "../host.ts";
import type { RateLimitedLog } from "../base/rate_limited_log.ts";
import type { DatagramRelay } from "../relay/datagram.ts";
import type { Gathering } from "../relay/gathering.ts";
import type { TcpContext } from "../tcp/context.ts";
import type { TcpState } from "../tcp/transitions.ts";
import type { TimerWheel } from "../base/timers.ts";

/** A flow as `flows()` shows it. */
export interface FlowInfo {
  /** The transport. */
  readonly protocol: "tcp" | "udp" | "icmp";
  /** The guest's number, as `attach` gave it. */
  readonly guestNumber: number;
  /** The guest's address and port; for ICMP echo the identifier is the port. */
  readonly guest: string;
  /**
   * The address and port that the guest asked for; for UDP and ICMP, which has no port, the latest of them; for a forward, as which the guest sees the
   * client.
   */
  readonly target: string;
  /** The host address and port that stand for it; for a forward the client's own. */
  readonly host: string;
  /** Who began: the guest, or a client of a forward. */
  readonly openedBy: "guest" | "host";
  /** The state of the endpoint that faces the guest; `draining` when only the host side is left; `open` for UDP and ICMP. */
  readonly state: TcpState | "draining" | "open";
  /** Payload bytes received from the guest in order. */
  readonly bytesFromGuest: number;
  /** Payload bytes that the guest has acknowledged; for UDP and ICMP that were sent to it. */
  readonly bytesToGuest: number;
  /** Payload bytes that the host socket has taken; what is missing of `bytesFromGuest` is queued. */
  readonly bytesToHost: number;
  /** Payload bytes read from the host socket; what `bytesToGuest` lacks of them is queued or on its way. */
  readonly bytesFromHost: number;
  /** Segments sent to the guest again. */
  readonly retransmissions: number;
  /** Milliseconds since the flow began. */
  readonly ageMs: number;
  /** Milliseconds since the guest was last heard. */
  readonly idleMs: number;
}

/** Something that acts at the end of a turn. */
export interface EndsTurn {
  /** Does what became due in this turn. Called once for each time it was made due. */
  endTurn(): void;
}

/** A flow in the table. */
export interface Flow extends EndsTurn {
  /** Its key. */
  readonly key: FlowKey;
  /** Its guest. */
  readonly guest: Guest;
  /** The forward whose client began it; `null`: the guest did. */
  readonly forward: ForwardTarget | null;
  /** Whether the guest knows of it, so that it counts as one of the guest's: it began it or has answered. */
  readonly known: boolean;
  /** What `flows()` shows. */
  info(): FlowInfo;
  /** Ends it at once; `ending` is why. */
  abort(ending: FlowEnding): void;
}

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
  connectEnded(): void;
  /** The flow's key is free, the flow still has something to do. */
  drain(flow: Flow): void;
  /** Bytes can pass. */
  flowOpened(flow: Flow): void;
  /** A mapping is used: it is the last that makes room for another. */
  mappingUsed(mapping: DatagramRelay): void;
  /** The flow is over: it is counted and forgotten. */
  flowEnded(flow: Flow, ending: FlowEnding): void;
}
