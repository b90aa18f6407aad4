import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  checkIcmpv4,
  decodeIcmpv4,
  encodeIcmpv4Echo,
  encodeIcmpv4Error,
  formatIcmpv4,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_PORT_UNREACHABLE,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  icmpv4Checksum,
  icmpv4ChecksumValid,
  icmpv4Code,
  icmpv4Identifier,
  icmpv4Mtu,
  icmpv4Quoted,
  icmpv4Sequence,
  icmpv4SetEcho,
  icmpv4Type,
} from "../../../net/wire/icmpv4.ts";
import { encodeIpv4, Ipv4Header, ipv4Protocol } from "../../../net/wire/ipv4.ts";
import { udpDestinationPort } from "../../../net/wire/udp.ts";
import { naiveChecksum } from "../../support/naive_checksum.ts";
import { assertEncodes, assertRefusesEveryShorter, hex, noise, painted, toHex } from "../../support/packet_bytes.ts";

const DOORS = { layer: "icmpv4", check: checkIcmpv4, decode: decodeIcmpv4 };
/** An echo request with "abcdefg", and Linux's reply to it. */
const REQUEST = "08 00 66 ca 00 07 00 01 61 62 63 64 65 66 67";
const REPLY = "00 00 6e ca 00 07 00 01 61 62 63 64 65 66 67";
/** A UDP datagram to a port that nobody listens on, and Linux's answer. */
const ORIGINAL = "45 00 00 20 00 00 40 00 40 11 22 bd 0a 00 02 02 0a 00 02 0f  00 35 00 09 00 0c 00 00 61 62 63 64";
const UNREACHABLE = `03 03 37 ec 00 00 00 00 ${ORIGINAL}`;

/** An IPv4 datagram of `length` bytes. */
function datagram(length: number): Uint8Array {
  const bytes = noise(length, length);
  const header = new Ipv4Header();
  header.totalLength = length;
  encodeIpv4(bytes, 0, header);
  return bytes;
}

Deno.test("icmpv4 getters read the message at an offset", () => {
  const bytes = hex(`ff ${REQUEST}`);
  assert(checkIcmpv4(bytes, 1, bytes.length));
  assertEquals([icmpv4Type(bytes, 1), icmpv4Code(bytes, 1), icmpv4Checksum(bytes, 1)], [ICMP_ECHO_REQUEST, 0, 0x66ca]);
  assertEquals([icmpv4Identifier(bytes, 1), icmpv4Sequence(bytes, 1)], [7, 1]);
  assertStrictEquals(icmpv4Code(hex(UNREACHABLE), 0), ICMP_PORT_UNREACHABLE);
});

Deno.test("decodeIcmpv4 gives the message and the payload's place", () => {
  assertEquals(decodeIcmpv4(hex(`ff ${REPLY}`), 1), {
    type: ICMP_ECHO_REPLY,
    code: 0,
    checksum: 0x6eca,
    checksumValid: true,
    identifier: 7,
    sequence: 1,
    payloadStart: 9,
    payloadEnd: 16,
  });
});

Deno.test("encodeIcmpv4Echo writes the bytes that Linux sends", () => {
  const payload = new TextEncoder().encode("abcdefg");
  const echo = { identifier: 7, sequence: 1, payload };
  assertEncodes(REQUEST, (bytes, at) => encodeIcmpv4Echo(bytes, at, { type: ICMP_ECHO_REQUEST, ...echo }));
  assertEncodes(REPLY, (bytes, at) => encodeIcmpv4Echo(bytes, at, { type: ICMP_ECHO_REPLY, ...echo }));
  assertEncodes(
    "08 00 f7 ff 00 00 00 00",
    (bytes, at) => encodeIcmpv4Echo(bytes, at, { type: ICMP_ECHO_REQUEST, identifier: 0, sequence: 0 }),
  );
});

