import { assert, assertEquals, assertMatch } from "@std/assert";
import type { DropReason } from "../../../nat/base/counters.ts";
import { isLoopback } from "../../../nat/rules/policy.ts";
import { TCP_ACK, TCP_RST } from "../../../net/wire/tcp.ts";
import { dnsQuery } from "../../support/dns_messages.ts";
import { ask, type AskFields, askInFragments, type Protocol, PROTOCOLS } from "../../support/frames.ts";
import { NatScript } from "../../support/nat_script.ts";
import type { ScriptRules } from "../../support/rules.ts";

/** A packet of IPv6 whose addresses hold IPv4 ones. */
const MAPPED = { family: 6, source: "::ffff:10.0.2.15" } as const;

/** Host addresses that something was sent to, or a connect began to. */
function reached(script: NatScript): string[] {
  return [
    ...script.host.sockets.map(({ target }) => `${target.address}:${target.port}`),
    ...script.host.udpSockets.flatMap(({ sent }) => sent.map(({ to }) => `${to.address}:${to.port}`)),
  ];
}

function counted(script: NatScript): Partial<Record<DropReason, number>> {
  return Object.fromEntries(Object.entries(script.nat.counters).filter(([, count]) => count > 0));
}

/** The guest got the refusal that its protocol has, and nothing reached the host or is left. */
function assertRefused(script: NatScript, protocol: Protocol, reason: DropReason): void {
  assertEquals(counted(script), { [reason]: 1 }, protocol);
  assertEquals(script.take().map(({ flags }) => flags), protocol === "tcp" ? [TCP_RST | TCP_ACK] : [], protocol);
  assertEquals(script.takeIcmp(), protocol === "tcp" ? [] : [{ type: 3, code: 13 }], protocol);
  assertEquals(reached(script), [], protocol);
  script.assertEmpty();
}

function refuse(rules: ScriptRules, destination: string, fields: AskFields = {}): void {
  for (const protocol of PROTOCOLS) {
    // The gateway answers echo requests to its own address itself: they lead nowhere.
    if (protocol === "icmp" && destination === "10.0.2.2") continue;
    const script = new NatScript({ rules });
    script.frame(ask(protocol, destination, fields));
    assertRefused(script, protocol, "denied");
  }
}

Deno.test("a denied destination is refused at once, with RST or ICMP 3/13, for every protocol", () => {
  refuse({ deny: ["192.0.2.0/24"] }, "192.0.2.9");
  refuse({ allow: ["192.0.2.0/24"] }, "198.51.100.1");
  refuse({}, "169.254.169.254");
  refuse({ allow: ["0.0.0.0/0"] }, "169.254.169.254");
});

Deno.test("a rule with ports refuses these ports and no others", () => {
  for (const protocol of ["tcp", "udp"] as const) {
    const script = new NatScript({ rules: { deny: ["192.0.2.9:25,100-200"] } });
    for (const port of [24, 25, 26, 99, 100, 200, 201]) {
      script.frame(ask(protocol, "192.0.2.9", { port, sourcePort: port }));
    }
    assertEquals(reached(script), ["24", "26", "99", "201"].map((port) => `192.0.2.9:${port}`));
    assertEquals(script.nat.counters.denied, 3);
  }
});

Deno.test("the log line of a refusal names guest, target and rule, and such lines are rationed", () => {
  const script = new NatScript({ rules: { deny: ["127.0.0.0/8", "192.0.2.0/24:53"] } });
  script.frame(ask("tcp", "10.0.2.2", { port: 22 }));
  script.frame(ask("udp", "192.0.2.9", { port: 53 }));
  script.frame(ask("icmp", "169.254.169.254"));
  assertEquals(script.warnings, [
    "Refused tcp 10.0.2.15:40000 > 10.0.2.2:22 of guest 1: deny 127.0.0.0/8, 10.0.2.2 leads to 127.0.0.1",
    "Refused udp 10.0.2.15:40000 > 192.0.2.9:53 of guest 1: deny 192.0.2.0/24:53",
    'Refused icmp 10.0.2.15:40000 > 169.254.169.254:0 of guest 1: deny 169.254.0.0/16 (the default, "--deny none" drops it)',
  ]);
  for (let i = 0; i < 100; i++) script.frame(ask("udp", "192.0.2.9", { port: 53 }));
  assertEquals([script.warnings.length, script.nat.counters.denied], [10, 103]);
  script.take();
  script.assertEmpty();
});

