/**
 * DNS under the rules: which names a guest may ask for, what of an answer it gets, and which names that binds to which
 * addresses.
 *
 * **Asking** (`judge`). As long as names decide, a name may be asked for if a rule lets it (`RuleList.asks`), or if the
 * answer to one that may names it, as the next of a chain of aliases or as the server of a service: some resolvers ask
 * for these by themselves. A name above one that may be asked exists and has no records (RFC 8020); what a validator
 * wants of it, its keys and the servers of its zone, is asked for. Everything else is refused. Without an allow of a
 * name only names are refused that are denied on every port. As soon as a rule has a name, clients are kept at this
 * DNS: `_dns.resolver.arpa` is empty (RFC 9462 section 4), so nothing is found that speaks DNS by TLS, and
 * `use-application-dns.net` does not exist, so Firefox asks here too.
 *
 * **Answers** (`take`) are bound whatever the rules are, so that a change of rules finds the bindings
 * (`rules/bindings.ts`): the addresses at the end of the chain to the name that was asked, and to those that named it.
 * A name on the way that is denied refuses the answer. What a guest must not get goes (`dns_filter.ts`): under an
 * allow-list addresses that nothing can allow, and while names decide what hides from the gateway to whom a guest
 * talks.
 *
 * **Rebinding.** An answer from outside says where a name leads, and must not lead to what is near: never to the
 * guest's subnets, an address that a map has taken, or loopback. Addresses that are not globally reachable
 * (`rules/special_purpose.ts`) are bound under an allow-list only to a name that a rule names exactly, since whoever
 * wrote that rule knows where it is; a wildcard is for names that others make. Without an allow-list nobody has said
 * what is meant, and everything else is bound.
 *
 * **In a report** nothing is refused and no address goes, but it is said what would be.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { DNS_TYPE_DNSKEY, DNS_TYPE_DS, DNS_TYPE_NS, DNS_TYPE_SOA } from "../../net/wire/dns.ts";
import type { GuestBindings } from "../rules/bindings.ts";
import { familyOf, findReserved, ipv4Inside } from "../rules/policy.ts";
import type { Rule } from "../rules/rule.ts";
import type { RuleList } from "../rules/rule_list.ts";
import { isHidden, isOfGateway, segmentOf } from "../rules/segment.ts";
import { isGloballyReachable } from "../rules/special_purpose.ts";
import type { TranslationRules } from "../rules/translate.ts";
import type { DnsBytes } from "./dns64.ts";
import { type DnsFacts, readDnsFacts } from "./dns_answer.ts";
import { filterDnsAnswer } from "./dns_filter.ts";
import { dnsNameText, type DnsQuery } from "./dns_query.ts";

/** What the control needs of the gateway. */
export interface NameControlContext {
  /** What addresses mean, and the rules, as they are now. */
  readonly rules: () => TranslationRules;
  /** Whether rules only report. */
  readonly reportOnly: boolean;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** What becomes of a query. */
export interface DnsVerdict {
  /**
   * `ask`: resolvers may be asked; `refuse`: rules forbid it; `empty`: the name has no such record; `absent`: there is
   * no such name.
   */
  readonly does: "ask" | "refuse" | "empty" | "absent";
  /** The rule that decided; null if none is about the name. */
  readonly rule: Rule | null;
  /** Whether it would be refused if rules were not only reported. */
  readonly wouldRefuse: boolean;
}

/** What becomes of an answer; `denied`: by which rule it would be refused if rules were not only reported. */
export type DnsTaken =
  /** It goes to the guest as it is. */
  | { readonly does: "pass"; readonly denied: Rule | null }
  /** It goes without some of it; null: what is left does not fit into any message. */
  | {
    readonly does: "replace";
    readonly message: Uint8Array | null;
    readonly removed: readonly string[];
    readonly denied: Rule | null;
  }
  /** No address is left. */
  | { readonly does: "empty"; readonly removed: readonly string[] }
  /** A name on the way, `name`, is denied by `rule`. */
  | { readonly does: "refuse"; readonly name: string; readonly rule: Rule }
  /** It is malformed, so nobody can tell what to take out. */
  | { readonly does: "fail" };

const ASK: DnsVerdict = { does: "ask", rule: null, wouldRefuse: false };
const EMPTY: DnsVerdict = { ...ASK, does: "empty" };
const ABSENT: DnsVerdict = { ...ASK, does: "absent" };
const PASS: DnsTaken = { does: "pass", denied: null };

/** By which clients look for resolvers that speak TLS. */
const RESOLVERS = "_dns.resolver.arpa";
/** By which Firefox is told not to ask a resolver of its own. */
const CANARY = "use-application-dns.net";
/** What a validator wants of a name above one that is asked for. */
const OF_ZONES: readonly number[] = [DNS_TYPE_DS, DNS_TYPE_DNSKEY, DNS_TYPE_NS, DNS_TYPE_SOA];

/** A name in wire form as rules have it: the root is empty. */
export function ruleName(name: string): string {
  return dnsNameText(name).slice(0, -1);
}

/** Decides about names. */
export class NameControl {
  #context: NameControlContext;

  /** For a gateway's DNS. */
  constructor(context: NameControlContext) {
    this.#context = context;
  }

