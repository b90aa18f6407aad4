/**
 * Two connections joined: what comes from one goes to the other, both ways, until both ways have ended.
 *
 * **Half-close.** The two directions live and die separately. An end's EOF becomes `closeWrite()` of the other once
 * every byte before it is written; the other direction goes on for as long as it likes. `conn.readable` and `pipeTo`
 * are not used: at the first EOF they close the connection both ways (deno#27510).
 *
 * **Back-pressure.** A direction reads only when everything it has read is written, so it holds one buffer and no more:
 * 4 KiB while it waits, since a pending read pins its buffer, and 64 KiB for the read after one that came back full.
 *
 * **Failing.** The first failure is kept: of which end, in what, and the error. When an end cannot be read, its
 * connection is broken: both are closed. When an end cannot be written to, it may still have something to say (a server
 * that refuses an upload answers and closes), so only that direction ends; the other one goes on, and is cut once
 * nothing has moved for `LINGER_MS`. Deno cannot make the kernel send RST, so the end that is left sees its connection
 * closed in an orderly way.
 *
 * **Timers.** One: with an idle timeout, and after a failure, it looks how long ago a byte has moved, and is set anew
 * for the rest.
 *
 * **Limits.** Deno tells only by reading that an end has gone away, and a direction that cannot write does not read. So
 * an end that vanishes behind a full buffer is noticed by the idle timeout or by whoever set the signal.
 *
 * @module
 */
import { LARGE_BUFFER_BYTES, ReadBuffers, SMALL_BUFFER_BYTES } from "../host/deno_tcp.ts";

/** How long nothing may move, in milliseconds, once something has failed. */
export const LINGER_MS = 10_000;

/** A longer `setTimeout` fires at once. */
const MOST_DELAY_MS = 0x7fffffff;

/** What `pump` needs of a connection: those of `Deno.Conn` that it uses. */
export interface PumpConn {
  /** Reads some bytes; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of the bytes; resolves to how many. */
  write(bytes: Uint8Array): Promise<number>;
  /** Says that nothing more will be written. */
  closeWrite(): void | Promise<void>;
  /** Closes; what is pending is rejected. */
  close(): void;
}

/** How a pump may end other than by itself. */
export interface PumpOptions {
  /** Cuts both connections when no byte has moved in either direction for so many milliseconds. Default never. */
  readonly idleTimeoutMs?: number;
  /** Cuts both connections. */
  readonly signal?: AbortSignal;
}

/** What failed first. */
export interface PumpFailure {
  /** The end whose connection failed: the first argument of `pump` is `a`. */
  readonly end: "a" | "b";
  /** In what. */
  readonly operation: "read" | "write" | "closeWrite";
  /** Why. */
  readonly error: Error;
}

/** How a pump ended. */
export interface PumpResult {
  /**
   * `finished`: both ends said that they were done, and everything arrived; `failed`: see `failure`; `idle`, `aborted`:
   * it was cut.
   */
  readonly reason: "finished" | "failed" | "idle" | "aborted";
  /** Bytes of `a` that `b` took. */
  readonly bytesFromA: number;
  /** Bytes of `b` that `a` took. */
  readonly bytesFromB: number;
  /** What failed first, or null; also where the pump was cut afterwards. */
  readonly failure: PumpFailure | null;
}

/**
 * Joins two connections, for example two `Deno.Conn`s, and closes both in the end. Resolves when that is done; never
 * rejects.
 *
 * ```ts
 * import { pump } from "@hawser/hawser/forward";
 *
 * // A forwarder for one client.
 * const door = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const client = await Deno.connect({ port: door.addr.port });
 * const pumping = pump(await door.accept(), await Deno.connect({ port: server.addr.port }));
 *
 * const served = await server.accept();
 * await client.write(new TextEncoder().encode("question"));
 * await client.closeWrite();
 * await served.closeWrite();
 * console.log(await pumping); // { reason: "finished", bytesFromA: 8, bytesFromB: 0, failure: null }
 * for (const one of [client, served, door, server]) one.close();
 * ```
 */
