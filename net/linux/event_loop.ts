/**
 * One thread's event loop over `epoll_wait`: readiness in, synchronous calls out.
 *
 * **Turns.** A turn is: wait; read the clock once; mark what the kernel says is ready; call the handlers; call what was
 * delayed until now; call the turn ends (the gateway), which answer when they want to be called even if nothing
 * happens; close what was released. The least of these times, and of the delays, is the next wait's limit, rounded up
 * to epoll's milliseconds so that a timer is late rather than polled for.
 *
 * **Sockets are registered once**, edge-triggered, for everything. What is ready is kept as bits in the `Watch`, beside
 * the bits the owner is interested in, so a change of interest costs no system call. The handler is called once a turn
 * while both have a bit in common: a `Watch` whose handler left work joins the list of the next turn, which then does
 * not wait. The owner clears a bit when the kernel has said that there is nothing more (`EAGAIN`, a short count): only
 * after that does the kernel promise another edge. A descriptor that is not a stream (a TAP) is level-triggered
 * instead, and the kernel keeps its bits.
 *
 * **Where it runs.** `runBlocking` holds the thread that calls it, a Worker's: `wakeLoop` from another thread makes it
 * return after the turn. Being woken from sleep costs tens of microseconds, much of a round trip, so after a short wait
 * it polls for `SPIN_MS` before it sleeps again, and lets whoever else wants the processor have it meanwhile. `start`
 * shares a thread with other code: it polls for `SPIN_MS` after the last event, then leaves one wait to Deno's thread
 * pool. Under load it makes such a wait of no length every `SLICE_MS`, because only while a promise of the runtime is
 * pending does that look at its own sockets and messages: after `setImmediate` alone these are seldom looked at. Each
 * wait occupies a thread of the pool, of which there are 32, so only one loop of an isolate may be started:
 * `EventLoop.shared()` is that one.
 *
 * **Closing.** A descriptor is closed at the end of a turn, when no wait looks at it and no handler of the same turn
 * could meet its number again under another owner.
 *
 * @module
 */
import type { Turn } from "../../nat/host.ts";
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
import { type TurnShare, TurnShares } from "./turn_shares.ts";
import { BROKEN, MORE_BEHIND, READABLE, ReadyWatches, Watch, type WatchHandler, WRITABLE } from "./watch.ts";

export {
  BROKEN,
  MORE_BEHIND,
  READABLE,
  Watch,
  type WatchHandler,
  type WatchPlace,
  WatchQueue,
  WRITABLE,
} from "./watch.ts";

const EPOLLPRI = 2;
const EPOLLOUT = 4;
const EPOLLERR = 8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 0x80000000;
const EPOLL_CTL_DEL = 2;
const EDGE_EVENTS = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
// EFD_CLOEXEC, EFD_NONBLOCK and EFD_SEMAPHORE: each read takes one of the wakes.
const WAKE_FLAGS = 0x80801;

const EVENTS_PER_TURN = 128;

/** How long a loop polls before it sleeps. */
const SPIN_MS = 0.05;
/** A wait below this makes the next one begin with polling. */
const SHORT_WAIT_MS = 0.1;
/** A turn from this on was one of many bytes; what comes next may gather while the loop sleeps. */
const LONG_TURN_MS = 0.1;
/** How long a cooperative loop works before it gives way to the rest of the program. */
const SLICE_MS = 4;
const LONGEST_WAIT_MS = 0x7fffffff;

const IDLE = 0;
const DISPATCHING = 1;
const ENDING = 2;
const WAITING = 3;

/** A call that is to come. */
interface Delay {
  readonly callback: () => void;
  readonly at: number;
}

/**
 * Makes the loop that owns `wakeFd` (its `EventLoop.wakeFd`) turn, from any thread, and `runBlocking` return once for
 * it. Not to be called after the loop is disposed of: the number may belong to something else then.
 */
