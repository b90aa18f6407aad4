import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { BROKEN, EventLoop, wakeLoop, WRITABLE } from "../../../net/linux/event_loop.ts";
import type { TurnShare } from "../../../net/linux/turn_shares.ts";
import { delay, isOpen, loopTest, openEventFd, runAWhile } from "../../support/event_loops.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "ffi");

function test(name: string, fn: () => void | Promise<void>): void {
  loopTest("EventLoop", name, fn);
}

test("runBlocking returns when its time has come, not before", async () => {
  await using loop = new EventLoop();
  const before = performance.now();
  assertEquals(loop.runBlocking(before + 5.5), false);
  assertGreater(performance.now(), before + 5.5);
  assertLess(performance.now(), before + 500);
});

test("runBlocking returns after a turn once for each wake, and waits again afterwards", async () => {
  await using loop = new EventLoop();
  let turns = 0;
  loop.onTurnEnd(() => {
    turns++;
    return Infinity;
  });
  loop.wake();
  loop.wake();
  assertEquals(loop.runBlocking(), true);
  assertEquals(turns, 1);
  assertEquals(loop.runBlocking(), true);
  assertEquals(turns, 2);
  assertEquals(loop.runBlocking(performance.now() + 3), false);
});

test("turns are called at the time they asked for, without polling for it", async () => {
  await using loop = new EventLoop();
  const times: number[] = [];
  let nextAt = performance.now() + 20;
  const end = loop.onTurnEnd(() => {
    times.push(loop.now());
    if (loop.now() >= nextAt) nextAt = Infinity;
    return nextAt;
  });
  const dueAt = nextAt;
  loop.runBlocking(dueAt + 5);
  end();
  assertGreater(times.filter((time) => time >= dueAt).length, 0);
  assertLess(times.length, 6);
});

test("the earliest of several turns decides, and one that was ended is not called", async () => {
  await using loop = new EventLoop();
  const called: string[] = [];
  const soon = performance.now() + 5;
  loop.onTurnEnd(() => {
    called.push("a");
    return loop.now() < soon ? soon : Infinity;
  });
  const end = loop.onTurnEnd(() => {
    called.push("b");
    return Infinity;
  });
  runAWhile(loop);
  end();
  called.length = 0;
  loop.runBlocking(soon + 3);
  assert(called.includes("a"));
  assert(!called.includes("b"));
});

test("a handler is called once a turn while what is ready is of interest", async () => {
  await using loop = new EventLoop();
  let turns = 0, calls = 0;
  const watch = loop.watch(openEventFd(), {
    ready(due) {
      assertEquals(due, WRITABLE);
      if (++calls === 3) watch.ready &= ~WRITABLE;
    },
  });
  const end = loop.onTurnEnd(() => {
    turns++;
    return Infinity;
  });
  runAWhile(loop);
  assertEquals(calls, 0);
  const before = turns;
  watch.setInterest(WRITABLE);
  runAWhile(loop);
  assertEquals(calls, 3);
  assertEquals(turns - before, 4); // Three with a call, and the one that ended the wait.
  end();
  loop.release(watch);
});

test("raise calls the handler in a later turn, never at once", async () => {
  await using loop = new EventLoop();
  const due: number[] = [];
  const watch = loop.watch(-1, {
    ready(bits) {
      due.push(bits);
      watch.ready = 0;
    },
  });
  watch.setInterest(BROKEN);
  watch.raise(BROKEN);
  assertEquals(due, []);
  runAWhile(loop);
  assertEquals(due, [BROKEN]);
  loop.release(watch);
});

test("a descriptor released in a turn is closed at its end", async () => {
  await using loop = new EventLoop();
  let openInTurn = false;
  const fd = openEventFd();
  const watch = loop.watch(fd, {
    ready() {
      loop.release(watch);
      loop.release(watch);
      openInTurn = isOpen(fd);
    },
  });
  watch.setInterest(WRITABLE);
  runAWhile(loop);
  assertEquals(openInTurn, true);
  assertEquals(isOpen(fd), false);
});

test("a watch released by another one's handler is not called in the same turn", async () => {
  await using loop = new EventLoop();
  const called: string[] = [];
  const handler = (name: string, other: () => void) => ({
    ready() {
      called.push(name);
      other();
    },
  });
  const a = loop.watch(openEventFd(), handler("a", () => loop.release(b)));
  const b = loop.watch(openEventFd(), handler("b", () => loop.release(a)));
  a.setInterest(WRITABLE);
  b.setInterest(WRITABLE);
  runAWhile(loop);
  assertEquals(called.length > 0 && new Set(called).size === 1, true);
  loop.release(a);
  loop.release(b);
});

