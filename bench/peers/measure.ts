/**
 * What is measured of one running stack. Each function returns its metrics by the keys of the report.
 *
 * @module
 */
import { parseBulk, parseDatagrams } from "./iperf.ts";
import { usageOf } from "./processes.ts";
import { BenchFiles, delay, runShell, type Shell, startShell } from "./shell.ts";
import { type Family, GUEST_PORT, type Stack } from "./stacks.ts";

/** Values by metric. */
export type Metrics = Record<string, number>;

/** How long and how much. */
export interface Effort {
  /** Seconds of each transfer. */
  seconds: number;
  /** Round trips, and connections, of each kind. */
  exchanges: number;
  /** Megabits of datagrams a second that are offered. */
  udpMbps: number;
}

const CLIENT = new URL("./client.ts", import.meta.url).pathname;
const SERVER = new URL("./server.ts", import.meta.url).pathname;
const DENO = `${Deno.execPath()} run --no-check --no-config`;
const LIMIT = "ulimit -n 65536; ";

/** The servers on the host's loopback, which all stacks lead to. */
export class Servers implements AsyncDisposable {
  /** Port of iperf3. */
  readonly iperf: number;
  /** Ports of the echo server, with commas between, by family. */
  readonly echo: Record<Family, string>;
  readonly #shells: Shell[];

  private constructor(ports: { iperf: number; echo: Record<Family, string> }, shells: Shell[]) {
    this.iperf = ports.iperf;
    this.echo = ports.echo;
    this.#shells = shells;
  }

  /** Starts them, each on the loopback of both families. */
  static async start(): Promise<Servers> {
    const files = new BenchFiles(), path = files.path("port"), iperf = 20_000 + Deno.pid % 10_000;
    const shells = [
      startShell(`exec iperf3 -s -B 127.0.0.1 -p ${iperf}`),
      startShell(`exec iperf3 -s -B ::1 -p ${iperf}`),
      startShell(`${LIMIT}exec ${DENO} --allow-ffi ${SERVER} >"$FILE"`, { FILE: path }),
    ];
    let ports = "";
    for (let i = 0; i < 500 && !ports.includes("\n"); i++, await delay(10)) ports = readOr(path, "");
    files.remove();
    if (!ports.includes("\n") || shells.some((shell) => shell.hasEnded)) throw new Error("Cannot start the servers");
    const [four = "", six = ""] = ports.split("\n");
    return new Servers({ iperf, echo: { 4: four, 6: six } }, shells);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const shell of this.#shells) await shell.end();
  }
}

/** Ends the keys of what is measured over IPv6. */
export const SUFFIX: Record<Family, string> = { 4: "", 6: "_ipv6" };

/** Bulk each way over this many streams, and for one stream the stack's CPU seconds a gigabyte. */
export async function bulk(
  stack: Stack,
  servers: Servers,
  effort: Effort,
  { streams, family }: { streams: number; family: Family },
): Promise<Metrics> {
  const metrics: Metrics = {}, kind = streams === 1 ? "tcp_throughput" : "tcp_bulk_throughput", suffix = SUFFIX[family];
  for (const [way, option] of [["g2h", ""], ["h2g", "-R"]] as const) {
    const before = stack.root === 0 ? 0 : (await usageOf(stack.root, stack.command)).cpuSeconds;
    const { mbps, bytes } = parseBulk(await iperf(stack, servers, effort, `-P ${streams} ${option}`, family));
    metrics[`${kind}_${way}_mbps${suffix}`] = mbps;
    if (stack.root === 0 || streams > 1) continue;
    const used = (await usageOf(stack.root, stack.command)).cpuSeconds - before;
    metrics[`cpu_s_per_gb_${way}${suffix}`] = used / (bytes / 1e9);
  }
  return metrics;
}

