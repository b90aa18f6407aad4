import { assertEquals, assertThrows } from "@std/assert";
import { isGatewayBeyond } from "../../../nat/rules/network_plan.ts";
import { guestAddressProblem, hostAddressesIn, isGroupAddress, isGuestAddress } from "../../../nat/rules/segment.ts";
import { answeredAddresses, translate } from "../../../nat/rules/translate.ts";
import { createTranslationRules, TranslationOptionError } from "../../../nat/rules/translation_options.ts";
import { formatEndpoint, IpAddress } from "../../../net/wire/address.ts";
import { type ScriptRules, scriptRules } from "../../support/rules.ts";

const TCP = 6, UDP = 17;
/** A network that the host has too, as pasta copies it. */
const COPY = {
  ipv4: { guest: "192.168.7.20/24", gateway: "192.168.7.1", relaysSubnet: true },
  ipv6: { guest: "2001:db8:7::20/64", gateway: "fe80::1", relaysSubnet: true },
} as const;

/** Where each of these addresses leads: `10.0.2.2:80 -> 127.0.0.1:80`, or why nowhere. */
function ways(options: ScriptRules, texts: string, { protocol = TCP, port = 80 } = {}): string[] {
  const rules = scriptRules(options);
  return texts.split(" ").map((text) => {
    const address = IpAddress.parse(text), family = address.isIpv4 ? 4 : 6;
    const answer = translate(rules, { family, protocol, address, port });
    if ("refusal" in answer) return `${answer.refusal} (${answer.rule})`;
    return answer.targets.map((target) => formatEndpoint(target.address, target.port)).join(" ");
  });
}

function problemOf(options: ScriptRules): string {
  const error = assertThrows(() => createTranslationRules(options), TranslationOptionError);
  assertEquals(error.message.endsWith(`${error.text}: ${error.problem}`), true, error.message);
  return `${error.option} ${error.text}: ${error.problem}`;
}

Deno.test("a DNS address of its own leads to the resolvers, the link-local ones too, and .3 is nobody's then", () => {
  const options = { dnsServers: ["127.0.0.53"], dnsAddresses: ["169.254.1.1", "2001:db8::53"] };
  const dns = { protocol: UDP, port: 53 };
  assertEquals(ways(options, "169.254.1.1 2001:db8::53", dns), ["127.0.0.53:53", "127.0.0.53:53"]);
  assertEquals(ways(options, "10.0.2.3 fd00::3", dns), ["neverRelayed (10.0.2.0/24)", "neverRelayed (fd00::/64)"]);
  assertEquals(ways(options, "169.254.1.1"), ["neverRelayed (169.254.1.1 beside port 53)"]);
  assertEquals(ways({ ...options, dnsServers: null }, "169.254.1.1", dns), ["denied (no DNS server)"]);
  // One of a family leaves the other where it was.
  assertEquals(ways({ ...options, dnsAddresses: ["10.0.2.77"] }, "10.0.2.77 fd00::3", dns), [
    "127.0.0.53:53",
    "127.0.0.53:53",
  ]);
  assertEquals(
    ways({ ...options, nat64: true }, "64:ff9b::169.254.1.1"),
    ["neverRelayed (169.254.1.1 beside port 53)"],
    "what NAT64 leads to it does not reach whoever has the address near the host",
  );
});

Deno.test("a host address leads where the gateway's does, without host loopback too, but for --no-host and denies", () => {
  const options = { hostAliases: ["169.254.1.2", "fd00::99"] };
  assertEquals(ways(options, "169.254.1.2 fd00::99"), ["127.0.0.1:80 [::1]:80", "[::1]:80 127.0.0.1:80"]);
  assertEquals(ways({ ...options, hostLoopback: false }, "169.254.1.2 10.0.2.2"), [
    "127.0.0.1:80 [::1]:80",
    "denied (no host loopback)",
  ]);
  assertEquals(ways({ ...options, gatewayTargets: ["192.0.2.1"] }, "169.254.1.2"), ["192.0.2.1:80"]);
  const denied = (rule: string) => [`denied (deny ${rule}, 169.254.1.2 leads to 127.0.0.1)`];
  assertEquals(ways({ ...options, deny: ["169.254.1.2"] }, "169.254.1.2"), denied("169.254.1.2"));
  assertEquals(ways({ ...options, deny: ["169.254.0.0/16"] }, "169.254.1.2"), denied("169.254.0.0/16"));
  assertEquals(ways({ ...options, deny: ["127.0.0.1"] }, "169.254.1.2"), denied("127.0.0.1"));
  assertEquals(
    problemOf({ ...options, hostAddresses: { version: () => 0, has: () => false } }),
    "hostAliases 169.254.1.2: it leads to the host, which --no-host forbids, leave out one of them",
  );
  assertEquals(hostAddressesIn(scriptRules(options)).join(" "), "169.254.1.2 fd00::99");
  assertEquals(hostAddressesIn(scriptRules({ hostAliases: ["169.254.1.2"] })).join(" "), "169.254.1.2 fd00::2");
});

