import { assertEquals, assertThrows } from "@std/assert";
import { parseBulk, parseDatagrams } from "../../../bench/peers/iperf.ts";

Deno.test("parseBulk takes what the receiver saw, not what was sent", () => {
  const end = { sum_sent: { bits_per_second: 9e9, bytes: 9 }, sum_received: { bits_per_second: 8e9, bytes: 1e9 } };
  assertEquals(parseBulk(JSON.stringify({ end })), { mbps: 8000, bytes: 1e9 });
});

Deno.test("parseDatagrams counts those that arrived", () => {
  const end = { sum: { packets: 1000, lost_packets: 250, seconds: 2 } };
  assertEquals(parseDatagrams(JSON.stringify({ end })), { perSecond: 375, lossPercent: 25 });
});

Deno.test("parseBulk and parseDatagrams say why there is no figure", () => {
  const refused = '{"start":{},"end":{},"error":"unable to connect"}';
  assertThrows(() => parseBulk(refused), Error, "unable to connect");
  assertThrows(() => parseBulk('{"end":{}}'), Error, "no end.sum_received");
  assertThrows(() => parseBulk("iperf3: error"), Error, 'no JSON but "iperf3: error"');
  assertThrows(() => parseDatagrams('{"end":{"sum":{"packets":0,"seconds":1}}}'), Error, "no datagram");
});
