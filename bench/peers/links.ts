/**
 * `deno task bench:links [--rounds N] [--seconds N]`: one guest on a stream link of QEMU's kind, Hawser beside passt,
 * bulk TCP each way.
 *
 * Both stacks listen on a unix socket and serve the same client (`link_client.ts`), which talks to the same server on
 * the host's loopback. A stack is started anew for each transfer, by turns, in reversed order every other round.
 *
 * @module
 */
import { usageOf } from "./processes.ts";
import { BenchFiles, delay, runShell, type Shell, startShell } from "./shell.ts";
import { summarize } from "./statistics.ts";

/** Who is measured. */
export type LinkStack = "hawser" | "passt";

/**
 * A transfer: what the receiver got in megabits a second, and the shares of a core that the stack and the client took.
 */
export interface Transfer {
  /** Megabits a second. */
  mbps: number;
  /** Share of a core that the client took. */
  client: number;
  /** Share of a core that the stack took. */
  stack: number;
}

/** What is measured of both stacks: by stack, a transfer a round. */
export interface LinkRow {
  /** MTU of the link. */
  mtu: number;
  /** Guest to host, or host to guest. */
  way: "g2h" | "h2g";
  /** A transfer for each round. */
  transfers: Record<LinkStack, Transfer[]>;
}

const HERE = new URL("./", import.meta.url).pathname;
const DENO = `${Deno.execPath()} run --no-check`;
const PERMISSIONS = "--allow-read --allow-write --allow-ffi --allow-net --allow-env";
const SCRIPTS: Record<LinkStack, string> = {
  hawser:
    `exec ${DENO} ${PERMISSIONS} ${HERE}../../cli.ts serve --dns none --log-level warn -m "$MTU" --listen "unix:$LINK"`,
  // Everything that the address of a host's interface would decide is named, so that any interface will do.
  passt: `exec passt --runas 0 -q -f -4 --socket "$LINK" -m "$MTU" -a 10.0.2.15 -n 255.255.255.0 -g 10.0.2.2 ` +
    `-i "$(ls /sys/class/net | grep -vx lo | head -n 1)" -D none -t none -u none --no-dhcp --no-ra --no-ndp --no-dhcpv6`,
};
const START_TIMEOUT_MS = 10_000;

/** Reads the words. Throws a `TypeError` that says what would be right. */
export function parseLinksOptions(words: readonly string[]): { rounds: number; seconds: number } {
  const options = { rounds: 5, seconds: 3 };
  for (let i = 0; i < words.length; i += 2) {
    const word = words[i]!, value = words[i + 1] ?? "";
    if (word !== "--rounds" && word !== "--seconds") {
      throw new TypeError(`Unknown option ${word}: there are --rounds and --seconds`);
    }
    if (!/^[1-9]\d?$/.test(value)) throw new TypeError(`${word} takes 1 to 99, not ${value || "nothing"}`);
    options[word === "--rounds" ? "rounds" : "seconds"] = Number(value);
  }
  return options;
}

/** A table in Markdown: medians with the spread, their ratio, and who was busy. */
export function formatLinks(rows: readonly LinkRow[]): string {
  const cell = (values: readonly number[], digits: number) => {
    const { median, min, max } = summarize(values),
      [middle, least, most] = [median, min, max].map((value) => value.toFixed(digits));
    return values.length > 1 ? `${middle} (${least}–${most})` : middle!;
  };
  const lines = rows.map(({ mtu, way, transfers: { hawser, passt } }) => {
    const speed = (transfers: Transfer[]) => transfers.map(({ mbps }) => mbps);
    const cores = (transfers: Transfer[]) =>
      `${cell(transfers.map(({ stack }) => stack), 2)}, ${cell(transfers.map(({ client }) => client), 2)}`;
    const ratio = summarize(speed(hawser)).median / summarize(speed(passt)).median;
    return [
      `${mtu}, ${way === "g2h" ? "guest to host" : "host to guest"}`,
      cell(speed(hawser), 0),
      cell(speed(passt), 0),
      ratio.toFixed(2),
      cores(hawser),
      cores(passt),
    ];
  });
  const head = [
    "MTU and way",
    "Hawser, Mbit/s",
    "passt, Mbit/s",
    "ratio",
    "cores: Hawser, its client",
    "cores: passt, its client",
  ];
  return [head, head.map(() => "---"), ...lines].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

async function measure(
  name: LinkStack,
  what: { mtu: number; way: string; port: string; seconds: number },
): Promise<Transfer> {
  const { mtu, way, port, seconds } = what, files = new BenchFiles(), path = files.path("link");
  const shell = startShell(SCRIPTS[name], { MTU: String(mtu), LINK: path });
  try {
    await untilThere(path, shell);
    const client = `${DENO} --no-config --allow-read --allow-write --allow-net ${HERE}link_client.ts`;
    // The warm-up is part of what the stack took: the share is of the whole time.
    const began = performance.now(), before = (await usageOf(shell.pid, 0)).cpuSeconds;
    const output = await runShell(`exec ${client} ${way} ${path} ${mtu} ${port} ${seconds}`, 1000 * seconds + 20_000);
    const elapsed = (performance.now() - began) / 1000, used = (await usageOf(shell.pid, 0)).cpuSeconds - before;
    if (output === "") throw new Error(`Cannot measure ${name} ${mtu} ${way}: the client failed`);
    const { mbps, cpu } = JSON.parse(output);
    return { mbps, client: cpu, stack: used / elapsed };
  } finally {
    await shell.end();
    files.remove();
  }
}

async function untilThere(path: string, shell: Shell): Promise<void> {
  for (const end = Date.now() + START_TIMEOUT_MS; Date.now() < end; await delay(20)) {
    if (shell.hasEnded) throw new Error(`Cannot start: ${await shell.complaint()}`);
    try {
      // passt listens for one connection, so this must not be tried by connecting.
      if (Deno.statSync(path).isSocket) return await delay(200);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`Cannot start: nothing listens after ${START_TIMEOUT_MS / 1000} s`);
}

async function main(): Promise<void> {
  const { rounds, seconds } = parseLinksOptions(Deno.args);
  if ((await runShell("command -v passt", 5000)) === "") throw new Error("passt not found; install it");
  const files = new BenchFiles(), portFile = files.path("port");
  const server = startShell(`exec ${DENO} --no-config --allow-net=127.0.0.1 ${HERE}link_server.ts >"$FILE"`, {
    FILE: portFile,
  });
  const rows = [1500, 65520].flatMap((mtu) =>
    (["g2h", "h2g"] as const).map((way): LinkRow => ({ mtu, way, transfers: { hawser: [], passt: [] } }))
  );
  try {
    let port = "";
    for (let i = 0; i < 500 && port === ""; i++, await delay(10)) port = readOrEmpty(portFile).trim();
    const steps = rows.flatMap((row) => (["hawser", "passt"] as const).map((name) => ({ row, name })));
    for (let round = 0; round < rounds; round++) {
      for (const { row, name } of round % 2 === 0 ? steps : steps.toReversed()) {
        console.error(`round ${round + 1} of ${rounds}: ${name} ${row.mtu} ${row.way}`);
        row.transfers[name].push(await measure(name, { ...row, port, seconds }));
      }
    }
  } finally {
    await server.end();
    files.remove();
  }
  console.log(formatLinks(rows));
}

function readOrEmpty(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(`bench:links: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
