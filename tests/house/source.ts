/**
 * Reading TypeScript just far enough for the house rules: what a file imports, and its code without comments and texts.
 *
 * A scanner over characters tells code, comments, strings, templates and regular expressions apart. It is no parser: a
 * slash begins a regular expression where an operand is expected, which the formatted code of this repository makes
 * plain.
 *
 * @module
 */

/** A file of the repository. */
export interface SourceFile {
  /** Path from the root of the repository, with `/`. */
  readonly path: string;
  /** What is in it. */
  readonly text: string;
}

/** The text with comments blanked out, and with `texts: false` also the insides of strings and regular expressions. */
export function blankComments(text: string, options: { texts: boolean }): string {
  const out = [...text];
  const blank = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
  };
  /** Depth of braces at which each open template literal goes on. */
  const templates: number[] = [];
  let depth = 0, i = 0;
  const chars = out.slice();
  const skipTemplate = (from: number): number => {
    let j = from;
    while (j < chars.length && chars[j] !== "`") {
      if (chars[j] === "$" && chars[j + 1] === "{") {
        templates.push(depth++);
        if (!options.texts) blank(from, j);
        return j + 2;
      }
      j += chars[j] === "\\" ? 2 : 1;
    }
    if (!options.texts) blank(from, j);
    return j + 1;
  };
  while (i < chars.length) {
    const c = chars[i]!;
    if (c === "/" && chars[i + 1] === "/") {
      const end = indexOf(chars, "\n", i);
      blank(i, end);
      i = end;
    } else if (c === "/" && chars[i + 1] === "*") {
      let end = i + 2;
      while (end < chars.length && !(chars[end] === "*" && chars[end + 1] === "/")) end++;
      blank(i, end + 2);
      i = end + 2;
    } else if (c === '"' || c === "'") {
      let end = i + 1;
      while (end < chars.length && chars[end] !== c && chars[end] !== "\n") end += chars[end] === "\\" ? 2 : 1;
      if (!options.texts) blank(i + 1, end);
      i = end + 1;
    } else if (c === "`") {
      i = skipTemplate(i + 1);
    } else if (c === "/" && operandExpected(chars, i)) {
      let end = i + 1, inClass = false;
      while (end < chars.length && chars[end] !== "\n" && (inClass || chars[end] !== "/")) {
        if (chars[end] === "[") inClass = true;
        else if (chars[end] === "]") inClass = false;
        end += chars[end] === "\\" ? 2 : 1;
      }
      if (!options.texts) blank(i + 1, end);
      i = end + 1;
    } else if (c === "{") {
      depth++;
      i++;
    } else if (c === "}") {
      depth--;
      i++;
      if (templates.at(-1) === depth) {
        templates.pop();
        i = skipTemplate(i);
      }
    } else {
      i++;
    }
  }
  return out.join("");
}

function indexOf(chars: string[], wanted: string, from: number): number {
  const found = chars.indexOf(wanted, from);
  return found < 0 ? chars.length : found;
}

function operandExpected(chars: string[], at: number): boolean {
  let j = at - 1;
  while (j >= 0 && /\s/.test(chars[j]!)) j--;
  if (j < 0 || "(,=:[!&|?{};+-*%<>~^".includes(chars[j]!)) return true;
  const word = /(?:^|[^\w$])(return|case|typeof|in|of)$/;
  return word.test(chars.slice(Math.max(0, j - 8), j + 1).join(""));
}

/** What a file imports or exports again: bare and `node:` names as written, files as paths from the root. */
export function importsOf(file: SourceFile): string[] {
  const code = blankComments(file.text, { texts: true });
  const patterns = [
    /\b(?:import|export)\s[^"';]*?\bfrom\s*["']([^"']+)["']/g,
    /\bimport\s*["']([^"']+)["']/g,
    /\bimport\s*\(\s*["'`]([^"'`]+)["'`]/g,
    /\bnew\s+URL\(\s*["']([^"']+\.ts)["']\s*,\s*import\.meta\.url/g,
    /\bimport\.meta\.resolve\(\s*["']([^"']+)["']/g,
  ];
  // An import that stands in a text (of a test of this, say) is none: its keyword is gone once texts are blanked too.
  const bare = blankComments(file.text, { texts: false });
  return patterns
    .flatMap((pattern) => [...code.matchAll(pattern)])
    .filter((match) => bare[match.index] === code[match.index])
    .map((match) => resolveFrom(file.path, match[1]!));
}

function resolveFrom(path: string, specifier: string): string {
  if (!specifier.startsWith(".")) return specifier;
  const parts = path.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}
