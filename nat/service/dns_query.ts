/**
 * A guest's DNS query, read as far as the gateway needs it, and the answers that are made from it without a resolver.
 *
 * **Keys.** Most queries are of one form: one question, and at most an OPT record without options. Two of them want the
 * same answer when name (in lower case, RFC 4343), type, class, the flags RD, AD and CD, the presence of EDNS and its
 * flag DO agree; these make the key. Every other message (an update, several questions, a signature, a cookie, a
 * question type that is no record type) has no key: it is passed on as it is, and its answer is for nobody else. While
 * names decide, each has one, since only what is in the key passes on (`plainDnsQuery`).
 *
 * **Answers** made here repeat the question as it was asked, letter by letter, and carry an OPT record where the query
 * had one (RFC 6891 section 6.1.1).
 *
 * @module
 */
import { readUint16 } from "../../net/wire/bytes.ts";
import {
  checkDns,
  DNS_AD,
  DNS_CD,
  DNS_CLASS_IN,
  DNS_EDNS_DO,
  DNS_HEADER_LENGTH,
  DNS_QR,
  DNS_RA,
  DNS_RD,
  DNS_TC,
  DNS_TYPE_OPT,
  DNS_UDP_SIZE,
  dnsFlags,
  dnsId,
  dnsLowerCase,
  dnsQuestionClass,
  dnsQuestionCount,
  dnsQuestionEnd,
  dnsQuestionType,
  type DnsRecordFields,
  DnsRecords,
  encodeDnsHeader,
  encodeDnsRecord,
} from "../../net/wire/dns.ts";

/** Size of UDP messages that answers made here advertise: with its headers it fits the least IPv6 packet. */
const EDNS_SIZE = 1232;
/** Flags that may be set in a query with a key; the operation must be 0. */
const KEY_FLAGS = DNS_RD | DNS_AD | DNS_CD;
/** From here to `LAST_META_TYPE` types are no records but transfers, signatures and the like (RFC 6895 section 3.1). */
const FIRST_META_TYPE = 128;
const LAST_META_TYPE = 255;
const OPCODE_MASK = 0x7800;
/** What stands in the text of a name as it is. */
const PLAIN = /^[a-z0-9_-]*$/;
const EMPTY = new Uint8Array(0);

/** A query. */
export interface DnsQuery {
  /** The number by which the guest knows it. */
  readonly id: number;
  /** The second word of its header. */
  readonly flags: number;
  /** Its question as asked, a copy; empty where there is not exactly one. */
  readonly question: Uint8Array;
  /** The question's name in lower case, its bytes as characters; empty where there is not exactly one question. */
  readonly name: string;
  /** The question's type. */
  readonly type: number;
  /** What queries for the same answer have in common; `null`: the answer is for this one alone. */
  readonly key: string | null;
  /** Largest answer that the guest takes over UDP. */
  readonly sizeLimit: number;
  /** Whether it has an OPT record. */
  readonly edns: boolean;
  /** The flags of its OPT record that an answer repeats: DO. */
  readonly ednsFlags: number;
  /** The version of EDNS that its OPT record asks for. */
  readonly ednsVersion: number;
  /** Whether something behind its question is malformed. */
  readonly isBroken: boolean;
}

/** Reads the query `bytes[start, end)`; null where it is malformed, or no query. */
export function readDnsQuery(bytes: Uint8Array, start: number, end: number): DnsQuery | null {
  if (!checkDns(bytes, start, end)) return null;
  const flags = dnsFlags(bytes, start);
  if (flags & DNS_QR) return null;
  const extras = readExtras(bytes, start, end);
  const { edns, ednsFlags, ednsVersion, sizeLimit, isBroken } = extras;
  const query = { id: dnsId(bytes, start), flags, edns, ednsFlags, ednsVersion, sizeLimit, isBroken };
  if (dnsQuestionCount(bytes, start) !== 1) return { ...query, question: EMPTY, name: "", type: 0, key: null };
  const questionStart = start + DNS_HEADER_LENGTH, questionEnd = dnsQuestionEnd(bytes, start, end);
  const question = bytes.slice(questionStart, questionEnd), type = dnsQuestionType(bytes, questionEnd);
  let name = "";
  for (let i = questionStart; i < questionEnd - 4; i++) name += String.fromCharCode(dnsLowerCase(bytes[i]!));
  const plain = extras.plain && (flags & ~KEY_FLAGS) === 0 && type !== DNS_TYPE_OPT &&
    (type < FIRST_META_TYPE || type > LAST_META_TYPE);
  const about = { name, type, flags, edns, ednsFlags };
  return { ...query, question, name, type, key: plain ? keyOf(about, dnsQuestionClass(bytes, questionEnd)) : null };
}

