import { assertEquals } from "@std/assert";
import { FLOW_ENDINGS, type FlowEnding } from "../../../nat/flow/endings.ts";
import type { HostError } from "../../../nat/host.ts";
import { MAX_MAPPINGS } from "../../../nat/relay/mappings.ts";
import { UDP_QUERY_MS } from "../../../nat/relay/udp_relay.ts";
import { createRuleList } from "../../../rules/read.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { NatScript } from "../../support/nat_script.ts";

const FIN = TCP_FIN | TCP_ACK;

/** Lets the only connect fail; the gateway's address has a second target, which is refused too. */
function connectFails(script: NatScript, error: HostError): void {
  script.send({ flags: TCP_SYN, ack: 0 });
  while (script.host.pendingConnects.length > 0) {
    script.host.onlyConnect().refuse(error);
    script.host.run();
  }
}

/** Each plays one flow to its end. */
const FATES: readonly [FlowEnding, string, (script: NatScript) => void][] = [
  ["guestFirst", "the guest's FIN before the host's EOF", (script) => {
    const socket = script.open();
    script.send({ flags: FIN });
    socket.hostEof();
    script.host.run();
    script.receiveAll();
    script.send({});
  }],
  ["guestFirst", "a relay that drains after its endpoint is gone", (script) => {
    const socket = script.open();
    socket.budget = 0;
    script.send({ flags: FIN, payload: "late" });
    socket.hostEof();
    script.host.run();
    script.receiveAll();
    script.send({});
    assertEquals([script.state, script.nat.endings.guestFirst], ["draining", 0]);
    socket.budget = Infinity;
    script.host.run();
  }],
  ["hostFirst", "the host's EOF before the guest's FIN", (script) => {
    script.open().hostEof();
    script.host.run();
    script.receiveAll();
    script.send({});
    script.send({ flags: FIN });
    script.advance(1001);
  }],
  ["hostFirst", "TIME-WAIT that yields to a new SYN", (script) => {
    script.open().hostEof();
    script.host.run();
    script.receiveAll();
    script.send({ flags: FIN });
    script.send({ flags: TCP_SYN, ack: 0, seq: (script.seq + 100) >>> 0 });
    assertEquals(script.nat.endings.hostFirst, 1);
    script.send({ flags: TCP_RST, seq: (script.seq + 101) >>> 0 });
    assertEquals(script.nat.endings.resetByGuest, 1);
    script.nat.endings.resetByGuest = 0;
  }],
  ["hostFirst", "TIME-WAIT that the gateway's end cuts short", (script) => {
    script.open().hostEof();
    script.host.run();
    script.receiveAll();
    script.send({ flags: FIN });
    script.nat.close();
  }],
  ["bothAtOnce", "FINs that cross", (script) => {
    script.open().hostEof();
    script.host.run();
    script.send({ flags: FIN });
    script.receiveAll();
    script.send({});
    script.advance(1001);
  }],
  ["resetByGuest", "the guest's RST", (script) => {
    script.open();
    script.send({ flags: TCP_RST });
  }],
  ["resetByGuest", "the guest's RST before the host has answered", (script) => {
    script.send({ flags: TCP_SYN, ack: 0 });
    script.send({ flags: TCP_RST });
  }],
  ["resetByHost", "the host's reset", (script) => {
    script.open().hostResets();
    script.host.run();
  }],
  ["resetByHost", "the host's reset, and the guest's RST while the last bytes wait for their ACK", (script) => {
    const socket = script.open();
    socket.hostSends("last words");
    socket.hostResets();
    script.host.run();
    script.send({ flags: TCP_RST });
  }],
  ["resetByHost", "the host's reset while the relay drains", (script) => {
    const socket = script.open();
    socket.budget = 0;
    script.send({ flags: FIN, payload: "lost" });
    socket.hostEof();
    script.host.run();
    script.receiveAll();
    script.send({});
    socket.hostResets();
    script.host.run();
  }],
  ["resetByHost", "a connect that is reset", (script) => connectFails(script, "reset")],
  ["refusedByHost", "a connect that every target refuses", (script) => connectFails(script, "refused")],
  ["unreachable", "no route", (script) => connectFails(script, "networkUnreachable")],
  ["unreachable", "no host", (script) => connectFails(script, "hostUnreachable")],
  ["unreachable", "a firewall of the host", (script) => connectFails(script, "prohibited")],
  ["unreachable", "an error without a class", (script) => connectFails(script, "other")],
  ["connectTimedOut", "a connect that the host's kernel gives up", (script) => connectFails(script, "timedOut")],
  ["connectTimedOut", "a connect that the gateway gives up", (script) => {
    script.send({ flags: TCP_SYN, ack: 0 });
    script.advance(10_010);
  }],
  ["hostExhausted", "a host out of descriptors", (script) => connectFails(script, "exhausted")],
  ["guestSilent", "a guest that acknowledges nothing", (script) => {
    script.open().hostSends("anyone?");
    script.host.run();
    script.advance(130_000);
  }],
  ["guestGone", "a link that ends", (script) => {
    script.open();
    script.nat.detach(script.guest);
    script.nat.turn();
  }],
  ["gatewayClosed", "a gateway that is closed", (script) => {
    script.open();
    script.nat.close();
  }],
  ["gatewayClosed", "a gateway that is closed while a relay drains", (script) => {
    const socket = script.open();
    socket.budget = 0;
    script.send({ flags: FIN, payload: "cut off" });
    socket.hostEof();
    script.host.run();
    script.receiveAll();
    script.send({});
    script.nat.close();
  }],
  ["guestGone", "a gateway that is closed while a relay drains whose guest is gone", (script) => {
    script.open().budget = 0;
    script.send({ payload: "cut off" });
    script.nat.detach(script.guest);
    script.nat.turn();
    assertEquals(script.nat.flowCount, 1);
    script.nat.close();
  }],
  ...(["sniRefused", "hostRefused", "unverified"] as const).map((
    ending,
  ): [FlowEnding, string, (script: NatScript) => void] => [ending, "what stands before the host says so", (script) => {
    const socket = Object.assign(script.open(), { endsAs: ending });
    socket.hostResets();
    script.host.run();
  }]),
  ["rulesChanged", "other rules that do not allow it", (script) => {
    script.open();
    assertEquals(script.nat.replaceRules(createRuleList({ deny: ["10.0.2.2"] })), 1);
    script.nat.turn();
  }],
  ["rulesChanged", "other rules while the host has not answered", (script) => {
    script.send({ flags: TCP_SYN, ack: 0 });
    assertEquals(script.nat.replaceRules(createRuleList({ allow: ["192.0.2.1"] })), 1);
    script.nat.turn();
  }],
  ["idle", "a mapping that nobody used for 30 s", (script) => {
    script.frame(script.datagram("question", { port: 53 }));
    script.advance(UDP_QUERY_MS + 10);
  }],
  ["guestGone", "a mapping whose guest is gone", (script) => {
    script.frame(script.datagram("question", { port: 53 }));
    script.nat.detach(script.guest);
    script.nat.turn();
  }],
];

