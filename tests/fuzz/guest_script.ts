/**
 * Frames out of script lines, for a guest that knows where its connections stand.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { seqAdd, seqLess, seqMax } from "../../net/wire/seq.ts";
import {
  decodeTcp,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
} from "../../net/wire/tcp.ts";
import {
  arpFrame,
  dhcpFrame,
  etherFrame,
  type FrameFields,
  GATEWAY_IP,
  GUEST_IP,
  icmpFrame,
  packetFrame,
  repairChecksums,
  tcpFrame,
  udpFrame,
} from "../support/frames.ts";
import type { Action } from "./script.ts";

const FLAGS: Readonly<Record<string, number>> = {
  FIN: TCP_FIN,
  SYN: TCP_SYN,
  RST: TCP_RST,
  PSH: TCP_PSH,
  ACK: TCP_ACK,
  URG: TCP_URG,
  ECE: TCP_ECE,
  CWR: TCP_CWR,
  NONE: 0,
};
/** Initial sequence number of the guest's connections: the wrap comes soon. */
const ISN = 0xffffff00;
const FIRST_PORT = 40000;

/** Where one of the guest's connections stands. */
interface Conn {
  /** Next sequence number to send. */
  seq: number;
  /** Next sequence number expected. */
  ack: number;
  /** End of the window that the gateway has offered. */
  edge: number;
}

/** What the guest of a script knows. */
export class ScriptGuest {
  /** The port of the latest TCP segment. */
  port = FIRST_PORT;
  #conns = new Map<number, Conn>();

  /** The frame that a line stands for; `repetition` counts those of one line. */
  frame({ verb, words, fields }: Action, repetition: number): Uint8Array {
    const bytes = this.#build(verb, words, fields, repetition);
    for (const [at, patch] of patches(fields.get("patch"))) bytes.set(patch, at);
    if (fields.has("patch")) repairChecksums(bytes);
    for (const [at, patch] of patches(fields.get("set"))) bytes.set(patch, at);
    return fields.has("cut") ? bytes.subarray(0, Number(fields.get("cut"))) : bytes;
  }

  /** Takes note of what the gateway sent: the TCP segment at `bytes[tcp, packetEnd)`. */
  received(bytes: Uint8Array, tcp: number, packetEnd: number): void {
    const segment = decodeTcp(bytes, tcp, packetEnd), conn = this.#conn(segment.destinationPort);
    const length = segment.payloadEnd - segment.payloadStart + (segment.flags & TCP_FIN ? 1 : 0);
    const end = seqAdd(segment.seq, length);
    if (segment.flags & TCP_SYN) conn.ack = seqAdd(segment.seq, 1);
    else if (!(segment.flags & TCP_RST) && !seqLess(conn.ack, segment.seq)) conn.ack = seqMax(conn.ack, end);
    if (segment.flags & TCP_ACK) conn.edge = (segment.ack + segment.window) >>> 0;
  }

