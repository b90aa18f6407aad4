import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { testFamilies as test } from "../support/families.ts";
import { guestPair, targetOver } from "../support/guest_pair.ts";

test("GuestListener accepts connections in their order, before and after they are asked for", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  const listener = stacks.server.listen(80), first = listener.accept();
  const one = await stacks.client.connect(target), two = await stacks.client.connect(target);
  await one.write(Uint8Array.of(1));
  await two.write(Uint8Array.of(2));
  const buffer = new Uint8Array(1);
  for (const [i, conn] of [await first, await listener.accept()].entries()) {
    assertEquals([await conn.read(buffer), buffer[0]], [1, i + 1]);
  }
});

test("GuestStack.listen finds a free port for 0, and refuses one that is none", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  const one = stacks.server.listen(0), other = stacks.server.listen(0);
  assertEquals([one.port >= 49152, one.port !== other.port], [true, true]);
  const accepted = one.accept(), conn = await stacks.client.connect({ ...target, port: one.port });
  assertEquals((await accepted).remoteAddr, conn.localAddr);
  assertEquals((await accepted).localAddr, conn.remoteAddr);
  for (const port of [-1, 65536, 1.5, NaN]) assertThrows(() => stacks.server.listen(port), RangeError, `port ${port}:`);
});

test("GuestStack refuses a port that nobody listens on, at once", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  await assertRejects(() => stacks.client.connect(target), Deno.errors.ConnectionRefused);
  assertEquals([stacks.client.connections, stacks.server.connections], [0, 0]);
});

test("GuestStack.listen takes each port once, and again when it is free", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  const listener = stacks.server.listen(80);
  assertThrows(() => stacks.server.listen(80), Deno.errors.AddrInUse, "Cannot listen on port 80: it is in use");
  listener.close();
  stacks.server.listen(80).close();
  await assertRejects(() => stacks.client.connect(target), Deno.errors.ConnectionRefused);
});

test("GuestListener refuses the connection for which there is no room, and takes others once there is", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  const listener = stacks.server.listen(80);
  for (let i = 0; i < 128; i++) await stacks.client.connect(target);
  await assertRejects(() => stacks.client.connect(target), Deno.errors.ConnectionRefused);
  await listener.accept();
  await stacks.client.connect(target);
  assertEquals(stacks.server.connections, 129);
});

test("GuestListener that is closed resets who waits, rejects accept and ends the iteration", async (family) => {
  const target = targetOver(family);
  await using stacks = guestPair();
  const listener = stacks.server.listen(80), waiting = await stacks.client.connect(target);
  await listener.accept();
  const pending = listener.accept();
  const late = await stacks.client.connect(target);
  await pending;
  const unserved = await stacks.client.connect(target);
  listener.close();
  listener.close();
  await assertRejects(() => unserved.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  await assertRejects(() => listener.accept(), Deno.errors.BadResource);
  for await (const _conn of listener) throw new Error("There is no further connection");
  assertEquals([waiting.state, late.state], ["ESTABLISHED", "ESTABLISHED"]);
});
