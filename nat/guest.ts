/**
 * One guest: its link, its addresses, and the way of a frame in and out.
 *
 * **In.** `receive` looks at Ethernet and hands the rest to ARP or to the input of its family (`ip/ipv4_input.ts`,
 * `ip/ipv6_input.ts`), which checks a packet and gives it back as a `Packet`; from there protocols are told apart once.
 * A TCP segment ends in the endpoint of its flow, a datagram in its relay. What fails a check increments one counter
 * and is dropped; nothing throws.
 *
 * **Out.** Relays are given a `Path`. An MTU that the guest reports is believed for `PATH_MTU_MS` (RFC 1191 section
 * 6.3).
 *
 * **Who the guest is**: `guest_identity.ts`. A guest that has not spoken yet is asked for its MAC address
 * (`neighbour_resolver.ts`).
 *
 * @module
 */
import { IpAddress, MAC_BROADCAST } from "../net/wire/address.ts";
import { ARP_LENGTH, ARP_REPLY, arpOperation, arpSenderIp, checkArp } from "../net/wire/arp.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ethernetDestination,
  ethernetSource,
  ethernetTaggedType,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
  isIpv6MulticastMac,
  isPriorityTagged,
  VLAN_TAG_LENGTH,
} from "../net/wire/ethernet.ts";
import { type Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import type { Icmpv4Error } from "../net/wire/icmpv4.ts";
import type { Icmpv6Error } from "../net/wire/icmpv6.ts";
import { PROTOCOL_TCP } from "../net/wire/ipv4.ts";
import { IPV6_MINIMUM_MTU } from "../net/wire/ipv6.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, tcpFlags } from "../net/wire/tcp.ts";
import type { ForwardGuest } from "./address_owner.ts";
import type { DropReason } from "./base/counters.ts";
import type { RateLimitedLog } from "./base/rate_limited_log.ts";
import { type Timed, Timer } from "./base/timers.ts";
import type { GuestSide, GuestUse } from "./flow/flow.ts";
import { FlowKey } from "./flow/flow_key.ts";
import { GuestIdentity } from "./guest_identity.ts";
import { FrameLength } from "./ip/frame_length.ts";
import { FrameSender, type FrameSink } from "./ip/frame_sender.ts";
import { Ipv4Input, type Ipv4InputContext, type Ipv4InputGuest } from "./ip/ipv4_input.ts";
import { Ipv4Sender } from "./ip/ipv4_sender.ts";
import { Ipv6Input, type Ipv6InputContext, type Ipv6InputGuest } from "./ip/ipv6_input.ts";
import { Ipv6Sender } from "./ip/ipv6_sender.ts";
import { NeighbourResolver } from "./ip/neighbour_resolver.ts";
import type { Packet } from "./ip/packet.ts";
import { Ipv4Path, Ipv6Path, type Path, type PathGuest } from "./ip/path.ts";
import { Reassembly } from "./ip/reassembly.ts";
import type { GuestBindings } from "./rules/bindings.ts";
import { familyOf, type IpFamily } from "./rules/policy.ts";
import { isGroupAddress } from "./rules/segment.ts";
import type { DhcpExtras } from "./service/dhcp_options.ts";
import type { GuestService } from "./service/guest_services.ts";
import { Ipv6Answers, type Ipv6AnswersContext } from "./service/ipv6_answers.ts";
import { Services } from "./service/services.ts";
import type { TcpEndpoint } from "./tcp/endpoint.ts";
import { encodeStrayReset } from "./tcp/stray.ts";

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
  /** `guest` has spoken from `address`, which it did not do in its packet of that family before. */
  heard(guest: ForwardGuest, address: IpAddress): void;
  /** `guest` does not answer a client that was sent to `address`. */
  doubt(guest: ForwardGuest, address: IpAddress): void;
}

