import { assertEquals, assertThrows } from "@std/assert";
import { parseRule } from "../../rules/parse_rule.ts";
import { RuleError } from "../../rules/rule_error.ts";

function read(text: string): string {
  return parseRule(text, { verdict: "allow", source: "--allow" }).text.slice("allow ".length);
}

Deno.test("parseRule reads networks of both families, ports, ranges and lists of them, and writes them in one way", () => {
  const good: [string, string][] = [
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["10.1.2.3", "10.1.2.3"],
    ["10.1.2.3/32", "10.1.2.3"],
    ["0.0.0.0/0:1-65535", "0.0.0.0/0:1-65535"],
    ["10.1.2.3:80", "10.1.2.3:80"],
    ["10.0.0.0/8:80,443,8000-8099", "10.0.0.0/8:80,443,8000-8099"],
    ["2001:db8::/32", "2001:db8::/32"],
    ["[2001:DB8::/32]", "2001:db8::/32"],
    ["[2001:db8::/32]:443", "[2001:db8::/32]:443"],
    ["::1", "::1"],
    ["[::1]:1-2,9", "[::1]:1-2,9"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["2001:db8:0:8000::/49", "2001:db8:0:8000::/49"],
  ];
  for (const [text, expected] of good) assertEquals(read(text), expected, text);
});

Deno.test("parseRule refuses what is no rule, and says what would be right", () => {
  const shapes = [
    ..."any|none||*|10.0.0.0/33|10.0.0/8|10.0.0.0/8:|10.0.0.0/8:http|10.0.0.0/8:80,|10.0.0.0/8:,80|10.0.0.0/8:80-"
      .split("|"),
    ..."10.0.0.0/8:-80|10.0.0.0/8:80:81|10.0.0.0/8 |[10.0.0.0/8]:80|[::1|::1]:80|[::1]80|[::1]:|2001:db8::/32:80".split(
      "|",
    ),
    ..."::/129|example.com|example.com:80|::ffff:10.0.0.0/104|10.0.0.0/8:0x50|10.0.0.0/8:100000".split("|"),
  ];
  for (const text of shapes) {
    assertThrows(() => read(text), RuleError, "it is CIDR or CIDR:PORTS, such as", text);
  }
  for (const text of ["10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/8:90-80", "[::1]:0-5"]) {
    assertThrows(() => read(text), RuleError, "its ports are from 1 to 65535, the lower one first", text);
  }
  const bits: [string, string][] = [["10.0.0.5/8", "10.0.0.0/8"], ["2001:db8::1/32", "2001:db8::/32"], [
    "::1/0",
    "::/0",
  ]];
  for (const [text, base] of bits) {
    assertThrows(() => read(text), RuleError, `it names an address in a network, write ${base}`, text);
  }
});
