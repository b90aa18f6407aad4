/**
 * Who may go where: the one place that puts rules, the names of addresses, the mode and the program's own decision
 * together.
 *
 * **Order.** `translate` has said where a flow leads, and which rule about addresses decides. If one denies, that is
 * it; if one allows, names are not asked. If none matches, names decide: those that the address has for this guest
 * (`bindings.ts`), each as `RuleList.name` judges it for the protocol and port. One allowed name is enough. Where there
 * is no allow-list, a flow is refused only if all its names are denied.
 *
 * **Cause.** Without an allowed name the guest learns what would have helped: `rule`, one of the names is denied;
 * `notAllowed`, it has names, or the list has none that could help; `expired`, an allowed one has lapsed; `unbound`, no
 * answer led there. An address that is not globally reachable is reached by the name that a rule names exactly, never
 * through a wildcard.
 *
 * **Looking.** A TCP flow that only a name allows says a name in its first bytes, and that must be an allowed one
 * (`verify`), unless the rule says `unverified`. Where the list denies names, flows that nothing or an address allows
 * are looked at too, for these (`watch`). Who looks: `relay/name_judge.ts`.
 *
 * **Reports.** With `reportOnly` nothing is refused by a user's rule. What would be is permitted with the refusal
 * beside it, and is looked at, so that the record says by which name it went, or that it said none (`learn`). The
 * default deny stays, with the address rules that are exceptions to it.
 *
 * **The program's decision** comes last, for what is permitted. A redirect leads nowhere that a map could not lead.
 *
 * **Other rules.** If they are replaced, `goesOn` judges a flow that lives: by the name that it has said, else by the
 * names it holds and those that its address has now. One that asks a proxy for a target is judged by both.
 *
 * Nothing here is done for each packet: once a TCP flow, and once a destination of datagrams.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import type { RateLimitedLog } from "../base/rate_limited_log.ts";
import type { GuestSide } from "../flow/flow.ts";
import type { FlowKey } from "../flow/flow_key.ts";
import type { Binding } from "./bindings.ts";
import { type Decide, parseRedirect, targetText } from "./decide.ts";
import {
  expired,
  fewNames,
  hookRefused,
  neverRelayed,
  notAllowed,
  plainRefusal,
  ruledOut,
  unbound,
  type Wanted,
} from "./refusals.ts";
import { familyOf } from "./policy.ts";
import { DEFAULT_SOURCE, type FlowProtocol, type Rule } from "./rule.ts";
import { RuleList } from "./rule_list.ts";
import { segmentOf, type Segments, standsForHost } from "./segment.ts";
import { isGloballyReachable } from "./special_purpose.ts";
import {
  destinationOf,
  flowProtocolOf,
  redirectRefusal,
  type Target,
  translate,
  type Translated,
  type Translation,
  type TranslationRules,
} from "./translate.ts";
import type { FlowPermit, FlowRefusal, Look, Said } from "./verdict.ts";

/** What the gatekeeper needs of the gateway. */
export interface GatekeeperContext {
  /** What addresses mean, and where guests may go, as they are now. */
  readonly rules: TranslationRules;
  /** Lines that a guest can provoke. */
  readonly log: Pick<RateLimitedLog, "warn">;
  /** Monotonic milliseconds. */
  now(): number;
}

/** How strict the gatekeeper is. */
export interface GatekeeperOptions {
  /** Whether rules only report. Default false. */
  readonly reportOnly?: boolean;
  /** Whether a TCP flow that only a name allows must say a name (`--names strict`). Default false. */
  readonly strict?: boolean;
  /** The program's own decision. Default none. */
  readonly decide?: Decide;
}

/** What a guest asks for, and what led it there, which is looked up if that matters. */
class Asked implements Wanted {
  readonly guest: GuestSide;
  readonly protocol: FlowProtocol;
  readonly address: IpAddress;
  readonly port: number;
  readonly now: number;
  #bindings: readonly Binding[] | null;

  constructor(guest: GuestSide, key: FlowKey, now: number, bindings: readonly Binding[] | null = null) {
    this.guest = guest;
    this.protocol = flowProtocolOf(key.protocol);
    this.address = key.remoteAddress;
    this.port = key.remotePort;
    this.now = now;
    this.#bindings = bindings;
  }

  get bindings(): readonly Binding[] {
    return this.#bindings ??= this.guest.bindings.of(this.address, this.now);
  }

  get names(): readonly string[] {
    return namesOf(this.bindings);
  }
}

