import { assertEquals } from "@std/assert";
import { ANSWER_MS, MAX_SEEKERS, SETTLE_MS } from "../../nat/address_owner.ts";
import { ForwardScript } from "../support/forward_script.ts";
import { OtherGuest } from "../support/other_guest.ts";

const NAMED = "tcp:8080:10.0.2.20/22", UNNAMED = "tcp:8080:22";
const TURNED_AWAY = "Turned a client of tcp 127.0.0.1:8080 -> 10.0.2.20:22 away: ";

/** A gateway with these forwards and so many guests that have not spoken. */
async function start(
  specs: string | string[],
  count: number,
): Promise<{ script: ForwardScript; guests: OtherGuest[] }> {
  const script = await ForwardScript.start(specs, { silent: true, maxFlows: 1000 });
  script.nat.detach(script.guest);
  return { script, guests: Array.from({ length: count }, () => new OtherGuest(script)) };
}

/** What each guest was asked and got. */
function takeAll(guests: OtherGuest[]): string[][] {
  return guests.map((guest) => [...guest.takeAsked().map((address) => `? ${address}`), ...guest.takeGot()]);
}

/** A client comes and gives up again; what each guest was asked and got. */
function visit(script: ForwardScript, guests: OtherGuest[], index?: number): string[][] {
  const socket = script.connect("127.0.0.1:9", index), seen = takeAll(guests);
  socket.hostResets();
  script.host.run();
  return seen;
}

/** Ends the gateway: nothing may be left. */
function close(script: ForwardScript): void {
  script.nat.close();
  script.assertEmpty();
}

Deno.test("AddressOwner is the guest that has spoken from the named address, each for its forward, without a question", async () => {
  const { script, guests } = await start(["tcp:8080:10.0.2.21/22", "tcp:8081:10.0.2.22/22"], 3);
  const [one, two] = guests as [OtherGuest, OtherGuest];
  one.speak("10.0.2.31");
  two.speak("10.0.2.32");
  one.speak("10.0.2.21");
  two.speak("10.0.2.22");
  assertEquals(visit(script, guests, 0), [["10.0.2.21:22"], [], []]);
  assertEquals(visit(script, guests, 1), [[], ["10.0.2.22:22"], []]);
  close(script);
});

Deno.test("AddressOwner stays the first that spoke while it answers, whoever speaks from its address later", async () => {
  const { script, guests } = await start(NAMED, 3);
  const [owner, thief, another] = guests as [OtherGuest, OtherGuest, OtherGuest];
  owner.speak("10.0.2.20");
  script.advance(ANSWER_MS);
  thief.speak("10.0.2.20");
  assertEquals(takeAll(guests), [["? 10.0.2.20"], [], []]);
  owner.answer("10.0.2.20");
  another.speak("10.0.2.20");
  // It has just answered.
  assertEquals(visit(script, guests), [["10.0.2.20:22"], [], []]);
  script.advance(ANSWER_MS);
  takeAll(guests);
  const socket = script.connect("127.0.0.1:2");
  assertEquals([takeAll(guests), socket.closed], [[["? 10.0.2.20"], [], []], false]);
  owner.answer("10.0.2.20");
  assertEquals(takeAll(guests), [["10.0.2.20:22"], [], []]);
  assertEquals(script.nat.counters.arpIgnored, 0);
  close(script);
});

Deno.test("AddressOwner takes any packet from the address for an answer, and none from another address", async () => {
  const { script, guests } = await start(NAMED, 2);
  const [owner, thief] = guests as [OtherGuest, OtherGuest];
  owner.speak("10.0.2.20");
  thief.speak("10.0.2.20");
  script.advance(ANSWER_MS);
  const socket = script.connect("127.0.0.1:1");
  owner.speak("10.0.2.20");
  assertEquals(takeAll(guests), [["? 10.0.2.20", "10.0.2.20:22"], []]);
  socket.hostResets();
  script.host.run();
  // It has moved to another address: the one that it had is the other guest's.
  script.advance(ANSWER_MS);
  takeAll(guests);
  script.connect("127.0.0.1:2");
  owner.speak("10.0.2.77");
  assertEquals(takeAll(guests), [["? 10.0.2.20"], []]);
  script.advance(ANSWER_MS);
  thief.answer("10.0.2.20");
  assertEquals(takeAll(guests)[1], ["? 10.0.2.20", "10.0.2.20:22"]);
  close(script);
});

