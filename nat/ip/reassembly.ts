/**
 * Datagrams of a guest that come in fragments, put together: those of IPv4 (RFC 791 section 3.2, RFC 1122 section
 * 3.3.2) and of IPv6 (RFC 8200 section 4.5) in one store with the same bounds.
 *
 * **Goal.** Whoever relays a datagram sees all of it or nothing, so rules cannot be walked around by cutting headers up
 * (RFC 1858). What is whole is handed on with a header without options or extensions, as if it had come in one piece.
 *
 * **How.** Each datagram has a buffer as large as the largest packet, into which a fragment's bytes are copied where
 * they belong, and the ranges that are there, in order and merged, which say the same as RFC 815's list of holes. It is
 * whole when one range reaches from the beginning to the end that the last fragment told.
 *
 * **Refused.** Fragments of one datagram never overlap in earnest, only in attacks, which live on hosts that resolve
 * the overlap in another way than a filter does (RFC 5722). A datagram with an overlap, or with two ends, is refused
 * whole: its buffer goes back, and what else comes of it is dropped until it would have timed out. A fragment that
 * repeats bytes that are there changes nothing. Refused alone is a fragment that is empty, whose length is no multiple
 * of 8 though others follow, that reaches past the longest packet ("ping of death"), or that is shorter than anything a
 * router or host would make of a packet (RFC 791: 68 bytes pass whole). The first fragment of IPv6 holds all headers,
 * or its input has refused it (RFC 7112).
 *
 * **Limits.** `MAX_DATAGRAMS_PER_GUEST` at once, where the oldest makes room; `MAX_DATAGRAMS` at once on a gateway,
 * where a guest makes room among its own; `MAX_FRAGMENT_RANGES` ranges a datagram. `REASSEMBLY_MS` after the first
 * fragment came a datagram is given up, and the guest is told by ICMP if the beginning was there. (RFC 1122 has 60 s or
 * more for paths across the world; this is one link, and Linux has 30 s too.)
 *
 * @module
 */
