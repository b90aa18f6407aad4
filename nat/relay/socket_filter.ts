/**
 * A host socket with somebody before it who looks at what the guest says first.
 *
 * **What is held.** The first bytes that are written are kept here and shown to a `FirstBytesJudge`, each time all of
 * them. He says `more`, `pass` or `refuse`. What comes from the host goes through freely, so that protocols in which
 * the server speaks first work.
 *
 * - **Pass**: what is held goes to the host, then every call and every handler goes straight through. If one write is
 *   enough for the verdict, its bytes are never copied.
 * - **Refuse**: the host connection is reset, the owner's side fails with `prohibited`, and the flow ends as the judge
 *   says (`endsAs`).
 * - **More**: the judge has to make up his mind once `MAX_FIRST_BYTES` are held, or a small buffer while memory is
 *   full; `VERDICT_MS` after the first of them; or if the owner finishes, also if nothing was written.
 *
 * **Closing.** FIN waits behind what is held. Until the host has taken that, the socket says that it owes
 * (`unwritten`), and its owner stays: a flow lives on as `draining`. An owner that closes all the same has it reset.
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

/** The most bytes on which a verdict is given: those of the largest ClientHello and of the records around it. */
export const MAX_FIRST_BYTES = 32_768;
/** How long after the first byte there must be a verdict, in milliseconds. */
export const VERDICT_MS = 10_000;

/** What becomes of a connection. */
export type FirstBytesVerdict = "more" | "pass" | "refuse";

/** How a flow ends that a judge has refused. */
export type FirstBytesEnding = "sniRefused" | "hostRefused" | "unverified";

/** Who looks at first bytes. */
export interface FirstBytesJudge {
  /** How the flow ends that he has refused; null: as one whose host connection broke. */
  readonly endsAs: FirstBytesEnding | null;
  /** Judges the first bytes of a connection, `bytes[start, end)`, all that were written so far. Throws nothing. */
  judge(bytes: Uint8Array, start: number, end: number): FirstBytesVerdict;
  /**
   * Judges what he has been shown for the last time: nothing follows (`hasFinished`), or there is no more time or room.
   * Everything but `pass` is a refusal. Throws nothing.
   */
  last(hasFinished: boolean): FirstBytesVerdict;
}

/** What a filter stands before. */
export interface SocketFilterOptions {
  /** Who connects. */
  readonly connector: Connector;
  /** Where it connects to. */
  readonly target: HostEndpoint;
  /** Who looks. */
  readonly judge: FirstBytesJudge;
}

/** A host socket behind a judge. */
export class SocketFilter extends GatewaySocket implements HostConnectHandler, Timed {
  #context: Pick<RelayContext, "timers" | "now" | "due" | "pool">;
  #judge: FirstBytesJudge;
  /** The host's socket, which may still connect. */
  #socket: HostTcpSocket | null;
  /** The same once it is connected. */
  #host: HostTcpSocket | null = null;
  /** The same once all that was held is written: nothing stands before it any more. */
  #through: HostTcpSocket | null = null;
  #hasPassed = false;
  #isRefused = false;
  /** First bytes: `held[from, end)`, in a buffer of the pool. */
  #held: Uint8Array | null = null;
  #from = 0;
  #end = 0;
  /** FIN follows what is held. */
  #finishes = false;
  #timer: Timer = new Timer(this);

