/**
 * A `Door` on Deno's sockets.
 *
 * One `accept` is under way for as long as the door is open. When it fails, for want of descriptors or whatever else,
 * the next one begins after `REST_MS`, because it would fail at once again.
 *
 * @module
 */
import type { Arrival, Conversation, Door, DoorHandler, StreamAddress } from "./arrival.ts";
import { ConnLink } from "./conn_link.ts";
import type { FramedLinkOptions } from "./framed_link.ts";
import type { Link } from "./link.ts";
import { bindSocketPath, denoPathIsServed } from "./socket_path.ts";

const REST_MS = 100;

/** Binds a door to `address`. Throws what `listenForStreams` says. */
export async function bindDenoDoor(address: StreamAddress): Promise<Door> {
  if (!("path" in address)) return new DenoDoor(listenOnPort(address), () => {});
  const { path } = address;
  const { socket, release } = await bindSocketPath(path, {
    bind: () => listenOnPath(path),
    isServed: () => denoPathIsServed(path),
    remove: () => Deno.removeSync(path),
  });
  return new DenoDoor(socket, release);
}

class DenoDoor implements Door {
  readonly place: string;
  readonly #listener: Deno.Listener;
  readonly #release: () => void;
  #accepting: Promise<void> | undefined;
  /** What arrivals still do. */
  readonly #underWay = new Set<Promise<void>>();
  #closed = false;
  #endRest: (() => void) | undefined;

  constructor(listener: Deno.Listener, release: () => void) {
    this.#listener = listener;
    this.#release = release;
    this.place = placeText(listener.addr);
  }

  open(handler: DoorHandler): void {
    this.#accepting = this.#accept(handler);
  }

  delay(callback: () => void, ms: number): () => void {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    this.#release();
    this.#endRest?.();
    await this.#accepting;
    await Promise.all(this.#underWay);
  }

  async #accept(handler: DoorHandler): Promise<void> {
    while (!this.#closed) {
      try {
        this.#arrived(handler, await this.#listener.accept());
      } catch (error) {
        if (this.#closed) return;
        // Who has gone before he was accepted is nobody's concern.
        if (error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.ConnectionAborted) continue;
        handler.refused(`Cannot accept a connection on ${this.place}: ${messageOf(error)}`, isExhaustion(error));
        await this.#rest();
      }
    }
  }

  async #rest(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.delay(resolve, REST_MS);
      this.#endRest = () => {
        cancel();
        resolve();
      };
    });
    this.#endRest = undefined;
  }

  #arrived(handler: DoorHandler, conn: Deno.Conn): void {
    const peer = conn.remoteAddr;
    if (peer.transport === "tcp") {
      (conn as Deno.TcpConn).setNoDelay(true);
      (conn as Deno.TcpConn).setKeepAlive(true);
    }
    const track = (work: Promise<void>) => {
      this.#underWay.add(work);
      work.finally(() => this.#underWay.delete(work));
    };
    handler.arrived(new DenoArrival(conn, peer.transport === "tcp" ? placeText(peer) : "", track));
  }
}

class DenoArrival implements Arrival {
  readonly from: string;
  readonly #conn: Deno.Conn;
  readonly #track: (work: Promise<void>) => void;
  #said: Promise<unknown> = Promise.resolve();
  #over = false;

  /** `track` is given everything that goes on beside. None of it rejects. */
  constructor(conn: Deno.Conn, from: string, track: (work: Promise<void>) => void) {
    this.#conn = conn;
    this.from = from;
    this.#track = track;
  }

  listen(conversation: Conversation): void {
    this.#track(this.#read(conversation));
  }

  say(bytes: Uint8Array<ArrayBuffer>): void {
    // A connection that is broken shows that to whoever reads.
    if (!this.#over) this.#said = this.#conn.write(bytes).catch(() => {});
  }

  link(options: FramedLinkOptions): Link {
    this.#over = true;
    return new ConnLink(this.#conn, options);
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#track(this.#said.then(() => this.#conn.close()));
  }

  async #read(conversation: Conversation): Promise<void> {
    while (!this.#over) {
      let count = 0;
      try {
        count = await this.#conn.read(conversation.room()) ?? 0;
      } catch {
        // It is over in any case.
      }
      if (!this.#over) conversation.took(count);
    }
  }
}

function listenOnPort(address: { hostname: string; port: number }): Deno.Listener {
  try {
    return Deno.listen({ hostname: address.hostname, port: address.port });
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

function placeText(address: Deno.Addr): string {
  if (address.transport === "unix" || address.transport === "unixpacket") return address.path;
  if (address.transport !== "tcp") return address.transport;
  const { hostname, port } = address;
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * Whether descriptors or memory have run out; Deno names such errors by their number alone (ENOMEM, ENFILE, EMFILE,
 * ENOBUFS).
 */
function isExhaustion(error: unknown): boolean {
  return /\(os error (12|23|24|105)\)/.test(messageOf(error));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
