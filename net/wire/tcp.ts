/**
 * TCP headers and their options (RFC 9293 section 3.1).
 *
 * The data offset is honoured: a header is 20 to 60 bytes. Of the options, maximum segment size (RFC 9293 section
 * 3.7.1), window scale (RFC 7323), SACK-permitted and SACK (RFC 2018) are known and the others are skipped by their
 * length. Only a SYN may carry the first three; which segment it is, is the reader's business.
 *
 * Malformed options do not make a segment unusable: `checkTcp` does not look at them, and `readTcpOptions` keeps what
 * came before the flaw and says that there was one. `decodeTcp`, the strict door, refuses them.
 *
 * @module
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { checksumAdd, checksumFinish, checksumFold, pseudoHeaderSum } from "./checksum.ts";
import { DecodeError } from "./decode_error.ts";
import { PROTOCOL_TCP } from "./ipv4.ts";

/** Bytes of a header without options. */
export const TCP_HEADER_LENGTH = 20;

/** No more data from the sender. */
export const TCP_FIN = 1;
/** Synchronize sequence numbers. */
export const TCP_SYN = 2;
/** Reset the connection. */
export const TCP_RST = 4;
/** Push. */
export const TCP_PSH = 8;
/** The acknowledgment field is significant. */
export const TCP_ACK = 16;
/** The urgent pointer is significant. */
export const TCP_URG = 32;
/** ECN echo (RFC 3168). */
export const TCP_ECE = 64;
/** Congestion window reduced (RFC 3168). */
export const TCP_CWR = 128;

const DESTINATION_PORT = 2;
const SEQ = 4;
const ACK = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT_POINTER = 18;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_SACK = 5;

const LONGEST_OPTIONS = 40;
const LARGEST_WINDOW_SHIFT = 14;

/** The options of a segment, to be filled again and again by `readTcpOptions`. */
export class TcpOptions {
  /** Maximum segment size in bytes; -1: absent. */
  mss: number = -1;
  /** Window shift count, at most 14; -1: absent. */
  windowShift: number = -1;
  /** Whether the sender takes SACK. */
  sackPermitted = false;
  /** SACK blocks in `sackEdges`, at most 4. */
  sackCount = 0;
  /** The blocks' left and right edges by turns; the right one is the number after the block. */
  readonly sackEdges: Uint32Array = new Uint32Array(8);

  /** Forgets what was read. */
  clear(): void {
    this.mss = -1;
    this.windowShift = -1;
    this.sackPermitted = false;
    this.sackCount = 0;
  }
}

/** The fields of a header to write, to be filled again and again. */
export class TcpHeader {
  /** Source port. */
  sourcePort = 0;
  /** Destination port. */
  destinationPort = 0;
  /** Sequence number. */
  seq = 0;
  /** Acknowledgment number. */
  ack = 0;
  /** `TCP_SYN` and so on, or-ed. */
  flags = 0;
  /** Window field as it is sent, already shifted. */
  window = 0;
  /** Urgent pointer. */
  urgentPointer = 0;
  /** Maximum segment size in bytes; -1: no option. */
  mss: number = -1;
  /** Window shift count, 0 to 14; -1: no option. */
  windowShift: number = -1;
  /** Whether to send SACK-permitted. */
  sackPermitted = false;
  /** SACK blocks to send; those that do not fit are left out. */
  sackCount = 0;
  /** The blocks' left and right edges by turns. */
  readonly sackEdges: Uint32Array = new Uint32Array(8);
}

/** A segment's header, decoded. */
export interface TcpSegment {
  /** Source port. */
  sourcePort: number;
  /** Destination port. */
  destinationPort: number;
  /** Sequence number. */
  seq: number;
  /** Acknowledgment number; without meaning unless `TCP_ACK` is set. */
  ack: number;
  /** Bytes of the header with its options. */
  headerLength: number;
  /** `TCP_SYN` and so on, or-ed. */
  flags: number;
  /** Window field as found, not shifted. */
  window: number;
  /** The checksum as found. */
  checksum: number;
  /** Urgent pointer. */
  urgentPointer: number;
  /** The options. */
  options: TcpOptions;
  /** Offset in the array of the payload. */
  payloadStart: number;
  /** Offset in the array after the payload. */
  payloadEnd: number;
}

/** Whether `bytes[start, end)` begins with a header, options included. They are not looked at. */
export function checkTcp(bytes: Uint8Array, start: number, end: number): boolean {
  const available = end - start;
  if (available < TCP_HEADER_LENGTH) return false;
  const headerLength = tcpHeaderLength(bytes, start);
  return headerLength >= TCP_HEADER_LENGTH && headerLength <= available;
}

/** Source port. */
export function tcpSourcePort(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset);
}

/** Destination port. */
export function tcpDestinationPort(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + DESTINATION_PORT);
}

/** Sequence number. */
export function tcpSeq(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + SEQ);
}

/** Acknowledgment number. */
export function tcpAck(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + ACK);
}

/** Bytes of the header with its options: 20 to 60. */
export function tcpHeaderLength(bytes: Uint8Array, offset: number): number {
  return (bytes[offset + DATA_OFFSET]! >>> 4) << 2;
}

