/**
 * Reused memory for bytes on their way: a pool of buffers and a queue over them.
 *
 * **Pool.** Two sizes. A large buffer holds the payload of the largest IP packet behind `SEGMENT_HEADROOM`, so that a
 * host socket reads straight into it and the headers are then written in front, in place. A small one holds what was
 * copied. The pool keeps a bounded number of free buffers; the rest is the garbage collector's. It knows how much is in
 * use and tells when that is scarce or full; what is given up then is its users' decision, because only they know what
 * can be had again.
 *
 * **Queue.** Bytes in order, added at the end and taken from the front. `append` copies, filling up the last buffer
 * first, so that one-byte pieces never pin more than their sum and two buffers; `adopt` takes a buffer over as it is,
 * for bulk. Bytes can be copied out from any distance behind the front, which is what a retransmission needs. An empty
 * queue holds no buffer.
 *
 * @module
 */
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";

/** Payload bytes that a large buffer holds: the most an IP packet can carry. */
export const LARGE_PAYLOAD = 65536;
/** Size in bytes of a large buffer. */
export const LARGE_BUFFER: number = SEGMENT_HEADROOM + LARGE_PAYLOAD;
/** Size in bytes of a small buffer. */
export const SMALL_BUFFER = 4096;
/** Below this count of bytes a payload is copied instead of pinning a large buffer. */
export const COPYBREAK = 16384;

const KEEP_LARGE = 128;
const KEEP_SMALL = 256;

/** Free buffers of two sizes. */
export class BufferPool {
  #large: Uint8Array[] = [];
  #small: Uint8Array[] = [];
  #taken = 0;
  #limit: number;

  /** A pool whose users are to hold back at `limit` bytes in use: it says so and refuses nothing. */
  constructor(limit: number = Infinity) {
    this.#limit = limit;
  }

  /** Whether half of the limit is in use: time to promise less. */
  get isScarce(): boolean {
    return this.#taken * 2 >= this.#limit;
  }

  /** Whether all of the limit is in use: time to keep nothing that can be had again. */
  get isFull(): boolean {
    return this.#taken >= this.#limit;
  }

  /** Bytes of the buffers that are in use. */
  get takenBytes(): number {
    return this.#taken;
  }

  /** A buffer of `LARGE_BUFFER` bytes with arbitrary content. */
  takeLarge(): Uint8Array {
    this.#taken += LARGE_BUFFER;
    return this.#large.pop() ?? new Uint8Array(LARGE_BUFFER);
  }

  /** A buffer of `SMALL_BUFFER` bytes with arbitrary content. */
  takeSmall(): Uint8Array {
    this.#taken += SMALL_BUFFER;
    return this.#small.pop() ?? new Uint8Array(SMALL_BUFFER);
  }

  /** Takes a buffer back, of either size. */
  give(buffer: Uint8Array): void {
    this.#taken -= buffer.length;
    if (buffer.length === LARGE_BUFFER) {
      if (this.#large.length < KEEP_LARGE) this.#large.push(buffer);
    } else if (this.#small.length < KEEP_SMALL) {
      this.#small.push(buffer);
    }
  }
}

/** Buffers in a row up to which a queue's lists are left alone. */
const SHORT = 64;
const NO_BUFFER = new Uint8Array(0);

/** Bytes in order over buffers of a pool. */
export class ByteQueue {
  #pool: BufferPool;
  // Emptied queues keep these lists: an array that is cut to no length allocates anew when it is filled.
  #buffers: Uint8Array[] = [NO_BUFFER, NO_BUFFER];
  #starts: number[] = [0, 0];
  #ends: number[] = [0, 0];
  /** Index of the first buffer. */
  #head = 0;
  /** Index after the last one. */
  #tail = 0;
  #length = 0;
  #pinned = 0;
  /** Whether the last buffer may be filled up: an adopted one may not. */
  #open = false;

  /** An empty queue over `pool`. */
  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Bytes in the queue. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of memory that the queue holds. */
  get pinned(): number {
    return this.#pinned;
  }

