// Types of `parseArgs` for the options in use; `npm:deno-std` carries none. As upstream does, they derive the type of
// each key from the options, so what compiles here compiles there. Names with a dot, which upstream nests, are left
// out; tests/house/std_test.ts holds both against the same cases.

/** What `parseArgs` is told: names of options, which `B`, `S` and `C` are. */
export interface ParseOptions<B extends string = string, S extends string = string, C extends string = string> {
  /** Options without a value. */
  boolean?: B | readonly B[];
  /** Options with a value. */
  string?: S | readonly S[];
  /** Options that may come more than once. */
  collect?: C | readonly C[];
  /** Whether the first word that is no option ends them. */
  stopEarly?: boolean;
}

/** The keys of options. A flag always has a value, and what is collected is always an array. */
type Values<B extends string, S extends string, C extends string> =
  & { [Name in Exclude<B, C>]: boolean }
  & { [Name in Extract<B, C>]: boolean[] }
  & { [Name in Exclude<S, C>]?: string }
  & { [Name in Extract<S, C>]: string[] }
  & { [Name in Exclude<C, B | S>]: unknown[] };

/** The options by name, and the other words in `_`. */
export type Args<T> = T & {
  /** The words that are no option. */
  _: (string | number)[];
};

/** Parses command line words. */
export function parseArgs<B extends string = never, S extends string = never, C extends string = never>(
  args: readonly string[],
  options?: ParseOptions<B, S, C>,
  // deno-lint-ignore no-explicit-any
): Args<[B | S | C] extends [never] ? Record<string, any> : Record<string, unknown> & Values<B, S, C>>;
