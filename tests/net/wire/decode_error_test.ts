import { assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { DecodeError } from "../../../net/wire/decode_error.ts";

Deno.test("DecodeError names layer, offset, needed and actual bytes, in fields and in its message", () => {
  const error = new DecodeError("tcp", { offset: 34, needed: 20, actual: 13, reason: "the header is cut off" });
  assertInstanceOf(error, Error);
  assertEquals([error.name, error.layer, error.offset, error.needed, error.actual], ["DecodeError", "tcp", 34, 20, 13]);
  assertStrictEquals(
    error.message,
    "Cannot decode tcp at offset 34: the header is cut off (needed 20 bytes, have 13)",
  );
});

Deno.test("DecodeError keeps its name in what is printed", () => {
  const error = new DecodeError("arp", { offset: 0, needed: 28, actual: 0, reason: "the message is cut off" });
  assertStrictEquals(`${error}`.startsWith("DecodeError: Cannot decode arp"), true);
});
