/**
 * The frame scripts that are replayed by every run of the tests and that the fuzzer starts from.
 *
 * @module
 */
const FOLDER = new URL("./corpus/", import.meta.url);

/** Where scripts for listeners are, below the others. */
export const CROWD_FOLDER = "crowd/";

/** A script by its file's name. */
export interface CorpusEntry {
  readonly name: string;
  readonly text: string;
}

/** Every script of a folder, in the order of their names. */
export function readCorpus(below = ""): CorpusEntry[] {
  const folder = new URL(below, FOLDER);
  return [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".txt")).sort().map(
    (name) => ({ name, text: Deno.readTextFileSync(new URL(name, folder)) }),
  );
}

/** Writes a script that fails, so that the tests replay it from now on. Returns its path. */
export function writeFailure(name: string, text: string): string {
  const url = new URL(`${name}.txt`, FOLDER);
  Deno.writeTextFileSync(url, text);
  return url.pathname;
}