import { ETHERNET_HEADER_LENGTH } from "../../net/wire/ethernet.ts";
import { Frame, SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { encodeIpv4, IPV4_HEADER_LENGTH, Ipv4Header } from "../../net/wire/ipv4.ts";
import { encodeIpv6, IPV6_HEADER_LENGTH } from "../../net/wire/ipv6.ts";
import { type BufferPool, copyBytes } from "../base/buffers.ts";
import type { Counters, DropReason } from "../base/counters.ts";
import { type Timed, Timer, type TimerWheel } from "../base/timers.ts";
import type { FlowKey } from "../flow/flow_key.ts";

/** How long a datagram may stay incomplete, in milliseconds. */
export const REASSEMBLY_MS = 30_000;
/** Incomplete datagrams of one guest. */
export const MAX_DATAGRAMS_PER_GUEST = 16;
/** Incomplete datagrams of all guests of a gateway. */
export const MAX_DATAGRAMS = 64;
/** Separate ranges of one datagram. */
export const MAX_FRAGMENT_RANGES = 64;
/** Payload of the largest packet, by family. */
const MAX_PAYLOAD = { 4: 65535 - IPV4_HEADER_LENGTH, 6: 65535 };

/** What reassembly needs of the gateway. */
export interface ReassemblyContext {
  /** Where buffers come from. */
  readonly pool: BufferPool;
  /** The gateway's timers. */
  readonly timers: TimerWheel;
  /** Drops by reason. */
  readonly counters: Counters;
  /** Datagrams that are incomplete, of all guests. */
  incompleteDatagrams: number;
  /** Monotonic milliseconds. */
  now(): number;
}

/** Who gets what was put together, and learns what was not. */
export interface ReassemblyUser {
  /**
   * A datagram is whole: a packet with a plain header, behind room for an Ethernet header. Valid until this returns.
   */
  datagramWhole(frame: Frame): void;
  /**
   * A datagram was given up whose beginning had come: `packet` is a header and that beginning. Valid until this
   * returns.
   */
  datagramExpired(packet: Uint8Array): void;
}

const ipv4 = Object.assign(new Ipv4Header(), { dontFragment: false });

/** A fragment, to be filled again and again. */
export class Fragment {
  /** The buffer. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of its data. */
  start = 0;
  /** Offset after it. */
  end = 0;
  /** Where the data belongs in that of the packet. */
  offset = 0;
  /** Whether others follow it. */
  more = false;
  /** The fewest bytes that are taken of a fragment that others follow. */
  least = 0;
  /** What tells packets between the same addresses apart. */
  identification = 0;
  /** The protocol of the packet, as the first fragment says it. */
  protocol = 0;
}

/** A datagram of which something is missing. */
class Incomplete implements Timed {
  readonly user: ReassemblyUser;
  /** Of what is the same in all its fragments: both addresses, and in IPv4 the protocol. */
  readonly key: FlowKey;
  readonly identification: number;
  protocol: number;
  /** Null once it is refused. */
  buffer: Uint8Array | null;
  /** Start and end of each range, in order, with gaps between. */
  readonly ranges: number[] = [];
  /** Where the datagram ends; -1 until the last fragment has come. */
  length = -1;
  readonly timer: Timer;
  readonly #expired: (datagram: Incomplete) => void;

  constructor(
    user: ReassemblyUser,
    key: FlowKey,
    { identification, protocol }: Fragment,
    parts: { buffer: Uint8Array; expired: (datagram: Incomplete) => void },
  ) {
    this.user = user;
    this.key = key.clone();
    this.identification = identification;
    this.protocol = protocol;
    this.buffer = parts.buffer;
    this.timer = new Timer(this);
    this.#expired = parts.expired;
  }

  timerFired(): void {
    this.#expired(this);
  }

  /** Writes a header in front of the first `length` bytes and returns its offset. */
  writeHeader(buffer: Uint8Array, length: number): number {
    const { key, protocol } = this, source = key.guestAddress, destination = key.remoteAddress;
    if (key.family === 6) {
      const ip = SEGMENT_HEADROOM - IPV6_HEADER_LENGTH;
      encodeIpv6(buffer, ip, { payloadLength: length, nextHeader: protocol, source, destination });
      return ip;
    }
    ipv4.source = source.ipv4;
    ipv4.destination = destination.ipv4;
    ipv4.protocol = protocol;
    ipv4.identification = this.identification;
    ipv4.totalLength = IPV4_HEADER_LENGTH + length;
    encodeIpv4(buffer, SEGMENT_HEADROOM - IPV4_HEADER_LENGTH, ipv4);
    return SEGMENT_HEADROOM - IPV4_HEADER_LENGTH;
  }
}

/** The incomplete datagrams of one guest. */
export class Reassembly {
  #context: ReassemblyContext;
  /** The oldest first. */
  #datagrams: Incomplete[] = [];
  #whole = new Frame();
  #expired = (datagram: Incomplete): void => this.#expire(datagram);

  /** None yet. */
  constructor(context: ReassemblyContext) {
    this.#context = context;
  }

  /**
   * Takes a fragment for `user`. `key` has its addresses, and in IPv4 its protocol. Returns why it has no effect, or
   * null.
   */
  take(user: ReassemblyUser, key: FlowKey, fragment: Fragment): DropReason | null {
    const { bytes, start, end, offset: from, more } = fragment, to = from + end - start;
    if (to === from || (more && (to & 7) !== 0)) return "fragmentMalformed";
    if (more && to - from < fragment.least) return "fragmentTiny";
    if (to > MAX_PAYLOAD[key.family]) return "fragmentTooLong";
    const datagram = this.#find(key, fragment.identification) ?? this.#begin(user, key, fragment);
    if (datagram === null) return "fragmentLimit";
    const buffer = datagram.buffer;
    if (buffer === null) return "fragmentOverlap";
    if (contradicts(datagram, to, more)) return this.#refuse(datagram, "fragmentOverlap");
    const gap = gapFor(datagram.ranges, from, to);
    if (gap < 0) {
      return repeats(datagram.ranges, from, to) && sameBytes(bytes, start, end, buffer, SEGMENT_HEADROOM + from)
        ? "fragmentRepeated"
        : this.#refuse(datagram, "fragmentOverlap");
    }
    addRange(datagram.ranges, gap, from, to);
    if (datagram.ranges.length > 2 * MAX_FRAGMENT_RANGES) return this.#refuse(datagram, "fragmentLimit");
    if (!more) datagram.length = to;
    if (from === 0) datagram.protocol = fragment.protocol;
    copyBytes(bytes, start, end, buffer, SEGMENT_HEADROOM + from);
    if (datagram.ranges[0] === 0 && datagram.ranges[1] === datagram.length) this.#deliver(datagram, buffer);
    return null;
  }

  /** Gives everything up. */
  clear(): void {
    while (this.#datagrams.length > 0) this.#forget(this.#datagrams[0]!);
  }

  #find(key: FlowKey, identification: number): Incomplete | undefined {
    const datagrams = this.#datagrams;
    for (let i = datagrams.length - 1; i >= 0; i--) {
      const datagram = datagrams[i]!;
      if (datagram.identification === identification && datagram.key.equals(key)) return datagram;
    }
    return undefined;
  }

  #begin(user: ReassemblyUser, key: FlowKey, fragment: Fragment): Incomplete | null {
    const context = this.#context;
    if (this.#datagrams.length >= MAX_DATAGRAMS_PER_GUEST || context.incompleteDatagrams >= MAX_DATAGRAMS) {
      const oldest = this.#datagrams[0];
      if (oldest === undefined) return null;
      context.counters.fragmentLimit++;
      this.#forget(oldest);
    }
    const buffer = context.pool.takeLarge();
    const datagram = new Incomplete(user, key, fragment, { buffer, expired: this.#expired });
    this.#datagrams.push(datagram);
    context.incompleteDatagrams++;
    context.timers.schedule(datagram.timer, context.now() + REASSEMBLY_MS);
    return datagram;
  }

  #refuse(datagram: Incomplete, reason: DropReason): DropReason {
    if (datagram.buffer !== null) this.#context.pool.give(datagram.buffer);
    datagram.buffer = null;
    return reason;
  }

  #deliver(datagram: Incomplete, buffer: Uint8Array): void {
    const ip = datagram.writeHeader(buffer, datagram.length), end = SEGMENT_HEADROOM + datagram.length;
    datagram.buffer = null;
    this.#forget(datagram);
    datagram.user.datagramWhole(this.#whole.set(buffer, ip - ETHERNET_HEADER_LENGTH, end));
    this.#context.pool.give(buffer);
  }

  #expire(datagram: Incomplete): void {
    const buffer = datagram.buffer, first = datagram.ranges[0] === 0 ? datagram.ranges[1]! : 0;
    this.#context.counters.fragmentTimeout++;
    // RFC 1122 section 3.3.2: told where the first fragment has come.
    if (buffer !== null && first > 0) {
      const ip = datagram.writeHeader(buffer, first);
      datagram.user.datagramExpired(buffer.subarray(ip, SEGMENT_HEADROOM + first));
    }
    this.#forget(datagram);
  }

  #forget(datagram: Incomplete): void {
    this.#datagrams.splice(this.#datagrams.indexOf(datagram), 1);
    this.#context.incompleteDatagrams--;
    this.#context.timers.cancel(datagram.timer);
    if (datagram.buffer !== null) this.#context.pool.give(datagram.buffer);
    datagram.buffer = null;
  }
}

