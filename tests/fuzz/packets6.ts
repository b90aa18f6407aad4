/**
 * IPv6 frames by chance: whole ones of every kind that a guest may send, in chains of extension headers of any depth
 * and order, in fragments of which some are none, and changes to frames that know where the fields are.
 *
 * @module
 */
import { IpAddress } from "../../net/wire/address.ts";
import { writeUint16, writeUint32 } from "../../net/wire/bytes.ts";
import {
  DHCPV6_CLIENT_PORT,
  DHCPV6_INFORMATION_REQUEST,
  DHCPV6_OPTION_FQDN,
  DHCPV6_OPTION_IA_PD,
  DHCPV6_SERVER_PORT,
  type Dhcpv6Fields,
  encodeDhcpv6,
} from "../../net/wire/dhcpv6.ts";
import { ETHERNET_HEADER_LENGTH, ipv6MulticastMac } from "../../net/wire/ethernet.ts";
import { IPV6_HEADER_LENGTH } from "../../net/wire/ipv6.ts";
import { PROTOCOL_FRAGMENT } from "../../net/wire/ipv6_extensions.ts";
import {
  echoFrame,
  type FrameFields,
  icmpErrorFrame,
  icmpFrame,
  packetFrame,
  tcpFrame,
  udpFrame,
} from "../support/frames.ts";
import type { Random } from "./random.ts";

const IP = ETHERNET_HEADER_LENGTH, BEHIND = IP + IPV6_HEADER_LENGTH;
const NEXT_HEADER = IP + 6, HOP_LIMIT = IP + 7, SOURCE = IP + 8, DESTINATION = IP + 24;
const HOP_LIMITS = [0, 1, 2, 64, 254, 255];

/** Addresses of a guest, those that more guests have in front. */
const OWN = ["fd00::15", "fd00::15", "fe80::5054:ff:fe12:3456", "fd00::16", "fd00::5054:ff:fe12:3456"];
/** Addresses that no guest may speak from. */
const SPOOFED = [
  "::",
  "::1",
  "fd00::2",
  "fd00::3",
  "fe80::2",
  "ff02::1",
  "ff02::1:ff00:15",
  "2001:db8::1",
  "::ffff:10.0.2.15",
  "64:ff9b::c000:207",
];
/** Where packets go: the gateway, groups, everywhere else. */
const TARGETS = [
  "fd00::2",
  "fd00::2",
  "fd00::3",
  "fe80::2",
  "2001:db8::7",
  "2001:db8:1::9",
  "ff02::1",
  "ff02::2",
  "ff02::16",
  "ff02::fb",
  "ff02::1:2",
  "ff05::1:3",
  "ff02::1:ff00:2",
  "::",
  "::1",
  "fd00::15",
  "fd00::99",
  "fe80::99",
  "::ffff:127.0.0.1",
  "::127.0.0.1",
  "64:ff9b::c000:207",
  "64:ff9b::7f00:1",
  "2002:7f00:1::",
  "2001:0:7f00:1::",
];
const DHCP_TYPES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
const CLIENT_ID = Uint8Array.of(0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56);
/** The gateway's, as its own answers have it. */
const SERVER_ID = Uint8Array.of(0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 2);
/** What may follow an IPv6 header: what is followed in front, then upper layers and what nobody knows. */
const EXTENSIONS = [0, 43, 44, 60, 60, 60, 51, 135, 139, 140, 253];
const NEXT_HEADERS = [...EXTENSIONS, 1, 4, 6, 17, 41, 50, 58, 59, 132, 255];
const OPTION_TYPES = [0, 1, 1, 1, 5, 0x1e, 0x3e, 0x44, 0x84, 0x8b, 0xc2, 0xc9];
const NDP_OPTIONS = [1, 2, 3, 4, 5, 14, 25, 31, 38, 253];
const ICMP_TYPES = [1, 2, 3, 4, 5, 100, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 143, 151, 200, 255];

