import { assertEquals } from "@std/assert";
import { answersArp, arpReply, type ArpSegment } from "../../../nat/service/arp_replies.ts";
import { formatIpv4, parseIpv4, parseMac } from "../../../net/wire/address.ts";
import { ARP_LENGTH, ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp } from "../../../net/wire/arp.ts";

const ip = parseIpv4;
const GUEST = ip("10.0.2.15"), GUEST_MAC = parseMac("52:54:00:12:34:56"), MAC = parseMac("52:55:0a:00:02:02");
const SEGMENT: ArpSegment = {
  mac: MAC,
  network: ip("10.0.2.0"),
  mask: ip("255.255.255.0"),
  gateway: ip("10.0.2.2"),
  taken: addresses("10.0.2.2", "10.0.2.3", "10.0.2.100"),
  relaysSubnet: false,
};
const OWN = addresses("10.0.2.15");

function addresses(...texts: string[]): Set<number> {
  return new Set(texts.map(ip));
}

function answered(sender: string, targets: string[], own = OWN): string[] {
  return targets.filter((target) => answersArp(SEGMENT, own, ip(sender), ip(target)));
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/[0-9a-f]{2}/g)!, (byte) => parseInt(byte, 16));
}

Deno.test("answersArp answers for the gateway, DNS and any address of the subnet", () => {
  const targets = ["10.0.2.2", "10.0.2.3", "10.0.2.1", "10.0.2.16", "10.0.2.254"];
  assertEquals(answered("10.0.2.15", targets), targets);
});

Deno.test("answersArp leaves the guest's own address alone, whichever it is", () => {
  assertEquals(answered("10.0.2.15", ["10.0.2.15"]), []);
  // A second address of the same guest must not be told that the first is someone else's.
  assertEquals(answered("10.0.2.20", ["10.0.2.15"]), []);
  assertEquals(answered("10.0.2.20", ["10.0.2.15", "10.0.2.20"], addresses("10.0.2.15", "10.0.2.20")), []);
  assertEquals(answered("10.0.2.20", ["10.0.2.15"], addresses("10.0.2.20")), ["10.0.2.15"]);
});

Deno.test("answersArp answers nothing for network, broadcast and other networks", () => {
  assertEquals(answered("10.0.2.15", ["10.0.2.0", "10.0.2.255", "10.0.3.2", "0.0.0.0", "255.255.255.255"]), []);
});

Deno.test("answersArp answers a probe only for addresses that are taken", () => {
  const free = ["10.0.2.15", "10.0.2.16", "10.0.2.0", "0.0.0.0"], taken = ["10.0.2.2", "10.0.2.3", "10.0.2.100"];
  assertEquals(answered("0.0.0.0", [...free, ...taken], addresses()), taken);
});

Deno.test("answersArp answers no announcement, not even of a taken address", () => {
  for (const address of ["10.0.2.15", "10.0.2.2", "10.0.2.3", "10.0.2.77"]) {
    assertEquals(answered(address, [address], addresses()), [], address);
  }
});

Deno.test("answersArp answers nobody who is outside the subnet or has no host's address", () => {
  for (const sender of ["10.0.3.15", "127.0.0.1", "10.0.2.0", "10.0.2.255", "255.255.255.255"]) {
    assertEquals(answered(sender, ["10.0.2.2", "10.0.2.3", "10.0.2.77"]), [], sender);
  }
});

Deno.test("answersArp holds in a subnet whose numbers have the highest bit", () => {
  const segment = { ...SEGMENT, network: ip("192.168.7.64"), mask: ip("255.255.255.224"), gateway: ip("192.168.7.66") };
  const answers = (target: string) => answersArp(segment, addresses("192.168.7.79"), ip("192.168.7.79"), ip(target));
  assertEquals(["192.168.7.66", "192.168.7.65", "192.168.7.94"].map(answers), [true, true, true]);
  assertEquals(["192.168.7.64", "192.168.7.95", "192.168.7.96", "192.168.7.63"].map(answers), Array(4).fill(false));
});

