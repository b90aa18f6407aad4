import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { DEFAULT_DENY } from "../../nat/rules/rule.ts";
import { createRuleList, digestOf, readRuleList, type RuleOptions } from "../../rules/read.ts";
import { RuleError } from "../../rules/rule_error.ts";

function lines(options: RuleOptions): string[] {
  return createRuleList(options).rules.map(({ text, source }) => `${source} ${text}`);
}

const DEFAULTS = DEFAULT_DENY.map((text) => `the default deny ${text}`);

Deno.test("createRuleList adds up options and files, and the default unless one of them drops it", () => {
  assertEquals(lines({}), DEFAULTS);
  assertEquals(lines({ allow: ["a.example"], deny: ["10.0.0.0/8"], rules: "allow b.example\ndeny c.example" }), [
    "--allow allow a.example",
    "--deny deny 10.0.0.0/8",
    "rules:1 allow b.example",
    "rules:2 deny c.example",
    ...DEFAULTS,
  ]);
  const rules = [{ name: "one", text: "allow a.example" }, "deny none", { name: "two", text: "\nallow b.example" }];
  assertEquals(lines({ rules }), ["one:1 allow a.example", "two:2 allow b.example"]);
  assertEquals(lines({ deny: ["none", "10.0.0.0/8", "none"] }), ["--deny deny 10.0.0.0/8"]);
});

Deno.test("createRuleList knows what kind of list it is", () => {
  const kind = (options: RuleOptions) => {
    const { isAllowList, namesDecide, deniesNames, hasNames, dnsOpen } = createRuleList(options);
    return Object.entries({ isAllowList, namesDecide, deniesNames, hasNames, dnsOpen }).filter(([, is]) => is)
      .map(([name]) => name).join(" ");
  };
  assertEquals(kind({}), "");
  assertEquals(kind({ deny: ["10.0.0.0/8"] }), "");
  assertEquals(kind({ allow: ["10.0.0.0/8"] }), "isAllowList dnsOpen");
  assertEquals(kind({ allow: ["a.example"] }), "isAllowList namesDecide hasNames");
  assertEquals(kind({ allow: ["*.a.example"] }), "isAllowList namesDecide hasNames");
  assertEquals(kind({ allow: ["dns:a.example"] }), "isAllowList namesDecide hasNames");
  assertEquals(kind({ allow: ["10.0.0.1", "dns:*"] }), "isAllowList namesDecide hasNames");
  assertEquals(kind({ deny: ["a.example"] }), "deniesNames hasNames");
  assertEquals(kind({ deny: ["dns:a.example"] }), "hasNames");
  assertEquals(kind({ deny: ["*.a.example"], allow: ["10.0.0.1"] }), "isAllowList deniesNames hasNames dnsOpen");
});

Deno.test("createRuleList refuses names where there is no DNS, and names the first of them", () => {
  const options = {
    dns: "none",
    allow: ["10.0.0.1"],
    rules: { name: "r", text: "deny 10.0.0.2\nallow a.example:443" },
  };
  const error = assertThrows(() => createRuleList(options), RuleError, "without DNS no name leads anywhere");
  assertEquals([error.source, error.text], ["r:2", "a.example:443"]);
  assertThrows(() => createRuleList({ dns: "none", deny: ["dns:a.example"] }), RuleError);
  assertEquals(createRuleList({ dns: "none", allow: ["10.0.0.1"] }).isAllowList, true);
  assertEquals(createRuleList({ dns: "none", deny: ["dns:*"] }).namesDecide, false);
  assertEquals(createRuleList({ dns: "192.0.2.53", allow: ["a.example"] }).namesDecide, true);
});

Deno.test("readRuleList has one digest for lists that mean the same, and another for others", async () => {
  const digest = async (options: RuleOptions) => (await readRuleList(options)).digest;
  const one = await digest({ allow: ["A.example.:443,80", "10.0.0.1/32"], deny: ["none"] });
  assertEquals(one, await digest({ rules: "deny none\nallow 10.0.0.1\nallow a.example:80,443\nallow 10.0.0.1" }));
  assertEquals(one.length, 64);
  assertNotEquals(one, await digest({ allow: ["a.example:443,80", "10.0.0.1"] }), "the default counts");
  assertNotEquals(one, await digest({ allow: ["a.example:443,80", "10.0.0.1 "], deny: ["none", "b.example"] }));
  // printf '' | sha256sum
  assertEquals(await digestOf([]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

Deno.test("readRuleList warns of QUIC by name, and of open DNS beside an allow-list of addresses", async () => {
  const warned = async (options: RuleOptions) => (await readRuleList(options)).warnings.map(({ kind }) => kind).join();
  assertEquals(await warned({ allow: ["udp:a.example:443"] }), "quic");
  assertEquals(await warned({ allow: ["udp:a.example"] }), "quic");
  assertEquals(await warned({ allow: ["udp:*.a.example:400-500"] }), "quic");
  assertEquals(await warned({ allow: ["udp:a.example:123", "a.example:443", "udp:10.0.0.1:443", "dns:*"] }), "");
  assertEquals(await warned({ deny: ["udp:a.example:443"] }), "");
  assertEquals(await warned({ allow: ["10.0.0.1"] }), "dnsOpen");
  assertEquals(await warned({ allow: ["10.0.0.1"], deny: ["a.example"] }), "dnsOpen");
  assertEquals(await warned({ allow: ["10.0.0.1"], dns: "none" }), "");
  assertEquals(await warned({}), "");
  await assertRejects(() => readRuleList({ allow: ["10.0.0.5/8"] }), RuleError, "write 10.0.0.0/8");
});
