import { assert, assertEquals } from "@std/assert";
import { MAX_DNS_PENDING, MAX_DNS_WAITERS } from "../../../nat/service/dns_service.ts";
import { DNS_ATTEMPT_MS, DNS_QUERY_MS } from "../../../nat/service/dns_exchange.ts";
import { LOCAL_DNS_NAMES } from "../../../nat/service/dns_local.ts";
import { Nat } from "../../../nat/nat.ts";
import { FlowKey } from "../../../nat/flow/flow_key.ts";
import { createTranslationRules, type TranslationOptions } from "../../../nat/rules/translation_options.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { DNS_QR, DNS_RD } from "../../../net/wire/dns.ts";
import {
  aRecord,
  assertSameButId,
  dnsAnswer,
  dnsMessage,
  dnsQuery,
  dnsText,
  type MessageFields,
  optRecord,
  soaRecord,
  txtRecord,
} from "../../support/dns_messages.ts";
import { DnsScript, SERVERS, target } from "../../support/dns_script.ts";
import { noise } from "../../support/packet_bytes.ts";
import { ScriptHost } from "../../support/script_host.ts";

const QUESTION = "name.test A";
const FOUND = "DNS answer 7 NOERROR, A? name.test., 1/0/0 records; name.test. 1";

/** A script whose guest has asked and been answered. */
function answered(fields: MessageFields, question = QUESTION, query: MessageFields = {}): DnsScript {
  const script = new DnsScript();
  script.ask(dnsQuery(question, query));
  const { socket, id } = script.upstream();
  script.reply(socket, dnsAnswer(question, { id, ...fields }));
  script.take();
  return script;
}

Deno.test("DnsService answers from the cache with the query's id, its letters, and TTLs less their age", () => {
  const script = answered({ answers: [aRecord(300)] });
  script.advance(100_500);
  script.ask(dnsQuery("nAmE.TESt A", { id: 7 }), { port: 50_000 });
  const { bytes, port } = script.take()[0]!;
  assertEquals(dnsText(bytes), "DNS answer 7 NOERROR, A? nAmE.TESt., 1/0/0 records; nAmE.TESt. 1 200 192.0.2.7");
  assertEquals([port, script.sockets().length], [50_000, 0]);
  script.advance(199_500);
  script.ask(dnsQuery(QUESTION, { id: 7 }));
  assertEquals(script.take(), []);
  script.upstream();
});

Deno.test("Nat knows its DNS by the address of either family, as far as guests have it", () => {
  const answers = (address: string, options: TranslationOptions = {}, port = 53) => {
    const { nat } = new DnsScript({ guests: 0, rules: options }), remote = IpAddress.parse(address);
    const own = IpAddress.parse(remote.isIpv4 ? "10.0.2.15" : "fd00::15");
    return nat.dnsFor(new FlowKey().set(1, 17, own, 40_000, remote, port)) !== null;
  };
  assertEquals([answers("10.0.2.3"), answers("fd00::3"), answers("fd12:3::3", { subnet6: "fd12:3::/64" })], [
    true,
    true,
    true,
  ]);
  assertEquals([answers("10.0.2.2"), answers("fd00::2"), answers("fd00::3", {}, 54)], [false, false, false]);
  assertEquals([answers("fd00::3", { families: "ipv4" }), answers("10.0.2.3", { families: "ipv6" })], [false, false]);
});

Deno.test("DnsService gives every guest its own letters back, also where the resolver changes them", () => {
  const script = new DnsScript({ guests: 2 });
  script.ask(dnsQuery("nAMe.test A", { id: 1 }));
  script.ask(dnsQuery("NAME.tesT A", { id: 2 }), { guest: 2, port: 999 });
  const { socket, id, message } = script.upstream();
  assertSameButId(message, dnsQuery("nAMe.test A"));
  script.reply(socket, dnsAnswer("name.test A", { id, answers: [aRecord(300)] }));
  assertEquals(script.take().map(({ guest, port, bytes }) => `${guest} ${port} ${dnsText(bytes)}`), [
    "1 40000 DNS answer 1 NOERROR, A? nAMe.test., 1/0/0 records; nAMe.test. 1 300 192.0.2.7",
    "2 999 DNS answer 2 NOERROR, A? NAME.tesT., 1/0/0 records; NAME.tesT. 1 300 192.0.2.7",
  ]);
  script.assertIdle();
});

