import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type DnsFilter, type DnsFiltered, filterDnsAnswer } from "../../../nat/service/dns_filter.ts";
import type { IpAddress } from "../../../net/wire/address.ts";
import { checkDns, decodeDns, DNS_AD, DNS_QR, DNS_RA, type DnsRecordFields } from "../../../net/wire/dns.ts";
import {
  aaaaRecord,
  aRecord,
  cnameRecord,
  dnsAnswer,
  dnsText,
  type MessageFields,
  nameRecord,
  optRecord,
  soaRecord,
  txtRecord,
} from "../../support/dns_messages.ts";
import { noise, painted } from "../../support/packet_bytes.ts";
import { checkProperty } from "../../support/properties.ts";

const QUESTION = "Name.test A", RRSIG = 46, HTTPS = 65;
/** Keeps what does not end in 9, and takes out what hides. */
const FILTER: DnsFilter = { keeps: (address: IpAddress) => !`${address}`.endsWith("9"), strips: true };
const NEAR = [192, 168, 0, 9];
const ALPN = [0, 1, 0, 3, 2, 104, 50],
  HINTS = [0, 4, 0, 4, 1, 1, 1, 1, 0, 5, 0, 1, 7, 0, 6, 0, 16, ...new Uint8Array(16)];

function filtered(fields: MessageFields, filter = FILTER, question = QUESTION): DnsFiltered | "unchanged" | null {
  const message = dnsAnswer(question, fields), bytes = painted(message.length + 9);
  bytes.set(message, 4);
  return filterDnsAnswer({ bytes, start: 4, end: 4 + message.length }, filter);
}

/** What is left of an answer as text, and what was taken out. */
function left(fields: MessageFields, filter = FILTER, question = QUESTION): [string, readonly string[]] {
  const result = filtered(fields, filter, question);
  assert(result !== null && result !== "unchanged");
  return [dnsText(result.message!), result.removed];
}

/** A signature over records of `type` of the question's name. */
function signature(type: number): DnsRecordFields {
  return {
    name: 12,
    type: RRSIG,
    class: 1,
    ttl: 60,
    data: Uint8Array.of(0, type, 8, 2, 0, 0, 0, 60, ...new Uint8Array(20)),
  };
}

Deno.test("filterDnsAnswer leaves an answer alone from which nothing goes, and refuses one that is malformed", () => {
  assertEquals(filtered({ answers: [aRecord(60)], additionals: [optRecord()] }), "unchanged");
  assertEquals(filtered({}), "unchanged");
  assertEquals(filtered({ answers: [{ ...aRecord(60, NEAR), class: 3 }] }), "unchanged", "another class");
  assertEquals(filtered({ answers: [{ ...aRecord(60), data: new Uint8Array(3) }] }), null);
  assertEquals(filtered({ answers: [{ ...cnameRecord(60, "a.test"), data: Uint8Array.of(0xc0) }] }), null);
  assertEquals(filtered({ answers: [nameRecord(HTTPS, 60, ".", [0, 1], [0, 5, 0])] }), null);
  const message = dnsAnswer(QUESTION, { answers: [aRecord(60, NEAR)] });
  assertEquals(filterDnsAnswer({ bytes: message, start: 0, end: message.length - 1 }, FILTER), null);
  assertEquals(
    filterDnsAnswer({ bytes: new Uint8Array([...message, 0]), start: 0, end: message.length + 1 }, FILTER),
    null,
  );
});

Deno.test("filterDnsAnswer takes addresses out of every section, with the signature over those beside them, and AD", () => {
  const fields = {
    flags: DNS_QR | DNS_RA | DNS_AD,
    answers: [aRecord(60), aRecord(60, NEAR), signature(1), txtRecord(60, 3), signature(16)],
    authorities: [soaRecord(60, 60)],
    additionals: [aaaaRecord(60, "fd00::9"), { ...signature(1), name: "other.test" }, optRecord(1232, 0x8000)],
  };
  const [text, removed] = left(fields);
  assertEquals(
    text,
    [
      "DNS answer 1 NOERROR, A? Name.test., 3/1/2 records",
      "Name.test. 1 60 192.0.2.7",
      "Name.test. 16 60 3",
      "Name.test. 46 60 28",
      "test. 6 60 22",
      "other.test. 46 60 28",
      ". 41 32768 0",
    ].join("; "),
  );
  assertEquals(removed, ["192.168.0.9", "fd00::9"]);
});

