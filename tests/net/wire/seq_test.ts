import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { seqAdd, seqDiff, seqInWindow, seqLess, seqLessOrEqual, seqMax, seqMin } from "../../../net/wire/seq.ts";

Deno.test("seqAdd wraps both ways and stays unsigned", () => {
  assertStrictEquals(seqAdd(0xffffffff, 1), 0);
  assertStrictEquals(seqAdd(0xfffffff0, 0x20), 0x10);
  assertStrictEquals(seqAdd(0, -1), 0xffffffff);
  assertStrictEquals(seqAdd(0x7fffffff, 1), 0x80000000);
});

Deno.test("seqDiff is the signed distance across the wrap", () => {
  assertStrictEquals(seqDiff(5, 0xfffffffb), 10);
  assertStrictEquals(seqDiff(0xfffffffb, 5), -10);
  assertStrictEquals(seqDiff(7, 7), 0);
  assertStrictEquals(seqDiff(0x80000000 - 1, 0), 0x7fffffff);
});

Deno.test("seqLess orders numbers across the wrap", () => {
  assert(seqLess(0xffffffff, 0));
  assert(!seqLess(0, 0xffffffff));
  assert(seqLess(0x7fffffff, 0x80000000));
  assert(!seqLess(3, 3));
});

Deno.test("seqLessOrEqual differs from seqLess for equal numbers alone", () => {
  assert(seqLessOrEqual(0xffffffff, 0xffffffff));
  assert(seqLessOrEqual(0xffffffff, 1));
  assert(!seqLessOrEqual(1, 0xffffffff));
});

Deno.test("seqInWindow takes the first number of the window and not the one after the last", () => {
  const inWindow = [0xfffffffd, 0xfffffffe, 0xffffffff, 0, 1, 2].map((seq) => seqInWindow(seq, 0xfffffffe, 3));
  assertEquals(inWindow, [false, true, true, true, false, false]);
});

Deno.test("seqInWindow finds nothing in an empty window", () => {
  assert(!seqInWindow(5, 5, 0));
});

Deno.test("seqMax and seqMin choose by order, not by size", () => {
  assertStrictEquals(seqMax(0xfffffff0, 0x10), 0x10);
  assertStrictEquals(seqMin(0xfffffff0, 0x10), 0xfffffff0);
  assertStrictEquals(seqMax(4, 4), 4);
  assertStrictEquals(seqMin(4, 4), 4);
});
