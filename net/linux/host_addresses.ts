/**
 * Which addresses are this host's own, asked of Linux's routing (`rtnetlink.ts`).
 *
 * **An address** is looked up as the kernel would for a packet: if the route's type is local, broadcast or anycast, the
 * packet would not leave the host. So every interface counts, both families, loopback, and what is local by a route
 * alone; and an answer is never older than the question.
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
import { EAGAIN, EHOSTUNREACH, ENETUNREACH, errno, type Libc, libc } from "./libc.ts";
import {
  NO_ANSWER,
  openRouteSocket,
  RouteQueries,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV4_ROUTE,
  RTMGRP_IPV6_IFADDR,
  RTMGRP_IPV6_ROUTE,
  RTN_ANYCAST,
  RTN_BROADCAST,
  RTN_LOCAL,
} from "./rtnetlink.ts";

const GROUPS = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
const ACTION = "Cannot learn the host's addresses";

/** Messages about changes that are taken at a time; more of them are a further change. */
const MOST_DRAINED = 256;

/** The addresses of this network namespace, as Linux knows them. */
export class LinuxHostAddresses implements HostAddresses, Disposable {
  readonly #libc: Libc = libc();
  readonly #routes: number;
  readonly #changes: number;
  readonly #queries: RouteQueries;
  readonly #news = new Uint8Array(1 << 13);
  #version = 0;

  /** Throws `Deno.errors.NotSupported` or `NotCapable` as `libc` does, and an `Error` if the kernel gives no socket. */
  constructor() {
    this.#routes = openRouteSocket(this.#libc, 0, ACTION);
    this.#queries = new RouteQueries(this.#libc, this.#routes);
    try {
      this.#changes = openRouteSocket(this.#libc, GROUPS, ACTION);
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
    const type = this.#queries.ask(address);
    if (type < 0) return type !== -ENETUNREACH && type !== -EHOSTUNREACH;
    return type === NO_ANSWER || type === RTN_LOCAL || type === RTN_BROADCAST || type === RTN_ANYCAST;
  }

  [Symbol.dispose](): void {
    this.#libc.close(this.#routes);
    this.#libc.close(this.#changes);
  }

  #isNews(): boolean {
    const count = this.#libc.recv(this.#changes, this.#news, BigInt(this.#news.length), 0);
    return count >= 0 || errno() !== EAGAIN;
  }
}
