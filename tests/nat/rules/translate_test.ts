import { assert, assertEquals } from "@std/assert";
import { translate, type TranslationRules, withDnsServers } from "../../../nat/rules/translate.ts";
import { scriptRules } from "../../support/rules.ts";
import { formatEndpoint, IpAddress } from "../../../net/wire/address.ts";

const TCP = 6, UDP = 17, ICMP = 1;

/** `target target…`, or `refusal (rule)`. */
function ask(
  rules: TranslationRules,
  text: string,
  { protocol = TCP, port = 80, family }: { protocol?: number; port?: number; family?: 4 | 6 } = {},
): string {
  const address = IpAddress.parse(text);
  const answer = translate(rules, { family: family ?? (address.isIpv4 ? 4 : 6), protocol, address, port });
  if ("refusal" in answer) return `${answer.refusal} (${answer.rule})`;
  return answer.targets.map((target) => formatEndpoint(target.address, target.port)).join(" ");
}

const DEFAULTS = scriptRules();

Deno.test("translate leaves an address of the world as it is", () => {
  assertEquals(ask(DEFAULTS, "93.184.216.34", { port: 443 }), "93.184.216.34:443");
  assertEquals(ask(DEFAULTS, "93.184.216.34", { protocol: UDP, port: 53 }), "93.184.216.34:53");
  assertEquals(ask(DEFAULTS, "93.184.216.34", { protocol: ICMP, port: 0 }), "93.184.216.34:0");
  assertEquals(ask(DEFAULTS, "2001:db8::7", { port: 443 }), "[2001:db8::7]:443");
  assertEquals(ask(DEFAULTS, "10.0.3.2"), "10.0.3.2:80");
});

Deno.test("translate leads the gateway to 127.0.0.1, then ::1, on the same port", () => {
  assertEquals(ask(DEFAULTS, "10.0.2.2", { port: 8080 }), "127.0.0.1:8080 [::1]:8080");
  assertEquals(ask(DEFAULTS, "10.0.2.2", { port: 53 }), "127.0.0.1:53 [::1]:53");
});

Deno.test("translate leads the gateway to the targets it is given, in their order", () => {
  const rules = scriptRules({ gatewayTargets: ["::1", "192.0.2.1"] });
  assertEquals(ask(rules, "10.0.2.2"), "[::1]:80 192.0.2.1:80");
});

Deno.test("translate refuses everything that is never relayed, in every form", () => {
  for (const text of ["0.0.0.0", "0.0.0.1", "127.0.0.1", "127.0.0.53", "224.0.0.251", "240.0.0.1", "255.255.255.255"]) {
    for (const protocol of [TCP, UDP, ICMP]) {
      assert(ask(DEFAULTS, text, { protocol }).startsWith("neverRelayed"), text);
      assert(ask(DEFAULTS, `::${text}`, { protocol, family: 6 }).startsWith("neverRelayed"), `::${text}`);
      assert(ask(DEFAULTS, `::ffff:${text}`, { protocol, family: 6 }).startsWith("neverRelayed"), `::ffff:${text}`);
    }
  }
  assertEquals(ask(DEFAULTS, "::1"), "neverRelayed (::1/128)");
  assertEquals(ask(DEFAULTS, "::"), "neverRelayed (::/96)");
  assertEquals(ask(DEFAULTS, "ff02::fb"), "neverRelayed (ff00::/8)");
});

Deno.test("translate takes no IPv4-mapped address of an IPv6 packet for gateway, DNS or a mapped address", () => {
  const rules = scriptRules({
    dnsServers: ["127.0.0.53"],
    maps: ["198.51.100.1=127.0.0.1"],
  });
  for (const text of ["10.0.2.2", "10.0.2.3", "198.51.100.1", "93.184.216.34"]) {
    assertEquals(ask(rules, `::ffff:${text}`, { family: 6, port: 53 }), "neverRelayed (::ffff:0:0/96)", text);
    assertEquals(ask(rules, `::${text}`, { family: 6, port: 53 }), "neverRelayed (::/96)", text);
  }
});

Deno.test("translate refuses the rest of the subnet, its ends included", () => {
  for (const text of ["10.0.2.0", "10.0.2.1", "10.0.2.4", "10.0.2.15", "10.0.2.254", "10.0.2.255"]) {
    assertEquals(ask(DEFAULTS, text), "neverRelayed (10.0.2.0/24)", text);
  }
  assertEquals(
    ask(scriptRules({ subnet: "172.16.0.0/12" }), "172.31.255.1"),
    "neverRelayed (172.16.0.0/12)",
  );
});

