/**
 * DNS messages (RFC 1035 section 4) and what EDNS adds to them (RFC 6891).
 *
 * A message is a header of 12 bytes, questions, and records in three sections. A name is a row of labels of at most 63
 * bytes each, of 255 bytes in all with their lengths, closed by an empty one; or it goes on at an earlier offset, by a
 * pointer (section 4.1.4).
 *
 * **Hot door.** `checkDns` takes a header and, where there are questions, a first one whose name is written out:
 * nothing stands before it that it could point to. The rest of a message is walked by `DnsRecords`, in one pass and
 * without following pointers, because what is wanted of a record (type, TTL, data) does not depend on its name.
 *
 * **Strict door.** `decodeDns` reads everything and follows pointers. Each must lead to before the labels that it ends,
 * so a loop cannot be written, and a name that grows beyond 255 bytes is refused.
 *
 * @module
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";

/** The port of DNS. */
export const DNS_PORT = 53;
/** Bytes of the header. */
export const DNS_HEADER_LENGTH = 12;
/** Most bytes of a name as it is written out (RFC 1035 section 2.3.4). */
export const DNS_NAME_MAX = 255;
/** What every client takes over UDP (RFC 1035 section 2.3.4). */
export const DNS_UDP_SIZE = 512;

/** Flag: this is an answer. */
export const DNS_QR = 0x8000;
/** Flag: the answer is that of the one who knows. */
export const DNS_AA = 0x0400;
/** Flag: the message was cut to fit. */
export const DNS_TC = 0x0200;
/** Flag: recursion is desired. */
export const DNS_RD = 0x0100;
/** Flag: recursion is to be had. */
export const DNS_RA = 0x0080;
/** Flag: the data is authentic (RFC 4035 section 3.2.3). */
export const DNS_AD = 0x0020;
/** Flag: the client checks signatures itself (RFC 4035 section 3.2.2). */
export const DNS_CD = 0x0010;

/** Response code: no error. */
export const DNS_NOERROR = 0;
/** Response code: the query could not be read. */
export const DNS_FORMERR = 1;
/** Response code: the server could not find out. */
export const DNS_SERVFAIL = 2;
/** Response code: there is no such name. */
export const DNS_NXDOMAIN = 3;
/** Response code: the server does not do such a thing. */
export const DNS_NOTIMP = 4;
/** Response code: the server will not. */
export const DNS_REFUSED = 5;
/** Response code that needs EDNS: its version is not known (RFC 6891 section 9). */
export const DNS_BADVERS = 16;

/** Record type: an IPv4 address. */
export const DNS_TYPE_A = 1;
/** Record type: a server of a zone. */
export const DNS_TYPE_NS = 2;
/** Record type: another name for it. */
export const DNS_TYPE_CNAME = 5;
/** Record type: the start of a zone. */
export const DNS_TYPE_SOA = 6;
/** Record type: the name of an address. */
export const DNS_TYPE_PTR = 12;
/** Record type: a server of mail. */
export const DNS_TYPE_MX = 15;
/** Record type: an IPv6 address. */
export const DNS_TYPE_AAAA = 28;
/** Record type: a server of a service. */
export const DNS_TYPE_SRV = 33;
/** Record type: another name for all names below (RFC 6672). */
export const DNS_TYPE_DNAME = 39;
/** Record type: not a record but what EDNS adds to the header. */
export const DNS_TYPE_OPT = 41;
/** Record type: the key of a zone below. */
export const DNS_TYPE_DS = 43;
/** Record type: the signature of other records. */
export const DNS_TYPE_RRSIG = 46;
/** Record type: a key of a zone. */
export const DNS_TYPE_DNSKEY = 48;
/** Record type: how a service is reached (RFC 9460). */
export const DNS_TYPE_SVCB = 64;
/** Record type: the same for HTTPS. */
export const DNS_TYPE_HTTPS = 65;
/** A type of question: the changes of a zone (RFC 1995). */
export const DNS_TYPE_IXFR = 251;
/** A type of question: a whole zone (RFC 5936). */
export const DNS_TYPE_AXFR = 252;
/** Question type: every record. */
export const DNS_TYPE_ANY = 255;
/** Class: the Internet. */
export const DNS_CLASS_IN = 1;

