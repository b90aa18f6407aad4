import { assert, assertEquals } from "@std/assert";
import {
  DnsCache,
  lifeOfDnsAnswer,
  MAX_DNS_CACHE_BYTES,
  MAX_DNS_ENTRIES,
  MAX_DNS_LIFE_S,
} from "../../../nat/service/dns_cache.ts";
import { DNS_QR, DNS_TC } from "../../../net/wire/dns.ts";
import {
  aRecord,
  cnameRecord,
  dnsAnswer,
  dnsText,
  type MessageFields,
  optRecord,
  soaRecord,
  txtRecord,
  TYPE,
} from "../../support/dns_messages.ts";
import { noise, painted } from "../../support/packet_bytes.ts";

const QUESTION = "name.test A";

/** Seconds that an answer to a question for an A record may be kept; negative ones are in brackets. */
function life(fields: MessageFields, type: number = TYPE.A): number | [number] {
  const bytes = dnsAnswer(QUESTION, fields), { seconds, negative } = lifeOfDnsAnswer(bytes, 0, bytes.length, type);
  return negative ? [seconds] : seconds;
}

/** A cache whose one answer was put in at time 5000 ms. */
function cacheOf(fields: MessageFields, type: number = TYPE.A): (now: number) => string | null {
  const cache = new DnsCache(), shifted = painted(2000), bytes = dnsAnswer(QUESTION, fields);
  shifted.set(bytes, 9);
  cache.put("key", { bytes: shifted, start: 9, end: 9 + bytes.length, type }, 5000);
  shifted.fill(0);
  return (now) => {
    const into = painted(2000), length = cache.read("key", now, into, 11);
    assertEquals([into[10], into[11 + length]], [0xa5, 0xa5]);
    return length === 0 ? null : dnsText(into.slice(11, 11 + length));
  };
}

Deno.test("lifeOfDnsAnswer is the least TTL of an answer, at most an hour", () => {
  assertEquals(life({ answers: [aRecord(300)] }), 300);
  assertEquals(life({ answers: [cnameRecord(500, "x.test"), aRecord(300)], additionals: [aRecord(200)] }), 200);
  assertEquals(life({ answers: [aRecord(604_800)] }), MAX_DNS_LIFE_S);
  assertEquals(life({ answers: [aRecord(300)], additionals: [optRecord(1232, 0x8000)] }), 300);
});

Deno.test("lifeOfDnsAnswer is none for a TTL of 0, and for one with its first bit set", () => {
  assertEquals(life({ answers: [aRecord(0)] }), 0);
  assertEquals(life({ answers: [aRecord(300), aRecord(0)] }), 0);
  assertEquals(life({ answers: [aRecord(0x80000000)] }), 0);
});

Deno.test("lifeOfDnsAnswer takes nothing truncated, and no other response code", () => {
  const answers = [aRecord(300)], authorities = [soaRecord(300, 300)];
  assertEquals(life({ answers, flags: DNS_QR | DNS_TC }), 0);
  for (const rcode of [1, 4, 5, 6, 9, 10, 15]) {
    assertEquals(life({ answers, authorities, flags: DNS_QR | rcode }), 0, `${rcode}`);
  }
  assertEquals(
    life({ authorities, additionals: [optRecord(1232, 0x01000000)] }),
    0,
    "BADVERS: 16, of which 0 is in the header",
  );
});