Deno.test("translate leads DNS to the resolver on port 53 alone, by UDP and TCP", () => {
  const rules = scriptRules({ dnsServers: ["192.0.2.53:5353"] });
  assertEquals(ask(rules, "10.0.2.3", { protocol: UDP, port: 53 }), "192.0.2.53:5353");
  assertEquals(ask(rules, "10.0.2.3", { protocol: TCP, port: 53 }), "192.0.2.53:5353");
  const refused = "neverRelayed (10.0.2.3 beside port 53)";
  assertEquals(ask(rules, "10.0.2.3", { protocol: UDP, port: 5353 }), refused);
  assertEquals(ask(rules, "10.0.2.3", { protocol: TCP, port: 80 }), refused);
  assertEquals(ask(rules, "10.0.2.3", { protocol: ICMP, port: 53 }), refused);
});

Deno.test("translate denies DNS where there is no resolver", () => {
  assertEquals(ask(DEFAULTS, "10.0.2.3", { protocol: UDP, port: 53 }), "denied (no DNS server)");
  assertEquals(ask(DEFAULTS, "10.0.2.3", { port: 80 }), "neverRelayed (10.0.2.3 beside port 53)");
});

Deno.test("translate leads DNS to several resolvers in order", () => {
  const rules = scriptRules({ dnsServers: ["::1", "127.0.0.1:5353"] });
  assertEquals(ask(rules, "10.0.2.3", { protocol: TCP, port: 53 }), "[::1]:53 127.0.0.1:5353");
});

Deno.test("withDnsServers changes the resolvers in a copy, and leaves out what is never relayed", () => {
  const target = (text: string) => ({ address: IpAddress.parse(text), port: 53 });
  const rules = withDnsServers(DEFAULTS, ["0.0.0.0", "127.0.0.53", "ff02::1", "::1"].map(target));
  assertEquals(ask(rules, "10.0.2.3", { protocol: UDP, port: 53 }), "127.0.0.53:53 [::1]:53");
  assertEquals([DEFAULTS.dnsServers, withDnsServers(rules, []).dnsServers], [null, []]);
  assertEquals(ask(withDnsServers(rules, []), "10.0.2.3", { port: 53 }), "denied (no DNS server)");
});

Deno.test("withDnsServers takes a link-local resolver whose interface is known, and no other", () => {
  const address = IpAddress.parse("fe80::1"), loopback = { address: IpAddress.parse("::1"), port: 53 };
  const rules = withDnsServers(DEFAULTS, [{ address, port: 53 }, { address, port: 5353, zone: "eth0" }, loopback]);
  assertEquals(rules.dnsServers, [{ address, port: 5353, zone: "eth0" }, loopback]);
  assertEquals(ask(rules, "fd00::3", { protocol: UDP, port: 53 }), "[fe80::1]:5353 [::1]:53");
  assertEquals(
    ask(rules, "fe80::1", { protocol: UDP, port: 53 }),
    "neverRelayed (fe80::/10)",
    "guests do not ask for it",
  );
});

Deno.test("translate without host loopback denies the gateway and keeps DNS and maps", () => {
  const rules = scriptRules({
    hostLoopback: false,
    dnsServers: ["127.0.0.53"],
    maps: ["10.0.2.100=127.0.0.1", "10.0.2.101=::1"],
  });
  assertEquals(ask(rules, "10.0.2.2"), "denied (no host loopback)");
  assertEquals(ask(rules, "10.0.2.3", { protocol: UDP, port: 53 }), "127.0.0.53:53");
  assertEquals(ask(rules, "10.0.2.100"), "127.0.0.1:80");
  assertEquals(ask(rules, "10.0.2.101"), "[::1]:80");
});

Deno.test("translate without host loopback leads the gateway to what is not loopback", () => {
  const rules = scriptRules({ hostLoopback: false, gatewayTargets: ["127.0.0.9", "192.0.2.1", "::1"] });
  assertEquals(ask(rules, "10.0.2.2"), "192.0.2.1:80");
});

Deno.test("translate follows a map of the gateway's own address, also without host loopback", () => {
  for (const hostLoopback of [true, false]) {
    const rules = scriptRules({ hostLoopback, maps: ["10.0.2.2=127.0.0.7"] });
    assertEquals(ask(rules, "10.0.2.2"), "127.0.0.7:80");
  }
});

Deno.test("translate follows maps of the subnet, of the world and across families", () => {
  const rules = scriptRules({
    maps: [
      "10.0.2.50=192.0.2.1",
      "198.51.100.1=10.0.2.77",
      "2001:db8::1=127.0.0.1",
    ],
  });
  assertEquals(ask(rules, "10.0.2.50", { port: 22 }), "192.0.2.1:22");
  assertEquals(ask(rules, "198.51.100.1"), "10.0.2.77:80");
  assertEquals(ask(rules, "2001:db8::1"), "127.0.0.1:80");
  assertEquals(ask(rules, "10.0.2.51"), "neverRelayed (10.0.2.0/24)");
});

