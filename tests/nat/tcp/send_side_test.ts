import { assertEquals } from "@std/assert";
import { SendSide } from "../../../nat/tcp/send_side.ts";
import { seqAdd, seqDiff } from "../../../net/wire/seq.ts";
import { pattern } from "../../support/bytes.ts";
import { tcpContext } from "../../support/tcp_context.ts";

const ISN = 0xffffff00, MSS = 100, PEER = 5000;

class Sender {
  readonly context = tcpContext({ tcp: { sendLimit: 100_000 } });
  readonly send = new SendSide(this.context);
  now = 0;

  /** Open, with `segments` full ones sent and as many as that queued besides. */
  constructor(segments: number, options: { sack?: boolean; queued?: number } = {}) {
    const { send } = this;
    send.open(ISN);
    send.record.mss = MSS;
    send.record.sackPermitted = options.sack ?? true;
    send.sent(ISN, 1, 0);
    send.acknowledged(seqAdd(ISN, 1), 0, 0);
    send.startWindow(PEER, seqAdd(ISN, 1), 50_000);
    const length = options.queued ?? segments * MSS;
    send.queue.append(pattern(length), 0, length);
    for (let i = 0; i < segments; i++) send.sent(send.record.next, MSS, this.now);
  }

  /** The sequence number of the `at`th byte. */
  seq(at: number): number {
    return seqAdd(ISN, 1 + at);
  }

  sacked(from: number, to: number): boolean {
    return this.send.sacked(this.seq(from), this.seq(to), this.now);
  }

  /** Where the next repetitions are, each noted as sent: `[from, to)`. */
  repeats(most: number = MSS): [number, number][] {
    const found: [number, number][] = [];
    for (let seq = this.send.recovery.repeatFrom; seq >= 0; seq = this.send.recovery.repeatFrom) {
      const length = this.send.recovery.repeatLength(seq, most);
      if (length <= 0) break;
      this.send.repeated(seq, length);
      const from = seqDiff(seq, this.seq(0));
      found.push([from, from + length]);
    }
    return found;
  }
}

Deno.test("SendSide counts SYN and FIN as numbers and not as bytes", () => {
  const send = new SendSide(tcpContext());
  send.open(0xffffffff);
  send.queue.append(pattern(3), 0, 3);
  send.sent(0xffffffff, 1, 0);
  assertEquals([send.flight, send.unsent, send.record.next], [1, 3, 0]);
  send.acknowledged(0, 0, 0);
  assertEquals([send.record.bytes, send.queue.length], [0, 3]);
  send.record.finQueued = true;
  assertEquals(send.finIsNext, false);
  send.sent(0, 3, 0);
  assertEquals(send.finIsNext, true);
  send.record.finSeq = send.record.next;
  send.sent(3, 1, 0);
  assertEquals([send.flight, send.unsent, send.finAcknowledged], [4, 0, false]);
  send.acknowledged(3, 0, 0);
  assertEquals([send.record.bytes, send.queue.length, send.finAcknowledged], [3, 0, false]);
  send.acknowledged(4, 0, 0);
  assertEquals([send.record.bytes, send.finAcknowledged, send.flight], [3, true, 0]);
});

Deno.test("SendSide covers what was sent, a probe's byte included, and nothing else, across the wrap", () => {
  const one = new Sender(3), { send } = one;
  assertEquals([-1, 0, 1, 299, 300, 301].map((at) => send.covers(one.seq(at))), [false, true, true, true, true, false]);
  assertEquals(send.covers((send.record.una + 0x80000000) >>> 0), false);
  send.probeSent();
  assertEquals([send.covers(one.seq(301)), send.covers(one.seq(302)), send.flight], [true, false, 300]);
});

Deno.test("SendSide follows an ACK of a probe's byte", () => {
  const one = new Sender(0, { queued: 10 }), { send } = one;
  send.probeSent();
  send.acknowledged(one.seq(1), 0, 0);
  assertEquals([send.record.una, send.record.next, send.unsent, send.queue.length], [one.seq(1), one.seq(1), 9, 9]);
});

Deno.test("SendSide takes a window from a newer segment, or a newer ACK on the same, and not from an older one", () => {
  const one = new Sender(3), { send } = one;
  send.record.shift = 2;
  assertEquals(send.updateWindow(PEER + 1, one.seq(0), 100), false, "it did not grow");
  assertEquals(send.record.window, 400);
  assertEquals(send.updateWindow(PEER, one.seq(0), 900), false);
  assertEquals(send.record.window, 400, "an older segment");
  assertEquals(send.updateWindow(PEER + 1, one.seq(0), 200), true);
  assertEquals([send.record.window, send.record.maxWindow], [800, 50_000]);
  assertEquals(send.updateWindow(PEER + 1, one.seq(-1), 900), false);
  assertEquals(send.record.window, 800, "an older ACK");
});

