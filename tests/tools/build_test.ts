import { assertEquals, assertRejects } from "@std/assert";
import { put } from "../../tools/build.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function names(folder: string): Promise<string[]> {
  const found = [];
  for await (const { name } of Deno.readDir(folder)) found.push(name);
  return found.sort();
}

Deno.test("put makes the folder, the file and its links, and replaces its own", async () => {
  await inFolder(async (parent) => {
    const folder = `${parent}/a/b`;
    await put("one", folder, ["slirp4netns"]);
    const old = await Deno.open(`${folder}/hawser`);
    await put("two", folder, ["slirp4netns"]);
    assertEquals(await Deno.readTextFile(`${folder}/slirp4netns`), "two");
    assertEquals(((await Deno.stat(`${folder}/slirp4netns`)).mode ?? 0) & 0o777, 0o755);
    // Who runs the old one keeps it whole.
    assertEquals(await new Response(old.readable).text(), "one");
    assertEquals(await names(folder), ["hawser", "slirp4netns"]);
  });
});

Deno.test("put hides no file and no link of somebody else, and leaves nothing if it refuses", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/slirp4netns`, "a real one");
    await assertRejects(() => put("one", folder, ["slirp4netns"]), Error, "is there and is not Hawser's");
    await Deno.remove(`${folder}/slirp4netns`);
    await Deno.symlink("/usr/bin/other", `${folder}/slirp4netns`);
    await assertRejects(() => put("one", folder, ["slirp4netns"]), Error, "choose another folder");
    assertEquals(await names(folder), ["slirp4netns"]);
  });
});
