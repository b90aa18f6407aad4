/**
 * Neighbour discovery for IPv6 (RFC 4861): router solicitation and advertisement, neighbour solicitation and
 * advertisement, redirect, as ICMPv6 messages with a row of options, which `ndp_options.ts` has.
 *
 * `checkNdp` refuses what RFC 4861 sections 6.1, 7.1 and 8.1 refuse of a message alone: a code that is not 0, a length
 * that its type does not have, an option that does not fit, a target that is a group. `ndpFitsHeader` refuses what
 * these sections refuse of the IPv6 header that carries it: a hop limit below 255, so that it was not sent on this
 * link, and addresses that do not go with the message. The checksum is `icmpv6ChecksumValid`'s.
 *
 * @module
 */
import { IpAddress, readMac } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";
import { icmpv6Code, icmpv6SetChecksum, icmpv6Type } from "./icmpv6.ts";
import { ipv6DestinationWord, ipv6HopLimit, ipv6SourceWord } from "./ipv6.ts";
import {
  NDP_OPTION_SOURCE_MAC,
  ndpOptionIn,
  type NdpOptions,
  ndpOptionsFlaw,
  readNdpOptions,
  writeNdpOptions,
} from "./ndp_options.ts";

/** The type of a router solicitation. */
export const NDP_ROUTER_SOLICITATION = 133;
/** The type of a router advertisement. */
export const NDP_ROUTER_ADVERTISEMENT = 134;
/** The type of a neighbour solicitation. */
export const NDP_NEIGHBOUR_SOLICITATION = 135;
/** The type of a neighbour advertisement. */
export const NDP_NEIGHBOUR_ADVERTISEMENT = 136;
/** The type of a redirect. */
export const NDP_REDIRECT = 137;

/** The hop limit of every message: a router would have made it less. */
export const NDP_HOP_LIMIT = 255;

/** Every node of the link, `ff02::1`. */
export const ALL_NODES: IpAddress = new IpAddress(0xff020000, 0, 0, 1);
/** Every router of the link, `ff02::2`. */
export const ALL_ROUTERS: IpAddress = new IpAddress(0xff020000, 0, 0, 2);

const FLAGS = 4;
const TARGET = 8;
const REDIRECT_DESTINATION = 24;
const HOP_LIMIT = 4;
const ROUTER_FLAGS = 5;
const LIFETIME = 6;
const REACHABLE_TIME = 8;
const RETRANS_TIMER = 12;

const MANAGED = 0x80;
const OTHER_CONFIG = 0x40;
const ROUTER = 0x80;
const SOLICITED = 0x40;
const OVERRIDE = 0x20;

/** Bytes in front of the options, by type. */
const FIXED_LENGTHS: Readonly<Record<number, number>> = {
  [NDP_ROUTER_SOLICITATION]: 8,
  [NDP_ROUTER_ADVERTISEMENT]: 16,
  [NDP_NEIGHBOUR_SOLICITATION]: 24,
  [NDP_NEIGHBOUR_ADVERTISEMENT]: 24,
  [NDP_REDIRECT]: 40,
};

/** Asks routers to speak up. */
export interface NdpRouterSolicitation {
  /** Which message. */
  type: typeof NDP_ROUTER_SOLICITATION;
  /** Options. */
  options?: NdpOptions;
}

/** What a router says of itself and of the link. */
export interface NdpRouterAdvertisement {
  /** Which message. */
  type: typeof NDP_ROUTER_ADVERTISEMENT;
  /** The hop limit that hosts are to use; default 0: it says nothing. */
  hopLimit?: number;
  /** Whether addresses are to be had by DHCPv6; default false. */
  managed?: boolean;
  /** Whether anything else is to be had by DHCPv6; default false. */
  otherConfig?: boolean;
  /** Seconds for which it is a default router; 0: it is none. */
  lifetime: number;
  /** Milliseconds for which a neighbour is taken to be there; default 0: it says nothing. */
  reachableMs?: number;
  /** Milliseconds between solicitations; default 0: it says nothing. */
  retransMs?: number;
  /** Options. */
  options?: NdpOptions;
}

