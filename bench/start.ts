/**
 * `deno task bench:start [ROUNDS]`: how soon the one file is there, and what it holds when it has nothing to do.
 *
 * It builds the file, then takes turns between an empty Deno program and each command, so that what else the machine
 * does meets all of them. The memory is that of `hawser serve` with one guest, beside a Deno program that only waits,
 * and what each of 50 further guests adds. A guest is a connection of QEMU's framing that has asked who the gateway is.
 * Packets go to loopback and to the namespace of `run`.
 *
 * @module
 */
import { runShell, startShell } from "./peers/shell.ts";
import { median } from "./peers/statistics.ts";

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);
const FURTHER_GUESTS = 50;
const SETTLE_MS = 1500;
const LIMIT_MS = 60_000;
/** An ARP request of 10.0.2.15 for 10.0.2.2 behind the length of its frame. */
const WHO_IS_GATEWAY = "0000002affffffffffff525400000001080600010800060400015254000000010a00020f0000000000000a000202";

/** What is started, as a shell line in which `$FILE` is Hawser and `$EMPTY` an empty program. */
const LINES: readonly (readonly [name: string, line: string])[] = [
  ["an empty Deno program", "deno run --no-config $EMPTY"],
  ["hawser --version", "$FILE --version"],
  ["hawser run -- true", "$FILE run -D none -- true"],
  [
    "hawser serve, to its ready byte",
    "rm -f $FIFO $SOCKET; mkfifo $FIFO; $FILE serve -D none --listen unix:$SOCKET --ready-fd 3 3>$FIFO >&- 2>&- & " +
    "head -c 1 <$FIFO; kill -KILL $!; wait",
  ],
];

const folder = await Deno.makeTempDir({ prefix: "hawser-start-" });
try {
  const rounds = Number(Deno.args[0] ?? 15);
  await runShell(`cd ${ROOT} && deno task build --output ${folder}`, LIMIT_MS);
  await Deno.writeTextFile(`${folder}/empty.js`, "");
  const names = `FILE=${folder}/hawser EMPTY=${folder}/empty.js SOCKET=${folder}/socket FIFO=${folder}/fifo`;
  const times = LINES.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, [, line]] of LINES.entries()) {
      const began = performance.now();
      await runShell(`export ${names}; ${line}`, LIMIT_MS);
      times[i]!.push(performance.now() - began);
    }
  }
  const empty = median(times[0]!);
  console.log(`medians of ${rounds} alternating rounds`);
  for (const [i, [name]] of LINES.entries()) {
    const more = times[i]!.map((time, round) => time - times[0]![round]!);
    const beyond = i === 0 ? "" : `, ${Math.round(median(more))} more than the empty one`;
    console.log(`${name}: ${Math.round(i === 0 ? empty : median(times[i]!))} ms${beyond}`);
  }
  await reportMemory(folder);
} finally {
  await Deno.remove(folder, { recursive: true });
}

async function reportMemory(folder: string): Promise<void> {
  await Deno.writeTextFile(`${folder}/waits.js`, "setInterval(() => {}, 1e9);");
  const idle = startShell(`exec deno run --no-config ${folder}/waits.js`);
  const serve = startShell(`exec ${folder}/hawser serve -D none --listen tcp:127.0.0.1:0 2>${folder}/log`);
  const guests: Deno.Conn[] = [];
  try {
    const port = await portOf(`${folder}/log`);
    guests.push(await becomeGuest(port));
    const one = await residentMb(serve.pid);
    for (let i = 0; i < FURTHER_GUESTS; i++) guests.push(await becomeGuest(port));
    const all = await residentMb(serve.pid);
    console.log(`resident memory, idle: ${one.toFixed(1)} MB, of Deno ${(await residentMb(idle.pid)).toFixed(1)} MB`);
    console.log(`each further guest: ${((all - one) / FURTHER_GUESTS).toFixed(2)} MB`);
  } finally {
    for (const guest of guests) guest.close();
    await Promise.all([idle.end(), serve.end()]);
  }
}

async function portOf(log: string): Promise<number> {
  const end = performance.now() + LIMIT_MS;
  for (;;) {
    const port = /^listening on tcp:127\.0\.0\.1:(\d+)$/m.exec(await Deno.readTextFile(log).catch(() => ""))?.[1];
    if (port !== undefined) return Number(port);
    if (performance.now() > end) throw new Error("Cannot measure: hawser serve does not listen");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function becomeGuest(port: number): Promise<Deno.Conn> {
  const guest = await Deno.connect({ port });
  await guest.write(Uint8Array.from(WHO_IS_GATEWAY.match(/../g)!, (byte) => Number.parseInt(byte, 16)));
  if (await guest.read(new Uint8Array(2048)) === null) throw new Error("Cannot measure: a guest was turned away");
  return guest;
}

/** By `sed`, because Deno wants every permission for what is in /proc. */
async function residentMb(pid: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return Number(await runShell(`sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/${pid}/status`, LIMIT_MS)) / 1024;
}
