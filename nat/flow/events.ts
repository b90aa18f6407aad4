/**
 * What happens in a gateway, as data: one typed union, delivered in the turn in which it happens.
 *
 * The log, an audit, metrics and an API are listeners. A listener is called with the kind of event and a function that
 * makes the data; who does not want them does not call it. So an event without a listener costs one comparison, and one
 * that a log leaves out costs no text. Data is plain: it can be kept, cloned, or sent to another thread.
 *
 * A listener must not call the gateway back. Each `flowOpened` is followed by exactly one `flowEnded` with the same
 * number, each `peerOpened` by exactly one `peerEnded`.
 *
 * **Datagrams.** A mapping of UDP or ICMP echo is one flow in `flows()`, whatever it talks to. Who asks where a guest
 * goes wants each destination by itself: that is a **peer** of the mapping, with a number out of the same series.
 *
 * **Names** are the guest's bytes: in lower case, without a final dot (the root is `.`), what is no letter, digit, `-`,
 * `_` or `.` as `\DDD`. At most 16 of an address are told.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { Rule } from "../rules/rule.ts";
import type { FlowRefusal, RefusalCause } from "../rules/verdict.ts";
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
  /** The names that the address has for the guest; of a mapping its peers tell. */
  readonly names: readonly string[];
  /** The rule that allows it; null: nothing forbids it, or no rule concerns it. */
  readonly rule: Rule | null;
  /** Why it would be refused if rules were not only reported. */
  readonly wouldRefuse: FlowRefusal | null;
}

/** A mapping of UDP or ICMP echo has a new destination: rules and limits allow it. */
export interface PeerOpened {
  /** Tells the kinds apart. */
  readonly type: "peerOpened";
  /** Its number, which no flow and no other peer of the gateway ever has. */
  readonly number: number;
  /** The transport. */
  readonly protocol: "udp" | "icmp";
  /** The guest's number. */
  readonly guestNumber: number;
  /** The guest's address and port; for ICMP echo the identifier is the port. */
  readonly guest: string;
  /** The address that the guest asked for. */
  readonly address: string;
  /** The port that it asked for; 0 for ICMP echo. */
  readonly port: number;
  /** The host address and port that stand for it; for ICMP echo the address. */
  readonly host: string;
  /** The names that the address has for the guest. */
  readonly names: readonly string[];
  /** The rule that allows it; null: nothing forbids it. */
  readonly rule: Rule | null;
  /** Why it would be refused if rules were not only reported. */
  readonly wouldRefuse: FlowRefusal | null;
}

/** A mapping of UDP or ICMP echo has no such destination any more. */
export interface PeerEnded extends Omit<PeerOpened, "type"> {
  /** Tells the kinds apart. */
  readonly type: "peerEnded";
  /** Payload bytes that the guest sent there. */
  readonly bytesFromGuest: number;
  /** Payload bytes that the guest got from there. */
  readonly bytesToGuest: number;
  /** For how long it was one, in milliseconds. */
  readonly durationMs: number;
  /** How it ended. */
  readonly ending: FlowEnding;
}

/** The first bytes of a flow named a host that the rules allow there, or that none forbids. */
export interface FlowVerified {
  /** Tells the kinds apart. */
  readonly type: "flowVerified";
  /** The flow's number. */
  readonly number: number;
  /** The guest's number. */
  readonly guestNumber: number;
  /** What named it: a TLS ClientHello's SNI or an HTTP request's Host. */
  readonly via: "sni" | "host";
  /** The name. */
  readonly name: string;
  /** The port for which it was said: the flow's, or that of what a proxy is asked for. */
  readonly port: number;
  /** Whether the ClientHello had the extension of Encrypted Client Hello, or its like (GREASE). */
  readonly ech: boolean;
}

/** A flow, or a datagram to a new destination, was refused; or a flow may not go on. */
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
  /** The address that it asked for. */
  readonly address: string;
  /** The port that it asked for; 0 where there is none. */
  readonly port: number;
  /** The counter that was incremented; null if none was: it ends a flow, or would have been refused. */
  readonly reason: DropReason | null;
  /** Why, as one word. */
  readonly cause: RefusalCause;
  /** What decided, in words, with what would help. */
  readonly rule: string;
  /** The rule that decided, if one did. */
  readonly ruleDecided: Rule | null;
  /** Names that led the guest to the address. */
  readonly names: readonly string[];
  /** The name that the flow's first bytes said, if that decided. */
  readonly name?: string;
  /** The number of the flow that ends by it. */
  readonly flow?: number;
  /** It was not refused: rules are only reported. */
  readonly wouldRefuse?: true;
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
   * The name, in lower case and without a final dot (the root is `.`); what is no letter, digit, `-` or `_` as `\DDD`.
   * Empty if there was not exactly one question; at most 255 characters.
   */
  readonly name: string;
  /** The type of record, as a number (RFC 1035 section 3.2.2). */
  readonly recordType: number;
  /** The transport. */
  readonly via: "udp" | "tcp";
}

/** A guest got an answer to what it asked, or has gone before. */
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
  /** The response code (RFC 1035 section 4.1.1); null: the guest was gone before an answer came. */
  readonly rcode: number | null;
  /** Who answered: a resolver, the rules, or the gateway by itself. */
  readonly decision: "forwarded" | "refused" | "local";
  /** The rule that decided whether it may be asked, if one did. */
  readonly rule: Rule | null;
  /** The addresses in the answer that the guest got. */
  readonly addresses: readonly string[];
  /** The names on the way to them, in order. */
  readonly cnames: readonly string[];
  /** What was taken out of the answer: addresses, `ech`, `ipv4hint`, `ipv6hint`. */
  readonly removed: readonly string[];
  /** The rules would have refused it: they are only reported. */
  readonly wouldRefuse?: true;
  /** It was refused, since no record of it could be written. */
  readonly isUnrecorded?: true;
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

/** The rules are other ones from now on. */
export interface RulesChanged {
  /** Tells the kinds apart. */
  readonly type: "rulesChanged";
  /** SHA-256 of the list before, in hexadecimal digits. */
  readonly from: string;
  /** The same of the list from now on. */
  readonly to: string;
  /** Flows and peers that ended by it. */
  readonly ended: number;
}

/** What happens in a gateway. */
export type GatewayEvent =
  | FlowOpened
  | FlowVerified
  | FlowRefused
  | FlowEnded
  | PeerOpened
  | PeerEnded
  | RulesChanged
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
