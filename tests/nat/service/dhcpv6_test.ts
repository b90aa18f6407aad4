import { assert, assertEquals, assertLess, assertStrictEquals, assertThrows } from "@std/assert";
import { Cidr, IpAddress, parseMac } from "../../../net/wire/address.ts";
import {
  decodeDhcpv6,
  DHCPV6_ADVERTISE,
  DHCPV6_CONFIRM,
  DHCPV6_DECLINE,
  DHCPV6_INFORMATION_REQUEST,
  DHCPV6_NO_ADDRS_AVAIL,
  DHCPV6_NO_BINDING,
  DHCPV6_NO_PREFIX_AVAIL,
  DHCPV6_NOT_ON_LINK,
  DHCPV6_OPTION_FQDN,
  DHCPV6_OPTION_IA_PD,
  DHCPV6_OPTION_IA_TA,
  DHCPV6_REBIND,
  DHCPV6_RELEASE,
  DHCPV6_RENEW,
  DHCPV6_REPLY,
  DHCPV6_REQUEST,
  DHCPV6_SOLICIT,
  DHCPV6_SUCCESS,
  DHCPV6_USE_MULTICAST,
  type Dhcpv6Association,
  type Dhcpv6Fields,
  dhcpv6LengthOf,
  type Dhcpv6Message,
  encodeDhcpv6,
} from "../../../net/wire/dhcpv6.ts";
import { dhcpv6Lease, Dhcpv6Server, type Dhcpv6ServerOptions } from "../../../nat/service/dhcpv6.ts";
import { hex, toHex } from "../../support/packet_bytes.ts";

const ip = IpAddress.parse;
const OPTIONS: Dhcpv6ServerOptions = {
  mac: parseMac("52:55:0a:00:02:02"),
  subnet: Cidr.parse("fd00::/64"),
  guestAddress: ip("fd00::15"),
  dns: ip("fd00::3"),
  leaseSeconds: 1000,
};
/** DUID-LL of the gateway's MAC address, and that of another server. */
const OURS = hex("0003 0001 52550a000202"), THEIRS = hex("0003 0001 52550a000203");
const CLIENT = hex("0003 0001 525400123456");
const TYPES = {
  solicit: DHCPV6_SOLICIT,
  request: DHCPV6_REQUEST,
  confirm: DHCPV6_CONFIRM,
  renew: DHCPV6_RENEW,
  rebind: DHCPV6_REBIND,
  release: DHCPV6_RELEASE,
  decline: DHCPV6_DECLINE,
  information: DHCPV6_INFORMATION_REQUEST,
};
type TypeName = keyof typeof TYPES;
/** Types that are for one server. */
const NAMED = ["request", "renew", "release", "decline"] as const;
const UNNAMED = ["solicit", "confirm", "rebind", "information"] as const;

function ia(iaid: number, ...addresses: string[]): Dhcpv6Association {
  const told = addresses.map((text) => ({ address: ip(text), preferredSeconds: 7, validSeconds: 9 }));
  return { iaid, renewalSeconds: 1, rebindingSeconds: 2, addresses: told };
}

/** The bytes that `encodeDhcpv6` writes. */
function encoded(fields: Dhcpv6Fields): Uint8Array {
  const bytes = new Uint8Array(4000);
  return bytes.subarray(0, encodeDhcpv6(bytes, 0, fields));
}

/** A client's message of a type, with what such a message has, through the codec as if from a link. */
function client(type: TypeName, fields: Partial<Dhcpv6Fields> = {}): Dhcpv6Message {
  const isNamed = (NAMED as readonly string[]).includes(type);
  return decodeDhcpv6(encoded({
    messageType: TYPES[type],
    transactionId: 0xabcdef,
    clientId: CLIENT,
    ...(isNamed && { serverId: OURS }),
    ...(type !== "information" && { associations: [ia(1, ...(type === "solicit" ? [] : ["fd00::15"]))] }),
    ...fields,
  }));
}

/** The answer, through the codec. */
function ask(
  type: TypeName,
  fields: Partial<Dhcpv6Fields> = {},
  { options = OPTIONS, isUnicast = false } = {},
): Dhcpv6Message | null {
  const answer = new Dhcpv6Server(options).answer(client(type, fields), isUnicast);
  return answer && decodeDhcpv6(encoded(answer));
}

/** A message without the client's identifier. */
function nameless(type: TypeName): Dhcpv6Message {
  const message = client(type);
  delete message.clientId;
  return message;
}

/** `iaid address/seconds… status` of each IA. */
function told(message: Dhcpv6Message | null): string[] {
  return message!.associations.map(({ iaid, addresses, status }) =>
    [iaid, ...addresses.map((one) => `${one.address}/${one.validSeconds}`), ...(status ? [`!${status.code}`] : [])]
      .join(" ")
  );
}

