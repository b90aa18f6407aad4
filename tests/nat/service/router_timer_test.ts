import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { IpAddress } from "../../../net/wire/address.ts";
import { TimerWheel } from "../../../nat/base/timers.ts";
import {
  ASKED_PAUSE_MS,
  CHANGED_PAUSE_MS,
  FIRST_INTERVAL_MS,
  LEAST_INTERVAL_MS,
  MOST_INTERVAL_MS,
  RouterTimer,
} from "../../../nat/service/router_timer.ts";

const GUEST = IpAddress.parse("fe80::15");

/** A router on a virtual clock. Random numbers come from `random`, then are in the middle. */
class Script {
  now = 1000;
  readonly timers = new TimerWheel(1000);
  /** `time address` of each advertisement since the last look. */
  readonly said: string[] = [];
  readonly random: number[];
  readonly router: RouterTimer;

  constructor(random: number[] = []) {
    this.random = random;
    this.router = new RouterTimer({
      timers: this.timers,
      now: () => this.now,
      random: () => this.random.shift() ?? 2 ** 31,
      advertise: (to) => this.said.push(`${this.now} ${to ?? "all"}`),
    });
  }

  /** Goes to a time; returns what was said on the way. */
  until(time: number): string[] {
    for (;;) {
      const next = this.timers.nextDeadline();
      if (next > time) break;
      this.now = Math.max(this.now, next);
      this.timers.advance(this.now);
    }
    this.now = time;
    this.timers.advance(time);
    return this.said.splice(0);
  }
}

Deno.test("the router is silent until the guest speaks IPv6, then speaks at once", () => {
  const script = new Script();
  assertEquals(script.until(10_000_000), []);
  assertStrictEquals(script.timers.size, 0);
  script.router.changed();
  assertStrictEquals(script.timers.size, 0, "nobody is there to hear of a change");
  script.router.begin();
  assertEquals(script.until(10_000_000), ["10000000 all"]);
});

Deno.test("the first three advertisements follow each other within 16 s, then intervals are random", () => {
  const script = new Script([0, 0, 0, 2 ** 32 - 1, 2 ** 30]);
  script.router.begin();
  const times = script.until(3_000_000).map((line) => Number(line.split(" ")[0]));
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  assertEquals(gaps.slice(0, 3), [FIRST_INTERVAL_MS, FIRST_INTERVAL_MS, LEAST_INTERVAL_MS]);
  assert(Math.abs(gaps[3]! - MOST_INTERVAL_MS) < 1, `${gaps[3]}`);
  assert(gaps[4]! > LEAST_INTERVAL_MS && gaps[4]! < MOST_INTERVAL_MS / 2 + 1, `${gaps[4]}`);
});

Deno.test("a guest that speaks on and on changes nothing", () => {
  const once = new Script(), often = new Script();
  once.router.begin();
  often.router.begin();
  for (let i = 1; i <= 100; i++) {
    assertEquals(often.until(1000 + i * 5000), once.until(1000 + i * 5000));
    often.router.begin();
  }
});

Deno.test("who asks with an address is answered there at once, each time", () => {
  const script = new Script();
  script.router.begin();
  script.until(5000);
  for (let i = 0; i < 3; i++) script.router.solicited(GUEST);
  assertEquals(script.said.splice(0), ["5000 fe80::15", "5000 fe80::15", "5000 fe80::15"]);
  assertEquals(script.until(1000 + FIRST_INTERVAL_MS), ["17000 all"], "the intervals go on");
});

Deno.test("who asks first is answered once: everyone is told", () => {
  const script = new Script();
  script.router.solicited(GUEST);
  script.router.solicited(GUEST);
  assertEquals(script.said, []);
  assertEquals(script.until(2000), ["1000 all"]);
});

Deno.test("who asks without an address is answered with everyone, at most once in 3 s", () => {
  const script = new Script();
  script.router.solicited(null);
  assertEquals(script.until(1500), ["1000 all"]);
  for (let i = 0; i < 1000; i++) script.router.solicited(null);
  assertEquals(script.until(1000 + ASKED_PAUSE_MS - 1), []);
  assertEquals(script.until(10_000), ["4000 all"]);
  script.router.solicited(null);
  assertEquals(script.until(10_001), ["10000 all"]);
});

Deno.test("a host that has come up is told of at once, at most once in 3 s, and without a debt for later", () => {
  const script = new Script();
  for (let i = 0; i < 10; i++) script.router.cameUp();
  assertEquals(script.until(1500), ["1000 all"]);
  for (let i = 0; i < 10; i++) script.router.cameUp();
  assertEquals(script.until(1000 + ASKED_PAUSE_MS), [], "it asks if it has not heard that");
  script.router.cameUp();
  script.router.cameUp();
  assertEquals(script.until(10_000), ["4000 all"]);
});

Deno.test("a change is told at once, and no more often than once a second, the last one always", () => {
  const script = new Script();
  script.router.begin();
  script.until(10_000);
  script.router.changed();
  assertEquals(script.until(10_100), ["10000 all"]);
  for (let i = 0; i < 50; i++) {
    script.router.changed();
    script.until(script.now + 10);
  }
  assertEquals(script.until(10_000 + CHANGED_PAUSE_MS - 1), []);
  assertEquals(script.until(11_500), ["11000 all"]);
});

Deno.test("after a change come three within 16 s of each other, as at the beginning: one may be lost", () => {
  const script = new Script([2 ** 31, 2 ** 31, 2 ** 31, 0]);
  script.router.begin();
  script.until(100_000);
  script.router.changed();
  assertEquals(script.until(140_000), ["100000 all", "116000 all", "132000 all"]);
});

Deno.test("a question never puts off what was to be said earlier", () => {
  const script = new Script();
  script.router.begin();
  script.until(16_999);
  script.router.changed();
  script.router.solicited(null);
  assertEquals(script.until(17_000), ["16999 all"]);
});

Deno.test("nothing is said after the link has ended", () => {
  const script = new Script();
  script.router.begin();
  script.until(2000);
  script.router.dispose();
  assertStrictEquals(script.timers.size, 0);
  script.router.changed();
  assertEquals(script.until(2_000_000), []);
});
