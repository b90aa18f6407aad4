import { assertEquals, assertStrictEquals } from "@std/assert";
import { ipv4AddressSum } from "../../../net/wire/checksum.ts";
import {
  CHECKSUM_COMPLETE,
  CHECKSUM_PARTIAL,
  CHECKSUM_VERIFIED,
  completeChecksum,
  Frame,
} from "../../../net/wire/frame.ts";
import { tcpChecksumValid, tcpSetPartialChecksum } from "../../../net/wire/tcp.ts";
import { udpChecksum, udpSetPartialChecksum } from "../../../net/wire/udp.ts";
import { noise } from "../../support/packet_bytes.ts";

const GUEST = 0x0a00020f, GATEWAY = 0x0a000202;

function partial(bytes: Uint8Array, start: number, transport: number, checksumField: number): Frame {
  const frame = new Frame().set(bytes, start, bytes.length);
  frame.checksum = CHECKSUM_PARTIAL;
  frame.transport = transport;
  frame.checksumField = checksumField;
  return frame;
}

Deno.test("completeChecksum makes a partial checksum whole, of even and odd length, once", () => {
  for (const length of [20, 21, 1460, 64_001]) {
    const bytes = noise(40 + length, length);
    tcpSetPartialChecksum(bytes, 40, bytes.length, ipv4AddressSum(GUEST, GATEWAY));
    const frame = partial(bytes, 6, 40, 16);
    completeChecksum(frame);
    assertStrictEquals(frame.checksum, CHECKSUM_VERIFIED);
    assertStrictEquals(tcpChecksumValid(bytes, 40, bytes.length, ipv4AddressSum(GUEST, GATEWAY)), true);
    const before = bytes.slice();
    completeChecksum(frame);
    assertEquals(bytes, before);
  }
});

Deno.test("completeChecksum writes UDP's 0 in its other form", () => {
  const bytes = new Uint8Array([0, 1, 0, 2, 0, 10, 0, 0, 0xe7, 0xc6]);
  udpSetPartialChecksum(bytes, 0, ipv4AddressSum(GUEST, GATEWAY));
  completeChecksum(partial(bytes, 0, 0, 6));
  assertStrictEquals(udpChecksum(bytes, 0), 0xffff);
});

Deno.test("completeChecksum leaves other frames alone, and those whose marks lead outside", () => {
  const bytes = noise(60, 3), before = bytes.slice();
  for (const checksum of [CHECKSUM_COMPLETE, CHECKSUM_VERIFIED] as const) {
    const frame = partial(bytes, 0, 34, 16);
    frame.checksum = checksum;
    completeChecksum(frame);
    assertStrictEquals(frame.checksum, checksum);
  }
  for (const [transport, field] of [[58, 16], [44, 16], [-1, 6], [70, -20], [43, 16], [NaN, 6]] as const) {
    if (transport + field + 2 <= 60 && transport >= 0 && field >= 0) continue;
    completeChecksum(partial(bytes, 0, transport, field));
  }
  assertEquals(bytes, before);
});
