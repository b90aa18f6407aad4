import { assertEquals, assertThrows } from "@std/assert";
import { parseOptions } from "../../../bench/peers/options.ts";
import { STACKS } from "../../../bench/peers/stacks.ts";

Deno.test("parseOptions runs everything three times unless told otherwise", () => {
  const all = { stacks: STACKS, isPartial: false, rounds: 3, quick: false, metrics: undefined };
  assertEquals(parseOptions([]), all);
  assertEquals(parseOptions(["--quick"]), { ...all, quick: true, rounds: 1 });
  assertEquals(parseOptions(["--rounds", "5", "--quick"]).rounds, 5);
  const some = parseOptions(["--only", "hawser,loopback", "--metrics", "startup_ms"]);
  assertEquals([some.stacks, some.isPartial, some.metrics], [["hawser", "loopback"], true, new Set(["startup_ms"])]);
});

Deno.test("parseOptions says what would be right", () => {
  assertThrows(() => parseOptions(["--only", "hawser,vpnkit"]), TypeError, "not vpnkit");
  assertThrows(() => parseOptions(["--metrics", "speed"]), TypeError, "startup_ms, not speed");
  assertThrows(() => parseOptions(["--rounds", "0"]), TypeError, "1 to 99, not 0");
  assertThrows(() => parseOptions(["--rounds"]), TypeError, "--rounds needs a value");
  assertThrows(() => parseOptions(["hawser"]), TypeError, "Unknown option hawser");
});
