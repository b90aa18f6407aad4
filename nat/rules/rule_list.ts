/**
 * The rules of a gateway, and which of them decides.
 *
 * **Two kinds.** Address rules are weighed among themselves first: a deny that wins refuses, an allow that wins allows,
 * whatever a name says. Only where none matches do names decide. A rule **matches** if its host, its protocol and one
 * of its ports do; one whose port does not fit is as if it were not there. Without a protocol an address rule is about
 * TCP, UDP and ICMP, an allow of a name about TCP, a deny of a name about TCP and UDP. A rule with ports is never about
 * ICMP.
 *
 * **The most specific counts**: the longer prefix before the shorter, a name before its wildcard, the longer wildcard
 * before the shorter, deny if two are equal. Ports and protocol make a rule no more specific.
 *
 * **Two addresses.** A flow has the address that the guest asked for and the host address that this leads to
 * (`translate.ts`): 10.0.2.2 and 127.0.0.1, say. An address rule matches if it holds either, so that neither the
 * gateway's address nor a map is a way around a rule. An allow is an exception to the denies around it at one address;
 * a deny that has no exception of that kind stands, whatever is allowed at the other address: the lengths of prefixes
 * of different addresses say nothing of each other.
 *
 * **IPv4 inside.** What goes to an address that holds an IPv4 address (`policy.ts`) may end there, so a deny that wins
 * at that one refuses. If no rule matches the address itself, allows of all that it holds allow it.
 *
 * **Allow-list.** Once there is an allow, what no allow matches is refused; that is for who asks to conclude, from
 * `isAllowList` and a null.
 *
 * **Asking for names.** As soon as an allow has a name or `dns:`, only names that such a rule has may be asked for
 * (`asks`), of whatever port and protocol it is. A deny keeps a name from being asked for only if it is about all of
 * it: every port, and both TCP and UDP.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { ipv4Inside } from "./policy.ts";
import { DEFAULT_RULES, type FlowProtocol, type Rule } from "./rule.ts";

/** Whether a name may be asked for, and by which rule. */
export interface NameAsked {
  /** `ancestor`: it is not allowed, but a name below it is, so it exists and has no records. */
  readonly decision: "forward" | "refuse" | "ancestor";
  /** What decides; null: that no rule is about it. */
  readonly rule: Rule | null;
}

/** The rules of a gateway. Never changed: other rules are another list. */
export class RuleList {
  /** All of them, in the order given. */
  readonly rules: readonly Rule[];
  /** Whether what no rule allows is refused: there is an allow. */
  readonly isAllowList: boolean;
  /** Whether names decide: there is an allow of a name or of questions for one. */
  readonly namesDecide: boolean;
  /** Whether flows to some name are denied. */
  readonly deniesNames: boolean;
  /** Whether any rule is about a name. */
  readonly hasNames: boolean;
  /** Whether every name can be asked for although there is an allow-list: it has addresses alone. */
  readonly dnsOpen: boolean;

  #ancestors = new Set<string>();

