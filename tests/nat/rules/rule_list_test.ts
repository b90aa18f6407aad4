import { assertEquals } from "@std/assert";
import { createRuleList } from "../../../rules/read.ts";
import type { FlowProtocol } from "../../../nat/rules/rule.ts";
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

/** What decides about a flow to a host by this name: a rule's text, or null. */
function named(rules: { allow?: string[]; deny?: string[] }, name: string, port = 443, protocol: FlowProtocol = "tcp") {
  return createRuleList(rules).name(protocol, name, port)?.text ?? null;
}

Deno.test("RuleList.name lets the name win over its wildcards, the longer wildcard over the shorter, and deny if equal", () => {
  const rules = {
    allow: ["a.b.example", "*.b.example:443", "*.example:80", "c.example", "d.example:1-1000"],
    deny: ["*.example", "bad.b.example", "c.example:25", "*.d.example"],
  };
  const decided: [string, number, string | null][] = [
    ["a.b.example", 1, "allow a.b.example"],
    ["z.b.example", 443, "allow *.b.example:443"],
    ["z.y.b.example", 443, "allow *.b.example:443"],
    ["z.b.example", 80, "deny *.example"],
    ["bad.b.example", 443, "deny bad.b.example"],
    ["b.example", 443, "deny *.example"],
    ["example", 443, null],
    ["xexample", 443, null],
    ["c.example", 25, "deny c.example:25"],
    ["c.example", 443, "allow c.example"],
    ["d.example", 1001, "deny *.example"],
    ["e.d.example", 1, "deny *.d.example"],
  ];
  for (const [name, port, expected] of decided) assertEquals(named(rules, name, port), expected, `${name}:${port}`);
});

Deno.test("RuleList.name is about TCP if an allow does not say otherwise, and about TCP and UDP if a deny does not", () => {
  const both = { allow: ["a.test"], deny: ["b.test"] };
  assertEquals([named(both, "a.test", 1, "tcp"), named(both, "a.test", 1, "udp")], ["allow a.test", null]);
  assertEquals([named(both, "b.test", 1, "tcp"), named(both, "b.test", 1, "udp")], ["deny b.test", "deny b.test"]);
  assertEquals([named(both, "a.test", 0, "icmp"), named(both, "b.test", 0, "icmp")], [null, null]);
  const said = { allow: ["udp:a.test:123", "icmp:a.test"], deny: ["tcp:b.test", "dns:c.test"] };
  assertEquals([named(said, "a.test", 123, "udp"), named(said, "a.test", 123, "tcp")], ["allow udp:a.test:123", null]);
  assertEquals([named(said, "b.test", 1, "udp"), named(said, "b.test", 1, "tcp")], [null, "deny tcp:b.test"]);
  assertEquals(named(said, "a.test", 0, "icmp"), "allow icmp:a.test");
  assertEquals(named(said, "c.test"), null, "a question is no flow");
});

Deno.test("RuleList.name lets no wildcard stand for labels that begin with an underscore", () => {
  const rules = { allow: ["*.example", "*._tcp.other.example", "dns:*"] };
  assertEquals(named(rules, "a_b.example"), "allow *.example");
  assertEquals(named(rules, "_dmarc.example"), null);
  assertEquals(named(rules, "a._tcp.example"), null);
  assertEquals(named(rules, "_a.b.example"), null);
  assertEquals(named(rules, "a._tcp.other.example"), "allow *._tcp.other.example");
  assertEquals(createRuleList(rules).asks("_dmarc.example").rule?.text, "allow dns:*");
});

Deno.test("RuleList.name prefers what is not verified if two allows are equal", () => {
  const rules = { allow: ["db.test:5432", "db.test unverified"] };
  assertEquals(named(rules, "db.test", 5432), "allow db.test unverified");
  assertEquals(named({ ...rules, deny: ["db.test:1-5431"] }, "db.test", 443), "deny db.test:1-5431");
});

Deno.test("RuleList.asks lets a name be asked for if any allow has it, and says what is above such names", () => {
  const asks = (rules: { allow?: string[]; deny?: string[] }, ...names: string[]) =>
    names.map((name) => {
      const { decision, rule } = createRuleList(rules).asks(name);
      return rule === null ? decision : `${decision} ${rule.text}`;
    });
  const rules = {
    allow: ["www.a.example:443", "*.b.example", "udp:time.test", "dns:*.q.test", "192.0.2.1"],
    deny: ["x.b.example", "y.b.example:25", "tcp:z.b.example", "*.deep.b.example", "a.example"],
  };
  assertEquals(
    asks(rules, "www.a.example", "a.example", "example", "", ".", "test", "com", "x.www.a.example"),
    [
      "forward allow www.a.example:443",
      "ancestor deny a.example",
      "ancestor",
      "ancestor",
      "ancestor",
      "ancestor",
      "refuse",
      "refuse",
    ],
  );
  assertEquals(
    asks(rules, "b.example", "k.b.example", "x.b.example", "y.b.example", "z.b.example", "w.deep.b.example"),
    [
      "ancestor",
      "forward allow *.b.example",
      "refuse deny x.b.example",
      "forward allow *.b.example",
      "forward allow *.b.example",
      "refuse deny *.deep.b.example",
    ],
  );
  assertEquals(asks(rules, "time.test", "a.q.test", "q.test"), [
    "forward allow udp:time.test",
    "forward allow dns:*.q.test",
    "ancestor",
  ]);
  assertEquals(asks({ allow: ["192.0.2.1"], deny: ["a.test", "b.test:443"] }, "a.test", "b.test", "c.test"), [
    "refuse deny a.test",
    "forward",
    "forward",
  ]);
  assertEquals(
    asks({ deny: ["tcp:a.test", "udp:a.test", "b.test:1-65535", "dns:*.c.test"] }, "a.test", "b.test", "x.c.test"),
    [
      "refuse deny tcp:a.test",
      "refuse deny b.test:1-65535",
      "refuse deny dns:*.c.test",
    ],
  );
  assertEquals(asks({ allow: ["dns:*", "a.test"], deny: ["dns:b.test"] }, "any.thing", "b.test", "_x.y", "."), [
    "forward allow dns:*",
    "refuse deny dns:b.test",
    "forward allow dns:*",
    "forward allow dns:*",
  ]);
});

