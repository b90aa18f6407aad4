/**
 * What a user should know of rules that can be followed.
 *
 * @module
 */
import type { Rule } from "../nat/rules/rule.ts";
import type { RuleList } from "../nat/rules/rule_list.ts";

/** Port of HTTP/3, which is QUIC. */
const QUIC_PORT = 443;

/** A warning. */
export interface RuleWarning {
  /** What it is about: a wildcard over a private suffix, QUIC, or names that can be asked for in spite of the rules. */
  readonly kind: "privateSuffix" | "quic" | "dnsOpen";
  /** The rule, if it is about one. */
  readonly rule: Rule | null;
  /** What to tell, without a full stop. */
  readonly message: string;
}

/** What to warn of in a list. `hasDns` says whether names are resolved at all. */
export function warningsOf(list: RuleList, { hasDns }: { hasDns: boolean }): RuleWarning[] {
  const warnings = list.rules.filter(opensQuic).map((rule): RuleWarning => ({
    kind: "quic",
    rule,
    message: `${rule.text} is by address alone: QUIC there reaches every name that has the same address`,
  }));
  if (list.dnsOpen && hasDns) {
    const message = "addresses alone are allowed, so every name can be asked for, and questions can carry data out: " +
      "allow names, or give no DNS (--dns none)";
    warnings.push({ kind: "dnsOpen", rule: null, message });
  }
  return warnings;
}

function opensQuic({ verdict, protocol, host, ports }: Rule): boolean {
  if (verdict !== "allow" || protocol !== "udp" || host.kind === "network") return false;
  return ports.length === 0 || ports.some(({ low, high }) => low <= QUIC_PORT && QUIC_PORT <= high);
}
