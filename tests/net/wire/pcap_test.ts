import { assertEquals } from "@std/assert";
import {
  encodePcapHeader,
  encodePcapRecord,
  PCAP_HEADER_LENGTH,
  PCAP_RECORD_HEADER_LENGTH,
} from "../../../net/wire/pcap.ts";
import { readUint32 } from "../../../net/wire/bytes.ts";
import { assertEncodes, painted } from "../../support/packet_bytes.ts";

Deno.test("encodePcapHeader writes version 2.4, nanoseconds, 262144 bytes a frame, Ethernet", () => {
  assertEncodes("a1b23c4d 0002 0004 00000000 00000000 00040000 00000001", encodePcapHeader);
  assertEquals(PCAP_HEADER_LENGTH, 24);
});

Deno.test("encodePcapRecord splits the time into seconds and nanoseconds, and writes both lengths", () => {
  // 2023-11-14 22:13:20.5 UTC.
  assertEncodes("6553f100 1dcd6500 0000003c 0000003c", (bytes, at) => encodePcapRecord(bytes, at, 1700000000500, 60));
  assertEncodes(
    "00000000 00000000 00040000 00040001",
    (bytes, at) => encodePcapRecord(bytes, at, 0, 262144, 262145),
  );
  assertEquals(PCAP_RECORD_HEADER_LENGTH, 16);
});

Deno.test("encodePcapRecord never writes a whole second of nanoseconds, however close to it the time is", () => {
  const bytes = painted(16);
  for (const epochMs of [1700000000999.9998, 1700000000999.999, 999.9999999999, 1e12 - 0.0001]) {
    encodePcapRecord(bytes, 0, epochMs, 60);
    const seconds = readUint32(bytes, 0), nanoseconds = readUint32(bytes, 4);
    assertEquals(seconds, Math.floor(epochMs / 1000));
    assertEquals([nanoseconds < 1e9, nanoseconds >= 999e6], [true, true], `${epochMs}: ${nanoseconds}`);
  }
});

Deno.test("encodePcapRecord keeps microseconds of a time of today", () => {
  const bytes = painted(16);
  encodePcapRecord(bytes, 0, 1700000000123.456, 60);
  assertEquals(Math.round(readUint32(bytes, 4) / 1000), 123456);
});
