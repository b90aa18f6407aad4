/**
 * The send side of a connection: what is queued, sent, acknowledged, lost (RFC 9293 section 3.4, RFC 6675, RFC 6298).
 *
 * **Sequence space.** `una` ≤ `next` ≤ the queue's end. The queue holds every byte from `una` on; SYN and FIN take one number each and no byte.
 * A zero-window probe may cover one number beyond `next` without moving it (`probed`); if the peer takes it, `next` follows its ACK.
 *
 * **Loss.** Three duplicate ACKs, or SACK blocks that amount to them (on whichever ACK they come: a peer that merges segments merges ACKs too), start a
 * recovery that lasts until everything sent by then is acknowledged
 * (RFC 6675 section 5; without SACK RFC 6582). In it the holes below the highest SACKed byte are sent again, each once, as the congestion window
 * allows beside `pipe`, what is thought to be still on its way. A timeout calls everything unacknowledged lost. In both cases
 * `retransmitNext` walks through what is to be repeated. It begins anew where SACK reports what was sent after the first hole was repeated, be it
 * new data or the repetition of a later hole, and a round trip has passed: that hole was then lost twice (RFC 8985 in spirit, by sequence numbers
 * instead of a time for each segment).
 *
 * **Tail.** What is lost at the end of a flight has nothing behind it that would report it. A tail loss probe (RFC 8985 section 7) is sent after two round
 * trips without an answer: new data or the last segment once more. If it is reported and something before it is not, that is a loss like any other. In a
 * recovery the first hole is what is sent once more. There is one probe for each step forward; then the retransmission timeout has its turn.
 *
 * @module
 */
import { seqAdd, seqDiff, seqLess, seqMax } from "../../net/wire/seq.ts";
import { ByteQueue } from "../buffers.ts";
import { CongestionWindow } from "./congestion.ts";
import type { TcpContext } from "./context.ts";
import { RttEstimator } from "./rtt.ts";
import { Scoreboard } from "./scoreboard.ts";

/** Duplicate ACKs that mean a loss (RFC 5681 section 3.2). */
export const DUPLICATE_THRESHOLD = 3;

