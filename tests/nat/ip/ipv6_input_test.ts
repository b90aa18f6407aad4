import { assertEquals } from "@std/assert";
import type { DropReason } from "../../../nat/base/counters.ts";
import { ERROR_RATE } from "../../../nat/ip/ipv6_input.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ipv6MulticastMac } from "../../../net/wire/ethernet.ts";
import { Frame } from "../../../net/wire/frame.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../../net/wire/ipv4.ts";
import { TCP_ACK, TCP_RST, TCP_SYN, tcpFlags } from "../../../net/wire/tcp.ts";
import {
  arpFrame,
  ask,
  echoFrame,
  etherFrame,
  fragmentFrames,
  type FrameFields,
  GATEWAY_IP6,
  GUEST_IP6,
  icmpErrorFrame,
  icmpFrame,
  packetFrame,
  PROTOCOL_ICMPV6,
  tcpFrame,
  udpFrame,
} from "../../support/frames.ts";
import { noise } from "../../support/packet_bytes.ts";
import { PacketScript6 } from "../../support/packet_script6.ts";

const REMOTE = "2001:db8::7", LINK_LOCAL = "fe80::5054:ff:fe12:3456";
const HOP_BY_HOP = 0, ROUTING = 43, DESTINATION_OPTIONS = 60;
const TARGET = IpAddress.parse("fd00::15"), ALL_NODES = IpAddress.parse("ff02::1");

/** An extension header of 8 bytes with these behind its first two. */
function extension(type: number, ...rest: number[]): { type: number; bytes: Uint8Array } {
  const bytes = new Uint8Array(8);
  bytes.set(rest, 2);
  return { type, bytes };
}

/** Padding that fills options. */
const PADDED = [1, 4, 0, 0, 0, 0];

function datagram(fields: FrameFields = {}, payload: Uint8Array = noise(20, 1)): Uint8Array {
  return udpFrame({ source: 4000, destination: 9 }, payload, { destination: REMOTE, ...fields });
}

/** A neighbour solicitation of the guest for its own address, as in duplicate address detection. */
function solicitation(fields: FrameFields = {}, rest: Uint8Array = new Uint8Array(20)): Uint8Array {
  if (rest.length >= 20) TARGET.writeTo(rest, 4);
  const group = IpAddress.parse("ff02::1:ff00:15");
  return icmpFrame(135, 0, rest, {
    source: "::",
    destination: group,
    ttl: 255,
    toMac: ipv6MulticastMac(group.w3),
    ...fields,
  });
}

/** A report of version 2 that the guest listens to its solicited-node group. */
function report(fields: FrameFields = {}, length: number = 24): Uint8Array {
  const rest = new Uint8Array(24);
  rest.set([0, 0, 0, 1, 4, 0, 0, 0], 0);
  IpAddress.parse("ff02::1:ff00:15").writeTo(rest, 8);
  const alert = { type: HOP_BY_HOP, bytes: Uint8Array.of(0, 0, 5, 2, 0, 0, 1, 0) };
  const group = {
    source: LINK_LOCAL,
    destination: "ff02::16",
    toMac: ipv6MulticastMac(0x16),
    ttl: 1,
    extensions: [alert],
  };
  return icmpFrame(143, 0, rest.subarray(0, length), { ...group, ...fields });
}

function patched(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  frame.set(bytes, at);
  return frame;
}