/** A whole frame of any kind; most of them are in order. */
export function randomFrame6(random: Random): Uint8Array {
  const fields: FrameFields = {
    source: address(random.oneIn(10) ? random.pick(SPOOFED) : random.pick(OWN)),
    destination: address(random.pick(TARGETS)),
    family: 6,
    ...(random.oneIn(10) && { ttl: random.pick(HOP_LIMITS) }),
    ...(random.oneIn(4) && { extensions: randomChain(random) }),
    ...(random.oneIn(16) && { fragment: random.below(0x10000), identification: random.below(4) }),
  };
  switch (random.below(9)) {
    case 0:
      return toGroup(tcpFrame({
        ...fields,
        sourcePort: 40000 + random.below(4),
        flags: random.oneIn(2) ? 2 : random.below(256),
        seq: random.below(0xffffffff),
        ack: random.below(0xffffffff),
        payload: noise(random, 30),
      }));
    case 1: {
      const ports = { source: 5000 + random.below(4), destination: random.pick([9, 53, 7000, 546, 547]) };
      return toGroup(udpFrame(ports, noise(random, random.pick([8, 40, 1400])), fields));
    }
    case 2: {
      const echo = { identifier: random.below(4), sequence: random.below(3), isReply: random.oneIn(6) };
      return toGroup(echoFrame(echo, noise(random, random.pick([8, 56, 1400])), fields));
    }
    case 3:
      return toGroup(errorFrame(random, fields));
    case 4:
      return toGroup(listenerFrame(random, fields));
    case 5:
      return toGroup(dhcpFrame6(random, fields));
    case 6:
      return toGroup(packetFrame(random.pick(NEXT_HEADERS), noise(random, 60), fields));
    default:
      return toGroup(neighbourFrame(random, fields));
  }
}

/** Extension headers of any depth and order. */
export function randomChain(random: Random): { type: number; bytes: Uint8Array }[] {
  const depth = random.pick([1, 1, 2, 3, 7, 8, 9, 20, 60]), ordered = random.oneIn(2);
  return Array.from({ length: depth }, (_, i) => {
    const type = ordered ? (i === 0 ? random.pick([0, 60]) : 60) : random.pick(EXTENSIONS);
    return { type, bytes: extension(type, random) };
  });
}

/** The packet of a frame in fragments, some of which overlap, repeat, are tiny, empty, missing or of another packet. */
export function tornFrames6(frame: Uint8Array, random: Random): Uint8Array[] {
  const payload = frame.subarray(BEHIND), protocol = frame[NEXT_HEADER]!, identification = random.below(1000);
  const size = random.pick([8, 40, 48, 56, 512, 1400]), isMean = !random.oneIn(3), frames: Uint8Array[] = [];
  for (let at = 0; at < payload.length && frames.length < 40; at += size) {
    const mean = isMean && random.oneIn(3) ? random.below(8) : -1;
    const from = mean === 0 ? Math.max(0, at - 8) : at, to = at + size + (mean === 1 ? 8 : mean === 2 ? 3 : 0);
    const piece = payload.subarray(from, mean === 3 ? from : to), more = at + size < payload.length;
    const torn = new Uint8Array(BEHIND + 8 + piece.length);
    torn.set(frame.subarray(0, BEHIND));
    torn[NEXT_HEADER] = PROTOCOL_FRAGMENT;
    torn[BEHIND] = mean === 4 ? random.pick(NEXT_HEADERS) : protocol;
    writeUint16(torn, BEHIND + 2, (from & 0xfff8) | (more !== (mean === 5) ? 1 : 0));
    writeUint32(torn, BEHIND + 4, mean === 6 ? identification + 1 : identification);
    torn.set(piece, BEHIND + 8);
    setLength6(torn);
    if (mean !== 7) frames.push(torn);
    if (isMean && random.oneIn(6)) frames.push(torn);
  }
  return random.oneIn(3) ? frames.toReversed() : frames;
}

