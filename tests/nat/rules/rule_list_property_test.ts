import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { FlowProtocol, Rule } from "../../../nat/rules/rule.ts";
import { RuleList } from "../../../nat/rules/rule_list.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { parseRule } from "../../../rules/parse_rule.ts";
import { checkProperty } from "../../support/properties.ts";

const PORTS = [1, 80, 81, 443, 444, 8000, 65535];
/** Few, so that rules and questions meet. */
const ADDRESSES = [
  "10.0.0.0",
  "10.0.0.1",
  "10.0.0.128",
  "10.1.2.3",
  "11.0.0.1",
  "127.0.0.1",
  "fd00::2",
  "fd00::1:2",
  "fd01::",
];
const NAMES = ["a", "b.a", "c.b.a", "_x.b.a", "c._x.b.a", "b", "a.b", "_x", "d.c.b.a", "c.b"];

const port = fc.constantFrom(...PORTS);
const ports = fc.option(
  fc.array(fc.tuple(port, port), { minLength: 1, maxLength: 3 }).map((ranges) =>
    ranges.map(([a, b]) => a <= b ? `${a}-${b}` : `${a}`).join()
  ),
  { nil: null },
);
const network = fc.tuple(fc.constantFrom(...ADDRESSES), fc.constantFrom(0, 1, 7, 8, 24, 25, 31, 32, 64, 127, 128)).map(
  ([text, length]) => {
    const most = text.includes(":") ? 128 : 32, network = `${masked(text, Math.min(length, most))}`;
    return text.includes(":") ? `[${network}]` : network;
  },
);
const named = fc.tuple(fc.constantFrom("", "*."), fc.constantFrom(...NAMES)).map((parts) => parts.join(""));

/** A rule's line, of those that can be followed. */
const line = fc.oneof(
  fc.tuple(fc.constantFrom("", "tcp:", "udp:"), fc.oneof(network, named), ports).map(([protocol, host, ports]) =>
    `${protocol}${host}${ports === null ? "" : `:${ports}`}`
  ),
  fc.tuple(fc.constantFrom("icmp:", ""), fc.oneof(network, named)).map((parts) => parts.join("")),
  fc.oneof(named, fc.constant("*")).map((host) => `dns:${host}`),
  fc.tuple(named, ports).map(([host, ports]) => `${host}${ports === null ? "" : `:${ports}`} unverified`),
);
const rule = fc.tuple(fc.constantFrom("allow" as const, "deny" as const), line).map(([verdict, text]) =>
  parseRule(verdict === "deny" ? text.replace(" unverified", "") : text, { verdict, source: "test" })
);

interface Question {
  readonly protocol: FlowProtocol;
  readonly asked: string;
  readonly host: string;
  readonly name: string;
  readonly port: number;
}
const question: fc.Arbitrary<Question> = fc.record({
  protocol: fc.constantFrom("tcp", "udp", "icmp"),
  asked: fc.constantFrom(...ADDRESSES),
  host: fc.constantFrom(...ADDRESSES),
  name: fc.constantFrom(...NAMES),
  port,
});

Deno.test("RuleList decides as one that looks through all rules", () => {
  checkProperty(fc.tuple(fc.array(rule, { maxLength: 12 }), fc.array(question, { minLength: 1, maxLength: 6 })), ([
    rules,
    questions,
  ]) => {
    const list = new RuleList(rules);
    for (const asked of questions) {
      const protocol = asked.protocol, port = protocol === "icmp" ? 0 : asked.port, { name } = asked;
      const [from, to] = [IpAddress.parse(asked.asked), IpAddress.parse(asked.host)];
      const lines = rules.map(({ text }) => text).join("\n");
      const about = `${JSON.stringify(asked)} by\n${lines}`;
      assertEquals(
        list.address(protocol, from, to, port)?.verdict,
        byAddress(rules, protocol, [from, to], port),
        about,
      );
      assertEquals(list.address(protocol, to, to, port)?.verdict, byAddress(rules, protocol, [to], port), about);
      assertEquals(
        list.name(protocol, name, port)?.text,
        byName(rules, name, (rule) => isAbout(rule, protocol, port))?.text,
        about,
      );
      assertEquals(list.asks(name).decision, askedFor(rules, name), about);
      const allows = rules.filter(({ verdict }) => verdict === "allow");
      assertEquals(list.allowsAddress(to), allows.some((rule) => holds(rule, to)), about);
      assertEquals(
        list.namesExactly(name),
        allows.some(({ host }) => host.kind === "name" && host.name === name),
        about,
      );
    }
  });
});

