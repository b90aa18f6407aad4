/**
 * Finds the MAC address of a station that has not spoken yet, by ARP (RFC 826), for frames to it: of a guest to which a client of the host connects, and of the gateway, for
 * a guest inside the program.
 *
 * A frame to a station whose MAC address is not known is kept, and the station is asked who has the frame's IPv4 address: at once, then every `RETRY_MS`, the rate that RFC 1122
 * section 2.3.2.1 allows, until it is heard or nothing was kept for `GIVE_UP_MS`. Any frame of the station will do as an answer, because there is one station on its link.
 * Then what was kept is sent (section 2.3.2.2). At most `MOST_BYTES` are kept; the oldest frames make room.
 *
 * Left out: finding out that a known MAC address has become wrong. Whoever gets no answer says so by asking again.
 *
 * @module
 */
import { Frame, SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { Timer, type TimerWheel } from "../base/timers.ts";

/** Time in milliseconds between two requests. */
export const RETRY_MS = 1000;
/** Time in milliseconds after the last frame was kept in which the station may still answer. */
export const GIVE_UP_MS = 5000;
/** Bytes of frames that are kept: enough for one of the largest datagrams in fragments, and as much again of others. */
const MOST_BYTES = 2 << 16;

/** What a resolver needs of its station. */
export interface ArpResolverParts {
  /** The timers that it shares. */
  readonly timers: TimerWheel;
  /** Told of each frame that was given up. */
  readonly dropped: () => void;
  /** Monotonic milliseconds. */
  now(): number;
  /** Sends an ARP request for an IPv4 address. */
  request(address: number): void;
  /** Sends a frame that was kept, now that the MAC address is known. */
  send(frame: Frame): void;
}

/** Keeps frames to one station while it is being asked. */
export class ArpResolver {
  #parts: ArpResolverParts;
  #held: Frame[] = [];
  #heldBytes = 0;
  #heldAt = 0;
  #address = 0;
  #askedAt = -Infinity;
  #answered = true;
  #timer: Timer;

  /** Asks nothing yet. */
  constructor(parts: ArpResolverParts) {
    this.#parts = parts;
    this.#timer = new Timer(this);
  }

  /** Keeps a copy of `frame` for `address` and asks who has that. */
  hold(frame: Frame, address: number): void {
    // In front of it is room for a link's own header, as there was in the frame's own buffer.
    const shift = SEGMENT_HEADROOM - frame.start, bytes = new Uint8Array(SEGMENT_HEADROOM + frame.length);
    bytes.set(frame.bytes.subarray(frame.start, frame.end), SEGMENT_HEADROOM);
    const kept = new Frame().set(bytes, SEGMENT_HEADROOM, bytes.length);
    kept.checksum = frame.checksum;
    kept.transport = frame.transport + shift;
    kept.checksumField = frame.checksumField;
    kept.segmentSize = frame.segmentSize;
    this.#held.push(kept);
    this.#heldBytes += bytes.length;
    while (this.#heldBytes > MOST_BYTES) this.#drop();
    this.#heldAt = this.#parts.now();
    this.ask(address);
    if (!this.#timer.armed) this.#parts.timers.schedule(this.#timer, this.#askedAt + RETRY_MS);
  }

  /** Asks who has `address`, unless a request was sent less than `RETRY_MS` ago. */
  ask(address: number): void {
    const now = this.#parts.now();
    if (now - this.#askedAt < RETRY_MS) return;
    this.#address = address;
    this.#askedAt = now;
    this.#answered = false;
    this.#parts.request(address);
  }

  /** Whether an ARP reply about `address` is the answer to the last request; true once a request. */
  isAnswer(address: number): boolean {
    const isFirst = !this.#answered && address === this.#address;
    if (isFirst) this.#answered = true;
    return isFirst;
  }

  /** The MAC address is known: what was kept is sent. */
  release(): void {
    this.#parts.timers.cancel(this.#timer);
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const frame of held) this.#parts.send(frame);
  }

  /** The station has gone: nothing is kept and nobody is asked. */
  dispose(): void {
    this.#parts.timers.cancel(this.#timer);
    while (this.#held.length > 0) this.#drop();
  }

  /** Asks again, or gives up. */
  timerFired(now: number): void {
    if (now - this.#heldAt >= GIVE_UP_MS) {
      while (this.#held.length > 0) this.#drop();
      return;
    }
    this.ask(this.#address);
    this.#parts.timers.schedule(this.#timer, this.#askedAt + RETRY_MS);
  }

  #drop(): void {
    this.#heldBytes -= this.#held.shift()!.bytes.length;
    this.#parts.dropped();
  }
}
