import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import type { Link } from "../../../net/link/link.ts";
import { memoryLinkPair } from "../../../net/link/memory.ts";
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL } from "../../../net/wire/frame.ts";
import { contents, frameOf, Recorder } from "../../support/link_recorder.ts";

/** A schedule that runs when told. */
class Schedule {
  readonly pending: (() => void)[] = [];
  readonly add = (deliver: () => void): void => void this.pending.push(deliver);

  run(): number {
    const due = this.pending.splice(0);
    for (const deliver of due) deliver();
    return due.length;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}

Deno.test("memoryLinkPair delivers what is sent at either end, whole and in order, then flushes once", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ schedule: schedule.add });
  const atA = new Recorder(), atB = new Recorder();
  a.start(atA);
  b.start(atB);
  const frames = [frameOf(60, 1), frameOf(1514, 2), frameOf(14, 3)];
  for (const frame of frames) assert(a.send(frame));
  assert(b.send(frames[0]!));
  assertEquals(atB.log, []);
  assertEquals(schedule.run(), 2);
  assertEquals(atB.log, ["frame 60", "frame 1514", "frame 14", "flush"]);
  assertEquals(atB.frames, frames.map(contents));
  assertEquals(atA.log, ["frame 60", "flush"]);
  assertEquals([a.dropped, b.dropped], [0, 0]);
});

Deno.test("memoryLinkPair takes a copy: the sender's buffer is its own again when send returns", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ schedule: schedule.add });
  const atB = new Recorder();
  b.start(atB);
  const frame = frameOf(100), before = contents(frame);
  a.send(frame);
  frame.bytes.fill(0);
  schedule.run();
  assertEquals(atB.frames, [before]);
});

Deno.test("memoryLinkPair leaves frames that arrive during a delivery to the next one", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ schedule: schedule.add });
  const atA = new Recorder(), atB = new Recorder();
  a.start(atA);
  b.start(atB);
  atB.onFrame = (frame) => {
    if (atB.frames.length < 3) a.send(frameOf(frame.length + 1));
  };
  a.send(frameOf(60));
  assertEquals(schedule.run(), 1);
  assertEquals(atB.log, ["frame 60", "flush"]);
  assertEquals(schedule.run(), 1);
  assertEquals(atB.log, ["frame 60", "flush", "frame 61", "flush"]);
  schedule.run();
  assertEquals(atB.log.slice(4), ["frame 62", "flush"]);
  assertEquals(schedule.run(), 0);
});

Deno.test("memoryLinkPair keeps partial checksums and whole segments with offload", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ offload: true, schedule: schedule.add });
  const seen: number[][] = [];
  const atB = new Recorder();
  atB.onFrame = ({ checksum, transport, start, checksumField, segmentSize }) =>
    void seen.push([checksum, checksum === CHECKSUM_PARTIAL ? transport - start : 0, checksumField, segmentSize]);
  b.start(atB);
  const frame = frameOf(65000);
  frame.checksum = CHECKSUM_PARTIAL;
  frame.transport = frame.start + 34;
  frame.checksumField = 16;
  frame.segmentSize = 1448;
  assert(a.send(frame));
  assert(a.send(frameOf(60)));
  schedule.run();
  assertEquals(seen, [[CHECKSUM_PARTIAL, 34, 16, 1448], [CHECKSUM_COMPLETE, 0, 0, 0]]);
  assertEquals(atB.log, ["frame 65000", "frame 60", "flush"]);
});

Deno.test("memoryLinkPair without offload drops and counts what it does not carry", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ mtu: 1000, schedule: schedule.add });
  const atB = new Recorder();
  b.start(atB);
  assertEquals(a.send(frameOf(1015)), false);
  const partial = frameOf(60);
  partial.checksum = CHECKSUM_PARTIAL;
  assertEquals(a.send(partial), false);
  const segment = frameOf(60);
  segment.segmentSize = 20;
  assertEquals(a.send(segment), false);
  assertEquals(a.send(frameOf(1014)), true);
  assertEquals(a.dropped, 3);
  schedule.run();
  assertEquals(atB.log, ["frame 1014", "flush"]);
});

