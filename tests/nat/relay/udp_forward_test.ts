import { assertEquals } from "@std/assert";
import { ForwardScript } from "../../support/forward_script.ts";
import { bytesOf } from "../../support/nat_script.ts";

Deno.test("UdpForward carries a datagram to the guest from the gateway with the client's port, and the answer back", async () => {
  const script = await ForwardScript.start("udp:5353:53");
  script.clientSends("question");
  assertEquals(script.takeUdp(), [{ payload: bytesOf("question"), guestPort: 53, remote: "10.0.2.2:5000" }]);
  script.sendUdp({ payload: "answer", guestPort: 53, remote: "10.0.2.2:5000" });
  assertEquals(script.takeClients(), ["127.0.0.1:5000 answer"]);
  const [flow] = script.nat.flows();
  assertEquals(
    [flow!.guest, flow!.target, flow!.host, flow!.openedBy, flow!.bytesToGuest, flow!.bytesFromGuest],
    ["10.0.2.15:53", "10.0.2.2:5000", "127.0.0.1:5000", "host", 8, 6],
  );
  script.nat.close();
  script.assertEmpty();
});

Deno.test("UdpForward shows clients by their own addresses, draws a port for a second of the same, and answers each", async () => {
  const script = await ForwardScript.start(["udp:5353:53", "udp:[::1]/5353:53"]);
  script.clientSends("a", "127.0.0.1:5000");
  script.clientSends("b", "::1:5000", 1);
  script.clientSends("c", "192.0.2.9:5000");
  script.clientSends("a2", "127.0.0.1:5000");
  const remotes = script.takeUdp().map(({ remote }) => remote);
  assertEquals(remotes, ["10.0.2.2:5000", "10.0.2.2:1031", "192.0.2.9:5000", "10.0.2.2:5000"]);
  for (const remote of remotes.slice(0, 3)) script.sendUdp({ payload: remote, guestPort: 53, remote });
  assertEquals(script.takeClients(), ["127.0.0.1:5000 10.0.2.2:5000", "192.0.2.9:5000 192.0.2.9:5000"]);
  assertEquals(script.takeClients(1), ["::1:5000 10.0.2.2:1031"]);
  script.nat.close();
});

Deno.test("UdpForward leaves other datagrams of the guest to the guest's own mappings", async () => {
  const script = await ForwardScript.start("udp:5353:53");
  script.clientSends("question");
  script.sendUdp({ payload: "x", guestPort: 54, remote: "10.0.2.2:5000" });
  script.sendUdp({ payload: "y", guestPort: 53, remote: "10.0.2.2:5001" });
  assertEquals(script.takeClients(), []);
  const own = script.host.udpSockets.filter(({ local }) => local === undefined);
  assertEquals(own.map(({ sent }) => sent.map(({ to }) => `${to.address}:${to.port}`)), [
    ["127.0.0.1:5000"],
    ["127.0.0.1:5001"],
  ]);
  script.nat.close();
});

Deno.test("UdpForward forgets a client 30 s after one question and one answer, and 120 s after a stream", async () => {
  const script = await ForwardScript.start("udp:5353:53");
  script.clientSends("q");
  script.sendUdp({ payload: "a", guestPort: 53, remote: "10.0.2.2:5000" });
  script.advance(29_000);
  assertEquals(script.nat.flows().length, 1);
  script.advance(2_000);
  script.assertEmpty();
  script.clientSends("q1");
  script.clientSends("q2");
  script.advance(119_000);
  assertEquals(script.nat.flows().length, 1);
  script.advance(2_000);
  script.assertEmpty();
  script.take();
  assertEquals(script.udpSocket().closed, false);
});

Deno.test("UdpForward drops and counts a client without a guest, one beyond the limit, and what the guest's link cannot carry", async () => {
  const script = await ForwardScript.start("udp:5353:53", { maxFlows: 1 });
  script.clientSends("1", "127.0.0.1:1");
  script.clientSends("2", "127.0.0.1:2");
  assertEquals([script.takeUdp().length, script.nat.counters.flowLimit], [1, 1]);
  script.clientSends(new Uint8Array(65507), "127.0.0.1:1");
  assertEquals(script.nat.counters.udpTooLarge, 1);
  script.nat.detach(script.guest);
  script.clientSends("3", "127.0.0.1:3");
  assertEquals([script.takeUdp().length, script.nat.counters.forwardNoGuest], [0, 1]);
  script.assertEmpty();
});

Deno.test("UdpForward asks a silent guest by ARP and then sends what it kept", async () => {
  const script = await ForwardScript.start("udp:5353:53", { silent: true });
  for (const text of ["one", "two", "three"]) script.clientSends(text);
  assertEquals([script.takeUdp(), script.takeAsked()], [[], ["10.0.2.15"]]);
  script.sendArp(2);
  assertEquals(script.takeUdp().map(({ payload }) => payload), [bytesOf("one"), bytesOf("two"), bytesOf("three")]);
  script.nat.close();
});

Deno.test("UdpForward keeps no more than 128 KiB for a guest that is being asked", async () => {
  const script = await ForwardScript.start("udp:5353:53", { silent: true });
  for (let i = 0; i < 200; i++) script.clientSends(new Uint8Array(1400).fill(i));
  const kept = Math.floor(131072 / (1400 + 28 + 14 + 128));
  assertEquals(script.nat.counters.guestUnresolved, 200 - kept);
  script.sendArp(2);
  const sent = script.takeUdp();
  assertEquals([sent.length, sent[0]!.payload[0], sent.at(-1)!.payload[0]], [kept, 200 - kept, 199]);
  script.nat.close();
});

Deno.test("UdpForward that is removed ends its flows and frees its port", async () => {
  const script = await ForwardScript.start("udp:5353:53");
  script.clientSends("q");
  await script.live[0]!.remove();
  script.assertEmpty();
  assertEquals(script.udpSocket().closed, true);
});

Deno.test("UdpForward makes room for a new client by forgetting the stalest of 1024", async () => {
  const script = await ForwardScript.start("udp:5353:53", { maxFlows: 10_000 });
  for (let port = 1; port <= 1024; port++) {
    script.clientSends("x", `127.0.0.1:${port}`);
    script.advance(1);
  }
  script.clientSends("x", "127.0.0.1:1");
  script.clientSends("x", "127.0.0.1:2000");
  const hosts = script.nat.flows().map(({ host }) => host);
  assertEquals(hosts.length, 1024);
  assertEquals(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:2000"].map((host) => hosts.includes(host)), [
    true,
    false,
    true,
  ]);
  script.nat.close();
  script.assertEmpty();
});

Deno.test("UdpForward counts an answer that the host does not take, and one whose client is gone", async () => {
  const script = await ForwardScript.start("udp:5353:53");
  script.clientSends("q");
  script.udpSocket().takes = false;
  script.sendUdp({ payload: "a", guestPort: 53, remote: "10.0.2.2:5000" });
  script.udpSocket().hostRefuses(script.host.sockets[0]?.target ?? { address: script.nat.rules.guest, port: 5000 });
  script.host.run();
  assertEquals(script.nat.counters.udpNotSent, 2);
  script.nat.close();
});
