import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish, scriptIn } from "../../support/endpoint_script.ts";

const FIN = TCP_FIN | TCP_ACK;

for (const state of ["FIN-WAIT-1", "CLOSING", "LAST-ACK"] as const) {
  Deno.test(`TcpEndpoint in ${state} repeats its FIN with backoff until an ACK covers it`, () => {
    const script = scriptIn(state), times: number[] = [], began = script.time;
    for (let ms = 0; ms < 15_000; ms += 100) {
      script.advance(100);
      for (const segment of script.take()) {
        assertEquals([segment.flags, segment.seq, segment.payload.length], [FIN, script.ack, 0]);
        times.push(script.time - began);
      }
    }
    assert(times.length >= 4 && times.length <= 8, `repeated at ${times}`);
    const pauses = times.slice(1).map((time, i) => time - times[i]!);
    for (let i = 1; i < pauses.length; i++) assert(pauses[i]! > pauses[i - 1]! * 1.7, `pauses ${pauses}`);
    script.send();
    assertEquals(script.state, state, "an ACK of what came before the FIN is not one of the FIN");
    script.ack = (script.ack + 1) >>> 0;
    script.send();
    script.expectNothing();
    assertEquals(script.state, { "FIN-WAIT-1": "FIN-WAIT-2", "CLOSING": "TIME-WAIT", "LAST-ACK": "CLOSED" }[state]);
    finish(script);
  });

  Deno.test(`TcpEndpoint in ${state} challenges an ACK for more than its FIN, and is not moved by it`, () => {
    const script = scriptIn(state);
    script.send({ ack: (script.ack + 2) >>> 0 });
    script.expect({ flags: TCP_ACK });
    assertEquals([script.state, script.drops.tcpAckUnacceptable], [state, 1]);
    finish(script);
  });
}

Deno.test("TcpEndpoint sends its FIN once, however often it is asked to close", () => {
  const script = new EndpointScript().open();
  script.closeWrite();
  script.closeWrite();
  script.expect({ flags: FIN });
  script.expectNothing();
  script.write("too late");
  script.expectNothing();
  finish(script);
});

Deno.test("TcpEndpoint lets its FIN ride on the last data, and repeats both as one", () => {
  const script = new EndpointScript().open({ window: 4 });
  script.write("abcdefgh");
  script.closeWrite();
  script.expect({ payload: new TextEncoder().encode("abcd") });
  script.ack = (script.ack + 4) >>> 0;
  script.send({ window: 100 });
  const last = script.expect({ flags: FIN | 8, payload: new TextEncoder().encode("efgh") });
  script.advance(1100);
  script.expect({ flags: last.flags, seq: last.seq, payload: last.payload });
  script.take();
  script.ack = (script.ack + 5) >>> 0;
  script.send({ window: 100 });
  assertEquals(script.state, "FIN-WAIT-2");
  finish(script);
});