/** `TCP_SYN` and so on, or-ed. */
export function tcpFlags(bytes: Uint8Array, offset: number): number {
  return bytes[offset + FLAGS]!;
}

/** Window field as found, not shifted. */
export function tcpWindow(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + WINDOW);
}

/** The checksum as found. */
export function tcpChecksum(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + CHECKSUM);
}

/** Urgent pointer. */
export function tcpUrgentPointer(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + URGENT_POINTER);
}

/**
 * Reads the options of the header at `tcpOffset` into `into`, which is cleared first.
 *
 * Returns false where an option is malformed: cut off by the header's end, of a length below 2, or of another length
 * than its kind has. What came before it is kept. A window shift above 14 counts as 14 (RFC 7323 section 2.3).
 */
export function readTcpOptions(bytes: Uint8Array, tcpOffset: number, into: TcpOptions): boolean {
  into.clear();
  const end = tcpOffset + tcpHeaderLength(bytes, tcpOffset);
  let i = tcpOffset + TCP_HEADER_LENGTH;
  while (i < end) {
    const kind = bytes[i]!;
    if (kind === OPTION_END) return true;
    if (kind === OPTION_NOP) {
      i++;
      continue;
    }
    if (i + 1 >= end) return false;
    const length = bytes[i + 1]!;
    if (length < 2 || i + length > end) return false;
    if (kind === OPTION_MSS) {
      if (length !== 4) return false;
      into.mss = readUint16(bytes, i + 2);
    } else if (kind === OPTION_WINDOW_SCALE) {
      if (length !== 3) return false;
      into.windowShift = Math.min(bytes[i + 2]!, LARGEST_WINDOW_SHIFT);
    } else if (kind === OPTION_SACK_PERMITTED) {
      if (length !== 2) return false;
      into.sackPermitted = true;
    } else if (kind === OPTION_SACK) {
      if (length < 10 || (length - 2) % 8 !== 0) return false;
      const edges = (length - 2) >>> 2;
      for (let edge = 0; edge < edges; edge++) into.sackEdges[edge] = readUint32(bytes, i + 2 + edge * 4);
      into.sackCount = edges >>> 1;
    }
    i += length;
  }
  return true;
}

/** Whether the segment that fills `bytes[start, end)`, between addresses of this sum, has the right checksum. */
export function tcpChecksumValid(bytes: Uint8Array, start: number, end: number, addressSum: number): boolean {
  return checksumFinish(checksumAdd(bytes, start, end, pseudoHeaderSum(addressSum, PROTOCOL_TCP, end - start))) === 0;
}

/** Whether the checksum field of such a segment holds the pseudo-header's sum alone, left to a device to complete. */
export function tcpChecksumPartial(bytes: Uint8Array, start: number, end: number, addressSum: number): boolean {
  return tcpChecksum(bytes, start) === checksumFold(pseudoHeaderSum(addressSum, PROTOCOL_TCP, end - start));
}

/** Writes the checksum of the segment that fills `bytes[start, end)`, header and payload in place. */
export function tcpSetChecksum(bytes: Uint8Array, start: number, end: number, addressSum: number): void {
  writeUint16(bytes, start + CHECKSUM, 0);
  const pseudo = pseudoHeaderSum(addressSum, PROTOCOL_TCP, end - start);
  writeUint16(bytes, start + CHECKSUM, checksumFinish(checksumAdd(bytes, start, end, pseudo)));
}

/** Writes the pseudo-header's sum alone, for a link that completes the checksum (`CHECKSUM_PARTIAL`). */
export function tcpSetPartialChecksum(bytes: Uint8Array, start: number, end: number, addressSum: number): void {
  writeUint16(bytes, start + CHECKSUM, checksumFold(pseudoHeaderSum(addressSum, PROTOCOL_TCP, end - start)));
}

/** Decodes the header at the beginning of `bytes[start, end)`. Throws a `DecodeError`, for malformed options too. */
export function decodeTcp(bytes: Uint8Array, start: number = 0, end: number = bytes.length): TcpSegment {
  if (!checkTcp(bytes, start, end)) throw refusal(bytes, start, end);
  const headerLength = tcpHeaderLength(bytes, start);
  const options = new TcpOptions();
  if (!readTcpOptions(bytes, start, options)) {
    const reason = "the options are malformed";
    throw new DecodeError("tcp", { offset: start, needed: headerLength, actual: end - start, reason });
  }
  return {
    sourcePort: tcpSourcePort(bytes, start),
    destinationPort: tcpDestinationPort(bytes, start),
    seq: tcpSeq(bytes, start),
    ack: tcpAck(bytes, start),
    headerLength,
    flags: tcpFlags(bytes, start),
    window: tcpWindow(bytes, start),
    checksum: tcpChecksum(bytes, start),
    urgentPointer: tcpUrgentPointer(bytes, start),
    options,
    payloadStart: start + headerLength,
    payloadEnd: end,
  };
}

