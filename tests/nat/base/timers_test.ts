import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { Timer, TimerWheel } from "../../../nat/base/timers.ts";

const HOUR = 3_600_000, DAY = 24 * HOUR;

/** A wheel whose timers write their names down when they fire. */
function recorder(origin: number = 1000.25) {
  const fired: string[] = [];
  const wheel = new TimerWheel(origin);
  const timer = (name: string, then: (now: number) => void = () => {}) =>
    new Timer({
      timerFired(now) {
        fired.push(name);
        then(now);
      },
    });
  return { wheel, timer, fired, take: () => fired.splice(0) };
}

function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 * below;
  };
}

Deno.test("TimerWheel fires at the deadline to the fraction and not before", () => {
  const { wheel, timer, fired } = recorder();
  wheel.schedule(timer("a"), 1200.75);
  wheel.advance(1200.7499);
  assertEquals(fired, []);
  wheel.advance(1200.75);
  assertEquals(fired, ["a"]);
});

Deno.test("TimerWheel tells the callback the time, unarmed and with an infinite deadline", () => {
  const wheel = new TimerWheel(0);
  const seen: unknown[] = [];
  const timer: Timer = new Timer({ timerFired: (now) => seen.push(now, timer.armed, timer.deadline, wheel.size) });
  wheel.schedule(timer, 10);
  assertEquals([timer.armed, timer.deadline, wheel.size], [true, 10, 1]);
  wheel.advance(12.5);
  assertEquals(seen, [12.5, false, Infinity, 0]);
});

Deno.test("TimerWheel fires in the order of the deadlines, whatever the order of arming", () => {
  const { wheel, timer, fired } = recorder(0);
  for (const deadline of [70_000, 3, 5000, 64, 63, 4096, 300_000, 5, HOUR]) {
    wheel.schedule(timer(`${deadline}`), deadline);
  }
  wheel.advance(2 * HOUR);
  assertEquals(fired, ["3", "5", "63", "64", "4096", "5000", "70000", "300000", `${HOUR}`]);
});

Deno.test("TimerWheel fires what was armed for a time already past at the next advance", () => {
  const { wheel, timer, fired } = recorder(1000);
  wheel.advance(5000);
  wheel.schedule(timer("past"), 10);
  assertEquals(wheel.nextDeadline(), 10);
  wheel.advance(5000);
  assertEquals(fired, ["past"]);
});

Deno.test("TimerWheel.schedule moves an armed timer in both directions", () => {
  const { wheel, timer, take } = recorder(0);
  const a = timer("a");
  wheel.schedule(a, 100);
  wheel.schedule(a, 50_000);
  wheel.advance(1000);
  assertEquals([take(), wheel.size], [[], 1]);
  wheel.schedule(a, 1001);
  wheel.advance(1001);
  assertEquals([take(), wheel.size], [["a"], 0]);
  wheel.advance(HOUR);
  assertEquals(take(), []);
});

Deno.test("TimerWheel.cancel disarms, and does nothing to a timer that is not armed", () => {
  const { wheel, timer, fired } = recorder(0);
  const a = timer("a"), b = timer("b");
  wheel.schedule(a, 100);
  wheel.schedule(b, 100);
  wheel.cancel(a);
  wheel.cancel(a);
  assertEquals([a.armed, a.deadline, wheel.size], [false, Infinity, 1]);
  wheel.advance(200);
  assertEquals(fired, ["b"]);
  wheel.cancel(b);
  assertEquals([wheel.size, wheel.nextDeadline()], [0, Infinity]);
});

Deno.test("TimerWheel forgets the deadline of the last timer of a slot with the timer", () => {
  for (const deadline of [5, 100, 300_000, 20 * DAY]) {
    const { wheel, timer } = recorder(0);
    const a = timer("a");
    wheel.schedule(a, deadline);
    wheel.cancel(a);
    assertEquals(wheel.nextDeadline(), Infinity);
    wheel.schedule(a, deadline);
    wheel.schedule(a, deadline + 0.5);
    assertEquals(wheel.nextDeadline(), deadline + 0.5);
  }
});

Deno.test("TimerWheel.schedule refuses deadlines that are not finite and keeps the timer as it was", () => {
  const { wheel, timer, fired } = recorder(0);
  const a = timer("a");
  wheel.schedule(a, 5);
  for (const deadline of [NaN, Infinity, -Infinity]) {
    assertThrows(() => wheel.schedule(a, deadline), RangeError, `the deadline ${deadline} is not a finite number`);
  }
  wheel.advance(5);
  assertEquals(fired, ["a"]);
});

