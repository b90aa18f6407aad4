/**
 * Ethernet frames: destination, source, type (IEEE 802.3 section 3.2, RFC 894). There is no frame check sequence here:
 * virtual links do not carry one.
 *
 * A type field of at most 1500 is a length instead (IEEE 802.3 section 3.2.6): such a frame is well formed when it
 * holds that many bytes, and what follows them is padding.
 *
 * @module
 */
import { formatMac, readMac, writeMac } from "./address.ts";
import { readUint16, writeUint16 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";

/** Bytes of the header. */
export const ETHERNET_HEADER_LENGTH = 14;
/** Bytes by which an IEEE 802.1Q tag makes the header longer. */
export const VLAN_TAG_LENGTH = 4;
/** Length of the longest frame that holds an IP packet, with a tag. */
export const LONGEST_FRAME: number = 0xffff + ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;

/** The type of IPv4. */
export const ETHERTYPE_IPV4 = 0x0800;
/** The type of ARP. */
export const ETHERTYPE_ARP = 0x0806;
/** The type of an IEEE 802.1Q customer VLAN tag. */
export const ETHERTYPE_VLAN = 0x8100;
/** The type of IPv6. */
export const ETHERTYPE_IPV6 = 0x86dd;
/** The type of an IEEE 802.1ad service VLAN tag. */
export const ETHERTYPE_QINQ = 0x88a8;

const SOURCE = 6;
const TYPE = 12;
const TAG = 14;
const VLAN_ID = 0xfff;
const LARGEST_LENGTH = 1500;
/** The first of the MAC addresses of IPv6 groups. */
const IPV6_MULTICAST = 0x333300000000;

/** A frame's header, decoded. */
export interface EthernetFrame {
  /** Destination MAC address. */
  destination: number;
  /** Source MAC address. */
  source: number;
  /** Type, or the length of the payload when at most 1500. */
  type: number;
  /** Offset in the array of the payload. */
  payloadStart: number;
  /** Offset in the array after the payload; with a type there is no telling padding apart, so the end of the frame. */
  payloadEnd: number;
}

/** Whether `bytes[start, end)` holds a header, and the payload that a length promises. */
export function checkEthernet(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < ETHERNET_HEADER_LENGTH) return false;
  const type = readUint16(bytes, start + TYPE);
  return type > LARGEST_LENGTH || ETHERNET_HEADER_LENGTH + type <= end - start;
}

/** The destination MAC address of the frame at `offset`. */
export function ethernetDestination(bytes: Uint8Array, offset: number): number {
  return readMac(bytes, offset);
}

/** The source MAC address of the frame at `offset`. */
export function ethernetSource(bytes: Uint8Array, offset: number): number {
  return readMac(bytes, offset + SOURCE);
}

/** The type of the frame at `offset`. */
export function ethernetType(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + TYPE);
}

/**
 * Whether the frame in `bytes[start, end)`, whose type is `ETHERTYPE_VLAN`, has a priority and no VLAN (IEEE 802.1Q:
 * the VLAN identifier is 0).
 */
export function isPriorityTagged(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH && (readUint16(bytes, start + TAG) & VLAN_ID) === 0;
}

/** The type behind the tag of the frame at `offset`. */
export function ethernetTaggedType(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + TYPE + VLAN_TAG_LENGTH);
}

/** The MAC address of an IPv6 group whose address ends with these 32 bits: 33:33 and they (RFC 2464 section 7). */
export function ipv6MulticastMac(lastWord: number): number {
  return IPV6_MULTICAST + (lastWord >>> 0);
}

/** Whether `mac` is that of an IPv6 group. */
export function isIpv6MulticastMac(mac: number): boolean {
  return mac >= IPV6_MULTICAST && mac <= IPV6_MULTICAST + 0xffffffff;
}

/** Decodes the header of the frame in `bytes[start, end)`. Throws a `DecodeError`. */
export function decodeEthernet(bytes: Uint8Array, start: number = 0, end: number = bytes.length): EthernetFrame {
  const actual = end - start;
  if (actual < ETHERNET_HEADER_LENGTH) {
    throw new DecodeError("ethernet", {
      offset: start,
      needed: ETHERNET_HEADER_LENGTH,
      actual,
      reason: "the header is cut off",
    });
  }
  const type = ethernetType(bytes, start);
  const payloadStart = start + ETHERNET_HEADER_LENGTH;
  if (!checkEthernet(bytes, start, end)) {
    const reason = `the length ${type} goes past the end`;
    throw new DecodeError("ethernet", { offset: start, needed: ETHERNET_HEADER_LENGTH + type, actual, reason });
  }
  return {
    destination: ethernetDestination(bytes, start),
    source: ethernetSource(bytes, start),
    type,
    payloadStart,
    payloadEnd: type > LARGEST_LENGTH ? end : payloadStart + type,
  };
}

/** Writes a header at `offset` and returns 14. The caller has made room. */
export function encodeEthernet(
  bytes: Uint8Array,
  offset: number,
  destination: number,
  source: number,
  type: number,
): number {
  writeMac(bytes, offset, destination);
  writeMac(bytes, offset + SOURCE, source);
  writeUint16(bytes, offset + TYPE, type);
  return ETHERNET_HEADER_LENGTH;
}

/** `52:54:00:12:34:56 > ff:ff:ff:ff:ff:ff, ethertype 0x0806, length 42`. */
export function formatEthernet(frame: EthernetFrame): string {
  const length = frame.payloadEnd - frame.payloadStart + ETHERNET_HEADER_LENGTH;
  const kind = frame.type > LARGEST_LENGTH ? `ethertype 0x${frame.type.toString(16).padStart(4, "0")}` : "802.3";
  return `${formatMac(frame.source)} > ${formatMac(frame.destination)}, ${kind}, length ${length}`;
}
