import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { DenoHost } from "../../host/deno_host.ts";
import { hostErrorOf, listenErrorOf } from "../../host/deno_error.ts";
import { READ, WRITE } from "../../nat/host.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { pattern } from "../support/bytes.ts";
import { HostCase, hostCases } from "../support/host_cases.ts";
import { LoopbackWorld, readToEnd } from "../support/host_peers.ts";

hostCases("DenoHost", () => new LoopbackWorld(new DenoHost()), { resets: false, udpErrors: false });

Deno.test("DenoHost.resetsAsClose counts resets that became closes", async () => {
  await using host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host));
  const [owner, peer] = await test.pair();
  const [other, otherPeer] = await test.pair();
  owner.reset();
  other.close();
  assertEquals(host.resetsAsClose, 1);
  peer.close();
  otherPeer.close();
});

Deno.test("DenoHost.socketCount is 0 when all connections have ended", async () => {
  await using host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host));
  const [owner, peer] = await test.pair();
  owner.setInterest(READ);
  assertEquals(host.socketCount, 1);
  owner.close();
  peer.close();
  await test.until("no socket", () => host.socketCount === 0);
});

Deno.test("DenoHost.unwritten is what a slow peer has still to get, of a socket that is closed too", async () => {
  await using host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host));
  const [owner, peer] = await test.pair(), bytes = pattern(65536);
  assertEquals(host.unwritten, 0);
  let taken = 0;
  // Until the host's kernel takes no more, and the socket neither.
  for (let rounds = 0; rounds < 10; rounds++) {
    for (let count; (count = owner.write(bytes)) > 0; rounds = 0) taken += count;
    await test.settle();
  }
  assertLess(0, host.unwritten);
  owner.close();
  assertLess(0, host.unwritten);
  const got = await readToEnd(peer);
  assertEquals([got.length, host.unwritten], [taken, 0]);
  peer.close();
});

Deno.test("DenoHost.unwritten counts datagrams until they are sent", async () => {
  await using host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host)), echo = await test.world.udpEcho();
  const socket = host.openUdp(4, { hostDatagram() {}, hostDatagramFailed() {} });
  assert(typeof socket !== "string");
  for (let i = 0; i < 3; i++) socket.send(new Uint8Array(1000), 0, 1000, echo.target);
  assertLess(2999, host.unwritten);
  socket.close();
  await test.until("all are sent", () => host.unwritten === 0);
  await echo.close();
});

Deno.test("DenoHost cuts off a closed socket whose peer takes nothing for lingerMs", async () => {
  await using host = new DenoHost({ lingerMs: 30 });
  const test = new HostCase(new LoopbackWorld(host));
  const [owner, peer] = await test.pair();
  const bytes = pattern(65536);
  owner.onWritable = () => void owner.write(bytes);
  owner.setInterest(WRITE);
  for (let before = -1; before !== owner.told.length;) {
    before = owner.told.length;
    await test.settle();
  }
  owner.close();
  assertEquals(host.socketCount, 1);
  await test.until("no socket", () => host.socketCount === 0);
  peer.close();
});

Deno.test("DenoHost gives every socket its turn while one of them never runs dry", async () => {
  await using host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host));
  const [busy, busyPeer] = await test.pair();
  const [quiet, quietPeer] = await test.pair();
  let stop = false;
  const flooding = (async () => {
    const bytes = pattern(262144);
    while (!stop) await busyPeer.write(bytes);
  })().catch(() => {});
  busy.onReadable = () => {
    busy.read();
    busy.parts.length = 0;
  };
  busy.setInterest(READ);
  quiet.onReadable = () => quiet.readAll();
  quiet.setInterest(READ);
  let slowestMs = 0;
  for (let i = 1; i <= 10; i++) {
    const from = performance.now();
    await quietPeer.write(Uint8Array.of(i));
    await test.until("byte", () => quiet.readLength === i);
    slowestMs = Math.max(slowestMs, performance.now() - from);
  }
  assertLess(slowestMs, 500);
  assertLess(1 << 20, busy.readLength);
  stop = true;
  busy.close();
  quiet.close();
  await flooding;
  busyPeer.close();
  quietPeer.close();
});

Deno.test("DenoHost sends datagrams in the order given", async () => {
  await using world = new LoopbackWorld(new DenoHost());
  const test = new HostCase(world);
  const echo = await world.udpEcho();
  const got: number[] = [];
  const socket = world.host.openUdp(4, {
    hostDatagram: (bytes, start) => void got.push(bytes[start]!),
    hostDatagramFailed: () => {},
  });
  assert(typeof socket !== "string");
  for (let i = 0; i < 30; i++) assert(socket.send(Uint8Array.of(i), 0, 1, echo.target));
  await test.until("30 echoes", () => got.length === 30);
  assertEquals(got, Array.from({ length: 30 }, (_, i) => i));
  await echo.close();
});

