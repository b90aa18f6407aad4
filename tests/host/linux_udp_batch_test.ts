import { assertEquals } from "@std/assert";
import { LinuxHost } from "../../host/linux_host.ts";
import { MOST_SEGMENTS } from "../../host/linux_udp_batch.ts";
import type { HostEndpoint, HostUdpSocket } from "../../nat/host.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { type Libc, libc } from "../../net/linux/libc.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { assertNoDescriptorLeft } from "../support/ffi_descriptors.ts";
import { requires } from "../support/requirements.ts";

const needs = requires("linux", "ffi");
const LOOPBACK = IpAddress.parse("127.0.0.1");

/**
 * A host whose turns are run by hand, receivers of what it sends, and the calls of the kernel that it makes for that.
 */
class Sender implements AsyncDisposable {
  readonly loop = new EventLoop();
  readonly host = new LinuxHost(this.loop);
  /** What each receiver got: a length and the first byte, a datagram. */
  readonly received: string[][] = [];
  /** What failed. */
  readonly failed: string[] = [];
  /** `sendto` and `sendmsg` since last asked. */
  readonly calls: string[] = [];
  /** Set to have the kernel refuse a call. */
  refuses: (call: "sendto" | "sendmsg") => boolean = () => false;
  #atTurn: (() => void) | undefined;
  readonly #libc: Libc = libc();
  readonly #sendto = this.#libc.sendto;
  readonly #sendmsg = this.#libc.sendmsg;

  constructor() {
    this.host.start(() => {
      this.#atTurn?.();
      this.#atTurn = undefined;
      return Infinity;
    });
    this.#libc.sendto = (...words) => this.#call("sendto", () => this.#sendto(...words));
    this.#libc.sendmsg = (...words) => this.#call("sendmsg", () => this.#sendmsg(...words));
  }

  open(): HostUdpSocket {
    const failed = this.failed;
    return this.host.openUdp(4, {
      hostDatagram() {},
      hostDatagramFailed: (error, to) => void failed.push(`${error} ${to.port === this.to(0).port ? 0 : 1}`),
    }) as HostUdpSocket;
  }

  /** The address of receiver `i`, the same object each time. */
  to(i: number): HostEndpoint {
    return this.#targets[i] ??= this.#listen(i);
  }
  readonly #targets: HostEndpoint[] = [];

  #listen(i: number): HostEndpoint {
    const got: string[] = this.received[i] = [];
    const socket = this.host.bindUdp({ address: LOOPBACK, port: 0 }, {
      hostDatagram: (bytes, start, end) => void got.push(`${end - start}:${start === end ? "" : bytes[start]}`),
      hostDatagramFailed() {},
    });
    if (typeof socket === "string") throw new Error(socket);
    return socket.local;
  }

  /** Does it in a turn, at whose end what is sent must leave; then waits for what arrives. */
  turn(deed: () => void): void {
    this.#atTurn = deed;
    this.calls.length = 0;
    this.loop.requestTurn();
    for (let quiet = 0, seen = -1; quiet < 3;) {
      this.loop.runBlocking(performance.now() + 1);
      const now = this.received.flat().length + this.failed.length;
      quiet = now === seen ? quiet + 1 : 0;
      seen = now;
    }
  }

  #call(name: "sendto" | "sendmsg", call: () => number): number {
    this.calls.push(name);
    return this.refuses(name) ? -1 : call();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#libc.sendto = this.#sendto;
    this.#libc.sendmsg = this.#sendmsg;
    await this.host[Symbol.asyncDispose]();
    await this.loop[Symbol.asyncDispose]();
  }
}

function datagram(length: number, first: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i === 0 ? first : i);
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `UdpBatch ${name}${needs.reason}`, ignore: needs.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

test("sends the datagrams of a turn that are alike in one call, and each arrives by itself", async () => {
  await using sender = new Sender();
  const socket = sender.open(), to = sender.to(0);
  sender.turn(() => {
    for (let i = 0; i < 20; i++) socket.send(datagram(1400, i), 0, 1400, to);
  });
  assertEquals(sender.calls, ["sendmsg"]);
  assertEquals(sender.received[0], Array.from({ length: 20 }, (_, i) => `1400:${i}`));
});

