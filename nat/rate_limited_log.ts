/**
 * Log lines that a guest can provoke, so many a second at most.
 *
 * A bucket of `BURST` lines fills by one every `REFILL_MS`. What does not fit is counted, and the next line that does says how many were left out.
 *
 * @module
 */
import type { Logger } from "./logger.ts";

/** Lines that may come at once. */
export const BURST = 10;
/** Time in milliseconds after which one more line may come. */
export const REFILL_MS = 1000;

/** Passes warnings on, rationed. */
export class RateLimitedLog {
  #logger: Logger;
  #now: () => number;
  #tokens = BURST;
  #filledAt: number;
  #suppressed = 0;

  /** Warnings go to `logger`; `now` gives monotonic milliseconds. */
  constructor(logger: Logger, now: () => number) {
    this.#logger = logger;
    this.#now = now;
    this.#filledAt = now();
  }

  /** Lines left out since the last one that came. */
  get suppressed(): number {
    return this.#suppressed;
  }

  /** Logs what `message` returns, or counts it; it is not called then. */
  warn(message: () => string): void {
    const elapsed = this.#now() - this.#filledAt, refilled = Math.floor(elapsed / REFILL_MS);
    if (refilled > 0) {
      this.#tokens = Math.min(BURST, this.#tokens + refilled);
      this.#filledAt += refilled * REFILL_MS;
    }
    if (this.#tokens === 0) {
      this.#suppressed++;
      return;
    }
    this.#tokens--;
    const suffix = this.#suppressed > 0 ? ` (${this.#suppressed} such lines left out)` : "";
    this.#suppressed = 0;
    this.#logger.warn(message() + suffix);
  }
}
