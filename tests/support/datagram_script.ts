/**
 * A gateway between a scripted guest and a scripted host, on a virtual clock, for datagrams: packets in, packets out.
 *
 * The guest is 10.0.2.15 and talks from port 4000 to 192.0.2.7:9 unless told otherwise; over IPv6 it is fd00::15 and
 * talks to [2001:db8::7]:9.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { DropReason } from "../../nat/base/counters.ts";
import type { Guest } from "../../nat/guest.ts";
import { Nat } from "../../nat/nat.ts";
import { type ScriptRules, scriptRules } from "./rules.ts";
import { formatIpv4, IpAddress, parseIpv4 } from "../../net/wire/address.ts";
import { addressSum } from "../../net/wire/checksum.ts";
import { CHECKSUM_PARTIAL, Frame } from "../../net/wire/frame.ts";
import { encodeIcmpv4Error, type Icmpv4Error } from "../../net/wire/icmpv4.ts";
import {
  decodeIpv4,
  encodeIpv4,
  Ipv4Header,
  type Ipv4Packet,
  PROTOCOL_ICMP,
  PROTOCOL_UDP,
} from "../../net/wire/ipv4.ts";
import { readUint16, readUint32 } from "../../net/wire/bytes.ts";
import { decodeIpv6, IPV6_HEADER_LENGTH } from "../../net/wire/ipv6.ts";
import { udpChecksumValid } from "../../net/wire/udp.ts";
import { type Address, echoFrame, fragmentWord, GUEST_IP6, packetFrame, packetPayload, udpFrame } from "./frames.ts";
import { ScriptHost } from "./script_host.ts";

/** The next header of a fragment. */
const FRAGMENT = 44;

/** The guest's address. */
export const GUEST = parseIpv4("10.0.2.15");

/** Fields of a packet of the guest. */
export interface PacketFields {
  readonly to?: string;
  readonly source?: Address;
  readonly identification?: number;
  readonly protocol?: number;
  readonly ttl?: number;
}

/** Fields of a datagram of the guest. */
export interface DatagramFields extends PacketFields {
  readonly port?: number;
  readonly toPort?: number;
}

/** A packet that the gateway sent, its fragments put together. */
export interface SentPacket {
  /** Of IPv4; a packet of IPv6 has none. */
  readonly header: Ipv4Packet;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** How many frames it took. */
  readonly frames: number;
}

/** What a frame says of its packet. */
interface SentPiece extends Pick<SentPacket, "source" | "destination" | "protocol" | "payload"> {
  readonly header?: Ipv4Packet;
  /** Where it belongs, whether more comes, and which packet it is a piece of. */
  readonly offset: number;
  readonly more: boolean;
  readonly identification: number;
}

/** The gateway under test. */
export class DatagramScript {
  readonly family: 4 | 6;
  /** Whom the guest talks to unless told otherwise. */
  readonly remote: string;
  readonly host: ScriptHost = new ScriptHost();
  readonly nat: Nat;
  readonly guest: Guest;
  readonly warnings: string[] = [];
  /** Frames that the link takes before it is full. */
  room = Infinity;
  /** Every frame sent. */
  readonly frames: Frame[] = [];
  #taken: number;

  constructor(options: { mtu?: number; offload?: boolean; rules?: ScriptRules; family?: 4 | 6 } = {}) {
    this.family = options.family ?? 4;
    this.remote = this.family === 4 ? "192.0.2.7" : "2001:db8::7";
    const logger = { debug() {}, info() {}, error() {}, warn: (line: string) => void this.warnings.push(line) };
    const rules = scriptRules(options.rules);
    this.nat = new Nat({ host: this.host, rules, logger, random: () => 7, maxFlows: 8 });
    this.host.start(() => this.nat.turn());
    const { mtu = 1500, offload = false } = options;
    this.guest = this.nat.attach({ name: "script", mtu, offload, send: (frame) => this.#take(frame), flush() {} });
    this.#taken = this.nat.pool.takenBytes;
  }

  /** A frame of the guest, then a turn. */
  frame(bytes: Uint8Array): void {
    this.guest.receive(new Frame().set(bytes, 0, bytes.length));
    this.host.wake();
    this.host.run();
  }

  /** The frame of a packet, or of a fragment of one. */
  packet(payload: Uint8Array, fields: PacketFields & { offset?: number; more?: boolean } = {}): Uint8Array {
    const { offset = 0, more = false, protocol = PROTOCOL_UDP, to = this.remote, ...rest } = fields;
    const fragment = this.family === 4 || offset > 0 || more
      ? { fragment: fragmentWord(this.family, offset, more) }
      : {};
    return packetFrame(protocol, payload, { identification: 1, ...rest, destination: to, ...fragment });
  }

  /** A UDP header and its payload. */
  datagram(payload: Uint8Array, fields: DatagramFields = {}): Uint8Array {
    const { port = 4000, toPort = 9, to = this.remote, source = this.family === 4 ? GUEST : GUEST_IP6 } = fields;
    return packetPayload(udpFrame({ source: port, destination: toPort }, payload, { source, destination: to }));
  }

  /** The guest sends a datagram. */
  udp(payload: Uint8Array | string, fields: DatagramFields = {}): void {
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    this.frame(this.packet(this.datagram(bytes, fields), fields));
  }

  /** The guest sends an echo request. */
  echo(identifier: number, sequence: number, payload: Uint8Array, fields: PacketFields = {}): void {
    const echo = packetPayload(echoFrame({ identifier, sequence }, payload));
    this.frame(this.packet(echo, { ...fields, protocol: PROTOCOL_ICMP }));
  }

  /** The guest sends an ICMP error about a packet that it was sent. */
  error({ header, payload }: SentPacket, error: Icmpv4Error): void {
    const quoted = new Uint8Array(20 + payload.length), bytes = new Uint8Array(8 + quoted.length);
    encodeIpv4(quoted, 0, Object.assign(new Ipv4Header(), header));
    quoted.set(payload, 20);
    const length = encodeIcmpv4Error(bytes, 0, error, { bytes: quoted, start: 0, end: quoted.length });
    this.frame(this.packet(bytes.subarray(0, length), { protocol: PROTOCOL_ICMP, to: formatIpv4(header.source) }));
  }

  /** Frames of the fragments of `payload`, of at most `size` bytes each. */
  fragments(payload: Uint8Array, size: number, fields: PacketFields = {}): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let offset = 0; offset < payload.length; offset += size) {
      const part = payload.subarray(offset, offset + size), more = offset + size < payload.length;
      frames.push(this.packet(part, { ...fields, offset, more }));
    }
    return frames;
  }

