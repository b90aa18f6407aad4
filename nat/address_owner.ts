/**
 * Which of several guests has an address that forwards lead to.
 *
 * Every guest's link is a segment of its own: any of them may use any free address, DHCP gives all of them the same
 * one, and no guest's own traffic depends on this file. But a client of a forward must reach one guest. So each address
 * that a forward names has one owner, and so have all forwards that name none.
 *
 * **The owner** is the guest that spoke first from the address; without a named address, the first that spoke at all.
 * It stays the owner while others attach or speak from the same address: nobody takes a forward away from it. It loses
 * the address when its link ends, or when it does not answer ARP for `ANSWER_MS`. Then the newest guest that has the
 * address is the owner. An only guest is always the one that is meant.
 *
 * **When the owner is asked.** When another guest begins to speak from its address; when a client comes although
 * several guests speak from the address, at most once in `ANSWER_MS`; when it leaves a client of a forward without an
 * answer. Any packet from the address is an answer.
 *
 * **Without an owner**, when a client comes, all guests that have spoken from the address are asked, and if none
 * answers all guests: so those that have not spoken do not count beside one that has. Of those that answer the newest
 * wins; the newest of all at once, another one after `SETTLE_MS`, in which a newer one may answer too. While clients
 * wait this is repeated, so that a guest that boots is found.
 *
 * **Clients** wait meanwhile, usually for as long as one ARP answer takes, at most `MAX_SEEKERS` for each address, and
 * no longer than they say.
 *
 * @module
 */
import type { IpAddress } from "../net/wire/address.ts";
import { type Timed, Timer, type TimerWheel } from "./base/timers.ts";
import type { ForwardTarget, GuestSide } from "./flow/flow.ts";
import type { IpFamily } from "./rules/policy.ts";

/** Time in milliseconds in which a guest must answer ARP. */
export const ANSWER_MS = 1000;
/** Time in milliseconds in which a newer guest may answer after another one. */
export const SETTLE_MS = 100;
/** Clients that may wait for one address's owner at once. */
export const MAX_SEEKERS = 256;

/** A guest as forwards see it. */
export interface ForwardGuest extends GuestSide {
  /** The address of a family that it spoke from last, of the subnet if there is one of it; null: none yet. */
  address(family: IpFamily): IpAddress | null;
  /** Whether it has spoken from `address`; from any at all, if that is null. */
  has(address: IpAddress | null): boolean;
  /**
   * Asks whether it has `address`, or, if that is null, the address that it spoke from last or would have by DHCP; its
   * next packet is told of, whatever came before.
   */
  probe(address: IpAddress | null): void;
  /** Asks whether it has `address`, at most once a second. */
  inquire(address: IpAddress): void;
}

/** Who waits for an owner. */
export interface Seeker {
  /** The forward that it came to. */
  readonly forward: ForwardTarget;
  /** In monotonic milliseconds: how long it waits. */
  readonly deadline: number;
  /** This is the owner. */
  found(guest: ForwardGuest): void;
  /** There is none; `why` in words. */
  notFound(why: string): void;
}

/** What an owner needs of the gateway. */
export interface OwnerContext {
  /** The timers that it shares. */
  readonly timers: TimerWheel;
  /** Monotonic milliseconds. */
  now(): number;
  /** The guests that are attached, the newest last. */
  guests(): ForwardGuest[];
}

const NOBODY: readonly ForwardGuest[] = [];

/** The owner of one address, or of none in particular. */
export class AddressOwner implements Timed {
  readonly #context: OwnerContext;
  readonly #address: IpAddress | null;
  readonly #lost: (guest: ForwardGuest) => void;
  readonly #timer = new Timer(this);
  #owner: ForwardGuest | null = null;
  /** Who has spoken from the address, and has answered since if it was asked. */
  #claimants = new Set<ForwardGuest>();
  #confirmedAt = -Infinity;
  /** Who is being asked. */
  #asked: readonly ForwardGuest[] = NOBODY;
  #answered = new Set<ForwardGuest>();
  #seekers = new Set<Seeker>();

