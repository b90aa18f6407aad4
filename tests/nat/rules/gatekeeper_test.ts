import { assert, assertEquals, assertMatch } from "@std/assert";
import type { DropReason } from "../../../nat/base/counters.ts";
import type { EventOf, GatewayEvent } from "../../../nat/flow/events.ts";
import type { Rule } from "../../../nat/rules/rule.ts";
import type { RefusalCause } from "../../../nat/rules/verdict.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { TCP_ACK, TCP_RST } from "../../../net/wire/tcp.ts";
import { ask, type Protocol } from "../../support/frames.ts";
import { bind, listOf, nameRule } from "../../support/name_rules.ts";
import { NatScript } from "../../support/nat_script.ts";

const SERVER = "192.0.2.7";

/** A gateway under these rules; texts are allows of addresses. */
function under(rules: readonly (Rule | string)[], options: ConstructorParameters<typeof NatScript>[0] = {}) {
  const script = new NatScript({ ...options, rules: { egress: listOf(...rules), ...options.rules } });
  const events: GatewayEvent[] = [];
  script.nat.events.listen((_type, make) => void events.push(make()));
  const of = <T extends GatewayEvent["type"]>(type: T) => events.filter((event) => event.type === type) as EventOf<T>[];
  return { script, of, bind: (address: string, name: string) => bindIn(script, address, name) };
}

function bindIn(script: NatScript, address: string, name: string): void {
  bind(script.guest.bindings, address, name, script.nat.now());
}

/** What became of the only packet to `port` at `address`: where it led, or why it was refused. */
function outcome(script: NatScript, protocol: Protocol, address: string, port = 443): string {
  const refused: EventOf<"flowRefused">[] = [], led: string[] = [];
  const end = script.nat.events.listen((type, make) => {
    if (type === "flowRefused") refused.push(make() as EventOf<"flowRefused">);
    if (type === "flowOpened") led.push((make() as EventOf<"flowOpened">).flow.host);
  });
  script.frame(ask(protocol, address, { port }));
  end();
  script.nat.close();
  return refused[0]?.cause ?? led[0] ?? "nothing";
}

Deno.test("Gatekeeper lets a guest go where an answer for an allowed name has led it, and nowhere else", () => {
  const cases: readonly [Protocol, string, number, string][] = [
    ["tcp", SERVER, 443, "192.0.2.7:443"],
    ["tcp", SERVER, 80, "notAllowed"],
    ["udp", SERVER, 443, "notAllowed"],
    ["icmp", SERVER, 0, "notAllowed"],
    ["tcp", "192.0.2.8", 443, "unbound"],
    ["udp", "192.0.2.8", 443, "unbound"],
    ["icmp", "192.0.2.8", 0, "unbound"],
    ["tcp", "198.51.100.1", 443, "198.51.100.1:443"],
    ["tcp", "169.254.169.254", 443, "rule"],
    ["tcp", "224.0.0.1", 443, "neverRelayed"],
  ];
  for (const [protocol, address, port, expected] of cases) {
    const { script, bind } = under([nameRule("allow", "registry.example", { port: 443 }), "198.51.100.1"]);
    bind(SERVER, "registry.example");
    assertEquals(outcome(script, protocol, address, port), expected, `${protocol} ${address}:${port}`);
  }
});

Deno.test("Gatekeeper lets echo pass by a name that is allowed for it, and not by one that is allowed for TCP", () => {
  for (const protocol of ["icmp", "tcp"] as const) {
    const { script, bind } = under([nameRule("allow", "registry.example", { protocol })]);
    bind(SERVER, "registry.example");
    assertEquals(outcome(script, "icmp", SERVER, 0), protocol === "icmp" ? SERVER : "notAllowed");
  }
});

Deno.test("Gatekeeper knows a wildcard's names and UDP where it is said, and no answer that led another guest", () => {
  const wild = [
    nameRule("allow", "*.example.org"),
    nameRule("allow", "time.example", { protocol: "udp" }),
    nameRule("allow", "ping.example", { protocol: "icmp" }),
  ];
  const ask = (name: string, protocol: Protocol) => {
    const { script, bind } = under(wild);
    bind("1.1.1.1", name);
    return outcome(script, protocol, "1.1.1.1");
  };
  assertEquals(ask("a.b.example.org", "tcp"), "1.1.1.1:443");
  assertEquals(ask("example.org", "tcp"), "notAllowed");
  assertEquals(ask("time.example", "udp"), "1.1.1.1:443");
  assertEquals(ask("time.example", "tcp"), "notAllowed");
  assertEquals(ask("ping.example", "icmp"), "1.1.1.1");
  assertEquals(ask("ping.example", "tcp"), "notAllowed");
  const { script } = under(wild);
  const other = script.nat.attach({ name: "other", mtu: 1500, offload: false, send: () => true, flush() {} });
  bind(other.bindings, "1.1.1.1", "a.example.org", script.nat.now());
  assertEquals(outcome(script, "tcp", "1.1.1.1"), "unbound");
});

