/**
 * One guest: its link, its addresses, and the way of a frame in and out.
 *
 * **In.** `receive` goes down the layers, a check at each: Ethernet, then ARP or IPv4, then TCP, UDP or ICMP. What fails a check is counted under one name and
 * dropped; nothing throws. A TCP segment ends in the endpoint of its flow, everything else in a service or a relay. Fragments of UDP and ICMP wait in
 * `ipv4_reassembly.ts` until their datagram is whole; those of TCP, which nobody sends, are dropped.
 *
 * **Out.** `frame_sender.ts`. An MTU that the guest reports is believed for `PATH_MTU_MS` (RFC 1191 section 6.3).
 *
 * **Who the guest is**: `guest_identity.ts`. A guest that has not spoken yet is asked for its MAC address
 * (`arp_resolver.ts`).
 *
 * @module
 */
import { MAC_BROADCAST } from "../net/wire/address.ts";
import { ARP_LENGTH, ARP_REPLY, arpOperation, arpSenderIp, checkArp } from "../net/wire/arp.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ethernetDestination,
  ethernetSource,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
} from "../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
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
} from "../net/wire/icmpv4.ts";
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
} from "../net/wire/ipv4.ts";
import {
  checkTcp,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  tcpChecksumValidIpv4,
  tcpDestinationPort,
  tcpFlags,
  tcpSourcePort,
} from "../net/wire/tcp.ts";
import {
  checkUdp,
  UDP_HEADER_LENGTH,
  udpChecksumValidIpv4,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from "../net/wire/udp.ts";
import { DHCP_SERVER_PORT } from "../net/wire/dhcpv4.ts";
import { ArpResolver } from "./ip/arp_resolver.ts";
import type { DropReason } from "./base/counters.ts";
import type { RateLimitedLog } from "./base/rate_limited_log.ts";
import type { GuestSide, GuestUse } from "./flow/flow.ts";
import { FlowKey } from "./flow/flow_key.ts";
import { ANY_ADDRESS, type ForwardGuest } from "./address_owner.ts";
import { GuestIdentity } from "./guest_identity.ts";
import { FrameLength } from "./ip/frame_length.ts";
import { FrameSender, type FrameSink } from "./ip/frame_sender.ts";
import { type SentPackets, takeIcmpError } from "./ip/icmp_error.ts";
import { Ipv4Reassembly, type ReassemblyContext, type ReassemblyUser } from "./ip/ipv4_reassembly.ts";
import { GuestDatagram } from "./relay/udp.ts";
import { Services } from "./service/services.ts";
import type { TcpEndpoint } from "./tcp/endpoint.ts";
import { encodeStrayReset } from "./tcp/stray.ts";
import { type Timed, Timer } from "./base/timers.ts";
import { isGroupAddress, isOnSubnet, type TranslationRules } from "./rules/translate.ts";

/** How long an MTU that the guest reported is believed, in milliseconds. */
export const PATH_MTU_MS = 600_000;

/** A TCP flow to which a guest's segments go. */
export interface SegmentTarget {
  /** The endpoint that takes them. */
  readonly endpoint: Pick<TcpEndpoint, "segmentArrived" | "yieldsTo">;
  /** TIME-WAIT gives way to a new connection with the same key. */
  giveUpKey(): void;
  /** The path to the guest carries less. Returns whether that is news. */
  pathMtuChanged(): boolean;
}

/** Who is told which addresses a guest has. */
export interface GuestWatcher {
  /** `guest` has spoken from `address`, which it did not do in its packet before. */
  heard(guest: ForwardGuest, address: number): void;
  /** `guest` does not answer a client that was sent to `address`. */
  doubt(guest: ForwardGuest, address: number): void;
}

/** What a guest needs of the gateway. */
export interface GuestContext extends ReassemblyContext, SentPackets {
  /** What addresses mean. */
  readonly rules: TranslationRules;
  /** The gateway's MAC address. */
  readonly mac: number;
  /** The gateway's IPv4 address as a number. */
  readonly gateway: number;
  /** Lines that a guest can provoke. */
  readonly log: RateLimitedLog;
  /** A large buffer for packets that are put together; used within one call. */
  readonly scratch: Uint8Array;
  /** Whose forwards lead where. */
  readonly forwards: GuestWatcher;
  /** A frame was given to `link`: it is flushed at the end of this turn. */
  linkUsed(link: FrameSink): void;
  /** The TCP flow with this key. */
  tcpFlow(key: FlowKey): SegmentTarget | undefined;
  /** Begins a TCP flow for the packet `syn`, whose TCP header is at `tcp`. Returns why not, or null. */
  openTcp(guest: GuestSide, key: FlowKey, syn: Uint8Array, tcp: number): DropReason | null;
  /** Sends a UDP datagram; `key` is that of its mapping. Returns why not, or null. */
  sendUdp(guest: GuestSide, key: FlowKey, datagram: GuestDatagram): DropReason | null;
  /** Sends the echo request `bytes[start, end)`; `key` is that of its mapping. Returns why not, or null. */
  sendEcho(
    guest: GuestSide,
    key: FlowKey,
    destination: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): DropReason | null;
}

/** A guest on its link. */
export class Guest implements ForwardGuest, ReassemblyUser, Timed {
  /** Its number in flow keys; never used again while the gateway lives. */
  readonly number: number;
  /** Frames to it. */
  readonly out: FrameSender;
  /** What it uses of the gateway's limits. */
  readonly use: GuestUse;

  #nat: GuestContext;
  #services: Services;
  #identity: GuestIdentity;
  #length: FrameLength;
  #resolver: ArpResolver;
  #key = new FlowKey();
  #datagram = new GuestDatagram();
  #reassembly: Ipv4Reassembly;
  #mtuTimer: Timer;

  /** Guest `number` of `nat` on `link`, which uses nothing yet. */
  constructor(nat: GuestContext, { number, use }: { number: number; use: GuestUse }, link: FrameSink) {
    this.#nat = nat;
    this.number = number;
    this.use = use;
    this.#services = new Services(nat.rules, { mac: nat.mac, mtu: link.mtu });
    const name = `Guest ${number} on ${link.name}`;
    this.#length = new FrameLength(nat.log, name, link);
    this.#reassembly = new Ipv4Reassembly(nat, this);
    this.#mtuTimer = new Timer(this);
    this.out = new FrameSender(link, {
      sourceMac: nat.mac,
      sent: (taken) => {
        if (!taken) nat.counters.linkFull++;
        nat.linkUsed(link);
      },
      unresolved: (frame, destination) => this.#resolver.hold(frame, destination),
    });
    this.#resolver = new ArpResolver({
      timers: nat.timers,
      dropped: () => void nat.counters.guestUnresolved++,
      now: () => nat.now(),
      request: (address) => this.#requestMac(address),
      send: (frame) => this.out.resume(frame),
    });
    this.#identity = new GuestIdentity({
      name,
      out: this.out,
      rules: nat.rules,
      log: nat.log,
      now: () => nat.now(),
      macLearnt: () => this.#resolver.release(),
      heard: (address) => nat.forwards.heard(this, address),
    });
  }

  /** The IPv4 address that it spoke from last, as a number; 0 until it has spoken. */
  get address(): number {
    return this.#identity.address;
  }

  /** Asks by ARP whether someone else has `address` by now, at most once a second. */
  ask(address: number): void {
    this.#resolver.ask(address);
    this.#nat.forwards.doubt(this, address);
  }

  /** Whether it has spoken from `address`; from any at all, if that is `ANY_ADDRESS`. */
  has(address: number): boolean {
    const { addresses } = this.#identity;
    return address === ANY_ADDRESS ? addresses.size > 0 : addresses.has(address);
  }

  /** Asks by ARP whether it has `address`; the next packet from there is told of, whatever came before. */
  probe(address: number): void {
    this.#identity.listen();
    this.#resolver.probe(address);
  }

  /** Its link has ended: what was kept for it is gone too. */
  dispose(): void {
    this.#resolver.dispose();
    this.#reassembly.clear();
    this.#nat.timers.cancel(this.#mtuTimer);
  }

  /** Its MAC address; -1 until it is known. */
  get mac(): number {
    return this.out.destinationMac;
  }

  // --- in ---

  /** Takes one frame of the guest. */
  receive(frame: Frame): void {
    const bytes = frame.bytes, start = frame.start, end = frame.end;
    const flaw = this.#length.flaw(bytes, start, end);
    if (flaw !== null) return this.#drop(flaw);
    if (!this.#identity.frameFrom(ethernetSource(bytes, start))) return this.#drop("spoofedMac");
    const destination = ethernetDestination(bytes, start), type = ethernetType(bytes, start);
    if (type === ETHERTYPE_IPV6) return this.#drop("ipv6NotRelayed");
    if (destination !== this.#nat.mac && destination !== MAC_BROADCAST) return this.#drop("notForGateway");
    if (type === ETHERTYPE_IPV4) this.#receiveIpv4(frame, start + ETHERNET_HEADER_LENGTH);
    else if (type === ETHERTYPE_ARP) this.#receiveArp(bytes, start + ETHERNET_HEADER_LENGTH, end);
    else if (type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ) this.#drop("vlan");
    else this.#drop("etherTypeUnknown");
  }

  #receiveArp(bytes: Uint8Array, arp: number, end: number): void {
    if (!checkArp(bytes, arp, end)) return this.#drop("arpMalformed");
    const sender = arpSenderIp(bytes, arp);
    // A probe has no sender address yet (RFC 5227 section 2.1.1).
    if (sender === 0) this.#identity.speaksWithoutAddress();
    else if (!this.#identity.speaksFrom(sender)) return this.#drop("spoofedAddress");
    if (arpOperation(bytes, arp) === ARP_REPLY && this.#resolver.isAnswer(sender)) return;
    const reply = this.#nat.scratch, at = SEGMENT_HEADROOM;
    if (this.#services.arp(this.#identity.addresses, bytes, arp, reply, at) === 0) return this.#drop("arpIgnored");
    this.out.ethernet(reply, at, at + ARP_LENGTH, ETHERTYPE_ARP);
  }

  #receiveIpv4(frame: Frame, ip: number): void {
    const bytes = frame.bytes;
    if (!checkIpv4(bytes, ip, frame.end)) return this.#drop("ipv4Malformed");
    if (!ipv4HeaderValid(bytes, ip)) return this.#drop("ipv4Checksum");
    const payload = ip + ipv4HeaderLength(bytes, ip), end = ip + ipv4TotalLength(bytes, ip);
    const source = ipv4Source(bytes, ip), protocol = ipv4Protocol(bytes, ip);
    if (ipv4IsFragment(bytes, ip)) return this.#receiveFragment(bytes, ip, end);
    if (protocol === PROTOCOL_UDP && this.#isDhcp(bytes, payload, end)) return this.#receiveDhcp(bytes, payload);
    if (!this.#identity.speaksFrom(source)) return this.#drop("spoofedAddress");
    if (ipv4Ttl(bytes, ip) <= 1 && this.#isBeyond(ipv4Destination(bytes, ip))) return this.#expire(bytes, ip, end);
    if (protocol === PROTOCOL_TCP) this.#receiveTcp(frame, ip, payload, end);
    else if (protocol === PROTOCOL_UDP) this.#receiveUdp(frame, ip, payload, end);
    else if (protocol === PROTOCOL_ICMP) this.#receiveIcmp(bytes, ip, payload, end);
    else this.#drop("protocolNotRelayed");
  }

  #receiveFragment(bytes: Uint8Array, ip: number, end: number): void {
    const source = ipv4Source(bytes, ip), protocol = ipv4Protocol(bytes, ip);
    if (!this.#identity.speaksFrom(source)) return this.#drop("spoofedAddress");
    if (protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_ICMP) return this.#drop("ipv4Fragment");
    const refusal = this.#reassembly.take(bytes, ip, end);
    if (refusal !== null) this.#drop(refusal);
  }

  /** For reassembly. */
  datagramWhole(frame: Frame): void {
    this.#receiveIpv4(frame, frame.start + ETHERNET_HEADER_LENGTH);
  }

  /** For reassembly. */
  datagramExpired(packet: Uint8Array): void {
    this.sendIcmpError({ type: ICMP_TIME_EXCEEDED, code: ICMP_REASSEMBLY_EXCEEDED }, packet);
  }

  /** Whether packets to `destination` are routed, so that a hop is taken from them. */
  #isBeyond(destination: number): boolean {
    const { rules } = this.#nat;
    return !isGroupAddress(rules, destination) && !isOnSubnet(rules, destination);
  }

  /** The gateway is the hop at which the packet's time to live ends (RFC 1812 section 5.3.1). */
  #expire(bytes: Uint8Array, ip: number, end: number): void {
    this.#drop("ttlExceeded");
    this.sendIcmpError({ type: ICMP_TIME_EXCEEDED, code: ICMP_TTL_EXCEEDED }, bytes.subarray(ip, end));
  }

  #receiveTcp(frame: Frame, ip: number, tcp: number, end: number): void {
    const bytes = frame.bytes, source = ipv4Source(bytes, ip), destination = ipv4Destination(bytes, ip);
    if (!checkTcp(bytes, tcp, end)) return this.#drop("tcpMalformed");
    if (frame.checksum === CHECKSUM_COMPLETE && !tcpChecksumValidIpv4(bytes, tcp, end, source, destination)) {
      return this.#drop("tcpChecksum");
    }
    const guestPort = tcpSourcePort(bytes, tcp), remotePort = tcpDestinationPort(bytes, tcp);
    const key = this.#key.setIpv4(this.number, PROTOCOL_TCP, source, guestPort, destination, remotePort);
    const relay = this.#nat.tcpFlow(key);
    const isSyn = (tcpFlags(bytes, tcp) & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) === TCP_SYN;
    if (relay !== undefined && !(isSyn && relay.endpoint.yieldsTo(bytes, tcp))) {
      return relay.endpoint.segmentArrived(bytes, tcp, end);
    }
    if (!isSyn) {
      this.#drop("tcpStray");
      return this.#resetStray(frame.bytes, ip, tcp, end);
    }
    relay?.giveUpKey();
    const refusal = this.#nat.openTcp(this, key, bytes.subarray(ip, end), tcp - ip);
    if (refusal === null) return;
    this.#drop(refusal);
    this.#resetStray(bytes, ip, tcp, end);
  }

  #receiveUdp(frame: Frame, ip: number, udp: number, end: number): void {
    const bytes = frame.bytes, source = ipv4Source(bytes, ip), destination = ipv4Destination(bytes, ip);
    if (!checkUdp(bytes, udp, end)) return this.#drop("udpMalformed");
    if (frame.checksum === CHECKSUM_COMPLETE && !udpChecksumValidIpv4(bytes, udp, source, destination)) {
      return this.#drop("udpChecksum");
    }
    const key = this.#key.setIpv4(this.number, PROTOCOL_UDP, source, udpSourcePort(bytes, udp), 0, 0);
    const datagram = this.#datagram;
    datagram.bytes = bytes;
    datagram.start = udp + UDP_HEADER_LENGTH;
    datagram.end = udp + udpLength(bytes, udp);
    datagram.destination = destination;
    datagram.port = udpDestinationPort(bytes, udp);
    const refusal = this.#nat.sendUdp(this, key, datagram);
    if (refusal !== null) this.#refuse(refusal, bytes.subarray(ip, end));
  }

  #receiveIcmp(bytes: Uint8Array, ip: number, icmp: number, end: number): void {
    if (!checkIcmpv4(bytes, icmp, end)) return this.#drop("icmpMalformed");
    if (!icmpv4ChecksumValid(bytes, icmp, end)) return this.#drop("icmpChecksum");
    const refusal = this.#takeIcmp(bytes, ip, icmp, end);
    if (refusal !== null) this.#refuse(refusal, bytes.subarray(ip, end));
  }

  #takeIcmp(bytes: Uint8Array, ip: number, icmp: number, end: number): DropReason | null {
    switch (icmpv4Type(bytes, icmp)) {
      case ICMP_ECHO_REQUEST:
        return this.#receiveEcho(bytes, ip, icmp, end);
      case ICMP_UNREACHABLE:
      case ICMP_TIME_EXCEEDED:
      case ICMP_PARAMETER_PROBLEM:
        return takeIcmpError(this.#nat, this, bytes, icmp, end);
      default:
        return "icmpNotRelayed";
    }
  }

  #receiveEcho(bytes: Uint8Array, ip: number, icmp: number, end: number): DropReason | null {
    const source = ipv4Source(bytes, ip), destination = ipv4Destination(bytes, ip);
    const reply = this.#nat.scratch, at = SEGMENT_HEADROOM;
    const length = this.#services.echo(destination, bytes, icmp, end, reply, at);
    if (length === 0) {
      const key = this.#key.setIpv4(this.number, PROTOCOL_ICMP, source, icmpv4Identifier(bytes, icmp), 0, 0);
      return this.#nat.sendEcho(this, key, destination, bytes, icmp, end);
    }
    this.out.ipv4(reply, at, at + length, PROTOCOL_ICMP, destination, source);
    return null;
  }

  #isDhcp(bytes: Uint8Array, udp: number, end: number): boolean {
    return checkUdp(bytes, udp, end) && udpDestinationPort(bytes, udp) === DHCP_SERVER_PORT;
  }

  #receiveDhcp(bytes: Uint8Array, udp: number): void {
    this.#identity.speaksWithoutAddress();
    const at = SEGMENT_HEADROOM + UDP_HEADER_LENGTH, reply = this.#nat.scratch;
    const start = udp + UDP_HEADER_LENGTH, last = udp + udpLength(bytes, udp);
    const answer = this.#services.dhcp(bytes, start, last, { senderMac: this.mac, into: reply, at });
    if (typeof answer === "string") return this.#drop(answer);
    const { mac, address, port } = answer.destination;
    const path = {
      source: this.#nat.gateway,
      sourcePort: DHCP_SERVER_PORT,
      destination: address,
      destinationPort: port,
    };
    this.out.udpTo(mac, reply, at, at + answer.length, path);
  }

  // --- out ---

  #requestMac(address: number): void {
    const into = this.#nat.scratch, at = SEGMENT_HEADROOM, length = this.#services.arpRequest(address, into, at);
    this.out.ethernet(into, at, at + length, ETHERTYPE_ARP, MAC_BROADCAST);
  }

  /** Sends an ICMP error about `packet`, an IPv4 packet of the guest or its beginning, from `source` or the gateway. */
  sendIcmpError(error: Icmpv4Error, packet: Uint8Array, source: number = this.#nat.gateway): void {
    const into = this.#nat.scratch, at = SEGMENT_HEADROOM;
    const length = encodeIcmpv4Error(into, at, error, { bytes: packet, start: 0, end: packet.length });
    this.out.ipv4(into, at, at + length, PROTOCOL_ICMP, source, ipv4Source(packet, 0));
  }

  /** The guest has reported the MTU of the path to it. Returns whether that is news. */
  pathMtuIs(mtu: number): boolean {
    const isNews = this.out.lowerMtu(mtu);
    if (isNews) this.#nat.timers.schedule(this.#mtuTimer, this.#nat.now() + PATH_MTU_MS);
    return isNews;
  }

  /** The reported MTU is old: the path may have become wider. */
  timerFired(): void {
    this.out.resetMtu();
  }

  /** Answers a segment of no connection with RST (RFC 9293 section 3.10.7.1). */
  #resetStray(bytes: Uint8Array, ip: number, tcp: number, end: number): void {
    const into = this.#nat.scratch, at = SEGMENT_HEADROOM, length = encodeStrayReset(bytes, tcp, end, into, at);
    if (length === 0) return;
    this.out.tcp(into, at, at + length, 0, ipv4Destination(bytes, ip), ipv4Source(bytes, ip));
  }

  /**
   * Drops a packet that is no segment, and tells the guest by ICMP if a rule or the rate was the cause (RFC 1812 section 5.2.7.1).
   * Multicast and broadcast stay unanswered (RFC 1122 section 3.2.2).
   */
  #refuse(reason: DropReason, packet: Uint8Array): void {
    this.#drop(reason);
    const isRule = reason === "denied" || reason === "neverRelayed" || reason === "flowRate";
    if (!isRule || isGroupAddress(this.#nat.rules, ipv4Destination(packet, 0))) return;
    this.sendIcmpError({ type: ICMP_UNREACHABLE, code: ICMP_ADMIN_PROHIBITED }, packet);
  }

  #drop(reason: DropReason): void {
    this.#nat.counters[reason]++;
  }
}