Deno.test("AddressOwner that does not answer for a second loses its address to the newest that has it and answers", async () => {
  const { script, guests } = await start(NAMED, 4);
  const [dead, older, newer, silent] = guests as [OtherGuest, OtherGuest, OtherGuest, OtherGuest];
  for (const guest of [dead, newer, older]) guest.speak("10.0.2.20");
  silent.speak("10.0.2.33");
  script.advance(ANSWER_MS);
  const socket = script.connect();
  script.advance(ANSWER_MS - 1);
  assertEquals(takeAll(guests), [["? 10.0.2.20"], [], [], []]);
  script.advance(1);
  assertEquals(takeAll(guests), [[], ["? 10.0.2.20"], ["? 10.0.2.20"], []]);
  older.answer("10.0.2.20");
  assertEquals(takeAll(guests), [[], [], [], []]);
  newer.answer("10.0.2.20");
  assertEquals([takeAll(guests), socket.closed], [[[], [], ["10.0.2.20:22"], []], false]);
  // What is dead does not make clients wait any more.
  socket.hostResets();
  older.leave();
  script.advance(5 * ANSWER_MS);
  assertEquals(visit(script, guests), [[], [], ["10.0.2.20:22"], []]);
  close(script);
});

Deno.test("AddressOwner is an older guest if the newest does not answer a moment after it", async () => {
  const { script, guests } = await start(NAMED, 2);
  script.connect();
  assertEquals(takeAll(guests), [["? 10.0.2.20"], ["? 10.0.2.20"]]);
  guests[0]!.answer("10.0.2.20");
  script.advance(SETTLE_MS - 1);
  assertEquals(takeAll(guests), [[], []]);
  script.advance(1);
  assertEquals(takeAll(guests), [["10.0.2.20:22"], []]);
  close(script);
});

Deno.test("AddressOwner that leaves is followed by the newest that has its address", async () => {
  const { script, guests } = await start(NAMED, 4);
  const [first, second, third] = guests as [OtherGuest, OtherGuest, OtherGuest];
  for (const guest of [first, second, third]) guest.speak("10.0.2.20");
  first.leave();
  takeAll(guests);
  script.connect();
  assertEquals(takeAll(guests), [[], [], ["? 10.0.2.20"], []]);
  third.answer("10.0.2.20");
  assertEquals(takeAll(guests), [[], [], ["10.0.2.20:22"], []]);
  close(script);
});

Deno.test("AddressOwner of forwards without an address is the first that spoke; silent guests do not count beside it", async () => {
  const { script, guests } = await start(UNNAMED, 2);
  guests[1]!.speak("10.0.2.15");
  assertEquals(visit(script, guests), [[], ["10.0.2.15:22"]]);
  // Another that attaches and speaks, from the same address as DHCP gives it, changes nothing while the first answers.
  const third = new OtherGuest(script);
  third.speak("10.0.2.15");
  guests[0]!.speak("10.0.2.44");
  script.advance(2 * ANSWER_MS);
  takeAll(guests);
  script.connect("127.0.0.1:2");
  guests[1]!.answer("10.0.2.15");
  assertEquals([...takeAll(guests), third.takeGot()], [[], ["? 10.0.2.15", "10.0.2.15:22"], []]);
  close(script);
});

Deno.test("AddressOwner of forwards without an address that is dead gives way to a living guest, at its own address", async () => {
  const { script, guests } = await start(UNNAMED, 2);
  guests[0]!.speak("10.0.2.15");
  guests[1]!.speak("10.0.2.50");
  script.advance(ANSWER_MS);
  takeAll(guests);
  const socket = script.connect();
  script.advance(ANSWER_MS);
  assertEquals(takeAll(guests), [["? 10.0.2.15"], ["? 10.0.2.50"]]);
  guests[1]!.answer("10.0.2.50");
  assertEquals([takeAll(guests), socket.closed], [[[], ["10.0.2.50:22"]], false]);
  close(script);
});

