/**
 * One end of a TCP connection (RFC 9293), facing a guest, or facing the gateway from inside a guest of our own.
 *
 * **Parts.** `ReceiveSide` and `SendSide` hold the two sequence spaces; `transitions.ts` holds the states. This file is
 * what happens when a segment arrives, when the user calls, when time passes, and what is sent then. It never waits and
 * owns no clock: every entry reads `context.now()`, and one timer of the gateway's wheel stands for all its deadlines.
 *
 * **Turns.** In-order data is acknowledged once at the end of a turn (`endTurn`), whatever number of segments came in
 * it; what is out of order, repeated or fills a gap is acknowledged at once (RFC 5681 section 4.2). The end of a turn
 * is also when a window update leaves.
 *
 * **Time** is told in `deadlines.ts`, the handshake in `handshake.ts`.
 *
 * **Hostile segments.** RFC 5961: a RST or SYN that is in the window but not exact, and an ACK for what was never sent,
 * get a challenge ACK, a bounded number a second. Bytes above the window or below RCV.NXT are cut off.
 *
 * Left out: urgent data (RFC 6093 advises against it; the bytes are delivered in order), ECN, TCP Fast Open, Nagle (the
 * bytes come from a socket whose sender has already chosen).
 *
 * @module
 */
import { seqAdd, seqLess } from "../../net/wire/seq.ts";
import {
  readTcpOptions,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  tcpAck,
  tcpFlags,
  tcpHeaderLength,
  TcpOptions,
  tcpSeq,
  tcpWindow,
} from "../../net/wire/tcp.ts";
import { COPYBREAK } from "../base/buffers.ts";
import type { QueueSink, TcpContext, TcpDrops, TcpEnd, TcpLower, TcpPorts, TcpUser } from "./context.ts";
import { Deadlines } from "./deadlines.ts";
import { Handshake } from "./handshake.ts";
import { Output } from "./output.ts";
import type { EndpointRecord, TcpRecords } from "./records.ts";
import { ACK_LATER, ACK_NOW, ReceiveSide } from "./receive_side.ts";
import { SendSide } from "./send_side.ts";
import { Transmitter } from "./transmitter.ts";
import {
  isSynchronized,
  mayReceive,
  mayTransmit,
  mayWrite,
  type TcpEvent,
  type TcpState,
  transition,
} from "./transitions.ts";

const options = new TcpOptions();

/** One end of a TCP connection. */
export class TcpEndpoint {
  /**
   * All of its state but that of its parts.
   *
   * @internal
   */
  readonly record: EndpointRecord = { state: "CLOSED", ended: false, turnDue: false, resetWhenSent: false };
  /**
   * What was sent and is to be sent.
   *
   * @internal
   */
  readonly send: SendSide;
  /**
   * What was received.
   *
   * @internal
   */
  readonly receive: ReceiveSide;

  #context: TcpContext;
  #user: TcpUser;
  #out: Transmitter;
  #output: Output;
  #deadlines: Deadlines;
  #handshake: Handshake;

