/**
 * A listener for guests in WebSockets (RFC 6455): virtual machines in a browser, and any program that can speak it.
 *
 * A connection begins with a request (`websocket_handshake.ts`) and is a link like those of streams from then on, with a framing of its own
 * (`websocket_framing.ts`), in the event loop or on Deno's sockets (`arrival.ts`).
 *
 * **Who may connect.** A web page can open a WebSocket to any port of the machine on which its browser runs, loopback included,
 * and would be a guest like any other; browsers tell its origin. So a request with an `Origin` is refused unless
 * that is on loopback itself or in `origins`; other programs send none. With a `token` every request must carry it, in
 * the query (`?token=`) or as `Authorization: Bearer`.
 *
 * **Before the answer** a client is nobody. `MOST_PENDING` connections may be so far, each for at most `REQUEST_MS`. The next one takes the place of the
 * oldest: an honest request is there with its connection and answered at once, so it is never the oldest for long. After the answer a client is a
 * guest, and silent until its first frame (`connected_guests.ts`).
 *
 * **Limits.** 1 MiB may be on its way to a guest, and 256 KiB of what it sends is held. Beyond, frames are dropped and counted, and reading waits.
 *
 * @module
 */
import type { EventLoop } from "../linux/event_loop.ts";
import type { Arrival, Door } from "./arrival.ts";
import { ConnectedGuests } from "./connected_guests.ts";
import { bindDoor, openOrDispose } from "./door.ts";
import { type LinkListener, type ListenerOptions, MOST_GUESTS } from "./listener.ts";
import { type WebSocketFraming, webSocketFraming } from "./websocket_framing.ts";
import { type Answer, HandshakeReader, refusal } from "./websocket_handshake.ts";

export type { WebSocketFraming } from "./websocket_framing.ts";

/** Connections of a listener that may be without an answer. */
export const MOST_PENDING: number = MOST_GUESTS / 4;
/** How long a client may take for its request. */
export const REQUEST_MS = 10_000;

/** What a listener for WebSockets is told. */
export interface WebSocketListenerOptions extends ListenerOptions {
  /** The event loop in which the links live; without one they live on Deno's sockets. */
  readonly loop?: EventLoop;
  /** How frames travel in messages; unless given, what each guest sends first tells. */
  readonly framing?: WebSocketFraming;
  /** How long a client may take for its request, in milliseconds; `REQUEST_MS` unless given. */
  readonly requestMs?: number;
  /** What a client must know to connect; nothing unless given. */
  readonly token?: string;
  /** Web origins that may connect besides those on loopback: `https://vm.example`; `*` for any. */
  readonly origins?: readonly string[];
}

/**
 * Listens for WebSockets on an address and a port, 0 for a free one. Throws `Deno.errors.AddrInUse` for a port that another
 * program has, and what else `listenForStreams` throws.
 *
 * @example
 * ```ts ignore
 * await using listener = await listenForWebSockets({ hostname: "127.0.0.1", port: 0 }, { attach: (link) => gateway.attach(link) });
 * ```
 */
export async function listenForWebSockets(
  address: { readonly hostname: string; readonly port: number },
  options: WebSocketListenerOptions,
): Promise<LinkListener> {
  const door = await bindDoor(address, options.loop), listener = new WebSocketListener(door, options);
  await openOrDispose(door, {
    arrived: (arrival) => listener.arrived(arrival),
    refused: (message) => options.refused?.(message),
  });
  return listener;
}

/** An arrival whose request has not been answered. */
interface Pending {
  readonly arrival: Arrival;
  readonly endTimer: () => void;
}

class WebSocketListener implements LinkListener {
  readonly address: string;
  readonly #door: Door;
  readonly #options: WebSocketListenerOptions;
  readonly #guests: ConnectedGuests;
  /** In the order in which they came. */
  readonly #pending = new Set<Pending>();

  constructor(door: Door, options: WebSocketListenerOptions) {
    this.#door = door;
    this.#options = options;
    this.address = `ws:${door.place}`;
    this.#guests = new ConnectedGuests(this.address, options);
  }

  /** Takes no more connections, and ends those that have not been answered. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const pending of this.#pending) this.#end(pending);
    await this.#door[Symbol.asyncDispose]();
  }

  arrived(arrival: Arrival): void {
    const reader = new HandshakeReader(this.#options), { requestMs = REQUEST_MS } = this.#options;
    const pending: Pending = {
      arrival,
      endTimer: this.#door.delay(() => {
        this.#conclude(pending, refusal(408, "No request came.", `no request came in ${requestMs / 1000} seconds`));
      }, requestMs),
    };
    this.#pending.add(pending);
    if (this.#pending.size > MOST_PENDING) this.#turnAwayOldest();
    try {
      arrival.listen({
        room: () => reader.bytes.subarray(reader.end),
        took: (count) => {
          if (count === 0) return this.#end(pending);
          const answer = reader.took(count);
          if (answer !== undefined) this.#conclude(pending, answer);
        },
      });
    } catch (error) {
      this.#end(pending);
      throw error;
    }
  }

  #conclude(pending: Pending, answer: Answer): void {
    const { arrival } = pending;
    if (answer.accepted) {
      if (this.#welcome(pending, answer)) return;
      answer = refusal(503, "Too many guests.");
    }
    if (answer.why !== undefined) {
      this.#options.refused?.(`Refused ${arrival.from} on ${this.address}: ${answer.why}`);
    }
    arrival.say(answer.response);
    this.#end(pending);
  }

  /** Makes a guest of it, or returns false where there are too many. */
  #welcome(pending: Pending, { response }: Answer): boolean {
    const { arrival, endTimer } = pending;
    try {
      return this.#guests.admit(arrival.from, (events) => {
        endTimer();
        this.#pending.delete(pending);
        arrival.say(response);
        return arrival.link({ ...events, framing: webSocketFraming(events.mtu, this.#options.framing) });
      });
    } catch (error) {
      // The kernel limits what can be watched; the connection is closed.
      this.#options.refused?.(error instanceof Error ? error.message : String(error));
      return true;
    }
  }

  #turnAwayOldest(): void {
    const [oldest] = this.#pending;
    if (oldest === undefined) return;
    const why = `${MOST_PENDING} connections without a request are the limit of a listener`;
    this.#conclude(oldest, refusal(503, "Too many connections without a request.", why));
  }

  #end(pending: Pending): void {
    pending.endTimer();
    this.#pending.delete(pending);
    pending.arrival.close();
  }
}
