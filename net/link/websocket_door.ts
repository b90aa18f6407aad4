/**
 * A door at which WebSockets are asked for: the request, and who becomes a guest.
 *
 * **Before the answer** a client is nobody. `MOST_PENDING` connections may be so far, each for at most `REQUEST_MS`.
 * The next one takes the place of the oldest: an honest request is there with its connection and answered at once, so
 * it is never the oldest for long. After the answer a client is a guest, and silent until its first frame
 * (`connected_guests.ts`).
 *
 * @module
 */
import type { Arrival, Door } from "./arrival.ts";
import { ConnectedGuests } from "./connected_guests.ts";
import { openOrDispose } from "./door.ts";
import { type LinkListener, type ListenerOptions, MOST_GUESTS } from "./listener.ts";
import { type WebSocketFraming, webSocketFraming } from "./websocket_framing.ts";
import { type Admission, type Answer, HandshakeReader, refusal } from "./websocket_handshake.ts";

/** Connections of a listener that may be without an answer. */
export const MOST_PENDING: number = MOST_GUESTS / 4;
/** How long a client may take for its request. */
export const REQUEST_MS = 10_000;

/** How WebSockets are served; `WebSocketListenerOptions` tells. */
export interface WebSocketServingOptions extends ListenerOptions, Admission {
  /** How frames travel in messages. */
  readonly framing?: WebSocketFraming;
  /** How long a client may take for its request, in milliseconds. */
  readonly requestMs?: number;
}

/** Opens a door for WebSockets, which is the listener's from now on. Throws what `Door.open` does. */
export async function serveWebSockets(door: Door, options: WebSocketServingOptions): Promise<LinkListener> {
  const listener = new WebSocketListener(door, options);
  await openOrDispose(door, {
    arrived: (arrival) => listener.arrived(arrival),
    refused: (message, isExhausted) => options.refused?.(message, isExhausted),
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
  readonly #options: WebSocketServingOptions;
  readonly #guests: ConnectedGuests;
  /** In the order in which they came. */
  readonly #pending = new Set<Pending>();

  constructor(door: Door, options: WebSocketServingOptions) {
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
      this.#options.refused?.(`Refused ${arrival.from} on ${this.address}: ${answer.why}`, false);
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
      this.#options.refused?.(error instanceof Error ? error.message : String(error), true);
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
