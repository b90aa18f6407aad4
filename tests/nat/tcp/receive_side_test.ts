import { assert, assertEquals } from "@std/assert";
import { SMALL_BUFFER } from "../../../nat/base/buffers.ts";
import type { TcpConfig, TcpContext } from "../../../nat/tcp/context.ts";
import { ACK_LATER, ACK_NOT, ACK_NOW, ReceiveSide, SCARCE_WINDOW } from "../../../nat/tcp/receive_side.ts";
import { bytesOf } from "../../support/nat_script.ts";
import { tcpContext } from "../../support/tcp_context.ts";

/** The peer's initial number: the first byte is the last below the wrap. */
const ISN = 0xfffffffe, MSS = 100;

class Side {
  readonly context: TcpContext;
  readonly receive: ReceiveSide;
  /** Bytes that the user takes at once. */
  budget = Infinity;
  text = "";

  constructor(options: { tcp?: Partial<TcpConfig>; maxBufferBytes?: number } = {}) {
    this.context = tcpContext({ ...options, tcp: { receiveLimit: 1000, ...options.tcp } });
    this.receive = new ReceiveSide(this.context);
    this.receive.open(ISN);
    this.receive.offer(MSS);
  }

  tcpReceived(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(this.budget, end - start);
    this.text += new TextDecoder().decode(bytes.subarray(start, start + count));
    this.budget -= count;
    return count;
  }

  /** A segment whose first byte is the `at`th of the stream. */
  take(at: number, text: string, fin: boolean = false): number {
    const bytes = bytesOf(`<${text}>`);
    return this.receive.take(bytes, 1, bytes.length - 1, (ISN + 1 + at) >>> 0, fin, this);
  }

  get queued(): string {
    const queue = this.receive.queue, bytes = new Uint8Array(queue.length);
    queue.copyOut(0, queue.length, bytes, 0);
    return new TextDecoder().decode(bytes);
  }
}

Deno.test("ReceiveSide gives the user what comes in order and asks for one ACK at the end of the turn", () => {
  const side = new Side();
  assertEquals([side.take(0, "ab"), side.take(2, "cd")], [ACK_LATER, ACK_LATER]);
  assertEquals([side.text, side.receive.record.next, side.receive.record.bytes], ["abcd", 3, 4]);
});

Deno.test("ReceiveSide queues what the user does not take, and everything after it", () => {
  const side = new Side();
  side.budget = 1;
  side.take(0, "abc");
  side.budget = 100;
  side.take(3, "def");
  assertEquals([side.text, side.queued, side.receive.record.next], ["a", "bcdef", 5]);
});

Deno.test("ReceiveSide asks for an ACK at once of what is repeated, early or fills a gap (RFC 5681 section 4.2)", () => {
  const side = new Side();
  side.take(0, "ab");
  assertEquals(side.take(0, "ab"), ACK_NOW);
  assertEquals(side.take(4, "ef"), ACK_NOW);
  assertEquals(side.receive.hasGap, true);
  assertEquals(side.take(2, "cd"), ACK_NOW);
  assertEquals([side.text, side.receive.hasGap], ["abcdef", false]);
  assertEquals(side.take(6, ""), ACK_NOT);
});

Deno.test("ReceiveSide takes the new part of a segment that overlaps what came before", () => {
  const side = new Side();
  side.take(0, "abc");
  assertEquals(side.take(1, "bcde"), ACK_NOW);
  assertEquals([side.text, side.receive.record.bytes], ["abcde", 5]);
});

Deno.test("ReceiveSide cuts off what lies beyond the window, a FIN behind it too", () => {
  const side = new Side({ tcp: { receiveLimit: 4 } });
  side.budget = 0;
  side.take(0, "abcdef", true);
  assertEquals([side.queued, side.receive.window, side.receive.record.finSeq], ["abcd", 0, -1]);
});

Deno.test("ReceiveSide holds a FIN until all before it is there, and keeps to its first place", () => {
  const side = new Side();
  assertEquals(side.take(2, "cd", true), ACK_NOW);
  assertEquals([side.receive.record.finSeq, side.receive.finIsNext], [3, false]);
  side.take(4, "no data");
  side.take(5, "", true);
  side.take(0, "abcdefgh");
  assertEquals([side.text, side.receive.record.finSeq, side.receive.finIsNext], ["abcd", 3, true]);
});

Deno.test("ReceiveSide offers the room of its queue, and never takes an offer back", () => {
  const side = new Side();
  side.budget = 0;
  assertEquals(side.receive.window, 1000);
  side.take(0, "x".repeat(300));
  assertEquals([side.receive.offer(MSS), side.receive.window], [700, 700]);
  side.receive.queue.consume(99);
  assertEquals(side.receive.offer(MSS), 700, "a step below one segment is none");
  side.receive.queue.consume(1);
  assertEquals(side.receive.offer(MSS), 800);
});

