/**
 * Frames of a guest, field by field, also such as no guest sends: the one place where tests and benches build them.
 *
 * Lengths are those of what is given unless a field says otherwise. The family of a packet is that of its addresses.
 * The guest is 10.0.2.15 or fd00::15 and talks to the gateway, 10.0.2.2 or fd00::2. Checksums are right, except those
 * behind the header of a `packetFrame`, whose payload stays as it is. They are summed word by word and share no line
 * with the program's.
 *
 * @module
 */
import { IpAddress, MAC_BROADCAST } from "../../net/wire/address.ts";
import { ARP_LENGTH, encodeArp } from "../../net/wire/arp.ts";
import { readUint16, writeUint16, writeUint32 } from "../../net/wire/bytes.ts";
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, type DhcpFields, encodeDhcpv4 } from "../../net/wire/dhcpv4.ts";
import {
  encodeEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from "../../net/wire/ethernet.ts";
import {
  checkIpv4,
  encodeIpv4,
  Ipv4Header,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { checkIpv6, encodeIpv6, IPV6_HEADER_LENGTH, ipv6NextHeader, ipv6PayloadLength } from "../../net/wire/ipv6.ts";
import { encodeTcp, TCP_SYN, TcpHeader } from "../../net/wire/tcp.ts";
import { GATEWAY_MAC } from "../../nat/nat.ts";
import { naiveChecksum, naiveSum } from "./naive_checksum.ts";

/** The guest's MAC address. */
export const GUEST_MAC = 0x525400123456;
/** 10.0.2.15. */
export const GUEST_IP = 0x0a00020f;
/** 10.0.2.2. */
export const GATEWAY_IP = 0x0a000202;
/** The guest's IPv6 address, fd00::15. */
export const GUEST_IP6: IpAddress = IpAddress.parse("fd00::15");
/** The gateway's IPv6 address, fd00::2. */
export const GATEWAY_IP6: IpAddress = IpAddress.parse("fd00::2");
/** The protocol number of ICMPv6. */
export const PROTOCOL_ICMPV6 = 58;

const IP = ETHERNET_HEADER_LENGTH;
const IPV4_CHECKSUM = 10;
const HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, DESTINATION_OPTIONS = 60;
const NOTHING = new Uint8Array(0);

/** An address as an object, as text, or an IPv4 address as a number. */
export type Address = IpAddress | string | number;

/** What may be said of every frame, and of every packet. */
export interface FrameFields {
  /** MAC address of the receiver; default the gateway's. */
  toMac?: number;
  /** MAC address of the sender; default the guest's. */
  fromMac?: number;
  /** Address of the sender. */
  source?: Address;
  /** Address of the receiver. */
  destination?: Address;
  /** The family, if the addresses do not say it: mapped ones (`::ffff:10.0.2.2`) in an IPv6 packet. */
  family?: 4 | 6;
  /** Options of the IPv4 header; padded. */
  ipOptions?: Uint8Array;
  /** Extension headers of IPv6, in order; the first byte of each is set to the type of what follows. */
  extensions?: readonly { readonly type: number; readonly bytes: Uint8Array }[];
  /**
   * Flags and offset as one word: of the IPv4 header, or of an IPv6 fragment header, which stands behind `extensions`.
   */
  fragment?: number;
  /** The identification of a fragment. */
  identification?: number;
  /** The time to live, or the hop limit. */
  ttl?: number;
}

/** A TCP segment; ports, numbers and flags as on the wire. */
export interface TcpFields extends FrameFields {
  /** Default 40000. */
  sourcePort?: number;
  /** Default 80. */
  destinationPort?: number;
  seq: number;
  ack: number;
  flags: number;
  window?: number;
  urgentPointer?: number;
  mss?: number;
  windowShift?: number;
  sackPermitted?: boolean;
  /** Bytes of options, padded with zeros to a multiple of 4, instead of those that other fields ask for. */
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

/** A packet of any protocol. Whatever checksum the payload has stays; the others here repair it. */
export function packetFrame(protocol: number, payload: Uint8Array, fields: FrameFields = {}): Uint8Array {
  return familyOf(fields) === 4 ? ipv4Frame(protocol, payload, fields) : ipv6Frame(protocol, payload, fields);
}

function familyOf({ family, destination, source }: FrameFields): 4 | 6 {
  const address = destination ?? source;
  return family ?? (address === undefined || addressOf(address).isIpv4 ? 4 : 6);
}

function ipv4Frame(protocol: number, payload: Uint8Array, fields: FrameFields): Uint8Array {
  const options = padded(fields.ipOptions ?? NOTHING), header = new Ipv4Header(), head = 20 + options.length;
  header.source = addressOf(fields.source ?? GUEST_IP).ipv4;
  header.destination = addressOf(fields.destination ?? GATEWAY_IP).ipv4;
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
  return repairHeader(etherFrame(ETHERTYPE_IPV4, packet, fields));
}

function ipv6Frame(protocol: number, payload: Uint8Array, fields: FrameFields): Uint8Array {
  const chain = (fields.extensions ?? []).map(({ type, bytes }) => ({ type, bytes: bytes.slice() }));
  if (fields.fragment !== undefined) {
    const bytes = new Uint8Array(8);
    writeUint16(bytes, 2, fields.fragment);
    writeUint32(bytes, 4, fields.identification ?? 0);
    chain.push({ type: FRAGMENT, bytes });
  }
  chain.forEach(({ bytes }, i) => bytes[0] = chain[i + 1]?.type ?? protocol);
  const payloadLength = chain.reduce((sum, { bytes }) => sum + bytes.length, payload.length);
  const packet = new Uint8Array(IPV6_HEADER_LENGTH + payloadLength);
  let at = encodeIpv6(packet, 0, {
    payloadLength,
    nextHeader: chain[0]?.type ?? protocol,
    source: addressOf(fields.source ?? GUEST_IP6),
    destination: addressOf(fields.destination ?? GATEWAY_IP6),
    hopLimit: fields.ttl ?? 64,
  });
  for (const { bytes } of chain) {
    packet.set(bytes, at);
    at += bytes.length;
  }
  packet.set(payload, at);
  return etherFrame(ETHERTYPE_IPV6, packet, fields);
}

/** A TCP segment. */
export function tcpFrame(fields: TcpFields): Uint8Array {
  const { sourcePort = 40000, destinationPort = 80, window = 0xffff, urgentPointer = 0, seq, ack, flags } = fields;
  const { mss = -1, windowShift = -1, sackPermitted = false, payload = NOTHING } = fields;
  const head = new Uint8Array(60), numbers = { sourcePort, destinationPort, seq, ack, flags, window, urgentPointer };
  let length = encodeTcp(head, 0, Object.assign(new TcpHeader(), numbers, { mss, windowShift, sackPermitted }));
  if (fields.options !== undefined) {
    const options = padded(fields.options);
    head.set(options, 20);
    length = 20 + options.length;
    head[12] = length << 2;
  }
  const segment = new Uint8Array(length + payload.length);
  segment.set(head.subarray(0, length));
  segment.set(payload, length);
  return repairChecksums(packetFrame(PROTOCOL_TCP, segment, fields));
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
  return repairChecksums(packetFrame(PROTOCOL_UDP, datagram, fields));
}

/**
 * An ICMP message of the packet's family: the type and code, then `rest`, which begins with the four bytes after the
 * checksum.
 */
export function icmpFrame(type: number, code: number, rest: Uint8Array, fields: FrameFields = {}): Uint8Array {
  const message = new Uint8Array(4 + rest.length);
  message[0] = type;
  message[1] = code;
  message.set(rest, 4);
  return repairChecksums(packetFrame(familyOf(fields) === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6, message, fields));
}

/** An echo request of the packet's family, or with `isReply` a reply. */
export function echoFrame(
  echo: { identifier: number; sequence: number; isReply?: boolean },
  payload: Uint8Array,
  fields: FrameFields = {},
): Uint8Array {
  const rest = new Uint8Array(4 + payload.length);
  writeUint16(rest, 0, echo.identifier);
  writeUint16(rest, 2, echo.sequence);
  rest.set(payload, 4);
  const [request, reply] = familyOf(fields) === 4 ? [8, 0] as const : [128, 129] as const;
  return icmpFrame(echo.isReply ? reply : request, 0, rest, fields);
}

/** An ICMP error about a packet, of which it quotes all; `rest` are the four bytes after the checksum. */
export function icmpErrorFrame(
  error: { type: number; code: number; rest?: number },
  quoted: Uint8Array,
  fields: FrameFields = {},
): Uint8Array {
  const rest = new Uint8Array(4 + quoted.length);
  writeUint32(rest, 0, error.rest ?? 0);
  rest.set(quoted, 4);
  return icmpFrame(error.type, error.code, rest, fields);
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

/** What a guest sends without being asked. */
export type Protocol = "tcp" | "udp" | "icmp";
/** Every protocol that a guest can ask for an address with. */
export const PROTOCOLS: readonly Protocol[] = ["tcp", "udp", "icmp"];

/** A packet to a destination. */
export interface AskFields extends FrameFields {
  /** The guest's port, or an echo's identifier. Default 40000. */
  sourcePort?: number;
  /** The port asked. Default 80. */
  port?: number;
  /** What a datagram holds. Default four bytes. */
  payload?: Uint8Array;
}

/** A frame with a SYN, a datagram or an echo request to `destination`. */
export function ask(protocol: Protocol, destination: Address, fields: AskFields = {}): Uint8Array {
  const { sourcePort = 40000, port = 80, payload = new Uint8Array(4) } = fields, to = { ...fields, destination };
  switch (protocol) {
    case "tcp":
      return tcpFrame({
        ...to,
        sourcePort,
        destinationPort: port,
        flags: TCP_SYN,
        seq: 0,
        ack: 0,
        payload: NOTHING,
      });
    case "udp":
      return udpFrame({ source: sourcePort, destination: port }, payload, to);
    case "icmp":
      return echoFrame({ identifier: sourcePort, sequence: 1 }, new Uint8Array(8), to);
  }
}

/** The same packet in two fragments: the first has its ports, the second the rest. */
export function askInFragments(protocol: Protocol, destination: Address, fields: AskFields = {}): Uint8Array[] {
  return fragmentFrames(ask(protocol, destination, fields), 8, { ...fields, destination });
}

/**
 * The packet of a frame without extension headers again, in fragments of at most `size` bytes of payload, a multiple
 * of 8.
 */
export function fragmentFrames(frame: Uint8Array, size: number, fields: FrameFields = {}): Uint8Array[] {
  const payload = packetPayload(frame), isIpv4 = ethernetType(frame, 0) === ETHERTYPE_IPV4, frames: Uint8Array[] = [];
  const protocol = isIpv4 ? ipv4Protocol(frame, IP) : ipv6NextHeader(frame, IP);
  for (let offset = 0; offset < payload.length; offset += size) {
    const part = payload.subarray(offset, offset + size), more = offset + size < payload.length;
    const fragment = fragmentWord(isIpv4 ? 4 : 6, offset, more);
    frames.push(packetFrame(protocol, part, { identification: 77, ...fields, fragment }));
  }
  return frames;
}

/** The word of a fragment at `offset` bytes, as the header of its family has it. */
export function fragmentWord(family: 4 | 6, offset: number, more: boolean): number {
  return family === 4 ? (more ? 0x2000 : 0) | (offset >>> 3) : offset | (more ? 1 : 0);
}

/** What follows the IP header of a frame; of IPv6, the extension headers too. */
export function packetPayload(frame: Uint8Array): Uint8Array {
  if (ethernetType(frame, 0) === ETHERTYPE_IPV6) {
    const at = IP + IPV6_HEADER_LENGTH;
    return frame.subarray(at, at + ipv6PayloadLength(frame, IP));
  }
  return frame.subarray(IP + ipv4HeaderLength(frame, IP), IP + ipv4TotalLength(frame, IP));
}

/** Makes the checksum of a frame's IPv4 header right, if it has one; returns the frame. */
export function repairHeader(frame: Uint8Array): Uint8Array {
  if (frame.length < IP || ethernetType(frame, 0) !== ETHERTYPE_IPV4 || !checkIpv4(frame, IP, frame.length)) {
    return frame;
  }
  writeUint16(frame, IP + IPV4_CHECKSUM, 0);
  writeUint16(frame, IP + IPV4_CHECKSUM, naiveChecksum(frame, IP, IP + ipv4HeaderLength(frame, IP)));
  return frame;
}

/** Makes the checksums of a frame right where its lengths leave it any; returns it. */
export function repairChecksums(frame: Uint8Array): Uint8Array {
  repairHeader(frame);
  if (frame.length < IP) return frame;
  if (ethernetType(frame, 0) === ETHERTYPE_IPV4 && checkIpv4(frame, IP, frame.length)) {
    const at = IP + ipv4HeaderLength(frame, IP), end = IP + ipv4TotalLength(frame, IP);
    if (!ipv4IsFragment(frame, IP)) {
      repairTransport(frame, { at, end, protocol: ipv4Protocol(frame, IP), addresses: 8 });
    }
  } else if (ethernetType(frame, 0) === ETHERTYPE_IPV6 && checkIpv6(frame, IP, frame.length)) {
    const end = IP + IPV6_HEADER_LENGTH + ipv6PayloadLength(frame, IP);
    let at = IP + IPV6_HEADER_LENGTH, protocol = ipv6NextHeader(frame, IP);
    while (at + 8 <= end && [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS].includes(protocol)) {
      if (protocol === FRAGMENT && readUint16(frame, at + 2) !== 0) return frame;
      const length = protocol === FRAGMENT ? 8 : 8 * (frame[at + 1]! + 1);
      protocol = frame[at]!;
      at += length;
    }
    if (at <= end) repairTransport(frame, { at, end, protocol, addresses: 32 });
  }
  return frame;
}

/** What is to be repaired: `frame[at, end)`, behind so many bytes of addresses at the end of the fixed header. */
interface Transport {
  readonly at: number;
  readonly end: number;
  readonly protocol: number;
  readonly addresses: 8 | 32;
}

function repairTransport(frame: Uint8Array, { at, end, protocol, addresses }: Transport): void {
  const isIpv4 = addresses === 8, length = end - at;
  let field: number;
  switch (protocol) {
    case PROTOCOL_TCP:
      if (length < 20 || frame[at + 12]! >>> 4 < 5 || (frame[at + 12]! >>> 4) * 4 > length) return;
      field = at + 16;
      break;
    case PROTOCOL_UDP:
      if (length < 8 || readUint16(frame, at + 4) < 8 || readUint16(frame, at + 4) > length) return;
      field = at + 6;
      end = at + readUint16(frame, at + 4);
      break;
    case isIpv4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6:
      if (length < 4) return;
      field = at + 2;
      break;
    default:
      return;
  }
  writeUint16(frame, field, 0);
  let sum = naiveSum(frame, at, end);
  if (protocol !== PROTOCOL_ICMP) {
    const from = isIpv4 ? IP + 12 : IP + 8;
    sum += naiveSum(frame, from, from + addresses) + protocol + end - at;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  // A sum of UDP that comes out as 0 is sent as 0xffff (RFC 768): 0 means that there is none.
  const value = 0xffff - sum;
  writeUint16(frame, field, value === 0 && protocol === PROTOCOL_UDP ? 0xffff : value);
}

/** Any way of saying an address as an object. */
export function addressOf(address: Address): IpAddress {
  if (typeof address === "number") return IpAddress.fromIpv4(address);
  return typeof address === "string" ? IpAddress.parse(address) : address;
}

function padded(options: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((options.length + 3) & ~3);
  bytes.set(options);
  return bytes;
}
