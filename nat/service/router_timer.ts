/**
 * When the router speaks: at the times of RFC 4861 section 6.2.
 *
 * - **Unasked**, to everyone on the link, after a random time from `LEAST_INTERVAL_MS` to `MOST_INTERVAL_MS`; the first
 *   few times sooner (section 6.2.4).
 * - **Asked** by a host that has an address, to that address at once. The delay that section 6.2.6 wants keeps the
 *   answers of several routers apart, and here is only one. A host without an address is answered by an advertisement
 *   to everyone, and of those there is at most one in `ASKED_PAUSE_MS`.
 * - **Unasked, to a host that has just come up**, to everyone: who reports a group but has no address yet would ask
 *   only when it knows that its link-local address is free, which takes Linux one to two seconds. The same pause holds.
 * - **When something has changed**, to everyone, at once, but no more often than every `CHANGED_PAUSE_MS`: a route of
 *   the host that comes and goes all the time does not become a flood.
 *
 * The router is silent until its guest has spoken IPv6. A guest that does not know IPv6 is left in peace, and one that
 * does says so as soon as its link is up: it reports the group of its address, then asks whether that is free. With the
 * first of these the first advertisement goes out, before the guest asks for it.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { type Timed, Timer, type TimerWheel } from "../base/timers.ts";

/** Most time in milliseconds between two advertisements: `MaxRtrAdvInterval`. */
export const MOST_INTERVAL_MS = 600_000;
/** Least time between two that nothing has caused: `MinRtrAdvInterval`. */
export const LEAST_INTERVAL_MS = 198_000;
/** Count of advertisements that follow each other sooner: `MAX_INITIAL_RTR_ADVERTISEMENTS`. */
export const FIRST_ADVERTISEMENTS = 3;
/** Most time between these: `MAX_INITIAL_RTR_ADVERT_INTERVAL`. */
export const FIRST_INTERVAL_MS = 16_000;
/** Least time between two to everyone of which a host has asked for the second: `MIN_DELAY_BETWEEN_RAS`. */
export const ASKED_PAUSE_MS = 3000;
/** Least time between two to everyone because something has changed. */
export const CHANGED_PAUSE_MS = 1000;

/** What the router's clock needs. */
export interface RouterTimerParts {
  /** The timers that it shares. */
  readonly timers: TimerWheel;
  /** Monotonic milliseconds. */
  now(): number;
  /** An unpredictable unsigned 32-bit number. */
  random(): number;
  /** Sends an advertisement to `to`; null: to everyone on the link. */
  advertise(to: IpAddress | null): void;
}

/** Says when a router advertises itself to one guest. */
export class RouterTimer implements Timed {
  #parts: RouterTimerParts;
  #timer: Timer = new Timer(this);
  /** Advertisements that follow sooner than the rest. */
  #firstLeft = 0;
  /** When everyone was last told. */
  #toldAt = -Infinity;

  /** Silent until `begin`. */
  constructor(parts: RouterTimerParts) {
    this.#parts = parts;
  }

  /** The guest speaks IPv6. The first time everyone is told at the end of this turn. */
  begin(): void {
    if (this.#timer.armed) return;
    this.#firstLeft = FIRST_ADVERTISEMENTS;
    this.#tellBy(this.#parts.now());
  }

  /** A host has asked, from an address or without one. */
  solicited(from: IpAddress | null): void {
    this.begin();
    const now = this.#parts.now();
    if (from === null) return this.#tellBy(Math.max(now, this.#toldAt + ASKED_PAUSE_MS));
    // What everyone is about to be told is the answer.
    if (this.#timer.deadline > now) this.#parts.advertise(from);
  }

  /** A host that has no address yet speaks: its link has come up. */
  cameUp(): void {
    this.begin();
    const now = this.#parts.now();
    if (now >= this.#toldAt + ASKED_PAUSE_MS) this.#tellBy(now);
  }

  /** What is advertised has changed. */
  changed(): void {
    if (!this.#timer.armed) return;
    this.#firstLeft = FIRST_ADVERTISEMENTS;
    this.#tellBy(Math.max(this.#parts.now(), this.#toldAt + CHANGED_PAUSE_MS));
  }

  /** The link has ended. */
  dispose(): void {
    this.#parts.timers.cancel(this.#timer);
  }

  /** It is time. */
  timerFired(now: number): void {
    this.#toldAt = now;
    this.#parts.advertise(null);
    const interval = LEAST_INTERVAL_MS + (MOST_INTERVAL_MS - LEAST_INTERVAL_MS) * (this.#parts.random() / 2 ** 32);
    this.#firstLeft = Math.max(0, this.#firstLeft - 1);
    const next = now + (this.#firstLeft > 0 ? Math.min(interval, FIRST_INTERVAL_MS) : interval);
    this.#parts.timers.schedule(this.#timer, next);
  }

  #tellBy(deadline: number): void {
    if (deadline < this.#timer.deadline) this.#parts.timers.schedule(this.#timer, deadline);
  }
}
