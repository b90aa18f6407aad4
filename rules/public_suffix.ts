/**
 * Wildcards over public suffixes: names below which anybody registers names, by the list of publicsuffix.org.
 *
 * `*.com` or `*.co.uk` would be whatever anybody has registered, so it is refused. Below a private suffix such as
 * `github.io` are names of the customers of one company; a wildcard over it is followed, with a warning. What is on no
 * list, `*.internal`, is the user's own affair.
 *
 * The list is loaded when there is a wildcard to look up, and not before: most gateways have none.
 *
 * @module
 */
import type { Rule } from "../nat/rules/rule.ts";
import { RuleError } from "./rule_error.ts";
import type { RuleWarning } from "./rule_warning.ts";

/** Part of a name that the list does not have, to see what is below a suffix. */
const PROBE = "a-name-below";

/** What to warn of in these rules. Rejects with a `RuleError` for a wildcard over an ICANN suffix. */
export async function checkSuffixes(rules: readonly Rule[]): Promise<RuleWarning[]> {
  const wild = rules.filter(({ host }) => host.kind === "wildcard" && host.suffix !== "");
  if (wild.length === 0) return [];
  const { parse } = await import("tldts");
  const options = { allowPrivateDomains: true, extractHostname: false, validateHostname: false, detectIp: false };
  return wild.flatMap((rule) => {
    const suffix = rule.host.kind === "wildcard" ? rule.host.suffix : "";
    // Of a rule such as *.ck the list says that it is a suffix only for a name below it.
    const kinds = [suffix, `${PROBE}.${suffix}`].map((name) => parse(name, options))
      .filter(({ publicSuffix, hostname }) => publicSuffix === hostname);
    if (kinds.some(({ isIcann }) => isIcann)) {
      throw new RuleError(rule.source, `*.${suffix}`, icannProblem(suffix));
    }
    if (!kinds.some(({ isPrivate }) => isPrivate)) return [];
    const message = `anybody can have a name below ${suffix}, and ${rule.text} is about all of them`;
    return [{ kind: "privateSuffix", rule, message }];
  });
}

function icannProblem(suffix: string): string {
  return `anybody can register a name below ${suffix}, which is a public suffix: ` +
    `name the domain that you mean, such as *.example.${suffix}`;
}
