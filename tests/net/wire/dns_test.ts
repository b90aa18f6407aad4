import { assert, assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../../net/wire/decode_error.ts";
import {
  checkDns,
  decodeDns,
  DNS_QR,
  DNS_RD,
  DNS_TC,
  DNS_TYPE_A,
  DNS_TYPE_OPT,
  DNS_TYPE_SOA,
  dnsId,
  dnsLowerCase,
  dnsQuestionClass,
  dnsQuestionEnd,
  dnsQuestionType,
  DnsRecords,
  dnsSetId,
  encodeDnsHeader,
  encodeDnsName,
  encodeDnsQuestion,
  encodeDnsRecord,
  formatDns,
  readDnsName,
} from "../../../net/wire/dns.ts";
import { assertEncodes, assertRefused, hex, noise, painted, placed, toHex } from "../../support/packet_bytes.ts";

const DOORS = { layer: "dns", check: checkDns, decode: decodeDns };
/** `example.org.`, A, IN. */
const QUESTION = "07 6578616d706c65 03 6f7267 00 0001 0001";
const QUERY = hex(`1234 0100 0001 0000 0000 0000 ${QUESTION}`);
/** A CNAME to `www.example.org.`, its A record, a SOA record, an OPT record; names compressed. */
const ANSWER = hex(`1234 8180 0001 0002 0001 0001 ${QUESTION}
  c00c 0005 0001 0000012c 0006 03 777777 c00c
  c029 0001 0001 0000003c 0004 c0000207
  c014 0006 0001 00000e10 0018 c00c c014 00000001 00000e10 000004b0 00093a80 00000078
  00   0029 04d0 00008000 0000`);

/** A message without questions and with this name at its end. */
function nameMessage(name: string): Uint8Array {
  return hex(`0000 0000 0000 0000 0000 0000 ${name}`);
}

function nameAt(bytes: Uint8Array, at = 12): string | null {
  return readDnsName(bytes, { start: 0, at, end: bytes.length });
}

Deno.test("decodeDns reads a query", () => {
  assertEquals(decodeDns(QUERY), {
    id: 0x1234,
    flags: DNS_RD,
    questions: 1,
    answers: 0,
    authorities: 0,
    additionals: 0,
    question: [{ name: "example.org.", type: 1, class: 1 }],
    records: [],
  });
  assertEquals(formatDns(decodeDns(QUERY)), "DNS query 4660, A? example.org.");
});

Deno.test("decodeDns reads an answer, compressed names included", () => {
  const { question, records } = decodeDns(ANSWER);
  assertEquals(question, [{ name: "example.org.", type: 1, class: 1 }]);
  assertEquals(
    records.map(({ section, name, type, class: klass, ttl, dataStart, dataEnd }) =>
      `${section} ${name} ${type} ${klass} ${ttl} ${toHex(ANSWER, dataStart, dataEnd)}`
    ),
    [
      "1 example.org. 5 1 300 03777777c00c",
      "1 www.example.org. 1 1 60 c0000207",
      "2 org. 6 1 3600 c00cc0140000000100000e10000004b000093a8000000078",
      "3 . 41 1232 32768 ",
    ],
  );
  assertEquals(formatDns(decodeDns(ANSWER)), "DNS answer 4660 NOERROR, A? example.org., 2/1/1 records");
});

Deno.test("formatDns names operation, response code, truncation and types it does not know", () => {
  const format = (text: string) => formatDns(decodeDns(hex(text)));
  assertEquals(format("0001 8383 0000 0000 0000 0000"), "DNS answer 1 NXDOMAIN, truncated");
  assertEquals(format("0002 2800 0001 0000 0000 0000 00 ff01 0001"), "DNS query 2, opcode 5, TYPE65281? .");
  assertEquals(format("0003 800f 0000 0000 0000 0000"), "DNS answer 3 RCODE 15");
});

Deno.test("checkDns and its getters read the first question in place", () => {
  const shifted = painted(60);
  shifted.set(QUERY, 9);
  assert(checkDns(shifted, 9, 9 + QUERY.length));
  const end = dnsQuestionEnd(shifted, 9, 9 + QUERY.length);
  assertEquals([dnsId(shifted, 9), end, dnsQuestionType(shifted, end), dnsQuestionClass(shifted, end)], [
    0x1234,
    9 + QUERY.length,
    1,
    1,
  ]);
  dnsSetId(shifted, 9, 0xbeef);
  assertEquals(toHex(shifted, 9, 13), "beef0100");
});

Deno.test("dnsLowerCase changes letters and nothing else", () => {
  for (let byte = 0; byte < 256; byte++) {
    const letter = byte >= 65 && byte <= 90;
    assertEquals(dnsLowerCase(byte), letter ? byte + 32 : byte);
  }
});

Deno.test("both doors refuse a query at every length that cuts it", () => {
  for (let length = 0; length < QUERY.length; length++) {
    assertRefused(DOORS, placed(QUERY.subarray(0, length)));
    const shifted = painted(QUERY.length + 9);
    shifted.set(QUERY, 4);
    assertRefused(DOORS, shifted, { start: 4, end: 4 + length });
  }
});

Deno.test("decodeDns refuses an answer at every length that cuts it, where check and DnsRecords only end early", () => {
  let seen = 0;
  for (let length = 0; length < ANSWER.length; length++) {
    const cut = placed(ANSWER.subarray(0, length));
    assertThrows(() => decodeDns(cut), DecodeError, "Cannot decode dns at offset 0");
    assertEquals(checkDns(cut, 0, length), length >= QUERY.length);
    if (length < QUERY.length) continue;
    const records = new DnsRecords(cut, 0, length);
    let count = 0;
    while (records.next()) count++;
    assert(records.malformed && count < 4, `${length} bytes: ${count} records`);
    seen = Math.max(seen, count);
  }
  assertEquals(seen, 3);
});

Deno.test("DnsRecords walks sections in order and says where each TTL is", () => {
  const records = new DnsRecords(ANSWER, 0, ANSWER.length), seen: string[] = [];
  while (records.next()) {
    assertEquals(toHex(ANSWER, records.ttlAt, records.ttlAt + 4), records.ttl.toString(16).padStart(8, "0"));
    seen.push(`${records.section} ${records.type} ${records.ttl}`);
    assertEquals(records.soaMinimum, records.type === DNS_TYPE_SOA ? 120 : -1);
  }
  assertEquals(seen, ["1 5 300", "1 1 60", "2 6 3600", "3 41 32768"]);
  assertEquals([records.malformed, records.end, records.next()], [false, ANSWER.length, false]);
});

Deno.test("DnsRecords takes a TTL with its first bit set for 0", () => {
  const bytes = placed(ANSWER);
  bytes[QUERY.length + 6] = 0x80;
  const records = new DnsRecords(bytes, 0, bytes.length);
  assert(records.next());
  assertEquals(records.ttl, 0);
});

Deno.test("DnsRecords.soaMinimum is -1 where the data is not two names and 20 bytes", () => {
  const soa = (data: string) => {
    const length = (data.replace(/\s/g, "").length / 2).toString(16).padStart(4, "0");
    const bytes = hex(`0000 8000 0000 0001 0000 0000 00 0006 0001 00000001 ${length} ${data}`);
    const records = new DnsRecords(bytes, 0, bytes.length);
    assert(records.next());
    return records.soaMinimum;
  };
  const times = "00000001 00000002 00000003 00000004 000000ff";
  assertEquals(soa(`01 61 00 c00c ${times}`), 255);
  assertEquals(soa(`01 61 00 ${times}`), -1);
  assertEquals(soa(`01 61 00 c00c ${times} 00`), -1);
  assertEquals(soa(`01 61 00 c00c ${times.slice(2)}`), -1);
  assertEquals(soa(`40 61 00 c00c ${times}`), -1);
  assertEquals(soa(`ff`), -1);
  assertEquals(soa(``), -1);
});

Deno.test("DnsRecords ends at once where the header promises more than there is", () => {
  for (const counts of ["ffff ffff ffff ffff", "0002 0000 0000 0000", "0001 0000 0000 ffff"]) {
    const bytes = hex(`1234 0100 ${counts} ${QUESTION}`), records = new DnsRecords(bytes, 0, bytes.length);
    assertEquals([records.next(), records.malformed], [false, true]);
    assertThrows(() => decodeDns(bytes), DecodeError);
  }
});

Deno.test("readDnsName follows pointers backwards", () => {
  const bytes = nameMessage("01 61 00 01 62 c00c 01 63 c00f c013");
  assertEquals([12, 15, 19, 23].map((at) => nameAt(bytes, at)), ["a.", "b.a.", "c.b.a.", "c.b.a."]);
  assertEquals(nameAt(nameMessage("00")), ".");
});

Deno.test("readDnsName refuses loops and pointers that do not lead back", () => {
  assertEquals(nameAt(nameMessage("c00c")), null, "to itself");
  assertEquals(nameAt(nameMessage("01 61 c00c")), null, "to its own labels");
  assertEquals(nameAt(nameMessage("c00e c00c"), 14), null, "to each other");
  assertEquals(nameAt(nameMessage("c00e 01 61 00")), null, "ahead");
  assertEquals(nameAt(nameMessage("ffff")), null, "past the end");
  assertEquals(nameAt(nameMessage("c0")), null, "cut");
  for (const reserved of ["40", "80", "bf"]) assertEquals(nameAt(nameMessage(`${reserved} 61 00`)), null, reserved);
});

Deno.test("readDnsName of a chain of pointers stays short, however long the chain is", () => {
  const bytes = new Uint8Array(16000);
  bytes.set([1, 97, 0], 12);
  for (let at = 15, to = 12; at < 15990; to = at, at += 4) bytes.set([1, 97, 0xc0 | (to >>> 8), to & 255], at);
  assertEquals(nameAt(bytes, 15 + 4 * 125)!.length, 254);
  assertEquals(nameAt(bytes, 15 + 4 * 126), null, "256 bytes");
  assertEquals(nameAt(bytes, 15 + 4 * 3900), null);
});

Deno.test("labels of 63 bytes and names of 255 are the longest, in both doors and in the encoder", () => {
  const label = "a".repeat(63), longest = `${label}.${label}.${label}.${"b".repeat(61)}.`;
  const bytes = painted(12 + 300);
  const encode = (name: string) => {
    encodeDnsHeader(bytes, 0, { id: 1, flags: 0, questions: 1, answers: 0, authorities: 0, additionals: 0 });
    return 12 + encodeDnsQuestion(bytes, 12, { name, type: 1, class: 1 });
  };
  assertEquals(encode(longest), 12 + 255 + 4);
  assertEquals(decodeDns(bytes, 0, 271).question[0]!.name, longest);
  assertThrows(() => encode(longest.slice(0, -1) + "b"), RangeError, "it is longer than 255 bytes");
  assertThrows(() => encode(label + "a"), RangeError, "a label is longer than 63 bytes");
  // The same by hand: one byte more in the last label, and a label of 64.
  encode(longest);
  bytes[12 + 192] = 62;
  assertRefused(DOORS, bytes);
  bytes[12] = 64;
  assertRefused(DOORS, bytes);
});

Deno.test("names hold any byte, and come back from text as they were", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (let from = 0; from < 256; from += 60) {
    const part = all.subarray(from, from + 60), bytes = nameMessage(`${part.length.toString(16)} ${toHex(part)} 00`);
    const text = nameAt(bytes)!, back = new Uint8Array(80);
    assertEquals(encodeDnsName(back, 0, text), part.length + 2);
    assertEquals(toHex(back, 0, part.length + 2), toHex(bytes, 12));
    assert(/^[!-~]*$/.test(text));
  }
});

