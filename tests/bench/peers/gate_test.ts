import { assertEquals } from "@std/assert";
import { FLOORS, judge } from "../../../bench/peers/gate.ts";
import { createReport } from "../../../bench/peers/report.ts";

const FACTS = { date: "", command: "", machine: {}, versions: {} };

function report(mbps: number, micros: number, ipv6Mbps = mbps) {
  const values = {
    tcp_throughput_g2h_mbps: [mbps],
    tcp_throughput_g2h_mbps_ipv6: [ipv6Mbps],
    tcp_throughput_h2g_mbps: [mbps],
    tcp_rr_latency_us_p50: [micros],
    tcp_crr_latency_us_p50: [micros],
  };
  const peer = {
    tcp_throughput_g2h_mbps: [1000],
    tcp_throughput_h2g_mbps: [1000],
    tcp_rr_latency_us_p50: [100],
    tcp_crr_latency_us_p50: [100],
  };
  return createReport([
    ...[1500, 65520].map((mtu) => ({ stack: "hawser", mtu, values, failures: [] })),
    ...[1500, 65520].map((mtu) => ({ stack: "slirp4netns", mtu, values: peer, failures: [] })),
    { stack: "loopback", mtu: 0, values: peer, failures: [] },
  ], FACTS);
}

Deno.test("judge holds where every ratio keeps its bound", () => {
  assertEquals(judge([report(6000, 75)]).holds, true);
});

Deno.test("judge fails where the speed is half of what it was, or the latency double", () => {
  assertEquals(judge([report(3000, 75)]).holds, false);
  const { lines, holds } = judge([report(6000, 300)]);
  assertEquals([holds, lines.filter((line) => line.startsWith("FAILED")).length], [false, 2]);
});

Deno.test("judge fails where IPv6 has fallen behind IPv4 by more than half", () => {
  const { lines, holds } = judge([report(6000, 75, 2900)]);
  assertEquals([holds, lines.filter((line) => line.startsWith("FAILED"))], [false, [
    "FAILED tcp_throughput_g2h_mbps_ipv6 at 65520, against hawser in tcp_throughput_g2h_mbps: 0.48, at least 0.5",
  ]]);
  assertEquals(judge([report(6000, 75, 3100)]).holds, true);
});

Deno.test("judge takes the best of several runs for each floor, and a run that failed is none", () => {
  const empty = createReport([], FACTS);
  assertEquals(judge([report(6000, 300), empty, report(3000, 75)]).holds, true);
  assertEquals(judge([report(3000, 300), report(3000, 75)]).holds, false);
  assertEquals(judge([]).holds, false);
});

Deno.test("judge fails where a figure is missing", () => {
  const empty = createReport([{ stack: "hawser", mtu: 1500, values: {}, failures: ["it did not start"] }], FACTS);
  const { lines, holds } = judge([empty]);
  assertEquals([holds, lines.every((line) => line.startsWith("FAILED"))], [false, true]);
  assertEquals(lines.length, FLOORS.length);
});
