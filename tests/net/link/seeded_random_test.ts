import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { SeededRandom } from "../../../net/link/seeded_random.ts";

function take(seed: number, count: number): number[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, () => random.next());
}

Deno.test("SeededRandom gives the same numbers for the same seed, and others for another", () => {
  assertEquals(take(7, 100), take(7, 100));
  assertEquals(take(7, 100), take(7 + 2 ** 32, 100));
  for (const seed of [0, 1, 8, -1]) assertNotEquals(take(7, 3), take(seed, 3));
  // The first numbers of seed 1: a table of results that was committed must stay what it is.
  assertEquals(take(1, 3), [0.6270739405881613, 0.002735721180215478, 0.5274470399599522]);
});

Deno.test("SeededRandom spreads its numbers evenly from 0 to less than 1, also between neighbours and seeds", () => {
  const counts = new Array(64).fill(0), pairs = new Array(64).fill(0), firsts = new Array(64).fill(0);
  const random = new SeededRandom(5);
  for (let i = 0, before = 0; i < 64000; i++) {
    const number = random.next();
    assert(number >= 0 && number < 1);
    counts[Math.floor(number * 64)]++;
    pairs[Math.floor(number * 8) * 8 + Math.floor(before * 8)]++;
    firsts[Math.floor(new SeededRandom(i).next() * 64)]++;
    before = number;
  }
  // 1000 in each, give or take: 6 standard deviations are 190.
  for (const count of [...counts, ...pairs, ...firsts]) assert(Math.abs(count - 1000) < 190, `${count}`);
});
