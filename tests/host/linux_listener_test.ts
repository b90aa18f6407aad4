import { assert, assertEquals, assertRejects } from "@std/assert";
import { LinuxHost } from "../../host/linux_host.ts";
import type { HostListener, HostListenHandler } from "../../nat/host.ts";
import { REST_MS } from "../../net/linux/acceptor.ts";
import { KEPT } from "../../net/linux/descriptors.ts";
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

  run(ms = 1): void {
    this.loop.runBlocking(performance.now() + ms);
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

/** Runs `body` while this process may have 300 descriptors, of which all but `free` are taken. */
async function withFewDescriptors(free: number, body: (release: (count: number) => void) => void): Promise<void> {
  const { stdout } = await new Deno.Command("prlimit", {
    args: ["--pid", `${Deno.pid}`, "--nofile", "--noheadings", "--output", "SOFT"],
  }).output();
  await limitDescriptors("300");
  const fill: number[] = [];
  const release = (count: number) => fill.splice(-count).forEach((fd) => libc().close(fd));
  try {
    for (let fd = 0; fd >= 0;) if ((fd = libc().open(cString("/dev/null"), 0)) >= 0) fill.push(fd);
    if (free > 0) release(free);
    body(release);
  } finally {
    for (const fd of fill) libc().close(fd);
    await limitDescriptors(new TextDecoder().decode(stdout).trim());
  }
}

function limitTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name}${limits.reason}`, ignore: limits.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

limitTest(
  "LinuxListener resets each client that would take a descriptor which is kept, and accepts the next",
  async () => {
    await using door = new Door();
    const clients = await Promise.all(Array.from({ length: 5 }, () => door.connect()));
    await withFewDescriptors(KEPT, () => door.run());
    assertEquals([door.accepted, door.failed], [0, Array(5).fill("exhausted")]);
    for (const client of clients) {
      await assertRejects(() => client.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
      client.close();
    }
    const next = await door.connect();
    door.run();
    assertEquals([door.accepted, door.failed.length], [1, 5]);
    next.close();
  },
);

limitTest(
  "LinuxListener without any descriptor lets clients wait, tells it once, and takes them when there are some",
  async () => {
    await using door = new Door();
    const clients = await Promise.all(Array.from({ length: 5 }, () => door.connect()));
    await withFewDescriptors(0, (release) => {
      for (let i = 0; i < 5; i++) door.run(REST_MS);
      assertEquals([door.accepted, door.failed], [0, ["exhausted"]]);
      release(KEPT + 10);
      door.run(2 * REST_MS);
      assertEquals([door.accepted, door.failed], [5, ["exhausted"]]);
    });
    for (const client of clients) client.close();
  },
);

limitTest("LinuxListener does not turn its loop while it cannot accept who waits", async () => {
  await using door = new Door();
  const client = await door.connect();
  await withFewDescriptors(0, () => {
    let turns = 0;
    const end = door.loop.onTurnEnd(() => {
      turns++;
      return Infinity;
    });
    door.run(5 * REST_MS);
    end();
    assert(turns <= 10, `${turns} turns`);
  });
  client.close();
});

limitTest("LinuxListener takes the last descriptor that is not kept, and does not call that a failure", async () => {
  await using door = new Door();
  const client = await door.connect();
  await withFewDescriptors(KEPT + 1, () => door.run());
  assertEquals([door.accepted, door.failed], [1, []]);
  client.close();
});

limitTest("LinuxHost opens no socket of a flow that would take a descriptor which is kept", async () => {
  await using door = new Door();
  const udp = { hostDatagram() {}, hostDatagramFailed() {} };
  const failed: string[] = [];
  const tcp = {
    hostConnected: () => void failed.push("connected"),
    hostConnectFailed: (error: string) => void failed.push(error),
    hostReadable() {},
    hostWritable() {},
    hostFailed() {},
  };
  await withFewDescriptors(KEPT, (release) => {
    assertEquals(door.host.openUdp(4, udp), "exhausted");
    assertEquals(door.host.openUdp(6, udp), "exhausted");
    assertEquals(door.host.openPing(6, { hostEchoReply() {}, hostEchoFailed() {} }), "exhausted");
    door.host.connectTcp(door.listener.local, tcp);
    door.run();
    assertEquals(failed, ["exhausted"]);
    release(1);
    const socket = door.host.openUdp(4, udp);
    assert(typeof socket !== "string");
    socket.close();
  });
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