/** Changes a frame of IPv6 where it decides something. */
export function change6(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length < BEHIND + 8) return bytes;
  switch (random.below(9)) {
    case 0:
      bytes[NEXT_HEADER] = random.pick(NEXT_HEADERS);
      return bytes;
    case 1:
      bytes[HOP_LIMIT] = random.pick(HOP_LIMITS);
      return bytes;
    case 2:
      writeAddress(bytes, SOURCE, address(random.pick(random.oneIn(2) ? SPOOFED : OWN)));
      return bytes;
    case 3:
      writeAddress(bytes, DESTINATION, address(random.pick(TARGETS)));
      return toGroup(bytes);
    case 4:
      return withChain(bytes, randomChain(random));
    case 5: {
      const header = { type: PROTOCOL_FRAGMENT, bytes: extension(PROTOCOL_FRAGMENT, random) };
      return withChain(bytes, [header]);
    }
    case 6:
      if (bytes[NEXT_HEADER] === 58) bytes[BEHIND] = random.pick(ICMP_TYPES);
      return bytes;
    case 7: {
      // Where options are: behind the fixed fields of neighbour discovery, or in a header of options.
      const at = BEHIND + random.pick([0, 8, 16, 24, 32, 40]) + random.below(4);
      if (at < bytes.length) bytes[at] = random.pick([0, 1, 2, 7, 0x80, 0xff]);
      return bytes;
    }
    default: {
      const cut = bytes.subarray(0, BEHIND + random.below(bytes.length - BEHIND));
      setLength6(cut);
      return cut;
    }
  }
}

/** Makes the payload length of an IPv6 frame that of its bytes. */
export function setLength6(bytes: Uint8Array): void {
  if (bytes.length >= BEHIND) writeUint16(bytes, IP + 4, Math.min(0xffff, bytes.length - BEHIND));
}

/** Makes the receiver's MAC address that of the group to which the packet goes. */
function toGroup(bytes: Uint8Array): Uint8Array {
  if (bytes[DESTINATION] !== 0xff) return bytes;
  const group = new DataView(bytes.buffer, bytes.byteOffset).getUint32(DESTINATION + 12), mac = ipv6MulticastMac(group);
  writeUint16(bytes, 0, Math.floor(mac / 2 ** 32));
  writeUint32(bytes, 2, mac >>> 0);
  return bytes;
}

function withChain(bytes: Uint8Array, chain: readonly { type: number; bytes: Uint8Array }[]): Uint8Array {
  const added = chain.reduce((sum, header) => sum + header.bytes.length, 0),
    other = new Uint8Array(bytes.length + added);
  other.set(bytes.subarray(0, BEHIND));
  other.set(bytes.subarray(BEHIND), BEHIND + added);
  let named = NEXT_HEADER, next = BEHIND;
  const last = bytes[NEXT_HEADER]!;
  for (const header of chain) {
    other[named] = header.type;
    other.set(header.bytes, next);
    named = next;
    next += header.bytes.length;
  }
  other[named] = last;
  setLength6(other);
  return other;
}

/** A header whose first byte is still to be set: what follows. */
function extension(type: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(8 * (type === PROTOCOL_FRAGMENT ? 1 : 1 + random.pick([0, 0, 0, 1, 3])));
  bytes[1] = random.oneIn(12) ? random.below(256) : bytes.length / 8 - 1;
  if (type === PROTOCOL_FRAGMENT) {
    bytes[1] = 0;
    writeUint16(bytes, 2, random.pick([0, 0, 1, 8, 9, 0x100, 0xfff8, 0xfff9]));
    bytes[7] = random.below(4);
  } else if (type === 43) {
    bytes[2] = random.pick([0, 0, 2, 3, 4]);
    bytes[3] = random.pick([0, 0, 1, 255]);
  } else if (random.oneIn(3)) randomOptions(bytes, random);
  else padding(bytes);
  return bytes;
}

