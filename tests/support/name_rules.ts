/**
 * Rules about names, and names of addresses, for tests.
 *
 * @module
 */
import type { GuestBindings } from "../../nat/rules/bindings.ts";
import { DEFAULT_RULES, type Rule, type RuleProtocol } from "../../nat/rules/rule.ts";
import { RuleList } from "../../nat/rules/rule_list.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { createRuleList } from "../../rules/read.ts";

/** What a rule about a name says beside it. */
export interface NameRuleFields {
  /** The one protocol that it is about. Default null. */
  protocol?: RuleProtocol;
  /** Its port. Default all. */
  port?: number;
  /** Whether the stream is not looked at. Default false. */
  unverified?: boolean;
}

/** A rule about `name`, or about all below the rest of `*.name`. */
export function nameRule(
  verdict: Rule["verdict"],
  name: string,
  { protocol, port, unverified = false }: NameRuleFields = {},
): Rule {
  const host = name.startsWith("*.")
    ? { kind: "wildcard", suffix: name.slice(2) } as const
    : { kind: "name", name } as const;
  const ports = port === undefined ? [] : [{ low: port, high: port }];
  const about = `${protocol === undefined ? "" : `${protocol}:`}${name}${port === undefined ? "" : `:${port}`}`;
  const text = `${verdict} ${about}${unverified ? " unverified" : ""}`;
  return { verdict, protocol: protocol ?? null, host, ports, unverified, text, source: "rules.txt:1" };
}

/** A list of these rules; texts are allows of addresses. The default deny is in it. */
export function listOf(...rules: readonly (Rule | string)[]): RuleList {
  const parsed = rules.flatMap((rule) =>
    typeof rule === "string" ? createRuleList({ allow: [rule], deny: ["none"] }).rules : [rule]
  );
  return new RuleList([...parsed, ...DEFAULT_RULES]);
}

/** A list that allows these names. */
export function allow(...names: string[]): RuleList {
  return listOf(...names.map((name) => nameRule("allow", name)));
}

/** A list that denies these names. */
export function deny(...names: string[]): RuleList {
  return listOf(...names.map((name) => nameRule("deny", name)));
}

/** Has an answer bind `address` to `name` for an hour. */
export function bind(bindings: GuestBindings, address: string, name: string, now: number): void {
  bindings.bind(IpAddress.parse(address), name, 3600, now);
}
