/**
 * What a connection sends when (RFC 9293 section 3.10.7.4 and 3.8, RFC 6298 section 5): repetitions first, then new
 * data, then FIN.
 *
 * One deadline serves retransmission, tail loss probe and persist, which exclude each other: something is on its way
 * and unanswered, for long or for two round trips, or nothing is and the peer's window shuts out what is queued.
 * `retransmitAt` is when it comes; the endpoint keeps the timer and asks here what is to be done.
 *
 * @module
 */
import { seqAdd, seqLess } from "../../net/wire/seq.ts";
import { SMALL_BUFFER } from "../base/buffers.ts";
import type { TcpContext } from "./context.ts";
import { RTO_MIN_MS } from "./rtt.ts";
import type { SendSide } from "./send_side.ts";
import type { Transmitter } from "./transmitter.ts";

/** Bytes that a tail loss probe sends again at most: any will be reported. */
const PROBE_BYTES = 1400;
/** What a loss probe waits beyond two round trips, for the timers' own coarseness, in milliseconds. */
const PROBE_SLACK_MS = 2;

/** The state of an output, times in `now()` time. */
export interface OutputRecord {
  /** When to send again or probe; -1: nothing waits for an answer. */
  retransmitAt: number;
  /** Since when something has been waiting for an answer; -1: nothing is. */
  waitingSince: number;
  /** Whether what comes at `retransmitAt` is a loss probe. */
  isProbe: boolean;
}

/** Sends for one connection and keeps the retransmission deadline. */
export class Output {
  /** All of its state. */
  readonly record: OutputRecord = { retransmitAt: -1, waitingSince: -1, isProbe: false };

  #context: TcpContext;
  #send: SendSide;
  #out: Transmitter;

  /** Sends what `send` holds through `out`. */
  constructor(context: TcpContext, parts: { send: SendSide; out: Transmitter }) {
    this.#context = context;
    this.#send = parts.send;
    this.#out = parts.out;
  }

  /** Whether something waits for the peer's window and nothing is on its way: the persist timer's case. */
  get isBlocked(): boolean {
    const send = this.#send;
    return send.flight === 0 && (send.unsent > 0 || send.finIsNext);
  }

