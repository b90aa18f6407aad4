/**
 * A bad network around any link: frames are lost, delayed, repeated, overtaken, and squeezed through a narrow pipe.
 * What `tc netem` does, without root, for every kind of guest; and the network of the tests, because it does the same
 * again for the same seed, on a clock that may be a virtual one.
 *
 * **Two paths**, to the guest and from it, impaired independently of each other. A frame that comes to a path
 *
 * 1. is lost with probability `loss`; it costs the rate nothing;
 * 2. waits for its turn in the pipe where there is a `rate`, and is dropped where that would take longer than
 *   `queueMs`;
 * 3. arrives `delayMs` later, give or take up to `jitterMs`. Jitter lets frames catch up with those before them and
 *   never overtake (as a router's queue does; that of netem does overtake);
 * 4. but with probability `reorder` it arrives as soon as it is out of the pipe, before those that are being delayed,
 *   as with netem; so there is no reordering without a delay;
 * 5. and with probability `duplicate` it arrives twice.
 *
 * Every frame draws the same count of random numbers, so that another delay or rate leaves it at the same losses.
 *
 * **Per frame as it is handed over.** On a link with offload that may be a segment of 64 KiB that stands for 45
 * packets, and all of it is lost at once. For loss by packets take a link without offload.
 *
 * **Limits.** A path holds copies of at most `capacity` frames and `HELD_BYTES` bytes; beyond, frames are dropped and
 * counted as `overflowed`. Those to the guest that were dropped so count as `dropped` too, since `send` refuses them;
 * what the impairment itself has lost was taken, as a wire takes it, and counts as `lost` alone.
 *
 * A frame that nothing holds up passes through without a copy. Delayed ones are handed over in batches when the clock
 * calls, which is a millisecond coarse.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import { FrameStore } from "./frame_store.ts";
import type { Link, LinkReceiver } from "./link.ts";
import { SeededRandom } from "./seeded_random.ts";
import { WrappedLink } from "./wrapped.ts";

/** Bytes that a path holds at most. */
export const HELD_BYTES: number = 16 << 20;
/** Frames that a path holds unless told otherwise. */
export const CAPACITY_DEFAULT = 1000;
/** How long a frame waits for the pipe at most unless told otherwise, in milliseconds. */
export const QUEUE_MS_DEFAULT = 250;

/** Tells the two paths' random numbers apart. */
const OTHER_PATH = 0x9e3779b9;

/** What happens to frames on one path. What is left out does not. */
export interface Impairment {
  /** Probability, 0 to 1, that a frame is lost. */
  readonly loss?: number;
  /** Time on the way in milliseconds. */
  readonly delayMs?: number;
  /** How much that time varies either way, evenly spread. */
  readonly jitterMs?: number;
  /** Probability that a frame is not delayed and overtakes those that are. Needs a delay. */
  readonly reorder?: number;
  /** Probability that a frame arrives twice. */
  readonly duplicate?: number;
  /** Bits a second that the path carries. */
  readonly rate?: number;
  /** How long a frame waits at most for its turn with `rate`; 250 unless given. */
  readonly queueMs?: number;
}

/** How a link is impaired: both paths alike, but for what `toGuest` and `fromGuest` say otherwise. */
export interface LossyLinkOptions extends Impairment {
  /** What decides the random numbers; 1 unless given. */
  readonly seed?: number;
  /** Impairment of the path to the guest alone. */
  readonly toGuest?: Impairment;
  /** Impairment of the path from the guest alone. */
  readonly fromGuest?: Impairment;
  /** Frames that each path holds; 1000 unless given. */
  readonly capacity?: number;
  /** Where time comes from; `SYSTEM_CLOCK` unless given. */
  readonly clock?: Clock;
}

/** What a path has done to frames. */
export interface ImpairmentCounters {
  /** Lost by chance. */
  lost: number;
  /** Delivered twice. */
  duplicated: number;
  /** Sent ahead of those that were being delayed. */
  reordered: number;
  /** Dropped because the path was full. */
  overflowed: number;
}

/** A link with a bad network around it. */
export interface LossyLink extends Link {
  /** What happened on the way to the guest. */
  readonly toGuest: Readonly<ImpairmentCounters>;
  /** What happened on the way from the guest. */
  readonly fromGuest: Readonly<ImpairmentCounters>;
}

