/**
 * An in-process guest over IPv4: one address, ARP (RFC 826) both ways, ICMP errors about datagrams.
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
import { ipv4AddressSum } from "../net/wire/checksum.ts";
import { ETHERTYPE_ARP } from "../net/wire/ethernet.ts";
import { CHECKSUM_COMPLETE, type Frame, SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import {
  checkIcmpv4,
  encodeIcmpv4Error,
  ICMP_ADMIN_PROHIBITED,
  ICMP_PORT_UNREACHABLE,
  ICMP_UNREACHABLE,
  icmpv4ChecksumValid,
  icmpv4Code,
  icmpv4Quoted,
  icmpv4Type,
} from "../net/wire/icmpv4.ts";
import {
  checkIpv4,
  IPV4_HEADER_LENGTH,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4HeaderValid,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_UDP,
} from "../net/wire/ipv4.ts";
import { udpDestinationPort, udpSourcePort } from "../net/wire/udp.ts";
import type { FrameSender } from "../nat/ip/frame_sender.ts";
import { Ipv4Sender } from "../nat/ip/ipv4_sender.ts";
import type { Packet } from "../nat/ip/packet.ts";
import { type DatagramFailure, type FamilyParts, StationFamily } from "./family.ts";

/** One IPv4 address of a station. */
export class Ipv4Family extends StationFamily {
  protected override readonly icmp = PROTOCOL_ICMP;
  protected override readonly headerLength = IPV4_HEADER_LENGTH;
  #address: IpAddress;

  /** A station that sends frames by `out`. */
  constructor(out: FrameSender, address: IpAddress, parts: FamilyParts) {
    super(new Ipv4Sender(out), parts);
    this.#address = address;
  }

  /** Takes a packet. */
  override receive(frame: Frame, ip: number): void {
    const { bytes } = frame, { packet } = this;
    if (!checkIpv4(bytes, ip, frame.end) || !ipv4HeaderValid(bytes, ip) || ipv4IsFragment(bytes, ip)) return;
    const source = ipv4Source(bytes, ip), destination = ipv4Destination(bytes, ip);
    if (destination !== this.#address.ipv4) return;
    packet.bytes = bytes;
    packet.ip = ip;
    packet.transport = ip + ipv4HeaderLength(bytes, ip);
    packet.end = ip + ipv4TotalLength(bytes, ip);
    packet.key.setIpv4(0, ipv4Protocol(bytes, ip), source, 0, destination, 0);
    if (packet.key.protocol === PROTOCOL_ICMP) return this.#receiveIcmp(packet);
    this.transportArrived(packet, ipv4AddressSum(source, destination), frame.checksum === CHECKSUM_COMPLETE);
  }

  /** Takes the ARP message at `arp` of a frame. */
  receiveArp({ bytes, end }: Frame, arp: number): void {
    if (!checkArp(bytes, arp, end)) return;
    const sender = arpSenderIp(bytes, arp), mac = arpSenderMac(bytes, arp);
    if (arpOperation(bytes, arp) === ARP_REPLY) {
      if (sender === this.gateway.ipv4) this.parts.foundGateway(mac);
    } else if (arpTargetIp(bytes, arp) === this.#address.ipv4) {
      this.#sendArp(ARP_REPLY, mac, sender, mac);
    }
  }

  /** Asks by ARP. */
  override request(address: IpAddress): void {
    this.#sendArp(ARP_REQUEST, 0, address.ipv4, MAC_BROADCAST);
  }

  protected override sourceTo(): IpAddress {
    return this.#address;
  }

  protected override encodePortUnreachable({ bytes, ip, end }: Packet, into: Uint8Array, at: number): number {
    const error = { type: ICMP_UNREACHABLE, code: ICMP_PORT_UNREACHABLE };
    return encodeIcmpv4Error(into, at, error, { bytes, start: ip, end });
  }

  #receiveIcmp({ bytes, transport: icmp, end }: Packet): void {
    if (!checkIcmpv4(bytes, icmp, end) || !icmpv4ChecksumValid(bytes, icmp, end)) return;
    const quote = icmpv4Quoted(bytes, icmp, end);
    if (icmpv4Type(bytes, icmp) !== ICMP_UNREACHABLE || quote < 0) return;
    if (ipv4Source(bytes, quote) !== this.#address.ipv4 || ipv4Protocol(bytes, quote) !== PROTOCOL_UDP) return;
    const udp = quote + ipv4HeaderLength(bytes, quote), code = icmpv4Code(bytes, icmp);
    this.parts.user.datagramFailed({
      fromPort: udpSourcePort(bytes, udp),
      to: IpAddress.fromIpv4(ipv4Destination(bytes, quote)),
      toPort: udpDestinationPort(bytes, udp),
      reason: reasonOf(code),
      code,
    });
  }

  #sendArp(operation: number, targetMac: number, targetIp: number, destination: number): void {
    const { out } = this.sender, into = this.parts.scratch, at = SEGMENT_HEADROOM;
    encodeArp(into, at, { operation, senderMac: out.sourceMac, senderIp: this.#address.ipv4, targetMac, targetIp });
    out.ethernet(into, at, at + ARP_LENGTH, ETHERTYPE_ARP, destination);
  }
}

function reasonOf(code: number): DatagramFailure["reason"] {
  if (code === ICMP_PORT_UNREACHABLE) return "refused";
  return code === ICMP_ADMIN_PROHIBITED ? "prohibited" : "unreachable";
}
