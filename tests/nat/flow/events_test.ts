import { assert, assertEquals, assertMatch } from "@std/assert";
import { type EventListener, Events, type GatewayEvent } from "../../../nat/flow/events.ts";
import type { FlowInfo } from "../../../nat/flow/flow.ts";
import { DHCP_DISCOVER, DHCP_REQUEST, encodeDhcpv4 } from "../../../net/wire/dhcpv4.ts";
import { TCP_ACK, TCP_FIN, TCP_SYN } from "../../../net/wire/tcp.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { dnsQuery } from "../../support/dns_messages.ts";
import { GUEST_MAC, NatScript } from "../../support/nat_script.ts";

/** What is told of an answer that no rule concerned. */

/** A script and the events that it causes. */
function watched(
  options: ConstructorParameters<typeof NatScript>[0] = {},
): { script: NatScript; events: GatewayEvent[] } {
  const script = new NatScript(options), events: GatewayEvent[] = [];
  script.nat.events.listen((_type, make) => void events.push(make()));
  return { script, events };
}

Deno.test("Events makes the data once for all listeners, and not at all for those that do not want it", () => {
  const events = new Events(), seen: unknown[] = [];
  let made = 0;
  const emit = () =>
    events.emit("forwardAdded", () => {
      made++;
      return { type: "forwardAdded", forward: "x" };
    });
  emit();
  assertEquals(made, 0);
  const listeners: EventListener[] = [
    (type) => seen.push(type),
    (_type, make) => seen.push(make()),
    (_type, make) => seen.push(make()),
  ];
  const removers = listeners.map((listener) => events.listen(listener));
  emit();
  const event = { type: "forwardAdded", forward: "x" };
  assertEquals([made, seen.splice(0)], [1, ["forwardAdded", event, event]]);
  for (const remove of removers.slice(1)) remove();
  emit();
  assertEquals([made, seen], [1, ["forwardAdded"]]);
});

Deno.test("a TCP flow is an event when it begins and one when it ends, under one number, with its bytes", () => {
  const { script, events } = watched(), socket = script.open();
  script.send({ flags: TCP_FIN | TCP_ACK, payload: "hello" });
  socket.hostSends("answer");
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send({});
  assertEquals(events.map((event) => event.type), ["flowOpened", "flowEnded"]);
  const [opened, ended] = events as [
    Extract<GatewayEvent, { type: "flowOpened" }>,
    Extract<GatewayEvent, { type: "flowEnded" }>,
  ];
  assertEquals([opened.flow.number, opened.flow.host, ended.flow.number], [1, "127.0.0.1:80", 1]);
  assertEquals([ended.ending, ended.flow.bytesFromGuest, ended.flow.bytesToGuest], ["guestFirst", 5, 6]);
  // Data is plain: another thread may have it.
  assertEquals(structuredClone(events), events);
});

Deno.test("every flow that was opened has ended once the gateway is closed, whatever became of it", () => {
  const { script, events } = watched({ maxFlows: 100 });
  for (let port = 1; port < 20; port++) {
    script.send({ flags: TCP_SYN, ack: 0, port, seq: 1 });
    script.frame(script.datagram("x", { port: 9, from: port }));
  }
  for (const [i, socket] of script.host.sockets.entries()) {
    if (i % 3 === 0) socket.refuse();
    else if (i % 3 === 1) socket.accept();
  }
  script.host.run();
  script.nat.close();
  const numbers = (type: GatewayEvent["type"]) =>
    events.flatMap((event) => event.type === type && "flow" in event ? [(event.flow as FlowInfo).number] : []).sort((
      a,
      b,
    ) => a - b);
  assertEquals(numbers("flowOpened").length, 38);
  assertEquals(numbers("flowEnded"), numbers("flowOpened"));
});