Deno.test("SOLICIT is answered by an ADVERTISE with the address, DNS, and a preference that ends the client's wait", () => {
  assertEquals(ask("solicit"), {
    messageType: DHCPV6_ADVERTISE,
    transactionId: 0xabcdef,
    clientId: CLIENT.slice(),
    serverId: OURS.slice(),
    preference: 255,
    associations: [{
      iaid: 1,
      renewalSeconds: 500,
      rebindingSeconds: 800,
      addresses: [{ address: ip("fd00::15"), preferredSeconds: 1000, validSeconds: 1000 }],
    }],
    dnsServers: [ip("fd00::3")],
    otherOptions: [],
  });
});

Deno.test("the server answers what dhclient sent, byte by byte", () => {
  const solicit = hex(
    "010f4ee0 0001000e 00010001329caff2525400123456 00060004 00170018 00080002 0000 00270006 0103766d3100 " +
      "0003000c 00123456 00000e10 00001518",
  );
  const answer = new Dhcpv6Server(OPTIONS).answer(decodeDhcpv6(solicit), false)!;
  const expected = "020f4ee0 0001000e 00010001329caff2525400123456 0002000a 0003000152550a000202 00070001 ff " +
    "00030028 00123456 000001f4 00000320 00050018 fd000000000000000000000000000015 000003e8 000003e8 " +
    "00170010 fd000000000000000000000000000003";
  assertStrictEquals(toHex(encoded(answer)), expected.replaceAll(" ", ""));
});

Deno.test("SOLICIT with rapid commit is answered by a REPLY that gives", () => {
  const answer = ask("solicit", { rapidCommit: true })!;
  assertEquals([answer.messageType, answer.rapidCommit, answer.preference], [DHCPV6_REPLY, true, undefined]);
  assertEquals(told(answer), ["1 fd00::15/1000"]);
});

Deno.test("REQUEST, RENEW and REBIND give the address, whatever there was before", () => {
  for (const type of ["request", "renew", "rebind"] as const) {
    const answer = ask(type)!;
    assertEquals([answer.messageType, answer.rapidCommit], [DHCPV6_REPLY, undefined], type);
    assertEquals(told(answer), ["1 fd00::15/1000"], type);
    assertEquals(told(ask(type, { associations: [ia(0xffffffff)] })), ["4294967295 fd00::15/1000"], type);
    assertEquals(ask(type), answer, "a second time as the first");
  }
});

Deno.test("a lease that never ends has neither T1 nor T2 (RFC 8415 section 7.7)", () => {
  const options = { ...OPTIONS, leaseSeconds: 0xffffffff };
  const { renewalSeconds, rebindingSeconds, addresses } = ask("request", {}, { options })!.associations[0]!;
  const { preferredSeconds, validSeconds } = addresses[0]!;
  assertEquals(
    new Set([renewalSeconds, rebindingSeconds, preferredSeconds, validSeconds]),
    new Set([0xffffffff]),
  );
});

Deno.test("REQUEST for an address of another network is told so, one for another of this network has ours", () => {
  assertEquals(told(ask("request", { associations: [ia(1, "fd01::15")] })), [`1 !${DHCPV6_NOT_ON_LINK}`]);
  const mixed = [ia(1, "fd00::15", "fe80::15"), ia(2, "fd00::99"), ia(3, "::ffff:10.0.2.15")];
  assertEquals(told(ask("request", { associations: mixed })), [
    `1 !${DHCPV6_NOT_ON_LINK}`,
    "2 fd00::15/1000",
    `3 !${DHCPV6_NOT_ON_LINK}`,
  ]);
});

Deno.test("RENEW and REBIND give addresses that are not ours no time", () => {
  for (const type of ["renew", "rebind"] as const) {
    const answer = ask(type, { associations: [ia(1, "fd01::15", "fd00::15", "fd00::99")] });
    assertEquals(told(answer), ["1 fd00::15/1000 fd01::15/0 fd00::99/0"], type);
  }
});

Deno.test("of several IAs the first has the address, the others are told that there is none", () => {
  for (const type of ["solicit", "request", "renew", "rebind"] as const) {
    const answer = ask(type, { associations: [ia(7), ia(8), ia(7)] });
    assertEquals(told(answer), ["7 fd00::15/1000", `8 !${DHCPV6_NO_ADDRS_AVAIL}`, `7 !${DHCPV6_NO_ADDRS_AVAIL}`]);
  }
});

