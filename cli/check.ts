/**
 * `hawser check`: what rules say of targets, or of what an audit has recorded. It asks no DNS and connects to nothing.
 *
 * @module
 */
import { describeDifference, differencesOf, readRecords } from "../audit/replay.ts";
import { UsageReader } from "../audit/usage.ts";
import type { RuleList } from "../nat/rules/rule_list.ts";
import { explain } from "../rules/explain.ts";
import type { CheckOptions } from "./check_options.ts";
import { stderrLogger } from "./log.ts";
import { readRules } from "./rules_settings.ts";
import { UsageError } from "./usage_error.ts";

/** Exit code if a target is refused, or something is decided otherwise than was recorded. */
const REFUSED = 1;
const CHUNK = 65536;
/** What stands for standard input. */
const STDIN = "-";

/**
 * Prints a line a target, or a difference. Resolves to the exit code: 0 if all are allowed, or nothing differs. Throws
 * a `UsageError` for rules that cannot be followed, and for rules or records that cannot be read.
 */
export async function check({ rules, targets, audit }: CheckOptions): Promise<number> {
  const program = "hawser check";
  const { list, warnings } = await readRules(program, rules).catch((error) => {
    // The other exit codes are answers.
    throw error instanceof UsageError ? error : new UsageError(program, (error as Error).message);
  });
  for (const { message } of warnings) stderrLogger("warn").warn(`Rules: ${message}`);
  if (audit !== undefined) return replay(program, list, audit);
  const answers = targets.map((target) => explain(list, target));
  console.log(answers.map(({ words }) => words).join("\n"));
  return answers.every(({ allowed }) => allowed) ? 0 : REFUSED;
}

function replay(program: string, list: RuleList, path: string): number {
  const usage = new UsageReader(), source = path === STDIN ? "standard input" : path;
  try {
    for (const record of readRecords(linesOf(path), source)) usage.take(record);
  } catch (error) {
    const message = (error as Error).message;
    throw new UsageError(program, error instanceof SyntaxError ? message : `cannot read ${source}: ${message}`);
  }
  usage.finish();
  const { asked, differences } = differencesOf(list, usage);
  for (const difference of differences) console.log(describeDifference(difference));
  if (usage.left > 0) {
    stderrLogger("warn").warn(`Not compared, there was too much of it: ${usage.left} flows and names`);
  }
  const otherwise = differences.reduce((sum, { count }) => sum + count, 0);
  console.log(`${otherwise} of ${asked} decisions would be otherwise`);
  return differences.length === 0 ? 0 : REFUSED;
}

/** The lines of a file, however large it is. */
function* linesOf(path: string): Generator<string> {
  using file = path === STDIN ? undefined : Deno.openSync(path);
  const input = file ?? Deno.stdin, bytes = new Uint8Array(CHUNK), decoder = new TextDecoder();
  let rest = "";
  for (let count; (count = input.readSync(bytes)) !== null;) {
    const lines = (rest + decoder.decode(bytes.subarray(0, count), { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}
