/**
 * The codecs' two doors and their encoders against a `DataView` used by hand, over the frame that a bulk transfer is
 * made of: Ethernet, IPv4 or IPv6, TCP with one SACK block.
 *
 * Run: `deno bench --no-check bench/wire_codec_bench.ts`
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import { addressSum, ipv4AddressSum } from "../net/wire/checksum.ts";
import { decodeDhcpv4, encodeDhcpv4 } from "../net/wire/dhcpv4.ts";
import {
  checkEthernet,
  decodeEthernet,
  encodeEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetType,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from "../net/wire/ethernet.ts";
import {
  checkIpv4,
  decodeIpv4,
  encodeIpv4,
  ipv4Destination,
  Ipv4Header,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  PROTOCOL_TCP,
} from "../net/wire/ipv4.ts";
import { checkIpv6, encodeIpv6, IPV6_HEADER_LENGTH, ipv6DestinationWord, ipv6SourceWord } from "../net/wire/ipv6.ts";
import { IPV6_CHAIN_OK, Ipv6Chain, walkIpv6 } from "../net/wire/ipv6_extensions.ts";
import {
  checkTcp,
  decodeTcp,
  encodeTcp,
  readTcpOptions,
  TCP_ACK,
  tcpAck,
  tcpDestinationPort,
  tcpFlags,
  TcpHeader,
  tcpHeaderLength,
  TcpOptions,
  tcpSeq,
  tcpSetPartialChecksum,
  tcpSourcePort,
  tcpWindow,
} from "../net/wire/tcp.ts";
import { checkUdp, decodeUdp, encodeUdp, udpDestinationPort, udpLength, udpSourcePort } from "../net/wire/udp.ts";

const TCP_AT = ETHERNET_HEADER_LENGTH + 20;
const FRAME_LENGTH = TCP_AT + 32 + 1400;

const frame = new Uint8Array(4096);
const view = new DataView(frame.buffer);
const ip = new Ipv4Header();
ip.source = 0x0a00020f;
ip.destination = 0xc0a80001;
ip.protocol = PROTOCOL_TCP;
ip.totalLength = FRAME_LENGTH - ETHERNET_HEADER_LENGTH;
const tcp = new TcpHeader();
tcp.sourcePort = 40000;
tcp.destinationPort = 443;
tcp.seq = 0xfffffff0;
tcp.ack = 0x80000000;
tcp.flags = TCP_ACK;
tcp.window = 65535;
tcp.sackCount = 1;
tcp.sackEdges.set([0x80000100, 0x80000200]);
const options = new TcpOptions();

let sink = 0;

function encodeFrame(): number {
  encodeEthernet(frame, 0, 0x525400123456, 0x52550a000202, ETHERTYPE_IPV4);
  encodeIpv4(frame, ETHERNET_HEADER_LENGTH, ip);
  const length = encodeTcp(frame, TCP_AT, tcp);
  tcpSetPartialChecksum(frame, TCP_AT, FRAME_LENGTH, ipv4AddressSum(ip.source, ip.destination));
  return length;
}

/** The same bytes by hand; the header checksum in the way that such code has it. */
function encodeFrameByDataView(): void {
  view.setUint16(0, 0x5254);
  view.setUint32(2, 0x00123456);
  view.setUint16(6, 0x5255);
  view.setUint32(8, 0x0a000202);
  view.setUint16(12, ETHERTYPE_IPV4);
  view.setUint16(14, 0x4500);
  view.setUint16(16, ip.totalLength);
  view.setUint32(18, 0x4000);
  view.setUint16(22, 0x4006);
  view.setUint16(24, 0);
  view.setUint32(26, ip.source);
  view.setUint32(30, ip.destination);
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += view.getUint16(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(24, sum ^ 0xffff);
  view.setUint16(34, tcp.sourcePort);
  view.setUint16(36, tcp.destinationPort);
  view.setUint32(38, tcp.seq);
  view.setUint32(42, tcp.ack);
  view.setUint16(46, 0x8010);
  view.setUint16(48, tcp.window);
  view.setUint32(50, 0);
  view.setUint32(54, 0x0101050a);
  view.setUint32(58, tcp.sackEdges[0]!);
  view.setUint32(62, tcp.sackEdges[1]!);
}

encodeFrame();

const frame6 = new Uint8Array(4096), chain = new Ipv6Chain();
const TCP6_AT = ETHERNET_HEADER_LENGTH + IPV6_HEADER_LENGTH, FRAME6_LENGTH = TCP6_AT + 32 + 1400;
const ends6 = { source: IpAddress.parse("fd00::15"), destination: IpAddress.parse("2001:db8::1") };
const ip6 = { payloadLength: FRAME6_LENGTH - TCP6_AT, nextHeader: PROTOCOL_TCP, ...ends6 };
const sum6 = addressSum(ends6.source) + addressSum(ends6.destination);

function encodeFrame6(): number {
  encodeEthernet(frame6, 0, 0x525400123456, 0x52550a000202, ETHERTYPE_IPV6);
  encodeIpv6(frame6, ETHERNET_HEADER_LENGTH, ip6);
  const length = encodeTcp(frame6, TCP6_AT, tcp);
  tcpSetPartialChecksum(frame6, TCP6_AT, FRAME6_LENGTH, sum6);
  return length;
}

encodeFrame6();

Deno.bench("checks and getters of a frame over IPv6", { group: "read a TCP frame" }, () => {
  const at = ETHERNET_HEADER_LENGTH;
  if (!checkEthernet(frame6, 0, FRAME6_LENGTH) || ethernetType(frame6, 0) !== ETHERTYPE_IPV6) return;
  if (!checkIpv6(frame6, at, FRAME6_LENGTH) || walkIpv6(frame6, at, FRAME6_LENGTH, chain) !== IPV6_CHAIN_OK) return;
  const segment = chain.transport;
  if (!checkTcp(frame6, segment, FRAME6_LENGTH)) return;
  for (let i = 0; i < 4; i++) sink += ipv6SourceWord(frame6, at, i) + ipv6DestinationWord(frame6, at, i);
  sink += tcpSourcePort(frame6, segment) + tcpDestinationPort(frame6, segment) + tcpSeq(frame6, segment) +
    tcpAck(frame6, segment) + tcpFlags(frame6, segment) + tcpWindow(frame6, segment);
});

Deno.bench("encodeEthernet, encodeIpv6, encodeTcp, partial checksum", { group: "write a TCP frame's headers" }, () => {
  sink += encodeFrame6();
});

Deno.bench("DataView by hand", { group: "read a TCP frame", baseline: true }, () => {
  if (view.getUint16(12) !== ETHERTYPE_IPV4) return;
  const header = (view.getUint8(14) & 15) * 4, total = view.getUint16(16);
  if (view.getUint8(23) !== PROTOCOL_TCP || total < header) return;
  const at = 14 + header;
  sink += view.getUint32(26) + view.getUint32(30) + view.getUint16(at) + view.getUint16(at + 2) +
    view.getUint32(at + 4) + view.getUint32(at + 8) + view.getUint8(at + 13) + view.getUint16(at + 14) +
    (view.getUint8(at + 12) >>> 4);
});
Deno.bench("checks and getters (hot door)", { group: "read a TCP frame" }, () => {
  if (!checkEthernet(frame, 0, FRAME_LENGTH) || ethernetType(frame, 0) !== ETHERTYPE_IPV4) return;
  if (!checkIpv4(frame, 14, FRAME_LENGTH) || ipv4Protocol(frame, 14) !== PROTOCOL_TCP) return;
  const at = 14 + ipv4HeaderLength(frame, 14), end = 14 + ipv4TotalLength(frame, 14);
  if (!checkTcp(frame, at, end)) return;
  sink += ipv4Source(frame, 14) + ipv4Destination(frame, 14) + tcpSourcePort(frame, at) +
    tcpDestinationPort(frame, at) + tcpSeq(frame, at) + tcpAck(frame, at) + tcpFlags(frame, at) +
    tcpWindow(frame, at) + tcpHeaderLength(frame, at);
});
Deno.bench("checks, getters and options", { group: "read a TCP frame" }, () => {
  if (!checkEthernet(frame, 0, FRAME_LENGTH) || ethernetType(frame, 0) !== ETHERTYPE_IPV4) return;
  if (!checkIpv4(frame, 14, FRAME_LENGTH) || ipv4Protocol(frame, 14) !== PROTOCOL_TCP) return;
  const at = 14 + ipv4HeaderLength(frame, 14), end = 14 + ipv4TotalLength(frame, 14);
  if (!checkTcp(frame, at, end) || !readTcpOptions(frame, at, options)) return;
  sink += tcpSeq(frame, at) + tcpAck(frame, at) + tcpFlags(frame, at) + options.sackEdges[0]!;
});
Deno.bench("decodeX (strict door)", { group: "read a TCP frame" }, () => {
  const outer = decodeEthernet(frame, 0, FRAME_LENGTH);
  const packet = decodeIpv4(frame, outer.payloadStart, outer.payloadEnd);
  sink += decodeTcp(frame, packet.payloadStart, packet.payloadEnd).seq;
});

Deno.bench("DataView by hand", { group: "write a TCP frame's headers", baseline: true }, () => {
  encodeFrameByDataView();
});
Deno.bench("encodeEthernet, encodeIpv4, encodeTcp, partial checksum", { group: "write a TCP frame's headers" }, () => {
  sink += encodeFrame();
});

const datagram = new Uint8Array(64);
const datagramView = new DataView(datagram.buffer);
encodeUdp(datagram, 0, 5000, 53, 40);

Deno.bench("DataView by hand", { group: "read a UDP header", baseline: true }, () => {
  const length = datagramView.getUint16(4);
  if (length < 8 || length > 64) return;
  sink += datagramView.getUint16(0) + datagramView.getUint16(2) + length;
});
Deno.bench("check and getters", { group: "read a UDP header" }, () => {
  if (!checkUdp(datagram, 0, 64)) return;
  sink += udpSourcePort(datagram, 0) + udpDestinationPort(datagram, 0) + udpLength(datagram, 0);
});
Deno.bench("decodeUdp", { group: "read a UDP header" }, () => {
  sink += decodeUdp(datagram).length;
});

const lease = {
  operation: 2,
  transactionId: 0x3d1d,
  clientMac: 0x525400123456,
  messageType: 5,
  yourAddress: 0x0a00020f,
  serverId: 0x0a000202,
  subnetMask: 0xffffff00,
  routers: [0x0a000202],
  dnsServers: [0x0a000203],
  leaseSeconds: 86400,
  mtu: 65520,
};
const dhcp = new Uint8Array(300);
encodeDhcpv4(dhcp, 0, lease);

Deno.bench("encodeDhcpv4", { group: "DHCP acknowledgment" }, () => {
  sink += encodeDhcpv4(dhcp, 0, lease);
});
Deno.bench("decodeDhcpv4", { group: "DHCP acknowledgment" }, () => {
  sink += decodeDhcpv4(dhcp).yourAddress;
});

if (sink === -1) throw new Error("the benchmarks were folded away");