Deno.test("IAs for prefixes and for temporary addresses are told that there are none", () => {
  const prefix = { code: DHCPV6_OPTION_IA_PD, data: hex("00000009 00000e10 00001518 001a0000") };
  const temporary = { code: DHCPV6_OPTION_IA_TA, data: hex("0000000a") };
  const short = { code: DHCPV6_OPTION_IA_PD, data: hex("00000009 00000e10 000015") };
  const others = [prefix, temporary, short, { code: DHCPV6_OPTION_IA_TA, data: hex("0000") }];
  const answer = ask("solicit", { associations: [], otherOptions: others })!;
  assertEquals(answer.messageType, DHCPV6_ADVERTISE);
  assertEquals(answer.otherOptions.map(({ code, data }) => `${code} ${toHex(data)}`), [
    `25 000000090000000000000000000d0002000${DHCPV6_NO_PREFIX_AVAIL}`,
    `4 0000000a000d0002000${DHCPV6_NO_ADDRS_AVAIL}`,
  ]);
});

Deno.test("CONFIRM says whether all addresses are of this network, and has no answer without any", () => {
  const status = (...addresses: string[]) => ask("confirm", { associations: [ia(1, ...addresses)] })?.status?.code;
  assertStrictEquals(status("fd00::15"), DHCPV6_SUCCESS);
  assertStrictEquals(status("fd00::99", "fd00::15"), DHCPV6_SUCCESS);
  assertStrictEquals(status("fd00::15", "fd00:0:0:1::15"), DHCPV6_NOT_ON_LINK);
  assertStrictEquals(status("::ffff:10.0.2.15"), DHCPV6_NOT_ON_LINK);
  assertStrictEquals(status(), undefined);
  assertStrictEquals(ask("confirm", { associations: [] }), null);
  assertEquals(told(ask("confirm")), []);
});

Deno.test("RELEASE and DECLINE are acknowledged, and an IA without our address has no binding", () => {
  for (const type of ["release", "decline"] as const) {
    const answer = ask(type, { associations: [ia(1, "fd00::15"), ia(2, "fd00::99"), ia(3)] })!;
    assertEquals([answer.messageType, answer.status?.code], [DHCPV6_REPLY, DHCPV6_SUCCESS], type);
    assertEquals(told(answer), [`2 !${DHCPV6_NO_BINDING}`, `3 !${DHCPV6_NO_BINDING}`], type);
    assertStrictEquals(answer.dnsServers, undefined);
  }
});

Deno.test("INFORMATION-REQUEST has DNS and search list, with and without an identifier of the client", () => {
  const options = { ...OPTIONS, domainSearch: ["example.org", "b"] };
  const answer = ask("information", {}, { options })!;
  assertEquals([answer.messageType, answer.associations, answer.status], [DHCPV6_REPLY, [], undefined]);
  assertEquals([answer.dnsServers, answer.domainSearch], [[ip("fd00::3")], ["example.org", "b"]]);
  const other = new Dhcpv6Server(options).answer(nameless("information"), false)!;
  assert(!("clientId" in other));
  assertEquals(other.serverId, OURS.slice());
});

Deno.test("without DNS none is told", () => {
  assertStrictEquals(ask("information", {}, { options: { ...OPTIONS, dns: null } })!.dnsServers, undefined);
});

Deno.test("a client's name comes back if the client asks for that, and nobody enters it in DNS (RFC 4704)", () => {
  const requestedOptions = [23, DHCPV6_OPTION_FQDN];
  const back = (flags: number, name: string) => ask("request", { requestedOptions, fqdn: { flags, name } })!.fqdn;
  assertEquals(back(1, "vm1."), { flags: 4 | 2, name: "vm1." });
  assertEquals(back(0, "vm1"), { flags: 4, name: "vm1" });
  assertEquals(back(4, ""), { flags: 4, name: "" });
  assertStrictEquals(ask("request", { fqdn: { flags: 1, name: "vm1." } })!.fqdn, undefined);
  assertStrictEquals(ask("request", { requestedOptions: [23], fqdn: { flags: 1, name: "vm1." } })!.fqdn, undefined);
  assertStrictEquals(ask("request", { requestedOptions })!.fqdn, undefined);
  for (const type of ["confirm", "release", "decline", "information"] as const) {
    const fields = { requestedOptions, fqdn: { flags: 1, name: "vm1." } };
    assertStrictEquals(ask(type, fields)!.fqdn, undefined, `${type} gives no address`);
  }
});

Deno.test("a message to our own address is told to use the group, or has no answer", () => {
  for (const type of NAMED) {
    const answer = ask(type, {}, { isUnicast: true })!;
    assertEquals([answer.messageType, answer.status?.code], [DHCPV6_REPLY, DHCPV6_USE_MULTICAST], type);
    assertEquals([answer.associations, answer.dnsServers], [[], undefined], "nothing else");
    assertEquals([answer.clientId, answer.serverId], [CLIENT.slice(), OURS.slice()]);
  }
  for (const type of UNNAMED) assertStrictEquals(ask(type, {}, { isUnicast: true }), null, type);
});

