/**
 * A link that keeps what a sender gives it, for tests of senders.
 *
 * @module
 */
import { FrameSender, type FrameSink } from "../../nat/ip/frame_sender.ts";
import { encodeTcp, TCP_ACK, TcpHeader } from "../../net/wire/tcp.ts";
import { Frame, SEGMENT_HEADROOM } from "../../net/wire/frame.ts";
import { pattern } from "./bytes.ts";
import { painted } from "./packet_bytes.ts";

/** The gateway's MAC address in these tests. */
export const OWN_MAC = 0x525400123402;
/** The guest's. */
export const GUEST_MAC = 0x525400123456;

/** Keeps copies of frames. */
export class FrameLink implements FrameSink {
  readonly name = "test";
  readonly mtu: number;
  readonly offload: boolean;
  /** Whether it takes frames. */
  takes = true;
  /** What the sender told of each frame. */
  readonly told: boolean[] = [];
  /** What it was given. */
  readonly frames: Frame[] = [];
  /** Who sends on it. */
  readonly sender: FrameSender;

  constructor({ offload = false, mtu = 1500 } = {}) {
    this.offload = offload;
    this.mtu = mtu;
    this.sender = new FrameSender(this, {
      sourceMac: OWN_MAC,
      sent: (taken) => this.told.push(taken),
      unresolved: () => {},
    });
    this.sender.destinationMac = GUEST_MAC;
  }

  send(frame: Frame): boolean {
    const copy = new Frame().set(frame.bytes.slice(frame.start, frame.end), 0, frame.length);
    const { checksum, checksumField, segmentSize } = frame;
    this.frames.push(
      Object.assign(copy, { checksum, checksumField, segmentSize, transport: frame.transport - frame.start }),
    );
    return this.takes;
  }

  flush(): void {}
}

/** A buffer that is painted but for a TCP header with a payload, and where these begin and end. */
export function segment(length: number): { bytes: Uint8Array; start: number; end: number } {
  const bytes = painted(SEGMENT_HEADROOM + length + 10), header = new TcpHeader(), start = SEGMENT_HEADROOM - 20;
  header.flags = TCP_ACK;
  encodeTcp(bytes, start, header);
  bytes.set(pattern(length), SEGMENT_HEADROOM);
  return { bytes, start, end: SEGMENT_HEADROOM + length };
}
