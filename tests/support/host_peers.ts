/**
 * The other side of a host under test: TCP and UDP peers on loopback for hosts with real sockets, and scripted ones for
 * `ScriptHost`, behind one interface, so that one case serves all.
 *
 * @module
 */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import type { HostEndpoint, HostNetwork } from "../../nat/host.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { ScriptHost, type ScriptTcpSocket } from "./script_host.ts";

/** The peer of a connection. */
export interface Peer {
  /** Some bytes, at most `max`; `null` at EOF. Rejects with `Deno.errors.ConnectionReset`. */
  read(max: number): Promise<Uint8Array | null>;
  /** Writes all of it. */
  write(bytes: Uint8Array): Promise<void>;
  /** Sends FIN. */
  closeWrite(): Promise<void>;
  /** Closes the connection. */
  close(): void;
}

/** Where a host can connect to. */
export interface PeerListener {
  /** Where it listens. */
  readonly target: { address: IpAddress; port: number };
  /** The next connection. */
  accept(): Promise<Peer>;
  /** No connection is taken any more. */
  close(): void;
}

/** A listener whose only connection says something, then resets. */
export interface ResettingListener {
  /** Where it listens. */
  readonly target: { address: IpAddress; port: number };
  /** Sends FIN. */
  finish(): Promise<void>;
  /** Sends `bytes` and, once they are on their way, RST. */
  reset(bytes: Uint8Array): Promise<void>;
  /** Closes what is left. */
  close(): Promise<void>;
}

/** A client of a listener of the host. */
export interface Client {
  /** Its connection. */
  readonly peer: Peer;
  /** Its own address and port. */
  readonly local: HostEndpoint;
}

/** A client of a UDP port of the host. */
export interface UdpClient {
  /** Its own address and port. */
  readonly local: HostEndpoint;
  /** What it received, and from where. */
  readonly got: { bytes: Uint8Array; from: HostEndpoint }[];
  /** Sends a datagram. */
  send(bytes: Uint8Array, to: HostEndpoint): void;
  /** Closes it. */
  close(): Promise<void>;
}

/** A UDP peer that returns every datagram to its sender. */
export interface UdpEcho {
  /** Where it listens. */
  readonly target: { address: IpAddress; port: number };
  /** Closes it. */
  close(): Promise<void>;
}

/** A host and the means to make peers for it. */
export interface HostWorld extends AsyncDisposable {
  /** What is tested. */
  readonly host: HostNetwork;
  /** Begins to listen, on 127.0.0.1 or ::1. */
  listen(family?: 4 | 6): PeerListener;
  /** Listens for a connection to reset. */
  listenToReset(): Promise<ResettingListener>;
  /** Opens a UDP peer. */
  udpEcho(family?: 4 | 6): Promise<UdpEcho>;
  /** Connects to a port that the host listens on. */
  connect(to: HostEndpoint): Promise<Client>;
  /** Opens a client of UDP. */
  udpClient(family?: 4 | 6): Promise<UdpClient>;
  /** Lets host and peers get on a little. */
  step(): Promise<void>;
}

/** Peers on loopback. */
export class LoopbackWorld implements HostWorld {
  readonly host: HostNetwork;
  readonly #afterwards: () => Promise<void>;

  /** Owns `host`; `afterwards` disposes of what it runs on. */
  constructor(host: HostNetwork, afterwards: () => Promise<void> = () => Promise.resolve()) {
    this.host = host;
    this.#afterwards = afterwards;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    await this.#afterwards();
  }

  listen(family: 4 | 6 = 4): PeerListener {
    const listener = Deno.listen({ hostname: family === 4 ? "127.0.0.1" : "::1", port: 0 });
    return {
      target: targetOf(listener.addr.hostname, listener.addr.port),
      accept: async () => new ConnPeer(await listener.accept()),
      close: () => listener.close(),
    };
  }

