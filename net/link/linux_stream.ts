/**
 * A stream of frames on a non-blocking socket of Linux, in the event loop.
 *
 * **In.** One read a turn, of up to 256 KiB; the frames in it are delivered where they lie, as many as the guest has
 * time for (`turn_shares.ts`). The rest is delivered in later turns, before the next read. The socket is
 * edge-triggered: it is given up as readable only when a read gave less than it could and nothing is known to stand
 * behind the bytes.
 *
 * **Out.** Frames are copied together and written when the turn ends or `WRITE_FROM` bytes wait. A frame of
 * `DIRECT_FROM` bytes or more is written at once and from where it lies, behind its length in the headroom, if nothing
 * waits before it. What a full socket does not take waits until the loop says that there is room; see
 * `stream_framing.ts` for how much.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import {
  describeErrno,
  EAGAIN,
  ECONNRESET,
  EINTR,
  errno,
  type Libc,
  libc,
  MSG_NOSIGNAL,
  SHUT_WR,
} from "../linux/libc.ts";
import { type EventLoop, MORE_BEHIND, READABLE, type Watch, WRITABLE } from "../linux/event_loop.ts";
import type { TurnShare } from "../linux/turn_shares.ts";
import { FramedLink, type FramedLinkOptions } from "./framed_link.ts";
import { StreamOutput } from "./stream_framing.ts";

/** Bytes from which on frames are not held back until the end of the turn. */
const WRITE_FROM = 1 << 16;
/** Length from which on copying a frame costs more than a write of its own. */
const DIRECT_FROM = 1 << 13;

/** A bit of the watch: frames that were read are not delivered yet. */
const UNDELIVERED = 16;

/** Takes what nobody wants to know any more. */
const unread = new Uint8Array(1 << 18);

/** What a link on a socket is told. */
export interface LinuxStreamOptions extends FramedLinkOptions {
  /** The loop that tells when the socket is ready. */
  readonly loop: EventLoop;
  /** A connected, non-blocking stream socket, which becomes the link's even if the constructor throws. */
  readonly fd: number;
}

/** A link over a stream socket of Linux. */
export class LinuxStreamLink extends FramedLink {
  readonly #libc: Libc = libc();
  readonly #loop: EventLoop;
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #output: StreamOutput;
  /** Whose time the guest's work takes. */
  readonly payer: TurnShare;
  #full = false;

  constructor(options: LinuxStreamOptions) {
    super(options);
    this.#output = new StreamOutput(this.prefix);
    this.#loop = options.loop;
    this.#fd = options.fd;
    this.payer = options.loop.shares.join();
    try {
      this.#watch = options.loop.watch(options.fd, { ready: (due) => this.#ready(due) }, { share: this.payer });
    } catch (error) {
      this.#libc.close(options.fd);
      throw error;
    }
  }

  protected override begin(): void {
    this.#watch.setInterest(READABLE | UNDELIVERED);
  }

  protected override queue(frame: Frame): boolean {
    const output = this.#output;
    if (frame.length >= DIRECT_FROM && output.length === 0 && frame.start >= this.headroom) return this.#direct(frame);
    if (!output.push(frame)) return false;
    if (output.length >= WRITE_FROM) this.write();
    return true;
  }

  protected override queueBytes(bytes: Uint8Array): boolean {
    return this.#output.pushBytes(bytes, 0, bytes.length);
  }

  protected override write(): void {
    const output = this.#output;
    if (this.#full || output.length === 0) return;
    const count = this.#send(output.bytes, output.start, output.end);
    if (count > 0) output.taken(count);
  }

  protected override free(farewell: Uint8Array<ArrayBuffer> | undefined): void {
    if (farewell !== undefined) this.#part(farewell);
    this.#loop.release(this.#watch);
  }

  protected override freed(): Promise<void> {
    return this.#loop.allClosed();
  }

  #ready(due: number): void {
    if ((due & (READABLE | UNDELIVERED)) !== 0) this.#read((due & UNDELIVERED) !== 0);
    if ((due & WRITABLE) === 0 || this.closed) return;
    this.#full = false;
    this.#watch.setInterest(READABLE | UNDELIVERED);
    this.write();
  }

  #read(hasRest: boolean): void {
    const count = hasRest ? 0 : this.#receive(), watch = this.#watch;
    if (count < 0) return;
    if (this.deliver(count, this.payer)) watch.ready |= UNDELIVERED;
    else watch.ready &= ~UNDELIVERED;
  }

  /** Bytes that were read behind those in `input`; -1: there are none, or the link has ended. */
  #receive(): number {
    const input = this.input;
    input.makeRoom();
    const room = input.bytes.length - input.end;
    const into = input.end === 0 ? input.bytes : input.bytes.subarray(input.end);
    const count = this.#libc.recv(this.#fd, into, BigInt(room), 0);
    if (count > 0) {
      if (count < room && (this.#watch.ready & MORE_BEHIND) === 0) this.#watch.ready &= ~READABLE;
      return count;
    }
    const code = count === 0 ? ECONNRESET : errno();
    if (code === EAGAIN) this.#watch.ready &= ~READABLE;
    else if (code === ECONNRESET) this.finish();
    else if (code !== EINTR) this.fail("read from", describeErrno(code));
    return -1;
  }

  /**
   * The last words. What has come and was not read would make the kernel reset the connection, and them with it: it is
   * read first.
   */
  #part(farewell: Uint8Array<ArrayBuffer>): void {
    this.write();
    if (!this.#full && this.#output.length === 0) this.#send(farewell, 0, farewell.length);
    this.#libc.shutdown(this.#fd, SHUT_WR);
    this.#libc.recv(this.#fd, unread, BigInt(unread.length), 0);
  }

  #direct(frame: Frame): boolean {
    const { bytes, end, length } = frame, start = frame.start - this.prefix.sizeFor(length);
    this.prefix.write(bytes, start, length);
    const count = this.#full ? 0 : this.#send(bytes, start, end);
    if (count < 0) return false;
    if (start + count < end) this.#output.pushBytes(bytes, start + count, end);
    return true;
  }

  /** How many of these bytes the socket took; -1 when it is broken, which the next read shows and ends the link for. */
  #send(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    const count = this.#libc.send(this.#fd, bytes.subarray(start, end), BigInt(length), MSG_NOSIGNAL);
    if (count === length) return count;
    if (count < 0 && errno() !== EAGAIN) return errno() === EINTR ? 0 : -1;
    this.#full = true;
    this.#watch.ready &= ~WRITABLE;
    this.#watch.setInterest(READABLE | UNDELIVERED | WRITABLE);
    return Math.max(0, count);
  }
}
