/**
 * Rules as options and files give them, made a list.
 *
 * @module
 */
import { DEFAULT_RULES, type Rule } from "../nat/rules/rule.ts";
import { RuleList } from "../nat/rules/rule_list.ts";
import { DENY_NONE, parseRule } from "./parse_rule.ts";
import { checkSuffixes } from "./public_suffix.ts";
import { RuleError } from "./rule_error.ts";
import { type RuleWarning, warningsOf } from "./rule_warning.ts";
import { parseRulesFile, type RulesFile } from "./rules_file.ts";

/** The value of the option `dns` with which there is no DNS. */
const NO_DNS = "none";
/** How the text of rules is called that has no name of its own. */
const UNNAMED = "rules";

/** What rules are read from. All of it adds up. */
export interface RuleOptions {
  /** Where guests may go: rules without "allow" in front. */
  readonly allow?: readonly string[];
  /** Where they may not go; `none` among them drops the default. */
  readonly deny?: readonly string[];
  /** Rules as a file has them: what is in it, with its name for errors and records if there is one. */
  readonly rules?: string | RulesFile | readonly (string | RulesFile)[];
  /** Where names are asked for, as `GatewayOptions.dns` has it: with `none` no rule can have a name. */
  readonly dns?: string;
}

/** A list that was read. */
export interface ReadRules {
  /** The list. */
  readonly list: RuleList;
  /** The SHA-256 of the normalised list, in hexadecimal digits: of the rules' lines, sorted, each once. */
  readonly digest: string;
  /** What a user should know. */
  readonly warnings: readonly RuleWarning[];
}

/** Reads rules and checks them. Rejects with a `RuleError` for one that cannot be followed. */
export async function readRuleList(options: RuleOptions = {}): Promise<ReadRules> {
  const list = createRuleList(options), suffixes = await checkSuffixes(list.rules);
  const warnings = [...suffixes, ...warningsOf(list, { hasDns: options.dns !== NO_DNS })];
  return { list, digest: await digestOf(list.rules), warnings };
}

/**
 * The list that these rules make, whose wildcards are not compared with public suffixes. Throws a `RuleError` for a
 * rule that cannot be followed.
 */
export function createRuleList({ allow = [], deny = [], rules = [], dns }: RuleOptions = {}): RuleList {
  const files = [rules].flat().map((file) =>
    parseRulesFile(typeof file === "string" ? { name: UNNAMED, text: file } : file)
  );
  const own = deny.filter((text) => text !== DENY_NONE);
  const keepsDefault = own.length === deny.length && !files.some(({ dropsDefault }) => dropsDefault);
  const list = new RuleList([
    ...allow.map((text) => parseRule(text, { verdict: "allow", source: "--allow" })),
    ...own.map((text) => parseRule(text, { verdict: "deny", source: "--deny" })),
    ...files.flatMap(({ rules }) => rules),
    ...(keepsDefault ? DEFAULT_RULES : []),
  ]);
  if (dns === NO_DNS) checkNoNames(list.rules);
  return list;
}

/** The SHA-256 of these rules, whatever their order and wherever they stand. */
export async function digestOf(rules: readonly Rule[]): Promise<string> {
  const lines = [...new Set(rules.map(({ text }) => text))].toSorted();
  const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function checkNoNames(rules: readonly Rule[]): void {
  // That no name may be asked for is true without DNS.
  const named = rules.find(({ text, host }) => host.kind !== "network" && text !== "deny dns:*");
  if (named === undefined) return;
  const problem = "without DNS no name leads anywhere: leave out --dns none, or write addresses";
  throw new RuleError(named.source, named.text.replace(/^\w+ /, ""), problem);
}
