import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { parseIpv4, parseMac } from "../../../net/wire/address.ts";
import {
  ARP_LENGTH,
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderIp,
  arpSenderMac,
  arpTargetIp,
  arpTargetMac,
  checkArp,
  decodeArp,
  encodeArp,
  formatArp,
} from "../../../net/wire/arp.ts";
import { assertEncodes, assertRefused, assertRefusesEveryShorter, hex } from "../../support/packet_bytes.ts";

const DOORS = { layer: "arp", check: checkArp, decode: decodeArp };
/** What a Linux guest at 10.0.2.15 sends for its gateway. */
const REQUEST = "00 01 08 00 06 04 00 01  52 54 00 12 34 56  0a 00 02 0f  00 00 00 00 00 00  0a 00 02 02";
const GUEST_MAC = parseMac("52:54:00:12:34:56"), GATEWAY_MAC = parseMac("52:55:0a:00:02:02");
const GUEST_IP = parseIpv4("10.0.2.15"), GATEWAY_IP = parseIpv4("10.0.2.2");

Deno.test("arp getters read the message at an offset", () => {
  const bytes = hex(`ff ff ${REQUEST}`);
  assert(checkArp(bytes, 2, bytes.length));
  assertStrictEquals(arpOperation(bytes, 2), ARP_REQUEST);
  assertStrictEquals(arpSenderMac(bytes, 2), GUEST_MAC);
  assertStrictEquals(arpSenderIp(bytes, 2), GUEST_IP);
  assertStrictEquals(arpTargetMac(bytes, 2), 0);
  assertStrictEquals(arpTargetIp(bytes, 2), GATEWAY_IP);
});

Deno.test("decodeArp gives all fields", () => {
  assertEquals(decodeArp(hex(REQUEST)), {
    operation: ARP_REQUEST,
    senderMac: GUEST_MAC,
    senderIp: GUEST_IP,
    targetMac: 0,
    targetIp: GATEWAY_IP,
  });
});

Deno.test("encodeArp writes the bytes that Linux sends, and a reply", () => {
  const request = {
    operation: ARP_REQUEST,
    senderMac: GUEST_MAC,
    senderIp: GUEST_IP,
    targetMac: 0,
    targetIp: GATEWAY_IP,
  };
  assertEncodes(REQUEST, (bytes, offset) => encodeArp(bytes, offset, request));
  const reply = {
    operation: ARP_REPLY,
    senderMac: GATEWAY_MAC,
    senderIp: GATEWAY_IP,
    targetMac: GUEST_MAC,
    targetIp: parseIpv4("192.168.255.1"),
  };
  assertEncodes(
    "00 01 08 00 06 04 00 02  52 55 0a 00 02 02  0a 00 02 02  52 54 00 12 34 56  c0 a8 ff 01",
    (bytes, offset) => encodeArp(bytes, offset, reply),
  );
});

Deno.test("arp refuses a message truncated at every length", () => {
  assertRefusesEveryShorter(DOORS, hex(REQUEST));
});

Deno.test("arp takes the padding of a short Ethernet frame", () => {
  assertStrictEquals(decodeArp(hex(REQUEST + "00".repeat(46 - ARP_LENGTH))).targetIp, GATEWAY_IP);
});

Deno.test("arp refuses another hardware, protocol or address length", () => {
  for (const [at, value] of [[0, 1], [1, 6], [2, 0x86], [3, 6], [4, 8], [5, 16], [5, 0]] as const) {
    const bytes = hex(REQUEST);
    bytes[at] = value;
    assertRefused(DOORS, bytes);
  }
});

Deno.test("arp leaves an unknown operation to the reader", () => {
  const bytes = hex(REQUEST);
  bytes[7] = 9;
  assertStrictEquals(decodeArp(bytes).operation, 9);
  assertStrictEquals(formatArp(decodeArp(bytes)), "ARP, operation 9");
});

Deno.test("formatArp is one line in tcpdump's manner", () => {
  const message = decodeArp(hex(REQUEST));
  assertStrictEquals(formatArp(message), "ARP, Request who-has 10.0.2.2 tell 10.0.2.15");
  assertStrictEquals(formatArp({ ...message, operation: ARP_REPLY }), "ARP, Reply 10.0.2.15 is-at 52:54:00:12:34:56");
});
