/**
 * A listener for streams of frames: each connection is a guest of its own, and so is each that comes after one has gone.
 *
 * With an event loop it listens on Linux's own sockets; without, on Deno's. At most `MOST_GUESTS` connections are served at
 * once, and what comes beyond is closed. When descriptors have run out the listener rests for `REST_MS`: the connection that waits
 * would have it called again at once, and for nothing.
 *
 * @module
 */
import { IpAddress } from "../wire/address.ts";
import { type EventLoop, READABLE, type Watch } from "../linux/event_loop.ts";
import { IPPROTO_TCP, libc, SO_KEEPALIVE, SO_SNDBUF, SOL_SOCKET, TCP_NODELAY } from "../linux/libc.ts";
import { acceptConnection, listenTcp, listenUnix, removeSocket, unixPathIsServed } from "../linux/sockets.ts";
import { LinuxStreamLink } from "./linux_stream.ts";
import { GuestCount, type LinkListener, type ListenerOptions } from "./listener.ts";
import { bindSocketPath, denoPathIsServed } from "./socket_path.ts";
import { streamLink } from "./stream.ts";

const REST_MS = 100;
const ACCEPTS_PER_TURN = 8;
/**
 * What a guest's unix socket may hold that it has not read, as far as the system allows: several turns' worth. With the 208 KiB of its default
 * it is full within one, and the gateway comes back for every quarter of what it has to write.
 */
const SEND_BUFFER = new Uint8Array(Uint32Array.of(1 << 20).buffer);
const ENABLE = new Uint8Array([1, 0, 0, 0]);

/** Where streams are waited for: a path of this machine, or an address and a port, 0 for a free one. */
export type StreamAddress = { readonly path: string } | { readonly hostname: string; readonly port: number };

/** What a listener for streams is told. */
export interface StreamListenerOptions extends ListenerOptions {
  /** The event loop in which the links live; without one they live on Deno's sockets. */
  readonly loop?: EventLoop;
}

/**
 * Listens for guests that speak QEMU's `-netdev stream`. Throws `Deno.errors.AddrInUse` for an address that another program has,
 * `Deno.errors.AlreadyExists` for a path where there is another file, and others that say what is wrong.
 *
 * @example
 * ```ts ignore
 * await using listener = await listenForStreams({ path: "/tmp/vm.sock" }, { attach: (link) => gateway.attach(link) });
 * ```
 */
export async function listenForStreams(address: StreamAddress, options: StreamListenerOptions): Promise<LinkListener> {
  if (options.loop === undefined) return await DenoListener.open(address, options);
  return await LinuxListener.open(address, options, options.loop);
}

class LinuxListener implements LinkListener {
  readonly address: string;
  readonly #options: StreamListenerOptions;
  readonly #loop: EventLoop;
  readonly #guests: GuestCount;
  readonly #release: () => void;
  readonly #isTcp: boolean;
  readonly #watch: Watch;
  readonly #endTurns: () => void;
  #restsUntil = Infinity;
  #closed = false;

  private constructor(
    socket: { fd: number; address: string; release: () => void; isTcp: boolean },
    options: StreamListenerOptions,
    loop: EventLoop,
  ) {
    this.address = socket.address;
    this.#options = options;
    this.#loop = loop;
    this.#guests = new GuestCount(socket.address, options);
    this.#release = socket.release;
    this.#isTcp = socket.isTcp;
    try {
      this.#watch = loop.watch(socket.fd, { ready: () => this.#accept(socket.fd) }, { level: true });
    } catch (error) {
      libc().close(socket.fd);
      socket.release();
      throw error;
    }
    this.#endTurns = loop.onTurnEnd(() => this.#wake());
    this.#watch.setInterest(READABLE);
  }

  static async open(address: StreamAddress, options: StreamListenerOptions, loop: EventLoop): Promise<LinuxListener> {
    if ("path" in address) {
      const { path } = address;
      const { socket: fd, release } = await bindSocketPath(path, {
        bind: () => listenUnix(path),
        isServed: () => unixPathIsServed(path),
        remove: () => removeSocket(path),
      });
      return new LinuxListener({ fd, address: `unix:${path}`, release, isTcp: false }, options, loop);
    }
    const ip = IpAddress.parse(address.hostname === "localhost" ? "127.0.0.1" : address.hostname);
    const { fd, port } = listenTcp(ip, address.port);
    const text = `tcp:${ip.isIpv4 ? ip : `[${ip}]`}:${port}`;
    return new LinuxListener({ fd, address: text, release() {}, isTcp: true }, options, loop);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endTurns();
    this.#loop.release(this.#watch);
    this.#release();
    await this.#loop.allClosed();
  }

