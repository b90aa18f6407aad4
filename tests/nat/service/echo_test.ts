import { assertEquals, assertNotEquals } from "@std/assert";
import { echoReply, echoReply6 } from "../../../nat/service/echo.ts";
import { addressSum, checksum } from "../../../net/wire/checksum.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { decodeIcmpv6, encodeIcmpv6Echo, ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST } from "../../../net/wire/icmpv6.ts";
import { decodeIcmpv4, encodeIcmpv4Echo, ICMP_ECHO_REQUEST } from "../../../net/wire/icmpv4.ts";

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/[0-9a-f]{2}/g)!, (byte) => parseInt(byte, 16));
}

/** A request in the middle of a larger array that is itself a view. */
function request(payload: Uint8Array): { bytes: Uint8Array; start: number; end: number } {
  const bytes = new Uint8Array(payload.length + 64).fill(0xa5).subarray(5), start = 20;
  const length = encodeIcmpv4Echo(bytes, start, { type: ICMP_ECHO_REQUEST, identifier: 0x1234, sequence: 7, payload });
  return { bytes, start, end: start + length };
}

Deno.test("echoReply answers a literal request with literal bytes", () => {
  const into = new Uint8Array(20).fill(0xa5);
  assertEquals(echoReply(bytesOf("0800 7d61 1234 0001 6869 0000"), 0, 10, into, 4), 10);
  assertEquals(into, bytesOf("a5a5a5a5 0000 8561 1234 0001 6869 a5a5a5a5a5a5"));
});

Deno.test("echoReply brings identifier, sequence number and data back under a right checksum", () => {
  for (const length of [0, 1, 2, 55, 56, 1472, 65_000]) {
    const payload = Uint8Array.from({ length }, (_, i) => i * 31 + length);
    const { bytes, start, end } = request(payload);
    const into = new Uint8Array(length + 16).fill(0xa5);
    assertEquals(echoReply(bytes, start, end, into, 3), length + 8);
    const reply = decodeIcmpv4(into, 3, 3 + length + 8);
    assertEquals([reply.type, reply.code, reply.identifier, reply.sequence], [0, 0, 0x1234, 7]);
    assertEquals([reply.checksumValid, into[2], into[3 + length + 8]], [true, 0xa5, 0xa5]);
    assertEquals(into.subarray(11, 11 + length), payload);
  }
});

Deno.test("echoReply gives a reply that is all zero the checksum of zeros, which no update of one gives", () => {
  const into = new Uint8Array(10);
  assertEquals(echoReply(bytesOf("0800 f7ff 0000 0000 0000"), 0, 10, into, 0), 10);
  assertEquals(into, bytesOf("0000 ffff 0000 0000 0000"));
});

Deno.test("echoReply keeps the checksum right at every value it can have", () => {
  const { bytes, start, end } = request(new Uint8Array(2));
  const into = new Uint8Array(10);
  for (let word = 0; word <= 0xffff; word += 257) {
    const length = encodeIcmpv4Echo(bytes, start, {
      type: ICMP_ECHO_REQUEST,
      identifier: word,
      sequence: 0xffff - word,
      payload: Uint8Array.of(word >>> 8, word),
    });
    echoReply(bytes, start, start + length, into, 0);
    if (checksum(into, 0, 10) !== 0) throw new Error(`wrong checksum for word ${word}, end ${end}`);
  }
});

Deno.test("echoReply answers in the place of the request", () => {
  const { bytes, start, end } = request(new TextEncoder().encode("abcdefgh"));
  assertEquals(echoReply(bytes, start, end, bytes, start), 16);
  assertEquals(decodeIcmpv4(bytes, start, end).checksumValid, true);
  assertEquals(bytes[start], 0);
});

Deno.test("echoReply carries a damaged request's damage on", () => {
  const { bytes, start, end } = request(new Uint8Array(8));
  bytes[end - 1]! ^= 1;
  const into = new Uint8Array(16);
  assertEquals(echoReply(bytes, start, end, into, 0), 16);
  assertNotEquals(checksum(into, 0, 16), 0);
});

Deno.test("echoReply leaves everything else unanswered and writes nothing", () => {
  const into = new Uint8Array(64).fill(0xa5);
  const { bytes, start, end } = request(new Uint8Array(8));
  for (let length = 0; length < 8; length++) assertEquals(echoReply(bytes, start, start + length, into, 0), 0);
  for (const [type, code] of [[0, 0], [8, 1], [3, 1], [13, 0], [255, 255]] as const) {
    bytes[start] = type;
    bytes[start + 1] = code;
    assertEquals(echoReply(bytes, start, end, into, 0), 0, `type ${type} code ${code}`);
  }
  assertEquals(into, new Uint8Array(64).fill(0xa5));
});

Deno.test("echoReply without room for the reply answers nothing instead of throwing", () => {
  const { bytes, start, end } = request(new Uint8Array(100));
  assertEquals(echoReply(bytes, start, end, new Uint8Array(107), 0), 0);
  assertEquals(echoReply(bytes, start, end, new Uint8Array(110), 3), 0);
  assertEquals(echoReply(bytes, start, end, new Uint8Array(108), 0), 108);
});

Deno.test("echoReply6 answers a literal request with literal bytes", () => {
  // From fd00::15 to fd00::2.
  const into = new Uint8Array(20).fill(0xa5);
  assertEquals(echoReply6(bytesOf("8000 0b04 1234 0001 6869 0000"), 0, 10, into, 4), 10);
  assertEquals(into, bytesOf("a5a5a5a5 8100 0a04 1234 0001 6869 a5a5a5a5a5a5"));
});

Deno.test("echoReply6 keeps the checksum right at every value it can have", () => {
  const sum = addressSum(IpAddress.parse("fd00::15")) + addressSum(IpAddress.parse("fd00::2"));
  const bytes = new Uint8Array(16), into = new Uint8Array(16);
  for (let word = 0; word <= 0xffff; word++) {
    const echo = { type: ICMPV6_ECHO_REQUEST, identifier: word, sequence: 7, payload: Uint8Array.of(1, 2) } as const;
    const length = encodeIcmpv6Echo(bytes, 2, echo, sum);
    if (echoReply6(bytes, 2, 2 + length, into, 3) !== length) throw new Error(`no reply for word ${word}`);
    const { type, checksumValid, identifier } = decodeIcmpv6(into, 3, 3 + length, sum);
    if (type !== ICMPV6_ECHO_REPLY || checksumValid !== true || identifier !== word) throw new Error(`word ${word}`);
  }
});

Deno.test("echoReply6 answers no reply, error, other code, cut off header or request without room", () => {
  const into = new Uint8Array(10);
  for (const hex of ["8100 1c72 1234 0001", "0100 0000 0000 0000", "8001 1d71 1234 0001", "0800 7d61 1234 0001"]) {
    assertEquals(echoReply6(bytesOf(hex), 0, 8, into, 0), 0, hex);
  }
  assertEquals(echoReply6(bytesOf("8000 1d72 1234 00"), 0, 7, into, 0), 0);
  assertEquals(echoReply6(bytesOf("8000 1d72 1234 0001 6869 00"), 0, 10, into, 1), 0);
  assertEquals(into, new Uint8Array(10));
});