/** Asks for a neighbour's link-layer address, or whether it is still there. */
export interface NdpNeighbourSolicitation {
  /** Which message. */
  type: typeof NDP_NEIGHBOUR_SOLICITATION;
  /** Whose. */
  target: IpAddress;
  /** Options. */
  options?: NdpOptions;
}

/** Tells a link-layer address. */
export interface NdpNeighbourAdvertisement {
  /** Which message. */
  type: typeof NDP_NEIGHBOUR_ADVERTISEMENT;
  /** Whose. */
  target: IpAddress;
  /** Whether the sender is a router; default false. */
  router?: boolean;
  /** Whether this answers a solicitation; default false. */
  solicited?: boolean;
  /** Whether what was known before is to be forgotten; default false. */
  override?: boolean;
  /** Options. */
  options?: NdpOptions;
}

/** Names a better first hop. */
export interface NdpRedirect {
  /** Which message. */
  type: typeof NDP_REDIRECT;
  /** The better first hop. */
  target: IpAddress;
  /** Where it is better for. */
  destination: IpAddress;
  /** Options. */
  options?: NdpOptions;
}

/** A message. */
export type NdpMessage =
  | NdpRouterSolicitation
  | NdpRouterAdvertisement
  | NdpNeighbourSolicitation
  | NdpNeighbourAdvertisement
  | NdpRedirect;

/** A message, decoded: whatever has a default is there. */
export type NdpDecoded = {
  [K in NdpMessage["type"]]: Required<Extract<NdpMessage, { type: K }>> & {
    /** Bytes of the message. */
    length: number;
  };
}[NdpMessage["type"]];

/** Whether an ICMPv6 message of this type is one of neighbour discovery. */
export function isNdpType(type: number): boolean {
  return type >= NDP_ROUTER_SOLICITATION && type <= NDP_REDIRECT;
}

/** The address of the group that a node listens on for solicitations of `address` (RFC 4291 section 2.7.1). */
export function solicitedNode(address: IpAddress): IpAddress {
  return new IpAddress(0xff020000, 0, 1, 0xff000000 | (address.w3 & 0xffffff));
}

/** Whether `bytes[start, end)` is a message that `decodeNdp` decodes. */
export function checkNdp(bytes: Uint8Array, start: number, end: number): boolean {
  return flawOf(bytes, start, end) === "";
}

/**
 * Whether the message in `bytes[start, end)`, which has passed `checkNdp`, may come in the packet whose IPv6 header is
 * at `ip`: with a hop limit of 255, and between such addresses (RFC 4861 sections 6.1, 7.1, 8.1).
 */
export function ndpFitsHeader(bytes: Uint8Array, ip: number, start: number, end: number): boolean {
  if (ipv6HopLimit(bytes, ip) !== NDP_HOP_LIMIT) return false;
  const type = icmpv6Type(bytes, start), source0 = ipv6SourceWord(bytes, ip, 0);
  if (type === NDP_ROUTER_ADVERTISEMENT || type === NDP_REDIRECT) return isLinkLocalWord(source0);
  const toGroup = isGroupWord(ipv6DestinationWord(bytes, ip, 0));
  if (type === NDP_NEIGHBOUR_ADVERTISEMENT) return !toGroup || (bytes[start + FLAGS]! & SOLICITED) === 0;
  const isUnspecified = source0 === 0 && ipv6SourceWord(bytes, ip, 1) === 0 && ipv6SourceWord(bytes, ip, 2) === 0 &&
    ipv6SourceWord(bytes, ip, 3) === 0;
  if (!isUnspecified) return true;
  if (ndpOption(bytes, start, end, NDP_OPTION_SOURCE_MAC) >= 0) return false;
  return type === NDP_ROUTER_SOLICITATION || isToSolicitedNode(bytes, ip);
}

/** Target of a neighbour solicitation or advertisement, or of a redirect, as a new object. */
export function ndpTarget(bytes: Uint8Array, offset: number): IpAddress {
  return readAddress(bytes, offset + TARGET);
}

/** Word 0, 1, 2 or 3 of that target. */
export function ndpTargetWord(bytes: Uint8Array, offset: number, index: number): number {
  return readUint32(bytes, offset + TARGET + index * 4);
}

