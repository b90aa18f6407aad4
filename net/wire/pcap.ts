/**
 * Capture files in the classic pcap format (draft-ietf-opsawg-pcap), with time in nanoseconds: a file header, then for
 * each frame a record header and its bytes. Written only; the magic number says that they are big-endian, which every
 * reader takes.
 *
 * @module
 */
import { writeUint16, writeUint32 } from "./bytes.ts";

/** Bytes of the file header. */
export const PCAP_HEADER_LENGTH = 24;
/** Bytes in front of each frame. */
export const PCAP_RECORD_HEADER_LENGTH = 16;
/** The most bytes of a frame that a record holds: more than any frame has, and what readers take for the limit. */
export const PCAP_SNAP_LENGTH = 262144;
/** Link type of Ethernet without a frame check sequence. */
export const PCAP_LINKTYPE_ETHERNET = 1;

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAJOR_VERSION = 2;
const MINOR_VERSION = 4;

const MINOR = 6;
/** Two fields that every writer leaves at 0 stand between the version and this. */
const SNAP_LENGTH = 16;
const LINK_TYPE = 20;

const NANOSECONDS = 4;
const CAPTURED = 8;
const ORIGINAL = 12;

/** Writes the file header of a capture of Ethernet frames at `offset` and returns 24. The caller has made room. */
export function encodePcapHeader(bytes: Uint8Array, offset: number): number {
  bytes.fill(0, offset, offset + PCAP_HEADER_LENGTH);
  writeUint32(bytes, offset, MAGIC_NANOSECONDS);
  writeUint16(bytes, offset + 4, MAJOR_VERSION);
  writeUint16(bytes, offset + MINOR, MINOR_VERSION);
  writeUint32(bytes, offset + SNAP_LENGTH, PCAP_SNAP_LENGTH);
  writeUint32(bytes, offset + LINK_TYPE, PCAP_LINKTYPE_ETHERNET);
  return PCAP_HEADER_LENGTH;
}

/**
 * Writes a record header at `offset` and returns 16: `captured` bytes follow it, of a frame of `original` bytes that
 * came `epochMs` milliseconds after 1970 began (UTC), with a fraction. The caller has made room.
 */
export function encodePcapRecord(
  bytes: Uint8Array,
  offset: number,
  epochMs: number,
  captured: number,
  original: number = captured,
): number {
  const seconds = Math.floor(epochMs / 1000);
  writeUint32(bytes, offset, seconds);
  writeUint32(bytes, offset + NANOSECONDS, Math.floor((epochMs - seconds * 1000) * 1e6));
  writeUint32(bytes, offset + CAPTURED, captured);
  writeUint32(bytes, offset + ORIGINAL, original);
  return PCAP_RECORD_HEADER_LENGTH;
}
