import { assertEquals, assertStringIncludes } from "@std/assert";
import { checkedRecords } from "../support/audit_schema.ts";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS } from "./internet.ts";
import { PROBE } from "./names_support.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "python3");

/** What the guest does: TLS with a name and without, HTTP, a stream that says none, datagrams, a question alone. */
const DEEDS = `
  print(tls("tenant-a.example", 443, "tenant-a.example"))
  print(tls("registry.example", 443, None, inside="registry.example"))
  print(http("cdn.example", 80, "Host: cdn.example"))
  print(raw("git.example", 7000, b"hello\\n"))
  print(udp("cdn.example", 123))
  print(dns("other.example"))
  print(raw("93.184.216.60", 7000, b"hello\\n"))
`;

Deno.test({
  name:
    `hawser run --learn, by names: what each stream said, every name where it said none; with that list the same passes and nothing else${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const [learnt, audit] = [`${internet.folder}/learnt.txt`, `${internet.folder}/audit.jsonl`];
    const run = async (options: readonly string[], lines: string) => {
      const code = `exec(open("${PROBE}").read())\n${lines.replace(/^ +/gm, "")}`;
      const words = ["run", "-4", ...options, "--audit", audit, "--", "python3", "-c", code];
      const { code: exitCode, stdout, stderr } = await internet.hawser(words);
      assertEquals(exitCode, 0, stderr);
      return { answers: stdout.split("\n").slice(0, -1), stderr };
    };
    const first = await run(["--learn", learnt], DEEDS);
    assertEquals(first.answers.filter((answer) => !/^(open|NOERROR)/.test(answer)), [], first.answers.join("\n"));
    assertEquals(first.stderr.split("\n").filter((line) => /refused now/.test(line)), [], first.stderr);
    const rules = Deno.readTextFileSync(learnt).split("\n").slice(1, -1).map((line) => line.replaceAll(/ +/g, " "));
    assertEquals(rules, [
      "allow cdn.example:80 # 1 http",
      "allow udp:cdn.example:123 # 1 udp",
      "allow git.example:7000 # 1 tcp",
      "allow registry.example:443 unverified # 1 tcp",
      "allow tenant-a.example:443 # 1 tls",
      // It had led to the same address.
      "allow udp:tenant-a.example:123 # 1 udp",
      "allow tcp:93.184.216.60:7000 # 1 tcp",
      `allow dns:other.example # ${rules.at(-1)!.match(/\d+/)?.[0]} dns`,
    ]);
    const second = await run(["--rules", learnt], DEEDS);
    assertEquals(second.answers, first.answers);
    const others = await run(
      ["--rules", learnt],
      `
      print(tls("tenant-a.example", 443, "tenant-b.example"))
      print(tls("tenant-b.example", 443, "tenant-b.example"))
      print(raw("mail.example", 25, b"hello"))
      print(raw("git.example", 22, b"hello"))
      print(raw("93.184.216.60", 7001, b"hello"))
    `,
    );
    assertEquals(others.answers, ["reset", "no name", "no name", "refused", "refused"]);
    assertStringIncludes(others.stderr, "tenant-b.example");
    const records = checkedRecords(Deno.readTextFileSync(audit));
    assertEquals(records.filter(({ event }) => event === "gap").length, 0);
    // Of the first run it says that the one stream that named nobody would have been refused.
    const check = await internet.hawser(["check", "--rules", learnt, "--audit", audit]);
    const otherwise = check.stdout.split("\n").slice(0, -2);
    assertEquals(
      otherwise.filter((line) => !line.startsWith("allowed now, was refused: tcp registry.example:443")),
      [],
    );
  },
});
