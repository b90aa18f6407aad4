import { assert, assertEquals } from "@std/assert";
import type { DropReason } from "../../nat/base/counters.ts";
import { writeUint16 } from "../../net/wire/bytes.ts";
import { type Dhcpv6Fields, encodeDhcpv6 } from "../../net/wire/dhcpv6.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { ipv6MulticastMac } from "../../net/wire/ethernet.ts";
import {
  ask,
  echoFrame,
  type FrameFields,
  icmpErrorFrame,
  icmpFrame,
  packetFrame,
  PROTOCOL_ICMPV6,
  repairChecksums,
  tcpFrame,
  udpFrame,
} from "../support/frames.ts";
import { noise } from "../support/packet_bytes.ts";
import { PacketScript6 } from "../support/packet_script6.ts";
import { setLength6 } from "./packets6.ts";

/** What becomes of a packet with so many bytes behind the IPv6 header: a counter, or an effect. */
type Fate = (length: number) => DropReason | null;

const BEHIND = 14 + 40;
const REMOTE = "2001:db8::7", GATEWAY = "fd00::2", GUEST = "fd00::15", LINK_LOCAL = "fe80::5054:ff:fe12:3456";
const SOURCE_MAC = [1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56];
const CLIENT_ID = Uint8Array.of(0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56);
const SERVER_ID = Uint8Array.of(0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 2);

/** Each fate holds from its length on. */
function from(...rows: [number, DropReason | null][]): Fate {
  return (length) => rows.findLast(([least]) => least <= length)![1];
}

/** The fate of neighbour discovery: of its fixed fields, and then of whole options of 8 bytes. */
function neighbour(fixed: number, whole: DropReason | null): Fate {
  return (length) => length < 8 ? "icmpMalformed" : length < fixed || length % 8 !== 0 ? "ndpMalformed" : whole;
}

function address(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  IpAddress.parse(text).writeTo(bytes, 0);
  return bytes;
}

function ndp(type: number, rest: readonly (number | Uint8Array)[], fields: FrameFields = {}): Uint8Array {
  const bytes = Uint8Array.from(rest.flatMap((part) => typeof part === "number" ? [part] : [...part]));
  return icmpFrame(type, 0, bytes, { source: GUEST, destination: GATEWAY, ttl: 255, ...fields });
}

function mld(type: number, ...rest: number[]): Uint8Array {
  const alert = { type: 0, bytes: Uint8Array.of(0, 0, 5, 2, 0, 0, 1, 0) };
  return icmpFrame(type, 0, Uint8Array.of(...rest, ...address("ff02::1:ff00:15")), {
    source: LINK_LOCAL,
    destination: "ff02::16",
    toMac: ipv6MulticastMac(0x16),
    ttl: 1,
    extensions: [alert],
  });
}

function dhcp(message: Dhcpv6Fields): Uint8Array {
  const bytes = new Uint8Array(512), length = encodeDhcpv6(bytes, 0, message);
  return udpFrame({ source: 546, destination: 547 }, bytes.subarray(0, length), {
    source: LINK_LOCAL,
    destination: "ff02::1:2",
    toMac: ipv6MulticastMac(0x10002),
  });
}

/** The fate of a DHCPv6 message, which may end behind any of its options: what is then missing decides. */
function dhcpFate(ends: readonly [number, DropReason | null][]): Fate {
  return (length) => {
    if (length < 8) return "udpMalformed";
    const end = ends.find(([end]) => end === length - 8);
    return end === undefined ? "dhcpMalformed" : end[1];
  };
}

function extension(type: number, units: number, ...rest: number[]): { type: number; bytes: Uint8Array } {
  const bytes = new Uint8Array(8 * units);
  bytes.set([0, units - 1, ...rest]);
  return { type, bytes };
}

const IA = { iaid: 1, renewalSeconds: 0, rebindingSeconds: 0 };
const LEASE = { address: IpAddress.parse(GUEST), preferredSeconds: 9, validSeconds: 9 };
/** Bytes of a client's or the server's DUID as an option, and of an IA without and with an address. */
const ID = 14, EMPTY_IA = 16, FULL_IA = 16 + 28;

