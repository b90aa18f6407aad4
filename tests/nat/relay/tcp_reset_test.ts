import { assert, assertEquals } from "@std/assert";
import { TCP_ACK, TCP_FIN, TCP_RST } from "../../../net/wire/tcp.ts";
import { bytesOf, NatScript } from "../../support/nat_script.ts";
import { relayTest } from "../../support/relay_cases.ts";
import type { ScriptTcpSocket } from "../../support/script_host.ts";

const FIN = TCP_FIN | TCP_ACK;

interface Way {
  readonly state: string;
  readonly go: (script: NatScript, socket: ScriptTcpSocket) => void;
}

/** Both sides have sent four bytes before, and the guest has acknowledged the host's. */
const WAYS: readonly Way[] = [
  { state: "ESTABLISHED", go: () => {} },
  {
    state: "FIN-WAIT-1",
    go: (script, socket) => {
      socket.hostEof();
      script.host.run();
    },
  },
  {
    state: "FIN-WAIT-2",
    go: (script, socket) => {
      socket.hostEof();
      script.host.run();
      script.receiveAll();
      script.send();
    },
  },
  { state: "CLOSE-WAIT", go: (script) => script.send({ flags: FIN }) },
  {
    state: "CLOSING",
    go: (script, socket) => {
      socket.hostEof();
      script.host.run();
      script.send({ flags: FIN });
    },
  },
  {
    state: "LAST-ACK",
    go: (script, socket) => {
      script.send({ flags: FIN });
      socket.hostEof();
      script.host.run();
    },
  },
];

function inState({ state, go }: Way): { script: NatScript; socket: ScriptTcpSocket } {
  const script = new NatScript(), socket = script.open();
  script.send({ payload: "ping" });
  socket.hostSends("pong");
  script.host.run();
  assertEquals(script.receiveAll(), bytesOf("pong"));
  script.send();
  go(script, socket);
  script.take();
  assertEquals(script.state, state);
  return { script, socket };
}

for (const way of WAYS) {
  // Where both FINs have passed the host already there is nothing left that a reset could tell it.
  const over = way.state === "CLOSING" || way.state === "LAST-ACK";
  relayTest(`TcpRelay in ${way.state} ${over ? "closes" : "resets"} the host at once when the guest resets`, () => {
    const { script, socket } = inState(way);
    script.send({ flags: TCP_RST });
    assertEquals([socket.received, socket.closed, socket.wasReset], [bytesOf("ping"), true, !over]);
    script.expectNothing();
    script.assertEmpty();
  });

  if (way.state !== "ESTABLISHED" && !way.state.startsWith("FIN-WAIT")) continue;
  relayTest(`TcpRelay in ${way.state} resets the host though it still owes it bytes, when the guest resets`, () => {
    const { script, socket } = inState(way);
    socket.budget = 0;
    script.send({ payload: "never to be written" });
    script.take();
    script.send({ flags: TCP_RST });
    assertEquals([socket.received, socket.wasReset], [bytesOf("ping"), true]);
    script.assertEmpty();
  });
}

for (const way of WAYS) {
  if (way.state === "LAST-ACK" || way.state === "CLOSING") continue;
  relayTest(`TcpRelay in ${way.state} resets the guest when the host connection breaks`, () => {
    const { script, socket } = inState(way);
    socket.hostResets();
    script.host.run();
    assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
    assert(socket.closed);
    script.assertEmpty();
  });
}

relayTest("TcpRelay whose host breaks while it owes bytes drops them and tells the guest", () => {
  const { script, socket } = inState(WAYS[0]!);
  socket.budget = 0;
  script.send({ payload: "owed" });
  script.take();
  socket.hostResets();
  script.host.run();
  assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
  script.assertEmpty();
});

relayTest("TcpRelay whose write fails gives the guest what the host had sent before, then RST", () => {
  const { script, socket } = inState(WAYS[0]!);
  socket.hostSends("last words");
  socket.hostResets();
  script.send({ payload: "into the void" });
  const [data] = script.take().filter(({ payload }) => payload.length > 0);
  assertEquals(data!.payload, bytesOf("last words"));
  script.ack = (script.ack + 10) >>> 0;
  script.send();
  assertEquals(script.take().at(-1)!.flags & TCP_RST, TCP_RST);
  script.assertEmpty();
});

