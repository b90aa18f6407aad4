import { assertEquals } from "@std/assert";
import { TCP_ACK, TCP_SYN } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish, OWN_ISN, scriptIn, SYNCHRONIZED } from "../../support/endpoint_script.ts";

for (const [state] of SYNCHRONIZED) {
  Deno.test(`TcpEndpoint in ${state} challenges a SYN, whether it is in the window or not (RFC 5961 section 4)`, () => {
    const script = scriptIn(state);
    for (const at of [0, 5, -100, 0x7fff_0000]) {
      script.send({ flags: TCP_SYN, ack: 0, seq: (script.seq + at) >>> 0 });
      script.expect({ flags: TCP_ACK, ack: script.seq });
      script.expectNothing();
    }
    // The two outside the window are answered as any segment there is.
    assertEquals([script.state, script.drops.tcpSynChallenged], [state, 2]);
    finish(script);
  });
}

for (const [state] of SYNCHRONIZED) {
  if (state === "TIME-WAIT") continue;
  Deno.test(`TcpEndpoint in ${state} takes no data with an ACK for what was never sent (RFC 5961 section 5)`, () => {
    const script = scriptIn(state);
    for (const ahead of [5, 1000, 0x7ffffff0]) {
      script.send({ payload: "evil", seq: script.seq, ack: (script.endpoint.send.record.next + ahead) >>> 0 });
      script.expect({ flags: TCP_ACK, ack: script.seq });
    }
    script.send({ payload: "evil", seq: script.seq, ack: (script.endpoint.send.record.una - 0x20000) >>> 0 });
    script.expect({ flags: TCP_ACK, ack: script.seq });
    assertEquals([script.user.text, script.state, script.drops.tcpAckUnacceptable], ["", state, 4]);
    finish(script);
  });
}

Deno.test("TcpEndpoint takes data with an ACK that is old but not older than the largest window", () => {
  const script = new EndpointScript().open();
  script.write("x".repeat(1000));
  script.receiveAll();
  script.send();
  script.send({ payload: "fine", ack: (script.ack - 1000) >>> 0 });
  assertEquals(script.user.text, "fine");
  assertEquals(script.drops.tcpAckUnacceptable, 0);
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint in SYN-RECEIVED resets an ACK for what was never sent, and is not opened by it", () => {
  const script = new EndpointScript();
  script.receiveSyn();
  script.endpoint.accept(OWN_ISN);
  script.take();
  for (const ack of [OWN_ISN, OWN_ISN + 2, 0]) {
    script.send({ ack: ack >>> 0, seq: script.seq });
    script.expect({ flags: 4, seq: ack >>> 0 });
  }
  assertEquals([script.state, script.drops.tcpAckUnacceptable], ["SYN-RECEIVED", 3]);
  finish(script);
});

Deno.test("TcpEndpoint answers a half-open peer's new SYN so that its RST makes room for it", () => {
  // RFC 9293 section 3.5.1, figure 9: the peer has crashed and begins anew with the old port.
  const script = new EndpointScript().open();
  script.send({ flags: TCP_SYN, ack: 0, seq: 400 });
  const { seq, ack } = script.expect({ flags: TCP_ACK });
  assertEquals([seq, ack], [script.endpoint.send.record.next, script.seq]);
  script.send({ flags: 4, seq: ack });
  assertEquals([script.state, script.user.ended], ["CLOSED", "reset"]);
  script.assertEmpty();
});
