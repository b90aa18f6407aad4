import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { IpAddress } from "../../../net/wire/address.ts";
import { addressSum } from "../../../net/wire/checksum.ts";
import {
  checkIcmpv6,
  decodeIcmpv6,
  encodeIcmpv6Echo,
  encodeIcmpv6Error,
  formatIcmpv6,
  ICMPV6_ADDRESS_UNREACHABLE,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_NO_ROUTE,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_PORT_UNREACHABLE,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  icmpv6Checksum,
  icmpv6ChecksumValid,
  icmpv6Code,
  icmpv6Identifier,
  icmpv6IsError,
  icmpv6Mtu,
  icmpv6Pointer,
  icmpv6Quoted,
  icmpv6Sequence,
  icmpv6SetIdentifier,
  icmpv6Type,
} from "../../../net/wire/icmpv6.ts";
import { encodeIpv6, ipv6NextHeader } from "../../../net/wire/ipv6.ts";
import { ICMPV6_UNKNOWN_OPTION } from "../../../net/wire/ipv6_extensions.ts";
import { udpDestinationPort } from "../../../net/wire/udp.ts";
import { naiveSum } from "../../support/naive_checksum.ts";
import { assertEncodes, assertRefusesEveryShorter, hex, noise, painted, toHex } from "../../support/packet_bytes.ts";

const DOORS = { layer: "icmpv6", check: checkIcmpv6, decode: decodeIcmpv6 };
const GUEST = IpAddress.parse("fd00::15"), GATEWAY = IpAddress.parse("fd00::2");
const SUM = addressSum(GUEST) + addressSum(GATEWAY);
/** An echo request with "abcdefg", and Linux's reply to it. */
const REQUEST = "8000f4670007000161626364656667";
const REPLY = "8100f3670007000161626364656667";
const ENDS = "fd000000000000000000000000000015fd000000000000000000000000000002";
/** A UDP datagram to a port that nobody listens on, and Linux's answer. */
const ORIGINAL = `600dd475000d1140${ENDS}99670009000dfa36616263640a`;
const PORT = `0104620700000000${ORIGINAL}`;
/** A datagram without a route, one with an unknown option, and Linux's answers. */
const ROUTE =
  "0100da7200000000600f5541000b1101fd000000000000000000000000000015fd01000000000000000000000000000296ce0009000bfa35686f70";
const OPTIONS = `60048b3200103c40${ENDS}11009e04010203040005000900080000`;
const OPTION = `04022c800000002a${OPTIONS}`;

/** An IPv6 packet of `length` bytes. */
function packet(length: number): Uint8Array {
  const bytes = noise(length, length);
  encodeIpv6(bytes, 0, { payloadLength: length - 40, nextHeader: 253, source: GUEST, destination: GATEWAY });
  return bytes;
}

/** The sum over pseudo-header and message, one word at a time: 0xffff if the checksum is right. */
function wholeSum(message: Uint8Array): number {
  const pseudo = `${ENDS} ${message.length.toString(16).padStart(8, "0")} 0000003a`;
  const whole = hex(`${pseudo} ${toHex(message)}`);
  return naiveSum(whole, 0, whole.length);
}

Deno.test("icmpv6 getters read the message at an offset", () => {
  const bytes = hex(`ff ${REQUEST}`);
  assert(checkIcmpv6(bytes, 1, bytes.length));
  assertEquals([icmpv6Type(bytes, 1), icmpv6Code(bytes, 1), icmpv6Checksum(bytes, 1)], [
    ICMPV6_ECHO_REQUEST,
    0,
    0xf467,
  ]);
  assertEquals([icmpv6Identifier(bytes, 1), icmpv6Sequence(bytes, 1), icmpv6IsError(bytes, 1)], [7, 1, false]);
  assertEquals([icmpv6Code(hex(PORT), 0), icmpv6IsError(hex(PORT), 0)], [ICMPV6_PORT_UNREACHABLE, true]);
  assertStrictEquals(icmpv6Pointer(hex(OPTION), 0), 42);
  assertStrictEquals(icmpv6IsError(hex("7f"), 0), true, "an error of a type that is not known");
});

Deno.test("decodeIcmpv6 gives the message and the payload's place", () => {
  assertEquals(decodeIcmpv6(hex(`ff ${REPLY}`), 1, 16, SUM), {
    type: ICMPV6_ECHO_REPLY,
    code: 0,
    checksum: 0xf367,
    checksumValid: true,
    identifier: 7,
    sequence: 1,
    body: 0x70001,
    quoted: null,
    payloadStart: 9,
    payloadEnd: 16,
  });
  assertStrictEquals(decodeIcmpv6(hex(REPLY)).checksumValid, null);
  assertEquals(decodeIcmpv6(hex(PORT)).quoted, { destination: GATEWAY, protocol: 17, port: 9 });
});