  async listenToReset(): Promise<ResettingListener> {
    const server: Server = createServer({ allowHalfOpen: true });
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const { address, port } = server.address() as { address: string; port: number };
    return {
      target: targetOf(address, port),
      finish: async () => {
        const socket = await accepted;
        await new Promise<void>((resolve) => socket.end(() => resolve()));
      },
      reset: async (bytes) => {
        const socket = await accepted;
        if (bytes.length > 0) await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
        socket.resetAndDestroy();
      },
      close: () => new Promise((resolve) => server.close(() => resolve())),
    };
  }

  async udpEcho(family: 4 | 6 = 4): Promise<UdpEcho> {
    const socket: UdpSocket = createSocket(family === 4 ? "udp4" : "udp6");
    socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => socket.send(bytes, from.port, from.address));
    await new Promise<void>((resolve) => socket.bind(0, family === 4 ? "127.0.0.1" : "::1", () => resolve()));
    const { address, port } = socket.address();
    return { target: targetOf(address, port), close: () => new Promise((resolve) => socket.close(() => resolve())) };
  }

  async connect(to: HostEndpoint): Promise<Client> {
    const conn = await Deno.connect({ hostname: to.address.toString(), port: to.port });
    return { peer: new ConnPeer(conn), local: targetOf(conn.localAddr.hostname, conn.localAddr.port) };
  }

  async udpClient(family: 4 | 6 = 4): Promise<UdpClient> {
    const socket: UdpSocket = createSocket(family === 4 ? "udp4" : "udp6"), got: UdpClient["got"] = [];
    socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => {
      got.push({ bytes: new Uint8Array(bytes), from: targetOf(from.address, from.port) });
    });
    await new Promise<void>((resolve) => socket.bind(0, family === 4 ? "127.0.0.1" : "::1", () => resolve()));
    return {
      local: targetOf(socket.address().address, socket.address().port),
      got,
      send: (bytes, to) => socket.send(bytes, to.port, to.address.toString()),
      close: () => new Promise((resolve) => socket.close(() => resolve())),
    };
  }

  step(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 1));
  }
}

class ConnPeer implements Peer {
  readonly #conn: Deno.TcpConn;

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  async read(max: number): Promise<Uint8Array | null> {
    const bytes = new Uint8Array(max);
    const count = await this.#conn.read(bytes);
    return count === null ? null : bytes.subarray(0, count);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }

  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  close(): void {
    this.#conn.close();
  }
}

// What a scripted peer's kernel would hold for it while it does not read.
const SCRIPT_WINDOW_BYTES = 262144;

/** Peers by script: each listener is a port that `step` accepts connects to; all other connects are refused. */
export class ScriptWorld implements HostWorld {
  readonly host: ScriptHost = new ScriptHost();
  readonly #listeners = new Map<number, ScriptPeer[]>();
  readonly #echoes = new Map<string, { address: IpAddress; port: number }>();
  readonly #udpClients: UdpClient[] = [];
  #nextPort = 40000;

