/**
 * Packets to one station: headers written in front of a payload, in place, and the packet given to a `FrameSender`.
 *
 * The transport header is there already; this adds the transport checksum and, by what is particular to a family
 * (`ipv4_sender.ts`, `ipv6_sender.ts`), the IP header. Where the link offloads, a checksum is left at the
 * pseudo-header's sum and a TCP segment larger than the MTU goes down whole, with the size of the pieces it stands for.
 *
 * **Fragments.** Another packet larger than the MTU is cut up, in place and from the front: the headers of a fragment
 * are written over the end of the one before it, which has left.
 *
 * **Path MTU.** `mtu` is the link's until the station says by ICMP that something behind it carries less (RFC 1191, RFC
 * 8201); it never falls below what the family demands of every path, so that nobody can have large packets cut into
 * thousands.
 *
 * @module
 */
import type { AddressPair, IpAddress } from "../../net/wire/address.ts";
import { addressSum } from "../../net/wire/checksum.ts";
import { ETHERNET_HEADER_LENGTH } from "../../net/wire/ethernet.ts";
import { CHECKSUM_PARTIAL, Frame } from "../../net/wire/frame.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { TCP_HEADER_LENGTH, tcpSetChecksum, tcpSetPartialChecksum } from "../../net/wire/tcp.ts";
import { encodeUdp, UDP_HEADER_LENGTH, udpSetChecksum, udpSetPartialChecksum } from "../../net/wire/udp.ts";
import type { FrameSender } from "./frame_sender.ts";

const LONGEST_TCP_HEADER = 60;
const TCP_CHECKSUM_FIELD = 16;
const UDP_CHECKSUM_FIELD = 6;

/** The two ends of packets, of one family. */
export class Ends implements AddressPair {
  /** Where they come from. */
  readonly source: IpAddress;
  /** Where they go. */
  readonly destination: IpAddress;
  /** The words of both, the source first. */
  readonly words: Uint32Array;
  /** What both addresses add to a checksum. */
  readonly addressSum: number;

  /** Between two addresses. */
  constructor(source: IpAddress, destination: IpAddress) {
    this.source = source;
    this.destination = destination;
    const from = source, to = destination;
    this.words = Uint32Array.of(from.w0, from.w1, from.w2, from.w3, to.w0, to.w1, to.w2, to.w3);
    this.addressSum = addressSum(source) + addressSum(destination);
  }
}

/** What is particular to a family. */
export interface IpSizes {
  /** The EtherType. */
  readonly etherType: number;
  /** Bytes of the header. */
  readonly headerLength: number;
  /** Most bytes behind the header. */
  readonly maxPayload: number;
  /** The least MTU that a path is taken to have. */
  readonly leastMtu: number;
}

/** Sends packets of one family to one station. */
export abstract class IpSender {
  /** Frames to the station. */
  readonly out: FrameSender;

  #sizes: IpSizes;
  #mtu: number;
  #maxSegmentSize: number;
  #maxBurst: number;
  #frame = new Frame();

  /** Packets in frames of `out`. */
  constructor(out: FrameSender, sizes: IpSizes) {
    this.out = out;
    this.#sizes = sizes;
    this.#mtu = out.link.mtu;
    this.#maxSegmentSize = this.#mtu - sizes.headerLength - TCP_HEADER_LENGTH;
    this.#maxBurst = 65535 - sizes.headerLength - LONGEST_TCP_HEADER;
  }

  /** Writes the header of a packet whose payload is `bytes[start, end)` in front of that. */
  protected abstract writeHeader(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): void;

  /** Sends `bytes[start, end)`, which exceeds the MTU, as the payload of a packet in fragments. */
  protected abstract fragments(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): void;

  /** Largest packet that reaches the other station whole. */
  get mtu(): number {
    return this.#mtu;
  }

