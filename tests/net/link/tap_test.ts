import { assert, assertEquals, assertGreater, assertMatch, assertRejects, assertThrows } from "@std/assert";
import type { LinkReceiver } from "../../../net/link/link.ts";
import { tapLink } from "../../../net/link/tap.ts";
import { EventLoop } from "../../../net/linux/event_loop.ts";
import { libc } from "../../../net/linux/libc.ts";
import { IpAddress, readMac, writeMac } from "../../../net/wire/address.ts";
import { readUint16, readUint32, writeUint16, writeUint32 } from "../../../net/wire/bytes.ts";
import { checksum, checksumFold, ipv4AddressSum, pseudoHeaderSum } from "../../../net/wire/checksum.ts";
import {
  CHECKSUM_COMPLETE,
  CHECKSUM_PARTIAL,
  CHECKSUM_VERIFIED,
  type ChecksumState,
  Frame,
} from "../../../net/wire/frame.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { naiveSum } from "../../support/naive_checksum.ts";
import { requires } from "../../support/requirements.ts";
import { GUEST_NEEDS, TapGuest } from "../../support/tap_guest.ts";

const needs = requires(...GUEST_NEEDS);
const GATEWAY_MAC = 0x525400123401;
const GATEWAY = IpAddress.parse("10.0.2.2").ipv4;
const GUEST = IpAddress.parse("10.0.2.15").ipv4;
const SYN = 2, ACK = 16, PSH = 8;
const TCP = 6, UDP = 17;

function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name: `tapLink ${name}${needs.reason}`, ignore: needs.ignore, fn: () => assertNoDescriptorLeft(fn) });
}

interface Seen {
  bytes: Uint8Array;
  checksum: ChecksumState;
  transport: number;
  checksumField: number;
  segmentSize: number;
}

/** Keeps what comes; `onFrame` may answer. */
class Peer implements LinkReceiver {
  readonly seen: Seen[] = [];
  readonly ends: (string | undefined)[] = [];
  flushes = 0;
  onFrame: (seen: Seen) => void = () => {};

  receive(frame: Frame): void {
    const { checksum, checksumField, segmentSize, start } = frame;
    const bytes = frame.bytes.slice(start, frame.end);
    const seen = { bytes, checksum, transport: frame.transport - start, checksumField, segmentSize };
    this.seen.push(seen);
    this.onFrame(seen);
  }

  flush(): void {
    this.flushes++;
  }

  closed(error?: Error): void {
    this.ends.push(error?.message);
  }

  /** The first frame seen of an IPv4 protocol, waited for. */
  async ipv4(protocol: number): Promise<Seen> {
    return await this.first(({ bytes }) => readUint16(bytes, 12) === 0x0800 && bytes[23] === protocol);
  }

  async first(matches: (seen: Seen) => boolean): Promise<Seen> {
    for (let i = 0; i < 1000; i++) {
      const found = this.seen.find(matches);
      if (found) return found;
      await delay(2);
    }
    throw new Error(`Cannot find the frame: ${this.seen.length} others came`);
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ethernet and IPv4 headers in front of `payload`, from the gateway to the guest that sent `to`, behind a headroom. */
function packet(to: Uint8Array, protocol: number, payload: Uint8Array): Frame {
  const start = 32, bytes = new Uint8Array(start + 34 + payload.length);
  writeMac(bytes, start, readMac(to, 6));
  writeMac(bytes, start + 6, GATEWAY_MAC);
  writeUint16(bytes, start + 12, 0x0800);
  const ip = start + 14;
  bytes.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol], ip);
  writeUint16(bytes, ip + 2, 20 + payload.length);
  writeUint32(bytes, ip + 12, GATEWAY);
  writeUint32(bytes, ip + 16, GUEST);
  writeUint16(bytes, ip + 10, checksum(bytes, ip, ip + 20));
  bytes.set(payload, ip + 20);
  return new Frame().set(bytes, start, bytes.length);
}

