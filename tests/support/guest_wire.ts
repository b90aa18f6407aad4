/**
 * An in-process guest whose gateway is the test: frames in, lines as `--trace` prints them out.
 *
 * @module
 */
import { GuestStack, type GuestStackOptions } from "../../guest/mod.ts";
import { VirtualClock } from "../../net/link/virtual_clock.ts";
import { ethernetDestination } from "../../net/wire/ethernet.ts";
import { Frame } from "../../net/wire/frame.ts";
import { formatFrame } from "../../net/wire/frame_text.ts";
import { GATEWAY_MAC } from "../../nat/nat.ts";
import { type FrameFields, GUEST_MAC } from "./frames.ts";
import type { TestFamily } from "./families.ts";
import { ScriptLink } from "./link_recorder.ts";

/** What a frame of the gateway to the guest has in its headers. */
export function fromGateway({ gateway, guest }: TestFamily): FrameFields {
  return { source: gateway, destination: guest, fromMac: GATEWAY_MAC, toMac: GUEST_MAC };
}

/** A guest on a virtual clock, and the other end of its link. */
export class GuestWire implements AsyncDisposable {
  readonly clock: VirtualClock = new VirtualClock();
  readonly link: ScriptLink;
  readonly stack: GuestStack;

  constructor(options: GuestStackOptions = {}, link: ScriptLink = new ScriptLink()) {
    this.link = link;
    this.stack = new GuestStack(link, { clock: this.clock, ...options });
  }

  /** Gives the guest frames, then a turn. */
  give(...frames: Uint8Array[]): void {
    for (const bytes of frames) this.link.receiver!.receive(new Frame().set(bytes, 0, bytes.length));
    this.link.receiver!.flush();
  }

  /** The frames that the guest has sent since. */
  takeFrames(): Uint8Array[] {
    return this.link.sent.frames.splice(0);
  }

  /** The same as text. */
  take(): string[] {
    return this.takeFrames().map((frame) => formatFrame(frame));
  }

  /** Gives the guest frames and returns what it sent. */
  answer(...frames: Uint8Array[]): string[] {
    this.take();
    this.give(...frames);
    return this.take();
  }

  /** To which MAC addresses the guest has sent frames since. */
  takeMacs(): number[] {
    return this.takeFrames().map((frame) => ethernetDestination(frame, 0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.close();
  }
}
