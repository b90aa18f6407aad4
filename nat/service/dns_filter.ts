/**
 * Takes out of an answer what a guest must not get from it: addresses that rules do not let it have, and of HTTPS and
 * SVCB records what would hide to whom it talks (`ech`) or lead it past DNS (address hints).
 *
 * An answer from which nothing goes stays as it is, byte by byte. Another one is written anew: each record with its
 * names written out, since what they were cut short by may be gone; only the name of a record, if it is that of the
 * question or of an earlier record, is a pointer again. With an address goes the signature of the addresses beside it,
 * which would not fit any more, and with anything the flag AD: what is left is not what was signed.
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "../../net/wire/bytes.ts";
import {
  DNS_AD,
  DNS_CLASS_IN,
  DNS_HEADER_LENGTH,
  DNS_NAME_MAX,
  DNS_TYPE_A,
  DNS_TYPE_AAAA,
  DNS_TYPE_CNAME,
  DNS_TYPE_DNAME,
  DNS_TYPE_HTTPS,
  DNS_TYPE_RRSIG,
  DNS_TYPE_SVCB,
  dnsFlags,
  dnsId,
  dnsQuestionCount,
  dnsQuestionEnd,
  DnsRecords,
  encodeDnsHeader,
} from "../../net/wire/dns.ts";
import {
  dnsLowerName,
  expandDnsData,
  readDnsWireName,
  SVC_ECH,
  SVC_IPV4_HINT,
  SVC_IPV6_HINT,
  withoutSvcParams,
  writeDnsWireName,
} from "../../net/wire/dns_data.ts";
import type { DnsBytes } from "./dns64.ts";
import { addressOf } from "./dns_answer.ts";

/** What is taken out. */
export interface DnsFilter {
  /** Whether an address stays. */
  readonly keeps: (address: IpAddress) => boolean;
  /** Whether `ech` and address hints go. */
  readonly strips: boolean;
}

/** An answer from which something was taken out. */
export interface DnsFiltered {
  /** What: addresses, `ech`, `ipv4hint`, `ipv6hint`; each once. */
  readonly removed: readonly string[];
  /** The answer without that; null: it is too large for any message. */
  readonly message: Uint8Array | null;
  /** Whether addresses of the answer are gone, and nothing but the chain that led to them is left of it. */
  readonly isEmpty: boolean;
}

interface Kept {
  readonly section: number;
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly data: Uint8Array;
}

const PARAM_NAMES: ReadonlyMap<number, string> = new Map([
  [SVC_ECH, "ech"],
  [SVC_IPV4_HINT, "ipv4hint"],
  [SVC_IPV6_HINT, "ipv6hint"],
]);
const PARAMS: readonly number[] = [...PARAM_NAMES.keys()];
/** Types of records that lead to others and are nothing without these. */
const OF_CHAINS: readonly number[] = [DNS_TYPE_CNAME, DNS_TYPE_DNAME, DNS_TYPE_RRSIG];
const MOST_MESSAGE = 0xffff;
/** Bytes of header and question, at most. */
const MOST_BEFORE = DNS_HEADER_LENGTH + DNS_NAME_MAX + 4;
/** Type, class, TTL and length of a record. */
const RECORD_FIXED = 10;
/** Offsets below this one can be pointed to. */
const POINTABLE = 0x4000;

/** Filters the answer; `unchanged` if nothing goes, null if it is malformed. */
export function filterDnsAnswer(answer: DnsBytes, filter: DnsFilter): DnsFiltered | "unchanged" | null {
  const read = readKept(answer, filter);
  if (read === null || read === "unchanged") return read;
  const { removed, changed, had } = read;
  const kept = read.kept.filter((record) => !isSignatureOf(record, changed));
  const isLeft = kept.some(({ section, type }) => section === 1 && !OF_CHAINS.includes(type));
  return { removed: [...removed], message: write(answer, kept), isEmpty: had && !isLeft };
}

interface Read {
  readonly kept: readonly Kept[];
  readonly removed: ReadonlySet<string>;
  /** Names and types of which a record is gone or another. */
  readonly changed: ReadonlySet<string>;
  /** Whether an address of the answer is gone. */
  readonly had: boolean;
}

