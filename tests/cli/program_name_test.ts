import { assertEquals, assertStringIncludes } from "@std/assert";
import { programName } from "../../cli/program_name.ts";

const CLI = new URL("../../cli.ts", import.meta.url);

Deno.test("programName: a file called slirp4netns or pasta is that program, every other one is hawser", () => {
  assertEquals(programName("file:///usr/local/bin/slirp4netns"), "slirp4netns");
  assertEquals(programName("file:///usr/local/bin/pasta"), "pasta");
  assertEquals(programName("file:///usr/local/bin/hawser"), "hawser");
  assertEquals(programName("file:///src/cli.ts"), "hawser");
  assertEquals(programName("https://jsr.io/@hawser/hawser/0.1.0/cli.ts"), "hawser");
  assertEquals(programName("file:///slirp4netns/cli.ts"), "hawser");
  assertEquals(programName("file:///usr/local/bin/slirp4netns.old"), "hawser");
  assertEquals(programName("file:///usr/local/bin/my-pasta"), "hawser");
});

async function call(file: string, ...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const args = ["run", "--no-prompt", "--config", config, "--ext=ts", "--allow-ffi", "--allow-read", file, ...words];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("main: under the name of a program that it does not stand in for, Hawser says so in one line and fails with 1", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/pasta`,
      `import { start } from ${JSON.stringify(new URL("../../cli/start.ts", import.meta.url).href)};
await start(import.meta.url);
`,
    );
    for (
      const [file, ...words] of [[`${folder}/pasta`, "--version"], [CLI.pathname, "pasta", "--version"]] as const
    ) {
      const { code, stdout, stderr } = await call(file, ...words);
      assertEquals([code, stdout], [1, ""]);
      assertEquals(stderr, "pasta: this is Hawser, which does not stand in for pasta yet, see hawser --help\n");
    }
    const { code, stdout } = await call(CLI.pathname, "--version");
    assertEquals(code, 0);
    assertStringIncludes(stdout, "hawser ");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
