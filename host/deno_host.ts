/**
 * The host on Deno's own sockets: every platform, no FFI, no unstable flag, `--allow-net` alone.
 *
 * It is assembled from `deno_reactor.ts` (turns and the timer), `deno_tcp.ts` (connections by `Deno.connect`),
 * `deno_listener.ts` (clients by `Deno.listen`) and `deno_udp.ts` (datagrams by `node:dgram`). Each of them says in its
 * head how it works and what it cannot do; in short, against `LinuxHost`: a reset becomes an orderly close (counted in
 * `resetsAsClose`), no ICMP error of a UDP peer is seen, one copy more a direction, and each operation waits for a
 * promise.
 *
 * A socket that its owner has closed stays until its peer has taken what was written, at most `lingerMs` without
 * progress; a kernel does the same for closed sockets. Disposing of the host cuts open sockets at once and gives
 * closed ones a second.
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
  HostTcpSocket,
  HostUdpHandler,
  HostUdpSocket,
  Turn,
} from "../nat/host.ts";
import { type DenoListenContext, DenoListener, listenDenoTcp } from "./deno_listener.ts";
import { DenoReactor } from "./deno_reactor.ts";
import { DenoTcpSocket, ReadBuffers } from "./deno_tcp.ts";
import { bindDenoUdp, type DenoUdpContext, DenoUdpSocket } from "./deno_udp.ts";
import { hostErrorOf } from "./deno_error.ts";

const LINGER_MS = 60_000;
const DISPOSE_GRACE_MS = 1_000;

/** How a `DenoHost` works. */
export interface DenoHostOptions {
  /** How long a closed socket waits for a peer that takes nothing of what was written; 60 000 ms. */
  lingerMs?: number;
}

/**
 * `HostNetwork` on `Deno.connect` and `node:dgram`.
 *
 * @example
 * ```ts ignore
 * await using host = new DenoHost();
 * host.start(() => Infinity);
 * ```
 */
export class DenoHost implements HostNetwork {
  /** `deno`. */
  readonly name = "deno";
  readonly #lingerMs: number;
  readonly #reactor = new DenoReactor();
  readonly #tcp = new Set<DenoTcpSocket>();
  readonly #udp = new Set<DenoUdpSocket>();
  readonly #listeners = new Set<DenoListener>();
  /** Closed sockets that still drain and when they are cut off; the earliest first, since all wait equally long. */
  readonly #lingering = new Map<DenoTcpSocket, number>();
  readonly #context: DenoListenContext & DenoUdpContext;
  #started = false;
  #resetsAsClose = 0;
  #disposed: Promise<void> | undefined;
  #whenEmpty: (() => void) | undefined;

