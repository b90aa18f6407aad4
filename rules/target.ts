/**
 * What a user asks rules about: `registry.example:443`, `udp:192.0.2.7:53`, `[2001:db8::7]:443`, `icmp:192.0.2.7`,
 * `dns:registry.example`.
 *
 * @module
 */
import { IpAddress } from "../net/wire/address.ts";
import type { RuleProtocol } from "../nat/rules/rule.ts";
import { parseName } from "./name.ts";
import { parsePorts, splitSpec } from "./parse_rule.ts";
import { printable } from "./rule_error.ts";

/** A place to ask about. */
export interface RuleTarget {
  /** What flow, or a question for a name; TCP if it is not said. */
  readonly protocol: RuleProtocol;
  /** The name, as rules write it, or the address. */
  readonly host: string | IpAddress;
  /** The port; null: any. */
  readonly port: number | null;
  /** As it was given. */
  readonly text: string;
}

/** Reads a target. Throws a `TypeError` whose message says what is wrong and what would be right. */
export function parseTarget(text: string): RuleTarget {
  try {
    return readTarget(text);
  } catch (error) {
    throw new TypeError(printable((error as Error).message));
  }
}

function readTarget(text: string): RuleTarget {
  const { protocol, host, ports, isBracketed } = splitSpec(text), address = IpAddress.tryParse(host);
  if (isBracketed && (address === undefined || address.isIpv4)) {
    throw new TypeError("in brackets stands an IPv6 address");
  }
  if (host.includes("*") || /[/:]/.test(host) && address === undefined) {
    throw new TypeError("it is one name or one address, such as registry.example:443 or [2001:db8::7]:443");
  }
  const ranges = ports === undefined ? [] : parsePorts(ports), [range] = ranges;
  if (ranges.length > 1 || range?.low !== range?.high) throw new TypeError("it has one port, or none for any of them");
  if (range !== undefined && protocol === "icmp") throw new TypeError("ICMP has no ports, leave it out");
  if (range !== undefined && protocol === "dns") throw new TypeError("a question for a name has no port, leave it out");
  if (address !== undefined && protocol === "dns") {
    throw new TypeError("dns: is about names that may be asked for, and this is an address");
  }
  return { protocol: protocol ?? "tcp", host: address ?? parseName(host), port: range?.low ?? null, text };
}
