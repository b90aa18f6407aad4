import { assert, assertEquals } from "@std/assert";
import { SCARCE_WINDOW } from "../../../nat/tcp/receive_side.ts";
import { EndpointScript, finish, pattern } from "../../support/endpoint_script.ts";

Deno.test("TcpEndpoint never moves its window's right edge back, whatever the user takes", () => {
  const script = new EndpointScript({ tcp: { receiveLimit: 20_000 } }).open(), start = script.seq;
  let edge = 0, seed = 7;
  script.user.budget = 0;
  for (let i = 0; i < 400; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const room = edge - ((script.seq - start) >>> 0);
    if (seed % 3 && room > 0) script.send({ payload: pattern(Math.min(room, 1 + seed % 1460)) });
    else if (script.endpoint.queued > 0) {
      script.consume(1 + seed % script.endpoint.queued);
    } else script.send();
    for (const { ack, window } of script.take()) {
      const right = ((ack - start) >>> 0) + window;
      assert(right >= edge, `${right} after ${edge}`);
      edge = right;
    }
    if (edge === 0) edge = 20_000;
  }
  assert(edge > 100_000, `only ${edge} bytes in all`);
  finish(script);
});

Deno.test("TcpEndpoint tells of room as soon as it is worth a segment, and not before (silly window avoidance)", () => {
  const script = new EndpointScript({ tcp: { receiveLimit: 8000 } }).open();
  script.user.budget = 0;
  for (let i = 0; i < 8; i++) script.send({ payload: pattern(1000) });
  assertEquals(script.take().at(-1)!.window, 0);
  for (let i = 0; i < 14; i++) script.consume(100);
  script.expectNothing();
  script.consume(100);
  script.expect({ window: 1500 });
  finish(script);
});

Deno.test("TcpEndpoint that answers a probe of its shut window takes no byte and says where it stands", () => {
  const script = new EndpointScript({ tcp: { receiveLimit: 1000 } }).open();
  script.user.budget = 0;
  script.send({ payload: pattern(1000) });
  script.take();
  for (let i = 0; i < 5; i++) {
    script.send({ payload: "x", seq: script.seq });
    script.expect({ ack: script.seq, window: 0 });
  }
  assertEquals(script.endpoint.queued, 1000);
  finish(script);
});

Deno.test("TcpEndpoint promises less while buffers are scarce, and keeps its earlier promise", () => {
  const script = new EndpointScript({ poolLimit: 400_000 }).open({ windowShift: 7 }), start = script.seq;
  script.user.budget = 0;
  const edge = () => {
    script.send();
    return 0;
  };
  edge();
  let right = 0;
  for (let sent = 0; sent < 300_000; sent += 1000) {
    script.send({ payload: pattern(1000, sent) });
    for (const { ack, window } of script.take()) {
      const now = ((ack - start) >>> 0) + window * 64;
      assert(now + 63 >= right, `${now} after ${right}`);
      right = Math.max(right, now);
    }
  }
  assertEquals(script.endpoint.queued, 300_000);
  assert(script.pool.isScarce);
  const before = right;
  script.consume(100_000);
  script.send();
  for (const { ack, window } of script.take()) right = Math.max(right, ((ack - start) >>> 0) + window * 64);
  assertEquals(right, before, "nothing new is promised while the old promise exceeds what is scarce");
  assert(before <= 2 << 20);
  assert(SCARCE_WINDOW < before);
  finish(script);
});

Deno.test("TcpEndpoint drops unacknowledged what full buffers cannot hold, and takes it when it comes again", () => {
  const script = new EndpointScript({ poolLimit: 20_000 }).open(), start = script.seq;
  script.user.budget = 0;
  const bytes = pattern(60_000);
  for (let sent = 0; sent < 60_000; sent += 1000) {
    script.send({ payload: bytes.subarray(sent, sent + 1000), seq: (start + sent) >>> 0 });
  }
  const held = script.endpoint.queued;
  assert(held >= 16_000 && held < 24_000, `${held} bytes`);
  assertEquals(script.take().at(-1)!.ack, (start + held) >>> 0);
  assert(script.drops.memoryLimit > 0);
  script.user.budget = Infinity;
  script.consume(held);
  for (let sent = held; sent < 60_000; sent += 1000) {
    script.send({ payload: bytes.subarray(sent, sent + 1000), seq: (start + sent) >>> 0 });
  }
  assertEquals(Uint8Array.from(script.user.received), bytes);
  script.take();
  finish(script);
});