Deno.test("memoryLinkPair with offload drops what is longer than an IP packet can be", () => {
  const [a] = memoryLinkPair({ offload: true, schedule: () => {} });
  assertEquals(a.send(frameOf(65535 + 14)), true);
  assertEquals(a.send(frameOf(65535 + 15)), false);
  assertEquals(a.dropped, 1);
});

Deno.test("memoryLinkPair drops beyond its capacity, counts it at the sender, and recovers", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ capacity: 3, schedule: schedule.add });
  const atB = new Recorder();
  b.start(atB);
  for (let round = 0; round < 3; round++) {
    const taken = Array.from({ length: 5 }, () => a.send(frameOf(60)));
    assertEquals(taken, [true, true, true, false, false]);
    schedule.run();
  }
  assertEquals(a.dropped, 6);
  assertEquals(b.dropped, 0);
  assertEquals(atB.frames.length, 9);
});

Deno.test("memoryLinkPair uses its buffers again, also for longer frames", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ offload: true, schedule: schedule.add });
  const buffers: Uint8Array[] = [], atB = new Recorder();
  atB.onFrame = (frame) => void buffers.push(frame.bytes);
  b.start(atB);
  for (const length of [60, 1514, 30000, 60, 30000]) {
    const frame = frameOf(length);
    a.send(frame);
    schedule.run();
    assertEquals(atB.frames.at(-1), contents(frame));
  }
  assertStrictEquals(buffers[0], buffers[1]);
  assert(buffers[1] !== buffers[2]);
  assertStrictEquals(buffers[2], buffers[4]);
});

Deno.test("memoryLinkPair queues what is sent before the other end starts", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ schedule: schedule.add });
  a.send(frameOf(60));
  assertEquals(schedule.run(), 0);
  const atB = new Recorder();
  b.start(atB);
  assertEquals(atB.log, []);
  schedule.run();
  assertEquals(atB.log, ["frame 60", "flush"]);
});

Deno.test("memoryLinkPair closed at one end tells both ends once, and delivers nothing more", async () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ schedule: schedule.add });
  const atA = new Recorder(), atB = new Recorder();
  a.start(atA);
  b.start(atB);
  a.send(frameOf(60));
  await b.close();
  await b.close();
  await a.close();
  schedule.run();
  assertEquals(atA.log, ["closed"]);
  assertEquals(atB.log, ["closed"]);
  assertEquals(a.send(frameOf(60)), false);
  assertEquals(a.dropped, 1);
});

Deno.test("memoryLinkPair closed from within a delivery ends it without a flush", () => {
  const schedule = new Schedule(), [a, b] = memoryLinkPair({ schedule: schedule.add });
  const atB = new Recorder();
  atB.onFrame = () => void b.close();
  b.start(atB);
  a.send(frameOf(60));
  a.send(frameOf(61));
  schedule.run();
  assertEquals(atB.log, ["frame 60", "closed"]);
});

Deno.test("memoryLinkPair refuses a second start, and one after close", async () => {
  const [a, b] = memoryLinkPair();
  a.start(new Recorder());
  assertThrows(() => a.start(new Recorder()), Error, "started already");
  await a.close();
  assertThrows(() => b.start(new Recorder()), Error, "it is closed");
});

Deno.test("memoryLinkPair refuses an impossible MTU or capacity", () => {
  for (const mtu of [0, 67, 65536, 1500.5, NaN]) assertThrows(() => memoryLinkPair({ mtu }), RangeError, "MTU");
  for (const capacity of [0, -1, 1.5]) assertThrows(() => memoryLinkPair({ capacity }), RangeError, "capacity");
});

Deno.test("memoryLinkPair delivers by itself, and leaves no timer when closed with frames on their way", async () => {
  const [a, b]: [Link, Link] = memoryLinkPair();
  const atB = new Recorder();
  b.start(atB);
  a.send(frameOf(60));
  assertEquals(atB.log, []);
  await nextTurn();
  assertEquals(atB.log, ["frame 60", "flush"]);
  a.send(frameOf(60));
  await using _a = a;
});