/** Whether a neighbour advertisement answers a solicitation. */
export function ndpIsSolicited(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset + FLAGS]! & SOLICITED) !== 0;
}

/** Whether a neighbour advertisement overrides what was known before. */
export function ndpIsOverride(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset + FLAGS]! & OVERRIDE) !== 0;
}

/** The offset of the first option of this type in the message `bytes[start, end)`; -1 without one. */
export function ndpOption(bytes: Uint8Array, start: number, end: number, type: number): number {
  return ndpOptionIn(bytes, start + FIXED_LENGTHS[icmpv6Type(bytes, start)]!, end, type);
}

/** The MAC address in the first option of this type, `NDP_OPTION_SOURCE_MAC` or `_TARGET_MAC`; -1 without one. */
export function ndpMac(bytes: Uint8Array, start: number, end: number, type: number): number {
  const at = ndpOption(bytes, start, end, type);
  return at < 0 ? -1 : readMac(bytes, at + 2);
}

/** Decodes the message that fills `bytes[start, end)`. Throws a `DecodeError`. */
export function decodeNdp(bytes: Uint8Array, start: number = 0, end: number = bytes.length): NdpDecoded {
  const reason = flawOf(bytes, start, end), type = bytes[start]! as NdpMessage["type"];
  if (reason !== "") {
    const actual = end - start, fixed = FIXED_LENGTHS[type] ?? 8;
    throw new DecodeError("ndp", { offset: start, needed: actual < fixed ? fixed : actual + 1, actual, reason });
  }
  const rest = { options: readNdpOptions(bytes, start + FIXED_LENGTHS[type]!, end), length: end - start };
  switch (type) {
    case NDP_ROUTER_SOLICITATION:
      return { type, ...rest };
    case NDP_ROUTER_ADVERTISEMENT: {
      const flags = bytes[start + ROUTER_FLAGS]!;
      return {
        type,
        hopLimit: bytes[start + HOP_LIMIT]!,
        managed: (flags & MANAGED) !== 0,
        otherConfig: (flags & OTHER_CONFIG) !== 0,
        lifetime: readUint16(bytes, start + LIFETIME),
        reachableMs: readUint32(bytes, start + REACHABLE_TIME),
        retransMs: readUint32(bytes, start + RETRANS_TIMER),
        ...rest,
      };
    }
    case NDP_NEIGHBOUR_SOLICITATION:
      return { type, target: ndpTarget(bytes, start), ...rest };
    case NDP_NEIGHBOUR_ADVERTISEMENT: {
      const router = (bytes[start + FLAGS]! & ROUTER) !== 0;
      const solicited = ndpIsSolicited(bytes, start), override = ndpIsOverride(bytes, start);
      return { type, target: ndpTarget(bytes, start), router, solicited, override, ...rest };
    }
    case NDP_REDIRECT:
      return {
        type,
        target: ndpTarget(bytes, start),
        destination: readAddress(bytes, start + REDIRECT_DESTINATION),
        ...rest,
      };
  }
}

/**
 * Writes a message with its checksum, between addresses of this sum, at `offset` and returns its length. The caller has
 * made room. Throws a `RangeError` for a PREF64 prefix of a length that it cannot have.
 */
export function encodeNdp(bytes: Uint8Array, offset: number, message: NdpMessage, addressSum: number): number {
  const fixed = FIXED_LENGTHS[message.type]!;
  bytes.fill(0, offset, offset + fixed);
  bytes[offset] = message.type;
  if (message.type === NDP_ROUTER_ADVERTISEMENT) {
    bytes[offset + HOP_LIMIT] = message.hopLimit ?? 0;
    bytes[offset + ROUTER_FLAGS] = (message.managed ? MANAGED : 0) | (message.otherConfig ? OTHER_CONFIG : 0);
    writeUint16(bytes, offset + LIFETIME, message.lifetime);
    writeUint32(bytes, offset + REACHABLE_TIME, message.reachableMs ?? 0);
    writeUint32(bytes, offset + RETRANS_TIMER, message.retransMs ?? 0);
  } else if (message.type !== NDP_ROUTER_SOLICITATION) {
    writeAddress(bytes, offset + TARGET, message.target);
    if (message.type === NDP_REDIRECT) writeAddress(bytes, offset + REDIRECT_DESTINATION, message.destination);
    if (message.type === NDP_NEIGHBOUR_ADVERTISEMENT) {
      bytes[offset + FLAGS] = (message.router ? ROUTER : 0) | (message.solicited ? SOLICITED : 0) |
        (message.override ? OVERRIDE : 0);
    }
  }
  const end = writeNdpOptions(bytes, offset + fixed, message.options ?? {});
  icmpv6SetChecksum(bytes, offset, end, addressSum);
  return end - offset;
}

