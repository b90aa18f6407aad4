/**
 * The receive side of a connection: RCV.NXT, the window, and bytes that wait (RFC 9293 sections 3.4, 3.8.6).
 *
 * **In order.** Bytes at RCV.NXT go to the user at once; what he does not take is queued, and the window offered is the
 * room left in that queue. Bytes behind a gap are kept in the reassembly store, inside the window, and reported by
 * SACK.
 *
 * **Memory.** A window is a promise to accept, not to keep: while the gateway's buffers are scarce no more than
 * `SCARCE_WINDOW` is promised, and while they are full what the user does not take at once is dropped unacknowledged,
 * as if the link had lost it.
 *
 * **Window.** Its right edge never moves left: `edge` is the furthest promise, and what arrives below it is accepted.
 * It moves right only by a worthwhile step, the lesser of one segment and half the queue (silly window avoidance,
 * section 3.8.6.2.2). The field on the wire is rounded down to the scale, so it can name up to 2^shift − 1 bytes less
 * than was promised (RFC 7323 section 2.3).
 *
 * @module
 */
import { seqAdd, seqDiff, seqLess } from "../../net/wire/seq.ts";
import { ByteQueue, SMALL_BUFFER } from "../base/buffers.ts";
import type { TcpContext } from "./context.ts";
import { Reassembly, type ReassemblyRecord } from "./reassembly.ts";

/** The most that is promised while buffers are scarce, in bytes. */
export const SCARCE_WINDOW = 65536;

/** What `take` wants: no ACK. */
export const ACK_NOT = 0;
/** What `take` wants: an ACK at the end of the turn. */
export const ACK_LATER = 1;
/** What `take` wants: an ACK at once (RFC 5681 section 4.2: out of order, repeated, or filling a gap). */
export const ACK_NOW = 2;

/** Where in-order bytes go: the user's `tcpReceived`. */
export interface Deliver {
  /** Takes what it can of `bytes[start, end)`, at once; returns how many bytes. */
  tcpReceived(bytes: Uint8Array, start: number, end: number): number;
}

/** The state of a receive side. */
export interface ReceiveRecord {
  /** The peer's initial sequence number. */
  initial: number;
  /** The next sequence number expected. */
  next: number;
  /** The furthest sequence number promised by a window, exclusive. */
  edge: number;
  /** Shift of the window field in our segments; 0 unless both sides scale. */
  shift: number;
  /** Sequence number of the peer's FIN once seen; -1 before. */
  finSeq: number;
  /** In-order bytes received. */
  bytes: number;
}

/** What one connection has received. */
export class ReceiveSide {
  /** All of its state but the queue and what waits behind gaps. */
  readonly record: ReceiveRecord = { initial: 0, next: 0, edge: 0, shift: 0, finSeq: -1, bytes: 0 };
  /** In-order bytes that the user has not taken. */
  readonly queue: ByteQueue;

  #context: TcpContext;
  #reassembly: Reassembly | null = null;

  /** An empty side. */
  constructor(context: TcpContext) {
    this.#context = context;
    this.queue = new ByteQueue(context.pool);
  }

  /** Begins after a SYN with this sequence number. */
  open(initial: number): void {
    const { record } = this;
    record.initial = initial;
    record.next = record.edge = seqAdd(initial, 1);
  }

  /** The receive window: bytes from `next` on that are acceptable now. */
  get window(): number {
    const { edge, next } = this.record;
    return seqDiff(edge, next);
  }

