import { assertEquals, assertRejects } from "@std/assert";
import { AgentDoor } from "../../cli/loopback_door.ts";
import type { Listening } from "../../forward/loopback_door.ts";
import { IpAddress } from "../../net/wire/address.ts";

const GATEWAYS = ["10.0.2.2", "fd00::2"].map((text) => IpAddress.parse(text));

/** A door whose agent is the test. */
function setUp() {
  const said: string[] = [], told = { lost: 0, abandoned: 0 };
  let hear = (_: string) => {}, end = () => {}, next = 0;
  const door = new AgentDoor({
    gateways: GATEWAYS,
    line: (heard, ended) => {
      hear = heard;
      end = ended;
      return { say: (line) => said.push(line), abandon: () => told.abandoned++ };
    },
    lost: () => told.lost++,
    random: () => next++,
  });
  return { door, said, told, hear: (line: string) => hear(line), end: () => end() };
}

function listening(port: number, address = "127.0.0.1", protocol: Listening["protocol"] = "tcp"): Listening {
  return { protocol, address: IpAddress.parse(address), port };
}

Deno.test("AgentDoor starts its agent with the first way in, and knows whose port that is before it is there", async () => {
  const { door, said, hear } = setUp();
  assertEquals(said, []);
  const way = door.open(listening(3000, "::1"));
  assertEquals(said, ["go", "open 1 tcp * 61000 ::1 3000 10.0.2.2,fd00::2"]);
  const isOwn = () => ["0.0.0.0", "::"].map((address) => door.isOwn(listening(61000, address)));
  assertEquals(isOwn(), [true, true]);
  assertEquals(door.isOwn(listening(61000, "::", "udp")), false);
  hear("opened 1");
  assertEquals(await way.begins, 61000);
  way.close();
  way.close();
  assertEquals(said.slice(2), ["close 1"]);
  // It may listen there until it says that it does not.
  assertEquals(isOwn(), [true, true]);
  hear("closed 1");
  await Promise.resolve();
  assertEquals(isOwn(), [false, false]);
});

Deno.test("AgentDoor takes another port if somebody has the first, and closes a way that is still being opened", async () => {
  const { door, said, hear } = setUp();
  const first = door.open(listening(80), IpAddress.parse("::1"));
  hear("failed 1 in-use Address already in use");
  await settled();
  assertEquals(said.at(-1), "open 2 tcp * 61001 127.0.0.1,::1 80 10.0.2.2,fd00::2");
  assertEquals([61000, 61001].map((port) => door.isOwn(listening(port))), [false, true]);
  hear("opened 2");
  assertEquals(await first.begins, 61001);

  const second = door.open(listening(81));
  second.close();
  assertEquals(said.slice(-2), ["open 3 tcp * 61002 127.0.0.1 81 10.0.2.2,fd00::2", "close 3"]);
  hear("opened 3");
  hear("closed 3");
  await assertRejects(() => second.begins, Error, "not wanted any more");
  assertEquals(door.isOwn(listening(61002)), false);
});

Deno.test("AgentDoor gives up where no port can be had, and says what else the agent says as text", async () => {
  const { door, said, hear } = setUp();
  const { begins } = door.open(listening(80));
  for (let id = 1; id <= 16; id++) {
    hear(`failed ${id} in-use`);
    await settled();
  }
  assertEquals(said.length, 17);
  await assertRejects(() => begins, Error, "none of 16 ports could be had");
  const other = door.open(listening(80));
  hear(`failed 17 \x1b[31mno\u{1f4a9} ${"x".repeat(500)}`);
  const error = await assertRejects(() => other.begins, Error);
  assertEquals(error.message.startsWith("?[31mno?"), true);
  assertEquals(error.message.length, 200);
});

