import { assertEquals, assertStringIncludes } from "@std/assert";
import { type DenoCall, publish, runDeno } from "../../tools/jsr/deno.ts";
import { LoopbackRegistry } from "../../tools/jsr/registry.ts";
import { requires } from "../support/requirements.ts";

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
const STAND_INS = ["async", "cli", "log"].map((name) => `${ROOT}tools/std/${name}`);
/** What npm says of a package, in Deno's cache. */
const LIST = "registry.json";
/** By which Deno knows such a file of its own. */
const KIND = { "_deno.packumentFormat": "full" };
/** What stand-ins for `@std` are made of, and the list of public suffixes. */
const NPM_PACKAGES = ["deno-std", "tldts", "tldts-core"];
const needs = requires("root", "tun", "ip", "unshare");

/**
 * An empty cache of Deno, but for what there is of npm. A lock names the versions of what packages depend on, so Deno
 * has not asked npm which there are, as an install without a lock does: that is made up.
 */
async function emptyCache(at: string): Promise<string> {
  const { stdout } = await runDeno(["info", "--json"], { jsrUrl: "http://127.0.0.1:1/", cwd: at });
  const known: string = JSON.parse(stdout).npmCache;
  for await (const { name: registry } of Deno.readDir(known)) {
    const own = `${at}/cache/npm/${registry}`;
    await Deno.mkdir(own, { recursive: true });
    for (const name of NPM_PACKAGES) {
      await new Deno.Command("cp", { args: ["-r", `${known}/${registry}/${name}`, own] }).output();
      await completePackage(`${own}/${name}`, name);
    }
  }
  return `${at}/cache`;
}

/** Adds to a package in a cache, if it has none, the list of the versions that are there. */
async function completePackage(path: string, name: string): Promise<void> {
  const entries = await Array.fromAsync(Deno.readDir(path), (entry) => entry.name);
  if (entries.includes(LIST)) return;
  const versions: Record<string, unknown> = {};
  for (const version of entries) {
    const { dependencies = {} } = JSON.parse(await Deno.readTextFile(`${path}/${version}/package.json`));
    versions[version] = { version, dependencies, dist: { tarball: `http://127.0.0.1:1/${version}.tgz` } };
  }
  await Deno.writeTextFile(`${path}/${LIST}`, JSON.stringify({ name, "dist-tags": {}, versions, ...KIND }));
}

Deno.test({
  name: `a plain checkout is published, and what is installed of it runs with no registry in reach${needs.reason}`,
  ignore: needs.ignore,
  async fn() {
    const scratch = await Deno.makeTempDir();
    try {
      const denoDir = await emptyCache(scratch);
      let call: DenoCall;
      {
        await using registry = new LoopbackRegistry();
        call = { jsrUrl: registry.url, cwd: scratch, denoDir };
        for (const cwd of [...STAND_INS, ROOT]) {
          const { code, stderr } = await publish({ jsrUrl: registry.url, cwd });
          assertEquals(code, 0, stderr);
        }
        const table = new TextDecoder().decode(registry.files("@hawser/hawser").get("/cli/option_table.ts"));
        assertStringIncludes(table, '"jsr:@std/cli@^1.0.0"');
        const permissions = ["--allow-ffi", "--allow-read"];
        const where = ["--global", "--root", scratch, "--name", "hawser"];
        const installed = await runDeno(["install", ...where, ...permissions, "jsr:@hawser/hawser/cli"], call);
        assertEquals(installed.code, 0, installed.stderr);
      }
      const run = ["run", "-D", "none", "--", "cat", "/proc/net/route"];
      const { code, stdout, stderr } = await runDeno(run, { ...call, program: `${scratch}/bin/hawser` });
      assertEquals([code, stderr], [0, ""]);
      assertStringIncludes(stdout, "eth0");
      // A wildcard has the list of public suffixes loaded, and it is in the cache.
      const wild = ["run", "-D", "127.0.0.1:9", "--allow", "*.example.test:443", "--", "true"];
      const outcome = await runDeno(wild, { ...call, program: `${scratch}/bin/hawser` });
      assertEquals([outcome.code, outcome.stderr], [0, ""]);
      const refused = await runDeno(["check", "--allow", "*.org", "x"], { ...call, program: `${scratch}/bin/hawser` });
      assertEquals([refused.code, /below org, which is a public suffix/.test(refused.stderr)], [2, true]);
    } finally {
      await Deno.remove(scratch, { recursive: true });
    }
  },
});

Deno.test("publishing fails, and says why, where a package of the registry is not there", async () => {
  const scratch = await Deno.makeTempDir();
  try {
    await using registry = new LoopbackRegistry();
    const config = { name: "@scope/needy", version: "1.0.0", license: "MIT", exports: "./mod.ts" };
    await Deno.writeTextFile(`${scratch}/deno.json`, JSON.stringify(config));
    await Deno.writeTextFile(`${scratch}/mod.ts`, 'export * from "jsr:@scope/missing@1";\n');
    const { code, stderr } = await publish({ jsrUrl: registry.url, cwd: scratch });
    assertEquals(code, 1);
    assertStringIncludes(stderr, "@scope/missing");
    assertEquals(registry.published, []);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
});