  /** The buffer that holds the first bytes, from `frontStart` to `frontEnd`. Undefined where the queue is empty. */
  get front(): Uint8Array {
    return this.#buffers[this.#head]!;
  }

  /** Offset in `front` of the first byte. */
  get frontStart(): number {
    return this.#starts[this.#head]!;
  }

  /** Offset in `front` after the last byte it holds. */
  get frontEnd(): number {
    return this.#ends[this.#head]!;
  }

  /** Adds a copy of `bytes[start, end)`. */
  append(bytes: Uint8Array, start: number, end: number): void {
    this.#length += end - start;
    while (start < end) {
      const last = this.#tail - 1;
      if (!this.#open || this.#ends[last] === this.#buffers[last]!.length) {
        this.#push(end - start > SMALL_BUFFER ? this.#pool.takeLarge() : this.#pool.takeSmall(), 0, 0);
        this.#open = true;
        continue;
      }
      const buffer = this.#buffers[last]!, at = this.#ends[last]!;
      const count = Math.min(end - start, buffer.length - at);
      copyBytes(bytes, start, start + count, buffer, at);
      this.#ends[last] = at + count;
      start += count;
    }
  }

  /** Adds `buffer[start, end)` by taking over a buffer of the pool; it is given back once its bytes are consumed. */
  adopt(buffer: Uint8Array, start: number, end: number): void {
    this.#length += end - start;
    this.#push(buffer, start, end);
    this.#open = false;
  }

  /** Drops `count` bytes from the front. Throws a `RangeError` where there are fewer. */
  consume(count: number): void {
    if (count > this.#length) throw new RangeError(`Cannot consume ${count} bytes: the queue holds ${this.#length}`);
    this.#length -= count;
    while (count > 0) {
      const held = this.#ends[this.#head]! - this.#starts[this.#head]!;
      if (count < held) {
        this.#starts[this.#head]! += count;
        return;
      }
      count -= held;
      this.#shift();
    }
  }

  /** Copies `count` bytes, beginning `offset` bytes behind the front, to `into` at `at`. They must be there. */
  copyOut(offset: number, count: number, into: Uint8Array, at: number): void {
    for (let i = this.#head; count > 0; i++) {
      const start = this.#starts[i]! + offset, held = this.#ends[i]! - start;
      if (held <= 0) {
        offset = -held;
        continue;
      }
      const taken = Math.min(held, count);
      copyBytes(this.#buffers[i]!, start, start + taken, into, at);
      at += taken;
      count -= taken;
      offset = 0;
    }
  }

  /** Drops everything. */
  clear(): void {
    this.#length = 0;
    while (this.#head < this.#tail) this.#shift();
  }

  #push(buffer: Uint8Array, start: number, end: number): void {
    this.#pinned += buffer.length;
    this.#buffers[this.#tail] = buffer;
    this.#starts[this.#tail] = start;
    this.#ends[this.#tail++] = end;
  }

  #shift(): void {
    const buffer = this.#buffers[this.#head]!;
    this.#pinned -= buffer.length;
    this.#pool.give(buffer);
    this.#buffers[this.#head++] = NO_BUFFER;
    if (this.#head === this.#tail) {
      if (this.#tail > SHORT) this.#cut(0);
      this.#head = this.#tail = 0;
      this.#open = false;
    } else if (this.#head >= SHORT) {
      this.#cut(this.#tail - this.#head);
    }
  }

  /** Keeps `count` buffers from the head on, in lists no longer than that. */
  #cut(count: number): void {
    const from = this.#head, to = from + count;
    this.#buffers = this.#buffers.slice(from, to);
    this.#starts = this.#starts.slice(from, to);
    this.#ends = this.#ends.slice(from, to);
    this.#head = 0;
    this.#tail = count;
  }
}

/** Copies `from[start, end)` to `into` at `at`; short pieces without the view that `set` would need. */
export function copyBytes(from: Uint8Array, start: number, end: number, into: Uint8Array, at: number): void {
  if (end - start <= 64) {
    for (let i = start; i < end; i++) into[at++] = from[i]!;
  } else {
    into.set(from.subarray(start, end), at);
  }
}