Deno.test("AgentDoor believes no line that answers nothing, and soon hears no more of them", async () => {
  const { door, hear, told, said } = setUp();
  const { begins } = door.open(listening(80));
  const stray = ["", "closed 1", "opened 2", "opened 01x", "failed", "opened -1", "opened 1 ", "x".repeat(100_000)];
  for (const line of stray.filter((line) => line !== "opened 1 ")) hear(line);
  hear("opened 1");
  // An answer counts once.
  hear("opened 1");
  assertEquals(await begins, 61000);
  assertEquals(told, { lost: 0, abandoned: 0 });
  const waiting = door.open(listening(81));
  for (let i = 0; i < 40; i++) hear("opened 1");
  assertEquals(told, { lost: 1, abandoned: 1 });
  await assertRejects(() => waiting.begins, Error, "the agent in the namespace has ended");
  await assertRejects(() => door.open(listening(82)).begins, Error, "the agent in the namespace has ended");
  // It may still listen there for a while.
  assertEquals(door.isOwn(listening(61000)), true);
  assertEquals(said.length, 3);
});

Deno.test("AgentDoor asks an agent that does not answer no more than it can read, and goes on when it does", async () => {
  const { door, said, hear, told } = setUp();
  const opening = Array.from({ length: 1000 }, (_, i) => door.open(listening(1 + i)));
  assertEquals(said.length, 1 + 512);
  for (const way of opening) way.close();
  for (let i = 1; i < said.length; i++) {
    const [verb, id] = said[i]!.split(" ");
    hear(verb === "open" ? `opened ${id}` : `closed ${id}`);
  }
  assertEquals(said.length, 1 + 2000);
  await settled();
  assertEquals(
    (await Promise.allSettled(opening.map(({ begins }) => begins))).every(({ status }) => status === "rejected"),
    true,
  );
  assertEquals([61000, 61999].some((port) => door.isOwn(listening(port))), false);
  assertEquals(told, { lost: 0, abandoned: 0 });
});

Deno.test("AgentDoor tells once that its agent has ended, and not if it ends it or never started it", async () => {
  const ended = setUp();
  const { begins } = ended.door.open(listening(80));
  ended.end();
  ended.end();
  assertEquals(ended.told.lost, 1);
  await assertRejects(() => begins, Error, "has ended");
  const idle = setUp();
  idle.end();
  assertEquals(idle.told.lost, 0);
  const closed = setUp();
  const wanted = closed.door.open(listening(80));
  closed.door[Symbol.dispose]();
  assertEquals(closed.told, { lost: 0, abandoned: 1 });
  await assertRejects(() => wanted.begins, Error, "has ended");
});

Deno.test("AgentDoor leads ports of loopback to the gateway, which are its own and no others", async () => {
  const { door, said, hear } = setUp();
  const port = { protocol: "tcp", address: IpAddress.parse("127.0.0.1"), port: 5432 } as const;
  const to = { gateway: GATEWAYS[0]!, gatewayPort: 5433 };
  const leading = door.lead({ ...port, ...to });
  assertEquals(said, ["go", "open 1 tcp 127.0.0.1 5432 10.0.2.2 5433 *"]);
  assertEquals([listening(5432), listening(5432, "10.0.2.15")].map((it) => door.isOwn(it)), [true, false]);
  hear("opened 1");
  assertEquals(await leading.begins, 5432);
  const taken = door.lead({ ...port, ...to, address: IpAddress.parse("::1") });
  hear("failed 2 in-use");
  await assertRejects(
    () => taken.begins,
    Error,
    "Cannot lead tcp [::1]:5432 of the namespace: somebody listens there already",
  );
  assertEquals(door.isOwn(listening(5432, "::1")), false);
  // What never was is not closed.
  taken.close();
  leading.close();
  assertEquals(said.at(-1), "close 1");
  hear("closed 1");
  await settled();
  assertEquals(door.isOwn(listening(5432)), false);
});

Deno.test("AgentDoor closes a way that looks for another port, and asks for no further one", async () => {
  const { door, said, hear } = setUp();
  const way = door.open(listening(80));
  hear("failed 1 in-use");
  way.close();
  await settled();
  assertEquals(said.slice(2), ["close 1"]);
  await assertRejects(() => way.begins, Error, "not wanted any more");
  assertEquals([61000, 61001].some((port) => door.isOwn(listening(port))), false);
});

/** What was resolved has been followed. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
