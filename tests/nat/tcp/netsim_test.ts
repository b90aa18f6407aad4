/**
 * Goodput over a bad network, cell by cell, compared with `netsim_goodput.md`: a change that makes recovery from loss
 * better or worse shows there. After a change that is meant, write the tables anew and look at the difference:
 *
 * ```sh
 * HAWSER_NETSIM=write deno task test tests/nat/tcp/netsim_test.ts
 * ```
 */
import { assertEquals } from "@std/assert";
import type { LossyLinkOptions } from "../../../net/link/lossy.ts";
import { EndpointGuest } from "../../support/endpoint_guest.ts";
import { pattern, type SimGuest, type SimGuestParts, Simulation } from "../../support/netsim.ts";
import { PlainGuest } from "../../support/plain_guest.ts";

const TABLES = new URL("./netsim_goodput.md", import.meta.url);
const LOSS = [0, 0.005, 0.01, 0.02, 0.05, 0.1];
const DELAY_MS = [0, 2, 10, 50];
const RATE = 100e6;
const KIB = 1024, MIB = 1024 * KIB;
const NOTHING = new Uint8Array(0);
const PATTERN = pattern(4 * MIB);

/** One cell: who talks to whom over what. */
interface Cell {
  readonly guest: (parts: SimGuestParts) => SimGuest;
  readonly to: "guest" | "host";
  readonly mtu: number;
  readonly offload?: boolean;
  readonly family?: 4 | 6;
  readonly bytes: number;
  /** Transfers, each over a network of another seed. */
  readonly seeds: number;
}

/** `Mbit/s (segments sent again)` of the transfers of one cell. Every byte is checked, and that nothing is left. */
function measure(cell: Cell, impairment: LossyLinkOptions): string {
  let ms = 0, repeated = 0;
  for (let seed = 1; seed <= cell.seeds; seed++) {
    const sent = PATTERN.subarray(0, cell.bytes), expected = cell.to === "guest" ? sent : NOTHING;
    const sim = new Simulation({ ...cell, impairment: { rate: RATE, ...impairment }, seed, expected });
    sim.guest.connect();
    // A lost SYN costs a second, whatever comes after: the transfer is timed without it.
    sim.run("the connection is open", () => sim.flow?.state === "ESTABLISHED");
    const began = sim.clock.time;
    const outcome = cell.to === "guest" ? sendToGuest(sim, sent) : sendToHost(sim, sent);
    ms += outcome.endedAt - began;
    repeated += outcome.repeated;
    sim.end();
  }
  return `${(cell.bytes * cell.seeds * 8 / ms / 1000).toFixed(1)} (${repeated})`;
}

function sendToGuest(sim: Simulation, bytes: Uint8Array): { endedAt: number; repeated: number } {
  sim.socket.hostSends(bytes);
  sim.socket.hostEof();
  sim.run("the guest has heard everything", () => sim.guest.heard === bytes.length);
  const outcome = { endedAt: sim.clock.time, repeated: sim.flow!.retransmissions };
  sim.run("the guest has heard the end", () => sim.guest.heardEnd);
  sim.guest.finish();
  return outcome;
}

function sendToHost(sim: Simulation, bytes: Uint8Array): { endedAt: number; repeated: number } {
  sim.guest.say(bytes);
  sim.guest.finish();
  sim.run("the host has everything", () => sim.socket.receivedLength >= bytes.length);
  const outcome = { endedAt: sim.clock.time, repeated: sim.guest.repeated };
  assertEquals(sim.socket.received, bytes);
  sim.run("the host has heard the end", () => sim.socket.closeWriteCalled);
  sim.socket.hostEof();
  return outcome;
}

