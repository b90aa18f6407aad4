import { assertEquals } from "@std/assert";
import { TCP_ACK, TCP_PSH } from "../../net/wire/tcp.ts";
import {
  ask,
  askInFragments,
  echoFrame,
  etherFrame,
  fragmentFrames,
  fragmentWord,
  packetFrame,
  packetPayload,
  repairChecksums,
  tcpFrame,
  udpFrame,
} from "./frames.ts";
import { hex, toHex } from "./packet_bytes.ts";

const HEADER = "525400123402 525400123456 86dd";
const BETWEEN = "fd000000000000000000000000000015 fd000000000000000000000000000002";
const HELLO = new TextEncoder().encode("hello"), PORTS = { source: 5000, destination: 7 };

function assertBytes(frame: Uint8Array, expected: string): void {
  assertEquals(toHex(frame), toHex(hex(expected)));
}

// What is expected are bytes that scapy made.

Deno.test("frames of IPv6 have the bytes and checksums of another implementation", () => {
  const payload = new TextEncoder().encode("abc"), numbers = { flags: TCP_ACK | TCP_PSH, seq: 7, ack: 9 };
  assertBytes(
    tcpFrame({ destination: "fd00::2", ...numbers, payload }),
    `${HEADER} 60000000 0017 06 40 ${BETWEEN} 9c40 0050 00000007 00000009 5018 ffff 54ae 0000 616263`,
  );
  assertBytes(
    udpFrame(PORTS, HELLO, { destination: "2001:db8::9" }),
    `${HEADER} 60000000 000d 11 40 fd000000000000000000000000000015 20010db8000000000000000000000009
     1388 0007 000d 7d9b 68656c6c6f`,
  );
  assertBytes(
    echoFrame({ identifier: 7, sequence: 1 }, new TextEncoder().encode("12345"), { destination: "fd00::2" }),
    `${HEADER} 60000000 000d 3a 40 ${BETWEEN} 8000 ec30 0007 0001 3132333435`,
  );
});

Deno.test("frames of IPv6 have extension headers and fragments where they are asked for", () => {
  const options = { type: 60, bytes: hex("00 00 01 04 00 00 00 00") };
  assertBytes(
    udpFrame(PORTS, HELLO, { source: "fd00::15", extensions: [options] }),
    `${HEADER} 60000000 0015 3c 40 ${BETWEEN} 1100010400000000 1388 0007 000d ae5a 68656c6c6f`,
  );
  const part = new TextEncoder().encode("12345678"), fragment = fragmentWord(6, 8, true);
  assertBytes(
    packetFrame(17, part, { destination: "fd00::2", fragment, identification: 77 }),
    `${HEADER} 60000000 0010 2c 40 ${BETWEEN} 11000009 0000004d 3132333435363738`,
  );
  assertEquals(options.bytes[0], 0, "the header that was given has changed");
});

Deno.test("frames of IPv4 have the bytes and checksums of another implementation", () => {
  assertBytes(
    udpFrame(PORTS, HELLO, { destination: "192.0.2.7" }),
    `525400123402 525400123456 0800 45000021 00004000 40116cb6 0a00020f c0000207 1388 0007 000d da5c 68656c6c6f`,
  );
});

Deno.test("a packet in fragments has the payload of the whole one, in either family", () => {
  for (const [destination, head] of [["192.0.2.7", 0], ["2001:db8::9", 8]] as const) {
    for (const protocol of ["tcp", "udp", "icmp"] as const) {
      const whole = ask(protocol, destination), parts = askInFragments(protocol, destination);
      assertEquals(parts.flatMap((part) => [...packetPayload(part).subarray(head)]), [...packetPayload(whole)]);
    }
    const long = udpFrame(PORTS, new Uint8Array(3000), { destination });
    assertEquals(fragmentFrames(long, 1480, { destination }).length, 3);
  }
});

Deno.test("repairChecksums leaves alone what its lengths do not allow, and every beginning of a frame", () => {
  const whole = tcpFrame({ destination: "fd00::2", flags: TCP_ACK, seq: 1, ack: 1, payload: HELLO });
  for (const frame of [whole, ask("udp", "fd00::2"), ask("icmp", "192.0.2.7"), etherFrame(0x88cc, HELLO)]) {
    assertEquals(repairChecksums(frame.slice()), frame);
    for (let length = 0; length < frame.length; length++) {
      assertEquals(repairChecksums(frame.slice(0, length)), frame.slice(0, length));
    }
  }
  const wrong = whole.slice();
  wrong[70]! ^= 1;
  assertEquals(repairChecksums(wrong), whole);
  const impossible = whole.slice();
  impossible[66] = 0x40; // A TCP header of 16 bytes.
  assertEquals(repairChecksums(impossible.slice()), impossible);
  // A payload whose sum is that of all ones: 0 would mean that UDP has no checksum.
  const sum = udpFrame(PORTS, new Uint8Array(2), { destination: "fd00::2" });
  const field = (sum[60]! << 8) | sum[61]!;
  assertBytes(
    udpFrame(PORTS, Uint8Array.of(field >> 8, field & 255), { destination: "fd00::2" }).subarray(60, 62),
    "ffff",
  );
});
