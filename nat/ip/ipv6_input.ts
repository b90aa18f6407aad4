/**
 * IPv6 packets of a guest, checked and handed on (RFC 8200, RFC 4443, RFC 8504).
 *
 * `take` goes down the layers, a check at each: the fixed header, the addresses, the chain of extension headers, the
 * hop limit, then TCP, UDP or ICMPv6. A packet that fails a check increments one counter and is dropped; nothing
 * throws. What passes is a `Packet`, as from `ipv4_input.ts`. Fragments of UDP and ICMPv6 wait in `reassembly.ts`.
 *
 * **Addresses.** A packet from or to an IPv4-mapped address is refused before anything else (RFC 4942 section 2.2): no
 * later look at an address has to think of it. From the unspecified address come neighbour discovery and multicast
 * listener discovery alone, of a guest that has no address yet.
 *
 * **Extension headers** are followed by `walkIpv6`, which says what is answered: options and headers that are not
 * known, a routing header that wants to lead on (RFC 5095), a first fragment without all headers (RFC 7112).
 *
 * What is for the gateway alone is answered from here: neighbour discovery and DHCPv6 (`Ipv6Services`), ICMPv6 errors,
 * and echo requests to its own addresses and to the groups of all nodes and routers of the link (RFC 4443 section 4.2).
 * Redirects and router advertisements are not believed: the gateway is the router. Reports of multicast groups are read
 * and counted; there is no router that would pass multicast on.
 *
 * **Errors to the guest** are rationed (RFC 4443 section 2.4 f), and none is about an error, about a packet from nobody
 * or a group or, but for what the RFC excepts, to a group.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { ETHERNET_HEADER_LENGTH } from "../../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { DHCPV6_SERVER_PORT } from "../../net/wire/dhcpv6.ts";
import {
  checkIcmpv6,
  encodeIcmpv6Error,
  ICMPV6_ADMIN_PROHIBITED,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_HOP_LIMIT_EXCEEDED,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_REASSEMBLY_EXCEEDED,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  icmpv6ChecksumValid,
  type Icmpv6Error,
  icmpv6Identifier,
  icmpv6IsError,
  icmpv6SetIdentifier,
  icmpv6Type,
} from "../../net/wire/icmpv6.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import {
  checkIpv6,
  IPV6_HEADER_LENGTH,
  ipv6AddressSum,
  ipv6HopLimit,
  ipv6PayloadLength,
  ipv6Source,
  PROTOCOL_ICMPV6,
} from "../../net/wire/ipv6.ts";
import {
  ICMPV6_UNKNOWN_NEXT_HEADER,
  IPV6_CHAIN_OK,
  IPV6_CHAIN_PROBLEM,
  IPV6_FRAGMENT_HEADER_LENGTH,
  Ipv6Chain,
  ipv6FragmentIdentification,
  ipv6FragmentNextHeader,
  ipv6FragmentOffset,
  ipv6MoreFragments,
  PROTOCOL_FRAGMENT,
  PROTOCOL_NO_NEXT_HEADER,
  walkIpv6,
} from "../../net/wire/ipv6_extensions.ts";
import { checkMld, isMldType, mldFitsHeader } from "../../net/wire/mld.ts";
import {
  ALL_NODES,
  ALL_ROUTERS,
  checkNdp,
  isNdpType,
  NDP_HOP_LIMIT,
  NDP_REDIRECT,
  NDP_ROUTER_ADVERTISEMENT,
  ndpFitsHeader,
} from "../../net/wire/ndp.ts";
import { type DropReason, isProhibition } from "../base/counters.ts";
import { TokenBucket } from "../base/token_bucket.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import { isGroupAddress, isOnLink, LINK_LOCAL, ROUTER_LINK_LOCAL, type Segment } from "../rules/segment.ts";
import { answeredAddresses, type TranslationRules } from "../rules/translate.ts";
import { echoReply6 } from "../service/echo.ts";
import type { ErrorSource, SentPackets } from "./icmp_error.ts";
import { takeIcmpv6Error } from "./icmpv6_error.ts";
import { Ends, type IpSender } from "./ip_sender.ts";
import { Packet } from "./packet.ts";
import { Fragment, type Reassembly, type ReassemblyContext, type ReassemblyUser } from "./reassembly.ts";
import { flawOfTcp, flawOfUdp } from "./transport_checks.ts";

/** ICMPv6 errors that a guest is sent in a second, and at once: enough for a traceroute of 30 hops. */
export const ERROR_RATE = { perSecond: 100, burst: 100 };

