/**
 * A TCP port of the host that is listened on, as a non-blocking socket of Linux in the event loop.
 *
 * **Accepting** is by readiness (`net/linux/acceptor.ts`), at most `ACCEPTS_PER_TURN` clients a turn. An accepted
 * socket has the options of `setTcpOptions` from the listener, which Linux hands on, so that none of its first bytes
 * comes before them.
 *
 * **Out of descriptors.** A client becomes a flow, and so it does not get one of the last descriptors
 * (`net/linux/descriptors.ts`): it is reset and learns at once.
 *
 * **Restarting.** SO_REUSEADDR lets a port be taken on which only connections in TIME-WAIT are left; it never lets two
 * listen. An IPv6 socket takes both families, so `::` is every address.
 *
 * @module
 */
import { Acceptor } from "../net/linux/acceptor.ts";
import { LEFT_BY_FLOWS } from "../net/linux/descriptors.ts";
import {
  AF_INET,
  AF_INET6,
  cString,
  errno,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  type Libc,
  SO_REUSEADDR,
  SOCK_NONBLOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../net/linux/libc.ts";
import { readSockaddr, SOCKADDR_SIZE, writeSockaddr } from "../net/linux/sockaddr.ts";
import type { HostEndpoint, HostListener, HostListenError, HostListenHandler, HostListenPlace } from "../nat/host.ts";
import { listenError } from "./linux_error.ts";
import { type LinuxTcpOwner, LinuxTcpSocket, setTcpOptions } from "./linux_tcp.ts";

const ACCEPTS_PER_TURN = 64;
/** Clients that the kernel may keep waiting; it cuts this to net.core.somaxconn. */
const BACKLOG = 4096;
const SO_BINDTODEVICE = 25;
const ENABLE = new Uint8Array([1, 0, 0, 0]);
const DISABLE = new Uint8Array(4);

const sockaddr = new Uint8Array(SOCKADDR_SIZE);
const sockaddrLength = new Uint32Array(1);

/** What a listener needs of its host. */
export interface LinuxListenOwner extends LinuxTcpOwner {
  /** The listeners. */
  readonly listeners: Set<LinuxListener>;
}

/** A `HostListener` on a descriptor. Made by `listenLinuxTcp`. */
export class LinuxListener implements HostListener {
  readonly local: HostEndpoint;
  readonly #owner: LinuxListenOwner;
  readonly #handler: HostListenHandler;
  readonly #acceptor: Acceptor;

  /** Takes a descriptor that listens. Throws an `Error` when the loop cannot watch it; it is the caller's then. */
  constructor(owner: LinuxListenOwner, socket: { fd: number; local: HostEndpoint }, handler: HostListenHandler) {
    this.#owner = owner;
    this.#handler = handler;
    this.local = socket.local;
    const accepted = (fd: number, peer: Uint8Array) => this.#hand(fd, peer);
    const acceptFailed = () => handler.hostAcceptFailed("exhausted");
    this.#acceptor = new Acceptor(owner.loop, socket.fd, {
      handler: { accepted, acceptFailed },
      mostPerTurn: ACCEPTS_PER_TURN,
      left: LEFT_BY_FLOWS,
    });
    owner.listeners.add(this);
  }

  close(): void {
    this.#acceptor.close();
    this.#owner.listeners.delete(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#owner.loop.allClosed();
  }

  #hand(fd: number, peer: Uint8Array): void {
    const client = readSockaddr(peer), socket = new LinuxTcpSocket(this.#owner, { accepted: fd });
    if (socket.startError !== undefined || client === undefined) {
      socket.close();
      return this.#handler.hostAcceptFailed(socket.startError ?? "other");
    }
    const handler = this.#handler.hostAccepted(socket, client);
    if (handler !== null) socket.serve(handler);
  }
}

/** Listens on `local`, or answers why that cannot be. */
export function listenLinuxTcp(
  owner: LinuxListenOwner,
  local: HostListenPlace,
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
  { address, port, device }: HostListenPlace,
): { fd: number; local: HostEndpoint } | HostListenError {
  const isIpv4 = address.isIpv4;
  const fd = libc.socket(isIpv4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) return listenError(errno());
  if (!isIpv4) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, DISABLE, DISABLE.length);
  if (type === SOCK_STREAM) {
    libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ENABLE, ENABLE.length);
    setTcpOptions(libc, fd);
  }
  if (device !== undefined) {
    const name = cString(device);
    if (libc.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length) < 0) {
      libc.close(fd);
      return "deviceNotAvailable";
    }
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
