/**
 * What every flow of datagrams is, whoever began it: counts, and a time after which it ends.
 *
 * **Time.** A flow ends when it has not been used for `lifeMs`. One timer tells: it is not moved by a datagram, it
 * looks at the last use when it fires.
 *
 * @module
 */
import { formatEndpoint } from "../../net/wire/address.ts";
import type { FlowEnding } from "../flow/endings.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { RelayContext } from "../flow/relay_context.ts";
import {
  type Flow,
  type FlowInfo,
  type FlowJudge,
  type FlowPlace,
  type ForwardTarget,
  type GuestSide,
  NOWHERE,
} from "../flow/flow.ts";
import { type Timed, Timer } from "../base/timers.ts";
import type { FlowPermit } from "../rules/verdict.ts";

/** The state of a flow of datagrams, times in `now()` time. */
export interface DatagramRecord {
  /** When it began. */
  readonly since: number;
  /** When it was last used. */
  usedAt: number;
  /** When a datagram of the guest came last, or the flow began. */
  heardAt: number;
  /** Whether the guest knows of it. */
  known: boolean;
  /** Whether a datagram has passed. */
  opened: boolean;
  /** Whether it is over. */
  ended: boolean;
  /** Whether its only datagram is one that was refused over another family. */
  isRetry: boolean;
  /** Datagrams of the guest. */
  fromGuest: number;
  /** Datagrams of the host. */
  fromHost: number;
  /** Payload bytes that the host took. */
  bytesFromGuest: number;
  /** Payload bytes that were sent to the guest. */
  bytesToGuest: number;
}

/** A flow without connections. */
export abstract class DatagramFlow implements Flow, Timed {
  /** The flow's key. */
  readonly key: FlowKey;
  /** The forward whose client began; `null`: the guest did. */
  abstract readonly forward: ForwardTarget | null;
  /** The gateway. */
  protected readonly context: RelayContext;
  /** The guest. */
  readonly guest: GuestSide;
  /** Where it is found. */
  place: FlowPlace = NOWHERE;
  /** All of its state but the values that name it; the timer is armed from it. */
  readonly record: DatagramRecord;
  #timer: Timer;

  /** A flow without a datagram. */
  constructor(context: RelayContext, flow: { guest: GuestSide; key: FlowKey; known: boolean }) {
    this.context = context;
    this.guest = flow.guest;
    this.key = flow.key;
    const now = context.now();
    this.record = {
      since: now,
      usedAt: now,
      heardAt: now,
      known: flow.known,
      opened: false,
      ended: false,
      isRetry: false,
      fromGuest: 0,
      fromHost: 0,
      bytesFromGuest: 0,
      bytesToGuest: 0,
    };
    this.#timer = new Timer(this);
  }

  /** How long it lives after its last datagram, in milliseconds; may grow. */
  protected abstract get lifeMs(): number;

  /** What is different about it in `flows()`. */
  protected abstract describe(): Pick<FlowInfo, "protocol" | "target" | "host">;

  /** Gives back what it holds. */
  protected abstract release(): void;

  /** No rule concerns clients of forwards, and peers of mappings have permits of their own. */
  get permit(): FlowPermit | null {
    return null;
  }

  /** Whether the guest knows of it. */
  get known(): boolean {
    return this.record.known;
  }

  /** Payload bytes that the host took. */
  get bytesFromGuest(): number {
    return this.record.bytesFromGuest;
  }

  /** Payload bytes that were sent to the guest. */
  get bytesToGuest(): number {
    return this.record.bytesToGuest;
  }

  /** Whose time the host's work for it takes. */
  get payer(): object | undefined {
    return this.guest.payer;
  }

  /** It is over: whoever keeps it in a list of its own forgets it. */
  protected forget(_ending: FlowEnding): void {}

  /** Begins to wait for its end. */
  open(): void {
    this.#arm();
  }

  /** What `flows()` shows. */
  info(): FlowInfo {
    const { record } = this, now = this.context.now();
    return {
      number: this.place.number,
      ...this.describe(),
      guestNumber: this.key.guest,
      guest: formatEndpoint(this.key.guestAddress, this.key.guestPort),
      openedBy: this.forward === null ? "guest" : "host",
      state: "open",
      bytesFromGuest: record.bytesFromGuest,
      bytesToGuest: record.bytesToGuest,
      bytesToHost: record.bytesFromGuest,
      bytesFromHost: record.bytesToGuest,
      retransmissions: 0,
      ageMs: now - record.since,
      idleMs: now - record.usedAt,
    };
  }

  /** It may have been idle for long enough. */
  timerFired(now: number): void {
    if (now - this.record.usedAt >= this.lifeMs) this.abort("idle");
    else this.#arm();
  }

  /** Gives back what it holds and is forgotten. */
  abort(ending: FlowEnding): void {
    if (this.record.ended) return;
    this.record.ended = true;
    this.context.timers.cancel(this.#timer);
    this.release();
    this.forget(ending);
    this.context.registry.ended(this, ending);
  }

  /** No rule concerns it. */
  rejudge(_judge: FlowJudge): number {
    return 0;
  }

  /** Datagrams leave at once: nothing is ever due. */
  endTurn(): void {}

  #arm(): void {
    this.context.timers.schedule(this.#timer, this.record.usedAt + this.lifeMs);
  }
}
