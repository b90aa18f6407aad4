import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { IpAddress, parseIpv4 } from "../../../net/wire/address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "../../../net/wire/bytes.ts";
import {
  addressSum,
  checksum,
  checksumAdd,
  checksumFinish,
  checksumFold,
  checksumUpdate16,
  checksumUpdate32,
  ipv4AddressSum,
  pseudoHeaderSum,
} from "../../../net/wire/checksum.ts";
import { naiveChecksum, naiveSum } from "../../support/naive_checksum.ts";
import { hex, noise, painted } from "../../support/packet_bytes.ts";

const SIZES = [
  0,
  1,
  2,
  3,
  4,
  5,
  7,
  8,
  19,
  20,
  21,
  60,
  63,
  64,
  95,
  96,
  97,
  98,
  99,
  100,
  127,
  576,
  1459,
  1460,
  1500,
  9001,
];

Deno.test("checksum is that of RFC 1071 section 3's example", () => {
  const bytes = hex("00 01 f2 03 f4 f5 f6 f7");
  assertStrictEquals(checksumFold(checksumAdd(bytes, 0, 8)), 0xddf2);
  assertStrictEquals(checksum(bytes, 0, 8), 0x220d);
});

Deno.test("checksum equals the naive one for every size, alignment and kind of data", () => {
  const kinds = [noise(9100, 7), new Uint8Array(9100).fill(0xff), new Uint8Array(9100)];
  for (const [kind, data] of kinds.entries()) {
    for (const size of SIZES) {
      for (let offset = 0; offset < 8; offset++) {
        const wanted = naiveChecksum(data, offset, offset + size);
        assertStrictEquals(checksum(data, offset, offset + size), wanted, `kind ${kind} size ${size} offset ${offset}`);
      }
    }
  }
});

Deno.test("checksum counts alignment from the buffer, not from the view", () => {
  const data = noise(400, 9);
  for (let byteOffset = 0; byteOffset < 5; byteOffset++) {
    const view = data.subarray(byteOffset, byteOffset + 333);
    for (let start = 0; start < 5; start++) {
      assertStrictEquals(checksum(view, start, 333), naiveChecksum(view, start, 333), `${byteOffset} + ${start}`);
    }
  }
});

Deno.test("checksum reads up to the end of a buffer whose length is no multiple of four", () => {
  for (const length of [129, 130, 131, 132]) {
    const data = noise(length, length);
    assertStrictEquals(checksum(data, 0, length), naiveChecksum(data, 0, length));
    assertStrictEquals(checksum(data, 1, length), naiveChecksum(data, 1, length));
  }
});

Deno.test("checksum is exact for the largest segment and past 256 KiB, where every word is 0xffff", () => {
  for (const size of [65535, 262144, 262145, 600001]) {
    const ones = new Uint8Array(size + 1).fill(0xff);
    assertStrictEquals(checksum(ones, 1, size + 1), naiveChecksum(ones, 1, size + 1), `ones ${size}`);
    const mixed = noise(size, size);
    assertStrictEquals(checksum(mixed, 0, size), naiveChecksum(mixed, 0, size), `noise ${size}`);
  }
});

Deno.test("checksum sees what was written into the buffer since the last call", () => {
  const data = new Uint8Array(256);
  assertStrictEquals(checksum(data, 0, 256), 0xffff);
  data[200] = 1;
  assertStrictEquals(checksum(data, 0, 256), 0xfeff);
});

Deno.test("checksum keeps buffers apart that are used by turns", () => {
  const first = noise(1000, 1), second = noise(1000, 2);
  for (let turn = 0; turn < 4; turn++) {
    assertStrictEquals(checksum(first, 0, 1000), naiveChecksum(first, 0, 1000));
    assertStrictEquals(checksum(second, 0, 1000), naiveChecksum(second, 0, 1000));
  }
});

Deno.test("checksum of a flipped byte differs, wherever the byte is", () => {
  const data = noise(301, 4), intact = checksum(data, 0, 301);
  for (let at = 0; at < 301; at++) {
    data[at]! ^= 0x40;
    assert(checksum(data, 0, 301) !== intact, `byte ${at}`);
    data[at]! ^= 0x40;
  }
});

Deno.test("checksumAdd continues a sum over pieces of even length", () => {
  const data = noise(3001, 5);
  for (const cut of [0, 2, 20, 96, 98, 1500, 3000]) {
    const sum = checksumAdd(data, cut, 3001, checksumAdd(data, 0, cut));
    assertStrictEquals(checksumFinish(sum), naiveChecksum(data, 0, 3001), `cut at ${cut}`);
  }
});

