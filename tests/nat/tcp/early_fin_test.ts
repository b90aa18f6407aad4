import { assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN } from "../../../net/wire/tcp.ts";
import { EndpointScript, finish } from "../../support/endpoint_script.ts";

const FIN = TCP_FIN | TCP_ACK;

Deno.test("TcpEndpoint holds a FIN that came early until the bytes before it are there", () => {
  const script = new EndpointScript().open({ sackPermitted: true }), start = script.seq;
  script.send({ flags: FIN, payload: "world", seq: (start + 6) >>> 0 });
  assertEquals([script.state, script.user.told], ["ESTABLISHED", ["opened"]]);
  script.expect({ flags: TCP_ACK, ack: start, sack: [(start + 6) >>> 0, (start + 11) >>> 0] });
  script.send({ payload: "hello ", seq: start });
  assertEquals([script.state, script.user.text], ["CLOSE-WAIT", "hello world"]);
  assertEquals(script.take().at(-1)!.ack, (start + 12) >>> 0);
  finish(script);
});

Deno.test("TcpEndpoint answers a FIN alone behind a gap at once, and takes it with the gap's end", () => {
  const script = new EndpointScript().open(), start = script.seq;
  script.send({ flags: FIN, seq: (start + 3) >>> 0 });
  script.expect({ flags: TCP_ACK, ack: start });
  assertEquals(script.state, "ESTABLISHED");
  script.send({ payload: "abc", seq: start });
  assertEquals([script.state, script.user.text], ["CLOSE-WAIT", "abc"]);
  assertEquals(script.take().at(-1)!.ack, (start + 4) >>> 0);
  finish(script);
});

Deno.test("TcpEndpoint takes nothing that lies at or behind an early FIN for data", () => {
  const script = new EndpointScript().open(), start = script.seq;
  script.send({ flags: FIN, payload: "cd", seq: (start + 2) >>> 0 });
  script.send({ payload: "abXYZ", seq: start });
  assertEquals([script.state, script.user.text], ["CLOSE-WAIT", "abXY"]);
  script.send({ payload: "later", seq: (start + 5) >>> 0 });
  assertEquals(script.user.text, "abXY");
  assertEquals(script.drops.tcpAfterFin, 1);
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint keeps to the first place of a FIN when the peer names another", () => {
  const script = new EndpointScript().open(), start = script.seq;
  script.send({ flags: FIN, payload: "cd", seq: (start + 2) >>> 0 });
  script.send({ flags: FIN, payload: "cdef", seq: (start + 2) >>> 0 });
  script.send({ payload: "ab", seq: start });
  assertEquals([script.state, script.user.text], ["CLOSE-WAIT", "abcd"]);
  script.take();
  finish(script);
});

Deno.test("TcpEndpoint takes no FIN that its window does not let in", () => {
  const script = new EndpointScript({ tcp: { receiveLimit: 4 } }).open(), start = script.seq;
  script.user.budget = 0;
  script.send({ flags: FIN, payload: "abcdef", seq: start });
  assertEquals(script.state, "ESTABLISHED");
  script.expect({ ack: (start + 4) >>> 0 });
  script.consume(4);
  script.expect({ ack: (start + 4) >>> 0, window: 4 });
  script.send({ flags: FIN, payload: "ef", seq: (start + 4) >>> 0 });
  assertEquals(script.state, "CLOSE-WAIT");
  script.take();
  script.consume(2);
  assertEquals(script.user.text, "abcdef");
  finish(script);
});
