import { assert, assertEquals, assertThrows } from "@std/assert";
import { lossyLink } from "../../../net/link/lossy.ts";
import { memoryLinkPair } from "../../../net/link/memory.ts";
import { PcapCapture, PcapFile, pcapLink, type PcapSink } from "../../../net/link/pcap_link.ts";
import { readUint32 } from "../../../net/wire/bytes.ts";
import { CHECKSUM_PARTIAL, Frame } from "../../../net/wire/frame.ts";
import { naiveChecksum } from "../../support/naive_checksum.ts";
import { contents, frameOf, Recorder, ScriptLink } from "../../support/link_recorder.ts";
import { hex, toHex } from "../../support/packet_bytes.ts";

/** A sink that keeps what it is given and fails when told. */
class Sink implements PcapSink {
  readonly log: string[] = [];
  readonly bytes: number[] = [];
  failure: Error | undefined;

  write(bytes: Uint8Array): void {
    if (this.failure) throw this.failure;
    this.log.push(`write ${bytes.length}`);
    this.bytes.push(...bytes);
  }

  flush(): void {
    if (this.failure) throw this.failure;
    this.log.push("flush");
  }

  /** The frames recorded, each with its time in milliseconds. */
  get records(): { ms: number; frame: Uint8Array }[] {
    const bytes = Uint8Array.from(this.bytes), records = [];
    assertEquals(toHex(bytes, 0, 4), "a1b23c4d");
    for (let at = 24; at < bytes.length;) {
      const length = readUint32(bytes, at + 8), ms = readUint32(bytes, at) * 1000 + readUint32(bytes, at + 4) / 1e6;
      assertEquals(readUint32(bytes, at + 12), length);
      records.push({ ms, frame: bytes.slice(at + 16, at + 16 + length) });
      at += 16 + length;
      assert(at <= bytes.length, "the last record is cut off");
    }
    return records;
  }
}

function rig(options: { warnings?: string[] } = {}) {
  const inner = new ScriptLink({ offload: true, headroom: 10 }), sink = new Sink(), gateway = new Recorder();
  let time = 1000;
  const warn = (line: string) => void options.warnings?.push(line);
  const logger = { debug() {}, info() {}, warn, error() {} };
  const link = pcapLink(inner, sink, { logger, now: () => time += 250 });
  link.start(gateway);
  return { inner, sink, gateway, link };
}

/** A UDP or TCP packet from 10.0.2.15 to 10.0.2.2 whose checksum field holds the pseudo-header's sum alone. */
function partial(protocol: 6 | 17, payload: Uint8Array): Frame {
  const header = protocol === 6
    ? hex("9c400050 00000001 00000002 5010ffff 0000 0000")
    : hex(`9c400035 ${(8 + payload.length).toString(16).padStart(4, "0")} 0000`);
  const length = header.length + payload.length, bytes = new Uint8Array(20 + 34 + length).fill(0xa5);
  bytes.set(hex("525400123402 525400123456 0800 45000000 00004000 40000000 0a00020f 0a000202"), 20);
  bytes.set([(20 + length) >> 8, 20 + length], 36);
  bytes[43] = protocol;
  const ip = naiveChecksum(bytes, 34, 54);
  bytes.set([ip >> 8, ip], 44);
  bytes.set(header, 54);
  bytes.set(payload, 54 + header.length);
  const frame = new Frame().set(bytes, 20, 54 + length);
  frame.checksum = CHECKSUM_PARTIAL;
  frame.transport = 54;
  frame.checksumField = protocol === 6 ? 16 : 6;
  const unfolded = 0x0a00 + 0x020f + 0x0a00 + 0x0202 + protocol + length;
  const sum = (unfolded & 0xffff) + (unfolded >> 16);
  bytes.set([sum >> 8, sum], 54 + frame.checksumField);
  return frame;
}

/** What the checksum field of a recorded packet should hold. */
function rightChecksum(packet: Uint8Array): number {
  const protocol = packet[23]!, length = packet.length - 34, field = protocol === 6 ? 50 : 40;
  const pseudo = Uint8Array.from([...packet.subarray(26, 34), 0, protocol, length >> 8, length]);
  const whole = new Uint8Array(12 + length);
  whole.set(pseudo);
  whole.set(packet.subarray(34), 12);
  whole.set([0, 0], 12 + field - 34);
  return naiveChecksum(whole, 0, whole.length);
}

