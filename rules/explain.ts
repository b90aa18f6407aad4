/**
 * What rules say of a target, in words.
 *
 * Nothing is asked of anybody: a name is weighed by the rules about names, an address by those about addresses. Where a
 * name leads to, what the gateway's address and maps stand for, and what a stream says of itself, shows only later.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import { familyOf, findReserved } from "../nat/rules/policy.ts";
import { DEFAULT_SOURCE, type FlowProtocol, type PortRange, type Rule } from "../nat/rules/rule.ts";
import type { RuleList } from "../nat/rules/rule_list.ts";
import type { RuleTarget } from "./target.ts";

const LEAST_PORT = 1;
const MOST_PORT = 65535;
/** How many rules are named of a target without a port. */
const MOST_NAMED = 4;

/** What rules say of a target. */
export interface Explanation {
  /** Whether it is allowed; of a target without a port: whether some port is. */
  readonly allowed: boolean;
  /** The rule that decides, of several the first; null: none matches. */
  readonly rule: Rule | null;
  /** All of it as a line: `registry.example:443: allowed by "allow registry.example" (rules.txt:3)`. */
  readonly words: string;
}

/** What is decided at some ports. */
interface Decision {
  readonly allowed: boolean;
  readonly rule: Rule | null;
  readonly ports: readonly PortRange[];
}

/** What `list` says of `target`. */
export function explain(list: RuleList, target: RuleTarget): Explanation {
  const { text, host, protocol } = target;
  if (protocol === "dns") return explainQuestion(list, target);
  if (host instanceof IpAddress) {
    const reserved = findReserved(familyOf(host), host);
    // A guest's loopback is its own, but rules about the host's are written with it.
    if (reserved !== undefined && !reserved.loopback) {
      const words = `${text}: refused, ${reserved.rule} (${reserved.what}) is never relayed`;
      return { allowed: false, rule: null, words };
    }
  }
  const decisions = decisionsOf(list, { ...target, protocol });
  const allowing = decisions.filter(({ allowed }) => allowed), allowed = allowing.length > 0;
  const said = allowed ? allowing : decisions, isWhole = decisions.length === 1;
  const parts = said.slice(0, MOST_NAMED).map((decision) =>
    (isWhole ? "" : `at ${formatPorts(decision.ports)} `) + reasonOf(list, target, decision)
  );
  const more = said.length > MOST_NAMED ? `, and ${said.length - MOST_NAMED} rules more` : "";
  const words = `${text}: ${allowed ? "allowed" : "refused"} ${parts.join(", ")}${more}`;
  return { allowed, rule: said[0]!.rule, words };
}

/** How a rule is named to people: by its line and where it stands. */
function nameRule({ text, source }: Rule): string {
  if (source === DEFAULT_SOURCE) return `the default "${text}"`;
  return source.startsWith("--") ? `${source} ${text.replace(/^\w+ /, "")}` : `"${text}" (${source})`;
}

function explainQuestion(list: RuleList, { host, text }: RuleTarget): Explanation {
  const { decision, rule } = list.asks(`${host}`), allowed = decision === "forward";
  const by = rule === null ? "" : ` by ${nameRule(rule)}`;
  const words = {
    forward: rule === null ? "allowed, no rule keeps names from being asked for" : `allowed${by}`,
    refuse: rule === null ? `refused, no allow rule has it; --allow dns:${host} would` : `refused${by}`,
    ancestor: "refused, it is answered that it has no records: names below it are allowed",
  };
  return { allowed, rule, words: `${text}: ${words[decision]}` };
}

/** What is decided of a flow, by rule, in the order of the first port. */
function decisionsOf(list: RuleList, { host, port, protocol }: RuleTarget & { protocol: FlowProtocol }): Decision[] {
  const decide = (port: number) =>
    host instanceof IpAddress ? list.address(protocol, host, host, port) : list.name(protocol, host, port);
  const found = new Map<Rule | null, PortRange[]>();
  for (const range of port === null ? rangesOf(list, protocol) : [{ low: port, high: port }]) {
    const rule = decide(range.low), ranges = found.get(rule) ?? [], last = ranges.at(-1);
    if (last?.high === range.low - 1) ranges[ranges.length - 1] = { low: last.low, high: range.high };
    else ranges.push(range);
    found.set(rule, ranges);
  }
  return [...found].map(([rule, ports]) => {
    return { rule, ports, allowed: rule === null ? !list.isAllowList : rule.verdict === "allow" };
  });
}

/** All ports, cut where the ports of any rule begin or end. */
function rangesOf({ rules }: RuleList, protocol: FlowProtocol): PortRange[] {
  if (protocol === "icmp") return [{ low: 0, high: 0 }];
  const cuts = new Set([LEAST_PORT, MOST_PORT + 1]);
  for (const { ports } of rules) for (const { low, high } of ports) cuts.add(low).add(high + 1);
  const sorted = [...cuts].toSorted((a, b) => a - b);
  return sorted.slice(1).map((next, i) => ({ low: sorted[i]!, high: next - 1 }));
}

function reasonOf(list: RuleList, target: RuleTarget, { allowed, rule }: Decision): string {
  if (rule !== null) return `by ${nameRule(rule)}`;
  if (allowed) return "because no rule is about it";
  const { host, protocol, port } = target, isName = !(host instanceof IpAddress);
  const some = isName && list.rules.some(({ host, verdict }) => host.kind === "network" && verdict === "allow");
  const unless = some ? ", unless it leads to an address that is allowed" : "";
  const led = !isName && list.namesDecide ? ", unless an allowed name leads to it" : "";
  return `because no allow rule matches${unless}${led}; --allow ${remedyFor({ host, protocol, port })} would`;
}

/** The rule that would allow a target. */
function remedyFor({ host, protocol, port }: Omit<RuleTarget, "text">): string {
  const spec = host instanceof IpAddress ? `${host}` : host, isIpv6 = host instanceof IpAddress && !host.isIpv4;
  const prefix = protocol === "tcp" ? "" : `${protocol}:`;
  return `${prefix}${port === null ? spec : isIpv6 ? `[${spec}]:${port}` : `${spec}:${port}`}`;
}

function formatPorts(ports: readonly PortRange[]): string {
  const few = ports.slice(0, MOST_NAMED).map(({ low, high }) => low === high ? `${low}` : `${low}-${high}`);
  return few.join(",") + (ports.length > MOST_NAMED ? ",…" : "");
}
