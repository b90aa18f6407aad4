import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { DNS_ATTEMPT_MS, DNS_QUERY_MS } from "../../../nat/service/dns_exchange.ts";
import { DNS_QR, DNS_TC } from "../../../net/wire/dns.ts";
import { aRecord, dnsAnswer, dnsMessage, dnsQuery, dnsText } from "../../support/dns_messages.ts";
import { DnsScript, SERVERS, target } from "../../support/dns_script.ts";

const QUESTION = "name.test A";
const ANSWER = { answers: [aRecord(300)] };
const FAILED = "DNS answer 9 SERVFAIL, A? name.test.";

Deno.test("DnsExchange asks with an id of its own from a socket of its own", () => {
  const script = new DnsScript({ servers: SERVERS });
  script.ids.push(0x1111, 0x2222);
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const first = script.upstream();
  script.ask(dnsQuery("other.test A", { id: 9 }));
  const second = script.upstream();
  assertEquals([first.id, second.id, first.to], [0x1111, 0x2222, "192.0.2.53:53"]);
  assertNotEquals(first.socket, second.socket);
  assertEquals([...first.message.subarray(2)], [...dnsQuery(QUESTION).subarray(2)]);
  script.reply(first.socket, dnsAnswer(QUESTION, { id: first.id, ...ANSWER }));
  assert(first.socket.closed && !second.socket.closed);
  assertEquals(
    dnsText(script.answer()),
    "DNS answer 9 NOERROR, A? name.test., 1/0/0 records; name.test. 1 300 192.0.2.7",
  );
  script.reply(second.socket, dnsAnswer("other.test A", { id: second.id, ...ANSWER }));
  script.assertCounters({});
  script.assertIdle();
});

Deno.test("DnsExchange takes no answer with another id, question, kind or source, and goes on waiting", () => {
  const script = new DnsScript({ servers: SERVERS.slice(0, 2) });
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const { socket, id } = script.upstream(), good = { id, ...ANSWER };
  const forged: [string, Uint8Array, ReturnType<typeof target>?][] = [
    ["another id", dnsAnswer(QUESTION, { ...good, id: id ^ 1 })],
    ["the guest's id", dnsAnswer(QUESTION, { ...good, id: 9 })],
    ["another name", dnsAnswer("nama.test A", good)],
    ["a longer name", dnsAnswer("name.test.test A", good)],
    ["another type", dnsAnswer("name.test AAAA", good)],
    ["another class", dnsAnswer("name.test A 3", good)],
    ["two questions", dnsAnswer("", { ...good, questions: [QUESTION, QUESTION] })],
    ["no question, and no error", dnsAnswer("", { ...good, questions: [] })],
    ["a query", dnsQuery(QUESTION, good)],
    ["another operation", dnsAnswer(QUESTION, { ...good, flags: DNS_QR | (5 << 11) })],
    ["nothing", new Uint8Array(0)],
    ["half a header", dnsAnswer(QUESTION, good).subarray(0, 11)],
    ["half a question", dnsAnswer(QUESTION, good).subarray(0, 20)],
    ["another address", dnsAnswer(QUESTION, good), target("192.0.2.54")],
    ["another port", dnsAnswer(QUESTION, good), target("192.0.2.53", 5353)],
    ["a resolver that was not asked", dnsAnswer(QUESTION, good), SERVERS[1]!],
  ];
  forged.forEach(([what, bytes, from], i) => {
    script.reply(socket, bytes, from);
    assertEquals(script.nat.counters.dnsMismatched, i + 1, what);
    assertEquals(script.take(), [], what);
  });
  script.reply(socket, dnsAnswer(QUESTION, good));
  assert(dnsText(script.answer()).startsWith("DNS answer 9 NOERROR"));
  script.assertCounters({ dnsMismatched: forged.length });
  script.assertIdle();
});

Deno.test("DnsExchange keeps nothing of a forged answer for later", () => {
  const script = new DnsScript();
  script.ask(dnsQuery(QUESTION));
  const { socket, id } = script.upstream();
  script.reply(socket, dnsAnswer(QUESTION, { id: id + 1, ...ANSWER }));
  assertEquals(script.nat.dns!.cached, 0);
  script.advance(DNS_QUERY_MS);
  assertEquals(script.nat.dns!.cached, 0);
});

Deno.test("DnsExchange takes an error without the question from a resolver that could not read it", () => {
  const script = new DnsScript();
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const { socket, id } = script.upstream();
  script.reply(socket, dnsMessage({ id, flags: DNS_QR | 1 }));
  assertEquals(dnsText(script.answer()), "DNS answer 9 FORMERR");
  assertEquals(script.nat.dns!.cached, 0);
  script.assertIdle();
});

Deno.test("DnsExchange asks the next resolver when one is silent, and takes a late answer of the earlier one", () => {
  const script = new DnsScript({ servers: SERVERS });
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const first = script.upstream();
  script.advance(DNS_ATTEMPT_MS - 1);
  assertEquals(first.socket.sent.length, 1);
  script.advance(1);
  assertEquals(first.socket.sent.map(({ to }) => to), SERVERS.slice(0, 2), "both are IPv4: one socket");
  script.advance(DNS_ATTEMPT_MS);
  const second = script.upstream();
  assertEquals([second.socket.family, second.to, second.id], [6, "[::1]:53", first.id]);
  script.reply(first.socket, dnsAnswer(QUESTION, { id: first.id, ...ANSWER }), SERVERS[0]);
  assert(dnsText(script.answer()).startsWith("DNS answer 9 NOERROR"));
  script.assertIdle();
});

