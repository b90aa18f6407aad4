import { assert, assertEquals } from "@std/assert";
import { MSS_DEFAULT, MSS_MIN } from "../../../nat/tcp/handshake.ts";
import { TCP_ACK, TCP_SYN } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish, OWN_ISN, pattern, type PeerSegment } from "../../support/endpoint_script.ts";

/** The SYN-ACK for a SYN, and the longest segment that then comes. */
function answer(
  syn: PeerSegment,
  maxSegmentSize = 1460,
): { synAck: ReturnType<EndpointScript["expect"]>; mss: number } {
  const script = new EndpointScript({ maxSegmentSize });
  script.receiveSyn(syn);
  script.endpoint.accept(OWN_ISN);
  const synAck = script.expect({ flags: TCP_SYN | TCP_ACK });
  script.ack = (synAck.seq + 1) >>> 0;
  script.send();
  script.write(pattern(40_000));
  const mss = Math.max(...script.take().map(({ payload }) => payload.length));
  finish(script);
  return { synAck, mss };
}

Deno.test("TcpEndpoint sends no segment longer than the peer's MSS and its own link", () => {
  assertEquals(answer({ mss: 1000 }).mss, 1000);
  assertEquals(answer({ mss: 9000 }).mss, 1460);
  assertEquals(answer({ mss: 65535 }, 8960).mss, 8960);
});

Deno.test("TcpEndpoint takes a missing MSS for 536 (RFC 9293 section 3.7.1)", () => {
  assertEquals(answer({ mss: -1 }).mss, MSS_DEFAULT);
});

Deno.test("TcpEndpoint believes no MSS that would make a segment of every few bytes", () => {
  for (const mss of [0, 1, 20, MSS_MIN - 1]) assertEquals(answer({ mss }).mss, MSS_MIN, `MSS ${mss}`);
  assertEquals(answer({ mss: MSS_MIN }).mss, MSS_MIN);
});

Deno.test("TcpEndpoint offers in its SYN-ACK what the SYN offered, and its own MSS", () => {
  const bare = answer({}).synAck, full = answer({ windowShift: 7, sackPermitted: true }).synAck;
  assertEquals([bare.mss, bare.windowShift, bare.sackPermitted], [1460, -1, false]);
  assertEquals([full.mss, full.windowShift, full.sackPermitted], [1460, 6, true]);
  assert(full.window <= 0xffff, "the window of a SYN is not scaled");
});

Deno.test("TcpEndpoint takes a window shift over 14 for 14 (RFC 7323 section 2.3)", () => {
  const script = new EndpointScript();
  script.receiveSyn({ options: [3, 3, 200, 1] });
  script.endpoint.accept(OWN_ISN);
  script.ack = (script.expect().seq + 1) >>> 0;
  script.send({ window: 2 });
  assertEquals(script.endpoint.send.record.window, 2 << 14);
  finish(script);
});

Deno.test("TcpEndpoint scales no window unless both sides have said so", () => {
  const script = new EndpointScript().open();
  script.send({ window: 1000 });
  assertEquals([script.endpoint.send.record.window, script.endpoint.receive.record.shift], [1000, 0]);
  const active = new EndpointScript().connect();
  active.send({ flags: TCP_SYN | TCP_ACK, mss: 1460 });
  active.send({ window: 1000 });
  assertEquals([active.endpoint.send.record.window, active.endpoint.receive.record.shift], [1000, 0]);
  active.take();
  finish(script);
  finish(active);
});

Deno.test("TcpEndpoint heeds no MSS, window scale or SACK-permitted outside a SYN", () => {
  const script = new EndpointScript().open();
  script.send({ mss: 100, windowShift: 3, sackPermitted: true, window: 5000 });
  assertEquals([script.endpoint.send.record.mss, script.endpoint.send.record.window], [1460, 5000]);
  assertEquals(script.endpoint.send.record.sackPermitted, false);
  finish(script);
});

/** Options that are malformed or unknown: none may throw, open a wrong window or be read past the header. */
const MALFORMED: readonly number[][] = [
  [2, 0, 0, 0], // A length of 0 would never end.
  [2, 1, 5, 0xb4],
  [2, 2, 0, 0],
  [2, 3, 5, 0],
  [2, 40, 5, 0xb4], // A length past the header.
  [3, 3, 7, 2],
  [2, 4, 5], // Cut off.
  [5, 10, 1, 2],
  [5, 0, 0, 0],
  [253, 4, 1, 2],
  [255, 255, 255, 255],
  [1, 1, 1, 1, 1, 1, 1, 2],
  Array(40).fill(1),
  Array(40).fill(2),
  [0, 2, 4, 1, 1, 1, 1, 1], // Nothing counts after the end of the list.
];

Deno.test("TcpEndpoint opens with malformed options as if they were not there, and falls for none later", () => {
  for (const options of MALFORMED) {
    const padded = [...options, ...Array((4 - options.length % 4) % 4).fill(0)];
    const script = new EndpointScript();
    script.receiveSyn({ options: padded });
    script.endpoint.accept(OWN_ISN);
    script.ack = (script.expect().seq + 1) >>> 0;
    script.send({ options: padded });
    assertEquals(script.state, "ESTABLISHED", `${options}`);
    assert(script.endpoint.send.record.mss >= MSS_MIN);
    script.send({ options: padded, payload: "data" });
    assertEquals(script.user.text, "data", `${options}`);
    script.take();
    finish(script);
  }
});

Deno.test("TcpEndpoint takes a new SYN for the connection's beginning while it has not answered the first", () => {
  const script = new EndpointScript();
  script.receiveSyn({ mss: 1000 });
  script.send({ flags: TCP_SYN, ack: 0, seq: 77, mss: 700 });
  script.endpoint.accept(OWN_ISN);
  script.expect({ flags: TCP_SYN | TCP_ACK, ack: 78 });
  assertEquals(script.endpoint.send.record.mss, 700);
  finish(script);
});

Deno.test("TcpEndpoint repeats its SYN-ACK for a SYN that comes again", () => {
  const script = new EndpointScript();
  script.receiveSyn();
  script.endpoint.accept(OWN_ISN);
  const first = script.expect({ flags: TCP_SYN | TCP_ACK });
  script.send({ flags: TCP_SYN, ack: 0, seq: (script.seq - 1) >>> 0, mss: 1460 });
  assertEquals(script.expect({ flags: TCP_SYN | TCP_ACK }), first);
  assertEquals(script.drops.tcpRepeated, 1);
  finish(script);
});
