import { assert, assertEquals, assertLess } from "@std/assert";
import fc from "fast-check";
import { StreamOutput } from "../../../net/link/stream_framing.ts";
import {
  WEBSOCKET_INPUT_SIZE,
  type WebSocketFraming,
  webSocketFraming,
  WebSocketInput,
} from "../../../net/link/websocket_framing.ts";
import { Frame } from "../../../net/wire/frame.ts";
import { bytesOf, framed, frameOf } from "../../support/link_peer.ts";
import { checkProperty } from "../../support/properties.ts";
import { BINARY, clientFrame, CLOSE, CONTINUATION, joined, PING, PONG, TEXT } from "../../support/websocket_client.ts";

/** A frame as guests begin with: to everyone. */
function broadcast(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  return bytesOf(frameOf(length, seed)).fill(0xff, 0, 6);
}

/** Gives `bytes` to an input in pieces of these lengths, the last one again and again, and takes what is whole. */
function feed(input: WebSocketInput, bytes: Uint8Array, pieces: readonly number[] = [1 << 16]): Uint8Array[] {
  const frame = new Frame(), seen: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length && input.problem === undefined && !input.finished; i++) {
    input.makeRoom();
    const room = input.bytes.length - input.end;
    assert(room >= input.bytes.length / 2 - 66_000, `there is room for more than the longest frame: ${room}`);
    const piece = bytes.subarray(at, at + Math.min(room, pieces[Math.min(i, pieces.length - 1)]!));
    input.bytes.set(piece, input.end);
    input.end += piece.length;
    at += piece.length;
    while (input.next(frame)) seen.push(bytesOf(frame));
  }
  return seen;
}

function messages(...frames: readonly Uint8Array[]): Uint8Array {
  return joined(...frames.map((frame, i) => clientFrame(BINARY, frame, { mask: [i, i * 3, 255 - i, 7] })));
}

const PIECES = [[1], [2], [3, 1], [13], [14, 5], [1000], [1 << 18]];

Deno.test("WebSocketInput gives a frame a message, however the connection is cut up", () => {
  const frames = [
    broadcast(60),
    ...[14, 125, 126, 127, 1514, 9014, 65_535, 65_553].map((n, i) => bytesOf(frameOf(n, i))),
  ];
  for (const pieces of PIECES) {
    const input = new WebSocketInput(1500);
    assertEquals(feed(input, messages(...frames), pieces), frames, `in pieces of ${pieces}`);
    assertEquals([input.framing, input.problem, input.atBoundary], ["bare", undefined, true]);
  }
});

Deno.test("WebSocketInput puts the fragments of a message together, with control frames between them", () => {
  const frames = [broadcast(60, 1), broadcast(100, 2)], bytes: Uint8Array[] = [];
  for (const frame of frames) {
    bytes.push(clientFrame(BINARY, frame.subarray(0, 7), { isLast: false }));
    bytes.push(
      clientFrame(PING, Uint8Array.of(1, 2, 3)),
      clientFrame(CONTINUATION, frame.subarray(7, 7), { isLast: false }),
    );
    bytes.push(clientFrame(PONG, Uint8Array.of(9)), clientFrame(CONTINUATION, frame.subarray(7)));
  }
  for (const pieces of PIECES) {
    const input = new WebSocketInput(1500);
    assertEquals(feed(input, joined(...bytes), pieces), frames, `in pieces of ${pieces}`);
    assertEquals(input.takeReply(), Uint8Array.of(0x8a, 3, 1, 2, 3));
    assertEquals(input.takeReply(), undefined);
  }
});

Deno.test("WebSocketInput carries QEMU's framing cut into messages anywhere", () => {
  const frames = [
    broadcast(60, 1),
    ...Array.from({ length: 60 }, (_, i) => bytesOf(frameOf(14 + (i * 371) % 1500, i))),
  ];
  const stream = framed(...frames);
  for (const cut of [1, 3, 4, 5, 64, 1000, 70_000]) {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += cut) parts.push(stream.subarray(at, at + cut));
    for (const pieces of [[7], [1 << 18]]) {
      const input = new WebSocketInput(1500);
      assertEquals(feed(input, messages(...parts), pieces), frames, `cut at ${cut} and in pieces of ${pieces}`);
      assertEquals([input.framing, input.atBoundary], ["framed", true]);
    }
  }
});

