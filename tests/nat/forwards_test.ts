import { assert, assertEquals, assertRejects } from "@std/assert";
import { TCP_ACK, TCP_SYN } from "../../net/wire/tcp.ts";
import { ForwardScript } from "../support/forward_script.ts";

const SYN_ACK = TCP_SYN | TCP_ACK, ARP_REQUEST = 1;

Deno.test("Forwards reset a client without a guest", async () => {
  const script = await ForwardScript.start("tcp:8080:80");
  assertEquals(script.connect("127.0.0.1:2").wasReset, false);
  script.nat.detach(script.guest);
  assertEquals(script.connect("127.0.0.1:3").wasReset, true);
  assertEquals(script.nat.counters.forwardNoGuest, 1);
  assertEquals(script.warnings, ["Turned a client of tcp 127.0.0.1:8080 -> 80 away: there is no guest for it"]);
  script.take();
  script.assertEmpty();
});

Deno.test("Forwards ask a silent guest by ARP before its SYN, which then is sent", async () => {
  const script = await ForwardScript.start("tcp:8080:80", { silent: true });
  const socket = script.connect();
  script.expectNothing();
  assertEquals(script.takeAsked(), ["10.0.2.15"]);
  script.sendArp(2);
  assertEquals(script.nat.counters.arpIgnored, 0);
  script.expectSyn();
  script.send({ flags: SYN_ACK });
  assertEquals([script.state, socket.closed], ["ESTABLISHED", false]);
  script.nat.close();
});

Deno.test("Forwards reach a silent guest at the static address that the forward names", async () => {
  const script = await ForwardScript.start("tcp:8080:10.0.2.99/80", { silent: true });
  script.guestIp = 0x0a000263;
  script.connect();
  assertEquals(script.takeAsked(), ["10.0.2.99"]);
  script.sendArp(2);
  assertEquals(script.expectSyn().to, "10.0.2.99:80");
  script.send({ flags: SYN_ACK });
  assertEquals(script.state, "ESTABLISHED");
  script.nat.close();
});

Deno.test("Forwards reach a second address of a guest that is busy with its first", async () => {
  const script = await ForwardScript.start("tcp:8080:10.0.2.99/80");
  script.open({ port: 40000 });
  script.take();
  script.connect();
  script.expect({ flags: TCP_SYN, to: "10.0.2.99:80" });
  script.guestIp = 0x0a000263;
  script.sendArp(ARP_REQUEST);
  assertEquals(script.nat.counters.spoofedAddress, 0);
  script.nat.close();
});

Deno.test("Forwards go on asking a guest that boots, and reach it when it is there", async () => {
  const script = await ForwardScript.start("tcp:8080:80", { silent: true });
  const socket = script.connect();
  script.advance(5_500);
  assertEquals(script.takeAsked(), Array(6).fill("10.0.2.15"));
  script.sendArp(2);
  assertEquals(script.expectSyn().to, "10.0.2.15:80");
  script.take();
  script.send({ flags: SYN_ACK });
  assertEquals([script.state, socket.closed], ["ESTABLISHED", false]);
  script.nat.close();
});

Deno.test("Forwards give up a guest that never answers ARP after ten seconds, and forget what was kept for it", async () => {
  const script = await ForwardScript.start("tcp:8080:80", { silent: true });
  const socket = script.connect();
  script.advance(9_950);
  assertEquals(socket.closed, false);
  script.advance(100);
  assertEquals(socket.wasReset, true);
  script.advance(10_000);
  script.expectNothing();
  assertEquals(script.nat.counters.guestUnresolved, 4);
  assert(script.takeAsked().length <= 14);
  script.assertEmpty();
});

Deno.test("Forwards ask again by ARP when a guest that was known does not answer, and reach its new network card", async () => {
  const script = await ForwardScript.start("tcp:8080:80");
  script.connect();
  script.expectSyn();
  assertEquals(script.takeAsked(), []);
  script.advance(1_100);
  script.expectSyn();
  assertEquals(script.takeAsked(), ["10.0.2.15"]);
  script.guestMac++;
  script.sendArp(2);
  script.advance(2_100);
  assertEquals(script.expectSyn().mac, script.guestMac);
  script.send({ flags: SYN_ACK });
  assertEquals(script.state, "ESTABLISHED");
  script.nat.close();
});

Deno.test("Forwards that are removed turn new clients away and let the live ones go on, or reset them", async () => {
  for (const reset of [false, true]) {
    const script = await ForwardScript.start("tcp:8080:80"), socket = script.openByClient();
    await script.live[0]!.remove({ reset });
    await script.live[0]!.remove();
    script.host.run();
    assertEquals([script.listener().closed, script.forwards.list()], [true, []]);
    assertEquals(socket.wasReset, reset);
    if (reset) assertEquals(script.nat.flows(), []);
    else {
      script.send({ payload: "still here" });
      assertEquals(new TextDecoder().decode(socket.received), "still here");
    }
    script.nat.close();
    script.take();
    script.assertEmpty();
  }
});

Deno.test("Forwards with a reset leave the flows of others alone", async () => {
  const script = await ForwardScript.start(["tcp:8080:80", "tcp:8081:80"]);
  const one = script.connect("127.0.0.1:1", 0), two = script.connect("127.0.0.1:2", 1);
  await script.live[0]!.remove({ reset: true });
  assertEquals([one.wasReset, two.wasReset, script.nat.endings.forwardRemoved], [true, false, 1]);
  script.nat.close();
});

Deno.test("Forwards reset a client for which every port is taken", async () => {
  const script = await ForwardScript.start("tcp:8080:80");
  script.nat.isTaken = () => true;
  assertEquals(script.connect().wasReset, true);
  assertEquals(script.nat.counters.forwardNoPort, 1);
});

Deno.test("Forwards count a client that the host could not accept", async () => {
  const script = await ForwardScript.start("tcp:8080:80");
  script.listener().acceptFails("exhausted");
  script.host.run();
  assertEquals(script.nat.counters.hostExhausted, 1);
  assert(script.warnings[0]!.includes("tcp 127.0.0.1:8080 -> 80"));
});

Deno.test("Forwards refuse a guest address that no guest can have", async () => {
  for (const address of ["10.0.3.15", "10.0.2.2", "10.0.2.3", "10.0.2.0", "10.0.2.255", "127.0.0.1"]) {
    const script = new ForwardScript();
    const message = `Cannot forward tcp 127.0.0.1:80 -> ${address}:80: ${address} is no address of a guest`;
    await assertRejects(() => script.forwards.add(`tcp:80:${address}/80`), RangeError, message);
    assertEquals(script.host.listeners, []);
  }
});