Deno.test("SendSide takes the window of an older segment that acknowledges more, or it would count from the new ACK", () => {
  const one = new Sender(3), { send } = one;
  send.updateWindow(PEER + 1000, one.seq(0), 1000);
  send.updateWindow(PEER, one.seq(200), 800);
  send.acknowledged(one.seq(200), 0, 0);
  assertEquals([send.record.window, send.windowLeft], [800, 700]);
});

Deno.test("SendSide may use what window and congestion window leave, and never less than nothing", () => {
  const one = new Sender(3), { send } = one;
  assertEquals([send.windowLeft, send.usable], [49_700, 49_700]);
  send.updateWindow(PEER, one.seq(0), 100);
  assertEquals([send.windowLeft, send.usable], [0, 0]);
  send.updateWindow(PEER, one.seq(0), 50_000);
  send.timedOut();
  assertEquals([send.congestion.bytes, send.usable], [MSS, MSS]);
});

Deno.test("SendSide times one segment and not one that was repeated (Karn)", () => {
  const one = new Sender(2), { send } = one;
  send.acknowledged(one.seq(100), 40, 40);
  // The handshake took no time: an eighth of the new one.
  assertEquals(send.rtt.srttMs, 5);
  send.queue.append(pattern(100), 0, 100);
  send.sent(send.record.next, 100, 100);
  send.timedOut();
  one.repeats();
  send.acknowledged(send.record.next, 5000, 4900);
  assertEquals(send.rtt.srttMs, 5);
});

Deno.test("SendSide ignores SACK blocks that make no sense: inside out, acknowledged, not sent, or unasked for", () => {
  const one = new Sender(10);
  for (const [from, to] of [[300, 200], [200, 200], [0, 100], [-100, -50], [-50, 50], [900, 1001], [2000, 2100]]) {
    assertEquals(one.sacked(from!, to!), false, `${from} to ${to}`);
  }
  assertEquals(one.sacked(1, 1000), true);
  assertEquals(new Sender(10, { sack: false }).sacked(100, 200), false);
});

Deno.test("SendSide repeats the holes below the highest report, each once, after three reports", () => {
  const one = new Sender(10);
  for (const [from, to] of [[100, 200], [300, 400]]) {
    one.sacked(from!, to!);
    one.send.duplicate(true);
    assertEquals(one.send.recovery.repeatFrom, -1);
  }
  one.sacked(500, 600);
  one.send.duplicate(true);
  assertEquals(one.send.congestion.bytes, 500);
  one.send.congestion.acknowledged(10_000, 10_000);
  assertEquals(one.repeats(), [[0, 100], [200, 300], [400, 500]]);
  assertEquals(one.repeats(), []);
});

Deno.test("SendSide repeats one segment after three duplicate ACKs without SACK, and the next at a partial ACK", () => {
  const one = new Sender(10, { sack: false });
  for (let i = 0; i < 3; i++) {
    assertEquals(one.send.recovery.repeatFrom, -1);
    one.send.duplicate(false);
  }
  assertEquals(one.repeats(), [[0, 100]]);
  one.send.acknowledged(one.seq(400), 0, 0);
  assertEquals(one.repeats(), [[400, 500]]);
  one.send.acknowledged(one.seq(1000), 0, 0);
  assertEquals(one.send.recovery.repeatFrom, -1);
});

Deno.test("SendSide counts no duplicates while nothing is on its way, and with SACK none without news", () => {
  const idle = new Sender(0), one = new Sender(10);
  for (let i = 0; i < 5; i++) {
    idle.send.duplicate(true);
    one.send.duplicate(false);
  }
  assertEquals([idle.send.recovery.repeatFrom, one.send.recovery.repeatFrom], [-1, -1]);
});

Deno.test("SendSide calls all of it lost at a timeout, but for what was reported, and that too at the second", () => {
  const one = new Sender(4);
  one.sacked(100, 200);
  one.send.timedOut();
  assertEquals([one.send.congestion.bytes, one.send.rtt.rtoMs], [MSS, 400]);
  assertEquals(one.repeats(), [[0, 100]], "the window is one segment");
  one.send.timedOut();
  one.send.congestion.acknowledged(200, MSS);
  one.send.congestion.acknowledged(200, MSS);
  assertEquals(one.repeats()[1], [100, 200], "the peer may have reneged");
});

Deno.test("SendSide repeats what a shut window has refused without a penalty", () => {
  const one = new Sender(3), before = one.send.congestion.bytes;
  one.send.windowOpened();
  assertEquals(one.repeats(1000), [[0, 300]]);
  assertEquals(one.send.congestion.bytes, before);
});

Deno.test("SendSide that is cleared holds no buffer", () => {
  const one = new Sender(3);
  one.sacked(100, 200);
  one.send.clear();
  assertEquals([one.send.queue.length, one.context.pool.takenBytes], [0, 0]);
});