  #accept(listener: number): void {
    try {
      for (let i = 0; i < ACCEPTS_PER_TURN; i++) {
        const conn = acceptConnection(listener);
        if (conn === undefined) return;
        if (this.#guests.take()) this.#serve(conn.fd, conn.from);
        else libc().close(conn.fd);
      }
    } catch (error) {
      this.#options.refused?.(error instanceof Error ? error.message : String(error));
      this.#watch.setInterest(0);
      this.#restsUntil = this.#loop.now() + REST_MS;
    }
  }

  #serve(fd: number, from: string): void {
    let name = this.address;
    const c = libc();
    if (!this.#isTcp) {
      c.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER, SEND_BUFFER.length);
    } else {
      c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ENABLE, ENABLE.length);
      // A guest whose machine has died says nothing any more.
      c.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, ENABLE, ENABLE.length);
      name += ` from ${from}`;
    }
    const { mtu = 1500, attach } = this.#options;
    let link: LinuxStreamLink;
    try {
      link = new LinuxStreamLink({ loop: this.#loop, fd, name, mtu, ended: this.#guests.gone });
    } catch (error) {
      this.#guests.gone();
      throw error;
    }
    attach(link);
  }

  #wake(): number {
    if (this.#loop.now() < this.#restsUntil) return this.#restsUntil;
    this.#restsUntil = Infinity;
    this.#watch.setInterest(READABLE);
    return Infinity;
  }
}

class DenoListener implements LinkListener {
  readonly address: string;
  readonly #options: StreamListenerOptions;
  readonly #guests: GuestCount;
  readonly #listener: Deno.Listener;
  readonly #release: () => void;
  readonly #accepting: Promise<void>;
  #closed = false;

  private constructor(listener: Deno.Listener, release: () => void, options: StreamListenerOptions) {
    this.#listener = listener;
    this.#release = release;
    this.#options = options;
    this.address = addressText(listener.addr);
    this.#guests = new GuestCount(this.address, options);
    this.#accepting = this.#accept();
  }

  static async open(address: StreamAddress, options: StreamListenerOptions): Promise<DenoListener> {
    if (!("path" in address)) return new DenoListener(listenOnPort(address), () => {}, options);
    const { path } = address;
    const { socket, release } = await bindSocketPath(path, {
      bind: () => listenOnPath(path),
      isServed: () => denoPathIsServed(path),
      remove: () => Deno.removeSync(path),
    });
    return new DenoListener(socket, release, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    this.#release();
    await this.#accepting;
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      try {
        this.#serve(await this.#listener.accept());
      } catch (error) {
        if (this.#closed) return;
        // Who has gone before he was accepted is nobody's concern.
        if (error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.ConnectionAborted) continue;
        this.#options.refused?.(`Cannot accept a connection on ${this.address}: ${messageOf(error)}`);
        await new Promise((resolve) => setTimeout(resolve, REST_MS));
      }
    }
  }

  #serve(conn: Deno.Conn): void {
    if (!this.#guests.take()) return conn.close();
    const { mtu = 1500, attach } = this.#options, peer = conn.remoteAddr;
    if (peer.transport === "tcp") {
      (conn as Deno.TcpConn).setNoDelay(true);
      (conn as Deno.TcpConn).setKeepAlive(true);
    }
    const name = peer.transport === "tcp"
      ? `${this.address} from ${addressText(peer).slice("tcp:".length)}`
      : this.address;
    attach(streamLink(conn, { name, mtu, ended: this.#guests.gone }));
  }
}

function listenOnPort(address: { hostname: string; port: number }): Deno.Listener {
  try {
    return Deno.listen(address);
  } catch (error) {
    const action = `Cannot listen on port ${address.port} of ${address.hostname}`;
    if (error instanceof Deno.errors.AddrInUse) {
      throw new Deno.errors.AddrInUse(`${action}: it is in use, take another one or end the program that has it`);
    }
    if (error instanceof Deno.errors.AddrNotAvailable) {
      throw new Deno.errors.AddrNotAvailable(`${action}: this machine has no such address`);
    }
    throw error;
  }
}

function listenOnPath(path: string): Deno.Listener {
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    throw new Deno.errors.NotCapable(
      `Cannot listen on ${path}: a permission is missing, run with --allow-read, --allow-write and --allow-net for this path`,
      { cause: error },
    );
  }
}

function addressText(address: Deno.Addr): string {
  if (address.transport === "unix" || address.transport === "unixpacket") return `unix:${address.path}`;
  if (address.transport !== "tcp") return address.transport;
  const { hostname, port } = address;
  return `tcp:${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
