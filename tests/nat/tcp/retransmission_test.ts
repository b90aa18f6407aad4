import { assert, assertEquals } from "@std/assert";
import { RTO_MAX_MS } from "../../../nat/tcp/rtt.ts";
import { bytesOf } from "../../support/nat_script.ts";
import { EndpointScript, finish, pattern } from "../../support/endpoint_script.ts";

/** When something was sent, in milliseconds from now, while `ms` pass. */
function timesOfSending(script: EndpointScript, ms: number): number[] {
  const times: number[] = [], began = script.time;
  for (let i = 0; i < ms; i += 10) {
    script.advance(10);
    for (const _ of script.take()) times.push(script.time - began);
  }
  return times;
}

Deno.test("TcpEndpoint repeats the oldest data after 200 ms at the earliest, then with doubled pauses", () => {
  const script = new EndpointScript().open();
  script.write("one");
  script.receiveAll();
  script.send();
  script.write("two");
  script.take();
  const times = timesOfSending(script, 7000);
  assertEquals(times.map((time) => Math.round(time / 100)), [2, 6, 14, 30, 62]);
  finish(script);
});

Deno.test("TcpEndpoint waits as long as the round trip takes (RFC 6298 section 2)", () => {
  const script = new EndpointScript().open();
  // The handshake took no time, so the first answer comes after two repetitions and cannot be timed; the next ones can.
  for (let i = 0; i < 20; i++) {
    script.write("x");
    script.advance(500);
    assertEquals(script.take().length, i === 0 ? 2 : 1, `repetitions in round ${i}`);
    script.ack = (script.ack + 1) >>> 0;
    script.send();
  }
  assert(script.endpoint.send.rtt.srttMs > 400);
  script.write("y");
  script.take();
  const [first] = timesOfSending(script, 2000);
  assert(first! > 500 && first! < 1500, `repeated after ${first} ms`);
  finish(script);
});

Deno.test("TcpEndpoint times no segment that was sent twice (Karn)", () => {
  const script = new EndpointScript().open();
  script.write("x");
  script.advance(5000);
  script.receiveAll();
  const before = script.endpoint.send.rtt.srttMs;
  script.send();
  assertEquals(script.endpoint.send.rtt.srttMs, before);
  finish(script);
});

Deno.test("TcpEndpoint never waits longer than a minute between two repetitions", () => {
  const script = new EndpointScript({ tcp: { userTimeoutMs: 600_000 } }).open();
  script.write("x");
  const times = timesOfSending(script, 400_000);
  const pauses = times.slice(1).map((time, i) => time - times[i]!);
  assert(Math.max(...pauses) <= RTO_MAX_MS + 10, `${pauses}`);
  assert(pauses.filter((pause) => pause >= RTO_MAX_MS - 10).length >= 2, `${pauses}`);
  finish(script);
});

Deno.test("TcpEndpoint repeats what an ACK leaves over, a whole segment cut where the ACK cuts it", () => {
  const script = new EndpointScript().open();
  script.write("abcdefgh");
  const { seq } = script.expect();
  script.ack = (seq + 3) >>> 0;
  script.send();
  script.advance(1500);
  const again = script.take()[0]!;
  assertEquals([again.seq, again.payload], [script.ack, bytesOf("defgh")]);
  finish(script);
});

Deno.test("TcpEndpoint repeats the missing segment at the third duplicate ACK, and no other (RFC 5681 section 3.2)", () => {
  const script = new EndpointScript().open();
  script.write(pattern(1460 * 6));
  const segments = script.take();
  assertEquals(segments.length, 6);
  for (let i = 0; i < 3; i++) {
    script.expectNothing();
    script.send({ ack: segments[0]!.seq });
  }
  script.expect({ seq: segments[0]!.seq, payload: segments[0]!.payload });
  script.expectNothing();
  finish(script);
});

Deno.test("TcpEndpoint takes a window update or data for no duplicate ACK", () => {
  const script = new EndpointScript().open();
  script.write(pattern(1460 * 4));
  const { seq } = script.take()[0]!;
  for (let i = 1; i <= 4; i++) script.send({ ack: seq, window: 60_000 + i });
  for (let i = 1; i <= 4; i++) script.send({ ack: seq, payload: "data" });
  assertEquals(script.take().filter(({ payload }) => payload.length > 0), []);
  finish(script);
});

Deno.test("TcpEndpoint without SACK repeats each next hole at a partial ACK (RFC 6582 section 3.2)", () => {
  const script = new EndpointScript().open();
  script.write(pattern(1460 * 8));
  const segments = script.take();
  for (let i = 0; i < 3; i++) script.send({ ack: segments[0]!.seq });
  script.expect({ seq: segments[0]!.seq });
  // The fourth is missing too.
  script.send({ ack: segments[3]!.seq });
  script.expect({ seq: segments[3]!.seq, payload: segments[3]!.payload });
  script.ack = (segments[7]!.seq + 1460) >>> 0;
  script.send();
  script.take();
  finish(script);
});