  /** A closed endpoint between `user` and `lower`, from and to these ports. */
  constructor(context: TcpContext, sides: { lower: TcpLower; ports: TcpPorts; user: TcpUser }) {
    this.#context = context;
    this.#user = sides.user;
    this.send = new SendSide(context);
    this.receive = new ReceiveSide(context);
    this.#out = new Transmitter(context, {
      lower: sides.lower,
      ports: sides.ports,
      send: this.send,
      receive: this.receive,
    });
    this.#output = new Output(context, { send: this.send, out: this.#out });
    this.#deadlines = new Deadlines(context, { user: this, send: this.send, output: this.#output });
    this.#handshake = new Handshake(context, {
      lower: sides.lower,
      send: this.send,
      receive: this.receive,
      out: this.#out,
      output: this.#output,
      deadlines: this.#deadlines,
      user: this,
    });
  }

  /**
   * All that makes the connection, but the bytes of the two queues.
   *
   * @internal
   */
  get records(): TcpRecords {
    const { send, receive } = this, { rtt, congestion, recovery } = send, { silence } = this.#deadlines;
    return {
      endpoint: this.record,
      send: send.record,
      rtt: rtt.record,
      congestion: congestion.record,
      recovery: recovery.record,
      scoreboard: recovery.reported,
      output: this.#output.record,
      transmitter: this.#out.record,
      receive: receive.record,
      reassembly: receive.held,
      deadlines: this.#deadlines.record,
      silence: silence.record,
    };
  }

  /** The state by its RFC 9293 name. */
  get state(): TcpState {
    return this.record.state;
  }

  /** When the last acceptable segment came, in `now()` time. */
  get heardAt(): number {
    return this.#deadlines.silence.record.heardAt;
  }

  /**
   * How many bytes the user should read from its source now: what can be sent at once, and where nothing can, a first
   * piece that gives the persist timer its business. 0: wait for `tcpSendRoom`.
   */
  get readRoom(): number {
    return mayWrite(this.state) && !this.send.record.finQueued ? this.#output.readRoom : 0;
  }

  /** Passive OPEN with the SYN at `bytes[tcp, end)`: LISTEN until `accept`. */
  listen(bytes: Uint8Array, tcp: number): void {
    this.move("listen");
    this.#handshake.takeSyn(bytes, tcp);
  }

  /** Answers the SYN: SYN-ACK with this initial sequence number. */
  accept(initial: number): void {
    this.move("accept");
    this.send.open(initial);
    this.#handshake.sendSyn();
  }

  /** Active OPEN with this initial sequence number. */
  connect(initial: number): void {
    this.move("connect");
    this.send.open(initial);
    this.#handshake.sendSyn();
  }

  /**
   * Queues `buffer[start, end)` and sends what may be sent. Returns whether the endpoint has taken the buffer over,
   * which must then be a large one of the pool; otherwise it is the caller's. `start` must leave `SEGMENT_HEADROOM` in
   * front.
   */
  write(buffer: Uint8Array, start: number, end: number): boolean {
    const { record } = this;
    if (record.ended || this.send.record.finQueued) return false;
    const length = end - start, adopt = length >= COPYBREAK;
    if (adopt) this.send.queue.adopt(buffer, start, end);
    else this.send.queue.append(buffer, start, end);
    if (mayTransmit(record.state)) {
      this.#output.fresh(buffer, start, length);
      this.#deadlines.schedule();
    }
    return adopt;
  }

  /** The user has nothing more to send: FIN after what is queued. */
  closeWrite(): void {
    if (this.record.ended || this.send.record.finQueued) return;
    if (this.state === "LISTEN" || this.state === "SYN-SENT") {
      this.move("close");
      return this.end("aborted");
    }
    this.send.record.finQueued = true;
    // Before the handshake is over CLOSE is remembered and comes true with it (RFC 9293 section 3.10.4).
    if (this.state === "SYN-RECEIVED") return;
    this.move("close");
    this.#sendDue();
  }

  /** Ends the connection with RST, at once. */
  abort(): void {
    this.#abort("aborted");
  }

  /** Ends the connection with RST once the peer has acknowledged everything queued, or fell silent. */
  abortWhenSent(): void {
    if (this.record.ended) return;
    if (this.send.queue.length === 0 || !isSynchronized(this.state)) return this.abort();
    this.record.resetWhenSent = true;
  }

  // --- what was received and the user has not taken ---

  /** How many bytes wait for the user. */
  get queued(): number {
    return this.receive.queue.length;
  }

  /** Queues a copy of bytes that the user has taken and cannot keep, behind those that wait. */
  putBack(bytes: Uint8Array, start: number, end: number): void {
    this.receive.queue.append(bytes, start, end);
  }

  /**
   * Gives waiting bytes to `sink`, as many as it takes, and lets the peer hear of the room. Returns the last answer of
   * the sink if that was no count, else 0.
   */
  drainTo(sink: QueueSink): number {
    const { queue } = this.receive, before = queue.length;
    let answer = 0;
    while (queue.length > 0 && answer >= 0) {
      answer = sink.takeQueued(queue.front, queue.frontStart, queue.frontEnd);
      if (answer === 0) break;
      if (answer > 0) queue.consume(answer);
    }
    const moved = queue.length < before;
    if (!moved || this.record.ended || !mayReceive(this.state)) return Math.min(answer, 0);
    if (this.receive.owesUpdate(this.send.record.mss)) this.#ackLater();
    return Math.min(answer, 0);
  }

  /** Forgets what waits: nobody will take it. */
  dropQueued(): void {
    this.receive.queue.clear();
  }

  /** End of a turn: what is due leaves. */
  endTurn(): void {
    const { record } = this;
    record.turnDue = false;
    if (record.ended && record.state !== "TIME-WAIT") return;
    if (this.#out.record.ackDue) this.#out.ack();
  }

  /**
   * Whether a SYN at `bytes[tcp]` may take over this connection, which is in TIME-WAIT (RFC 6191 without timestamps: a
   * later sequence number).
   */
  yieldsTo(bytes: Uint8Array, tcp: number): boolean {
    return this.state === "TIME-WAIT" && seqLess(this.receive.record.next, tcpSeq(bytes, tcp));
  }

  /** Ends TIME-WAIT now. */
  leaveTimeWait(): void {
    if (this.state !== "TIME-WAIT") return;
    this.move("timeWaitOver");
    this.#deadlines.cancel();
  }

  /** Frees every buffer and timer; for a user that is done with an endpoint that has ended. */
  dispose(): void {
    this.#deadlines.cancel();
    this.send.clear();
    this.receive.dropHeld();
    this.receive.queue.clear();
  }

  /**
   * A segment for this connection: a TCP header at `tcp`, payload up to `end`. Its checksum is right and its length was
   * checked.
   */
  segmentArrived(bytes: Uint8Array, tcp: number, end: number): void {
    switch (this.state) {
      case "CLOSED":
        return this.#drop("tcpUnacceptable");
      case "LISTEN":
        return this.#handshake.arrivedInListen(bytes, tcp);
      case "SYN-SENT":
        if (!this.#handshake.arrivedInSynSent(bytes, tcp)) return;
        this.#ackLater();
        return this.#takePayload(bytes, tcp, end);
      default:
        return this.#arrived(bytes, tcp, end);
    }
  }

  // --- for the parts: HandshakeUser ---

  /**
   * For the parts: moves on to the state that `event` leads to. This is the one assignment of the state.
   *
   * @internal
   */
  move(event: TcpEvent): void {
    this.record.state = transition(this.record.state, event);
  }

  /**
   * For the handshake: it is complete.
   *
   * @internal
   */
  opened(): void {
    this.#output.disarm();
    this.#deadlines.schedule();
    this.#user.tcpOpened();
    if (this.send.record.finQueued && this.state === "ESTABLISHED") this.move("close");
    this.#sendDue();
  }

  /**
   * For the handshake: the connection ends.
   *
   * @internal
   */
  end(reason: TcpEnd): void {
    if (this.record.ended) return;
    this.record.ended = true;
    this.#deadlines.cancel();
    this.#output.record.retransmitAt = -1;
    this.send.clear();
    this.receive.dropHeld();
    this.#user.tcpEnded(reason);
  }

  // --- for the parts: DeadlineUser ---

  /**
   * Whether it has ended; TIME-WAIT may be left of it.
   *
   * @internal
   */
  get hasEnded(): boolean {
    return this.record.ended;
  }

  /**
   * Whether RST follows once everything queued is acknowledged.
   *
   * @internal
   */
  get resetsWhenSent(): boolean {
    return this.record.resetWhenSent;
  }

  /**
   * The SYN is due again.
   *
   * @internal
   */
  synDue(): void {
    this.#handshake.sendSyn();
  }

  /**
   * An idle peer is to be probed.
   *
   * @internal
   */
  probeDue(): void {
    this.#out.keepAlive();
  }

  /** The peer does not answer. */
  peerUnanswering(): void {
    this.#user.tcpUnanswered?.();
  }

  /**
   * The peer was silent for too long.
   *
   * @internal
   */
  peerSilent(): void {
    this.#abort("timedOut");
  }

  /**
   * TIME-WAIT has passed.
   *
   * @internal
   */
  timeWaitOver(): void {
    this.leaveTimeWait();
    this.#user.tcpTimeWaitOver();
  }

  // --- arrival (RFC 9293 section 3.10.7) ---

  #arrived(bytes: Uint8Array, tcp: number, end: number): void {
    const { record, receive } = this, { next } = receive.record, flags = tcpFlags(bytes, tcp), seq = tcpSeq(bytes, tcp);
    const length = end - tcp - tcpHeaderLength(bytes, tcp) + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0);
    const isSyn = (flags & (TCP_SYN | TCP_RST)) === TCP_SYN;
    if (record.state === "SYN-RECEIVED" && isSyn && seq === receive.record.initial) {
      this.#drop("tcpRepeated");
      return this.#handshake.repeatSynAck(bytes, tcp);
    }
    // A full window still lets ACK and RST through at RCV.NXT (section 3.10.7.4).
    const atShutWindow = receive.window === 0 && seq === next;
    if (receive.refuses(seq, length) && !atShutWindow) {
      // Below RCV.NXT by one and without news: a keep-alive probe, whose effect is its answer where it is given one.
      const isProbe = length <= 1 && !(flags & (TCP_FIN | TCP_RST)) && seq === seqAdd(next, -1);
      const isAnswered = !(flags & TCP_RST) && this.#answerUnacceptable(length);
      if (!isProbe || !isAnswered) this.#drop(seqLess(seq, next) ? "tcpRepeated" : "tcpUnacceptable");
      return;
    }
    if (flags & TCP_RST) {
      // RFC 1337: a RST does not cut TIME-WAIT short.
      if (record.state === "TIME-WAIT") return this.#drop("tcpUnacceptable");
      if (seq === next) {
        this.move("receiveReset");
        return this.end("reset");
      }
      this.#drop("tcpResetChallenged");
      this.#out.challenge();
      return;
    }
    if (flags & TCP_SYN) {
      this.#drop("tcpSynChallenged");
      this.#out.challenge();
      return;
    }
    if (!(flags & TCP_ACK)) return this.#drop("tcpWithoutAck");
    if (!this.#takeAck(bytes, tcp, length)) return;
    if (record.ended) return;
    if (atShutWindow && length > 0) {
      // A probe of our shut window, or data that it does not let in.
      if (length > 1) this.#drop("tcpUnacceptable");
      this.#out.ack();
    } else this.#takePayload(bytes, tcp, end);
    this.#sendDue();
  }

  /**
   * A segment outside the window: the peer learns where we stand (section 3.10.7.4), or its keep-alive probe is
   * answered. Returns whether it was.
   */
  #answerUnacceptable(length: number): boolean {
    if (this.state === "TIME-WAIT") this.#deadlines.startTimeWait();
    if (this.state === "SYN-RECEIVED") return this.#out.challenge();
    this.#deadlines.silence.heard();
    if (length === 0) return this.#out.challenge();
    this.#out.ack();
    return true;
  }

  /** The ACK field. Returns whether the rest of the segment counts. */
  #takeAck(bytes: Uint8Array, tcp: number, length: number): boolean {
    const { record, send } = this, { silence } = this.#deadlines, ack = tcpAck(bytes, tcp);
    if (record.state === "SYN-RECEIVED") {
      if (ack !== send.record.next) {
        this.#drop("tcpAckUnacceptable");
        this.#out.reset(ack, false);
        return false;
      }
      silence.heard();
      this.#handshake.synAcknowledged(bytes, tcp);
      return !record.ended;
    }
    if (!send.covers(ack)) {
      // Old ACKs down to the largest window ever offered are mere duplicates (RFC 5961 section 5.2).
      const { una, maxWindow } = send.record;
      if (seqLess(una, ack) || seqLess(ack, seqAdd(una, -Math.max(maxWindow, 0xffff)))) {
        this.#drop("tcpAckUnacceptable");
        this.#out.challenge();
        return false;
      }
      silence.heard();
      return true;
    }
    silence.heard();
    if (record.state === "TIME-WAIT") return true;
    const news = this.#takeSackBlocks(bytes, tcp);
    const windowBefore = send.record.window;
    const grew = send.updateWindow(tcpSeq(bytes, tcp), ack, tcpWindow(bytes, tcp));
    if (seqLess(send.record.una, ack)) {
      this.#acknowledged(ack);
    } else if (news || (length === 0 && send.record.window === windowBefore)) {
      send.duplicate(news);
    } else if (grew && (send.flight === 0 || windowBefore === 0)) {
      // A shut window has opened: what it refused is sent now, not when the backed-off timer comes round.
      send.windowOpened();
      this.#output.record.retransmitAt = -1;
    }
    if (!record.ended && mayWrite(record.state)) this.#user.tcpSendRoom();
    return true;
  }

  #acknowledged(ack: number): void {
    const { record } = this;
    this.#output.countAcknowledged(ack);
    this.#output.acknowledged(this.#context.now());
    this.#deadlines.schedule();
    // A probe may have carried the FIN past SND.NXT.
    if (this.send.finAcknowledged) {
      this.move("receiveAckOfFin");
      if (record.state === "CLOSED") return this.end("finished");
      if (record.state === "TIME-WAIT") return this.#enterTimeWait();
    }
    if (record.resetWhenSent && this.send.queue.length === 0) this.#abort("aborted");
  }

  #takeSackBlocks(bytes: Uint8Array, tcp: number): boolean {
    if (!this.send.record.sackPermitted || tcpHeaderLength(bytes, tcp) === 20) return false;
    readTcpOptions(bytes, tcp, options);
    let news = false;
    const now = this.#context.now();
    for (let i = 0; i < options.sackCount; i++) {
      if (this.send.sacked(options.sackEdges[2 * i]!, options.sackEdges[2 * i + 1]!, now)) news = true;
    }
    return news;
  }

  /** Payload and FIN. The segment overlaps the window. */
  #takePayload(bytes: Uint8Array, tcp: number, end: number): void {
    const { record, receive } = this, flags = tcpFlags(bytes, tcp);
    const start = tcp + tcpHeaderLength(bytes, tcp), seq = seqAdd(tcpSeq(bytes, tcp), flags & TCP_SYN ? 1 : 0);
    if (start === end && !(flags & TCP_FIN)) return;
    if (!mayReceive(record.state)) {
      // Data after the peer's FIN is ignored; a repeated FIN is acknowledged again.
      this.#drop(start < end ? "tcpAfterFin" : "tcpRepeated");
      if (record.state === "TIME-WAIT") this.#deadlines.startTimeWait();
      return this.#out.ack();
    }
    const ack = receive.take(bytes, start, end, seq, (flags & TCP_FIN) !== 0, this.#user);
    if (ack === ACK_LATER) this.#ackLater();
    // The user may have aborted while it was given the bytes.
    if (record.ended) return;
    if (receive.finIsNext) this.#takeFin();
    if (ack === ACK_NOW && (!record.ended || record.state === "TIME-WAIT")) this.#out.ack();
  }

  #takeFin(): void {
    this.receive.record.next = seqAdd(this.receive.record.next, 1);
    this.receive.dropHeld();
    this.move("receiveFin");
    this.#ackLater();
    this.#user.tcpPeerFinished();
    if (this.state === "TIME-WAIT") this.#enterTimeWait();
  }

  // --- opening and ending ---

  #drop(reason: keyof TcpDrops): void {
    this.#context.drops[reason]++;
  }

  #abort(reason: TcpEnd): void {
    if (this.record.ended) return;
    if (this.state === "SYN-RECEIVED" || isSynchronized(this.state)) {
      this.#out.reset(this.send.record.next, true);
    } else if (this.state === "LISTEN") {
      // Nothing was sent: the RST acknowledges the SYN (section 3.10.7.1).
      this.#out.reset(0, true);
    }
    this.move("abort");
    this.end(reason);
  }

  #enterTimeWait(): void {
    this.end("finished");
    this.#deadlines.startTimeWait();
  }

  // --- sending ---

  /** Sends what may be sent in this state. */
  #sendDue(): void {
    const { record } = this;
    if (record.ended || !mayTransmit(record.state)) return;
    this.#output.run();
    this.#deadlines.schedule();
  }

  #ackLater(): void {
    const { record } = this;
    this.#out.record.ackDue = true;
    if (record.turnDue) return;
    record.turnDue = true;
    this.#user.tcpTurnDue();
  }
}
