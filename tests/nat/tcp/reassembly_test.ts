import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BufferPool, SMALL_BUFFER } from "../../../nat/base/buffers.ts";
import { MAX_RANGES, Reassembly } from "../../../nat/tcp/reassembly.ts";
import { seqAdd, seqDiff } from "../../../net/wire/seq.ts";
import { bytesOf } from "../../support/nat_script.ts";
import { checkProperty } from "../../support/properties.ts";

function insert(store: Reassembly, seq: number, text: string): boolean {
  const bytes = bytesOf(`<${text}>`);
  return store.insert(seq >>> 0, bytes, 1, bytes.length - 1);
}

function blocks(store: Reassembly, max: number = 8): number[] {
  const edges = new Uint32Array(2 * max);
  return [...edges.subarray(0, 2 * store.blocks(edges, max))];
}

/** What can be read from `seq` on. */
function readable(store: Reassembly, seq: number): string {
  const count = store.readable(seq >>> 0), out: number[] = [];
  for (let i = 0; i < count; i++) {
    const at = seqAdd(seq, i);
    out.push(store.pageAt(at)[at % SMALL_BUFFER]!);
  }
  return new TextDecoder().decode(Uint8Array.from(out));
}

Deno.test("Reassembly keeps what comes early and gives it back at its place, across the wrap", () => {
  const store = new Reassembly(new BufferPool());
  assert(insert(store, 0xfffffffe, "abcd"));
  assertEquals(readable(store, -2), "abcd");
  assertEquals(readable(store, 0), "cd");
  assertEquals([store.has(0xfffffffd), store.has(0xfffffffe), store.has(1), store.has(2)], [false, true, true, false]);
  assertEquals(blocks(store), [0xfffffffe, 2]);
});

Deno.test("Reassembly reads nothing from before, between or behind its ranges", () => {
  const store = new Reassembly(new BufferPool());
  insert(store, 10, "ab");
  insert(store, 20, "cd");
  for (const seq of [9, 12, 15, 22, 0xffffffff, 0x8000000a]) assertEquals(store.readable(seq), 0, `${seq}`);
});

Deno.test("Reassembly makes one range of what touches or overlaps, whatever the order", () => {
  for (const order of [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2]]) {
    const store = new Reassembly(new BufferPool());
    const pieces: [number, string][] = [[-4, "abcd"], [-1, "defg"], [3, "hi"]];
    for (const i of order) insert(store, ...pieces[i!]!);
    assertEquals([store.count, readable(store, -4)], [1, "abcdefghi"]);
  }
});

Deno.test("Reassembly reports the range that changed last first (RFC 2018 section 4), and no more blocks than fit", () => {
  const store = new Reassembly(new BufferPool());
  insert(store, 10, "a");
  insert(store, 20, "b");
  insert(store, 30, "c");
  insert(store, 11, "d");
  assertEquals(blocks(store), [10, 12, 30, 31, 20, 21]);
  assertEquals(blocks(store, 2), [10, 12, 30, 31]);
  assertEquals(blocks(store, 0), []);
});

Deno.test("Reassembly holds one page for a thousand tiny and repeated segments in it", () => {
  const pool = new BufferPool(), store = new Reassembly(pool);
  for (let i = 0; i < 1000; i++) assert(insert(store, 4096 + i % 100, "x"));
  assertEquals([store.pinned, pool.takenBytes, store.count], [SMALL_BUFFER, SMALL_BUFFER, 1]);
});

Deno.test("Reassembly takes no range beyond its bound, nor bytes for it", () => {
  const pool = new BufferPool(), store = new Reassembly(pool);
  for (let i = 0; i < MAX_RANGES; i++) assert(insert(store, 2 * i, "x"));
  const taken = pool.takenBytes;
  assertEquals(insert(store, 1_000_000, "y"), false);
  assertEquals([store.count, store.readable(1_000_000), pool.takenBytes], [MAX_RANGES, 0, taken]);
});

Deno.test("Reassembly takes nothing from an empty segment", () => {
  const store = new Reassembly(new BufferPool());
  assertEquals(insert(store, 5, ""), false);
  assertEquals([store.count, store.pinned], [0, 0]);
});

Deno.test("Reassembly forgets what lies before a number and frees its pages, the wrap between them", () => {
  const pool = new BufferPool(), store = new Reassembly(pool), bytes = new Uint8Array(2 * SMALL_BUFFER).fill(7);
  store.insert(-SMALL_BUFFER >>> 0, bytes, 0, bytes.length);
  assertEquals(pool.takenBytes, 2 * SMALL_BUFFER);
  store.discardBefore(0xffffffff);
  assertEquals([store.readable(0xffffffff), pool.takenBytes], [1 + SMALL_BUFFER, 2 * SMALL_BUFFER]);
  store.discardBefore(0);
  assertEquals([store.readable(0xffffffff), store.readable(0), pool.takenBytes], [0, SMALL_BUFFER, SMALL_BUFFER]);
  store.discardBefore(SMALL_BUFFER);
  assertEquals([store.count, store.pinned, pool.takenBytes], [0, 0, 0]);
});

Deno.test("Reassembly that is cleared holds nothing and can be used again", () => {
  const pool = new BufferPool(), store = new Reassembly(pool);
  insert(store, 1, "abc");
  store.clear();
  assertEquals([store.count, store.readable(1), pool.takenBytes], [0, 0, 0]);
  assert(insert(store, 1, "z"));
  assertEquals(readable(store, 1), "z");
});

Deno.test("Reassembly is a set of numbered bytes, whatever is put in and discarded", () => {
  const SPAN = 12_000;
  const step = fc.record({
    insert: fc.oneof({ arbitrary: fc.constant(true), weight: 4 }, { arbitrary: fc.constant(false), weight: 1 }),
    at: fc.nat(SPAN - 1),
    count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 3000 })),
  });
  const pool = new BufferPool();
  checkProperty(fc.tuple(fc.nat(SPAN), fc.array(step, { maxLength: 25, size: "max" })), ([before, steps]) => {
    const base = -before >>> 0, store = new Reassembly(pool), model = new Set<number>();
    const bytes = new Uint8Array(3000);
    for (const { insert, at, count } of steps) {
      const end = Math.min(at + count, SPAN);
      if (insert) {
        for (let i = at; i < end; i++) bytes[i - at] = i * 7;
        assert(store.insert(seqAdd(base, at), bytes, 0, end - at));
        for (let i = at; i < end; i++) model.add(i);
      } else {
        store.discardBefore(seqAdd(base, at));
        for (const i of model) if (i < at) model.delete(i);
      }
      let held = 0, last = -1;
      for (let i = 0; i < store.count; i++) {
        const [left, right] = blocks(store, store.count).slice(2 * i, 2 * i + 2) as [number, number];
        held += seqDiff(right, left);
        last = Math.max(last, seqDiff(right, base));
      }
      assertEquals(held, model.size);
      assert(store.pinned >= held && pool.takenBytes === store.pinned);
      assert(last <= SPAN);
    }
    for (let i = 0; i < SPAN; i += 37) {
      const seq = seqAdd(base, i);
      assertEquals(store.has(seq), model.has(i));
      assertEquals(store.readable(seq) > 0, model.has(i));
      if (model.has(i)) assertEquals(store.pageAt(seq)[seq % SMALL_BUFFER], (i * 7) & 255);
    }
    store.clear();
    assertEquals(pool.takenBytes, 0);
  });
});
