/**
 * A forwarder of UDP on the host alone: datagrams to one place go on to another, and answers go back.
 *
 * Each client has a socket of its own towards the target, by whose port the target tells clients apart, for as long as
 * datagrams pass: the one that has been idle for longest goes when there are too many, and each after `IDLE_MS`. A
 * target that refuses is nothing to tell: the client asks again or does not.
 *
 * `node:dgram` is used, which needs no flag where `Deno.listenDatagram` needs one.
 *
 * @module
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
// Without it Deno runs no callback of `process.nextTick` and sockets say nothing, see `host/deno_udp.ts`.
import "node:process";

/** How long a client that is silent keeps its socket, in milliseconds. */
const IDLE_MS = 120_000;
const SWEEP_MS = 10_000;
/** Clients at once. */
const MOST_CLIENTS = 1024;

/** Where datagrams come or go. */
export interface DatagramEndpoint {
  /** The address, as text. */
  readonly hostname: string;
  /** The port. */
  readonly port: number;
}

/** How a forwarder of datagrams works. */
export interface DatagramForwarderOptions {
  /** Whether datagrams of a client at this address are taken. Default all are. */
  admits?(hostname: string): boolean;
}

interface Client {
  readonly socket: Socket;
  usedAt: number;
}

/** A forwarder of UDP that listens. */
export class DatagramForwarder {
  readonly #socket: Socket;
  readonly #target: DatagramEndpoint;
  readonly #options: DatagramForwarderOptions;
  /** By address and port, the one that was used last at the end. */
  readonly #clients = new Map<string, Client>();
  readonly #sweep: ReturnType<typeof setInterval>;

  private constructor(socket: Socket, target: DatagramEndpoint, options: DatagramForwarderOptions) {
    this.#socket = socket;
    this.#target = target;
    this.#options = options;
    this.#sweep = setInterval(() => this.#forgetIdle(), SWEEP_MS);
    socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => this.#fromClient(bytes, from));
    // What the kernel refuses to send is lost, as datagrams are.
    socket.on("error", () => {});
  }

  /** Listens, and begins to forward. Rejects with the reason why it cannot listen. */
  static async start(
    listen: DatagramEndpoint,
    target: DatagramEndpoint,
    options: DatagramForwarderOptions = {},
  ): Promise<DatagramForwarder> {
    const socket = socketFor(listen.hostname);
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(listen.port, listen.hostname, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return new DatagramForwarder(socket, target, options);
  }

  /** The port on which it listens. */
  get port(): number {
    return this.#socket.address().port;
  }

  /** How many clients have a socket. */
  get clients(): number {
    return this.#clients.size;
  }

  /** Ends it. Resolves when its port is free. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const { socket } of this.#clients.values()) socket.close();
    this.#clients.clear();
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #fromClient(bytes: Uint8Array, { address, port }: RemoteInfo): void {
    if (this.#options.admits?.(address) === false) return;
    const key = `${address} ${port}`, client = this.#clients.get(key) ?? this.#begin(address, port);
    client.usedAt = performance.now();
    this.#clients.delete(key);
    this.#clients.set(key, client);
    client.socket.send(bytes, this.#target.port, this.#target.hostname, () => {});
  }

  #begin(address: string, port: number): Client {
    const [oldest] = this.#clients;
    if (this.#clients.size >= MOST_CLIENTS && oldest !== undefined) this.#forget(...oldest);
    const client: Client = { socket: socketFor(this.#target.hostname), usedAt: 0 };
    client.socket.on("error", () => {});
    client.socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => {
      if (from.port !== this.#target.port || from.address !== this.#target.hostname) return;
      client.usedAt = performance.now();
      this.#socket.send(bytes, port, address, () => {});
    });
    return client;
  }

  #forgetIdle(): void {
    const oldest = performance.now() - IDLE_MS;
    for (const [key, client] of this.#clients) if (client.usedAt < oldest) this.#forget(key, client);
  }

  #forget(key: string, { socket }: Client): void {
    this.#clients.delete(key);
    socket.close();
  }
}

function socketFor(hostname: string): Socket {
  const lookup = (hostname: string, _: unknown, callback: (error: null, address: string, family: number) => void) =>
    callback(null, hostname, hostname.includes(":") ? 6 : 4);
  return createSocket({ type: hostname.includes(":") ? "udp6" : "udp4", lookup });
}
