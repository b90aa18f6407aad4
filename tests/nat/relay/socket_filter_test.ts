import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { FAILED, type HostConnectHandler, type HostTcpSocket, READ, WOULD_BLOCK, WRITE } from "../../../nat/host.ts";
import { type FirstBytesJudge, MAX_FIRST_BYTES, SocketFilter, VERDICT_MS } from "../../../nat/relay/socket_filter.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { TCP_ACK, TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { pattern } from "../../support/bytes.ts";
import { FilteredHost, FilteredWorld, PASS_ALL, passOk } from "../../support/filters.ts";
import { hostCases } from "../../support/host_cases.ts";
import { bytesOf, NatScript } from "../../support/nat_script.ts";
import { checkProperty } from "../../support/properties.ts";
import { ScriptHost, type ScriptTcpSocket } from "../../support/script_host.ts";

hostCases("SocketFilter", () => new FilteredWorld({ judge: PASS_ALL }), { resets: true, udpErrors: true });

const FIN = TCP_FIN | TCP_ACK;
const TARGET = { address: IpAddress.parse("192.0.2.1"), port: 80 };

/** Registers a test of a guest whose flow to 10.0.2.2:80 is judged by an `OkJudge`, the host connected first. */
function filterTest(name: string, body: (script: NatScript, socket: ScriptTcpSocket) => void): void {
  Deno.test(`SocketFilter ${name}`, () => {
    NatScript.filtered({ judge: passOk }, () => {
      const script = new NatScript();
      body(script, script.open());
    });
  });
}

/** What the guest gets, acknowledged. */
function receive(script: NatScript): string {
  const bytes = script.receiveAll();
  script.send();
  return new TextDecoder().decode(bytes);
}

/** The guest was reset, by the last segment. */
function expectReset(script: NatScript): void {
  assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
}

/** The host's end, to the last ACK of the guest, which has finished before. */
function finishHost(script: NatScript, socket: ScriptTcpSocket): void {
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send();
}

filterTest("holds what the guest says first until it passes, and the host talks meanwhile", (script, socket) => {
  script.send({ payload: "o" });
  script.send({ payload: "k go" });
  socket.hostSends("220 ready");
  script.host.run();
  assertEquals([receive(script), socket.receivedLength], ["220 ready", 0]);
  script.send({ payload: " on! and more" });
  script.send({ payload: ", and more" });
  assertEquals(socket.received, bytesOf("ok go on! and more, and more"));
  script.send({ flags: FIN });
  finishHost(script, socket);
  assertEquals(socket.endedInOrder, true);
  script.assertEmpty();
});

filterTest("resets both sides when it refuses, and the host has got nothing", (script, socket) => {
  socket.hostSends("220 ready");
  script.host.run();
  receive(script);
  script.send({ payload: "no" });
  script.send({ payload: "!" });
  assertEquals([socket.wasReset, socket.receivedLength], [true, 0]);
  expectReset(script);
  assertEquals([script.nat.endings.hostRefused, script.nat.endings.resetByHost], [1, 0]);
  script.assertEmpty();
});

Deno.test("SocketFilter passes on what it holds, if its judge gives way when time or room is over", () => {
  const lenient: FirstBytesJudge = { endsAs: null, judge: () => "more", last: () => "pass" };
  NatScript.filtered({ judge: lenient }, () => {
    const late = new NatScript(), socket = late.open();
    late.send({ payload: "held" });
    late.advance(VERDICT_MS - 1);
    assertEquals(socket.receivedLength, 0);
    late.advance(1);
    late.send({ payload: " more" });
    assertEquals(socket.received, bytesOf("held more"));

    const large = new NatScript(), other = large.open(), bytes = pattern(MAX_FIRST_BYTES + 5000);
    for (let at = 0; at < bytes.length; at += 1400) {
      large.send({ payload: bytes.subarray(at, at + 1400) });
      if (at + 1400 < MAX_FIRST_BYTES) assertEquals(other.receivedLength, 0);
    }
    assertEquals(other.received, bytes);
  });
});

