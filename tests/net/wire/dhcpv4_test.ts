import { assert, assertEquals, assertLess, assertStrictEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parseIpv4, parseMac } from "../../../net/wire/address.ts";
import {
  BOOTP,
  checkBootp,
  checkDhcpv4,
  decodeBootp,
  decodeDhcpv4,
  DHCP_ACK,
  DHCP_BOOT_REPLY,
  DHCP_BOOT_REQUEST,
  DHCP_DISCOVER,
  DHCP_NAK,
  DHCP_OFFER,
  DHCP_REQUEST,
  type DhcpFields,
  dhcpv4ClientMac,
  dhcpv4Operation,
  dhcpv4TransactionId,
  encodeDhcpv4,
  formatDhcpv4,
} from "../../../net/wire/dhcpv4.ts";
import {
  assertEncodes,
  assertRefused,
  assertRefusesEveryShorter,
  hex,
  painted,
  placed,
  toHex,
} from "../../support/packet_bytes.ts";

const DOORS = { layer: "dhcpv4", check: checkDhcpv4, decode: decodeDhcpv4 };
const ZERO_NAMES = "00".repeat(64 + 128);
const CLIENT = parseMac("00:0b:82:01:fc:42");

/** The first two messages of a published exchange (their UDP checksums are 0x591f and 0x2233). */
const DISCOVER = "01 01 06 00 00 00 3d 1d 00 00 00 00" + "00".repeat(16) + "00 0b 82 01 fc 42" + "00".repeat(10) +
  ZERO_NAMES + "63 82 53 63 35 01 01 3d 07 01 00 0b 82 01 fc 42 32 04 00 00 00 00 37 04 01 03 06 2a ff";
const OFFER = "02 01 06 00 00 00 3d 1d 00 00 00 00 00 00 00 00 c0 a8 00 0a c0 a8 00 01 00 00 00 00 00 0b 82 01 fc 42" +
  "00".repeat(10) + ZERO_NAMES + "63 82 53 63 35 01 02 01 04 ff ff ff 00 3a 04 00 00 07 08 3b 04 00 00 0c 4e " +
  "33 04 00 00 0e 10 36 04 c0 a8 00 01 ff" + "00".repeat(26);

/** A request with these option bytes after the cookie; `names` fills the server name and boot file fields. */
function request(options: string, names: string = ZERO_NAMES): Uint8Array {
  return hex(
    "01 01 06 00 12 34 56 78 00 05 80 00" + "00".repeat(16) + "52 54 00 12 34 56" + "00".repeat(10) + names +
      "63 82 53 63" + options,
  );
}

/** `text` filled up with zeros to `length` bytes. */
function field(text: string, length: number): string {
  return text.replaceAll(" ", "").padEnd(length * 2, "0");
}

const MINIMAL: DhcpFields = {
  operation: DHCP_BOOT_REPLY,
  transactionId: 1,
  clientMac: CLIENT,
  messageType: DHCP_ACK,
};

function roundTrip(fields: DhcpFields): ReturnType<typeof decodeDhcpv4> {
  const out = painted(2000);
  const length = encodeDhcpv4(out, 3, fields);
  return decodeDhcpv4(out, 3, 3 + length);
}

Deno.test("dhcpv4 getters read the fixed fields at an offset", () => {
  const bytes = hex(`ff ff ff ${DISCOVER}`);
  assert(checkDhcpv4(bytes, 3, bytes.length));
  assertStrictEquals(dhcpv4Operation(bytes, 3), DHCP_BOOT_REQUEST);
  assertStrictEquals(dhcpv4TransactionId(bytes, 3), 0x3d1d);
  assertStrictEquals(dhcpv4ClientMac(bytes, 3), CLIENT);
});