Deno.test("DnsExchange asks the next resolver at once when one does not listen", () => {
  const script = new DnsScript({ servers: SERVERS.slice(0, 2) });
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const { socket, id } = script.upstream();
  socket.hostRefuses(SERVERS[0]!);
  script.host.run();
  assertEquals(socket.sent.length, 2);
  script.reply(socket, dnsAnswer(QUESTION, { id, ...ANSWER }), SERVERS[1]);
  assert(dnsText(script.answer()).startsWith("DNS answer 9 NOERROR"));
  script.assertIdle();
});

Deno.test("DnsExchange fails at once when no resolver listens, and not before", () => {
  const script = new DnsScript({ servers: SERVERS.slice(0, 2) });
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const { socket } = script.upstream();
  socket.hostRefuses(target("198.51.100.1"));
  script.host.run();
  assertEquals(socket.sent.length, 1, "an error about something else");
  script.advance(DNS_ATTEMPT_MS);
  socket.hostRefuses(SERVERS[0]!);
  script.host.run();
  assertEquals(script.take(), [], "the second may answer yet");
  socket.hostRefuses(SERVERS[1]!);
  script.host.run();
  assertEquals(dnsText(script.answer()), FAILED);
  script.assertCounters({ dnsUnanswered: 1 });
  script.assertIdle();
});

Deno.test("DnsExchange gives up after its time, with SERVFAIL and a line in the log", () => {
  const script = new DnsScript({ servers: SERVERS.slice(0, 2) });
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  script.advance(DNS_QUERY_MS - 1);
  assertEquals(script.take(), []);
  script.advance(1);
  assertEquals(dnsText(script.answer()), FAILED);
  assertEquals(script.warnings, ["DNS query of 10.0.2.15 failed: no answer from 192.0.2.53:53, 127.0.0.53:53"]);
  assertEquals(script.nat.dns!.cached, 0);
  script.assertCounters({ dnsUnanswered: 1 });
  script.assertIdle();
});

Deno.test("DnsExchange passes a guest's repetition on, and lives no longer for it", () => {
  const script = new DnsScript();
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const { socket } = script.upstream();
  script.advance(5000);
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  assertEquals([script.sockets().length, socket.sent.length], [0, 2]);
  assertEquals(socket.sent[1], socket.sent[0]);
  script.advance(DNS_QUERY_MS - 5000);
  assertEquals(script.take().length, 1);
  script.assertIdle();
});

Deno.test("DnsExchange goes to the next resolver when the host does not take the datagram or has no socket", () => {
  const script = new DnsScript({ servers: SERVERS });
  script.host.udpError = "exhausted";
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  assertEquals(dnsText(script.answer()), FAILED);
  script.assertCounters({ hostExhausted: 1 });
  assertEquals(script.warnings, ["DNS query of 10.0.2.15 failed: the host has no socket left"]);
  script.assertIdle();
  script.host.udpError = undefined;
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  script.upstream().socket.takes = false;
  script.advance(DNS_ATTEMPT_MS);
  assertEquals(script.upstream().to, "[::1]:53", "127.0.0.53 shares the socket that takes nothing");
});

Deno.test("DnsExchange passes a truncated answer on as it is, cut in the middle of a record too", () => {
  const script = new DnsScript();
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const { socket, id } = script.upstream();
  const cut = dnsAnswer(QUESTION, { id, flags: DNS_QR | DNS_TC, answers: [aRecord(300), aRecord(300)] }).slice(0, -9);
  script.reply(socket, cut);
  const answer = script.answer();
  assertEquals([...answer], [0, 9, ...cut.subarray(2)]);
  assertEquals(script.nat.dns!.cached, 0);
});

Deno.test("DnsExchange asks the next resolver when one says that it cannot or will not, and passes on what the last says", () => {
  for (const rcode of [2, 4, 5]) {
    const script = new DnsScript({ servers: SERVERS.slice(0, 2) });
    script.ask(dnsQuery(QUESTION, { id: 9 }));
    const { socket, id } = script.upstream();
    script.reply(socket, dnsAnswer(QUESTION, { id, flags: DNS_QR | rcode }), SERVERS[0]);
    assertEquals([socket.sent.length, script.take().length], [2, 0]);
    script.reply(socket, dnsAnswer(QUESTION, { id, flags: DNS_QR | 5 }), SERVERS[1]);
    assertEquals(dnsText(script.answer()), "DNS answer 9 REFUSED, A? name.test.");
    script.assertCounters({});
    script.assertIdle();
  }
});

Deno.test("DnsExchange waits for the second resolver when the first fails late, and takes NXDOMAIN from either", () => {
  const script = new DnsScript({ servers: SERVERS.slice(0, 2) });
  script.ask(dnsQuery(QUESTION, { id: 9 }));
  const { socket, id } = script.upstream();
  script.advance(DNS_ATTEMPT_MS);
  for (let i = 0; i < 2; i++) script.reply(socket, dnsAnswer(QUESTION, { id, flags: DNS_QR | 2 }), SERVERS[0]);
  assertEquals([socket.sent.length, script.take().length], [2, 0]);
  script.reply(socket, dnsAnswer(QUESTION, { id, flags: DNS_QR | 3 }), SERVERS[1]);
  assertEquals(dnsText(script.answer()), "DNS answer 9 NXDOMAIN, A? name.test.");
  script.assertIdle();
});
