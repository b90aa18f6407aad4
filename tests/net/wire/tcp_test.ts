import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { checksumAdd, checksumFinish, checksumFold, ipv4AddressSum } from "../../../net/wire/checksum.ts";
import {
  checkTcp,
  decodeTcp,
  encodeTcp,
  formatTcp,
  formatTcpFlags,
  readTcpOptions,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  tcpAck,
  tcpChecksum,
  tcpChecksumPartial,
  tcpChecksumValid,
  tcpDestinationPort,
  tcpFlags,
  TcpHeader,
  tcpHeaderLength,
  tcpHeaderLengthOf,
  TcpOptions,
  tcpSeq,
  tcpSetChecksum,
  tcpSetPartialChecksum,
  tcpSourcePort,
  tcpUrgentPointer,
  tcpWindow,
} from "../../../net/wire/tcp.ts";
import { naiveChecksum, naiveSum } from "../../support/naive_checksum.ts";
import {
  assertEncodes,
  assertRefused,
  assertRefusesEveryShorter,
  hex,
  noise,
  painted,
  toHex,
} from "../../support/packet_bytes.ts";

const DOORS = { layer: "tcp", check: checkTcp, decode: decodeTcp };
const GUEST = parseIpv4("10.0.2.15"), GATEWAY = parseIpv4("10.0.2.2");

/** What Linux at 10.0.2.15 sends to 10.0.2.2: a SYN with timestamps. */
const SYN =
  "ab 0c 00 50 62 45 ca 55 00 00 00 00 a0 02 fa f0 ae d2 00 00  02 04 05 b4 04 02 08 0a 9a ee 13 43 00 00 00 00 01 03 03 0a";
/** Its SYN-ACK to a client without timestamps whose first number is 0xfffffff0. */
const SYN_ACK = "1f 90 9c 40 b5 79 cf 96 ff ff ff f1 80 12 fa f0 1b 2a 00 00  02 04 05 b4 01 01 04 02 01 03 03 0a";
/** Its acknowledgment of nothing new after two holes, the second block from 0x0f to 0x14, past the wrap. */
const SACK_2 =
  "1f 90 9c 40 b5 79 cf 97 ff ff ff f1 a0 10 00 3f 00 6b 00 00  01 01 05 12 00 00 00 0f 00 00 00 14 ff ff ff fb 00 00 00 00";

/** A header with these option bytes, padded with end options. */
function withOptions(options: string): Uint8Array {
  const length = options.replaceAll(" ", "").length / 2, padded = (length + 3) & ~3;
  const bytes = hex(
    `00 01 00 02 00 00 00 00 00 00 00 00 50 10 00 00 00 00 00 00 ${options}${"00".repeat(padded - length)}`,
  );
  bytes[12] = (20 + padded) << 2;
  return bytes;
}

function read(options: string): { complete: boolean; options: TcpOptions } {
  const into = new TcpOptions();
  return { complete: readTcpOptions(withOptions(options), 0, into), options: into };
}

function edges(options: TcpOptions): number[] {
  return Array.from(options.sackEdges.subarray(0, options.sackCount * 2));
}

Deno.test("tcp getters read the header at an offset", () => {
  const bytes = hex(`ff ff ff ${SYN_ACK} 61`);
  assert(checkTcp(bytes, 3, bytes.length));
  assertEquals([tcpSourcePort(bytes, 3), tcpDestinationPort(bytes, 3)], [8080, 40000]);
  assertEquals([tcpSeq(bytes, 3), tcpAck(bytes, 3)], [0xb579cf96, 0xfffffff1]);
  assertEquals([tcpHeaderLength(bytes, 3), tcpFlags(bytes, 3)], [32, TCP_SYN | TCP_ACK]);
  assertEquals([tcpWindow(bytes, 3), tcpChecksum(bytes, 3), tcpUrgentPointer(bytes, 3)], [0xfaf0, 0x1b2a, 0]);
});

Deno.test("tcpUrgentPointer reads the last word", () => {
  const bytes = hex(SYN);
  bytes[18] = 0xff;
  bytes[19] = 0xfe;
  assertStrictEquals(tcpUrgentPointer(bytes, 0), 0xfffe);
});

Deno.test("decodeTcp gives the header, the options and the payload's place", () => {
  const { options, ...segment } = decodeTcp(hex(`ff ${SYN_ACK} 61 62`), 1);
  assertEquals(segment, {
    sourcePort: 8080,
    destinationPort: 40000,
    seq: 0xb579cf96,
    ack: 0xfffffff1,
    headerLength: 32,
    flags: TCP_SYN | TCP_ACK,
    window: 0xfaf0,
    checksum: 0x1b2a,
    urgentPointer: 0,
    payloadStart: 33,
    payloadEnd: 35,
  });
  assertEquals([options.mss, options.windowShift, options.sackPermitted, options.sackCount], [1460, 10, true, 0]);
});

