/**
 * Frames of a guest that asks for any address: a SYN, a datagram, an echo request, whole or in fragments.
 *
 * @module
 */
import { ipv4AddressSum } from "../../net/wire/checksum.ts";
import { encodeEthernet, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../../net/wire/ethernet.ts";
import { IpAddress, parseIpv4 } from "../../net/wire/address.ts";
import { encodeIcmpv4Echo, ICMP_ECHO_REQUEST } from "../../net/wire/icmpv4.ts";
import { encodeIpv4, Ipv4Header, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { encodeIpv6, IPV6_HEADER_LENGTH } from "../../net/wire/ipv6.ts";
import { encodeTcp, TCP_SYN, TcpHeader, tcpSetChecksum } from "../../net/wire/tcp.ts";
import { encodeUdp, udpSetChecksum } from "../../net/wire/udp.ts";
import { GATEWAY_MAC } from "../../nat/nat.ts";
import { GUEST_MAC } from "./nat_script.ts";

/** What a guest sends without being asked. */
export type Protocol = "tcp" | "udp" | "icmp";
/** Every protocol that a guest can ask for an address with. */
export const PROTOCOLS: readonly Protocol[] = ["tcp", "udp", "icmp"];

/** A packet to a destination. */
export interface AskFields {
  /** Default 10.0.2.15. */
  source?: string;
  /** The guest's port. Default 40000. */
  sourcePort?: number;
  /** The port asked. Default 80. */
  port?: number;
  /** What a datagram holds. Default four bytes. */
  payload?: Uint8Array;
}

const IP = 14, PAYLOAD = IP + 20;
const NUMBERS = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP, icmp: PROTOCOL_ICMP };

/** A frame with a SYN, a datagram or an echo request to `destination`. */
export function ask(protocol: Protocol, destination: string, fields: AskFields = {}): Uint8Array {
  const bytes = new Uint8Array(128), ip = new Ipv4Header(), sourcePort = fields.sourcePort ?? 40000;
  ip.source = parseIpv4(fields.source ?? "10.0.2.15");
  ip.destination = parseIpv4(destination);
  ip.protocol = NUMBERS[protocol];
  let length: number;
  if (protocol === "tcp") {
    const header = new TcpHeader();
    header.sourcePort = sourcePort;
    header.destinationPort = fields.port ?? 80;
    header.flags = TCP_SYN;
    header.window = 65535;
    length = encodeTcp(bytes, PAYLOAD, header);
    tcpSetChecksum(bytes, PAYLOAD, PAYLOAD + length, ipv4AddressSum(ip.source, ip.destination));
  } else if (protocol === "udp") {
    const payload = fields.payload ?? new Uint8Array(4);
    length = 8 + payload.length;
    bytes.set(payload, PAYLOAD + 8);
    encodeUdp(bytes, PAYLOAD, sourcePort, fields.port ?? 80, length);
    udpSetChecksum(bytes, PAYLOAD, ipv4AddressSum(ip.source, ip.destination));
  } else {
    const payload = new Uint8Array(8);
    length = encodeIcmpv4Echo(bytes, PAYLOAD, {
      type: ICMP_ECHO_REQUEST,
      identifier: sourcePort,
      sequence: 1,
      payload,
    });
  }
  ip.totalLength = 20 + length;
  encodeIpv4(bytes, IP, ip);
  encodeEthernet(bytes, 0, GATEWAY_MAC, GUEST_MAC, ETHERTYPE_IPV4);
  return bytes.subarray(0, PAYLOAD + length);
}

/** The same packet in two fragments: the first has its ports, the second the rest. */
export function askInFragments(protocol: Protocol, destination: string, fields: AskFields = {}): Uint8Array[] {
  const whole = ask(protocol, destination, fields), cut = PAYLOAD + 8;
  const ip = new Ipv4Header();
  ip.source = parseIpv4(fields.source ?? "10.0.2.15");
  ip.destination = parseIpv4(destination);
  ip.protocol = NUMBERS[protocol];
  ip.identification = 77;
  ip.dontFragment = false;
  return [whole.subarray(PAYLOAD, cut), whole.subarray(cut)].map((part, i) => {
    const bytes = new Uint8Array(PAYLOAD + part.length);
    ip.totalLength = 20 + part.length;
    ip.moreFragments = i === 0;
    ip.fragmentOffset = i * 8;
    encodeEthernet(bytes, 0, GATEWAY_MAC, GUEST_MAC, ETHERTYPE_IPV4);
    encodeIpv4(bytes, IP, ip);
    bytes.set(part, PAYLOAD);
    return bytes;
  });
}

/** The same SYN or datagram in an IPv6 packet, whose destination may be any form of an IPv4 address. */
export function askIpv6(protocol: Protocol, destination: string): Uint8Array {
  const whole = ask(protocol, "10.0.2.2"), payload = whole.subarray(PAYLOAD);
  const bytes = new Uint8Array(IP + IPV6_HEADER_LENGTH + payload.length);
  encodeEthernet(bytes, 0, GATEWAY_MAC, GUEST_MAC, ETHERTYPE_IPV6);
  encodeIpv6(bytes, IP, {
    payloadLength: payload.length,
    nextHeader: NUMBERS[protocol],
    source: IpAddress.parse("::ffff:10.0.2.15"),
    destination: IpAddress.parse(destination),
  });
  bytes.set(payload, IP + IPV6_HEADER_LENGTH);
  return bytes;
}
