import { assertEquals } from "@std/assert";
import {
  guestAddressProblem,
  ipv4Mask,
  isGroupAddress,
  isGuestAddress,
  isOnLink,
  segmentIn,
  segmentOf,
  standsForSubnet,
} from "../../../nat/rules/segment.ts";
import { Cidr, IpAddress } from "../../../net/wire/address.ts";

const IPV4 = segmentIn(Cidr.parse("10.0.2.0/24")), IPV6 = segmentIn(Cidr.parse("fd00::/64"));
const BOTH = {
  ipv4: IPV4,
  ipv6: IPV6,
  maps: ["10.0.2.9", "fd00::9", "2001:db8::1"].map((text) => ({ guest: IpAddress.parse(text) })),
};

function thatAre(is: (address: IpAddress) => boolean, texts: string): string {
  return texts.split(" ").filter((text) => is(IpAddress.parse(text))).join(" ");
}

Deno.test("segmentIn places gateway, DNS server and guest in the network, whose host bits it drops", () => {
  const places = (text: string) => {
    const { family, subnet, gateway, dns, guest, gatewayTargets } = segmentIn(Cidr.parse(text));
    return `${family} ${subnet} ${gateway} ${dns} ${guest} ${gatewayTargets}`;
  };
  assertEquals(places("10.0.2.0/24"), "4 10.0.2.0/24 10.0.2.2 10.0.2.3 10.0.2.15 127.0.0.1,::1");
  assertEquals(places("192.168.7.93/27"), "4 192.168.7.64/27 192.168.7.66 192.168.7.67 192.168.7.79 127.0.0.1,::1");
  assertEquals(places("fd00::/64"), "6 fd00::/64 fd00::2 fd00::3 fd00::15 ::1,127.0.0.1");
  assertEquals(places("fd12:3:4:5:6::7/64").split(" ").slice(1, 3), ["fd12:3:4:5::/64", "fd12:3:4:5::2"]);
  const [only] = ["192.0.2.1"].map(IpAddress.parse);
  assertEquals(segmentIn(Cidr.parse("fd00::/64"), [only!]).gatewayTargets, [only!]);
});

Deno.test("segmentOf gives the network of a family, or that the guest has none", () => {
  assertEquals([segmentOf(BOTH, 4), segmentOf(BOTH, 6)], [IPV4, IPV6]);
  assertEquals([segmentOf({ ipv4: IPV4, ipv6: null }, 6), segmentOf({ ipv4: null, ipv6: IPV6 }, 4)], [null, null]);
});

Deno.test("isGuestAddress leaves to guests what neither the gateway, a map nor all of them have", () => {
  const guests = (texts: string, of = BOTH) => thatAre((address) => isGuestAddress(of, address), texts);
  assertEquals(
    guests("10.0.2.0 10.0.2.1 10.0.2.2 10.0.2.3 10.0.2.4 10.0.2.9 10.0.2.254 10.0.2.255 10.0.3.1 0.0.0.0"),
    "10.0.2.1 10.0.2.4 10.0.2.254",
  );
  assertEquals(
    guests("fd00:: fd00::1 fd00::2 fd00::3 fd00::9 fd00::15 fd00::ffff:ffff:ffff:ffff fd00:0:0:1::1"),
    "fd00::1 fd00::15 fd00::ffff:ffff:ffff:ffff",
  );
  assertEquals(
    guests("fe80:: fe80::1 fe80::2 fe80::3 fe80:0:0:1::1 fe90::1 :: ::1 ff02::1 2001:db8::1"),
    "fe80::1 fe80::3",
  );
  assertEquals(guests("10.0.2.4 fd00::1 fe80::1", { ...BOTH, ipv6: null as never }), "10.0.2.4");
  assertEquals(guests("10.0.2.4 fd00::1 fe80::1", { ...BOTH, ipv4: null as never }), "fd00::1 fe80::1");
});

Deno.test("guestAddressProblem says which addresses a guest may have", () => {
  const problem = (text: string, of: Parameters<typeof guestAddressProblem>[0] = BOTH) =>
    guestAddressProblem(of, IpAddress.parse(text));
  assertEquals([problem("10.0.2.4"), problem("fd00::15")], [null, null]);
  assertEquals(
    problem("10.0.2.2"),
    "10.0.2.2 is no address of a guest, which is one of 10.0.2.0/24 other than 10.0.2.2, 10.0.2.3 and mapped ones",
  );
  assertEquals(
    problem("fd01::1"),
    "fd01::1 is no address of a guest, which is one of fd00::/64 other than fd00::2, fd00::3 and mapped ones",
  );
  assertEquals(problem("fd00::15", { ...BOTH, ipv6: null }), "fd00::15 is no address of a guest, which has no IPv6");
});

Deno.test("isOnLink and isGroupAddress know both families", () => {
  assertEquals(
    thatAre(
      (address) => isOnLink(BOTH, address),
      "10.0.2.0 10.0.2.255 10.0.3.0 fd00::2 fd00:0:0:1:: fe80::1 febf::1 fec0::1",
    ),
    "10.0.2.0 10.0.2.255 fd00::2 fe80::1 febf::1",
  );
  assertEquals(
    thatAre(
      (address) => isGroupAddress(BOTH, address),
      "10.0.2.255 10.0.3.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 ff02::1 fe80::1",
    ),
    "10.0.2.255 224.0.0.1 239.255.255.255 255.255.255.255 ff02::1",
  );
  const none = { ipv4: null, ipv6: null };
  assertEquals(thatAre((address) => isOnLink(none, address), "10.0.2.4 fd00::2 fe80::1"), "fe80::1");
  assertEquals(thatAre((address) => isGroupAddress(none, address), "10.0.2.255 224.0.0.1"), "224.0.0.1");
});

Deno.test("ipv4Mask holds at every prefix length", () => {
  assertEquals([0, 1, 8, 24, 27, 31, 32].map((prefix) => ipv4Mask(prefix).toString(16)), [
    "0",
    "80000000",
    "ff000000",
    "ffffff00",
    "ffffffe0",
    "fffffffe",
    "ffffffff",
  ]);
});

Deno.test("standsForSubnet knows the first address and the broadcast, and none of a subnet of two or one", () => {
  const those = (subnet: string, texts: string) =>
    thatAre((address) => standsForSubnet(Cidr.parse(subnet), address), texts);
  assertEquals(those("10.0.2.0/24", "10.0.2.0 10.0.2.1 10.0.2.255 10.0.3.255 fd00::"), "10.0.2.0 10.0.2.255");
  assertEquals(those("192.168.7.64/27", "192.168.7.64 192.168.7.95 192.168.7.96"), "192.168.7.64 192.168.7.95");
  assertEquals(those("192.0.2.4/30", "192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7"), "192.0.2.4 192.0.2.7");
  assertEquals(those("192.0.2.4/31", "192.0.2.4 192.0.2.5") + those("192.0.2.4/32", "192.0.2.4"), "");
  assertEquals(those("fd00::/64", "fd00:: fd00::1 fd00::ffff:ffff:ffff:ffff 0.0.0.0"), "fd00::");
  assertEquals(those("fd00::/127", "fd00:: fd00::1") + those("fd00::/128", "fd00::"), "");
});