/** A table of cells, with a heading and a name for each row and column. */
function table(head: string[], rows: string[][]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const text = (line: string[]) => `| ${line.map((word, i) => word.padEnd(widths[i]!)).join(" | ")} |`;
  return [text(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(text)].join("\n");
}

function lossTable(cell: Cell): string {
  const head = ["delay", ...LOSS.map((loss) => `${loss * 100} % lost`)];
  const rows = DELAY_MS.map((delayMs) => [
    `${delayMs} ms`,
    ...LOSS.map((loss) => measure(cell, { loss, delayMs })),
  ]);
  return table(head, rows);
}

const DISTURBED: Record<string, LossyLinkOptions> = {
  "2 % twice": { delayMs: 10, duplicate: 0.02 },
  "20 % twice, 1 % lost": { delayMs: 10, duplicate: 0.2, loss: 0.01 },
  "0.5 % early": { delayMs: 10, reorder: 0.005 },
  "5 % early, 1 % lost": { delayMs: 10, reorder: 0.05, loss: 0.01 },
  "10 ms of jitter": { delayMs: 10, jitterMs: 10 },
  "all of it": { delayMs: 10, jitterMs: 10, duplicate: 0.05, reorder: 0.02, loss: 0.02 },
};
/** Acknowledgements alone are lost: on the path against the bytes. */
const ACKS_LOST: Record<Cell["to"], LossyLinkOptions> = {
  guest: { delayMs: 10, fromGuest: { delayMs: 10, loss: 0.2 } },
  host: { delayMs: 10, toGuest: { delayMs: 10, loss: 0.2 } },
};

function disturbedTable(cells: Record<string, Cell>): string {
  const rows = Object.entries(DISTURBED).map(([name, impairment]) => [
    name,
    ...Object.values(cells).map((cell) => measure(cell, impairment)),
  ]);
  rows.push(["20 % of ACKs lost", ...Object.values(cells).map((cell) => measure(cell, ACKS_LOST[cell.to]))]);
  return table(["delay 10 ms, and", ...Object.keys(cells)], rows);
}

/** Compares a section of the committed tables with what it is now, or writes it. */
function section(title: string, compute: () => string): void {
  Deno.test(`netsim goodput is that of the table: ${title}`, async () => {
    const text = await Deno.readTextFile(TABLES), now = `\n\n${compute()}\n`;
    const parts = text.split(/^(?=## )/m), at = parts.findIndex((part) => part.startsWith(`## ${title}\n`));
    const before = at < 0 ? "" : parts[at]!.slice(`## ${title}`.length).trimEnd() + "\n";
    if (Deno.env.get("HAWSER_NETSIM") === "write") {
      const written = `## ${title}${now}`;
      if (at < 0) parts.push(written);
      else parts[at] = written;
      await Deno.writeTextFile(TABLES, parts.map((part) => part.trimEnd()).join("\n\n") + "\n");
    } else {
      assertEquals(now, before, "If this is meant: HAWSER_NETSIM=write, and look at the difference");
    }
  });
}

function endpoint(parts: SimGuestParts): SimGuest {
  return new EndpointGuest(parts);
}

function plain(parts: SimGuestParts): SimGuest {
  return new PlainGuest(parts);
}

const small = { guest: endpoint, mtu: 1500 }, large = { guest: endpoint, mtu: 65520 };
const plainSmall = { guest: plain, mtu: 1500 }, plainLarge = { guest: plain, mtu: 65520 };

section("To our endpoint, MTU 1500", () => lossTable({ ...small, to: "guest", bytes: 2 * MIB, seeds: 2 }));
section("To our endpoint, MTU 65520", () => lossTable({ ...large, to: "guest", bytes: 3 * MIB, seeds: 2 }));
section("From our endpoint, MTU 1500", () => lossTable({ ...small, to: "host", bytes: 1 * MIB, seeds: 1 }));
section("From our endpoint, MTU 65520", () => lossTable({ ...large, to: "host", bytes: 3 * MIB, seeds: 1 }));
section("To a plain peer, MTU 1500", () => lossTable({ ...plainSmall, to: "guest", bytes: 128 * KIB, seeds: 4 }));
section("To a plain peer, MTU 65520", () => lossTable({ ...plainLarge, to: "guest", bytes: 1 * MIB, seeds: 2 }));
section("From a plain peer, MTU 1500", () => lossTable({ ...plainSmall, to: "host", bytes: 128 * KIB, seeds: 2 }));
section("From a plain peer, MTU 65520", () => lossTable({ ...plainLarge, to: "host", bytes: 1 * MIB, seeds: 1 }));

section("Offload: segments of 64 KiB are lost whole, MTU 1500", () => {
  return lossTable({ ...small, offload: true, to: "guest", bytes: 3 * MIB, seeds: 1 });
});

const small6 = { ...small, family: 6 } as const, plain6 = { ...plainSmall, family: 6 } as const;

section("Over IPv6: to our endpoint, MTU 1500", () => lossTable({ ...small6, to: "guest", bytes: 1 * MIB, seeds: 1 }));

section("Over IPv6: duplication, reordering and jitter, MTU 1500", () =>
  disturbedTable({
    "to our endpoint": { ...small6, to: "guest", bytes: 1 * MIB, seeds: 1 },
    "in segments of 64 KiB": { ...small6, offload: true, to: "guest", bytes: 3 * MIB, seeds: 2 },
    "from our endpoint": { ...small6, to: "host", bytes: 1 * MIB, seeds: 1 },
    "to a plain peer": { ...plain6, to: "guest", bytes: 128 * KIB, seeds: 1 },
    "from a plain peer": { ...plain6, to: "host", bytes: 128 * KIB, seeds: 1 },
  }));

section("Duplication, reordering and jitter, MTU 1500", () =>
  disturbedTable({
    "to our endpoint": { ...small, to: "guest", bytes: 2 * MIB, seeds: 1 },
    "from our endpoint": { ...small, to: "host", bytes: 1 * MIB, seeds: 1 },
    "to a plain peer": { ...plainSmall, to: "guest", bytes: 256 * KIB, seeds: 1 },
    "from a plain peer": { ...plainSmall, to: "host", bytes: 256 * KIB, seeds: 1 },
  }));
