import { assertEquals, assertMatch } from "@std/assert";
import type { EventOf, GatewayEvent } from "../../../nat/flow/events.ts";
import type { Rule } from "../../../nat/rules/rule.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { TCP_ACK, TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { helloFor } from "../../support/client_hellos.ts";
import { bind, listOf, nameRule } from "../../support/name_rules.ts";
import { NatScript } from "../../support/nat_script.ts";

const SERVER = "192.0.2.7";
const registry = nameRule("allow", "registry.example"), deny = nameRule("deny", "evil.example");

/** A flow to the server at `port`, which has the names `registry.example` and `other.example`. */
function flowTo(
  port: number,
  rules: readonly (Rule | string)[],
  options: ConstructorParameters<typeof NatScript>[0] = {},
) {
  const script = new NatScript({ ...options, rules: { egress: listOf(...rules) } }), events: GatewayEvent[] = [];
  script.nat.events.listen((_type, make) => void events.push(make()));
  for (const name of ["registry.example", "other.example"]) bind(script.guest.bindings, SERVER, name, script.nat.now());
  script.remoteIp = parseIpv4(SERVER);
  script.remotePort = port;
  const of = <T extends GatewayEvent["type"]>(type: T) => events.filter((event) => event.type === type) as EventOf<T>[];
  return { script, socket: script.open(), of, types: () => events.map(({ type }) => type) };
}

Deno.test("a flow that says the name by which it is allowed goes through, and is verified", () => {
  for (
    const [port, bytes, via] of [
      [443, helloFor("registry.example"), "sni"],
      [80, "GET / HTTP/1.1\r\nHost: Registry.Example.:80\r\n\r\n", "host"],
    ] as const
  ) {
    const { script, socket, of, types } = flowTo(port, [registry]);
    script.send({ payload: bytes });
    assertEquals(socket.received.length, bytes.length);
    const event = { type: "flowVerified", number: 1, guestNumber: 1, via, name: "registry.example", port, ech: false };
    assertEquals(of("flowVerified"), [event] as never);
    script.nat.close();
    assertEquals(types(), ["flowOpened", "flowVerified", "flowEnded", "guestDetached"]);
    script.take();
    script.assertEmpty();
  }
});

Deno.test("a flow that says another name of the same address is reset both ways, and told of under its number", () => {
  for (
    const [port, bytes, ending] of [
      [443, helloFor("other.example"), "sniRefused"],
      [80, "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", "hostRefused"],
    ] as const
  ) {
    const { script, socket, of, types } = flowTo(port, [registry]);
    script.send({ payload: bytes });
    assertEquals(script.take().filter(({ flags }) => flags & TCP_RST).length, 1);
    assertEquals([socket.wasReset, socket.received.length], [true, 0]);
    assertEquals(types(), ["flowOpened", "flowRefused", "flowEnded"]);
    const [refused] = of("flowRefused");
    assertEquals([refused!.cause, refused!.flow, refused!.name, refused!.reason, refused!.wouldRefuse], [
      ending,
      1,
      "other.example",
      null,
      undefined,
    ]);
    assertEquals([of("flowEnded")[0]!.ending, script.nat.endings[ending]], [ending, 1]);
    assertMatch(script.warnings[0]!, /^Refused tcp .* of guest 1: its .* names other\.example, which no rule allows/);
    assertEquals(script.nat.registry.totals.refused, 1);
    script.assertEmpty();
  }
});

Deno.test("a flow that says no name passes by its binding alone, and strict ends it as unverified", () => {
  const lax = flowTo(22, [registry]);
  lax.script.send({ payload: "SSH-2.0-x\r\n" });
  assertEquals([lax.socket.received.length, lax.of("flowVerified")], [11, []]);
  lax.script.nat.close();
  const strict = flowTo(22, [registry], { strictNames: true });
  strict.script.send({ payload: "SSH-2.0-x\r\n" });
  assertEquals(strict.of("flowEnded").map(({ ending }) => ending), ["unverified"]);
  assertEquals(strict.of("flowRefused").map(({ cause, flow }) => [cause, flow]), [["unverified", 1]]);
  strict.script.take();
  strict.script.assertEmpty();
  const said = nameRule("allow", "registry.example", { unverified: true });
  const unverified = flowTo(22, [said], { strictNames: true });
  unverified.script.send({ payload: helloFor("other.example") });
  assertEquals([unverified.socket.received.length > 0, unverified.of("flowVerified")], [true, []]);
  unverified.script.nat.close();
});

