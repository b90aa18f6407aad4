/**
 * The rules of the house that no compiler checks: which way imports run, what the pure floors may not name, sizes, and
 * permissions. Each rule takes one file and answers with complaints.
 *
 * @module
 */
import { blankComments, importsOf, type SourceFile } from "./source.ts";

/** A rule: complaints about one file, none if it keeps the rule. */
export type Rule = (file: SourceFile) => string[];

/** What each part of the sources may import of the others; the longest prefix of a path decides. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "net/wire/": ["net/wire/"],
  "net/link/": ["net/", "nat/host.ts", "nat/base/logger.ts"],
  "net/linux/": ["net/", "nat/host.ts", "nat/base/logger.ts"],
  "nat/": ["nat/", "net/wire/"],
  "host/": ["host/", "nat/", "net/"],
  "forward/": ["forward/", "host/", "nat/", "net/"],
  "guest/": ["guest/", "nat/", "net/"],
  "rules/": ["rules/", "nat/", "net/wire/"],
  "audit/": ["audit/", "rules/", "nat/", "net/"],
  "mod.ts": ["audit/", "forward/", "guest/", "host/", "nat/", "net/", "rules/", "deno.json"],
  "cli.ts": ["cli/", "mod.ts", "audit/", "forward/", "guest/", "host/", "nat/", "net/", "rules/", "deno.json"],
  "cli/": ["cli/", "mod.ts", "audit/", "forward/", "guest/", "host/", "nat/", "net/", "rules/", "deno.json"],
};
const PURE = /^(net\/wire|nat)\//;
const CLI = /^(cli\.ts$|cli\/)/;
const LARGEST = 600;
const WIDEST_COMMENT = 120;
/** The one package of the program: which suffixes are public, loaded only for a rule with a wildcard. */
const SUFFIX_PACKAGE = "tldts";
/**
 * What tests may use beside `@std`: a package that makes random cases and shrinks those that fail, and one that checks
 * data against a JSON Schema.
 */
const TEST_PACKAGES = ["fast-check", "ajv/dist/2020.js"];

/** Whether a path belongs to the program itself, not to tests, benches or tools. */
export function isSource(path: string): boolean {
  return Object.keys(MAY_IMPORT).some((prefix) => path.startsWith(prefix));
}

/** Imports run one way: cli, mod, audit, rules, forward, guest, host, nat, net/wire; net/link, net/linux at host. */
export function importDirection(file: SourceFile): string[] {
  const home = Object.keys(MAY_IMPORT).find((prefix) => file.path.startsWith(prefix));
  if (home === undefined) return [];
  return importsOf(file)
    .filter((target) => !isExternal(target))
    .filter((target) => !MAY_IMPORT[home]!.some((allowed) => target.startsWith(allowed)))
    .map((target) => `${file.path} imports ${target}, and ${home} may import only ${MAY_IMPORT[home]!.join(", ")}`);
}

/** No files of the program import each other in a circle, types included: each circle, as the paths in it. */
export function importCircles(files: readonly SourceFile[]): string[] {
  const sources = new Map(files.filter(({ path }) => isSource(path)).map((file) => [file.path, importsOf(file)]));
  // Tarjan's strongly connected components: a file's `lowest` is the earliest file on the path that it leads back to.
  const order = new Map<string, number>(),
    lowest = new Map<string, number>(),
    path: string[] = [],
    circles: string[] = [];
  const visit = (file: string): void => {
    order.set(file, order.size);
    lowest.set(file, order.get(file)!);
    path.push(file);
    for (const target of sources.get(file)!) {
      if (!sources.has(target)) continue;
      if (!order.has(target)) visit(target);
      if (path.includes(target)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(target)!));
    }
    if (lowest.get(file) !== order.get(file)) return;
    const circle = path.splice(path.indexOf(file));
    if (circle.length > 1) circles.push(`${circle.toSorted().join(", ")} import each other in a circle`);
  };
  for (const file of sources.keys()) if (!order.has(file)) visit(file);
  return circles;
}

