import { assertEquals } from "@std/assert";
import { GuestAddresses, MAX_GUEST_ADDRESSES } from "../../../nat/ip/guest_addresses.ts";

/** Numbers with the highest bit set, which a signed array would not give back. */
const FIRST = 0xc0a80000;

Deno.test("GuestAddresses is empty at first and does not have 0.0.0.0", () => {
  const addresses = new GuestAddresses();
  assertEquals([addresses.size, addresses.latest, addresses.has(0)], [0, 0, false]);
});

Deno.test("GuestAddresses has every address that was used and knows the latest", () => {
  const addresses = new GuestAddresses();
  assertEquals([FIRST + 1, FIRST + 2, FIRST + 1].map((address) => addresses.use(address)), [true, true, false]);
  assertEquals([addresses.size, addresses.latest], [2, FIRST + 1]);
  assertEquals([1, 2, 3].map((i) => addresses.has(FIRST + i)), [true, true, false]);
});

Deno.test("GuestAddresses forgets the one used longest ago for one too many, and learns it again", () => {
  const addresses = new GuestAddresses();
  for (let i = 0; i < MAX_GUEST_ADDRESSES; i++) addresses.use(FIRST + i);
  addresses.use(FIRST);
  addresses.use(FIRST + 1000);
  assertEquals(addresses.size, MAX_GUEST_ADDRESSES);
  assertEquals([FIRST, FIRST + 1, FIRST + 2, FIRST + 1000].map((a) => addresses.has(a)), [true, false, true, true]);
  assertEquals(addresses.use(FIRST + 1), true);
  assertEquals([addresses.has(FIRST + 2), addresses.has(FIRST + 3)], [false, true]);
});

Deno.test("GuestAddresses stays within its bound whatever comes", () => {
  const addresses = new GuestAddresses();
  for (let i = 0; i < 5000; i++) {
    addresses.use(FIRST + (i * 7919) % 257);
    assertEquals(addresses.latest, FIRST + (i * 7919) % 257);
  }
  assertEquals(addresses.size, MAX_GUEST_ADDRESSES);
  assertEquals(Array.from({ length: 257 }, (_, i) => addresses.has(FIRST + i)).filter(Boolean).length, 32);
});
