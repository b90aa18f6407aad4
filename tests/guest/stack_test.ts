import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type GuestConn, GuestStack, type GuestStackOptions } from "../../guest/mod.ts";
import { Gateway } from "../../mod.ts";
import { lossyLink } from "../../net/link/lossy.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { VirtualClock } from "../../net/link/virtual_clock.ts";
import { assertSame, pattern } from "../support/bytes.ts";
import { endpoint, FAMILIES, testFamilies as test, type TestFamily } from "../support/families.ts";
import { guestPair, targetOver } from "../support/guest_pair.ts";
import { eventually } from "../support/link_peer.ts";

async function writeAll(conn: GuestConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

async function readAll(conn: GuestConn): Promise<Uint8Array> {
  const parts: Uint8Array[] = [], buffer = new Uint8Array(65536);
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) parts.push(buffer.slice(0, n));
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

async function connected(
  stacks: { client: GuestStack; server: GuestStack },
  family: TestFamily,
): Promise<[GuestConn, GuestConn]> {
  const target = targetOver(family), accepted = stacks.server.listen(target.port).accept();
  return [await stacks.client.connect(target), await accepted];
}

for (const first of [0, 1] as const) {
  test(`GuestStack carries every byte over a network that loses frames, the ${["client", "server"][first]} closing first`, async (family) => {
    await using stacks = guestPair({ around: (link) => lossyLink(link, { seed: 3, loss: 0.02 }) });
    const ends = await connected(stacks, family),
      one = ends[first],
      other = ends[first ^ 1]!,
      bytes = pattern(300_000);
    const received = readAll(other);
    await writeAll(one, bytes);
    one.closeWrite();
    assertSame(await received, bytes);
    const answer = readAll(one);
    await writeAll(other, bytes);
    other.closeWrite();
    assertSame(await answer, bytes);
  });
}

test("GuestStack.connect gives up when its signal says so, and leaves no connection", async (family) => {
  const target = targetOver(family);
  const clock = new VirtualClock();
  await using stacks = guestPair({ around: (link) => lossyLink(link, { clock, loss: 1 }), client: { clock } });
  const abort = new AbortController();
  const connecting = stacks.client.connect({ ...target, signal: abort.signal });
  assertEquals(stacks.client.connections, 1);
  abort.abort(new RangeError("Not wanted any more"));
  await assertRejects(() => connecting, RangeError, "Not wanted any more");
  await assertRejects(() => stacks.client.connect({ ...target, signal: abort.signal }), RangeError);
  assertEquals(stacks.client.connections, 0);
});

test("GuestStack.connect leaves a connection alone whose signal comes after it is open", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  const abort = new AbortController(), accepted = stacks.server.listen(80).accept();
  const conn = await stacks.client.connect({ ...target, signal: abort.signal });
  abort.abort();
  await conn.write(Uint8Array.of(7));
  assertEquals(await (await accepted).read(new Uint8Array(9)), 1);
});

test("GuestStack.connect asks for the gateway each second, and ends after ten when nobody answers", async (family) => {
  const target = targetOver(family);
  const clock = new VirtualClock(), [left, right] = memoryLinkPair();
  let requests = 0;
  right.start({ receive: () => void requests++, flush() {}, closed() {} });
  await using stack = new GuestStack(left, { clock });
  const connecting = assertRejects(() => stack.connect(target), Deno.errors.TimedOut, endpoint(family.gateway, 80));
  for (let i = 0; i < 10; i++) {
    await eventually(`request ${i + 1}`, () => requests === i + 1);
    clock.advance(1000);
  }
  await connecting;
  assertEquals(stack.connections, 0);
});

test("GuestStack connects to a gateway that answers only the third request", async (family) => {
  const target = targetOver(family);
  const clock = new VirtualClock();
  let sent = 0;
  await using stacks = guestPair({
    client: { clock },
    around: (link) => {
      const send = link.send.bind(link);
      link.send = (frame) => ++sent < 3 || send(frame);
      return link;
    },
  });
  stacks.server.listen(80);
  const connecting = stacks.client.connect(target);
  clock.advance(2500);
  assertEquals((await connecting).state, "ESTABLISHED");
});

Deno.test("GuestStack does not begin on a link that has ended", async () => {
  const [link, end] = memoryLinkPair();
  await link.close();
  assertThrows(() => new GuestStack(end), Error, "it is closed");
});

