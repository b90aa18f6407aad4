/**
 * Frames of a guest, field by field, also such as no guest sends.
 *
 * Lengths are those of what is given unless a field says otherwise, and checksums are right: `repairChecksums` makes
 * them so, after a change to a frame too. The guest is 10.0.2.15 and talks to the gateway, 10.0.2.2.
 *
 * @module
 */
import { MAC_BROADCAST } from "../../net/wire/address.ts";
import { ARP_LENGTH, encodeArp } from "../../net/wire/arp.ts";
import { writeUint16, writeUint32 } from "../../net/wire/bytes.ts";
import { checksum, ipv4AddressSum } from "../../net/wire/checksum.ts";
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, type DhcpFields, encodeDhcpv4 } from "../../net/wire/dhcpv4.ts";
import {
  encodeEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
} from "../../net/wire/ethernet.ts";
import {
  checkIpv4,
  encodeIpv4,
  ipv4Destination,
  Ipv4Header,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { checkTcp, tcpSetChecksum } from "../../net/wire/tcp.ts";
import { checkUdp, udpSetChecksum } from "../../net/wire/udp.ts";
import { GATEWAY_MAC } from "../../nat/nat.ts";

/** The guest's MAC address. */
export const GUEST_MAC = 0x525400123456;
/** 10.0.2.15. */
export const GUEST_IP = 0x0a00020f;
/** 10.0.2.2. */
export const GATEWAY_IP = 0x0a000202;

const IP = ETHERNET_HEADER_LENGTH;
const IP_CHECKSUM = 10;
const NOTHING = new Uint8Array(0);

/** What may be said of every frame, and of every IPv4 packet. */
export interface FrameFields {
  /** MAC address of the receiver; default the gateway's. */
  toMac?: number;
  /** MAC address of the sender; default the guest's. */
  fromMac?: number;
  /** IPv4 address of the sender. */
  source?: number;
  /** IPv4 address of the receiver. */
  destination?: number;
  /** Options of the IPv4 header; padded. */
  ipOptions?: Uint8Array;
  /** Flags and offset of the IPv4 header as one word. */
  fragment?: number;
  /** The identification in the IPv4 header. */
  identification?: number;
  /** The time to live. */
  ttl?: number;
}

/** A TCP segment; ports, numbers and flags as on the wire. */
export interface TcpFields extends FrameFields {
  sourcePort?: number;
  destinationPort?: number;
  seq: number;
  ack: number;
  flags: number;
  window?: number;
  urgentPointer?: number;
  /** Bytes of options, padded with zeros to a multiple of 4. */
  options?: Uint8Array;
  payload?: Uint8Array;
}

/** A frame of any type. */
export function etherFrame(type: number, payload: Uint8Array, fields: FrameFields = {}): Uint8Array {
  const bytes = new Uint8Array(ETHERNET_HEADER_LENGTH + payload.length);
  encodeEthernet(bytes, 0, fields.toMac ?? GATEWAY_MAC, fields.fromMac ?? GUEST_MAC, type);
  bytes.set(payload, ETHERNET_HEADER_LENGTH);
  return bytes;
}

/** An IPv4 packet of any protocol. */
export function ipv4Frame(protocol: number, payload: Uint8Array, fields: FrameFields = {}): Uint8Array {
  const options = padded(fields.ipOptions ?? NOTHING), header = new Ipv4Header(), head = 20 + options.length;
  header.source = fields.source ?? GUEST_IP;
  header.destination = fields.destination ?? GATEWAY_IP;
  header.protocol = protocol;
  header.ttl = fields.ttl ?? 64;
  header.identification = fields.identification ?? 0;
  header.totalLength = head + payload.length;
  const packet = new Uint8Array(head + payload.length);
  encodeIpv4(packet, 0, header);
  packet[0] = 0x40 | (head >>> 2);
  if (fields.fragment !== undefined) writeUint16(packet, 6, fields.fragment);
  packet.set(options, 20);
  packet.set(payload, head);
  return repairChecksums(etherFrame(ETHERTYPE_IPV4, packet, fields));
}

/** A TCP segment. */
export function tcpFrame(fields: TcpFields): Uint8Array {
  const options = padded(fields.options ?? NOTHING), payload = fields.payload ?? NOTHING;
  const segment = new Uint8Array(20 + options.length + payload.length);
  writeUint16(segment, 0, fields.sourcePort ?? 40000);
  writeUint16(segment, 2, fields.destinationPort ?? 80);
  writeUint32(segment, 4, fields.seq);
  writeUint32(segment, 8, fields.ack);
  segment[12] = (20 + options.length) << 2;
  segment[13] = fields.flags;
  writeUint16(segment, 14, fields.window ?? 0xffff);
  writeUint16(segment, 18, fields.urgentPointer ?? 0);
  segment.set(options, 20);
  segment.set(payload, 20 + options.length);
  return ipv4Frame(PROTOCOL_TCP, segment, fields);
}

/** A UDP datagram. */
export function udpFrame(
  ports: { source: number; destination: number; length?: number },
  payload: Uint8Array,
  fields: FrameFields = {},
): Uint8Array {
  const datagram = new Uint8Array(8 + payload.length);
  writeUint16(datagram, 0, ports.source);
  writeUint16(datagram, 2, ports.destination);
  writeUint16(datagram, 4, ports.length ?? datagram.length);
  datagram.set(payload, 8);
  return ipv4Frame(PROTOCOL_UDP, datagram, fields);
}

/** An ICMP message: the type and code, then `rest`, which begins with the four bytes after the checksum. */
export function icmpFrame(type: number, code: number, rest: Uint8Array, fields: FrameFields = {}): Uint8Array {
  const message = new Uint8Array(4 + rest.length);
  message[0] = type;
  message[1] = code;
  message.set(rest, 4);
  return ipv4Frame(PROTOCOL_ICMP, message, fields);
}

/** An ARP message; the sender's MAC address is the guest's unless given. */
export function arpFrame(
  arp: { operation: number; senderIp: number; targetIp: number; senderMac?: number; targetMac?: number },
  fields: FrameFields = {},
): Uint8Array {
  const bytes = new Uint8Array(ARP_LENGTH);
  encodeArp(bytes, 0, { senderMac: fields.fromMac ?? GUEST_MAC, targetMac: 0, ...arp });
  return etherFrame(ETHERTYPE_ARP, bytes, { toMac: MAC_BROADCAST, ...fields });
}

/** A DHCP message of a client that has no address yet. */
export function dhcpFrame(
  message: Partial<DhcpFields> & Pick<DhcpFields, "messageType">,
  fields: FrameFields = {},
): Uint8Array {
  const bytes = new Uint8Array(1024);
  const length = encodeDhcpv4(bytes, 0, {
    operation: 1,
    transactionId: 0x3903f326,
    clientMac: fields.fromMac ?? GUEST_MAC,
    ...message,
  });
  const ports = { source: DHCP_CLIENT_PORT, destination: DHCP_SERVER_PORT };
  return udpFrame(ports, bytes.subarray(0, length), {
    toMac: MAC_BROADCAST,
    source: 0,
    destination: 0xffffffff,
    ...fields,
  });
}

/** Makes the checksums of a frame right where its lengths leave it any; returns it. */
export function repairChecksums(frame: Uint8Array): Uint8Array {
  if (frame.length < IP || ethernetType(frame, 0) !== ETHERTYPE_IPV4 || !checkIpv4(frame, IP, frame.length)) {
    return frame;
  }
  const head = ipv4HeaderLength(frame, IP), at = IP + head, end = IP + ipv4TotalLength(frame, IP);
  writeUint16(frame, IP + IP_CHECKSUM, 0);
  writeUint16(frame, IP + IP_CHECKSUM, checksum(frame, IP, IP + head));
  if (ipv4IsFragment(frame, IP)) return frame;
  const source = ipv4Source(frame, IP), destination = ipv4Destination(frame, IP);
  switch (ipv4Protocol(frame, IP)) {
    case PROTOCOL_TCP:
      if (checkTcp(frame, at, end)) tcpSetChecksum(frame, at, end, ipv4AddressSum(source, destination));
      break;
    case PROTOCOL_UDP:
      if (checkUdp(frame, at, end)) udpSetChecksum(frame, at, ipv4AddressSum(source, destination));
      break;
    case PROTOCOL_ICMP:
      if (end - at < 4) break;
      writeUint16(frame, at + 2, 0);
      writeUint16(frame, at + 2, checksum(frame, at, end));
  }
  return frame;
}

function padded(options: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((options.length + 3) & ~3);
  bytes.set(options);
  return bytes;
}
