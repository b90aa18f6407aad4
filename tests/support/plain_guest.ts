/**
 * The guest of a simulation that shares no line with Hawser: a TCP as small as it can be, whose segments are literal
 * bytes with numbers put in, and whose checksums are summed word by word.
 *
 * It offers MSS and no other option: no window scale, so its window is 65535 bytes; no SACK, so what it has missed
 * shows in repeated ACKs alone. It acknowledges every segment at once and keeps what came early. It sends what the
 * window allows, repeats the first segment after three duplicate ACKs (RFC 5681 section 3.2), and after `TIMEOUT_MS`
 * begins again from there, whatever the gateway has kept: go back N. No round trip is timed, and there is no congestion
 * window.
 *
 * Positions count from the SYN of each side, which is 0; the first byte is 1, and FIN is a number behind the last.
 *
 * @module
 */
import { assert } from "@std/assert";
import type { Link } from "../../net/link/link.ts";
import { Frame } from "../../net/wire/frame.ts";
import { naiveChecksum, naiveSum } from "./naive_checksum.ts";
import { assertExpected, type SimGuest, type SimGuestParts } from "./netsim.ts";
import { hex } from "./packet_bytes.ts";
import type { VirtualClock } from "../../net/link/virtual_clock.ts";

const TIMEOUT_MS = 300;
const FIN = 1, SYN = 2, PSH = 8, ACK = 16;
/** Just below the wrap. */
const INITIAL = 0xffff0000;

/** Both MAC addresses. */
const ETHERNET = "52 54 00 12 34 02  52 54 00 12 34 56";
/** TCP from port 40000 to 80 with a window of 65535; numbers, flags and checksum are 0. */
const TCP = "9c 40 00 50  00 00 00 00  00 00 00 00  50 00 ff ff  00 00 00 00";
/** What is different between the families. Lengths and checksums are 0. */
const FAMILIES = {
  4: {
    headers: hex(`${ETHERNET} 08 00  45 00 00 00  00 00 40 00  40 06 00 00  0a 00 02 0f  0a 00 02 02  ${TCP}`),
    /** The addresses as both pseudo-headers have them, and the protocol. */
    pseudo: hex("0a 00 02 0f  0a 00 02 02  00 06"),
    etherType: 0x0800,
    tcp: 34,
    /** Where the protocol is told. */
    protocol: 23,
  },
  6: {
    headers: hex(`
      ${ETHERNET} 86 dd  60 00 00 00  00 00 06 40
      fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 15
      fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02
      ${TCP}
    `),
    pseudo: hex(`
      fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 15
      fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02
      00 06
    `),
    etherType: 0x86dd,
    tcp: 54,
    protocol: 20,
  },
} as const;
const TCP_LENGTH = 20;

/** A `SimGuest` of its own make. */
export class PlainGuest implements SimGuest {
  heard = 0;
  heardEnd = false;
  repeated = 0;
  readonly #link: Link;
  readonly #clock: VirtualClock;
  readonly #expected: Uint8Array;
  readonly #family: 4 | 6;
  readonly #frame = new Frame();
  readonly #largest: number;
  /** What is to be said; FIN is behind it once `#finishing`. */
  #speech = new Uint8Array(0);
  #finishing = false;
  /** First position not acknowledged, first not sent, first never sent. */
  #una = 0;
  #next = 0;
  #top = 0;
  #window = 0;
  #duplicates = 0;
  #timeoutAt = Infinity;
  /** The gateway's initial number, -1 before its SYN; the position expected; that of its FIN. */
  #theirInitial = -1;
  #wanted = 0;
  #theirFin = Infinity;
  #early = new Map<number, Uint8Array>();
  #due = false;