  /** Opens nothing yet. */
  constructor(options: DenoHostOptions = {}) {
    this.#lingerMs = options.lingerMs ?? LINGER_MS;
    this.#context = {
      pool: new ReadBuffers(),
      ready: (socket) => this.#reactor.ready(socket),
      wake: () => this.#reactor.wake(),
      lingering: (socket) => this.#linger(socket),
      gone: (socket) => this.#gone(socket),
      listenerReady: (listener) => this.#reactor.ready(listener),
      accepted: (socket) => void this.#tcp.add(socket),
      listenerGone: (listener) => this.#gone(listener),
      resetAsClose: () => void this.#resetsAsClose++,
    };
    this.#reactor.addTurn(() => this.#cutLingering());
  }

  /** How many connections were closed where a reset was asked for. */
  get resetsAsClose(): number {
    return this.#resetsAsClose;
  }

  /** Sockets that hold a descriptor or wait for one: open, listening, connecting, or closed and draining. */
  get socketCount(): number {
    return this.#tcp.size + this.#udp.size + this.#listeners.size;
  }

  /** Bytes that sockets were given, those included that their owner has closed, and the system has not taken. */
  get unwritten(): number {
    let bytes = 0;
    for (const socket of this.#tcp) bytes += socket.unwritten;
    for (const socket of this.#udp) bytes += socket.unwritten;
    return bytes;
  }

  /** `performance.now()`. */
  now(): number {
    return performance.now();
  }

  /** Has `turn` called after each batch of events, first soon. Throws an `Error` when called twice. */
  start(turn: Turn): void {
    if (this.#started) throw new Error("Cannot start host: it is started already");
    this.#started = true;
    this.#reactor.addTurn(turn);
  }

  /** Has the turn called soon. */
  wake(): void {
    this.#reactor.wake();
  }

  /** Begins to connect; see `HostTcpHandler` for what follows. */
  connectTcp(target: HostEndpoint, handler: HostConnectHandler): HostTcpSocket {
    const socket = new DenoTcpSocket(this.#context, { target, handler });
    this.#tcp.add(socket);
    if (this.#disposed !== undefined) socket.cut();
    return socket;
  }

  /** Listens on `local`. */
  listenTcp(local: HostListenPlace, handler: HostListenHandler): HostListener | HostListenError {
    if (this.#disposed !== undefined) return "other";
    if (local.device !== undefined) return "deviceNotAvailable";
    const listener = listenDenoTcp(this.#context, local, handler);
    if (typeof listener !== "string") this.#listeners.add(listener);
    return listener;
  }

  /** Opens a UDP socket, which is bound by its first datagram. */
  openUdp(family: 4 | 6, handler: HostUdpHandler): HostUdpSocket | HostError {
    if (this.#disposed !== undefined) return "other";
    try {
      const socket = new DenoUdpSocket(this.#context, { family }, handler);
      this.#udp.add(socket);
      return socket;
    } catch (error) {
      return hostErrorOf(error);
    }
  }

  /** Opens a UDP socket on `local`. */
  bindUdp(local: HostListenPlace, handler: HostUdpHandler): HostBoundUdpSocket | HostListenError {
    if (this.#disposed !== undefined) return "other";
    if (local.device !== undefined) return "deviceNotAvailable";
    const socket = bindDenoUdp(this.#context, local, handler);
    if (typeof socket !== "string") this.#udp.add(socket);
    return socket;
  }

  /** Closes every socket and ends the turns; no handler is called any more. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#disposed ??= this.#dispose();
  }

  async #dispose(): Promise<void> {
    this.#reactor.stop();
    for (const listener of this.#listeners) listener.close();
    for (const socket of this.#tcp) if (!socket.isClosed) socket.cut();
    for (const socket of this.#udp) socket.cut();
    const cutAll = () => this.#tcp.forEach((socket) => socket.cut());
    const timer = setTimeout(cutAll, Math.min(this.#lingerMs, DISPOSE_GRACE_MS));
    while (this.socketCount > 0) await new Promise<void>((resolve) => this.#whenEmpty = resolve);
    clearTimeout(timer);
  }

  #linger(socket: DenoTcpSocket): void {
    this.#lingering.delete(socket);
    if (!this.#tcp.has(socket)) return;
    this.#lingering.set(socket, this.now() + this.#lingerMs);
    if (this.#lingering.size === 1) this.#reactor.wake();
  }

  #cutLingering(): number {
    const now = this.now();
    for (const [socket, deadline] of this.#lingering) {
      if (deadline > now) return deadline;
      this.#lingering.delete(socket);
      socket.cut();
    }
    return Infinity;
  }

  #gone(socket: DenoTcpSocket | DenoUdpSocket | DenoListener): void {
    if (socket instanceof DenoListener) {
      this.#listeners.delete(socket);
    } else if (socket instanceof DenoTcpSocket) {
      this.#tcp.delete(socket);
      this.#lingering.delete(socket);
    } else {
      this.#udp.delete(socket);
    }
    if (this.socketCount === 0) this.#whenEmpty?.();
  }
}
