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
 * The default deny is about where flows lead. An address that leads elsewhere was named by the user, as a map or as the
 * gateway's, so the default does not concern it: 169.254.1.1 may stand for the host, and 169.254.169.254 that stands
 * for itself is denied.
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
 * **Cost.** Ten thousand rules decide as fast as ten: networks, names and ports are looked up (`network_index.ts`,
 * `name_index.ts`, `port_table.ts`), and nothing is made for a decision.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { ASKED, NameIndex } from "./name_index.ts";
import { NetworkIndex } from "./network_index.ts";
import { ipv4Inside } from "./policy.ts";
import { placeOf } from "./port_table.ts";
import { DEFAULT_RULES, DEFAULT_SOURCE, type FlowProtocol, type Rule } from "./rule.ts";

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

  #allowed: NetworkIndex;
  #denied: NetworkIndex;
  /** The same without the default. */
  #deniedByUser: NetworkIndex;
  #names: NameIndex;

  /** Takes rules as they were read, the default included. */
  constructor(rules: readonly Rule[] = DEFAULT_RULES) {
    const named = rules.filter(({ host }) => host.kind !== "network");
    this.rules = rules;
    this.isAllowList = rules.some(isAllow);
    this.namesDecide = named.some(isAllow);
    this.deniesNames = named.some((rule) => !isAllow(rule) && rule.protocol !== "dns");
    this.hasNames = named.length > 0;
    this.dnsOpen = this.isAllowList && !this.namesDecide;
    this.#allowed = new NetworkIndex(rules.filter(isAllow));
    const denies = rules.filter((rule) => !isAllow(rule));
    this.#denied = new NetworkIndex(denies);
    this.#deniedByUser = new NetworkIndex(denies.filter(({ source }) => source !== DEFAULT_SOURCE));
    this.#names = new NameIndex(named);
  }

  /**
   * The address rule that decides about a flow to `port` at the address `asked`, which leads to the host address
   * `host`; null if none matches. `port` is 0 for a protocol without ports.
   */
  address(protocol: FlowProtocol, asked: IpAddress, host: IpAddress, port: number): Rule | null {
    const place = placeOf(protocol, port), decided = this.#pair(place, asked, host);
    if (host.isIpv4 || decided?.verdict === "deny") return decided;
    let allow: Rule | null = null, isOpen = true;
    for (const inside of ipv4Inside(host)) {
      const rule = this.#pair(place, inside, inside);
      if (rule?.verdict === "deny") return rule;
      if (rule === null) isOpen = false;
      allow ??= rule;
    }
    return decided ?? (isOpen ? allow : null);
  }

  /** The name rule that decides about a flow to `port` of a host by this name; null if none matches. */
  name(protocol: FlowProtocol, name: string, port: number): Rule | null {
    return this.#names.find(placeOf(protocol, port), name);
  }

  /** Whether this name may be asked for; `""` and `"."` are the root. */
  asks(name: string): NameAsked {
    const asked = name === "." ? "" : name, rule = this.#names.find(ASKED, asked);
    if (rule?.verdict === "allow" || (rule === null && !this.namesDecide)) return { decision: "forward", rule };
    return { decision: this.#names.isAncestor(asked) ? "ancestor" : "refuse", rule };
  }

  /** Whether an allow has exactly this name. */
  namesExactly(name: string): boolean {
    return this.#names.allowsExactly(name);
  }

  /** Whether an allow holds this address, at some port. */
  allowsAddress(address: IpAddress): boolean {
    if (this.#allowed.holds(address)) return true;
    const inside = ipv4Inside(address);
    return inside.length > 0 && inside.every((one) => this.#allowed.holds(one));
  }

  /** The same as `address` for these two addresses alone. */
  #pair(place: number, asked: IpAddress, host: IpAddress): Rule | null {
    const isOne = asked.equals(host);
    const atAsked = this.#allowed.find(place, asked), atHost = isOne ? atAsked : this.#allowed.find(place, host);
    const deny = (isOne ? this.#denied : this.#deniedByUser).find(place, asked);
    // If the longest deny at an address has an exception, that is one to the shorter ones too, which lie around it.
    if (deny !== null && !isExcepted(deny, asked, atAsked) && !isExcepted(deny, host, atHost)) return deny;
    if (!isOne) {
      const deny = this.#denied.find(place, host);
      if (deny !== null && !isExcepted(deny, asked, atAsked) && !isExcepted(deny, host, atHost)) return deny;
    }
    return atAsked ?? atHost;
  }
}

/** Whether `allow`, which holds `address`, is an exception to `deny`: within its network, and longer. */
function isExcepted({ host }: Rule, address: IpAddress, allow: Rule | null): boolean {
  if (allow === null || host.kind !== "network" || allow.host.kind !== "network") return false;
  return allow.host.range.prefix > host.range.prefix && host.range.contains(address);
}

function isAllow({ verdict }: Rule): boolean {
  return verdict === "allow";
}
