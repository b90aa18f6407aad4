import { assertEquals, assertThrows } from "@std/assert";
import {
  createTranslationRules,
  parseDns,
  parseMap,
  parseSubnet,
  parseSubnet6,
  TranslationOptionError,
  type TranslationOptions,
} from "../../../nat/rules/translation_options.ts";
import { formatEndpoint, type IpAddress } from "../../../net/wire/address.ts";

/** Checks what `parse` says of each text, a problem alone, as whoever names the option wants it. */
function refuses(parse: (text: string) => unknown, problems: readonly [string, string][]): void {
  for (const [text, problem] of problems) {
    const error = assertThrows(() => parse(text), Error, problem, text);
    assertEquals(/^[a-z0-9:].{8,}[^.]$/.test(error.message) && !error.message.includes("Cannot"), true, error.message);
  }
}

function problemOf(options: TranslationOptions): string {
  const { option, text, problem, message } = assertThrows(
    () => createTranslationRules(options),
    TranslationOptionError,
  );
  assertEquals(message.endsWith(` ${text}: ${problem}`), true, message);
  return `${option} ${text}: ${problem}`;
}

Deno.test("parseSubnet reads an IPv4 network of a /8 to a /27, and says what is wrong with another", () => {
  for (const text of ["10.0.2.0/24", "192.168.5.0/27", "10.0.0.0/8"]) assertEquals(`${parseSubnet(text)}`, text);
  refuses(parseSubnet, [
    ["ten", "it is an IPv4 network, such as 10.0.2.0/24"],
    ["10.0.2.0", "it is an IPv4 network"],
    ["10.0.2.0/", "it is an IPv4 network"],
    ["10.0.2.0/33", "it is an IPv4 network"],
    ["10.0.2/24", "it is an IPv4 network"],
    ["fd00::/64", "it is an IPv4 network"],
    ["::ffff:10.0.2.0/120", "it is an IPv4 network"],
    ["10.0.2.0/28", "it is too small, at least a /27 is needed, such as 10.0.2.0/27"],
    ["10.0.2.5/28", "it is too small, at least a /27 is needed, such as 10.0.2.0/27"],
    ["10.0.0.0/7", "it is too large, at most a /8 will do"],
    ["0.0.0.0/0", "it is too large"],
    ["10.0.2.5/24", "it names an address in a network, write 10.0.2.0/24"],
    ["0.0.0.0/8", "it shares 0.0.0.0/8 (this host on this network), take one such as 10.0.2.0/24"],
    ["127.0.0.1/24", "it shares 127.0.0.0/8 (loopback), take one such as 10.0.2.0/24"],
    ["127.9.9.0/24", "it shares 127.0.0.0/8 (loopback)"],
    ["224.0.0.0/24", "it shares 224.0.0.0/4 (multicast)"],
    ["255.255.255.0/24", "it shares 240.0.0.0/4"],
  ]);
});

Deno.test("parseSubnet6 reads an IPv6 /64, and says what is wrong with another network", () => {
  for (const text of ["fd00::/64", "2001:db8:1:2::/64"]) assertEquals(`${parseSubnet6(text)}`, text);
  refuses(parseSubnet6, [
    ["fd00::", "it is an IPv6 network of 64 bits, such as fd00::/64"],
    ["10.0.2.0/24", "it is an IPv6 network"],
    ["[fd00::]/64", "it is an IPv6 network"],
    ["fd00::/129", "it is an IPv6 network"],
    ["fd00::/48", "its prefix is /64, such as fd00::/64"],
    ["fd00::/65", "its prefix is /64"],
    ["fd00::1/64", "it names an address in a network, write fd00::/64"],
    ["fd00::1/48", "its prefix is /64, such as fd00::/64"],
    ["::1/64", "it shares ::1/128 (loopback), take one such as fd00::/64"],
    ["fe80::1/64", "it shares fe80::/10 (link-local), take one such as fd00::/64"],
    ["::/64", "it shares ::1/128 (loopback), take one such as fd00::/64"],
    ["ff02::/64", "it shares ff00::/8 (multicast)"],
    ["fe80::/64", "it shares fe80::/10 (link-local)"],
    ["2002:a00::/64", "it shares 2002::/16 (6to4), take one such as fd00::/64"],
    ["64:ff9b::/64", "it shares 64:ff9b::/96 (NAT64)"],
    ["64:ff9b:1:2::/64", "it shares 64:ff9b:1::/48 (local NAT64)"],
    ["2001:0:1:2::/64", "it shares 2001::/32 (Teredo)"],
  ]);
});

