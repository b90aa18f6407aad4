import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parseRule } from "../../rules/parse_rule.ts";
import { RuleError } from "../../rules/rule_error.ts";

/** The canonical text of a rule, without its verdict. */
function read(text: string, verdict: "allow" | "deny" = "allow"): string {
  return parseRule(text, { verdict, source: `--${verdict}` }).text.slice(verdict.length + 1);
}

/** What is wrong with a rule. */
function problemOf(text: string, verdict: "allow" | "deny" = "allow"): string {
  const error = assertThrows(() => read(text, verdict), RuleError, undefined, `nothing is wrong with: ${text}`);
  assertEquals(error.source, `--${verdict}`);
  assertEquals(error.text, text);
  return error.problem;
}

Deno.test("parseRule reads networks of both families, ports, ranges and lists of them, and writes them in one way", () => {
  const good: [string, string][] = [
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["10.1.2.3", "10.1.2.3"],
    ["10.1.2.3/32", "10.1.2.3"],
    ["0.0.0.0/0:1-65535", "0.0.0.0/0:1-65535"],
    ["10.1.2.3:80", "10.1.2.3:80"],
    ["10.0.0.0/8:80,443,8000-8099", "10.0.0.0/8:80,443,8000-8099"],
    ["10.0.0.0/8:8000-8099,443,80-81,82,8050-8200", "10.0.0.0/8:80-82,443,8000-8200"],
    ["2001:db8::/32", "2001:db8::/32"],
    ["[2001:DB8::/32]", "2001:db8::/32"],
    ["[2001:db8::/32]:443", "[2001:db8::/32]:443"],
    ["::1", "::1"],
    ["[::1]:1-2,9", "[::1]:1-2,9"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["2001:db8:0:8000::/49", "2001:db8:0:8000::/49"],
    ["tcp:10.0.0.0/8:443", "tcp:10.0.0.0/8:443"],
    ["UDP:[2001:db8::7]:53", "udp:[2001:db8::7]:53"],
    ["udp:2001:db8::7", "udp:2001:db8::7"],
    ["icmp:0.0.0.0/0", "icmp:0.0.0.0/0"],
    ["  10.0.0.1  ", "10.0.0.1"],
  ];
  for (const [text, expected] of good) assertEquals(read(text), expected, text);
});

Deno.test("parseRule reads names and wildcards, in lower case, as A-labels, without a final dot", () => {
  const good: [string, string][] = [
    ["registry.example:443", "registry.example:443"],
    ["Registry.EXAMPLE.:443", "registry.example:443"],
    ["localhost", "localhost"],
    ["*.Example.com", "*.example.com"],
    ["tcp:*.example.com.:80,443", "tcp:*.example.com:80,443"],
    ["*.internal", "*.internal"],
    ["udp:time.example:123", "udp:time.example:123"],
    ["dns:*", "dns:*"],
    ["dns:*.example.com", "dns:*.example.com"],
    ["dns:_acme-challenge.example.com", "dns:_acme-challenge.example.com"],
    ["icmp:router.example", "icmp:router.example"],
    ["db.example:5432 unverified", "db.example:5432 unverified"],
    ["tcp:*.db.example   unverified ", "tcp:*.db.example unverified"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["BÜCHER.example", "xn--bcher-kva.example"],
    ["*.bücher.example:443", "*.xn--bcher-kva.example:443"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["XN--BCHER-KVA.example", "xn--bcher-kva.example"],
    ["例え.テスト", "xn--r8jz45g.xn--zckzah"],
    ["registry。example", "registry.example"],
    ["straße.example", "xn--strae-oqa.example"],
    ["my_host.example", "my_host.example"],
    ["-a-.example", "-a-.example"],
    ["1password.com", "1password.com"],
    ["0x.example", "0x.example"],
    ["tcp", "tcp"],
    ["udp:udp:53", "udp:udp:53"],
    ["none.", "none."],
    ["none:80", "none.:80"],
    [`${"a".repeat(63)}.example`, `${"a".repeat(63)}.example`],
  ];
  for (const [text, expected] of good) assertEquals(read(text), expected, text);
  const { host } = parseRule("none.", { verdict: "deny", source: "--deny" });
  assertEquals(host, { kind: "name", name: "none" });
});

Deno.test("parseRule reads what it has written to the same rule", () => {
  for (const text of ["tcp:[2001:db8::/32]:80-82,443", "none.", "dns:*", "*.example.com:443 unverified", "10.0.0.1"]) {
    const rule = parseRule(text, { verdict: "allow", source: "x" });
    assertEquals(parseRule(rule.text.slice("allow ".length), { verdict: "allow", source: "x" }), rule);
  }
});

Deno.test("parseRule says of each thing that is no rule what would be right", () => {
  const bad: [string, string][] = [
    ["", "it is empty, a rule is such as registry.example:443"],
    ["   ", "it is empty"],
    [":443", "it has no host"],
    ["tcp:", "it has no host"],
    ["none", "none is for deny"],
    ["*", "* is every host: write 0.0.0.0/0 and ::/0 for all addresses"],
    ["*:443", "* is every host"],
    ["tcp:*", "* is every host"],
    ["foo.*.example", "* stands for whole labels at the front alone, such as *.example.com, not as in foo.*.example"],
    ["*foo.example", "whole labels at the front"],
    ["foo*", "whole labels at the front"],
    ["*.*.example", "whole labels at the front"],
    ["*.", "a name is missing"],
    ["*.10", "ends in a number"],
    ["10.0.0", "10.0.0 ends in a number, which no name does, and an IPv4 address is four numbers from 0 to 255"],
    ["10.0.0.256", "ends in a number"],
    ["10.0.0.01", "ends in a number"],
    ["443", "ends in a number"],
    ["udp:53", "53 ends in a number"],
    ["host.1", "host.1 ends in a number"],
    ["host.0x1f", "ends in a number"],
    ["host.１２", "ends in a number"],
    ["10.0.0.0/33", "10.0.0.0/33 is no network, which is such as 192.0.2.0/24"],
    ["10.0.0/8", "is no network"],
    ["10.0.0.5/8", "it names an address in a network, write 10.0.0.0/8"],
    ["2001:db8::1/32", "write 2001:db8::/32"],
    ["::1/0", "write ::/0"],
    ["::/129", "::/129 is no address and no network of IPv6"],
    ["2001:db8::/32:443", "with ports IPv6 is in brackets, write [2001:db8::/32]:443"],
    ["[10.0.0.0/8]:80", "brackets are for IPv6, write 10.0.0.0/8 without them"],
    ["[::1", "is no address and no network of IPv6"],
    ["::1]:80", "is no address and no network of IPv6"],
    ["[::1]80", "is no address and no network of IPv6"],
    ["[registry.example]", "is no address and no network of IPv6"],
    ["::ffff:10.0.0.0/104", "is no address and no network of IPv6"],
    ["10.0.0.0/8:80:81", "it is one host and one list of ports"],
    ["a.example:80:81", "it is one host and one list of ports"],
    ["10.0.0.0/8:", "its ports are numbers, such as 443, 8000-8099 or 80,443,8000-8099, not nothing"],
    ["a.example:", "not nothing"],
    ["a.example:http", "its ports are numbers, such as 443, 8000-8099 or 80,443,8000-8099, not http"],
    ["10.0.0.0/8:80,", "not nothing"],
    ["10.0.0.0/8:80-", "not 80-"],
    ["10.0.0.0/8:-80", "not -80"],
    ["10.0.0.0/8:0x50", "not 0x50"],
    ["10.0.0.0/8:100000", "not 100000"],
    ["[::1]:", "not nothing"],
    ["10.0.0.0/8:0", "its ports are from 1 to 65535, the lower one first, not 0"],
    ["a.example:65536", "from 1 to 65535"],
    ["10.0.0.0/8:90-80", "the lower one first, not 90-80"],
    ["https://registry.example/x", "leave out https:// and what follows the host, such as registry.example"],
    ["registry.example/path", "a name has no path and no prefix length, write registry.example"],
    ["allow registry.example", 'after the host and its ports comes "unverified" or nothing, not "registry.example"'],
    ["a.example b.example", 'comes "unverified" or nothing, not "b.example"'],
    ["a.example,b.example", 'is no name: "," is none of letters'],
    ["user@a.example", "is none of letters"],
    ["a%2eexample", "is none of letters"],
    ["a..example", "has an empty label"],
    ["a.example..", "has an empty label"],
    [".example", "has an empty label"],
    [".", "has an empty label"],
    [`${"a".repeat(64)}.example`, "has more than the 63 letters that a label can have"],
    [`${"a.".repeat(127)}a`, "the name has 255 letters, and 253 are the most"],
    ["xn--a.example", "is no name that DNS can have (UTS 46)"],
    ["a\uFFFDb.example", "is no name that DNS can have (UTS 46)"],
    ["icmp:10.0.0.1:80", "ICMP has no ports, leave them out"],
    ["dns:a.example:53", "a question for a name has no port, leave it out"],
    ["dns:10.0.0.1", "dns: is about names that may be asked for, and this is an address"],
    ["dns:::1", "this is an address"],
    ["10.0.0.1 unverified", "an address has no name to verify"],
    ["udp:a.example unverified", "only streams of TCP are looked at"],
    ["dns:a.example unverified", "only streams of TCP are looked at"],
    ["icmp:a.example unverified", "only streams of TCP are looked at"],
    ["a.example unverified unverified", 'comes "unverified" or nothing, not "unverified unverified"'],
  ];
  for (const [text, expected] of bad) assertStringIncludes(problemOf(text), expected, text);
});

Deno.test("parseRule says what is wrong with a deny, and names the rule in the message", () => {
  assertStringIncludes(problemOf("a.example unverified", "deny"), "a deny has nothing to verify");
  assertStringIncludes(problemOf("none unverified", "deny"), "it drops the default");
  assertThrows(
    () => parseRule("10.0.0.5/8", { verdict: "deny", source: "rules.txt:7" }),
    RuleError,
    'Cannot follow rules.txt:7 "10.0.0.5/8": it names an address in a network, write 10.0.0.0/8',
  );
});
