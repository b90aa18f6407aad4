/**
 * A TCP port of the host that is listened on, by `Deno.listen`.
 *
 * One `accept` is under way for as long as the listener lives, so clients come when they come and nothing is polled.
 * Those that have come wait until the reactor's next pass, where they are handed over before the turn.
 *
 * **Out of descriptors.** `accept` rejects then, and would reject again at once for as long as it lasts: the next one
 * waits `RETRY_MS`. Deno gives no way to turn a client away without a descriptor, so it waits too. That is a limit
 * against `LinuxHost`, and so is this: a client that is to be reset sees an orderly end.
 *
 * **Ending.** The port is free when the pending `accept` has rejected, which `asyncDispose` awaits.
 *
 * @module
 */
import type { HostEndpoint, HostListener, HostListenError, HostListenHandler } from "../nat/host.ts";
import { IpAddress } from "../net/wire/address.ts";
import { hostErrorOf, listenErrorOf } from "./deno_error.ts";
import type { Dispatchable } from "./deno_reactor.ts";
import { type DenoTcpContext, DenoTcpSocket } from "./deno_tcp.ts";

/** How long after a failed accept the next one begins. */
const RETRY_MS = 100;

/** What a listener needs of its host. */
export interface DenoListenContext extends DenoTcpContext {
  /** The listener has something for its owner. */
  listenerReady(listener: DenoListener): void;
  /** The connection is one of the host's from now on. */
  accepted(socket: DenoTcpSocket): void;
  /** Nothing of the listener is left. */
  listenerGone(listener: DenoListener): void;
}

/** A `HostListener` on a `Deno.TcpListener`. Made by `listenDenoTcp`. */
export class DenoListener implements HostListener, Dispatchable {
  queued = false;
  readonly local: HostEndpoint;
  readonly #context: DenoListenContext;
  readonly #handler: HostListenHandler;
  readonly #listener: Deno.TcpListener;
  readonly #ended: Promise<void>;
  #waiting: Deno.TcpConn[] = [];
  #failures: unknown[] = [];
  #closed = false;
  #endWait: (() => void) | undefined;

  /** Takes a listener. */
  constructor(
    context: DenoListenContext,
    socket: { listener: Deno.TcpListener; address: IpAddress },
    handler: HostListenHandler,
  ) {
    this.#context = context;
    this.#handler = handler;
    this.#listener = socket.listener;
    this.local = { address: socket.address, port: socket.listener.addr.port };
    this.#ended = this.#acceptAll();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    this.#endWait?.();
    for (const conn of this.#waiting.splice(0)) conn.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#ended;
  }

  dispatch(): boolean {
    for (const error of this.#failures.splice(0)) this.#handler.hostAcceptFailed(hostErrorOf(error));
    for (let conn = this.#waiting.shift(); conn !== undefined; conn = this.#waiting.shift()) {
      const { hostname, port } = conn.remoteAddr;
      const socket = new DenoTcpSocket(this.#context, { accepted: conn });
      this.#context.accepted(socket);
      // A link-local client carries its interface behind a percent sign.
      const address = IpAddress.parse(hostname.replace(/%.*$/, ""));
      const handler = this.#handler.hostAccepted(socket, { address, port });
      if (handler !== null) socket.serve(handler);
    }
    return false;
  }

  async #acceptAll(): Promise<void> {
    while (!this.#closed) {
      try {
        const conn = await this.#listener.accept();
        if (this.#closed) conn.close();
        else this.#waiting.push(conn);
      } catch (error) {
        if (this.#closed) break;
        this.#failures.push(error);
        await this.#pause();
      }
      this.#context.listenerReady(this);
    }
    this.#context.listenerGone(this);
  }

  async #pause(): Promise<void> {
    this.#context.listenerReady(this);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RETRY_MS);
      this.#endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endWait = undefined;
  }
}

/** Listens on `local`, or answers why that cannot be. */
export function listenDenoTcp(
  context: DenoListenContext,
  { address, port }: HostEndpoint,
  handler: HostListenHandler,
): DenoListener | HostListenError {
  try {
    const listener = Deno.listen({ hostname: address.toString(), port });
    return new DenoListener(context, { listener, address }, handler);
  } catch (error) {
    return listenErrorOf(error);
  }
}
