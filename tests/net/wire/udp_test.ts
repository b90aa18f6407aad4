import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { ipv4AddressSum } from "../../../net/wire/checksum.ts";
import {
  checkUdp,
  decodeUdp,
  encodeUdp,
  formatUdp,
  UDP_HEADER_LENGTH,
  udpChecksum,
  udpChecksumPartial,
  udpChecksumValid,
  udpDestinationPort,
  udpLength,
  udpSetChecksum,
  udpSetPartialChecksum,
  udpSourcePort,
} from "../../../net/wire/udp.ts";
import { naiveChecksum } from "../../support/naive_checksum.ts";
import {
  assertEncodes,
  assertRefused,
  assertRefusesEveryShorter,
  hex,
  noise,
  painted,
  toHex,
} from "../../support/packet_bytes.ts";

const DOORS = { layer: "udp", check: checkUdp, decode: decodeUdp };
const GUEST = parseIpv4("10.0.2.15"), GATEWAY = parseIpv4("10.0.2.2");
/** Linux at 10.0.2.15 sends "hello" from port 5000 to 10.0.2.2 port 53. */
const HELLO = "13 88 00 35 00 0d 90 34  68 65 6c 6c 6f";

Deno.test("udp getters read the header at an offset", () => {
  const bytes = hex(`ff ${HELLO}`);
  assert(checkUdp(bytes, 1, bytes.length));
  assertEquals([udpSourcePort(bytes, 1), udpDestinationPort(bytes, 1)], [5000, 53]);
  assertEquals([udpLength(bytes, 1), udpChecksum(bytes, 1)], [13, 0x9034]);
});

Deno.test("decodeUdp gives the header and the payload's place", () => {
  assertEquals(decodeUdp(hex(`ff ${HELLO}`), 1), {
    sourcePort: 5000,
    destinationPort: 53,
    length: 13,
    checksum: 0x9034,
    payloadStart: 9,
    payloadEnd: 14,
  });
});

Deno.test("encodeUdp writes 8 bytes, the checksum among them as 0", () => {
  assertEncodes("13 88 ff ff 00 0d 00 00", (bytes, offset) => encodeUdp(bytes, offset, 5000, 65535, 13));
});

Deno.test("udp refuses a datagram truncated at every length", () => {
  assertRefusesEveryShorter(DOORS, hex(HELLO));
});

Deno.test("udp refuses a length field of less than 8", () => {
  for (const length of [0, 1, 7]) {
    const bytes = hex(HELLO);
    bytes[5] = length;
    assertStrictEquals(assertRefused(DOORS, bytes).needed, UDP_HEADER_LENGTH);
  }
});

Deno.test("udp refuses a length field past the end", () => {
  const bytes = hex(HELLO);
  bytes[5] = 14;
  assertStrictEquals(assertRefused(DOORS, bytes).needed, 14);
  bytes[4] = 0xff;
  assertStrictEquals(assertRefused(DOORS, bytes).needed, 0xff0e);
});

Deno.test("udp takes a datagram without payload", () => {
  const { payloadStart, payloadEnd } = decodeUdp(hex("00 01 00 02 00 08 00 00"));
  assertEquals([payloadStart, payloadEnd], [8, 8]);
});

Deno.test("udp leaves padding out of payload and checksum", () => {
  const bytes = hex(`${HELLO} ff ff ff ff ff`);
  assertStrictEquals(decodeUdp(bytes).payloadEnd, 13);
  assert(udpChecksumValid(bytes, 0, ipv4AddressSum(GUEST, GATEWAY)));
});

Deno.test("udpChecksumValid takes the checksum that Linux made, and no other", () => {
  const bytes = hex(`ff ${HELLO}`);
  assert(udpChecksumValid(bytes, 1, ipv4AddressSum(GUEST, GATEWAY)));
  for (let at = 1; at < bytes.length; at++) {
    bytes[at]! ^= 1;
    // A longer length would read past the datagram: that is what the check is for.
    if (checkUdp(bytes, 1, bytes.length)) {
      assert(!udpChecksumValid(bytes, 1, ipv4AddressSum(GUEST, GATEWAY)), `byte ${at}`);
    }
    bytes[at]! ^= 1;
  }
  assert(!udpChecksumValid(bytes, 1, ipv4AddressSum(GUEST, GATEWAY + 1)), "another address");
});

