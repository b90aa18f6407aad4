/**
 * Frames out of packets: headers written in front of a payload, in place, and the frame given to a link.
 *
 * The transport header is there already; this adds the transport checksum, IPv4 and Ethernet. Where the link offloads,
 * a checksum is left at the pseudo-header's sum and a TCP segment larger than the MTU goes down whole, with the size of
 * the pieces it stands for.
 *
 * **Fragments.** Another packet larger than the MTU is cut up (RFC 791 section 3.2), in place and from the front: the
 * headers of a fragment are written over the end of the one before it, which has left. All of one packet have an
 * identification that the next 65,535 such packets do not have; packets that are whole need none (RFC 6864 section
 * 4.1), are not to be fragmented on the way, and so tell us when a path has become narrower.
 *
 * **Path MTU.** `mtu` is the link's until the station says by ICMP that something behind it carries less (RFC 1191); it
 * never falls below `MIN_PATH_MTU`, so that nobody can have large packets cut into thousands.
 *
 * @module
 */
import { ipv4AddressSum } from "../../net/wire/checksum.ts";
import { encodeEthernet, ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4 } from "../../net/wire/ethernet.ts";
import { CHECKSUM_PARTIAL, Frame } from "../../net/wire/frame.ts";
import {
  encodeIpv4,
  IPV4_HEADER_LENGTH,
  ipv4Destination,
  Ipv4Header,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { tcpSetChecksum, tcpSetPartialChecksum } from "../../net/wire/tcp.ts";
import { encodeUdp, UDP_HEADER_LENGTH, udpSetChecksum, udpSetPartialChecksum } from "../../net/wire/udp.ts";

/** What is needed of a link; `Link` of `net/link` is one. */
export interface FrameSink {
  /** For messages. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** Whether partial checksums and 64 KiB segments may be sent. */
  readonly offload: boolean;
  /** Whose time the work for the guest takes; handed on to the host with every socket (`HostSocketOwner`). */
  readonly payer?: object | undefined;
  /** Sends a frame or drops it. */
  send(frame: Frame): boolean;
  /** Sends what was held back. */
  flush(): void;
}

/** IPv4 and TCP headers without options. */
const TCP_HEADERS = IPV4_HEADER_LENGTH + 20;
/** Largest payload of a TCP segment with all its options in an IPv4 packet. */
const BURST = 65535 - IPV4_HEADER_LENGTH - 60;
const TCP_CHECKSUM_FIELD = 16;
const UDP_CHECKSUM_FIELD = 6;

/** Largest payload of a UDP datagram over IPv4. */
export const UDP_MAX_PAYLOAD: number = 65535 - IPV4_HEADER_LENGTH - UDP_HEADER_LENGTH;
/** The least MTU that a path is taken to have: what every IPv4 host can receive whole (RFC 791 section 3.1). */
export const MIN_PATH_MTU = 576;

/** The two ends of a datagram. */
export interface UdpPath {
  /** Source address as a 32-bit number. */
  source: number;
  /** Source port. */
  sourcePort: number;
  /** Destination address as a 32-bit number. */
  destination: number;
  /** Destination port. */
  destinationPort: number;
}

/** Sends packets of one station to one other on a link. */
export class FrameSender {
  /** The link. */
  readonly link: FrameSink;
  /** The sender's MAC address. */
  readonly sourceMac: number;
  /** The other station's MAC address; -1 until it is known. */
  destinationMac: number = -1;

  #sent: (taken: boolean) => void;
  #unresolved: (frame: Frame, destination: number) => void;
  #frame = new Frame();
  #header = new Ipv4Header();
  #fragment = Object.assign(new Ipv4Header(), { dontFragment: false });
  #mtu: number;

  /**
   * `sent` is called after each frame with whether the link took it. `unresolved` is given the frames of IPv4 packets
   * for which no MAC address is known, with the packet's destination; they are valid until it returns.
   */
  constructor(
    link: FrameSink,
    options: {
      sourceMac: number;
      sent: (taken: boolean) => void;
      unresolved: (frame: Frame, destination: number) => void;
    },
  ) {
    this.link = link;
    this.sourceMac = options.sourceMac;
    this.#sent = options.sent;
    this.#unresolved = options.unresolved;
    this.#mtu = link.mtu;
  }

  /** Largest IP packet that reaches the other station whole. */
  get mtu(): number {
    return this.#mtu;
  }

  /** The path carries no more than `mtu` bytes, as an ICMP error says. Returns whether that is news. */
  lowerMtu(mtu: number): boolean {
    // A router from before RFC 1191 says 0 (section 5 there).
    const lower = Math.max(mtu, Math.min(MIN_PATH_MTU, this.link.mtu));
    if (lower >= this.#mtu) return false;
    this.#mtu = lower;
    return true;
  }

  /** The path may be as wide as the link again. */
  resetMtu(): void {
    this.#mtu = this.link.mtu;
  }

  /** Largest TCP payload in a packet of the path. */
  get maxSegmentSize(): number {
    return this.#mtu - TCP_HEADERS;
  }

  /** Largest TCP payload that may be handed to the link at once. */
  get maxBurst(): number {
    return this.link.offload ? BURST : this.maxSegmentSize;
  }

  /**
   * Sends the TCP segment `bytes[start, end)`, without checksum, cut into pieces of `segmentSize` where that is not 0.
   */
  tcp(bytes: Uint8Array, start: number, end: number, segmentSize: number, source: number, destination: number): void {
    const offload = this.link.offload, addressSum = ipv4AddressSum(source, destination);
    if (offload) tcpSetPartialChecksum(bytes, start, end, addressSum);
    else tcpSetChecksum(bytes, start, end, addressSum);
    const frame = this.#ipv4Frame(this.#header, bytes, start, end, PROTOCOL_TCP, source, destination);
    if (offload) {
      frame.checksum = CHECKSUM_PARTIAL;
      frame.transport = start;
      frame.checksumField = TCP_CHECKSUM_FIELD;
      frame.segmentSize = segmentSize;
    }
    this.#give(frame, this.destinationMac, ETHERTYPE_IPV4);
  }

  /**
   * Sends the UDP payload `bytes[start, end)`, in fragments if it exceeds the MTU. Returns false if it exceeds
   * `UDP_MAX_PAYLOAD`.
   */
  udp(bytes: Uint8Array, start: number, end: number, path: UdpPath): boolean {
    if (end - start > UDP_MAX_PAYLOAD) return false;
    const udp = start - UDP_HEADER_LENGTH, { source, destination } = path;
    encodeUdp(bytes, udp, path.sourcePort, path.destinationPort, end - udp);
    if (!this.link.offload || this.#isLarge(udp, end)) {
      udpSetChecksum(bytes, udp, ipv4AddressSum(source, destination));
      this.ipv4(bytes, udp, end, PROTOCOL_UDP, source, destination);
      return true;
    }
    udpSetPartialChecksum(bytes, udp, ipv4AddressSum(source, destination));
    const frame = this.#ipv4Frame(this.#header, bytes, udp, end, PROTOCOL_UDP, source, destination);
    frame.checksum = CHECKSUM_PARTIAL;
    frame.transport = udp;
    frame.checksumField = UDP_CHECKSUM_FIELD;
    this.#give(frame, this.destinationMac, ETHERTYPE_IPV4);
    return true;
  }

  /**
   * Sends the UDP payload `bytes[start, end)` of one packet to a MAC address of its own. The checksum is complete on
   * every link: who has no address yet reads it from a packet socket and checks it himself.
   */
  udpTo(mac: number, bytes: Uint8Array, start: number, end: number, path: UdpPath): void {
    const udp = start - UDP_HEADER_LENGTH, { source, destination } = path;
    encodeUdp(bytes, udp, path.sourcePort, path.destinationPort, end - udp);
    udpSetChecksum(bytes, udp, ipv4AddressSum(source, destination));
    const frame = this.#ipv4Frame(this.#header, bytes, udp, end, PROTOCOL_UDP, source, destination);
    this.#give(frame, mac, ETHERTYPE_IPV4);
  }

  /**
   * Sends `bytes[start, end)`, at most 65,515 bytes, as the payload of an IPv4 packet, in fragments where it exceeds
   * the MTU.
   */
  ipv4(bytes: Uint8Array, start: number, end: number, protocol: number, source: number, destination: number): void {
    if (this.#isLarge(start, end)) return this.#fragments(bytes, start, end, protocol, source, destination);
    const frame = this.#ipv4Frame(this.#header, bytes, start, end, protocol, source, destination);
    this.#give(frame, this.destinationMac, ETHERTYPE_IPV4);
  }

  /** Sends `bytes[start, end)` as the payload of a frame, to `mac`. */
  ethernet(bytes: Uint8Array, start: number, end: number, type: number, mac: number = this.destinationMac): void {
    this.#give(this.#frame.set(bytes, start - ETHERNET_HEADER_LENGTH, end), mac, type);
  }

  #isLarge(start: number, end: number): boolean {
    return end - start + IPV4_HEADER_LENGTH > this.#mtu;
  }

  #fragments(
    bytes: Uint8Array,
    start: number,
    end: number,
    protocol: number,
    source: number,
    destination: number,
  ): void {
    // All but the last are a multiple of 8 bytes long (RFC 791 section 3.2).
    const header = this.#fragment, size = (this.#mtu - IPV4_HEADER_LENGTH) & ~7;
    header.identification = (header.identification + 1) & 0xffff;
    for (let at = start; at < end; at += size) {
      const last = Math.min(at + size, end);
      header.fragmentOffset = at - start;
      header.moreFragments = last < end;
      const frame = this.#ipv4Frame(header, bytes, at, last, protocol, source, destination);
      // Without one of them the others are of no use.
      if (!this.#give(frame, this.destinationMac, ETHERTYPE_IPV4)) return;
    }
  }

  #ipv4Frame(
    header: Ipv4Header,
    bytes: Uint8Array,
    start: number,
    end: number,
    protocol: number,
    source: number,
    destination: number,
  ): Frame {
    const ip = start - IPV4_HEADER_LENGTH;
    header.protocol = protocol;
    header.source = source;
    header.destination = destination;
    header.totalLength = end - ip;
    encodeIpv4(bytes, ip, header);
    return this.#frame.set(bytes, ip - ETHERNET_HEADER_LENGTH, end);
  }

  /** Sends a frame that `unresolved` was given, or a copy of it, now that the MAC address is known. */
  resume(frame: Frame): void {
    this.#give(frame, this.destinationMac, ETHERTYPE_IPV4);
  }

  #give(frame: Frame, mac: number, type: number): boolean {
    if (mac < 0) {
      this.#unresolved(frame, ipv4Destination(frame.bytes, frame.start + ETHERNET_HEADER_LENGTH));
      return true;
    }
    encodeEthernet(frame.bytes, frame.start, mac, this.sourceMac, type);
    const taken = this.link.send(frame);
    this.#sent(taken);
    return taken;
  }
}
