import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { BROKEN, EventLoop, READABLE, wakeLoop, WRITABLE } from "../../../net/linux/event_loop.ts";
import { libc } from "../../../net/linux/libc.ts";
import type { TurnShare } from "../../../net/linux/turn_shares.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "ffi");
const ONE = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
const NONBLOCK_CLOEXEC = 0x80800;

function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name: `EventLoop ${name}${needs.reason}`, ignore: needs.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

// An eventfd: always writable, readable after a write.
function openEventFd(): number {
  return libc().eventfd(0, NONBLOCK_CLOEXEC);
}

function isOpen(fd: number): boolean {
  return libc().fcntl(fd, 1, 0) >= 0;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Runs turns until nothing happens for a millisecond. */
function runAWhile(loop: EventLoop): void {
  loop.runBlocking(performance.now() + 1);
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

test("an edge comes again after the bit was given up, and waits while there is no interest", async () => {
  await using loop = new EventLoop();
  let calls = 0;
  const watch = loop.watch(openEventFd(), {
    ready() {
      calls++;
      libc().read(watch.fd, new Uint8Array(8), 8n);
      watch.ready &= ~READABLE;
    },
  });
  libc().write(watch.fd, ONE, 8n);
  runAWhile(loop);
  assertEquals(calls, 0);
  watch.setInterest(READABLE);
  runAWhile(loop);
  assertEquals(calls, 1);
  libc().write(watch.fd, ONE, 8n);
  runAWhile(loop);
  assertEquals(calls, 2);
  loop.release(watch);
});

test("a level-triggered watch is called each turn until it was read", async () => {
  await using loop = new EventLoop();
  let calls = 0;
  const watch = loop.watch(openEventFd(), {
    ready: () => {
      if (++calls === 5) libc().read(watch.fd, new Uint8Array(8), 8n);
    },
  }, { level: true });
  watch.setInterest(READABLE);
  libc().write(watch.fd, ONE, 8n);
  runAWhile(loop);
  assertEquals(calls, 5);
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

test("events of a released descriptor never reach the next owner of its number", async () => {
  await using loop = new EventLoop();
  const fd = openEventFd();
  // A second descriptor of the same open file keeps it in epoll after the first is closed.
  const copy = libc().fcntl(fd, 0, 0);
  loop.release(loop.watch(fd, { ready: () => {} }));
  assertEquals(isOpen(fd), false);
  const again = openEventFd();
  assertEquals(again, fd);
  let calls = 0;
  const watch = loop.watch(again, { ready: () => void calls++ });
  watch.setInterest(READABLE);
  libc().write(copy, ONE, 8n);
  runAWhile(loop);
  assertEquals(calls, 0);
  loop.release(watch);
  libc().close(copy);
});

test("watch of a bad descriptor throws and leaves nothing registered", async () => {
  await using loop = new EventLoop();
  assertThrows(() => loop.watch(1900, { ready: () => {} }), Error, "Cannot watch descriptor 1900");
  const watch = loop.watch(openEventFd(), { ready: () => void (watch.ready = 0) });
  watch.setInterest(WRITABLE);
  runAWhile(loop);
  loop.release(watch);
});

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

test("delay made while a started loop waits is called", async () => {
  await using loop = new EventLoop();
  loop.start();
  await delay(5);
  const called = Promise.withResolvers<void>();
  loop.delay(called.resolve, 1);
  await called.promise;
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
  assertLess(performance.now() - before, 1000);
  worker.postMessage("end");
  wakeLoop(wakeFd);
  assertEquals((await next())["echo"], "end");
  worker.terminate();
}

test("stop ends a wait that has no limit", async () => {
  await using loop = new EventLoop();
  loop.start();
  await delay(5);
  const before = performance.now();
  await loop.stop();
  await loop.stop();
  assertLess(performance.now() - before, 1000);
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
  assertLess(performance.now() - before, 1000);
  assertGreater(calls, 1);
  loop.release(watch);
});

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
