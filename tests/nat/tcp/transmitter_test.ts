import { assert, assertEquals } from "@std/assert";
import { ReceiveSide } from "../../../nat/tcp/receive_side.ts";
import { SendSide } from "../../../nat/tcp/send_side.ts";
import { CHALLENGES_PER_SECOND, Transmitter, windowShift } from "../../../nat/tcp/transmitter.ts";
import { SEGMENT_HEADROOM } from "../../../net/wire/frame.ts";
import { decodeTcp, TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, type TcpSegment } from "../../../net/wire/tcp.ts";
import { pattern } from "../../support/bytes.ts";
import { tcpContext } from "../../support/tcp_context.ts";

const ISN = 0xffffffff, PEER_ISN = 0xfffffff0;

interface Sent extends TcpSegment {
  payload: Uint8Array;
  segmentSize: number;
  start: number;
}

class Link {
  readonly localPort = 80;
  readonly peerPort = 40000;
  readonly maxSegmentSize = 1000;
  readonly maxBurst: number;
  readonly sent: Sent[] = [];
  readonly context = tcpContext({ now: () => this.now });
  readonly send = new SendSide(this.context);
  readonly receive = new ReceiveSide(this.context);
  readonly out: Transmitter;
  now = 0;

  constructor(maxBurst: number = 1000) {
    this.maxBurst = maxBurst;
    this.out = new Transmitter(this.context, { lower: this, ports: this, send: this.send, receive: this.receive });
    this.send.open(ISN);
    this.send.record.mss = 500;
    this.receive.open(PEER_ISN);
    this.receive.offer(500);
    this.send.sent(ISN, 1, 0);
    this.send.acknowledged(0, 0, 0);
  }

  transmit(bytes: Uint8Array, start: number, end: number, segmentSize: number): void {
    const segment = decodeTcp(bytes, start, end);
    const payload = bytes.slice(segment.payloadStart, segment.payloadEnd);
    this.sent.push({ ...segment, payload, segmentSize, start });
  }

  get last(): Sent {
    return this.sent.at(-1)!;
  }

  hold(at: number, length: number): void {
    this.receive.take(pattern(length), 0, length, (PEER_ISN + 1 + at) >>> 0, false, { tcpReceived: () => 0 });
  }
}

Deno.test("Transmitter names its MSS, its scale and SACK in a SYN, and the window unscaled", () => {
  const link = new Link();
  link.out.syn(false);
  const { flags, seq, ack, window, options, sourcePort, destinationPort } = link.last;
  assertEquals([flags, seq, ack, window, sourcePort, destinationPort], [TCP_SYN, ISN, 0, 0xffff, 80, 40000]);
  assertEquals([options.mss, options.windowShift, options.sackPermitted], [1000, 6, true]);
});

Deno.test("Transmitter offers in a SYN-ACK only what the peer's SYN had", () => {
  const link = new Link();
  link.out.syn(true);
  assertEquals([link.last.flags, link.last.ack], [TCP_SYN | TCP_ACK, (PEER_ISN + 1) >>> 0]);
  assertEquals([link.last.options.mss, link.last.options.windowShift, link.last.options.sackPermitted], [
    1000,
    -1,
    false,
  ]);
  link.out.record.scaling = link.send.record.sackPermitted = true;
  link.out.syn(true);
  assertEquals([link.last.options.windowShift, link.last.options.sackPermitted], [6, true]);
});

Deno.test("Transmitter pays the ACK that was due with any segment that carries one, and with no RST that does not", () => {
  const link = new Link();
  link.out.record.ackDue = true;
  link.out.reset(5, false);
  assertEquals([link.out.record.ackDue, link.last.flags, link.last.ack], [true, TCP_RST, 0]);
  link.out.ack();
  assertEquals(link.out.record.ackDue, false);
  assertEquals([link.last.flags, link.last.seq, link.last.ack], [TCP_ACK, 0, (PEER_ISN + 1) >>> 0]);
});

Deno.test("Transmitter writes the header right in front of a payload that lies behind its headroom", () => {
  const link = new Link(), buffer = link.context.pool.takeLarge(), bytes = pattern(300);
  buffer.set(bytes, SEGMENT_HEADROOM);
  link.out.inPlace(buffer, SEGMENT_HEADROOM, 0, 300);
  assertEquals([link.last.flags, link.last.payload, link.last.segmentSize], [TCP_ACK | TCP_PSH, bytes, 0]);
  assertEquals(link.last.start, SEGMENT_HEADROOM - 20);
});