/** Flag in the TTL of an OPT record: the client takes signatures (RFC 3225). */
export const DNS_EDNS_DO = 0x8000;

const FLAGS = 2;
const QUESTIONS = 4;
const ANSWERS = 6;
const AUTHORITIES = 8;
const ADDITIONALS = 10;
/** Type and class after a name. */
const QUESTION_FIXED = 4;
/** Type, class, TTL and length after a name. */
const RECORD_FIXED = 10;
const POINTER = 0xc0;
const LABEL_MAX = 63;
const DOT = 0x2e;
const BACKSLASH = 0x5c;
/** Serial number and four times at the end of a SOA record. */
const SOA_FIXED = 20;

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [DNS_TYPE_A]: "A",
  [DNS_TYPE_NS]: "NS",
  [DNS_TYPE_CNAME]: "CNAME",
  [DNS_TYPE_SOA]: "SOA",
  [DNS_TYPE_PTR]: "PTR",
  [DNS_TYPE_MX]: "MX",
  16: "TXT",
  [DNS_TYPE_AAAA]: "AAAA",
  [DNS_TYPE_SRV]: "SRV",
  [DNS_TYPE_OPT]: "OPT",
  [DNS_TYPE_DS]: "DS",
  [DNS_TYPE_RRSIG]: "RRSIG",
  [DNS_TYPE_DNSKEY]: "DNSKEY",
  [DNS_TYPE_SVCB]: "SVCB",
  [DNS_TYPE_HTTPS]: "HTTPS",
  [DNS_TYPE_ANY]: "ANY",
};
const RCODE_NAMES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** A header's fields. */
export interface DnsHeader {
  /** Number that pairs answers with queries. */
  id: number;
  /** The second word: `DNS_QR` and so on, operation and response code. */
  flags: number;
  /** How many questions follow. */
  questions: number;
  /** How many records of the answer follow. */
  answers: number;
  /** How many records about authority follow. */
  authorities: number;
  /** How many additional records follow. */
  additionals: number;
}

/** A question. */
export interface DnsQuestion {
  /** The name as text, with a final dot; bytes that are no printable ASCII as `\DDD`. */
  name: string;
  /** Type of the records asked for. */
  type: number;
  /** Class of the records asked for. */
  class: number;
}

/** A record, decoded. */
export interface DnsRecord extends DnsQuestion {
  /** 1 answer, 2 authority, 3 additional. */
  section: number;
  /** Seconds for which it may be kept, as found. */
  ttl: number;
  /** Offset in the array of its data. */
  dataStart: number;
  /** Offset in the array after its data. */
  dataEnd: number;
}

/** A message, decoded. */
export interface DnsMessage extends DnsHeader {
  /** The questions. */
  question: DnsQuestion[];
  /** The records of all three sections, in order. */
  records: DnsRecord[];
}

/** A record to be written. */
export interface DnsRecordFields {
  /** Its name as text, or the offset in the message of an earlier one. */
  name: string | number;
  /** Its type. */
  type: number;
  /** Its class; in an OPT record the largest message that its sender takes over UDP. */
  class: number;
  /** Seconds for which it may be kept; in an OPT record flags. */
  ttl: number;
  /** Its data. */
  data: Uint8Array;
}

/** Whether `bytes[start, end)` begins with a header and, where it promises any, a first question. */
export function checkDns(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < DNS_HEADER_LENGTH) return false;
  if (dnsQuestionCount(bytes, start) === 0) return true;
  const name = skipName(bytes, start + DNS_HEADER_LENGTH, end, false);
  return name >= 0 && name + QUESTION_FIXED <= end;
}

/** Number that pairs answers with queries. */
export function dnsId(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset);
}

/** The second word of the header. */
export function dnsFlags(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + FLAGS);
}

/** How many questions the header promises. */
export function dnsQuestionCount(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + QUESTIONS);
}

/** How many records of the answer the header promises. */
export function dnsAnswerCount(bytes: Uint8Array, offset: number): number {
  return readUint16(bytes, offset + ANSWERS);
}

