/**
 * One end of a TCP connection (RFC 9293), facing a guest, or facing the gateway from inside a guest of our own.
 *
 * **Parts.** `ReceiveSide` and `SendSide` hold the two sequence spaces; `transitions.ts` holds the states. This file is what happens when a segment
 * arrives, when the user calls, when time passes, and what is sent then. It never waits and owns no clock: every entry reads `context.now()`,
 * and one timer of the gateway's wheel stands for all its deadlines.
 *
 * **Turns.** In-order data is acknowledged once at the end of a turn (`endTurn`), whatever number of segments came in it; what is out of order,
 * repeated or fills a gap is acknowledged at once (RFC 5681 section 4.2). The end of a turn is also when a window update leaves.
 *
 * **Opening.** A passive endpoint keeps the SYN and stays in LISTEN until the user calls `accept`, because the gateway connects to the host first; a
 * repeated SYN meanwhile changes nothing. MSS, window scale and SACK-permitted are negotiated. Timestamps are not: on one virtual link they cost 12 bytes
 * and an option parse a segment, RTT is timed well enough without, and PAWS is moot at a round trip of microseconds.
 *
 * **Timers.** Retransmission (RFC 6298) or, when the peer's window is shut and nothing is on its way, persist (RFC 9293 section 3.8.6.1): both use the backed-off
 * timeout. Neither gives up while the peer answers; after `userTimeoutMs` of silence, or `lastAckTimeoutMs` once our FIN was sent, the connection ends.
 * An idle connection is probed after `keepAliveMs` (section 3.8.4).
 *
 * **Hostile segments.** RFC 5961: a RST or SYN that is in the window but not exact, and an ACK for what was never sent, get a challenge ACK, a bounded number
 * a second. Bytes above the window or below RCV.NXT are cut off.
 *
 * Left out: urgent data (RFC 6093 advises against it; the bytes are delivered in order), ECN, TCP Fast Open, Nagle (the bytes come from a
 * socket whose sender has already chosen).
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
import { Timer } from "../base/timers.ts";
import type { TcpContext, TcpDrops, TcpEnd, TcpLower, TcpUser } from "./context.ts";
import { Output } from "./output.ts";
import { ACK_LATER, ACK_NOW, ReceiveSide } from "./receive_side.ts";
import { SendSide } from "./send_side.ts";
import { Silence } from "./silence.ts";
import { Transmitter, windowShift } from "./transmitter.ts";
import {
  isSynchronized,
  mayReceive,
  mayTransmit,
  mayWrite,
  type TcpEvent,
  type TcpState,
  transition,
} from "./transitions.ts";

/** Least MSS that is believed: a smaller one would turn every byte into a segment. */
export const MSS_MIN = 48;
/** A retransmission deadline that is met so late was missed because the gateway did not run, in milliseconds. */
export const STOPPED_MS = 5000;
/** MSS of a peer that names none (RFC 9293 section 3.7.1). */
export const MSS_DEFAULT = 536;

const options = new TcpOptions();

/** One end of a TCP connection. */
export class TcpEndpoint {
  /** What was sent and is to be sent. */
  readonly send: SendSide;
  /** What was received. */
  readonly receive: ReceiveSide;

  #context: TcpContext;
  #lower: TcpLower;
  #user: TcpUser;
  #out: Transmitter;
  #output: Output;
  #silence: Silence;
  #state: TcpState = "CLOSED";
  #timer: Timer;
  #ended = false;
  #turnDue = false;
  /** The user asked for an end by RST once everything queued is acknowledged. */
  #resetWhenSent = false;
  #timeWaitUntil = -1;

  /** A closed endpoint between `user` and `lower`. */
  constructor(context: TcpContext, sides: { lower: TcpLower; user: TcpUser }) {
    this.#context = context;
    this.#lower = sides.lower;
    this.#user = sides.user;
    this.send = new SendSide(context);
    this.receive = new ReceiveSide(context);
    this.#out = new Transmitter(context, { lower: sides.lower, send: this.send, receive: this.receive });
    this.#output = new Output(context, { send: this.send, out: this.#out });
    this.#timer = new Timer(this);
    this.#silence = new Silence(context);
  }

