import { assertEquals, assertThrows } from "@std/assert";
import { AF_INET, AF_INET6, libc, SOCK_DGRAM } from "../../../net/linux/libc.ts";
import {
  DiagListeningSockets,
  isBoundDiagSocket,
  type ListeningSockets,
  openDiagSocket,
  ProcListeningSockets,
  type Transport,
} from "../../../net/linux/listening_sockets.ts";
import type { ListeningSocket } from "../../../net/linux/sock_diag.ts";
import { openRouteSocket } from "../../../net/linux/rtnetlink.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "ffi");
const WAYS: Record<string, (transports: readonly Transport[]) => ListeningSockets> = {
  netlink: (transports) => new DiagListeningSockets(openDiagSocket(), transports),
  "/proc": (transports) => new ProcListeningSockets("self", transports),
};

function test(name: string, fn: (open: (transports: readonly Transport[]) => ListeningSockets) => Promise<void>): void {
  for (const [way, open] of Object.entries(WAYS)) {
    Deno.test({ name: `by ${way}, ${name}${needs.reason}`, ignore: needs.ignore, fn: () => fn(open) });
  }
}

/** What `sockets` tells now. */
async function read(sockets: ListeningSockets): Promise<readonly ListeningSocket[]> {
  if (sockets instanceof ProcListeningSockets) await sockets.look();
  return sockets.read();
}

/** Where this port listens, by the answers of `sockets`. */
async function at(sockets: ListeningSockets, protocol: Transport, port: number): Promise<string[]> {
  return (await read(sockets)).filter((socket) => socket.protocol === protocol && socket.port === port)
    .map(({ address }) => `${address}`);
}

/** A socket of UDP, bound to this port of 127.0.0.1 or `::1`; `undefined` if somebody has it. */
function boundUdp(family: typeof AF_INET | typeof AF_INET6, port: number): number | undefined {
  const fd = libc().socket(family, SOCK_DGRAM, 0), address = socketAddress(family, port);
  if (libc().bind(fd, address, address.length) === 0) return fd;
  libc().close(fd);
  return undefined;
}

/** A `struct sockaddr_in` of 127.0.0.1, or a `sockaddr_in6` of `::1`. */
function socketAddress(family: typeof AF_INET | typeof AF_INET6, port: number): Uint8Array {
  const address = new Uint8Array(family === AF_INET ? 16 : 28), view = new DataView(address.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  if (family === AF_INET) view.setUint32(4, 0x7f000001);
  else address[23] = 1;
  return address;
}

test("a listener of TCP is told with its address while it listens, a connection never", async (open) => {
  using sockets = open(["tcp"]);
  for (
    const [hostname, address] of [["127.0.0.1", "127.0.0.1"], ["0.0.0.0", "0.0.0.0"], ["::1", "::1"], ["::", "::"]]
  ) {
    const listener = Deno.listen({ hostname: hostname!, port: 0 }), { port } = listener.addr;
    assertEquals(await at(sockets, "tcp", port), [address]);
    const client = await Deno.connect({ hostname: hostname!.includes(":") ? "::1" : "127.0.0.1", port });
    const server = await listener.accept();
    assertEquals(await at(sockets, "tcp", port), [address]);
    listener.close();
    assertEquals(await at(sockets, "tcp", port), []);
    client.close();
    server.close();
  }
});

test("many listeners are told, each of them, and then none", async (open) => {
  using sockets = open(["tcp", "udp"]);
  const listeners = Array.from({ length: 1500 }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  const ports = listeners.map(({ addr }) => addr.port), told = new Set((await read(sockets)).map(({ port }) => port));
  assertEquals(ports.filter((port) => !told.has(port)), []);
  for (const listener of listeners) listener.close();
  const left = new Set((await read(sockets)).map(({ port }) => port));
  // Somebody else on this machine may have taken one of these meanwhile.
  assertEquals(ports.filter((port) => left.has(port)).length < 50, true);
});

test("UDP is told while it is bound, unless it is connected or on a port for clients", async (open) => {
  using sockets = open(["udp"]);
  // Below the ports for clients somebody else may have one.
  let port = 20000 + Deno.pid % 10000, server = boundUdp(AF_INET, port);
  while (server === undefined) server = boundUdp(AF_INET, ++port);
  assertEquals(await at(sockets, "udp", port), ["127.0.0.1"]);
  const peer = socketAddress(AF_INET, 9);
  assertEquals(libc().connect(server, peer, peer.length), 0);
  assertEquals(await at(sockets, "udp", port), []);
  libc().close(server);
  const six = boundUdp(AF_INET6, port)!;
  assertEquals(await at(sockets, "udp", port), ["::1"]);
  libc().close(six);
  assertEquals(await at(sockets, "udp", port), []);
  let ephemeral = 40000, client = boundUdp(AF_INET, ephemeral);
  while (client === undefined) client = boundUdp(AF_INET, ++ephemeral);
  assertEquals(await at(sockets, "udp", ephemeral), []);
  libc().close(client);
});

test("only the transports that were asked for are told", async (open) => {
  using sockets = open(["udp"]);
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  assertEquals((await read(sockets)).filter(({ port }) => port === listener.addr.port), []);
});

Deno.test({
  name: `a socket that is not one for this is told apart, and one without groups, and none at all${needs.reason}`,
  ignore: needs.ignore,
  fn: () => {
    const diag = openDiagSocket(), route = openRouteSocket(libc(), 1, "Cannot test");
    assertEquals([isBoundDiagSocket(diag), isBoundDiagSocket(route), isBoundDiagSocket(0x7ffffff0)], [
      false,
      false,
      false,
    ]);
    const address = new Uint8Array([16, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0]);
    assertEquals(libc().bind(diag, address, address.length), 0);
    assertEquals(isBoundDiagSocket(diag), true);
    libc().close(route);
    libc().close(diag);
  },
});

Deno.test({
  name: `news of sockets that end, which nobody reads, stops no answer${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    const diag = openDiagSocket(), address = new Uint8Array([16, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0]);
    libc().bind(diag, address, address.length);
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = listener.addr;
    const end = async () => {
      for (let i = 0; i < 1000; i++) {
        const client = Deno.connect({ hostname: "127.0.0.1", port }), server = await listener.accept();
        server.close();
        (await client).close();
      }
    };
    // More than fits, before the socket leaves the groups and after.
    await end();
    using sockets = new DiagListeningSockets(diag, ["tcp"]);
    assertEquals(await at(sockets, "tcp", port), ["127.0.0.1"]);
    await end();
    assertEquals(await at(sockets, "tcp", port), ["127.0.0.1"]);
    listener.close();
  },
});

Deno.test({
  name: `a socket that is gone, and a process that is not there, are errors that say so${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    using gone = new ProcListeningSockets(0x7fffffff, ["tcp"]);
    await gone.look();
    assertThrows(() => gone.read(), Error, "Cannot tell what listens: there is no /proc/2147483647");
    const file = libc().open(new TextEncoder().encode("/dev/null\0"), 2);
    using none = new DiagListeningSockets(file, ["tcp"]);
    assertThrows(() => none.read(), Error, "Cannot tell what listens");
  },
});

Deno.test({
  name: `looks at /proc do not hold up the thread, and only one is under way${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    using sockets = new ProcListeningSockets("self", ["tcp"]);
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const isThere = () => sockets.read().some(({ port }) => port === listener.addr.port);
    assertEquals([isThere(), isThere()], [false, false]);
    await Promise.all([sockets.look(), sockets.look()]);
    assertEquals(isThere(), true);
    // What was told serves for a while, and is not asked for again.
    assertEquals(isThere(), true);
  },
});