Deno.test("DenoHost takes no more datagrams than its queue has room for", async () => {
  await using world = new LoopbackWorld(new DenoHost());
  const test = new HostCase(world);
  const echo = await world.udpEcho();
  let got = 0;
  const socket = world.host.openUdp(4, { hostDatagram: () => void got++, hostDatagramFailed: () => {} });
  assert(typeof socket !== "string");
  const bytes = new Uint8Array(60000);
  let taken = 0;
  while (socket.send(bytes, 0, bytes.length, echo.target)) taken++;
  assertEquals(taken, 4);
  await test.until("an echo", () => got > 0);
  assert(socket.send(bytes, 0, 1, echo.target));
  await echo.close();
});

Deno.test("DenoHost can be disposed of from within a handler", async () => {
  const host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host));
  const [owner, peer] = await test.pair();
  const [other, otherPeer] = await test.pair();
  let disposed: Promise<void> | undefined;
  owner.onWritable = other.onWritable = () => disposed = host[Symbol.asyncDispose]();
  owner.setInterest(WRITE);
  other.setInterest(WRITE);
  await test.until("disposal", () => disposed !== undefined);
  await disposed;
  assertEquals([owner.told.length + other.told.length, host.socketCount], [3, 0]);
  peer.close();
  otherPeer.close();
});

Deno.test("DenoHost opens nothing after it was disposed of", async () => {
  const host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host));
  await host[Symbol.asyncDispose]();
  const listener = test.world.listen();
  const owner = test.connect(listener.target);
  assertEquals(host.openUdp(4, { hostDatagram: () => {}, hostDatagramFailed: () => {} }), "other");
  await test.until("no socket", () => host.socketCount === 0);
  assertEquals(owner.told, []);
  listener.close();
});

Deno.test("DenoHost.start throws when it is called twice", async () => {
  await using host = new DenoHost();
  host.start(() => Infinity);
  assertThrows(() => host.start(() => Infinity), Error, "it is started already");
});

Deno.test("DenoHost refuses port 0 instead of throwing", async () => {
  await using host = new DenoHost();
  const test = new HostCase(new LoopbackWorld(host));
  const listener = test.world.listen();
  listener.close();
  const owner = test.connect({ address: listener.target.address, port: 0 });
  await test.until("refused", () => owner.told.length > 0);
  assertEquals(owner.told, ["connectFailed refused"]);
});

Deno.test("hostErrorOf goes by code, then by name, then by the number in the message", () => {
  const coded = Object.assign(new Error("x"), { code: "EHOSTUNREACH" });
  assertEquals(hostErrorOf(coded), "hostUnreachable");
  assertEquals(hostErrorOf(new Deno.errors.ConnectionRefused("x")), "refused");
  assertEquals(hostErrorOf(new Deno.errors.BrokenPipe("x")), "reset");
  assertEquals(hostErrorOf(new Deno.errors.TimedOut("x")), "timedOut");
  assertEquals(hostErrorOf(new Deno.errors.NotCapable("x")), "prohibited");
  assertEquals(hostErrorOf(new Error("No route to host (os error 113)")), "hostUnreachable");
  assertEquals(hostErrorOf(new Error("Too many open files (os error 24)")), "exhausted");
});

Deno.test("hostErrorOf answers other for what it does not know", () => {
  assertEquals(hostErrorOf(new Error("x")), "other");
  assertEquals(hostErrorOf(new Error("Odd (os error 9999)")), "other");
  assertEquals(hostErrorOf(new DOMException("x", "AbortError")), "other");
  assertEquals(hostErrorOf("text"), "other");
  assertEquals(hostErrorOf(undefined), "other");
});

Deno.test("listenErrorOf tells a missing permission from a missing privilege, and both from a port in use", () => {
  assertEquals(listenErrorOf(new Deno.errors.NotCapable("x")), "notPermitted");
  assertEquals(listenErrorOf(new Deno.errors.PermissionDenied("Permission denied (os error 13)")), "privileged");
  assertEquals(listenErrorOf(Object.assign(new Error("x"), { code: "EACCES" })), "privileged");
  assertEquals(listenErrorOf(Object.assign(new Error("x"), { code: "EADDRINUSE" })), "addressInUse");
  assertEquals(listenErrorOf(new Deno.errors.AddrNotAvailable("x")), "addressNotAvailable");
  assertEquals(listenErrorOf(new Error("Too many open files (os error 24)")), "exhausted");
  assertEquals(listenErrorOf("text"), "other");
});

Deno.test("DenoHost answers notPermitted for an address that --allow-net does not name, and leaves nothing", async () => {
  await using host = new DenoHost();
  const local = { address: IpAddress.parse("203.0.113.7"), port: 0 };
  const listener = host.listenTcp(local, { hostAccepted: () => null, hostAcceptFailed() {} });
  assertEquals(listener, "notPermitted");
  assertEquals(host.bindUdp(local, { hostDatagram() {}, hostDatagramFailed() {} }), "notPermitted");
  assertEquals(host.socketCount, 0);
});
