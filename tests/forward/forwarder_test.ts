import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { delay } from "@std/async";
import { Forwarder, type ForwarderOptions } from "../../forward/forwarder.ts";
import { SILENT } from "../../nat/base/logger.ts";
import { assertSame, pattern } from "../support/bytes.ts";
import { openDescriptors, openedSince } from "../support/descriptors.ts";
import { resettingServer } from "../support/resetting_pair.ts";
import { readAll, writeAll } from "../support/stream_pairs.ts";

const ANY = { transport: "tcp", hostname: "127.0.0.1", port: 0 } as const;

/** A forwarder to a listener of the test, and its log. */
async function setUp(options: ForwarderOptions = {}) {
  const server = Deno.listen({ hostname: "127.0.0.1", port: 0 }), lines: string[] = [];
  const logger = {
    ...SILENT,
    info: (line: string) => void lines.push(`info ${line}`),
    warn: (line: string) => void lines.push(`warn ${line}`),
  };
  const target = { ...ANY, port: server.addr.port };
  const forwarder = await Forwarder.start(ANY, target, { logger, ...options });
  const { endpoint } = forwarder;
  assert(endpoint.transport === "tcp" && endpoint.port > 0);
  return {
    server,
    forwarder,
    target,
    lines,
    connect: () => Deno.connect({ hostname: "127.0.0.1", port: endpoint.port }),
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 500) throw new Error("Waited in vain");
    await delay(10);
  }
}

Deno.test("Forwarder joins each client with the target, half-closes included, and leaves nothing", async () => {
  const before = await openDescriptors();
  const { server, forwarder, connect, lines } = await setUp();
  const talk = async (i: number) => {
    const client = await connect();
    await writeAll(client, pattern(1000 + i));
    await client.closeWrite();
    assertSame(await readAll(client), pattern(1000 + i));
    client.close();
  };
  const serving = (async () => {
    for (let i = 0; i < 40; i++) {
      const conn = await server.accept();
      void readAll(conn).then((bytes) => writeAll(conn, bytes)).then(() => conn.close());
    }
  })();
  await Promise.all(Array.from({ length: 40 }, (_, i) => talk(i)));
  await serving;
  await until(() => forwarder.connections === 0);
  assertEquals(lines.length, 40);
  assertMatch(lines[0]!, /^info 127\.0\.0\.1:\d+ finished: 10\d\d bytes to the target, 10\d\d back after \d\.\d s$/);
  await forwarder.stop(1000);
  server.close();
  assertEquals(await openedSince(before), []);
});

Deno.test("Forwarder closes the client where the target cannot be had, tells each cause once, and tells when it can be had again", async () => {
  const { server, forwarder, target, connect, lines } = await setUp();
  server.close();
  for (let i = 0; i < 5; i++) {
    const client = await connect();
    assertEquals((await readAll(client).catch(() => new Uint8Array(0))).length, 0);
    client.close();
  }
  await until(() => forwarder.connections === 0);
  assertEquals(lines.length, 1);
  assertMatch(
    lines[0]!,
    /^warn Cannot connect to 127\.0\.0\.1:\d+: Connection refused .*; its clients are closed until that works$/,
  );
  const back = Deno.listen({ hostname: "127.0.0.1", port: target.port });
  const [client, served] = await Promise.all([connect(), back.accept()]);
  await until(() => lines.length === 2);
  assertMatch(lines[1]!, /^info 127\.0\.0\.1:\d+ can be had again, after 5 clients were closed$/);
  client.close();
  served.close();
  back.close();
  await until(() => forwarder.connections === 0);
  const last = await connect();
  assertEquals((await readAll(last).catch(() => new Uint8Array(0))).length, 0);
  last.close();
  await until(() => lines.filter((line) => line.startsWith("warn")).length === 2);
  await forwarder.stop(0);
});

Deno.test("Forwarder ends a client whose target resets the connection, and says so", async () => {
  const target = await resettingServer(), lines: string[] = [];
  const logger = { ...SILENT, info: (line: string) => void lines.push(line) };
  await using forwarder = await Forwarder.start(ANY, { ...ANY, port: target.port }, { logger });
  const { endpoint } = forwarder;
  const client = await Deno.connect({ port: endpoint.transport === "tcp" ? endpoint.port : 0 });
  const peer = await target.peer;
  await peer.write(pattern(7));
  assertEquals(await client.read(new Uint8Array(99)), 7);
  peer.reset();
  assertEquals((await readAll(client)).length, 0);
  client.close();
  await until(() => lines.length === 1);
  assertMatch(lines[0]!, /failed \(the target, read: .*reset.*\): 0 bytes to the target, 7 back/i);
});

