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
export const CHECK_ROWS = { ...RULE_ROWS, ...HELP_ROW } as const;

/** What `hawser check` was told. */
export interface CheckOptions {
  /** The rules that are asked. */
  readonly rules: RuleSettings;
  /** About what, at least one. */
  readonly targets: readonly RuleTarget[];
}

/** Reads the words after `hawser check`; `undefined`: help is asked for. Throws a `UsageError`. */
export function parseCheck(args: readonly string[]): CheckOptions | undefined {
  const program = "hawser check", { values, rest } = readOptions(program, CHECK_ROWS, args);
  if (values.help) return undefined;
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
  const { allow, deny } = values;
  return { rules: { options: { allow, deny }, files: rulesFiles(values) }, targets };
}
