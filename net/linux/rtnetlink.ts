/**
 * Questions to Linux's routing, and word of its changes (rtnetlink(7)).
 *
 * An address is looked up as the kernel would for a packet, and the answer is the route that the packet would take; no
 * packet is sent. The kernel answers within the call that asks, so an answer is never older than its question. A socket
 * that is bound to groups is told of changes instead, and all interfaces, addresses or routes can be listed.
 *
 * @module
 */
import type { IpAddress } from "../wire/address.ts";
import { AF_INET, AF_INET6, describeErrno, EINTR, errno, type Libc, SOCK_NONBLOCK_CLOEXEC, SOCK_RAW } from "./libc.ts";

/** Changes of interfaces: up, down, here and gone. */
export const RTMGRP_LINK = 0x1;
/** Changes of IPv4 addresses. */
export const RTMGRP_IPV4_IFADDR = 0x10;
/** Changes of IPv4 routes. */
export const RTMGRP_IPV4_ROUTE = 0x40;
/** Changes of IPv6 addresses. */
export const RTMGRP_IPV6_IFADDR = 0x100;
/** Changes of IPv6 routes. */
export const RTMGRP_IPV6_ROUTE = 0x400;

/** Type of a route: through an interface, to a gateway or a neighbour. */
export const RTN_UNICAST = 1;
/** Type of a route: to this host. */
export const RTN_LOCAL = 2;
/** Type of a route: to all on a link. */
export const RTN_BROADCAST = 3;
/** Type of a route: to this host as one of several. */
export const RTN_ANYCAST = 4;

/** `RouteQueries.ask`: the kernel has not answered. */
export const NO_ANSWER = 0;

const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
/** Asks for interfaces. */
export const RTM_GETLINK = 18;
/** Asks for addresses. */
export const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
/** Asks for routes. */
export const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
/** All there are: NLM_F_ROOT and NLM_F_MATCH. */
const NLM_F_DUMP = 0x300;
/** The answer is the route itself, with its prefix, and not what follows from it for the one address. */
const RTM_F_FIB_MATCH = 0x2000;
const RTA_DST = 1;

const HEADER = 16;
const ROUTE = 12;
const ATTRIBUTE = 4;
/** The type without its flags. */
const ATTRIBUTE_TYPE = 0x3fff;
const PREFIX_AT = HEADER + 1;
const TYPE_AT = HEADER + 7;
const FLAGS_AT = HEADER + 8;
const ERROR_AT = HEADER;
const BUFFER = 1 << 13;
/** The kernel fills a buffer of this size at a time. */
const DUMP_BUFFER = 1 << 15;

/**
 * Opens a socket for questions, or for word of the changes of `groups`. Throws an `Error` that begins with `action` if
 * the kernel gives none.
 */
export function openRouteSocket(libc: Libc, groups: number, action: string): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK_CLOEXEC, NETLINK_ROUTE);
  const address = new Uint8Array(12), view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  if (fd >= 0 && libc.bind(fd, address, address.length) === 0) return fd;
  const cause = describeErrno(errno());
  if (fd >= 0) libc.close(fd);
  throw new Error(`${action}: ${cause}, a netlink socket is needed`);
}

/** Questions on one socket. */
export class RouteQueries {
  /** The prefix length of the route that was answered last. */
  prefixLength = 0;
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #bytes = new Uint8Array(BUFFER);
  readonly #view = new DataView(this.#bytes.buffer);
  #sequence = 0;