Deno.test("Transmitter puts a piece of the queue together, its FIN behind it, across the wrap", () => {
  const link = new Link(), bytes = pattern(1000);
  link.send.queue.append(bytes, 0, 1000);
  link.send.record.una = 0xfffffff0;
  link.out.fromQueue(0xfffffff5, 100, false);
  assertEquals([link.last.seq, link.last.payload, link.last.flags], [
    0xfffffff5,
    bytes.subarray(5, 105),
    TCP_ACK | TCP_PSH,
  ]);
  link.out.fromQueue(984 - 10, 10, true);
  assertEquals([link.last.payload, link.last.flags], [bytes.subarray(990), TCP_ACK | TCP_PSH | TCP_FIN]);
  link.out.fromQueue(984, 0, true);
  assertEquals([link.last.payload.length, link.last.flags], [0, TCP_ACK | TCP_FIN]);
});

Deno.test("Transmitter reports what is held behind gaps where the peer understands it, and makes room for the report", () => {
  const link = new Link(10_000);
  link.hold(10, 5);
  link.out.ack();
  assertEquals([link.last.options.sackCount, link.out.segmentPayload], [0, 500]);
  link.send.record.sackPermitted = true;
  link.out.ack();
  const { sackCount, sackEdges } = link.last.options;
  assertEquals([sackCount, sackEdges[0], sackEdges[1]], [1, (PEER_ISN + 11) >>> 0, PEER_ISN + 16 >>> 0]);
  assertEquals([link.out.segmentPayload, link.out.payloadLimit % link.out.segmentPayload], [464, 0]);
  for (let i = 2; i < 10; i++) link.hold(10 * i, 5);
  link.out.ack();
  assertEquals(link.last.options.sackCount, 4, "four blocks fit");
  link.send.queue.append(pattern(464), 0, 464);
  link.out.fromQueue(0, 464, false);
  assert(link.last.headerLength + link.last.payload.length <= 520, "a packet larger than the peer's MSS allows");
});

Deno.test("Transmitter hands down whole segments, as many as the link cuts up, and one where it cuts nothing up", () => {
  const plain = new Link(), offloading = new Link(60_000);
  assertEquals([plain.out.payloadLimit, plain.out.readLimit], [500, 65_500]);
  assertEquals([offloading.out.payloadLimit, offloading.out.readLimit], [60_000, 60_000]);
  offloading.send.queue.append(pattern(1200), 0, 1200);
  offloading.out.fromQueue(0, 1200, false);
  assertEquals(offloading.last.segmentSize, 500);
  offloading.out.fromQueue(0, 500, false);
  assertEquals(offloading.last.segmentSize, 0);
});

Deno.test("Transmitter with an MSS of next to nothing still sends something", () => {
  const link = new Link();
  link.send.record.mss = 10;
  link.send.record.sackPermitted = true;
  link.hold(10, 5);
  assertEquals([link.out.segmentPayload, link.out.payloadLimit > 0], [1, true]);
});

Deno.test("Transmitter rations challenge ACKs by the second, and no other ACK (RFC 5961 section 7)", () => {
  const link = new Link();
  for (let i = 0; i < 100; i++) link.out.challenge();
  assertEquals(link.sent.length, CHALLENGES_PER_SECOND);
  link.out.ack();
  link.now = 999;
  link.out.challenge();
  assertEquals(link.sent.length, CHALLENGES_PER_SECOND + 1);
  link.now = 1000;
  for (let i = 0; i < 100; i++) link.out.challenge();
  assertEquals(link.sent.length, 2 * CHALLENGES_PER_SECOND + 1);
});

Deno.test("Transmitter probes an idle peer one below what it owes, at the wrap too, and resets with an empty window", () => {
  const link = new Link();
  link.out.keepAlive();
  assertEquals([link.last.seq, link.last.flags, link.last.payload.length], [0xffffffff, TCP_ACK, 0]);
  link.out.reset(7, true);
  assertEquals([link.last.flags, link.last.seq, link.last.window], [TCP_RST | TCP_ACK, 7, 0]);
});

Deno.test("windowShift is the least with which 16 bits can name the limit, and never above 14", () => {
  assertEquals([0, 65535, 65536, 1 << 20, 2 << 20].map(windowShift), [0, 0, 1, 5, 6]);
  assertEquals(windowShift(2 ** 31 - 1), 14);
});