/** Lets flows begin, and go on. */
export class Gatekeeper {
  /** Whether rules only report. */
  readonly reportOnly: boolean;
  /** Whether a TCP flow that only a name allows must say a name. */
  readonly strict: boolean;

  #context: GatekeeperContext;
  #decide: Decide | null;
  /** In a report: what stays forbidden, of the list that it was made for. */
  #floor: { readonly of: RuleList; readonly list: RuleList } | null = null;

  /** Over the gateway's rules. */
  constructor(context: GatekeeperContext, { reportOnly = false, strict = false, decide }: GatekeeperOptions = {}) {
    this.#context = context;
    this.reportOnly = reportOnly;
    this.strict = strict;
    this.#decide = decide ?? null;
  }

  /** Whether the flow with this key, which leads where `translation` says, may begin. */
  permit(guest: GuestSide, key: FlowKey, translation: Translation): FlowPermit | FlowRefusal {
    const asked = new Asked(guest, key, this.#context.now());
    const judged = this.#judge(asked, translation);
    return this.#decide === null || "cause" in judged ? judged : this.#ask(this.#decide, asked, key, judged);
  }

  /**
   * Whether a flow with this permit goes on under the rules as they are now. `said`: what its first bytes have said, if
   * they were looked at and did.
   */
  goesOn(guest: GuestSide, key: FlowKey, permit: FlowPermit, said: Said | null): boolean {
    const now = this.#context.now(), live = guest.bindings.of(key.remoteAddress, now);
    const known = [...new Set([...permit.holds, ...live])];
    const spoken = said?.port === key.remotePort ? known.filter(({ name }) => name === said.name) : [];
    const isBySaid = spoken.length > 0, { rules } = this.#context;
    const asked = new Asked(guest, key, now, isBySaid ? spoken : known);
    const judged = this.#judge(asked, translate(rules, destinationOf(key)));
    if ("cause" in judged) return false;
    if (this.reportOnly) return true;
    if (said === null) return !(this.strict && judged.look === "verify" && permit.look !== "verify");
    const rule = ruleOfSaid(rules.egress, said);
    // What it said without a binding is a target, for which it asks a proxy.
    return isBySaid || judged.look !== "verify" ? rule?.verdict !== "deny" : rule?.verdict === "allow";
  }

  /** The rule that decides if this name is what is wanted at its address; null: none matches. */
  ruleOf({ protocol, address, port }: Omit<Wanted, "names">, name: string): Rule | null {
    const { rules } = this.#context, rule = rules.egress.name(protocol, name, port);
    return rule !== null && isNearByWildcard(rules, rule, address) ? null : rule;
  }

  /** The verdict of the rules, and of the mode. */
  #judge(asked: Asked, translation: Translation): FlowPermit | FlowRefusal {
    if ("refusal" in translation && translation.decided === null) return neverRelayed(translation);
    const judged = this.#byRules(asked, translation);
    if (!this.reportOnly) return judged;
    const { protocol, bindings, names } = asked, { targets } = translation;
    const isNew = bindings.length > 0 && ("cause" in judged || judged.rule === null);
    const look = protocol !== "tcp" ? "none" : isNew ? "learn" : "watch";
    if (!("cause" in judged)) return judged.look === "verify" ? judged : { ...judged, look };
    const stays = targets.map((target) => this.#stays(asked, target)).find((rule) => rule !== null);
    if (stays !== undefined) return ruledOut(asked, stays);
    return { rule: null, names, holds: bindings, look, wouldRefuse: plainRefusal(judged), targets };
  }

  #byRules(asked: Asked, translation: Translation): FlowPermit | FlowRefusal {
    const { egress } = this.#context.rules;
    if ("refusal" in translation) return ruledOut(asked, translation.decided!, translation.rule);
    if (translation.undecided) {
      return egress.isAllowList ? this.#byNames(asked, translation) : this.#unlessDenied(asked, translation);
    }
    const look = egress.deniesNames && asked.protocol === "tcp" ? "watch" : "none";
    return permitOf(asked, translation, { rule: translation.rule, holds: asked.bindings, look });
  }

  /** With an allow-list, and no rule about the address. */
  #byNames(asked: Asked, translation: Translated): FlowPermit | FlowRefusal {
    if (!this.#context.rules.egress.hasNames) return notAllowed(asked);
    const { bindings, protocol } = asked, holds: Binding[] = [];
    let allow: Rule | null = null, deny: Rule | null = null;
    for (const binding of bindings) {
      const rule = this.ruleOf(asked, binding.name);
      if (rule === null) continue;
      if (rule.verdict === "deny") deny ??= rule;
      else {
        holds.push(binding);
        if (allow === null || (rule.unverified && !allow.unverified)) allow = rule;
      }
    }
    if (allow === null) return this.#refuseByNames(asked, deny);
    const look = protocol === "tcp" && !allow.unverified ? "verify" : "none";
    return permitOf(asked, translation, { rule: allow, holds, look });
  }

