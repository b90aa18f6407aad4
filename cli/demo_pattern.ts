/**
 * The bytes that the demo sends, and the check that they arrived.
 *
 * A pattern with a prime period, so that a byte lost, repeated or out of place shows at once; together with the count
 * it is proof.
 *
 * @module
 */
import { Buffer } from "node:buffer";

const PERIOD = 65521;
/** Most bytes that `patternAt` gives at once. */
export const PATTERN_MAX = 65536;

const doubled = new Uint8Array(PERIOD + PATTERN_MAX);
for (let i = 0; i < doubled.length; i++) doubled[i] = (i % PERIOD) * 31 + ((i % PERIOD) >> 8) * 17;

/** `length` bytes of the pattern from position `at` on. */
export function patternAt(at: number, length: number): Uint8Array {
  const start = at % PERIOD;
  return doubled.subarray(start, start + length);
}

/** Whether `bytes`, at most `PATTERN_MAX` of them, are the pattern from position `at` on. */
export function isPattern(bytes: Uint8Array, at: number): boolean {
  return Buffer.compare(bytes, patternAt(at, bytes.length)) === 0;
}
