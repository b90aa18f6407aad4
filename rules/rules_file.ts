/**
 * A file of rules: one a line, `allow RULE` or `deny RULE`. `#` begins a comment, empty lines say nothing, and
 * `deny none` drops the default.
 *
 * @module
 */
import type { Rule } from "../nat/rules/rule.ts";
import { DENY_NONE, parseRule } from "./parse_rule.ts";
import { RuleError } from "./rule_error.ts";

/** A file of rules, which whoever gives it has read. */
export interface RulesFile {
  /** How errors and records name it; a line's number follows. */
  readonly name: string;
  /** What is in it. */
  readonly text: string;
}

/** What a file of rules says. */
export interface RulesOfFile {
  /** Its rules, in order. */
  readonly rules: readonly Rule[];
  /** Whether it drops the default deny. */
  readonly dropsDefault: boolean;
}

/** Reads a file of rules. Throws a `RuleError` that names the line. */
export function parseRulesFile({ name, text }: RulesFile): RulesOfFile {
  const rules: Rule[] = [];
  let dropsDefault = false;
  // A byte order mark is what some editors put in front.
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  for (const [i, line] of lines.entries()) {
    const said = line.replace(/#.*/s, "").trim();
    if (said === "") continue;
    const source = `${name}:${i + 1}`, [verdict, ...words] = said.split(/\s+/), rule = words.join(" ");
    if (verdict !== "allow" && verdict !== "deny") throw new RuleError(source, said, verdictProblem(said));
    if (rule === "") {
      throw new RuleError(source, said, `"${verdict}" of what? A line is such as "${verdict} registry.example:443"`);
    }
    if (verdict === "deny" && rule === DENY_NONE) dropsDefault = true;
    else rules.push(parseRule(rule, { verdict, source }));
  }
  return { rules, dropsDefault };
}

function verdictProblem(said: string): string {
  const [word = "", ...rest] = said.split(/\s+/), meant = /^-*(allow|deny)[:=]?$/i.exec(word)?.[1]?.toLowerCase();
  const right = meant === undefined ? `allow ${said}` : `${meant} ${rest.join(" ")}`.trim();
  return `a line begins with "allow" or "deny", write "${right}"`;
}