  /** What is kept behind gaps; `null`: nothing. */
  get held(): ReassemblyRecord | null {
    return this.#reassembly === null ? null : this.#reassembly.record;
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
    const { record } = this, reachable = this.#reachable();
    if (seqDiff(reachable, record.edge) >= this.#step(mss)) record.edge = reachable;
    return Math.min(seqDiff(record.edge, record.next) >>> record.shift, 0xffff);
  }

  /** Whether the user has made enough room since the last offer that the peer should hear of it. */
  owesUpdate(mss: number): boolean {
    const { window } = this, gain = seqDiff(this.#reachable(), this.record.edge);
    return gain >= this.#step(mss) && (window < this.#context.config.receiveLimit / 2 || gain >= window);
  }

  /**
   * Takes what is new and inside the window of a segment that overlaps it: payload `bytes[start, end)` from `seq` on,
   * and FIN behind it where `fin`. Returns which ACK it calls for. The FIN itself is the caller's to take, once
   * `finIsNext`.
   */
  take(bytes: Uint8Array, start: number, end: number, seq: number, fin: boolean, user: Deliver): number {
    const { record } = this, old = seqDiff(record.next, seq);
    let ack = ACK_NOT;
    if (old > 0) {
      if (start < end || fin) ack = ACK_NOW;
      if (old > end - start) return ack;
      start += old;
      seq = record.next;
    }
    const beyond = seqDiff(seqAdd(seq, end - start), record.edge);
    if (beyond > 0) {
      end -= beyond;
      fin = false;
    }
    if (record.finSeq >= 0) {
      // What lies at or beyond the FIN that came early is no data of this connection.
      const past = seqDiff(seqAdd(seq, end - start), record.finSeq);
      if (past > 0) end = Math.max(start, end - past);
    } else if (fin) {
      record.finSeq = seqAdd(seq, end - start);
    }
    if (start >= end) return fin && seq !== record.next ? ACK_NOW : ack;
    if (seq !== record.next) {
      this.hold(seq, bytes, start, end);
      return ACK_NOW;
    }
    const filled = this.hasGap;
    this.accept(bytes, start, end, user);
    if (!filled) return ack === ACK_NOT ? ACK_LATER : ack;
    this.fillFromHeld(user);
    return ACK_NOW;
  }

  /** Takes bytes that begin at RCV.NXT: to the user, the rest to the queue. Returns whether all of them were taken. */
  accept(bytes: Uint8Array, start: number, end: number, user: Deliver): boolean {
    const { record } = this, taken = this.queue.length === 0 ? user.tcpReceived(bytes, start, end) : 0;
    let kept = end;
    if (start + taken < end) {
      if (this.#context.pool.isFull) {
        this.#context.drops.memoryLimit++;
        kept = start + taken;
      } else {
        this.queue.append(bytes, start + taken, end);
      }
    }
    record.next = seqAdd(record.next, kept - start);
    record.bytes += kept - start;
    return kept === end;
  }

  /** Keeps bytes that begin after RCV.NXT, where there is room. */
  hold(seq: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#context.pool.isFull) {
      this.#context.drops.memoryLimit++;
      return;
    }
    this.#reassembly ??= new Reassembly(this.#context.pool);
    if (!this.#reassembly.insert(seq, bytes, start, end)) this.#context.drops.tcpTooManyGaps++;
  }

  /** After RCV.NXT has moved: takes what now follows from the store. */
  fillFromHeld(user: Deliver): void {
    const { record } = this, store = this.#reassembly;
    if (store === null) return;
    for (let count = store.readable(record.next); count > 0; count = store.readable(record.next)) {
      const within = record.next % SMALL_BUFFER;
      if (!this.accept(store.pageAt(record.next), within, Math.min(within + count, SMALL_BUFFER), user)) break;
    }
    store.discardBefore(record.next);
    if (store.count === 0) this.#reassembly = null;
  }

  /** Writes the SACK blocks to report; returns how many. */
  sackBlocks(edges: Uint32Array, max: number): number {
    return this.#reassembly?.blocks(edges, max) ?? 0;
  }

  /** Whether the peer's FIN is the next thing expected. */
  get finIsNext(): boolean {
    const { finSeq, next } = this.record;
    return finSeq >= 0 && finSeq === next;
  }

  /** Frees what is held behind gaps. */
  dropHeld(): void {
    this.#reassembly?.clear();
    this.#reassembly = null;
  }

  /** Whether all of a segment of `length` sequence numbers lies outside the window (RFC 9293 section 3.4, table 5). */
  refuses(seq: number, length: number): boolean {
    const { edge, next } = this.record;
    if (length === 0) return edge === next ? seq !== next : seqLess(seq, next) || !seqLess(seq, edge);
    if (edge === next) return true;
    return seqLess(seqAdd(seq, length - 1), next) || !seqLess(seq, edge);
  }

  /** The right edge that the room in the queue allows. */
  #reachable(): number {
    const { config, pool } = this.#context;
    const limit = pool.isScarce ? Math.min(config.receiveLimit, SCARCE_WINDOW) : config.receiveLimit;
    return seqAdd(this.record.next, Math.max(0, limit - this.queue.length));
  }

  #step(mss: number): number {
    return Math.min(mss, this.#context.config.receiveLimit >>> 1);
  }
}
