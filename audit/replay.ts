/**
 * What a list of rules would have decided of what an audit has recorded.
 *
 * A record has what the gateway knew when it decided: the addresses, the names that had led there, and later what the
 * stream said. So the same can be asked of another list. Three things cannot be known, and are taken to be well: what
 * the stream of a flow would have said at which the gateway did not look; more than 16 names of one address; and
 * whether names that an answer now refused would have led to could have been found in another way.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import type { Rule } from "../nat/rules/rule.ts";
import type { RuleList } from "../nat/rules/rule_list.ts";
import { isGloballyReachable } from "../nat/rules/special_purpose.ts";
import { hostAddressOf } from "./_address_text.ts";
import { type AuditRecord, RECORD_VERSION, REFUSE_REASONS, type RefuseReason } from "./records.ts";
import { UsageReader, type Use } from "./usage.ts";

/** What a list says of a flow. */
export interface Decision {
  /** Whether it may be. */
  readonly isAllowed: boolean;
  /** The rule that decides, if one does. */
  readonly rule: Rule | null;
}

/** Like flows or questions of which a list decides otherwise than was recorded. */
export interface Difference {
  /** What it is: `tcp registry.example:443 (192.0.2.7)`, `dns registry.example`. */
  readonly what: string;
  /** Whether the list allows it, and the record did not. */
  readonly isAllowed: boolean;
  /** What decides now, if a rule does. */
  readonly rule: Rule | null;
  /** How many there were. */
  readonly count: number;
}

/** What rules have no part in. */
const OTHER_REASONS: readonly RefuseReason[] = ["limit", "neverRelayed", "hook"];

/** What `list` says of flows like these, as `nat/rules/gatekeeper.ts` and `nat/relay/name_judge.ts` do. */
export function decideUse(list: RuleList, use: Use): Decision {
  const { protocol, names } = use, asked = IpAddress.parse(use.address), port = use.port ?? 0;
  const byAddress = list.address(protocol, asked, IpAddress.parse(use.host), port);
  if (byAddress?.verdict === "deny") return refusedBy(byAddress);
  const byName = names.map((name) => ({ name, rule: ruleOf(list, use, { name, asked }) }));
  if (byAddress !== null || !list.isAllowList) return unlessDenied(list, use, { byAddress, byName });
  // The names of a binding that has lapsed are recorded too.
  const bound = use.refusal === "expired" ? [] : byName;
  const allowed = bound.filter(({ rule }) => rule?.verdict === "allow");
  if (allowed.length === 0) return refusedBy(bound.find(({ rule }) => rule !== null)?.rule ?? null);
  const alone = protocol === "tcp" ? allowed.find(({ rule }) => rule!.unverified) : allowed[0];
  return alone === undefined ? verify(list, use, allowed) : { isAllowed: true, rule: alone.rule };
}

/** The rule that decides about a name at an address; a wildcard leads to none that is not globally reachable. */
function ruleOf(list: RuleList, { protocol, port }: Use, { name, asked }: { name: string; asked: IpAddress }) {
  const rule = list.name(protocol, name, port ?? 0);
  const isNear = rule?.verdict === "allow" && rule.host.kind === "wildcard" && !isGloballyReachable(asked);
  return isNear ? null : rule;
}

interface NamedRule {
  readonly name: string;
  readonly rule: Rule | null;
}

function refusedBy(rule: Rule | null): Decision {
  return { isAllowed: false, rule };
}

/** Without an allow-list, or allowed by its address: only names that are denied refuse it. */
function unlessDenied(
  list: RuleList,
  { protocol, port, said }: Use,
  { byAddress, byName }: { byAddress: Rule | null; byName: readonly NamedRule[] },
): Decision {
  const denied = byName.filter(({ rule }) => rule?.verdict === "deny");
  if (byAddress === null && denied.length > 0 && denied.length === byName.length) return refusedBy(denied[0]!.rule);
  const bySaid = protocol === "tcp" && said !== null ? list.name("tcp", said.name, said.port ?? port!) : null;
  return bySaid?.verdict === "deny" ? refusedBy(bySaid) : { isAllowed: true, rule: byAddress };
}

/** Allowed by names that its first bytes have to say again. */
function verify(list: RuleList, { said, isMute }: Use, allowed: readonly NamedRule[]): Decision {
  if (said === null) return { isAllowed: !isMute, rule: isMute ? null : allowed[0]!.rule };
  if (said.port === undefined) {
    const rule = allowed.find(({ name }) => name === said.name)?.rule ?? null;
    return { isAllowed: rule !== null, rule };
  }
  const target = IpAddress.tryParse(said.name);
  const rule = target === undefined
    ? list.name("tcp", said.name, said.port)
    : list.address("tcp", target, target, said.port);
  return { isAllowed: rule?.verdict === "allow", rule };
}

/**
 * Where `list` decides otherwise than was recorded, and how much it was asked about. `deeds`: not what rules decided
 * then is compared, but what happened, which in report mode is another matter.
 */
