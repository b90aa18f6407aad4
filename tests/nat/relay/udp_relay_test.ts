import { assert, assertEquals } from "@std/assert";
import { MAX_MAPPINGS } from "../../../nat/relay/mappings.ts";
import { MAX_PEERS } from "../../../nat/relay/peers.ts";
import { UDP_QUERY_MS, UDP_STREAM_MS } from "../../../nat/relay/udp_relay.ts";
import { checksumFinish, ipv4AddressSum, pseudoHeaderSum } from "../../../net/wire/checksum.ts";
import { formatIpv4, IpAddress } from "../../../net/wire/address.ts";
import { CHECKSUM_PARTIAL } from "../../../net/wire/frame.ts";
import { decodeIcmpv4, ICMP_ADMIN_PROHIBITED, ICMP_UNREACHABLE, icmpv4Quoted } from "../../../net/wire/icmpv4.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP } from "../../../net/wire/ipv4.ts";
import { DatagramScript, GUEST } from "../../support/datagram_script.ts";
import { noise } from "../../support/packet_bytes.ts";

const TARGET = { address: IpAddress.parse("192.0.2.7"), port: 9 };
const TARGETS = { 4: TARGET, 6: { address: IpAddress.parse("2001:db8::7"), port: 9 } } as const;

/** Registers a test for a guest of each family, whose datagrams go to `target` unless told otherwise. */
function udpTest(name: string, body: (family: 4 | 6, target: typeof TARGET) => void): void {
  for (const family of [4, 6] as const) Deno.test(`${name}, over IPv${family}`, () => body(family, TARGETS[family]));
}

udpTest(
  "UdpRelay carries datagrams of every size both ways, in fragments where the link demands them",
  (family, target) => {
    const header = family === 4 ? 20 : 40;
    for (const mtu of [family === 4 ? 576 : 1280, 1500, 9000, 65520]) {
      for (
        const length of [0, 1, mtu - header - 8, mtu - header - 7, 1400, 9000, 60000, 65507].filter((n) => n <= 65507)
      ) {
        for (const front of [7, 300]) {
          const script = new DatagramScript({ family, mtu }), payload = noise(length, length + 1);
          // A fragment of IPv6 has an extension header of 8 bytes.
          const size = (mtu - header - (family === 4 ? 0 : 8)) & ~7;
          for (const frame of script.fragments(script.datagram(payload), size)) script.frame(frame);
          const socket = script.host.udpSockets[0]!;
          assertEquals(socket.sent.map(({ bytes, to }) => [bytes, `${to.address}`, to.port]), [[
            payload,
            script.remote,
            9,
          ]]);
          socket.front = front;
          socket.hostSends(payload, target);
          script.host.run();
          const reply = script.takeUdp();
          assertEquals(reply.payload, payload);
          assertEquals([reply.from, reply.to, reply.packet.source], [9, 4000, script.remote]);
          assertEquals(reply.packet.frames, length + header + 8 <= mtu ? 1 : Math.ceil((length + 8) / size));
          assertEquals(script.counted, {});
          const [flow] = script.nat.flows();
          assertEquals([flow!.bytesFromGuest, flow!.bytesToGuest], [length, length]);
          script.assertEmptyAfterClose();
        }
      }
    }
  },
);

Deno.test("UdpRelay gives each cut packet an identification of its own, and lets whole ones say do not fragment", () => {
  const script = new DatagramScript();
  script.udp("x");
  const socket = script.host.udpSockets[0]!;
  for (const length of [5000, 10, 5000]) socket.hostSends(noise(length, 1), TARGET);
  script.host.run();
  const [one, whole, two] = script.take();
  assert(one!.header.identification !== two!.header.identification);
  assertEquals([one!.header.dontFragment, whole!.header.dontFragment], [false, true]);
  script.assertEmptyAfterClose();
});

Deno.test("UdpRelay leaves the checksum to a link with offload, but not that of fragments", () => {
  const script = new DatagramScript({ offload: true });
  script.udp("x");
  const socket = script.host.udpSockets[0]!;
  socket.hostSends("answer", TARGET);
  socket.hostSends(noise(3000, 1), TARGET);
  script.host.run();
  const [frame, ...fragments] = script.frames.splice(0);
  assertEquals([frame!.checksum, frame!.transport, frame!.checksumField], [CHECKSUM_PARTIAL, 34, 6]);
  const field = (frame!.bytes[40]! << 8) | frame!.bytes[41]!;
  const pseudo = pseudoHeaderSum(ipv4AddressSum(TARGET.address.ipv4, GUEST), 17, 14);
  assertEquals(field ^ 0xffff, checksumFinish(pseudo));
  assertEquals(fragments.map(({ checksum }) => checksum), [0, 0, 0]);
  script.frames.push(...fragments);
  assertEquals(script.takeUdp().payload, noise(3000, 1));
  script.assertEmptyAfterClose();
});

