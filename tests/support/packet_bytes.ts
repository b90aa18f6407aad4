/**
 * Bytes for codec tests: inputs in sub-views whose `byteOffset` is not 0, outputs painted so that an unwritten byte
 * shows, and the assertions that every codec owes.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertStrictEquals } from "@std/assert";
import { DecodeError } from "../../net/wire/decode_error.ts";

/** What output buffers are filled with before an encoder runs. */
export const PAINT = 0xa5;

/** Where in a painted buffer the encoders write. */
const AT = 5;
const MARGIN = 7;

/** A copy of `bytes` as a sub-view in the middle of a painted buffer. */
export function placed(bytes: Uint8Array): Uint8Array {
  const view = painted(bytes.length);
  view.set(bytes);
  return view;
}

/** A painted sub-view of `length` bytes whose `byteOffset` is not 0. */
export function painted(length: number): Uint8Array {
  const whole = new Uint8Array(length + 2 * MARGIN).fill(PAINT);
  return whole.subarray(MARGIN, MARGIN + length);
}

/** Bytes written as hexadecimal, white space ignored, as a sub-view in the middle of a painted buffer. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, "");
  const bytes = Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(i * 2, i * 2 + 2), 16));
  assertEquals(toHex(bytes), digits.toLowerCase(), "the test's own hexadecimal is malformed");
  return placed(bytes);
}

/** `bytes[start, end)` as hexadecimal without spaces. */
export function toHex(bytes: Uint8Array, start: number = 0, end: number = bytes.length): string {
  return Array.from(bytes.subarray(start, end), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Bytes that look random and are the same for the same seed. */
export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state >>> 11;
  }
  return bytes;
}

/** Asserts that an encoder writes exactly the expected bytes, says how many, and touches nothing beside them. */
export function assertEncodes(expected: string, encode: (bytes: Uint8Array, offset: number) => number): void {
  const wanted = expected.replace(/\s+/g, "").toLowerCase(), length = wanted.length / 2;
  const out = painted(AT + length + MARGIN);
  const written = encode(out, AT);
  assertEquals(toHex(out, AT, AT + length), wanted);
  assertStrictEquals(written, length);
  assertEquals(toHex(out, 0, AT), toHex(painted(AT)), "bytes in front were touched");
  assertEquals(toHex(out, AT + length), toHex(painted(MARGIN)), "bytes behind were touched");
}

/** The two doors of a codec. */
export interface Doors {
  /** The layer that its errors name. */
  layer: string;
  /** The hot door. */
  check(bytes: Uint8Array, start: number, end: number): boolean;
  /** The strict door. */
  decode(bytes: Uint8Array, start?: number, end?: number): unknown;
}

/** Asserts that both doors refuse `bytes[start, end)`, and returns the strict one's error. */
export function assertRefused(doors: Doors, bytes: Uint8Array, range?: { start: number; end: number }): DecodeError {
  const { start, end } = range ?? { start: 0, end: bytes.length };
  assertStrictEquals(doors.check(bytes, start, end), false, `check accepts ${end - start} bytes`);
  try {
    doors.decode(bytes, start, end);
  } catch (error) {
    assert(error instanceof DecodeError, `${error}`);
    assertEquals([error.layer, error.offset, error.actual], [doors.layer, start, end - start]);
    return error;
  }
  throw new Error(`The strict door accepts ${end - start} bytes`);
}

/** Asserts that both doors take `bytes` whole, and neither takes any shorter beginning of them. */
export function assertRefusesEveryShorter(doors: Doors, bytes: Uint8Array): void {
  assert(doors.check(bytes, 0, bytes.length));
  doors.decode(bytes);
  const shifted = painted(bytes.length + MARGIN);
  shifted.set(bytes, AT);
  for (let length = 0; length < bytes.length; length++) {
    // The missing bytes are really missing, then present in the array but past the end that was given.
    assertGreater(assertRefused(doors, placed(bytes.subarray(0, length))).needed, length);
    assertGreater(assertRefused(doors, shifted, { start: AT, end: AT + length }).needed, length);
  }
}
