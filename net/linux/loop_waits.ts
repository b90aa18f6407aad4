/**
 * How an event loop waits for its next turn.
 *
 * **With a thread of its own.** Being woken from sleep costs tens of microseconds, much of a round trip, so after a
 * short wait the loop polls for `SPIN_MS` before it sleeps again, and lets whoever else wants the processor have it
 * meanwhile. After a long turn it sleeps at once: that was one of many bytes, and what comes next may gather. If it had
 * to wait for the processor while it polled, others want that more than Hawser does, and it sleeps at once for
 * `CONTESTED_MS`: who sleeps is woken in his turn, and who gives way again and again has his turn last.
 *
 * **Beside other code.** It polls for `SPIN_MS` after the last event, then leaves one wait to Deno's thread pool. Under
 * load it makes such a wait of no length every `SLICE_MS`, because only while a promise of the runtime is pending does
 * that look at its own sockets and messages: after `setImmediate` alone these are seldom looked at. Each wait occupies
 * a thread of the pool, of which there are 32.
 *
 * **Holding a thread** on which other code has little to do, as the command's. Being woken by way of another thread
 * costs half of a round trip, so after an event the loop waits on this thread, until nothing has happened for
 * `QUIET_MS` (epoll's least), and for `HOLD_MS` at most: so long a signal may wait under load. Then a wait is left to
 * the pool, and signals, children and timers are served at once.
 *
 * @module
 */
import type { Epoll } from "./epoll.ts";
import { libc } from "./libc.ts";

/** How long a loop polls before it sleeps. */
const SPIN_MS = 0.05;
/** A wait below this makes the next one begin with polling. */
const SHORT_WAIT_MS = 0.1;
/** A turn from this on was a long one. */
const LONG_TURN_MS = 0.1;
/** Giving way for so long means that the processor is contested. */
const LONG_YIELD_MS = 0.5;
/** For how long it counts as contested. */
const CONTESTED_MS = 50;
/** How long a loop works before it gives way to the rest of the program. */
const SLICE_MS = 4;
/** How long a loop holds its thread. */
const HOLD_MS = 20;
/** Without an event for so long, it lets go of it. */
const QUIET_MS = 1;

/** The waits of a loop that has a thread of its own. */
export class BlockingWaits {
  #waitedMs = Infinity;
  #contestedUntil = 0;

  /**
   * Waits for an event, at most `timeoutMs`; -1: for ever. Returns how many came. `turnBegan` is the time of the turn
   * before.
   */
  wait(epoll: Epoll, timeoutMs: number, turnBegan: number): number {
    if (timeoutMs === 0) return epoll.poll();
    const began = performance.now();
    const isSpinning = this.#waitedMs < SHORT_WAIT_MS && began - turnBegan < LONG_TURN_MS &&
      began >= this.#contestedUntil;
    const count = (isSpinning ? this.#spin(epoll, began) : 0) || epoll.wait(timeoutMs);
    this.#waitedMs = performance.now() - began;
    return count;
  }

  #spin(epoll: Epoll, began: number): number {
    const { yieldProcessor } = libc();
    let count = 0, now = began;
    do {
      const gaveWayAt = now;
      yieldProcessor();
      count = epoll.poll();
      now = performance.now();
      if (now - gaveWayAt > LONG_YIELD_MS) this.#contestedUntil = now + CONTESTED_MS;
    } while (count === 0 && now < began + SPIN_MS);
    return count;
  }
}

/** A loop beside other code. */
export interface CooperativeLoop {
  /** Whether it is to end after the turn or wait under way. */
  readonly isStopping: boolean;
  /** How long it may wait from `now` on: milliseconds, 0 for not at all, -1 for ever. */
  timeoutMs(now: number): number;
  /** A wait begins that another thread waits. */
  waits(): void;
  /** Makes a turn with so many events. Returns when that began. */
  turn(count: number): number;
}

/** Runs the turns of a loop beside other code until it is stopping. */
export async function cooperate(epoll: Epoll, loop: CooperativeLoop): Promise<void> {
  let sliceEnd = performance.now() + SLICE_MS, lastWork = 0;
  do {
    const count = epoll.poll(), now = performance.now();
    let timeoutMs = loop.timeoutMs(now);
    if (count > 0 || timeoutMs === 0) {
      lastWork = loop.turn(count);
      if (lastWork < sliceEnd) continue;
      timeoutMs = 0;
    } else if (now - lastWork < SPIN_MS) {
      continue;
    }
    loop.waits();
    lastWork = loop.turn(await epoll.waitAsync(timeoutMs));
    sliceEnd = performance.now() + SLICE_MS;
  } while (!loop.isStopping);
}

/** Runs the turns of a loop that holds its thread under load, until it is stopping. */
export async function hold(epoll: Epoll, loop: CooperativeLoop): Promise<void> {
  const waits = new BlockingWaits();
  do {
    loop.waits();
    let now = loop.turn(await epoll.waitAsync(loop.timeoutMs(performance.now()))), isQuiet = false;
    const sliceEnd = now + HOLD_MS;
    while (!isQuiet && now < sliceEnd && !loop.isStopping) {
      const timeoutMs = loop.timeoutMs(now);
      const count = waits.wait(epoll, timeoutMs < 0 ? QUIET_MS : Math.min(timeoutMs, QUIET_MS), now);
      isQuiet = count === 0 && timeoutMs !== 0;
      now = loop.turn(count);
    }
  } while (!loop.isStopping);
}