/** Bytes that `encodeTcp` writes for this header: 20, and the options padded to a multiple of 4. */
export function tcpHeaderLengthOf(header: TcpHeader): number {
  const fixed = TCP_HEADER_LENGTH + (header.mss >= 0 ? 4 : 0) + (header.windowShift >= 0 ? 4 : 0) +
    (header.sackPermitted ? 4 : 0);
  const blocks = sackBlocksThatFit(header, fixed);
  return blocks > 0 ? fixed + 4 + blocks * 8 : fixed;
}

/** Writes a header at `offset`, its checksum field 0, and returns its length. The caller has made room. */
export function encodeTcp(bytes: Uint8Array, offset: number, header: TcpHeader): number {
  writeUint16(bytes, offset, header.sourcePort);
  writeUint16(bytes, offset + DESTINATION_PORT, header.destinationPort);
  writeUint32(bytes, offset + SEQ, header.seq);
  writeUint32(bytes, offset + ACK, header.ack);
  bytes[offset + FLAGS] = header.flags;
  writeUint16(bytes, offset + WINDOW, header.window);
  writeUint16(bytes, offset + CHECKSUM, 0);
  writeUint16(bytes, offset + URGENT_POINTER, header.urgentPointer);
  let i = offset + TCP_HEADER_LENGTH;
  if (header.mss >= 0) {
    writeUint16(bytes, i, (OPTION_MSS << 8) | 4);
    writeUint16(bytes, i + 2, header.mss);
    i += 4;
  }
  if (header.sackPermitted) {
    writeUint32(bytes, i, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK_PERMITTED << 8) | 2);
    i += 4;
  }
  if (header.windowShift >= 0) {
    writeUint32(bytes, i, (OPTION_NOP << 24) | (OPTION_WINDOW_SCALE << 16) | (3 << 8) | header.windowShift);
    i += 4;
  }
  const blocks = sackBlocksThatFit(header, i - offset);
  if (blocks > 0) {
    writeUint32(bytes, i, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK << 8) | (2 + blocks * 8));
    i += 4;
    for (let edge = 0; edge < blocks * 2; edge++, i += 4) writeUint32(bytes, i, header.sackEdges[edge]!);
  }
  const length = i - offset;
  bytes[offset + DATA_OFFSET] = (length >>> 2) << 4;
  return length;
}

/** `S.` for SYN and ACK, in tcpdump's letters: F, S, R, P, `.` for ACK, U, E, W for CWR; `none`. */
export function formatTcpFlags(flags: number): string {
  let text = "";
  for (let bit = 0; bit < 8; bit++) if ((flags & (1 << bit)) !== 0) text += "FSRP.UEW"[bit];
  return text || "none";
}

/**
 * `TCP 40000 > 80: Flags [S], seq 1, win 64240, options [mss 1460,sackOK,wscale 7], length 0`. What stands before the
 * colon is `ends` where that is given.
 */
export function formatTcp(segment: TcpSegment, ends?: string): string {
  const { options } = segment;
  const shown: string[] = [];
  if (options.mss >= 0) shown.push(`mss ${options.mss}`);
  if (options.sackPermitted) shown.push("sackOK");
  if (options.windowShift >= 0) shown.push(`wscale ${options.windowShift}`);
  if (options.sackCount > 0) {
    const blocks = Array.from(
      { length: options.sackCount },
      (_, i) => `{${options.sackEdges[i * 2]}:${options.sackEdges[i * 2 + 1]}}`,
    );
    shown.push(`sack ${options.sackCount} ${blocks.join("")}`);
  }
  const ack = (segment.flags & TCP_ACK) !== 0 ? `, ack ${segment.ack}` : "";
  const urgent = (segment.flags & TCP_URG) !== 0 ? `, urg ${segment.urgentPointer}` : "";
  const list = shown.length > 0 ? `, options [${shown.join(",")}]` : "";
  return `${ends ?? `TCP ${segment.sourcePort} > ${segment.destinationPort}`}: Flags [${
    formatTcpFlags(segment.flags)
  }], ` +
    `seq ${segment.seq}${ack}, win ${segment.window}${urgent}${list}, ` +
    `length ${segment.payloadEnd - segment.payloadStart}`;
}

function sackBlocksThatFit(header: TcpHeader, used: number): number {
  if (header.sackCount <= 0) return 0;
  const room = (TCP_HEADER_LENGTH + LONGEST_OPTIONS - used - 4) >>> 3;
  return header.sackCount < room ? header.sackCount : room;
}

function refusal(bytes: Uint8Array, start: number, end: number): DecodeError {
  const actual = end - start;
  let needed = TCP_HEADER_LENGTH, reason = "the header is cut off";
  if (actual >= TCP_HEADER_LENGTH) {
    const headerLength = tcpHeaderLength(bytes, start);
    if (headerLength < TCP_HEADER_LENGTH) reason = `the data offset says ${headerLength} bytes, less than 20`;
    else {
      needed = headerLength;
      reason = `the data offset says ${headerLength} bytes, past the end`;
    }
  }
  return new DecodeError("tcp", { offset: start, needed, actual, reason });
}
