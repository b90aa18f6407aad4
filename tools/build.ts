/**
 * `deno task build [--install DIR | --output DIR]`: Hawser as one file that needs nothing but Deno.
 *
 * `dist/hawser` runs with no network, no cache and no checkout. Its first line has the permissions that some command
 * needs; each command gives up those that it does not need. Under the name of a program that Hawser stands in for, by a
 * link or a copy, it is that program.
 *
 * `--install DIR` puts it and such links into DIR, and writes the path of this Deno into the first line, so that it is
 * found whatever PATH its caller has. A file in DIR that is not Hawser's is not replaced.
 *
 * `deno bundle` takes esbuild from npm, if it is not in Deno's cache.
 *
 * @module
 */
import { oneFile } from "./one_file.ts";

const ROOT = new URL("../", import.meta.url);
const ENTRY = "start.js";
const FLAGS = [
  "--ext=js",
  "--no-config",
  "--no-prompt",
  ...["read", "write", "net", "env", "ffi"].map((name) => `--allow-${name}`),
];
/** The other names under which it is installed. */
const LINKS = ["slirp4netns", "pasta"];
const EXECUTABLE = 0o755;

/** The text of the file, to be started by this Deno: a name that is looked for in PATH, or a path. */
export async function build(deno: string): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "hawser-build-" });
  try {
    const args = ["bundle", "--quiet", "--minify", "--code-splitting", "--outdir", folder, "cli/start.ts"];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdout: "null" }).output();
    if (code !== 0) throw new Error(`Cannot bundle: ${new TextDecoder().decode(stderr).trim()}`);
    const names = [];
    for await (const { name } of Deno.readDir(folder)) names.push(name);
    const chunks = new Map<string, string>();
    for (const name of names.sort()) chunks.set(name, await Deno.readTextFile(`${folder}/${name}`));
    return oneFile(chunks, { entry: ENTRY, deno, flags: FLAGS });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Puts the file and links to it into a folder. Throws an `Error` before it hides a file of somebody else. */
export async function put(text: string, folder: string, links: readonly string[]): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const link of links) {
    const target = await Deno.readLink(`${folder}/${link}`).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return "hawser";
      return "";
    });
    if (target === "hawser") continue;
    throw new Error(
      `Cannot install: ${folder}/${link} is there and is not Hawser's, choose another folder or remove it`,
    );
  }
  // Whoever runs the old one keeps it: it is not written to, its name is given to another file.
  const temporary = `${folder}/.hawser-${crypto.randomUUID()}`;
  await Deno.writeTextFile(temporary, text, { mode: EXECUTABLE });
  await Deno.chmod(temporary, EXECUTABLE);
  await Deno.rename(temporary, `${folder}/hawser`);
  for (const link of links) {
    await Deno.remove(`${folder}/${link}`).catch(() => {});
    await Deno.symlink("hawser", `${folder}/${link}`);
  }
}

async function main([option, folder, ...more]: string[]): Promise<number> {
  const isInstall = option === "--install", isOutput = option === "--output";
  if (more.length > 0 || (option !== undefined && (folder === undefined || !(isInstall || isOutput)))) {
    console.error("build: say nothing, --install DIR or --output DIR");
    return 2;
  }
  const where = folder ?? decodeURIComponent(new URL("dist", ROOT).pathname);
  try {
    await put(await build(isInstall ? Deno.execPath() : "deno"), where, isInstall ? LINKS : []);
  } catch (error) {
    console.error(`build: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
  console.log([`${where}/hawser`, ...(isInstall ? LINKS.map((link) => `${where}/${link}`) : [])].join("\n"));
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