Deno.test("AddressOwner is looked for among silent guests for as long as a client waits, so that one that boots is found", async () => {
  for (const [spec, address] of [[NAMED, "10.0.2.20"], [UNNAMED, "10.0.2.15"]] as const) {
    const { script, guests } = await start(spec, 2), socket = script.connect();
    script.advance(3 * ANSWER_MS);
    const late = new OtherGuest(script);
    script.advance(ANSWER_MS);
    assertEquals(takeAll(guests), [Array(5).fill(`? ${address}`), Array(5).fill(`? ${address}`)]);
    assertEquals([late.takeAsked(), socket.closed], [[address], false]);
    late.answer(address);
    assertEquals(late.takeGot(), [`${address}:22`]);
    close(script);
  }
});

Deno.test("AddressOwner that is nobody turns the client away after ten seconds and asks no more", async () => {
  const { script, guests } = await start(NAMED, 2), socket = script.connect();
  script.advance(9_900);
  assertEquals(socket.closed, false);
  script.advance(200);
  assertEquals([socket.wasReset, script.nat.counters.forwardNoGuest], [true, 1]);
  assertEquals(script.warnings, [`${TURNED_AWAY}no guest answers ARP for it`]);
  takeAll(guests);
  script.advance(5_000);
  assertEquals(takeAll(guests), [[], []]);
  script.assertEmpty();
});

Deno.test("AddressOwner that leaves a client without an answer is asked, and loses to a silent guest that has the address", async () => {
  const { script, guests } = await start(NAMED, 2);
  guests[0]!.speak("10.0.2.20");
  const first = script.connect("127.0.0.1:1");
  assertEquals(takeAll(guests), [["10.0.2.20:22"], []]);
  script.advance(ANSWER_MS + 1);
  assertEquals(takeAll(guests), [["? 10.0.2.20", "10.0.2.20:22"].sort().reverse(), []]);
  script.advance(ANSWER_MS);
  assertEquals(guests[1]!.takeAsked(), ["10.0.2.20"]);
  guests[1]!.answer("10.0.2.20");
  script.advance(SETTLE_MS);
  takeAll(guests);
  script.connect("127.0.0.1:2");
  assertEquals([takeAll(guests), first.closed], [[[], ["10.0.2.20:22"]], false]);
  close(script);
});

Deno.test("AddressOwner that is an only guest is not asked, whatever it said before", async () => {
  const { script, guests } = await start(NAMED, 1);
  guests[0]!.speak("10.0.2.15");
  script.connect();
  assertEquals(takeAll(guests), [["10.0.2.20:22"]]);
  close(script);
});

Deno.test("AddressOwner is the last guest that is left while a client waits, and nobody if none is", async () => {
  const { script, guests } = await start(NAMED, 3), socket = script.connect();
  guests[2]!.leave();
  assertEquals(socket.closed, false);
  // The one that is left is asked for its MAC address as any only guest is.
  guests[0]!.leave();
  guests[1]!.speak("10.0.2.20");
  assertEquals([guests[1]!.takeGot(), socket.closed], [["10.0.2.20:22"], false]);
  const two = new OtherGuest(script);
  script.advance(2 * ANSWER_MS);
  two.speak("10.0.2.20");
  script.advance(ANSWER_MS);
  const last = script.connect("127.0.0.1:9");
  assertEquals(two.takeAsked().length, 1);
  script.nat.close();
  assertEquals([last.wasReset, script.warnings], [true, []]);
  script.assertEmpty();
});

Deno.test("AddressOwner forgets a client that gives up, and turns those away whose forward is removed", async () => {
  const { script, guests } = await start([NAMED, "tcp:8081:10.0.2.20/22"], 2);
  const [gone, removed, kept] = [
    script.connect("127.0.0.1:1"),
    script.connect("127.0.0.1:2"),
    script.connect("127.0.0.1:3", 1),
  ];
  gone.hostResets();
  script.host.run();
  assertEquals([gone.closed, script.nat.counters.forwardNoGuest], [true, 0]);
  await script.live[0]!.remove();
  assertEquals([removed.wasReset, kept.closed, script.nat.counters.forwardNoGuest], [true, false, 1]);
  guests[1]!.answer("10.0.2.20");
  assertEquals(guests[1]!.takeGot(), ["10.0.2.20:22"]);
  await script.live[1]!.remove({ reset: true });
  assertEquals(kept.wasReset, true);
  close(script);
});

