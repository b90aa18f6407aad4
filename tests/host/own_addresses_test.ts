import { assertEquals, assertThrows } from "@std/assert";
import { CHECK_MS, ListedHostAddresses, openHostAddresses } from "../../host/own_addresses.ts";
import { IpAddress } from "../../net/wire/address.ts";
import { assertNoDescriptorLeft } from "../support/ffi_descriptors.ts";
import { requires } from "../support/requirements.ts";

const needs = requires("linux", "ffi");

Deno.test("ListedHostAddresses follows the list, looks at it once every CHECK_MS, and always has loopback", () => {
  let now = 0, looked = 0, addresses = ["192.0.2.9", "fe80::1%eth0", "no address"];
  const list = () => {
    looked++;
    return addresses.map((address) => ({ address }));
  };
  using host = new ListedHostAddresses({ list, now: () => now });
  const has = (text: string) => host.has(IpAddress.parse(text)), version = host.version();
  assertEquals(["192.0.2.9", "fe80::1", "127.3.2.1", "::1", "192.0.2.10"].map(has), [true, true, true, true, false]);
  addresses = ["192.0.2.10"];
  assertEquals([has("192.0.2.10"), host.version() === version, looked], [false, true, 1]);
  now = CHECK_MS;
  assertEquals([has("192.0.2.10"), has("192.0.2.9"), host.version() === version], [true, false, false]);
  const later = host.version();
  now = 2 * CHECK_MS;
  addresses = ["192.0.2.10", "192.0.2.10"];
  assertEquals([host.version(), looked], [later, 3]);
});

Deno.test({
  name: "ListedHostAddresses says which permission it lacks",
  permissions: { sys: false },
  fn: () => {
    const error = assertThrows(() => new ListedHostAddresses(), Deno.errors.NotCapable);
    assertEquals(error.message.endsWith("run with --allow-sys=networkInterfaces"), true, error.message);
  },
});

Deno.test({
  name: `openHostAddresses finds this host's own way${needs.reason}`,
  ignore: needs.ignore,
  fn: () =>
    assertNoDescriptorLeft(() => {
      using host = openHostAddresses();
      assertEquals([host.has(IpAddress.parse("127.0.0.1")), host.has(IpAddress.parse("192.0.2.77"))], [true, false]);
    }),
});