function masked(text: string, length: number): string {
  const { w0, w1, w2, w3, isIpv4 } = IpAddress.parse(text), bits = isIpv4 ? length + 96 : length;
  const words = [w0, w1, w2, w3].map((word, i) => {
    const left = Math.min(32, Math.max(0, bits - 32 * i));
    return left === 0 ? 0 : (word & (-1 << (32 - left))) >>> 0;
  });
  return `${new IpAddress(words[0]!, words[1]!, words[2]!, words[3]!)}/${length}`;
}

function holds({ host }: Rule, address: IpAddress): boolean {
  return host.kind === "network" && host.range.contains(address);
}

function prefixOf({ host }: Rule): number {
  return host.kind === "network" ? host.range.prefix : NaN;
}

function isAbout({ verdict, protocol, host, ports }: Rule, asked: FlowProtocol, port: number): boolean {
  const usual = host.kind === "network" ? ["tcp", "udp", "icmp"] : verdict === "allow" ? ["tcp"] : ["tcp", "udp"];
  if (!(protocol === null ? usual : [protocol]).includes(asked)) return false;
  return ports.length === 0 || ports.some(({ low, high }) => low <= port && port <= high);
}

/** A deny stands unless, at an address that it holds, there is an allow of a longer prefix. */
function byAddress(
  rules: readonly Rule[],
  protocol: FlowProtocol,
  addresses: readonly IpAddress[],
  port: number,
): string | undefined {
  const fitting = rules.filter((rule) => isAbout(rule, protocol, port) && addresses.some((one) => holds(rule, one)));
  const allows = fitting.filter(({ verdict }) => verdict === "allow");
  const stands = fitting.some((deny) =>
    deny.verdict === "deny" &&
    !addresses.some((one) =>
      holds(deny, one) && allows.some((allow) => holds(allow, one) && prefixOf(allow) > prefixOf(deny))
    )
  );
  return stands ? "deny" : allows.length > 0 ? "allow" : undefined;
}

/** Labels behind the `*`, more than any wildcard has for the name itself; -1 if the rule is not about it. */
function specificity({ host }: Rule, name: string): number {
  if (host.kind === "name") return host.name === name ? 100 : -1;
  if (host.kind !== "wildcard") return -1;
  if (host.suffix === "") return 0;
  const labels = name.split("."), suffix = host.suffix.split(".");
  const front = labels.slice(0, labels.length - suffix.length), end = labels.slice(front.length);
  if (front.length === 0 || end.join(".") !== host.suffix || front.some((label) => label.startsWith("_"))) return -1;
  return suffix.length;
}

function byName(rules: readonly Rule[], name: string, isAbout: (rule: Rule) => boolean): Rule | undefined {
  const rank = ({ verdict, unverified }: Rule) => verdict === "deny" ? 0 : unverified ? 1 : 2;
  return rules.filter((rule) => specificity(rule, name) >= 0 && isAbout(rule))
    .toSorted((a, b) => specificity(b, name) - specificity(a, name) || rank(a) - rank(b))[0];
}

function askedFor(rules: readonly Rule[], name: string): string {
  const isWhole = (rule: Rule) => {
    const same = rules.filter(({ verdict, host, ports }) =>
      verdict === "deny" && /^(1-65535)?$/.test(ports.map(({ low, high }) => `${low}-${high}`).join()) &&
      JSON.stringify(host) === JSON.stringify(rule.host)
    ).map(({ protocol }) => protocol);
    return rule.verdict === "deny" &&
      (same.includes(null) || same.includes("dns") || (same.includes("tcp") && same.includes("udp")));
  };
  const rule = byName(rules, name, (rule) => rule.verdict === "allow" || isWhole(rule));
  const named = rules.filter(({ verdict, host }) => verdict === "allow" && host.kind !== "network");
  if (rule?.verdict === "allow" || (rule === undefined && named.length === 0)) return "forward";
  const isAbove = named.some(({ host }) =>
    host.kind === "name"
      ? host.name.endsWith(`.${name}`)
      : host.kind === "wildcard" && `.${host.suffix}`.endsWith(`.${name}`)
  );
  return isAbove ? "ancestor" : "refuse";
}
