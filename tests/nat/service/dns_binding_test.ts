import { assertEquals } from "@std/assert";
import { decodeDns, DNS_AD, DNS_QR, DNS_RA, DNS_RD, DNS_TC, type DnsRecordFields } from "../../../net/wire/dns.ts";
import {
  aaaaRecord,
  aRecord,
  cnameRecord,
  dnsQuery,
  dnsText,
  madeSoaOf,
  named,
  nameRecord,
  optRecord,
  soaRecord,
} from "../../support/dns_messages.ts";
import { DnsScript, scriptUnder } from "../../support/dns_script.ts";
import { allow, deny, listOf, nameRule } from "../../support/name_rules.ts";

const SVCB = 64, HTTPS = 65, SRV = 33, NXDOMAIN = 3;

Deno.test("DnsService binds the addresses of an answer to the name that was asked, for the guest that asked, without rules too", () => {
  const script = new DnsScript({ guests: 2 });
  script.resolve("WWW.name.test A", { answers: [aRecord(60), aRecord(60, [192, 0, 2, 8])] });
  script.resolve("www.name.test AAAA", { answers: [aaaaRecord(60, "2001:db8::7")] });
  for (const address of ["192.0.2.7", "192.0.2.8", "2001:db8::7"]) {
    assertEquals([script.namesOf(address), script.namesOf(address, 2)], [["www.name.test"], []]);
  }
  assertEquals(script.namesOf("192.0.2.9"), []);
});

Deno.test("DnsService binds answers from the cache, and those of one exchange for every guest that waits", () => {
  const script = new DnsScript({ guests: 3 });
  script.ask(dnsQuery("name.test A"));
  script.ask(dnsQuery("name.test A"), { guest: 2 });
  const { socket, id } = script.upstream();
  script.reply(socket, dnsQuery("name.test A", { id, flags: DNS_QR, answers: [aRecord(60)] }));
  script.ask(dnsQuery("name.test A"), { guest: 3 });
  assertEquals(script.take().length, 3);
  assertEquals(script.sockets().length, 0);
  assertEquals([1, 2, 3].map((guest) => script.namesOf("192.0.2.7", guest)), [["name.test"], ["name.test"], [
    "name.test",
  ]]);
  script.nat.detach(script.guests[0]!);
  assertEquals([script.guests[0]!.bindings.size, script.namesOf("192.0.2.7", 2)], [0, ["name.test"]]);
});

Deno.test("DnsService binds the addresses of a truncated answer, of one that is too large, and of one without a key", () => {
  const script = new DnsScript();
  script.resolve("cut.test A", { flags: DNS_QR | DNS_TC, answers: [aRecord(60)] });
  const many = Array.from({ length: 60 }, (_, i) => aRecord(60, [192, 0, 2, 100 + i]));
  assertEquals(dnsText(script.resolve("many.test A", { answers: many })).includes("truncated"), true);
  script.resolve("cookie.test A", { answers: [aRecord(60)] }, { additionals: [optRecord(1232, 0, [0, 10, 0, 0])] });
  assertEquals(script.namesOf("192.0.2.7"), ["cut.test", "cookie.test"]);
  assertEquals(script.namesOf("192.0.2.159"), ["many.test"]);
});

Deno.test("DnsService credits the end of a chain to the name that was asked, and names on the way when they are asked", () => {
  const script = scriptUnder(allow("a.test"));
  const end = named(aRecord(60), "edge.cdn.example");
  script.resolve("a.test A", {
    answers: [cnameRecord(60, "b.cdn.example"), named(cnameRecord(60, "edge.cdn.example"), "b.cdn.example"), end],
  });
  assertEquals(script.namesOf("192.0.2.7"), ["a.test"]);
  script.resolve("EDGE.cdn.example A", { answers: [aRecord(60, [192, 0, 2, 8])] });
  assertEquals(script.namesOf("192.0.2.8"), ["a.test"]);
  assertEquals(script.isForwarded("b.cdn.example AAAA"), true);
  assertEquals(script.isForwarded("other.cdn.example A"), false);
  assertEquals(script.isForwarded("a.edge.cdn.example A"), false);
});

Deno.test("DnsService lets another guest not ask for what an answer to this one has named, nor this one for ever", () => {
  const script = scriptUnder(allow("a.test"), { guests: 2, namesTtlS: 100 });
  script.resolve("a.test A", { answers: [cnameRecord(60, "b.example"), named(aRecord(60), "b.example")] });
  script.ask(dnsQuery("b.example A"), { guest: 2 });
  assertEquals([script.sockets().length, script.take().length], [0, 1]);
  script.advance(99_000);
  assertEquals(script.isForwarded("b.example A"), true);
  script.advance(1001);
  assertEquals(script.isForwarded("b.example A"), false);
});