Deno.test("parseDns reads an address with or without a port, or none", () => {
  const read = (text: string) => {
    const server = parseDns(text);
    return server === null ? "none" : formatEndpoint(server.address, server.port);
  };
  assertEquals(["none", "192.0.2.53", "192.0.2.53:5353", "::1", "[::1]", "[2001:db8::53]:5353"].map(read), [
    "none",
    "192.0.2.53:53",
    "192.0.2.53:5353",
    "[::1]:53",
    "[::1]:53",
    "[2001:db8::53]:5353",
  ]);
  // A link-local address is one only with its interface.
  for (const text of ["fe80::1%eth0", "[fe80::1%eth0]:5353"]) {
    const { address, port, zone } = parseDns(text)!;
    assertEquals([`${address}`, port, zone], ["fe80::1", text.startsWith("[") ? 5353 : 53, "eth0"]);
  }
  const shape = "it is ADDR, ADDR:PORT or none, such as 192.0.2.53:5353 or [2001:db8::53]:53";
  refuses(parseDns, [
    ...["localhost", "[127.0.0.1]:53", "[::1]x", "[::1", "1.2.3", "", "None"].map((
      text,
    ): [string, string] => [text, shape]),
    ...["127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:5e1", "[::1]:", "[::1]:dns"].map(
      (text): [string, string] => [text, "its port is a whole number from 1 to 65535"],
    ),
    ["0.0.0.0", "0.0.0.0/8 (this host on this network) is never relayed, lead to another address"],
    ["ff02::fb", "ff00::/8 (multicast) is never relayed"],
    ["fe80::1", "fe80::/10 (link-local) is never relayed"],
    ["2001:db8::1%eth0", shape],
  ]);
});

Deno.test("parseMap reads two addresses of either family, and refuses what is never relayed", () => {
  for (const text of ["10.0.2.100=127.0.0.1", "fd00::100=::1", "10.0.2.100=::1", "2001:db8::1=127.0.0.1"]) {
    const { guest, host } = parseMap(text);
    assertEquals(`${guest}=${host}`, text);
  }
  const shape = "it is GUESTADDR=HOSTADDR, such as 10.0.2.100=127.0.0.1 or fd00::100=::1";
  refuses(parseMap, [
    ...[
      "10.0.2.100",
      "10.0.2.100=",
      "=127.0.0.1",
      "a=b",
      "10.0.2.100=localhost",
      "10.0.2.100=127.0.0.1=1",
      "[fd00::1]=::1",
    ]
      .map((text): [string, string] => [text, shape]),
    ["127.0.0.1=127.0.0.2", "a guest's packets to 127.0.0.0/8 (loopback) are never relayed, map another one"],
    ["::1=127.0.0.1", "a guest's packets to ::1/128 (loopback) are never relayed"],
    ["::10.0.2.50=127.0.0.1", "a guest's packets to ::/96"],
    ["10.0.2.50=0.0.0.0", "0.0.0.0/8 (this host on this network) is never relayed, lead to another address"],
    ["10.0.2.50=::127.0.0.1", "::/96 (unspecified, and IPv4-compatible) is never relayed"],
    ["10.0.2.50=2002:7f00:1::", "127.0.0.0/8 in 2002:7f00:1:: (loopback) is never relayed"],
    ["fe80::1=::1", "a guest's packets to fe80::/10 (link-local) are never relayed"],
    ["10.0.2.50=224.0.0.1", "224.0.0.0/4 (multicast) is never relayed"],
  ]);
});

