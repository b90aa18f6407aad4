import { assert, assertEquals, assertRejects } from "@std/assert";
import { ARP_REPLY, ARP_REQUEST } from "../../net/wire/arp.ts";
import { MAC_BROADCAST } from "../../net/wire/address.ts";
import { PROTOCOL_TCP } from "../../net/wire/ipv4.ts";
import { TCP_ACK, TCP_SYN } from "../../net/wire/tcp.ts";
import { GATEWAY_MAC } from "../../nat/nat.ts";
import {
  arpFrame,
  fragmentFrames,
  fragmentWord,
  type FrameFields,
  GATEWAY_IP,
  GUEST_IP,
  packetFrame,
  packetPayload,
  tcpFrame,
  udpFrame,
} from "../support/frames.ts";
import { FAMILIES, testFamilies as test } from "../support/families.ts";
import { fromGateway, GuestWire } from "../support/guest_wire.ts";

const OTHER_MAC = 0x525400123499;

/** Its segment is as long as one that a fragment may hold. */
function syn(fields: FrameFields): Uint8Array {
  return tcpFrame({ seq: 5, ack: 0, flags: TCP_SYN, mss: 1400, ...fields });
}

function datagram(fields: FrameFields, payload: Uint8Array = new Uint8Array(20)): Uint8Array {
  return udpFrame({ source: 53, destination: 5353 }, payload, fields);
}

/** The frame with a bit of its last byte flipped. */
function spoilt(frame: Uint8Array): Uint8Array {
  frame[frame.length - 1]! ^= 1;
  return frame;
}

test("Station refuses a SYN and a datagram to ports that are not open", async (family) => {
  await using wire = new GuestWire();
  const ends = fromGateway(family), ip = family.version === 4 ? "IP" : "IP6";
  assertEquals(wire.answer(syn(ends)), [
    `${ip} ${family.guest}.80 > ${family.gateway}.40000: Flags [R.], seq 0, ack 6, win 0, length 0`,
  ]);
  const text = family.version === 4
    ? "ICMP type 3 code 3, length 56"
    : "ICMP6, destination unreachable, unreachable port, fd00::15 udp port 5353, length 76";
  assertEquals(wire.answer(datagram(ends)), [`${ip} ${family.guest} > ${family.gateway}: ${text}`]);
});

test("Station drops without a word what is wrong, in fragments or for somebody else", async (family) => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  const first = fragmentWord(family.version, 0, true);
  const ends = fromGateway(family), elsewhere = { ...ends, destination: family.elsewhere };
  const frames: [string, Uint8Array[]][] = [
    ["TCP checksum", [spoilt(tcpFrame({ ...ends, seq: 0, ack: 0, flags: TCP_ACK, payload: new Uint8Array(9) }))]],
    ["UDP checksum", [spoilt(datagram(ends))]],
    ["somebody else's", [syn(elsewhere), datagram(elsewhere)]],
    ["the gateway's own", [syn({ ...ends, destination: family.gateway })]],
    ["fragments", fragmentFrames(datagram(ends), 16, ends)],
    // Whole and with a right checksum, but the packet goes on.
    ["a first fragment", [packetFrame(PROTOCOL_TCP, packetPayload(syn(ends)), { ...ends, fragment: first })]],
    ["a header cut off", [syn(ends).subarray(0, 14 + family.headerLength - 1), datagram(ends).subarray(0, 60)]],
    ["no transport", [syn(ends).subarray(0, 14 + family.headerLength)]],
    ["nothing", [new Uint8Array(0), new Uint8Array(13)]],
  ];
  for (const [what, each] of frames) assertEquals(wire.answer(...each), [], what);
  wire.give(datagram(ends, Uint8Array.of(7)));
  assertEquals((await socket.receive())[0], Uint8Array.of(7));
});