/** What is to be done, from the header's second word; 0: a query. */
export function dnsOpcode(flags: number): number {
  return (flags >>> 11) & 15;
}

/** The response code in the header's second word. */
export function dnsRcode(flags: number): number {
  return flags & 15;
}

/** Offset after the first question of a message that `checkDns` takes and that has one. */
export function dnsQuestionEnd(bytes: Uint8Array, offset: number, end: number): number {
  return skipName(bytes, offset + DNS_HEADER_LENGTH, end, false) + QUESTION_FIXED;
}

/** Type of the question that ends at `questionEnd`. */
export function dnsQuestionType(bytes: Uint8Array, questionEnd: number): number {
  return readUint16(bytes, questionEnd - 4);
}

/** Class of the question that ends at `questionEnd`. */
export function dnsQuestionClass(bytes: Uint8Array, questionEnd: number): number {
  return readUint16(bytes, questionEnd - 2);
}

/**
 * A byte of a name in lower case. Lengths of labels are below every letter and stay as they are (RFC 4343 section 3).
 */
export function dnsLowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

/** Writes another id. */
export function dnsSetId(bytes: Uint8Array, offset: number, id: number): void {
  writeUint16(bytes, offset, id);
}

/** Walks the records of a message that `checkDns` takes, in one pass. */
export class DnsRecords {
  /** 1 answer, 2 authority, 3 additional. */
  section = 1;
  /** Offset of its name. */
  nameAt = 0;
  /** Its type. */
  type = 0;
  /** Its class. */
  class = 0;
  /** Offset of its TTL. */
  ttlAt = 0;
  /** Offset of its data. */
  dataStart = 0;
  /** Offset after its data. */
  dataEnd = 0;
  /** Whether the walk has met something that is no record; it has ended then. */
  malformed = false;

  #bytes: Uint8Array;
  #start: number;
  #end: number;
  #at: number;
  #left: number;

