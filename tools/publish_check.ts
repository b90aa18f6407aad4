/**
 * `deno task publish:check FOLDER… [-- TESTS…]`: Hawser with the real `@std`, published, installed and run, on a
 * machine that reaches no JSR.
 *
 * Each FOLDER is a checkout of denoland/std; a package is taken from the first that has it. `@std/log` has left that
 * repository: it is in every commit before its removal (denoland/std#6819). It goes like this:
 *
 * 1. A registry of JSR's shape on loopback (`jsr/registry.ts`) is given the packages of `@std` that are imported, and
 *    what they import in turn, by `deno publish`.
 * 2. A copy of the tree whose deno.json has no `links`, so that `@std` is what the registry has: types, tests, and
 *    `deno publish --dry-run`. What compiles with the stand-ins must compile here.
 * 3. The tree as it is, with its `links`: `deno publish` to the loopback registry.
 * 4. In empty caches of Deno: `deno add`, `deno x`, `deno install --global` and `deno cache` with the permissions that
 *    README.md names; then the registry ends, npm is out of reach, and what was installed and cached must run.
 *
 * `JSR_URL` is on loopback throughout. The tests want what tests want: root and Debian packages, and npm for
 * `fast-check`.
 *
 * @module
 */
import { publish, runDeno } from "./jsr/deno.ts";
import { LoopbackRegistry } from "./jsr/registry.ts";

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);
const NOT_COPIED = /^(\.git|coverage|node_modules)$/;
/** A program that uses the library, for `deno add`. */
const LIBRARY_PROGRAM = `import { Gateway } from "@hawser/hawser";
import { formatIpv4 } from "@hawser/hawser/wire";
await using gateway = await Gateway.start({ host: "deno", dns: "none" });
console.log("gateway", gateway.flows().length, typeof formatIpv4);
`;

/** One thing that must work. */
interface Step {
  /** What the line about it says. */
  readonly name: string;
  /** The words after `program`, which is Deno unless told. */
  readonly args: readonly string[];
  readonly cwd: string;
  readonly denoDir?: string;
  readonly program?: string;
  /** What its output must have. */
  readonly expect?: RegExp;
}

class Check {
  readonly #registry: LoopbackRegistry;
  readonly #jsrUrl: string;
  failed = 0;

  constructor(registry: LoopbackRegistry) {
    this.#registry = registry;
    this.#jsrUrl = registry.url;
  }

