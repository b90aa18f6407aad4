/**
 * What a station on a link is over one family of addresses: the one interface that the rest of an in-process guest
 * knows, and what both families have in common behind it.
 *
 * A family checks a packet header by header and hands it on as the gateway's inputs do, as a `Packet`. Its key is that
 * of what comes: the sender stands where `FlowKey` says guest, and the station where it says remote. What is wrong, a
 * fragment or for somebody else is dropped without a word: whoever sends it is a gateway.
 *
 * @module
 */
import type { IpAddress } from "../net/wire/address.ts";
import { type Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/wire/ipv4.ts";
import { UDP_HEADER_LENGTH } from "../net/wire/udp.ts";
import { Ends, type IpSender } from "../nat/ip/ip_sender.ts";
import { Packet } from "../nat/ip/packet.ts";
import { flawOfTcp, flawOfUdp } from "../nat/ip/transport_checks.ts";

/** What became of a datagram of the guest, by an ICMP error. */
export interface DatagramFailure {
  /** The port that it came from. */
  readonly fromPort: number;
  /** Where it went. */
  readonly to: IpAddress;
  /** The port there. */
  readonly toPort: number;
  /** Nobody listens on that port, a rule forbids it, or anything else. */
  readonly reason: "refused" | "prohibited" | "unreachable";
  /** The code of the error. */
  readonly code: number;
}

/** Who takes what comes for a station. */
export interface FamilyUser {
  /** Takes the TCP segment in `packet`, which is valid until this returns. */
  segmentArrived(packet: Packet, family: StationFamily): void;
  /** Takes the UDP datagram in `packet`, which is valid until this returns. */
  datagramArrived(packet: Packet, family: StationFamily): void;
  /** A datagram did not arrive. */
  datagramFailed(failure: DatagramFailure): void;
}

/** What a family needs of its station. */
export interface FamilyParts {
  /** The gateway's address. */
  readonly gateway: IpAddress;
  /** A buffer that is used within one call. */
  readonly scratch: Uint8Array;
  /** Takes what comes. */
  readonly user: FamilyUser;
  /** The gateway says that it has this MAC address. */
  foundGateway(mac: number): void;
}

/** A station over one family of addresses. */
export abstract class StationFamily {
  /** Packets to the gateway. */
  readonly sender: IpSender;
  /** The gateway's address. */
  readonly gateway: IpAddress;

  protected readonly parts: FamilyParts;
  protected readonly packet: Packet = new Packet();
  /** Protocol number of the family's ICMP. */
  protected abstract readonly icmp: number;
  /** Bytes of a header without options. */
  protected abstract readonly headerLength: number;

  /** Packets of `sender`. */
  constructor(sender: IpSender, parts: FamilyParts) {
    this.sender = sender;
    this.parts = parts;
    this.gateway = parts.gateway;
  }

  /** Takes the packet at `ip` of a frame. */
  abstract receive(frame: Frame, ip: number): void;

  /** Asks who has `address`. */
  abstract request(address: IpAddress): void;

  /** The station's own address in packets to `remote`. */
  protected abstract sourceTo(remote: IpAddress): IpAddress;

  /** Writes "port unreachable" about `packet` at `into[at]` and returns its length. */
  protected abstract encodePortUnreachable(packet: Packet, into: Uint8Array, at: number, ends: Ends): number;

  /** The ends of packets to `remote`. */
  to(remote: IpAddress): Ends {
    return new Ends(this.sourceTo(remote), remote);
  }

  /** The ends of the answer to `packet`. */
  back({ key }: Packet): Ends {
    return new Ends(key.remoteAddress, key.guestAddress);
  }

  /** The largest payload of a datagram that the link carries whole. */
  get maxDatagram(): number {
    const { mtu } = this.sender.out.link;
    return Math.min(mtu - this.headerLength - UDP_HEADER_LENGTH, this.sender.maxDatagram);
  }

  /** Tells the sender of the datagram in `packet` that nobody listens on its port (RFC 1122 section 4.1.3.1). */
  refuse(packet: Packet): void {
    const into = this.parts.scratch, at = SEGMENT_HEADROOM, ends = this.back(packet);
    this.sender.packet(into, at, at + this.encodePortUnreachable(packet, into, at, ends), this.icmp, ends);
  }

  /** Hands TCP and UDP on; `check`: their checksum must be looked at. */
  protected transportArrived(packet: Packet, addressSum: number, check: boolean): void {
    const { user } = this.parts;
    switch (packet.key.protocol) {
      case PROTOCOL_TCP:
        if (flawOfTcp(packet, addressSum, check) === null) user.segmentArrived(packet, this);
        return;
      case PROTOCOL_UDP:
        if (flawOfUdp(packet, addressSum, check) === null) user.datagramArrived(packet, this);
    }
  }
}
