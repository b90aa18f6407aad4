import { assert, assertEquals, assertLess, assertStrictEquals, assertThrows } from "@std/assert";
import { FlowKey } from "../../../nat/flow/flow_key.ts";
import { FlowTable, hashFlowKey } from "../../../nat/flow/flow_table.ts";
import { IpAddress } from "../../../net/wire/address.ts";

const SEED = 0x1badcafe;

function keyOf(number: number, into: FlowKey = new FlowKey()): FlowKey {
  return into.setIpv4(number % 3, 6, 0x0a00020f, number & 0xffff, 0x5db8d822 + (number >>> 16), 443);
}

/** Keys whose hash under `SEED` has `low` in the low bits that `mask` covers. */
function keysWithHash(count: number, { low, mask }: { low: number; mask: number }): FlowKey[] {
  const keys: FlowKey[] = [];
  const key = new FlowKey();
  for (let number = 0; keys.length < count; number++) {
    if ((hashFlowKey(keyOf(number, key).words, SEED) & mask) === low) keys.push(key.clone());
  }
  return keys;
}

/** The numbers below 2³² of a linear congruential generator (Numerical Recipes' constants). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

Deno.test("FlowTable answers like a Map over 200000 random operations", () => {
  const table = new FlowTable<{ number: number }>(SEED);
  const oracle = new Map<number, { number: number }>();
  const random = randomNumbers(1), key = new FlowKey();
  // The share of insertions swings, so that the table grows and shrinks several times.
  for (let step = 0; step < 200_000; step++) {
    const growing = Math.floor(step / 20_000) % 2 === 0;
    const number = random(8000);
    keyOf(number, key);
    const expected = oracle.get(number);
    assertStrictEquals(table.get(key), expected);
    const add = random(20) < (growing ? 19 : 1);
    if (add && expected === undefined) {
      const value = { number };
      table.set(key, value);
      oracle.set(number, value);
    } else if (!add) {
      assertStrictEquals(table.delete(key), expected);
      oracle.delete(number);
    }
    if (table.size !== oracle.size) throw new Error(`size ${table.size} instead of ${oracle.size} at step ${step}`);
  }
  const found = [...table.values()].map((value) => value.number).sort((a, b) => a - b);
  assertEquals(found, [...oracle.keys()].sort((a, b) => a - b));
});

Deno.test("FlowTable keeps flows apart whose hashes are equal in every bit the index uses", () => {
  const keys = keysWithHash(300, { low: 0x155, mask: 0x1ff });
  const table = new FlowTable<number>(SEED);
  keys.forEach((key, i) => table.set(key, i + 1));
  assertEquals(keys.map((key) => table.get(key)), keys.map((_, i) => i + 1));
  keys.forEach((key, i) => i % 2 === 0 && assertEquals(table.delete(key), i + 1));
  assertEquals(keys.map((key) => table.get(key)), keys.map((_, i) => i % 2 === 0 ? undefined : i + 1));
  assertEquals(table.size, 150);
});

Deno.test("FlowTable compares whole keys where all 32 bits of the hash are equal", () => {
  const seen = new Map<number, number>();
  const key = new FlowKey();
  let pair: [number, number] | undefined;
  for (let number = 0; pair === undefined; number++) {
    const hash = hashFlowKey(keyOf(number, key).words, SEED);
    const other = seen.get(hash);
    if (other !== undefined) pair = [other, number];
    seen.set(hash, number);
  }
  const [a, b] = [keyOf(pair[0]), keyOf(pair[1])];
  assertEquals(hashFlowKey(a.words, SEED), hashFlowKey(b.words, SEED));
  const table = new FlowTable<string>(SEED);
  table.set(a, "a");
  assertEquals(table.get(b), undefined);
  table.set(b, "b");
  assertEquals([table.get(a), table.get(b)], ["a", "b"]);
  assertEquals(table.delete(a), "a");
  assertEquals([table.get(a), table.get(b)], [undefined, "b"]);
});

Deno.test("FlowTable closes every gap of a chain that crosses the end of the index", () => {
  // 64 slots: three keys at home in the last two slots and three in the first two make one chain around the end.
  const chain = [
    ...keysWithHash(2, { low: 62, mask: 63 }),
    ...keysWithHash(2, { low: 63, mask: 63 }),
    ...keysWithHash(2, { low: 0, mask: 63 }),
    ...keysWithHash(1, { low: 1, mask: 63 }),
  ];
  for (const order of permutations([0, 1, 2, 3, 4, 5, 6]).slice(0, 5040)) {
    const table = new FlowTable<number>(SEED);
    for (const i of order) table.set(chain[i]!, i + 1);
    for (const gone of [order[2]!, order[0]!, order[5]!]) {
      table.delete(chain[gone]!);
      assertEquals(table.get(chain[gone]!), undefined);
    }
    const left = order.filter((i) => i !== order[2] && i !== order[0] && i !== order[5]);
    if (left.some((i) => table.get(chain[i]!) !== i + 1)) throw new Error(`a flow is lost after order ${order}`);
  }
});

Deno.test("FlowTable.set refuses a key that is taken and keeps the flow", () => {
  const table = new FlowTable<string>(SEED);
  table.set(keyOf(80), "first");
  assertThrows(
    () => table.set(keyOf(80), "second"),
    Error,
    "Cannot add flow tcp 10.0.2.15:80 > 93.184.216.34:443: its key is taken",
  );
  assertEquals([table.get(keyOf(80)), table.size], ["first", 1]);
});

Deno.test("FlowTable copies the key it is given", () => {
  const table = new FlowTable<string>(SEED);
  const key = keyOf(1);
  table.set(key, "one");
  keyOf(2, key);
  assertEquals([table.get(key), table.get(keyOf(1))], [undefined, "one"]);
});

Deno.test("FlowTable.delete of an unknown key changes nothing", () => {
  const table = new FlowTable<string>(SEED);
  assertEquals(table.delete(keyOf(1)), undefined);
  table.set(keyOf(1), "one");
  assertEquals(table.delete(keyOf(2)), undefined);
  assertEquals([table.size, table.has(keyOf(1)), table.has(keyOf(2))], [1, true, false]);
});

Deno.test("FlowTable that held 100000 flows is small again after the last one", () => {
  const table = new FlowTable<number>(SEED);
  const empty = table.byteLength, key = new FlowKey();
  for (let i = 0; i < 100_000; i++) table.set(keyOf(i, key), i + 1);
  assertEquals(table.size, 100_000);
  const full = table.byteLength;
  for (let i = 0; i < 100_000; i += 7) assertEquals(table.get(keyOf(i, key)), i + 1);
  for (let i = 0; i < 99_900; i++) table.delete(keyOf(i, key));
  assertLess(table.byteLength, full / 50);
  for (let i = 99_900; i < 100_000; i++) assertEquals(table.get(keyOf(i, key)), i + 1);
  for (let i = 99_900; i < 100_000; i++) table.delete(keyOf(i, key));
  assertEquals([table.size, table.byteLength], [0, empty]);
});

Deno.test("FlowTable through which a million flows pass one by one stays as it was", () => {
  const table = new FlowTable<number>(SEED);
  const empty = table.byteLength, key = new FlowKey();
  for (let i = 0; i < 1_000_000; i++) {
    table.set(keyOf(i, key), 1);
    table.delete(key);
  }
  assertEquals([table.size, table.byteLength], [0, empty]);
});

Deno.test("FlowTable.values allows each flow to be deleted as it comes, shrinking on the way", () => {
  const table = new FlowTable<FlowKey>(SEED);
  for (let i = 0; i < 5000; i++) table.set(keyOf(i), keyOf(i));
  let count = 0;
  for (const key of table.values()) {
    assertStrictEquals(table.delete(key), key);
    count++;
  }
  assertEquals([count, table.size], [5000, 0]);
});

Deno.test("FlowTable.values passes over flows deleted before their turn and flows added meanwhile", () => {
  const table = new FlowTable<number>(SEED);
  for (let i = 0; i < 1000; i++) table.set(keyOf(i), i + 1);
  const seen: number[] = [];
  for (const value of table.values()) {
    if (seen.length === 0) {
      for (let i = 0; i < 1000; i++) if (i % 10 !== 0 && i + 1 !== value) table.delete(keyOf(i));
      for (let i = 1000; i < 3000; i++) table.set(keyOf(i), i + 1);
    }
    seen.push(value);
  }
  seen.sort((a, b) => a - b);
  assertEquals(seen, Array.from({ length: 100 }, (_, i) => i * 10 + 1));
});

Deno.test("FlowTable.values passes over a flow whose key another one has taken", () => {
  const table = new FlowTable<string>(SEED);
  table.set(keyOf(1), "first");
  table.set(keyOf(2), "old");
  const seen: string[] = [];
  for (const value of table.values()) {
    if (value === "first") {
      table.delete(keyOf(2));
      table.set(keyOf(2), "new");
    }
    seen.push(value);
  }
  assertEquals([seen, table.get(keyOf(2))], [["first"], "new"]);
});

Deno.test("FlowTable.entries gives each flow a key of its own", () => {
  const table = new FlowTable<string>(SEED);
  const six = new FlowKey().set(1, 6, IpAddress.parse("fd00::f"), 1, IpAddress.parse("2001:db8::1"), 2);
  table.set(keyOf(0), "a");
  table.set(six, "b");
  const entries = [...table.entries()];
  assertEquals(entries.map(([key, value]) => `${key} ${value}`), [`${keyOf(0)} a`, `${six} b`]);
});

Deno.test("FlowTable.clear empties it for use again", () => {
  const table = new FlowTable<number>(SEED);
  const empty = table.byteLength;
  for (let i = 0; i < 1000; i++) table.set(keyOf(i), i + 1);
  table.clear();
  assertEquals([table.size, table.byteLength, [...table.values()].length], [0, empty, 0]);
  table.set(keyOf(5), 6);
  assertEquals([table.get(keyOf(5)), table.get(keyOf(6))], [6, undefined]);
});

Deno.test("hashFlowKey depends on the seed and spreads neighbouring ports over the index", () => {
  const key = new FlowKey();
  for (const seed of [0, 1, SEED, 0xffffffff]) {
    const slots = new Uint32Array(1024);
    for (let port = 0; port < 32768; port++) slots[hashFlowKey(keyOf(port, key).words, seed) & 1023]!++;
    // 32 a slot are expected; 80 is more than eight standard deviations away.
    assertLess(Math.max(...slots), 80);
  }
  assert(hashFlowKey(keyOf(1).words, 1) !== hashFlowKey(keyOf(1).words, 2));
});

Deno.test("hashFlowKey lets no pair of changes in neighbouring words cancel under any of 64 seeds", () => {
  // murmur3 maps bit 18 of a word to bit 31 before the next word comes, whatever the seed is.
  let equal = 0;
  const words = new Uint32Array(10), other = new Uint32Array(10);
  for (let bit = 0; bit < 32; bit++) {
    for (let next = 0; next < 32; next++) {
      other[6] = 1 << bit;
      other[7] = 1 << next;
      for (let seed = 0; seed < 64; seed++) {
        if (hashFlowKey(words, Math.imul(seed, 0x9e3779b1)) === hashFlowKey(other, Math.imul(seed, 0x9e3779b1))) {
          equal++;
        }
      }
    }
  }
  assertEquals(equal, 0);
});

function permutations(items: number[]): number[][] {
  if (items.length <= 1) return [items];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
