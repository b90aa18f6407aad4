import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type GuestConn, GuestStack } from "../../guest/mod.ts";
import { Gateway } from "../../mod.ts";
import { lossyLink } from "../../net/link/lossy.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { VirtualClock } from "../../net/link/virtual_clock.ts";
import { assertSame, pattern } from "../support/bytes.ts";
import { guestPair, TARGET } from "../support/guest_pair.ts";

async function writeAll(conn: GuestConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

async function readAll(conn: GuestConn): Promise<Uint8Array> {
  const parts: Uint8Array[] = [], buffer = new Uint8Array(65536);
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) parts.push(buffer.slice(0, n));
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

async function connected(stacks: { client: GuestStack; server: GuestStack }): Promise<[GuestConn, GuestConn]> {
  const accepted = stacks.server.listen(TARGET.port).accept();
  return [await stacks.client.connect(TARGET), await accepted];
}

for (const first of [0, 1] as const) {
  Deno.test(`GuestStack carries every byte over a network that loses frames, the ${["client", "server"][first]} closing first`, async () => {
    await using stacks = guestPair({ around: (link) => lossyLink(link, { seed: 3, loss: 0.02 }) });
    const ends = await connected(stacks), one = ends[first], other = ends[first ^ 1]!, bytes = pattern(300_000);
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

Deno.test("GuestStack.connect gives up when its signal says so, and leaves no connection", async () => {
  const clock = new VirtualClock();
  await using stacks = guestPair({ around: (link) => lossyLink(link, { clock, loss: 1 }), client: { clock } });
  const abort = new AbortController();
  const connecting = stacks.client.connect({ ...TARGET, signal: abort.signal });
  assertEquals(stacks.client.connections, 1);
  abort.abort(new RangeError("Not wanted any more"));
  await assertRejects(() => connecting, RangeError, "Not wanted any more");
  await assertRejects(() => stacks.client.connect({ ...TARGET, signal: abort.signal }), RangeError);
  assertEquals(stacks.client.connections, 0);
});

Deno.test("GuestStack.connect leaves a connection alone whose signal comes after it is open", async () => {
  await using stacks = guestPair();
  const abort = new AbortController(), accepted = stacks.server.listen(80).accept();
  const conn = await stacks.client.connect({ ...TARGET, signal: abort.signal });
  abort.abort();
  await conn.write(Uint8Array.of(7));
  assertEquals(await (await accepted).read(new Uint8Array(9)), 1);
});

Deno.test("GuestStack.connect asks for the gateway each second, and ends after ten when nobody answers", async () => {
  const clock = new VirtualClock(), [left, right] = memoryLinkPair();
  let requests = 0;
  right.start({ receive: () => void requests++, flush() {}, closed() {} });
  await using stack = new GuestStack(left, { clock });
  const connecting = assertRejects(() => stack.connect(TARGET), Deno.errors.TimedOut, "10.0.2.2:80");
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(requests, i + 1);
    clock.advance(1000);
  }
  await connecting;
  assertEquals(stack.connections, 0);
});

Deno.test("GuestStack connects to a gateway that answers only the third request", async () => {
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
  const connecting = stacks.client.connect(TARGET);
  clock.advance(2500);
  assertEquals((await connecting).state, "ESTABLISHED");
});

Deno.test("GuestStack does not begin on a link that has ended", async () => {
  const [link, end] = memoryLinkPair();
  await link.close();
  assertThrows(() => new GuestStack(end), Error, "it is closed");
});

Deno.test("GuestConn rejects what waits for it when the link ends in mid-transfer, and so does everything after", async () => {
  await using stacks = guestPair();
  const [client, server] = await connected(stacks), udp = stacks.client.openUdp(0), listener = stacks.client.listen(9);
  const reading = assertRejects(() => readAll(client), Deno.errors.BadResource, "Link is closed");
  const writing = assertRejects(() => writeAll(server, new Uint8Array(8 << 20)), Deno.errors.BadResource);
  const receiving = assertRejects(() => udp.receive(), Deno.errors.BadResource, "Link is closed");
  const accepting = assertRejects(() => listener.accept(), Deno.errors.BadResource);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await stacks.link.close();
  await Promise.all([reading, writing, receiving, accepting]);
  await assertRejects(() => client.write(Uint8Array.of(1)), Deno.errors.BadResource);
  await assertRejects(() => stacks.client.connect(TARGET), Deno.errors.BadResource, "Link is closed");
  assertThrows(() => stacks.client.listen(10), Deno.errors.BadResource);
  assertThrows(() => stacks.client.openUdp(0), Deno.errors.BadResource);
  assertEquals([stacks.client.connections, stacks.server.connections], [0, 0]);
});

Deno.test("GuestConn that its peer resets says so to whoever reads or writes", async () => {
  await using stacks = guestPair();
  const [client, server] = await connected(stacks);
  const reading = assertRejects(() => client.read(new Uint8Array(1)), Deno.errors.ConnectionReset, "10.0.2.2:80");
  server.abort();
  await reading;
  await assertRejects(() => client.write(Uint8Array.of(1)), Deno.errors.ConnectionReset);
  await assertRejects(() => server.read(new Uint8Array(1)), Deno.errors.ConnectionAborted);
});

Deno.test("GuestConn takes no more bytes once it has said its last", async () => {
  await using stacks = guestPair();
  const [client, server] = await connected(stacks);
  client.closeWrite();
  await assertRejects(() => client.write(Uint8Array.of(1)), Deno.errors.BrokenPipe, "Cannot write to 10.0.2.2:80");
  await server.write(Uint8Array.of(1, 2));
  assertEquals([await server.read(new Uint8Array(9)), await client.read(new Uint8Array(9))], [null, 2]);
});

Deno.test("GuestConn whose peer falls silent is ended after the time that its limits allow", async () => {
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
  const [client] = await connected(stacks);
  silent = true;
  await client.write(new Uint8Array(1000));
  const reading = assertRejects(() => client.read(new Uint8Array(1)), Deno.errors.TimedOut, "does not answer");
  clock.advance(4000);
  assertEquals(client.state, "ESTABLISHED");
  clock.advance(60_000);
  await reading;
});

Deno.test("GuestStack.connect says when every dynamic port leads there already", async () => {
  const clock = new VirtualClock(), [left, right] = memoryLinkPair();
  right.start({ receive() {}, flush() {}, closed() {} });
  const stack = new GuestStack(left, { clock });
  const all = Array.from({ length: 16384 }, () => stack.connect(TARGET).catch((error) => error));
  await assertRejects(() => stack.connect(TARGET), Deno.errors.AddrNotAvailable, "every dynamic one is in use");
  assertEquals(stack.connections, 16384);
  // To another port of the target each of them can be used again.
  const other = stack.connect({ ...TARGET, port: 81 }).catch((error) => error);
  await stack.close();
  for (const error of [...await Promise.all(all), await other]) assert(error instanceof Error);
});

Deno.test("GuestStack closes when its signal says so, and does not begin where it has", async () => {
  const [left, right] = memoryLinkPair(), abort = new AbortController();
  let ended = false;
  right.start({ receive() {}, flush() {}, closed: () => void (ended = true) });
  const stack = new GuestStack(left, { signal: abort.signal });
  const connecting = assertRejects(() => stack.connect(TARGET));
  abort.abort(new RangeError("Not wanted"));
  await connecting;
  assertEquals(ended, true);
  assertThrows(() => new GuestStack(memoryLinkPair()[0], { signal: abort.signal }), RangeError, "Not wanted");
});

Deno.test("GuestStack refuses addresses and ports that are none", async () => {
  assertThrows(() => new GuestStack(memoryLinkPair()[0], { address: "::1" }), TypeError, "::1");
  assertThrows(() => new GuestStack(memoryLinkPair()[0], { gateway: "10.0.2" }), TypeError, "10.0.2");
  await using stacks = guestPair();
  for (const hostname of ["::1", "localhost", ""]) {
    await assertRejects(() => stacks.client.connect({ hostname, port: 80 }), TypeError, "Cannot parse IPv4 address");
  }
  for (const port of [0, 65536]) {
    await assertRejects(() => stacks.client.connect({ ...TARGET, port }), RangeError, `Cannot use port ${port}`);
  }
});

Deno.test("GuestStack behind a gateway has real time pass by while its own stands still", async () => {
  const clock = new VirtualClock(), [link, end] = memoryLinkPair();
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using gateway = await Gateway.start({ host: "deno", dns: "none" });
  await using _attached = gateway.attach(link);
  await using stack = new GuestStack(end, { clock });
  const accepted = server.accept(), conn = await stack.connect({ hostname: "10.0.2.2", port: server.addr.port });
  using peer = await accepted;
  const bytes = pattern(200_000), received = readAll(conn);
  await peer.write(bytes.subarray(0, 100_000));
  clock.advance(3_600_000);
  await peer.write(bytes.subarray(100_000));
  await peer.closeWrite();
  assertSame(await received, bytes);
});
