import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Cidr, IpAddress, parseMac } from "../../../net/wire/address.ts";
import { addressSum } from "../../../net/wire/checksum.ts";
import { icmpv6ChecksumValid } from "../../../net/wire/icmpv6.ts";
import { DecodeError } from "../../../net/wire/decode_error.ts";
import { encodeIpv6 } from "../../../net/wire/ipv6.ts";
import {
  ALL_NODES,
  ALL_ROUTERS,
  checkNdp,
  decodeNdp,
  encodeNdp,
  formatNdp,
  isNdpType,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_NEIGHBOUR_SOLICITATION,
  NDP_REDIRECT,
  NDP_ROUTER_ADVERTISEMENT,
  NDP_ROUTER_SOLICITATION,
  ndpFitsHeader,
  ndpIsOverride,
  ndpIsSolicited,
  ndpMac,
  type NdpMessage,
  ndpOption,
  ndpTarget,
  ndpTargetWord,
  solicitedNode,
} from "../../../net/wire/ndp.ts";
import { NDP_OPTION_MTU, NDP_OPTION_SOURCE_MAC, NDP_OPTION_TARGET_MAC } from "../../../net/wire/ndp_options.ts";
import {
  assertEncodes,
  assertRefused,
  assertRefusesEveryShorter,
  hex,
  noise,
  painted,
} from "../../support/packet_bytes.ts";

const DOORS = { layer: "ndp", check: checkNdp, decode: decodeNdp };
const GUEST_MAC = parseMac("52:54:00:12:34:56"), ROUTER_MAC = parseMac("52:55:0a:00:02:02");
const GUEST_LINK = "fe80::5054:ff:fe12:3456";

/** What Linux sent: solicitations of a router and a neighbour, the answer, and duplicate address detection. */
const RS = "850071b5000000000101525400123456";
const NS = "8700f8c700000000fd0000000000000000000000000000020101525400123456";
const NA = "8800c03060000000fd000000000000000000000000000002020152550a000202";
const DAD = "87009cfb00000000fd0000000000000000000000000000150e01e457313cbce4";
/** What scapy made. */
const RA = "8600746640c0070800007530000003e8 010152550a000202 050100000000fff0" +
  "030440c0000151800000384000000000fd000000000000000000000000000000" +
  "19050000000004b0fd000000000000000000000000000003fd000000000000000000000000000004";
const REDIRECT = "8900f6af00000000fe800000000000000000000000000009fd010000000000000000000000000002" +
  "0201525400123457";

const ADVERTISEMENT = {
  type: NDP_ROUTER_ADVERTISEMENT as typeof NDP_ROUTER_ADVERTISEMENT,
  hopLimit: 64,
  managed: true,
  otherConfig: true,
  lifetime: 1800,
  reachableMs: 30000,
  retransMs: 1000,
  options: {
    sourceMac: ROUTER_MAC,
    mtu: 65520,
    prefixes: [{
      prefix: Cidr.parse("fd00::/64"),
      onLink: true,
      autonomous: true,
      validLifetime: 86400,
      preferredLifetime: 14400,
    }],
    dns: { servers: [at("fd00::3"), at("fd00::4")], lifetime: 1200 },
  },
} satisfies NdpMessage;

/** Addresses and prefixes as text, fields in one order. */
function asText(message: object): string[] {
  const flat = (value: unknown): string =>
    value instanceof IpAddress || value instanceof Cidr || !(value instanceof Object)
      ? `${value}`
      : Object.entries(value).map(([name, inner]) => `${name}=${flat(inner)}`).sort().join(" ");
  return flat(message).split(" ");
}

function at(text: string): IpAddress {
  return IpAddress.parse(text);
}

function sum(a: string, b: string): number {
  return addressSum(at(a)) + addressSum(at(b));
}

/** A message behind an IPv6 header, and whether it fits. */
function fits(message: string, source: string, destination: string, hopLimit = 255): boolean {
  const body = hex(message), bytes = painted(43 + body.length);
  const header = {
    payloadLength: body.length,
    nextHeader: 58,
    hopLimit,
    source: at(source),
    destination: at(destination),
  };
  encodeIpv6(bytes, 3, header);
  bytes.set(body, 43);
  assert(checkNdp(bytes, 43, bytes.length));
  return ndpFitsHeader(bytes, 3, 43, bytes.length);
}

