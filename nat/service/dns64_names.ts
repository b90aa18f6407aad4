/**
 * Names of IPv4 addresses behind the NAT64 prefix (RFC 6147 section 5.3.1), for guests that ask whose address it is
 * that they talk to.
 *
 * A guest asks for the PTR record of an address under 64:ff9b::/96. The resolvers know nothing of it, so they are asked
 * for that of the IPv4 address inside, and the names in their answer are the answer, as if the gateway were the
 * authority for the prefix: the first of the two ways that the RFC leaves open. Aliases that led to a name (RFC 2317)
 * are left out, so no chain becomes longer. If there is no name, or the resolvers fail, the guest gets their response
 * code.
 *
 * A question with the flag CD is left to the resolvers, as in `dns64.ts`.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import {
  DNS_AA,
  DNS_CD,
  DNS_CLASS_IN,
  DNS_HEADER_LENGTH,
  DNS_NAME_MAX,
  DNS_NOERROR,
  DNS_NXDOMAIN,
  DNS_TYPE_PTR,
  dnsFlags,
  dnsRcode,
  type DnsRecordFields,
  DnsRecords,
  encodeDnsName,
  encodeDnsQuestion,
  readDnsName,
} from "../../net/wire/dns.ts";
import { NAT64_PREFIX } from "../rules/policy.ts";
import { DNS64_MOST, type DnsBytes } from "./dns64.ts";
import { type DnsQuery, encodeDnsAnswer, isDnsInternet } from "./dns_query.ts";

/** The end of every such name as `DnsQuery.name` has it. */
const IP6_ARPA = "\x03ip6\x04arpa\0";
const IPV4_DOMAIN = "in-addr.arpa";
/** Hexadecimal digits of an address, each a label. */
const DIGITS = 32;
const LABEL = 2;
/** Names in one answer: far more than an address has, and few enough for a message. */
const MOST_NAMES = Math.floor((DNS64_MOST - 1024) / (DNS_NAME_MAX + 12));

/** The question for the name of an IPv4 address that this one for that of an IPv6 address means; null: none. */
export function ipv4NameQueryOf(query: DnsQuery): DnsQuery | null {
  const { key, type, flags, name } = query;
  if (key === null || type !== DNS_TYPE_PTR || (flags & DNS_CD) !== 0) return null;
  const address = isDnsInternet(query) ? addressIn(name) : null;
  if (address === null || !NAT64_PREFIX.contains(address)) return null;
  const octets = [24, 16, 8, 0].map((shift) => (address.w3 >>> shift) & 0xff);
  const bytes = new Uint8Array(DNS_NAME_MAX + 4), text = `${octets.reverse().join(".")}.${IPV4_DOMAIN}`;
  const length = encodeDnsQuestion(bytes, 0, { name: text, type, class: DNS_CLASS_IN });
  return { ...query, question: bytes.subarray(0, length) };
}

/**
 * Writes the answer to `query` that follows from `found`, the answer for the IPv4 address, at `into[at]`, and returns
 * its length, at most `DNS64_MOST`.
 */
export function encodeIpv4NameAnswer(into: Uint8Array, at: number, query: DnsQuery, found: DnsBytes): number {
  const rcode = dnsRcode(dnsFlags(found.bytes, found.start));
  const isKnown = rcode === DNS_NOERROR || rcode === DNS_NXDOMAIN;
  const answers = rcode === DNS_NOERROR ? namesIn(found) : [];
  return encodeDnsAnswer(into, at, query, { flags: isKnown ? DNS_AA | rcode : rcode, answers });
}

/** The names in an answer, as records of the question's name; none if it is malformed. */
function namesIn({ bytes, start, end }: DnsBytes): DnsRecordFields[] {
  const records = new DnsRecords(bytes, start, end), answers: DnsRecordFields[] = [];
  while (records.next() && records.section === 1) {
    if (records.type !== DNS_TYPE_PTR || answers.length === MOST_NAMES) continue;
    const target = readDnsName(bytes, { start, at: records.dataStart, end });
    if (target === null) return [];
    const data = new Uint8Array(DNS_NAME_MAX), length = encodeDnsName(data, 0, target);
    answers.push({
      name: DNS_HEADER_LENGTH,
      type: DNS_TYPE_PTR,
      class: DNS_CLASS_IN,
      ttl: records.ttl,
      data: data.subarray(0, length),
    });
  }
  return records.malformed ? [] : answers;
}

/** The address that a name under ip6.arpa stands for (RFC 3596 section 2.5), or null: it is not one of all digits. */
function addressIn(name: string): IpAddress | null {
  if (name.length !== DIGITS * LABEL + IP6_ARPA.length || !name.endsWith(IP6_ARPA)) return null;
  const words = [0, 0, 0, 0];
  for (let i = 0; i < DIGITS; i++) {
    const label = name.slice(i * LABEL, (i + 1) * LABEL), digit = "0123456789abcdef".indexOf(label[1]!);
    if (label[0] !== "\x01" || digit < 0) return null;
    // The last digit of the address comes first.
    words[3 - (i >>> 3)]! += digit * 16 ** (i & 7);
  }
  return new IpAddress(words[0]!, words[1]!, words[2]!, words[3]!);
}
