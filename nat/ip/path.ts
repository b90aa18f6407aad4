/**
 * The way between one address of a guest and one remote address, as the guest sees both: the one seam between relays
 * and IP.
 *
 * A relay is given a path and never holds an address. What differs between the families (headers, sizes, the form of an
 * error) stands behind this interface, once for each family. Packets go to the guest; what comes from it arrives as a
 * `Packet`.
 *
 * @module
 */
import { icmpv4SetIdentifier } from "../../net/wire/icmpv4.ts";
import { encodeIpv4, IPV4_HEADER_LENGTH, Ipv4Header, PROTOCOL_ICMP } from "../../net/wire/ipv4.ts";
import type { Icmpv4Error } from "../../net/wire/icmpv4.ts";
import type { HostError } from "../host.ts";
import type { IpFamily } from "../rules/policy.ts";
import type { TcpLower } from "../tcp/context.ts";
import type { FrameSender, UdpPath } from "./frame_sender.ts";
import { icmpErrorFor } from "./icmp_error.ts";

/** A way between two addresses; as a TCP endpoint's network it carries segments. */
export interface Path extends TcpLower {
  /** The version of its packets. */
  readonly family: IpFamily;
  /**
   * Sends the UDP payload `bytes[start, end)`, with room for headers in front, in fragments if it exceeds the MTU.
   * Returns whether IP can carry so much.
   */
  udp(bytes: Uint8Array, start: number, end: number, fromPort: number, toPort: number): boolean;
  /** Sends the echo reply `bytes[start, end)`, whose identifier becomes `identifier`. */
  echoReply(bytes: Uint8Array, start: number, end: number, identifier: number): void;
  /**
   * Tells the guest by ICMP what became of a packet that it sent on this path: `transport` is the beginning of its
   * transport header (RFC 792 wants 8 bytes), `mtu` what the path beyond carries with `tooLarge`. Returns whether there
   * is a message for it.
   */
  error(error: HostError, mtu: number, protocol: number, transport: Uint8Array): boolean;
  /** Asks whether someone else has the guest's address by now. */
  ask(): void;
}

/** What a path needs of its guest. */
export interface PathGuest {
  /** Frames to it. */
  readonly out: FrameSender;
  /** Asks by ARP whether someone else has `address`, a 32-bit number, by now. */
  ask(address: number): void;
  /** Sends an ICMP error about `packet`, an IPv4 packet of the guest or its beginning, from `source` or the gateway. */
  sendIcmpError(error: Icmpv4Error, packet: Uint8Array, source?: number): void;
}

const header = new Ipv4Header();
const ends: UdpPath = { source: 0, sourcePort: 0, destination: 0, destinationPort: 0 };

/** A path over IPv4. */
export class Ipv4Path implements Path {
  /** IPv4. */
  readonly family = 4;

  #guest: PathGuest;
  #guestAddress: number;
  #remoteAddress: number;

  /** Between two addresses as 32-bit numbers. */
  constructor(guest: PathGuest, guestAddress: number, remoteAddress: number) {
    this.#guest = guest;
    this.#guestAddress = guestAddress;
    this.#remoteAddress = remoteAddress;
  }

  /** The MTU of the path to the guest less the headers. */
  get maxSegmentSize(): number {
    return this.#guest.out.maxSegmentSize;
  }

  /** 64 KiB if the link segments. */
  get maxBurst(): number {
    return this.#guest.out.maxBurst;
  }

  /** Sends a TCP segment. */
  transmit(bytes: Uint8Array, start: number, end: number, segmentSize: number): void {
    this.#guest.out.tcp(bytes, start, end, segmentSize, this.#remoteAddress, this.#guestAddress);
  }

  /** Sends a UDP datagram. */
  udp(bytes: Uint8Array, start: number, end: number, fromPort: number, toPort: number): boolean {
    ends.source = this.#remoteAddress;
    ends.sourcePort = fromPort;
    ends.destination = this.#guestAddress;
    ends.destinationPort = toPort;
    return this.#guest.out.udp(bytes, start, end, ends);
  }

  /** Sends an echo reply. */
  echoReply(bytes: Uint8Array, start: number, end: number, identifier: number): void {
    icmpv4SetIdentifier(bytes, start, end, identifier);
    this.#guest.out.ipv4(bytes, start, end, PROTOCOL_ICMP, this.#remoteAddress, this.#guestAddress);
  }

  /** Tells the guest what became of a packet. */
  error(error: HostError, mtu: number, protocol: number, transport: Uint8Array): boolean {
    const icmp = icmpErrorFor(error, mtu);
    if (icmp === null) return false;
    const packet = new Uint8Array(IPV4_HEADER_LENGTH + transport.length);
    header.protocol = protocol;
    header.source = this.#guestAddress;
    header.destination = this.#remoteAddress;
    header.totalLength = packet.length;
    encodeIpv4(packet, 0, header);
    packet.set(transport, IPV4_HEADER_LENGTH);
    // The port's refusal is its host's own word, everything else some router's.
    this.#guest.sendIcmpError(icmp, packet, error === "refused" ? this.#remoteAddress : undefined);
    return true;
  }

  /** Asks by ARP. */
  ask(): void {
    this.#guest.ask(this.#guestAddress);
  }
}
