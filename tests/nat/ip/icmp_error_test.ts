import { assert, assertEquals } from "@std/assert";
import { PATH_MTU_MS } from "../../../nat/guest.ts";
import { MIN_IPV4_PATH_MTU } from "../../../nat/ip/ipv4_sender.ts";
import { IpAddress, parseIpv4 } from "../../../net/wire/address.ts";
import { encodeIcmpv4Error, ICMP_ECHO_REPLY } from "../../../net/wire/icmpv4.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP } from "../../../net/wire/ipv4.ts";
import { DatagramScript, GUEST } from "../../support/datagram_script.ts";
import { NatScript } from "../../support/nat_script.ts";
import { noise } from "../../support/packet_bytes.ts";

const REMOTE = parseIpv4("192.0.2.7");
const TARGET = { address: IpAddress.fromIpv4(REMOTE), port: 9 };

/** The message about a packet from `source` to the guest whose first 8 bytes of payload are these. */
function error(
  script: { packet: DatagramScript["packet"] },
  about: { type: number; code: number; mtu?: number },
  quoted: { protocol: number; source?: number; destination?: string; transport: number[] },
): Uint8Array {
  const bytes = script.packet(Uint8Array.from(quoted.transport), {
    protocol: quoted.protocol,
    source: quoted.source ?? REMOTE,
    to: quoted.destination ?? "10.0.2.15",
  });
  const message = new Uint8Array(600);
  const length = encodeIcmpv4Error(message, 0, about, { bytes, start: 14, end: bytes.length });
  return script.packet(message.subarray(0, length), { protocol: PROTOCOL_ICMP, to: "10.0.2.2" });
}

const TOO_BIG = { type: 3, code: 4 };

/** The first 8 bytes of a datagram or segment. */
function ports(from: number, to: number): number[] {
  return [from >> 8, from & 255, to >> 8, to & 255, 0, 8, 0, 0];
}

Deno.test("an ICMP error that says the path to the guest is narrower is heeded, and forgotten in time", () => {
  const script = new DatagramScript();
  script.udp("?");
  const socket = script.host.udpSockets[0]!, payload = noise(1400, 1);
  const frames = () => {
    socket.hostSends(payload, TARGET);
    script.host.run();
    const sent = script.takeUdp();
    assertEquals(sent.payload, payload);
    return sent.packet.frames;
  };
  assertEquals(frames(), 1);
  script.frame(error(script, { ...TOO_BIG, mtu: 1000 }, { protocol: 17, transport: ports(9, 4000) }));
  assertEquals([frames(), script.guest.ipv4.mtu], [2, 1000]);
  // It never rises by a message, and never falls below what any path carries.
  script.frame(error(script, { ...TOO_BIG, mtu: 1300 }, { protocol: 17, transport: ports(9, 4000) }));
  assertEquals(script.guest.ipv4.mtu, 1000);
  for (const mtu of [68, 0]) {
    script.frame(error(script, { ...TOO_BIG, mtu }, { protocol: 17, transport: ports(9, 4000) }));
    assertEquals([frames(), script.guest.ipv4.mtu], [3, MIN_IPV4_PATH_MTU]);
  }
  assertEquals(script.counted, { icmpErrorSoft: 2 });
  script.host.advance(PATH_MTU_MS);
  assertEquals(script.guest.ipv4.mtu, 1500);
  script.frame(error(script, { ...TOO_BIG, mtu: 1000 }, { protocol: 17, transport: ports(9, 4000) }));
  assertEquals([script.guest.ipv4.mtu, script.counted], [1500, { icmpErrorSoft: 2, icmpErrorStray: 1 }]);
  script.assertEmptyAfterClose();
});