Deno.test("pcapLink records both directions in order, stamped, one write a record and one flush a batch", () => {
  const { inner, sink, link, gateway } = rig();
  inner.receiver!.receive(frameOf(60, 1));
  inner.receiver!.receive(frameOf(61, 2));
  inner.receiver!.flush();
  link.send(frameOf(62, 3));
  link.flush();
  assertEquals(sink.log, ["write 24", "flush", "write 76", "write 77", "flush", "write 78", "flush"]);
  assertEquals(sink.records, [
    { ms: 1250, frame: contents(frameOf(60, 1)) },
    { ms: 1500, frame: contents(frameOf(61, 2)) },
    { ms: 1750, frame: contents(frameOf(62, 3)) },
  ]);
  assertEquals([gateway.log, inner.sent.log], [["frame 60", "frame 61", "flush"], ["frame 62", "flush"]]);
});

Deno.test("pcapLink completes partial checksums in the recorded copy alone, of TCP and of UDP, both ways", () => {
  const { inner, sink, link } = rig();
  for (const protocol of [6, 17] as const) {
    for (const length of [0, 1, 100, 1400, 65000]) {
      const frame = partial(protocol, contents(frameOf(length, protocol))), before = frame.bytes.slice(20);
      if (length % 200 === 0) link.send(frame);
      else inner.receiver!.receive(frame);
      assertEquals(frame.bytes.slice(20), before, "the frame itself stays as it was");
      assertEquals(frame.checksum, CHECKSUM_PARTIAL);
      const recorded = sink.records.at(-1)!.frame, field = protocol === 6 ? 50 : 40;
      assertEquals(recorded.length, frame.length);
      assertEquals((recorded[field]! << 8) | recorded[field + 1]!, rightChecksum(recorded), `${protocol} ${length}`);
      sink.bytes.length = 24;
    }
  }
});

Deno.test("pcapLink writes a datagram's checksum that comes out as 0 in its other form", () => {
  const { sink, link } = rig();
  const one = partial(17, new Uint8Array(2));
  link.send(one);
  // The payload that is the checksum of the rest makes the sum 0.
  const sum = rightChecksum(sink.records[0]!.frame), zero = partial(17, Uint8Array.of(sum >> 8, sum));
  link.send(zero);
  const recorded = sink.records[1]!.frame;
  assertEquals(rightChecksum(recorded), 0);
  assertEquals([recorded[40], recorded[41]], [0xff, 0xff]);
});

Deno.test("pcapLink records a frame as it is where its marks lead outside of it", () => {
  const { inner, sink } = rig(), frame = frameOf(60);
  frame.checksum = CHECKSUM_PARTIAL;
  for (const [transport, field] of [[59, 0], [20 - 40, 16], [30, 65000], [1e9, 6], [NaN, 6]]) {
    frame.transport = frame.start + transport!;
    frame.checksumField = field!;
    inner.receiver!.receive(frame);
    assertEquals(sink.records.at(-1)!.frame, contents(frame));
  }
});

Deno.test("pcapLink whose sink fails ends the capture with one warning, and the link goes on", () => {
  for (const when of ["write", "flush"]) {
    const warnings: string[] = [], { inner, sink, gateway, link } = rig({ warnings });
    link.send(frameOf(60));
    if (when === "flush") {
      sink.write = () => {};
    }
    sink.failure = new Error("No space left on device");
    for (let i = 0; i < 5; i++) {
      inner.receiver!.receive(frameOf(61));
      inner.receiver!.flush();
      assert(link.send(frameOf(62)));
      link.flush();
    }
    assertEquals(warnings, ["Capture ended: No space left on device"]);
    assertEquals([gateway.frames.length, inner.sent.frames.length], [5, 6]);
    sink.failure = undefined;
    link.send(frameOf(63));
    assertEquals(sink.records.length, 1, "what is after the gap would tell a wrong story");
  }
});

