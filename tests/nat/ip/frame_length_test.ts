import { assertEquals, assertMatch } from "@std/assert";
import { IpAddress, parseIpv4 } from "../../../net/wire/address.ts";
import { TCP_SYN } from "../../../net/wire/tcp.ts";
import { arpFrame, etherFrame, GATEWAY_IP, GUEST_IP, tcpFrame, udpFrame } from "../../support/frames.ts";
import { NatScript } from "../../support/nat_script.ts";

/** An EtherType for local experiments. */
const EXPERIMENT = 0x88b5;
const SERVER = parseIpv4("192.0.2.1");

function drops(script: NatScript): [string, number][] {
  return Object.entries(script.nat.counters).filter(([, count]) => count > 0);
}

function datagram(length: number): Uint8Array {
  return udpFrame({ source: 5000, destination: 7 }, new Uint8Array(length - 42).fill(7), { destination: SERVER });
}

Deno.test("FrameLength skips what is too short, counts all of it and warns once", () => {
  const script = new NatScript();
  for (let length = 0; length < 14; length++) script.frame(new Uint8Array(length));
  script.frame(etherFrame(1000, new Uint8Array(46)));
  assertEquals(drops(script), [["frameTooShort", 15]]);
  assertEquals(script.warnings.length, 1);
  assertMatch(script.warnings[0]!, /^Guest 1 on .* sent a frame of 0 bytes, shorter than an Ethernet header: skipped$/);
});

Deno.test("FrameLength skips what is too long and no packet, counts all of it and warns once", () => {
  const script = new NatScript();
  for (const length of [1505, 4082, 9000, 65_521, 65_539]) script.frame(etherFrame(EXPERIMENT, new Uint8Array(length)));
  const arp = arpFrame({ operation: 1, senderIp: GUEST_IP, targetIp: GATEWAY_IP });
  script.frame(padded(arp, 1519));
  script.frame(padded(tcpFrame({ flags: TCP_SYN, seq: 1, ack: 0 }), 9014));
  assertEquals(drops(script), [["frameTooLong", 7]]);
  assertEquals(script.warnings.length, 1);
  assertMatch(script.warnings[0]!, /sent a frame of 1519 bytes, and the MTU is 1500 here: skipped; .*\(--mtu\)$/);
  script.frame(padded(tcpFrame({ flags: TCP_SYN, seq: 1, ack: 0 }), 1518));
  assertEquals(script.host.sockets.length, 1, "what fits is taken");
});

Deno.test("FrameLength lets a guest with a larger MTU be heard: a packet that fills its frame is taken", () => {
  const script = new NatScript();
  for (const length of [1519, 9014, 65_549]) script.frame(datagram(length));
  assertEquals(drops(script), []);
  assertEquals(script.host.udpSockets[0]!.sent.map(({ bytes }) => bytes.length), [1477, 8972, 65_507]);
  assertEquals(script.warnings.length, 1);
  assertMatch(script.warnings[0]!, /a frame of 1519 bytes, and the MTU is 1500 here: taken, but answers are no longer/);
});

Deno.test("FrameLength takes an IPv6 packet that fills a frame which is too long, and none with anything behind it", () => {
  const script = new NatScript(), to = { destination: IpAddress.parse("2001:db8::1") };
  const whole = udpFrame({ source: 5000, destination: 7 }, new Uint8Array(8938), to);
  script.frame(whole);
  script.frame(padded(whole, 9001));
  script.frame(whole.subarray(0, 8999));
  assertEquals(script.host.udpSockets[0]!.sent.map(({ bytes }) => bytes.length), [8938]);
  assertEquals(drops(script), [["frameTooLong", 2]]);
});

Deno.test("FrameLength takes no packet that its frame does not end with, and none that is beyond IPv4", () => {
  const script = new NatScript(), whole = datagram(9014);
  script.frame(whole.subarray(0, 9013));
  script.frame(padded(whole, 9015));
  script.frame(padded(datagram(65_549), 65_554));
  assertEquals(drops(script), [["frameTooLong", 3]]);
});

function padded(frame: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(frame);
  return bytes;
}
