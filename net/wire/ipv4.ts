/**
 * IPv4 headers (RFC 791).
 *
 * The total length bounds the packet, not the array that carries it: a short packet in an Ethernet frame is followed by
 * padding. The header length is honoured on reading, so options are skipped; headers are written without options. The
 * check leaves the header checksum alone, because a link may vouch for it; `ipv4HeaderValid` verifies it.
 *
 * @module
 */
import { type AddressPair, formatIpv4 } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { checksum, checksumFinish } from "./checksum.ts";
import { DecodeError } from "./decode_error.ts";

/** Bytes of a header without options. */
export const IPV4_HEADER_LENGTH = 20;

/** The protocol number of ICMP. */
export const PROTOCOL_ICMP = 1;
/** The protocol number of TCP. */
export const PROTOCOL_TCP = 6;
/** The protocol number of UDP. */
export const PROTOCOL_UDP = 17;

const TRAFFIC_CLASS = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FRAGMENT = 6;
const TTL = 8;
const DEFAULT_TTL = 64;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;

const VERSION_AND_LENGTH = 0x45;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET = 0x1fff;

/** A packet's header, decoded. Addresses are 32-bit numbers. */
export interface Ipv4Packet {
  /** Bytes of the header with its options. */
  headerLength: number;
  /** DSCP and ECN: the former type of service (RFC 2474, RFC 3168). */
  trafficClass: number;
  /** Bytes of header and payload. */
  totalLength: number;
  /** Identification of the datagram that a fragment belongs to. */
  identification: number;
  /** Whether routers must not fragment it. */
  dontFragment: boolean;
  /** Whether more fragments follow. */
  moreFragments: boolean;
  /** Position of a fragment's payload in the datagram's, in bytes. */
  fragmentOffset: number;
  /** Hops left. */
  ttl: number;
  /** Protocol number of the payload. */
  protocol: number;
  /** The checksum as found. */
  checksum: number;
  /** Whether the checksum is that of the header. */
  checksumValid: boolean;
  /** Source address. */
  source: number;
  /** Destination address. */
  destination: number;
  /** Offset in the array of the payload. */
  payloadStart: number;
  /** Offset in the array after the payload; what follows is padding. */
  payloadEnd: number;
}

/** The fields of a header to write, to be filled again and again. */
export class Ipv4Header {
  /** Source address. */
  source = 0;
  /** Destination address. */
  destination = 0;
  /** Protocol number of the payload. */
  protocol = 0;
  /** Bytes of header and payload. */
  totalLength = 0;
  /** Hops left. */
  ttl: number = DEFAULT_TTL;
  /** Identification; of no use in a datagram that is never fragmented (RFC 6864 section 4.1). */
  identification = 0;
  /** Whether routers must not fragment it. */
  dontFragment = true;
  /** Whether more fragments follow. */
  moreFragments = false;
  /** Position of a fragment's payload in bytes: a multiple of 8. */
  fragmentOffset = 0;
  /** DSCP and ECN. */
  trafficClass = 0;
}

/**
 * Whether `bytes[start, end)` begins with a header of version 4 whose lengths make sense: a header of at least 20 bytes
 * within the total length, and the total length within the range. The checksum is not verified.
 */
export function checkIpv4(bytes: Uint8Array, start: number, end: number): boolean {
  const available = end - start;
  if (available < IPV4_HEADER_LENGTH) return false;
  const first = bytes[start]!;
  if (first >>> 4 !== 4) return false;
  const headerLength = (first & 15) << 2;
  const totalLength = readUint16(bytes, start + TOTAL_LENGTH);
  return headerLength >= IPV4_HEADER_LENGTH && headerLength <= totalLength && totalLength <= available;
}

/** Bytes of the header with its options: 20 to 60. */
export function ipv4HeaderLength(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! & 15) << 2;
}

/** DSCP and ECN. */
export function ipv4TrafficClass(bytes: Uint8Array, offset: number): number {
  return bytes[offset + TRAFFIC_CLASS]!;
}

/** Bytes of header and payload. */
export function ipv4TotalLength(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + TOTAL_LENGTH);
}

/** Identification of the datagram. */
export function ipv4Identification(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + IDENTIFICATION);
}

/** Whether the packet is a part of a datagram: more follow, or it is not the first. */
export function ipv4IsFragment(bytes: Uint8Array, offset: number): boolean {
  return (readUint16(bytes, offset + FRAGMENT) & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) !== 0;
}

/** Position of the payload in the datagram's, in bytes. */
export function ipv4FragmentOffset(bytes: Uint8Array, offset: number): number {
  return (readUint16(bytes, offset + FRAGMENT) & FRAGMENT_OFFSET) << 3;
}

/** Whether more fragments follow. */
export function ipv4MoreFragments(bytes: Uint8Array, offset: number): boolean {
  return (readUint16(bytes, offset + FRAGMENT) & MORE_FRAGMENTS) !== 0;
}

/** Whether routers must not fragment the packet. */
export function ipv4DontFragment(bytes: Uint8Array, offset: number): boolean {
  return (readUint16(bytes, offset + FRAGMENT) & DONT_FRAGMENT) !== 0;
}

/** Hops left. */
export function ipv4Ttl(bytes: Uint8Array, offset: number): number {
  return bytes[offset + TTL]!;
}

/** Protocol number of the payload. */
export function ipv4Protocol(bytes: Uint8Array, offset: number): number {
  return bytes[offset + PROTOCOL]!;
}

/** The header checksum as found. */
export function ipv4Checksum(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + CHECKSUM);
}

/** Source address as a 32-bit number. */
export function ipv4Source(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + SOURCE);
}

/** Destination address as a 32-bit number. */
export function ipv4Destination(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + DESTINATION);
}

