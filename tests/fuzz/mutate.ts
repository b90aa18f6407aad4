/**
 * Changes to frames that know where the fields are, and changes that do not.
 *
 * A script is played as it is, but for some lines that are left out, doubled or followed by a deed of the host, and
 * some frames that are changed on their way. Most changed frames get right checksums again, or nothing behind the
 * checksum would ever be reached.
 *
 * @module
 */
import { readUint16, writeUint16, writeUint32 } from "../../net/wire/bytes.ts";
import { ETHERNET_HEADER_LENGTH } from "../../net/wire/ethernet.ts";
import { repairChecksums } from "../support/frames.ts";
import { change6, setLength6 } from "./packets6.ts";
import type { Random } from "./random.ts";

const IP = ETHERNET_HEADER_LENGTH;
/** Offsets from the IPv6 header of fields that decide something, by their size in bytes. */
const IPV6_FIELDS: readonly [number, number][] = [[0, 1], [4, 2], [6, 1], [7, 1], [8, 4], [20, 4], [24, 4], [36, 4]];
const IPV6_HEADER = 40;
/** Offsets from the IPv4 header of fields that decide something, by their size in bytes. */
const IPV4_FIELDS: readonly [number, number][] = [[0, 1], [1, 1], [2, 2], [4, 2], [6, 2], [8, 1], [9, 1], [12, 4], [
  16,
  4,
]];
/** The same from the header behind it: TCP for the most part, where UDP, ICMP and ARP have fields too. */
const TRANSPORT_FIELDS: readonly [number, number][] = [
  [0, 2],
  [2, 2],
  [4, 4],
  [4, 2],
  [8, 4],
  [12, 1],
  [13, 1],
  [14, 2],
  [16, 2],
  [18, 2],
];
const NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** What the host may do between two lines. */
export const HOST_DEEDS: readonly string[] = [
  "host accept",
  "host accept",
  "host accept budget=0",
  "host budget=1000",
  "host budget=1000000",
  "host refuse",
  "host refuse hostUnreachable",
  "host refuse exhausted",
  "host send len=1",
  "host send len=3000",
  "host send len=40000",
  "host eof",
  "host reset",
  "host udp-send len=30 from=127.0.0.1:7000",
  "host udp-send len=3000 from=127.0.0.1:7000",
  "host udp-refuse from=127.0.0.1:7000",
  "host udp-takes takes=no",
  "host udp-takes",
  "host echo-reply",
  "host echo-fail error=hostUnreachable",
  "host udp-send len=30 from=[2001:db8::7]:9",
  "host udp-send len=3000 from=[::1]:7000",
  "host udp-refuse from=[2001:db8::7]:9",
  "host client from=127.0.0.1:5001",
  "host client from=[::1]:5002",
  "host client from=[2001:db8::9]:5003 at=fd00::15",
  "host client from=[2001:db8::9]:5004 at=10.0.2.15",
  "guest attach",
  "guest speak sender=fd00::20",
  "guest answer sender=fd00::15",
  "guest leave",
  "host route",
  "host route gone",
  "link full",
  "link ok",
  "wait 1",
  "wait 250",
  "wait 70000",
  "wait 8000000",
];

/** Changes a frame, or makes another one of it. */
export function mutate(frame: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = frame.slice();
  for (let changes = 1 + random.below(3); changes > 0; changes--) bytes = change(bytes, random);
  return random.oneIn(8) ? bytes : repairChecksums(bytes);
}

function change(bytes: Uint8Array, random: Random): Uint8Array {
  if (isIpv6(bytes) && random.oneIn(2)) return change6(bytes, random);
  switch (random.below(10)) {
    case 0:
      return bytes.subarray(0, random.below(bytes.length + 1));
    case 1:
      return noise(random);
    case 2:
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
      return bytes;
    case 3:
      return resized(bytes, random);
    case 4:
      return withOptions(bytes, random);
    case 5:
      // The gateway's own addresses and ports decide more than others do.
      setField(
        bytes,
        random.pick([12, 16]) + IP,
        4,
        random.pick([0x0a000202, 0x0a000203, 0x0a00020f, 0x7f000001, 0x0a0002ff]),
      );
      return bytes;
    case 6:
    case 7:
      return changedNumber(bytes, random);
    default:
      return changedField(bytes, random);
  }
}

function isIpv6(bytes: Uint8Array): boolean {
  return bytes[12] === 0x86 && bytes[13] === 0xdd;
}

/** Makes the length field of the IP header right. */
function setLength(bytes: Uint8Array): void {
  if (isIpv6(bytes)) setLength6(bytes);
  else setField(bytes, IP + 2, 2, Math.max(0, bytes.length - IP));
}

function changedField(bytes: Uint8Array, random: Random): Uint8Array {
  const headerFields = isIpv6(bytes) ? IPV6_FIELDS : IPV4_FIELDS;
  const inHeader = random.oneIn(3), [at, size] = random.pick(inHeader ? headerFields : TRANSPORT_FIELDS);
  const value = random.oneIn(2) ? random.pick(NUMBERS) : random.below(0xffffffff);
  setField(bytes, at + (inHeader ? IP : transportAt(bytes)), size, value);
  return bytes;
}

/** Moves a sequence or acknowledgment number a little or far. */
function changedNumber(bytes: Uint8Array, random: Random): Uint8Array {
  const at = transportAt(bytes) + random.pick([4, 8]);
  if (at + 4 > bytes.length) return bytes;
  const step = random.pick([1, 2, 10, 536, 1460, 65535, 65536, 0x7fffffff, 0x80000000]) * (random.oneIn(2) ? 1 : -1);
  const number = (readUint16(bytes, at) * 65536 + readUint16(bytes, at + 2) + step) >>> 0;
  writeUint32(bytes, at, number);
  return bytes;
}

/** More or less payload, with the length fields right where there are any. */
function resized(bytes: Uint8Array, random: Random): Uint8Array {
  const length = Math.max(0, bytes.length + random.pick([-8, -1, 1, 7, 500, 1400]));
  const other = new Uint8Array(Math.min(length, 1514));
  other.set(bytes.subarray(0, other.length));
  setLength(other);
  return other;
}

/** Random options in a TCP header, in place of what is there. */
function withOptions(bytes: Uint8Array, random: Random): Uint8Array {
  const at = transportAt(bytes), words = random.below(11), end = at + 20 + words * 4;
  if (at + 20 > bytes.length) return bytes;
  const other = new Uint8Array(Math.max(bytes.length, end));
  other.set(bytes);
  for (let i = at + 20; i < end; i++) other[i] = random.oneIn(2) ? random.below(9) : random.below(256);
  other[at + 12] = (5 + words) << 4;
  setLength(other);
  return other;
}

function noise(random: Random): Uint8Array {
  return Uint8Array.from({ length: random.below(100) }, () => random.below(256));
}

function transportAt(bytes: Uint8Array): number {
  if (isIpv6(bytes)) return IP + IPV6_HEADER;
  return IP + (((bytes[IP] ?? 0x45) & 15) << 2);
}

function setField(bytes: Uint8Array, at: number, size: number, value: number): void {
  if (at + size > bytes.length) return;
  if (size === 1) bytes[at] = value;
  else if (size === 2) writeUint16(bytes, at, value);
  else writeUint32(bytes, at, value);
}
