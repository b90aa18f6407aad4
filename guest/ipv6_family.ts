/**
 * An in-process guest over IPv6: one address beside the link-local one that its MAC address makes (RFC 4862 section
 * 5.3, RFC 2464 section 4), neighbour discovery (RFC 4861) both ways, ICMPv6 errors about datagrams.
 *
 * **Its addresses** are its own without asking, which RFC 4862 section 5.4 wants asked: there is one other station, a
 * gateway with addresses that are known. What goes to a link-local address comes from the link-local one, everything
 * else from the other.
 *
 * **Neighbour discovery.** Solicitations for its addresses are answered, also to a station that asks whether it may
 * have one of them. An advertisement counts if it is about the gateway and says where that is; one without the override
 * flag changes nothing that is known (RFC 4861 section 7.2.5). Advertisements and redirects of routers are not looked
 * at: everything goes to the gateway.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import {
  checkIcmpv6,
  encodeIcmpv6Error,
  ICMPV6_ADMIN_PROHIBITED,
  ICMPV6_PORT_UNREACHABLE,
  ICMPV6_UNREACHABLE,
  icmpv6ChecksumValid,
  icmpv6Code,
  icmpv6Quoted,
  icmpv6Type,
} from "../net/wire/icmpv6.ts";
import { PROTOCOL_UDP } from "../net/wire/ipv4.ts";
import {
  checkIpv6,
  IPV6_HEADER_LENGTH,
  ipv6AddressSum,
  ipv6Destination,
  ipv6NextHeader,
  ipv6PayloadLength,
  ipv6Source,
  PROTOCOL_ICMPV6,
} from "../net/wire/ipv6.ts";
import { IPV6_CHAIN_OK, Ipv6Chain, walkIpv6 } from "../net/wire/ipv6_extensions.ts";
import {
  ALL_NODES,
  checkNdp,
  isNdpType,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_NEIGHBOUR_SOLICITATION,
  ndpFitsHeader,
  ndpIsOverride,
  ndpMac,
  type NdpMessage,
  ndpTarget,
  solicitedNode,
} from "../net/wire/ndp.ts";
import { NDP_OPTION_TARGET_MAC } from "../net/wire/ndp_options.ts";
import { udpDestinationPort, udpSourcePort } from "../net/wire/udp.ts";
import type { FrameSender } from "../nat/ip/frame_sender.ts";
import { Ipv6Sender } from "../nat/ip/ipv6_sender.ts";
import type { Packet } from "../nat/ip/packet.ts";
import type { Ends } from "../nat/ip/ip_sender.ts";
import { LINK_LOCAL } from "../nat/rules/segment.ts";
import { writeNdpPacket } from "../nat/service/neighbour_replies.ts";
import { type DatagramFailure, type FamilyParts, StationFamily } from "./family.ts";

/** The IPv6 addresses of a station. */
export class Ipv6Family extends StationFamily {
  protected override readonly icmp = PROTOCOL_ICMPV6;
  protected override readonly headerLength = IPV6_HEADER_LENGTH;
  #sender: Ipv6Sender;
  #address: IpAddress;
  #linkLocal: IpAddress;
  #chain = new Ipv6Chain();

  /** A station that sends frames by `out`. */
  constructor(out: FrameSender, address: IpAddress, parts: FamilyParts) {
    const sender = new Ipv6Sender(out);
    super(sender, parts);
    this.#sender = sender;
    this.#address = address;
    this.#linkLocal = linkLocalOf(out.sourceMac);
  }

