/**
 * One thread's event loop: readiness in, synchronous calls out.
 *
 * **Turns.** A turn is: wait (`loop_waits.ts`); read the clock once; mark what the kernel says is ready (`epoll.ts`);
 * call the handlers (`watch.ts`), in fair shares (`turn_shares.ts`); call what was delayed until now (`delays.ts`);
 * call the turn ends (the gateway), which answer when they want to be called even if nothing happens; close what was
 * released. The least of these times, and of the delays, is the next wait's limit, rounded up to epoll's milliseconds
 * so that a timer is late rather than polled for. A `Watch` whose handler left work joins the list of the next turn,
 * which then does not wait.
 *
 * **Where it runs.** `runBlocking` keeps the thread that calls it, a Worker's: `wakeLoop` from another thread makes it
 * return after the turn. `start` and `run` share a thread with other code; `hold` has most of the thread for itself.
 * Each wait that such a loop leaves to others occupies a thread of Deno's pool, so only one loop of an isolate may be
 * started: `EventLoop.shared()` is that one.
 *
 * **Closing.** A descriptor is closed at the end of a turn, when no wait looks at it and no handler of the same turn
 * could meet its number again under another owner.
 *
 * @module
 */
import type { Turn } from "../../nat/host.ts";
import { Delays } from "./delays.ts";
import { creationFailed, Epoll } from "./epoll.ts";
import { type Libc, libc } from "./libc.ts";
import { BlockingWaits, cooperate, type CooperativeLoop, hold } from "./loop_waits.ts";
import { type TurnShare, TurnShares } from "./turn_shares.ts";
import { READABLE, ReadyWatches, type Watch, type WatchHandler } from "./watch.ts";

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

// EFD_CLOEXEC, EFD_NONBLOCK and EFD_SEMAPHORE: each read takes one of the wakes.
const WAKE_FLAGS = 0x80801;
const LONGEST_WAIT_MS = 0x7fffffff;

const IDLE = 0;
const DISPATCHING = 1;
const ENDING = 2;
const WAITING = 3;

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
  readonly #epoll: Epoll;
  readonly #wakeCount = new Uint8Array(8);
  readonly #ready = new ReadyWatches(this.shares);
  #turns: Turn[] = [];
  readonly #delays = new Delays();
  readonly #blocking = new BlockingWaits();
  #closing: Watch[] = [];
  #whenClosed: (() => void)[] = [];
  #phase = IDLE;
  #clock: number = performance.now();
  #deadline = Infinity;
  #turnWanted = false;
  #woken = false;
  #waitEnds = false;
  #stopping = false;
  #running: Promise<void> | undefined;
  #users = 0;
  #disposed = false;

  /** Throws `Deno.errors.NotSupported` or `NotCapable` as `libc` does, and an `Error` when descriptors have run out. */
  constructor() {
    this.#libc = libc();
    this.#epoll = new Epoll((watch) => this.#enlist(watch));
    this.wakeFd = this.#libc.eventfd(0, WAKE_FLAGS);
    if (this.wakeFd < 0) {
      const error = creationFailed();
      this.#epoll.close();
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
    const watch = this.#epoll.watch(fd, handler, options.level ?? false);
    if (options.share !== undefined) this.pay(watch, options.share);
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
    this.#epoll.forget(watch);
    // Closing removes an edge-triggered socket from epoll by itself. A level-triggered device may be held by another
    // process too, and would then report itself for ever.
    if (!this.#disposed && (watch.level || this.#phase === WAITING)) {
      this.#epoll.remove(watch);
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
    this.#epoll.forget(watch);
    this.#epoll.remove(watch);
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
    const prevent = this.#delays.add(callback, this.now() + ms);
    // The wait under way, or the next one, may be longer than that.
    if (this.#phase !== DISPATCHING && this.#phase !== ENDING) this.requestTurn();
    return prevent;
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
      const timeoutMs = this.#timeoutMs(Math.min(this.#deadline, untilMs), this.#clock);
      this.#turn(this.#blocking.wait(this.#epoll, timeoutMs, this.#clock));
    } while (!this.#woken && this.#clock < untilMs);
    return this.#woken;
  }

  /** Begins to run turns beside other code on this thread. Throws an `Error` when this or another loop runs already. */
  start(): void {
    this.#begin("start", cooperate);
  }

  /**
   * Runs turns until `stop`, and holds this thread for some milliseconds at a time while there is traffic, as a program
   * that does little else may. Rejects with what a handler throws. Throws as `start` does.
   */
  async hold(): Promise<void> {
    this.#begin("hold", hold);
    await this.#running;
  }

  /** Runs turns beside other code until `stop`. Rejects with what a handler throws. Throws as `start` does. */
  async run(): Promise<void> {
    this.#begin("run", cooperate);
    await this.#running;
  }

  #begin(action: string, waits: typeof cooperate): void {
    this.#assertIdle(action);
    if (EventLoop.#started) {
      throw new Error(`Cannot ${action} event loop: another one is started on this thread, use EventLoop.shared()`);
    }
    EventLoop.#started = this;
    this.#stopping = false;
    this.#running = this.#runStarted(waits);
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

  async #runStarted(waits: typeof cooperate): Promise<void> {
    try {
      // The caller of `start` goes on first.
      await Promise.resolve();
      await this.#cooperate(waits);
    } finally {
      this.#running = undefined;
      EventLoop.#started = undefined;
    }
  }

  async #cooperate(waits: typeof cooperate): Promise<void> {
    const isStopping = () => this.#stopping;
    const loop: CooperativeLoop = {
      get isStopping() {
        return isStopping();
      },
      timeoutMs: (now) => this.#timeoutMs(this.#deadline, now),
      waits: () => void (this.#phase = WAITING),
      turn: (count) => {
        this.#turn(count);
        return this.#clock;
      },
    };
    try {
      await waits(this.#epoll, loop);
    } finally {
      this.#phase = IDLE;
      this.#closeReleased();
    }
  }

  #turn(count: number): void {
    this.#phase = DISPATCHING;
    this.#clock = performance.now();
    this.#turnWanted = false;
    this.shares.begin(this.#clock);
    try {
      this.#epoll.markReady(count);
      this.#ready.call(this.#clock);
      this.#delays.callDue(this.#clock);
      this.#phase = ENDING;
      let deadline = Infinity;
      for (const turn of this.#turns) deadline = Math.min(deadline, turn());
      this.#deadline = Math.min(deadline, this.#delays.earliest);
    } finally {
      this.#phase = IDLE;
      if (this.#closing.length > 0) this.#closeReleased();
      this.shares.end();
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

  #timeoutMs(limit: number, from: number): number {
    if (!this.#ready.isEmpty || this.#turnWanted) return 0;
    if (limit === Infinity) return -1;
    return Math.min(Math.max(0, Math.ceil(limit - from)), LONGEST_WAIT_MS);
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
    this.#epoll.close();
  }
}