  /** Stands before the first record of the message `bytes[start, end)`. */
  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#at = start + DNS_HEADER_LENGTH;
    this.#left = readUint16(bytes, start + ANSWERS);
    for (let i = dnsQuestionCount(bytes, start); i > 0 && !this.malformed; i--) this.#skip(QUESTION_FIXED);
  }

  /** Goes to the next record; false at the end, or where `malformed` is now set. */
  next(): boolean {
    if (this.malformed) return false;
    while (this.#left === 0) {
      if (this.section === 3) return false;
      this.#left = readUint16(this.#bytes, this.#start + (++this.section === 2 ? AUTHORITIES : ADDITIONALS));
    }
    this.#left--;
    this.nameAt = this.#at;
    const fixed = this.#skip(RECORD_FIXED), bytes = this.#bytes;
    if (this.malformed) return false;
    this.type = readUint16(bytes, fixed);
    this.class = readUint16(bytes, fixed + 2);
    this.ttlAt = fixed + 4;
    this.dataStart = fixed + RECORD_FIXED;
    this.dataEnd = this.#at = this.dataStart + readUint16(bytes, fixed + 8);
    this.malformed = this.dataEnd > this.#end;
    return !this.malformed;
  }

  /** The record's TTL in seconds; one with the first bit set is 0 (RFC 2181 section 8). */
  get ttl(): number {
    const ttl = readUint32(this.#bytes, this.ttlAt);
    return ttl > 0x7fffffff ? 0 : ttl;
  }

  /** Offset after the last record walked, or after the questions. */
  get end(): number {
    return this.#at;
  }

  /** How long the absence of a name may be kept, of a SOA record (RFC 2308 section 4); -1 where its data is none. */
  get soaMinimum(): number {
    const names = skipName(this.#bytes, this.dataStart, this.dataEnd, true);
    const fixed = names < 0 ? -1 : skipName(this.#bytes, names, this.dataEnd, true);
    if (fixed < 0 || fixed + SOA_FIXED !== this.dataEnd) return -1;
    return readUint32(this.#bytes, this.dataEnd - 4);
  }

  /** Goes past a name and the `fixed` bytes behind it; returns where these begin. */
  #skip(fixed: number): number {
    const after = skipName(this.#bytes, this.#at, this.#end, true);
    this.malformed = after < 0 || after + fixed > this.#end;
    this.#at = after + fixed;
    return after;
  }
}

/** Decodes the message `bytes[start, end)`. What follows the last record is ignored. Throws a `DecodeError`. */
export function decodeDns(bytes: Uint8Array, start: number = 0, end: number = bytes.length): DnsMessage {
  const refuse = (needed: number, reason: string) =>
    new DecodeError("dns", { offset: start, needed, actual: end - start, reason });
  if (end - start < DNS_HEADER_LENGTH) throw refuse(DNS_HEADER_LENGTH, "the header is cut off");
  if (!checkDns(bytes, start, end)) throw refuse(end - start + 1, "the first question is malformed");
  const message: DnsMessage = {
    id: dnsId(bytes, start),
    flags: dnsFlags(bytes, start),
    questions: dnsQuestionCount(bytes, start),
    answers: dnsAnswerCount(bytes, start),
    authorities: readUint16(bytes, start + AUTHORITIES),
    additionals: readUint16(bytes, start + ADDITIONALS),
    question: [],
    records: [],
  };
  let at = start + DNS_HEADER_LENGTH;
  const nameHere = () => {
    const name = readDnsName(bytes, { start, at, end });
    if (name === null) throw refuse(end - start + 1, `the name at offset ${at} is malformed`);
    return name;
  };
  for (let i = 0; i < message.questions; i++) {
    const name = nameHere(), fixed = skipName(bytes, at, end, true);
    at = fixed + QUESTION_FIXED;
    if (at > end) throw refuse(at - start, "a question is cut off");
    message.question.push({ name, type: readUint16(bytes, fixed), class: readUint16(bytes, fixed + 2) });
  }
  const records = new DnsRecords(bytes, start, end);
  for (at = records.end; records.next(); at = records.end) {
    const { section, type, ttl, dataStart, dataEnd } = records;
    message.records.push({ name: nameHere(), section, type, class: records.class, ttl, dataStart, dataEnd });
  }
  if (records.malformed) throw refuse(end - start + 1, `the record at offset ${at} is malformed`);
  return message;
}

/**
 * The name at `at` of the message `bytes[start, end)` as text, pointers followed; null where it is malformed: a label
 * of more than 63 bytes, more than 255 bytes in all, a pointer that does not lead back.
 */
export function readDnsName(bytes: Uint8Array, where: { start: number; at: number; end: number }): string | null {
  const { start, end } = where;
  let at = where.at, from = at, length = 1, text = "";
  for (;;) {
    if (at >= end) return null;
    const size = bytes[at]!;
    if (size === 0) return text === "" ? "." : text;
    if (size >= POINTER) {
      if (at + 2 > end) return null;
      const to = start + (readUint16(bytes, at) & 0x3fff);
      if (to >= from) return null;
      at = from = to;
      continue;
    }
    length += size + 1;
    if (size > LABEL_MAX || length > DNS_NAME_MAX || at + 1 + size > end) return null;
    for (let i = at + 1; i <= at + size; i++) text += escapeByte(bytes[i]!);
    text += ".";
    at += size + 1;
  }
}

/** Writes a header at `offset` and returns 12. */
export function encodeDnsHeader(bytes: Uint8Array, offset: number, header: DnsHeader): number {
  writeUint16(bytes, offset, header.id);
  writeUint16(bytes, offset + FLAGS, header.flags);
  writeUint16(bytes, offset + QUESTIONS, header.questions);
  writeUint16(bytes, offset + ANSWERS, header.answers);
  writeUint16(bytes, offset + AUTHORITIES, header.authorities);
  writeUint16(bytes, offset + ADDITIONALS, header.additionals);
  return DNS_HEADER_LENGTH;
}

/**
 * Writes a name at `offset`, written out, and returns its length. A final dot may be left out; `\DDD` stands for a
 * byte, a backslash before another character for that one. Throws a `RangeError` for an empty label, one of more than
 * 63 bytes, or more than 255 bytes in all.
 */
export function encodeDnsName(bytes: Uint8Array, offset: number, name: string): number {
  const refuse = (cause: string) => new RangeError(`Cannot encode DNS name "${name}": ${cause}`);
  const text = name === "." ? "" : name;
  let label = offset, at = offset + 1;
  for (let i = 0; i < text.length; i++) {
    let byte = text.charCodeAt(i);
    if (byte === DOT) {
      if (at === label + 1) throw refuse("a label is empty");
      bytes[label] = at - label - 1;
      label = at++;
      continue;
    }
    if (byte === BACKSLASH) {
      const digits = /^\d{3}/.exec(text.slice(i + 1));
      byte = digits ? Number(digits[0]) : text.charCodeAt(i + 1);
      i += digits ? 3 : 1;
    }
    if (!(byte <= 255)) throw refuse("a character is no byte");
    if (at - label > LABEL_MAX) throw refuse(`a label is longer than ${LABEL_MAX} bytes`);
    // Behind this byte comes the empty label.
    if (at - offset + 2 > DNS_NAME_MAX) throw refuse(`it is longer than ${DNS_NAME_MAX} bytes`);
    bytes[at++] = byte;
  }
  if (at > label + 1) {
    bytes[label] = at - label - 1;
    label = at;
  }
  bytes[label] = 0;
  return label + 1 - offset;
}

/** Writes a question at `offset` and returns its length. Throws as `encodeDnsName` does. */
export function encodeDnsQuestion(bytes: Uint8Array, offset: number, question: DnsQuestion): number {
  const fixed = offset + encodeDnsName(bytes, offset, question.name);
  writeUint16(bytes, fixed, question.type);
  writeUint16(bytes, fixed + 2, question.class);
  return fixed + QUESTION_FIXED - offset;
}

/** Writes a record at `offset` and returns its length. Throws as `encodeDnsName` does. */
export function encodeDnsRecord(bytes: Uint8Array, offset: number, record: DnsRecordFields): number {
  let fixed = offset;
  if (typeof record.name === "string") fixed += encodeDnsName(bytes, offset, record.name);
  else {
    writeUint16(bytes, offset, (POINTER << 8) | record.name);
    fixed += 2;
  }
  writeUint16(bytes, fixed, record.type);
  writeUint16(bytes, fixed + 2, record.class);
  writeUint32(bytes, fixed + 4, record.ttl);
  writeUint16(bytes, fixed + 8, record.data.length);
  bytes.set(record.data, fixed + RECORD_FIXED);
  return fixed + RECORD_FIXED + record.data.length - offset;
}

/** `DNS query 4660, A? example.org.`, `DNS answer 4660 NXDOMAIN, A? example.org., 0/1/0 records`. */
export function formatDns(message: DnsMessage): string {
  const { id, flags, question, answers, authorities, additionals } = message;
  const opcode = dnsOpcode(flags), rcode = dnsRcode(flags);
  const kind = flags & DNS_QR ? `answer ${id} ${RCODE_NAMES[rcode] ?? `RCODE ${rcode}`}` : `query ${id}`;
  const parts = [
    `DNS ${kind}`,
    ...(opcode === 0 ? [] : [`opcode ${opcode}`]),
    ...(flags & DNS_TC ? ["truncated"] : []),
    ...question.map(({ name, type }) => `${TYPE_NAMES[type] ?? `TYPE${type}`}? ${name}`),
    ...(answers + authorities + additionals > 0 ? [`${answers}/${authorities}/${additionals} records`] : []),
  ];
  return parts.join(", ");
}

/** Offset after the name at `at`, its pointers not followed; -1 where it is malformed or goes past `end`. */
function skipName(bytes: Uint8Array, at: number, end: number, pointers: boolean): number {
  const last = Math.min(end, at + DNS_NAME_MAX);
  for (;;) {
    if (at >= last) return -1;
    const size = bytes[at]!;
    if (size === 0) return at + 1;
    if (size >= POINTER) return pointers && at + 2 <= end ? at + 2 : -1;
    if (size > LABEL_MAX) return -1;
    at += size + 1;
  }
}

function escapeByte(byte: number): string {
  if (byte === DOT || byte === BACKSLASH) return "\\" + String.fromCharCode(byte);
  return byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "\\" + String(byte).padStart(3, "0");
}