Deno.test("the default deny concerns no address that a map, a host address or the gateway gives another meaning", () => {
  const [denied] = ways({}, "169.254.169.254");
  assertEquals(denied?.startsWith("denied (deny 169.254.0.0/16 (the default"), true, denied);
  assertEquals(ways({ maps: ["169.254.1.2=192.0.2.20"] }, "169.254.1.2 169.254.169.254"), ["192.0.2.20:80", denied]);
  const plan = { ipv4: { guest: "169.254.2.1/16", gateway: "169.254.2.2", relaysSubnet: true } };
  assertEquals(ways({ network: plan }, "169.254.2.2 169.254.169.254"), ["127.0.0.1:80 [::1]:80", denied]);
  // What leads there stays denied, from wherever.
  assertEquals(
    ways({ maps: ["10.0.2.50=169.254.169.254"] }, "10.0.2.50").map((words) => words.slice(0, 28)),
    ["denied (deny 169.254.0.0/16 "],
  );
  const allowList = { allow: ["192.0.2.1"], hostAliases: ["169.254.1.2"] };
  assertEquals(ways({ ...allowList, allow: ["169.254.1.2:80"] }, "169.254.1.2"), ["127.0.0.1:80 [::1]:80"]);
});

Deno.test("one address can be the DNS server's and the gateway's or the host's: port 53 is DNS, the rest the host", () => {
  for (const options of [{ dnsAddresses: ["10.0.2.2"] }, { dnsAddresses: ["1.2.3.4"], hostAliases: ["1.2.3.4"] }]) {
    const [address] = options.dnsAddresses, rules = { ...options, dnsServers: ["192.0.2.53"] };
    assertEquals(ways(rules, address!, { port: 53 }), ["192.0.2.53:53"]);
    assertEquals(ways(rules, address!, { port: 53, protocol: UDP }), ["192.0.2.53:53"]);
    assertEquals(ways(rules, address!, { port: 54, protocol: UDP }), ["127.0.0.1:54 [::1]:54"]);
    assertEquals(ways(rules, address!, { port: 53, protocol: 1 }), ["127.0.0.1:53 [::1]:53"]);
  }
});

Deno.test("a plan gives each its address, and relays nothing of the subnet unless told to", () => {
  const { ipv4, ipv6 } = scriptRules({
    network: { ipv4: { guest: "192.168.7.20/26", gateway: "192.168.7.9" } },
  });
  assertEquals(
    `${ipv4!.subnet} ${ipv4!.gateway} ${ipv4!.dns} ${ipv4!.guest}`,
    "192.168.7.0/26 192.168.7.9 192.168.7.9 192.168.7.20",
  );
  assertEquals(`${ipv6!.subnet} ${ipv6!.gateway}`, "fd00::/64 fd00::2", "the other family is as it is by default");
  const network = { ipv4: { ...COPY.ipv4, relaysSubnet: false } };
  assertEquals(ways({ network }, "192.168.7.1 192.168.7.30 192.168.8.30"), [
    "127.0.0.1:80 [::1]:80",
    "neverRelayed (192.168.7.0/24)",
    "192.168.8.30:80",
  ]);
});

