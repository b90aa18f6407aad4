/**
 * What a gateway sends to a guest, looked at frame by frame: whole packets of either family, for this guest, with right
 * lengths, checksums and hop limits.
 *
 * Packets that come in fragments are put together here, by a few lines that share nothing with the program's, so that
 * their transport checksum is looked at too.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ROUTER_LINK_LOCAL } from "../../nat/rules/segment.ts";
import { IpAddress, isGroupMac } from "../../net/wire/address.ts";
import { ARP_REQUEST, decodeArp } from "../../net/wire/arp.ts";
import { addressSum } from "../../net/wire/checksum.ts";
import { checkDhcpv4, DHCP_SERVER_PORT } from "../../net/wire/dhcpv4.ts";
import { checkDhcpv6, DHCPV6_SERVER_PORT } from "../../net/wire/dhcpv6.ts";
import {
  decodeEthernet,
  ethernetDestination,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ipv6MulticastMac,
} from "../../net/wire/ethernet.ts";
import { CHECKSUM_PARTIAL, type Frame } from "../../net/wire/frame.ts";
import { icmpv4ChecksumValid } from "../../net/wire/icmpv4.ts";
import { ICMPV6_HEADER_LENGTH, icmpv6ChecksumValid, icmpv6IsError, icmpv6Type } from "../../net/wire/icmpv6.ts";
import {
  decodeIpv4,
  ipv4HeaderValid,
  ipv4Protocol,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { decodeIpv6, IPV6_HEADER_LENGTH, IPV6_MINIMUM_MTU, PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import {
  IPV6_CHAIN_OK,
  Ipv6Chain,
  ipv6FragmentIdentification,
  ipv6FragmentOffset,
  ipv6MoreFragments,
  PROTOCOL_FRAGMENT,
  walkIpv6,
} from "../../net/wire/ipv6_extensions.ts";
import { checkNdp, isNdpType, NDP_NEIGHBOUR_SOLICITATION, ndpFitsHeader, ndpTarget } from "../../net/wire/ndp.ts";
import { tcpChecksumValid } from "../../net/wire/tcp.ts";
import { decodeUdp, UDP_HEADER_LENGTH, udpChecksum, udpChecksumValid, udpSourcePort } from "../../net/wire/udp.ts";

/** The hop limit of everything that is not of the link alone. */
const HOP_LIMIT = 64;
/** Packets in fragments of which the rest may still come. */
const MOST_INCOMPLETE = 64;

/** For whom the frames are. */
export interface FrameReceiver {
  /** The MTU of its link. */
  readonly mtu: number;
  /** Its MAC address. */
  mac(): number;
  /** The TCP segment at `bytes[tcp, end)` has come. */
  segment(bytes: Uint8Array, tcp: number, end: number): void;
}

/** What stands behind the IP header: `bytes[start, end)`, between addresses. */
interface Payload {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** Whether the link makes the checksum. */
  readonly isPartial: boolean;
}

/** A piece of a packet. */
interface Piece {
  readonly offset: number;
  readonly more: boolean;
  readonly bytes: Uint8Array;
}

/** Looks at every frame that a guest is sent. */
export class SentFrames {
  /** The addresses that were asked for, by ARP or a solicitation, and whose answer nobody has taken note of. */
  readonly asked = new Set<string>();
  /** How many there were. */
  count = 0;
  readonly #to: FrameReceiver;
  readonly #pieces = new Map<string, Piece[]>();

  /** None yet. */
  constructor(to: FrameReceiver) {
    this.#to = to;
  }

