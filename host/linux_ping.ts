/**
 * ICMP echo over sockets of Linux, on two kinds of them (`linux_datagram_socket.ts`).
 *
 * **Ping sockets** (`SOCK_DGRAM`, icmp(7)) are for users in a group of net.ipv4.ping_group_range: the kernel chooses
 * the identifier, computes the checksum, and gives a socket the replies to its own requests alone.
 *
 * **One raw socket** serves all owners where the kernel refuses ping sockets but not raw ones, which root may open. It
 * gets the echo replies to every program of the host, and they are told apart by identifiers that are chosen here; the
 * same goes for errors. It is opened with the first owner and closed with the last.
 *
 * @module
 */
import type { HostEndpoint, HostError, HostPingHandler, HostPingSocket } from "../nat/host.ts";
import type { IpAddress } from "../net/wire/address.ts";
import {
  checkIcmpv4,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  icmpv4ChecksumValid,
  icmpv4Identifier,
  icmpv4Sequence,
  icmpv4SetIdentifier,
  icmpv4Type,
} from "../net/wire/icmpv4.ts";
import { checkIpv4, ipv4HeaderLength, ipv4TotalLength } from "../net/wire/ipv4.ts";
import { openFlowSocket } from "../net/linux/descriptors.ts";
import {
  AF_INET,
  EACCES,
  EPERM,
  EPROTONOSUPPORT,
  ICMP_FILTER,
  IPPROTO_ICMP,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_RAW,
} from "../net/linux/libc.ts";
import { type DatagramOwner, type DatagramUser, LinuxDatagramSocket } from "./linux_datagram_socket.ts";
import { hostError } from "./linux_error.ts";
import type { QueuedError } from "./linux_error_queue.ts";

/** Every type but echo replies. */
const ALL_BUT_REPLIES = new Uint8Array(new Uint32Array([~(1 << ICMP_ECHO_REPLY)]).buffer);
const IDENTIFIERS = 65536;

/** The ping sockets of a host. */
export class LinuxPing {
  readonly #owner: DatagramOwner;
  readonly #sockets = new Set<PingSocket>();
  #raw: RawSocket | undefined;

  /** Opens nothing yet. */
  constructor(owner: DatagramOwner) {
    this.#owner = owner;
  }

  /** Opens a socket, or answers why the host has none. */
  open(handler: HostPingHandler): HostPingSocket | HostError {
    const socket = this.#openPing(handler);
    if (typeof socket === "string") return socket === "prohibited" ? this.#openRaw(handler) : socket;
    this.#sockets.add(socket);
    return socket;
  }

  /** Closes every socket. */
  close(): void {
    for (const socket of this.#sockets) socket.close();
    this.#raw?.close();
  }

  #openPing(handler: HostPingHandler): PingSocket | HostError {
    const gone = (socket: PingSocket) => void this.#sockets.delete(socket);
    return this.#create(SOCK_DGRAM, (fd) => new PingSocket(this.#owner, fd, handler, gone));
  }

  #openRaw(handler: HostPingHandler): HostPingSocket | HostError {
    if (this.#raw === undefined) {
      const gone = (socket: RawSocket) => {
        if (this.#raw === socket) this.#raw = undefined;
      };
      const raw = this.#create(SOCK_RAW, (fd) => new RawSocket(this.#owner, fd, gone));
      if (typeof raw === "string") return raw;
      this.#raw = raw;
    }
    return this.#raw.share(handler);
  }

  #create<T>(type: number, wrap: (fd: number) => T): T | HostError {
    const { libc } = this.#owner, fd = openFlowSocket(libc, AF_INET, type, IPPROTO_ICMP);
    if (fd < 0) {
      const code = -fd;
      return code === EACCES || code === EPERM || code === EPROTONOSUPPORT ? "prohibited" : hostError(code);
    }
    try {
      return wrap(fd);
    } catch {
      libc.close(fd);
      return "exhausted";
    }
  }
}

/** A socket whose replies the kernel has sorted. */
class PingSocket implements HostPingSocket, DatagramUser {
  readonly #handler: HostPingHandler;
  readonly #socket: LinuxDatagramSocket;
  readonly #gone: (socket: PingSocket) => void;

