import { assertEquals } from "@std/assert";
import type { LoopbackDoor } from "../../forward/loopback_door.ts";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../../net/wire/tcp.ts";
import { endpoint, ForwardScript } from "../support/forward_script.ts";

/** The door of a script, whose ways the test opens and refuses. */
class ScriptDoor implements LoopbackDoor {
  readonly asked: string[] = [];
  readonly ways: PromiseWithResolvers<number>[] = [];
  closed = 0;
  ownPort = 0;

  open({ protocol, address, port }: Parameters<LoopbackDoor["open"]>[0], otherwise?: unknown) {
    this.asked.push([protocol, address, port, ...(otherwise === undefined ? [] : [otherwise])].join(" "));
    const way = Promise.withResolvers<number>();
    this.ways.push(way);
    way.promise.catch(() => {});
    return { begins: way.promise, close: () => void this.closed++ };
  }

  isOwn({ port }: Parameters<LoopbackDoor["isOwn"]>[0]): boolean {
    return port === this.ownPort;
  }

  /** The latest way is open, at this port. */
  async opens(port: number): Promise<void> {
    this.ways.at(-1)!.resolve(port);
    await settled();
  }

  /** The latest way cannot be opened. */
  async refuses(why: string): Promise<void> {
    this.ways.at(-1)!.reject(new Error(why));
    await settled();
  }
}

/** A gateway whose clients on loopback are led. */
async function setUp(specs: string | string[], options: Parameters<typeof ForwardScript.start>[1] = {}) {
  const script = await ForwardScript.start(specs, options), door = new ScriptDoor();
  script.forwards.leadLoopback(door);
  return { script, door };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
}

const decoder = new TextDecoder();

Deno.test("LoopbackClients leads a client of loopback by a way that the first opens, and others to the guest", async () => {
  const { script, door } = await setUp("tcp:0.0.0.0/8080:80");
  const first = script.connect("127.0.0.1:5000"), second = script.connect("127.0.0.9:5001");
  assertEquals([door.asked, script.take()], [["tcp 127.0.0.1 80 ::1"], []]);
  await door.opens(61000);
  script.host.run();
  const led = [script.expect({ flags: TCP_SYN }), script.expect({ flags: TCP_SYN })];
  assertEquals(led.map(({ from, to }) => `${from} ${to}`), [
    "10.0.2.2:5000 10.0.2.15:61000",
    "10.0.2.2:5001 10.0.2.15:61000",
  ]);
  // The third does not wait, and whoever is not on loopback never did.
  script.connect("127.0.0.1:5002");
  script.connect("192.0.2.1:5003");
  assertEquals([script.expect({}), script.expect({})].map(({ to }) => to), ["10.0.2.15:61000", "10.0.2.15:80"]);
  assertEquals([door.asked.length, first.closed, second.closed], [1, false, false]);
  assertEquals(script.nat.flows().map(({ host }) => host).toSorted(), [
    "127.0.0.1:5000",
    "127.0.0.1:5002",
    "127.0.0.9:5001",
    "192.0.2.1:5003",
  ]);
  script.nat.close();
});

Deno.test("LoopbackClients passes on what a client said while it waited, and what the guest answers", async () => {
  const { script, door } = await setUp("tcp:8080:80"), client = script.connect("127.0.0.1:5000");
  client.hostSends("early");
  script.host.run();
  assertEquals(client.readableCalls, 0);
  await door.opens(61000);
  script.host.run();
  script.expectSyn();
  script.send({ flags: TCP_SYN | TCP_ACK, mss: 1460 });
  script.expect({ flags: TCP_ACK });
  assertEquals(decoder.decode(script.expect({}).payload), "early");
  script.send({ flags: TCP_ACK, payload: "answer" });
  assertEquals(client.receivedLength, 6);
  script.nat.close();
});

Deno.test("LoopbackClients opens a way for each family, and none for a named guest or a port of the door itself", async () => {
  const { script, door } = await setUp(["tcp:[::]/8080:80", "tcp:8081:10.0.2.15/80", "tcp:8082:61000"]);
  door.ownPort = 61000;
  script.connect("[::1]:5000");
  script.connect("127.0.0.1:5000");
  assertEquals(door.asked, ["tcp ::1 80 127.0.0.1", "tcp 127.0.0.1 80 ::1"]);
  script.connect("127.0.0.1:5001", 1);
  script.connect("127.0.0.1:5002", 2);
  assertEquals([script.expect({}).to, script.expect({}).to], ["10.0.2.15:80", "10.0.2.15:61000"]);
  assertEquals(door.asked.length, 2);
  await script.forwards.close();
  await settled();
  script.nat.close();
});

