/**
 * Frames that wait for a peer whose socket has no room.
 *
 * A receiver's queue of datagrams is short (net.unix.max_dgram_qlen, often 10), and the kernel does not tell the sender
 * of another socket when there is room again. So what found none is tried again: whenever the peer sends something, for
 * it reads then too, and after `FIRST_RETRY_MS`, twice that and so on up to `LAST_RETRY_MS` while nothing moves. At
 * most `MOST_WAITING` bytes wait; what comes beyond is lost, which TCP answers by sending less.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import type { FrameStore } from "./frame_store.ts";

/** Bytes that wait for one peer at most. */
export const MOST_WAITING: number = 1 << 20;
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 64;

/** The system took the frame. */
export const SENT = 0;
/** There is no room for the frame. */
export const NO_ROOM = 1;
/** The frame reaches nobody. */
export const LOST = 2;

/** Hands a frame to the system. */
export type DatagramSend = (frame: Frame) => typeof SENT | typeof NO_ROOM | typeof LOST;

/** The queue of one peer. */
export class DatagramQueue {
  readonly #store: FrameStore;
  readonly #send: DatagramSend;
  #waiting: Frame[] = [];
  #bytes = 0;
  #retryMs = FIRST_RETRY_MS;
  #retryAt = Infinity;

  /** For frames that leave by `send`. */
  constructor(store: FrameStore, send: DatagramSend) {
    this.#store = store;
    this.#send = send;
  }

  /** When to call `retry`, in the time that it is given; `Infinity` while nothing waits. */
  get retryAt(): number {
    return this.#retryAt;
  }

  /** Sends `frame`, or keeps a copy of it behind those that wait. Returns false if it is lost, or one too many. */
  push(frame: Frame, now: number): boolean {
    if (this.#waiting.length === 0) {
      const fate = this.#send(frame);
      if (fate !== NO_ROOM) return fate === SENT;
    }
    if (this.#bytes + frame.length > MOST_WAITING) return false;
    if (this.#waiting.length === 0) this.#wait(now);
    this.#waiting.push(this.#store.hold(frame));
    this.#bytes += frame.length;
    return true;
  }

  /** Sends of what waits as much as there is room for. Returns how many frames were lost. */
  retry(now: number): number {
    let sent = 0, lost = 0;
    for (const waiting = this.#waiting; sent < waiting.length; sent++) {
      const fate = this.#send(waiting[sent]!);
      if (fate === NO_ROOM) break;
      if (fate === LOST) lost++;
      this.#bytes -= waiting[sent]!.length;
      this.#store.release(waiting[sent]!);
    }
    if (sent > 0) {
      this.#waiting.splice(0, sent);
      this.#retryMs = FIRST_RETRY_MS;
    }
    if (this.#waiting.length > 0) this.#wait(now);
    else this.#retryAt = Infinity;
    return lost;
  }

  /** Gives up what waits. */
  clear(): void {
    for (const frame of this.#waiting) this.#store.release(frame);
    this.#waiting = [];
    this.#bytes = 0;
    this.#retryAt = Infinity;
  }

  #wait(now: number): void {
    this.#retryAt = now + this.#retryMs;
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }
}
