/**
 * `deno task bench:peers [--only NAME,…] [--metrics NAME,…] [--rounds N] [--quick]`: Hawser beside its peers and plain
 * loopback.
 *
 * A full run writes `bench/results/peers.json`, `bench/results/peers.svg`, and the blocks in README.md and
 * docs/performance.md; a partial one only prints.
 *
 * @module
 */
import { parseOptions } from "./options.ts";
import {
  createReport,
  formatBlock,
  formatChart,
  formatTable,
  README_METRICS,
  replaceBlock,
  type Report,
} from "./report.ts";
import { missingPrograms, runPeers } from "./run.ts";
import { runShell } from "./shell.ts";
import { VERSION } from "../../cli/version.ts";

const ROOT = new URL("../../", import.meta.url);

async function main(): Promise<number> {
  const options = parseOptions(Deno.args), missing = await missingPrograms(options.stacks);
  if (missing.length > 0) {
    console.error(`bench:peers: ${missing.join(", ")} not found; install them, or choose stacks with --only`);
    return 1;
  }
  const series = await runPeers(options, (line) => console.error(line));
  const report = createReport(series, await facts());
  console.log(formatTable(report));
  const failures = report.results.flatMap(({ stack, mtu, failures }) =>
    failures.map((why) => `${stack} ${mtu}: ${why}`)
  );
  for (const failure of failures) console.error(failure);
  if (!options.isPartial && !options.quick && options.metrics === undefined) await write(report);
  // A peer that cannot do something is a result; Hawser or the floor failing is not.
  return failures.some((line) => /^(hawser|loopback)/.test(line)) ? 1 : 0;
}

async function write(report: Report): Promise<void> {
  const results = new URL("bench/results/", ROOT);
  await Deno.mkdir(results, { recursive: true });
  await Deno.writeTextFile(new URL("peers.json", results), JSON.stringify(report, null, 2) + "\n");
  await Deno.writeTextFile(new URL("peers.svg", results), formatChart(report));
  const documents = [
    ["README.md", { metrics: README_METRICS, bench: "bench" }],
    ["docs/performance.md", { bench: "../bench" }],
  ] as const;
  for (const [path, options] of documents) {
    const document = new URL(path, ROOT);
    await Deno.writeTextFile(document, replaceBlock(await Deno.readTextFile(document), formatBlock(report, options)));
    await runShell(`${Deno.execPath()} fmt --quiet ${document.pathname}`, 10_000);
  }
}

async function facts(): Promise<Omit<Report, "results">> {
  const first = async (line: string) => (await runShell(line, 5000)).split("\n")[0]!.trim();
  return {
    date: new Date().toISOString().slice(0, 10),
    command: ["deno task bench:peers", ...Deno.args].join(" "),
    machine: {
      cores: navigator.hardwareConcurrency,
      processor: await first("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo"),
      kernel: await first("uname -r | sed 's/[^0-9.].*//'"),
    },
    versions: {
      hawser: VERSION,
      deno: Deno.version.deno,
      slirp4netns: await first("slirp4netns --version 2>&1 | sed 's/slirp4netns version //'"),
      pasta: await first("dpkg-query -W -f '${Version}' passt 2>/dev/null || pasta --version 2>/dev/null"),
      iperf3: await first("iperf3 --version | sed 's/iperf //; s/ .*//'"),
    },
  };
}

if (import.meta.main) {
  try {
    Deno.exit(await main());
  } catch (error) {
    console.error(`bench:peers: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
