/**
 * The network that a guest sees, once for each family: its subnet, and who is where.
 *
 * Unless told otherwise, in the subnet of IPv4 the gateway is .2, the DNS server .3, and the guest gets .15 by DHCP; in
 * that of IPv6 they are ::2, ::3 and ::15 (hexadecimal, as all IPv6 text). This file is the only place that counts
 * these numbers. Each of the three can be another address (`network_plan.ts`), the gateway and the DNS server one
 * outside of the subnet too: they are reached on the link all the same. There may be a fourth, the host's alias, which
 * leads where the gateway's address leads.
 *
 * The router of IPv6 also has an address that is valid on the link alone, fe80::2, because router advertisements must
 * come from such a one (RFC 4861 section 4.2).
 *
 * **Relayed or not.** Mostly nobody else is in the subnet. With `relaysSubnet` the guest has an address in a network
 * that is there: its other addresses are hosts near the host, and packets to them are relayed.
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
/** The prefix length from which on a subnet has two addresses or one. */
const SHARED_BY_TWO: Record<IpFamily, number> = { 4: 31, 6: 127 };
const MULTICAST: Cidr = Cidr.parse("ff00::/8");

/** The network of a guest, of one family. */
export interface Segment {
  /** The family of its addresses. */
  readonly family: IpFamily;
  /** The subnet, without host bits. */
  readonly subnet: Cidr;
  /** The gateway's address: .2 or ::2 unless told otherwise. It may lie outside of the subnet, of IPv6 in fe80::/10. */
  readonly gateway: IpAddress;
  /** The DNS server's address: .3 or ::3 unless told otherwise. It may lie anywhere, and be the gateway's too. */
  readonly dns: IpAddress;
  /** Another address that leads where the gateway's leads, and may lie anywhere; null: there is none. */
  readonly hostAlias: IpAddress | null;
  /** The address that DHCP gives out: .15 or ::15 unless told otherwise. */
  readonly guest: IpAddress;
  /** Whether the other addresses of the subnet are hosts of their own, near the host. */
  readonly relaysSubnet: boolean;
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
    hostAlias: null,
    guest: at(GUEST_NUMBER[family]),
    relaysSubnet: false,
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

/**
 * Whether this address of a subnet stands for all of it or for any of its routers: the first, which is the network's
 * name (of IPv6 see RFC 4291 section 2.6.1), and the directed broadcast of IPv4. With at most two addresses in it each
 * is a host's (RFC 3021, RFC 6164).
 */
export function standsForSubnet({ address: first, prefix }: Cidr, address: IpAddress): boolean {
  if (prefix >= (first.isIpv4 ? SHARED_BY_TWO[4] : SHARED_BY_TWO[6])) return false;
  return address.equals(first) || isDirectedBroadcast(first, prefix, address);
}

function isDirectedBroadcast(first: IpAddress, prefix: number, address: IpAddress): boolean {
  return first.isIpv4 && address.isIpv4 && prefix < SHARED_BY_TWO[4] &&
    address.ipv4 === (first.ipv4 | ~ipv4Mask(prefix)) >>> 0;
}

/** Whether the gateway answers at this address itself: as router, as DNS server, or as the host's alias. */
export function isOfGateway({ family, gateway, dns, hostAlias }: Segment, address: IpAddress): boolean {
  return address.equals(gateway) || address.equals(dns) || (hostAlias !== null && address.equals(hostAlias)) ||
    (family === 6 && address.equals(ROUTER_LINK_LOCAL));
}

/** Whether this address stands for the host: the gateway's or the alias. */
export function standsForHost({ gateway, hostAlias }: Segment, address: IpAddress): boolean {
  return address.equals(gateway) || (hostAlias !== null && address.equals(hostAlias));
}

/** Where names of the host lead, at most one address of each family: to the alias if there is one. */
export function hostAddressesIn({ ipv4, ipv6 }: Segments): IpAddress[] {
  return [ipv4, ipv6].flatMap((segment) => segment === null ? [] : [segment.hostAlias ?? segment.gateway]);
}

/** Whether an address is of the subnet and nobody's, so that it must not reach whoever has it near the host. */
export function isHidden({ subnet, relaysSubnet, guest }: Segment, address: IpAddress): boolean {
  return subnet.contains(address) && (!relaysSubnet || address.equals(guest) || standsForSubnet(subnet, address));
}

/** Whether this address is on the guest's link: of its subnet, the gateway's, or valid on the link alone. */
export function isOnLink(segments: Segments, address: IpAddress): boolean {
  const family = familyOf(address), segment = segmentOf(segments, family);
  const isNear = segment !== null && (segment.subnet.contains(address) || isOfGateway(segment, address));
  return isNear || (family === 6 && LINK_LOCAL.contains(address));
}

/** Whether a datagram to this address is for more than one host: multicast or broadcast. */
export function isGroupAddress(segments: Segments, address: IpAddress): boolean {
  if (!address.isIpv4) return MULTICAST.contains(address);
  const number = address.ipv4, subnet = segments.ipv4?.subnet;
  return number >>> 28 === 0xe || number === 0xffffffff ||
    (subnet !== undefined && isDirectedBroadcast(subnet.address, subnet.prefix, address));
}

/**
 * Whether a guest may have this address: one of its subnet, or of fe80::/64, that neither the gateway nor a map has
 * taken and that stands for one host alone.
 */
export function isGuestAddress(segments: MappedSegments, address: IpAddress): boolean {
  const segment = segmentOf(segments, familyOf(address));
  if (segment === null) return false;
  const home = segment.family === 6 && LINK_LOCAL_SUBNET.contains(address) ? LINK_LOCAL_SUBNET : segment.subnet;
  return home.contains(address) && !standsForSubnet(home, address) && !isGroupAddress(segments, address) &&
    !isOfGateway(segment, address) && !segments.maps.some((map) => map.guest.equals(address));
}

/** Why no guest has this address, in words that say which it may have, or null: one may. */
export function guestAddressProblem(segments: MappedSegments, address: IpAddress): string | null {
  if (isGuestAddress(segments, address)) return null;
  const segment = segmentOf(segments, familyOf(address));
  if (segment === null) return `${address} is no address of a guest, which has no IPv${familyOf(address)}`;
  const { subnet, gateway, dns, hostAlias } = segment;
  const taken = [...new Set([gateway, dns, hostAlias].flatMap((one) => one === null ? [] : [`${one}`]))].join(", ");
  return `${address} is no address of a guest, which is one of ${subnet} other than ${taken} and mapped ones`;
}
