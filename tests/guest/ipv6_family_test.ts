import { assertEquals, assertRejects } from "@std/assert";
import { readUint16, writeUint16 } from "../../net/wire/bytes.ts";
import { IpAddress, writeMac } from "../../net/wire/address.ts";
import { TCP_SYN } from "../../net/wire/tcp.ts";
import { GATEWAY_MAC } from "../../nat/nat.ts";
import { FAMILIES } from "../support/families.ts";
import { type FrameFields, icmpErrorFrame, icmpFrame, tcpFrame, udpFrame } from "../support/frames.ts";
import { fromGateway, GuestWire } from "../support/guest_wire.ts";
import { hex } from "../support/packet_bytes.ts";

const IPV6 = FAMILIES.find(({ version }) => version === 6)!, ENDS = fromGateway(IPV6);
const LINK_LOCAL = "fe80::5054:ff:fe12:3456", GROUP = "ff02::1:ff00:15", LINK_LOCAL_GROUP = "ff02::1:ff12:3456";
const OTHER_MAC = 0x525400123499, ALL_NODES_MAC = 0x333300000001;
const SOLICITATION = 135, ADVERTISEMENT = 136, ROUTER = 0x80, SOLICITED = 0x40, OVERRIDE = 0x20;
const SOURCE_MAC = 1, TARGET_MAC = 2;

interface NeighbourFields extends FrameFields {
  readonly target?: string;
  readonly flags?: number;
  readonly code?: number;
  /** Type and MAC address of its option; null: it has none. */
  readonly option?: [type: number, mac: number] | null;
  /** Further bytes behind. */
  readonly rest?: number[];
}

/** A message of neighbour discovery, of the gateway to the guest unless told otherwise. */
function neighbour(type: number, { target = "fd00::15", flags = 0, code = 0, ...fields }: NeighbourFields): Uint8Array {
  const { option = [type === SOLICITATION ? SOURCE_MAC : TARGET_MAC, GATEWAY_MAC], rest = [], ...frame } = fields;
  const body = new Uint8Array(20 + (option === null ? 0 : 8) + rest.length);
  body[0] = flags;
  IpAddress.parse(target).writeTo(body, 4);
  if (option !== null) {
    body[20] = option[0];
    body[21] = 1;
    writeMac(body, 22, option[1]);
  }
  body.set(rest, body.length - rest.length);
  return icmpFrame(type, code, body, { ...ENDS, ttl: 255, ...frame });
}

function solicitation(fields: NeighbourFields = {}): Uint8Array {
  return neighbour(SOLICITATION, { destination: GROUP, ...fields });
}

Deno.test("Ipv6Family asks for the gateway and answers it byte for byte as RFC 4861 sections 4.3 and 4.4 have it", async () => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  await socket.send(Uint8Array.of(1), { hostname: "fd00::2", port: 53 });
  // As scapy writes both.
  assertEquals(
    wire.takeFrames(),
    [hex(`
      33 33 ff 00 00 02  52 54 00 12 34 56  86 dd
      60 00 00 00  00 20 3a ff  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 15
      ff 02 00 00  00 00 00 00  00 00 00 01  ff 00 00 02
      87 00 f8 c7  00 00 00 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 02
      01 01 52 54  00 12 34 56
    `)],
  );
  wire.give(solicitation());
  const [answer] = wire.takeFrames().filter((frame) => frame[54] === ADVERTISEMENT);
  assertEquals(
    answer,
    hex(`
      52 54 00 12 34 02  52 54 00 12 34 56  86 dd
      60 00 00 00  00 20 3a ff  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 15
      fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 02
      88 00 97 b8  60 00 00 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 15
      02 01 52 54  00 12 34 56
    `),
  );
});

Deno.test("Ipv6Family answers for both its addresses: to whoever asks, to all when that has no address yet", async () => {
  await using wire = new GuestWire();
  const told = (from: string, to: string) => [
    `IP6 ${from} > ${to}: ICMP6, neighbor advertisement, tgt is ${from}, length 32`,
  ];
  assertEquals(wire.answer(solicitation()), told("fd00::15", "fd00::2"));
  assertEquals(wire.answer(solicitation({ destination: "fd00::15" })), told("fd00::15", "fd00::2"));
  const linkLocal = { source: "fe80::2", destination: LINK_LOCAL_GROUP, target: LINK_LOCAL };
  assertEquals(wire.answer(solicitation(linkLocal)), told(LINK_LOCAL, "fe80::2"));
  // Behind an option that is not known.
  assertEquals(wire.answer(solicitation({ rest: [77, 1, 0, 0, 0, 0, 0, 0] })), told("fd00::15", "fd00::2"));
  const claim = solicitation({ source: "::", option: null });
  assertEquals(wire.answer(claim), told("fd00::15", "ff02::1"));
  wire.give(claim);
  const [frame] = wire.takeFrames();
  // Not solicited, and to the group's MAC address.
  assertEquals([frame![58]! & SOLICITED, readUint16(frame!, 0), frame![5]], [0, ALL_NODES_MAC / 2 ** 32 | 0, 1]);
});

