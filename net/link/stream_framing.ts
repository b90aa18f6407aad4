/**
 * Ethernet frames in a stream of bytes: QEMU's `-netdev stream`, where a 32-bit big-endian length precedes each frame.
 *
 * **In.** What a read gives lands behind what is there already, and frames are taken out in place, without a copy. Only
 * the beginning of a frame whose rest has not come yet is moved, to the front of the buffer, when too little room is
 * left.
 *
 * **Out.** Frames are gathered, each behind its length, and leave in one write. What the stream does not take waits, at
 * most `MOST_QUEUED` bytes of it; beyond that a frame is refused whole, so the stream never loses its place.
 *
 * **Lengths.** A frame of any length up to `LONGEST_FRAME` is handed over: whether it is too short or too long for the
 * link is for the receiver to say, and no reason to lose the ones behind it. A greater length is none: the other end
 * speaks another protocol, which the message names if the first bytes show it, and nothing behind it can be understood.
 * That is the end of a stream.
 *
 * @module
 */
import type { Frame } from "../wire/frame.ts";
import { readUint32, writeUint32 } from "../wire/bytes.ts";
import { ETHERNET_HEADER_LENGTH, LONGEST_FRAME } from "../wire/ethernet.ts";

/** Bytes of the length in front of a frame. */
export const LENGTH_PREFIX = 4;
/** Bytes that may wait for a stream that takes none. */
export const MOST_QUEUED: number = 1 << 20;

/** Half of it holds the longest frame and its length. */
const INPUT_SIZE = 1 << 18;
const FIRST_OUTPUT_SIZE = 1 << 16;

/** Frames out of what was read of a stream; `StreamInput` says more of each part. */
export interface FrameInput {
  /** What was read ends at `end`; read behind it, after `makeRoom`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** See `bytes`. */
  end: number;
  /** What is wrong with the stream, once `next` has found that. */
  readonly problem: string | undefined;
  /** Whether the stream stands between two frames. */
  readonly atBoundary: boolean;
  /** Whether the other end has said that nothing more follows. */
  readonly finished?: boolean;
  /** Whether it is not known yet how the other end wants frames: none can be sent to it. */
  readonly undecided?: boolean;
  /** Makes room behind `end`. */
  makeRoom(): void;
  /** Points `frame` at the next whole frame, if there is one. */
  next(frame: Frame): boolean;
  /** How much of which frame was there when the stream ended within it. */
  describeRest(): string;
  /** What the framing itself has to send now, once. */
  takeReply?(): Uint8Array<ArrayBuffer> | undefined;
  /** What the framing sends last. */
  farewell?(): Uint8Array<ArrayBuffer> | undefined;
}

/** What stands in front of a frame in a stream. */
export interface FramePrefix {
  /** The most bytes that it has. */
  readonly most: number;
  /** How many bytes it has in front of a frame of this length. */
  sizeFor(length: number): number;
  /** Writes it at `at`. */
  write(bytes: Uint8Array, at: number, length: number): void;
}

/** How frames lie in a stream of bytes, for one link. */
export interface StreamFraming {
  /** Frames out of the stream. */
  readonly input: FrameInput;
  /** What stands in front of frames that are sent. */
  readonly prefix: FramePrefix;
}

/** QEMU's prefix: the length. */
export const QEMU_PREFIX: FramePrefix = {
  most: LENGTH_PREFIX,
  sizeFor: () => LENGTH_PREFIX,
  write: writeUint32,
};

/** Frames out of bytes. */
export class StreamInput implements FrameInput {
  /** What was read lies at `[start, end)`; read behind `end`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** See `bytes`. */
  start = 0;
  /** See `bytes`. */
  end = 0;
  /** What is wrong with the stream, once `next` has found that. */
  problem: string | undefined;
  #frames = 0;

  /** Reads to an array of its own unless one is given. */
  constructor(bytes: Uint8Array<ArrayBuffer> = new Uint8Array(INPUT_SIZE)) {
    this.bytes = bytes;
  }

  /** Whether the stream stands between two frames. */
  get atBoundary(): boolean {
    return this.start === this.end;
  }

  /** Makes sure that what is needed to complete a frame can be read behind `end`, and no less than half the buffer. */
  makeRoom(): void {
    if (this.atBoundary) this.start = this.end = 0;
    if (this.end <= this.bytes.length >> 1) return;
    this.bytes.copyWithin(0, this.start, this.end);
    this.end -= this.start;
    this.start = 0;
  }

  /** Points `frame` at the next whole frame. Returns false when there is none yet, or never will be: see `problem`. */
  next(frame: Frame): boolean {
    const bytes = this.bytes, start = this.start, available = this.end - start;
    if (available < LENGTH_PREFIX) return false;
    const length = readUint32(bytes, start);
    if (length > LONGEST_FRAME) {
      this.problem = this.#describeProblem(length);
      return false;
    }
    const end = start + LENGTH_PREFIX + length;
    if (end > this.end) return false;
    this.start = end;
    this.#frames++;
    frame.set(bytes, start + LENGTH_PREFIX, end);
    return true;
  }