function readKept(answer: DnsBytes, filter: DnsFilter): Read | "unchanged" | null {
  const { bytes, start, end } = answer, records = new DnsRecords(bytes, start, end);
  const kept: Kept[] = [], removed = new Set<string>(), changed = new Set<string>();
  let had = false;
  while (records.next()) {
    const { section, type, nameAt, dataStart, dataEnd } = records, place = { start, at: dataStart, end: dataEnd };
    const name = readDnsWireName(bytes, { start, at: nameAt, end });
    let data = expandDnsData(type, bytes, place);
    if (name === null || data === null) return null;
    const isInternet = records.class === DNS_CLASS_IN;
    if (isInternet && isAddressType(type)) {
      const address = addressOf(type, bytes, dataStart, dataEnd);
      if (address === null) return null;
      if (!filter.keeps(address)) {
        removed.add(`${address}`);
        changed.add(setOf(name, type));
        had ||= section === 1;
        continue;
      }
    } else if (isInternet && filter.strips && (type === DNS_TYPE_HTTPS || type === DNS_TYPE_SVCB)) {
      const left = withoutSvcParams(bytes, place, PARAMS);
      if (left === null) return null;
      for (const key of left.removed) removed.add(PARAM_NAMES.get(key)!);
      if (left.removed.length > 0) changed.add(setOf(name, type));
      data = left.data;
    }
    kept.push({ section, name, type, class: records.class, ttl: readUint32(bytes, records.ttlAt), data });
  }
  if (records.malformed || records.end !== end) return null;
  return removed.size === 0 ? "unchanged" : { kept, removed, changed, had };
}

function write({ bytes, start, end }: DnsBytes, kept: readonly Kept[]): Uint8Array | null {
  const inSection = (section: number) => kept.filter((record) => record.section === section).length;
  const questions = dnsQuestionCount(bytes, start), names = new Map<string, number>();
  const size = kept.reduce((sum, { name, data }) => sum + name.length + RECORD_FIXED + data.length, MOST_BEFORE);
  const into = new Uint8Array(Math.min(size, MOST_MESSAGE));
  let at = encodeDnsHeader(into, 0, {
    id: dnsId(bytes, start),
    flags: dnsFlags(bytes, start) & ~DNS_AD,
    questions,
    answers: inSection(1),
    authorities: inSection(2),
    additionals: inSection(3),
  });
  if (questions === 1) {
    const questionEnd = dnsQuestionEnd(bytes, start, end), question = bytes.subarray(start + at, questionEnd);
    into.set(question, at);
    names.set(String.fromCharCode(...question.subarray(0, -4)), DNS_HEADER_LENGTH);
    at += question.length;
  }
  for (const { name, type, class: klass, ttl, data } of kept) {
    const known = names.get(name), needed = (known === undefined ? name.length : 2) + RECORD_FIXED + data.length;
    if (at + needed > MOST_MESSAGE) return null;
    if (known === undefined) {
      if (at < POINTABLE && name.length > 2) names.set(name, at);
      at += writeDnsWireName(into, at, name);
    } else {
      writeUint16(into, at, 0xc000 | known);
      at += 2;
    }
    writeUint16(into, at, type);
    writeUint16(into, at + 2, klass);
    writeUint32(into, at + 4, ttl);
    writeUint16(into, at + 8, data.length);
    into.set(data, at + RECORD_FIXED);
    at += RECORD_FIXED + data.length;
  }
  return into.slice(0, at);
}

/** Whether a record signs others of which one is gone or another; it says of which type these are. */
function isSignatureOf({ name, type, data }: Kept, changed: ReadonlySet<string>): boolean {
  return type === DNS_TYPE_RRSIG && data.length >= 2 && changed.has(setOf(name, readUint16(data, 0)));
}

function isAddressType(type: number): boolean {
  return type === DNS_TYPE_A || type === DNS_TYPE_AAAA;
}

function setOf(name: string, type: number): string {
  return `${type} ${dnsLowerName(name)}`;
}
