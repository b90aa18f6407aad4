import { assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN } from "../../../net/wire/tcp.ts";
import { finish, scriptIn } from "../../support/endpoint_script.ts";

const FIN = TCP_FIN | TCP_ACK;

for (const state of ["CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"] as const) {
  Deno.test(`TcpEndpoint in ${state} acknowledges a FIN that comes again, and is not moved by it`, () => {
    const script = scriptIn(state), told = script.user.told.length;
    for (let i = 0; i < 3; i++) {
      script.send({ flags: FIN, seq: (script.seq - 1) >>> 0 });
      script.expect({ flags: TCP_ACK, ack: script.seq });
      script.expectNothing();
    }
    assertEquals([script.state, script.user.told.length], [state, told]);
    assertEquals(script.drops.tcpRepeated, 3);
    finish(script);
  });
}

Deno.test("TcpEndpoint acknowledges a FIN that comes again with its data, and delivers that once", () => {
  const script = scriptIn("ESTABLISHED");
  script.send({ flags: FIN, payload: "bye" });
  script.take();
  script.send({ flags: FIN, payload: "bye", seq: (script.seq - 4) >>> 0 });
  script.expect({ flags: TCP_ACK, ack: script.seq });
  assertEquals([script.user.text, script.state], ["bye", "CLOSE-WAIT"]);
  finish(script);
});