const NONE = 0;
const FAST = 1;
const TIMEOUT = 2;

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

  /** Whether our SYN is not yet acknowledged: it takes a number and no byte. */
  #synOutstanding = false;
  #board: Scoreboard | null = null;
  #duplicates = 0;
  #recovery: typeof NONE | typeof FAST | typeof TIMEOUT = NONE;
  /** What was sent when the recovery began: it ends when this is acknowledged. */
  #recoveryPoint = 0;
  #retransmitNext = 0;
  /** SND.NXT at the last repetition. */
  #repeatedAt = 0;
  /** When the first hole was last repeated. */
  #frontRepeatedMs = 0;
  /** Whether SACK has reported a repetition since then. */
  #repairReported = false;
  /** The number after the outstanding tail loss probe; -1: there is none. */
  #tailProbeEnd: number = -1;
  /** Whether the first hole was repeated as a probe since the last step forward. */
  #frontProbed = false;
  #now: () => number;
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
    this.#now = () => context.now();
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
    return Math.max(0, Math.min(this.windowLeft, this.congestion.bytes - this.#pipe()));
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

  /** Takes the peer's window where the segment is newer than the last that gave one (RFC 9293 section 3.10.7.4). Returns whether it grew. */
  updateWindow(seq: number, ack: number, field: number): boolean {
    if (!seqLess(this.#updateSeq, seq) && !(this.#updateSeq === seq && !seqLess(ack, this.#updateAck))) return false;
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

  /** Takes a block of a SACK option; returns whether it told anything new. Blocks that make no sense are ignored (RFC 2018 section 4, D-SACK too). */
  sacked(left: number, right: number): boolean {
    if (!this.sackPermitted || !seqLess(left, right) || !seqLess(this.una, left) || seqLess(this.next, right)) {
      return false;
    }
    this.#board ??= new Scoreboard();
    if (!this.#board.add(left, right)) return false;
    this.#frontProbed = false;
    if (this.#recovery !== NONE && seqLess(left, this.#retransmitNext)) this.#repairReported = true;
    return true;
  }

  /** Takes an ACK that covers new data, which had waited for it for `waitedMs`. */
  acknowledged(ack: number, now: number, waitedMs: number): void {
    const bytes = this.#bytesBelow(ack);
    if (this.#timedAt >= 0 && !seqLess(ack, this.#timedSeq)) {
      this.rtt.sample(now - this.#timedAt);
      this.#timedAt = -1;
    } else {
      this.rtt.restore(waitedMs);
    }
    this.una = ack;
    this.#synOutstanding = false;
    this.#frontRepeatedMs = now;
    this.#repairReported = this.#frontProbed = false;
    if (this.#tailProbeEnd >= 0 && !seqLess(ack, this.#tailProbeEnd)) this.#tailProbeEnd = -1;
    if (seqLess(this.next, ack)) this.next = ack;
    this.queue.consume(bytes);
    this.bytes += bytes;
    this.#duplicates = 0;
    if (this.#board !== null) {
      this.#board.advance(ack);
      if (this.#board.isEmpty) this.#board = null;
    }
    if (this.#recovery === NONE) {
      this.congestion.acknowledged(bytes, this.mss);
    } else if (!seqLess(ack, this.#recoveryPoint)) {
      this.#recovery = NONE;
    } else {
      if (this.#recovery === TIMEOUT) this.congestion.acknowledged(bytes, this.mss);
      // RFC 6582 section 3.2 step 3: a partial ACK without SACK names the next lost segment.
      if (this.#board === null && this.#recovery === FAST) this.#retransmitNext = ack;
      this.#retransmitNext = seqMax(this.#retransmitNext, ack);
    }
    if (this.#board !== null) this.#detectLoss();
  }

  /** Takes an ACK that covers nothing new while something is outstanding, `news` if its SACK blocks told something. Three of them begin a recovery. */
  duplicate(news: boolean): void {
    if (this.flight === 0) return;
    if (news || !this.sackPermitted) this.#duplicates++;
    this.#detectLoss();
  }

  /** The retransmission timer fired: everything unacknowledged counts as lost (RFC 6298 section 5.4 to 5.6, RFC 5681 section 3.1). */
  timedOut(): void {
    // A second timeout for the same byte: the peer may have reneged on what it reported.
    if (this.#recovery === TIMEOUT && this.#recoveryPoint === this.next) this.#board = null;
    if (this.#recovery !== TIMEOUT) this.congestion.timedOut(this.flight, this.mss);
    this.#begin(TIMEOUT);
    this.rtt.backOff();
  }

  /** A shut window has opened: what is outstanding was refused, not lost, and is sent again without a penalty. */
  windowOpened(): void {
    this.rtt.restore(0);
    if (this.flight > 0) this.#begin(TIMEOUT);
  }

  /** Where the next repetition begins, or -1 where nothing is to be repeated now. */
  get repeatFrom(): number {
    if (this.#recovery === NONE) return -1;
    const seq = this.#board?.skip(this.#retransmitNext) ?? this.#retransmitNext;
    return seqLess(seq, this.#lostEnd()) ? seq : -1;
  }

  /** Sequence numbers that may be repeated from `seq` on, beside what is thought to be on its way. */
  repeatLength(seq: number, most: number): number {
    const hole = seqDiff(this.#board?.holeEnd(seq, this.#lostEnd()) ?? this.#lostEnd(), seq);
    const allowed = seq === this.una
      ? Math.max(this.mss, this.congestion.bytes - this.#pipe())
      : this.congestion.bytes - this.#pipe();
    return allowed < Math.min(this.mss, hole) ? 0 : Math.min(hole, most, Math.max(allowed, this.mss));
  }

  /** Notes that `[seq, seq + length)` was repeated; it is timed no more (Karn). */
  repeated(seq: number, length: number): void {
    this.#retransmitNext = seqAdd(seq, length);
    this.#repeatedAt = this.next;
    if (seq === this.una) {
      this.#frontRepeatedMs = this.#now();
      this.#repairReported = false;
    }
    this.retransmissions++;
    this.#timedAt = -1;
  }

  /** Whether a loss probe would tell something, and none is under way already. */
  get mayProbe(): boolean {
    const isProbed = this.#recovery === NONE ? this.#tailProbeEnd >= 0 : this.#frontProbed;
    return this.sackPermitted && !isProbed && !this.#synOutstanding && this.flight > 0;
  }

  /** Has the first hole repeated once more, in a recovery. Returns whether there is one. */
  probeFront(): boolean {
    if (this.#recovery === NONE) return false;
    this.#frontProbed = true;
    this.#retransmitNext = this.una;
    return true;
  }

  /** Notes a tail loss probe that ends before `end`; `isRepetition` unless it is new data. */
  tailProbeSent(end: number, isRepetition: boolean): void {
    this.#tailProbeEnd = end;
    if (!isRepetition) return;
    this.retransmissions++;
    this.#timedAt = -1;
  }

  /** Frees everything. */
  clear(): void {
    this.queue.clear();
    this.#board = null;
  }

  #detectLoss(): void {
    const board = this.#board, several = (DUPLICATE_THRESHOLD - 1) * this.mss;
    if (this.#recovery === NONE) {
      const isLoss = this.#duplicates >= DUPLICATE_THRESHOLD || (board?.bytes ?? 0) > several || this.#tailIsReported();
      if (!isLoss) return;
      this.congestion.lost(this.flight, this.mss);
      this.#begin(FAST);
    } else if (board !== null && seqLess(this.una, this.#retransmitNext)) {
      const overtaken = this.#repairReported || board.bytesFrom(this.#repeatedAt) > several;
      if (!overtaken || this.#now() - this.#frontRepeatedMs < this.rtt.srttMs) return;
      this.#retransmitNext = this.una;
      this.#repeatedAt = this.next;
    }
  }

  #tailIsReported(): boolean {
    const last = seqAdd(this.#tailProbeEnd, -1);
    return this.#tailProbeEnd >= 0 && this.#board !== null && this.#board.skip(last) !== last;
  }

  #begin(kind: typeof FAST | typeof TIMEOUT): void {
    this.#recovery = kind;
    this.#tailProbeEnd = -1;
    this.#repairReported = this.#frontProbed = false;
    this.#recoveryPoint = this.next;
    this.#retransmitNext = this.una;
    this.#timedAt = -1;
  }

  /** The end of what counts as lost. */
  #lostEnd(): number {
    if (this.#recovery === TIMEOUT) return this.#recoveryPoint;
    if (this.#board !== null) return this.#board.highest;
    // Without SACK only the first segment is known to be missing (RFC 6582).
    const first = seqAdd(this.una, this.mss);
    return seqLess(first, this.next) ? first : this.next;
  }

  /** What is thought to be on its way: sent, not reported, not lost or sent again (RFC 6675 section 4). */
  #pipe(): number {
    const reported = this.#board?.bytes ?? 0;
    if (this.#recovery === NONE) return this.flight - reported;
    const end = this.#lostEnd();
    let lost = seqLess(this.#retransmitNext, end) ? seqDiff(end, this.#retransmitNext) : 0;
    if (lost > 0 && this.#board !== null) {
      lost -= this.#board.bytesFrom(this.#retransmitNext) - this.#board.bytesFrom(end);
    }
    const departed = this.sackPermitted ? reported : this.#duplicates * this.mss;
    return Math.max(0, this.flight - departed - lost);
  }

  /** Bytes of the queue below `ack`: SYN and FIN are numbers without a byte. */
  #bytesBelow(ack: number): number {
    const syn = this.#synOutstanding ? 1 : 0;
    const fin = this.finQueued && seqDiff(ack, this.una) - syn > this.queue.length ? 1 : 0;
    return Math.max(0, seqDiff(ack, this.una) - syn - fin);
  }
}