/** Frames that are dropped, under which name, and type and code of the error that the guest is told. */
const DROPPED: readonly [string, DropReason, Uint8Array, ([number, number] | null)?][] = [
  ["a header that is cut off", "ipv6Malformed", datagram().subarray(0, 14 + 39)],
  ["another version", "ipv6Malformed", patched(datagram(), 14, 0x40)],
  ["a payload that is cut off", "ipv6Malformed", patched(datagram(), 18, 1, 0)],
  ["a mapped destination", "ipv6Mapped", datagram({ destination: IpAddress.fromIpv4(0x0a000202), family: 6 })],
  ["a mapped source", "ipv6Mapped", datagram({ source: IpAddress.fromIpv4(0x0a00020f), family: 6 })],
  ["a datagram from nobody", "spoofedAddress", datagram({ source: "::" })],
  ["an echo from nobody", "spoofedAddress", echoFrame({ identifier: 1, sequence: 1 }, noise(8, 1), { source: "::" })],
  ["a source that is a group", "spoofedAddress", datagram({ source: "ff02::1" })],
  ["the gateway's own address", "spoofedAddress", datagram({ source: GATEWAY_IP6 })],
  ["the DNS server's address", "spoofedAddress", datagram({ source: "fd00::3" })],
  ["the router's link-local address", "spoofedAddress", datagram({ source: "fe80::2" })],
  ["an address of elsewhere", "spoofedAddress", datagram({ source: "2001:db8::1" })],
  ["a hop limit of 1", "ttlExceeded", datagram({ ttl: 1 }), [3, 0]],
  ["a hop limit of 0", "ttlExceeded", ask("tcp", REMOTE, { ttl: 0 }), [3, 0]],
  [
    "a routing header of type 0 that leads on",
    "ipv6ExtensionRefused",
    datagram({
      extensions: [extension(ROUTING, 0, 1)],
    }),
    [4, 0],
  ],
  [
    "an option that is to be told of",
    "ipv6ExtensionRefused",
    datagram({
      extensions: [extension(DESTINATION_OPTIONS, 0x80, 4)],
    }),
    [4, 2],
  ],
  [
    "an option that is not to be told of",
    "ipv6ExtensionRefused",
    datagram({
      extensions: [extension(HOP_BY_HOP, 0x40, 4)],
    }),
    null,
  ],
  [
    "an option of no length",
    "ipv6ExtensionRefused",
    datagram({
      extensions: [extension(HOP_BY_HOP, 1, 200)],
    }),
    null,
  ],
  [
    "hop-by-hop options in the middle",
    "ipv6ExtensionRefused",
    datagram({
      extensions: [extension(DESTINATION_OPTIONS, ...PADDED), extension(HOP_BY_HOP, ...PADDED)],
    }),
    [4, 1],
  ],
  [
    "a chain that is too long",
    "ipv6ExtensionRefused",
    datagram({
      extensions: Array.from({ length: 9 }, () => extension(DESTINATION_OPTIONS, ...PADDED)),
    }),
    [4, 6],
  ],
  [
    "a chain that is cut off",
    "ipv6ExtensionRefused",
    packetFrame(DESTINATION_OPTIONS, Uint8Array.of(17, 9, 1, 4), {
      destination: REMOTE,
    }),
    null,
  ],
  ["a next header that is not known", "protocolNotRelayed", packetFrame(132, noise(20, 1), { destination: REMOTE }), [
    4,
    1,
  ]],
  ["no next header", "protocolNotRelayed", packetFrame(59, noise(20, 1), { destination: REMOTE }), null],
  ["a fragment of TCP", "ipv6Fragment", fragmentFrames(ask("tcp", REMOTE), 8, { destination: REMOTE })[1]!, null],
  [
    "a first fragment without all headers",
    "fragmentMalformed",
    packetFrame(17, noise(0, 1), {
      destination: REMOTE,
      fragment: 1,
    }),
    [4, 3],
  ],
  [
    "a fragment of a length that none has",
    "fragmentMalformed",
    packetFrame(17, noise(51, 1), {
      destination: REMOTE,
      fragment: 1,
    }),
    [4, 0],
  ],
  [
    "a fragment that is empty",
    "fragmentMalformed",
    packetFrame(17, noise(0, 1), {
      destination: REMOTE,
      fragment: 0x100,
    }),
    null,
  ],
  ["a tiny fragment", "fragmentTiny", packetFrame(17, noise(40, 1), { destination: REMOTE, fragment: 0x101 }), null],
  [
    "a fragment that reaches past the longest packet",
    "fragmentMalformed",
    packetFrame(17, noise(48, 1), {
      destination: REMOTE,
      fragment: 0xfff0,
    }),
    [4, 0],
  ],
  ["a datagram without a checksum", "udpWithoutChecksum", patched(datagram(), 14 + 40 + 6, 0, 0)],
  ["a wrong UDP checksum", "udpChecksum", patched(datagram(), 14 + 40 + 9, 1)],
  ["a UDP header that contradicts itself", "udpMalformed", patched(datagram(), 14 + 40 + 4, 0, 200)],
  ["a wrong TCP checksum", "tcpChecksum", patched(ask("tcp", REMOTE), 14 + 40 + 4, 9)],
  ["a TCP header that contradicts itself", "tcpMalformed", patched(ask("tcp", REMOTE), 14 + 40 + 12, 0x40)],
  ["ICMPv6 that is cut off", "icmpMalformed", packetFrame(PROTOCOL_ICMPV6, noise(7, 1), { destination: REMOTE })],
  ["a wrong ICMPv6 checksum", "icmpChecksum", patched(ask("icmp", REMOTE), 14 + 40 + 9, 9)],
  [
    "an echo reply",
    "icmpNotRelayed",
    echoFrame({ identifier: 1, sequence: 1, isReply: true }, noise(8, 1), {
      destination: REMOTE,
    }),
  ],
  ["a router renumbering", "icmpNotRelayed", icmpFrame(138, 0, noise(20, 1), { destination: REMOTE })],
  [
    "an error that quotes too little",
    "icmpMalformed",
    icmpErrorFrame({ type: 1, code: 0 }, noise(20, 1), {
      destination: REMOTE,
    }),
  ],
  [
    "an error about what was never sent",
    "icmpErrorStray",
    icmpErrorFrame(
      { type: 1, code: 0 },
      datagram().subarray(14),
      { destination: REMOTE },
    ),
  ],
  [
    "a router advertisement",
    "ndpNotBelieved",
    icmpFrame(134, 0, new Uint8Array(12), {
      source: LINK_LOCAL,
      destination: ALL_NODES,
      toMac: ipv6MulticastMac(1),
      ttl: 255,
    }),
  ],
  ["a redirect", "ndpNotBelieved", icmpFrame(137, 0, new Uint8Array(36), { source: LINK_LOCAL, ttl: 255 })],
  ["a solicitation that a router has passed on", "ndpHopLimit", solicitation({ ttl: 254 })],
  ["a solicitation that is cut off", "ndpMalformed", solicitation({}, new Uint8Array(16))],
  ["a solicitation from nobody to one address", "ndpMalformed", solicitation({ destination: GATEWAY_IP6 })],
  ["a solicitation with an option of length 0", "ndpMalformed", solicitation({}, new Uint8Array(28))],
  ["a solicitation in one fragment", "ndpMalformed", solicitation({ fragment: 0 })],
  [
    "a solicitation in fragments",
    "ndpMalformed",
    fragmentFrames(
      solicitation({ source: GUEST_IP6 }, new Uint8Array(100)),
      48,
      { source: GUEST_IP6, destination: "ff02::1:ff00:15", ttl: 255 },
    )[0]!,
  ],
  ["a report that is cut off", "mldMalformed", report({}, 20)],
  ["a report that a router has passed on", "mldMalformed", report({ ttl: 64 })],
  ["a datagram to a group", "neverRelayed", datagram({ destination: "ff02::fb", toMac: ipv6MulticastMac(0xfb) }), null],
  ["a datagram to what is never relayed", "neverRelayed", datagram({ destination: "::1" }), [1, 1]],
  ["a datagram to the rest of the subnet", "neverRelayed", datagram({ destination: "fd00::99" }), [1, 1]],
];