Deno.test("a refusal names guest, target, counter and rule, and is no flow", () => {
  const { script, events } = watched({ rules: { deny: ["192.0.2.0/24"] } });
  script.frame(script.datagram("x", { port: 53, address: parseIpv4("192.0.2.1"), from: 4000 }));
  assertEquals(events, [{
    type: "flowRefused",
    guestNumber: 1,
    protocol: "udp",
    guest: "10.0.2.15:4000",
    target: "192.0.2.1:53",
    address: "192.0.2.1",
    port: 53,
    cause: "rule",
    rule: "deny 192.0.2.0/24",
    ruleDecided: script.nat.rules.egress.rules[0]!,
    names: [],
    reason: "denied",
  }]);
  assertEquals(script.nat.registry.totals, { flows: 0, refused: 1, bytesFromGuest: 0, bytesToGuest: 0 });
});

Deno.test("a question and its answer are events; bytes of a name that are no letters cannot pass for others", () => {
  const { script, events } = watched({ rules: { dnsServers: [] } });
  script.sendUdp({ payload: dnsQuery("Host.Hawser.internal A", { id: 7 }), guestPort: 5000, remote: "10.0.2.3:53" });
  const facts = { guestNumber: 1, name: "host.hawser.internal", recordType: 1, via: "udp" } as const;
  const answer = { rcode: 0, decision: "local", rule: null, addresses: ["10.0.2.2"], cnames: [], removed: [] } as const;
  assertEquals(events.splice(0), [{ type: "dnsAsked", ...facts }, { type: "dnsAnswered", ...facts, ...answer }]);
  const odd = dnsQuery("a.test AAAA", { id: 7 });
  // The label is a dot.
  odd[13] = 0x2e;
  script.sendUdp({ payload: odd, guestPort: 5000, remote: "10.0.2.3:53" });
  const named = events.map((event) => "recordType" in event ? [event.type, event.name, event.recordType] : []);
  assertEquals(named, [["dnsAsked", "\\046.test", 28], ["dnsAnswered", "\\046.test", 28]]);
  assertEquals((events[1] as Extract<GatewayEvent, { type: "dnsAnswered" }>).rcode, 2);
});

Deno.test("guests, leases and forwards come and go as events, and a guest's totals outlive its flows", () => {
  const { script, events } = watched();
  const ask = (fields: { messageType: number; requestedAddress?: number; serverId?: number }) => {
    const bytes = new Uint8Array(600),
      length = encodeDhcpv4(bytes, 0, { operation: 1, transactionId: 1, clientMac: GUEST_MAC, ...fields });
    script.guestIp = 0;
    script.frame(script.datagram(bytes.subarray(0, length), { port: 67, from: 68, address: 0xffffffff }));
    script.guestIp = parseIpv4("10.0.2.15");
  };
  ask({ messageType: DHCP_DISCOVER });
  ask({ messageType: DHCP_REQUEST, requestedAddress: parseIpv4("10.0.2.15"), serverId: parseIpv4("10.0.2.2") });
  assertEquals(events.splice(0).map((event) => event.type), ["leaseGiven"]);
  const forward = { name: "tcp 127.0.0.1:8080 -> 80", guestAddress: null, guestPort: 80 };
  script.nat.forwards.add(forward);
  script.nat.forwards.remove(forward, { reset: true });
  script.nat.forwards.remove(forward, { reset: true });
  assertEquals(events.splice(0), [
    { type: "forwardAdded", forward: forward.name },
    { type: "forwardRemoved", forward: forward.name },
  ]);
  script.open();
  script.send({ payload: "hello" });
  const other = script.nat.attach({ name: "other", mtu: 1500, offload: false, send: () => true, flush() {} });
  script.nat.detach(script.guest);
  const last = events.at(-1)!;
  assert(last.type === "guestDetached");
  assertEquals([last.guestNumber, last.link], [1, "script"]);
  assertEquals(last.totals, { flows: 1, refused: 0, bytesFromGuest: 5, bytesToGuest: 0 });
  assertEquals(script.nat.registry.totals, last.totals);
  assertEquals(script.nat.registry.totalsOf(other), { flows: 0, refused: 0, bytesFromGuest: 0, bytesToGuest: 0 });
  assertMatch(events.map((event) => event.type).join(" "), /^flowOpened guestAttached flowEnded guestDetached$/);
});
