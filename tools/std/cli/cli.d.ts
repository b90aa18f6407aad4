// Types of `parseArgs` as far as it is used; `npm:deno-std` carries none. Upstream derives the type of each key from
// the
// options; here every key is `unknown` to the compiler, so code that checks against this checks against upstream too.

/** What `parseArgs` is told. */
export interface ParseOptions {
  /** Options without a value. */
  boolean?: readonly string[];
  /** Options with a value. */
  string?: readonly string[];
  /** Options that may come more than once. */
  collect?: readonly string[];
  /** Other spellings of an option. */
  alias?: Record<string, string | readonly string[]>;
  /** Whether the first word that is no option ends them. */
  stopEarly?: boolean;
  /** Called for each unknown option; answering `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The options by name, and the other words in `_`. */
export interface Args {
  [name: string]: unknown;
  /** The words that are no option. */
  _: (string | number)[];
}

/** Parses command line words. */
export function parseArgs(args: readonly string[], options?: ParseOptions): Args;