/**
 * Puts a bad network around `link`, which from then on belongs to what is returned. Throws a `RangeError` for options
 * that make no sense.
 *
 * @example
 * ```ts
 * import { lossyLink, memoryLinkPair } from "@hawser/hawser/link";
 *
 * const [link, guest] = memoryLinkPair();
 * const bad = lossyLink(link, { seed: 7, loss: 0.01, delayMs: 20, jitterMs: 5, rate: 10e6 });
 * await bad.close();
 * ```
 */
export function lossyLink(link: Link, options: LossyLinkOptions = {}): LossyLink {
  return new ImpairedLink(link, options);
}

class ImpairedLink extends WrappedLink implements LossyLink {
  readonly #toGuest: Path;
  readonly #fromGuest: Path;
  #receiver: LinkReceiver | undefined;
  #refused = 0;

  constructor(inner: Link, options: LossyLinkOptions) {
    super(inner);
    const { seed = 1, capacity = CAPACITY_DEFAULT, clock = SYSTEM_CLOCK, toGuest, fromGuest } = options;
    if (!Number.isInteger(seed)) throw new RangeError(`Cannot impair link: seed ${seed} is not a whole number`);
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new RangeError(`Cannot impair link: capacity ${capacity} is not a positive number of frames`);
    }
    this.#toGuest = new Path(withDefaults({ ...options, ...toGuest }), {
      clock,
      capacity,
      random: new SeededRandom(seed),
      store: new FrameStore(inner.headroom),
      deliver: (frame) => inner.send(frame),
      flush: () => inner.flush(),
    });
    this.#fromGuest = new Path(withDefaults({ ...options, ...fromGuest }), {
      clock,
      capacity,
      random: new SeededRandom(seed ^ OTHER_PATH),
      store: new FrameStore(),
      deliver: (frame) => {
        this.#receiver!.receive(frame);
        return true;
      },
      flush: () => this.#receiver!.flush(),
    });
  }

  override get dropped(): number {
    return this.inner.dropped + this.#refused;
  }

  override get underWay(): number {
    return super.underWay + this.#toGuest.heldCount + this.#fromGuest.heldCount;
  }

  get toGuest(): ImpairmentCounters {
    return this.#toGuest.counters;
  }

  get fromGuest(): ImpairmentCounters {
    return this.#fromGuest.counters;
  }

  override start(receiver: LinkReceiver): void {
    // A second start is refused by the inner link and changes nothing.
    this.#receiver ??= receiver;
    this.inner.start({
      receive: (frame) => void this.#fromGuest.offer(frame),
      flush: () => receiver.flush(),
      closed: (error) => {
        this.#end();
        receiver.closed(error);
      },
    });
  }

  override send(frame: Frame): boolean {
    const overflowed = this.#toGuest.counters.overflowed;
    const taken = this.#toGuest.offer(frame);
    if (this.#toGuest.counters.overflowed > overflowed) this.#refused++;
    return taken;
  }

  override close(): Promise<void> {
    this.#end();
    return this.inner.close();
  }

  #end(): void {
    this.#toGuest.end();
    this.#fromGuest.end();
  }
}

interface Held {
  readonly frame: Frame;
  readonly dueMs: number;
}

interface PathParts {
  readonly clock: Clock;
  readonly capacity: number;
  readonly random: SeededRandom;
  readonly store: FrameStore;
  /** Hands a frame over; returns whether it was taken. */
  readonly deliver: (frame: Frame) => boolean;
  /** Ends a batch. */
  readonly flush: () => void;
}

/** One of the two ways. */
class Path {
  readonly counters: ImpairmentCounters = { lost: 0, duplicated: 0, reordered: 0, overflowed: 0 };
  readonly #impairment: Required<Impairment>;
  readonly #parts: PathParts;
  /** What is on its way, by the time at which it is due. */
  #held: Held[] = [];
  #heldBytes = 0;
  /** When the pipe has carried everything so far. */
  #pipeFreeAt = -Infinity;
  /** When the last frame that did not overtake is due. */
  #lastDue = -Infinity;
  #cancel: (() => void) | undefined;
  #wantedAt = Infinity;
  #ended = false;

  constructor(impairment: Required<Impairment>, parts: PathParts) {
    this.#impairment = impairment;
    this.#parts = parts;
  }

