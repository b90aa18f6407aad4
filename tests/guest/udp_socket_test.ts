import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { GuestStack, GuestUdpSocket } from "../../guest/mod.ts";
import { Gateway } from "../../mod.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { Frame } from "../../net/wire/frame.ts";
import { ICMP_UNREACHABLE } from "../../net/wire/icmpv4.ts";
import { PROTOCOL_UDP } from "../../net/wire/ipv4.ts";
import { pattern } from "../support/bytes.ts";
import { icmpErrorFrame, repairHeader, udpFrame } from "../support/frames.ts";
import { guestPair } from "../support/guest_pair.ts";

const SERVER = { hostname: "10.0.2.2", port: 53 };
const CLIENT = 0x0a00020f, GATEWAY = 0x0a000202;

Deno.test("GuestUdpSocket sends datagrams of every size that the link carries, with who sent them", async () => {
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(5353);
  for (const length of [0, 1, 3, 1471, 1472]) {
    assertEquals(await client.send(pattern(length), SERVER), length);
    const [bytes, from] = await server.receive();
    assertEquals([bytes, from], [pattern(length), { transport: "udp", hostname: "10.0.2.15", port: 5353 }]);
    await server.send(bytes, from);
    assertEquals(await client.receive(), [pattern(length), { transport: "udp", ...SERVER }]);
  }
});

Deno.test("GuestUdpSocket carries 65,507 bytes over a link with that MTU, with checksums that it does itself", async () => {
  await using stacks = guestPair({ mtu: 65535, offload: true });
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  await client.send(pattern(65507), SERVER);
  assertEquals((await server.receive())[0], pattern(65507));
  await assertRejects(() => client.send(pattern(65508), SERVER), RangeError, "carries 65507");
});

Deno.test("GuestUdpSocket refuses a datagram that the link cannot carry, a name and no port, and goes on", async () => {
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const text = "Cannot send a datagram of 1473 bytes: link memory carries 1472";
  await assertRejects(() => client.send(new Uint8Array(1473), SERVER), RangeError, text);
  await assertRejects(() => client.send(Uint8Array.of(1), { ...SERVER, hostname: "dns.test" }), TypeError, "dns.test");
  await assertRejects(() => client.send(Uint8Array.of(1), { ...SERVER, port: 0 }), RangeError, "port 0");
  await client.send(Uint8Array.of(1), SERVER);
  assertEquals((await server.receive())[0], Uint8Array.of(1));
});

