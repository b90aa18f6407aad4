/**
 * A whole frame as one line, in tcpdump's manner: the layers' own texts put together, for people who watch a link.
 *
 * Sequence numbers are those of the segment (as with `tcpdump -S`), because a line knows no other line. What cannot be
 * decoded is a line too, which says why. Nothing a guest sends can make this throw or write a second line.
 *
 * @module
 */
import { formatIpv4 } from "./address.ts";
import { decodeArp, formatArp } from "./arp.ts";
import { DecodeError } from "./decode_error.ts";
import { checkBootp, decodeBootp, decodeDhcpv4, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, formatDhcpv4 } from "./dhcpv4.ts";
import { decodeDhcpv6, DHCPV6_CLIENT_PORT, DHCPV6_SERVER_PORT, formatDhcpv6 } from "./dhcpv6.ts";
import { decodeDns, DNS_PORT, formatDns } from "./dns.ts";
import { decodeEthernet, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, formatEthernet } from "./ethernet.ts";
import { decodeIcmpv4, formatIcmpv4 } from "./icmpv4.ts";
import { decodeIcmpv6, formatIcmpv6, icmpv6Type } from "./icmpv6.ts";
import { decodeIpv4, formatIpv4Packet, type Ipv4Packet, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.ts";
import { decodeIpv6, IPV6_HEADER_LENGTH, ipv6AddressSum, type Ipv6Packet, PROTOCOL_ICMPV6 } from "./ipv6.ts";
import {
  IPV6_CHAIN_OK,
  IPV6_FRAGMENT_HEADER_LENGTH,
  Ipv6Chain,
  ipv6FragmentOffset,
  PROTOCOL_FRAGMENT,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_NO_NEXT_HEADER,
  PROTOCOL_ROUTING,
  walkIpv6,
} from "./ipv6_extensions.ts";
import { decodeMld, formatMld, isMldType } from "./mld.ts";
import { decodeNdp, formatNdp, isNdpType } from "./ndp.ts";
import { decodeTcp, formatTcp } from "./tcp.ts";
import {
  decodeUdp,
  formatUdp,
  UDP_HEADER_LENGTH,
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from "./udp.ts";

/** Turns the payload of a datagram into text. Throws a `DecodeError`. */
type PayloadText = (bytes: Uint8Array, start: number, end: number) => string;

/** What runs on a UDP port, either end's. */
const UDP_PAYLOADS: ReadonlyMap<number, PayloadText> = new Map([
  [DHCP_SERVER_PORT, dhcpText],
  [DHCP_CLIENT_PORT, dhcpText],
  [DHCPV6_SERVER_PORT, dhcpv6Text],
  [DHCPV6_CLIENT_PORT, dhcpv6Text],
  [DNS_PORT, dnsText],
]);

/** What stands in front of a transport's text: both ends with their ports. */
type Ends = (sourcePort: number, destinationPort: number) => string;

/**
 * `IP 10.0.2.15.40000 > 10.0.2.2.80: Flags [S], seq 1, win 64240, options [mss 1460], length 0`, or what else the frame
 * in `bytes[start, end)` is.
 */
export function formatFrame(bytes: Uint8Array, start: number = 0, end: number = bytes.length): string {
  return orFlaw("", () => ethernetText(bytes, start, end));
}

function ethernetText(bytes: Uint8Array, start: number, end: number): string {
  const frame = decodeEthernet(bytes, start, end), { payloadStart, payloadEnd } = frame;
  switch (frame.type) {
    case ETHERTYPE_ARP:
      return formatArp(decodeArp(bytes, payloadStart, payloadEnd));
    case ETHERTYPE_IPV4:
      return ipv4Text(bytes, decodeIpv4(bytes, payloadStart, payloadEnd));
    case ETHERTYPE_IPV6:
      return ipv6Text(bytes, decodeIpv6(bytes, payloadStart, payloadEnd));
    default:
      return formatEthernet(frame);
  }
}

function ipv4Text(bytes: Uint8Array, packet: Ipv4Packet): string {
  const source = formatIpv4(packet.source), destination = formatIpv4(packet.destination);
  if (packet.moreFragments || packet.fragmentOffset > 0) return formatIpv4Packet(packet);
  const { payloadStart: start, payloadEnd: end } = packet, head = `IP ${source} > ${destination}`;
  const ends: Ends = (from, to) => `IP ${source}.${from} > ${destination}.${to}`;
  return orFlaw(`${head}: `, () => {
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        return tcpText(bytes, start, end, ends);
      case PROTOCOL_UDP:
        return udpText(bytes, start, end, ends);
      case PROTOCOL_ICMP:
        return `${head}: ${formatIcmpv4(decodeIcmpv4(bytes, start, end))}`;
      default:
        return formatIpv4Packet(packet);
    }
  });
}

/** Behind extension headers, whose texts stand in between, tcpdump has the ports alone. */
function ipv6Text(bytes: Uint8Array, packet: Ipv6Packet): string {
  const { source, destination, payloadStart, payloadEnd: end } = packet, ip = payloadStart - IPV6_HEADER_LENGTH;
  const chain = new Ipv6Chain(), head = `IP6 ${source} > ${destination}: `;
  if (walkIpv6(bytes, ip, end, chain) !== IPV6_CHAIN_OK) {
    const why = chain.code < 0 ? "" : ` (parameter problem code ${chain.code} - octet ${chain.pointer})`;
    return `${head}malformed extension headers${why}, length ${packet.payloadLength}`;
  }
  const { protocol, transport: start, fragment } = chain;
  const extensions = extensionsText(bytes, packet, start), prefix = `${head}${extensions}`;
  if (fragment >= 0 && ipv6FragmentOffset(bytes, fragment) > 0) return prefix.trimEnd();
  const ends: Ends = (from, to) =>
    extensions === "" ? `IP6 ${source}.${from} > ${destination}.${to}` : `${prefix}${from} > ${to}`;
  return orFlaw(prefix, () => {
    switch (protocol) {
      case PROTOCOL_TCP:
        return tcpText(bytes, start, end, ends);
      case PROTOCOL_UDP:
        return fragment < 0 ? udpText(bytes, start, end, ends) : firstOfUdpText(bytes, start, ends);
      case PROTOCOL_ICMPV6:
        return prefix + icmpv6Text(bytes, start, end, fragment < 0 ? ipv6AddressSum(bytes, ip) : undefined);
      case PROTOCOL_NO_NEXT_HEADER:
        return `${prefix}no next header`;
      default:
        return `${prefix}ip-proto-${protocol} ${end - start}`;
    }
  });
}

/** The extension headers in front of `transport`, each with a space behind it. */
function extensionsText(bytes: Uint8Array, packet: Ipv6Packet, transport: number): string {
  let text = "", protocol = packet.nextHeader;
  for (let at = packet.payloadStart; at < transport;) {
    const units = protocol === PROTOCOL_FRAGMENT ? 0 : bytes[at + 1]!;
    if (protocol === PROTOCOL_FRAGMENT) {
      const length = packet.payloadEnd - at - IPV6_FRAGMENT_HEADER_LENGTH;
      text += `frag (${ipv6FragmentOffset(bytes, at)}|${length}) `;
    } else if (protocol === PROTOCOL_ROUTING) {
      text += `RT6 (len=${units}, type=${bytes[at + 2]}, segleft=${bytes[at + 3]}) `;
    } else text += protocol === PROTOCOL_HOP_BY_HOP ? "HBH " : "DSTOPT ";
    protocol = bytes[at]!;
    at += (units + 1) << 3;
  }
  return text;
}

function icmpv6Text(bytes: Uint8Array, start: number, end: number, addressSum: number | undefined): string {
  const message = decodeIcmpv6(bytes, start, end, addressSum), type = icmpv6Type(bytes, start);
  if (message.checksumValid === false) return formatIcmpv6(message);
  if (isNdpType(type)) return formatNdp(decodeNdp(bytes, start, end));
  return isMldType(type) ? formatMld(decodeMld(bytes, start, end)) : formatIcmpv6(message);
}

function tcpText(bytes: Uint8Array, start: number, end: number, ends: Ends): string {
  const segment = decodeTcp(bytes, start, end);
  return formatTcp(segment, ends(segment.sourcePort, segment.destinationPort));
}

function udpText(bytes: Uint8Array, start: number, end: number, ends: Ends): string {
  const datagram = decodeUdp(bytes, start, end), { sourcePort, destinationPort } = datagram;
  const head = ends(sourcePort, destinationPort);
  const text = UDP_PAYLOADS.get(destinationPort) ?? UDP_PAYLOADS.get(sourcePort);
  if (text === undefined) return formatUdp(datagram, head);
  return orFlaw(`${head}: `, () => `${head}: ${text(bytes, datagram.payloadStart, datagram.payloadEnd)}`);
}

/** A first fragment has the header, which the walk has seen to, and less than the payload. */
function firstOfUdpText(bytes: Uint8Array, start: number, ends: Ends): string {
  const sourcePort = udpSourcePort(bytes, start), destinationPort = udpDestinationPort(bytes, start);
  const length = udpLength(bytes, start),
    checksum = udpChecksum(bytes, start),
    payloadStart = start + UDP_HEADER_LENGTH;
  const datagram = { sourcePort, destinationPort, length, checksum, payloadStart, payloadEnd: start + length };
  return formatUdp(datagram, ends(sourcePort, destinationPort));
}

function dhcpText(bytes: Uint8Array, start: number, end: number): string {
  return formatDhcpv4(checkBootp(bytes, start, end) ? decodeBootp(bytes, start, end) : decodeDhcpv4(bytes, start, end));
}

function dhcpv6Text(bytes: Uint8Array, start: number, end: number): string {
  return formatDhcpv6(decodeDhcpv6(bytes, start, end));
}

function dnsText(bytes: Uint8Array, start: number, end: number): string {
  return formatDns(decodeDns(bytes, start, end));
}

/** What `text` gives, or behind `prefix` why there is none. */
function orFlaw(prefix: string, text: () => string): string {
  try {
    return text();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return `${prefix}malformed ${error.layer} (${error.message})`;
  }
}
