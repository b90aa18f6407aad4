import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS } from "./internet.ts";
import { auditColumn, readAudit } from "./names_support.ts";
import { fillRegistry, npmEnvironment, writeProject } from "./npm_registry.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "npm", "tar");
const PACKAGES = [
  { name: "alpha", host: "registry.example", dependencies: ["beta"] },
  { name: "beta", host: "registry.example" },
  { name: "gamma", host: "tenant-a.example" },
];
const ELSEWHERE = { name: "delta", host: "other.example" };

Deno.test({
  name:
    `hawser run --learn writes what npm ci needs; enforced, it installs the same, and a package from elsewhere is named${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const folder = internet.folder, audit = `${folder}/audit.jsonl`, rules = `${folder}/rules.txt`;
    const digests = await fillRegistry(`${folder}/www`, [...PACKAGES, ELSEWHERE]);
    const env = npmEnvironment("registry.example", { ca: `${folder}/ca.pem`, folder: `${folder}/home` });
    await writeProject(`${folder}/project`, PACKAGES, digests);
    await writeProject(`${folder}/more`, [...PACKAGES, ELSEWHERE], digests);
    const install = async (project: string, options: readonly string[]) => {
      await Deno.remove(`${folder}/home`, { recursive: true }).catch(() => {});
      await Deno.remove(audit).catch(() => {});
      const cwd = `${folder}/${project}`;
      const outcome = await internet.hawser(["run", ...options, "--audit", audit, "--", "npm", "ci"], { env, cwd });
      return { ...outcome, audit: readAudit(await Deno.readTextFile(audit)) };
    };

    const learnt = await install("project", ["--learn", rules]);
    assertEquals(learnt.code, 0, learnt.stderr);
    const text = await Deno.readTextFile(rules);
    assertEquals(
      text.split("\n").filter((line) => !line.startsWith("#") && line !== "").map((line) => line.replace(/\s*#.*/, "")),
      [
        "allow registry.example:443",
        "allow tenant-a.example:443",
      ],
    );

    const enforced = await install("project", ["--rules", rules]);
    assertEquals(enforced.code, 0, enforced.stderr);
    assertEquals(enforced.stderr, "");
    for (const { name } of PACKAGES) {
      assertStringIncludes(await Deno.readTextFile(`${folder}/project/node_modules/${name}/index.js`), name);
    }
    assert(auditColumn(enforced.audit, "verified", "via", "name").includes("sni registry.example"));
    assertEquals(auditColumn(enforced.audit, "refuse", "reason"), []);

    await internet.forget();
    const more = await install("more", ["--rules", rules]);
    assertNotEquals(more.code, 0);
    assertStringIncludes(more.stderr, "other.example");
    assert(auditColumn(more.audit, "dns", "decision", "name").includes("refused other.example"));
    assertEquals((await internet.visits()).some(({ text }) => text.includes("other.example")), false);

    // What was recorded, over a list that lacks one name and has another: exactly the difference.
    const changed = `${folder}/changed.txt`;
    await Deno.writeTextFile(changed, text.replace(/^allow tenant-a.*$/m, "allow other.example:443"));
    const replay = await internet.hawser(["check", "--rules", changed, "--audit", audit]);
    assertEquals(replay.code, 1, replay.stderr);
    assertStringIncludes(replay.stdout, "tenant-a.example");
    assertStringIncludes(replay.stdout, "other.example");
    assertEquals(replay.stdout.includes("registry.example"), false, replay.stdout);
    const same = await internet.hawser(["check", "--rules", rules, "--audit", audit]);
    assertEquals([same.code, same.stderr], [0, ""], same.stdout);
  },
});