Deno.test("udpChecksumValid takes 0 for no checksum", () => {
  const bytes = hex("13 88 00 35 00 0d 00 00  01 02 03 04 05");
  assert(udpChecksumValid(bytes, 0, ipv4AddressSum(GUEST, GATEWAY)));
  assertStrictEquals(formatUdp(decodeUdp(bytes)), "UDP 5000 > 53, no cksum, length 5");
});

Deno.test("udpSetChecksum makes the checksum that Linux made, over whatever was there", () => {
  const bytes = hex(`ff ${HELLO} ff`);
  bytes[7] = bytes[8] = 0xa5;
  udpSetChecksum(bytes, 1, ipv4AddressSum(GUEST, GATEWAY));
  assertStrictEquals(toHex(bytes), `ff${HELLO.replaceAll(" ", "")}ff`);
});

Deno.test("udpSetChecksum sends a checksum of 0 as 0xffff", () => {
  // The payload is chosen so that the sum is 0xffff: 0x0a00 + 0x020f + 0x0a00 + 0x0202 + 17 + 10 + 1 + 2 + 10 = 0x1839.
  const bytes = hex("00 01 00 02 00 0a a5 a5  e7 c6");
  udpSetChecksum(bytes, 0, ipv4AddressSum(GUEST, GATEWAY));
  assertStrictEquals(udpChecksum(bytes, 0), 0xffff);
  assert(udpChecksumValid(bytes, 0, ipv4AddressSum(GUEST, GATEWAY)));
});

Deno.test("udpChecksumValid takes the checksums of a published DHCP exchange's first datagram", () => {
  const fixed = "01 01 06 00 00 00 3d 1d" + "00".repeat(20) + "00 0b 82 01 fc 42" + "00".repeat(202);
  const options = "63 82 53 63 35 01 01 3d 07 01 00 0b 82 01 fc 42 32 04 00 00 00 00 37 04 01 03 06 2a ff" +
    "00".repeat(7);
  const bytes = hex(`00 44 00 43 01 18 59 1f ${fixed} ${options}`);
  assert(checkUdp(bytes, 0, bytes.length));
  assert(udpChecksumValid(bytes, 0, ipv4AddressSum(0, 0xffffffff)));
});

Deno.test("formatUdp is one line in tcpdump's manner", () => {
  assertStrictEquals(formatUdp(decodeUdp(hex(HELLO))), "UDP 5000 > 53, length 5");
});

Deno.test("udpSetPartialChecksum writes the pseudo-header's sum, which a link completes", () => {
  const payload = noise(61, 4), bytes = painted(8 + payload.length);
  const source = 0xc0000207, destination = 0x0a00020f;
  encodeUdp(bytes, 0, 9, 4000, bytes.length);
  bytes.set(payload, 8);
  udpSetPartialChecksum(bytes, 0, ipv4AddressSum(source, destination));
  // What the link does: sum header and payload with the field as it stands, and complement.
  const sum = naiveChecksum(bytes, 0, bytes.length);
  bytes[6] = sum >> 8;
  bytes[7] = sum;
  assert(udpChecksumValid(bytes, 0, ipv4AddressSum(source, destination)));
});

Deno.test("udpChecksumPartial knows the pseudo-header's sum alone, and no other checksum", () => {
  const bytes = hex(HELLO);
  assert(!udpChecksumPartial(bytes, 0, ipv4AddressSum(GUEST, GATEWAY)), "a whole one");
  udpSetPartialChecksum(bytes, 0, ipv4AddressSum(GUEST, GATEWAY));
  assert(udpChecksumPartial(bytes, 0, ipv4AddressSum(GUEST, GATEWAY)));
  assert(!udpChecksumPartial(bytes, 0, ipv4AddressSum(GUEST, GATEWAY + 1)), "of another address");
  bytes[7]!++;
  assert(!udpChecksumPartial(bytes, 0, ipv4AddressSum(GUEST, GATEWAY)));
});
