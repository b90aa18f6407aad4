/**
 * What stands in the data of DNS records: names, and the parameters of SVCB and HTTPS.
 *
 * **Names** may be cut short by pointers to earlier parts of the message, but only in types of RFC 1035, and in a few
 * more in which old servers do it and a reader has to expect it, SRV above all (RFC 3597 section 4). Who moves a record
 * to another message writes its names out (`expandDnsData`). The data of every other type is the same bytes wherever it
 * stands.
 *
 * **Service parameters** (RFC 9460 section 2.2) are a row of key, length and value behind a priority and a name that is
 * always written out. `withoutSvcParams` leaves some out, and with them what `mandatory` says of them: a parameter that
 * is mandatory and missing would make the whole record void (section 8).
 *
 * Names here are in wire form, a character for each byte, with the empty label at the end: in this form names can be
 * keys of maps, and no byte of them is lost.
 *
 * @module
 */
import { readUint16, writeUint16 } from "./bytes.ts";
import {
  DNS_NAME_MAX,
  DNS_TYPE_CNAME,
  DNS_TYPE_DNAME,
  DNS_TYPE_HTTPS,
  DNS_TYPE_MX,
  DNS_TYPE_NS,
  DNS_TYPE_PTR,
  DNS_TYPE_SOA,
  DNS_TYPE_SRV,
  DNS_TYPE_SVCB,
  dnsLowerCase,
} from "./dns.ts";

/** Service parameter: which others a client must understand. */
export const SVC_MANDATORY = 0;
/** Service parameter: IPv4 addresses of the target, as hints. */
export const SVC_IPV4_HINT = 4;
/** Service parameter: how to encrypt the ClientHello (RFC 9848). */
export const SVC_ECH = 5;
/** Service parameter: IPv6 addresses of the target, as hints. */
export const SVC_IPV6_HINT = 6;

/** A part of a message. */
export interface DnsPlace {
  /** Where the message begins. */
  readonly start: number;
  /** Where the part begins. */
  readonly at: number;
  /** Where it ends; what its pointers lead to may only stand before it. */
  readonly end: number;
}

interface Layout {
  /** Bytes before the names. */
  readonly before: number;
  /** How many names there are. */
  readonly names: number;
  /** Bytes behind them. */
  readonly after: number;
}

const POINTER = 0xc0;
const LABEL_MAX = 63;
/** Key and length of a service parameter. */
const PARAM_FIXED = 4;
/** Preference or priority before a name. */
const PREFERENCE = 2;

const ONE_NAME: Layout = { before: 0, names: 1, after: 0 };
const TWO_NAMES: Layout = { before: 0, names: 2, after: 0 };
const PREFERRED_NAME: Layout = { before: PREFERENCE, names: 1, after: 0 };

/** The types whose names may be cut short. */
const LAYOUTS: ReadonlyMap<number, Layout> = new Map([
  // NS, MD, MF, CNAME, MB, MG, MR, PTR; then DNAME, which some servers write so.
  ...[DNS_TYPE_NS, 3, 4, DNS_TYPE_CNAME, 7, 8, 9, DNS_TYPE_PTR, DNS_TYPE_DNAME].map((
    type,
  ): [number, Layout] => [type, ONE_NAME]),
  // Serial number and four times stand behind the two names of a SOA record.
  [DNS_TYPE_SOA, { before: 0, names: 2, after: 20 }],
  // MINFO, RP.
  [14, TWO_NAMES],
  [17, TWO_NAMES],
  // MX, AFSDB, RT.
  ...[DNS_TYPE_MX, 18, 21].map((type): [number, Layout] => [type, PREFERRED_NAME]),
  [DNS_TYPE_SRV, { before: 6, names: 1, after: 0 }],
]);

/** A name and what follows it. */
interface NameRead {
  readonly name: string;
  /** Offset after the name, its pointers not followed. */
  readonly next: number;
}

/** The name at a place of a message, in wire form, letters as they are; null if it is malformed. */
export function readDnsWireName(bytes: Uint8Array, place: DnsPlace): string | null {
  return readName(bytes, place)?.name ?? null;
}

/** A name in wire form with its letters in lower case. */
export function dnsLowerName(name: string): string {
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    // Lengths of labels are below every letter.
    if (dnsLowerCase(byte) !== byte) return lowerFrom(name, i);
  }
  return name;
}

/** Writes a name in wire form at `offset` and returns its length. */
export function writeDnsWireName(bytes: Uint8Array, offset: number, name: string): number {
  for (let i = 0; i < name.length; i++) bytes[offset + i] = name.charCodeAt(i);
  return name.length;
}