  /** The path carries no more than `mtu` bytes, as an ICMP error says. Returns whether that is news. */
  lowerMtu(mtu: number): boolean {
    // A router from before RFC 1191 says 0 (section 5 there).
    const lower = Math.max(mtu, Math.min(this.#sizes.leastMtu, this.out.link.mtu));
    if (lower >= this.#mtu) return false;
    this.#setMtu(lower);
    return true;
  }

  /** The path may be as wide as the link again. */
  resetMtu(): void {
    this.#setMtu(this.out.link.mtu);
  }

  #setMtu(mtu: number): void {
    this.#mtu = mtu;
    this.#maxSegmentSize = mtu - this.#sizes.headerLength - TCP_HEADER_LENGTH;
  }

  /** Largest TCP payload in a packet of the path. */
  get maxSegmentSize(): number {
    return this.#maxSegmentSize;
  }

  /** Largest TCP payload that may be handed to the link at once: with all its options it fills an IPv4 packet. */
  get maxBurst(): number {
    return this.out.link.offload ? this.#maxBurst : this.#maxSegmentSize;
  }

  /** Largest payload of a UDP datagram. */
  get maxDatagram(): number {
    return this.#sizes.maxPayload - UDP_HEADER_LENGTH;
  }

  /**
   * Sends the TCP segment `bytes[start, end)`, without checksum, cut into pieces of `segmentSize` where that is not 0.
   */
  tcp(bytes: Uint8Array, start: number, end: number, segmentSize: number, ends: Ends): void {
    const offload = this.out.link.offload;
    if (offload) tcpSetPartialChecksum(bytes, start, end, ends.addressSum);
    else tcpSetChecksum(bytes, start, end, ends.addressSum);
    const frame = this.#packet(bytes, start, end, PROTOCOL_TCP, ends);
    if (offload) {
      frame.checksum = CHECKSUM_PARTIAL;
      frame.transport = start;
      frame.checksumField = TCP_CHECKSUM_FIELD;
      frame.segmentSize = segmentSize;
    }
    this.out.give(frame, this.out.destinationMac, this.#sizes.etherType);
  }

  /**
   * Sends the UDP payload `bytes[start, end)`, in fragments if it exceeds the MTU. Returns false if it exceeds
   * `maxDatagram`.
   */
  udp(bytes: Uint8Array, start: number, end: number, fromPort: number, toPort: number, ends: Ends): boolean {
    if (end - start > this.maxDatagram) return false;
    const udp = start - UDP_HEADER_LENGTH;
    encodeUdp(bytes, udp, fromPort, toPort, end - udp);
    if (!this.out.link.offload || this.#isLarge(udp, end)) {
      udpSetChecksum(bytes, udp, ends.addressSum);
      this.packet(bytes, udp, end, PROTOCOL_UDP, ends);
      return true;
    }
    udpSetPartialChecksum(bytes, udp, ends.addressSum);
    const frame = this.#packet(bytes, udp, end, PROTOCOL_UDP, ends);
    frame.checksum = CHECKSUM_PARTIAL;
    frame.transport = udp;
    frame.checksumField = UDP_CHECKSUM_FIELD;
    this.out.give(frame, this.out.destinationMac, this.#sizes.etherType);
    return true;
  }

  /**
   * Sends the UDP payload `bytes[start, end)` of one packet to a MAC address of its own. The checksum is complete on
   * every link: who has no address yet reads it from a packet socket and checks it himself.
   */
  udpTo(
    mac: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    { fromPort, toPort, ends }: { fromPort: number; toPort: number; ends: Ends },
  ): void {
    const udp = start - UDP_HEADER_LENGTH;
    encodeUdp(bytes, udp, fromPort, toPort, end - udp);
    udpSetChecksum(bytes, udp, ends.addressSum);
    this.out.give(this.#packet(bytes, udp, end, PROTOCOL_UDP, ends), mac, this.#sizes.etherType);
  }

  /** Sends `bytes[start, end)` as the payload of a packet, in fragments where it exceeds the MTU. */
  packet(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): void {
    if (this.#isLarge(start, end)) return this.fragments(bytes, start, end, protocol, ends);
    const frame = this.#packet(bytes, start, end, protocol, ends);
    this.out.give(frame, this.out.destinationMac, this.#sizes.etherType);
  }

  /** Sends the packet whose header is at `bytes[ip]`. Returns whether it is on its way. */
  protected send(bytes: Uint8Array, ip: number, end: number): boolean {
    const frame = this.#frame.set(bytes, ip - ETHERNET_HEADER_LENGTH, end);
    return this.out.give(frame, this.out.destinationMac, this.#sizes.etherType);
  }

  #isLarge(start: number, end: number): boolean {
    return end - start + this.#sizes.headerLength > this.#mtu;
  }

  #packet(bytes: Uint8Array, start: number, end: number, protocol: number, ends: Ends): Frame {
    this.writeHeader(bytes, start, end, protocol, ends);
    return this.#frame.set(bytes, start - this.#sizes.headerLength - ETHERNET_HEADER_LENGTH, end);
  }
}