for (const [name, reason, frame, error = null] of DROPPED) {
  Deno.test(`Ipv6Input counts ${name} as ${reason} and ${error === null ? "does not answer" : "tells the guest"}`, () => {
    const script = new PacketScript6();
    script.frame(frame);
    assertEquals(script.counted, { [reason]: 1 });
    const told = script.takeIcmp();
    assertEquals(told && [told.type, told.code], error);
    if (told !== null) assertEquals([told.source, told.destination], [`${GATEWAY_IP6}`, `${GUEST_IP6}`]);
    assertEquals([script.host.sockets.length, script.host.udpSockets.length], [0, 0]);
    script.assertEmptyAfterClose();
  });
}

Deno.test("Ipv6Input counts reports of groups as mldReport; the router advertises itself to who sends them", () => {
  for (const source of ["::", LINK_LOCAL]) {
    const script = new PacketScript6();
    script.frame(report({ source }));
    assertEquals(script.counted, { mldReport: 1 }, source);
    const told = script.take().map(({ header, payload }) => [`${header.destination}`, payload[0]]);
    assertEquals(told, [["ff02::1", 134]], source);
    script.frame(report({ source }));
    assertEquals([script.counted, script.sent], [{ mldReport: 2 }, 0], source);
    script.assertEmptyAfterClose();
  }
});

