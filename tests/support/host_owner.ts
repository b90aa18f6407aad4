/**
 * The owner of a host's sockets in `host_cases.ts`: it records what it is told and checks, whatever the case is
 * about, what
 * `nat/host.ts` promises of every call.
 *
 * @module
 */
import {
  FAILED,
  type HostConnectHandler,
  type HostEndpoint,
  type HostError,
  type HostNetwork,
  type HostTcpSocket,
  WOULD_BLOCK,
  WRITE,
} from "../../nat/host.ts";
import type { Peer } from "./host_peers.ts";

/** Counts the turns of a host; `nextAt` is what the turn answers, until it has come. */
export class TurnCounter {
  /** How often the turn was called. */
  count = 0;
  /** When the turn asks to be called again. */
  nextAt = Infinity;
  /** When the first turn at or after `nextAt` was. */
  firedAt: number | undefined;

  /** Starts `host` with this turn. */
  constructor(host: HostNetwork) {
    host.start(() => {
      this.count++;
      if (host.now() >= this.nextAt) {
        this.firedAt = host.now();
        this.nextAt = Infinity;
      }
      return this.nextAt;
    });
  }
}

/** A handler of one connection that keeps its socket's calls and its own apart. */
export class TcpOwner implements HostConnectHandler {
  /** What it was told, in order: `connected`, `connectFailed refused`, `readable`, `writable`, `failed reset`. */
  readonly told: string[] = [];
  /** Broken promises of the host. */
  readonly violations: string[] = [];
  /** What to do when readable. */
  onReadable: () => void = () => {};
  /** What to do when writable. */
  onWritable: () => void = () => {};
  /** What to do when connected. */
  onConnected: () => void = () => {};
  /** Everything `readAll` has read. */
  readonly parts: Uint8Array[] = [];
  /** What the last `read` that gave no bytes answered. */
  lastRead = WOULD_BLOCK;
  /** How many bytes `read` gave. */
  readLength = 0;
  readonly #turns: TurnCounter;
  readonly #socket: HostTcpSocket;
  readonly #buffer = new Uint8Array(70000);
  readonly #lastTurn = new Map<string, number>();
  #inCall = true;
  #connected = false;
  #closed = false;

  /** Owns the socket that `open` makes for it. */
  constructor(turns: TurnCounter, open: (owner: TcpOwner) => HostTcpSocket) {
    this.#turns = turns;
    this.#socket = open(this);
    this.#inCall = false;
  }

  /** Connects. */
  static connect(host: HostNetwork, turns: TurnCounter, target: HostEndpoint): TcpOwner {
    return new TcpOwner(turns, (owner) => host.connectTcp(target, owner));
  }

  /** Owns a socket that was accepted, and is taken to have been told so. */
  static accepted(turns: TurnCounter, socket: HostTcpSocket): TcpOwner {
    const owner = new TcpOwner(turns, () => socket);
    owner.#connected = true;
    owner.told.push("connected");
    return owner;
  }

  /** Why the last operation failed. */
  get error(): HostError {
    return this.#socket.error;
  }

  /** All bytes read so far. */
  get bytes(): Uint8Array {
    const all = new Uint8Array(this.readLength);
    let at = 0;
    for (const part of this.parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  hostConnected(): void {
    if (this.told.length > 0) this.violations.push(`connected after ${this.told[0]}`);
    this.#connected = true;
    this.#tell("connected");
    this.onConnected();
  }

  hostConnectFailed(error: HostError): void {
    this.#tell(`connectFailed ${error}`);
    this.#closed = true;
  }

  hostReadable(): void {
    this.#tell("readable");
    this.onReadable();
  }

  hostWritable(): void {
    this.#tell("writable");
    this.onWritable();
  }

  hostFailed(error: HostError): void {
    this.#tell(`failed ${error}`);
  }

  setInterest(interest: number): void {
    this.#call(() => this.#socket.setInterest(interest));
  }

  /** Reads at most `max` bytes and keeps them; answers as `read` does. */
  read(max = 65536): number {
    // An offset that is not 0, guarded on both sides.
    this.#buffer.fill(0xa5, 0, 16).fill(0xa5, 16 + max, 16 + max + 16);
    const count = this.#call(() => this.#socket.read(this.#buffer, 16, 16 + max));
    if (count > max) this.violations.push(`read gave ${count} bytes for ${max}`);
    if (this.#buffer[15] !== 0xa5 || this.#buffer[16 + max] !== 0xa5) this.violations.push("read left its range");
    if (count > 0) {
      this.parts.push(this.#buffer.slice(16, 16 + count));
      this.readLength += count;
    } else {
      this.lastRead = count;
    }
    return count;
  }

  /** Reads until there is nothing more; interest ends with EOF and failure, as the interface wants it. */
  readAll(): void {
    while (this.read() > 0);
    if (this.lastRead === 0 || this.lastRead === FAILED) this.setInterest(0);
  }

  /** Writes what the socket takes of `bytes` from `start`; answers as `write` does. */
  write(bytes: Uint8Array, start = 0): number {
    const count = this.#call(() => this.#socket.write(bytes, start, bytes.length));
    if (count === 0 || count > bytes.length - start) this.violations.push(`write took ${count} bytes`);
    return count;
  }

  closeWrite(): void {
    this.#call(() => this.#socket.closeWrite());
  }

  close(): void {
    this.#closed = true;
    this.#call(() => this.#socket.close());
  }

  reset(): void {
    this.#closed = true;
    this.#call(() => this.#socket.reset());
  }

  #call<T>(operation: () => T): T {
    const outer = this.#inCall;
    this.#inCall = true;
    try {
      return operation();
    } finally {
      this.#inCall = outer;
    }
  }

  #tell(what: string): void {
    this.told.push(what);
    if (this.#inCall) this.violations.push(`${what} from within a call of the owner`);
    if (this.#closed) this.violations.push(`${what} after close`);
    if (!this.#connected && !what.startsWith("connectFailed")) this.violations.push(`${what} before connected`);
    if (this.#lastTurn.get(what) === this.#turns.count) {
      this.violations.push(`${what} twice in turn ${this.#turns.count}`);
    }
    this.#lastTurn.set(what, this.#turns.count);
  }
}

/** Ends a connection from both sides. */
export function closeBoth(owner: TcpOwner, peer: Peer): void {
  owner.close();
  peer.close();
}

/** Writes `bytes` as room appears, then sends FIN. */
export function sendAll(owner: TcpOwner, bytes: Uint8Array): void {
  let at = 0;
  owner.onWritable = () => {
    for (let count; at < bytes.length && (count = owner.write(bytes, at)) > 0;) at += count;
    if (at < bytes.length) return;
    owner.setInterest(0);
    owner.closeWrite();
  };
  owner.setInterest(WRITE);
}
