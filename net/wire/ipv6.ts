/**
 * IPv6 fixed headers (RFC 8200 section 3). Extension headers are payload here, and their number is what
 * `ipv6NextHeader` says; `ipv6_extensions.ts` follows them.
 *
 * As with IPv4 the payload length bounds the packet. A payload length of 0 means an empty payload; jumbograms (RFC
 * 2675) are not known.
 *
 * @module
 */
import { type AddressPair, IpAddress } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { checksumAdd } from "./checksum.ts";
import { DecodeError } from "./decode_error.ts";

/** Bytes of the fixed header. */
export const IPV6_HEADER_LENGTH = 40;
/** Offset of the field that names what follows the fixed header. */
export const IPV6_NEXT_HEADER = 6;
/** The largest packet that every path carries whole (RFC 8200 section 5). */
export const IPV6_MINIMUM_MTU = 1280;
/** The protocol number of ICMPv6. */
export const PROTOCOL_ICMPV6 = 58;

const PAYLOAD_LENGTH = 4;
const HOP_LIMIT = 7;
const DEFAULT_HOP_LIMIT = 64;
const SOURCE = 8;
const DESTINATION = 24;

/** The fields of a fixed header to write. */
export interface Ipv6Header {
  /** DSCP and ECN; default 0. */
  trafficClass?: number;
  /** Flow label, 20 bits (RFC 6437); default 0. */
  flowLabel?: number;
  /** Bytes after the fixed header. */
  payloadLength: number;
  /** Protocol number of what follows. */
  nextHeader: number;
  /** Hops left; default 64. */
  hopLimit?: number;
  /** Source address. */
  source: IpAddress;
  /** Destination address. */
  destination: IpAddress;
}

/** A packet's fixed header, decoded. */
export interface Ipv6Packet extends Required<Ipv6Header> {
  /** Offset in the array of the payload. */
  payloadStart: number;
  /** Offset in the array after the payload; what follows is padding. */
  payloadEnd: number;
}

/** Whether `bytes[start, end)` begins with a header of version 6 and holds the payload it promises. */
export function checkIpv6(bytes: Uint8Array, start: number, end: number): boolean {
  const available = end - start - IPV6_HEADER_LENGTH;
  return available >= 0 && bytes[start]! >>> 4 === 6 && readUint16(bytes, start + PAYLOAD_LENGTH) <= available;
}

/** DSCP and ECN. */
export function ipv6TrafficClass(bytes: Uint8Array, offset: number): number {
  return (readUint16(bytes, offset) >>> 4) & 0xff;
}

/** Flow label, 20 bits. */
export function ipv6FlowLabel(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset) & 0xfffff;
}

/** Bytes after the fixed header. */
export function ipv6PayloadLength(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + PAYLOAD_LENGTH);
}

/** Protocol number of what follows the fixed header. */
export function ipv6NextHeader(bytes: Uint8Array, offset: number): number {
  return bytes[offset + IPV6_NEXT_HEADER]!;
}

/** Hops left. */
export function ipv6HopLimit(bytes: Uint8Array, offset: number): number {
  return bytes[offset + HOP_LIMIT]!;
}

/** Source address, as a new object. */
export function ipv6Source(bytes: Uint8Array, offset: number): IpAddress {
  return readAddress(bytes, offset + SOURCE);
}

/** Destination address, as a new object. */
export function ipv6Destination(bytes: Uint8Array, offset: number): IpAddress {
  return readAddress(bytes, offset + DESTINATION);
}

/** Word 0, 1, 2 or 3 of the source address. */
export function ipv6SourceWord(bytes: Uint8Array, offset: number, index: number): number {
  return readUint32(bytes, offset + SOURCE + index * 4);
}

/** Word 0, 1, 2 or 3 of the destination address. */
export function ipv6DestinationWord(bytes: Uint8Array, offset: number, index: number): number {
  return readUint32(bytes, offset + DESTINATION + index * 4);
}

/** The running sum of both addresses: their share of a pseudo-header (RFC 8200 section 8.1). */
export function ipv6AddressSum(bytes: Uint8Array, offset: number): number {
  return checksumAdd(bytes, offset + SOURCE, offset + IPV6_HEADER_LENGTH);
}

