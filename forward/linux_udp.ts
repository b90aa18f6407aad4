/**
 * A UDP socket of the host as a non-blocking socket of Linux: one local port, any number of peers.
 *
 * The socket is not connected, so the kernel would keep ICMP errors to itself (RFC 1122 section 4.1.3.3 wants them
 * passed on); with IP_RECVERR it queues them with the destination they are about, and that queue is read whenever the
 * socket reports an error. An error that is queued also fails the next call on the socket, once: a send that fails is
 * therefore tried again.
 *
 * Datagrams are received into one buffer that all sockets share, at most `DATAGRAMS_PER_TURN` a turn.
 *
 * @module
 */
import type { IpAddress } from "../net/wire/address.ts";
import type {
  HostBoundUdpSocket,
  HostEndpoint,
  HostError,
  HostListenError,
  HostUdpHandler,
  HostUdpSocket,
} from "../nat/host.ts";
import {
  addressOf,
  AF_INET,
  AF_INET6,
  EAGAIN,
  errno,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVERR,
  IPV6_V6ONLY,
  type Libc,
  MSG_ERRQUEUE,
  SOCK_DGRAM,
  SOCK_NONBLOCK_CLOEXEC,
} from "../net/linux/libc.ts";
import { BROKEN, type EventLoop, READABLE, type Watch } from "../net/linux/event_loop.ts";
import { readSockaddr, SOCKADDR_SIZE, writeSockaddr } from "../net/linux/sockaddr.ts";
import { hostError } from "./linux_error.ts";
import { bindLinux } from "./linux_listener.ts";

const DATAGRAMS_PER_TURN = 32;
const ENABLE = new Uint8Array([1, 0, 0, 0]);
const LARGEST_DATAGRAM = 65536n;

const target = new Uint8Array(SOCKADDR_SIZE);
const sender = new Uint8Array(SOCKADDR_SIZE);
const senderWords = new Int32Array(sender.buffer);
const senderLength = new Uint32Array(1);
let buffer: Uint8Array | undefined;

/** What a socket needs of its host. */
export interface LinuxUdpOwner {
  /** The loop. */
  readonly loop: EventLoop;
  /** The C library. */
  readonly libc: Libc;
  /** Told when the socket is open and when it is closed. */
  readonly open: Set<LinuxUdpSocket>;
}

/** A `HostUdpSocket` on a descriptor. Made by `openLinuxUdp`. */
export class LinuxUdpSocket implements HostUdpSocket {
  readonly #owner: LinuxUdpOwner;
  readonly #handler: HostUdpHandler;
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #lastSender = new Int32Array(SOCKADDR_SIZE / 4);
  #from: { address: IpAddress; port: number } | undefined;
  #closed = false;

  /** Takes an open socket. Throws an `Error` when the loop cannot watch it; it is the caller's then. */
  constructor(owner: LinuxUdpOwner, fd: number, handler: HostUdpHandler) {
    this.#owner = owner;
    this.#handler = handler;
    this.#fd = fd;
    this.#watch = owner.loop.watch(fd, this);
    this.#watch.setInterest(READABLE | BROKEN);
    owner.open.add(this);
  }