/** What a guest needs of the gateway. */
export interface GuestContext extends Ipv4InputContext, Ipv6InputContext, Ipv6AnswersContext {
  /** The gateway's MAC address. */
  readonly mac: number;
  /** What DHCP tells beside addresses. */
  readonly dhcp: DhcpExtras;
  /** The services that guests do without. */
  readonly without: readonly GuestService[];
  /** Lines that a guest can provoke. */
  readonly log: RateLimitedLog;
  /** Whose forwards lead where. */
  readonly forwards: GuestWatcher;
  /** A frame was given to `link`: it is flushed at the end of this turn. */
  linkUsed(link: FrameSink): void;
  /** The TCP flow with this key. */
  tcpFlow(key: FlowKey): SegmentTarget | undefined;
  /** Begins a TCP flow for the SYN `packet`. Returns why not, or null. */
  openTcp(guest: GuestSide, packet: Packet): DropReason | null;
  /** Sends a UDP datagram or an echo request. Returns why not, or null. */
  sendDatagram(guest: GuestSide, packet: Packet): DropReason | null;
}

const arpKey = new FlowKey();

/** A guest on its link. */
export class Guest implements ForwardGuest, Ipv4InputGuest, Ipv6InputGuest, PathGuest, Timed {
  /** Its number in flow keys; never used again while the gateway lives. */
  readonly number: number;
  /** Frames to it. */
  readonly out: FrameSender;
  /** IPv4 packets to it. */
  readonly ipv4: Ipv4Sender;
  /** IPv6 packets to it. */
  readonly ipv6: Ipv6Sender;
  /** What it uses of the gateway's limits. */
  readonly use: GuestUse;
  /** Whose time the host's work for its flows takes. */
  readonly payer: object | undefined;
  /** The names that addresses have for it. */
  readonly bindings: GuestBindings;

  #nat: GuestContext;
  #services: Services;
  /** Null: the family is switched off. */
  #ipv6Answers: Ipv6Answers | null;
  #identity: GuestIdentity;
  #length: FrameLength;
  #resolver: NeighbourResolver;
  /** Null: the family is switched off. */
  #ipv4Input: Ipv4Input | null;
  #ipv6Input: Ipv6Input | null;
  #reassembly: Reassembly;
  #mtuTimer: Timer;
  /** Its IPv4 addresses, for ARP. */
  #own = { has: (address: number) => this.has(IpAddress.fromIpv4(address)) };