  /** Takes rules as they were read, the default included. */
  constructor(rules: readonly Rule[] = DEFAULT_RULES) {
    const named = rules.filter(({ host }) => host.kind !== "network");
    this.rules = rules;
    this.isAllowList = rules.some(isAllow);
    this.namesDecide = named.some(isAllow);
    this.deniesNames = named.some((rule) => !isAllow(rule) && rule.protocol !== "dns");
    this.hasNames = named.length > 0;
    this.dnsOpen = this.isAllowList && !this.namesDecide;
    for (const { host } of named.filter(isAllow)) {
      if (host.kind === "name") addAncestors(this.#ancestors, host.name);
      if (host.kind === "wildcard") addAncestors(this.#ancestors, `*.${host.suffix}`);
    }
  }

  /**
   * The address rule that decides about a flow to `port` at the address `asked`, which leads to the host address
   * `host`; null if none matches. `port` is 0 for a protocol without ports.
   */
  address(protocol: FlowProtocol, asked: IpAddress, host: IpAddress, port: number): Rule | null {
    const decided = this.#pair(protocol, asked, host, port);
    if (host.isIpv4 || decided?.verdict === "deny") return decided;
    let allow: Rule | null = null, isOpen = true;
    for (const inside of ipv4Inside(host)) {
      const rule = this.#pair(protocol, inside, inside, port);
      if (rule?.verdict === "deny") return rule;
      if (rule === null) isOpen = false;
      allow ??= rule;
    }
    return decided ?? (isOpen ? allow : null);
  }

  /** The name rule that decides about a flow to `port` of a host by this name; null if none matches. */
  name(protocol: FlowProtocol, name: string, port: number): Rule | null {
    return this.#mostSpecific(name, (rule) => isAboutFlow(rule, protocol) && hasPort(rule, port));
  }

  /** Whether this name may be asked for. */
  asks(name: string): NameAsked {
    const rule = this.#mostSpecific(name, (rule) => isAllow(rule) || isWhole(rule));
    if (rule !== null && isAllow(rule)) return { decision: "forward", rule };
    if (rule === null && !this.namesDecide) return { decision: "forward", rule };
    return { decision: this.#ancestors.has(name) ? "ancestor" : "refuse", rule };
  }

  /** Whether an allow has exactly this name. */
  namesExactly(name: string): boolean {
    return this.rules.some((rule) => isAllow(rule) && rule.host.kind === "name" && rule.host.name === name);
  }

  /** Whether an allow holds this address, at some port. */
  allowsAddress(address: IpAddress): boolean {
    const holds = (held: IpAddress) => this.rules.some((rule) => isAllow(rule) && contains(rule, held));
    const inside = ipv4Inside(address);
    return holds(address) || (inside.length > 0 && inside.every(holds));
  }

  /** The same for these two addresses alone. */
  #pair(protocol: FlowProtocol, asked: IpAddress, host: IpAddress, port: number): Rule | null {
    const longest = (verdict: Rule["verdict"], address: IpAddress) =>
      this.rules.reduce<Rule | null>((best, rule) => {
        const matches = rule.verdict === verdict && contains(rule, address) && isAboutAddress(rule, protocol, port);
        return matches && prefixOf(rule) > prefixOf(best) ? rule : best;
      }, null);
    const atAsked = longest("allow", asked), atHost = longest("allow", host);
    for (const address of [asked, host]) {
      const deny = longest("deny", address), prefix = prefixOf(deny);
      if (deny === null) continue;
      // An exception lies within the rule's network: it holds the same address and is longer.
      const excepted = (contains(deny, asked) && prefixOf(atAsked) > prefix) ||
        (contains(deny, host) && prefixOf(atHost) > prefix);
      if (!excepted) return deny;
    }
    return atAsked ?? atHost;
  }

  /** Of the rules about this name that `matches`, the one that counts. */
  #mostSpecific(name: string, matches: (rule: Rule) => boolean): Rule | null {
    let best: Rule | null = null, most = -1;
    for (const rule of this.rules) {
      const specificity = nameSpecificity(rule, name);
      if (specificity < 0 || !matches(rule)) continue;
      if (best === null || specificity > most || (specificity === most && rank(rule) > rank(best))) {
        [best, most] = [rule, specificity];
      }
    }
    return best;
  }
}

/** Of two rules that are equally specific the one of higher rank counts. */
function rank(rule: Rule): number {
  return isAllow(rule) ? Number(rule.unverified) : 2;
}

/** How specific a rule is about a name, -1 if it is not about it. */
function nameSpecificity({ host }: Rule, name: string): number {
  if (host.kind === "name") return host.name === name ? 1000 : -1;
  if (host.kind !== "wildcard") return -1;
  if (host.suffix === "") return 0;
  if (!name.endsWith(`.${host.suffix}`)) return -1;
  const below = name.slice(0, -host.suffix.length - 1).split(".");
  return below.some((label) => label.startsWith("_")) ? -1 : host.suffix.length;
}

function addAncestors(ancestors: Set<string>, name: string): void {
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) ancestors.add(name.slice(dot + 1));
  ancestors.add("");
}

function prefixOf(rule: Rule | null): number {
  return rule?.host.kind === "network" ? rule.host.range.prefix : -1;
}

function contains({ host }: Rule, address: IpAddress): boolean {
  return host.kind === "network" && host.range.contains(address);
}

function isAllow({ verdict }: Rule): boolean {
  return verdict === "allow";
}

function isAboutAddress(rule: Rule, protocol: FlowProtocol, port: number): boolean {
  return (rule.protocol === null || rule.protocol === protocol) && hasPort(rule, port);
}

function isAboutFlow(rule: Rule, protocol: FlowProtocol): boolean {
  if (rule.protocol !== null) return rule.protocol === protocol;
  return protocol === "tcp" || (protocol === "udp" && !isAllow(rule));
}

/** Whether a deny is about all of its name. */
function isWhole({ protocol, ports }: Rule): boolean {
  return ports.length === 0 && (protocol === null || protocol === "dns");
}

function hasPort({ ports }: Rule, port: number): boolean {
  return ports.length === 0 || ports.some(({ low, high }) => port >= low && port <= high);
}
