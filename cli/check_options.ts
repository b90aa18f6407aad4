/**
 * The command line of `hawser check`.
 *
 * @module
 */
import { parseTarget, type RuleTarget } from "../rules/target.ts";
import { HELP_ROW, readOptions } from "./option_table.ts";
import { RULE_ROWS, type RuleSettings, rulesFiles } from "./rules_settings.ts";
import { UsageError } from "./usage_error.ts";

/** The options of `check`. */
export const CHECK_ROWS = {
  ...RULE_ROWS,
  "audit": {
    metavar: "LOG",
    help: "instead of TARGETs: what the rules would decide otherwise of what --audit has recorded; - is stdin",
    read: (text: string) => text,
  },
  ...HELP_ROW,
} as const;

/** What `hawser check` was told. */
export interface CheckOptions {
  /** The rules that are asked. */
  readonly rules: RuleSettings;
  /** About what; none if about a log. */
  readonly targets: readonly RuleTarget[];
  /** The file of records that is replayed, if one is. */
  readonly audit: string | undefined;
}

/** Reads the words after `hawser check`; `undefined`: help is asked for. Throws a `UsageError`. */
export function parseCheck(args: readonly string[]): CheckOptions | undefined {
  const program = "hawser check", { values, rest } = readOptions(program, CHECK_ROWS, args);
  if (values.help) return undefined;
  const { allow, deny, audit } = values, rules = { options: { allow, deny }, files: rulesFiles(values) };
  if (audit !== undefined) {
    if (rest.length === 0) return { rules, targets: [], audit };
    throw new UsageError(program, `unexpected ${rest[0]}, --audit LOG stands instead of TARGETs`);
  }
  if (rest.length === 0) {
    throw new UsageError(program, "missing TARGET, say what is to be reached, such as registry.example:443");
  }
  const targets = rest.map((text) => {
    // Only in front of all targets is it an option.
    if (text.startsWith("-")) throw new UsageError(program, `unexpected ${text}, options go before TARGET`);
    try {
      return parseTarget(text);
    } catch (error) {
      throw new UsageError(program, `bad TARGET ${text}: ${(error as Error).message}`);
    }
  });
  return { rules, targets, audit: undefined };
}
