import { assertEquals } from "@std/assert";
import { bytesOf, byteText, readableText, utf8ByteText } from "../../../net/linux/byte_text.ts";

Deno.test("byteText and bytesOf keep every byte, whatever its place", () => {
  const bytes = Uint8Array.from({ length: 20_000 }, (_, at) => (at * 7) & 0xff);
  assertEquals(bytesOf(byteText(bytes)), bytes);
  assertEquals(byteText(bytes.subarray(3, 5)), String.fromCharCode(21, 28));
});

Deno.test("utf8ByteText has a character for each byte of UTF-8", () => {
  assertEquals(utf8ByteText("ü"), "\xc3\xbc");
  assertEquals(bytesOf(utf8ByteText("a\u20ac")), new TextEncoder().encode("a\u20ac"));
});

Deno.test("readableText shows what is not UTF-8 as U+FFFD, and keeps a byte order mark", () => {
  assertEquals(readableText("a\xffb"), "a\ufffdb");
  assertEquals(readableText("\xef\xbb\xbfx"), "\ufeffx");
});
