import { assertEquals } from "@std/assert";
import { encodeTcp, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TcpHeader } from "../../../net/wire/tcp.ts";
import { finish, scriptIn } from "../../support/endpoint_script.ts";

Deno.test("TcpEndpoint in TIME-WAIT holds no buffer and one timer", () => {
  const script = scriptIn("TIME-WAIT");
  assertEquals([script.pool.takenBytes, script.timers.size], [0, 1]);
  finish(script);
});

Deno.test("TcpEndpoint in TIME-WAIT begins to wait anew when the FIN comes again", () => {
  const script = scriptIn("TIME-WAIT");
  script.advance(900);
  script.send({ flags: TCP_FIN | TCP_ACK, seq: (script.seq - 1) >>> 0 });
  script.expect({ flags: TCP_ACK, ack: script.seq });
  script.advance(900);
  assertEquals(script.state, "TIME-WAIT");
  script.advance(200);
  assertEquals(script.state, "CLOSED");
  script.assertEmpty();
});

Deno.test("TcpEndpoint in TIME-WAIT is not cut short by a RST (RFC 1337)", () => {
  const script = scriptIn("TIME-WAIT");
  script.send({ flags: TCP_RST });
  script.send({ flags: TCP_RST | TCP_ACK, seq: (script.seq + 5) >>> 0 });
  script.expectNothing();
  assertEquals([script.state, script.drops.tcpUnacceptable], ["TIME-WAIT", 2]);
  finish(script);
});

Deno.test("TcpEndpoint in TIME-WAIT yields to a SYN with a later sequence number alone (RFC 6191)", () => {
  const script = scriptIn("TIME-WAIT"), bytes = new Uint8Array(20), header = new TcpHeader();
  header.flags = TCP_SYN;
  const yields = (seq: number) => {
    header.seq = seq >>> 0;
    encodeTcp(bytes, 0, header);
    return script.endpoint.yieldsTo(bytes, 0);
  };
  assertEquals([1, 100, 0x7fffffff].map((distance) => yields(script.seq + distance)), [true, true, true]);
  assertEquals([0, -1, -100, -0x7fffffff].map((distance) => yields(script.seq + distance)), Array(4).fill(false));
  finish(script);
  assertEquals(yields(script.seq + 1), false, "closed, it has nothing to yield");
});
