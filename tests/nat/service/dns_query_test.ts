import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  encodeDnsAnswer,
  encodeTruncatedDnsAnswer,
  readDnsQuery,
  sameDnsQuestion,
} from "../../../nat/service/dns_query.ts";
import { DNS_AD, DNS_CD, DNS_QR, DNS_RD, DNS_SERVFAIL, DNS_TC } from "../../../net/wire/dns.ts";
import { aRecord, dnsMessage, dnsQuery, dnsText, type MessageFields, optRecord } from "../../support/dns_messages.ts";
import { noise, painted } from "../../support/packet_bytes.ts";

function read(question: string, fields: MessageFields = {}) {
  return readDnsQuery(dnsQuery(question, fields), 0, dnsQuery(question, fields).length)!;
}

Deno.test("readDnsQuery gives queries for the same answer one key, whatever their id and the case of their name", () => {
  const key = read("example.test A").key;
  assert(key !== null);
  assertEquals(read("eXAMPLE.teST A", { id: 77 }).key, key);
  const others = [
    read("example2.test A"),
    read("example.test AAAA"),
    read("example.test A 3"),
    read("example.test A", { flags: 0 }),
    read("example.test A", { flags: DNS_RD | DNS_CD }),
    read("example.test A", { flags: DNS_RD | DNS_AD }),
    read("example.test A", { additionals: [optRecord()] }),
    read("example.test A", { additionals: [optRecord(1232, 0x8000)] }),
  ].map((query) => query.key);
  assertEquals(new Set([key, ...others]).size, others.length + 1);
  assert(!others.includes(null));
  assertEquals(read("example.test A", { additionals: [optRecord(4096)] }).key, others[6]);
});

Deno.test("readDnsQuery gives no key to what is passed on as it is", () => {
  const raw: [string, MessageFields][] = [
    ["an update", { flags: 5 << 11 }],
    ["an unknown operation", { flags: 7 << 11 }],
    ["a flag that queries do not have", { flags: DNS_RD | DNS_TC }],
    ["the last reserved flag", { flags: DNS_RD | 0x40 }],
    ["no question", { questions: [] }],
    ["two questions", { questions: ["a.test A", "b.test A"] }],
    ["a record of the answer", { answers: [aRecord(1)] }],
    ["an additional record", { additionals: [aRecord(1)] }],
    ["an option", { additionals: [optRecord(1232, 0, [0, 10, 0, 0])] }],
    ["an unknown EDNS flag", { additionals: [optRecord(1232, 0x4000)] }],
    ["another version of EDNS", { additionals: [optRecord(1232, 0x10000)] }],
    ["two OPT records", { additionals: [optRecord(), optRecord()] }],
    ["an OPT record out of place", { authorities: [optRecord()] }],
    ["a transfer", { questions: ["a.test AXFR"] }],
    ["any type", { questions: ["a.test ANY"] }],
    ["OPT as a question", { questions: ["a.test OPT"] }],
  ];
  for (const [what, fields] of raw) assertEquals(read("a.test A", fields).key, null, what);
  const behind = new Uint8Array([...dnsQuery("a.test A"), 0]);
  assertEquals(readDnsQuery(behind, 0, behind.length)!.key, null, "a byte behind the end");
  const cut = dnsQuery("a.test A", { additionals: [optRecord()] }).slice(0, -1);
  assertEquals(readDnsQuery(cut, 0, cut.length)!.key, null, "a record that is cut off");
});

Deno.test("readDnsQuery refuses answers, and queries without a whole header and question", () => {
  const query = dnsQuery("a.test A");
  for (let length = 0; length < query.length; length++) assertEquals(readDnsQuery(query, 0, length), null);
  assertNotEquals(readDnsQuery(query, 0, query.length), null);
  const answer = dnsQuery("a.test A", { flags: DNS_QR });
  assertEquals(readDnsQuery(answer, 0, answer.length), null);
});

Deno.test("readDnsQuery reads how much the guest takes, at least 512 bytes", () => {
  const limit = (fields: MessageFields) => read("a.test A", fields).sizeLimit;
  assertEquals(limit({}), 512);
  assertEquals(limit({ additionals: [optRecord(4096)] }), 4096);
  assertEquals(limit({ additionals: [optRecord(100)] }), 512);
  assertEquals(limit({ additionals: [optRecord(4096, 0x10000)] }), 4096);
});

Deno.test("readDnsQuery throws for no bytes", () => {
  let taken = 0;
  for (let seed = 1; seed <= 5000; seed++) {
    const bytes = painted(80);
    bytes.set(noise(80, seed));
    for (let i = 0; i < 80; i++) bytes[i] = [0, 1, 2, 3, 41, 0xc0, 97, 0][bytes[i]! & 7]!;
    bytes.set([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, seed & 1], seed % 9);
    if (readDnsQuery(bytes, seed % 9, 20 + seed % 60) !== null) taken++;
  }
  assert(taken > 50, `${taken} taken`);
});

Deno.test("sameDnsQuestion ignores the case of the name and nothing else", () => {
  const question = (text: string) => dnsQuery(text).subarray(12);
  const same = (a: string, b: string) => sameDnsQuestion(question(a), dnsQuery(b), 12);
  assert(same("exAMPle.test A", "EXample.test A"));
  // Type 0x41 and 0x61 are a letter's two forms.
  for (const other of ["example.tesu A", "example.test AAAA", "example.test A 3", "[xample.test A"]) {
    assert(!same("example.test A", other), other);
  }
  assert(!same("a.test 65", "a.test 97"));
  assert(!same("{.test A", "[.test A"), "two bytes that are no letters");
});

Deno.test("encodeDnsAnswer repeats id, question, operation, RD, CD and EDNS with DO, and sets nothing else", () => {
  const write = (fields: MessageFields) => {
    const into = painted(600);
    const length = encodeDnsAnswer(into, 3, read("Ab.test A", fields), { flags: DNS_SERVFAIL });
    assertEquals([into[2], into[3 + length]], [0xa5, 0xa5]);
    return into.slice(3, 3 + length);
  };
  const plain = write({ id: 513, flags: DNS_RD | DNS_AD });
  assertEquals([plain[2], plain[3]], [0x81, 0x82]);
  assertEquals(dnsText(plain), "DNS answer 513 SERVFAIL, A? Ab.test.");
  const extended = write({ flags: DNS_CD, additionals: [optRecord(4096, 0x8000)] });
  assertEquals([extended[2], extended[3]], [0x80, 0x92]);
  assertEquals(dnsText(extended), "DNS answer 1 SERVFAIL, A? Ab.test., 0/0/1 records; . 41 32768 0");
  assertEquals(dnsText(write({ flags: 5 << 11, questions: [] })), "DNS answer 1 SERVFAIL, opcode 5");
});

Deno.test("encodeTruncatedDnsAnswer says so, and fits into 512 bytes for the longest name", () => {
  const label = "a".repeat(63), name = `${label}.${label}.${label}.${"b".repeat(61)}`, into = painted(600);
  const query = read(`${name} A`, { additionals: [optRecord(4096)] });
  const length = encodeTruncatedDnsAnswer(into, 0, query);
  assert(length <= 512);
  assertEquals(dnsText(into.slice(0, length)).slice(0, 40), "DNS answer 1 NOERROR, truncated, A? " + "aaaa");
  assertEquals(dnsMessage({}).length, 12);
});
