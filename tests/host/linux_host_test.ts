import { assert, assertEquals, assertGreater } from "@std/assert";
import { LinuxHost } from "../../host/linux_host.ts";
import { FAILED, READ, WOULD_BLOCK, WRITE } from "../../nat/host.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { cString, libc } from "../../net/linux/libc.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { assertNoDescriptorLeft, descriptorNumbers } from "../support/ffi_descriptors.ts";
import { TcpOwner, TurnCounter } from "../support/host_owner.ts";
import { requires } from "../support/requirements.ts";

const needs = requires("linux", "ffi");
const LOOPBACK = IpAddress.parse("127.0.0.1");
const SHUT_WR = 1, MSG_OOB = 1;

/** A connection of which both ends are moved by hand, without a loop that runs by itself. */
class Pair implements AsyncDisposable {
  readonly loop = new EventLoop();
  readonly host = new LinuxHost(this.loop);
  readonly turns = new TurnCounter(this.host);
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  owner!: TcpOwner;
  conn!: Deno.TcpConn;
  /** The descriptor of the runtime's end, for what the runtime cannot do to it, and at once. */
  peer = -1;

  async connect(): Promise<this> {
    this.owner = TcpOwner.connect(this.host, this.turns, { address: LOOPBACK, port: this.#listener.addr.port });
    this.run();
    assertEquals(this.owner.told, ["connected"]);
    this.owner.told.length = 0;
    const before = new Set(descriptorNumbers());
    this.conn = await this.#listener.accept();
    this.peer = descriptorNumbers().find((fd) => !before.has(fd))!;
    return this;
  }

  /** Runs turns until nothing is left to do. */
  run(): void {
    for (let quiet = 0; quiet < 2;) {
      const told = this.owner.told.length;
      this.loop.runBlocking(performance.now() + 1);
      quiet = this.owner.told.length === told ? quiet + 1 : 0;
    }
  }

  send(text: string, flags = 0): void {
    const bytes = new TextEncoder().encode(text);
    assertEquals(libc().send(this.peer, bytes, BigInt(bytes.length), flags), bytes.length);
  }

  shutdown(): void {
    assertEquals(libc().shutdown(this.peer, SHUT_WR), 0);
  }

  /** A RST and nothing before it: the runtime's `close` would send FIN first. */
  reset(): void {
    assertEquals(libc().connect(this.peer, new Uint8Array(16), 16), 0); // AF_UNSPEC
    this.conn.close();
    this.peer = -1;
  }

  get text(): string {
    return new TextDecoder().decode(this.owner.bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.peer >= 0) this.conn.close();
    this.#listener.close();
    await this.host[Symbol.asyncDispose]();
    await this.loop[Symbol.asyncDispose]();
    assertEquals(this.owner.violations, []);
  }
}

function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name: `LinuxHost ${name}${needs.reason}`, ignore: needs.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

test("sees an end that was there with the bytes, though the read was short", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair, reads: number[] = [];
  owner.onReadable = () => {
    reads.push(owner.read());
    if (owner.lastRead === 0) owner.setInterest(0);
  };
  pair.send("0123456789");
  pair.shutdown();
  owner.setInterest(READ);
  pair.run();
  assertEquals(reads, [10, 0]);
});

test("sees an end that comes between the event and a short read", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair, reads: number[] = [];
  owner.onReadable = () => {
    if (reads.length === 0) pair.shutdown();
    reads.push(owner.read());
    if (owner.lastRead === 0) owner.setInterest(0);
  };
  pair.send("0123456789");
  owner.setInterest(READ);
  pair.run();
  assertEquals(reads, [10, 0]);
});

test("sees an end and bytes that come right after a short read", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair, reads: number[] = [];
  owner.onReadable = () => {
    reads.push(owner.read());
    if (reads.length === 1) pair.send("more");
    if (reads.length === 2) pair.shutdown();
    if (owner.lastRead === 0) owner.setInterest(0);
  };
  pair.send("0123456789");
  owner.setInterest(READ);
  pair.run();
  assertEquals(reads, [10, 4, 0]);
});

test("calls an owner that read exactly what was there once more, and then not again", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair, reads: number[] = [];
  owner.onReadable = () => void reads.push(owner.read(10));
  pair.send("0123456789");
  owner.setInterest(READ);
  pair.run();
  assertEquals(reads, [10, WOULD_BLOCK]);
  pair.run();
  assertEquals(reads, [10, WOULD_BLOCK]);
});

test("tells the end once to an owner that keeps its interest", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair;
  owner.onReadable = () => void owner.read();
  owner.setInterest(READ);
  pair.shutdown();
  pair.run();
  pair.run();
  assertEquals(owner.told, ["readable"]);
});

test("keeps urgent bytes in the stream and does not stop at their mark", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair;
  owner.onReadable = () => void owner.read();
  owner.setInterest(READ);
  pair.send("before");
  pair.send("!", MSG_OOB);
  pair.send("behind");
  pair.run();
  assertEquals(pair.text, "before!behind");
  pair.send("once");
  pair.send("?", MSG_OOB);
  pair.send("more");
  pair.run();
  assertEquals(pair.text, "before!behindonce?more");
});

test("tells a reset to an owner without interest", async () => {
  await using pair = await new Pair().connect();
  pair.reset();
  pair.run();
  pair.run();
  assertEquals(pair.owner.told, ["failed reset"]);
  assertEquals([pair.owner.read(), pair.owner.error], [FAILED, "reset"]);
});

