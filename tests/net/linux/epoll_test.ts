import { assertEquals, assertThrows } from "@std/assert";
import { Epoll } from "../../../net/linux/epoll.ts";
import { EventLoop, READABLE, WRITABLE } from "../../../net/linux/event_loop.ts";
import { libc } from "../../../net/linux/libc.ts";
import type { Watch } from "../../../net/linux/watch.ts";
import { isOpen, loopTest, ONE, openEventFd, runAWhile } from "../../support/event_loops.ts";

function test(name: string, fn: () => void | Promise<void>): void {
  loopTest("EventLoop", name, fn);
}

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
  for (const end = performance.now() + 10_000; calls < 5 && performance.now() < end;) runAWhile(loop);
  runAWhile(loop);
  assertEquals(calls, 5);
  loop.release(watch);
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

loopTest("Epoll", "brings every event, however many there are at once", () => {
  const ready: Watch[] = [], epoll = new Epoll((watch) => void ready.push(watch)), fds: number[] = [];
  try {
    for (let i = 0; i < 300; i++) {
      fds.push(openEventFd());
      epoll.watch(fds[i]!, { ready: () => {} }, false).setInterest(WRITABLE);
    }
    for (let count = epoll.poll(); count > 0; count = epoll.poll()) epoll.markReady(count);
    assertEquals(ready.map(({ fd }) => fd).sort((a, b) => a - b), fds);
    assertEquals(new Set(ready.map(({ ready }) => ready)), new Set([WRITABLE]));
  } finally {
    epoll.close();
    for (const fd of fds) libc().close(fd);
  }
});

loopTest("Epoll", "makes a watch of no descriptor, which is raised by hand alone", () => {
  const ready: Watch[] = [], epoll = new Epoll((watch) => void ready.push(watch));
  const watch = epoll.watch(-1, { ready: () => {} }, false);
  watch.setInterest(READABLE);
  assertEquals([epoll.poll(), ready.length], [0, 0]);
  watch.raise(READABLE);
  assertEquals(ready, [watch]);
  epoll.close();
});
