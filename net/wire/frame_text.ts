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
import { decodeDns, DNS_PORT, formatDns } from "./dns.ts";
import { decodeEthernet, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, formatEthernet } from "./ethernet.ts";
import { decodeIcmpv4, formatIcmpv4 } from "./icmpv4.ts";
import { decodeIpv4, formatIpv4Packet, type Ipv4Packet, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.ts";
import { decodeIpv6, formatIpv6Packet } from "./ipv6.ts";
import { decodeTcp, formatTcp } from "./tcp.ts";
import { decodeUdp, formatUdp } from "./udp.ts";

/** Turns the payload of a datagram into text. Throws a `DecodeError`. */
type PayloadText = (bytes: Uint8Array, start: number, end: number) => string;

/** What runs on a UDP port, either end's. */
const UDP_PAYLOADS: ReadonlyMap<number, PayloadText> = new Map([
  [DHCP_SERVER_PORT, dhcpText],
  [DHCP_CLIENT_PORT, dhcpText],
  [DNS_PORT, dnsText],
]);

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
      return formatIpv6Packet(decodeIpv6(bytes, payloadStart, payloadEnd));
    default:
      return formatEthernet(frame);
  }
}

function ipv4Text(bytes: Uint8Array, packet: Ipv4Packet): string {
  const source = formatIpv4(packet.source), destination = formatIpv4(packet.destination);
  if (packet.moreFragments || packet.fragmentOffset > 0) return formatIpv4Packet(packet);
  const { payloadStart: start, payloadEnd: end } = packet, ends = `IP ${source} > ${destination}`;
  return orFlaw(`${ends}: `, () => {
    switch (packet.protocol) {
      case PROTOCOL_TCP: {
        const segment = decodeTcp(bytes, start, end);
        return formatTcp(segment, `IP ${source}.${segment.sourcePort} > ${destination}.${segment.destinationPort}`);
      }
      case PROTOCOL_UDP:
        return udpText(bytes, start, end, { source, destination });
      case PROTOCOL_ICMP:
        return `${ends}: ${formatIcmpv4(decodeIcmpv4(bytes, start, end))}`;
      default:
        return formatIpv4Packet(packet);
    }
  });
}

function udpText(
  bytes: Uint8Array,
  start: number,
  end: number,
  addresses: { source: string; destination: string },
): string {
  const datagram = decodeUdp(bytes, start, end), { sourcePort, destinationPort } = datagram;
  const ends = `IP ${addresses.source}.${sourcePort} > ${addresses.destination}.${destinationPort}`;
  const text = UDP_PAYLOADS.get(destinationPort) ?? UDP_PAYLOADS.get(sourcePort);
  if (text === undefined) return formatUdp(datagram, ends);
  return orFlaw(`${ends}: `, () => `${ends}: ${text(bytes, datagram.payloadStart, datagram.payloadEnd)}`);
}

function dhcpText(bytes: Uint8Array, start: number, end: number): string {
  return formatDhcpv4(checkBootp(bytes, start, end) ? decodeBootp(bytes, start, end) : decodeDhcpv4(bytes, start, end));
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
