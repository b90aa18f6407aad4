import { assertEquals, assertStringIncludes } from "@std/assert";
import { hawser } from "./run_support.ts";

const RULES = "# packages\nallow registry.example:443\ndeny *.bad.example\nallow dns:*\n";

/** Calls `f` with a folder in which these files are. */
async function withFiles(
  files: Record<string, string | Uint8Array>,
  f: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(
        `${folder}/${name}`,
        typeof content === "string" ? new TextEncoder().encode(content) : content,
      );
    }
    await f(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("check answers a line a target with the rule and where it stands, and exits with 0 or 1", () =>
  withFiles({ rules: RULES }, async (folder) => {
    const rules = `${folder}/rules`;
    const allowed = await hawser(["check", "--rules", rules, "registry.example:443", "dns:anything.test"]);
    assertEquals(
      allowed.stdout,
      [
        `registry.example:443: allowed by "allow registry.example:443" (${rules}:2)`,
        `dns:anything.test: allowed by "allow dns:*" (${rules}:4)\n`,
      ].join("\n"),
    );
    assertEquals([allowed.code, allowed.stderr], [0, ""]);
    // The file that the environment names is the default, and options add to it.
    const words = ["check", "--allow", "192.0.2.0/24", "registry.example", "x.bad.example:80", "192.0.2.7"];
    const some = await hawser(words, { env: { HAWSER_RULES: rules } });
    assertEquals(
      some.stdout,
      [
        `registry.example: allowed at 443 by "allow registry.example:443" (${rules}:2)`,
        `x.bad.example:80: refused by "deny *.bad.example" (${rules}:3)`,
        "192.0.2.7: allowed by --allow 192.0.2.0/24\n",
      ].join("\n"),
    );
    assertEquals(some.code, 1);
    const other = await hawser(["check", "--rules", "/dev/null", "registry.example:1"], {
      env: { HAWSER_RULES: rules },
    });
    assertEquals([other.code, other.stdout], [0, "registry.example:1: allowed because no rule is about it\n"]);
  }));

Deno.test("check, run and serve say which file and line cannot be followed, and what would be right", () =>
  withFiles({ rules: RULES, suffix: "\nallow *.co.uk\n", bytes: new Uint8Array([0xff, 0xfe]) }, async (folder) => {
    const cases: [string[], number, string][] = [
      [
        ["check", "--rules", `${folder}/suffix`, "a"],
        2,
        `hawser check: ${folder}/suffix:2: bad rule "*.co.uk": anybody can`,
      ],
      [["check", "--rules", `${folder}/none`, "a"], 2, `cannot read the rules ${folder}/none: there is no such file`],
      [["check", "--rules", folder, "a"], 2, "it is a directory"],
      [
        ["check", "--rules", "/dev/fd/0", "a"],
        2,
        "Deno may not read it (--allow-read), and no path below /dev or /proc",
      ],
      [["check", "--rules", `${folder}/bytes`, "a"], 2, "it is not UTF-8"],
      [["check", "--allow", "*.com", "a"], 2, "hawser check: bad --allow *.com: anybody can register a name below com"],
      [["check", "--deny", "*", "a"], 2, "hawser check: bad --deny *: * is every host"],
      [["check", "a", "--deny", "b"], 2, "options go before TARGET"],
      [["check", "--rules", "-", "a"], 2, "bad --rules -: it is the name of a file"],
      [["run", "--rules", `${folder}/suffix`, "true"], 2, `hawser run: ${folder}/suffix:2: bad rule "*.co.uk"`],
      [["run", "--rules", `${folder}/none`, "true"], 125, "hawser: cannot read the rules"],
      [["run", "--dns", "none", "--rules", `${folder}/rules`, "true"], 2, "without DNS no name leads anywhere"],
      [
        ["run", "--dns", "none", "--allow", "a.test", "true"],
        2,
        "bad --allow a.test: without DNS no name leads anywhere",
      ],
      [["serve", "--listen", `unix:${folder}/s`, "--deny", "*.org"], 2, "hawser serve: bad --deny *.org: anybody can"],
    ];
    for (const [words, code, line] of cases) {
      const { stderr, ...outcome } = await hawser(words);
      assertStringIncludes(stderr, line);
      assertEquals([outcome.code, outcome.stdout, stderr.trimEnd().split("\n").length], [code, "", 1], words.join(" "));
    }
  }));
