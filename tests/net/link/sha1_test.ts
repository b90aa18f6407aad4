import { assertEquals } from "@std/assert";
import { sha1 } from "../../../net/link/sha1.ts";

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.test("sha1 gives the digests of RFC 3174 section 7.3", () => {
  const cases: [string, number, string][] = [
    ["abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"],
    ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1"],
    ["a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"],
    [
      "0123456701234567012345670123456701234567012345670123456701234567",
      10,
      "dea356a2cddd90c7a7ecedc5ebb563934f460452",
    ],
  ];
  for (const [text, times, digest] of cases) {
    assertEquals(hex(sha1(new TextEncoder().encode(text.repeat(times)))), digest);
  }
});

Deno.test("sha1 agrees with the runtime's at every length around a block", async () => {
  for (let length = 0; length <= 130; length++) {
    const message = Uint8Array.from({ length: length + 7 }, (_, i) => i * 7).subarray(7);
    assertEquals(sha1(message), new Uint8Array(await crypto.subtle.digest("SHA-1", message)), `${length} bytes`);
  }
});
