import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { oneFile } from "../../tools/one_file.ts";

const OPTIONS = { entry: "start.js", deno: "deno", flags: ["--ext=js", "--no-config", "--allow-read"] };

function chunksOf(texts: Record<string, string>): Map<string, string> {
  return new Map(Object.entries(texts));
}

/** Runs the file that these chunks make, under a name without an ending. */
async function run(texts: Record<string, string>): Promise<{ code: number; stdout: string; stderr: string }> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/program`, oneFile(chunksOf(texts), OPTIONS));
    const args = ["run", "--quiet", "--ext=js", "--no-config", "--allow-read", `${folder}/program`];
    const output = await new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1" } }).output();
    const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { code: output.code, stdout: stdout!, stderr: stderr!.replaceAll(folder, "") };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("oneFile: chunks see each other's exports, run once each, and only if they are wanted", async () => {
  const { code, stdout, stderr } = await run({
    "start.js":
      'import{a as n,b}from"./shared.js";import"./effect.js";async function s(u){console.log(n,b(),u.split("/").pop());' +
      'let{x:e}=await import("./late.js");console.log(e)}export{s as start};\n',
    "shared.js": 'console.log("shared");var n=1;function b(){return"two"}export{n as a,b};\n',
    "effect.js": 'import{a as q}from"./shared.js";console.log("effect",q);',
    "late.js": 'import{a}from"./shared.js";console.log("late",a);var x="*/ /* \\u2026";export{x};',
    "never.js": 'console.log("never");',
  });
  const lines = ["shared", "effect 1", "1 two program", "late 1", "*/ /* \u2026"];
  assertEquals([code, stdout, stderr], [0, lines.map((line) => `${line}\n`).join(""), ""]);
});

Deno.test("oneFile: Node's modules are imported wherever a chunk says so, and control characters survive", async () => {
  const { stdout, stderr } = await run({
    "start.js":
      'var t="a\x01b\x00";import{isIPv4 as i}from"node:net";import"node:process";function start(){console.log(i("1.2.3.4"),' +
      "JSON.stringify(t))}export{start};",
  });
  assertEquals([stdout, stderr], ['true "a\\u0001b\\u0000"\n', ""]);
});

Deno.test("oneFile: an error in a chunk names the chunk", async () => {
  const { code, stderr } = await run({ "start.js": 'function start(){throw new Error("broken")}export{start};' });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "broken");
  assertStringIncludes(stderr, "at Object.start (start.js");
});

Deno.test("oneFile refuses a chunk of another form", () => {
  const refused = (text: string, what: string) =>
    assertThrows(() => oneFile(chunksOf({ "start.js": text }), OPTIONS), Error, what);
  refused('import x from"./start.js";', "an import or export in its middle");
  refused('import*as x from"node:net";', "an import or export in its middle");
  refused('import{a}from"npm:x";', "an import or export in its middle");
  refused('import{a}from"./other.js";', "an import of other.js, which is no chunk");
  refused('await import("./other.js");', "an import of other.js, which is no chunk");
  refused("var u=import.meta.url;", "import.meta");
  refused("export default 1;", "an import or export in its middle");
  refused("export{a as b};var a;", "an import or export in its middle");
  refused('var t="\u2026";', "letters beyond ASCII");
  refused("var hawserLoad;", "a name that the loader has");
});

Deno.test("oneFile refuses a path of Deno that a first line cannot have", () => {
  const chunks = chunksOf({ "start.js": "export{};" });
  for (const deno of ["/home/a b/deno", `/${"x".repeat(300)}`, "/d\u00e9no"]) {
    assertThrows(() => oneFile(chunks, { ...OPTIONS, deno }), Error, "in the first line");
  }
  assertEquals(
    oneFile(chunks, { ...OPTIONS, deno: "/opt/deno" }).split("\n")[0],
    "#!/usr/bin/env -S /opt/deno run --ext=js --no-config --allow-read",
  );
});
