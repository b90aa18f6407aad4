import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { CHALLENGES_PER_SECOND } from "../../../nat/tcp/transmitter.ts";
import { EndpointScript, finish, scriptIn } from "../../support/endpoint_script.ts";

for (const state of ["FIN-WAIT-1", "CLOSING", "LAST-ACK"] as const) {
  Deno.test(`TcpEndpoint in ${state} gives a peer up that is silent for 60 s from the FIN's first transmission`, () => {
    const script = scriptIn(state);
    script.advance(59_900);
    assertEquals([script.state, script.user.ended], [state, undefined]);
    script.advance(200);
    assertEquals([script.state, script.user.ended], ["CLOSED", "timedOut"]);
    assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
    script.assertEmpty();
  });

  Deno.test(`TcpEndpoint in ${state} counts the 60 s anew from every acceptable segment`, () => {
    const script = scriptIn(state);
    for (let i = 0; i < 5; i++) {
      script.advance(55_000);
      assertEquals(script.state, state);
      script.take();
      script.send();
    }
    script.advance(59_000);
    assertEquals(script.state, state);
    script.advance(2_000);
    assertEquals([script.state, script.user.ended], ["CLOSED", "timedOut"]);
    script.take();
    script.assertEmpty();
  });
}

for (const state of ["ESTABLISHED", "FIN-WAIT-2", "CLOSE-WAIT"] as const) {
  Deno.test(`TcpEndpoint in ${state} with nothing under way may be silent for as long as probes are answered`, () => {
    const script = scriptIn(state);
    for (let hour = 0; hour < 100; hour++) {
      script.advance(3600_000);
      // A probe lies below what is expected; the peer answers it.
      for (const { seq, payload } of script.take()) {
        assertEquals([seq, payload.length], [(script.endpoint.send.record.next - 1) >>> 0, 0]);
        script.send({ ack: script.endpoint.send.record.next });
      }
    }
    assertEquals([script.state, script.user.ended], [state, undefined]);
    script.take();
    finish(script);
  });

  Deno.test(`TcpEndpoint in ${state} ends after nine probes that nobody answers`, () => {
    const script = scriptIn(state);
    script.advance(2 * 3600_000 + 8 * 75_000 + 1000);
    assertEquals(script.take().length, 9);
    assertEquals(script.state, state);
    script.advance(75_000);
    assertEquals(script.user.ended, "timedOut");
    script.take();
    script.assertEmpty();
  });
}

Deno.test("TcpEndpoint gives up a peer that leaves data unanswered for two minutes", () => {
  const script = new EndpointScript().open();
  script.write("data");
  script.advance(119_000);
  assertEquals(script.state, "ESTABLISHED");
  script.advance(2_000);
  assertEquals(script.user.ended, "timedOut");
  assert(script.take().length > 5);
  script.assertEmpty();
});

Deno.test("TcpEndpoint that is to reset waits for progress, not for mere answers", () => {
  const script = new EndpointScript().open({ window: 10 });
  script.write("0123456789abc");
  script.endpoint.abortWhenSent();
  script.receiveAll();
  script.send({ window: 0 });
  for (let ms = 0; ms < 58_000; ms += 500) {
    script.advance(500);
    for (const _ of script.take()) script.send({ window: 0 });
  }
  assertEquals(script.state, "ESTABLISHED");
  for (let ms = 0; ms < 4_000; ms += 500) {
    script.advance(500);
    if (script.user.ended === undefined) { for (const _ of script.take()) script.send({ window: 0 }); }
  }
  assertEquals(script.user.ended, "timedOut");
  script.take();
  script.assertEmpty();
});

Deno.test("TcpEndpoint asks a peer that it could not hear for days before it gives it up", () => {
  const script = scriptIn("ESTABLISHED");
  // The gateway was stopped: everything is due at once when it goes on, and the peer's answers are yet to be read.
  script.time += 48 * 3600_000;
  for (let turn = 0; turn < 20; turn++) script.timers.advance(script.time);
  assertEquals([script.take().length, script.state], [1, "ESTABLISHED"]);
  script.send();
  script.advance(3600_000);
  assertEquals([script.take().length, script.state], [0, "ESTABLISHED"]);
  finish(script);
});

for (const state of ["ESTABLISHED", "FIN-WAIT-1", "LAST-ACK"] as const) {
  Deno.test(`TcpEndpoint in ${state} does not take its own standing still for the silence of its peer`, () => {
    const script = scriptIn("ESTABLISHED");
    if (state === "LAST-ACK") script.send({ flags: TCP_FIN | TCP_ACK });
    script.write("under way");
    if (state !== "ESTABLISHED") script.closeWrite();
    script.receiveAll();
    script.time += 600_000;
    for (let turn = 0; turn < 20; turn++) script.turn();
    assertEquals([script.state, script.user.ended], [state, undefined]);
    // A peer that is silent from then on too is given up in the end.
    script.advance(state === "ESTABLISHED" ? 119_000 : 59_000);
    assertEquals(script.state, state);
    script.advance(2_000);
    assertEquals(script.user.ended, "timedOut");
    script.take();
    script.assertEmpty();
  });
}

Deno.test("TcpEndpoint whose probe is due while it repeats data does not ask for its timer again at once", () => {
  const script = scriptIn("ESTABLISHED", { tcp: { keepAliveMs: 1000 } });
  script.write("unheard");
  script.advance(999);
  script.time += 2;
  script.turn();
  assert(script.timers.nextDeadline() > script.time, `due at ${script.timers.nextDeadline()}, it is ${script.time}`);
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint answers a peer's keep-alive probes as often as it challenges, and counts those beyond as repeated", () => {
  const script = scriptIn("ESTABLISHED"), seq = (script.seq - 1) >>> 0;
  for (let i = 0; i < CHALLENGES_PER_SECOND; i++) {
    script.send({ seq });
    script.expect({ flags: TCP_ACK, ack: script.seq });
  }
  assertEquals(script.drops.tcpRepeated, 0);
  for (let i = 0; i < 3; i++) script.send({ seq });
  script.expectNothing();
  assertEquals(script.drops.tcpRepeated, 3);
  script.advance(1000);
  script.send({ seq });
  script.expect({ flags: TCP_ACK, ack: script.seq });
  assertEquals(script.drops.tcpRepeated, 3);
  finish(script);
});
