import { assert, assertEquals, assertStrictEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { IpAddress } from "../../../net/wire/address.ts";
import { DecodeError } from "../../../net/wire/decode_error.ts";
import {
  checkDhcpv6,
  decodeDhcpv6,
  DHCPV6_ADVERTISE,
  DHCPV6_CONFIRM,
  DHCPV6_DECLINE,
  DHCPV6_FQDN_SERVER,
  DHCPV6_INFORMATION_REQUEST,
  DHCPV6_NOT_ON_LINK,
  DHCPV6_REBIND,
  DHCPV6_RELEASE,
  DHCPV6_RENEW,
  DHCPV6_REPLY,
  DHCPV6_REQUEST,
  DHCPV6_SOLICIT,
  type Dhcpv6Fields,
  dhcpv6LengthOf,
  type Dhcpv6Message,
  dhcpv6MessageType,
  dhcpv6TransactionId,
  encodeDhcpv6,
  formatDhcpv6,
} from "../../../net/wire/dhcpv6.ts";
import { assertEncodes, assertRefused, hex, noise, painted, toHex } from "../../support/packet_bytes.ts";

const DOORS = { layer: "dhcpv6", check: checkDhcpv6, decode: decodeDhcpv6 };
const ADDRESS = IpAddress.parse("fd00::15");
const CLIENT = "00010001329caff2525400123456", SERVER = "0003000152550a000202";

/** Captured from ISC dhclient 4.4.3, but for the answer of the server that it spoke to. */
const DHCLIENT = {
  solicit: "010f4ee0 0001000e 00010001329caff2525400123456 00060004 00170018 00080002 0000 00270006 0103766d3100 " +
    "0003000c 00123456 00000e10 00001518",
  advertise: "020f4ee0 0002000a 0003000152550a000202 0001000e 00010001329caff2525400123456 00030028 00123456 " +
    "00000003 00000008 00050018 fd000000000000000000000000000015 0000001e 0000003c " +
    "00170010 fd000000000000000000000000000003",
  request: "032197fd 0001000e 00010001329caff2525400123456 0002000a 0003000152550a000202 00060004 00170018 " +
    "00080002 0000 00270006 0103766d3100 00030028 00123456 00000e10 00001518 00050018 " +
    "fd000000000000000000000000000015 00001c20 00001d4c",
  confirm: "04284332 0001000e 00010001329caff2525400123456 00060004 00170018 00080002 0000 00270006 0103766d3100 " +
    "00030028 00123456 00000000 00000000 00050018 fd000000000000000000000000000015 00000000 00000000",
  renew: "05696c5d 0001000e 00010001329caff2525400123456 0002000a 0003000152550a000202 00060004 00170018 " +
    "00080002 0000 00270006 0103766d3100 00030028 00123456 00000e10 00001518 00050018 " +
    "fd000000000000000000000000000015 00001c20 00001d4c",
  rebind: "06d88f38 0001000e 00010001329caff2525400123456 00060004 00170018 00080002 0000 00270006 0103766d3100 " +
    "00030028 00123456 00000e10 00001518 00050018 fd000000000000000000000000000015 00001c20 00001d4c",
  release: "08784eaa 0001000e 00010001329caff2525400123456 0002000a 0003000152550a000202 00060004 00170018 " +
    "00080002 0000 00270006 0103766d3100 00030028 00123456 00000000 00000000 00050018 " +
    "fd000000000000000000000000000015 00000000 00000000",
  decline: "09dba5b9 0001000e 00010001329cb00a525400123456 0002000a 0003000152550a000202 00060004 00170018 " +
    "00080002 0000 00270006 0103766d3100 00030028 00123456 00000000 00000000 00050018 " +
    "fd000000000000000000000000000015 00000000 00000000",
  information: "0b7b23c6 0001000a 00030001525400123456 00060004 00170018 00080002 0000 00270006 0103766d3100",
};

/** Captured from dhcpcd 9.4.1. */
const DHCPCD_REQUEST = "03f5ab99 0001000e 00010001329cafd2525400123456 0002000a 0003000152550a000202 " +
  "00030028 00123456 00000000 00000000 00050018 fd000000000000000000000000000015 0000001e 0000003c " +
  "00060004 00520053 00080002 0000 0010003c 00009f08 0036 " +
  "6468637063642d392e342e313a4c696e75782d362e31382e34342d66632d763539353a7838365f36343a41757468656e746963414d44";

function decoded(text: string): Dhcpv6Message {
  return decodeDhcpv6(hex(text));
}

function roundTrip(fields: Dhcpv6Fields): Dhcpv6Message {
  const out = painted(2000), length = encodeDhcpv6(out, 3, fields);
  assertStrictEquals(length, dhcpv6LengthOf(fields));
  return decodeDhcpv6(out, 3, 3 + length);
}

/** A reply with these option bytes. */
function reply(options: string): Uint8Array {
  return hex(`07 000001 ${options}`);
}

Deno.test("dhcpv6 getters read the header at an offset", () => {
  const bytes = hex(`ff ff ff ${DHCLIENT.solicit}`);
  assert(checkDhcpv6(bytes, 3, bytes.length));
  assertStrictEquals(dhcpv6MessageType(bytes, 3), DHCPV6_SOLICIT);
  assertStrictEquals(dhcpv6TransactionId(bytes, 3), 0x0f4ee0);
});

Deno.test("decodeDhcpv6 reads what dhclient sends, type by type", () => {
  assertEquals(decoded(DHCLIENT.solicit), {
    messageType: DHCPV6_SOLICIT,
    transactionId: 0x0f4ee0,
    clientId: Uint8Array.from(hex(CLIENT)),
    requestedOptions: [23, 24],
    fqdn: { flags: DHCPV6_FQDN_SERVER, name: "vm1." },
    associations: [{ iaid: 0x123456, renewalSeconds: 3600, rebindingSeconds: 5400, addresses: [] }],
    otherOptions: [{ code: 8, data: new Uint8Array(2) }],
  });
  const types = [DHCPV6_REQUEST, DHCPV6_CONFIRM, DHCPV6_RENEW, DHCPV6_REBIND, DHCPV6_RELEASE, DHCPV6_DECLINE];
  const { request, confirm, renew, rebind, release, decline } = DHCLIENT;
  for (const [i, text] of [request, confirm, renew, rebind, release, decline].entries()) {
    const { messageType, associations, serverId } = decoded(text);
    assertStrictEquals(messageType, types[i]);
    assertEquals(associations.map(({ addresses }) => addresses[0]!.address.toString()), ["fd00::15"]);
    const isForAny = messageType === DHCPV6_CONFIRM || messageType === DHCPV6_REBIND;
    assertStrictEquals(serverId && toHex(serverId), isForAny ? undefined : SERVER);
  }
  const information = decoded(DHCLIENT.information);
  assertEquals([information.messageType, information.associations], [DHCPV6_INFORMATION_REQUEST, []]);
});

Deno.test("decodeDhcpv6 reads what dhcpcd sends, and keeps what it does not know", () => {
  const { associations, requestedOptions, otherOptions } = decoded(DHCPCD_REQUEST);
  assertEquals(associations[0]!.addresses, [{ address: ADDRESS, preferredSeconds: 30, validSeconds: 60 }]);
  assertEquals(requestedOptions, [82, 83]);
  assertEquals(otherOptions.map(({ code, data }) => [code, data.length]), [[8, 2], [16, 60]]);
});

Deno.test("encodeDhcpv6 writes the answer that dhclient took, its options in an order of its own", () => {
  const expected = "020f4ee0 0001000e 00010001329caff2525400123456 0002000a 0003000152550a000202 " +
    DHCLIENT.advertise.slice(DHCLIENT.advertise.indexOf("00030028"));
  assertEncodes(expected, (bytes, offset) =>
    encodeDhcpv6(bytes, offset, {
      messageType: DHCPV6_ADVERTISE,
      transactionId: 0x0f4ee0,
      clientId: hex(CLIENT),
      serverId: hex(SERVER),
      associations: [{
        iaid: 0x123456,
        renewalSeconds: 3,
        rebindingSeconds: 8,
        addresses: [{ address: ADDRESS, preferredSeconds: 30, validSeconds: 60 }],
      }],
      dnsServers: [IpAddress.parse("fd00::3")],
    }));
});

Deno.test("encodeDhcpv6 writes every option as RFC 8415, RFC 3646 and RFC 4704 number them", () => {
  const expected = "07 abcdef 000e0000 00070001 ff 00060004 00170018 000d0004 0000 6f6b " +
    "0018000c 0361626303636f6d00 016200 00270004 02 02766d 0010 0000";
  assertEncodes(expected, (bytes, offset) =>
    encodeDhcpv6(bytes, offset, {
      messageType: DHCPV6_REPLY,
      transactionId: 0xabcdef,
      rapidCommit: true,
      preference: 255,
      requestedOptions: [23, 24],
      status: { code: 0, message: "ok" },
      domainSearch: ["abc.com", "b"],
      fqdn: { flags: 2, name: "vm" },
      otherOptions: [{ code: 16, data: new Uint8Array(0) }],
    }));
});

Deno.test("what encodeDhcpv6 wrote, decodeDhcpv6 reads", () => {
  const mapped = IpAddress.parse("::ffff:10.0.2.15");
  const fields: Dhcpv6Fields = {
    messageType: DHCPV6_REPLY,
    transactionId: 0xffffff,
    clientId: new Uint8Array(130).fill(7),
    serverId: Uint8Array.of(0, 3, 1),
    rapidCommit: true,
    preference: 0,
    requestedOptions: [],
    associations: [
      { iaid: 0xffffffff, renewalSeconds: 0, rebindingSeconds: 0xffffffff, addresses: [] },
      {
        iaid: 0,
        renewalSeconds: 1,
        rebindingSeconds: 2,
        addresses: [
          { address: mapped, preferredSeconds: 3, validSeconds: 0xffffffff, status: { code: 4, message: "" } },
          { address: ADDRESS, preferredSeconds: 0, validSeconds: 0 },
        ],
        status: { code: DHCPV6_NOT_ON_LINK, message: "nicht hier, schön" },
      },
    ],
    status: { code: 65535, message: "" },
    dnsServers: [ADDRESS, mapped],
    domainSearch: ["example.org", "a.example.org", "."],
    fqdn: { flags: 0, name: "a\\.b\\000c.example." },
    otherOptions: [{ code: 65535, data: Uint8Array.of(1, 2) }, { code: 25, data: new Uint8Array(0) }],
  };
  assertEquals(roundTrip(fields), fields);
});

Deno.test("a client's name is whole, or lacks its domain, or is empty (RFC 4704 section 4.2)", () => {
  for (const name of ["vm1.", "vm1", "vm1.example", "vm1.example.", "", "x".repeat(63)]) {
    const fqdn = { flags: 0, name };
    assertEquals(roundTrip({ messageType: DHCPV6_REPLY, transactionId: 1, fqdn }).fqdn, fqdn, name);
  }
});

Deno.test("encodeDhcpv6 throws if there is no room, and writes nothing", () => {
  const out = painted(10), fields = { messageType: 1, transactionId: 1, clientId: Uint8Array.of(0, 3, 1) };
  assertThrows(
    () => encodeDhcpv6(out, 0, fields),
    RangeError,
    "Cannot encode DHCPv6 message: 11 bytes do not fit in 10",
  );
  assertStrictEquals(toHex(out), "a5".repeat(10));
  const otherOptions = [{ code: 99, data: new Uint8Array(65536) }];
  assertThrows(
    () => dhcpv6LengthOf({ ...fields, otherOptions }),
    RangeError,
    "option 99 has 65536 bytes, over 65535",
  );
  assertThrows(() => dhcpv6LengthOf({ ...fields, domainSearch: ["a..b"] }), RangeError, "a label is empty");
});

Deno.test("a message that is cut off is refused, unless the cut is between two options", () => {
  for (const text of [...Object.values(DHCLIENT), DHCPCD_REQUEST]) {
    const whole = hex(text), shifted = painted(whole.length + 9), edges: number[] = [];
    shifted.set(whole, 5);
    for (let at = 4; at < whole.length; at += 4 + whole[at + 2]! * 256 + whole[at + 3]!) edges.push(at);
    assert(edges.length > 2);
    for (let length = 0; length < whole.length; length++) {
      const isEdge = edges.includes(length);
      assertStrictEquals(checkDhcpv6(whole.subarray(0, length), 0, length), isEdge, `${length} bytes`);
      if (isEdge) continue;
      // The missing bytes are really missing, then present in the array but past the end that was given.
      assert(assertRefused(DOORS, hex(toHex(whole, 0, length))).needed > length);
      assert(assertRefused(DOORS, shifted, { start: 5, end: 5 + length }).needed > length);
    }
  }
});

Deno.test("an option that is shorter or longer than its kind can be is refused", () => {
  const long = (code: string, length: number) =>
    `${code} ${length.toString(16).padStart(4, "0")} ${"00".repeat(length)}`;
  const flaws: [string, string][] = [
    [long("0001", 2), "option 1 has a length of 2"],
    [long("0001", 131), "option 1 has a length of 131"],
    [long("0002", 0), "option 2 has a length of 0"],
    [long("0002", 131), "option 2 has a length of 131"],
    [long("0003", 11), "an IA has a length of 11"],
    [long("0005", 24), "an address is outside an IA"],
    [long("0006", 3), "option 6 has a length of 3"],
    [long("0007", 0), "option 7 has a length of 0"],
    [long("0007", 2), "option 7 has a length of 2"],
    [long("000d", 1), "option 13 has a length of 1"],
    [long("000e", 1), "option 14 has a length of 1"],
    [long("0017", 0), "option 23 has a length of 0"],
    [long("0017", 17), "option 23 has a length of 17"],
    [long("0027", 0), "the client's name is malformed"],
  ];
  for (const [options, reason] of flaws) {
    assertStringIncludes(assertRefused(DOORS, reply(options)).message, reason);
  }
});

Deno.test("what is wrong within an IA or an address is refused", () => {
  const ia = (options: string, length: string) => reply(`0003 ${length} 00000001 00000000 00000000 ${options}`);
  const zeros = "00".repeat(16), times = "0000000000000000";
  const flaws: [Uint8Array, string][] = [
    [ia("0005", "000e"), "the head of an option is cut off in an IA"],
    [ia(`0005 0018 ${zeros}`, "0020"), "option 5 goes past the end in an IA"],
    [ia(`0005 0017 ${zeros} 00000000000000`, "0027"), "an address has a length of 23"],
    [ia("000d 0001 00", "0011"), "a status is cut off or occurs twice"],
    [ia("000d 0002 0000 000d 0002 0000", "0018"), "a status is cut off or occurs twice"],
    [ia(`0005 001b ${zeros} ${times} 000d00`, "002b"), "the head of an option is cut off in an address"],
    [ia(`0005 001d ${zeros} ${times} 000d0001 00`, "002d"), "a status is cut off or occurs twice"],
  ];
  for (const [bytes, reason] of flaws) assertStringIncludes(assertRefused(DOORS, bytes).message, reason);
  assertEquals(decodeDhcpv6(ia("03e7 0001 00", "0011")).associations[0]!.addresses, []);
});

Deno.test("an option that may occur once and occurs twice is refused; those that are not known may repeat", () => {
  const twice = ["0001 0003 000101", "0002 0003 000101", "0006 0000", "0007 0001 00", "000d 0002 0000", "000e 0000"];
  twice.push(`0017 0010 ${"00".repeat(16)}`, "0018 0001 00", "0027 0001 00");
  for (const option of twice) {
    const code = parseInt(option.slice(0, 4), 16);
    assert(checkDhcpv6(reply(option), 0, reply(option).length), option);
    const { message } = assertRefused(DOORS, reply(option + option));
    assertStringIncludes(message, `option ${code} occurs twice`);
  }
  assertEquals(decodeDhcpv6(reply("0004 0000 0004 0000 0010 0000 0010 0000")).otherOptions.length, 4);
});

Deno.test("names that are compressed, too long or cut off are refused", () => {
  const names = ["c000", "01", "0161", "0161c000", "40" + "61".repeat(64) + "00", ("3f" + "61".repeat(63)).repeat(4)];
  for (const name of names) {
    const length = (name.length / 2).toString(16).padStart(4, "0");
    const refused = assertRefused(DOORS, reply(`0018 ${length} ${name}`));
    assertStringIncludes(refused.message, "a domain is malformed", name);
  }
  for (const name of ["c000", "0261", "0161c000", "016100 0161", ("3f" + "61".repeat(63)).repeat(4)]) {
    const length = (name.replace(" ", "").length / 2 + 1).toString(16).padStart(4, "0");
    const refused = assertRefused(DOORS, reply(`0027 ${length} 00 ${name}`));
    assertStringIncludes(refused.message, "the client's name is malformed", name);
  }
});

Deno.test("relays' messages are refused, types that nobody knows are not", () => {
  for (const type of ["0c", "0d"]) {
    assertStringIncludes(assertRefused(DOORS, hex(`${type} 000000`)).message, "it is a relay's message");
  }
  assertEquals(decodeDhcpv6(hex("fe 000001")).messageType, 254);
});

Deno.test("dhcpv6: both doors agree on any option bytes", () => {
  let taken = 0;
  for (let seed = 1; seed <= 3000; seed++) {
    const bytes = noise(4 + seed % 90, seed);
    for (let i = 0; i < bytes.length; i++) if (bytes[i]! % 4 !== 0) bytes[i] = bytes[i]! % 8 === 1 ? 3 : 0;
    const accepted = checkDhcpv6(bytes, 0, bytes.length);
    try {
      assert(!formatDhcpv6(decodeDhcpv6(bytes)).includes("\n"));
      assert(accepted);
      taken++;
    } catch (error) {
      assert(error instanceof DecodeError && !accepted, `${error}`);
    }
  }
  assert(taken > 50 && taken < 2950, `${taken} taken`);
});

Deno.test("formatDhcpv6 makes a line of a message", () => {
  assertStrictEquals(
    formatDhcpv6(decoded(DHCLIENT.solicit)),
    `DHCPv6 Solicit, xid 0x0f4ee0, client ${CLIENT}, IA_NA 1193046, name vm1.`,
  );
  assertStrictEquals(
    formatDhcpv6(decoded(DHCLIENT.advertise)),
    `DHCPv6 Advertise, xid 0x0f4ee0, client ${CLIENT}, server ${SERVER}, IA_NA 1193046 fd00::15 60 s, DNS fd00::3`,
  );
  const status = { code: DHCPV6_NOT_ON_LINK, message: 'not\n"here"' };
  const associations = [{ iaid: 1, renewalSeconds: 0, rebindingSeconds: 0, addresses: [], status }];
  assertStrictEquals(
    formatDhcpv6({ messageType: 99, transactionId: 1, rapidCommit: true, associations, status, otherOptions: [] }),
    'DHCPv6 type 99, xid 0x000001, rapid commit, IA_NA 1 status 4 "not\\n\\"here\\"", status 4 "not\\n\\"here\\""',
  );
});