  /** Whether only names may be asked for that a rule lets, so that queries are made anew. */
  get namesDecide(): boolean {
    return this.#list.namesDecide;
  }

  get #list(): RuleList {
    return this.#context.rules().egress;
  }

  /** What becomes of a query of the guest with these bindings, which has one question. */
  judge(bindings: GuestBindings, query: DnsQuery): DnsVerdict {
    const list = this.#list;
    if (!list.hasNames) return ASK;
    const name = ruleName(query.name);
    if (name === RESOLVERS) return EMPTY;
    return name === CANARY ? ABSENT : this.#decide(bindings, query, name);
  }

  #decide(bindings: GuestBindings, { type }: DnsQuery, name: string): DnsVerdict {
    const { decision, rule } = this.#list.asks(name), now = this.#context.now();
    if (decision === "forward") return { ...ASK, rule };
    const [origin] = rule === null ? this.#origins(bindings, name) : [];
    if (origin !== undefined) return { ...ASK, rule: this.#list.asks(origin).rule };
    if (decision === "ancestor" || (rule === null && bindings.hasTargetBelow(name, now))) {
      return OF_ZONES.includes(type) || this.#context.reportOnly ? ASK : EMPTY;
    }
    return this.#context.reportOnly ? { does: "ask", rule, wouldRefuse: true } : { ...ASK, does: "refuse", rule };
  }

  /** The names that named `name` in their answers and that may be asked themselves. */
  #origins(bindings: GuestBindings, name: string): readonly string[] {
    const origins = bindings.origins(name, this.#context.now());
    return this.#context.reportOnly
      ? origins
      : origins.filter((origin) => this.#list.asks(origin).decision === "forward");
  }

  /** Binds what an answer to the guest says, and tells what of it the guest gets. */
  take(bindings: GuestBindings, query: DnsQuery, answer: DnsBytes): DnsTaken {
    const facts = query.name === "" ? null : readDnsFacts(answer, query.name), list = this.#list;
    if (facts === null) return list.namesDecide ? { does: "fail" } : PASS;
    const isReport = this.#context.reportOnly, denied = list.hasNames ? findDenied(list, facts) : null;
    if (denied !== null && !isReport) return { does: "refuse", ...denied };
    const credited = this.#credited(bindings, ruleName(query.name));
    this.#bind(bindings, facts, credited);
    const filters = list.isAllowList && !isReport;
    if (!filters && !list.namesDecide) return passed(denied);
    const keeps = (address: IpAddress) =>
      !filters || list.allowsAddress(address) || credited.some((name) => this.#mayBind(address, name));
    const filtered = filterDnsAnswer(answer, { keeps, strips: list.namesDecide });
    if (filtered === null) return list.namesDecide ? { does: "fail" } : passed(denied);
    if (filtered === "unchanged") return passed(denied);
    const { isEmpty, message, removed } = filtered;
    return isEmpty ? { does: "empty", removed } : { does: "replace", message, removed, denied: denied?.rule ?? null };
  }

  /** The names to which addresses of an answer are bound: that which was asked, and those that named it. */
  #credited(bindings: GuestBindings, name: string): readonly string[] {
    const origins = this.#origins(bindings, name);
    if (origins.length === 0) return [name];
    // One that may be asked only because another names it stands for that.
    const isOwn = this.#context.reportOnly || this.#list.asks(name).decision === "forward";
    return isOwn ? [name, ...origins.filter((origin) => origin !== name)] : origins;
  }

  #bind(bindings: GuestBindings, facts: DnsFacts, credited: readonly string[]): void {
    const now = this.#context.now();
    for (const { value, ttl } of facts.addresses) {
      for (const name of credited) if (this.#mayBind(value, name)) bindings.bind(value, name, ttl, now);
    }
    for (const found of [facts.cnames, facts.targets]) {
      for (const { value, ttl } of found) {
        for (const name of credited) bindings.addTarget(ruleName(value), name, ttl, now);
      }
    }
  }

  /** Whether an answer from outside may bind `address` to `name`. */
  #mayBind(address: IpAddress, name: string): boolean {
    const rules = this.#context.rules(), { egress: list } = rules;
    if (isOwnAddress(rules, address) || ipv4Inside(address).some((inside) => isOwnAddress(rules, inside))) return false;
    return !list.isAllowList || this.#context.reportOnly || isGloballyReachable(address) || list.namesExactly(name);
  }
}

/** A name on the way that is denied. */
function findDenied(list: RuleList, { cnames }: DnsFacts): { name: string; rule: Rule } | null {
  for (const { value } of cnames) {
    const name = ruleName(value), { decision, rule } = list.asks(name);
    if (decision !== "forward" && rule !== null) return { name, rule };
  }
  return null;
}

function passed(denied: { readonly rule: Rule } | null): DnsTaken {
  return denied === null ? PASS : { does: "pass", denied: denied.rule };
}

/** Whether `address` means something of the gateway or of the host itself, or is one that nothing is relayed to. */
function isOwnAddress(rules: TranslationRules, address: IpAddress): boolean {
  const family = familyOf(address), segment = segmentOf(rules, family);
  return findReserved(family, address) !== undefined ||
    (segment !== null && (isHidden(segment, address) || isOfGateway(segment, address))) ||
    rules.maps.some(({ guest }) => guest.equals(address));
}