Deno.test("a message for another server has no answer, unless it must name none", () => {
  for (const type of NAMED) {
    for (const isUnicast of [false, true]) {
      assertStrictEquals(ask(type, { serverId: THEIRS }, { isUnicast }), null, type);
      assertStrictEquals(ask(type, { serverId: OURS.slice(0, 9) }, { isUnicast }), null, type);
    }
  }
  assertStrictEquals(ask("information", { serverId: THEIRS }), null);
  assertStrictEquals(ask("information", { serverId: OURS })!.messageType, DHCPV6_REPLY);
});

Deno.test("a message without the identifiers of its type, or with one too many, has no answer", () => {
  const server = new Dhcpv6Server(OPTIONS);
  for (const type of NAMED) {
    const message = client(type);
    delete message.serverId;
    assertStrictEquals(server.answer(message, false), null, `${type} for no server`);
    assertStrictEquals(server.answer(nameless(type), false), null, `${type} of no client`);
  }
  for (const type of ["solicit", "confirm", "rebind"] as const) {
    assertStrictEquals(ask(type, { serverId: OURS }), null, `${type} for a server`);
    assertStrictEquals(server.answer(nameless(type), false), null, `${type} of no client`);
  }
});

Deno.test("INFORMATION-REQUEST with an IA has no answer (RFC 8415 section 16.12)", () => {
  assertStrictEquals(ask("information", { associations: [ia(1)] }), null);
  const otherOptions = [{ code: DHCPV6_OPTION_IA_TA, data: hex("00000001") }];
  assertStrictEquals(ask("information", { otherOptions }), null);
});

Deno.test("messages of servers and types that nobody knows have no answer", () => {
  const server = new Dhcpv6Server(OPTIONS);
  for (const messageType of [0, DHCPV6_ADVERTISE, DHCPV6_REPLY, 10, 14, 255]) {
    for (const serverId of [OURS, undefined]) {
      const message: Dhcpv6Message = { ...client("request"), messageType };
      delete message.serverId;
      if (serverId !== undefined) message.serverId = serverId;
      assertStrictEquals(server.answer(message, false), null, `type ${messageType}`);
    }
  }
});

Deno.test("an answer fits in the least MTU: domains are left out from the end, and dozens of IAs have no answer", () => {
  const domainSearch = Array.from({ length: 30 }, (_, i) => `${i}.${"x".repeat(60)}.example.org`);
  const options = { ...OPTIONS, domainSearch };
  const answer = ask("request", {}, { options })!;
  assertLess(dhcpv6LengthOf(answer), 1233);
  assert(answer.domainSearch!.length > 10);
  assertEquals(answer.domainSearch, domainSearch.slice(0, answer.domainSearch!.length));
  const crowd = (count: number) => Array.from({ length: count }, (_, i) => ia(i));
  const crowded = ask("request", { associations: crowd(18) }, { options })!;
  assertLess(dhcpv6LengthOf(crowded), 1233);
  assertEquals([crowded.associations.length, crowded.domainSearch], [18, undefined]);
  assertStrictEquals(ask("request", { associations: crowd(60) }, { options }), null);
  assertEquals(options.domainSearch.length, 30, "what is left out of one answer is in the next");
});

Deno.test("dhcpv6Lease is what a REPLY gives, and nothing else", () => {
  const lease = (answer: Dhcpv6Message | null) => answer && (dhcpv6Lease(answer)?.toString() ?? null);
  assertStrictEquals(lease(ask("request")), "fd00::15");
  assertStrictEquals(lease(ask("renew", { associations: [ia(1, "fd00::99")] })), "fd00::15");
  assertStrictEquals(lease(ask("solicit", { rapidCommit: true })), "fd00::15");
  for (const type of ["solicit", "confirm", "release", "decline", "information"] as const) {
    assertStrictEquals(lease(ask(type)), null, type);
  }
  assertStrictEquals(lease(ask("request", { associations: [ia(1, "fd01::15")] })), null);
  assertStrictEquals(lease(ask("request", {}, { isUnicast: true })), null);
});

Deno.test("a lease that the option cannot hold throws", () => {
  for (const leaseSeconds of [0, -1, 1.5, NaN, 2 ** 32]) {
    const reason = `Cannot serve DHCPv6: a lease of ${leaseSeconds} s is not from 1 to 4294967295`;
    assertThrows(() => new Dhcpv6Server({ ...OPTIONS, leaseSeconds }), RangeError, reason);
  }
});