test("sends a single datagram as ever", async () => {
  await using sender = new Sender();
  const socket = sender.open(), to = sender.to(0);
  sender.turn(() => socket.send(datagram(10, 7), 0, 10, to));
  assertEquals([sender.calls, sender.received[0]], [["sendto"], ["10:7"]]);
});

test("keeps the order and the edges of datagrams of any length, empty and large ones among them", async () => {
  await using sender = new Sender();
  const socket = sender.open(), to = sender.to(0);
  const lengths = [5, 5, 5, 3, 5, 9, 9, 0, 9, 20_000, 9, 9, 9, 65_507, 1, 16_384, 16_384, 16_384, 16_384, 0, 0, 2];
  sender.turn(() => {
    lengths.forEach((length, i) => socket.send(datagram(length, i), 0, length, to));
  });
  assertEquals(sender.received[0], lengths.map((length, i) => `${length}:${length === 0 ? "" : i}`));
});

test(`sends no more than ${MOST_SEGMENTS} datagrams and one packet's bytes in a call`, async () => {
  await using sender = new Sender();
  const socket = sender.open(), to = sender.to(0);
  sender.turn(() => {
    for (let i = 0; i < MOST_SEGMENTS + 1; i++) socket.send(datagram(2, i), 0, 2, to);
  });
  assertEquals([sender.calls, sender.received[0]!.length], [["sendmsg", "sendto"], MOST_SEGMENTS + 1]);
  sender.turn(() => {
    for (let i = 0; i < 10; i++) socket.send(datagram(10_000, i), 0, 10_000, to);
  });
  assertEquals([sender.calls, sender.received[0]!.length], [["sendmsg", "sendmsg"], MOST_SEGMENTS + 11]);
});

test("keeps datagrams of other sockets and to other peers apart", async () => {
  await using sender = new Sender();
  const one = sender.open(), other = sender.open(), to = [sender.to(0), sender.to(1)];
  sender.turn(() => {
    for (let i = 0; i < 6; i++) (i % 3 === 2 ? other : one).send(datagram(100, i), 0, 100, to[i % 2]!);
  });
  assertEquals(sender.received, [["100:0", "100:2", "100:4"], ["100:1", "100:3", "100:5"]]);
});

test("sends each by itself where the kernel refuses several at once", async () => {
  await using sender = new Sender();
  const socket = sender.open(), to = sender.to(0);
  sender.refuses = (call) => call === "sendmsg";
  sender.turn(() => {
    for (let i = 0; i < 3; i++) socket.send(datagram(50, i), 0, 50, to);
  });
  assertEquals(sender.calls, ["sendmsg", "sendto", "sendto", "sendto"]);
  assertEquals([sender.received[0], sender.failed], [["50:0", "50:1", "50:2"], []]);
});

test("tells of each datagram that the kernel does not take in the end", async () => {
  await using sender = new Sender();
  const socket = sender.open(), to = sender.to(0);
  // Reading what holds nothing leaves EAGAIN behind.
  sender.refuses = () => libc().read(sender.loop.wakeFd, new Uint8Array(8), 8n) < 0;
  sender.turn(() => {
    for (let i = 0; i < 3; i++) assertEquals(socket.send(datagram(50, i), 0, 50, to), true);
  });
  assertEquals(sender.failed, ["exhausted 0", "exhausted 0", "exhausted 0"]);
});

test("sends what waits before its socket is closed, and takes nothing afterwards", async () => {
  await using sender = new Sender();
  const socket = sender.open(), to = sender.to(0);
  sender.turn(() => {
    for (let i = 0; i < 3; i++) socket.send(datagram(50, i), 0, 50, to);
    socket.close();
    assertEquals(socket.send(datagram(50, 9), 0, 50, to), false);
  });
  assertEquals(sender.received[0], ["50:0", "50:1", "50:2"]);
});
