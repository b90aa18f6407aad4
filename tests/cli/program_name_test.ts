import { assertEquals } from "@std/assert";
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

Deno.test("main: the file's name, or the first word, is the program that Hawser stands in for", async () => {
  const folder = await Deno.makeTempDir(), config = new URL("../../deno.json", import.meta.url).pathname;
  try {
    const start = JSON.stringify(new URL("../../cli/start.ts", import.meta.url).href);
    await Deno.writeTextFile(`${folder}/pasta`, `import { start } from ${start};\nawait start(import.meta.url);\n`);
    const calls = [
      ["pasta 0.0~git", `${folder}/pasta`],
      ["pasta 0.0~git", CLI.pathname, "pasta"],
      ["slirp4netns version ", CLI.pathname, "slirp4netns"],
      ["hawser ", CLI.pathname],
    ] as const;
    for (const [begins, ...words] of calls) {
      const args = ["run", "--no-prompt", "--config", config, "--ext=ts", "--allow-ffi", "--allow-read", ...words];
      const { code, stdout } = await new Deno.Command(Deno.execPath(), { args: [...args, "--version"] }).output();
      assertEquals(code, 0);
      assertEquals(new TextDecoder().decode(stdout).startsWith(begins), true, `${words}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
