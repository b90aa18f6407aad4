/**
 * Numbers that look random and are the same for the same seed: mulberry32, a counter in steps of an odd constant whose
 * bits are mixed by two multiplications. 2³² steps until it repeats; good enough to decide which frame is lost, and
 * nothing that anyone should keep a secret with.
 *
 * @module
 */

const STEP = 0x6d2b79f5;

/** A sequence of numbers that its seed decides. */
export class SeededRandom {
  #state: number;

  /** Begins the sequence of `seed`, of which the low 32 bits count. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** The next number, from 0 to less than 1. */
  next(): number {
    this.#state = (this.#state + STEP) >>> 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }
}