const toServers = { messageType: 0, transactionId: 7, clientId: CLIENT_ID };
const MESSAGES: readonly [string, Uint8Array, Fate][] = [
  ["a SYN", ask("tcp", REMOTE), from([0, "tcpMalformed"], [20, null])],
  [
    "a SYN with options",
    tcpFrame({ seq: 1, ack: 0, flags: 2, mss: 1440, windowShift: 7, sackPermitted: true, destination: REMOTE }),
    from([0, "tcpMalformed"], [32, null]),
  ],
  [
    "a datagram",
    udpFrame({ source: 5000, destination: 9 }, noise(30, 1), { destination: REMOTE }),
    from([0, "udpMalformed"], [8, null]),
  ],
  [
    "a DNS query",
    udpFrame(
      { source: 5000, destination: 53 },
      Uint8Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 28, 0, 1),
      {
        destination: "fd00::3",
      },
    ),
    from([0, "udpMalformed"], [8, "dnsMalformed"], [27, null]),
  ],
  [
    "an echo request",
    echoFrame({ identifier: 1, sequence: 1 }, noise(20, 1), { destination: GATEWAY }),
    from([0, "icmpMalformed"], [8, null]),
  ],
  [
    "an echo request beyond",
    echoFrame({ identifier: 1, sequence: 1 }, noise(20, 1), { destination: REMOTE }),
    from([0, "icmpMalformed"], [8, null]),
  ],
  [
    "an echo reply",
    echoFrame({ identifier: 1, sequence: 1, isReply: true }, noise(20, 1), { destination: GATEWAY }),
    from([0, "icmpMalformed"], [8, "icmpNotRelayed"]),
  ],
  ...[1, 2, 3, 4].map((type): [string, Uint8Array, Fate] => [
    `an error of type ${type}`,
    icmpErrorFrame({ type, code: 0, rest: 1400 }, ask("udp", GUEST, { source: REMOTE }).subarray(14), {
      destination: GATEWAY,
    }),
    from([0, "icmpMalformed"], [8 + 48, "icmpErrorStray"]),
  ]),
  [
    "a router solicitation",
    ndp(133, [0, 0, 0, 0, ...SOURCE_MAC], { destination: "ff02::2", toMac: ipv6MulticastMac(2) }),
    neighbour(8, null),
  ],
  [
    "a router advertisement",
    ndp(134, [64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, ...SOURCE_MAC], { source: LINK_LOCAL }),
    from([0, "icmpMalformed"], [8, "ndpNotBelieved"]),
  ],
  ["a neighbour solicitation", ndp(135, [0, 0, 0, 0, address(GATEWAY), ...SOURCE_MAC]), neighbour(24, null)],
  [
    "duplicate address detection",
    ndp(135, [0, 0, 0, 0, address(GUEST)], {
      source: "::",
      destination: "ff02::1:ff00:15",
      toMac: ipv6MulticastMac(0xff000015),
    }),
    neighbour(24, "ndpIgnored"),
  ],
  ["a neighbour advertisement", ndp(136, [0x60, 0, 0, 0, address(GUEST), ...SOURCE_MAC]), neighbour(24, "ndpIgnored")],
  [
    "a redirect",
    ndp(137, [0, 0, 0, 0, address("fe80::9"), address(REMOTE)], { source: LINK_LOCAL }),
    from([0, "icmpMalformed"], [8, "ndpNotBelieved"]),
  ],
  [
    "a listener query",
    mld(130, 0, 0, 0, 0),
    from([0, "ipv6ExtensionRefused"], [8, "icmpMalformed"], [16, "mldMalformed"], [32, "mldReport"]),
  ],
  [
    "a listener report",
    mld(131, 0, 0, 0, 0),
    from([0, "ipv6ExtensionRefused"], [8, "icmpMalformed"], [16, "mldMalformed"], [32, "mldReport"]),
  ],
  [
    "a listener that is done",
    mld(132, 0, 0, 0, 0),
    from([0, "ipv6ExtensionRefused"], [8, "icmpMalformed"], [16, "mldMalformed"], [32, "mldReport"]),
  ],
  [
    "a listener report of version 2",
    mld(143, 0, 0, 0, 1, 4, 0, 0, 0),
    from([0, "ipv6ExtensionRefused"], [8, "icmpMalformed"], [16, "mldMalformed"], [36, "mldReport"]),
  ],
  [
    "SOLICIT",
    dhcp({ ...toServers, messageType: 1, associations: [{ ...IA, addresses: [] }], requestedOptions: [23, 24] }),
    dhcpFate([[4, "dhcpIgnored"], [4 + ID, null], [4 + ID + EMPTY_IA, null], [4 + ID + EMPTY_IA + 8, null]]),
  ],
  ...[3, 5, 8, 9].map((messageType): [string, Uint8Array, Fate] => [
    ["", "", "", "REQUEST", "", "RENEW", "", "", "RELEASE", "DECLINE"][messageType]!,
    dhcp({ ...toServers, messageType, serverId: SERVER_ID, associations: [{ ...IA, addresses: [LEASE] }] }),
    dhcpFate([[4, "dhcpIgnored"], [4 + ID, "dhcpIgnored"], [4 + 2 * ID, null], [4 + 2 * ID + FULL_IA, null]]),
  ]),
  [
    "CONFIRM",
    dhcp({ ...toServers, messageType: 4, associations: [{ ...IA, addresses: [LEASE] }] }),
    dhcpFate([[4, "dhcpIgnored"], [4 + ID, "dhcpIgnored"], [4 + ID + FULL_IA, null]]),
  ],
  [
    "REBIND",
    dhcp({ ...toServers, messageType: 6, associations: [{ ...IA, addresses: [LEASE] }] }),
    dhcpFate([[4, "dhcpIgnored"], [4 + ID, null], [4 + ID + FULL_IA, null]]),
  ],
  [
    "INFORMATION-REQUEST",
    dhcp({ ...toServers, messageType: 11, requestedOptions: [23] }),
    dhcpFate([[4, null], [4 + ID, null], [4 + ID + 6, null]]),
  ],
  [
    "a chain of extension headers",
    udpFrame({ source: 5000, destination: 9 }, noise(9, 1), {
      destination: REMOTE,
      extensions: [extension(0, 1, 1, 4), extension(60, 2, 1, 12), extension(43, 1), extension(60, 1, 1, 4)],
    }),
    from([0, "ipv6ExtensionRefused"], [40, "udpMalformed"], [48, null]),
  ],
  [
    "a fragment that is the whole packet",
    udpFrame({ source: 5000, destination: 9 }, noise(9, 1), { destination: REMOTE, fragment: 0 }),
    from([0, "ipv6ExtensionRefused"], [8, "udpMalformed"], [16, null]),
  ],
  [
    "a first fragment",
    packetFrame(17, Uint8Array.of(0x13, 0x88, 0, 9, 0, 200, 1, 1, ...noise(60, 1)), {
      destination: REMOTE,
      fragment: 1,
    }),
    (length) => {
      if (length < 8) return "ipv6ExtensionRefused";
      return length < 16 || length % 8 !== 0 ? "fragmentMalformed" : length < 8 + 48 ? "fragmentTiny" : null;
    },
  ],
  [
    "a fragment in the middle",
    packetFrame(PROTOCOL_ICMPV6, noise(60, 1), { destination: REMOTE, fragment: 0x101 }),
    (length) => {
      if (length < 8) return "ipv6ExtensionRefused";
      return length === 8 || length % 8 !== 0 ? "fragmentMalformed" : length < 8 + 48 ? "fragmentTiny" : null;
    },
  ],
  [
    "a last fragment",
    packetFrame(PROTOCOL_ICMPV6, noise(20, 1), { destination: REMOTE, fragment: 0x100 }),
    from([0, "ipv6ExtensionRefused"], [8, "fragmentMalformed"], [9, null]),
  ],
];

