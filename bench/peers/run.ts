/**
 * The side-by-side run: every stack by turns, in a fresh process each time, round after round.
 *
 * The order of the stacks, and of the families of IP, is reversed every round, so that what slows down or speeds up
 * with time favours nobody. What fails in one
 * stack is noted with it and does not end the run.
 *
 * @module
 */
import {
  bulk,
  datagrams,
  type Effort,
  flowMemory,
  forwarded,
  latency,
  memory,
  type Metrics,
  Servers,
  SUFFIX,
} from "./measure.ts";
import type { Options } from "./options.ts";
import { columnName, type Series } from "./report.ts";
import { runShell } from "./shell.ts";
import { type Family, MTUS, PROGRAMS, type Stack, type StackName, startStack } from "./stacks.ts";

const FULL: Effort = { seconds: 2, exchanges: 3000, udpMbps: 2000 };
const QUICK: Effort = { seconds: 1, exchanges: 600, udpMbps: 2000 };

/** One thing to measure: its metrics, whether it belongs to a quick run, whether one round will do. */
interface Task {
  metrics: readonly string[];
  quick: boolean;
  once: boolean;
  run(stack: Stack, servers: Servers, effort: Effort): Promise<Metrics>;
}

const BOTH_WAYS = ["g2h", "h2g"];
/** What is measured of `stack`, over both families one after the other where that is of interest. */
function tasksOf(stack: string, families: readonly Family[]): readonly Task[] {
  return [
    ...families.map((family): Task => ({
      metrics: BOTH_WAYS.flatMap((way) => [`tcp_throughput_${way}_mbps`, `cpu_s_per_gb_${way}`]).map((key) =>
        key + SUFFIX[family]
      ),
      // The gate compares Hawser's two families, and has no time for more.
      quick: family === 4 || stack === "hawser",
      once: false,
      run: (stack, servers, effort) => bulk(stack, servers, effort, { streams: 1, family }),
    })),
    {
      metrics: BOTH_WAYS.map((way) => `tcp_bulk_throughput_${way}_mbps`),
      quick: false,
      once: false,
      run: (stack, servers, effort) => bulk(stack, servers, effort, { streams: 8, family: 4 }),
    },
    { metrics: ["tcp_forward_throughput_h2g_mbps"], quick: false, once: false, run: forwarded },
    {
      metrics: ["udp_g2h_datagrams_per_second", "udp_g2h_loss_percent"],
      quick: false,
      once: false,
      run: datagrams,
    },
    ...families.map((family): Task => ({
      metrics: ["p50", "p99"].map((at) => `tcp_rr_latency_us_${at}${SUFFIX[family]}`),
      quick: family === 4,
      once: false,
      run: (stack, servers, { exchanges }) =>
        latency(stack, servers, { kind: "rr", count: exchanges, concurrency: 1, family }),
    })),
    ...([["rr", 8], ["crr", 1], ["crr", 8]] as const).map(([kind, concurrency]): Task => ({
      metrics: ["p50", "p99"].map((at) => `tcp_${kind}_latency_us_${at}${concurrency === 1 ? "" : "_c8"}`),
      quick: concurrency === 1,
      once: false,
      run: (stack, servers, { exchanges }) =>
        latency(stack, servers, { kind, count: exchanges, concurrency, family: 4 }),
    })),
    { metrics: ["rss_idle_mb"], quick: false, once: true, run: (stack) => memory(stack, "rss_idle_mb") },
    ...[1000, 10_000].map((count): Task => ({
      metrics: [`rss_${count}_flows_mb`],
      quick: false,
      once: true,
      run: (stack, servers) => flowMemory(stack, servers, count),
    })),
    { metrics: ["rss_after_flows_mb"], quick: false, once: true, run: (stack) => memory(stack, "rss_after_flows_mb") },
  ];
}

/** Which of these programs are not to be had. */
export async function missingPrograms(stacks: readonly StackName[]): Promise<string[]> {
  const wanted = [...new Set(["iperf3", "nsenter", ...stacks.flatMap((stack) => PROGRAMS[stack])])];
  const found = await runShell(`for name in ${wanted.join(" ")}; do command -v $name >&2 && echo $name; done`, 5000);
  return wanted.filter((program) => !found.split("\n").includes(program));
}

/** Runs all of it; `progress` is told what begins. */
export async function runPeers(options: Options, progress: (line: string) => void): Promise<Series[]> {
  const series = options.stacks.flatMap((stack) =>
    MTUS[stack].map((mtu): Series => ({ stack, mtu, values: {}, failures: [] }))
  );
  await using servers = await Servers.start();
  for (let round = 0; round < options.rounds; round++) {
    for (const one of round % 2 === 0 ? series : series.toReversed()) {
      progress(`round ${round + 1} of ${options.rounds}: ${columnName(one)}`);
      await measureStack(one, { servers, options, round });
    }
  }
  return series;
}

async function measureStack(
  series: Series,
  run: { servers: Servers; options: Options; round: number },
): Promise<void> {
  const { options, servers, round } = run, effort = options.quick ? QUICK : FULL;
  const wanted = (metric: string) => options.metrics?.has(metric) ?? true;
  const note = (metrics: Metrics) => {
    for (const [metric, value] of Object.entries(metrics)) {
      if (wanted(metric)) (series.values[metric] ??= []).push(value);
    }
  };
  try {
    await using stack = await startStack(series.stack as StackName, series.mtu);
    if (stack.root !== 0) note({ startup_ms: stack.startMs });
    for (const task of tasksOf(series.stack, round % 2 === 0 ? [4, 6] : [6, 4])) {
      const inScope = options.metrics !== undefined ? task.metrics.some(wanted) : task.quick || !options.quick;
      if (!inScope || (task.once && round > 0)) continue;
      try {
        note(await task.run(stack, servers, effort));
      } catch (error) {
        series.failures.push(`${task.metrics[0]}: ${messageOf(error)}`);
      }
    }
  } catch (error) {
    series.failures.push(messageOf(error));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
