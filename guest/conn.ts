/**
 * A TCP connection of an in-process guest, with the methods of `Deno.Conn`.
 *
 * Received bytes wait in the endpoint's queue until `read` takes them, which is what opens the window again; `write`
 * waits for room in the send queue.
 *
 * @module
 */
import { formatEndpoint, IpAddress } from "../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import { copyBytes, LARGE_PAYLOAD } from "../nat/base/buffers.ts";
import type { QueueSink, TcpContext, TcpEnd, TcpLower, TcpUser } from "../nat/tcp/context.ts";
import { TcpEndpoint } from "../nat/tcp/endpoint.ts";
import type { TcpState } from "../nat/tcp/transitions.ts";

/** What a connection needs of its guest. */
export interface GuestConnParts {
  /** The way to the gateway. */
  readonly lower: TcpLower;
  /** Its port. */
  readonly localPort: number;
  /** The port at the other end. */
  readonly peerPort: number;
  /** Its end of the connection. */
  readonly local: Deno.NetAddr;
  /** The other end. */
  readonly remote: Deno.NetAddr;
  /** Asks for `endTurn` at the end of the turn. */
  readonly due: (conn: GuestConn) => void;
  /** Runs a turn now: the user has acted. */
  readonly act: () => void;
  /** The connection's port is free. */
  readonly over: () => void;
}

const NOTHING = new Uint8Array(0);

/** A connection of an in-process guest. */
export class GuestConn implements TcpUser, QueueSink, AsyncDisposable {
  /** The TCP endpoint. */
  readonly endpoint: TcpEndpoint;

  #context: TcpContext;
  #parts: GuestConnParts;
  #name: string;
  #opened = Promise.withResolvers<void>();
  #changed = Promise.withResolvers<void>();
  #finished = false;
  #error: Error | null = null;
  #ended = false;
  /** Where `read` wants bytes, and how many it has. */
  #into: Uint8Array = NOTHING;
  #read = 0;

  /** A closed connection. */
  constructor(context: TcpContext, parts: GuestConnParts) {
    this.#context = context;
    this.#parts = parts;
    this.#name = formatEndpoint(IpAddress.parse(parts.remote.hostname), parts.remote.port);
    this.endpoint = new TcpEndpoint(context, { lower: parts.lower, ports: parts, user: this });
  }

  /** The guest's end of the connection. */
  get localAddr(): Deno.NetAddr {
    return this.#parts.local;
  }

  /** The other end of the connection. */
  get remoteAddr(): Deno.NetAddr {
    return this.#parts.remote;
  }

  /** The state of the endpoint. */
  get state(): TcpState {
    return this.endpoint.state;
  }

  /** Sends SYN; resolves when the connection is open, rejects when it is refused or nobody answers. */
  async open(initialSequence: number): Promise<void> {
    this.endpoint.connect(initialSequence);
    await this.#opened.promise;
  }

  /** Answers the SYN at `bytes[tcp]`; resolves when the connection is open, rejects when it never is. */
  async answer(bytes: Uint8Array, tcp: number, initialSequence: number): Promise<void> {
    this.endpoint.listen(bytes, tcp);
    this.endpoint.accept(initialSequence);
    await this.#opened.promise;
  }