Deno.test("Gatekeeper lets no wildcard lead to what is near, whatever bound it, but to the gateway by a local name", () => {
  const rules = [nameRule("allow", "*.example.org"), nameRule("allow", "in.example.org", { port: 80 })];
  for (const near of ["10.0.0.1", "192.168.1.1", SERVER, "100.64.0.1"]) {
    const ask = (name: string, port: number) => {
      const { script, bind } = under(rules);
      bind(near, name);
      return outcome(script, "tcp", near, port);
    };
    assertEquals([ask("a.example.org", 443), ask("in.example.org", 443)], ["notAllowed", "notAllowed"]);
    assertEquals(ask("in.example.org", 80), `${near}:80`);
  }
  const { script } = under([nameRule("allow", "*.hawser.internal")], { rules: { dnsServers: [] } });
  assertEquals(outcome(script, "tcp", "10.0.2.2"), "127.0.0.1:443");
  const alias = { dnsServers: [], hostAliases: ["169.254.1.2"] };
  for (const [address, expected] of [["169.254.1.2", "127.0.0.1:443"], ["10.0.2.2", "unbound"]] as const) {
    const { script } = under([nameRule("allow", "*.hawser.internal")], { rules: alias });
    assertEquals(outcome(script, "tcp", address), expected, "local names are the alias's alone");
  }
});

Deno.test("Gatekeeper lets an address rule decide before names: a deny refuses, an allow allows", () => {
  const rules = [nameRule("allow", "registry.example")];
  const deny = { ...listOf("192.0.2.0/24").rules[0]!, verdict: "deny", text: "deny 192.0.2.0/24" } as const;
  const denied = under([...rules, deny]);
  denied.bind(SERVER, "registry.example");
  assertEquals(outcome(denied.script, "tcp", SERVER), "rule");
  assertMatch(denied.script.warnings[0]!, /registry\.example:443 \(192\.0\.2\.7\) of guest 1: deny 192\.0\.2\.0\/24/);
  const metadata = under(rules);
  metadata.bind("169.254.169.254", "registry.example");
  assertEquals(outcome(metadata.script, "tcp", "169.254.169.254"), "rule");
});

Deno.test("Gatekeeper tells an expired binding from one that there never was, and names it", () => {
  const { script, bind, of } = under([nameRule("allow", "registry.example")]);
  bind(SERVER, "registry.example");
  bind(SERVER, "other.example");
  script.advance(3_600_001);
  assertEquals(outcome(script, "tcp", SERVER), "expired");
  assertEquals(of("flowRefused").map(({ names, reason }) => [names, reason]), [[["registry.example"], "nameExpired"]]);
  const stranger = under([nameRule("allow", "registry.example")]);
  stranger.bind(SERVER, "other.example");
  stranger.script.advance(3_600_001);
  assertEquals(outcome(stranger.script, "tcp", SERVER), "unbound", "a lapsed name that no rule allows helps nobody");
  assertEquals(stranger.script.nat.counters.nameUnbound, 1);
});

Deno.test("Gatekeeper lets a flow hold the binding that allowed it, and a new flow renew it", () => {
  const { script, bind } = under([nameRule("allow", "registry.example")]);
  bind(SERVER, "registry.example");
  script.remoteIp = parseIpv4(SERVER);
  script.open();
  const names = () => script.guest.bindings.of(script.host.sockets[0]!.target.address, script.nat.now());
  assertEquals(names().map(({ name }) => name), ["registry.example"]);
  script.advance(7_100_000);
  assertEquals(names().length, 1, "the flow lives");
  script.nat.close();
  assertEquals(names(), []);
});