Deno.test("DnsService lets the servers of a service be asked that an answer has named, and credits their addresses", () => {
  const script = scriptUnder(allow("a.test"));
  const services: [string, DnsRecordFields][] = [
    ["a.test 33", nameRecord(SRV, 60, "srv.example", [0, 1, 0, 2, 1, 187])],
    ["a.test 15", nameRecord(15, 60, "mail.example", [0, 10])],
    ["a.test 64", nameRecord(SVCB, 60, "svcb.example", [0, 1])],
    ["a.test 65", nameRecord(HTTPS, 60, "https.example", [0, 0])],
  ];
  services.forEach(([question, record], i) => {
    script.resolve(question, { answers: [record] });
    const name = ["srv.example", "mail.example", "svcb.example", "https.example"][i]!;
    script.resolve(`${name} A`, { answers: [aRecord(60, [192, 0, 2, 50 + i])] });
    assertEquals(script.namesOf(`192.0.2.${50 + i}`), ["a.test"], name);
  });
});

Deno.test("DnsService binds nothing that stands beside the answer: other names, other sections, a malformed message", () => {
  const script = new DnsScript();
  script.resolve("a.test A", {
    answers: [named(aRecord(60), "other.test")],
    authorities: [aRecord(60, [192, 0, 2, 8])],
    additionals: [aRecord(60, [192, 0, 2, 9])],
  });
  script.resolve("b.test A", { answers: [aRecord(60, [192, 0, 2, 10]), { ...aRecord(60), data: new Uint8Array(3) }] });
  for (const last of [7, 8, 9, 10]) assertEquals(script.namesOf(`192.0.2.${last}`), []);
});

Deno.test("Nat binds the gateway's addresses to the local names from the start, for good, and to nothing else", () => {
  const script = new DnsScript();
  script.advance(1e9);
  for (const gateway of ["10.0.2.2", "fd00::2"]) {
    assertEquals(script.namesOf(gateway).includes("host.hawser.internal"), true);
    assertEquals(script.namesOf(gateway).length, 6);
  }
  script.resolve("evil.test A", { answers: [aRecord(60, [10, 0, 2, 2])] });
  assertEquals(script.namesOf("10.0.2.2").length, 6);
});

Deno.test("DnsService binds what DNS64 makes", () => {
  const script = new DnsScript({ rules: { nat64: true, egress: allow("*.test") } });
  script.ask(dnsQuery("name.test AAAA"));
  const first = script.upstream();
  script.reply(
    first.socket,
    dnsQuery("name.test AAAA", { id: first.id, flags: DNS_QR, authorities: [soaRecord(60, 60)] }),
  );
  const second = script.upstream();
  script.reply(
    second.socket,
    dnsQuery("name.test A", { id: second.id, flags: DNS_QR, answers: [aRecord(60, [8, 8, 8, 8])] }),
  );
  assertEquals(dnsText(script.answer()).includes("64:ff9b::808:808"), true);
  assertEquals([script.namesOf("64:ff9b::8.8.8.8"), script.namesOf("8.8.8.8")], [["name.test"], ["name.test"]]);
});

// --- rebinding ---

/** Addresses that no answer from outside binds. */
const OWN = ["10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.77", "127.0.0.1", "127.9.9.9", "0.0.0.0", "192.0.2.100"];
const OWN6 = [
  "::1",
  "fd00::2",
  "fd00::3",
  "fd00::77",
  "fe80::1",
  "::",
  "64:ff9b::10.0.2.2",
  "64:ff9b::127.0.0.1",
  "2002:7f00:1::1",
];
/** Addresses that are not globally reachable. */
const NEAR = ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "169.254.169.254"];
const NEAR6 = [
  "fd12::1",
  "fd00:ec2::254",
  "64:ff9b::10.0.0.1",
  "2002:a00:1::1",
  "2001:0:a00:1::fefe:fefe",
  "::ffff:10.0.0.1",
];

const RULES = { more: { maps: ["192.0.2.100=127.0.0.1"] } };

Deno.test("an answer never binds the guest's subnets, the gateway, the address of a map or loopback, in any disguise", () => {
  for (const egress of [listOf(), allow("evil.test"), allow("*.test"), deny("x.test")]) {
    assertEquals(scriptUnder(egress, RULES).gives("evil.test", [...OWN, ...OWN6]).bound, []);
  }
});

Deno.test("an answer binds neighbours in a subnet that is relayed, and still nothing of the gateway's or the guest's", () => {
  const network = { ipv4: { guest: "10.0.2.15/24", gateway: "10.0.2.2", relaysSubnet: true } };
  const more = { network, dnsAddresses: ["10.0.2.3"], hostAliases: ["169.254.1.2"] };
  const own = ["10.0.2.2", "10.0.2.3", "10.0.2.15", "10.0.2.255", "169.254.1.2"];
  for (const egress of [listOf(), allow("in.test")]) {
    assertEquals(scriptUnder(egress, { more }).gives("in.test", [...own, "10.0.2.30"]).bound, ["10.0.2.30"]);
  }
  assertEquals(scriptUnder(allow("*.test"), { more }).gives("in.test", ["10.0.2.30"]).bound, []);
});

