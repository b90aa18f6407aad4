/**
 * Calls that are to come at a time of an event loop, few of them: what flows need is in the wheel of
 * `nat/base/timers.ts`.
 *
 * @module
 */

interface Delay {
  readonly callback: () => void;
  readonly at: number;
}

/** Calls by the time at which they are due. */
export class Delays {
  #delays: Delay[] = [];

  /** When the first of them is due; `Infinity` if there is none. */
  get earliest(): number {
    let earliest = Infinity;
    for (const { at } of this.#delays) earliest = Math.min(earliest, at);
    return earliest;
  }

  /** Has `callback` called once at `at` or later. Returns what prevents that. */
  add(callback: () => void, at: number): () => void {
    const delay = { callback, at };
    this.#delays.push(delay);
    return () => this.#remove(delay);
  }

  /** Calls what is due at `now`, but not what is added meanwhile. */
  callDue(now: number): void {
    if (this.#delays.length === 0) return;
    const due = this.#delays.filter(({ at }) => at <= now);
    for (const delay of due) {
      // One that came before may have prevented this one.
      if (!this.#delays.includes(delay)) continue;
      this.#remove(delay);
      delay.callback();
    }
  }

  #remove(delay: Delay): void {
    this.#delays = this.#delays.filter((each) => each !== delay);
  }
}