Deno.test("DnsService tells askers apart by guest, port and id, however alike the rest is", () => {
  const script = new DnsScript({ guests: 2 });
  script.ask(dnsQuery(QUESTION, { id: 7 }));
  script.ask(dnsQuery(QUESTION, { id: 7 }), { guest: 2 });
  script.ask(dnsQuery(QUESTION, { id: 7 }), { port: 40_001 });
  script.ask(dnsQuery(QUESTION, { id: 8 }));
  const { socket, id } = script.upstream();
  assertEquals(socket.sent.length, 1, "none is a repetition");
  script.reply(socket, dnsAnswer(QUESTION, { id, answers: [aRecord(300)] }));
  assertEquals(script.take().map(({ guest, port, bytes }) => `${guest} ${port} ${bytes[1]}`), [
    "1 40000 7",
    "2 40000 7",
    "1 40001 7",
    "1 40000 8",
  ]);
});

Deno.test("DnsService keeps that there is nothing for as long as the SOA record says", () => {
  const script = answered({ flags: DNS_QR | 3, authorities: [soaRecord(900, 60)] });
  script.advance(59_000);
  script.ask(dnsQuery(QUESTION, { id: 7 }));
  assertEquals(dnsText(script.answer()), "DNS answer 7 NXDOMAIN, A? name.test., 0/1/0 records; test. 6 1 22");
  script.advance(1000);
  script.ask(dnsQuery(QUESTION));
  script.upstream();
});

Deno.test("DnsService keeps SERVFAIL of a resolver for 5 s", () => {
  const script = answered({ flags: DNS_QR | 2 });
  script.advance(4999);
  script.ask(dnsQuery(QUESTION, { id: 7 }));
  assertEquals(dnsText(script.answer()), "DNS answer 7 SERVFAIL, A? name.test.");
  script.advance(1);
  script.ask(dnsQuery(QUESTION));
  script.upstream();
});

Deno.test("DnsService asks anew for what may not be kept: TTL 0, truncated, refused", () => {
  const cases: MessageFields[] = [
    { answers: [aRecord(0)] },
    { answers: [aRecord(300)], flags: DNS_QR | 0x200 },
    { flags: DNS_QR | 5 },
    { flags: DNS_QR },
  ];
  for (const fields of cases) {
    const script = answered(fields);
    assertEquals(script.nat.dns!.cached, 0);
    script.ask(dnsQuery(QUESTION));
    script.upstream();
  }
});

Deno.test("DnsService keeps answers with and without RD, CD and DO apart", () => {
  const script = answered({ answers: [aRecord(300)] });
  const others: MessageFields[] = [
    { flags: 0 },
    { flags: DNS_RD | 0x10 },
    { additionals: [optRecord()] },
    { additionals: [optRecord(1232, 0x8000)] },
  ];
  for (const fields of others) {
    script.ask(dnsQuery(QUESTION, fields));
    script.upstream();
  }
  script.ask(dnsQuery("name.test AAAA"));
  script.upstream();
});

Deno.test("DnsService passes every other message and its answer on unchanged, and keeps nothing of it", () => {
  const messages: Uint8Array[] = [
    dnsMessage({ questions: [QUESTION, "b.test A"] }),
    dnsQuery("Name.test 65400"),
    dnsQuery("Name.test A", { additionals: [optRecord(4096, 0, [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])] }),
    new Uint8Array([...dnsQuery(QUESTION), 1, 2, 3]),
    // Only the first question is whole.
    dnsMessage({ questions: [QUESTION, "b.test A"] }).slice(0, -3),
  ];
  for (const message of messages) {
    const script = new DnsScript();
    script.ask(message);
    const { socket, id, message: sent } = script.upstream();
    assertSameButId(sent, message);
    // What a resolver would say to it does not matter: the same with the flag QR, and something behind.
    const reply = new Uint8Array([...message, 9, 8, 7]);
    reply.set([id >>> 8, id & 255, message[2]! | 0x80]);
    script.reply(socket, reply);
    assertSameButId(script.answer(), reply);
    assertEquals(script.nat.dns!.cached, 0);
    script.assertCounters({});
    script.assertIdle();
  }
});

