/**
 * Who may use how much of a turn: deficit round robin by time.
 *
 * **Goal.** A frame costs from a third of a microsecond to fifty: one that is dropped, one that makes the host open a
 * socket. So neither frames nor bytes tell how long one guest keeps the others waiting; the clock does.
 *
 * **Parties.** A party is a guest: its link and the host sockets of its flows. What the loop does for them is charged
 * to it. Every turn grants a party `SHARE_MS`; a party that has used more owes that, and its watches wait for later
 * turns until the debt is paid. What it has left is not saved. Work at the end of a turn, which no watch causes, is
 * charged in proportion to what each party has used in it. The ready watches of each party wait in a queue of their own
 * (`watch.ts`).
 *
 * **Alone.** As long as only one party has worked for `ALONE_MS`, nothing is measured, and a turn may last `LONE_MS`:
 * bulk of one guest keeps its large turns. A party that comes waits that long once.
 *
 * **Within a watch** only what can go on for long asks the clock, by `isOver`, once every `FRAMES_PER_LOOK` small
 * frames or `BYTES_PER_LOOK` bytes: a look costs a tenth of a microsecond.
 *
 * @module
 */

/** Milliseconds of a turn that one of several parties may use. */
export const SHARE_MS = 0.25;
/** Milliseconds that a turn of a party that is alone may last. */
export const LONE_MS = 4;
/** How long in milliseconds only one party must have worked to be alone. */
export const ALONE_MS = 50;

/** Milliseconds of the end of a turn that are charged at most for one that a party has used: the rest is chance. */
const MOST_REST = 2;
const FRAMES_PER_LOOK = 8;
const BYTES_PER_LOOK = 1 << 14;
const BYTES_PER_FRAME = BYTES_PER_LOOK / FRAMES_PER_LOOK;

/** A party's part of the turns of one loop. */
export class TurnShare {
  readonly #shares: TurnShares;
  /** Milliseconds that it may still use; below 0 it owes. */
  #left = SHARE_MS;
  /** The turn up to which it was granted time. */
  #turn = 0;
  /** Milliseconds used in the turn under way. */
  #used = 0;
  #until = 0;
  #look = 0;

  /** Called by `TurnShares.join`. */
  constructor(shares: TurnShares) {
    this.#shares = shares;
  }

  /** Whether it is a party of this loop. */
  isOf(shares: TurnShares): boolean {
    return shares === this.#shares;
  }

  /** For who works for a party: whether it has to stop for now, after a frame of `length` bytes. */
  isOver(length: number): boolean {
    this.#look += 1 + length / BYTES_PER_FRAME;
    if (this.#look < FRAMES_PER_LOOK) return false;
    this.#look = 0;
    return this.#shares.now() >= this.#until;
  }

  /** Whether it may work on in this turn. */
  get hasTime(): boolean {
    return this.#left > 0;
  }

  /** For the loop: begins to work for the party at `now`. Returns false if it has to wait for a later turn. */
  begin(now: number): boolean {
    const { turn, isShared, began } = this.#shares;
    this.#shares.works(this);
    if (!isShared) {
      this.#until = began + LONE_MS;
      return true;
    }
    if (this.#turn !== turn) {
      this.#left = Math.min(SHARE_MS, this.#left + (turn - this.#turn) * SHARE_MS);
      this.#turn = turn;
      this.#used = 0;
    }
    this.#until = now + this.#left;
    this.#look = 0;
    return this.#left > 0;
  }

  /** For the loop: the party has worked from `from` to `to`. */
  charge(from: number, to: number): void {
    if (!this.#shares.isShared) return;
    if (this.#used === 0) this.#shares.charged.push(this);
    this.#left -= to - from;
    this.#used += to - from;
    this.#shares.used += to - from;
  }

  /** For `TurnShares`: charges `rate` for each millisecond that was used in this turn. */
  chargeRest(rate: number): void {
    this.#left -= this.#used * rate;
  }
}

/** The parties of one loop. */
export class TurnShares {
  /** The number of the turn under way. */
  turn = 0;
  /** When it began. */
  began = 0;
  /** Whether more than one party has worked lately. */
  isShared = false;
  /** Milliseconds that were charged in this turn. */
  used = 0;
  /** Who was charged in this turn. */
  readonly charged: TurnShare[] = [];
  /** Monotonic milliseconds. */
  readonly now: () => number;
  #last: TurnShare | undefined;
  #changedAt = -Infinity;

  /** Without a party. */
  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /** `payer` if it is a party of this loop. */
  find(payer: object | undefined): TurnShare | undefined {
    return payer instanceof TurnShare && payer.isOf(this) ? payer : undefined;
  }

  /** A new party. */
  join(): TurnShare {
    return new TurnShare(this);
  }

  /** `share` works: notes whether that is another one than before. */
  works(share: TurnShare): void {
    if (share === this.#last) return;
    if (this.#last !== undefined) this.#changedAt = this.began;
    this.#last = share;
  }

  /** A turn begins. */
  begin(now: number): void {
    this.turn++;
    this.began = now;
    this.isShared = now - this.#changedAt < ALONE_MS;
  }

  /** It ends: what nobody was charged for is shared out. */
  end(): void {
    if (this.used > 0) {
      const rate = Math.min(MOST_REST, (this.now() - this.began) / this.used - 1);
      for (const share of this.charged) share.chargeRest(rate);
    }
    this.charged.length = 0;
    this.used = 0;
  }
}