Deno.test("decodeTcp skips the timestamps of a Linux SYN", () => {
  const { options } = decodeTcp(hex(SYN));
  assertEquals([options.mss, options.windowShift, options.sackPermitted], [1460, 10, true]);
});

Deno.test("encodeTcp writes the SYN-ACK that Linux sends, but for the checksum", () => {
  const header = new TcpHeader();
  header.sourcePort = 8080;
  header.destinationPort = 40000;
  header.seq = 0xb579cf96;
  header.ack = 0xfffffff1;
  header.flags = TCP_SYN | TCP_ACK;
  header.window = 0xfaf0;
  header.mss = 1460;
  header.windowShift = 10;
  header.sackPermitted = true;
  assertStrictEquals(tcpHeaderLengthOf(header), 32);
  assertEncodes(SYN_ACK.replace("1b 2a", "00 00"), (bytes, offset) => encodeTcp(bytes, offset, header));
});

Deno.test("encodeTcp writes the SACK blocks that Linux sends", () => {
  const header = new TcpHeader();
  header.sourcePort = 8080;
  header.destinationPort = 40000;
  header.seq = 0xb579cf97;
  header.ack = 0xfffffff1;
  header.flags = TCP_ACK;
  header.window = 0x3f;
  header.sackCount = 2;
  header.sackEdges.set([0x0f, 0x14, 0xfffffffb, 0]);
  assertStrictEquals(tcpHeaderLengthOf(header), 40);
  assertEncodes(SACK_2.replace("00 6b", "00 00"), (bytes, offset) => encodeTcp(bytes, offset, header));
});

Deno.test("encodeTcp writes a plain header of 20 bytes, urgent pointer included", () => {
  const header = new TcpHeader();
  header.sourcePort = 65535;
  header.destinationPort = 1;
  header.seq = 0xffffffff;
  header.ack = 0x80000000;
  header.flags = 0xff;
  header.window = 65535;
  header.urgentPointer = 0x1234;
  assertEncodes(
    "ff ff 00 01 ff ff ff ff 80 00 00 00 50 ff ff ff 00 00 12 34",
    (bytes, offset) => encodeTcp(bytes, offset, header),
  );
});

Deno.test("encodeTcp writes option values of 0", () => {
  const header = new TcpHeader();
  header.mss = 0;
  header.windowShift = 0;
  const out = painted(28);
  encodeTcp(out, 0, header);
  assertStrictEquals(toHex(out, 20), "0204000001030300");
});

Deno.test("every combination of options is as long as tcpHeaderLengthOf says, and is read back", () => {
  for (let choice = 0; choice < 40; choice++) {
    const header = new TcpHeader();
    if ((choice & 1) !== 0) header.mss = 1460;
    if ((choice & 2) !== 0) header.windowShift = 7;
    header.sackPermitted = (choice & 4) !== 0;
    header.sackCount = choice >>> 3;
    for (let i = 0; i < 8; i++) header.sackEdges[i] = 0xfffffffc + i;
    const length = tcpHeaderLengthOf(header), out = painted(64);
    assertStrictEquals(encodeTcp(out, 2, header), length);
    assertStrictEquals(tcpHeaderLength(out, 2), length);
    assert(length <= 60 && length % 4 === 0);
    const { options } = decodeTcp(out, 2);
    assertEquals([options.mss, options.windowShift, options.sackPermitted], [
      header.mss,
      header.windowShift,
      header.sackPermitted,
    ]);
    // Four blocks fill 36 of 40 bytes: beside two other options only three fit.
    const fit = [0, 1, 2, 4].includes(choice & 7) ? 4 : 3;
    assertEquals(edges(options), Array.from(header.sackEdges.subarray(0, Math.min(header.sackCount, fit) * 2)));
  }
});

Deno.test("tcp refuses a header truncated at every length, within options too", () => {
  assertRefusesEveryShorter(DOORS, hex("00 01 00 02 00 00 00 00 00 00 00 00 50 10 00 00 00 00 00 00"));
  assertRefusesEveryShorter(DOORS, hex(SYN));
});

Deno.test("tcp refuses a data offset below 20 bytes and one past the end", () => {
  for (let words = 0; words < 16; words++) {
    const bytes = hex(SYN_ACK);
    bytes[12] = words << 4;
    if (words < 5 || words > 8) assertRefused(DOORS, bytes);
    else assert(checkTcp(bytes, 0, bytes.length));
  }
});

Deno.test("tcp honours the data offset: options are no payload", () => {
  const segment = decodeTcp(hex(`${SACK_2} 61`));
  assertEquals([segment.payloadStart, segment.payloadEnd], [40, 41]);
});

