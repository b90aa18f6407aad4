/**
 * Command lines as getopt_long(3) reads them, for programs that Hawser stands in for.
 *
 * Options and operands may stand in any order, up to `--`, unless a program wants them to end at its first operand,
 * which is a command with options of its own. A letter may have its value attached (`-m1500`), letters may stand
 * together (`-ce3`), and a long name may be cut short where it stays unambiguous. `option_table.ts` has the rules of
 * Hawser's own commands, which stop at the first operand; rows are the same.
 *
 * @module
 */
import type { FlagRow, OptionTable, OptionValues, ValueRow } from "./option_table.ts";
import { UsageError } from "./usage_error.ts";

/**
 * Reads a command line in the name of `program`; with `endAtOperand` options end at the first operand. Throws a
 * `UsageError` that is worded as the C library does it.
 */
export function getopt<Table extends OptionTable>(
  program: string,
  table: Table,
  args: readonly string[],
  { endAtOperand = false }: { readonly endAtOperand?: boolean } = {},
): { values: OptionValues<Table>; operands: readonly string[] } {
  const reader = new Reader(program, table);
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    const isOperand = !word.startsWith("-") || word === "-";
    if (word === "--" || (isOperand && endAtOperand)) {
      reader.operands.push(...args.slice(isOperand ? i : i + 1));
      break;
    }
    if (isOperand) reader.operands.push(word);
    else if (word.startsWith("--") ? reader.long(word.slice(2), args[i + 1]) : reader.letters(word, args[i + 1])) i++;
  }
  return { values: reader.values() as OptionValues<Table>, operands: reader.operands };
}

class Reader {
  readonly operands: string[] = [];
  readonly #program: string;
  readonly #table: OptionTable;
  readonly #given = new Map<string, unknown[]>();

  constructor(program: string, table: OptionTable) {
    this.#program = program;
    this.#table = table;
  }

  /** Takes `name[=value]`; returns whether `next` was its value. */
  long(word: string, next: string | undefined): boolean {
    const equals = word.indexOf("="), name = equals < 0 ? word : word.slice(0, equals);
    const found = this.#find(name), row = this.#table[found]!;
    if (!isValueRow(row)) {
      if (equals >= 0) this.#fail(`option '--${found}' doesn't allow an argument`);
      this.#take(found, true);
      return false;
    }
    const value = equals < 0 ? next : word.slice(equals + 1);
    if (value === undefined) this.#fail(`option '--${found}' requires an argument`);
    this.#take(found, this.#read(found, row, value));
    return equals < 0;
  }

  /** Takes `-abc`; returns whether `next` was the value of the last. */
  letters(word: string, next: string | undefined): boolean {
    for (let at = 1; at < word.length; at++) {
      const letter = word[at]!;
      const [name, row] = Object.entries(this.#table).find(([, row]) => row.letter === letter) ??
        this.#fail(`invalid option -- '${letter}'`);
      if (!isValueRow(row)) {
        this.#take(name, true);
        continue;
      }
      const attached = word.slice(at + 1), value = attached === "" ? next : attached;
      if (value === undefined) this.#fail(`option requires an argument -- '${letter}'`);
      this.#take(name, this.#read(name, row, value));
      return attached === "";
    }
    return false;
  }

  values(): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(this.#table).map(([name, row]) => {
        const given = this.#given.get(name) ?? [];
        return [name, isValueRow(row) ? row.repeatable ? given : given.at(-1) : given.length > 0];
      }),
    );
  }

  #find(name: string): string {
    if (Object.hasOwn(this.#table, name)) return name;
    const near = Object.keys(this.#table).filter((full) => name !== "" && full.startsWith(name));
    if (near.length === 1) return near[0]!;
    if (near.length === 0) this.#fail(`unrecognized option '--${name}'`);
    this.#fail(`option '--${name}' is ambiguous; possibilities: ${near.map((full) => `'--${full}'`).join(" ")}`);
  }

  #read(name: string, row: ValueRow, text: string): unknown {
    try {
      return row.read(text);
    } catch (error) {
      this.#fail(`bad --${name} ${text}: ${error instanceof Error ? error.message : error}`);
    }
  }

  #take(name: string, value: unknown): void {
    this.#given.set(name, [...this.#given.get(name) ?? [], value]);
  }

  #fail(message: string): never {
    throw new UsageError(this.#program, message);
  }
}

function isValueRow(row: FlagRow | ValueRow): row is ValueRow {
  return "read" in row;
}

/** A table without some of its rows. */
export function without<T extends object, K extends keyof T>(rows: T, names: readonly K[]): Omit<T, K> {
  return Object.fromEntries(Object.entries(rows).filter(([name]) => !names.includes(name as K))) as Omit<T, K>;
}

/** A table whose rows have no letters, where the program that is stood in for has other ones. */
export function withoutLetters<T extends object>(rows: T): T {
  return Object.fromEntries(Object.entries(rows).map(([name, { letter: _, ...row }]) => [name, row])) as T;
}
