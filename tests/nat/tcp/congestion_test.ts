import { assert, assertEquals } from "@std/assert";
import { CongestionWindow } from "../../../nat/tcp/congestion.ts";

Deno.test("CongestionWindow halves on a loss, falls to one segment on a timeout, and grows by whole bytes", () => {
  const window = new CongestionWindow(1 << 20);
  window.lost(100_001, 1460);
  assertEquals([window.bytes, window.threshold], [50_000, 50_000]);
  for (let i = 0; i < 100; i++) {
    window.acknowledged(1460, 1460);
    assert(Number.isInteger(window.bytes));
  }
  assert(window.bytes > 52_000 && window.bytes < 60_000, `${window.bytes}`);
  window.timedOut(9_999, 1460);
  assertEquals([window.bytes, window.threshold], [1460, 4999]);
  window.acknowledged(1460, 1460);
  assertEquals(window.bytes, 2920);
});

Deno.test("CongestionWindow never falls below what recovery needs nor grows beyond its beginning", () => {
  const window = new CongestionWindow(100_000);
  window.lost(10, 1460);
  assertEquals(window.bytes, 2920);
  for (let i = 0; i < 100_000; i++) window.acknowledged(65_000, 1460);
  assertEquals(window.bytes, 100_000);
});
