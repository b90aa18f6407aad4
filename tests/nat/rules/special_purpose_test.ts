import { assertEquals } from "@std/assert";
import { isGloballyReachable } from "../../../nat/rules/special_purpose.ts";
import { IpAddress } from "../../../net/wire/address.ts";

function reachable(texts: readonly string[]): string[] {
  return texts.filter((text) => isGloballyReachable(IpAddress.parse(text)));
}

Deno.test("isGloballyReachable: nothing of the special-purpose registries that IANA does not call so", () => {
  const near = [
    ...["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255"],
    ...["169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1"],
    ...["192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"],
    ...["240.0.0.1", "255.255.255.255", "::", "::1", "::192.0.2.1", "::8.8.8.8", "100::1", "100:0:0:1::1"],
    ...["2001:1::4", "2001:2::1", "2001:10::1", "2001:db8::1", "3fff::1", "5f00::1", "fc00::1", "fdff::1", "fe80::1"],
    ...["fec0::1", "ff02::1"],
  ];
  assertEquals(reachable(near), []);
});

Deno.test("isGloballyReachable: what lies around these blocks, and what in them is an exception", () => {
  const far = [
    ...["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"],
    ...["169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.0.9", "192.0.0.10", "192.0.1.0", "192.31.196.1"],
    ...["192.52.193.1", "192.167.255.255", "192.175.48.1", "198.17.255.255", "198.20.0.0", "223.255.255.255"],
    ...["2001:1::1", "2001:1::2", "2001:1::3", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1", "2001:200::1"],
    ...["2001:db7::1", "2600::1", "2620:4f:8000::1", "2a00::1"],
  ];
  assertEquals(reachable(far), far);
});

Deno.test("isGloballyReachable: an address with an IPv4 address in it is as reachable as that one", () => {
  const far = [
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "64:ff9b:1::1.1.1.1",
    "2002:101:101::1",
    "2001:0:101:101::fefe:fefe",
  ];
  assertEquals(reachable(far), far);
  const near = [
    ...["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::1"],
    // Of Teredo the relay, then the client.
    ...["2001:0:a00:1::fefe:fefe", "2001:0:101:101::f5ff:fffe"],
  ];
  assertEquals(reachable(near), []);
});
