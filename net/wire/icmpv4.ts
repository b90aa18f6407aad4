/**
 * ICMP for IPv4 (RFC 792): echo, and errors that quote the packet they are about.
 *
 * An error carries the offending IP header and as much of what follows as keeps the whole datagram at 576 bytes or less
 * (RFC 1812 section 4.3.2.3), of the packet itself, not of the padding after it. An error that arrives may quote as
 * little as the header and 8 bytes (RFC 792), so that the quoted total length usually goes past the quote: `checkIpv4`
 * refuses it, and `icmpv4Quoted` is the check for it.
 *
 * @module
 */
import { readUint16, writeUint16 } from "./bytes.ts";
import { checksum } from "./checksum.ts";
import { DecodeError } from "./decode_error.ts";
import { IPV4_HEADER_LENGTH, ipv4HeaderLength, ipv4TotalLength } from "./ipv4.ts";

/** Bytes in front of the payload or quote. */
export const ICMPV4_HEADER_LENGTH = 8;

/** The type of an echo reply. */
export const ICMP_ECHO_REPLY = 0;
/** The type of a destination that cannot be reached. */
export const ICMP_UNREACHABLE = 3;
/** The type of an echo request. */
export const ICMP_ECHO_REQUEST = 8;
/** The type of a TTL or a reassembly that ran out. */
export const ICMP_TIME_EXCEEDED = 11;

/** The type of a header field that makes no sense. */
export const ICMP_PARAMETER_PROBLEM = 12;

/** Unreachable: no route to the network. */
export const ICMP_NET_UNREACHABLE = 0;
/** Unreachable: no answer from the host. */
export const ICMP_HOST_UNREACHABLE = 1;
/** Unreachable: the host does not speak the protocol. */
export const ICMP_PROTOCOL_UNREACHABLE = 2;
/** Unreachable: nobody listens on the port. */
export const ICMP_PORT_UNREACHABLE = 3;
/** Unreachable: too large for the next hop, and not to be fragmented (RFC 1191). */
export const ICMP_FRAGMENTATION_NEEDED = 4;
/** Unreachable: forbidden by a filter (RFC 1812 section 5.2.7.1). */
export const ICMP_ADMIN_PROHIBITED = 13;

/** Time exceeded: the hops ran out on the way. */
export const ICMP_TTL_EXCEEDED = 0;
/** Time exceeded: a fragment did not come in time. */
export const ICMP_REASSEMBLY_EXCEEDED = 1;

/** The most bytes of a packet that an error quotes: 576 less an IP and an ICMP header. */
export const ICMPV4_QUOTE_LENGTH = 548;

const CODE = 1;
const CHECKSUM = 2;
const IDENTIFIER = 4;
const SEQUENCE = 6;

/** The transport bytes that every quote has (RFC 792): ports, and a sequence number. */
const QUOTED_TRANSPORT_LENGTH = 8;

/** A message, decoded. What `identifier` and `sequence` hold has that meaning in echo messages alone. */
export interface Icmpv4Message {
  /** Type. */
  type: number;
  /** Code. */
  code: number;
  /** The checksum as found. */
  checksum: number;
  /** Whether the checksum is that of the message. */
  checksumValid: boolean;
  /** Bytes 4 and 5: an echo's identifier. */
  identifier: number;
  /** Bytes 6 and 7: an echo's sequence number; the MTU where fragmentation is needed (RFC 1191 section 4). */
  sequence: number;
  /** Offset in the array of the payload or quote. */
  payloadStart: number;
  /** Offset in the array after it. */
  payloadEnd: number;
}

/** An echo message to write. */
export interface Icmpv4Echo {
  /** `ICMP_ECHO_REQUEST` or `ICMP_ECHO_REPLY`. */
  type: typeof ICMP_ECHO_REQUEST | typeof ICMP_ECHO_REPLY;
  /** Identifier. */
  identifier: number;
  /** Sequence number. */
  sequence: number;
  /** What the reply is to carry back; default none. May be part of the array that is written to. */
  payload?: Uint8Array;
}

/** An error message to write. */
export interface Icmpv4Error {
  /** Type, e.g. `ICMP_UNREACHABLE`. */
  type: number;
  /** Code, e.g. `ICMP_PORT_UNREACHABLE`. */
  code: number;
  /** MTU of the next hop, with `ICMP_FRAGMENTATION_NEEDED` (RFC 1191 section 4). */
  mtu?: number;
}

/** Where a packet lies. */
export interface PacketRange {
  /** The array. */
  bytes: Uint8Array;
  /** Offset of the IP header. */
  start: number;
  /** Offset after the last byte; padding may be included. */
  end: number;
}

/** Whether `bytes[start, end)` holds the 8 bytes that every known message has. */
export function checkIcmpv4(_bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= ICMPV4_HEADER_LENGTH;
}

/** Type. */
export function icmpv4Type(bytes: Uint8Array, offset: number): number {
  return bytes[offset]!;
}

/** Code. */
export function icmpv4Code(bytes: Uint8Array, offset: number): number {
  return bytes[offset + CODE]!;
}

/** The checksum as found. */
export function icmpv4Checksum(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + CHECKSUM);
}

/** Identifier of an echo. */
export function icmpv4Identifier(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + IDENTIFIER);
}

/** Sequence number of an echo. */
export function icmpv4Sequence(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + SEQUENCE);
}

/** MTU of the next hop in an error that says so; 0 from routers that predate RFC 1191. */
export function icmpv4Mtu(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + SEQUENCE);
}

