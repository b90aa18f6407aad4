import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  createReport,
  formatBlock,
  formatChart,
  formatTable,
  METRICS,
  README_METRICS,
  replaceBlock,
} from "../../../bench/peers/report.ts";

const FACTS = {
  date: "2026-01-02",
  command: "deno task bench:peers",
  machine: { cores: 2, processor: "P", kernel: "6.1" },
  versions: { hawser: "1" },
};
const REPORT = createReport([
  {
    stack: "hawser",
    mtu: 1500,
    values: { tcp_throughput_g2h_mbps: [900, 1000, 1300], startup_ms: [50] },
    failures: [],
  },
  { stack: "loopback", mtu: 0, values: { tcp_throughput_g2h_mbps: [2000] }, failures: ["x: y"] },
], FACTS);

Deno.test("formatTable shows median and spread, leaves out what nobody measured, and keeps its columns straight", () => {
  assertEquals(
    formatTable(REPORT).split("\n"),
    [
      "|                           |     hawser 1500 | loopback |",
      "| ------------------------- | --------------: | -------: |",
      "| TCP guest to host, Mbit/s | 1000 (900–1300) |     2000 |",
      "| start to the command, ms  |              50 |          |",
    ],
  );
});

Deno.test("formatChart draws a bar for each figure, as long as it is large, in well-formed XML", () => {
  const svg = formatChart(REPORT);
  assertEquals(svg.match(/<rect x=/g)?.length, 2);
  assertEquals([...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map((match) => match[1]), [
    "215.0",
    "430.0",
  ]);
  assertEquals(svg.match(/<(text|svg)\b/g)?.length, svg.match(/<\/(text|svg)>/g)?.length);
  const hostile = createReport(
    [{ stack: "<&>", mtu: 0, values: { tcp_throughput_h2g_mbps: [1] }, failures: [] }],
    FACTS,
  );
  assertStringIncludes(formatChart(hostile), "&lt;&amp;&gt;");
});

Deno.test("replaceBlock changes what is between the markers and nothing else, the same each time", () => {
  const block = formatBlock(REPORT, { bench: "bench" }),
    text = "a\n<!-- bench:peers begin -->old<!-- bench:peers end -->\nz\n";
  const once = replaceBlock(text, block);
  assert(once.startsWith("a\n<!-- bench:peers begin -->\n\n![") && once.endsWith("<!-- bench:peers end -->\nz\n"));
  assert(!once.includes("old"));
  assertEquals(replaceBlock(once, block), once);
  assertStringIncludes(once, "deno task bench:peers");
  assertThrows(() => replaceBlock("no markers", block), Error, "not both there");
});

Deno.test("formatBlock has the rows that it is asked for, and finds the folder of the benches", () => {
  const block = formatBlock(REPORT, { metrics: ["startup_ms"], bench: "../bench" });
  assertStringIncludes(block, "![TCP throughput of each stack](../bench/results/peers.svg)");
  assertStringIncludes(block, "| start to the command, ms |");
  assert(!block.includes("TCP guest to host"));
  assertEquals(README_METRICS.filter((metric) => !METRICS.includes(metric)), []);
});
