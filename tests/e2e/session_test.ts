import { assert, assertEquals, assertGreater } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { LOSSY_NEEDS, play } from "./lossy_guest.ts";
import { readOutcome } from "./run_support.ts";

const { ignore, reason } = requires(...LOSSY_NEEDS, "dumpcap", "tshark");
const SIZE = 1 << 20;
const EXCHANGES = (["guest", "host", "both"] as const).map((first) => ({ up: SIZE, down: SIZE, first }));

/** What flow control says in a good session: not a complaint about it. */
const FLOW_CONTROL = ["window_update", "window_full", "zero_window", "zero_window_probe", "zero_window_probe_ack"];
/** What a lost segment, or a lost acknowledgement, makes of a session that was captured whole. */
const REPAIR = [
  "duplicate_ack",
  "fast_retransmission",
  "retransmission",
  "spurious_retransmission",
  "out_of_order",
];

/** Reads fields of the frames that match, a line each, with every checksum verified. */
async function tshark(file: string, filter: string, ...fields: string[]): Promise<string[]> {
  const output = await new Deno.Command("tshark", {
    args: [
      ...["-n", "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-Y", filter],
      ...["-T", "fields", "-E", "occurrence=f", ...fields.flatMap((field) => ["-e", field])],
    ],
  }).output();
  const { code, stdout, stderr } = readOutcome(output);
  if (code !== 0) throw new Error(`Cannot read ${file}: ${stderr}`);
  return stdout.split("\n").filter((line) => line !== "");
}

/** How often each analysis flag stands in the capture. */
async function analysis(file: string): Promise<Record<string, number>> {
  const output = await new Deno.Command("tshark", {
    args: ["-n", "-r", file, "-Y", "tcp.analysis.flags", "-T", "json"],
  })
    .output();
  const counts: Record<string, number> = {};
  for (const [, flag] of readOutcome(output).stdout.matchAll(/"tcp\.analysis\.(?!flags)([a-z_]+)": ""/g)) {
    counts[flag!] = (counts[flag!] ?? 0) + 1;
  }
  return counts;
}

/**
 * Each connection has a FIN of either end, and no RST before both: only who hears a segment once more, after it has
 * forgotten the connection, tells so by one.
 */
function assertEndedInOrder(lines: readonly string[]): void {
  const finished = new Set<string>();
  for (const line of lines) {
    const [stream, source, reset] = line.split("\t");
    if (reset !== "1") finished.add(`${stream} ${source}`);
    else assert(finished.has(`${stream} 10.0.2.15`) && finished.has(`${stream} 10.0.2.2`), `${source}: ${line}`);
  }
  assertEquals(finished.size, 2 * EXCHANGES.length);
}

for (const lossPercent of [0, 2]) {
  Deno.test({
    name: `hawser run --no-offload at ${lossPercent} % loss: tshark finds nothing wrong with the session${reason}`,
    ignore,
    fn: async () => {
      const file = await Deno.makeTempFile({ suffix: ".pcapng" });
      try {
        await Deno.remove(file);
        await play({ flags: ["--no-offload"], lossPercent, atOnce: 1, capture: file }, EXCHANGES);
        const segments = await tshark(
          file,
          "tcp",
          ...["ip.checksum.status", "tcp.checksum.status", "frame.len", "tcp.checksum", "tcp.checksum_calculated"],
        );
        assertGreater(segments.length, 3 * 2 * SIZE / 1460);
        const good = segments.filter((line) => {
          const [ip, tcp, length, sum, calculated] = line.split("\t");
          // Linux writes a sum of zero as its other form, as UDP must, which is right and which tshark takes for wrong.
          const isRight = tcp === "1" || (sum === "0xffff" && calculated === "0x0000");
          return ip === "1" && isRight && Number(length) <= 1514;
        });
        assertEquals(segments.length - good.length, 0, "bad checksums or more than the MTU");
        assertEquals(await tshark(file, "_ws.malformed || tcp.options.mss_val < 536", "frame.number"), []);
        const flags = await analysis(file), allowed = [...FLOW_CONTROL, ...REPAIR];
        assertEquals(Object.keys(flags).filter((flag) => !allowed.includes(flag)), [], JSON.stringify(flags));
        // Without loss an answer may still be so late that a loss probe asks for it (RFC 8985 section 7).
        const repairs = REPAIR.reduce((sum, flag) => sum + (flags[flag] ?? 0), 0);
        if (lossPercent === 0) assert(repairs <= 12, JSON.stringify(flags));
        if (lossPercent > 0) assertGreater(flags["retransmission"] ?? 0, 10);
        assertEndedInOrder(await tshark(file, "tcp.flags & 5", "tcp.stream", "ip.src", "tcp.flags.reset"));
      } finally {
        await Deno.remove(file).catch(() => {});
      }
    },
  });
}
