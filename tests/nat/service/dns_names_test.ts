import { assert, assertEquals } from "@std/assert";
import { EDE_BLOCKED, EDNS_EXTENDED_ERROR } from "../../../nat/service/dns_refusal.ts";
import type { RuleList } from "../../../nat/rules/rule_list.ts";
import type { ScriptRules } from "../../support/rules.ts";
import {
  decodeDns,
  DNS_AD,
  DNS_CD,
  DNS_QR,
  DNS_RA,
  DNS_RD,
  DNS_TC,
  type DnsRecordFields,
} from "../../../net/wire/dns.ts";
import {
  aaaaRecord,
  aRecord,
  cnameRecord,
  dnsQuery,
  dnsText,
  type MessageFields,
  nameRecord,
  optRecord,
  pickOption,
  soaRecord,
} from "../../support/dns_messages.ts";
import { DnsScript, type DnsScriptOptions } from "../../support/dns_script.ts";
import { listOf, nameRule } from "../../support/name_rules.ts";

const A = 1, AAAA = 28, DS = 43, DNSKEY = 48, NS = 2, SOA = 6, SVCB = 64, HTTPS = 65, SRV = 33;
const NXDOMAIN = 3;

/** What an answer ends with that rules make. */
function soaOf(name: string): string {
  return `${name} 6 5 38`;
}

function allow(...names: string[]): RuleList {
  return listOf(...names.map((name) => nameRule("allow", name)));
}

function deny(...names: string[]): RuleList {
  return listOf(...names.map((name) => nameRule("deny", name)));
}

function start(egress: RuleList, options: DnsScriptOptions & { more?: ScriptRules } = {}): DnsScript {
  return new DnsScript({ ...options, rules: { egress, ...options.more } });
}

function named(record: DnsRecordFields, name: string): DnsRecordFields {
  return { ...record, name };
}

/** Whether a question is sent on. */
function isForwarded(script: DnsScript, question: string, fields: MessageFields = {}): boolean {
  script.ask(dnsQuery(question, fields));
  const sockets = script.sockets();
  for (const socket of sockets) {
    const { id } = decodeDns(socket.sent[0]!.bytes);
    script.reply(socket, dnsQuery(question, { id, flags: DNS_QR | NXDOMAIN, authorities: [soaRecord(0, 0)] }));
  }
  script.take();
  return sockets.length > 0;
}

// --- what binds ---

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
  const script = start(allow("a.test"));
  const end = named(aRecord(60), "edge.cdn.example");
  script.resolve("a.test A", {
    answers: [cnameRecord(60, "b.cdn.example"), named(cnameRecord(60, "edge.cdn.example"), "b.cdn.example"), end],
  });
  assertEquals(script.namesOf("192.0.2.7"), ["a.test"]);
  script.resolve("EDGE.cdn.example A", { answers: [aRecord(60, [192, 0, 2, 8])] });
  assertEquals(script.namesOf("192.0.2.8"), ["a.test"]);
  assertEquals(isForwarded(script, "b.cdn.example AAAA"), true);
  assertEquals(isForwarded(script, "other.cdn.example A"), false);
  assertEquals(isForwarded(script, "a.edge.cdn.example A"), false);
});

Deno.test("DnsService lets another guest not ask for what an answer to this one has named, nor this one for ever", () => {
  const script = start(allow("a.test"), { guests: 2, namesTtlS: 100 });
  script.resolve("a.test A", { answers: [cnameRecord(60, "b.example"), named(aRecord(60), "b.example")] });
  script.ask(dnsQuery("b.example A"), { guest: 2 });
  assertEquals([script.sockets().length, script.take().length], [0, 1]);
  script.advance(99_000);
  assertEquals(isForwarded(script, "b.example A"), true);
  script.advance(1001);
  assertEquals(isForwarded(script, "b.example A"), false);
});

