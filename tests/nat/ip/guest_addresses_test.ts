import { assertEquals, assertStrictEquals } from "@std/assert";
import { FlowKey } from "../../../nat/flow/flow_key.ts";
import { GuestAddresses, MAX_GUEST_ADDRESSES } from "../../../nat/ip/guest_addresses.ts";
import { IpAddress } from "../../../net/wire/address.ts";

/** Addresses with the highest bit set in the last word. */
function nth(i: number): IpAddress {
  return new IpAddress(0xfd000000, 0, 0, 0xc0a80000 + i);
}

Deno.test("GuestAddresses is empty at first and does not have the unspecified address", () => {
  const addresses = new GuestAddresses();
  assertEquals([addresses.size, addresses.latest, addresses.has(IpAddress.fromIpv4(0))], [0, null, false]);
  assertEquals(addresses.has(IpAddress.parse("::")), false);
});

Deno.test("GuestAddresses has every address that was used and knows the latest", () => {
  const addresses = new GuestAddresses();
  for (const i of [1, 2, 1]) addresses.use(nth(i));
  assertEquals([addresses.size, addresses.latest], [2, nth(1)]);
  assertEquals([1, 2, 3].map((i) => addresses.has(nth(i))), [true, true, false]);
});

Deno.test("GuestAddresses finds the source address of a key, and tells one that differs in any word", () => {
  const addresses = new GuestAddresses(), known = new IpAddress(1, 2, 3, 4), remote = nth(9);
  addresses.use(known);
  addresses.use(nth(1));
  const find = (address: IpAddress) => addresses.find(new FlowKey().set(1, 6, address, 5, remote, 6));
  assertStrictEquals(find(new IpAddress(1, 2, 3, 4)), known);
  for (const other of [[9, 2, 3, 4], [1, 9, 3, 4], [1, 2, 9, 4], [1, 2, 3, 9]] as [number, number, number, number][]) {
    assertEquals(find(new IpAddress(...other)), null);
  }
});

Deno.test("GuestAddresses forgets the one used longest ago for one too many, and learns it again", () => {
  const addresses = new GuestAddresses();
  for (let i = 0; i < MAX_GUEST_ADDRESSES; i++) addresses.use(nth(i));
  addresses.use(nth(0));
  addresses.use(nth(1000));
  assertEquals(addresses.size, MAX_GUEST_ADDRESSES);
  assertEquals([0, 1, 2, 1000].map((i) => addresses.has(nth(i))), [true, false, true, true]);
  addresses.use(nth(1));
  assertEquals([1, 2, 3].map((i) => addresses.has(nth(i))), [true, false, true]);
});

Deno.test("GuestAddresses stays within its bound whatever comes", () => {
  const addresses = new GuestAddresses();
  for (let i = 0; i < 5000; i++) {
    addresses.use(nth((i * 7919) % 257));
    assertEquals(addresses.latest, nth((i * 7919) % 257));
  }
  assertEquals(addresses.size, MAX_GUEST_ADDRESSES);
  assertEquals(Array.from({ length: 257 }, (_, i) => addresses.has(nth(i))).filter(Boolean).length, 32);
});

Deno.test("GuestAddresses prefers an address of a subnet to one of the link alone, whichever was used last", () => {
  const addresses = new GuestAddresses(), use = (text: string) => addresses.use(IpAddress.parse(text));
  assertEquals(addresses.widest, null);
  use("fe80::1");
  assertEquals(`${addresses.widest}`, "fe80::1");
  use("fd00::15");
  use("fd00::16");
  use("fe80::1");
  assertEquals([`${addresses.latest}`, `${addresses.widest}`], ["fe80::1", "fd00::16"]);
});
