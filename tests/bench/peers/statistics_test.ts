import { assertEquals } from "@std/assert";
import { median, percentile, summarize } from "../../../bench/peers/statistics.ts";

Deno.test("median is the middle value, or the mean of the two in the middle, whatever the order", () => {
  assertEquals([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])], [2, 2.5, 7]);
  assertEquals(median([]), NaN);
});

Deno.test("percentile is the nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assertEquals([0, 0.5, 0.99, 1].map((q) => percentile(hundred, q)), [1, 50, 99, 100]);
  assertEquals([percentile([5], 0.99), percentile([], 0.5)], [5, NaN]);
});

Deno.test("summarize leaves its values as they are", () => {
  const values = [9, 2, 4];
  assertEquals(summarize(values), { median: 4, min: 2, max: 9, rounds: 3 });
  assertEquals(values, [9, 2, 4]);
});
