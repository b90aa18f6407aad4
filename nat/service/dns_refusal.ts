/**
 * Answers that rules make instead of a resolver: that there is no such name, or no such record of it.
 *
 * A program whose query gets no answer, SERVFAIL or REFUSED waits, asks again, or says "temporary failure". With
 * NXDOMAIN it fails at once with "name not known". Who can read it learns the reason too: Extended DNS Error 15
 * (Blocked, RFC 8914 section 4.16), with a text for people.
 *
 * They are good for `MADE_TTL_S` only, so that a change of rules is soon noticed. Their SOA record has the name that
 * was asked for, so that a cache concludes nothing about other names.
 *
 * @module
 */
import { writeUint16 } from "../../net/wire/bytes.ts";
import { DNS_BADVERS, DNS_HEADER_LENGTH, DNS_NOERROR, DNS_NXDOMAIN } from "../../net/wire/dns.ts";
import { describeRule, type Rule } from "../rules/rule.ts";
import { type DnsQuery, encodeDnsAnswer } from "./dns_query.ts";
import { madeSoa } from "./dns_soa.ts";

/** Seconds for which a guest may keep what rules have answered. */
export const MADE_TTL_S = 5;
/** Option of EDNS: an extended error (RFC 8914 section 2). */
export const EDNS_EXTENDED_ERROR = 15;
/** Extended error: the answer is blocked by whoever runs the resolver. */
export const EDE_BLOCKED = 15;

/** Characters of a text, at most: a name and a rule can be long. */
const MOST_TEXT = 300;
const QUESTION_MARK = 0x3f;

/** Writes that there is no such name at `into[at]`, and why if the guest can read it, and returns its length. */
export function encodeBlockedAnswer(
  into: Uint8Array,
  at: number,
  query: DnsQuery,
  { text, limit }: { text: string; limit: number },
): number {
  const fields = { flags: DNS_NXDOMAIN, authority: madeSoa(DNS_HEADER_LENGTH, MADE_TTL_S) };
  const length = encodeDnsAnswer(into, at, query, { ...fields, options: extendedError(EDE_BLOCKED, text) });
  // The text is the least of it.
  return length <= limit ? length : encodeDnsAnswer(into, at, query, fields);
}

/** Writes that there is no such record, or no such name, at `into[at]` and returns its length. */
export function encodeMadeAnswer(into: Uint8Array, at: number, query: DnsQuery, exists: boolean): number {
  const authority = madeSoa(DNS_HEADER_LENGTH, MADE_TTL_S);
  return encodeDnsAnswer(into, at, query, { flags: exists ? DNS_NOERROR : DNS_NXDOMAIN, authority });
}

/** Writes that the version of EDNS is not known (RFC 6891 section 6.1.3) at `into[at]` and returns its length. */
export function encodeBadVersionAnswer(into: Uint8Array, at: number, query: DnsQuery): number {
  return encodeDnsAnswer(into, at, query, { flags: DNS_BADVERS & 15, extendedRcode: DNS_BADVERS >>> 4 });
}

/**
 * Why a name is refused, and what would help, for people; `by` is the rule, and `alias` the name on the way that it is
 * about.
 */
export function refusalText(name: string, by: Rule | null, alias?: string): string {
  const leads = alias === undefined ? "" : ` leads to ${alias}`,
    remedy = canBeRule(name) ? `; --allow ${name} would` : "";
  return `${name}${leads}: ${by === null ? `no allow rule matches${remedy}` : describeRule(by)}`;
}

/** Whether a rule can have the name: a guest asks for whatever it likes. */
function canBeRule(name: string): boolean {
  return /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name);
}

function extendedError(code: number, text: string): Uint8Array {
  const fixed = 6, words = text.slice(0, MOST_TEXT), option = new Uint8Array(fixed + words.length);
  writeUint16(option, 0, EDNS_EXTENDED_ERROR);
  writeUint16(option, 2, option.length - 4);
  writeUint16(option, 4, code);
  // Names are letters, digits and `\DDD`; what stands in the name of a file may be other characters.
  for (let i = 0; i < words.length; i++) {
    const code = words.charCodeAt(i);
    option[fixed + i] = code < 0x7f ? code : QUESTION_MARK;
  }
  return option;
}
