/**
 * The options of neighbour discovery messages: a row of types, lengths in units of 8 bytes, and values (RFC 4861
 * section 4.6).
 *
 * Known are both link-layer addresses, which are Ethernet's, prefix information, MTU, DNS servers (RFC 8106 section
 * 5.1) and the NAT64 prefix (RFC 8781 section 4). One of these that has another length than its kind has makes the
 * message malformed, as a length of 0 does. Options that are not known are skipped.
 *
 * @module
 */
import { Cidr, IpAddress, readMac, writeMac } from "./address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";

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

const ON_LINK = 0x80;
const AUTONOMOUS = 0x40;

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

/** What is wrong with the options that fill `bytes[start, end)`; empty if nothing is. */
export function ndpOptionsFlaw(bytes: Uint8Array, start: number, end: number): string {
  for (let at = start; at < end;) {
    const length = at + 2 > end ? 8 : bytes[at + 1]! << 3;
    if (length === 0) return "the length of an option is 0";
    if (at + length > end) return "an option goes past the end";
    if (!fitsOption(bytes, at, length)) return `option ${bytes[at]} has ${length} bytes`;
    at += length;
  }
  return "";
}

/** The offset of the first option of this type among those that fill `bytes[start, end)`; -1 without one. */
export function ndpOptionIn(bytes: Uint8Array, start: number, end: number, type: number): number {
  for (let at = start; at < end; at += bytes[at + 1]! << 3) if (bytes[at] === type) return at;
  return -1;
}

/** Reads the options that fill `bytes[start, end)`, in which `ndpOptionsFlaw` finds no flaw. */
export function readNdpOptions(bytes: Uint8Array, start: number, end: number): NdpOptions {
  const options: NdpOptions = {};
  for (let at = start; at < end; at += bytes[at + 1]! << 3) {
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
        options.pref64 ??= { prefix: new Cidr(base, length).network, lifetime: (scaled >>> 3) * PREF64_STEP };
      }
    }
  }
  return options;
}

/**
 * Writes the options at `start` and returns the offset after them. The caller has made room. Throws a `RangeError` for
 * a PREF64 prefix of a length that it cannot have.
 */
export function writeNdpOptions(bytes: Uint8Array, start: number, options: NdpOptions): number {
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

/** Bits behind the prefix are reserved and ignored. */
function readPrefix(bytes: Uint8Array, at: number): NdpPrefix {
  const flags = bytes[at + 3]!, address = readAddress(bytes, at + 16), length = bytes[at + 2]!;
  return {
    // A mapped address counts its prefix in bits of IPv4 (`Cidr`).
    prefix: new Cidr(address, address.isIpv4 ? Math.max(0, length - 96) : length).network,
    onLink: (flags & ON_LINK) !== 0,
    autonomous: (flags & AUTONOMOUS) !== 0,
    validLifetime: readUint32(bytes, at + 4),
    preferredLifetime: readUint32(bytes, at + 8),
  };
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
