/**
 * A zone for tests: names and their records as plain data, and the answers of a resolver that knows nothing else.
 *
 * It follows CNAMEs as a recursing resolver does: the answer has the chain and the records at its end. A name that the
 * zone lacks does not exist, unless names below it do.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import {
  decodeDns,
  DNS_NXDOMAIN,
  DNS_QR,
  DNS_RA,
  DNS_RD,
  DNS_TC,
  DNS_TYPE_A,
  DNS_TYPE_AAAA,
  DNS_TYPE_CNAME,
  type DnsRecordFields,
  encodeDnsHeader,
  encodeDnsName,
  encodeDnsQuestion,
  encodeDnsRecord,
} from "../../net/wire/dns.ts";

/** What a name has. */
export interface ZoneName {
  /** IPv4 addresses. */
  readonly A?: readonly string[];
  /** IPv6 addresses. */
  readonly AAAA?: readonly string[];
  /** Another name; the name then has nothing else. */
  readonly CNAME?: string;
  /** Records of other types, by number: their data in hexadecimal. */
  readonly data?: Readonly<Record<number, readonly string[]>>;
  /** How long it may be kept; 300 s unless given. */
  readonly ttl?: number;
  /** Whether answers over UDP are empty and say that they are truncated. */
  readonly truncated?: boolean;
}

/** Names in lower case without a final dot. */
export type Zone = Readonly<Record<string, ZoneName>>;

/** Numbers of types that are asked in tests. */
const RECORD_TYPES: Readonly<Record<number, string>> = { 1: "A", 5: "CNAME", 16: "TXT", 28: "AAAA", 65: "HTTPS" };
/** No chain is longer. */
const CHAIN_MAX = 16;

/** A question as it stands in a log: `A registry.example`. Throws a `DecodeError` if the query is malformed. */
export function questionText(query: Uint8Array): string {
  const { name, type } = decodeDns(query).question[0]!;
  return `${RECORD_TYPES[type] ?? type} ${name.toLowerCase().replace(/(?<=.)\.$/, "")}`;
}

/** The answer to a query, whatever its header says. Throws a `DecodeError` if the query is malformed. */
export function answerFromZone(zone: Zone, query: Uint8Array, transport: "udp" | "tcp"): Uint8Array {
  const { id, question } = decodeDns(query), { name: asked, type } = question[0]!;
  const answers: DnsRecordFields[] = [];
  let name = asked.toLowerCase().replace(/(?<=.)\.$/, "");
  while (zone[name]?.CNAME !== undefined && type !== DNS_TYPE_CNAME && answers.length < CHAIN_MAX) {
    const target = zone[name]!.CNAME!;
    answers.push(
      record(answers.length === 0 ? asked : name, DNS_TYPE_CNAME, { zone, owner: name, data: nameData(target) }),
    );
    name = target;
  }
  for (const data of recordData(zone[name], type)) {
    answers.push(record(answers.length === 0 ? asked : name, type, { zone, owner: name, data }));
  }
  const isTruncated = transport === "udp" && zone[name]?.truncated === true;
  const exists = zone[name] !== undefined || Object.keys(zone).some((other) => other.endsWith(`.${name}`));
  const bytes = new Uint8Array(65_535), written = isTruncated ? [] : answers;
  const flags = DNS_QR | DNS_RD | DNS_RA | (isTruncated ? DNS_TC : 0) | (exists ? 0 : DNS_NXDOMAIN);
  let end = encodeDnsHeader(bytes, 0, {
    id,
    flags,
    questions: 1,
    answers: written.length,
    authorities: 0,
    additionals: 0,
  });
  end += encodeDnsQuestion(bytes, end, question[0]!);
  for (const answer of written) end += encodeDnsRecord(bytes, end, answer);
  return bytes.slice(0, end);
}

function record(name: string, type: number, of: { zone: Zone; owner: string; data: Uint8Array }): DnsRecordFields {
  return { name, type, class: 1, ttl: of.zone[of.owner]?.ttl ?? 300, data: of.data };
}

function nameData(name: string): Uint8Array {
  const bytes = new Uint8Array(256);
  return bytes.slice(0, encodeDnsName(bytes, 0, name));
}

function recordData(name: ZoneName | undefined, type: number): Uint8Array[] {
  switch (type) {
    case DNS_TYPE_A:
      return (name?.A ?? []).map((address) => Uint8Array.from(address.split("."), Number));
    case DNS_TYPE_AAAA:
      return (name?.AAAA ?? []).map(addressBytes);
    default:
      return (name?.data?.[type] ?? []).map((hex) => Uint8Array.fromHex(hex));
  }
}

function addressBytes(address: string): Uint8Array {
  const bytes = new Uint8Array(16), parsed = IpAddress.parse(address);
  // `IpAddress` takes ::ffff:0:0/96 for IPv4.
  if (parsed.isIpv4) bytes.fill(0xff, 10, 12);
  parsed.writeTo(bytes, parsed.isIpv4 ? 12 : 0);
  return bytes;
}
