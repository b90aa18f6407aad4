/**
 * Timers for many flows: armed, moved and cancelled in constant time, and never looked at before they matter.
 *
 * **Goal.** Every flow has several timers that nearly always are moved or cancelled before they fire. No sweep over all
 * flows tells which are due, no heap is reordered at each acknowledgement, and hours without work cost nothing.
 *
 * **Wheels.** Time is cut into ticks of a millisecond, counted from when the wheel was made. Five wheels of 64 slots
 * each hold the timers of the next 64 ms, 4 s, 4.4 min, 4.7 h and 12.4 days. A timer goes to the finest wheel on whose
 * current turn its tick lies, that is, to the highest group of six bits in which its tick differs from the present one.
 * When the present reaches a slot of a coarse wheel, its timers are dealt out to finer ones. So a timer moves at most
 * four times before it fires. What lies beyond the turn of the coarsest wheel waits in one last slot, which is dealt
 * out at the end of that turn.
 *
 * **Slots** are doubly linked rings through the timers themselves, each closed by a sentinel; a bit for each slot says
 * whether anything is in it. Going forward looks for the lowest bit and jumps there, however far that is.
 *
 * **Precision.** A deadline is any number of milliseconds. A timer fires at the first `advance` to its deadline or past
 * it, never before: timers of the current tick are compared one by one. Those that fire together fire in the order of
 * their ticks, and within a tick in the order in which they were armed.
 *
 * **Callbacks.** `advance` first gathers all that is due and then fires. So a callback may arm and cancel any timer,
 * also one that is about to fire, and one that is armed anew for a time already past waits for the next `advance`: no
 * callback can keep `advance` from returning.
 *
 * **When to come back.** For each slot the earliest deadline ever put in since it was empty is kept. The least of them
 * is what `nextDeadline` answers: exact, unless the timer it belonged to was moved or cancelled while its slot kept
 * others; then it is early and never late. An `advance` to that time finds nothing due and makes it exact again.
 *
 * @module
 */

/** Who is told that a timer has fired. */
export interface Timed {
  /** The deadline has passed and the timer is no longer armed. `now` is the time given to `advance`. */
  timerFired(now: number): void;
}

const GROUP_BITS = 6;
const GROUP_MASK = 63;
const LEVELS = 5;
/** Ticks in a turn of the coarsest wheel. */
const TURN_TICKS = 2 ** (GROUP_BITS * LEVELS);
/** The slot of what lies beyond that turn. */
const BEYOND = LEVELS << GROUP_BITS;
/** The ring of what is due. */
const DUE = BEYOND + 1;
const RINGS = DUE + 1;
const UNARMED = -1;

/** A timer of a wheel: made once, armed and cancelled often. */
export class Timer {
  /** Whom it tells. */
  readonly owner: Timed;
  /** When it fires in milliseconds; `Infinity` while it is not armed. Only the wheel writes it. */
  deadline: number = Infinity;
  /**
   * Ring in which it is. Only the wheel reads and writes this and the links.
   * @ignore
   */
  ring: number = UNARMED;
  /** @ignore */
  next: Timer = this;
  /** @ignore */
  previous: Timer = this;

  /** A timer that is not armed. */
  constructor(owner: Timed) {
    this.owner = owner;
  }

  /** Whether it will fire. */
  get armed(): boolean {
    return this.ring !== UNARMED;
  }
}

const NOBODY: Timed = { timerFired() {} };

/** The timers of one gateway. */
export class TimerWheel {
  readonly #origin: number;
  #now: number;
  /** First tick of the coarsest wheel's turn. */
  #turn = 0;
  /** The present tick less `#turn`: 30 bits. */
  #tick = 0;
  #size = 0;
  readonly #rings: Timer[] = Array.from({ length: RINGS }, () => new Timer(NOBODY));
  /** A bit for each ring that is not empty. */
  readonly #occupied = new Int32Array((RINGS + 31) >>> 5);
  /** For each ring that is not empty, a time not after its earliest deadline. */
  readonly #earliest = new Float64Array(RINGS);

  /** A wheel without timers at time `now`, in milliseconds of any monotonic clock. */
  constructor(now: number) {
    this.#origin = now;
    this.#now = now;
  }

  /** Count of armed timers. */
  get size(): number {
    return this.#size;
  }

  /**
   * Arms a timer, or moves an armed one. A deadline that has passed fires at the next `advance`. Throws a `RangeError`
   * where the deadline is not a finite number. A timer belongs to the wheel that armed it until it has fired or was
   * cancelled.
   */
  schedule(timer: Timer, deadlineMs: number): void {
    if (!(Math.abs(deadlineMs) < Infinity)) {
      throw new RangeError(`Cannot arm timer: the deadline ${deadlineMs} is not a finite number`);
    }
    if (timer.ring === UNARMED) this.#size++;
    else this.#unlink(timer);
    timer.deadline = deadlineMs;
    this.#link(timer);
  }

  /** Disarms a timer; nothing happens where it is not armed. */
  cancel(timer: Timer): void {
    if (timer.ring === UNARMED) return;
    this.#unlink(timer);
    this.#disarm(timer);
  }

