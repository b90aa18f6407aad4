/**
 * A rule: who may go where, as data.
 *
 * Texts are read, and their defaults filled in, by the floor `rules/`; here is what has been understood.
 *
 * @module
 */
import { Cidr } from "../../net/wire/address.ts";

/** What a rule can be about: flows of one protocol, or questions for names. */
export type RuleProtocol = "tcp" | "udp" | "icmp" | "dns";
/** What a flow can be. */
export type FlowProtocol = Exclude<RuleProtocol, "dns">;

/** Ports from `low` to `high`, both included. */
export interface PortRange {
  /** The first. */
  readonly low: number;
  /** The last. */
  readonly high: number;
}

/** What a rule is about. */
export type RuleHost =
  /** A network, without host bits. */
  | { readonly kind: "network"; readonly range: Cidr }
  /** A name: in lower case, A-labels, no final dot. */
  | { readonly kind: "name"; readonly name: string }
  /** Every name below `suffix`, not that itself; below `""`: every name. */
  | { readonly kind: "wildcard"; readonly suffix: string };

/** A rule that was understood. */
export interface Rule {
  /** What it says. */
  readonly verdict: "allow" | "deny";
  /** The one protocol it is about, if it says one. */
  readonly protocol: RuleProtocol | null;
  /** Where to. */
  readonly host: RuleHost;
  /** Its ports; none: all of them, and protocols without ports. */
  readonly ports: readonly PortRange[];
  /** Whether the name that led to an address decides alone, and the stream is not looked at. */
  readonly unverified: boolean;
  /** The line that says the same, `allow tcp:registry.example:443`: two rules that mean the same have the same. */
  readonly text: string;
  /** Where it stands: `rules.txt:12`, `--allow`, `the default`. */
  readonly source: string;
}

/** The source of rules that nobody wrote. */
export const DEFAULT_SOURCE = "the default";

/**
 * What is denied unless `deny` holds `none`: the addresses at which clouds keep their metadata service, those of IPv4
 * with all that are link-local (RFC 3927).
 */
export const DEFAULT_DENY: readonly string[] = ["169.254.0.0/16", "fd00:ec2::254", "fd20:ce::254"];

/** `DEFAULT_DENY` as rules. */
export const DEFAULT_RULES: readonly Rule[] = DEFAULT_DENY.map(toDefaultRule);

/** How logs name a rule: its line, and where it stands if the line alone would not lead there. */
export function describeRule({ text, source }: Rule): string {
  if (source === DEFAULT_SOURCE) return `${text} (the default, "--deny none" drops it)`;
  return source.startsWith("--") ? text : `${text} (${source})`;
}

function toDefaultRule(text: string): Rule {
  return {
    verdict: "deny",
    protocol: null,
    host: { kind: "network", range: Cidr.parse(text) },
    ports: [],
    unverified: false,
    text: `deny ${text}`,
    source: DEFAULT_SOURCE,
  };
}