Deno.test("Gatekeeper says in one line who wanted what and which option would let it", () => {
  const line = (rules: readonly (Rule | string)[], protocol: Protocol, bound: boolean, family: 4 | 6 = 4) => {
    const address = family === 4 ? SERVER : "2001:db8::7", { script, bind } = under(rules);
    if (bound) bind(address, "registry.example");
    outcome(script, protocol, address);
    return script.warnings[0]!.replace(/^.* > /, "");
  };
  const other = [nameRule("allow", "other.example")];
  assertEquals(
    line(other, "tcp", true),
    "registry.example:443 (192.0.2.7) of guest 1: no allow rule matches; --allow registry.example:443 would",
  );
  assertEquals(
    line(other, "udp", true),
    "registry.example:443 (192.0.2.7) of guest 1: no allow rule matches; --allow udp:registry.example:443 would",
  );
  assertEquals(
    line(other, "tcp", false),
    "192.0.2.7:443 of guest 1: no allow rule matches, and no DNS answer led there; --allow 192.0.2.7:443 would",
  );
  assertEquals(
    line(["198.51.100.1"], "tcp", false, 6),
    "[2001:db8::7]:443 of guest 1: no allow rule matches; --allow [2001:db8::7]:443 would",
  );
  assertEquals(
    line(other, "icmp", true),
    "registry.example (192.0.2.7) of guest 1: no allow rule matches; --allow icmp:registry.example would",
  );
});

Deno.test("Gatekeeper without an allow-list refuses where every name is denied, and only there", () => {
  const rules = [nameRule("deny", "evil.example"), nameRule("deny", "tracker.example", { port: 443 })];
  const ask = (protocol: Protocol, ...names: string[]) => {
    const { script, bind } = under(rules);
    for (const name of names) bind(SERVER, name);
    return outcome(script, protocol, SERVER, 80);
  };
  assertEquals(ask("tcp"), "192.0.2.7:80");
  assertEquals(ask("tcp", "evil.example"), "rule");
  assertEquals(ask("udp", "evil.example"), "rule");
  assertEquals(ask("tcp", "evil.example", "good.example"), "192.0.2.7:80");
  assertEquals(ask("tcp", "tracker.example"), "192.0.2.7:80", "denied at another port");
});

Deno.test("Gatekeeper looks at what only a name allows, at nothing unverified, and for denied names elsewhere", () => {
  const look = (rules: readonly (Rule | string)[], name: string | null, reportOnly = false) => {
    const { script, bind } = under(rules, { reportOnly });
    if (name !== null) bind(SERVER, name);
    script.frame(ask("tcp", SERVER, { port: 443 }));
    const [flow] = script.nat.registry.all(), looked = flow?.permit?.look;
    script.nat.close();
    return looked;
  };
  const allow = nameRule("allow", "registry.example"), deny = nameRule("deny", "evil.example");
  assertEquals(look([], null), "none");
  assertEquals(look([], "registry.example"), "none");
  assertEquals(look([allow], "registry.example"), "verify");
  assertEquals(look([nameRule("allow", "registry.example", { unverified: true })], "registry.example"), "none");
  assertEquals(look([SERVER, allow], "registry.example"), "none");
  assertEquals(look([SERVER, deny], null), "watch");
  assertEquals(look([deny], null), "watch");
  const unverified = nameRule("allow", "registry.example", { unverified: true });
  assertEquals([look([], "registry.example", true), look([], null, true)], ["learn", "watch"]);
  assertEquals([look([allow], "registry.example", true), look([allow], "other.example", true)], ["verify", "learn"]);
  assertEquals([look([unverified], "registry.example", true), look([SERVER], "a.example", true)], ["watch", "watch"]);
});

Deno.test("Gatekeeper has the gateway's own names lead to the gateway, over both families", () => {
  for (const [address, host] of [["10.0.2.2", "127.0.0.1:8080"], ["fd00::2", "[::1]:8080"]] as const) {
    const { script } = under([nameRule("allow", "host.docker.internal", { port: 8080 })], {
      rules: { dnsServers: [] },
    });
    script.frame(ask("tcp", address, { port: 8080, sourcePort: 9 }));
    // Both loopback addresses are the gateway to whoever wrote the rule.
    assertEquals(script.nat.registry.all()[0]!.permit!.targets.length, 2);
    assertEquals(outcome(script, "tcp", address, 8080), host);
    const other = under([nameRule("allow", "registry.example", { port: 8080 })], { rules: { dnsServers: [] } });
    assertEquals(outcome(other.script, "tcp", address, 8080), "notAllowed");
  }
});

