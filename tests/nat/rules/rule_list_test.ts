import { assertEquals } from "@std/assert";
import { createRuleList } from "../../../rules/read.ts";
import { IpAddress } from "../../../net/wire/address.ts";

/** What decides about a flow to `asked`, which leads to `host`: the rule, `notAllowed` or `ok`. */
function decide(
  rules: { allow?: string[]; deny?: string[] },
  asked: string,
  { host = asked, port = 80, protocol = port === 0 ? "icmp" : "tcp" }: {
    host?: string;
    port?: number;
    protocol?: "tcp" | "udp" | "icmp";
  } = {},
): string {
  const list = createRuleList(rules);
  const rule = list.address(protocol, IpAddress.parse(asked), IpAddress.parse(host), port);
  return rule?.verdict === "deny" ? rule.text : rule === null && list.isAllowList ? "notAllowed" : "ok";
}

Deno.test("RuleList.address denies the addresses of metadata services unless it is told none", () => {
  assertEquals(decide({}, "169.254.169.254"), "deny 169.254.0.0/16");
  assertEquals(decide({}, "fd00:ec2::254"), "deny fd00:ec2::254");
  assertEquals(decide({}, "fd20:ce::254"), "deny fd20:ce::254");
  assertEquals(decide({ deny: ["none"] }, "fd00:ec2::254"), "ok");
  assertEquals(decide({}, "fd00:ec2::253"), "ok");
  assertEquals(decide({ deny: ["10.0.0.0/8"] }, "169.254.0.0"), "deny 169.254.0.0/16");
  assertEquals(decide({ deny: ["none"] }, "169.254.169.254"), "ok");
  assertEquals(decide({ deny: ["none", "10.0.0.0/8"] }, "169.254.169.254"), "ok");
  assertEquals(decide({ deny: ["10.0.0.0/8", "none"] }, "10.0.0.1"), "deny 10.0.0.0/8");
  assertEquals(["169.253.255.255", "169.255.0.0", "8.8.8.8"].map((text) => decide({}, text)), ["ok", "ok", "ok"]);
  assertEquals(decide({ allow: ["169.254.169.254"] }, "169.254.169.254"), "ok");
});

Deno.test("RuleList.address with an allow refuses what no allow holds", () => {
  const rules = { allow: ["192.0.2.0/24:443", "10.0.2.2:8000-8099"] };
  assertEquals(decide(rules, "192.0.2.9", { port: 443 }), "ok");
  assertEquals(decide(rules, "192.0.2.9", { port: 80 }), "notAllowed");
  assertEquals(decide(rules, "192.0.3.9", { port: 443 }), "notAllowed");
  assertEquals(decide(rules, "10.0.2.2", { host: "127.0.0.1", port: 8099 }), "ok");
  assertEquals(decide(rules, "10.0.2.2", { host: "127.0.0.1", port: 8100 }), "notAllowed");
  assertEquals(decide(rules, "2001:db8::1", { port: 443 }), "notAllowed");
});

Deno.test("RuleList.address lets the most specific network win, and deny where two are equal", () => {
  const onion = { allow: ["10.1.0.0/16", "10.1.2.3"], deny: ["10.0.0.0/8", "10.1.2.0/24"] };
  assertEquals(decide(onion, "10.1.9.9"), "ok");
  assertEquals(decide(onion, "10.1.2.9"), "deny 10.1.2.0/24");
  assertEquals(decide(onion, "10.1.2.3"), "ok");
  assertEquals(decide(onion, "10.2.0.1"), "deny 10.0.0.0/8");
  assertEquals(decide({ allow: ["10.0.0.0/8"], deny: ["10.0.0.0/8"] }, "10.1.1.1"), "deny 10.0.0.0/8");
  assertEquals(decide({ allow: ["10.0.0.1"], deny: ["10.0.0.1:22"] }, "10.0.0.1", { port: 22 }), "deny 10.0.0.1:22");
  assertEquals(decide({ allow: ["10.0.0.1"], deny: ["10.0.0.1:22"] }, "10.0.0.1", { port: 80 }), "ok");
  assertEquals(decide({ allow: ["0.0.0.0/0"], deny: ["0.0.0.0/0"] }, "8.8.8.8"), "deny 0.0.0.0/0");
  // A rule whose ports do not fit is as if it were not there.
  assertEquals(decide({ allow: ["10.0.0.1:443"], deny: ["10.0.0.0/8"] }, "10.0.0.1"), "deny 10.0.0.0/8");
});

Deno.test("RuleList.address holds a flow by the address asked and by the one that it leads to", () => {
  const gateway = (rules: { allow?: string[]; deny?: string[] }, port = 80) =>
    decide(rules, "10.0.2.2", { host: "127.0.0.1", port });
  assertEquals(gateway({ deny: ["127.0.0.0/8"] }), "deny 127.0.0.0/8");
  assertEquals(gateway({ deny: ["10.0.2.2"] }), "deny 10.0.2.2");
  assertEquals(gateway({ allow: ["127.0.0.1:80"] }), "ok");
  assertEquals(gateway({ allow: ["10.0.2.2:80"] }), "ok");
  // An allow of one address is no exception to a deny of the other, however long it is.
  assertEquals(gateway({ allow: ["10.0.2.2"], deny: ["127.0.0.0/8:22"] }, 22), "deny 127.0.0.0/8:22");
  assertEquals(gateway({ allow: ["127.0.0.1"], deny: ["10.0.0.0/8"] }), "deny 10.0.0.0/8");
  assertEquals(gateway({ allow: ["127.0.0.1", "10.0.2.2"], deny: ["127.0.0.0/8", "10.0.0.0/8"] }), "ok");
  // A deny that holds both has its exception at either.
  assertEquals(gateway({ allow: ["10.0.2.2"], deny: ["0.0.0.0/0"] }), "ok");
  assertEquals(gateway({ allow: ["127.0.0.1"], deny: ["0.0.0.0/0"] }), "ok");
});

Deno.test("RuleList.address with ports hold no protocol without ports", () => {
  assertEquals(decide({ deny: ["10.0.0.0/8:1-65535"] }, "10.0.0.1", { port: 0 }), "ok");
  assertEquals(decide({ allow: ["10.0.0.0/8:1-65535"] }, "10.0.0.1", { port: 0 }), "notAllowed");
  assertEquals(decide({ deny: ["10.0.0.0/8"] }, "10.0.0.1", { port: 0 }), "deny 10.0.0.0/8");
});

Deno.test("RuleList.address keeps the families apart, the mapped form being IPv4", () => {
  assertEquals(decide({ deny: ["::/0"] }, "10.0.0.1"), "ok");
  assertEquals(decide({ deny: ["0.0.0.0/0"] }, "2001:db8::1"), "ok");
  assertEquals(decide({ deny: ["10.0.0.0/8"] }, "::ffff:10.0.0.1"), "deny 10.0.0.0/8");
  assertEquals(decide({ deny: ["::ffff:10.0.0.1"] }, "10.0.0.1"), "deny 10.0.0.1");
  assertEquals(decide({ deny: ["2001:db8::/33"] }, "2001:db8:7fff::1"), "deny 2001:db8::/33");
  assertEquals(decide({ deny: ["2001:db8::/33"] }, "2001:db8:8000::1"), "ok");
});
