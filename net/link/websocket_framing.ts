/**
 * Ethernet frames in a WebSocket (RFC 6455 section 5): one more framing of a stream, behind the handshake.
 *
 * **In.** What was read is decoded where it lies. A WebSocket frame's payload is unmasked in place, or, if the
 * beginning of an Ethernet frame waits already, directly behind that: payload only ever moves towards the front. So one
 * array of 256 KiB is all that a client can fill, whatever lengths it announces: a message is taken in pieces and never
 * waited for as a whole.
 *
 * **Two framings** travel in binary messages. Bare: a frame a message, as v86 sends. Framed: QEMU's stream, a 32-bit
 * length before each frame, cut into messages anywhere, as container2wasm sends. Unless told, the beginning decides:
 * framed, once a frame of a plausible length has come whole behind it; bare, once a message cannot begin so, which no
 * guest's first frame does, because it goes to everyone, to a group or to the gateway. A message too short for either
 * decides nothing.
 *
 * **Out.** Each Ethernet frame is a binary message, in the same framing. Before that is known there is none to send.
 *
 * **Control frames.** A ping is answered, but of those that one read brings only the last (section 5.5.3), so that
 * pings cost at most a pong a read. Close is answered with close. A text message, a broken frame and a message beyond
 * any Ethernet frame end the link, with the close code that says so (section 7.4.1). No extension is agreed on, so
 * reserved bits are an error.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "../wire/bytes.ts";
import { ETHERNET_HEADER_LENGTH, LONGEST_FRAME } from "../wire/ethernet.ts";
import { type FrameInput, type FramePrefix, LENGTH_PREFIX, type StreamFraming, StreamInput } from "./stream_framing.ts";

/** How frames travel in messages. */
export type WebSocketFraming = "bare" | "framed";

/** Bytes that a link holds of what its client has sent. */
export const WEBSOCKET_INPUT_SIZE: number = 1 << 18;

const VLAN_TAG = 4;

const FINAL = 0x80;
const RESERVED = 0x70;
const MASKED = 0x80;
const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const FIRST_CONTROL = 8;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const LONGEST_CONTROL = 125;

/** Close codes (RFC 6455 section 7.4.1). */
const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;
const UNSUPPORTED_DATA = 1003;
const TOO_BIG = 1009;

/** The framing of a new link over a WebSocket. Unless `framing` is given, what the client sends first tells. */
export function webSocketFraming(mtu: number, framing?: WebSocketFraming): StreamFraming {
  const input = new WebSocketInput(mtu, framing);
  return { input, prefix: new WebSocketPrefix(input) };
}

/** Ethernet frames out of a client's half of a WebSocket. */
export class WebSocketInput implements FrameInput {
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(WEBSOCKET_INPUT_SIZE);
  /** What was read and is not decoded lies at `[#at, end)`. */
  end = 0;
  problem: string | undefined;
  /** Whether the client has closed. */
  finished = false;
  /** How frames travel in messages, once that is known. */
  framing: WebSocketFraming | undefined;
  /** Payload that was decoded and not taken yet lies between its `start` and `end`, which are before `#at`. */
  readonly #payload: StreamInput;
  readonly #longest: number;
  readonly #mask = new Uint8Array(4);
  #at = 0;
  /** How much of the WebSocket frame under way is not decoded yet; -1 between two of them. */
  #left = -1;
  #isLast = false;
  /** Whether a message is under way, and whether one has just come to its end. */
  #inMessage = false;
  #messageEnded = false;
  /** Until the framing is known: bytes of the payload that earlier messages brought. */
  #earlier = 0;
  #pong: Uint8Array<ArrayBuffer> | undefined;
  #closeCode = NORMAL;

  /** For frames of a link with this MTU. */
  constructor(mtu: number, framing?: WebSocketFraming) {
    this.framing = framing;
    this.#longest = mtu + ETHERNET_HEADER_LENGTH + VLAN_TAG;
    this.#payload = new StreamInput(this.bytes);
  }

  get undecided(): boolean {
    return this.framing === undefined;
  }

  get atBoundary(): boolean {
    return this.#payload.atBoundary && this.#at === this.end && this.#left < 0 && !this.#inMessage;
  }

