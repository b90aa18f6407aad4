/**
 * What a segment allocates in V8's heap: prints bytes a segment for each path, as JSON.
 *
 * Run as a program, with a young generation so large that nothing is collected while it counts: `deno run --no-check
 * --v8-flags=--expose-gc,--min-semi-space-size=256,--max-semi-space-size=256`. Then the growth of the used heap is all
 * that was allocated. Each path is warmed up first, so that what the compilers allocate is not counted with it.
 * `control` allocates an object of two numbers each time: where that is not seen, nothing else would be.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { addressSum, ipv4AddressSum } from "../../net/wire/checksum.ts";
import {
  checkEthernet,
  encodeEthernet,
  ethernetDestination,
  ethernetSource,
  ethernetType,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from "../../net/wire/ethernet.ts";
import {
  checkIpv4,
  encodeIpv4,
  ipv4Destination,
  Ipv4Header,
  ipv4HeaderValid,
  ipv4Source,
  PROTOCOL_TCP,
} from "../../net/wire/ipv4.ts";
import { checkIpv6, encodeIpv6, ipv6AddressSum, ipv6DestinationWord, ipv6SourceWord } from "../../net/wire/ipv6.ts";
import { IPV6_CHAIN_OK, Ipv6Chain, walkIpv6 } from "../../net/wire/ipv6_extensions.ts";
import {
  checkTcp,
  encodeTcp,
  readTcpOptions,
  TCP_ACK,
  tcpAck,
  tcpChecksumValid,
  tcpFlags,
  TcpHeader,
  TcpOptions,
  tcpSeq,
  tcpSetChecksum,
} from "../../net/wire/tcp.ts";
import { FlowGateway } from "./flow_gateway.ts";

/** How many segments are counted on each path. */
const SEGMENTS = 1_000_000;
/** So few of them at a time that the young generation holds what they leave. */
const ROUNDS = 5;
/** Rounds to warm up: enough for the optimizing compiler, and for the pools to have what they need. */
const WARM_UP = 200_000;

/** Paths that a segment takes. Each handles the segment with this number. */
type Path = (i: number) => void;

/** Bytes that a segment allocates on each path. */
function measureAllocation(paths: Record<string, Path>): Record<string, number> {
  const collect = (globalThis as { gc?: () => void }).gc;
  if (collect === undefined) throw new Error("Cannot count allocations: start with --v8-flags=--expose-gc");
  return Object.fromEntries(
    Object.entries(paths).map(([name, path]) => {
      for (let i = 0; i < WARM_UP; i++) path(i);
      let grown = 0;
      for (let round = 0; round < ROUNDS; round++) {
        collect();
        const before = Deno.memoryUsage().heapUsed;
        for (let i = 0; i < SEGMENTS / ROUNDS; i++) path(i);
        grown += Deno.memoryUsage().heapUsed - before;
      }
      return [name, grown / SEGMENTS];
    }),
  );
}

function wirePath(): Path {
  const bytes = new Uint8Array(2048), ip = new Ipv4Header(), tcp = new TcpHeader(), options = new TcpOptions();
  const end = 14 + 20 + 32 + 1400;
  ip.source = 0x0a00020f;
  ip.destination = 0xc0a80001;
  ip.protocol = PROTOCOL_TCP;
  ip.totalLength = end - 14;
  tcp.sackCount = 1;
  tcp.flags = TCP_ACK;
  let sum = 0;
  return (i) => {
    tcp.seq = (i * 1400) >>> 0;
    tcp.ack = (0xffffffff - i) >>> 0;
    encodeEthernet(bytes, 0, 0x525400123456, 0x525400123402, ETHERTYPE_IPV4);
    encodeIpv4(bytes, 14, ip);
    encodeTcp(bytes, 34, tcp);
    tcpSetChecksum(bytes, 34, end, ipv4AddressSum(ip.source, ip.destination));
    const sound = checkEthernet(bytes, 0, end) && ethernetType(bytes, 0) === ETHERTYPE_IPV4 &&
      checkIpv4(bytes, 14, end) && ipv4HeaderValid(bytes, 14) && checkTcp(bytes, 34, end) &&
      tcpChecksumValid(bytes, 34, end, ipv4AddressSum(ipv4Source(bytes, 14), ipv4Destination(bytes, 14))) &&
      readTcpOptions(bytes, 34, options);
    if (!sound) throw new Error("Cannot go on: a codec refused its own bytes");
    sum = (sum + ethernetSource(bytes, 0) + ethernetDestination(bytes, 0) + tcpSeq(bytes, 34)) % 65521;
    if (sum + tcpAck(bytes, 34) + tcpFlags(bytes, 34) < 0) throw new Error("Cannot go on: a number is negative");
  };
}

function wireIpv6Path(): Path {
  const bytes = new Uint8Array(2048), tcp = new TcpHeader(), chain = new Ipv6Chain();
  const source = IpAddress.parse("fd00::2"), destination = IpAddress.parse("fd00::15"), end = 14 + 40 + 32 + 1400;
  const ip = { payloadLength: end - 54, nextHeader: PROTOCOL_TCP, source, destination };
  const sum = addressSum(source) + addressSum(destination);
  tcp.sackCount = 1;
  tcp.flags = TCP_ACK;
  return (i) => {
    tcp.seq = i & 0xffff;
    encodeEthernet(bytes, 0, 0x525400123456, 0x525400123402, ETHERTYPE_IPV6);
    encodeIpv6(bytes, 14, ip);
    encodeTcp(bytes, 54, tcp);
    tcpSetChecksum(bytes, 54, end, sum);
    const sound = ethernetType(bytes, 0) === ETHERTYPE_IPV6 && checkIpv6(bytes, 14, end) &&
      walkIpv6(bytes, 14, end, chain) === IPV6_CHAIN_OK && checkTcp(bytes, chain.transport, end) &&
      ipv6SourceWord(bytes, 14, 3) === 2 && ipv6DestinationWord(bytes, 14, 3) === 0x15 &&
      tcpChecksumValid(bytes, chain.transport, end, ipv6AddressSum(bytes, 14));
    if (!sound) throw new Error("Cannot go on: a codec refused its own bytes");
  };
}

function receivePath(length: number, family: 4 | 6 = 4): Path {
  const gateway = new FlowGateway({ family }), flow = gateway.open(1);
  return (i) => {
    flow.sendData(length);
    if (i % 32 === 31) gateway.turn();
  };
}

function sendPath(length: number, family: 4 | 6 = 4): Path {
  const gateway = new FlowGateway({ family }), flow = gateway.open(1);
  return () => {
    flow.hostSends(length);
    gateway.turn();
    flow.sendData(0);
  };
}

if (import.meta.main) {
  const kept: unknown[] = [undefined];
  console.log(JSON.stringify(measureAllocation({
    control: (i) => void (kept[0] = { i, square: i * 0.5 }),
    wire: wirePath(),
    wireIpv6: wireIpv6Path(),
    receiveFull: receivePath(1460),
    sendSmall: sendPath(1),
    sendFull: sendPath(1460),
    // Whole segments, as many as are handed to an offloading link at once.
    sendBurst: sendPath(44 * 1460),
    receiveFull6: receivePath(1440, 6),
    sendSmall6: sendPath(1, 6),
    sendFull6: sendPath(1440, 6),
    sendBurst6: sendPath(44 * 1440, 6),
  })));
}