Deno.test("encodeIcmpv4Echo takes a payload that lies where it writes", () => {
  const bytes = hex(`${REQUEST} 00 00 00`);
  const payload = bytes.subarray(8, 15);
  // Three bytes on: the new payload's place overlaps the old one's.
  encodeIcmpv4Echo(bytes, 3, { type: ICMP_ECHO_REPLY, identifier: 7, sequence: 1, payload });
  assertStrictEquals(toHex(bytes, 3), REPLY.replaceAll(" ", ""));
});

Deno.test("encodeIcmpv4Echo throws where the payload has no room", () => {
  const echo = { type: ICMP_ECHO_REPLY, identifier: 7, sequence: 1, payload: new Uint8Array(9) } as const;
  assertThrows(() => encodeIcmpv4Echo(painted(16), 0, echo), RangeError);
});

Deno.test("icmpv4 refuses a header truncated at every length", () => {
  assertRefusesEveryShorter(DOORS, hex("08 00 f7 ff 00 00 00 00"));
});

Deno.test("icmpv4ChecksumValid sees a flipped bit in every byte, and the end that it is given", () => {
  const bytes = hex(`${REQUEST} 99`);
  assert(icmpv4ChecksumValid(bytes, 0, 15));
  assert(!icmpv4ChecksumValid(bytes, 0, 16), "padding is not part of the message");
  for (let at = 0; at < 15; at++) {
    bytes[at]! ^= 0x10;
    assert(!icmpv4ChecksumValid(bytes, 0, 15), `byte ${at}`);
    assertStrictEquals(decodeIcmpv4(bytes, 0, 15).checksumValid, false);
    bytes[at]! ^= 0x10;
  }
});

Deno.test("encodeIcmpv4Error writes the bytes that Linux sends, and leaves the original's padding out", () => {
  const padded = hex(`ff ff ${ORIGINAL} 00 00 00 00 00 00`);
  assertEncodes(
    UNREACHABLE,
    (bytes, offset) =>
      encodeIcmpv4Error(bytes, offset, { type: ICMP_UNREACHABLE, code: ICMP_PORT_UNREACHABLE }, {
        bytes: padded,
        start: 2,
        end: padded.length,
      }),
  );
});

Deno.test("encodeIcmpv4Error quotes 548 bytes at most, so that the datagram is 576", () => {
  for (const [length, quoted] of [[28, 28], [547, 547], [548, 548], [549, 548], [1500, 548], [65535, 548]] as const) {
    const bytes = datagram(length), out = painted(700);
    const written = encodeIcmpv4Error(out, 3, { type: ICMP_TIME_EXCEEDED, code: 0 }, { bytes, start: 0, end: length });
    assertStrictEquals(written, 8 + quoted);
    assertEquals(toHex(out, 11, 11 + quoted), toHex(bytes, 0, quoted));
    assertStrictEquals(naiveChecksum(out, 3, 3 + written), 0);
    assertStrictEquals(out[3 + written], 0xa5);
  }
});

Deno.test("encodeIcmpv4Error carries the next hop's MTU and leaves the unused word zero otherwise", () => {
  const original = { bytes: datagram(1500), start: 0, end: 1500 };
  const out = painted(600);
  const error = { type: ICMP_UNREACHABLE, code: ICMP_FRAGMENTATION_NEEDED, mtu: 1400 };
  const length = encodeIcmpv4Error(out, 0, error, original);
  assertStrictEquals(icmpv4Mtu(out, 0), 1400);
  assertStrictEquals(toHex(out, 4, 8), "00000578");
  assert(icmpv4ChecksumValid(out, 0, length));
  encodeIcmpv4Error(out, 0, { type: ICMP_TIME_EXCEEDED, code: 0 }, original);
  assertStrictEquals(toHex(out, 4, 8), "00000000");
});

Deno.test("encodeIcmpv4Error quotes no byte past the end it is given, whatever the total length says", () => {
  const out = painted(200);
  const original = { bytes: datagram(100), start: 0, end: 40 };
  assertStrictEquals(encodeIcmpv4Error(out, 0, { type: ICMP_TIME_EXCEEDED, code: 0 }, original), 48);
  assertStrictEquals(out[48], 0xa5);
});

