import { assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import { EventLoop, READABLE, WRITABLE } from "../../../net/linux/event_loop.ts";
import { libc } from "../../../net/linux/libc.ts";
import type { Epoll } from "../../../net/linux/epoll.ts";
import { BlockingWaits, hold } from "../../../net/linux/loop_waits.ts";
import { delay, isOpen, loopTest, ONE, openEventFd } from "../../support/event_loops.ts";

function test(name: string, fn: () => void | Promise<void>): void {
  loopTest("EventLoop", name, fn);
}

test("runBlocking polls before it sleeps after a wait that was short, and sleeps at once after a long one", async () => {
  await using loop = new EventLoop();
  const calls = libc(), epollWait = calls.epollWait;
  const polled = { afterShort: 0, afterLong: 0 };
  let polls = 0, sleeps = 0, wasLong = true;
  loop.onTurnEnd(() => performance.now() + 1000);
  loop.runBlocking(performance.now());
  // Sleeps in which nothing happens, every other one long; the last one ends the run.
  calls.epollWait = (epoll, events, most, timeoutMs) => {
    if (timeoutMs === 0) {
      polls++;
      return epollWait(epoll, events, most, 0);
    }
    if (polls > 0) polled[wasLong ? "afterLong" : "afterShort"]++;
    polls = 0;
    wasLong = sleeps++ % 2 === 0;
    if (wasLong) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    if (sleeps === 100) loop.wake();
    return sleeps < 100 ? 0 : epollWait(epoll, events, most, 0);
  };
  try {
    assertEquals(loop.runBlocking(), true);
  } finally {
    calls.epollWait = epollWait;
  }
  assertEquals(polled.afterLong, 0);
  assertGreater(polled.afterShort, 0);
});

test("BlockingWaits does not poll for a while after it had to wait for the processor", () => {
  const epoll = { poll: () => 0, wait: () => 0 } as unknown as Epoll;
  const calls = libc(), { yieldProcessor } = calls, waits = new BlockingWaits();
  let yields = 0, yieldMs = 0;
  calls.yieldProcessor = () => {
    yields++;
    if (yieldMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, yieldMs);
    return 0;
  };
  /** Waits, each after a short one, until one of them polls; how often that gave the processor up. */
  const waitUntilPolled = () => {
    const before = yields;
    while (yields === before) waits.wait(epoll, 1, performance.now());
    return yields - before;
  };
  try {
    waitUntilPolled();
    yieldMs = 2;
    assertEquals(waitUntilPolled(), 1);
    const contestedAt = performance.now();
    waitUntilPolled();
    assertGreater(performance.now() - contestedAt, 25);
  } finally {
    calls.yieldProcessor = yieldProcessor;
  }
});

test("delay made while a started loop waits is called", async () => {
  await using loop = new EventLoop();
  loop.start();
  await delay(5);
  const called = Promise.withResolvers<void>();
  loop.delay(called.resolve, 1);
  await called.promise;
});

test("stop ends a wait that has no limit", async () => {
  await using loop = new EventLoop();
  loop.start();
  await delay(5);
  const before = performance.now();
  await loop.stop();
  await loop.stop();
  assertLess(performance.now() - before, 10_000);
  loop.start();
  await loop.stop();
});

test("a started loop serves what happens during its wait", async () => {
  await using loop = new EventLoop();
  let calls = 0, turns = 0;
  loop.onTurnEnd(() => {
    turns++;
    return Infinity;
  });
  const watch = loop.watch(openEventFd(), {
    ready() {
      calls++;
      watch.ready &= ~READABLE;
    },
  });
  watch.setInterest(READABLE);
  loop.start();
  await delay(5);
  libc().write(watch.fd, ONE, 8n);
  await delay(20);
  assertEquals(calls, 1);
  const before = turns;
  loop.requestTurn();
  await delay(20);
  assertGreater(turns, before);
  watch.raise(READABLE);
  await delay(20);
  assertEquals(calls, 2);
  await delay(20);
  const idle = turns;
  await delay(20);
  assertEquals(turns, idle); // Nothing happened, so nothing turned.
  loop.release(watch);
});

test("a started loop closes a descriptor only when its wait has let go of it", async () => {
  await using loop = new EventLoop();
  const watch = loop.watch(openEventFd(), { ready: () => {} });
  loop.start();
  await delay(5);
  loop.release(watch);
  assertEquals(isOpen(watch.fd), true);
  await loop.allClosed();
  assertEquals(isOpen(watch.fd), false);
});

test("a started loop under load gives way to timers and to the runtime's own sockets", async () => {
  await using loop = new EventLoop();
  let calls = 0;
  const watch = loop.watch(openEventFd(), { ready: () => void calls++ }); // Always writable.
  watch.setInterest(WRITABLE);
  loop.start();
  const before = performance.now();
  await delay(5);
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [client, server] = await Promise.all([Deno.connect({ port: listener.addr.port }), listener.accept()]);
  const bytes = new Uint8Array(1);
  for (let i = 0; i < 10; i++) {
    await client.write(bytes);
    await server.read(bytes);
  }
  client.close();
  server.close();
  assertLess(performance.now() - before, 10_000);
  assertGreater(calls, 1);
  loop.release(watch);
});

test("a handler's exception comes out of stop when the loop was started", async () => {
  const loop = new EventLoop();
  const watch = loop.watch(openEventFd(), {
    ready() {
      throw new RangeError("Cannot go on: the test says so");
    },
  });
  loop.start();
  watch.setInterest(WRITABLE);
  await assertRejects(() => loop.stop(), RangeError, "Cannot go on");
  loop.release(watch);
  await loop[Symbol.asyncDispose]();
});

/** Runs `hold` on waits that bring so many events each, on this thread and by the pool, and tells what it did. */
async function holdOver(
  script: { here: number[]; pool: number[]; timeoutMs?: number; turnMs?: number },
): Promise<string> {
  const done: string[] = [];
  let isStopping = false, clock = 0;
  const wait = (timeoutMs: number) => {
    const count = script.here.shift() ?? 0;
    done.push(`here(${timeoutMs})`);
    return count;
  };
  const epoll = {
    poll: () => 0,
    wait,
    waitAsync(timeoutMs: number) {
      done.push(`pool(${timeoutMs})`);
      isStopping = script.pool.length === 1;
      return Promise.resolve(script.pool.shift()!);
    },
  };
  await hold(epoll as unknown as Parameters<typeof hold>[0], {
    get isStopping() {
      return isStopping;
    },
    timeoutMs: () => script.timeoutMs ?? -1,
    waits: () => {},
    turn(count) {
      done.push(`${count}`);
      return clock += script.turnMs ?? 0;
    },
  });
  return done.join(" ");
}

Deno.test("hold leaves a wait to the pool, waits here for what follows at once, and lets go when nothing does", async () => {
  const done = await holdOver({ pool: [1, 1], here: [2, 3, 0] });
  assertEquals(done, "pool(-1) 1 here(1) 2 here(1) 3 here(1) 0 pool(-1) 1");
  assertEquals(await holdOver({ pool: [1, 1], here: [0], timeoutMs: 700 }), "pool(700) 1 here(1) 0 pool(700) 1");
});

Deno.test("hold lets go of its thread after some milliseconds, however much happens", async () => {
  const done = await holdOver({ pool: [1, 1], here: Array(100).fill(1), turnMs: 15 });
  assertEquals(done, "pool(-1) 1 here(1) 1 here(1) 1 pool(-1) 1");
});

test("a loop that holds its thread gives way under load, on a machine that is busy with other things too", async () => {
  await using loop = new EventLoop();
  let calls = 0;
  const watch = loop.watch(openEventFd(), { ready: () => void calls++ }); // Always writable.
  watch.setInterest(WRITABLE);
  const held = loop.hold(), before = performance.now();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [client, server] = await Promise.all([Deno.connect({ port: listener.addr.port }), listener.accept()]);
  const bytes = new Uint8Array(1);
  for (let i = 0; i < 10; i++) {
    await client.write(bytes);
    await server.read(bytes);
    await delay(1);
  }
  client.close();
  server.close();
  // Some fifty times it gives way, for which another thread must be scheduled each time.
  assertLess(performance.now() - before, 120_000);
  assertGreater(calls, 1);
  await loop.stop();
  await held;
  loop.release(watch);
});

test("a handler's exception comes out of hold and run", async () => {
  for (const how of ["hold", "run"] as const) {
    const loop = new EventLoop();
    const watch = loop.watch(openEventFd(), {
      ready() {
        throw new RangeError("Cannot go on: the test says so");
      },
    });
    watch.setInterest(WRITABLE);
    await assertRejects(() => loop[how](), RangeError, "Cannot go on");
    loop.release(watch);
    await loop[Symbol.asyncDispose]();
  }
});