/** The fewest bytes of a fragment that others follow: what IPv4 has behind its header. */
const LEAST_FRAGMENT = 48;

/** What the gateway answers on the guest's link by itself. */
export interface Ipv6Services {
  /**
   * Takes a solicitation or neighbour advertisement: lengths, hop limit, checksum and source have been looked at.
   * Returns why it has no effect, or null.
   */
  neighbourMessage(packet: Packet): DropReason | null;
  /** Takes a message of multicast listener discovery that was checked. */
  listenerMessage(packet: Packet): void;
  /** Takes a message to a DHCPv6 server, a datagram that was checked. Returns why it has no answer, or null. */
  dhcpMessage(packet: Packet): DropReason | null;
}

/** What the input needs of the gateway. */
export interface Ipv6InputContext extends ReassemblyContext, SentPackets {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** A large buffer for packets that are put together; used within one call. */
  readonly scratch: Uint8Array;
}

/** Whose packets they are. */
export interface Ipv6InputGuest extends ErrorSource {
  /** IPv6 packets to it. */
  readonly ipv6: IpSender;
  /** Whether it may speak from the address in this key. */
  speaksFrom(key: FlowKey): boolean;
  /** It speaks without an address: it asks whether it may have one. */
  speaksWithoutAddress(): void;
  /** A TCP segment, a UDP datagram, or an echo request that is not for the gateway. */
  packetArrived(packet: Packet): void;
}

/** The IPv6 packets of one guest. */
export class Ipv6Input implements ReassemblyUser {
  #context: Ipv6InputContext;
  #guest: Ipv6InputGuest;
  #segment: Segment;
  /** The addresses at which the gateway is asked itself. */
  #own: readonly IpAddress[];
  #services: Ipv6Services;
  #reassembly: Reassembly;
  #errors: TokenBucket;
  #packet = new Packet();
  #chain = new Ipv6Chain();
  #fragment = Object.assign(new Fragment(), { least: LEAST_FRAGMENT });

  /** For the packets of `guest` on `segment`. */
  constructor(
    context: Ipv6InputContext,
    guest: Ipv6InputGuest,
    parts: { segment: Segment; services: Ipv6Services; reassembly: Reassembly },
  ) {
    this.#context = context;
    this.#guest = guest;
    this.#segment = parts.segment;
    this.#own = [...answeredAddresses(context.rules, parts.segment), ROUTER_LINK_LOCAL];
    this.#services = parts.services;
    this.#reassembly = parts.reassembly;
    this.#errors = new TokenBucket(ERROR_RATE, context.now());
  }