Deno.test("DnsService tells repetitions of a message without a key from another one under the same id", () => {
  const script = new DnsScript(),
    cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
    withCookie = (name: string) => dnsQuery(`${name} SOA`, { id: 5, additionals: [optRecord(1232, 0, cookie)] });
  script.ask(withCookie("a.test"));
  const first = script.upstream();
  script.ask(withCookie("a.test"));
  assertEquals([script.sockets().length, first.socket.sent.length], [0, 2]);
  script.ask(withCookie("a.test"), { port: 40_001 });
  const other = script.upstream();
  script.ask(withCookie("b.test"));
  const second = script.upstream();
  assert(first.socket.closed && !other.socket.closed);
  script.reply(second.socket, dnsAnswer("b.test SOA", { id: second.id, flags: DNS_QR }));
  assertEquals(script.take().map(({ port }) => port), [40_000]);
  script.reply(other.socket, dnsAnswer("a.test SOA", { id: other.id, flags: DNS_QR }));
  assertEquals(script.take().map(({ port }) => port), [40_001]);
  script.assertIdle();
});

Deno.test("DnsService tells a guest to ask over TCP where the answer is larger than it takes", () => {
  const large = [txtRecord(300, 600)],
    script = answered({ answers: large, additionals: [optRecord()] }, "name.test TXT", {
      additionals: [optRecord(4096)],
    });
  script.ask(dnsQuery("name.test TXT", { id: 7, additionals: [optRecord(600)] }));
  assertEquals(dnsText(script.answer()), "DNS answer 7 NOERROR, truncated, TXT? name.test., 0/0/1 records; . 41 0 0");
  script.ask(dnsQuery("name.test TXT", { id: 7, additionals: [optRecord(700)] }));
  assert(script.answer().length > 600);
  script.ask(dnsQuery("name.test TXT", { id: 7 }));
  const { socket, id } = script.upstream();
  script.reply(socket, dnsAnswer("name.test TXT", { id, answers: large }));
  assertEquals(dnsText(script.answer()), "DNS answer 7 NOERROR, truncated, TXT? name.test.");
});

Deno.test("DnsService answers local names itself, with or without a resolver, and sends none of them out", () => {
  for (const servers of [[], SERVERS]) {
    const script = new DnsScript({ servers });
    for (const name of LOCAL_DNS_NAMES) {
      script.ask(dnsQuery(`${name} A`, { id: 7 }));
      assertEquals(
        dnsText(script.answer()),
        `DNS answer 7 NOERROR, A? ${name}., 1/0/0 records; ${name}. 1 60 10.0.2.2`,
      );
      script.ask(dnsQuery(`${name} AAAA`, { additionals: [optRecord(1232, 0, [0, 10, 0, 0])] }));
      assert(dnsText(script.answer()).startsWith("DNS answer 1 NOERROR, AAAA? "));
    }
    script.ask(dnsQuery("nothing.hawser.internal A"));
    assert(dnsText(script.answer()).startsWith("DNS answer 1 NXDOMAIN"));
    assertEquals(script.sockets(), []);
    script.assertCounters({});
  }
});

Deno.test("DnsService answers SERVFAIL at once while the host has no resolver, and asks the first that comes", () => {
  const script = new DnsScript({ servers: [] });
  script.ask(dnsQuery(QUESTION, { id: 7 }));
  assertEquals(dnsText(script.answer()), "DNS answer 7 SERVFAIL, A? name.test.");
  assertEquals(script.warnings, ["DNS query of 10.0.2.15 failed: the host has no resolver"]);
  script.assertCounters({ dnsUnanswered: 1 });
  script.servers = [target("127.0.0.53")];
  script.ask(dnsQuery(QUESTION, { id: 7 }));
  assertEquals(script.upstream().to, "127.0.0.53:53");
});

