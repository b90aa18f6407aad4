import { assert, assertEquals, assertMatch } from "@std/assert";
import { delay } from "@std/async";
import { pump, type PumpConn, type PumpResult } from "../../forward/pump.ts";
import { assertSame, pattern } from "../support/bytes.ts";
import { openDescriptors, openedSince } from "../support/descriptors.ts";
import { readAll, tcpPair, writeAll } from "../support/stream_pairs.ts";
import { resettingPair } from "../support/resetting_pair.ts";

const MIB = 1 << 20;

/** A connection that a test plays: what it reads is given, what is written to it is kept. */
class ScriptConn implements PumpConn {
  readonly written: number[] = [];
  closes = 0;
  writesClosed = 0;
  reads = 0;
  #input: (Uint8Array | null | Error)[];
  #pending: PromiseWithResolvers<never> | null = null;
  #most: number;

  /** Reads are answered from `input`, and wait for ever after it; a write takes `most` bytes. */
  constructor(input: (Uint8Array | null | Error)[], most = Infinity) {
    this.#input = input;
    this.#most = most;
  }

  read(into: Uint8Array): Promise<number | null> {
    this.reads++;
    const next = this.#input.shift();
    if (next === undefined) return this.#wait();
    if (next instanceof Error) return Promise.reject(next);
    if (next !== null) into.set(next);
    return Promise.resolve(next === null ? null : next.length);
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#most === 0) return this.#wait();
    const taken = bytes.subarray(0, this.#most);
    this.written.push(...taken);
    return Promise.resolve(taken.length);
  }

  closeWrite(): void {
    this.writesClosed++;
  }

  close(): void {
    this.closes++;
    this.#pending?.reject(new Deno.errors.Interrupted("closed"));
  }

  #wait(): Promise<never> {
    this.#pending ??= Promise.withResolvers<never>();
    return this.#pending.promise;
  }
}

function summary({ reason, failure }: PumpResult): string {
  return failure === null ? reason : `${reason}: ${failure.end} ${failure.operation} ${failure.error.name}`;
}

for (const first of ["a", "b"] as const) {
  for (const bytes of [0, 1, 4096, 4097, 65536, 100_000, 3 * MIB, 64 * MIB]) {
    Deno.test(`pump carries ${bytes} bytes each way when ${first} closes first, and closes both in the end`, async () => {
      const before = await openDescriptors();
      const sent = pattern(bytes), [farA, nearA] = await tcpPair(), [nearB, farB] = await tcpPair();
      const pumping = pump(nearA, nearB), [one, other] = first === "a" ? [farA, farB] : [farB, farA];
      const there = readAll(other);
      await writeAll(one, sent);
      await one.closeWrite();
      // Everything is there, and only now the other end begins to talk.
      assertSame(await there, sent);
      const back = readAll(one);
      await writeAll(other, sent);
      await other.closeWrite();
      assertSame(await back, sent);
      assertEquals(await pumping, { reason: "finished", bytesFromA: bytes, bytesFromB: bytes, failure: null });
      one.close();
      other.close();
      assertEquals(await openedSince(before), []);
    });
  }
}

Deno.test("pump lets the answer come long after the question has ended", async () => {
  const [client, a] = await tcpPair(), [b, server] = await tcpPair(), pumping = pump(a, b);
  await client.closeWrite();
  assertEquals((await readAll(server)).length, 0);
  await delay(300);
  await writeAll(server, pattern(10));
  await delay(300);
  await writeAll(server, pattern(10));
  server.close();
  assertEquals((await readAll(client)).length, 20);
  client.close();
  assertEquals(summary(await pumping), "finished");
});

Deno.test("pump carries both directions at once", async () => {
  const sent = pattern(8 * MIB), [client, a] = await tcpPair(), [b, server] = await tcpPair(), pumping = pump(a, b);
  const end = async (conn: Deno.Conn) => {
    await writeAll(conn, sent);
    await conn.closeWrite();
  };
  const [there, back] = await Promise.all([readAll(server), readAll(client), end(client), end(server)]);
  assertSame(there, sent);
  assertSame(back, sent);
  assertEquals((await pumping).reason, "finished");
  client.close();
  server.close();
});

Deno.test("pump writes all of what a connection takes in pieces, and goes on after an empty read", async () => {
  const a = new ScriptConn([pattern(10), new Uint8Array(0), pattern(5), null]), b = new ScriptConn([null], 3);
  assertEquals(await pump(a, b), { reason: "finished", bytesFromA: 15, bytesFromB: 0, failure: null });
  assertEquals(b.written, [...pattern(10), ...pattern(5)]);
  assertEquals([a.writesClosed, b.writesClosed, a.closes, b.closes], [1, 1, 1, 1]);
});

Deno.test("pump reads nothing more while a connection takes nothing", async () => {
  const a = new ScriptConn([pattern(10), pattern(10), pattern(10)]), b = new ScriptConn([], 0);
  const stop = new AbortController(), pumping = pump(a, b, { signal: stop.signal });
  await delay(20);
  assertEquals(a.reads, 1);
  stop.abort();
  assertEquals((await pumping).bytesFromA, 0);
});

Deno.test("pump holds a fast writer back to what the kernel's buffers take of a reader that does not read", async () => {
  const [client, a] = await tcpPair(), [b, server] = await tcpPair(), pumping = pump(a, b);
  const piece = new Uint8Array(MIB);
  const rss = Deno.memoryUsage().rss;
  let written = 0, stopped = false;
  const writing = (async () => {
    while (!stopped) written += await client.write(piece);
  })();
  let before = -1;
  while (written !== before) {
    before = written;
    await delay(200);
  }
  // Two sockets' buffers, each bounded by tcp_wmem and tcp_rmem, and the pump's 64 KiB.
  assert(written < 64 * MIB, `${written} bytes were taken`);
  assert(Deno.memoryUsage().rss - rss < 64 * MIB, "memory");
  stopped = true;
  const reading = readAll(server);
  await writing;
  await client.closeWrite();
  assertEquals((await reading).length, written);
  server.close();
  client.close();
  assertEquals((await pumping).bytesFromA, written);
});

