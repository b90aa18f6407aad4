import { assertEquals } from "@std/assert";
import type { DropReason } from "../../nat/base/counters.ts";
import { ipv4AddressSum } from "../../net/wire/checksum.ts";
import { TCP_ACK, TCP_SYN, tcpSetPartialChecksum } from "../../net/wire/tcp.ts";
import { udpSetPartialChecksum } from "../../net/wire/udp.ts";
import { ask, tcpFrame } from "../support/frames.ts";
import { NatScript } from "../support/nat_script.ts";
import { PacketScript6 } from "../support/packet_script6.ts";

// Each takes a good SYN and spoils it.
const SPOILT: readonly [DropReason, (frame: Uint8Array) => Uint8Array][] = [
  ["frameTooShort", (frame) => frame.subarray(0, 13)],
  ["frameTooLong", (frame) => lengthen(frame, 1519)],
  ["notForGateway", (frame) => set(frame, 0, 0x02, 1, 2, 3, 4, 5)],
  ["spoofedMac", (frame) => set(frame, 6, 0x01)],
  ["spoofedMac", (frame) => set(frame, 6, 0x52, 0x54, 0x00, 0x12, 0x34, 0x02)],
  ["vlan", (frame) => set(frame, 12, 0x81, 0x00)],
  ["vlan", (frame) => set(frame, 12, 0x88, 0xa8)],
  ["etherTypeUnknown", (frame) => set(frame, 12, 0x88, 0xcc)],
  ["ipv6Malformed", (frame) => set(frame, 12, 0x86, 0xdd)],
  ["arpMalformed", (frame) => set(frame, 12, 0x08, 0x06)],
  ["ipv4Malformed", (frame) => frame.subarray(0, 33)],
  ["ipv4Malformed", (frame) => set(frame, 14, 0x44)],
  ["ipv4Checksum", (frame) => set(frame, 22, 9)],
  ["ipv4Fragment", (frame) => fix(set(frame, 20, 0x20, 0x00))],
  ["protocolNotRelayed", (frame) => fix(set(frame, 23, 132))],
  ["icmpChecksum", (frame) => fix(set(frame, 23, 1))],
  ["spoofedAddress", (frame) => fix(set(frame, 26, 10, 0, 2, 2))],
  ["spoofedAddress", (frame) => fix(set(frame, 26, 192, 0, 2, 1))],
  ["spoofedAddress", (frame) => fix(set(frame, 26, 0, 0, 0, 0))],
  ["tcpChecksum", (frame) => set(frame, 38, 1)],
  ["tcpMalformed", (frame) => set(frame, 46, 0x40)],
];

function set(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  frame.set(bytes, at);
  return frame;
}

function lengthen(frame: Uint8Array, length: number): Uint8Array {
  return set(new Uint8Array(length), 0, ...frame);
}

