/**
 * A host without sockets, clock or waiting: a test plays the host's peers, and time passes when the test says so.
 *
 * **Order.** Nothing happens by itself. What the owner does is recorded; what the test says (`accept`, `hostSends`,
 * `hostEof`, …) becomes readiness; `run()` then calls the handlers, each at most once, then the turn, and so on until
 * all is quiet. `advance(ms)` moves the clock and calls the turn at each deadline it asked for, in order. The same
 * script always gives the same calls.
 *
 * **Strictness.** Calls that a real host leaves undefined throw an `Error` here: any use after `close` or `reset`,
 * `write` after `closeWrite`, a second `closeWrite`, an empty `read` or `write`, `setInterest` with unknown bits. A
 * broken connection is told once, and then no handler is called any more, unless `readsLate` makes it a host that reads
 * ahead. Readiness is level-triggered to the letter: an owner that keeps an interest without acting on it (`READ` after
 * EOF, `WRITE` with nothing to write) makes `run()` throw after `MAX_ROUNDS` rounds instead of hiding a busy loop.
 *
 * @module
 */
import {
  FAILED,
  type HostBoundUdpSocket,
  type HostConnectHandler,
  type HostError,
  type HostListener,
  type HostListenError,
  type HostListenHandler,
  type HostNetwork,
  type HostPingHandler,
  type HostTcpHandler,
  type HostTcpSocket,
  type HostUdpHandler,
  READ,
  type Turn,
  WOULD_BLOCK,
  WRITE,
} from "../../nat/host.ts";
import { formatEndpoint, type IpAddress } from "../../net/wire/address.ts";
import { ScriptListener } from "./script_listener.ts";
import { ScriptPingSocket, ScriptUdpSocket } from "./script_datagram.ts";

/** Rounds of handlers and turn after which `run` gives up. */
export const MAX_ROUNDS = 10_000;

const DIGEST_START = 0x811c9dc5;

/** An address and a port. */
export interface ScriptEndpoint {
  address: IpAddress;
  port: number;
  zone?: string;
}

/** A host whose other side is the test. */
export class ScriptHost implements HostNetwork {
  readonly name = "script";
  /** Milliseconds; what `now()` answers. */
  time: number;
  /** Every TCP socket ever asked for, in order. */
  readonly sockets: ScriptTcpSocket[] = [];
  /** Every UDP socket ever opened, in order. */
  readonly udpSockets: ScriptUdpSocket[] = [];
  /** Every listener ever opened, in order. */
  readonly listeners: ScriptListener[] = [];
  /** Ports that cannot be listened on or bound to, and why. */
  readonly listenErrors: Map<number, HostListenError> = new Map();
  /** What `openUdp` answers instead of a socket. */
  udpError: HostError | undefined;
  /** Every ping socket ever opened, in order. */
  readonly pingSockets: ScriptPingSocket[] = [];
  /** What `openPing` answers instead of a socket. */
  pingError: HostError | undefined;
  /** How often `openPing` was called. */
  pingOpens = 0;
  /** What new sockets begin with; see `ScriptTcpSocket.budget`. */
  defaultBudget = Infinity;
  /** What new sockets begin with; see `ScriptTcpSocket.record`. */
  defaultRecord: "bytes" | "digest" = "bytes";
  /** How often the turn was called. */
  turns = 0;
  /** When the turn asked to be called next. */
  deadline = Infinity;
  /** Whether the host was disposed of. */
  disposed = false;
  #turn: Turn | undefined;
  #woken = false;
  #inHandler = false;
  #freePort = 50_000;

  constructor(options: { time?: number } = {}) {
    this.time = options.time ?? 1000;
  }

  /** The TCP sockets that are connecting or open. */
  get openSockets(): ScriptTcpSocket[] {
    return this.sockets.filter((socket) => !socket.closed);
  }