Deno.test("ndp getters read target, flags and options at an offset", () => {
  const bytes = hex(`ff ${NA}`), end = bytes.length;
  assert(checkNdp(bytes, 1, end));
  assert(ndpTarget(bytes, 1).equals(at("fd00::2")));
  assertEquals([0, 1, 2, 3].map((i) => ndpTargetWord(bytes, 1, i)), [0xfd000000, 0, 0, 2]);
  assertEquals([ndpIsSolicited(bytes, 1), ndpIsOverride(bytes, 1)], [true, true]);
  assertEquals([ndpOption(bytes, 1, end, NDP_OPTION_TARGET_MAC), ndpMac(bytes, 1, end, NDP_OPTION_TARGET_MAC)], [
    25,
    ROUTER_MAC,
  ]);
  assertEquals([ndpOption(bytes, 1, end, NDP_OPTION_MTU), ndpMac(bytes, 1, end, NDP_OPTION_SOURCE_MAC)], [-1, -1]);
  assertStrictEquals(ndpMac(hex(RS), 0, 16, NDP_OPTION_SOURCE_MAC), GUEST_MAC);
  assertStrictEquals(ndpMac(hex(DAD), 0, 32, NDP_OPTION_SOURCE_MAC), -1, "a nonce is skipped");
  assertStrictEquals(ndpIsOverride(hex(NA.replace("60000000", "40000000")), 0), false);
});

Deno.test("decodeNdp gives each message of Linux and scapy", () => {
  assertEquals(decodeNdp(hex(RS)), { type: NDP_ROUTER_SOLICITATION, options: { sourceMac: GUEST_MAC }, length: 16 });
  const target = at("fd00::2");
  assertEquals(decodeNdp(hex(`ff ${NS}`), 1), {
    type: NDP_NEIGHBOUR_SOLICITATION,
    target,
    options: { sourceMac: GUEST_MAC },
    length: 32,
  });
  assertEquals(decodeNdp(hex(NA)), {
    type: NDP_NEIGHBOUR_ADVERTISEMENT,
    target,
    router: false,
    solicited: true,
    override: true,
    options: { targetMac: ROUTER_MAC },
    length: 32,
  });
  assertEquals(asText(decodeNdp(hex(RA))), asText({ ...ADVERTISEMENT, length: 104 }));
  assertEquals(decodeNdp(hex(REDIRECT)), {
    type: NDP_REDIRECT,
    target: at("fe80::9"),
    destination: at("fd01::2"),
    options: { targetMac: parseMac("52:54:00:12:34:57") },
    length: 48,
  });
});

Deno.test("encodeNdp writes the bytes that Linux and scapy send, with their checksums", () => {
  const encodes = (text: string, message: NdpMessage, source: string, destination: string) =>
    assertEncodes(text, (bytes, offset) => encodeNdp(bytes, offset, message, sum(source, destination)));
  encodes(RS, { type: NDP_ROUTER_SOLICITATION, options: { sourceMac: GUEST_MAC } }, GUEST_LINK, "ff02::2");
  const target = at("fd00::2"), options = { sourceMac: GUEST_MAC };
  encodes(NS, { type: NDP_NEIGHBOUR_SOLICITATION, target, options }, "fd00::15", "ff02::1:ff00:2");
  const flags = { solicited: true, override: true }, targetMac = ROUTER_MAC;
  const answer: NdpMessage = { type: NDP_NEIGHBOUR_ADVERTISEMENT, target, ...flags, options: { targetMac } };
  encodes(NA, answer, "fd00::2", "fd00::15");
  encodes(RA, ADVERTISEMENT, "fe80::2", "ff02::1");
  const redirect = { target: at("fe80::9"), destination: at("fd01::2") };
  const mac = parseMac("52:54:00:12:34:57");
  encodes(REDIRECT, { type: NDP_REDIRECT, ...redirect, options: { targetMac: mac } }, "fe80::2", "fd00::15");
});

Deno.test("encodeNdp leaves out what is not given, and sets each flag by itself", () => {
  const first = (message: NdpMessage) => {
    const bytes = painted(64), length = encodeNdp(bytes, 0, message, 5);
    assert(icmpv6ChecksumValid(bytes, 0, length, 5));
    return { length, flags: message.type === NDP_ROUTER_ADVERTISEMENT ? bytes[5] : bytes[4] };
  };
  const neighbour = { type: NDP_NEIGHBOUR_ADVERTISEMENT, target: at("fd00::2") } as const;
  assertEquals(first(neighbour), { length: 24, flags: 0 });
  assertEquals(first({ ...neighbour, router: true }).flags, 0x80);
  assertEquals(first({ ...neighbour, solicited: true }).flags, 0x40);
  assertEquals(first({ ...neighbour, override: true }).flags, 0x20);
  const router = { type: NDP_ROUTER_ADVERTISEMENT, lifetime: 0 } as const;
  assertEquals(first(router), { length: 16, flags: 0 });
  assertEquals(first({ ...router, managed: true }).flags, 0x80);
  assertEquals(first({ ...router, otherConfig: true }).flags, 0x40);
  assertEquals(first({ type: NDP_ROUTER_SOLICITATION }).length, 8);
});