function padding(bytes: Uint8Array): void {
  bytes[2] = 1;
  bytes[3] = bytes.length - 4;
}

function randomOptions(bytes: Uint8Array, random: Random): void {
  for (let at = 2; at < bytes.length;) {
    const type = random.pick(OPTION_TYPES), length = Math.min(random.pick([0, 0, 1, 2, 4, 12]), bytes.length - at - 2);
    bytes[at++] = type;
    if (type === 0 || at === bytes.length) continue;
    bytes[at++] = random.oneIn(20) ? 200 : Math.max(0, length);
    at += Math.max(0, length);
  }
}

function neighbourFrame(random: Random, fields: FrameFields): Uint8Array {
  const type = random.pick([133, 133, 134, 135, 135, 135, 135, 136, 136, 137]),
    target = address(random.pick([...OWN, ...TARGETS]));
  const fixed = type === 133 ? 4 : type === 134 ? 12 : type === 137 ? 36 : 20, options = neighbourOptions(random);
  const rest = new Uint8Array(fixed + options.length);
  rest[0] = random.pick([0, 0x20, 0x60, 0xe0]);
  if (fixed >= 20) writeAddress(rest, 4, target);
  if (fixed === 36) writeAddress(rest, 20, address(random.pick(TARGETS)));
  rest.set(options, fixed);
  const group = type === 135 && random.oneIn(2) ? new IpAddress(0xff020000, 0, 1, 0xff000000 | target.w3) : undefined;
  const isSearch = type === 135 && options.length === 0 && random.oneIn(2);
  return icmpFrame(type, random.oneIn(20) ? 1 : 0, rest, {
    ttl: 255,
    ...fields,
    ...(group && { destination: group }),
    ...(isSearch && { source: address("::") }),
    ...(random.oneIn(2) && { extensions: [] }),
  });
}

/** Options of neighbour discovery; some have no length, or more than there is. */
function neighbourOptions(random: Random): Uint8Array {
  const all: number[] = [];
  for (let count = random.pick([0, 0, 1, 1, 2, 5]); count > 0; count--) {
    const type = random.pick(NDP_OPTIONS), units = type === 3 ? 4 : type === 25 ? 3 : type === 38 ? 2 : 1;
    const bytes = new Uint8Array(8 * units);
    bytes[0] = type;
    bytes[1] = random.oneIn(12) ? random.pick([0, 2, 255]) : units;
    if (type <= 2) bytes.set([0x52, 0x54, 0, 0x12, 0x34, 0x56], 2);
    else for (let i = 2; i < bytes.length; i++) bytes[i] = random.oneIn(2) ? 0 : random.below(256);
    all.push(...bytes);
  }
  return Uint8Array.from(all);
}

function listenerFrame(random: Random, fields: FrameFields): Uint8Array {
  const type = random.pick([130, 131, 132, 143, 143]), groups = type === 143 ? random.below(4) : 1;
  const rest = new Uint8Array(type === 143 ? 4 + 20 * groups : random.pick([20, 20, 24, 40]));
  if (type === 143) rest[3] = random.oneIn(8) ? random.below(256) : groups;
  for (let i = 0; i < groups; i++) {
    const at = type === 143 ? 4 + 20 * i : 4;
    if (type === 143) rest.set([4, random.oneIn(8) ? 255 : 0, 0, random.oneIn(8) ? 9 : 0], at);
    const group = address(random.pick(["ff02::1:ff00:15", "ff02::fb", "fd00::15", "::"]));
    writeAddress(rest, type === 143 ? at + 4 : at, group);
  }
  const alert = { type: 0, bytes: Uint8Array.of(0, 0, 5, 2, 0, 0, 1, 0) };
  return icmpFrame(type, 0, rest, {
    ...fields,
    source: address(random.pick(["fe80::5054:ff:fe12:3456", "fe80::5054:ff:fe12:3456", "::", "fd00::15"])),
    destination: address("ff02::16"),
    ttl: random.oneIn(6) ? random.pick(HOP_LIMITS) : 1,
    ...(random.oneIn(4) ? {} : { extensions: [alert] }),
  });
}

