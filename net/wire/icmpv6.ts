/**
 * ICMP for IPv6 (RFC 4443): echo, and errors that quote the packet they are about. Neighbour discovery and multicast
 * listener discovery are ICMPv6 messages too; `ndp.ts` and `mld.ts` read their bodies.
 *
 * The checksum covers a pseudo-header (section 2.3), so that it is made and checked with the sum of both addresses.
 *
 * An error carries as much of the offending packet as keeps the whole packet at 1280 bytes or less (section 2.4 c), of
 * the packet itself, not of the padding after it. The quoted payload length usually goes past the quote: `checkIpv6`
 * refuses it, and `icmpv6Quoted` is the check for it.
 *
 * @module
 */
import type { IpAddress } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { checksumAdd, checksumFinish, pseudoHeaderSum } from "./checksum.ts";
import { DecodeError } from "./decode_error.ts";
import type { PacketRange } from "./icmpv4.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.ts";
import {
  IPV6_HEADER_LENGTH,
  IPV6_MINIMUM_MTU,
  ipv6Destination,
  ipv6NextHeader,
  ipv6PayloadLength,
  PROTOCOL_ICMPV6,
} from "./ipv6.ts";
import {
  ICMPV6_BAD_FIELD,
  ICMPV6_INCOMPLETE_CHAIN,
  ICMPV6_TOO_MANY_HEADERS,
  ICMPV6_UNKNOWN_NEXT_HEADER,
  ICMPV6_UNKNOWN_OPTION,
} from "./ipv6_extensions.ts";

/** Bytes in front of the payload or quote. */
export const ICMPV6_HEADER_LENGTH = 8;

/** The type of a destination that cannot be reached. */
export const ICMPV6_UNREACHABLE = 1;
/** The type of a packet that is larger than the next hop carries. */
export const ICMPV6_PACKET_TOO_BIG = 2;
/** The type of a hop limit or a reassembly that ran out. */
export const ICMPV6_TIME_EXCEEDED = 3;
/** The type of a header that makes no sense or is not known; its codes are in `ipv6_extensions.ts`. */
export const ICMPV6_PARAMETER_PROBLEM = 4;
/** The type of an echo request. */
export const ICMPV6_ECHO_REQUEST = 128;
/** The type of an echo reply. */
export const ICMPV6_ECHO_REPLY = 129;

/** Unreachable: no route. */
export const ICMPV6_NO_ROUTE = 0;
/** Unreachable: forbidden by a filter. */
export const ICMPV6_ADMIN_PROHIBITED = 1;
/** Unreachable: the destination is beyond the scope of the source address. */
export const ICMPV6_BEYOND_SCOPE = 2;
/** Unreachable: no answer from the host, or any other reason. */
export const ICMPV6_ADDRESS_UNREACHABLE = 3;
/** Unreachable: nobody listens on the port. */
export const ICMPV6_PORT_UNREACHABLE = 4;

/** Time exceeded: the hops ran out on the way. */
export const ICMPV6_HOP_LIMIT_EXCEEDED = 0;
/** Time exceeded: a fragment did not come in time. */
export const ICMPV6_REASSEMBLY_EXCEEDED = 1;

/** The most bytes of a packet that an error quotes: 1280 less an IPv6 and an ICMPv6 header. */
export const ICMPV6_QUOTE_LENGTH: number = IPV6_MINIMUM_MTU - IPV6_HEADER_LENGTH - ICMPV6_HEADER_LENGTH;

const CODE = 1;
const CHECKSUM = 2;
const BODY = 4;
const IDENTIFIER = 4;
const SEQUENCE = 6;

/** Types below this are errors (section 2.1). */
const FIRST_INFORMATIONAL = 128;
/** The transport bytes that a quote must have to tell whose it is: ports, and a sequence number. */
const QUOTED_TRANSPORT_LENGTH = 8;

/** A message, decoded. */
export interface Icmpv6Message {
  /** Type. */
  type: number;
  /** Code. */
  code: number;
  /** The checksum as found. */
  checksum: number;
  /** Whether the checksum is that of the message; null if the addresses were not given. */
  checksumValid: boolean | null;
  /** An echo's identifier; of no meaning in other messages. */
  identifier: number;
  /** An echo's sequence number; of no meaning in other messages. */
  sequence: number;
  /** Bytes 4 to 7: the MTU of a packet too big, the pointer of a parameter problem. */
  body: number;
  /** Of an error: what it quotes, as far as that can be read. */
  quoted: { destination: IpAddress; protocol: number; port: number } | null;
  /** Offset in the array of the payload or quote. */
  payloadStart: number;
  /** Offset in the array after it. */
  payloadEnd: number;
}

/** An echo message to write. */
export interface Icmpv6Echo {
  /** `ICMPV6_ECHO_REQUEST` or `ICMPV6_ECHO_REPLY`. */
  type: typeof ICMPV6_ECHO_REQUEST | typeof ICMPV6_ECHO_REPLY;
  /** Identifier. */
  identifier: number;
  /** Sequence number. */
  sequence: number;
  /** What the reply is to carry back; default none. May be part of the array that is written to. */
  payload?: Uint8Array;
}

