import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { readRuleList } from "../../rules/read.ts";
import { RuleError } from "../../rules/rule_error.ts";

Deno.test("checkSuffixes refuses a wildcard over an ICANN suffix and says which domain is meant instead", async () => {
  for (const suffix of ["com", "co.uk", "xn--p1ai", "рф", "ck", "kawasaki.jp", "COM."]) {
    for (const rule of [{ allow: [`*.${suffix}:443`] }, { deny: [`*.${suffix}`] }, { allow: [`dns:*.${suffix}`] }]) {
      const error = await assertRejects(() => readRuleList(rule), RuleError, "which is a public suffix", suffix);
      assertStringIncludes(error.problem, "such as *.example.");
    }
  }
  const file = { name: "rules.txt", text: "\nallow *.example.com\nallow *.org" };
  assertEquals((await assertRejects(() => readRuleList({ rules: file }), RuleError)).source, "rules.txt:3");
});

Deno.test("checkSuffixes follows all other wildcards, with a warning over a private suffix", async () => {
  const fine = [
    "*.example.com",
    "*.internal",
    "*.corp.internal",
    "dns:*",
    "*.city.kawasaki.jp",
    "*.www.ck",
    "com",
    "co.uk",
  ];
  assertEquals((await readRuleList({ allow: fine })).warnings, []);
  for (const suffix of ["github.io", "s3.amazonaws.com", "compute.amazonaws.com"]) {
    const { warnings: [warning, ...more] } = await readRuleList({ allow: [`*.${suffix}`] });
    assertEquals([warning?.kind, warning?.rule?.text, more], ["privateSuffix", `allow *.${suffix}`, []]);
    assertEquals(
      warning!.message,
      `anybody can have a name below ${suffix}, and allow *.${suffix} is about all of them`,
    );
  }
});

Deno.test("the list of public suffixes is loaded if there is a wildcard to look up, and only then", async () => {
  const folder = await Deno.makeTempDir(), map = `${folder}/imports.json`, script = `${folder}/script.ts`;
  try {
    await Deno.writeTextFile(
      map,
      JSON.stringify({ imports: { tldts: "data:text/javascript,throw new Error('loaded')" } }),
    );
    await Deno.writeTextFile(
      script,
      `import { readRuleList } from ${JSON.stringify(new URL("../../rules/read.ts", import.meta.url).href)};
      for (const allow of [["a.example", "10.0.0.1", "dns:*"], ["*.a.example"]]) {
        console.log(await readRuleList({ allow }).then(() => "read", (error) => error.message));
      }`,
    );
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-config", "--no-lock", "--no-check", "--import-map", map, script],
      env: { NO_COLOR: "1" },
    }).output();
    assertEquals(new TextDecoder().decode(stdout), "read\nloaded\n", new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
