import { assertEquals, assertRejects } from "@std/assert";
import { LoopbackRegistry } from "../../tools/jsr/registry.ts";
import { readTarball } from "../../tools/jsr/tar.ts";

/** A gzipped ustar archive with one entry, whose header says `size`. */
function tarball(name: string, content: string, { kind = "0", size = content.length } = {}): ReadableStream {
  const bytes = new Uint8Array(512 * (2 + Math.ceil(content.length / 512)));
  const put = (text: string, at: number) => bytes.set(new TextEncoder().encode(text), at);
  put(name, 0);
  put(`${size.toString(8).padStart(11, "0")}\0`, 124);
  put(kind, 156);
  put(content, 512);
  return new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
}

Deno.test("readTarball gives files by path and refuses links and archives that are cut off", async () => {
  const files = await readTarball(tarball("net/mod.ts", "export {};\n"));
  assertEquals([...files].map(([path, bytes]) => [path, new TextDecoder().decode(bytes)]), [
    ["/net/mod.ts", "export {};\n"],
  ]);
  await assertRejects(() => readTarball(tarball("link", "", { kind: "2" })), TypeError, "link is of kind 2");
  await assertRejects(() => readTarball(tarball("mod.ts", "x", { size: 99999 })), TypeError, "it ends within mod.ts");
});

Deno.test("LoopbackRegistry serves what was published to it, with its hash, and nothing else", async () => {
  await using registry = new LoopbackRegistry();
  const version = `${registry.url}api/scopes/a/packages/b/versions/1.2.3`;
  const status = async (url: string) => {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status(version), 404);
  const body = tarball("deno.json", '{"exports":"./deno.json"}');
  await (await fetch(`${version}?config=/deno.json`, { method: "POST", body })).body?.cancel();
  assertEquals([await status(version), registry.published], [200, ["@a/b@1.2.3"]]);
  const { latest, versions } = await (await fetch(`${registry.url}@a/b/meta.json`)).json();
  assertEquals([latest, versions], ["1.2.3", { "1.2.3": {} }]);
  const checksum = "sha256-f3f887b8f1d80f3b044ed4b189fa2bd9d410a5166f8999ace25f8ff641ef7abd";
  const meta = await (await fetch(`${registry.url}@a/b/1.2.3_meta.json`)).json();
  assertEquals(meta.exports, { ".": "./deno.json" });
  assertEquals(meta.manifest["/deno.json"], { size: 25, checksum });
  assertEquals(await (await fetch(`${registry.url}@a/b/1.2.3/deno.json`)).text(), '{"exports":"./deno.json"}');
  for (const path of ["@a/c/meta.json", "@a/b/2.0.0_meta.json", "@a/b/1.2.3/mod.ts", "@a/b/2.0.0/deno.json", ""]) {
    assertEquals(await status(`${registry.url}${path}`), 404, path);
  }
});
