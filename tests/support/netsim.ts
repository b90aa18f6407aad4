/**
 * A network in which nothing happens by chance and nobody waits: a gateway with a scripted host, a guest, and a bad
 * network between them, on one virtual clock.
 *
 * The gateway is `Nat` with everything below and above it as it is; the link is `lossyLink` around a memory link; the
 * guest is a `SimGuest`, our own endpoint or one that shares no line with it. Time jumps from one event to the next,
 * and the same scenario always takes the same course to the last byte.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { equals } from "@std/bytes";
import type { FlowInfo } from "../../nat/flow/flow.ts";
import { Nat } from "../../nat/nat.ts";
import type { TcpConfig } from "../../nat/tcp/context.ts";
import { createTranslationRules } from "../../nat/rules/translation_options.ts";
import type { Link } from "../../net/link/link.ts";
import { type LossyLink, lossyLink, type LossyLinkOptions } from "../../net/link/lossy.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { ScriptHost, type ScriptTcpSocket } from "./script_host.ts";
import { VirtualClock } from "../../net/link/virtual_clock.ts";

/** Steps after which a simulation is taken for one that goes on for ever. */
const MAX_STEPS = 2_000_000;
const PATTERN_PERIOD = 65521;

/** The guest of a simulation: one TCP connection to the gateway's port 80. It checks what it hears. */
export interface SimGuest {
  /** When it wants its turn, in the clock's time. */
  readonly deadline: number;
  /** Bytes heard so far, every one of them as expected. */
  readonly heard: number;
  /** Whether it has heard the gateway's FIN. */
  readonly heardEnd: boolean;
  /** Whether nothing is left to be sent or answered. */
  readonly over: boolean;
  /** Segments that it has sent again. */
  readonly repeated: number;
  /** Sends SYN. */
  connect(): void;
  /** Queues bytes to send. */
  say(bytes: Uint8Array): void;
  /** Sends FIN after them. */
  finish(): void;
  /** The end of a turn. Returns whether there was anything to do. */
  turn(): boolean;
}

/** What a guest is made of. */
export interface SimGuestParts {
  /** Its end of the link, which it starts. */
  readonly link: Link;
  /** The simulation's time. */
  readonly clock: VirtualClock;
  /** What it is to hear. */
  readonly expected: Uint8Array;
  /** Over which family it connects. */
  readonly family: 4 | 6;
}

/** A simulated network. */
export interface SimulationOptions {
  /** Makes the guest. */
  readonly guest: (parts: SimGuestParts) => SimGuest;
  /** Largest IP packet. */
  readonly mtu: number;
  /** Whether the link carries 64 KiB segments. */
  readonly offload?: boolean;
  /** What the network does to frames. */
  readonly impairment: LossyLinkOptions;
  /** Decides the network's course. */
  readonly seed: number;
  /** What the guest is to hear. */
  readonly expected: Uint8Array;
  /** Over which family the guest connects; default 4. */
  readonly family?: 4 | 6;
  /** Other limits and times than the gateway's. */
  readonly tcp?: Partial<TcpConfig>;
}

/** A gateway, a bad network and a guest. */
export class Simulation {
  readonly clock = new VirtualClock();
  readonly host: ScriptHost;
  readonly nat: Nat;
  readonly link: LossyLink;
  readonly guest: SimGuest;
  #deliveries: (() => void)[] = [];
  #taken: number;

  constructor(options: SimulationOptions) {
    this.host = new ScriptHost({ time: this.clock.time });
    const logger = { debug() {}, info() {}, warn() {}, error() {} }, tcp = options.tcp ?? {};
    const rules = createTranslationRules();
    this.nat = new Nat({ host: this.host, rules, logger, random: () => 7, maxFlows: 8, tcp });
    this.host.start(() => this.nat.turn());
    const schedule = (deliver: () => void) => void this.#deliveries.push(deliver);
    const { mtu, offload = false, seed, expected, family = 4 } = options;
    const [gatewayEnd, guestEnd] = memoryLinkPair({ mtu, offload, capacity: 8192, schedule });
    this.link = lossyLink(gatewayEnd, { ...options.impairment, seed, clock: this.clock, capacity: 8192 });
    const attached = this.nat.attach(this.link);
    this.link.start({
      receive: (frame) => attached.receive(frame),
      flush: () => this.host.wake(),
      closed: () => this.nat.detach(attached),
    });
    this.guest = options.guest({ link: guestEnd, clock: this.clock, expected, family });
    this.#taken = this.nat.pool.takenBytes;
  }

  /** The host's socket of the guest's connection. Throws an `Error` before there is one. */
  get socket(): ScriptTcpSocket {
    const [socket] = this.host.sockets;
    if (socket === undefined) throw new Error("Cannot give the host's socket: the guest has not connected");
    return socket;
  }

  /** The gateway's only flow. */
  get flow(): FlowInfo | undefined {
    return this.nat.flows()[0];
  }

  /** Lets time pass until `condition` holds, at most `limitMs`. Throws an `Error` where it does not come true. */
  run(what: string, condition: () => boolean, limitMs: number = 3600_000): void {
    const end = this.clock.time + limitMs;
    for (let step = 0; step < MAX_STEPS; step++) {
      this.#settle();
      if (condition()) return;
      const next = Math.min(this.clock.deadline, this.host.deadline, this.guest.deadline);
      if (next > end) {
        const state = this.flow?.state ?? "none";
        throw new Error(`Waited in vain until ${what}: flow ${state}, ${this.guest.heard} bytes heard`);
      }
      this.clock.time = this.host.time = Math.max(this.clock.time, next);
    }
    throw new Error(`Waited in vain until ${what}: ${MAX_STEPS} steps and no end`);
  }

  /** Lets `ms` pass. */
  pass(ms: number): void {
    let over = false;
    this.clock.delay(() => void (over = true), ms);
    this.run(`${ms} ms have passed`, () => over, ms);
  }

  /** Lets the connection come to its end, and asserts that nothing is left of it anywhere. */
  end(): void {
    this.run("nothing is left", () => this.nat.flowCount === 0 && this.guest.over && this.clock.size === 0);
    assertEquals(this.nat.timers.size, 0, "timers");
    assertEquals(this.nat.pool.takenBytes, this.#taken, "buffers");
    assertEquals(this.host.openSockets, [], "sockets");
    assert(this.socket.endedInOrder, "the host saw an orderly end");
  }

  #settle(): void {
    for (let busy = true; busy;) {
      const due = this.#deliveries.splice(0);
      for (const deliver of due) deliver();
      for (const socket of this.host.pendingConnects) socket.accept();
      busy = due.length > 0;
      busy = this.guest.turn() || busy;
      busy = this.clock.run() || busy;
      busy = this.host.round() || busy;
    }
  }
}

/** `length` bytes in which one that is lost, repeated or out of place shows. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((i % PATTERN_PERIOD) * 31) ^ ((i % PATTERN_PERIOD) >> 8));
}

/** Throws an `Error` unless `bytes[start, end)` are those of `expected` from `at` on. */
export function assertExpected(expected: Uint8Array, at: number, bytes: Uint8Array, start: number, end: number): void {
  if (equals(bytes.subarray(start, end), expected.subarray(at, at + end - start))) return;
  throw new Error(`${end - start} bytes from ${at} on are not those that were sent`);
}