Deno.test("TimerWheel.advance to an earlier time fires nothing and loses nothing", () => {
  const { wheel, timer, take } = recorder(0);
  wheel.advance(1000);
  wheel.schedule(timer("a"), 1010);
  wheel.advance(3);
  wheel.advance(NaN);
  assertEquals([take(), wheel.nextDeadline()], [[], 1010]);
  wheel.advance(1010);
  assertEquals(take(), ["a"]);
});

Deno.test("TimerWheel.nextDeadline is exact for a single timer at any distance", () => {
  for (const deadline of [0.5, 1, 63.9, 64, 4095, 4096, 262_144, 2 * HOUR, 12 * DAY, 13 * DAY, 400 * DAY]) {
    const { wheel, timer, fired } = recorder(0);
    assertEquals(wheel.nextDeadline(), Infinity);
    wheel.schedule(timer("a"), deadline);
    assertEquals(wheel.nextDeadline(), deadline);
    wheel.advance(deadline - 0.25);
    assertEquals([wheel.nextDeadline(), fired], [deadline, []]);
    wheel.advance(deadline);
    assertEquals([wheel.nextDeadline(), fired], [Infinity, ["a"]]);
  }
});

Deno.test("TimerWheel.nextDeadline that is early after a cancellation is right once that time has come", () => {
  const { wheel, timer, fired } = recorder(0);
  const early = timer("early"), late = timer("late");
  for (const [first, second] of [[100.1, 100.9], [5000, 5900], [300_000, 310_000]] as const) {
    assertEquals(wheel.nextDeadline(), Infinity);
    wheel.schedule(early, first);
    wheel.schedule(late, second);
    wheel.cancel(early);
    assert(wheel.nextDeadline() >= first && wheel.nextDeadline() <= second);
    wheel.advance(wheel.nextDeadline());
    assertEquals([wheel.nextDeadline(), fired], [second, []]);
    wheel.advance(second);
    assertEquals(fired.splice(0), ["late"]);
  }
});

Deno.test("TimerWheel crosses the turn of its coarsest wheel with timers on both sides", () => {
  const { wheel, timer, take } = recorder(0);
  const turn = 2 ** 30;
  wheel.schedule(timer("before"), turn - 1);
  wheel.schedule(timer("at"), turn);
  wheel.schedule(timer("after"), turn + 1.5);
  wheel.schedule(timer("far"), 40 * turn + 7);
  wheel.advance(turn - 1);
  assertEquals([take(), wheel.nextDeadline()], [["before"], turn]);
  wheel.advance(turn + 1);
  assertEquals([take(), wheel.nextDeadline()], [["at"], turn + 1.5]);
  wheel.advance(39 * turn + 3);
  assertEquals([take(), wheel.nextDeadline()], [["after"], 40 * turn + 7]);
  wheel.advance(40 * turn + 8);
  assertEquals([take(), wheel.size], [["far"], 0]);
});

Deno.test("TimerWheel keeps the order of timers in several turns that one advance passes", () => {
  const { wheel, timer, take } = recorder(0);
  const turn = 2 ** 30;
  for (const deadline of [3 * turn + 5, 2 * turn + 70_000, 4 * turn, 2 * turn + 5, 9 * turn]) {
    wheel.schedule(timer(`${deadline}`), deadline);
  }
  wheel.advance(5 * turn);
  assertEquals(take(), [2 * turn + 5, 2 * turn + 70_000, 3 * turn + 5, 4 * turn].map(String));
  assertEquals([wheel.nextDeadline(), wheel.size], [9 * turn, 1]);
});

Deno.test("TimerWheel walks through a year of hourly timers without looking at each millisecond", () => {
  const { wheel, timer, fired } = recorder(0);
  const hourly: Timer = timer("hour", (now) => wheel.schedule(hourly, now + HOUR));
  wheel.schedule(hourly, HOUR);
  const began = performance.now();
  while (wheel.nextDeadline() <= 365 * DAY) wheel.advance(wheel.nextDeadline());
  assertEquals(fired.length, 365 * 24);
  // A loop over the 31 billion milliseconds would take minutes.
  assertLess(performance.now() - began, 2000);
});

Deno.test("TimerWheel lets a callback arm its own timer again, and for now only once an advance", () => {
  const { wheel, timer, take } = recorder(0);
  const again: Timer = timer("again", (now) => wheel.schedule(again, now));
  wheel.schedule(again, 10);
  wheel.advance(50);
  assertEquals([take(), again.armed, wheel.nextDeadline()], [["again"], true, 50]);
  wheel.advance(50);
  assertEquals([take(), wheel.size], [["again"], 1]);
});