/** Whether the checksum of the message that fills `bytes[start, end)` is right. */
export function icmpv4ChecksumValid(bytes: Uint8Array, start: number, end: number): boolean {
  return checksum(bytes, start, end) === 0;
}

/**
 * The offset of the IPv4 header that the error in `bytes[start, end)` quotes, or -1 where there is none: no error, or a
 * quote that is not a version 4 header with at least 8 bytes after it. Its total length may go past the quote.
 */
export function icmpv4Quoted(bytes: Uint8Array, start: number, end: number): number {
  const quote = start + ICMPV4_HEADER_LENGTH;
  if (end - quote < IPV4_HEADER_LENGTH + QUOTED_TRANSPORT_LENGTH || !quotes(icmpv4Type(bytes, start))) return -1;
  const headerLength = ipv4HeaderLength(bytes, quote);
  const plausible = bytes[quote]! >>> 4 === 4 && headerLength >= IPV4_HEADER_LENGTH &&
    headerLength + QUOTED_TRANSPORT_LENGTH <= end - quote && ipv4TotalLength(bytes, quote) >= headerLength;
  return plausible ? quote : -1;
}

/**
 * Makes of `bytes[start, end)`, an echo message of either family, one of IPv4 with this type and identifier. Sequence
 * number and data stay where they are.
 */
export function icmpv4SetEcho(bytes: Uint8Array, start: number, end: number, type: number, identifier: number): void {
  bytes[start] = type;
  bytes[start + CODE] = 0;
  writeUint16(bytes, start + IDENTIFIER, identifier);
  writeUint16(bytes, start + CHECKSUM, 0);
  writeUint16(bytes, start + CHECKSUM, checksum(bytes, start, end));
}

/** Decodes the message that fills `bytes[start, end)`. Throws a `DecodeError`, but not for a wrong checksum. */
export function decodeIcmpv4(bytes: Uint8Array, start: number = 0, end: number = bytes.length): Icmpv4Message {
  if (!checkIcmpv4(bytes, start, end)) {
    const reason = "the header is cut off";
    throw new DecodeError("icmpv4", { offset: start, needed: ICMPV4_HEADER_LENGTH, actual: end - start, reason });
  }
  return {
    type: icmpv4Type(bytes, start),
    code: icmpv4Code(bytes, start),
    checksum: icmpv4Checksum(bytes, start),
    checksumValid: icmpv4ChecksumValid(bytes, start, end),
    identifier: icmpv4Identifier(bytes, start),
    sequence: icmpv4Sequence(bytes, start),
    payloadStart: start + ICMPV4_HEADER_LENGTH,
    payloadEnd: end,
  };
}

/** Writes an echo with its checksum at `offset` and returns its length. Throws a `RangeError` without room. */
export function encodeIcmpv4Echo(bytes: Uint8Array, offset: number, echo: Icmpv4Echo): number {
  const payloadLength = echo.payload?.length ?? 0;
  // The payload first: it may lie where the header goes.
  if (echo.payload !== undefined) bytes.set(echo.payload, offset + ICMPV4_HEADER_LENGTH);
  bytes[offset] = echo.type;
  bytes[offset + CODE] = 0;
  writeUint16(bytes, offset + IDENTIFIER, echo.identifier);
  writeUint16(bytes, offset + SEQUENCE, echo.sequence);
  return finish(bytes, offset, ICMPV4_HEADER_LENGTH + payloadLength);
}

/**
 * Writes an error about `original` with its checksum at `offset` and returns its length, at most 556. `original` has
 * passed `checkIpv4`. Throws a `RangeError` without room.
 */
export function encodeIcmpv4Error(
  bytes: Uint8Array,
  offset: number,
  error: Icmpv4Error,
  original: PacketRange,
): number {
  const length = Math.min(
    original.end - original.start,
    ipv4TotalLength(original.bytes, original.start),
    ICMPV4_QUOTE_LENGTH,
  );
  bytes.set(original.bytes.subarray(original.start, original.start + length), offset + ICMPV4_HEADER_LENGTH);
  bytes[offset] = error.type;
  bytes[offset + CODE] = error.code;
  writeUint16(bytes, offset + IDENTIFIER, 0);
  writeUint16(bytes, offset + SEQUENCE, error.mtu ?? 0);
  return finish(bytes, offset, ICMPV4_HEADER_LENGTH + length);
}

/** `ICMP echo request, id 7, seq 1, length 64`, `ICMP type 3 code 1, length 36`. */
export function formatIcmpv4(message: Icmpv4Message): string {
  const length = message.payloadEnd - message.payloadStart + ICMPV4_HEADER_LENGTH;
  const bad = message.checksumValid ? "" : ", bad cksum";
  const isEcho = message.type === ICMP_ECHO_REQUEST || message.type === ICMP_ECHO_REPLY;
  const what = isEcho
    ? `echo ${message.type === ICMP_ECHO_REQUEST ? "request" : "reply"}, id ${message.identifier}, ` +
      `seq ${message.sequence}`
    : `type ${message.type} code ${message.code}`;
  return `ICMP ${what}${bad}, length ${length}`;
}

/** Unreachable, source quench, redirect, time exceeded, parameter problem (RFC 1122 section 3.2.2). */
function quotes(type: number): boolean {
  return type === ICMP_UNREACHABLE || type === 4 || type === 5 || type === ICMP_TIME_EXCEEDED ||
    type === ICMP_PARAMETER_PROBLEM;
}

function finish(bytes: Uint8Array, offset: number, length: number): number {
  writeUint16(bytes, offset + CHECKSUM, 0);
  writeUint16(bytes, offset + CHECKSUM, checksum(bytes, offset, offset + length));
  return length;
}