udpTest("UdpRelay stops with the first fragment that the link does not take", (family, target) => {
  const script = new DatagramScript({ family });
  script.udp("x");
  script.room = 2;
  script.host.udpSockets[0]!.hostSends(noise(9000, 1), target);
  script.host.run();
  assertEquals([script.frames.length, script.counted], [2, { linkFull: 1 }]);
  script.assertEmptyAfterClose();
});

udpTest(
  "UdpRelay uses one socket for all that a guest's port asks, and takes answers from these alone",
  (family) => {
    const second = family === 4 ? "192.0.2.8" : "2001:db8::8";
    const script = new DatagramScript({ family });
    script.udp("one");
    script.udp("two", { to: second, toPort: 10 });
    script.udp("three", { port: 4001 });
    assertEquals(script.host.udpSockets.map(({ sent }) => sent.length), [2, 1]);
    const socket = script.host.udpSockets[0]!;
    socket.hostSends("stranger", { address: IpAddress.parse("192.0.2.9"), port: 9 });
    socket.hostSends("stranger", { address: IpAddress.parse("::1"), port: 9 });
    script.host.run();
    assertEquals([script.take(), script.counted], [[], { udpUnasked: 2 }]);
    socket.hostSends("answer", { address: IpAddress.parse(second), port: 10 });
    script.host.run();
    assertEquals(script.takeUdp().from, 10);
    assertEquals(script.nat.flows().map(({ protocol, guest, target }) => [protocol, guest, target]), [
      ["udp", family === 4 ? "10.0.2.15:4000" : "[fd00::15]:4000", family === 4 ? "192.0.2.8:10" : "[2001:db8::8]:10"],
      ["udp", family === 4 ? "10.0.2.15:4001" : "[fd00::15]:4001", family === 4 ? "192.0.2.7:9" : "[2001:db8::7]:9"],
    ]);
    script.assertEmptyAfterClose();
  },
);

Deno.test("UdpRelay passes an answer from another port of an address that was asked, and the guest may go on there", () => {
  const script = new DatagramScript({ rules: { maps: ["10.0.2.9=127.0.0.1"] } });
  script.udp("RRQ", { to: "10.0.2.9", toPort: 69 });
  const socket = script.host.udpSockets[0]!;
  socket.hostSends("DATA", { address: IpAddress.parse("127.0.0.1"), port: 3069 });
  script.host.run();
  const answer = script.takeUdp();
  assertEquals([answer.from, answer.to, formatIpv4(answer.packet.header.source)], [3069, 4000, "10.0.2.9"]);
  // What the guest says of that answer is no stray error.
  script.error(answer.packet, { type: ICMP_UNREACHABLE, code: 3 });
  script.udp("ACK", { to: "10.0.2.9", toPort: 3069 });
  assertEquals(socket.sent.map(({ to }) => `${to.address}:${to.port}`), ["127.0.0.1:69", "127.0.0.1:3069"]);
  assertEquals(script.counted, { icmpErrorSoft: 1 });
  script.assertEmptyAfterClose();
});

udpTest(
  "UdpRelay lets rules decide about the port that an answer came from once the guest goes there",
  (family, target) => {
    const script = new DatagramScript({ family, rules: { allow: [family === 4 ? "192.0.2.7:9" : "[2001:db8::7]:9"] } });
    script.udp("RRQ");
    script.host.udpSockets[0]!.hostSends("DATA", { ...target, port: 3069 });
    script.host.run();
    assertEquals(script.takeUdp().from, 3069);
    script.udp("ACK", { toPort: 3069 });
    assertEquals([script.host.udpSockets[0]!.sent.length, script.counted], [1, { denied: 1 }]);
    script.assertEmptyAfterClose();
  },
);

Deno.test("UdpRelay answers from the address asked last where two lead to the same place", () => {
  const script = new DatagramScript({ rules: { maps: ["10.0.2.9=127.0.0.1"] } });
  const from = { address: IpAddress.parse("127.0.0.1"), port: 9 };
  for (const to of ["10.0.2.9", "10.0.2.2", "10.0.2.9", "10.0.2.2"]) {
    script.udp("?", { to });
    script.host.udpSockets[0]!.hostSends("!", from);
    script.host.run();
    assertEquals(formatIpv4(script.takeUdp().packet.header.source), to);
  }
  script.assertEmptyAfterClose();
});

