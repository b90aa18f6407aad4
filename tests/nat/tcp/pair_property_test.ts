import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { TcpState } from "../../../nat/tcp/transitions.ts";
import { checkProperty } from "../../support/properties.ts";
import { type Deed, type Fate, FATES, type PairScript, TcpPair } from "../../support/tcp_pair.ts";

const MINUTE = 60_000;
/** No loss of a mild channel lasts so long. */
const PATIENT = { connectTimeoutMs: 20 * MINUTE, userTimeoutMs: 20 * MINUTE, lastAckTimeoutMs: 20 * MINUTE };
/** A lost RST leaves the other side alone with a connection that only probes end. */
const PROBING = { keepAliveMs: 2 * MINUTE, keepAliveIntervalMs: 10_000 };
/** What users do who let the connection end as it will; how often each comes says how likely it is. */
const CALM = ["write", "write", "write", "write", "read", "read", "close"] as const;

const PASS: Fate = { is: "pass", ms: 0 };
const LOSE: Fate = { is: "lose", ms: 0 };

interface Kind {
  readonly fates: readonly Fate["is"][];
  readonly mostFates: number;
  readonly mostMs: number;
  readonly deeds: readonly Deed["does"][];
  /** Bounds of buffers from which on endpoints hold back; small ones drop what came. */
  readonly maxBufferBytes: readonly number[];
}

const ROOMY = [Infinity];
const SHORT = [Infinity, Infinity, 200_000, 20_000];

function pairScript({ fates, mostFates, mostMs, deeds, maxBufferBytes }: Kind): fc.Arbitrary<PairScript> {
  const fate = fc.record({ is: fc.constantFrom(...fates), ms: fc.nat(mostMs) });
  const channel = fc.array(fate, { maxLength: mostFates, size: "max" });
  const deed = fc.record({
    at: fc.nat(3000),
    side: fc.constantFrom(0 as const, 1 as const),
    does: fc.constantFrom(...deeds),
    bytes: fc.oneof(fc.nat(40), fc.nat(6000), fc.nat(40_000)),
  });
  const near = fc.integer({ min: -3000, max: 3000 }).map((n) => n >>> 0);
  const mss = fc.constantFrom(100, 536, 1460);
  return fc.record({
    initial: fc.tuple(near, near),
    mss: fc.tuple(mss, mss),
    burst: fc.constantFrom(1, 4),
    receiveLimit: fc.constantFrom(1 << 20, 4096, 1000, 200_000),
    sendLimit: fc.constantFrom(1 << 20, 8192),
    maxBufferBytes: fc.constantFrom(...maxBufferBytes),
    acceptAfter: fc.constantFrom(0, 1, 700, 1500, -1),
    plain: fc.boolean(),
    eager: fc.boolean(),
    fates: fc.tuple(channel, channel),
    deeds: fc.array(deed, { maxLength: 10, size: "max" }),
  });
}

/** Scripts that showed a defect once. */
const FOUND: readonly PairScript[] = [
  // A repeated segment has an older sequence number and a newer ACK: its window was not taken, and the old one counted
  // from the new ACK.
  {
    initial: [0, 0],
    mss: [536, 536],
    burst: 1,
    receiveLimit: 1000,
    sendLimit: 1 << 20,
    maxBufferBytes: Infinity,
    acceptAfter: 0,
    plain: false,
    eager: false,
    fates: [[], [PASS, PASS, LOSE, PASS, LOSE]],
    deeds: [
      { at: 175, side: 1, does: "write", bytes: 537 },
      { at: 0, side: 0, does: "write", bytes: 1 },
      { at: 774, side: 0, does: "write", bytes: 2 },
      { at: 776, side: 0, does: "write", bytes: 998 },
    ],
  },
  // Both sides open at once: the window of the SYN-ACK was scaled.
  {
    initial: [0, 0],
    mss: [100, 100],
    burst: 1,
    receiveLimit: 1 << 20,
    sendLimit: 1 << 20,
    maxBufferBytes: Infinity,
    acceptAfter: -1,
    plain: false,
    eager: false,
    fates: [[], []],
    deeds: [
      { at: 0, side: 0, does: "write", bytes: 10_070 },
      { at: 0, side: 0, does: "write", bytes: 26_678 },
      { at: 1, side: 0, does: "write", bytes: 28_788 },
    ],
  },
];

Deno.test("TcpEndpoint pairs lose, repeat and invent no byte and come to an end, whatever channel and users do", () => {
  const states = new Set<TcpState>(), ends = new Set<string | null>();
  checkProperty(
    pairScript({
      fates: [...FATES, "lose", "lose"],
      mostFates: 60,
      mostMs: 400,
      deeds: [...CALM, ...CALM, "abort", "abortWhenSent"],
      maxBufferBytes: SHORT,
    }),
    (script) => {
      const pair = new TcpPair(script, PROBING);
      pair.play(20 * MINUTE);
      for (const state of pair.states) states.add(state);
      for (const side of pair.sides) ends.add(side.ended);
    },
    FOUND,
  );
  assertEquals(states.size, 11, `states: ${[...states]}`);
  assertEquals(ends.size, 6, `ends: ${[...ends]}`);
});

Deno.test("TcpEndpoint pairs that nobody aborts carry every byte both ways, whatever is lost, late, repeated or cut", () => {
  checkProperty(
    pairScript({ fates: FATES, mostFates: 40, mostMs: 400, deeds: CALM, maxBufferBytes: SHORT }),
    (script) => {
      const pair = new TcpPair(script, PATIENT);
      pair.play(100 * MINUTE);
      for (const side of pair.sides) {
        // A connection may be closed before it was opened.
        if (pair.sides.some(({ ended }) => ended === "aborted" || ended === "reset")) continue;
        assertEquals(side.ended, "finished");
      }
    },
  );
});

Deno.test("TcpEndpoint pairs on a good channel are done in a minute", () => {
  checkProperty(
    pairScript({ fates: ["pass"], mostFates: 1, mostMs: 0, deeds: CALM, maxBufferBytes: ROOMY }),
    (script) => {
      const pair = new TcpPair(script);
      pair.play(MINUTE);
      assert(pair.sides.every((side) => side.endpoint.send.record.retransmissions < 10));
    },
  );
});