Deno.test("DnsService forgets what it knows when the host's resolvers have changed", () => {
  const script = answered({ answers: [aRecord(300)] });
  script.servers = [...script.servers];
  script.ask(dnsQuery(QUESTION));
  assertEquals(script.upstream().to, "192.0.2.53:53");
  assertEquals(script.nat.dns!.cached, 0);
  script.servers = [target("0.0.0.0"), target("198.51.100.53")];
  script.ask(dnsQuery("other.test A"));
  assertEquals(script.upstream().to, "198.51.100.53:53", "and asks none that is never relayed");
});

Deno.test("DnsService drops what is no query, under a counter, and never throws", () => {
  const script = new DnsScript();
  const bad = [
    new Uint8Array(0),
    dnsQuery(QUESTION).subarray(0, 11),
    dnsQuery(QUESTION).subarray(0, 20),
    dnsAnswer(QUESTION),
  ];
  for (const message of bad) script.ask(message);
  assertEquals([script.sockets().length, script.take().length], [0, 0]);
  script.assertCounters({ dnsMalformed: 4 });
  for (let seed = 1; seed <= 2000; seed++) {
    const message = dnsQuery(`${"n".repeat(1 + seed % 60)}.test A`, { additionals: [optRecord()] });
    const [at, value, cut] = noise(3, seed);
    message[at! % message.length] = value!;
    script.ask(message.subarray(0, message.length - (cut! < 60 ? cut! : 0)));
    for (const socket of script.sockets()) {
      const { bytes } = socket.sent[0]!, reply = new Uint8Array([...bytes, ...noise(seed % 30, seed)]);
      reply[2]! |= 0x80;
      reply[4 + at! % 8]! ^= value! & 3;
      script.reply(socket, reply);
    }
    script.take();
  }
  assert(script.nat.counters.dnsMismatched > 10 && script.nat.counters.dnsMalformed > 100);
  script.advance(DNS_QUERY_MS);
  script.assertIdle();
});

Deno.test("DnsService bounds the exchanges under way, and those who wait for one", () => {
  const script = new DnsScript();
  for (let i = 0; i <= MAX_DNS_PENDING; i++) script.ask(dnsQuery(`n${i}.test A`));
  assertEquals([script.nat.dns!.pending, script.sockets().length], [MAX_DNS_PENDING, MAX_DNS_PENDING]);
  script.assertCounters({ dnsPendingLimit: 1 });
  for (let i = 0; i < MAX_DNS_WAITERS; i++) script.ask(dnsQuery("n0.test A", { id: 100 + i }));
  script.assertCounters({ dnsPendingLimit: 2 });
  assertEquals(script.sockets(), []);
  script.advance(DNS_QUERY_MS);
  assertEquals(script.take().length, MAX_DNS_PENDING + MAX_DNS_WAITERS - 1);
  script.assertCounters({ dnsPendingLimit: 2, dnsUnanswered: MAX_DNS_PENDING });
  assert(script.warnings.length < 20, "the log is rationed");
  script.assertIdle();
});

Deno.test("DnsService lets a guest ask although another has asked for as many silent names as may be under way", () => {
  const script = new DnsScript({ guests: 2 });
  for (let i = 0; i <= MAX_DNS_PENDING; i++) script.ask(dnsQuery(`n${i}.test A`));
  script.assertCounters({ dnsPendingLimit: 1 });
  script.sockets();
  script.take();
  script.ask(dnsQuery(QUESTION, { id: 7 }), { guest: 2 });
  assertEquals(script.take().map(({ guest, bytes }) => `${guest} ${dnsText(bytes)}`), [
    "1 DNS answer 1 SERVFAIL, A? n0.test.",
  ]);
  script.assertCounters({ dnsPendingLimit: 2 });
  const { socket, id } = script.upstream();
  script.reply(socket, dnsAnswer(QUESTION, { id }));
  assertEquals(script.take().map(({ guest }) => guest), [2]);
  script.advance(DNS_QUERY_MS);
  script.take();
  script.assertIdle();
});

