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

/** The state of a send side. */
export interface SendRecord {
  /** Our initial sequence number. */
  initial: number;
  /** Oldest unacknowledged sequence number. */
  una: number;
  /** Next sequence number to send. */
  next: number;
  /** The peer's window in bytes, scaled. */
  window: number;
  /** The largest window the peer has offered. */
  maxWindow: number;
  /** Shift of the window field in the peer's segments. */
  shift: number;
  /** Payload bytes of a full segment. */
  mss: number;
  /** Whether the peer understands SACK. */
  sackPermitted: boolean;
  /** Whether FIN follows the queued bytes. */
  finQueued: boolean;
  /** Sequence number of our FIN once it was sent; -1 before. */
  finSeq: number;
  /** Segments sent again. */
  retransmissions: number;
  /** Bytes acknowledged. */
  bytes: number;
  /** Whether our SYN is not yet acknowledged: it takes a number and no byte. */
  synOutstanding: boolean;
  /** The number after the last zero-window probe. */
  probed: number;
  /** Sequence number of the last segment that gave a window (RFC 9293: SND.WL1). */
  updateSeq: number;
  /** Its ACK (SND.WL2). */
  updateAck: number;
  /** The number after the timed segment. */
  timedSeq: number;
  /** When that was sent, in `now()` time; -1: none is timed. */
  timedAt: number;
}

/** What one connection sends. */
export class SendSide {
  /** All of its state but the queue. */
  readonly record: SendRecord = {
    initial: 0,
    una: 0,
    next: 0,
    window: 0,
    maxWindow: 0,
    shift: 0,
    mss: 536,
    sackPermitted: false,
    finQueued: false,
    finSeq: -1,
    retransmissions: 0,
    bytes: 0,
    synOutstanding: false,
    probed: 0,
    updateSeq: 0,
    updateAck: 0,
    timedSeq: 0,
    timedAt: -1,
  };
  /** Bytes from `una` on, sent or not. */
  readonly queue: ByteQueue;
  /** Round trip and timeout. */
  readonly rtt: RttEstimator = new RttEstimator();
  /** Congestion window. */
  readonly congestion: CongestionWindow;
  /** What was lost. */
  readonly recovery: Recovery;

  /** An empty side. */
  constructor(context: TcpContext) {
    this.queue = new ByteQueue(context.pool);
    this.congestion = new CongestionWindow(context.config.sendLimit);
    this.recovery = new Recovery(this.record, this.congestion);
  }

  /** Begins with this initial sequence number, the SYN not yet sent. */
  open(initial: number): void {
    const { record } = this;
    record.initial =
      record.una =
      record.next =
      record.probed =
        initial;
    record.synOutstanding = true;
  }

  /** Sequence numbers sent and not acknowledged. */
  get flight(): number {
    const { next, una } = this.record;
    return seqDiff(next, una);
  }

  /** Whether nothing waits to be sent or acknowledged. */
  get isIdle(): boolean {
    const { finQueued, una, next } = this.record;
    return this.queue.length === 0 && !finQueued && una === next;
  }

  /** Bytes queued and not sent. Our SYN and FIN count as nothing here. */
  get unsent(): number {
    const { record, flight } = this, syn = record.synOutstanding && flight > 0 ? 1 : 0;
    const fin = record.finSeq >= 0 && !this.finAcknowledged ? 1 : 0;
    return this.queue.length - (flight - syn - fin);
  }

  /** Whether our FIN waits to be sent and nothing is before it. */
  get finIsNext(): boolean {
    const { finQueued, finSeq } = this.record;
    return finQueued && finSeq < 0 && this.unsent === 0;
  }

  /** Whether our FIN was sent and is acknowledged. */
  get finAcknowledged(): boolean {
    const { record } = this;
    return record.finSeq >= 0 && seqLess(record.finSeq, record.una);
  }

  /** Bytes that the peer's window allows beyond `next`. */
  get windowLeft(): number {
    return Math.max(0, this.record.window - this.flight);
  }

  /** Bytes of new data that may be sent now, by the peer's window and the congestion window. */
  get usable(): number {
    return Math.max(0, Math.min(this.windowLeft, this.congestion.bytes - this.recovery.pipe));
  }

  /** Whether `ack` acknowledges something that was sent (at most a probe's byte beyond `next`). */
  covers(ack: number): boolean {
    const { record } = this;
    return !seqLess(ack, record.una) && !seqLess(seqMax(record.next, record.probed), ack);
  }

