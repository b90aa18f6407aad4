import { assertEquals, assertMatch } from "@std/assert";
import { FLOW_LINES_BURST, FLOW_LINES_REFILL_MS } from "../../../nat/flow/flow_log.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { NatScript } from "../../support/nat_script.ts";

Deno.test("a flow has a line when it opens and one when it ends, with reason, bytes and duration", () => {
  const script = new NatScript(), socket = script.open();
  assertEquals(script.infos.splice(0), ["Flow tcp 10.0.2.15:40000 > 10.0.2.2:80 at 127.0.0.1:80 opened"]);
  script.send({ flags: TCP_FIN | TCP_ACK, payload: "hello" });
  script.advance(1250);
  socket.hostSends("answer");
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send({});
  assertEquals(script.infos, [
    "Flow tcp 10.0.2.15:40000 > 10.0.2.2:80 at 127.0.0.1:80 ended: both sides finished, the guest first; " +
    "5 bytes from the guest, 6 to it, 1.250 s",
  ]);
  assertEquals(script.warnings, []);
  script.assertEmpty();
});

Deno.test("a flow that the host does not take has both lines too", () => {
  const script = new NatScript();
  script.send({ flags: TCP_SYN, ack: 0 });
  script.host.onlyConnect().refuse("hostUnreachable");
  script.host.run();
  assertEquals(script.infos.length, 2);
  assertMatch(script.infos[1]!, /^Flow tcp .* ended: the host cannot reach it; 0 bytes .* 0\.000 s$/);
  script.take();
  script.assertEmpty();
});

Deno.test("a datagram flow has its two lines", () => {
  const script = new NatScript();
  script.frame(script.datagram("question", { port: 53 }));
  script.frame(script.datagram("again", { port: 53 }));
  assertEquals(script.infos, ["Flow udp 10.0.2.15:40000 > 10.0.2.2:53 at 127.0.0.1:53 opened"]);
  script.nat.close();
  assertMatch(script.infos[1]!, /^Flow udp .* at 127\.0\.0\.1:53 ended: the gateway was closed; 13 bytes from/);
  script.assertEmpty();
});

Deno.test("a guest cannot fill the log with flows, nor keep a warning out of it", () => {
  const script = new NatScript();
  for (let i = 0; i < 1000; i++) {
    script.send({ flags: TCP_SYN, ack: 0, port: 1000 + i, seq: 1 });
    script.send({ flags: TCP_RST, ack: 0, port: 1000 + i, seq: 2 });
  }
  script.take();
  assertEquals([script.nat.endings.resetByGuest, script.infos.length], [1000, FLOW_LINES_BURST]);
  for (let i = 0; i < 9; i++) script.send({ flags: TCP_SYN, ack: 0, port: 1000 + i, seq: 1 });
  assertMatch(script.warnings[0]!, /the limit/);
  script.advance(FLOW_LINES_REFILL_MS);
  script.nat.close();
  script.take();
  assertMatch(script.infos.at(-1)!, /\(\d+ such lines left out\)$/);
  script.assertEmpty();
});