Deno.test("TimerWheel lets a callback cancel and move others that are due in the same advance", () => {
  const { wheel, timer, take } = recorder(0);
  const cancelled = timer("cancelled"), moved = timer("moved"), pulled = timer("pulled"), last = timer("last");
  const first = timer("first", (now) => {
    wheel.cancel(cancelled);
    wheel.schedule(moved, now + 5);
    wheel.schedule(pulled, 0);
  });
  for (const each of [first, cancelled, moved, last]) wheel.schedule(each, 20.5);
  wheel.schedule(pulled, 9000);
  wheel.advance(21);
  assertEquals([take(), cancelled.armed, moved.deadline, wheel.size], [["first", "last"], false, 26, 2]);
  wheel.advance(21);
  assertEquals(take(), ["pulled"]);
  wheel.advance(26);
  assertEquals(take(), ["moved"]);
});

Deno.test("TimerWheel lets a callback cancel the one due right after it, also as the last one left", () => {
  const { wheel, timer, take } = recorder(0);
  const b = timer("b");
  const a = timer("a", () => wheel.cancel(b));
  wheel.schedule(a, 70);
  wheel.schedule(b, 70);
  wheel.advance(70);
  assertEquals([take(), wheel.size, wheel.nextDeadline()], [["a"], 0, Infinity]);
  wheel.schedule(b, 71);
  wheel.advance(71);
  assertEquals(take(), ["b"]);
});

Deno.test("TimerWheel keeps what was due behind a callback that throws", () => {
  const { wheel, timer, take } = recorder(0);
  wheel.schedule(
    timer("bad", () => {
      throw new Error("no");
    }),
    5,
  );
  wheel.schedule(timer("good"), 6);
  assertThrows(() => wheel.advance(10), Error, "no");
  assertEquals([wheel.size, wheel.nextDeadline()], [1, 6]);
  wheel.advance(10);
  assertEquals(take(), ["bad", "good"]);
});

Deno.test("TimerWheel fires like a sorted list over 100000 random operations", () => {
  for (const [seed, origin] of [[1, 0], [2, 123_456.789], [3, 1.7e12 + 0.3]] as const) compareWithOracle(seed, origin);
});

function compareWithOracle(seed: number, origin: number): void {
  const random = randomNumbers(seed);
  const wheel = new TimerWheel(origin);
  let now = origin, fired: number[] = [];
  const timers = Array.from({ length: 300 }, (_, id) => new Timer({ timerFired: () => fired.push(id) }));
  const oracle = new Map<number, number>();
  /** The tick by which a timer is ordered: not before the one in which it was armed. */
  const ticks = new Map<number, number>();
  const distances = [1, 10, 70, 5000, 300_000, 3 * HOUR, 20 * DAY];
  let total = 0, early = 0;
  for (let step = 0; step < 35_000; step++) {
    const id = Math.floor(random(timers.length)), what = random(10);
    if (what < 6) {
      const deadline = now + random(distances[Math.floor(random(distances.length))]!) - 0.5;
      wheel.schedule(timers[id]!, deadline);
      oracle.set(id, deadline);
      ticks.set(id, Math.floor(Math.max(deadline, now) - origin));
    } else if (what < 7.5) {
      wheel.cancel(timers[id]!);
      oracle.delete(id);
    } else {
      const earliest = Math.min(...oracle.values()), next = wheel.nextDeadline();
      if (next > earliest) throw new Error(`nextDeadline ${next} is later than ${earliest} at step ${step}`);
      if (next < earliest) early++;
      now = Math.max(now, random(2) < 1 && oracle.size > 0 ? next : now + random(distances[Math.floor(random(4))]!));
      fired = [];
      wheel.advance(now);
      const due = [...oracle].filter(([, deadline]) => deadline <= now);
      const order = fired.map((id) => ticks.get(id)!);
      if (order.some((tick, i) => i > 0 && tick < order[i - 1]!)) throw new Error(`ticks ${order} at step ${step}`);
      fired.sort((a, b) => a - b);
      assertEquals(fired, due.map(([id]) => id).sort((a, b) => a - b), `seed ${seed} step ${step}`);
      for (const [id] of due) oracle.delete(id);
      total += due.length;
    }
    if (wheel.size !== oracle.size) throw new Error(`size ${wheel.size} instead of ${oracle.size} at step ${step}`);
  }
  assertGreater(total, 5000);
  assertGreater(now - origin, HOUR);
  // An early answer costs a turn for nothing, so it must stay the exception.
  assertLess(early, 35_000 / 4 / 2);
}