Deno.test("Gatekeeper takes an address with an IPv4 address in it for that one, with NAT64 too", () => {
  for (const nat64 of [true, false]) {
    const { script, bind } = under([nameRule("allow", "registry.example")], { rules: { nat64 } });
    bind(SERVER, "registry.example");
    assertEquals(outcome(script, "tcp", "64:ff9b::192.0.2.7"), nat64 ? "192.0.2.7:443" : "[64:ff9b::c000:207]:443");
    const stranger = under([nameRule("allow", "registry.example")], { rules: { nat64 } });
    assertEquals(outcome(stranger.script, "tcp", "64:ff9b::192.0.2.7"), "unbound");
  }
});

Deno.test("Gatekeeper refuses nothing by a user's rule in a report, and says what it would", () => {
  const deny = { ...listOf("192.0.2.0/24").rules[0]!, verdict: "deny", text: "deny 192.0.2.0/24" } as const;
  const cases: readonly [readonly (Rule | string)[], string, RefusalCause | null][] = [
    [[deny], "192.0.2.7", "rule"],
    [["198.51.100.1"], "192.0.2.7", "notAllowed"],
    [[nameRule("allow", "registry.example")], "192.0.2.7", "unbound"],
    [["192.0.2.7"], "192.0.2.7", null],
  ];
  for (const protocol of ["tcp", "udp", "icmp"] as const) {
    for (const [rules, address, cause] of cases) {
      const { script, of } = under(rules, { reportOnly: true });
      script.frame(ask(protocol, address, { port: 443 }));
      const [refused] = of("flowRefused"), [opened] = protocol === "tcp" ? of("flowOpened") : of("peerOpened");
      assertEquals([refused?.cause ?? null, refused?.wouldRefuse, opened?.wouldRefuse?.cause ?? null], [
        cause,
        cause === null ? undefined : true,
        cause,
      ], `${protocol} ${rules}`);
      assertEquals(script.nat.registry.totals.refused, 0);
      if (cause !== null) assertMatch(script.warnings[0]!, /^Would refuse /);
      script.nat.close();
    }
  }
  for (const address of ["169.254.169.254", "10.0.2.99", "224.0.0.1"]) {
    const { script, of } = under([deny], { reportOnly: true });
    script.frame(ask("tcp", address, { port: 443 }));
    assertEquals([of("flowOpened").length, of("flowRefused")[0]?.wouldRefuse], [0, undefined], address);
  }
  const excepted = under(["169.254.169.254"], { reportOnly: true });
  assertEquals(outcome(excepted.script, "tcp", "169.254.169.254"), "169.254.169.254:443");
});

Deno.test("a decision of the program comes after the rules: it allows, refuses, or leads elsewhere", () => {
  const asked: unknown[] = [];
  const decide = (flow: { port: number }) => {
    asked.push(flow);
    if (flow.port === 81) return "refuse";
    return flow.port === 82 ? { redirect: "127.0.0.1:8080" } : "allow";
  };
  const { script, bind, of } = under([SERVER], { decide });
  bind(SERVER, "registry.example");
  for (const port of [80, 81, 82]) {
    script.frame(ask("tcp", SERVER, { port, sourcePort: port }));
    script.frame(ask("udp", SERVER, { port, sourcePort: port }));
  }
  script.frame(ask("icmp", SERVER, { port: 0 }));
  assertEquals(of("flowOpened").filter(({ flow }) => flow.protocol === "tcp").map(({ flow }) => flow.host), [
    "192.0.2.7:80",
    "127.0.0.1:8080",
  ]);
  assertEquals(of("peerOpened").map(({ host }) => host), ["192.0.2.7:80", "127.0.0.1:8080", "192.0.2.7"]);
  assertEquals(of("flowRefused").map(({ cause, reason, port }) => [cause, reason, port]), [
    ["hook", "hookRefused", 81],
    ["hook", "hookRefused", 81],
  ]);
  assertEquals(asked[0], {
    guestNumber: 1,
    protocol: "tcp",
    guest: "10.0.2.15:80",
    address: SERVER,
    port: 80,
    host: "192.0.2.7:80",
    names: ["registry.example"],
    rule: script.nat.rules.egress.rules[0]!,
  });
  asked.length = 0;
  script.frame(ask("tcp", "198.51.100.1", { port: 80 }));
  assertEquals(asked, [], "what rules refuse is not asked");
  script.nat.close();
});

