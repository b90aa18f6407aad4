/**
 * What a flow is, and the two parties that it names: the guest and, if a client of the host began it, the forward.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import type { RecencyList, Recent } from "../base/recency_list.ts";
import type { TokenBucket } from "../base/token_bucket.ts";
import type { Path } from "../ip/path.ts";
import type { GuestBindings } from "../rules/bindings.ts";
import type { FlowPermit, Said } from "../rules/verdict.ts";
import type { TcpState } from "../tcp/transitions.ts";
import type { FlowEnding } from "./endings.ts";
import type { FlowKey } from "./flow_key.ts";

/** A flow as `flows()` shows it. */
export interface FlowInfo {
  /** Its number, never used again by this gateway. */
  readonly number: number;
  /** The transport. */
  readonly protocol: "tcp" | "udp" | "icmp";
  /** The guest's number, as `attach` gave it. */
  readonly guestNumber: number;
  /** The guest's address and port; for ICMP echo the identifier is the port. */
  readonly guest: string;
  /**
   * The address and port that the guest asked for; for UDP and ICMP, which has no port, the latest of them; for a
   * forward, as which the guest sees the client.
   */
  readonly target: string;
  /** The host address and port that stand for it; for a forward the client's own. */
  readonly host: string;
  /** Who began: the guest, or a client of a forward. */
  readonly openedBy: "guest" | "host";
  /**
   * The state of the endpoint that faces the guest; `draining` when only the host side is left; `open` for UDP and
   * ICMP.
   */
  readonly state: TcpState | "draining" | "open";
  /** Payload bytes received from the guest in order. */
  readonly bytesFromGuest: number;
  /** Payload bytes that the guest has acknowledged; for UDP and ICMP that were sent to it. */
  readonly bytesToGuest: number;
  /** Payload bytes that the host socket has taken; what is missing of `bytesFromGuest` is queued. */
  readonly bytesToHost: number;
  /** Payload bytes read from the host socket; what `bytesToGuest` lacks of them is queued or on its way. */
  readonly bytesFromHost: number;
  /** Segments sent to the guest again. */
  readonly retransmissions: number;
  /** Milliseconds since the flow began. */
  readonly ageMs: number;
  /** Milliseconds since the guest was last heard. */
  readonly idleMs: number;
}

/** What one guest uses of the gateway's limits; see `quota.ts`. */
export interface GuestUse {
  /** Flows that it began. */
  flows: number;
  /** Flows that clients of forwards began to it. */
  clients: number;
  /** Its connects under way on the host. */
  connecting: number;
  /** Its mappings, by their last use. */
  readonly mappings: RecencyList<Mapping>;
  /** Its ration of new flows; null where new flows are not rationed. */
  readonly newFlows: TokenBucket | null;
  /** What it had, of flows that are over. */
  readonly totals: { flows: number; refused: number; bytesFromGuest: number; bytesToGuest: number };
}

/** A guest as flows see it. */
export interface GuestSide {
  /** Its number in flow keys. */
  readonly number: number;
  /** What it uses of the gateway's limits. */
  readonly use: GuestUse;
  /** Whose time the host's work for its flows takes; see `HostSocketOwner`. */
  readonly payer: object | undefined;
  /** The names that addresses have for it. */
  readonly bindings: GuestBindings;
  /** The way between the two addresses of a flow with this key. */
  path(key: FlowKey): Path;
}

/** Where a forward leads. */
export interface ForwardTarget {
  /** For people: `tcp 127.0.0.1:8080 -> 80`. */
  readonly name: string;
  /** The guest's address; `null`: that of the only guest. */
  readonly guestAddress: IpAddress | null;
  /** The guest's port. */
  readonly guestPort: number;
}

/** Something that acts at the end of a turn. */
export interface EndsTurn {
  /** Does what became due in this turn. Called once for each time it was made due. */
  endTurn(): void;
}

/** Where a flow is found. */
export interface FlowPlace {
  /** Its number; 0 before it has one. */
  readonly number: number;
  /** The table in which its key leads to it, as long as it has its key. */
  readonly home: { get(key: FlowKey): Flow | undefined; delete(key: FlowKey): unknown } | null;
}

/** The place of a flow that has not begun. */
export const NOWHERE: FlowPlace = { number: 0, home: null };

/** A flow in the table. */
export interface Flow extends EndsTurn {
  /** Its key. */
  readonly key: FlowKey;
  /** Where it is found; set when it begins. */
  place: FlowPlace;
  /** Payload bytes received from the guest in order. */
  readonly bytesFromGuest: number;
  /** Payload bytes that the guest has acknowledged, or that were sent to it. */
  readonly bytesToGuest: number;
  /** Its guest. */
  readonly guest: GuestSide;
  /** The forward whose client began it; `null`: the guest did. */
  readonly forward: ForwardTarget | null;
  /** Whether the guest knows of it, so that it counts as one of the guest's: it began it or has answered. */
  readonly known: boolean;
  /** What let it begin; null: no rule concerns it, or each of its peers has a permit of its own. */
  readonly permit: FlowPermit | null;
  /** What `flows()` shows. */
  info(): FlowInfo;
  /** Ends it at once; `ending` is why. */
  abort(ending: FlowEnding): void;
  /** Other rules are in force: ends what does not go on under these. Returns how many flows and peers that were. */
  rejudge(judge: FlowJudge): number;
}

/** Judges flows that live. */
export interface FlowJudge {
  /** Whether the flow of `guest` with this key and permit goes on; `said` is what it was verified by. */
  goesOn(guest: GuestSide, key: FlowKey, permit: FlowPermit, said: Said | null): boolean;
}

/** A flow without connections: the one used longest ago makes room for another. */
export interface Mapping extends Flow, Recent<Mapping> {}
