/**
 * Destinations that are never relayed, whatever the options say, as data.
 *
 * A guest can put any address into a packet, and a host's kernel does surprising things with some: a connect to 0.0.0.0
 * reaches 127.0.0.1, one to an IPv4-mapped IPv6 address leaves IPv6, one to an IPv4-compatible address may do the same.
 * So these ranges are refused by what they are, before and after translation, and not because a socket call would fail.
 *
 * **Two questions.** What the guest asked for is matched with the family of the packet that carried it: in an IPv6
 * packet an IPv4-mapped address is a forgery, although `IpAddress` holds IPv4 addresses in that very form. What a
 * translation leads to is matched with its own family; loopback is allowed there, since the gateway's address and maps
 * lead to it on purpose.
 *
 * **IPv4 in disguise.** Some IPv6 addresses hold an IPv4 address, and what goes to them ends there by way of a
 * translator or a relay. So nothing is asked or led to that holds an IPv4 address which is refused itself
 * (`ipv4Inside`).
 *
 * Rules that a user gives, and that depend on ports, are another matter and come after these.
 *
 * @module
 */
import { Cidr, IpAddress } from "../../net/wire/address.ts";

/** The version of the IP header that an address stood in. */
export type IpFamily = 4 | 6;

/** A range that is never relayed. */
export interface ReservedRange {
  /** The version of the packets that it is about. */
  readonly family: IpFamily;
  /** The addresses, as `IpAddress` holds them. */
  readonly range: Cidr;
  /** How logs name it. */
  readonly rule: string;
  /** What the addresses are for. */
  readonly what: string;
  /** Where that is written. */
  readonly source: string;
  /** Whether these are the host itself: a translation may lead there. */
  readonly loopback: boolean;
}

/** Every such range; where two hold an address, the first counts. */
export const NEVER_RELAYED: readonly ReservedRange[] = [
  reserved(4, "0.0.0.0/8", { what: "this host on this network", source: "RFC 1122 section 3.2.1.3, RFC 6890" }),
  reserved(4, "127.0.0.0/8", { what: "loopback", source: "RFC 1122 section 3.2.1.3, RFC 6890", loopback: true }),
  reserved(4, "224.0.0.0/4", { what: "multicast", source: "RFC 1112 section 4, RFC 5735" }),
  reserved(4, "240.0.0.0/4", { what: "reserved, and limited broadcast", source: "RFC 1112 section 4, RFC 6890" }),
  reserved(6, "::1/128", { what: "loopback", source: "RFC 4291 section 2.5.3", loopback: true }),
  reserved(6, "::/96", { what: "unspecified, and IPv4-compatible", source: "RFC 4291 sections 2.5.2 and 2.5.5.1" }),
  {
    family: 6,
    // `IpAddress` holds mapped addresses as IPv4, so all of IPv4 is the range.
    range: new Cidr(IpAddress.fromIpv4(0), 0),
    rule: "::ffff:0:0/96",
    what: "IPv4-mapped",
    source: "RFC 4291 section 2.5.5.2",
    loopback: false,
  },
  reserved(6, "fe80::/10", { what: "link-local", source: "RFC 4291 section 2.5.6" }),
  reserved(6, "ff00::/8", { what: "multicast", source: "RFC 4291 section 2.7" }),
];

/** What leads to IPv4 by way of a translator, as every network may have it. */
export const NAT64_PREFIX: Cidr = Cidr.parse("64:ff9b::/96");

const NAT64_LOCAL = reserved(6, "64:ff9b:1::/48", { what: "local NAT64", source: "RFC 8215" });
const SIX_TO_FOUR = reserved(6, "2002::/16", { what: "6to4", source: "RFC 3056 section 2" });
const TEREDO = reserved(6, "2001::/32", { what: "Teredo", source: "RFC 4380 section 2.6" });

/** The ranges whose addresses hold an IPv4 address. */
export const IPV4_HOLDERS: readonly ReservedRange[] = [
  reserved(6, `${NAT64_PREFIX}`, { what: "NAT64", source: "RFC 6052 section 2.1" }),
  NAT64_LOCAL,
  SIX_TO_FOUR,
  TEREDO,
];

const NOTHING: readonly IpAddress[] = [];
const THIS_NETWORK = Cidr.parse("0.0.0.0/8");

/** The range that forbids a guest to ask for `address` in a packet of this family. */
export function findReserved(family: IpFamily, address: IpAddress): ReservedRange | undefined {
  return findRange(family, address) ?? (family === 6 ? findInside(address) : undefined);
}

/** The range that forbids a translation to lead to `address`. */
export function findForbiddenTarget(address: IpAddress): ReservedRange | undefined {
  const entry = findRange(familyOf(address), address);
  return entry === undefined ? findInside(address) : entry.loopback ? undefined : entry;
}

/** Whether `address` is in 127.0.0.0/8 or is ::1. */
export function isLoopback(address: IpAddress): boolean {
  return findRange(familyOf(address), address)?.loopback ?? false;
}

/** The IPv4 addresses at which packets to the IPv6 `address` may end: none for most, several where that is unknown. */
export function ipv4Inside(address: IpAddress): readonly IpAddress[] {
  if (address.isIpv4) return NOTHING;
  const { w0, w1, w3 } = address;
  if (NAT64_PREFIX.contains(address)) return [IpAddress.fromIpv4(w3)];
  if (SIX_TO_FOUR.range.contains(address)) return [IpAddress.fromIpv4((w0 << 16) | (w1 >>> 16))];
  // The relay, and the client behind a NAT, whose bits are inverted.
  if (TEREDO.range.contains(address)) return [IpAddress.fromIpv4(w1), IpAddress.fromIpv4(~w3)];
  return NAT64_LOCAL.range.contains(address) ? insideLocal(address) : NOTHING;
}

/** The address that an answer, a rule or a binding with `address` means: the IPv4 address in it, if that is one. */
export function canonicalAddress(address: IpAddress): IpAddress {
  const inside = ipv4Inside(address);
  return inside.length === 1 ? inside[0]! : address;
}

/**
 * Of a local NAT64 nobody else knows the length of its prefix, so all of RFC 6052 section 2.2 count. 0.0.0.0/8 is what
 * the wrong ones of them mostly read.
 */
function insideLocal({ w1, w2, w3 }: IpAddress): readonly IpAddress[] {
  const numbers = [w3];
  // The octet behind the first 64 bits is zero, and left out.
  if (w2 >>> 24 === 0) {
    numbers.push((w1 << 16) | (w2 >>> 8), (w1 << 24) | w2, (w2 << 8) | (w3 >>> 24));
  }
  return numbers.map((number) => IpAddress.fromIpv4(number)).filter((inside) => !THIS_NETWORK.contains(inside));
}

function findRange(family: IpFamily, address: IpAddress): ReservedRange | undefined {
  return NEVER_RELAYED.find((entry) => entry.family === family && entry.range.contains(address));
}

function findInside(address: IpAddress): ReservedRange | undefined {
  for (const inside of ipv4Inside(address)) {
    const entry = findRange(4, inside);
    if (entry !== undefined) return { ...entry, rule: `${entry.rule} in ${address}` };
  }
  return undefined;
}

/** The family of an address as text or a socket has it: the mapped form is IPv4. */
export function familyOf(address: IpAddress): IpFamily {
  return address.isIpv4 ? 4 : 6;
}

function reserved(
  family: IpFamily,
  rule: string,
  about: { what: string; source: string; loopback?: boolean },
): ReservedRange {
  return { family, range: Cidr.parse(rule), rule, what: about.what, source: about.source, loopback: !!about.loopback };
}