Deno.test("an allow-list takes those out of answers, unless a rule allows the address", () => {
  for (const egress of [allow("evil.test"), allow("*.test"), listOf("1.1.1.1")]) {
    assertEquals(scriptUnder(egress, RULES).gives("evil.test", [...OWN, ...OWN6]).given, []);
  }
  const some = scriptUnder(listOf(nameRule("allow", "*.test"), "10.0.2.2"), RULES);
  assertEquals(some.gives("evil.test", OWN), { given: ["10.0.2.2"], bound: [] });
});

Deno.test("what is not globally reachable is bound only to a name that a rule names exactly, and taken out of other answers", () => {
  const both = [...NEAR, ...NEAR6];
  assertEquals(scriptUnder(allow("in.test")).gives("in.test", both), { given: both, bound: both });
  assertEquals(scriptUnder(allow("*.test")).gives("in.test", both), { given: [], bound: [] });
  assertEquals(scriptUnder(allow("*.test", "in.test")).gives("in.test", both), { given: both, bound: both });
  const open = scriptUnder(listOf(nameRule("allow", "*.test"), "10.0.0.0/8"));
  assertEquals(open.gives("in.test", NEAR), { given: ["10.0.0.1"], bound: [] });
  const world = ["1.1.1.1", "2600::1"];
  assertEquals(scriptUnder(allow("*.test")).gives("in.test", world), { given: world, bound: world });
});

Deno.test("without an allow-list answers are not touched, and what is near is bound", () => {
  const both = [...NEAR, ...NEAR6];
  for (const egress of [listOf(), deny("x.test")]) {
    assertEquals(scriptUnder(egress).gives("in.test", both), { given: both, bound: both });
    assertEquals(scriptUnder(egress, RULES).gives("in.test", OWN).given, OWN);
  }
});

Deno.test("a list of addresses alone takes what is near and not on it out of answers, and leaves names open", () => {
  const script = scriptUnder(listOf("10.0.0.0/8", "203.0.113.0/24"));
  assertEquals(script.gives("in.test", NEAR).given, ["10.0.0.1"]);
  assertEquals(script.isForwarded("any.example A"), true);
});

Deno.test("a name that another names is exact only if that one is", () => {
  const exact = scriptUnder(allow("a.test"));
  exact.resolve("a.test A", {
    answers: [cnameRecord(60, "in.example"), named(aRecord(60, [10, 0, 0, 1]), "in.example")],
  });
  assertEquals(exact.namesOf("10.0.0.1"), ["a.test"]);
  assertEquals(exact.gives("in.example", ["10.0.0.5"]).given, ["10.0.0.5"]);
  const wild = scriptUnder(allow("*.test"));
  const answer = wild.resolve("a.test A", {
    answers: [cnameRecord(60, "in.example"), named(aRecord(60, [10, 0, 0, 1]), "in.example")],
  });
  assertEquals([wild.namesOf("10.0.0.1"), decodeDns(answer).answers], [[], 0]);
  assertEquals(wild.gives("in.example", ["10.0.0.5"]).given, []);
});

Deno.test("an answer from which all addresses went is empty and says for 5 s so, without AD; of others the rest is left", () => {
  const script = scriptUnder(allow("*.test"));
  const flags = DNS_QR | DNS_RD | DNS_RA | DNS_AD, near = aRecord(60, [10, 0, 0, 1]);
  assertEquals(
    dnsText(script.resolve("Gone.test A", { flags, answers: [near] }, { id: 7 })),
    `DNS answer 7 NOERROR, A? Gone.test., 0/1/0 records; ${madeSoaOf("Gone.test.")}`,
  );
  assertEquals(script.answered.at(-1)!.removed, ["10.0.0.1"]);
  const some = script.resolve("Some.test A", { flags, answers: [near, aRecord(60, [8, 8, 8, 8])] }, { id: 7 });
  assertEquals(dnsText(some), "DNS answer 7 NOERROR, A? Some.test., 1/0/0 records; Some.test. 1 60 8.8.8.8");
  assertEquals(decodeDns(some).flags & DNS_AD, 0);
  const { addresses, removed } = script.answered.at(-1)!;
  assertEquals([addresses, removed], [["8.8.8.8"], ["10.0.0.1"]]);
});

Deno.test("the cache keeps what resolvers have said, and each guest gets of it what rules let it have now", () => {
  const script = scriptUnder(allow("*.test"));
  script.resolve("a.test A", { answers: [aRecord(300, [10, 0, 0, 1])] });
  script.nat.replaceRules(allow("a.test"));
  assertEquals(dnsText(script.resolve("a.test A")).endsWith("10.0.0.1"), true);
  script.nat.replaceRules(allow("b.test"));
  assertEquals(decodeDns(script.resolve("a.test A")).flags & 15, NXDOMAIN);
  assertEquals(script.host.udpSockets.length, 1);
});
