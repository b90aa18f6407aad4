/**
 * Bounds that guests of `hawser serve` share, measured from outside: by its descriptors and memory, the kernel's table
 * of sockets, and what servers see of it.
 *
 * @module
 */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { createSocket } from "node:dgram";
import { MAX_CONNECTING } from "../../nat/flow/quota.ts";
import { MAX_MAPPINGS } from "../../nat/relay/mappings.ts";
import { MAX_DNS_PENDING } from "../../nat/service/dns_service.ts";
import { TCP_DEFAULTS } from "../../nat/tcp/context.ts";
import { libc } from "../../net/linux/libc.ts";
import { listenTcp } from "../../net/linux/sockets.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { pattern } from "../support/bytes.ts";
import { dnsQuery } from "../support/dns_messages.ts";
import { ask } from "../support/frames.ts";
import { eventually, framed } from "../support/link_peer.ts";
import { requires } from "../support/requirements.ts";
import { connectGuest, echoServer, exchange } from "../support/stream_guests.ts";
import { shell, until } from "./run_support.ts";
import { Serve } from "./serve_support.ts";

const needs = requires("linux", "ffi");
const GATEWAY = "10.0.2.2", MIB = 1 << 20;

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `hawser serve ${name}${needs.reason}`, ignore: needs.ignore, fn });
}

function start(...words: string[]): Promise<Serve> {
  return Serve.start(["--listen", "tcp:127.0.0.1:0", "--log-level", "warn", ...words]);
}

/** A guest that sends frames and reads nothing of what they mean. */
async function rawGuest(port: number): Promise<{ send(frames: Uint8Array[]): Promise<void>; close(): Promise<void> }> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port }), into = new Uint8Array(1 << 16);
  const draining = (async () => {
    try {
      while (await conn.read(into) !== null);
    } catch {
      // It is closed.
    }
  })();
  return {
    send: async (frames) => {
      const bytes = framed(...frames);
      for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    },
    close: async () => {
      conn.close();
      await draining;
    },
  };
}

/** Frames with a number each, from as many ports. */
function frames(count: number, frameOf: (sourcePort: number, i: number) => Uint8Array): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => frameOf(1024 + i, i));
}

/** Proves that whatever was sent before has been dealt with, and that another guest is served. */
async function assertServed(serve: Serve): Promise<void> {
  const server = echoServer();
  await using honest = await connectGuest(serve.port);
  await exchange(await honest.connect({ hostname: GATEWAY, port: server.port }), pattern(1000));
  await server.close();
}

test("gives one guest three quarters of --max-flows, and another of the rest", async () => {
  await using serve = await start("--max-flows", "40", "--dns", "none");
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using greedy = await connectGuest(serve.port);
  let open = 0;
  for (let i = 0; i < 40; i++) {
    await greedy.connect({ hostname: GATEWAY, port: listener.addr.port }).then(() => open++, () => {});
  }
  assertEquals(open, 30);
  await assertServed(serve);
});

test("gives clients of a guest's forward three quarters of --max-flows, and the guest the rest", async () => {
  await using serve = await start("--max-flows", "40", "--dns", "none", "-t", "0:80");
  const port = Number(/forwarding tcp 127\.0\.0\.1:(\d+) /.exec(serve.stderr)![1]), clients: Deno.Conn[] = [];
  await using guest = await connectGuest(serve.port);
  const listener = guest.listen(80);
  let accepted = 0;
  const accepting = (async () => {
    for await (const _conn of listener) accepted++;
  })();
  for (let i = 0; i < 40; i++) clients.push(await Deno.connect({ hostname: "127.0.0.1", port }));
  const server = echoServer();
  await exchange(await guest.connect({ hostname: GATEWAY, port: server.port }), pattern(1000));
  await eventually("30 clients are accepted", () => accepted >= 30);
  listener.close();
  await accepting;
  assertEquals(accepted, 30);
  for (const client of clients) client.close();
  await server.close();
});

test(`has ${MAX_CONNECTING * 3 / 4} connects of one guest under way, and those of another beside them`, async () => {
  await using serve = await start("--dns", "none");
  // Nobody accepts: once the queue, of one, is full the kernel ignores SYNs, and a connect stays under way.
  const { fd, port } = listenTcp(IpAddress.parse("127.0.0.1"), 0);
  libc().listen(fd, 0);
  const guest = await rawGuest(serve.port);
  await guest.send(frames(3000, (sourcePort) => ask("tcp", GATEWAY, { sourcePort, port })));
  await assertServed(serve);
  const isDone = async () => Number(await underWay()) >= MAX_CONNECTING * 3 / 4;
  const remote = port.toString(16).toUpperCase().padStart(4, "0");
  const underWay = () => shell(`awk '$3 == "0100007F:'$1'" && $4 == "02"' /proc/net/tcp | wc -l`, remote);
  await until("as many are under way as may be", isDone);
  await assertServed(serve);
  assertEquals(Number(await underWay()), MAX_CONNECTING * 3 / 4);
  await guest.close();
  libc().close(fd);
});

