/**
 * The cases that every `HostNetwork` passes, whatever it is made of.
 *
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import {
  type HostEndpoint,
  type HostError,
  type HostListener,
  type HostListenError,
  type HostListenHandler,
  type HostTcpSocket,
  READ,
  WOULD_BLOCK,
  WRITE,
} from "../../nat/host.ts";
import { formatEndpoint, IpAddress } from "../../net/wire/address.ts";
import { assertSame, pattern } from "./bytes.ts";
import { openDescriptors } from "./descriptors.ts";
import { hostClosingCases } from "./host_closing_cases.ts";
import { hostListenCases } from "./host_listen_cases.ts";
import { closeBoth, TcpOwner, TurnCounter } from "./host_owner.ts";
import { echo, type HostWorld, type Peer, readToEnd } from "./host_peers.ts";
import { hostUdpCases } from "./host_udp_cases.ts";
import { type Requirements, requires } from "./requirements.ts";

/** What a host can do that another cannot. */
export interface HostCapabilities {
  /** `reset()` makes the peer see ECONNRESET, not EOF. */
  resets: boolean;
  /** A UDP port that nobody listens on is told to the handler. */
  udpErrors: boolean;
  /** What all of its cases need of the machine. */
  needs?: Requirements;
}

/** What the pairs of a case are. */
export interface CaseOptions {
  /** Whether a client of the host opens them. */
  readonly accepts?: boolean;
  /** 127.0.0.1 or ::1. */
  readonly family?: 4 | 6;
}

/** A case's host, its turns and what it opened. */
export class HostCase {
  /** The host and its peers. */
  readonly world: HostWorld;
  /** Counts turns. */
  readonly turns: TurnCounter;
  /** Every owner. */
  readonly owners: TcpOwner[] = [];
  readonly #accepts: boolean;
  readonly #family: 4 | 6;

  /** `accepts`: pairs begin on the other side, by a client of the host. `family`: that of pairs. */
  constructor(world: HostWorld, { accepts = false, family = 4 }: CaseOptions = {}) {
    this.world = world;
    this.turns = new TurnCounter(world.host);
    this.#accepts = accepts;
    this.#family = family;
  }

  /** Connects without waiting. */
  connect(target: { address: IpAddress; port: number }): TcpOwner {
    const owner = TcpOwner.connect(this.world.host, this.turns, target);
    this.owners.push(owner);
    return owner;
  }

  /** Listens on a free port of `address`; the owners of what is accepted come to `accepted`. */
  listen(address = "127.0.0.1", port = 0): TestListener {
    const listener = new TestListener(this, { address: IpAddress.parse(address), port });
    assert(typeof listener.listening !== "string", `listenTcp failed: ${listener.listening}`);
    return listener;
  }