Deno.test("decodeDhcpv4 reads a published discover", () => {
  assertEquals(decodeDhcpv4(hex(`ff ${DISCOVER} 00 00 00 00 00 00 00`), 1), {
    operation: DHCP_BOOT_REQUEST,
    transactionId: 0x3d1d,
    clientMac: CLIENT,
    messageType: DHCP_DISCOVER,
    seconds: 0,
    broadcast: false,
    clientAddress: 0,
    yourAddress: 0,
    nextServer: 0,
    relayAddress: 0,
    serverName: "",
    bootFile: "",
    clientId: Uint8Array.of(1, 0x00, 0x0b, 0x82, 0x01, 0xfc, 0x42),
    requestedAddress: 0,
    parameterList: [1, 3, 6, 42],
    otherOptions: [],
  });
});

Deno.test("decodeDhcpv4 reads a published offer", () => {
  const message = decodeDhcpv4(hex(OFFER));
  assertEquals([message.operation, message.messageType], [DHCP_BOOT_REPLY, DHCP_OFFER]);
  assertEquals([message.yourAddress, message.nextServer], [parseIpv4("192.168.0.10"), parseIpv4("192.168.0.1")]);
  assertEquals([message.serverId, message.subnetMask], [parseIpv4("192.168.0.1"), parseIpv4("255.255.255.0")]);
  assertEquals([message.leaseSeconds, message.renewalSeconds, message.rebindingSeconds], [3600, 1800, 3150]);
});

Deno.test("decodeDhcpv4 reads seconds, the broadcast flag and names", () => {
  const names = field("6e 65 78 74", 64) + field("62 6f 6f 74", 128);
  const message = decodeDhcpv4(request("35 01 03 0c 05 67 75 65 73 74 ff", names));
  assertEquals([message.seconds, message.broadcast, message.messageType], [5, true, DHCP_REQUEST]);
  assertEquals([message.serverName, message.bootFile, message.hostName], ["next", "boot", "guest"]);
});

Deno.test("decodeDhcpv4 gives absent options no property", () => {
  const message = decodeDhcpv4(request("35 01 01 ff"));
  for (const name of ["serverId", "leaseSeconds", "hostName", "clientId", "parameterList", "mtu", "message"]) {
    assert(!(name in message), name);
  }
});

Deno.test("encodeDhcpv4 writes the offer of the published exchange, its options in an order of its own", () => {
  const options =
    "35 01 02 36 04 c0 a8 00 01 33 04 00 00 0e 10 3a 04 00 00 07 08 3b 04 00 00 0c 4e 01 04 ff ff ff 00 ff";
  const expected = OFFER.replaceAll(" ", "").slice(0, 480) + field(options, 60);
  assertEncodes(expected, (bytes, offset) =>
    encodeDhcpv4(bytes, offset, {
      operation: DHCP_BOOT_REPLY,
      transactionId: 0x3d1d,
      clientMac: CLIENT,
      messageType: DHCP_OFFER,
      yourAddress: parseIpv4("192.168.0.10"),
      nextServer: parseIpv4("192.168.0.1"),
      serverId: parseIpv4("192.168.0.1"),
      subnetMask: 0xffffff00,
      leaseSeconds: 3600,
      renewalSeconds: 1800,
      rebindingSeconds: 3150,
    }));
});

Deno.test("encodeDhcpv4 writes every option as RFC 2132 numbers them", () => {
  const out = painted(400);
  const length = encodeDhcpv4(out, 0, {
    ...MINIMAL,
    seconds: 0x0102,
    broadcast: true,
    clientAddress: 0x0a00020f,
    relayAddress: 0x0a000201,
    routers: [0x0a000202, 0x0a000204],
    dnsServers: [0x0a000203],
    domainName: "lan",
    hostName: "guest",
    mtu: 65520,
    requestedAddress: 0x0a00020f,
    clientId: Uint8Array.of(0, 1),
    parameterList: [1, 3],
    message: "no",
    otherOptions: [{ code: 80, data: new Uint8Array(0) }, { code: 252, data: Uint8Array.of(9) }],
  });
  assertStrictEquals(toHex(out, 8, 16), "010280000a00020f");
  assertStrictEquals(toHex(out, 24, 28), "0a000201");
  const options = "350105 03080a0002020a000204 06040a000203 0f036c616e 0c056775657374 1a02fff0 32040a00020f 3d020001 " +
    "37020103 38026e6f 5000 fc0109 ff";
  assertStrictEquals(toHex(out, 240, length), options.replaceAll(" ", "").padEnd((length - 240) * 2, "0"));
});

