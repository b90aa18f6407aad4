import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { ForwardScript } from "../../support/forward_script.ts";
import { bytesOf, GUEST_MAC } from "../../support/nat_script.ts";

const FIN = TCP_FIN | TCP_ACK, SYN_ACK = TCP_SYN | TCP_ACK, RST_ACK = TCP_RST | TCP_ACK;

/** Registers a test for a guest of each family and a client of the same. */
function openingTest(name: string, body: (family: 4 | 6) => Promise<void>): void {
  for (const family of [4, 6] as const) Deno.test(`${name}, over IPv${family}`, () => body(family));
}

Deno.test("TcpHostOpening asks the guest at once, as the gateway for a client on loopback, with the client's port", async () => {
  const script = await ForwardScript.start("tcp:8080:80");
  script.connect("127.0.0.1:5000");
  script.expect({ flags: TCP_SYN, from: "10.0.2.2:5000", to: "10.0.2.15:80" });
  script.expectNothing();
  assertEquals(script.state, "SYN-SENT");
  script.nat.close();
  script.assertEmpty();
});

Deno.test("TcpHostOpening shows the guest a client's own address, and the gateway's for one that it could not answer", async () => {
  const seen = {
    "192.0.2.7:5000": "192.0.2.7:5000",
    "127.5.5.5:5000": "10.0.2.2:5000",
    "::1:5000": "10.0.2.2:5000",
    "2001:db8::7:5000": "10.0.2.2:5000",
    "10.0.2.15:5000": "10.0.2.2:5000",
    "10.0.2.77:5000": "10.0.2.2:5000",
    "::ffff:192.0.2.9:443": "192.0.2.9:443",
  };
  for (const [client, from] of Object.entries(seen)) {
    const script = await ForwardScript.start("tcp:[::]/8080:80");
    script.connect(client);
    script.expect({ flags: TCP_SYN, from });
    assertEquals(script.nat.flows()[0]!.openedBy, "host");
    script.nat.close();
  }
});

Deno.test("TcpHostOpening draws another port where the client's own is taken, by a client or by the guest itself", async () => {
  const script = await ForwardScript.start(["tcp:8080:80", "tcp:[::1]/8080:80"]);
  script.connect("127.0.0.1:5000");
  script.connect("::1:5000", 1);
  script.connect("192.0.2.1:5000");
  assertEquals(script.take().map(({ from }) => from), ["10.0.2.2:5000", "10.0.2.2:1031", "192.0.2.1:5000"]);
  // The guest's own connection from its port 80 to the gateway's port 6000.
  script.guestPort = 80;
  script.remotePort = 6000;
  script.send({ flags: TCP_SYN, ack: 0 });
  script.connect("127.0.0.1:6000");
  assertEquals(script.take().map(({ from }) => from), ["10.0.2.2:1032"]);
  script.nat.close();
});

openingTest(
  "TcpHostOpening reads nothing of the client before the guest's SYN-ACK, and then all of it",
  async (family) => {
    const script = await ForwardScript.start("tcp:8080:80", { family });
    const socket = script.connect();
    socket.hostSends("early");
    script.host.run();
    assertEquals([socket.interest, socket.unreadLength, socket.readableCalls], [0, 5, 0]);
    script.expectSyn();
    script.send({ flags: SYN_ACK });
    const [ack, data] = script.take();
    assertEquals([ack!.flags, ack!.payload.length], [TCP_ACK, 0]);
    assertEquals(data!.payload, bytesOf("early"));
    assertEquals(script.state, "ESTABLISHED");
    script.nat.close();
  },
);

openingTest("TcpHostOpening resets the client at once when the guest refuses", async (family) => {
  const script = await ForwardScript.start("tcp:8080:80", { family });
  const socket = script.connect();
  script.expectSyn();
  script.send({ flags: RST_ACK, seq: 0 });
  assertEquals([socket.wasReset, script.nat.endings.refusedByGuest], [true, 1]);
  script.expectNothing();
  script.assertEmpty();
});

openingTest(
  "TcpHostOpening repeats its SYN with backoff and resets the client of a silent guest after ten seconds",
  async (family) => {
    const script = await ForwardScript.start("tcp:8080:80", { family });
    const socket = script.connect();
    script.advance(7_500);
    assertEquals(script.take().map(({ flags }) => flags), [TCP_SYN, TCP_SYN, TCP_SYN, TCP_SYN]);
    assertEquals(socket.closed, false);
    script.advance(2_450);
    assertEquals(socket.closed, false);
    script.advance(100);
    assertEquals([socket.wasReset, script.nat.endings.guestSilent], [true, 1]);
    const ends = {
      4: "10.0.2.15:80 > 10.0.2.2:5000 to 127.0.0.1:5000",
      6: "[fd00::15]:80 > [fd00::2]:5000 to [::1]:5000",
    }[family];
    assertEquals(script.warnings, [`Flow tcp ${ends} ended: the guest does not answer`]);
    script.take();
    script.assertEmpty();
  },
);

openingTest("TcpHostOpening follows connectTimeoutMs", async (family) => {
  const script = await ForwardScript.start("tcp:8080:80", { family, tcp: { connectTimeoutMs: 1500 } });
  const socket = script.connect();
  script.advance(1490);
  assertEquals(socket.closed, false);
  script.advance(20);
  assertEquals(socket.wasReset, true);
  script.take();
  script.assertEmpty();
});