Deno.test("RuleList.namesExactly and allowsAddress know what an allow names, at whatever port", () => {
  const list = createRuleList({ allow: ["a.test:1", "*.b.test", "dns:c.test", "192.0.2.0/24:443"], deny: ["d.test"] });
  const names = ["a.test", "x.b.test", "b.test", "c.test", "d.test"].map((name) => list.namesExactly(name));
  assertEquals(names, [true, false, false, true, false]);
  const addresses = [
    "192.0.2.7",
    "192.0.3.7",
    "64:ff9b::192.0.2.7",
    "64:ff9b::192.0.3.7",
    "2002:c000:207::1",
    "2001:db8::1",
  ];
  assertEquals(addresses.map((text) => list.allowsAddress(IpAddress.parse(text))), [
    true,
    false,
    true,
    false,
    true,
    false,
  ]);
});

Deno.test("RuleList.address weighs an IPv4 address inside as one that is asked for too", () => {
  assertEquals(decide({ deny: ["10.0.0.0/8"] }, "64:ff9b::10.1.2.3"), "deny 10.0.0.0/8");
  assertEquals(decide({ deny: ["10.0.0.0/8"], allow: ["64:ff9b::/96"] }, "64:ff9b::10.1.2.3"), "deny 10.0.0.0/8");
  assertEquals(decide({ deny: ["10.0.0.0/8"], allow: ["10.1.2.3"] }, "64:ff9b::10.1.2.3"), "ok");
  assertEquals(decide({ allow: ["10.1.2.3"] }, "64:ff9b::10.1.2.4"), "notAllowed");
  assertEquals(decide({ allow: ["169.254.169.0/24"] }, "2002:a9fe:a8fe::1"), "deny 169.254.0.0/16");
  // Teredo has two inside: both must be allowed.
  assertEquals(decide({ allow: ["192.0.2.9"] }, "2001:0:c000:209::f7f7:f7f7"), "notAllowed");
  assertEquals(decide({ allow: ["192.0.2.9", "8.8.8.8"] }, "2001:0:c000:209::f7f7:f7f7"), "ok");
});

Deno.test("RuleList.address goes by protocol, and finds its way through networks nested as deep as they can be", () => {
  const one = { deny: ["udp:192.0.2.0/24", "icmp:192.0.2.1", "tcp:192.0.2.2:25"] };
  const protocols = (address: string, port: number) =>
    (["tcp", "udp", "icmp"] as const).map((protocol) =>
      decide(one, address, { protocol, port: protocol === "icmp" ? 0 : port })
    );
  assertEquals(protocols("192.0.2.1", 25), ["ok", "deny udp:192.0.2.0/24", "deny icmp:192.0.2.1"]);
  assertEquals(protocols("192.0.2.2", 25), ["deny tcp:192.0.2.2:25", "deny udp:192.0.2.0/24", "ok"]);
  for (const [address, most] of [["0.0.0.0", 32], ["::", 128]] as const) {
    const allow: string[] = [], deny = ["none"];
    for (let prefix = 0; prefix <= most; prefix++) (prefix % 2 === 0 ? allow : deny).push(`${address}/${prefix}`);
    const list = createRuleList({ allow, deny });
    for (let prefix = 0; prefix <= most; prefix++) {
      // The last address that is held by this prefix and by none longer.
      const bit = most === 32 ? prefix + 96 : prefix, words = most === 32 ? [0, 0, 0xffff, 0] : [0, 0, 0, 0];
      if (prefix < most) words[bit >>> 5]! |= 0x80000000 >>> (bit & 31);
      const held = new IpAddress(words[0]!, words[1]!, words[2]!, words[3]!);
      assertEquals(list.address("tcp", held, held, 1)?.verdict, prefix % 2 === 0 ? "allow" : "deny", `${held}`);
    }
  }
});

Deno.test("RuleList finds each of 10,000 rules, and nothing else", () => {
  const count = 10_000, networks = Array.from({ length: count }, (_, i) => `10.${i >> 8}.${i & 255}.0/25:${1 + i}`);
  const names = networks.map((_, i) => `h${i}.example:${1 + i}`),
    ports = networks.map((_, i) => `one.test:${2 * i + 1}`);
  const list = createRuleList({ allow: [...networks, ...names, ...ports], deny: ["none"] });
  for (const i of [0, 1, 255, 256, 4999, 9998, 9999]) {
    for (const [last, port] of [[127, 1 + i], [127, 2 + i], [128, 1 + i]] as const) {
      const address = IpAddress.parse(`10.${i >> 8}.${i & 255}.${last}`), isRight = last === 127 && port === 1 + i;
      assertEquals(list.address("udp", address, address, port)?.text, isRight ? `allow ${networks[i]}` : undefined);
    }
    assertEquals(list.name("tcp", `h${i}.example`, 1 + i)?.text, `allow ${names[i]}`);
    assertEquals(list.name("tcp", `h${i}.example`, 2 + i), null);
    assertEquals(list.name("tcp", "one.test", 2 * i + 1)?.text, `allow ${ports[i]}`);
    assertEquals(list.name("tcp", "one.test", 2 * i + 2), null);
  }
});
