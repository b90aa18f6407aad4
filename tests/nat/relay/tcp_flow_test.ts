import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { TcpRelay } from "../../../nat/relay/tcp_relay.ts";
import { bytesOf, NatScript } from "../../support/nat_script.ts";
import { relayTest } from "../../support/relay_cases.ts";

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 31 + (i >> 8));
}

function finish(script: NatScript): void {
  script.send({ flags: TCP_RST });
  script.take();
  script.assertEmpty();
}

relayTest("TcpRelay acknowledges in-order data once a turn, and out-of-order data at once", () => {
  const script = new NatScript(), socket = script.open({ sackPermitted: true });
  script.send({ payload: "one" });
  script.expect({ flags: TCP_ACK, ack: script.seq });
  script.expectNothing();
  const next = script.seq;
  script.send({ payload: "three", seq: (next + 3) >>> 0 });
  script.expect({ ack: next });
  script.send({ payload: "two" });
  script.seq = (next + 8) >>> 0;
  assertEquals(script.take().at(-1)!.ack, script.seq);
  assertEquals(socket.received, bytesOf("onetwothree"));
  script.send({ payload: "one", seq: (next - 3) >>> 0 });
  script.expect({ ack: script.seq });
  assertEquals(socket.received, bytesOf("onetwothree"));
  finish(script);
});

relayTest(
  "TcpRelay closes its window while the host stalls, never moves the edge back, and opens it when the host reads",
  () => {
    const script = new NatScript({ tcp: { receiveLimit: 20_000 } }), socket = script.open();
    socket.budget = 0;
    let edge = 0, sent = 0;
    const start = script.seq;
    for (let i = 0; i < 40; i++) {
      script.send({ payload: pattern(1000) });
      sent += 1000;
      for (const { ack, window } of script.take()) {
        const right = ((ack - start) >>> 0) + window;
        assert(right >= edge, `${right} after ${edge}`);
        edge = right;
      }
      if (sent + 1000 > edge) break;
    }
    assert(edge <= 20_000 + 1460 && sent >= 18_000, `edge ${edge}, sent ${sent}`);
    socket.budget = Infinity;
    script.host.run();
    const update = script.take().at(-1)!;
    assert(update.window > 10_000, `window ${update.window}`);
    assertEquals(socket.received.length, sent);
    finish(script);
  },
);

relayTest("TcpRelay keeps within the guest's window and sends on when it is acknowledged", () => {
  for (const window of [4096, 16384, 65535]) {
    const script = new NatScript(), socket = script.open({ window });
    const bytes = pattern(300_000);
    socket.hostSends(bytes);
    script.host.run();
    const got: number[] = [];
    for (let i = 0; i < 2000 && got.length < bytes.length; i++) {
      const before = script.ack, received = script.receiveAll();
      assert(received.length <= window, `${received.length} in flight`);
      assert(received.length > 0 || before === script.ack);
      got.push(...received);
      script.send({ window });
      script.host.run();
    }
    assertEquals(Uint8Array.from(got), bytes);
    finish(script);
  }
});

relayTest("TcpRelay probes a shut window for ten minutes, then every byte and the FIN arrive", () => {
  const script = new NatScript(), socket = script.open();
  script.send({ window: 0 });
  const bytes = pattern(5000);
  socket.hostSends(bytes);
  socket.hostEof();
  script.host.run();
  let probes = 0;
  for (let elapsed = 0; elapsed < 600_000; elapsed += 1000) {
    script.advance(1000);
    for (const segment of script.take()) {
      probes++;
      assert(segment.payload.length <= 1);
      script.send({ window: 0 });
    }
  }
  assert(probes >= 8 && probes < 60, `${probes} probes`);
  script.send({ window: 0xffff });
  const got: number[] = [];
  for (let i = 0; i < 50; i++) {
    got.push(...script.receiveAll());
    script.send({});
  }
  assertEquals(Uint8Array.from(got), bytes);
  assertEquals(script.state, "FIN-WAIT-2");
  script.send({ flags: TCP_FIN | TCP_ACK });
  script.advance(1001);
  script.take();
  script.assertEmpty();
});