  /**
   * The owner of `address`, or of none in particular if that is null. Of guests that have it already the one that
   * attached first is the owner. `lost` is told of an owner that is one no more although it is still attached.
   */
  constructor(
    context: OwnerContext,
    { address, lost }: { address: IpAddress | null; lost: (guest: ForwardGuest) => void },
  ) {
    this.#context = context;
    this.#address = address;
    this.#lost = lost;
    for (const guest of context.guests()) if (guest.has(address)) this.#claimants.add(guest);
    for (const guest of this.#claimants) this.#owner ??= guest;
  }

  /**
   * The guest for a client that comes now. Null: there is none, or it is in question; then the answer is being looked
   * for.
   */
  find(): ForwardGuest | null {
    const guests = this.#context.guests();
    if (guests.length <= 1) return guests[0] ?? null;
    const isDoubtful = this.#claimants.size > 1 && this.#context.now() - this.#confirmedAt >= ANSWER_MS;
    if (this.#owner === null || isDoubtful) this.#ask();
    return this.#isAsking ? null : this.#owner;
  }

  /** The owner, as far as it is known: for a client that cannot wait. */
  get known(): ForwardGuest | null {
    return this.#owner;
  }

  /**
   * After `find` gave nobody: tells `seeker` when the owner is known, or that there is none. Returns whether it may
   * wait.
   */
  wait(seeker: Seeker): boolean {
    if (this.#seekers.size >= MAX_SEEKERS) return false;
    this.#seekers.add(seeker);
    return true;
  }

  /** `seeker` waits no more. */
  leave(seeker: Seeker): void {
    this.#seekers.delete(seeker);
  }

  /** `guest` has spoken from the address. */
  heard(guest: ForwardGuest): void {
    const isNew = !this.#claimants.has(guest);
    if (isNew) this.#claimants.add(guest);
    if (guest === this.#owner) this.#settle(guest);
    else if (this.#owner === null && !this.#isAsking) this.#settle(guest);
    else if (this.#owner === null) this.#answer(guest);
    else if (isNew && this.#context.now() - this.#confirmedAt >= ANSWER_MS) this.#ask();
  }

  /** `guest` does not answer a client. */
  doubt(guest: ForwardGuest): void {
    if (guest !== this.#owner || this.#context.guests().length < 2) return;
    if (this.#context.now() - this.#confirmedAt >= ANSWER_MS) this.#ask();
  }

  /** `guest` is no longer attached. */
  gone(guest: ForwardGuest): void {
    const guests = this.#context.guests();
    this.#claimants.delete(guest);
    this.#answered.delete(guest);
    this.#asked = this.#asked.filter((other) => other !== guest);
    if (guest === this.#owner) {
      this.#stop();
      this.#owner = newest(this.#claimants);
      this.#confirmedAt = -Infinity;
    }
    if (guests.length === 0) this.dismiss(() => true, "there is no guest for it");
    else if (guests.length === 1) this.#settle(guests[0]!, { isHeard: false });
    else if (this.#seekers.size > 0 && !this.#isAsking) this.#ask();
  }

  /** Nobody asks for the address any more. */
  dispose(): void {
    this.#stop();
    this.dismiss(() => true, "the forward is removed");
  }

  /** Those who wait and are meant are told that there is no owner for them. */
  dismiss(isMeant: (seeker: Seeker) => boolean, why: string): void {
    for (const seeker of [...this.#seekers]) {
      if (this.#seekers.has(seeker) && isMeant(seeker)) {
        this.#seekers.delete(seeker);
        seeker.notFound(why);
      }
    }
  }

  /** Those who were asked had their time. */
  timerFired(now: number): void {
    const winner = newest(this.#answered);
    if (winner !== null) return this.#settle(winner);
    const lost = this.#owner;
    this.#owner = null;
    for (const guest of this.#asked) this.#claimants.delete(guest);
    this.#stop();
    if (lost !== null) this.#lost(lost);
    this.dismiss((seeker) => seeker.deadline <= now, "no guest answers ARP for it");
    if (lost !== null || this.#seekers.size > 0) this.#ask();
  }

  get #isAsking(): boolean {
    return this.#timer.armed;
  }

  #ask(): void {
    if (this.#isAsking) return;
    if (this.#owner !== null) this.#asked = [this.#owner];
    else this.#asked = this.#claimants.size > 0 ? [...this.#claimants] : this.#context.guests();
    this.#context.timers.schedule(this.#timer, this.#context.now() + ANSWER_MS);
    for (const guest of this.#asked) guest.probe(this.#address);
  }

  #answer(guest: ForwardGuest): void {
    this.#answered.add(guest);
    const last = newest(this.#asked);
    if (last === null || guest.number >= last.number) return this.#settle(guest);
    const settled = this.#context.now() + SETTLE_MS;
    if (settled < this.#timer.deadline) this.#context.timers.schedule(this.#timer, settled);
  }

  #settle(owner: ForwardGuest, { isHeard = true } = {}): void {
    this.#stop();
    this.#owner = isHeard || this.#claimants.has(owner) ? owner : null;
    if (isHeard) this.#confirmedAt = this.#context.now();
    const seekers = this.#seekers;
    if (seekers.size === 0) return;
    this.#seekers = new Set();
    for (const seeker of seekers) seeker.found(owner);
  }

  #stop(): void {
    this.#context.timers.cancel(this.#timer);
    this.#asked = NOBODY;
    if (this.#answered.size > 0) this.#answered.clear();
  }
}

/** The guest that attached last. */
function newest(guests: Iterable<ForwardGuest>): ForwardGuest | null {
  let last: ForwardGuest | null = null;
  for (const guest of guests) if (last === null || guest.number > last.number) last = guest;
  return last;
}
