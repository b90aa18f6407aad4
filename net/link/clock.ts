/**
 * Time for what runs beside a gateway: a link that delays frames, a program that waits.
 *
 * An `EventLoop` is a clock too, and where it blocks its thread the only one that goes on; a test has one of its own.
 *
 * @module
 */

/** Milliseconds, and calls that come later. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `callback` once, `ms` from now or a little later, never from within; what is returned prevents that. */
  delay(callback: () => void, ms: number): () => void;
}

/** The clock of the program: `performance.now` and `setTimeout`, so a delay is a whole millisecond at least. */
export const SYSTEM_CLOCK: Clock = {
  now(): number {
    return performance.now();
  },
  delay(callback: () => void, ms: number): () => void {
    const timer = setTimeout(callback, Math.ceil(ms));
    return () => clearTimeout(timer);
  },
};

/** Milliseconds since 1970 began (UTC), with a fraction: the time of day, for stamps. */
export function wallClockMs(): number {
  return performance.timeOrigin + performance.now();
}
