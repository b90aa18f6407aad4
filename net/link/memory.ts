/**
 * A link between two ends in one program: for guests written in TypeScript, and for tests.
 *
 * `send` copies the frame into a bounded queue and has a delivery scheduled; a delivery hands over what was queued when
 * it began and calls `flush` once. Frames that arrive during a delivery wait for the next one, so two ends that answer
 * each other never recurse and never starve the program. A full queue drops, as a wire does.
 *
 * Both ends are alike. With offload the marks of a frame travel with it: a partial checksum arrives partial, a segment
 * of 64 KiB arrives whole.
 *
 * @module
 */
import { clearImmediate, setImmediate } from "node:timers";
import { CHECKSUM_PARTIAL, type Frame } from "../wire/frame.ts";
import { FrameStore } from "./frame_store.ts";
import type { Link, LinkReceiver } from "./link.ts";

/** Ethernet header in front of an IP packet. */
const ETHERNET_HEADER = 14;
const LARGEST_PACKET = 65535;

/** How a pair of memory links behaves. */
export interface MemoryLinkOptions {
  /** Largest IP packet in bytes; 1500 unless given. */
  mtu?: number;
  /** Whether partial checksums and 64 KiB segments are carried; false unless given. */
  offload?: boolean;
  /** Frames that may be queued in each direction; 1024 unless given. */
  capacity?: number;
  /** Has `deliver` called once, soon, never from within; `setImmediate` unless given. */
  schedule?: (deliver: () => void) => void;
}

/** Two ends of one wire: what is sent at one end is received at the other. Throws a `RangeError` for a bad option. */
export function memoryLinkPair(options: MemoryLinkOptions = {}): [Link, Link] {
  const { mtu = 1500, capacity = 1024 } = options;
  if (!Number.isInteger(mtu) || mtu < 68 || mtu > LARGEST_PACKET) {
    throw new RangeError(`Cannot create memory link: MTU ${mtu} is not from 68 to ${LARGEST_PACKET}`);
  }
  if (!Number.isInteger(capacity) || capacity < 1) {
    throw new RangeError(`Cannot create memory link: capacity ${capacity} is not a positive number of frames`);
  }
  const wire = { mtu, capacity, offload: options.offload ?? false, schedule: options.schedule };
  const a = new MemoryLink(wire), b = new MemoryLink(wire);
  a.connect(b);
  b.connect(a);
  return [a, b];
}

class MemoryLink implements Link {
  readonly name = "memory";
  readonly mtu: number;
  readonly headroom = 0;
  readonly offload: boolean;
  dropped = 0;
  readonly #capacity: number;
  readonly #schedule: ((deliver: () => void) => void) | undefined;
  readonly #largest: number;
  readonly #store = new FrameStore();
  readonly #deliverNow = (): void => this.#deliver();
  #peer: MemoryLink | undefined;
  #receiver: LinkReceiver | undefined;
  #incoming: Frame[] = [];
  #delivering: Frame[] = [];
  #queued = 0;
  #scheduled = false;
  #immediate: ReturnType<typeof setImmediate> | undefined;
  #closed = false;

  constructor(options: {
    mtu: number;
    offload: boolean;
    capacity: number;
    schedule: ((deliver: () => void) => void) | undefined;
  }) {
    this.mtu = options.mtu;
    this.offload = options.offload;
    this.#capacity = options.capacity;
    this.#schedule = options.schedule;
    this.#largest = (options.offload ? LARGEST_PACKET : options.mtu) + ETHERNET_HEADER;
  }

  connect(peer: MemoryLink): void {
    this.#peer = peer;
  }

  start(receiver: LinkReceiver): void {
    if (this.#closed) throw new Error("Cannot start link memory: it is closed");
    if (this.#receiver) throw new Error("Cannot start link memory: it is started already");
    this.#receiver = receiver;
    if (this.#queued > 0) this.#scheduleDelivery();
  }

  send(frame: Frame): boolean {
    const unfinished = frame.checksum === CHECKSUM_PARTIAL || frame.segmentSize !== 0;
    if (
      this.#closed || frame.length > this.#largest || (unfinished && !this.offload) || !this.#peer!.#enqueue(frame)
    ) {
      this.dropped++;
      return false;
    }
    return true;
  }

  flush(): void {}

  close(): Promise<void> {
    this.#end();
    this.#peer!.#end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #enqueue(frame: Frame): boolean {
    if (this.#queued === this.#capacity) return false;
    this.#incoming.push(this.#store.hold(frame));
    this.#queued++;
    if (this.#receiver) this.#scheduleDelivery();
    return true;
  }

  #scheduleDelivery(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (this.#schedule) this.#schedule(this.#deliverNow);
    else this.#immediate = setImmediate(this.#deliverNow);
  }

  #deliver(): void {
    this.#scheduled = false;
    this.#immediate = undefined;
    const batch = this.#incoming, receiver = this.#receiver;
    if (this.#closed || !receiver || batch.length === 0) return;
    this.#incoming = this.#delivering;
    this.#delivering = batch;
    for (const frame of batch) {
      if (this.#closed) return;
      receiver.receive(frame);
      this.#queued--;
      this.#store.release(frame);
    }
    batch.length = 0;
    if (!this.#closed) receiver.flush();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#immediate = undefined;
    this.#incoming = [];
    this.#delivering = [];
    this.#store.clear();
    this.#queued = 0;
    this.#receiver?.closed();
  }
}