function dhcpFrame6(random: Random, fields: FrameFields): Uint8Array {
  const bytes = new Uint8Array(2048), type = random.pick(random.oneIn(3) ? DHCP_TYPES : [1, 3, 4, 5, 6, 8, 9, 11]);
  const known = {
    address: address(random.pick(["fd00::15", "fd00::16", "2001:db8::1"])),
    preferredSeconds: 0,
    validSeconds: 9,
  };
  const associations = Array.from({ length: random.pick([0, 1, 1, 1, 2, 9]) }, (_, iaid) => ({
    iaid,
    renewalSeconds: 0,
    rebindingSeconds: random.below(100),
    addresses: random.oneIn(3) ? [] : [known],
  }));
  const message: Dhcpv6Fields = {
    messageType: type,
    transactionId: random.below(1 << 24),
    ...(!random.oneIn(8) && { clientId: random.oneIn(8) ? new Uint8Array(130) : CLIENT_ID }),
    ...([3, 5, 8, 9].includes(type) !== random.oneIn(8) && { serverId: SERVER_ID }),
    ...(type !== DHCPV6_INFORMATION_REQUEST && { associations }),
    ...(random.oneIn(2) && { requestedOptions: [23, 24, DHCPV6_OPTION_FQDN] }),
    ...(random.oneIn(4) && { rapidCommit: true }),
    ...(random.oneIn(3) &&
      { fqdn: { flags: random.below(8), name: random.pick(["vm1", "vm1.test.", "x".repeat(63)]) } }),
    ...(random.oneIn(5) &&
      { otherOptions: [{ code: DHCPV6_OPTION_IA_PD, data: new Uint8Array(random.pick([0, 4, 12, 41])) }] }),
  };
  const length = encodeDhcpv6(bytes, 0, message);
  return udpFrame({ source: DHCPV6_CLIENT_PORT, destination: DHCPV6_SERVER_PORT }, bytes.subarray(0, length), {
    ...fields,
    ...(!random.oneIn(6) && { source: address("fe80::5054:ff:fe12:3456"), destination: address("ff02::1:2") }),
    ...(random.oneIn(2) && { extensions: [] }),
  });
}

/** An error about a packet that the guest may have been sent. */
function errorFrame(random: Random, fields: FrameFields): Uint8Array {
  const isWhole = !random.oneIn(3), ports = { source: random.pick([9, 80]), destination: 5000 + random.below(4) };
  const about = udpFrame(ports, noise(random, random.pick([0, 100, 1200])), {
    source: address(random.pick(["2001:db8::7", "fd00::2"])),
    destination: address(random.pick(OWN)),
    ...(random.oneIn(4) && { extensions: randomChain(random) }),
  }).subarray(IP);
  const quoted = isWhole ? about : about.subarray(0, random.below(about.length));
  const error = {
    type: random.pick([1, 2, 2, 3, 4]),
    code: random.below(8),
    rest: random.pick([0, 68, 1279, 1280, 1400, 1500]),
  };
  return icmpErrorFrame(error, quoted, { ...fields, destination: address("fd00::2") });
}

function writeAddress(bytes: Uint8Array, at: number, { w0, w1, w2, w3 }: IpAddress): void {
  [w0, w1, w2, w3].forEach((word, i) => writeUint32(bytes, at + 4 * i, word));
}

function address(text: string): IpAddress {
  return IpAddress.parse(text);
}

function noise(random: Random, most: number): Uint8Array {
  return Uint8Array.from({ length: random.below(most + 1) }, () => random.below(256));
}
