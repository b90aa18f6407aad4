import { assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { Delays } from "../../../net/linux/delays.ts";
import { EventLoop } from "../../../net/linux/event_loop.ts";
import { loopTest } from "../../support/event_loops.ts";

function test(name: string, fn: () => void | Promise<void>): void {
  loopTest("EventLoop", name, fn);
}

test("delay calls when its time has come, in a turn, before the turn ends of that turn", async () => {
  await using loop = new EventLoop();
  const seen: string[] = [], before = performance.now();
  let calledAt = 0;
  loop.onTurnEnd(() => {
    seen.push("end");
    return Infinity;
  });
  loop.runBlocking(before);
  loop.delay(() => {
    calledAt = performance.now();
    seen.push("delay");
    loop.wake();
  }, 5);
  seen.length = 0;
  assertEquals(loop.runBlocking(before + 500), true);
  assertGreater(calledAt, before + 5);
  assertLess(calledAt, before + 400);
  assertEquals(seen.slice(-3), ["delay", "end", "end"]);
});

test("delay made by a turn end shortens the wait that follows", async () => {
  await using loop = new EventLoop();
  const before = performance.now();
  let made = false;
  loop.onTurnEnd(() => {
    if (!made) loop.delay(() => loop.wake(), 3);
    made = true;
    return Infinity;
  });
  assertEquals(loop.runBlocking(before + 500), true);
  assertLess(performance.now(), before + 400);
});

test("delay that was prevented is not called, not even by one of the same turn", async () => {
  await using loop = new EventLoop();
  const seen: string[] = [];
  loop.delay(() => seen.push("first"), 1)();
  loop.delay(() => {
    seen.push("second");
    prevent();
  }, 1);
  const prevent = loop.delay(() => seen.push("third"), 1);
  // One of no length comes with the next turn, not with the one that made it.
  loop.delay(() => loop.delay(() => seen.push("fourth"), 0), 1);
  loop.runBlocking(performance.now() + 10);
  assertEquals(seen, ["second", "fourth"]);
});

Deno.test("Delays knows the earliest of its calls, and makes each once", () => {
  const delays = new Delays(), called: number[] = [];
  assertEquals(delays.earliest, Infinity);
  for (const at of [7, 3, 5]) delays.add(() => called.push(at), at);
  assertEquals(delays.earliest, 3);
  delays.callDue(2.9);
  delays.callDue(5);
  delays.callDue(5);
  assertEquals([called, delays.earliest], [[3, 5], 7]);
});

Deno.test("Delays whose call throws makes the others later, and that one never again", () => {
  const delays = new Delays(), called: string[] = [];
  delays.add(() => {
    throw new RangeError("the test says so");
  }, 1);
  delays.add(() => called.push("second"), 1);
  assertThrows(() => delays.callDue(1), RangeError);
  delays.callDue(1);
  assertEquals([called, delays.earliest], [["second"], Infinity]);
});