Deno.test("SocketFilter holds no more than 4 KiB while memory is full", () => {
  NatScript.filtered({ judge: passOk }, () => {
    const script = new NatScript({ maxBufferBytes: 1 }),
      socket = script.open(),
      bytes = bytesOf("ok".padEnd(4096, "."));
    script.send({ payload: bytes.subarray(0, 1400) });
    script.send({ payload: bytes.subarray(1400, 2800) });
    script.send({ payload: bytes.subarray(2800, 4095) });
    assertEquals([script.nat.flows()[0]!.bytesFromGuest, socket.closed], [4095, false]);
    script.send({ payload: bytes.subarray(4095) });
    assertEquals([socket.wasReset, script.nat.endings.hostRefused], [true, 1]);
    script.take();
    script.assertEmpty();

    const short = new NatScript({ maxBufferBytes: 1 }), other = short.open();
    short.send({ payload: "ok" });
    short.send({ payload: "!" });
    assertEquals(other.received, bytesOf("ok!"));
  });
});

filterTest("resets a guest at once that has not taken what the host has said", (script, socket) => {
  script.send({ payload: "no", window: 0 });
  socket.hostSends("220 ready");
  script.host.run();
  script.send({ payload: "!", window: 0 });
  expectReset(script);
  assertEquals([socket.wasReset, script.nat.endings.hostRefused], [true, 1]);
  script.assertEmpty();
});

filterTest("that has refused ends as its judge says though the host breaks in the same turn", (script, socket) => {
  script.send({ payload: "no" });
  socket.hostResets();
  script.send({ payload: "!" });
  script.host.run();
  script.take();
  assertEquals([script.nat.endings.hostRefused, socket.closed], [1, true]);
  script.assertEmpty();
});

filterTest("gives a verdict on 32,768 bytes and refuses when that is not enough", (script, socket) => {
  const most = bytesOf("ok".padEnd(MAX_FIRST_BYTES - 1, "."));
  for (let at = 0; at < most.length; at += 1400) script.send({ payload: most.subarray(at, at + 1400) });
  assertEquals([socket.receivedLength, socket.closed], [0, false]);
  script.send({ payload: "!behind it" });
  assertEquals(socket.received, bytesOf(`${new TextDecoder().decode(most)}!behind it`));
  script.nat.close();
  script.take();
  script.assertEmpty();

  const longer = new NatScript(), other = longer.open(), bytes = bytesOf("ok".padEnd(MAX_FIRST_BYTES + 1, "."));
  for (let at = 0; at < bytes.length; at += 1400) longer.send({ payload: bytes.subarray(at, at + 1400) });
  assertEquals([other.wasReset, other.receivedLength], [true, 0]);
  expectReset(longer);
  longer.assertEmpty();
});

filterTest("waits for the first byte as long as it takes, and 10 s from there for the verdict", (script, socket) => {
  script.advance(60 * VERDICT_MS);
  script.send({ payload: "ok" });
  script.advance(VERDICT_MS - 1);
  script.send({ payload: "..." });
  assertEquals(socket.closed, false);
  script.advance(1);
  assertEquals([socket.wasReset, socket.receivedLength], [true, 0]);
  expectReset(script);
  script.assertEmpty();
});

filterTest("has no limit of time once it has passed", (script, socket) => {
  script.send({ payload: "ok" });
  script.send({ payload: "!" });
  script.advance(60 * VERDICT_MS);
  script.send({ payload: "late" });
  assertEquals(socket.received, bytesOf("ok!late"));
});

filterTest("asks for the verdict at the guest's FIN, and passes that on behind what was held", (script, socket) => {
  script.send({ payload: "o" });
  script.send({ flags: FIN, payload: "k" });
  assertEquals([socket.received, socket.closeWriteCalled, script.state], [bytesOf("ok"), true, "CLOSE-WAIT"]);
  script.take();
  script.advance(5 * 60_000);
  socket.hostSends("answer");
  script.host.run();
  assertEquals(receive(script), "answer");
  finishHost(script, socket);
  assertEquals(socket.endedInOrder, true);
  script.assertEmpty();
});

for (const said of ["", "no"]) {
  filterTest(`refuses a guest that finishes with "${said}", which does not pass`, (script, socket) => {
    script.send({ flags: FIN, payload: said });
    assertEquals([socket.wasReset, socket.receivedLength], [true, 0]);
    expectReset(script);
    script.assertEmpty();
  });
}

