/**
 * `deno task bench:gate`: a quick run whose ratios must not fall below floors, so that a change which halves the speed
 * cannot land unseen. Times say nothing on a machine that others use too; ratios within one run nearly do. What others
 * do on the machine spoils a ratio and does not improve it for long, so there are up to three runs, and each ratio
 * counts as its best.
 *
 * @module
 */
import { parseOptions } from "./options.ts";
import { createReport, formatTable, type Report } from "./report.ts";
import { missingPrograms, runPeers } from "./run.ts";

/** A ratio of two stacks' medians and its bound. */
export interface Floor {
  /** The metric. */
  metric: string;
  /** The metric that it is divided by; the same unless given. */
  by?: string;
  /** MTU of Hawser's link. */
  mtu: number;
  /** The stack that it is divided by, at the same MTU where that has one. */
  against: string;
  /** The ratio must not be below this. */
  atLeast?: number;
  /** The ratio must not be above this. */
  atMost?: number;
}

/**
 * About half of what the noisiest runs of a shared machine with two cores have shown, and of latencies about double.
 */
export const FLOORS: readonly Floor[] = [
  { metric: "tcp_throughput_g2h_mbps", mtu: 1500, against: "slirp4netns", atLeast: 5 },
  { metric: "tcp_throughput_h2g_mbps", mtu: 1500, against: "slirp4netns", atLeast: 2.5 },
  { metric: "tcp_throughput_g2h_mbps", mtu: 65520, against: "slirp4netns", atLeast: 1.5 },
  { metric: "tcp_throughput_h2g_mbps", mtu: 65520, against: "slirp4netns", atLeast: 0.8 },
  { metric: "tcp_throughput_g2h_mbps", mtu: 65520, against: "loopback", atLeast: 0.2 },
  { metric: "tcp_throughput_h2g_mbps", mtu: 65520, against: "loopback", atLeast: 0.2 },
  {
    metric: "tcp_throughput_g2h_mbps_ipv6",
    by: "tcp_throughput_g2h_mbps",
    mtu: 65520,
    against: "hawser",
    atLeast: 0.5,
  },
  { metric: "tcp_rr_latency_us_p50", mtu: 1500, against: "slirp4netns", atMost: 1.7 },
  { metric: "tcp_crr_latency_us_p50", mtu: 1500, against: "slirp4netns", atMost: 2.5 },
];

const ATTEMPTS = 3;

/** A line for each floor, and whether all hold: each in the best of the runs. A ratio that cannot be taken does not. */
export function judge(
  reports: readonly Report[],
  floors: readonly Floor[] = FLOORS,
): { lines: string[]; holds: boolean } {
  let holds = true;
  const lines = floors.map(({ metric, by = metric, mtu, against, atLeast = 0, atMost = Infinity }) => {
    const ratios = reports.map((report) => {
      const valueOf = (stack: string, metric: string) =>
        report.results.find((result) => result.stack === stack && (result.mtu === mtu || result.mtu === 0))
          ?.metrics[metric]?.median ?? NaN;
      return valueOf("hawser", metric) / valueOf(against, by);
    }).filter((ratio) => !Number.isNaN(ratio));
    const ratio = ratios.length === 0 ? NaN : atMost === Infinity ? Math.max(...ratios) : Math.min(...ratios);
    const isKept = ratio >= atLeast && ratio <= atMost;
    if (!isKept) holds = false;
    const bound = atMost === Infinity ? `at least ${atLeast}` : `at most ${atMost}`;
    return `${isKept ? "ok    " : "FAILED"} ${metric} at ${mtu}, against ${against}${
      by === metric ? "" : ` in ${by}`
    }: ${ratio.toFixed(2)}, ${bound}`;
  });
  return { lines, holds };
}

async function main(): Promise<number> {
  const options = parseOptions(["--quick", "--only", "hawser,slirp4netns,loopback"]), reports: Report[] = [];
  const missing = await missingPrograms(options.stacks);
  if (missing.length > 0) {
    console.error(`bench:gate: ${missing.join(", ")} not found`);
    return 1;
  }
  while (reports.length < ATTEMPTS) {
    const facts = { date: "", command: "deno task bench:gate", machine: {}, versions: {} };
    const report = createReport(await runPeers(options, (line) => console.error(line)), facts);
    reports.push(report);
    const { lines, holds } = judge(reports);
    console.log([formatTable(report), ...lines, ...report.results.flatMap(({ failures }) => failures)].join("\n"));
    if (holds) return 0;
  }
  return 1;
}

if (import.meta.main) Deno.exit(await main());