export function wakeLoop(wakeFd: number): void {
  libc().write(wakeFd, ONE, 8n);
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/**
 * An event loop over epoll.
 *
 * @example
 * ```ts ignore
 * await using loop = new EventLoop();
 * loop.onTurnEnd(() => Infinity);
 * loop.start();
 * ```
 */
export class EventLoop implements AsyncDisposable {
  static #shared: EventLoop | undefined;
  static #started: EventLoop | undefined;

  /** Descriptor for `wakeLoop`, to be handed to another thread. */
  readonly wakeFd: number;
  /** Who may use how much of a turn. */
  readonly shares: TurnShares = new TurnShares();
  readonly #libc: Libc;
  readonly #epoll: number;
  readonly #record = new Uint32Array(EPOLL_EVENT_WORDS);
  readonly #recordBytes = new Uint8Array(this.#record.buffer);
  readonly #events = new Uint32Array(EPOLL_EVENT_WORDS * EVENTS_PER_TURN);
  readonly #eventBytes = new Uint8Array(this.#events.buffer);
  readonly #wakeCount = new Uint8Array(8);
  readonly #slots: (Watch | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  readonly #enlistWatch = (watch: Watch): void => this.#enlist(watch);
  #serial = 0;
  readonly #ready = new ReadyWatches(this.shares);
  #turns: Turn[] = [];
  #delays: Delay[] = [];
  #closing: Watch[] = [];
  #whenClosed: (() => void)[] = [];
  #phase = IDLE;
  #clock: number = performance.now();
  #deadline = Infinity;
  #turnWanted = false;
  #waitedMs = Infinity;
  #woken = false;
  #waitEnds = false;
  #stopping = false;
  #running: Promise<void> | undefined;
  #users = 0;
  #disposed = false;

  /** Throws `Deno.errors.NotSupported` or `NotCapable` as `libc` does, and an `Error` when descriptors have run out. */
  constructor() {
    this.#libc = libc();
    this.#epoll = this.#libc.epollCreate(0x80000);
    if (this.#epoll < 0) throw creationFailed();
    this.wakeFd = this.#libc.eventfd(0, WAKE_FLAGS);
    if (this.wakeFd < 0) {
      const error = creationFailed();
      this.#libc.close(this.#epoll);
      throw error;
    }
    const wake = this.watch(this.wakeFd, { ready: () => this.#takeWake() }, { level: true });
    wake.setInterest(READABLE);
  }

  /**
   * The started loop of this isolate, for programs with more on their thread than Hawser. Each call is to be matched by
   * one disposal of what it gave; the last one ends the loop.
   */
  static shared(): EventLoop {
    if (!EventLoop.#shared) {
      const loop = new EventLoop();
      try {
        loop.start();
      } catch (error) {
        loop.#close();
        throw error;
      }
      EventLoop.#shared = loop;
    }
    EventLoop.#shared.#users++;
    return EventLoop.#shared;
  }

  /** Monotonic milliseconds; within a turn, the time at which it began. */
  now(): number {
    return this.#phase === DISPATCHING || this.#phase === ENDING ? this.#clock : performance.now();
  }

  /**
   * Registers a descriptor, which from now on is closed by `release`. Edge-triggered for reading and writing unless
   * `level` is set, then level-triggered for reading. The interest is 0 at first. `fd` -1 makes a watch that is only
   * raised by hand. Throws an `Error` when the kernel refuses; the descriptor is the caller's then.
   */
  watch(fd: number, handler: WatchHandler, options: { level?: boolean; share?: TurnShare | undefined } = {}): Watch {
    const level = options.level ?? false;
    const slot = fd < 0 ? -1 : this.#freeSlots.pop() ?? this.#slots.length;
    const serial = this.#serial = (this.#serial + 1) >>> 0;
    const watch = new Watch(fd, handler, { level, slot, serial, enlist: this.#enlistWatch });
    if (options.share !== undefined) this.pay(watch, options.share);
    if (fd < 0) return watch;
    this.#record[0] = level ? EPOLLIN : EDGE_EVENTS;
    this.#record[EPOLL_DATA_WORD] = slot;
    this.#record[EPOLL_DATA_WORD + 1] = serial;
    this.#slots[slot] = watch;
    if (this.#libc.epollControl(this.#epoll, EPOLL_CTL_ADD, fd, this.#recordBytes) < 0) {
      const cause = describeErrno(errno());
      this.#forget(watch);
      throw new Error(`Cannot watch descriptor ${fd}: ${cause}`);
    }
    return watch;
  }

  /** From now on the handler of `watch` takes this party's time; `undefined`: nobody's in particular. */
  pay(watch: Watch, share: TurnShare | undefined): void {
    watch.queue = share === undefined ? undefined : this.#ready.queueOf(share);
  }

  /**
   * Lets go of a watch: no handler is called any more, and the descriptor is closed as soon as no turn or wait uses it.
   */
  release(watch: Watch): void {
    if (watch.released) return;
    watch.released = true;
    if (watch.fd < 0) return;
    this.#forget(watch);
    // Closing removes an edge-triggered socket from epoll by itself. A level-triggered device may be held by another
    // process too, and would then report itself for ever.
    if (!this.#disposed && (watch.level || this.#phase === WAITING)) {
      this.#libc.epollControl(this.#epoll, EPOLL_CTL_DEL, watch.fd, this.#recordBytes);
    }
    if (this.#phase === IDLE) {
      this.#libc.close(watch.fd);
      return;
    }
    this.#closing.push(watch);
    if (this.#phase === WAITING) this.#endWait();
  }

  /** Lets go of a watch as `release` does, but the descriptor stays open and is the caller's, who may watch it anew. */
  unwatch(watch: Watch): void {
    if (watch.released) return;
    watch.released = true;
    this.#forget(watch);
    this.#libc.epollControl(this.#epoll, EPOLL_CTL_DEL, watch.fd, this.#recordBytes);
  }

  /** Resolves when the descriptors of all watches released so far are closed. */
  async allClosed(): Promise<void> {
    if (this.#closing.length > 0) await new Promise<void>((resolve) => this.#whenClosed.push(resolve));
  }

  /** Has `turn` called at the end of each turn, beginning with one that is due at once. Returns what ends that. */
  onTurnEnd(turn: Turn): () => void {
    this.#turns = [...this.#turns, turn];
    this.requestTurn();
    return () => {
      this.#turns = this.#turns.filter((each) => each !== turn);
    };
  }

  /**
   * Calls `callback` once, before the turn ends of the first turn at least `ms` from now. Returns what prevents that.
   */
  delay(callback: () => void, ms: number): () => void {
    const delay = { callback, at: this.now() + ms };
    this.#delays.push(delay);
    // The wait under way, or the next one, may be longer than that.
    if (this.#phase !== DISPATCHING && this.#phase !== ENDING) this.requestTurn();
    return () => {
      this.#delays = this.#delays.filter((each) => each !== delay);
    };
  }

  /** Makes a turn due now; within a turn's events that is the one under way. For the loop's own thread. */
  requestTurn(): void {
    if (this.#phase === DISPATCHING || this.#turnWanted) return;
    this.#turnWanted = true;
    if (this.#phase === WAITING) this.#endWait();
  }

  /** Makes the loop turn, and `runBlocking` return once for it. For this thread; see `wakeLoop` for others. */
  wake(): void {
    this.#libc.write(this.wakeFd, ONE, 8n);
  }

  /**
   * Runs turns on this thread without giving way until `wake` or `wakeLoop`, or until `untilMs` (`now()` time) has
   * come. Returns whether it was woken: once for each wake, so that one message can be awaited after each. Throws an
   * `Error` when the loop is running already or disposed of.
   */
  runBlocking(untilMs: number = Infinity): boolean {
    this.#assertIdle("run");
    this.#clock = performance.now();
    this.#woken = false;
    do {
      this.#turn(this.#wait(Math.min(this.#deadline, untilMs)));
    } while (!this.#woken && this.#clock < untilMs);
    return this.#woken;
  }

  /** Begins to run turns beside other code on this thread. Throws an `Error` when this or another loop runs already. */
  start(): void {
    this.#assertIdle("start");
    if (EventLoop.#started) {
      throw new Error("Cannot start event loop: another one is started on this thread, use EventLoop.shared()");
    }
    EventLoop.#started = this;
    this.#stopping = false;
    this.#running = this.#runStarted();
  }

  /** Ends what `start` began, when the turn or wait under way is over. May be called again. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#stopping = true;
    this.wake();
    await this.#running;
  }

  /** Stops, and closes epoll and the wake descriptor. Descriptors that are still watched stay their owners'. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#users > 0 && --this.#users > 0) return;
    if (EventLoop.#shared === this) EventLoop.#shared = undefined;
    await this.stop();
    this.#close();
  }

  async #runStarted(): Promise<void> {
    try {
      // The caller of `start` goes on first.
      await Promise.resolve();
      await this.#cooperate();
    } finally {
      this.#running = undefined;
      EventLoop.#started = undefined;
    }
  }

  async #cooperate(): Promise<void> {
    let sliceEnd = performance.now() + SLICE_MS, lastWork = 0;
    try {
      do {
        let count = this.#libc.epollWait(this.#epoll, this.#eventBytes, EVENTS_PER_TURN, 0);
        this.#clock = performance.now();
        let timeoutMs = this.#timeoutMs(this.#deadline);
        if (count > 0 || timeoutMs === 0) {
          this.#turn(count);
          lastWork = this.#clock;
          if (lastWork < sliceEnd) continue;
          timeoutMs = 0;
        } else if (this.#clock - lastWork < SPIN_MS) {
          continue;
        }
        this.#phase = WAITING;
        count = await this.#libc.epollWaitAsync(this.#epoll, this.#eventBytes, EVENTS_PER_TURN, timeoutMs);
        this.#turn(count);
        lastWork = this.#clock;
        sliceEnd = performance.now() + SLICE_MS;
      } while (!this.#stopping);
    } finally {
      this.#phase = IDLE;
      this.#closeReleased();
    }
  }

  #wait(limit: number): number {
    const timeoutMs = this.#timeoutMs(limit);
    if (timeoutMs === 0) return this.#libc.epollWait(this.#epoll, this.#eventBytes, EVENTS_PER_TURN, 0);
    const began = performance.now();
    const isSpinning = this.#waitedMs < SHORT_WAIT_MS && began - this.#clock < LONG_TURN_MS;
    const count = (isSpinning ? this.#spin(began + SPIN_MS) : 0) ||
      this.#libc.epollWait(this.#epoll, this.#eventBytes, EVENTS_PER_TURN, timeoutMs);
    this.#waitedMs = performance.now() - began;
    return count;
  }

  #spin(until: number): number {
    let count = 0;
    do {
      this.#libc.yieldProcessor();
      count = this.#libc.epollWait(this.#epoll, this.#eventBytes, EVENTS_PER_TURN, 0);
    } while (count === 0 && performance.now() < until);
    return count;
  }

  #turn(count: number): void {
    this.#phase = DISPATCHING;
    this.#clock = performance.now();
    this.#turnWanted = false;
    this.shares.begin(this.#clock);
    try {
      this.#markReady(count);
      this.#ready.call(this.#clock);
      if (this.#delays.length > 0) this.#callDelays();
      this.#phase = ENDING;
      let deadline = Infinity;
      for (const turn of this.#turns) deadline = Math.min(deadline, turn());
      for (const { at } of this.#delays) deadline = Math.min(deadline, at);
      this.#deadline = deadline;
    } finally {
      this.#phase = IDLE;
      if (this.#closing.length > 0) this.#closeReleased();
      this.shares.end();
    }
  }

  #markReady(count: number): void {
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

  #callDelays(): void {
    const due = this.#delays.filter(({ at }) => at <= this.#clock);
    for (const delay of due) {
      // One that came before may have prevented this one.
      if (!this.#delays.includes(delay)) continue;
      this.#delays = this.#delays.filter((each) => each !== delay);
      delay.callback();
    }
  }

  #enlist(watch: Watch): void {
    this.#ready.add(watch);
    if (this.#phase === WAITING) this.#endWait();
  }

  #takeWake(): void {
    this.#libc.read(this.wakeFd, this.#wakeCount, 8n);
    this.#woken = true;
    this.#waitEnds = false;
  }

  // However much happens during a wait, one wake ends it.
  #endWait(): void {
    if (this.#waitEnds) return;
    this.#waitEnds = true;
    this.wake();
  }

  #timeoutMs(limit: number): number {
    if (!this.#ready.isEmpty || this.#turnWanted) return 0;
    if (limit === Infinity) return -1;
    return Math.min(Math.max(0, Math.ceil(limit - this.#clock)), LONGEST_WAIT_MS);
  }

  #forget(watch: Watch): void {
    this.#slots[watch.slot] = undefined;
    this.#freeSlots.push(watch.slot);
  }

  #closeReleased(): void {
    const closing = this.#closing, whenClosed = this.#whenClosed;
    this.#closing = [];
    this.#whenClosed = [];
    for (const watch of closing) this.#libc.close(watch.fd);
    for (const resolve of whenClosed) resolve();
  }

  #assertIdle(action: string): void {
    if (this.#disposed) throw new Error(`Cannot ${action} event loop: it has been disposed of`);
    if (this.#running || this.#phase !== IDLE) throw new Error(`Cannot ${action} event loop: it is running already`);
  }

  #close(): void {
    if (this.#disposed) return;
    if (this.#phase !== IDLE) throw new Error("Cannot dispose of event loop: a turn is under way");
    this.#disposed = true;
    this.#closeReleased();
    this.#libc.close(this.wakeFd);
    this.#libc.close(this.#epoll);
  }
}

function creationFailed(): Error {
  const code = errno();
  const remedy = code === EMFILE || code === ENFILE ? ", raise the limit of open files (ulimit -n)" : "";
  return new Error(`Cannot create event loop: ${describeErrno(code)}${remedy}`);
}