filterTest("lets the host finish first, and the guest go on after that", (script, socket) => {
  script.send({ payload: "ok" });
  socket.hostSends("all of it");
  socket.hostEof();
  script.host.run();
  assertEquals([receive(script), script.state], ["all of it", "FIN-WAIT-2"]);
  script.send({ payload: "!" });
  script.send({ flags: FIN, payload: " thanks" });
  assertEquals([socket.received, socket.endedInOrder], [bytesOf("ok! thanks"), true]);
  script.advance(1001);
  script.take();
  script.assertEmpty();
});

filterTest("resets the host when the guest resets before the verdict, or is gone", (script, socket) => {
  script.send({ payload: "ok" });
  script.take();
  script.send({ flags: TCP_RST });
  assertEquals([socket.wasReset, socket.receivedLength], [true, 0]);
  script.expectNothing();
  script.assertEmpty();

  const gone = new NatScript(), other = gone.open();
  gone.send({ payload: "ok" });
  gone.nat.close();
  gone.take();
  assertEquals([other.closed, other.receivedLength], [true, 0]);
  gone.assertEmpty();
});

filterTest("gives the guest what the host sent before it broke, before the verdict, then RST", (script, socket) => {
  script.send({ payload: "ok" });
  socket.hostSends("last words");
  socket.hostResets();
  script.host.run();
  const [data] = script.take().filter(({ payload }) => payload.length > 0);
  assertEquals(data!.payload, bytesOf("last words"));
  script.ack = (script.ack + 10) >>> 0;
  script.send();
  expectReset(script);
  assertEquals([socket.closed, script.nat.endings.resetByHost], [true, 1]);
  script.assertEmpty();
});

for (const readsLate of [false, true]) {
  const kind = readsLate ? ", from a host that reads ahead" : "";
  filterTest(
    `whose host breaks at the verdict reads the rest as the guest makes room, then RST${kind}`,
    (script, socket) => {
      script.send({ payload: "ok", window: 4 });
      socket.readsLate = readsLate;
      socket.hostSends("0123456789");
      script.host.run();
      assertEquals(script.receiveAll(), bytesOf("0123"));
      socket.hostResets();
      script.send({ ack: (script.ack - 4) >>> 0, window: 4, payload: "!" });
      script.take();
      assertEquals([socket.closed, socket.receivedLength], [false, 0]);
      script.send({ window: 100 });
      assertEquals(script.receiveAll(), bytesOf("456789"));
      script.send({ window: 100 });
      expectReset(script);
      assertEquals(socket.closed, true);
      script.assertEmpty();
    },
  );
}

filterTest("leaves a guest time to read what a host has sent that broke before the verdict", (script, socket) => {
  script.send({ payload: "ok", window: 4 });
  socket.hostSends("0123456789");
  socket.hostResets();
  script.host.run();
  assertEquals(script.receiveAll(), bytesOf("0123"));
  script.send({ window: 0 });
  script.advance(2 * VERDICT_MS);
  script.take();
  script.send({ window: 100 });
  assertEquals(script.receiveAll(), bytesOf("456789"));
  script.send({ window: 100 });
  expectReset(script);
  script.assertEmpty();
});

filterTest("waits for a slow host to take what was held, and everything comes in order, then FIN", (script, socket) => {
  script.send({ payload: "ok" });
  socket.budget = 0;
  script.send({ payload: "!" });
  script.send({ flags: FIN, payload: " behind" });
  script.advance(2 * VERDICT_MS);
  for (let i = 1; i <= 10; i++) {
    assertEquals([socket.receivedLength, socket.closeWriteCalled], [i - 1, false]);
    socket.budget = 1;
    script.host.run();
  }
  assertEquals([socket.received, socket.closeWriteCalled], [bytesOf("ok! behind"), true]);
  finishHost(script, socket);
  script.assertEmpty();
});

/** Held bytes of a guest that has finished and whose connection is over, to a host that takes nothing. */
function drain(script: NatScript, socket: ScriptTcpSocket): void {
  script.send({ payload: "ok" });
  socket.budget = 1;
  script.send({ flags: FIN, payload: "!" });
  finishHost(script, socket);
  script.take();
  const [flow, ...others] = script.nat.flows();
  assertEquals([flow!.state, flow!.bytesToHost, others, socket.closed], ["draining", 1, [], false]);
}