  /** How much of which frame was there when the stream ended within it. */
  describeRest(): string {
    const available = this.end - this.start;
    if (available < LENGTH_PREFIX) return `it ended in the middle of a frame's length`;
    const length = readUint32(this.bytes, this.start);
    return `it ended in the middle of a frame, after ${available - LENGTH_PREFIX} of ${length} bytes`;
  }

  #describeProblem(length: number): string {
    const foreign = this.#frames === 0 ? nameForeignStream(this.bytes, this.start, this.end) : undefined;
    if (foreign !== undefined) {
      return `this is ${foreign}, not QEMU's framing (a 32-bit big-endian length, then the frame)`;
    }
    return `${length} is no possible length of a frame, the longest has ${LONGEST_FRAME} bytes`;
  }
}

/** Bytes out of frames. */
export class StreamOutput {
  /** What waits lies at `[start, end)`. */
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** See `bytes`. */
  start = 0;
  /** See `bytes`. */
  end = 0;
  readonly #prefix: FramePrefix;

  /** For frames behind QEMU's prefix unless another one is given. */
  constructor(prefix: FramePrefix = QEMU_PREFIX) {
    this.#prefix = prefix;
  }

  /** How many bytes wait. */
  get length(): number {
    return this.end - this.start;
  }

  /** Adds a frame behind its prefix; returns false, and adds nothing, if too much waits already. */
  push(frame: Frame): boolean {
    const length = frame.length, size = this.#prefix.sizeFor(length);
    if (!this.#reserve(size + length)) return false;
    this.#prefix.write(this.bytes, this.end, length);
    this.bytes.set(frame.bytes.subarray(frame.start, frame.end), this.end + size);
    this.end += size + length;
    return true;
  }

  /**
   * Adds bytes as they are, such as the rest of a frame of which a write took the beginning; returns false if too much
   * waits already.
   */
  pushBytes(bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.#reserve(end - start)) return false;
    this.bytes.set(bytes.subarray(start, end), this.end);
    this.end += end - start;
    return true;
  }

  /** The first `count` of the bytes that wait are written. */
  taken(count: number): void {
    this.start += count;
    if (this.start === this.end) this.start = this.end = 0;
  }

  #reserve(count: number): boolean {
    const length = this.length;
    if (length + count > MOST_QUEUED) return false;
    if (this.end + count <= this.bytes.length) return true;
    let size = Math.max(FIRST_OUTPUT_SIZE, this.bytes.length);
    // Bytes are moved to the front only when they fill no more than half of the buffer, so each is moved once on
    // average.
    while (size < 2 * (length + count)) size *= 2;
    if (size === this.bytes.length) {
      this.bytes.copyWithin(0, this.start, this.end);
    } else {
      const grown = new Uint8Array(size);
      grown.set(this.bytes.subarray(this.start, this.end));
      this.bytes = grown;
    }
    this.start = 0;
    this.end = length;
    return true;
  }
}

const MAGIC_WORDS: readonly (readonly [start: string, name: string])[] = [
  ["GET ", "HTTP"],
  ["POST", "HTTP"],
  ["PUT ", "HTTP"],
  ["HEAD", "HTTP"],
  ["OPTI", "HTTP"],
  ["CONN", "HTTP"],
  ["HTTP", "HTTP"],
  ["PRI ", "HTTP/2"],
  ["SSH-", "SSH"],
  ["VMN3", "the protocol of vpnkit (hyperkit)"],
  ["VFKT", "vfkit, which wants a socket of datagrams (unixgram)"],
];

/** What a stream seems to be that begins with `bytes[start, end)`, at least four of them, and not with a length. */
function nameForeignStream(bytes: Uint8Array, start: number, end: number): string | undefined {
  const word = String.fromCharCode(...bytes.subarray(start, start + 4));
  const known = MAGIC_WORDS.find(([magic]) => magic === word);
  if (known) return known[1];
  if (bytes[start] === 0x16 && bytes[start + 1] === 3) return "TLS";
  // Guests begin with frames to everyone or to a group: ff:ff:ff:ff:ff:ff, 33:33:…, 01:00:5e:….
  if (isGroupAddress(bytes, start, end)) return "Ethernet frames without their lengths";
  const short = bytes[start]! | (bytes[start + 1]! << 8);
  if (short >= ETHERNET_HEADER_LENGTH && isGroupAddress(bytes, start + 2, end)) {
    return "frames behind 16-bit little-endian lengths (hyperkit, vpnkit)";
  }
  return undefined;
}

function isGroupAddress(bytes: Uint8Array, at: number, end: number): boolean {
  const [a, b, c] = bytes.subarray(at, Math.min(at + 3, end));
  return (a === 0xff && b === 0xff) || (a === 0x33 && b === 0x33) || (a === 1 && b === 0 && c === 0x5e);
}