/** Makes the checksum that of the pseudo-header alone. */
function makePartial(frame: Frame, checksumField: number): Frame {
  const protocol = frame.bytes[frame.start + 23]!;
  frame.checksum = CHECKSUM_PARTIAL;
  frame.transport = frame.start + 34;
  frame.checksumField = checksumField;
  const sum = pseudoHeaderSum(ipv4AddressSum(GATEWAY, GUEST), protocol, frame.end - frame.transport);
  writeUint16(frame.bytes, frame.transport + checksumField, checksumFold(sum));
  return frame;
}

function tcp(fields: { from: number; to: number; seq: number; ack: number; flags: number }, data: Uint8Array) {
  const segment = new Uint8Array(20 + data.length);
  writeUint16(segment, 0, fields.from);
  writeUint16(segment, 2, fields.to);
  writeUint32(segment, 4, fields.seq);
  writeUint32(segment, 8, fields.ack);
  segment[12] = 5 << 4;
  segment[13] = fields.flags;
  writeUint16(segment, 14, 65535);
  segment.set(data, 20);
  return segment;
}

interface World extends AsyncDisposable {
  loop: EventLoop;
  guest: TapGuest;
  link: ReturnType<typeof tapLink>;
  peer: Peer;
}

/** A guest behind a started link, the gateway's MAC address known to it. */
async function world(options: { offload: boolean; mtu?: number }): Promise<World> {
  const loop = new EventLoop();
  const guest = await TapGuest.start();
  const link = tapLink({ loop, fd: guest.takeTun(), mtu: 1500, ...options });
  const peer = new Peer();
  await guest.run(
    "exec 9>&-; echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip addr add 10.0.2.15/24 dev tap0; " +
      `ip link set tap0 mtu ${link.mtu} up; ip neigh add 10.0.2.2 lladdr 52:54:00:12:34:01 dev tap0`,
  );
  link.start(peer);
  loop.start();
  const dispose = async () => {
    await link.close();
    await guest[Symbol.asyncDispose]();
    await loop[Symbol.asyncDispose]();
  };
  return { loop, guest, link, peer, [Symbol.asyncDispose]: dispose };
}

test("with offload vouches for a datagram whose checksum is partial, and sends one", async () => {
  await using w = await world({ offload: true });
  assertEquals([w.link.name, w.link.headroom, w.link.offload], ["tap tap0", 10, true]);
  const reply = w.guest.run("exec 3<>/dev/udp/10.0.2.2/7; echo question >&3; head -c 6 <&3; exec 3>&-");
  const { bytes, checksum, transport, checksumField, segmentSize } = await w.peer.ipv4(UDP);
  assertEquals({ checksum, transport, checksumField, segmentSize }, {
    checksum: CHECKSUM_PARTIAL,
    transport: 34,
    checksumField: 6,
    segmentSize: 0,
  });
  assertEquals(new TextDecoder().decode(bytes.subarray(42)), "question\n");
  const answer = new Uint8Array([0, 7, bytes[34]!, bytes[35]!, 0, 14, 0, 0, ...new TextEncoder().encode("answer")]);
  assertEquals(w.link.send(makePartial(packet(bytes, UDP, answer), 6)), true);
  assertEquals(await reply, "answer");
  assertEquals(w.link.dropped, 0);
  assertGreater(w.peer.flushes, 0);
});

test("without offload carries plain frames with complete checksums", async () => {
  await using w = await world({ offload: false });
  assertEquals([w.link.headroom, w.link.offload], [0, false]);
  const reply = w.guest.run("exec 3<>/dev/udp/10.0.2.2/7; echo question >&3; head -c 6 <&3; exec 3>&-");
  const { bytes, checksum } = await w.peer.ipv4(UDP);
  assertEquals(checksum, CHECKSUM_COMPLETE);
  const sum = pseudoHeaderSum(ipv4AddressSum(GUEST, GATEWAY), UDP, bytes.length - 34) +
    naiveSum(bytes, 34, bytes.length);
  assertEquals(checksumFold(sum), 0xffff);
  // A UDP checksum of 0 means none.
  const answer = new Uint8Array([0, 7, bytes[34]!, bytes[35]!, 0, 14, 0, 0, ...new TextEncoder().encode("answer")]);
  assertEquals(w.link.send(packet(bytes, UDP, answer)), true);
  assertEquals(await reply, "answer");
});

