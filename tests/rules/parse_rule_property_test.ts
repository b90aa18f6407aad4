import { assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import type { Rule } from "../../nat/rules/rule.ts";
import { parseRule } from "../../rules/parse_rule.ts";
import { RuleError } from "../../rules/rule_error.ts";
import { parseRulesFile } from "../../rules/rules_file.ts";
import { parseTarget } from "../../rules/target.ts";
import { checkProperty } from "../support/properties.ts";

/** Pieces of rules, right ones and wrong ones, in any order. */
const piece = fc.constantFrom(
  ..."tcp: udp: icmp: dns: TCP: x: * *. . .. a a.test A.Test. bücher _x xn--a xn--bcher-kva 10.0.0.1 10.0.0.0/8 0x1 1 :: ::1"
    .split(" "),
  ..."[ ] [::1] [fd00::/8] :80 :0 :443,80 :1-99 :99-1 , - / /8 @ % # none unverified http:// \u3002 \u00ad \uFFFD \0"
    .split(" "),
  " ",
  "\t",
);
const text = fc.oneof(
  fc.array(piece, { maxLength: 7 }).map((pieces) => pieces.join("")),
  fc.string({ unit: "grapheme", maxLength: 40 }),
);

Deno.test("parseRule reads a rule or says in a line what is wrong, and what it writes it reads to the same", () => {
  checkProperty(fc.tuple(fc.constantFrom("allow" as const, "deny" as const), text), ([verdict, text]) => {
    let rule: Rule;
    try {
      rule = parseRule(text, { verdict, source: "here" });
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      assertEquals([error.source, error.text], ["here", text]);
      // deno-lint-ignore no-control-regex
      assertMatch(error.problem, /^[^\x00-\x1f\x7f]+$/);
      return;
    }
    // Nothing but these characters comes into logs and records.
    assertMatch(rule.text, /^(allow|deny) [a-z0-9_.:*/[\]-]+[a-z0-9_.:*/[\],-]*( unverified)?$/);
    assertEquals(parseRule(rule.text.replace(/^\w+ /, ""), { verdict, source: "here" }), rule);
  });
});

Deno.test("parseRulesFile reads a file or names the first line that is wrong", () => {
  const line = fc.tuple(fc.constantFrom("allow ", "deny ", "Allow ", "", "#"), text).map((parts) => parts.join(""));
  checkProperty(fc.array(line, { maxLength: 5 }), (lines) => {
    const text = lines.join("\n");
    try {
      const { rules } = parseRulesFile({ name: "file", text });
      for (const { source } of rules) assertMatch(source, /^file:[1-9][0-9]*$/);
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      const [, number] = /^file:([1-9][0-9]*)$/.exec(error.source)!,
        before = text.split(/\r\n|\n|\r/).slice(0, Number(number) - 1);
      parseRulesFile({ name: "file", text: before.join("\n") });
    }
  });
});

Deno.test("parseTarget reads a target or says what is wrong", () => {
  checkProperty(text, (text) => {
    try {
      const { host } = parseTarget(text);
      if (typeof host === "string") assertMatch(host, /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      // deno-lint-ignore no-control-regex
      assertMatch(error.message, /^[^\x00-\x1f\x7f]+$/);
    }
  });
});
