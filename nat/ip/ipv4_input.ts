/**
 * IPv4 packets of a guest, checked and handed on (RFC 791, RFC 1122 section 3.2).
 *
 * `take` goes down the layers, a check at each: the header, the source, the time to live, then TCP, UDP or ICMP. A
 * packet that fails a check increments one counter and is dropped; nothing throws. What passes is a `Packet`. Fragments
 * of UDP and ICMP wait in `ipv4_reassembly.ts` until their datagram is whole; those of TCP, which nobody sends, are
 * dropped. A checksum that is wrong but holds the pseudo-header's sum is one that the guest's network card was to
 * complete (libkrun): such a packet never left this machine.
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
  ipv4HeaderLength,
  ipv4HeaderValid,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  ipv4Ttl,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import {
  checkTcp,
  tcpChecksumPartial,
  tcpChecksumValid,
  tcpDestinationPort,
  tcpHeaderLength,
  tcpSourcePort,
} from "../../net/wire/tcp.ts";
import {
  checkUdp,
  UDP_HEADER_LENGTH,
  udpChecksumPartial,
  udpChecksumValid,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from "../../net/wire/udp.ts";
import type { DropReason } from "../base/counters.ts";
import { isGroupAddress, isOnSubnet } from "../rules/segment.ts";
import type { TranslationRules } from "../rules/translate.ts";
import type { Events } from "../flow/events.ts";
import type { Services } from "../service/services.ts";
import type { FrameSender } from "./frame_sender.ts";
import { type ErrorSource, type SentPackets, takeIcmpError } from "./icmp_error.ts";
import { Ipv4Reassembly, type ReassemblyContext, type ReassemblyUser } from "./ipv4_reassembly.ts";
import { Packet } from "./packet.ts";

/** What the input needs of the gateway. */
export interface Ipv4InputContext extends ReassemblyContext, SentPackets {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** The gateway's IPv4 address as a number. */
  readonly gateway: number;
  /** A large buffer for packets that are put together; used within one call. */
  readonly scratch: Uint8Array;
  /** Who is told of what happens. */
  readonly events: Events;
}

/** Whose packets they are. */
export interface Ipv4InputGuest extends ErrorSource {
  /** Frames to it. */
  readonly out: FrameSender;
  /** Its MAC address. */
  readonly mac: number;
  /** Whether it may speak from this address, a 32-bit number. */
  speaksFrom(address: number): boolean;
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
  #reassembly: Ipv4Reassembly;
  #packet = new Packet();

  /** For the packets of `guest`, on whose segment `services` answer. */
  constructor(context: Ipv4InputContext, guest: Ipv4InputGuest, services: Services) {
    this.#context = context;
    this.#guest = guest;
    this.#services = services;
    this.#reassembly = new Ipv4Reassembly(context, this);
  }

