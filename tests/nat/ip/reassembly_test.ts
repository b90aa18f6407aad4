import { assertEquals } from "@std/assert";
import type { DropReason } from "../../../nat/base/counters.ts";
import {
  MAX_DATAGRAMS,
  MAX_DATAGRAMS_PER_GUEST,
  MAX_FRAGMENT_RANGES,
  REASSEMBLY_MS,
} from "../../../nat/ip/reassembly.ts";
import { Frame } from "../../../net/wire/frame.ts";
import { decodeIcmpv4, icmpv4Quoted } from "../../../net/wire/icmpv4.ts";
import { PROTOCOL_TCP } from "../../../net/wire/ipv4.ts";
import { DatagramScript } from "../../support/datagram_script.ts";
import { noise } from "../../support/packet_bytes.ts";

const PAYLOAD = noise(5000, 3);

/** The payloads that reached the host. */
function sent(script: DatagramScript): Uint8Array[] {
  return script.host.udpSockets.flatMap((socket) => socket.sent.map(({ bytes }) => bytes));
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const left = [...items], mixed: T[] = [];
  for (const byte of noise(items.length, seed)) mixed.push(...left.splice(byte % left.length, 1));
  return mixed;
}

Deno.test("Reassembly puts a datagram together in whatever order its fragments come", () => {
  const script = new DatagramScript();
  for (let seed = 1; seed <= 50; seed++) {
    const fragments = script.fragments(script.datagram(PAYLOAD), 48 + 8 * (seed % 9), { identification: seed });
    for (const frame of shuffled(fragments, seed)) script.frame(frame);
    assertEquals(sent(script).length, seed);
  }
  for (const payload of sent(script)) assertEquals(payload, PAYLOAD);
  assertEquals(script.counted, {});
  script.assertEmptyAfterClose();
});

Deno.test("Reassembly keeps datagrams apart whose fragments mingle", () => {
  const script = new DatagramScript();
  const of = (identification: number, fields: { to?: string; port?: number } = {}) =>
    script.fragments(script.datagram(noise(3000, identification), fields), 1000, { ...fields, identification });
  const all = [of(1), of(2), of(1, { to: "192.0.2.8" })];
  for (let i = 0; i < 4; i++) for (const fragments of all) if (fragments[i] !== undefined) script.frame(fragments[i]!);
  assertEquals(sent(script), [noise(3000, 1), noise(3000, 2), noise(3000, 1)]);
  assertEquals(script.counted, {});
  script.assertEmptyAfterClose();
});

Deno.test("Reassembly takes a datagram whose checksum is wrong once whole for what it is", () => {
  const script = new DatagramScript();
  const datagram = script.datagram(PAYLOAD);
  datagram[4000]! ^= 1;
  for (const frame of script.fragments(datagram, 1480)) {
    // A link that vouches for a fragment does not vouch for the datagram.
    script.guest.receive(Object.assign(new Frame().set(frame, 0, frame.length), { checksum: 2 }));
  }
  assertEquals([sent(script), script.counted], [[], { udpChecksum: 1 }]);
  script.assertEmptyAfterClose();
});

/** What is done with the fragments of one datagram, and what is counted. */
const ATTACKS: [name: string, counted: Partial<Record<DropReason, number>>, (s: DatagramScript) => Uint8Array[]][] = [
  ["an overlap (teardrop)", { fragmentOverlap: 2 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 200), { offset: 0, more: true }),
    s.packet(PAYLOAD.subarray(0, 8), { offset: 96, more: false }),
    s.packet(PAYLOAD.subarray(0, 800), { offset: 200, more: false }),
  ]],
  ["an overlap of a byte at each end", { fragmentOverlap: 2 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 64), { offset: 0, more: true }),
    s.packet(PAYLOAD.subarray(0, 64), { offset: 128, more: true }),
    s.packet(PAYLOAD.subarray(0, 80), { offset: 56, more: true }),
    s.packet(PAYLOAD.subarray(0, 64), { offset: 64, more: true }),
  ]],
  ["a header written again with other ports", { fragmentOverlap: 2 }, (s) => [
    s.packet(s.datagram(PAYLOAD.subarray(0, 56)), { offset: 0, more: true }),
    s.packet(s.datagram(PAYLOAD.subarray(0, 56), { toPort: 22 }), { offset: 0, more: true }),
    s.packet(PAYLOAD.subarray(0, 8), { offset: 64, more: false }),
  ]],
  ["two ends", { fragmentOverlap: 1 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 8), { offset: 800, more: false }),
    s.packet(PAYLOAD.subarray(0, 8), { offset: 1600, more: false }),
  ]],
  ["an end before what is there", { fragmentOverlap: 1 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 64), { offset: 800, more: true }),
    s.packet(PAYLOAD.subarray(0, 8), { offset: 80, more: false }),
  ]],
  ["more behind the end", { fragmentOverlap: 1 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 8), { offset: 800, more: false }),
    s.packet(PAYLOAD.subarray(0, 64), { offset: 808, more: true }),
  ]],
  ["fragments past the longest packet (ping of death)", { fragmentTooLong: 2 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 1000), { offset: 65528, more: false }),
    s.packet(PAYLOAD.subarray(0, 20), { offset: 65496, more: false }),
  ]],
  ["fragments smaller than any router makes them", { fragmentTiny: 2 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 8), { offset: 0, more: true }),
    s.packet(PAYLOAD.subarray(0, 40), { offset: 8, more: true }),
  ]],
  ["lengths that no fragment has", { fragmentMalformed: 3 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 63), { offset: 0, more: true }),
    s.packet(PAYLOAD.subarray(0, 0), { offset: 64, more: true }),
    s.packet(PAYLOAD.subarray(0, 0), { offset: 64, more: false }),
  ]],
  ["a fragment of TCP", { ipv4Fragment: 1 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 64), { offset: 0, more: true, protocol: PROTOCOL_TCP }),
  ]],
  ["a fragment from another address", { spoofedAddress: 1 }, (s) => [
    s.packet(PAYLOAD.subarray(0, 64), { offset: 0, more: true, source: 0x0a000202 }),
  ]],
  ["gaps without number", { fragmentLimit: 1 }, (s) =>
    Array.from(
      { length: MAX_FRAGMENT_RANGES + 1 },
      (_, i) => s.packet(PAYLOAD.subarray(0, 64), { offset: 128 * i, more: true }),
    )],
];

