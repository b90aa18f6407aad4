/**
 * The cases of `host_cases.ts` about ports that are listened on or bound to.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { HostBoundUdpSocket, HostEndpoint, HostUdpHandler } from "../../nat/host.ts";
import { READ } from "../../nat/host.ts";
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { type HostCapabilities, type HostCase, type RegisterCase, TestListener } from "./host_cases.ts";
import { closeBoth } from "./host_owner.ts";
import { type Client, echo, readToEnd } from "./host_peers.ts";
import { requires } from "./requirements.ts";

/** Registers them. */
export function hostListenCases(hostCase: RegisterCase, capabilities: HostCapabilities): void {
  tcpCases(hostCase, capabilities);
  udpCases(hostCase);
}

function text({ address, port }: HostEndpoint): string {
  return formatEndpoint(address, port);
}

function tcpCases(hostCase: RegisterCase, capabilities: HostCapabilities): void {
  hostCase("listens on a free port and tells each client's address and port", async (test) => {
    const listener = test.listen();
    assert(listener.local.port > 0);
    const one = await test.world.connect(listener.local), two = await test.world.connect(listener.local);
    await test.until("two clients", () => listener.accepted.length === 2);
    assertEquals(listener.clients, [text(one.local), text(two.local)]);
    closeBoth(listener.accepted[0]!, one.peer);
    closeBoth(listener.accepted[1]!, two.peer);
    listener.close();
  });

  hostCase("does not read from a client, nor tell of it, before there is interest", async (test) => {
    const listener = test.listen();
    const { peer } = await test.world.connect(listener.local);
    await peer.write(Uint8Array.of(1, 2, 3));
    await test.until("client", () => listener.accepted.length === 1);
    await test.settle();
    const owner = listener.accepted[0]!;
    assertEquals([owner.told, owner.readLength], [["connected"], 0]);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await test.until("bytes", () => owner.readLength === 3);
    assertEquals(owner.bytes, Uint8Array.of(1, 2, 3));
    closeBoth(owner, peer);
    listener.close();
  });

  hostCase("accepts 200 clients at once", async (test) => {
    const listener = test.listen();
    const clients: Client[] = [];
    await Promise.all(
      Array.from({ length: 200 }, async () => void clients.push(await test.world.connect(listener.local))),
    );
    await test.until("200 clients", () => listener.accepted.length === 200);
    assertEquals([...listener.clients].sort(), clients.map(({ local }) => text(local)).sort());
    for (const owner of listener.accepted) owner.close();
    for (const { peer } of clients) peer.close();
    listener.close();
  });

  hostCase("turns away who comes after close, and lets those go on who came before", async (test) => {
    const listener = test.listen();
    const { peer } = await test.world.connect(listener.local);
    await test.until("client", () => listener.accepted.length === 1);
    listener.close();
    listener.close();
    await test.settle();
    await assertRejects(() => test.world.connect(listener.local), Deno.errors.ConnectionRefused);
    const owner = listener.accepted[0]!, echoing = echo(peer);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    owner.write(Uint8Array.of(7));
    owner.closeWrite();
    await test.until("echo and end", () => owner.lastRead === 0);
    assertEquals(owner.bytes, Uint8Array.of(7));
    owner.close();
    await echoing;
  });

  hostCase("has freed a port when its disposal is over, with a connection still open", async (test) => {
    const first = test.listen();
    const { peer } = await test.world.connect(first.local);
    await test.until("client", () => first.accepted.length === 1);
    assert(typeof first.listening !== "string");
    await first.listening[Symbol.asyncDispose]();
    const again = test.listen("127.0.0.1", first.local.port);
    assertEquals(again.local.port, first.local.port);
    closeBoth(first.accepted[0]!, peer);
    again.close();
  });

  hostCase("answers addressInUse for a port that is listened on", (test) => {
    const listener = test.listen();
    assertEquals(new TestListener(test, listener.local).listening, "addressInUse");
    listener.close();
    return Promise.resolve();
  });

  hostCase("resets a client from within hostAccepted", async (test) => {
    const listener = test.listen();
    listener.resets = true;
    const lookAtEnd = async () => {
      const { peer } = await test.world.connect(listener.local);
      try {
        return (await readToEnd(peer)).length;
      } finally {
        peer.close();
      }
    };
    if (capabilities.resets) await assertRejects(lookAtEnd, Deno.errors.ConnectionReset);
    else assertEquals(await lookAtEnd(), 0);
    assertEquals(listener.clients.length, 1);
    listener.close();
  });

  hostCase("listens on IPv6, and on :: for both families", async (test) => {
    const one = test.listen("::1"), both = test.listen("::");
    const six = await test.world.connect(one.local);
    const four = await test.world.connect({ address: IpAddress.parse("127.0.0.1"), port: both.local.port });
    await test.until("clients", () => one.accepted.length + both.accepted.length === 2);
    assertEquals([one.clients, both.clients], [[text(six.local)], [text(four.local)]]);
    assertEquals([six.local.address.isIpv4, four.local.address.isIpv4], [false, true]);
    closeBoth(one.accepted[0]!, six.peer);
    closeBoth(both.accepted[0]!, four.peer);
    one.close();
    both.close();
  }, requires("ipv6"));
}

