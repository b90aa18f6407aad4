/**
 * A gateway between a scripted guest and a scripted host, on a virtual clock: literal segments in, decoded segments
 * out.
 *
 * The guest is 10.0.2.15:40000 and talks to 10.0.2.2:80, or over IPv6 fd00::15 and fd00::2. Its sequence numbers start
 * just below the wrap. Over IPv6 the link's MTU is larger by what the header is, so that segments are as large as over
 * IPv4.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Nat } from "../../nat/nat.ts";
import type { Guest } from "../../nat/guest.ts";
import type { Decide } from "../../nat/rules/decide.ts";
import type { TcpConfig } from "../../nat/tcp/context.ts";
import { type ScriptRules, scriptRules } from "./rules.ts";
import { formatEndpoint, formatIpv4, MAC_BROADCAST, parseIpv4 } from "../../net/wire/address.ts";
import { ipv4AddressSum } from "../../net/wire/checksum.ts";
import { ARP_REQUEST, decodeArp } from "../../net/wire/arp.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ethernetDestination,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
} from "../../net/wire/ethernet.ts";
import { Frame } from "../../net/wire/frame.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4Destination,
  ipv4Source,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { decodeIpv6, IPV6_HEADER_LENGTH, ipv6AddressSum, PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import { decodeNdp, NDP_NEIGHBOUR_SOLICITATION } from "../../net/wire/ndp.ts";
import { decodeTcp, TCP_ACK, TCP_SYN, tcpChecksumValid } from "../../net/wire/tcp.ts";
import { udpChecksumValid, udpDestinationPort, udpSourcePort } from "../../net/wire/udp.ts";
import {
  type Address,
  addressOf,
  arpFrame,
  type FrameFields,
  GATEWAY_IP,
  GATEWAY_IP6,
  GUEST_IP,
  GUEST_IP6,
  GUEST_MAC,
  packetFrame,
  tcpFrame,
  udpFrame,
} from "./frames.ts";
import { filterFlows, type Filtering } from "./filters.ts";
import { ScriptHost, type ScriptTcpSocket } from "./script_host.ts";

/** The guest's initial sequence number: the wrap comes soon. */
export const GUEST_ISN = 0xffffff00;
export { GUEST_MAC };

/** Fields of a segment of the guest; what is left out is what a well-behaved peer would send. */
export interface SegmentFields {
  flags?: number;
  seq?: number;
  ack?: number;
  payload?: Uint8Array | string;
  window?: number;
  mss?: number;
  windowShift?: number;
  sackPermitted?: boolean;
  port?: number;
}

/** A datagram between the guest and `remote`. */
export interface ScriptUdp {
  payload: Uint8Array;
  guestPort: number;
  remote: string;
}

/** A segment that the gateway sent. */
export interface SentSegment {
  /** To which MAC address. */
  mac: number;
  /** Where the guest sees it come from. */
  from: string;
  /** Address and port of the guest. */
  to: string;
  flags: number;
  seq: number;
  ack: number;
  window: number;
  payload: Uint8Array;
}

/** The gateway under test. */
export class NatScript {
  static #filtering: Filtering | null = null;
  static #family: 4 | 6 = 4;
  static readonly #sentOver = new Set<4 | 6>();

