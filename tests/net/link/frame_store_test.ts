import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { FrameStore } from "../../../net/link/frame_store.ts";
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL } from "../../../net/wire/frame.ts";
import { contents, frameOf } from "../../support/link_recorder.ts";

Deno.test("FrameStore.hold copies bytes and marks, behind the headroom", () => {
  const store = new FrameStore(10), frame = frameOf(100);
  frame.checksum = CHECKSUM_PARTIAL;
  frame.transport = frame.start + 34;
  frame.checksumField = 16;
  frame.segmentSize = 20;
  const held = store.hold(frame);
  assertEquals(held.start, 10);
  assertEquals(contents(held), contents(frame));
  assertEquals([held.checksum, held.transport - held.start], [CHECKSUM_PARTIAL, 34]);
  assertEquals([held.checksumField, held.segmentSize], [16, 20]);
  frame.bytes.fill(0);
  assertEquals(contents(held)[99], 99);
});

Deno.test("FrameStore uses a buffer again once it was released, and not before, and no mark of its last frame stays", () => {
  const store = new FrameStore(), marked = frameOf(60);
  marked.checksum = CHECKSUM_PARTIAL;
  marked.segmentSize = 9;
  const first = store.hold(marked), bytes = first.bytes, second = store.hold(frameOf(60));
  assert(second.bytes !== bytes);
  store.release(first);
  const third = store.hold(frameOf(2000, 1));
  assertStrictEquals(third.bytes, bytes);
  assertEquals([third.checksum, third.segmentSize, third.length], [CHECKSUM_COMPLETE, 0, 2000]);
  store.release(third);
  // What does not fit gets a buffer that does.
  assertEquals(contents(store.hold(frameOf(3000))), contents(frameOf(3000)));
});

Deno.test("FrameStore keeps a bounded number of bytes free, and none after clear", () => {
  const store = new FrameStore(), held = Array.from({ length: 100 }, () => store.hold(frameOf(65000)));
  for (const frame of held) store.release(frame);
  const known = new Set(held.map((frame) => frame.bytes));
  const again = Array.from({ length: 100 }, () => store.hold(frameOf(65000)));
  const reused = again.filter((frame) => known.has(frame.bytes)).length;
  assertEquals(reused, (4 << 20) / 65536);
  for (const frame of again) store.release(frame);
  store.clear();
  assert(!again.some((frame) => frame.bytes === store.hold(frameOf(60)).bytes));
});
