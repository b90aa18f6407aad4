/**
 * Rules: who may go where, read from text.
 *
 * `readRuleList` reads what `Gateway.start` takes as `allow`, `deny` and `rules`, and makes the `RuleList` that
 * decides; `explain` says in words how. All of it can be used without a gateway, and needs neither permission nor
 * network.
 *
 * ```ts
 * import { readRuleList } from "./mod.ts";
 *
 * const { list } = await readRuleList({ rules: "allow registry.example:443" });
 * console.log(list.name("tcp", "registry.example", 443)?.text, list.name("tcp", "other.example", 443));
 * ```
 *
 * @module
 */
export * from "../nat/rules/rule.ts";
export * from "../nat/rules/rule_list.ts";
export * from "./explain.ts";
export { GatewayRules, type OtherRules, type RulesHolder } from "./gateway_rules.ts";
export * from "./name.ts";
export * from "./open_family.ts";
export { DENY_NONE, formatSpec, parseRule, type RuleContext } from "./parse_rule.ts";
export * from "./public_suffix.ts";
export * from "./read.ts";
export { RuleError } from "./rule_error.ts";
export * from "./rule_warning.ts";
export * from "./rules_file.ts";
export * from "./target.ts";