Deno.test("filterDnsAnswer says whether nothing of the answer is left but the chain that led to its addresses", () => {
  const isEmpty = (fields: MessageFields) => (filtered(fields) as DnsFiltered).isEmpty;
  assertEquals(isEmpty({ answers: [aRecord(60, NEAR)] }), true);
  assertEquals(isEmpty({ answers: [cnameRecord(60, "a.test"), { ...aRecord(60, NEAR), name: "a.test" }] }), true);
  assertEquals(isEmpty({ answers: [aRecord(60, NEAR), signature(1), aaaaRecord(60, "fd00::9")] }), true);
  assertEquals(isEmpty({ answers: [aRecord(60, NEAR), aRecord(60)] }), false);
  assertEquals(isEmpty({ answers: [aRecord(60, NEAR), txtRecord(60, 3)] }), false);
  assertEquals(isEmpty({ answers: [txtRecord(60, 3)], additionals: [aRecord(60, NEAR)] }), false);
});

Deno.test("filterDnsAnswer takes ech and address hints out of HTTPS and SVCB records, and leaves them if it shall", () => {
  const answers = [nameRecord(HTTPS, 60, ".", [0, 1], [...ALPN, ...HINTS]), signature(HTTPS), aRecord(60)];
  const [text, removed] = left({ answers }, FILTER, "name.test 65");
  assertEquals(
    text,
    "DNS answer 1 NOERROR, HTTPS? name.test., 2/0/0 records; name.test. 65 60 10; name.test. 1 60 192.0.2.7",
  );
  assertEquals(removed, ["ipv4hint", "ech", "ipv6hint"]);
  assertEquals(filtered({ answers }, { ...FILTER, strips: false }), "unchanged");
  assertEquals(filtered({ answers: [nameRecord(64, 60, "a.test", [0, 1], ALPN)] }), "unchanged");
});

Deno.test("filterDnsAnswer writes names out that pointed to what is gone", () => {
  // The CNAME's target stands in the data of the record that goes.
  const bytes = dnsAnswer("a.test A", { answers: [aRecord(60, NEAR), nameRecord(15, 60, ".", [0, 10]), aRecord(60)] });
  const mail = 12 + 12 + 16 + 12;
  assertEquals(bytes[mail + 2], 0);
  const pointed = new Uint8Array([...bytes.subarray(0, mail - 1), 3, 0, 10, 0xc0, 14, ...bytes.subarray(mail + 3)]);
  // MX data of 4 bytes instead of 3, whose name is the question's second label.
  pointed[mail - 1] = 4;
  const result = filterDnsAnswer({ bytes: pointed, start: 0, end: pointed.length }, FILTER) as DnsFiltered;
  const message = decodeDns(result.message!), record = message.records[0]!;
  assertEquals([record.type, [...result.message!.subarray(record.dataStart, record.dataEnd)]], [
    15,
    [0, 10, 4, 116, 101, 115, 116, 0],
  ]);
});

Deno.test("filterDnsAnswer gives up a message that grows beyond every limit", () => {
  // Each name of 200 bytes is in the message once, and two bytes afterwards; written out there are 400 of them.
  const long = `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.test`, first = cnameRecord(60, long);
  const at = 12 + 15 + 2 + 10;
  const others = Array.from({ length: 400 }, () => ({ ...first, data: Uint8Array.of(0xc0, at) }));
  const result = filtered({ answers: [first, ...others, aRecord(60, NEAR)] }) as DnsFiltered;
  assertEquals([result.message, result.removed], [null, ["192.168.0.9"]]);
});

