import { assertEquals } from "@std/assert";
import { BURST, RateLimitedLog, REFILL_MS } from "../../../nat/base/rate_limited_log.ts";

function record() {
  const lines: string[] = [];
  const add = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  return { lines, logger: { debug: add("debug"), info: add("info"), warn: add("warn"), error: add("error") } };
}

Deno.test("RateLimitedLog passes a burst, counts the rest without making its lines, and says how many", () => {
  const { lines, logger } = record();
  let now = 5000, made = 0;
  const log = new RateLimitedLog(logger, () => now);
  for (let i = 0; i < BURST + 7; i++) log.warn(() => `line ${made++}`);
  assertEquals([lines.length, made, log.suppressed], [BURST, BURST, 7]);
  now += REFILL_MS - 1;
  log.warn(() => "too early");
  assertEquals([lines.length, log.suppressed], [BURST, 8]);
  now += 1;
  log.warn(() => "next");
  assertEquals([lines.at(-1), log.suppressed], ["warn next (8 such lines left out)", 0]);
});

Deno.test("RateLimitedLog never saves more than a burst, and each ration is its own", () => {
  const { lines, logger } = record();
  let now = 0;
  const log = new RateLimitedLog(logger, () => now, { burst: 2, refillMs: 10 });
  const other = new RateLimitedLog(logger, () => now, { burst: 1 });
  now += 1_000_000;
  for (let i = 0; i < 5; i++) log.info(() => `${i}`);
  other.warn(() => "still heard");
  assertEquals(lines, ["info 0", "info 1", "warn still heard"]);
});
