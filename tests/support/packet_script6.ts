/**
 * A gateway between a guest that speaks IPv6 and a scripted host, on a virtual clock: frames in, decoded packets out.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { DropReason } from "../../nat/base/counters.ts";
import type { Guest } from "../../nat/guest.ts";
import type { Ipv6Routes } from "../../nat/host.ts";
import { Nat } from "../../nat/nat.ts";
import { type ScriptRules, scriptRules } from "./rules.ts";
import { addressSum } from "../../net/wire/checksum.ts";
import { decodeEthernet, ETHERTYPE_IPV6 } from "../../net/wire/ethernet.ts";
import { CHECKSUM_PARTIAL, Frame } from "../../net/wire/frame.ts";
import { decodeIcmpv6, icmpv6ChecksumValid, type Icmpv6Message } from "../../net/wire/icmpv6.ts";
import { decodeIpv6, type Ipv6Packet, PROTOCOL_ICMPV6 } from "../../net/wire/ipv6.ts";
import type { IpAddress } from "../../net/wire/address.ts";
import { GUEST_MAC } from "./frames.ts";
import { ScriptHost } from "./script_host.ts";

/** A packet that the gateway sent. */
export interface SentPacket6 {
  readonly header: Ipv6Packet & { source: IpAddress; destination: IpAddress };
  readonly payload: Uint8Array;
  /** To which MAC address. */
  readonly mac: number;
  readonly frame: Frame;
}

/** The gateway under test. */
export class PacketScript6 {
  readonly host: ScriptHost = new ScriptHost();
  readonly nat: Nat;
  readonly guest: Guest;
  readonly warnings: string[] = [];
  readonly #frames: Frame[] = [];
  #taken: number;

  constructor(options: { mtu?: number; offload?: boolean; rules?: ScriptRules; routes?: Ipv6Routes } = {}) {
    if (options.routes !== undefined) Object.assign(this.host, { ipv6Routes: options.routes });
    const logger = { debug() {}, info() {}, error() {}, warn: (line: string) => void this.warnings.push(line) };
    const rules = scriptRules(options.rules);
    this.nat = new Nat({ host: this.host, rules, logger, random: () => 7, maxFlows: 8 });
    this.host.start(() => this.nat.turn());
    const { mtu = 1500, offload = false } = options;
    this.guest = this.nat.attach({ name: "script", mtu, offload, send: (frame) => this.#take(frame), flush() {} });
    this.#taken = this.nat.pool.takenBytes;
  }

  /** Frames of the guest, then a turn. */
  frame(...frames: Uint8Array[]): void {
    for (const bytes of frames) this.guest.receive(new Frame().set(bytes, 0, bytes.length));
    this.host.wake();
    this.host.run();
  }

  /** How many frames were sent and not yet looked at. */
  get frameCount(): number {
    return this.#frames.length;
  }

  /** The packets of IPv6 that were sent to the guest and not yet looked at. */
  take(): SentPacket6[] {
    return this.#frames.splice(0).map((frame) => {
      const ether = decodeEthernet(frame.bytes), header = decodeIpv6(frame.bytes, 14);
      assertEquals([ether.type, header.payloadEnd], [ETHERTYPE_IPV6, frame.bytes.length]);
      const payload = frame.bytes.subarray(header.payloadStart);
      return { header, payload, mac: ether.destination, frame } as SentPacket6;
    });
  }

  /** The only packet, which is one of ICMPv6 with a right checksum, or null. */
  takeIcmp(): (Icmpv6Message & { source: string; destination: string; bytes: Uint8Array }) | null {
    const packets = this.take();
    if (packets.length === 0) return null;
    assertEquals(packets.length, 1);
    const { header, payload, mac } = packets[0]!, { source, destination } = header;
    assertEquals([header.nextHeader, mac], [PROTOCOL_ICMPV6, GUEST_MAC]);
    assert(icmpv6ChecksumValid(payload, 0, payload.length, addressSum(source) + addressSum(destination)));
    return { ...decodeIcmpv6(payload), source: `${source}`, destination: `${destination}`, bytes: payload };
  }

  /** How many frames were sent to the guest and not yet looked at. */
  get sent(): number {
    return this.#frames.length;
  }

  /** Counters that are not 0. */
  get counted(): Partial<Record<DropReason, number>> {
    return Object.fromEntries(Object.entries(this.nat.counters).filter(([, count]) => count > 0));
  }

  /** Nothing is left of any flow or fragment once the gateway has closed. */
  assertEmptyAfterClose(): void {
    this.nat.close();
    assertEquals([this.nat.flows(), this.nat.timers.size, this.nat.incompleteDatagrams], [[], 0, 0]);
    assertEquals(this.nat.pool.takenBytes, this.#taken, "buffers");
    assertEquals(this.host.openSockets, [], "sockets");
    assertEquals([...this.host.udpSockets, ...this.host.pingSockets].filter((socket) => !socket.closed), []);
  }

  #take(frame: Frame): boolean {
    const copy = new Frame().set(frame.bytes.slice(frame.start, frame.end), 0, frame.length);
    if (frame.checksum === CHECKSUM_PARTIAL) {
      copy.checksum = frame.checksum;
      copy.transport = frame.transport - frame.start;
      copy.checksumField = frame.checksumField;
      copy.segmentSize = frame.segmentSize;
    }
    this.#frames.push(copy);
    return true;
  }
}