for (const [name, counted, attack] of ATTACKS) {
  Deno.test(`Reassembly survives ${name}, counts it and lets nothing of it pass`, () => {
    const script = new DatagramScript();
    for (const frame of attack(script)) script.frame(frame);
    assertEquals([sent(script), script.counted], [[], counted]);
    script.host.advance(REASSEMBLY_MS);
    assertEquals([script.nat.incompleteDatagrams, sent(script)], [0, []]);
    script.udp("still served");
    assertEquals(sent(script).length, 1);
    script.assertEmptyAfterClose();
  });
}

Deno.test("Reassembly lets a fragment that comes twice do no harm", () => {
  const script = new DatagramScript(), fragments = script.fragments(script.datagram(PAYLOAD), 1480);
  for (const frame of fragments.slice(1)) {
    script.frame(frame);
    script.frame(frame);
  }
  script.frame(fragments[0]!);
  assertEquals([sent(script), script.counted], [[PAYLOAD], { fragmentRepeated: 3 }]);
  script.assertEmptyAfterClose();
});

Deno.test("Reassembly gives a datagram up in time, and tells the guest where its beginning had come", () => {
  const script = new DatagramScript(), fragments = script.fragments(script.datagram(PAYLOAD), 1480);
  script.frame(fragments[0]!);
  script.frame(script.fragments(script.datagram(PAYLOAD), 1480, { identification: 2 })[1]!);
  script.host.advance(REASSEMBLY_MS - 1);
  assertEquals([script.take(), script.nat.incompleteDatagrams], [[], 2]);
  script.host.advance(1);
  assertEquals([script.nat.incompleteDatagrams, script.counted], [0, { fragmentTimeout: 2 }]);
  const [{ payload }, ...others] = script.take() as [ReturnType<DatagramScript["take"]>[0]];
  const { type, code } = decodeIcmpv4(payload), at = icmpv4Quoted(payload, 0, payload.length);
  const view = new DataView(payload.buffer, at + 20);
  assertEquals([type, code, view.getUint16(0), view.getUint16(2), others], [11, 1, 4000, 9, []]);
  // What comes too late begins anew.
  for (const frame of fragments.slice(1)) script.frame(frame);
  assertEquals([sent(script), script.nat.incompleteDatagrams], [[], 1]);
  script.assertEmptyAfterClose();
});

Deno.test("Reassembly holds so many datagrams of a guest, and the oldest makes room", () => {
  const script = new DatagramScript();
  const of = (identification: number) => script.fragments(script.datagram(PAYLOAD), 1480, { identification });
  for (let i = 0; i < 100; i++) script.frame(of(i)[0]!);
  assertEquals(script.nat.incompleteDatagrams, MAX_DATAGRAMS_PER_GUEST);
  assertEquals(script.counted, { fragmentLimit: 100 - MAX_DATAGRAMS_PER_GUEST });
  for (const frame of of(99).slice(1)) script.frame(frame);
  for (const frame of of(0).slice(1)) script.frame(frame);
  assertEquals(sent(script), [PAYLOAD]);
  script.assertEmptyAfterClose();
});

Deno.test("Reassembly holds so many datagrams of all guests, each making room among its own", () => {
  const script = new DatagramScript(),
    link = { name: "other", mtu: 1500, offload: false, send: () => true, flush() {} };
  const first = (identification: number) => {
    const bytes = script.fragments(script.datagram(PAYLOAD), 1480, { identification })[0]!;
    return new Frame().set(bytes, 0, bytes.length);
  };
  const guests = Array.from({ length: 5 }, () => script.nat.attach(link));
  for (const guest of guests) for (let i = 0; i < MAX_DATAGRAMS_PER_GUEST; i++) guest.receive(first(i));
  assertEquals([script.nat.incompleteDatagrams, script.counted], [MAX_DATAGRAMS, {
    fragmentLimit: MAX_DATAGRAMS_PER_GUEST,
  }]);
  // A guest that goes away takes its fragments with it, and another finds room.
  script.nat.detach(guests[0]!);
  assertEquals(script.nat.incompleteDatagrams, MAX_DATAGRAMS - MAX_DATAGRAMS_PER_GUEST);
  guests[4]!.receive(first(1));
  assertEquals(script.nat.incompleteDatagrams, MAX_DATAGRAMS - MAX_DATAGRAMS_PER_GUEST + 1);
  script.assertEmptyAfterClose();
});

Deno.test("Reassembly never throws and keeps its bounds, whatever fragments come", () => {
  const script = new DatagramScript();
  let seed = 99;
  const random = (n: number) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 8) % n;
  for (let i = 0; i < 20_000; i++) {
    const payload = PAYLOAD.subarray(0, random(3) === 0 ? random(200) : 8 * random(40));
    const offset = 8 * random(random(4) === 0 ? 8192 : 40), more = random(3) > 0;
    script.frame(script.packet(payload, { identification: random(20), protocol: random(3) ? 17 : 1, offset, more }));
    if (random(500) === 0) script.host.advance(random(20_000));
  }
  script.take();
  script.assertEmptyAfterClose();
});
