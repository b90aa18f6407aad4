/**
 * What every TCP endpoint of a gateway shares, and the two sides it talks to (RFC 9293 section 3.9): the user above,
 * the network below.
 *
 * @module
 */
import type { BufferPool } from "../base/buffers.ts";
import type { TimerWheel } from "../base/timers.ts";

/** The limits and times of TCP endpoints; milliseconds and bytes. */
export interface TcpConfig {
  /** Bytes a connection queues for its user before the window closes. */
  readonly receiveLimit: number;
  /** Bytes a connection holds unacknowledged or unsent. */
  readonly sendLimit: number;
  /** How long a SYN of ours is repeated before the connection is given up. */
  readonly connectTimeoutMs: number;
  /**
   * Silence of the peer after which unacknowledged data ends the connection (RFC 9293 section 3.8.3, R2: at least 100
   * s).
   */
  readonly userTimeoutMs: number;
  /** The same once our FIN was sent. */
  readonly lastAckTimeoutMs: number;
  /** How long TIME-WAIT lasts; short, because the path is one link (RFC 9293 section 3.6.1 has 2 MSL). */
  readonly timeWaitMs: number;
  /** Silence after which an idle connection is probed (RFC 9293 section 3.8.4). */
  readonly keepAliveMs: number;
  /** Time between keep-alive probes. */
  readonly keepAliveIntervalMs: number;
  /** Unanswered keep-alive probes that end the connection. */
  readonly keepAliveProbes: number;
}

/** The defaults of every gateway. */
export const TCP_DEFAULTS: TcpConfig = {
  receiveLimit: 2 << 20,
  sendLimit: 1 << 20,
  connectTimeoutMs: 10_000,
  userTimeoutMs: 120_000,
  lastAckTimeoutMs: 60_000,
  timeWaitMs: 1000,
  keepAliveMs: 2 * 3600 * 1000,
  keepAliveIntervalMs: 75_000,
  keepAliveProbes: 9,
};

/**
 * How often segments of known connections had no effect or only a part of it, by reason. A gateway's `Counters` is one.
 */
export interface TcpDrops {
  /** Nothing new in it, or a SYN that is known. */
  tcpRepeated: number;
  /** Outside the window, or not wanted in the connection's state. */
  tcpUnacceptable: number;
  /** A RST in the window but not exactly expected: challenged. */
  tcpResetChallenged: number;
  /** A SYN for a connection that is synchronized: challenged. */
  tcpSynChallenged: number;
  /** An ACK for what was never sent, or much too old: challenged, or reset during the handshake. */
  tcpAckUnacceptable: number;
  /** Neither ACK nor RST nor SYN. */
  tcpWithoutAck: number;
  /** Data after the peer's FIN. */
  tcpAfterFin: number;
  /** Out of order, with more gaps than are kept. */
  tcpTooManyGaps: number;
  /** Not kept because the gateway's buffers are full. */
  memoryLimit: number;
}

/** All drops at 0. */
export function createTcpDrops(): TcpDrops {
  return {
    tcpRepeated: 0,
    tcpUnacceptable: 0,
    tcpResetChallenged: 0,
    tcpSynChallenged: 0,
    tcpAckUnacceptable: 0,
    tcpWithoutAck: 0,
    tcpAfterFin: 0,
    tcpTooManyGaps: 0,
    memoryLimit: 0,
  };
}

/** What the endpoints of a gateway share. */
export interface TcpContext {
  /** Limits and times. */
  readonly config: TcpConfig;
  /** Where buffers come from. */
  readonly pool: BufferPool;
  /** The gateway's timers. */
  readonly timers: TimerWheel;
  /** Where segments without effect are counted. */
  readonly drops: TcpDrops;
  /** A buffer in which segments are put together that are not sent in place; used within one call. */
  readonly scratch: Uint8Array;
  /** Monotonic milliseconds. */
  now(): number;
}

/** The network below an endpoint: one peer address, one link. */
export interface TcpLower {
  /** Largest payload of a segment without options that the link carries: its MTU less the headers. */
  readonly maxSegmentSize: number;
  /** Largest payload that may be handed over at once: more than `maxSegmentSize` where the link segments. */
  readonly maxBurst: number;
  /**
   * Sends the segment `bytes[start, end)`: a TCP header without checksum and its payload. What lies before `start`,
   * `SEGMENT_HEADROOM` less the TCP header's length, may be overwritten. `segmentSize` is not 0 where the payload is to
   * be cut into pieces of that size.
   */
  transmit(bytes: Uint8Array, start: number, end: number, segmentSize: number): void;
}

/** The ports of a connection. */
export interface TcpPorts {
  /** Our port. */
  readonly localPort: number;
  /** The peer's port. */
  readonly peerPort: number;
}

/** Why an endpoint ended. */
export type TcpEnd =
  /** Both FINs sent and acknowledged. */
  | "finished"
  /** The peer sent RST. */
  | "reset"
  /** The user aborted. */
  | "aborted"
  /** The peer fell silent. */
  | "timedOut"
  /** The peer answered our SYN with RST. */
  | "refused";

/** The user above an endpoint. Every call comes from within a call of the endpoint or of its timer. */
export interface TcpUser {
  /** The handshake is complete: ESTABLISHED. */
  tcpOpened(): void;
  /**
   * Bytes came in order and nothing is queued before them. Returns how many the user took at once; the endpoint queues
   * the rest. The bytes are valid until this returns. The user must not call the endpoint from within this.
   */
  tcpReceived(bytes: Uint8Array, start: number, end: number): number;
  /** The peer has not answered for a second, and was sent to again. */
  tcpUnanswered?(): void;
  /** The peer's FIN came and every byte before it was received (queued or taken). */
  tcpPeerFinished(): void;
  /** Bytes were acknowledged or the peer's window opened: `readRoom` may have grown. */
  tcpSendRoom(): void;
  /**
   * The endpoint has ended: CLOSED or TIME-WAIT. What it received and the user has not taken stays in its queue. Called
   * once.
   */
  tcpEnded(reason: TcpEnd): void;
  /** TIME-WAIT has passed: the connection's key is free. */
  tcpTimeWaitOver(): void;
  /** The endpoint has something to say at the end of this turn: `endTurn` must be called then. May come often. */
  tcpTurnDue(): void;
}

/** Who takes bytes that waited. */
export interface QueueSink {
  /**
   * Takes what it can of `bytes[start, end)`: how many, 0 for none, or a negative number that `drainTo` answers with.
   */
  takeQueued(bytes: Uint8Array, start: number, end: number): number;
}