Deno.test("ndp has the PREF64 option of RFC 8781: every length with its code, the lifetime in steps of 8 seconds", () => {
  const written = (prefix: string, lifetime: number) => {
    const bytes = painted(48),
      message: NdpMessage = {
        type: NDP_ROUTER_ADVERTISEMENT,
        lifetime: 0,
        options: { pref64: { prefix: Cidr.parse(prefix), lifetime } },
      };
    const length = encodeNdp(bytes, 0, message, 0);
    const decoded = decodeNdp(bytes, 0, length).options.pref64!;
    assertStrictEquals(`${decoded.prefix}`, prefix);
    return [bytes.subarray(16, length), decoded.lifetime] as const;
  };
  assertEquals(written("64:ff9b::/96", 1800), [hex("2602 0708 0064ff9b 0000000000000000"), 1800]);
  assertEquals(written("2001:db8:122:300::/56", 65528)[0], hex("2602 fffa 20010db8 0122030000000000"));
  const codes = [64, 56, 48, 40, 32].map((length) => written(`2001:db8::/${length}`, 8)[0][3]! & 7);
  assertEquals(codes, [1, 2, 3, 4, 5]);
  assertEquals([written("64:ff9b::/96", 9)[1], written("64:ff9b::/96", 0)[1], written("64:ff9b::/96", 1e6)[1]], [
    16,
    0,
    65528,
  ]);
  assertThrows(() => written("64:ff9b::/95", 8), RangeError);
  const unknown = hex("86000000 00000000 0000000000000000 2602070e 0064ff9b 0000000000000000");
  assertStrictEquals(decodeNdp(unknown).options.pref64, undefined);
});

Deno.test("ndp refuses every message truncated at every length", () => {
  // Without options: a message that ends between two options is whole.
  for (const message of [RS.slice(0, 16), NS.slice(0, 48), NA.slice(0, 48), RA.slice(0, 32), REDIRECT.slice(0, 80)]) {
    assertRefusesEveryShorter(DOORS, hex(message));
  }
  for (const message of [RS, NS, NA, DAD, RA, REDIRECT]) {
    const bytes = hex(message);
    for (let end = 0; end < bytes.length; end++) {
      if (end % 8 !== 0) assertRefused(DOORS, bytes, { start: 0, end });
    }
  }
});

Deno.test("ndp refuses a code, an unknown type, a group as target, an option of length 0 or past the end", () => {
  const refuses = (message: string, index: number, value: number) => {
    const bytes = hex(message);
    bytes[index] = value;
    return assertRefused(DOORS, bytes).message;
  };
  for (const message of [RS, NS, NA, RA, REDIRECT]) assert(refuses(message, 1, 1).includes("the code is 1"));
  assert(refuses(RS, 0, 132).includes("the type is 132"));
  assert(refuses(RS, 0, 138).includes("the type is 138"));
  for (const message of [NS, NA]) assert(refuses(message, 8, 0xff).includes("the target is a group"));
  assert(refuses(RS, 9, 0).includes("the length of an option is 0"));
  assert(refuses(RS, 9, 2).includes("an option goes past the end"));
  assert(refuses(DAD, 25, 255).includes("an option goes past the end"));
});

Deno.test("ndp refuses known options of a length that they cannot have, and skips unknown ones of any length", () => {
  for (const option of ["01", "02", "05"]) assertRefused(DOORS, hex(`8500000000000000 ${option}02 ${"00".repeat(14)}`));
  assertRefused(DOORS, hex(`8500000000000000 0303 ${"00".repeat(22)}`));
  assertRefused(DOORS, hex(`8500000000000000 030481 ${"00".repeat(29)}`));
  for (const length of [1, 2, 4]) {
    assertRefused(DOORS, hex(`8500000000000000 190${length} ${"00".repeat(length * 8 - 2)}`));
  }
  for (const length of [1, 3]) {
    assertRefused(DOORS, hex(`8500000000000000 260${length} ${"00".repeat(length * 8 - 2)}`));
  }
  const unknown = hex(`8500000000000000 fd03 ${"00".repeat(22)} 0101525400123456`);
  assertEquals(decodeNdp(unknown).options, { sourceMac: GUEST_MAC });
});

