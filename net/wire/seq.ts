/**
 * TCP sequence numbers (RFC 9293 section 3.4): unsigned 32-bit numbers that wrap, compared by their distance.
 *
 * A comparison is meaningful between numbers less than 2³¹ apart. No other file adds or compares sequence numbers.
 *
 * @module
 */

/** `a + n`, wrapped. `n` is a count of bytes (or of SYN and FIN) and may be negative. */
export function seqAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}

/** How far `a` is after `b`: positive when later, negative when earlier. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

/** Whether `a` comes before `b`. */
export function seqLess(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** Whether `a` comes before `b` or is `b`. */
export function seqLessOrEqual(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

/** Whether `seq` lies in the `size` numbers that begin with `start`. */
export function seqInWindow(seq: number, start: number, size: number): boolean {
  return ((seq - start) >>> 0) < size;
}

/** The later of two sequence numbers. */
export function seqMax(a: number, b: number): number {
  return seqLess(a, b) ? b : a;
}

/** The earlier of two sequence numbers. */
export function seqMin(a: number, b: number): number {
  return seqLess(a, b) ? a : b;
}
