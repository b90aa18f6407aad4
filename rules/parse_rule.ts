/**
 * A rule's text.
 *
 * ```
 * RULE  = [tcp: | udp: | icmp: | dns:] HOST [:PORTS] [unverified]
 * HOST  = address | CIDR | [V6 or V6CIDR] | NAME | *.NAME        PORTS = 443 | 8000-8099 | 80,443,8000-8099
 * ```
 *
 * Whatever is wrong is said together with what would be right. Two rules that mean the same get the same `text`: names
 * in lower case and A-labels, ports sorted and joined, a network of one address without its prefix. Whether a wildcard
 * is over a public suffix is looked up later (`public_suffix.ts`), since that needs a list to be loaded.
 *
 * @module
 */
import { Cidr } from "../net/wire/address.ts";
import type { PortRange, Rule, RuleHost, RuleProtocol } from "../nat/rules/rule.ts";
import { parseName } from "./name.ts";
import { RuleError } from "./rule_error.ts";

/** Among rules that deny: leave out the default. */
export const DENY_NONE = "none";

const LEAST_PORT = 1;
const MOST_PORT = 65535;
const PORTS_SHAPE = "such as 443, 8000-8099 or 80,443,8000-8099";
const UNVERIFIED = "unverified";

/** What stands around a rule's text. */
export interface RuleContext {
  /** What the rule says. */
  readonly verdict: "allow" | "deny";
  /** Where it stands: `rules.txt:12`, `--allow`. */
  readonly source: string;
}

/** The parts of a rule or a target, before they are looked at. */
interface Parts {
  readonly protocol: RuleProtocol | null;
  readonly host: string;
  readonly isBracketed: boolean;
  readonly ports: string | undefined;
}

/** Reads a rule. Throws a `RuleError`. */
export function parseRule(text: string, context: RuleContext): Rule {
  try {
    return readRule(text, context);
  } catch (error) {
    if (error instanceof RuleError) throw error;
    throw new RuleError(context.source, text, (error as Error).message);
  }
}

function readRule(text: string, { verdict, source }: RuleContext): Rule {
  const [spec = "", ...words] = text.trim().split(/\s+/);
  if (spec === "") throw new TypeError("it is empty, a rule is such as registry.example:443 or 192.0.2.0/24");
  const unverified = words[0] === UNVERIFIED;
  if (words.length > (unverified ? 1 : 0)) {
    throw new TypeError(`after the host and its ports comes "${UNVERIFIED}" or nothing, not "${words.join(" ")}"`);
  }
  if (spec === DENY_NONE) throw new TypeError(noneProblem(verdict));
  const parts = splitSpec(spec), { protocol } = parts, host = parseHost(parts);
  const ports = parts.ports === undefined ? [] : parsePorts(parts.ports);
  const problem = contradictionOf({ verdict, protocol, host, ports, unverified });
  if (problem !== undefined) throw new TypeError(problem);
  const line = `${verdict} ${formatSpec({ protocol, host, ports })}${unverified ? ` ${UNVERIFIED}` : ""}`;
  return { verdict, protocol, host, ports, unverified, text: line, source };
}

/** Takes `[PROTOCOL:]HOST[:PORTS]` apart. Throws a `TypeError` whose message is what is wrong. */
export function splitSpec(spec: string): Parts {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*:\/\/)(.*)$/i.exec(spec) ?? [];
  if (scheme !== undefined) {
    throw new TypeError(`leave out ${scheme} and what follows the host, such as ${/^[^/?#]*/.exec(rest!)![0]}`);
  }
  const [, prefix, behind] = /^(tcp|udp|icmp|dns):(.*)$/i.exec(spec) ?? [];
  const protocol = (prefix?.toLowerCase() ?? null) as RuleProtocol | null, place = behind ?? spec;
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(place);
  if (bracketed !== null) return { protocol, host: bracketed[1]!, isBracketed: true, ports: bracketed[2] };
  const colons = place.split(":").length - 1;
  // Of an address of IPv6 without brackets nobody can tell where it ends, so it has no ports.
  if (colons > 1) {
    if (/^[^.]*\.[^:]*:|\*/.test(place)) {
      throw new TypeError(`it is one host and one list of ports, ${PORTS_SHAPE}`);
    }
    return { protocol, host: place, isBracketed: false, ports: undefined };
  }
  const [host = "", ports] = place.split(":");
  return { protocol, host, isBracketed: false, ports };
}

