/**
 * A UDP socket of the host as a non-blocking socket of Linux: one local port, any number of peers
 * (`linux_datagram_socket.ts`).
 *
 * The kernel cuts up what is larger than the path, whatever the guest wanted; an ICMP "fragmentation needed" that comes
 * back is passed on all the same, so that the guest learns the path's MTU.
 *
 * @module
 */
import type {
  HostBoundUdpSocket,
  HostEndpoint,
  HostError,
  HostListenError,
  HostListenPlace,
  HostUdpHandler,
  HostUdpSocket,
} from "../nat/host.ts";
import { IPPROTO_IPV6, IPV6_V6ONLY, SOCK_DGRAM } from "../net/linux/libc.ts";
import { type DatagramOwner, type DatagramUser, ENABLE, LinuxDatagramSocket } from "./linux_datagram_socket.ts";
import { hostError } from "./linux_error.ts";
import type { QueuedError } from "./linux_error_queue.ts";
import { bindLinux } from "./linux_listener.ts";
import type { UdpBatch } from "./linux_udp_batch.ts";
import { openOutbound, type OutboundAddresses } from "./outbound.ts";

/** What a socket needs of its host. */
export interface LinuxUdpOwner extends DatagramOwner {
  /** Told when the socket is open and when it is closed. */
  readonly open: Set<LinuxUdpSocket>;
  /** From where datagrams go out, unless their socket was bound by its user. */
  readonly outbound: OutboundAddresses;
  /** Through which every socket sends. */
  readonly batch: UdpBatch;
}

/** A `HostUdpSocket` on a descriptor. Made by `openLinuxUdp`. */
export class LinuxUdpSocket implements HostUdpSocket, DatagramUser {
  readonly #owner: LinuxUdpOwner;
  readonly #handler: HostUdpHandler;
  readonly #socket: LinuxDatagramSocket;

  /** Takes an open socket. Throws an `Error` when the loop cannot watch it; it is the caller's then. */
  constructor(owner: LinuxUdpOwner, fd: number, handler: HostUdpHandler) {
    this.#owner = owner;
    this.#handler = handler;
    this.#socket = new LinuxDatagramSocket(owner, fd, this, handler.payer);
    owner.open.add(this);
  }

  send(bytes: Uint8Array, start: number, end: number, to: HostEndpoint): boolean {
    return this.#owner.open.has(this) && this.#owner.batch.send(this.#socket, bytes, start, end, to);
  }

  close(): void {
    this.#owner.batch.flushOf(this.#socket);
    this.#owner.open.delete(this);
    this.#socket.close();
  }

  datagramReceived(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    this.#handler.hostDatagram(bytes, start, end, from);
  }

  datagramFailed({ error, to, mtu }: QueuedError): void {
    this.#handler.hostDatagramFailed(error, to, mtu);
  }
}

/** Opens a UDP socket, or answers why the host has none. */
export function openLinuxUdp(owner: LinuxUdpOwner, family: 4 | 6, handler: HostUdpHandler): LinuxUdpSocket | HostError {
  const { libc } = owner;
  const fd = openOutbound(owner, family, SOCK_DGRAM, 0);
  if (fd < 0) return hostError(-fd);
  if (family === 6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ENABLE, ENABLE.length);
  return watch(owner, fd, handler) ?? "exhausted";
}

/** Opens a UDP socket on `local`, or answers why that cannot be. */
export function bindLinuxUdp(
  owner: LinuxUdpOwner,
  local: HostListenPlace,
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

/** Has the loop watch a socket; closes it and answers nothing where that cannot be. */
function watch(owner: LinuxUdpOwner, fd: number, handler: HostUdpHandler): LinuxUdpSocket | undefined {
  try {
    return new LinuxUdpSocket(owner, fd, handler);
  } catch {
    owner.libc.close(fd);
    return undefined;
  }
}