/** Makes the IPv4 header checksum right again, the slow way. */
function fix(frame: Uint8Array): Uint8Array {
  frame.set([0, 0], 24);
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += (frame[i]! << 8) | frame[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return set(frame, 24, (~sum >>> 8) & 255, ~sum & 255);
}

Deno.test("Guest counts each kind of bad frame under its own name, answers none and opens nothing", () => {
  for (const [reason, spoil] of SPOILT) {
    const script = new NatScript();
    script.frame(spoil(script.segment({ flags: TCP_SYN, ack: 0 })));
    const counted = Object.entries(script.nat.counters).filter(([, count]) => count > 0);
    assertEquals(counted, [[reason, 1]]);
    script.expectNothing();
    script.assertEmpty();
  }
});

/** Puts an 802.1Q tag into a frame. */
function tagged(frame: Uint8Array, tci: number): Uint8Array {
  const bytes = new Uint8Array(frame.length + 4);
  bytes.set(frame.subarray(0, 12));
  bytes.set([0x81, 0, tci >> 8, tci & 255], 12);
  bytes.set(frame.subarray(12), 16);
  return bytes;
}

Deno.test("Guest takes a frame that is tagged with a priority alone, and answers without a tag", () => {
  for (const tci of [0, 0xa000, 0xf000]) {
    const script = new NatScript(), syn = script.segment({ flags: TCP_SYN, ack: 0, mss: 1460 });
    script.frame(tagged(syn, tci));
    script.host.onlyConnect().accept();
    script.host.run();
    script.expect({ flags: TCP_SYN | TCP_ACK, mac: script.guestMac });
    assertEquals(script.nat.counters.vlan, 0);
  }
});

Deno.test("Guest counts what is of a VLAN, and what a priority tag is cut off or in front of nothing known", () => {
  const script = new NatScript(), syn = script.segment({ flags: TCP_SYN, ack: 0 });
  const lldp = set(syn.slice(), 12, 0x88, 0xcc);
  const twice = tagged(tagged(syn, 0), 0);
  for (const frame of [tagged(syn, 1), tagged(syn, 0xafff), tagged(lldp, 0), tagged(syn, 0).subarray(0, 17), twice]) {
    script.frame(frame);
  }
  assertEquals(script.nat.counters.vlan, 5);
  script.frame(set(tagged(syn, 0), 12, 0x88, 0xa8));
  assertEquals(script.nat.counters.vlan, 6);
  script.frame(tagged(syn, 0).subarray(0, 18));
  assertEquals(script.nat.counters.ipv4Malformed, 1);
  script.expectNothing();
});

Deno.test("Guest takes a checksum that a device was to complete, and still no wrong one", () => {
  const source = 0x0a00020f, gateway = 0x0a000202;
  const script = new NatScript(), syn = script.segment({ flags: TCP_SYN, ack: 0, mss: 1460 });
  tcpSetPartialChecksum(syn, 34, syn.length, ipv4AddressSum(source, gateway));
  script.frame(syn);
  assertEquals(script.host.sockets.length, 1);
  const datagram = script.datagram("hello", { port: 7 });
  udpSetPartialChecksum(datagram, 34, ipv4AddressSum(source, gateway));
  script.frame(datagram);
  assertEquals(script.host.udpSockets[0]!.sent.length, 1);
  for (const [frame, field] of [[syn, 50], [datagram, 40]] as const) {
    for (const wrong of [1, 0x80]) {
      const spoilt = frame.slice();
      spoilt[field + 1]! ^= wrong;
      script.frame(spoilt);
    }
  }
  const { tcpChecksum, udpChecksum } = script.nat.counters;
  assertEquals([tcpChecksum, udpChecksum], [2, 2]);
});

Deno.test("Guest refuses what is never relayed with RST", () => {
  for (const address of [[127, 0, 0, 1], [0, 0, 0, 1], [10, 0, 2, 77]]) {
    const script = new NatScript();
    const frame = script.segment({ flags: TCP_SYN, ack: 0 });
    // The TCP checksum covers the destination: it changes by what the address changes it by, so the link vouches for it
    // here.
    fix(set(frame, 30, ...address));
    script.guest.receive(Object.assign(script.pointAt(frame), { checksum: 1 }));
    script.host.wake();
    script.host.run();
    assertEquals(script.nat.counters.neverRelayed, 1, address.join("."));
    assertEquals(script.take().length, 1);
    script.assertEmpty();
  }
});

Deno.test("Guest answers no segment to a group or to nobody, from whose address no answer can come", () => {
  const groups = ["224.0.0.1", "255.255.255.255", "10.0.2.255", "0.0.0.0", "ff02::1", "ff0e::fb", "::"];
  for (const destination of groups) {
    const script = new PacketScript6(), ends = { destination, seq: 1, ack: 1 };
    script.frame(tcpFrame({ ...ends, flags: TCP_SYN }));
    script.frame(tcpFrame({ ...ends, flags: TCP_ACK, sourcePort: 40001 }));
    assertEquals(script.counted, { neverRelayed: 1, tcpStray: 1 }, destination);
    assertEquals(script.sent, 0, destination);
    script.assertEmptyAfterClose();
  }
});

Deno.test("Guest has no IPv6 on a link that carries less than IPv6 wants of every link", () => {
  for (const [mtu, counted] of [[1279, { ipv6Disabled: 1 }], [1280, {}]] as const) {
    const script = new PacketScript6({ mtu });
    script.frame(ask("tcp", "fd00::2"));
    assertEquals([script.counted, script.host.sockets.length], [counted, mtu === 1280 ? 1 : 0], `${mtu}`);
    script.frame(ask("tcp", "10.0.2.2"));
    assertEquals([script.counted, script.host.sockets.length], [counted, mtu === 1280 ? 2 : 1], `${mtu}`);
    script.assertEmptyAfterClose();
  }
});

Deno.test("Guest never throws, whatever a frame holds", () => {
  const script = new NatScript();
  let seed = 12345;
  const random = (n: number) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;
  for (let i = 0; i < 20_000; i++) {
    const frame = script.segment({
      flags: random(256),
      ack: random(2 ** 32),
      seq: random(2 ** 32),
      payload: "x".repeat(random(40)),
    });
    for (let j = random(5); j > 0; j--) frame[random(frame.length)] = random(256);
    script.frame(
      fix(frame.length > 34 && random(2) ? frame : frame.slice()).subarray(
        0,
        random(8) ? frame.length : random(frame.length),
      ),
    );
    script.take();
  }
  script.nat.close();
  script.take();
  script.assertEmpty();
});
