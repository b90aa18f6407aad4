/**
 * A TCP connection of the host as a non-blocking socket of Linux.
 *
 * **Readiness.** The socket is registered edge-triggered, so a bit of readiness is given up only on proof that the
 * kernel will give it anew. A write that took less than it was given is one. A read is one when it took less than it
 * was given and nothing was known to stand behind the bytes: whatever arrives after that is an edge of its own, but an
 * end, an error or an urgent mark that was reported together with the bytes is not reported twice (`MORE_BEHIND`).
 *
 * **Connecting** is not waited for: the outcome shows as readiness. An outcome that is known at once (no route, no
 * descriptor) is put into the loop's list, so that the handler is never called from within `connectTcp`.
 *
 * **Errors.** An error is taken from the socket once, by whoever sees it first: `read`, `write`, or, when the owner's
 * interest would show it neither way, `hostFailed`. Bytes that the kernel still holds come before it: they can be read
 * even after a write has failed. After the end of the stream a read no longer shows an error, so from then on interest
 * in reading counts for nothing.
 *
 * **Closing.** A kernel that drops bytes which came and were not read says so by a reset, and forgets what it still had
 * to send. So an orderly close before the peer's end takes them out first (`MSG_TRUNC`: without copying them); at most
 * `DISCARDED_MOST` bytes, because a peer may go on sending.
 *
 * **Silence.** The kernel asks a peer that has been silent for two hours whether it is there (RFC 9293 section 3.8.4),
 * so that a peer which has vanished does not hold a flow for ever.
 *
 * **Urgent data** stays in the stream where it stood (RFC 6093 section 5), so that not a byte of it is lost.
 *
 * @module
 */
