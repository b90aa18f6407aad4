/**
 * Neighbour discovery for IPv6 (RFC 4861): router solicitation and advertisement, neighbour solicitation and
 * advertisement, redirect, as ICMPv6 messages with a row of options.
 *
 * `checkNdp` refuses what RFC 4861 sections 6.1, 7.1 and 8.1 refuse of a message alone: a code that is not 0, a length
 * that its type does not have, an option of length 0 or past the end, a target that is a group. A known option has the
 * length that its kind has: a link-layer address is Ethernet's. Options that are not known are skipped.
 * `ndpFitsHeader` refuses what these sections refuse of the IPv6 header that carries it: a hop limit below 255, so that
 * it was not sent on this link, and addresses that do not go with the message. The checksum is `icmpv6ChecksumValid`'s.
 *
 * Options known: both link-layer addresses, prefix information, MTU (RFC 4861 section 4.6), DNS servers (RFC 8106
 * section 5.1) and the NAT64 prefix (RFC 8781 section 4).
 *
 * @module
 */
import { Cidr, IpAddress, readMac, writeMac } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";
import { icmpv6Code, icmpv6SetChecksum, icmpv6Type } from "./icmpv6.ts";
import { ipv6DestinationWord, ipv6HopLimit, ipv6SourceWord } from "./ipv6.ts";

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

/** Option: the link-layer address of the sender. */
export const NDP_OPTION_SOURCE_MAC = 1;
/** Option: the link-layer address of the target. */
export const NDP_OPTION_TARGET_MAC = 2;
/** Option: a prefix of the link. */
export const NDP_OPTION_PREFIX = 3;
/** Option: the link's MTU. */
export const NDP_OPTION_MTU = 5;
/** Option: DNS servers (RFC 8106 section 5.1). */
export const NDP_OPTION_DNS = 25;
/** Option: the prefix behind which IPv4 lies (RFC 8781 section 4). */
export const NDP_OPTION_PREF64 = 38;

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
const ON_LINK = 0x80;
const AUTONOMOUS = 0x40;

/** Bytes in front of the options, by type. */
const FIXED_LENGTHS: Readonly<Record<number, number>> = {
  [NDP_ROUTER_SOLICITATION]: 8,
  [NDP_ROUTER_ADVERTISEMENT]: 16,
  [NDP_NEIGHBOUR_SOLICITATION]: 24,
  [NDP_NEIGHBOUR_ADVERTISEMENT]: 24,
  [NDP_REDIRECT]: 40,
};

/** Prefix lengths of a PREF64 option, by their codes (RFC 8781 section 4). */
const PREF64_LENGTHS = [96, 64, 56, 48, 40, 32];
/** Seconds of a step of a PREF64 option's lifetime, and the most steps. */
const PREF64_STEP = 8, PREF64_MOST_STEPS = 0x1fff;

/** A prefix of the link (RFC 4861 section 4.6.2). */
export interface NdpPrefix {
  /** The prefix. */
  prefix: Cidr;
  /** Whether its addresses are reached without a router. */
  onLink: boolean;
  /** Whether hosts make addresses of it (RFC 4862). */
  autonomous: boolean;
  /** Seconds for which it is valid; 0xffffffff: for ever. */
  validLifetime: number;
  /** Seconds for which addresses of it are preferred. */
  preferredLifetime: number;
}

/** The options of a message. */
export interface NdpOptions {
  /** MAC address of the sender. */
  sourceMac?: number;
  /** MAC address of the target. */
  targetMac?: number;
  /** The link's MTU. */
  mtu?: number;
  /** Prefixes of the link. */
  prefixes?: NdpPrefix[];
  /** DNS servers, and the seconds for which they may be used. */
  dns?: { servers: IpAddress[]; lifetime: number };
  /** The prefix behind which IPv4 lies, and seconds, which count in steps of 8 up to 65,528. */
  pref64?: { prefix: Cidr; lifetime: number };
}

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
  for (let at = start + FIXED_LENGTHS[icmpv6Type(bytes, start)]!; at < end; at += bytes[at + 1]! << 3) {
    if (bytes[at] === type) return at;
  }
  return -1;
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
  const rest = { options: readOptions(bytes, start, end), length: end - start };
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
  const end = writeOptions(bytes, offset + fixed, message.options ?? {});
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
  for (let at = start + fixed; at < end;) {
    const length = at + 2 > end ? 8 : bytes[at + 1]! << 3;
    if (length === 0) return "the length of an option is 0";
    if (at + length > end) return "an option goes past the end";
    if (!fitsOption(bytes, at, length)) return `option ${bytes[at]} has ${length} bytes`;
    at += length;
  }
  return "";
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

function fitsOption(bytes: Uint8Array, at: number, length: number): boolean {
  switch (bytes[at]) {
    case NDP_OPTION_SOURCE_MAC:
    case NDP_OPTION_TARGET_MAC:
    case NDP_OPTION_MTU:
      return length === 8;
    case NDP_OPTION_PREFIX:
      return length === 32 && bytes[at + 2]! <= 128;
    case NDP_OPTION_DNS:
      return length >= 24 && (length & 15) === 8;
    case NDP_OPTION_PREF64:
      return length === 16;
    default:
      return true;
  }
}

