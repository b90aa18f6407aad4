import { assertEquals, assertStrictEquals } from "@std/assert";
import { encodeDomainSearch } from "../../../net/wire/domain_search.ts";
import { toHex } from "../../support/packet_bytes.ts";

Deno.test("encodeDomainSearch writes the example of RFC 3397 section 2", () => {
  const expected = "03656e67056170706c6503636f6d00096d61726b6574696e67c004";
  assertStrictEquals(toHex(encodeDomainSearch(["eng.apple.com", "marketing.apple.com"])), expected);
});

Deno.test("encodeDomainSearch points at whole names, ends and nothing that only looks alike", () => {
  assertEquals(encodeDomainSearch([]), new Uint8Array(0));
  assertStrictEquals(
    toHex(encodeDomainSearch(["a.b", "a.b", "B", "x.a.b", "ab"])),
    "01610162" + "00c000c002" + "0178c000" + "02616200",
  );
});
