/**
 * Whether the audit is complete under load: a guest begins connections at a steady rate, half of them refused, and what
 * the audit says is counted against the log of the servers and against what the guest saw.
 *
 * ```sh
 * deno run --allow-read --allow-write --allow-run --allow-env --allow-ffi tests/e2e/names_load.ts 1000 10
 * ```
 *
 * It needs root. A shorter run is a test (`names_load_test.ts`).
 *
 * @module
 */
import { Internet } from "./internet.ts";
import { type AuditLine, readAudit } from "./names_support.ts";

/** What was counted. */
export interface LoadCounts {
  /** Connections that the guest began, and how many of them were answered, refused, or ended otherwise. */
  readonly guest: { readonly answered: number; readonly refused: number; readonly failed: number; readonly ms: number };
  /** Connections that reached the servers. */
  readonly servers: number;
  /** Flows that the audit opened and closed, refusals it counted, and records that were lost. */
  readonly audit: { readonly open: number; readonly close: number; readonly refused: number; readonly gaps: number };
  /** What Hawser wrote to stderr. */
  readonly stderr: string;
}

/** Runs the guest and counts. */
export async function countLoad(internet: Internet, rate: number, seconds: number): Promise<LoadCounts> {
  const audit = `${internet.folder}/load.jsonl`, guest = new URL("./names_load_guest.ts", import.meta.url).pathname;
  const words = ["registry.example", "7000", "7001", `${rate}`, `${seconds}`];
  const outcome = await internet.hawser([
    ...["run", "--allow", "registry.example:7000", "--audit", audit, "--"],
    ...[Deno.execPath(), "run", "--quiet", "--no-config", "--allow-net", guest, ...words],
  ]);
  if (outcome.code !== 0) throw new Error(`The guest ended with ${outcome.code}: ${outcome.stderr}`);
  const lines = readAudit(await Deno.readTextFile(audit));
  const of = (event: string): AuditLine[] => lines.filter((line) => line.event === event);
  lines.forEach((line, i) => {
    if (line["seq"] !== (lines[0]!["seq"] as number) + i) throw new Error(`Record ${i} has the number ${line["seq"]}`);
  });
  return {
    guest: JSON.parse(outcome.stdout),
    servers: (await internet.visits()).filter(({ kind }) => kind === "echo").length,
    audit: {
      open: of("open").length,
      close: of("close").length,
      refused: of("refuse").reduce((sum, { count = 1 }) => sum + (count as number), 0),
      gaps: of("gap").length,
    },
    stderr: outcome.stderr,
  };
}

if (import.meta.main) {
  await using internet = await Internet.start();
  console.log(await countLoad(internet, Number(Deno.args[0] ?? 1000), Number(Deno.args[1] ?? 10)));
}
