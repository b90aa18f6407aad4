/**
 * What happens in a gateway, as data: one typed union, delivered in the turn in which it happens.
 *
 * The log, an audit, metrics and an API are listeners. A listener is called with the kind of event and a function that
 * makes the data; who does not want them does not call it. So an event without a listener costs one comparison, and one
 * that a log leaves out costs no text. Data is plain: it can be kept, cloned, or sent to another thread.
 *
 * A listener must not call the gateway back. Each `flowOpened` is followed by exactly one `flowEnded` with the same
 * number.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { FlowEnding } from "./endings.ts";
import type { FlowInfo } from "./flow.ts";

/** Bytes and flows that were, of a guest or of a gateway; they outlive the flows. */
export interface Totals {
  /** Flows that were opened. */
  readonly flows: number;
  /** Flows and datagrams that were refused. */
  readonly refused: number;
  /** Payload bytes received from guests. */
  readonly bytesFromGuest: number;
  /** Payload bytes that guests acknowledged, or that were sent to them. */
  readonly bytesToGuest: number;
}

/** A flow has begun: rules and limits allow it. */
export interface FlowOpened {
  /** Tells the kinds apart. */
  readonly type: "flowOpened";
  /** The flow. */
  readonly flow: FlowInfo;
}

/** A flow, or a datagram to a new destination, was refused. */
export interface FlowRefused {
  /** Tells the kinds apart. */
  readonly type: "flowRefused";
  /** The guest's number. */
  readonly guestNumber: number;
  /** The transport. */
  readonly protocol: string;
  /** The guest's address and port. */
  readonly guest: string;
  /** The address and port that it asked for. */
  readonly target: string;
  /** The counter that was incremented. */
  readonly reason: DropReason;
  /** What decided, in words: a rule, a range or a limit. */
  readonly rule: string;
}

/** A flow is over. */
export interface FlowEnded {
  /** Tells the kinds apart. */
  readonly type: "flowEnded";
  /** The flow as it was at its end. */
  readonly flow: FlowInfo;
  /** How it ended. */
  readonly ending: FlowEnding;
}

/** A guest has asked for a name. */
export interface DnsAsked {
  /** Tells the kinds apart. */
  readonly type: "dnsAsked";
  /** The guest's number. */
  readonly guestNumber: number;
  /**
   * The name, with a dot at its end; what is no letter, digit, `-` or `_` as `\DDD`. Empty if there was not exactly one
   * question.
   */
  readonly name: string;
  /** The type of record, as a number (RFC 1035 section 3.2.2). */
  readonly recordType: number;
  /** The transport. */
  readonly via: "udp" | "tcp";
}

/** A guest got an answer to what it asked. */
export interface DnsAnswered {
  /** Tells the kinds apart. */
  readonly type: "dnsAnswered";
  /** The guest's number. */
  readonly guestNumber: number;
  /** The name, as in `DnsAsked`. */
  readonly name: string;
  /** The type of record, as a number. */
  readonly recordType: number;
  /** The transport. */
  readonly via: "udp" | "tcp";
  /** The response code (RFC 1035 section 4.1.1). */
  readonly rcode: number;
}

/** A link was attached. */
export interface GuestAttached {
  /** Tells the kinds apart. */
  readonly type: "guestAttached";
  /** The guest's number. */
  readonly guestNumber: number;
  /** The link's name. */
  readonly link: string;
}

/** A guest's link has ended. */
export interface GuestDetached {
  /** Tells the kinds apart. */
  readonly type: "guestDetached";
  /** The guest's number. */
  readonly guestNumber: number;
  /** The link's name. */
  readonly link: string;
  /** What it has had; flows whose host still drains are not in the bytes. */
  readonly totals: Totals;
}

/** DHCP has given a guest an address. */
export interface LeaseGiven {
  /** Tells the kinds apart. */
  readonly type: "leaseGiven";
  /** The guest's number. */
  readonly guestNumber: number;
  /** The address. */
  readonly address: string;
  /** The MAC address that asked, as `52:54:00:12:34:56`. */
  readonly mac: string;
}

/** A port of the host leads to a guest from now on. */
export interface ForwardAdded {
  /** Tells the kinds apart. */
  readonly type: "forwardAdded";
  /** The forward: `tcp 127.0.0.1:8080 -> 80`. */
  readonly forward: string;
}

/** A port of the host leads nowhere any more. */
export interface ForwardRemoved {
  /** Tells the kinds apart. */
  readonly type: "forwardRemoved";
  /** The forward, as in `ForwardAdded`. */
  readonly forward: string;
}

/** What happens in a gateway. */
export type GatewayEvent =
  | FlowOpened
  | FlowRefused
  | FlowEnded
  | DnsAsked
  | DnsAnswered
  | GuestAttached
  | GuestDetached
  | LeaseGiven
  | ForwardAdded
  | ForwardRemoved;

/** The kinds of events. */
export type EventType = GatewayEvent["type"];
/** The event of a kind. */
export type EventOf<T extends EventType> = Extract<GatewayEvent, { type: T }>;

/** Is told of every event; `make` gives its data, the same each time, and may be called until the listener returns. */
export type EventListener = (type: EventType, make: () => GatewayEvent) => void;

/** Where events of a gateway come from. */
export class Events {
  #listeners: readonly EventListener[] = [];

  /** Calls `listener` for every event from now on. Returns what ends that. */
  listen(listener: EventListener): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  /** Tells of an event. */
  emit<T extends EventType>(type: T, make: () => EventOf<T>): void {
    if (this.#listeners.length === 0) return;
    let made: GatewayEvent | undefined;
    const makeOnce = () => made ??= make();
    for (const listener of this.#listeners) listener(type, makeOnce);
  }
}
