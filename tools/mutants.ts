/**
 * Small faults to put into a file, one at a time: what a test must notice.
 *
 * Three kinds: a comparison that is turned round or moved by one, `&&` for `||` and the reverse, and a statement that
 * is left out. A scanner finds them in code whose comments and texts are blanked out; it relies on the formatter, which
 * puts spaces around operators and ends statements with semicolons. A statement is left out if it is whole on one line
 * and its absence still parses: no declaration, no field of a class, no `return` of a value.
 *
 * @module
 */
import { blankComments } from "../tests/house/source.ts";

/** One fault in one file. */
export interface Mutant {
  /** The file's path from the root. */
  readonly path: string;
  /** The line, from 1. */
  readonly line: number;
  /** The line as it is, trimmed; from the second of equal lines on with its number among them. */
  readonly before: string;
  /** The line with the fault, trimmed; empty for a statement that is left out. */
  readonly after: string;
  /** The whole file with the fault. */
  readonly text: string;
}

const SWAPS: Readonly<Record<string, readonly string[]>> = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="],
  "&&": ["||"],
  "||": ["&&"],
};
const OPERATOR = /(?<=[^=\s] )(<=|>=|<|>|===|!==|&&|\|\|)(?=\s)/g;
/** Begins something whose absence would not parse, or would say nothing of the tests. */
const NO_STATEMENT =
  /^(import|export|const|let|var|type|interface|class|function|static|readonly|override|private|protected|abstract|case|default|break|throw|return \S|[})\].?:&|]|#?\w+(: [^=]+)? = .*(new|create)\b.*;$)/;

/** Every fault of these kinds in a file, in the order of its lines. */
export function mutantsOf(path: string, text: string): Mutant[] {
  const code = blankComments(text, { texts: false }), lines = text.split("\n"), mutants: Mutant[] = [];
  const seen = new Map<string, number>();
  let offset = 0;
  code.split("\n").forEach((codeLine, i) => {
    const line = lines[i]!, at = offset, equals = (seen.get(line.trim()) ?? 0) + 1;
    const before = equals === 1 ? line.trim() : `${line.trim()} [${equals}]`;
    seen.set(line.trim(), equals);
    const add = (changed: string) => {
      const whole = text.slice(0, at) + changed + text.slice(at + line.length);
      mutants.push({ path, line: i + 1, before, after: changed.trim(), text: whole });
    };
    for (const match of codeLine.matchAll(OPERATOR)) {
      for (const swap of SWAPS[match[0]]!) {
        add(line.slice(0, match.index) + swap + line.slice(match.index + match[0].length));
      }
    }
    if (isStatement(code, at, codeLine)) add("");
    offset += line.length + 1;
  });
  return mutants;
}

function isStatement(code: string, at: number, line: string): boolean {
  const trimmed = line.trim(), indent = line.length - line.trimStart().length;
  // Four spaces: within a method. At two there are fields of classes, and statements of functions.
  if (!trimmed.endsWith(";") || indent < 2 || NO_STATEMENT.test(trimmed)) return false;
  if (indent === 2 && /^#?\w+[?!]?(:| =|;)/.test(trimmed)) return false;
  // A member of a type; an `if` that has an `else`.
  if (/^#?\w+(\(.*\)|\?)?: [^=]+;$/.test(trimmed) || /^\n\s*else\b/.test(code.slice(at + line.length))) return false;
  if (count(trimmed, "([{") !== count(trimmed, ")]}")) return false;
  // What stands before it has ended, so it begins here; and it is no only statement of an `if` on the line before.
  const previous = code.slice(0, at).trimEnd().at(-1);
  return previous === ";" || previous === "{" || previous === "}";
}

function count(text: string, characters: string): number {
  return [...text].filter((character) => characters.includes(character)).length;
}

/** The same order for the same seed, whatever it is. */
export function shuffled<T>(values: readonly T[], seed: number): T[] {
  const out = [...values];
  let state = seed >>> 0;
  for (let i = out.length - 1; i > 0; i--) {
    // Mulberry32: a small generator of 32 bits.
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    const j = ((x ^ (x >>> 14)) >>> 0) % (i + 1);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** How a fault is named in the list of those that survive: without its line's number, which changes. */
export function keyOf({ path, before, after }: Mutant): string {
  return `${path}: ${before} -> ${after === "" ? "left out" : after}`;
}

/** The faults that the list explains: its lines of code. */
export function explanations(text: string): Set<string> {
  return new Set([...text.matchAll(/^ {4}(nat\/.*)$/gm)].map((match) => match[1]!));
}