Deno.test("AddressOwner makes no more than its bound of clients wait", async () => {
  const { script, guests } = await start(NAMED, 2);
  const sockets = Array.from({ length: MAX_SEEKERS + 2 }, (_, i) => script.connect(`127.0.0.1:${i + 1}`));
  assertEquals(sockets.map(({ wasReset }) => wasReset).filter(Boolean).length, 2);
  assertEquals(script.nat.counters.forwardNoGuest, 2);
  assertEquals(script.warnings[0], `${TURNED_AWAY}256 clients wait for its guest already`);
  guests[1]!.answer("10.0.2.20");
  assertEquals(guests[1]!.takeGot().length, MAX_SEEKERS);
  close(script);
});

Deno.test("AddressOwner of a forward that is added later is the guest that attached first of those that have the address", async () => {
  const { script, guests } = await start([], 3);
  for (const guest of [guests[2]!, guests[1]!]) guest.speak("10.0.2.20");
  await script.forwards.add(NAMED);
  script.connect();
  assertEquals(takeAll(guests), [[], ["? 10.0.2.20"], []]);
  guests[1]!.answer("10.0.2.20");
  assertEquals(takeAll(guests), [[], ["10.0.2.20:22"], []]);
  close(script);
});

Deno.test("AddressOwner lets the bytes of a client that has waited pass both ways", async () => {
  const script = await ForwardScript.start(NAMED, { silent: true }), other = new OtherGuest(script);
  const socket = script.connect();
  socket.hostSends("early");
  script.host.run();
  assertEquals(other.takeAsked(), ["10.0.2.20"]);
  script.guestIp = 0x0a000214;
  script.sendArp(2);
  script.advance(SETTLE_MS);
  script.expectSyn();
  script.send({ flags: 0x12, mss: 1460 });
  assertEquals(new TextDecoder().decode(script.receiveAll()), "early");
  script.send({ payload: "answer" });
  socket.hostSends("late");
  script.host.run();
  assertEquals(new TextDecoder().decode(script.receiveAll()), "late");
  assertEquals(new TextDecoder().decode(socket.received), "answer");
  socket.hostEof();
  script.host.run();
  script.receiveAll();
  script.send({ flags: 0x11 });
  assertEquals([socket.closeWriteCalled, script.state], [true, "TIME-WAIT"]);
  close(script);
});

Deno.test("AddressOwner of UDP: datagrams go to the one that it has been while it is asked, and are dropped while there is none", async () => {
  const { script, guests } = await start("udp:8080:10.0.2.20/53", 2);
  script.clientSends("1", "127.0.0.1:1");
  assertEquals([takeAll(guests), script.nat.counters.guestUnresolved], [[["? 10.0.2.20"], ["? 10.0.2.20"]], 1]);
  guests[0]!.answer("10.0.2.20");
  script.advance(SETTLE_MS);
  script.clientSends("2", "127.0.0.1:1");
  assertEquals(takeAll(guests), [["10.0.2.20:53"], []]);
  guests[1]!.speak("10.0.2.20");
  script.advance(ANSWER_MS);
  takeAll(guests);
  script.clientSends("3", "127.0.0.1:2");
  assertEquals(takeAll(guests), [["? 10.0.2.20", "10.0.2.20:53"], []]);
  // The owner is dead: its clients' next datagrams go to the other.
  script.advance(ANSWER_MS);
  guests[1]!.answer("10.0.2.20");
  assertEquals(script.nat.flows(), []);
  takeAll(guests);
  script.clientSends("4", "127.0.0.1:1");
  script.clientSends("5", "127.0.0.1:2");
  assertEquals(takeAll(guests), [[], ["10.0.2.20:53", "10.0.2.20:53"]]);
  close(script);
});

Deno.test("AddressOwner says nothing about a guest's own traffic: others go on from the same address", async () => {
  const script = await ForwardScript.start(UNNAMED), other = new OtherGuest(script);
  other.speak("10.0.2.15");
  script.guestPort = 40000;
  const socket = script.open();
  script.send({ payload: "mine" });
  assertEquals(new TextDecoder().decode(socket.received), "mine");
  assertEquals([script.nat.counters.spoofedAddress, script.warnings], [0, []]);
  script.nat.close();
});
