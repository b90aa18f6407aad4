/**
 * How a connection opens (RFC 9293 section 3.5): segments that arrive in LISTEN and SYN-SENT, and the SYN in both
 * directions.
 *
 * A passive endpoint keeps the SYN and stays in LISTEN until the user calls `accept`, because the gateway connects to
 * the host first; a repeated SYN meanwhile changes nothing. MSS, window scale and SACK-permitted are negotiated.
 * Timestamps are not: on one virtual link they cost 12 bytes and an option to read in every segment, round trips are
 * timed well enough without, and PAWS is moot at a round trip of microseconds.
 *
 * @module
 */
import {
  readTcpOptions,
  TCP_ACK,
  TCP_RST,
  TCP_SYN,
  tcpAck,
  tcpFlags,
  TcpOptions,
  tcpSeq,
  tcpWindow,
} from "../../net/wire/tcp.ts";
import type { TcpContext, TcpDrops, TcpEnd, TcpLower } from "./context.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Output } from "./output.ts";
import type { ReceiveSide } from "./receive_side.ts";
import type { SendSide } from "./send_side.ts";
import { type Transmitter, windowShift } from "./transmitter.ts";
import type { TcpEvent, TcpState } from "./transitions.ts";

/** Least MSS that is believed: a smaller one would turn every byte into a segment. */
export const MSS_MIN = 48;
/** MSS of a peer that names none (RFC 9293 section 3.7.1). */
export const MSS_DEFAULT = 536;

const options = new TcpOptions();

/** Whose handshake it is. */
export interface HandshakeUser {
  /** The state by its RFC 9293 name. */
  readonly state: TcpState;
  /** Moves on to the state that `event` leads to. */
  move(event: TcpEvent): void;
  /** The handshake is complete. */
  opened(): void;
  /** There is no connection. */
  end(reason: TcpEnd): void;
}

/** What a handshake works on. */
export interface HandshakeParts {
  /** The endpoint. */
  readonly user: HandshakeUser;
  /** The network below. */
  readonly lower: TcpLower;
  /** What is sent. */
  readonly send: SendSide;
  /** What is received. */
  readonly receive: ReceiveSide;
  /** Segments as bytes. */
  readonly out: Transmitter;
  /** What is sent when. */
  readonly output: Output;
  /** When. */
  readonly deadlines: Deadlines;
}

/** The opening of one connection. */
export class Handshake {
  #context: TcpContext;
  #parts: HandshakeParts;

  /** Nothing was sent or received. */
  constructor(context: TcpContext, parts: HandshakeParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Takes what the SYN at `bytes[tcp]` says of the peer. */
  takeSyn(bytes: Uint8Array, tcp: number): void {
    const { send, receive, out, lower } = this.#parts;
    readTcpOptions(bytes, tcp, options);
    const peerMss = options.mss < 0 ? MSS_DEFAULT : Math.max(options.mss, MSS_MIN);
    send.record.mss = Math.min(peerMss, lower.maxSegmentSize);
    send.record.sackPermitted = options.sackPermitted;
    out.record.scaling = options.windowShift >= 0;
    send.record.shift = out.record.scaling ? options.windowShift : 0;
    receive.record.shift = out.record.scaling ? windowShift(this.#context.config.receiveLimit) : 0;
    receive.open(tcpSeq(bytes, tcp));
    receive.offer(send.record.mss);
    // The window of a SYN is never scaled (RFC 7323 section 2.2).
    send.startWindow(tcpSeq(bytes, tcp), tcpAck(bytes, tcp), tcpWindow(bytes, tcp));
  }

  /** Sends our SYN, or sends it again. */
  sendSyn(): void {
    const { output, deadlines, user } = this.#parts;
    output.syn(user.state === "SYN-RECEIVED");
    deadlines.schedule();
  }

  /** A segment came in LISTEN (section 3.10.7.2). */
  arrivedInListen(bytes: Uint8Array, tcp: number): void {
    const { receive, user } = this.#parts, flags = tcpFlags(bytes, tcp);
    if (flags & TCP_RST) {
      const seq = tcpSeq(bytes, tcp);
      if (seq !== receive.record.next && seq !== receive.record.initial) return this.#drop("tcpUnacceptable");
      user.move("receiveReset");
      user.end("reset");
    } else if ((flags & (TCP_SYN | TCP_ACK)) !== TCP_SYN) {
      this.#drop("tcpUnacceptable");
    } else if (tcpSeq(bytes, tcp) === receive.record.initial) {
      this.#drop("tcpRepeated");
    } else {
      // The peer has begun anew.
      this.takeSyn(bytes, tcp);
    }
  }

  /**
   * A segment came in SYN-SENT (section 3.10.7.3). Returns whether the connection is open and the rest of the segment
   * counts.
   */
  arrivedInSynSent(bytes: Uint8Array, tcp: number): boolean {
    const { send, out, output, deadlines, user } = this.#parts;
    const flags = tcpFlags(bytes, tcp), ack = tcpAck(bytes, tcp), hasAck = (flags & TCP_ACK) !== 0;
    const acceptable = hasAck && ack === send.record.next;
    if (hasAck && !acceptable) {
      this.#drop("tcpAckUnacceptable");
      if (!(flags & TCP_RST)) out.reset(ack, false);
      return false;
    }
    if (flags & TCP_RST) {
      if (acceptable) {
        user.move("receiveReset");
        user.end("refused");
      } else this.#drop("tcpUnacceptable");
      return false;
    }
    if (!(flags & TCP_SYN)) {
      this.#drop(hasAck ? "tcpUnacceptable" : "tcpWithoutAck");
      return false;
    }
    deadlines.silence.heard();
    this.takeSyn(bytes, tcp);
    if (!acceptable) {
      user.move("receiveSyn");
      this.sendSyn();
      return false;
    }
    user.move("receiveSynAck");
    output.countAcknowledged(ack);
    user.opened();
    return true;
  }

  /** The peer has not heard our SYN-ACK, or opens at the same time as we do. */
  repeatSynAck(bytes: Uint8Array, tcp: number): void {
    const { send, out, deadlines } = this.#parts, ack = tcpAck(bytes, tcp);
    deadlines.silence.heard();
    if (tcpFlags(bytes, tcp) & TCP_ACK && ack === send.record.next) {
      this.synAcknowledged(bytes, tcp);
      return out.ack();
    }
    this.sendSyn();
  }

  /** The segment at `bytes[tcp]` acknowledges our SYN. */
  synAcknowledged(bytes: Uint8Array, tcp: number): void {
    const { send, output, user } = this.#parts, ack = tcpAck(bytes, tcp);
    output.countAcknowledged(ack);
    // The window of a SYN, here of a simultaneous open, is never scaled (RFC 7323 section 2.2).
    const shift = tcpFlags(bytes, tcp) & TCP_SYN ? 0 : send.record.shift;
    send.startWindow(tcpSeq(bytes, tcp), ack, tcpWindow(bytes, tcp) << shift);
    user.move("receiveAckOfSyn");
    user.opened();
  }

  #drop(reason: keyof TcpDrops): void {
    this.#context.drops[reason]++;
  }
}
