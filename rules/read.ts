/**
 * Rules as options give them, made a list.
 *
 * @module
 */
import { DEFAULT_RULES, type Rule } from "../nat/rules/rule.ts";
import { RuleList } from "../nat/rules/rule_list.ts";
import { parseRule } from "./parse_rule.ts";

/** Among the texts of `deny`: leave out the default. */
export const DENY_NONE = "none";

/** What rules are read from. */
export interface RuleOptions {
  /** Where guests may go. */
  readonly allow?: readonly string[];
  /** Where they may not go; `none` among them leaves out the default. */
  readonly deny?: readonly string[];
}

/** A list that was read. */
export interface ReadRules {
  /** The list. */
  readonly list: RuleList;
  /** The SHA-256 of the normalised list, in hexadecimal digits: of the rules' lines, sorted, each once. */
  readonly digest: string;
  /** What a user should know, a line each. */
  readonly warnings: readonly string[];
}

/** Reads rules and checks them. Rejects with a `RuleError` for one that cannot be followed. */
export async function readRuleList(options: RuleOptions = {}): Promise<ReadRules> {
  const list = createRuleList(options);
  return { list, digest: await digestOf(list.rules), warnings: [] };
}

/** The list that these rules make. Throws a `RuleError` for one that cannot be followed. */
export function createRuleList({ allow = [], deny = [] }: RuleOptions = {}): RuleList {
  const own = deny.filter((text) => text !== DENY_NONE);
  return new RuleList([
    ...allow.map((text) => parseRule(text, { verdict: "allow", source: "--allow" })),
    ...own.map((text) => parseRule(text, { verdict: "deny", source: "--deny" })),
    ...(own.length === deny.length ? DEFAULT_RULES : []),
  ]);
}

async function digestOf(rules: readonly Rule[]): Promise<string> {
  const lines = [...new Set(rules.map(({ text }) => text))].toSorted();
  const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
