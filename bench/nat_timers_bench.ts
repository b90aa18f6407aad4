/**
 * The timer wheel with 100000 armed timers, as many flows have them.
 *
 * @module
 */
import { Timer, TimerWheel } from "../nat/base/timers.ts";

const COUNT = 100_000;
const STEPS = 1000;
const RETRANSMIT_MS = 200, KEEP_ALIVE_MS = 7_200_000;

const owner = { timerFired() {} };

function idleFlows(): { wheel: TimerWheel; timers: Timer[] } {
  const wheel = new TimerWheel(0);
  const timers = Array.from({ length: COUNT }, () => new Timer(owner));
  timers.forEach((timer, i) => wheel.schedule(timer, KEEP_ALIVE_MS + i / 10));
  return { wheel, timers };
}

{
  const { wheel, timers } = idleFlows();
  let now = 0, at = 0;
  Deno.bench(`timers_rearm ${STEPS} of ${COUNT}`, () => {
    for (let i = 0; i < STEPS; i++, at = (at + 7919) % COUNT) {
      wheel.schedule(timers[at]!, now + RETRANSMIT_MS + (i & 63));
    }
    now += 0.05;
  });
}

{
  const { wheel, timers } = idleFlows();
  let at = 0;
  Deno.bench(`timers_cancel_and_arm ${STEPS} of ${COUNT}`, () => {
    for (let i = 0; i < STEPS; i++, at = (at + 7919) % COUNT) {
      const timer = timers[at]!, deadline = timer.deadline;
      wheel.cancel(timer);
      wheel.schedule(timer, deadline);
    }
  });
}

{
  const { wheel } = idleFlows();
  let now = 0;
  Deno.bench(`timers_turn_without_work ${STEPS} of ${COUNT}`, () => {
    for (let i = 0; i < STEPS; i++) {
      // Far slower than a real clock, so that no timer becomes due however long the benchmark runs.
      wheel.advance(now += 1e-6);
      wheel.nextDeadline();
    }
  });
}

Deno.bench(`timers_fire_all ${COUNT}`, (bench) => {
  const { wheel } = idleFlows();
  bench.start();
  wheel.advance(2 * KEEP_ALIVE_MS);
  bench.end();
  if (wheel.size !== 0) throw new Error("Cannot go on: a timer did not fire");
});
