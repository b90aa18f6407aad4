/**
 * Takes connections from a listening socket, in the event loop.
 *
 * The socket is edge-triggered. A level-triggered one would be reported again and again while clients wait that cannot
 * be accepted, and the loop would never sleep.
 *
 * **Out of descriptors.** A client that would take one of those that are kept (`descriptors.ts`) is accepted and reset,
 * so it learns at once. When the kernel itself has no descriptor or memory for a client, the acceptor rests for
 * `REST_MS` and then tries again; the clients wait meanwhile, since they cannot even be reset. Its owner is told once
 * for each client that is reset, and once for each such spell.
 *
 * @module
 */
import { forgetLimit, isKept } from "./descriptors.ts";
import { type EventLoop, READABLE, type Watch } from "./event_loop.ts";
import {
  EAGAIN,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  errno,
  libc,
  SO_LINGER,
  SOCK_NONBLOCK_CLOEXEC,
  SOL_SOCKET,
} from "./libc.ts";
import { SOCKADDR_UN_SIZE } from "./sockaddr.ts";

/** How long is waited for descriptors or memory. */
export const REST_MS = 100;

const LINGER_ZERO = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
const peer = new Uint8Array(SOCKADDR_UN_SIZE);
const peerLength = new Uint32Array(1);

/** Who is told of connections. */
export interface AcceptHandler {
  /** Takes a connected, non-blocking descriptor. `peer` is its address, valid until this returns. Never throws. */
  accepted(fd: number, peer: Uint8Array): void;
  /** There is no descriptor or memory for a client, which was reset or waits; `code` is the error number. */
  acceptFailed(code: number): void;
}

/** How connections are taken. */
export interface AcceptOptions {
  /** Who is told. */
  readonly handler: AcceptHandler;
  /** The most connections a turn. */
  readonly mostPerTurn: number;
  /** How many shares of descriptors are left for others (`descriptors.ts`). */
  readonly left: number;
}

/** The calls to the kernel; tests have others. */
export interface AcceptCalls {
  /** The next connection, or an error number below 0. */
  accept(listener: number): number;
  /** Whether a new descriptor is in one of the last `left` shares. */
  isKept(fd: number, left: number): boolean;
  /** Resets a connection. */
  reset(fd: number): void;
}

/** A listening socket from which connections are taken. */
export class Acceptor {
  readonly #loop: Pick<EventLoop, "watch" | "release" | "delay">;
  readonly #fd: number;
  readonly #options: AcceptOptions;
  readonly #calls: AcceptCalls;
  readonly #watch: Watch;
  #endRest: (() => void) | undefined;
  #isShort = false;
  #closed = false;

  /** Takes over a descriptor that listens. Throws an `Error` if the loop cannot watch it; it is the caller's then. */
  constructor(
    loop: Pick<EventLoop, "watch" | "release" | "delay">,
    fd: number,
    options: AcceptOptions,
    calls: AcceptCalls = KERNEL,
  ) {
    this.#loop = loop;
    this.#fd = fd;
    this.#options = options;
    this.#calls = calls;
    this.#watch = loop.watch(fd, { ready: () => this.#accept() });
    this.#watch.setInterest(READABLE);
  }

  /** Takes no more, and closes the socket with the turn. May be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endRest?.();
    this.#loop.release(this.#watch);
  }

  #accept(): void {
    const { handler, mostPerTurn, left } = this.#options, calls = this.#calls;
    for (let i = 0; i < mostPerTurn && !this.#closed; i++) {
      const fd = calls.accept(this.#fd);
      if (fd >= 0) {
        this.#isShort = false;
        if (!calls.isKept(fd, left)) {
          handler.accepted(fd, peer);
        } else {
          calls.reset(fd);
          handler.acceptFailed(EMFILE);
        }
      } else if (fd === -EAGAIN) {
        this.#watch.ready &= ~READABLE;
        return;
      } else if (isExhaustion(-fd)) {
        return this.#rest(-fd);
      }
      // Anything else is about that client alone, who has left the queue (accept(2), "Error handling").
    }
  }

  #rest(code: number): void {
    this.#watch.setInterest(0);
    this.#endRest = this.#loop.delay(() => {
      this.#endRest = undefined;
      this.#watch.setInterest(READABLE);
    }, REST_MS);
    if (this.#isShort) return;
    this.#isShort = true;
    this.#options.handler.acceptFailed(code);
  }
}

const KERNEL: AcceptCalls = {
  accept(listener) {
    peerLength[0] = peer.length;
    const fd = libc().accept4(listener, peer, peerLength, SOCK_NONBLOCK_CLOEXEC);
    if (fd >= 0) return fd;
    const code = errno();
    if (code === EMFILE) forgetLimit();
    return -code;
  },
  isKept,
  reset(fd) {
    const c = libc();
    c.setsockopt(fd, SOL_SOCKET, SO_LINGER, LINGER_ZERO, LINGER_ZERO.length);
    c.close(fd);
  },
};

function isExhaustion(code: number): boolean {
  return code === EMFILE || code === ENFILE || code === ENOBUFS || code === ENOMEM;
}