Deno.test("ReceiveSide owes an update once a worthwhile part of the window is free again", () => {
  const side = new Side();
  side.budget = 0;
  side.take(0, "x".repeat(400));
  side.receive.queue.consume(300);
  assertEquals(side.receive.owesUpdate(MSS), false, "more than half is open");
  side.take(400, "x".repeat(200));
  assertEquals(side.receive.owesUpdate(MSS), true);
  side.receive.offer(MSS);
  assertEquals(side.receive.owesUpdate(MSS), false);
});

Deno.test("ReceiveSide names its window scaled and rounded down, and not more than the field holds", () => {
  const side = new Side({ tcp: { receiveLimit: 1 << 20 } });
  assertEquals(side.receive.offer(MSS), 0xffff);
  side.receive.record.shift = 5;
  assertEquals(side.receive.offer(MSS), (1 << 20) >>> 5);
  side.budget = 0;
  side.take(0, "x");
  assertEquals(side.receive.offer(MSS), ((1 << 20) >>> 5) - 1);
});

Deno.test("ReceiveSide refuses what is outside the window, by the table of RFC 9293 section 3.4", () => {
  const side = new Side(), { receive } = side, first = (ISN + 1) >>> 0;
  const at = (distance: number) => (first + distance) >>> 0;
  assertEquals([receive.refuses(at(0), 0), receive.refuses(at(-1), 0), receive.refuses(at(999), 0)], [
    false,
    true,
    false,
  ]);
  assertEquals(receive.refuses(at(1000), 0), true);
  assertEquals([receive.refuses(at(-5), 5), receive.refuses(at(-5), 6)], [true, false]);
  assertEquals([receive.refuses(at(999), 500), receive.refuses(at(1000), 1)], [false, true]);
  assertEquals(receive.refuses(at(0x7fffffff), 1), true);
  side.budget = 0;
  side.take(0, "x".repeat(1000));
  assertEquals([receive.refuses(receive.record.next, 0), receive.refuses(receive.record.next, 1)], [false, true]);
  assertEquals(receive.refuses(at(999), 0), true);
});

Deno.test("ReceiveSide reports held ranges and frees them when told", () => {
  const side = new Side(), edges = new Uint32Array(8);
  assertEquals(side.receive.sackBlocks(edges, 4), 0);
  side.take(10, "x");
  side.take(20, "y");
  assertEquals([side.receive.sackBlocks(edges, 4), ...edges.subarray(0, 4)], [2, 19, 20, 9, 10]);
  assertEquals(side.receive.pinned, SMALL_BUFFER);
  side.receive.dropHeld();
  assertEquals([side.receive.pinned, side.receive.hasGap, side.context.pool.takenBytes], [0, false, 0]);
});

Deno.test("ReceiveSide counts a segment that would be one gap too many, and acknowledges it no less", () => {
  const side = new Side();
  for (let i = 1; i <= 129; i++) assertEquals(side.take(2 * i, "x"), ACK_NOW);
  assertEquals(side.context.drops.tcpTooManyGaps, 1);
});

Deno.test("ReceiveSide keeps nothing once buffers are full, takes what the user takes, and forgets nothing it has", () => {
  const side = new Side({ maxBufferBytes: SMALL_BUFFER });
  side.budget = 0;
  side.take(0, "ab");
  side.take(2, "cd");
  side.take(9, "early");
  assertEquals([side.queued, side.receive.record.next, side.context.drops.memoryLimit], ["ab", 1, 2]);
  assertEquals(side.receive.hasGap, false);
  side.receive.queue.consume(2);
  side.budget = 1;
  const held = side.context.pool.takeSmall();
  side.take(2, "cd");
  assertEquals([side.text, side.receive.record.next, side.receive.record.bytes], ["c", 2, 3]);
  side.context.pool.give(held);
  side.take(3, "d");
  assertEquals(side.queued, "d");
});

Deno.test("ReceiveSide promises less while buffers are scarce, and takes back nothing of what it promised", () => {
  const side = new Side({ tcp: { receiveLimit: 1 << 20 }, maxBufferBytes: 4 * SMALL_BUFFER });
  const held = [side.context.pool.takeSmall(), side.context.pool.takeSmall()];
  side.receive.offer(MSS);
  assertEquals(side.receive.window, 1 << 20);
  const other = new ReceiveSide(side.context);
  other.open(ISN);
  other.offer(MSS);
  assertEquals(other.window, SCARCE_WINDOW);
  for (const buffer of held) side.context.pool.give(buffer);
  other.offer(MSS);
  assertEquals(other.window, 1 << 20);
  assert(!side.context.pool.isScarce);
});