filterTest(
  "keeps its flow draining until a slow host has taken what was held, then ends in order",
  (script, socket) => {
    drain(script, socket);
    script.advance(60 * 60_000);
    assertEquals(script.nat.flows().length, 1);
    socket.budget = Infinity;
    script.host.run();
    assertEquals([socket.received, socket.endedInOrder], [bytesOf("ok!"), true]);
    script.take();
    script.assertEmpty();
  },
);

filterTest("whose flow drains ends with the gateway, by a reset", (script, socket) => {
  drain(script, socket);
  script.nat.close();
  assertEquals([socket.wasReset, script.nat.flows()], [true, []]);
  script.take();
  script.assertEmpty();
});

filterTest("whose flow drains ends when the host breaks", (script, socket) => {
  drain(script, socket);
  socket.hostResets();
  script.host.run();
  assertEquals([socket.closed, script.nat.flows()], [true, []]);
  script.take();
  script.assertEmpty();
});

filterTest("counts what it holds as not sent to the host", (script, socket) => {
  script.send({ payload: "ok" });
  const [held] = script.nat.flows();
  script.send({ payload: "!" });
  const [passed] = script.nat.flows();
  assertEquals([held!.bytesFromGuest, held!.bytesToHost, passed!.bytesToHost, socket.receivedLength], [2, 0, 3, 3]);
});

filterTest("takes any number of pieces", (script, socket) => {
  script.nat.close();
  script.take();
  assert(socket.closed);
  const moves = fc.record({
    text: fc.string({ minLength: 0, maxLength: 40 }),
    cuts: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 20 }),
    budgets: fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 8 }),
    isOk: fc.boolean(),
    ends: fc.boolean(),
  });
  checkProperty(moves, ({ text, cuts, budgets, isOk, ends }) => {
    const flow = new NatScript(), host = flow.open(), bytes = bytesOf(`${isOk ? "ok" : "no"}${text}${ends ? "!" : ""}`);
    host.budget = 0;
    let budget = 0;
    for (let at = 0, i = 0; at < bytes.length && !host.closed; i++) {
      const payload = bytes.subarray(at, at += cuts[i % cuts.length]!);
      flow.send({ payload, ...(at >= bytes.length && { flags: FIN }) });
      host.budget = budgets[budget++] ?? host.budget;
      flow.host.run();
    }
    if (!host.closed) host.budget = Infinity;
    flow.host.run();
    assertEquals([host.received, host.wasReset], [isOk ? bytes : new Uint8Array(0), !isOk]);
    flow.take();
    if (isOk) {
      assertEquals(host.closeWriteCalled, true);
      host.hostEof();
      flow.host.run();
      flow.receiveAll();
      flow.send();
    }
    flow.assertEmpty();
  });
});

Deno.test("SocketFilter gives the host the very buffer that it was given, from the first write that passes on", () => {
  const given: unknown[] = [];
  const host: HostTcpSocket = {
    error: "other",
    setInterest() {},
    read: () => WOULD_BLOCK,
    write: (bytes, start, end) => given.push(bytes) && end - start,
    closeWrite() {},
    close() {},
    reset() {},
  };
  const script = new FilteredHost(new ScriptHost(), { judge: PASS_ALL }), owner = silent();
  const options = { connector: { connectTcp: () => host }, target: TARGET, judge: PASS_ALL };
  const filter = new SocketFilter(script, owner, options);
  filter.hostConnected();
  const bytes = pattern(100);
  assertEquals([filter.write(bytes, 0, 50), filter.write(bytes, 50, 100), given.length], [50, 50, 2]);
  for (const buffer of given) assertStrictEquals(buffer, bytes);
  assertEquals(script.pool.takenBytes, 0);
});

