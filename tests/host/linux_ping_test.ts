import { assert, assertEquals } from "@std/assert";
import { LinuxHost } from "../../host/linux_host.ts";
import type { HostError, HostPingHandler, HostPingSocket } from "../../nat/host.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { decodeIcmpv4, encodeIcmpv4Echo, ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST } from "../../net/wire/icmpv4.ts";
import { ICMPV6_ECHO_REPLY } from "../../net/wire/icmpv6.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { assertNoDescriptorLeft } from "../support/ffi_descriptors.ts";
import { noise } from "../support/packet_bytes.ts";
import { requires } from "../support/requirements.ts";

// Root is given a raw socket where this user has no ping socket.
const NEEDS = requires("ffi", "root"), NEEDS_IPV6 = requires("ffi", "root", "ipv6");
const LOOPBACK = { 4: IpAddress.parse("127.0.0.1"), 6: IpAddress.parse("::1") };
const REPLY = { 4: ICMP_ECHO_REPLY, 6: ICMPV6_ECHO_REPLY };

/** A handler that keeps what it is told. */
class Owner implements HostPingHandler {
  readonly replies: { sequence: number; payload: Uint8Array; from: string }[] = [];
  readonly failed: string[] = [];
  readonly socket: HostPingSocket;
  readonly #family: 4 | 6;

  constructor(host: LinuxHost, family: 4 | 6) {
    this.#family = family;
    const socket = host.openPing(family, this);
    assert(typeof socket !== "string", `openPing failed: ${socket}`);
    this.socket = socket;
  }

  send(sequence: number, payload: Uint8Array, to: IpAddress = LOOPBACK[this.#family]): boolean {
    const bytes = new Uint8Array(payload.length + 28), start = 13;
    const length = encodeIcmpv4Echo(bytes, start, { type: ICMP_ECHO_REQUEST, identifier: 0xbeef, sequence, payload });
    return this.socket.send(bytes, start, start + length, to);
  }

  hostEchoReply(bytes: Uint8Array, start: number, end: number, from: IpAddress): void {
    const { type, sequence, payloadStart } = decodeIcmpv4(bytes, start, end);
    assertEquals(type, REPLY[this.#family]);
    this.replies.push({ sequence, payload: bytes.slice(payloadStart, end), from: `${from}` });
    bytes.fill(0x5a, 0, end);
  }

  hostEchoFailed(error: HostError, to: IpAddress, details: { sequence: number }): void {
    this.failed.push(`${error} ${to} ${details.sequence}`);
  }
}

function test(name: string, body: (open: () => Owner, run: () => void, family: 4 | 6) => void): void {
  for (const family of [4, 6] as const) {
    const needs = family === 4 ? NEEDS : NEEDS_IPV6;
    Deno.test({
      name: `LinuxHost.openPing of IPv${family} ${name}${needs.reason}`,
      ignore: needs.ignore,
      fn: () =>
        assertNoDescriptorLeft(async () => {
          await using loop = new EventLoop();
          await using host = new LinuxHost(loop);
          host.start(() => Infinity);
          body(() => new Owner(host, family), () => void loop.runBlocking(performance.now() + 20), family);
        }),
    });
  }
}

test("carries echo of every size to loopback and back", (open, run, family) => {
  const owner = open(), sizes = [0, 8, 1472, 30000, 65000];
  for (const [i, size] of sizes.entries()) {
    assert(owner.send(i, noise(size, i + 1)));
    for (let tries = 0; tries < 50 && owner.replies.length <= i; tries++) run();
  }
  assertEquals(
    owner.replies,
    sizes.map((size, i) => ({ sequence: i, payload: noise(size, i + 1), from: `${LOOPBACK[family]}` })),
  );
  assertEquals(owner.failed, []);
  owner.socket.close();
});

test("gives each owner the replies to its own requests alone", (open, run) => {
  const owners = Array.from({ length: 5 }, open);
  for (const [i, owner] of owners.entries()) owner.send(i, noise(20, i + 1));
  owners[3]!.socket.close();
  for (let tries = 0; tries < 50 && owners.some(({ replies }, i) => i !== 3 && replies.length === 0); tries++) run();
  run();
  assertEquals(owners.map(({ replies }) => replies.map(({ sequence }) => sequence)), [[0], [1], [2], [], [4]]);
  for (const owner of owners) owner.socket.close();
  const next = open();
  next.send(9, noise(20, 9));
  for (let tries = 0; tries < 50 && next.replies.length === 0; tries++) run();
  assertEquals(next.replies.length, 1);
});

test("tells later, and only the owner, of a request that the kernel forbids", (open, run, family) => {
  const owner = open(), other = open();
  // Limited broadcast needs an option that the socket does not have, and IPv4 another socket; nothing is sent.
  const [to, error] = family === 4 ? ["255.255.255.255", "prohibited"] : ["127.0.0.1", "other"];
  assert(owner.send(5, noise(8, 1), IpAddress.parse(to!)));
  assertEquals(owner.failed, []);
  run();
  assertEquals([owner.failed, other.failed], [[`${error} ${to} 5`], []]);
  owner.send(6, noise(8, 1));
  for (let tries = 0; tries < 50 && owner.replies.length === 0; tries++) run();
  assertEquals(owner.replies.length, 1);
  owner.socket.close();
  assertEquals(owner.send(7, noise(8, 1)), false);
});

test("takes no request that is longer than a packet", (open, run, family) => {
  const owner = open();
  owner.send(1, new Uint8Array(family === 4 ? 65508 : 65528));
  run();
  assertEquals([owner.replies, owner.failed], [[], [`tooLarge ${LOOPBACK[family]} 1`]]);
});