  /** A connected pair. */
  async pair(): Promise<[TcpOwner, Peer]> {
    return await (this.#accepts ? this.#acceptedPair() : this.#connectedPair());
  }

  async #acceptedPair(): Promise<[TcpOwner, Peer]> {
    const listener = this.listen(this.#family === 4 ? "127.0.0.1" : "::1");
    const { peer } = await this.world.connect(listener.local);
    await this.until("accepted", () => listener.accepted.length > 0);
    listener.close();
    return [listener.accepted[0]!, peer];
  }

  async #connectedPair(): Promise<[TcpOwner, Peer]> {
    const listener = this.world.listen(this.#family);
    const owner = this.connect(listener.target);
    const peer = await listener.accept();
    listener.close();
    await this.until("connected", () => owner.told.includes("connected"));
    return [owner, peer];
  }

  /** Waits for a condition. Throws an `Error` that names it after five seconds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + 5000;
    while (!condition()) {
      if (performance.now() > deadline) {
        throw new Error(`Waited too long: ${what}; told ${this.owners.map((owner) => owner.told.slice(-5).join(" "))}`);
      }
      await this.world.step();
    }
  }

  /** Lets some time pass in which something forbidden could happen. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await this.world.step();
  }
}

/** A port that a case's host listens on. */
export class TestListener implements HostListenHandler {
  /** The owners of what was accepted, in order. */
  readonly accepted: TcpOwner[] = [];
  /** Where each of them came from. */
  readonly clients: string[] = [];
  /** Whether what is accepted is reset at once. */
  resets = false;
  /** What the host answered. */
  readonly listening: HostListener | HostListenError;
  readonly #test: HostCase;

  constructor(test: HostCase, local: HostEndpoint) {
    this.#test = test;
    this.listening = test.world.host.listenTcp(local, this);
  }

  /** Where it listens. */
  get local(): HostEndpoint {
    return (this.listening as HostListener).local;
  }

  hostAccepted(socket: HostTcpSocket, client: HostEndpoint): TcpOwner | null {
    this.clients.push(formatEndpoint(client.address, client.port));
    if (this.resets) {
      socket.reset();
      return null;
    }
    const owner = TcpOwner.accepted(this.#test.turns, socket);
    this.accepted.push(owner);
    this.#test.owners.push(owner);
    return owner;
  }

  hostAcceptFailed(error: HostError): void {
    this.clients.push(`failed ${error}`);
  }

  close(): void {
    (this.listening as HostListener).close();
  }
}

/** Registers a test for each case. */
export function hostCases(
  name: string,
  createWorld: () => HostWorld,
  capabilities: HostCapabilities,
): void {
  let warm = false;

  /** Registers one case; afterwards nothing of it may be left. */
  function hostCase(title: string, body: (test: HostCase) => Promise<void>, needs: Requirements = NOTHING): void {
    register(title, () => checked(body), needs);
  }

  /** Registers one case for a socket that a client of the host has opened. */
  function acceptedCase(title: string, body: (test: HostCase) => Promise<void>, needs: Requirements = NOTHING): void {
    register(`${title}, accepted`, () => checked(body, { accepts: true }), needs);
  }

  /** Registers one case over IPv6. */
  function ipv6Case(title: string, body: (test: HostCase) => Promise<void>): void {
    register(`${title}, by IPv6`, () => checked(body, { family: 6 }), IPV6);
    register(`${title}, accepted by IPv6`, () => checked(body, { family: 6, accepts: true }), IPV6);
  }

  function register(title: string, fn: () => Promise<void>, needs: Requirements): void {
    const all = capabilities.needs?.ignore ? capabilities.needs : needs;
    Deno.test({ name: `${name} ${title}${all.reason}`, ignore: all.ignore, fn });
  }

  async function checked(body: (test: HostCase) => Promise<void>, options: CaseOptions = {}): Promise<void> {
    // The first sockets of a process open what the runtime then keeps.
    if (!warm) await runCase(async (test) => closeBoth(...await test.pair()));
    warm = true;
    const before = await openDescriptors();
    await runCase(body, options);
    let after: string[] = [];
    for (let tries = 0; tries < 20; tries++) {
      after = await openDescriptors();
      if (after.length <= before.length) break;
    }
    assertEquals(after.filter((what) => !before.includes(what)), []);
  }

  async function runCase(body: (test: HostCase) => Promise<void>, options: CaseOptions = {}): Promise<void> {
    const world = createWorld();
    const test = new HostCase(world, options);
    try {
      await body(test);
    } finally {
      await world[Symbol.asyncDispose]();
    }
    assertEquals(test.owners.flatMap((owner) => owner.violations), []);
  }

  openingCases(hostCase);
  movingCases(hostCase);
  hostClosingCases(hostCase, capabilities);
  movingCases(acceptedCase);
  movingCases(ipv6Case);
  hostClosingCases(acceptedCase, capabilities);
  hostListenCases(hostCase, capabilities);
  turnCases(hostCase);
  hostUdpCases(hostCase, capabilities);
}

/** Registers a case. */
export type RegisterCase = (title: string, body: (test: HostCase) => Promise<void>, needs?: Requirements) => void;

const NOTHING: Requirements = { ignore: false, reason: "" }, IPV6 = requires("ipv6");

const MIB = 1 << 20;

function openingCases(hostCase: RegisterCase): void {
  hostCase("connects, and says so once and after connectTcp has returned", async (test) => {
    const [owner, peer] = await test.pair();
    await test.settle();
    assertEquals(owner.told, ["connected"]);
    closeBoth(owner, peer);
  });

  for (const [family, needs] of [[4, NOTHING], [6, IPV6]] as const) {
    hostCase(`tells a connect that IPv${family} refuses as refused, and nothing after it`, async (test) => {
      const listener = test.world.listen(family);
      listener.close();
      const owner = test.connect(listener.target);
      owner.setInterest(READ | WRITE);
      await test.until("refused", () => owner.told.length > 0);
      await test.settle();
      assertEquals(owner.told, ["connectFailed refused"]);
    }, needs);
  }

  hostCase("says nothing of a connect that was closed meanwhile", async (test) => {
    const listener = test.world.listen();
    const owner = test.connect(listener.target);
    owner.setInterest(READ | WRITE);
    owner.close();
    await test.settle();
    assertEquals(owner.told, []);
    listener.close();
  });

  hostCase("carries 200 connections at once", async (test) => {
    const listener = test.world.listen();
    const owners = Array.from({ length: 200 }, () => test.connect(listener.target));
    const peers: Peer[] = [];
    for (let i = 0; i < 200; i++) peers.push(await listener.accept());
    const echoes = peers.map(echo);
    for (const [i, owner] of owners.entries()) {
      owner.onWritable = () => {
        owner.write(Uint8Array.of(i, 1, 2));
        owner.setInterest(READ);
      };
      owner.onReadable = () => owner.readAll();
      owner.setInterest(WRITE);
    }
    await test.until("200 echoes", () => owners.every((owner) => owner.readLength === 3));
    for (const [i, owner] of owners.entries()) assertEquals(owner.bytes, Uint8Array.of(i, 1, 2));
    for (const owner of owners) owner.closeWrite();
    await test.until("200 ends", () => owners.every((owner) => owner.lastRead === 0));
    for (const owner of owners) owner.close();
    await Promise.all(echoes);
    listener.close();
  });
}

function movingCases(hostCase: RegisterCase): void {
  hostCase("carries one byte there and back", async (test) => {
    const [owner, peer] = await test.pair();
    const echoing = echo(peer);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    assertEquals(owner.read(), WOULD_BLOCK);
    assertEquals(owner.write(Uint8Array.of(77)), 1);
    await test.until("echo", () => owner.readLength > 0);
    assertEquals(owner.bytes, Uint8Array.of(77));
    owner.closeWrite();
    owner.close();
    await echoing;
  });

  hostCase("holds a sending peer back while its owner reads slowly, and loses nothing of 8 MiB", async (test) => {
    const [owner, peer] = await test.pair();
    const bytes = pattern(8 * MIB);
    let handedOver = 0;
    const sending = (async () => {
      for (; handedOver < bytes.length; handedOver += 65536) {
        await peer.write(bytes.subarray(handedOver, handedOver + 65536));
      }
      await peer.closeWrite();
    })();
    await test.settle();
    await test.settle();
    assertLess(handedOver, bytes.length);
    assertEquals(owner.told, ["connected"]);
    let calls = 0;
    owner.onReadable = () => {
      calls++;
      // Every few calls the owner is busy for a while.
      if (owner.read(60000) <= 0) owner.setInterest(0);
      else if (calls % 16 === 0) owner.setInterest(0);
    };
    owner.setInterest(READ);
    while (owner.lastRead !== 0) {
      await test.world.step();
      owner.setInterest(READ);
    }
    await sending;
    assertSame(owner.bytes, bytes);
    closeBoth(owner, peer);
  });

  hostCase("answers WOULD_BLOCK while its peer does not read, and loses nothing of 8 MiB", async (test) => {
    const [owner, peer] = await test.pair();
    const bytes = pattern(8 * MIB);
    let at = 0, wouldBlock = 0;
    owner.onWritable = () => {
      while (at < bytes.length) {
        const count = owner.write(bytes.subarray(0, Math.min(bytes.length, at + 65536)), at);
        if (count <= 0) {
          assertEquals(count, WOULD_BLOCK);
          wouldBlock++;
          return;
        }
        at += count;
      }
      owner.setInterest(0);
      owner.closeWrite();
    };
    owner.setInterest(WRITE);
    while (wouldBlock === 0 && at < bytes.length) await test.settle();
    await test.settle();
    assertLess(at, bytes.length);
    assertSame(await readToEnd(peer), bytes);
    assertEquals(at, bytes.length);
    closeBoth(owner, peer);
  });

  hostCase("says nothing without interest, and the bytes wait", async (test) => {
    const [owner, peer] = await test.pair();
    await peer.write(Uint8Array.of(1, 2, 3));
    await test.settle();
    assertEquals(owner.told, ["connected"]);
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await test.until("bytes", () => owner.readLength === 3);
    assertEquals(owner.bytes, Uint8Array.of(1, 2, 3));
    closeBoth(owner, peer);
  });

  hostCase("follows an interest that comes and goes", async (test) => {
    const [owner, peer] = await test.pair();
    owner.onReadable = () => {
      owner.read();
      owner.setInterest(0);
    };
    for (let i = 1; i <= 3; i++) {
      owner.setInterest(READ);
      owner.setInterest(0);
      await peer.write(Uint8Array.of(i));
      await test.settle();
      assertEquals(owner.readLength, i - 1);
      owner.setInterest(READ);
      await test.until(`byte ${i}`, () => owner.readLength === i);
    }
    assertEquals(owner.bytes, Uint8Array.of(1, 2, 3));
    assertEquals(owner.told, ["connected", "readable", "readable", "readable"]);
    closeBoth(owner, peer);
  });

  hostCase("calls again, once a turn, while an owner leaves bytes unread", async (test) => {
    const [owner, peer] = await test.pair();
    await peer.write(pattern(10));
    await test.settle();
    owner.onReadable = () => {
      if (owner.read(1) <= 0) owner.setInterest(0);
    };
    owner.setInterest(READ);
    await test.until("10 bytes", () => owner.readLength === 10);
    assertEquals(owner.bytes, pattern(10));
    // TcpOwner takes two calls in one turn for a violation.
    assert(owner.told.filter((what) => what === "readable").length >= 10);
    closeBoth(owner, peer);
  });

  hostCase("goes on saying writable, once a turn, while there is room", async (test) => {
    const [owner, peer] = await test.pair();
    let calls = 0;
    owner.onWritable = () => {
      if (++calls === 5) owner.setInterest(0);
    };
    owner.setInterest(WRITE);
    await test.until("5 calls", () => calls >= 5);
    await test.settle();
    assertEquals(calls, 5);
    closeBoth(owner, peer);
  });
}

function turnCases(hostCase: RegisterCase): void {
  hostCase("turns after every batch of handlers", async (test) => {
    const [owner, peer] = await test.pair();
    await test.settle();
    const before = test.turns.count;
    owner.onReadable = () => owner.readAll();
    owner.setInterest(READ);
    await peer.write(Uint8Array.of(1));
    await test.until("bytes", () => owner.readLength === 1);
    await test.until("turn", () => test.turns.count > before);
    closeBoth(owner, peer);
  });

  hostCase("turns once for many tellings, and not from within one", async (test) => {
    await test.settle();
    const before = test.turns.count;
    for (let i = 0; i < 100; i++) test.world.host.wake();
    assertEquals(test.turns.count, before);
    await test.until("a turn", () => test.turns.count > before);
    await test.settle();
    assert(test.turns.count <= before + 2, `${test.turns.count - before} turns`);
  });

  hostCase("turns at the time that the turn asked for", async (test) => {
    await test.settle();
    const dueAt = test.turns.nextAt = test.world.host.now() + 20;
    test.world.host.wake();
    await test.until("timer", () => test.turns.firedAt !== undefined);
    assertLess(test.turns.firedAt!, dueAt + 1000);
  });

  hostCase("turns at an earlier time that a later turn asked for", async (test) => {
    const from = test.turns.nextAt = test.world.host.now() + 60_000;
    test.world.host.wake();
    await test.settle();
    test.turns.nextAt = test.world.host.now() + 10;
    test.world.host.wake();
    await test.until("timer", () => test.turns.firedAt !== undefined);
    assertLess(test.turns.firedAt!, from);
  });

  hostCase("does not turn while nothing happens and nothing is due", async (test) => {
    await test.settle();
    const before = test.turns.count;
    for (let i = 0; i < 4; i++) await test.settle();
    assertEquals(test.turns.count, before);
  });
}