for (const readsLate of [false, true]) {
  const kind = readsLate ? "a host that reads ahead" : "a host that calls no handler any more";
  relayTest(
    `TcpRelay whose write fails reads the rest by itself as the guest makes room, from ${kind}, then RST`,
    () => {
      const script = new NatScript(), socket = script.open({ window: 4 });
      socket.readsLate = readsLate;
      socket.hostSends("0123456789abcdef");
      script.host.run();
      assertEquals(script.receiveAll(), bytesOf("0123"));
      socket.hostResets();
      script.send({ ack: (script.ack - 4) >>> 0, window: 4, payload: "lost" });
      assertEquals([socket.interest, socket.closed, script.nat.flows()[0]!.bytesFromHost], [0, false, 4]);
      const calls = socket.readableCalls;
      script.take();
      script.send({ window: 6 });
      assertEquals(script.receiveAll(), bytesOf("456789"));
      script.send({ window: 100 });
      assertEquals(script.receiveAll(), bytesOf("abcdef"));
      assertEquals(socket.closed, false);
      script.send({ window: 100 });
      assertEquals(script.take().map(({ flags }) => flags & TCP_RST), [TCP_RST]);
      assertEquals([socket.closed, socket.received, socket.readableCalls - calls], [
        true,
        new Uint8Array(),
        readsLate ? 1 : 0,
      ]);
      assertEquals(script.nat.endings.resetByHost, 1);
      script.assertEmpty();
    },
  );
}

relayTest("TcpRelay that drains drops what it owes when the host breaks", () => {
  const { script, socket } = inState(WAYS[0]!);
  socket.budget = 0;
  script.send({ flags: FIN, payload: "owed" });
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send();
  assertEquals(script.state, "draining");
  socket.hostResets();
  script.host.run();
  assert(socket.closed);
  script.assertEmpty();
});

relayTest("TcpRelay whose link ends resets the host and leaves nothing", () => {
  for (const way of WAYS) {
    const { script, socket } = inState(way);
    script.nat.detach(script.guest);
    script.host.wake();
    script.host.run();
    script.take();
    assert(socket.closed, way.state);
    script.assertEmpty();
  }
});

relayTest("TcpRelay gives up a connect that the guest resets, without telling anyone", () => {
  const script = new NatScript();
  script.send({ flags: 2, ack: 0 });
  const socket = script.host.onlyConnect();
  script.send({ flags: TCP_RST });
  assert(socket.closed);
  script.expectNothing();
  script.assertEmpty();
});

relayTest("TcpRelay whose guest is gone after its FIN gives a slow host all of it, then an orderly end", () => {
  const { script, socket } = inState(WAYS[0]!);
  socket.budget = 0;
  script.send({ flags: FIN, payload: "x".repeat(1000) });
  script.take();
  script.nat.detach(script.guest);
  script.host.wake();
  script.host.run();
  script.take();
  assertEquals([script.state, socket.closed], ["draining", false]);
  script.advance(60_000);
  socket.budget = Infinity;
  script.host.run();
  assertEquals([socket.receivedLength, socket.endedInOrder, script.nat.endings.guestGone], [1004, true, 1]);
  script.assertEmpty();
});

relayTest("TcpRelay whose guest is gone without a FIN gives the host what it was acknowledged, then a reset", () => {
  const { script, socket } = inState(WAYS[0]!);
  socket.budget = 0;
  script.send({ payload: "x".repeat(1000) });
  script.take();
  script.nat.detach(script.guest);
  socket.budget = Infinity;
  script.host.wake();
  script.host.run();
  script.take();
  assertEquals([socket.receivedLength, socket.wasReset], [1004, true]);
  script.assertEmpty();
});

relayTest(
  "TcpRelay of a gateway that is closed ends in order where the guest has finished and everything is written",
  () => {
    const { script, socket } = inState(WAYS.find(({ state }) => state === "CLOSE-WAIT")!);
    script.nat.close();
    script.take();
    assertEquals([socket.closed, socket.wasReset], [true, false]);
  },
);
