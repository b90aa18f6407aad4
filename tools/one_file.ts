/**
 * One file out of the chunks of a bundle.
 *
 * `deno bundle --code-splitting` makes modules that import each other. Here each becomes a function, and all of them
 * stand in a comment at the end of one file, from which a few lines at its beginning compile those that are wanted,
 * when they are wanted. It is done so because of what Deno does with a file whose name has no ending: as plain code
 * (Deno 2.9.6, 430 kB) it takes 120 ms to begin, since Deno parses all of it and writes it anew, every time; as a
 * comment 3 ms. Then V8 takes 5 ms for each 100 kB of it that is compiled.
 *
 * **What a chunk may look like**: imports of other chunks at its beginning; imports of Node's modules anywhere; at its
 * end one list of exports. That is what esbuild writes, and anything else is refused, `import.meta` too. An export is
 * handed over once, when its chunk has run, so a variable that is exported must not change afterwards.
 *
 * @module
 */

/** What a file's first lines look like. */
export interface OneFileOptions {
  /** The chunk to begin with, which exports `start`. */
  readonly entry: string;
  /** Deno, as env(1) is to find it: `deno`, or its path. */
  readonly deno: string;
  /** Deno's options. */
  readonly flags: readonly string[];
}

/** The longest first line that Linux reads. */
const MOST_FIRST_LINE = 255;
const CHUNK_IMPORT = /^import(?:\{([^}]*)\}from|)"\.\/([^"]+)";/;
const NODE_IMPORT = /(?<=^|[;}])import(?:\{([^}]*)\}from|)"(node:[^"]+)";/g;
const EXPORTS = /export\{([^}]*)\};\s*$/;
/** What stands in a chunk for the end of a comment, without ending it. */
const COMMENT_END = "*\x01/";

/** The text of the file. `chunks` are texts of modules by name. Throws an `Error` for a chunk that has another form. */
export function oneFile(chunks: ReadonlyMap<string, string>, { entry, deno, flags }: OneFileOptions): string {
  const firstLine = `#!/usr/bin/env -S ${deno} run ${flags.join(" ")}`;
  if (/[^\x21-\x7e]/.test(deno) || firstLine.length > MOST_FIRST_LINE) {
    throw new Error(`Cannot name ${deno} in the first line of a file: env(1) would not find it`);
  }
  const places: Record<string, readonly [number, number]> = {};
  let payload = "";
  for (const [name, text] of chunks) {
    const body = chunkFunction(name, text, chunks);
    places[name] = [payload.length, payload.length + body.length];
    payload += `${body}\n`;
  }
  return `${firstLine}
// Hawser, one file: what follows in the comment is compiled chunk by chunk. It is made by "deno task build".
const url = import.meta.url, text = Deno.readTextFileSync(new URL(url)), places = ${JSON.stringify(places)};
const begin = text.indexOf("\\n/*") + 3, loaded = {};
const load = (name) => loaded[name] ??= (0, eval)(
  text.slice(begin + places[name][0], begin + places[name][1]).replaceAll("*\\x01/", "*" + "/") + "\\n//# sourceURL=" + name,
)(load);
await (await load(${JSON.stringify(entry)})).start(url);
/*${payload}*/
`;
}

/** A chunk as an expression: a function that is given how to load others, and resolves to what the chunk exports. */
function chunkFunction(name: string, text: string, chunks: ReadonlyMap<string, string>): string {
  const refuse = (what: string) => new Error(`Cannot put ${name} into one file: it has ${what}`);
  let rest = text, head = "";
  for (let found = CHUNK_IMPORT.exec(rest); found !== null; found = CHUNK_IMPORT.exec(rest)) {
    head += awaited(found[1], `hawserLoad("${chunkName(found[2]!)}")`);
    rest = rest.slice(found[0].length);
  }
  rest = rest.replaceAll(NODE_IMPORT, (_, names, module) => {
    head += awaited(names, `import("${module}")`);
    return "";
  });
  const exported = EXPORTS.exec(rest);
  if (exported !== null) rest = rest.slice(0, exported.index);
  const exports = (exported?.[1] ?? "").split(",").filter((word) => word !== "").map((word) => {
    const [local, as = local] = word.trim().split(" as ");
    return `${as}:${local}`;
  });
  const body = rest.trim().replaceAll(
    /\bimport\("\.\/([^"]+)"\)/g,
    (_, chunk) => `hawserLoad("${chunkName(chunk)}")`,
  );
  if (text.includes("hawserLoad")) throw refuse("a name that the loader has");
  if (body.includes("import.meta")) throw refuse("import.meta");
  if (/(^|;)(import|export)[\s{*"]/.test(body)) throw refuse("an import or export in its middle");
  // deno-lint-ignore no-control-regex
  if (/[^\x00-\x7f]/.test(text)) throw refuse("letters beyond ASCII, of which one is not one byte");
  return escapeControls(`(async hawserLoad=>{${head}${body}\nreturn{${exports.join(",")}}})`)
    .replaceAll("*/", COMMENT_END);

  function chunkName(wanted: string): string {
    if (!chunks.has(wanted)) throw refuse(`an import of ${wanted}, which is no chunk`);
    return wanted;
  }
}

/** Control characters stand in texts alone, where an escape says the same and leaves the file printable. */
function escapeControls(code: string): string {
  // deno-lint-ignore no-control-regex
  const controls = /[\x00-\x08\x0b-\x1f\x7f]/g;
  return code.replaceAll(controls, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function awaited(names: string | undefined, promise: string): string {
  return names === undefined ? `await ${promise};` : `const{${names.replaceAll(" as ", ":")}}=await ${promise};`;
}