Deno.test("DnsService lets the servers of a service be asked that an answer has named, and credits their addresses", () => {
  const script = start(allow("a.test"));
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

/** Of these addresses those that are in the answer, and those that are bound. */
function kept(script: DnsScript, name: string, addresses: readonly string[]): { given: string[]; bound: string[] } {
  const given: string[] = [];
  for (const address of addresses) {
    const isIpv4 = !address.includes(":");
    const record = isIpv4 ? aRecord(60, address.split(".").map(Number)) : aaaaRecord(60, address);
    const bytes = script.resolve(`${name} ${isIpv4 ? "A" : "AAAA"}`, { answers: [{ ...record, ttl: 0 }] });
    if (decodeDns(bytes).records.some(({ type }) => type === A || type === AAAA)) given.push(address);
  }
  return { given, bound: addresses.filter((address) => script.namesOf(address).includes(name)) };
}

const RULES = { more: { maps: ["192.0.2.100=127.0.0.1"] } };

Deno.test("an answer never binds the guest's subnets, the gateway, the address of a map or loopback, in any disguise", () => {
  for (const egress of [listOf(), allow("evil.test"), allow("*.test"), deny("x.test")]) {
    assertEquals(kept(start(egress, RULES), "evil.test", [...OWN, ...OWN6]).bound, []);
  }
});

Deno.test("an allow-list takes those out of answers, unless a rule allows the address", () => {
  for (const egress of [allow("evil.test"), allow("*.test"), listOf("1.1.1.1")]) {
    assertEquals(kept(start(egress, RULES), "evil.test", [...OWN, ...OWN6]).given, []);
  }
  const some = start(listOf(nameRule("allow", "*.test"), "10.0.2.2"), RULES);
  assertEquals(kept(some, "evil.test", OWN), { given: ["10.0.2.2"], bound: [] });
});

Deno.test("what is not globally reachable is bound only to a name that a rule names exactly, and taken out of other answers", () => {
  const both = [...NEAR, ...NEAR6];
  assertEquals(kept(start(allow("in.test")), "in.test", both), { given: both, bound: both });
  assertEquals(kept(start(allow("*.test")), "in.test", both), { given: [], bound: [] });
  assertEquals(kept(start(allow("*.test", "in.test")), "in.test", both), { given: both, bound: both });
  const open = start(listOf(nameRule("allow", "*.test"), "10.0.0.0/8"));
  assertEquals(kept(open, "in.test", NEAR), { given: ["10.0.0.1"], bound: [] });
  const world = ["1.1.1.1", "2600::1"];
  assertEquals(kept(start(allow("*.test")), "in.test", world), { given: world, bound: world });
});

Deno.test("without an allow-list answers are not touched, and what is near is bound", () => {
  const both = [...NEAR, ...NEAR6];
  for (const egress of [listOf(), deny("x.test")]) {
    assertEquals(kept(start(egress), "in.test", both), { given: both, bound: both });
    assertEquals(kept(start(egress, RULES), "in.test", OWN).given, OWN);
  }
});

Deno.test("a list of addresses alone takes what is near and not on it out of answers, and leaves names open", () => {
  const script = start(listOf("10.0.0.0/8", "203.0.113.0/24"));
  assertEquals(kept(script, "in.test", NEAR).given, ["10.0.0.1"]);
  assertEquals(isForwarded(script, "any.example A"), true);
});

Deno.test("a name that another names is exact only if that one is", () => {
  const exact = start(allow("a.test"));
  exact.resolve("a.test A", {
    answers: [cnameRecord(60, "in.example"), named(aRecord(60, [10, 0, 0, 1]), "in.example")],
  });
  assertEquals(exact.namesOf("10.0.0.1"), ["a.test"]);
  assertEquals(kept(exact, "in.example", ["10.0.0.5"]).given, ["10.0.0.5"]);
  const wild = start(allow("*.test"));
  const answer = wild.resolve("a.test A", {
    answers: [cnameRecord(60, "in.example"), named(aRecord(60, [10, 0, 0, 1]), "in.example")],
  });
  assertEquals([wild.namesOf("10.0.0.1"), decodeDns(answer).answers], [[], 0]);
  assertEquals(kept(wild, "in.example", ["10.0.0.5"]).given, []);
});

Deno.test("an answer from which all addresses went is empty and says for 5 s so, without AD; of others the rest is left", () => {
  const script = start(allow("*.test"));
  const flags = DNS_QR | DNS_RD | DNS_RA | DNS_AD, near = aRecord(60, [10, 0, 0, 1]);
  assertEquals(
    dnsText(script.resolve("Gone.test A", { flags, answers: [near] }, { id: 7 })),
    `DNS answer 7 NOERROR, A? Gone.test., 0/1/0 records; ${soaOf("Gone.test.")}`,
  );
  assertEquals(script.answered.at(-1)!.removed, ["10.0.0.1"]);
  const some = script.resolve("Some.test A", { flags, answers: [near, aRecord(60, [8, 8, 8, 8])] }, { id: 7 });
  assertEquals(dnsText(some), "DNS answer 7 NOERROR, A? Some.test., 1/0/0 records; Some.test. 1 60 8.8.8.8");
  assertEquals(decodeDns(some).flags & DNS_AD, 0);
  const { addresses, removed } = script.answered.at(-1)!;
  assertEquals([addresses, removed], [["8.8.8.8"], ["10.0.0.1"]]);
});

Deno.test("the cache keeps what resolvers have said, and each guest gets of it what rules let it have now", () => {
  const script = start(allow("*.test"));
  script.resolve("a.test A", { answers: [aRecord(300, [10, 0, 0, 1])] });
  script.nat.replaceRules(allow("a.test"));
  assertEquals(dnsText(script.resolve("a.test A")).endsWith("10.0.0.1"), true);
  script.nat.replaceRules(allow("b.test"));
  assertEquals(decodeDns(script.resolve("a.test A")).flags & 15, NXDOMAIN);
  assertEquals(script.host.udpSockets.length, 1);
});

// --- asking ---

Deno.test("a name that no rule lets be asked does not exist, at once, and the guest that can read it learns why", () => {
  const script = start(allow("a.test"));
  assertEquals(
    dnsText(script.resolve("Evil.Example A", {}, { id: 7 })),
    `DNS answer 7 NXDOMAIN, A? Evil.Example., 0/1/0 records; ${soaOf("Evil.Example.")}`,
  );
  const answer = script.resolve("evil.example A", {}, { additionals: [optRecord(1232, 0x8000)] });
  const { code, text } = extendedError(answer);
  assertEquals([code, text], [EDE_BLOCKED, "evil.example: no allow rule matches; --allow evil.example would"]);
  assertEquals(decodeDns(answer).records.at(-1)!.ttl & 0x8000, 0x8000, "DO is repeated");
  script.assertCounters({ dnsRefused: 2 });
  assertEquals(
    script.warnings[0],
    "Refused DNS of guest 1: evil.example: no allow rule matches; --allow evil.example would",
  );
  script.resolve("no\\032name.example A");
  assertEquals(script.warnings[2], "Refused DNS of guest 1: no\\032name.example: no allow rule matches");
  assertEquals(script.host.udpSockets.length, 0);
});

/** The extended error of an answer. */
function extendedError(bytes: Uint8Array): { code: number; text: string } {
  const { dataStart, dataEnd } = decodeDns(bytes).records.at(-1)!;
  const option = pickOption(bytes.subarray(dataStart, dataEnd), EDNS_EXTENDED_ERROR)!;
  return { code: (option[0]! << 8) | option[1]!, text: new TextDecoder().decode(option.subarray(2)) };
}

Deno.test("an answer with a reason fits what the guest takes over UDP, or comes without the reason", () => {
  const label = "a".repeat(63), name = `${label}.${label}.${label}.${"b".repeat(61)}`, script = start(allow("a.test"));
  const small = script.resolve(`${name} A`, {}, { additionals: [optRecord(512)] });
  assert(small.length <= 512);
  assertEquals(decodeDns(small).records.map(({ type }) => type), [SOA, 41]);
  const large = script.resolve(`${name} A`, {}, { additionals: [optRecord(1232)] });
  assertEquals(extendedError(large).text.startsWith(label), true);
});

Deno.test("names above one that may be asked exist and are empty, but for what validators want of them", () => {
  const script = start(allow("a.b.test", "*.w.example"));
  for (const above of ["b.test", "test", ".", "w.example", "example"]) {
    const question = above === "." ? "." : `${above}.`;
    assertEquals(
      dnsText(script.resolve(`${above} A`, {}, { id: 7 })),
      `DNS answer 7 NOERROR, A? ${question}, 0/1/0 records; ${soaOf(question)}`,
    );
    for (const type of [DS, DNSKEY, NS, SOA]) {
      assertEquals(isForwarded(script, `${above} ${type}`), true, `${above} ${type}`);
    }
    for (const type of [AAAA, 16, HTTPS, 46]) {
      assertEquals(isForwarded(script, `${above} ${type}`), false, `${above} ${type}`);
    }
  }
  assertEquals(isForwarded(script, `x.test ${DS}`), false);
  assertEquals(isForwarded(script, "c.b.test A"), false);
  assertEquals(isForwarded(script, "x.w.example A"), true);
  assertEquals(script.answered[0]!.decision, "local");
});

Deno.test("names above a target that may be asked are empty too, but for what validators want of them", () => {
  const script = start(allow("a.test"));
  assertEquals(isForwarded(script, `cdn.example ${DNSKEY}`), false);
  script.resolve("a.test A", { answers: [cnameRecord(60, "e.cdn.example"), named(aRecord(60), "e.cdn.example")] });
  assertEquals(isForwarded(script, `cdn.example ${DNSKEY}`), true);
  assertEquals(isForwarded(script, `e.cdn.example ${DS}`), true);
  assertEquals(decodeDns(script.resolve("cdn.example A")).flags & 15, 0);
});

Deno.test("a denied name on the way refuses the answer, and says which", () => {
  const script = start(listOf(nameRule("allow", "*.test"), nameRule("deny", "evil.example")));
  const answers = [cnameRecord(60, "evil.example"), named(aRecord(60), "evil.example")];
  const answer = script.resolve("a.test A", { answers }, { additionals: [optRecord()] });
  assertEquals(decodeDns(answer).flags & 15, NXDOMAIN);
  assertEquals(extendedError(answer).text, "a.test leads to evil.example: deny evil.example (rules.txt:1)");
  assertEquals(script.namesOf("192.0.2.7"), []);
  const { decision, rule } = script.answered.at(-1)!;
  assertEquals([decision, rule?.text], ["refused", "deny evil.example"]);
  assertEquals(isForwarded(script, "evil.example A"), false);
  script.assertCounters({ dnsRefused: 2 });
});

Deno.test("without an allow-list a denied name does not exist, if the deny is about every port; a deny on the way counts too", () => {
  const script = start(listOf(nameRule("deny", "evil.test"), nameRule("deny", "some.test", { port: 80 })));
  assertEquals(decodeDns(script.resolve("evil.test A")).flags & 15, NXDOMAIN);
  assertEquals(isForwarded(script, "some.test A"), true);
  assertEquals(isForwarded(script, "x.evil.test A"), true);
  const answers = [cnameRecord(60, "evil.test"), named(aRecord(60), "evil.test")];
  assertEquals(decodeDns(script.resolve("a.test A", { answers })).flags & 15, NXDOMAIN);
});

Deno.test("local names are answered whatever the rules say", () => {
  for (const egress of [allow("a.test"), deny("host.hawser.internal")]) {
    const script = start(egress);
    assertEquals(dnsText(script.resolve("host.hawser.internal A")).endsWith("10.0.2.2"), true);
    const { decision, addresses } = script.answered[0]!;
    assertEquals([decision, addresses], ["local", ["10.0.2.2"]]);
  }
});

Deno.test("clients are kept at this DNS as soon as a rule has a name, and not before", () => {
  for (const egress of [allow("a.test"), deny("a.test")]) {
    const script = start(egress);
    const resolvers = decodeDns(script.resolve(`_dns.resolver.arpa ${SVCB}`));
    assertEquals([resolvers.flags & 15, resolvers.answers, resolvers.authorities], [0, 0, 1]);
    assertEquals(decodeDns(script.resolve("Use-Application-DNS.net A")).flags & 15, NXDOMAIN);
    assertEquals(script.host.udpSockets.length, 0);
    script.assertCounters({});
  }
  const open = start(listOf("10.0.0.0/8"));
  assertEquals(isForwarded(open, `_dns.resolver.arpa ${SVCB}`), true);
  assertEquals(isForwarded(open, "use-application-dns.net A"), true);
});

// --- what is sent on ---

Deno.test("what is sent on is made anew: lower case, RD, CD and DO as asked, and nothing else of the guest's message", () => {
  const script = start(allow("a.test"));
  const sent = (fields: MessageFields, question = "A.tEST A") => {
    script.ask(dnsQuery(question, fields));
    const { socket, message, id } = script.upstream();
    script.reply(socket, dnsQuery(question, { id, flags: DNS_QR, answers: [aRecord(0)] }));
    assertEquals(dnsText(script.answer()).includes("A.tEST."), true, "the guest has its letters back");
    return message;
  };
  const made = (fields: MessageFields) => [...dnsQuery("a.test A", fields)].slice(2);
  assertEquals([...sent({})].slice(2), made({}));
  assertEquals([...sent({ flags: DNS_CD })].slice(2), made({ flags: DNS_CD }));
  const odd = { flags: DNS_RD | DNS_AD | DNS_TC | DNS_RA | 0x40 | 5 };
  assertEquals([...sent(odd)].slice(2), made({ flags: DNS_RD }));
  const options = {
    additionals: [optRecord(4096, 0xc000, [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 0, 2, 104, 105])],
  };
  assertEquals([...sent(options)].slice(2), made({ additionals: [optRecord(1232, 0x8000)] }));
  const records = { additionals: [aRecord(9)], answers: [aRecord(9)], authorities: [aRecord(9)] };
  assertEquals([...sent(records)].slice(2), made({}));
});

Deno.test("other operations are not done, and what is no single question of class IN, or broken, is a form error", () => {
  const script = start(allow("a.test", "b.test"));
  const rcode = (bytes: Uint8Array) => {
    script.ask(bytes);
    return decodeDns(script.answer()).flags & 15;
  };
  for (const opcode of [1, 2, 4, 5, 6, 15]) assertEquals(rcode(dnsQuery("a.test A", { flags: opcode << 11 })), 4);
  assertEquals(rcode(dnsQuery("a.test AXFR")), 4);
  script.assertCounters({ dnsNotQuery: 7 });
  const whole = dnsQuery("a.test A", { additionals: [optRecord()] });
  const broken = [
    dnsQuery("", { questions: [] }),
    dnsQuery("", { questions: ["a.test A", "b.test A"] }),
    dnsQuery("a.test A 3"),
    dnsQuery("a.test A 255"),
    new Uint8Array([...whole, 0]),
    whole.subarray(0, -1),
    whole.subarray(0, 20),
    whole.subarray(0, 12),
    dnsQuery("a.test A", { additionals: [optRecord(), optRecord()] }),
  ];
  for (const message of broken) assertEquals(rcode(message), 1, message.toString());
  script.assertCounters({ dnsNotQuery: 7, dnsMalformed: broken.length });
  for (const silent of [whole.subarray(0, 11), dnsQuery("a.test A", { flags: DNS_QR })]) script.ask(silent);
  assertEquals([script.take().length, script.host.udpSockets.length], [0, 0]);
});

Deno.test("another version of EDNS is refused by its own code, which is in two places", () => {
  const script = start(allow("a.test"));
  const { flags, records } = decodeDns(script.resolve("a.test A", {}, { additionals: [optRecord(1232, 0x10000)] }));
  assertEquals([flags & 15, records[0]!.ttl >>> 24, script.host.udpSockets.length], [0, 1, 0]);
});

Deno.test("an answer that nobody can read is a failure while names decide, and passed on as it is otherwise", () => {
  const answers = [aRecord(60), { ...aRecord(60), data: new Uint8Array(3) }];
  const strict = start(allow("a.test"));
  assertEquals(decodeDns(strict.resolve("a.test A", { answers })).flags & 15, 2);
  strict.assertCounters({ dnsUnanswered: 1 });
  for (const egress of [listOf(), listOf("10.0.0.0/8"), deny("b.test")]) {
    assertEquals(decodeDns(start(egress).resolve("a.test A", { answers })).answers, 2);
  }
});

Deno.test("what hides from the gateway to whom a guest talks is taken out of answers while names decide", () => {
  const params = [0, 1, 0, 3, 2, 104, 50, 0, 4, 0, 4, 1, 1, 1, 1, 0, 5, 0, 2, 7, 7, 0, 6, 0, 16, ...new Uint8Array(16)];
  const answers = [nameRecord(HTTPS, 60, ".", [0, 1], params), aRecord(60, [10, 0, 0, 1])];
  const length = (script: DnsScript) => {
    const bytes = script.resolve(`a.test ${HTTPS}`, { answers }), [record] = decodeDns(bytes).records;
    return record!.dataEnd - record!.dataStart;
  };
  const script = start(allow("*.test"));
  assertEquals(length(script), 3 + 7);
  assertEquals(script.answered[0]!.removed, ["ipv4hint", "ech", "ipv6hint", "10.0.0.1"]);
  const report = start(allow("*.test"), { reportOnly: true });
  assertEquals(length(report), 3 + 7);
  assertEquals(report.answered[0]!.removed, ["ipv4hint", "ech", "ipv6hint"]);
  for (const egress of [listOf(), listOf("10.0.0.0/8"), deny("b.test")]) {
    assertEquals(length(start(egress)), 3 + params.length);
  }
});

Deno.test("a filtered answer that is larger than the guest takes is truncated", () => {
  const script = start(allow("*.test"));
  const answers = [aRecord(60, [10, 0, 0, 1]), ...Array.from({ length: 40 }, (_, i) => aRecord(60, [8, 8, 8, i]))];
  const answer = script.resolve("a.test A", { answers }), { flags, answers: count } = decodeDns(answer);
  assertEquals([flags & DNS_TC, count, script.namesOf("8.8.8.39")], [DNS_TC, 0, ["a.test"]]);
});

// --- reports and records ---

Deno.test("a report refuses no name and takes out no address, and says what would have been refused", () => {
  const egress = listOf(nameRule("allow", "*.test"), nameRule("deny", "evil.example"));
  const script = start(egress, { reportOnly: true });
  assertEquals(kept(script, "other.example", ["10.0.0.1", "1.1.1.1"]), {
    given: ["10.0.0.1", "1.1.1.1"],
    bound: ["10.0.0.1", "1.1.1.1"],
  });
  assertEquals(script.answered.map(({ decision, wouldRefuse }) => [decision, wouldRefuse]), [
    ["forwarded", true],
    ["forwarded", true],
  ]);
  assertEquals(isForwarded(script, "evil.example A"), true);
  const last = script.answered.at(-1)!;
  assertEquals([last.rule?.text, last.wouldRefuse], ["deny evil.example", true]);
  assertEquals(isForwarded(script, "test A"), true);
  script.resolve("a.test A", { answers: [aRecord(60)] });
  const allowed = script.answered.at(-1)!;
  assertEquals([allowed.rule?.text, allowed.wouldRefuse, allowed.addresses], ["allow *.test", undefined, [
    "192.0.2.7",
  ]]);
  assertEquals(decodeDns(script.resolve(`_dns.resolver.arpa ${SVCB}`)).answers, 0);
  script.assertCounters({});
});

Deno.test("dnsAnswered tells who answered, by which rule, and what the guest got", () => {
  const script = start(allow("a.test"));
  script.resolve("A.test A", { answers: [cnameRecord(60, "B.example"), named(aRecord(60), "b.EXAMPLE")] });
  const rule = script.nat.rules.egress.rules[0]!;
  assertEquals(script.answered, [{
    type: "dnsAnswered",
    guestNumber: 1,
    name: "a.test",
    recordType: A,
    via: "udp",
    rcode: 0,
    decision: "forwarded",
    rule,
    addresses: ["192.0.2.7"],
    cnames: ["b.example"],
    removed: [],
  }]);
  script.resolve("b.example A", { answers: [aRecord(60)] });
  assertEquals(script.answered[1]!.rule, rule, "a target is allowed by the rule of its origin");
  script.resolve("c.example A");
  assertEquals([script.answered[2]!.decision, script.answered[2]!.rule, script.answered[2]!.rcode], [
    "refused",
    null,
    3,
  ]);
  script.resolve(". A");
  assertEquals(script.answered[3]!.name, ".");
});

Deno.test("while nothing can be recorded no query is answered, and one whose answer cannot be recorded fails", () => {
  const records = { isAvailable: false }, script = start(listOf(), { records });
  assertEquals(decodeDns(script.resolve("a.test A")).flags & 15, 2);
  assertEquals(decodeDns(script.resolve("host.hawser.internal A")).flags & 15, 2);
  script.assertCounters({ auditUnavailable: 2 });
  records.isAvailable = true;
  script.ask(dnsQuery("a.test A"));
  const { socket, id } = script.upstream();
  records.isAvailable = false;
  script.reply(socket, dnsQuery("a.test A", { id, flags: DNS_QR, answers: [aRecord(60)] }));
  assertEquals(decodeDns(script.answer()).flags & 15, 2);
  script.assertCounters({ auditUnavailable: 3 });
  assertEquals(script.answered.map(({ rcode, isUnrecorded = false }) => [rcode, isUnrecorded]), [
    [null, true],
    [null, true],
    [0, false],
    [null, true],
  ]);
});

Deno.test("dnsAnswered tells of a query that was passed on though its guest is gone before the answer comes", () => {
  const script = start(allow("a.test"));
  script.ask(dnsQuery("A.test A"));
  script.upstream();
  assertEquals(script.answered, []);
  script.nat.detach(script.guests[0]!);
  assertEquals(script.answered.map(({ name, rcode, decision, addresses }) => [name, rcode, decision, addresses]), [
    ["a.test", null, "forwarded", []],
  ]);
});