relayTest("TcpRelay repeats lost data after its timeout, with backoff, and not after the ACK", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostSends("data");
  script.host.run();
  const first = script.expect({ payload: bytesOf("data") });
  script.advance(199);
  script.expectNothing();
  script.advance(3000);
  const again = script.take();
  assert(again.length >= 2 && again.length <= 4, `${again.length} repetitions`);
  for (const segment of again) assertEquals([segment.seq, segment.payload], [first.seq, bytesOf("data")]);
  script.ack = (first.seq + 4) >>> 0;
  script.send({});
  script.advance(100_000);
  script.expectNothing();
  assertEquals(script.nat.flows()[0]!.retransmissions, again.length);
  finish(script);
});

relayTest("TcpRelay repeats the missing segment at the third duplicate ACK", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostSends(pattern(1460 * 6));
  script.host.run();
  const segments = script.take();
  assertEquals(segments.length, 6);
  for (let i = 0; i < 3; i++) {
    script.expectNothing();
    script.send({ ack: segments[0]!.seq });
  }
  script.expect({ seq: segments[0]!.seq, payload: segments[0]!.payload });
  script.ack = (segments[5]!.seq + 1460) >>> 0;
  script.send({});
  finish(script);
});

relayTest("TcpRelay ends a guest that stays silent while data waits for its ACK", () => {
  const script = new NatScript(), socket = script.open();
  socket.hostSends("data");
  script.host.run();
  script.advance(119_000);
  assertEquals(script.state, "ESTABLISHED");
  script.advance(2_000);
  assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
  assertEquals(socket.wasReset, true);
  script.assertEmpty();
});

relayTest("TcpRelay lets an idle connection live, and probes it after two hours", () => {
  const script = new NatScript(), socket = script.open();
  script.advance(2 * 3600_000 - 1000);
  script.expectNothing();
  script.advance(2000);
  script.expect({ flags: TCP_ACK, seq: (script.ack - 1) >>> 0 });
  script.send({});
  script.advance(2 * 3600_000 - 10_000);
  script.expectNothing();
  script.advance(20_000 + 9 * 75_000);
  assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
  assertEquals(socket.wasReset, true);
  script.assertEmpty();
});

relayTest("TcpRelay asks the host once for a short read, and once more behind a full one", () => {
  const script = new NatScript(), socket = script.open({ windowShift: 7, window: 0x4000 });
  socket.hostSends("short");
  script.host.run();
  assertEquals(socket.asked.length, 1);
  script.receiveAll();
  script.send({ window: 0x4000 });
  socket.hostSends(pattern(socket.asked[0]!));
  script.host.run();
  assertEquals(socket.asked.length, 3);
  assertEquals(socket.unreadLength, 0);
  finish(script);
});

relayTest("TcpRelay.pathMtuChanged is news only if a segment would have been larger", () => {
  const script = new NatScript();
  script.open({ mss: 1460 });
  const [relay] = script.nat.registry.all();
  assert(relay instanceof TcpRelay);
  assertEquals([relay.pathMtuChanged(), relay.endpoint.send.record.mss], [false, 1460]);
  relay.endpoint.send.record.mss = 1461;
  assertEquals([relay.pathMtuChanged(), relay.endpoint.send.record.mss], [true, 1460]);
  finish(script);
});

relayTest(
  "TcpRelay gives a slow host what filled a gap after its own EOF, without a further segment of the guest",
  () => {
    // Short segments are written at once, longer ones together at the end of the turn.
    for (const length of [6, 600]) {
      for (const budget of [0, 3]) {
        const script = new NatScript(), socket = script.open({ sackPermitted: true }), bytes = pattern(2 * length);
        socket.hostEof();
        script.host.run();
        script.receiveAll();
        script.send({});
        assertEquals(script.state, "FIN-WAIT-2");
        socket.budget = budget;
        script.send({ payload: bytes.subarray(length), seq: (script.seq + length) >>> 0 });
        script.send({ payload: bytes.subarray(0, length) });
        assertEquals(socket.receivedLength, budget);
        socket.budget = Infinity;
        script.host.run();
        assertEquals(socket.received, bytes);
        script.seq = (script.seq + length) >>> 0;
        finish(script);
      }
    }
  },
);
