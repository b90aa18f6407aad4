import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { TCP_STATES } from "../../../nat/tcp/transitions.ts";
import { HostilePeer, type HostileScript, type HostileSegment, type HostileTurn } from "../../support/hostile_peer.ts";
import { checkProperty } from "../../support/properties.ts";

const FLAGS = [TCP_ACK, TCP_PSH | TCP_ACK, TCP_FIN | TCP_ACK, TCP_SYN, TCP_SYN | TCP_ACK, TCP_RST, TCP_RST | TCP_ACK];
/** MSS, window scale, SACK-permitted, as a SYN has them, right and with a flaw; SACK blocks; noise. */
const OPTIONS = [
  [],
  [2, 4, 5, 180, 4, 2, 3, 3, 7],
  [2, 4, 0, 1],
  [3, 3, 255],
  [2, 4, 5],
  [5, 10, 0, 0, 0, 1, 255, 255, 255, 255],
  [5, 9, 1, 2, 3, 4, 5, 6, 7],
].map((bytes) => Uint8Array.from(bytes));

function near(size: number): fc.Arbitrary<number> {
  return fc.oneof(
    { arbitrary: fc.constant(0), weight: 3 },
    { arbitrary: fc.integer({ min: -3, max: 3 }), weight: 2 },
    { arbitrary: fc.integer({ min: -size, max: size }), weight: 1 },
  );
}

const segment: fc.Arbitrary<HostileSegment> = fc.record({
  does: fc.constant("segment" as const),
  flags: fc.oneof(
    { arbitrary: fc.constantFrom(TCP_ACK, TCP_PSH | TCP_ACK), weight: 4 },
    { arbitrary: fc.constantFrom(...FLAGS), weight: 2 },
    { arbitrary: fc.nat(255), weight: 1 },
  ),
  from: fc.constantFrom(
    "next" as const,
    "next" as const,
    "next" as const,
    "edge" as const,
    "sent" as const,
    "start" as const,
  ),
  seq: near(3000),
  ack: fc.oneof({ arbitrary: near(3000), weight: 8 }, { arbitrary: fc.integer(), weight: 1 }),
  length: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(1400)),
  window: fc.oneof(fc.constant(0xffff), fc.nat(3000), fc.constant(0)),
  options: fc.oneof(
    { arbitrary: fc.constantFrom(...OPTIONS), weight: 4 },
    { arbitrary: fc.uint8Array({ maxLength: 40 }), weight: 1 },
  ),
});

const turn: fc.Arbitrary<HostileTurn> = fc.record({
  does: fc.constantFrom(
    "accept",
    "accept",
    "send",
    "send",
    "budget",
    "budget",
    "wait",
    "wait",
    "eof",
    "reset",
    "refuse",
  ),
  count: fc.oneof(fc.nat(3), fc.nat(5000), fc.nat(100_000)),
});

const script: fc.Arbitrary<HostileScript> = fc.record({
  receiveLimit: fc.constantFrom(65536, 3000, 10),
  maxBufferBytes: fc.constantFrom(Infinity, Infinity, 100_000),
  opened: fc.boolean(),
  steps: fc.array(fc.oneof({ arbitrary: segment, weight: 3 }, { arbitrary: turn, weight: 1 }), {
    maxLength: 40,
    size: "max",
  }),
});

for (const family of [4, 6] as const) {
  Deno.test(`Nat gives the host nothing but what the guest's sequence space says, whatever its segments are, over IPv${family}`, () => {
    const states = new Set<string>();
    let delivered = 0;
    checkProperty(script, (one) => {
      const peer = new HostilePeer(one, family);
      for (const step of one.steps) peer.do(step);
      peer.finish();
      for (const state of peer.states) states.add(state);
      delivered += peer.delivered;
    });
    // Every state but CLOSED, in which a flow is none, and SYN-SENT, for the guest opens; and what only drains.
    assertEquals(states.size, TCP_STATES.length - 2 + 1, `${[...states]}`);
    assert(delivered > 100_000, `${delivered} bytes`);
  });
}
