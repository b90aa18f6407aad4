/**
 * Rules about names: the name itself, then its wildcards, the longest first.
 *
 * Each name and each wildcard with a rule has one entry; a decision looks up the name and what is left of it behind
 * each dot. A wildcard is not about a name in which a label in place of the `*` begins with `_`; `dns:*` is about every
 * name.
 *
 * @module
 */
import { PortTable } from "./port_table.ts";
import type { Rule } from "./rule.ts";

/** As the place of a decision: not a flow, but whether the name may be asked for. */
export const ASKED = -1;

const UNDERSCORE = 0x5f;
const MOST_PORT = 65535;

/** What rules say of one name or wildcard. */
interface NameEntry {
  readonly flows: PortTable;
  /** Which decides whether it may be asked for: a deny of all of it, else an allow. */
  readonly asked: Rule | null;
  readonly isAllowed: boolean;
}

/** Names and wildcards. */
export class NameIndex {
  #names: ReadonlyMap<string, NameEntry>;
  #wildcards: ReadonlyMap<string, NameEntry>;
  /** What is above the names that are allowed, or may be. */
  #ancestors = new Set<string>();

  /** Of the rules about names among `rules`. */
  constructor(rules: readonly Rule[]) {
    const names = new Map<string, Rule[]>(), wildcards = new Map<string, Rule[]>();
    for (const rule of rules) {
      const { host, verdict } = rule;
      if (host.kind === "name") add(names, host.name, rule);
      if (host.kind === "wildcard") add(wildcards, host.suffix, rule);
      if (verdict === "allow" && host.kind === "name") this.#addAncestors(host.name);
      if (verdict === "allow" && host.kind === "wildcard") this.#addAncestors(`*.${host.suffix}`);
    }
    this.#names = new Map([...names].map(([name, rules]) => [name, entryOf(rules)]));
    this.#wildcards = new Map([...wildcards].map(([suffix, rules]) => [suffix, entryOf(rules)]));
  }

  /** The rule that decides about `name` at `place`, or null. */
  find(place: number, name: string): Rule | null {
    let rule = decide(this.#names.get(name), place);
    for (let at = 0; rule === null && name.charCodeAt(at) !== UNDERSCORE;) {
      const dot = name.indexOf(".", at);
      if (dot < 0) break;
      at = dot + 1;
      rule = decide(this.#wildcards.get(name.slice(at)), place);
    }
    return rule ?? decide(this.#wildcards.get(""), place);
  }

  /** Whether an allow has exactly this name. */
  allowsExactly(name: string): boolean {
    return this.#names.get(name)?.isAllowed ?? false;
  }

  /** Whether an allow has a name below this one. */
  isAncestor(name: string): boolean {
    return this.#ancestors.has(name);
  }

  #addAncestors(name: string): void {
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      this.#ancestors.add(name.slice(dot + 1));
    }
    this.#ancestors.add("");
  }
}

function decide(entry: NameEntry | undefined, place: number): Rule | null {
  if (entry === undefined) return null;
  return place === ASKED ? entry.asked : entry.flows.find(place);
}

function add(map: Map<string, Rule[]>, key: string, rule: Rule): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [rule]);
  else known.push(rule);
}

function entryOf(rules: readonly Rule[]): NameEntry {
  const allow = rules.find(({ verdict }) => verdict === "allow") ?? null;
  return {
    flows: new PortTable(rules.toSorted((a, b) => rankOf(a) - rankOf(b))),
    asked: denyOfAll(rules) ?? allow,
    isAllowed: allow !== null,
  };
}

/** Of two rules about one name the lower counts: deny, then what asks for less. */
function rankOf({ verdict, unverified }: Rule): number {
  return verdict === "deny" ? 0 : unverified ? 1 : 2;
}

/** A deny that leaves nothing of a name, so that asking for it is of no use. */
function denyOfAll(rules: readonly Rule[]): Rule | null {
  const wide = rules.filter(({ verdict, ports: [range, ...more] }) =>
    verdict === "deny" &&
    (range === undefined || (more.length === 0 && range.low === 1 && range.high === MOST_PORT))
  );
  const of = (protocol: Rule["protocol"]) => wide.find((rule) => rule.protocol === protocol) ?? null;
  return of(null) ?? of("dns") ?? (of("udp") && of("tcp"));
}