  /** Connects. */
  constructor(
    context: Pick<RelayContext, "timers" | "now" | "due" | "pool">,
    owner: HostConnectHandler,
    { connector, target, judge }: SocketFilterOptions,
  ) {
    super(context, owner);
    this.#context = context;
    this.#judge = judge;
    this.#socket = connector.connectTcp(target, this);
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

  /** How the flow ends that the judge has refused. */
  get endsAs(): FirstBytesEnding | undefined {
    return this.#isRefused ? this.#judge.endsAs ?? undefined : undefined;
  }

  /** Bytes that are held. */
  get unwritten(): number {
    return this.#end - this.#from;
  }

  /** The host's, and what the filter itself has to write. */
  override setInterest(interest: number): void {
    if (this.#through !== null && !this.hasFailed) {
      this.interest = interest;
      return this.#through.setInterest(interest);
    }
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
  /** The host tells when it has room. */
  protected override readonly hasRoom = false;

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
    switch (isFirst ? this.#ask(bytes, start, stop) : this.#ask(this.#held!, 0, this.#end)) {
      case "more":
        if (isFirst) this.#hold(bytes, start, stop);
        return stop - start;
      case "pass":
        this.#pass();
        if (!isFirst) return stop - start;
        return this.#through !== null ? this.#writeThrough(bytes, start, end) : 0;
      case "refuse":
        this.#refuse();
        return 0;
    }
  }

  /** The owner has finished before anything went through. */
  protected override finish(): void {
    this.#finishes = true;
    if (this.#hasPassed) return;
    if (this.#judge.last(true) === "pass") this.#pass();
    else this.#refuse();
  }

  /** What is held goes to the host first, if it takes it now. */
  protected override release(isReset: boolean): void {
    const isWhole = !isReset && (this.hasFailed || this.#through !== null || this.#passesAtEnd());
    const socket = this.#socket;
    this.#drop();
    this.#socket = this.#host = this.#through = null;
    if (isWhole) socket?.close();
    else socket?.reset();
  }

  // --- HostConnectHandler: the host's socket ---

  /** The owner is connected. */
  hostConnected(): void {
    this.#host = this.#socket;
    this.tellConnected();
    this.#setHostInterest();
  }

  /** The owner is told. */
  hostConnectFailed(error: HostError): void {
    this.#socket = null;
    this.owner.hostConnectFailed(error);
  }

  /** The owner's. */
  hostReadable(): void {
    this.owner.hostReadable();
  }

  /** What is held, then the owner's, who may wait for that. */
  hostWritable(): void {
    const owes = this.#hasPassed && this.#through === null;
    if (owes && !this.#flush()) return;
    if (owes || this.interest & WRITE) this.owner.hostWritable();
  }

  /** The owner's; what is held is lost. */
  hostFailed(error: HostError): void {
    this.#drop();
    if (!this.hasFailed) this.tellFailed(error);
  }

  // --- Timed ---

  /** The guest has taken too long. */
  timerFired(): void {
    if (this.#judge.last(false) === "pass") this.#pass();
    else this.#refuse();
  }

  /** What the judge says; for the last time if nothing more is ever held. */
  #ask(bytes: Uint8Array, start: number, end: number): FirstBytesVerdict {
    const verdict = this.#judge.judge(bytes, start, end);
    const most = this.#context.pool.isFull ? SMALL_BUFFER : MAX_FIRST_BYTES;
    if (verdict !== "more" || end - start < most) return verdict;
    return this.#judge.last(false) === "pass" ? "pass" : "refuse";
  }

  /** Whether nothing is owed to a host of which nobody wants anything more. */
  #passesAtEnd(): boolean {
    if (this.#held === null && !this.#finishes) return true;
    if (!this.#hasPassed && this.#judge.last(true) !== "pass") return false;
    this.#hasPassed = true;
    return this.#flush();
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
    this.#flush();
  }

  /** Breaks the connection on both sides. */
  #refuse(): void {
    const socket = this.#socket;
    this.#isRefused = true;
    this.#socket = this.#host = null;
    this.#drop();
    socket?.reset();
    this.fail("prohibited");
  }

  /** Writes what is held, then FIN if it is to follow. Returns whether everything goes straight through from now on. */
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
    this.fail(host.error);
    return false;
  }

  #writeThrough(bytes: Uint8Array, start: number, end: number): number {
    const host = this.#through!, count = host.write(bytes, start, end);
    if (count === FAILED) this.fail(host.error);
    return Math.max(count, 0);
  }

  #setHostInterest(): void {
    if (this.#host === null) return;
    const own = this.#hasPassed && this.#through === null && !this.hasFailed ? WRITE : 0;
    this.#host.setInterest(this.interest | own);
  }
}