Deno.test("encodeDhcpv4 pads to 300 bytes with zeros and no further", () => {
  const out = painted(310);
  assertStrictEquals(encodeDhcpv4(out, 4, MINIMAL), 300);
  assertStrictEquals(toHex(out, 244, 310), "350105ff" + "00".repeat(56) + "a5".repeat(6));
  assertStrictEquals(toHex(out, 0, 4), "a5".repeat(4));
});

Deno.test("what encodeDhcpv4 wrote, decodeDhcpv4 reads", () => {
  const fields = {
    ...MINIMAL,
    seconds: 7,
    broadcast: true,
    clientAddress: 1,
    yourAddress: 0xffffffff,
    nextServer: 2,
    relayAddress: 3,
    serverName: "s".repeat(63),
    bootFile: "f".repeat(127),
    serverId: 0xfffffffe,
    requestedAddress: 5,
    leaseSeconds: 0xffffffff,
    renewalSeconds: 6,
    rebindingSeconds: 7,
    subnetMask: 0xffffff00,
    routers: [8],
    dnsServers: [9, 10],
    domainName: "example.org",
    hostName: "gäst",
    mtu: 1500,
    parameterList: [1, 3, 6],
    clientId: Uint8Array.of(1, 2, 3),
    message: "why",
    otherOptions: [{ code: 252, data: Uint8Array.of(1) }],
  };
  assertEquals(roundTrip(fields), fields);
});

Deno.test("an option of more than 255 bytes is split and joined again (RFC 3396)", () => {
  const dnsServers = Array.from({ length: 100 }, (_, i) => 0x0a000000 + i);
  const message = "x".repeat(511);
  const decoded = roundTrip({ ...MINIMAL, dnsServers, message });
  assertEquals([decoded.dnsServers, decoded.message], [dnsServers, message]);
});

Deno.test("encodeDhcpv4 throws where there is no room, and writes nothing", () => {
  const out = painted(302);
  assertThrows(
    () => encodeDhcpv4(out, 3, MINIMAL),
    RangeError,
    "Cannot encode DHCP message: 300 bytes do not fit in 299",
  );
  assertStrictEquals(toHex(out), "a5".repeat(302));
});

Deno.test("encodeDhcpv4 throws for a name that leaves no room for its terminator", () => {
  const out = painted(400);
  assertThrows(
    () => encodeDhcpv4(out, 0, { ...MINIMAL, serverName: "s".repeat(64) }),
    RangeError,
    "64 bytes is over 63",
  );
  assertThrows(
    () => encodeDhcpv4(out, 0, { ...MINIMAL, bootFile: "f".repeat(128) }),
    RangeError,
    "128 bytes is over 127",
  );
});

Deno.test("dhcpv4 refuses a message truncated at every length", () => {
  assertRefusesEveryShorter(DOORS, hex(DISCOVER));
});

Deno.test("dhcpv4 refuses another operation, hardware, hardware length or cookie", () => {
  for (const [at, value] of [[0, 0], [0, 3], [1, 6], [2, 16], [2, 0], [236, 0], [239, 0x64]] as const) {
    const bytes = hex(DISCOVER);
    bytes[at] = value;
    assertRefused(DOORS, bytes);
  }
});

Deno.test("dhcpv4 refuses a message without a type, or with a type of two bytes", () => {
  for (const options of ["ff", "0c 01 61 ff", "35 00 ff", "35 02 01 01 ff", "35 01 01 35 01 01 ff"]) {
    assertStringIncludes(assertRefused(DOORS, request(options)).message, "message type");
  }
});

