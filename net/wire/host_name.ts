/**
 * Names of hosts as protocols say them in ASCII, for comparing: in lower case and without a final dot.
 *
 * A name has labels of letters, digits, `-` and `_` (RFC 1123 section 2.1, and what people use), of at most 63 bytes
 * each and 253 in all. One whose last label is a number is an IPv4 address in some form, and no name (WHATWG URL
 * section 3.6).
 *
 * @module
 */

/** Most bytes of a name as text, without a final dot. */
export const HOST_NAME_MAX = 253;

const LABEL_MAX = 63;
const DOT = 0x2e;
const NUMBER = /^(?:\d+|0[xX][0-9a-fA-F]*)$/;

/** The name that is `bytes[start, end)`, or null if that is none: an address, say, or nothing at all. */
export function readHostName(bytes: Uint8Array, start: number, end: number): string | null {
  const stop = end > start && bytes[end - 1] === DOT ? end - 1 : end;
  if (stop === start || stop - start > HOST_NAME_MAX) return null;
  let name = "", label = start;
  for (let at = start; at <= stop; at++) {
    const byte = at < stop ? bytes[at]! : DOT;
    if (byte === DOT) {
      if (at === label || at - label > LABEL_MAX) return null;
      label = at + 1;
    } else if (!isNameByte(byte)) {
      return null;
    }
    if (at < stop) name += String.fromCharCode(byte);
  }
  return NUMBER.test(name.slice(name.lastIndexOf(".") + 1)) ? null : name.toLowerCase();
}

function isNameByte(byte: number): boolean {
  const lower = byte | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x5f;
}
