/**
 * A TCP port of the host that is listened on, as a non-blocking socket of Linux in the event loop.
 *
 * **Accepting** is by readiness: the loop says that clients wait, and they are accepted until there is none left or `ACCEPTS_PER_TURN` were, then again in the
 * next turn. An accepted socket has the options of `setTcpOptions` from the listener, which Linux hands on, so that none of its first bytes comes before
 * them.
 *
 * **Out of descriptors.** A client that cannot be accepted stays in the kernel's queue, which is edge-triggered and would say nothing more of it: it would hang. So
 * the host keeps one spare descriptor for as long as it listens; it is given up, the client is accepted in its place and reset, and the spare is taken
 * again. Each client learns at once, and none is looked for by polling.
 *
 * **Restarting.** SO_REUSEADDR lets a port be taken on which only connections in TIME-WAIT are left; it never lets two listen. An IPv6 socket takes both families, so `::`
 * is every address.
 *
 * @module
 */
import { BROKEN, type EventLoop, READABLE, type Watch } from "../net/linux/event_loop.ts";
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  errno,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  type Libc,
  SO_LINGER,
  SO_REUSEADDR,
  SOCK_NONBLOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../net/linux/libc.ts";
import { readSockaddr, SOCKADDR_SIZE, writeSockaddr } from "../net/linux/sockaddr.ts";
import type { HostEndpoint, HostListener, HostListenError, HostListenHandler } from "../nat/host.ts";
import { listenError } from "./linux_error.ts";
import { LinuxTcpSocket, setTcpOptions } from "./linux_tcp.ts";

const ACCEPTS_PER_TURN = 64;
/** Clients that the kernel may keep waiting; it cuts this to net.core.somaxconn. */
const BACKLOG = 4096;
const ENABLE = new Uint8Array([1, 0, 0, 0]);
const DISABLE = new Uint8Array(4);
const LINGER_ZERO = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);

const sockaddr = new Uint8Array(SOCKADDR_SIZE);
const sockaddrLength = new Uint32Array(1);

/** What a listener needs of its host. */
export interface LinuxListenOwner {
  /** The loop. */
  readonly loop: EventLoop;
  /** The C library. */
  readonly libc: Libc;
  /** The sockets that were accepted. */
  readonly open: Set<LinuxTcpSocket>;
  /** The listeners. */
  readonly listeners: Set<LinuxListener>;
  /** A descriptor to be given up when there is no other; -1: none. */
  spare: number;
}

/** A `HostListener` on a descriptor. Made by `listenLinuxTcp`. */
export class LinuxListener implements HostListener {
  readonly local: HostEndpoint;
  readonly #owner: LinuxListenOwner;
  readonly #handler: HostListenHandler;
  readonly #fd: number;
  readonly #watch: Watch;
  #closed = false;