Deno.test("a rule cannot be walked around by way of the gateway's address or a map", () => {
  refuse({ deny: ["127.0.0.1"] }, "10.0.2.2");
  refuse({ deny: ["10.0.2.2"] }, "10.0.2.2");
  refuse({ deny: ["::1"] }, "10.0.2.2");
  refuse({ allow: ["192.0.2.0/24"] }, "10.0.2.2");
  const maps = ["10.0.2.100=192.0.2.9"];
  refuse({ deny: ["192.0.2.9"], maps }, "10.0.2.100");
  refuse({ deny: ["10.0.2.100"], maps }, "10.0.2.100");
  refuse({ allow: ["198.51.100.0/24"], maps }, "10.0.2.100");
  refuse({ maps: ["10.0.2.100=169.254.169.254"] }, "10.0.2.100");
  refuse({ deny: ["127.0.0.0/8"], maps: ["10.0.2.2=127.0.0.9"] }, "10.0.2.2");
});

Deno.test("an allow of the gateway's address or of where it leads opens it, both to 127.0.0.1 alone if that is what it says", () => {
  for (const [allow, targets] of [["10.0.2.2:80", 2], ["127.0.0.1:80", 1], ["127.0.0.0/8", 1]] as const) {
    const script = new NatScript({ rules: { allow: [allow] } });
    script.frame(ask("tcp", "10.0.2.2"));
    script.host.onlyConnect().refuse();
    script.host.run();
    if (targets === 2) {
      script.host.onlyConnect().refuse();
      script.host.run();
    }
    assertEquals(reached(script), ["127.0.0.1:80", "::1:80"].slice(0, targets), allow);
    assertEquals(counted(script), {}, allow);
  }
});

Deno.test("DNS at .3 stays under an allow-list and under a deny of its resolver", () => {
  const dnsServers = ["127.0.0.53"], payload = dnsQuery("test A");
  for (const rules of [{ allow: ["192.0.2.0/24"], dnsServers }, { deny: ["127.0.0.0/8", "10.0.2.0/24"], dnsServers }]) {
    for (const protocol of ["udp", "tcp"] as const) {
      const script = new NatScript({ rules });
      script.frame(ask(protocol, "10.0.2.3", { port: 53, payload }));
      // Over TCP the gateway takes the connection itself; what is asked there meets the same resolver.
      if (protocol === "udp") assertEquals(reached(script), ["127.0.0.53:53"]);
      else assertEquals(script.state, "SYN-RECEIVED");
      script.frame(ask(protocol, "10.0.2.3", { port: 54 }));
      assertEquals(counted(script), { neverRelayed: 1 });
    }
  }
});

Deno.test("a rule cannot be walked around by fragments", () => {
  for (const protocol of PROTOCOLS) {
    for (const order of [[0, 1], [1, 0], [0, 0], [1, 1], [0, 1, 1]]) {
      const script = new NatScript({ rules: { deny: ["192.0.2.9"] } });
      const parts = askInFragments(protocol, "192.0.2.9");
      for (const part of order) script.frame(parts[part]!);
      assertEquals(reached(script), []);
      assertEquals(script.take(), []);
    }
  }
});

Deno.test("a rule cannot be walked around by another source address", () => {
  for (const protocol of PROTOCOLS) {
    for (const source of ["0.0.0.0", "127.0.0.1", "10.0.2.2", "10.0.2.3", "192.0.2.1", "255.255.255.255"]) {
      const script = new NatScript({ rules: { deny: ["192.0.2.0/24"] } });
      script.frame(ask(protocol, "192.0.2.9", { source }));
      assertEquals(counted(script), { spoofedAddress: 1 }, source);
      assertEquals(reached(script), []);
    }
    // An address that the guest may have changes nothing about where it may go.
    const script = new NatScript({ rules: { deny: ["192.0.2.0/24"] } });
    script.frame(ask(protocol, "192.0.2.9", { source: "10.0.2.77" }));
    assertRefused(script, protocol, "denied");
  }
});

Deno.test("no allow opens what is never relayed, and no form of an address passes for another", () => {
  const rules = { allow: ["0.0.0.0/0", "::/0", "0.0.0.0", "127.0.0.1"], deny: ["none"] };
  for (const protocol of PROTOCOLS) {
    for (
      const destination of ["0.0.0.0", "0.0.0.1", "127.0.0.1", "127.9.9.9", "224.0.0.1", "255.255.255.255", "10.0.2.9"]
    ) {
      const script = new NatScript({ rules });
      script.frame(ask(protocol, destination));
      assertEquals(counted(script), { neverRelayed: 1 }, `${protocol} ${destination}`);
      // TCP hears of it by RST, and what is for a group stays unanswered.
      const isTold = protocol !== "tcp" && !["224.0.0.1", "255.255.255.255"].includes(destination);
      assertEquals(reached(script), []);
      assertEquals(script.takeIcmp().map(({ type, code }) => [type, code]), isTold ? [[3, 13]] : []);
    }
    for (const four of ["127.0.0.1", "0.0.0.0", "169.254.169.254", "192.0.2.9", "10.0.2.2"]) {
      for (const form of ["::ffff:", "::"]) {
        const script = new NatScript({ rules });
        script.frame(ask(protocol, `${form}${four}`, MAPPED));
        assertEquals([reached(script), script.nat.flowCount], [[], 0], `${form}${four}`);
        assertEquals(Object.values(counted(script)), [1], `${form}${four}`);
      }
    }
  }
});