test("GuestConn rejects what waits for it when the link ends in mid-transfer, and so does everything after", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  const [client, server] = await connected(stacks, family),
    udp = stacks.client.openUdp(0),
    listener = stacks.client.listen(9);
  const reading = assertRejects(() => readAll(client), Deno.errors.BadResource, "Link is closed");
  const writing = assertRejects(() => writeAll(server, new Uint8Array(8 << 20)), Deno.errors.BadResource);
  const receiving = assertRejects(() => udp.receive(), Deno.errors.BadResource, "Link is closed");
  const accepting = assertRejects(() => listener.accept(), Deno.errors.BadResource);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await stacks.link.close();
  await Promise.all([reading, writing, receiving, accepting]);
  await assertRejects(() => client.write(Uint8Array.of(1)), Deno.errors.BadResource);
  await assertRejects(() => stacks.client.connect(target), Deno.errors.BadResource, "Link is closed");
  assertThrows(() => stacks.client.listen(10), Deno.errors.BadResource);
  assertThrows(() => stacks.client.openUdp(0), Deno.errors.BadResource);
  assertEquals([stacks.client.connections, stacks.server.connections], [0, 0]);
});

test("GuestConn that its peer resets says so to whoever reads or writes", async (family) => {
  await using stacks = guestPair();
  const [client, server] = await connected(stacks, family);
  const reading = assertRejects(
    () => client.read(new Uint8Array(1)),
    Deno.errors.ConnectionReset,
    endpoint(family.gateway, 80),
  );
  server.abort();
  await reading;
  await assertRejects(() => client.write(Uint8Array.of(1)), Deno.errors.ConnectionReset);
  await assertRejects(() => server.read(new Uint8Array(1)), Deno.errors.ConnectionAborted);
});

test("GuestConn takes no more bytes once it has said its last", async (family) => {
  await using stacks = guestPair();
  const [client, server] = await connected(stacks, family);
  client.closeWrite();
  await assertRejects(
    () => client.write(Uint8Array.of(1)),
    Deno.errors.BrokenPipe,
    `Cannot write to ${endpoint(family.gateway, 80)}`,
  );
  await server.write(Uint8Array.of(1, 2));
  assertEquals([await server.read(new Uint8Array(9)), await client.read(new Uint8Array(9))], [null, 2]);
});

test("GuestConn whose peer falls silent is ended after the time that its limits allow", async (family) => {
  const clock = new VirtualClock();
  let silent = false;
  await using stacks = guestPair({
    client: { clock, tcp: { userTimeoutMs: 5000 } },
    around: (link) => {
      const send = link.send.bind(link);
      link.send = (frame) => silent || send(frame);
      return link;
    },
  });
  const [client] = await connected(stacks, family);
  silent = true;
  await client.write(new Uint8Array(1000));
  const reading = assertRejects(() => client.read(new Uint8Array(1)), Deno.errors.TimedOut, "does not answer");
  clock.advance(4000);
  assertEquals(client.state, "ESTABLISHED");
  clock.advance(60_000);
  await reading;
});

Deno.test("GuestStack.connect says when every dynamic port leads there already", async () => {
  const target = { hostname: "10.0.2.2", port: 80 };
  const clock = new VirtualClock(), [left, right] = memoryLinkPair();
  right.start({ receive() {}, flush() {}, closed() {} });
  const stack = new GuestStack(left, { clock });
  const all = Array.from({ length: 16384 }, () => stack.connect(target).catch((error) => error));
  await assertRejects(() => stack.connect(target), Deno.errors.AddrNotAvailable, "every dynamic one is in use");
  assertEquals(stack.connections, 16384);
  // To another port of the target each of them can be used again, and to its other address.
  const others = [{ ...target, port: 81 }, { ...target, hostname: "fd00::2" }].map((each) =>
    stack.connect(each).catch((error) => error)
  );
  assertEquals(stack.connections, 16386);
  await stack.close();
  for (const error of await Promise.all([...all, ...others])) assert(error instanceof Error);
});

Deno.test("GuestStack closes when its signal says so, and does not begin where it has", async () => {
  const [left, right] = memoryLinkPair(), abort = new AbortController();
  let ended = false;
  right.start({ receive() {}, flush() {}, closed: () => void (ended = true) });
  const stack = new GuestStack(left, { signal: abort.signal });
  const connecting = assertRejects(() => stack.connect({ hostname: "fd00::2", port: 80 }));
  abort.abort(new RangeError("Not wanted"));
  await connecting;
  assertEquals(ended, true);
  assertThrows(() => new GuestStack(memoryLinkPair()[0], { signal: abort.signal }), RangeError, "Not wanted");
});

