/**
 * What a guest's frame is to a gateway, as the fuzzer sees it: which flow it is of, what it asks, and whether it may
 * have any effect at all.
 *
 * @module
 */
import { FlowKey } from "../../nat/flow/flow_key.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { ARP_REPLY, arpOperation, arpSenderIp, checkArp } from "../../net/wire/arp.ts";
import {
  checkEthernet,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  isPriorityTagged,
  VLAN_TAG_LENGTH,
} from "../../net/wire/ethernet.ts";
import {
  checkIpv4,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import {
  checkIpv6,
  IPV6_HEADER_LENGTH,
  ipv6Destination,
  ipv6PayloadLength,
  ipv6Source,
  PROTOCOL_ICMPV6,
} from "../../net/wire/ipv6.ts";
import { Ipv6Chain, walkIpv6 } from "../../net/wire/ipv6_extensions.ts";
import { icmpv6Type } from "../../net/wire/icmpv6.ts";
import {
  checkNdp,
  isNdpType,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_REDIRECT,
  NDP_ROUTER_ADVERTISEMENT,
  NDP_ROUTER_SOLICITATION,
  ndpTarget,
} from "../../net/wire/ndp.ts";
import type { Segments } from "../../nat/rules/segment.ts";
import { checkTcp, tcpDestinationPort, tcpSourcePort } from "../../net/wire/tcp.ts";
import { DHCP_SERVER_PORT } from "../../net/wire/dhcpv4.ts";
import { udpDestinationPort } from "../../net/wire/udp.ts";
import { isMldType } from "../../net/wire/mld.ts";

/** The octets of both addresses at the start of an Ethernet frame, after which a tag stands. */
const ADDRESSES_LENGTH = 12;

/** The key of the flow that a frame is of, if it is TCP at all. */
export function tcpKey(guest: number, frame: Uint8Array): FlowKey {
  const key = new FlowKey(), ip = 14, tcp = ip + ipv4HeaderLength(frame, ip);
  if (checkIpv6(frame, ip, frame.length)) {
    const { protocol, transport } = walk(frame);
    if (protocol !== PROTOCOL_TCP || !checkTcp(frame, transport, frame.length)) return key;
    const guestPort = tcpSourcePort(frame, transport), remotePort = tcpDestinationPort(frame, transport);
    return key.setIpv6(guest, PROTOCOL_TCP, frame, ip).setPorts(guestPort, remotePort);
  }
  if (!checkIpv4(frame, ip, frame.length) || !checkTcp(frame, tcp, frame.length)) return key;
  const source = ipv4Source(frame, ip), destination = ipv4Destination(frame, ip);
  return key.setIpv4(
    guest,
    PROTOCOL_TCP,
    source,
    tcpSourcePort(frame, tcp),
    destination,
    tcpDestinationPort(frame, tcp),
  );
}

/** The frame as it would be without a priority tag (IEEE 802.1Q), which changes nothing about it. */
export function withoutPriority(frame: Uint8Array): Uint8Array {
  const isTagged = checkEthernet(frame, 0, frame.length) && ethernetType(frame, 0) === ETHERTYPE_VLAN &&
    isPriorityTagged(frame, 0, frame.length);
  if (!isTagged) return frame;
  const plain = frame.slice(VLAN_TAG_LENGTH);
  plain.set(frame.subarray(0, ADDRESSES_LENGTH));
  return plain;
}

/** Whether the frame asks for a router: the answer may be an advertisement that is to come anyway. */
export function asksRouter(bytes: Uint8Array): boolean {
  if (!checkIpv6(bytes, 14, bytes.length)) return false;
  const { protocol, transport } = walk(bytes);
  return protocol === PROTOCOL_ICMPV6 && icmpv6Type(bytes, transport) === NDP_ROUTER_SOLICITATION;
}

/** Whether a frame goes to the DNS service, where one that waits for an answer with others leaves no trace. */
export function asksDns(frame: Uint8Array, { ipv4, ipv6 }: Segments, protocol: number): boolean {
  const ip = 14;
  if (checkIpv6(frame, ip, frame.length)) {
    return walk(frame).protocol === protocol && ipv6 !== null && ipv6Destination(frame, ip).equals(ipv6.dns);
  }
  const isOf = checkIpv4(frame, ip, frame.length) && ipv4Protocol(frame, ip) === protocol;
  return isOf && ipv4Destination(frame, ip) === ipv4?.dns.ipv4;
}

/** The protocol of a packet; -1 without one. */
export function protocolOf(frame: Uint8Array): number {
  if (checkIpv6(frame, 14, frame.length)) return walk(frame).protocol;
  return checkIpv4(frame, 14, frame.length) ? ipv4Protocol(frame, 14) : -1;
}

/** The extension headers of the IPv6 packet in a frame; none of a chain that is not followed. */
function walk(frame: Uint8Array): Ipv6Chain {
  const chain = new Ipv6Chain();
  walkIpv6(frame, 14, 14 + IPV6_HEADER_LENGTH + ipv6PayloadLength(frame, 14), chain);
  return chain;
}

/** The address that a frame says who has, in reply to a question or of its own accord. */
export function answeredAddress(frame: Uint8Array): string | null {
  if (!checkEthernet(frame, 0, frame.length)) return null;
  const type = ethernetType(frame, 0);
  if (type === ETHERTYPE_ARP && checkArp(frame, 14, frame.length) && arpOperation(frame, 14) === ARP_REPLY) {
    return `${IpAddress.fromIpv4(arpSenderIp(frame, 14))}`;
  }
  if (type !== ETHERTYPE_IPV6 || !checkIpv6(frame, 14, frame.length)) return null;
  const { protocol, transport } = walk(frame);
  const isAnswer = protocol === PROTOCOL_ICMPV6 && checkNdp(frame, transport, frame.length) &&
    icmpv6Type(frame, transport) === NDP_NEIGHBOUR_ADVERTISEMENT;
  return isAnswer ? `${ndpTarget(frame, transport)}` : null;
}

/** Whether a frame is a fragment of a packet. */
export function isFragment(frame: Uint8Array): boolean {
  if (checkIpv4(frame, 14, frame.length)) return ipv4IsFragment(frame, 14);
  return checkIpv6(frame, 14, frame.length) && walk(frame).fragment >= 0;
}

/** Whether a frame plays the router: nothing that it says may be believed. */
export function playsRouter(frame: Uint8Array): boolean {
  const isIpv6 = checkEthernet(frame, 0, frame.length) && ethernetType(frame, 0) === ETHERTYPE_IPV6;
  if (!isIpv6 || !checkIpv6(frame, 14, frame.length)) return false;
  const { protocol, transport, fragment } = walk(frame), type = frame[transport];
  return protocol === PROTOCOL_ICMPV6 && fragment < 0 && (type === NDP_ROUTER_ADVERTISEMENT || type === NDP_REDIRECT);
}

/** Whether a frame may change nothing: it comes from an address that no guest has, or to IPv4 in an IPv6 packet. */
export function isSpoofed(frame: Uint8Array): boolean {
  if (!checkEthernet(frame, 0, frame.length)) return false;
  if (ethernetType(frame, 0) === ETHERTYPE_IPV4 && checkIpv4(frame, 14, frame.length)) {
    const source = ipv4Source(frame, 14), isUdp = ipv4Protocol(frame, 14) === PROTOCOL_UDP;
    // Who asks by DHCP may have the address of another network still, or none.
    if (isUdp && udpDestinationPort(frame, 14 + ipv4HeaderLength(frame, 14)) === DHCP_SERVER_PORT) return false;
    return source >>> 8 !== 0x0a0002 || [0, 2, 3, 255].includes(source & 255);
  }
  if (ethernetType(frame, 0) !== ETHERTYPE_IPV6 || !checkIpv6(frame, 14, frame.length)) return false;
  const { w0, w1, w2, w3 } = ipv6Source(frame, 14), { protocol, transport, fragment } = walk(frame);
  if (ipv6Destination(frame, 14).isIpv4) return true;
  const type = protocol === PROTOCOL_ICMPV6 && fragment < 0 ? frame[transport]! : -1;
  if ((w0 | w1 | w2 | w3) === 0) return !isNdpType(type) && !isMldType(type);
  if (w1 !== 0 || (w0 !== 0xfd000000 && w0 !== 0xfe800000)) return true;
  return w2 === 0 && (w3 === 0 || w3 === 2 || (w3 === 3 && w0 === 0xfd000000));
}
