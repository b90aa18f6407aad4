import { assert, assertEquals, assertRejects } from "@std/assert";
import { LinuxHost } from "../../forward/linux_host.ts";
import type { HostListener, HostListenHandler } from "../../nat/host.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { cString, libc } from "../../net/linux/libc.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { assertNoDescriptorLeft } from "../support/ffi_descriptors.ts";
import { requires } from "../support/requirements.ts";

const needs = requires("linux", "ffi");
const limits = requires("linux", "ffi", "prlimit");
const LOOPBACK = IpAddress.parse("127.0.0.1");

/** A listener whose loop is moved by hand and whose clients are closed when they are accepted. */
class Door implements HostListenHandler, AsyncDisposable {
  readonly loop = new EventLoop();
  readonly host = new LinuxHost(this.loop);
  readonly listener: HostListener;
  accepted = 0;
  readonly failed: string[] = [];

  constructor() {
    const listener = this.host.listenTcp({ address: LOOPBACK, port: 0 }, this);
    assert(typeof listener !== "string");
    this.listener = listener;
  }

  hostAccepted(socket: { close(): void }): null {
    this.accepted++;
    socket.close();
    return null;
  }

  hostAcceptFailed(error: string): void {
    this.failed.push(error);
  }

  run(): void {
    this.loop.runBlocking(performance.now() + 1);
  }

  connect(): Promise<Deno.TcpConn> {
    return Deno.connect({ hostname: "127.0.0.1", port: this.listener.local.port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    await this.loop[Symbol.asyncDispose]();
  }
}

async function limitDescriptors(soft: string): Promise<void> {
  const args = ["--pid", `${Deno.pid}`, `--nofile=${soft}:`];
  assert((await new Deno.Command("prlimit", { args }).output()).success);
}

Deno.test({
  name: `LinuxListener without descriptors left resets each client that waits, and accepts the next${limits.reason}`,
  ignore: limits.ignore,
  fn: () => assertNoDescriptorLeft(testExhaustion),
});

async function testExhaustion(): Promise<void> {
  const { stdout } = await new Deno.Command("prlimit", {
    args: ["--pid", `${Deno.pid}`, "--nofile", "--noheadings", "--output", "SOFT"],
  }).output();
  await using door = new Door();
  const clients = await Promise.all(Array.from({ length: 5 }, () => door.connect()));
  await limitDescriptors("300");
  const fill: number[] = [];
  try {
    for (let fd = 0; fd >= 0;) if ((fd = libc().open(cString("/dev/null"), 0)) >= 0) fill.push(fd);
    door.run();
  } finally {
    for (const fd of fill) libc().close(fd);
    await limitDescriptors(new TextDecoder().decode(stdout).trim());
  }
  assertEquals([door.accepted, door.failed], [0, Array(5).fill("exhausted")]);
  for (const client of clients) {
    await assertRejects(() => client.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
    client.close();
  }
  const next = await door.connect();
  door.run();
  assertEquals([door.accepted, door.failed.length], [1, 5]);
  next.close();
}

Deno.test({
  name: `LinuxListener takes the last descriptor for a client and does not call that a failure${limits.reason}`,
  ignore: limits.ignore,
  fn: () =>
    assertNoDescriptorLeft(async () => {
      const { stdout } = await new Deno.Command("prlimit", {
        args: ["--pid", `${Deno.pid}`, "--nofile", "--noheadings", "--output", "SOFT"],
      }).output();
      await using door = new Door();
      const client = await door.connect();
      await limitDescriptors("300");
      const fill: number[] = [];
      try {
        for (let fd = 0; fd >= 0;) if ((fd = libc().open(cString("/dev/null"), 0)) >= 0) fill.push(fd);
        libc().close(fill.pop()!);
        door.run();
      } finally {
        for (const fd of fill) libc().close(fd);
        await limitDescriptors(new TextDecoder().decode(stdout).trim());
      }
      assertEquals([door.accepted, door.failed], [1, []]);
      client.close();
    }),
});

Deno.test({
  name: `LinuxHost answers addressNotAvailable for an address of nobody here, and leaves nothing${needs.reason}`,
  ignore: needs.ignore,
  fn: () =>
    assertNoDescriptorLeft(async () => {
      await using door = new Door();
      const local = { address: IpAddress.parse("203.0.113.7"), port: 0 };
      assertEquals(door.host.listenTcp(local, door), "addressNotAvailable");
      assertEquals(
        door.host.bindUdp(local, { hostDatagram() {}, hostDatagramFailed() {} }),
        "addressNotAvailable",
      );
    }),
});

Deno.test({
  name: `LinuxHost disposed of closes its listeners and resets who waits at them${needs.reason}`,
  ignore: needs.ignore,
  fn: () =>
    assertNoDescriptorLeft(async () => {
      const door = new Door();
      const client = await door.connect();
      await door[Symbol.asyncDispose]();
      await assertRejects(() => client.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
      client.close();
      await assertRejects(() => door.connect(), Deno.errors.ConnectionRefused);
    }),
});
