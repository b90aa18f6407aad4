/**
 * Connections to unix sockets for tests, by FFI: Deno's own would need `--allow-net` for each path by name.
 *
 * @module
 */
import {
  AF_UNIX,
  EAGAIN,
  ECONNRESET,
  EPIPE,
  errno,
  libc,
  MSG_NOSIGNAL,
  SOCK_DGRAM,
  SOCK_NONBLOCK_CLOEXEC,
  SOCK_STREAM,
} from "../../net/linux/libc.ts";
import { unixSockaddr } from "../../net/linux/sockaddr.ts";

/** What tests need of a connection; a `Deno.Conn` has it. */
export interface TestConn extends Disposable {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** Connects to the listener at `path`. */
export async function connectUnix(path: string): Promise<TestConn> {
  const c = libc(), fd = c.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK_CLOEXEC, 0), address = unixSockaddr(path);
  while (c.connect(fd, address, address.length) < 0) {
    const code = errno();
    if (code !== EAGAIN) {
      c.close(fd);
      throw new Error(`Cannot connect to ${path}: ${code}`);
    }
    await pause();
  }
  let open = true;
  const close = () => {
    if (open) c.close(fd);
    open = false;
  };
  return {
    read: async (into) => {
      for (;;) {
        if (!open) throw new Deno.errors.BadResource("Cannot read: it is closed");
        const count = c.recv(fd, into, BigInt(into.length), 0);
        if (count > 0) return count;
        if (count === 0) return null;
        if (errno() === ECONNRESET) throw new Deno.errors.ConnectionReset("Cannot read: reset");
        await pause();
      }
    },
    write: async (bytes) => {
      for (;;) {
        if (!open) throw new Deno.errors.BadResource("Cannot write: it is closed");
        const count = c.send(fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL);
        if (count >= 0) return count;
        if (errno() === EPIPE) throw new Deno.errors.BrokenPipe("Cannot write: the other end is closed");
        await pause();
      }
    },
    close,
    [Symbol.dispose]: close,
  };
}

/**
 * A socket of datagrams, bound to `path`, where one is given, and connected to `remote`, so that datagrams from others
 * are refused.
 */
export function openUnixDatagramClient(path?: string, remote?: string): number {
  const c = libc(), fd = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK_CLOEXEC, 0);
  if (path !== undefined) {
    const address = sockaddrOf(path);
    if (c.bind(fd, address, address.length) < 0) throw new Error(`Cannot bind ${path}: ${errno()}`);
  }
  if (remote === undefined) return fd;
  const address = unixSockaddr(remote);
  if (c.connect(fd, address, address.length) < 0) throw new Error(`Cannot connect to ${remote}: ${errno()}`);
  return fd;
}

/** The address of a path, or of the abstract name behind an `@`. */
function sockaddrOf(path: string): Uint8Array<ArrayBuffer> {
  const address = unixSockaddr(path);
  if (!path.startsWith("@")) return address;
  address[2] = 0;
  return address.slice(0, -1);
}

/** A socket of datagrams at a path of its own. */
export class UnixDatagramClient implements Disposable {
  readonly #fd: number;

  /** Binds to `path`, where one is given, and may connect to `remote`, so that datagrams from others are refused. */
  constructor(path?: string, remote?: string) {
    this.#fd = openUnixDatagramClient(path, remote);
  }

  /** Connects to `remote`: from now on datagrams from others are refused. */
  connect(remote: string): void {
    const address = unixSockaddr(remote);
    if (libc().connect(this.#fd, address, address.length) < 0) {
      throw new Error(`Cannot connect to ${remote}: ${errno()}`);
    }
  }

  /** Sends a datagram to `remote`, waiting for room. */
  async send(bytes: Uint8Array, remote: string): Promise<void> {
    const address = unixSockaddr(remote);
    while (libc().sendto(this.#fd, bytes, BigInt(bytes.length), 0, address, address.length) < 0) {
      if (errno() !== EAGAIN) throw new Error(`Cannot send to ${remote}: ${errno()}`);
      await pause();
    }
  }

  /** The next datagram, waited for. Throws an `Error` after two seconds. */
  async receive(): Promise<Uint8Array> {
    for (let i = 0; i < 1000; i++) {
      const datagram = this.tryReceive();
      if (datagram !== undefined) return datagram;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    throw new Error("Waited in vain for a datagram");
  }

  /** A datagram that waits. */
  tryReceive(): Uint8Array | undefined {
    const bytes = new Uint8Array(70_000), count = libc().recv(this.#fd, bytes, BigInt(bytes.length), 0);
    return count < 0 ? undefined : bytes.slice(0, count);
  }

  [Symbol.dispose](): void {
    libc().close(this.#fd);
  }
}

/** Leaves a socket without a program behind at `path`. */
export function leaveStaleSocket(path: string): void {
  new UnixDatagramClient(path)[Symbol.dispose]();
}
