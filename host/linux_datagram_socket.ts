/**
 * A socket of Linux for datagrams, of whatever protocol: non-blocking, not connected, with any number of peers.
 *
 * **Receiving.** Datagrams are received into one buffer that all sockets share, behind room for the headers that the
 * gateway puts in front of them, at most `DATAGRAMS_PER_TURN` a turn.
 *
 * **Errors** come from the socket's error queue, which is read whenever the socket reports one. An error that is queued
 * also fails the next call on the socket, once: a send that fails is therefore tried again. One that fails by itself
 * (no route, forbidden) is told in the same way, in a later call; while one such waits, the next is a datagram that was
 * not taken.
 *
 * **Several at once.** Datagrams of one length to one peer may be sent in one call (udp(7), `UDP_SEGMENT`): the kernel
 * routes and delivers them as one and cuts them up last. Where it refuses (no such kernel, a path that is too narrow)
 * each is sent by itself. Those that are not taken then are told in a later call, as `exhausted`.
 *
 * @module
 */
import { SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { IpAddress } from "../net/wire/address.ts";
import type { HostEndpoint, HostError } from "../nat/host.ts";
import {
  EAGAIN,
  errno,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVERR,
  type Libc,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
} from "../net/linux/libc.ts";
import { BROKEN, type EventLoop, READABLE, type Watch } from "../net/linux/event_loop.ts";
import { CMSG_HEADER, type MessageHeader } from "../net/linux/msghdr.ts";
import { readSockaddr, scopeOf, SOCKADDR_SIZE, writeSockaddr } from "../net/linux/sockaddr.ts";
import { hostError } from "./linux_error.ts";
import { ERROR_DATA_SIZE, type QueuedError, takeError } from "./linux_error_queue.ts";

const DATAGRAMS_PER_TURN = 32;
const LARGEST_DATAGRAM = 65536;
/**
 * Bytes that a socket's buffers are to hold, so that a turn's worth of large datagrams waits instead of being lost; the
 * kernel gives as much as net.core.rmem_max and wmem_max allow, and takes memory only for what waits.
 */
const BUFFER_BYTES = new Uint8Array(new Uint32Array([1 << 20]).buffer);

/** Value of a socket option that is on. */
export const ENABLE: Uint8Array = new Uint8Array([1, 0, 0, 0]);

/** Who is told what happens to a socket. None is called after `close`, and none from within a call of the owner. */
export interface DatagramUser {
  /**
   * A datagram came. The bytes, and all in front of them, are the user's until this returns. The port is 0 where the
   * protocol has none.
   */
  datagramReceived(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void;
  /** A datagram that was sent did not arrive. Valid until this returns. */
  datagramFailed(error: QueuedError): void;
}

/** Datagrams of one length that stand behind each other. */
export interface Segments {
  /** Their bytes. */
  readonly bytes: Uint8Array;
  /** Where the last ends; the first begins at 0. */
  end: number;
  /** Bytes of each; the last may have fewer. */
  size: number;
  /** A header for `bytes` with a control message whose data are the size. */
  readonly message: MessageHeader;
}

/** What a socket needs of its host. */
export interface DatagramOwner {
  /** The loop. */
  readonly loop: EventLoop;
  /** The C library. */
  readonly libc: Libc;
}

const target = new Uint8Array(SOCKADDR_SIZE);
const sender = new Uint8Array(SOCKADDR_SIZE);
const senderWords = new Int32Array(sender.buffer);
const senderLength = new Uint32Array(1);
let received: { bytes: Uint8Array; room: Uint8Array; roomLength: bigint } | undefined;
let queued: QueuedError | undefined;

/** A socket on a descriptor. */
export class LinuxDatagramSocket {
  readonly #owner: DatagramOwner;
  readonly #user: DatagramUser;
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #lastSender = new Int32Array(SOCKADDR_SIZE / 4);
  #from: HostEndpoint | undefined;
  #failed: QueuedError | undefined;
  #notTaken: HostEndpoint[] = [];
  #closed = false;

  /**
   * Takes an open socket, whose work takes `payer`'s time. Throws an `Error` when the loop cannot watch it; it is the
   * caller's then.
   */
  constructor(owner: DatagramOwner, fd: number, user: DatagramUser, payer?: object) {
    this.#owner = owner;
    this.#user = user;
    this.#fd = fd;
    const { libc } = owner;
    // Each is refused by a socket of the other family; a socket of IPv6 that takes both has both queues.
    libc.setsockopt(fd, IPPROTO_IP, IP_RECVERR, ENABLE, ENABLE.length);
    libc.setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, ENABLE, ENABLE.length);
    libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES, BUFFER_BYTES.length);
    libc.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES, BUFFER_BYTES.length);
    this.#watch = owner.loop.watch(fd, this, { share: owner.loop.shares.find(payer) });
    this.#watch.setInterest(READABLE | BROKEN);
  }

  /** Sends `bytes[start, end)`; returns whether it was taken or its failure will be told. */
  send(bytes: Uint8Array, start: number, end: number, to: HostEndpoint): boolean {
    if (this.#closed) return false;
    const { libc } = this.#owner, scope = to.zone === undefined ? 0 : scopeOf(to.zone);
    // Without its interface a link-local address would be looked for on another one.
    if (to.zone !== undefined && scope === 0) return this.#fail("networkUnreachable", bytes, start, end, to);
    const length = writeSockaddr(target, to.address, to.port, scope), size = BigInt(end - start);
    const datagram = start === 0 ? bytes : bytes.subarray(start, end);
    if (libc.sendto(this.#fd, datagram, size, 0, target, length) >= 0) return true;
    if (errno() === EAGAIN) return false;
    // What failed may be an earlier datagram, whose error this call has used up.
    this.#watch.raise(BROKEN);
    if (libc.sendto(this.#fd, datagram, size, 0, target, length) >= 0) return true;
    const code = errno();
    return code !== EAGAIN && this.#fail(hostError(code), bytes, start, end, to);
  }

  /** Returns whether the failure will be told. */
  #fail(error: HostError, bytes: Uint8Array, start: number, end: number, to: HostEndpoint): boolean {
    if (this.#failed !== undefined) return false;
    const data = bytes.slice(start, Math.min(end, start + ERROR_DATA_SIZE));
    this.#failed = { error, to, mtu: 0, data, dataLength: data.length };
    this.#watch.raise(BROKEN);
    return true;
  }

  /** Sends several datagrams to one peer, or one. Those that are not taken will be told. */
  sendSegments(segments: Segments, to: HostEndpoint): void {
    const { bytes, end, size } = segments;
    if (this.#closed || (end > size && this.#sendAtOnce(segments, to))) return;
    for (let at = 0; at < end; at += size) {
      if (!this.send(bytes, at, Math.min(end, at + size), to)) this.#notTaken.push(to);
    }
    if (this.#notTaken.length > 0) this.#watch.raise(BROKEN);
  }

  /** Closes the socket. May be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.loop.release(this.#watch);
  }

  /** For the loop: the socket is ready. */
  ready(due: number): void {
    if ((due & BROKEN) !== 0) this.#readErrors();
    if ((due & READABLE) !== 0 && !this.#closed) this.#readDatagrams();
  }

  #sendAtOnce({ message, end, size }: Segments, to: HostEndpoint): boolean {
    if (to.zone !== undefined) return false;
    message.nameLength = writeSockaddr(message.name, to.address, to.port);
    message.bufferLength = end;
    message.control.setUint16(CMSG_HEADER, size, true);
    return this.#owner.libc.sendmsg(this.#fd, message.bytes, 0) >= 0;
  }

  #readDatagrams(): void {
    const { libc } = this.#owner, { bytes, room, roomLength } = received ??= createBuffer();
    for (let i = 0; i < DATAGRAMS_PER_TURN && !this.#closed; i++) {
      senderLength[0] = SOCKADDR_SIZE;
      const length = libc.recvfrom(this.#fd, room, roomLength, 0, sender, senderLength);
      if (length < 0) {
        if (errno() === EAGAIN) {
          this.#watch.ready &= ~READABLE;
          return;
        }
        this.#readErrors();
        continue;
      }
      const from = this.#sender();
      if (from) this.#user.datagramReceived(bytes, SEGMENT_HEADROOM, SEGMENT_HEADROOM + length, from);
    }
  }

  #readErrors(): void {
    this.#watch.ready &= ~BROKEN;
    const failed = this.#failed, error = queued ??= createError();
    this.#failed = undefined;
    if (failed !== undefined) this.#user.datagramFailed(failed);
    while (this.#notTaken.length > 0 && !this.#closed) {
      this.#user.datagramFailed({ ...createError(), error: "exhausted", to: this.#notTaken.pop()! });
    }
    for (let i = 0; i < DATAGRAMS_PER_TURN && !this.#closed; i++) {
      if (!takeError(this.#owner.libc, this.#fd, error)) return;
      this.#user.datagramFailed(error);
    }
    if (!this.#closed) this.#watch.raise(BROKEN);
  }

  // Datagrams of one peer follow each other, so its address is not built anew each time.
  #sender(): HostEndpoint | undefined {
    const last = this.#lastSender;
    let same = this.#from !== undefined;
    for (let i = 0; i < last.length; i++) {
      if (last[i] === senderWords[i]) continue;
      same = false;
      last[i] = senderWords[i]!;
    }
    if (!same) this.#from = readSockaddr(sender);
    return this.#from;
  }
}

function createBuffer(): { bytes: Uint8Array; room: Uint8Array; roomLength: bigint } {
  const bytes = new Uint8Array(SEGMENT_HEADROOM + LARGEST_DATAGRAM);
  return { bytes, room: bytes.subarray(SEGMENT_HEADROOM), roomLength: BigInt(LARGEST_DATAGRAM) };
}

function createError(): QueuedError {
  const to = { address: IpAddress.fromIpv4(0), port: 0 };
  return { error: "other", to, mtu: 0, data: new Uint8Array(0), dataLength: 0 };
}
