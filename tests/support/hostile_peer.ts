/**
 * A gateway and a guest whose segments are whatever a script says: numbers at and beyond every edge, any flags, options
 * of noise.
 *
 * Every byte the guest can send has its value from its sequence number, so the stream that its sequence space defines
 * is known whatever it sends in which order. Checked while it happens: the host is given that stream from the accepted
 * SYN on, and no byte that was not sent; it is told of an end only where a FIN was; nothing is acknowledged that was
 * not sent; buffers stay within their bound.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { LARGE_BUFFER } from "../../nat/base/buffers.ts";
import { seqAdd, seqDiff } from "../../net/wire/seq.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../net/wire/tcp.ts";
import { tcpFrame } from "./frames.ts";
import { GUEST_ISN, NatScript, type SentSegment } from "./nat_script.ts";
import type { ScriptTcpSocket } from "./script_host.ts";

/** A segment by its distance from what the gateway expects. */
export interface HostileSegment {
  readonly does: "segment";
  readonly flags: number;
  /**
   * What `seq` counts from: the guest's first number, the next expected, the end of the window, or as far as it has
   * sent.
   */
  readonly from: "start" | "next" | "edge" | "sent";
  readonly seq: number;
  /** What is acknowledged, counted from all that came. */
  readonly ack: number;
  readonly length: number;
  readonly window: number;
  readonly options: Uint8Array;
}

/** What the host does, or how much time passes. */
export interface HostileTurn {
  readonly does: "accept" | "refuse" | "send" | "eof" | "reset" | "budget" | "wait";
  /** Bytes or milliseconds. */
  readonly count: number;
}

/** What happens, in order. */
export interface HostileScript {
  readonly receiveLimit: number;
  readonly maxBufferBytes: number;
  /** Whether the connection is opened first. */
  readonly opened: boolean;
  readonly steps: readonly (HostileSegment | HostileTurn)[];
}

/** Numbers of the guest's sequence space that are kept account of, and where they begin. */
const ACCOUNTED = 1 << 20;
const FIRST = seqAdd(GUEST_ISN, -(ACCOUNTED >>> 1));
const SEND_LIMIT = 1 << 18;
const HOURS = 3_600_000;

/**
 * When, by the number of the script, a sequence number was last sent; shared, because a fresh one for each script costs
 * more than the script.
 */
const sentIn = new Uint32Array(ACCOUNTED);
const finSentIn = new Uint32Array(ACCOUNTED);
let scripts = 0;

/** One script's gateway and guest. */
export class HostilePeer {
  readonly script: NatScript;
  /** Every state that a flow was seen in. */
  readonly states = new Set<string>();
  /** Bytes that hosts were given. */
  delivered = 0;
  #number = ++scripts;
  #starts = new Map<ScriptTcpSocket, number>();
  #counts = new Map<ScriptTcpSocket, number>();
  #next = GUEST_ISN;
  #edge = GUEST_ISN;
  #sentTo = GUEST_ISN;
  #maxBuffers: number;
  /** Sockets whose peer has said its last. */
  #finished = new Set<ScriptTcpSocket>();

  constructor({ receiveLimit, maxBufferBytes, opened }: HostileScript, family: 4 | 6) {
    this.script = new NatScript({ tcp: { receiveLimit, sendLimit: SEND_LIMIT }, maxBufferBytes, family });
    this.#maxBuffers = 4 * (receiveLimit + SEND_LIMIT + 4 * LARGE_BUFFER);
    if (!opened) return;
    this.#segment({ ...PLAIN, flags: TCP_SYN, from: "start" });
    this.do({ does: "accept", count: 0 });
    this.#segment(PLAIN);
  }

  /** One step of the script. */
  do(step: HostileSegment | HostileTurn): void {
    if (step.does === "segment") this.#segment(step);
    else this.#turn(step);
  }

  /** The host finishes, the guest falls silent: all of it must end by itself. */
  finish(): void {
    const { host } = this.script;
    for (const socket of host.pendingConnects) if (!socket.closed) socket.refuse("other");
    this.#check();
    for (const socket of host.openSockets) {
      socket.budget = Infinity;
      this.#ends(socket);
    }
    this.#check();
    this.script.advance(4 * HOURS);
    this.#check();
    this.script.assertEmpty();
  }

