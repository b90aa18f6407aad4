/**
 * A port of an in-process guest that is listened on, with the methods of `Deno.Listener`.
 *
 * @module
 */
import type { GuestConn } from "./conn.ts";

/** Connections that may be opening or wait for `accept`. */
const BACKLOG = 128;

/** A listening port of an in-process guest. */
export class GuestListener implements AsyncIterable<GuestConn>, Disposable {
  /** The port. */
  readonly port: number;
  #opening = 0;
  #waiting: GuestConn[] = [];
  #accepts: PromiseWithResolvers<GuestConn>[] = [];
  #closed: Error | null = null;
  #release: () => void;

  /** Made by `GuestStack.listen`; `release` frees the port. */
  constructor(port: number, release: () => void) {
    this.port = port;
    this.#release = release;
  }

  /** Whether a further connection may be opened. */
  get hasRoom(): boolean {
    return this.#opening + this.#waiting.length < BACKLOG;
  }

  /** The next connection. Rejects with `BadResource` once the listener is closed. */
  accept(): Promise<GuestConn> {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return Promise.resolve(waiting);
    if (this.#closed !== null) return Promise.reject(this.#closed);
    const accept = Promise.withResolvers<GuestConn>();
    this.#accepts.push(accept);
    return accept.promise;
  }

  /** For the stack: `conn` is being opened, until `opened` is settled. */
  async admit(conn: GuestConn, opened: Promise<void>): Promise<void> {
    this.#opening++;
    try {
      await opened;
    } catch {
      // It never was one.
      return;
    } finally {
      this.#opening--;
    }
    if (this.#closed !== null) return conn.abort();
    const accept = this.#accepts.shift();
    if (accept !== undefined) accept.resolve(conn);
    else this.#waiting.push(conn);
  }

  /** Takes no more connections, and resets those that wait. */
  close(): void {
    if (this.#closed !== null) return;
    this.#closed = new Deno.errors.BadResource("Listener is closed");
    this.#release();
    for (const conn of this.#waiting.splice(0)) conn.abort();
    for (const accept of this.#accepts.splice(0)) accept.reject(this.#closed);
  }

  /** `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Each connection until the listener is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<GuestConn, void, void> {
    while (this.#closed === null) {
      try {
        yield await this.accept();
      } catch (error) {
        if (error !== this.#closed) throw error;
      }
    }
  }
}