openingTest("TcpHostOpening ends at once when the client resets before the guest has answered", async (family) => {
  const script = await ForwardScript.start("tcp:8080:80", { family });
  const socket = script.connect();
  script.expectSyn();
  socket.hostResets();
  script.host.run();
  assertEquals([script.state, socket.closed, script.nat.endings.resetByHost], [null, true, 1]);
  script.expectNothing();
  script.send({ flags: SYN_ACK });
  script.expect({ flags: TCP_RST, seq: script.ack });
  script.assertEmpty();
});

openingTest("TcpHostOpening carries what a client said that has sent FIN before the guest answered", async (family) => {
  const script = await ForwardScript.start("tcp:8080:80", { family });
  const socket = script.connect();
  socket.hostSends("hello");
  socket.hostEof();
  script.host.run();
  script.expectSyn();
  script.send({ flags: SYN_ACK });
  assertEquals(script.receiveAll(), bytesOf("hello"));
  script.send({ payload: "bye" });
  script.send({ flags: FIN });
  assertEquals([socket.received, socket.endedInOrder], [bytesOf("bye"), true]);
  script.advance(1001);
  script.take();
  script.assertEmpty();
});

openingTest(
  "A forwarded flow that the guest half-closes carries the client's answer minutes later, whole",
  async (family) => {
    const script = await ForwardScript.start("tcp:8080:80", { family }), socket = script.openByClient();
    script.send({ flags: FIN, payload: "all I have" });
    assertEquals([socket.received, socket.closeWriteCalled, socket.closed], [bytesOf("all I have"), true, false]);
    script.receiveAll();
    script.advance(5 * 60_000);
    socket.hostSends("thanks");
    socket.hostEof();
    script.host.run();
    assertEquals(script.receiveAll(), bytesOf("thanks"));
    script.send({});
    assertEquals(socket.endedInOrder, true);
    script.assertEmpty();
  },
);

openingTest(
  "A forwarded flow that the client half-closes carries the guest's answer minutes later, whole",
  async (family) => {
    const script = await ForwardScript.start("tcp:8080:80", { family }), socket = script.openByClient();
    socket.hostSends("question");
    socket.hostEof();
    script.host.run();
    assertEquals(script.receiveAll(), bytesOf("question"));
    script.send({});
    assertEquals(script.state, "FIN-WAIT-2");
    script.advance(5 * 60_000);
    script.send({ flags: FIN, payload: "answer" });
    assertEquals([socket.received, socket.endedInOrder], [bytesOf("answer"), true]);
    script.advance(1001);
    script.take();
    script.assertEmpty();
  },
);

openingTest(
  "A forwarded flow passes resets on, the guest's at once and the client's after its last bytes",
  async (family) => {
    const first = await ForwardScript.start("tcp:8080:80", { family }), one = first.openByClient();
    first.send({ flags: TCP_RST });
    assertEquals(one.wasReset, true);
    first.assertEmpty();
    const second = await ForwardScript.start("tcp:8080:80", { family }), two = second.openByClient();
    two.hostSends("last words");
    two.hostResets();
    second.host.run();
    assertEquals(second.receiveAll(), bytesOf("last words"));
    second.send({});
    assertEquals(second.take().at(-1)!.flags & TCP_RST, TCP_RST);
    second.assertEmpty();
  },
);

Deno.test("A forwarded client whose port comes again while its last flow is in TIME-WAIT gets another port", async () => {
  const script = await ForwardScript.start("tcp:8080:80"), socket = script.openByClient("127.0.0.1:5000");
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send({ flags: FIN });
  script.take();
  assertEquals(script.state, "TIME-WAIT");
  script.connect("127.0.0.1:5000");
  script.expect({ flags: TCP_SYN, from: "10.0.2.2:1031" });
  script.nat.close();
});

Deno.test("Forwards beyond the limit of flows reset the client and count it", async () => {
  const script = await ForwardScript.start("tcp:8080:80", { maxFlows: 2 });
  const sockets = [1, 2, 3].map((port) => script.connect(`127.0.0.1:${port}`));
  assertEquals(sockets.map(({ wasReset }) => wasReset), [false, false, true]);
  assertEquals(script.nat.counters.flowLimit, 1);
  assert(script.warnings[0]!.includes("--max-flows"));
  script.nat.close();
});

Deno.test("A guest that takes the place of one that has not answered a client gets the next ones, at its own address", async () => {
  const script = await ForwardScript.start("tcp:8080:80");
  const socket = script.connect();
  script.take();
  // Another one has taken its place: other MAC, other address.
  script.guestMac = GUEST_MAC + 1;
  script.guestIp = 0x0a000214;
  script.sendArp(1);
  assertEquals([script.guest.mac, script.guest.address(4)?.ipv4], [GUEST_MAC + 1, 0x0a000214]);
  assertEquals(script.nat.counters.spoofedMac + script.nat.counters.spoofedAddress, 0);
  script.connect("127.0.0.1:5001");
  script.expect({ flags: TCP_SYN, to: "10.0.2.20:80" });
  script.nat.close();
  assertEquals(socket.wasReset, true);
  script.assertEmpty();
});