Deno.test("WebSocketInput carries many times its buffer in one message of QEMU's framing", () => {
  const frames = [broadcast(60), ...Array.from({ length: 600 }, (_, i) => bytesOf(frameOf(1514, i)))];
  const input = new WebSocketInput(1500), message = clientFrame(BINARY, framed(...frames));
  assert(message.length > 3 * WEBSOCKET_INPUT_SIZE);
  assertEquals(feed(input, message, [50_001]), frames);
});

Deno.test("WebSocketInput takes no framing for decided by a message that is too short for a frame", () => {
  const arp = broadcast(42);
  const cases: [Uint8Array[], number[], WebSocketFraming][] = [
    [[new Uint8Array(5), arp, arp], [5, 42, 42], "bare"],
    [[new Uint8Array(0), arp], [42], "bare"],
    [[Uint8Array.of(1), Uint8Array.of(2, 3), arp], [1, 2, 42], "bare"],
    [[Uint8Array.of(0), Uint8Array.of(0), arp], [2, 42], "bare"],
    [[new Uint8Array(13).fill(0xff), ...[...framed(arp)].map((byte) => Uint8Array.of(byte))], [13, 42], "framed"],
    [[new Uint8Array(0), framed(arp).slice(0, 4), framed(arp).slice(4)], [42], "framed"],
  ];
  for (const [parts, lengths, framing] of cases) {
    const input = new WebSocketInput(1500);
    assertEquals(feed(input, messages(...parts)).map(({ length }) => length), lengths);
    assertEquals(input.framing, framing);
  }
});

Deno.test("WebSocketInput keeps to the framing that it is told", () => {
  const ambiguous = framed(broadcast(60));
  assertEquals(feed(new WebSocketInput(1500, "bare"), messages(ambiguous)), [ambiguous]);
  assertEquals(feed(new WebSocketInput(1500, "framed"), messages(ambiguous)), [broadcast(60)]);
});

Deno.test("WebSocketInput says what is wrong, with the close code that says so, and gives what came before", () => {
  const ok = clientFrame(BINARY, broadcast(60)), more = { isLast: false };
  const cases: [Uint8Array, number, string][] = [
    [clientFrame(TEXT, Uint8Array.of(65)), 1003, "a text message came, frames are binary"],
    [clientFrame(BINARY, broadcast(60), { mask: null }), 1002, "a WebSocket frame is not masked"],
    [clientFrame(BINARY, broadcast(60), { reserved: 0x40 }), 1002, "a WebSocket frame has reserved bits set"],
    [clientFrame(CONTINUATION, broadcast(60)), 1002, "a WebSocket frame has an opcode of no meaning here (0)"],
    [clientFrame(3, broadcast(60)), 1002, "a WebSocket frame has an opcode of no meaning here (3)"],
    [
      joined(clientFrame(BINARY, broadcast(60), more), ok),
      1002,
      "a WebSocket frame has an opcode of no meaning here (2)",
    ],
    [
      clientFrame(PING, new Uint8Array(126)),
      1002,
      "a control frame of a WebSocket is too long, in pieces or of no meaning (9)",
    ],
    [
      clientFrame(PING, new Uint8Array(1), more),
      1002,
      "a control frame of a WebSocket is too long, in pieces or of no meaning (9)",
    ],
    [
      clientFrame(11, new Uint8Array(1)),
      1002,
      "a control frame of a WebSocket is too long, in pieces or of no meaning (11)",
    ],
    [clientFrame(BINARY, new Uint8Array(65_554).fill(255)), 1009, "a message is longer than any frame"],
    [
      clientFrame(BINARY, new Uint8Array(9), { length: Number.MAX_SAFE_INTEGER + 1 }),
      1009,
      "a WebSocket frame announces an impossible length",
    ],
  ];
  for (const [bytes, code, problem] of cases) {
    const input = new WebSocketInput(1500);
    assertEquals(feed(input, joined(ok, bytes)), [broadcast(60)], problem);
    assertEquals(input.problem, problem);
    assertEquals(input.farewell(), Uint8Array.of(0x88, 2, code >> 8, code & 255));
    assertEquals(input.next(new Frame()), false);
  }
  const input = new WebSocketInput(1500);
  feed(input, messages(framed(broadcast(60)), Uint8Array.of(0, 2, 0, 0)));
  assertEquals(input.problem, "131072 is no possible length of a frame, the longest has 65553 bytes");
});