  makeRoom(): void {
    const { bytes } = this, payload = this.#payload, count = payload.end - payload.start;
    if (count > 0 || this.#at < this.end) {
      if (this.end <= bytes.length >> 1) return;
      bytes.copyWithin(0, payload.start, payload.end);
      bytes.copyWithin(count, this.#at, this.end);
    }
    this.end = count + this.end - this.#at;
    this.#at = payload.end = count;
    payload.start = 0;
  }

  next(frame: Frame): boolean {
    while (this.problem === undefined && !this.finished) {
      if (this.#take(frame)) return true;
      if (this.problem !== undefined || !this.#decode()) return false;
    }
    return false;
  }

  describeRest(): string {
    if (this.framing !== "bare" && !this.#payload.atBoundary) return this.#payload.describeRest();
    return "it ended in the middle of a message";
  }

  /** The pong that is due. */
  takeReply(): Uint8Array<ArrayBuffer> | undefined {
    const pong = this.#pong;
    this.#pong = undefined;
    return pong;
  }

  /** The close frame. */
  farewell(): Uint8Array<ArrayBuffer> {
    return Uint8Array.of(FINAL | CLOSE, 2, this.#closeCode >> 8, this.#closeCode & 0xff);
  }

  /** Takes a frame out of the payload. */
  #take(frame: Frame): boolean {
    const payload = this.#payload;
    if (payload.atBoundary) {
      this.#messageEnded = false;
      return false;
    }
    if (this.framing === undefined) return this.#decide(frame);
    if (this.framing === "bare") return this.#takeMessage(frame);
    const found = payload.next(frame);
    if (payload.problem !== undefined) this.#fail(UNSUPPORTED_DATA, payload.problem);
    return found;
  }

  #takeMessage(frame: Frame): boolean {
    const { start, end } = this.#payload;
    if (end - start > LONGEST_FRAME) return this.#fail(TOO_BIG, `a message is longer than any frame`);
    if (!this.#messageEnded) return false;
    this.#messageEnded = false;
    this.#payload.start = end;
    frame.set(this.bytes, start, end);
    return true;
  }

  #decide(frame: Frame): boolean {
    const payload = this.#payload, { start, end } = payload, count = end - start;
    if (canBeginStream(this.bytes.subarray(start, end), this.#longest)) {
      if (count >= LENGTH_PREFIX && count >= LENGTH_PREFIX + readUint32(this.bytes, start)) {
        this.framing = "framed";
        return this.#take(frame);
      }
      if (this.#messageEnded) this.#earlier = count;
      this.#messageEnded = false;
      return false;
    }
    if (this.#earlier > 0) {
      // Messages before this one were too short for a frame after all: the gateway counts them as such, together.
      frame.set(this.bytes, start, start + Math.min(this.#earlier, ETHERNET_HEADER_LENGTH - 1));
      payload.start += this.#earlier;
      this.#earlier = 0;
      return true;
    }
    if (count >= ETHERNET_HEADER_LENGTH) this.framing = "bare";
    return this.#takeMessage(frame);
  }

  /** Decodes the next piece. Returns false if more has to come first, or nothing can. */
  #decode(): boolean {
    if (this.#left < 0) return this.#readHeader();
    const count = Math.min(this.#left, this.end - this.#at), payload = this.#payload;
    if (count === 0 && this.#left > 0) return false;
    if (payload.atBoundary) payload.start = payload.end = this.#at;
    unmask(this.bytes, { from: this.#at, to: payload.end, count }, this.#mask);
    payload.end += count;
    this.#at += count;
    this.#left -= count;
    if (this.#left > 0) return true;
    this.#left = -1;
    this.#inMessage = !this.#isLast;
    this.#messageEnded = this.#isLast;
    return true;
  }

  #readHeader(): boolean {
    const { bytes } = this, at = this.#at, available = this.end - at;
    if (available < 2) return false;
    const opcode = bytes[at]! & 15, isLast = (bytes[at]! & FINAL) !== 0, short = bytes[at + 1]! & 127;
    if ((bytes[at]! & RESERVED) !== 0) return this.#fail(PROTOCOL_ERROR, "a WebSocket frame has reserved bits set");
    if ((bytes[at + 1]! & MASKED) === 0) return this.#fail(PROTOCOL_ERROR, "a WebSocket frame is not masked");
    if (opcode >= FIRST_CONTROL) return this.#readControl(opcode, isLast ? short : LONGEST_CONTROL + 1);
    if (opcode === TEXT) return this.#fail(UNSUPPORTED_DATA, "a text message came, frames are binary");
    if (opcode > BINARY || (opcode === CONTINUATION) !== this.#inMessage) {
      return this.#fail(PROTOCOL_ERROR, `a WebSocket frame has an opcode of no meaning here (${opcode})`);
    }
    const size = short < 126 ? 6 : short === 126 ? 8 : 14;
    if (available < size) return false;
    if (short < 126) this.#left = short;
    else if (short === 126) this.#left = readUint16(bytes, at + 2);
    else this.#left = readUint32(bytes, at + 2) * 2 ** 32 + readUint32(bytes, at + 6);
    if (!Number.isSafeInteger(this.#left)) {
      return this.#fail(TOO_BIG, "a WebSocket frame announces an impossible length");
    }
    this.#mask.set(bytes.subarray(at + size - 4, at + size));
    this.#isLast = isLast;
    this.#inMessage = true;
    this.#at += size;
    return true;
  }

  #readControl(opcode: number, length: number): boolean {
    if (length > LONGEST_CONTROL || opcode > PONG) {
      return this.#fail(
        PROTOCOL_ERROR,
        `a control frame of a WebSocket is too long, in pieces or of no meaning (${opcode})`,
      );
    }
    const { bytes } = this, from = this.#at + 6;
    if (this.end < from + length) return false;
    this.#mask.set(bytes.subarray(from - 4, from));
    unmask(bytes, { from, to: from, count: length }, this.#mask);
    this.#at = from + length;
    if (opcode === PING) {
      this.#pong = new Uint8Array(2 + length);
      this.#pong.set([FINAL | PONG, length]);
      this.#pong.set(bytes.subarray(from, from + length), 2);
    } else if (opcode === CLOSE) {
      this.#closeCode = length === 0 ? NORMAL : length > 1 ? answerTo(readUint16(bytes, from)) : PROTOCOL_ERROR;
      this.finished = true;
    }
    return true;
  }

  #fail(code: number, problem: string): false {
    this.#closeCode = code;
    this.problem = problem;
    return false;
  }
}

/** The header of the binary message in which a frame is sent, and QEMU's length if the framing has it. */
class WebSocketPrefix implements FramePrefix {
  readonly most: number = 10 + LENGTH_PREFIX;
  readonly #input: WebSocketInput;

  constructor(input: WebSocketInput) {
    this.#input = input;
  }

  sizeFor(length: number): number {
    const inner = this.#inner, message = length + inner;
    return inner + (message < 126 ? 2 : message < 65536 ? 4 : 10);
  }

  write(bytes: Uint8Array, at: number, length: number): void {
    const inner = this.#inner, message = length + inner;
    bytes[at] = FINAL | BINARY;
    if (message < 126) {
      bytes[at + 1] = message;
    } else if (message < 65536) {
      bytes[at + 1] = 126;
      writeUint16(bytes, at + 2, message);
    } else {
      bytes[at + 1] = 127;
      writeUint32(bytes, at + 2, 0);
      writeUint32(bytes, at + 6, message);
    }
    if (inner > 0) writeUint32(bytes, at + this.sizeFor(length) - inner, length);
  }

  get #inner(): number {
    return this.#input.framing === "framed" ? LENGTH_PREFIX : 0;
  }
}

/**
 * Whether these bytes are the beginning of a stream of frames: the length of one, at most `longest`, as far as it is
 * there.
 */
function canBeginStream(bytes: Uint8Array, longest: number): boolean {
  if (bytes.length < LENGTH_PREFIX) return bytes[0] === 0 && (bytes.length < 2 || bytes[1]! <= 1);
  const length = readUint32(bytes, 0);
  return length >= ETHERNET_HEADER_LENGTH && length <= longest;
}

/** With which code a client's close is answered: its own, or that it is none (RFC 6455 section 7.4). */
function answerTo(code: number): number {
  const isCode = (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code < 5000);
  return isCode ? code : PROTOCOL_ERROR;
}

/**
 * Takes the mask off `count` bytes at `from` and puts them at `to`, which is not behind it (RFC 6455 section 5.3).
 * Afterwards the mask begins with the byte for what follows.
 */
function unmask(bytes: Uint8Array, place: { from: number; to: number; count: number }, mask: Uint8Array): void {
  const a = mask[0]!, b = mask[1]!, c = mask[2]!, d = mask[3]!, { count } = place;
  let { from, to } = place;
  const quads = from + (count & ~3);
  for (; from < quads; from += 4, to += 4) {
    bytes[to] = bytes[from]! ^ a;
    bytes[to + 1] = bytes[from + 1]! ^ b;
    bytes[to + 2] = bytes[from + 2]! ^ c;
    bytes[to + 3] = bytes[from + 3]! ^ d;
  }
  const rest = count & 3;
  for (let i = 0; i < rest; i++) bytes[to + i] = bytes[from + i]! ^ mask[i]!;
  if (rest > 0) mask.set(rest === 1 ? [b, c, d, a] : rest === 2 ? [c, d, a, b] : [d, a, b, c]);
}
