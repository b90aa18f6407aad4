/**
 * A clock that stands still until a program moves it: for tests that do not wait.
 *
 * What runs on it has its timers called by `advance`, each at its own time and in order, in as little real time as the
 * calls take.
 *
 * @module
 */
import type { Clock } from "./clock.ts";

interface Delayed {
  readonly at: number;
  readonly callback: () => void;
}

/**
 * A `Clock` whose time passes when the program says so.
 *
 * @example
 * ```ts
 * import { VirtualClock } from "@hawser/hawser/link";
 *
 * const clock = new VirtualClock();
 * let rung = 0;
 * clock.delay(() => rung++, 60_000);
 * clock.advance(60_000); // a minute, at once
 * if (rung !== 1) throw new Error("It has not rung");
 * ```
 */
export class VirtualClock implements Clock {
  /** Milliseconds; what `now()` answers. */
  time: number;
  #delayed: Delayed[] = [];

  /** A clock at `time`; 1000 unless given. */
  constructor(time: number = 1000) {
    this.time = time;
  }

  /** The time. */
  now(): number {
    return this.time;
  }

  /** Has `callback` called once `ms` have been let pass; what is returned prevents that. */
  delay(callback: () => void, ms: number): () => void {
    const delayed = { at: this.time + ms, callback };
    let at = this.#delayed.length;
    while (at > 0 && this.#delayed[at - 1]!.at > delayed.at) at--;
    this.#delayed.splice(at, 0, delayed);
    return () => {
      this.#delayed = this.#delayed.filter((each) => each !== delayed);
    };
  }

  /** When the next call is due. */
  get deadline(): number {
    return this.#delayed[0]?.at ?? Infinity;
  }

  /** How many calls are to come. */
  get size(): number {
    return this.#delayed.length;
  }

  /** Calls what is due now; returns whether there was anything. */
  run(): boolean {
    if (this.deadline > this.time) return false;
    while (this.deadline <= this.time) this.#delayed.shift()!.callback();
    return true;
  }

  /** Lets `ms` pass: each call comes at its time. */
  advance(ms: number): void {
    const end = this.time + ms;
    while (this.deadline <= end) {
      this.time = Math.max(this.time, this.deadline);
      this.run();
    }
    this.time = end;
  }
}
