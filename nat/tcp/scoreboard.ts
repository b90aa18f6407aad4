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

/** The SACKed ranges of one connection's send side. */
export class Scoreboard {
  #left: number[] = [];
  #right: number[] = [];
  #bytes = 0;

  /** Bytes reported. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether nothing is reported. */
  get isEmpty(): boolean {
    return this.#left.length === 0;
  }

  /** The highest reported sequence number plus one; meaningful where not empty. */
  get highest(): number {
    return this.#right[this.#right.length - 1]!;
  }

  /** Adds the block `[left, right)`. Returns whether it told anything new. */
  add(left: number, right: number): boolean {
    let first = 0;
    while (first < this.#left.length && seqLess(this.#right[first]!, left)) first++;
    let last = first;
    while (last < this.#left.length && seqLessOrEqual(this.#left[last]!, right)) {
      if (seqLessOrEqual(this.#left[last]!, left) && seqLessOrEqual(right, this.#right[last]!)) return false;
      last++;
    }
    if (last === first && this.#left.length >= MAX_SACKED_RANGES) return false;
    for (let i = first; i < last; i++) {
      this.#bytes -= seqDiff(this.#right[i]!, this.#left[i]!);
      left = seqMin(left, this.#left[i]!);
      right = seqMax(right, this.#right[i]!);
    }
    this.#left.splice(first, last - first, left);
    this.#right.splice(first, last - first, right);
    this.#bytes += seqDiff(right, left);
    return true;
  }

  /** Forgets what lies before `una`. */
  advance(una: number): void {
    while (this.#left.length > 0 && seqLess(this.#left[0]!, una)) {
      if (seqLess(una, this.#right[0]!)) {
        this.#bytes -= seqDiff(una, this.#left[0]!);
        this.#left[0] = una;
        return;
      }
      this.#bytes -= seqDiff(this.#right[0]!, this.#left[0]!);
      this.#left.shift();
      this.#right.shift();
    }
  }

  /** The first sequence number from `seq` on that is not reported. */
  skip(seq: number): number {
    for (let i = 0; i < this.#left.length; i++) {
      if (seqLess(seq, this.#left[i]!)) return seq;
      if (seqLess(seq, this.#right[i]!)) return this.#right[i]!;
    }
    return seq;
  }

  /** How far the hole that holds `seq` reaches, at most to `limit`. */
  holeEnd(seq: number, limit: number): number {
    for (let i = 0; i < this.#left.length; i++) {
      if (seqLess(seq, this.#left[i]!)) return seqMin(this.#left[i]!, limit);
    }
    return limit;
  }

  /** Reported bytes at or above `seq`. */
  bytesFrom(seq: number): number {
    let bytes = 0;
    for (let i = this.#left.length - 1; i >= 0 && seqLess(seq, this.#right[i]!); i--) {
      bytes += seqDiff(this.#right[i]!, seqMax(seq, this.#left[i]!));
    }
    return bytes;
  }

  /** Forgets everything: the peer may have reneged (RFC 2018 section 8). */
  clear(): void {
    this.#left.length = this.#right.length = this.#bytes = 0;
  }
}