udpTest("UdpRelay forgets the address asked longest ago, not one that is asked again", (family) => {
  const script = new DatagramScript({ family });
  const address = (i: number) => family === 4 ? `192.0.${i >> 8}.${i & 0xff}` : `2001:db8::${(i + 1).toString(16)}`;
  for (let i = 0; i < MAX_PEERS; i++) script.udp("?", { to: address(i) });
  script.udp("?", { to: address(0) });
  script.udp("?", { to: address(MAX_PEERS) });
  const socket = script.host.udpSockets[0]!;
  for (const i of [0, 1, 2]) socket.hostSends("!", { address: IpAddress.parse(address(i)), port: 9 });
  script.host.run();
  assertEquals(script.take().length, 2);
  assertEquals(script.counted, { udpUnasked: 1 });
  script.assertEmptyAfterClose();
});

udpTest("UdpRelay lives 30 s after a question and its answer, 120 s once it is a stream", (family, target) => {
  const script = new DatagramScript({ family });
  script.udp("?");
  script.host.udpSockets[0]!.hostSends("!", target);
  script.host.advance(UDP_QUERY_MS - 1);
  assertEquals(script.nat.flows().length, 1);
  script.host.advance(1);
  assertEquals([script.nat.flows().length, script.nat.timers.size], [0, 0]);
  script.udp("?");
  script.host.advance(UDP_QUERY_MS - 1);
  script.udp("?");
  script.host.advance(UDP_STREAM_MS - 1);
  assertEquals([script.nat.flows().length, script.nat.flows()[0]!.idleMs], [1, UDP_STREAM_MS - 1]);
  script.host.advance(1);
  assertEquals(script.nat.flows(), []);
  script.assertEmptyAfterClose();
});

udpTest("UdpRelay makes room for another by ending the mapping used longest ago", (family) => {
  const script = new DatagramScript({ family });
  for (let i = 0; i < MAX_MAPPINGS; i++) script.udp("?", { port: 10_000 + i });
  script.udp("?", { port: 10_000 });
  script.udp("?", { port: 9_999 });
  const open = script.host.udpSockets.filter((socket) => !socket.closed);
  assertEquals([open.length, script.nat.flows().length], [MAX_MAPPINGS, MAX_MAPPINGS]);
  assertEquals(script.host.udpSockets.findIndex((socket) => socket.closed), 1);
  script.assertEmptyAfterClose();
});

Deno.test("UdpRelay tells what the host learnt by an ICMP error that quotes the guest's own datagram", () => {
  const cases = [
    ["refused", 3, 3, "192.0.2.7"],
    ["networkUnreachable", 3, 0, "10.0.2.2"],
    ["hostUnreachable", 3, 1, "10.0.2.2"],
    ["timedOut", 3, 1, "10.0.2.2"],
    ["prohibited", 3, 13, "10.0.2.2"],
    ["tooLarge", 3, 4, "10.0.2.2"],
    ["expired", 11, 0, "10.0.2.2"],
  ] as const;
  for (const [error, type, code, from] of cases) {
    const script = new DatagramScript();
    script.udp("?");
    script.host.udpSockets[0]!.hostRefuses(TARGET, error, error === "tooLarge" ? 1280 : 0);
    script.host.run();
    const [{ header, payload }] = script.take() as [ReturnType<typeof script.take>[0]];
    const message = decodeIcmpv4(payload), at = icmpv4Quoted(payload, 0, payload.length);
    assertEquals([header.protocol, message.type, message.code, message.checksumValid], [
      PROTOCOL_ICMP,
      type,
      code,
      true,
    ]);
    assertEquals([formatIpv4(header.source), message.sequence], [from, error === "tooLarge" ? 1280 : 0]);
    const view = new DataView(payload.buffer, at);
    assertEquals([view.getUint32(12), view.getUint32(16)], [GUEST, TARGET.address.ipv4]);
    assertEquals([view.getUint8(9), view.getUint16(20), view.getUint16(22)], [17, 4000, 9]);
    assertEquals([script.counted, script.nat.flows().length], [{}, 1]);
    script.assertEmptyAfterClose();
  }
});

udpTest(
  "UdpRelay counts an error that no message tells, or that is about an address it does not know",
  (family, target) => {
    const script = new DatagramScript({ family });
    script.udp("?");
    const socket = script.host.udpSockets[0]!;
    for (const error of ["reset", "exhausted", "other", "tooLarge"] as const) socket.hostRefuses(target, error);
    socket.hostRefuses({ ...target, port: 10 });
    script.host.run();
    assertEquals([script.take(), script.counted], [[], { udpNotSent: 5 }]);
    script.assertEmptyAfterClose();
  },
);

