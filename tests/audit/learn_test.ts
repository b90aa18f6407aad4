import { assertEquals } from "@std/assert";
import { isLearnt, learn, UNFINISHED_TEXT } from "../../audit/learn.ts";
import { differencesOf } from "../../audit/replay.ts";
import { UsageReader } from "../../audit/usage.ts";
import { parseRule } from "../../rules/parse_rule.ts";
import { createRuleList } from "../../rules/read.ts";
import { Records } from "../support/audit_records.ts";

/** What is learnt, without the head and its text after the marks of comments. */
function learnt(records: Records): { rules: string[]; usage: UsageReader; text: string } {
  const usage = new UsageReader();
  for (const record of records.list) usage.take(record);
  usage.finish();
  const { text } = learn(usage, (rule) => parseRule(rule, { verdict: "allow", source: "" }));
  return { rules: text.split("\n").slice(1, -1).map((line) => line.replaceAll(/ +/g, " ")), usage, text };
}

/** The rules that are learnt; asserts that under them nothing of the run would be refused. */
function rulesFor(records: Records): string[] {
  const { rules, usage, text } = learnt(records);
  assertEquals(differencesOf(createRuleList({ rules: text }), usage).differences, []);
  return rules;
}

Deno.test("learn: the name that the stream said, if DNS led there by it; ports and counts together", () => {
  const names = ["registry.example", "cdn.example"];
  const records = new Records()
    .open({ names }).verified("registry.example").close({ verified: true })
    .open({ flow: 2, names }).verified("registry.example", { flow: 2 }).close({ flow: 2 })
    .open({ flow: 3, port: 80, names }).verified("registry.example", { flow: 3, via: "host" }).close({ flow: 3 })
    .dns("registry.example").dns("cdn.example").dns("cdn.example", { type: "AAAA" });
  assertEquals(rulesFor(records), [
    "allow registry.example:80,443 # 2 tls, 1 http",
    "allow dns:cdn.example # 2 dns",
  ]);
});

Deno.test("learn: every name that led there where the stream says none, and addresses only where no name led", () => {
  const records = new Records()
    .open({ port: 22, names: ["git.example", "alias.example"] }).close()
    .open({ flow: 2, port: 22, names: [], address: "2001:db8::7", host: "[2001:db8::7]:22" }).close({ flow: 2 })
    .open({ flow: 3, protocol: "udp", port: 123, names: ["time.example"] }).close({ flow: 3 })
    .open({ flow: 4, protocol: "udp", port: 53, names: [], address: "192.0.2.9", host: "192.0.2.9:53" })
    .open({ flow: 5, protocol: "icmp", port: null, names: ["git.example"], host: "192.0.2.7" });
  assertEquals(rulesFor(records), [
    "allow alias.example:22 # 1 tcp",
    "allow icmp:git.example # 1 icmp",
    "allow git.example:22 # 1 tcp",
    "allow udp:time.example:123 # 1 udp",
    "allow udp:192.0.2.9:53 # 1 udp",
    "allow tcp:[2001:db8::7]:22 # 1 tcp",
  ]);
});

Deno.test("learn: unverified only where TLS or HTTP named nobody, or somebody else than DNS", () => {
  const wouldRefuse = { wouldRefuse: true } as const;
  const records = new Records()
    .open({ names: ["db.example"] })
    .refuse({ flow: 1, reason: "sniRefused", names: ["db.example"], ...wouldRefuse }).close()
    .open({ flow: 2, names: ["old.example"] })
    .refuse({ flow: 2, reason: "hostRefused", name: "other.example", names: ["old.example"], ...wouldRefuse })
    .close({ flow: 2 })
    .open({ flow: 3, names: ["db.example"], port: 80 }).verified("db.example", { flow: 3, via: "host" })
    .close({ flow: 3 });
  assertEquals(learnt(records).rules, [
    "allow db.example:80 # 1 http",
    "allow db.example:443 unverified # 1 tcp",
    "allow old.example:443 unverified # 1 http",
  ]);
});

Deno.test("learn: a proxy's target gets a rule beside the proxy's own", () => {
  const records = new Records()
    .open({ port: 3128, names: ["proxy.example"] })
    .verified("registry.example", { via: "host", port: 443 }).close({ verified: true });
  assertEquals(rulesFor(records), ["allow proxy.example:3128 # 1 http", "allow registry.example:443 # 1 by proxy"]);
});

Deno.test("learn: what was refused, answered here, begun by the host or cannot be a rule is left out, and that is said", () => {
  const records = new Records()
    .refuse()
    .open({ by: "host", names: [] }).close()
    .open({ flow: 2 }).close({ flow: 2, ending: "auditUnavailable" })
    .dns("gateway.internal", { decision: "local" })
    .dns("denied.example", { decision: "refused" })
    .dns(".", { type: "NS" })
    .dns("a\\032b.example").dns("7.2.0.192");
  const { rules } = learnt(records);
  assertEquals(rules, [
    "# 7.2.0.192 cannot be a rule: 1 dns",
    "# a\\032b.example cannot be a rule: 1 dns",
    "deny 0.0.0.0/0 # nothing was used",
    "deny ::/0 # nothing was used",
  ]);
});

Deno.test("learn: a run that asked for no name gets a list that lets none be asked for", () => {
  const records = new Records().open({ names: [] }).close();
  assertEquals(rulesFor(records), ["allow tcp:192.0.2.7:443 # 1 tcp", "deny dns:* # no name was asked for"]);
  const list = createRuleList({ rules: learnt(records).text });
  assertEquals(list.asks("registry.example").decision, "refuse");
  assertEquals(learnt(new Records()).rules.at(-1), "deny dns:* # no name was asked for");
});

Deno.test("learn in report mode: what the list at that time would have refused is learnt too", () => {
  const records = new Records()
    .refuse({ flow: 1, wouldRefuse: true }).open().verified("registry.example").close()
    .dns("registry.example", { wouldRefuse: true });
  assertEquals(learnt(records).rules, ["allow registry.example:443 # 1 tls"]);
});

Deno.test("isLearnt: files that --learn wrote or that are empty may be overwritten, and no others", () => {
  const { text } = learnt(new Records().open().close());
  assertEquals([text, UNFINISHED_TEXT, "", "allow registry.example\n"].map(isLearnt), [true, true, true, false]);
});

Deno.test("UNFINISHED_TEXT is no list of rules, so nobody takes it for one that allows everything", () => {
  let message = "";
  try {
    createRuleList({ rules: { name: "rules.txt", text: UNFINISHED_TEXT } });
  } catch (error) {
    message = (error as Error).message;
  }
  assertEquals(message.includes("rules.txt:2"), true, message);
});
