/**
 * DNS64: IPv6 addresses for names that have only IPv4 ones (RFC 6147), for guests that reach IPv4 by NAT64.
 *
 * A guest asks for AAAA. If the resolvers' answer has none (`lacksIpv6`), they are asked for A, and each address of
 * that answer is put behind 64:ff9b::/96, which leads back to it (`rules/translate.ts`). The chain of aliases that led
 * there is kept. A name that does not exist is not asked for twice, and a name that has an IPv6 address keeps it.
 *
 * **Not for everything.** IPv4 addresses that are never relayed are left out, loopback for example. A question with the
 * flag CD is from a guest that checks signatures by itself, and gets what the resolvers say (section 5.5).
 *
 * **ipv4only.arpa** tells a guest that this is so, and behind which prefix (RFC 7050). Its addresses are known, so no
 * resolver is asked (RFC 8880 section 7.1).
 *
 * Names of addresses under 64:ff9b::/96: `dns64_names.ts`.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { readUint32, writeUint16 } from "../../net/wire/bytes.ts";
import {
  DNS_AA,
  DNS_CD,
  DNS_CLASS_IN,
  DNS_HEADER_LENGTH,
  DNS_NAME_MAX,
  DNS_NXDOMAIN,
  DNS_TC,
  DNS_TYPE_A,
  DNS_TYPE_AAAA,
  DNS_TYPE_ANY,
  DNS_TYPE_CNAME,
  DNS_TYPE_SOA,
  dnsFlags,
  dnsOpcode,
  dnsRcode,
  type DnsRecordFields,
  DnsRecords,
  encodeDnsName,
  readDnsName,
} from "../../net/wire/dns.ts";
import { findReserved, NAT64_PREFIX } from "../rules/policy.ts";
import { type DnsQuery, encodeDnsAnswer, isDnsInternet } from "./dns_query.ts";

/** Longest life in seconds of what is made here, if the resolvers do not say how long a name has no IPv6 address. */
const MOST_TTL_S = 600;
/** Life in seconds of the addresses of ipv4only.arpa, which never change. */
const KNOWN_TTL_S = 3600;
/** The addresses of ipv4only.arpa (RFC 7050 section 8.2). */
const KNOWN = ["192.0.0.170", "192.0.0.171"].map(IpAddress.parse);
const KNOWN_NAME = "\x08ipv4only\x04arpa\0";
/** Bytes of the longest answer that is made here: what fits into a message over TCP. */
export const DNS64_MOST = 0xffff;
/** Bytes of its records, so that header, question and OPT record have room too. */
const MOST_RECORDS = DNS64_MOST - 512;
/** Bytes of a record beside its name and data, and of a name beside its text. */
const FIXED = 10 + 2;
const IPV6_LENGTH = 16;
const IPV4_LENGTH = 4;
const NOTHING: readonly DnsRecordFields[] = [];

/** Part of a buffer that holds a message which `checkDns` takes. */
export interface DnsBytes {
  /** The buffer. */
  readonly bytes: Uint8Array;
  /** Where the message begins. */
  readonly start: number;
  /** Where it ends. */
  readonly end: number;
}

/** Whether a question's answer may be made here. */
export function isForDns64(query: DnsQuery): boolean {
  return query.key !== null && query.type === DNS_TYPE_AAAA && (query.flags & DNS_CD) === 0 && isDnsInternet(query);
}

/** Whether this answer to a question for AAAA says that the name has no IPv6 address that a guest can use. */
export function lacksIpv6({ bytes, start, end }: DnsBytes): boolean {
  const flags = dnsFlags(bytes, start), records = new DnsRecords(bytes, start, end);
  if (dnsRcode(flags) === DNS_NXDOMAIN || flags & DNS_TC) return false;
  while (records.next() && records.section === 1) {
    const { dataStart, dataEnd } = records;
    if (records.type !== DNS_TYPE_AAAA || dataEnd - dataStart !== IPV6_LENGTH) continue;
    // An IPv4-mapped address is one that no packet can have (RFC 6147 section 5.1.4).
    if (!IpAddress.fromBytes(bytes.subarray(dataStart, dataEnd)).isIpv4) return false;
  }
  return !records.malformed;
}

/** How long an answer without IPv6 addresses says that this holds, in seconds. */
export function lackTtl({ bytes, start, end }: DnsBytes): number {
  const records = new DnsRecords(bytes, start, end);
  while (records.next()) {
    if (records.section === 2 && records.type === DNS_TYPE_SOA) return Math.min(records.ttl, records.soaMinimum);
  }
  return MOST_TTL_S;
}