import {
  FAILED,
  type HostConnectHandler,
  type HostEndpoint,
  type HostError,
  type HostTcpHandler,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
} from "../nat/host.ts";
import {
  EAGAIN,
  EINPROGRESS,
  EINTR,
  errno,
  IPPROTO_TCP,
  type Libc,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_WR,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_OOBINLINE,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../net/linux/libc.ts";
import { BROKEN, type EventLoop, MORE_BEHIND, READABLE, type Watch, WRITABLE } from "../net/linux/event_loop.ts";
import { scopeOf, SOCKADDR_SIZE, writeSockaddr } from "../net/linux/sockaddr.ts";
import { hostError } from "./linux_error.ts";
import { openOutbound, type OutboundAddresses } from "./outbound.ts";

const ENABLE = new Uint8Array([1, 0, 0, 0]);
const LINGER_ZERO = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
const sockaddr = new Uint8Array(SOCKADDR_SIZE);
const errorWord = new Int32Array(1);
const errorBytes = new Uint8Array(errorWord.buffer);
const errorLength = new Uint32Array(1);
const discarded = new Uint8Array(65536);
/** More than a kernel keeps for a socket (tcp_rmem). */
const DISCARDED_MOST = 16 << 20;

/** What a socket needs of its host. */
export interface LinuxTcpOwner {
  /** The loop. */
  readonly loop: EventLoop;
  /** The C library. */
  readonly libc: Libc;
  /** From where connections go out. */
  readonly outbound: OutboundAddresses;
  /** Told when the socket is open and when it is closed. */
  readonly open: Set<LinuxTcpSocket>;
}

/** A `HostTcpSocket` on a descriptor: one that connects, or one that a listener has accepted. */
export class LinuxTcpSocket implements HostTcpSocket {
  /** Why the last `read` or `write` answered `FAILED`. */
  error: HostError = "other";
  readonly #owner: LinuxTcpOwner;
  #handler: HostTcpHandler | undefined;
  readonly #send: Libc["send"];
  readonly #recv: Libc["recv"];
  readonly #fd: number;
  readonly #watch: Watch;
  #connecting: HostConnectHandler | undefined;
  #startError: HostError | undefined;
  #interest = 0;
  #ended = false;
  #failed = false;
  #closed = false;

  /**
   * Connects to `from.target`, or takes over `from.accepted`, a connected descriptor, whose handler `serve` names.
   * Throws nothing: what fails is told to the handler later.
   */
  constructor(
    owner: LinuxTcpOwner,
    from: { target: HostEndpoint; handler: HostConnectHandler } | { accepted: number },
  ) {
    this.#owner = owner;
    this.#send = owner.libc.send;
    this.#recv = owner.libc.recv;
    if ("target" in from) {
      this.#handler = this.#connecting = from.handler;
      this.#fd = this.#connect(from.target);
    } else {
      // Its options are the listener's (`setTcpOptions`).
      this.#fd = from.accepted;
    }
    this.#watch = this.#register();
    owner.open.add(this);
    this.#pay(this.#handler);
    if (this.#connecting !== undefined) this.#watch.setInterest(WRITABLE | BROKEN);
    if (this.#startError !== undefined) this.#watch.raise(BROKEN);
  }

  /**
   * Why there is no connection, where that was known at once. An accepted socket with such an error is of no use but to
   * be closed.
   */
  get startError(): HostError | undefined {
    return this.#startError;
  }

  /** Names the handler of an accepted socket. */
  serve(handler: HostTcpHandler): void {
    this.#handler = handler;
    this.#pay(handler);
    this.#applyInterest();
  }

  setInterest(interest: number): void {
    this.#interest = interest;
    this.#applyInterest();
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    if (this.#closed) return FAILED;
    const asked = end - start;
    const count = this.#recv(this.#fd, start === 0 ? bytes : bytes.subarray(start, end), BigInt(asked), 0);
    if (count > 0) {
      if (count < asked && (this.#watch.ready & MORE_BEHIND) === 0) this.#watch.ready &= ~READABLE;
      return count;
    }
    // A write may have taken the error while the kernel still held bytes; behind these it must not look like an end.
    if (this.#failed) return FAILED;
    if (count === 0) {
      if (asked === 0) return WOULD_BLOCK;
      this.#ended = true;
      this.#applyInterest();
      return 0;
    }
    const code = errno();
    if (code === EAGAIN) {
      this.#watch.ready &= ~READABLE;
      return WOULD_BLOCK;
    }
    return code === EINTR ? WOULD_BLOCK : this.#fail(hostError(code));
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.#failed) return FAILED;
    const asked = end - start;
    const count = this.#send(this.#fd, start === 0 ? bytes : bytes.subarray(start, end), BigInt(asked), MSG_NOSIGNAL);
    if (count >= 0) {
      if (count < asked) this.#watch.ready &= ~WRITABLE;
      return count;
    }
    const code = errno();
    if (code === EAGAIN) {
      this.#watch.ready &= ~WRITABLE;
      return WOULD_BLOCK;
    }
    return code === EINTR ? WOULD_BLOCK : this.#fail(hostError(code));
  }

  closeWrite(): void {
    if (!this.#closed) this.#owner.libc.shutdown(this.#fd, SHUT_WR);
  }

  close(): void {
    if (this.#closed) return;
    if (this.#connecting === undefined && !this.#ended && !this.#failed) this.#discard();
    this.#release();
  }

  reset(): void {
    if (this.#closed) return;
    this.#owner.libc.setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, LINGER_ZERO, LINGER_ZERO.length);
    this.#release();
  }

  /** For the loop: the socket is ready. */
  ready(due: number): void {
    const handler = this.#handler;
    if (this.#connecting !== undefined) return this.#connected(this.#connecting, due);
    if (handler === undefined) return;
    if ((due & READABLE) !== 0) {
      handler.hostReadable();
      // The handler may have closed the socket or lost its interest in writing.
      due &= this.#closed ? 0 : this.#watch.ready & this.#watch.interest;
    }
    if ((due & WRITABLE) !== 0) return handler.hostWritable();
    if ((due & BROKEN) !== 0) this.#broke(handler);
  }

  #discard(): void {
    const size = discarded.length;
    for (let bytes = 0; bytes < DISCARDED_MOST; bytes += size) {
      if (this.#recv(this.#fd, discarded, BigInt(size), MSG_TRUNC) <= 0) return;
    }
  }

  #release(): void {
    this.#closed = true;
    this.#failed = true;
    this.#owner.open.delete(this);
    this.#owner.loop.release(this.#watch);
  }

  #connect({ address, port, zone }: HostEndpoint): number {
    const { libc } = this.#owner, scope = zone === undefined ? 0 : scopeOf(zone);
    // Without its interface a link-local address would be looked for on another one.
    if (zone !== undefined && scope === 0) {
      this.#startError = "networkUnreachable";
      return -1;
    }
    const fd = openOutbound(this.#owner, address.isIpv4 ? 4 : 6, SOCK_STREAM, 0);
    if (fd < 0) {
      this.#startError = hostError(-fd);
      return -1;
    }
    setTcpOptions(libc, fd);
    if (libc.connect(fd, sockaddr, writeSockaddr(sockaddr, address, port, scope)) < 0) {
      const code = errno();
      if (code !== EINPROGRESS && code !== EINTR) {
        this.#startError = hostError(code);
        libc.close(fd);
        return -1;
      }
    }
    return fd;
  }

  #pay(handler: HostTcpHandler | undefined): void {
    const { loop } = this.#owner;
    loop.pay(this.#watch, loop.shares.find(handler?.payer));
  }

  #register(): Watch {
    const { loop, libc } = this.#owner;
    try {
      return loop.watch(this.#fd, this);
    } catch {
      // The kernel limits watches as it limits descriptors (epoll_ctl(2), max_user_watches).
      libc.close(this.#fd);
      this.#startError = "exhausted";
      return loop.watch(-1, this);
    }
  }

  #connected(handler: HostConnectHandler, due: number): void {
    this.#connecting = undefined;
    const error = this.#startError ?? ((due & BROKEN) !== 0 ? this.#takeError() : undefined);
    if (error !== undefined) {
      this.close();
      return handler.hostConnectFailed(error);
    }
    this.#applyInterest();
    handler.hostConnected();
  }

  #broke(handler: HostTcpHandler): void {
    this.#watch.ready &= ~BROKEN;
    // The peer's last bytes come before its reset: while there are some, the error waits behind them for a read.
    const count = this.#recv(this.#fd, errorBytes, 1n, MSG_PEEK);
    if (count > 0) return;
    const error = count < 0 ? hostError(errno()) : this.#takeError();
    if (error === undefined) return;
    this.#fail(error);
    handler.hostFailed(error);
  }

  #fail(error: HostError): number {
    this.error = error;
    this.#failed = true;
    this.#watch.setInterest(0);
    return FAILED;
  }

  #takeError(): HostError | undefined {
    errorWord[0] = 0;
    errorLength[0] = 4;
    this.#owner.libc.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, errorBytes, errorLength);
    return errorWord[0] === 0 ? undefined : hostError(errorWord[0]!);
  }

  #applyInterest(): void {
    if (this.#connecting !== undefined || this.#handler === undefined || this.#failed) return;
    const shown = this.#ended ? this.#interest & ~READ : this.#interest;
    // READ and WRITE have the values of READABLE and WRITABLE.
    this.#watch.setInterest(shown === 0 ? BROKEN : shown);
  }
}

/** Sets what every TCP socket has; on a listener, for the sockets that it accepts. */
export function setTcpOptions(libc: Libc, fd: number): void {
  libc.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ENABLE, ENABLE.length);
  libc.setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, ENABLE, ENABLE.length);
  libc.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, ENABLE, ENABLE.length);
}
