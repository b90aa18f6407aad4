/**
 * The fast host: non-blocking sockets of Linux in an event loop over epoll.
 *
 * `HostNetwork` asks for readiness and synchronous calls, which is what the kernel offers, so this maps one to one:
 * each `read` and `write` is one system call that never waits. It needs `--allow-ffi`; where that or Linux is missing
 * `DenoHost` does the same on promises. The mechanisms are told in `linux_tcp.ts`, `linux_listener.ts`,
 * `linux_datagram_socket.ts`, `linux_udp.ts`, `linux_ping.ts` and `event_loop.ts`.
 *
 * A host that has run out of descriptors, ports or memory says so to the one flow that asked (`exhausted`) and throws
 * nothing.
 *
 * @module
 */
import type {
  HostBoundUdpSocket,
  HostConnectHandler,
  HostEndpoint,
  HostError,
  HostListener,
  HostListenError,
  HostListenHandler,
  HostListenPlace,
  HostNetwork,
  HostPingHandler,
  HostPingSocket,
  HostTcpSocket,
  HostUdpHandler,
  HostUdpSocket,
  Ipv6Routes,
  Turn,
} from "../nat/host.ts";
import type { EventLoop } from "../net/linux/event_loop.ts";
import { LinuxIpv6Routes } from "../net/linux/ipv6_routes.ts";
import { libc } from "../net/linux/libc.ts";
import { type LinuxListenOwner, listenLinuxTcp } from "./linux_listener.ts";
import { LinuxPing } from "./linux_ping.ts";
import { readOutbound } from "./outbound.ts";
import { LinuxTcpSocket } from "./linux_tcp.ts";
import { bindLinuxUdp, type LinuxUdpOwner, openLinuxUdp } from "./linux_udp.ts";
import { UdpBatch } from "./linux_udp_batch.ts";

/** What a `LinuxHost` can be told. */
export interface LinuxHostOptions {
  /**
   * From where the sockets of flows go out: an address of the host, or an interface for its first address of each
   * family; of two for one family the last counts. Default none: the kernel chooses by the route.
   */
  readonly outbound?: readonly string[];
}

/**
 * A `HostNetwork` on the sockets of Linux.
 *
 * @example
 * ```ts ignore
 * const loop = EventLoop.shared();
 * const host = new LinuxHost(loop);
 * ```
 */
export class LinuxHost implements HostNetwork {
  /** `ffi`. */
  readonly name = "ffi";
  readonly #loop: EventLoop;
  readonly #tcp: LinuxListenOwner;
  readonly #udp: LinuxUdpOwner;
  readonly #ping: LinuxPing;
  readonly #routes: LinuxIpv6Routes;
  #endTurns: (() => void) | undefined;

  /**
   * Uses `loop`, which stays the caller's to run and to dispose of. Throws an `Error` if the host does not have what
   * `outbound` names.
   */
  constructor(loop: EventLoop, { outbound: texts = [] }: LinuxHostOptions = {}) {
    const outbound = readOutbound(libc(), texts);
    this.#loop = loop;
    this.#tcp = { loop, libc: libc(), outbound, open: new Set(), listeners: new Set() };
    this.#udp = { loop, libc: libc(), outbound, open: new Set(), batch: new UdpBatch(loop) };
    this.#ping = new LinuxPing({ loop, libc: libc(), outbound });
    this.#routes = new LinuxIpv6Routes(loop);
  }

  /** Whether there is a default route for IPv6, as the kernel tells. */
  get ipv6Routes(): Ipv6Routes {
    return this.#routes;
  }

  /** Monotonic milliseconds, read once a turn. */
  now(): number {
    return this.#loop.now();
  }

  /** Has `turn` called at the end of each turn of the loop. Throws an `Error` when called twice. */
  start(turn: Turn): void {
    if (this.#endTurns) throw new Error("Cannot start host: it is started already");
    const { batch } = this.#udp;
    this.#endTurns = this.#loop.onTurnEnd(() => {
      const next = turn();
      batch.flush();
      return next;
    });
  }

  /** Makes a turn due. */
  wake(): void {
    this.#loop.requestTurn();
  }

  /** Begins to connect; see `HostTcpHandler` for what follows. */
  connectTcp(target: HostEndpoint, handler: HostConnectHandler): HostTcpSocket {
    return new LinuxTcpSocket(this.#tcp, { target, handler });
  }

  /** Listens on `local`. */
  listenTcp(local: HostListenPlace, handler: HostListenHandler): HostListener | HostListenError {
    return listenLinuxTcp(this.#tcp, local, handler);
  }

  /** Opens a UDP socket. */
  openUdp(family: 4 | 6, handler: HostUdpHandler): HostUdpSocket | HostError {
    return openLinuxUdp(this.#udp, family, handler);
  }

  /** Opens a UDP socket on `local`. */
  bindUdp(local: HostListenPlace, handler: HostUdpHandler): HostBoundUdpSocket | HostListenError {
    return bindLinuxUdp(this.#udp, local, handler);
  }

  /** Opens a ping socket, or a part of a raw one where the kernel has none for this user. */
  openPing(family: 4 | 6, handler: HostPingHandler): HostPingSocket | HostError {
    return this.#ping.open(family, handler);
  }

  /** Ends the turns and closes every socket; no handler is called any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#endTurns?.();
    this.#endTurns = undefined;
    for (const listener of this.#tcp.listeners) listener.close();
    for (const socket of this.#tcp.open) socket.close();
    for (const socket of this.#udp.open) socket.close();
    this.#ping.close();
    this.#routes[Symbol.dispose]();
    await this.#loop.allClosed();
  }
}
