import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { FAILED, type HostConnectHandler, READ, WOULD_BLOCK, WRITE } from "../../nat/host.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { pattern } from "./bytes.ts";
import { hostCases } from "./host_cases.ts";
import { ScriptWorld } from "./host_peers.ts";
import { digest, ScriptHost, type ScriptTcpSocket } from "./script_host.ts";

hostCases("ScriptHost", () => new ScriptWorld(), { resets: true, udpErrors: true });

const TARGET = { address: IpAddress.parse("192.0.2.1"), port: 80 };

/** A handler that records its calls. */
function recorder(): HostConnectHandler & { told: string[] } {
  const told: string[] = [];
  return {
    told,
    hostConnected: () => void told.push("connected"),
    hostConnectFailed: (error) => void told.push(`connectFailed ${error}`),
    hostReadable: () => void told.push("readable"),
    hostWritable: () => void told.push("writable"),
    hostFailed: (error) => void told.push(`failed ${error}`),
  };
}

function connected(host: ScriptHost): ScriptTcpSocket {
  const socket = host.connectTcp(TARGET, recorder());
  socket.accept();
  host.run();
  return socket;
}

Deno.test("ScriptHost answers a connect when the test says so and with what it says", () => {
  const host = new ScriptHost(), one = recorder(), two = recorder();
  host.connectTcp(TARGET, one);
  host.onlyConnect().accept();
  assertEquals(one.told, []);
  host.run();
  host.connectTcp(TARGET, two).refuse("networkUnreachable");
  host.run();
  assertEquals([one.told, two.told], [["connected"], ["connectFailed networkUnreachable"]]);
  assertEquals(host.openSockets.length, 1);
});

Deno.test("ScriptHost.advance calls the turn at each deadline, in order", () => {
  const host = new ScriptHost({ time: 0 });
  const times: number[] = [];
  host.start(() => {
    times.push(host.now());
    return host.now() < 30 ? host.now() + 10 : Infinity;
  });
  host.advance(25);
  assertEquals([times, host.now()], [[0, 10, 20], 25]);
  host.advance(100);
  assertEquals([times, host.now()], [[0, 10, 20, 30], 125]);
});

Deno.test("ScriptTcpSocket.budget limits what write takes, and what it took is kept", () => {
  const host = new ScriptHost(), socket = connected(host);
  socket.budget = 5;
  assertEquals(socket.write(pattern(8), 1, 8), 5);
  assertEquals(socket.write(pattern(8), 6, 8), WOULD_BLOCK);
  socket.setInterest(WRITE);
  host.run();
  assertEquals(socket.writableCalls, 0);
  assertEquals(socket.received, pattern(8).subarray(1, 6));
  assertEquals(socket.receivedDigest, digest(pattern(8).subarray(1, 6)));
});

Deno.test("ScriptTcpSocket digests parts as it would the whole, and keeps no bytes when told so", () => {
  const host = new ScriptHost(), socket = connected(host);
  socket.record = "digest";
  socket.writeAtMost = 7;
  for (let at = 0; at < 100;) at += socket.write(pattern(100), at, 100);
  assertEquals([socket.receivedLength, socket.receivedDigest], [100, digest(pattern(100))]);
  assertThrows(() => socket.received, Error, "only their digest was kept");
});

Deno.test("ScriptTcpSocket gives what came before a reset, then FAILED", () => {
  const host = new ScriptHost(), socket = connected(host), bytes = new Uint8Array(10);
  socket.hostSends("hello");
  socket.hostResets();
  host.run();
  assertEquals(socket.read(bytes, 0, 3), 3);
  assertEquals(socket.read(bytes, 3, 10), 2);
  assertEquals([socket.read(bytes, 5, 10), socket.error], [FAILED, "reset"]);
});

Deno.test("ScriptTcpSocket throws for what real hosts leave undefined", () => {
  const host = new ScriptHost(), bytes = new Uint8Array(4);
  const half = connected(host);
  half.closeWrite();
  assertThrows(() => half.write(bytes, 0, 4), Error, "closeWrite was called");
  assertThrows(() => half.closeWrite(), Error, "closeWrite was called before");
  assertThrows(() => half.read(bytes, 4, 4), RangeError, "no range of 4 bytes");
  assertThrows(() => half.setInterest(4), RangeError, "unknown bits");
  const closed = connected(host);
  closed.close();
  for (
    const use of [() => closed.close(), () => closed.reset(), () => closed.setInterest(0), () => closed.closeWrite()]
  ) {
    assertThrows(use, Error, "the socket is closed");
  }
  assertThrows(() => closed.read(bytes, 0, 4), Error, "the socket is closed");
  assertThrows(() => closed.write(bytes, 0, 4), Error, "the socket is closed");
});

Deno.test("ScriptTcpSocket throws for a script that no peer could follow", () => {
  const host = new ScriptHost();
  const socket = host.connectTcp(TARGET, recorder());
  assertThrows(() => socket.hostSends("x"), Error, "it is not connected");
  socket.accept();
  assertThrows(() => socket.refuse(), Error, "it was answered before");
  socket.hostEof();
  assertThrows(() => socket.hostSends("x"), Error, "the peer has sent its FIN");
  socket.hostResets();
  assertThrows(() => socket.hostEof(), Error, "the connection is broken");
});

Deno.test("ScriptHost.run throws instead of going round for ever", () => {
  const host = new ScriptHost(), socket = connected(host);
  socket.hostEof();
  socket.setInterest(READ);
  const error = assertThrows(() => host.run(), Error);
  assertStringIncludes(error.message, "192.0.2.1:80, are ready and nobody acts on it");
  socket.setInterest(0);
  host.run();
  host.start(() => host.now());
  assertStringIncludes(
    assertThrows(() => host.run(), Error).message,
    "the turn asks to be called at 1000 and it is 1000",
  );
});

Deno.test("ScriptHost.run throws from within a handler", () => {
  const host = new ScriptHost();
  host.start(() => {
    host.run();
    return Infinity;
  });
  assertThrows(() => host.run(), Error, "from within a handler or the turn");
});

Deno.test("ScriptHost answers openUdp with the error it was given, and overwrites datagrams after the call", () => {
  const host = new ScriptHost();
  const kept: Uint8Array[] = [];
  const handler = {
    hostDatagram: (bytes: Uint8Array, start: number, end: number) => void kept.push(bytes.subarray(start, end)),
    hostDatagramFailed: () => {},
  };
  host.udpError = "exhausted";
  assertEquals(host.openUdp(4, handler), "exhausted");
  host.udpError = undefined;
  const socket = host.openUdp(4, handler);
  assert(typeof socket !== "string");
  socket.hostSends("abc", TARGET);
  host.run();
  assertEquals(kept, [Uint8Array.of(0xa5, 0xa5, 0xa5)]);
  assertThrows(() => socket.send(new Uint8Array(1), 0, 1, { address: IpAddress.parse("::1"), port: 1 }), TypeError);
  socket.close();
  assertThrows(() => socket.send(new Uint8Array(1), 0, 1, TARGET), Error, "the socket is closed");
});
