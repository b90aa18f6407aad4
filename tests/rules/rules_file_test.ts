import { assertEquals, assertThrows } from "@std/assert";
import { RuleError } from "../../rules/rule_error.ts";
import { parseRulesFile } from "../../rules/rules_file.ts";

Deno.test("parseRulesFile reads a rule a line, and leaves out comments, empty lines and what editors add", () => {
  const text = "\uFEFF# what npm needs\r\nallow registry.example:443   # packages\r\n\r\n" +
    "\tdeny   *.telemetry.example\n   \nallow db.example:5432   unverified#x\ndeny none";
  const { rules, dropsDefault } = parseRulesFile({ name: "rules.txt", text });
  assertEquals(rules.map(({ text, source }) => `${source} ${text}`), [
    "rules.txt:2 allow registry.example:443",
    "rules.txt:4 deny *.telemetry.example",
    "rules.txt:6 allow db.example:5432 unverified",
  ]);
  assertEquals(dropsDefault, true);
  assertEquals(parseRulesFile({ name: "x", text: "" }), { rules: [], dropsDefault: false });
  assertEquals(parseRulesFile({ name: "x", text: "deny none.\n" }).dropsDefault, false);
});

Deno.test("parseRulesFile names the file, the line and what would be right", () => {
  const bad: [string, string][] = [
    ["registry.example", 'a line begins with "allow" or "deny", write "allow registry.example"'],
    ["Allow registry.example", 'write "allow registry.example"'],
    ["--deny 10.0.0.0/8", 'write "deny 10.0.0.0/8"'],
    ["allow: a.example", 'write "allow a.example"'],
    ["allow", '"allow" of what?'],
    ["deny # none", '"deny" of what?'],
    ["allow none", "none is for deny"],
    ["allow *.x.*.example", "whole labels at the front"],
    ["deny 10.0.0.5/8", "write 10.0.0.0/8"],
    ["allow a.example:99999", "its ports are from 1 to 65535"],
    ["allow a.example deny b.example", 'comes "unverified" or nothing'],
  ];
  for (const [line, expected] of bad) {
    const text = `# a comment\nallow fine.example\n${line}\nallow \n`;
    const error = assertThrows(() => parseRulesFile({ name: "my rules", text }), RuleError, expected, line);
    assertEquals(error.source, "my rules:3", line);
  }
});
