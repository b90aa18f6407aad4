import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { formatMac, IpAddress, MAC_BROADCAST, parseMac } from "../../../net/wire/address.ts";
import {
  checkEthernet,
  decodeEthernet,
  encodeEthernet,
  ETHERNET_HEADER_LENGTH,
  ethernetDestination,
  ethernetSource,
  ethernetType,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
  formatEthernet,
  ipv6MulticastMac,
  isIpv6MulticastMac,
} from "../../../net/wire/ethernet.ts";
import { assertEncodes, assertRefused, assertRefusesEveryShorter, hex } from "../../support/packet_bytes.ts";

const DOORS = { layer: "ethernet", check: checkEthernet, decode: decodeEthernet };
const HEADER = "ff ff ff ff ff ff  52 54 00 12 34 56  08 06";
const GUEST = parseMac("52:54:00:12:34:56");

Deno.test("ethernet getters read the header at an offset", () => {
  const bytes = hex(`00 00 00 ${HEADER}`);
  assert(checkEthernet(bytes, 3, bytes.length));
  assertStrictEquals(ethernetDestination(bytes, 3), MAC_BROADCAST);
  assertStrictEquals(ethernetSource(bytes, 3), GUEST);
  assertStrictEquals(ethernetType(bytes, 3), ETHERTYPE_ARP);
});

Deno.test("decodeEthernet gives the header and the payload's place", () => {
  assertEquals(decodeEthernet(hex(`00 00 ${HEADER} 01 02 03`), 2), {
    destination: MAC_BROADCAST,
    source: GUEST,
    type: ETHERTYPE_ARP,
    payloadStart: 16,
    payloadEnd: 19,
  });
});

Deno.test("encodeEthernet writes 14 bytes", () => {
  assertEncodes(HEADER, (bytes, offset) => encodeEthernet(bytes, offset, MAC_BROADCAST, GUEST, ETHERTYPE_ARP));
  assertEncodes(
    "33 33 00 00 00 02  fe dc ba 98 76 54  86 dd",
    (bytes, offset) => encodeEthernet(bytes, offset, 0x333300000002, 0xfedcba987654, ETHERTYPE_IPV6),
  );
});

Deno.test("ethernet refuses a header truncated at every length", () => {
  assertRefusesEveryShorter(DOORS, hex(HEADER));
});

Deno.test("ethernet takes a header without payload", () => {
  assertStrictEquals(decodeEthernet(hex(HEADER)).payloadEnd, ETHERNET_HEADER_LENGTH);
});

Deno.test("ethernet honours an IEEE 802.3 length and leaves the padding out", () => {
  const bytes = hex("01 80 c2 00 00 00  52 54 00 12 34 56  00 03  42 42 03  00 00 00 00");
  const frame = decodeEthernet(bytes);
  assertEquals([frame.type, frame.payloadStart, frame.payloadEnd], [3, 14, 17]);
  assertStrictEquals(formatEthernet(frame), "52:54:00:12:34:56 > 01:80:c2:00:00:00, 802.3, length 17");
});

Deno.test("ethernet refuses an IEEE 802.3 length past the end", () => {
  const error = assertRefused(DOORS, hex("01 80 c2 00 00 00  52 54 00 12 34 56  00 03  42 42"));
  assertStrictEquals(error.needed, 17);
});

Deno.test("ethernet takes 1500 for a length and 1501 for a type", () => {
  assertRefused(DOORS, hex("ff ff ff ff ff ff  52 54 00 12 34 56  05 dc"));
  assert(checkEthernet(hex("ff ff ff ff ff ff  52 54 00 12 34 56  05 dd"), 0, 14));
});

Deno.test("formatEthernet is one line in tcpdump's manner", () => {
  assertStrictEquals(
    formatEthernet(decodeEthernet(hex(`${HEADER} 00 01`))),
    "52:54:00:12:34:56 > ff:ff:ff:ff:ff:ff, ethertype 0x0806, length 16",
  );
});

Deno.test("ipv6MulticastMac gives RFC 2464's and Linux's addresses of groups, and isIpv6MulticastMac knows no others", () => {
  for (const [group, mac] of [["ff02::1:ff12:3456", "33:33:ff:12:34:56"], ["ff02::2", "33:33:00:00:00:02"]] as const) {
    assertStrictEquals(formatMac(ipv6MulticastMac(IpAddress.parse(group).w3)), mac);
    assert(isIpv6MulticastMac(parseMac(mac)));
  }
  assertStrictEquals(ipv6MulticastMac(-1), 0x3333ffffffff);
  for (const mac of ["33:32:ff:ff:ff:ff", "33:34:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"]) {
    assert(!isIpv6MulticastMac(parseMac(mac)), mac);
  }
});