  /**
   * How many bytes to read from the source now: what can be sent at once, and where nothing can, a first piece for the
   * persist timer.
   */
  get readRoom(): number {
    const send = this.#send;
    if (send.unsent > 0) return 0;
    const usable = send.usable,
      most = this.#context.pool.isFull ? Math.min(this.#out.readLimit, SMALL_BUFFER) : this.#out.readLimit;
    if (this.#context.pool.isFull && send.queue.length > 0) return 0;
    if (send.queue.pinned + most > this.#context.config.sendLimit && send.queue.length > 0) return 0;
    if (send.flight === 0) return Math.min(usable > 0 ? usable : send.record.mss, most);
    // Silly window avoidance (RFC 9293 section 3.8.6.2.1), in bursts: something is on its way, its ACK will call again.
    // An eighth keeps a small window full.
    const { maxWindow, mss } = send.record;
    const worth = Math.max(Math.min(maxWindow, send.congestion.bytes) / 8, Math.min(mss, maxWindow / 2));
    return usable >= Math.min(most, worth) ? Math.min(usable, most) : 0;
  }

  /** SYN, or SYN and ACK, for the first time or again. */
  syn(acknowledging: boolean): void {
    const send = this.#send, first = this.record.waitingSince < 0;
    this.#out.syn(acknowledging);
    if (first) {
      this.#noteSent(1);
    } else {
      send.record.next = seqAdd(send.record.initial, 1);
      send.repeated(send.record.initial, 1);
    }
    this.arm();
  }

  /**
   * Sends the newest `length` queued bytes, which lie at `buffer[start]` behind their headroom, in place where that may
   * be now; else as `run` does.
   */
  fresh(buffer: Uint8Array, start: number, length: number): void {
    const send = this.#send;
    if (
      send.unsent > length || length > send.usable || length > this.#out.payloadLimit || send.recovery.repeatFrom >= 0
    ) {
      return this.run();
    }
    this.#out.inPlace(buffer, start, send.record.next, length);
    this.#noteSent(length);
    this.arm();
  }

  /** Sends what may be sent. */
  run(): void {
    const send = this.#send;
    if (send.isIdle) return;
    for (let seq = send.recovery.repeatFrom; seq >= 0; seq = send.recovery.repeatFrom) {
      const length = send.recovery.repeatLength(seq, this.#out.payloadLimit);
      if (length <= 0) break;
      const fin = send.record.finSeq >= 0 && seqLess(send.record.finSeq, seqAdd(seq, length)) ? 1 : 0;
      this.#out.fromQueue(seq, length - fin, fin === 1);
      send.repeated(seq, length);
      // The answer to this is waited for from now on.
      this.record.retransmitAt = -1;
    }
    if (send.recovery.repeatFrom < 0) this.#newData();
    if (send.flight > 0 || this.isBlocked) this.arm();
  }

  /** Takes an ACK that covers new data, and what it tells of the round trip. */
  countAcknowledged(ack: number): void {
    const now = this.#context.now(), since = this.record.waitingSince;
    this.#send.acknowledged(ack, now, since < 0 ? 0 : now - since);
  }

  /** Something was acknowledged: the deadline starts anew for what is still on its way (RFC 6298 section 5.2, 5.3). */
  acknowledged(now: number): void {
    const { record } = this;
    record.retransmitAt = record.waitingSince = -1;
    if (this.#send.flight === 0) return;
    record.waitingSince = now;
    this.arm();
  }

  /** The deadline has come after the handshake. */
  timedOut(): void {
    const send = this.#send;
    this.record.retransmitAt = -1;
    if (this.isBlocked) {
      this.#probe();
    } else if (send.flight === 0) {
      return;
    } else if (this.record.isProbe) {
      if (send.recovery.probeFront()) this.run();
      else this.#probeTail();
    } else {
      send.timedOut();
      this.run();
    }
    this.arm();
  }

  /** Sets the deadline where there is none. */
  arm(): void {
    const { record } = this;
    if (record.retransmitAt >= 0) return;
    const now = this.#context.now(), rtoMs = this.#send.rtt.rtoMs, probeMs = this.#probeMs();
    record.isProbe = probeMs < rtoMs;
    record.retransmitAt = now + Math.min(probeMs, rtoMs);
    if (record.waitingSince < 0) record.waitingSince = now;
  }

  /** Nothing waits any more. */
  disarm(): void {
    const { record } = this;
    record.retransmitAt = record.waitingSince = -1;
  }

  /** When a loss probe is due (RFC 8985 section 7.2); `Infinity` where it would tell nothing. */
  #probeMs(): number {
    const send = this.#send, overdueMs = send.rtt.overdueMs;
    if (overdueMs < 0 || !send.mayProbe) return Infinity;
    const { probes, isActive } = send.recovery, waitMs = (overdueMs + PROBE_SLACK_MS) * 2 ** probes;
    // The peer may hold back its ACK of a single segment that fills no gap.
    return probes === 0 && !isActive && send.flight <= send.record.mss ? waitMs + RTO_MIN_MS : waitMs;
  }

  /**
   * One segment whose report shows what before it was lost: new data where there is some and the peer's window lets it,
   * else the last bytes once more.
   */
  #probeTail(): void {
    const send = this.#send, most = this.#out.segmentPayload;
    const fresh = Math.min(send.unsent, send.windowLeft, most);
    if (fresh > 0) {
      const fin = this.#finRides(fresh);
      this.#out.fromQueue(send.record.next, fresh, fin);
      this.#noteSent(fin ? fresh + 1 : fresh);
      return send.tailProbeSent(0);
    }
    const fin = send.record.finSeq >= 0 ? 1 : 0, length = Math.min(send.flight - fin, most, PROBE_BYTES);
    this.#out.fromQueue(seqAdd(send.record.next, -length - fin), length, fin === 1);
    send.tailProbeSent(length + fin);
  }

  #newData(): void {
    const send = this.#send;
    for (let unsent = send.unsent; unsent > 0; unsent = send.unsent) {
      const length = Math.min(unsent, send.usable, this.#out.payloadLimit);
      if (length <= 0) return;
      // Silly window avoidance at the sender (RFC 9293 section 3.8.6.2.1).
      if (length < unsent && length < Math.min(send.record.mss, send.record.maxWindow / 2) && send.flight > 0) return;
      const fin = this.#finRides(length);
      this.#out.fromQueue(send.record.next, length, fin);
      this.#noteSent(fin ? length + 1 : length);
    }
    if (send.finIsNext && send.windowLeft > 0) this.#fin();
  }

  #fin(): void {
    const { record } = this.#send;
    record.finSeq = record.next;
    this.#out.fromQueue(record.next, 0, true);
    this.#noteSent(1);
  }

  /** Whether FIN may ride on the last `length` unsent bytes. */
  #finRides(length: number): boolean {
    const send = this.#send;
    const { finQueued, finSeq, next } = send.record;
    if (length !== send.unsent || !finQueued || finSeq >= 0 || send.windowLeft <= length) return false;
    send.record.finSeq = seqAdd(next, length);
    return true;
  }

  /** One byte, or the FIN, into a shut window: its answer tells the window (RFC 9293 section 3.8.6.1). */
  #probe(): void {
    const send = this.#send;
    if (send.unsent > 0) {
      this.#out.fromQueue(send.record.next, 1, false);
      send.probeSent();
    } else {
      this.#fin();
    }
    send.rtt.backOff();
  }

  #noteSent(length: number): void {
    const { record } = this, send = this.#send, now = this.#context.now();
    if (record.waitingSince < 0) record.waitingSince = now;
    send.sent(send.record.next, length, now);
  }
}
