import { assertEquals } from "@std/assert";
import { PortForwards } from "../../../forward/port_forwards.ts";
import { UDP_STREAM_MS } from "../../../nat/relay/udp_relay.ts";
import { formatIpv4, parseIpv4 } from "../../../net/wire/address.ts";
import { decodeIcmpv4, encodeIcmpv4Error, icmpv4Mtu, icmpv4Quoted } from "../../../net/wire/icmpv4.ts";
import { ipv4Destination, ipv4Source, PROTOCOL_ICMP } from "../../../net/wire/ipv4.ts";
import { udpDestinationPort, udpSourcePort } from "../../../net/wire/udp.ts";
import { DatagramScript } from "../../support/datagram_script.ts";
import { endpoint, ForwardScript } from "../../support/forward_script.ts";
import { bytesOf } from "../../support/nat_script.ts";
import { noise } from "../../support/packet_bytes.ts";
import type { ScriptUdpSocket } from "../../support/script_datagram.ts";
import type { ScriptEndpoint } from "../../support/script_host.ts";

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

Deno.test("UdpForward drops and counts a client without a guest, one beyond the limit, and what IPv4 cannot carry", async () => {
  const script = await ForwardScript.start("udp:5353:53", { maxFlows: 1 });
  script.clientSends("1", "127.0.0.1:1");
  script.clientSends("2", "127.0.0.1:2");
  assertEquals([script.takeUdp().length, script.nat.counters.flowLimit], [1, 1]);
  script.clientSends(new Uint8Array(65508), "127.0.0.1:1");
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

Deno.test("UdpForward asks a guest by ARP that has not answered for a second, once a second, and reaches its new network card", async () => {
  const script = await ForwardScript.start("udp:5353:53");
  const sendFor = (seconds: number) => {
    for (let i = 0; i < 10 * seconds; i++) {
      script.clientSends("x");
      script.advance(100);
    }
  };
  sendFor(3.5);
  assertEquals(script.takeAsked(), Array(3).fill("10.0.2.15"));
  script.guestMac++;
  script.sendArp(2);
  script.takeUdp();
  script.clientSends("to the new card");
  assertEquals([script.guest.mac, script.takeUdp().length], [script.guestMac, 1]);
  script.sendUdp({ payload: "a", guestPort: 53, remote: "10.0.2.2:5000" });
  script.takeAsked();
  sendFor(0.9);
  assertEquals(script.takeAsked(), []);
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
  script.udpSocket().hostRefuses(
    script.host.sockets[0]?.target ?? { address: script.nat.rules.ipv4!.guest, port: 5000 },
  );
  script.host.run();
  assertEquals(script.nat.counters.udpNotSent, 2);
  script.nat.close();
});

/** A forward of UDP, with fragments and ICMP, for a guest at 10.0.2.15 that has spoken; a client that has asked. */
async function startForward(): Promise<{ script: DatagramScript; socket: ScriptUdpSocket; client: ScriptEndpoint }> {
  const script = new DatagramScript(), client = endpoint("127.0.0.1:5000");
  await new PortForwards(script.host, script.nat).add("udp:5353:53");
  script.echo(1, 1, new Uint8Array(0), { to: "10.0.2.2" });
  const socket = script.host.udpSockets[0]!;
  socket.hostSends("?", client);
  script.host.run();
  assertEquals([script.take().length, script.counted], [2, {}]);
  return { script, socket, client };
}

Deno.test("UdpForward carries the largest datagram to the guest in fragments, and puts those of the answer together", async () => {
  const { script, socket, client } = await startForward(), payload = noise(65507, 1);
  for (const front of [7, 300]) {
    socket.front = front;
    socket.hostSends(payload, client);
    script.host.run();
    const sent = script.takeUdp();
    assertEquals([sent.from, sent.to, sent.packet.frames], [5000, 53, Math.ceil(65515 / 1480)]);
    assertEquals(sent.payload, payload);
  }
  const answer = script.datagram(payload, { to: "10.0.2.2", toPort: 5000, port: 53 });
  for (const frame of script.fragments(answer, 1480, { to: "10.0.2.2" })) script.frame(frame);
  assertEquals(socket.sent.map(({ bytes, to }) => [bytes, to]), [[payload, client]]);
  const [flow] = script.nat.flows();
  assertEquals([flow!.bytesToGuest, flow!.bytesFromGuest, script.counted], [1 + 2 * 65507, 65507, {}]);
});

Deno.test("UdpForward outlives a guest whose port is closed, and heeds a path to it that is narrower", async () => {
  const { script, socket, client } = await startForward(), remote = parseIpv4("10.0.2.2");
  const about = (type: number, code: number, mtu = 0) => {
    const quoted = script.packet(script.datagram(new Uint8Array(0), { port: 5000, toPort: 53 }), {
      source: remote,
      to: "10.0.2.15",
    });
    const message = new Uint8Array(100), quote = { bytes: quoted, start: 14, end: quoted.length };
    const length = encodeIcmpv4Error(message, 0, { type, code, mtu }, quote);
    script.frame(script.packet(message.subarray(0, length), { protocol: PROTOCOL_ICMP, to: "10.0.2.2" }));
  };
  about(3, 3);
  assertEquals([script.counted, script.nat.flows().length], [{ icmpErrorSoft: 1 }, 1]);
  about(3, 4, 1000);
  socket.hostSends(noise(1400, 2), client);
  script.host.run();
  assertEquals([script.takeUdp().packet.frames, script.counted], [2, { icmpErrorSoft: 1 }]);
  script.host.advance(UDP_STREAM_MS);
  about(3, 3);
  assertEquals([script.counted, script.nat.flows()], [{ icmpErrorSoft: 1, icmpErrorStray: 1 }, []]);
});

Deno.test("UdpForward tells the guest by ICMP of an answer that did not reach its client, and counts what cannot be told", async () => {
  const { script, socket, client } = await startForward();
  script.udp("answer", { to: "10.0.2.2", toPort: 5000, port: 53 });
  const cases = [["refused", 0, 3, 3], ["hostUnreachable", 0, 3, 1], ["tooLarge", 1400, 3, 4]] as const;
  for (const [error, mtu, type, code] of cases) {
    socket.hostRefuses(client, error, mtu);
    script.host.run();
    const [packet] = script.take(), icmp = decodeIcmpv4(packet!.payload, 0);
    assertEquals([formatIpv4(packet!.header.source), packet!.header.protocol], ["10.0.2.2", PROTOCOL_ICMP]);
    assertEquals([icmp.type, icmp.code, icmpv4Mtu(packet!.payload, 0)], [type, code, mtu]);
    const quoted = icmpv4Quoted(packet!.payload, 0, packet!.payload.length), quote = packet!.payload.subarray(quoted);
    assertEquals([formatIpv4(ipv4Source(quote, 0)), formatIpv4(ipv4Destination(quote, 0))], ["10.0.2.15", "10.0.2.2"]);
    assertEquals([udpSourcePort(quote, 20), udpDestinationPort(quote, 20)], [53, 5000]);
  }
  assertEquals(script.counted, {});
  socket.hostRefuses(client, "other");
  socket.hostRefuses(endpoint("127.0.0.1:5001"));
  script.host.run();
  assertEquals([script.counted, script.take(), script.nat.flows().length], [{ udpNotSent: 2 }, [], 1]);
});