Deno.test("DnsService gives up what a guest asked longest ago for its next query, once a resolver was silent about it", () => {
  const script = new DnsScript();
  for (let i = 0; i < MAX_DNS_PENDING; i++) script.ask(dnsQuery(`n${i}.test A`));
  script.advance(DNS_ATTEMPT_MS);
  script.sockets();
  script.ask(dnsQuery(QUESTION, { id: 7 }));
  assertEquals([script.sockets().length, script.take().length], [1, 1]);
  script.assertCounters({ dnsPendingLimit: 1 });
  script.advance(DNS_QUERY_MS);
  script.take();
  script.assertIdle();
});

Deno.test("DnsService lets a guest wait for a name for which another waits as often as may be", () => {
  const script = new DnsScript({ guests: 2 });
  for (let i = 0; i < MAX_DNS_WAITERS; i++) script.ask(dnsQuery(QUESTION, { id: 100 + i }));
  script.ask(dnsQuery(QUESTION, { id: 7 }), { guest: 2 });
  script.assertCounters({ dnsPendingLimit: 1 });
  assertEquals(script.take().length, 1);
  const { socket, id } = script.upstream();
  script.reply(socket, dnsAnswer(QUESTION, { id }));
  assertEquals(script.take().filter(({ guest }) => guest === 2).length, 1);
  script.assertIdle();
});

Deno.test("DnsService answers none who has gone, and goes on for the others", () => {
  const script = new DnsScript({ guests: 2 });
  script.ask(dnsQuery(QUESTION, { id: 1 }));
  script.ask(dnsQuery(QUESTION, { id: 7 }), { guest: 2 });
  script.ask(dnsQuery("mine.test A"));
  const [shared, own] = script.sockets();
  script.nat.detach(script.guests[0]!);
  assertEquals([shared!.closed, own!.closed, script.nat.dns!.pending], [false, true, 1]);
  const { bytes } = shared!.sent[0]!;
  script.reply(shared!, dnsAnswer(QUESTION, { id: (bytes[0]! << 8) | bytes[1]!, answers: [aRecord(300)] }));
  assertEquals(script.take().map(({ guest, bytes }) => `${guest} ${dnsText(bytes)}`), [`2 ${FOUND} 300 192.0.2.7`]);
  script.ask(dnsQuery("more.test A"), { guest: 2 });
  script.nat.close();
  script.assertIdle();
});

Deno.test("DnsService sends an answer that the guest takes and its link does not carry in fragments, from the cache too", () => {
  const script = new DnsScript({ mtu: 576 }), ask = dnsQuery("name.test TXT", { additionals: [optRecord(4096)] });
  script.ask(ask);
  const { socket, id } = script.upstream(),
    answer = dnsAnswer("name.test TXT", { id, answers: [txtRecord(300, 1500)] });
  script.reply(socket, answer);
  script.ask(ask);
  const [first, second] = script.take();
  assertEquals([script.fragments, script.sockets()], [6, []]);
  for (const { bytes } of [first!, second!]) assertEquals(bytes.subarray(2), answer.subarray(2));
});

Deno.test("DnsService is asked on port 53 alone, and is not there where the rules know no DNS", () => {
  const script = new DnsScript();
  script.ask(dnsQuery(QUESTION), { to: 5353 });
  script.assertCounters({ neverRelayed: 1 });
  const rules = createTranslationRules(), logger = { debug() {}, info() {}, warn() {}, error() {} };
  const resolvers = () => SERVERS;
  const nat = new Nat({ host: new ScriptHost(), rules, logger, random: () => 1, maxFlows: 1, resolvers });
  assertEquals(nat.dns, null);
});