Deno.test("lifeOfDnsAnswer of nothing is the lesser of the SOA record's TTL and MINIMUM, and none without it", () => {
  for (const flags of [DNS_QR, DNS_QR | 3]) {
    assertEquals(life({ flags, authorities: [soaRecord(900, 60)] }), [60]);
    assertEquals(life({ flags, authorities: [soaRecord(60, 900)] }), [60]);
    assertEquals(life({ flags, authorities: [soaRecord(86_400, 86_400)] }), [MAX_DNS_LIFE_S]);
    assertEquals(life({ flags, authorities: [soaRecord(900, 0)] }), [0]);
    assertEquals(life({ flags }), 0);
    assertEquals(life({ flags, additionals: [soaRecord(900, 60)] }), 0, "a SOA record out of place");
    const broken = { ...soaRecord(900, 60), data: new Uint8Array(21) };
    assertEquals(life({ flags, authorities: [broken] }), 0, "a SOA record that is none");
  }
  assertEquals(life({ flags: DNS_QR | 3, answers: [cnameRecord(30, "x.test")], authorities: [soaRecord(900, 60)] }), [
    30,
  ]);
});

Deno.test("lifeOfDnsAnswer does not take an alias for the record that was asked for", () => {
  assertEquals(life({ answers: [cnameRecord(300, "x.test")] }), 0);
  assertEquals(life({ answers: [cnameRecord(300, "x.test")], authorities: [soaRecord(900, 60)] }), [60]);
  assertEquals(life({ answers: [cnameRecord(300, "x.test")] }, TYPE.CNAME), 300);
  assertEquals(life({ answers: [aRecord(300)] }, TYPE.AAAA), 0);
});

Deno.test("lifeOfDnsAnswer of SERVFAIL is 5 s", () => {
  assertEquals(life({ flags: DNS_QR | 2 }), [5]);
  assertEquals(life({ flags: DNS_QR | 2, authorities: [soaRecord(900, 900)] }), [5]);
});

Deno.test("lifeOfDnsAnswer takes nothing that is cut off or longer than it says", () => {
  const whole = dnsAnswer(QUESTION, { answers: [aRecord(300), aRecord(200)], additionals: [optRecord()] });
  for (let length = 27; length < whole.length; length++) {
    assertEquals(lifeOfDnsAnswer(whole, 0, length, TYPE.A).seconds, 0, `${length} bytes`);
  }
  assertEquals(lifeOfDnsAnswer(whole, 0, whole.length, TYPE.A).seconds, 200);
  const longer = new Uint8Array([...whole, 0]);
  assertEquals(lifeOfDnsAnswer(longer, 0, longer.length, TYPE.A).seconds, 0);
});

Deno.test("DnsCache takes seconds of age off every TTL but that of OPT, to the end of the life", () => {
  const read = cacheOf({ answers: [cnameRecord(500, "x.test"), aRecord(300)], additionals: [optRecord(1232, 0x8000)] });
  const text = (a: number, b: number) =>
    `DNS answer 1 NOERROR, A? name.test., 2/0/1 records; name.test. 5 ${a} 8; name.test. 1 ${b} 192.0.2.7; . 41 32768 0`;
  assertEquals(read(5000), text(500, 300));
  assertEquals(read(5999), text(500, 300));
  assertEquals(read(6000), text(499, 299));
  assertEquals(read(304_999), text(201, 1));
  assertEquals(read(305_000), null);
  assertEquals(read(5000), null, "it came back");
});

Deno.test("DnsCache gives out what was not found with no more than is left of its life", () => {
  const read = cacheOf({ flags: DNS_QR | 3, authorities: [soaRecord(900, 60)] });
  assertEquals(read(5000), "DNS answer 1 NXDOMAIN, A? name.test., 0/1/0 records; test. 6 60 22");
  assertEquals(read(35_000), "DNS answer 1 NXDOMAIN, A? name.test., 0/1/0 records; test. 6 30 22");
  assertEquals(read(65_000), null);
});

Deno.test("DnsCache keeps SERVFAIL for 5 s and not longer", () => {
  const read = cacheOf({ flags: DNS_QR | 2 });
  assertEquals([read(9999), read(10_000)], ["DNS answer 1 SERVFAIL, A? name.test.", null]);
});