  /** The packets that the gateway sent since this was last called; fragments must come in order. */
  take(): SentPacket[] {
    const packets: SentPacket[] = [];
    let parts: number[] = [], first: SentPiece | null = null, frames = 0;
    for (const { bytes } of this.frames.splice(0)) {
      const piece = this.family === 4 ? ipv4Piece(bytes) : ipv6Piece(bytes);
      assertEquals(piece.offset, parts.length);
      if (first !== null) assertEquals(piece.identification, first.identification);
      first ??= piece;
      frames++;
      parts = parts.concat([...piece.payload]);
      if (piece.more) continue;
      const { header, source, destination, protocol } = first;
      packets.push({ header: header!, source, destination, protocol, payload: Uint8Array.from(parts), frames });
      parts = [];
      first = null;
      frames = 0;
    }
    assertEquals(parts.length, 0, "a packet is not whole");
    return packets;
  }

  /** The only packet sent, which is a UDP datagram: its ports and payload. The checksum must be right. */
  takeUdp(): { from: number; to: number; payload: Uint8Array; packet: SentPacket } {
    const packets = this.take();
    assertEquals(packets.map(({ protocol }) => protocol), [PROTOCOL_UDP]);
    const { payload, source, destination } = packets[0]!, view = new DataView(payload.buffer);
    assertEquals(view.getUint16(4), payload.length);
    assert(
      udpChecksumValid(payload, 0, addressSum(IpAddress.parse(source)) + addressSum(IpAddress.parse(destination))),
    );
    return { from: view.getUint16(0), to: view.getUint16(2), payload: payload.slice(8), packet: packets[0]! };
  }

  /** Counters that are not 0. */
  get counted(): Partial<Record<DropReason, number>> {
    return Object.fromEntries(Object.entries(this.nat.counters).filter(([, count]) => count > 0));
  }

  /** Nothing is left of any flow or fragment once the gateway has closed. */
  assertEmptyAfterClose(): void {
    this.nat.close();
    assertEquals(this.nat.flows(), []);
    assertEquals(this.nat.timers.size, 0, "timers");
    assertEquals(this.nat.pool.takenBytes, this.#taken, "buffers");
    assertEquals(this.nat.incompleteDatagrams, 0);
    assertEquals([...this.host.udpSockets, ...this.host.pingSockets].filter((socket) => !socket.closed), []);
  }

  #take(frame: Frame): boolean {
    if (this.room === 0) return false;
    this.room--;
    const bytes = frame.bytes.slice(frame.start, frame.end), copy = new Frame().set(bytes, 0, bytes.length);
    // What a link writes in front of a frame must be nobody's any more.
    frame.bytes.fill(0x5a, frame.start - 10, frame.start);
    if (frame.checksum === CHECKSUM_PARTIAL) {
      copy.checksum = frame.checksum;
      copy.transport = frame.transport - frame.start;
      copy.checksumField = frame.checksumField;
    }
    this.frames.push(copy);
    return true;
  }
}

function ipv4Piece(bytes: Uint8Array): SentPiece {
  const header = decodeIpv4(bytes, 14), payload = bytes.subarray(header.payloadStart, header.payloadEnd);
  assert(header.checksumValid);
  const { fragmentOffset: offset, moreFragments: more, identification, protocol } = header;
  if (more || offset > 0) assert(!header.dontFragment);
  const source = formatIpv4(header.source), destination = formatIpv4(header.destination);
  return { header, source, destination, protocol, payload, offset, more, identification };
}

/** The packets of the gateway have no extension header but that of a fragment. */
function ipv6Piece(bytes: Uint8Array): SentPiece {
  const { source, destination, nextHeader, payloadEnd } = decodeIpv6(bytes, 14), at = 14 + IPV6_HEADER_LENGTH;
  assertEquals(payloadEnd, bytes.length);
  const ends = { source: `${source}`, destination: `${destination}` };
  if (nextHeader !== FRAGMENT) {
    return { ...ends, protocol: nextHeader, payload: bytes.subarray(at), offset: 0, more: false, identification: -1 };
  }
  const word = readUint16(bytes, at + 2), payload = bytes.subarray(at + 8), identification = readUint32(bytes, at + 4);
  return { ...ends, protocol: bytes[at]!, payload, offset: word & ~7, more: (word & 1) === 1, identification };
}