  #segment(segment: HostileSegment): void {
    const { flags, length } = segment;
    const base = { start: GUEST_ISN, next: this.#next, edge: this.#edge, sent: this.#sentTo }[segment.from];
    const seq = seqAdd(base, segment.seq), first = seqAdd(seq, flags & TCP_SYN ? 1 : 0), end = seqAdd(first, length);
    const payload = Uint8Array.from({ length }, (_, i) => byteAt(seqAdd(first, i)));
    // A RST carries no data that counts.
    if (!(flags & TCP_RST)) {
      if (flags & TCP_SYN) this.#note(sentIn, seq);
      for (let i = 0; i < length; i++) this.#note(sentIn, seqAdd(first, i));
      if (flags & TCP_FIN) this.#note(sentIn, end);
      if (flags & TCP_FIN) this.#note(finSentIn, end);
      if (seqDiff(end, this.#sentTo) > 0) this.#sentTo = end;
    }
    const { window, options } = segment, ends = { source: this.script.guestIp, destination: this.script.remoteIp };
    const ack = seqAdd(this.script.ack, segment.ack);
    this.script.frame(tcpFrame({ ...ends, seq, ack, flags, window, options, payload }));
    this.#check();
  }

  #turn({ does, count }: HostileTurn): void {
    const { host } = this.script, socket = host.sockets.at(-1);
    if (does === "wait") this.script.advance(count);
    else if (socket !== undefined && !socket.closed) {
      if (does === "budget") socket.budget = count;
      else if (socket.state === "connecting") {
        if (does === "accept") socket.accept();
        else if (does === "refuse") socket.refuse();
      } else if (does === "send" && !this.#finished.has(socket)) socket.hostSends(new Uint8Array(count));
      else if (does === "eof") this.#ends(socket);
      else if (does === "reset" && !this.#finished.has(socket)) {
        this.#finished.add(socket);
        socket.hostResets();
      }
    }
    this.#check();
  }

  #ends(socket: ScriptTcpSocket): void {
    if (this.#finished.has(socket)) return;
    this.#finished.add(socket);
    socket.hostEof();
  }

  // --- what must hold ---

  #check(): void {
    this.script.host.run();
    for (const segment of this.script.take()) this.#sent(segment);
    for (const socket of this.script.host.sockets) this.#delivered(socket);
    for (const flow of this.script.nat.flows()) this.states.add(flow.state);
    const taken = this.script.nat.pool.takenBytes, flows = this.script.nat.flowCount;
    assert(taken <= (flows + 1) * this.#maxBuffers, `${taken} bytes of buffers`);
  }

  /** The gateway has sent a segment. */
  #sent({ flags, seq, ack, window, payload }: SentSegment): void {
    if (flags & TCP_RST) return;
    assert(flags & TCP_ACK, "a segment without ACK");
    assert(this.#noted(sentIn, seqAdd(ack, -1)), `${ack} is acknowledged and the number before it was not sent`);
    if (flags & TCP_SYN) {
      const socket = this.script.host.sockets.findLast((one) => one.state === "connected")!;
      if (!this.#starts.has(socket)) this.#starts.set(socket, ack);
      this.script.ack = seqAdd(seq, 1);
    } else if (seqDiff(this.script.ack, seq) >= 0) {
      const end = seqAdd(seq, payload.length + (flags & TCP_FIN));
      if (seqDiff(end, this.script.ack) > 0) this.script.ack = end;
    }
    this.#next = ack;
    this.#edge = seqAdd(ack, window);
  }

  /** What the host was given since it was last looked at. */
  #delivered(socket: ScriptTcpSocket): void {
    if (socket.receivedLength === (this.#counts.get(socket) ?? 0) && !socket.closeWriteCalled) return;
    const start = this.#starts.get(socket), before = this.#counts.get(socket) ?? 0;
    assert(start !== undefined, "the host was given bytes of no connection");
    socket.takeReceived().forEach((byte, i) => {
      const seq = seqAdd(start, before + i);
      assert(this.#noted(sentIn, seq), `byte ${before + i} of the host's was never sent`);
      assertEquals(byte, byteAt(seq), `byte ${before + i} of the host's`);
    });
    this.delivered += socket.receivedLength - before;
    this.#counts.set(socket, socket.receivedLength);
    if (!socket.closeWriteCalled) return;
    assert(this.#noted(finSentIn, seqAdd(start, socket.receivedLength)), "the host was told of an end that was none");
  }

  #note(account: Uint32Array, seq: number): void {
    const at = seqAdd(seq, -FIRST);
    if (at < ACCOUNTED) account[at] = this.#number;
  }

  #noted(account: Uint32Array, seq: number): boolean {
    return account[seqAdd(seq, -FIRST)] === this.#number;
  }
}

/** What a well-behaved guest sends when it has nothing to say. */
const PLAIN: HostileSegment = {
  does: "segment",
  flags: TCP_ACK,
  from: "next",
  seq: 0,
  ack: 0,
  length: 0,
  window: 0xffff,
  options: new Uint8Array(0),
};

/** The byte that the guest sends at a sequence number. */
function byteAt(seq: number): number {
  return (Math.imul(seq, 167) ^ (seq >>> 8) ^ (seq >>> 16)) & 255;
}