/** The packet of a frame with so many bytes behind the IPv6 header, and lengths and checksums that say so. */
function shortened(frame: Uint8Array, length: number): Uint8Array {
  const short = frame.slice(0, BEHIND + length), at = udpAt(frame);
  setLength6(short);
  if (at >= 0 && at + 8 <= short.length) writeUint16(short, at + 4, short.length - at);
  return repairChecksums(short);
}

/** Where the UDP header is; -1 without one. */
function udpAt(frame: Uint8Array): number {
  let protocol = frame[14 + 6]!, at = BEHIND;
  while ([0, 43, 60].includes(protocol) || (protocol === 44 && frame[at + 2] === 0 && frame[at + 3] === 0)) {
    const length = protocol === 44 ? 8 : 8 * (frame[at + 1]! + 1);
    protocol = frame[at]!;
    at += length;
  }
  return protocol === 17 ? at : -1;
}

/** What became of a frame: the counters that it moved, or whether it had an effect. */
function fateOf(frame: Uint8Array): string[] {
  const script = new PacketScript6({ rules: { dnsServers: ["127.0.0.53"] } });
  script.frame(frame);
  const counted = Object.entries(script.counted).map(([reason, count]) => `${reason} ${count}`), { host, nat } = script;
  const sockets = host.sockets.length + host.udpSockets.length + host.pingSockets.length;
  const isSeen = sockets + nat.incompleteDatagrams > 0 || script.sent > 0;
  script.nat.close();
  return counted.length > 0 ? counted : isSeen ? ["an effect"] : [];
}

for (const [name, frame, fate] of MESSAGES) {
  Deno.test(`a gateway counts ${name} under one name, wherever the packet ends`, () => {
    const whole = frame.length - BEHIND;
    for (let length = 0; length <= whole; length++) {
      const expected = fate(length);
      const fates = fateOf(shortened(frame, length));
      assertEquals(fates, [expected === null ? "an effect" : `${expected} 1`], `${name}, ${length} of ${whole} bytes`);
    }
  });

  Deno.test(`a gateway counts ${name} as cut off, wherever the frame ends`, () => {
    for (let length = 0; length < frame.length; length++) {
      const expected = length < 14 ? "frameTooShort 1" : "ipv6Malformed 1";
      assertEquals(fateOf(frame.subarray(0, length)), [expected], `${name}, a frame of ${length} bytes`);
    }
  });
}

Deno.test("the messages that are cut off are all there are", () => {
  const types = new Set(
    MESSAGES.map(([, frame]) => frame).filter((frame) => frame[20] === 58).map((frame) => frame[54]),
  );
  for (const type of [1, 2, 3, 4, 128, 129, 133, 134, 135, 136, 137]) assert(types.has(type), `${type}`);
});