Deno.test("a guest is warned about an IPv6 address that it may not have, in words that say what to do", () => {
  const cases: [string, string | null][] = [
    ["fd00::2", "which is the gateway's: give it another address of fd00::/64, e.g. fd00::15"],
    ["fd00::3", "which is the DNS server's: give it another address of fd00::/64, e.g. fd00::15"],
    [
      "2001:db8::1",
      "which is not of fd00::/64: give it an address of that network, e.g. fd00::15, or the gateway that of the guest " +
      "(--subnet6)",
    ],
    ["::", null],
  ];
  for (const [source, problem] of cases) {
    const script = new PacketScript6();
    script.frame(datagram({ source }), datagram({ source }));
    assertEquals(script.warnings, problem === null ? [] : [`Guest 1 on script uses ${source}, ${problem}`]);
    assertEquals(script.counted, { spoofedAddress: 2 });
  }
});

Deno.test("Ipv6Input survives every frame here cut off anywhere, with one counter for each", () => {
  for (const [name, , frame] of DROPPED) {
    for (let length = 0; length < frame.length; length++) {
      const script = new PacketScript6();
      script.frame(frame.subarray(0, length));
      const counted = Object.values(script.counted).reduce((sum, count) => sum + count, 0);
      assertEquals(counted, 1, `${name} of ${length} bytes`);
      script.nat.close();
    }
  }
});

Deno.test("Ipv6Input hands a datagram on whatever extension headers it has that are followed, and an atomic fragment alone", () => {
  const chains: FrameFields[] = [
    {},
    { extensions: [extension(HOP_BY_HOP, ...PADDED)] },
    { extensions: [extension(HOP_BY_HOP, 5, 2, 0, 0, 1, 0), extension(DESTINATION_OPTIONS, ...PADDED)] },
    { extensions: [extension(ROUTING, 0, 0)] },
    { extensions: [extension(DESTINATION_OPTIONS, 0x1e, 4)] },
    { fragment: 0, identification: 9 },
    { extensions: Array.from({ length: 8 }, () => extension(DESTINATION_OPTIONS, ...PADDED)) },
  ];
  for (const chain of chains) {
    const script = new PacketScript6(), payload = noise(100, 3);
    script.frame(datagram(chain, payload));
    const { sent } = script.host.udpSockets[0]!;
    assertEquals([sent.map(({ bytes }) => bytes), script.counted], [[payload], {}]);
    assertEquals([`${sent[0]!.to.address}`, sent[0]!.to.port], [REMOTE, 9]);
    script.assertEmptyAfterClose();
  }
});