/** An error message to write. */
export interface Icmpv6Error {
  /** Type, e.g. `ICMPV6_UNREACHABLE`. */
  type: number;
  /** Code, e.g. `ICMPV6_PORT_UNREACHABLE`. */
  code: number;
  /** MTU of the next hop, with `ICMPV6_PACKET_TOO_BIG`. */
  mtu?: number;
  /** Distance of the fault from the quoted packet's beginning, with `ICMPV6_PARAMETER_PROBLEM`. */
  pointer?: number;
}

/** Whether `bytes[start, end)` holds the 8 bytes that every known message has. */
export function checkIcmpv6(_bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= ICMPV6_HEADER_LENGTH;
}

/** Type. */
export function icmpv6Type(bytes: Uint8Array, offset: number): number {
  return bytes[offset]!;
}

/** Code. */
export function icmpv6Code(bytes: Uint8Array, offset: number): number {
  return bytes[offset + CODE]!;
}

/** The checksum as found. */
export function icmpv6Checksum(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + CHECKSUM);
}

/** Whether the message is an error, of a known type or not (section 2.1). */
export function icmpv6IsError(bytes: Uint8Array, offset: number): boolean {
  return bytes[offset]! < FIRST_INFORMATIONAL;
}

/** Identifier of an echo. */
export function icmpv6Identifier(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + IDENTIFIER);
}

/** Sequence number of an echo. */
export function icmpv6Sequence(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + SEQUENCE);
}

/** MTU of the next hop in a packet too big. */
export function icmpv6Mtu(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + BODY);
}

/** Distance of the fault from the quoted packet's beginning in a parameter problem; it may go past the quote. */
export function icmpv6Pointer(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + BODY);
}

/** Whether the message that fills `bytes[start, end)`, between addresses of this sum, has the right checksum. */
export function icmpv6ChecksumValid(bytes: Uint8Array, start: number, end: number, addressSum: number): boolean {
  return messageChecksum(bytes, start, end, addressSum) === 0;
}

/** Writes the checksum of the message that fills `bytes[start, end)`. */
export function icmpv6SetChecksum(bytes: Uint8Array, start: number, end: number, addressSum: number): void {
  writeUint16(bytes, start + CHECKSUM, 0);
  writeUint16(bytes, start + CHECKSUM, messageChecksum(bytes, start, end, addressSum));
}

/** Gives the echo that fills `bytes[start, end)` another identifier, and the checksum between addresses of this sum. */
export function icmpv6SetIdentifier(
  bytes: Uint8Array,
  start: number,
  end: number,
  identifier: number,
  addressSum: number,
): void {
  writeUint16(bytes, start + IDENTIFIER, identifier);
  icmpv6SetChecksum(bytes, start, end, addressSum);
}

/**
 * The offset of the IPv6 header that the error in `bytes[start, end)` quotes, or -1 if there is none: no error, or a
 * quote that is not a version 6 header with at least 8 bytes after it. Its payload length may go past the quote, and
 * extension headers may follow it: `walkIpv6` takes it up to `end`.
 */
export function icmpv6Quoted(bytes: Uint8Array, start: number, end: number): number {
  const quote = start + ICMPV6_HEADER_LENGTH;
  if (end - quote < IPV6_HEADER_LENGTH + QUOTED_TRANSPORT_LENGTH) return -1;
  return icmpv6IsError(bytes, start) && bytes[quote]! >>> 4 === 6 ? quote : -1;
}

/**
 * Decodes the message that fills `bytes[start, end)`, between addresses of this sum. Throws a `DecodeError`, but not
 * for a wrong checksum.
 */
export function decodeIcmpv6(
  bytes: Uint8Array,
  start: number = 0,
  end: number = bytes.length,
  addressSum?: number,
): Icmpv6Message {
  if (!checkIcmpv6(bytes, start, end)) {
    const reason = "the header is cut off";
    throw new DecodeError("icmpv6", { offset: start, needed: ICMPV6_HEADER_LENGTH, actual: end - start, reason });
  }
  return {
    type: icmpv6Type(bytes, start),
    code: icmpv6Code(bytes, start),
    checksum: icmpv6Checksum(bytes, start),
    checksumValid: addressSum === undefined ? null : icmpv6ChecksumValid(bytes, start, end, addressSum),
    identifier: icmpv6Identifier(bytes, start),
    sequence: icmpv6Sequence(bytes, start),
    body: readUint32(bytes, start + BODY),
    quoted: quotedEnd(bytes, icmpv6Quoted(bytes, start, end)),
    payloadStart: start + ICMPV6_HEADER_LENGTH,
    payloadEnd: end,
  };
}

/** Writes an echo with its checksum at `offset` and returns its length. Throws a `RangeError` without room. */
export function encodeIcmpv6Echo(bytes: Uint8Array, offset: number, echo: Icmpv6Echo, addressSum: number): number {
  const payloadLength = echo.payload?.length ?? 0;
  // The payload first: it may lie where the header goes.
  if (echo.payload !== undefined) bytes.set(echo.payload, offset + ICMPV6_HEADER_LENGTH);
  bytes[offset] = echo.type;
  bytes[offset + CODE] = 0;
  writeUint16(bytes, offset + IDENTIFIER, echo.identifier);
  writeUint16(bytes, offset + SEQUENCE, echo.sequence);
  const length = ICMPV6_HEADER_LENGTH + payloadLength;
  icmpv6SetChecksum(bytes, offset, offset + length, addressSum);
  return length;
}