  /** Takes a frame. Throws an `AssertionError` if it is none that a guest may be sent. */
  take(frame: Frame): void {
    this.count++;
    const { bytes, start, end } = frame, ether = decodeEthernet(bytes, start, end), at = ether.payloadStart;
    const addressed = ether.destination === this.#to.mac() || isGroupMac(ether.destination);
    if (ether.type === ETHERTYPE_ARP) {
      assert(addressed, "a frame for somebody else");
      const { operation, targetIp } = decodeArp(bytes, at, end);
      if (operation === ARP_REQUEST) this.asked.add(`${IpAddress.fromIpv4(targetIp)}`);
    } else if (ether.type === ETHERTYPE_IPV6) {
      assert(addressed, "a packet for somebody else");
      this.#packet6(frame, at);
    } else {
      assertEquals(ether.type, ETHERTYPE_IPV4);
      // A DHCP client says itself which card it asks for (RFC 2131 section 4.1).
      const dhcp = ipv4Protocol(bytes, at) === PROTOCOL_UDP && udpSourcePort(bytes, at + 20) === DHCP_SERVER_PORT;
      assert(addressed || dhcp, "a packet for somebody else");
      this.#packet4(frame, at);
    }
  }

  #packet4({ bytes, end, checksum, segmentSize }: Frame, at: number): void {
    const packet = decodeIpv4(bytes, at, end), { payloadStart, payloadEnd, protocol, moreFragments } = packet;
    assert(ipv4HeaderValid(bytes, at), "a wrong IPv4 checksum");
    assertEquals(payloadEnd, end, "bytes behind the packet");
    assert(end - at <= this.#to.mtu || segmentSize > 0, `a packet of ${end - at} bytes`);
    assert(packet.ttl > 0, "a packet without time to live");
    const source = IpAddress.fromIpv4(packet.source), destination = IpAddress.fromIpv4(packet.destination);
    const isGroup4 = packet.source >>> 28 === 0xe || packet.source === 0xffffffff;
    assert(!source.isUnspecified && !isGroup4, `a packet from ${source}`);
    const payload = { bytes, start: payloadStart, end, source, destination, isPartial: checksum === CHECKSUM_PARTIAL };
    if (!moreFragments && packet.fragmentOffset === 0) return this.#transport(protocol, payload);
    this.#piece(protocol, payload, packet.identification, packet.fragmentOffset, moreFragments);
  }

  #packet6({ bytes, start, end, checksum, segmentSize }: Frame, at: number): void {
    const packet = decodeIpv6(bytes, at, end), chain = new Ipv6Chain(), { source, destination } = packet;
    assertEquals(packet.payloadEnd, end, "bytes behind the packet");
    assert(end - at <= this.#to.mtu || segmentSize > 0, `a packet of ${end - at} bytes`);
    assert(!isGroup(source) && !source.isUnspecified && source.isIpv4 === false, `a packet from ${source}`);
    assert(!destination.isUnspecified && destination.isIpv4 === false, `a packet to ${destination}`);
    const mac = ethernetDestination(bytes, start);
    assertEquals(isGroupMac(mac), isGroup(destination), "a group's address and another MAC address");
    if (isGroup(destination)) assertEquals(mac, ipv6MulticastMac(destination.w3), "another group's MAC address");
    assertEquals(walkIpv6(bytes, at, end, chain), IPV6_CHAIN_OK, "headers that nobody follows");
    const { protocol, transport, fragment } = chain, isPartial = checksum === CHECKSUM_PARTIAL;
    const isLink = fragment < 0 && protocol === PROTOCOL_ICMPV6 && isNdpType(icmpv6Type(bytes, transport));
    assert(isLink || !isGroup(destination), `a packet to ${destination}`);
    if (!isLink) assertEquals(packet.hopLimit, HOP_LIMIT, "a hop limit");
    const payload = { bytes, start: transport, end, source, destination, isPartial };
    if (isLink) this.#neighbour(payload, at);
    if (fragment < 0) return this.#transport(protocol, payload);
    assertEquals(bytes[at + 6], PROTOCOL_FRAGMENT, "more than a fragment header");
    const offset = ipv6FragmentOffset(bytes, fragment), more = ipv6MoreFragments(bytes, fragment);
    assert(more || offset > 0, "a fragment that is whole");
    const behind = { ...payload, start: fragment + 8 };
    this.#piece(bytes[fragment]!, behind, ipv6FragmentIdentification(bytes, fragment), offset, more);
  }

