/**
 * What concerns Unix sockets, as tests for `unix_test.ts` to run: Deno's permission for one names its whole path, so
 * they run with those of a folder that was made for them. Its path is the first argument; sockets in it are `app.sock`,
 * `left.sock` and `right.sock`.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { Forwarder } from "../../forward/forwarder.ts";
import { pump } from "../../forward/pump.ts";
import { listenStream, type StreamListener } from "../../forward/stream_ports.ts";
import { assertSame, pattern } from "../support/bytes.ts";
import { readAll, unixPair, writeAll } from "../support/stream_pairs.ts";

const folder = Deno.args[0]!, path = `${folder}/app.sock`;
const UNIX = { transport: "unix", path } as const;

function names(): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

/** A socket file that nobody listens on: the second name of one whose listener is closed. */
function makeStale(): void {
  const listener = Deno.listen({ transport: "unix", path: `${folder}/left.sock` });
  Deno.linkSync(`${folder}/left.sock`, path);
  listener.close();
}

async function assertReached(listener: StreamListener): Promise<void> {
  const [client, served] = await Promise.all([Deno.connect(UNIX), listener.accept()]);
  await client.write(new Uint8Array(3));
  assertEquals(await served.read(new Uint8Array(9)), 3);
  client.close();
  served.close();
}

Deno.test("listenStream on a path is reached there, and takes its file away when it is closed", async () => {
  const listener = await listenStream(UNIX);
  assertEquals([listener.endpoint, names()], [UNIX, ["app.sock"]]);
  await assertReached(listener);
  listener.close();
  await assertRejects(() => listener.accept(), Deno.errors.BadResource);
  assertEquals(names(), []);
});

Deno.test("listenStream takes over a socket that nobody answers, and not one that someone does", async () => {
  makeStale();
  assertEquals(names(), ["app.sock"]);
  const listener = await listenStream(UNIX);
  await assertRejects(
    () => listenStream(UNIX),
    Deno.errors.AddrInUse,
    `Cannot listen on unix:${path}: someone listens there`,
  );
  // The probe of the other one.
  (await listener.accept()).close();
  await assertReached(listener);
  listener.close();
  assertEquals(names(), []);
});

Deno.test("listenStream fails where another file stands, and leaves it", async () => {
  Deno.writeTextFileSync(path, "precious");
  const cause = "there is a file of that name, and it is no socket";
  await assertRejects(() => listenStream(UNIX), Deno.errors.AlreadyExists, cause);
  assertEquals([Deno.readTextFileSync(path), names()], ["precious", ["app.sock"]]);
  Deno.removeSync(path);
  Deno.mkdirSync(path);
  await assertRejects(() => listenStream(UNIX), Deno.errors.AlreadyExists, cause);
  Deno.removeSync(path);
});

Deno.test({
  name: "a listener whose path is another file by now does not remove it, and accepts no more",
  // Its descriptor stays on purpose.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const listener = await listenStream(UNIX), accepting = listener.accept();
    Deno.removeSync(path);
    Deno.writeTextFileSync(path, "precious");
    listener.close();
    await assertRejects(() => accepting, Deno.errors.BadResource);
    assertEquals(Deno.readTextFileSync(path), "precious");
    Deno.removeSync(path);
  },
});

Deno.test("pump between Unix sockets carries every byte in both closing orders", async () => {
  const bytes = pattern(3 << 20);
  for (const first of ["client", "server"]) {
    const [client, a] = await unixPair(`${folder}/left.sock`), [b, server] = await unixPair(`${folder}/right.sock`);
    const pumping = pump(a, b), [one, other] = first === "client" ? [client, server] : [server, client];
    const reading = readAll(other);
    await writeAll(one, bytes);
    await one.closeWrite();
    assertSame(await reading, bytes);
    const back = readAll(one);
    await writeAll(other, bytes);
    await other.closeWrite();
    assertSame(await back, bytes);
    const length = bytes.length;
    assertEquals(await pumping, { reason: "finished", bytesFromA: length, bytesFromB: length, failure: null });
    client.close();
    server.close();
  }
});

Deno.test("pump tells of a Unix peer that has closed, and what it still said arrives", async () => {
  const [client, a] = await unixPair(`${folder}/left.sock`), [b, server] = await unixPair(`${folder}/right.sock`);
  const pumping = pump(a, b);
  await writeAll(server, pattern(1000));
  server.close();
  const reading = readAll(client);
  assertSame(await reading, pattern(1000));
  await writeAll(client, pattern(10));
  const { failure, reason } = await pumping;
  assertEquals([reason, failure?.end, failure?.operation], ["failed", "b", "write"]);
  client.close();
});

Deno.test("Forwarder leads from a Unix socket to another one", async () => {
  const server = Deno.listen({ transport: "unix", path: `${folder}/right.sock` });
  await using forwarder = await Forwarder.start(UNIX, { transport: "unix", path: `${folder}/right.sock` });
  const client = await Deno.connect(UNIX), served = await server.accept();
  await writeAll(client, pattern(5000));
  await client.closeWrite();
  assertSame(await readAll(served), pattern(5000));
  await writeAll(served, pattern(7000));
  served.close();
  assertSame(await readAll(client), pattern(7000));
  client.close();
  server.close();
  await forwarder.stop(1000);
  assertEquals([forwarder.connections, names()], [0, []]);
});
