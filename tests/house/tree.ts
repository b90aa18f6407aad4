/**
 * The files of the repository, for the rules of the house.
 *
 * @module
 */
import type { SourceFile } from "./source.ts";

/** Where the repository begins. */
export const ROOT = new URL("../../", import.meta.url);
const FOLDERS = ["audit", "rules", "net", "nat", "host", "forward", "guest", "cli", "tests", "bench", "tools"];

/** Every file of TypeScript. */
export async function readTree(): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  async function visit(folder: string): Promise<void> {
    for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
      const path = `${folder}${entry.name}`;
      if (entry.isDirectory && (folder !== "" || FOLDERS.includes(entry.name))) await visit(`${path}/`);
      else if (entry.isFile && entry.name.endsWith(".ts")) files.push(await readRootFile(path));
    }
  }
  await visit("");
  return files;
}

/** One file by its path from the root. */
export async function readRootFile(path: string): Promise<SourceFile> {
  return { path, text: await Deno.readTextFile(new URL(path, ROOT)) };
}