Deno.test({
  name: `EventLoop in a Worker returns for each wake of another thread, however close together${needs.reason}`,
  ignore: needs.ignore,
  fn: testWorker, // Not checked for descriptors: the runtime keeps a Worker's own for a while after it has ended.
});

async function testWorker(): Promise<void> {
  const worker = new Worker(new URL("./event_loop_worker.ts", import.meta.url).href, { type: "module" });
  const messages: Record<string, unknown>[] = [];
  let came = () => {};
  worker.onmessage = ({ data }) => {
    messages.push(data);
    came();
  };
  const next = async () => {
    while (messages.length === 0) await new Promise<void>((resolve) => came = resolve);
    return messages.shift()!;
  };
  const wakeFd = (await next())["wakeFd"] as number;
  await delay(10); // The loop is in its wait by now.
  const before = performance.now();
  for (let i = 0; i < 10; i++) {
    for (const text of ["one", "two", "three"]) {
      worker.postMessage(text);
      wakeLoop(wakeFd);
    }
    for (const text of ["one", "two", "three"]) assertEquals((await next())["echo"], text);
  }
  assertLess(performance.now() - before, 10_000);
  worker.postMessage("end");
  wakeLoop(wakeFd);
  assertEquals((await next())["echo"], "end");
  worker.terminate();
}

test("only one loop can be started, and none twice or in two ways", async () => {
  await using loop = new EventLoop();
  await using other = new EventLoop();
  loop.start();
  assertThrows(() => loop.start(), Error, "running already");
  assertThrows(() => loop.runBlocking(), Error, "running already");
  assertThrows(() => other.start(), Error, "use EventLoop.shared()");
  await loop.stop();
  other.start();
  await other.stop();
});

test("shared gives one started loop to all, until the last of them is done", async () => {
  const first = EventLoop.shared(), second = EventLoop.shared();
  assertStrictEquals(first, second);
  assertThrows(() => first.start(), Error, "running already");
  await first[Symbol.asyncDispose]();
  const third = EventLoop.shared();
  assertStrictEquals(third, second);
  await second[Symbol.asyncDispose]();
  await third[Symbol.asyncDispose]();
  const fresh = EventLoop.shared();
  assertNotEquals(fresh === first, true);
  await fresh[Symbol.asyncDispose]();
});

test("that is disposed of refuses to run", async () => {
  const loop = new EventLoop();
  await loop[Symbol.asyncDispose]();
  await loop[Symbol.asyncDispose]();
  assertThrows(() => loop.runBlocking(), Error, "disposed of");
  assertThrows(() => loop.start(), Error, "disposed of");
});

test("a handler's exception comes out of runBlocking, and the loop can go on", async () => {
  await using loop = new EventLoop();
  const watch = loop.watch(openEventFd(), {
    ready() {
      watch.ready = 0;
      throw new RangeError("Cannot go on: the test says so");
    },
  });
  watch.setInterest(WRITABLE);
  assertThrows(() => loop.runBlocking(performance.now() + 50), RangeError, "Cannot go on");
  assertEquals(loop.runBlocking(performance.now() + 1), false);
  loop.release(watch);
});

test("calls the watches of a party that works little in every turn while another's handlers take long", async () => {
  await using loop = new EventLoop();
  const [greedy, modest] = [loop.shares.join(), loop.shares.join()], calls = { greedy: 0, modest: 0, nobody: 0 };
  const watch = (work: () => void, share?: TurnShare) => {
    const watch = loop.watch(openEventFd(), { ready: work }, { share });
    watch.setInterest(WRITABLE);
    return watch;
  };
  const spin = () => {
    for (const end = performance.now() + 5; performance.now() < end;);
    calls.greedy++;
  };
  const watches = [
    ...Array.from({ length: 4 }, () => watch(spin, greedy)),
    watch(() => void calls.modest++, modest),
    watch(() => void calls.nobody++),
  ];
  loop.runBlocking(performance.now() + 300);
  // A thread that loses its processor while it works for a party may charge that party for it.
  assertGreater(calls.modest, calls.nobody / 2);
  // 5 ms are paid for by 20 turns.
  assertGreater(calls.modest, 5 * calls.greedy);
  assertGreater(calls.greedy, 4);
  for (const each of watches) loop.release(each);
});

test("calls every watch once a turn, however long, if all are of one party or of nobody", async () => {
  await using loop = new EventLoop();
  const share = loop.shares.join(), calls = [0, 0];
  const watches = calls.map((_, i) => {
    const spin = () => {
      for (const end = performance.now() + 2; performance.now() < end;);
      calls[i]!++;
    };
    const watch = loop.watch(openEventFd(), { ready: spin }, { share });
    watch.setInterest(WRITABLE);
    return watch;
  });
  loop.runBlocking(performance.now() + 50);
  assertEquals(calls[0], calls[1]);
  for (const each of watches) loop.release(each);
});
