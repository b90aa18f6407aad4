/**
 * A TCP endpoint between a scripted peer and a scripted user, on a virtual clock: literal segments in, decoded segments
 * out.
 *
 * The peer's sequence numbers start just below the wrap, the endpoint's too. `send` ends the turn; `user` records what
 * it is told and takes as many bytes as its budget allows.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { BufferPool, LARGE_BUFFER } from "../../nat/base/buffers.ts";
import {
  createTcpDrops,
  TCP_DEFAULTS,
  type TcpConfig,
  type TcpContext,
  type TcpDrops,
  type TcpEnd,
} from "../../nat/tcp/context.ts";
import { TcpEndpoint } from "../../nat/tcp/endpoint.ts";
import type { TcpState } from "../../nat/tcp/transitions.ts";
import { TimerWheel } from "../../nat/base/timers.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { decodeTcp, encodeTcp, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TcpHeader } from "../../net/wire/tcp.ts";
import { bytesOf } from "./nat_script.ts";

/** The peer's initial sequence number. */
export const PEER_ISN = 0xfffffff0;
/** The endpoint's initial sequence number. */
export const OWN_ISN = 0xffffffe0;

const PEER_PORT = 40000, OWN_PORT = 80;

/** Fields of a segment of the peer; what is left out is what a well-behaved peer would send. */
export interface PeerSegment {
  flags?: number;
  seq?: number;
  ack?: number;
  payload?: Uint8Array | string;
  window?: number;
  mss?: number;
  windowShift?: number;
  sackPermitted?: boolean;
  /** SACK blocks as left and right edges by turns. */
  sack?: number[];
  /** Raw option bytes instead of those that the fields above make; a multiple of 4. */
  options?: number[];
}

/** A segment that the endpoint sent. */
export interface OwnSegment {
  flags: number;
  seq: number;
  ack: number;
  window: number;
  payload: Uint8Array;
  mss: number;
  windowShift: number;
  sackPermitted: boolean;
  sack: number[];
  /** Into pieces of which size the link is to cut it; 0: not at all. */
  segmentSize: number;
}

/** How a script is set up. */
export interface EndpointScriptOptions {
  tcp?: Partial<TcpConfig>;
  /** Payload of a full segment of the link. */
  maxSegmentSize?: number;
  /** Payload that the link takes at once; more than `maxSegmentSize` where it segments. */
  maxBurst?: number;
  /** Bytes of buffers from which on the pool is full. */
  poolLimit?: number;
}

/** The user above the endpoint. */
export class ScriptUser {
  /** How many bytes it takes at once before they must be queued. */
  budget = Infinity;
  /** What it took. */
  readonly received: number[] = [];
  /** What it was told, in order. */
  readonly told: string[] = [];
  /** Why the endpoint ended. */
  ended: TcpEnd | undefined;
  turnDue = false;

  tcpOpened(): void {
    this.told.push("opened");
  }

  tcpReceived(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(this.budget, end - start);
    for (let i = start; i < start + count; i++) this.received.push(bytes[i]!);
    this.budget -= count;
    return count;
  }

  tcpPeerFinished(): void {
    this.told.push("finished");
  }

  tcpSendRoom(): void {}

  tcpEnded(reason: TcpEnd): void {
    this.told.push(`ended ${reason}`);
    this.ended = reason;
  }

  tcpTimeWaitOver(): void {
    this.told.push("timeWaitOver");
  }

  tcpTurnDue(): void {
    this.turnDue = true;
  }

  /** What it received as text. */
  get text(): string {
    return new TextDecoder().decode(Uint8Array.from(this.received));
  }
}

/** The endpoint under test. */
export class EndpointScript {
  readonly endpoint: TcpEndpoint;
  readonly user: ScriptUser = new ScriptUser();
  readonly drops: TcpDrops = createTcpDrops();
  readonly pool: BufferPool;
  readonly timers: TimerWheel;
  /** Milliseconds; what `now()` answers. */
  time = 1000;
  /** The peer's next sequence number. */
  seq = PEER_ISN;
  /** What the peer has received in order. */
  ack = 0;
  /** Shift of the windows that the peer is sent, once negotiated. */
  shift = 0;
  #sent: OwnSegment[] = [];
  #written: number[] = [];

