import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Cidr, IpAddress, parseMac } from "../../../net/wire/address.ts";
import { icmpv6ChecksumValid } from "../../../net/wire/icmpv6.ts";
import { decodeIpv6, ipv6AddressSum } from "../../../net/wire/ipv6.ts";
import { ALL_NODES, checkNdp, decodeNdp, ndpFitsHeader } from "../../../net/wire/ndp.ts";
import { segmentIn } from "../../../nat/rules/segment.ts";
import { routerAdvertisement, type RouterOptions, writeRouterAdvertisement } from "../../../nat/service/router.ts";
import { painted, toHex } from "../../support/packet_bytes.ts";

const OPTIONS: RouterOptions = {
  mac: parseMac("52:55:0a:00:02:02"),
  mtu: 65520,
  segment: segmentIn(Cidr.parse("fd00::/64")),
  dns: IpAddress.parse("fd00::3"),
  nat64: false,
};

Deno.test("an advertisement says prefix, MTU, DNS server and MAC address, and that there is DHCPv6, byte by byte", () => {
  const into = painted(400);
  const length = writeRouterAdvertisement(into, 14, routerAdvertisement(OPTIONS, true), ALL_NODES), end = 14 + length;
  const { payloadStart } = decodeIpv6(into, 14, end);
  assert(checkNdp(into, payloadStart, end) && ndpFitsHeader(into, 14, payloadStart, end));
  assert(icmpv6ChecksumValid(into, payloadStart, end, ipv6AddressSum(into, 14)));
  const header = "6000000000583aff fe800000000000000000000000000002 ff020000000000000000000000000001";
  const fixed = "40c00708 00000000 00000000", mac = "0101 52550a000202", mtu = "0501 0000 0000fff0";
  const prefix = "0304 40c0 00015180 00015180 00000000 fd000000000000000000000000000000";
  const dns = "1903 0000 00000708 fd000000000000000000000000000003";
  const expected = (header + "8600" + fixed + mac + mtu + prefix + dns).replaceAll(" ", "");
  assertStrictEquals(toHex(into, 14, 56) + toHex(into, 58, end), expected);
});

Deno.test("while the host has no route the lifetime is 0, and everything else as before", () => {
  const told = routerAdvertisement(OPTIONS, true), less = routerAdvertisement(OPTIONS, false);
  assertEquals([told.lifetime, less.lifetime], [1800, 0]);
  assert(less.options!.prefixes![0]!.prefix === told.options!.prefixes![0]!.prefix);
  assertEquals(JSON.stringify({ ...less, lifetime: 1800 }), JSON.stringify(told));
});

Deno.test("with NAT64 its prefix is told, and the router is one without a route of IPv6 too: IPv4 is behind it", () => {
  const { lifetime, options } = routerAdvertisement({ ...OPTIONS, nat64: true }, false);
  assertStrictEquals(lifetime, 1800);
  assertEquals([`${options!.pref64!.prefix}`, options!.pref64!.lifetime], ["64:ff9b::/96", 1800]);
  assertStrictEquals(routerAdvertisement(OPTIONS, true).options!.pref64, undefined);
});

Deno.test("without DNS no server is told, and an MTU that IPv6 cannot have is not told", () => {
  assertStrictEquals(routerAdvertisement({ ...OPTIONS, dns: null }, true).options!.dns, undefined);
  assertStrictEquals(routerAdvertisement({ ...OPTIONS, mtu: 1279 }, true).options!.mtu, undefined);
  assertStrictEquals(routerAdvertisement({ ...OPTIONS, mtu: 1280 }, true).options!.mtu, 1280);
});

Deno.test("an answer goes to who has asked", () => {
  const into = painted(400), to = IpAddress.parse("fe80::15");
  const length = writeRouterAdvertisement(into, 0, routerAdvertisement(OPTIONS, true), to);
  const { source, destination, payloadStart } = decodeIpv6(into, 0, length);
  assertEquals([`${source}`, `${destination}`], ["fe80::2", "fe80::15"]);
  assertStrictEquals(decodeNdp(into, payloadStart, length).type, 134);
});

Deno.test("hosts make addresses of a prefix of 64 bits alone, and one of a single address is not told", () => {
  const prefixesOf = (text: string) => {
    const segment = segmentIn(Cidr.parse(text)), { options } = routerAdvertisement({ ...OPTIONS, segment }, true);
    return options!.prefixes!.map(({ prefix, onLink, autonomous }) => `${prefix} ${onLink} ${autonomous}`);
  };
  assertEquals(prefixesOf("fd00::/64"), ["fd00::/64 true true"]);
  assertEquals(prefixesOf("fd00::/56"), ["fd00::/56 true false"]);
  assertEquals(prefixesOf("fd00::4/127"), ["fd00::4/127 true false"]);
  assertEquals(prefixesOf("fd00::4/128"), []);
  const into = painted(400), advertisement = { ...OPTIONS, segment: segmentIn(Cidr.parse("fd00::4/128")) };
  const length = writeRouterAdvertisement(into, 0, routerAdvertisement(advertisement, true), ALL_NODES);
  const { payloadStart } = decodeIpv6(into, 0, length);
  assertEquals(decodeNdp(into, payloadStart, length).options!.prefixes ?? [], []);
});
