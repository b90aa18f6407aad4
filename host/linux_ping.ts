/**
 * ICMP echo over sockets of Linux, of either family, on two kinds of them (`linux_datagram_socket.ts`).
 *
 * **Ping sockets** (`SOCK_DGRAM`, icmp(7)) are for users in a group of net.ipv4.ping_group_range, which holds for IPv6
 * too: the kernel chooses the identifier, computes the checksum, and gives a socket the replies to its own requests
 * alone.
 *
 * **One raw socket** of the family serves all owners where the kernel refuses ping sockets but not raw ones, which root
 * may open. It gets the echo replies to every program of the host, and they are told apart by identifiers that are
 * chosen here; the same goes for errors. It is opened with the first owner and closed with the last. Of IPv6 the kernel
 * keeps the IP header to itself, and both writes and checks the checksum (RFC 3542 section 3.1).
 *
 * @module
 */
import type { HostEndpoint, HostError, HostPingHandler, HostPingSocket } from "../nat/host.ts";
import type { IpAddress } from "../net/wire/address.ts";
import { readUint16, writeUint16 } from "../net/wire/bytes.ts";
import { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, icmpv4ChecksumValid, icmpv4SetEcho } from "../net/wire/icmpv4.ts";
import { ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST } from "../net/wire/icmpv6.ts";
import { checkIpv4, ipv4HeaderLength, ipv4TotalLength } from "../net/wire/ipv4.ts";
import {
  AF_INET,
  AF_INET6,
  EACCES,
  EPERM,
  EPROTONOSUPPORT,
  ICMP6_FILTER,
  ICMP_FILTER,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type Libc,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_RAW,
} from "../net/linux/libc.ts";
import { type DatagramOwner, type DatagramUser, LinuxDatagramSocket } from "./linux_datagram_socket.ts";
import { hostError } from "./linux_error.ts";
import { openOutbound, type OutboundAddresses } from "./outbound.ts";
import type { QueuedError } from "./linux_error_queue.ts";

const HEADER_LENGTH = 8;
const IDENTIFIER = 4;
const SEQUENCE = 6;
const IDENTIFIERS = 65536;

/** What echo of one family is to the kernel. */
interface EchoFamily {
  readonly domain: number;
  readonly protocol: number;
  readonly request: number;
  readonly reply: number;
  /** Lets a raw socket have echo replies alone. */
  filter(libc: Libc, fd: number): void;
}

const FAMILIES: { readonly 4: EchoFamily; readonly 6: EchoFamily } = {
  4: {
    domain: AF_INET,
    protocol: IPPROTO_ICMP,
    request: ICMP_ECHO_REQUEST,
    reply: ICMP_ECHO_REPLY,
    filter(libc, fd) {
      const filter = allBut(1, ICMP_ECHO_REPLY);
      libc.setsockopt(fd, SOL_RAW, ICMP_FILTER, filter, filter.length);
    },
  },
  6: {
    domain: AF_INET6,
    protocol: IPPROTO_ICMPV6,
    request: ICMPV6_ECHO_REQUEST,
    reply: ICMPV6_ECHO_REPLY,
    filter(libc, fd) {
      const filter = allBut(8, ICMPV6_ECHO_REPLY);
      libc.setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, filter, filter.length);
    },
  },
};

/** A filter of so many words, of which every bit but that of `type` is set. */
function allBut(words: number, type: number): Uint8Array {
  const filter = new Uint32Array(words).fill(0xffffffff);
  filter[type >>> 5]! &= ~(1 << (type & 31));
  return new Uint8Array(filter.buffer);
}

/** What ping sockets need of their host. */
export interface LinuxPingOwner extends DatagramOwner {
  /** From where requests go out. */
  readonly outbound: OutboundAddresses;
}

/** The ping sockets of a host. */
export class LinuxPing {
  readonly #owner: LinuxPingOwner;
  readonly #sockets = new Set<PingSocket>();
  readonly #raw = new Map<EchoFamily, RawSocket>();

  /** Opens nothing yet. */
  constructor(owner: LinuxPingOwner) {
    this.#owner = owner;
  }

  /** Opens a socket, or answers why the host has none. */
  open(version: 4 | 6, handler: HostPingHandler): HostPingSocket | HostError {
    const family = FAMILIES[version], socket = this.#openPing(family, handler);
    if (typeof socket === "string") return socket === "prohibited" ? this.#openRaw(family, handler) : socket;
    this.#sockets.add(socket);
    return socket;
  }

