import { assert, assertEquals } from "@std/assert";
import { LinuxHost } from "../../host/linux_host.ts";
import type { HostError, HostPingHandler, HostPingSocket } from "../../nat/host.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { decodeIcmpv4, encodeIcmpv4Echo, ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST } from "../../net/wire/icmpv4.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { assertNoDescriptorLeft } from "../support/ffi_descriptors.ts";
import { noise } from "../support/packet_bytes.ts";
import { requires } from "../support/requirements.ts";

// Root is given a raw socket where this user has no ping socket.
const needs = requires("ffi", "root");
const LOOPBACK = IpAddress.parse("127.0.0.1");

/** A handler that keeps what it is told. */
class Owner implements HostPingHandler {
  readonly replies: { sequence: number; payload: Uint8Array; valid: boolean; from: string }[] = [];
  readonly failed: string[] = [];
  readonly socket: HostPingSocket;

  constructor(host: LinuxHost) {
    const socket = host.openPing(this);
    assert(typeof socket !== "string", `openPing failed: ${socket}`);
    this.socket = socket;
  }

  send(sequence: number, payload: Uint8Array, to: IpAddress = LOOPBACK): boolean {
    const bytes = new Uint8Array(payload.length + 28), start = 13;
    const length = encodeIcmpv4Echo(bytes, start, { type: ICMP_ECHO_REQUEST, identifier: 0xbeef, sequence, payload });
    return this.socket.send(bytes, start, start + length, to);
  }

  hostEchoReply(bytes: Uint8Array, start: number, end: number, from: IpAddress): void {
    const { type, sequence, checksumValid, payloadStart } = decodeIcmpv4(bytes, start, end);
    assertEquals(type, ICMP_ECHO_REPLY);
    this.replies.push({ sequence, payload: bytes.slice(payloadStart, end), valid: checksumValid, from: `${from}` });
    bytes.fill(0x5a, 0, end);
  }

  hostEchoFailed(error: HostError, to: IpAddress, details: { sequence: number }): void {
    this.failed.push(`${error} ${to} ${details.sequence}`);
  }
}

function test(name: string, body: (host: LinuxHost, run: () => void) => void): void {
  Deno.test({
    name: `LinuxHost.openPing ${name}${needs.reason}`,
    ignore: needs.ignore,
    fn: () =>
      assertNoDescriptorLeft(async () => {
        await using loop = new EventLoop();
        await using host = new LinuxHost(loop);
        host.start(() => Infinity);
        body(host, () => void loop.runBlocking(performance.now() + 20));
      }),
  });
}

test("carries echo of every size to loopback and back", (host, run) => {
  const owner = new Owner(host), sizes = [0, 8, 1472, 30000, 65000];
  for (const [i, size] of sizes.entries()) {
    assert(owner.send(i, noise(size, i + 1)));
    for (let tries = 0; tries < 50 && owner.replies.length <= i; tries++) run();
  }
  assertEquals(
    owner.replies,
    sizes.map((size, i) => ({ sequence: i, payload: noise(size, i + 1), valid: true, from: "127.0.0.1" })),
  );
  assertEquals(owner.failed, []);
  owner.socket.close();
});

test("gives each owner the replies to its own requests alone", (host, run) => {
  const owners = Array.from({ length: 5 }, () => new Owner(host));
  for (const [i, owner] of owners.entries()) owner.send(i, noise(20, i + 1));
  owners[3]!.socket.close();
  for (let tries = 0; tries < 50 && owners.some(({ replies }, i) => i !== 3 && replies.length === 0); tries++) run();
  run();
  assertEquals(owners.map(({ replies }) => replies.map(({ sequence }) => sequence)), [[0], [1], [2], [], [4]]);
  for (const owner of owners) owner.socket.close();
  const next = new Owner(host);
  next.send(9, noise(20, 9));
  for (let tries = 0; tries < 50 && next.replies.length === 0; tries++) run();
  assertEquals(next.replies.length, 1);
});

test("tells later, and only the owner, of a request that the kernel forbids", (host, run) => {
  const owner = new Owner(host), other = new Owner(host);
  // Limited broadcast needs an option that the socket does not have; nothing is sent.
  assert(owner.send(5, noise(8, 1), IpAddress.parse("255.255.255.255")));
  assertEquals(owner.failed, []);
  run();
  assertEquals([owner.failed, other.failed], [["prohibited 255.255.255.255 5"], []]);
  owner.send(6, noise(8, 1));
  for (let tries = 0; tries < 50 && owner.replies.length === 0; tries++) run();
  assertEquals(owner.replies.length, 1);
  owner.socket.close();
  assertEquals(owner.send(7, noise(8, 1)), false);
});

test("takes no request that is longer than a packet", (host, run) => {
  const owner = new Owner(host);
  owner.send(1, new Uint8Array(65508));
  run();
  assertEquals([owner.replies, owner.failed], [[], ["tooLarge 127.0.0.1 1"]]);
});
