/**
 * A link around another link, for those that look at frames or meddle with them: impairment, capture, trace.
 *
 * A wrapping link takes the inner one over: it is started, flushed and closed through the wrapper, and says what the
 * inner one says of itself. So wrappers compose, in the order in which frames are to meet them, and a gateway that has
 * none pays for none.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import type { Link, LinkReceiver } from "./link.ts";

/** Passes everything on; a subclass changes what it must. */
export class WrappedLink implements Link {
  /** The link inside, which belongs to this one. */
  protected readonly inner: Link;

  /** Takes `inner` over. */
  constructor(inner: Link) {
    this.inner = inner;
  }

  /** What the inner link is. */
  get name(): string {
    return this.inner.name;
  }

  /** Largest IP packet in bytes. */
  get mtu(): number {
    return this.inner.mtu;
  }

  /** Bytes that must be writable in front of a frame. */
  get headroom(): number {
    return this.inner.headroom;
  }

  /** Whether partial checksums and 64 KiB segments are carried. */
  get offload(): boolean {
    return this.inner.offload;
  }

  /** Whose time the work for the guest takes. */
  get payer(): object | undefined {
    return this.inner.payer;
  }

  /** Frames that `send` could not take. */
  get dropped(): number {
    return this.inner.dropped;
  }

  /** Frames on their way. */
  get underWay(): number {
    return this.inner.underWay ?? 0;
  }

  /** Begins delivering frames. */
  start(receiver: LinkReceiver): void {
    this.inner.start(receiver);
  }

  /** Sends a frame to the guest, or drops it. */
  send(frame: Frame): boolean {
    return this.inner.send(frame);
  }

  /** Sends what `send` held back. */
  flush(): void {
    this.inner.flush();
  }

  /** Ends the inner link. */
  close(): Promise<void> {
    return this.inner.close();
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