Deno.test("encodeDnsName takes a final dot or none, and refuses what is no name", () => {
  for (const name of ["a.bc", "a.bc."]) assertEncodes("0161 026263 00", (bytes, at) => encodeDnsName(bytes, at, name));
  for (const name of [".", ""]) assertEncodes("00", (bytes, at) => encodeDnsName(bytes, at, name));
  assertEncodes("03 612e62 00", (bytes, at) => encodeDnsName(bytes, at, "a\\.b"));
  assertEncodes("03 615cff 00", (bytes, at) => encodeDnsName(bytes, at, "a\\\\\\255."));
  for (const name of ["a..b", ".a", ".."]) {
    assertThrows(() => encodeDnsName(new Uint8Array(20), 0, name), RangeError, "a label is empty");
  }
  for (const name of ["ä€", "a\\", "\\999"]) {
    assertThrows(() => encodeDnsName(new Uint8Array(20), 0, name), RangeError, "a character is no byte");
  }
});

Deno.test("encodeDnsHeader, encodeDnsQuestion and encodeDnsRecord write literal bytes", () => {
  const header = { id: 0x1234, flags: DNS_QR | DNS_TC | 3, questions: 1, answers: 2, authorities: 3, additionals: 4 };
  assertEncodes("1234 8203 0001 0002 0003 0004", (bytes, at) => encodeDnsHeader(bytes, at, header));
  const question = { name: "example.org", type: DNS_TYPE_A, class: 1 };
  assertEncodes(QUESTION, (bytes, at) => encodeDnsQuestion(bytes, at, question));
  const data = Uint8Array.of(192, 0, 2, 7);
  assertEncodes(
    "c00c 0001 0001 7fffffff 0004 c0000207",
    (bytes, at) => encodeDnsRecord(bytes, at, { name: 12, type: 1, class: 1, ttl: 0x7fffffff, data }),
  );
  assertEncodes(
    "00 0029 04d0 00008000 0000",
    (bytes, at) =>
      encodeDnsRecord(bytes, at, { name: ".", type: DNS_TYPE_OPT, class: 1232, ttl: 0x8000, data: new Uint8Array(0) }),
  );
});