Deno.test("pump delivers what came before a reset, and tells whose connection was reset", async () => {
  for (const end of ["a", "b"] as const) {
    const reset = await resettingPair(), [near, far] = await tcpPair();
    const pumping = end === "a" ? pump(reset.near, near) : pump(near, reset.near);
    await reset.write(pattern(1000));
    const got = new Uint8Array(1000);
    for (let at = 0; at < 1000;) at += await far.read(got.subarray(at)) ?? 1000;
    assertSame(got, pattern(1000));
    reset.reset();
    assertEquals((await readAll(far)).length, 0);
    far.close();
    const result = await pumping;
    assertEquals([summary(result), result.bytesFromA + result.bytesFromB], [
      `failed: ${end} read ConnectionReset`,
      1000,
    ]);
  }
});

Deno.test("pump still delivers the answer of an end that refuses to be written to", async () => {
  const [client, a] = await tcpPair(), answer = pattern(200_000);
  const b = new ScriptConn([answer.subarray(0, 4000), answer.subarray(4000, 8000), null]);
  b.write = () => Promise.reject(new Deno.errors.BrokenPipe("Broken pipe"));
  const pumping = pump(a, b);
  await writeAll(client, pattern(10));
  assertSame(await readAll(client), answer.subarray(0, 8000));
  assertEquals(summary(await pumping), "failed: b write BrokenPipe");
  client.close();
});

Deno.test("pump cuts an end that refuses to be written to once it says nothing more, and that is no idle time", async () => {
  const [client, a] = await tcpPair(), b = new ScriptConn([pattern(5)]);
  b.write = () => Promise.reject(new Deno.errors.BrokenPipe("Broken pipe"));
  const pumping = pump(a, b, { idleTimeoutMs: 200 });
  await writeAll(client, pattern(10));
  assertSame(await readAll(client), pattern(5));
  assertEquals(summary(await pumping), "failed: b write BrokenPipe");
  assertEquals(b.closes, 1);
  client.close();
});

Deno.test("pump keeps the first failure, and one of closeWrite is one", async () => {
  const a = new ScriptConn([null]), b = new ScriptConn([new Deno.errors.ConnectionReset("later")]);
  b.closeWrite = () => {
    throw new Deno.errors.NotConnected("gone");
  };
  b.read = () => delay(20).then(() => Promise.reject(new Deno.errors.ConnectionReset("later")));
  assertEquals(summary(await pump(a, b)), "failed: b closeWrite NotConnected");
  const odd = new ScriptConn([]);
  odd.read = () => Promise.reject("just text");
  const { failure } = await pump(odd, new ScriptConn([]));
  assertMatch(failure!.error.message, /just text/);
});

Deno.test("pump cuts both ends when nothing has moved for the idle time, and not before", async () => {
  const [client, a] = await tcpPair(), [b, server] = await tcpPair(), began = performance.now();
  const pumping = pump(a, b, { idleTimeoutMs: 300 });
  for (let i = 0; i < 4; i++) {
    await delay(150);
    await writeAll(i % 2 ? client : server, pattern(1));
  }
  assertEquals(await pumping, { reason: "idle", bytesFromA: 2, bytesFromB: 2, failure: null });
  const took = performance.now() - began;
  assert(took > 880 && took < 3000, `${took} ms`);
  assertEquals([(await readAll(client)).length, (await readAll(server)).length], [2, 2]);
  client.close();
  server.close();
});

Deno.test("pump takes a stuck reader for idle too", async () => {
  const [client, a] = await tcpPair(), [b, server] = await tcpPair();
  const pumping = pump(a, b, { idleTimeoutMs: 300 });
  const writing = (async () => {
    for (;;) await client.write(new Uint8Array(MIB));
  })().catch((error) => error.name);
  const { reason, bytesFromA } = await pumping;
  assert(reason === "idle" && bytesFromA > 0);
  assertMatch(await writing, /ConnectionReset|BrokenPipe/);
  client.close();
  server.close();
});

Deno.test("pump waits for ever, also longer than a timer can, unless told otherwise", async () => {
  const [client, a] = await tcpPair(), [b, server] = await tcpPair();
  const pumping = pump(a, b, { idleTimeoutMs: 1e12 });
  await delay(50);
  client.close();
  server.close();
  assertEquals((await pumping).reason, "finished");
});

Deno.test("pump ends at once when it is aborted, also before it began", async () => {
  for (const early of [true, false]) {
    const before = await openDescriptors();
    const [client, a] = await tcpPair(), [b, server] = await tcpPair(), stop = new AbortController();
    if (early) stop.abort();
    const pumping = pump(a, b, { signal: stop.signal });
    if (!early) await delay(20);
    stop.abort();
    assertEquals(await pumping, { reason: "aborted", bytesFromA: 0, bytesFromB: 0, failure: null });
    assertEquals([(await readAll(client)).length, (await readAll(server)).length], [0, 0]);
    client.close();
    server.close();
    assertEquals(await openedSince(before), []);
  }
});

Deno.test("pump of a connection that is closed already fails and throws nothing", async () => {
  const [client, a] = await tcpPair(), [b, server] = await tcpPair();
  a.close();
  assertEquals(summary(await pump(a, b)), "failed: a read BadResource");
  assertEquals((await readAll(server)).length, 0);
  client.close();
  server.close();
});
