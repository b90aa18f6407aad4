/**
 * Datagrams of one turn that go out in one call: of one socket, to one peer, of one length (udp(7), `UDP_SEGMENT`).
 *
 * A call for each datagram is most of what it costs to relay it. So they are copied behind each other, and sent when
 * the turn ends, when one comes that does not belong to them, or when one is shorter than they are, which can only be
 * the last. There is one place for all sockets of a host, so the order in which a guest sent is the order in which they
 * leave, whatever the peer. Large datagrams and empty ones leave by themselves.
 *
 * @module
 */
import type { HostEndpoint } from "../nat/host.ts";
import type { EventLoop } from "../net/linux/event_loop.ts";
import { IPPROTO_UDP, UDP_SEGMENT } from "../net/linux/libc.ts";
import { CMSG_HEADER, MessageHeader } from "../net/linux/msghdr.ts";
import type { LinuxDatagramSocket, Segments } from "./linux_datagram_socket.ts";

/** Datagrams in one call: what every kernel that has `UDP_SEGMENT` takes. */
export const MOST_SEGMENTS = 64;
/** Bytes in one call: the largest payload of one IPv4 packet. */
const MOST_BYTES = 65507;
/** A longer datagram is not copied. */
const LONGEST_COPIED = 16384;

/** The datagrams that wait for the end of the turn. */
export class UdpBatch {
  readonly #loop: EventLoop;
  #segments: Segments | undefined;
  #socket: LinuxDatagramSocket | undefined;
  #to: HostEndpoint | undefined;
  #count = 0;

  /** Nothing waits. */
  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  /**
   * Sends `bytes[start, end)` at the end of the turn at the latest. Returns whether it was taken or its failure will be
   * told.
   */
  send(socket: LinuxDatagramSocket, bytes: Uint8Array, start: number, end: number, to: HostEndpoint): boolean {
    const length = end - start;
    if (length === 0 || length > LONGEST_COPIED) {
      this.flush();
      return socket.send(bytes, start, end, to);
    }
    const segments = this.#segments ??= createSegments();
    const isNext = socket === this.#socket && to === this.#to && length <= segments.size &&
      segments.end + length <= MOST_BYTES;
    if (!isNext) this.#begin(socket, to, length);
    segments.bytes.set(bytes.subarray(start, end), segments.end);
    segments.end += length;
    if (++this.#count === MOST_SEGMENTS || length < segments.size) this.flush();
    return true;
  }

  /** Sends what waits. */
  flush(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    socket.sendSegments(this.#segments!, this.#to!);
  }

  /** `flush`, where it is this socket's. */
  flushOf(socket: LinuxDatagramSocket): void {
    if (this.#socket === socket) this.flush();
  }

  #begin(socket: LinuxDatagramSocket, to: HostEndpoint, size: number): void {
    this.flush();
    this.#socket = socket;
    this.#to = to;
    this.#count = 0;
    this.#segments!.end = 0;
    this.#segments!.size = size;
    this.#loop.requestTurn();
  }
}

function createSegments(): Segments {
  const bytes = new Uint8Array(MOST_BYTES), message = new MessageHeader(bytes, CMSG_HEADER + 8), { control } = message;
  control.setBigUint64(0, BigInt(CMSG_HEADER + 2), true);
  control.setInt32(8, IPPROTO_UDP, true);
  control.setInt32(12, UDP_SEGMENT, true);
  return { bytes, end: 0, size: 0, message };
}
