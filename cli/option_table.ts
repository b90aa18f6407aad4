/**
 * The options of a command as a table: a row an option, which says how it is written, read and shown in help.
 *
 * Options end at `--` or at the first word that is none, so that whatever follows belongs to the command's own
 * arguments, `--` and options of another program included. A value is attached (`--mtu=1500`, `-m1500`, `-m=1500`) or
 * the next word, which must not look like an option (`-` alone does not). Of an option that is not repeatable the last
 * one counts.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { nearestWord, UsageError } from "./usage_error.ts";

/** An option that takes no value. */
export interface FlagRow {
  /** Its letter, without a dash. */
  readonly letter?: string;
  /** What it does, for help; a line break makes a second line. */
  readonly help: string;
}

/** An option with a value. */
export interface ValueRow<T = unknown> extends FlagRow {
  /** What stands for the value in help. */
  readonly metavar: string;
  /** Whether it may be given more than once, and all count. */
  readonly repeatable?: boolean;
  /** The default as help shows it. */
  readonly shown?: string;
  /** Reads the value. Throws an `Error` that says what would be right. */
  readonly read: (text: string) => T;
}

/** Rows by the option's name, without dashes. */
export type OptionTable = Readonly<Record<string, FlagRow | ValueRow>>;

/** What an option of this row is read to: a flag to whether it was given. */
export type OptionValue<R> = R extends ValueRow<infer T> ? R extends { readonly repeatable: true } ? readonly T[]
  : T | undefined
  : boolean;

/** What a table's options are read to, by name. */
export type OptionValues<Table extends OptionTable> = { readonly [Name in keyof Table]: OptionValue<Table[Name]> };

/** The row that every command has. */
export const HELP_ROW = { help: { letter: "h", help: "this text" } } as const;

/**
 * Reads the options at the head of `args`; `rest` is what follows them. Throws a `UsageError` in the name of `program`.
 */
export function readOptions<Table extends OptionTable>(
  program: string,
  table: Table,
  args: readonly string[],
): { values: OptionValues<Table>; rest: readonly string[] } {
  const { options, rest } = splitOptions(program, table, args);
  const valued = Object.keys(table).filter((name) => isValueRow(table[name]!));
  const flags = Object.keys(table).filter((name) => !valued.includes(name));
  // Spelt with "no-" they are names like any other here: nothing is negated.
  // The names are known to the table and not to the compiler, so what upstream would say of each key's type is no help.
  const parsed: Record<string, unknown> = parseArgs(options, { boolean: flags, string: valued, collect: valued });
  const values = Object.fromEntries(
    Object.entries(table).map(([name, row]) => {
      if (!isValueRow(row)) return [name, parsed[name] === true];
      const texts = parsed[name] as string[] | undefined ?? [];
      const read = texts.map((text) => readValue(program, name, { text, read: row.read }));
      return [name, row.repeatable ? read : read.at(-1)];
    }),
  );
  return { values: values as OptionValues<Table>, rest };
}

/** The table as lines of help. */
export function optionHelp(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, row]) => {
    const letter = row.letter === undefined ? "    " : `-${row.letter}, `;
    const left = `  ${letter}--${name}${isValueRow(row) ? ` ${row.metavar}` : ""}`;
    const shown = isValueRow(row) && row.shown !== undefined ? ` [${row.shown}]` : "";
    return { left, lines: `${row.help}${shown}`.split("\n").map((line) => line.trim()) };
  });
  const width = Math.max(...rows.map(({ left }) => left.length)) + 2;
  return rows.flatMap(({ left, lines }) => lines.map((line, i) => (i === 0 ? left : "").padEnd(width) + line)).join(
    "\n",
  );
}

/**
 * The options at the head of `args` in the one form `--name=value`, which leaves `parseArgs` no choice to make, and
 * what follows them.
 */
function splitOptions(
  program: string,
  table: OptionTable,
  args: readonly string[],
): { options: string[]; rest: readonly string[] } {
  const options: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    if (word === "--") return { options, rest: args.slice(i + 1) };
    if (!word.startsWith("-") || word === "-") return { options, rest: args.slice(i) };
    const { name, spelling, attached } = nameOption(program, table, word);
    if (!isValueRow(table[name]!)) {
      if (attached !== undefined) {
        throw new UsageError(program, `${spelling} takes no value, leave out ${word.slice(spelling.length)}`);
      }
      options.push(`--${name}`);
      continue;
    }
    const value = attached ?? args[++i];
    if (value === undefined || value === "" || (attached === undefined && value.startsWith("-") && value !== "-")) {
      throw new UsageError(program, `${spelling} needs a value, see ${program} --help`);
    }
    options.push(`--${name}=${value}`);
  }
  return { options, rest: [] };
}

function isValueRow(row: FlagRow | ValueRow): row is ValueRow {
  return "read" in row;
}

function readValue(program: string, name: string, value: { text: string; read: (text: string) => unknown }): unknown {
  try {
    return value.read(value.text);
  } catch (error) {
    throw new UsageError(program, `bad --${name} ${value.text}: ${error instanceof Error ? error.message : error}`);
  }
}

/** Which option a word is: `--mtu`, `--mtu=1500`, `-m`, `-m1500` or `-m=1500`. */
function nameOption(
  program: string,
  table: OptionTable,
  word: string,
): { name: string; spelling: string; attached: string | undefined } {
  if (!word.startsWith("--")) {
    const [name, row] = Object.entries(table).find(([, { letter }]) => letter === word[1]) ?? [];
    if (name === undefined || row === undefined || (!isValueRow(row) && word.length > 2)) {
      throw unknownOption(program, table, word);
    }
    return {
      name,
      spelling: word.slice(0, 2),
      attached: word.length > 2 ? word.slice(2).replace(/^=/, "") : undefined,
    };
  }
  const equals = word.indexOf("="), name = word.slice(2, equals < 0 ? undefined : equals);
  if (!Object.hasOwn(table, name)) throw unknownOption(program, table, equals < 0 ? word : word.slice(0, equals));
  return { name, spelling: `--${name}`, attached: equals < 0 ? undefined : word.slice(equals + 1) };
}

function unknownOption(program: string, table: OptionTable, spelling: string): UsageError {
  const near = spelling.startsWith("--")
    ? nearestWord(spelling, Object.keys(table).map((name) => `--${name}`))
    : undefined;
  return new UsageError(
    program,
    `unknown option ${spelling}, ${near ? `did you mean ${near}?` : `see ${program} --help`}`,
  );
}
