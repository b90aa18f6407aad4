import { assertEquals } from "@std/assert";
import { formatFlows } from "../../cli/flow_report.ts";
import type { FlowInfo } from "../../nat/flow.ts";

const FLOW: FlowInfo = {
  protocol: "tcp",
  guest: "10.0.2.15:40000",
  target: "10.0.2.2:80",
  host: "127.0.0.1:80",
  state: "ESTABLISHED",
  bytesFromGuest: 5,
  bytesToGuest: 1234567,
  retransmissions: 0,
  ageMs: 61_000,
  idleMs: 49,
};

Deno.test("formatFlows aligns a line a flow under its headings", () => {
  assertEquals(
    formatFlows([FLOW, { ...FLOW, protocol: "udp", host: "[::1]:53", state: "open" }]),
    "PROTO  GUEST            HOST          STATE        FROM GUEST  TO GUEST  AGE     IDLE\n" +
      "tcp    10.0.2.15:40000  127.0.0.1:80  ESTABLISHED  5           1234567   61.0 s  0.0 s\n" +
      "udp    10.0.2.15:40000  [::1]:53      open         5           1234567   61.0 s  0.0 s\n",
  );
});

Deno.test("formatFlows says so when there are none", () => {
  assertEquals(formatFlows([]), "hawser: no flows\n");
});
