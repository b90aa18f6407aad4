/**
 * The network that a guest sees, once for each family: its subnet, and who is where in it.
 *
 * In the subnet of IPv4 the gateway is .2, the DNS server .3, and the guest gets .15 by DHCP; in that of IPv6 they are
 * ::2, ::3 and ::15 (hexadecimal, as all IPv6 text). The router of IPv6 also has an address that is valid on the link
 * alone, fe80::2, because router advertisements must come from such a one (RFC 4861 section 4.2). This file is the only
 * place that counts these numbers.
 *
 * @module
 */
import { Cidr, IpAddress } from "../../net/wire/address.ts";
import { familyOf, type IpFamily } from "./policy.ts";

/** The IPv4 subnet of a guest unless told otherwise. */
export const DEFAULT_SUBNET = "10.0.2.0/24";
/** The IPv6 subnet of a guest unless told otherwise: that of slirp4netns. */
export const DEFAULT_SUBNET6 = "fd00::/64";
/** Addresses that are valid on one link alone (RFC 4291 section 2.5.6). */
export const LINK_LOCAL: Cidr = Cidr.parse("fe80::/10");
/** Those of them that a host gives itself: the 54 bits behind the prefix are zero. */
export const LINK_LOCAL_SUBNET: Cidr = Cidr.parse("fe80::/64");
/** The router's address on every link. */
export const ROUTER_LINK_LOCAL: IpAddress = IpAddress.parse("fe80::2");

const GATEWAY_NUMBER = 0x2;
const DNS_NUMBER = 0x3;
const GUEST_NUMBER: Record<IpFamily, number> = { 4: 15, 6: 0x15 };
const SLIRP4NETNS_GUEST_NUMBER = 100;
const GATEWAY_TARGETS: Record<IpFamily, readonly IpAddress[]> = {
  4: ["127.0.0.1", "::1"].map(IpAddress.parse),
  6: ["::1", "127.0.0.1"].map(IpAddress.parse),
};
const MULTICAST: Cidr = Cidr.parse("ff00::/8");

/** The network of a guest, of one family. */
export interface Segment {
  /** The family of its addresses. */
  readonly family: IpFamily;
  /** The subnet, without host bits. */
  readonly subnet: Cidr;
  /** The gateway's address: .2 or ::2. */
  readonly gateway: IpAddress;
  /** The DNS server's address: .3 or ::3. */
  readonly dns: IpAddress;
  /** The address that DHCP gives out: .15 or ::15. */
  readonly guest: IpAddress;
  /** Where the gateway's address leads, in the order to try. */
  readonly gatewayTargets: readonly IpAddress[];
}

/** What it takes to tell whose an address is. */
export interface Segments {
  /** The guest's IPv4; null: it has none. */
  readonly ipv4: Segment | null;
  /** The guest's IPv6; null: it has none. */
  readonly ipv6: Segment | null;
}

/** The same, with the addresses that are taken by maps. */
export interface MappedSegments extends Segments {
  /** Maps, each with another guest address. */
  readonly maps: readonly { readonly guest: IpAddress }[];
}

/** The network in `subnet`, with these targets of the gateway or those of its family. */
export function segmentIn(subnet: Cidr, gatewayTargets?: readonly IpAddress[]): Segment {
  const network = subnet.network, { w0, w1, w2, w3 } = network.address, family = familyOf(network.address);
  const at = (number: number) => new IpAddress(w0, w1, w2, w3 + number);
  return {
    family,
    subnet: network,
    gateway: at(GATEWAY_NUMBER),
    dns: at(DNS_NUMBER),
    guest: at(GUEST_NUMBER[family]),
    gatewayTargets: gatewayTargets ?? GATEWAY_TARGETS[family],
  };
}

/** The address that slirp4netns gives an interface without DHCP: .100, for which a /25 has room. */
export function slirp4netnsGuest({ subnet: { address: { w0, w1, w2, w3 } } }: Segment): IpAddress {
  return new IpAddress(w0, w1, w2, w3 + SLIRP4NETNS_GUEST_NUMBER);
}

/** The network of this family, if the guest has it. */
export function segmentOf(segments: Segments, family: IpFamily): Segment | null {
  return family === 4 ? segments.ipv4 : segments.ipv6;
}

/** The mask of a prefix length as a 32-bit number. */
export function ipv4Mask(prefix: number): number {
  return prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
}

/** The last address of an IPv4 subnet: its directed broadcast. */
export function broadcastOf(subnet: Cidr): IpAddress {
  return IpAddress.fromIpv4(subnet.address.ipv4 | ~ipv4Mask(subnet.prefix));
}

/** Whether this address is on the guest's link: of its subnet, or one that is valid on the link alone. */
export function isOnSubnet(segments: Segments, address: IpAddress): boolean {
  const family = familyOf(address), isNear = segmentOf(segments, family)?.subnet.contains(address) ?? false;
  return isNear || (family === 6 && LINK_LOCAL.contains(address));
}

/** Whether a datagram to this address is for more than one host: multicast or broadcast. */
export function isGroupAddress(segments: Segments, address: IpAddress): boolean {
  if (!address.isIpv4) return MULTICAST.contains(address);
  const number = address.ipv4;
  return number >>> 28 === 0xe || number === 0xffffffff ||
    (segments.ipv4 !== null && broadcastOf(segments.ipv4.subnet).equals(address));
}

/**
 * Whether a guest may have this address: one of its subnet, or of fe80::/64, that neither the gateway nor a map has
 * taken and that stands for one host alone.
 */
export function isGuestAddress(segments: MappedSegments, address: IpAddress): boolean {
  const segment = segmentOf(segments, familyOf(address));
  if (segment === null) return false;
  const home = segment.family === 6 && LINK_LOCAL_SUBNET.contains(address) ? LINK_LOCAL_SUBNET : segment.subnet;
  // The first address is the network's name, or stands for any of its routers (RFC 4291 section 2.6.1).
  return home.contains(address) && !address.equals(home.address) && !isGroupAddress(segments, address) &&
    !isTaken(segment, address) && !segments.maps.some((map) => map.guest.equals(address));
}

/** Whether the gateway itself has this address, as router or DNS server. */
function isTaken({ gateway, dns, family }: Segment, address: IpAddress): boolean {
  return address.equals(gateway) || address.equals(dns) || (family === 6 && address.equals(ROUTER_LINK_LOCAL));
}

/** Why no guest has this address, in words that say which it may have, or null: one may. */
export function guestAddressProblem(segments: MappedSegments, address: IpAddress): string | null {
  if (isGuestAddress(segments, address)) return null;
  const segment = segmentOf(segments, familyOf(address));
  if (segment === null) return `${address} is no address of a guest, which has no IPv${familyOf(address)}`;
  const { subnet, gateway, dns } = segment;
  return `${address} is no address of a guest, which is one of ${subnet} other than ${gateway}, ${dns} and mapped ones`;
}
