import { assert, assertEquals } from "@std/assert";
import { RTO_INITIAL_MS, RTO_MAX_MS, RTO_MIN_MS, RttEstimator } from "../../../nat/tcp/rtt.ts";

Deno.test("RttEstimator begins with a second (RFC 6298 section 2.1)", () => {
  const rtt = new RttEstimator();
  assertEquals([rtt.srttMs, rtt.rtoMs], [-1, RTO_INITIAL_MS]);
});

Deno.test("RttEstimator takes the first measurement as SRTT and half of it as RTTVAR (section 2.2)", () => {
  const rtt = new RttEstimator();
  rtt.sample(300);
  assertEquals([rtt.srttMs, rtt.rtoMs], [300, 300 + 4 * 150]);
});

Deno.test("RttEstimator weighs the next measurements by an eighth and a quarter (section 2.3)", () => {
  const rtt = new RttEstimator();
  rtt.sample(300);
  rtt.sample(500);
  // RTTVAR = 3/4 · 150 + 1/4 · |300 − 500| = 162.5, before SRTT = 7/8 · 300 + 1/8 · 500 = 325.
  assertEquals([rtt.srttMs, rtt.rtoMs], [325, 325 + 4 * 162.5]);
  rtt.sample(325);
  assertEquals([rtt.srttMs, rtt.rtoMs], [325, 325 + 4 * 121.875]);
});

Deno.test("RttEstimator waits at least its minimum beyond a round trip, however short and even the path", () => {
  const rtt = new RttEstimator();
  for (let i = 0; i < 100; i++) rtt.sample(0.05);
  assertEquals(rtt.rtoMs, rtt.srttMs + RTO_MIN_MS);
  for (let i = 0; i < 300; i++) rtt.sample(100);
  assertEquals(Math.round(rtt.rtoMs), 100 + RTO_MIN_MS);
});

Deno.test("RttEstimator doubles the timeout to its maximum and not beyond (sections 2.5, 5.5)", () => {
  const rtt = new RttEstimator(), seen: number[] = [];
  for (let i = 0; i < 8; i++) {
    rtt.backOff();
    seen.push(rtt.rtoMs);
  }
  assertEquals(seen, [2000, 4000, 8000, 16_000, 32_000, RTO_MAX_MS, RTO_MAX_MS, RTO_MAX_MS]);
  rtt.sample(1e9);
  assertEquals(rtt.rtoMs, RTO_MAX_MS);
});

Deno.test("RttEstimator ends the backoff with a measurement", () => {
  const rtt = new RttEstimator();
  rtt.sample(100);
  for (let i = 0; i < 5; i++) rtt.backOff();
  assertEquals(rtt.rtoMs, 300 * 32);
  rtt.sample(100);
  assertEquals(rtt.rtoMs, 100 + RTO_MIN_MS);
});

Deno.test("RttEstimator that may not measure eases the backoff to a little more than the answer took, not below what it knows", () => {
  const rtt = new RttEstimator();
  rtt.backOff();
  rtt.backOff();
  rtt.restore(0);
  assertEquals(rtt.rtoMs, RTO_INITIAL_MS);
  rtt.sample(100);
  rtt.backOff();
  rtt.backOff();
  rtt.restore(800);
  assertEquals(rtt.rtoMs, 900);
  rtt.restore(10);
  assertEquals(rtt.rtoMs, 300);
  rtt.restore(10 * RTO_MAX_MS);
  assertEquals(rtt.rtoMs, RTO_MAX_MS);
  assert(rtt.srttMs === 100, "no measurement was made");
});