/** A bound socket that returns every datagram to its sender. */
class BoundEcho implements HostUdpHandler {
  readonly socket: HostBoundUdpSocket;
  readonly from: string[] = [];

  constructor(test: HostCase, address: string, port = 0) {
    const socket = test.world.host.bindUdp({ address: IpAddress.parse(address), port }, this);
    assert(typeof socket !== "string", `bindUdp failed: ${socket}`);
    this.socket = socket;
  }

  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void {
    this.from.push(text(from));
    this.socket.send(bytes, start, end, from);
  }

  hostDatagramFailed(): void {}
}

function udpCases(hostCase: RegisterCase): void {
  hostCase("answers two clients of one UDP port, each from that port", async (test) => {
    const bound = new BoundEcho(test, "127.0.0.1");
    assert(bound.socket.local.port > 0);
    const one = await test.world.udpClient(), two = await test.world.udpClient();
    for (let i = 0; i < 3; i++) {
      one.send(Uint8Array.of(1, i), bound.socket.local);
      two.send(Uint8Array.of(2, i), bound.socket.local);
    }
    await test.until("answers", () => one.got.length === 3 && two.got.length === 3);
    assertEquals(bound.from.toSorted(), [one, one, one, two, two, two].map(({ local }) => text(local)).toSorted());
    for (const [i, { bytes, from }] of [...one.got, ...two.got].entries()) {
      assertEquals([bytes[0], text(from)], [i < 3 ? 1 : 2, text(bound.socket.local)]);
    }
    bound.socket.close();
    await one.close();
    await two.close();
  });

  hostCase("answers clients of both families on a UDP port of ::", async (test) => {
    const bound = new BoundEcho(test, "::");
    const four = await test.world.udpClient(), six = await test.world.udpClient(6), { port } = bound.socket.local;
    four.send(Uint8Array.of(4), { address: IpAddress.parse("127.0.0.1"), port });
    six.send(Uint8Array.of(6), { address: IpAddress.parse("::1"), port });
    await test.until("answers", () => four.got.length + six.got.length === 2);
    assertEquals(bound.from.toSorted(), [four, six].map(({ local }) => text(local)).toSorted());
    assertEquals([four.got[0]?.bytes, six.got[0]?.bytes], [Uint8Array.of(4), Uint8Array.of(6)]);
    bound.socket.close();
    await four.close();
    await six.close();
  }, requires("ipv6"));

  hostCase(
    "answers addressInUse for a UDP port that is bound, and has freed it when its disposal is over",
    async (test) => {
      const bound = new BoundEcho(test, "127.0.0.1"), { local } = bound.socket;
      assertEquals(test.world.host.bindUdp(local, bound), "addressInUse");
      await bound.socket[Symbol.asyncDispose]();
      const again = new BoundEcho(test, "127.0.0.1", local.port);
      assertEquals(again.socket.local.port, local.port);
      again.socket.close();
    },
  );
}