/** Every file of the program is in a folder that has rules, so that a new folder gets some. */
export function knownPlace(file: SourceFile): string[] {
  if (isSource(file.path) || /^(tests|bench|tools)\//.test(file.path)) return [];
  return [`${file.path} is in a place that has no rules: add it to tests/house/rules.ts`];
}

/** A `_private.ts` is imported within its folder alone. */
export function privateModules(file: SourceFile): string[] {
  const folder = file.path.split("/").slice(0, -1).join("/");
  return importsOf(file)
    .filter((target) => /(^|\/)_[^/]*$/.test(target) && target.split("/").slice(0, -1).join("/") !== folder)
    .map((target) => `${file.path} imports ${target}, which is private to its folder`);
}

/**
 * `@std/cli` and `@std/log` belong to the CLI; the pure floors use nothing from outside; nothing names a registry.
 * Tests alone may use some packages more.
 */
export function externalImports(file: SourceFile): string[] {
  if (isSource(file.path)) return importsOf(file).filter(isExternal).flatMap((target) => sourceImport(file, target));
  // What stands in for @std is made of another package on purpose.
  if (file.path.startsWith("tools/std/")) return [];
  return importsOf(file).filter(isExternal)
    .filter((target) =>
      !/^(@std\/|node:)/.test(target) && !(file.path.startsWith("tests/") && TEST_PACKAGES.includes(target))
    )
    .map((target) =>
      `${file.path} imports ${target}, which is neither @std nor node:, nor ${TEST_PACKAGES.join(" or ")} in a test`
    );
}

function sourceImport(file: SourceFile, target: string): string[] {
  if (PURE.test(file.path)) return [`${file.path} imports ${target}, and this floor imports nothing from outside`];
  if (/^@std\/(cli|log)\b/.test(target) && !CLI.test(file.path)) {
    return [`${file.path} imports ${target}, which is for the CLI alone`];
  }
  if (target === SUFFIX_PACKAGE && file.path.startsWith("rules/")) return [];
  if (!/^(@std\/|node:)/.test(target)) return [`${file.path} imports ${target}, which is neither @std nor node:`];
  return [];
}

/** The pure floors name no clock, timer, console, promise, source of randomness or part of Deno. */
export function purity(file: SourceFile): string[] {
  if (!PURE.test(file.path)) return [];
  const names =
    /(?<![.\w$])(Deno|setTimeout|setInterval|setImmediate|queueMicrotask|Date|performance|console|Promise|PromiseLike|async|await|crypto|globalThis|process|fetch)\b|\bMath\.random\b/g;
  const found = new Set([...codeOf(file).matchAll(names)].map((match) => match[0]));
  return [...found].map((name) => `${file.path} uses ${name}, and this floor is pure`);
}

/** Only net/linux opens the C library. */
export function foreignFunctions(file: SourceFile): string[] {
  if (!isSource(file.path) || file.path.startsWith("net/linux/")) return [];
  return /\bdlopen\b/.test(codeOf(file)) ? [`${file.path} uses dlopen, which is for net/linux alone`] : [];
}

/** `readable`, `writable` and pipes close a whole connection at its first EOF (deno#27510). */
export function noStreams(file: SourceFile): string[] {
  if (!isSource(file.path) || PURE.test(file.path)) return [];
  const found = codeOf(file).match(/\.(readable|writable|pipeTo|pipeThrough)\b/);
  return found ? [`${file.path} uses ${found[0]}, which does not survive a half-close`] : [];
}

/** No line of a comment is wider than code may be, tables apart. */
export function commentWidth(file: SourceFile): string[] {
  return file.text.split("\n").flatMap((line, i) =>
    line.length > WIDEST_COMMENT && /^\s*(\*(?! \|)|\/\/|\/\*\*)/.test(line)
      ? [`${file.path}:${i + 1} has a comment of ${line.length} columns, and ${WIDEST_COMMENT} are the most`]
      : []
  );
}

/** No file is longer than can be read in one go. */
export function fileSize(file: SourceFile): string[] {
  const lines = file.text.trimEnd().split("\n").length;
  return lines > LARGEST ? [`${file.path} has ${lines} lines, and ${LARGEST} are the most`] : [];
}

/** Top-level functions are declarations. */
export function functionDeclarations(file: SourceFile): string[] {
  const found = codeOf(file).match(
    /^(?:export )?const (\w+)(?:: [^=\n]+)? = (?:async )?(?:\([^()]*\)|\w+)(?:: [^=\n]+)? =>/m,
  );
  return found ? [`${file.path} declares ${found[1]} as an arrow function at the top level`] : [];
}

/** No task and no line of a document grants every permission. */
export function leastPrivilege(file: SourceFile): string[] {
  const found = file.text.match(/(?<=^|[\s"'`(])(-A|--allow-all|-[a-zA-Z]*A[a-zA-Z]*)(?=$|[\s"'`),.:])/gm) ?? [];
  const lines = found.filter((option) =>
    option === "--allow-all" || /deno[^\n]*\s-[a-zA-Z]*A/.test(lineOf(file.text, option))
  );
  return lines.map((option) => `${file.path} says ${option}, and each command names its permissions`);
}

/** Files and the lock hold no path or address of one machine. */
export function noMachine(file: SourceFile): string[] {
  const found = file.text.match(
    /file:\/\/\/(home|root|work|tmp|Users)\/|\/(home|Users)\/[a-z]+\/|registry\.npmjs\.org|"https?:\/\/(localhost|127\.)/,
  );
  return found ? [`${file.path} holds ${found[0]}, which belongs to one machine`] : [];
}

function lineOf(text: string, part: string): string {
  return text.split("\n").find((line) => line.includes(part)) ?? "";
}

function codeOf(file: SourceFile): string {
  return blankComments(file.text, { texts: false });
}

/** Whether an import is no file of the tree: those have been made paths, which end in `.ts`, `.json` or a variable. */
function isExternal(target: string): boolean {
  return /^[a-z]+:/.test(target) || !/(\.ts|\.json|\})$/.test(target);
}

/** The rules for files of TypeScript. */
export const SOURCE_RULES: readonly Rule[] = [
  importDirection,
  knownPlace,
  privateModules,
  externalImports,
  purity,
  foreignFunctions,
  noStreams,
  commentWidth,
  fileSize,
  functionDeclarations,
];
