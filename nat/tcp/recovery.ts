/**
 * What was lost, and what of it is to be sent again when (RFC 6675, without SACK RFC 6582; RFC 8985 in spirit).
 *
 * **Beginning.** Three duplicate ACKs, or SACK blocks that amount to them (on whichever ACK they come: a peer that
 * merges segments merges ACKs too), begin a recovery that lasts until everything sent by then is acknowledged. A
 * timeout begins one too, in which everything unacknowledged counts as lost.
 *
 * **Repeating.** The holes below the highest SACKed byte are sent again, each once, in order, as the congestion window
 * allows beside `pipe`, what is thought to be still on its way. `cursor` walks through them; `doneEnd` is how far it
 * has come.
 *
 * **Lost twice.** A repetition may be lost as well. Every number sent below `checkSeq` had been repeated when the
 * checkpoint was set. Once SACK reports something that was sent after that, new data or the repetition of a later hole,
 * what is still missing below the checkpoint was lost twice: the cursor goes over it again (`redoEnd`) and a new
 * checkpoint is set. This is the time order of RFC 8985 by sequence numbers, one checkpoint at a time, instead of a
 * time for each segment; it takes a link for one that keeps the order, and where it does not, a needless repetition is
 * what that costs.
 *
 * **Tail.** What is lost at the end of a flight has nothing behind it that would report it. A tail loss probe (RFC 8985
 * section 7) is sent after two round trips without an answer: new data or the last segment once more. If it is reported
 * and something before it is not, that is a loss like any other. In a recovery the first hole is what is sent once
 * more. Where RFC 8985 has one probe, here each waits twice as long as the one before until the retransmission timeout
 * would come first: its least value is a thousand round trips of such a link, too long to wait for a probe that was
 * lost.
 *
 * Left out: undoing a recovery that was not needed (RFC 3522, 5682), and the D-SACK reports that would tell.
 *
 * @module
 */
import { seqAdd, seqDiff, seqLess, seqMax, seqMin } from "../../net/wire/seq.ts";
import type { CongestionWindow } from "./congestion.ts";
import { Scoreboard, type ScoreboardRecord } from "./scoreboard.ts";

/** Duplicate ACKs that mean a loss (RFC 5681 section 3.2). */
export const DUPLICATE_THRESHOLD = 3;

const NONE = 0;
const FAST = 1;
const TIMEOUT = 2;

/** The sequence space that is sent from. */
export interface SendSpace {
  /** Oldest unacknowledged sequence number. */
  readonly una: number;
  /** Next sequence number to send. */
  readonly next: number;
  /** Payload bytes of a full segment. */
  readonly mss: number;
  /** Whether the peer understands SACK. */
  readonly sackPermitted: boolean;
}

/** The state of a recovery. */
export interface RecoveryRecord {
  /** Duplicate ACKs in a row. */
  duplicates: number;
  /** 0: nothing is lost; 1: a recovery that duplicates or SACK began; 2: one that a timeout began. */
  kind: typeof NONE | typeof FAST | typeof TIMEOUT;
  /** What was sent when the recovery began: it ends when this is acknowledged. */
  point: number;
  /** Where the next repetition begins. */
  cursor: number;
  /** The end of what was repeated in this recovery. */
  doneEnd: number;
  /** Up to where the cursor goes over holes again; then it jumps to `doneEnd`. */
  redoEnd: number;
  /** The checkpoint: everything missing below this had been repeated by then. */
  checkSeq: number;
  /** SND.NXT at the checkpoint. */
  checkNext: number;
  /** Whether a repetition that was made after the checkpoint was reported. */
  laterRepairReported: boolean;
  /** The number after the outstanding tail loss probe; -1: there is none. */
  tailProbeEnd: number;
  /** Loss probes since the last step forward. */
  probes: number;
}

/** The losses of one connection. */
export class Recovery {
  /** All of its state but the scoreboard. */
  readonly record: RecoveryRecord = {
    duplicates: 0,
    kind: NONE,
    point: 0,
    cursor: 0,
    doneEnd: 0,
    redoEnd: 0,
    checkSeq: 0,
    checkNext: 0,
    laterRepairReported: false,
    tailProbeEnd: -1,
    probes: 0,
  };

  #space: SendSpace;
  #congestion: CongestionWindow;
  #board: Scoreboard | null = null;