Deno.test("an ICMP error about a segment too large has the connection send smaller ones, and nothing is lost", () => {
  const script = new NatScript(), socket = script.open(), bytes = noise(5000, 2);
  const packets = new DatagramScript();
  socket.hostSends(bytes);
  script.host.run();
  const lost = script.take();
  assertEquals(lost.slice(0, 3).map(({ payload }) => payload.length), [1460, 1460, 1460]);
  const { protocol, source } = { protocol: PROTOCOL_TCP, source: parseIpv4("10.0.2.2") };
  script.frame(error(packets, { ...TOO_BIG, mtu: 1000 }, { protocol, source, transport: ports(80, 40000) }));
  assertEquals(script.nat.counters.icmpErrorStray, 0);
  const got: number[] = [];
  for (let i = 0; i < 50 && got.length < bytes.length; i++) {
    script.advance(1000);
    for (const { seq, payload } of script.take()) {
      assert(payload.length <= 960, `${payload.length} bytes in a segment`);
      if (seq !== script.ack) continue;
      got.push(...payload);
      script.ack = (script.ack + payload.length) >>> 0;
    }
    script.send();
  }
  assertEquals(Uint8Array.from(got), bytes);
  script.nat.close();
});

Deno.test("an ICMP error that says a port or host is gone changes nothing and is counted", () => {
  const script = new DatagramScript();
  script.udp("?");
  script.echo(7, 1, new Uint8Array(8));
  for (const [type, code] of [[3, 3], [3, 2], [3, 1], [3, 13], [11, 0], [11, 1], [12, 0]] as const) {
    script.frame(error(script, { type, code }, { protocol: 17, transport: ports(9, 4000) }));
  }
  script.frame(
    error(script, { type: 3, code: 1 }, { protocol: PROTOCOL_ICMP, transport: [ICMP_ECHO_REPLY, 0, 0, 0, 0, 7, 0, 1] }),
  );
  assertEquals([script.counted, script.nat.flows().length, script.take()], [{ icmpErrorSoft: 8 }, 2, []]);
  script.host.udpSockets[0]!.hostSends("still", TARGET);
  script.host.run();
  assertEquals(script.takeUdp().payload.length, 5);
  script.assertEmptyAfterClose();
});

Deno.test("an ICMP error about a TCP connection never ends it", () => {
  const script = new NatScript(), packets = new DatagramScript();
  script.open();
  for (const code of [0, 1, 2, 3, 13]) {
    const quoted = { protocol: PROTOCOL_TCP, source: parseIpv4("10.0.2.2"), transport: ports(80, 40000) };
    script.frame(error(packets, { type: 3, code }, quoted));
  }
  assertEquals([script.state, script.nat.counters.icmpErrorSoft], ["ESTABLISHED", 5]);
  script.nat.close();
});

Deno.test("an ICMP error about what the guest was not sent is dropped, and one that quotes too little too", () => {
  const script = new DatagramScript();
  script.udp("?");
  const about = { ...TOO_BIG, mtu: 600 }, udp = { protocol: 17, transport: ports(9, 4000) };
  for (
    const quoted of [
      { ...udp, transport: ports(9, 4001) },
      { ...udp, source: parseIpv4("192.0.2.8") },
      { ...udp, destination: "10.0.2.16" },
      { ...udp, protocol: PROTOCOL_TCP },
      { ...udp, protocol: PROTOCOL_ICMP },
      { ...udp, protocol: 132 },
      { ...udp, source: GUEST, destination: "192.0.2.7", transport: ports(4000, 9) },
    ]
  ) script.frame(error(script, about, quoted));
  assertEquals([script.counted, script.guest.ipv4.mtu], [{ icmpErrorStray: 7 }, 1500]);
  script.frame(error(script, about, { ...udp, transport: [0, 9, 15, 160] }));
  assertEquals(script.counted, { icmpErrorStray: 7, icmpMalformed: 1 });
  for (const type of [4, 5, 13, 0]) {
    script.frame(error(script, { type, code: 0 }, udp));
  }
  assertEquals(script.counted, { icmpErrorStray: 7, icmpMalformed: 1, icmpNotRelayed: 4 });
  script.assertEmptyAfterClose();
});
