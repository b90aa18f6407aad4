/**
 * Multicast listener discovery for IPv6, version 1 (RFC 2710) and version 2 (RFC 3810), as ICMPv6 messages: queries of
 * routers, reports and leave messages of hosts.
 *
 * Hosts report each group that they join, duplicate address detection's among them. Hawser keeps no list of listeners:
 * it reads these messages to tell them from what is not known, and writes none. `checkMld` wants lengths that fit and
 * group addresses that are groups; `mldFitsHeader` wants a hop limit of 1 and a source of the link (RFC 2710 section 3,
 * RFC 3810 section 5). What follows the fields is for later versions and is ignored (RFC 3810 sections 5.1.12, 5.2.11).
 *
 * @module
 */
import { IpAddress } from "./address.ts";
import { readUint16, readUint32 } from "./bytes.ts";
import { DecodeError } from "./decode_error.ts";
import { icmpv6Type } from "./icmpv6.ts";
import { ipv6HopLimit, ipv6SourceWord } from "./ipv6.ts";

/** The type of a query of either version. */
export const MLD_QUERY = 130;
/** The type of a report of version 1. */
export const MLD_REPORT = 131;
/** The type of the message of version 1 that a host listens no more. */
export const MLD_DONE = 132;
/** The type of a report of version 2. */
export const MLD_REPORT_V2 = 143;

/** The hop limit of every message. */
export const MLD_HOP_LIMIT = 1;

const DELAY = 4;
const RECORDS = 6;
const GROUP = 8;
const SOURCES = 26;
const V1_LENGTH = 24;
const V2_QUERY_LENGTH = 28;
const REPORT_LENGTH = 8;
const RECORD_LENGTH = 20;
const RECORD_AUXILIARY = 1;
const RECORD_SOURCES = 2;
const RECORD_GROUP = 4;

/** A message, decoded. */
export interface MldMessage {
  /** Type. */
  type: number;
  /** 1 or 2. */
  version: 1 | 2;
  /** Milliseconds within which hosts are to answer a query; in a query of version 2 a code for them (section 5.1.3). */
  responseDelay: number;
  /** The groups that it is about; a query about all of them has `::`. */
  groups: IpAddress[];
  /** Bytes of the message. */
  length: number;
}

/** Whether an ICMPv6 message of this type is one of multicast listener discovery. */
export function isMldType(type: number): boolean {
  return (type >= MLD_QUERY && type <= MLD_DONE) || type === MLD_REPORT_V2;
}

/** Whether `bytes[start, end)` is a message that `decodeMld` decodes. */
export function checkMld(bytes: Uint8Array, start: number, end: number): boolean {
  return flawOf(bytes, start, end) === "";
}

/** Whether the IPv6 header at `ip` may carry a message: its hop limit is 1, its source link-local or, yet, none. */
export function mldFitsHeader(bytes: Uint8Array, ip: number): boolean {
  if (ipv6HopLimit(bytes, ip) !== MLD_HOP_LIMIT) return false;
  const word0 = ipv6SourceWord(bytes, ip, 0);
  if (word0 >>> 22 === 0x3fa) return true;
  return word0 === 0 && ipv6SourceWord(bytes, ip, 1) === 0 && ipv6SourceWord(bytes, ip, 2) === 0 &&
    ipv6SourceWord(bytes, ip, 3) === 0;
}

/** Decodes the message that fills `bytes[start, end)`. Throws a `DecodeError`. */
export function decodeMld(bytes: Uint8Array, start: number = 0, end: number = bytes.length): MldMessage {
  const reason = flawOf(bytes, start, end), type = icmpv6Type(bytes, start), length = end - start;
  if (reason !== "") {
    const least = type === MLD_REPORT_V2 ? REPORT_LENGTH : V1_LENGTH;
    throw new DecodeError("mld", { offset: start, needed: Math.max(length + 1, least), actual: length, reason });
  }
  const groups: IpAddress[] = [];
  if (type === MLD_REPORT_V2) {
    let at = start + REPORT_LENGTH;
    for (let left = readUint16(bytes, start + RECORDS); left > 0; left--) {
      groups.push(readAddress(bytes, at + RECORD_GROUP));
      at += recordLength(bytes, at);
    }
  } else groups.push(readAddress(bytes, start + GROUP));
  const version = type === MLD_REPORT_V2 || (type === MLD_QUERY && length >= V2_QUERY_LENGTH) ? 2 : 1;
  const responseDelay = type === MLD_REPORT_V2 ? 0 : readUint16(bytes, start + DELAY);
  return { type, version, responseDelay, groups, length };
}

/** `ICMP6, multicast listener report v2, 2 group record(s), length 48`, in tcpdump's words. */
export function formatMld(message: MldMessage): string {
  return `ICMP6, multicast listener ${meaning(message)}, length ${message.length}`;
}

function meaning({ type, version, responseDelay, groups }: MldMessage): string {
  if (type === MLD_REPORT_V2) return `report v2, ${groups.length} group record(s)`;
  if (version === 2) return `query v2 [gaddr ${groups[0]}]`;
  const name = type === MLD_QUERY ? "query" : type === MLD_REPORT ? "report" : "done";
  return `${name} max resp delay: ${responseDelay} addr: ${groups[0]}`;
}

/** What is wrong with the message; empty if nothing is. */
function flawOf(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  if (length < REPORT_LENGTH) return "the header is cut off";
  const type = icmpv6Type(bytes, start);
  if (!isMldType(type)) return `the type is ${type}`;
  if (type === MLD_REPORT_V2) return reportFlaw(bytes, start, end);
  if (length < V1_LENGTH) return "the group is cut off";
  if (type !== MLD_QUERY) return isGroup(bytes, start + GROUP) ? "" : "the group is no group";
  // 25 to 27 bytes are a query of neither version (RFC 3810 section 8.1).
  if (length > V1_LENGTH && length < V2_QUERY_LENGTH) return "the length is that of no version";
  if (length >= V2_QUERY_LENGTH && V2_QUERY_LENGTH + readUint16(bytes, start + SOURCES) * 16 > length) {
    return "the sources are cut off";
  }
  const isGeneral = [0, 4, 8, 12].every((word) => readUint32(bytes, start + GROUP + word) === 0);
  return isGeneral || isGroup(bytes, start + GROUP) ? "" : "the group is no group";
}

function reportFlaw(bytes: Uint8Array, start: number, end: number): string {
  let at = start + REPORT_LENGTH;
  for (let left = readUint16(bytes, start + RECORDS); left > 0; left--) {
    if (at + RECORD_LENGTH > end || at + recordLength(bytes, at) > end) return "a record is cut off";
    if (!isGroup(bytes, at + RECORD_GROUP)) return "a group is no group";
    at += recordLength(bytes, at);
  }
  return "";
}

function recordLength(bytes: Uint8Array, at: number): number {
  return RECORD_LENGTH + readUint16(bytes, at + RECORD_SOURCES) * 16 + bytes[at + RECORD_AUXILIARY]! * 4;
}

function isGroup(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xff;
}

function readAddress(bytes: Uint8Array, offset: number): IpAddress {
  return IpAddress.fromBytes(bytes.subarray(offset, offset + 16));
}