  /** Runs `body`, in which every gateway is used over this family. */
  static over(family: 4 | 6, body: () => void): void {
    NatScript.#family = family;
    NatScript.#sentOver.clear();
    try {
      body();
    } finally {
      NatScript.#family = 4;
    }
    assertEquals([...NatScript.#sentOver], [family], "families of what the guests sent");
  }

  /** Runs `body`, in which the TCP flows of every gateway go through filters. */
  static filtered(filtering: Filtering, body: () => void): void {
    NatScript.#filtering = filtering;
    try {
      body();
    } finally {
      NatScript.#filtering = null;
    }
  }

  readonly family: 4 | 6;
  readonly host = new ScriptHost();
  readonly nat: Nat;
  readonly guest: Guest;
  readonly warnings: string[] = [];
  readonly infos: string[] = [];
  /** The guest's next sequence number. */
  seq = GUEST_ISN;
  /** What the guest has received in order. */
  ack = 0;
  /** The guest's address, its port, and where it sends to. */
  guestIp: Address;
  guestPort = 40000;
  remoteIp: Address;
  remotePort = 80;
  guestMac = GUEST_MAC;
  #sent: SentSegment[] = [];
  #udp: ScriptUdp[] = [];
  #asked: string[] = [];
  #icmp: { type: number; code: number }[] = [];
  #taken: number;

  constructor(
    options: {
      tcp?: Partial<TcpConfig>;
      mtu?: number;
      rules?: ScriptRules;
      maxFlows?: number;
      maxNewFlows?: number;
      maxBufferBytes?: number;
      family?: 4 | 6;
      reportOnly?: boolean;
      strictNames?: boolean;
      decide?: Decide;
      records?: { readonly isAvailable: boolean };
    } = {},
  ) {
    const family = this.family = options.family ?? NatScript.#family;
    this.guestIp = family === 4 ? GUEST_IP : GUEST_IP6;
    this.remoteIp = family === 4 ? GATEWAY_IP : GATEWAY_IP6;
    const logger = {
      debug() {},
      info: (line: string) => void this.infos.push(line),
      warn: (line: string) => void this.warnings.push(line),
      error() {},
    };
    const { tcp = {}, maxFlows = 8, maxBufferBytes = Infinity, maxNewFlows } = options;
    const { reportOnly = false, strictNames = false, decide, records } = options;
    const limits = {
      maxFlows,
      maxBufferBytes,
      ...(maxNewFlows !== undefined && { maxNewFlows }),
      reportOnly,
      strictNames,
      ...(decide !== undefined && { decide }),
      ...(records !== undefined && { records }),
    };
    const rules = scriptRules(options.rules);
    this.nat = new Nat({ host: this.host, rules, logger, random: () => 7, ...limits, tcp });
    if (NatScript.#filtering !== null) filterFlows(this.nat, NatScript.#filtering);
    this.host.start(() => this.nat.turn());
    const send = (frame: Frame) => this.#take(frame);
    const mtu = (options.mtu ?? 1500) + (family === 4 ? 0 : IPV6_HEADER_LENGTH - IPV4_HEADER_LENGTH);
    this.guest = this.nat.attach({ name: "script", mtu, offload: false, send, flush() {} });
    this.#taken = this.nat.pool.takenBytes;
  }

  /** A frame of the guest, then a turn. */
  frame(bytes: Uint8Array): void {
    NatScript.#sentOver.add(ethernetType(bytes, 0) === ETHERTYPE_IPV6 ? 6 : 4);
    this.guest.receive(this.pointAt(bytes));
    this.host.wake();
    this.host.run();
  }

  /** A descriptor of these bytes. */
  pointAt(bytes: Uint8Array): Frame {
    return new Frame().set(bytes, 0, bytes.length);
  }

  /** A segment of the guest, then a turn; the guest's sequence number moves on. */
  send(fields: SegmentFields = {}): void {
    this.frame(this.segment(fields));
    if (fields.seq !== undefined) return;
    const length = bytesOf(fields.payload).length + ((fields.flags ?? 0) & 3 ? 1 : 0);
    this.seq = (this.seq + length) >>> 0;
  }

  /** The frame of a segment. */
  segment(fields: SegmentFields): Uint8Array {
    const { port: sourcePort = this.guestPort, flags = TCP_ACK, seq = this.seq, ack = this.ack, ...rest } = fields;
    const numbers = { sourcePort, destinationPort: this.remotePort, flags, seq, ack };
    return tcpFrame({ ...this.#ends, ...rest, ...numbers, payload: bytesOf(fields.payload) });
  }

  /** The frame of a datagram to the gateway's address or another one, from port 40000 unless told otherwise. */
  datagram(content: Uint8Array | string, to: { port: number; address?: number; from?: number }): Uint8Array {
    const ports = { source: to.from ?? 40000, destination: to.port };
    return udpFrame(ports, bytesOf(content), { ...this.#ends, destination: to.address ?? GATEWAY_IP });
  }

  /** The frame of an IPv4 packet with this payload. */
  ipv4(payload: Uint8Array, protocol: number, destination: number): Uint8Array {
    return packetFrame(protocol, payload, { ...this.#ends, destination });
  }

  /** A datagram of the guest, then a turn. */
  sendUdp({ payload, guestPort, remote }: { payload: Uint8Array | string; guestPort: number; remote: string }): void {
    const [address, port] = remote.split(":");
    this.frame(this.datagram(payload, { from: guestPort, address: parseIpv4(address!), port: Number(port) }));
  }

  /** An ARP message of the guest to the gateway, then a turn. */
  sendArp(operation: number, targetIp: number = GATEWAY_IP): void {
    const arp = { operation, senderIp: addressOf(this.guestIp).ipv4, targetMac: this.nat.mac, targetIp };
    this.frame(arpFrame(arp, { fromMac: this.guestMac, toMac: this.nat.mac }));
  }

  /** Handshake: returns the host's socket. Window scale is not used unless asked for. */
  open(fields: SegmentFields = {}): ScriptTcpSocket {
    this.send({ flags: TCP_SYN, ack: 0, mss: 1460, ...fields });
    this.expectNothing();
    const socket = this.host.onlyConnect();
    socket.accept();
    this.host.run();
    const synAck = this.expect({ flags: TCP_SYN | TCP_ACK, ack: this.seq });
    this.ack = (synAck.seq + 1) >>> 0;
    const window = fields.window === undefined ? {} : { window: fields.window };
    this.send(window);
    this.#greet(socket, window);
    return socket;
  }

  /** What the filter wants to hear first, of which the test then sees nothing. */
  #greet(socket: ScriptTcpSocket, window: SegmentFields): void {
    const greeting = NatScript.#filtering?.greeting;
    if (greeting === undefined) return;
    this.send({ payload: greeting, ...window });
    assertEquals(socket.received, greeting);
    this.expect({ flags: TCP_ACK, ack: this.seq });
    socket.forget();
  }

  /** The next segment that was sent, which must have these fields. */
  expect(fields: Partial<SentSegment>): SentSegment {
    const segment = this.#sent.shift();
    assert(segment !== undefined, "nothing was sent");
    for (const key of Object.keys(fields) as (keyof SentSegment)[]) assertEquals(segment[key], fields[key], key);
    return segment;
  }

  /** Takes all segments sent, in order: `ack` moves past their data and FIN. Returns the payload. */
  receiveAll(): Uint8Array {
    const parts: number[] = [];
    for (const segment of this.#sent.splice(0)) {
      const old = (this.ack - segment.seq) | 0;
      if (old < 0 || (old > segment.payload.length)) continue;
      for (const byte of segment.payload.subarray(old)) parts.push(byte);
      this.ack = (segment.seq + segment.payload.length + (segment.flags & 1)) >>> 0;
    }
    return Uint8Array.from(parts);
  }

  /** Segments sent and not yet looked at. */
  take(): SentSegment[] {
    return this.#sent.splice(0);
  }

  /** Datagrams sent to the guest and not yet looked at. */
  takeUdp(): ScriptUdp[] {
    return this.#udp.splice(0);
  }

  /** The addresses that were asked for by ARP. */
  takeAsked(): string[] {
    return this.#asked.splice(0);
  }

  /** The ICMP messages sent so far. */
  takeIcmp(): { type: number; code: number }[] {
    return this.#icmp.splice(0);
  }

  expectNothing(): void {
    assertEquals(this.#sent, []);
  }

  advance(ms: number): void {
    this.host.advance(ms);
  }

  /** The guest's address and port, as in `flows()` and log lines. */
  get guestText(): string {
    return formatEndpoint(addressOf(this.guestIp), this.guestPort);
  }

  /** Address and port that the guest talks to, likewise. */
  get remoteText(): string {
    return formatEndpoint(addressOf(this.remoteIp), this.remotePort);
  }

  get #ends(): FrameFields {
    return { fromMac: this.guestMac, toMac: this.nat.mac, source: this.guestIp, destination: this.remoteIp };
  }

  /** The state of the only flow, or null. */
  get state(): string | null {
    const flows = this.nat.flows();
    assert(flows.length <= 1);
    return flows[0]?.state ?? null;
  }

  /** Nothing is left of any flow. */
  assertEmpty(): void {
    assertEquals(this.nat.flows(), []);
    assertEquals(this.nat.timers.size, 0, "timers");
    assertEquals(this.nat.pool.takenBytes, this.#taken, "buffers");
    assertEquals(this.host.openSockets, [], "sockets");
    const { flows, clients, connecting, mappings } = this.guest.use;
    assertEquals([flows, clients, connecting, mappings.size], [0, 0, 0, 0], "what the guest uses");
  }

  #take(frame: Frame): boolean {
    const bytes = frame.bytes.slice(frame.start, frame.end);
    if (ethernetType(bytes, 0) === ETHERTYPE_ARP) {
      const { operation, senderIp, targetIp } = decodeArp(bytes, 14, bytes.length);
      if (operation !== ARP_REQUEST) return true;
      assertEquals([ethernetDestination(bytes, 0), senderIp], [MAC_BROADCAST, GATEWAY_IP]);
      this.#asked.push(formatIpv4(targetIp));
      return true;
    }
    if (ethernetType(bytes, 0) === ETHERTYPE_IPV6) return this.#takeIpv6(bytes);
    const source = formatIpv4(ipv4Source(bytes, 14)), destination = formatIpv4(ipv4Destination(bytes, 14));
    if (bytes[23] === PROTOCOL_ICMP) this.#icmp.push({ type: bytes[34]!, code: bytes[35]! });
    if (bytes[23] === PROTOCOL_UDP) {
      const remote = `${source}:${udpSourcePort(bytes, 34)}`, guestPort = udpDestinationPort(bytes, 34);
      assert(udpChecksumValid(bytes, 34, ipv4AddressSum(ipv4Source(bytes, 14), ipv4Destination(bytes, 14))));
      this.#udp.push({ payload: bytes.slice(42), guestPort, remote });
    }
    if (bytes[23] === PROTOCOL_TCP) this.#takeTcp(bytes, 34, source, destination);
    return true;
  }

  #takeIpv6(bytes: Uint8Array): boolean {
    const ip = ETHERNET_HEADER_LENGTH, at = ip + IPV6_HEADER_LENGTH;
    const { source, destination, nextHeader } = decodeIpv6(bytes, ip, bytes.length);
    if (nextHeader === PROTOCOL_TCP) {
      assert(tcpChecksumValid(bytes, at, bytes.length, ipv6AddressSum(bytes, ip)), "a segment has a wrong checksum");
      this.#takeTcp(bytes, at, `[${source}]`, `[${destination}]`);
    } else if (nextHeader === PROTOCOL_ICMPV6 && bytes[at] === NDP_NEIGHBOUR_SOLICITATION) {
      const message = decodeNdp(bytes, at, bytes.length);
      assert(message.type === NDP_NEIGHBOUR_SOLICITATION);
      this.#asked.push(`${message.target}`);
    } else if (nextHeader === PROTOCOL_ICMPV6) {
      this.#icmp.push({ type: bytes[at]!, code: bytes[at + 1]! });
    }
    return true;
  }

  #takeTcp(bytes: Uint8Array, at: number, source: string, destination: string): void {
    const segment = decodeTcp(bytes, at, bytes.length);
    const { flags, seq, ack, window, payloadStart, payloadEnd } = segment;
    const from = `${source}:${segment.sourcePort}`, to = `${destination}:${segment.destinationPort}`;
    const mac = ethernetDestination(bytes, 0);
    this.#sent.push({ mac, from, to, flags, seq, ack, window, payload: bytes.slice(payloadStart, payloadEnd) });
  }
}

/** Text as bytes. */
export function bytesOf(payload: Uint8Array | string | undefined): Uint8Array {
  return typeof payload === "string" ? new TextEncoder().encode(payload) : payload ?? new Uint8Array(0);
}