  constructor(options: EndpointScriptOptions = {}) {
    this.pool = new BufferPool(options.poolLimit);
    this.timers = new TimerWheel(this.time);
    const context: TcpContext = {
      config: { ...TCP_DEFAULTS, ...options.tcp },
      pool: this.pool,
      timers: this.timers,
      drops: this.drops,
      scratch: new Uint8Array(LARGE_BUFFER),
      now: () => this.time,
    };
    const maxSegmentSize = options.maxSegmentSize ?? 1460;
    const lower = {
      localPort: OWN_PORT,
      peerPort: PEER_PORT,
      maxSegmentSize,
      maxBurst: options.maxBurst ?? maxSegmentSize,
      transmit: (bytes: Uint8Array, start: number, end: number, segmentSize: number) =>
        this.#take(bytes, start, end, segmentSize),
    };
    this.endpoint = new TcpEndpoint(context, { lower, ports: lower, user: this.user });
  }

  /** The endpoint's state. */
  get state(): TcpState {
    return this.endpoint.state;
  }

  /** Everything that was written to the endpoint. */
  get written(): Uint8Array {
    return Uint8Array.from(this.#written);
  }

  // --- the peer ---

  /** A segment of the peer, then the end of the turn; the peer's sequence number moves on unless `seq` is given. */
  send(fields: PeerSegment = {}): void {
    const { bytes, end } = this.#encode(fields);
    if (fields.seq === undefined) {
      const numbers = ((fields.flags ?? 0) & TCP_SYN ? 1 : 0) + ((fields.flags ?? 0) & TCP_FIN ? 1 : 0);
      this.seq = (this.seq + bytesOf(fields.payload).length + numbers) >>> 0;
    }
    // Behind an offset that is not 0, so that whoever forgets one is found out.
    this.endpoint.segmentArrived(bytes, 7, end);
    this.turn();
  }

  /** The next segment that the endpoint sent, which must have these fields. */
  expect(fields: Partial<OwnSegment> = {}): OwnSegment {
    const segment = this.#sent.shift();
    assert(segment !== undefined, `nothing was sent, and ${JSON.stringify(fields)} was expected`);
    for (const key of Object.keys(fields) as (keyof OwnSegment)[]) assertEquals(segment[key], fields[key], key);
    return segment;
  }

  /** Nothing more was sent. */
  expectNothing(): void {
    assertEquals(this.#sent, []);
  }

  /** What was sent and not yet looked at. */
  take(): OwnSegment[] {
    return this.#sent.splice(0);
  }

  /** Takes what was sent as a receiver does: `ack` moves past bytes and FIN that are next. Returns the bytes. */
  receiveAll(): Uint8Array {
    const bytes: number[] = [];
    for (const { seq, payload, flags } of this.take()) {
      const old = (this.ack - seq) | 0;
      if (old < 0 || old > payload.length) continue;
      bytes.push(...payload.subarray(old));
      this.ack = (seq + payload.length + (flags & TCP_FIN)) >>> 0;
    }
    return Uint8Array.from(bytes);
  }

  // --- the user ---

  /** The user writes `payload`, whatever room there is. */
  write(payload: Uint8Array | string): void {
    const bytes = bytesOf(payload);
    for (let at = 0; at < bytes.length; at += 60000) {
      const part = bytes.subarray(at, at + 60000), buffer = this.pool.takeLarge();
      buffer.set(part, SEGMENT_HEADROOM);
      this.#written.push(...part);
      if (!this.endpoint.write(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + part.length)) this.pool.give(buffer);
    }
    this.turn();
  }

  /** The user has nothing more to send. */
  closeWrite(): void {
    this.endpoint.closeWrite();
    this.turn();
  }

  /** The user takes `count` queued bytes. */
  consume(count: number): void {
    let left = count;
    this.endpoint.drainTo({
      takeQueued: (bytes, start, end) => {
        const taken = Math.min(left, end - start);
        this.user.received.push(...bytes.subarray(start, start + taken));
        left -= taken;
        return taken;
      },
    });
    this.turn();
  }

  // --- time ---

  /** Lets `ms` pass; every timer on the way fires at its time. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (let at = this.timers.nextDeadline(); at <= end; at = this.timers.nextDeadline()) {
      this.time = Math.max(this.time, at);
      this.turn();
    }
    this.time = end;
    this.turn();
  }

  /** Fires what is due and ends the turn. */
  turn(): void {
    this.timers.advance(this.time);
    while (this.user.turnDue) {
      this.user.turnDue = false;
      this.endpoint.endTurn();
    }
  }

  // --- opening ---

  /** Passive open: the peer connects with these options; the endpoint is ESTABLISHED. */
  open(syn: PeerSegment = {}): this {
    this.receiveSyn(syn);
    this.endpoint.accept(OWN_ISN);
    const { seq } = this.expect({ flags: TCP_SYN | TCP_ACK, ack: this.seq });
    this.ack = (seq + 1) >>> 0;
    this.send(syn.window === undefined ? {} : { window: syn.window });
    this.expectNothing();
    assertEquals(this.state, "ESTABLISHED");
    return this;
  }

  /** The peer's SYN: LISTEN until `endpoint.accept`. */
  receiveSyn(syn: PeerSegment = {}): void {
    const { bytes } = this.#encode({ flags: TCP_SYN, ack: 0, mss: 1460, ...syn });
    this.seq = (this.seq + 1) >>> 0;
    this.endpoint.listen(bytes, 7);
  }

  /** Active open: SYN-SENT. */
  connect(): this {
    this.endpoint.connect(OWN_ISN);
    const { seq } = this.expect({ flags: TCP_SYN, ack: 0 });
    this.ack = (seq + 1) >>> 0;
    return this;
  }

  /** Nothing is left: no timer, no buffer. */
  assertEmpty(): void {
    assertEquals(this.timers.size, 0, "timers");
    assertEquals(this.pool.takenBytes, 0, "buffers");
    this.expectNothing();
  }

  #encode(fields: PeerSegment): { bytes: Uint8Array; end: number } {
    const payload = bytesOf(fields.payload), header = new TcpHeader();
    header.sourcePort = PEER_PORT;
    header.destinationPort = OWN_PORT;
    header.flags = fields.flags ?? TCP_ACK;
    header.seq = fields.seq ?? this.seq;
    header.ack = fields.ack ?? this.ack;
    header.window = fields.window ?? 0xffff;
    header.mss = fields.mss ?? -1;
    header.windowShift = fields.windowShift ?? -1;
    header.sackPermitted = fields.sackPermitted ?? false;
    header.sackCount = (fields.sack?.length ?? 0) / 2;
    header.sackEdges.set((fields.sack ?? []).map((edge) => edge >>> 0));
    const bytes = new Uint8Array(7 + 60 + payload.length).fill(0xa5);
    let length = encodeTcp(bytes, 7, header);
    if (fields.options !== undefined) {
      length = 20 + fields.options.length;
      bytes.set(fields.options, 27);
      bytes[7 + 12] = (length / 4) << 4;
    }
    bytes.set(payload, 7 + length);
    return { bytes, end: 7 + length + payload.length };
  }

  #take(bytes: Uint8Array, start: number, end: number, segmentSize: number): void {
    const { flags, seq, ack, window, options, payloadStart, payloadEnd } = decodeTcp(bytes, start, end);
    const { mss, windowShift, sackPermitted, sackCount, sackEdges } = options;
    this.#sent.push({
      flags,
      seq,
      ack,
      window,
      payload: bytes.slice(payloadStart, payloadEnd),
      mss,
      windowShift,
      sackPermitted,
      sack: [...sackEdges.subarray(0, sackCount * 2)],
      segmentSize,
    });
  }
}

