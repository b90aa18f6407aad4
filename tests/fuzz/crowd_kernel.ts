/**
 * A kernel in miniature for listeners under fuzz: descriptors with a limit, clients that wait to be accepted, a clock
 * that a script moves.
 *
 * Descriptors get the lowest free number, as a real kernel's do. The listening socket is edge-triggered: it is reported
 * when a client comes, and not again while it waits.
 *
 * @module
 */
import type { AcceptCalls } from "../../net/linux/acceptor.ts";
import { KEPT } from "../../net/linux/descriptors.ts";
import { type EventLoop, READABLE, Watch, type WatchHandler } from "../../net/linux/event_loop.ts";
import { EAGAIN, EMFILE } from "../../net/linux/libc.ts";

/** Calls of one handler without a pause after which it is taken for spinning. */
const SPINNING = 2000;

/** The first descriptor behind those that every program has. */
const FIRST = 3;

/** Descriptors, clients and time. */
export class CrowdKernel implements AcceptCalls {
  /** Monotonic milliseconds. */
  now = 0;
  /** Clients that wait to be accepted, by number. */
  readonly waiting: number[] = [];
  /** Whom each descriptor belongs to: a client's number, or -1 for other parts of the program. */
  readonly #owners = new Map<number, number>();
  readonly #delays = new Set<{ at: number; callback: () => void }>();
  readonly #watches = new Set<Watch>();
  #limit = 1024;
  #shortAt = -Infinity;

  /** What an acceptor needs of an event loop. */
  readonly loop: Pick<EventLoop, "watch" | "release" | "delay"> = {
    watch: (fd, handler) => this.#watch(fd, handler),
    release: (watch) => {
      watch.released = true;
      this.#watches.delete(watch);
      this.#owners.delete(watch.fd);
    },
    delay: (callback, ms) => this.delay(callback, ms),
  };

  /** Sets how many descriptors there may be. */
  set limit(limit: number) {
    this.#limit = limit;
  }

  /** How many descriptors are open. */
  get open(): number {
    return this.#owners.size;
  }

  /** How many more there may be. */
  get free(): number {
    let free = this.#limit - FIRST;
    for (const fd of this.#owners.keys()) if (fd < this.#limit) free--;
    return Math.max(0, free);
  }

  /** When a descriptor was last asked for and there was none. */
  get shortAt(): number {
    return this.#shortAt;
  }

  /** A descriptor for `owner`, or -EMFILE. */
  take(owner: number): number {
    for (let fd = FIRST; fd < this.#limit; fd++) {
      if (this.#owners.has(fd)) continue;
      this.#owners.set(fd, owner);
      return fd;
    }
    this.#shortAt = this.now;
    return -EMFILE;
  }

  /** Closes a descriptor. Throws an `Error` if it is not open. */
  close(fd: number): void {
    if (!this.#owners.delete(fd)) throw new Error(`Closed descriptor ${fd}, which is not open`);
  }

  /** Closes some of those that other parts of the program have. */
  giveBack(count: number): void {
    for (const [fd, owner] of this.#owners) if (owner === -1 && count-- > 0) this.#owners.delete(fd);
  }

  /** A client comes. */
  arrive(client: number): void {
    this.waiting.push(client);
    for (const watch of this.#watches) watch.ready |= READABLE;
  }

  /** Who an accepted descriptor is. */
  ownerOf(fd: number): number {
    return this.#owners.get(fd)!;
  }

  accept(): number {
    const client = this.waiting[0];
    const fd = this.take(client ?? -1);
    if (fd < 0) return fd;
    if (client === undefined) {
      this.#owners.delete(fd);
      return -EAGAIN;
    }
    this.waiting.shift();
    return fd;
  }

  isKept(fd: number, shares: number): boolean {
    return fd >= this.#limit - shares * Math.min(KEPT, Math.floor(this.#limit / 12));
  }

  reset(fd: number): void {
    this.close(fd);
  }

  /** Calls `callback` in `ms`; returns what prevents that. */
  delay(callback: () => void, ms: number): () => void {
    const delay = { at: this.now + ms, callback };
    this.#delays.add(delay);
    return () => void this.#delays.delete(delay);
  }

  /** How many delays there are. */
  get delays(): number {
    return this.#delays.size;
  }

  /** Calls handlers until nothing is ready. Throws an `Error` if that has no end. */
  run(): void {
    for (const watch of this.#watches) {
      for (let calls = 0; (watch.ready & watch.interest) !== 0 && !watch.released; calls++) {
        if (calls > SPINNING) throw new Error("The listener spins");
        watch.handler.ready(watch.ready & watch.interest);
      }
    }
  }

  /** Lets time pass. */
  wait(ms: number): void {
    const end = this.now + ms;
    for (let turns = 0;; turns++) {
      this.run();
      const [next] = [...this.#delays].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      if (turns > ms + SPINNING) throw new Error("Delays have no end");
      this.now = next.at;
      this.#delays.delete(next);
      next.callback();
    }
    this.now = end;
  }

  #watch(fd: number, handler: WatchHandler): Watch {
    const watch = new Watch(fd, handler, { level: false, slot: 0, serial: 0, enlist: () => {} });
    if (this.waiting.length > 0) watch.ready = READABLE;
    this.#watches.add(watch);
    return watch;
  }
}
