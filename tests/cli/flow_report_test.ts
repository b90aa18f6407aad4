import { assertEquals } from "@std/assert";
import { formatReport, reportOf } from "../../cli/flow_report.ts";
import { type Counters, createCounters } from "../../nat/base/counters.ts";
import { createEndings, type Endings } from "../../nat/flow/endings.ts";
import type { Totals } from "../../nat/flow/events.ts";
import type { FlowInfo } from "../../nat/flow/flow.ts";

const FLOW: FlowInfo = {
  number: 1,
  protocol: "tcp",
  guestNumber: 1,
  guest: "10.0.2.15:40000",
  target: "10.0.2.2:80",
  host: "127.0.0.1:80",
  openedBy: "guest",
  state: "ESTABLISHED",
  bytesFromGuest: 5,
  bytesToGuest: 1234567,
  bytesToHost: 4,
  bytesFromHost: 12345678,
  retransmissions: 3,
  ageMs: 61_000,
  idleMs: 49,
};

const NOTHING: Totals = { flows: 0, refused: 0, bytesFromGuest: 0, bytesToGuest: 0 };

function report(
  flows: FlowInfo[],
  endings: Partial<Endings> = {},
  counters: Partial<Counters> = {},
  totals: Totals = NOTHING,
): string {
  // As the Worker sends it.
  return formatReport(structuredClone(reportOf({
    flows: () => flows,
    totals: () => totals,
    endings: () => ({ ...createEndings(), ...endings }),
    counters: () => ({ ...createCounters(), ...counters }),
  })));
}

Deno.test("formatReport aligns a line a flow under its headings, numbers to the right, with totals", () => {
  assertEquals(
    report([FLOW, { ...FLOW, protocol: "udp", host: "[::1]:53", target: "10.0.2.3:53", state: "open" }]),
    "PROTO  GUEST            HOST          STATE        FROM GUEST  TO HOST  FROM HOST  TO GUEST  REPEATED     AGE   IDLE  TARGET\n" +
      "tcp    10.0.2.15:40000  127.0.0.1:80  ESTABLISHED           5        4   12345678   1234567         3  61.0 s  0.0 s  10.0.2.2:80\n" +
      "udp    10.0.2.15:40000  [::1]:53      open                  5        4   12345678   1234567         3  61.0 s  0.0 s  10.0.2.3:53\n" +
      "total: 1 tcp, 1 udp; 10 bytes from the guest, 2469134 to it, 6 segments repeated\n",
  );
});

Deno.test("formatReport numbers the guests where there are several", () => {
  const lines = report([FLOW, { ...FLOW, guestNumber: 12 }]).split("\n");
  assertEquals(lines.slice(0, 3).map((line) => line.slice(0, 10)), ["NO  PROTO ", " 1  tcp   ", "12  tcp   "]);
});

Deno.test("formatReport says so when there is no flow, and nothing of what never happened", () => {
  assertEquals(report([]), "hawser: no flows\n");
});

Deno.test("formatReport tells how flows ended and what was dropped, by name, number and meaning", () => {
  assertEquals(
    report([], { guestFirst: 118, refusedByHost: 2 }, { tcpStray: 7 }),
    "hawser: no flows\n" +
      "120 flows have ended:\n" +
      "  guestFirst     118  both sides finished, the guest first\n" +
      "  refusedByHost    2  refused by the host\n" +
      "7 frames, packets or flows were dropped or refused:\n" +
      "  tcpStray  7  TCP segment of no known connection\n",
  );
});

Deno.test("formatReport says what there was since the start", () => {
  assertEquals(
    report([], {}, {}, { flows: 12, refused: 3, bytesFromGuest: 100, bytesToGuest: 2000 }),
    "hawser: no flows\nsince the start: 12 flows, 3 refused; 100 bytes from guests, 2000 to them\n",
  );
});
