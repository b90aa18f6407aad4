import { assertEquals } from "@std/assert";
import { Batch } from "../../../nat/base/batch.ts";

Deno.test("Batch keeps items in order until it is cleared, and nothing of an earlier filling", () => {
  const batch = new Batch<string>();
  for (const word of ["a", "b", "c"]) batch.push(word);
  assertEquals([batch.at(0), batch.at(1), batch.at(2), batch.length], ["a", "b", "c", 3]);
  batch.clear();
  assertEquals([batch.length, batch.includes("a"), batch.at(0)], [0, false, undefined as never]);
  batch.push("d");
  assertEquals([batch.length, batch.includes("d"), batch.includes("b")], [1, true, false]);
});