  /** Publishes `@std/NAME` of the first folder that has it, and what it imports. */
  async publishStd(name: string, folders: readonly string[]): Promise<void> {
    if (this.#registry.files(`@std/${name}`).size > 0) return;
    const cwd = await firstWith(name.replaceAll("-", "_"), folders);
    const { code, stderr } = await publish({ jsrUrl: this.#jsrUrl, cwd });
    if (code !== 0) throw new Error(`Cannot publish @std/${name}: ${stderr}`);
    for (const needed of importedStd(this.#registry.files(`@std/${name}`))) {
      await this.publishStd(needed, folders);
    }
  }

  /** Runs a step and says in a line how it went; all of its output only if it failed. */
  async step({ name, args, cwd, denoDir, program, expect }: Step): Promise<void> {
    const began = performance.now();
    const call = { jsrUrl: this.#jsrUrl, cwd, npm: true };
    const { code, stdout, stderr } = await runDeno(args, {
      ...call,
      ...(denoDir === undefined ? {} : { denoDir }),
      ...(program === undefined ? {} : { program }),
    });
    const found = expect?.exec(stdout + stderr)?.[0];
    const isOk = code === 0 && (expect === undefined || found !== undefined);
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(`${isOk ? "ok    " : "FAILED"}  ${name}${found === undefined ? "" : `: ${found}`} (${seconds} s)`);
    if (isOk) return;
    console.log(stdout + stderr);
    this.failed++;
  }
}

/** Where the first checkout of denoland/std that has a package has it. */
async function firstWith(name: string, folders: readonly string[]): Promise<string> {
  for (const folder of folders) {
    if (await Deno.stat(`${folder}/${name}/deno.json`).then(() => true, () => false)) return `${folder}/${name}`;
  }
  throw new Error(`Cannot publish @std/${name}: ${folders.join(" and ")} have no ${name}/deno.json`);
}

/** The packages of `@std` that published files import, tests apart. */
function importedStd(files: ReadonlyMap<string, Uint8Array>): Set<string> {
  const names = new Set<string>();
  for (const [path, bytes] of files) {
    if (path.endsWith("_test.ts")) continue;
    const text = new TextDecoder().decode(bytes);
    for (const [, name] of text.matchAll(/^(?:import|export|\}).*"jsr:@std\/([^@/"]+)/gm)) names.add(name!);
  }
  return names;
}

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory, isFile } of Deno.readDir(from)) {
    if (NOT_COPIED.test(name)) continue;
    if (isDirectory) await copyTree(`${from}/${name}`, `${to}/${name}`);
    else if (isFile) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function readConfig(): Promise<{ imports: Record<string, string>; links?: unknown }> {
  return JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
}

/** Resolves to how many steps failed. */
async function checkAll(folders: readonly string[], tests: readonly string[]): Promise<number> {
  const scratch = await Deno.makeTempDir({ prefix: "hawser-publish-" });
  try {
    let check: Check;
    {
      await using registry = new LoopbackRegistry();
      check = new Check(registry);
      const { links: _, ...config } = await readConfig();
      for (const name of Object.keys(config.imports).filter((one) => one.startsWith("@std/"))) {
        await check.publishStd(name.slice("@std/".length), folders);
      }
      console.log(`registry: ${registry.published.join(" ")}`);
      await checkCopy(check, `${scratch}/copy`, { config, tests });
      const published = await publish({ jsrUrl: registry.url, cwd: ROOT, npm: true });
      if (published.code !== 0) throw new Error(`Cannot publish the tree with its links: ${published.stderr}`);
      await checkUse(check, scratch);
    }
    await checkOffline(check, scratch);
    return check.failed;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

/** The tree with the real `@std`. */
async function checkCopy(
  check: Check,
  copy: string,
  { config, tests }: { config: unknown; tests: readonly string[] },
): Promise<void> {
  await copyTree(ROOT, copy);
  await Deno.writeTextFile(`${copy}/deno.json`, JSON.stringify(config, null, 2) + "\n");
  const here = { cwd: copy, denoDir: `${copy}-cache` };
  await check.step({ ...here, name: "types", args: ["check", "."] });
  await check.step({
    ...here,
    name: "deno publish --dry-run",
    args: ["publish", "--dry-run", "--allow-dirty", "--no-lock"],
    expect: /Success Dry run complete/,
  });
  const passed = /^ok \| \d+ passed.*\d+ failed.*$/m;
  await check.step({ ...here, name: "tests", args: ["task", "test", ...tests], expect: passed });
}

/** What README.md says about `deno add`, `deno x` and `deno install`. */
async function checkUse(check: Check, scratch: string): Promise<void> {
  const project = `${scratch}/project`, here = { cwd: project, denoDir: `${scratch}/added` };
  await Deno.mkdir(project);
  await Deno.writeTextFile(`${project}/deno.json`, "{}");
  await Deno.writeTextFile(`${project}/main.ts`, LIBRARY_PROGRAM);
  await check.step({ ...here, name: "deno add", args: ["add", "jsr:@hawser/hawser"] });
  await check.step({ ...here, name: "types of a program", args: ["check", "main.ts"] });
  await check.step({ ...here, name: "a program", args: ["run", "--no-prompt", "main.ts"], expect: /^gateway 0/m });
  const command = "jsr:@hawser/hawser/cli", run = ["run", "-D", "none", "--", "cat", "/proc/net/route"];
  const x = { cwd: scratch, denoDir: `${scratch}/x`, name: "deno x" };
  await check.step({
    ...x,
    args: ["x", "--allow-ffi", "--allow-read=/etc/resolv.conf", command, ...run],
    expect: /^eth0/m,
  });
  await check.step({
    ...x,
    name: "deno x, demo",
    args: ["x", "--allow-net", command, "demo"],
    expect: /^Every byte.*/m,
  });
  await check.step({
    cwd: scratch,
    denoDir: `${scratch}/installed`,
    name: "deno install",
    args: ["install", "-g", "-n", "hawser", "--root", scratch, "--allow-ffi", "--allow-read", command],
  });
  await check.step({ cwd: scratch, denoDir: `${scratch}/cached`, name: "deno cache", args: ["cache", command] });
}

async function checkOffline(check: Check, scratch: string): Promise<void> {
  const run = ["-D", "none", "--", "cat", "/proc/net/route"], expect = /^eth0/m;
  await check.step({
    cwd: scratch,
    denoDir: `${scratch}/installed`,
    name: "the installed command, offline",
    program: `${scratch}/bin/hawser`,
    args: ["run", ...run],
    expect,
  });
  await check.step({
    cwd: scratch,
    denoDir: `${scratch}/cached`,
    name: "the cached command, offline",
    args: ["run", "--no-prompt", "--allow-ffi", "jsr:@hawser/hawser/cli", "run", ...run],
    expect,
  });
}

const split = Deno.args.includes("--") ? Deno.args.indexOf("--") : Deno.args.length;
const folders = Deno.args.slice(0, split).map((folder) => Deno.realPathSync(folder));
if (folders.length === 0) {
  console.error("Usage: deno task publish:check FOLDER… [-- TESTS…], each FOLDER a checkout of denoland/std");
  Deno.exit(2);
}
Deno.exit(await checkAll(folders, Deno.args.slice(split + 1)) === 0 ? 0 : 1);
