import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { MAX_SACKED_RANGES, Scoreboard } from "../../../nat/tcp/scoreboard.ts";
import { seqAdd, seqDiff } from "../../../net/wire/seq.ts";
import { checkProperty } from "../../support/properties.ts";

/** A scoreboard with blocks at these distances from 0, most of them below the wrap. */
function board(...edges: number[]): Scoreboard {
  const one = new Scoreboard();
  for (let i = 0; i < edges.length; i += 2) one.add(edges[i]! >>> 0, edges[i + 1]! >>> 0);
  return one;
}

Deno.test("Scoreboard counts each reported byte once, whatever the order and overlap", () => {
  const one = board(-10, -5, 5, 10, -7, 2);
  assertEquals([one.bytes, one.highest, one.isEmpty], [17, 10, false]);
  one.add(0, 20);
  assertEquals([one.bytes, one.highest], [30, 20]);
});

Deno.test("Scoreboard joins blocks that touch", () => {
  const one = board(-10, -5, 0, 5, -5, 0);
  assertEquals([one.bytes, one.skip(0xfffffff6)], [15, 5]);
});

Deno.test("Scoreboard says whether a block told anything new", () => {
  const one = new Scoreboard();
  assertEquals(one.add(0xfffffff0, 10), true);
  assertEquals(one.add(0xfffffff0, 10), false);
  assertEquals(one.add(0xfffffff5, 3), false);
  assertEquals(one.add(0xfffffff5, 11), true);
});

Deno.test("Scoreboard skips what is reported and finds the end of a hole, not beyond the limit", () => {
  const one = board(-10, -5, 5, 10);
  assertEquals([-20, -10, -6, -5, 0, 5, 9, 10].map((seq) => seqDiff(one.skip(seq >>> 0), 0)), [
    -20,
    -5,
    -5,
    -5,
    0,
    10,
    10,
    10,
  ]);
  assertEquals([one.holeEnd(0xffffffff, 100), one.holeEnd(0xffffffff, 3), one.holeEnd(20, 30)], [5, 3, 30]);
});

Deno.test("Scoreboard counts what is reported from a number on", () => {
  const one = board(-10, -5, 5, 10);
  assertEquals([-11, -10, -7, -5, 0, 5, 9, 10].map((seq) => one.bytesFrom(seq >>> 0)), [10, 10, 7, 5, 5, 5, 1, 0]);
});

Deno.test("Scoreboard forgets what is acknowledged, in the middle of a block too", () => {
  const one = board(-10, -5, 5, 10);
  one.advance(-7 >>> 0);
  assertEquals([one.bytes, one.bytesFrom(-10 >>> 0)], [7, 7]);
  one.advance(-5 >>> 0);
  assertEquals(one.bytes, 5);
  one.advance(10);
  assertEquals([one.bytes, one.isEmpty], [0, true]);
  one.advance(500);
  assertEquals(one.isEmpty, true);
});

Deno.test("Scoreboard ignores a report beyond its bound, and still takes what joins a range it has", () => {
  const one = new Scoreboard();
  for (let i = 0; i < MAX_SACKED_RANGES; i++) assert(one.add(10 * i, 10 * i + 5));
  assertEquals(one.add(1_000_000, 1_000_005), false);
  assertEquals([one.bytes, one.highest], [5 * MAX_SACKED_RANGES, 10 * MAX_SACKED_RANGES - 5]);
  assertEquals(one.add(5, 10), true);
  assertEquals(one.add(1_000_000, 1_000_005), true);
});

Deno.test("Scoreboard that is cleared knows nothing", () => {
  const one = board(-10, -5, 5, 10);
  one.clear();
  assertEquals([one.bytes, one.isEmpty, one.skip(5), one.bytesFrom(-20 >>> 0)], [0, true, 5, 0]);
});

Deno.test("Scoreboard is a set of numbers, whatever is reported and acknowledged", () => {
  const SPAN = 120;
  const step = fc.tuple(
    fc.oneof(fc.constant(true), fc.constant(true), fc.boolean()),
    fc.nat(SPAN - 1),
    fc.integer({ min: 1, max: 20 }),
  );
  checkProperty(fc.tuple(fc.nat(SPAN), fc.array(step, { maxLength: 25, size: "max" })), ([before, steps]) => {
    const base = -before >>> 0, one = new Scoreboard(), model = new Set<number>();
    let una = 0;
    for (const [adds, from, count] of steps) {
      const at = Math.max(from, una), end = Math.min(at + count, SPAN);
      if (adds) {
        const size = model.size;
        for (let i = at; i < end; i++) model.add(i);
        assertEquals(one.add(seqAdd(base, at), seqAdd(base, end)), model.size > size);
      } else {
        una = at;
        one.advance(seqAdd(base, una));
        for (const i of model) if (i < una) model.delete(i);
      }
      assertEquals([one.bytes, one.isEmpty], [model.size, model.size === 0]);
      if (model.size > 0) assertEquals(seqDiff(one.highest, base), Math.max(...model) + 1);
    }
    for (let i = una; i < SPAN; i++) {
      let next = i, hole = i;
      while (model.has(next)) next++;
      while (hole < SPAN && !model.has(hole)) hole++;
      assertEquals(seqDiff(one.skip(seqAdd(base, i)), base), next);
      if (!model.has(i)) assertEquals(seqDiff(one.holeEnd(seqAdd(base, i), seqAdd(base, SPAN)), base), hole);
      assertEquals(one.bytesFrom(seqAdd(base, i)), [...model].filter((n) => n >= i).length);
    }
  });
});
