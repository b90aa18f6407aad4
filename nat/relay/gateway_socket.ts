/**
 * A host socket that the gateway makes: what stands in the place of a socket of the host (`service/dns_stream.ts`) or
 * before one (`socket_filter.ts`).
 *
 * It keeps the contract of `nat/host.ts` for all of them: interest and readiness, what is told and how often, failing,
 * and the silence after `close`. A kind of socket says what it has to give and what it takes, and calls `notify` when
 * either has changed.
 *
 * **Telling.** The owner is told at the end of a turn, never from within a call. Readiness is a level: as long as an
 * interest meets it the owner is called once a turn, the next time by a timer that is due at once.
 *
 * **Failing.** `fail` is told once: by the `read` or `write` that answers `FAILED`, to which an interest leads the
 * owner, or else by `hostFailed`. What was to be given before is still given.
 *
 * @module
 */
import { type Timed, Timer } from "../base/timers.ts";
import type { EndsTurn } from "../flow/flow.ts";
import type { RelayContext } from "../flow/relay_context.ts";
import {
  FAILED,
  type HostConnectHandler,
  type HostError,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
  WRITE,
} from "../host.ts";

/** A socket of the gateway's own. */
export abstract class GatewaySocket implements HostTcpSocket, EndsTurn {
  /** Who uses it. */
  protected readonly owner: HostConnectHandler;
  /** What the owner wants to be called for. */
  protected interest = 0;

  #context: Pick<RelayContext, "timers" | "now" | "due">;
  /** Makes it due in the next turn. */
  #again: Timer;
  #isDue = false;
  #isConnected = false;
  /** The owner is to hear that it is connected. */
  #isAccepted = false;
  #isClosed = false;
  #failure: HostError | null = null;
  #isFailureTold = false;

  /** Not connected, and silent. */
  constructor(context: Pick<RelayContext, "timers" | "now" | "due">, owner: HostConnectHandler) {
    this.#context = context;
    this.owner = owner;
    const again: Timed = { timerFired: () => this.notify() };
    this.#again = new Timer(again);
  }

  // --- what a kind of socket is ---

  /** Whether `give` has something. */
  protected abstract readonly hasBytes: boolean;
  /** Whether everything was given, and EOF is next. */
  protected abstract readonly hasEnded: boolean;
  /** Whether `take` takes something. */
  protected abstract readonly hasRoom: boolean;
  /** Fills `bytes[start, end)`: how many bytes, 0 if there is none now. */
  protected abstract give(bytes: Uint8Array, start: number, end: number): number;
  /** Takes from `bytes[start, end)`: how many bytes, 0 if there is no room now or if it called `fail`. */
  protected abstract take(bytes: Uint8Array, start: number, end: number): number;
  /** The owner has nothing more to write. */
  protected abstract finish(): void;
  /** The owner is done: in order, or by a reset. Called once. */
  protected abstract release(isReset: boolean): void;

  // --- HostTcpSocket ---

  /** Why it failed. */
  get error(): HostError {
    return this.#failure ?? "other";
  }

  /** Says what the owner wants to be called for. */
  setInterest(interest: number): void {
    this.interest = interest;
    if (this.#isReady) this.notifyNextTurn();
  }

  /** What there is to give, then `FAILED` or EOF. */
  read(bytes: Uint8Array, start: number, end: number): number {
    const count = this.give(bytes, start, end);
    if (count > 0) return count;
    if (this.#failure !== null) return this.#tellFailure();
    return this.hasEnded ? 0 : WOULD_BLOCK;
  }

  /** Takes what there is room for. */
  write(bytes: Uint8Array, start: number, end: number): number {
    const count = this.#failure === null && this.#isConnected ? this.take(bytes, start, end) : 0;
    if (count > 0) return count;
    return this.#failure === null ? WOULD_BLOCK : this.#tellFailure();
  }

  /** The owner has nothing more to write. */
  closeWrite(): void {
    if (this.#failure === null) this.finish();
  }

  /** Nothing is told any more. */
  close(): void {
    this.#end(false);
  }

  /** Nothing is told any more. */
  reset(): void {
    this.#end(true);
  }

  // --- EndsTurn ---

  /** Tells the owner what it may do. */
  endTurn(): void {
    this.#isDue = false;
    if (this.#isClosed) return;
    if (!this.#isConnected) {
      if (this.#isAccepted) this.tellConnected();
      return;
    }
    if (this.#failure !== null) {
      if (this.#isFailureTold) return;
      if (this.interest === 0) return this.tellFailed(this.#failure);
    }
    if (this.interest & READ && this.#canRead) this.owner.hostReadable();
    if (!this.#isClosed && this.interest & WRITE && this.#canWrite) this.owner.hostWritable();
    if (!this.#isClosed && this.#isReady) this.notifyNextTurn();
  }

  // --- for a kind of socket ---

  /** Whether the owner has closed it. */
  protected get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether it has failed. */
  protected get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** The owner hears at the end of this turn that it is connected. */
  protected accept(): void {
    this.#isAccepted = true;
    this.notify();
  }

  /** The owner hears now that it is connected: not from within one of its calls. */
  protected tellConnected(): void {
    this.#isConnected = true;
    this.owner.hostConnected();
  }

  /** The owner hears now that it has failed: not from within one of its calls. */
  protected tellFailed(error: HostError): void {
    this.failureSeen(error);
    this.owner.hostFailed(error);
  }

  /** It has failed, and the owner is told. */
  protected fail(error: HostError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.notifyNextTurn();
  }

  /** It has failed, and the owner knows. */
  protected failureSeen(error: HostError): void {
    this.#failure ??= error;
    this.#isFailureTold = true;
  }

  /** What there is to give, or the room, has changed: the owner is called at the end of this turn. */
  protected notify(): void {
    if (this.#isDue || this.#isClosed) return;
    this.#isDue = true;
    this.#context.due(this);
  }

  /** The owner is called at the end of the next turn, which comes at once. */
  protected notifyNextTurn(): void {
    if (!this.#isClosed) this.#context.timers.schedule(this.#again, this.#context.now());
  }

  get #canRead(): boolean {
    return this.#failure !== null ? !this.#isFailureTold : this.hasBytes || this.hasEnded;
  }

  get #canWrite(): boolean {
    return this.#failure !== null ? !this.#isFailureTold : this.hasRoom;
  }

  get #isReady(): boolean {
    return ((this.interest & READ) !== 0 && this.#canRead) || ((this.interest & WRITE) !== 0 && this.#canWrite);
  }

  #tellFailure(): number {
    this.#isFailureTold = true;
    return FAILED;
  }

  #end(isReset: boolean): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#context.timers.cancel(this.#again);
    this.release(isReset);
  }
}
