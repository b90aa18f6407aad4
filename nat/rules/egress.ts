/**
 * Where guests may go: the rules that a user gives, `--allow` and `--deny`.
 *
 * A rule is a network and, if it names some, ports. It **holds** a flow whose address lies in the network and whose
 * port is one of its ports; a rule without ports holds every port and the protocols that have none, a rule with ports
 * never holds those.
 *
 * **Two addresses.** A flow has the address that the guest asked for and the host address that this leads to
 * (`translate.ts`): 10.0.2.2 and 127.0.0.1, say. A rule holds the flow if it holds either, so that neither the
 * gateway's address nor a map is a way around a rule.
 *
 * **Which rule counts.** An allow is an exception to the denies around it: at one address the most specific network
 * wins, and deny where two are equal. A deny that has no exception of that kind stands, whatever is allowed at the
 * other address; the lengths of prefixes of different addresses are not compared, because they say nothing of each
 * other.
 *
 * **Allow-list.** Once there is an allow, a flow that no allow holds is refused too.
 *
 * What is never relayed (`policy.ts`) is refused before and apart from this, whatever the rules. A rule's IPv4-mapped
 * IPv6 address is the IPv4 address, as everywhere. Rules are few and are looked through once a flow, without making an
 * object.
 *
 * @module
 */
import { Cidr, IpAddress } from "../../net/wire/address.ts";
import type { IpFamily } from "./policy.ts";
import type { Segments } from "./segment.ts";

/**
 * What is denied unless `deny` holds `none`: the addresses at which clouds keep their metadata service, those of IPv4
 * with all that are link-local (RFC 3927).
 */
export const DEFAULT_DENY: readonly string[] = ["169.254.0.0/16", "fd00:ec2::254", "fd20:ce::254"];
/** Among the texts of `deny`: leave out `DEFAULT_DENY`. */
export const DENY_NONE = "none";

const SHAPE = "it is CIDR or CIDR:PORTS, such as 192.0.2.0/24:80,8000-8099 or [2001:db8::/32]:443";
const EVERYTHING: Record<IpFamily, Cidr> = { 4: Cidr.parse("0.0.0.0/0"), 6: Cidr.parse("::/0") };
const LEAST_PORT = 1;
const MOST_PORT = 65535;

/** Ports from `low` to `high`, both included. */
export interface PortRange {
  /** The first. */
  readonly low: number;
  /** The last. */
  readonly high: number;
}

/** A network, and ports of it. */
export interface EgressRule {
  /** The network, without host bits. */
  readonly range: Cidr;
  /** Its ports; none: all of them, and protocols without ports. */
  readonly ports: readonly PortRange[];
  /** How logs name it. */
  readonly text: string;
}

/** Why a flow is refused: the rule that denies it, or `notAllowed`: there is an allow-list and it is not on it. */
export type EgressDenial = EgressRule | "notAllowed";

/**
 * Reads `CIDR[:PORT|LO-HI[,…]]`, an IPv6 network with ports in brackets. Throws a `TypeError` or `RangeError` whose
 * message is what is wrong alone, for whoever knows what the text was given for.
 */
export function parseEgressRule(text: string): EgressRule {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text), single = /^([^:]*)(?::([^:]*))?$/.exec(text);
  const [, network = text, ports] = bracketed ?? single ?? [];
  let range: Cidr;
  try {
    range = Cidr.parse(network);
  } catch {
    throw new TypeError(SHAPE);
  }
  if (bracketed !== null && range.address.isIpv4) throw new TypeError(SHAPE);
  const base = range.network;
  if (!base.address.equals(range.address)) {
    throw new RangeError(`it names an address in a network, write ${base}`);
  }
  return { range, ports: ports === undefined ? [] : ports.split(",").map(parsePorts), text };
}

/** Reads a rule of `deny`: as `parseEgressRule`, or `none`, which is null. */
export function parseDeny(text: string): EgressRule | null {
  return text === DENY_NONE ? null : parseEgressRule(text);
}

/** The rules of a gateway. */
export class EgressRules {
  /** Exceptions and allow-list. */
  readonly allow: readonly EgressRule[];
  /** What is denied, the default included. */
  readonly deny: readonly EgressRule[];

  /**
   * Reads rules. `none` among those of `deny` leaves out `DEFAULT_DENY`. Throws a `TypeError` or `RangeError` that
   * names the rule and what is wrong with it.
   */
  constructor(rules: { allow?: readonly string[]; deny?: readonly string[] } = {}) {
    const deny = rules.deny ?? [], own = deny.filter((text) => text !== DENY_NONE);
    this.allow = (rules.allow ?? []).map((text) => parseNamed("allow", text));
    const usual = own.length === deny.length ? DEFAULT_DENY.map(parseDefault) : [];
    this.deny = [...own.map((text) => parseNamed("deny", text)), ...usual];
  }

