/**
 * Rules for tests that are not about how texts are read.
 *
 * @module
 */
import type { Rule } from "../../nat/rules/rule.ts";
import { Cidr } from "../../net/wire/address.ts";

/** A rule as `allow NAME:PORT` or `deny NAME:PORT`, of any port without one. */
export function plainRule(text: string): Rule {
  const [verdict, where] = text.split(" ") as ["allow" | "deny", string],
    [host, port] = where.split(":") as [string, string?];
  const name: Rule["host"] = host.startsWith("*.")
    ? { kind: "wildcard", suffix: host.slice(2) }
    : { kind: "name", name: host };
  return {
    verdict,
    protocol: null,
    host: /^[\d.]+$/.test(host) ? { kind: "network", range: Cidr.parse(host) } : name,
    ports: port === undefined ? [] : [{ low: Number(port), high: Number(port) }],
    unverified: false,
    text,
    source: "a test",
  };
}