export function differencesOf(
  list: RuleList,
  usage: UsageReader,
  { deeds = false }: { readonly deeds?: boolean } = {},
): { readonly asked: number; readonly differences: readonly Difference[] } {
  const differences = new Map<string, { -readonly [Name in keyof Difference]: Difference[Name] }>();
  let asked = 0;
  const compare = (what: string, wasAllowed: boolean, { isAllowed, rule }: Decision, count: number) => {
    asked += count;
    if (isAllowed === wasAllowed) return;
    const key = `${isAllowed} ${what} ${rule?.text}`, known = differences.get(key);
    if (known === undefined) differences.set(key, { what, isAllowed, rule, count });
    else known.count += count;
  };
  for (const use of usage.uses.values()) {
    if (use.refusal !== null && OTHER_REASONS.includes(use.refusal)) continue;
    const wasAllowed = deeds ? use.wasOpened : use.refusal === null;
    compare(describeUse(use), wasAllowed, decideUse(list, use), use.count);
  }
  const ways = new Set(
    [...usage.ways].filter(([name]) => mayBeAsked(list, name)).flatMap(([, targets]) => [...targets]),
  );
  for (const { name, isAllowed, wasForwarded, count } of usage.asked.values()) {
    const { decision, rule } = list.asks(name), isOnTheWay = rule === null && ways.has(name);
    const decided = { isAllowed: decision !== "refuse" || isOnTheWay, rule };
    compare(`dns ${name}`, deeds ? wasForwarded : isAllowed, decided, count);
  }
  return { asked, differences: [...differences.values()].toSorted(byText) };
}

/** Where `list` decides otherwise than these records say. */
export function replay(
  list: RuleList,
  records: Iterable<AuditRecord>,
): { readonly asked: number; readonly differences: readonly Difference[] } {
  const usage = new UsageReader();
  for (const record of records) usage.take(record);
  usage.finish();
  return differencesOf(list, usage);
}

/** A difference as one line for people. */
export function describeDifference({ what, isAllowed, rule, count }: Difference): string {
  const times = count === 1 ? "" : `, ${count} times`;
  const why = rule === null ? isAllowed ? "" : ": no rule allows it" : `: ${rule.text} (${rule.source})`;
  return `${isAllowed ? "allowed now, was refused" : "refused now, was allowed"}${times}: ${what}${why}`;
}

/**
 * The records of an audit's lines. Throws a `SyntaxError` that names `source` and the line for one that is no record;
 * the last line may be cut off, and lines that were ended so by a later run are passed over.
 */
export function* readRecords(lines: Iterable<string>, source: string): Generator<AuditRecord> {
  let number = 0;
  for (const line of lines) {
    number++;
    if (line === "") continue;
    let record: unknown;
    try {
      record = JSON.parse(line);
    } catch {
      const isCutOff = line.startsWith('{"v":') && !line.endsWith("}");
      if (isCutOff) continue;
      throw new SyntaxError(`${source}:${number}: it is no record of an audit: lines of JSON are`);
    }
    if (!isRecord(record)) {
      throw new SyntaxError(`${source}:${number}: it is no record of an audit of version 1`);
    }
    yield record;
  }
}

function isRecord(value: unknown): value is AuditRecord {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>, { v, run, event } = record;
  if (v !== RECORD_VERSION || typeof run !== "string" || typeof event !== "string") return false;
  const members = NEEDED[event] ?? [];
  return members.every((member) => CHECKS[member]!(record[member]));
}

/** What has to be right in a record for it to be replayed. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  open: ["flow", "protocol", "address", "port", "names", "host", "by"],
  refuse: ["protocol", "address", "port", "names", "reason", "count"],
  verified: ["flow", "via", "name"],
  close: ["flow", "ending"],
  dns: ["name", "decision"],
};
const CHECKS: Readonly<Record<string, (value: unknown) => boolean>> = {
  flow: Number.isSafeInteger,
  count: Number.isSafeInteger,
  protocol: (value) => value === "tcp" || value === "udp" || value === "icmp",
  address: (value) => typeof value === "string" && IpAddress.tryParse(value) !== undefined,
  port: (value) => value === null || (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65535),
  names: (value) => Array.isArray(value) && value.every((name) => typeof name === "string"),
  host: (value) =>
    value === null || (typeof value === "string" && IpAddress.tryParse(hostAddressOf(value)) !== undefined),
  by: (value) => value === "guest" || value === "host",
  reason: (value) => typeof value === "string" && Object.hasOwn(REFUSE_REASONS, value),
  via: (value) => value === "sni" || value === "host",
  name: (value) => typeof value === "string",
  ending: (value) => typeof value === "string",
  decision: (value) => value === "forwarded" || value === "refused" || value === "local",
};

function mayBeAsked(list: RuleList, name: string): boolean {
  return list.asks(name).decision !== "refuse";
}

function describeUse({ protocol, address, port, names, said }: Use): string {
  const name = said?.name ?? names[0],
    host = name ?? (address.includes(":") && port !== null ? `[${address}]` : address);
  const target = port === null ? host : `${host}:${port}`;
  return `${protocol} ${target}${name === undefined ? "" : ` (${address})`}`;
}

function byText(a: Difference, b: Difference): number {
  return a.what < b.what ? -1 : a.what > b.what ? 1 : 0;
}
