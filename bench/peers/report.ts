/**
 * The report of a run: its JSON, its table, its chart and the blocks in README.md and docs/performance.md.
 *
 * @module
 */
import { summarize, type Summary } from "./statistics.ts";

/** Values of one stack at one MTU: metric to the value of each round. */
export interface Series {
  /** The stack. */
  stack: string;
  /** MTU of the guest's interface; 0 where there is none. */
  mtu: number;
  /** Metric to values. */
  values: Record<string, number[]>;
  /** What could not be measured, and why. */
  failures: string[];
}

/** A run. */
export interface Report {
  /** When, as a date without a time. */
  date: string;
  /** The command that made it. */
  command: string;
  /** Cores, processor and kernel. */
  machine: Record<string, string | number>;
  /** Versions of what was compared. */
  versions: Record<string, string>;
  /** Per stack and MTU: metric to summary. */
  results: { stack: string; mtu: number; metrics: Record<string, Summary>; failures: string[] }[];
}

/** How a block is written. */
export interface BlockOptions {
  /** The rows of its table; all of them unless given. */
  metrics?: readonly string[];
  /** The path of the folder `bench` from the document. */
  bench: string;
}

/** Rows of the table: metric, heading, digits. */
const ROWS: readonly [metric: string, heading: string, digits: number][] = [
  ["tcp_throughput_g2h_mbps", "TCP guest to host, Mbit/s", 0],
  ["tcp_throughput_h2g_mbps", "TCP host to guest, Mbit/s", 0],
  ["tcp_bulk_throughput_g2h_mbps", "guest to host over 8 streams, Mbit/s", 0],
  ["tcp_bulk_throughput_h2g_mbps", "host to guest over 8 streams, Mbit/s", 0],
  ["tcp_forward_throughput_h2g_mbps", "through a forwarded port, Mbit/s", 0],
  ["cpu_s_per_gb_g2h", "CPU seconds a GB, guest to host", 2],
  ["cpu_s_per_gb_h2g", "CPU seconds a GB, host to guest", 2],
  ["tcp_throughput_g2h_mbps_ipv6", "TCP over IPv6 guest to host, Mbit/s", 0],
  ["tcp_throughput_h2g_mbps_ipv6", "TCP over IPv6 host to guest, Mbit/s", 0],
  ["cpu_s_per_gb_g2h_ipv6", "CPU seconds a GB over IPv6, guest to host", 2],
  ["cpu_s_per_gb_h2g_ipv6", "CPU seconds a GB over IPv6, host to guest", 2],
  ["udp_g2h_datagrams_per_second", "UDP of 1400 B, datagrams/s", 0],
  ["udp_g2h_loss_percent", "of those offered lost, %", 1],
  ["tcp_rr_latency_us_p50", "round trip p50, µs", 0],
  ["tcp_rr_latency_us_p99", "round trip p99, µs", 0],
  ["tcp_rr_latency_us_p50_ipv6", "round trip over IPv6 p50, µs", 0],
  ["tcp_rr_latency_us_p99_ipv6", "round trip over IPv6 p99, µs", 0],
  ["tcp_crr_latency_us_p50", "connect, request, close p50, µs", 0],
  ["tcp_crr_latency_us_p99", "connect, request, close p99, µs", 0],
  ["tcp_rr_latency_us_p50_c8", "round trip p50, 8 at once, µs", 0],
  ["tcp_rr_latency_us_p99_c8", "round trip p99, 8 at once, µs", 0],
  ["tcp_crr_latency_us_p50_c8", "connect, request, close p50, 8 at once, µs", 0],
  ["tcp_crr_latency_us_p99_c8", "connect, request, close p99, 8 at once, µs", 0],
  ["rss_idle_mb", "resident memory idle, MB", 0],
  ["rss_1000_flows_mb", "with 1000 idle flows, MB", 0],
  ["rss_10000_flows_mb", "with 10000 idle flows, MB", 0],
  ["rss_after_flows_mb", "after they closed, MB", 0],
  ["startup_ms", "start to the command, ms", 0],
];

/** Every metric there is. */
export const METRICS: readonly string[] = ROWS.map(([metric]) => metric);

/** The rows of the README's table. */
export const README_METRICS: readonly string[] = [
  "tcp_throughput_g2h_mbps",
  "tcp_throughput_h2g_mbps",
  "cpu_s_per_gb_g2h",
  "tcp_rr_latency_us_p50",
  "rss_idle_mb",
  "startup_ms",
];

