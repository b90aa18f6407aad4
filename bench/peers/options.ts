/**
 * The command line of `deno task bench:peers`.
 *
 * @module
 */
import { METRICS } from "./report.ts";
import { type StackName, STACKS } from "./stacks.ts";

/** What to run. */
export interface Options {
  /** The stacks, in order. */
  stacks: readonly StackName[];
  /** Whether some were left out on purpose. */
  isPartial: boolean;
  /** Rounds. */
  rounds: number;
  /** A minute instead of ten. */
  quick: boolean;
  /** The metrics; all where undefined. */
  metrics: ReadonlySet<string> | undefined;
}

/** Reads the words. Throws a `TypeError` that says what would be right. */
export function parseOptions(words: readonly string[]): Options {
  const options: Options = { stacks: STACKS, isPartial: false, rounds: 3, quick: false, metrics: undefined };
  let rounds: number | undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "--quick") {
      options.quick = true;
      continue;
    }
    if (!["--only", "--rounds", "--metrics"].includes(word)) {
      throw new TypeError(`Unknown option ${word}: there are --only, --quick, --rounds and --metrics`);
    }
    const value = words[++i];
    if (value === undefined) throw new TypeError(`${word} needs a value`);
    if (word === "--rounds") {
      rounds = Number(value);
      if (!/^[1-9]\d?$/.test(value)) throw new TypeError(`--rounds takes 1 to 99, not ${value}`);
    } else if (word === "--only") {
      options.stacks = listOf(word, value, STACKS);
      options.isPartial = true;
    } else {
      options.metrics = new Set(listOf(word, value, METRICS));
    }
  }
  options.rounds = rounds ?? (options.quick ? 1 : 3);
  return options;
}

function listOf<T extends string>(option: string, value: string, known: readonly T[]): T[] {
  return value.split(",").map((name) => {
    const found = known.find((one) => one === name);
    if (found === undefined) throw new TypeError(`${option} takes ${known.join(", ")}, not ${name}`);
    return found;
  });
}
