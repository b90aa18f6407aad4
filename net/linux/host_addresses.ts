/**
 * Which addresses are this host's own, asked of Linux's routing (rtnetlink(7)).
 *
 * **An address** is looked up as the kernel would for a packet: if the route's type is local, broadcast or anycast, the
 * packet would not leave the host. So every interface counts, both families, loopback, and what is local by a route
 * alone; and an answer is never older than the question. The kernel answers within the call that asks.
 *
 * **Changes** of addresses and routes are told to a second socket, which is looked at when somebody wants to know;
 * nothing runs while nobody does. If more changed than it holds, that is a change too.
 *
 * An address that the kernel does not answer about counts as the host's, unless there is no route to it.
 *
 * @module
 */
import type { HostAddresses } from "../../nat/host.ts";
import type { IpAddress } from "../wire/address.ts";
import {
  AF_INET,
  AF_INET6,
  describeErrno,
  EAGAIN,
  EHOSTUNREACH,
  EINTR,
  ENETUNREACH,
  errno,
  type Libc,
  libc,
  SOCK_NONBLOCK_CLOEXEC,
  SOCK_RAW,
} from "./libc.ts";

const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
// RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE.
const GROUPS = 0x10 | 0x40 | 0x100 | 0x400;
const NLMSG_ERROR = 2;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
const RTA_DST = 1;
const RTN_LOCAL = 2;
const RTN_BROADCAST = 3;
const RTN_ANYCAST = 4;

/** Messages about changes that are taken at a time; more of them are a further change. */
const MOST_DRAINED = 256;
const HEADER = 16;
const ROUTE = 12;
const ATTRIBUTE = 4;
const ROUTE_TYPE_AT = HEADER + 7;
const ERROR_AT = HEADER;

/** The addresses of this network namespace, as Linux knows them. */
export class LinuxHostAddresses implements HostAddresses, Disposable {
  readonly #libc: Libc = libc();
  readonly #routes: number;
  readonly #changes: number;
  readonly #bytes = new Uint8Array(1 << 13);
  readonly #view = new DataView(this.#bytes.buffer);
  #sequence = 0;
  #version = 0;

  /** Throws `Deno.errors.NotSupported` or `NotCapable` as `libc` does, and an `Error` if the kernel gives no socket. */
  constructor() {
    this.#routes = this.#open(0);
    try {
      this.#changes = this.#open(GROUPS);
    } catch (error) {
      this.#libc.close(this.#routes);
      throw error;
    }
  }

  version(): number {
    // A failure other than EAGAIN, such as ENOBUFS, tells that messages were lost.
    if (this.#isNews()) {
      this.#version++;
      for (let i = 0; i < MOST_DRAINED && this.#isNews(); i++);
    }
    return this.#version;
  }

  has(address: IpAddress): boolean {
    const length = this.#ask(address), bytes = this.#bytes;
    if (this.#libc.send(this.#routes, bytes.subarray(0, length), BigInt(length), 0) < 0) return true;
    for (;;) {
      const count = this.#libc.recv(this.#routes, bytes, BigInt(bytes.length), 0);
      if (count < 0 && errno() === EINTR) continue;
      if (count < HEADER + ROUTE) return true;
      // What answers an earlier question is passed over.
      if (this.#view.getUint32(8, true) === this.#sequence) return this.#isOwn();
    }
  }

  [Symbol.dispose](): void {
    this.#libc.close(this.#routes);
    this.#libc.close(this.#changes);
  }

  #isNews(): boolean {
    const count = this.#libc.recv(this.#changes, this.#bytes, BigInt(this.#bytes.length), 0);
    return count >= 0 || errno() !== EAGAIN;
  }

  #isOwn(): boolean {
    const kind = this.#view.getUint16(4, true);
    if (kind === RTM_NEWROUTE) {
      const type = this.#bytes[ROUTE_TYPE_AT];
      return type === RTN_LOCAL || type === RTN_BROADCAST || type === RTN_ANYCAST;
    }
    const code = kind === NLMSG_ERROR ? -this.#view.getInt32(ERROR_AT, true) : 0;
    return code !== ENETUNREACH && code !== EHOSTUNREACH;
  }

  /** Writes the question and returns its length. */
  #ask(address: IpAddress): number {
    const view = this.#view, size = address.isIpv4 ? 4 : 16, length = HEADER + ROUTE + ATTRIBUTE + size;
    this.#bytes.fill(0, 0, length);
    this.#sequence = (this.#sequence + 1) >>> 0;
    view.setUint32(0, length, true);
    view.setUint16(4, RTM_GETROUTE, true);
    view.setUint16(6, NLM_F_REQUEST, true);
    view.setUint32(8, this.#sequence, true);
    view.setUint8(HEADER, address.isIpv4 ? AF_INET : AF_INET6);
    view.setUint8(HEADER + 1, 8 * size);
    view.setUint16(HEADER + ROUTE, ATTRIBUTE + size, true);
    view.setUint16(HEADER + ROUTE + 2, RTA_DST, true);
    address.writeTo(this.#bytes, HEADER + ROUTE + ATTRIBUTE);
    return length;
  }

  #open(groups: number): number {
    const fd = this.#libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK_CLOEXEC, NETLINK_ROUTE);
    const address = new Uint8Array(12), view = new DataView(address.buffer);
    view.setUint16(0, AF_NETLINK, true);
    view.setUint32(8, groups, true);
    if (fd >= 0 && this.#libc.bind(fd, address, address.length) === 0) return fd;
    const cause = describeErrno(errno());
    if (fd >= 0) this.#libc.close(fd);
    throw new Error(`Cannot learn the host's addresses: ${cause}, a netlink socket is needed`);
  }
}
