/**
 * Rules on the command line: `--allow`, `--deny`, `--rules FILE`, and `HAWSER_RULES` in the environment.
 *
 * A rule on the command line is read with the option. Files are read when a command begins, together with what takes
 * time, such as the list of public suffixes: a file that cannot be read is a failure, a rule that cannot be followed a
 * usage error wherever it stands.
 *
 * @module
 */
import { DEFAULT_DENY } from "../nat/rules/rule.ts";
import { DENY_NONE, parseRule } from "../rules/parse_rule.ts";
import { readRuleList, type ReadRules, type RuleOptions } from "../rules/read.ts";
import { printable, RuleError } from "../rules/rule_error.ts";
import type { RulesFile } from "../rules/rules_file.ts";
import type { OptionValues } from "./option_table.ts";
import { UsageError } from "./usage_error.ts";
import { checkedBy, fromEnvironment } from "./values.ts";

/** The variable that is the default of `--rules`. */
export const RULES_VARIABLE = "HAWSER_RULES";

/** The rows of these options. */
export const RULE_ROWS = {
  "allow": {
    metavar: "RULE",
    help: "guests reach this and nothing else: registry.example:443, *.example.com, 192.0.2.0/24:80,8000-8099,\n" +
      "udp:time.example:123, dns:NAME (may be asked for); *.example.com is not example.com itself; repeatable",
    repeatable: true,
    read: checkedBy((text) => checkRule("allow", text)),
  },
  "deny": {
    metavar: "RULE|none",
    help: "guests do not reach this; none: drop the default; the most specific rule counts, deny if two\n" +
      "are equal; repeatable",
    repeatable: true,
    shown: DEFAULT_DENY.join(", "),
    read: checkedBy((text) => checkRule("deny", text)),
  },
  "rules": {
    metavar: "FILE",
    help: 'rules of a file too, "allow RULE" or "deny RULE" a line, # begins a comment; repeatable',
    repeatable: true,
    shown: `$${RULES_VARIABLE}`,
    read: readPath,
  },
} as const;

/** Where a command's rules stand. */
export interface RuleSettings {
  /** Those of options. */
  readonly options: Pick<RuleOptions, "allow" | "deny" | "dns">;
  /** Files with further ones. */
  readonly files: readonly string[];
}

/** The files of rules that these values name, or the environment if they name none. */
export function rulesFiles(values: Pick<OptionValues<typeof RULE_ROWS>, "rules">): readonly string[] {
  if (values.rules.length > 0) return values.rules;
  const file = fromEnvironment(RULES_VARIABLE);
  return file === undefined ? [] : [file];
}

/**
 * Reads files and checks all rules. Throws a `UsageError` for a rule that cannot be followed, and an `Error` for a file
 * that cannot be read.
 */
export async function readRules(
  program: string,
  { options, files: paths }: RuleSettings,
): Promise<ReadRules & { readonly files: readonly RulesFile[] }> {
  const files = paths.map((path) => ({ name: path, text: readRulesFile(path) }));
  try {
    return { ...await readRuleList({ ...options, rules: files }), files };
  } catch (error) {
    throw error instanceof RuleError ? asUsageError(program, error) : error;
  }
}

/** The text of a file of rules. Throws an `Error` that says why it cannot be read. */
function readRulesFile(path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path));
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Deno.errors.PermissionDenied
      ? "you may not read it"
      : error instanceof Deno.errors.NotCapable
      ? "Deno may not read it (--allow-read), and no path below /dev or /proc, give a file"
      : error instanceof Deno.errors.IsADirectory
      ? "it is a directory"
      : error instanceof TypeError
      ? "it is not UTF-8"
      : (error as Error).message;
    throw new Error(`cannot read the rules ${path}: ${why}`);
  }
}

function asUsageError(program: string, { source, text, problem }: RuleError): UsageError {
  const what = source.startsWith("--") ? `bad ${source} ${text}` : `${source}: bad rule "${printable(text)}"`;
  return new UsageError(program, `${what}: ${problem}`);
}

/** Throws an `Error` whose message says what is wrong with a rule and what would be right. */
function checkRule(verdict: "allow" | "deny", text: string): void {
  if (verdict === "deny" && text === DENY_NONE) return;
  try {
    parseRule(text, { verdict, source: `--${verdict}` });
  } catch (error) {
    throw error instanceof RuleError ? new TypeError(error.problem) : error;
  }
}

function readPath(text: string): string {
  if (text === "-") throw new TypeError("it is the name of a file, standard input is the command's");
  return text;
}
