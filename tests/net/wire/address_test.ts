import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  Cidr,
  formatEndpoint,
  formatIpv4,
  formatMac,
  IpAddress,
  isGroupMac,
  MAC_BROADCAST,
  parseIpv4,
  parseMac,
  parseZoned,
  readMac,
  writeMac,
} from "../../../net/wire/address.ts";
import { hex, painted, toHex } from "../../support/packet_bytes.ts";

Deno.test("readMac and writeMac carry all 48 bits", () => {
  const bytes = hex("00 52 54 00 12 34 56 00");
  assertStrictEquals(readMac(bytes, 1), 0x525400123456);
  for (const mac of [0, 1, 0x525400123456, 0xfedcba987654, MAC_BROADCAST]) {
    const out = painted(8);
    writeMac(out, 1, mac);
    assertStrictEquals(readMac(out, 1), mac);
    assertEquals([out[0], out[7]], [0xa5, 0xa5]);
  }
});

Deno.test("isGroupMac looks at the first octet's lowest bit", () => {
  assert(isGroupMac(MAC_BROADCAST));
  assert(isGroupMac(parseMac("33:33:00:00:00:16")));
  assert(!isGroupMac(parseMac("52:54:00:12:34:56")));
  assert(!isGroupMac(parseMac("fe:ff:ff:ff:ff:ff")));
});

Deno.test("parseMac reads what formatMac writes, in either case", () => {
  assertStrictEquals(formatMac(0x0a), "00:00:00:00:00:0a");
  assertStrictEquals(parseMac("00:00:00:00:00:0A"), 0x0a);
  assertStrictEquals(formatMac(parseMac("52:55:0a:00:02:02")), "52:55:0a:00:02:02");
});

Deno.test("parseMac refuses anything but six bytes joined by colons", () => {
  for (
    const text of [
      "",
      "52:54:00:12:34",
      "52:54:00:12:34:56:78",
      "52-54-00-12-34-56",
      "5:54:00:12:34:56",
      "zz:zz:zz:zz:zz:zz",
    ]
  ) {
    assertThrows(() => parseMac(text), TypeError, "Cannot parse MAC address");
  }
});

Deno.test("parseZoned reads the interface behind a link-local address, and refuses any other", () => {
  for (const text of ["fe80::1%eth0", "febf::1%2", "fe80::1%veth-1.2_3@x"]) {
    const { address, zone } = parseZoned(text);
    assertStrictEquals(`${address}%${zone}`, text);
  }
  assertEquals(parseZoned("192.0.2.1"), { address: IpAddress.parse("192.0.2.1") });
  const long = "fe80::1%sixteen-letters-",
    empty = ["fe80::1%", "%eth0", "fe80::1%a b", "fe80::1%a%b", "fe80::1%a/b", "fe80::1%a]"];
  for (
    const text of [long, ...empty, "fe80%eth0", "fec0::1%eth0", "fe7f::1%eth0", "2001:db8::1%eth0", "192.0.2.1%eth0"]
  ) {
    assertThrows(() => parseZoned(text), TypeError);
  }
});

Deno.test("parseIpv4 and formatIpv4 keep the top bit unsigned", () => {
  assertStrictEquals(parseIpv4("255.255.255.255"), 0xffffffff);
  assertStrictEquals(parseIpv4("192.168.0.1"), 0xc0a80001);
  assertStrictEquals(formatIpv4(0xc0a80001), "192.168.0.1");
  assertStrictEquals(formatIpv4(0), "0.0.0.0");
});

Deno.test("parseIpv4 refuses other counts, values, leading zeros and spaces", () => {
  for (
    const text of [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "256.0.0.1",
      "01.2.3.4",
      "1.2.3.",
      "1.2.3.-4",
      " 1.2.3.4",
      "0x1.2.3.4",
      "1.2.3.4\n",
    ]
  ) {
    assertThrows(() => parseIpv4(text), TypeError, "Cannot parse IPv4 address");
  }
});