Deno.test("a subnet that is relayed is its hosts, without the guest's own address and those that stand for all", () => {
  const no4 = "neverRelayed (192.168.7.0/24)", no6 = "neverRelayed (2001:db8:7::/64)";
  assertEquals(ways({ network: COPY }, "192.168.7.1 192.168.7.30 192.168.7.20 192.168.7.0 192.168.7.255"), [
    "127.0.0.1:80 [::1]:80",
    "192.168.7.30:80",
    no4,
    no4,
    no4,
  ]);
  assertEquals(ways({ network: COPY }, "fe80::1 2001:db8:7::30 2001:db8:7::20 fe80::2 fe80::3"), [
    "[::1]:80 127.0.0.1:80",
    "[2001:db8:7::30]:80",
    no6,
    "neverRelayed (fe80::/10)",
    "neverRelayed (fe80::/10)",
  ]);
  // Without host loopback the gateway is the real one, unless only the link leads there.
  const closed = { network: COPY, hostLoopback: false, hostAliases: ["169.254.1.2"] };
  assertEquals(ways(closed, "192.168.7.1 fe80::1 169.254.1.2"), [
    "192.168.7.1:80",
    "neverRelayed (fe80::/10)",
    "127.0.0.1:80 [::1]:80",
  ]);
  assertEquals(ways({ ...closed, deny: ["192.168.0.0/16"] }, "192.168.7.1"), ["denied (deny 192.168.0.0/16)"]);
  assertEquals(ways({ network: COPY }, "2002:c0a8:71e::1 2002:c0a8:714::1"), [
    "[2002:c0a8:71e::1]:80",
    `${no4.slice(0, -1)}, 192.168.7.20 in 2002:c0a8:714::1)`,
  ]);
});

Deno.test("the gateway answers echo for itself, DNS and the host, and leaves a real gateway's to that", () => {
  const answered = (options: ScriptRules) => {
    const rules = scriptRules(options);
    return [rules.ipv4!, rules.ipv6!].flatMap((segment) => answeredAddresses(rules, segment)).join(" ");
  };
  assertEquals(answered({}), "10.0.2.2 10.0.2.3 fd00::2 fd00::3");
  assertEquals(answered({ hostLoopback: false }), "10.0.2.2 10.0.2.3 fd00::2 fd00::3");
  const given = { network: COPY, dnsAddresses: ["169.254.1.1", "fd01::1"], hostAliases: ["169.254.1.2"] };
  assertEquals(answered(given), "192.168.7.1 169.254.1.1 169.254.1.2 fe80::1 fd01::1");
  assertEquals(answered({ ...given, hostLoopback: false }), "169.254.1.1 169.254.1.2 fd01::1");
});

Deno.test("a guest has an address of a plan's subnet, of two or of one too, but none of the gateway's", () => {
  const guests = (network: ScriptRules["network"], texts: string, more: ScriptRules = {}) => {
    const rules = scriptRules({ network: network!, ...more });
    return texts.split(" ").filter((text) => isGuestAddress(rules, IpAddress.parse(text))).join(" ");
  };
  const two = { ipv4: { guest: "192.0.2.5/31", gateway: "192.0.2.4" } };
  assertEquals(guests(two, "192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6"), "192.0.2.5");
  const one = { ipv4: { guest: "192.0.2.5/32", gateway: "198.51.100.1" } };
  assertEquals(guests(one, "192.0.2.4 192.0.2.5 198.51.100.1"), "192.0.2.5");
  const one6 = { ipv6: { guest: "2001:db8::5/128", gateway: "fe80::1" } };
  assertEquals(guests(one6, "2001:db8::5 2001:db8::6 fe80::1 fe80::2 fe80::3"), "2001:db8::5 fe80::3");
  const alias = { hostAliases: ["192.168.7.40"], dnsAddresses: ["192.168.7.41"] };
  assertEquals(guests(COPY, "192.168.7.40 192.168.7.41 192.168.7.42", alias), "192.168.7.42");
  const isGroup = (network: ScriptRules["network"], text: string) =>
    isGroupAddress(scriptRules({ network: network! }), IpAddress.parse(text));
  assertEquals([isGroup(two, "192.0.2.5"), isGroup(one, "192.0.2.5"), isGroup(COPY, "192.168.7.255")], [
    false,
    false,
    true,
  ]);
  const rules = scriptRules({ network: COPY, ...alias });
  assertEquals(
    guestAddressProblem(rules, IpAddress.parse("192.168.7.40")),
    "192.168.7.40 is no address of a guest, which is one of 192.168.7.0/24 other than 192.168.7.1, 192.168.7.41, " +
      "192.168.7.40 and mapped ones",
  );
  const beyond = [two.ipv4, one.ipv4, COPY.ipv4].map((ipv4) =>
    isGatewayBeyond(scriptRules({ network: { ipv4 } }).ipv4!)
  );
  assertEquals(beyond, [false, true, false]);
  assertEquals(isGatewayBeyond(scriptRules({ network: one6 }).ipv6!), false, "every link holds fe80::/10");
});

