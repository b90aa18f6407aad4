/**
 * The descriptor of one Ethernet frame in a buffer, and of what may be left undone in it.
 *
 * A `Frame` carries no bytes of its own: it points into a buffer that someone else owns, and one descriptor is filled
 * again and again, so that a frame costs no allocation. The offload fields say what Linux's virtio-net header says
 * (VIRTIO 1.2 section 5.1.6): that the transport checksum holds only the pseudo-header's sum, and that one TCP segment
 * of up to 64 KiB stands for many.
 *
 * @module
 */

import { writeUint16 } from "./bytes.ts";
import { checksumAdd, checksumFinish } from "./checksum.ts";

/** The transport checksum is complete and nobody has verified it. */
export const CHECKSUM_COMPLETE = 0;
/** The transport checksum field holds the pseudo-header's sum alone; the bytes never left this machine. */
export const CHECKSUM_PARTIAL = 1;
/** The transport checksum is complete and the link has verified it. */
export const CHECKSUM_VERIFIED = 2;

/** The state of a frame's transport checksum. */
export type ChecksumState = typeof CHECKSUM_COMPLETE | typeof CHECKSUM_PARTIAL | typeof CHECKSUM_VERIFIED;

/**
 * Bytes that must be free in front of a segment's payload: room for a link's own header (virtio-net 10, stream framing
 * 4), Ethernet (14), IPv6 (40) and TCP with all its options (60), written in place.
 */
export const SEGMENT_HEADROOM = 128;

/** A frame in a buffer: which bytes, and what is left undone in them. */
export class Frame {
  /** The buffer. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of the frame's first byte (the Ethernet destination). */
  start = 0;
  /** Offset after the frame's last byte. */
  end = 0;
  /** What is known of the transport checksum. */
  checksum: ChecksumState = CHECKSUM_COMPLETE;
  /** Offset of the transport header; meaningful where `checksum` is partial or `segmentSize` is not 0. */
  transport = 0;
  /** Distance of the checksum field from `transport`: 16 for TCP, 6 for UDP. */
  checksumField = 0;
  /** Payload bytes a segment when a link or kernel cuts this TCP segment up; 0: it is one as it stands. */
  segmentSize = 0;

  /** Points at `bytes[start, end)`, with a complete checksum and nothing to segment. */
  set(bytes: Uint8Array, start: number, end: number): this {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.checksum = CHECKSUM_COMPLETE;
    this.transport = 0;
    this.checksumField = 0;
    this.segmentSize = 0;
    return this;
  }

  /** Length in bytes. */
  get length(): number {
    return this.end - this.start;
  }
}

/** Distance of UDP's checksum field from its header. */
const UDP_CHECKSUM_FIELD = 6;

/**
 * Completes a partial checksum in place. A frame of which the marks do not fit is left alone: whoever made it may have
 * marked anything.
 */
export function completeChecksum(frame: Frame): void {
  if (frame.checksum !== CHECKSUM_PARTIAL) return;
  const { bytes, start, end, transport } = frame, field = transport + frame.checksumField;
  frame.checksum = CHECKSUM_VERIFIED;
  if (!(transport >= start && field >= transport && field + 2 <= end)) return;
  const sum = checksumFinish(checksumAdd(bytes, transport, end));
  // 0 would mean that a datagram has no checksum (RFC 768).
  writeUint16(bytes, field, sum === 0 && frame.checksumField === UDP_CHECKSUM_FIELD ? 0xffff : sum);
}
