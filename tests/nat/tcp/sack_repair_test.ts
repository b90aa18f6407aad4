import { assert, assertEquals } from "@std/assert";
import { EndpointScript, finish, type OwnSegment, pattern } from "../../support/endpoint_script.ts";

const MSS = 1460;

/** Ten segments under way to a peer that understands SACK. */
function tenUnderWay(): { script: EndpointScript; segments: OwnSegment[]; at: (n: number) => number } {
  const script = new EndpointScript().open({ sackPermitted: true });
  script.write(pattern(MSS * 10));
  const segments = script.take();
  assertEquals(segments.length, 10);
  return { script, segments, at: (n) => (segments[0]!.seq + n * MSS) >>> 0 };
}

Deno.test("TcpEndpoint repeats the holes below what SACK reports, each once (RFC 6675)", () => {
  const { script, segments, at } = tenUnderWay();
  // Missing: 0, 2 and 3.
  script.send({ ack: at(0), sack: [at(1), at(2)] });
  script.send({ ack: at(0), sack: [at(4), at(5), at(1), at(2)] });
  script.send({ ack: at(0), sack: [at(4), at(6), at(1), at(2)] });
  script.send({ ack: at(0), sack: [at(4), at(10), at(1), at(2)] });
  const repeated = script.take().map(({ seq, payload }) => [seq, payload]);
  assertEquals(repeated, [0, 2, 3].map((n) => [segments[n]!.seq, segments[n]!.payload]));
  assertEquals(script.endpoint.send.record.retransmissions, 3);
  script.ack = at(10);
  script.send();
  script.expectNothing();
  finish(script);
});

Deno.test("TcpEndpoint begins to repair once more than two segments are reported, without waiting for three ACKs", () => {
  const { script, segments, at } = tenUnderWay();
  script.send({ ack: at(0), sack: [at(1), at(4)] });
  script.expect({ seq: at(0), payload: segments[0]!.payload });
  finish(script);
});

Deno.test("TcpEndpoint repeats nothing for SACK blocks that make no sense", () => {
  const { script, at } = tenUnderWay();
  const nonsense = [
    [at(-3), at(-1)], // Below what is acknowledged: a duplicate report (RFC 2883).
    [at(11), at(14)], // Never sent.
    [at(5), at(3)], // Backwards.
    [at(4), at(4)], // Empty.
    [at(0), at(2)], // What the ACK itself denies.
    [(at(0) + 0x80000000) >>> 0, (at(1) + 0x80000000) >>> 0],
  ];
  for (const sack of nonsense) for (let i = 0; i < 2; i++) script.send({ ack: at(0), sack, window: 0xffff - i });
  assertEquals(script.take().filter(({ payload }) => payload.length > 0), []);
  finish(script);
});

Deno.test("TcpEndpoint halves its congestion window once for all losses of one window", () => {
  const { script, at } = tenUnderWay();
  const before = script.endpoint.send.congestion.bytes;
  script.send({ ack: at(0), sack: [at(1), at(5)] });
  const halved = script.endpoint.send.congestion.bytes;
  assertEquals(halved, 5 * MSS);
  assert(before > 10 * MSS);
  script.send({ ack: at(0), sack: [at(6), at(9), at(1), at(5)] });
  assertEquals(script.endpoint.send.congestion.bytes, halved);
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint forgets what was reported when a repetition of it times out twice: the peer may renege", () => {
  const { script, segments, at } = tenUnderWay();
  script.send({ ack: at(0), sack: [at(1), at(10)] });
  script.expect({ seq: at(0) });
  script.advance(20_000);
  const seqs = new Set(script.take().map(({ seq }) => seq));
  assert(seqs.has(segments[0]!.seq));
  script.ack = at(1);
  script.send();
  for (let i = 0; i < 40 && script.ack !== at(10); i++) {
    script.receiveAll();
    script.send();
    script.advance(2_000);
  }
  assertEquals(script.ack, at(10), "what was reported and forgotten came again");
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint repeats a repetition that was lost too, when what was sent after it is reported", () => {
  const script = new EndpointScript().open({ sackPermitted: true });
  script.write(pattern(MSS * 40));
  const first = script.take(), at = (n: number) => (first[0]!.seq + n * MSS) >>> 0;
  script.send({ ack: at(0), sack: [at(1), at(30)], window: 0xffff });
  const [repetition, ...fresh] = script.take();
  assertEquals(repetition!.seq, at(0));
  const sent = first.length + fresh.length;
  script.write(pattern(MSS * 10, MSS * 40));
  for (let n = 31; n <= 44; n++) script.send({ ack: at(0), sack: [at(1), at(n)] });
  const again = script.take().filter(({ seq }) => seq === at(0));
  assert(again.length >= 1, `${sent} segments were sent and the lost repetition not again`);
  finish(script);
});
