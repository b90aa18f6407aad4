import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { explain } from "../../rules/explain.ts";
import { createRuleList } from "../../rules/read.ts";
import { parseTarget } from "../../rules/target.ts";

const RULES = `allow registry.example:443,8443
deny *.bad.example
allow *.example
allow db.internal:5432 unverified
allow udp:time.example:123
allow icmp:ping.test
allow dns:asked.test
allow 10.0.0.0/8:53
deny tcp:10.1.0.0/16
allow [2001:db8::/32]:443`;

function say(target: string, options = { rules: { name: "r", text: RULES } } as Parameters<typeof createRuleList>[0]) {
  const { allowed, words } = explain(createRuleList(options), parseTarget(target));
  assertStringIncludes(words, allowed ? ": allowed" : ": refused");
  assertEquals(words.startsWith(`${target}: `), true);
  return words.slice(target.length + 2);
}

Deno.test("explain says by which rule a name, an address or a question is allowed or refused, and where it stands", () => {
  const answers: [string, string][] = [
    ["registry.example:443", 'allowed by "allow registry.example:443,8443" (r:1)'],
    ["Registry.Example.:443", 'allowed by "allow registry.example:443,8443" (r:1)'],
    ["tcp:registry.example:80", 'allowed by "allow *.example" (r:3)'],
    ["x.bad.example", 'refused by "deny *.bad.example" (r:2)'],
    ["udp:x.bad.example:1", 'refused by "deny *.bad.example" (r:2)'],
    ["bad.example:1", 'allowed by "allow *.example" (r:3)'],
    ["db.internal:5432", 'allowed by "allow db.internal:5432 unverified" (r:4)'],
    ["udp:time.example:123", 'allowed by "allow udp:time.example:123" (r:5)'],
    ["icmp:ping.test", 'allowed by "allow icmp:ping.test" (r:6)'],
    ["dns:asked.test", 'allowed by "allow dns:asked.test" (r:7)'],
    ["dns:x.y.example", 'allowed by "allow *.example" (r:3)'],
    ["dns:x.bad.example", 'refused by "deny *.bad.example" (r:2)'],
    ["dns:test", "refused, it is answered that it has no records: names below it are allowed"],
    ["dns:other.test", "refused, no allow rule has it; --allow dns:other.test would"],
    ["10.2.0.1:53", 'allowed by "allow 10.0.0.0/8:53" (r:8)'],
    ["10.1.0.1:53", 'refused by "deny tcp:10.1.0.0/16" (r:9)'],
    ["udp:10.1.0.1:53", 'allowed by "allow 10.0.0.0/8:53" (r:8)'],
    ["[2001:db8::7]:443", 'allowed by "allow [2001:db8::/32]:443" (r:10)'],
    ["169.254.169.254:80", 'refused by the default "deny 169.254.0.0/16"'],
    ["224.0.0.1", "refused, 224.0.0.0/4 (multicast) is never relayed"],
    ["fe80::1", "refused, fe80::/10 (link-local) is never relayed"],
    [
      "127.0.0.1:53",
      "refused because no allow rule matches, unless an allowed name leads to it; --allow 127.0.0.1:53 would",
    ],
    [
      "[2001:db8::7]:80",
      "refused because no allow rule matches, unless an allowed name leads to it; --allow [2001:db8::7]:80 would",
    ],
    [
      "udp:other.test:80",
      "refused because no allow rule matches, unless it leads to an address that is allowed; " +
      "--allow udp:other.test:80 would",
    ],
  ];
  for (const [target, expected] of answers) assertEquals(say(target), expected, target);
});

Deno.test("explain without a port says at which ports a target is allowed, or that it is at none", () => {
  assertEquals(
    say("registry.example"),
    'allowed at 1-442,444-8442,8444-65535 by "allow *.example" (r:3), ' +
      'at 443,8443 by "allow registry.example:443,8443" (r:1)',
  );
  assertEquals(say("x.bad.example"), 'refused by "deny *.bad.example" (r:2)');
  assertEquals(say("udp:10.1.0.1"), 'allowed at 53 by "allow 10.0.0.0/8:53" (r:8)');
  assertEquals(
    say("10.0.0.1", { deny: ["10.0.0.1:1-99"], allow: ["10.0.0.1"] }),
    "allowed at 100-65535 by --allow 10.0.0.1",
  );
  assertEquals(
    say("a.test", { deny: ["a.test:25"], allow: ["10.0.0.1"] }),
    "refused at 1-24,26-65535 because no allow rule matches, unless it leads to an address that is allowed; " +
      "--allow a.test would, at 25 by --deny a.test:25",
  );
  assertEquals(say("a.test", { deny: ["a.test:25"] }), "allowed at 1-24,26-65535 because no rule is about it");
  const many = Array.from({ length: 9 }, (_, i) => `a.test:${10 * i + 1}`);
  assertStringIncludes(say("a.test", { allow: many }), "at 31 by --allow a.test:31, and 5 rules more");
  assertEquals(
    say("a.test", { allow: [`a.test:${Array.from({ length: 9 }, (_, i) => 10 * i + 1).join()}`] }),
    "allowed at 1,11,21,31,… by --allow a.test:1,11,21,31,41,51,61,71,81",
  );
});

Deno.test("explain without rules lets everything pass but the default, and lets names be asked for", () => {
  assertEquals(say("a.test:80", {}), "allowed because no rule is about it");
  assertEquals(say("dns:a.test", {}), "allowed, no rule keeps names from being asked for");
  assertEquals(
    say("a.test:80", { allow: ["b.test"] }),
    "refused because no allow rule matches; --allow a.test:80 would",
  );
  assertEquals(say("a.test", { allow: ["a.test:1,3,5,7"] }), "allowed at 1,3,5,7 by --allow a.test:1,3,5,7");
  assertEquals(say("fd00:ec2::254", {}), 'refused by the default "deny fd00:ec2::254"');
  assertEquals(
    say("192.0.2.1:80", { allow: ["192.0.2.2"] }),
    "refused because no allow rule matches; --allow 192.0.2.1:80 would",
  );
});

Deno.test("parseTarget says what is wrong with a target and what would be right", () => {
  const bad: [string, string][] = [
    ["", "a name is missing"],
    ["a.test:", "its ports are numbers"],
    ["a.test:80,443", "it has one port, or none for any of them"],
    ["a.test:80-81", "it has one port"],
    ["a.test:0", "from 1 to 65535"],
    ["*.a.test", "it is one name or one address"],
    ["10.0.0.0/8", "it is one name or one address"],
    ["10.0.0", "ends in a number"],
    ["[a.test]:80", "in brackets stands an IPv6 address"],
    ["[10.0.0.1]:80", "in brackets stands an IPv6 address"],
    ["2001:db8::g", "it is one name or one address"],
    ["icmp:10.0.0.1:80", "ICMP has no ports"],
    ["dns:a.test:53", "a question for a name has no port"],
    ["dns:10.0.0.1", "this is an address"],
    ["https://a.test/", "leave out https://"],
    ["a b", "is no name"],
  ];
  for (const [text, expected] of bad) assertThrows(() => parseTarget(text), Error, expected, text);
});