  /** Forgets fragments. */
  dispose(): void {
    this.#reassembly.clear();
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
    if (ipv4IsFragment(bytes, ip)) return this.#takeFragment(packet, protocol);
    if (protocol === PROTOCOL_UDP && isDhcp(packet)) return this.#takeDhcp(packet);
    if (!this.#guest.speaksFrom(ipv4Source(bytes, ip))) return this.#drop("spoofedAddress");
    if (ipv4Ttl(bytes, ip) <= 1 && this.#isBeyond(destination)) return this.#expire(packet);
    if (protocol === PROTOCOL_TCP) this.#takeTcp(packet, frame.checksum === CHECKSUM_COMPLETE);
    else if (protocol === PROTOCOL_UDP) this.#takeUdp(packet, frame.checksum === CHECKSUM_COMPLETE);
    else if (protocol === PROTOCOL_ICMP) this.#takeIcmp(packet);
    else this.#drop("protocolNotRelayed");
  }

  /**
   * Drops a packet that is no segment, and tells the guest by ICMP if a rule or the rate was the cause (RFC 1812
   * section 5.2.7.1). Multicast and broadcast stay unanswered (RFC 1122 section 3.2.2).
   */
  refuse(reason: DropReason, packet: Packet): void {
    this.#drop(reason);
    const isRule = reason === "denied" || reason === "neverRelayed" || reason === "flowRate";
    if (!isRule || isGroupAddress(this.#context.rules, IpAddress.fromIpv4(ipv4Destination(packet.bytes, packet.ip)))) {
      return;
    }
    this.#answer({ type: ICMP_UNREACHABLE, code: ICMP_ADMIN_PROHIBITED }, packet);
  }

  /** Sends an ICMP error about `about`, an IPv4 packet of the guest or its beginning, from `source` or the gateway. */
  sendIcmpError(error: Icmpv4Error, about: Uint8Array, source: number = this.#context.gateway): void {
    const into = this.#context.scratch, at = SEGMENT_HEADROOM;
    const length = encodeIcmpv4Error(into, at, error, { bytes: about, start: 0, end: about.length });
    this.#guest.out.ipv4(into, at, at + length, PROTOCOL_ICMP, source, ipv4Source(about, 0));
  }

  /** For reassembly. */
  datagramWhole(frame: Frame): void {
    this.take(frame, frame.start + ETHERNET_HEADER_LENGTH);
  }

  /** For reassembly. */
  datagramExpired(packet: Uint8Array): void {
    this.sendIcmpError({ type: ICMP_TIME_EXCEEDED, code: ICMP_REASSEMBLY_EXCEEDED }, packet);
  }

  #takeFragment({ bytes, ip, end }: Packet, protocol: number): void {
    if (!this.#guest.speaksFrom(ipv4Source(bytes, ip))) return this.#drop("spoofedAddress");
    if (protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_ICMP) return this.#drop("ipv4Fragment");
    const refusal = this.#reassembly.take(bytes, ip, end);
    if (refusal !== null) this.#drop(refusal);
  }

  #takeTcp(packet: Packet, check: boolean): void {
    const { bytes, ip, transport, end } = packet,
      source = ipv4Source(bytes, ip),
      destination = ipv4Destination(bytes, ip);
    if (!checkTcp(bytes, transport, end)) return this.#drop("tcpMalformed");
    const addressSum = ipv4AddressSum(source, destination);
    if (
      check && !tcpChecksumValid(bytes, transport, end, addressSum) &&
      !tcpChecksumPartial(bytes, transport, end, addressSum)
    ) return this.#drop("tcpChecksum");
    packet.payload = transport + tcpHeaderLength(bytes, transport);
    const from = tcpSourcePort(bytes, transport), to = tcpDestinationPort(bytes, transport);
    packet.key.setIpv4(this.#guest.number, PROTOCOL_TCP, source, from, destination, to);
    this.#guest.packetArrived(packet);
  }

  #takeUdp(packet: Packet, check: boolean): void {
    const { bytes, ip, transport, end } = packet,
      source = ipv4Source(bytes, ip),
      destination = ipv4Destination(bytes, ip);
    if (!checkUdp(bytes, transport, end)) return this.#drop("udpMalformed");
    const addressSum = ipv4AddressSum(source, destination);
    if (
      check && !udpChecksumValid(bytes, transport, addressSum) && !udpChecksumPartial(bytes, transport, addressSum)
    ) return this.#drop("udpChecksum");
    packet.payload = transport + UDP_HEADER_LENGTH;
    packet.end = transport + udpLength(bytes, transport);
    const from = udpSourcePort(bytes, transport), to = udpDestinationPort(bytes, transport);
    packet.key.setIpv4(this.#guest.number, PROTOCOL_UDP, source, from, destination, to);
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
    const { bytes, ip, transport, end } = packet,
      source = ipv4Source(bytes, ip),
      destination = ipv4Destination(bytes, ip);
    const reply = this.#context.scratch, at = SEGMENT_HEADROOM;
    const length = this.#services.echo(destination, bytes, transport, end, reply, at);
    if (length > 0) return this.#guest.out.ipv4(reply, at, at + length, PROTOCOL_ICMP, destination, source);
    packet.payload = transport;
    const identifier = icmpv4Identifier(bytes, transport);
    packet.key.setIpv4(this.#guest.number, PROTOCOL_ICMP, source, identifier, destination, 0);
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
    const path = {
      source: this.#context.gateway,
      sourcePort: DHCP_SERVER_PORT,
      destination: address,
      destinationPort: port,
    };
    guest.out.udpTo(mac, reply, at, at + answer.length, path);
  }

  /** Whether packets to `destination` are routed, so that a hop is taken from them. */
  #isBeyond(destination: number): boolean {
    const { rules } = this.#context, address = IpAddress.fromIpv4(destination);
    return !isGroupAddress(rules, address) && !isOnSubnet(rules, address);
  }

  /** The gateway is the hop at which the packet's time to live ends (RFC 1812 section 5.3.1). */
  #expire(packet: Packet): void {
    this.#drop("ttlExceeded");
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