Deno.test("Ipv6Family says nothing to a solicitation that is not for it, or that RFC 4861 section 7.1.1 refuses", async () => {
  await using wire = new GuestWire();
  wire.give(solicitation());
  const cases: [string, Uint8Array][] = [
    ["another's address", solicitation({ target: "fd00::16" })],
    ["the gateway's", solicitation({ target: "fd00::2" })],
    ["a group", solicitation({ target: "ff02::1:ff00:15" })],
    ["hop limit", solicitation({ ttl: 254 })],
    ["code", solicitation({ code: 1 })],
    ["an option without length", solicitation({ rest: [77, 0, 0, 0, 0, 0, 0, 0] })],
    ["an option cut off", solicitation({ rest: [77, 2, 0, 0, 0, 0, 0, 0] })],
    ["cut off", icmpFrame(SOLICITATION, 0, new Uint8Array(19), { ...ENDS, ttl: 255 })],
    ["nobody gives a MAC address", solicitation({ source: "::" })],
    ["nobody asks one address", solicitation({ source: "::", option: null, destination: "fd00::15" })],
    ["from a group", solicitation({ source: "ff02::1" })],
    ["from a mapped address", solicitation({ source: "::ffff:10.0.2.2", family: 6 })],
    ["a fragment", solicitation({ fragment: 1 })],
  ];
  const wrong = solicitation();
  wrong[wrong.length - 1]! ^= 1;
  cases.push(["checksum", wrong]);
  for (const [what, frame] of cases) assertEquals(wire.answer(frame), [], what);
});

Deno.test("Ipv6Family follows the gateway to another MAC address by an advertisement about it, and by no other", async () => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  const macAfter = async (frame: Uint8Array) => {
    wire.answer(frame);
    await socket.send(Uint8Array.of(1), { hostname: "fd00::2", port: 53 });
    return wire.takeMacs();
  };
  const moved: NeighbourFields = {
    target: "fd00::2",
    flags: ROUTER | SOLICITED | OVERRIDE,
    option: [TARGET_MAC, OTHER_MAC],
    fromMac: OTHER_MAC,
  };
  const advertisement = (fields: NeighbourFields) => neighbour(ADVERTISEMENT, { ...moved, ...fields });
  assertEquals(await macAfter(tcpFrame({ ...ENDS, seq: 0, ack: 0, flags: TCP_SYN })), [GATEWAY_MAC]);
  const wrong = advertisement({});
  wrong[wrong.length - 1]! ^= 1;
  const spoofed: [string, Uint8Array][] = [
    ["about another", advertisement({ target: "fd00::7", source: "fd00::7" })],
    ["about the guest", advertisement({ target: "fd00::15" })],
    ["no override", advertisement({ flags: ROUTER | SOLICITED })],
    ["no MAC address", advertisement({ option: null })],
    ["a source's MAC address", advertisement({ option: [SOURCE_MAC, OTHER_MAC] })],
    ["hop limit", advertisement({ ttl: 64 })],
    ["one fragment", advertisement({ fragment: 0 })],
    ["solicited by everybody", advertisement({ destination: "ff02::1" })],
    ["an option without length", advertisement({ rest: [77, 0, 0, 0, 0, 0, 0, 0] })],
    ["mapped", advertisement({ source: "::ffff:10.0.2.2", family: 6 })],
    ["checksum", wrong],
    ["a redirect", icmpFrame(137, 0, new Uint8Array(36), { ...ENDS, source: "fe80::2", ttl: 255, fromMac: OTHER_MAC })],
    ["a router", icmpFrame(134, 0, new Uint8Array(12), { ...ENDS, source: "fe80::2", ttl: 255, fromMac: OTHER_MAC })],
  ];
  for (const [what, frame] of spoofed) assertEquals(await macAfter(frame), [GATEWAY_MAC], what);
  assertEquals(await macAfter(advertisement({})), [OTHER_MAC]);
  // To everybody, without having been asked.
  const back = advertisement({ destination: "ff02::1", flags: OVERRIDE, option: [TARGET_MAC, GATEWAY_MAC] });
  assertEquals(await macAfter(back), [GATEWAY_MAC]);
});

