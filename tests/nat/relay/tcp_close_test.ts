import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { bytesOf, NatScript } from "../../support/nat_script.ts";
import { relayTest } from "../../support/relay_cases.ts";

const FIN = TCP_FIN | TCP_ACK;

function receiveAndAck(script: NatScript): Uint8Array {
  const bytes = script.receiveAll();
  script.send({});
  return bytes;
}

relayTest("TcpRelay half-closed by the guest carries an answer that begins five minutes later, whole", () => {
  const script = new NatScript(), socket = script.open();
  script.send({ flags: FIN, payload: "question" });
  assertEquals(socket.received, bytesOf("question"));
  assertEquals([socket.closeWriteCalled, socket.closed, script.state], [true, false, "CLOSE-WAIT"]);
  script.receiveAll();
  script.advance(5 * 60_000);
  assertEquals(script.state, "CLOSE-WAIT");
  socket.hostSends("answer");
  script.host.run();
  assertEquals(receiveAndAck(script), bytesOf("answer"));
  socket.hostEof();
  script.host.run();
  assertEquals(script.state, "LAST-ACK");
  script.receiveAll();
  script.send({});
  assertEquals(socket.endedInOrder, true);
  script.assertEmpty();
});

relayTest("TcpRelay half-closed by the host carries what the guest still says, whole", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostSends("all of it");
  socket.hostEof();
  script.host.run();
  assertEquals(receiveAndAck(script), bytesOf("all of it"));
  assertEquals(script.state, "FIN-WAIT-2");
  script.advance(5 * 60_000);
  script.send({ payload: "thanks" });
  script.send({ flags: FIN, payload: " and bye" });
  assertEquals(socket.received, bytesOf("thanks and bye"));
  assertEquals([socket.endedInOrder, script.state], [true, "TIME-WAIT"]);
  script.advance(1001);
  script.take();
  script.assertEmpty();
});

relayTest("TcpRelay whose FINs cross goes through CLOSING", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostEof();
  script.host.run();
  script.send({ flags: FIN });
  assertEquals(script.state, "CLOSING");
  script.receiveAll();
  script.send({});
  assertEquals([script.state, socket.endedInOrder], ["TIME-WAIT", true]);
  script.advance(1001);
  script.take();
  script.assertEmpty();
});

relayTest("TcpRelay repeats its FIN with backoff, and only an ACK that covers it ends LAST-ACK", () => {
  const script = new NatScript(), socket = script.open();
  script.send({ flags: FIN });
  script.take();
  socket.hostEof();
  script.host.run();
  const fin = script.expect({ flags: FIN });
  script.advance(900);
  const again = script.take();
  assert(again.length >= 1 && again.every((s) => s.flags === FIN && s.seq === fin.seq));
  script.send({ ack: fin.seq });
  assertEquals(script.state, "LAST-ACK");
  script.send({ ack: (fin.seq + 1) >>> 0 });
  script.take();
  script.assertEmpty();
});

relayTest("TcpRelay gives a guest up that is silent for 60 s in LAST-ACK, with its name in the log", () => {
  const script = new NatScript(), socket = script.open();
  script.send({ flags: FIN });
  socket.hostEof();
  script.host.run();
  const fin = script.take().at(-1)!;
  script.advance(50_000);
  script.send({ ack: fin.seq });
  script.advance(59_000);
  assertEquals(script.state, "LAST-ACK", "an acceptable segment starts the clock again");
  script.advance(1_500);
  script.take();
  assertEquals(script.warnings.length, 1);
  assert(script.warnings[0]!.includes(script.guestText));
  script.assertEmpty();
});

relayTest("TcpRelay holds an early FIN until the gap before it is filled", () => {
  const script = new NatScript(), socket = script.open({ sackPermitted: true });
  const start = script.seq;
  script.send({ flags: FIN, payload: "world", seq: (start + 6) >>> 0 });
  assertEquals(script.state, "ESTABLISHED");
  script.expect({ flags: TCP_ACK, ack: start });
  script.send({ payload: "hello ", seq: start });
  assertEquals(socket.received, bytesOf("hello world"));
  assertEquals([script.state, socket.closeWriteCalled], ["CLOSE-WAIT", true]);
  script.seq = (start + 12) >>> 0;
  script.take();
  script.send({ flags: FIN, seq: (start + 11) >>> 0 });
  script.expect({ flags: TCP_ACK, ack: script.seq });
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send({});
  script.assertEmpty();
});

relayTest("TcpRelay resets the host at the guest's exact RST, and challenges one that is only in the window", () => {
  const script = new NatScript(), socket = script.open();
  script.send({ flags: TCP_RST, seq: (script.seq + 100) >>> 0 });
  script.expect({ flags: TCP_ACK, ack: script.seq });
  script.send({ flags: TCP_SYN, seq: (script.seq + 1) >>> 0 });
  script.expect({ flags: TCP_ACK, ack: script.seq });
  assertEquals(script.state, "ESTABLISHED");
  script.send({ flags: TCP_RST });
  assertEquals(socket.wasReset, true);
  script.expectNothing();
  script.assertEmpty();
});

relayTest("TcpRelay delivers what was read before the host's reset, then RST", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostSends("last words");
  socket.hostResets();
  script.host.run();
  const [data] = script.take();
  assertEquals(data!.payload, bytesOf("last words"));
  script.ack = (script.ack + 10) >>> 0;
  script.send({});
  assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
  script.assertEmpty();
});

relayTest(
  "TcpRelay drains to a slow host long after its endpoint is gone, and a new SYN opens a new flow meanwhile",
  () => {
    const script = new NatScript(), socket = script.open();
    socket.budget = 0;
    script.send({ flags: FIN, payload: "x".repeat(1000) });
    socket.hostEof();
    script.host.run();
    script.receiveAll();
    script.send({});
    assertEquals(script.state, "draining");
    script.advance(10 * 60_000);
    script.take();
    assertEquals([script.state, socket.closed], ["draining", false]);
    script.send({ flags: TCP_SYN, ack: 0, seq: 1 });
    assertEquals(script.nat.flows().map((flow) => flow.state).sort(), ["LISTEN", "draining"]);
    script.host.onlyConnect().refuse();
    script.host.run();
    script.host.onlyConnect().refuse();
    script.host.run();
    script.take();
    socket.budget = Infinity;
    script.host.run();
    assertEquals([socket.received.length, socket.endedInOrder], [1000, true]);
    script.assertEmpty();
  },
);

relayTest("TcpRelay in TIME-WAIT yields to a later SYN and not to an older one", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send({ flags: FIN });
  script.take();
  assertEquals(script.state, "TIME-WAIT");
  script.send({ flags: TCP_SYN, ack: 0, seq: (script.seq - 100) >>> 0 });
  assertEquals(script.state, "TIME-WAIT");
  script.send({ flags: TCP_SYN, ack: 0, seq: (script.seq + 100) >>> 0 });
  assertEquals(script.state, "LISTEN");
  script.nat.close();
  script.take();
  script.assertEmpty();
});

relayTest("TcpRelay tells the guest of a reset that it meets only when the guest makes room", () => {
  const script = new NatScript(), socket = script.open({ window: 4 });
  socket.hostSends("0123456789");
  script.host.run();
  assertEquals(script.receiveAll().length, 4);
  socket.hostResets();
  script.host.run();
  script.send({ window: 6 });
  assertEquals(script.receiveAll().length, 6);
  script.send({});
  assertEquals(script.take().map((segment) => segment.flags & TCP_RST), [TCP_RST]);
  script.assertEmpty();
});
