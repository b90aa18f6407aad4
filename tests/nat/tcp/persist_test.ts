import { assert, assertEquals } from "@std/assert";
import { bytesOf } from "../../support/nat_script.ts";
import { EndpointScript, finish, pattern } from "../../support/endpoint_script.ts";

Deno.test("TcpEndpoint probes a shut window with one byte, with backoff, for as long as it is answered", () => {
  const script = new EndpointScript().open();
  script.send({ window: 0 });
  script.write("abc");
  const times: number[] = [], began = script.time;
  for (let ms = 0; ms < 3600_000; ms += 1000) {
    script.advance(1000);
    for (const { payload } of script.take()) {
      assertEquals(payload, bytesOf("a"));
      times.push((script.time - began) / 1000);
      script.send({ window: 0 });
    }
  }
  assert(times.length > 60 && times.length < 75, `${times.length} probes in an hour`);
  assert(times[0]! <= 2);
  assertEquals(script.state, "ESTABLISHED");
  finish(script);
});

Deno.test("TcpEndpoint gives up a shut window whose probes nobody answers", () => {
  const script = new EndpointScript().open();
  script.send({ window: 0 });
  script.write("abc");
  script.advance(125_000);
  assertEquals(script.user.ended, "timedOut");
  script.take();
  script.assertEmpty();
});

Deno.test("TcpEndpoint sends on at once when a shut window opens, and what the probe carried is not sent twice", () => {
  const script = new EndpointScript().open();
  script.send({ window: 0 });
  script.write("abcdef");
  script.advance(1500);
  const probe = script.take().at(-1)!;
  assertEquals(probe.payload, bytesOf("a"));
  script.ack = (probe.seq + 1) >>> 0;
  script.send({ window: 100 });
  script.expect({ seq: script.ack, payload: bytesOf("bcdef") });
  finish(script);
});

Deno.test("TcpEndpoint sends all of it when the window opens without having taken the probe", () => {
  const script = new EndpointScript().open();
  script.send({ window: 0 });
  script.write("abcdef");
  script.advance(1500);
  script.expect({ payload: bytesOf("a") });
  script.send({ window: 100 });
  assertEquals(script.receiveAll(), bytesOf("abcdef"));
  script.send();
  finish(script);
});

Deno.test("TcpEndpoint repeats at once what a window that shut behind it refused, when it opens", () => {
  const script = new EndpointScript().open({ window: 3000 });
  script.write(pattern(3000));
  const [first] = script.take();
  // The peer takes the first segment and has no room for the rest.
  script.ack = (first!.seq + 1460) >>> 0;
  script.send({ window: 0 });
  script.advance(100);
  script.send({ window: 3000 });
  assertEquals(script.receiveAll(), pattern(1540, 1460));
  finish(script);
});

Deno.test("TcpEndpoint sends no segment of a few bytes while more is under way (silly window avoidance)", () => {
  const script = new EndpointScript().open({ window: 2000 });
  script.write(pattern(10_000));
  assertEquals(script.take().map(({ payload }) => payload.length), [1460]);
  const lengths = [1460];
  for (let sent = 1460; sent < 10_000; sent += lengths.at(-1)!) {
    script.ack = (script.ack + lengths.at(-1)!) >>> 0;
    script.send({ window: 2000 });
    lengths.push(...script.take().map(({ payload }) => payload.length));
  }
  assertEquals(lengths, [1460, 1460, 1460, 1460, 1460, 1460, 1240]);
  finish(script);
});
