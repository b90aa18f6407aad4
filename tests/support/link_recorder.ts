/**
 * What tests of links share: a receiver that records, frames to send, and a link whose guest the test plays.
 *
 * @module
 */
import type { Link, LinkReceiver } from "../../net/link/link.ts";
import { Frame } from "../../net/wire/frame.ts";

/** Records what a link delivers. */
export class Recorder implements LinkReceiver {
  readonly frames: Uint8Array[] = [];
  readonly log: string[] = [];
  onFrame: (frame: Frame) => void = () => {};

  receive(frame: Frame): void {
    this.frames.push(frame.bytes.slice(frame.start, frame.end));
    this.log.push(`frame ${frame.length}`);
    this.onFrame(frame);
  }

  flush(): void {
    this.log.push("flush");
  }

  closed(error?: Error): void {
    this.log.push(error ? `closed ${error.message}` : "closed");
  }
}

/** A link whose other side is the test. */
export class ScriptLink implements Link {
  readonly name = "script";
  readonly mtu: number;
  readonly headroom: number;
  readonly offload: boolean;
  dropped = 0;
  underWay = 0;
  /** Whether `send` takes frames. */
  takes = true;
  /** What was sent, as a receiver would see it. */
  readonly sent = new Recorder();
  /** Who receives. */
  receiver: LinkReceiver | undefined;
  closes = 0;

  constructor(options: { mtu?: number; headroom?: number; offload?: boolean } = {}) {
    this.mtu = options.mtu ?? 1500;
    this.headroom = options.headroom ?? 0;
    this.offload = options.offload ?? false;
  }

  start(receiver: LinkReceiver): void {
    if (this.receiver) throw new Error("Cannot start link script: it is started already");
    this.receiver = receiver;
  }

  send(frame: Frame): boolean {
    if (!this.takes) {
      this.dropped++;
      return false;
    }
    // What a link may do: write in front of the frame.
    frame.bytes.fill(0xee, frame.start - this.headroom, frame.start);
    this.sent.receive(frame);
    return true;
  }

  flush(): void {
    this.sent.flush();
  }

  close(): Promise<void> {
    if (this.closes++ === 0) this.receiver?.closed();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A frame of `length` bytes from `fill` on, at an offset, with something on both sides of it. */
export function frameOf(length: number, fill = 0): Frame {
  const bytes = new Uint8Array(length + 40).fill(0xa5);
  for (let i = 0; i < length; i++) bytes[20 + i] = fill + i;
  return new Frame().set(bytes, 20, 20 + length);
}

/** A frame's bytes, copied. */
export function contents(frame: Frame): Uint8Array {
  return frame.bytes.slice(frame.start, frame.end);
}