test("with offload carries TCP segments far longer than the MTU, both ways", async () => {
  await using w = await world({ offload: true });
  let ackedToGuest = 0, port = 0;
  const allSent = Promise.withResolvers<Uint8Array>();
  let received = 0;
  w.peer.onFrame = ({ bytes }) => {
    if (bytes[23] !== TCP) return;
    port = readUint16(bytes, 34);
    const seq = readUint32(bytes, 38), flags = bytes[47]!, length = bytes.length - 34 - (bytes[46]! >> 4) * 4;
    received += length;
    const answer = { from: 80, to: port, ack: (seq + length + ((flags & SYN) !== 0 ? 1 : 0)) >>> 0 };
    if ((flags & SYN) !== 0) {
      const segment = tcp({ ...answer, seq: 999, flags: SYN | ACK }, new Uint8Array([2, 4, 5, 180]));
      segment[12] = 6 << 4;
      w.link.send(makePartial(packet(bytes, TCP, segment), 16));
    } else if (length > 0) {
      w.link.send(makePartial(packet(bytes, TCP, tcp({ ...answer, seq: 1000, flags: ACK }, new Uint8Array())), 16));
      if (received === 60000) allSent.resolve(bytes);
    } else {
      ackedToGuest = readUint32(bytes, 42) - 1000;
    }
  };
  const summed = w.guest.run(
    "exec 3<>/dev/tcp/10.0.2.2/80; head -c 60000 /dev/zero >&3; head -c 20000 <&3 | sha1sum; exec 3>&-",
  );
  const last = await allSent.promise;
  const longest = w.peer.seen.reduce((a, b) => (a.bytes.length > b.bytes.length ? a : b));
  assertGreater(longest.bytes.length, 1514 * 2);
  assertEquals(longest.checksum, CHECKSUM_PARTIAL);
  assertEquals(longest.segmentSize, 1460);
  assertEquals([longest.transport, longest.checksumField], [34, 16]);

  const data = new Uint8Array(20000).map((_, i) => i * 7 + (i >> 8));
  const ack = (readUint32(last, 38) + last.length - 34 - (last[46]! >> 4) * 4) >>> 0;
  const segment = tcp({ from: 80, to: port, seq: 1000, ack, flags: ACK | PSH }, data);
  const frame = makePartial(packet(last, TCP, segment), 16);
  frame.segmentSize = 1460;
  assertEquals(w.link.send(frame), true);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", data));
  assertMatch(await summed, new RegExp(`^${[...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`));
  assertEquals(ackedToGuest >= 20000, true);
});

test("keeps a flood's turn bounded and delivers every frame of it", async () => {
  await using w = await world({ offload: true });
  let inBatch = 0, most = 0;
  w.peer.onFrame = () => most = Math.max(most, ++inBatch);
  w.peer.flush = () => void (inBatch = 0);
  await w.loop.stop();
  await w.guest.run("exec 3<>/dev/udp/10.0.2.2/7; for i in {1..100}; do echo $i >&3; done; exec 3>&-");
  w.loop.start();
  await w.peer.first(({ bytes }) => new TextDecoder().decode(bytes.subarray(42)) === "100\n");
  assertEquals(w.peer.seen.filter(({ bytes }) => bytes[23] === UDP).length, 100);
  assertEquals(most, 32);
});

