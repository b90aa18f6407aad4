/**
 * `hawser check`: what rules say of targets. It asks no DNS and connects to nothing.
 *
 * @module
 */
import { explain } from "../rules/explain.ts";
import type { CheckOptions } from "./check_options.ts";
import { stderrLogger } from "./log.ts";
import { readRules } from "./rules_settings.ts";
import { UsageError } from "./usage_error.ts";

/** Exit code if a target is refused. */
const REFUSED = 1;

/**
 * Prints a line a target. Resolves to the exit code: 0 if all are allowed. Throws a `UsageError` for rules that cannot
 * be followed or read.
 */
export async function check({ rules, targets }: CheckOptions): Promise<number> {
  const program = "hawser check";
  const { list, warnings } = await readRules(program, rules).catch((error) => {
    // The other exit codes are answers.
    throw error instanceof UsageError ? error : new UsageError(program, (error as Error).message);
  });
  for (const { message } of warnings) stderrLogger("warn").warn(`Rules: ${message}`);
  const answers = targets.map((target) => explain(list, target));
  console.log(answers.map(({ words }) => words).join("\n"));
  return answers.every(({ allowed }) => allowed) ? 0 : REFUSED;
}
