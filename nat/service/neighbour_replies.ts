/**
 * Which neighbour solicitations the gateway answers (RFC 4861 section 7.2), and the answer.
 *
 * Answered for are the addresses that are taken on the guest's link: the gateway's, the DNS server's, the host's alias,
 * the router's link-local one, and those that are mapped. Any other stays the guest's: whether it asks for an address
 * of its own to find out that nobody has it (RFC 4862 section 5.4), or for a neighbour that does not exist. So, unlike
 * with ARP, there is no answer for the rest of the subnet: a guest may make any address of it at any time, and would be
 * talked out of it.
 *
 * If the subnet is a network near the host, its addresses are hosts, and any that is not the guest's is answered for,
 * but those of one link: nothing is relayed to them. Whoever asks whether it may have one still gets no answer.
 *
 * A guest that asks from the unspecified address wants to know whether it may have an address of ours. The answer goes
 * to all nodes, since it has no address to answer to (section 7.2.4), and tells it that it may not. A question to our
 * own address rather than to the group, whether we are still there (section 7.3.1), is answered as any other.
 *
 * The gateway also asks, about the guest, if a client of the host comes before the guest has spoken
 * (`neighbourRequest`).
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { addressSum } from "../../net/wire/checksum.ts";
import { encodeIpv6, IPV6_HEADER_LENGTH, ipv6Source, PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import {
  ALL_NODES,
  encodeNdp,
  NDP_HOP_LIMIT,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_NEIGHBOUR_SOLICITATION,
  type NdpMessage,
  ndpTarget,
  solicitedNode,
} from "../../net/wire/ndp.ts";
import { LINK_LOCAL, ROUTER_LINK_LOCAL } from "../rules/segment.ts";

/** Who answers on a link. */
export interface NeighbourSegment {
  /** The gateway's MAC address, which every answer gives. */
  readonly mac: number;
  /** Addresses that no guest may have: gateway, router, DNS, the host's alias, and those that are mapped. */
  readonly taken: readonly IpAddress[];
  /** Whether other addresses are hosts near the host, those of the subnet and others. */
  readonly relaysSubnet: boolean;
  /** The guest's addresses. */
  readonly own: {
    /** Whether `address` is among them. */
    has(address: IpAddress): boolean;
  };
}

/** Where a message goes, and how long the packet is. */
export interface NeighbourPacket {
  /** Bytes of the packet, from its IPv6 header on. */
  readonly length: number;
  /** Where it goes: an address of the guest or a group. */
  readonly destination: IpAddress;
}

/**
 * Answers the neighbour solicitation at `bytes[icmp]`, which has passed `checkNdp` and `ndpFitsHeader`, in the packet
 * at `bytes[ip]`: writes a packet at `into[at]`. Null: there is no answer. The caller has made room.
 */
export function neighbourReply(
  segment: NeighbourSegment,
  bytes: Uint8Array,
  { ip, icmp }: { ip: number; icmp: number },
  into: Uint8Array,
  at: number,
): NeighbourPacket | null {
  const target = ndpTarget(bytes, icmp), source = ipv6Source(bytes, ip), isKnown = !source.isUnspecified;
  const router = segment.taken.some((address) => address.equals(target));
  if (!router && !(isKnown && isRelayed(segment, target))) return null;
  const destination = isKnown ? source : ALL_NODES;
  const message: NdpMessage = {
    type: NDP_NEIGHBOUR_ADVERTISEMENT,
    target,
    router,
    solicited: isKnown,
    override: true,
    options: { targetMac: segment.mac },
  };
  return { length: writeNdpPacket(into, at, message, { source: target, destination }), destination };
}

function isRelayed({ relaysSubnet, own }: NeighbourSegment, target: IpAddress): boolean {
  return relaysSubnet && !LINK_LOCAL.contains(target) && !own.has(target);
}

/** Writes the router's question for the MAC address of `target` at `into[at]`. */
export function neighbourRequest(mac: number, target: IpAddress, into: Uint8Array, at: number): NeighbourPacket {
  const message: NdpMessage = { type: NDP_NEIGHBOUR_SOLICITATION, target, options: { sourceMac: mac } };
  const destination = solicitedNode(target);
  return { length: writeNdpPacket(into, at, message, { source: ROUTER_LINK_LOCAL, destination }), destination };
}

/** Writes a packet with a message at `into[at]` and returns its length. */
export function writeNdpPacket(
  into: Uint8Array,
  at: number,
  message: NdpMessage,
  { source, destination }: { source: IpAddress; destination: IpAddress },
): number {
  const sum = addressSum(source) + addressSum(destination);
  const payloadLength = encodeNdp(into, at + IPV6_HEADER_LENGTH, message, sum);
  const nextHeader = PROTOCOL_ICMPV6, hopLimit = NDP_HOP_LIMIT;
  return payloadLength + encodeIpv6(into, at, { payloadLength, nextHeader, hopLimit, source, destination });
}
