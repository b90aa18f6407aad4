/**
 * Hardware and network addresses: numbers and words inside, text at the edge.
 *
 * A MAC address is a 48-bit number. An IP address of either family is four 32-bit words in IPv6 form; an IPv4 address
 * is its IPv4-mapped form `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2), so one key and one type serve both.
 *
 * @module
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";

/** The Ethernet broadcast address. */
export const MAC_BROADCAST = 0xffffffffffff;

/** Reads the 6 bytes of a MAC address as a number. */
export function readMac(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset) * 0x100000000 + readUint32(bytes, offset + 2);
}

/** Writes a MAC address as 6 bytes. */
export function writeMac(bytes: Uint8Array, offset: number, mac: number): void {
  writeUint16(bytes, offset, Math.floor(mac / 0x100000000));
  writeUint32(bytes, offset + 2, mac >>> 0);
}

/** Whether the group bit is set: broadcast or multicast (IEEE 802.3 section 3.2.3). */
export function isGroupMac(mac: number): boolean {
  return (Math.floor(mac / 0x10000000000) & 1) === 1;
}

/** `52:54:00:12:34:56`. */
export function formatMac(mac: number): string {
  return mac.toString(16).padStart(12, "0").match(/../g)!.join(":");
}

/** Reads `52:54:00:12:34:56`. Throws a `TypeError` for anything else. */
export function parseMac(text: string): number {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) {
    throw new TypeError(`Cannot parse MAC address: "${text}" is not six hexadecimal bytes joined by colons`);
  }
  return parseInt(text.replaceAll(":", ""), 16);
}

/** `10.0.2.15` for a 32-bit number. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/**
 * Reads dotted decimal as a 32-bit number. Throws a `TypeError`; octets have no leading zero (RFC 6943 section 3.1.1).
 */
export function parseIpv4(text: string): number {
  const octets = text.split(".");
  if (octets.length !== 4 || !octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) < 256)) {
    throw new TypeError(`Cannot parse IPv4 address: "${text}" is not four numbers from 0 to 255 joined by dots`);
  }
  return octets.reduce((address, octet) => address * 256 + Number(octet), 0);
}

/** Two addresses of one family as those have them who write a header for each of many packets between them. */
export interface AddressPair {
  /** The eight words of both in IPv6 form, the source first. */
  readonly words: Uint32Array;
  /** What both add to a checksum that covers them. */
  readonly addressSum: number;
}

/** An IPv4 or IPv6 address, immutable. */
export class IpAddress {
  /** The first 32 bits in IPv6 form. */
  readonly w0: number;
  /** Bits 32 to 63. */
  readonly w1: number;
  /** Bits 64 to 95: 0xffff for IPv4. */
  readonly w2: number;
  /** The last 32 bits: the IPv4 address for IPv4. */
  readonly w3: number;

  /** Takes the four words of the IPv6 form. */
  constructor(w0: number, w1: number, w2: number, w3: number) {
    this.w0 = w0 >>> 0;
    this.w1 = w1 >>> 0;
    this.w2 = w2 >>> 0;
    this.w3 = w3 >>> 0;
  }

  /** The address with this 32-bit IPv4 number. */
  static fromIpv4(address: number): IpAddress {
    return new IpAddress(0, 0, 0xffff, address);
  }

  /** Reads 4 or 16 bytes. Throws a `RangeError` for another length. */
  static fromBytes(bytes: Uint8Array): IpAddress {
    if (bytes.length === 4) return IpAddress.fromIpv4(readUint32(bytes, 0));
    if (bytes.length !== 16) throw new RangeError(`Cannot read IP address: ${bytes.length} bytes are neither 4 nor 16`);
    return new IpAddress(readUint32(bytes, 0), readUint32(bytes, 4), readUint32(bytes, 8), readUint32(bytes, 12));
  }

  /** Reads dotted decimal or RFC 4291 text. Throws a `TypeError`. */
  static parse(text: string): IpAddress {
    return text.includes(":") ? parseIpv6(text) : IpAddress.fromIpv4(parseIpv4(text));
  }

  /** The same; `undefined` if the text is none. */
  static tryParse(text: string): IpAddress | undefined {
    try {
      return IpAddress.parse(text);
    } catch {
      return undefined;
    }
  }

  /** Whether this is an IPv4 address (in its mapped form). */
  get isIpv4(): boolean {
    return this.w0 === 0 && this.w1 === 0 && this.w2 === 0xffff;
  }

  /** The IPv4 number; meaningful where `isIpv4`. */
  get ipv4(): number {
    return this.w3;
  }

  /** Whether this is the address that stands for none, `::` or `0.0.0.0`. */
  get isUnspecified(): boolean {
    return (this.w0 | this.w1 | this.w3) === 0 && (this.w2 === 0 || this.isIpv4);
  }

  /** Whether both are the same address. */
  equals(other: IpAddress): boolean {
    return this.w3 === other.w3 && this.w2 === other.w2 && this.w1 === other.w1 && this.w0 === other.w0;
  }

  /** Writes 4 bytes for IPv4, 16 for IPv6, and returns how many. */
  writeTo(bytes: Uint8Array, offset: number): number {
    if (this.isIpv4) {
      writeUint32(bytes, offset, this.w3);
      return 4;
    }
    writeUint32(bytes, offset, this.w0);
    writeUint32(bytes, offset + 4, this.w1);
    writeUint32(bytes, offset + 8, this.w2);
    writeUint32(bytes, offset + 12, this.w3);
    return 16;
  }

  /** Dotted decimal, or IPv6 text by RFC 5952. */
  toString(): string {
    return this.isIpv4 ? formatIpv4(this.w3) : formatIpv6(this);
  }
}

