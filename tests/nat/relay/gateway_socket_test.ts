import { assertEquals } from "@std/assert";
import { FAILED, type HostConnectHandler, type HostError, READ, WOULD_BLOCK, WRITE } from "../../../nat/host.ts";
import { GatewaySocket } from "../../../nat/relay/gateway_socket.ts";
import { FilteredHost, PASS_ALL } from "../../support/filters.ts";
import { ScriptHost } from "../../support/script_host.ts";

/** A socket that gives what it was given, while `room` lasts. */
class Echo extends GatewaySocket {
  readonly bytes: number[] = [];
  room = Infinity;
  finished = false;
  released: boolean[] = [];

  protected override get hasBytes(): boolean {
    return this.bytes.length > 0;
  }

  protected override get hasEnded(): boolean {
    return this.finished && this.bytes.length === 0;
  }

  protected override get hasRoom(): boolean {
    return this.room > 0;
  }

  protected override give(bytes: Uint8Array, start: number, end: number): number {
    const part = this.bytes.splice(0, end - start);
    bytes.set(part, start);
    return part.length;
  }

  protected override take(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(end - start, this.room);
    this.bytes.push(...bytes.subarray(start, start + count));
    this.room -= count;
    this.notify();
    return count;
  }

  protected override finish(): void {
    this.finished = true;
    this.notify();
  }

  protected override release(isReset: boolean): void {
    this.released.push(isReset);
  }

  connect(): void {
    this.accept();
  }

  break(error: HostError = "reset"): void {
    this.fail(error);
  }

  poke(): void {
    this.notify();
  }
}

/** A socket and its owner, which does `act` whenever it is told something, and the turn in which it was. */
function connected() {
  const inner = new ScriptHost(), host = new FilteredHost(inner, { judge: PASS_ALL });
  const told: string[] = [], turns: number[] = [], script = { act: (_what: string) => {} };
  const tell = (what: string) => {
    told.push(what);
    turns.push(inner.turns);
    script.act(what);
  };
  const owner: HostConnectHandler = {
    hostConnected: () => tell("connected"),
    hostConnectFailed: () => tell("connectFailed"),
    hostReadable: () => tell("readable"),
    hostWritable: () => tell("writable"),
    hostFailed: (error) => tell(`failed ${error}`),
  };
  host.start(() => Infinity);
  const socket = new Echo(host, owner), run = () => (inner.wake(), inner.run());
  socket.connect();
  assertEquals(told, []);
  return { socket, told, turns, script, run, timers: host.timers };
}

const BYTES = Uint8Array.of(1, 2, 3, 4);

Deno.test("GatewaySocket says that it is connected once, at the end of the turn, and takes nothing before", () => {
  const { socket, told, run } = connected();
  assertEquals(socket.write(BYTES, 0, 4), WOULD_BLOCK);
  socket.setInterest(WRITE);
  run();
  assertEquals(told[0], "connected");
  socket.setInterest(0);
  const { length } = told;
  run();
  assertEquals(told.length, length);
});

Deno.test("GatewaySocket calls once a turn while an interest is met, and not when there is none", () => {
  const { socket, told, turns, script, run } = connected();
  run();
  socket.write(BYTES, 0, 4);
  run();
  assertEquals(told, ["connected"]);
  const into = new Uint8Array(9);
  script.act = () => {
    if (socket.read(into, 0, 1) === 1) return;
    assertEquals(socket.read(into, 0, 1), 0);
    socket.setInterest(0);
  };
  socket.closeWrite();
  socket.setInterest(READ);
  run();
  assertEquals(told, ["connected", ...Array(5).fill("readable")]);
  assertEquals(new Set(turns).size, 6);
});

Deno.test("GatewaySocket holds a writer back who has no room, and calls him when there is", () => {
  const { socket, told, script, run } = connected();
  run();
  socket.room = 3;
  assertEquals([socket.write(BYTES, 0, 4), socket.write(BYTES, 3, 4)], [3, WOULD_BLOCK]);
  socket.setInterest(WRITE);
  run();
  assertEquals(told, ["connected"]);
  script.act = () => socket.setInterest(0);
  socket.room = 1;
  socket.setInterest(WRITE);
  run();
  assertEquals(told, ["connected", "writable"]);
});

Deno.test("GatewaySocket says nothing more when a handler closes, though it was writable too, and frees its timer", () => {
  for (const isReset of [false, true]) {
    const { socket, told, script, run, timers } = connected();
    run();
    socket.write(BYTES, 0, 4);
    script.act = () => isReset ? socket.reset() : socket.close();
    socket.setInterest(READ | WRITE);
    run();
    socket.setInterest(READ | WRITE);
    socket.break();
    socket.close();
    run();
    assertEquals([told, socket.released, timers.size], [["connected", "readable"], [isReset], 0]);
  }
});

Deno.test("GatewaySocket that is closed before the end of the turn says nothing of what came in it", () => {
  const { socket, told, run } = connected();
  run();
  socket.setInterest(READ);
  socket.write(BYTES, 0, 4);
  socket.close();
  run();
  assertEquals(told, ["connected"]);
});

Deno.test("GatewaySocket that fails gives what it had, then FAILED and not EOF, and tells of it once", () => {
  const { socket, told, script, run } = connected(), into = new Uint8Array(9);
  run();
  socket.write(BYTES, 0, 4);
  socket.closeWrite();
  socket.break();
  script.act = () => void socket.read(into, 0, 3);
  socket.setInterest(READ);
  run();
  assertEquals(told, ["connected", "readable", "readable", "readable"]);
  assertEquals([socket.read(into, 0, 3), socket.write(BYTES, 0, 4), socket.error], [FAILED, FAILED, "reset"]);
  socket.setInterest(READ | WRITE);
  run();
  assertEquals(told.length, 4);
});

Deno.test("GatewaySocket that fails says so once to an owner without interest, and to a writer by his write", () => {
  const idle = connected();
  idle.run();
  idle.socket.break();
  idle.run();
  idle.socket.setInterest(READ | WRITE);
  idle.run();
  idle.socket.setInterest(0);
  idle.socket.break("timedOut");
  idle.socket.poke();
  idle.run();
  assertEquals(idle.socket.error, "reset");
  assertEquals(idle.told, ["connected", "failed reset"]);

  const writer = connected();
  writer.run();
  writer.socket.room = 0;
  writer.socket.setInterest(WRITE);
  writer.script.act = () => assertEquals(writer.socket.write(BYTES, 0, 4), FAILED);
  writer.socket.break();
  writer.run();
  writer.socket.closeWrite();
  writer.run();
  assertEquals([writer.told, writer.socket.finished], [["connected", "writable"], false]);
});