  /**
   * Moves time to `now` and fires every timer whose deadline it has reached. A `now` before an earlier one counts as
   * that one. An exception of a callback passes through; what was due after it fires at the next `advance`.
   */
  advance(now: number): void {
    if (now > this.#now) this.#now = now;
    this.#gather();
    const due = this.#rings[DUE]!;
    while (due.next !== due) {
      const timer = due.next;
      this.#unlink(timer);
      this.#disarm(timer);
      timer.owner.timerFired(this.#now);
    }
  }

  /** When to call `advance` next: never later than the earliest deadline; `Infinity` where no timer is armed. */
  nextDeadline(): number {
    const due = this.#rings[DUE]!;
    if (due.next !== due) return due.next.deadline;
    const ring = this.#firstRing();
    return ring < 0 ? Infinity : this.#earliest[ring]!;
  }

  /** Moves what is due at `#now` to the ring `DUE`, and the present tick to that of `#now`. */
  #gather(): void {
    const target = Math.floor(this.#now - this.#origin);
    for (let ring = this.#firstRing(); ring >= 0; ring = this.#firstRing()) {
      if (ring === BEYOND) {
        if (target < this.#turn + TURN_TICKS) break;
        // Turns in which nothing can be due are skipped; the earliest deadline may be stale, which costs a look.
        const earliest = Math.min(Math.floor(this.#earliest[BEYOND]! - this.#origin), target);
        this.#turn = Math.max(this.#turn + TURN_TICKS, Math.floor(earliest / TURN_TICKS) * TURN_TICKS);
        this.#tick = 0;
        this.#deal(BEYOND);
        continue;
      }
      const level = ring >>> GROUP_BITS, shift = level * GROUP_BITS;
      const above = (this.#tick >>> (shift + GROUP_BITS)) << (shift + GROUP_BITS);
      const tick = above | ((ring & GROUP_MASK) << shift), ahead = target - (this.#turn + tick);
      if (ahead < 0) break;
      this.#tick = tick;
      if (level > 0) {
        this.#deal(ring);
      } else if (ahead > 0) {
        this.#takeAll(ring);
      } else {
        if (this.#earliest[ring]! <= this.#now) this.#takeDue(ring);
        break;
      }
    }
    const turn = Math.floor(target / TURN_TICKS) * TURN_TICKS;
    this.#turn = turn;
    this.#tick = target - turn;
  }

  /** The ring of the earliest timers that are not due yet, or -1. */
  #firstRing(): number {
    const occupied = this.#occupied;
    for (let word = 0; word < occupied.length; word++) {
      const bits = occupied[word]!;
      if (bits !== 0) {
        const ring = (word << 5) + 31 - Math.clz32(bits & -bits);
        return ring === DUE ? -1 : ring;
      }
    }
    return -1;
  }

  /** Puts a timer that is in no ring into the one that its deadline asks for. */
  #link(timer: Timer): void {
    const ahead = Math.floor(timer.deadline - this.#origin) - this.#turn;
    const present = this.#tick;
    let ring: number;
    if (ahead <= present) {
      ring = present & GROUP_MASK;
    } else if (ahead >= TURN_TICKS) {
      ring = BEYOND;
    } else {
      const level = ((31 - Math.clz32(ahead ^ present)) / GROUP_BITS) | 0;
      ring = (level << GROUP_BITS) | ((ahead >>> (level * GROUP_BITS)) & GROUP_MASK);
    }
    this.#append(timer, ring);
  }

  #append(timer: Timer, ring: number): void {
    const sentinel = this.#rings[ring]!, last = sentinel.previous;
    if (last === sentinel) {
      this.#occupied[ring >>> 5]! |= 1 << (ring & 31);
      this.#earliest[ring] = timer.deadline;
    } else if (timer.deadline < this.#earliest[ring]!) {
      this.#earliest[ring] = timer.deadline;
    }
    timer.ring = ring;
    timer.previous = last;
    timer.next = sentinel;
    last.next = timer;
    sentinel.previous = timer;
  }

  /** Takes a timer out of its ring; it is neither armed nor unarmed until the caller says which. */
  #unlink(timer: Timer): void {
    const { next, previous } = timer;
    previous.next = next;
    next.previous = previous;
    if (next === previous) this.#occupied[timer.ring >>> 5]! &= ~(1 << (timer.ring & 31));
  }

  #disarm(timer: Timer): void {
    this.#size--;
    timer.ring = UNARMED;
    timer.deadline = Infinity;
    // An idle timer keeps no other flow's timer alive.
    timer.next = timer.previous = timer;
  }

  /** Deals the timers of a coarse ring out to finer ones, of which the present tick is the first. */
  #deal(ring: number): void {
    const end = this.#rings[ring]!;
    for (let timer = this.#detach(ring), next = timer.next; timer !== end; timer = next, next = timer.next) {
      this.#link(timer);
    }
  }

  #takeAll(ring: number): void {
    const end = this.#rings[ring]!;
    for (let timer = this.#detach(ring), next = timer.next; timer !== end; timer = next, next = timer.next) {
      this.#append(timer, DUE);
    }
  }

  #takeDue(ring: number): void {
    const end = this.#rings[ring]!;
    for (let timer = this.#detach(ring), next = timer.next; timer !== end; timer = next, next = timer.next) {
      this.#append(timer, timer.deadline <= this.#now ? DUE : ring);
    }
  }

  /**
   * Empties a ring and returns its first timer. The links between its timers stay for the walk that follows, which the
   * sentinel ends, also where timers come back to the same ring meanwhile.
   */
  #detach(ring: number): Timer {
    const sentinel = this.#rings[ring]!, first = sentinel.next;
    sentinel.next = sentinel.previous = sentinel;
    this.#occupied[ring >>> 5]! &= ~(1 << (ring & 31));
    return first;
  }
}
