/**
 * Which of the rules about one host decides at a protocol and port.
 *
 * TCP, UDP and ICMP have a row of 65,536 places each, one behind the other, so that a protocol and port are one number.
 * Rules are laid over these rows once, the one that counts first, and what is left of each is kept as stretches in
 * order. A decision is a binary search among them, however many rules name ports of one host.
 *
 * @module
 */
import type { FlowProtocol, Rule } from "./rule.ts";

/** Places of a row; place 0 is a protocol without ports, or the port 0. */
const ROW = 0x10000;
const ROWS: Readonly<Record<FlowProtocol, number>> = { tcp: 0, udp: ROW, icmp: 2 * ROW };

/** First and last place of a stretch. */
type Stretch = readonly [number, number];

/** The place of a protocol and port. */
export function placeOf(protocol: FlowProtocol, port: number): number {
  return ROWS[protocol] + port;
}

/** Rules about one host, by place. */
export class PortTable {
  #starts: readonly number[];
  #ends: readonly number[];
  #rules: readonly Rule[];

  /** Of rules that are about one host, those that count more before the others. */
  constructor(rules: readonly Rule[]) {
    const laid = rules.length === 1 ? alone(rules[0]!) : layOut(rules);
    this.#starts = laid.map(({ stretch }) => stretch[0]);
    this.#ends = laid.map(({ stretch }) => stretch[1]);
    this.#rules = laid.map(({ rule }) => rule);
  }

  /** The rule that counts at `place`, or null. */
  find(place: number): Rule | null {
    let low = 0, high = this.#starts.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! > place) high = middle - 1;
      else if (this.#ends[middle]! < place) low = middle + 1;
      else return this.#rules[middle]!;
    }
    return null;
  }
}

interface Laid {
  readonly rule: Rule;
  readonly stretch: Stretch;
}

function alone(rule: Rule): Laid[] {
  return stretchesOf(rule).map((stretch) => ({ rule, stretch }));
}

function layOut(rules: readonly Rule[]): Laid[] {
  const all = rules.flatMap(alone), cuts = [...new Set(all.flatMap(({ stretch: [first, last] }) => [first, last + 1]))];
  cuts.sort((a, b) => a - b);
  const indexOf = new Map(cuts.map((cut, i) => [cut, i]));
  const owners: (Rule | undefined)[] = new Array(cuts.length);
  // `free[i]`: a piece from which on to look for the next one without an owner; shortened whenever it is followed.
  const free = cuts.map((_, i) => i);
  const nextFree = (i: number): number => {
    while (free[i] !== i) i = free[i] = free[free[i]!]!;
    return i;
  };
  for (const { rule, stretch: [first, last] } of all) {
    const end = indexOf.get(last + 1)!;
    for (let i = nextFree(indexOf.get(first)!); i < end; i = nextFree(i)) {
      owners[i] = rule;
      free[i] = i + 1;
    }
  }
  const laid: Laid[] = [];
  for (const [i, rule] of owners.entries()) {
    if (rule === undefined) continue;
    const last = laid.at(-1), stretch: Stretch = [cuts[i]!, cuts[i + 1]! - 1];
    if (last?.rule === rule && last.stretch[1] + 1 === stretch[0]) {
      laid[laid.length - 1] = { rule, stretch: [last.stretch[0], stretch[1]] };
    } else laid.push({ rule, stretch });
  }
  return laid;
}

/** Where a rule decides. A question for a name is no flow. */
function stretchesOf({ verdict, protocol, host, ports }: Rule): Stretch[] {
  if (protocol === "dns") return [];
  if (protocol !== null) return stretchesIn(protocol, ports);
  // An allow of a name is about TCP, a deny of one about TCP and UDP.
  const rows: FlowProtocol[] = host.kind !== "network" && verdict === "allow" ? ["tcp"] : ["tcp", "udp"];
  if (host.kind === "network" && ports.length === 0) rows.push("icmp");
  return rows.flatMap((row) => stretchesIn(row, ports));
}

function stretchesIn(protocol: FlowProtocol, ports: Rule["ports"]): Stretch[] {
  const row = ROWS[protocol];
  if (ports.length === 0) return [[row, row + ROW - 1]];
  return ports.map(({ low, high }) => [row + low, row + high]);
}