Deno.test("a decision that fails, is none, or leads where nothing is relayed refuses the flow and is logged", () => {
  const host = { version: () => 0, has: () => false };
  const decisions: readonly [unknown, RegExp][] = [
    ["maybe", /a redirect is ADDR:PORT/],
    [undefined, /redirect/],
    [{ redirect: "registry.example:443" }, /a redirect is ADDR:PORT/],
    [{ redirect: "192.0.2.1" }, /a redirect is ADDR:PORT/],
    [{ redirect: "192.0.2.1:0" }, /a redirect is ADDR:PORT/],
    [{ redirect: "192.0.2.1:65536" }, /a redirect is ADDR:PORT/],
    [{ redirect: "224.0.0.1:9" }, /224\.0\.0\.1:9, which is never relayed: 224\.0\.0\.0\/4/],
    [{ redirect: "0.0.0.0:9" }, /never relayed: 0\.0\.0\.0\/8/],
    [{ redirect: "[64:ff9b::224.0.0.1]:9" }, /never relayed/],
    [{ redirect: "127.0.0.1:9" }, /never relayed: no host/],
  ];
  for (const [decision, expected] of decisions) {
    const { script, of } = under([], { decide: () => decision as "allow", rules: { hostAddresses: host } });
    script.frame(ask("tcp", SERVER, { port: 80 }));
    assertEquals(of("flowRefused").map(({ cause }) => cause), ["hook"], `${decision}`);
    assertMatch(script.warnings.join("\n"), expected);
    assertEquals(script.host.sockets.length, 0);
  }
  const { script, of } = under([], {
    decide: () => {
      throw new Error("broken");
    },
  });
  script.frame(ask("udp", SERVER, { port: 80 }));
  assertEquals(of("flowRefused").map(({ cause, reason }) => [cause, reason]), [["hook", "hookRefused"]]);
  assert(script.warnings.some((line) => /decide failed for udp .*: broken$/.test(line)));
});

Deno.test("what the limits refuse has the cause limit, and what has no record begins nothing", () => {
  const limited = under([], { maxNewFlows: 1 });
  for (const sourcePort of [1, 2]) limited.script.frame(ask("tcp", SERVER, { port: 80, sourcePort }));
  assertEquals(limited.of("flowRefused").map(({ cause, reason }) => [cause, reason]), [["limit", "flowRate"]]);
  const records = { isAvailable: false }, { script, of } = under([], { records });
  for (const protocol of ["tcp", "udp", "icmp"] as const) script.frame(ask(protocol, SERVER, { port: 80 }));
  assertEquals(of("flowRefused").map(({ cause }) => cause), Array(3).fill("auditUnavailable"));
  assertEquals(script.nat.counters.auditUnavailable, 3);
  records.isAvailable = true;
  script.frame(ask("tcp", SERVER, { port: 80 }));
  assertEquals(of("flowOpened").length, 1);
  script.nat.close();
});

Deno.test("a datagram that names, the program or the audit refuse is answered at once with ICMP 3/13, a SYN with RST", () => {
  const refusals: readonly [DropReason, () => NatScript][] = [
    ["nameUnbound", () => under([nameRule("allow", "udp.example", { protocol: "udp" })]).script],
    ["nameExpired", () => {
      const { script, bind } = under([
        nameRule("allow", "udp.example", { protocol: "udp" }),
        nameRule("allow", "udp.example", { protocol: "tcp" }),
      ]);
      bind(SERVER, "udp.example");
      script.advance(3_600_001);
      return script;
    }],
    ["hookRefused", () => under([], { decide: () => "refuse" }).script],
    ["auditUnavailable", () => under([], { records: { isAvailable: false } }).script],
  ];
  for (const [reason, make] of refusals) {
    for (const protocol of ["udp", "tcp"] as const) {
      const script = make();
      script.frame(ask(protocol, SERVER, { port: 80 }));
      assertEquals(script.nat.counters[reason], 1, reason);
      assertEquals(script.takeIcmp(), protocol === "udp" ? [{ type: 3, code: 13 }] : [], reason);
      assertEquals(script.take().map(({ flags }) => flags), protocol === "tcp" ? [TCP_RST | TCP_ACK] : [], reason);
      script.nat.close();
    }
  }
});

Deno.test("a key that was refused may begin a flow once the name is bound", () => {
  const { script, bind, of } = under([nameRule("allow", "registry.example")]);
  script.frame(ask("tcp", SERVER, { port: 443 }));
  bind(SERVER, "registry.example");
  script.frame(ask("tcp", SERVER, { port: 443 }));
  assertEquals([of("flowRefused").length, of("flowOpened").length], [1, 1]);
  script.nat.close();
});
