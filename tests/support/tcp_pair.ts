/**
 * Two TCP endpoints, the users above them and a channel between them, on one virtual clock.
 *
 * The channel has a fate for each segment in the order in which they leave; once these are used up it is a good one, so
 * whatever happened before must come to an end. Everything is checked while it happens: each byte read is the one
 * written at its place, what is acknowledged has arrived, no segment goes beyond what the peer allowed, a window once
 * offered is not taken back, and a state follows from the one before.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { LARGE_BUFFER } from "../../nat/base/buffers.ts";
import type { TcpConfig, TcpContext, TcpEnd, TcpLower, TcpUser } from "../../nat/tcp/context.ts";
import { TcpEndpoint } from "../../nat/tcp/endpoint.ts";
import { TCP_STATES, type TcpState, TRANSITIONS } from "../../nat/tcp/transitions.ts";
import { TimerWheel } from "../../nat/base/timers.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { seqAdd, seqDiff, seqMax } from "../../net/wire/seq.ts";
import {
  encodeTcp,
  readTcpOptions,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  tcpAck,
  tcpFlags,
  TcpHeader,
  tcpHeaderLength,
  TcpOptions,
  tcpSeq,
  tcpWindow,
} from "../../net/wire/tcp.ts";
import { writeUint32 } from "../../net/wire/bytes.ts";
import { tcpContext } from "./tcp_context.ts";

/** What the channel does to a segment: `overlap` sends two that share bytes, `split` two that do not. */
export const FATES = ["pass", "lose", "twice", "split", "overlap"] as const;

/** The fate of one segment: what is done to it, and how many milliseconds more than usual it takes. */
export interface Fate {
  readonly is: typeof FATES[number];
  readonly ms: number;
}

/** Something that a user does at a time, in milliseconds from the beginning. */
export interface Deed {
  readonly at: number;
  readonly side: 0 | 1;
  /** `read` lets the user read so many bytes more. */
  readonly does: "write" | "read" | "close" | "abort" | "abortWhenSent";
  readonly bytes: number;
}

/** A pair and what happens to it. Two entries are those of side 0, which opens, and side 1. */
export interface PairScript {
  readonly initial: readonly [number, number];
  readonly mss: readonly [number, number];
  /** Segments that the link below takes in one piece. */
  readonly burst: number;
  readonly receiveLimit: number;
  readonly sendLimit: number;
  /** Bytes of buffers from which on each side holds back. */
  readonly maxBufferBytes: number;
  /** How long the passive side takes to accept; -1: both sides open at once. */
  readonly acceptAfter: number;
  /** Whether the channel strips the options of every SYN. */
  readonly plain: boolean;
  /** Whether the users read everything from the beginning. */
  readonly eager: boolean;
  readonly fates: readonly [readonly Fate[], readonly Fate[]];
  readonly deeds: readonly Deed[];
}

const BASE_MS = 1;
const CHUNK = 65536;
const options = new TcpOptions();
const header = new TcpHeader();

/** Both ends and what is between them. */
export class TcpPair {
  /** The side that opens and the one that is asked (or that opens too). */
  readonly sides: readonly [PairSide, PairSide];
  /** Milliseconds since the beginning. */
  now = 0;
  /** Every state that was seen. */
  readonly states = new Set<TcpState>();
  readonly script: PairScript;
  readonly timers = new TimerWheel(0);

  #queue: { at: number; act: () => void }[] = [];
  #fates: [number, number] = [0, 0];

  constructor(script: PairScript, tcp: Partial<TcpConfig> = {}) {
    this.script = script;
    const limits = { receiveLimit: script.receiveLimit, sendLimit: script.sendLimit };
    const { timers } = this, { maxBufferBytes } = script;
    const contextOf = () => tcpContext({ timers, now: () => this.now, tcp: { ...limits, ...tcp }, maxBufferBytes });
    this.sides = [new PairSide(this, 0, contextOf()), new PairSide(this, 1, contextOf())];
  }

