import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { GuestStack, GuestUdpSocket } from "../../guest/mod.ts";
import { Gateway } from "../../mod.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { pattern } from "../support/bytes.ts";
import { icmpErrorFrame, repairHeader, udpFrame } from "../support/frames.ts";
import { endpoint, testFamilies as test, type TestFamily } from "../support/families.ts";
import { guestPair } from "../support/guest_pair.ts";
import { fromGateway, GuestWire } from "../support/guest_wire.ts";

/** Port 53 of the server. */
function serverOver({ gateway }: TestFamily): { hostname: string; port: number } {
  return { hostname: gateway, port: 53 };
}

test("GuestUdpSocket sends datagrams of every size that the link carries, with who sent them", async (family) => {
  const to = serverOver(family);
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(5353);
  const most = 1500 - family.headerLength - 8;
  for (const length of [0, 1, 3, most - 1, most]) {
    assertEquals(await client.send(pattern(length), to), length);
    const [bytes, from] = await server.receive();
    assertEquals([bytes, from], [pattern(length), { transport: "udp", hostname: family.guest, port: 5353 }]);
    await server.send(bytes, from);
    assertEquals(await client.receive(), [pattern(length), { transport: "udp", ...to }]);
  }
});

test("GuestUdpSocket carries what a packet of 64 KiB holds over a link with that MTU, with checksums that it does itself", async (family) => {
  const to = serverOver(family);
  await using stacks = guestPair({ mtu: 65535, offload: true });
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const most = 65535 - family.headerLength - 8;
  await client.send(pattern(most), to);
  assertEquals((await server.receive())[0], pattern(most));
  await assertRejects(() => client.send(pattern(most + 1), to), RangeError, `carries ${most}`);
});

test("GuestUdpSocket refuses a datagram that the link cannot carry, a name and no port, and goes on", async (family) => {
  const to = serverOver(family);
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const most = 1500 - family.headerLength - 8;
  const text = `Cannot send a datagram of ${most + 1} bytes: link memory carries ${most}`;
  await assertRejects(() => client.send(new Uint8Array(most + 1), to), RangeError, text);
  await assertRejects(() => client.send(Uint8Array.of(1), { ...to, hostname: "dns.test" }), TypeError, "dns.test");
  await assertRejects(() => client.send(Uint8Array.of(1), { ...to, port: 0 }), RangeError, "port 0");
  await client.send(Uint8Array.of(1), to);
  assertEquals((await server.receive())[0], Uint8Array.of(1));
});