export function pump(a: PumpConn, b: PumpConn, options: PumpOptions = {}): Promise<PumpResult> {
  return new Pump(a, b, options).run();
}

const buffers = new ReadBuffers();

interface End {
  readonly name: "a" | "b";
  readonly conn: PumpConn;
  /** Bytes of it that the other end took. */
  bytes: number;
}

class Pump {
  #a: End;
  #b: End;
  #signal: AbortSignal | undefined;
  #limitMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #movedAt = performance.now();
  #cutFor: "idle" | "aborted" | "failed" | null = null;
  #failure: PumpFailure | null = null;

  constructor(a: PumpConn, b: PumpConn, options: PumpOptions) {
    this.#a = { name: "a", conn: a, bytes: 0 };
    this.#b = { name: "b", conn: b, bytes: 0 };
    this.#signal = options.signal;
    this.#limitMs = options.idleTimeoutMs ?? Infinity;
  }

  async run(): Promise<PumpResult> {
    const abort = () => this.#cut("aborted");
    this.#signal?.addEventListener("abort", abort);
    if (this.#signal?.aborted) abort();
    this.#armTimer();
    await Promise.all([this.#carry(this.#a, this.#b), this.#carry(this.#b, this.#a)]);
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", abort);
    if (this.#cutFor === null) this.#close();
    const reason = this.#cutFor ?? (this.#failure === null ? "finished" : "failed");
    return { reason, bytesFromA: this.#a.bytes, bytesFromB: this.#b.bytes, failure: this.#failure };
  }

  /** One direction, to its end. */
  async #carry(from: End, to: End): Promise<void> {
    let size = SMALL_BUFFER_BYTES;
    for (;;) {
      const buffer = buffers.take(size);
      const count = await this.#move(from, to, buffer);
      buffers.give(buffer);
      if (count === null) return;
      size = count === size ? LARGE_BUFFER_BYTES : SMALL_BUFFER_BYTES;
    }
  }

  /**
   * Reads once and writes what came, or passes the end on. Resolves to the count, or to null where the direction has
   * ended.
   */
  async #move(from: End, to: End, buffer: Uint8Array): Promise<number | null> {
    let end = from, operation: PumpFailure["operation"] = "read";
    try {
      const count = await from.conn.read(buffer);
      end = to;
      if (count === null) {
        operation = "closeWrite";
        await to.conn.closeWrite();
        return null;
      }
      operation = "write";
      for (let at = 0; at < count;) {
        const taken = await to.conn.write(buffer.subarray(at, count));
        at += taken;
        from.bytes += taken;
        this.#movedAt = performance.now();
      }
      return count;
    } catch (error) {
      this.#failed({ end: end.name, operation, error: error instanceof Error ? error : new Error(String(error)) });
      return null;
    }
  }

  #failed(failure: PumpFailure): void {
    // What was cut fails everywhere: that says nothing.
    if (this.#cutFor !== null) return;
    this.#failure ??= failure;
    if (failure.operation === "read") return this.#cut("failed");
    this.#limitMs = Math.min(this.#limitMs, LINGER_MS);
    this.#movedAt = performance.now();
    this.#armTimer();
  }

  #armTimer(): void {
    clearTimeout(this.#timer);
    if (this.#limitMs === Infinity || this.#cutFor !== null) return;
    const restMs = this.#limitMs - (performance.now() - this.#movedAt);
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(restMs, 1), MOST_DELAY_MS));
  }

  #look(): void {
    if (performance.now() - this.#movedAt < this.#limitMs) return this.#armTimer();
    this.#cut(this.#failure === null ? "idle" : "failed");
  }

  #cut(why: "idle" | "aborted" | "failed"): void {
    if (this.#cutFor !== null) return;
    this.#cutFor = why;
    this.#close();
  }

  #close(): void {
    for (const { conn } of [this.#a, this.#b]) {
      try {
        conn.close();
      } catch {
        // Closed already, by us or by whoever gave it to us.
      }
    }
  }
}