const BEGIN = "<!-- bench:peers begin -->", END = "<!-- bench:peers end -->";
const COLORS = ["#2563eb", "#d97706", "#059669", "#6b7280"];

/** Puts the series of all rounds together. */
export function createReport(series: readonly Series[], facts: Omit<Report, "results">): Report {
  return {
    ...facts,
    results: series.map(({ stack, mtu, values, failures }) => ({
      stack,
      mtu,
      metrics: Object.fromEntries(Object.entries(values).map(([metric, list]) => [metric, summarize(list)])),
      failures,
    })),
  };
}

/** The name of a column. */
export function columnName({ stack, mtu }: { stack: string; mtu: number }): string {
  return mtu === 0 ? stack : `${stack} ${mtu}`;
}

/** A table of these metrics in Markdown: medians, with the spread if there was more than one round. */
export function formatTable(report: Report, metrics: readonly string[] = METRICS): string {
  const head = ["", ...report.results.map(columnName)];
  const rows = ROWS.filter(([metric]) => metrics.includes(metric)).flatMap(([metric, heading, digits]) => {
    const cells = report.results.map(({ metrics }) => formatCell(metrics[metric], digits));
    return cells.every((cell) => cell === "") ? [] : [[heading, ...cells]];
  });
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => [...row[column]!].length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`).join(" | ")} |`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

function formatCell(summary: Summary | undefined, digits: number): string {
  if (summary === undefined) return "";
  const text = (value: number) => value.toFixed(digits);
  const { median, min, max, rounds } = summary;
  return rounds > 1 ? `${text(median)} (${text(min)}–${text(max)})` : text(median);
}

/** The chart: bulk TCP each way, a bar for every stack and MTU. */
export function formatChart(report: Report): string {
  const groups = [["tcp_throughput_g2h_mbps", "guest to host"], ["tcp_throughput_h2g_mbps", "host to guest"]] as const;
  const bars = groups.flatMap(([metric, way]) =>
    report.results.flatMap((result) => {
      const summary = result.metrics[metric];
      return summary === undefined ? [] : [{ label: `${columnName(result)}, ${way}`, stack: result.stack, summary }];
    })
  );
  const most = Math.max(1, ...bars.map(({ summary }) => summary.max)), left = 230, width = 430, step = 22;
  const x = (value: number) => (left + width * value / most).toFixed(1);
  const stacks = [...new Set(report.results.map(({ stack }) => stack))];
  const body = bars.map(({ label, stack, summary: { median, min, max } }, i) => {
    const y = 34 + i * step, color = COLORS[stacks.indexOf(stack) % COLORS.length];
    return `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${escapeXml(label)}</text>` +
      `<rect x="${left}" y="${y}" width="${(width * median / most).toFixed(1)}" height="16" fill="${color}"/>` +
      `<line x1="${x(min)}" x2="${x(max)}" y1="${y + 8}" y2="${y + 8}" stroke="#111" stroke-width="1.5"/>` +
      `<text x="${left + width + 8}" y="${y + 12}">${(median / 1000).toFixed(1)}</text>`;
  });
  const height = 44 + bars.length * step;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="740" height="${height}" fill="#fff"/>`,
    `<text x="${left}" y="20" font-weight="bold">TCP, one stream, Gbit/s: median, and from least to most</text>`,
    ...body,
    `</svg>\n`,
  ].join("\n");
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * What stands in a document between the markers: the chart, a table of `metrics`, and how they were measured. `bench`
 * is where the document finds the folder of the benches.
 */
export function formatBlock(report: Report, { metrics = METRICS, bench }: BlockOptions): string {
  const { machine, versions } = report;
  const facts = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ");
  return [
    `![TCP throughput of each stack](${bench}/results/peers.svg)`,
    "",
    formatTable(report, metrics),
    "",
    `Medians, and in brackets the least and the most, by \`${report.command}\` on ${report.date}; ` +
    `${machine["cores"]} cores (${machine["processor"]}), Linux ${machine["kernel"]}; ${facts}. ` +
    `[bench/README.md](${bench}/README.md) says what each line is.`,
  ].join("\n");
}

/** `text` with the block between the markers replaced. Throws an `Error` where the markers are missing. */
export function replaceBlock(text: string, block: string): string {
  const begin = text.indexOf(BEGIN), end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`Cannot write the block: ${BEGIN} and ${END} are not both there`);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${block}\n\n${text.slice(end)}`;
}
