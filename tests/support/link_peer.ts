/**
 * The gateway's side of a link under test: keeps what comes, and lets a test wait for it.
 *
 * @module
 */
import type { LinkReceiver } from "../../net/link/link.ts";
import { type ChecksumState, Frame } from "../../net/wire/frame.ts";

/** Records what a link delivers. */
export class LinkRecorder implements LinkReceiver {
  /** Copies of the frames. */
  readonly frames: Uint8Array[] = [];
  /** What was known of their checksums. */
  readonly checksums: ChecksumState[] = [];
  /** How often `flush` was called. */
  flushes = 0;
  /** With which message the link ended, once it has: `undefined` for none. */
  readonly ends: (string | undefined)[] = [];
  /** What to do with a frame beside recording it. */
  onFrame: (frame: Frame) => void = () => {};

  receive(frame: Frame): void {
    this.frames.push(frame.bytes.slice(frame.start, frame.end));
    this.checksums.push(frame.checksum);
    this.onFrame(frame);
  }

  flush(): void {
    this.flushes++;
  }

  closed(error?: Error): void {
    this.ends.push(error?.message);
  }

  /** Resolves when `count` frames have come. */
  async seen(count: number): Promise<void> {
    await eventually(`${count} frames came`, () => this.frames.length >= count);
  }

  /** Resolves to the message with which the link ended. */
  async end(): Promise<string | undefined> {
    await eventually("the link ended", () => this.ends.length > 0);
    return this.ends[0];
  }
}

/** Waits until `condition` holds. Throws an `Error` after five seconds, or as long as is said. */
export async function eventually(what: string, condition: () => boolean, mostMs: number = 5000): Promise<void> {
  const end = performance.now() + mostMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/**
 * A frame of this length, filled with `seed` and what follows from it, at an offset and with something on both sides of
 * it.
 */
export function frameOf(length: number, seed = 0): Frame {
  const bytes = new Uint8Array(length + 80).fill(0xa5);
  for (let i = 0; i < length; i++) bytes[40 + i] = seed + i + (i >> 8);
  return new Frame().set(bytes, 40, 40 + length);
}

/** The bytes of a frame. */
export function bytesOf(frame: Frame): Uint8Array<ArrayBuffer> {
  return new Uint8Array(frame.bytes.subarray(frame.start, frame.end));
}

/** Frames as QEMU's `-netdev stream` writes them: each behind its length. */
export function framed(...frames: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(frames.reduce((sum, frame) => sum + 4 + frame.length, 0));
  let at = 0;
  for (const frame of frames) {
    new DataView(all.buffer).setUint32(at, frame.length);
    all.set(frame, at + 4);
    at += 4 + frame.length;
  }
  return all;
}
