import { assertEquals } from "@std/assert";
import { TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { type Gatherer, Gathering } from "../../../nat/relay/gathering.ts";
import { NatScript } from "../../support/nat_script.ts";
import { relayTest } from "../../support/relay_cases.ts";

const MSS = 1460;

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 31 + (i >> 8));
}

/** Has the guest send `bytes` in full segments and `last` behind them, all in one turn. */
function sendInOneTurn(script: NatScript, bytes: Uint8Array, last: { flags?: number } = {}): void {
  for (let at = 0; at < bytes.length; at += MSS) {
    const payload = bytes.subarray(at, at + MSS);
    script.guest.receive(script.pointAt(script.segment({ payload, seq: (script.seq + at) >>> 0 })));
  }
  script.seq = (script.seq + bytes.length) >>> 0;
  script.send(last);
}

function finish(script: NatScript): void {
  script.send({ flags: TCP_RST });
  script.take();
  script.assertEmpty();
}

relayTest("TcpRelay gives the host the small segments of a turn in one write, and of more than 64 KiB in few", () => {
  for (const [count, writes] of [[1, 1], [20, 1], [44, 1], [45, 2], [100, 3]] as const) {
    const script = new NatScript(), socket = script.open(), bytes = pattern(count * MSS);
    sendInOneTurn(script, bytes);
    assertEquals([socket.writes, socket.received], [writes, bytes], `${count} segments`);
    finish(script);
  }
});

relayTest("TcpRelay gives the host a short segment at once, behind the longer ones before it in the turn", () => {
  const script = new NatScript(), socket = script.open(), bytes = pattern(2 * MSS + 100);
  for (let at = 0; at < bytes.length; at += MSS) {
    const payload = bytes.subarray(at, at + MSS);
    script.guest.receive(script.pointAt(script.segment({ payload, seq: (script.seq + at) >>> 0 })));
    assertEquals(socket.receivedLength, at < 2 * MSS ? 0 : bytes.length, `after the segment from ${at} on`);
  }
  assertEquals([socket.writes, socket.received], [2, bytes]);
  script.seq = (script.seq + bytes.length) >>> 0;
  finish(script);
});

relayTest("TcpRelay keeps a turn's bytes in order for a host that takes a piece of each write", () => {
  const script = new NatScript(), socket = script.open(), bytes = pattern(MSS + 100);
  socket.writeAtMost = 300;
  // A long segment, which is gathered, and a short one, which is not, behind what the host has left of it.
  sendInOneTurn(script, bytes);
  assertEquals(socket.received, bytes);
  finish(script);
});

relayTest("TcpRelay queues what the host does not take of a turn's segments, and gives it all in order", () => {
  for (const budget of [0, 1, 1000, MSS, 30_000, 65_536, 70_000]) {
    const script = new NatScript(), socket = script.open(), bytes = pattern(100 * MSS);
    socket.budget = budget;
    sendInOneTurn(script, bytes);
    assertEquals(socket.receivedLength, budget);
    const more = pattern(5000);
    sendInOneTurn(script, more);
    socket.budget = Infinity;
    script.host.run();
    assertEquals(socket.received, Uint8Array.from([...bytes, ...more]), `budget ${budget}`);
    finish(script);
  }
});

relayTest("TcpRelay writes a turn's segments before the guest's FIN in the same turn passes", () => {
  const script = new NatScript(), socket = script.open(), bytes = pattern(3 * MSS);
  sendInOneTurn(script, bytes, { flags: TCP_FIN | 0x10 });
  assertEquals([socket.received, socket.closeWriteCalled], [bytes, true]);
  finish(script);
});

relayTest("TcpRelay writes a turn's segments before the guest's RST in the same turn resets the host", () => {
  const script = new NatScript(), socket = script.open(), bytes = pattern(3 * MSS);
  sendInOneTurn(script, bytes, { flags: TCP_RST });
  assertEquals([socket.received, socket.wasReset], [bytes, true]);
  script.take();
  script.assertEmpty();
});

relayTest("TcpRelay writes a turn's segments before the flows of a guest that goes in the same turn end", () => {
  const script = new NatScript(), socket = script.open(), bytes = pattern(3 * MSS);
  for (let at = 0; at < bytes.length; at += MSS) {
    const payload = bytes.subarray(at, at + MSS);
    script.guest.receive(script.pointAt(script.segment({ payload, seq: (script.seq + at) >>> 0 })));
  }
  script.nat.detach(script.guest);
  assertEquals(socket.received, bytes);
});

relayTest("TcpRelay leaves what a broken host connection cannot take", () => {
  const script = new NatScript(), socket = script.open();
  sendInOneTurn(script, pattern(2 * MSS));
  socket.hostResets();
  script.host.run();
  sendInOneTurn(script, pattern(2 * MSS));
  assertEquals(socket.receivedLength, 2 * MSS);
  script.take();
  script.assertEmpty();
});

relayTest("TcpRelay drops what the host does not take while memory is full, which it must not have gathered", () => {
  const script = new NatScript({ maxBufferBytes: 1 }), socket = script.open(), start = script.seq;
  socket.budget = MSS + 10;
  sendInOneTurn(script, pattern(3 * MSS));
  assertEquals([socket.receivedLength, script.nat.counters.memoryLimit], [MSS + 10, 2]);
  script.seq = (start + MSS + 10) >>> 0;
  finish(script);
});

Deno.test("Gathering gives each owner its own bytes, and makes room for another by a flush", () => {
  const gathering = new Gathering(), taken: string[] = [];
  const owner = (name: string): Gatherer => ({
    takeGathered: (bytes, end) => void taken.push(`${name} ${[...bytes.subarray(0, end)]}`),
  });
  const one = owner("one"), other = owner("other"), bytes = Uint8Array.of(9, 1, 2, 3, 9);
  gathering.add(one, bytes, 1, 3);
  gathering.add(one, bytes, 3, 4);
  assertEquals([gathering.hasRoom(one, 65_533), gathering.hasRoom(one, 65_534), gathering.hasRoom(other, 1)], [
    true,
    false,
    false,
  ]);
  gathering.flushOf(other);
  assertEquals(taken, []);
  gathering.flush();
  gathering.flush();
  gathering.add(other, bytes, 0, 1);
  gathering.flushOf(other);
  assertEquals(taken, ["one 1,2,3", "other 9"]);
});
