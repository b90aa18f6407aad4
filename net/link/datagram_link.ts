/**
 * The link of one peer among those that share a socket of datagrams: a frame a datagram, both ways.
 *
 * Whoever owns the socket hands datagrams in and is asked to send; see `linux_datagram.ts` and `deno_datagram.ts`. A
 * peer is known by the path of its socket. It begins with its first datagram, and ends when the system says that nobody
 * is at its path any more, or when it greets again; what comes from there later is a new guest. vfkit, and libkrun in
 * its manner, greets with a datagram that is no frame, `VFKT`.
 *
 * **Offload.** Where a guest leaves its work to the network card, there is no header to say what is left: frames to it
 * are completed, and those from it vouched for, since they never left this machine. Who greets and then shows that it
 * is such a guest (`offload_signs.ts`) is served so from that frame on.
 *
 * @module
 */
import { LONGEST_FRAME } from "../wire/ethernet.ts";
import { CHECKSUM_VERIFIED, completeChecksum, type Frame } from "../wire/frame.ts";
import type { Link, LinkReceiver } from "./link.ts";
import { showsOffload } from "./offload_signs.ts";

/** Bytes that hold the longest frame, and one more, so that a longer one shows. */
export const DATAGRAM_BUFFER: number = LONGEST_FRAME + 1;

const VFKIT_OPENING = [0x56, 0x46, 0x4b, 0x54];

/** Whether `bytes[0, length)` is what vfkit, and libkrun in its manner, opens with. */
export function isVfkitOpening(bytes: Uint8Array, length: number): boolean {
  return length === VFKIT_OPENING.length && VFKIT_OPENING.every((byte, i) => bytes[i] === byte);
}

/** What the link asks of the socket's owner. */
export interface DatagramCarrier {
  /** Sends a frame to the peer, or returns false where there is no room. */
  send(frame: Frame): boolean;
  /** The link has ended; called once. */
  ended(): void;
  /** Resolves when everything that served the peer alone is freed. */
  freed(): Promise<void>;
}

/** What a link over datagrams is told. */
export interface DatagramLinkOptions {
  /** What it is, for messages. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** See `ListenerOptions`. */
  readonly offload: boolean | undefined;
  /** Whose time the guest's work takes. */
  readonly payer?: object;
}

/** A link over a socket of datagrams. */
export class DatagramLink implements Link {
  readonly name: string;
  readonly mtu: number;
  readonly headroom = 0;
  offload: boolean;
  /** Whose time the guest's work takes. */
  readonly payer: object | undefined;
  dropped = 0;
  readonly #carrier: DatagramCarrier;
  readonly #mayGreet: boolean;
  /** Whether the guest has greeted, and may show that it offloads. */
  #mayShow = false;
  #hasSpoken = false;
  #receiver: LinkReceiver | undefined;
  #closed = false;

  constructor({ name, mtu, offload, payer }: DatagramLinkOptions, carrier: DatagramCarrier) {
    this.name = name;
    this.payer = payer;
    this.mtu = mtu;
    this.offload = offload ?? false;
    this.#mayGreet = offload === undefined;
    this.#carrier = carrier;
  }

  start(receiver: LinkReceiver): void {
    if (this.#closed) throw new Error(`Cannot start link ${this.name}: it is closed`);
    if (this.#receiver) throw new Error(`Cannot start link ${this.name}: it is started already`);
    this.#receiver = receiver;
  }

  send(frame: Frame): boolean {
    completeChecksum(frame);
    if (!this.#closed && this.#carrier.send(frame)) return true;
    this.dropped++;
    return false;
  }

  flush(): void {}

  async close(): Promise<void> {
    this.end();
    await this.#carrier.freed();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * For the owner: the greeting came. Returns false from a guest that has spoken before: a new one has taken its place.
   */
  greeted(): boolean {
    this.#mayShow = this.#mayGreet;
    return !this.#hasSpoken;
  }

  /** For the owner: a frame came. What comes before `start` is lost. */
  receive(frame: Frame): void {
    if (this.#closed) return;
    this.#hasSpoken = true;
    if (this.#mayShow && showsOffload(frame.bytes, frame.start, frame.end, this.mtu)) {
      this.#mayShow = false;
      this.offload = true;
    }
    if (this.offload) frame.checksum = CHECKSUM_VERIFIED;
    this.#receiver?.receive(frame);
  }

  /** For the owner: the batch is over. */
  received(): void {
    if (!this.#closed) this.#receiver?.flush();
  }

  /** For the owner: the peer has gone, or cannot be served. Not to be called from within `send`. */
  end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#carrier.ended();
    this.#receiver?.closed(error);
  }
}
