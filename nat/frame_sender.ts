/**
 * Frames out of packets: headers written in front of a payload, in place, and the frame given to a link.
 *
 * The transport header is there already; this adds the transport checksum, IPv4 and Ethernet. Where the link offloads, a TCP checksum is left at the pseudo-header's
 * sum and a segment larger than the MTU goes down whole, with the size of the pieces it stands for.
 *
 * @module
 */
import { encodeEthernet, ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4 } from "../net/wire/ethernet.ts";
import { CHECKSUM_PARTIAL, Frame } from "../net/wire/frame.ts";
import {
  encodeIpv4,
  IPV4_HEADER_LENGTH,
  ipv4Destination,
  Ipv4Header,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../net/wire/ipv4.ts";
import { tcpSetChecksumIpv4, tcpSetPartialChecksumIpv4 } from "../net/wire/tcp.ts";
import { encodeUdp, UDP_HEADER_LENGTH, udpSetChecksumIpv4 } from "../net/wire/udp.ts";

/** What is needed of a link; `Link` of `net/link` is one. */
export interface FrameSink {
  /** For messages. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** Whether partial checksums and 64 KiB segments may be sent. */
  readonly offload: boolean;
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

/** The two ends of a datagram. */
export interface UdpPath {
  /** Source address as a 32-bit number. */
  readonly source: number;
  /** Source port. */
  readonly sourcePort: number;
  /** Destination address as a 32-bit number. */
  readonly destination: number;
  /** Destination port. */
  readonly destinationPort: number;
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

  /**
   * `sent` is called after each frame with whether the link took it. `unresolved` is given the frames of IPv4 packets for which no MAC address is known, with
   * the packet's destination; they are valid until it returns.
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
  }

  /** Largest TCP payload in a packet of the link. */
  get maxSegmentSize(): number {
    return this.link.mtu - TCP_HEADERS;
  }

  /** Largest TCP payload that may be handed to the link at once. */
  get maxBurst(): number {
    return this.link.offload ? BURST : this.maxSegmentSize;
  }

  /** Sends the TCP segment `bytes[start, end)`, without checksum, cut into pieces of `segmentSize` where that is not 0. */
  tcp(bytes: Uint8Array, start: number, end: number, segmentSize: number, source: number, destination: number): void {
    const offload = this.link.offload;
    if (offload) tcpSetPartialChecksumIpv4(bytes, start, end, source, destination);
    else tcpSetChecksumIpv4(bytes, start, end, source, destination);
    const frame = this.#ipv4Frame(bytes, start, end, PROTOCOL_TCP, source, destination);
    if (offload) {
      frame.checksum = CHECKSUM_PARTIAL;
      frame.transport = start;
      frame.checksumField = TCP_CHECKSUM_FIELD;
      frame.segmentSize = segmentSize;
    }
    this.#give(frame, this.destinationMac, ETHERTYPE_IPV4);
  }

  /** Sends the UDP payload `bytes[start, end)`, to another MAC address than the usual where `mac` is given. Returns false where it exceeds the MTU. */
  udp(bytes: Uint8Array, start: number, end: number, path: UdpPath, mac: number = this.destinationMac): boolean {
    const udp = start - UDP_HEADER_LENGTH;
    if (end - udp + IPV4_HEADER_LENGTH > this.link.mtu) return false;
    encodeUdp(bytes, udp, path.sourcePort, path.destinationPort, end - udp);
    udpSetChecksumIpv4(bytes, udp, path.source, path.destination);
    this.#give(this.#ipv4Frame(bytes, udp, end, PROTOCOL_UDP, path.source, path.destination), mac, ETHERTYPE_IPV4);
    return true;
  }

  /** Sends `bytes[start, end)` as the payload of an IPv4 packet. */
  ipv4(bytes: Uint8Array, start: number, end: number, protocol: number, source: number, destination: number): void {
    this.#give(this.#ipv4Frame(bytes, start, end, protocol, source, destination), this.destinationMac, ETHERTYPE_IPV4);
  }

  /** Sends `bytes[start, end)` as the payload of a frame, to `mac`. */
  ethernet(bytes: Uint8Array, start: number, end: number, type: number, mac: number = this.destinationMac): void {
    this.#give(this.#frame.set(bytes, start - ETHERNET_HEADER_LENGTH, end), mac, type);
  }

  #ipv4Frame(
    bytes: Uint8Array,
    start: number,
    end: number,
    protocol: number,
    source: number,
    destination: number,
  ): Frame {
    const header = this.#header, ip = start - IPV4_HEADER_LENGTH;
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

  #give(frame: Frame, mac: number, type: number): void {
    if (mac < 0) return this.#unresolved(frame, ipv4Destination(frame.bytes, frame.start + ETHERNET_HEADER_LENGTH));
    encodeEthernet(frame.bytes, frame.start, mac, this.sourceMac, type);
    this.#sent(this.link.send(frame));
  }
}