Deno.test("GuestStack refuses addresses that are none, of the other family, or not of one host, and says which", () => {
  const cases: [GuestStackOptions, ErrorConstructor, string][] = [
    [{ address: "10.0.2" }, TypeError, 'Cannot parse IPv4 address: "10.0.2"'],
    [{ gateway: "" }, TypeError, "Cannot parse IPv4 address"],
    [{ address: "::1" }, TypeError, 'Cannot use address "::1": it is no IPv4 address'],
    [{ gateway: "fd00::2" }, TypeError, 'Cannot use gateway "fd00::2": it is no IPv4 address'],
    [{ address: "224.0.0.1" }, RangeError, 'Cannot use address "224.0.0.1": it is not the address of one host'],
    [{ gateway: "0.0.0.0" }, RangeError, "Cannot use gateway"],
    [{ address6: "fd00:::1" }, TypeError, 'Cannot parse IPv6 address: "fd00:::1"'],
    [{ address6: "[fd00::15]" }, TypeError, 'Cannot parse IPv6 address: "[fd00::15]"'],
    [{ gateway6: "fe80::2%eth0" }, TypeError, 'Cannot parse IPv6 address: "fe80::2%eth0"'],
    [{ address6: "10.0.2.15" }, TypeError, 'Cannot use address6 "10.0.2.15": it is no IPv6 address'],
    [{ gateway6: "::ffff:10.0.2.2" }, TypeError, 'Cannot use gateway6 "::ffff:10.0.2.2": it is no IPv6 address'],
    [{ address6: "::" }, RangeError, "Cannot use address6"],
    [{ gateway6: "ff02::2" }, RangeError, 'Cannot use gateway6 "ff02::2": it is not the address of one host'],
    [{ address: null, address6: null }, TypeError, "Cannot make a guest: it has neither address nor address6"],
  ];
  for (const [options, type, text] of cases) {
    assertThrows(() => new GuestStack(memoryLinkPair()[0], options), type, text);
  }
});

test("GuestStack.connect refuses names and ports that are none", async (family) => {
  await using stacks = guestPair();
  for (const hostname of ["localhost", "", `${family.gateway}%eth0`, `[${family.gateway}]`]) {
    await assertRejects(() => stacks.client.connect({ hostname, port: 80 }), TypeError, "Cannot parse");
  }
  for (const port of [0, 65536]) {
    const target = { hostname: family.gateway, port };
    await assertRejects(() => stacks.client.connect(target), RangeError, `Cannot use port ${port}`);
  }
});

test("GuestStack that has no such address says so at once, and reaches the other family", async (family) => {
  const options: GuestStackOptions = family.version === 4 ? { address: null } : { address6: null };
  await using stacks = guestPair({ client: options });
  const target = targetOver(family), text = `Cannot reach ${family.gateway}: the guest has no ${family.name} address`;
  await assertRejects(() => stacks.client.connect(target), Deno.errors.NetworkUnreachable, text);
  using socket = stacks.client.openUdp(0);
  await assertRejects(() => socket.send(Uint8Array.of(1), target), Deno.errors.NetworkUnreachable, text);
  assertEquals(stacks.client.connections, 0);
  const other = FAMILIES.find(({ version }) => version !== family.version)!;
  const [client] = await connected(stacks, other);
  assertEquals(client.remoteAddr, { transport: "tcp", hostname: other.gateway, port: 80 });
  // Nobody answers for an address that the guest does not have: its peer asks in vain.
  using server = stacks.server.openUdp(53);
  await server.send(Uint8Array.of(1), { hostname: family.guest, port: socket.port });
  await server.send(Uint8Array.of(2), { hostname: other.guest, port: socket.port });
  assertEquals((await socket.receive())[0], Uint8Array.of(2));
});

test("GuestStack behind a gateway has real time pass by while its own stands still", async (family) => {
  const clock = new VirtualClock(), [link, end] = memoryLinkPair();
  using server = Deno.listen({ hostname: family.loopback, port: 0 });
  await using gateway = await Gateway.start({ host: "deno", dns: "none" });
  await using _attached = gateway.attach(link);
  await using stack = new GuestStack(end, { clock });
  const accepted = server.accept(), conn = await stack.connect({ ...targetOver(family), port: server.addr.port });
  using peer = await accepted;
  const bytes = pattern(200_000), received = readAll(conn);
  await peer.write(bytes.subarray(0, 100_000));
  clock.advance(3_600_000);
  await peer.write(bytes.subarray(100_000));
  await peer.closeWrite();
  assertSame(await received, bytes);
});