test(`has ${MAX_MAPPINGS} sockets for datagrams, however many ports a guest sends from`, async () => {
  await using serve = await start("--dns", "none");
  const descriptors = async () => Number(await shell(`ls "/proc/$1/fd" | wc -l`, `${serve.pid}`));
  const before = await descriptors(), guest = await rawGuest(serve.port), silent = await silentServer();
  const all = frames(3 * MAX_MAPPINGS, (sourcePort, i) => {
    return ask("udp", GATEWAY, { sourcePort, port: silent.port, payload: new TextEncoder().encode(`${i}`) });
  });
  // So many at a time as the server's socket has room for.
  for (let i = 0; i < all.length; i += 64) {
    await guest.send(all.slice(i, i + 64));
    await eventually("all were taken", () => silent.last === `${i + 63}`);
  }
  await assertServed(serve);
  assertLess(Math.abs(await descriptors() - before - MAX_MAPPINGS), 8);
  await guest.close();
  await silent.close();
});

test(`asks a silent resolver for ${MAX_DNS_PENDING} names of one guest, and at once for that of another`, async () => {
  const silent = await silentServer();
  await using serve = await start("--dns", `127.0.0.1:${silent.port}`);
  const query = (sourcePort: number, name: string) =>
    ask("udp", "10.0.2.3", { sourcePort, port: 53, payload: dnsQuery(`${name} A`) });
  const greedy = await rawGuest(serve.port), modest = await rawGuest(serve.port);
  await greedy.send(frames(3 * MAX_DNS_PENDING, (sourcePort, i) => query(sourcePort, `n${i}.test`)));
  await eventually("its names are asked", () => silent.peers.size >= MAX_DNS_PENDING);
  await modest.send([query(2000, "modest.test")]);
  await eventually("the other's name is asked", () => silent.peers.size >= MAX_DNS_PENDING + 1);
  assertEquals(silent.peers.size, MAX_DNS_PENDING + 1);
  await greedy.close();
  await modest.close();
  await silent.close();
});

test("takes no more from a server than buffers hold while the guest reads nothing, its own 1 MiB a flow", async () => {
  await using serve = await start("--dns", "none");
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }), written: number[] = [], flows = 20;
  let wroteAt = performance.now();
  const writeAll = async (conn: Deno.Conn, i: number) => {
    const bytes = new Uint8Array(1 << 16);
    try {
      for (;;) {
        written[i]! += await conn.write(bytes);
        wroteAt = performance.now();
      }
    } catch {
      conn.close();
    }
  };
  const writing = (async () => {
    for await (const conn of listener) void writeAll(conn, written.push(0) - 1);
  })();
  const rss = async () => Number(await shell(`awk '/^VmRSS/ { print $2 }' "/proc/$1/status"`, `${serve.pid}`)) / 1024;
  await assertServed(serve);
  const before = await rss();
  {
    await using guest = await connectGuest(serve.port);
    for (let i = 0; i < flows; i++) await guest.connect({ hostname: GATEWAY, port: listener.addr.port });
    await eventually(
      "the server can write no more",
      () => written.length === flows && performance.now() - wroteAt > 500,
    );
    // What the kernel holds: the host socket's receive buffer and the server's send buffer.
    const largest = async (name: string) => Number(await shell(`awk '{ print $3 }' /proc/sys/net/ipv4/$1`, name));
    const kernel = await largest("tcp_rmem") + await largest("tcp_wmem");
    const most = TCP_DEFAULTS.sendLimit + TCP_DEFAULTS.receiveLimit + kernel;
    for (const count of written) assertLess(count, most);
    assertGreater(Math.min(...written), 1 << 16);
    assertLess(await rss() - before, flows * TCP_DEFAULTS.sendLimit / MIB + 40);
  }
  listener.close();
  await writing;
});

/** A UDP port of loopback that never answers: the ports that it has heard from, and what it heard last. */
async function silentServer() {
  const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 22 });
  const server = { port: 0, peers: new Set<number>(), last: "", close };
  socket.on("message", (message, from) => {
    server.peers.add(from.port);
    server.last = new TextDecoder().decode(message);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
  server.port = socket.address().port;
  return server;

  function close(): Promise<void> {
    return new Promise((resolve) => socket.close(() => resolve()));
  }
}
