import { assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish, OWN_ISN, scriptIn, SYNCHRONIZED } from "../../support/endpoint_script.ts";

for (const [state] of SYNCHRONIZED) {
  if (state === "TIME-WAIT") continue;

  Deno.test(`TcpEndpoint in ${state} challenges a RST that is in the window but not exact (RFC 5961 section 3)`, () => {
    const script = scriptIn(state);
    for (const ahead of [1, 2, 1000, 60_000]) {
      script.send({ flags: TCP_RST, seq: (script.seq + ahead) >>> 0 });
      script.expect({ flags: TCP_ACK, ack: script.seq });
    }
    assertEquals([script.state, script.drops.tcpResetChallenged], [state, 4]);
    // The answer of a peer that has really reset: the sequence number of the challenge.
    script.send({ flags: TCP_RST });
    assertEquals([script.state, script.user.ended], ["CLOSED", "reset"]);
    script.assertEmpty();
  });

  Deno.test(`TcpEndpoint in ${state} drops a RST outside the window without a word`, () => {
    const script = scriptIn(state), window = script.endpoint.receive.window;
    for (const far of [-1, -1000, window, window + 1, 0x7fffffff]) {
      script.send({ flags: TCP_RST | TCP_ACK, seq: (script.seq + far) >>> 0 });
    }
    script.expectNothing();
    assertEquals(script.state, state);
    finish(script);
  });
}

Deno.test("TcpEndpoint rations its challenges", () => {
  const script = new EndpointScript().open();
  const flood = () => {
    for (let i = 0; i < 100; i++) script.send({ flags: TCP_RST, seq: (script.seq + 1 + i) >>> 0 });
    return script.take().length;
  };
  assertEquals([flood(), flood()], [10, 0]);
  script.advance(1000);
  assertEquals(flood(), 10);
  assertEquals(script.drops.tcpResetChallenged, 300);
  finish(script);
});

Deno.test("TcpEndpoint in SYN-RECEIVED takes an exact RST alone", () => {
  const script = new EndpointScript();
  script.receiveSyn();
  script.endpoint.accept(OWN_ISN);
  script.take();
  script.send({ flags: TCP_RST, seq: (script.seq + 10) >>> 0 });
  assertEquals(script.state, "SYN-RECEIVED");
  script.send({ flags: TCP_RST });
  assertEquals([script.state, script.user.ended], ["CLOSED", "reset"]);
  script.take();
  script.assertEmpty();
});

Deno.test("TcpEndpoint in SYN-SENT takes a RST that acknowledges its SYN alone", () => {
  const script = new EndpointScript().connect();
  script.send({ flags: TCP_RST, seq: 0, ack: 0 });
  script.send({ flags: TCP_RST | TCP_ACK, seq: 0, ack: (script.ack + 1) >>> 0 });
  script.send({ flags: TCP_RST | TCP_ACK, seq: 0, ack: (script.ack - 1) >>> 0 });
  script.expectNothing();
  assertEquals([script.state, script.drops.tcpUnacceptable, script.drops.tcpAckUnacceptable], ["SYN-SENT", 1, 2]);
  script.send({ flags: TCP_RST | TCP_ACK, seq: 0 });
  assertEquals(script.user.ended, "refused");
  script.assertEmpty();
});

Deno.test("TcpEndpoint delivers no byte of a RST, and none after it", () => {
  const script = new EndpointScript().open();
  script.send({ flags: TCP_RST | TCP_ACK, payload: "evil" });
  assertEquals([script.user.text, script.user.ended], ["", "reset"]);
  script.send({ payload: "more" });
  script.send({ flags: TCP_FIN | TCP_ACK });
  script.expectNothing();
  assertEquals([script.user.text, script.drops.tcpUnacceptable], ["", 2]);
  script.assertEmpty();
});

Deno.test("TcpEndpoint keeps what was received before a RST for the user who has not taken it", () => {
  const script = new EndpointScript().open();
  script.user.budget = 0;
  script.send({ payload: "kept" });
  script.take();
  script.send({ flags: TCP_RST });
  assertEquals(script.endpoint.queued, 4);
  script.endpoint.dispose();
  script.assertEmpty();
});
