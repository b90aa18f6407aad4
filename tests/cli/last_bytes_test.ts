import { assertEquals } from "@std/assert";
import { type Ending, GRACE_MS, IDLE_MS, LastBytes } from "../../cli/last_bytes.ts";
import type { FlowInfo } from "../../nat/flow/flow.ts";

const STEP_MS = 5;

/** A gateway that the test changes while it is waited for. */
class Script implements Ending {
  list: FlowInfo[] = [];
  inLinks = 0;
  inSockets = 0;
  time = 1000;
  readonly warnings: string[] = [];

  flows(): FlowInfo[] {
    return this.list;
  }

  frames(): number {
    return this.inLinks;
  }

  unwritten(): number {
    return this.inSockets;
  }

  now(): number {
    return this.time;
  }

  warn(line: string): void {
    this.warnings.push(line);
  }

  /** Looks until it is over, at most this long: how long it took, or null. */
  wait(last: LastBytes, mostMs: number): number | null {
    const began = this.time;
    while (!last.isOver()) {
      if (this.time - began >= mostMs) return null;
      this.time += STEP_MS;
    }
    return this.time - began;
  }
}

function flow(state: FlowInfo["state"], fields: Partial<FlowInfo> = {}): FlowInfo {
  return {
    number: 1,
    protocol: "tcp",
    guestNumber: 1,
    guest: "10.0.2.15:40000",
    target: "10.0.2.2:80",
    host: "127.0.0.1:80",
    openedBy: "guest",
    state,
    bytesFromGuest: 0,
    bytesToGuest: 0,
    bytesToHost: 0,
    bytesFromHost: 0,
    retransmissions: 0,
    ageMs: 60_000,
    idleMs: 0,
    ...fields,
  };
}

const OWED = { bytesFromGuest: 100, bytesToHost: 60 };
const GIVEN = { bytesFromGuest: 100, bytesToHost: 100 };

const AWAITED: readonly [what: string, flow: FlowInfo, ofEnded: boolean, ofLiving: boolean][] = [
  ["a guest's SYN that the host has not answered", flow("LISTEN"), false, false],
  ["a client whom the guest has not answered", flow("SYN-SENT"), false, false],
  ["a handshake whose last ACK was not read", flow("SYN-RECEIVED"), true, false],
  ["a connection without an end", flow("ESTABLISHED", GIVEN), true, false],
  ["a connection without an end that owes bytes", flow("ESTABLISHED", OWED), true, false],
  ["a host's FIN without an answer", flow("FIN-WAIT-1", GIVEN), true, true],
  ["a host that has finished, before its guest", flow("FIN-WAIT-2", GIVEN), true, false],
  ["a guest that has finished, and was passed on", flow("CLOSE-WAIT", GIVEN), false, false],
  ["a guest that has finished, with bytes owed", flow("CLOSE-WAIT", OWED), true, true],
  ["FINs that crossed", flow("CLOSING", GIVEN), false, true],
  ["both finished, the host's FIN without its ACK", flow("LAST-ACK", GIVEN), false, true],
  ["both finished, with bytes owed", flow("LAST-ACK", OWED), true, true],
  ["TIME-WAIT", flow("TIME-WAIT", GIVEN), false, false],
  ["TIME-WAIT with bytes owed", flow("TIME-WAIT", OWED), true, true],
  ["a relay that drains", flow("draining", OWED), true, true],
  ["a mapping of UDP", flow("open", { protocol: "udp", ...OWED }), false, false],
];

for (const [what, info, ofEnded, ofLiving] of AWAITED) {
  for (const guestsHaveEnded of [true, false]) {
    const awaits = guestsHaveEnded ? ofEnded : ofLiving;
    Deno.test(`LastBytes of guests that ${guestsHaveEnded ? "have ended" : "live"} ${awaits ? "awaits" : "does not await"} ${what}`, () => {
      const script = new Script(), last = new LastBytes(script, { guestsHaveEnded });
      script.list = [info];
      assertEquals(script.wait(last, 500) === null, awaits);
      script.list = [];
      assertEquals(script.wait(last, 0) !== null || script.wait(last, 20) !== null, true);
      assertEquals(script.warnings, []);
    });
  }
}

