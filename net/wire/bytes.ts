/**
 * Big-endian reads and writes on a `Uint8Array`.
 *
 * Every header of the Internet is big-endian (RFC 791 appendix B, RFC 1700). These work on the array that carries the
 * frame, so that no `DataView` has to travel beside it. They check nothing: the caller has checked the length, and a
 * read past the end gives `NaN` or 0, never a throw.
 *
 * @module
 */

/** Reads an unsigned 16-bit integer at `offset`. */
export function readUint16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

/** Reads an unsigned 32-bit integer at `offset`. */
export function readUint32(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>> 0;
}

/** Writes the low 16 bits of `value` at `offset`. */
export function writeUint16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

/** Writes the low 32 bits of `value` at `offset`. */
export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}