Deno.test("DnsCache takes a new answer for an old one, and keeps the old one where the new may not be kept", () => {
  const cache = new DnsCache(), into = new Uint8Array(2000);
  const put = (fields: MessageFields, now: number) => {
    const bytes = dnsAnswer(QUESTION, fields);
    cache.put("key", { bytes, start: 0, end: bytes.length, type: TYPE.A }, now);
  };
  put({ answers: [aRecord(10)] }, 0);
  const bytes = cache.bytes;
  put({ answers: [aRecord(20)] }, 5000);
  put({ answers: [aRecord(0)] }, 6000);
  assertEquals([cache.size, cache.bytes], [1, bytes]);
  assert(cache.read("key", 12_000, into, 0) > 0);
  cache.clear();
  assertEquals([cache.size, cache.bytes, cache.read("key", 12_000, into, 0)], [0, 0, 0]);
});

Deno.test("DnsCache makes room by count: the entry longest unused goes", () => {
  const cache = new DnsCache({ entries: 3 }),
    into = new Uint8Array(2000),
    bytes = dnsAnswer(QUESTION, { answers: [aRecord(100)] });
  const put = (key: string) => cache.put(key, { bytes, start: 0, end: bytes.length, type: TYPE.A }, 0);
  const has = (key: string) => cache.read(key, 0, into, 0) > 0;
  ["a", "b", "c"].forEach(put);
  assert(has("a"));
  put("d");
  assertEquals(["b", "a", "c", "d"].map(has), [false, true, true, true]);
  put("e");
  assertEquals([cache.size, has("a")], [3, false]);
});

Deno.test("DnsCache makes room by bytes, and does not take what is too large for it alone", () => {
  const cache = new DnsCache({ bytes: 4000 }), large = dnsAnswer(QUESTION, { answers: [txtRecord(100, 1000)] });
  const put = (key: string, bytes: Uint8Array) =>
    cache.put(key, { bytes, start: 0, end: bytes.length, type: TYPE.TXT }, 0);
  for (let i = 0; i < 50; i++) {
    put(`${i}`, large);
    assert(cache.bytes <= 4000);
  }
  assertEquals(cache.size, 3);
  put("huge", dnsAnswer(QUESTION, { answers: [txtRecord(100, 4000)] }));
  assertEquals([cache.size, cache.read("huge", 0, new Uint8Array(9000), 0)], [3, 0]);
});

Deno.test("DnsCache holds to its default bounds, whatever is put in", () => {
  const cache = new DnsCache();
  for (let i = 0; i < 3 * MAX_DNS_ENTRIES; i++) {
    const bytes = dnsAnswer(`n${i}.test TXT`, { answers: [txtRecord(100, i % 3000)] });
    cache.put(`${i}`, { bytes, start: 0, end: bytes.length, type: TYPE.TXT }, 0);
    assert(cache.size <= MAX_DNS_ENTRIES && cache.bytes <= MAX_DNS_CACHE_BYTES);
  }
  assert(cache.bytes > MAX_DNS_CACHE_BYTES - 10_000);
  for (let i = 0; i < 3 * MAX_DNS_ENTRIES; i++) cache.read(`${i}`, 1e9, new Uint8Array(4000), 0);
  assertEquals([cache.size, cache.bytes], [0, 0]);
});

Deno.test("lifeOfDnsAnswer throws for no bytes, and its offsets lie in the message", () => {
  let kept = 0;
  const good = dnsAnswer(QUESTION, { answers: [aRecord(300), aRecord(200)], authorities: [soaRecord(9, 9)] });
  for (let seed = 1; seed <= 5000; seed++) {
    const bytes = new Uint8Array(good), [at, value] = noise(2, seed);
    bytes[27 + at! % (bytes.length - 27)] = value!;
    const { seconds, ttls } = lifeOfDnsAnswer(bytes, 0, bytes.length, TYPE.A);
    if (seconds > 0) kept++;
    for (const ttl of ttls) assert(ttl >= 12 && ttl + 4 <= bytes.length);
  }
  assert(kept > 100 && kept < 4900, `${kept} kept`);
});