test("GuestUdpSocket.receive rejects with ConnectionRefused where nobody listens, in the order of what came", async (family) => {
  const to = serverOver(family);
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const waiting = assertRejects(
    () => client.receive(),
    Deno.errors.ConnectionRefused,
    `Datagram to ${endpoint(family.gateway, 54)}`,
  );
  await client.send(Uint8Array.of(1), { ...to, port: 54 });
  await waiting;
  await client.send(Uint8Array.of(2), to);
  const [, from] = await server.receive();
  await server.send(Uint8Array.of(3), from);
  await client.send(Uint8Array.of(4), { ...to, port: 55 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals((await client.receive())[0], Uint8Array.of(3));
  await assertRejects(() => client.receive(), Deno.errors.ConnectionRefused, endpoint(family.gateway, 55));
});

test("GuestUdpSocket takes of ICMP errors those that quote a datagram of its own", async (family) => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  const isIpv4 = family.version === 4, refused = isIpv4 ? 3 : 4;
  const cases: [ErrorFields, ErrorConstructor | null][] = [
    [{ code: isIpv4 ? 13 : 1 }, Deno.errors.PermissionDenied as ErrorConstructor],
    [{ code: isIpv4 ? 1 : 3 }, Deno.errors.NetworkUnreachable as ErrorConstructor],
    [{ code: refused }, Deno.errors.ConnectionRefused as ErrorConstructor],
    [{ code: refused, type: isIpv4 ? 11 : 3 }, null],
    [{ code: refused, source: family.gateway }, null],
    [{ code: refused, protocol: 6 }, null],
    [{ code: refused, port: 5354 }, null],
    [{ code: refused, destination: family.elsewhere }, null],
    [{ code: refused, quoted: 6 }, null],
    [{ code: refused, spoilt: true }, null],
  ];
  for (const [message, expected] of cases) {
    wire.give(
      icmpError(family, message),
      udpFrame({ source: 53, destination: 5353 }, Uint8Array.of(7), fromGateway(family)),
    );
    const result = await socket.receive().catch((error) => error), what = JSON.stringify(message);
    if (expected === null) assertEquals(result[0], Uint8Array.of(7), what);
    else {
      assert(result instanceof expected && result.message.includes(endpoint(family.gateway, 53)), `${what}: ${result}`);
      await socket.receive();
    }
  }
});

interface ErrorFields {
  readonly code: number;
  readonly type?: number;
  /** Who sent the datagram that it is about, and from where; of which protocol it says it was. */
  readonly source?: string;
  readonly port?: number;
  readonly protocol?: number;
  /** Bytes of its transport header that are quoted. */
  readonly quoted?: number;
  /** To whom the error goes. */
  readonly destination?: string;
  readonly spoilt?: boolean;
}

/** A frame with an ICMP error about a datagram from port 5353 of the guest, or about something else. */
function icmpError(family: TestFamily, fields: ErrorFields): Uint8Array {
  const { type = family.version === 4 ? 3 : 1, source = family.guest, protocol = PROTOCOL_UDP, port = 5353 } = fields;
  const { code, quoted = 12, destination = family.guest, spoilt = false } = fields;
  const about = udpFrame({ source: port, destination: 53 }, new Uint8Array(4), { source, destination: family.gateway });
  about[family.version === 4 ? 23 : 20] = protocol;
  const packet = repairHeader(about).subarray(14, 14 + family.headerLength + quoted);
  const bytes = icmpErrorFrame({ type, code }, packet, { ...fromGateway(family), destination });
  if (spoilt) bytes[bytes.length - 1]! ^= 1;
  return bytes;
}

test("GuestUdpSocket that iterates passes over errors and ends with the socket", async (family) => {
  const to = serverOver(family);
  await using stacks = guestPair();
  const server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const seen: number[] = [];
  const serving = (async () => {
    for await (const [bytes] of server) seen.push(bytes[0]!);
  })();
  await client.send(Uint8Array.of(1), to);
  await server.send(Uint8Array.of(9), { hostname: family.guest, port: 9 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await client.send(Uint8Array.of(2), to);
  await new Promise((resolve) => setTimeout(resolve, 5));
  server.close();
  await serving;
  assertEquals(seen, [1, 2]);
});

Deno.test("GuestUdpSocket keeps so much and counts what it drops", () => {
  const socket = new GuestUdpSocket(53, { send: () => {}, over: () => {} });
  const from = { transport: "udp", hostname: "fd00::2", port: 53 } as const;
  for (let i = 0; i < 20; i++) socket.deliver([new Uint8Array(65507), from]);
  assertEquals(socket.dropped, 4);
  for (let i = 0; i < 2000; i++) socket.deliver([new Uint8Array(0), from]);
  assertEquals(socket.dropped, 4 + 2000 - (1024 - 16));
});

test("GuestUdpSocket gives up waiting when the signal says so, and the datagram is the next one's", async (family) => {
  const to = serverOver(family);
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const abort = new AbortController(), given = server.receive({ signal: abort.signal }), kept = server.receive();
  abort.abort(new RangeError("Not wanted"));
  await assertRejects(() => given, RangeError, "Not wanted");
  await assertRejects(() => server.receive({ signal: abort.signal }), RangeError, "Not wanted");
  await client.send(Uint8Array.of(5), to);
  assertEquals((await kept)[0], Uint8Array.of(5));
});

test("GuestUdpSocket that is closed frees its port, loses what waits and rejects whoever does", async (family) => {
  const to = serverOver(family);
  await using stacks = guestPair();
  const socket = stacks.server.openUdp(53);
  assertThrows(() => stacks.server.openUdp(53), Deno.errors.AddrInUse, "Cannot open UDP port 53: it is in use");
  const waiting = assertRejects(() => socket.receive(), Deno.errors.BadResource, "UDP socket is closed");
  socket.close();
  socket.close();
  await waiting;
  await assertRejects(() => socket.send(Uint8Array.of(1), to), Deno.errors.BadResource);
  await assertRejects(() => socket.receive(), Deno.errors.BadResource);
  stacks.server.openUdp(53).close();
});

Deno.test("GuestStack.openUdp says when every dynamic port is in use", async () => {
  await using stacks = guestPair();
  const sockets = Array.from({ length: 16384 }, () => stacks.client.openUdp(0));
  assertEquals(new Set(sockets.map(({ port }) => port)).size, 16384);
  assertThrows(() => stacks.client.openUdp(0), Deno.errors.AddrNotAvailable, "every dynamic one is in use");
  sockets[7]!.close();
  assertEquals(stacks.client.openUdp(0).port, sockets[7]!.port);
  assertThrows(() => stacks.client.openUdp(65536), RangeError);
});

test("GuestUdpSocket asks a server of the host through a gateway, and is told what a rule forbids", async (family) => {
  const isIpv4 = family.version === 4, server = (await import("node:dgram")).createSocket(isIpv4 ? "udp4" : "udp6");
  await new Promise<void>((resolve) => server.bind(0, family.loopback, resolve));
  server.on("message", (message, { port, address }) => server.send(message, port, address));
  const [link, end] = memoryLinkPair();
  await using gateway = await Gateway.start({ host: "deno", dns: "none", deny: [family.elsewhere] });
  await using _attached = gateway.attach(link);
  await using stack = new GuestStack(end);
  using socket = stack.openUdp(0);
  const to = { hostname: family.gateway, port: server.address().port }, bytes = pattern(1500 - family.headerLength - 8);
  await socket.send(bytes, to);
  assertEquals(await socket.receive(), [bytes, { transport: "udp", ...to }]);
  await socket.send(Uint8Array.of(1), { hostname: family.elsewhere, port: 9 });
  const text = `Datagram to ${endpoint(family.elsewhere, 9)} is prohibited`;
  await assertRejects(() => socket.receive(), Deno.errors.PermissionDenied, text);
  await new Promise<void>((resolve) => server.close(() => resolve()));
});