Deno.test("a plan or an address that makes no sense is refused in words that say what would", () => {
  const plan4 = (guest: string, gateway = "192.168.7.1") => problemOf({ network: { ipv4: { guest, gateway } } });
  const plan6 = (guest: string, gateway = "fe80::1") => problemOf({ network: { ipv6: { guest, gateway } } });
  const needs4 = "its guest is an IPv4 address with a prefix length, such as 192.168.7.20/24";
  for (const text of ["192.168.7.20", "192.168.7.20/33", "fd00::1/64", "here/24", ""]) {
    assertEquals(plan4(text), `network ${text}: ${needs4}`);
  }
  assertEquals(
    plan6("192.168.7.20/24"),
    "network 192.168.7.20/24: its guest is an IPv6 address with a prefix length, such as 2001:db8:7::20/64",
  );
  const problems: [string, string][] = [
    [plan4("127.0.0.5/8"), "it shares 127.0.0.0/8 (loopback), take another one"],
    [plan4("10.0.0.5/0"), "it shares 0.0.0.0/8 (this host on this network), take another one"],
    [plan6("fe80::5/64"), "it shares fe80::/10 (link-local), take another one"],
    [plan6("2002:a00:1::5/64"), "it shares 2002::/16 (6to4), take another one"],
    [plan4("192.168.7.0/24"), "192.168.7.0 is the address of all of 192.168.7.0/24, give the guest another one"],
    [plan4("192.168.7.255/24"), "192.168.7.255 is the address of all of 192.168.7.0/24, give the guest another one"],
    [plan4("192.168.7.1/24"), "192.168.7.1 cannot be the guest's and the gateway's, take another one"],
    [
      plan4("192.168.7.2/24", "192.168.7.255"),
      "192.168.7.255 is the address of all of 192.168.7.0/24, give the gateway",
    ],
    [plan4("192.168.7.2/24", "fe80::1"), "its gateway is an IPv4 address, not fe80::1"],
    [plan4("192.168.7.2/24", "gate"), "its gateway is an IPv4 address, not gate"],
    [plan4("192.168.7.2/24", "127.0.0.1"), "its gateway is of 127.0.0.0/8 (loopback), take another one"],
    [plan6("fd00::5/64", "ff02::1"), "its gateway is of ff00::/8 (multicast), take another one"],
  ];
  for (const [problem, words] of problems) assertEquals(problem.includes(`: ${words}`), true, problem);
  assertEquals(
    problemOf({ network: COPY, subnet: "10.0.9.0/24" }),
    "subnet 10.0.9.0/24: a network is given too, leave out one",
  );
  const address = (text: string, more: ScriptRules = {}) => problemOf({ dnsAddresses: [text], ...more });
  assertEquals(address("dns"), "dnsAddresses dns: it is an address, such as 169.254.1.1 or fd00::53");
  assertEquals(
    address("127.0.0.53"),
    "dnsAddresses 127.0.0.53: a guest's packets to 127.0.0.0/8 (loopback) are never relayed, take another one",
  );
  assertEquals(address("10.0.2.15"), "dnsAddresses 10.0.2.15: 10.0.2.15 is the guest's own address, take another one");
  assertEquals(
    address("10.0.2.255"),
    "dnsAddresses 10.0.2.255: 10.0.2.255 is the address of all of 10.0.2.0/24, take another one",
  );
  assertEquals(
    address("fd00::53", { families: "ipv4" }),
    "dnsAddresses fd00::53: guests have no IPv6, take an address of the other family",
  );
  assertEquals(
    problemOf({ hostAliases: ["10.0.2.8", "10.0.2.9"] }),
    "hostAliases 10.0.2.9: it is the second one of IPv4, leave out one of them",
  );
  assertEquals(
    problemOf({ hostAliases: ["10.0.2.8"], maps: ["10.0.2.8=127.0.0.1"] }),
    "maps 10.0.2.8=127.0.0.1: 10.0.2.8 is the host's address, take another one",
  );
});