/** The question for A that belongs to this one for AAAA. */
export function ipv4QueryOf(query: DnsQuery): DnsQuery {
  const question = query.question.slice();
  writeUint16(question, question.length - 4, DNS_TYPE_A);
  return { ...query, question, type: DNS_TYPE_A };
}

/**
 * Writes the answer to `query`, for AAAA, that follows from `ipv4`, the answer for A, at `into[at]`, and returns its
 * length, at most `DNS64_MOST`; 0 if nothing follows. No record lives longer than `ttl` seconds.
 */
export function encodeDns64Answer(
  into: Uint8Array,
  at: number,
  { query, ipv4, ttl }: { query: DnsQuery; ipv4: DnsBytes; ttl: number },
): number {
  const { bytes, start, end } = ipv4, flags = dnsFlags(bytes, start);
  const answers = dnsRcode(flags) === 0 ? translated({ bytes, start, end }, ttl) : NOTHING;
  if (!answers.some(({ type }) => type === DNS_TYPE_AAAA) || sizeOf(answers) > MOST_RECORDS) return 0;
  // Not AD: what is made here has no signature, whatever the resolvers have checked.
  return encodeDnsAnswer(into, at, query, { flags: flags & DNS_AA, answers });
}

/** Writes the answer to a query for ipv4only.arpa at `into[at]` and returns its length; 0 for another name. */
export function encodeIpv4OnlyAnswer(into: Uint8Array, at: number, query: DnsQuery): number {
  const { name, type, flags } = query;
  if (name !== KNOWN_NAME || dnsOpcode(flags) !== 0 || !isDnsInternet(query)) return 0;
  const ipv4 = KNOWN.map((address) => recordOf(DNS_TYPE_A, bytesOf(address)));
  const ipv6 = KNOWN.map((address) => recordOf(DNS_TYPE_AAAA, bytesOf(behindPrefix(address.ipv4))));
  const answers = type === DNS_TYPE_ANY
    ? [...ipv4, ...ipv6]
    : type === DNS_TYPE_A
    ? ipv4
    : type === DNS_TYPE_AAAA
    ? ipv6
    : NOTHING;
  return encodeDnsAnswer(into, at, query, { flags: DNS_AA, answers });
}

/** The aliases and addresses of an answer for A, as they are in one for AAAA. Nothing if it is malformed. */
function translated({ bytes, start, end }: DnsBytes, most: number): readonly DnsRecordFields[] {
  const records = new DnsRecords(bytes, start, end), found: DnsRecordFields[] = [];
  let nameAt = records.end;
  for (; records.next() && records.section === 1; nameAt = records.end) {
    const { type, dataStart, dataEnd } = records, name = readDnsName(bytes, { start, at: nameAt, end });
    if (name === null) return NOTHING;
    const fields = { name, class: DNS_CLASS_IN, ttl: Math.min(records.ttl, most) };
    if (type === DNS_TYPE_CNAME) {
      const target = readDnsName(bytes, { start, at: dataStart, end });
      if (target === null) return NOTHING;
      found.push({ ...fields, type, data: wireName(target) });
    } else if (type === DNS_TYPE_A && dataEnd - dataStart === IPV4_LENGTH) {
      const number = readUint32(bytes, dataStart);
      if (findReserved(4, IpAddress.fromIpv4(number)) !== undefined) continue;
      found.push({ ...fields, type: DNS_TYPE_AAAA, data: bytesOf(behindPrefix(number)) });
    }
  }
  return records.malformed ? NOTHING : found;
}

function sizeOf(records: readonly DnsRecordFields[]): number {
  let size = 0;
  for (const { name, data } of records) size += FIXED + data.length + (typeof name === "string" ? name.length : 0);
  return size;
}

function recordOf(type: number, data: Uint8Array): DnsRecordFields {
  return { name: DNS_HEADER_LENGTH, type, class: DNS_CLASS_IN, ttl: KNOWN_TTL_S, data };
}

function behindPrefix(ipv4: number): IpAddress {
  const { w0, w1, w2 } = NAT64_PREFIX.address;
  return new IpAddress(w0, w1, w2, ipv4);
}

function bytesOf(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(IPV6_LENGTH);
  return bytes.subarray(0, address.writeTo(bytes, 0));
}

function wireName(name: string): Uint8Array {
  const bytes = new Uint8Array(DNS_NAME_MAX);
  return bytes.subarray(0, encodeDnsName(bytes, 0, name));
}
