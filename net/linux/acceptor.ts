/**
 * Takes connections from a listening socket, in the event loop.
 *
 * The socket is edge-triggered. A level-triggered one would be reported again and again while clients wait that cannot be accepted, and the
 * loop would never sleep. When the kernel has no descriptor or memory for a client, the acceptor rests for `REST_MS` and then tries
 * again; the clients wait meanwhile.
 *
 * @module
 */
import { type EventLoop, READABLE, type Watch } from "./event_loop.ts";
import { EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno, type Libc, libc, SOCK_NONBLOCK_CLOEXEC } from "./libc.ts";
import { SOCKADDR_UN_SIZE } from "./sockaddr.ts";

/** How long is waited for descriptors or memory. */
export const REST_MS = 100;

const peer = new Uint8Array(SOCKADDR_UN_SIZE);
const peerLength = new Uint32Array(1);

/** Who is told of connections. */
export interface AcceptHandler {
  /** Takes a connected, non-blocking descriptor. `peer` is its address, valid until this returns. Never throws. */
  accepted(fd: number, peer: Uint8Array): void;
  /** The kernel had nothing left for a client, which waits; `code` is the error number. */
  acceptFailed(code: number): void;
}

/** A listening socket from which connections are taken. */
export class Acceptor {
  readonly #libc: Libc = libc();
  readonly #loop: EventLoop;
  readonly #fd: number;
  readonly #handler: AcceptHandler;
  readonly #mostPerTurn: number;
  readonly #watch: Watch;
  #endRest: (() => void) | undefined;
  #closed = false;

  /** Takes over a descriptor that listens. Throws an `Error` if the loop cannot watch it; it is the caller's then. */
  constructor(loop: EventLoop, fd: number, options: { handler: AcceptHandler; mostPerTurn: number }) {
    this.#loop = loop;
    this.#fd = fd;
    this.#handler = options.handler;
    this.#mostPerTurn = options.mostPerTurn;
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
    for (let i = 0; i < this.#mostPerTurn && !this.#closed; i++) {
      peerLength[0] = peer.length;
      const fd = this.#libc.accept4(this.#fd, peer, peerLength, SOCK_NONBLOCK_CLOEXEC);
      if (fd >= 0) {
        this.#handler.accepted(fd, peer);
        continue;
      }
      const code = errno();
      if (code === EAGAIN) {
        this.#watch.ready &= ~READABLE;
        return;
      }
      // Anything else is about that client alone, who has left the queue (accept(2), "Error handling").
      if (isExhaustion(code)) return this.#rest(code);
    }
  }

  #rest(code: number): void {
    this.#watch.setInterest(0);
    this.#endRest = this.#loop.delay(() => {
      this.#endRest = undefined;
      this.#watch.setInterest(READABLE);
    }, REST_MS);
    this.#handler.acceptFailed(code);
  }
}

function isExhaustion(code: number): boolean {
  return code === EMFILE || code === ENFILE || code === ENOBUFS || code === ENOMEM;
}
