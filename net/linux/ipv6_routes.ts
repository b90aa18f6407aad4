/**
 * Whether this host has a default route for IPv6, asked of Linux's routing (`rtnetlink.ts`).
 *
 * An address that nobody has is looked up. The host has a default route if that address would leave it by a route with
 * a prefix so short that it is meant for all: `::/0`, or `2000::/3`, which is all that is assigned. So policy routing
 * counts, and a route that rejects does not.
 *
 * **Changes** of routes and interfaces are told to a socket in the event loop, which is open while somebody listens.
 * Then the question is asked again, and the listeners are told if the answer is another one. Nothing runs while nobody
 * listens.
 *
 * A host whose kernel gives no netlink socket has no route as far as can be told.
 *
 * @module
 */
import type { Ipv6Routes } from "../../nat/host.ts";
import { IpAddress } from "../wire/address.ts";
import type { EventLoop, Watch } from "./event_loop.ts";
import { EAGAIN, errno, type Libc, libc } from "./libc.ts";
import { openRouteSocket, RouteQueries, RTMGRP_IPV6_ROUTE, RTMGRP_LINK, RTN_UNICAST } from "./rtnetlink.ts";
import { READABLE } from "./watch.ts";

/** For documentation (RFC 3849): looked up, never sent to. */
const SOMEWHERE: IpAddress = IpAddress.parse("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
/** The longest prefix of a route that counts as one to everywhere, and that of a kernel that does not tell. */
const LONGEST_PREFIX = 3, UNTOLD = 128;
const ACTION = "Cannot learn the host's IPv6 routes";
/** Messages about changes that are taken at a time; the rest follows in the next turn. */
const MOST_DRAINED = 256;

/** The IPv6 routes of this network namespace. */
export class LinuxIpv6Routes implements Ipv6Routes, Disposable {
  readonly #loop: EventLoop;
  readonly #libc: Libc = libc();
  readonly #news = new Uint8Array(1 << 13);
  readonly #listeners = new Set<{ readonly tell: () => void }>();
  #queries: { readonly fd: number; readonly on: RouteQueries } | undefined;
  #changes: Watch | undefined;
  #told = false;

  /** Opens nothing yet. */
  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  has(): boolean {
    try {
      this.#queries ??= this.#openQueries();
    } catch {
      return false;
    }
    const { on } = this.#queries, type = on.ask(SOMEWHERE, { match: true });
    return type === RTN_UNICAST && (on.prefixLength <= LONGEST_PREFIX || on.prefixLength === UNTOLD);
  }

  changed(listener: () => void): () => void {
    const entry = { tell: listener };
    this.#listeners.add(entry);
    if (this.#changes === undefined) {
      this.#watch();
      this.#told = this.has();
    }
    return () => {
      if (this.#listeners.delete(entry) && this.#listeners.size === 0) this.#unwatch();
    };
  }

  /** Closes what is open; no listener is called any more. */
  [Symbol.dispose](): void {
    this.#listeners.clear();
    this.#unwatch();
    if (this.#queries !== undefined) this.#libc.close(this.#queries.fd);
    this.#queries = undefined;
  }

  #openQueries(): { readonly fd: number; readonly on: RouteQueries } {
    const fd = openRouteSocket(this.#libc, 0, ACTION);
    return { fd, on: new RouteQueries(this.#libc, fd) };
  }

  #watch(): void {
    let fd = -1;
    try {
      fd = openRouteSocket(this.#libc, RTMGRP_IPV6_ROUTE | RTMGRP_LINK, ACTION);
      this.#changes = this.#loop.watch(fd, { ready: () => this.#read() }, { level: true });
      this.#changes.setInterest(READABLE);
    } catch {
      if (fd >= 0) this.#libc.close(fd);
    }
  }

  #unwatch(): void {
    if (this.#changes !== undefined) this.#loop.release(this.#changes);
    this.#changes = undefined;
  }

  #read(): void {
    const { fd } = this.#changes!, size = BigInt(this.#news.length);
    for (let i = 0; i < MOST_DRAINED; i++) {
      if (this.#libc.recv(fd, this.#news, size, 0) < 0 && errno() === EAGAIN) break;
    }
    const has = this.has();
    if (has === this.#told) return;
    this.#told = has;
    for (const { tell } of [...this.#listeners]) tell();
  }
}
