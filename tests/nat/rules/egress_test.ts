import { assertEquals, assertThrows } from "@std/assert";
import { EgressRules, openFamilyWarning, parseEgressRule } from "../../../nat/rules/egress.ts";
import type { Segments } from "../../../nat/rules/segment.ts";
import { createTranslationRules } from "../../../nat/rules/translation_options.ts";
import { IpAddress } from "../../../net/wire/address.ts";

/** What decides about a flow to `asked`, which leads to `host`: the rule, `notAllowed` or `ok`. */
function decide(
  { allow = [], deny = [] }: { allow?: string[]; deny?: string[] },
  asked: string,
  { host = asked, port = 80 }: { host?: string; port?: number } = {},
): string {
  const denial = new EgressRules({ allow, deny }).denial(IpAddress.parse(asked), IpAddress.parse(host), port);
  return denial === null ? "ok" : denial === "notAllowed" ? denial : denial.text.replace(/ \(.*/, "");
}

Deno.test("parseEgressRule reads networks of both families, ports, ranges and lists of them", () => {
  const read = (text: string) => {
    const { range, ports } = parseEgressRule(text);
    return `${range} ${ports.map(({ low, high }) => `${low}-${high}`).join(" ")}`.trim();
  };
  const good: [string, string][] = [
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["10.1.2.3", "10.1.2.3/32"],
    ["0.0.0.0/0:1-65535", "0.0.0.0/0 1-65535"],
    ["10.1.2.3:80", "10.1.2.3/32 80-80"],
    ["10.0.0.0/8:80,443,8000-8099", "10.0.0.0/8 80-80 443-443 8000-8099"],
    ["2001:db8::/32", "2001:db8::/32"],
    ["[2001:db8::/32]", "2001:db8::/32"],
    ["[2001:db8::/32]:443", "2001:db8::/32 443-443"],
    ["::1", "::1/128"],
    ["[::1]:1-2,9", "::1/128 1-2 9-9"],
    ["::ffff:10.1.2.3", "10.1.2.3/32"],
    ["2001:db8:0:8000::/49", "2001:db8:0:8000::/49"],
  ];
  for (const [text, expected] of good) assertEquals(read(text), expected, text);
});

Deno.test("parseEgressRule refuses what is no rule, and says what would be right", () => {
  const shapes = [
    ..."any|none||*|10.0.0.0/33|10.0.0/8|10.0.0.0/8:|10.0.0.0/8:http|10.0.0.0/8:80,|10.0.0.0/8:,80|10.0.0.0/8:80-"
      .split("|"),
    ..."10.0.0.0/8:-80|10.0.0.0/8:80:81|10.0.0.0/8 |[10.0.0.0/8]:80|[::1|::1]:80|[::1]80|[::1]:|2001:db8::/32:80".split(
      "|",
    ),
    ..."::/129|example.com|example.com:80|::ffff:10.0.0.0/104|10.0.0.0/8:0x50|10.0.0.0/8:100000".split("|"),
  ];
  for (const text of shapes) {
    assertThrows(() => parseEgressRule(text), TypeError, "it is CIDR or CIDR:PORTS, such as", text);
  }
  for (const text of ["10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/8:90-80", "[::1]:0-5"]) {
    assertThrows(() => parseEgressRule(text), RangeError, "its ports are from 1 to 65535, the lower one first", text);
  }
  const bits: [string, string][] = [["10.0.0.5/8", "10.0.0.0/8"], ["2001:db8::1/32", "2001:db8::/32"], [
    "::1/0",
    "::/0",
  ]];
  for (const [text, base] of bits) {
    assertThrows(() => parseEgressRule(text), RangeError, `it names an address in a network, write ${base}`, text);
  }
});

Deno.test("EgressRules names the rule that it cannot follow", () => {
  assertThrows(
    () => new EgressRules({ deny: ["10.0.0.5/8"] }),
    RangeError,
    'Cannot deny "10.0.0.5/8": it names an address',
  );
  assertThrows(() => new EgressRules({ allow: ["none"] }), TypeError, 'Cannot allow "none": it is CIDR');
});

Deno.test("EgressRules denies the addresses of metadata services unless it is told none", () => {
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

Deno.test("openFamilyWarning warns if all of one family is denied and nothing of the other", () => {
  const both = createTranslationRules();
  const warning = (rules: { allow?: string[]; deny?: string[] }, segments: Segments = both) =>
    openFamilyWarning(new EgressRules(rules), segments);
  assertEquals(
    warning({ deny: ["0.0.0.0/0"] }),
    "--deny of all of IPv4 leaves IPv6 open: add --deny ::/0, or give guests one family alone (-4, -6)",
  );
  assertEquals(
    warning({ deny: ["none", "::/0"] }),
    "--deny of all of IPv6 leaves IPv4 open: add --deny 0.0.0.0/0, or give guests one family alone (-4, -6)",
  );
  assertEquals(warning({ deny: ["0.0.0.0/0", "::/0"] }), null);
  assertEquals(warning({ deny: ["0.0.0.0/0"], allow: ["192.0.2.1"] }), null, "an allow-list closes the other one");
  assertEquals(warning({ deny: ["0.0.0.0/0:25", "10.0.0.0/8"] }), null, "ports and networks are meant as they are");
  assertEquals(warning({ deny: ["0.0.0.0/0"] }, { ...both, ipv6: null }), null);
  assertEquals(warning({ deny: ["0.0.0.0/0"] }, { ...both, ipv4: null }), null);
  assertEquals(warning({}), null);
});

Deno.test("openFamilyWarning sees that networks close a family together, and where one of them is missing", () => {
  const warns = (...deny: string[]) => openFamilyWarning(new EgressRules({ deny }), createTranslationRules()) !== null;
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/1"), true);
  assertEquals(warns("::/1", "8000::/1"), true);
  assertEquals(warns("128.0.0.0/2", "0.0.0.0/1", "192.0.0.0/2", "10.0.0.0/8"), true);
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"), false, "both families are closed");
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/2"), false);
  assertEquals(warns("0.0.0.0/1", "0.0.0.0/1"), false);
  assertEquals(warns("0.0.0.0/1", "128.0.0.0/1:80"), false, "ports of the rest are open");
  // All addresses of both ends but one of them, as far down as prefixes go.
  const all = Array.from({ length: 32 }, (_, i) => `${IpAddress.fromIpv4(2 ** (31 - i))}/${i + 1}`);
  assertEquals([warns(...all), warns(...all, "0.0.0.0/32")], [false, true]);
});

Deno.test("EgressRules with an allow refuses what no allow holds", () => {
  const rules = { allow: ["192.0.2.0/24:443", "10.0.2.2:8000-8099"] };
  assertEquals(decide(rules, "192.0.2.9", { port: 443 }), "ok");
  assertEquals(decide(rules, "192.0.2.9", { port: 80 }), "notAllowed");
  assertEquals(decide(rules, "192.0.3.9", { port: 443 }), "notAllowed");
  assertEquals(decide(rules, "10.0.2.2", { host: "127.0.0.1", port: 8099 }), "ok");
  assertEquals(decide(rules, "10.0.2.2", { host: "127.0.0.1", port: 8100 }), "notAllowed");
  assertEquals(decide(rules, "2001:db8::1", { port: 443 }), "notAllowed");
});

Deno.test("EgressRules lets the most specific network win, and deny where two are equal", () => {
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

Deno.test("EgressRules holds a flow by the address asked and by the one that it leads to", () => {
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

Deno.test("EgressRules with ports hold no protocol without ports", () => {
  assertEquals(decide({ deny: ["10.0.0.0/8:1-65535"] }, "10.0.0.1", { port: 0 }), "ok");
  assertEquals(decide({ allow: ["10.0.0.0/8:1-65535"] }, "10.0.0.1", { port: 0 }), "notAllowed");
  assertEquals(decide({ deny: ["10.0.0.0/8"] }, "10.0.0.1", { port: 0 }), "deny 10.0.0.0/8");
});

Deno.test("EgressRules keeps the families apart, the mapped form being IPv4", () => {
  assertEquals(decide({ deny: ["::/0"] }, "10.0.0.1"), "ok");
  assertEquals(decide({ deny: ["0.0.0.0/0"] }, "2001:db8::1"), "ok");
  assertEquals(decide({ deny: ["10.0.0.0/8"] }, "::ffff:10.0.0.1"), "deny 10.0.0.0/8");
  assertEquals(decide({ deny: ["::ffff:10.0.0.1"] }, "10.0.0.1"), "deny ::ffff:10.0.0.1");
  assertEquals(decide({ deny: ["2001:db8::/33"] }, "2001:db8:7fff::1"), "deny 2001:db8::/33");
  assertEquals(decide({ deny: ["2001:db8::/33"] }, "2001:db8:8000::1"), "ok");
});
