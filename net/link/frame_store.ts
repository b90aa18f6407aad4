/**
 * Copies of frames that a link keeps until it can deliver them, in buffers that are used again.
 *
 * A frame that a link was given belongs to someone else as soon as the call returns. What is to be delivered later is
 * copied here, marks included: a partial checksum stays partial, a segment of 64 KiB stays whole.
 *
 * @module
 */
import { Frame } from "../wire/frame.ts";

/** Free buffers hold at most this many bytes; the rest is the garbage collector's. */
const POOL_BYTES = 4 << 20;
const LEAST_BUFFER = 2048;

/** Makes copies of frames and takes them back. */
export class FrameStore {
  readonly #headroom: number;
  #free: Frame[] = [];
  #freeBytes = 0;

  /** Leaves `headroom` bytes writable in front of each copy, for a link that it will be sent on. */
  constructor(headroom: number = 0) {
    this.#headroom = headroom;
  }

  /** A copy of `frame`, to be given back by `release`. */
  hold(frame: Frame): Frame {
    const start = this.#headroom, end = start + frame.length, held = this.#take(end);
    held.bytes.set(frame.bytes.subarray(frame.start, frame.end), start);
    held.set(held.bytes, start, end);
    held.checksum = frame.checksum;
    held.transport = frame.transport - frame.start + start;
    held.checksumField = frame.checksumField;
    held.segmentSize = frame.segmentSize;
    return held;
  }

  /** Takes a copy back, whose buffer may be used again from now on. */
  release(held: Frame): void {
    if (this.#freeBytes + held.bytes.length > POOL_BYTES) return;
    this.#freeBytes += held.bytes.length;
    this.#free.push(held);
  }

  /** Lets go of the free buffers. */
  clear(): void {
    this.#free = [];
    this.#freeBytes = 0;
  }

  #take(size: number): Frame {
    const held = this.#free.pop();
    if (held !== undefined) {
      this.#freeBytes -= held.bytes.length;
      if (held.bytes.length >= size) return held;
    }
    // Sizes are rounded up so that a buffer soon fits whatever comes.
    const bytes = new Uint8Array(Math.max(LEAST_BUFFER, 1 << (32 - Math.clz32(size - 1))));
    return new Frame().set(bytes, 0, 0);
  }
}