Deno.test("dhcpv4 refuses options without an end, and one past the end", () => {
  assertStringIncludes(assertRefused(DOORS, request("35 01 01")).message, "the end option is missing");
  assertStringIncludes(assertRefused(DOORS, request("35 01 01 00 00 00")).message, "the end option is missing");
  for (const options of ["35 01 01 0c", "35 01 01 0c ff", "35 01 01 0c 02 61", "35 01 01 37 ff ff"]) {
    const bytes = request(options), error = assertRefused(DOORS, bytes);
    assertStringIncludes(error.message, "goes past the end");
    assertLess(bytes.length, error.needed);
  }
});

Deno.test("dhcpv4 refuses known options of impossible length", () => {
  const bad = [
    "36 03 000000",
    "32 05 0000000000",
    "33 00",
    "3a 02 0000",
    "3b 08 0000000000000000",
    "01 03 ffffff",
    "03 00",
  ];
  bad.push(
    "03 06 000000000000",
    "06 03 000000",
    "1a 01 05",
    "1a 03 050505",
    "0c 00",
    "0f 00",
    "37 00",
    "3d 00",
    "38 00",
  );
  for (const option of bad) {
    const code = parseInt(option.slice(0, 2), 16);
    const error = assertRefused(DOORS, request(`35 01 01 ${option} ff`));
    assertStringIncludes(error.message, `option ${code} has a length of`);
  }
});

Deno.test("dhcpv4 takes pad options anywhere and ignores what follows the end", () => {
  const message = decodeDhcpv4(request("00 35 01 01 00 00 0c 01 61 ff 36 01 ff ff"));
  assertEquals([message.messageType, message.hostName, "serverId" in message], [DHCP_DISCOVER, "a", false]);
});

Deno.test("dhcpv4 keeps unknown options as bytes of its own", () => {
  const bytes = request("35 01 01 52 03 01 02 03 50 00 ff");
  const message = decodeDhcpv4(bytes);
  bytes.fill(0);
  assertEquals(message.otherOptions, [
    { code: 82, data: Uint8Array.of(1, 2, 3) },
    { code: 80, data: new Uint8Array(0) },
  ]);
});

Deno.test("dhcpv4 takes text with its terminator, and bytes that are no UTF-8", () => {
  assertStrictEquals(decodeDhcpv4(request("35 01 01 0c 03 61 62 00 ff")).hostName, "ab");
  assertStrictEquals(decodeDhcpv4(request("35 01 01 0c 02 61 ff ff")).hostName, "a\ufffd");
});

Deno.test("dhcpv4 goes on in the boot file, then the server name, where the overload says so", () => {
  const name = field("0c 01 63 ff", 64), file = field("35 01 01 0c 01 62 ff", 128);
  const both = decodeDhcpv4(request("34 01 03 0c 01 61 ff", name + file));
  assertEquals([both.messageType, both.hostName, both.serverName, both.bootFile], [DHCP_DISCOVER, "abc", "", ""]);
  const fileAlone = decodeDhcpv4(request("34 01 01 ff", field("6e", 64) + file));
  assertEquals([fileAlone.hostName, fileAlone.serverName, fileAlone.bootFile], ["b", "n", ""]);
  const nameAlone = decodeDhcpv4(request("35 01 01 34 01 02 ff", name + field("66", 128)));
  assertEquals([nameAlone.hostName, nameAlone.serverName, nameAlone.bootFile], ["c", "", "f"]);
  assertEquals(both.otherOptions, []);
});

Deno.test("dhcpv4 does not follow an overload inside an overloaded field", () => {
  const file = field("35 01 01 34 01 02 ff", 128);
  const message = decodeDhcpv4(request("34 01 01 ff", field("6e", 64) + file));
  assertEquals([message.serverName, message.otherOptions], ["n", []]);
});

