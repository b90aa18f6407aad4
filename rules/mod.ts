/**
 * Rules: who may go where, read from text.
 *
 * `readRuleList` reads what `Gateway.start` takes as `allow` and `deny` and makes a `RuleList`, which decides. It is of
 * use without a gateway too: it needs no permission and no network.
 *
 * @module
 */
export * from "../nat/rules/rule.ts";
export * from "../nat/rules/rule_list.ts";
export * from "./open_family.ts";
export * from "./parse_rule.ts";
export * from "./read.ts";
export * from "./rule_error.ts";