function readOptions(bytes: Uint8Array, start: number, end: number): NdpOptions {
  const options: NdpOptions = {};
  for (let at = start + FIXED_LENGTHS[icmpv6Type(bytes, start)]!; at < end; at += bytes[at + 1]! << 3) {
    switch (bytes[at]) {
      case NDP_OPTION_SOURCE_MAC:
        options.sourceMac ??= readMac(bytes, at + 2);
        break;
      case NDP_OPTION_TARGET_MAC:
        options.targetMac ??= readMac(bytes, at + 2);
        break;
      case NDP_OPTION_MTU:
        options.mtu = readUint32(bytes, at + 4);
        break;
      case NDP_OPTION_PREFIX:
        (options.prefixes ??= []).push(readPrefix(bytes, at));
        break;
      case NDP_OPTION_DNS: {
        const servers: IpAddress[] = [], last = at + (bytes[at + 1]! << 3);
        for (let server = at + 8; server < last; server += 16) servers.push(readAddress(bytes, server));
        options.dns ??= { servers, lifetime: readUint32(bytes, at + 4) };
        break;
      }
      case NDP_OPTION_PREF64: {
        const scaled = readUint16(bytes, at + 2), length = PREF64_LENGTHS[scaled & 7];
        // A length of a code that is not known makes the option as if it were not there (RFC 8781 section 4).
        if (length === undefined) break;
        const base = new IpAddress(readUint32(bytes, at + 4), readUint32(bytes, at + 8), readUint32(bytes, at + 12), 0);
        options.pref64 ??= { prefix: new Cidr(base, length), lifetime: (scaled >>> 3) * PREF64_STEP };
      }
    }
  }
  return options;
}

function readPrefix(bytes: Uint8Array, at: number): NdpPrefix {
  const flags = bytes[at + 3]!, address = readAddress(bytes, at + 16), length = bytes[at + 2]!;
  return {
    // A mapped address counts its prefix in bits of IPv4 (`Cidr`).
    prefix: new Cidr(address, address.isIpv4 ? Math.max(0, length - 96) : length),
    onLink: (flags & ON_LINK) !== 0,
    autonomous: (flags & AUTONOMOUS) !== 0,
    validLifetime: readUint32(bytes, at + 4),
    preferredLifetime: readUint32(bytes, at + 8),
  };
}

/** Writes the options and returns the offset after them. */
function writeOptions(bytes: Uint8Array, start: number, options: NdpOptions): number {
  let at = start;
  if (options.sourceMac !== undefined) at = writeMacOption(bytes, at, NDP_OPTION_SOURCE_MAC, options.sourceMac);
  if (options.targetMac !== undefined) at = writeMacOption(bytes, at, NDP_OPTION_TARGET_MAC, options.targetMac);
  if (options.mtu !== undefined) {
    at = beginOption(bytes, at, NDP_OPTION_MTU, 8);
    writeUint32(bytes, at - 4, options.mtu);
  }
  for (const prefix of options.prefixes ?? []) {
    const option = at;
    at = beginOption(bytes, at, NDP_OPTION_PREFIX, 32);
    bytes[option + 2] = prefix.prefix.prefix;
    bytes[option + 3] = (prefix.onLink ? ON_LINK : 0) | (prefix.autonomous ? AUTONOMOUS : 0);
    writeUint32(bytes, option + 4, prefix.validLifetime);
    writeUint32(bytes, option + 8, prefix.preferredLifetime);
    writeAddress(bytes, option + 16, prefix.prefix.network.address);
  }
  if (options.dns !== undefined) {
    const option = at, { servers, lifetime } = options.dns;
    at = beginOption(bytes, at, NDP_OPTION_DNS, 8 + servers.length * 16);
    writeUint32(bytes, option + 4, lifetime);
    servers.forEach((server, i) => writeAddress(bytes, option + 8 + i * 16, server));
  }
  if (options.pref64 !== undefined) at = writePref64(bytes, at, options.pref64);
  return at;
}

function writePref64(bytes: Uint8Array, at: number, pref64: { prefix: Cidr; lifetime: number }): number {
  const code = PREF64_LENGTHS.indexOf(pref64.prefix.prefix), { address } = pref64.prefix.network;
  if (code < 0) {
    throw new RangeError(`Cannot encode PREF64 option: no prefix of ${pref64.prefix.prefix} bits has a code`);
  }
  const end = beginOption(bytes, at, NDP_OPTION_PREF64, 16);
  const steps = Math.min(Math.ceil(pref64.lifetime / PREF64_STEP), PREF64_MOST_STEPS);
  writeUint16(bytes, at + 2, (steps << 3) | code);
  writeUint32(bytes, at + 4, address.w0);
  writeUint32(bytes, at + 8, address.w1);
  writeUint32(bytes, at + 12, address.w2);
  return end;
}

function writeMacOption(bytes: Uint8Array, at: number, type: number, mac: number): number {
  const end = beginOption(bytes, at, type, 8);
  writeMac(bytes, at + 2, mac);
  return end;
}

/** Writes type and length, and zeros behind them; returns the offset after the option. */
function beginOption(bytes: Uint8Array, at: number, type: number, length: number): number {
  bytes.fill(0, at, at + length);
  bytes[at] = type;
  bytes[at + 1] = length >>> 3;
  return at + length;
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
