/**
 * What a list of 10,000 names and an audit cost: throughput of iperf3 and the time of a connect through `hawser run`,
 * with both against without, by turns, over a veth pair in namespaces of its own.
 *
 * ```sh
 * deno run --allow-read --allow-write --allow-run --allow-env --allow-ffi bench/names_cost.ts --rounds 5
 * ```
 *
 * It needs root, iperf3 and python3. It prints the median of each and their ratio.
 *
 * @module
 */
import { Internet } from "../tests/e2e/internet.ts";
import { until } from "../tests/e2e/run_support.ts";

const RULES = 10_000, CONNECTS = 300;
const CONNECT = `import socket, time
times = []
for _ in range(${CONNECTS}):
    began = time.perf_counter()
    conn = socket.create_connection(("registry.example", 7000))
    times.append(time.perf_counter() - began)
    conn.close()
print(sorted(times)[${CONNECTS} // 2] * 1e6)`;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

if (import.meta.main) {
  const rounds = Number(Deno.args[Deno.args.indexOf("--rounds") + 1] ?? 5);
  await using internet = await Internet.start();
  const rules = `${internet.folder}/rules`, audit = `${internet.folder}/audit.jsonl`;
  const names = Array.from({ length: RULES - 1 }, (_, i) => `allow n${i}.example:443`);
  await Deno.writeTextFile(rules, [...names, "allow registry.example:5201,7000"].join("\n"));
  internet.serve("world", "iperf3", "-s");
  await until("iperf3 listens", async () => (await internet.inWorld("ss -Hltn sport = :5201")) !== "");
  const both = ["--rules", rules, "--audit", audit];
  const measures: Record<string, (options: readonly string[]) => Promise<number>> = {
    "bits a second from the guest": (options) => iperf(options, ""),
    "bits a second to the guest": (options) => iperf(options, "-R"),
    "microseconds of a connect": async (options) =>
      Number((await internet.hawser(["run", ...options, "--", "python3", "-c", CONNECT])).stdout),
  };
  const iperf = async (options: readonly string[], direction: string) => {
    const { stdout, stderr } = await internet.run(options, `iperf3 -J -t 3 ${direction} -c registry.example`);
    try {
      return JSON.parse(stdout).end.sum_received.bits_per_second;
    } catch {
      throw new Error(`iperf3 failed: ${stdout}${stderr}`);
    }
  };
  for (const [what, measure] of Object.entries(measures)) {
    const without: number[] = [], withBoth: number[] = [];
    for (let round = 0; round < rounds; round++) {
      without.push(await measure([]));
      withBoth.push(await measure(both));
    }
    const [plain, listed] = [median(without), median(withBoth)];
    console.log(
      `${what}: ${plain.toPrecision(4)} without, ${listed.toPrecision(4)} with, ratio ${(listed / plain).toFixed(3)}`,
    );
  }
}