Deno.test("no bytes make the hot door or the walk throw or leave their range, and check takes all that decode takes", () => {
  let taken = 0, differ = 0;
  for (let seed = 1; seed <= 5000; seed++) {
    const start = seed % 7, end = start + (seed * 5) % 90, bytes = painted(end + 3);
    bytes.set(noise(end + 3, seed));
    bytes.set([0, 1, 1, 0, 0, seed & 1, 0, seed % 3, 0, 0, 0, 0].slice(0, Math.max(0, end - start)), start);
    // Few different bytes, so that labels end and pointers have something to point to.
    for (let i = start + 12; i < end; i++) bytes[i] = [0, 1, 2, 0xc0, 12, 14, 97, 0][bytes[i]! & 7]!;
    const accepted = checkDns(bytes, start, end);
    if (accepted) {
      const records = new DnsRecords(bytes, start, end);
      while (records.next()) assert(records.dataStart <= records.dataEnd && records.dataEnd <= end);
    }
    try {
      decodeDns(bytes, start, end);
      assert(accepted, `only decode takes seed ${seed}`);
      taken++;
    } catch (error) {
      assert(error instanceof DecodeError, `${error}`);
      if (accepted) differ++;
    }
  }
  assert(taken > 100 && differ > 100, `${taken} taken, ${differ} taken by check alone`);
});
