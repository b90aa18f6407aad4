/**
 * The send side of a connection: what is queued, sent and acknowledged (RFC 9293 section 3.4, RFC 6298); what is lost
 * is told in `recovery.ts`.
 *
 * **Sequence space.** `una` ≤ `next` ≤ the queue's end. The queue holds every byte from `una` on; SYN and FIN take one
 * number each and no byte. A zero-window probe may cover one number beyond `next` without moving it (`probed`); if the
 * peer takes it, `next` follows its ACK.
 *
 * **Round trips** are timed one segment at a time, until its ACK or the SACK block that reports it.
 *
 * @module
 */
import { seqAdd, seqDiff, seqLess, seqMax } from "../../net/wire/seq.ts";
import { ByteQueue } from "../base/buffers.ts";
import { CongestionWindow } from "./congestion.ts";
import type { TcpContext } from "./context.ts";
import { Recovery } from "./recovery.ts";
import { RttEstimator } from "./rtt.ts";

/** What one connection sends. */
export class SendSide {
  /** Our initial sequence number. */
  initial = 0;
  /** Oldest unacknowledged sequence number. */
  una = 0;
  /** Next sequence number to send. */
  next = 0;
  /** The peer's window in bytes, scaled. */
  window = 0;
  /** The largest window the peer has offered. */
  maxWindow = 0;
  /** Shift of the window field in the peer's segments. */
  shift = 0;
  /** Payload bytes of a full segment. */
  mss = 536;
  /** Whether the peer understands SACK. */
  sackPermitted = false;
  /** Whether FIN follows the queued bytes. */
  finQueued = false;
  /** Sequence number of our FIN once it was sent; -1 before. */
  finSeq: number = -1;
  /** Segments sent again. */
  retransmissions = 0;
  /** Bytes acknowledged. */
  bytes = 0;
  /** Bytes from `una` on, sent or not. */
  readonly queue: ByteQueue;
  /** Round trip and timeout. */
  readonly rtt: RttEstimator = new RttEstimator();
  /** Congestion window. */
  readonly congestion: CongestionWindow;
  /** What was lost. */
  readonly recovery: Recovery;

  /** Whether our SYN is not yet acknowledged: it takes a number and no byte. */
  #synOutstanding = false;
  #probed = 0;
  /** Segment and time of the last window update (RFC 9293: SND.WL1, SND.WL2). */
  #updateSeq = 0;
  #updateAck = 0;
  /** The number after the timed segment, and when it was sent; -1: none is timed. */
  #timedSeq = 0;
  #timedAt = -1;

  /** An empty side. */
  constructor(context: TcpContext) {
    this.queue = new ByteQueue(context.pool);
    this.congestion = new CongestionWindow(context.config.sendLimit);
    this.recovery = new Recovery(this, this.congestion);
  }

  /** Begins with this initial sequence number, the SYN not yet sent. */
  open(initial: number): void {
    this.initial =
      this.una =
      this.next =
      this.#probed =
        initial;
    this.#synOutstanding = true;
  }

  /** Sequence numbers sent and not acknowledged. */
  get flight(): number {
    return seqDiff(this.next, this.una);
  }

  /** Bytes queued and not sent. Our SYN and FIN count as nothing here. */
  get unsent(): number {
    const syn = this.#synOutstanding && this.flight > 0 ? 1 : 0;
    const fin = this.finSeq >= 0 && !this.finAcknowledged ? 1 : 0;
    return this.queue.length - (this.flight - syn - fin);
  }

  /** Whether our FIN waits to be sent and nothing is before it. */
  get finIsNext(): boolean {
    return this.finQueued && this.finSeq < 0 && this.unsent === 0;
  }

  /** Whether our FIN was sent and is acknowledged. */
  get finAcknowledged(): boolean {
    return this.finSeq >= 0 && seqLess(this.finSeq, this.una);
  }

  /** Bytes that the peer's window allows beyond `next`. */
  get windowLeft(): number {
    return Math.max(0, this.window - this.flight);
  }

  /** Bytes of new data that may be sent now, by the peer's window and the congestion window. */
  get usable(): number {
    return Math.max(0, Math.min(this.windowLeft, this.congestion.bytes - this.recovery.pipe));
  }