Deno.test("LastBytes awaits frames of guests that have ended, looks again when there are none, and forgets the looks before", () => {
  const script = new Script(), last = new LastBytes(script, { guestsHaveEnded: true });
  assertEquals([last.isOver(), last.isOver()], [false, false]);
  script.inLinks = 1;
  assertEquals(script.wait(last, 1000), null);
  script.inLinks = 0;
  assertEquals([last.isOver(), last.isOver(), last.isOver()], [false, false, true]);
});

Deno.test("LastBytes of guests that live does not await their frames, nor a flow that is younger than the end", () => {
  const script = new Script(), last = new LastBytes(script, { guestsHaveEnded: false });
  script.inLinks = 7;
  script.time += 100;
  script.list = [flow("CLOSE-WAIT", { ...OWED, ageMs: 99 })];
  assertEquals(last.isOver(), true);
  script.list = [flow("CLOSE-WAIT", { ...OWED, ageMs: 101 })];
  assertEquals(last.isOver(), false);
});

Deno.test("LastBytes awaits what the host's sockets hold, of both kinds of guests", () => {
  for (const guestsHaveEnded of [true, false]) {
    const script = new Script(), last = new LastBytes(script, { guestsHaveEnded });
    script.inSockets = 4096;
    assertEquals(script.wait(last, 1000), null);
    script.inSockets = 0;
    assertEquals(script.wait(last, 20) !== null, true);
  }
});

Deno.test("LastBytes goes on for ever while a host takes a byte now and then", () => {
  const script = new Script(), last = new LastBytes(script, { guestsHaveEnded: true });
  for (let toHost = 0; toHost < 100; toHost++) {
    script.list = [flow("CLOSE-WAIT", { bytesFromGuest: 100, bytesToHost: toHost })];
    assertEquals(script.wait(last, IDLE_MS - 1000), null);
  }
  script.list = [];
  assertEquals(script.wait(last, 20), 10);
  assertEquals(script.warnings, []);
});

Deno.test("LastBytes takes the end of one flow, and bytes that a guest acknowledges, for progress", () => {
  const script = new Script(), last = new LastBytes(script, { guestsHaveEnded: true });
  const stuck = flow("CLOSE-WAIT", OWED);
  script.list = [stuck, flow("FIN-WAIT-1")];
  assertEquals(script.wait(last, IDLE_MS - 1000), null);
  script.list = [stuck, flow("FIN-WAIT-1", { bytesToGuest: 1 })];
  assertEquals(script.wait(last, IDLE_MS - 1000), null);
  script.list = [stuck];
  assertEquals(script.wait(last, IDLE_MS - 1000), null);
});

Deno.test("LastBytes gives up after a minute in which nothing moves, frames or not, and names the flow", () => {
  const script = new Script(), last = new LastBytes(script, { guestsHaveEnded: true });
  script.list = [flow("CLOSE-WAIT", OWED), flow("ESTABLISHED", { guest: "10.0.2.15:40001" })];
  for (let ms = 0; ms < IDLE_MS - STEP_MS; ms += STEP_MS) {
    // The guest's kernel probes the window.
    script.inLinks ^= 1;
    assertEquals(last.isOver(), false);
    script.time += STEP_MS;
  }
  assertEquals(script.wait(last, 20) !== null, true);
  assertEquals(script.warnings, [
    "Flow tcp 10.0.2.15:40000 > 10.0.2.2:80 to 127.0.0.1:80: the host has not taken 40 bytes: given up after 60 s without progress",
    "Flow tcp 10.0.2.15:40001 > 10.0.2.2:80 to 127.0.0.1:80: the guest has not finished (ESTABLISHED): given up after 60 s without progress",
  ]);
});

Deno.test("LastBytes gives guests that live ten seconds, and names five flows of many", () => {
  const script = new Script(), last = new LastBytes(script, { guestsHaveEnded: false });
  script.list = Array.from({ length: 8 }, () => flow("CLOSE-WAIT", OWED));
  script.inSockets = 12;
  assertEquals(script.wait(last, 20_000), GRACE_MS);
  assertEquals(script.warnings.length, 7);
  assertEquals(script.warnings.slice(5), [
    "3 more flows: given up after 10 s without progress",
    "12 bytes that the host's sockets hold: given up after 10 s without progress",
  ]);
});