Deno.test("SocketFilter tells a refusal to an owner by what it is interested in, once", () => {
  for (const [interest, told] of [[READ, "readable"], [WRITE, "writable"], [0, "failed prohibited"]] as const) {
    const inner = new ScriptHost(), host = new FilteredHost(inner, { judge: passOk }), owner = silent();
    host.start(() => Infinity);
    const filter = host.connectTcp(TARGET, owner), bytes = bytesOf("no");
    inner.onlyConnect().accept();
    inner.run();
    assertEquals(filter.write(bytes, 0, 2), 2);
    owner.act = () => {
      if (interest === READ) assertEquals(filter.read(new Uint8Array(9), 0, 9), FAILED);
      if (interest === WRITE) assertEquals(filter.write(bytes, 0, 2), FAILED);
    };
    inner.sockets[0]!.budget = 0;
    filter.setInterest(interest);
    inner.wake();
    inner.advance(VERDICT_MS);
    assertEquals(owner.told, ["connected", told]);
    assertEquals([filter.error, filter.write(bytes, 0, 2)], ["prohibited", FAILED]);
    filter.setInterest(READ | WRITE);
    inner.wake();
    inner.run();
    assertEquals(owner.told.length, 2);
    filter.close();
    assertEquals([host.timers.size, host.pool.takenBytes, inner.openSockets], [0, 0, []]);
  }
});

/** A filter by an `OkJudge` that is connected, and its owner. */
function connected() {
  const inner = new ScriptHost(), host = new FilteredHost(inner, { judge: passOk }), owner = silent();
  host.start(() => Infinity);
  const filter = host.connectTcp(TARGET, owner), socket = inner.onlyConnect();
  socket.accept();
  inner.run();
  const run = () => (inner.wake(), inner.run());
  return { inner, host, owner, filter, socket, run };
}

Deno.test("SocketFilter that is closed before the verdict asks for it, and delivers or resets", () => {
  for (const [text, isOk] of [["ok", true], ["no", false]] as const) {
    const { host, filter, socket, run } = connected();
    assertEquals(filter.write(bytesOf(text), 0, 2), 2);
    filter.close();
    run();
    assertEquals([socket.receivedLength, socket.closed, socket.wasReset], [isOk ? 2 : 0, true, !isOk]);
    assertEquals([host.timers.size, host.pool.takenBytes], [0, 0]);
  }
});

Deno.test("SocketFilter forgets what it holds as soon as the host breaks, and tells an owner without interest", () => {
  const { host, filter, socket, run, owner } = connected();
  filter.write(bytesOf("ok"), 0, 2);
  socket.hostResets();
  run();
  assertEquals([owner.told, host.pool.takenBytes, host.timers.size], [["connected", "failed reset"], 0, 0]);
  assertEquals([filter.unwritten, filter.endsAs], [0, undefined]);
});

Deno.test("SocketFilter writes what was held when the host has room, whatever its owner is interested in", () => {
  const { filter, socket, run, owner } = connected();
  socket.budget = 0;
  filter.write(bytesOf("ok"), 0, 2);
  filter.closeWrite();
  run();
  assertEquals(socket.receivedLength, 0);
  socket.budget = 9;
  run();
  assertEquals([socket.received, socket.closeWriteCalled, owner.told], [bytesOf("ok"), true, [
    "connected",
    "writable",
  ]]);
  assertEquals(socket.interest, 0, "the host is not asked for room any more");
});

Deno.test("SocketFilter whose host breaks while it writes what was held calls a reader until he has read FAILED", () => {
  const { filter, socket, run, owner } = connected(), got: number[] = [];
  socket.budget = 0;
  filter.write(bytesOf("ok!"), 0, 2);
  filter.write(bytesOf("!"), 0, 1);
  owner.act = () => {
    got.push(filter.read(new Uint8Array(1), 0, 1));
    if (got.at(-1) === FAILED) filter.setInterest(0);
  };
  filter.setInterest(READ);
  socket.hostSends("abc");
  socket.hostResets();
  run();
  assertEquals([got, filter.error, owner.told.length], [[1, 1, 1, FAILED], "reset", 5]);
});

/** An owner that notes what it is told, and does `act` when it may read or write. */
function silent(): HostConnectHandler & { told: string[]; act: () => void } {
  const told: string[] = [];
  return {
    told,
    act() {},
    hostConnected: () => void told.push("connected"),
    hostConnectFailed: (error) => void told.push(`connectFailed ${error}`),
    hostReadable() {
      told.push("readable");
      this.act();
    },
    hostWritable() {
      told.push("writable");
      this.act();
    },
    hostFailed: (error) => void told.push(`failed ${error}`),
  };
}