for (const [ending, cause, play] of FATES) {
  Deno.test(`Nat counts a flow's ending once, as ${ending}: ${cause}`, () => {
    const script = new NatScript();
    play(script);
    script.take();
    assertEquals(Object.entries(script.nat.endings).filter(([, count]) => count !== 0), [[ending, 1]]);
    script.assertEmpty();
  });
}

Deno.test("Nat counts the mappings that made room for others as evicted", () => {
  const script = new NatScript();
  for (let i = 0; i < MAX_MAPPINGS + 3; i++) script.frame(script.datagram("x", { port: 53, from: 1024 + i }));
  assertEquals([script.nat.endings.evicted, script.nat.flowCount], [3, MAX_MAPPINGS]);
  script.nat.close();
  assertEquals(script.nat.endings.gatewayClosed, MAX_MAPPINGS);
  script.assertEmpty();
});

Deno.test("Nat counts a flow of which no record can be written, though it seemed so, as auditUnavailable", () => {
  const records = { isAvailable: true }, script = new NatScript({ records });
  script.nat.events.listen((type) => {
    if (type === "flowOpened" || type === "peerOpened") records.isAvailable = false;
  });
  script.send({ flags: TCP_SYN, ack: 0 });
  assertEquals(script.take().map(({ flags }) => flags), [TCP_RST | TCP_ACK]);
  records.isAvailable = true;
  script.frame(script.datagram("x", { port: 53 }));
  assertEquals([script.nat.endings.auditUnavailable, script.nat.counters.auditUnavailable], [2, 2]);
  assertEquals(script.host.sockets.length + script.host.udpSockets.length, 0);
  script.assertEmpty();
});

Deno.test("every ending has a fate that leads to it", () => {
  // Those of forwards are played in their own tests.
  const elsewhere = ["evicted", "refusedByGuest", "forwardRemoved", "auditUnavailable"];
  const played = new Set<string>([...FATES.map(([ending]) => ending), ...elsewhere]);
  assertEquals(Object.keys(FLOW_ENDINGS).filter((ending) => !played.has(ending)), []);
});
