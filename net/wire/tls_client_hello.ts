/**
 * The first message of a TLS client, as far as it says whom the client wants: its SNI (RFC 6066 section 3).
 *
 * A ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2) is a handshake message of type, length and body,
 * which records of type 22 carry in pieces of any size (RFC 8446 section 5.1). `ClientHelloReader` is shown a stream
 * from its beginning, again and again as it grows, and looks at each byte once, however often that is. Nothing it is
 * shown makes it throw.
 *
 * **What is malformed.** The lengths must agree to the byte, and nothing may follow the message in its last record: a
 * client that waits for an answer has nothing more to say. Values that mean nothing here, GREASE (RFC 8701) among them,
 * are stepped over: versions, suites, extensions. All names are given, of a list or of two extensions: no client says
 * two, and servers would differ on which is meant.
 *
 * **Encrypted Client Hello** (RFC 9849): the SNI is the outer one, and `hasEch` says that the extension is there. Many
 * clients send it without meaning it.
 *
 * **SSLv2.** Servers may still take a hello in that older format (RFC 5246 appendix E.2), which cannot name anybody.
 *
 * **Alerts.** No client begins with one, but there are servers that step over warnings before the ClientHello, rustls
 * and Go's among them: what begins so is a hello that names nobody.
 *
 * @module
 */
import { readUint16 } from "./bytes.ts";
import { readHostName } from "./host_name.ts";

/** The type of a record that carries handshake messages: the first byte of a TLS client. */
export const TLS_HANDSHAKE = 22;
/** The type of a record that carries an alert. */
export const TLS_ALERT = 21;
/** Most bytes of a ClientHello, type and length included. */
export const CLIENT_HELLO_MAX = 16_384;
/** Most bytes of the records of a ClientHello. */
export const CLIENT_HELLO_RECORDS_MAX = 32_768;

const RECORD_HEADER = 5;
/** Most bytes in a record (RFC 8446 section 5.1). */
const RECORD_MAX = 16_384;
const MESSAGE_HEADER = 4;
const CLIENT_HELLO = 1;
/** Version and random number. */
const HELLO_FIXED = 34;
const SESSION_ID_MAX = 32;
const EXTENSION_SERVER_NAME = 0;
/** Encrypted Client Hello (RFC 9849), and what browsers tried before it: its drafts and ESNI. */
const EXTENSIONS_ECH: readonly number[] = [0xfe0d, 0xfe08, 0xfe09, 0xfe0a, 0xfe0b, 0xfe0c, 0xffce];
const NAME_TYPE_HOST = 0;

/** Bytes of an alert; a record may carry two. */
const ALERT_MAX = 4;

const SSLV2_FIXED = 11;
const SSLV2_SUITE = 3;

/** What a reader of a stream's first bytes has found so far. */
export type FirstMessage =
  /** Nothing yet: more is needed. */
  | "more"
  /** That it is another protocol. */
  | "other"
  /** A whole message that can be read. */
  | "whole"
  /** Something that is not allowed in one. */
  | "malformed"
  /** That it is larger than the limit. */
  | "tooLarge";

/** Reads the ClientHello at the beginning of a stream. */
export class ClientHelloReader {
  /** What was found. */
  found: FirstMessage = "more";
  /** The servers that the client names: at most one if it is honest; null: what it says is no name of a host. */
  readonly names: (string | null)[] = [];
  /** Whether it has an extension of Encrypted Client Hello. */
  hasEch = false;

  /** What has been looked at. */
  #at = 0;
  #recordLeft = 0;
  /** Bytes of the message that have been looked at. */
  #got = 0;
  /** Its length, once that was read. */
  #length = 0;

  /** Reads on: `bytes[start, end)` is the stream from its beginning. */
  read(bytes: Uint8Array, start: number, end: number): FirstMessage {
    const size = Math.min(end - start, CLIENT_HELLO_RECORDS_MAX);
    while (this.#at < size && this.found === "more") {
      if (this.#recordLeft === 0 && !this.#readRecordHeader(bytes, start, size)) break;
      this.#readMessage(bytes, start, size);
    }
    if (this.found === "more" && size === CLIENT_HELLO_RECORDS_MAX) this.found = "tooLarge";
    return this.found;
  }

  /** Whether there is a header, and something behind it. */
  #readRecordHeader(bytes: Uint8Array, start: number, size: number): boolean {
    const at = start + this.#at, there = size - this.#at;
    if (bytes[at] !== TLS_HANDSHAKE || (there > 1 && bytes[at + 1] !== 3)) this.found = "malformed";
    if (there < RECORD_HEADER || this.found !== "more") return false;
    const length = readUint16(bytes, at + 3);
    if (length === 0 || length > RECORD_MAX) {
      this.found = "malformed";
      return false;
    }
    this.#at += RECORD_HEADER;
    this.#recordLeft = length;
    return this.#at < size;
  }