  send(bytes: Uint8Array, start: number, end: number, to: { address: IpAddress; port: number }): boolean {
    if (this.#closed) return false;
    const { libc } = this.#owner, length = writeSockaddr(target, to.address, to.port), size = BigInt(end - start);
    const datagram = start === 0 ? bytes : bytes.subarray(start, end);
    if (libc.sendto(this.#fd, datagram, size, 0, target, length) >= 0) return true;
    if (errno() === EAGAIN) return false;
    // What failed may be an earlier datagram, whose error this call has used up.
    this.#watch.raise(BROKEN);
    return libc.sendto(this.#fd, datagram, size, 0, target, length) >= 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.open.delete(this);
    this.#owner.loop.release(this.#watch);
  }

  /** For the loop: the socket is ready. */
  ready(due: number): void {
    if ((due & BROKEN) !== 0) this.#readErrors();
    if ((due & READABLE) !== 0 && !this.#closed) this.#readDatagrams();
  }

  #readDatagrams(): void {
    const { libc } = this.#owner, bytes = buffer ??= new Uint8Array(Number(LARGEST_DATAGRAM));
    for (let i = 0; i < DATAGRAMS_PER_TURN && !this.#closed; i++) {
      senderLength[0] = SOCKADDR_SIZE;
      const length = libc.recvfrom(this.#fd, bytes, LARGEST_DATAGRAM, 0, sender, senderLength);
      if (length < 0) {
        if (errno() === EAGAIN) {
          this.#watch.ready &= ~READABLE;
          return;
        }
        this.#readErrors();
        continue;
      }
      const from = this.#sender();
      if (from) this.#handler.hostDatagram(bytes, 0, length, from);
    }
  }

  #readErrors(): void {
    this.#watch.ready &= ~BROKEN;
    for (let i = 0; i < DATAGRAMS_PER_TURN && !this.#closed; i++) {
      const code = receiveError(this.#owner.libc, this.#fd);
      if (code < 0) return;
      const to = code === 0 ? undefined : readSockaddr(sender);
      if (to) this.#handler.hostDatagramFailed(hostError(code), to);
    }
    if (!this.#closed) this.#watch.raise(BROKEN);
  }

  // Datagrams of one peer follow each other, so its address is not built anew each time.
  #sender(): { address: IpAddress; port: number } | undefined {
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

/** Opens a UDP socket, or answers why the host has none. */
export function openLinuxUdp(owner: LinuxUdpOwner, family: 4 | 6, handler: HostUdpHandler): LinuxUdpSocket | HostError {
  const { libc } = owner;
  const fd = libc.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) return hostError(errno());
  if (family === 6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ENABLE, ENABLE.length);
  return watch(owner, fd, handler) ?? "exhausted";
}

/** Opens a UDP socket on `local`, or answers why that cannot be. */
export function bindLinuxUdp(
  owner: LinuxUdpOwner,
  local: HostEndpoint,
  handler: HostUdpHandler,
): HostBoundUdpSocket | HostListenError {
  const bound = bindLinux(owner.libc, SOCK_DGRAM, local);
  if (typeof bound === "string") return bound;
  const socket = watch(owner, bound.fd, handler);
  if (socket === undefined) return "exhausted";
  return Object.assign(socket, {
    local: bound.local,
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await owner.loop.allClosed();
    },
  });
}

/** Has the loop watch a socket of either family; closes it and answers nothing where that cannot be. */
function watch(owner: LinuxUdpOwner, fd: number, handler: HostUdpHandler): LinuxUdpSocket | undefined {
  const { libc } = owner;
  // Each is refused by a socket of the other family; a socket of IPv6 that takes both has both queues.
  libc.setsockopt(fd, IPPROTO_IP, IP_RECVERR, ENABLE, ENABLE.length);
  libc.setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, ENABLE, ENABLE.length);
  try {
    return new LinuxUdpSocket(owner, fd, handler);
  } catch {
    libc.close(fd);
    return undefined;
  }
}

// struct msghdr: name at 0, its length at 8, control at 32, its length at 40. No data is asked for.
const MSGHDR_SIZE = 56;
const CONTROL_SIZE = 512;
// struct cmsghdr (16 bytes) in front of struct sock_extended_err, whose first word is the error number.
const CMSG_HEADER = 16;

let message: DataView<ArrayBuffer> | undefined;
const messageBytes = new Uint8Array(MSGHDR_SIZE);
const control = new DataView(new ArrayBuffer(CONTROL_SIZE));
const controlBytes = new Uint8Array(control.buffer);

/** Takes one queued error and leaves its destination in `sender`: the error number, 0 for none of use, -1 at the end. */
function receiveError(libc: Libc, fd: number): number {
  if (!message) {
    message = new DataView(messageBytes.buffer);
    message.setBigUint64(0, addressOf(sender), true);
    message.setBigUint64(32, addressOf(controlBytes), true);
  }
  message.setUint32(8, SOCKADDR_SIZE, true);
  message.setBigUint64(40, BigInt(CONTROL_SIZE), true);
  if (libc.recvmsg(fd, messageBytes, MSG_ERRQUEUE) < 0) return -1;
  if (message.getUint32(40, true) < CMSG_HEADER + 4) return 0;
  const level = control.getInt32(8, true), type = control.getInt32(12, true);
  const isError = level === IPPROTO_IP ? type === IP_RECVERR : level === IPPROTO_IPV6 && type === IPV6_RECVERR;
  return isError ? control.getUint32(CMSG_HEADER, true) : 0;
}