test("Station sends nothing that was kept for a gateway that never answers, and asks again for the next", async (family) => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  const send = (byte: number) => socket.send(Uint8Array.of(byte), { hostname: family.gateway, port: 53 });
  await send(1);
  wire.clock.advance(20_000);
  const asked = wire.take();
  assert(asked.length >= 5 && asked.length <= 6, `${asked}`);
  const question = family.version === 4
    ? "ARP, Request who-has 10.0.2.2 tell 10.0.2.15"
    : "IP6 fd00::15 > ff02::1:ff00:2: ICMP6, neighbor solicitation, who has fd00::2, length 32";
  assertEquals(new Set(asked), new Set([question]));
  await send(2);
  assertEquals(wire.take(), [question]);
  const [only, ...others] = wire.answer(datagram(fromGateway(family)));
  assert(only!.includes(family.version === 4 ? "IP 10.0.2.15.5353 > 10.0.2.2.53" : "IP6 fd00::15.5353 > fd00::2.53"));
  assertEquals(others, []);
});

test("Station takes a frame of the other family for the gateway's answer", async (family) => {
  await using wire = new GuestWire();
  const other = FAMILIES.find(({ version }) => version !== family.version)!;
  const connecting = assertRejects(() => wire.stack.connect({ hostname: family.gateway, port: 80 }));
  wire.take();
  // Somebody else's packet, which is dropped, and from whom is learnt all the same.
  wire.give(syn({ ...fromGateway(other), destination: other.elsewhere, fromMac: OTHER_MAC }));
  assertEquals(wire.takeMacs(), [OTHER_MAC]);
  await wire.stack.close();
  await connecting;
});

test("Station of one family says nothing to frames of the other", async (family) => {
  await using wire = new GuestWire(family.version === 4 ? { address: null } : { address6: null });
  const arp = arpFrame(
    { operation: ARP_REQUEST, senderIp: GATEWAY_IP, targetIp: GUEST_IP },
    { toMac: MAC_BROADCAST, fromMac: GATEWAY_MAC },
  );
  const ends = fromGateway(family), asked = family.version === 4 ? [arp] : [];
  assertEquals(wire.answer(syn(ends), datagram(ends), ...asked), []);
  const other = FAMILIES.find(({ version }) => version !== family.version)!;
  assertEquals(wire.answer(syn(fromGateway(other))).length, 1);
});

Deno.test("Station follows the gateway to another MAC address by an ARP reply, and nobody else", async () => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  const [family] = FAMILIES, frame = { fromMac: OTHER_MAC, toMac: 0x525400123456 };
  const reply = { operation: ARP_REPLY, senderIp: GATEWAY_IP, targetIp: GUEST_IP };
  const macAfter = async (...frames: Uint8Array[]) => {
    wire.answer(...frames);
    await socket.send(Uint8Array.of(1), { hostname: "10.0.2.2", port: 53 });
    return wire.takeMacs();
  };
  assertEquals(await macAfter(syn(fromGateway(family!))), [GATEWAY_MAC]);
  assertEquals(await macAfter(arpFrame({ ...reply, senderIp: GATEWAY_IP + 1 }, frame)), [GATEWAY_MAC]);
  assertEquals(await macAfter(arpFrame({ ...reply, operation: ARP_REQUEST, targetIp: GUEST_IP + 1 }, frame)), [
    GATEWAY_MAC,
  ]);
  assertEquals(await macAfter(arpFrame(reply, frame).subarray(0, 41)), [GATEWAY_MAC]);
  assertEquals(await macAfter(arpFrame(reply, frame)), [OTHER_MAC]);
});

Deno.test("Station answers ARP requests for its address alone", async () => {
  await using wire = new GuestWire();
  const request = { operation: ARP_REQUEST, senderIp: GATEWAY_IP, targetIp: GUEST_IP };
  const frame = { fromMac: GATEWAY_MAC };
  assertEquals(wire.answer(arpFrame(request, frame)), ["ARP, Reply 10.0.2.15 is-at 52:54:00:12:34:56"]);
  assertEquals(wire.answer(arpFrame({ ...request, targetIp: GUEST_IP + 1 }, frame)), []);
});
