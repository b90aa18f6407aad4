/**
 * The network card of a libkrun guest, between a guest in this program and a socket of `hawser serve`.
 *
 * It has no virtio-net header: checksums of the guest leave as they are, half done, and segments of up to 64 KiB whole;
 * what comes must have whole checksums, which the guest verifies.
 *
 * @module
 */
import type { Link, LinkReceiver } from "../../net/link/link.ts";
import { WrappedLink } from "../../net/link/wrapped.ts";
import type { EventLoop, Watch } from "../../net/linux/event_loop.ts";
import { READABLE, WRITABLE } from "../../net/linux/event_loop.ts";
import { EAGAIN, errno, libc, SO_SNDBUF, SOL_SOCKET } from "../../net/linux/libc.ts";
import { CHECKSUM_COMPLETE, Frame } from "../../net/wire/frame.ts";
import { openUnixDatagramClient } from "./unix_client.ts";

/** How long the frames were that passed, in both directions. */
export interface FrameSizes {
  /** Length of the longest frame from the guest. */
  longestSent: number;
  /** Length of the longest frame to the guest. */
  longestReceived: number;
  /** How many frames came. */
  received: number;
  /** How many frames left. */
  sent: number;
}

/** The card on a link that carries 64 KiB frames. */
export class LibkrunDevice extends WrappedLink {
  readonly sizes: FrameSizes = { longestSent: 0, longestReceived: 0, received: 0, sent: 0 };

  override get offload(): boolean {
    return true;
  }

  override start(receiver: LinkReceiver): void {
    this.inner.start({
      receive: (frame) => {
        this.sizes.received++;
        this.sizes.longestReceived = Math.max(this.sizes.longestReceived, frame.length);
        frame.checksum = CHECKSUM_COMPLETE;
        receiver.receive(frame);
      },
      flush: () => receiver.flush(),
      closed: (error) => receiver.closed(error),
    });
  }

  override send(frame: Frame): boolean {
    this.sizes.sent++;
    this.sizes.longestSent = Math.max(this.sizes.longestSent, frame.length);
    // Whatever is left undone, nobody is told.
    frame.checksum = CHECKSUM_COMPLETE;
    return this.inner.send(frame);
  }
}

/**
 * A socket of datagrams at `path`, connected to a gateway's at `remote`, as a link: what finds no room waits in order.
 */
export class UnixDatagramLink implements Link {
  readonly name = "libkrun";
  readonly mtu = 1500;
  readonly headroom = 0;
  readonly offload = false;
  dropped = 0;
  readonly #loop: EventLoop;
  readonly #watch: Watch;
  readonly #waiting: Uint8Array[] = [];
  readonly #buffer = new Uint8Array(1 << 17);
  readonly #frame = new Frame();
  #receiver: LinkReceiver | undefined;
  #closed = false;

  constructor(loop: EventLoop, path: string, remote: string) {
    const fd = openUnixDatagramClient(path, remote);
    libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUF, new Uint8Array(Uint32Array.of(1 << 20).buffer), 4);
    this.#loop = loop;
    this.#watch = loop.watch(fd, { ready: (due) => this.#ready(due) });
    this.#sendBytes(new TextEncoder().encode("VFKT"));
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#watch.setInterest(READABLE);
  }

  send(frame: Frame): boolean {
    const bytes = frame.bytes.subarray(frame.start, frame.end);
    if (this.#waiting.length === 0 && this.#sendBytes(bytes)) return true;
    if (this.#waiting.length >= 256) {
      this.dropped++;
      return false;
    }
    this.#waiting.push(bytes.slice());
    return true;
  }

  flush(): void {}

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.release(this.#watch);
    this.#receiver?.closed();
    await this.#loop.allClosed();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #sendBytes(bytes: Uint8Array): boolean {
    if (libc().send(this.#watch.fd, bytes, BigInt(bytes.length), 0) >= 0) return true;
    if (errno() !== EAGAIN) return true;
    this.#watch.ready &= ~WRITABLE;
    this.#watch.setInterest(READABLE | WRITABLE);
    return false;
  }

  #ready(due: number): void {
    if ((due & WRITABLE) !== 0) {
      this.#watch.setInterest(READABLE);
      while (this.#waiting.length > 0 && this.#sendBytes(this.#waiting[0]!)) this.#waiting.shift();
    }
    if ((due & READABLE) === 0) return;
    for (let i = 0; i < 64; i++) {
      const count = libc().recv(this.#watch.fd, this.#buffer, BigInt(this.#buffer.length), 0);
      if (count < 0) {
        this.#watch.ready &= ~READABLE;
        break;
      }
      this.#receiver!.receive(this.#frame.set(this.#buffer, 0, count));
    }
    this.#receiver!.flush();
  }
}