Deno.test("LoopbackClients turns clients away if there is no way, never to the guest, and the next one has it tried again", async () => {
  const { script, door } = await setUp("tcp:8080:80");
  const client = script.connect("127.0.0.1:5000"), other = script.connect("127.0.0.1:5001");
  await door.refuses("it is shut");
  script.host.run();
  assertEquals([client.wasReset, other.wasReset, script.nat.counters.forwardNoWay], [true, true, 2]);
  assertEquals([script.take(), door.closed], [[], 1]);
  script.connect("127.0.0.1:5002");
  assertEquals(door.asked.length, 2);
  await door.opens(61000);
  script.host.run();
  assertEquals(script.expect({ flags: TCP_SYN }).to, "10.0.2.15:61000");
  script.nat.close();
});

Deno.test("LoopbackClients lets so many clients wait and no more, and forgets one that gives up", async () => {
  const { script, door } = await setUp("tcp:8080:80", { maxFlows: 1000 });
  const clients = Array.from({ length: 256 }, (_, i) => script.connect(`127.0.0.1:${5000 + i}`));
  const late = script.connect("127.0.0.1:6000");
  assertEquals([late.wasReset, script.nat.counters.forwardNoWay], [true, 1]);
  clients[0]!.hostResets();
  script.host.run();
  assertEquals(clients[0]!.closed, true);
  assertEquals(script.connect("127.0.0.1:6001").closed, false);
  await door.opens(61000);
  script.host.run();
  assertEquals(script.nat.flows().length, 256);
  script.nat.close();
});

Deno.test("LoopbackClients ends with its forward: clients that wait are reset, flows go on unless they are reset too", async () => {
  for (const reset of [false, true]) {
    const { script, door } = await setUp("tcp:8080:80");
    const client = script.connect("127.0.0.1:5000");
    await door.opens(61000);
    script.host.run();
    script.expectSyn();
    script.send({ flags: TCP_SYN | TCP_ACK, mss: 1460 });
    script.expect({ flags: TCP_ACK });
    const waiting = script.connect("[::1]:5001");
    await script.live[0]!.remove({ reset });
    script.host.run();
    assertEquals([door.closed, waiting.wasReset, client.wasReset, script.nat.flows().length], [
      2,
      true,
      reset,
      reset ? 0 : 1,
    ]);
    // A way that opens too late leads nowhere.
    await door.opens(61001);
    script.host.run();
    assertEquals(script.take().filter(({ flags }) => flags !== TCP_RST && flags !== (TCP_RST | TCP_ACK)), []);
    script.nat.close();
  }
});

Deno.test("LoopbackClients keeps the first datagrams until there is a way, and carries answers back", async () => {
  const { script, door } = await setUp("udp:0.0.0.0/5353:53");
  for (let i = 0; i < 20; i++) script.clientSends(`${i}`, "127.0.0.1:5000");
  script.clientSends("far", "192.0.2.1:5001");
  assertEquals(door.asked, ["udp 127.0.0.1 53"]);
  assertEquals(script.takeUdp().map(({ guestPort }) => guestPort), [53]);
  await door.opens(61000);
  script.host.run();
  const led = script.takeUdp();
  assertEquals(led.map(({ payload }) => decoder.decode(payload)), Array.from({ length: 16 }, (_, i) => `${i}`));
  assertEquals([...new Set(led.map(({ guestPort, remote }) => `${guestPort} ${remote}`))], ["61000 10.0.2.2:5000"]);
  assertEquals(script.nat.counters.forwardNoWay, 4);
  script.sendUdp({ payload: "answer", guestPort: 61000, remote: "10.0.2.2:5000" });
  assertEquals(script.takeClients(), ["127.0.0.1:5000 answer"]);
  script.udpSocket().hostRefuses(endpoint("127.0.0.1:5000"));
  script.host.run();
  assertEquals(script.takeIcmp().length, 1);
  await script.forwards.close();
  assertEquals([door.closed, script.nat.flows()], [1, []]);
});

Deno.test("LoopbackClients drops and counts datagrams for which there is no way", async () => {
  const { script, door } = await setUp("udp:5353:53");
  script.clientSends("one");
  script.clientSends("two");
  await door.refuses("it is shut");
  assertEquals([script.takeUdp(), script.nat.counters.forwardNoWay], [[], 2]);
  script.clientSends("three");
  assertEquals(door.asked.length, 2);
  await script.forwards.close();
  assertEquals(script.nat.counters.forwardNoWay, 3);
  await settled();
  script.nat.close();
});
