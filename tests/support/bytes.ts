/**
 * Bulk data for tests.
 *
 * @module
 */
import { assertEquals } from "@std/assert";

/** Bytes of which no two stretches are alike. */
export function pattern(length: number): Uint8Array {
  const words = new Uint32Array((length + 3) >> 2);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 0x9e3779b1);
  return new Uint8Array(words.buffer, 0, length);
}

/** As `assertEquals`, fast for megabytes. */
export function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assertEquals(at, -1, `byte ${at} differs`);
}
