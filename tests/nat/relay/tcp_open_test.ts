import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { GUEST_ISN, NatScript } from "../../support/nat_script.ts";
import { relayTest } from "../../support/relay_cases.ts";

relayTest("TcpRelay answers SYN only after the host's connect succeeded, and absorbs repetitions", () => {
  const script = new NatScript();
  script.send({ flags: TCP_SYN, ack: 0 });
  script.send({ flags: TCP_SYN, ack: 0, seq: GUEST_ISN });
  script.expectNothing();
  assertEquals(script.state, "LISTEN");
  script.host.onlyConnect().accept();
  script.host.run();
  script.expect({ flags: TCP_SYN | TCP_ACK, ack: (GUEST_ISN + 1) >>> 0 });
  script.nat.close();
  script.take();
  script.assertEmpty();
});

relayTest(
  "TcpRelay refuses what the host refuses, after trying both of its loopback addresses for the gateway's",
  () => {
    const script = new NatScript();
    script.send({ flags: TCP_SYN, ack: 0 });
    const loopback = script.family === 4 ? ["127.0.0.1", "::1"] : ["::1", "127.0.0.1"];
    assertEquals(`${script.host.onlyConnect()}`.includes(loopback[0]!), true);
    script.host.onlyConnect().refuse();
    script.host.run();
    script.expectNothing();
    assertEquals(`${script.host.onlyConnect()}`.includes(loopback[1]!), true);
    script.host.onlyConnect().refuse();
    script.host.run();
    script.expect({ flags: TCP_RST | TCP_ACK, seq: 0, ack: script.seq });
    script.assertEmpty();
  },
);

relayTest("TcpRelay tells an unreachable host by ICMP, then RST", () => {
  // Type and code over IPv4 and over IPv6 (RFC 792, RFC 4443).
  const told = {
    networkUnreachable: { 4: [3, 0], 6: [1, 0] },
    hostUnreachable: { 4: [3, 1], 6: [1, 3] },
    timedOut: { 4: [3, 1], 6: [1, 3] },
    prohibited: { 4: [3, 13], 6: [1, 1] },
  } as const;
  for (const [error, by] of Object.entries(told)) {
    const script = new NatScript();
    script.send({ flags: TCP_SYN, ack: 0 });
    script.host.onlyConnect().refuse(error as keyof typeof told);
    script.host.run();
    const [type, code] = by[script.family];
    assertEquals(script.takeIcmp(), [{ type, code }], error);
    script.expect({ flags: TCP_RST | TCP_ACK });
    script.assertEmpty();
  }
});

relayTest("TcpRelay gives up a connect after ten seconds", () => {
  const script = new NatScript();
  script.send({ flags: TCP_SYN, ack: 0 });
  script.advance(9_990);
  script.expectNothing();
  script.advance(20);
  assertEquals(script.takeIcmp(), [script.family === 4 ? { type: 3, code: 1 } : { type: 1, code: 3 }]);
  script.expect({ flags: TCP_RST | TCP_ACK });
  script.assertEmpty();
});

relayTest("TcpRelay connects at once, however many others wait for hosts that never answer", () => {
  const script = new NatScript({ maxFlows: 1000 });
  for (let i = 0; i < 500; i++) script.send({ flags: TCP_SYN, ack: 0, port: 2000 + i });
  script.expectNothing();
  script.send({ flags: TCP_SYN, ack: 0, port: 1999 });
  script.host.pendingConnects.at(-1)!.accept();
  script.host.run();
  assertEquals(script.take().map(({ flags }) => flags), [TCP_SYN | TCP_ACK]);
  assertEquals(script.host.pendingConnects.length, 500);
  script.nat.close();
});

relayTest("TcpRelay repeats its SYN-ACK with backoff and gives a silent guest up", () => {
  const script = new NatScript();
  script.send({ flags: TCP_SYN, ack: 0 });
  const socket = script.host.onlyConnect();
  socket.accept();
  script.host.run();
  script.advance(7_500);
  assertEquals(script.take().filter((s) => s.flags === (TCP_SYN | TCP_ACK)).length, 4);
  script.advance(60_000);
  assertEquals(script.take().at(-1)?.flags, TCP_RST | TCP_ACK);
  assertEquals(socket.wasReset, true);
  script.assertEmpty();
});

relayTest("TcpRelay refuses flows beyond the limit and answers strays with RST", () => {
  const script = new NatScript();
  for (let port = 1; port <= 9; port++) script.send({ flags: TCP_SYN, ack: 0, seq: 5, port });
  script.expect({ flags: TCP_RST | TCP_ACK, seq: 0, ack: 6 });
  assertEquals(script.nat.counters.flowLimit, 1);
  script.send({ seq: 9, ack: 77, port: 10 });
  script.expect({ flags: TCP_RST, seq: 77 });
  script.send({ flags: TCP_RST, seq: 9, port: 10 });
  script.expectNothing();
  assertEquals(script.nat.counters.tcpStray, 2);
  script.nat.close();
  script.take();
  script.assertEmpty();
});

relayTest("TcpGuestOpening says that the host is out of descriptors, and of no other failure", () => {
  for (const [error, count] of [["exhausted", 1], ["hostUnreachable", 0]] as const) {
    const script = new NatScript();
    script.send({ flags: TCP_SYN, ack: 0 });
    script.host.onlyConnect().refuse(error);
    script.host.run();
    assertEquals([script.nat.counters.hostExhausted, script.warnings.length], [count, count]);
    if (count > 0) assert(script.warnings[0]!.includes("no descriptor, port or memory"), script.warnings[0]);
    script.take();
    script.assertEmpty();
  }
});
