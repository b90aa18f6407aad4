/**
 * Whether the audit is complete under load: so many flows a second that rules allow, as many that they refuse, for some
 * seconds, counted against the server and against the guest itself.
 *
 * The guest is a program in `hawser run`; it begins flows in small bunches, so that the load is bounded and known. The
 * last line says what was counted, and the exit code is 1 if the audit lacks anything.
 *
 * @module
 */
import { readRecords } from "../audit/replay.ts";
import { UsageReader } from "../audit/usage.ts";

const [perSecond = 500, seconds = 10] = Deno.args.map(Number);
const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);
const HAWSER = ["run", "--no-prompt", "--allow-read", "--allow-write", "--allow-ffi", "--allow-net", "--allow-env"];

/** Runs words, and then says how many segments the kernel has sent again. */
const COUNT = `"$@"; awk '$1 == "Tcp:" { sent = $13 } END { print sent }' /proc/net/snmp`;

/** Answers each connection with a byte and counts it. */
class Server {
  connections = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly port: number = this.#listener.addr.port;

  async run(): Promise<void> {
    for await (const conn of this.#listener) {
      this.connections++;
      void conn.write(Uint8Array.of(1)).catch(() => {}).then(() => conn.close());
    }
  }

  close(): void {
    this.#listener.close();
  }
}

const server = new Server(), served = server.run();
const folder = await Deno.makeTempDir(), audit = `${folder}/audit.jsonl`;
const guest = [Deno.execPath(), "run", "--no-prompt", "--allow-net=10.0.2.2", `${ROOT}bench/audit_guest.ts`];
const options = ["--dns", "none", "--log-level", "error", "--allow", `10.0.2.2:${server.port}`, "--audit", audit];
const words = [`${server.port}`, `${perSecond}`, `${seconds}`];
const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
  // What the guest's kernel sends again, since it was not answered at once, is refused again.
  args: [...HAWSER, `${ROOT}cli.ts`, "run", ...options, "--", "sh", "-c", COUNT, "sh", ...guest, ...words],
}).output();
if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
server.close();
await served;
const [result = "", again] = new TextDecoder().decode(stdout).split("\n"), repeated = Number(again);
const seen = JSON.parse(result) as { allowed: number; refused: number; elapsedMs: number };
const text = await Deno.readTextFile(audit), usage = new UsageReader(), counts: Record<string, number> = {};
await Deno.remove(folder, { recursive: true });
let next = 1, missing = 0;
for (const record of readRecords(text.split("\n"), audit)) {
  missing += record.seq - next;
  next = record.seq + 1;
  counts[record.event] = (counts[record.event] ?? 0) + (record.event === "refuse" ? record.count : 1);
  usage.take(record);
}
const { open = 0, close = 0, refuse = 0, gap = 0 } = counts;
const isComplete = missing === 0 && gap === 0 && open === server.connections && close === open &&
  open === seen.allowed && refuse >= seen.refused && refuse <= seen.refused + repeated;
const rate = ((seen.allowed + seen.refused) / seen.elapsedMs * 1000).toFixed(0);
console.log(
  `${isComplete ? "complete" : "INCOMPLETE"}: ${rate} flows/s for ${(seen.elapsedMs / 1000).toFixed(1)} s; ` +
    `allowed ${seen.allowed}, server ${server.connections}, open ${open}, close ${close}; ` +
    `refused ${seen.refused}, segments repeated ${repeated}, refuse ${refuse}; missing ${missing}, gaps ${gap}; ${text.length} bytes`,
);
Deno.exit(isComplete ? 0 : 1);