Deno.test("createTranslationRules gives both families, or the one that is asked for", () => {
  const places = (options?: TranslationOptions) => {
    const { ipv4, ipv6 } = createTranslationRules(options);
    return `${ipv4?.gateway} ${ipv6?.gateway}`;
  };
  assertEquals(places(), "10.0.2.2 fd00::2");
  assertEquals(places({ subnet: "10.9.0.0/16", subnet6: "fd01::/64", families: "both" }), "10.9.0.2 fd01::2");
  assertEquals(places({ families: "ipv4" }), "10.0.2.2 undefined");
  assertEquals(places({ families: "ipv6" }), "undefined fd00::2");
});

Deno.test("createTranslationRules names the option and the text that it cannot follow", () => {
  assertEquals(problemOf({ subnet: "ten" }), "subnet ten: it is an IPv4 network, such as 10.0.2.0/24");
  assertEquals(problemOf({ subnet6: "fd00::/63" }), "subnet6 fd00::/63: its prefix is /64, such as fd00::/64");
  assertEquals(problemOf({ gatewayTargets: [] }), "gatewayTargets []: the list is empty");
  assertEquals(
    problemOf({ gatewayTargets: ["127.0.0.1", "here"] }),
    "gatewayTargets here: it is an address of the host, such as 127.0.0.1 or ::1",
  );
  assertEquals(problemOf({ dnsServers: ["::1", "::1:"] }).startsWith("dnsServers ::1:: it is ADDR"), true);
  assertEquals(
    problemOf({ nat64: true, families: "ipv4" }),
    "nat64 with -4: it gives IPv4 to guests by way of IPv6, leave out one of them",
  );
  assertThrows(() => createTranslationRules({ subnet: "ten" }), RangeError, "Cannot use subnet ten: it is an IPv4");
});

Deno.test("createTranslationRules refuses maps of addresses that are taken, and maps that --no-host forbids", () => {
  const maps = (...texts: string[]) => problemOf({ maps: texts });
  assertEquals(
    maps("10.0.2.3=127.0.0.1"),
    "maps 10.0.2.3=127.0.0.1: 10.0.2.3 is the DNS server's address, take another one",
  );
  assertEquals(maps("fd00::3=127.0.0.1").endsWith("fd00::3 is the DNS server's address, take another one"), true);
  assertEquals(maps("10.0.2.15=127.0.0.1").endsWith("10.0.2.15 is the guest's own address, take another one"), true);
  assertEquals(maps("fd00::15=::1").endsWith("fd00::15 is the guest's own address, take another one"), true);
  for (const text of ["10.0.2.0", "10.0.2.255"]) {
    assertEquals(maps(`${text}=::1`).endsWith(`${text} is the address of all of 10.0.2.0/24, take another one`), true);
  }
  assertEquals(
    maps("10.0.2.50=127.0.0.1", "10.0.2.50=127.0.0.2"),
    "maps 10.0.2.50=127.0.0.2: 10.0.2.50 is mapped already, once is enough",
  );
  assertEquals(maps("fd00:0::50=::1", "fd00::50=::1").endsWith("fd00::50 is mapped already, once is enough"), true);
  const hostAddresses = { version: () => 0, has: (address: IpAddress) => `${address}` === "192.0.2.9" };
  assertEquals(
    problemOf({ hostAddresses, maps: ["10.0.2.50=192.0.2.9", "10.0.2.51=::1"] }),
    "maps 10.0.2.51=::1: it leads to the host, which --no-host forbids, leave out one of them",
  );
  const { maps: taken } = createTranslationRules({ maps: ["10.0.2.2=127.0.0.9", "fd00::2=127.0.0.9"] });
  assertEquals(taken.length, 2, "the gateway's own address may be mapped");
});