  #refuseByNames(asked: Asked, deny: Rule | null): FlowRefusal {
    const { guest, bindings, address, now } = asked;
    if (deny !== null) return ruledOut(asked, deny);
    if (bindings.length > 0) return notAllowed(asked);
    const { rules } = this.#context, lapsed = guest.bindings.lapsed(address, now);
    const helped = lapsed.filter((name) => this.ruleOf(asked, name)?.verdict === "allow");
    if (helped.length > 0) return expired(fewNames(helped));
    return rules.egress.namesDecide ? unbound(asked) : notAllowed(asked);
  }

  /** Without an allow-list, and without a rule about the address. */
  #unlessDenied(asked: Asked, translation: Translated): FlowPermit | FlowRefusal {
    const { bindings, protocol } = asked, { deniesNames } = this.#context.rules.egress;
    if (deniesNames && bindings.length > 0) {
      const denies = bindings.map(({ name }) => this.ruleOf(asked, name)).filter((rule) => rule !== null);
      if (denies.length === bindings.length) return ruledOut(asked, denies[0]!);
    }
    const look = deniesNames && protocol === "tcp" ? "watch" : "none";
    return permitOf(asked, translation, { rule: null, holds: bindings, look });
  }

  /** In a report: the rule of the default that forbids to go to `target` all the same. */
  #stays({ protocol, address, port }: Asked, target: Target): Rule | null {
    const { egress } = this.#context.rules;
    if (this.#floor?.of !== egress) this.#floor = { of: egress, list: new RuleList(egress.rules.filter(isOfFloor)) };
    const rule = this.#floor.list.address(protocol, address, target.address, port);
    return rule?.verdict === "deny" ? rule : null;
  }

  /** What the program decides about a flow that is permitted. */
  #ask(decide: Decide, { guest, protocol, address, port }: Asked, key: FlowKey, permit: FlowPermit) {
    const { rule, names, targets } = permit;
    const refuse = (words: string) => hookRefused(rule, names, words);
    try {
      const decision = decide({
        guestNumber: guest.number,
        protocol,
        guest: key.describe().guest,
        address: `${address}`,
        port,
        host: targetText(targets[0]!),
        names,
        rule,
      });
      if (decision === "allow") return permit;
      if (decision === "refuse") return refuse("the program's decide refuses it");
      const { address: to, port: toPort } = parseRedirect(decision?.redirect);
      const target = { address: to, port: protocol === "icmp" ? 0 : toPort };
      const refusal = redirectRefusal(this.#context.rules, target);
      return refusal === null
        ? { ...permit, targets: [target] }
        : refuse(`the program's decide leads it to ${targetText(target)}, which is never relayed: ${refusal.rule}`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#context.log.warn(() => `The program's decide failed for ${key}: ${why}`);
      return refuse(`the program's decide failed: ${why}`);
    }
  }
}

/** The rule about a name that a stream said, or about the address in its place. */
function ruleOfSaid(list: RuleList, { name, port }: Said): Rule | null {
  try {
    const address = IpAddress.parse(name);
    return list.address("tcp", address, address, port);
  } catch {
    return list.name("tcp", name, port);
  }
}

/** Whether a wildcard would lead to what is near: whoever wrote it did not know of that (`service/dns_control.ts`). */
function isNearByWildcard(segments: Segments, { verdict, host }: Rule, address: IpAddress): boolean {
  if (verdict !== "allow" || host.kind !== "wildcard" || isGloballyReachable(address)) return false;
  const segment = segmentOf(segments, familyOf(address));
  return segment === null || !standsForHost(segment, address);
}

function permitOf(
  { names }: Asked,
  { targets }: Translated,
  { rule, holds, look }: { rule: Rule | null; holds: readonly Binding[]; look: Look },
): FlowPermit {
  return { rule, names, holds, look, wouldRefuse: null, targets };
}

/** The default deny, and what of the rules may be an exception to it. */
function isOfFloor({ source, verdict, host }: Rule): boolean {
  return source === DEFAULT_SOURCE || (verdict === "allow" && host.kind === "network");
}

const NO_NAMES: readonly string[] = [];

function namesOf(bindings: readonly Binding[]): readonly string[] {
  return bindings.length === 0 ? NO_NAMES : fewNames(bindings.map(({ name }) => name));
}
