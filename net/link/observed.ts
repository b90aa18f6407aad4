/**
 * A link that shows someone every frame that passes, in both directions, and changes none.
 *
 * Frames from the guest are shown before they are received, frames to it after the inner link has taken them; those
 * that it has refused were never on the link and are not shown.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import type { Link, LinkReceiver } from "./link.ts";
import { WrappedLink } from "./wrapped.ts";

/** Who is shown the frames. It throws nothing and keeps none: they are valid until `frame` returns. */
export interface FrameObserver {
  /** A frame has passed. */
  frame(frame: Frame): void;
  /** A batch is over, in either direction, or the link has ended. */
  flush(): void;
}

/** A link under observation. */
export class ObservedLink extends WrappedLink {
  readonly #observer: FrameObserver;

  /** Takes `inner` over and shows its frames to `observer`. */
  constructor(inner: Link, observer: FrameObserver) {
    super(inner);
    this.#observer = observer;
  }

  /** Begins delivering frames. */
  override start(receiver: LinkReceiver): void {
    const observer = this.#observer;
    this.inner.start({
      receive: (frame) => {
        observer.frame(frame);
        receiver.receive(frame);
      },
      flush: () => {
        observer.flush();
        receiver.flush();
      },
      closed: (error) => {
        observer.flush();
        receiver.closed(error);
      },
    });
  }

  /** Sends a frame to the guest, or drops it. */
  override send(frame: Frame): boolean {
    const taken = this.inner.send(frame);
    if (taken) this.#observer.frame(frame);
    return taken;
  }

  /** Sends what `send` held back. */
  override flush(): void {
    this.inner.flush();
    this.#observer.flush();
  }
}