  constructor({ link, clock, expected, family }: SimGuestParts) {
    this.#link = link;
    this.#clock = clock;
    this.#expected = expected;
    this.#family = family;
    this.#largest = link.mtu - (FAMILIES[family].tcp - 14) - TCP_LENGTH;
    link.start({
      receive: (frame) => this.#receive(frame.bytes.subarray(frame.start, frame.end)),
      flush: () => void (this.#due = true),
      closed: () => {},
    });
  }

  get deadline(): number {
    return this.#timeoutAt;
  }

  get over(): boolean {
    return this.heardEnd && this.#finishing && this.#una === this.#speech.length + 2;
  }

  connect(): void {
    this.#due = true;
    this.#window = 1;
  }

  say(bytes: Uint8Array): void {
    this.#speech = bytes.slice();
    this.#due = true;
  }

  finish(): void {
    this.#finishing = true;
    this.#due = true;
  }

  turn(): boolean {
    if (!this.#due && this.#clock.now() < this.#timeoutAt) return false;
    this.#due = false;
    if (this.#clock.now() >= this.#timeoutAt) {
      this.#next = this.#una;
      this.#duplicates = 0;
      this.#timeoutAt = Infinity;
    }
    // What is said ends with its last byte, or with FIN; before the SYN is answered there is only the SYN.
    const last = this.#theirInitial < 0 ? 1 : this.#speech.length + 1 + (this.#finishing ? 1 : 0);
    while (this.#next < Math.min(last, this.#una + this.#window)) this.#next += this.#sendFrom(this.#next);
    this.#link.flush();
    return true;
  }

  /** Sends the segment that begins at `position`; returns how many positions it takes. */
  #sendFrom(position: number): number {
    let length = 0, flags = SYN;
    if (position > 0) {
      const room = this.#una + this.#window - position, left = this.#speech.length + 1 - position;
      length = Math.max(0, Math.min(this.#largest, left, room));
      flags = length > 0 ? ACK | PSH : ACK;
      if (this.#finishing && length === left && length < room) flags |= FIN;
    }
    this.#segment(
      flags,
      position,
      this.#speech.subarray(Math.max(0, position - 1), Math.max(0, position - 1) + length),
    );
    const taken = length + (flags & (SYN | FIN) ? 1 : 0);
    if (position < this.#top) this.repeated++;
    this.#top = Math.max(this.#top, position + taken);
    this.#timeoutAt = Math.min(this.#timeoutAt, this.#clock.now() + TIMEOUT_MS);
    return taken;
  }

  #segment(flags: number, position: number, payload: Uint8Array): void {
    const options = flags & SYN ? hex(`02 04 ${this.#largest.toString(16).padStart(4, "0")}`) : new Uint8Array(0);
    const { headers, tcp } = FAMILIES[this.#family], length = headers.length + options.length + payload.length;
    const bytes = new Uint8Array(length), view = new DataView(bytes.buffer);
    bytes.set(headers);
    bytes.set(options, headers.length);
    bytes.set(payload, headers.length + options.length);
    if (this.#family === 4) {
      view.setUint16(16, length - 14);
      view.setUint16(24, naiveChecksum(bytes, 14, 34));
    } else view.setUint16(18, length - tcp);
    view.setUint32(tcp + 4, INITIAL + position);
    if (flags & ACK) view.setUint32(tcp + 8, this.#theirInitial + this.#wanted);
    bytes[tcp + 12] = (5 + options.length / 4) << 4;
    bytes[tcp + 13] = flags;
    view.setUint16(tcp + 16, this.#checksumOf(bytes));
    this.#link.send(this.#frame.set(bytes, 0, length));
  }

  #receive(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const { etherType, tcp, protocol } = FAMILIES[this.#family];
    // The gateway asks where a guest is that it has not heard for a second; what it sends next says so as well.
    if (view.getUint16(12) === 0x0806 || bytes[protocol] !== 6) return;
    assert(view.getUint16(12) === etherType, "the gateway sends a segment over the other family");
    if (this.#family === 4) {
      assert(naiveSum(bytes, 14, 34) === 0xffff, "an IPv4 header of the gateway has a wrong checksum");
    } else assert(view.getUint16(18) === bytes.length - tcp, "an IPv6 header of the gateway has a wrong length");
    assert(this.#checksumOf(bytes) === 0, "a segment of the gateway has a wrong checksum");
    const flags = bytes[tcp + 13]!, payload = bytes.subarray(tcp + (bytes[tcp + 12]! >> 4) * 4);
    if (flags & SYN) this.#theirInitial = view.getUint32(tcp + 4);
    if (this.#theirInitial < 0) return;
    if (flags & ACK) this.#takeAck((view.getUint32(tcp + 8) - INITIAL) >>> 0, view.getUint16(tcp + 14), payload.length);
    const position = (view.getUint32(tcp + 4) - this.#theirInitial) >>> 0;
    if (flags & SYN) this.#wanted = Math.max(this.#wanted, 1);
    if (flags & FIN) this.#theirFin = position + payload.length;
    if (payload.length > 0) this.#takePayload(position, payload);
    if (this.#wanted === this.#theirFin) {
      this.#wanted++;
      this.heardEnd = true;
    }
    if (payload.length > 0 || flags & (SYN | FIN)) this.#segment(ACK, this.#next, new Uint8Array(0));
  }

  #takeAck(position: number, window: number, length: number): void {
    const sameWindow = window === this.#window;
    this.#window = window;
    this.#due = true;
    if (position > this.#una && position <= this.#top) {
      this.#una = position;
      this.#next = Math.max(this.#next, position);
      this.#duplicates = 0;
      this.#timeoutAt = this.#una < this.#next ? this.#clock.now() + TIMEOUT_MS : Infinity;
    } else if (position === this.#una && this.#una < this.#next && length === 0 && sameWindow) {
      if (++this.#duplicates === 3) this.#sendFrom(this.#una);
    }
  }

  #takePayload(position: number, payload: Uint8Array): void {
    const ahead = (position - this.#wanted) | 0;
    if (ahead > 0) return void this.#early.set(position, payload.slice());
    if (ahead + payload.length <= 0) return;
    this.#hear(payload, -ahead);
    for (let found = true; found;) {
      found = false;
      for (const [at, kept] of this.#early) {
        if (at > this.#wanted) continue;
        this.#early.delete(at);
        if (at + kept.length <= this.#wanted) continue;
        this.#hear(kept, this.#wanted - at);
        found = true;
      }
    }
  }

  #hear(bytes: Uint8Array, start: number): void {
    assertExpected(this.#expected, this.heard, bytes, start, bytes.length);
    this.heard += bytes.length - start;
    this.#wanted += bytes.length - start;
  }

  /** The checksum to be written into a segment whose checksum field is 0; 0 where it holds the right one. */
  #checksumOf(bytes: Uint8Array): number {
    const { pseudo, tcp } = FAMILIES[this.#family];
    const sum = naiveSum(pseudo, 0, pseudo.length) + (bytes.length - tcp) + naiveSum(bytes, tcp, bytes.length);
    const once = (sum & 0xffff) + (sum >>> 16);
    return 0xffff - (once & 0xffff) - (once >>> 16);
  }
}
