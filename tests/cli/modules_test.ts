import { assertEquals, assertGreater } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

/** The paths of modules that a Worker is made of, in the files of `folder`. */
async function workerModules(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
    if (!name.endsWith(".ts")) continue;
    const text = await Deno.readTextFile(new URL(`${folder}${name}`, ROOT));
    found.push(...[...text.matchAll(/new Worker\(new URL\("\.\/([^"]+)"/g)].map(([, path]) => `${folder}${path}`));
  }
  return found;
}

Deno.test("what a Worker of the command loads is in its module graph, so that it is fetched ahead", async () => {
  const workers = await workerModules("cli/");
  assertGreater(workers.length, 0);
  const args = ["info", "--json", new URL("cli.ts", ROOT).href];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args, stderr: "null" }).output();
  const modules: { specifier: string }[] = JSON.parse(new TextDecoder().decode(stdout)).modules;
  const graph = new Set(modules.map(({ specifier }) => specifier));
  assertEquals(workers.filter((path) => !graph.has(new URL(path, ROOT).href)), []);
});