/** What there is to answer of a message that `readDnsQuery` does not take: its header, if that is one of a query. */
export function readDnsQueryHeader(bytes: Uint8Array, start: number, end: number): DnsQuery | null {
  if (end - start < DNS_HEADER_LENGTH || dnsFlags(bytes, start) & DNS_QR) return null;
  const header = new Uint8Array(DNS_HEADER_LENGTH);
  header.set(bytes.subarray(start, start + 4));
  return readDnsQuery(header, 0, header.length);
}

/** A query with one question of class IN, reduced to what passes on while names decide. It has a key. */
export function plainDnsQuery(query: DnsQuery): DnsQuery {
  const plain = { ...query, flags: query.flags & (DNS_RD | DNS_CD) };
  return { ...plain, key: keyOf(plain, DNS_CLASS_IN) };
}

/** Whether there is one question, and it is of class IN. */
export function isDnsInternet({ question }: DnsQuery): boolean {
  return question.at(-1) === DNS_CLASS_IN && question.at(-2) === 0;
}

function keyOf(
  { name, type, flags, edns, ednsFlags }: Pick<DnsQuery, "name" | "type" | "flags" | "edns" | "ednsFlags">,
  questionClass: number,
): string {
  return `${name}${type} ${questionClass} ${(flags & KEY_FLAGS) | (edns ? 1 : 0) | (ednsFlags ? 2 : 0)}`;
}

/**
 * Whether the question at `bytes[at]`, of a message that `checkDns` takes, is this one, whatever the case of its name.
 * A name that is the same byte by byte ends where it ends.
 */
export function sameDnsQuestion(question: Uint8Array, bytes: Uint8Array, at: number): boolean {
  const name = question.length - 4;
  for (let i = 0; i < name; i++) if (dnsLowerCase(question[i]!) !== dnsLowerCase(bytes[at + i]!)) return false;
  for (let i = name; i < question.length; i++) if (question[i] !== bytes[at + i]) return false;
  return true;
}

/**
 * A name as `DnsQuery.name` has it, as text: with a dot at its end, and `\DDD` for what is no letter, digit, `-` or
 * `_`.
 */
export function dnsNameText(name: string): string {
  if (name === "") return "";
  let text = "";
  for (let at = 0, length = name.charCodeAt(0); length > 0; at += 1 + length, length = name.charCodeAt(at)) {
    const label = name.slice(at + 1, at + 1 + length);
    text += `${PLAIN.test(label) ? label : escapeLabel(label)}.`;
  }
  return text === "" ? "." : text;
}

function escapeLabel(label: string): string {
  let text = "";
  for (const char of label) text += PLAIN.test(char) ? char : `\\${String(char.charCodeAt(0)).padStart(3, "0")}`;
  return text;
}

/** What is said in an answer that is made here. */
export interface DnsAnswerFields {
  /** Response code and flags of its own, such as `DNS_TC`. */
  readonly flags: number;
  /** The records that answer. */
  readonly answers?: readonly DnsRecordFields[];
  /** A SOA record: there is no answer for so long. */
  readonly authority?: DnsRecordFields;
  /** The upper bits of a response code that needs EDNS. Default 0. */
  readonly extendedRcode?: number;
  /** What an OPT record says beside its flags, if the query had one (RFC 6891 section 6.1.2). */
  readonly options?: Uint8Array;
}