udpTest("UdpRelay counts what the host does not take, and keeps nothing where it has no socket", (family) => {
  const script = new DatagramScript({ family });
  script.udp("?");
  script.host.udpSockets[0]!.takes = false;
  script.udp("?");
  assertEquals([script.counted, script.nat.flows()[0]!.bytesFromGuest], [{ udpNotSent: 1 }, 1]);
  script.host.udpError = "exhausted";
  script.udp("?", { port: 4001 });
  assertEquals([script.counted, script.nat.flows().length], [{ udpNotSent: 1, hostExhausted: 1 }, 1]);
  script.assertEmptyAfterClose();
});

Deno.test("UdpRelay drops what came over IPv6 and is larger than IPv4 carries", () => {
  const script = new DatagramScript({ rules: { maps: ["10.0.2.9=::1"] } });
  script.udp("?", { to: "10.0.2.9" });
  assertEquals(script.host.udpSockets[0]!.family, 6);
  script.host.udpSockets[0]!.hostSends(new Uint8Array(65508), { address: IpAddress.parse("::1"), port: 9 });
  script.host.run();
  assertEquals([script.take(), script.counted], [[], { udpTooLarge: 1 }]);
  script.assertEmptyAfterClose();
});

Deno.test("UdpRelay is never asked for what is never relayed, whole or in fragments", () => {
  const script = new DatagramScript();
  for (const to of ["127.0.0.1", "0.0.0.0", "10.0.2.77", "10.0.2.3"]) {
    script.udp("?", { to });
    for (const frame of script.fragments(script.datagram(noise(100, 1), { to }), 64, { to })) script.frame(frame);
  }
  assertEquals([script.host.udpSockets, script.counted], [[], { neverRelayed: 8 }]);
  const errors = script.take().map(({ payload }) => decodeIcmpv4(payload)).map(({ type, code }) => [type, code]);
  assertEquals(errors, Array(8).fill([ICMP_UNREACHABLE, ICMP_ADMIN_PROHIBITED]));
  assert(script.warnings.length > 0);
  script.assertEmptyAfterClose();
});

Deno.test("UdpRelay leaves broadcast and multicast unanswered and out of the log (RFC 1122 section 3.2.2)", () => {
  const script = new DatagramScript();
  for (const to of ["224.0.0.251", "239.255.255.250", "255.255.255.255", "10.0.2.255"]) {
    script.udp("?", { to });
    script.echo(1, 1, new Uint8Array(8), { to });
    script.frame(script.packet(script.datagram(noise(9, 1), { to }), { to, ttl: 1 }));
  }
  assertEquals([script.take(), script.counted, script.warnings], [[], { neverRelayed: 12 }, []]);
  script.assertEmptyAfterClose();
});

Deno.test("Guest tells by ICMP of a packet whose time to live ends at the gateway, but not of one that is for it (RFC 1812 section 5.3.1)", () => {
  for (const ttl of [0, 1]) {
    const script = new DatagramScript({ rules: { maps: ["10.0.2.9=127.0.0.1"] } });
    script.udp("?", { ttl });
    const [{ header, payload }] = script.take() as [ReturnType<DatagramScript["take"]>[0]];
    const { type, code } = decodeIcmpv4(payload), quoted = icmpv4Quoted(payload, 0, payload.length);
    assertEquals([formatIpv4(header.source), type, code], ["10.0.2.2", 11, 0]);
    assertEquals(
      payload.subarray(quoted, quoted + 20),
      script.packet(script.datagram(noise(1, 1)), { ttl }).subarray(14, 34),
    );
    script.echo(1, 1, new Uint8Array(8), { ttl });
    script.frame(script.packet(new Uint8Array(20), { ttl, protocol: PROTOCOL_TCP }));
    assertEquals([script.take().length, script.counted], [2, { ttlExceeded: 3 }]);
    assertEquals([script.host.udpSockets.length, script.nat.flows()], [0, []]);
    script.udp("?", { to: "10.0.2.2", ttl });
    script.udp("?", { to: "10.0.2.9", ttl });
    script.echo(1, 1, new Uint8Array(8), { to: "10.0.2.2", ttl });
    assertEquals([script.host.udpSockets[0]!.sent.length, script.take().length, script.counted], [2, 1, {
      ttlExceeded: 3,
    }]);
    script.assertEmptyAfterClose();
  }
});
