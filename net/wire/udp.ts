/**
 * UDP headers (RFC 768).
 *
 * The length field bounds the datagram: header and payload, at least 8, at most what the packet holds. A checksum field
 * of 0 means that the sender made none; a checksum that comes out as 0 is sent as 0xffff, its other form.
 *
 * @module
 */
import { readUint16, writeUint16 } from "./bytes.ts";
import { checksumAdd, checksumFinish, checksumFold, pseudoHeaderSum } from "./checksum.ts";
import { DecodeError } from "./decode_error.ts";
import { PROTOCOL_UDP } from "./ipv4.ts";

/** Bytes of the header. */
export const UDP_HEADER_LENGTH = 8;

const DESTINATION_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

/** A datagram's header, decoded. */
export interface UdpDatagram {
  /** Source port. */
  sourcePort: number;
  /** Destination port. */
  destinationPort: number;
  /** Bytes of header and payload. */
  length: number;
  /** The checksum as found; 0: none. */
  checksum: number;
  /** Offset in the array of the payload. */
  payloadStart: number;
  /** Offset in the array after the payload; what follows is padding. */
  payloadEnd: number;
}

/** Whether `bytes[start, end)` begins with a header and holds the payload it promises. */
export function checkUdp(bytes: Uint8Array, start: number, end: number): boolean {
  const available = end - start;
  if (available < UDP_HEADER_LENGTH) return false;
  const length = readUint16(bytes, start + LENGTH);
  return length >= UDP_HEADER_LENGTH && length <= available;
}

/** Source port; 0 where no reply is wanted. */
export function udpSourcePort(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset);
}

/** Destination port. */
export function udpDestinationPort(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + DESTINATION_PORT);
}

/** Bytes of header and payload. */
export function udpLength(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + LENGTH);
}

/** The checksum as found; 0: none. */
export function udpChecksum(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + CHECKSUM);
}

/**
 * Whether the datagram at `offset`, between addresses of this sum, is without checksum or has the right one. Over IPv6
 * there must be one (RFC 8200 section 8.1): the caller looks at `udpChecksum` first.
 */
export function udpChecksumValid(bytes: Uint8Array, offset: number, addressSum: number): boolean {
  return udpChecksum(bytes, offset) === 0 || datagramChecksum(bytes, offset, addressSum) === 0;
}

/** Whether the checksum field of such a datagram holds the pseudo-header's sum alone, left to a device to complete. */
export function udpChecksumPartial(bytes: Uint8Array, offset: number, addressSum: number): boolean {
  const pseudo = pseudoHeaderSum(addressSum, PROTOCOL_UDP, udpLength(bytes, offset));
  return udpChecksum(bytes, offset) === checksumFold(pseudo);
}

/** Writes the checksum of the datagram at `offset`, whose header and payload are in place. */
export function udpSetChecksum(bytes: Uint8Array, offset: number, addressSum: number): void {
  writeUint16(bytes, offset + CHECKSUM, 0);
  const sum = datagramChecksum(bytes, offset, addressSum);
  writeUint16(bytes, offset + CHECKSUM, sum === 0 ? 0xffff : sum);
}

/** Writes the pseudo-header's sum alone, for a link that completes the checksum. */
export function udpSetPartialChecksum(bytes: Uint8Array, offset: number, addressSum: number): void {
  const pseudo = pseudoHeaderSum(addressSum, PROTOCOL_UDP, udpLength(bytes, offset));
  writeUint16(bytes, offset + CHECKSUM, checksumFold(pseudo));
}

/** Decodes the header at the beginning of `bytes[start, end)`. Throws a `DecodeError`. */
export function decodeUdp(bytes: Uint8Array, start: number = 0, end: number = bytes.length): UdpDatagram {
  if (!checkUdp(bytes, start, end)) throw refusal(bytes, start, end);
  const length = udpLength(bytes, start);
  return {
    sourcePort: udpSourcePort(bytes, start),
    destinationPort: udpDestinationPort(bytes, start),
    length,
    checksum: udpChecksum(bytes, start),
    payloadStart: start + UDP_HEADER_LENGTH,
    payloadEnd: start + length,
  };
}

/**
 * Writes a header at `offset`, its checksum field 0, and returns 8. `length` is the field's value: header and payload.
 * The caller has made room.
 */
export function encodeUdp(
  bytes: Uint8Array,
  offset: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
): number {
  writeUint16(bytes, offset, sourcePort);
  writeUint16(bytes, offset + DESTINATION_PORT, destinationPort);
  writeUint16(bytes, offset + LENGTH, length);
  writeUint16(bytes, offset + CHECKSUM, 0);
  return UDP_HEADER_LENGTH;
}

/** `UDP 68 > 67, length 300`, the payload's length as tcpdump has it; with `ends`, `ends: UDP, length 300`. */
export function formatUdp(datagram: UdpDatagram, ends?: string): string {
  const none = datagram.checksum === 0 ? ", no cksum" : "";
  const length = datagram.length - UDP_HEADER_LENGTH;
  const head = ends === undefined ? `UDP ${datagram.sourcePort} > ${datagram.destinationPort}` : `${ends}: UDP`;
  return `${head}${none}, length ${length}`;
}

function datagramChecksum(bytes: Uint8Array, offset: number, addressSum: number): number {
  const length = udpLength(bytes, offset), pseudo = pseudoHeaderSum(addressSum, PROTOCOL_UDP, length);
  return checksumFinish(checksumAdd(bytes, offset, offset + length, pseudo));
}

function refusal(bytes: Uint8Array, start: number, end: number): DecodeError {
  const actual = end - start;
  let needed = UDP_HEADER_LENGTH, reason = "the header is cut off";
  if (actual >= UDP_HEADER_LENGTH) {
    const length = udpLength(bytes, start);
    if (length < UDP_HEADER_LENGTH) reason = `the length ${length} is less than 8`;
    else {
      needed = length;
      reason = `the length ${length} goes past the end`;
    }
  }
  return new DecodeError("udp", { offset: start, needed, actual, reason });
}