  /** Takes the packet at `ip` of a frame. */
  take(frame: Frame, ip: number): void {
    const bytes = frame.bytes;
    if (!checkIpv6(bytes, ip, frame.end)) return this.#drop("ipv6Malformed");
    const packet = this.#packet, chain = this.#chain, end = ip + IPV6_HEADER_LENGTH + ipv6PayloadLength(bytes, ip);
    const verdict = walkIpv6(bytes, ip, end, chain), isSound = verdict === IPV6_CHAIN_OK, { fragment } = chain;
    const protocol = isSound ? chain.protocol : 0;
    packet.bytes = bytes;
    packet.ip = ip;
    packet.transport = isSound ? chain.transport : end;
    packet.end = end;
    const key = packet.key.setIpv6(this.#guest.number, protocol, bytes, ip), isWhole = fragment < 0;
    if (key.isMapped) return this.#drop("ipv6Mapped");
    if (key.isFromNobody) {
      return isWhole && protocol === PROTOCOL_ICMPV6 ? this.#takeIcmp(packet) : this.#drop("spoofedAddress");
    }
    if (!this.#guest.speaksFrom(key)) return this.#drop("spoofedAddress");
    if (!isSound) return this.#refuseChain(packet, verdict === IPV6_CHAIN_PROBLEM);
    if (ipv6HopLimit(bytes, ip) <= 1 && this.#isBeyond(key)) return this.#expire(packet);
    if (!isWhole) return this.#takeFragment(packet, fragment);
    if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
      this.#takeTransport(packet, protocol, frame.checksum === CHECKSUM_COMPLETE);
    } else if (protocol === PROTOCOL_ICMPV6) this.#takeIcmp(packet);
    else this.#refuseProtocol(packet, protocol);
  }

  /**
   * Drops a packet that is no segment, and tells the guest by ICMPv6 if a rule or the rate was the cause. Multicast
   * stays unanswered.
   */
  refuse(reason: DropReason, packet: Packet): void {
    this.#drop(reason);
    if (!isProhibition(reason)) return;
    this.#answer({ type: ICMPV6_UNREACHABLE, code: ICMPV6_ADMIN_PROHIBITED }, packet);
  }

  /**
   * Sends an ICMPv6 error about `about`, an IPv6 packet of the guest or its beginning, from `source` or the gateway; to
   * a link-local address from the router's own.
   */
  sendIcmpError(error: Icmpv6Error, about: Uint8Array, source?: IpAddress): void {
    if (!this.#errors.take(this.#context.now())) return;
    const into = this.#context.scratch, at = SEGMENT_HEADROOM, to = ipv6Source(about, 0);
    const ends = new Ends(source ?? this.#ownAddressFor(to), to);
    const original = { bytes: about, start: 0, end: about.length };
    const length = encodeIcmpv6Error(into, at, error, original, ends.addressSum);
    this.#guest.ipv6.packet(into, at, at + length, PROTOCOL_ICMPV6, ends);
  }

  /** For reassembly. */
  datagramWhole(frame: Frame): void {
    this.take(frame, frame.start + ETHERNET_HEADER_LENGTH);
  }

  /** For reassembly. */
  datagramExpired(packet: Uint8Array): void {
    this.sendIcmpError({ type: ICMPV6_TIME_EXCEEDED, code: ICMPV6_REASSEMBLY_EXCEEDED }, packet);
  }

  #takeFragment({ bytes, transport, end, key }: Packet, at: number): void {
    const fragment = this.#fragment,
      protocol = ipv6FragmentNextHeader(bytes, at),
      offset = ipv6FragmentOffset(bytes, at);
    if (protocol === PROTOCOL_TCP) return this.#drop("ipv6Fragment");
    // Neighbour discovery never comes in fragments.
    const isNeighbour = offset === 0 && key.protocol === PROTOCOL_ICMPV6 && isNdpType(icmpv6Type(bytes, transport));
    if (isNeighbour) return this.#drop("ndpMalformed");
    fragment.bytes = bytes;
    fragment.start = at + IPV6_FRAGMENT_HEADER_LENGTH;
    fragment.end = end;
    fragment.offset = offset;
    fragment.more = ipv6MoreFragments(bytes, at);
    fragment.identification = ipv6FragmentIdentification(bytes, at);
    fragment.protocol = protocol;
    // Fragments of one packet may say different protocols, and the first is right (RFC 8200 section 4.5).
    key.setProtocol(PROTOCOL_FRAGMENT);
    const refusal = this.#reassembly.take(this, key, fragment);
    if (refusal !== null) this.#drop(refusal);
  }

  #takeTransport(packet: Packet, protocol: number, check: boolean): void {
    const addressSum = check ? ipv6AddressSum(packet.bytes, packet.ip) : 0;
    const flaw = protocol === PROTOCOL_TCP
      ? flawOfTcp(packet, addressSum, check)
      : flawOfUdp(packet, addressSum, check);
    if (flaw !== null) return this.#drop(flaw);
    if (protocol === PROTOCOL_UDP && packet.key.remotePort === DHCPV6_SERVER_PORT && this.#isNear(packet.key)) {
      return this.#done(this.#services.dhcpMessage(packet));
    }
    this.#guest.packetArrived(packet);
  }

  #takeIcmp(packet: Packet): void {
    const { bytes, ip, transport, end, key } = packet;
    if (!checkIcmpv6(bytes, transport, end)) return this.#drop("icmpMalformed");
    if (!icmpv6ChecksumValid(bytes, transport, end, ipv6AddressSum(bytes, ip))) return this.#drop("icmpChecksum");
    const type = icmpv6Type(bytes, transport);
    if (isNdpType(type)) return this.#takeNeighbour(packet, type);
    if (isMldType(type)) return this.#takeListener(packet);
    if (key.isFromNobody) return this.#drop("spoofedAddress");
    if (type === ICMPV6_ECHO_REQUEST) return this.#takeEcho(packet);
    if (!icmpv6IsError(bytes, transport)) return this.#drop("icmpNotRelayed");
    this.#done(takeIcmpv6Error(this.#context, this.#guest, bytes, transport, end));
  }

  #takeNeighbour(packet: Packet, type: number): void {
    const { bytes, ip, transport, end, key } = packet;
    if (type === NDP_ROUTER_ADVERTISEMENT || type === NDP_REDIRECT) return this.#drop("ndpNotBelieved");
    if (ipv6HopLimit(bytes, ip) !== NDP_HOP_LIMIT) return this.#drop("ndpHopLimit");
    // It never comes behind a fragment header (RFC 6980 section 5).
    const isWhole = !this.#chain.hasFragmentHeader;
    if (!isWhole || !checkNdp(bytes, transport, end) || !ndpFitsHeader(bytes, ip, transport, end)) {
      return this.#drop("ndpMalformed");
    }
    if (key.isFromNobody) this.#guest.speaksWithoutAddress();
    this.#done(this.#services.neighbourMessage(packet));
  }