Deno.test("IpAddress.parse reads the forms of RFC 4291 section 2.2", () => {
  const words = (text: string) => {
    const { w0, w1, w2, w3 } = IpAddress.parse(text);
    return [w0, w1, w2, w3];
  };
  assertEquals(words("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789"), [0xabcdef01, 0x23456789, 0xabcdef01, 0x23456789]);
  assertEquals(words("2001:DB8::8:800:200C:417A"), [0x20010db8, 0, 0x00080800, 0x200c417a]);
  assertEquals(words("::"), [0, 0, 0, 0]);
  assertEquals(words("::1"), [0, 0, 0, 1]);
  assertEquals(words("fe80::"), [0xfe800000, 0, 0, 0]);
  assertEquals(words("::13.1.68.3"), [0, 0, 0, 0x0d014403]);
  assertEquals(words("::FFFF:129.144.52.38"), [0, 0, 0xffff, 0x81903426]);
  assertEquals(words("10.0.2.15"), [0, 0, 0xffff, 0x0a00020f]);
});

Deno.test("IpAddress.parse refuses malformed IPv6 text", () => {
  const bad = [
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    "12345::",
    "g::",
    "::1.2.3",
    "::1.2.3.256",
    "1.2.3.4::",
    "fe80::1%eth0",
    ":1:2:3:4:5:6:7",
    "1:",
  ];
  for (const text of bad) assertThrows(() => IpAddress.parse(text), TypeError, "Cannot parse IP", text);
});

Deno.test("IpAddress.toString writes the canonical forms of RFC 5952", () => {
  for (
    const [text, canonical] of [
      ["2001:0db8::0001", "2001:db8::1"],
      ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
      ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:DB8::AAAA", "2001:db8::aaaa"],
      ["0:0:0:0:0:0:0:0", "::"],
      ["1:0:0:0:0:0:0:0", "1::"],
      ["::ffff:10.0.2.15", "10.0.2.15"],
    ] as const
  ) assertStrictEquals(IpAddress.parse(text).toString(), canonical);
});

Deno.test("IpAddress.fromBytes and writeTo carry 4 or 16 bytes", () => {
  for (const text of ["10.0.2.15", "255.255.255.255", "2001:db8::8:800:200c:417a", "::1"]) {
    const address = IpAddress.parse(text);
    const out = painted(18);
    const length = address.writeTo(out, 1);
    assertStrictEquals(length, address.isIpv4 ? 4 : 16);
    assert(IpAddress.fromBytes(out.subarray(1, 1 + length)).equals(address));
    assertStrictEquals(toHex(out, 1 + length), "a5".repeat(17 - length));
  }
});

Deno.test("IpAddress.fromBytes refuses other lengths", () => {
  for (const length of [0, 3, 5, 15, 17]) assertThrows(() => IpAddress.fromBytes(painted(length)), RangeError);
});

Deno.test("IpAddress takes mapped bytes for the IPv4 address they stand for", () => {
  const mapped = IpAddress.fromBytes(hex("0000 0000 0000 0000 0000 ffff 0a00 020f"));
  assert(mapped.isIpv4);
  assert(mapped.equals(IpAddress.fromIpv4(0x0a00020f)));
  assertStrictEquals(mapped.ipv4, 0x0a00020f);
});

Deno.test("IpAddress.isUnspecified is true of :: and 0.0.0.0 alone", () => {
  for (const none of ["::", "0.0.0.0", "::ffff:0.0.0.0"]) assert(IpAddress.parse(none).isUnspecified, none);
  for (const other of ["::1", "1::", "0:1::", "::1:0:0", "::fffe:0:0", "0.0.0.1", "255.255.255.255"]) {
    assert(!IpAddress.parse(other).isUnspecified, other);
  }
});

Deno.test("IpAddress.equals sees a difference in every word", () => {
  const address = IpAddress.parse("1:2:3:4:5:6:7:8");
  assert(address.equals(IpAddress.parse("1:2:3:4:5:6:7:8")));
  for (const other of ["9:2:3:4:5:6:7:8", "1:2:9:4:5:6:7:8", "1:2:3:4:5:9:7:8", "1:2:3:4:5:6:7:9"]) {
    assert(!address.equals(IpAddress.parse(other)), other);
  }
});

