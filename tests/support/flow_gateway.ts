/**
 * A gateway with open flows between a guest and a host that cost nothing themselves: for benchmarks, and to count what
 * a segment allocates. Unlike `NatScript` nothing is recorded, decoded or copied here.
 *
 * The guest is 10.0.2.15 or fd00::15, each of its flows leads from a port of its own to port 80 of the gateway. The
 * host's sockets take
 * whatever is written, and give as many bytes (whatever the buffer held) as `FlowEnd.hostSends` was told of. The
 * guest's link vouches for checksums, as a TAP with offload does, so that a frame is built once and only its numbers
 * change.
 *
 * @module
 */
import { Nat } from "../../nat/nat.ts";
import type { Guest } from "../../nat/guest.ts";
import { type HostConnectHandler, WOULD_BLOCK } from "../../nat/host.ts";
import { SILENT } from "../../nat/base/logger.ts";
import { createTranslationRules } from "../../nat/rules/translation_options.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "../../net/wire/bytes.ts";
import { CHECKSUM_VERIFIED, Frame } from "../../net/wire/frame.ts";
import { ipv4TotalLength } from "../../net/wire/ipv4.ts";
import { ipv6PayloadLength } from "../../net/wire/ipv6.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, tcpFlags, tcpHeaderLength } from "../../net/wire/tcp.ts";
import { GATEWAY_IP, GATEWAY_IP6, repairHeader, tcpFrame } from "./frames.ts";
import { filterFlows, VERIFIED } from "./filters.ts";
import { type ScriptEndpoint, ScriptHost, ScriptTcpSocket } from "./script_host.ts";

const IP = 14, TCP_HEADER = 20;
/** Distances from the TCP header. */
const SEQ = 4, ACK = 8, FLAGS = 13, WINDOW = 14;
const ISN = 0xffff0000;

/** A socket that takes everything, and gives as much as it is told to. */
export class SinkSocket extends ScriptTcpSocket {
  /** Who is told that it is readable. */
  readonly handler: HostConnectHandler;
  /** Bytes to give. */
  available = 0;

  constructor(target: ScriptEndpoint, handler: HostConnectHandler) {
    super(target, handler);
    this.handler = handler;
  }

  override setInterest(interest: number): void {
    this.interest = interest;
  }

  override read(_bytes: Uint8Array, start: number, end: number): number {
    if (this.available === 0) return WOULD_BLOCK;
    const count = Math.min(end - start, this.available);
    this.available -= count;
    return count;
  }

  override write(_bytes: Uint8Array, start: number, end: number): number {
    this.receivedLength += end - start;
    return end - start;
  }
}

/** A host whose connects wait until they are answered. */
class SinkHost extends ScriptHost {
  last: SinkSocket | undefined;

  override connectTcp(target: ScriptEndpoint, handler: HostConnectHandler): SinkSocket {
    return this.last = new SinkSocket(target, handler);
  }
}

/** What a gateway is to have. */
export interface FlowGatewayOptions {
  /** MTU of the guest's link. Default 1500. */
  mtu?: number;
  /** Whether the link takes segments of 64 KiB. Default true. */
  offload?: boolean;
  /** Flows at once. Default 65536. */
  maxFlows?: number;
  /** The version of the guest's packets. Default 4. */
  family?: 4 | 6;
  /** Whether flows go through a filter whose judge verifies the name that they say first. Default false. */
  filtered?: boolean;
}

/** The gateway. */
export class FlowGateway {
  readonly host: SinkHost = new SinkHost();
  readonly nat: Nat;
  readonly guest: Guest;
  /** Frames that the gateway sent. */
  frames = 0;
  /** Flows by the guest's port. */
  readonly ends: FlowEnd[] = [];
  readonly #syn: Frame;
  readonly #data: Frame;
  readonly #family: 4 | 6;
  /** Offset of the TCP header in a frame. */
  readonly #tcp: number;

  constructor(options: FlowGatewayOptions = {}) {
    const { mtu = 1500, offload = true, maxFlows = 65536, filtered = false, family = 4 } = options;
    const rules = createTranslationRules(), destination = family === 6 ? GATEWAY_IP6 : GATEWAY_IP;
    this.#family = family;
    this.#tcp = family === 6 ? IP + 40 : IP + 20;
    this.nat = new Nat({ host: this.host, rules, logger: SILENT, random: () => 7, maxFlows });
    if (filtered) filterFlows(this.nat, VERIFIED);
    const send = (frame: Frame) => this.#take(frame);
    this.guest = this.nat.attach({ name: "flows", mtu, offload, send, flush() {} });
    const mss = mtu - this.#tcp + IP - TCP_HEADER;
    this.#syn = verified(tcpFrame({ destination, flags: TCP_SYN, seq: ISN, ack: 0, mss, windowShift: 7 }));
    this.#data = verified(tcpFrame({ destination, flags: TCP_ACK, seq: ISN, ack: 0 }), 65536);
    if (filtered) this.#data.bytes.set(VERIFIED.greeting, this.#tcp + TCP_HEADER);
  }

