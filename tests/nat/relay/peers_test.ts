import { assertEquals } from "@std/assert";
import type { EventOf, GatewayEvent } from "../../../nat/flow/events.ts";
import { MAX_PEERS } from "../../../nat/relay/peers.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { endpoint } from "../../support/forward_script.ts";
import { ask } from "../../support/frames.ts";
import { bind, listOf, nameRule } from "../../support/name_rules.ts";
import { NatScript } from "../../support/nat_script.ts";

function watched(options: ConstructorParameters<typeof NatScript>[0] = {}) {
  const script = new NatScript(options), events: GatewayEvent[] = [];
  script.nat.events.listen((_type, make) => void events.push(make()));
  const of = <T extends GatewayEvent["type"]>(type: T) => events.filter((event) => event.type === type) as EventOf<T>[];
  return { script, events, of };
}

Deno.test("each destination of a UDP mapping is a peer with a number, bytes and an end of its own", () => {
  const { script, events, of } = watched();
  script.frame(script.datagram("hello", { port: 53, address: parseIpv4("192.0.2.1") }));
  script.frame(script.datagram("you", { port: 54, address: parseIpv4("192.0.2.2") }));
  script.host.udpSockets[0]!.hostSends("an answer", endpoint("192.0.2.2:54"));
  script.host.run();
  script.advance(5);
  script.nat.close();
  const facts = { protocol: "udp", guestNumber: 1, guest: "10.0.2.15:40000", names: [], rule: null, wouldRefuse: null };
  const first = { ...facts, number: 2, address: "192.0.2.1", port: 53, host: "192.0.2.1:53" };
  const second = { ...facts, number: 3, address: "192.0.2.2", port: 54, host: "192.0.2.2:54" };
  assertEquals(of("peerOpened"), [{ type: "peerOpened", ...first }, { type: "peerOpened", ...second }] as never);
  const [later, earlier] = of("peerEnded");
  const end = { type: "peerEnded", ending: "gatewayClosed" };
  assertEquals(
    earlier,
    { ...end, ...first, bytesFromGuest: 5, bytesToGuest: 0, durationMs: earlier!.durationMs } as never,
  );
  assertEquals(
    later,
    { ...end, ...second, bytesFromGuest: 3, bytesToGuest: 9, durationMs: later!.durationMs } as never,
  );
  assertEquals(later!.durationMs >= 5, true);
  // The mapping is one flow, with the bytes of both.
  const [flow] = of("flowEnded");
  assertEquals([flow!.flow.number, flow!.flow.bytesFromGuest, flow!.flow.bytesToGuest], [1, 8, 9]);
  assertEquals(structuredClone(events), events);
  script.assertEmpty();
});

Deno.test("an echo mapping's destinations are peers too, with what they were asked and have answered", () => {
  const { script, of } = watched();
  script.frame(ask("icmp", "192.0.2.1"));
  script.nat.close();
  assertEquals(of("peerOpened").map(({ protocol, address, port, host }) => [protocol, address, port, host]), [
    ["icmp", "192.0.2.1", 0, "192.0.2.1"],
  ]);
  assertEquals(of("peerEnded").map(({ ending }) => ending), ["gatewayClosed"]);
  script.assertEmpty();
});

Deno.test("the peer asked longest ago ends when it makes room, and the mapping when it is unused", () => {
  const { script, of } = watched();
  for (let i = 0; i < MAX_PEERS + 2; i++) script.frame(script.datagram("x", { port: 1000 + i }));
  assertEquals(of("peerEnded").map(({ port, ending }) => [port, ending]), [[1000, "evicted"], [1001, "evicted"]]);
  script.advance(130_000);
  const opened = of("peerOpened").map(({ number }) => number), ended = of("peerEnded").map(({ number }) => number);
  assertEquals(ended.toSorted((a, b) => a - b), opened);
  assertEquals(of("peerEnded").at(-1)!.ending, "idle");
  script.assertEmpty();
});

Deno.test("a peer holds the binding that allowed it until it ends", () => {
  const list = listOf(nameRule("allow", "time.example", { protocol: "udp" })),
    { script, of } = watched({
      rules: { egress: list },
    });
  const names = () => script.guest.bindings.of(script.host.udpSockets[0]!.sent[0]!.to.address, script.nat.now()).length;
  bind(script.guest.bindings, "192.0.2.7", "time.example", script.nat.now());
  for (let i = 0; i < 240; i++) {
    script.frame(script.datagram("x", { port: 123, address: parseIpv4("192.0.2.7") }));
    script.advance(20_000);
  }
  assertEquals([of("peerOpened").length, names()], [1, 1]);
  script.advance(130_000);
  assertEquals(names(), 0);
  script.assertEmpty();
});

Deno.test("other rules end the peers that they do not allow, and nothing comes from these any more", () => {
  const { script, of } = watched();
  for (const [address, port] of [["192.0.2.1", 53], ["192.0.2.2", 53]] as const) {
    script.frame(script.datagram("x", { port, address: parseIpv4(address) }));
  }
  assertEquals(script.nat.replaceRules(listOf("192.0.2.2")), 1);
  assertEquals(of("peerEnded").map(({ address, ending }) => [address, ending]), [["192.0.2.1", "rulesChanged"]]);
  for (const address of ["192.0.2.1", "192.0.2.2"]) {
    script.host.udpSockets[0]!.hostSends("late", endpoint(`${address}:53`));
  }
  script.host.run();
  assertEquals(script.takeUdp().map(({ remote }) => remote), ["192.0.2.2:53"]);
  assertEquals(script.nat.counters.udpUnasked, 1);
  script.frame(script.datagram("x", { port: 53, address: parseIpv4("192.0.2.1") }));
  assertEquals(of("flowRefused").map(({ cause }) => cause), ["notAllowed"]);
  script.nat.close();
  script.takeIcmp();
  script.assertEmpty();
});