  /** Takes what there is of a record. */
  #readMessage(bytes: Uint8Array, start: number, size: number): void {
    while (this.#got < MESSAGE_HEADER && this.#at < size && this.#recordLeft > 0) {
      const byte = bytes[start + this.#at]!;
      if (this.#got === 0 && byte !== CLIENT_HELLO) this.found = "malformed";
      if (this.#got > 0) this.#length = this.#length * 256 + byte;
      this.#step(1);
    }
    if (this.#got < MESSAGE_HEADER || this.found !== "more") return;
    const left = MESSAGE_HEADER + this.#length - this.#got;
    if (MESSAGE_HEADER + this.#length > CLIENT_HELLO_MAX) this.found = "tooLarge";
    else if (this.#recordLeft > left) this.found = "malformed";
    else this.#step(Math.min(this.#recordLeft, size - this.#at));
    if (this.found === "more" && this.#got === MESSAGE_HEADER + this.#length) this.#readWhole(bytes, start);
  }

  #step(count: number): void {
    this.#at += count;
    this.#got += count;
    this.#recordLeft -= count;
  }

  /** The message is there: in one piece, or in those of several records. */
  #readWhole(bytes: Uint8Array, start: number): void {
    const first = start + RECORD_HEADER, isOne = readUint16(bytes, start + 3) === this.#got;
    const isRight = isOne
      ? this.#readHello(bytes, first + MESSAGE_HEADER, first + this.#got)
      : this.#readHello(joined(bytes, start, this.#got), MESSAGE_HEADER, this.#got);
    this.found = isRight ? "whole" : "malformed";
  }

  /** Whether the body of a message is in order. */
  #readHello(bytes: Uint8Array, start: number, end: number): boolean {
    let at = start + HELLO_FIXED;
    if (at >= end || bytes[at]! > SESSION_ID_MAX) return false;
    at += 1 + bytes[at]!;
    if (at + 2 > end) return false;
    const suites = readUint16(bytes, at);
    at += 2 + suites;
    if (suites === 0 || suites % 2 !== 0 || at >= end || bytes[at] === 0) return false;
    at += 1 + bytes[at]!;
    // Before TLS 1.2 there need not be extensions.
    if (at === end) return true;
    return at + 2 <= end && at + 2 + readUint16(bytes, at) === end && this.#readExtensions(bytes, at + 2, end);
  }

  #readExtensions(bytes: Uint8Array, start: number, end: number): boolean {
    for (let at = start; at < end;) {
      if (at + 4 > end) return false;
      const type = readUint16(bytes, at), from = at + 4, to = from + readUint16(bytes, at + 2);
      if (to > end) return false;
      if (EXTENSIONS_ECH.includes(type)) this.hasEch = true;
      if (type === EXTENSION_SERVER_NAME && !this.#readServerNames(bytes, from, to)) return false;
      at = to;
    }
    return true;
  }

  #readServerNames(bytes: Uint8Array, start: number, end: number): boolean {
    if (start + 2 > end || start + 2 + readUint16(bytes, start) !== end || start + 2 === end) return false;
    for (let at = start + 2; at < end;) {
      if (at + 3 > end || bytes[at] !== NAME_TYPE_HOST) return false;
      const from = at + 3, to = from + readUint16(bytes, at + 1);
      if (to > end || to === from) return false;
      this.names.push(readHostName(bytes, from, to));
      at = to;
    }
    return true;
  }
}

/** Whether `bytes[start, end)` begins with a hello in the format of SSLv2, as far as can be told. */
export function findSslv2Hello(bytes: Uint8Array, start: number, end: number): FirstMessage {
  const there = end - start;
  if ((there > 0 && bytes[start]! < 0x80) || (there > 2 && bytes[start + 2] !== CLIENT_HELLO)) return "other";
  if (there > 3 && bytes[start + 3] !== 0 && bytes[start + 3] !== 3) return "other";
  if (there < SSLV2_FIXED) return "more";
  const length = readUint16(bytes, start) & 0x7fff, suites = readUint16(bytes, start + 5);
  const rest = suites + readUint16(bytes, start + 7) + readUint16(bytes, start + 9);
  return suites > 0 && suites % SSLV2_SUITE === 0 && SSLV2_FIXED - 2 + rest === length ? "whole" : "other";
}

/** Whether `bytes[start, end)` begins with a record that carries an alert, as far as can be told. */
export function findTlsAlert(bytes: Uint8Array, start: number, end: number): FirstMessage {
  const there = end - start;
  if ((there > 0 && bytes[start] !== TLS_ALERT) || (there > 1 && bytes[start + 1] !== 3)) return "other";
  if (there > 3 && bytes[start + 3] !== 0) return "other";
  if (there > 4 && (bytes[start + 4] === 0 || bytes[start + 4]! > ALERT_MAX)) return "other";
  return there < RECORD_HEADER ? "more" : "whole";
}

/** The first `length` bytes that the records from `start` on carry: all of these are there. */
function joined(bytes: Uint8Array, start: number, length: number): Uint8Array {
  const message = new Uint8Array(length);
  for (let got = 0, at = start; got < length;) {
    const from = at + RECORD_HEADER, to = from + readUint16(bytes, at + 3);
    message.set(bytes.subarray(from, to), got);
    got += to - from;
    at = to;
  }
  return message;
}