  /** Time passes and the turn ends. */
  turn(): void {
    this.host.time += 0.01;
    this.nat.turn();
  }

  /** The SYN of a flow from `port`. */
  syn(port: number): void {
    const tcp = this.#tcp;
    writeUint16(this.#syn.bytes, tcp, port);
    this.#syn.bytes[tcp + FLAGS] = TCP_SYN;
    this.guest.receive(this.#syn);
  }

  /** The guest gives up a flow that it has only asked for. */
  resetSyn(port: number): void {
    const tcp = this.#tcp;
    writeUint16(this.#syn.bytes, tcp, port);
    this.#syn.bytes[tcp + FLAGS] = TCP_RST;
    writeUint32(this.#syn.bytes, tcp + SEQ, (ISN + 1) >>> 0);
    this.guest.receive(this.#syn);
    writeUint32(this.#syn.bytes, tcp + SEQ, ISN);
    this.turn();
  }

  /** An open flow from `port`. */
  open(port: number): FlowEnd {
    const end = new FlowEnd(this, port);
    this.ends[port] = end;
    this.syn(port);
    end.socket = this.host.last!;
    end.socket.handler.hostConnected();
    this.turn();
    end.sendData(0);
    this.turn();
    return end;
  }

  /** For `FlowEnd`: a segment of the guest. */
  segment(from: FlowEnd, length: number, flags: number): void {
    const frame = this.#data, bytes = frame.bytes, tcp = this.#tcp, end = tcp + TCP_HEADER + length;
    if (frame.end !== end) {
      if (this.#family === 6) writeUint16(bytes, IP + 4, TCP_HEADER + length);
      else writeUint16(bytes, IP + 2, end - IP);
      frame.end = end;
      repairHeader(bytes);
    }
    writeUint16(bytes, tcp, from.port);
    writeUint32(bytes, tcp + SEQ, from.seq);
    writeUint32(bytes, tcp + ACK, from.ack);
    bytes[tcp + FLAGS] = flags;
    writeUint16(bytes, tcp + WINDOW, from.window);
    this.guest.receive(frame);
  }

  #take(frame: Frame): boolean {
    this.frames++;
    const bytes = frame.bytes, ip = frame.start + IP, tcp = frame.start + this.#tcp;
    const end = this.#family === 6 ? tcp + ipv6PayloadLength(bytes, ip) : ip + ipv4TotalLength(bytes, ip);
    const length = end - tcp - tcpHeaderLength(bytes, tcp), flags = tcpFlags(bytes, tcp);
    const to = this.ends[readUint16(bytes, tcp + 2)];
    if (to === undefined) return true;
    to.ack = (readUint32(bytes, tcp + 4) + length + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0)) >>> 0;
    to.receivedLength += length;
    return true;
  }
}

/** The guest's end of a flow, and the host's socket. */
export class FlowEnd {
  /** The host's side. */
  socket!: SinkSocket;
  /** The guest's next sequence number. */
  seq = (ISN + 1) >>> 0;
  /** What the guest acknowledges: everything that was sent to it. */
  ack = 0;
  /** The window that the guest offers, before it is shifted by 7. */
  window = 0xffff;
  /** Payload bytes that came to the guest. */
  receivedLength = 0;
  /** The guest's port. */
  readonly port: number;
  readonly #gateway: FlowGateway;

  constructor(gateway: FlowGateway, port: number) {
    this.#gateway = gateway;
    this.port = port;
  }

  /** A segment of the guest with this many bytes; 0: an acknowledgement. */
  sendData(length: number): void {
    this.#gateway.segment(this, length, TCP_ACK);
    this.seq = (this.seq + length) >>> 0;
  }

  /** The guest has finished. */
  sendFin(): void {
    this.#gateway.segment(this, 0, TCP_ACK | TCP_FIN);
    this.seq = (this.seq + 1) >>> 0;
  }

  /** Bytes arrive at the host's socket. */
  hostSends(length: number): void {
    this.socket.available += length;
    this.socket.handler.hostReadable();
  }
}

/** A frame of the guest whose checksum the link vouches for, with room for `payload` bytes. */
function verified(bytes: Uint8Array, payload = 0): Frame {
  const roomy = new Uint8Array(bytes.length + payload);
  roomy.set(bytes);
  const frame = new Frame().set(roomy, 0, bytes.length);
  frame.checksum = CHECKSUM_VERIFIED;
  return frame;
}