  #build(
    verb: string,
    words: readonly string[],
    fields: ReadonlyMap<string, string>,
    repetition: number,
  ): Uint8Array {
    const common = commonFields(fields), payload = payloadOf(fields);
    const number = (name: string, otherwise: number) => Number(fields.get(name) ?? otherwise);
    const port = number("port", FIRST_PORT) + repetition * number("portStep", 0);
    const [, address, toPort] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(fields.get("to") ?? "10.0.2.2:80")!;
    const to = { destination: addressNamed(address!), ...common };
    switch (verb) {
      case "tcp":
        return this.#tcp(words[0] ?? "ACK", { fields, port, toPort: Number(toPort), repetition }, { ...to, payload });
      case "udp": {
        const length = fields.has("length") ? { length: number("length", 0) } : {};
        return udpFrame({ source: port, destination: Number(toPort), ...length }, payload, to);
      }
      case "icmp":
        return icmpFrame(number("type", 8), number("code", 0), payload, to);
      case "arp":
        return arpFrame({
          operation: number("op", 1),
          senderIp: ipv4(fields.get("sender") ?? "10.0.2.15"),
          targetIp: ipv4(fields.get("target") ?? "10.0.2.2"),
          ...(fields.has("senderMac") && { senderMac: parseInt(fields.get("senderMac")!, 16) }),
        }, common);
      case "dhcp":
        return dhcpFrame({
          messageType: number("type", 1),
          operation: number("operation", 1),
          ...(fields.has("requested") && { requestedAddress: ipv4(fields.get("requested")!) }),
          ...(fields.has("server") && { serverId: ipv4(fields.get("server")!) }),
          ...(fields.has("client") && { clientAddress: ipv4(fields.get("client")!) }),
        }, common);
      case "ip":
        return repairChecksums(packetFrame(number("protocol", 132), payload, to));
      case "ether":
        return etherFrame(parseInt(fields.get("type") ?? "88cc", 16), payload, common);
      default:
        return hex(words[0] ?? "");
    }
  }

  #tcp(
    names: string,
    at: { fields: ReadonlyMap<string, string>; port: number; toPort: number; repetition: number },
    rest: FrameFields & { payload: Uint8Array },
  ): Uint8Array {
    const { fields, port, toPort, repetition } = at;
    const flags = names.split(",").reduce((sum, name) => sum | (FLAGS[name] ?? 0), 0);
    const conn = this.#conn(port), given = fields.get("seq");
    this.port = port;
    const base = given?.startsWith("edge") ? conn.edge : conn.seq;
    const seq = base + Number((given ?? "0").replace("edge", "") || 0) +
      repetition * Number(fields.get("seqStep") ?? 0);
    const segment = {
      sourcePort: port,
      destinationPort: toPort,
      flags,
      seq: seq >>> 0,
      ack: flags & TCP_ACK ? (conn.ack + Number(fields.get("ack") ?? 0)) >>> 0 : 0,
      window: Number(fields.get("win") ?? 0xffff),
      ...(fields.has("opts") && { options: hex(fields.get("opts")!) }),
      ...rest,
    };
    // Only what is said without a sequence number of its own moves the connection on.
    if (given === undefined && !(flags & TCP_RST)) {
      conn.seq = (conn.seq + rest.payload.length + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0)) >>> 0;
    }
    return tcpFrame(segment);
  }

  #conn(port: number): Conn {
    let conn = this.#conns.get(port);
    if (conn === undefined) this.#conns.set(port, conn = { seq: ISN, ack: 0, edge: ISN });
    return conn;
  }
}

/** Bytes written in hexadecimal. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}

function commonFields(fields: ReadonlyMap<string, string>): FrameFields {
  const common: FrameFields = {};
  if (fields.has("src")) common.source = addressNamed(fields.get("src")!);
  if (fields.has("dst")) common.destination = addressNamed(fields.get("dst")!);
  if (fields.has("fromMac")) common.fromMac = parseInt(fields.get("fromMac")!, 16);
  if (fields.has("toMac")) common.toMac = parseInt(fields.get("toMac")!, 16);
  if (fields.has("family")) common.family = fields.get("family") === "6" ? 6 : 4;
  if (fields.has("ext")) common.extensions = fields.get("ext")!.split(",").map(extension);
  if (fields.has("ipopts")) common.ipOptions = hex(fields.get("ipopts")!);
  if (fields.has("frag")) common.fragment = parseInt(fields.get("frag")!, 16);
  if (fields.has("id")) common.identification = Number(fields.get("id"));
  if (fields.has("ttl")) common.ttl = Number(fields.get("ttl"));
  return common;
}

/** The payload that a line says: `hex`, `text` or `len`. */
export function payloadOf(fields: ReadonlyMap<string, string>): Uint8Array {
  if (fields.has("hex")) return hex(fields.get("hex")!);
  if (fields.has("text")) return new TextEncoder().encode(fields.get("text"));
  return new Uint8Array(Number(fields.get("len") ?? 0)).fill(0x78);
}

function* patches(text: string | undefined): Generator<[number, Uint8Array]> {
  for (const part of text?.split(",") ?? []) {
    const [at, bytes] = part.split(":");
    yield [Number(at), hex(bytes ?? "")];
  }
}

/** An extension header, as type and, in hexadecimal, all its bytes: `0:0000050200000100`. */
function extension(text: string): { type: number; bytes: Uint8Array } {
  const [type, bytes] = text.split(":");
  return { type: Number(type), bytes: hex(bytes ?? "") };
}

function addressNamed(text: string): IpAddress {
  return text === "gateway" || text === "guest" ? IpAddress.fromIpv4(ipv4(text)) : IpAddress.parse(text);
}

function ipv4(text: string): number {
  return text === "gateway" ? GATEWAY_IP : text === "guest" ? GUEST_IP : IpAddress.parse(text).ipv4;
}