/**
 * Writes an answer to `query` at `into[at]` and returns its length. With one record and a short name that is at most
 * 512 bytes.
 */
export function encodeDnsAnswer(into: Uint8Array, at: number, query: DnsQuery, fields: DnsAnswerFields): number {
  const { answers = [], authority } = fields;
  let end = at + encodeDnsHeader(into, at, {
    id: query.id,
    flags: DNS_QR | DNS_RA | (query.flags & (OPCODE_MASK | DNS_RD | DNS_CD)) | fields.flags,
    questions: query.question.length > 0 ? 1 : 0,
    answers: answers.length,
    authorities: authority ? 1 : 0,
    additionals: query.edns ? 1 : 0,
  });
  into.set(query.question, end);
  end += query.question.length;
  for (const answer of answers) end += encodeDnsRecord(into, end, answer);
  if (authority) end += encodeDnsRecord(into, end, authority);
  if (query.edns) {
    const ttl = (fields.extendedRcode ?? 0) << 24 | query.ednsFlags, data = fields.options ?? EMPTY;
    end += encodeDnsRecord(into, end, { name: ".", type: DNS_TYPE_OPT, class: EDNS_SIZE, ttl, data });
  }
  return end - at;
}

/**
 * Writes a query with a key anew, as resolvers are asked it, and returns its length. Of what the guest wrote only name
 * (in lower case), type, class, RD, AD, CD and, by EDNS, DO are in it.
 */
export function encodeDnsQuery(into: Uint8Array, at: number, query: DnsQuery): number {
  const { id, flags, question, edns, ednsFlags } = query, name = question.length - 4;
  let end = at + encodeDnsHeader(into, at, {
    id,
    flags,
    questions: 1,
    answers: 0,
    authorities: 0,
    additionals: edns ? 1 : 0,
  });
  for (let i = 0; i < question.length; i++) into[end++] = i < name ? dnsLowerCase(question[i]!) : question[i]!;
  if (edns) {
    const opt = { name: ".", type: DNS_TYPE_OPT, class: EDNS_SIZE, ttl: ednsFlags, data: EMPTY };
    end += encodeDnsRecord(into, end, opt);
  }
  return end - at;
}

/** Writes an answer that tells the guest to ask over TCP (RFC 2181 section 9) and returns its length. */
export function encodeTruncatedDnsAnswer(into: Uint8Array, at: number, query: DnsQuery): number {
  return encodeDnsAnswer(into, at, query, { flags: DNS_TC });
}

interface Extras {
  /** No record but an OPT record of version 0 without options, and nothing behind. */
  plain: boolean;
  edns: boolean;
  ednsFlags: number;
  ednsVersion: number;
  sizeLimit: number;
  isBroken: boolean;
}

function readExtras(bytes: Uint8Array, start: number, end: number): Extras {
  const limits = { sizeLimit: DNS_UDP_SIZE, isBroken: false };
  const extras: Extras = { plain: true, edns: false, ednsFlags: 0, ednsVersion: 0, ...limits };
  const records = new DnsRecords(bytes, start, end);
  while (records.next()) {
    if (records.type !== DNS_TYPE_OPT || records.section !== 3 || extras.edns) {
      extras.plain = false;
      // There may be one OPT record (RFC 6891 section 6.1.1).
      if (records.type === DNS_TYPE_OPT) extras.isBroken = true;
      continue;
    }
    // The TTL of an OPT record is extended response code, version and flags (RFC 6891 section 6.1.3).
    const version = readUint16(bytes, records.ttlAt), flags = readUint16(bytes, records.ttlAt + 2);
    extras.edns = true;
    extras.ednsFlags = flags & DNS_EDNS_DO;
    extras.ednsVersion = version & 0xff;
    extras.sizeLimit = Math.max(records.class, DNS_UDP_SIZE);
    if (version !== 0 || flags !== extras.ednsFlags || records.dataEnd !== records.dataStart) extras.plain = false;
  }
  if (records.malformed || records.end !== end) {
    extras.plain = false;
    extras.isBroken = true;
  }
  return extras;
}