  /** Nothing is lost yet in `space`. */
  constructor(space: SendSpace, congestion: CongestionWindow) {
    this.#space = space;
    this.#congestion = congestion;
  }

  /** What the peer has reported; `null`: nothing. */
  get reported(): ScoreboardRecord | null {
    return this.#board === null ? null : this.#board.record;
  }

  /** Whether losses are being repaired. */
  get isActive(): boolean {
    return this.record.kind !== NONE;
  }

  // --- what the peer says ---

  /**
   * Takes a block of a SACK option; returns whether it told anything new. Blocks that make no sense are ignored (RFC
   * 2018 section 4, D-SACK too).
   */
  sacked(left: number, right: number): boolean {
    const { record } = this, { una, next, sackPermitted } = this.#space;
    if (!sackPermitted || !seqLess(left, right) || !seqLess(una, left) || seqLess(next, right)) return false;
    this.#board ??= new Scoreboard();
    if (!this.#board.add(left, right)) return false;
    record.probes = 0;
    if (record.kind !== NONE && !seqLess(left, record.checkSeq) && seqLess(left, record.doneEnd)) {
      record.laterRepairReported = true;
    }
    return true;
  }

  /** Whether the byte at `seq` was reported. */
  isReported(seq: number): boolean {
    return this.#board !== null && this.#board.skip(seq) !== seq;
  }

  /** SND.UNA has moved forward over `bytes`. */
  acknowledged(bytes: number): void {
    const { record } = this, { una, mss } = this.#space, board = this.#board;
    record.duplicates = 0;
    record.probes = 0;
    if (record.tailProbeEnd >= 0 && !seqLess(una, record.tailProbeEnd)) record.tailProbeEnd = -1;
    if (board !== null) {
      board.advance(una);
      if (board.isEmpty) this.#board = null;
    }
    if (record.kind === NONE) {
      this.#congestion.acknowledged(bytes, mss);
    } else if (!seqLess(una, record.point)) {
      record.kind = NONE;
    } else {
      if (record.kind === TIMEOUT) this.#congestion.acknowledged(bytes, mss);
      // RFC 6582 section 3.2 step 3: a partial ACK without SACK names the next lost segment.
      if (this.#board === null && record.kind === FAST) record.cursor = una;
      record.cursor = seqMax(record.cursor, una);
      record.doneEnd = seqMax(record.doneEnd, una);
      if (seqLess(record.checkSeq, una)) this.#setCheckpoint();
    }
    if (this.#board !== null) this.#detect();
  }

  /** An ACK that covers nothing new while something is outstanding, `news` if its SACK blocks told something. */
  duplicate(news: boolean): void {
    if (news || !this.#space.sackPermitted) this.record.duplicates++;
    this.#detect();
  }

  // --- what time says ---

  /** The retransmission timer fired (RFC 6298 section 5.4 to 5.6, RFC 5681 section 3.1). */
  timedOut(): void {
    const { record } = this, { next, mss } = this.#space;
    // A second timeout for the same byte: the peer may have reneged on what it reported.
    if (record.kind === TIMEOUT && record.point === next) this.#board = null;
    if (record.kind !== TIMEOUT) this.#congestion.timedOut(this.#flight, mss);
    this.#begin(TIMEOUT);
  }

  /** A shut window has opened: what is outstanding was refused, not lost, and is sent again without a penalty. */
  windowOpened(): void {
    if (this.#flight > 0) this.#begin(TIMEOUT);
  }

  /** Loss probes since something was acknowledged or reported. */
  get probes(): number {
    return this.record.probes;
  }

  /** Has the first hole repeated once more, in a recovery. Returns whether there is one. */
  probeFront(): boolean {
    const { record } = this;
    if (record.kind === NONE) return false;
    record.probes++;
    this.#redo(this.#board?.holeEnd(this.#space.una, record.doneEnd) ?? record.doneEnd);
    return true;
  }

  /** Notes a tail loss probe that ends before `end`. */
  tailProbeSent(end: number): void {
    this.record.probes++;
    this.record.tailProbeEnd = end;
  }

  // --- what is to be repeated ---

  /** Where the next repetition begins, or -1 where nothing is to be repeated now. */
  get repeatFrom(): number {
    const { record } = this;
    if (record.kind === NONE) return -1;
    if (seqLess(record.cursor, record.redoEnd)) {
      const again = this.#skip(record.cursor);
      if (seqLess(again, record.redoEnd)) return again;
    }
    const seq = this.#skip(seqMax(record.cursor, record.doneEnd));
    return seqLess(seq, this.#lostEnd()) ? seq : -1;
  }

  /** Sequence numbers that may be repeated from `seq` on, beside what is thought to be on its way. */
  repeatLength(seq: number, most: number): number {
    const { una, mss } = this.#space;
    const limit = seqLess(seq, this.record.redoEnd) ? this.record.redoEnd : this.#lostEnd();
    const hole = seqDiff(this.#board?.holeEnd(seq, limit) ?? limit, seq), room = this.#congestion.bytes - this.pipe;
    const allowed = seq === una ? Math.max(mss, room) : room;
    return allowed < Math.min(mss, hole) ? 0 : Math.min(hole, most, Math.max(allowed, mss));
  }

  /** Notes that `[seq, seq + length)` was repeated. */
  repeated(seq: number, length: number): void {
    const { record } = this;
    record.cursor = seqAdd(seq, length);
    record.doneEnd = seqMax(record.doneEnd, record.cursor);
    if (!seqLess(this.#space.una, record.checkSeq)) this.#setCheckpoint();
  }

  /** What is thought to be on its way: sent, not reported, not lost or sent again (RFC 6675 section 4). */
  get pipe(): number {
    const { record } = this, reported = this.#board?.bytes ?? 0;
    if (record.kind === NONE) return this.#flight - reported;
    const again = this.#missing(record.cursor, record.redoEnd);
    const lost = this.#missing(seqMax(record.cursor, record.doneEnd), this.#lostEnd());
    const departed = this.#space.sackPermitted ? reported : record.duplicates * this.#space.mss;
    return Math.max(0, this.#flight - departed - again - lost);
  }

  /** Forgets everything. */
  clear(): void {
    this.#board = null;
    this.record.kind = NONE;
  }

  get #flight(): number {
    return seqDiff(this.#space.next, this.#space.una);
  }

  #detect(): void {
    const { record } = this, { una, mss } = this.#space, board = this.#board;
    if (record.kind === NONE) {
      const reported = board?.bytes ?? 0, several = (DUPLICATE_THRESHOLD - 1) * mss;
      const tail = record.tailProbeEnd >= 0 && this.isReported(seqAdd(record.tailProbeEnd, -1));
      if (record.duplicates < DUPLICATE_THRESHOLD && reported <= several && !tail) return;
      this.#congestion.lost(this.#flight, mss);
      this.#begin(FAST);
    } else if (board !== null && seqLess(una, record.checkSeq)) {
      const { laterRepairReported, checkNext, checkSeq } = this.record;
      if (laterRepairReported || board.bytesFrom(checkNext) > 0) this.#redo(checkSeq);
    }
  }

  #begin(kind: typeof FAST | typeof TIMEOUT): void {
    const { record } = this, { una, next } = this.#space;
    record.kind = kind;
    record.point = next;
    record.cursor = record.doneEnd = record.redoEnd = una;
    record.tailProbeEnd = -1;
    record.probes = 0;
    this.#setCheckpoint();
  }

  /** The cursor goes again over what is missing below `end`. */
  #redo(end: number): void {
    this.record.cursor = this.#space.una;
    this.record.redoEnd = end;
    this.#setCheckpoint();
  }

  #setCheckpoint(): void {
    const { record } = this;
    record.checkSeq = record.doneEnd;
    record.checkNext = this.#space.next;
    record.laterRepairReported = false;
  }

  /** The end of what counts as lost. */
  #lostEnd(): number {
    if (this.record.kind === TIMEOUT) return this.record.point;
    if (this.#board !== null) return this.#board.highest;
    // Without SACK only the first segment is known to be missing (RFC 6582).
    return seqMin(seqAdd(this.#space.una, this.#space.mss), this.#space.next);
  }

  #skip(seq: number): number {
    return this.#board?.skip(seq) ?? seq;
  }

  /** Numbers in `[from, to)` that are not reported. */
  #missing(from: number, to: number): number {
    if (!seqLess(from, to)) return 0;
    const reported = this.#board === null ? 0 : this.#board.bytesFrom(from) - this.#board.bytesFrom(to);
    return seqDiff(to, from) - reported;
  }
}