Deno.test("pcapLink around lossyLink records what the gateway sends and receives", () => {
  const inner = new ScriptLink(), sink = new Sink();
  const link = pcapLink(lossyLink(inner, { loss: 1 }), sink);
  link.start(new Recorder());
  link.send(frameOf(60));
  inner.receiver!.receive(frameOf(61));
  assertEquals(sink.records.map(({ frame }) => frame.length), [60]);
  assertEquals(inner.sent.frames, []);
});

Deno.test("lossyLink around pcapLink records what reaches the guest and what it sends", () => {
  const inner = new ScriptLink(), sink = new Sink();
  const link = lossyLink(pcapLink(inner, sink), { loss: 1 });
  link.start(new Recorder());
  link.send(frameOf(60));
  inner.receiver!.receive(frameOf(61));
  assertEquals(sink.records.map(({ frame }) => frame.length), [61]);
});

Deno.test("PcapCapture records several links in one file with one header", () => {
  const sink = new Sink(), capture = new PcapCapture(sink), inner = [new ScriptLink(), new ScriptLink()];
  const links = inner.map((link) => capture.record(link));
  for (const link of links) link.start(new Recorder());
  links[0]!.send(frameOf(60));
  inner[1]!.receiver!.receive(frameOf(61));
  links[1]!.send(frameOf(62));
  assertEquals(sink.records.map(({ frame }) => frame.length), [60, 61, 62]);
});

Deno.test("pcapLink stamps with the time of day", async () => {
  const [a, b] = memoryLinkPair(), sink = new Sink(), before = Date.now();
  await using link = pcapLink(a, sink);
  b.start(new Recorder());
  link.start(new Recorder());
  link.send(frameOf(60));
  const { ms } = sink.records[0]!;
  assert(ms > before - 100 && ms < Date.now() + 100, `${ms} and ${before}`);
});

Deno.test("PcapFile shows a batch to readers when it is flushed, and the rest when it is closed", async () => {
  const path = await Deno.makeTempFile();
  {
    using file = PcapFile.open(path);
    const [a, b] = memoryLinkPair();
    await using link = pcapLink(a, file);
    b.start(new Recorder());
    link.start(new Recorder());
    assertEquals((await Deno.readFile(path)).length, 24);
    link.send(frameOf(60));
    assertEquals((await Deno.readFile(path)).length, 24);
    link.flush();
    assertEquals((await Deno.readFile(path)).length, 24 + 76);
    // More than the buffer holds.
    for (let i = 0; i < 400; i++) link.send(frameOf(1000));
    link.send(frameOf(61));
  }
  assertEquals((await Deno.readFile(path)).length, 24 + 76 + 400 * 1016 + 77);
  await Deno.remove(path);
});

Deno.test("PcapFile empties a file that is there, and says which one cannot be written", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "something else that is longer");
  PcapFile.open(path)[Symbol.dispose]();
  assertEquals((await Deno.readFile(path)).length, 0);
  await Deno.remove(path);
  assertThrows(
    () => PcapFile.open("/nowhere/at/all.pcap"),
    Deno.errors.NotFound,
    "Cannot write capture /nowhere/at/all.pcap: ",
  );
});

Deno.test("PcapFile that cannot write a whole batch cuts it off, so that what is left is well-formed", () => {
  const written: number[] = [];
  let room = 1000, closed = 0;
  using file = new PcapFile({
    writeSync(bytes) {
      const count = Math.min(bytes.length, room, 300);
      if (count === 0) throw new Error("No space left on device");
      room -= count;
      written.push(...bytes.subarray(0, count));
      return count;
    },
    truncateSync: (length) => void (written.length = length),
    close: () => void closed++,
  });
  file.write(new Uint8Array(700));
  file.flush();
  file.write(new Uint8Array(200));
  file.write(new Uint8Array(200));
  assertThrows(() => file.flush(), Error, "No space left on device");
  assertEquals(written.length, 700);
  // What could not be written is gone and is not tried again.
  file.flush();
  file[Symbol.dispose]();
  assertEquals([written.length, closed], [700, 1]);
});

Deno.test("PcapFile writes a record larger than its buffer in one piece, after what came before", () => {
  const lengths: number[] = [];
  using file = new PcapFile({
    writeSync: (bytes) => {
      lengths.push(bytes.length);
      return bytes.length;
    },
  });
  file.write(new Uint8Array(100));
  file.write(new Uint8Array(200_000));
  assertEquals(lengths, [100, 200_000]);
});