Deno.test("dhcpv4 refuses an overload of another value, and an overloaded field without an end", () => {
  for (const overload of ["34 01 00", "34 01 04", "34 00", "34 02 01 01", "34 02 03 00"]) {
    assertStringIncludes(assertRefused(DOORS, request(`35 01 01 ${overload} ff`)).message, "option overload");
  }
  assertStringIncludes(assertRefused(DOORS, request("35 01 01 34 01 01 ff")).message, "boot file field");
  assertStringIncludes(assertRefused(DOORS, request("35 01 01 34 01 02 ff")).message, "server name field");
  const overrun = field("", 64) + field("", 126) + "0c01";
  assertStringIncludes(assertRefused(DOORS, request("35 01 01 34 01 01 ff", overrun)).message, "boot file field");
});

Deno.test("dhcpv4 reads 64 KiB of one-byte pieces in linear time", () => {
  const pieces = 21000, options = new Uint8Array(3 + pieces * 3 + 1);
  options.set([53, 1, 1]);
  for (let i = 0; i < pieces; i++) options.set([12, 1, 97], 3 + i * 3);
  options[options.length - 1] = 255;
  const head = request(""), bytes = new Uint8Array(head.length + options.length);
  bytes.set(head);
  bytes.set(options, head.length);
  const begin = performance.now();
  assertStrictEquals(decodeDhcpv4(placed(bytes)).hostName?.length, pieces);
  assertLess(performance.now() - begin, 1000);
});

Deno.test("formatDhcpv4 is one line, and quotes what a guest wrote", () => {
  assertStrictEquals(
    formatDhcpv4(decodeDhcpv4(hex(OFFER))),
    "DHCP Offer, xid 0x00003d1d, client 00:0b:82:01:fc:42, your 192.168.0.10, server 192.168.0.1, lease 3600 s",
  );
  const message = roundTrip({ ...MINIMAL, messageType: DHCP_NAK, hostName: 'a"\nb', message: "no", clientAddress: 1 });
  assertStrictEquals(
    formatDhcpv4({ ...message, requestedAddress: 2 }),
    'DHCP NACK, xid 0x00000001, client 00:0b:82:01:fc:42, hostname "a\\"\\nb", address 0.0.0.1, requested 0.0.0.2, "no"',
  );
  assertStringIncludes(formatDhcpv4({ ...message, messageType: 99 }), "DHCP type 99,");
});

Deno.test("decodeBootp reads a message without a type, with and without cookie", () => {
  const message = decodeBootp(request("0c 01 61 ff"));
  assertEquals([message.messageType, message.hostName, message.seconds], [BOOTP, "a", 5]);
  for (const length of [236, 237, 240, 300]) {
    const bytes = hex(`ff ${DISCOVER}`).subarray(0, 237), plain = new Uint8Array(1 + length);
    plain.set(bytes);
    assertEquals([decodeBootp(plain, 1).clientMac, decodeBootp(plain, 1).messageType], [CLIENT, BOOTP]);
    assert(!checkDhcpv4(plain, 1, plain.length));
  }
});

Deno.test("bootp refuses what is DHCP, what is cut off, and what is behind no cookie", () => {
  const doors = { layer: "dhcpv4", check: checkBootp, decode: decodeBootp };
  assertStringIncludes(assertRefused(doors, hex(DISCOVER)).message, "there is a message type");
  assertStringIncludes(assertRefused(doors, request("0c 01 61")).message, "the end option is missing");
  assertStringIncludes(assertRefused(doors, request("0c 05 61 ff")).message, "goes past the end");
  for (const length of [0, 1, 235]) assertRefused(doors, hex(DISCOVER).subarray(0, length));
  for (const [at, value] of [[0, 0], [1, 6], [2, 16], [236, 0]] as const) {
    const bytes = request("0c 01 61 ff");
    bytes[at] = value;
    assertRefused(doors, bytes);
  }
});

Deno.test("encodeDhcpv4 writes no type into a message of BOOTP's, and formatDhcpv4 says what it is", () => {
  const out = painted(400), length = encodeDhcpv4(out, 1, { ...MINIMAL, operation: 1, messageType: BOOTP });
  assertStrictEquals(length, 300);
  assertEquals(out.slice(241, 242), Uint8Array.of(255));
  assertStringIncludes(formatDhcpv4(decodeBootp(out, 1, 301)), "BOOTP Request, xid");
});