test("drops and counts what an interface that is down cannot take, and goes on when it is up", async () => {
  await using w = await world({ offload: true });
  await w.guest.run("ip link set tap0 down");
  const to = new Uint8Array(12).fill(0xff);
  assertEquals(w.link.send(packet(to, UDP, new Uint8Array(20))), false);
  assertEquals(w.link.send(packet(to, UDP, new Uint8Array(20))), false);
  assertEquals(w.link.dropped, 2);
  await w.guest.run("ip link set tap0 up");
  assertEquals(w.link.send(packet(to, UDP, new Uint8Array(20))), true);
  assertEquals(w.peer.ends, []);
});

test("drops and counts frames that the kernel refuses", async () => {
  await using w = await world({ offload: true });
  const frame = packet(new Uint8Array(12), UDP, new Uint8Array(20));
  frame.checksum = CHECKSUM_PARTIAL;
  frame.transport = frame.start + 5000;
  frame.checksumField = 6;
  assertEquals(w.link.send(frame), false);
  assertEquals(w.link.send(new Frame().set(new Uint8Array(64), 0, 60)), false); // No headroom.
  assertEquals(w.link.send(new Frame().set(new Uint8Array(64), 10, 14)), false); // Shorter than Ethernet.
  assertEquals(w.link.dropped, 3);
});

test("takes a checksum state that it need not tell the kernel", async () => {
  await using w = await world({ offload: true });
  const frame = packet(new Uint8Array(12), UDP, new Uint8Array(20));
  frame.checksum = CHECKSUM_VERIFIED;
  frame.bytes.fill(0xa5, 0, frame.start);
  assertEquals(w.link.send(frame), true);
  assertEquals([...frame.bytes.subarray(frame.start - 10, frame.start)], Array(10).fill(0));
  assertEquals(frame.bytes[frame.start - 11], 0xa5);
});

test("tells once that the interface was deleted, and sends nothing more", async () => {
  await using w = await world({ offload: true });
  await w.guest.run("ip link del tap0");
  for (let i = 0; i < 100 && w.peer.ends.length === 0; i++) await delay(5);
  assertEquals(w.peer.ends, ["Cannot read from link tap tap0: the device is gone (EBADFD)"]);
  assertEquals(w.link.send(packet(new Uint8Array(12), UDP, new Uint8Array(20))), false);
  await w.link.close();
  assertEquals(w.peer.ends.length, 1);
});

test("closed from within a frame delivers no other, and tells so once", async () => {
  await using w = await world({ offload: true });
  await w.loop.stop();
  await w.guest.run("exec 3<>/dev/udp/10.0.2.2/7; for i in {1..5}; do echo $i >&3; done; exec 3>&-");
  w.peer.onFrame = () => void w.link.close();
  w.loop.start();
  for (let i = 0; i < 100 && w.peer.ends.length === 0; i++) await delay(5);
  await w.link.close();
  assertEquals(w.peer.ends, [undefined]);
  assertEquals([w.peer.seen.length, w.peer.flushes], [1, 0]);
});

test("cannot be started twice or after close, and frees a descriptor that it could not use", async () => {
  await using w = await world({ offload: true });
  assertThrows(() => w.link.start(new Peer()), Error, "started already");
  await w.link.close();
  assertThrows(() => w.link.start(new Peer()), Error, "it is closed");
  const fd = libc().eventfd(0, 0);
  assertThrows(() => tapLink({ loop: w.loop, fd, name: "tap9" }), Error, "Cannot create TAP interface tap9");
  assert(libc().fcntl(fd, 1, 0) < 0);
  await assertRejects(() => w.guest.run("ip link show tap9"), Error, "tap9");
});

test("without --allow-ffi can be imported, and its use names the flag", async () => {
  const module = JSON.stringify(import.meta.resolve("../../../net/link/tap.ts"));
  const code = `import { tapLink } from ${module};
    try { tapLink({ loop: undefined }); } catch (error) { console.log(String(error)); }`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-config", "data:application/typescript," + encodeURIComponent(code)],
    stderr: "null",
  }).output();
  assertMatch(new TextDecoder().decode(stdout), /^NotCapable: Cannot open the C library: .*--allow-ffi/);
});
