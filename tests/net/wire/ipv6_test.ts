import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { IpAddress } from "../../../net/wire/address.ts";
import { addressSum, checksumAdd, checksumFinish, pseudoHeaderSum } from "../../../net/wire/checksum.ts";
import {
  checkIpv6,
  decodeIpv6,
  encodeIpv6,
  encodePlainIpv6,
  formatIpv6Packet,
  ipv6AddressSum,
  ipv6Destination,
  ipv6DestinationWord,
  ipv6FlowLabel,
  ipv6HopLimit,
  ipv6NextHeader,
  ipv6PayloadLength,
  ipv6Source,
  ipv6SourceWord,
  ipv6TrafficClass,
} from "../../../net/wire/ipv6.ts";
import { assertEncodes, assertRefused, assertRefusesEveryShorter, hex } from "../../support/packet_bytes.ts";

const DOORS = { layer: "ipv6", check: checkIpv6, decode: decodeIpv6 };
const GUEST = IpAddress.parse("fe80::5054:ff:fe12:3456"), ROUTERS = IpAddress.parse("ff02::2");
/** A router solicitation of Linux. */
const HEADER =
  "60 00 00 00 00 10 3a ff  fe 80 00 00 00 00 00 00 50 54 00 ff fe 12 34 56  ff 02 00 00 00 00 00 00 00 00 00 00 00 00 00 02";
const PACKET = `${HEADER} 85 00 71 b5 00 00 00 00 01 01 52 54 00 12 34 56`;

Deno.test("ipv6 getters read the header at an offset", () => {
  const bytes = hex(`ff ff ff ${PACKET}`);
  assert(checkIpv6(bytes, 3, bytes.length));
  assertEquals([ipv6TrafficClass(bytes, 3), ipv6FlowLabel(bytes, 3)], [0, 0]);
  assertEquals([ipv6PayloadLength(bytes, 3), ipv6NextHeader(bytes, 3), ipv6HopLimit(bytes, 3)], [16, 58, 255]);
  assert(ipv6Source(bytes, 3).equals(GUEST));
  assert(ipv6Destination(bytes, 3).equals(ROUTERS));
});

Deno.test("ipv6SourceWord and ipv6DestinationWord read the words of the addresses", () => {
  const bytes = hex(`ff ff ff ${PACKET}`), words = [0, 1, 2, 3];
  assertEquals(words.map((i) => ipv6SourceWord(bytes, 3, i)), [0xfe800000, 0, 0x505400ff, 0xfe123456]);
  assertEquals(words.map((i) => ipv6DestinationWord(bytes, 3, i)), [0xff020000, 0, 0, 2]);
});

Deno.test("encodePlainIpv6 writes what encodeIpv6 does unless it is told more", () => {
  const words = [...[0xfe800000, 0, 0x505400ff, 0xfe123456], ...[0xff020000, 0, 0, 2]];
  const pair = { words: Uint32Array.from(words), addressSum: addressSum(GUEST) + addressSum(ROUTERS) };
  for (const [payloadLength, nextHeader] of [[16, 58], [0, 0], [0xffff, 255]] as const) {
    const expected = new Uint8Array(40);
    encodeIpv6(expected, 0, { payloadLength, nextHeader, source: GUEST, destination: ROUTERS });
    assertEncodes(
      Array.from(expected, (byte) => byte.toString(16).padStart(2, "0")).join(" "),
      (bytes, offset) => encodePlainIpv6(bytes, offset, payloadLength, nextHeader, pair),
    );
  }
});

Deno.test("decodeIpv6 gives the header and the payload's place", () => {
  const packet = decodeIpv6(hex(`ff ${PACKET}`), 1);
  assertEquals([packet.payloadLength, packet.payloadStart, packet.payloadEnd], [16, 41, 57]);
  assertStrictEquals(formatIpv6Packet(packet), `IP6 ${GUEST} > ${ROUTERS}, next-header 58, hlim 255, length 16`);
});

Deno.test("ipv6AddressSum makes the checksum that Linux made, and agrees with the sum of the addresses", () => {
  const bytes = hex(`ff ${PACKET}`), sum = ipv6AddressSum(bytes, 1);
  assertStrictEquals(checksumFinish(checksumAdd(bytes, 41, 57, pseudoHeaderSum(sum, 58, 16))), 0);
  assertStrictEquals(sum, addressSum(GUEST) + addressSum(ROUTERS));
});

Deno.test("encodeIpv6 writes the bytes that Linux sends", () => {
  const header = { payloadLength: 16, nextHeader: 58, hopLimit: 255, source: GUEST, destination: ROUTERS };
  assertEncodes(HEADER, (bytes, offset) => encodeIpv6(bytes, offset, header));
});

Deno.test("encodeIpv6 writes traffic class, 20 bits of flow label, and 16 bytes for a mapped address", () => {
  const header = {
    trafficClass: 0xab,
    flowLabel: 0xffcdef1,
    payloadLength: 0xfffe,
    nextHeader: 6,
    source: IpAddress.parse("10.0.2.15"),
    destination: IpAddress.parse("::1"),
  };
  assertEncodes(
    `6a bc de f1 ff fe 06 40 ${"00".repeat(10)} ff ff 0a 00 02 0f ${"00".repeat(15)} 01`,
    (bytes, offset) => encodeIpv6(bytes, offset, header),
  );
});

Deno.test("ipv6TrafficClass and ipv6FlowLabel share the first word without mixing", () => {
  const bytes = hex(PACKET);
  bytes.set([0x6a, 0xbc, 0xde, 0xf1]);
  assertEquals([ipv6TrafficClass(bytes, 0), ipv6FlowLabel(bytes, 0)], [0xab, 0xcdef1]);
});

Deno.test("ipv6 refuses a packet truncated at every length", () => {
  assertRefusesEveryShorter(DOORS, hex(PACKET));
});

Deno.test("ipv6 refuses every other version", () => {
  for (let version = 0; version < 16; version++) {
    if (version === 6) continue;
    const bytes = hex(PACKET);
    bytes[0] = version << 4;
    assertRefused(DOORS, bytes);
  }
});

Deno.test("ipv6 refuses a payload length past the end", () => {
  const bytes = hex(PACKET);
  bytes[5] = 17;
  assertStrictEquals(assertRefused(DOORS, bytes).needed, 57);
  bytes[4] = 0xff;
  assertStrictEquals(assertRefused(DOORS, bytes).needed, 40 + 0xff11);
});

Deno.test("ipv6 leaves padding out of the payload, and takes an empty one", () => {
  assertStrictEquals(decodeIpv6(hex(`${PACKET} 00 00`)).payloadEnd, 56);
  const empty = hex(PACKET);
  empty[5] = 0;
  assertStrictEquals(decodeIpv6(empty).payloadEnd, 40);
});
