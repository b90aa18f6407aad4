/**
 * Who asks DNS for what, and what events tell of it.
 *
 * @module
 */
import { dnsFlags, dnsRcode } from "../../net/wire/dns.ts";
import type { DnsAnswered, DnsAsked } from "../flow/events.ts";
import type { GuestSide } from "../flow/flow.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { Path } from "../ip/path.ts";
import type { Rule } from "../rules/rule.ts";
import type { DnsBytes } from "./dns64.ts";
import { readDnsFacts } from "./dns_answer.ts";
import { type DnsVerdict, ruleName } from "./dns_control.ts";
import type { DnsQuery } from "./dns_query.ts";
import type { DnsStream } from "./dns_stream.ts";

/** Characters of a name in an event, at most. */
const MOST_NAME = 255;

/** Where a query came from, and where its answer goes. */
export interface DnsClient {
  /** The guest. */
  readonly guest: GuestSide;
  /** The key of its question: its address and port, and the address at which it asks. */
  readonly key: FlowKey;
  /** The way to it. */
  readonly path: Path;
  /** The connection on which it asks; absent if it asks over UDP. */
  readonly stream?: DnsStream;
}

/** A query, and who asks it. */
export interface Asker {
  /** Who asks. */
  readonly client: DnsClient;
  /** What. */
  readonly query: DnsQuery;
  /** What rules say of it. */
  readonly verdict: DnsVerdict;
}

/** What events say of an answer beside what stands in it. */
export interface Outcome {
  /** Who has answered. */
  readonly decision: DnsAnswered["decision"];
  /** What was taken out. */
  readonly removed: readonly string[];
  /** The rule, if it is not that of the verdict. */
  readonly rule?: Rule;
  /** Whether that rule would have refused it, if rules were not only reported. */
  readonly wouldRefuse?: true;
}

/** Nothing was taken out. */
export const NOTHING: readonly string[] = [];
/** A resolver has answered. */
export const FORWARDED: Outcome = { decision: "forwarded", removed: NOTHING };
/** Rules have. */
export const REFUSED: Outcome = { decision: "refused", removed: NOTHING };
/** The gateway has, whatever the rules. */
export const LOCAL: Outcome = { decision: "local", removed: NOTHING };
/** Of what was answered before rules were asked. */
export const UNJUDGED: DnsVerdict = { does: "ask", rule: null, wouldRefuse: false };
/** What events say of a query. */
export function factsOf({ client, query }: Asker): Omit<DnsAsked, "type"> {
  const via = client.stream === undefined ? "udp" : "tcp";
  return { guestNumber: client.guest.number, name: eventName(query.name), recordType: query.type, via };
}

/** The event of an answer, as the guest gets it. */
export function describeAnswer(asker: Asker, answer: DnsBytes | null, outcome: Outcome): DnsAnswered {
  const { query, verdict } = asker, { decision, removed, rule, wouldRefuse = verdict.wouldRefuse } = outcome;
  const facts = answer === null || query.name === "" ? null : readDnsFacts(answer, query.name);
  return {
    type: "dnsAnswered",
    ...factsOf(asker),
    rcode: answer && dnsRcode(dnsFlags(answer.bytes, answer.start)),
    decision,
    rule: rule ?? verdict.rule,
    addresses: facts?.addresses.map(({ value }) => `${value}`) ?? [],
    cnames: facts?.cnames.map(({ value }) => eventName(value)) ?? [],
    removed,
    ...(wouldRefuse && { wouldRefuse: true }),
  };
}

/** A name as events have it. */
function eventName(name: string): string {
  return name === "" ? "" : (ruleName(name) || ".").slice(0, MOST_NAME);
}

/** Whether one client has asked the same twice. */
export function isSameAsker(a: Asker, b: Asker): boolean {
  return a.query.id === b.query.id && a.client.key.equals(b.client.key);
}