Deno.test("Forwarder serves no more than maxConnections at once; a further client waits for its turn", async () => {
  const { server, forwarder, connect, lines } = await setUp({ maxConnections: 2 });
  const clients = [await connect(), await connect(), await connect()];
  const served = [await server.accept(), await server.accept()];
  await clients[2]!.write(pattern(3));
  await delay(100);
  assertEquals(forwarder.connections, 2);
  assertEquals(lines, ["warn 2 connections are the limit: further clients wait"]);
  clients[0]!.close();
  served[0]!.close();
  served.push(await server.accept());
  assertEquals(await served[2]!.read(new Uint8Array(9)), 3);
  for (const conn of [...clients.slice(1), ...served.slice(1)]) conn.close();
  await forwarder.stop(1000);
  server.close();
});

Deno.test("Forwarder.stop lets live connections end, and refuses new ones", async () => {
  const { server, forwarder, connect } = await setUp();
  const client = await connect(), served = await server.accept();
  let stopped = false;
  const stopping = forwarder.stop(60_000).then(() => stopped = true);
  // Deno closes a listener a little later than it says so.
  await delay(50);
  await assertRejects(connect, Deno.errors.ConnectionRefused);
  await writeAll(client, pattern(100_000));
  await client.closeWrite();
  assertSame(await readAll(served), pattern(100_000));
  assertEquals(stopped, false);
  served.close();
  await stopping;
  assertEquals((await readAll(client)).length, 0);
  client.close();
  server.close();
});

Deno.test("Forwarder.stop cuts what goes on after its grace, and at once when it is told so", async () => {
  for (const impatient of [false, true]) {
    const { server, forwarder, connect, lines } = await setUp();
    const client = await connect(), served = await server.accept(), began = performance.now();
    const stopping = forwarder.stop(impatient ? 60_000 : 200);
    await delay(50);
    assertEquals(forwarder.connections, 1);
    if (impatient) await forwarder.stop(0);
    await stopping;
    const took = performance.now() - began;
    assert(impatient ? took < 5000 : took > 190 && took < 5000, `${took} ms`);
    assertMatch(lines[0]!, /^info 127\.0\.0\.1:\d+ aborted: 0 bytes to the target, 0 back/);
    assertEquals([(await readAll(client)).length, (await readAll(served)).length], [0, 0]);
    client.close();
    served.close();
    server.close();
  }
});

Deno.test("Forwarder at its limit stops too", async () => {
  const { server, forwarder, connect } = await setUp({ maxConnections: 1 });
  const client = await connect(), served = await server.accept();
  await delay(20);
  await forwarder[Symbol.asyncDispose]();
  for (const conn of [client, served, server]) conn.close();
});

Deno.test("Forwarder cuts an idle connection after idleTimeoutMs", async () => {
  const { server, forwarder, connect, lines } = await setUp({ idleTimeoutMs: 100 });
  const client = await connect(), served = await server.accept();
  assertEquals([(await readAll(client)).length, (await readAll(served)).length], [0, 0]);
  await until(() => lines.length === 1);
  assertMatch(lines[0]!, /^info 127\.0\.0\.1:\d+ idle: 0 bytes/);
  client.close();
  served.close();
  server.close();
  await forwarder.stop(0);
});

Deno.test("Forwarder.start fails where it cannot listen, and leaves nothing", async () => {
  const before = await openDescriptors();
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await assertRejects(
    () => Forwarder.start({ ...ANY, port: taken.addr.port }, ANY),
    Deno.errors.AddrInUse,
    `Cannot listen on 127.0.0.1:${taken.addr.port}: `,
  );
  taken.close();
  assertEquals(await openedSince(before), []);
});

Deno.test("Forwarder joins a client with the first of its targets that takes it, and says if none does", async () => {
  const lines: string[] = [], warn = (line: string) => void lines.push(line);
  const first = Deno.listen({ hostname: "127.0.0.1", port: 0 }),
    second = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const targets = [first, second].map(({ addr }) => ({ ...ANY, port: (addr as Deno.NetAddr).port }));
  await using forwarder = await Forwarder.start(ANY, targets, { logger: { ...SILENT, warn } });
  const { port } = forwarder.endpoint as typeof ANY;
  /** What a client hears, by which server it was. */
  const heard = async (server?: Deno.Listener) => {
    using client = await Deno.connect({ hostname: "127.0.0.1", port });
    const conn = await server?.accept();
    await conn?.closeWrite();
    await client.closeWrite();
    const { length } = await readAll(client);
    conn?.close();
    return length;
  };
  assertEquals(await heard(first), 0);
  first.close();
  assertEquals(await heard(second), 0);
  assertEquals(lines, []);
  second.close();
  assertEquals(await heard(), 0);
  const names = targets.map(({ port }) => `127.0.0.1:${port}`).join(" and ");
  assertEquals(lines.length, 1);
  assertMatch(lines[0]!, new RegExp(`^Cannot connect to ${names}: .+; its clients are closed until that works$`));
});
