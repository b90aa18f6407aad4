/**
 * The cases of `host_cases.ts` about datagrams.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { HostError, HostUdpHandler, HostUdpSocket } from "../../nat/host.ts";
import { formatEndpoint, type IpAddress } from "../../net/wire/address.ts";
import { assertSame } from "./bytes.ts";
import type { HostCapabilities, HostCase, RegisterCase } from "./host_cases.ts";
import { requires } from "./requirements.ts";

interface Endpoint {
  address: IpAddress;
  port: number;
}

/** A handler that keeps what it is told. */
class UdpOwner implements HostUdpHandler {
  readonly got: { bytes: Uint8Array; from: string }[] = [];
  readonly failed: string[] = [];
  /** Whether it writes over what it is given. */
  overwrites = false;
  readonly #socket: HostUdpSocket;

  constructor(test: HostCase, family: 4 | 6) {
    const socket = test.world.host.openUdp(family, this);
    assert(typeof socket !== "string", `openUdp failed: ${socket}`);
    this.#socket = socket;
  }

  hostDatagram(bytes: Uint8Array, start: number, end: number, from: Endpoint): void {
    this.got.push({ bytes: bytes.slice(start, end), from: formatEndpoint(from.address, from.port) });
    if (this.overwrites) bytes.fill(0x5a, 0, end);
  }

  hostDatagramFailed(error: HostError, to: Endpoint): void {
    this.failed.push(`${error} ${formatEndpoint(to.address, to.port)}`);
  }

  /** Sends from the middle of a buffer that is overwritten right after. */
  send(bytes: Uint8Array, to: Endpoint): boolean {
    const framed = new Uint8Array(bytes.length + 20).fill(0xa5);
    framed.set(bytes, 13);
    const taken = this.#socket.send(framed, 13, 13 + bytes.length, to);
    framed.fill(0x5a);
    return taken;
  }

  close(): void {
    this.#socket.close();
  }
}

/** Registers them, for both families. */
export function hostUdpCases(register: RegisterCase, capabilities: HostCapabilities): void {
  familyCases(4, register, capabilities);
  const needs = requires("ipv6");
  familyCases(6, (title, body) => register(`${title}, by IPv6`, body, needs), capabilities);
}

/** The most bytes of a datagram: the length field, less the headers that it counts. */
const LONGEST = { 4: 65507, 6: 65527 };
const LOOPBACK = { 4: "127.0.0.1", 6: "[::1]" };

function familyCases(family: 4 | 6, hostCase: RegisterCase, capabilities: HostCapabilities): void {
  for (const length of [0, 1, 1400, 9000, 60000, LONGEST[family]]) {
    hostCase(`carries a datagram of ${length} bytes there and back`, async (test) => {
      const echo = await test.world.udpEcho(family);
      const owner = new UdpOwner(test, family);
      const bytes = new Uint8Array(length).map((_, i) => i * 7 + (i >> 8));
      assert(owner.send(bytes, echo.target));
      await test.until("echo", () => owner.got.length > 0);
      assertSame(owner.got[0]!.bytes, bytes);
      assertEquals(owner.got[0]!.from, formatEndpoint(echo.target.address, echo.target.port));
      owner.close();
      await echo.close();
    });
  }

  hostCase("talks to two peers through one UDP socket and tells them apart", async (test) => {
    const one = await test.world.udpEcho(family), two = await test.world.udpEcho(family);
    const owner = new UdpOwner(test, family);
    for (let i = 0; i < 6; i++) owner.send(Uint8Array.of(i), i % 2 === 0 ? one.target : two.target);
    await test.until("echoes", () => owner.got.length === 6);
    for (const { bytes, from } of owner.got) {
      assertEquals(from, `${LOOPBACK[family]}:${(bytes[0]! % 2 === 0 ? one : two).target.port}`);
    }
    assertEquals(owner.got.map(({ bytes }) => bytes[0]!).sort(), [0, 1, 2, 3, 4, 5]);
    owner.close();
    await one.close();
    await two.close();
  });

  hostCase("turns after a datagram", async (test) => {
    const echo = await test.world.udpEcho(family);
    const owner = new UdpOwner(test, family);
    await test.settle();
    const before = test.turns.count;
    owner.send(Uint8Array.of(1), echo.target);
    await test.until("echo", () => owner.got.length > 0);
    await test.until("turn", () => test.turns.count > before);
    owner.close();
    await echo.close();
  });

  hostCase("says nothing of datagrams after its UDP socket was closed", async (test) => {
    const echo = await test.world.udpEcho(family);
    const owner = new UdpOwner(test, family);
    for (let i = 0; i < 3; i++) owner.send(Uint8Array.of(i), echo.target);
    owner.close();
    await test.settle();
    assertEquals([owner.got.length, owner.failed], [0, []]);
    await echo.close();
  });

  hostCase("survives datagrams to a port that nobody listens on", async (test) => {
    const silent = await test.world.udpEcho(family), echo = await test.world.udpEcho(family);
    await silent.close();
    const owner = new UdpOwner(test, family);
    owner.send(Uint8Array.of(1), silent.target);
    if (capabilities.udpErrors) await test.until("refused", () => owner.failed.length > 0);
    await test.settle();
    assertEquals(owner.failed, capabilities.udpErrors ? [`refused ${LOOPBACK[family]}:${silent.target.port}`] : []);
    owner.send(Uint8Array.of(2), echo.target);
    await test.until("echo", () => owner.got.length > 0);
    assertEquals(owner.got[0]!.bytes, Uint8Array.of(2));
    owner.close();
    await echo.close();
  });

  hostCase("survives a datagram that is too long for UDP", async (test) => {
    const echo = await test.world.udpEcho(family);
    const owner = new UdpOwner(test, family);
    // Whether that is said at once or later is the host's affair, but nothing of it may arrive.
    owner.send(new Uint8Array(LONGEST[family] + 1), echo.target);
    owner.send(Uint8Array.of(9), echo.target);
    await test.until("echo", () => owner.got.some(({ bytes }) => bytes.length === 1));
    owner.close();
    await echo.close();
  });

  hostCase("lets a handler overwrite a datagram and all that lies in front of it", async (test) => {
    const echo = await test.world.udpEcho(family);
    const owner = new UdpOwner(test, family);
    owner.overwrites = true;
    for (let i = 0; i < 3; i++) owner.send(new Uint8Array(2000).fill(i + 1), echo.target);
    await test.until("echoes", () => owner.got.length === 3);
    assertEquals(owner.got.map(({ bytes }) => bytes), [1, 2, 3].map((i) => new Uint8Array(2000).fill(i)));
    owner.close();
    await echo.close();
  });

  hostCase("tells of a refused port each time, and to whom the datagram went", async (test) => {
    const one = await test.world.udpEcho(family), two = await test.world.udpEcho(family);
    await one.close();
    await two.close();
    const owner = new UdpOwner(test, family);
    for (let round = 1; round <= 3; round++) {
      for (const { target } of [one, two]) owner.send(Uint8Array.of(round), target);
      if (capabilities.udpErrors) await test.until("refused", () => owner.failed.length >= round * 2);
    }
    await test.settle();
    const both = [one, two].map(({ target }) => `refused ${LOOPBACK[family]}:${target.port}`);
    assertEquals(owner.failed.sort(), capabilities.udpErrors ? [...both, ...both, ...both].sort() : []);
    owner.close();
  });
}
