import { assertEquals } from "@std/assert";
import { SHARE_MS, type TurnShare, TurnShares } from "../../../net/linux/turn_shares.ts";
import { READABLE, ReadyWatches, Watch, WRITABLE } from "../../../net/linux/watch.ts";

/** Watches whose handlers take time on a clock of the test's own, and note that they were called. */
class Script {
  clock = 1000;
  readonly shares = new TurnShares(() => this.clock);
  readonly ready = new ReadyWatches(this.shares);
  called: string[] = [];

  /** A watch that stays ready if `again`. */
  watch(name: string, share: TurnShare | undefined, options: { ms?: number; again?: boolean } = {}): Watch {
    const { ms = 0, again = false } = options;
    const place = { level: false, slot: 0, serial: 0, enlist: (each: Watch) => this.ready.add(each) };
    const watch: Watch = new Watch(1, {
      ready: () => {
        this.called.push(name);
        this.clock += ms;
        if (!again) watch.ready = 0;
      },
    }, place);
    if (share !== undefined) watch.queue = this.ready.queueOf(share);
    watch.setInterest(READABLE);
    watch.raise(READABLE);
    return watch;
  }

  /** A turn: who was called. */
  turn(): string {
    this.called = [];
    this.shares.begin(this.clock);
    this.ready.call(this.clock);
    this.shares.end();
    return this.called.join(" ");
  }

  /** Two parties that have both worked lately. */
  two(): [TurnShare, TurnShare] {
    const a = this.shares.join(), b = this.shares.join();
    this.watch("", a);
    this.watch("", b);
    this.turn();
    return [a, b];
  }
}

Deno.test("ReadyWatches calls nobody's watches in every turn, and a party's as far as its time goes, the rest first later", () => {
  const script = new Script(), [a, b] = script.two();
  for (const name of ["a1", "a2", "a3"]) script.watch(name, a, { ms: SHARE_MS, again: true });
  script.watch("b", b, { ms: SHARE_MS / 10, again: true });
  script.watch("n", undefined, { again: true });
  assertEquals(Array.from({ length: 5 }, () => script.turn()), [
    "a1 b n",
    "a2 b n",
    "a3 b n",
    "a1 b n",
    "a2 b n",
  ]);
});

Deno.test("ReadyWatches of a party that owes are neither called nor looked at, however many they are", () => {
  const script = new Script(), [a, b] = script.two();
  let looks = 0;
  const watches = Array.from({ length: 1000 }, (_, i) => script.watch(`a${i}`, a, { ms: 10 * SHARE_MS }));
  script.watch("b", b, { again: true });
  assertEquals(script.turn(), "a0 b");
  for (const watch of watches) {
    Object.defineProperty(watch, "released", { get: () => (looks++, false) });
  }
  assertEquals(Array.from({ length: 9 }, () => script.turn()).join(), Array(9).fill("b").join());
  assertEquals([looks, script.ready.isEmpty], [0, false]);
  assertEquals(script.turn().split(" ").sort(), ["a1", "b"]);
});

Deno.test("ReadyWatches calls all watches of a party that is alone, and forgets what is ready no more or released", () => {
  const script = new Script(), alone = script.shares.join();
  script.watch("one", alone, { ms: 50 });
  script.watch("two", alone, { ms: 50 }).released = true;
  script.watch("three", alone, { ms: 50 }).ready = 0;
  script.watch("four", alone).interest = WRITABLE;
  script.watch("five", alone, { ms: 50 });
  assertEquals([script.turn(), script.turn(), script.ready.isEmpty], ["one five", "", true]);
});
