/**
 * What the audit says: a record for each thing that a guest did or was kept from, as plain data and as a line of JSON.
 *
 * The members are a contract with whoever reads them (`docs/audit.schema.json`): a member is added, never changed. The
 * head is the same in all: `v`, the version of this form; `run`, a random id of one gateway's life; `seq`, which counts
 * the records of a run from 1, so that a missing one shows; `time`; `event`; and `guest` if a guest is concerned.
 *
 * Names are the guest's bytes. They come here as events have them: lower case, without a final dot, letters, digits,
 * `-`, `_` and `.`, and all else as `\DDD`. So no name can end a line or feign another member.
 *
 * @module
 */

/** The version of this form. */
export const RECORD_VERSION = 1;
/** Names of an address that one record shows. */
export const MOST_NAMES = 16;

/** Why something was refused. */
export const REFUSE_REASONS = {
  /** A deny rule matches. */
  rule: "a deny rule matches",
  /** There is an allow-list and nothing on it matches. */
  notAllowed: "no allow rule matches",
  /** No answer of the gateway's DNS has given this guest the address. */
  unbound: "no name led there",
  /** One has, too long ago. */
  expired: "the name that led there is too old",
  /** A TLS ClientHello named another server, or none. */
  sniRefused: "TLS named another server, or none",
  /** An HTTP request named another host, or none. */
  hostRefused: "HTTP named another host, or none",
  /** Strict, and the stream names nobody. */
  unverified: "the stream names nobody",
  /** A limit of flows was reached. */
  limit: "a limit was reached",
  /** A destination that the gateway never relays. */
  neverRelayed: "it is never relayed",
  /** The program's `decide` said no. */
  hook: "the program refused it",
} as const;

/** Why something was refused, by name. */
export type RefuseReason = keyof typeof REFUSE_REASONS;

/** A rule that decided. */
export interface RuleNote {
  /** The rule: `allow tcp:registry.example:443`. */
  readonly text: string;
  /** Where it stands: `rules.txt:12`, `--allow`, `the default`. */
  readonly source: string;
}

/** What every record begins with. */
export interface RecordHead {
  /** The version of this form. */
  readonly v: typeof RECORD_VERSION;
  /** A random id of this gateway's life. */
  readonly run: string;
  /** Counts the records of a run, from 1. */
  readonly seq: number;
  /** When: RFC 3339, UTC, with milliseconds. */
  readonly time: string;
  /** The guest's number, if there is one. */
  readonly guest?: number;
}

/** A gateway began. */
export interface StartFacts {
  /** Tells the kinds apart. */
  readonly event: "start";
  /** Hawser's version. */
  readonly hawser: string;
  /** SHA-256 of the normalised list of rules, in hexadecimal digits. */
  readonly rules: string;
  /** Whether rules refuse, or only say what they would refuse. */
  readonly mode: "enforce" | "report";
  /** Whether names decide, and how streams are looked at. */
  readonly names: "off" | "verify" | "strict";
  /** How many rules allow. */
  readonly allow: number;
  /** How many deny. */
  readonly deny: number;
  /** Whether a list of addresses alone leaves DNS open. */
  readonly dnsOpen: boolean;
}

/** A guest asked for a name. */
export interface DnsFacts {
  /** Tells the kinds apart. */
  readonly event: "dns";
  /** The name; `.` is the root, empty if the message had not exactly one question. */
  readonly name: string;
  /** The type of record: `A`, `AAAA`, `HTTPS`, or `TYPE` and a number. */
  readonly type: string;
  /** The transport. */
  readonly via: "udp" | "tcp";
  /** Whether it was passed on, refused by a rule, or answered here. */
  readonly decision: "forwarded" | "refused" | "local";
  /** What decided. */
  readonly rule: RuleNote | null;
  /** The response code; absent if no answer came while the guest waited. */
  readonly rcode?: number;
  /** Addresses that the guest was given. */
  readonly addresses?: readonly string[];
  /** Names on the way from the name to them. */
  readonly cnames?: readonly string[];
  /** What was taken out of the answer: addresses, `ech`, `ipv4hint`, `ipv6hint`. */
  readonly removed?: readonly string[];
  /** Present if nothing is refused and this would have been. */
  readonly wouldRefuse?: true;
}

/** The two ends of a flow. */
export interface FlowEnds {
  /** The transport. */
  readonly protocol: "tcp" | "udp" | "icmp";
  /** Who began: an address and port; of ICMP echo the identifier is the port. */
  readonly source: string;
  /** The address that was asked for. */
  readonly address: string;
  /** The port that was asked for; null for ICMP, which has none. */
  readonly port: number | null;
  /** The names by which DNS gave this guest the address, at most `MOST_NAMES`. */
  readonly names: readonly string[];
}

