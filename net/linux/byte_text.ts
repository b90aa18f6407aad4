/**
 * Text of which only the bytes are known: arguments, variables and paths of Unix need not be UTF-8.
 *
 * A `ByteText` is a string in which each character stands for one byte, 0 to 255. So it can be searched and cut like
 * any string, and nothing is lost on the way in and out.
 *
 * @module
 */

/** A string whose characters are bytes. */
export type ByteText = string;

const CHUNK = 8192;

/** Bytes as text. */
export function byteText(bytes: Uint8Array): ByteText {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return text;
}

/** The bytes that an ordinary string has in UTF-8, as text. */
export function utf8ByteText(text: string): ByteText {
  return byteText(new TextEncoder().encode(text));
}

/** The bytes of a text. */
export function bytesOf(text: ByteText): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** The text as an ordinary string, in which U+FFFD stands for what is not UTF-8. */
export function readableText(text: ByteText): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(text));
}
