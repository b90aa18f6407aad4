import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { IpAddress, parseMac } from "../../../net/wire/address.ts";
import { icmpv6ChecksumValid } from "../../../net/wire/icmpv6.ts";
import { decodeIpv6, ipv6AddressSum, PROTOCOL_ICMPV6 } from "../../../net/wire/ipv6.ts";
import { checkNdp, decodeNdp, type NdpDecoded, ndpFitsHeader } from "../../../net/wire/ndp.ts";
import { neighbourReply, neighbourRequest, type NeighbourSegment } from "../../../nat/service/neighbour_replies.ts";
import { hex, PAINT, painted, toHex } from "../../support/packet_bytes.ts";

const ip = IpAddress.parse, MAC = parseMac("52:55:0a:00:02:02");
const SEGMENT: NeighbourSegment = {
  mac: MAC,
  taken: ["fd00::2", "fe80::2", "fd00::3", "fd00::100"].map(ip),
  relaysSubnet: false,
  own: { has: (address) => `${address}` === "fd00::15" },
};
/** The group of fd00::2 and fe80::2. */
const GROUP = "ff020000000000000000 0001 ff000002";

/** A solicitation as Linux writes it: source, destination, target and options in hexadecimal. */
function solicitation(source: string, destination: string, target: string, options: string): Uint8Array {
  const length = 24 + options.replaceAll(" ", "").length / 2;
  return hex(`60000000 ${length.toString(16).padStart(4, "0")} 3a ff ${source} ${destination} 8700 0000 00000000
    ${target} ${options}`);
}

/** An address in hexadecimal. */
function bytesOf(text: string): string {
  const { w0, w1, w2, w3 } = ip(text);
  return [w0, w1, w2, w3].map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** The answer to a question from a guest, read back; null: there is none. */
function answer(
  source: string,
  target: string,
  { options = "0101 525400123456", segment = SEGMENT }: { options?: string; segment?: NeighbourSegment } = {},
): Answer | null {
  const asked = solicitation(bytesOf(source), GROUP, bytesOf(target), options);
  assert(checkNdp(asked, 40, asked.length) && ndpFitsHeader(asked, 0, 40, asked.length));
  const into = painted(200), reply = neighbourReply(segment, asked, { ip: 0, icmp: 40 }, into, 14);
  return reply && read(into, reply);
}

interface Answer {
  from: string;
  to: string;
  message: NdpDecoded;
}

/** Reads a packet at `into[14]` as its receiver does. */
function read(into: Uint8Array, { length, destination }: { length: number; destination: IpAddress }): Answer {
  const packet = decodeIpv6(into, 14, 14 + length), { payloadStart, payloadEnd } = packet;
  assertEquals([packet.nextHeader, packet.hopLimit, payloadEnd], [PROTOCOL_ICMPV6, 255, 14 + length]);
  assert(icmpv6ChecksumValid(into, payloadStart, payloadEnd, ipv6AddressSum(into, 14)));
  assert(ndpFitsHeader(into, 14, payloadStart, payloadEnd));
  assert(packet.destination.equals(destination));
  assertEquals([into[13], into[14 + length]], [PAINT, PAINT], "nothing beside it was touched");
  return { from: `${packet.source}`, to: `${destination}`, message: decodeNdp(into, payloadStart, payloadEnd) };
}

Deno.test("a guest that asks for gateway, router, DNS server or a mapped address is told the gateway's MAC address", () => {
  for (const target of ["fd00::2", "fe80::2", "fd00::3", "fd00::100"]) {
    const { from, to, message } = answer("fe80::5054:ff:fe12:3456", target)!;
    assertEquals([from, to], [target, "fe80::5054:ff:fe12:3456"]);
    assert(message.type === 136);
    assertEquals([`${message.target}`, message.router, message.solicited, message.override], [
      target,
      true,
      true,
      true,
    ]);
    assertEquals(message.options, { targetMac: MAC });
  }
});

Deno.test("the answer is what Linux writes as a router, byte by byte", () => {
  const asked = solicitation(bytesOf("fd00::15"), GROUP, bytesOf("fd00::2"), "0101 525400123456"), into = painted(72);
  assertStrictEquals(neighbourReply(SEGMENT, asked, { ip: 0, icmp: 40 }, into, 0)!.length, 72);
  assertStrictEquals(
    toHex(into, 0, 40) + toHex(into, 44),
    `6000000000203aff${bytesOf("fd00::2")}${bytesOf("fd00::15")}e0000000${bytesOf("fd00::2")}020152550a000202`,
  );
  assertStrictEquals(toHex(into, 40, 42), "8800");
});

Deno.test("whether the gateway is still there is answered, asked directly and without a MAC address", () => {
  const asked = solicitation(bytesOf("fd00::15"), bytesOf("fe80::2"), bytesOf("fe80::2"), ""), into = painted(200);
  const { from, to, message } = read(into, neighbourReply(SEGMENT, asked, { ip: 0, icmp: 40 }, into, 14)!);
  assertEquals([from, to], ["fe80::2", "fd00::15"]);
  assert(message.type === 136 && message.solicited);
});

Deno.test("duplicate address detection for an address of ours is answered to all nodes", () => {
  for (const target of ["fd00::2", "fe80::2", "fd00::3", "fd00::100"]) {
    const { from, to, message } = answer("::", target, { options: "" })!;
    assertEquals([from, to], [target, "ff02::1"]);
    assert(message.type === 136);
    assertEquals([message.solicited, message.override, message.options.targetMac], [false, true, MAC]);
  }
});

Deno.test("duplicate address detection for any other address succeeds: it is not answered", () => {
  for (const target of ["fd00::15", "fe80::5054:ff:fe12:3456", "fd00::1", "fd00::", "fe80::3", "fd01::2", "::"]) {
    assertStrictEquals(answer("::", target, { options: "" }), null, target);
    assertStrictEquals(answer("::", target, { options: "0e01 010203040506" }), null, "with a nonce (RFC 7527)");
  }
});

Deno.test("nobody is answered for addresses that nobody has, nor for his own", () => {
  for (const target of ["fd00::15", "fd00::77", "fe80::1", "fd00::200", "2001:db8::2", "::ffff:10.0.2.2"]) {
    assertStrictEquals(answer("fd00::15", target), null, target);
  }
});

Deno.test("neighbourRequest asks the group of the address, from the router, as the guest's kernel wants it", () => {
  const into = painted(200), target = ip("fd00::aa:1234:5678");
  const { from, to, message } = read(into, neighbourRequest(MAC, target, into, 14));
  assertEquals([from, to], ["fe80::2", "ff02::1:ff34:5678"]);
  assert(message.type === 135 && message.target.equals(target));
  assertEquals(message.options, { sourceMac: MAC });
});

Deno.test("if the subnet is relayed every host is answered for, and is no router, but neither the guest nor a link's", () => {
  const relayed = { ...SEGMENT, relaysSubnet: true }, me = "fd00::15";
  for (const target of ["fd00::77", "2001:db8::9"]) {
    const { from, to, message } = answer(me, target, { segment: relayed })!;
    assert(message.type === 136);
    assertEquals([from, to, `${message.target}`, message.router, message.solicited], [target, me, target, false, true]);
  }
  const { message } = answer(me, "fd00::2", { segment: relayed })!;
  assert(message.type === 136 && message.router);
  for (const target of ["fd00::15", "fe80::77"]) assertEquals(answer(me, target, { segment: relayed }), null, target);
  assertEquals(answer("::", "fd00::77", { segment: relayed, options: "" }), null, "its address is free");
  assertEquals(answer(me, "fd00::77"), null, "and nobody's if it is not relayed");
});
