import { assert, assertEquals, assertThrows } from "@std/assert";
import { HELD_BYTES, lossyLink, type LossyLinkOptions } from "../../../net/link/lossy.ts";
import { memoryLinkPair } from "../../../net/link/memory.ts";
import { CHECKSUM_PARTIAL } from "../../../net/wire/frame.ts";
import { contents, frameOf, Recorder, ScriptLink } from "../../support/link_recorder.ts";
import { VirtualClock } from "../../../net/link/virtual_clock.ts";

/** A bad network between a scripted guest and a recorder, on a virtual clock. */
class Rig {
  readonly clock = new VirtualClock();
  readonly inner: ScriptLink;
  readonly gateway = new Recorder();
  readonly link: ReturnType<typeof lossyLink>;

  constructor(options: LossyLinkOptions, inner = new ScriptLink({ headroom: 10, offload: true })) {
    this.inner = inner;
    this.link = lossyLink(inner, { clock: this.clock, ...options });
    this.link.start(this.gateway);
  }

  /** The guest sends frames, in one batch. */
  guestSends(...lengths: number[]): void {
    for (const length of lengths) this.inner.receiver!.receive(frameOf(length));
    this.inner.receiver!.flush();
  }

  get toGateway(): string[] {
    return this.gateway.log.splice(0);
  }

  get toGuest(): string[] {
    return this.inner.sent.log.splice(0);
  }
}