Deno.test("translate refuses a forbidden host address even from rules that nobody checked", () => {
  const forged: TranslationRules = {
    ...DEFAULTS,
    dnsServers: [{ address: IpAddress.parse("0.0.0.0"), port: 53 }],
    maps: [{ guest: IpAddress.parse("10.0.2.50"), host: IpAddress.parse("::ffff:224.0.0.1") }],
    ipv4: { ...DEFAULTS.ipv4!, gatewayTargets: [IpAddress.parse("127.0.0.1"), IpAddress.parse("::127.0.0.1")] },
  };
  assertEquals(ask(forged, "10.0.2.50"), "neverRelayed (224.0.0.0/4)");
  assertEquals(ask(forged, "10.0.2.3", { port: 53 }), "neverRelayed (0.0.0.0/8)");
  assertEquals(ask(forged, "10.0.2.2"), "neverRelayed (::/96)");
});

Deno.test("translate leads the IPv6 gateway to ::1, then 127.0.0.1, and DNS at ::3 to the resolvers of .3", () => {
  const rules = scriptRules({ dnsServers: ["127.0.0.53", "[::1]:5353"], subnet6: "fd12:3::/64" });
  assertEquals(ask(rules, "fd12:3::2", { port: 8080 }), "[::1]:8080 127.0.0.1:8080");
  for (const protocol of [TCP, UDP]) {
    assertEquals(ask(rules, "fd12:3::3", { protocol, port: 53 }), "127.0.0.53:53 [::1]:5353");
  }
  assertEquals(ask(rules, "fd12:3::3"), "neverRelayed (fd12:3::3 beside port 53)");
  assertEquals(ask(scriptRules({ hostLoopback: false }), "fd00::2"), "denied (no host loopback)");
});

Deno.test("translate refuses the rest of the IPv6 subnet and what is valid on the link alone", () => {
  for (const text of ["fd00::", "fd00::1", "fd00::15", "fd00::ffff:ffff:ffff:ffff"]) {
    assertEquals(ask(DEFAULTS, text), "neverRelayed (fd00::/64)", text);
  }
  for (const text of ["fe80::2", "fe80::1", "febf::1"]) assertEquals(ask(DEFAULTS, text), "neverRelayed (fe80::/10)");
  assertEquals(ask(DEFAULTS, "fd00:0:0:1::1"), "[fd00:0:0:1::1]:80", "another network of the site");
});

Deno.test("translate knows no gateway of a family that the guest has not", () => {
  assertEquals(ask(scriptRules({ families: "ipv4" }), "fd00::2"), "[fd00::2]:80");
  assertEquals(ask(scriptRules({ families: "ipv6" }), "10.0.2.2"), "10.0.2.2:80");
  assertEquals(ask(scriptRules({ families: "ipv6" }), "10.0.2.3", { port: 53 }), "10.0.2.3:53");
});

Deno.test("translate refuses IPv4 in disguise wherever the IPv4 inside would be refused", () => {
  const hostAddresses = { version: () => 0, has: (address: IpAddress) => `${address}` === "192.0.2.9" };
  const rules = scriptRules({ hostAddresses, deny: ["10.0.0.0/8:25"] });
  const asked = (text: string, port = 80) => ask(rules, text, { port });
  assertEquals(asked("64:ff9b::127.0.0.1"), "neverRelayed (127.0.0.0/8 in 64:ff9b::7f00:1)");
  assertEquals(asked("2002:a9fe:a9fe::1").startsWith("denied (deny 169.254.0.0/16"), true);
  assertEquals(asked("64:ff9b::10.0.2.9"), "neverRelayed (10.0.2.0/24, 10.0.2.9 in 64:ff9b::a00:209)");
  assertEquals(
    asked("2001:0:c000:209::f7f7:f7f7"),
    "denied (no host, and 192.0.2.9 is an address of the host (--no-host), 192.0.2.9 in 2001:0:c000:209::f7f7:f7f7)",
  );
  assertEquals(asked("64:ff9b:1::10.9.9.9", 25), "denied (deny 10.0.0.0/8:25, 10.9.9.9 in 64:ff9b:1::a09:909)");
  assertEquals(asked("64:ff9b:1::10.9.9.9"), "[64:ff9b:1::a09:909]:80");
  assertEquals(asked("2002:808:808::1"), "[2002:808:808::1]:80");
  const allowing = scriptRules({ allow: ["2002::/16"] });
  assertEquals(
    ask(allowing, "2002:808:808::1"),
    "[2002:808:808::1]:80",
    "the address inside needs no allow of its own",
  );
});

