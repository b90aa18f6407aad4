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

/** Out-of-order bytes of one connection. The caller has cut them to the window. */
export class Reassembly {
  #pool: BufferPool;
  #pages = new Map<number, Uint8Array>();
  /** Left and right edge of each range, most recently changed first. */
  #left: number[] = [];
  #right: number[] = [];

  /** An empty store over `pool`. */
  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** How many ranges there are. */
  get count(): number {
    return this.#left.length;
  }

  /** Bytes of memory held. */
  get pinned(): number {
    return this.#pages.size * SMALL_BUFFER;
  }

  /** Keeps `bytes[start, end)`, whose first byte has sequence number `seq`. Returns whether there was room. */
  insert(seq: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#left.length >= MAX_RANGES || start >= end) return false;
    let left = seq, right = seqAdd(seq, end - start);
    for (let at = seq; start < end;) {
      const within = at % SMALL_BUFFER, count = Math.min(end - start, SMALL_BUFFER - within);
      copyBytes(bytes, start, start + count, this.#page(at), within);
      start += count;
      at = seqAdd(at, count);
    }
    for (let i = this.#left.length - 1; i >= 0; i--) {
      if (seqLess(right, this.#left[i]!) || seqLess(this.#right[i]!, left)) continue;
      left = seqMin(left, this.#left[i]!);
      right = seqMax(right, this.#right[i]!);
      this.#remove(i);
    }
    this.#left.unshift(left);
    this.#right.unshift(right);
    return true;
  }

  /** Bytes that are there without a gap from `seq` on. */
  readable(seq: number): number {
    for (let i = 0; i < this.#left.length; i++) {
      if (seqLessOrEqual(this.#left[i]!, seq) && seqLess(seq, this.#right[i]!)) return seqDiff(this.#right[i]!, seq);
    }
    return 0;
  }

  /**
   * The page that holds the byte at `seq`; it begins at `seq % SMALL_BUFFER` in it. Only where `readable(seq)` is not
   * 0.
   */
  pageAt(seq: number): Uint8Array {
    return this.#pages.get(pageNumber(seq))!;
  }

  /** Forgets everything before `seq`. */
  discardBefore(seq: number): void {
    for (let i = this.#left.length - 1; i >= 0; i--) {
      if (seqLessOrEqual(this.#right[i]!, seq)) this.#remove(i);
      else if (seqLess(this.#left[i]!, seq)) this.#left[i] = seq;
    }
    if (this.#left.length === 0) return this.clear();
    for (const [number, page] of this.#pages) {
      const end = (number + 1) * SMALL_BUFFER >>> 0;
      if (!seqLessOrEqual(end, seq)) continue;
      this.#pages.delete(number);
      this.#pool.give(page);
    }
  }

  /** Writes up to `max` blocks as left and right edges (RFC 2018 section 3), most recent first. Returns how many. */
  blocks(edges: Uint32Array, max: number): number {
    const count = Math.min(max, this.#left.length);
    for (let i = 0; i < count; i++) {
      edges[2 * i] = this.#left[i]!;
      edges[2 * i + 1] = this.#right[i]!;
    }
    return count;
  }

  /** Whether the byte at `seq` is there. */
  has(seq: number): boolean {
    for (let i = 0; i < this.#left.length; i++) {
      if (seqInWindow(seq, this.#left[i]!, seqDiff(this.#right[i]!, this.#left[i]!))) return true;
    }
    return false;
  }

  /** Forgets everything. */
  clear(): void {
    this.#left.length = this.#right.length = 0;
    for (const page of this.#pages.values()) this.#pool.give(page);
    this.#pages.clear();
  }

  #page(seq: number): Uint8Array {
    const number = pageNumber(seq);
    let page = this.#pages.get(number);
    if (!page) this.#pages.set(number, page = this.#pool.takeSmall());
    return page;
  }

  #remove(index: number): void {
    this.#left.splice(index, 1);
    this.#right.splice(index, 1);
  }
}

function pageNumber(seq: number): number {
  return Math.floor(seq / SMALL_BUFFER);
}