/**
 * The name that a record of this type names, in wire form and lower case: of CNAME, SRV, MX, SVCB and HTTPS. Empty if
 * the type names none or the root, which stands for none in all but CNAME; null if the data is malformed.
 */
export function dnsTargetOf(type: number, bytes: Uint8Array, { start, at, end }: DnsPlace): string | null {
  const isService = type === DNS_TYPE_SVCB || type === DNS_TYPE_HTTPS;
  if (!isService && type !== DNS_TYPE_CNAME && type !== DNS_TYPE_SRV && type !== DNS_TYPE_MX) return "";
  const before = isService ? PREFERENCE : LAYOUTS.get(type)!.before,
    read = readName(bytes, { start, at: at + before, end });
  if (read === null || (!isService && read.next !== end)) return null;
  return read.name === "\0" && type !== DNS_TYPE_CNAME ? "" : dnsLowerName(read.name);
}

/** The data of a record with its names written out, a copy; null if it is malformed. */
export function expandDnsData(type: number, bytes: Uint8Array, { start, at, end }: DnsPlace): Uint8Array | null {
  const layout = LAYOUTS.get(type);
  if (layout === undefined) return bytes.slice(at, end);
  const { before, names, after } = layout, into = new Uint8Array(before + names * DNS_NAME_MAX + after);
  if (at + before > end) return null;
  into.set(bytes.subarray(at, at + before));
  let from = at + before, to = before;
  for (let i = 0; i < names; i++) {
    const read = readName(bytes, { start, at: from, end });
    if (read === null) return null;
    to += writeDnsWireName(into, to, read.name);
    from = read.next;
  }
  if (end - from !== after) return null;
  into.set(bytes.subarray(from, end), to);
  return into.slice(0, to + after);
}

/** Data of a SVCB or HTTPS record without some parameters: which of them there were, and what is left. */
export interface SvcParamsLeft {
  /** The keys of those that were left out. */
  readonly removed: readonly number[];
  /** The data without them. */
  readonly data: Uint8Array;
}

/** The data of a SVCB or HTTPS record without the parameters in `keys`; null if it is malformed. */
export function withoutSvcParams(bytes: Uint8Array, place: DnsPlace, keys: readonly number[]): SvcParamsLeft | null {
  const { start, at, end } = place, name = readName(bytes, { start, at: at + PREFERENCE, end });
  // A name that was cut short would lead elsewhere in another message.
  if (name === null || name.next !== at + PREFERENCE + name.name.length) return null;
  const parts: Uint8Array[] = [bytes.slice(at, name.next)], removed: number[] = [];
  for (let from = name.next; from < end;) {
    if (from + PARAM_FIXED > end) return null;
    const key = readUint16(bytes, from), next = from + PARAM_FIXED + readUint16(bytes, from + 2);
    if (next > end) return null;
    const param = bytes.slice(from, next);
    if (keys.includes(key)) removed.push(key);
    else if (key === SVC_MANDATORY) parts.push(mandatoryWithout(param, keys));
    else parts.push(param);
    from = next;
  }
  return { removed, data: concatenate(parts) };
}

/** The parameter `mandatory` without some keys; nothing if none is left. */
function mandatoryWithout(param: Uint8Array, keys: readonly number[]): Uint8Array {
  const left = new Uint8Array(param.length);
  let length = PARAM_FIXED;
  for (let i = PARAM_FIXED; i + 2 <= param.length; i += 2) {
    if (keys.includes(readUint16(param, i))) continue;
    writeUint16(left, length, readUint16(param, i));
    length += 2;
  }
  if (length === PARAM_FIXED) return left.subarray(0, 0);
  writeUint16(left, 2, length - PARAM_FIXED);
  return left.subarray(0, length);
}

function readName(bytes: Uint8Array, { start, at: first, end }: DnsPlace): NameRead | null {
  let at = first, from = first, next = -1, name = "";
  for (;;) {
    if (at >= end) return null;
    const size = bytes[at]!;
    if (size >= POINTER) {
      if (at + 2 > end) return null;
      if (next < 0) next = at + 2;
      const to = start + (readUint16(bytes, at) & 0x3fff);
      if (to >= from) return null;
      at = from = to;
      continue;
    }
    if (size > LABEL_MAX || at + 1 + size > end || name.length + 1 + size > DNS_NAME_MAX) return null;
    for (let i = at; i <= at + size; i++) name += String.fromCharCode(bytes[i]!);
    at += size + 1;
    if (size === 0) return { name, next: next < 0 ? at : next };
  }
}

function lowerFrom(name: string, first: number): string {
  let lower = name.slice(0, first);
  for (let i = first; i < name.length; i++) lower += String.fromCharCode(dnsLowerCase(name.charCodeAt(i)));
  return lower;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