  /** Closes every socket. */
  close(): void {
    for (const socket of this.#sockets) socket.close();
    for (const socket of this.#raw.values()) socket.close();
  }

  #openPing(family: EchoFamily, handler: HostPingHandler): PingSocket | HostError {
    const gone = (socket: PingSocket) => void this.#sockets.delete(socket);
    return this.#create(family, SOCK_DGRAM, (fd) => new PingSocket(this.#owner, fd, { family, handler, gone }));
  }

  #openRaw(family: EchoFamily, handler: HostPingHandler): HostPingSocket | HostError {
    let raw = this.#raw.get(family);
    if (raw === undefined) {
      const gone = (socket: RawSocket) => {
        if (this.#raw.get(family) === socket) this.#raw.delete(family);
      };
      const created = this.#create(family, SOCK_RAW, (fd) => new RawSocket(this.#owner, fd, { family, gone }));
      if (typeof created === "string") return created;
      this.#raw.set(family, raw = created);
    }
    return raw.share(handler);
  }

  #create<T>(family: EchoFamily, type: number, wrap: (fd: number) => T): T | HostError {
    const { libc } = this.#owner, version = family.domain === AF_INET ? 4 : 6;
    const fd = openOutbound(this.#owner, version, type, family.protocol);
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
  readonly #family: EchoFamily;
  readonly #handler: HostPingHandler;
  readonly #socket: LinuxDatagramSocket;
  readonly #gone: (socket: PingSocket) => void;

  constructor(
    owner: DatagramOwner,
    fd: number,
    { family, handler, gone }: { family: EchoFamily; handler: HostPingHandler; gone: (socket: PingSocket) => void },
  ) {
    this.#family = family;
    this.#handler = handler;
    this.#gone = gone;
    this.#socket = new LinuxDatagramSocket(owner, fd, this, handler.payer);
  }

  send(bytes: Uint8Array, start: number, end: number, to: IpAddress): boolean {
    bytes[start] = this.#family.request;
    bytes[start + 1] = 0;
    return this.#socket.send(bytes, start, end, { address: to, port: 0 });
  }

  close(): void {
    this.#socket.close();
    this.#gone(this);
  }

  datagramReceived(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    if (isEcho(this.#family.reply, bytes, start, end)) this.#handler.hostEchoReply(bytes, start, end, from.address);
  }

  datagramFailed(error: QueuedError): void {
    tellFailure(this.#handler, error);
  }
}

/** A socket for all replies of a family that come to the host. */
class RawSocket implements DatagramUser {
  readonly #family: EchoFamily;
  readonly #socket: LinuxDatagramSocket;
  readonly #gone: (socket: RawSocket) => void;
  readonly #handlers = new Map<number, HostPingHandler>();
  #nextIdentifier = crypto.getRandomValues(new Uint16Array(1))[0]!;

  constructor(
    owner: DatagramOwner,
    fd: number,
    { family, gone }: { family: EchoFamily; gone: (socket: RawSocket) => void },
  ) {
    this.#family = family;
    this.#gone = gone;
    family.filter(owner.libc, fd);
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
        this.#prepare(bytes, start, end, identifier);
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

  datagramReceived(bytes: Uint8Array, at: number, last: number, from: HostEndpoint): void {
    let start = at, end = last;
    if (this.#family.domain === AF_INET) {
      if (!checkIpv4(bytes, at, last)) return;
      start = at + ipv4HeaderLength(bytes, at);
      end = at + ipv4TotalLength(bytes, at);
      // A raw socket of IPv4 gets a message before the kernel has looked at its checksum.
      if (end - start < HEADER_LENGTH || !icmpv4ChecksumValid(bytes, start, end)) return;
    }
    if (!isEcho(this.#family.reply, bytes, start, end)) return;
    this.#handlers.get(readUint16(bytes, start + IDENTIFIER))?.hostEchoReply(bytes, start, end, from.address);
  }

  datagramFailed(error: QueuedError): void {
    const { data, dataLength } = error;
    if (!isEcho(this.#family.request, data, 0, dataLength)) return;
    const handler = this.#handlers.get(readUint16(data, IDENTIFIER));
    if (handler !== undefined) tellFailure(handler, error);
  }

  #prepare(bytes: Uint8Array, start: number, end: number, identifier: number): void {
    const { domain, request } = this.#family;
    if (domain === AF_INET) return icmpv4SetEcho(bytes, start, end, request, identifier);
    bytes[start] = request;
    bytes[start + 1] = 0;
    writeUint16(bytes, start + IDENTIFIER, identifier);
  }
}

function isEcho(type: number, bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= HEADER_LENGTH && bytes[start] === type;
}

function tellFailure(handler: HostPingHandler, { error, to, mtu, data, dataLength }: QueuedError): void {
  const sequence = dataLength >= HEADER_LENGTH ? readUint16(data, SEQUENCE) : 0;
  handler.hostEchoFailed(error, to.address, { mtu, sequence });
}
