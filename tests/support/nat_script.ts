/**
 * A gateway between a scripted guest and a scripted host, on a virtual clock: literal segments in, decoded segments out.
 *
 * The guest is 10.0.2.15:40000 and talks to 10.0.2.2:80. Its sequence numbers start just below the wrap.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Nat } from "../../nat/nat.ts";
import type { Guest } from "../../nat/guest.ts";
import type { TcpConfig } from "../../nat/tcp/context.ts";
import { createTranslationRules, type TranslationOptions } from "../../nat/translate.ts";
import { encodeEthernet, ETHERTYPE_IPV4 } from "../../net/wire/ethernet.ts";
import { Frame } from "../../net/wire/frame.ts";
import { encodeIpv4, Ipv4Header, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { decodeTcp, encodeTcp, TCP_ACK, TCP_SYN, TcpHeader, tcpSetChecksumIpv4 } from "../../net/wire/tcp.ts";
import { encodeUdp, udpSetChecksumIpv4 } from "../../net/wire/udp.ts";
import { ScriptHost, type ScriptTcpSocket } from "./script_host.ts";

/** The guest's initial sequence number: the wrap comes soon. */
export const GUEST_ISN = 0xffffff00;
/** The guest's MAC address. */
export const GUEST_MAC = 0x525400123456;
const GUEST_IP = 0x0a00020f, GATEWAY_IP = 0x0a000202;

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

/** A segment that the gateway sent. */
export interface SentSegment {
  flags: number;
  seq: number;
  ack: number;
  window: number;
  payload: Uint8Array;
}

/** The gateway under test. */
export class NatScript {
  readonly host = new ScriptHost();
  readonly nat: Nat;
  readonly guest: Guest;
  readonly warnings: string[] = [];
  readonly infos: string[] = [];
  /** The guest's next sequence number. */
  seq = GUEST_ISN;
  /** What the guest has received in order. */
  ack = 0;
  #sent: SentSegment[] = [];
  #icmp: { type: number; code: number }[] = [];
  #taken: number;

  constructor(
    options: {
      tcp?: Partial<TcpConfig>;
      mtu?: number;
      rules?: TranslationOptions;
      maxFlows?: number;
      maxNewFlows?: number;
      maxBufferBytes?: number;
    } = {},
  ) {
    const logger = {
      debug() {},
      info: (line: string) => void this.infos.push(line),
      warn: (line: string) => void this.warnings.push(line),
      error() {},
    };
    const { tcp = {}, maxFlows = 8, maxBufferBytes = Infinity, maxNewFlows } = options;
    const limits = { maxFlows, maxBufferBytes, ...(maxNewFlows !== undefined && { maxNewFlows }) };
    const rules = createTranslationRules(options.rules);
    this.nat = new Nat({ host: this.host, rules, logger, random: () => 7, ...limits, tcp });
    this.host.start(() => this.nat.turn());
    const send = (frame: Frame) => this.#take(frame);
    this.guest = this.nat.attach({ name: "script", mtu: options.mtu ?? 1500, offload: false, send, flush() {} });
    this.#taken = this.nat.pool.takenBytes;
  }

  /** A frame of the guest, then a turn. */
  frame(bytes: Uint8Array): void {
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
    const payload = bytesOf(fields.payload), header = new TcpHeader();
    header.sourcePort = fields.port ?? 40000;
    header.destinationPort = 80;
    header.flags = fields.flags ?? TCP_ACK;
    header.seq = fields.seq ?? this.seq;
    header.ack = fields.ack ?? this.ack;
    header.window = fields.window ?? 0xffff;
    header.mss = fields.mss ?? -1;
    header.windowShift = fields.windowShift ?? -1;
    header.sackPermitted = fields.sackPermitted ?? false;
    const bytes = new Uint8Array(14 + 20 + 60 + payload.length), tcp = 34;
    const end = tcp + encodeTcp(bytes, tcp, header) + payload.length;
    bytes.set(payload, end - payload.length);
    tcpSetChecksumIpv4(bytes, tcp, end, GUEST_IP, GATEWAY_IP);
    return this.ipv4(bytes.subarray(34, end), PROTOCOL_TCP, GATEWAY_IP);
  }

  /** The frame of a datagram to the gateway's address or another one, from port 40000 unless told otherwise. */
  datagram(content: Uint8Array | string, to: { port: number; address?: number; from?: number }): Uint8Array {
    const payload = bytesOf(content), udp = new Uint8Array(8 + payload.length), address = to.address ?? GATEWAY_IP;
    encodeUdp(udp, 0, to.from ?? 40000, to.port, udp.length);
    udp.set(payload, 8);
    udpSetChecksumIpv4(udp, 0, GUEST_IP, address);
    return this.ipv4(udp, PROTOCOL_UDP, address);
  }

  /** The frame of an IPv4 packet with this payload. */
  ipv4(payload: Uint8Array, protocol: number, destination: number): Uint8Array {
    const bytes = new Uint8Array(34 + payload.length), ip = new Ipv4Header();
    ip.source = GUEST_IP;
    ip.destination = destination;
    ip.protocol = protocol;
    ip.totalLength = 20 + payload.length;
    encodeIpv4(bytes, 14, ip);
    encodeEthernet(bytes, 0, this.nat.mac, GUEST_MAC, ETHERTYPE_IPV4);
    bytes.set(payload, 34);
    return bytes;
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
    this.send(fields.window === undefined ? {} : { window: fields.window });
    return socket;
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
    assertEquals(this.guest.flows, 0);
  }

  #take(frame: Frame): boolean {
    const bytes = frame.bytes.slice(frame.start, frame.end);
    if (bytes[23] === PROTOCOL_ICMP) this.#icmp.push({ type: bytes[34]!, code: bytes[35]! });
    if (bytes[23] !== PROTOCOL_TCP) return true;
    const { flags, seq, ack, window, payloadStart, payloadEnd } = decodeTcp(bytes, 34, bytes.length);
    this.#sent.push({ flags, seq, ack, window, payload: bytes.slice(payloadStart, payloadEnd) });
    return true;
  }
}

/** Text as bytes. */
export function bytesOf(payload: Uint8Array | string | undefined): Uint8Array {
  return typeof payload === "string" ? new TextEncoder().encode(payload) : payload ?? new Uint8Array(0);
}
