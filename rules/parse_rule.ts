/**
 * A rule's text.
 *
 * @module
 */
import { Cidr } from "../net/wire/address.ts";
import type { PortRange, Rule } from "../nat/rules/rule.ts";
import { RuleError } from "./rule_error.ts";

const SHAPE = "it is CIDR or CIDR:PORTS, such as 192.0.2.0/24:80,8000-8099 or [2001:db8::/32]:443";
const LEAST_PORT = 1;
const MOST_PORT = 65535;

/** Where a rule stands, and what it says of what it holds. */
export interface RuleContext {
  /** What it says. */
  readonly verdict: "allow" | "deny";
  /** Where it stands. */
  readonly source: string;
}

/** Reads `CIDR[:PORTS]`, an IPv6 network with ports in brackets. Throws a `RuleError`. */
export function parseRule(text: string, { verdict, source }: RuleContext): Rule {
  const fail = (problem: string) => new RuleError(source, text, problem);
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text), single = /^([^:]*)(?::([^:]*))?$/.exec(text);
  const [, network = text, portsText] = bracketed ?? single ?? [];
  let range: Cidr;
  try {
    range = Cidr.parse(network);
  } catch {
    throw fail(SHAPE);
  }
  if (bracketed !== null && range.address.isIpv4) throw fail(SHAPE);
  const base = range.network;
  if (!base.address.equals(range.address)) throw fail(`it names an address in a network, write ${base}`);
  const ports = portsText === undefined ? [] : portsText.split(",").map((range) => parsePorts(range, fail));
  const host = { kind: "network", range } as const;
  return {
    verdict,
    protocol: null,
    host,
    ports,
    unverified: false,
    text: `${verdict} ${textOf(range, ports)}`,
    source,
  };
}

function parsePorts(text: string, fail: (problem: string) => RuleError): PortRange {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  if (first === undefined) throw fail(SHAPE);
  const low = Number(first), high = Number(last ?? first);
  if (low < LEAST_PORT || high > MOST_PORT || low > high) {
    throw fail(`its ports are from ${LEAST_PORT} to ${MOST_PORT}, the lower one first, not ${text}`);
  }
  return { low, high };
}

function textOf(range: Cidr, ports: readonly PortRange[]): string {
  const { address, prefix } = range, isOne = prefix === (address.isIpv4 ? 32 : 128);
  const network = isOne ? `${address}` : `${range}`;
  if (ports.length === 0) return network;
  const texts = ports.map(({ low, high }) => low === high ? `${low}` : `${low}-${high}`);
  return `${address.isIpv4 ? network : `[${network}]`}:${texts.join(",")}`;
}
