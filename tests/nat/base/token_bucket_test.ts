import { assertEquals, assertThrows } from "@std/assert";
import { TokenBucket } from "../../../nat/base/token_bucket.ts";

function takeAll(bucket: TokenBucket, now: number): number {
  let taken = 0;
  while (bucket.take(now)) taken++;
  return taken;
}

Deno.test("TokenBucket gives its burst at once and then so many a second", () => {
  const bucket = new TokenBucket({ perSecond: 4, burst: 6 }, 1000);
  assertEquals(takeAll(bucket, 1000), 6);
  assertEquals(takeAll(bucket, 1249.9), 0);
  assertEquals(takeAll(bucket, 1250), 1);
  assertEquals(takeAll(bucket, 2250), 4);
});

Deno.test("TokenBucket loses no part of a token to the times at which it is asked", () => {
  const bucket = new TokenBucket({ perSecond: 3, burst: 1 }, 0);
  let taken = 0;
  for (let now = 0; now <= 60_000; now += 7) taken += takeAll(bucket, now);
  assertEquals(taken, 1 + 180 - 1);
});

Deno.test("TokenBucket holds no more than its burst, however long it was let be", () => {
  const bucket = new TokenBucket({ perSecond: 1000, burst: 2 }, 0);
  assertEquals(takeAll(bucket, 1e9), 2);
});

Deno.test("TokenBucket refuses a rate that lets nothing pass", () => {
  for (const rate of [{ perSecond: 0, burst: 1 }, { perSecond: 1, burst: 0 }, { perSecond: NaN, burst: 1 }]) {
    assertThrows(() => new TokenBucket(rate, 0), RangeError, "nothing would pass");
  }
});