/** States in which the connection is synchronized, and what brings an open one there; the peer has seen everything. */
export const SYNCHRONIZED: readonly [TcpState, (script: EndpointScript) => void][] = [
  ["ESTABLISHED", () => {}],
  ["FIN-WAIT-1", (script) => script.closeWrite()],
  ["FIN-WAIT-2", (script) => {
    script.closeWrite();
    script.receiveAll();
    script.send();
  }],
  ["CLOSE-WAIT", (script) => script.send({ flags: TCP_FIN | TCP_ACK })],
  ["CLOSING", (script) => {
    script.closeWrite();
    script.send({ flags: TCP_FIN | TCP_ACK });
  }],
  ["LAST-ACK", (script) => {
    script.send({ flags: TCP_FIN | TCP_ACK });
    script.closeWrite();
  }],
  ["TIME-WAIT", (script) => {
    script.closeWrite();
    script.receiveAll();
    script.send({ flags: TCP_FIN | TCP_ACK });
  }],
];

/** An open connection that was brought to `state`, with nothing of the way there left to look at. */
export function scriptIn(state: TcpState, options: EndpointScriptOptions = {}): EndpointScript {
  const script = new EndpointScript(options).open();
  const way = SYNCHRONIZED.find(([name]) => name === state)?.[1];
  assert(way !== undefined, `there is no way to ${state}`);
  way(script);
  script.take();
  assertEquals(script.state, state);
  return script;
}

/** Ends whatever is left of a connection, by the user's abort. */
export function finish(script: EndpointScript): void {
  script.endpoint.abort();
  script.endpoint.leaveTimeWait();
  script.endpoint.dispose();
  for (const { flags } of script.take()) assertEquals(flags & TCP_RST, TCP_RST);
  script.assertEmpty();
}

/** Bytes of which each tells where it stands. */
export function pattern(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (from + i) * 31 + ((from + i) >> 8));
}
