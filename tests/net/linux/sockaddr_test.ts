import { assertEquals } from "@std/assert";
import { readSockaddr, scopeOf, SOCKADDR_SIZE, writeSockaddr } from "../../../net/linux/sockaddr.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { hex, painted, toHex } from "../../support/packet_bytes.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "ffi");

Deno.test("writeSockaddr and readSockaddr carry the addresses of both families, and the interface of IPv6", () => {
  const cases = [
    ["127.0.0.1", 80, 0, "02000050 7f000001 0000000000000000"],
    ["::1", 443, 0, `0a0001bb 00000000 ${"00".repeat(15)}01 00000000`],
    ["fe80::1", 53, 7, `0a000035 00000000 fe80${"00".repeat(13)}01 07000000`],
    ["fe80::1", 53, 0xfedcba98, `0a000035 00000000 fe80${"00".repeat(13)}01 98badcfe`],
  ] as const;
  for (const [text, port, scope, expected] of cases) {
    const bytes = painted(SOCKADDR_SIZE), address = IpAddress.parse(text);
    const length = writeSockaddr(bytes, address, port, scope);
    assertEquals(toHex(bytes, 0, length), toHex(hex(expected)));
    assertEquals(readSockaddr(bytes), scope === 0 ? { address, port } : { address, port, zone: `${scope}` });
  }
  assertEquals(readSockaddr(hex(`0100 ${"00".repeat(26)}`)), undefined);
});

Deno.test({
  name: `scopeOf knows an interface by name and number, and none that is not there${needs.reason}`,
  ignore: needs.ignore,
  fn: () => {
    assertEquals([scopeOf("lo"), scopeOf("7"), scopeOf("nobody"), scopeOf("")], [1, 7, 0, 0]);
  },
});