Deno.test("encodeIcmpv6Echo writes the bytes that Linux sends", () => {
  const payload = new TextEncoder().encode("abcdefg");
  const echo = { identifier: 7, sequence: 1, payload };
  assertEncodes(REQUEST, (bytes, at) => encodeIcmpv6Echo(bytes, at, { type: ICMPV6_ECHO_REQUEST, ...echo }, SUM));
  assertEncodes(REPLY, (bytes, at) => encodeIcmpv6Echo(bytes, at, { type: ICMPV6_ECHO_REPLY, ...echo }, SUM));
});

Deno.test("encodeIcmpv6Echo takes a payload that lies where it writes, and throws where it has no room", () => {
  const bytes = hex(`${REQUEST} 00 00 00`), payload = bytes.subarray(8, 15);
  encodeIcmpv6Echo(bytes, 3, { type: ICMPV6_ECHO_REPLY, identifier: 7, sequence: 1, payload }, SUM);
  assertStrictEquals(toHex(bytes, 3), REPLY);
  const echo = { type: ICMPV6_ECHO_REPLY, identifier: 7, sequence: 1, payload: new Uint8Array(9) } as const;
  assertThrows(() => encodeIcmpv6Echo(painted(16), 0, echo, SUM), RangeError);
});

Deno.test("icmpv6 refuses a header truncated at every length", () => {
  assertRefusesEveryShorter(DOORS, hex(REQUEST.slice(0, 16)));
});

Deno.test("icmpv6ChecksumValid sees a flipped bit in every byte, other addresses, and the end that it is given", () => {
  const bytes = hex(`${REQUEST} 99`);
  assert(icmpv6ChecksumValid(bytes, 0, 15, SUM));
  assert(!icmpv6ChecksumValid(bytes, 0, 16, SUM), "padding is not part of the message");
  assert(!icmpv6ChecksumValid(bytes, 0, 15, SUM + 1), "another address");
  for (let at = 0; at < 15; at++) {
    bytes[at]! ^= 0x10;
    assert(!icmpv6ChecksumValid(bytes, 0, 15, SUM), `byte ${at}`);
    assertStrictEquals(decodeIcmpv6(bytes, 0, 15, SUM).checksumValid, false);
    bytes[at]! ^= 0x10;
  }
});

Deno.test("encodeIcmpv6Error writes the bytes that Linux sends, and leaves the original's padding out", () => {
  const unreachable = { type: ICMPV6_UNREACHABLE, code: ICMPV6_PORT_UNREACHABLE };
  const padded = hex(`ffff ${ORIGINAL} 000000`), range = { bytes: padded, start: 2, end: padded.length };
  assertEncodes(PORT, (bytes, at) => encodeIcmpv6Error(bytes, at, unreachable, range, SUM));
  const option = { type: ICMPV6_PARAMETER_PROBLEM, code: ICMPV6_UNKNOWN_OPTION, pointer: 42 };
  const options = { bytes: hex(OPTIONS), start: 0, end: 56 };
  assertEncodes(OPTION, (bytes, at) => encodeIcmpv6Error(bytes, at, option, options, SUM));
  const noRoute = { type: ICMPV6_UNREACHABLE, code: ICMPV6_NO_ROUTE };
  const beyond = { bytes: hex(ROUTE.slice(16)), start: 0, end: 51 };
  assertEncodes(ROUTE, (bytes, at) => encodeIcmpv6Error(bytes, at, noRoute, beyond, SUM));
});

Deno.test("encodeIcmpv6Error quotes 1232 bytes at most, so that the packet is 1280", () => {
  for (const [length, quoted] of [[48, 48], [1231, 1231], [1232, 1232], [1233, 1232], [65575, 1232]] as const) {
    const bytes = packet(length), out = painted(1300), range = { bytes, start: 0, end: length };
    const written = encodeIcmpv6Error(out, 3, { type: ICMPV6_TIME_EXCEEDED, code: 0 }, range, SUM);
    assertStrictEquals(written, 8 + quoted);
    assertEquals(toHex(out, 11, 11 + quoted), toHex(bytes, 0, quoted));
    assertStrictEquals(wholeSum(out.subarray(3, 3 + written)), 0xffff);
    assertStrictEquals(out[3 + written], 0xa5);
  }
});

