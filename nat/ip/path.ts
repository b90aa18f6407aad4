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
import { ICMP_ECHO_REPLY, icmpv4SetEcho } from "../../net/wire/icmpv4.ts";
import { encodeIpv4, IPV4_HEADER_LENGTH, Ipv4Header, PROTOCOL_ICMP } from "../../net/wire/ipv4.ts";
import type { Icmpv4Error } from "../../net/wire/icmpv4.ts";
import { ICMPV6_ECHO_REPLY, type Icmpv6Error, icmpv6SetIdentifier } from "../../net/wire/icmpv6.ts";
import { encodeIpv6, IPV6_HEADER_LENGTH, PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import type { IpAddress } from "../../net/wire/address.ts";
import type { HostError } from "../host.ts";
import type { IpFamily } from "../rules/policy.ts";
import type { TcpLower } from "../tcp/context.ts";
import { icmpErrorFor } from "./icmp_error.ts";
import { icmpv6ErrorFor } from "./icmpv6_error.ts";
import { Ends, type IpSender } from "./ip_sender.ts";

/** A way between two addresses; as a TCP endpoint's network it carries segments. */
export interface Path extends TcpLower {
  /** The version of its packets. */
  readonly family: IpFamily;
  /**
   * Sends the UDP payload `bytes[start, end)`, with room for headers in front, in fragments if it exceeds the MTU.
   * Returns whether IP can carry so much.
   */
  udp(bytes: Uint8Array, start: number, end: number, fromPort: number, toPort: number): boolean;
  /**
   * Sends `bytes[start, end)`, an echo message of either family, as an echo reply of this one. Its identifier becomes
   * `identifier`; sequence number and data stay.
   */
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
  /** IPv4 packets to it. */
  readonly ipv4: IpSender;
  /** IPv6 packets to it. */
  readonly ipv6: IpSender;
  /** Asks whether someone else has `address` by now. */
  ask(address: IpAddress): void;
  /** Sends an ICMP error about `packet`, an IPv4 packet of the guest or its beginning, from `source` or the gateway. */
  sendIcmpError(error: Icmpv4Error, packet: Uint8Array, source?: IpAddress): void;
  /** The same for an IPv6 packet of the guest. */
  sendIcmpv6Error(error: Icmpv6Error, packet: Uint8Array, source?: IpAddress): void;
}

/** What paths of both families have in common. */
abstract class IpPath {
  protected readonly guest: PathGuest;
  protected readonly sender: IpSender;
  /** Of packets to the guest. */
  protected readonly ends: Ends;

  constructor(guest: PathGuest, sender: IpSender, ends: Ends) {
    this.guest = guest;
    this.sender = sender;
    this.ends = ends;
  }

  /** The MTU of the path to the guest less the headers. */
  get maxSegmentSize(): number {
    return this.sender.maxSegmentSize;
  }

  /** 64 KiB if the link segments. */
  get maxBurst(): number {
    return this.sender.maxBurst;
  }

  /** Sends a TCP segment. */
  transmit(bytes: Uint8Array, start: number, end: number, segmentSize: number): void {
    this.sender.tcp(bytes, start, end, segmentSize, this.ends);
  }

  /** Sends a UDP datagram. */
  udp(bytes: Uint8Array, start: number, end: number, fromPort: number, toPort: number): boolean {
    return this.sender.udp(bytes, start, end, fromPort, toPort, this.ends);
  }

  /** Asks who has the guest's address. */
  ask(): void {
    this.guest.ask(this.ends.destination);
  }
}

const header = new Ipv4Header();

/** A path over IPv4. */
export class Ipv4Path extends IpPath implements Path {
  /** IPv4. */
  readonly family = 4;

  /** Between two addresses. */
  constructor(guest: PathGuest, guestAddress: IpAddress, remoteAddress: IpAddress) {
    super(guest, guest.ipv4, new Ends(remoteAddress, guestAddress));
  }

  /** Sends an echo reply. */
  echoReply(bytes: Uint8Array, start: number, end: number, identifier: number): void {
    icmpv4SetEcho(bytes, start, end, ICMP_ECHO_REPLY, identifier);
    this.sender.packet(bytes, start, end, PROTOCOL_ICMP, this.ends);
  }

  /** Tells the guest what became of a packet. */
  error(error: HostError, mtu: number, protocol: number, transport: Uint8Array): boolean {
    const icmp = icmpErrorFor(error, mtu);
    if (icmp === null) return false;
    const packet = new Uint8Array(IPV4_HEADER_LENGTH + transport.length), { source: remote, destination } = this.ends;
    header.protocol = protocol;
    header.source = destination.ipv4;
    header.destination = remote.ipv4;
    header.totalLength = packet.length;
    encodeIpv4(packet, 0, header);
    packet.set(transport, IPV4_HEADER_LENGTH);
    // The port's refusal is its host's own word, everything else some router's.
    this.guest.sendIcmpError(icmp, packet, error === "refused" ? remote : undefined);
    return true;
  }
}

/** A path over IPv6. */
export class Ipv6Path extends IpPath implements Path {
  /** IPv6. */
  readonly family = 6;

  /** Between two addresses. */
  constructor(guest: PathGuest, guestAddress: IpAddress, remoteAddress: IpAddress) {
    super(guest, guest.ipv6, new Ends(remoteAddress, guestAddress));
  }

  /** Sends an echo message as a reply. Its checksum is made anew: it covers addresses other than the host's. */
  echoReply(bytes: Uint8Array, start: number, end: number, identifier: number): void {
    bytes[start] = ICMPV6_ECHO_REPLY;
    icmpv6SetIdentifier(bytes, start, end, identifier, this.ends.addressSum);
    this.sender.packet(bytes, start, end, PROTOCOL_ICMPV6, this.ends);
  }

  /** Tells the guest what became of a packet. */
  error(error: HostError, mtu: number, protocol: number, transport: Uint8Array): boolean {
    const icmp = icmpv6ErrorFor(error, mtu);
    if (icmp === null) return false;
    const packet = new Uint8Array(IPV6_HEADER_LENGTH + transport.length), { source: remote, destination } = this.ends;
    const payloadLength = transport.length;
    encodeIpv6(packet, 0, { payloadLength, nextHeader: protocol, source: destination, destination: remote });
    packet.set(transport, IPV6_HEADER_LENGTH);
    this.guest.sendIcmpv6Error(icmp, packet, error === "refused" ? remote : undefined);
    return true;
  }
}
