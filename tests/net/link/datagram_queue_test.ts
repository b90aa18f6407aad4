import { assert, assertEquals } from "@std/assert";
import {
  DatagramQueue,
  type DatagramSend,
  LOST,
  MOST_WAITING,
  NO_ROOM,
  SENT,
} from "../../../net/link/datagram_queue.ts";
import { FrameStore } from "../../../net/link/frame_store.ts";
import type { Frame } from "../../../net/wire/frame.ts";
import { bytesOf, frameOf } from "../../support/link_peer.ts";

/** A peer with room for `room` frames. */
class Peer {
  room = 0;
  isLost = false;
  readonly got: Uint8Array[] = [];
  readonly send: DatagramSend = (frame: Frame) => {
    if (this.isLost) return LOST;
    if (this.room === 0) return NO_ROOM;
    this.room--;
    this.got.push(bytesOf(frame));
    return SENT;
  };
}

Deno.test("DatagramQueue keeps order behind what waits, and copies it", () => {
  const peer = new Peer(), queue = new DatagramQueue(new FrameStore(), peer.send);
  const frames = Array.from({ length: 5 }, (_, i) => frameOf(60 + i, i)), sent = frames.map(bytesOf);
  peer.room = 2;
  for (const frame of frames) {
    assert(queue.push(frame, 0));
    frame.bytes.fill(0);
  }
  assertEquals(peer.got.length, 2);
  peer.room = 1;
  assertEquals(queue.retry(0), 0);
  assertEquals(peer.got, sent.slice(0, 3));
  // There is room, but two wait already.
  peer.room = 9;
  assert(queue.push(frameOf(99, 9), 0));
  assertEquals(peer.got.length, 3);
  queue.retry(0);
  assertEquals(peer.got, [...sent, bytesOf(frameOf(99, 9))]);
  assertEquals(queue.retryAt, Infinity);
});

Deno.test("DatagramQueue refuses what is beyond its bound, and takes frames again when there is room", () => {
  const peer = new Peer(), queue = new DatagramQueue(new FrameStore(), peer.send), frame = frameOf(65_549);
  let taken = 0;
  while (queue.push(frame, 0)) taken++;
  assertEquals(taken, Math.floor(MOST_WAITING / 65_549));
  assert(queue.push(frameOf(60), 0), "a small one fits");
  peer.room = 1;
  queue.retry(0);
  assert(queue.push(frame, 0));
  queue.clear();
  assertEquals(queue.retryAt, Infinity);
  peer.room = 1;
  assert(queue.push(frameOf(61), 0));
  assertEquals(peer.got.length, 2);
});

Deno.test("DatagramQueue retries soon while something moves, and ever more seldom while nothing does", () => {
  const peer = new Peer(), queue = new DatagramQueue(new FrameStore(), peer.send);
  assertEquals(queue.retryAt, Infinity);
  for (let i = 0; i < 20; i++) queue.push(frameOf(60), 1000);
  const times: number[] = [];
  for (let i = 0; i < 9; i++) {
    times.push(queue.retryAt);
    queue.retry(queue.retryAt);
  }
  assertEquals(times, [1001, 1003, 1007, 1015, 1031, 1063, 1127, 1191, 1255]);
  peer.room = 3;
  queue.retry(2000);
  assertEquals(queue.retryAt, 2001);
});

Deno.test("DatagramQueue counts what is lost while it waits, and tells what is lost at once", () => {
  const peer = new Peer(), queue = new DatagramQueue(new FrameStore(), peer.send);
  for (let i = 0; i < 3; i++) assert(queue.push(frameOf(60), 0));
  peer.isLost = true;
  assertEquals(queue.retry(1), 3);
  assertEquals(queue.retryAt, Infinity);
  assertEquals(queue.push(frameOf(60), 2), false);
});