Deno.test("translate with NAT64 leads 64:ff9b::/96 to where the IPv4 address inside leads", () => {
  const rules = scriptRules({
    nat64: true,
    dnsServers: ["127.0.0.53"],
    maps: ["198.51.100.1=127.0.0.9"],
    deny: ["192.0.2.0/24", "64:ff9b::cb00:7100/120"],
  });
  assertEquals(ask(rules, "64:ff9b::8.8.8.8", { port: 443 }), "8.8.8.8:443");
  assertEquals(ask(rules, "64:ff9b::8.8.8.8", { protocol: UDP, port: 53 }), "8.8.8.8:53");
  assertEquals(ask(rules, "64:ff9b::10.1.2.3"), "10.1.2.3:80", "private networks are what guests have");
  assertEquals(ask(rules, "64:ff9b::10.0.2.2"), "127.0.0.1:80 [::1]:80");
  assertEquals(ask(rules, "64:ff9b::10.0.2.3", { port: 53 }), "neverRelayed (10.0.2.0/24)");
  assertEquals(ask(rules, "64:ff9b::10.0.2.77"), "neverRelayed (10.0.2.0/24)");
  assertEquals(ask(rules, "64:ff9b::198.51.100.1"), "127.0.0.9:80");
  assertEquals(ask(rules, "64:ff9b::127.0.0.1"), "neverRelayed (127.0.0.0/8 in 64:ff9b::7f00:1)");
  assertEquals(ask(rules, "64:ff9b::224.0.0.251"), "neverRelayed (224.0.0.0/4 in 64:ff9b::e000:fb)");
  assertEquals(ask(rules, "64:ff9b::192.0.2.1"), "denied (deny 192.0.2.0/24)");
  assertEquals(ask(rules, "64:ff9b::203.0.113.7").startsWith("denied (deny 64:ff9b::cb00:7100/120"), true);
  assertEquals(ask(rules, "64:ff9b:1::8.8.8.8"), "[64:ff9b:1::808:808]:80", "the prefix for local use is the host's");
});

Deno.test("translate with NAT64 and an allow-list goes by the IPv4 address as by the IPv6 one", () => {
  const ways = (allow: string) => {
    const rules = scriptRules({ nat64: true, allow: [allow] });
    const answer = translate(rules, {
      family: 6,
      protocol: TCP,
      address: IpAddress.parse("64:ff9b::8.8.8.8"),
      port: 80,
    });
    return "undecided" in answer && !answer.undecided ? answer.rule?.text : answer;
  };
  assertEquals(ways("8.8.8.8"), "allow 8.8.8.8");
  assertEquals(ways("64:ff9b::/96"), "allow 64:ff9b::/96");
  const targets = [{ address: IpAddress.parse("8.8.8.8"), port: 80 }];
  assertEquals(ways("8.8.4.4"), { targets, rule: null, undecided: true });
});

Deno.test("translate with NAT64 leads to no address of the host, and a deny of one that is mapped stands", () => {
  const hostAddresses = { version: () => 0, has: (address: IpAddress) => `${address}` === "192.0.2.9" };
  const rules = scriptRules({ nat64: true, hostAddresses });
  assertEquals(ask(rules, "64:ff9b::192.0.2.9").startsWith("denied (no host, and 192.0.2.9"), true);
  assertEquals(ask(rules, "64:ff9b::10.0.2.2").startsWith("denied (no host, and 127.0.0.1"), true);
  const mapped = scriptRules({ nat64: true, maps: ["198.51.100.1=127.0.0.9"], deny: ["198.51.100.0/24"] });
  assertEquals(ask(mapped, "64:ff9b::198.51.100.1"), "denied (deny 198.51.100.0/24)");
});

Deno.test("translate leads the gateway to loopback at ports that are named, whatever else is said, and at no other", () => {
  for (const more of [{}, { maps: ["10.0.2.2=192.0.2.7"] }]) {
    const rules = scriptRules({ hostLoopback: false, hostPorts: ["tcp:5432", "udp:53"], ...more });
    assertEquals(ask(rules, "10.0.2.2", { port: 5432 }), "127.0.0.1:5432 [::1]:5432");
    assertEquals(ask(rules, "fd00::2", { port: 5432 }), "[::1]:5432 127.0.0.1:5432");
    assertEquals(ask(rules, "10.0.2.2", { protocol: UDP, port: 53 }), "127.0.0.1:53 [::1]:53");
    const beside = "maps" in more ? "192.0.2.7" : undefined;
    for (const [protocol, port] of [[TCP, 5433], [UDP, 5432], [TCP, 53], [ICMP, 0]] as const) {
      const answer = ask(rules, "10.0.2.2", { protocol, port });
      assertEquals(answer, beside === undefined ? "denied (no host loopback)" : `${beside}:${port}`);
    }
  }
  const denied = scriptRules({ hostPorts: ["tcp:5432"], deny: ["127.0.0.1:5432"] });
  assert(ask(denied, "10.0.2.2", { port: 5432 }).startsWith("denied"), "a rule holds for them too");
});
