import { assertEquals } from "@std/assert";
import { Output } from "../../../nat/tcp/output.ts";
import { ReceiveSide } from "../../../nat/tcp/receive_side.ts";
import { SendSide } from "../../../nat/tcp/send_side.ts";
import { Transmitter } from "../../../nat/tcp/transmitter.ts";
import { seqAdd, seqDiff } from "../../../net/wire/seq.ts";
import { decodeTcp, TCP_FIN, TCP_SYN } from "../../../net/wire/tcp.ts";
import { pattern } from "../../support/bytes.ts";
import { tcpContext } from "../../support/tcp_context.ts";

const ISN = 0xffffff80, MSS = 100;

/** What was sent: distance of the first byte from the stream's beginning, length, and `F` where FIN is behind it. */
class Sender {
  readonly localPort = 80;
  readonly peerPort = 40000;
  readonly maxSegmentSize = MSS;
  readonly maxBurst = MSS;
  readonly context = tcpContext({ now: () => this.now });
  readonly send = new SendSide(this.context);
  readonly output: Output;
  now = 1000;
  sent: string[] = [];

  constructor(window: number) {
    const receive = new ReceiveSide(this.context);
    const out = new Transmitter(this.context, { lower: this, ports: this, send: this.send, receive });
    this.output = new Output(this.context, { send: this.send, out });
    this.send.open(ISN);
    this.send.record.mss = MSS;
    this.output.syn(false);
    this.send.acknowledged(seqAdd(ISN, 1), this.now, 0);
    this.send.startWindow(0, seqAdd(ISN, 1), window);
    this.output.disarm();
    this.sent = [];
  }

  transmit(bytes: Uint8Array, start: number, end: number): void {
    const { seq, flags, payloadStart, payloadEnd } = decodeTcp(bytes, start, end);
    const what = flags & TCP_SYN ? "S" : flags & TCP_FIN ? "F" : "";
    this.sent.push(`${seqDiff(seq, seqAdd(ISN, 1))}+${payloadEnd - payloadStart}${what}`);
  }

  queue(length: number): void {
    this.send.queue.append(pattern(length), 0, length);
  }

  take(): string[] {
    return this.sent.splice(0);
  }
}

Deno.test("Output sends whole segments while the window lets it, the rest last, and keeps one deadline", () => {
  const one = new Sender(250);
  one.queue(220);
  one.output.run();
  assertEquals(one.take(), ["0+100", "100+100", "200+20"]);
  assertEquals([one.output.record.retransmitAt, one.output.record.waitingSince], [1000 + one.send.rtt.rtoMs, 1000]);
});

Deno.test("Output sends no small piece into what is left of a window while something is on its way (RFC 9293 section 3.8.6.2.1)", () => {
  const one = new Sender(130);
  one.queue(200);
  one.output.run();
  assertEquals(one.take(), ["0+100"]);
  one.output.run();
  assertEquals(one.take(), []);
});

Deno.test("Output lets FIN ride on the last bytes, and alone where they left before", () => {
  const riding = new Sender(1000), alone = new Sender(1000);
  riding.queue(150);
  riding.send.record.finQueued = true;
  riding.output.run();
  assertEquals(riding.take(), ["0+100", "100+50F"]);
  alone.queue(50);
  alone.output.run();
  alone.send.record.finQueued = true;
  alone.output.run();
  alone.output.run();
  assertEquals(alone.take(), ["0+50", "50+0F"]);
});

Deno.test("Output keeps FIN back where the window is full, and probes with it once nothing else waits", () => {
  const one = new Sender(100);
  one.queue(100);
  one.send.record.finQueued = true;
  one.output.run();
  assertEquals(one.take(), ["0+100"]);
  one.send.acknowledged(seqAdd(ISN, 101), one.now, 0);
  one.send.updateWindow(1, seqAdd(ISN, 101), 0);
  one.output.acknowledged(one.now);
  one.output.run();
  assertEquals([one.take(), one.output.isBlocked, one.output.record.retransmitAt > 0], [[], true, true]);
  one.output.timedOut();
  assertEquals(one.take(), ["100+0F"]);
});

Deno.test("Output probes a shut window with one byte, further and further apart, and moves nothing on", () => {
  const one = new Sender(0), times: number[] = [];
  one.queue(10);
  one.output.run();
  assertEquals([one.take(), one.output.isBlocked], [[], true]);
  for (let i = 0; i < 4; i++) {
    one.now = one.output.record.retransmitAt;
    times.push(one.now - 1000);
    one.output.timedOut();
    assertEquals(one.take(), ["0+1"]);
  }
  const [first] = times;
  assertEquals(times, [first, 3 * first!, 7 * first!, 15 * first!]);
  assertEquals([one.send.flight, one.send.unsent], [0, 10]);
});

Deno.test("Output repeats what is lost before it sends anything new", () => {
  const one = new Sender(1000);
  one.queue(300);
  one.output.run();
  one.take();
  one.queue(100);
  one.now = one.output.record.retransmitAt;
  one.output.timedOut();
  assertEquals(one.take(), ["0+100"], "the congestion window is one segment");
  one.send.acknowledged(seqAdd(ISN, 101), one.now, 0);
  one.output.acknowledged(one.now);
  one.output.run();
  assertEquals(one.take().slice(0, 2), ["100+100", "200+100"]);
});

Deno.test("Output repeats a FIN with the bytes before it as one segment", () => {
  const one = new Sender(1000);
  one.queue(40);
  one.send.record.finQueued = true;
  one.output.run();
  one.output.timedOut();
  assertEquals(one.take(), ["0+40F", "0+40F"]);
});

Deno.test("Output forgets its deadline once nothing is on its way, and a timeout then does nothing", () => {
  const one = new Sender(1000);
  one.queue(10);
  one.output.run();
  one.send.acknowledged(seqAdd(ISN, 11), one.now, 0);
  one.output.acknowledged(one.now);
  assertEquals([one.output.record.retransmitAt, one.output.record.waitingSince], [-1, -1]);
  one.take();
  one.output.timedOut();
  assertEquals([one.take(), one.output.record.retransmitAt], [[], -1]);
});

Deno.test("Output repeats a SYN with the number it had", () => {
  const one = new Sender(0), context = tcpContext(), send = new SendSide(context), receive = new ReceiveSide(context);
  const output = new Output(context, {
    send,
    out: new Transmitter(context, { lower: one, ports: one, send, receive }),
  });
  send.open(ISN);
  output.syn(false);
  output.syn(true);
  assertEquals(one.take(), ["-1+0S", "-1+0S"]);
  assertEquals([send.record.next, send.record.retransmissions], [seqAdd(ISN, 1), 1]);
});

Deno.test("Output.readRoom does not wait for what is on its way, unless memory is full", () => {
  for (const isFull of [false, true]) {
    const sender = new Sender(10_000);
    sender.queue(1000);
    sender.output.run();
    if (isFull) Object.defineProperty(sender.context.pool, "isFull", { value: true });
    assertEquals(sender.output.readRoom > 0, !isFull);
  }
});
