import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish, OWN_ISN, scriptIn, SYNCHRONIZED } from "../../support/endpoint_script.ts";

/** Flags without ACK, RST or SYN: FIN, PSH, URG, ECE and CWR in every combination. */
const NO_ACK = Array.from({ length: 256 }, (_, flags) => flags).filter((flags) =>
  (flags & (TCP_ACK | TCP_RST | TCP_SYN)) === 0
);

for (const [state] of SYNCHRONIZED) {
  if (state === "TIME-WAIT") continue;
  Deno.test(`TcpEndpoint in ${state} drops what has neither ACK nor RST nor SYN, its FIN and data included`, () => {
    const script = scriptIn(state);
    for (const flags of NO_ACK) script.send({ flags, payload: "evil", seq: script.seq });
    script.expectNothing();
    assertEquals([script.state, script.user.text, script.drops.tcpWithoutAck], [state, "", NO_ACK.length]);
    finish(script);
  });
}

Deno.test("TcpEndpoint takes every combination of 256 flags in every state without leaving RFC 9293", () => {
  for (const [state] of SYNCHRONIZED) {
    for (let flags = 0; flags < 256; flags++) {
      const script = scriptIn(state);
      script.send({ flags, payload: "x", seq: script.seq });
      const christmas = (flags & TCP_RST) === 0 && (flags & TCP_SYN) !== 0;
      if (christmas) assertEquals([script.state, script.user.text], [state, ""], `flags ${flags}`);
      if ((flags & TCP_RST) !== 0 && state !== "TIME-WAIT") assertEquals(script.state, "CLOSED", `flags ${flags}`);
      script.endpoint.abort();
      script.endpoint.leaveTimeWait();
      script.endpoint.dispose();
      script.take();
      script.assertEmpty();
    }
  }
});

Deno.test("TcpEndpoint delivers urgent data in order like any other (RFC 6093)", () => {
  const script = new EndpointScript().open();
  script.send({ flags: TCP_ACK | 0x20, payload: "urgent" });
  assertEquals(script.user.text, "urgent");
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint before its SYN is answered takes nothing for data, whatever its flags", () => {
  for (let flags = 0; flags < 256; flags++) {
    if (flags & TCP_RST) continue;
    const script = new EndpointScript();
    script.receiveSyn();
    script.send({ flags, payload: "evil", seq: script.seq });
    assertEquals([script.state, script.user.told], ["LISTEN", []]);
    script.endpoint.accept(OWN_ISN);
    script.take();
    finish(script);
  }
});

Deno.test("TcpEndpoint keeps FIN and data that come with the handshake's ACK", () => {
  const script = new EndpointScript();
  script.receiveSyn();
  script.endpoint.accept(OWN_ISN);
  script.ack = (script.expect().seq + 1) >>> 0;
  script.send({ flags: TCP_FIN | TCP_ACK, payload: "all at once" });
  assertEquals([script.state, script.user.text], ["CLOSE-WAIT", "all at once"]);
  assert(script.take().every(({ flags }) => flags === TCP_ACK));
  finish(script);
});

Deno.test("TcpEndpoint leaves data that comes with a SYN unacknowledged, and takes it when it comes again", () => {
  const script = new EndpointScript();
  script.receiveSyn({ payload: "early" });
  script.endpoint.accept(OWN_ISN);
  script.ack = (script.expect({ ack: script.seq }).seq + 1) >>> 0;
  script.send({ payload: "early" });
  assertEquals([script.state, script.user.text], ["ESTABLISHED", "early"]);
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint takes data that comes with a SYN-ACK", () => {
  const script = new EndpointScript().connect();
  script.send({ flags: TCP_SYN | TCP_ACK, payload: "early" });
  assertEquals([script.state, script.user.text], ["ESTABLISHED", "early"]);
  assertEquals(script.take().at(-1)!.ack, script.seq);
  finish(script);
});
