import { assert, assertEquals } from "@std/assert";
import { EDE_BLOCKED, EDNS_EXTENDED_ERROR } from "../../../nat/service/dns_refusal.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { decodeDns, DNS_AD, DNS_CD, DNS_QR, DNS_RA, DNS_RD, DNS_TC } from "../../../net/wire/dns.ts";
import {
  aaaaRecord,
  aRecord,
  cnameRecord,
  dnsQuery,
  dnsText,
  madeSoaOf,
  type MessageFields,
  named,
  nameRecord,
  optRecord,
  pickOption,
} from "../../support/dns_messages.ts";
import { type DnsScript, scriptUnder } from "../../support/dns_script.ts";
import { allow, deny, listOf, nameRule } from "../../support/name_rules.ts";
import { noise } from "../../support/packet_bytes.ts";

const A = 1, AAAA = 28, DS = 43, DNSKEY = 48, NS = 2, SOA = 6, SVCB = 64, HTTPS = 65, NXDOMAIN = 3;

// --- asking ---

Deno.test("a name that no rule lets be asked does not exist, at once, and the guest that can read it learns why", () => {
  const script = scriptUnder(allow("a.test"));
  assertEquals(
    dnsText(script.resolve("Evil.Example A", {}, { id: 7 })),
    `DNS answer 7 NXDOMAIN, A? Evil.Example., 0/1/0 records; ${madeSoaOf("Evil.Example.")}`,
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
  const label = "a".repeat(63),
    name = `${label}.${label}.${label}.${"b".repeat(61)}`,
    script = scriptUnder(allow("a.test"));
  const small = script.resolve(`${name} A`, {}, { additionals: [optRecord(512)] });
  assert(small.length <= 512);
  assertEquals(decodeDns(small).records.map(({ type }) => type), [SOA, 41]);
  const large = script.resolve(`${name} A`, {}, { additionals: [optRecord(1232)] });
  assertEquals(extendedError(large).text.startsWith(label), true);
});

Deno.test("names above one that may be asked exist and are empty, but for what validators want of them", () => {
  const script = scriptUnder(allow("a.b.test", "*.w.example"));
  for (const above of ["b.test", "test", ".", "w.example", "example"]) {
    const question = above === "." ? "." : `${above}.`;
    assertEquals(
      dnsText(script.resolve(`${above} A`, {}, { id: 7 })),
      `DNS answer 7 NOERROR, A? ${question}, 0/1/0 records; ${madeSoaOf(question)}`,
    );
    for (const type of [DS, DNSKEY, NS, SOA]) {
      assertEquals(script.isForwarded(`${above} ${type}`), true, `${above} ${type}`);
    }
    for (const type of [AAAA, 16, HTTPS, 46]) {
      assertEquals(script.isForwarded(`${above} ${type}`), false, `${above} ${type}`);
    }
  }
  assertEquals(script.isForwarded(`x.test ${DS}`), false);
  assertEquals(script.isForwarded("c.b.test A"), false);
  assertEquals(script.isForwarded("x.w.example A"), true);
  assertEquals(script.answered[0]!.decision, "local");
});

Deno.test("names above a target that may be asked are empty too, but for what validators want of them", () => {
  const script = scriptUnder(allow("a.test"));
  assertEquals(script.isForwarded(`cdn.example ${DNSKEY}`), false);
  script.resolve("a.test A", { answers: [cnameRecord(60, "e.cdn.example"), named(aRecord(60), "e.cdn.example")] });
  assertEquals(script.isForwarded(`cdn.example ${DNSKEY}`), true);
  assertEquals(script.isForwarded(`e.cdn.example ${DS}`), true);
  assertEquals(decodeDns(script.resolve("cdn.example A")).flags & 15, 0);
});

Deno.test("a denied name on the way refuses the answer, and says which", () => {
  const script = scriptUnder(listOf(nameRule("allow", "*.test"), nameRule("deny", "evil.example")));
  const answers = [cnameRecord(60, "evil.example"), named(aRecord(60), "evil.example")];
  const answer = script.resolve("a.test A", { answers }, { additionals: [optRecord()] });
  assertEquals(decodeDns(answer).flags & 15, NXDOMAIN);
  assertEquals(extendedError(answer).text, "a.test leads to evil.example: deny evil.example (rules.txt:1)");
  assertEquals(script.namesOf("192.0.2.7"), []);
  const { decision, rule } = script.answered.at(-1)!;
  assertEquals([decision, rule?.text], ["refused", "deny evil.example"]);
  assertEquals(script.isForwarded("evil.example A"), false);
  script.assertCounters({ dnsRefused: 2 });
});

Deno.test("without an allow-list a denied name does not exist, if the deny is about every port; a deny on the way counts too", () => {
  const script = scriptUnder(listOf(nameRule("deny", "evil.test"), nameRule("deny", "some.test", { port: 80 })));
  assertEquals(decodeDns(script.resolve("evil.test A")).flags & 15, NXDOMAIN);
  assertEquals(script.isForwarded("some.test A"), true);
  assertEquals(script.isForwarded("x.evil.test A"), true);
  const answers = [cnameRecord(60, "evil.test"), named(aRecord(60), "evil.test")];
  assertEquals(decodeDns(script.resolve("a.test A", { answers })).flags & 15, NXDOMAIN);
});

Deno.test("local names are answered whatever the rules say", () => {
  for (const egress of [allow("a.test"), deny("host.hawser.internal")]) {
    const script = scriptUnder(egress);
    assertEquals(dnsText(script.resolve("host.hawser.internal A")).endsWith("10.0.2.2"), true);
    const { decision, addresses } = script.answered[0]!;
    assertEquals([decision, addresses], ["local", ["10.0.2.2"]]);
  }
});

Deno.test("clients are kept at this DNS as soon as a rule has a name, and not before", () => {
  for (const egress of [allow("a.test"), deny("a.test")]) {
    const script = scriptUnder(egress);
    const resolvers = decodeDns(script.resolve(`_dns.resolver.arpa ${SVCB}`));
    assertEquals([resolvers.flags & 15, resolvers.answers, resolvers.authorities], [0, 0, 1]);
    assertEquals(decodeDns(script.resolve("Use-Application-DNS.net A")).flags & 15, NXDOMAIN);
    assertEquals(script.host.udpSockets.length, 0);
    script.assertCounters({});
  }
  const open = scriptUnder(listOf("10.0.0.0/8"));
  assertEquals(open.isForwarded(`_dns.resolver.arpa ${SVCB}`), true);
  assertEquals(open.isForwarded("use-application-dns.net A"), true);
});

// --- what is sent on ---

Deno.test("what is sent on is made anew: lower case, RD, CD and DO as asked, and nothing else of the guest's message", () => {
  const script = scriptUnder(allow("a.test"));
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
  const script = scriptUnder(allow("a.test", "b.test"));
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
  const script = scriptUnder(allow("a.test"));
  const { flags, records } = decodeDns(script.resolve("a.test A", {}, { additionals: [optRecord(1232, 0x10000)] }));
  assertEquals([flags & 15, records[0]!.ttl >>> 24, script.host.udpSockets.length], [0, 1, 0]);
});

Deno.test("an answer that nobody can read is a failure while names decide, and passed on as it is otherwise", () => {
  const answers = [aRecord(60), { ...aRecord(60), data: new Uint8Array(3) }];
  const strict = scriptUnder(allow("a.test"));
  assertEquals(decodeDns(strict.resolve("a.test A", { answers })).flags & 15, 2);
  strict.assertCounters({ dnsUnanswered: 1 });
  for (const egress of [listOf(), listOf("10.0.0.0/8"), deny("b.test")]) {
    assertEquals(decodeDns(scriptUnder(egress).resolve("a.test A", { answers })).answers, 2);
  }
});

Deno.test("what hides from the gateway to whom a guest talks is taken out of answers while names decide", () => {
  const params = [0, 1, 0, 3, 2, 104, 50, 0, 4, 0, 4, 1, 1, 1, 1, 0, 5, 0, 2, 7, 7, 0, 6, 0, 16, ...new Uint8Array(16)];
  const answers = [nameRecord(HTTPS, 60, ".", [0, 1], params), aRecord(60, [10, 0, 0, 1])];
  const length = (script: DnsScript) => {
    const bytes = script.resolve(`a.test ${HTTPS}`, { answers }), [record] = decodeDns(bytes).records;
    return record!.dataEnd - record!.dataStart;
  };
  const script = scriptUnder(allow("*.test"));
  assertEquals(length(script), 3 + 7);
  assertEquals(script.answered[0]!.removed, ["ipv4hint", "ech", "ipv6hint", "10.0.0.1"]);
  const report = scriptUnder(allow("*.test"), { reportOnly: true });
  assertEquals(length(report), 3 + 7);
  assertEquals(report.answered[0]!.removed, ["ipv4hint", "ech", "ipv6hint"]);
  for (const egress of [listOf(), listOf("10.0.0.0/8"), deny("b.test")]) {
    assertEquals(length(scriptUnder(egress)), 3 + params.length);
  }
});

Deno.test("a filtered answer that is larger than the guest takes is truncated", () => {
  const script = scriptUnder(allow("*.test"));
  const answers = [aRecord(60, [10, 0, 0, 1]), ...Array.from({ length: 40 }, (_, i) => aRecord(60, [8, 8, 8, i]))];
  const answer = script.resolve("a.test A", { answers }), { flags, answers: count } = decodeDns(answer);
  assertEquals([flags & DNS_TC, count, script.namesOf("8.8.8.39")], [DNS_TC, 0, ["a.test"]]);
});

Deno.test("whatever a resolver answers while names decide, nothing throws, and nothing near is given or bound", () => {
  const script = scriptUnder(listOf(nameRule("allow", "*.test"))), near = IpAddress.parse("10.0.0.0");
  const whole = dnsQuery("a.test A", {
    id: 0,
    flags: DNS_QR,
    answers: [
      cnameRecord(1, "b.test"),
      named(aRecord(0, [10, 0, 0, 1]), "b.test"),
      nameRecord(HTTPS, 0, "c.test", [0, 1], [0, 4, 0, 4, 10, 0, 0, 2]),
      named(aRecord(0, [8, 8, 8, 8]), "b.test"),
      aaaaRecord(0, "64:ff9b::10.0.0.3"),
    ],
  });
  for (let seed = 1; seed <= 3000; seed++) {
    script.ask(dnsQuery("a.test A"));
    const { socket, id } = script.upstream(), bytes = whole.slice(), dice = noise(6, seed);
    for (let i = 0; i < 2; i++) bytes[24 + dice[i]! % (bytes.length - 24)] = dice[i + 2]!;
    bytes.set([id >> 8, id & 255]);
    script.reply(socket, bytes);
    for (const { bytes: answer } of script.take()) {
      for (const { type, class: klass, dataStart, dataEnd } of decodeDns(answer).records) {
        if (type !== A || klass !== 1) continue;
        const address = IpAddress.fromBytes(answer.subarray(dataStart, dataEnd));
        assert(address.w3 >>> 24 !== near.w3 >>> 24, `${address} after seed ${seed}`);
      }
    }
  }
  for (let last = 0; last < 256; last++) assertEquals(script.namesOf(`10.0.0.${last}`), []);
  assert(script.guests[0]!.bindings.size > 100);
});

// --- reports and records ---

Deno.test("a report refuses no name and takes out no address, and says what would have been refused", () => {
  const egress = listOf(nameRule("allow", "*.test"), nameRule("deny", "evil.example"));
  const script = scriptUnder(egress, { reportOnly: true });
  assertEquals(script.gives("other.example", ["10.0.0.1", "1.1.1.1"]), {
    given: ["10.0.0.1", "1.1.1.1"],
    bound: ["10.0.0.1", "1.1.1.1"],
  });
  assertEquals(script.answered.map(({ decision, wouldRefuse }) => [decision, wouldRefuse]), [
    ["forwarded", true],
    ["forwarded", true],
  ]);
  assertEquals(script.isForwarded("evil.example A"), true);
  const last = script.answered.at(-1)!;
  assertEquals([last.rule?.text, last.wouldRefuse], ["deny evil.example", true]);
  script.resolve("b.test A", { answers: [cnameRecord(60, "evil.example"), named(aRecord(60), "evil.example")] });
  const alias = script.answered.at(-1)!;
  assertEquals([alias.rule?.text, alias.wouldRefuse, alias.addresses], ["deny evil.example", true, ["192.0.2.7"]]);
  assertEquals(script.isForwarded("test A"), true);
  script.resolve("a.test A", { answers: [aRecord(60)] });
  const allowed = script.answered.at(-1)!;
  assertEquals([allowed.rule?.text, allowed.wouldRefuse, allowed.addresses], ["allow *.test", undefined, [
    "192.0.2.7",
  ]]);
  assertEquals(decodeDns(script.resolve(`_dns.resolver.arpa ${SVCB}`)).answers, 0);
  script.assertCounters({});
});

Deno.test("dnsAnswered tells who answered, by which rule, and what the guest got", () => {
  const script = scriptUnder(allow("a.test"));
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
  const records = { isAvailable: false }, script = scriptUnder(listOf(), { records });
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
  const script = scriptUnder(allow("a.test"));
  script.ask(dnsQuery("A.test A"));
  script.upstream();
  assertEquals(script.answered, []);
  script.nat.detach(script.guests[0]!);
  assertEquals(script.answered.map(({ name, rcode, decision, addresses }) => [name, rcode, decision, addresses]), [
    ["a.test", null, "forwarded", []],
  ]);
});