/** Decodes the fixed header at the beginning of `bytes[start, end)`. Throws a `DecodeError`. */
export function decodeIpv6(bytes: Uint8Array, start: number = 0, end: number = bytes.length): Ipv6Packet {
  if (!checkIpv6(bytes, start, end)) throw refusal(bytes, start, end);
  const payloadLength = ipv6PayloadLength(bytes, start), payloadStart = start + IPV6_HEADER_LENGTH;
  return {
    trafficClass: ipv6TrafficClass(bytes, start),
    flowLabel: ipv6FlowLabel(bytes, start),
    payloadLength,
    nextHeader: ipv6NextHeader(bytes, start),
    hopLimit: ipv6HopLimit(bytes, start),
    source: ipv6Source(bytes, start),
    destination: ipv6Destination(bytes, start),
    payloadStart,
    payloadEnd: payloadStart + payloadLength,
  };
}

/** Writes a fixed header at `offset` and returns 40. The caller has made room. */
export function encodeIpv6(bytes: Uint8Array, offset: number, header: Ipv6Header): number {
  const trafficClass = header.trafficClass ?? 0, flowLabel = header.flowLabel ?? 0;
  writeUint32(bytes, offset, (6 << 28) | (trafficClass << 20) | (flowLabel & 0xfffff));
  writeUint16(bytes, offset + PAYLOAD_LENGTH, header.payloadLength);
  bytes[offset + IPV6_NEXT_HEADER] = header.nextHeader;
  bytes[offset + HOP_LIMIT] = header.hopLimit ?? DEFAULT_HOP_LIMIT;
  writeAddress(bytes, offset + SOURCE, header.source);
  writeAddress(bytes, offset + DESTINATION, header.destination);
  return IPV6_HEADER_LENGTH;
}

/**
 * Writes a fixed header with nothing out of the ordinary: what `encodeIpv6` writes at most times, at less cost. Returns
 * 40.
 */
export function encodePlainIpv6(
  bytes: Uint8Array,
  offset: number,
  payloadLength: number,
  nextHeader: number,
  { words }: AddressPair,
): number {
  writeUint32(bytes, offset, 6 << 28);
  writeUint16(bytes, offset + PAYLOAD_LENGTH, payloadLength);
  writeUint16(bytes, offset + IPV6_NEXT_HEADER, (nextHeader << 8) | DEFAULT_HOP_LIMIT);
  for (let i = 0; i < 8; i++) writeUint32(bytes, offset + SOURCE + i * 4, words[i]!);
  return IPV6_HEADER_LENGTH;
}

/** `IP6 fe80::1 > ff02::2, next-header 58, hlim 255, length 16`. */
export function formatIpv6Packet(packet: Ipv6Packet): string {
  return `IP6 ${packet.source} > ${packet.destination}, next-header ${packet.nextHeader}, ` +
    `hlim ${packet.hopLimit}, length ${packet.payloadLength}`;
}

function readAddress(bytes: Uint8Array, offset: number): IpAddress {
  return new IpAddress(
    readUint32(bytes, offset),
    readUint32(bytes, offset + 4),
    readUint32(bytes, offset + 8),
    readUint32(bytes, offset + 12),
  );
}

/** `IpAddress.writeTo` writes a mapped address as 4 bytes; this header has room for 16 and wants them. */
function writeAddress(bytes: Uint8Array, offset: number, address: IpAddress): void {
  writeUint32(bytes, offset, address.w0);
  writeUint32(bytes, offset + 4, address.w1);
  writeUint32(bytes, offset + 8, address.w2);
  writeUint32(bytes, offset + 12, address.w3);
}

function refusal(bytes: Uint8Array, start: number, end: number): DecodeError {
  const actual = end - start;
  let needed = IPV6_HEADER_LENGTH, reason = "the header is cut off";
  if (actual >= IPV6_HEADER_LENGTH) {
    const version = bytes[start]! >>> 4, payloadLength = ipv6PayloadLength(bytes, start);
    if (version !== 6) reason = `the version is ${version}`;
    else {
      needed += payloadLength;
      reason = `the payload length ${payloadLength} goes past the end`;
    }
  }
  return new DecodeError("ipv6", { offset: start, needed, actual, reason });
}
