/**
 * The frame scripts that are replayed by every run of the tests and that the fuzzer starts from.
 *
 * @module
 */
const FOLDER = new URL("./corpus/", import.meta.url);

/** A script by its file's name. */
export interface CorpusEntry {
  readonly name: string;
  readonly text: string;
}

/** Every script, in the order of their names. */
export function readCorpus(): CorpusEntry[] {
  return [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name.endsWith(".txt")).sort().map(
    (name) => ({ name, text: Deno.readTextFileSync(new URL(name, FOLDER)) }),
  );
}

/** Writes a script that fails, so that the tests replay it from now on. Returns its path. */
export function writeFailure(name: string, text: string): string {
  const url = new URL(`${name}.txt`, FOLDER);
  Deno.writeTextFileSync(url, text);
  return url.pathname;
}