Deno.test("Ipv6Input answers a SYN with a connection of its own, segments of no connection with RST, over IPv6", () => {
  const script = new PacketScript6();
  script.frame(tcpFrame({ destination: GATEWAY_IP6, seq: 5, ack: 0, flags: TCP_SYN, mss: 1440 }));
  const socket = script.host.onlyConnect();
  assertEquals(`${socket.target.address}`, "::1");
  socket.accept();
  script.host.run();
  const [synAck] = script.take();
  assertEquals([synAck!.header.nextHeader, tcpFlags(synAck!.payload, 0)], [PROTOCOL_TCP, TCP_SYN | TCP_ACK]);
  assertEquals([`${synAck!.header.source}`, `${synAck!.header.destination}`], [`${GATEWAY_IP6}`, `${GUEST_IP6}`]);
  // The MSS option says what an IPv6 packet of the MTU holds.
  assertEquals([...synAck!.payload.subarray(20, 24)], [2, 4, 1440 >> 8, 1440 & 255]);
  script.frame(tcpFrame({ destination: REMOTE, seq: 5, ack: 1, flags: TCP_ACK }));
  const [reset] = script.take();
  assertEquals([tcpFlags(reset!.payload, 0) & TCP_RST, `${reset!.header.source}`], [TCP_RST, REMOTE]);
  assertEquals(script.counted, { tcpStray: 1 });
  script.assertEmptyAfterClose();
});

Deno.test("Ipv6Input answers echo requests to the gateway, its DNS server, the router's link-local address and the groups of all", () => {
  const script = new PacketScript6(), payload = noise(56, 1);
  for (const [source, destination] of [["fd00::15", "fd00::2"], ["fd00::15", "fd00::3"], [LINK_LOCAL, "fe80::2"]]) {
    script.frame(echoFrame({ identifier: 7, sequence: 2 }, payload, { source: source!, destination: destination! }));
    const reply = script.takeIcmp()!;
    assertEquals([reply.type, reply.code, reply.identifier, reply.sequence], [129, 0, 7, 2]);
    assertEquals([reply.source, reply.destination, reply.bytes.subarray(8)], [destination, source, payload]);
  }
  for (const group of ["ff02::1", "ff02::2"]) {
    for (const [source, answerer] of [["fd00::15", "fd00::2"], [LINK_LOCAL, "fe80::2"]] as const) {
      script.frame(echoFrame({ identifier: 7, sequence: 2 }, payload, { source, destination: group }));
      const reply = script.takeIcmp()!;
      assertEquals([reply.type, reply.identifier, reply.source, reply.destination], [129, 7, answerer, source]);
      assertEquals(reply.bytes.subarray(8), payload);
    }
  }
  // One that is longer than the MTU comes in fragments and is answered in fragments.
  const large = echoFrame({ identifier: 7, sequence: 3 }, noise(3000, 1), { destination: GATEWAY_IP6 });
  script.frame(...fragmentFrames(large, 1400, { destination: GATEWAY_IP6 }));
  assertEquals(script.take().map(({ header }) => header.nextHeader), [44, 44, 44]);
  assertEquals(script.counted, {});
  script.assertEmptyAfterClose();
});

Deno.test("Ipv6Input leaves echo requests to other groups, and from nobody, without an answer", () => {
  const script = new PacketScript6(),
    echo = { identifier: 7, sequence: 2 },
    groups = ["ff02::fb", "ff05::1", "ff0e::1"];
  for (const destination of groups) script.frame(echoFrame(echo, noise(8, 1), { source: GUEST_IP6, destination }));
  script.frame(echoFrame(echo, noise(8, 1), { source: "::", destination: "ff02::1" }));
  assertEquals([script.take(), script.counted], [[], { neverRelayed: 3, spoofedAddress: 1 }]);
  script.assertEmptyAfterClose();
});

Deno.test("Ipv6Input sends an echo request beyond the gateway by a ping socket and hands the reply to the guest", () => {
  const script = new PacketScript6(), payload = noise(56, 1);
  script.frame(echoFrame({ identifier: 7, sequence: 2 }, payload, { destination: REMOTE }));
  const socket = script.host.pingSockets[0]!, request = socket.sent[0]!;
  assertEquals(`${request.to}`, REMOTE);
  socket.hostReplies(request);
  script.host.run();
  const reply = script.takeIcmp()!;
  assertEquals([reply.type, reply.identifier, reply.sequence, reply.source], [129, 7, 2, REMOTE]);
  assertEquals(reply.bytes.subarray(8), payload);
  assertEquals(script.counted, {});
  script.assertEmptyAfterClose();
});