Deno.test("encodeIcmpv4Error throws where the quote has no room", () => {
  const original = { bytes: datagram(100), start: 0, end: 100 };
  assertThrows(() => encodeIcmpv4Error(painted(107), 0, { type: 3, code: 1 }, original), RangeError);
});

Deno.test("icmpv4Quoted finds the packet that an error is about, though its total length goes past the quote", () => {
  const bytes = hex(`ff ff ${UNREACHABLE}`);
  const quote = icmpv4Quoted(bytes, 2, bytes.length);
  assertEquals([quote, ipv4Protocol(bytes, quote), udpDestinationPort(bytes, quote + 20)], [10, 17, 9]);
  assertStrictEquals(icmpv4Quoted(bytes, 2, 2 + 8 + 28), 10, "header and 8 bytes are enough");
});

Deno.test("icmpv4Quoted refuses a quote without 8 bytes after its header", () => {
  const bytes = hex(UNREACHABLE);
  for (let end = 8; end < 36; end++) assertStrictEquals(icmpv4Quoted(bytes, 0, end), -1, `${end} bytes`);
  bytes[8] = 0x47;
  assertStrictEquals(icmpv4Quoted(bytes, 0, 35), -1, "28 bytes of header need 36");
});

Deno.test("icmpv4Quoted refuses what is no error, no version 4, or of impossible lengths", () => {
  for (const [at, value] of [[0, ICMP_ECHO_REPLY], [0, ICMP_ECHO_REQUEST], [8, 0x65], [8, 0x44], [11, 19]] as const) {
    const bytes = hex(UNREACHABLE);
    bytes[at] = value;
    assertStrictEquals(icmpv4Quoted(bytes, 0, bytes.length), -1, `byte ${at} = ${value}`);
  }
});

Deno.test("formatIcmpv4 is one line in tcpdump's manner", () => {
  assertStrictEquals(formatIcmpv4(decodeIcmpv4(hex(REQUEST))), "ICMP echo request, id 7, seq 1, length 15");
  assertStrictEquals(formatIcmpv4(decodeIcmpv4(hex(REPLY))), "ICMP echo reply, id 7, seq 1, length 15");
  assertStrictEquals(formatIcmpv4(decodeIcmpv4(hex(UNREACHABLE))), "ICMP type 3 code 3, length 40");
  const broken = hex(UNREACHABLE);
  broken[1] = 1;
  assertStrictEquals(formatIcmpv4(decodeIcmpv4(broken)), "ICMP type 3 code 1, bad cksum, length 40");
});

Deno.test("icmpv4SetEcho makes an echo of either family one of IPv4, with another identifier and a right checksum", () => {
  for (const payload of [new Uint8Array(0), new Uint8Array(1), noise(7, 1), noise(64, 2)]) {
    const bytes = painted(8 + payload.length), end = 8 + payload.length;
    encodeIcmpv4Echo(bytes, 0, { type: ICMP_ECHO_REQUEST, identifier: 0xfffe, sequence: 3, payload });
    bytes[0] = 128;
    bytes[1] = 9;
    for (const identifier of [0, 1, 0xffff, 0x1234]) {
      icmpv4SetEcho(bytes, 0, end, ICMP_ECHO_REPLY, identifier);
      const { type, code, sequence, checksumValid, payloadStart, ...message } = decodeIcmpv4(bytes);
      assertEquals([type, code, message.identifier, sequence, checksumValid], [0, 0, identifier, 3, true]);
      assertEquals(bytes.slice(payloadStart), payload);
    }
  }
});

Deno.test("icmpv4SetEcho gives a reply that is all zero the checksum of zeros", () => {
  const bytes = painted(9).fill(0);
  icmpv4SetEcho(bytes, 0, 9, ICMP_ECHO_REPLY, 0);
  assertEquals([...bytes], [0, 0, 0xff, 0xff, 0, 0, 0, 0, 0]);
});
