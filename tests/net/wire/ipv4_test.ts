import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { ipv4AddressSum } from "../../../net/wire/checksum.ts";
import {
  checkIpv4,
  decodeIpv4,
  encodeIpv4,
  encodePlainIpv4,
  formatIpv4Packet,
  ipv4Checksum,
  ipv4Destination,
  ipv4DontFragment,
  ipv4FragmentOffset,
  Ipv4Header,
  ipv4HeaderLength,
  ipv4HeaderValid,
  ipv4Identification,
  ipv4IsFragment,
  ipv4MoreFragments,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  ipv4TrafficClass,
  ipv4Ttl,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../../net/wire/ipv4.ts";
import { assertEncodes, assertRefused, assertRefusesEveryShorter, hex, painted } from "../../support/packet_bytes.ts";

const DOORS = { layer: "ipv4", check: checkIpv4, decode: decodeIpv4 };
const GUEST = parseIpv4("10.0.2.15"), GATEWAY = parseIpv4("10.0.2.2");
/** Linux sends 13 bytes of UDP. */
const HEADER = "45 00 00 21 ac 03 40 00 40 11 76 b8 0a 00 02 0f 0a 00 02 02";
const PACKET = `${HEADER} 13 88 00 35 00 0d 90 34 68 65 6c 6c 6f`;
/** The same with a router alert option (RFC 2113) and 4 bytes of payload. */
const WITH_OPTIONS = "46 00 00 1c 00 00 40 00 01 02 f8 b6 0a 00 02 0f e0 00 00 16 94 04 00 00  16 00 00 00";
/** The two fragments that Linux makes of 1508 bytes of UDP at an MTU of 1500. */
const FIRST_FRAGMENT = "45 00 05 dc 08 68 20 00 40 11 34 99 0a 00 02 0f 0a 00 02 02";
const LAST_FRAGMENT = "45 00 00 30 08 68 00 b9 40 11 59 8c 0a 00 02 0f 0a 00 02 02";

Deno.test("ipv4 getters read the header at an offset", () => {
  const bytes = hex(`ff ff ff ${PACKET}`);
  assert(checkIpv4(bytes, 3, bytes.length));
  assertEquals([ipv4HeaderLength(bytes, 3), ipv4TotalLength(bytes, 3), ipv4TrafficClass(bytes, 3)], [20, 33, 0]);
  assertEquals([ipv4Identification(bytes, 3), ipv4Checksum(bytes, 3)], [0xac03, 0x76b8]);
  assertEquals([ipv4Ttl(bytes, 3), ipv4Protocol(bytes, 3)], [64, PROTOCOL_UDP]);
  assertEquals([ipv4Source(bytes, 3), ipv4Destination(bytes, 3)], [GUEST, GATEWAY]);
  assertEquals([ipv4DontFragment(bytes, 3), ipv4MoreFragments(bytes, 3), ipv4IsFragment(bytes, 3)], [
    true,
    false,
    false,
  ]);
  assert(ipv4HeaderValid(bytes, 3));
});

Deno.test("ipv4 getters read the fragments that Linux makes", () => {
  const first = hex(FIRST_FRAGMENT), last = hex(LAST_FRAGMENT);
  const fields = (bytes: Uint8Array) => [
    ipv4IsFragment(bytes, 0),
    ipv4MoreFragments(bytes, 0),
    ipv4FragmentOffset(bytes, 0),
    ipv4DontFragment(bytes, 0),
    ipv4HeaderValid(bytes, 0),
  ];
  assertEquals(fields(first), [true, true, 0, false, true]);
  assertEquals(fields(last), [true, false, 1480, false, true]);
});

Deno.test("ipv4FragmentOffset reaches 65528 and ignores the flags", () => {
  const bytes = hex(HEADER);
  bytes[6] = 0xff;
  bytes[7] = 0xff;
  assertStrictEquals(ipv4FragmentOffset(bytes, 0), 65528);
});

Deno.test("decodeIpv4 gives the header and the payload's place", () => {
  assertEquals(decodeIpv4(hex(`ff ${PACKET}`), 1), {
    headerLength: 20,
    trafficClass: 0,
    totalLength: 33,
    identification: 0xac03,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: 64,
    protocol: PROTOCOL_UDP,
    checksum: 0x76b8,
    checksumValid: true,
    source: GUEST,
    destination: GATEWAY,
    payloadStart: 21,
    payloadEnd: 34,
  });
});

Deno.test("decodeIpv4 honours the header length, and the checksum covers options", () => {
  const bytes = hex(WITH_OPTIONS);
  const packet = decodeIpv4(bytes);
  assertEquals([packet.headerLength, packet.payloadStart, packet.payloadEnd], [24, 24, 28]);
  const honest = packet.checksumValid;
  bytes[21] = 5;
  assertEquals([honest, ipv4HeaderValid(bytes, 0)], [true, false]);
});

Deno.test("encodePlainIpv4 writes what encodeIpv4 does unless it is told more", () => {
  const words = Uint32Array.of(0, 0, 0xffff, GUEST, 0, 0, 0xffff, GATEWAY);
  const pair = { words, addressSum: ipv4AddressSum(GUEST, GATEWAY) };
  for (const [totalLength, protocol] of [[33, PROTOCOL_UDP], [20, 0], [0xffff, 255]] as const) {
    const expected = new Uint8Array(20), header = new Ipv4Header();
    Object.assign(header, { source: GUEST, destination: GATEWAY, totalLength, protocol });
    encodeIpv4(expected, 0, header);
    assertEncodes(
      Array.from(expected, (byte) => byte.toString(16).padStart(2, "0")).join(" "),
      (bytes, offset) => encodePlainIpv4(bytes, offset, totalLength, protocol, pair),
    );
  }
});

Deno.test("encodeIpv4 writes the bytes that Linux sends", () => {
  const header = new Ipv4Header();
  header.source = GUEST;
  header.destination = GATEWAY;
  header.protocol = PROTOCOL_UDP;
  header.totalLength = 33;
  header.identification = 0xac03;
  assertEncodes(HEADER, (bytes, offset) => encodeIpv4(bytes, offset, header));
  header.dontFragment = false;
  header.identification = 0x0868;
  header.totalLength = 1500;
  header.moreFragments = true;
  assertEncodes(FIRST_FRAGMENT, (bytes, offset) => encodeIpv4(bytes, offset, header));
  header.totalLength = 48;
  header.moreFragments = false;
  header.fragmentOffset = 1480;
  assertEncodes(LAST_FRAGMENT, (bytes, offset) => encodeIpv4(bytes, offset, header));
});

Deno.test("encodeIpv4 writes traffic class, TTL and addresses with the top bit set, and the textbook checksum", () => {
  const header = new Ipv4Header();
  header.source = parseIpv4("192.168.0.1");
  header.destination = parseIpv4("192.168.0.199");
  header.protocol = PROTOCOL_UDP;
  header.totalLength = 0x73;
  assertEncodes(
    "45 00 00 73 00 00 40 00 40 11 b8 61 c0 a8 00 01 c0 a8 00 c7",
    (bytes, offset) => encodeIpv4(bytes, offset, header),
  );
  header.source = GUEST;
  header.destination = GATEWAY;
  header.protocol = PROTOCOL_ICMP;
  header.totalLength = 60;
  header.identification = 0xab56;
  header.dontFragment = false;
  header.trafficClass = 0xc0;
  assertEncodes(
    "45 c0 00 3c ab 56 00 00 40 01 b6 9a 0a 00 02 0f 0a 00 02 02",
    (bytes, offset) => encodeIpv4(bytes, offset, header),
  );
});

Deno.test("encodeIpv4 makes a valid checksum for extreme fields", () => {
  const header = new Ipv4Header();
  header.source = header.destination = 0xffffffff;
  header.totalLength = header.identification = 0xffff;
  header.ttl = header.protocol = header.trafficClass = 255;
  const out = painted(20);
  encodeIpv4(out, 0, header);
  assert(ipv4HeaderValid(out, 0));
});

Deno.test("Ipv4Header begins as a datagram that must not be fragmented", () => {
  assertEquals({ ...new Ipv4Header() }, {
    source: 0,
    destination: 0,
    protocol: 0,
    totalLength: 0,
    ttl: 64,
    identification: 0,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    trafficClass: 0,
  });
});

Deno.test("ipv4 refuses a packet truncated at every length, within options too", () => {
  assertRefusesEveryShorter(DOORS, hex(PACKET));
  assertRefusesEveryShorter(DOORS, hex(WITH_OPTIONS));
});

Deno.test("ipv4 refuses every other version", () => {
  for (let version = 0; version < 16; version++) {
    if (version === 4) continue;
    const bytes = hex(PACKET);
    bytes[0] = (version << 4) | 5;
    assertRefused(DOORS, bytes);
  }
});

Deno.test("ipv4 refuses a header length below 20 and one past the total length", () => {
  for (let words = 0; words < 5; words++) {
    const bytes = hex(PACKET);
    bytes[0] = 0x40 | words;
    assertRefused(DOORS, bytes);
  }
  // 36 bytes of header in a total length of 33, with room behind it.
  const bytes = hex(PACKET + "00".repeat(40));
  bytes[0] = 0x49;
  assertRefused(DOORS, bytes);
});

Deno.test("ipv4 refuses a total length below the header's and one past the end", () => {
  for (const total of [0, 19, 34, 65535]) {
    const bytes = hex(PACKET);
    bytes[2] = total >>> 8;
    bytes[3] = total & 255;
    assertStrictEquals(assertRefused(DOORS, bytes).needed, Math.max(total, 20));
  }
});

Deno.test("ipv4 leaves Ethernet padding out of the payload", () => {
  const packet = decodeIpv4(hex(PACKET + "00".repeat(13)));
  assertEquals([packet.payloadStart, packet.payloadEnd], [20, 33]);
});

Deno.test("ipv4HeaderValid sees a flipped bit in every byte, and check leaves that to it", () => {
  const bytes = hex(PACKET);
  for (let at = 1; at < 20; at++) {
    bytes[at]! ^= 1;
    assert(!ipv4HeaderValid(bytes, 0), `byte ${at}`);
    if (at !== 2 && at !== 3) assertStrictEquals(decodeIpv4(bytes).checksumValid, false);
    bytes[at]! ^= 1;
  }
});

Deno.test("formatIpv4Packet is one line", () => {
  const header = decodeIpv4(hex(PACKET));
  assertStrictEquals(
    formatIpv4Packet(header),
    "IP 10.0.2.15 > 10.0.2.2, proto 17, ttl 64, id 44035, flags [DF], length 33",
  );
  assertStrictEquals(
    formatIpv4Packet({
      ...header,
      protocol: PROTOCOL_TCP,
      dontFragment: false,
      fragmentOffset: 1480,
      checksumValid: false,
    }),
    "IP 10.0.2.15 > 10.0.2.2, proto 6, ttl 64, id 44035, offset 1480, flags [none], bad cksum, length 33",
  );
});
