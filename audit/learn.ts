/**
 * From what a command did to rules that allow just that.
 *
 * A flow becomes a rule for the name that its stream said, if DNS led from that name to the address; else for every
 * name that led there, since nobody can tell which one was meant; and only if no name led there, for the address.
 * `unverified` is added where a stream that should name its server did not. A name that was asked and led to no flow
 * becomes `dns:NAME`. Nothing is ever generalised: no wildcard, no range of ports.
 *
 * The text begins with a line by which `--learn` knows its own files. While the run lasts, the file holds a line that
 * is no rule, so that what a run left unfinished allows nothing by mistake.
 *
 * @module
 */
import type { RuleProtocol } from "../nat/rules/rule.ts";
import { IpAddress } from "../net/wire/address.ts";
import type { UsageReader } from "./usage.ts";

/** The first line of every file that `--learn` writes begins so. */
export const LEARN_MARK = "# hawser --learn";
const HEAD = `${LEARN_MARK} wrote this file, and may write it anew: to keep what you change, delete this line.\n`;
/** What the file holds until the run is over: no rules, so that nobody takes it for a list that allows everything. */
export const UNFINISHED_TEXT = `${HEAD}unfinished: the run that writes this has not ended\n`;
/** What stands for a run that used nothing: an empty list would allow everything. */
const NOTHING = ["deny 0.0.0.0/0", "deny ::/0"];
/** For a run that asked for no name: a list of addresses alone would leave DNS open. */
const NO_NAMES = "deny dns:*";

/** Whether a file with this text may be overwritten: it is empty, or `--learn` wrote it. */
export function isLearnt(text: string): boolean {
  return text === "" || text.startsWith(LEARN_MARK);
}

/** Rules that were learnt. */
export interface Learnt {
  /** The text of a rules file. */
  readonly text: string;
  /** How many rules it has. */
  readonly rules: number;
}

interface Draft {
  readonly protocol: RuleProtocol;
  readonly host: string;
  readonly rank: number;
  /** By port; that of what has no port is null. */
  readonly ports: Map<number | null, Seen>;
}

/** What was seen at a port. */
interface Seen {
  /** How often, by protocol. */
  readonly kinds: Map<string, number>;
  isUnverified: boolean;
}

/** Names first, then addresses, then what was only asked. */
const NAME = 0, ADDRESS = 1, ONLY_ASKED = 2;

/**
 * The rules that allow this usage. `check` throws for a rule's text that cannot be one, such as a name that no rule can
 * hold; it is told in a comment.
 */
export function learn(usage: UsageReader, check: (rule: string) => unknown): Learnt {
  const drafts = new Map<string, Draft>(), used = new Set<string>();
  const add = (protocol: RuleProtocol, host: string, rank: number): Draft => {
    const key = `${protocol} ${host}`, known = drafts.get(key);
    if (known !== undefined) return known;
    const draft: Draft = { protocol, host, rank, ports: new Map() };
    drafts.set(key, draft);
    return draft;
  };
  const use = (draft: Draft, port: number | null, { kind, count, isUnverified = false }: {
    kind: string;
    count: number;
    isUnverified?: boolean;
  }) => {
    const seen = draft.ports.get(port) ?? { kinds: new Map<string, number>(), isUnverified };
    seen.isUnverified ||= isUnverified;
    seen.kinds.set(kind, (seen.kinds.get(kind) ?? 0) + count);
    draft.ports.set(port, seen);
    if (draft.rank !== ONLY_ASKED) used.add(draft.host);
  };
  for (const { protocol, address, port, names, said, isMute, wasOpened, count } of usage.uses.values()) {
    if (!wasOpened) continue;
    const kind = protocol !== "tcp" || said === null ? protocol : said.via === "sni" ? "tls" : "http";
    const isForProxy = said?.port !== undefined, isBound = said !== null && !isForProxy && names.includes(said.name);
    const hosts = isBound ? [said.name] : names;
    const isUnverified = protocol === "tcp" && !isBound && !isForProxy && (isMute || said !== null);
    for (const host of hosts) use(add(protocol, host, NAME), port, { kind, count, isUnverified });
    if (hosts.length === 0) use(add(protocol, address, ADDRESS), port, { kind, count });
    if (!isForProxy) continue;
    const rank = IpAddress.tryParse(said.name) === undefined ? NAME : ADDRESS;
    use(add("tcp", said.name, rank), said.port!, { kind: "by proxy", count });
  }
  for (const { name, wasForwarded, count } of usage.asked.values()) {
    if (!wasForwarded || used.has(name) || name === "." || name === "") continue;
    use(add("dns", name, ONLY_ASKED), null, { kind: "dns", count });
  }
  return write([...drafts.values()].toSorted(byRankAndHost), check);
}

function write(drafts: readonly Draft[], check: (rule: string) => unknown): Learnt {
  const lines: { rule: string; comment: string }[] = [];
  for (const draft of drafts) {
    for (const { rule, comment } of rulesOf(draft)) {
      try {
        check(rule);
        lines.push({ rule: `allow ${rule}`, comment });
      } catch {
        lines.push({ rule: "", comment: `${draft.host} cannot be a rule: ${comment}` });
      }
    }
  }
  const rules = lines.filter(({ rule }) => rule !== "").length;
  if (rules === 0) { for (const rule of NOTHING) lines.push({ rule, comment: "nothing was used" }); }
  if (drafts.every(({ rank }) => rank === ADDRESS)) lines.push({ rule: NO_NAMES, comment: "no name was asked for" });
  const width = Math.max(...lines.map(({ rule }) => rule.length));
  const text = lines.map(({ rule, comment }) =>
    rule === "" ? `# ${comment}\n` : `${rule.padEnd(width)}  # ${comment}\n`
  );
  return { text: HEAD + text.join(""), rules };
}

/** One rule, or two if only some of its ports need `unverified`. */
function* rulesOf({ protocol, host, rank, ports }: Draft): Generator<{ rule: string; comment: string }> {
  const prefix = protocol === "tcp" && rank === NAME ? "" : `${protocol}:`;
  for (const isUnverified of [false, true]) {
    const some = [...ports].filter(([, seen]) => seen.isUnverified === isUnverified);
    if (some.length === 0) continue;
    const numbers = some.flatMap(([port]) => port === null ? [] : [port]).toSorted((a, b) => a - b);
    const place = numbers.length === 0 ? host : `${host.includes(":") ? `[${host}]` : host}:${numbers}`;
    const counts = new Map<string, number>();
    for (const [kind, count] of some.flatMap(([, { kinds }]) => [...kinds])) {
      counts.set(kind, (counts.get(kind) ?? 0) + count);
    }
    const comment = [...counts].map(([kind, count]) => `${count} ${kind}`).join(", ");
    yield { rule: `${prefix}${place}${isUnverified ? " unverified" : ""}`, comment };
  }
}

function byRankAndHost(a: Draft, b: Draft): number {
  if (a.rank !== b.rank) return a.rank - b.rank;
  const one = `${a.host} ${a.protocol}`, other = `${b.host} ${b.protocol}`;
  return one < other ? -1 : one > other ? 1 : 0;
}
