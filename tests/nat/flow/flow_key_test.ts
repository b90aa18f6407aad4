import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { FlowKey } from "../../../nat/flow/flow_key.ts";
import { IpAddress, parseIpv4 } from "../../../net/wire/address.ts";

const GUEST = parseIpv4("10.0.2.15"), GATEWAY = parseIpv4("10.0.2.2");

Deno.test("FlowKey lays its words out as documented", () => {
  const key = new FlowKey().setIpv4(3, 6, GUEST, 40000, GATEWAY, 80);
  assertEquals([...key.words], [0x606, 0x9c400050, 0, 0, 0xffff, 0x0a00020f, 0, 0, 0xffff, 0x0a000202]);
});

Deno.test("FlowKey gives back the largest numbers it takes", () => {
  const key = new FlowKey().setIpv4(0x7fffff, 255, 0xffffffff, 65535, 0xfffffffe, 65534);
  assertEquals([key.guest, key.protocol, key.guestPort, key.remotePort], [0x7fffff, 255, 65535, 65534]);
  assertEquals(`${key.guestAddress} ${key.remoteAddress}`, "255.255.255.255 255.255.255.254");
});

Deno.test("FlowKey.set and setIpv4 agree on IPv4", () => {
  const number = new FlowKey().setIpv4(1, 17, GUEST, 5353, GATEWAY, 53);
  const object = new FlowKey().set(1, 17, IpAddress.fromIpv4(GUEST), 5353, IpAddress.fromIpv4(GATEWAY), 53);
  assert(number.equals(object));
});

Deno.test("FlowKey.setIpv4 leaves nothing of an IPv6 flow that the key held", () => {
  const key = new FlowKey().set(1, 6, IpAddress.parse("fd00:1:2:3::1"), 1, IpAddress.parse("2001:db8:1:2::9"), 2);
  key.setIpv4(1, 6, GUEST, 40000, GATEWAY, 80);
  assert(key.equals(new FlowKey().setIpv4(1, 6, GUEST, 40000, GATEWAY, 80)));
});

Deno.test("FlowKey differs where any one part differs", () => {
  const of = (...parts: [number, number, number, number, number, number]) => new FlowKey().setIpv4(...parts);
  const parts: [number, number, number, number, number, number] = [1, 6, GUEST, 40000, GATEWAY, 80];
  for (let i = 0; i < parts.length; i++) {
    const other: typeof parts = [...parts];
    other[i]!++;
    assert(!of(...parts).equals(of(...other)), `part ${i}`);
  }
  const swapped = of(1, 6, GATEWAY, 40000, GUEST, 80);
  assert(!of(...parts).equals(swapped));
});

Deno.test("FlowKey tells an IPv4 address from its IPv4-compatible IPv6 form", () => {
  const mapped = new FlowKey().set(1, 6, IpAddress.parse("10.0.2.15"), 1, IpAddress.parse("10.0.2.2"), 2);
  const compatible = new FlowKey().set(1, 6, IpAddress.parse("10.0.2.15"), 1, IpAddress.parse("::10.0.2.2"), 2);
  assert(!mapped.equals(compatible));
});

Deno.test("FlowKey.clone keeps its words when the original is filled again", () => {
  const key = new FlowKey().setIpv4(1, 6, GUEST, 40000, GATEWAY, 80);
  const clone = key.clone();
  key.setIpv4(2, 17, GATEWAY, 1, GUEST, 2);
  assertEquals(clone.toString(), "tcp 10.0.2.15:40000 > 10.0.2.2:80");
  assertNotEquals(key.toString(), clone.toString());
});

Deno.test("FlowKey.copyFrom reads ten words of a larger array", () => {
  const key = new FlowKey().setIpv4(1, 6, GUEST, 40000, GATEWAY, 80);
  const row = new Uint32Array(14).fill(0xa5a5a5a5);
  row.set(key.words, 3);
  assert(new FlowKey().copyFrom(row, 3).equals(key));
});

Deno.test("FlowKey.toString names the protocol and brackets IPv6", () => {
  const of = (protocol: number) => new FlowKey().setIpv4(1, protocol, GUEST, 7, GATEWAY, 0).toString();
  assertEquals(of(17), "udp 10.0.2.15:7 > 10.0.2.2:0");
  assertEquals(of(1), "icmp 10.0.2.15:7 > 10.0.2.2:0");
  assertEquals(of(58), "icmpv6 10.0.2.15:7 > 10.0.2.2:0");
  assertEquals(of(47), "protocol 47 10.0.2.15:7 > 10.0.2.2:0");
  const key = new FlowKey().set(1, 6, IpAddress.parse("fd00::f"), 40000, IpAddress.parse("2001:db8::1"), 443);
  assertEquals(key.toString(), "tcp [fd00::f]:40000 > [2001:db8::1]:443");
});

Deno.test("FlowKey knows its family: an IPv6 packet between mapped addresses is no flow of IPv4", () => {
  const guest = IpAddress.parse("10.0.2.15"), gateway = IpAddress.parse("10.0.2.2");
  const four = new FlowKey().set(1, 6, guest, 1, gateway, 2),
    disguised = new FlowKey().set(1, 6, guest, 1, gateway, 2, 6);
  const six = new FlowKey().set(1, 6, IpAddress.parse("fd00::f"), 1, IpAddress.parse("fd00::2"), 2);
  assertEquals([four.family, disguised.family, six.family], [4, 6, 6]);
  assert(!four.equals(disguised) && four.equals(new FlowKey().setIpv4(1, 6, GUEST, 1, GATEWAY, 2)));
});

Deno.test("FlowKey.setMapping keeps the guest's side alone, and isTo knows the other one", () => {
  const key = new FlowKey().setIpv4(3, 17, GUEST, 4000, GATEWAY, 80);
  const mapping = new FlowKey().setMapping(key);
  assertEquals([mapping.guest, mapping.protocol, `${mapping.guestAddress}`, mapping.guestPort], [
    3,
    17,
    "10.0.2.15",
    4000,
  ]);
  assert(mapping.equals(new FlowKey().setMapping(key.clone().setIpv4(3, 17, GUEST, 4000, GUEST, 99))));
  assert(!mapping.equals(new FlowKey().setMapping(key.clone().setIpv4(3, 17, GUEST, 4001, GATEWAY, 80))));
  assertEquals(["10.0.2.2", "10.0.2.3", "::10.0.2.2"].map((text) => key.isTo(IpAddress.parse(text))), [
    true,
    false,
    false,
  ]);
});