  /** Whether `ack` acknowledges something that was sent (at most a probe's byte beyond `next`). */
  covers(ack: number): boolean {
    return !seqLess(ack, this.una) && !seqLess(seqMax(this.next, this.#probed), ack);
  }

  /** Notes that `[seq, seq + length)` was sent for the first time. */
  sent(seq: number, length: number, now: number): void {
    this.next = seqAdd(seq, length);
    if (this.#timedAt < 0) {
      this.#timedAt = now;
      this.#timedSeq = this.next;
    }
  }

  /** Notes a zero-window probe of one number beyond `next`. */
  probeSent(): void {
    this.#probed = seqMax(this.#probed, seqAdd(this.next, 1));
    this.#timedAt = -1;
  }

  /**
   * Takes the peer's window where the segment is newer than the last that gave one (RFC 9293 section 3.10.7.4). Returns
   * whether it grew.
   */
  updateWindow(seq: number, ack: number, field: number): boolean {
    const newer = seqLess(this.#updateSeq, seq) || (this.#updateSeq === seq && !seqLess(ack, this.#updateAck));
    if (!newer && !seqLess(this.una, ack)) return false;
    const before = this.window;
    this.window = field << this.shift;
    this.maxWindow = Math.max(this.maxWindow, this.window);
    this.#updateSeq = seq;
    this.#updateAck = ack;
    return this.window > before;
  }

  /** Begins to compare window updates with the segment that opened the connection. */
  startWindow(seq: number, ack: number, window: number): void {
    this.#updateSeq = seq;
    this.#updateAck = ack;
    this.window = this.maxWindow = window;
  }

  /** Takes a block of a SACK option; returns whether it told anything new. */
  sacked(left: number, right: number, now: number): boolean {
    if (!this.recovery.sacked(left, right)) return false;
    if (this.#timedAt >= 0 && this.recovery.isReported(seqAdd(this.#timedSeq, -1))) this.#takeSample(now);
    return true;
  }

  /** Takes an ACK that covers new data, which had waited for it for `waitedMs`. */
  acknowledged(ack: number, now: number, waitedMs: number): void {
    const bytes = this.#bytesBelow(ack);
    const answersTimed = this.#timedAt >= 0 && !seqLess(ack, this.#timedSeq);
    // In a recovery the ACK may have waited for what was sent again.
    if (answersTimed && !this.recovery.isActive) {
      this.#takeSample(now);
    } else {
      if (answersTimed) this.#timedAt = -1;
      this.rtt.restore(waitedMs);
    }
    this.una = ack;
    this.#synOutstanding = false;
    if (seqLess(this.next, ack)) this.next = ack;
    this.queue.consume(bytes);
    this.bytes += bytes;
    this.recovery.acknowledged(bytes);
  }

  /** Takes an ACK that covers nothing new, `news` if its SACK blocks told something. */
  duplicate(news: boolean): void {
    if (this.flight > 0) this.recovery.duplicate(news);
  }

  /** The retransmission timer fired. */
  timedOut(): void {
    this.#timedAt = -1;
    this.recovery.timedOut();
    this.rtt.backOff();
  }

  /** A shut window has opened. */
  windowOpened(): void {
    this.#timedAt = -1;
    this.rtt.restore(0);
    this.recovery.windowOpened();
  }

  /** Notes that `[seq, seq + length)` was sent again; what of it is timed is so no more (Karn). */
  repeated(seq: number, length: number): void {
    this.recovery.repeated(seq, length);
    this.#countRepetition(seq, length);
  }

  /** Whether a loss probe would tell something. */
  get mayProbe(): boolean {
    return this.sackPermitted && this.flight > 0 && !this.#synOutstanding;
  }

  /** Notes a tail loss probe that ends before `next` and sends `length` numbers again. */
  tailProbeSent(length: number): void {
    this.recovery.tailProbeSent(this.next);
    if (length > 0) this.#countRepetition(seqAdd(this.next, -length), length);
  }

  /** Frees everything. */
  clear(): void {
    this.queue.clear();
    this.recovery.clear();
  }

  #countRepetition(seq: number, length: number): void {
    this.retransmissions++;
    const last = seqAdd(this.#timedSeq, -1);
    if (this.#timedAt >= 0 && !seqLess(last, seq) && seqLess(last, seqAdd(seq, length))) this.#timedAt = -1;
  }

  #takeSample(now: number): void {
    this.rtt.sample(now - this.#timedAt);
    this.#timedAt = -1;
  }

  /** Bytes of the queue below `ack`: SYN and FIN are numbers without a byte. */
  #bytesBelow(ack: number): number {
    const syn = this.#synOutstanding ? 1 : 0;
    const fin = this.finQueued && seqDiff(ack, this.una) - syn > this.queue.length ? 1 : 0;
    return Math.max(0, seqDiff(ack, this.una) - syn - fin);
  }
}
