import { assertEquals, assertMatch } from "@std/assert";
import { createSocket, type Socket } from "node:dgram";
import { LoopbackAgent } from "../../cli/loopback_agent.ts";
import { assertSame, pattern } from "../support/bytes.ts";
import { readAll, writeAll } from "../support/stream_pairs.ts";

/** An agent, what it says, and a port that nobody has. */
function setUp() {
  const lines: string[] = [];
  return { lines, agent: new LoopbackAgent((line) => lines.push(line)) };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Opens a relay on a port that nobody has by then. */
async function opened({ agent, lines }: ReturnType<typeof setUp>, line: (port: number) => string): Promise<number> {
  for (let tries = 0; tries < 20; tries++) {
    const port = freePort();
    await agent.hear(line(port));
    if (lines.at(-1)!.startsWith("opened")) return port;
    lines.pop();
  }
  throw new Error("No port could be had");
}

Deno.test("LoopbackAgent relays TCP both ways, half-closes included, and says what it did", async () => {
  const set = setUp(), { agent, lines } = set;
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = await opened(set, (port) => `open 7 tcp 127.0.0.1 ${port} 127.0.0.1 ${server.addr.port} *`);
  using client = await Deno.connect({ hostname: "127.0.0.1", port });
  using served = await server.accept();
  await writeAll(client, pattern(300_000));
  await client.closeWrite();
  assertSame(await readAll(served), pattern(300_000));
  await agent.hear("close 7");
  assertEquals(lines, ["opened 7", "closed 7"]);
  // A connection outlives the relay that it came by.
  await writeAll(served, pattern(5000));
  await served.closeWrite();
  assertSame(await readAll(client), pattern(5000));
  // Whoever closes something twice, or what never was, is answered.
  await agent.hear("close 7");
  await agent.hear("close 9");
  assertEquals(lines.slice(2), ["closed 7", "closed 9"]);
});

Deno.test("LoopbackAgent listens on every address for those that may come, and closes others", async () => {
  const set = setUp();
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const target = `127.0.0.1 ${server.addr.port}`;
  const open = await opened(set, (port) => `open 1 tcp * ${port} ${target} 192.0.2.1,127.0.0.1`);
  const barred = await opened(set, (port) => `open 2 tcp * ${port} ${target} 192.0.2.1,fd00::2`);
  using refused = await Deno.connect({ hostname: "127.0.0.1", port: barred });
  assertEquals((await readAll(refused)).length, 0);
  using client = await Deno.connect({ hostname: "127.0.0.1", port: open });
  using served = await server.accept();
  await writeAll(client, pattern(10));
  await client.closeWrite();
  assertSame(await readAll(served), pattern(10));
  await set.agent[Symbol.asyncDispose]();
});

Deno.test("LoopbackAgent leads a client to the first of several addresses that takes him", async () => {
  const set = setUp();
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = await opened(set, (port) => `open 1 tcp 127.0.0.1 ${port} 127.0.0.77,127.0.0.1 ${server.addr.port} *`);
  using client = await Deno.connect({ hostname: "127.0.0.1", port });
  using served = await server.accept();
  await writeAll(client, pattern(10));
  await client.closeWrite();
  assertSame(await readAll(served), pattern(10));
  await set.agent[Symbol.asyncDispose]();
});

Deno.test("LoopbackAgent says which ports somebody has, and passes over lines that make no sense", async () => {
  const { agent, lines } = setUp();
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await agent.hear(`open 1 tcp 127.0.0.1 ${taken.addr.port} 127.0.0.1 9 *`);
  await agent.hear(`open 2 tcp * ${taken.addr.port} 127.0.0.1 9 *`);
  assertMatch(lines[0]!, /^failed 1 in-use .+$/);
  await agent.hear("open 3 tcp 192.0.2.77 1 127.0.0.1 9 *");
  assertMatch(lines.at(-1)!, /^failed 3 (?!in-use).+$/);
  const said = lines.length;
  for (const line of ["", "go", "opened 1", "close"]) await agent.hear(line);
  assertEquals(lines.slice(said), ["closed "]);
});

Deno.test("LoopbackAgent relays UDP, a client each, and keeps others out", async () => {
  const set = setUp();
  const echo = await bound();
  echo.on("message", (bytes: Uint8Array, { address, port }) => echo.send(bytes, port, address));
  const target = `127.0.0.1 ${echo.address().port}`;
  const open = await opened(set, (port) => `open 1 udp * ${port} ${target} 127.0.0.1`);
  const barred = await opened(set, (port) => `open 2 udp 127.0.0.1 ${port} ${target} 192.0.2.1`);
  const [one, two] = await Promise.all([bound(), bound()]);
  const heard: string[] = [];
  const both = new Promise<void>((resolve) => {
    for (const [socket, name] of [[one, "one"], [two, "two"]] as const) {
      socket.on("message", (bytes: Uint8Array) => heard.push(`${name} ${bytes.length}`) === 2 && resolve());
    }
  });
  one.send(pattern(100), barred, "127.0.0.1");
  one.send(pattern(1000), open, "127.0.0.1");
  two.send(pattern(2000), open, "127.0.0.1");
  await both;
  assertEquals(heard.toSorted(), ["one 1000", "two 2000"]);
  await set.agent.hear(`open 3 udp 127.0.0.1 ${echo.address().port} 127.0.0.1 9 *`);
  assertMatch(set.lines.at(-1)!, /^failed 3 in-use /);
  await set.agent[Symbol.asyncDispose]();
  // The port is free again.
  const again = await bound(open);
  await Promise.all([echo, one, two, again].map((socket) => new Promise<void>((done) => socket.close(() => done()))));
});

function bound(port = 0): Promise<Socket> {
  const socket = createSocket("udp4");
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, "127.0.0.1", () => resolve(socket));
  });
}
