import { assert, assertEquals } from "@std/assert";
import { TCP_FIN } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish, pattern } from "../../support/endpoint_script.ts";

const FIN = TCP_FIN | 16;
const BYTES = pattern(5000);

/** Ten minutes in which the peer answers whatever comes with a shut window. */
function tenMinutesShut(script: EndpointScript): number {
  let probes = 0;
  for (let ms = 0; ms < 600_000; ms += 500) {
    script.advance(500);
    for (const { payload } of script.take()) {
      assert(payload.length <= 1, `${payload.length} bytes into a shut window`);
      probes++;
      script.send({ window: 0 });
    }
  }
  return probes;
}

function receiveEverything(script: EndpointScript): Uint8Array {
  const all: number[] = [];
  for (let i = 0; i < 50; i++) {
    all.push(...script.receiveAll());
    script.send();
  }
  return Uint8Array.from(all);
}

const WAYS = [
  { state: "FIN-WAIT-1", peerFirst: false, crossing: false, after: "FIN-WAIT-2" },
  { state: "CLOSING", peerFirst: false, crossing: true, after: "TIME-WAIT" },
  { state: "LAST-ACK", peerFirst: true, crossing: false, after: "CLOSED" },
] as const;

for (const { state, peerFirst, crossing, after } of WAYS) {
  Deno.test(`TcpEndpoint in ${state} keeps bytes and FIN through ten minutes of a shut window`, () => {
    const script = new EndpointScript().open();
    script.send(peerFirst ? { flags: FIN, window: 0 } : { window: 0 });
    script.take();
    script.write(BYTES);
    script.closeWrite();
    if (crossing) script.send({ flags: FIN, window: 0 });
    script.take();
    assertEquals(script.state, state);
    const probes = tenMinutesShut(script);
    assert(probes >= 8 && probes < 60, `${probes} probes`);
    assertEquals(script.state, state);
    script.send({ window: 0xffff });
    assertEquals(receiveEverything(script), BYTES);
    assertEquals(script.state, after);
    finish(script);
  });

  Deno.test(`TcpEndpoint in ${state} keeps a FIN without bytes through ten minutes of a shut window`, () => {
    const script = new EndpointScript().open();
    script.send(peerFirst ? { flags: FIN, window: 0 } : { window: 0 });
    script.take();
    script.closeWrite();
    if (crossing) script.send({ flags: FIN, window: 0 });
    const seen = script.take();
    assertEquals(script.state, state);
    for (let ms = 0; ms < 600_000; ms += 500) {
      script.advance(500);
      const segments = script.take();
      seen.push(...segments);
      for (const _ of segments) script.send({ window: 0 });
    }
    assert(seen.some(({ flags }) => flags & TCP_FIN), "the FIN is what probes the window");
    assertEquals(script.state, state);
    script.send({ window: 0xffff });
    receiveEverything(script);
    script.ack = (seen.find(({ flags }) => flags & TCP_FIN)!.seq + 1) >>> 0;
    script.send();
    assertEquals(script.state, after);
    finish(script);
  });
}