Deno.test("ndp refuses a redirect to a group, or to a target that is neither link-local nor the destination", () => {
  const group = hex(REDIRECT), elsewhere = hex(REDIRECT), neighbour = hex(REDIRECT);
  group[24] = 0xff;
  assertRefused(DOORS, group);
  elsewhere[8] = 0xfd;
  assertRefused(DOORS, elsewhere);
  neighbour.copyWithin(8, 24, 40);
  assert(checkNdp(neighbour, 0, neighbour.length));
});

Deno.test("ndpFitsHeader takes the packets of Linux, and none that came through a router", () => {
  const packets = [
    [RS, GUEST_LINK, "ff02::2"],
    [NS, "fd00::15", "ff02::1:ff00:2"],
    [NS, "fd00::15", "fd00::2"],
    [NA, "fd00::2", "fd00::15"],
    [DAD, "::", "ff02::1:ff00:15"],
    [RA, "fe80::2", "ff02::1"],
    [REDIRECT, "fe80::2", "fd00::15"],
  ] as const;
  for (const [message, source, destination] of packets) {
    assert(fits(message, source, destination), message);
    for (const hopLimit of [0, 1, 64, 254]) assert(!fits(message, source, destination, hopLimit), message);
  }
});

Deno.test("ndpFitsHeader refuses addresses that do not go with the message", () => {
  assert(!fits(RS, "::", "ff02::2"), "a link-layer address of nobody");
  assert(fits(RS.slice(0, 16), "::", "ff02::2"));
  assert(!fits(NS, "::", "ff02::1:ff00:2"), "a link-layer address of nobody");
  assert(!fits(DAD, "::", "fd00::15"), "duplicate address detection goes to the solicited node");
  assert(!fits(DAD, "::", "ff02::1"));
  assert(!fits(NA, "fd00::2", "ff02::1"), "solicited by nobody");
  assert(fits(NA.replace("60000000", "20000000"), "fd00::2", "ff02::1"));
  assert(!fits(RA, "fd00::2", "ff02::1"), "a router has a link-local address");
  assert(!fits(REDIRECT, "fd00::2", "fd00::15"));
});

Deno.test("solicitedNode gives RFC 4291's example and Linux's groups", () => {
  assertStrictEquals(`${solicitedNode(at("4037::01:800:200e:8c6c"))}`, "ff02::1:ff0e:8c6c");
  assertStrictEquals(`${solicitedNode(at(GUEST_LINK))}`, "ff02::1:ff12:3456");
  assertEquals([`${ALL_NODES}`, `${ALL_ROUTERS}`], ["ff02::1", "ff02::2"]);
});

Deno.test("formatNdp is what tcpdump prints, and isNdpType knows the types", () => {
  assertEquals([RS, NS, NA, RA, REDIRECT].map((message) => formatNdp(decodeNdp(hex(message)))), [
    "ICMP6, router solicitation, length 16",
    "ICMP6, neighbor solicitation, who has fd00::2, length 32",
    "ICMP6, neighbor advertisement, tgt is fd00::2, length 32",
    "ICMP6, router advertisement, length 104",
    "ICMP6, redirect, fd01::2 to fe80::9, length 48",
  ]);
  assertEquals([132, 133, 137, 138].map(isNdpType), [false, true, true, false]);
});

Deno.test("ndp: both doors agree on any bytes, and what was decoded is written as a message that decodes to the same", () => {
  let taken = 0;
  for (let seed = 1; seed <= 4000; seed++) {
    const bytes = noise(120, seed),
      end = seed % 9 === 0 ? seed % 121 : (seed % 16) * 8,
      fixed = [8, 16, 24, 24, 40][seed % 5]!;
    bytes.set([133 + seed % 5, 0]);
    if (seed % 5 === 4) bytes.set([0xfe, 0x80], 8);
    for (let option = fixed; option + 8 <= 120; option += bytes[option + 1]! * 8) {
      const kind = [1, 2, 3, 5, 25, 38, 14][bytes[option]! % 7]!;
      bytes.set([kind, seed % 7 === 0 ? bytes[option + 1]! % 4 + 1 : ({ 3: 4, 25: 3, 38: 2 }[kind] ?? 1)], option);
    }
    try {
      const decoded = decodeNdp(bytes, 0, end), out = painted(400);
      assert(checkNdp(bytes, 0, end) && !formatNdp(decoded).includes("\n"));
      const again = decodeNdp(out, 0, encodeNdp(out, 0, decoded, seed));
      const { length: _, ...before } = decoded, { length: __, ...after } = again;
      assertEquals(asText(after), asText(before));
      taken++;
    } catch (error) {
      assert(error instanceof DecodeError && !checkNdp(bytes, 0, end), `seed ${seed}: ${error}`);
    }
  }
  assert(taken > 500 && taken < 3500, `${taken} taken`);
});