test("holds a reset back behind bytes that an owner without interest has not read", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair;
  pair.send("last words");
  pair.reset();
  pair.run();
  assertEquals(owner.told, []);
  owner.onReadable = () => owner.readAll();
  owner.setInterest(READ);
  pair.run();
  assertEquals([pair.text, owner.lastRead, owner.error], ["last words", FAILED, "reset"]);
});

test("tells a reset that comes after the end to an owner that still waits to read", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair;
  owner.onReadable = () => void owner.read();
  owner.setInterest(READ);
  pair.shutdown();
  pair.run();
  assertEquals([owner.told, owner.lastRead], [["readable"], 0]);
  pair.reset();
  pair.run();
  assertEquals(owner.told, ["readable", "failed reset"]);
});

test("gives bytes that the kernel holds after a write has failed, and never an end", async () => {
  await using pair = await new Pair().connect();
  const { owner } = pair;
  pair.send("last words");
  pair.reset();
  assertEquals(owner.write(new Uint8Array(10)), FAILED);
  assertEquals(owner.error, "reset");
  assertEquals([owner.read(), pair.text], [10, "last words"]);
  assertEquals(owner.read(), FAILED);
  pair.run();
  assertEquals(owner.told, []);
});

test("tells what is known at once only after connectTcp has returned", async () => {
  await using loop = new EventLoop();
  await using host = new LinuxHost(loop);
  const turns = new TurnCounter(host);
  // The kernel refuses to connect TCP to a group and sends nothing.
  const owner = TcpOwner.connect(host, turns, { address: IpAddress.parse("224.0.0.1"), port: 9 });
  assertEquals(owner.told, []);
  loop.runBlocking(performance.now() + 1);
  assertEquals(owner.told, ["connectFailed networkUnreachable"]);
  const closed = TcpOwner.connect(host, turns, { address: IpAddress.parse("224.0.0.1"), port: 9 });
  closed.close();
  loop.runBlocking(performance.now() + 1);
  assertEquals(closed.told, []);
  assertEquals([...owner.violations, ...closed.violations], []);
});

test("takes a write in parts while the peer does not read, and nothing of it is lost", async () => {
  await using pair = await new Pair().connect();
  const { owner, conn } = pair, part = new Uint8Array(65536).map((_, i) => i * 31 + (i >> 8));
  let taken = 0, short = 0;
  owner.onWritable = () => {
    const count = owner.write(part, taken % part.length);
    if (count === WOULD_BLOCK) return;
    if (count < part.length - taken % part.length) short++;
    taken += count;
  };
  owner.setInterest(WRITE);
  for (let before = -1; taken > before;) {
    before = taken;
    pair.run();
  }
  assertGreater(taken, part.length);
  assertGreater(short + owner.told.length, 0);
  const full = taken, told = owner.told.length;
  pair.run();
  assertEquals([taken, owner.told.length], [full, told]); // Nobody reads, so nobody is called.

  const bytes = new Uint8Array(1 << 20);
  let received = 0, wrong = 0;
  while (received < full + part.length * 4) {
    const count = (await conn.read(bytes))!;
    for (let i = 0; i < count; i++) if (bytes[i] !== part[(received + i) % part.length]) wrong++;
    received += count;
    pair.run();
  }
  assertEquals(wrong, 0);
  assertGreater(taken, full);
});

Deno.test({
  name: `LinuxHost without descriptors left fails one flow, and serves the next${requires("ffi", "prlimit").reason}`,
  ignore: requires("ffi", "prlimit").ignore,
  fn: () => assertNoDescriptorLeft(testExhaustion),
});

async function testExhaustion(): Promise<void> {
  const limit = async (soft: string) => {
    const args = ["--pid", `${Deno.pid}`, `--nofile=${soft}:`];
    const { success } = await new Deno.Command("prlimit", { args }).output();
    assert(success);
  };
  const { stdout } = await new Deno.Command("prlimit", {
    args: ["--pid", `${Deno.pid}`, "--nofile", "--noheadings", "--output", "SOFT"],
  }).output();
  await using pair = await new Pair().connect();
  const { host, turns, loop } = pair;
  const port = (pair.conn.localAddr as Deno.NetAddr).port;
  await limit("300");
  const fill: number[] = [];
  let failed: TcpOwner, udp: unknown;
  try {
    for (let fd = 0; fd >= 0;) if ((fd = libc().open(cString("/dev/null"), 0)) >= 0) fill.push(fd);
    failed = TcpOwner.connect(host, turns, { address: LOOPBACK, port });
    udp = host.openUdp(4, { hostDatagram() {}, hostDatagramFailed() {} });
  } finally {
    for (const fd of fill) libc().close(fd);
    await limit(new TextDecoder().decode(stdout).trim());
  }
  assertEquals(failed.told, []);
  pair.run();
  assertEquals(failed.told, ["connectFailed exhausted"]);
  assertEquals(udp, "exhausted");
  const next = TcpOwner.connect(host, turns, { address: LOOPBACK, port });
  loop.runBlocking(performance.now() + 1);
  assertEquals(next.told, ["connected"]);
  assertEquals([...failed.violations, ...next.violations], []);
}

test("disposed of closes what is connecting, open and ended, and the next host begins anew", async () => {
  for (let round = 0; round < 3; round++) {
    await using pair = await new Pair().connect();
    const port = (pair.conn.localAddr as Deno.NetAddr).port;
    for (let i = 0; i < 20; i++) TcpOwner.connect(pair.host, pair.turns, { address: LOOPBACK, port });
    pair.host.openUdp(4, { hostDatagram() {}, hostDatagramFailed() {} });
    pair.shutdown();
    if (round > 0) pair.run();
    if (round > 1) pair.reset();
  }
});
