/**
 * A host socket with somebody before it who looks at what the guest says first.
 *
 * **What is held.** The first bytes that are written are kept here and shown to a `FirstBytesJudge`, each time all of
 * them. He says `more`, `pass` or `refuse`. What comes from the host goes through freely, so that protocols in which
 * the server speaks first work.
 *
 * - **Pass**: what is held goes to the host, then every call and every handler goes straight through. If one write is
 *   enough for the verdict, its bytes are never copied.
 * - **Refuse**: the host connection is reset, and the owner's side fails with `prohibited`.
 * - **More**: refused as well, once `MAX_FIRST_BYTES` are held, or `VERDICT_MS` after the first of them. When the owner
 *   finishes the judge is asked a last time, also if nothing was written; then everything but `pass` is a refusal.
 *
 * **Late connects.** The host connects first, and its answer is the owner's; or, with `connectsLate`, the owner is
 * connected at once and the host only after the verdict. Then targets are tried here while they refuse, and a host that
 * cannot be reached fails the connection. Meanwhile nothing more is taken.
 *
 * **Closing.** FIN and an orderly end wait behind what is held. So a socket that its owner has closed may live on for
 * `LINGER_MS` while a slow host takes the rest, at most `MAX_FIRST_BYTES`; then it is reset. A reset waits for nothing.
 *
 * @module
 */
import { copyBytes, SMALL_BUFFER } from "../base/buffers.ts";
import { type Timed, Timer } from "../base/timers.ts";
import type { Connector, RelayContext } from "../flow/relay_context.ts";
import {
  FAILED,
  type HostConnectHandler,
  type HostEndpoint,
  type HostError,
  type HostTcpSocket,
  WOULD_BLOCK,
  WRITE,
} from "../host.ts";
import { GatewaySocket } from "./gateway_socket.ts";

/** The most bytes on which a verdict is given. */
export const MAX_FIRST_BYTES = 16_384;
/** How long after the first byte there must be a verdict, in milliseconds. */
export const VERDICT_MS = 10_000;
/** How long a host may take for what was held of a connection that is closed, in milliseconds. */
export const LINGER_MS = 60_000;

/** What becomes of a connection. */
export type FirstBytesVerdict = "more" | "pass" | "refuse";

/** Who looks at first bytes. */
export interface FirstBytesJudge {
  /**
   * Judges the first bytes of a connection, `bytes[start, end)`, all that were written so far. `isAll`: nothing
   * follows, and `more` is a refusal. Throws nothing.
   */
  judge(bytes: Uint8Array, start: number, end: number, isAll: boolean): FirstBytesVerdict;
}

/** What a filter stands before. */
export interface SocketFilterOptions {
  /** Who connects. */
  readonly connector: Connector;
  /** Where it connects to; with `connectsLate` the others are tried in order while they refuse. */
  readonly targets: readonly HostEndpoint[];
  /** Who looks. */
  readonly judge: FirstBytesJudge;
  /** Whether the host connects after the verdict. Default false: first. */
  readonly connectsLate?: boolean;
}

const NOTHING: Uint8Array = new Uint8Array(0);

/** A host socket behind a judge. */
export class SocketFilter extends GatewaySocket implements HostConnectHandler, Timed {
  #context: Pick<RelayContext, "timers" | "now" | "due" | "pool" | "tcp">;
  #options: SocketFilterOptions;
  /** How many targets have been tried. */
  #tried = 0;
  /** The host's socket, which may still connect. */
  #socket: HostTcpSocket | null = null;
  /** The same once it is connected. */
  #host: HostTcpSocket | null = null;
  /** The same once all that was held is written: nothing stands before it any more. */
  #through: HostTcpSocket | null = null;
  #hasPassed = false;
  /** First bytes: `held[from, end)`, in a buffer of the pool. */
  #held: Uint8Array | null = null;
  #from = 0;
  #end = 0;
  /** FIN follows what is held. */
  #finishes = false;
  /** An orderly end follows what is held. */
  #closes = false;
  #timer: Timer = new Timer(this);

  /** Connects, or has the owner's side connected, as `options` say. */
  constructor(
    context: Pick<RelayContext, "timers" | "now" | "due" | "pool" | "tcp">,
    owner: HostConnectHandler,
    options: SocketFilterOptions,
  ) {
    super(context, owner);
    this.#context = context;
    this.#options = options;
    if (options.connectsLate) this.accept();
    else this.#connect();
  }

