import { assert, assertEquals } from "@std/assert";
import { MOST_QUEUED, StreamInput, StreamOutput } from "../../../net/link/stream_framing.ts";
import { LONGEST_FRAME } from "../../../net/wire/ethernet.ts";
import { Frame } from "../../../net/wire/frame.ts";
import { bytesOf, framed, frameOf } from "../../support/link_peer.ts";

/** Gives `bytes` to an input in pieces of these lengths, the last one again and again, and takes what is whole. */
function feed(input: StreamInput, bytes: Uint8Array, pieces: readonly number[]): Uint8Array[] {
  const frame = new Frame(), seen: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length && input.problem === undefined; i++) {
    input.makeRoom();
    const room = input.bytes.length - input.end;
    const piece = bytes.subarray(at, at + Math.min(room, pieces[Math.min(i, pieces.length - 1)]!));
    input.bytes.set(piece, input.end);
    input.end += piece.length;
    at += piece.length;
    while (input.next(frame)) {
      assert(frame.bytes === input.bytes, "the frame lies where it was read");
      seen.push(bytesOf(frame));
    }
  }
  return seen;
}

function problemOf(bytes: readonly number[] | string): string {
  const input = new StreamInput();
  feed(input, typeof bytes === "string" ? new TextEncoder().encode(bytes) : Uint8Array.from(bytes), [1000]);
  return input.problem ?? "none";
}

Deno.test("StreamInput gives every frame whole and in order, however the stream is cut up", () => {
  const frames = [14, 60, 1514, 1518, 14, 700].map((length, i) => bytesOf(frameOf(length, i)));
  const stream = framed(...frames);
  for (const pieces of [[1], [3], [4], [17, 1], [1518], [stream.length], [stream.length - 1, 1]]) {
    const input = new StreamInput();
    assertEquals(feed(input, stream, pieces), frames, `in pieces of ${pieces}`);
    assert(input.atBoundary);
    assertEquals(input.problem, undefined);
  }
});

Deno.test("StreamInput carries many times its buffer's size, with the longest frames too", () => {
  const longest = Array.from({ length: 40 }, (_, i) => bytesOf(frameOf(LONGEST_FRAME, i)));
  const input = new StreamInput();
  assertEquals(feed(input, framed(...longest), [50_001]), longest);
  const many = Array.from({ length: 2000 }, (_, i) => bytesOf(frameOf(14 + (i * 37) % 1500, i)));
  assertEquals(feed(new StreamInput(), framed(...many), [1 << 18]), many);
});

Deno.test("StreamInput says within which frame a stream ended", () => {
  const input = new StreamInput(), stream = framed(bytesOf(frameOf(60)), bytesOf(frameOf(100)));
  feed(input, stream.subarray(0, 64 + 4 + 99), [1000]);
  assertEquals(input.atBoundary, false);
  assertEquals(input.describeRest(), "it ended in the middle of a frame, after 99 of 100 bytes");
  const short = new StreamInput();
  feed(short, stream.subarray(0, 64 + 3), [1000]);
  assertEquals(short.describeRest(), "it ended in the middle of a frame's length");
});

Deno.test("StreamInput gives frames of every length that it can read, from none to the longest packet with a tag", () => {
  const lengths = [0, 1, 13, 14, 60, 1514, 1518, 1519, 4096, 9014, 65_535, 65_549, 65_553];
  const frames = lengths.flatMap((length, i) => [bytesOf(frameOf(length, i)), bytesOf(frameOf(60, i))]);
  const stream = framed(...frames);
  for (const pieces of [[1 << 18], [1500], [4, 65_553], [3, 1, 70_000]]) {
    const input = new StreamInput();
    assertEquals(feed(input, stream, pieces), frames, `in pieces of ${pieces}`);
    assertEquals([input.problem, input.atBoundary], [undefined, true]);
  }
});

