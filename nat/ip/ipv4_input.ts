/**
 * IPv4 packets of a guest, checked and handed on (RFC 791, RFC 1122 section 3.2).
 *
 * `take` goes down the layers, a check at each: the header, the source, the time to live, then TCP, UDP or ICMP. A
 * packet that fails a check increments one counter and is dropped; nothing throws. What passes is a `Packet`. Fragments
 * of UDP and ICMP wait in `reassembly.ts` until their datagram is whole; those of TCP, which nobody sends, are
 * dropped.
 *
 * What is for the gateway alone is answered from here: DHCP, echo requests to its own addresses, ICMP errors. A packet
 * to beyond the subnet whose time to live ends is answered too, so that traceroute shows the gateway.
 *
 * @module
 */
import { formatIpv4, formatMac, IpAddress } from "../../net/wire/address.ts";
import { ipv4AddressSum } from "../../net/wire/checksum.ts";
import { ETHERNET_HEADER_LENGTH } from "../../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { DHCP_SERVER_PORT } from "../../net/wire/dhcpv4.ts";
import {
  checkIcmpv4,
  encodeIcmpv4Error,
  ICMP_ADMIN_PROHIBITED,
  ICMP_ECHO_REQUEST,
  ICMP_PARAMETER_PROBLEM,
  ICMP_REASSEMBLY_EXCEEDED,
  ICMP_TIME_EXCEEDED,
  ICMP_TTL_EXCEEDED,
  ICMP_UNREACHABLE,
  icmpv4ChecksumValid,
  type Icmpv4Error,
  icmpv4Identifier,
  icmpv4Type,
} from "../../net/wire/icmpv4.ts";
import {
  checkIpv4,
  ipv4Destination,
  ipv4FragmentOffset,
  ipv4HeaderLength,
  ipv4HeaderValid,
  ipv4Identification,
  ipv4IsFragment,
  ipv4MoreFragments,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  ipv4Ttl,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { checkUdp, UDP_HEADER_LENGTH, udpDestinationPort, udpLength } from "../../net/wire/udp.ts";
import { type DropReason, isProhibition } from "../base/counters.ts";
import { isGroupAddress, isOnLink, type Segment } from "../rules/segment.ts";
import type { TranslationRules } from "../rules/translate.ts";
import type { Events } from "../flow/events.ts";
import type { Services } from "../service/services.ts";
import { type ErrorSource, type SentPackets, takeIcmpError } from "./icmp_error.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import { Ends, type IpSender } from "./ip_sender.ts";
import { Fragment, type Reassembly, type ReassemblyContext, type ReassemblyUser } from "./reassembly.ts";
import { Packet } from "./packet.ts";
import { flawOfTcp, flawOfUdp } from "./transport_checks.ts";

/** Bytes of a packet that every router passes on whole (RFC 791 section 3.2). */
const LEAST_PACKET = 68;

/** What the input needs of the gateway. */
export interface Ipv4InputContext extends ReassemblyContext, SentPackets {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** A large buffer for packets that are put together; used within one call. */
  readonly scratch: Uint8Array;
  /** Who is told of what happens. */
  readonly events: Events;
}

/** Whose packets they are. */
export interface Ipv4InputGuest extends ErrorSource {
  /** IPv4 packets to it. */
  readonly ipv4: IpSender;
  /** Its MAC address. */
  readonly mac: number;
  /** Whether it may speak from the address in this key. */
  speaksFrom(key: FlowKey): boolean;
  /** It speaks without an address: it asks for one. */
  speaksWithoutAddress(): void;
  /** A TCP segment, a UDP datagram, or an echo request that is not for the gateway. */
  packetArrived(packet: Packet): void;
}

/** The IPv4 packets of one guest. */
export class Ipv4Input implements ReassemblyUser {
  #context: Ipv4InputContext;
  #guest: Ipv4InputGuest;
  #services: Services;
  #gateway: IpAddress;
  #reassembly: Reassembly;
  #packet = new Packet();
  #fragment = new Fragment();

  /** For the packets of `guest` on `segment`, where `services` answer. */
  constructor(
    context: Ipv4InputContext,
    guest: Ipv4InputGuest,
    parts: { segment: Segment; services: Services; reassembly: Reassembly },
  ) {
    this.#context = context;
    this.#guest = guest;
    this.#gateway = parts.segment.gateway;
    this.#services = parts.services;
    this.#reassembly = parts.reassembly;
  }

  /** Takes the packet at `ip` of a frame. */
  take(frame: Frame, ip: number): void {
    const bytes = frame.bytes;
    if (!checkIpv4(bytes, ip, frame.end)) return this.#drop("ipv4Malformed");
    if (!ipv4HeaderValid(bytes, ip)) return this.#drop("ipv4Checksum");
    const packet = this.#packet, protocol = ipv4Protocol(bytes, ip), destination = ipv4Destination(bytes, ip);
    packet.bytes = bytes;
    packet.ip = ip;
    packet.transport = ip + ipv4HeaderLength(bytes, ip);
    packet.end = ip + ipv4TotalLength(bytes, ip);
    packet.key.setIpv4(this.#guest.number, protocol, ipv4Source(bytes, ip), 0, destination, 0);
    if (ipv4IsFragment(bytes, ip)) return this.#takeFragment(packet, protocol);
    if (protocol === PROTOCOL_UDP && isDhcp(packet)) return this.#takeDhcp(packet);
    if (!this.#guest.speaksFrom(packet.key)) return this.#drop("spoofedAddress");
    if (ipv4Ttl(bytes, ip) <= 1 && this.#isBeyond(destination)) return this.#expire(packet);
    if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
      this.#takeTransport(packet, protocol, frame.checksum === CHECKSUM_COMPLETE);
    } else if (protocol === PROTOCOL_ICMP) this.#takeIcmp(packet);
    else this.#drop("protocolNotRelayed");
  }

  /**
   * Drops a packet that is no segment, and tells the guest by ICMP if a rule or the rate was the cause (RFC 1812
   * section 5.2.7.1). Multicast and broadcast stay unanswered (RFC 1122 section 3.2.2).
   */
  refuse(reason: DropReason, packet: Packet): void {
    this.#drop(reason);
    if (
      !isProhibition(reason) ||
      isGroupAddress(this.#context.rules, IpAddress.fromIpv4(ipv4Destination(packet.bytes, packet.ip)))
    ) {
      return;
    }
    this.#answer({ type: ICMP_UNREACHABLE, code: ICMP_ADMIN_PROHIBITED }, packet);
  }

  /** Sends an ICMP error about `about`, an IPv4 packet of the guest or its beginning, from `source` or the gateway. */
  sendIcmpError(error: Icmpv4Error, about: Uint8Array, source: IpAddress = this.#gateway): void {
    const into = this.#context.scratch, at = SEGMENT_HEADROOM;
    const length = encodeIcmpv4Error(into, at, error, { bytes: about, start: 0, end: about.length });
    const ends = new Ends(source, IpAddress.fromIpv4(ipv4Source(about, 0)));
    this.#guest.ipv4.packet(into, at, at + length, PROTOCOL_ICMP, ends);
  }

  /** For reassembly. */
  datagramWhole(frame: Frame): void {
    this.take(frame, frame.start + ETHERNET_HEADER_LENGTH);
  }

  /** For reassembly. */
  datagramExpired(packet: Uint8Array): void {
    this.sendIcmpError({ type: ICMP_TIME_EXCEEDED, code: ICMP_REASSEMBLY_EXCEEDED }, packet);
  }

  #takeFragment(packet: Packet, protocol: number): void {
    const { bytes, ip, end, key } = packet;
    if (!this.#guest.speaksFrom(key)) return this.#drop("spoofedAddress");
    if (protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_ICMP) return this.#drop("ipv4Fragment");
    if (ipv4Ttl(bytes, ip) <= 1 && this.#isBeyond(ipv4Destination(bytes, ip))) return this.#expire(packet);
    const fragment = this.#fragment, headerLength = ipv4HeaderLength(bytes, ip);
    fragment.bytes = bytes;
    fragment.start = ip + headerLength;
    fragment.end = end;
    fragment.offset = ipv4FragmentOffset(bytes, ip);
    fragment.more = ipv4MoreFragments(bytes, ip);
    fragment.least = (LEAST_PACKET - headerLength) & ~7;
    fragment.identification = ipv4Identification(bytes, ip);
    fragment.protocol = protocol;
    const refusal = this.#reassembly.take(this, key, fragment);
    if (refusal !== null) this.#drop(refusal);
  }

  #takeTransport(packet: Packet, protocol: number, check: boolean): void {
    const { bytes, ip } = packet;
    const addressSum = check ? ipv4AddressSum(ipv4Source(bytes, ip), ipv4Destination(bytes, ip)) : 0;
    const flaw = protocol === PROTOCOL_TCP
      ? flawOfTcp(packet, addressSum, check)
      : flawOfUdp(packet, addressSum, check);
    if (flaw !== null) return this.#drop(flaw);
    this.#guest.packetArrived(packet);
  }

  #takeIcmp(packet: Packet): void {
    const { bytes, transport, end } = packet;
    if (!checkIcmpv4(bytes, transport, end)) return this.#drop("icmpMalformed");
    if (!icmpv4ChecksumValid(bytes, transport, end)) return this.#drop("icmpChecksum");
    switch (icmpv4Type(bytes, transport)) {
      case ICMP_ECHO_REQUEST:
        return this.#takeEcho(packet);
      case ICMP_UNREACHABLE:
      case ICMP_TIME_EXCEEDED:
      case ICMP_PARAMETER_PROBLEM: {
        const refusal = takeIcmpError(this.#context, this.#guest, bytes, transport, end);
        return refusal === null ? undefined : this.#drop(refusal);
      }
      default:
        this.#drop("icmpNotRelayed");
    }
  }

  #takeEcho(packet: Packet): void {
    const { bytes, ip, transport, end, key } = packet, destination = ipv4Destination(bytes, ip);
    const reply = this.#context.scratch, at = SEGMENT_HEADROOM;
    const length = this.#services.echo(destination, bytes, transport, end, reply, at);
    if (length > 0) {
      const ends = new Ends(key.remoteAddress, key.guestAddress);
      return this.#guest.ipv4.packet(reply, at, at + length, PROTOCOL_ICMP, ends);
    }
    packet.payload = transport;
    key.setPorts(icmpv4Identifier(bytes, transport), 0);
    this.#guest.packetArrived(packet);
  }

  #takeDhcp({ bytes, transport }: Packet): void {
    const guest = this.#guest, at = SEGMENT_HEADROOM + UDP_HEADER_LENGTH, reply = this.#context.scratch;
    guest.speaksWithoutAddress();
    const start = transport + UDP_HEADER_LENGTH, last = transport + udpLength(bytes, transport);
    const answer = this.#services.dhcp(bytes, start, last, { senderMac: guest.mac, into: reply, at });
    if (typeof answer === "string") return this.#drop(answer);
    const { lease, destination: { mac, address, port } } = answer;
    if (lease !== 0) {
      const fields = { guestNumber: guest.number, address: formatIpv4(lease), mac: formatMac(mac) };
      this.#context.events.emit("leaseGiven", () => ({ type: "leaseGiven", ...fields }));
    }
    const ends = new Ends(this.#gateway, IpAddress.fromIpv4(address));
    guest.ipv4.udpTo(mac, reply, at, at + answer.length, { fromPort: DHCP_SERVER_PORT, toPort: port, ends });
  }

  /** Whether packets to `destination` are routed, so that a hop is taken from them. */
  #isBeyond(destination: number): boolean {
    const { rules } = this.#context, address = IpAddress.fromIpv4(destination);
    return !isGroupAddress(rules, address) && !isOnLink(rules, address);
  }

  /**
   * The gateway is the hop at which the packet's time to live ends (RFC 1812 section 5.3.1). Of one in fragments the
   * first tells of it (RFC 1122 section 3.2.2).
   */
  #expire(packet: Packet): void {
    this.#drop("ttlExceeded");
    if (ipv4FragmentOffset(packet.bytes, packet.ip) > 0) return;
    this.#answer({ type: ICMP_TIME_EXCEEDED, code: ICMP_TTL_EXCEEDED }, packet);
  }

  #answer(error: Icmpv4Error, { bytes, ip, end }: Packet): void {
    this.sendIcmpError(error, bytes.subarray(ip, end));
  }

  #drop(reason: DropReason): void {
    this.#context.counters[reason]++;
  }
}

function isDhcp({ bytes, transport, end }: Packet): boolean {
  return checkUdp(bytes, transport, end) && udpDestinationPort(bytes, transport) === DHCP_SERVER_PORT;
}
