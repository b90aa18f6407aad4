/**
 * Segments of one connection as bytes: header, options, payload in place or copied (RFC 9293 section 3.1).
 *
 * A payload that lies behind `SEGMENT_HEADROOM` in a buffer gets its header written in front of it and leaves without a
 * copy. Everything else, repetitions and pieces of what is queued, is put together in the gateway's scratch buffer.
 * Every segment says what was received so far, so an ACK that was due is paid with it.
 *
 * @module
 */
import { seqDiff } from "../../net/wire/seq.ts";
import { SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import {
  encodeTcp,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TcpHeader,
  tcpHeaderLengthOf,
} from "../../net/wire/tcp.ts";
import { LARGE_PAYLOAD } from "../base/buffers.ts";
import type { TcpContext, TcpLower, TcpPorts } from "./context.ts";
import type { ReceiveSide } from "./receive_side.ts";
import type { SendSide } from "./send_side.ts";

/** Challenge ACKs a second (RFC 5961 section 7). */
export const CHALLENGES_PER_SECOND = 10;
/** Option bytes of an ACK with four SACK blocks. */
const SACK_OPTION_BYTES = 36;

const header = new TcpHeader();

/** The state of a transmitter. */
export interface TransmitterRecord {
  /** Whether an ACK is owed at the end of the turn. */
  ackDue: boolean;
  /** Whether both sides scale their windows (RFC 7323 section 2.2). */
  scaling: boolean;
  /** Challenge ACKs asked for in this second. */
  challenges: number;
  /** When that second began, in `now()` time. */
  challengesSince: number;
}

/** Builds and sends the segments of one connection. */
export class Transmitter {
  /** All of its state. */
  readonly record: TransmitterRecord = { ackDue: false, scaling: false, challenges: 0, challengesSince: -Infinity };

  #context: TcpContext;
  #lower: TcpLower;
  #ports: TcpPorts;
  #send: SendSide;
  #receive: ReceiveSide;

  /** Sends for the connection with these two sides. */
  constructor(context: TcpContext, parts: { lower: TcpLower; ports: TcpPorts; send: SendSide; receive: ReceiveSide }) {
    this.#context = context;
    this.#lower = parts.lower;
    this.#ports = parts.ports;
    this.#send = parts.send;
    this.#receive = parts.receive;
  }

  /** Payload of a full segment beside the options that it carries now. */
  get segmentPayload(): number {
    const { mss, sackPermitted } = this.#send.record;
    return this.#receive.hasGap && sackPermitted ? Math.max(1, mss - SACK_OPTION_BYTES) : mss;
  }

  /** Largest payload handed down at once now: whole segments, as many as the link cuts up. */
  get payloadLimit(): number {
    const segment = this.segmentPayload, { maxBurst, maxSegmentSize } = this.#lower;
    return maxBurst > maxSegmentSize ? wholeSegments(maxBurst, segment) : segment;
  }

  /**
   * How much to read from a source at once: what leaves in place, or as many whole segments as a large buffer holds.
   */
  get readLimit(): number {
    const { maxBurst, maxSegmentSize } = this.#lower;
    return wholeSegments(maxBurst > maxSegmentSize ? maxBurst : LARGE_PAYLOAD, this.segmentPayload);
  }

  /**
   * SYN, or SYN and ACK: with MSS, window scale and SACK-permitted where the peer's SYN, if there was one, had them.
   */
  syn(acknowledging: boolean): void {
    const limit = this.#context.config.receiveLimit;
    this.#begin(acknowledging ? TCP_SYN | TCP_ACK : TCP_SYN, this.#send.record.initial);
    header.mss = this.#lower.maxSegmentSize;
    header.sackPermitted = !acknowledging || this.#send.record.sackPermitted;
    if (!acknowledging || this.record.scaling) header.windowShift = windowShift(limit);
    // The window of a SYN is never scaled (section 2.2 of RFC 7323).
    header.window = Math.min(limit, 0xffff);
    this.#finish(this.#context.scratch, SEGMENT_HEADROOM, 0);
  }

  /** An ACK without data. */
  ack(): void {
    this.#begin(TCP_ACK, this.#send.record.next);
    this.#describeReceived();
    this.#finish(this.#context.scratch, SEGMENT_HEADROOM, 0);
  }

  /**
   * An ACK that costs the sender of a doubtful segment nothing to ask for, so it is rationed (RFC 5961 sections 3 to
   * 7). Returns whether it was sent.
   */
  challenge(): boolean {
    const now = this.#context.now();
    if (now - this.record.challengesSince >= 1000) {
      this.record.challengesSince = now;
      this.record.challenges = 0;
    }
    if (this.record.challenges++ >= CHALLENGES_PER_SECOND) return false;
    this.ack();
    return true;
  }

  /** An ACK below what is owed, which the peer must answer (RFC 9293 section 3.8.4). */
  keepAlive(): void {
    this.#begin(TCP_ACK, this.#send.record.next - 1);
    this.#describeReceived();
    this.#finish(this.#context.scratch, SEGMENT_HEADROOM, 0);
  }

  /** RST with this sequence number, acknowledging what was received where that is known. */
  reset(seq: number, acknowledging: boolean): void {
    this.#begin(acknowledging ? TCP_RST | TCP_ACK : TCP_RST, seq);
    header.window = 0;
    this.#finish(this.#context.scratch, SEGMENT_HEADROOM, 0);
  }

  /** The payload at `bytes[start, start + length)`, in place behind its headroom. */
  inPlace(bytes: Uint8Array, start: number, seq: number, length: number): void {
    this.#begin(TCP_ACK | TCP_PSH, seq);
    this.#describeReceived();
    this.#finish(bytes, start, length);
  }

  /** `length` queued bytes from `seq` on, which may be none, with FIN after them where `fin`. */
  fromQueue(seq: number, length: number, fin: boolean): void {
    const scratch = this.#context.scratch;
    if (length > 0) this.#send.queue.copyOut(seqDiff(seq, this.#send.record.una), length, scratch, SEGMENT_HEADROOM);
    this.#begin(TCP_ACK | (length > 0 ? TCP_PSH : 0) | (fin ? TCP_FIN : 0), seq);
    this.#describeReceived();
    this.#finish(scratch, SEGMENT_HEADROOM, length);
  }

  #begin(flags: number, seq: number): void {
    header.sourcePort = this.#ports.localPort;
    header.destinationPort = this.#ports.peerPort;
    header.seq = seq >>> 0;
    header.flags = flags;
    header.ack = flags & TCP_ACK ? this.#receive.record.next : 0;
    header.mss = header.windowShift = -1;
    header.sackPermitted = false;
    header.sackCount = 0;
    if (flags & TCP_ACK) this.record.ackDue = false;
  }

  #describeReceived(): void {
    const { mss, sackPermitted } = this.#send.record, receive = this.#receive;
    if (sackPermitted && receive.hasGap) header.sackCount = receive.sackBlocks(header.sackEdges, 4);
    header.window = receive.offer(mss);
  }

  #finish(bytes: Uint8Array, start: number, length: number): void {
    const at = start - tcpHeaderLengthOf(header), segment = this.segmentPayload;
    encodeTcp(bytes, at, header);
    this.#lower.transmit(bytes, at, start + length, length > segment ? segment : 0);
  }
}

/** The most bytes of at most `limit` that are whole segments; one segment at least. */
function wholeSegments(limit: number, segment: number): number {
  return Math.max(segment, limit - limit % segment);
}

/** The least shift with which the window field can name `limit` bytes (RFC 7323 section 2.2). */
export function windowShift(limit: number): number {
  let shift = 0;
  while (shift < 14 && limit >>> shift > 0xffff) shift++;
  return shift;
}
