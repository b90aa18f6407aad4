/**
 * The lower half of an in-process guest: Ethernet, ARP and IPv4 of one station on a link that has one other, the
 * gateway.
 *
 * Every packet goes to the gateway, which is asked for by ARP (RFC 826) with the first one, and again each second while
 * something is to be sent; any frame that it sends will do as an answer. Requests for the guest's own address are
 * answered. What comes is checked, header by header, and what is wrong, a fragment or for another address is dropped
 * without a word: who sends it is a gateway.
 *
 * @module
 */
import { IpAddress, MAC_BROADCAST } from "../net/wire/address.ts";
import {
  ARP_LENGTH,
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderIp,
  arpSenderMac,
  arpTargetIp,
  checkArp,
  encodeArp,
} from "../net/wire/arp.ts";
import {
  checkEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetSource,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
} from "../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { checkIpv4, ipv4Destination, ipv4HeaderValid, ipv4IsFragment, ipv4TotalLength } from "../net/wire/ipv4.ts";
import type { Link } from "../net/link/link.ts";
import { FrameSender } from "../nat/ip/frame_sender.ts";
import { Ends } from "../nat/ip/ip_sender.ts";
import { Ipv4Sender } from "../nat/ip/ipv4_sender.ts";
import { NeighbourResolver } from "../nat/ip/neighbour_resolver.ts";
import type { TimerWheel } from "../nat/base/timers.ts";

/** Who a station is, and what it needs. */
export interface StationParts {
  /** Its IPv4 address as a 32-bit number. */
  readonly address: number;
  /** The gateway's IPv4 address as a 32-bit number. */
  readonly gateway: number;
  /** Its MAC address as a number. */
  readonly mac: number;
  /** The guest's timers. */
  readonly timers: TimerWheel;
  /** A buffer that is used within one call. */
  readonly scratch: Uint8Array;
  /** Monotonic milliseconds. */
  now(): number;
  /**
   * Takes the IPv4 packet `bytes[ip, end)` for this station; `vouched`: its transport checksum need not be looked at.
   */
  packet(bytes: Uint8Array, ip: number, end: number, vouched: boolean): void;
}

/** One station on a link. */
export class Station {
  /** Its IPv4 address as a 32-bit number. */
  readonly address: number;
  /** Frames to the gateway. */
  readonly out: FrameSender;
  /** IPv4 packets to the gateway. */
  readonly ipv4: Ipv4Sender;

  #parts: StationParts;
  #resolver: NeighbourResolver;

  /** A station that has sent nothing yet. */
  constructor(link: Link, parts: StationParts) {
    const gateway = IpAddress.fromIpv4(parts.gateway);
    this.#parts = parts;
    this.address = parts.address;
    this.out = new FrameSender(link, {
      sourceMac: parts.mac,
      sent: () => {},
      unresolved: (frame) => this.#resolver.hold(frame, gateway),
    });
    this.ipv4 = new Ipv4Sender(this.out);
    this.#resolver = new NeighbourResolver({
      timers: parts.timers,
      dropped: () => {},
      now: () => parts.now(),
      request: (address) => this.#sendArp(ARP_REQUEST, 0, address.ipv4, MAC_BROADCAST),
      send: (frame) => this.out.resume(frame),
    });
  }

  /** The ends of packets to an address, a 32-bit number. */
  to(address: number): Ends {
    return new Ends(IpAddress.fromIpv4(this.address), IpAddress.fromIpv4(address));
  }

  /** Takes a frame of the link. */
  receive(frame: Frame): void {
    if (!checkEthernet(frame.bytes, frame.start, frame.end)) return;
    // Whoever sends frames on this link is the gateway.
    if (this.out.destinationMac < 0) this.#foundGateway(ethernetSource(frame.bytes, frame.start));
    const type = ethernetType(frame.bytes, frame.start), payload = frame.start + ETHERNET_HEADER_LENGTH;
    if (type === ETHERTYPE_ARP) this.#receiveArp(frame.bytes, payload, frame.end);
    else if (type === ETHERTYPE_IPV4) this.#receiveIpv4(frame, payload);
  }

  /** The link has ended: nobody is asked any more. */
  dispose(): void {
    this.#resolver.dispose();
  }

  #receiveArp(bytes: Uint8Array, arp: number, end: number): void {
    if (!checkArp(bytes, arp, end)) return;
    const sender = arpSenderIp(bytes, arp), mac = arpSenderMac(bytes, arp);
    if (arpOperation(bytes, arp) === ARP_REPLY) {
      if (sender === this.#parts.gateway) this.#foundGateway(mac);
    } else if (arpTargetIp(bytes, arp) === this.address) {
      this.#sendArp(ARP_REPLY, mac, sender, mac);
    }
  }

  #receiveIpv4(frame: Frame, ip: number): void {
    const bytes = frame.bytes;
    if (!checkIpv4(bytes, ip, frame.end) || !ipv4HeaderValid(bytes, ip) || ipv4IsFragment(bytes, ip)) return;
    if (ipv4Destination(bytes, ip) !== this.address) return;
    this.#parts.packet(bytes, ip, ip + ipv4TotalLength(bytes, ip), frame.checksum !== CHECKSUM_COMPLETE);
  }

  #foundGateway(mac: number): void {
    this.out.destinationMac = mac;
    this.#resolver.release();
  }

  #sendArp(operation: number, targetMac: number, targetIp: number, destination: number): void {
    const into = this.#parts.scratch, at = SEGMENT_HEADROOM;
    encodeArp(into, at, { operation, senderMac: this.out.sourceMac, senderIp: this.address, targetMac, targetIp });
    this.out.ethernet(into, at, at + ARP_LENGTH, ETHERTYPE_ARP, destination);
  }
}
