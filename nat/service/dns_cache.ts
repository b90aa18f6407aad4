/**
 * DNS answers kept for as long as they say, bounded in number and in bytes.
 *
 * **What is kept** (`lifeOfDnsAnswer`): whole answers that are well-formed to their last byte. With records of the type
 * that was asked for, until the least TTL of all their records. Without (NXDOMAIN, or no record of the type), for the
 * lesser of the SOA record's TTL and its MINIMUM field, and not at all without a SOA record (RFC 2308 sections 4 and
 * 5). SERVFAIL for 5 s (RFC 9520). Never what was truncated, has another response code, or a TTL of 0. No life is
 * longer than an hour.
 *
 * **How it ages.** An answer is given out with every TTL less its age in whole seconds; where nothing was found also
 * not more than is left of its life, because the next cache down keeps it by MINIMUM again.
 *
 * **Bounds.** The entry longest unused makes room. What is over is dropped when it is asked for or when its turn to
 * make room has come: no timer is needed, since the bounds hold anyway.
 *
 * @module
 */
import { readUint32, writeUint32 } from "../../net/wire/bytes.ts";
import {
  DNS_NOERROR,
  DNS_NXDOMAIN,
  DNS_SERVFAIL,
  DNS_TC,
  DNS_TYPE_OPT,
  DNS_TYPE_SOA,
  dnsFlags,
  dnsRcode,
  DnsRecords,
} from "../../net/wire/dns.ts";

/** Answers that may be kept at once. */
export const MAX_DNS_ENTRIES = 1024;
/** Bytes that they may take, what keeps them included. */
export const MAX_DNS_CACHE_BYTES: number = 1 << 20;
/** Longest life of an answer in seconds. */
export const MAX_DNS_LIFE_S = 3600;
/** Life of a failure in seconds. */
export const DNS_FAILURE_LIFE_S = 5;

/** What an entry costs beside its bytes, about. */
const ENTRY_COST = 200;

/** How long an answer may be kept, and how. */
export interface DnsLife {
  /** Seconds; 0: not at all. */
  readonly seconds: number;
  /** Whether it says that there is nothing. */
  readonly negative: boolean;
  /** Offsets of its TTLs, from the beginning of the message. */
  readonly ttls: readonly number[];
}

interface Entry {
  readonly bytes: Uint8Array;
  readonly life: DnsLife;
  readonly since: number;
}

const NO_LIFE: DnsLife = { seconds: 0, negative: false, ttls: [] };

/**
 * How long the answer `bytes[start, end)` to a question for `type` may be kept. The message is one that `checkDns`
 * takes.
 */
export function lifeOfDnsAnswer(bytes: Uint8Array, start: number, end: number, type: number): DnsLife {
  const flags = dnsFlags(bytes, start), rcode = dnsRcode(flags), ttls: number[] = [];
  if (flags & DNS_TC || (rcode !== DNS_NOERROR && rcode !== DNS_NXDOMAIN && rcode !== DNS_SERVFAIL)) return NO_LIFE;
  const records = new DnsRecords(bytes, start, end);
  let seconds = MAX_DNS_LIFE_S, found = false, minimum = -1;
  while (records.next()) {
    if (records.type === DNS_TYPE_OPT) {
      // The upper bits of a response code that is none of the above (RFC 6891 section 6.1.3).
      if (bytes[records.ttlAt] !== 0) return NO_LIFE;
      continue;
    }
    ttls.push(records.ttlAt - start);
    seconds = Math.min(seconds, records.ttl);
    if (records.section === 1 && records.type === type) found = true;
    if (records.section === 2 && records.type === DNS_TYPE_SOA) minimum = records.soaMinimum;
  }
  if (records.malformed || records.end !== end) return NO_LIFE;
  if (rcode === DNS_SERVFAIL) return { seconds: Math.min(seconds, DNS_FAILURE_LIFE_S), negative: true, ttls };
  const negative = rcode === DNS_NXDOMAIN || !found;
  if (!negative) return { seconds, negative, ttls };
  return minimum < 0 ? NO_LIFE : { seconds: Math.min(seconds, minimum), negative, ttls };
}

/** Answers by key. */
export class DnsCache {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  /** The one longest unused first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** An empty cache, of `MAX_DNS_ENTRIES` and `MAX_DNS_CACHE_BYTES` unless told otherwise. */
  constructor(limits: { entries?: number; bytes?: number } = {}) {
    this.#maxEntries = limits.entries ?? MAX_DNS_ENTRIES;
    this.#maxBytes = limits.bytes ?? MAX_DNS_CACHE_BYTES;
  }

  /** Answers kept. */
  get size(): number {
    return this.#entries.size;
  }

  /** Bytes that they take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a copy of the answer `bytes[start, end)` to a question for `type` where it may be kept at `now` (ms). */
  put(key: string, answer: { bytes: Uint8Array; start: number; end: number; type: number }, now: number): void {
    const { bytes, start, end } = answer, life = lifeOfDnsAnswer(bytes, start, end, answer.type);
    if (life.seconds <= 0) return;
    this.#delete(key);
    const entry = { bytes: bytes.slice(start, end), life, since: now };
    if (costOf(key, entry) > this.#maxBytes) return;
    this.#entries.set(key, entry);
    this.#bytes += costOf(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries && this.#bytes <= this.#maxBytes) break;
      this.#delete(oldest);
    }
  }

  /** Writes what is kept under `key` to `into[at]`, aged to `now`, and returns its length; 0 where there is nothing. */
  read(key: string, now: number, into: Uint8Array, at: number): number {
    const entry = this.#entries.get(key);
    if (entry === undefined) return 0;
    const { bytes, life } = entry, age = Math.floor((now - entry.since) / 1000);
    if (age >= life.seconds) {
      this.#delete(key);
      return 0;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    into.set(bytes, at);
    for (const offset of life.ttls) {
      const left = Math.max(0, readUint32(bytes, offset) - age);
      writeUint32(into, at + offset, life.negative ? Math.min(left, life.seconds - age) : left);
    }
    return bytes.length;
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= costOf(key, entry);
  }
}

function costOf(key: string, entry: Entry): number {
  return ENTRY_COST + key.length + entry.bytes.length + 8 * entry.life.ttls.length;
}