/** `ICMP6, neighbor solicitation, who has fd00::2, length 32`, in tcpdump's words. */
export function formatNdp(message: NdpDecoded): string {
  return `ICMP6, ${meaning(message)}, length ${message.length}`;
}

function meaning(message: NdpDecoded): string {
  switch (message.type) {
    case NDP_ROUTER_SOLICITATION:
      return "router solicitation";
    case NDP_ROUTER_ADVERTISEMENT:
      return "router advertisement";
    case NDP_NEIGHBOUR_SOLICITATION:
      return `neighbor solicitation, who has ${message.target}`;
    case NDP_NEIGHBOUR_ADVERTISEMENT:
      return `neighbor advertisement, tgt is ${message.target}`;
    case NDP_REDIRECT:
      return `redirect, ${message.destination} to ${message.target}`;
  }
}

/** What is wrong with the message; empty if nothing is. */
function flawOf(bytes: Uint8Array, start: number, end: number): string {
  if (end - start < 8) return "the header is cut off";
  const type = icmpv6Type(bytes, start), fixed = FIXED_LENGTHS[type];
  if (fixed === undefined) return `the type is ${type}`;
  if (icmpv6Code(bytes, start) !== 0) return `the code is ${icmpv6Code(bytes, start)}`;
  if (end - start < fixed) return "the fixed fields are cut off";
  if (fixed >= 24 && type !== NDP_REDIRECT && isGroupWord(ndpTargetWord(bytes, start, 0))) {
    return "the target is a group";
  }
  if (type === NDP_REDIRECT) {
    const flaw = redirectFlaw(bytes, start);
    if (flaw !== "") return flaw;
  }
  return ndpOptionsFlaw(bytes, start + fixed, end);
}

/** RFC 4861 section 8.1: the target is a router's link-local address or the destination itself. */
function redirectFlaw(bytes: Uint8Array, start: number): string {
  if (isGroupWord(readUint32(bytes, start + REDIRECT_DESTINATION))) return "the destination is a group";
  if (isLinkLocalWord(ndpTargetWord(bytes, start, 0))) return "";
  for (let i = 0; i < 4; i++) {
    if (ndpTargetWord(bytes, start, i) !== readUint32(bytes, start + REDIRECT_DESTINATION + i * 4)) {
      return "the target is neither link-local nor the destination";
    }
  }
  return "";
}

function readAddress(bytes: Uint8Array, offset: number): IpAddress {
  return IpAddress.fromBytes(bytes.subarray(offset, offset + 16));
}

function writeAddress(bytes: Uint8Array, offset: number, { w0, w1, w2, w3 }: IpAddress): void {
  writeUint32(bytes, offset, w0);
  writeUint32(bytes, offset + 4, w1);
  writeUint32(bytes, offset + 8, w2);
  writeUint32(bytes, offset + 12, w3);
}

function isGroupWord(word0: number): boolean {
  return word0 >>> 24 === 0xff;
}

function isLinkLocalWord(word0: number): boolean {
  return word0 >>> 22 === 0x3fa;
}

function isToSolicitedNode(bytes: Uint8Array, ip: number): boolean {
  return ipv6DestinationWord(bytes, ip, 0) === 0xff020000 && ipv6DestinationWord(bytes, ip, 1) === 0 &&
    ipv6DestinationWord(bytes, ip, 2) === 1 && ipv6DestinationWord(bytes, ip, 3) >>> 24 === 0xff;
}