  /** The connects that the test has not answered yet. */
  get pendingConnects(): ScriptTcpSocket[] {
    return this.sockets.filter((socket) => socket.state === "connecting");
  }

  now(): number {
    return this.time;
  }

  start(turn: Turn): void {
    if (this.#turn !== undefined) throw new Error("Cannot start script host: it was started before");
    this.#turn = turn;
    this.#woken = true;
  }

  wake(): void {
    this.#woken = true;
  }

  connectTcp(target: ScriptEndpoint, handler: HostConnectHandler): ScriptTcpSocket {
    return this.addSocket(new ScriptTcpSocket(target, handler));
  }

  listenTcp(local: ScriptEndpoint, handler: HostListenHandler): (HostListener & ScriptListener) | HostListenError {
    const bound = this.#bind(local, this.listeners);
    if (typeof bound === "string") return bound;
    const listener = new ScriptListener(this, bound, handler);
    this.listeners.push(listener);
    return listener;
  }

  bindUdp(local: ScriptEndpoint, handler: HostUdpHandler): (HostBoundUdpSocket & ScriptUdpSocket) | HostListenError {
    const bound = this.#bind(local, this.udpSockets);
    if (typeof bound === "string") return bound;
    const socket = new ScriptUdpSocket(local.address.isIpv4 ? 4 : 6, handler, bound);
    this.udpSockets.push(socket);
    return socket as HostBoundUdpSocket & ScriptUdpSocket;
  }

  /** For listeners: a socket that is the host's from now on. */
  addSocket(socket: ScriptTcpSocket): ScriptTcpSocket {
    socket.budget = this.defaultBudget;
    socket.record = this.defaultRecord;
    this.sockets.push(socket);
    return socket;
  }

  openUdp(family: 4 | 6, handler: HostUdpHandler): ScriptUdpSocket | HostError {
    if (this.udpError !== undefined) return this.udpError;
    const socket = new ScriptUdpSocket(family, handler);
    this.udpSockets.push(socket);
    return socket;
  }

  openPing(family: 4 | 6, handler: HostPingHandler): ScriptPingSocket | HostError {
    this.pingOpens++;
    if (this.pingError !== undefined) return this.pingError;
    const socket = new ScriptPingSocket(family, handler, 0x9000 + this.pingSockets.length);
    this.pingSockets.push(socket);
    return socket;
  }

  /** The only connect that is pending. Throws an `Error` when there is none or more than one. */
  onlyConnect(): ScriptTcpSocket {
    const pending = this.pendingConnects;
    if (pending.length !== 1) throw new Error(`Cannot pick the pending connect: there are ${pending.length}`);
    return pending[0]!;
  }

  /** Calls handlers and turn until nothing is ready and nothing is due. Throws an `Error` when that never comes. */
  run(): void {
    if (this.#inHandler) throw new Error("Cannot run script host: it is called from within a handler or the turn");
    for (let round = 0; this.round(); round++) {
      if (round >= MAX_ROUNDS) throw new Error(`Cannot run script host: ${this.#busy()} after ${MAX_ROUNDS} rounds`);
    }
  }

  /** One batch of handlers and one turn, if anything is ready or due; returns whether something was. */
  round(): boolean {
    let called = this.#woken;
    this.#woken = false;
    this.#inHandler = true;
    try {
      for (const listener of this.listeners) called = listener.dispatch() || called;
      for (const socket of [...this.sockets]) called = socket.dispatch() || called;
      for (const socket of [...this.udpSockets]) called = socket.dispatch() || called;
      for (const socket of [...this.pingSockets]) called = socket.dispatch() || called;
      if (!called && this.deadline > this.time) return false;
      if (this.#turn !== undefined) {
        this.turns++;
        this.deadline = this.#turn();
      }
      return called || this.deadline <= this.time;
    } finally {
      this.#inHandler = false;
    }
  }

  /** Lets `ms` pass: the turn is called at every deadline on the way. */
  advance(ms: number): void {
    const end = this.time + ms;
    this.run();
    while (this.deadline <= end) {
      this.time = Math.max(this.time, this.deadline);
      this.run();
    }
    this.time = end;
    this.run();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    this.#turn = undefined;
    this.deadline = Infinity;
    for (const listener of this.listeners) listener.closed = true;
    for (const socket of this.openSockets) socket.abandon();
    for (const socket of [...this.udpSockets, ...this.pingSockets]) socket.closed = true;
    return Promise.resolve();
  }

  /** Where a port is bound, a free one for port 0, unless it is taken or was said to be impossible. */
  #bind(
    { address, port }: ScriptEndpoint,
    others: readonly { local: ScriptEndpoint | undefined; closed: boolean }[],
  ): ScriptEndpoint | HostListenError {
    const error = this.listenErrors.get(port);
    if (error !== undefined) return error;
    const isTaken = ({ local, closed }: { local: ScriptEndpoint | undefined; closed: boolean }) =>
      !closed && local?.port === port && local.address.equals(address);
    if (others.some(isTaken)) return "addressInUse";
    return { address, port: port === 0 ? this.#freePort++ : port };
  }

  #busy(): string {
    const ready = this.sockets.filter((socket) => socket.isReady());
    if (ready.length > 0) return `${ready.length} sockets, the first to ${ready[0]}, are ready and nobody acts on it`;
    return `the turn asks to be called at ${this.deadline} and it is ${this.time}`;
  }
}

/** A TCP socket and, in the methods whose names begin with `host`, its peer. */
export class ScriptTcpSocket implements HostTcpSocket {
  error: HostError = "other";
  /** Where it was connected to, or the client that it was accepted from. */
  readonly target: ScriptEndpoint;
  /** How far it is. */
  state: "connecting" | "connected" | "failed";
  /** What the owner is interested in. */
  interest = 0;
  /** How many more bytes `write` takes before it answers `WOULD_BLOCK`; raise it to let a slow reader go on. */
  budget = Infinity;
  /** The most that one `write` takes. */
  writeAtMost = Infinity;
  /** The most that one `read` gives. */
  readAtMost = Infinity;
  /** Whether it is one of a host that reads ahead: after a failure the first `read` answers `WOULD_BLOCK`. */
  readsLate = false;
  /** Whether `received` keeps bytes, or only `receivedLength` and `receivedDigest` are kept. */
  record: "bytes" | "digest" = "bytes";
  /** How many bytes the owner wrote. */
  receivedLength = 0;
  /** What each call of `read` asked for, in bytes. */
  readonly asked: number[] = [];
  /** How many calls of `write` took bytes. */
  writes = 0;
  /** `digest` of what the owner wrote. */
  receivedDigest = DIGEST_START;
  /** Whether the owner sent FIN. */
  closeWriteCalled = false;
  /** Whether the owner closed or reset it, or the connect failed. */
  closed = false;
  /** Whether the owner reset it. */
  wasReset = false;
  /** How often the owner was told that it is readable. */
  readableCalls = 0;
  /** How often the owner was told that it is writable. */
  writableCalls = 0;
  readonly #connectHandler: HostConnectHandler | undefined;
  #handler: HostTcpHandler | undefined;
  #outcome: "connected" | "connectFailed" | undefined;
  readonly #input: Uint8Array[] = [];
  readonly #received: Uint8Array[] = [];
  #inputAt = 0;
  #eof = false;
  #broken = false;
  /** Whether the owner knows that it is broken. */
  #failureTold = false;
  /** Whether a read has answered `WOULD_BLOCK` since, and so owes a call. */
  #readOwed = false;

