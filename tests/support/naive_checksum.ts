/**
 * The Internet checksum as RFC 1071 defines it, word by word: the oracle of the fast one, and the baseline of its
 * bench.
 *
 * @module
 */

/**
 * The one's complement sum of `bytes[start, end)` as 16-bit words, an odd last byte padded with zero; not complemented.
 */
export function naiveSum(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let i = start; i < end; i += 2) {
    const low = i + 1 < end ? bytes[i + 1]! : 0;
    sum += bytes[i]! * 256 + low;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/** The checksum of `bytes[start, end)`. */
export function naiveChecksum(bytes: Uint8Array, start: number, end: number): number {
  return 0xffff - naiveSum(bytes, start, end);
}
