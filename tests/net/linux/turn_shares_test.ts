import { assertAlmostEquals, assertEquals } from "@std/assert";
import { ALONE_MS, LONE_MS, SHARE_MS, type TurnShare, TurnShares } from "../../../net/linux/turn_shares.ts";

/** Turns on a clock of its own, in which parties work as long as they are said to. */
class Script {
  clock = 1000;
  readonly shares: TurnShares = new TurnShares(() => this.clock);

  /** One turn: each party works for `ms` if it may; then `restMs` of nobody's. Returns who could work. */
  turn(work: readonly (readonly [TurnShare, number])[], restMs = 0): boolean[] {
    this.shares.begin(this.clock);
    const worked = work.map(([share, ms]) => {
      const from = this.clock;
      if (!share.begin(from)) return false;
      this.clock += ms;
      share.charge(from, this.clock);
      return true;
    });
    this.clock += restMs;
    this.shares.end();
    return worked;
  }

  /** Two parties that both have worked lately. */
  two(): [TurnShare, TurnShare] {
    const a = this.shares.join(), b = this.shares.join();
    this.turn([[a, 0], [b, 0]]);
    return [a, b];
  }
}

Deno.test("TurnShare of a party that is alone is over only after LONE_MS of a turn, and nothing is charged", () => {
  const script = new Script(), alone = script.shares.join();
  assertEquals(script.turn([[alone, 500]]), [true]);
  script.shares.begin(script.clock);
  assertEquals(alone.begin(script.clock), true);
  script.clock += LONE_MS / 2;
  assertEquals(alone.isOver(1 << 16), false);
  script.clock += LONE_MS / 2;
  assertEquals(alone.isOver(1 << 16), true);
});

Deno.test("TurnShare that has used more than its part waits until it is paid, while another works in every turn", () => {
  const script = new Script(), [greedy, modest] = script.two();
  let greedyMs = 0, modestMs = 0;
  for (let i = 0; i < 4000; i++) {
    const [first, second] = script.turn([[greedy, 10], [modest, 0.2]]);
    assertEquals(second, true, "the modest party works in every turn");
    greedyMs += first ? 10 : 0;
    modestMs += 0.2;
  }
  assertAlmostEquals(greedyMs, 4000 * SHARE_MS, 10 + SHARE_MS);
  assertAlmostEquals(modestMs, 800, 1e-6);
});

Deno.test("TurnShare saves nothing of what it does not use", () => {
  const script = new Script(), [a, b] = script.two();
  for (let i = 0; i < 20; i++) script.turn([[b, 0.01]]);
  assertEquals(script.turn([[a, 2 * SHARE_MS], [b, 0]]), [true, true]);
  assertEquals(script.turn([[a, 0], [b, 0]]), [false, true]);
  assertEquals(script.turn([[a, 0], [b, 0]]), [true, true]);
});

Deno.test("TurnShares charges work that is nobody's to those who worked in the turn, by how much they did", () => {
  const script = new Script(), [a, b] = script.two();
  const turnsUntilPaid = () => {
    const turns = [0, 0];
    for (let i = 1; turns.includes(0); i++) {
      script.turn([[a, 0], [b, 0]]).forEach((worked, party) => {
        if (worked && turns[party] === 0) turns[party] = i;
      });
    }
    return turns;
  };
  // Of 5 ms 4 are for a and 1 for b, of which both could use what they had.
  script.turn([[a, 2], [b, 0.5]], 2.5);
  assertEquals(turnsUntilPaid(), [16, 4]);
  // What takes much longer than they worked is not their doing.
  script.turn([[a, 2], [b, 0.5]], 20);
  assertEquals(turnsUntilPaid(), [24, 6]);
  assertEquals(script.turn([], 5), []);
});

Deno.test("TurnShare is asked for the time once every few small frames, and after each large one", () => {
  const script = new Script(), [a, b] = script.two();
  script.turn([[b, 0]]);
  script.shares.begin(script.clock);
  a.begin(script.clock);
  script.clock += SHARE_MS;
  assertEquals(Array.from({ length: 8 }, () => a.isOver(0)), [...Array(7).fill(false), true]);
  assertEquals([a.isOver(1 << 14), a.isOver(60)], [true, false]);
});

Deno.test("TurnShares forgets that there were others once only one has worked for a while", () => {
  const script = new Script(), [a] = script.two();
  script.turn([[a, 1]]);
  assertEquals(script.shares.isShared, true);
  script.clock += ALONE_MS;
  script.turn([[a, 1]]);
  script.turn([[a, 1]]);
  assertEquals(script.shares.isShared, false);
  assertEquals(script.turn([[a, 100], [a, 100]]), [true, true], "what it owed is of no account while it is alone");
});

Deno.test("TurnShares finds its own parties among what links name as payers", () => {
  const shares = new TurnShares(), own = shares.join(), other = new TurnShares().join();
  assertEquals([shares.find(own) === own, shares.find(other), shares.find({}), shares.find(undefined)], [
    true,
    undefined,
    undefined,
    undefined,
  ]);
});
