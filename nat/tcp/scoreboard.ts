/**
 * What the peer has reported by SACK (RFC 2018) of the bytes it has not yet acknowledged (RFC 6675 section 3: the
 * scoreboard).
 *
 * A sorted list of ranges that do not touch, all above SND.UNA. The number of ranges is bounded; a report beyond the
 * bound is ignored, which costs a needless retransmission and nothing else.
 *
 * @module
 */
import { seqDiff, seqLess, seqLessOrEqual, seqMax, seqMin } from "../../net/wire/seq.ts";

/** Ranges that are kept at most. */
export const MAX_SACKED_RANGES = 256;

/** The state of a scoreboard. */
export interface ScoreboardRecord {
  /** The left edge of each range, in order. */
  readonly left: number[];
  /** The right edge of each range. */
  readonly right: number[];
  /** How many bytes lie in them. */
  bytes: number;
}

/** The SACKed ranges of one connection's send side. */
export class Scoreboard {
  /** All of its state. */
  readonly record: ScoreboardRecord = { left: [], right: [], bytes: 0 };

  /** Bytes reported. */
  get bytes(): number {
    return this.record.bytes;
  }

  /** Whether nothing is reported. */
  get isEmpty(): boolean {
    return this.record.left.length === 0;
  }

  /** The highest reported sequence number plus one; meaningful where not empty. */
  get highest(): number {
    return this.record.right[this.record.right.length - 1]!;
  }

  /** Adds the block `[left, right)`. Returns whether it told anything new. */
  add(left: number, right: number): boolean {
    const { record } = this;
    let first = 0;
    while (first < record.left.length && seqLess(record.right[first]!, left)) first++;
    let last = first;
    while (last < record.left.length && seqLessOrEqual(record.left[last]!, right)) {
      if (seqLessOrEqual(record.left[last]!, left) && seqLessOrEqual(right, record.right[last]!)) {
        return false;
      }
      last++;
    }
    if (last === first && record.left.length >= MAX_SACKED_RANGES) return false;
    for (let i = first; i < last; i++) {
      record.bytes -= seqDiff(record.right[i]!, record.left[i]!);
      left = seqMin(left, record.left[i]!);
      right = seqMax(right, record.right[i]!);
    }
    record.left.splice(first, last - first, left);
    record.right.splice(first, last - first, right);
    record.bytes += seqDiff(right, left);
    return true;
  }

  /** Forgets what lies before `una`. */
  advance(una: number): void {
    const { record } = this;
    while (record.left.length > 0 && seqLess(record.left[0]!, una)) {
      if (seqLess(una, record.right[0]!)) {
        record.bytes -= seqDiff(una, record.left[0]!);
        record.left[0] = una;
        return;
      }
      record.bytes -= seqDiff(record.right[0]!, record.left[0]!);
      record.left.shift();
      record.right.shift();
    }
  }

  /** The first sequence number from `seq` on that is not reported. */
  skip(seq: number): number {
    const { record } = this;
    for (let i = 0; i < record.left.length; i++) {
      if (seqLess(seq, record.left[i]!)) return seq;
      if (seqLess(seq, record.right[i]!)) return record.right[i]!;
    }
    return seq;
  }

  /** How far the hole that holds `seq` reaches, at most to `limit`. */
  holeEnd(seq: number, limit: number): number {
    const { record } = this;
    for (let i = 0; i < record.left.length; i++) {
      if (seqLess(seq, record.left[i]!)) return seqMin(record.left[i]!, limit);
    }
    return limit;
  }

  /** Reported bytes at or above `seq`. */
  bytesFrom(seq: number): number {
    const { record } = this;
    let bytes = 0;
    for (let i = record.left.length - 1; i >= 0 && seqLess(seq, record.right[i]!); i--) {
      bytes += seqDiff(record.right[i]!, seqMax(seq, record.left[i]!));
    }
    return bytes;
  }

  /** Forgets everything: the peer may have reneged (RFC 2018 section 8). */
  clear(): void {
    const { record } = this;
    record.left.length = record.right.length = record.bytes = 0;
  }
}