  constructor(owner: DatagramOwner, fd: number, handler: HostPingHandler, gone: (socket: PingSocket) => void) {
    this.#handler = handler;
    this.#gone = gone;
    this.#socket = new LinuxDatagramSocket(owner, fd, this, handler.payer);
  }

  send(bytes: Uint8Array, start: number, end: number, to: IpAddress): boolean {
    return this.#socket.send(bytes, start, end, { address: to, port: 0 });
  }

  close(): void {
    this.#socket.close();
    this.#gone(this);
  }

  datagramReceived(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    if (isReply(bytes, start, end)) this.#handler.hostEchoReply(bytes, start, end, from.address);
  }

  datagramFailed(error: QueuedError): void {
    tellFailure(this.#handler, error);
  }
}

/** A socket for all replies that come to the host. */
class RawSocket implements DatagramUser {
  readonly #socket: LinuxDatagramSocket;
  readonly #gone: (socket: RawSocket) => void;
  readonly #handlers = new Map<number, HostPingHandler>();
  #nextIdentifier = crypto.getRandomValues(new Uint16Array(1))[0]!;

  constructor(owner: DatagramOwner, fd: number, gone: (socket: RawSocket) => void) {
    this.#gone = gone;
    owner.libc.setsockopt(fd, SOL_RAW, ICMP_FILTER, ALL_BUT_REPLIES, ALL_BUT_REPLIES.length);
    this.#socket = new LinuxDatagramSocket(owner, fd, this);
  }

  /** A part of it with an identifier of its own. */
  share(handler: HostPingHandler): HostPingSocket | HostError {
    const handlers = this.#handlers;
    if (handlers.size === IDENTIFIERS) return "exhausted";
    let identifier = this.#nextIdentifier;
    while (handlers.has(identifier)) identifier = (identifier + 1) % IDENTIFIERS;
    this.#nextIdentifier = (identifier + 1) % IDENTIFIERS;
    handlers.set(identifier, handler);
    return {
      send: (bytes, start, end, to) => {
        if (handlers.get(identifier) !== handler) return false;
        icmpv4SetIdentifier(bytes, start, end, identifier);
        return this.#socket.send(bytes, start, end, { address: to, port: 0 });
      },
      close: () => {
        if (handlers.get(identifier) === handler) handlers.delete(identifier);
        if (handlers.size === 0) this.close();
      },
    };
  }

  close(): void {
    this.#socket.close();
    this.#gone(this);
  }

  datagramReceived(bytes: Uint8Array, ip: number, last: number, from: HostEndpoint): void {
    if (!checkIpv4(bytes, ip, last)) return;
    const start = ip + ipv4HeaderLength(bytes, ip), end = ip + ipv4TotalLength(bytes, ip);
    if (!isReply(bytes, start, end)) return;
    const handler = this.#handlers.get(icmpv4Identifier(bytes, start));
    // Raw sockets get a message before the kernel has looked at its checksum.
    if (handler !== undefined && icmpv4ChecksumValid(bytes, start, end)) {
      handler.hostEchoReply(bytes, start, end, from.address);
    }
  }

  datagramFailed(error: QueuedError): void {
    const { data, dataLength } = error;
    if (!checkIcmpv4(data, 0, dataLength) || icmpv4Type(data, 0) !== ICMP_ECHO_REQUEST) return;
    const handler = this.#handlers.get(icmpv4Identifier(data, 0));
    if (handler !== undefined) tellFailure(handler, error);
  }
}

function isReply(bytes: Uint8Array, start: number, end: number): boolean {
  return checkIcmpv4(bytes, start, end) && icmpv4Type(bytes, start) === ICMP_ECHO_REPLY;
}

function tellFailure(handler: HostPingHandler, { error, to, mtu, data, dataLength }: QueuedError): void {
  const sequence = checkIcmpv4(data, 0, dataLength) ? icmpv4Sequence(data, 0) : 0;
  handler.hostEchoFailed(error, to.address, { mtu, sequence });
}
