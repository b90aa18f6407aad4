/**
 * DNS messages for tests, as short to write as they can be.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { IpAddress } from "../../net/wire/address.ts";
import {
  decodeDns,
  DNS_QR,
  DNS_RA,
  DNS_RD,
  type DnsRecordFields,
  encodeDnsHeader,
  encodeDnsName,
  encodeDnsQuestion,
  encodeDnsRecord,
  formatDns,
} from "../../net/wire/dns.ts";

/** Record types by name. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  OPT: 41,
  AXFR: 252,
  ANY: 255,
} as const;

/** A message's parts; what is left out is that of a plain query. */
export interface MessageFields {
  id?: number;
  flags?: number;
  /** `NAME TYPE` each, of class IN unless a number follows. */
  questions?: readonly string[];
  answers?: readonly DnsRecordFields[];
  authorities?: readonly DnsRecordFields[];
  additionals?: readonly DnsRecordFields[];
}

/** A message as bytes. */
export function dnsMessage(fields: MessageFields): Uint8Array {
  const { questions = [], answers = [], authorities = [], additionals = [] } = fields;
  const bytes = new Uint8Array(70_000);
  let end = encodeDnsHeader(bytes, 0, {
    id: fields.id ?? 1,
    flags: fields.flags ?? DNS_RD,
    questions: questions.length,
    answers: answers.length,
    authorities: authorities.length,
    additionals: additionals.length,
  });
  for (const question of questions) {
    const [name, type, klass = "1"] = question.split(" ");
    const number = TYPE[type as keyof typeof TYPE] ?? Number(type);
    end += encodeDnsQuestion(bytes, end, { name: name!, type: number, class: Number(klass) });
  }
  for (const record of [...answers, ...authorities, ...additionals]) end += encodeDnsRecord(bytes, end, record);
  return bytes.slice(0, end);
}

/** A query for one name. */
export function dnsQuery(question: string, fields: MessageFields = {}): Uint8Array {
  return dnsMessage({ questions: [question], ...fields });
}

/** An answer: by default from a resolver that recurses. */
export function dnsAnswer(question: string, fields: MessageFields = {}): Uint8Array {
  return dnsMessage({ questions: [question], flags: DNS_QR | DNS_RD | DNS_RA, ...fields });
}

/** An A record; its name is the question's. */
export function aRecord(ttl: number, address: readonly number[] = [192, 0, 2, 7]): DnsRecordFields {
  return { name: 12, type: TYPE.A, class: 1, ttl, data: Uint8Array.from(address) };
}

/** An AAAA record; its name is the question's. */
export function aaaaRecord(ttl: number, address: string): DnsRecordFields {
  const data = new Uint8Array(16), { w0, w1, w2, w3 } = IpAddress.parse(address), view = new DataView(data.buffer);
  [w0, w1, w2, w3].forEach((word, i) => view.setUint32(4 * i, word));
  return { name: 12, type: TYPE.AAAA, class: 1, ttl, data };
}

/** A CNAME record for the question's name. */
export function cnameRecord(ttl: number, target: string): DnsRecordFields {
  const data = new Uint8Array(255);
  return { name: 12, type: TYPE.CNAME, class: 1, ttl, data: data.slice(0, encodeDnsName(data, 0, target)) };
}

/** A record that names another name, with bytes before it and behind it, for the question's name. */
export function nameRecord(
  type: number,
  ttl: number,
  target: string,
  before: readonly number[] = [],
  behind: readonly number[] = [],
): DnsRecordFields {
  const name = new Uint8Array(255), length = encodeDnsName(name, 0, target);
  return { name: 12, type, class: 1, ttl, data: Uint8Array.from([...before, ...name.subarray(0, length), ...behind]) };
}

/** A PTR record, for the question's name unless another is given. */
export function ptrRecord(ttl: number, target: string, name: string | number = 12): DnsRecordFields {
  const data = new Uint8Array(255);
  return { name, type: TYPE.PTR, class: 1, ttl, data: data.slice(0, encodeDnsName(data, 0, target)) };
}

/** A TXT record for the question's name, of so many bytes of data. */
export function txtRecord(ttl: number, length: number): DnsRecordFields {
  return { name: 12, type: TYPE.TXT, class: 1, ttl, data: new Uint8Array(length).fill(97) };
}

/** A SOA record with this MINIMUM. */
export function soaRecord(ttl: number, minimum: number, name = "test"): DnsRecordFields {
  const data = new Uint8Array(22);
  new DataView(data.buffer).setUint32(18, minimum);
  return { name, type: TYPE.SOA, class: 1, ttl, data };
}

/** An OPT record: size, flags (DO is 0x8000), extended response code and version in the upper half, options. */
export function optRecord(size = 1232, flags = 0, options: readonly number[] = []): DnsRecordFields {
  return { name: ".", type: TYPE.OPT, class: size, ttl: flags, data: Uint8Array.from(options) };
}

/** A record with another name than the question's. */
export function named(record: DnsRecordFields, name: string): DnsRecordFields {
  return { ...record, name };
}

/** The SOA record of an answer that rules make, as `dnsText` has it. */
export function madeSoaOf(name: string): string {
  return `${name} 6 5 38`;
}

/** The value of an option in the data of an OPT record. */
export function pickOption(data: Uint8Array, code: number): Uint8Array | undefined {
  for (let at = 0; at + 4 <= data.length;) {
    const length = (data[at + 2]! << 8) | data[at + 3]!;
    if (((data[at]! << 8) | data[at + 1]!) === code) return data.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  return undefined;
}

/** What a message says, in one line: `formatDns`, and its records. */
export function dnsText(bytes: Uint8Array): string {
  const message = decodeDns(bytes);
  const records = message.records.map(({ name, type, ttl, dataStart, dataEnd }) =>
    `${name} ${type} ${ttl} ${dataText(type, bytes.subarray(dataStart, dataEnd))}`
  );
  return [formatDns(message), ...records].join("; ");
}

/** An address as text; of other data how long it is. */
function dataText(type: number, data: Uint8Array): string {
  const isAddress = (type === TYPE.A && data.length === 4) || (type === TYPE.AAAA && data.length === 16);
  return isAddress ? `${IpAddress.fromBytes(data)}` : `${data.length}`;
}

/** Asserts that two messages are the same but for their ids. */
export function assertSameButId(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals([...actual.subarray(2)], [...expected.subarray(2)]);
}