Deno.test("without host loopback no packet of a guest leads to it unless a map names it", () => {
  const rules = {
    hostLoopback: false,
    dnsServers: ["127.0.0.53"],
    maps: ["10.0.2.100=127.0.0.5"],
  };
  const script = new NatScript({ rules });
  const everywhere = [
    "0.0.0.0",
    "127.0.0.1",
    "127.0.0.53",
    "10.0.2.2",
    "10.0.2.1",
    "10.0.2.15",
    "10.0.2.255",
    "192.0.2.9",
  ];
  for (const protocol of PROTOCOLS) {
    for (const destination of everywhere) script.frame(ask(protocol, destination));
    for (const form of ["::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:10.0.2.2"]) {
      script.frame(ask(protocol, form, MAPPED));
    }
  }
  const targets = [
    ...script.host.sockets.map(({ target }) => target),
    ...script.host.udpSockets[0]!.sent.map(({ to }) => to),
  ];
  assert(targets.length > 0 && !targets.some(({ address }) => isLoopback(address)), reached(script).join(" "));
  script.frame(ask("tcp", "10.0.2.100"));
  script.frame(ask("udp", "10.0.2.100"));
  script.frame(ask("udp", "10.0.2.3", { port: 53, payload: dnsQuery("test A") }));
  assertEquals(reached(script).filter((text) => text.startsWith("127.")), [
    "127.0.0.5:80",
    "127.0.0.5:80",
    "127.0.0.53:53",
  ]);
  // The refusal is at once, as for any rule.
  const refused = new NatScript({ rules });
  refused.frame(ask("udp", "10.0.2.2"));
  assertRefused(refused, "udp", "denied");
});

Deno.test("maxNewFlows rations the flows of all protocols together, and datagrams of a known mapping are free", () => {
  const script = new NatScript({ maxNewFlows: 3 });
  for (const sourcePort of [1, 2]) script.frame(ask("udp", "192.0.2.9", { sourcePort }));
  script.frame(ask("tcp", "192.0.2.9", { sourcePort: 3 }));
  script.frame(ask("tcp", "192.0.2.9", { sourcePort: 4 }));
  assertEquals(script.take().map(({ flags }) => flags), [TCP_RST | TCP_ACK]);
  script.frame(ask("udp", "192.0.2.9", { sourcePort: 5 }));
  assertEquals(script.takeIcmp(), [{ type: 3, code: 13 }]);
  assertEquals(counted(script), { flowRate: 2 });
  assertMatch(
    script.warnings[0]!,
    /^Refused tcp 10\.0\.2\.15:4 > 192\.0\.2\.9:80 of guest 1: 3 new flows a second are the limit \(--max-new-flows\)$/,
  );
  for (let i = 0; i < 20; i++) script.frame(ask("udp", "192.0.2.9", { sourcePort: 1, port: 1000 + i }));
  // A SYN that comes again begins nothing.
  for (let i = 0; i < 5; i++) script.frame(ask("tcp", "192.0.2.9", { sourcePort: 3 }));
  assertEquals([script.nat.counters.flowRate, script.host.sockets.length], [2, 1]);
  script.advance(334);
  script.frame(ask("tcp", "192.0.2.9", { sourcePort: 6 }));
  script.frame(ask("tcp", "192.0.2.9", { sourcePort: 7 }));
  assertEquals([script.nat.counters.flowRate, script.host.sockets.length], [3, 2]);
});

Deno.test("maxNewFlows is not used up by what a rule refuses", () => {
  const script = new NatScript({ maxNewFlows: 1, rules: { deny: ["192.0.2.0/24"] } });
  for (const protocol of PROTOCOLS) {
    for (let i = 0; i < 5; i++) script.frame(ask(protocol, "192.0.2.9", { sourcePort: i + 1 }));
  }
  script.frame(ask("tcp", "198.51.100.1"));
  assertEquals(reached(script), ["198.51.100.1:80"]);
  assertEquals(counted(script), { denied: 15 });
});

Deno.test("an ICMP error of a guest to a denied address is not answered by another", () => {
  const script = new NatScript({ rules: { deny: ["192.0.2.0/24"] } });
  const frame = ask("icmp", "192.0.2.9");
  // An echo request becomes destination unreachable, its checksum changed by as much.
  frame[34] = 3;
  frame[36] = frame[36]! + 5;
  script.frame(frame);
  assertEquals(counted(script), { icmpMalformed: 1 });
  assertEquals(script.takeIcmp(), []);
});
