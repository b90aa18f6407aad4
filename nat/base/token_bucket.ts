/**
 * A bucket of tokens: so many at once, and so many a second.
 *
 * It is full at first and filled by whole tokens, one every `1000 / perSecond` milliseconds. What is over is lost.
 * There is no timer: the bucket is filled when it is asked.
 *
 * @module
 */

/** How a bucket is filled. */
export interface TokenRate {
  /** Tokens a second. */
  readonly perSecond: number;
  /** Tokens that it holds. */
  readonly burst: number;
}

/** Rations what someone else can provoke. */
export class TokenBucket {
  #burst: number;
  #periodMs: number;
  #tokens: number;
  #filledAt: number;

  /** A full bucket at the time `now` in milliseconds. Throws a `RangeError` for a rate that lets nothing pass. */
  constructor(rate: TokenRate, now: number) {
    if (!(rate.perSecond > 0) || !(rate.burst >= 1)) {
      throw new RangeError(`Cannot ration at ${rate.perSecond} a second, ${rate.burst} at once: nothing would pass`);
    }
    this.#burst = rate.burst;
    this.#periodMs = 1000 / rate.perSecond;
    this.#tokens = rate.burst;
    this.#filledAt = now;
  }

  /** Takes a token, if there is one at the time `now`. */
  take(now: number): boolean {
    const filled = Math.floor((now - this.#filledAt) / this.#periodMs);
    if (filled > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + filled);
      this.#filledAt += filled * this.#periodMs;
    }
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }
}
