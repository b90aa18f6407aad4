import { assertEquals, assertThrows } from "@std/assert";
import { describeDifference, readRecords, replay } from "../../audit/replay.ts";
import { createRuleList } from "../../rules/read.ts";
import { Records } from "../support/audit_records.ts";

/** The differences between these records and the rules, as lines. */
function differences(rules: string, ...records: Records[]): string[] {
  const list = createRuleList({ rules: { name: "rules.txt", text: rules } });
  const all = records.flatMap(({ list }) => list);
  return replay(list, all).differences.map(describeDifference);
}

const ALLOW = "allow registry.example:443\n";

Deno.test("replay: a list that decides as was recorded makes no difference, and what it was asked about is counted", () => {
  const records = new Records().open().verified("registry.example").close()
    .refuse({ names: ["other.example"], count: 3 })
    .dns("registry.example").dns("other.example", { decision: "refused" }).dns("example", { decision: "forwarded" })
    .dns("gateway.internal", { decision: "local" });
  assertEquals(differences(ALLOW, records), []);
  assertEquals(replay(createRuleList({ rules: ALLOW }), records.list).asked, 7);
});

Deno.test("replay: exactly what a changed list decides otherwise, with counts and the rule that decides", () => {
  const records = new Records().open().verified("registry.example").close()
    .open({ flow: 2 }).verified("registry.example", { flow: 2 }).close({ flow: 2 })
    .refuse({ names: ["other.example"], count: 3 })
    .dns("registry.example").dns("other.example", { decision: "refused" });
  assertEquals(differences("allow other.example\n", records), [
    "allowed now, was refused: dns other.example: allow other.example (rules.txt:1)",
    "refused now, was allowed: dns registry.example: no rule allows it",
    "allowed now, was refused, 3 times: tcp other.example:443 (192.0.2.7): allow other.example (rules.txt:1)",
    "refused now, was allowed, 2 times: tcp registry.example:443 (192.0.2.7): no rule allows it",
  ]);
  assertEquals(differences("deny registry.example\n", new Records().open().close()), [
    "refused now, was allowed: tcp registry.example:443 (192.0.2.7): deny registry.example (rules.txt:1)",
  ]);
});

Deno.test("replay: the name that a stream said counts, whether the list at that time refused the flow or not", () => {
  const names = ["registry.example", "cdn.example"];
  const said = new Records().open({ names }).verified("cdn.example").close();
  assertEquals(differences(ALLOW, said), [
    "refused now, was allowed: tcp cdn.example:443 (192.0.2.7): no rule allows it",
  ]);
  assertEquals(differences("allow registry.example:443 unverified\n", said), []);
  const refused = new Records().open({ names })
    .refuse({ flow: 1, names, reason: "sniRefused", name: "cdn.example" }).close({ ending: "sniRefused" });
  assertEquals(differences(ALLOW, refused), []);
  assertEquals(differences("allow cdn.example\n", refused).length, 1);
  const mute = new Records().open().refuse({ flow: 1, reason: "sniRefused" }).close({ ending: "sniRefused" });
  assertEquals(differences(ALLOW, mute), []);
  assertEquals(differences(`${ALLOW.trim()} unverified\n`, mute).length, 1);
});

Deno.test("replay: addresses decide before names; without an allow-list only what is denied is refused", () => {
  const records = new Records().open({ names: ["a.example", "b.example"] }).close();
  assertEquals(differences("deny 192.0.2.0/24\nallow a.example\n", records).length, 1);
  assertEquals(differences("allow 192.0.2.7:443\n", records), []);
  assertEquals(differences("deny a.example\n", records), []);
  assertEquals(differences("deny a.example\ndeny b.example\n", records).length, 1);
  assertEquals(
    differences("deny a.example\n", new Records().open({ names: ["a.example", "b.example"] }).verified("a.example"))
      .length,
    1,
  );
});

Deno.test("replay: a wildcard allows no address that is not globally reachable, as in the gateway", () => {
  const near = new Records().open({ address: "10.1.2.3", host: "10.1.2.3:443", names: ["a.intern.example"] });
  const far = new Records().open({ address: "93.184.216.34", host: "93.184.216.34:443", names: ["a.intern.example"] });
  assertEquals(differences("allow *.intern.example\n", near).length, 1);
  assertEquals(differences("allow a.intern.example\n", near), []);
  assertEquals(differences("allow *.intern.example\n", far), []);
});

Deno.test("replay: what rules have no part in stays out, and an expired name does not help", () => {
  const others = new Records().refuse({ reason: "limit" }).refuse({ reason: "neverRelayed" }).refuse({
    reason: "hook",
  });
  assertEquals(differences(ALLOW, others), []);
  const expired = new Records().refuse({ reason: "expired" });
  assertEquals(differences(ALLOW, expired), []);
  assertEquals(differences("allow 192.0.2.7\n", expired).length, 1);
});

Deno.test("replay: names on the way to an allowed one may be asked", () => {
  const records = new Records().dns("registry.example", { cnames: ["edge.cdn.example"] }).dns("edge.cdn.example");
  assertEquals(differences(ALLOW, records), []);
  assertEquals(differences("allow other.example\n", records).length, 2);
  assertEquals(differences(`${ALLOW}deny edge.cdn.example\n`, records).length, 1);
});

Deno.test("replay: flows of several runs with the same numbers are not mixed up, and those that never closed count", () => {
  const one = new Records("one").open(), other = new Records("two").open({ names: ["other.example"] });
  const [first] = one.list, [second] = other.list;
  const list = createRuleList({ rules: ALLOW });
  assertEquals(replay(list, [first!, second!]).differences.map(({ what }) => what), [
    "tcp other.example:443 (192.0.2.7)",
  ]);
});

Deno.test("readRecords passes over a line that is cut off, and names the line of what is no record", () => {
  const [open, close] = new Records().open().close().list.map((record) => JSON.stringify(record)) as [string, string];
  const read = (text: string) => [...readRecords(text.split("\n"), "audit.jsonl")].map(({ event }) => event);
  assertEquals(read(`${open}\n${close}\n`), ["open", "close"]);
  assertEquals(read(""), []);
  // A run that was killed, and the next one, which ended the line.
  for (let cut = 6; cut < open.length; cut++) {
    assertEquals(read(`${open.slice(0, cut)}\n${close}\n`), ["close"], open.slice(0, cut));
  }
  for (
    const bad of [
      "GET / HTTP/1.1",
      '{"v":1}',
      '{"v":2,"run":"a","event":"open"}',
      "[]",
      "null",
      open.replace("192.0.2.7", "192.0.2"),
      open.replace('"port":443', '"port":"443"'),
      open.replace('"names":["registry.example"]', '"names":"registry.example"'),
      close.replace('"flow":1', '"flow":"1"'),
    ]
  ) assertThrows(() => read(`${open}\n${bad}\n`), SyntaxError, "audit.jsonl:2: ", bad);
});
