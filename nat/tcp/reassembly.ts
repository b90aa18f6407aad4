/**
 * Segments that came before their turn (RFC 9293 section 3.10.7.4, "segments with higher beginning sequence numbers may
 * be held").
 *
 * The bytes lie in pages keyed by their sequence number, so that overlapping, repeated and tiny segments cost no more
 * memory than the window they fall into; which bytes are there is a short list of ranges. The list is kept most recent
 * first, which is the order in which RFC 2018 section 4 reports blocks. Beyond `MAX_RANGES` a new range is not taken:
 * the peer sends it again.
 *
 * @module
 */
import { seqAdd, seqDiff, seqInWindow, seqLess, seqLessOrEqual, seqMax, seqMin } from "../../net/wire/seq.ts";
import { type BufferPool, copyBytes, SMALL_BUFFER } from "../base/buffers.ts";

/** Ranges that are kept at most. */
export const MAX_RANGES = 128;

/** The state of a store of out-of-order bytes. */
export interface ReassemblyRecord {
  /** The left edge of each range, most recently changed first. */
  readonly left: number[];
  /** The right edge of each range. */
  readonly right: number[];
  /** The pages by the number of each: the sequence number of its first byte over `SMALL_BUFFER`. */
  readonly pages: Map<number, Uint8Array>;
}

/** Out-of-order bytes of one connection. The caller has cut them to the window. */
export class Reassembly {
  /** All of its state. */
  readonly record: ReassemblyRecord = { left: [], right: [], pages: new Map() };

  #pool: BufferPool;

  /** An empty store over `pool`. */
  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** How many ranges there are. */
  get count(): number {
    return this.record.left.length;
  }

  /** Bytes of memory held. */
  get pinned(): number {
    return this.record.pages.size * SMALL_BUFFER;
  }

  /** Keeps `bytes[start, end)`, whose first byte has sequence number `seq`. Returns whether there was room. */
  insert(seq: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { record } = this;
    if (record.left.length >= MAX_RANGES || start >= end) return false;
    let left = seq, right = seqAdd(seq, end - start);
    for (let at = seq; start < end;) {
      const within = at % SMALL_BUFFER, count = Math.min(end - start, SMALL_BUFFER - within);
      copyBytes(bytes, start, start + count, this.#page(at), within);
      start += count;
      at = seqAdd(at, count);
    }
    for (let i = record.left.length - 1; i >= 0; i--) {
      if (seqLess(right, record.left[i]!) || seqLess(record.right[i]!, left)) continue;
      left = seqMin(left, record.left[i]!);
      right = seqMax(right, record.right[i]!);
      this.#remove(i);
    }
    record.left.unshift(left);
    record.right.unshift(right);
    return true;
  }

  /** Bytes that are there without a gap from `seq` on. */
  readable(seq: number): number {
    const { record } = this;
    for (let i = 0; i < record.left.length; i++) {
      if (seqLessOrEqual(record.left[i]!, seq) && seqLess(seq, record.right[i]!)) {
        return seqDiff(record.right[i]!, seq);
      }
    }
    return 0;
  }

  /**
   * The page that holds the byte at `seq`; it begins at `seq % SMALL_BUFFER` in it. Only where `readable(seq)` is not
   * 0.
   */
  pageAt(seq: number): Uint8Array {
    return this.record.pages.get(pageNumber(seq))!;
  }

  /** Forgets everything before `seq`. */
  discardBefore(seq: number): void {
    const { record } = this;
    for (let i = record.left.length - 1; i >= 0; i--) {
      if (seqLessOrEqual(record.right[i]!, seq)) this.#remove(i);
      else if (seqLess(record.left[i]!, seq)) record.left[i] = seq;
    }
    if (record.left.length === 0) return this.clear();
    for (const [number, page] of record.pages) {
      const end = (number + 1) * SMALL_BUFFER >>> 0;
      if (!seqLessOrEqual(end, seq)) continue;
      record.pages.delete(number);
      this.#pool.give(page);
    }
  }

  /** Writes up to `max` blocks as left and right edges (RFC 2018 section 3), most recent first. Returns how many. */
  blocks(edges: Uint32Array, max: number): number {
    const { record } = this, count = Math.min(max, record.left.length);
    for (let i = 0; i < count; i++) {
      edges[2 * i] = record.left[i]!;
      edges[2 * i + 1] = record.right[i]!;
    }
    return count;
  }

  /** Whether the byte at `seq` is there. */
  has(seq: number): boolean {
    const { record } = this;
    for (let i = 0; i < record.left.length; i++) {
      if (seqInWindow(seq, record.left[i]!, seqDiff(record.right[i]!, record.left[i]!))) return true;
    }
    return false;
  }

  /** Forgets everything. */
  clear(): void {
    const { record } = this;
    record.left.length = record.right.length = 0;
    for (const page of record.pages.values()) this.#pool.give(page);
    record.pages.clear();
  }

  #page(seq: number): Uint8Array {
    const number = pageNumber(seq);
    let page = this.record.pages.get(number);
    if (!page) this.record.pages.set(number, page = this.#pool.takeSmall());
    return page;
  }

  #remove(index: number): void {
    this.record.left.splice(index, 1);
    this.record.right.splice(index, 1);
  }
}

function pageNumber(seq: number): number {
  return Math.floor(seq / SMALL_BUFFER);
}