Deno.test("formatEndpoint puts brackets around IPv6 alone", () => {
  assertStrictEquals(formatEndpoint(IpAddress.parse("10.0.2.15"), 80), "10.0.2.15:80");
  assertStrictEquals(formatEndpoint(IpAddress.parse("::1"), 80), "[::1]:80");
});

Deno.test("Cidr.contains honours prefixes inside and between words", () => {
  const inside = (cidr: string, address: string) => Cidr.parse(cidr).contains(IpAddress.parse(address));
  assert(inside("10.0.2.0/24", "10.0.2.255"));
  assert(!inside("10.0.2.0/24", "10.0.3.0"));
  assert(inside("10.0.2.15/24", "10.0.2.1"), "host bits do not matter");
  assert(inside("0.0.0.0/0", "255.255.255.255"));
  assert(inside("10.0.2.15", "10.0.2.15"));
  assert(!inside("10.0.2.15/32", "10.0.2.14"));
  assert(inside("128.0.0.0/1", "255.0.0.0"));
  assert(!inside("128.0.0.0/1", "127.255.255.255"));
  assert(inside("2001:db8::/33", "2001:db8:7fff::"));
  assert(!inside("2001:db8::/33", "2001:db8:8000::"));
  assert(inside("2001:db8:1:2::/64", "2001:db8:1:2:ffff::1"));
  assert(!inside("2001:db8:1:2::/64", "2001:db8:1:3::1"));
  assert(!inside("::1/128", "::2"));
});

Deno.test("Cidr.network drops host bits inside and between words, and the address's own where there are none", () => {
  const networks: [string, string][] = [
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["10.1.2.255/25", "10.1.2.128/25"],
    ["255.255.255.255/1", "128.0.0.0/1"],
    ["10.1.2.3/0", "0.0.0.0/0"],
    ["10.1.2.3/32", "10.1.2.3/32"],
    ["2001:db8:ffff:ffff::1/33", "2001:db8:8000::/33"],
    ["2001:db8::ffff:ffff:ffff/95", "2001:db8::fffe:0:0/95"],
    ["ffff::1/0", "::/0"],
    ["::1/128", "::1/128"],
  ];
  for (const [text, network] of networks) assertEquals(`${Cidr.parse(text).network}`, network, text);
});

Deno.test("Cidr.contains keeps the families apart", () => {
  assert(!Cidr.parse("::/0").contains(IpAddress.parse("10.0.2.15")));
  assert(!Cidr.parse("0.0.0.0/0").contains(IpAddress.parse("::1")));
});

Deno.test("Cidr.parse refuses prefix lengths that the family does not have, and other text", () => {
  assertThrows(() => Cidr.parse("10.0.2.0/33"), RangeError, "it must be from 0 to 32");
  assertThrows(() => Cidr.parse("::/129"), RangeError, "it must be from 0 to 128");
  for (const text of ["10.0.2.0/", "10.0.2.0/-1", "10.0.2.0/a", "10.0.2.0/1.5", "/24", "10.0.2/24", "10.0.2.0/24/8"]) {
    assertThrows(() => Cidr.parse(text), TypeError, "Cannot parse", text);
  }
});

Deno.test("Cidr.toString writes what parse read", () => {
  assertStrictEquals(Cidr.parse("10.0.2.0/24").toString(), "10.0.2.0/24");
  assertStrictEquals(Cidr.parse("::1").toString(), "::1/128");
});

Deno.test("IpAddress.tryParse reads what parse does, and answers undefined for the rest", () => {
  for (const text of ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"]) {
    assertEquals(IpAddress.tryParse(text), IpAddress.parse(text));
  }
  for (const text of ["", "192.0.2", "192.0.2.1:80", "[::1]", "example.com"]) {
    assertEquals(IpAddress.tryParse(text), undefined);
  }
});