Deno.test("readTcpOptions reads two SACK blocks across the wrap", () => {
  const options = new TcpOptions();
  assert(readTcpOptions(hex(`ff ${SACK_2}`), 1, options));
  assertStrictEquals(options.sackCount, 2);
  assertEquals(edges(options), [0x0f, 0x14, 0xfffffffb, 0]);
});

Deno.test("readTcpOptions reads four SACK blocks", () => {
  const blocks = "00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008";
  const { complete, options } = read(`01 01 05 22 ${blocks}`);
  assert(complete);
  assertEquals(edges(options), [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("readTcpOptions forgets what an earlier segment had", () => {
  const options = new TcpOptions();
  readTcpOptions(hex(SYN), 0, options);
  readTcpOptions(hex(SACK_2), 0, options);
  assert(readTcpOptions(withOptions(""), 0, options));
  assertEquals([options.mss, options.windowShift, options.sackPermitted, options.sackCount], [-1, -1, false, 0]);
});

Deno.test("readTcpOptions caps the window shift at 14", () => {
  assertEquals(["0303 0e", "0303 0f", "0303 ff"].map((text) => read(text).options.windowShift), [14, 14, 14]);
  assertStrictEquals(read("0303 0d").options.windowShift, 13);
});

Deno.test("readTcpOptions stops at the end option without complaint", () => {
  const { complete, options } = read("0204 05b4 00 03 00 ff");
  assertEquals([complete, options.mss, options.windowShift], [true, 1460, -1]);
});

Deno.test("readTcpOptions skips unknown kinds by their length", () => {
  const { complete, options } = read("fd 06 01 02 03 04  1c 02  0204 05b4");
  assertEquals([complete, options.mss], [true, 1460]);
});

Deno.test("readTcpOptions stops at a length of 0 or 1 and keeps what came before", () => {
  for (const bad of ["fd 00", "fd 01", "03 00", "05 01"]) {
    const { complete, options } = read(`0204 05b4 ${bad} 04 02`);
    assertEquals([complete, options.mss, options.sackPermitted], [false, 1460, false], bad);
  }
});

Deno.test("readTcpOptions stops at a length past the header, whatever lies behind it", () => {
  for (const bad of ["fd 05 00 00", "01 02 04 05", "01 01 01 02", "05 0a 00 00", "01 01 03 03", "01 01 01 fd"]) {
    const bytes = withOptions(`0303 07 01 ${bad}`), options = new TcpOptions();
    assertEquals([readTcpOptions(bytes, 0, options), options.windowShift, options.mss], [false, 7, -1], bad);
  }
});

Deno.test("readTcpOptions stops at a length that is not the kind's", () => {
  for (
    const bad of [
      "02 03 05",
      "02 05 05 b4 00",
      "03 02",
      "03 04 07 07",
      "04 03 00",
      "05 02",
      "05 09 00000000000000",
      "05 0c 00000000000000000000",
    ]
  ) {
    const { complete, options } = read(`01 ${bad} 01`);
    assertStrictEquals(complete, false, bad);
    assertEquals([options.mss, options.windowShift, options.sackPermitted, options.sackCount], [-1, -1, false, 0], bad);
  }
});

Deno.test("decodeTcp refuses malformed options that check lets pass", () => {
  const bytes = withOptions("fd 00");
  assert(checkTcp(bytes, 0, bytes.length));
  let message = "";
  try {
    decodeTcp(bytes);
  } catch (error) {
    message = `${error}`;
  }
  assertStrictEquals(
    message,
    "DecodeError: Cannot decode tcp at offset 0: the options are malformed (needed 24 bytes, have 24)",
  );
});

Deno.test("readTcpOptions never throws, and never claims more than fits, for any bytes", () => {
  const options = new TcpOptions();
  for (let seed = 1; seed <= 2000; seed++) {
    const bytes = noise(60, seed);
    bytes[12]! |= 0x50;
    // Small numbers make kinds and lengths that mean something.
    for (let i = 20; i < 60; i++) bytes[i]! %= 12;
    readTcpOptions(bytes, 0, options);
    assert(options.sackCount >= 0 && options.sackCount <= 4);
    assert(options.windowShift >= -1 && options.windowShift <= 14);
    assert(options.mss >= -1 && options.mss <= 65535);
  }
});

Deno.test("tcpChecksumValid takes the checksums that Linux made, and no others", () => {
  for (const text of [SYN, SYN_ACK, SACK_2]) {
    const bytes = hex(`ff ${text} ff`), end = bytes.length - 1;
    assert(tcpChecksumValid(bytes, 1, end, ipv4AddressSum(GUEST, GATEWAY)));
    assert(!tcpChecksumValid(bytes, 1, end, ipv4AddressSum(GUEST, GATEWAY + 1)), "another address");
    assert(!tcpChecksumValid(bytes, 1, end + 1, ipv4AddressSum(GUEST, GATEWAY)), "padding counted in");
    for (let at = 1; at < end; at++) {
      bytes[at]! ^= 0x80;
      assert(!tcpChecksumValid(bytes, 1, end, ipv4AddressSum(GUEST, GATEWAY)), `byte ${at}`);
      bytes[at]! ^= 0x80;
    }
  }
});

Deno.test("tcpSetChecksum makes the checksum that Linux made, over whatever was there", () => {
  const bytes = hex(`ff ${SYN_ACK} ff`);
  bytes[17] = bytes[18] = 0xa5;
  tcpSetChecksum(bytes, 1, bytes.length - 1, ipv4AddressSum(GUEST, GATEWAY));
  assertStrictEquals(toHex(bytes), `ff${SYN_ACK.replaceAll(" ", "")}ff`);
});

Deno.test("tcpSetChecksum agrees with the naive sum for payloads of odd and even length up to 64 KiB", () => {
  for (const payload of [0, 1, 536, 1459, 1460, 65475]) {
    const length = 20 + payload, bytes = noise(length + 12, length);
    bytes[24] = 0x50;
    tcpSetChecksum(bytes, 12, 12 + length, ipv4AddressSum(GUEST, GATEWAY));
    // The pseudo-header goes in front, so that the oracle sums one piece.
    bytes.set([10, 0, 2, 15, 10, 0, 2, 2, 0, 6, length >>> 8, length & 255]);
    assertStrictEquals(naiveChecksum(bytes, 0, 12 + length), 0, `${payload} bytes`);
  }
});

Deno.test("tcpSetPartialChecksum writes the pseudo-header's sum, which a link completes", () => {
  const bytes = hex(SYN_ACK);
  tcpSetPartialChecksum(bytes, 0, bytes.length, ipv4AddressSum(GUEST, GATEWAY));
  const pseudo = hex("0a 00 02 0f 0a 00 02 02 00 06 00 20");
  assertStrictEquals(tcpChecksum(bytes, 0), naiveSum(pseudo, 0, 12));
  // What virtio asks of the receiver: the checksum of everything from the header on, the field included.
  assertStrictEquals(checksumFinish(checksumAdd(bytes, 0, bytes.length)), 0x1b2a);
});

Deno.test("tcpSetPartialChecksum folds the carries", () => {
  const bytes = painted(65515);
  tcpSetPartialChecksum(bytes, 0, bytes.length, ipv4AddressSum(0xffffffff, 0xfffffffe));
  assertStrictEquals(tcpChecksum(bytes, 0), checksumFold(0xffff * 3 + 0xfffe + 6 + 65515));
});

Deno.test("formatTcpFlags uses tcpdump's letters", () => {
  assertEquals(
    [TCP_SYN, TCP_SYN | TCP_ACK, TCP_PSH | TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST, 0, 0xff].map(formatTcpFlags),
    [
      "S",
      "S.",
      "P.",
      "F.",
      "R",
      "none",
      "FSRP.UEW",
    ],
  );
});

Deno.test("formatTcp is one line in tcpdump's manner", () => {
  assertStrictEquals(
    formatTcp(decodeTcp(hex(SYN))),
    "TCP 43788 > 80: Flags [S], seq 1648740949, win 64240, options [mss 1460,sackOK,wscale 10], length 0",
  );
  assertStrictEquals(
    formatTcp(decodeTcp(hex(`${SACK_2} 61`))),
    "TCP 8080 > 40000: Flags [.], seq 3044659095, ack 4294967281, win 63, " +
      "options [sack 2 {15:20}{4294967291:0}], length 1",
  );
  assertStrictEquals(
    formatTcp({ ...decodeTcp(hex(SYN_ACK)), flags: TCP_URG, urgentPointer: 3, options: new TcpOptions() }),
    "TCP 8080 > 40000: Flags [U], seq 3044659094, win 64240, urg 3, length 0",
  );
});

Deno.test("tcpChecksumPartial knows the pseudo-header's sum alone, and no other checksum", () => {
  const source = parseIpv4("192.0.2.255"), destination = parseIpv4("255.255.255.254"), bytes = noise(1000, 5);
  tcpSetChecksum(bytes, 0, bytes.length, ipv4AddressSum(source, destination));
  assert(!tcpChecksumPartial(bytes, 0, bytes.length, ipv4AddressSum(source, destination)), "a whole one");
  tcpSetPartialChecksum(bytes, 0, bytes.length, ipv4AddressSum(source, destination));
  assert(tcpChecksumPartial(bytes, 0, bytes.length, ipv4AddressSum(source, destination)));
  assert(!tcpChecksumPartial(bytes, 0, bytes.length - 1, ipv4AddressSum(source, destination)), "of another length");
  bytes[17]! ^= 1;
  assert(!tcpChecksumPartial(bytes, 0, bytes.length, ipv4AddressSum(source, destination)));
});
