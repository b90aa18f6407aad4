import { assert, assertEquals } from "@std/assert";
import {
  familyOf,
  findForbiddenTarget,
  findReserved,
  ipv4Inside,
  isLoopback,
  NEVER_RELAYED,
} from "../../../nat/rules/policy.ts";
import { IpAddress } from "../../../net/wire/address.ts";

function asked(family: 4 | 6, text: string): string | undefined {
  return findReserved(family, IpAddress.parse(text))?.rule;
}
function target(text: string): string | undefined {
  return findForbiddenTarget(IpAddress.parse(text))?.rule;
}

Deno.test("findReserved holds both ends of every IPv4 range and nothing beside them", () => {
  const ends: [string, string, string][] = [
    ["0.0.0.0/8", "0.0.0.0", "0.255.255.255"],
    ["127.0.0.0/8", "127.0.0.0", "127.255.255.255"],
    ["224.0.0.0/4", "224.0.0.0", "239.255.255.255"],
    ["240.0.0.0/4", "240.0.0.0", "255.255.255.255"],
  ];
  for (const [rule, first, last] of ends) assertEquals([asked(4, first), asked(4, last)], [rule, rule]);
  for (const text of ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "8.8.8.8", "10.0.2.2"]) {
    assertEquals(asked(4, text), undefined, text);
  }
});

Deno.test("findReserved holds every IPv4-mapped and -compatible form in an IPv6 packet", () => {
  for (const four of ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.2.9", "8.8.8.8"]) {
    assertEquals(asked(6, `::ffff:${four}`), "::ffff:0:0/96", four);
    assert(asked(6, `::${four}`) === "::/96", four);
  }
  assertEquals([asked(6, "::"), asked(6, "::1"), asked(6, "::2")], ["::/96", "::1/128", "::/96"]);
  assertEquals([asked(6, "ff02::1"), asked(6, "fe80::1"), asked(6, "febf::1")], ["ff00::/8", "fe80::/10", "fe80::/10"]);
});

Deno.test("findReserved lets IPv6 addresses pass that only look alike", () => {
  for (const text of ["::1:0:0", "::fffe:7f00:1", "1::ffff:7f00:1", "2001:db8::127.0.0.1", "fec0::1", "fd00::2"]) {
    assertEquals(asked(6, text), undefined, text);
  }
});

Deno.test("findReserved matches by the packet's family, not by the form that IpAddress holds", () => {
  const mapped = IpAddress.parse("::ffff:8.8.8.8");
  assertEquals(findReserved(4, mapped), undefined);
  assertEquals(findReserved(6, mapped)?.what, "IPv4-mapped");
});

/** IPv6 addresses that hold this IPv4 address. */
function holding(four: string): string[] {
  const number = IpAddress.parse(four).ipv4, high = number >>> 16, low = number & 0xffff;
  const hex = (word: number) => word.toString(16), byte = (shift: number) => (number >>> shift) & 255;
  return [
    `64:ff9b::${hex(high)}:${hex(low)}`,
    `2002:${hex(high)}:${hex(low)}::1`,
    `2001:0:${hex(high)}:${hex(low)}::f7f7:f7f7`,
    `2001:0:808:808::${hex(high ^ 0xffff)}:${hex(low ^ 0xffff)}`,
    // RFC 6052 section 2.2: prefixes of 96, 48, 56 and 64 bits.
    `64:ff9b:1::${hex(high)}:${hex(low)}`,
    `64:ff9b:1:${hex(high)}:${hex(byte(8))}:${hex(byte(0) << 8)}::`,
    `64:ff9b:1:${hex(byte(24))}:${hex(byte(16))}:${hex(low)}::`,
    `64:ff9b:1:0:${hex(byte(24))}:${hex((byte(16) << 8) | byte(8))}:${hex(byte(0) << 8)}:0`,
  ];
}

Deno.test("ipv4Inside finds the IPv4 address in every IPv6 address that holds one", () => {
  const inside = (text: string) => ipv4Inside(IpAddress.parse(text)).map(String);
  for (const four of ["8.8.4.4", "198.51.100.7", "10.0.2.9", "127.0.0.1", "224.0.0.251", "255.255.255.255"]) {
    for (const text of holding(four)) assert(inside(text).includes(four), `${text} of ${four}: ${inside(text)}`);
  }
  for (
    const text of ["2001:db8::1", "2003::1", "2001:1::1", "64:ff9b::1:0:0", "64:ff9b:2::1", "fd00::127.0.0.1", "::1"]
  ) {
    assertEquals(inside(text), [], text);
  }
  assertEquals(inside("64:ff9b:1::8.8.8.8"), ["8.8.8.8"], "what other lengths read in a prefix of 96 bits is nothing");
  assertEquals(inside("64:ff9b:1:0:100::8.8.8.8"), ["8.8.8.8"], "the octet behind 64 bits is not zero");
});

Deno.test("findReserved and findForbiddenTarget refuse IPv4 in disguise that they would refuse as it is", () => {
  for (const four of ["127.0.0.1", "224.0.0.251", "240.0.0.1", "255.255.255.255"]) {
    for (const text of holding(four)) {
      assert(asked(6, text)?.includes("/"), text);
      assert(target(text)?.endsWith(` in ${IpAddress.parse(text)}`), text);
    }
  }
  assertEquals(asked(6, "2002:7f00:1::9"), "127.0.0.0/8 in 2002:7f00:1::9");
  assertEquals(asked(6, "64:ff9b::"), "0.0.0.0/8 in 64:ff9b::");
  for (const text of holding("8.8.4.4")) assertEquals([asked(6, text), target(text)], [undefined, undefined], text);
});

Deno.test("findForbiddenTarget allows loopback and refuses every other range", () => {
  for (const text of ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "10.0.0.1", "2001:db8::1"]) {
    assertEquals(target(text), undefined, text);
  }
  assertEquals(
    ["0.0.0.0", "0.1.2.3", "224.0.0.251", "255.255.255.255", "::", "::127.0.0.1", "ff02::1"].map(target),
    ["0.0.0.0/8", "0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/96", "::/96", "ff00::/8"],
  );
});

Deno.test("isLoopback knows 127.0.0.0/8 and ::1 and no other", () => {
  const loopback = (text: string) => isLoopback(IpAddress.parse(text));
  assertEquals(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].map(loopback), [true, true, true, true]);
  assertEquals(["126.0.0.1", "0.0.0.0", "::", "::2", "::127.0.0.1"].map(loopback), Array(5).fill(false));
});

Deno.test("familyOf counts the mapped form as IPv4", () => {
  assertEquals(["1.2.3.4", "::ffff:1.2.3.4", "::1.2.3.4"].map((text) => familyOf(IpAddress.parse(text))), [4, 4, 6]);
});

Deno.test("NEVER_RELAYED names an RFC for each range", () => {
  for (const { rule, what, source } of NEVER_RELAYED) {
    assert(/^RFC \d+/.test(source) && what.length > 0 && rule.includes("/"), rule);
  }
});
