/**
 * The descriptors of an event loop in one instance of epoll(7): who waits for which, and what the kernel says is ready.
 *
 * **Sockets are registered once**, edge-triggered, for everything. What is ready is kept as bits in the `Watch`, beside
 * the bits the owner is interested in, so a change of interest costs no system call. The owner clears a bit when the
 * kernel has said that there is nothing more (`EAGAIN`, a short count): only after that does the kernel promise another
 * edge. A descriptor that is not a stream (a TAP) is level-triggered instead, and the kernel keeps its bits.
 *
 * **Numbers come again.** An event names a place in a table and a serial number, not a descriptor. One that is about an
 * earlier owner of the place, which epoll may still report while a copy of the descriptor is open, is passed over.
 *
 * @module
 */
import {
  describeErrno,
  EMFILE,
  ENFILE,
  EPOLL_CTL_ADD,
  EPOLL_DATA_WORD,
  EPOLL_EVENT_WORDS,
  EPOLLIN,
  errno,
  type Libc,
  libc,
} from "./libc.ts";
import { BROKEN, MORE_BEHIND, READABLE, Watch, type WatchHandler, WRITABLE } from "./watch.ts";

const EPOLLPRI = 2;
const EPOLLOUT = 4;
const EPOLLERR = 8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 0x80000000;
const EPOLL_CTL_DEL = 2;
const EPOLL_CLOEXEC = 0x80000;
const EDGE_EVENTS = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/** Events that are taken at a time; the rest comes with the next look. */
const EVENTS_AT_ONCE = 128;

/** An instance of epoll and its watches. */
export class Epoll {
  readonly #libc: Libc = libc();
  readonly #fd: number;
  readonly #enlist: (watch: Watch) => void;
  readonly #record = new Uint32Array(EPOLL_EVENT_WORDS);
  readonly #recordBytes = new Uint8Array(this.#record.buffer);
  readonly #events = new Uint32Array(EPOLL_EVENT_WORDS * EVENTS_AT_ONCE);
  readonly #eventBytes = new Uint8Array(this.#events.buffer);
  readonly #slots: (Watch | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  #serial = 0;

  /** Calls `enlist` with each watch that has become ready. Throws an `Error` if descriptors have run out. */
  constructor(enlist: (watch: Watch) => void) {
    this.#enlist = enlist;
    this.#fd = this.#libc.epollCreate(EPOLL_CLOEXEC);
    if (this.#fd < 0) throw creationFailed();
  }

  /**
   * Registers a descriptor, for reading if it is level-triggered, else for everything. -1 makes a watch that is only
   * raised by hand. Throws an `Error` if the kernel refuses.
   */
  watch(fd: number, handler: WatchHandler, level: boolean): Watch {
    const slot = fd < 0 ? -1 : this.#freeSlots.pop() ?? this.#slots.length;
    const serial = this.#serial = (this.#serial + 1) >>> 0;
    const watch = new Watch(fd, handler, { level, slot, serial, enlist: this.#enlist });
    if (fd < 0) return watch;
    this.#record[0] = level ? EPOLLIN : EDGE_EVENTS;
    this.#record[EPOLL_DATA_WORD] = slot;
    this.#record[EPOLL_DATA_WORD + 1] = serial;
    this.#slots[slot] = watch;
    if (this.#libc.epollControl(this.#fd, EPOLL_CTL_ADD, fd, this.#recordBytes) < 0) {
      const cause = describeErrno(errno());
      this.forget(watch);
      throw new Error(`Cannot watch descriptor ${fd}: ${cause}`);
    }
    return watch;
  }

  /** No event reaches the watch any more. */
  forget(watch: Watch): void {
    this.#slots[watch.slot] = undefined;
    this.#freeSlots.push(watch.slot);
  }

  /** Takes the descriptor out of epoll, which its closing does by itself unless somebody else holds it too. */
  remove(watch: Watch): void {
    this.#libc.epollControl(this.#fd, EPOLL_CTL_DEL, watch.fd, this.#recordBytes);
  }

  /** Looks what is ready, without waiting. Returns how many events came. */
  poll(): number {
    return this.#libc.epollWait(this.#fd, this.#eventBytes, EVENTS_AT_ONCE, 0);
  }

  /** Waits for an event, at most `timeoutMs`; -1: for ever. Returns how many came. */
  wait(timeoutMs: number): number {
    return this.#libc.epollWait(this.#fd, this.#eventBytes, EVENTS_AT_ONCE, timeoutMs);
  }

  /** The same on a thread of Deno's pool. Until it has ended no other wait may begin. */
  waitAsync(timeoutMs: number): Promise<number> {
    return this.#libc.epollWaitAsync(this.#fd, this.#eventBytes, EVENTS_AT_ONCE, timeoutMs);
  }

  /** Notes the events that the last wait has brought in their watches. */
  markReady(count: number): void {
    const events = this.#events;
    for (let i = 0, word = 0; i < count; i++, word += EPOLL_EVENT_WORDS) {
      const watch = this.#slots[events[word + EPOLL_DATA_WORD]!];
      if (watch === undefined || watch.serial !== events[word + EPOLL_DATA_WORD + 1]) continue;
      const bits = events[word]!;
      let ready = watch.ready;
      if ((bits & EPOLLIN) !== 0) ready |= READABLE;
      if ((bits & EPOLLOUT) !== 0) ready |= WRITABLE;
      if ((bits & (EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) !== 0) {
        ready |= READABLE | MORE_BEHIND;
        if ((bits & EPOLLERR) !== 0) ready |= WRITABLE | BROKEN;
      }
      watch.ready = ready;
      if ((ready & watch.interest) !== 0 && !watch.listed) this.#enlist(watch);
    }
  }

  /** Closes it. Descriptors that are still watched stay their owners'. */
  close(): void {
    this.#libc.close(this.#fd);
  }
}

/** Why an event loop cannot be made, as the last call has failed. */
export function creationFailed(): Error {
  const code = errno();
  const remedy = code === EMFILE || code === ENFILE ? ", raise the limit of open files (ulimit -n)" : "";
  return new Error(`Cannot create event loop: ${describeErrno(code)}${remedy}`);
}