  /**
   * Plays the script to its end, then lets both users read and close. Fails unless everything is over in `withinMs`
   * from then.
   */
  play(withinMs: number): void {
    const { script, sides } = this;
    this.schedule(0, () => sides[0].open());
    if (script.acceptAfter < 0) this.schedule(0, () => sides[1].open());
    for (const deed of script.deeds) this.schedule(deed.at, () => sides[deed.side].act(deed));
    const last = Math.max(0, ...script.deeds.map((deed) => deed.at));
    this.schedule(last, () => sides.forEach((side) => side.finish()));
    for (let at = 0; at < Infinity; at = Math.min(this.#queue[0]?.at ?? Infinity, this.timers.nextDeadline())) {
      assert(at <= last + withinMs, `not over at ${at} ms: ${sides.map((side) => side.endpoint.state)}`);
      this.#turn(Math.max(at, this.now));
    }
    for (const side of sides) side.assertOver();
    assertEquals(this.timers.size, 0, "timers");
  }

  /** Has `act` called at a time. */
  schedule(at: number, act: () => void): void {
    let i = this.#queue.length;
    while (i > 0 && this.#queue[i - 1]!.at > at) i--;
    this.#queue.splice(i, 0, { at, act });
  }

  /** The segment `bytes` leaves side `from`. */
  carry(from: 0 | 1, bytes: Uint8Array): void {
    if (this.script.plain && tcpFlags(bytes, 0) & TCP_SYN) bytes.fill(1, 20, tcpHeaderLength(bytes, 0));
    const fate = this.script.fates[from][this.#fates[from]++] ?? { is: "pass", ms: 0 };
    if (fate.is === "lose") return;
    const copies = fate.is === "twice" ? [bytes, bytes.slice()] : fate.is === "pass" ? [bytes] : cut(bytes, fate);
    copies.forEach((copy, i) => {
      // Of two, the first takes longer: they arrive in the wrong order where there is a delay.
      const ms = copies.length === 1 || i === 0 ? fate.ms : 0;
      this.schedule(this.now + BASE_MS + ms, () => this.sides[from ? 0 : 1].arrive(copy));
    });
  }

  #turn(at: number): void {
    this.now = at;
    while ((this.#queue[0]?.at ?? Infinity) <= at) this.#queue.shift()!.act();
    this.timers.advance(at);
    for (let round = 0; this.sides[0].due || this.sides[1].due; round++) {
      assert(round < 1000, "a turn does not end");
      for (const side of this.sides) side.endTurn();
    }
    for (const side of this.sides) side.check();
  }
}

/** One endpoint and its user. */
export class PairSide implements TcpLower, TcpUser {
  readonly endpoint: TcpEndpoint;
  readonly localPort: number;
  readonly peerPort: number;
  readonly maxSegmentSize: number;
  readonly maxBurst: number;
  /** Bytes that the endpoint has taken of this user. */
  written = 0;
  /** Bytes that this user has read. */
  received = 0;
  peerFinished = false;
  ended: TcpEnd | null = null;
  due = false;

  #pair: TcpPair;
  #number: 0 | 1;
  #context: TcpContext;
  #asked = false;
  #pending = 0;
  #closing = false;
  #appetite: number;
  #over = false;
  #state: TcpState = "CLOSED";
  /** The shift in the other side's window fields, and how far it has allowed us to send. */
  #peerShift = 0;
  #allowed: number;
  /** The shift in our own window fields, and how far we have allowed the other side to send. */
  #shift = 0;
  #offered: number | null = null;
  #sentTo: number;

  constructor(pair: TcpPair, number: 0 | 1, context: TcpContext) {
    const script = pair.script;
    this.#pair = pair;
    this.#number = number;
    this.#context = context;
    this.localPort = 1000 + number;
    this.peerPort = 1001 - number;
    this.maxSegmentSize = script.mss[number];
    this.maxBurst = script.mss[number] * script.burst;
    this.#appetite = script.eager ? Infinity : 0;
    this.#allowed = this.#sentTo = script.initial[number];
    this.endpoint = new TcpEndpoint(context, { lower: this, ports: this, user: this });
  }

  get other(): PairSide {
    return this.#pair.sides[this.#number ? 0 : 1];
  }

  // --- the user ---

  open(): void {
    if (this.endpoint.state !== "CLOSED" || this.#asked) return;
    this.#asked = true;
    this.endpoint.connect(this.#pair.script.initial[this.#number]);
    this.tcpTurnDue();
  }

  act(deed: Deed): void {
    if (!this.#asked && (deed.does === "abort" || deed.does === "abortWhenSent")) return;
    this.tcpTurnDue();
    if (deed.does === "write" && !this.#closing) this.#pending += deed.bytes;
    else if (deed.does === "read") this.#appetite += deed.bytes;
    else if (deed.does === "close") this.#closing = true;
    else if (deed.does === "abort") this.endpoint.abort();
    else if (deed.does === "abortWhenSent") this.endpoint.abortWhenSent();
  }

  finish(): void {
    this.#appetite = Infinity;
    this.#closing = true;
    this.tcpTurnDue();
  }

  endTurn(): void {
    if (!this.due) return;
    this.due = false;
    this.#read();
    this.#write();
    this.endpoint.endTurn();
    this.check();
    if (this.ended !== null && this.endpoint.state === "CLOSED" && this.endpoint.queued === 0) {
      this.endpoint.dispose();
      this.#over = true;
    }
  }

  #read(): void {
    this.endpoint.drainTo({
      takeQueued: (bytes, start, end) => this.#appetite > 0 ? this.#take(bytes, start, end) : 0,
    });
  }

  #write(): void {
    const endpoint = this.endpoint, pool = this.#context.pool;
    for (let room = endpoint.readRoom; this.#pending > 0 && room > 0; room = endpoint.readRoom) {
      const buffer = pool.takeLarge(), count = Math.min(room, this.#pending, CHUNK);
      for (let i = 0; i < count; i++) buffer[SEGMENT_HEADROOM + i] = byteAt(this.#number, this.written + i);
      this.#pending -= count;
      this.written += count;
      if (!endpoint.write(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + count)) pool.give(buffer);
    }
    const state = endpoint.state;
    if (this.#closing && this.#pending === 0 && state !== "CLOSED") endpoint.closeWrite();
    if (this.#closing && (state === "LISTEN" || state === "SYN-SENT")) endpoint.closeWrite();
  }

  /** Reads what there is appetite for; every byte must be the one that was written at this place. */
  #take(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(this.#appetite, end - start);
    for (let i = 0; i < count; i++) {
      if (bytes[start + i] !== byteAt(this.#number ? 0 : 1, this.received + i)) {
        assert(false, `side ${this.#number} reads a wrong byte at ${this.received + i}`);
      }
    }
    this.#appetite -= count;
    this.received += count;
    return count;
  }

  tcpOpened(): void {
    this.check();
    this.tcpTurnDue();
  }

  tcpReceived(bytes: Uint8Array, start: number, end: number): number {
    assertEquals(this.endpoint.queued, 0);
    assert(start < end, "nothing was received");
    this.tcpTurnDue();
    return this.#take(bytes, start, end);
  }

  tcpPeerFinished(): void {
    assertEquals(this.peerFinished, false, "a second end");
    this.peerFinished = true;
    assertEquals(this.endpoint.receive.record.bytes, this.other.written, "bytes at the other side's end");
    this.check();
    this.tcpTurnDue();
  }

  tcpSendRoom(): void {
    this.tcpTurnDue();
  }

  tcpEnded(reason: TcpEnd): void {
    assertEquals(this.ended, null, "ended before");
    this.ended = reason;
    this.check();
    this.tcpTurnDue();
  }

  tcpTimeWaitOver(): void {
    this.tcpTurnDue();
  }

  tcpTurnDue(): void {
    this.due = true;
  }

  // --- the network ---

  transmit(bytes: Uint8Array, start: number, end: number, segmentSize: number): void {
    const whole = bytes.slice(start, end);
    // What lies in front of a segment is the link's to write to.
    bytes.fill(0xa5, start - (SEGMENT_HEADROOM - tcpHeaderLength(bytes, start)), start);
    this.#checkSent(whole);
    for (const piece of segments(whole, segmentSize)) this.#pair.carry(this.#number, piece);
  }

  arrive(bytes: Uint8Array): void {
    const endpoint = this.endpoint, flags = tcpFlags(bytes, 0);
    this.tcpTurnDue();
    if (endpoint.state === "CLOSED" && !this.#asked && (flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN) {
      this.#asked = true;
      this.#noteAllowed(bytes);
      endpoint.listen(bytes, 0);
      this.#pair.schedule(this.#pair.now + this.#pair.script.acceptAfter, () => this.#accept());
    } else if (endpoint.state === "CLOSED") {
      this.#answerStray(bytes);
    } else {
      this.#noteAllowed(bytes);
      endpoint.segmentArrived(bytes, 0, bytes.length);
    }
    this.check();
  }

  #accept(): void {
    if (this.endpoint.state === "LISTEN") this.endpoint.accept(this.#pair.script.initial[this.#number]);
    this.tcpTurnDue();
  }

  /** RFC 9293 section 3.10.7.1. */
  #answerStray(bytes: Uint8Array): void {
    const flags = tcpFlags(bytes, 0);
    if (flags & TCP_RST) return;
    header.sourcePort = this.localPort;
    header.destinationPort = this.peerPort;
    header.flags = flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK;
    header.seq = flags & TCP_ACK ? tcpAck(bytes, 0) : 0;
    header.ack = flags & TCP_ACK ? 0 : seqAdd(tcpSeq(bytes, 0), lengthOf(bytes));
    header.window = 0;
    const out = new Uint8Array(20);
    encodeTcp(out, 0, header);
    this.#pair.carry(this.#number, out);
  }

  // --- what must hold ---

  /** The other side's segment arrives: what it allows us to send. */
  #noteAllowed(bytes: Uint8Array): void {
    const flags = tcpFlags(bytes, 0);
    if (flags & TCP_SYN) {
      readTcpOptions(bytes, 0, options);
      this.#peerShift = Math.max(0, options.windowShift);
    }
    const edge = tcpWindow(bytes, 0) << (flags & TCP_SYN ? 0 : this.#peerShift);
    // A SYN alone is about what comes after our own.
    const from = flags & TCP_ACK ? tcpAck(bytes, 0) : seqAdd(this.#pair.script.initial[this.#number], 1);
    if (flags & (TCP_ACK | TCP_SYN)) this.#allowed = seqMax(this.#allowed, seqAdd(from, edge));
  }

  #checkSent(bytes: Uint8Array): void {
    const flags = tcpFlags(bytes, 0), seq = tcpSeq(bytes, 0), length = lengthOf(bytes);
    if (flags & TCP_RST) return;
    if (flags & TCP_SYN) {
      this.#allowed = seqMax(this.#allowed, seqAdd(seq, 1));
      this.#sentTo = seqMax(this.#sentTo, seqAdd(seq, 1));
      readTcpOptions(bytes, 0, options);
      this.#shift = this.#pair.script.plain ? 0 : Math.max(0, options.windowShift);
    } else {
      // One number beyond the window is a probe of it.
      const beyond = seqDiff(seqAdd(seq, length), this.#allowed);
      assert(beyond <= 1 || length === 0, `side ${this.#number} sends ${beyond} bytes more than it was allowed`);
      this.#sentTo = seqMax(this.#sentTo, seqAdd(seq, length));
    }
    if (!(flags & TCP_ACK)) return;
    const ack = tcpAck(bytes, 0);
    assert(seqDiff(ack, this.other.#sentTo) <= 0, `side ${this.#number} acknowledges what was never sent`);
    // The window of a SYN is not scaled (RFC 7323 section 2.2): it can name less than was offered.
    if (flags & TCP_SYN) return;
    const edge = seqAdd(ack, tcpWindow(bytes, 0) << this.#shift);
    if (this.#offered !== null) {
      const shrunk = seqDiff(this.#offered, edge);
      assert(shrunk < 1 << this.#shift, `side ${this.#number} takes ${shrunk} bytes of its window back`);
    }
    this.#offered = this.#offered === null ? edge : seqMax(this.#offered, edge);
  }

  /** Looks at the endpoint between two events of it. */
  check(): void {
    const state = this.endpoint.state, { receiveLimit, sendLimit } = this.#context.config;
    this.#pair.states.add(state);
    if (state !== this.#state) {
      assert(reachable(this.#state).has(state), `side ${this.#number} went from ${this.#state} to ${state}`);
      this.#state = state;
    }
    const { send, receive } = this.endpoint;
    assert(send.record.bytes <= this.other.endpoint.receive.record.bytes, "bytes are acknowledged that did not arrive");
    assert(send.queue.pinned <= sendLimit + 2 * LARGE_BUFFER, `${send.queue.pinned} bytes wait to be sent`);
    assert(receive.pinned <= 2 * receiveLimit + 2 * LARGE_BUFFER, `${receive.pinned} bytes wait to be read`);
    assert(receive.queue.length <= receiveLimit, "more is queued than the window was");
  }

  /** Everything has ended and nothing is left of it. */
  assertOver(): void {
    if (!this.#asked) return;
    assert(this.#over, `side ${this.#number} is not over: ${this.endpoint.state}, ended: ${this.ended}`);
    assertEquals(this.endpoint.receive.record.bytes, this.received, "bytes that were received and not read");
    assert(this.received <= this.other.written);
    assertEquals(this.#context.pool.takenBytes, 0, "buffers");
    if (this.ended !== "finished") return;
    assertEquals([this.peerFinished, this.other.peerFinished], [true, true]);
    assertEquals(this.other.received, this.written);
  }
}

/** The byte that side `side` writes at `at`. */
function byteAt(side: 0 | 1, at: number): number {
  return ((at * 167) ^ (at >>> 8) ^ (side * 0x5a)) & 255;
}

/** Sequence numbers that a segment takes. */
function lengthOf(bytes: Uint8Array): number {
  const flags = tcpFlags(bytes, 0);
  return bytes.length - tcpHeaderLength(bytes, 0) + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0);
}

/** Cuts a segment up as an offloading link does. */
function segments(bytes: Uint8Array, size: number): Uint8Array[] {
  const head = tcpHeaderLength(bytes, 0);
  if (size === 0 || bytes.length - head <= size) return [bytes];
  const pieces: Uint8Array[] = [];
  for (let at = head; at < bytes.length; at += size) {
    pieces.push(part(bytes, at - head, Math.min(at + size, bytes.length) - head));
  }
  return pieces;
}

/** Cuts a segment in two where it has bytes for that; with `overlap` a third of the bytes is in both. */
function cut(bytes: Uint8Array, fate: Fate): Uint8Array[] {
  const length = bytes.length - tcpHeaderLength(bytes, 0);
  if (length < 2) return [bytes];
  const at = length >>> 1, shared = fate.is === "overlap" ? Math.ceil(length / 3) : 0;
  return [part(bytes, 0, Math.min(length, at + shared)), part(bytes, Math.max(0, at - shared), length)];
}

/** The segment that carries payload bytes `[from, to)` of another; flags that end something stay with the last. */
function part(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const head = tcpHeaderLength(bytes, 0), piece = new Uint8Array(head + to - from);
  piece.set(bytes.subarray(0, head));
  piece.set(bytes.subarray(head + from, head + to), head);
  writeUint32(piece, 4, seqAdd(tcpSeq(bytes, 0), from));
  if (head + to < bytes.length) piece[13]! &= ~(TCP_FIN | TCP_PSH);
  return piece;
}

const REACHABLE = new Map<TcpState, Set<TcpState>>(TCP_STATES.map((state) => [state, reach(state)]));

/** The states that lie one or more transitions behind `state`. */
function reachable(state: TcpState): Set<TcpState> {
  return REACHABLE.get(state)!;
}

function reach(from: TcpState): Set<TcpState> {
  const found = new Set<TcpState>(), open = [from];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const next of Object.values(TRANSITIONS[state])) {
      if (next === null || found.has(next)) continue;
      found.add(next);
      // Nothing comes back to life within one endpoint.
      if (next !== "CLOSED") open.push(next);
    }
  }
  return found;
}