  #takeListener(packet: Packet): void {
    const { bytes, ip, transport, end, key } = packet;
    if (!checkMld(bytes, transport, end) || !mldFitsHeader(bytes, ip)) return this.#drop("mldMalformed");
    if (key.isFromNobody) this.#guest.speaksWithoutAddress();
    this.#services.listenerMessage(packet);
    this.#drop("mldReport");
  }

  #takeEcho(packet: Packet): void {
    const { bytes, transport, end, key } = packet, reply = this.#context.scratch, at = SEGMENT_HEADROOM;
    const isAll = key.isTo(ALL_NODES) || key.isTo(ALL_ROUTERS);
    const length = isAll || this.#isOwn(key) ? echoReply6(bytes, transport, end, reply, at) : 0;
    if (length > 0) {
      const to = key.guestAddress, ends = new Ends(isAll ? this.#ownAddressFor(to) : key.remoteAddress, to);
      // The request's checksum counts the group, which is not among the addresses of the reply.
      if (isAll) icmpv6SetIdentifier(reply, at, at + length, icmpv6Identifier(reply, at), ends.addressSum);
      return this.#guest.ipv6.packet(reply, at, at + length, PROTOCOL_ICMPV6, ends);
    }
    packet.payload = transport;
    key.setPorts(icmpv6Identifier(bytes, transport), 0);
    this.#guest.packetArrived(packet);
  }

  /** A chain of extension headers that is not followed to its end. */
  #refuseChain(packet: Packet, isAnswered: boolean): void {
    const { code, pointer, fragment, answersGroup } = this.#chain;
    this.#drop(fragment >= 0 ? "fragmentMalformed" : "ipv6ExtensionRefused");
    if (isAnswered) this.#answer({ type: ICMPV6_PARAMETER_PROBLEM, code, pointer }, packet, answersGroup);
  }

  #refuseProtocol(packet: Packet, protocol: number): void {
    this.#drop("protocolNotRelayed");
    if (protocol === PROTOCOL_NO_NEXT_HEADER) return;
    const { pointer } = this.#chain;
    this.#answer({ type: ICMPV6_PARAMETER_PROBLEM, code: ICMPV6_UNKNOWN_NEXT_HEADER, pointer }, packet);
  }

  /** The gateway is the hop at which the packet's hop limit ends (RFC 8200 section 3). */
  #expire(packet: Packet): void {
    this.#drop("ttlExceeded");
    const { fragment } = this.#chain;
    if (fragment >= 0 && ipv6FragmentOffset(packet.bytes, fragment) > 0) return;
    this.#answer({ type: ICMPV6_TIME_EXCEEDED, code: ICMPV6_HOP_LIMIT_EXCEEDED }, packet);
  }

  /** Sends an error about a packet, if it may be told of one (RFC 4443 section 2.4 e). */
  #answer(error: Icmpv6Error, { bytes, ip, end, key, transport }: Packet, answersGroup: boolean = false): void {
    if (isGroup(key) && !answersGroup) return;
    if (key.protocol === PROTOCOL_ICMPV6 && transport < end && icmpv6IsError(bytes, transport)) return;
    this.sendIcmpError(error, bytes.subarray(ip, end));
  }

  /** Whether packets to where this key leads are routed, so that a hop is taken from them. */
  #isBeyond({ remoteAddress }: FlowKey): boolean {
    const { rules } = this.#context;
    return !isGroupAddress(rules, remoteAddress) && !isOnLink(rules, remoteAddress);
  }

  /** From which address the gateway speaks by itself to `to`. */
  #ownAddressFor(to: IpAddress): IpAddress {
    return LINK_LOCAL.contains(to) ? ROUTER_LINK_LOCAL : this.#segment.gateway;
  }

  /** Whether the gateway itself is asked. */
  #isOwn(key: FlowKey): boolean {
    return this.#own.some((address) => key.isTo(address));
  }

  #isNear(key: FlowKey): boolean {
    return isGroup(key) || this.#isOwn(key);
  }

  #done(refusal: DropReason | null): void {
    if (refusal !== null) this.#drop(refusal);
  }

  #drop(reason: DropReason): void {
    this.#context.counters[reason]++;
  }
}

function isGroup({ words }: FlowKey): boolean {
  return words[6]! >>> 24 === 0xff;
}
