/**
 * The deadlines of a connection, for all of which one timer of the gateway's wheel stands.
 *
 * **Retransmission** (RFC 6298) or, if the peer's window is shut and nothing is on its way, persist (RFC 9293 section
 * 3.8.6.1): both use the backed-off timeout, which `output.ts` arms. Neither gives up while the peer answers; after
 * `userTimeoutMs` of silence, or `lastAckTimeoutMs` once our FIN was sent, the connection ends.
 *
 * **Keep-alive.** An idle connection is probed after `keepAliveMs` (section 3.8.4). While something waits for its
 * answer nobody is probed. **TIME-WAIT** lasts `timeWaitMs`.
 *
 * The timer is armed for the earliest deadline. A later one is left to fire early and look again, so that an ACK costs
 * nothing here.
 *
 * @module
 */
import { type Timed, Timer } from "../base/timers.ts";
import type { TcpContext } from "./context.ts";
import type { Output } from "./output.ts";
import type { SendSide } from "./send_side.ts";
import { Silence } from "./silence.ts";
import { isSynchronized, type TcpState } from "./transitions.ts";

/** A retransmission deadline that is met so late was missed because the gateway did not run, in milliseconds. */
export const STOPPED_MS = 5000;

/** Whose deadlines they are. */
export interface DeadlineUser {
  /** The state by its RFC 9293 name. */
  readonly state: TcpState;
  /** Whether the connection has ended; TIME-WAIT may be left of it. */
  readonly hasEnded: boolean;
  /** Whether RST follows once everything queued is acknowledged. */
  readonly resetsWhenSent: boolean;
  /** The SYN is due again. */
  synDue(): void;
  /** An idle peer is to be probed. */
  probeDue(): void;
  /** The peer has not answered for `UNANSWERED_MS`, and something was sent to it again. */
  peerUnanswering(): void;
  /** The peer was silent for too long. */
  peerSilent(): void;
  /** TIME-WAIT has passed. */
  timeWaitOver(): void;
}

/** Time in milliseconds after which a peer that does not answer may be somewhere else by now. */
const UNANSWERED_MS = 1000;

/** The state of what `Deadlines` itself keeps. The timer is none: `schedule` arms it from what all records say. */
export interface DeadlinesRecord {
  /** When TIME-WAIT is over, in `now()` time; -1 before it. */
  timeWaitUntil: number;
}

/** The deadlines of one connection. */
export class Deadlines implements Timed {
  /** All of its state but the silence. */
  readonly record: DeadlinesRecord = { timeWaitUntil: -1 };
  /** How long the peer has been silent. */
  readonly silence: Silence;

  #context: TcpContext;
  #user: DeadlineUser;
  #send: SendSide;
  #output: Output;
  #timer = new Timer(this);

  /** None yet, but that of an idle peer. */
  constructor(context: TcpContext, parts: { user: DeadlineUser; send: SendSide; output: Output }) {
    this.#context = context;
    this.#user = parts.user;
    this.#send = parts.send;
    this.#output = parts.output;
    this.silence = new Silence(context);
  }

  /** TIME-WAIT begins, or begins again. */
  startTimeWait(): void {
    this.record.timeWaitUntil = this.#context.now() + this.#context.config.timeWaitMs;
    this.schedule();
  }

  /** Nothing is due any more. */
  cancel(): void {
    this.#context.timers.cancel(this.#timer);
  }

  /** Arms the timer for the earliest deadline. */
  schedule(): void {
    const { retransmitAt } = this.#output.record, { state } = this.#user;
    let at = Infinity;
    if (retransmitAt >= 0) at = retransmitAt;
    else if (state === "TIME-WAIT") at = this.record.timeWaitUntil;
    else if (isSynchronized(state)) at = this.silence.probeAt;
    if (at < this.#timer.deadline) this.#context.timers.schedule(this.#timer, at);
  }

  /** The wheel calls: something is due. */
  timerFired(now: number): void {
    const user = this.#user, { retransmitAt } = this.#output.record;
    if (user.state === "TIME-WAIT") return now >= this.record.timeWaitUntil ? user.timeWaitOver() : this.schedule();
    if (user.hasEnded) return;
    if (retransmitAt >= 0 && now >= retransmitAt) this.#retransmissionDue(now);
    else if (retransmitAt < 0 && now >= this.silence.probeAt && isSynchronized(user.state)) {
      if (!this.silence.probe()) return user.peerSilent();
      user.probeDue();
      user.peerUnanswering();
    }
    this.schedule();
  }

  #retransmissionDue(now: number): void {
    const output = this.#output, { record } = output, { state, resetsWhenSent } = this.#user;
    // Far too late: the gateway itself was stopped (^Z), and what the peer has answered since is yet to be read.
    if (now - record.retransmitAt > STOPPED_MS) record.waitingSince = now;
    const endsSoon = this.#send.record.finSeq >= 0 || resetsWhenSent;
    const limit = this.silence.limitMs(state, endsSoon), since = this.#waitedSince();
    if (now - since >= limit) return this.#user.peerSilent();
    if (state === "SYN-SENT" || state === "SYN-RECEIVED") {
      record.retransmitAt = -1;
      this.#send.rtt.backOff();
      this.#user.synDue();
    } else {
      output.timedOut();
    }
    if (now - since >= UNANSWERED_MS) this.#user.peerUnanswering();
    // The silence ends the connection on time, not at the next backed-off repetition.
    if (record.retransmitAt >= 0) record.retransmitAt = Math.min(record.retransmitAt, since + limit);
  }

  /** Since when the peer owes an answer; once a RST is to follow what is queued, only what it takes of that is one. */
  #waitedSince(): number {
    const asked = this.#output.record.waitingSince;
    return this.#user.resetsWhenSent ? asked : Math.max(this.silence.record.heardAt, asked);
  }
}
