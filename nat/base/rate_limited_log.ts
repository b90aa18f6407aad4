/**
 * Log lines that a guest can provoke, so many a second at most.
 *
 * A bucket of `burst` lines fills by one every `refillMs`. What does not fit is counted, and the next line that does
 * says how many were left out. What has different worth has a bucket of its own, so that a flood of the one does not
 * hide the other.
 *
 * @module
 */
import type { Logger } from "./logger.ts";
import { TokenBucket } from "./token_bucket.ts";

/** Lines that may come at once unless told otherwise. */
export const BURST = 10;
/** Time in milliseconds after which one more line may come unless told otherwise. */
export const REFILL_MS = 1000;

/** Passes lines on, rationed. */
export class RateLimitedLog {
  #logger: Logger;
  #now: () => number;
  #bucket: TokenBucket;
  #suppressed = 0;

  /** Lines go to `logger`; `now` gives monotonic milliseconds. */
  constructor(logger: Logger, now: () => number, ration: { burst?: number; refillMs?: number } = {}) {
    this.#logger = logger;
    this.#now = now;
    const perSecond = 1000 / (ration.refillMs ?? REFILL_MS);
    this.#bucket = new TokenBucket({ perSecond, burst: ration.burst ?? BURST }, now());
  }

  /** Lines left out since the last one that came. */
  get suppressed(): number {
    return this.#suppressed;
  }

  /** Logs what `message` returns as a warning, or counts it; it is not called then. */
  warn(message: () => string): void {
    this.#pass("warn", message);
  }

  /** The same for a line about normal work. */
  info(message: () => string): void {
    this.#pass("info", message);
  }

  #pass(level: "warn" | "info", message: () => string): void {
    if (!this.#bucket.take(this.#now())) {
      this.#suppressed++;
      return;
    }
    const suffix = this.#suppressed > 0 ? ` (${this.#suppressed} such lines left out)` : "";
    this.#suppressed = 0;
    this.#logger[level](message() + suffix);
  }
}