/** Bulk from a client of the host to a server of the guest, through a forwarded port. */
export async function forwarded(stack: Stack, _servers: Servers, effort: Effort): Promise<Metrics> {
  const server = startShell(`exec ${stack.enter} iperf3 -s -1 -p ${GUEST_PORT}`);
  try {
    await delay(300);
    const line = `iperf3 -c 127.0.0.1 -p ${stack.forwardedPort} -t ${effort.seconds} -J`;
    const { mbps } = parseBulk(await runShell(line, 1000 * effort.seconds + 15_000));
    return { tcp_forward_throughput_h2g_mbps: mbps };
  } finally {
    await server.end();
  }
}

/** Datagrams of 1400 bytes from the guest at a given rate. */
export async function datagrams(stack: Stack, servers: Servers, effort: Effort): Promise<Metrics> {
  const json = await iperf(stack, servers, effort, `-u -l 1400 -b ${effort.udpMbps}M`);
  const { perSecond, lossPercent } = parseDatagrams(json);
  return { udp_g2h_datagrams_per_second: perSecond, udp_g2h_loss_percent: lossPercent };
}

/** Round trips over an open connection, or with one connection each. */
export async function latency(
  stack: Stack,
  servers: Servers,
  what: { kind: "rr" | "crr"; count: number; concurrency: number; family: Family },
): Promise<Metrics> {
  const { kind, count, concurrency, family } = what;
  const suffix = `${concurrency === 1 ? "" : `_c${concurrency}`}${SUFFIX[family]}`;
  const line = `${clientLine(stack, servers, kind, count, family)} ${concurrency}`;
  const output = await runShell(line, 30_000);
  if (output === "") throw new Error(`Cannot measure ${kind}: the client failed`);
  const { p50, p99 } = JSON.parse(output);
  return { [`tcp_${kind}_latency_us_p50${suffix}`]: p50, [`tcp_${kind}_latency_us_p99${suffix}`]: p99 };
}

/** Resident megabytes of the stack without flows: before there were any, or once they were closed. */
export async function memory(stack: Stack, metric: "rss_idle_mb" | "rss_after_flows_mb"): Promise<Metrics> {
  if (stack.root === 0) return {};
  await delay(1500);
  return { [metric]: await residentMb(stack) };
}

/** Resident megabytes of the stack with so many idle flows. */
export async function flowMemory(stack: Stack, servers: Servers, count: number): Promise<Metrics> {
  if (stack.root === 0) return {};
  const files = new BenchFiles(), opened = files.path("opened");
  const line = `${LIMIT}exec ${clientLine(stack, servers, "hold", count)} 1 >"$FILE"`;
  const shell = startShell(line, { FILE: opened });
  let open = "";
  for (let i = 0; i < 400 && open === ""; i++, await delay(100)) open = readOr(opened, "");
  await delay(500);
  const megabytes = await residentMb(stack);
  await shell.end();
  files.remove();
  if (open === "") throw new Error(`Cannot measure memory: ${count} flows were not open within 40 s`);
  if (Number(open) !== count) throw new Error(`Cannot measure memory: ${open} of ${count} flows were opened`);
  return { [`rss_${count}_flows_mb`]: megabytes };
}

async function residentMb(stack: Stack): Promise<number> {
  return (await usageOf(stack.root, stack.command)).residentBytes / 1e6;
}

function clientLine(stack: Stack, servers: Servers, kind: string, count: number, family: Family = 4): string {
  const deno = `${DENO} --allow-ffi --allow-read ${CLIENT}`;
  return `${stack.enter} ${deno} ${kind} ${stack.targets[family]} ${servers.echo[family]} ${count}`;
}

function iperf(
  stack: Stack,
  servers: Servers,
  effort: Effort,
  options: string,
  family: Family = 4,
): Promise<string> {
  const client = `iperf3 -${family} -c ${stack.targets[family]} -p ${servers.iperf}`;
  const line = `${stack.enter} ${client} -t ${effort.seconds} -J ${options}`;
  return runShell(line, 1000 * effort.seconds + 15_000);
}

function readOr(path: string, otherwise: string): string {
  try {
    return Deno.readTextFileSync(path).trim() || otherwise;
  } catch {
    return otherwise;
  }
}
