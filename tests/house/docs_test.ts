import { assertEquals, assertGreater } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

/**
 * Paths of test files and words of tests in them, as docs/complaints.md names them: one path, then one or more quoted
 * names.
 */
function namedTests(text: string): [path: string, name: string][] {
  return [...text.matchAll(/`(tests\/[^`]+_test\.ts)`: "([^"]+)"/g)].map((match) => [match[1]!, match[2]!]);
}

Deno.test("docs/complaints.md names tests that there are", async () => {
  const named = namedTests(await Deno.readTextFile(new URL("docs/complaints.md", ROOT)));
  assertGreater(named.length, 20);
  const missing: string[] = [];
  for (const [path, name] of named) {
    const text = await Deno.readTextFile(new URL(path, ROOT)).catch(() => "");
    if (!text.includes(name)) missing.push(`${path}: ${name}`);
  }
  assertEquals(missing, []);
});

Deno.test("namedTests reads each test of a row", () => {
  const row = '| it hangs | `tests/a_test.ts`: "one"; `tests/b/c_test.ts`: "two", `bench/` | "three" |';
  assertEquals(namedTests(row), [["tests/a_test.ts", "one"], ["tests/b/c_test.ts", "two"]]);
});

Deno.test("documents link to files that there are", async () => {
  const missing: string[] = [];
  for (const folder of ["", "docs/"]) {
    for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
      if (!name.endsWith(".md")) continue;
      const file = new URL(`${folder}${name}`, ROOT);
      for (const [, target] of (await Deno.readTextFile(file)).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        await Deno.stat(new URL(target!, file)).catch(() => missing.push(`${folder}${name}: ${target}`));
      }
    }
  }
  assertEquals(missing, []);
});
