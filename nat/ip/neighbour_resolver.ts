/**
 * Finds the MAC address of a station that has not spoken yet, for frames to it: of a guest to which a client of the
 * host connects, and of the gateway, for a guest inside the program. IPv4 addresses are asked for by ARP (RFC 826),
 * IPv6 addresses by neighbour solicitations (RFC 4861 section 7.2.2).
 *
 * A frame to a station whose MAC address is not known is kept, and the station is asked who has the address that the
 * packet goes to: at once, then every `RETRY_MS`, the rate that RFC 1122 section 2.3.2.1 allows and RFC 4861 section 10
 * has too, until it is heard or nothing was kept for `GIVE_UP_MS`. Any frame of the station will do as an answer,
 * because there is one station on its link. Then what was kept is sent (RFC 1122 section 2.3.2.2). At most `MOST_BYTES`
 * are kept; the oldest frames make room.
 *
 * A known MAC address may have become wrong, and a guest may have moved to another address: whoever gets no answer says
 * so by asking again (`ask`), and who must know now asks at once (`probe`). What was asked for is remembered for
 * `MOST_QUESTIONS` addresses.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { Frame, SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { Timer, type TimerWheel } from "../base/timers.ts";

/** Time in milliseconds between two requests. */
export const RETRY_MS = 1000;
/** Time in milliseconds after the last frame was kept in which the station may still answer. */
export const GIVE_UP_MS = 5000;
/** Bytes of frames that are kept: enough for one of the largest datagrams in fragments, and as much again of others. */
const MOST_BYTES = 2 << 16;
/** Addresses of which it is remembered that they were asked for. */
const MOST_QUESTIONS = 32;

/** What was asked for. */
interface Question {
  readonly at: number;
  answered: boolean;
}

/** What a resolver needs of its station. */
export interface NeighbourResolverParts {
  /** The timers that it shares. */
  readonly timers: TimerWheel;
  /** Told of each frame that was given up. */
  readonly dropped: () => void;
  /** Monotonic milliseconds. */
  now(): number;
  /** Sends the question who has `address`. */
  request(address: IpAddress): void;
  /** Sends a frame that was kept, now that the MAC address is known. */
  send(frame: Frame): void;
}

/** Keeps frames to one station while it is being asked. */
export class NeighbourResolver {
  #parts: NeighbourResolverParts;
  #held: Frame[] = [];
  /** For whom they are. */
  #heldFor: IpAddress[] = [];
  #heldBytes = 0;
  #heldAt = 0;
  /** By address, the one that was asked for last behind. */
  #questions = new Map<string, Question>();
  #timer: Timer;

  /** Asks nothing yet. */
  constructor(parts: NeighbourResolverParts) {
    this.#parts = parts;
    this.#timer = new Timer(this);
  }

  /** Keeps a copy of `frame` for `address` and asks who has that. */
  hold(frame: Frame, address: IpAddress): void {
    // In front of it is room for a link's own header, as there was in the frame's own buffer.
    const shift = SEGMENT_HEADROOM - frame.start, bytes = new Uint8Array(SEGMENT_HEADROOM + frame.length);
    bytes.set(frame.bytes.subarray(frame.start, frame.end), SEGMENT_HEADROOM);
    const kept = new Frame().set(bytes, SEGMENT_HEADROOM, bytes.length);
    kept.checksum = frame.checksum;
    kept.transport = frame.transport + shift;
    kept.checksumField = frame.checksumField;
    kept.segmentSize = frame.segmentSize;
    this.#held.push(kept);
    this.#heldFor.push(address);
    this.#heldBytes += bytes.length;
    while (this.#heldBytes > MOST_BYTES) this.#drop();
    this.#heldAt = this.#parts.now();
    this.ask(address);
    if (!this.#timer.armed) this.#parts.timers.schedule(this.#timer, this.#questions.get(`${address}`)!.at + RETRY_MS);
  }

  /** Asks who has `address`, unless a request for it was sent less than `RETRY_MS` ago. */
  ask(address: IpAddress): void {
    const question = this.#questions.get(`${address}`);
    if (question === undefined || this.#parts.now() - question.at >= RETRY_MS) this.#request(address);
  }

  /** Asks who has `address` now, unless a request without an answer was sent less than `RETRY_MS` ago. */
  probe(address: IpAddress): void {
    if (this.#questions.get(`${address}`)?.answered) this.#request(address);
    else this.ask(address);
  }

  /** Whether a reply or an advertisement about `address` is the answer to a request; true once a request. */
  isAnswer(address: IpAddress): boolean {
    const question = this.#questions.get(`${address}`);
    if (question === undefined || question.answered) return false;
    question.answered = true;
    return true;
  }

  /** The MAC address is known: what was kept is sent. */
  release(): void {
    this.#parts.timers.cancel(this.#timer);
    const held = this.#held;
    this.#held = [];
    this.#heldFor = [];
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
    for (const address of this.#heldFor) this.ask(address);
    this.#parts.timers.schedule(this.#timer, now + RETRY_MS);
  }

  #request(address: IpAddress): void {
    this.#questions.delete(`${address}`);
    this.#questions.set(`${address}`, { at: this.#parts.now(), answered: false });
    if (this.#questions.size > MOST_QUESTIONS) {
      for (const oldest of this.#questions.keys()) {
        this.#questions.delete(oldest);
        break;
      }
    }
    this.#parts.request(address);
  }

  #drop(): void {
    this.#heldBytes -= this.#held.shift()!.bytes.length;
    this.#heldFor.shift();
    this.#parts.dropped();
  }
}
