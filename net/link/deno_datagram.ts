/**
 * Guests on one unix socket of datagrams, on Deno's own sockets: for systems other than Linux.
 *
 * Deno's `listenDatagram` is unstable (`--unstable-net`), and its socket cannot send while it waits to receive. So one
 * socket receives at the path, and each guest is sent to through a socket of its own: a guest that does not read holds
 * up nobody else. Such a socket is bound to that path with a dot and a number behind it, and the file removed at once.
 *
 * A peer that has connected its socket to the path takes datagrams from no other socket on Linux (on macOS it does).
 * There its link ends with `Deno.errors.NotSupported` at the first frame to it, and what it sends is ignored until it
 * greets anew; `linux_datagram.ts` is the way.
 *
 * Out: at most `MOST_WAITING` frames wait for each guest, beyond that they are dropped and counted.
 *
 * @module
 */
import { Frame } from "../wire/frame.ts";
import { DATAGRAM_BUFFER, type DatagramCarrier, DatagramLink, isVfkitOpening } from "./datagram_link.ts";
import { GuestCount, type LinkListener, type ListenerOptions } from "./listener.ts";
import { bindSocketPath, type BoundPath, denoPathIsServed, printablePath } from "./socket_path.ts";

const MOST_WAITING = 64;

/** What of Deno's unstable `DatagramConn` is used. */
interface UnixDatagramSocket {
  receive(into: Uint8Array): Promise<[Uint8Array, { path: string | null }]>;
  send(bytes: Uint8Array, to: { transport: "unixpacket"; path: string }): Promise<number>;
  close(): void;
}

type ListenDatagram = (options: { transport: "unixpacket"; path: string }) => UnixDatagramSocket;

/** A socket of datagrams of Deno's. */
export class DenoDatagramListener implements LinkListener {
  readonly address: string;
  readonly #path: string;
  readonly #options: ListenerOptions;
  readonly #socket: UnixDatagramSocket;
  readonly #release: () => void;
  readonly #guests: GuestCount;
  readonly #links = new Map<string, DatagramLink>();
  /** Paths whose sockets take nothing from ours, until they greet anew. */
  readonly #unserved = new Set<string>();
  readonly #receiving: Promise<void>;
  #nextNumber = 1;
  #closed = false;

  private constructor(path: string, bound: BoundPath<UnixDatagramSocket>, options: ListenerOptions) {
    this.address = `unixgram:${path}`;
    this.#path = path;
    this.#options = options;
    this.#socket = bound.socket;
    this.#release = bound.release;
    this.#guests = new GuestCount(this.address, options);
    this.#receiving = this.#receive();
  }

  /** Binds a socket to `path`; see `listenForDatagrams`. */
  static async open(path: string, options: ListenerOptions): Promise<DenoDatagramListener> {
    const bound = await bindSocketPath(path, {
      bind: () => openSocket(path),
      isServed: () => denoPathIsServed(path),
      remove: () => Deno.removeSync(path),
    });
    return new DenoDatagramListener(path, bound, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#release();
    await this.#receiving;
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }

  async #receive(): Promise<void> {
    const buffer = new Uint8Array(DATAGRAM_BUFFER), frame = new Frame();
    while (!this.#closed) {
      try {
        const [bytes, { path }] = await this.#socket.receive(buffer);
        const isGreeting = isVfkitOpening(bytes, bytes.length);
        if (path !== null && this.#unserved.has(path)) {
          if (!isGreeting) continue;
          this.#unserved.delete(path);
        }
        const link = this.#linkOf(path);
        if (link === undefined) continue;
        if (isGreeting) {
          this.#greeted(link, path!);
          continue;
        }
        link.receive(frame.set(bytes, 0, bytes.length));
        link.received();
      } catch (error) {
        if (this.#closed) return;
        this.#options.refused?.(`Cannot receive on ${this.address}: ${messageOf(error)}`, false);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** A peer that greets anew has been started anew: what it had is over. */
  #greeted(link: DatagramLink, path: string): void {
    if (link.greeted()) return;
    link.end();
    this.#begin(path)?.greeted();
  }

  #linkOf(path: string | null): DatagramLink | undefined {
    if (path === null || path === "") {
      const problem = "its socket has no path to send to, bind it to one";
      this.#options.refused?.(`Refused a guest on ${this.address}: ${problem}`, false);
      return undefined;
    }
    return this.#links.get(path) ?? this.#begin(path);
  }

  #begin(path: string): DatagramLink | undefined {
    if (!this.#guests.take()) return undefined;
    const name = `${this.address} from ${printablePath(path)}`;
    const sender = new Sender(this.#openSender(), path, {
      vanished: () => link.end(),
      refused: () => {
        this.#unserved.add(path);
        const why =
          `its socket is connected to ${this.#path}, and takes datagrams from no other; for that run with --allow-ffi`;
        link.end(new Deno.errors.NotSupported(`Cannot send on link ${name}: ${why}`));
      },
      ended: () => {
        this.#links.delete(path);
        this.#guests.gone();
      },
    });
    const { mtu = 1500, offload } = this.#options;
    const link = new DatagramLink({ name, mtu, offload }, sender);
    this.#links.set(path, link);
    this.#options.attach(link);
    return link;
  }

  #openSender(): UnixDatagramSocket {
    const path = `${this.#path}.${this.#nextNumber++}`;
    try {
      const socket = openSocket(path);
      // It only sends: nobody needs to find it.
      Deno.removeSync(path);
      return socket;
    } catch (error) {
      this.#guests.gone();
      throw error;
    }
  }
}

/** Who is told what becomes of a peer. */
interface SenderEvents {
  /** Nobody is at its path. */
  readonly vanished: () => void;
  /** Its socket takes nothing from this one. */
  readonly refused: () => void;
  /** The link has ended. */
  readonly ended: () => void;
}

/** Sends to one peer, one datagram after the other. */
class Sender implements DatagramCarrier {
  readonly #socket: UnixDatagramSocket;
  readonly #to: { transport: "unixpacket"; path: string };
  readonly #tell: SenderEvents;
  readonly #waiting: Uint8Array[] = [];
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(socket: UnixDatagramSocket, path: string, tell: SenderEvents) {
    this.#socket = socket;
    this.#to = { transport: "unixpacket", path };
    this.#tell = tell;
  }

  send(frame: Frame): boolean {
    if (this.#waiting.length >= MOST_WAITING) return false;
    this.#waiting.push(frame.bytes.slice(frame.start, frame.end));
    this.#sending ??= this.#sendAll();
    return true;
  }

  ended(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    this.#socket.close();
    this.#tell.ended();
  }

  async freed(): Promise<void> {
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    // The caller goes on first.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) {
        await this.#socket.send(this.#waiting[0]!, this.#to);
        this.#waiting.shift();
      }
    } catch (error) {
      if (this.#closed) return;
      if (error instanceof Deno.errors.PermissionDenied) this.#tell.refused();
      else this.#tell.vanished();
    } finally {
      this.#sending = undefined;
    }
  }
}

function openSocket(path: string): UnixDatagramSocket {
  const { listenDatagram } = Deno as unknown as { listenDatagram?: ListenDatagram };
  if (listenDatagram === undefined) {
    throw new Deno.errors.NotSupported(
      `Cannot receive on ${path}: without FFI sockets this needs Deno's unstable datagrams, run with --unstable-net`,
    );
  }
  try {
    return listenDatagram({ transport: "unixpacket", path });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    throw new Deno.errors.NotCapable(
      `Cannot receive on ${path}: a permission is missing, run with --allow-read, --allow-write and --allow-net`,
      { cause: error },
    );
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
