/**
 * The cases of `host_cases.ts` about how connections end.
 *
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { FAILED, READ, WOULD_BLOCK, WRITE } from "../../nat/host.ts";
import { assertSame, pattern } from "./bytes.ts";
import type { HostCapabilities, HostCase, RegisterCase } from "./host_cases.ts";
import { closeBoth, sendAll, type TcpOwner } from "./host_owner.ts";
import { readToEnd } from "./host_peers.ts";

const MIB = 1 << 20;

/** Registers them. */
export function hostClosingCases(hostCase: RegisterCase, capabilities: HostCapabilities): void {
  hostCase("writes 1 MiB after its peer's FIN", async (test) => {
    const [owner, peer] = await test.pair();
    const bytes = pattern(MIB);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await peer.closeWrite();
    await test.until("EOF", () => owner.lastRead === 0);
    sendAll(owner, bytes);
    assertSame(await readToEnd(peer), bytes);
    closeBoth(owner, peer);
  });

  hostCase("reads 1 MiB and EOF after its own FIN", async (test) => {
    const [owner, peer] = await test.pair();
    const bytes = pattern(MIB);
    owner.closeWrite();
    assertEquals(await peer.read(10), null);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await peer.write(bytes);
    await peer.closeWrite();
    await test.until("EOF", () => owner.lastRead === 0);
    assertSame(owner.bytes, bytes);
    closeBoth(owner, peer);
  });

  hostCase("gives bytes that came with the FIN before EOF, also to an owner that begins late", async (test) => {
    const [owner, peer] = await test.pair();
    await peer.write(Uint8Array.of(5, 6));
    await peer.closeWrite();
    peer.close();
    await test.settle();
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await test.until("EOF", () => owner.lastRead === 0);
    assertEquals(owner.bytes, Uint8Array.of(5, 6));
    owner.close();
  });

  hostCase("sends FIN after bytes that are not on their way yet", async (test) => {
    const [owner, peer] = await test.pair();
    const bytes = pattern(200_000);
    let taken = 0;
    for (let count; taken < bytes.length && (count = owner.write(bytes, taken)) > 0;) taken += count;
    owner.closeWrite();
    assertSame(await readToEnd(peer), bytes.subarray(0, taken));
    assertLess(0, taken);
    closeBoth(owner, peer);
  });

  hostCase("closes after bytes that are not on their way yet", async (test) => {
    const [owner, peer] = await test.pair();
    const bytes = pattern(200_000);
    let taken = 0;
    for (let count; taken < bytes.length && (count = owner.write(bytes, taken)) > 0;) taken += count;
    owner.close();
    await test.settle();
    assertSame(await readToEnd(peer), bytes.subarray(0, taken));
    peer.close();
  });

  hostCase("tells its peer's reset to a reader, after the bytes before it", async (test) => {
    const listener = await test.world.listenToReset();
    const owner = test.connect(listener.target);
    await test.until("connected", () => owner.told.length > 0);
    await listener.reset(Uint8Array.of(1, 2, 3));
    await test.settle();
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await test.until("failure", () => owner.lastRead === FAILED);
    assertEquals([owner.error, owner.bytes], ["reset", Uint8Array.of(1, 2, 3)]);
    owner.close();
    await listener.close();
  });

  hostCase("tells its peer's reset to a reader that waits for it", async (test) => {
    const listener = await test.world.listenToReset();
    const owner = test.connect(listener.target);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await test.until("connected", () => owner.told.length > 0);
    await listener.reset(new Uint8Array());
    await test.until("failure", () => owner.lastRead === FAILED);
    await test.settle();
    assertEquals([owner.error, owner.told], ["reset", ["connected", "readable"]]);
    owner.close();
    await listener.close();
  });

  hostCase("tells its peer's reset to a writer", async (test) => {
    const listener = await test.world.listenToReset();
    const owner = test.connect(listener.target);
    const bytes = new Uint8Array(65536);
    let last = WOULD_BLOCK;
    owner.onWritable = () => {
      last = owner.write(bytes);
      if (last === FAILED) owner.setInterest(0);
    };
    owner.setInterest(WRITE);
    await test.until("connected", () => owner.told.length > 0);
    await listener.reset(new Uint8Array());
    await test.until("failure", () => last === FAILED);
    assertEquals(owner.error, "reset");
    owner.close();
    await listener.close();
  });

  for (const length of [3, 30_000]) {
    hostCase(`gives the ${length} bytes before a reset to an owner whose write failed, then FAILED`, async (test) => {
      const listener = await test.world.listenToReset(), bytes = pattern(length);
      const owner = test.connect(listener.target);
      await test.until("connected", () => owner.told.length > 0);
      await listener.reset(bytes);
      await test.settle();
      // A host that writes ahead learns of it by a write that it has taken.
      await test.until("failure", () => owner.write(new Uint8Array(1)) === FAILED);
      await readToFailure(test, owner);
      assertSame(owner.bytes, bytes);
      assertEquals([owner.error, owner.read(), owner.write(bytes.subarray(0, 1))], ["reset", FAILED, FAILED]);
      const told = owner.told.length;
      await test.settle();
      assertEquals(owner.told.length, told);
      owner.close();
      await listener.close();
    });
  }

  hostCase("answers FAILED, and not EOF, behind a FIN when a write has failed", async (test) => {
    const listener = await test.world.listenToReset();
    const owner = test.connect(listener.target);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await test.until("connected", () => owner.told.length > 0);
    await listener.finish();
    await test.until("EOF", () => owner.lastRead === 0);
    await listener.reset(new Uint8Array());
    await test.until("failure", () => owner.write(new Uint8Array(1)) === FAILED);
    assertEquals(owner.read(), FAILED);
    owner.close();
    await listener.close();
  });

  hostCase(
    "tells its peer's reset once to an owner without interest, and answers FAILED from then on",
    async (test) => {
      const listener = await test.world.listenToReset();
      const owner = test.connect(listener.target);
      await test.until("connected", () => owner.told.length > 0);
      await listener.reset(new Uint8Array());
      // A host that neither reads nor writes ahead of its owner cannot learn of it.
      if (capabilities.resets) await test.until("failure", () => owner.told.includes("failed reset"));
      else await test.until("failure", () => owner.write(new Uint8Array(1)) === FAILED);
      await readToFailure(test, owner);
      const told = owner.told.length;
      assertEquals([owner.bytes.length, owner.write(new Uint8Array(1)), owner.error], [0, FAILED, "reset"]);
      owner.setInterest(READ | WRITE);
      await test.settle();
      assertEquals(owner.told.length, told);
      owner.close();
      await listener.close();
    },
  );

  hostCase("closes in order although bytes were not read, and its peer gets all of what was written", async (test) => {
    const [owner, peer] = await test.pair();
    // More than fits into the kernels' buffers, so that much of it is still to be sent.
    const bytes = pattern(8 * MIB);
    await peer.write(pattern(50_000));
    await test.settle();
    let taken = 0;
    for (let count; taken < bytes.length && (count = owner.write(bytes, taken)) > 0;) taken += count;
    owner.close();
    await test.settle();
    assertSame(await readToEnd(peer), bytes.subarray(0, taken));
    peer.close();
  });

  hostCase(
    capabilities.resets ? "resets so that its peer sees it" : "closes where a reset is asked for",
    async (test) => {
      const [owner, peer] = await test.pair();
      owner.setInterest(READ);
      await test.settle();
      owner.reset();
      const seen = await peer.read(10).catch((error: Error) => error.name);
      assertEquals(seen, capabilities.resets ? "ConnectionReset" : null);
      peer.close();
    },
  );

  hostCase("drops on reset what was not written", async (test) => {
    const [owner, peer] = await test.pair();
    const bytes = pattern(65536);
    let taken = 0;
    for (let i = 0; i < 5;) {
      const count = owner.write(bytes);
      taken += Math.max(count, 0);
      if (count > 0) continue;
      i++;
      await test.world.step();
    }
    owner.reset();
    await test.settle();
    let got = 0;
    try {
      for (let part; (part = await peer.read(MIB)) !== null;) got += part.length;
    } catch (error) {
      assert(error instanceof Deno.errors.ConnectionReset, `${error}`);
    }
    assert(got <= taken);
    peer.close();
  });

  hostCase("says nothing after close, though bytes and EOF come", async (test) => {
    const [owner, peer] = await test.pair();
    owner.setInterest(READ | WRITE);
    owner.close();
    const told = owner.told.length;
    assertEquals(await peer.read(10), null);
    await peer.write(Uint8Array.of(1)).catch(() => {});
    await test.settle();
    assertEquals(owner.told.length, told);
    peer.close();
  });

  hostCase("says nothing more when a handler closes, though it was writable too", async (test) => {
    const [owner, peer] = await test.pair();
    await peer.write(Uint8Array.of(1));
    await test.settle();
    owner.onReadable = owner.onWritable = () => owner.close();
    owner.setInterest(READ | WRITE);
    await test.until("a call", () => owner.told.length > 1);
    await test.settle();
    assertEquals(owner.told.length, 2);
    peer.close();
  });

  hostCase("can be closed from hostConnected", async (test) => {
    const listener = test.world.listen();
    const owner = test.connect(listener.target);
    owner.setInterest(READ | WRITE);
    owner.onConnected = () => owner.close();
    const peer = await listener.accept();
    assertEquals(await peer.read(1), null);
    assertEquals(owner.told, ["connected"]);
    peer.close();
    listener.close();
  });

  hostCase("disposed of with everything open leaves nothing and says nothing", async (test) => {
    const [owner, peer] = await test.pair();
    const [stuck, deafPeer] = await test.pair();
    while (stuck.write(pattern(65536)) > 0);
    owner.setInterest(READ);
    const listener = test.world.listen();
    const connecting = test.connect(listener.target);
    await test.world.host[Symbol.asyncDispose]();
    const told = test.owners.map((each) => each.told.length), turns = test.turns.count;
    await peer.write(Uint8Array.of(1)).catch(() => {});
    test.world.host.wake();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals([test.owners.map((each) => each.told.length), test.turns.count], [told, turns]);
    assertEquals(connecting.told, []);
    for (const each of [peer, deafPeer]) each.close();
    listener.close();
  });
}

/** Reads as the owner of a broken connection has to: no handler is called for what is left, but after `WOULD_BLOCK`. */
async function readToFailure(test: HostCase, owner: TcpOwner): Promise<void> {
  while (owner.lastRead !== FAILED) {
    const told = owner.told.length;
    if (owner.read(1000) !== WOULD_BLOCK) continue;
    owner.setInterest(READ);
    await test.until("readable", () => owner.told.length > told);
  }
}