/** Whether a fragment that ends at `to` says another end of the datagram than is known, or lies behind it. */
function contradicts(datagram: Incomplete, to: number, more: boolean): boolean {
  const { length, ranges } = datagram;
  if (more) return length >= 0 && to >= length;
  return length >= 0 ? to !== length : ranges.length > 0 && ranges.at(-1)! > to;
}

/** The index of the first range behind `from`, where `from` to `to` is a gap; else -1. */
function gapFor(ranges: readonly number[], from: number, to: number): number {
  let i = 0;
  while (i < ranges.length && ranges[i + 1]! <= from) i += 2;
  return i === ranges.length || ranges[i]! >= to ? i : -1;
}

/** Whether all of `from` to `to` is there. */
function repeats(ranges: readonly number[], from: number, to: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (ranges[i]! <= from && to <= ranges[i + 1]!) return true;
  return false;
}

/** Adds a range in front of the one at index `at`, as a part of its neighbours where it touches them. */
function addRange(ranges: number[], at: number, from: number, to: number): void {
  const touchesBefore = at > 0 && ranges[at - 1] === from, touchesBehind = ranges[at] === to;
  if (touchesBefore && touchesBehind) ranges.splice(at - 1, 2);
  else if (touchesBefore) ranges[at - 1] = to;
  else if (touchesBehind) ranges[at] = from;
  else ranges.splice(at, 0, from, to);
}

function sameBytes(bytes: Uint8Array, start: number, end: number, other: Uint8Array, at: number): boolean {
  for (let i = start; i < end; i++, at++) if (bytes[i] !== other[at]) return false;
  return true;
}
