/**
 * What is decided of a flow before it begins, as data: permitted, and by what, or refused, and why.
 *
 * `gatekeeper.ts` makes these; flows keep their permit, and events tell of both.
 *
 * @module
 */
import type { DropReason } from "../base/counters.ts";
import type { Binding } from "./bindings.ts";
import type { Rule } from "./rule.ts";
import type { Target } from "./translate.ts";

/** Names of an address that events tell at most. */
export const MOST_NAMES = 16;

/** Why a flow is refused. */
export type RefusalCause =
  /** A deny rule forbids it. */
  | "rule"
  /** No allow rule matches. */
  | "notAllowed"
  /** No allow rule matches its address, and no answer at the DNS address led the guest there. */
  | "unbound"
  /** An answer for an allowed name led there, and has expired. */
  | "expired"
  /** Its TLS ClientHello names a server that is not allowed there, or none. */
  | "sniRefused"
  /** Its HTTP request names a host that is not allowed there, or none. */
  | "hostRefused"
  /** Only a name allows it, and its stream says none that can be verified. */
  | "unverified"
  /** A limit of flows is reached. */
  | "limit"
  /** It leads where nothing is ever relayed, or where the gateway's own options forbid. */
  | "neverRelayed"
  /** No record of it could be written. */
  | "auditUnavailable"
  /** The program's own `decide` refused it. */
  | "hook";

/** Why a flow may not begin, or may not go on. */
export interface FlowRefusal {
  /** Why, as one word. */
  readonly cause: RefusalCause;
  /** The counter that is incremented. */
  readonly counter: DropReason;
  /** The rule that decided, if one did. */
  readonly rule: Rule | null;
  /** Names that led the guest to the address; of one that expired, that one. At most `MOST_NAMES`. */
  readonly names: readonly string[];
  /** The same for people, with what would help. */
  readonly words: string;
}

/** How the first bytes of a TCP flow are looked at. */
export type Look =
  /** Not at all. */
  | "none"
  /** Only a name allows the flow: what they say must be one that is allowed and bound. */
  | "verify"
  /** Only names that are denied are refused. */
  | "watch"
  /** In a report, of what names led to and no rule allows: the same, and it is told if no name can be verified. */
  | "learn";

/** What the first bytes of a flow have said that it wants. */
export interface Said {
  /** The name of a host, or of a proxy's target the address. */
  readonly name: string;
  /** The port: the flow's, or that of a proxy's target. */
  readonly port: number;
}

/** What lets a flow begin. */
export interface FlowPermit {
  /** The rule that allowed it; null: nothing forbids it. */
  readonly rule: Rule | null;
  /** Names that led the guest to the address, of address rules too. At most `MOST_NAMES`. */
  readonly names: readonly string[];
  /** The bindings that it holds while it lives. */
  readonly holds: readonly Binding[];
  /** How its first bytes are looked at. */
  readonly look: Look;
  /** Why it would be refused if rules were not only reported. */
  readonly wouldRefuse: FlowRefusal | null;
  /** Where it leads: targets to try in order, at least one. */
  readonly targets: readonly Target[];
}

/** Of a flow that no rule concerns, since the gateway itself answers it. */
export function ownPermit(targets: readonly Target[]): FlowPermit {
  return { rule: null, names: [], holds: [], look: "none", wouldRefuse: null, targets };
}