  /** A socket that connects; without a handler, one that is accepted. */
  constructor(target: ScriptEndpoint, handler?: HostConnectHandler) {
    this.target = target;
    this.#handler = this.#connectHandler = handler;
    this.state = handler === undefined ? "connected" : "connecting";
  }

  /** For listeners: who has accepted it. */
  serve(handler: HostTcpHandler): void {
    this.#handler = handler;
  }

  /** Forgets what the owner wrote. */
  forget(): void {
    this.#received.length = this.receivedLength = this.writes = 0;
    this.receivedDigest = DIGEST_START;
  }

  /** Everything the owner wrote. Throws an `Error` when only a digest was kept. */
  get received(): Uint8Array {
    if (this.record !== "bytes") throw new Error("Cannot give the received bytes: only their digest was kept");
    const all = new Uint8Array(this.#received.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#received) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** What the owner wrote since this was last called, or since the beginning; `received` forgets it. */
  takeReceived(): Uint8Array {
    const taken = this.received;
    this.#received.length = 0;
    return taken;
  }

  /** Whether the peer has sent FIN. */
  get ended(): boolean {
    return this.#eof;
  }

  /** Whether the connection is broken. */
  get broken(): boolean {
    return this.#broken;
  }

  /** Bytes the peer has sent that the owner has not read. */
  get unreadLength(): number {
    return this.#input.reduce((sum, part) => sum + part.length, 0) - this.#inputAt;
  }

  /** Whether the connection ended in an orderly way: FIN sent, not reset, closed. */
  get endedInOrder(): boolean {
    return this.closed && this.closeWriteCalled && !this.wasReset;
  }

  /** The peer accepts the connect. */
  accept(): void {
    this.#answer("connected");
  }

  /** The connect fails. */
  refuse(error: HostError = "refused"): void {
    this.error = error;
    this.#answer("connectFailed");
  }

  /** The peer sends bytes (copied). */
  hostSends(bytes: Uint8Array | string): void {
    this.#needsPeer("send bytes");
    if (this.#eof) throw new Error("Cannot send bytes: the peer has sent its FIN");
    const copy = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes.slice();
    if (copy.length > 0 && !this.closed) this.#input.push(copy);
  }

  /** The peer sends FIN. */
  hostEof(): void {
    this.#needsPeer("send FIN");
    this.#eof = true;
  }

  /** The connection breaks; what the peer sent before stays readable. */
  hostResets(error: HostError = "reset"): void {
    this.#needsPeer("reset");
    this.error = error;
    this.#broken = true;
  }

  setInterest(interest: number): void {
    this.#needsOwner("set interest");
    if ((interest & ~(READ | WRITE)) !== 0) throw new RangeError(`Cannot set interest ${interest}: unknown bits`);
    this.interest = interest;
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    this.#needsOwner("read");
    this.#needsRoom("read", bytes, start, end);
    this.asked.push(end - start);
    if (this.#failureTold && this.readsLate) {
      this.#readOwed = true;
      this.readsLate = false;
      return WOULD_BLOCK;
    }
    const head = this.#input[0];
    if (head !== undefined) {
      const count = Math.min(end - start, head.length - this.#inputAt, this.readAtMost);
      bytes.set(head.subarray(this.#inputAt, this.#inputAt + count), start);
      this.#inputAt += count;
      if (this.#inputAt === head.length) {
        this.#input.shift();
        this.#inputAt = 0;
      }
      return count;
    }
    if (this.#broken) return this.#fail();
    return this.#eof ? 0 : WOULD_BLOCK;
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    this.#needsOwner("write");
    this.#needsRoom("write", bytes, start, end);
    if (this.closeWriteCalled) throw new Error(`Cannot write to ${this}: closeWrite was called`);
    if (this.state !== "connected") return WOULD_BLOCK;
    if (this.#broken) return this.#fail();
    const count = Math.min(end - start, this.budget, this.writeAtMost);
    if (count === 0) return WOULD_BLOCK;
    this.budget -= count;
    this.writes++;
    const part = bytes.slice(start, start + count);
    if (this.record === "bytes") this.#received.push(part);
    this.receivedLength += count;
    this.receivedDigest = digest(part, this.receivedDigest);
    return count;
  }

  closeWrite(): void {
    this.#needsOwner("send FIN");
    if (this.closeWriteCalled) throw new Error(`Cannot send FIN on ${this}: closeWrite was called before`);
    this.closeWriteCalled = true;
  }

  close(): void {
    this.#needsOwner("close");
    this.abandon();
  }

  reset(): void {
    this.#needsOwner("reset");
    this.wasReset = true;
    this.abandon();
  }

  /** For the host: closed without the owner's doing. */
  abandon(): void {
    this.closed = true;
    this.interest = 0;
    this.#input.length = 0;
    this.#outcome = undefined;
  }

  /** Whether a handler is due. */
  isReady(): boolean {
    return this.#outcome !== undefined || this.#isReadable() || this.#isWritable() || this.#isFailureDue();
  }

  /** For the host: calls the handlers that are due; returns whether there were any. */
  dispatch(): boolean {
    const handler = this.#handler;
    if (!this.isReady() || handler === undefined) return false;
    const outcome = this.#outcome;
    this.#outcome = undefined;
    if (outcome === "connected") {
      this.state = "connected";
      this.#connectHandler!.hostConnected();
    } else if (outcome === "connectFailed") {
      this.state = "failed";
      this.abandon();
      this.#connectHandler!.hostConnectFailed(this.error);
    }
    if (this.#isReadable()) {
      this.readableCalls++;
      this.#readOwed = false;
      handler.hostReadable();
    }
    if (this.#isWritable()) {
      this.writableCalls++;
      handler.hostWritable();
    }
    if (this.#isFailureDue()) {
      this.#failureTold = true;
      handler.hostFailed(this.error);
    }
    return true;
  }

  /** The target, for messages. */
  toString(): string {
    return formatEndpoint(this.target.address, this.target.port);
  }

  #isReadable(): boolean {
    if ((this.interest & READ) === 0 || this.closed || this.state !== "connected") return false;
    if (this.#failureTold) return this.#readOwed;
    return this.#input.length > 0 || this.#eof || this.#broken;
  }

  #isWritable(): boolean {
    if ((this.interest & WRITE) === 0 || this.closed || this.state !== "connected" || this.#failureTold) return false;
    return this.#broken || (this.budget > 0 && !this.closeWriteCalled);
  }

  /** Nothing shows the failure: there is no interest, and no byte before it. */
  #isFailureDue(): boolean {
    return this.#broken && !this.#failureTold && this.interest === 0 && this.#input.length === 0 && !this.closed &&
      this.state === "connected";
  }

  #fail(): number {
    this.#failureTold = true;
    return FAILED;
  }

  #answer(outcome: "connected" | "connectFailed"): void {
    if (this.state !== "connecting" || this.#outcome !== undefined) {
      throw new Error(`Cannot answer the connect to ${this}: it was answered before`);
    }
    if (!this.closed) this.#outcome = outcome;
  }

  #needsPeer(action: string): void {
    if (this.#broken) throw new Error(`Cannot ${action} as the peer of ${this}: the connection is broken`);
    if (this.state === "failed" || (this.state === "connecting" && this.#outcome !== "connected" && !this.closed)) {
      throw new Error(`Cannot ${action} as the peer of ${this}: it is not connected`);
    }
  }

  #needsOwner(action: string): void {
    if (this.closed) throw new Error(`Cannot ${action} on ${this}: the socket is closed`);
  }

  #needsRoom(action: string, bytes: Uint8Array, start: number, end: number): void {
    if (start >= 0 && start < end && end <= bytes.length) return;
    throw new RangeError(`Cannot ${action} on ${this}: ${start} to ${end} is no range of ${bytes.length} bytes`);
  }
}

/** A digest of bytes that can be continued: FNV-1a, 32 bits. */
export function digest(bytes: Uint8Array, from: number = DIGEST_START): number {
  let hash = from;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