/** Whether the checksum is that of the header, options included. */
export function ipv4HeaderValid(bytes: Uint8Array, offset: number): boolean {
  return checksum(bytes, offset, offset + ipv4HeaderLength(bytes, offset)) === 0;
}

/** Decodes the header at the beginning of `bytes[start, end)`. Throws a `DecodeError`, but not for a wrong checksum. */
export function decodeIpv4(bytes: Uint8Array, start: number = 0, end: number = bytes.length): Ipv4Packet {
  if (!checkIpv4(bytes, start, end)) throw refusal(bytes, start, end);
  const headerLength = ipv4HeaderLength(bytes, start), totalLength = ipv4TotalLength(bytes, start);
  return {
    headerLength,
    trafficClass: ipv4TrafficClass(bytes, start),
    totalLength,
    identification: ipv4Identification(bytes, start),
    dontFragment: ipv4DontFragment(bytes, start),
    moreFragments: ipv4MoreFragments(bytes, start),
    fragmentOffset: ipv4FragmentOffset(bytes, start),
    ttl: ipv4Ttl(bytes, start),
    protocol: ipv4Protocol(bytes, start),
    checksum: ipv4Checksum(bytes, start),
    checksumValid: ipv4HeaderValid(bytes, start),
    source: ipv4Source(bytes, start),
    destination: ipv4Destination(bytes, start),
    payloadStart: start + headerLength,
    payloadEnd: start + totalLength,
  };
}

/** Writes a header without options, checksum included, at `offset` and returns 20. The caller has made room. */
export function encodeIpv4(bytes: Uint8Array, offset: number, header: Ipv4Header): number {
  const first = (VERSION_AND_LENGTH << 8) | header.trafficClass;
  const fragment = (header.dontFragment ? DONT_FRAGMENT : 0) | (header.moreFragments ? MORE_FRAGMENTS : 0) |
    ((header.fragmentOffset >>> 3) & FRAGMENT_OFFSET);
  const hops = (header.ttl << 8) | header.protocol;
  const source = header.source, destination = header.destination;
  // The fields are at hand as words: summing them costs less than reading them back.
  const sum = first + header.totalLength + header.identification + fragment + hops + (source >>> 16) +
    (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
  writeUint16(bytes, offset, first);
  writeUint16(bytes, offset + TOTAL_LENGTH, header.totalLength);
  writeUint16(bytes, offset + IDENTIFICATION, header.identification);
  writeUint16(bytes, offset + FRAGMENT, fragment);
  writeUint16(bytes, offset + TTL, hops);
  writeUint16(bytes, offset + CHECKSUM, checksumFinish(sum));
  writeUint32(bytes, offset + SOURCE, source);
  writeUint32(bytes, offset + DESTINATION, destination);
  return IPV4_HEADER_LENGTH;
}

/**
 * Writes the header of a packet that is neither a fragment nor to become any, with nothing else out of the ordinary:
 * what `encodeIpv4` writes at most times, at less cost. Returns 20.
 */
export function encodePlainIpv4(
  bytes: Uint8Array,
  offset: number,
  totalLength: number,
  protocol: number,
  { words, addressSum }: AddressPair,
): number {
  const first = VERSION_AND_LENGTH << 8, hops = (DEFAULT_TTL << 8) | protocol;
  writeUint32(bytes, offset, (first << 16) | totalLength);
  writeUint32(bytes, offset + IDENTIFICATION, DONT_FRAGMENT);
  writeUint16(bytes, offset + TTL, hops);
  writeUint16(bytes, offset + CHECKSUM, checksumFinish(first + totalLength + DONT_FRAGMENT + hops + addressSum));
  writeUint32(bytes, offset + SOURCE, words[3]!);
  writeUint32(bytes, offset + DESTINATION, words[7]!);
  return IPV4_HEADER_LENGTH;
}

/** `IP 10.0.2.15 > 10.0.2.2, proto 6, ttl 64, id 0, flags [DF], length 60`. */
export function formatIpv4Packet(packet: Ipv4Packet): string {
  const flags = [packet.dontFragment ? "DF" : "", packet.moreFragments ? "MF" : ""].filter(Boolean).join(",");
  const fragment = packet.fragmentOffset > 0 ? `, offset ${packet.fragmentOffset}` : "";
  const bad = packet.checksumValid ? "" : ", bad cksum";
  return `IP ${formatIpv4(packet.source)} > ${formatIpv4(packet.destination)}, proto ${packet.protocol}, ` +
    `ttl ${packet.ttl}, id ${packet.identification}${fragment}, flags [${flags || "none"}]${bad}, ` +
    `length ${packet.totalLength}`;
}

function refusal(bytes: Uint8Array, start: number, end: number): DecodeError {
  const actual = end - start;
  if (actual < IPV4_HEADER_LENGTH) {
    return new DecodeError("ipv4", {
      offset: start,
      needed: IPV4_HEADER_LENGTH,
      actual,
      reason: "the header is cut off",
    });
  }
  const version = bytes[start]! >>> 4;
  const headerLength = ipv4HeaderLength(bytes, start), totalLength = ipv4TotalLength(bytes, start);
  let needed = Math.max(headerLength, IPV4_HEADER_LENGTH), reason = "";
  if (version !== 4) reason = `the version is ${version}`;
  else if (headerLength < IPV4_HEADER_LENGTH) reason = `the header length ${headerLength} is less than 20`;
  else if (totalLength < headerLength) {
    reason = `the total length ${totalLength} is less than the header's ${headerLength}`;
  } else {
    needed = totalLength;
    reason = `the total length ${totalLength} goes past the end`;
  }
  return new DecodeError("ipv4", { offset: start, needed, actual, reason });
}