Deno.test("arpReply answers a literal request with literal bytes", () => {
  const request = bytesOf("0001 0800 06 04 0001 525400123456 0a00020f 000000000000 0a000202");
  const into = new Uint8Array(64).fill(0xa5);
  assertEquals(arpReply(SEGMENT, OWN, request, 0, into, 10), ARP_LENGTH);
  assertEquals(
    into.subarray(10, 38),
    bytesOf("0001 0800 06 04 0002 52550a000202 0a000202 525400123456 0a00020f"),
  );
  assertEquals([into[9], into[38]], [0xa5, 0xa5]);
});

Deno.test("arpReply answers for a mapped address in the place of the request", () => {
  const bytes = new Uint8Array(60).subarray(7);
  encodeArp(bytes, 3, { operation: 1, senderMac: GUEST_MAC, senderIp: GUEST, targetMac: 0, targetIp: ip("10.0.2.77") });
  assertEquals(arpReply(SEGMENT, OWN, bytes, 3, bytes, 3), ARP_LENGTH);
  const reply = decodeArp(bytes, 3);
  assertEquals([reply.operation, reply.senderMac, formatIpv4(reply.senderIp)], [ARP_REPLY, MAC, "10.0.2.77"]);
  assertEquals([reply.targetMac, reply.targetIp], [GUEST_MAC, GUEST]);
});

Deno.test("arpReply writes nothing for replies, other operations and what is not answered", () => {
  const into = new Uint8Array(ARP_LENGTH).fill(0xa5);
  const bytes = new Uint8Array(ARP_LENGTH);
  const message = { senderMac: GUEST_MAC, senderIp: GUEST, targetMac: 0, targetIp: SEGMENT.gateway };
  for (const operation of [ARP_REPLY, 0, 3, 8, 0xffff]) {
    encodeArp(bytes, 0, { operation, ...message });
    assertEquals(arpReply(SEGMENT, OWN, bytes, 0, into, 0), 0);
  }
  encodeArp(bytes, 0, { operation: ARP_REQUEST, ...message, targetIp: GUEST });
  assertEquals(arpReply(SEGMENT, OWN, bytes, 0, into, 0), 0);
  assertEquals(into, new Uint8Array(ARP_LENGTH).fill(0xa5));
});

Deno.test("answersArp knows both addresses of a subnet of two, and the one of a subnet of one", () => {
  const two = { ...SEGMENT, network: ip("192.0.2.4"), mask: ip("255.255.255.254"), taken: addresses("192.0.2.4") };
  const answers = (segment: ArpSegment, sender: string, target: string) =>
    answersArp(segment, addresses("192.0.2.5"), ip(sender), ip(target));
  assertEquals(answers(two, "192.0.2.5", "192.0.2.4"), true);
  assertEquals(answers(two, "0.0.0.0", "192.0.2.4"), true, "a probe for what is taken");
  assertEquals([answers(two, "192.0.2.5", "192.0.2.5"), answers(two, "192.0.2.6", "192.0.2.4")], [false, false]);
  // A gateway outside of the subnet is on the link all the same.
  const one = { ...two, network: ip("192.0.2.5"), mask: ip("255.255.255.255"), taken: addresses("198.51.100.1") };
  assertEquals(answers(one, "192.0.2.5", "198.51.100.1"), true);
  assertEquals([answers(one, "192.0.2.5", "198.51.100.2"), answers(one, "192.0.2.6", "198.51.100.1")], [false, false]);
});

Deno.test("answersArp answers for every host if the subnet is relayed, but not for the guest or what is no host's", () => {
  const segment = { ...SEGMENT, relaysSubnet: true };
  const answers = (sender: string, targets: string) =>
    targets.split(" ").filter((target) => answersArp(segment, OWN, ip(sender), ip(target))).join(" ");
  const hosts = "10.0.2.77 192.0.2.1 223.255.255.254", nobody = "10.0.2.15 0.0.0.0 127.0.0.1 224.0.0.1 255.255.255.255";
  assertEquals(answers("10.0.2.15", `${hosts} ${nobody}`), hosts);
  assertEquals(answers("10.0.3.15", hosts), "", "whoever asks is of the subnet");
  assertEquals(answers("0.0.0.0", hosts), "", "a probe finds its address free");
  assertEquals(answers("10.0.2.77", "10.0.2.77"), "", "an announcement");
});
