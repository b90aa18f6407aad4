/**
 * Whether a namespace is still there: told at once when its name is removed, its process ends or another file has its
 * name, and not when something else in its folder is removed.
 *
 * @module
 */
import { assertEquals, assertLess } from "@std/assert";
import { NamespaceWatch } from "../../cli/namespace_watch.ts";
import { requires } from "../support/requirements.ts";

const needs = requires("linux");
/** Less than the period in which it looks in any case. */
const AT_ONCE_MS = 900;

// A look that is under way ends by itself, within a second.
function test(name: string, fn: (folder: string) => Promise<void>): void {
  const options = { ignore: needs.ignore, sanitizeOps: false, sanitizeResources: false };
  Deno.test({
    name: `NamespaceWatch ${name}${needs.reason}`,
    ...options,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "hawser-watch-" });
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** Tells of the end, and how long that took: the best of some tries, since a busy machine may be late once. */
async function soonest(attempt: () => Promise<{ readonly told: string; readonly took: number }>): Promise<string> {
  let best = await attempt();
  for (let tries = 1; tries < 5 && best.took >= AT_ONCE_MS; tries++) best = await attempt();
  assertLess(best.took, AT_ONCE_MS);
  return best.told;
}

test("tells at once that the file is removed, and nothing of its neighbours", async (folder) => {
  const path = `${folder}/one`, other = `${folder}/other`;
  const told = await soonest(async () => {
    for (const file of [path, other]) await Deno.writeTextFile(file, "");
    using watch = new NamespaceWatch({ path });
    await Deno.remove(other);
    const isStillThere = await Promise.race([watch.gone, new Promise((resolve) => setTimeout(resolve, 100, "there"))]);
    assertEquals(isStillThere, "there");
    const began = performance.now();
    await Deno.remove(path);
    return { told: await watch.gone, took: performance.now() - began };
  });
  assertEquals(told, `namespace ${path} is gone`);
});

test("tells that another file has the name", async (folder) => {
  const path = `${folder}/one`;
  await Deno.writeTextFile(path, "");
  await Deno.writeTextFile(`${folder}/other`, "");
  using watch = new NamespaceWatch({ path });
  await Deno.rename(`${folder}/other`, path);
  assertEquals(await watch.gone, `namespace ${path} is gone`);
});

test("tells at once that a process has ended, and that there is none", async () => {
  const told = await soonest(async () => {
    const child = new Deno.Command("sleep", { args: ["1000"] }).spawn();
    using watch = new NamespaceWatch({ pid: child.pid });
    const began = performance.now();
    child.kill("SIGKILL");
    const told = await watch.gone;
    await child.status;
    return { told: told.replace(`${child.pid}`, "N"), took: performance.now() - began };
  });
  assertEquals(told, "process N is gone");
  using watch = new NamespaceWatch({ pid: 0x3fffffff });
  assertEquals(await watch.gone, "process 1073741823 is gone");
});

test("tells nothing once it is disposed of", async (folder) => {
  const path = `${folder}/one`;
  await Deno.writeTextFile(path, "");
  const watch = new NamespaceWatch({ path });
  watch[Symbol.dispose]();
  await Deno.remove(path);
  const told = await Promise.race([watch.gone, new Promise((resolve) => setTimeout(resolve, 1500, "nothing"))]);
  assertEquals(told, "nothing");
});