/**
 * Writes an error about `original` with its checksum at `offset` and returns its length, at most 1240. `original` has
 * passed `checkIpv6`. Throws a `RangeError` without room.
 */
export function encodeIcmpv6Error(
  bytes: Uint8Array,
  offset: number,
  error: Icmpv6Error,
  original: PacketRange,
  addressSum: number,
): number {
  const quoted = Math.min(
    original.end - original.start,
    IPV6_HEADER_LENGTH + ipv6PayloadLength(original.bytes, original.start),
    ICMPV6_QUOTE_LENGTH,
  );
  bytes.set(original.bytes.subarray(original.start, original.start + quoted), offset + ICMPV6_HEADER_LENGTH);
  bytes[offset] = error.type;
  bytes[offset + CODE] = error.code;
  writeUint32(bytes, offset + BODY, error.mtu ?? error.pointer ?? 0);
  const length = ICMPV6_HEADER_LENGTH + quoted;
  icmpv6SetChecksum(bytes, offset, offset + length, addressSum);
  return length;
}

/** `ICMP6, echo request, id 7, seq 1, length 64`, `ICMP6, packet too big, mtu 1280, length 1240`. */
export function formatIcmpv6(message: Icmpv6Message): string {
  const length = message.payloadEnd - message.payloadStart + ICMPV6_HEADER_LENGTH;
  const bad = message.checksumValid === false ? ", bad cksum" : "";
  return `ICMP6, ${meaning(message)}${bad}, length ${length}`;
}

function meaning(message: Icmpv6Message): string {
  const { type, code, body } = message;
  switch (type) {
    case ICMPV6_ECHO_REQUEST:
    case ICMPV6_ECHO_REPLY:
      return `echo ${type === ICMPV6_ECHO_REQUEST ? "request" : "reply"}, id ${message.identifier}, ` +
        `seq ${message.sequence}`;
    case ICMPV6_UNREACHABLE:
      return `destination unreachable, ${unreachableText(message)}`;
    case ICMPV6_PACKET_TOO_BIG:
      return `packet too big, mtu ${body}`;
    case ICMPV6_TIME_EXCEEDED: {
      if (code === ICMPV6_REASSEMBLY_EXCEEDED) return "time exceeded in-transit (reassembly)";
      return `time exceeded in-transit${message.quoted === null ? "" : ` for ${message.quoted.destination}`}`;
    }
    case ICMPV6_PARAMETER_PROBLEM:
      return `parameter problem, ${PROBLEMS[code] ?? `code ${code}`} - octet ${body}`;
    default:
      return `type ${type} code ${code}`;
  }
}

const PROBLEMS: Readonly<Record<number, string>> = {
  [ICMPV6_BAD_FIELD]: "erroneous",
  [ICMPV6_UNKNOWN_NEXT_HEADER]: "next header",
  [ICMPV6_UNKNOWN_OPTION]: "option",
  [ICMPV6_INCOMPLETE_CHAIN]: "incomplete header chain",
  [ICMPV6_TOO_MANY_HEADERS]: "too many headers",
};

const UNREACHABLE: Readonly<Record<number, string>> = {
  [ICMPV6_NO_ROUTE]: "unreachable route",
  [ICMPV6_ADMIN_PROHIBITED]: "unreachable prohibited",
  [ICMPV6_BEYOND_SCOPE]: "beyond scope",
  [ICMPV6_ADDRESS_UNREACHABLE]: "unreachable address",
};

function unreachableText({ code, quoted }: Icmpv6Message): string {
  if (code === ICMPV6_PORT_UNREACHABLE) {
    const transport = quoted?.protocol === PROTOCOL_UDP ? "udp" : quoted?.protocol === PROTOCOL_TCP ? "tcp" : null;
    const port = transport === null ? "" : ` ${transport} port ${quoted!.port}`;
    return `unreachable port${quoted === null ? "" : `, ${quoted.destination}${port}`}`;
  }
  return `${UNREACHABLE[code] ?? `code ${code}`}${quoted === null ? "" : ` ${quoted.destination}`}`;
}

/** The far end of a quoted packet; the port has a meaning for TCP and UDP without extension headers alone. */
function quotedEnd(bytes: Uint8Array, quote: number): Icmpv6Message["quoted"] {
  if (quote < 0) return null;
  const port = readUint16(bytes, quote + IPV6_HEADER_LENGTH + 2);
  return { destination: ipv6Destination(bytes, quote), protocol: ipv6NextHeader(bytes, quote), port };
}

function messageChecksum(bytes: Uint8Array, start: number, end: number, addressSum: number): number {
  return checksumFinish(checksumAdd(bytes, start, end, pseudoHeaderSum(addressSum, PROTOCOL_ICMPV6, end - start)));
}
