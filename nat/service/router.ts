/**
 * What the router says of itself and of the guest's link (RFC 4861 section 6.2): an advertisement.
 *
 * - The **prefix** is on the link, and hosts make addresses of it (RFC 4862) if it has 64 bits; one that holds a single
 *   address is not told.
 * - **M and O**: an address and the rest are to be had by DHCPv6 too.
 * - **Router lifetime**: half an hour while the host has a default route for IPv6 or there is NAT64, else 0. A default
 *   route that leads nowhere costs a program a quarter of a second a connection, in which it waits for IPv6 before it
 *   tries IPv4.
 * - **DNS servers** (RFC 8106), for as long; none if there is no DNS.
 * - The link's **MTU**, if IPv6 can use it, the router's **MAC address**, and with NAT64 the **prefix** behind which
 *   IPv4 lies (RFC 8781).
 *
 * When it is said: `router_timer.ts`.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { IPV6_MINIMUM_MTU } from "../../net/wire/ipv6.ts";
import { NDP_ROUTER_ADVERTISEMENT, type NdpRouterAdvertisement } from "../../net/wire/ndp.ts";
import { NAT64_PREFIX } from "../rules/policy.ts";
import { ROUTER_LINK_LOCAL, type Segment } from "../rules/segment.ts";
import { writeNdpPacket } from "./neighbour_replies.ts";
import { MOST_INTERVAL_MS } from "./router_timer.ts";

/** Seconds for which the router may be used after an advertisement: three times the most between two. */
export const ROUTER_LIFETIME = 3 * MOST_INTERVAL_MS / 1000;
/** Seconds for which addresses of the prefix may be used after an advertisement: as long as those of DHCP. */
export const PREFIX_LIFETIME = 86_400;
/** The hop limit that hosts are to use, that of IP's own. */
const HOP_LIMIT = 64;
/** Bits of a prefix of which hosts make addresses, and of one that holds one address alone. */
const AUTONOMOUS = 64, SINGLE = 128;

/** What is advertised. */
export interface RouterOptions {
  /** The router's MAC address. */
  readonly mac: number;
  /** The link's MTU. */
  readonly mtu: number;
  /** The guest's network. */
  readonly segment: Pick<Segment, "subnet">;
  /** The DNS server; null: there is none. */
  readonly dns: IpAddress | null;
  /** Whether 64:ff9b::/96 leads to IPv4. */
  readonly nat64: boolean;
}

/** What is said while the host has a default route for IPv6, or has none. */
export function routerAdvertisement(options: RouterOptions, hasRoute: boolean): NdpRouterAdvertisement {
  const { mac, mtu, segment, dns, nat64 } = options, { prefix } = segment.subnet;
  return {
    type: NDP_ROUTER_ADVERTISEMENT,
    hopLimit: HOP_LIMIT,
    managed: true,
    otherConfig: true,
    lifetime: hasRoute || nat64 ? ROUTER_LIFETIME : 0,
    options: {
      sourceMac: mac,
      ...(mtu >= IPV6_MINIMUM_MTU && { mtu }),
      prefixes: prefix === SINGLE ? [] : [{
        prefix: segment.subnet,
        onLink: true,
        autonomous: prefix === AUTONOMOUS,
        validLifetime: PREFIX_LIFETIME,
        preferredLifetime: PREFIX_LIFETIME,
      }],
      ...(dns !== null && { dns: { servers: [dns], lifetime: ROUTER_LIFETIME } }),
      ...(nat64 && { pref64: { prefix: NAT64_PREFIX, lifetime: ROUTER_LIFETIME } }),
    },
  };
}

/** Writes a packet with an advertisement to `destination` at `into[at]` and returns its length. */
export function writeRouterAdvertisement(
  into: Uint8Array,
  at: number,
  message: NdpRouterAdvertisement,
  destination: IpAddress,
): number {
  return writeNdpPacket(into, at, message, { source: ROUTER_LINK_LOCAL, destination });
}
