/**
 * The network of a guest, address by address: read from text and checked.
 *
 * A **plan** says which address the guest has and which the gateway, where a subnet alone would count both
 * (`segment.ts`). With it a guest can have the address that the host has: then its subnet is a network that is there,
 * whose other addresses are to be relayed. Any prefix length will do, a single address too, and the gateway may lie
 * outside of the subnet, as it does on links between two. Unless told otherwise the gateway's address is also that of
 * the DNS server, because any other may be somebody's.
 *
 * **Addresses beside it**, of the DNS server and of the host, may lie anywhere: packets to them come by way of the
 * gateway, or as if they were on the link. Elsewhere nobody is reached at these addresses any more.
 *
 * Each reader throws a `TypeError` for another form and a `RangeError` for what makes no sense; the message is what is
 * wrong and what would be right.
 *
 * @module
 */
import { Cidr, IpAddress } from "../../net/wire/address.ts";
import { familyOf, findReserved, type IpFamily, IPV4_HOLDERS, NEVER_RELAYED, type ReservedRange } from "./policy.ts";
import { LINK_LOCAL, type Segment, segmentIn, segmentOf, type Segments, standsForSubnet } from "./segment.ts";

/** The network of a guest, of one family. */
export interface NetworkPlan {
  /** The guest's address with the prefix length of its subnet: `192.168.7.20/24`. */
  readonly guest: string;
  /** The gateway's address, of the subnet or not; of IPv6 it may be one of fe80::/10. */
  readonly gateway: string;
  /**
   * Whether the subnet is a network that is there, near the host: its other addresses are relayed like any others, and
   * so is the gateway's if it must not lead to the host's loopback. Default false: nobody else is in the subnet.
   */
  readonly relaysSubnet?: boolean;
}

/** The networks of a guest. */
export interface NetworkPlans {
  /** Its IPv4. Default what the option for the subnet says. */
  readonly ipv4?: NetworkPlan;
  /** Its IPv6. Default what the option for the IPv6 subnet says. */
  readonly ipv6?: NetworkPlan;
}

const EXAMPLES: Record<IpFamily, string> = { 4: "192.168.7.20/24", 6: "2001:db8:7::20/64" };

/** The segment that a plan makes, with these targets of the gateway or those of its family. */
export function planSegment(plan: NetworkPlan, family: IpFamily, gatewayTargets?: readonly IpAddress[]): Segment {
  const { address: guest, prefix } = readGuest(plan.guest, family), { network: subnet } = new Cidr(guest, prefix);
  const reserved = reservedIn(subnet);
  if (reserved !== undefined) throw new RangeError(`it shares ${reserved.rule} (${reserved.what}), take another one`);
  if (standsForSubnet(subnet, guest)) {
    throw new RangeError(`${guest} is the address of all of ${subnet}, give the guest another one`);
  }
  const gateway = readGateway(plan.gateway, family);
  if (gateway.equals(guest)) {
    throw new RangeError(`${gateway} cannot be the guest's and the gateway's, take another one`);
  }
  if (standsForSubnet(subnet, gateway)) {
    throw new RangeError(`${gateway} is the address of all of ${subnet}, give the gateway another one`);
  }
  const { relaysSubnet = false } = plan;
  return { ...segmentIn(subnet, gatewayTargets), gateway, dns: gateway, guest, relaysSubnet };
}

/** Reads the address at which guests find DNS, or the host. */
export function parseServiceAddress(text: string): IpAddress {
  const address = IpAddress.tryParse(text);
  if (address === undefined) throw new TypeError("it is an address, such as 169.254.1.1 or fd00::53");
  const reserved = findReserved(familyOf(address), address);
  if (reserved === undefined) return address;
  throw new RangeError(`a guest's packets to ${reserved.rule} (${reserved.what}) are never relayed, take another one`);
}

/** The same segments with this address as that of their DNS server, or of the host. */
export function withServiceAddress<T extends Segments>(segments: T, part: "dns" | "hostAlias", address: IpAddress): T {
  const family = familyOf(address), segment = segmentOf(segments, family);
  if (segment === null) throw new RangeError(`guests have no IPv${family}, take an address of the other family`);
  if (address.equals(segment.guest)) throw new RangeError(`${address} is the guest's own address, take another one`);
  if (standsForSubnet(segment.subnet, address)) {
    throw new RangeError(`${address} is the address of all of ${segment.subnet}, take another one`);
  }
  return { ...segments, [family === 4 ? "ipv4" : "ipv6"]: { ...segment, [part]: address } };
}

/** The range that a network shares which no guest can have, if there is one. */
export function reservedIn({ address, prefix }: Cidr): ReservedRange | undefined {
  const family = familyOf(address), subnet = new Cidr(address, prefix);
  // Of two networks one holds the other or they share nothing, so their first addresses tell.
  return [...NEVER_RELAYED, ...IPV4_HOLDERS].find((entry) =>
    entry.family === family && (entry.range.contains(address) || subnet.contains(entry.range.address))
  );
}

/** Whether a guest needs to be told that its gateway is on the link, because it is not of the subnet. */
export function isGatewayBeyond({ subnet, gateway }: Segment): boolean {
  return !subnet.contains(gateway) && !LINK_LOCAL.contains(gateway);
}

function readGuest(text: string, family: IpFamily): Cidr {
  const guest = text.includes("/") ? tryCidr(text) : undefined;
  if (guest !== undefined && familyOf(guest.address) === family) return guest;
  throw new TypeError(`its guest is an IPv${family} address with a prefix length, such as ${EXAMPLES[family]}`);
}

function tryCidr(text: string): Cidr | undefined {
  try {
    return Cidr.parse(text);
  } catch {
    return undefined;
  }
}

function readGateway(text: string, family: IpFamily): IpAddress {
  const gateway = IpAddress.tryParse(text);
  if (gateway === undefined || familyOf(gateway) !== family) {
    throw new TypeError(`its gateway is an IPv${family} address, not ${text}`);
  }
  const reserved = LINK_LOCAL.contains(gateway) ? undefined : findReserved(family, gateway);
  if (reserved === undefined) return gateway;
  throw new RangeError(`its gateway is of ${reserved.rule} (${reserved.what}), take another one`);
}