  listen(family: 4 | 6 = 4): PeerListener {
    const target = this.#place(family), accepted: ScriptPeer[] = [];
    this.#listeners.set(target.port, accepted);
    const accept = async () => {
      while (accepted.length === 0) await this.step();
      return accepted.shift()!;
    };
    return { target, accept, close: () => void this.#listeners.delete(target.port) };
  }

  listenToReset(): Promise<ResettingListener> {
    const listener = this.listen();
    let accepted: Promise<Peer> | undefined;
    const peer = async () => await (accepted ??= listener.accept()) as ScriptPeer;
    return Promise.resolve({
      target: listener.target,
      finish: async () => await (await peer()).closeWrite(),
      reset: async (bytes: Uint8Array) => (await peer()).reset(bytes),
      close: () => Promise.resolve(listener.close()),
    });
  }

  udpEcho(family: 4 | 6 = 4): Promise<UdpEcho> {
    const target = this.#place(family), key = `${target.address} ${target.port}`;
    this.#echoes.set(key, target);
    return Promise.resolve({ target, close: () => Promise.resolve(void this.#echoes.delete(key)) });
  }

  async connect(to: HostEndpoint): Promise<Client> {
    const local = this.#place(to.address.isIpv4 ? 4 : 6);
    const listener = this.host.listeners.find(({ local, closed }) => local.port === to.port && !closed);
    if (listener === undefined) throw new Deno.errors.ConnectionRefused("Connection refused");
    const peer = new ScriptPeer(listener.clientConnects(local), this);
    await this.step();
    return { peer, local };
  }

  udpClient(family: 4 | 6 = 4): Promise<UdpClient> {
    const local = this.#place(family);
    const client: UdpClient = {
      local,
      got: [],
      send: (bytes, to) => {
        const socket = this.host.udpSockets.find(({ local, closed }) => local?.port === to.port && !closed);
        socket?.hostSends(bytes, local);
      },
      close: () => Promise.resolve(),
    };
    this.#udpClients.push(client);
    return Promise.resolve(client);
  }

  step(): Promise<void> {
    this.host.advance(1);
    for (const socket of this.host.pendingConnects) {
      const accepted = this.#listeners.get(socket.target.port);
      if (socket.closed) continue;
      if (accepted === undefined) socket.refuse();
      else {
        socket.accept();
        accepted.push(new ScriptPeer(socket, this));
      }
    }
    for (const socket of this.host.udpSockets) {
      for (const { bytes, to } of socket.sent.splice(0)) {
        const echo = this.#echoes.get(`${to.address} ${to.port}`);
        const client = this.#udpClients.find(({ local }) => local.port === to.port && local.address.equals(to.address));
        if (client !== undefined) client.got.push({ bytes, from: socket.local! });
        else if (echo === undefined) socket.hostRefuses(to);
        else socket.hostSends(bytes, echo);
      }
    }
    this.host.run();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }

  #place(family: 4 | 6): { address: IpAddress; port: number } {
    return targetOf(family === 4 ? "127.0.0.1" : "::1", this.#nextPort++);
  }
}

class ScriptPeer implements Peer {
  readonly #socket: ScriptTcpSocket;
  readonly #world: ScriptWorld;
  #unread: Uint8Array = new Uint8Array();

  constructor(socket: ScriptTcpSocket, world: ScriptWorld) {
    this.#socket = socket;
    this.#world = world;
    socket.budget = SCRIPT_WINDOW_BYTES;
  }

  async read(max: number): Promise<Uint8Array | null> {
    const socket = this.#socket;
    for (;;) {
      if (this.#unread.length === 0) this.#unread = socket.takeReceived();
      if (this.#unread.length > 0) break;
      if (socket.wasReset) throw new Deno.errors.ConnectionReset("Connection reset by peer");
      if (socket.closeWriteCalled || socket.closed) return null;
      await this.#world.step();
    }
    const bytes = this.#unread.subarray(0, max);
    this.#unread = this.#unread.subarray(bytes.length);
    socket.budget += bytes.length;
    return bytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += 65536) {
      while (this.#socket.unreadLength > SCRIPT_WINDOW_BYTES && !this.#socket.closed) await this.#world.step();
      this.#socket.hostSends(bytes.subarray(at, at + 65536));
    }
    this.#world.host.run();
  }

  closeWrite(): Promise<void> {
    this.#socket.hostEof();
    return this.#world.step();
  }

  close(): void {
    if (!this.#socket.closed) this.#socket.hostEof();
  }

  reset(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#socket.hostSends(bytes);
    this.#socket.hostResets();
    this.#world.host.run();
  }
}

/** Returns everything to where it comes from. */
export async function echo(peer: Peer): Promise<void> {
  for (let part; (part = await peer.read(65536)) !== null;) await peer.write(part);
  await peer.closeWrite();
  peer.close();
}

/** Everything up to EOF. */
export async function readToEnd(peer: Peer): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let part; (part = await peer.read(65536 * 4)) !== null;) parts.push(part);
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function targetOf(address: string, port: number): { address: IpAddress; port: number } {
  return { address: IpAddress.parse(address), port };
}