Deno.test("GuestUdpSocket.receive rejects with ConnectionRefused where nobody listens, in the order of what came", async () => {
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const waiting = assertRejects(() => client.receive(), Deno.errors.ConnectionRefused, "Datagram to 10.0.2.2:54");
  await client.send(Uint8Array.of(1), { ...SERVER, port: 54 });
  await waiting;
  await client.send(Uint8Array.of(2), SERVER);
  const [, from] = await server.receive();
  await server.send(Uint8Array.of(3), from);
  await client.send(Uint8Array.of(4), { ...SERVER, port: 55 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals((await client.receive())[0], Uint8Array.of(3));
  await assertRejects(() => client.receive(), Deno.errors.ConnectionRefused, "10.0.2.2:55");
});

Deno.test("GuestUdpSocket takes of ICMP errors those that quote a datagram of its own", async () => {
  const [left, right] = memoryLinkPair();
  right.start({ receive() {}, flush() {}, closed() {} });
  await using stack = new GuestStack(left);
  using socket = stack.openUdp(5353);
  const cases: [Parameters<typeof icmpError>[0], ErrorConstructor | null][] = [
    [{ code: 13 }, Deno.errors.PermissionDenied as ErrorConstructor],
    [{ code: 1 }, Deno.errors.NetworkUnreachable as ErrorConstructor],
    [{ code: 3 }, Deno.errors.ConnectionRefused as ErrorConstructor],
    [{ code: 3, type: 11 }, null],
    [{ code: 3, source: GATEWAY }, null],
    [{ code: 3, protocol: 6 }, null],
    [{ code: 3, port: 5354 }, null],
    [{ code: 3, spoilt: true }, null],
  ];
  for (const [message, expected] of cases) {
    const frame = icmpError(message), signal = AbortSignal.timeout(20);
    right.send(new Frame().set(frame, 0, frame.length));
    const error = await socket.receive({ signal }).catch((error) => error);
    if (expected === null) assertEquals(error.name, "TimeoutError", JSON.stringify(message));
    else assert(error instanceof expected, `${JSON.stringify(message)}: ${error}`);
  }
});

/** A frame with an ICMP error about a datagram from port 5353 of the client, or about something else. */
function icmpError(
  { code, type = ICMP_UNREACHABLE, source = CLIENT, protocol = PROTOCOL_UDP, port = 5353, spoilt = false }: {
    code: number;
    type?: number;
    source?: number;
    protocol?: number;
    port?: number;
    spoilt?: boolean;
  },
): Uint8Array {
  const about = udpFrame({ source: port, destination: 53 }, new Uint8Array(4), { source, destination: GATEWAY });
  about[23] = protocol;
  const ends = { source: GATEWAY, destination: CLIENT, fromMac: 0x525400123402, toMac: 0x525400123456 };
  const bytes = icmpErrorFrame({ type, code }, repairHeader(about).subarray(14), ends);
  if (spoilt) bytes[54]! ^= 1;
  return bytes;
}

Deno.test("GuestUdpSocket that iterates passes over errors and ends with the socket", async () => {
  await using stacks = guestPair();
  const server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const seen: number[] = [];
  const serving = (async () => {
    for await (const [bytes] of server) seen.push(bytes[0]!);
  })();
  await client.send(Uint8Array.of(1), SERVER);
  await server.send(Uint8Array.of(9), { hostname: "10.0.2.15", port: 9 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await client.send(Uint8Array.of(2), SERVER);
  await new Promise((resolve) => setTimeout(resolve, 5));
  server.close();
  await serving;
  assertEquals(seen, [1, 2]);
});

Deno.test("GuestUdpSocket keeps so much and counts what it drops", () => {
  const socket = new GuestUdpSocket(53, { send: () => {}, over: () => {} });
  const from = { transport: "udp", ...SERVER } as const;
  for (let i = 0; i < 20; i++) socket.deliver([new Uint8Array(65507), from]);
  assertEquals(socket.dropped, 4);
  for (let i = 0; i < 2000; i++) socket.deliver([new Uint8Array(0), from]);
  assertEquals(socket.dropped, 4 + 2000 - (1024 - 16));
});

Deno.test("GuestUdpSocket gives up waiting when the signal says so, and the datagram is the next one's", async () => {
  await using stacks = guestPair();
  using server = stacks.server.openUdp(53);
  using client = stacks.client.openUdp(0);
  const abort = new AbortController(), given = server.receive({ signal: abort.signal }), kept = server.receive();
  abort.abort(new RangeError("Not wanted"));
  await assertRejects(() => given, RangeError, "Not wanted");
  await assertRejects(() => server.receive({ signal: abort.signal }), RangeError, "Not wanted");
  await client.send(Uint8Array.of(5), SERVER);
  assertEquals((await kept)[0], Uint8Array.of(5));
});

Deno.test("GuestUdpSocket that is closed frees its port, loses what waits and rejects whoever does", async () => {
  await using stacks = guestPair();
  const socket = stacks.server.openUdp(53);
  assertThrows(() => stacks.server.openUdp(53), Deno.errors.AddrInUse, "Cannot open UDP port 53: it is in use");
  const waiting = assertRejects(() => socket.receive(), Deno.errors.BadResource, "UDP socket is closed");
  socket.close();
  socket.close();
  await waiting;
  await assertRejects(() => socket.send(Uint8Array.of(1), SERVER), Deno.errors.BadResource);
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

Deno.test("GuestUdpSocket asks a server of the host through a gateway, and is told what a rule forbids", async () => {
  const server = (await import("node:dgram")).createSocket("udp4");
  await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
  server.on("message", (message, { port, address }) => server.send(message, port, address));
  const [link, end] = memoryLinkPair();
  await using gateway = await Gateway.start({ host: "deno", dns: "none", deny: ["192.0.2.0/24"] });
  await using _attached = gateway.attach(link);
  await using stack = new GuestStack(end);
  using socket = stack.openUdp(0);
  const to = { hostname: "10.0.2.2", port: server.address().port };
  await socket.send(pattern(1472), to);
  assertEquals(await socket.receive(), [pattern(1472), { transport: "udp", ...to }]);
  await socket.send(Uint8Array.of(1), { hostname: "192.0.2.1", port: 9 });
  await assertRejects(() => socket.receive(), Deno.errors.PermissionDenied, "Datagram to 192.0.2.1:9 is prohibited");
  await new Promise<void>((resolve) => server.close(() => resolve()));
});