Deno.test("Ipv6Input tells the guest what became of a datagram, from whoever said so", () => {
  for (
    const [error, type, code, source] of [
      ["refused", 1, 4, REMOTE],
      ["networkUnreachable", 1, 0, "fd00::2"],
      ["hostUnreachable", 1, 3, "fd00::2"],
      ["prohibited", 1, 1, "fd00::2"],
      ["expired", 3, 0, "fd00::2"],
    ] as const
  ) {
    const script = new PacketScript6(), frame = datagram();
    script.frame(frame);
    script.host.udpSockets[0]!.hostRefuses({ address: IpAddress.parse(REMOTE), port: 9 }, error);
    script.host.run();
    const told = script.takeIcmp()!;
    assertEquals([told.type, told.code, told.source], [type, code, source], error);
    // The quote is the guest's own packet: both addresses and the ports.
    const quoted = told.bytes.subarray(8);
    assertEquals([quoted.subarray(8, 40), quoted.subarray(40, 44)], [frame.subarray(22, 54), frame.subarray(54, 58)]);
    script.assertEmptyAfterClose();
  }
});

Deno.test("Ipv6Input answers what comes from a link-local address from the router's link-local address", () => {
  const script = new PacketScript6();
  script.frame(datagram({ source: LINK_LOCAL, destination: "::1" }));
  const told = script.takeIcmp()!;
  assertEquals([told.type, told.code, told.source, told.destination], [1, 1, "fe80::2", LINK_LOCAL]);
  script.assertEmptyAfterClose();
});

Deno.test("Ipv6Input rations errors: a burst is told of, then so many a second, and everything is counted", () => {
  const script = new PacketScript6(), frame = datagram({ ttl: 1 });
  for (let i = 0; i < 3 * ERROR_RATE.burst; i++) script.frame(frame);
  assertEquals([script.take().length, script.counted], [ERROR_RATE.burst, { ttlExceeded: 3 * ERROR_RATE.burst }]);
  script.host.advance(100);
  for (let i = 0; i < ERROR_RATE.burst; i++) script.frame(frame);
  assertEquals(script.take().length, ERROR_RATE.perSecond / 10);
  script.assertEmptyAfterClose();
});

Deno.test("Ipv6Input tells of no error about an error", () => {
  const script = new PacketScript6();
  const about = icmpErrorFrame({ type: 1, code: 4 }, datagram().subarray(14), { destination: REMOTE, ttl: 1 });
  script.frame(about);
  assertEquals([script.take(), script.counted], [[], { ttlExceeded: 1 }]);
  script.assertEmptyAfterClose();
});

Deno.test("Ipv6Input puts datagrams together that come in fragments, and an overlap refuses all of it", () => {
  const script = new PacketScript6(), payload = noise(5000, 4);
  const fragments = fragmentFrames(datagram({}, payload), 1400, { destination: REMOTE });
  script.frame(...fragments.toReversed());
  assertEquals(script.host.udpSockets[0]!.sent.map(({ bytes }) => bytes), [payload]);
  assertEquals(script.counted, {});
  // The same bytes again change nothing, others refuse the datagram (RFC 5722).
  const fields = { destination: REMOTE, identification: 5 };
  script.frame(...fragmentFrames(datagram({}, payload), 1400, fields).slice(0, 2));
  script.frame(packetFrame(PROTOCOL_UDP, fragments[0]!.subarray(62), { ...fields, fragment: 1 }));
  assertEquals(script.counted, { fragmentRepeated: 1 });
  script.frame(packetFrame(PROTOCOL_UDP, noise(1400, 9), { ...fields, fragment: 1400 - 8 | 1 }));
  script.frame(...fragmentFrames(datagram({}, payload), 1400, fields).slice(2));
  assertEquals(script.counted, { fragmentRepeated: 1, fragmentOverlap: 3 });
  assertEquals(script.host.udpSockets[0]!.sent.length, 1);
  script.assertEmptyAfterClose();
});