  /** Guest `number` of `nat` on `link`, which uses nothing yet. */
  constructor(nat: GuestContext, has: Pick<GuestSide, "number" | "use" | "bindings">, link: FrameSink) {
    const { number } = has;
    this.#nat = nat;
    this.number = number;
    this.use = has.use;
    this.bindings = has.bindings;
    this.payer = link.payer;
    const { mac, dhcp: extras, without } = nat;
    this.#services = new Services(nat.rules, { mac, mtu: link.mtu, extras, without });
    const name = `Guest ${number} on ${link.name}`;
    this.#length = new FrameLength(nat.log, name, link);
    this.#mtuTimer = new Timer(this);
    this.out = new FrameSender(link, {
      sourceMac: nat.mac,
      sent: (taken) => {
        if (!taken) nat.counters.linkFull++;
        nat.linkUsed(link);
      },
      unresolved: (frame, destination) => this.#resolver.hold(frame, destination),
    });
    this.ipv4 = new Ipv4Sender(this.out);
    this.ipv6 = new Ipv6Sender(this.out);
    const { ipv4 } = nat.rules,
      ipv6 = link.mtu < IPV6_MINIMUM_MTU ? null : nat.rules.ipv6,
      reassembly = this.#reassembly = new Reassembly(nat),
      services = this.#services;
    this.#ipv4Input = ipv4 && new Ipv4Input(nat, this, { segment: ipv4, services, reassembly });
    this.#ipv6Answers = ipv6 && new Ipv6Answers(nat, {
      segment: ipv6,
      mtu: link.mtu,
      has: (address) => this.has(address),
      guestMac: () => this.mac,
      isAnswer: (address) => this.#resolver.isAnswer(address),
      send: (bytes, ip, end, destination) => this.ipv6.whole(bytes, ip, end, destination),
      leaseGiven: (address, mac) =>
        nat.events.emit("leaseGiven", () => ({ type: "leaseGiven", guestNumber: number, address, mac })),
    });
    this.#ipv6Input = ipv6 && new Ipv6Input(nat, this, { segment: ipv6, services: this.#ipv6Answers!, reassembly });
    this.#resolver = new NeighbourResolver({
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

  /** The address of a family that it spoke from last; null until it has spoken. */
  address(family: IpFamily): IpAddress | null {
    return this.#identity.addresses(family).widest;
  }

  /** The address that it would have by DHCP. */
  get #leased(): IpAddress {
    const { ipv4, ipv6 } = this.#nat.rules;
    return (ipv4 ?? ipv6)!.guest;
  }

  /** Asks whether someone else has `address` by now, at most once a second. */
  ask(address: IpAddress): void {
    this.#resolver.ask(address);
    this.#nat.forwards.doubt(this, address);
  }

  /** Whether it has spoken from `address`; from any at all, if that is null. */
  has(address: IpAddress | null): boolean {
    const identity = this.#identity;
    if (address === null) return identity.addresses(4).size > 0 || identity.addresses(6).size > 0;
    return identity.addresses(familyOf(address)).has(address);
  }

  /**
   * Asks whether it has `address`, or, if that is null, the address that it spoke from last or would have by DHCP; its
   * next packet is told of, whatever came before.
   */
  probe(address: IpAddress | null): void {
    this.#identity.listen();
    this.#resolver.probe(address ?? this.address(4) ?? this.address(6) ?? this.#leased);
  }

  /** Asks whether it has `address`, at most once a second. */
  inquire(address: IpAddress): void {
    this.#resolver.ask(address);
  }

  /** Its link has ended: what was kept for it is gone too. */
  dispose(): void {
    this.#resolver.dispose();
    this.#reassembly.clear();
    this.#ipv6Answers?.dispose();
    this.bindings.clear();
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
    const destination = ethernetDestination(bytes, start);
    let type = ethernetType(bytes, start), payload = start + ETHERNET_HEADER_LENGTH;
    // A tag that names no VLAN is a priority alone (IEEE 802.1Q), and the frame one like any other. Answers have none.
    if (type === ETHERTYPE_VLAN && isPriorityTagged(bytes, start, end) && isKnown(ethernetTaggedType(bytes, start))) {
      type = ethernetTaggedType(bytes, start);
      payload += VLAN_TAG_LENGTH;
    }
    if (destination !== this.#nat.mac && destination !== MAC_BROADCAST) {
      if (type !== ETHERTYPE_IPV6 || !isIpv6MulticastMac(destination)) return this.#drop("notForGateway");
    }
    if (type === ETHERTYPE_IPV4) {
      if (this.#ipv4Input === null) this.#drop("ipv4Disabled");
      else this.#ipv4Input.take(frame, payload);
    } else if (type === ETHERTYPE_IPV6) {
      if (this.#ipv6Input === null) this.#drop("ipv6Disabled");
      else this.#ipv6Input.take(frame, payload);
    } else if (type === ETHERTYPE_ARP) this.#receiveArp(bytes, payload, end);
    else if (type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ) this.#drop("vlan");
    else this.#drop("etherTypeUnknown");
  }

  #receiveArp(bytes: Uint8Array, arp: number, end: number): void {
    if (this.#ipv4Input === null) return this.#drop("ipv4Disabled");
    if (!checkArp(bytes, arp, end)) return this.#drop("arpMalformed");
    const sender = arpSenderIp(bytes, arp);
    // A probe has no sender address yet (RFC 5227 section 2.1.1).
    if (sender === 0) this.#identity.speaksWithoutAddress();
    else if (!this.#identity.speaksFrom(arpKey.setIpv4(this.number, 0, sender, 0, 0, 0))) {
      return this.#drop("spoofedAddress");
    }
    if (arpOperation(bytes, arp) === ARP_REPLY && this.#resolver.isAnswer(IpAddress.fromIpv4(sender))) return;
    const reply = this.#nat.scratch, at = SEGMENT_HEADROOM;
    if (this.#services.arp(this.#own, bytes, arp, reply, at) === 0) return this.#drop("arpIgnored");
    this.out.ethernet(reply, at, at + ARP_LENGTH, ETHERTYPE_ARP);
  }

  /** For the input: a packet to relay. */
  packetArrived(packet: Packet): void {
    if (packet.key.protocol === PROTOCOL_TCP) return this.#segmentArrived(packet);
    const refusal = this.#nat.sendDatagram(this, packet);
    if (refusal !== null) (packet.key.family === 6 ? this.#ipv6Input : this.#ipv4Input)!.refuse(refusal, packet);
  }

  #segmentArrived(packet: Packet): void {
    const { bytes, transport, end, key } = packet, relay = this.#nat.tcpFlow(key);
    const isSyn = (tcpFlags(bytes, transport) & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) === TCP_SYN;
    if (relay !== undefined && !(isSyn && relay.endpoint.yieldsTo(bytes, transport))) {
      return relay.endpoint.segmentArrived(bytes, transport, end);
    }
    if (isSyn) relay?.giveUpKey();
    const refusal = isSyn ? this.#nat.openTcp(this, packet) : "tcpStray";
    if (refusal === null) return;
    this.#drop(refusal);
    this.#resetStray(packet);
  }

  /** For the input: whether it may speak from the address in this key. */
  speaksFrom(key: FlowKey): boolean {
    return this.#identity.speaksFrom(key);
  }

  /** For the input: it speaks without an address. */
  speaksWithoutAddress(): void {
    this.#identity.speaksWithoutAddress();
  }

  // --- out ---

  #requestMac(address: IpAddress): void {
    if (!address.isIpv4) return this.#ipv6Answers?.request(address);
    const into = this.#nat.scratch, at = SEGMENT_HEADROOM, length = this.#services.arpRequest(address.ipv4, into, at);
    this.out.ethernet(into, at, at + length, ETHERTYPE_ARP, MAC_BROADCAST);
  }

  /** The way between the two addresses of a flow with this key. */
  path({ family, guestAddress, remoteAddress }: FlowKey): Path {
    return family === 6
      ? new Ipv6Path(this, guestAddress, remoteAddress)
      : new Ipv4Path(this, guestAddress, remoteAddress);
  }

  /** For paths: sends an ICMP error about `packet`, an IPv4 packet of the guest or its beginning. */
  sendIcmpError(error: Icmpv4Error, packet: Uint8Array, source?: IpAddress): void {
    this.#ipv4Input?.sendIcmpError(error, packet, source);
  }

  /** For paths: the same for an IPv6 packet of the guest. */
  sendIcmpv6Error(error: Icmpv6Error, packet: Uint8Array, source?: IpAddress): void {
    this.#ipv6Input?.sendIcmpError(error, packet, source);
  }

  /** The guest has reported the MTU of the path to it. Returns whether that is news. */
  pathMtuIs(mtu: number, family: IpFamily): boolean {
    const isNews = (family === 6 ? this.ipv6 : this.ipv4).lowerMtu(mtu);
    if (isNews) this.#nat.timers.schedule(this.#mtuTimer, this.#nat.now() + PATH_MTU_MS);
    return isNews;
  }

  /** The reported MTU is old: the path may have become wider. */
  timerFired(): void {
    this.ipv4.resetMtu();
    this.ipv6.resetMtu();
  }

  /**
   * Answers a segment of no connection with RST (RFC 9293 section 3.10.7.1), unless it went to an address that nobody
   * can answer from, a group's or the unspecified one (section 3.9.2.3).
   */
  #resetStray({ bytes, transport, end, key }: Packet): void {
    const { remoteAddress } = key;
    if (isGroupAddress(this.#nat.rules, remoteAddress) || remoteAddress.isUnspecified) return;
    const into = this.#nat.scratch, at = SEGMENT_HEADROOM, length = encodeStrayReset(bytes, transport, end, into, at);
    if (length > 0) this.path(key).transmit(into, at, at + length, 0);
  }

  #drop(reason: DropReason): void {
    this.#nat.counters[reason]++;
  }
}

function isKnown(type: number): boolean {
  return type === ETHERTYPE_IPV4 || type === ETHERTYPE_ARP || type === ETHERTYPE_IPV6;
}
