import { assert, assertEquals } from "@std/assert";
import { EndpointScript, finish, pattern } from "../../support/endpoint_script.ts";

const MSS = 1460, BURST = 65475;

function open(): EndpointScript {
  return new EndpointScript({ maxBurst: BURST }).open({ sackPermitted: true, windowShift: 7, window: 0x2000 });
}

Deno.test("TcpEndpoint hands a link that segments whole segments, many at once", () => {
  const script = open();
  script.write(pattern(60_000));
  const bursts = script.take();
  assert(bursts.length <= 2, `${bursts.length} bursts`);
  assertEquals(bursts[0]!.segmentSize, MSS);
  assertEquals(bursts.reduce((sum, { payload }) => sum + payload.length, 0), 60_000);
  finish(script);
});

Deno.test("TcpEndpoint repairs a hole inside a burst of 64 KiB with the hole alone", () => {
  const script = open();
  script.write(pattern(MSS * 40));
  const start = script.take()[0]!.seq, at = (n: number) => (start + n * MSS) >>> 0;
  script.send({ ack: at(7), sack: [at(9), at(40)], window: 0x2000 });
  const repeated = script.take();
  assertEquals(repeated.map(({ seq, payload }) => [seq, payload.length]), [[at(7), 2 * MSS]]);
  assertEquals(repeated[0]!.payload, pattern(2 * MSS, 7 * MSS));
  finish(script);
});

Deno.test("TcpEndpoint goes on from the middle of a burst, at whatever byte it was acknowledged", () => {
  for (const cut of [1, MSS - 1, MSS, MSS + 1, 30_001, MSS * 40 - 1]) {
    const script = open(), bytes = pattern(MSS * 40);
    script.write(bytes);
    script.ack = (script.take()[0]!.seq + cut) >>> 0;
    script.send({ window: 0x2000 });
    script.advance(1500);
    const all: number[] = [];
    for (let i = 0; i < 60 && cut + all.length < bytes.length; i++) {
      all.push(...script.receiveAll());
      script.send({ window: 0x2000 });
    }
    assertEquals(Uint8Array.from(all), bytes.subarray(cut), `cut at ${cut}`);
    script.take();
    finish(script);
  }
});