  /** Frames that it holds. */
  get heldCount(): number {
    return this.#held.length;
  }

  /**
   * Takes a frame to lose, keep or pass on. Returns false where there is no room, or where it was to be passed on and
   * was not taken.
   */
  offer(frame: Frame): boolean {
    if (this.#ended) return this.#parts.deliver(frame);
    const { loss, delayMs, jitterMs, reorder, duplicate, rate, queueMs } = this.#impairment;
    const { random, clock } = this.#parts;
    const lost = random.next() < loss, early = random.next() < reorder, twice = random.next() < duplicate;
    const late = Math.max(0, delayMs + jitterMs * (2 * random.next() - 1));
    if (lost) {
      this.counters.lost++;
      return true;
    }
    const now = clock.now(), startsAt = Math.max(now, this.#pipeFreeAt);
    const sentAt = rate === Infinity ? now : startsAt + frame.length * 8000 / rate;
    const dueMs = early ? sentAt : Math.max(sentAt + late, this.#lastDue);
    if (dueMs <= now && this.#held.length === 0 && !twice) return this.#parts.deliver(frame);
    if (startsAt - now > queueMs || !this.#hasRoom(frame.length)) {
      this.counters.overflowed++;
      return false;
    }
    if (rate !== Infinity) this.#pipeFreeAt = sentAt;
    if (early) this.counters.reordered++;
    else this.#lastDue = dueMs;
    this.#hold(frame, dueMs);
    if (twice && this.#hasRoom(frame.length)) {
      this.counters.duplicated++;
      this.#hold(frame, dueMs);
    }
    this.#arm(now);
    return true;
  }

  /** Forgets what is on its way. */
  end(): void {
    this.#ended = true;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#held = [];
    this.#parts.store.clear();
  }

  #hasRoom(length: number): boolean {
    return this.#held.length < this.#parts.capacity && this.#heldBytes + length <= HELD_BYTES;
  }

  #hold(frame: Frame, dueMs: number): void {
    let at = this.#held.length;
    while (at > 0 && this.#held[at - 1]!.dueMs > dueMs) at--;
    this.#held.splice(at, 0, { frame: this.#parts.store.hold(frame), dueMs });
    this.#heldBytes += frame.length;
  }

  #arm(now: number): void {
    const first = this.#held[0];
    if (first === undefined || (this.#cancel !== undefined && this.#wantedAt <= first.dueMs)) return;
    this.#cancel?.();
    this.#wantedAt = first.dueMs;
    this.#cancel = this.#parts.clock.delay(() => this.#deliver(), Math.max(0, first.dueMs - now));
  }

  #deliver(): void {
    this.#cancel = undefined;
    const { clock, deliver, flush, store } = this.#parts, now = clock.now();
    let delivered = 0;
    while (!this.#ended && this.#held.length > 0 && this.#held[0]!.dueMs <= now) {
      const { frame } = this.#held.shift()!;
      this.#heldBytes -= frame.length;
      deliver(frame);
      store.release(frame);
      delivered++;
    }
    if (this.#ended) return;
    if (delivered > 0) flush();
    this.#arm(now);
  }
}

/** Every value given, and checked. */
function withDefaults(given: Impairment): Required<Impairment> {
  const { loss = 0, delayMs = 0, jitterMs = 0, reorder = 0, duplicate = 0, rate = Infinity } = given;
  const { queueMs = QUEUE_MS_DEFAULT } = given;
  for (const [name, probability] of Object.entries({ loss, reorder, duplicate })) {
    if (!(probability >= 0 && probability <= 1)) {
      throw new RangeError(`Cannot impair link: ${name} ${probability} is not a probability from 0 to 1`);
    }
  }
  for (const [name, ms] of Object.entries({ delayMs, jitterMs, queueMs })) {
    if (!(ms >= 0 && ms < Infinity)) {
      throw new RangeError(`Cannot impair link: ${name} ${ms} is not a number of milliseconds`);
    }
  }
  if (!(rate > 0)) throw new RangeError(`Cannot impair link: rate ${rate} is not a number of bits a second`);
  if (reorder > 0 && delayMs === 0) {
    throw new RangeError("Cannot impair link: reorder needs a delay that a frame can skip");
  }
  return { loss, delayMs, jitterMs, reorder, duplicate, rate, queueMs };
}
