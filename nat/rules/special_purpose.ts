/**
 * Addresses that are not globally reachable, as data: those of a private network, of one link, of one host, of
 * documentation and of tests.
 *
 * An answer of DNS from outside that leads to one of these may be an attack on what is near ("rebinding"). The list is
 * that of the two IANA registries of special-purpose addresses (RFC 6890, RFC 8190), as they were in July 2025: every
 * block whose "Globally Reachable" is not true, with the smaller blocks in it that are. Beside them stand the blocks
 * for multicast, which no answer may bind either, and site-local addresses, which are deprecated but in use (RFC 3879).
 *
 * An address with an IPv4 address in it is as reachable as that one. Of some it is not known which IPv4 address counts;
 * then none of them may be near.
 *
 * @module
 */
import { Cidr, type IpAddress } from "../../net/wire/address.ts";
import { ipv4Inside } from "./policy.ts";

/** Blocks that are not globally reachable. */
const NEAR: readonly Cidr[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  // ::/128 and ::1/128 are in it, and IPv4-compatible addresses, which are deprecated.
  "::/96",
  "100::/64",
  "100:0:0:1::/64",
  "2001::/23",
  "2001:db8::/32",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
].map(Cidr.parse);

/** Blocks within these that are globally reachable. */
const REACHABLE: readonly Cidr[] = [
  "192.0.0.9/32",
  "192.0.0.10/32",
  "2001:1::1/128",
  "2001:1::2/128",
  "2001:1::3/128",
  "2001:3::/32",
  "2001:4:112::/48",
  "2001:20::/28",
  "2001:30::/28",
].map(Cidr.parse);

/** Whether packets to `address` can come from anywhere and arrive. */
export function isGloballyReachable(address: IpAddress): boolean {
  const inside = ipv4Inside(address);
  if (inside.length > 0) return inside.every(isGloballyReachable);
  return !NEAR.some((block) => block.contains(address)) || REACHABLE.some((block) => block.contains(address));
}
