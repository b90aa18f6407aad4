/**
 * Descriptors in an event loop, and which of those that are ready are called in a turn.
 *
 * What is ready is kept as bits in the `Watch`, beside the bits that the owner is interested in. While both have a bit
 * in common the watch is listed, and its handler is called in the next turn.
 *
 * **Fair turns.** There is a list for each party, and one for watches that are nobody's (`turn_shares.ts`). In a turn
 * each list is gone through, that of a party as far as its time allows. What is left of it comes first in a later turn.
 * So a party that owes time costs the turn nothing, however many of its watches are ready.
 *
 * @module
 */
import type { TurnShare, TurnShares } from "./turn_shares.ts";

/** `Watch` bits: reading would not wait. The value of `READ`. */
export const READABLE = 1;
/** `Watch` bits: writing would not wait. The value of `WRITE`. */
export const WRITABLE = 2;
/** `Watch` bits: an error is pending. */
export const BROKEN = 4;
/**
 * `Watch` bits: something follows the bytes that a read takes (the end, an error, an urgent mark), so a short read does
 * not mean that there is no more. Stays set.
 */
export const MORE_BEHIND = 8;

/** Who is told that a descriptor is ready. */
export interface WatchHandler {
  /** Called once a turn while `due`, the bits that are both ready and of interest, is not 0. Never throws. */
  ready(due: number): void;
}

/** Ready watches of one party, or of nobody. */
export class WatchQueue {
  /** Whose time their handlers take. */
  readonly share: TurnShare | undefined;
  /** The first of them. */
  head: Watch | undefined;
  /** The last of them. */
  tail: Watch | undefined;
  /** Whether it is among those that the next turn goes through. */
  isDue = false;

  /** Without a watch. */
  constructor(share: TurnShare | undefined) {
    this.share = share;
  }
}

/** What a watch is made with. */
export interface WatchPlace {
  /** Whether the kernel keeps the ready bits. */
  readonly level: boolean;
  /** Where it stands in the loop's table. */
  readonly slot: number;
  /** Tells it from earlier ones at the same place. */
  readonly serial: number;
  /** Told when it is ready and not listed. */
  readonly enlist: (watch: Watch) => void;
}

/** A descriptor in an `EventLoop`; made by `EventLoop.watch`. */
export class Watch {
  /** The descriptor; -1 for a watch that is only ever raised by hand. */
  readonly fd: number;
  /** What is ready, as far as known. */
  ready = 0;
  /** What the handler is called for; changed by `setInterest`. */
  interest = 0;
  /** Whether the loop has let go of it. */
  released = false;
  /** For the loop: whom to call. */
  readonly handler: WatchHandler;
  /** For the loop: see `WatchPlace`. */
  readonly level: boolean;
  /** For the loop: see `WatchPlace`. */
  readonly slot: number;
  /** For the loop: see `WatchPlace`. */
  readonly serial: number;
  /** For the loop: where it waits once it is ready; `undefined`: where what is nobody's does. */
  queue: WatchQueue | undefined;
  /** For the loop: whether it waits in a queue. */
  listed = false;
  /** For the loop: the next in that queue. */
  next: Watch | undefined = undefined;
  readonly #enlist: (watch: Watch) => void;

  /** Called by `EventLoop.watch`. */
  constructor(fd: number, handler: WatchHandler, place: WatchPlace) {
    this.fd = fd;
    this.handler = handler;
    this.level = place.level;
    this.slot = place.slot;
    this.serial = place.serial;
    this.#enlist = place.enlist;
  }

  /** Says what the handler is called for: bits of `READABLE`, `WRITABLE`, `BROKEN`. No system call. */
  setInterest(interest: number): void {
    this.interest = interest;
    if ((this.ready & interest) !== 0 && !this.listed) this.#enlist(this);
  }

  /** Takes bits for ready that the kernel did not report: the handler is called soon, never from within this. */
  raise(bits: number): void {
    this.ready |= bits;
    if ((this.ready & this.interest) !== 0 && !this.listed) this.#enlist(this);
  }
}

/** The ready watches of a loop. */
export class ReadyWatches {
  #shares: TurnShares;
  #queues = new WeakMap<TurnShare, WatchQueue>();
  #nobodys = new WatchQueue(undefined);
  #due: WatchQueue[] = [];
  #passing: WatchQueue[] = [];

  /** None yet. */
  constructor(shares: TurnShares) {
    this.#shares = shares;
  }

  /** Whether there is none. */
  get isEmpty(): boolean {
    return this.#due.length === 0;
  }

  /** Where watches of this party wait. */
  queueOf(share: TurnShare): WatchQueue {
    let queue = this.#queues.get(share);
    if (queue === undefined) this.#queues.set(share, queue = new WatchQueue(share));
    return queue;
  }

  /** Takes one in that is not listed. */
  add(watch: Watch): void {
    const queue = watch.queue ?? this.#nobodys;
    watch.listed = true;
    if (queue.tail) queue.tail.next = watch;
    else queue.head = watch;
    queue.tail = watch;
    this.#wait(queue);
  }

  /** Calls the handlers of this turn, which began at `now`. */
  call(now: number): void {
    const passing = this.#due;
    this.#due = this.#passing;
    this.#passing = passing;
    for (let i = 0; i < passing.length; i++) {
      const queue = passing[i]!;
      queue.isDue = false;
      if (queue.share === undefined) this.#callAll(queue);
      else if (this.#shares.isShared) this.#callInTime(queue, queue.share);
      else if (queue.share.begin(now)) this.#callAll(queue);
    }
    passing.length = 0;
  }

  #wait(queue: WatchQueue): void {
    if (queue.isDue) return;
    queue.isDue = true;
    this.#due.push(queue);
  }

  #callAll(queue: WatchQueue): void {
    let watch = queue.head;
    queue.head = queue.tail = undefined;
    while (watch) watch = this.#callOne(watch);
  }

  #callInTime(queue: WatchQueue, share: TurnShare): void {
    const shares = this.#shares;
    let now = shares.now(), watch = queue.head;
    if (!share.begin(now)) return this.#wait(queue);
    const last = queue.tail;
    queue.head = queue.tail = undefined;
    while (watch && share.hasTime) {
      watch = this.#callOne(watch);
      const ended = shares.now();
      share.charge(now, ended);
      now = ended;
    }
    if (!watch) return;
    // What was called and is ready again comes behind what was not.
    last!.next = queue.head;
    queue.head = watch;
    queue.tail ??= last;
    this.#wait(queue);
  }

  /** Calls one that was taken out of its queue, and returns what stood behind it. */
  #callOne(watch: Watch): Watch | undefined {
    const { next } = watch;
    watch.next = undefined;
    watch.listed = false;
    const due = watch.released ? 0 : watch.ready & watch.interest;
    if (due === 0) return next;
    if (watch.level) watch.ready = 0;
    watch.handler.ready(due);
    if ((watch.ready & watch.interest) !== 0 && !watch.released && !watch.listed) this.add(watch);
    return next;
  }
}