  /** The state by its RFC 9293 name. */
  get state(): TcpState {
    return this.#state;
  }

  /** When the last acceptable segment came, in `now()` time. */
  get heardAt(): number {
    return this.#silence.heardAt;
  }

  /**
   * How many bytes the user should read from its source now: what can be sent at once, and where nothing can, a first piece that gives
   * the persist timer its business. 0: wait for `tcpSendRoom`.
   */
  get readRoom(): number {
    if ((this.#state !== "ESTABLISHED" && this.#state !== "CLOSE-WAIT") || this.send.finQueued) return 0;
    return this.#output.readRoom;
  }

  /** Passive OPEN with the SYN at `bytes[tcp, end)`: LISTEN until `accept`. */
  listen(bytes: Uint8Array, tcp: number): void {
    this.#move("listen");
    this.#takeSyn(bytes, tcp);
  }

  /** Answers the SYN: SYN-ACK with this initial sequence number. */
  accept(initial: number): void {
    this.#move("accept");
    this.send.open(initial);
    this.#sendSyn();
  }

  /** Active OPEN with this initial sequence number. */
  connect(initial: number): void {
    this.#move("connect");
    this.send.open(initial);
    this.#sendSyn();
  }

  /**
   * Queues `buffer[start, end)` and sends what may be sent. Returns whether the endpoint has taken the buffer over, which must then be a
   * large one of the pool; otherwise it is the caller's. `start` must leave `SEGMENT_HEADROOM` in front.
   */
  write(buffer: Uint8Array, start: number, end: number): boolean {
    if (this.#ended || this.send.finQueued) return false;
    const length = end - start, adopt = length >= COPYBREAK;
    if (adopt) this.send.queue.adopt(buffer, start, end);
    else this.send.queue.append(buffer, start, end);
    if (mayTransmit(this.#state)) {
      this.#output.fresh(buffer, start, length);
      this.#schedule();
    }
    return adopt;
  }

  /** The user has nothing more to send: FIN after what is queued. */
  closeWrite(): void {
    if (this.#ended || this.send.finQueued) return;
    if (this.#state === "LISTEN" || this.#state === "SYN-SENT") {
      this.#move("close");
      return this.#end("aborted");
    }
    this.send.finQueued = true;
    // Before the handshake is over CLOSE is remembered and comes true with it (RFC 9293 section 3.10.4).
    if (this.#state === "SYN-RECEIVED") return;
    this.#move("close");
    this.#sendDue();
  }

  /** Ends the connection with RST, at once. */
  abort(): void {
    this.#abort("aborted");
  }

  /** Ends the connection with RST once the peer has acknowledged everything queued, or fell silent. */
  abortWhenSent(): void {
    if (this.#ended) return;
    if (this.send.queue.length === 0 || !isSynchronized(this.#state)) return this.abort();
    this.#resetWhenSent = true;
  }

  /** The user has taken bytes out of `receive.queue`: the peer may hear of the room. */
  consumed(): void {
    if (!this.#ended && mayReceive(this.#state) && this.receive.owesUpdate(this.send.mss)) this.#ackLater();
  }

  /** End of a turn: what is due leaves. */
  endTurn(): void {
    this.#turnDue = false;
    if (this.#ended && this.#state !== "TIME-WAIT") return;
    if (this.#out.ackDue) this.#out.ack();
  }

  /** Whether a SYN at `bytes[tcp]` may take over this connection, which is in TIME-WAIT (RFC 6191 without timestamps: a later sequence number). */
  yieldsTo(bytes: Uint8Array, tcp: number): boolean {
    return this.#state === "TIME-WAIT" && seqLess(this.receive.next, tcpSeq(bytes, tcp));
  }

  /** Ends TIME-WAIT now. */
  leaveTimeWait(): void {
    if (this.#state !== "TIME-WAIT") return;
    this.#move("timeWaitOver");
    this.#context.timers.cancel(this.#timer);
  }

  /** Frees every buffer and timer; for a user that is done with an endpoint that has ended. */
  dispose(): void {
    this.#context.timers.cancel(this.#timer);
    this.send.clear();
    this.receive.dropHeld();
    this.receive.queue.clear();
  }

  /** A segment for this connection: a TCP header at `tcp`, payload up to `end`. Its checksum is right and its length was checked. */
  segmentArrived(bytes: Uint8Array, tcp: number, end: number): void {
    switch (this.#state) {
      case "CLOSED":
        return this.#drop("tcpUnacceptable");
      case "LISTEN":
        return this.#arrivedInListen(bytes, tcp);
      case "SYN-SENT":
        return this.#arrivedInSynSent(bytes, tcp, end);
      default:
        return this.#arrived(bytes, tcp, end);
    }
  }

  /** The wheel calls: something is due. */
  timerFired(now: number): void {
    if (this.#state === "TIME-WAIT") {
      if (now >= this.#timeWaitUntil) {
        this.leaveTimeWait();
        return this.#user.tcpTimeWaitOver();
      }
      return this.#schedule();
    }
    if (this.#ended) return;
    if (this.#output.retransmitAt >= 0 && now >= this.#output.retransmitAt) this.#retransmitTimeout(now);
    else if (this.#output.retransmitAt < 0 && now >= this.#silence.probeAt && isSynchronized(this.#state)) {
      this.#keepAlive();
    }
    this.#schedule();
  }

  // --- arrival (RFC 9293 section 3.10.7) ---

  #arrivedInListen(bytes: Uint8Array, tcp: number): void {
    const flags = tcpFlags(bytes, tcp);
    if (flags & TCP_RST) {
      const seq = tcpSeq(bytes, tcp);
      if (seq !== this.receive.next && seq !== this.receive.initial) return this.#drop("tcpUnacceptable");
      this.#move("receiveReset");
      this.#end("reset");
    } else if ((flags & (TCP_SYN | TCP_ACK)) !== TCP_SYN) {
      this.#drop("tcpUnacceptable");
    } else if (tcpSeq(bytes, tcp) === this.receive.initial) {
      this.#drop("tcpRepeated");
    } else {
      // The peer has begun anew.
      this.#takeSyn(bytes, tcp);
    }
  }

  #arrivedInSynSent(bytes: Uint8Array, tcp: number, end: number): void {
    const flags = tcpFlags(bytes, tcp), ack = tcpAck(bytes, tcp), hasAck = (flags & TCP_ACK) !== 0;
    const acceptable = hasAck && ack === this.send.next;
    if (hasAck && !acceptable) {
      this.#drop("tcpAckUnacceptable");
      if (!(flags & TCP_RST)) this.#out.reset(ack, false);
      return;
    }
    if (flags & TCP_RST) {
      if (!acceptable) return this.#drop("tcpUnacceptable");
      this.#move("receiveReset");
      return this.#end("refused");
    }
    if (!(flags & TCP_SYN)) return this.#drop(hasAck ? "tcpUnacceptable" : "tcpWithoutAck");
    this.#silence.heard();
    this.#takeSyn(bytes, tcp);
    if (!acceptable) {
      this.#move("receiveSyn");
      return this.#sendSyn();
    }
    this.#move("receiveSynAck");
    this.#countAcknowledged(ack);
    this.#opened();
    this.#ackLater();
    this.#takePayload(bytes, tcp, end);
  }

  #arrived(bytes: Uint8Array, tcp: number, end: number): void {
    const flags = tcpFlags(bytes, tcp), seq = tcpSeq(bytes, tcp), receive = this.receive;
    const length = end - tcp - tcpHeaderLength(bytes, tcp) + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0);
    if (this.#state === "SYN-RECEIVED" && (flags & (TCP_SYN | TCP_RST)) === TCP_SYN && seq === receive.initial) {
      this.#drop("tcpRepeated");
      return this.#repeatSynAck(bytes, tcp, flags);
    }
    // A full window still lets ACK and RST through at RCV.NXT (section 3.10.7.4).
    const atShutWindow = receive.window === 0 && seq === receive.next;
    if (receive.refuses(seq, length) && !atShutWindow) {
      // Below RCV.NXT by one and without news: a keep-alive probe, whose effect is its answer where it is given one.
      const isProbe = length <= 1 && !(flags & (TCP_FIN | TCP_RST)) && seq === seqAdd(receive.next, -1);
      const isAnswered = !(flags & TCP_RST) && this.#answerUnacceptable(length);
      if (!isProbe || !isAnswered) this.#drop(seqLess(seq, receive.next) ? "tcpRepeated" : "tcpUnacceptable");
      return;
    }
    if (flags & TCP_RST) {
      // RFC 1337: a RST does not cut TIME-WAIT short.
      if (this.#state === "TIME-WAIT") return this.#drop("tcpUnacceptable");
      if (seq === receive.next) {
        this.#move("receiveReset");
        return this.#end("reset");
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
    if (this.#ended) return;
    if (atShutWindow && length > 0) {
      // A probe of our shut window, or data that it does not let in.
      if (length > 1) this.#drop("tcpUnacceptable");
      this.#out.ack();
    } else this.#takePayload(bytes, tcp, end);
    this.#sendDue();
  }

  /** The peer has not heard our SYN-ACK, or opens at the same time as we do. */
  #repeatSynAck(bytes: Uint8Array, tcp: number, flags: number): void {
    this.#silence.heard();
    if (flags & TCP_ACK && tcpAck(bytes, tcp) === this.send.next) {
      this.#synAcknowledged(tcpAck(bytes, tcp), bytes, tcp);
      return this.#out.ack();
    }
    this.#sendSyn();
  }

  /** A segment outside the window: the peer learns where we stand (section 3.10.7.4), or its keep-alive probe is answered. Returns whether it was. */
  #answerUnacceptable(length: number): boolean {
    if (this.#state === "TIME-WAIT") this.#startTimeWait();
    if (this.#state === "SYN-RECEIVED") return this.#out.challenge();
    this.#silence.heard();
    if (length === 0) return this.#out.challenge();
    this.#out.ack();
    return true;
  }

  /** The ACK field. Returns whether the rest of the segment counts. */
  #takeAck(bytes: Uint8Array, tcp: number, length: number): boolean {
    const send = this.send, ack = tcpAck(bytes, tcp);
    if (this.#state === "SYN-RECEIVED") {
      if (ack !== send.next) {
        this.#drop("tcpAckUnacceptable");
        this.#out.reset(ack, false);
        return false;
      }
      this.#silence.heard();
      this.#synAcknowledged(ack, bytes, tcp);
      return !this.#ended;
    }
    if (!send.covers(ack)) {
      // Old ACKs down to the largest window ever offered are mere duplicates (RFC 5961 section 5.2).
      if (seqLess(send.una, ack) || seqLess(ack, seqAdd(send.una, -Math.max(send.maxWindow, 0xffff)))) {
        this.#drop("tcpAckUnacceptable");
        this.#out.challenge();
        return false;
      }
      this.#silence.heard();
      return true;
    }
    this.#silence.heard();
    if (this.#state === "TIME-WAIT") return true;
    const news = this.#takeSackBlocks(bytes, tcp);
    const windowBefore = send.window;
    const grew = send.updateWindow(tcpSeq(bytes, tcp), ack, tcpWindow(bytes, tcp));
    if (seqLess(send.una, ack)) {
      this.#acknowledged(ack);
    } else if (news || (length === 0 && send.window === windowBefore)) {
      send.duplicate(news);
    } else if (grew && (send.flight === 0 || windowBefore === 0)) {
      // A shut window has opened: what it refused is sent now, not when the backed-off timer comes round.
      send.windowOpened();
      this.#output.retransmitAt = -1;
    }
    if (!this.#ended && mayWrite(this.#state)) this.#user.tcpSendRoom();
    return true;
  }

  #synAcknowledged(ack: number, bytes: Uint8Array, tcp: number): void {
    this.#countAcknowledged(ack);
    // The window of a SYN, here of a simultaneous open, is never scaled (RFC 7323 section 2.2).
    const shift = tcpFlags(bytes, tcp) & TCP_SYN ? 0 : this.send.shift;
    this.send.startWindow(tcpSeq(bytes, tcp), ack, tcpWindow(bytes, tcp) << shift);
    this.#move("receiveAckOfSyn");
    this.#opened();
  }

  #countAcknowledged(ack: number): void {
    const now = this.#context.now(), since = this.#output.waitingSince;
    this.send.acknowledged(ack, now, since < 0 ? 0 : now - since);
  }

  #acknowledged(ack: number): void {
    this.#countAcknowledged(ack);
    this.#output.acknowledged(this.#context.now());
    this.#schedule();
    // A probe may have carried the FIN past SND.NXT.
    if (this.send.finAcknowledged) {
      this.#move("receiveAckOfFin");
      if (this.#state === "CLOSED") return this.#end("finished");
      if (this.#state === "TIME-WAIT") return this.#enterTimeWait();
    }
    if (this.#resetWhenSent && this.send.queue.length === 0) this.#abort("aborted");
  }

  #takeSackBlocks(bytes: Uint8Array, tcp: number): boolean {
    if (!this.send.sackPermitted || tcpHeaderLength(bytes, tcp) === 20) return false;
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
    const receive = this.receive, flags = tcpFlags(bytes, tcp);
    const start = tcp + tcpHeaderLength(bytes, tcp), seq = seqAdd(tcpSeq(bytes, tcp), flags & TCP_SYN ? 1 : 0);
    if (!mayReceive(this.#state)) {
      // Data after the peer's FIN is ignored; a repeated FIN is acknowledged again.
      if (start < end || flags & TCP_FIN) {
        this.#drop(start < end ? "tcpAfterFin" : "tcpRepeated");
        if (this.#state === "TIME-WAIT") this.#startTimeWait();
        this.#out.ack();
      }
      return;
    }
    const ack = receive.take(bytes, start, end, seq, (flags & TCP_FIN) !== 0, this.#user);
    if (ack === ACK_LATER) this.#ackLater();
    // The user may have aborted while it was given the bytes.
    if (this.#ended) return;
    if (receive.finIsNext) this.#takeFin();
    if (ack === ACK_NOW && (!this.#ended || this.#state === "TIME-WAIT")) this.#out.ack();
  }

  #takeFin(): void {
    this.receive.next = seqAdd(this.receive.next, 1);
    this.receive.dropHeld();
    this.#move("receiveFin");
    this.#ackLater();
    this.#user.tcpPeerFinished();
    if (this.#state === "TIME-WAIT") this.#enterTimeWait();
  }

  // --- opening and ending ---

  #takeSyn(bytes: Uint8Array, tcp: number): void {
    readTcpOptions(bytes, tcp, options);
    const peerMss = options.mss < 0 ? MSS_DEFAULT : Math.max(options.mss, MSS_MIN);
    this.send.mss = Math.min(peerMss, this.#lower.maxSegmentSize);
    this.send.sackPermitted = options.sackPermitted;
    this.#out.scaling = options.windowShift >= 0;
    this.send.shift = this.#out.scaling ? options.windowShift : 0;
    this.receive.shift = this.#out.scaling ? windowShift(this.#context.config.receiveLimit) : 0;
    this.receive.open(tcpSeq(bytes, tcp));
    this.receive.offer(this.send.mss);
    // The window of a SYN is never scaled (RFC 7323 section 2.2).
    this.send.startWindow(tcpSeq(bytes, tcp), tcpAck(bytes, tcp), tcpWindow(bytes, tcp));
  }

  #sendSyn(): void {
    this.#output.syn(this.#state === "SYN-RECEIVED");
    this.#schedule();
  }

  #opened(): void {
    this.#output.disarm();
    this.#schedule();
    this.#user.tcpOpened();
    if (this.send.finQueued && this.#state === "ESTABLISHED") this.#move("close");
    this.#sendDue();
  }

  #drop(reason: keyof TcpDrops): void {
    this.#context.drops[reason]++;
  }

  #move(event: TcpEvent): void {
    this.#state = transition(this.#state, event);
  }

  #abort(reason: TcpEnd): void {
    if (this.#ended) return;
    if (this.#state === "SYN-RECEIVED" || isSynchronized(this.#state)) {
      this.#out.reset(this.send.next, true);
    } else if (this.#state === "LISTEN") {
      // Nothing was sent: the RST acknowledges the SYN (section 3.10.7.1).
      this.#out.reset(0, true);
    }
    this.#move("abort");
    this.#end(reason);
  }

  #end(reason: TcpEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#context.timers.cancel(this.#timer);
    this.#output.retransmitAt = -1;
    this.send.clear();
    this.receive.dropHeld();
    this.#user.tcpEnded(reason);
  }

  #enterTimeWait(): void {
    this.#end("finished");
    this.#startTimeWait();
  }

  #startTimeWait(): void {
    this.#timeWaitUntil = this.#context.now() + this.#context.config.timeWaitMs;
    this.#schedule();
  }

  // --- sending ---

  /** Sends what may be sent in this state. */
  #sendDue(): void {
    if (this.#ended || !mayTransmit(this.#state)) return;
    this.#output.run();
    this.#schedule();
  }

  #ackLater(): void {
    this.#out.ackDue = true;
    if (this.#turnDue) return;
    this.#turnDue = true;
    this.#user.tcpTurnDue();
  }

  // --- time ---

  #retransmitTimeout(now: number): void {
    // Far too late: the gateway itself was stopped (^Z), and what the peer has answered since is yet to be read.
    if (now - this.#output.retransmitAt > STOPPED_MS) this.#output.waitingSince = now;
    const limit = this.#silence.limitMs(this.#state, this.send.finSeq >= 0 || this.#resetWhenSent),
      since = this.#waitedSince();
    if (now - since >= limit) return this.#abort("timedOut");
    if (this.#state === "SYN-SENT" || this.#state === "SYN-RECEIVED") {
      this.#output.retransmitAt = -1;
      this.send.rtt.backOff();
      this.#sendSyn();
    } else {
      this.#output.timedOut();
    }
    // The silence ends the connection on time, not at the next backed-off repetition.
    if (this.#output.retransmitAt >= 0) {
      this.#output.retransmitAt = Math.min(
        this.#output.retransmitAt,
        since + limit,
      );
    }
  }

  /** Since when the peer owes an answer; once a RST is to follow what is queued, only what it takes of that is one. */
  #waitedSince(): number {
    const asked = this.#output.waitingSince;
    return this.#resetWhenSent ? asked : Math.max(this.#silence.heardAt, asked);
  }

  #keepAlive(): void {
    if (this.#silence.probe()) this.#out.keepAlive();
    else this.#abort("timedOut");
  }

  /** Arms the timer for the earliest deadline. A later one is left to fire early and look again, so that an ACK costs nothing here. */
  #schedule(): void {
    if (this.#state === "CLOSED") return;
    // While something waits for its answer nobody is probed, however long the silence: that deadline may have passed.
    let at = isSynchronized(this.#state) ? this.#silence.probeAt : Infinity;
    if (this.#output.retransmitAt >= 0) at = this.#output.retransmitAt;
    if (this.#state === "TIME-WAIT") at = this.#timeWaitUntil;
    if (at === Infinity || (this.#timer.armed && this.#timer.deadline <= at)) return;
    this.#context.timers.schedule(this.#timer, at);
  }
}
