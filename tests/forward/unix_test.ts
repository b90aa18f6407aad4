import { assertMatch } from "@std/assert";

const CASES = decodeURIComponent(new URL("./unix_cases.ts", import.meta.url).pathname);

Deno.test({
  name:
    "Unix sockets: listening, taking over a stale one, half-close (unix_cases.ts, with permission for its paths alone)",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const sockets = ["app", "left", "right"].map((name) => `unix:${folder}/${name}.sock`).join(",");
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [
          "test",
          "--no-check",
          "--no-prompt",
          "--sanitize-ops",
          "--sanitize-resources",
          `--allow-net=${sockets}`,
          `--allow-read=${folder}`,
          `--allow-write=${folder}`,
          CASES,
          "--",
          folder,
        ],
        env: { NO_COLOR: "1" },
      }).output();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      if (!success) throw new Error(text);
      assertMatch(text, /ok \| 7 passed \| 0 failed/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