  /** Notes that `[seq, seq + length)` was sent for the first time. */
  sent(seq: number, length: number, now: number): void {
    const { record } = this;
    record.next = seqAdd(seq, length);
    if (record.timedAt < 0) {
      record.timedAt = now;
      record.timedSeq = record.next;
    }
  }

  /** Notes a zero-window probe of one number beyond `next`. */
  probeSent(): void {
    const { record } = this;
    record.probed = seqMax(record.probed, seqAdd(record.next, 1));
    record.timedAt = -1;
  }

  /**
   * Takes the peer's window where the segment is newer than the last that gave one (RFC 9293 section 3.10.7.4). Returns
   * whether it grew.
   */
  updateWindow(seq: number, ack: number, field: number): boolean {
    const { record } = this, { updateSeq, updateAck } = record;
    const newer = seqLess(updateSeq, seq) || (updateSeq === seq && !seqLess(ack, updateAck));
    if (!newer && !seqLess(record.una, ack)) return false;
    const before = record.window;
    record.window = field << record.shift;
    record.maxWindow = Math.max(record.maxWindow, record.window);
    record.updateSeq = seq;
    record.updateAck = ack;
    return record.window > before;
  }

  /** Begins to compare window updates with the segment that opened the connection. */
  startWindow(seq: number, ack: number, window: number): void {
    const { record } = this;
    record.updateSeq = seq;
    record.updateAck = ack;
    record.window = record.maxWindow = window;
  }

  /** Takes a block of a SACK option; returns whether it told anything new. */
  sacked(left: number, right: number, now: number): boolean {
    if (!this.recovery.sacked(left, right)) return false;
    if (this.record.timedAt >= 0 && this.recovery.isReported(seqAdd(this.record.timedSeq, -1))) this.#takeSample(now);
    return true;
  }

  /** Takes an ACK that covers new data, which had waited for it for `waitedMs`. */
  acknowledged(ack: number, now: number, waitedMs: number): void {
    const { record } = this, bytes = this.#bytesBelow(ack);
    const answersTimed = record.timedAt >= 0 && !seqLess(ack, record.timedSeq);
    // In a recovery the ACK may have waited for what was sent again.
    if (answersTimed && !this.recovery.isActive) {
      this.#takeSample(now);
    } else {
      if (answersTimed) record.timedAt = -1;
      this.rtt.restore(waitedMs);
    }
    record.una = ack;
    record.synOutstanding = false;
    if (seqLess(record.next, ack)) record.next = ack;
    this.queue.consume(bytes);
    record.bytes += bytes;
    this.recovery.acknowledged(bytes);
  }

  /** Takes an ACK that covers nothing new, `news` if its SACK blocks told something. */
  duplicate(news: boolean): void {
    if (this.flight > 0) this.recovery.duplicate(news);
  }

  /** The retransmission timer fired. */
  timedOut(): void {
    this.record.timedAt = -1;
    this.recovery.timedOut();
    this.rtt.backOff();
  }

  /** A shut window has opened. */
  windowOpened(): void {
    this.record.timedAt = -1;
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
    const { sackPermitted, synOutstanding } = this.record;
    return sackPermitted && this.flight > 0 && !synOutstanding;
  }

  /** Notes a tail loss probe that ends before `next` and sends `length` numbers again. */
  tailProbeSent(length: number): void {
    this.recovery.tailProbeSent(this.record.next);
    if (length > 0) this.#countRepetition(seqAdd(this.record.next, -length), length);
  }

  /** Frees everything. */
  clear(): void {
    this.queue.clear();
    this.recovery.clear();
  }

  #countRepetition(seq: number, length: number): void {
    const { record } = this;
    record.retransmissions++;
    const last = seqAdd(record.timedSeq, -1);
    if (record.timedAt >= 0 && !seqLess(last, seq) && seqLess(last, seqAdd(seq, length))) record.timedAt = -1;
  }

  #takeSample(now: number): void {
    const { record } = this;
    this.rtt.sample(now - record.timedAt);
    record.timedAt = -1;
  }

  /** Bytes of the queue below `ack`: SYN and FIN are numbers without a byte. */
  #bytesBelow(ack: number): number {
    const { record } = this, syn = record.synOutstanding ? 1 : 0;
    const covered = seqDiff(ack, record.una) - syn;
    const fin = record.finQueued && covered > this.queue.length ? 1 : 0;
    return Math.max(0, covered - fin);
  }
}
