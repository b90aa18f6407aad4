/**
 * When things happen in a host that is built on promises: the ready list, the turn and the one timer.
 *
 * **Goal.** `HostNetwork` promises that a handler is never called from within a call of its owner and that the turn
 * follows each batch of handlers. Promises settle one by one, whenever Deno's event loop finds them finished; here
 * they become batches.
 *
 * **Events.** A socket whose promise has settled, or whose interest has changed, puts itself on the ready list. The
 * first entry of an empty list schedules a pass, and so does `wake`. A pass dispatches the sockets that were on the
 * list when it began, then calls the turns, then arms the timer for the earliest answer. A socket that is still ready
 * afterwards (its owner read a part) is on the list of the next pass.
 *
 * **Which queue.** Passes are `setImmediate`s. Deno answers a read of ready bytes, or a write that fits, with an
 * already resolved promise; a chain of passes in microtasks would feed on those and keep timers, links and other
 * sockets from their say until the runtime's own budget ends (about 128 operations). By `setImmediate` each pass
 * collects what one round of the event loop has finished. It costs little: an echo took 26 to 35 µs, against 25 to 33
 * with microtasks and 23 to 31 with bare `Deno.Conn`s. `setTimeout(0)` costs one to two milliseconds.
 *
 * **Timer.** One `setTimeout` for all deadlines, armed anew only when an earlier one is asked for; when it fires too
 * early for a deadline that has moved meanwhile, the turn finds nothing due and answers with the new one.
 *
 * @module
 */
import type { Turn } from "../nat/host.ts";
import { clearImmediate, setImmediate } from "node:timers";

// The longest delay that setTimeout knows; a longer one would fire at once.
const LONGEST_DELAY_MS = 0x7fffffff;

/** What can be on the ready list. */
export interface Dispatchable {
  /** Whether it is on the list; only the reactor changes it. */
  queued: boolean;
  /** Calls the handlers for what is ready; returns whether something still is. */
  dispatch(): boolean;
}

/** Batches what has become ready and calls the turns after it. */
export class DenoReactor {
  #turns: Turn[] = [];
  #ready: Dispatchable[] = [];
  #batch: Dispatchable[] = [];
  #immediate: ReturnType<typeof setImmediate> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #stopped = false;

  /** Adds a turn, to be called after every batch; the first call comes soon. */
  addTurn(turn: Turn): void {
    this.#turns.push(turn);
    this.wake();
  }

  /** Puts `item` on the ready list. */
  ready(item: Dispatchable): void {
    if (item.queued || this.#stopped) return;
    item.queued = true;
    this.#ready.push(item);
    this.wake();
  }

  /** Schedules a pass, once for many calls. */
  wake(): void {
    if (!this.#stopped) this.#immediate ??= setImmediate(this.#onImmediate);
  }

  /** Ends everything: no handler and no turn is called any more, no timer is left. */
  stop(): void {
    this.#stopped = true;
    this.#ready.length = 0;
    this.#turns.length = 0;
    if (this.#immediate !== undefined) clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    this.#immediate = this.#timer = undefined;
  }

  readonly #onImmediate = (): void => {
    this.#immediate = undefined;
    this.#pass();
  };

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    this.#pass();
  };

  #pass(): void {
    if (this.#stopped) return;
    const batch = this.#ready;
    this.#ready = this.#batch;
    this.#batch = batch;
    for (const item of batch) {
      item.queued = false;
      if (!item.dispatch() || item.queued || this.#stopped) continue;
      item.queued = true;
      this.#ready.push(item);
    }
    batch.length = 0;
    let next = Infinity;
    for (const turn of this.#turns) next = Math.min(next, turn());
    if (this.#stopped) return;
    if (this.#ready.length > 0) this.wake();
    this.#arm(next);
  }

  #arm(at: number): void {
    if (at >= this.#timerAt) return;
    const delayMs = Math.ceil(at - performance.now());
    if (delayMs <= 0) return this.wake();
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(this.#onTimer, Math.min(delayMs, LONGEST_DELAY_MS));
  }
}