  /** Reads into `into`: how many bytes, or null at the peer's FIN. Rejects with `ConnectionReset` or `TimedOut`. */
  async read(into: Uint8Array): Promise<number | null> {
    while (this.endpoint.queued === 0) {
      if (this.#error !== null) throw this.#error;
      if (this.#finished) return null;
      await this.#changed.promise;
    }
    this.#into = into;
    this.#read = 0;
    this.endpoint.drainTo(this);
    this.#parts.act();
    return this.#read;
  }

  /** For the endpoint: bytes for whoever reads. */
  takeQueued(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(end - start, this.#into.length - this.#read);
    copyBytes(bytes, start, start + count, this.#into, this.#read);
    this.#read += count;
    return count;
  }

  /**
   * Writes some of `bytes`, waiting for room: how many were taken. Rejects with `ConnectionReset`, `TimedOut` or
   * `BrokenPipe`.
   */
  async write(bytes: Uint8Array): Promise<number> {
    let room = this.#roomToWrite();
    while (room <= 0) {
      await this.#changed.promise;
      room = this.#roomToWrite();
    }
    const count = Math.min(bytes.length, room, LARGE_PAYLOAD), buffer = this.#context.pool.takeLarge();
    buffer.set(bytes.subarray(0, count), SEGMENT_HEADROOM);
    if (!this.endpoint.write(buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + count)) this.#context.pool.give(buffer);
    this.#parts.act();
    return count;
  }

  /** Sends FIN after what was written; reading goes on. */
  closeWrite(): void {
    this.endpoint.closeWrite();
    this.#parts.act();
  }

  /** Closes both directions: FIN where everything was read, else RST (RFC 1122 section 4.2.2.13). */
  close(): void {
    if (this.endpoint.queued > 0) return this.abort();
    this.closeWrite();
    if (!this.#finished) this.endpoint.abortWhenSent();
    this.#parts.act();
  }

  /** Ends the connection with RST. */
  abort(): void {
    this.endpoint.abort();
    this.#parts.act();
  }

  /** TIME-WAIT gives way to a new connection with the same ports. */
  giveUpKey(): void {
    this.endpoint.leaveTimeWait();
    this.#parts.over();
  }

  /** The link has ended. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#ended = true;
    this.endpoint.dispose();
    this.#parts.over();
    this.#tell();
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.close();
    return Promise.resolve();
  }

  /** The handshake is complete. */
  tcpOpened(): void {
    this.#opened.resolve();
  }

  /** Everything waits in the queue for `read`. */
  tcpReceived(): number {
    this.#parts.due(this);
    return 0;
  }

  /** The peer's FIN came. */
  tcpPeerFinished(): void {
    this.#finished = true;
    this.#parts.due(this);
  }

  /** There may be room to write. */
  tcpSendRoom(): void {
    this.#parts.due(this);
  }

  /** The endpoint is over. */
  tcpEnded(reason: TcpEnd): void {
    this.#ended = true;
    this.#error = errorOf(reason, this.#name);
    if (this.endpoint.state === "CLOSED") this.#parts.over();
    this.#parts.due(this);
  }

  /** The port is free. */
  tcpTimeWaitOver(): void {
    this.#parts.over();
  }

  /** The endpoint has an ACK to send. */
  tcpTurnDue(): void {
    this.#parts.due(this);
  }

  /** Tells whoever waits, and acknowledges. */
  endTurn(): void {
    this.#tell();
    this.endpoint.endTurn();
  }

  #roomToWrite(): number {
    if (this.#error !== null) throw this.#error;
    if (this.#ended || this.endpoint.send.record.finQueued) {
      throw new Deno.errors.BrokenPipe(`Cannot write to ${this.#name}: closed`);
    }
    return this.endpoint.readRoom;
  }

  #tell(): void {
    if (this.#error !== null) this.#opened.reject(this.#error);
    // Whoever has stopped waiting for the opening must not make its failure an unhandled one.
    this.#opened.promise.catch(() => {});
    const changed = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    changed.resolve();
  }
}

function errorOf(reason: TcpEnd, name: string): Error | null {
  switch (reason) {
    case "finished":
      return null;
    case "refused":
      return new Deno.errors.ConnectionRefused(`Cannot connect to ${name}: refused`);
    case "reset":
      return new Deno.errors.ConnectionReset(`Connection to ${name} was reset by the peer`);
    case "timedOut":
      return new Deno.errors.TimedOut(`Connection to ${name} ended: the peer does not answer`);
    case "aborted":
      return new Deno.errors.ConnectionAborted(`Connection to ${name} was aborted`);
  }
}
