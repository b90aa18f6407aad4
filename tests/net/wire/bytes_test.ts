import { assertEquals, assertStrictEquals } from "@std/assert";
import { readUint16, readUint32, writeUint16, writeUint32 } from "../../../net/wire/bytes.ts";
import { hex, painted, toHex } from "../../support/packet_bytes.ts";

Deno.test("readUint16 and readUint32 read big-endian at any offset of a sub-view", () => {
  const bytes = hex("01 02 03 04 ff fe fd fc");
  assertStrictEquals(readUint16(bytes, 0), 0x0102);
  assertStrictEquals(readUint16(bytes, 3), 0x04ff);
  assertStrictEquals(readUint32(bytes, 1), 0x020304ff);
});

Deno.test("readUint32 is unsigned when the top bit is set", () => {
  assertStrictEquals(readUint32(hex("ff fe fd fc"), 0), 0xfffefdfc);
  assertStrictEquals(readUint16(hex("ff ff"), 0), 0xffff);
});

Deno.test("writeUint16 and writeUint32 write their bytes and no others", () => {
  const out = painted(10);
  writeUint16(out, 1, 0x0102);
  writeUint32(out, 4, 0xfffefdfc);
  assertEquals(toHex(out), "a50102a5fffefdfca5a5");
});

Deno.test("writeUint16 and writeUint32 keep the low bits of what is too large or negative", () => {
  const out = painted(6);
  writeUint16(out, 0, 0x12345);
  writeUint32(out, 2, -2);
  assertEquals(toHex(out), "2345fffffffe");
});

Deno.test("reads past the end never throw", () => {
  readUint16(hex("01"), 0);
  readUint32(hex("01"), 5);
});

Deno.test("what writes wrote, reads read, for values at every edge", () => {
  const bytes = painted(4);
  for (const value of [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff]) {
    writeUint16(bytes, 1, value);
    assertStrictEquals(readUint16(bytes, 1), value);
  }
  for (const value of [0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]) {
    writeUint32(bytes, 0, value);
    assertStrictEquals(readUint32(bytes, 0), value);
  }
});
