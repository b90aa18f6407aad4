/**
 * What the links over a stream of bytes have in common: the framing, the one receiver, and one end.
 *
 * Whoever reads gives the bytes to `input` and calls `deliver`; `write` writes what waits in the output. Everything
 * between is here, so that the link on Linux's sockets and the one on Deno's differ in how they read and write alone.
 *
 * @module
 */
import { CHECKSUM_VERIFIED, completeChecksum, Frame } from "../wire/frame.ts";
import type { Link, LinkReceiver } from "./link.ts";
import { type FrameInput, type FramePrefix, QEMU_PREFIX, type StreamFraming, StreamInput } from "./stream_framing.ts";

/** How long a link may hand out frames at a time. */
export interface WorkLimit {
  /** Whether it has to stop, after a frame of this length. */
  isOver(length: number): boolean;
}

/** What every link over a stream is told. */
export interface FramedLinkOptions {
  /** What it is, for messages: `unix:/run/vm.sock`. */
  readonly name: string;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** See `ListenerOptions`; default false. */
  readonly offload?: boolean;
  /** How frames lie in the stream; QEMU's framing unless given. */
  readonly framing?: StreamFraming;
  /** Called once when the first frame has come. */
  readonly spoke?: () => void;
  /** Called once when it has ended. */
  readonly ended?: () => void;
}

/** A link over a stream, but for reading and writing. */
export abstract class FramedLink implements Link {
  readonly name: string;
  readonly mtu: number;
  readonly headroom: number;
  readonly offload: boolean;
  dropped = 0;
  /** What was read and is not a whole frame yet. */
  protected readonly input: FrameInput;
  /** What stands in front of frames that are sent. */
  protected readonly prefix: FramePrefix;
  #spoke: (() => void) | undefined;
  readonly #ended: (() => void) | undefined;
  readonly #frame = new Frame();
  #receiver: LinkReceiver | undefined;
  #closed = false;

  constructor(options: FramedLinkOptions) {
    this.name = options.name;
    this.mtu = options.mtu;
    this.offload = options.offload ?? false;
    this.#spoke = options.spoke;
    this.#ended = options.ended;
    this.input = options.framing?.input ?? new StreamInput();
    this.prefix = options.framing?.prefix ?? QEMU_PREFIX;
    this.headroom = this.prefix.most;
  }

  start(receiver: LinkReceiver): void {
    if (this.#closed) throw new Error(`Cannot start link ${this.name}: it is closed`);
    if (this.#receiver) throw new Error(`Cannot start link ${this.name}: it is started already`);
    this.#receiver = receiver;
    this.begin();
  }

  send(frame: Frame): boolean {
    completeChecksum(frame);
    if (!this.#closed && this.input.undecided !== true && this.queue(frame)) return true;
    this.dropped++;
    return false;
  }

  flush(): void {
    if (!this.#closed) this.write();
  }

  async close(): Promise<void> {
    this.end();
    await this.freed();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Whether the link has ended. */
  protected get closed(): boolean {
    return this.#closed;
  }

  /** Begins to read. */
  protected abstract begin(): void;
  /** Takes a frame, or returns false where that is too much. */
  protected abstract queue(frame: Frame): boolean;
  /** Takes bytes of the framing's own, or returns false where that is too much. */
  protected abstract queueBytes(bytes: Uint8Array): boolean;
  /** Writes what waits. */
  protected abstract write(): void;
  /** Sends `farewell` if nothing waits before it, and frees what the link holds; called once. */
  protected abstract free(farewell: Uint8Array<ArrayBuffer> | undefined): void;
  /** Resolves when everything is freed. */
  protected abstract freed(): Promise<void>;

  /**
   * `count` bytes were read behind those in `input`: hands out the frames that are whole, until `limit` is over.
   * Returns whether it stopped for that; then more may be there.
   */
  protected deliver(count: number, limit?: WorkLimit): boolean {
    const input = this.input, receiver = this.#receiver!, frame = this.#frame;
    input.end += count;
    let delivered = false, stopped = false;
    // The receiver may close the link.
    while (!this.#closed && !stopped && input.next(frame)) {
      // What is left undone in it never left this machine.
      if (this.offload) frame.checksum = CHECKSUM_VERIFIED;
      receiver.receive(frame);
      delivered = true;
      stopped = limit !== undefined && limit.isOver(frame.length);
    }
    if (this.#closed) return false;
    if (delivered) {
      this.#spoke?.();
      this.#spoke = undefined;
      receiver.flush();
    }
    const reply = input.takeReply?.();
    if (reply !== undefined && this.queueBytes(reply)) this.write();
    if (input.problem !== undefined) this.fail("read from", input.problem);
    else if (input.finished === true) this.finish();
    return stopped;
  }

  /** The other end sends nothing more: that is the end of the link, and an error within a frame. */
  protected finish(): void {
    if (this.input.atBoundary) this.end();
    else this.fail("read from", this.input.describeRest());
  }

  /** Ends the link with an error. */
  protected fail(action: string, cause: string): void {
    this.end(new Error(`Cannot ${action} link ${this.name}: ${cause}`));
  }

  /** Ends the link, once. */
  protected end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.free(this.input.farewell?.());
    this.#ended?.();
    this.#receiver?.closed(error);
  }
}
