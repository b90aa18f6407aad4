/**
 * A listener of the scripted host: the test plays its clients.
 *
 * @module
 */
import type { HostError, HostListener, HostListenHandler } from "../../nat/host.ts";
import { type ScriptEndpoint, type ScriptHost, ScriptTcpSocket } from "./script_host.ts";

/** A port that is listened on. */
export class ScriptListener implements HostListener {
  /** Where it listens. */
  readonly local: ScriptEndpoint;
  /** Whether the owner closed it. */
  closed = false;
  readonly #host: ScriptHost;
  readonly #handler: HostListenHandler;
  #waiting: ScriptTcpSocket[] = [];
  #failures: HostError[] = [];

  constructor(host: ScriptHost, local: ScriptEndpoint, handler: HostListenHandler) {
    this.#host = host;
    this.local = local;
    this.#handler = handler;
  }

  /**
   * A client connects; it is accepted in the next round, and its socket is the test's to play the client with. Throws
   * an `Error` when nobody listens.
   */
  clientConnects(client: ScriptEndpoint): ScriptTcpSocket {
    if (this.closed) throw new Error(`Cannot connect to port ${this.local.port}: nobody listens`);
    const socket = this.#host.addSocket(new ScriptTcpSocket(client));
    this.#waiting.push(socket);
    return socket;
  }

  /** A client cannot be accepted. */
  acceptFails(error: HostError): void {
    this.#failures.push(error);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const socket of this.#waiting.splice(0)) socket.reset();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** For the host: hands over the clients that wait; returns whether there were any. */
  dispatch(): boolean {
    const failures = this.#failures.splice(0), waiting = this.#waiting.splice(0);
    for (const error of failures) if (!this.closed) this.#handler.hostAcceptFailed(error);
    for (const socket of waiting) {
      if (this.closed) {
        socket.reset();
        continue;
      }
      const handler = this.#handler.hostAccepted(socket, socket.target);
      if (handler !== null) socket.serve(handler);
      else if (!socket.closed) throw new Error(`Accepted ${socket} and neither served nor closed it`);
    }
    return failures.length + waiting.length > 0;
  }
}