  /** Takes a descriptor that listens. Throws an `Error` when the loop cannot watch it; it is the caller's then. */
  constructor(owner: LinuxListenOwner, socket: { fd: number; local: HostEndpoint }, handler: HostListenHandler) {
    this.#owner = owner;
    this.#handler = handler;
    this.#fd = socket.fd;
    this.local = socket.local;
    this.#watch = owner.loop.watch(socket.fd, this);
    this.#watch.setInterest(READABLE | BROKEN);
    owner.listeners.add(this);
    if (owner.spare < 0) owner.spare = takeSpare(owner.libc);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.loop.release(this.#watch);
    const { listeners, libc, spare } = this.#owner;
    listeners.delete(this);
    if (listeners.size > 0 || spare < 0) return;
    libc.close(spare);
    this.#owner.spare = -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#owner.loop.allClosed();
  }

  /** For the loop: clients wait. */
  ready(): void {
    this.#watch.ready &= ~BROKEN;
    for (let i = 0; i < ACCEPTS_PER_TURN && !this.#closed; i++) {
      const fd = this.#accept();
      if (fd >= 0) {
        this.#hand(fd);
        continue;
      }
      const code = errno();
      if (code === EAGAIN) {
        this.#watch.ready &= ~READABLE;
        return;
      }
      // Anything else is about that client alone, who has left the queue (accept(2), "Error handling").
      if (isExhaustion(code) && !this.#turnAway()) return;
    }
  }

  #accept(): number {
    sockaddrLength[0] = SOCKADDR_SIZE;
    return this.#owner.libc.accept4(this.#fd, sockaddr, sockaddrLength, SOCK_NONBLOCK_CLOEXEC);
  }

  #hand(fd: number): void {
    const client = readSockaddr(sockaddr), socket = new LinuxTcpSocket(this.#owner, { accepted: fd });
    if (socket.startError !== undefined || client === undefined) {
      socket.close();
      return this.#handler.hostAcceptFailed(socket.startError ?? "other");
    }
    const handler = this.#handler.hostAccepted(socket, client);
    if (handler !== null) socket.serve(handler);
  }

  /**
   * Resets the client that waits first, in place of the spare descriptor. Returns whether there was one: the kernel asks for a descriptor before it looks for
   * a client.
   */
  #turnAway(): boolean {
    const { libc } = this.#owner;
    if (this.#owner.spare >= 0) libc.close(this.#owner.spare);
    const fd = this.#accept(), code = fd < 0 ? errno() : 0;
    if (fd >= 0) {
      libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, LINGER_ZERO, LINGER_ZERO.length);
      libc.close(fd);
    } else {
      // Where not even that can be, the next client's arrival is the next occasion.
      this.#watch.ready &= ~READABLE;
    }
    this.#owner.spare = takeSpare(libc);
    if (code !== EAGAIN) this.#handler.hostAcceptFailed("exhausted");
    return fd >= 0;
  }
}

/** Listens on `local`, or answers why that cannot be. */
export function listenLinuxTcp(
  owner: LinuxListenOwner,
  local: HostEndpoint,
  handler: HostListenHandler,
): LinuxListener | HostListenError {
  const { libc } = owner;
  const bound = bindLinux(libc, SOCK_STREAM, local);
  if (typeof bound === "string") return bound;
  if (libc.listen(bound.fd, BACKLOG) < 0) return closed(libc, bound.fd);
  try {
    return new LinuxListener(owner, bound, handler);
  } catch {
    libc.close(bound.fd);
    return "exhausted";
  }
}

/** A non-blocking socket of `type` bound to `local`, and where that is, or why there is none. */
export function bindLinux(
  libc: Libc,
  type: number,
  { address, port }: HostEndpoint,
): { fd: number; local: HostEndpoint } | HostListenError {
  const isIpv4 = address.isIpv4;
  const fd = libc.socket(isIpv4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) return listenError(errno());
  if (!isIpv4) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, DISABLE, DISABLE.length);
  if (type === SOCK_STREAM) {
    libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ENABLE, ENABLE.length);
    setTcpOptions(libc, fd);
  }
  if (libc.bind(fd, sockaddr, writeSockaddr(sockaddr, address, port)) < 0) return closed(libc, fd);
  sockaddrLength[0] = SOCKADDR_SIZE;
  if (libc.getsockname(fd, sockaddr, sockaddrLength) < 0) return closed(libc, fd);
  return { fd, local: { address, port: readSockaddr(sockaddr)!.port } };
}

/** Closes `fd` after a call failed, and says why that was. */
function closed(libc: Libc, fd: number): HostListenError {
  const error = listenError(errno());
  libc.close(fd);
  return error;
}

/** A descriptor of nothing in particular, or -1. */
function takeSpare(libc: Libc): number {
  return libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK_CLOEXEC, 0);
}

function isExhaustion(code: number): boolean {
  return code === EMFILE || code === ENFILE || code === ENOBUFS || code === ENOMEM;
}