  /** On a socket for questions, which stays the caller's. */
  constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  /**
   * The type of the route to `address`, an error number below 0 if there is none, or `NO_ANSWER`. With `match` the
   * prefix length is that of the route, where the kernel can tell (Linux 4.19), else that of the address.
   */
  ask(address: IpAddress, options: { match?: boolean } = {}): number {
    const length = this.#write(address, options.match ? RTM_F_FIB_MATCH : 0), bytes = this.#bytes;
    if (this.#libc.send(this.#fd, bytes.subarray(0, length), BigInt(length), 0) < 0) return NO_ANSWER;
    for (;;) {
      const count = this.#libc.recv(this.#fd, bytes, BigInt(bytes.length), 0);
      if (count < 0 && errno() === EINTR) continue;
      if (count < HEADER + ROUTE) return NO_ANSWER;
      // What answers an earlier question is passed over.
      if (this.#view.getUint32(8, true) === this.#sequence) return this.#read();
    }
  }

  #read(): number {
    const kind = this.#view.getUint16(4, true);
    if (kind === NLMSG_ERROR) return this.#view.getInt32(ERROR_AT, true);
    if (kind !== RTM_NEWROUTE) return NO_ANSWER;
    this.prefixLength = this.#bytes[PREFIX_AT]!;
    return this.#bytes[TYPE_AT]!;
  }

  #write(address: IpAddress, flags: number): number {
    const view = this.#view, size = address.isIpv4 ? 4 : 16, length = HEADER + ROUTE + ATTRIBUTE + size;
    this.#bytes.fill(0, 0, length);
    this.#sequence = (this.#sequence + 1) >>> 0;
    view.setUint32(0, length, true);
    view.setUint16(4, RTM_GETROUTE, true);
    view.setUint16(6, NLM_F_REQUEST, true);
    view.setUint32(8, this.#sequence, true);
    view.setUint8(HEADER, address.isIpv4 ? AF_INET : AF_INET6);
    view.setUint8(PREFIX_AT, 8 * size);
    view.setUint32(FLAGS_AT, flags, true);
    view.setUint16(HEADER + ROUTE, ATTRIBUTE + size, true);
    view.setUint16(HEADER + ROUTE + 2, RTA_DST, true);
    address.writeTo(this.#bytes, HEADER + ROUTE + ATTRIBUTE);
    return length;
  }
}

/** One of the things that a dump lists: its fixed part, and behind that its attributes. */
export interface Listed {
  /** The message. */
  readonly view: DataView;
  /** Where the fixed part begins. */
  readonly at: number;
  /** The value of each attribute by its type: where it begins and ends. */
  readonly attributes: ReadonlyMap<number, { readonly at: number; readonly end: number }>;
}

/**
 * Asks by `request` for everything of `family`, 0 for all, whose fixed part has `fixed` bytes, and calls `visit` for
 * each answer, which is valid until that returns. Returns whether all of it came; if not, a part may have.
 */
export function dumpRoutes(
  libc: Libc,
  fd: number,
  { request, family, fixed }: { readonly request: number; readonly family: number; readonly fixed: number },
  visit: (listed: Listed) => void,
): boolean {
  const bytes = new Uint8Array(DUMP_BUFFER), view = new DataView(bytes.buffer), length = HEADER + fixed;
  view.setUint32(0, length, true);
  view.setUint16(4, request, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true);
  view.setUint8(HEADER, family);
  if (libc.send(fd, bytes.subarray(0, length), BigInt(length), 0) < 0) return false;
  for (;;) {
    const count = Number(libc.recv(fd, bytes, BigInt(bytes.length), 0));
    if (count < 0 && errno() === EINTR) continue;
    if (count < HEADER) return false;
    for (let at = 0; at + HEADER <= count;) {
      const size = view.getUint32(at, true), kind = view.getUint16(at + 4, true), end = at + size;
      if (kind === NLMSG_DONE) return true;
      if (kind === NLMSG_ERROR || size < HEADER || end > count) return false;
      // What a dump lists has the type before that of the question.
      if (kind === request - 2 && size >= HEADER + fixed) {
        visit({ view, at: at + HEADER, attributes: attributesIn(view, at + HEADER + fixed, end) });
      }
      at = end + 3 & ~3;
    }
  }
}

/** The attributes in `view[at, end)`. */
export function attributesIn(view: DataView, at: number, end: number): Map<number, { at: number; end: number }> {
  const attributes = new Map<number, { at: number; end: number }>();
  while (at + ATTRIBUTE <= end) {
    const size = view.getUint16(at, true), type = view.getUint16(at + 2, true) & ATTRIBUTE_TYPE;
    if (size < ATTRIBUTE || at + size > end) break;
    attributes.set(type, { at: at + ATTRIBUTE, end: at + size });
    at += size + 3 & ~3;
  }
  return attributes;
}