  /** Takes a packet. */
  override receive(frame: Frame, ip: number): void {
    const { bytes } = frame, { packet } = this, chain = this.#chain;
    if (!checkIpv6(bytes, ip, frame.end)) return;
    const end = ip + IPV6_HEADER_LENGTH + ipv6PayloadLength(bytes, ip);
    if (walkIpv6(bytes, ip, end, chain) !== IPV6_CHAIN_OK || chain.fragment >= 0) return;
    packet.bytes = bytes;
    packet.ip = ip;
    packet.transport = chain.transport;
    packet.end = end;
    const key = packet.key.setIpv6(0, chain.protocol, bytes, ip);
    // A mapped address is one of IPv4 to everybody behind this.
    if (key.isMapped || isGroupWord(key.words[2]!)) return;
    if (key.protocol === PROTOCOL_ICMPV6) return this.#receiveIcmp(packet);
    if (key.isFromNobody || !this.#isOwn(packet)) return;
    this.transportArrived(packet, ipv6AddressSum(bytes, ip), frame.checksum === CHECKSUM_COMPLETE);
  }

  /** Asks by a neighbour solicitation. */
  override request(target: IpAddress): void {
    const options = { sourceMac: this.#sender.out.sourceMac };
    this.#sendNdp({ type: NDP_NEIGHBOUR_SOLICITATION, target, options }, this.sourceTo(target), solicitedNode(target));
  }

  protected override sourceTo(remote: IpAddress): IpAddress {
    return LINK_LOCAL.contains(remote) ? this.#linkLocal : this.#address;
  }

  protected override encodePortUnreachable(packet: Packet, into: Uint8Array, at: number, ends: Ends): number {
    const error = { type: ICMPV6_UNREACHABLE, code: ICMPV6_PORT_UNREACHABLE }, { bytes, ip, end } = packet;
    return encodeIcmpv6Error(into, at, error, { bytes, start: ip, end }, ends.addressSum);
  }

  #receiveIcmp(packet: Packet): void {
    const { bytes, ip, transport: icmp, end } = packet;
    if (!checkIcmpv6(bytes, icmp, end) || !icmpv6ChecksumValid(bytes, icmp, end, ipv6AddressSum(bytes, ip))) return;
    const type = icmpv6Type(bytes, icmp);
    if (isNdpType(type)) return this.#receiveNdp(packet, type);
    if (type === ICMPV6_UNREACHABLE && this.#isOwn(packet)) this.#receiveUnreachable(packet);
  }

  #receiveNdp({ bytes, ip, transport: icmp, end, key }: Packet, type: number): void {
    // It never comes behind a fragment header (RFC 6980 section 5).
    if (this.#chain.hasFragmentHeader || !checkNdp(bytes, icmp, end) || !ndpFitsHeader(bytes, ip, icmp, end)) return;
    if (type === NDP_NEIGHBOUR_SOLICITATION) {
      const target = ndpTarget(bytes, icmp);
      if (this.#has(target)) this.#advertise(target, key.isFromNobody ? null : key.guestAddress);
    } else if (type === NDP_NEIGHBOUR_ADVERTISEMENT && ndpTarget(bytes, icmp).equals(this.gateway)) {
      const mac = ndpMac(bytes, icmp, end, NDP_OPTION_TARGET_MAC);
      if (mac >= 0 && ndpIsOverride(bytes, icmp)) this.parts.foundGateway(mac);
    }
  }

  /** Tells whoever asked, or everybody if that has no address yet. */
  #advertise(target: IpAddress, asker: IpAddress | null): void {
    const options = { targetMac: this.#sender.out.sourceMac }, solicited = asker !== null;
    const message = { type: NDP_NEIGHBOUR_ADVERTISEMENT, target, solicited, override: true, options } as const;
    this.#sendNdp(message, target, asker ?? ALL_NODES);
  }

  #receiveUnreachable({ bytes, transport: icmp, end }: Packet): void {
    const quote = icmpv6Quoted(bytes, icmp, end);
    // What this guest sends has no extension headers.
    if (quote < 0 || ipv6NextHeader(bytes, quote) !== PROTOCOL_UDP || !this.#has(ipv6Source(bytes, quote))) return;
    const udp = quote + IPV6_HEADER_LENGTH, code = icmpv6Code(bytes, icmp);
    this.parts.user.datagramFailed({
      fromPort: udpSourcePort(bytes, udp),
      to: ipv6Destination(bytes, quote),
      toPort: udpDestinationPort(bytes, udp),
      reason: reasonOf(code),
      code,
    });
  }

  #sendNdp(message: NdpMessage, source: IpAddress, destination: IpAddress): void {
    const into = this.parts.scratch, at = SEGMENT_HEADROOM;
    this.#sender.whole(into, at, at + writeNdpPacket(into, at, message, { source, destination }), destination);
  }

  #has(address: IpAddress): boolean {
    return address.equals(this.#address) || address.equals(this.#linkLocal);
  }

  #isOwn({ key }: Packet): boolean {
    return key.isTo(this.#address) || key.isTo(this.#linkLocal);
  }
}

/** The link-local address with the interface identifier of a MAC address. */
function linkLocalOf(mac: number): IpAddress {
  const high = Math.floor(mac / 0x1000000) ^ 0x20000, low = mac % 0x1000000;
  return new IpAddress(0xfe800000, 0, (high << 8) | 0xff, 0xfe000000 | low);
}

function isGroupWord(word0: number): boolean {
  return word0 >>> 24 === 0xff;
}

function reasonOf(code: number): DatagramFailure["reason"] {
  if (code === ICMPV6_PORT_UNREACHABLE) return "refused";
  return code === ICMPV6_ADMIN_PROHIBITED ? "prohibited" : "unreachable";
}
