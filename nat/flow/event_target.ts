/**
 * Events of a gateway for programs, as the web platform has them.
 *
 * An `EventTarget` and no async iterable: delivery is synchronous, in the turn, so nothing has to be kept for a reader
 * that is slow, and nothing can be lost; and `once`, `signal` and removal are what every program knows. A listener that
 * throws is reported by the runtime as an uncaught error, as with any `EventTarget`; the turn goes on.
 *
 * @module
 */
import type { EventOf, Events, EventType } from "./events.ts";

/** An event whose `detail` is its data. */
export type GatewayCustomEvent<T extends EventType> = CustomEvent<EventOf<T>>;

/** A listener for events of one kind. */
export type GatewayListener<T extends EventType> = (event: GatewayCustomEvent<T>) => void;

/**
 * Where a program listens to what happens in a gateway.
 *
 * @example
 * ```ts ignore
 * gateway.events.addEventListener("flowEnded", ({ detail: { flow, ending } }) => {
 *   console.log(flow.guest, flow.target, ending, flow.bytesFromGuest, flow.bytesToGuest);
 * });
 * ```
 */
export class GatewayEvents extends EventTarget {
  #wanted = new Set<string>();
  #events: Events;
  #listens = false;

  /** Passes `events` on. A kind that nobody has ever asked for costs nothing. */
  constructor(events: Events) {
    super();
    this.#events = events;
  }

  /** Calls `listener` for each event of this kind from now on, until it is removed or `signal` is aborted. */
  override addEventListener<T extends EventType>(
    type: T,
    listener: GatewayListener<T> | null,
    options?: AddEventListenerOptions | boolean,
  ): void;
  /** As `EventTarget` has it. */
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void;
  override addEventListener(
    type: string,
    listener: unknown,
    options?: AddEventListenerOptions | boolean,
  ): void {
    super.addEventListener(type, listener as EventListenerOrEventListenerObject | null, options);
    this.#wanted.add(type);
    if (this.#listens) return;
    this.#listens = true;
    this.#events.listen((kind, make) => {
      if (this.#wanted.has(kind)) this.dispatchEvent(new CustomEvent(kind, { detail: make() }));
    });
  }

  /** Does not call `listener` any more. */
  override removeEventListener<T extends EventType>(
    type: T,
    listener: GatewayListener<T> | null,
    options?: EventListenerOptions | boolean,
  ): void;
  /** As `EventTarget` has it. */
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: EventListenerOptions | boolean,
  ): void;
  override removeEventListener(type: string, listener: unknown, options?: EventListenerOptions | boolean): void {
    super.removeEventListener(type, listener as EventListenerOrEventListenerObject | null, options);
  }
}