Deno.test("StreamInput takes no length beyond any frame, and gives what came before it", () => {
  const right = "is no possible length of a frame, the longest has 65553 bytes";
  assertEquals(problemOf([0, 1, 0, 0x11]), "none");
  assertEquals(problemOf([0, 1, 0, 0x12]), `65554 ${right}`);
  assertEquals(problemOf([0xff, 0xfe, 0, 60]), `4294836284 ${right}`);
  const input = new StreamInput(), good = bytesOf(frameOf(60));
  assertEquals(feed(input, Uint8Array.from([...framed(good, good), 0, 2, 0, 0, 9, 9]), [1000]), [good, good]);
  assertEquals(input.problem, `131072 ${right}`);
});

Deno.test("StreamInput names what else may speak", () => {
  const names: [readonly number[] | string, string][] = [
    ["GET / HTTP/1.1\r\n", "HTTP"],
    ["POST /services HTTP/1.1\r\n", "HTTP"],
    ["PRI * HTTP/2.0\r\n", "HTTP/2"],
    ["SSH-2.0-OpenSSH_9.2\r\n", "SSH"],
    ["VMN3T\x01\x00\x00\x00", "the protocol of vpnkit (hyperkit)"],
    ["VFKT", "vfkit, which wants a socket of datagrams (unixgram)"],
    [[0x16, 3, 1, 2, 0], "TLS"],
    [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52], "Ethernet frames without their lengths"],
    [[0x33, 0x33, 0, 0, 0, 2, 0x52], "Ethernet frames without their lengths"],
    [[42, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "frames behind 16-bit little-endian lengths (hyperkit, vpnkit)"],
  ];
  for (const [bytes, name] of names) {
    assertEquals(problemOf(bytes), `this is ${name}, not QEMU's framing (a 32-bit big-endian length, then the frame)`);
  }
  // Behind a good frame the same bytes are noise.
  const input = new StreamInput();
  feed(input, Uint8Array.from([...framed(bytesOf(frameOf(60))), ...new TextEncoder().encode("GET / ")]), [1000]);
  assertEquals(input.problem, "1195725856 is no possible length of a frame, the longest has 65553 bytes");
});

Deno.test("StreamOutput keeps order and place while it is written in pieces", () => {
  const output = new StreamOutput(), frames = Array.from({ length: 300 }, (_, i) => frameOf(14 + (i * 91) % 1500, i));
  const written: number[] = [];
  for (const frame of frames) {
    assert(output.push(frame));
    const count = Math.min(output.length, 500);
    written.push(...output.bytes.subarray(output.start, output.start + count));
    output.taken(count);
  }
  written.push(...output.bytes.subarray(output.start, output.end));
  output.taken(output.length);
  assertEquals(output.length, 0);
  assertEquals(Uint8Array.from(written), framed(...frames.map(bytesOf)));
});

Deno.test("StreamOutput refuses whole frames beyond its bound, and takes them again when there is room", () => {
  const output = new StreamOutput(), frame = frameOf(1514, 7);
  let count = 0;
  while (output.push(frame)) count++;
  assertEquals(count, Math.floor(MOST_QUEUED / 1518));
  assertEquals(output.length, count * 1518);
  assertEquals(output.push(frame), false);
  output.taken(1000);
  assert(output.push(frame));
  assertEquals(output.push(frame), false);
  // Through many fillings the bytes stay in place: what is left ends with the last frame.
  for (let i = 0; i < 5000; i++) {
    output.taken(1518);
    assert(output.push(frameOf(1514, i)));
  }
  assertEquals(output.bytes.slice(output.end - 1514, output.end), bytesOf(frameOf(1514, 4999)));
  assert(output.bytes.length <= 2 * MOST_QUEUED);
});

Deno.test("StreamOutput takes the rest of a frame that a socket took in part", () => {
  const output = new StreamOutput(), bytes = framed(bytesOf(frameOf(60_000)));
  assert(output.pushBytes(bytes, 1000, bytes.length));
  assertEquals(output.bytes.slice(output.start, output.end), bytes.slice(1000));
});