Deno.test("Ipv6Family speaks from its link-local address to link-local ones, and from the one that was asked", async () => {
  await using wire = new GuestWire();
  const connecting = assertRejects(() => wire.stack.connect({ hostname: "fe80::2", port: 80 }));
  wire.take();
  wire.give(solicitation());
  const [line] = wire.take();
  assertEquals(line!.startsWith(`IP6 ${LINK_LOCAL}.49152 > fe80::2.80: Flags [S]`), true, line);
  using socket = wire.stack.openUdp(5353);
  const to = { ...ENDS, source: "fe80::2", destination: LINK_LOCAL };
  const [reset] = wire.answer(tcpFrame({ ...to, seq: 5, ack: 0, flags: TCP_SYN }));
  assertEquals(reset!.startsWith(`IP6 ${LINK_LOCAL}.80 > fe80::2.40000: Flags [R.]`), true, reset);
  wire.give(udpFrame({ source: 53, destination: 5353 }, Uint8Array.of(3), to));
  assertEquals(await socket.receive(), [Uint8Array.of(3), { transport: "udp", hostname: "fe80::2", port: 53 }]);
  await wire.stack.close();
  await connecting;
});

Deno.test("Ipv6Family with a gateway on the link alone asks for it from its link-local address", async () => {
  await using wire = new GuestWire({ address6: "2001:db8::15", gateway6: "fe80::2" });
  using socket = wire.stack.openUdp(5353);
  await socket.send(Uint8Array.of(1), { hostname: "2001:db8:1::1", port: 53 });
  assertEquals(wire.take(), [
    `IP6 ${LINK_LOCAL} > ff02::1:ff00:2: ICMP6, neighbor solicitation, who has fe80::2, length 32`,
  ]);
  const flags = ROUTER | SOLICITED | OVERRIDE, destination = LINK_LOCAL;
  const [line] = wire.answer(neighbour(ADVERTISEMENT, { source: "fe80::2", target: "fe80::2", destination, flags }));
  assertEquals(line!.startsWith("IP6 2001:db8::15.5353 > 2001:db8:1::1.53"), true, line);
});

Deno.test("Ipv6Family reads what stands behind extension headers that it may skip, and drops the rest", async () => {
  await using wire = new GuestWire();
  const padding = hex("00 00 01 04 00 00 00 00"), routing = hex("00 00 00 01 00 00 00 00");
  const hopByHop = { type: 0, bytes: padding }, options = { type: 60, bytes: padding };
  const syn = (fields: FrameFields) => tcpFrame({ ...ENDS, seq: 5, ack: 0, flags: TCP_SYN, ...fields });
  assertEquals(wire.answer(syn({ extensions: [hopByHop, options] })).length, 1);
  const refused: [string, Uint8Array][] = [
    // Its segment is where that of the one before was.
    ["a routing header that leads on", syn({ extensions: [options, { type: 43, bytes: routing }] })],
    ["an option that must be known", syn({ extensions: [{ type: 60, bytes: hex("00 00 80 04 00 00 00 00") }] })],
    ["a header past the end", syn({ extensions: [{ type: 60, bytes: hex("00 7f 01 04 00 00 00 00") }] })],
    ["a long chain", syn({ extensions: Array.from({ length: 20 }, () => options) })],
    ["from a mapped address", syn({ source: "::ffff:10.0.2.2", family: 6 })],
    ["to a mapped address", syn({ destination: "::ffff:10.0.2.15", family: 6 })],
    ["from nobody", syn({ source: "::" })],
    ["from a group", syn({ source: "ff02::1" })],
    ["to a group", syn({ destination: "ff02::1" })],
    ["echo", icmpFrame(128, 0, new Uint8Array(8), ENDS)],
    ["no next header", tcpFrame({ ...ENDS, seq: 5, ack: 0, flags: TCP_SYN }).with(20, 59)],
  ];
  for (const [what, frame] of refused) assertEquals(wire.answer(frame), [], what);
});

Deno.test("Ipv6Family drops a datagram without a checksum (RFC 8200 section 8.1)", async () => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  const without = udpFrame({ source: 53, destination: 5353 }, Uint8Array.of(1), ENDS);
  writeUint16(without, 60, 0);
  wire.give(without, udpFrame({ source: 53, destination: 5353 }, Uint8Array.of(2), ENDS));
  assertEquals((await socket.receive())[0], Uint8Array.of(2));
});

Deno.test("Ipv6Family takes an error about a datagram from its link-local address for its own", async () => {
  await using wire = new GuestWire();
  using socket = wire.stack.openUdp(5353);
  const sent = udpFrame({ source: 5353, destination: 53 }, new Uint8Array(4), {
    source: LINK_LOCAL,
    destination: "fe80::2",
  });
  wire.give(icmpErrorFrame({ type: 1, code: 4 }, sent.subarray(14), ENDS));
  await assertRejects(() => socket.receive(), Deno.errors.ConnectionRefused, "Datagram to [fe80::2]:53 was refused");
});
