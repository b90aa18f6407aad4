import { assertEquals } from "@std/assert";
import { Silence } from "../../../nat/tcp/silence.ts";
import { TCP_STATES } from "../../../nat/tcp/transitions.ts";
import { tcpContext } from "../../support/tcp_context.ts";

const TIMES = { connectTimeoutMs: 1, userTimeoutMs: 2, lastAckTimeoutMs: 3, keepAliveMs: 1000, keepAliveProbes: 3 };

function silence(): { silence: Silence; clock: { now: number } } {
  const clock = { now: 500 };
  const context = tcpContext({ now: () => clock.now, tcp: { ...TIMES, keepAliveIntervalMs: 100 } });
  return { silence: new Silence(context), clock };
}

Deno.test("Silence probes after keepAliveMs, then at each interval, and gives up after the last probe", () => {
  const { silence: one, clock } = silence();
  const probed: [number, boolean][] = [];
  for (let i = 0; i < 4; i++) {
    clock.now = one.probeAt;
    probed.push([clock.now, one.probe()]);
  }
  assertEquals(probed, [[1500, true], [1600, true], [1700, true], [1800, false]]);
});

Deno.test("Silence is over with any acceptable segment: the next probe is far again and all are to be had", () => {
  const { silence: one, clock } = silence();
  one.probe();
  one.probe();
  clock.now = 1650;
  one.heard();
  assertEquals([one.record.heardAt, one.probeAt], [1650, 2650]);
  assertEquals([one.probe(), one.probe(), one.probe(), one.probe()], [true, true, true, false]);
});

Deno.test("Silence allows an answer less time in the handshake and once our FIN was sent", () => {
  const { silence: one } = silence();
  for (const state of TCP_STATES) {
    const open = state === "SYN-SENT" ? 1 : state === "SYN-RECEIVED" ? 3 : 2;
    assertEquals(one.limitMs(state, false), open, state);
    assertEquals(one.limitMs(state, true), state === "SYN-SENT" ? 1 : 3, state);
  }
});