Deno.test("encodeIcmpv6Error carries the next hop's MTU and leaves the unused word zero otherwise", () => {
  const original = { bytes: packet(1500), start: 0, end: 1500 }, out = painted(1300);
  const length = encodeIcmpv6Error(out, 0, { type: ICMPV6_PACKET_TOO_BIG, code: 0, mtu: 0x10500 }, original, SUM);
  assertStrictEquals(icmpv6Mtu(out, 0), 0x10500);
  assert(icmpv6ChecksumValid(out, 0, length, SUM));
  encodeIcmpv6Error(out, 0, { type: ICMPV6_UNREACHABLE, code: ICMPV6_ADDRESS_UNREACHABLE }, original, SUM);
  assertStrictEquals(toHex(out, 4, 8), "00000000");
});

Deno.test("encodeIcmpv6Error quotes no byte past the end it is given, and throws where the quote has no room", () => {
  const out = painted(200), error = { type: ICMPV6_TIME_EXCEEDED, code: 0 };
  assertStrictEquals(encodeIcmpv6Error(out, 0, error, { bytes: packet(100), start: 0, end: 60 }, SUM), 68);
  assertStrictEquals(out[68], 0xa5);
  const original = { bytes: packet(100), start: 0, end: 100 };
  assertThrows(() => encodeIcmpv6Error(painted(107), 0, error, original, SUM), RangeError);
});

Deno.test("icmpv6Quoted finds the packet that an error is about, though its payload length goes past the quote", () => {
  const bytes = hex(`ffff ${PORT}`), quote = icmpv6Quoted(bytes, 2, bytes.length);
  assertEquals([quote, ipv6NextHeader(bytes, quote), udpDestinationPort(bytes, quote + 40)], [10, 17, 9]);
  assertStrictEquals(icmpv6Quoted(bytes, 2, 2 + 8 + 48), 10, "header and 8 bytes are enough");
  bytes[2] = 100;
  assertStrictEquals(icmpv6Quoted(bytes, 2, bytes.length), 10, "an error of a type that is not known");
});

Deno.test("icmpv6Quoted refuses a quote without 8 bytes after its header, what is no error, and another version", () => {
  for (let end = 8; end < 56; end++) assertStrictEquals(icmpv6Quoted(hex(PORT), 0, end), -1, `${end} bytes`);
  for (const [at, value] of [[0, ICMPV6_ECHO_REPLY], [0, ICMPV6_ECHO_REQUEST], [0, 137], [8, 0x45]] as const) {
    const bytes = hex(PORT);
    bytes[at] = value;
    assertStrictEquals(icmpv6Quoted(bytes, 0, bytes.length), -1, `byte ${at} = ${value}`);
    assertStrictEquals(decodeIcmpv6(bytes).quoted, null);
  }
});

Deno.test("icmpv6SetIdentifier writes the checksum between the new addresses, whatever stood there", () => {
  const bytes = hex(REPLY.replace("f367", "ffff").replace("0007", "1234"));
  icmpv6SetIdentifier(bytes, 0, bytes.length, 7, SUM);
  assertStrictEquals(toHex(bytes), REPLY);
});

Deno.test("formatIcmpv6 is what tcpdump prints", () => {
  const text = (message: string) => formatIcmpv6(decodeIcmpv6(hex(message)));
  assertStrictEquals(text(REQUEST), "ICMP6, echo request, id 7, seq 1, length 15");
  assertStrictEquals(text(REPLY), "ICMP6, echo reply, id 7, seq 1, length 15");
  assertStrictEquals(text(PORT), "ICMP6, destination unreachable, unreachable port, fd00::2 udp port 9, length 61");
  assertStrictEquals(text(ROUTE), "ICMP6, destination unreachable, unreachable route fd01::2, length 59");
  assertStrictEquals(text(OPTION), "ICMP6, parameter problem, option - octet 42, length 64");
  assertStrictEquals(text(`0200000000000500${ORIGINAL}`), "ICMP6, packet too big, mtu 1280, length 61");
  assertStrictEquals(text(`0300000000000000${ORIGINAL}`), "ICMP6, time exceeded in-transit for fd00::2, length 61");
  assertStrictEquals(text("0301000000000000"), "ICMP6, time exceeded in-transit (reassembly), length 8");
  assertStrictEquals(text("0104000000000000"), "ICMP6, destination unreachable, unreachable port, length 8");
  assertStrictEquals(text("6400000000000000"), "ICMP6, type 100 code 0, length 8");
  const broken = decodeIcmpv6(hex(REPLY.replace("f367", "f368")), 0, 15, SUM);
  assertStrictEquals(formatIcmpv6(broken), "ICMP6, echo reply, id 7, seq 1, bad cksum, length 15");
});
