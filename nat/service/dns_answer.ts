/**
 * What an answer says of the name that was asked: where its chain of aliases leads, which addresses stand at its end,
 * and which other names it names.
 *
 * Only the section of answers counts, class IN, and of that what belongs to the question: records of a name to which
 * the chain does not lead say nothing of the name that was asked. Nothing is concluded from a message that is not
 * well-formed to its last byte.
 *
 * Names are in wire form and lower case, as `DnsQuery.name` has them.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import {
  DNS_CLASS_IN,
  DNS_HEADER_LENGTH,
  DNS_TYPE_A,
  DNS_TYPE_AAAA,
  DNS_TYPE_CNAME,
  dnsQuestionCount,
  DnsRecords,
} from "../../net/wire/dns.ts";
import { dnsLowerName, dnsTargetOf, readDnsWireName } from "../../net/wire/dns_data.ts";
import type { DnsBytes } from "./dns64.ts";

/** An address or a name, and for how many seconds the answer says so. */
export interface DnsFound<T> {
  /** What was found. */
  readonly value: T;
  /** Seconds. */
  readonly ttl: number;
}

/** What an answer says. */
export interface DnsFacts {
  /** The aliases on the way, in order: the last one has the records. */
  readonly cnames: readonly DnsFound<string>[];
  /** The addresses. */
  readonly addresses: readonly DnsFound<IpAddress>[];
  /** Names that its records of services and of mail name. */
  readonly targets: readonly DnsFound<string>[];
}

interface Named<T> extends DnsFound<T> {
  readonly owner: string;
}

/** The first two bytes of a record whose name is that of the question. */
const SAME_NAME = 0xc000 | DNS_HEADER_LENGTH;

/** What the answer to a question for `name` says; null if it is malformed. */
export function readDnsFacts({ bytes, start, end }: DnsBytes, name: string): DnsFacts | null {
  // An answer without the question is one that a resolver gives if it could not read that.
  const records = new DnsRecords(bytes, start, end), isAbout = dnsQuestionCount(bytes, start) === 1;
  const aliases: Named<string>[] = [], addresses: Named<IpAddress>[] = [], targets: Named<string>[] = [];
  while (records.next()) {
    const { section, type, nameAt, dataStart, dataEnd, ttl } = records;
    if (!isAbout || section !== 1 || records.class !== DNS_CLASS_IN) continue;
    const isAddress = type === DNS_TYPE_A || type === DNS_TYPE_AAAA;
    const target = isAddress ? "" : dnsTargetOf(type, bytes, { start, at: dataStart, end: dataEnd });
    if (target === null) return null;
    if (!isAddress && target === "") continue;
    const owner = ownerOf({ bytes, start, end }, nameAt, name);
    if (owner === null) return null;
    if (isAddress) {
      const address = addressOf(type, bytes, dataStart, dataEnd);
      if (address === null) return null;
      addresses.push({ owner, value: address, ttl });
    } else (type === DNS_TYPE_CNAME ? aliases : targets).push({ owner, value: target, ttl });
  }
  if (records.malformed || records.end !== end) return null;
  const cnames = chainFrom(name, aliases), last = cnames.at(-1);
  return { cnames, addresses: atEnd(addresses, last, name), targets: atEnd(targets, last, name) };
}

/** What belongs to the last name of a chain, for as long as that holds; `name` if there is no chain. */
function atEnd<T>(
  found: readonly Named<T>[],
  last: DnsFound<string> | undefined,
  name: string,
): readonly DnsFound<T>[] {
  const owned = last?.value ?? name,
    own = found.every(({ owner }) => owner === owned) ? found : found.filter(({ owner }) => owner === owned);
  return last === undefined ? own : own.map(({ value, ttl }) => ({ value, ttl: Math.min(ttl, last.ttl) }));
}

/** The address in the data of an A or AAAA record; null if that is none. */
export function addressOf(type: number, bytes: Uint8Array, start: number, end: number): IpAddress | null {
  return end - start === (type === DNS_TYPE_A ? 4 : 16) ? IpAddress.fromBytes(bytes.subarray(start, end)) : null;
}

function ownerOf({ bytes, start, end }: DnsBytes, at: number, name: string): string | null {
  if (bytes[at]! << 8 === (SAME_NAME & 0xff00) && bytes[at + 1] === (SAME_NAME & 0xff)) return name;
  const owner = readDnsWireName(bytes, { start, at, end });
  return owner === null ? null : dnsLowerName(owner);
}

/** The aliases that lead on from `name`, each for as long as all before it. A circle ends where it closes. */
function chainFrom(name: string, aliases: readonly Named<string>[]): DnsFound<string>[] {
  const chain: DnsFound<string>[] = [];
  if (aliases.length === 0) return chain;
  const seen = new Set([name]);
  let from = name, least = Infinity;
  for (;;) {
    const next = aliases.find(({ owner }) => owner === from);
    if (next === undefined || seen.has(next.value)) return chain;
    least = Math.min(least, next.ttl);
    chain.push({ value: next.value, ttl: least });
    seen.add(from = next.value);
  }
}