Deno.test("checksumAdd stays a non-negative number however many pieces are added", () => {
  const ones = new Uint8Array(128).fill(0xff);
  let sum = 0;
  for (let piece = 0; piece < 10_000; piece++) sum = checksumAdd(ones, 0, 128, sum);
  assert(sum >= 0 && Number.isSafeInteger(sum));
  assertStrictEquals(checksumFold(sum), 0xffff);
});

Deno.test("checksumAdd of nothing is the sum it was given", () => {
  assertStrictEquals(checksumAdd(painted(200), 10, 10, 12345), 12345);
});

Deno.test("checksumFold adds every carry back, the second one too", () => {
  assertStrictEquals(checksumFold(0), 0);
  assertStrictEquals(checksumFold(0xffff), 0xffff);
  assertStrictEquals(checksumFold(0x10000), 1);
  assertStrictEquals(checksumFold(0x1ffff), 1);
  assertStrictEquals(checksumFold(0xffff0001), 1);
  assertStrictEquals(checksumFold(0xffffffff), 0xffff);
});

Deno.test("checksumFinish complements", () => {
  assertStrictEquals(checksumFinish(0), 0xffff);
  assertStrictEquals(checksumFinish(0xffff), 0);
  assertStrictEquals(checksumFinish(0x2ddf0), 0x220d);
});

Deno.test("pseudoHeaderSum of IPv4 addresses is the sum of the pseudo-header's 12 bytes", () => {
  const header = hex("c0 a8 ff fe  ff ff 00 01  00 06 ff dc");
  const source = parseIpv4("192.168.255.254"), destination = parseIpv4("255.255.0.1");
  const sum = pseudoHeaderSum(ipv4AddressSum(source, destination), 6, 0xffdc);
  assertStrictEquals(checksumFold(sum), naiveSum(header, 0, 12));
});

Deno.test("pseudoHeaderSum of IPv6 addresses is the sum of the pseudo-header's 40 bytes, with a length over 16 bits", () => {
  const header = hex("fe80000000000000505400fffe123456 20010db8000000000000000000000001 00012345 0000003a");
  const source = IpAddress.fromBytes(header.subarray(0, 16)),
    destination = IpAddress.fromBytes(header.subarray(16, 32));
  const sum = pseudoHeaderSum(addressSum(source) + addressSum(destination), 58, 0x12345);
  assertStrictEquals(checksumFold(sum), naiveSum(header, 0, 40));
});

Deno.test("pseudoHeaderSum makes the checksum of a router solicitation that Linux sent", () => {
  const source = IpAddress.parse("fe80::5054:ff:fe12:3456"), destination = IpAddress.parse("ff02::2");
  const message = hex("85 00 71 b5 00 00 00 00 01 01 52 54 00 12 34 56");
  const sum = pseudoHeaderSum(addressSum(source) + addressSum(destination), 58, 16);
  assertStrictEquals(checksumFinish(checksumAdd(message, 0, 16, sum)), 0);
});

Deno.test("addressSum counts an IPv4 address without the words that map it", () => {
  const source = IpAddress.parse("192.168.255.254"), destination = IpAddress.parse("0.0.0.0");
  assertStrictEquals(addressSum(source) + addressSum(destination), ipv4AddressSum(source.ipv4, destination.ipv4));
});

Deno.test("checksumUpdate16 gives RFC 1624 section 4's example, which RFC 1141's equation gets wrong", () => {
  assertStrictEquals(checksumUpdate16(0xdd2f, 0x5555, 0x3285), 0x0000);
});

Deno.test("checksumUpdate16 and checksumUpdate32 equal a fresh checksum, for words that carry and words that do not", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const data = noise(20, seed);
    writeUint16(data, 10, 0);
    writeUint16(data, 10, checksum(data, 0, 20));
    const change = noise(6, seed + 1000);
    const short = readUint16(change, 0), long = readUint32(change, 2);
    const after16 = checksumUpdate16(readUint16(data, 10), readUint16(data, 8), short);
    writeUint16(data, 8, short);
    writeUint16(data, 10, after16);
    assertStrictEquals(naiveChecksum(data, 0, 20), 0, `seed ${seed}, 16 bits`);
    const after32 = checksumUpdate32(readUint16(data, 10), readUint32(data, 12), long);
    writeUint32(data, 12, long);
    writeUint16(data, 10, after32);
    assertStrictEquals(naiveChecksum(data, 0, 20), 0, `seed ${seed}, 32 bits`);
  }
});

Deno.test("checksumUpdate16 of an unchanged word leaves the checksum", () => {
  assertEquals([0x1234, 0xfffe, 0x0001].map((sum) => checksumUpdate16(sum, 0xabcd, 0xabcd)), [0x1234, 0xfffe, 0x0001]);
});