Deno.test("WebSocketInput answers a close with its code, and one that makes no sense with 1002", () => {
  const answers: [number[], number][] = [
    [[], 1000],
    [[3, 232], 1000],
    [[3, 233, 65], 1001],
    [[15, 160], 4000],
    [[3], 1002],
    [
      [3, 237],
      1002,
    ],
    [[0, 1], 1002],
    [[255, 255], 1002],
  ];
  for (const [payload, code] of answers) {
    const input = new WebSocketInput(1500);
    assertEquals(
      feed(input, joined(messages(broadcast(60)), clientFrame(CLOSE, Uint8Array.from(payload)), Uint8Array.of(9))),
      [
        broadcast(60),
      ],
    );
    assert(input.finished);
    assertEquals(input.farewell(), Uint8Array.of(0x88, 2, code >> 8, code & 255), `${payload}`);
  }
});

Deno.test("WebSocketInput says within what a stream ended", () => {
  const half = clientFrame(BINARY, broadcast(60)).slice(0, 30), framedHalf = framed(broadcast(60)).slice(0, 50);
  const rest = (bytes: Uint8Array) => {
    const input = new WebSocketInput(1500);
    feed(input, bytes);
    return input.atBoundary ? "" : input.describeRest();
  };
  assertEquals(rest(messages(broadcast(60))), "");
  assertEquals(rest(joined(messages(broadcast(60)), half)), "it ended in the middle of a message");
  assertEquals(rest(joined(messages(broadcast(60)), half.slice(0, 1))), "it ended in the middle of a message");
  assertEquals(rest(clientFrame(BINARY, new Uint8Array(0), { isLast: false })), "it ended in the middle of a message");
  assertEquals(rest(messages(framedHalf)), "it ended in the middle of a frame, after 46 of 60 bytes");
});

Deno.test("webSocketFraming sends each frame as a binary message in the guest's framing, header of every size", () => {
  for (const framing of ["bare", "framed"] as const) {
    for (const length of [14, 60, 121, 122, 125, 126, 1514, 65_531, 65_532, 65_535, 65_536]) {
      const { prefix } = webSocketFraming(65_535, framing), output = new StreamOutput(prefix), frame = frameOf(length);
      assert(output.push(frame));
      const inner = framing === "framed" ? framed(bytesOf(frame)) : bytesOf(frame),
        message = clientFrame(BINARY, inner, { mask: null });
      const sent = output.bytes.slice(output.start, output.end);
      assertEquals(sent, message, `${framing}, ${length} bytes`);
      assertEquals(sent.length, prefix.sizeFor(length) + length);
      assertLess(prefix.sizeFor(length), prefix.most + 1);
    }
  }
});

Deno.test("WebSocketInput is itself for any stream of bytes, however it is cut: no throw, its bounds, the same frames", () => {
  const part = fc.oneof(
    fc.record({
      opcode: fc.constantFrom(BINARY, BINARY, CONTINUATION, PING, PONG, TEXT, CLOSE, 3),
      length: fc.oneof(fc.nat(200), fc.nat(3000)),
      isLast: fc.boolean(),
      prefix: fc.constantFrom<number[]>([], [0, 0, 0, 60], [0xff, 0xff], [0, 1, 0, 0]),
      masked: fc.constantFrom(true, true, true, true, false),
    }).map(({ opcode, length, isLast, prefix, masked }) => {
      const payload = new Uint8Array(opcode > 7 ? length % 126 : length);
      payload.set(prefix.slice(0, payload.length));
      return clientFrame(opcode, payload, { isLast: isLast || opcode > 7, ...(masked ? {} : { mask: null }) });
    }),
    fc.uint8Array({ maxLength: 20 }),
  );
  const run = (bytes: Uint8Array, pieces: readonly number[]) => {
    const input = new WebSocketInput(1500), seen = feed(input, bytes, pieces);
    return {
      seen,
      problem: input.problem,
      finished: input.finished,
      farewell: input.farewell(),
      framing: input.framing,
    };
  };
  const script = fc.tuple(
    fc.array(part, { maxLength: 12 }),
    fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 5 }),
  );
  checkProperty(script, ([parts, pieces]) => {
    const bytes = joined(...parts);
    assertEquals(run(bytes, pieces), run(bytes, [1 << 18]));
  });
});
