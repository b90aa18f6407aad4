/**
 * A listener for guests in WebSockets (RFC 6455): virtual machines in a browser, and any program that can speak it.
 *
 * A connection begins with a request (`websocket_door.ts`) and is a link like those of streams from then on, with a
 * framing of its own (`websocket_framing.ts`), in the event loop or on Deno's sockets (`arrival.ts`).
 *
 * **Who may connect.** A web page can open a WebSocket to any port of the machine on which its browser runs, loopback
 * included, and would be a guest like any other; browsers tell its origin. So a request with an `Origin` is refused
 * unless that is on loopback itself or in `origins`; other programs send none. With a `token` every request must carry
 * it, in the query (`?token=`) or as `Authorization: Bearer`.
 *
 * **Limits.** 1 MiB may be on its way to a guest, and 256 KiB of what it sends is held. Beyond, frames are dropped and
 * counted, and reading waits.
 *
 * @module
 */
import type { EventLoop } from "../linux/event_loop.ts";
import { bindDoor } from "./door.ts";
import type { LinkListener, ListenerOptions } from "./listener.ts";
import { serveWebSockets } from "./websocket_door.ts";
import type { WebSocketFraming } from "./websocket_framing.ts";

export type { WebSocketFraming } from "./websocket_framing.ts";

/** What a listener for WebSockets is told. */
export interface WebSocketListenerOptions extends ListenerOptions {
  /** The event loop in which the links live; without one they live on Deno's sockets. */
  readonly loop?: EventLoop;
  /** How frames travel in messages; unless given, what each guest sends first tells. */
  readonly framing?: WebSocketFraming;
  /** How long a client may take for its request, in milliseconds; 10 s unless given. */
  readonly requestMs?: number;
  /** What a client must know to connect; nothing unless given. */
  readonly token?: string;
  /** Web origins that may connect besides those on loopback: `https://vm.example`; `*` for any. */
  readonly origins?: readonly string[];
}

/**
 * Listens for WebSockets on an address and a port, 0 for a free one. Throws `Deno.errors.AddrInUse` for a port that
 * another program has, and what else `listenForStreams` throws.
 *
 * @example
 * ```ts ignore
 * await using listener = await listenForWebSockets(
 *   { hostname: "127.0.0.1", port: 0 },
 *   { attach: (link) => gateway.attach(link) },
 * );
 * ```
 */
export async function listenForWebSockets(
  address: { readonly hostname: string; readonly port: number },
  options: WebSocketListenerOptions,
): Promise<LinkListener> {
  return await serveWebSockets(await bindDoor(address, options.loop), options);
}
