/**
 * The receive side of a connection: RCV.NXT, the window, and bytes that wait (RFC 9293 sections 3.4, 3.8.6).
 *
 * **In order.** Bytes at RCV.NXT go to the user at once; what he does not take is queued, and the window offered is the room left in that
 * queue. Bytes behind a gap are kept in the reassembly store, inside the window, and reported by SACK.
 *
 * **Window.** Its right edge never moves left: `#edge` is the furthest promise, and what arrives below it is accepted. It moves right only by a
 * worthwhile step, the lesser of one segment and half the queue (silly window avoidance, section 3.8.6.2.2). The field on the wire is
 * rounded down to the scale, so it can name up to 2^shift − 1 bytes less than was promised (RFC 7323 section 2.3).
 *
 * @module
 */
import { seqAdd, seqDiff, seqLess } from "../../net/wire/seq.ts";
import { ByteQueue, SMALL_BUFFER } from "../buffers.ts";
import type { TcpContext } from "./context.ts";
import { Reassembly } from "./reassembly.ts";

/** Where in-order bytes go: the user's `tcpReceived`. */
export interface Deliver {
  /** Takes what it can of `bytes[start, end)`, at once; returns how many bytes. */
  tcpReceived(bytes: Uint8Array, start: number, end: number): number;
}

/** What one connection has received. */
export class ReceiveSide {
  /** The peer's initial sequence number. */
  initial = 0;
  /** The next sequence number expected. */
  next = 0;
  /** In-order bytes that the user has not taken. */
  readonly queue: ByteQueue;
  /** Shift of the window field in our segments; 0 unless both sides scale. */
  shift = 0;
  /** Sequence number of the peer's FIN once seen; -1 before. */
  finSeq: number = -1;
  /** In-order bytes received. */
  bytes = 0;

  #context: TcpContext;
  #reassembly: Reassembly | null = null;
  /** The furthest sequence number promised by a window, exclusive. */
  #edge = 0;

  /** An empty side. */
  constructor(context: TcpContext) {
    this.#context = context;
    this.queue = new ByteQueue(context.pool);
  }

  /** Begins after a SYN with this sequence number. */
  open(initial: number): void {
    this.initial = initial;
    this.next = this.#edge = seqAdd(initial, 1);
  }

  /** The receive window: bytes from `next` on that are acceptable now. */
  get window(): number {
    return seqDiff(this.#edge, this.next);
  }

  /** Whether bytes are kept behind a gap. */
  get hasGap(): boolean {
    return this.#reassembly !== null && this.#reassembly.count > 0;
  }

  /** Bytes of memory held. */
  get pinned(): number {
    return this.queue.pinned + (this.#reassembly?.pinned ?? 0);
  }

  /** Moves the window's edge where that is worth it, and returns the value of the window field. */
  offer(mss: number): number {
    const reachable = seqAdd(this.next, this.#context.config.receiveLimit - this.queue.length);
    if (seqDiff(reachable, this.#edge) >= this.#step(mss)) this.#edge = reachable;
    return Math.min(this.window >>> this.shift, 0xffff);
  }

  /** Whether the user has made enough room since the last offer that the peer should hear of it. */
  owesUpdate(mss: number): boolean {
    const reachable = seqAdd(this.next, this.#context.config.receiveLimit - this.queue.length);
    const gain = seqDiff(reachable, this.#edge);
    return gain >= this.#step(mss) && (this.window < this.#context.config.receiveLimit / 2 || gain >= this.window);
  }

  /** Takes bytes that begin at RCV.NXT: to the user, the rest to the queue. */
  accept(bytes: Uint8Array, start: number, end: number, user: Deliver): void {
    this.next = seqAdd(this.next, end - start);
    this.bytes += end - start;
    const taken = this.queue.length === 0 ? user.tcpReceived(bytes, start, end) : 0;
    if (start + taken < end) this.queue.append(bytes, start + taken, end);
  }

  /** Keeps bytes that begin after RCV.NXT. */
  hold(seq: number, bytes: Uint8Array, start: number, end: number): void {
    this.#reassembly ??= new Reassembly(this.#context.pool);
    this.#reassembly.insert(seq, bytes, start, end);
  }

  /** After RCV.NXT has moved: takes what now follows from the store. */
  fillFromHeld(user: Deliver): void {
    const store = this.#reassembly;
    if (store === null) return;
    for (let count = store.readable(this.next); count > 0; count = store.readable(this.next)) {
      const within = this.next % SMALL_BUFFER;
      this.accept(store.pageAt(this.next), within, Math.min(within + count, SMALL_BUFFER), user);
    }
    store.discardBefore(this.next);
    if (store.count === 0) this.#reassembly = null;
  }

  /** Writes the SACK blocks to report; returns how many. */
  sackBlocks(edges: Uint32Array, max: number): number {
    return this.#reassembly?.blocks(edges, max) ?? 0;
  }

  /** Whether the peer's FIN is the next thing expected. */
  get finIsNext(): boolean {
    return this.finSeq >= 0 && this.finSeq === this.next;
  }

  /** Frees what is held behind gaps. */
  dropHeld(): void {
    this.#reassembly?.clear();
    this.#reassembly = null;
  }

  /** Whether all of a segment of `length` sequence numbers lies outside the window (RFC 9293 section 3.4, table 5). */
  refuses(seq: number, length: number): boolean {
    const window = this.window;
    if (length === 0) {
      return window === 0 ? seq !== this.next : seqLess(seq, this.next) || !seqLess(seq, this.#edge);
    }
    if (window === 0) return true;
    const last = seqAdd(seq, length - 1);
    return seqLess(last, this.next) || !seqLess(seq, this.#edge);
  }

  #step(mss: number): number {
    return Math.min(mss, this.#context.config.receiveLimit >>> 1);
  }
}