const NAME = fc.constantFrom("name.test", "a.name.test", "other.example", "x.y.other.example", ".");
const RECORD: fc.Arbitrary<DnsRecordFields> = fc.oneof(
  fc.record({ last: fc.nat(20), ttl: fc.nat(1000) }).map(({ last, ttl }) => aRecord(ttl, [192, 0, 2, last])),
  fc.nat(20).map((last) => aaaaRecord(60, `2001:db8::${last}`)),
  fc.record({ type: fc.constantFrom(2, 5, 12, 39), target: NAME }).map(({ type, target }) =>
    nameRecord(type, 60, target)
  ),
  NAME.map((target) => nameRecord(15, 60, target, [0, 10])),
  NAME.map((target) => nameRecord(33, 60, target, [0, 1, 0, 2, 0, 80])),
  fc.record({ target: NAME, hints: fc.boolean() }).map(({ target, hints }) =>
    nameRecord(HTTPS, 60, target, [0, 1], hints ? [...ALPN, ...HINTS] : ALPN)
  ),
  NAME.map((name) => soaRecord(60, 60, name)),
  fc.constantFrom(1, 28, 65, 16).map(signature),
  fc.uint8Array({ maxLength: 40 }).map((data) => ({ name: 12, type: 65280, class: 1, ttl: 60, data })),
);
const OWNED = fc.tuple(RECORD, fc.option(NAME)).map(([record, name]) => name === null ? record : { ...record, name });
const SECTION = fc.array(OWNED, { maxLength: 6 });

Deno.test("filterDnsAnswer: what is left of any answer is a whole message with exactly the other records", () => {
  checkProperty(fc.tuple(SECTION, SECTION, SECTION), ([answers, authorities, additionals]) => {
    const fields = { answers, authorities, additionals }, before = dnsAnswer(QUESTION, fields);
    const result = filtered(fields);
    assert(result !== null);
    if (result === "unchanged") return;
    const after = result.message!;
    assert(checkDns(after, 0, after.length) && result.removed.length > 0);
    assertEquals(filterDnsAnswer({ bytes: after, start: 0, end: after.length }, FILTER), "unchanged");
    const of = (bytes: Uint8Array) =>
      decodeDns(bytes).records.map(({ name, section, type, ttl, dataStart, dataEnd }) => ({
        id: `${section} ${name} ${type} ${ttl}`,
        owner: `${name.toLowerCase()}`,
        type,
        data: [...bytes.subarray(dataStart, dataEnd)],
      }));
    const isGone = ({ type, data }: { type: number; data: number[] }) =>
      (type === 1 && data[3]! % 10 === 9) || (type === 28 && data[15]! % 16 === 9);
    const isHiding = ({ type, data }: { type: number; data: number[] }) => type === HTTPS && data.length > 30;
    const all = of(before), kept = of(after);
    const changed = new Set(
      all.filter((one) => isGone(one) || isHiding(one)).map(({ owner, type }) => `${owner} ${type}`),
    );
    const expected = all.filter((one) =>
      !isGone(one) && !(one.type === RRSIG && changed.has(`${one.owner} ${one.data[1]}`))
    );
    assertEquals(kept.map(({ id }) => id), expected.map(({ id }) => id));
    kept.forEach(({ data }, i) => {
      if (!isHiding(expected[i]!)) assertEquals(data, expected[i]!.data);
    });
  });
});

Deno.test("filterDnsAnswer throws for no bytes, and what it leaves can be read", () => {
  let changed = 0;
  const whole = dnsAnswer(QUESTION, {
    answers: [aRecord(60, NEAR), nameRecord(15, 60, "a.name.test", [0, 1]), nameRecord(HTTPS, 60, ".", [0, 1], HINTS)],
    authorities: [soaRecord(60, 60)],
  });
  for (let seed = 1; seed <= 20_000; seed++) {
    const bytes = whole.slice(), dice = noise(6, seed);
    for (let i = 0; i < 3; i++) bytes[27 + dice[i]! % (bytes.length - 27)] = dice[i + 3]!;
    const result = filterDnsAnswer({ bytes, start: 0, end: bytes.length }, FILTER);
    if (result === null || result === "unchanged" || result.message === null) continue;
    changed++;
    decodeDns(result.message);
  }
  assert(changed > 1000, `${changed} changed`);
});