/** An address and port as people write them: `10.0.2.15:80`, `[::1]:80`. */
export function formatEndpoint(address: IpAddress, port: number): string {
  return address.isIpv4 ? `${address}:${port}` : `[${address}]:${port}`;
}

/** An address, and of a link-local one perhaps the interface through which it is reached. */
export interface ZonedAddress {
  /** The address. */
  readonly address: IpAddress;
  /** The interface, by name or number (RFC 4007 section 11.2). */
  readonly zone?: string;
}

/**
 * Reads an address that may have a zone: `fe80::1%eth0`, `192.0.2.53`. Throws a `TypeError`, for a zone of an address
 * that is not link-local too.
 */
export function parseZoned(text: string): ZonedAddress {
  const percent = text.indexOf("%");
  if (percent < 0) return { address: IpAddress.parse(text) };
  const address = IpAddress.parse(text.slice(0, percent)), zone = text.slice(percent + 1);
  // fe80::/10 (RFC 4291 section 2.5.6). The name of an interface has up to 15 bytes, neither a slash nor white space.
  if (address.w0 >>> 22 !== 0xfe80 >>> 6 || !/^[^\s/%\]]{1,15}$/.test(zone)) {
    throw new TypeError(`Cannot parse IP address: "${text}" is not a link-local address with an interface behind it`);
  }
  return { address, zone };
}

function parseIpv6(text: string): IpAddress {
  const fail = () => new TypeError(`Cannot parse IPv6 address: "${text}" is not RFC 4291 text`);
  let hex = text;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) {
    let tail: number;
    try {
      tail = parseIpv4(dotted[2]!);
    } catch {
      throw fail();
    }
    hex = `${dotted[1]}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
  }
  const halves = hex.split("::");
  if (halves.length > 2) throw fail();
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  if (groups.flat().some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) throw fail();
  const head = groups[0]!, tail = groups[1];
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail ? missing < 1 : missing !== 0) throw fail();
  const all = [...head, ...Array<string>(tail ? missing : 0).fill("0"), ...(tail ?? [])].map((g) => parseInt(g, 16));
  const word = (i: number) => all[i]! * 0x10000 + all[i + 1]!;
  return new IpAddress(word(0), word(2), word(4), word(6));
}

function formatIpv6(address: IpAddress): string {
  const groups = [address.w0, address.w1, address.w2, address.w3].flatMap((word) => [word >>> 16, word & 0xffff]);
  // RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equals, becomes "::".
  let best = -1, bestLength = 1;
  for (let i = 0; i < 8;) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLength) [best, bestLength] = [i, j - i];
    i = j + 1;
  }
  const text = (from: number, to: number) => groups.slice(from, to).map((group) => group.toString(16)).join(":");
  return best < 0 ? text(0, 8) : `${text(0, best)}::${text(best + bestLength, 8)}`;
}

/** A network: an address and a prefix length. */
export class Cidr {
  /** The address as written; host bits may be set. */
  readonly address: IpAddress;
  /** Prefix length in bits of the address's own family: 0 to 32, or 0 to 128. */
  readonly prefix: number;

  /** Throws a `RangeError` for a prefix length that the family does not have. */
  constructor(address: IpAddress, prefix: number) {
    const most = address.isIpv4 ? 32 : 128;
    if (!Number.isInteger(prefix) || prefix < 0 || prefix > most) {
      throw new RangeError(`Cannot use prefix length ${prefix}: it must be from 0 to ${most}`);
    }
    this.address = address;
    this.prefix = prefix;
  }

  /** Reads `10.0.2.0/24`; an address alone is a network of one. Throws a `TypeError` or `RangeError`. */
  static parse(text: string): Cidr {
    const slash = text.indexOf("/");
    const address = IpAddress.parse(slash < 0 ? text : text.slice(0, slash));
    if (slash < 0) return new Cidr(address, address.isIpv4 ? 32 : 128);
    const length = text.slice(slash + 1);
    if (!/^\d{1,3}$/.test(length)) throw new TypeError(`Cannot parse CIDR "${text}": "${length}" is no prefix length`);
    return new Cidr(address, Number(length));
  }

  /** Whether `address` lies in the network; addresses of the other family never do. */
  contains(address: IpAddress): boolean {
    if (address.isIpv4 !== this.address.isIpv4) return false;
    const bits = this.address.isIpv4 ? this.prefix + 96 : this.prefix;
    return sameBits(address.w0, this.address.w0, bits) && sameBits(address.w1, this.address.w1, bits - 32) &&
      sameBits(address.w2, this.address.w2, bits - 64) && sameBits(address.w3, this.address.w3, bits - 96);
  }

  /** The same network without host bits; itself if it has none. */
  get network(): Cidr {
    const { w0, w1, w2, w3 } = this.address, bits = this.address.isIpv4 ? this.prefix + 96 : this.prefix;
    const base = new IpAddress(
      w0 & leadingBits(bits),
      w1 & leadingBits(bits - 32),
      w2 & leadingBits(bits - 64),
      w3 & leadingBits(bits - 96),
    );
    return base.equals(this.address) ? this : new Cidr(base, this.prefix);
  }

  /** `10.0.2.0/24`. */
  toString(): string {
    return `${this.address}/${this.prefix}`;
  }
}

function sameBits(a: number, b: number, bits: number): boolean {
  if (bits <= 0) return true;
  return bits >= 32 ? a === b : (a ^ b) >>> (32 - bits) === 0;
}

/** A word whose first `bits` bits are set. */
function leadingBits(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffffffff : ~(0xffffffff >>> bits);
}