/** The host of a rule. Throws a `TypeError` whose message is what is wrong. */
function parseHost({ protocol, host, isBracketed }: Parts): RuleHost {
  if (isBracketed || host.includes(":") || /^\d[\d.]*(\/.*)?$/.test(host)) {
    return { kind: "network", range: parseNetwork(host, isBracketed) };
  }
  if (host === "") throw new TypeError("it has no host, a rule is such as registry.example:443 or 192.0.2.0/24");
  if (host.includes("/")) {
    throw new TypeError(
      `a name has no path and no prefix length, write ${host.slice(0, host.indexOf("/")) || "a name"}`,
    );
  }
  if (!host.includes("*")) return { kind: "name", name: parseName(host) };
  if (host === "*") {
    if (protocol === "dns") return { kind: "wildcard", suffix: "" };
    throw new TypeError(
      "* is every host: write 0.0.0.0/0 and ::/0 for all addresses, *.example.com for the names below one, " +
        "dns:* so that every name may be asked for",
    );
  }
  if (!host.startsWith("*.") || host.indexOf("*", 1) > 0) {
    throw new TypeError(`* stands for whole labels at the front alone, such as *.example.com, not as in ${host}`);
  }
  return { kind: "wildcard", suffix: parseName(host.slice(2)) };
}

/** Reads a network, of which an address alone is one. */
function parseNetwork(text: string, isBracketed: boolean): Cidr {
  let range: Cidr;
  try {
    range = Cidr.parse(text);
  } catch {
    throw new TypeError(networkProblem(text, isBracketed));
  }
  if (isBracketed && range.address.isIpv4) throw new TypeError(`brackets are for IPv6, write ${text} without them`);
  const base = range.network;
  if (!base.address.equals(range.address)) throw new RangeError(`it names an address in a network, write ${base}`);
  return range;
}

function networkProblem(text: string, isBracketed: boolean): string {
  const [, network, ports] = /^\[?([^[\]]*\/\d+)\]?:([\d,-]+)$/.exec(text) ?? [];
  if (!isBracketed && network !== undefined) return `with ports IPv6 is in brackets, write [${network}]:${ports}`;
  if (text.includes(":") || isBracketed) {
    return `${text} is no address and no network of IPv6, which are such as 2001:db8::7 or [2001:db8::/32]:443`;
  }
  return text.includes("/")
    ? `${text} is no network, which is such as 192.0.2.0/24`
    : `${text} ends in a number, which no name does, and an IPv4 address is four numbers from 0 to 255`;
}

/** Reads ports, and sorts and joins them. Throws a `TypeError` or `RangeError` whose message is what is wrong. */
export function parsePorts(text: string): PortRange[] {
  const ranges = text.split(",").map(parsePortRange).toSorted((a, b) => a.low - b.low);
  const joined: PortRange[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last === undefined || range.low > last.high + 1) joined.push(range);
    else joined[joined.length - 1] = { low: last.low, high: Math.max(last.high, range.high) };
  }
  return joined;
}

function parsePortRange(text: string): PortRange {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  if (first === undefined) {
    throw new TypeError(`its ports are numbers, ${PORTS_SHAPE}, not ${text === "" ? "nothing" : text}`);
  }
  const low = Number(first), high = Number(last ?? first);
  if (low < LEAST_PORT || high > MOST_PORT || low > high) {
    throw new RangeError(`its ports are from ${LEAST_PORT} to ${MOST_PORT}, the lower one first, not ${text}`);
  }
  return { low, high };
}

/** What of a rule makes no sense together. */
function contradictionOf(
  { verdict, protocol, host, ports, unverified }: Omit<Rule, "text" | "source">,
): string | undefined {
  const isNamed = host.kind !== "network";
  if (protocol === "icmp" && ports.length > 0) return "ICMP has no ports, leave them out";
  if (protocol === "dns" && ports.length > 0) return "a question for a name has no port, leave it out";
  if (protocol === "dns" && !isNamed) return "dns: is about names that may be asked for, and this is an address";
  if (!unverified) return undefined;
  if (verdict === "deny") return `a deny has nothing to verify, leave out "${UNVERIFIED}"`;
  if (!isNamed) return `an address has no name to verify, leave out "${UNVERIFIED}"`;
  if (protocol === null || protocol === "tcp") return undefined;
  return `only streams of TCP are looked at, leave out "${UNVERIFIED}"`;
}

function noneProblem(verdict: Rule["verdict"]): string {
  return verdict === "allow"
    ? "none is for deny and drops its default; a host of that name is written none. with a dot"
    : "none stands alone: it drops the default";
}

/** `[PROTOCOL:]HOST[:PORTS]` in the one form in which rules are written. */
export function formatSpec({ protocol, host, ports }: Pick<Rule, "protocol" | "host" | "ports">): string {
  const prefix = protocol === null ? "" : `${protocol}:`;
  if (ports.length === 0) return prefix + formatHost(host);
  const texts = ports.map(({ low, high }) => low === high ? `${low}` : `${low}-${high}`);
  const isIpv6 = host.kind === "network" && !host.range.address.isIpv4;
  return `${prefix}${isIpv6 ? `[${formatHost(host)}]` : formatHost(host)}:${texts.join(",")}`;
}

function formatHost(host: RuleHost): string {
  if (host.kind === "name") return host.name === DENY_NONE ? `${DENY_NONE}.` : host.name;
  if (host.kind === "wildcard") return host.suffix === "" ? "*" : `*.${host.suffix}`;
  const { address, prefix } = host.range;
  return prefix === (address.isIpv4 ? 32 : 128) ? `${address}` : `${host.range}`;
}