  /** Whose time the host's work for it takes. */
  get payer(): object | undefined {
    return this.owner.payer;
  }

  // --- HostTcpSocket, where it is more than what any socket of the gateway does ---

  /** Why it failed. */
  override get error(): HostError {
    return this.#through?.error ?? super.error;
  }

  /** The host's, and what the filter itself has to write. */
  override setInterest(interest: number): void {
    super.setInterest(interest);
    this.#setHostInterest();
  }

  /** What the host has sent. */
  override read(bytes: Uint8Array, start: number, end: number): number {
    const host = this.#host;
    if (host === null) return super.read(bytes, start, end);
    const count = host.read(bytes, start, end);
    // After a failure the host tells by itself when there is more to read.
    if (count === FAILED || (count === WOULD_BLOCK && this.hasFailed)) this.failureSeen(host.error);
    return count;
  }

  /** First bytes to the judge, then all to the host. */
  override write(bytes: Uint8Array, start: number, end: number): number {
    return this.#through !== null ? this.#through.write(bytes, start, end) : super.write(bytes, start, end);
  }

  /** FIN, behind what is held. */
  override closeWrite(): void {
    if (this.#through !== null) this.#through.closeWrite();
    else super.closeWrite();
  }

  // --- GatewaySocket: while nothing has passed ---

  /** Only the host has bytes. */
  protected override readonly hasBytes = false;
  /** Only the host ends. */
  protected override readonly hasEnded = false;

  /** Whether first bytes are taken although there is no host yet; once there is one, it tells. */
  protected override get hasRoom(): boolean {
    return this.#socket === null && !this.#hasPassed;
  }

  /** Nothing without the host. */
  protected override give(): number {
    return 0;
  }

  /** First bytes. */
  protected override take(bytes: Uint8Array, start: number, end: number): number {
    if (this.#hasPassed) return this.#flush() ? this.#writeThrough(bytes, start, end) : 0;
    const stop = Math.min(end, start + MAX_FIRST_BYTES - this.#end);
    const isFirst = this.#held === null;
    if (!isFirst) this.#hold(bytes, start, stop);
    switch (isFirst ? this.#ask(bytes, start, stop, false) : this.#ask(this.#held!, 0, this.#end, false)) {
      case "more":
        if (isFirst) this.#hold(bytes, start, stop);
        if (this.#end < MAX_FIRST_BYTES) return stop - start;
        this.#breakOff("prohibited");
        return 0;
      case "pass":
        this.#pass();
        if (!isFirst) return stop - start;
        return this.#through !== null ? this.#writeThrough(bytes, start, end) : 0;
      case "refuse":
        this.#breakOff("prohibited");
        return 0;
    }
  }

  /** The owner has finished before anything went through. */
  protected override finish(): void {
    this.#finishes = true;
    if (this.#hasPassed) return;
    if (this.#passesWhole()) this.#pass();
    else this.#breakOff("prohibited");
  }

  /** What is held goes to the host first. */
  protected override release(isReset: boolean): void {
    const owes = this.#held !== null || this.#finishes || this.#hasPassed;
    const lingers = !isReset && !this.hasFailed && this.#through === null && owes;
    if (lingers && (this.#hasPassed || this.#passesWhole())) {
      this.#closes = true;
      this.#setHostInterest();
      if (!this.#hasPassed) this.#pass();
      if (this.#closes) this.#context.timers.schedule(this.#timer, this.#context.now() + LINGER_MS);
      return;
    }
    this.#drop();
    const socket = this.#socket;
    this.#socket = this.#host = this.#through = null;
    if (isReset || lingers) socket?.reset();
    else socket?.close();
  }

  // --- HostConnectHandler: the host's socket ---

  /** The owner is connected, or what is held can go on. */
  hostConnected(): void {
    this.#host = this.#socket;
    if (this.#options.connectsLate) {
      if (!this.#closes) this.#context.timers.cancel(this.#timer);
      this.#flush();
      return;
    }
    this.tellConnected();
    this.#setHostInterest();
  }

  /** The owner is told; with a late connect the next target is tried. */
  hostConnectFailed(error: HostError): void {
    this.#socket = null;
    if (!this.#options.connectsLate) return this.owner.hostConnectFailed(error);
    if (error === "refused" && this.#tried < this.#options.targets.length) return this.#connect();
    this.#drop();
    this.fail(error);
  }

  /** The owner's. */
  hostReadable(): void {
    if (!this.isClosed) this.owner.hostReadable();
  }

  /** What is held, then the owner's. */
  hostWritable(): void {
    if (this.#hasPassed && this.#through === null && !this.#flush()) return;
    if (this.interest & WRITE) this.owner.hostWritable();
  }

  /** The owner's; what is held is lost. */
  hostFailed(error: HostError): void {
    this.#drop();
    if (this.#closes) return this.#endLinger();
    if (!this.hasFailed) this.tellFailed(error);
  }

  // --- Timed ---

  /** The guest, or the host, has taken too long. */
  timerFired(): void {
    this.#breakOff(this.#hasPassed ? "timedOut" : "prohibited");
  }

  /** Connects to the next target. */
  #connect(): void {
    this.#socket = this.#options.connector.connectTcp(this.#options.targets[this.#tried++]!, this);
  }

  #ask(bytes: Uint8Array, start: number, end: number, isAll: boolean): FirstBytesVerdict {
    return this.#options.judge.judge(bytes, start, end, isAll);
  }

  /** The verdict on everything that there will be. */
  #passesWhole(): boolean {
    return this.#ask(this.#held ?? NOTHING, 0, this.#end, true) === "pass";
  }

  /** Keeps first bytes. */
  #hold(bytes: Uint8Array, start: number, end: number): void {
    const { pool, timers } = this.#context, length = this.#end + end - start;
    if (this.#held === null) timers.schedule(this.#timer, this.#context.now() + VERDICT_MS);
    if (this.#held === null || this.#held.length < length) {
      const larger = length > SMALL_BUFFER ? pool.takeLarge() : pool.takeSmall();
      if (this.#held !== null) {
        copyBytes(this.#held, 0, this.#end, larger, 0);
        pool.give(this.#held);
      }
      this.#held = larger;
    }
    copyBytes(bytes, start, end, this.#held, this.#end);
    this.#end = length;
  }

  /** Forgets what is held. */
  #drop(): void {
    this.#context.timers.cancel(this.#timer);
    if (this.#held !== null) this.#context.pool.give(this.#held);
    this.#held = null;
    this.#from = this.#end = 0;
  }

  #pass(): void {
    this.#hasPassed = true;
    this.#context.timers.cancel(this.#timer);
    if (this.#host !== null) {
      this.#flush();
      return;
    }
    this.#context.timers.schedule(this.#timer, this.#context.now() + this.#context.tcp.config.connectTimeoutMs);
    this.#connect();
  }

  /** Breaks the connection on both sides. */
  #breakOff(error: HostError): void {
    const socket = this.#socket;
    this.#socket = this.#host = null;
    this.#drop();
    socket?.reset();
    this.fail(error);
  }

  /** Writes what is held, then what is to follow it. Returns whether everything goes straight through from now on. */
  #flush(): boolean {
    const host = this.#host;
    if (host === null || this.hasFailed) return false;
    while (this.#from < this.#end) {
      const count = host.write(this.#held!, this.#from, this.#end);
      if (count < 0) return this.#cannotFlush(host, count);
      this.#from += count;
    }
    this.#drop();
    if (this.#finishes) host.closeWrite();
    if (this.#closes) {
      this.#endLinger();
      return false;
    }
    this.#through = host;
    this.#setHostInterest();
    return true;
  }

  #cannotFlush(host: HostTcpSocket, answer: number): false {
    if (answer === WOULD_BLOCK) {
      this.#setHostInterest();
      return false;
    }
    this.#drop();
    if (this.#closes) this.#endLinger();
    else this.fail(host.error);
    return false;
  }

  /** Nobody owns it any more, and nothing is owed. */
  #endLinger(): void {
    const socket = this.#socket;
    this.#closes = false;
    this.#socket = this.#host = null;
    this.#context.timers.cancel(this.#timer);
    socket?.close();
  }

  #writeThrough(bytes: Uint8Array, start: number, end: number): number {
    const host = this.#through!, count = host.write(bytes, start, end);
    if (count === FAILED) this.fail(host.error);
    return Math.max(count, 0);
  }

  #setHostInterest(): void {
    if (this.#host === null) return;
    const own = this.#hasPassed && this.#through === null && !this.hasFailed ? WRITE : 0;
    this.#host.setInterest(this.isClosed ? own : this.interest | own);
  }
}