  #neighbour({ bytes, start, end, source }: Payload, ip: number): void {
    assert(checkNdp(bytes, start, end) && ndpFitsHeader(bytes, ip, start, end), "a bad neighbour message");
    if (icmpv6Type(bytes, start) !== NDP_NEIGHBOUR_SOLICITATION) return;
    assert(source.equals(ROUTER_LINK_LOCAL), `a question from ${source}`);
    this.asked.add(`${ndpTarget(bytes, start)}`);
  }

  #piece(protocol: number, payload: Payload, identification: number, offset: number, more: boolean): void {
    const { bytes, start, end, source, destination } = payload;
    assert(end > start && (!more || (end - start) % 8 === 0), `a fragment of ${end - start} bytes`);
    const name = `${source} ${destination} ${protocol} ${identification}`, pieces = this.#pieces.get(name) ?? [];
    if (offset === 0) pieces.length = 0;
    // The gateway sends them in order; what is missing in front was not taken by the link.
    const reached = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
    if (reached !== offset) return void this.#pieces.delete(name);
    pieces.push({ offset, more, bytes: bytes.slice(start, end) });
    this.#pieces.delete(name);
    if (more) {
      this.#pieces.set(name, pieces);
      for (const oldest of this.#pieces.keys()) if (this.#pieces.size > MOST_INCOMPLETE) this.#pieces.delete(oldest);
      return;
    }
    const whole = new Uint8Array(reached + end - start);
    for (const piece of pieces) whole.set(piece.bytes, piece.offset);
    this.#transport(protocol, { ...payload, bytes: whole, start: 0, end: whole.length, isPartial: false });
  }

  #transport(protocol: number, payload: Payload): void {
    const { bytes, start, end, source, destination, isPartial } = payload, isIpv4 = source.isIpv4;
    const sum = addressSum(source) + addressSum(destination);
    if (protocol === PROTOCOL_TCP) {
      this.#to.segment(bytes, start, end);
      assert(isPartial || tcpChecksumValid(bytes, start, end, sum), "a wrong TCP checksum");
    } else if (protocol === PROTOCOL_UDP) {
      decodeUdp(bytes, start, end);
      assert(isPartial || udpChecksumValid(bytes, start, sum), "a wrong UDP checksum");
      assert(isIpv4 || isPartial || udpChecksum(bytes, start) !== 0, "a datagram without a checksum");
      const data = start + UDP_HEADER_LENGTH, port = udpSourcePort(bytes, start);
      if (isIpv4 && port === DHCP_SERVER_PORT) assert(checkDhcpv4(bytes, data, end) || end - data >= 300, "bad DHCP");
      if (!isIpv4 && port === DHCPV6_SERVER_PORT) assert(checkDhcpv6(bytes, data, end), "bad DHCPv6");
    } else if (isIpv4) {
      assertEquals(protocol, PROTOCOL_ICMP);
      assert(icmpv4ChecksumValid(bytes, start, end), "a wrong ICMP checksum");
    } else {
      assertEquals(protocol, PROTOCOL_ICMPV6);
      assert(icmpv6ChecksumValid(bytes, start, end, sum), "a wrong ICMPv6 checksum");
      if (!icmpv6IsError(bytes, start)) return;
      assert(end - start + 40 <= IPV6_MINIMUM_MTU, `an ICMPv6 error of ${end - start} bytes`);
      const quoted = start + ICMPV6_HEADER_LENGTH;
      assert(end - quoted >= IPV6_HEADER_LENGTH && bytes[quoted]! >>> 4 === 6, "an ICMPv6 error that quotes no packet");
      assertEquals(bytes.subarray(quoted + 8, quoted + 24), addressBytes(destination), "somebody else's packet");
    }
  }
}

function isGroup({ w0 }: IpAddress): boolean {
  return w0 >>> 24 === 0xff;
}

function addressBytes(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(16);
  address.writeTo(bytes, 0);
  return bytes;
}