function lengths(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

Deno.test("lossyLink without impairment passes frames and batches straight through, both ways", () => {
  const rig = new Rig({});
  rig.guestSends(60, 61);
  assertEquals(rig.toGateway, ["frame 60", "frame 61", "flush"]);
  assert(rig.link.send(frameOf(62)));
  rig.link.flush();
  assertEquals(rig.toGuest, ["frame 62", "flush"]);
  assertEquals(rig.clock.size, 0);
});

Deno.test("lossyLink says of itself what the inner link says", () => {
  const { link, inner } = new Rig({ loss: 1 });
  assertEquals([link.name, link.mtu, link.headroom, link.offload], ["script", 1500, 10, true]);
  inner.dropped = 3;
  assertEquals(link.dropped, 3);
});

Deno.test("lossyLink tells how many frames are on their way, those it holds and those of the inner link", () => {
  const rig = new Rig({ delayMs: 10 });
  assertEquals(rig.link.underWay, 0);
  rig.guestSends(60, 61);
  rig.link.send(frameOf(62));
  assertEquals(rig.link.underWay, 3);
  rig.inner.underWay = 4;
  assertEquals(rig.link.underWay, 7);
  rig.clock.advance(10);
  assertEquals(rig.link.underWay, 4);
});

Deno.test("lossyLink loses the same frames for the same seed, others for another, and different ones each way", () => {
  function losses(seed: number): { toGuest: number[]; fromGuest: number[]; counts: number[] } {
    const rig = new Rig({ seed, loss: 0.2 });
    rig.guestSends(...lengths(60, 200));
    for (const length of lengths(60, 200)) assert(rig.link.send(frameOf(length)), "a wire takes what it loses");
    const fromGuest = rig.gateway.frames.map((frame) => frame.length);
    const toGuest = rig.inner.sent.frames.map((frame) => frame.length);
    assertEquals(rig.link.fromGuest.lost, 200 - fromGuest.length);
    assertEquals(rig.link.toGuest.lost, 200 - toGuest.length);
    assertEquals(rig.link.dropped, 0);
    return { toGuest, fromGuest, counts: [rig.link.fromGuest.lost, rig.link.toGuest.lost] };
  }
  const first = losses(3);
  for (const count of first.counts) assert(count > 20 && count < 60, `${count} of 200 lost at 20 %`);
  assertEquals(losses(3), first);
  assert(losses(4).toGuest.join() !== first.toGuest.join());
  assert(first.toGuest.join() !== first.fromGuest.join());
});

Deno.test("lossyLink keeps its losses when the delay changes", () => {
  const survivors = [0, 5].map((delayMs) => {
    const rig = new Rig({ loss: 0.3, delayMs, jitterMs: delayMs });
    rig.guestSends(...lengths(60, 100));
    rig.clock.advance(100);
    return rig.gateway.frames.map((frame) => frame.length);
  });
  assertEquals(survivors[0], survivors[1]);
});

Deno.test("lossyLink delays copies, and hands over in batches what is due together", () => {
  const rig = new Rig({ delayMs: 20 });
  const frame = frameOf(60), before = contents(frame);
  rig.inner.receiver!.receive(frame);
  frame.bytes.fill(0);
  rig.guestSends(61);
  rig.clock.advance(5);
  rig.guestSends(62);
  rig.clock.advance(14.9);
  assertEquals(rig.toGateway, ["flush", "flush"]);
  rig.clock.advance(0.1);
  assertEquals(rig.toGateway, ["frame 60", "frame 61", "flush"]);
  assertEquals(rig.gateway.frames[0], before);
  rig.clock.advance(5);
  assertEquals(rig.toGateway, ["frame 62", "flush"]);
  assertEquals(rig.clock.size, 0);
});

Deno.test("lossyLink delays 64 KiB segments and partial checksums as they are, with headroom for the inner link", () => {
  const rig = new Rig({ delayMs: 1 }), frame = frameOf(65000);
  frame.checksum = CHECKSUM_PARTIAL;
  frame.transport = frame.start + 34;
  frame.checksumField = 16;
  frame.segmentSize = 1448;
  const seen: number[] = [];
  rig.inner.sent.onFrame = (sent) =>
    seen.push(sent.checksum, sent.transport - sent.start, sent.checksumField, sent.segmentSize, sent.start);
  rig.link.send(frame);
  rig.clock.advance(1);
  assertEquals(seen, [CHECKSUM_PARTIAL, 34, 16, 1448, 10]);
  assertEquals(rig.inner.sent.frames[0], contents(frame));
});

Deno.test("lossyLink impairs each way as it was told", () => {
  const rig = new Rig({ delayMs: 5, toGuest: { delayMs: 1 }, fromGuest: { loss: 1 } });
  rig.guestSends(60);
  rig.link.send(frameOf(61));
  rig.clock.advance(1);
  assertEquals(rig.toGuest, ["frame 61", "flush"]);
  rig.clock.advance(100);
  assertEquals(rig.toGateway, ["flush"]);
  assertEquals([rig.link.toGuest.lost, rig.link.fromGuest.lost], [0, 1]);
});

Deno.test("lossyLink with jitter spreads arrivals around the delay and never reorders", () => {
  const rig = new Rig({ delayMs: 10, jitterMs: 8 });
  const delays: number[] = [];
  let sentAt = 0;
  rig.gateway.onFrame = () => delays.push(rig.clock.time - sentAt);
  // Far apart: each has the delay that it drew.
  for (const length of lengths(60, 200)) {
    sentAt = rig.clock.time;
    rig.guestSends(length);
    rig.clock.advance(50);
  }
  assertEquals(delays.length, 200);
  assert(Math.min(...delays) >= 2 && Math.min(...delays) < 4, `${Math.min(...delays)}`);
  assert(Math.max(...delays) <= 18 && Math.max(...delays) > 16, `${Math.max(...delays)}`);
  // Close together: in order all the same.
  for (const length of lengths(60, 200)) {
    rig.guestSends(length);
    rig.clock.advance(0.5);
  }
  rig.clock.advance(50);
  assertEquals(rig.gateway.frames.slice(200).map((frame) => frame.length), lengths(60, 200));
});

Deno.test("lossyLink with reorder lets some frames overtake those that are being delayed", () => {
  const rig = new Rig({ delayMs: 10, reorder: 0.1 });
  for (const length of lengths(60, 100)) {
    rig.guestSends(length);
    rig.clock.advance(1);
  }
  rig.clock.advance(20);
  const arrived = rig.gateway.frames.map((frame) => frame.length);
  const overtaken = arrived.filter((length, i) => arrived.slice(0, i).some((before) => before > length)).length;
  assertEquals(arrived.toSorted((a, b) => a - b), lengths(60, 100));
  assert(overtaken > 10, `${overtaken}`);
  assert(rig.link.fromGuest.reordered > 3 && rig.link.fromGuest.reordered < 25, `${rig.link.fromGuest.reordered}`);
});

Deno.test("lossyLink with duplicate delivers some frames twice, one after the other", () => {
  const rig = new Rig({ duplicate: 0.2 });
  for (const length of lengths(60, 100)) rig.link.send(frameOf(length));
  rig.clock.advance(0);
  const sent = rig.inner.sent.frames, { duplicated } = rig.link.toGuest;
  assert(duplicated > 8 && duplicated < 40, `${duplicated}`);
  assertEquals(sent.length, 100 + duplicated);
  assertEquals([...new Set(sent.map((frame) => frame.length))], lengths(60, 100));
  for (const bytes of sent) assertEquals(bytes, contents(frameOf(bytes.length)));
});

Deno.test("lossyLink with a rate spaces frames by their length and drops what would wait too long", () => {
  const rig = new Rig({ rate: 8e6, delayMs: 5, queueMs: 3 });
  const arrivals: number[] = [], began = rig.clock.time;
  rig.gateway.onFrame = () => arrivals.push(rig.clock.time - began);
  // A byte takes a microsecond. The fifth would begin after 4 ms of waiting.
  rig.guestSends(1000, 1000, 1000, 1000, 1000);
  assertEquals(rig.link.fromGuest.overflowed, 1);
  rig.clock.advance(5.5);
  rig.guestSends(500);
  rig.clock.advance(20);
  assertEquals(arrivals, [6, 7, 8, 9, 11]);
  // To the guest an overflow is a frame that the link did not take.
  const taken = [1000, 1000, 1000, 1000, 1000].map((length) => rig.link.send(frameOf(length)));
  assertEquals(taken, [true, true, true, true, false]);
  assertEquals([rig.link.toGuest.overflowed, rig.link.dropped], [1, 1]);
});

Deno.test("lossyLink with a rate takes any frame while it is idle, however long that one takes", () => {
  const rig = new Rig({ rate: 8e3 });
  assert(rig.link.send(frameOf(1000)));
  assertEquals(rig.link.send(frameOf(1000)), false);
  rig.clock.advance(1000);
  assertEquals(rig.toGuest, ["frame 1000", "flush"]);
});

Deno.test("lossyLink holds a bounded number of frames and of bytes", () => {
  const few = new Rig({ delayMs: 10, capacity: 3, duplicate: 1 });
  few.guestSends(60, 61, 62);
  // The second frame's copy still fits, the third has no room.
  assertEquals(few.link.fromGuest, { lost: 0, duplicated: 1, reordered: 0, overflowed: 1 });
  few.clock.advance(10);
  assertEquals(few.toGateway, ["flush", "frame 60", "frame 60", "frame 61", "flush"]);
  few.guestSends(63);
  few.clock.advance(10);
  assertEquals(few.toGateway, ["flush", "frame 63", "frame 63", "flush"]);
  const large = new Rig({ delayMs: 10 });
  const taken = Array.from({ length: 300 }, () => large.link.send(frameOf(65000))).filter(Boolean).length;
  assertEquals(taken, Math.floor(HELD_BYTES / 65000));
  assertEquals(large.link.dropped, 300 - taken);
});

Deno.test("lossyLink passes on that the inner link takes nothing, and does not count it again", () => {
  const rig = new Rig({ toGuest: { delayMs: 0 } });
  rig.inner.takes = false;
  assertEquals(rig.link.send(frameOf(60)), false);
  assertEquals([rig.link.dropped, rig.link.toGuest.overflowed], [1, 0]);
});

Deno.test("lossyLink that is closed delivers nothing more, keeps no timer, and tells the receiver once", async () => {
  const rig = new Rig({ delayMs: 10 });
  rig.guestSends(60);
  rig.link.send(frameOf(61));
  await rig.link.close();
  await rig.link.close();
  assertEquals(rig.clock.size, 0);
  rig.clock.advance(20);
  assertEquals(rig.toGateway, ["flush", "closed"]);
  assertEquals(rig.toGuest, []);
});

Deno.test("lossyLink whose inner link ends in error keeps no timer and says why", () => {
  const rig = new Rig({ delayMs: 10 });
  rig.guestSends(60);
  rig.inner.receiver!.closed(new Error("Gone"));
  assertEquals(rig.clock.size, 0);
  assertEquals(rig.toGateway, ["flush", "closed Gone"]);
});

Deno.test("lossyLink closed from within a delivery delivers nothing more", () => {
  const rig = new Rig({ delayMs: 10 });
  rig.gateway.onFrame = () => void rig.link.close();
  rig.guestSends(60, 61);
  rig.clock.advance(20);
  assertEquals(rig.toGateway, ["flush", "frame 60", "closed"]);
});

Deno.test("lossyLink refuses a second start, and the first receiver stays", () => {
  const rig = new Rig({ delayMs: 10 });
  assertThrows(() => rig.link.start(new Recorder()), Error, "started already");
  rig.guestSends(60);
  rig.clock.advance(10);
  assertEquals(rig.toGateway, ["flush", "frame 60", "flush"]);
});

Deno.test("lossyLink refuses options that make no sense", () => {
  const bad: [LossyLinkOptions, string][] = [
    [{ loss: 1.5 }, "loss 1.5"],
    [{ duplicate: -0.1 }, "duplicate -0.1"],
    [{ toGuest: { loss: NaN } }, "loss NaN"],
    [{ delayMs: -1 }, "delayMs -1"],
    [{ jitterMs: Infinity }, "jitterMs Infinity"],
    [{ rate: 0 }, "rate 0"],
    [{ reorder: 0.1 }, "reorder needs a delay"],
    [{ capacity: 0 }, "capacity 0"],
    [{ seed: 0.5 }, "seed 0.5"],
  ];
  for (const [options, text] of bad) assertThrows(() => lossyLink(new ScriptLink(), options), RangeError, text);
});

Deno.test("lossyLink runs by itself on the program's clock, and leaves no timer when closed", async () => {
  const [a, b] = memoryLinkPair(), link = lossyLink(a, { delayMs: 5 });
  const arrived = Promise.withResolvers<void>(), began = performance.now();
  const atB = new Recorder();
  atB.onFrame = () => arrived.resolve();
  b.start(atB);
  link.start(new Recorder());
  link.send(frameOf(60));
  await arrived.promise;
  assert(performance.now() - began >= 4.9);
  link.send(frameOf(61));
  await link.close();
});
