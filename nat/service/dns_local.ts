/**
 * Names that the gateway answers by itself, because they mean the gateway: they are never sent to a resolver.
 *
 * `gateway.hawser.internal` and `host.hawser.internal` are Hawser's own, `host.docker.internal` and the like those that
 * people have in their configuration already. All are the gateway's addresses, which lead to the host's loopback: an A
 * and an AAAA record, as far as guests have these families, and nothing else: another type gets an answer without
 * records (NODATA). Under `hawser.internal`
 * there is nothing else (NXDOMAIN); of the other domains only these names are taken. `internal` is reserved for private
 * use, so no such name can exist outside.
 *
 * An answer without records carries a SOA record, so that a guest may keep it (RFC 2308 section 3).
 *
 * @module
 */
import type { IpAddress } from "../../net/wire/address.ts";
import {
  DNS_AA,
  DNS_CLASS_IN,
  DNS_HEADER_LENGTH,
  DNS_NAME_MAX,
  DNS_NOERROR,
  DNS_NXDOMAIN,
  DNS_TYPE_A,
  DNS_TYPE_AAAA,
  DNS_TYPE_ANY,
  dnsOpcode,
  type DnsRecordFields,
  encodeDnsName,
} from "../../net/wire/dns.ts";
import { type DnsQuery, encodeDnsAnswer, isDnsInternet } from "./dns_query.ts";
import { madeSoa } from "./dns_soa.ts";

/** The names that stand for the gateway. */
export const LOCAL_DNS_NAMES: readonly string[] = [
  "gateway.hawser.internal",
  "host.hawser.internal",
  "gateway.docker.internal",
  "host.docker.internal",
  "gateway.containers.internal",
  "host.containers.internal",
];
/** The domain in which there is nothing but these names. */
export const LOCAL_DNS_DOMAIN = "hawser.internal";

/** Seconds for which a guest may keep what is said here. */
const TTL = 60;

const NAMES = new Set(LOCAL_DNS_NAMES.map(wireForm));
const DOMAIN = wireForm(LOCAL_DNS_DOMAIN);

/**
 * Writes the answer to a query for a local name at `into[at]` and returns its length; 0 if the name is not local.
 * `gateways` are the gateway's addresses, at most one of each family.
 */
export function encodeLocalDnsAnswer(
  into: Uint8Array,
  at: number,
  query: DnsQuery,
  gateways: readonly IpAddress[],
): number {
  if (dnsOpcode(query.flags) !== 0) return 0;
  const { name, type } = query;
  const isName = NAMES.has(name),
    inDomain = name.endsWith(DOMAIN) && isLabelBoundary(name, name.length - DOMAIN.length);
  if (!isName && !inDomain) return 0;
  const records = isName && isDnsInternet(query) ? gateways.map(recordOf) : [];
  const answers = records.filter((record) => record.type === type || type === DNS_TYPE_ANY);
  if (answers.length > 0) return encodeDnsAnswer(into, at, query, { flags: DNS_AA, answers });
  const zone = DNS_HEADER_LENGTH + (inDomain ? name.length - DOMAIN.length : 0);
  const flags = DNS_AA | (isName || name === DOMAIN ? DNS_NOERROR : DNS_NXDOMAIN);
  return encodeDnsAnswer(into, at, query, { flags, authority: madeSoa(zone, TTL) });
}

function recordOf(address: IpAddress): DnsRecordFields {
  const data = new Uint8Array(16), length = address.writeTo(data, 0);
  const type = address.isIpv4 ? DNS_TYPE_A : DNS_TYPE_AAAA;
  return { name: DNS_HEADER_LENGTH, type, class: DNS_CLASS_IN, ttl: TTL, data: data.subarray(0, length) };
}

/** Whether a label of the name in wire form begins at `at`. */
function isLabelBoundary(name: string, at: number): boolean {
  let label = 0;
  while (label < at) label += name.charCodeAt(label) + 1;
  return label === at;
}

/** A name in the form in which `DnsQuery.name` has it. */
function wireForm(name: string): string {
  const bytes = new Uint8Array(DNS_NAME_MAX);
  return String.fromCharCode(...bytes.subarray(0, encodeDnsName(bytes, 0, name)));
}