Deno.test("a datagram in fragments whose time to live ends at the gateway is told of once, over both families", () => {
  for (const destination of [REMOTE, "192.0.2.7"]) {
    const script = new PacketScript6(), fields = { destination, ttl: 1 };
    script.frame(...fragmentFrames(datagram(fields, noise(3000, 4)), 1400, fields));
    assertEquals([script.frameCount, script.counted], [1, { ttlExceeded: 3 }]);
    assertEquals(script.nat.incompleteDatagrams, 0);
    script.nat.close();
  }
});

Deno.test("Ipv6Input tells the guest of a datagram that was not whole in time if its beginning had come", () => {
  const script = new PacketScript6(),
    fragments = fragmentFrames(datagram({}, noise(3000, 4)), 1400, {
      destination: REMOTE,
    });
  script.frame(fragments[0]!);
  script.host.advance(31_000);
  const told = script.takeIcmp()!;
  assertEquals([told.type, told.code, told.source], [3, 1, "fd00::2"]);
  script.frame(packetFrame(PROTOCOL_UDP, noise(100, 1), { destination: REMOTE, fragment: 0x200, identification: 8 }));
  script.host.advance(31_000);
  assertEquals([script.takeIcmp(), script.counted], [null, { fragmentTimeout: 2 }]);
  script.assertEmptyAfterClose();
});

Deno.test("a guest's packets of the family that is switched off are dropped under a counter of their own", () => {
  const six = datagram(), four = etherFrame(ETHERTYPE_IPV4, new Uint8Array(40));
  const arp = arpFrame({ operation: 1, senderIp: 0x0a00020f, targetIp: 0x0a000202 });
  const onlyIpv4 = new PacketScript6({ rules: { families: "ipv4" } });
  onlyIpv4.frame(six, four);
  assertEquals(onlyIpv4.counted, { ipv6Disabled: 1, ipv4Malformed: 1 });
  const onlyIpv6 = new PacketScript6({ rules: { families: "ipv6" } });
  onlyIpv6.frame(six, four, arp, etherFrame(ETHERTYPE_ARP, new Uint8Array(3)));
  assertEquals([onlyIpv6.counted, onlyIpv6.host.udpSockets.length], [{ ipv4Disabled: 3 }, 1]);
});

Deno.test("a guest is known by the MAC address of its duplicate address detection, and has no address by that", () => {
  const script = new PacketScript6();
  script.frame(solicitation());
  assertEquals([script.guest.mac, script.guest.address(6)], [0x525400123456, null]);
  script.frame(datagram({ source: LINK_LOCAL, destination: "fe80::2" }));
  assertEquals(`${script.guest.address(6)}`, LINK_LOCAL);
  // One that others can reach is its address from then on, whatever it says on its link.
  script.frame(datagram(), datagram({ source: LINK_LOCAL, destination: "fe80::2" }), report());
  assertEquals(script.guest.address(6), GUEST_IP6);
  assertEquals(["fd00::15", LINK_LOCAL, "fd00::16"].map((text) => script.guest.has(IpAddress.parse(text))), [
    true,
    true,
    false,
  ]);
  script.nat.close();
});

Deno.test("a link that vouches for checksums is believed over IPv6 too, but for a datagram without one", () => {
  const script = new PacketScript6(), wrong = patched(datagram(), 14 + 40 + 9, 1);
  script.guest.receive(Object.assign(new Frame().set(wrong, 0, wrong.length), { checksum: 2 }));
  const without = patched(datagram(), 14 + 40 + 6, 0, 0);
  script.guest.receive(Object.assign(new Frame().set(without, 0, without.length), { checksum: 2 }));
  assertEquals([script.host.udpSockets.length, script.counted], [1, { udpWithoutChecksum: 1 }]);
  script.assertEmptyAfterClose();
});