/** A flow began, or a guest's datagrams got a destination more. */
export interface OpenFacts extends FlowEnds {
  /** Tells the kinds apart. */
  readonly event: "open";
  /** The number that `verified`, `refuse` and `close` repeat. */
  readonly flow: number;
  /** The address and port on the host's side; null if the gateway itself answers there. */
  readonly host: string | null;
  /** What allowed it; null if nothing forbids it. */
  readonly rule: RuleNote | null;
  /** Who began it. */
  readonly by: "guest" | "host";
}

/** The first bytes of a flow named the server. */
export interface VerifiedFacts {
  /** Tells the kinds apart. */
  readonly event: "verified";
  /** The flow. */
  readonly flow: number;
  /** Where the name stood: in TLS or in HTTP. */
  readonly via: "sni" | "host";
  /** The name. */
  readonly name: string;
  /** The port that it is meant for, if it is what a proxy is asked for. */
  readonly port?: number;
  /** Whether TLS had the extension of Encrypted ClientHello, which may be GREASE. */
  readonly ech: boolean;
}

/** A flow was refused, or ended by the rules. */
export interface RefuseFacts extends FlowEnds {
  /** Tells the kinds apart. */
  readonly event: "refuse";
  /** Why. */
  readonly reason: RefuseReason;
  /** The rule that decided, if one did. */
  readonly rule: RuleNote | null;
  /** The flow that it ends or, in report mode, that goes on. */
  readonly flow?: number;
  /** The name that the stream said. */
  readonly name?: string;
  /** How many like this one there were within a second, from any port of the guest. */
  readonly count: number;
  /** Present if nothing is refused and this would have been. */
  readonly wouldRefuse?: true;
}

/** A flow is over. */
export interface CloseFacts {
  /** Tells the kinds apart. */
  readonly event: "close";
  /** The flow. */
  readonly flow: number;
  /** Payload bytes from the guest. */
  readonly bytesFromGuest: number;
  /** Payload bytes to the guest. */
  readonly bytesToGuest: number;
  /** How long it was open. */
  readonly durationMs: number;
  /** How it ended; `nat/flow/endings.ts` has the words. */
  readonly ending: string;
  /** Whether its first bytes named the server that the rules allow. */
  readonly verified: boolean;
}

/** The rules were changed. */
export interface RulesFacts {
  /** Tells the kinds apart. */
  readonly event: "rules";
  /** The digest of the list before. */
  readonly from: string;
  /** That of the list from now on. */
  readonly to: string;
  /** How many flows ended by that. */
  readonly ended: number;
}

/** Records could not be written for a while. */
export interface GapFacts {
  /** Tells the kinds apart. */
  readonly event: "gap";
  /** When the first one could not. */
  readonly from: string;
  /** When they could again. */
  readonly to: string;
  /** How many flows and queries were refused because of that. */
  readonly refused: number;
  /** How many records of open flows had no room to wait, and are missing; `seq` leaves out as many. */
  readonly lost: number;
}

/** The gateway ended. */
export interface EndFacts {
  /** Tells the kinds apart. */
  readonly event: "end";
  /** Flows that were opened. */
  readonly flows: number;
  /** Flows that were refused, those that would have been in report mode apart. */
  readonly refused: number;
  /** What would have been refused in report mode. */
  readonly wouldRefuse: number;
  /** Questions for names. */
  readonly queries: number;
  /** Payload bytes from guests. */
  readonly bytesFromGuest: number;
  /** Payload bytes to guests. */
  readonly bytesToGuest: number;
  /** How often records could not be written. */
  readonly gaps: number;
}

/** What a record says beside its head. */
export type RecordFacts =
  | StartFacts
  | DnsFacts
  | OpenFacts
  | VerifiedFacts
  | RefuseFacts
  | CloseFacts
  | RulesFacts
  | GapFacts
  | EndFacts;

/** A record. */
export type AuditRecord = RecordHead & RecordFacts;

/** Types of records that have names here; RFC 3597 section 5 names the others. */
const TYPES: Readonly<Record<number, string>> = {
  1: "A",
  2: "NS",
  5: "CNAME",
  6: "SOA",
  12: "PTR",
  15: "MX",
  16: "TXT",
  28: "AAAA",
  33: "SRV",
  35: "NAPTR",
  43: "DS",
  48: "DNSKEY",
  52: "TLSA",
  64: "SVCB",
  65: "HTTPS",
  255: "ANY",
  257: "CAA",
};

/** The name of a type of DNS record. */
export function dnsTypeText(type: number): string {
  return TYPES[type] ?? `TYPE${type}`;
}

/** Milliseconds since 1970 began (UTC) as RFC 3339 has them. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
