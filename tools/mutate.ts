/**
 * `deno task mutate`: puts faults into `nat/tcp` and `nat/relay`, one at a time, and looks whether a test notices.
 *
 * ```sh
 * deno task mutate                                     # a hundred faults, or ten minutes
 * deno task mutate --seed 7 --count 30 --seconds 300
 * deno task mutate --count 10000 --seconds 100000 nat/relay/tcp.ts nat/relay/tcp_close.ts
 * ```
 *
 * First each test file runs once with coverage, so that a fault meets only the tests that reach its line, the quickest
 * first. A fault that a test notices, or that makes tests hang, is *killed*. One that survives is either a missing test
 * or no fault at all, because the program does the same with it: then it is explained in `mutate_survivors.md`. Exits
 * with 1 if one survives that is not explained there.
 *
 * The tree is copied to a temporary folder; nothing is changed in place.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { explanations, keyOf, type Mutant, mutantsOf, shuffled } from "./mutants.ts";

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);
const SOURCES = ["nat/tcp", "nat/relay"];
const TESTS = ["tests/nat/tcp", "tests/nat/relay", "tests/nat/flow", "tests/nat"];
/** What of the checkout tests need. */
const TREE = [
  "mod.ts",
  "deno.json",
  "deno.lock",
  "net",
  "nat",
  "forward",
  "host",
  "guest",
  "rules",
  "audit",
  "tests",
  "tools",
  "bench",
];
const SURVIVORS = new URL("mutate_survivors.md", import.meta.url);
/** Tests longer than this run only if none of the others notices. */
const QUICK_MS = 4000;
/** What a test may take beyond the time that it took before. */
const HANGS_FACTOR = 5, HANGS_MS = 20_000;

/** A test file: how long it took, and which lines of which source it reaches. */
interface TestFile {
  readonly path: string;
  readonly ms: number;
  readonly lines: ReadonlyMap<string, ReadonlySet<number>>;
}

async function mutate(): Promise<number> {
  const args = parseArgs(Deno.args, { string: ["seed", "count", "seconds"] });
  const seed = Number(args["seed"] ?? 1), most = Number(args["count"] ?? 100), seconds = Number(args["seconds"] ?? 600);
  const wanted = args._.map(String), end = performance.now() + seconds * 1000;
  const mutants: Mutant[] = [];
  for (const path of await filesIn(SOURCES, /(?<!mod)\.ts$/)) {
    if (wanted.length > 0 && !wanted.includes(path)) continue;
    mutants.push(...mutantsOf(path, await Deno.readTextFile(ROOT + path)));
  }
  const chosen = shuffled(mutants, seed).slice(0, most);
  console.log(`${chosen.length} of ${mutants.length} faults, seed ${seed}`);
  const explained = explanations(await Deno.readTextFile(SURVIVORS));
  const copy = await Deno.makeTempDir({ prefix: "hawser-mutate-" });
  try {
    for (const name of TREE) await copyTree(ROOT + name, `${copy}/${name}`);
    const tests: TestFile[] = [];
    for (const path of await filesIn(TESTS, /_test\.ts$/)) tests.push(await measure(copy, path));
    const counts = { killed: 0, explained: 0, survived: 0 };
    for (const mutant of chosen) {
      if (performance.now() > end) break;
      const fate = await isKilled(copy, mutant, tests)
        ? "killed"
        : explained.has(keyOf(mutant))
        ? "explained"
        : "survived";
      counts[fate]++;
      if (fate === "survived") console.log(`${mutant.path}:${mutant.line}\n    ${keyOf(mutant)}`);
    }
    console.log(`${counts.killed} killed, ${counts.explained} survived and are explained, ${counts.survived} are not`);
    const all = new Set(mutants.map(keyOf));
    const stale = wanted.length > 0 ? [] : [...explained].filter((key) => !all.has(key));
    for (const key of stale) console.log(`explained, but no fault any more: ${key}`);
    return counts.survived + stale.length > 0 ? 1 : 0;
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

async function isKilled(copy: string, mutant: Mutant, tests: readonly TestFile[]): Promise<boolean> {
  const reaching = tests.filter(({ lines }) => lines.get(mutant.path)?.has(mutant.line)).sort((a, b) => a.ms - b.ms);
  await Deno.writeTextFile(`${copy}/${mutant.path}`, mutant.text);
  try {
    for (const some of [reaching.filter(({ ms }) => ms <= QUICK_MS), reaching.filter(({ ms }) => ms > QUICK_MS)]) {
      const ms = some.reduce((sum, test) => sum + test.ms, 0);
      if (some.length > 0 && !await passes(copy, some.map(({ path }) => path), ms * HANGS_FACTOR + HANGS_MS)) {
        return true;
      }
    }
    return false;
  } finally {
    await Deno.copyFile(ROOT + mutant.path, `${copy}/${mutant.path}`);
  }
}

async function measure(copy: string, path: string): Promise<TestFile> {
  const coverage = `${copy}/coverage`, began = performance.now();
  if (!await passes(copy, [path], 600_000, [`--coverage=${coverage}`])) {
    throw new Error(`${path} fails without any fault`);
  }
  const ms = performance.now() - began;
  const { stdout } = await new Deno.Command("deno", {
    args: ["coverage", "--lcov", `--include=${copy}/nat/`, coverage],
    cwd: copy,
    stderr: "null",
  }).output();
  await Deno.remove(coverage, { recursive: true });
  const lines = new Map<string, Set<number>>();
  let reached = new Set<number>();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const [, name, value] = /^(SF|DA):(.*)$/.exec(line) ?? [];
    if (name === "SF") lines.set(value!.slice(copy.length + 1), reached = new Set());
    else if (name === "DA" && !value!.endsWith(",0")) {
      // A line of which a part was not reached, such as `if (…) return;`, counts as not reached: its neighbours tell.
      const at = Number(value!.split(",")[0]);
      for (const near of [at - 1, at, at + 1]) reached.add(near);
    }
  }
  return { path, ms, lines };
}

async function passes(
  copy: string,
  paths: readonly string[],
  limitMs: number,
  more: readonly string[] = [],
): Promise<boolean> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const flags = (tasks.test as string).split(" ").slice(2).filter((flag) => flag !== "--doc");
  const child = new Deno.Command("deno", {
    args: ["test", ...flags, "--fail-fast", "--quiet", ...more, ...paths],
    cwd: copy,
    env: { DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const { success } = await child.status;
  clearTimeout(timer);
  return success;
}

async function filesIn(folders: readonly string[], name: RegExp): Promise<string[]> {
  const paths: string[] = [];
  for (const folder of folders) {
    for await (const entry of Deno.readDir(ROOT + folder)) {
      if (name.test(entry.name)) paths.push(`${folder}/${entry.name}`);
    }
  }
  return paths.sort();
}

async function copyTree(from: string, to: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) await copyTree(`${from}/${name}`, `${to}/${name}`);
}

Deno.exit(await mutate());
