import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  BufferPool,
  ByteQueue,
  COPYBREAK,
  copyBytes,
  LARGE_BUFFER,
  LARGE_PAYLOAD,
  SMALL_BUFFER,
} from "../../../nat/base/buffers.ts";
import { SEGMENT_HEADROOM } from "../../../net/wire/frame.ts";
import { pattern } from "../../support/bytes.ts";
import { checkProperty } from "../../support/properties.ts";

function contents(queue: ByteQueue): Uint8Array {
  const all = new Uint8Array(queue.length);
  queue.copyOut(0, queue.length, all, 0);
  return all;
}

function adopted(pool: BufferPool, bytes: Uint8Array): [Uint8Array, number, number] {
  const buffer = pool.takeLarge();
  buffer.set(bytes, SEGMENT_HEADROOM);
  return [buffer, SEGMENT_HEADROOM, SEGMENT_HEADROOM + bytes.length];
}

Deno.test("BufferPool gives back what it was given, each size for itself, and counts what is in use", () => {
  const pool = new BufferPool(), large = pool.takeLarge(), small = pool.takeSmall();
  assertEquals([large.length, small.length], [LARGE_BUFFER, SMALL_BUFFER]);
  assertEquals(pool.takenBytes, LARGE_BUFFER + SMALL_BUFFER);
  pool.give(small);
  pool.give(large);
  assertEquals(pool.takenBytes, 0);
  assertStrictEquals(pool.takeLarge(), large);
  assertStrictEquals(pool.takeSmall(), small);
  assert(pool.takeSmall() !== small);
});

Deno.test("BufferPool has room for the largest payload behind the headroom", () => {
  assertEquals(new BufferPool().takeLarge().length, SEGMENT_HEADROOM + LARGE_PAYLOAD);
});

Deno.test("BufferPool says when half of its limit is in use and when all is, and refuses nothing", () => {
  const pool = new BufferPool(4 * SMALL_BUFFER), taken: Uint8Array[] = [], told: [boolean, boolean][] = [];
  for (let i = 0; i < 5; i++) {
    taken.push(pool.takeSmall());
    told.push([pool.isScarce, pool.isFull]);
  }
  assertEquals(told, [[false, false], [true, false], [true, false], [true, true], [true, true]]);
  for (const buffer of taken) pool.give(buffer);
  assertEquals([pool.isScarce, pool.isFull], [false, false]);
});

Deno.test("BufferPool without a limit is never scarce", () => {
  const pool = new BufferPool();
  for (let i = 0; i < 100; i++) pool.takeLarge();
  assertEquals([pool.isScarce, pool.isFull], [false, false]);
});

Deno.test("BufferPool keeps a bounded number of free buffers", () => {
  const pool = new BufferPool(), first = Array.from({ length: 1000 }, () => pool.takeLarge());
  for (const buffer of first) pool.give(buffer);
  const known = new Set(first), again = Array.from({ length: 1000 }, () => pool.takeLarge());
  const kept = again.filter((buffer) => known.has(buffer)).length;
  assert(kept > 0 && kept < 500, `${kept} were kept`);
});

Deno.test("ByteQueue fills its last buffer up, so that one-byte pieces pin no more than their sum and one buffer", () => {
  const pool = new BufferPool(), queue = new ByteQueue(pool), bytes = pattern(3 * SMALL_BUFFER);
  for (let i = 0; i < bytes.length; i++) queue.append(bytes, i, i + 1);
  assertEquals([queue.length, queue.pinned], [bytes.length, bytes.length]);
  assertEquals(contents(queue), bytes);
  queue.append(bytes, 0, 1);
  assertEquals(queue.pinned, bytes.length + SMALL_BUFFER);
  queue.clear();
  assertEquals([queue.length, queue.pinned, pool.takenBytes], [0, 0, 0]);
});

Deno.test("ByteQueue appends across buffers and takes what is large into large ones", () => {
  const pool = new BufferPool(), queue = new ByteQueue(pool), bytes = pattern(200_000);
  queue.append(bytes, 0, 4000);
  queue.append(bytes, 4000, 200_000);
  assertEquals(contents(queue), bytes);
  assertEquals(queue.pinned, SMALL_BUFFER + 3 * LARGE_BUFFER);
});