Deno.test("what nothing but a denied name concerns is watched for that one", () => {
  for (const rules of [[deny], [SERVER, deny]]) {
    const good = flowTo(443, rules);
    good.script.send({ payload: helloFor("unknown.example") });
    assertEquals(good.socket.received.length > 0, true);
    good.script.nat.close();
    const evil = flowTo(443, rules);
    evil.script.send({ payload: helloFor("evil.example") });
    assertEquals(evil.of("flowRefused").map(({ cause, name, ruleDecided }) => [cause, name, ruleDecided?.text]), [
      ["sniRefused", "evil.example", "deny evil.example"],
    ]);
    evil.script.take();
    evil.script.assertEmpty();
  }
});

Deno.test("a report refuses no stream, and says what it would have refused and what was said", () => {
  const { script, socket, of } = flowTo(443, [registry], { reportOnly: true }), hello = helloFor("other.example");
  script.send({ payload: hello });
  assertEquals(socket.received.length, hello.length);
  assertEquals(of("flowRefused").map(({ cause, flow, wouldRefuse }) => [cause, flow, wouldRefuse]), [
    ["sniRefused", 1, true],
  ]);
  assertEquals(of("flowVerified").map(({ name }) => name), ["other.example"]);
  assertEquals(script.nat.registry.totals.refused, 0);
  script.nat.close();
  const unbound = flowTo(443, [nameRule("allow", "elsewhere.example")], { reportOnly: true });
  unbound.script.send({ payload: helloFor("registry.example") });
  assertEquals(unbound.of("flowOpened")[0]!.wouldRefuse?.cause, "notAllowed");
  assertEquals(unbound.of("flowVerified").map(({ name }) => name), ["registry.example"], "for a list to be learnt");
  unbound.script.nat.close();
});

Deno.test("the judge goes by the rules as they are when the stream speaks", () => {
  const { script, of } = flowTo(443, [registry, nameRule("allow", "other.example")]);
  script.nat.replaceRules(listOf(nameRule("allow", "other.example")));
  assertEquals(of("flowEnded"), [], "the address has a name that is allowed, and the stream has said nothing");
  script.send({ payload: helloFor("registry.example") });
  assertEquals(of("flowEnded").map(({ ending }) => ending), ["sniRefused"]);
  script.take();
  script.assertEmpty();
});

Deno.test("a flow that ends before it has said a name is nobody's refusal", () => {
  const { script, of } = flowTo(443, [registry]);
  script.send({ flags: TCP_RST });
  assertEquals([of("flowRefused"), of("flowEnded").map(({ ending }) => ending)], [[], ["resetByGuest"]]);
  script.assertEmpty();
  const half = flowTo(443, [registry]), hello = helloFor("registry.example");
  half.script.send({ flags: TCP_FIN | TCP_ACK, payload: hello.subarray(0, 20) });
  assertEquals(half.of("flowEnded").map(({ ending }) => ending), ["sniRefused"]);
  half.script.take();
  half.script.assertEmpty();
});

Deno.test("a name that only a wildcard allows opens nothing near, though another name of the address is allowed", () => {
  const rules = [nameRule("allow", "exact.example"), nameRule("allow", "*.wild.example")];
  for (const [name, isOpen] of [["exact.example", true], ["a.wild.example", false]] as const) {
    const script = new NatScript({ rules: { egress: listOf(...rules) } });
    for (const each of ["exact.example", "a.wild.example"]) {
      bind(script.guest.bindings, "10.9.8.7", each, script.nat.now());
    }
    script.remoteIp = parseIpv4("10.9.8.7");
    const socket = script.open();
    script.send({ payload: helloFor(name) });
    assertEquals([socket.receivedLength > 0, socket.wasReset], [isOpen, !isOpen], name);
  }
});