  /**
   * Why a flow to `port` at the address `asked`, which leads to the host address `host`, is refused, or null. `port` is
   * 0 for a protocol without ports.
   */
  denial(asked: IpAddress, host: IpAddress, port: number): EgressDenial | null {
    const atAsked = longestAllow(this.allow, asked, port), atHost = longestAllow(this.allow, host, port);
    for (let i = 0; i < this.deny.length; i++) {
      const rule = this.deny[i]!;
      const holdsAsked = holds(rule, asked, port), holdsHost = holds(rule, host, port);
      if (!holdsAsked && !holdsHost) continue;
      // An exception lies within the rule's network: it holds the same address and is longer.
      const excepted = (holdsAsked && atAsked > rule.range.prefix) || (holdsHost && atHost > rule.range.prefix);
      if (!excepted) return rule;
    }
    return this.allow.length === 0 || atAsked >= 0 || atHost >= 0 ? null : "notAllowed";
  }
}

/**
 * What to tell a user whose rules deny all of one family that guests have and leave the other one open, or null:
 * whoever writes 0.0.0.0/0, or its halves, mostly means everything.
 */
export function openFamilyWarning({ allow, deny }: EgressRules, segments: Segments): string | null {
  const { ipv4, ipv6 } = segments;
  if (ipv4 === null || ipv6 === null || allow.length > 0) return null;
  const ranges = deny.filter(({ ports }) => ports.length === 0).map(({ range }) => range);
  const isClosed = covers(ranges, EVERYTHING[4]);
  if (isClosed === covers(ranges, EVERYTHING[6])) return null;
  const [denied, open] = isClosed ? [4, 6] as const : [6, 4] as const;
  return `--deny of all of IPv${denied} leaves IPv${open} open: ` +
    `add --deny ${EVERYTHING[open]}, or give guests one family alone (-4, -6)`;
}

/** Whether `ranges` hold all of `network` together. */
function covers(ranges: readonly Cidr[], network: Cidr): boolean {
  if (ranges.some((range) => range.prefix <= network.prefix && range.contains(network.address))) return true;
  // One that is smaller holds a part alone, so only where there are two is it worth to look at both halves.
  const inside = ranges.filter((range) => network.contains(range.address));
  return inside.length > 1 && halvesOf(network).every((half) => covers(inside, half));
}

function halvesOf({ address, prefix }: Cidr): Cidr[] {
  const { w0, w1, w2, w3 } = address, bit = address.isIpv4 ? prefix + 96 : prefix;
  const words = [w0, w1, w2, w3].map((
    word,
    i,
  ) => (bit >>> 5 === i ? (word | (0x80000000 >>> (bit & 31))) >>> 0 : word));
  const upper = new IpAddress(words[0]!, words[1]!, words[2]!, words[3]!);
  return [address, upper].map((first) => new Cidr(first, prefix + 1));
}

/** The longest prefix of those that hold this address and port, -1 where there is none. */
function longestAllow(rules: readonly EgressRule[], address: IpAddress, port: number): number {
  let longest = -1;
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!;
    if (rule.range.prefix > longest && holds(rule, address, port)) longest = rule.range.prefix;
  }
  return longest;
}

function holds(rule: EgressRule, address: IpAddress, port: number): boolean {
  if (!rule.range.contains(address)) return false;
  const ports = rule.ports;
  if (ports.length === 0) return true;
  for (let i = 0; i < ports.length; i++) if (port >= ports[i]!.low && port <= ports[i]!.high) return true;
  return false;
}

function parsePorts(text: string): PortRange {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  if (first === undefined) throw new TypeError(SHAPE);
  const low = Number(first), high = Number(last ?? first);
  if (low < LEAST_PORT || high > MOST_PORT || low > high) {
    throw new RangeError(`its ports are from ${LEAST_PORT} to ${MOST_PORT}, the lower one first, not ${text}`);
  }
  return { low, high };
}

function parseDefault(text: string): EgressRule {
  return { range: Cidr.parse(text), ports: [], text: `deny ${text} (the default, "--deny none" drops it)` };
}

function parseNamed(verdict: "allow" | "deny", text: string): EgressRule {
  try {
    return { ...parseEgressRule(text), text: `${verdict} ${text}` };
  } catch (error) {
    const cause = (error as Error).message;
    throw error instanceof RangeError
      ? new RangeError(`Cannot ${verdict} "${text}": ${cause}`)
      : new TypeError(`Cannot ${verdict} "${text}": ${cause}`);
  }
}