Deno.test("ByteQueue never writes into a buffer it has adopted, and gives it back when it is consumed", () => {
  const pool = new BufferPool(), queue = new ByteQueue(pool), bytes = pattern(COPYBREAK);
  const [buffer, start, end] = adopted(pool, bytes);
  buffer[end] = 0x77;
  queue.adopt(buffer, start, end);
  queue.append(bytes, 0, 10);
  assertEquals(buffer[end], 0x77);
  assertStrictEquals(queue.front, buffer);
  assertEquals([queue.frontStart, queue.frontEnd], [start, end]);
  queue.consume(COPYBREAK - 1);
  assertEquals(queue.frontStart, end - 1);
  assertEquals(pool.takenBytes, LARGE_BUFFER + SMALL_BUFFER);
  queue.consume(2);
  assertStrictEquals(pool.takeLarge(), buffer);
  assertEquals(contents(queue), bytes.subarray(1, 10));
});

Deno.test("ByteQueue copies out from any distance behind the front, over the ends of buffers", () => {
  const pool = new BufferPool(), queue = new ByteQueue(pool), bytes = pattern(3 * SMALL_BUFFER);
  queue.append(bytes, 0, SMALL_BUFFER);
  queue.adopt(...adopted(pool, bytes.subarray(SMALL_BUFFER)));
  queue.consume(5);
  for (const [offset, count] of [[0, 1], [SMALL_BUFFER - 6, 3], [SMALL_BUFFER - 5, 1], [0, 3 * SMALL_BUFFER - 5]]) {
    const out = new Uint8Array(count! + 2).fill(0xa5);
    queue.copyOut(offset!, count!, out, 1);
    assertEquals(out.subarray(1, count! + 1), bytes.subarray(5 + offset!, 5 + offset! + count!));
    assertEquals([out[0], out[count! + 1]], [0xa5, 0xa5]);
  }
});

Deno.test("ByteQueue refuses to consume more than it holds and is as it was", () => {
  const queue = new ByteQueue(new BufferPool());
  queue.append(pattern(3), 0, 3);
  assertThrows(() => queue.consume(4), RangeError, "Cannot consume 4 bytes: the queue holds 3");
  assertEquals(contents(queue), pattern(3));
  queue.consume(3);
  assertThrows(() => queue.consume(1), RangeError, "holds 0");
});

Deno.test("ByteQueue that was emptied holds nothing and begins anew", () => {
  const pool = new BufferPool(), queue = new ByteQueue(pool);
  for (let i = 0; i < 200; i++) {
    queue.append(pattern(100), 0, 100);
    queue.consume(100);
    assertEquals([queue.length, queue.pinned, pool.takenBytes], [0, 0, 0]);
  }
  queue.append(pattern(2), 0, 0);
  assertEquals(queue.pinned, 0);
});

Deno.test("ByteQueue is a queue of bytes, whatever is appended, adopted and consumed", () => {
  const step = fc.tuple(fc.constantFrom("append", "adopt", "consume"), fc.oneof(fc.nat(30), fc.nat(9000)));
  const pool = new BufferPool(), source = pattern(10_000);
  checkProperty(fc.array(step, { maxLength: 30, size: "max" }), (steps) => {
    const queue = new ByteQueue(pool), model: number[] = [];
    for (const [what, count] of steps) {
      if (what === "append") queue.append(source, 0, count);
      else if (what === "adopt" && count > 0) queue.adopt(...adopted(pool, source.subarray(0, count)));
      else if (what === "consume") queue.consume(Math.min(count, model.length));
      if (what === "consume") model.splice(0, count);
      else for (let i = 0; i < count; i++) model.push(source[i]!);
      assertEquals(queue.length, model.length);
      assertEquals(pool.takenBytes, queue.pinned);
    }
    assert(contents(queue).every((byte, i) => byte === model[i]));
    queue.clear();
    assertEquals(pool.takenBytes, 0);
  });
});

Deno.test("copyBytes copies short and long pieces alike and nothing beside them", () => {
  const from = pattern(500);
  for (const count of [0, 1, 63, 64, 65, 300]) {
    const into = new Uint8Array(320).fill(0xa5);
    copyBytes(from, 7, 7 + count, into, 9);
    assertEquals(into.subarray(9, 9 + count), from.subarray(7, 7 + count));
    assertEquals([into[8], into[9 + count]], [0xa5, 0xa5]);
  }
});
