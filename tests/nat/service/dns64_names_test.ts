import { assertEquals } from "@std/assert";
import { DNS_QUERY_MS } from "../../../nat/service/dns_exchange.ts";
import { DNS_AA, DNS_AD, DNS_CD, DNS_QR, DNS_RA, DNS_RD, DNS_TC, type DnsRecordFields } from "../../../net/wire/dns.ts";
import {
  cnameRecord,
  dnsAnswer,
  dnsQuery,
  dnsText,
  type MessageFields,
  ptrRecord,
} from "../../support/dns_messages.ts";
import { DnsScript } from "../../support/dns_script.ts";
import { noise } from "../../support/packet_bytes.ts";

/** 64:ff9b::192.0.2.7, as RFC 3596 section 2.5 writes it. */
const NAME = "7.0.2.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa";
const IPV4_NAME = "7.2.0.192.in-addr.arpa", ASKED = `${NAME} PTR`, IPV4_ASKED = `${IPV4_NAME} PTR`;
const RCODE = { SERVFAIL: 2, NXDOMAIN: 3 };

function start(options: { nat64?: boolean; guests?: number } = {}): DnsScript {
  return new DnsScript({ guests: options.guests ?? 1, rules: { nat64: options.nat64 ?? true } });
}

/** What the resolver was asked last; it answers so. */
function reply(script: DnsScript, fields: MessageFields): string {
  const { socket, id, message } = script.upstream();
  script.reply(socket, dnsAnswer(IPV4_ASKED, { id, ...fields }));
  return dnsText(message).replace(`${id}`, "ID");
}

/** What a guest that asks for the name of 64:ff9b::192.0.2.7 is answered if the resolver says this of 192.0.2.7. */
function answerTo(fields: MessageFields): string {
  const script = start();
  script.ask(dnsQuery(ASKED, { id: 7 }));
  reply(script, fields);
  const answer = script.answer(), isAuthority = (answer[2]! & (DNS_AA >>> 8)) !== 0;
  script.assertIdle();
  return dnsText(answer).replace("DNS answer 7 ", isAuthority ? "authoritative, " : "").replaceAll(NAME, "NAME");
}

Deno.test("DnsService with NAT64 gives an address behind the prefix the name of the IPv4 address inside", () => {
  const script = start();
  script.ask(dnsQuery(ASKED.toUpperCase().replace("C", "c"), { id: 7 }));
  assertEquals(reply(script, { answers: [ptrRecord(300, "host.test")] }), `DNS query ID, PTR? ${IPV4_NAME}.`);
  const answer = script.answer(), flags = (answer[2]! << 8) | answer[3]!;
  assertEquals(dnsText(answer).split("; ")[1]!.slice(NAME.length), ". 12 300 11");
  assertEquals(dnsText(answer).includes(".0.0.IP6.ARPA., 1/0/0"), true, "the guest's own letters");
  assertEquals(flags, DNS_QR | DNS_AA | DNS_RD | DNS_RA);
  assertEquals(
    answer.subarray(-11),
    Uint8Array.from([4, ...new TextEncoder().encode("host"), 4, 116, 101, 115, 116, 0]),
  );
  script.ask(dnsQuery(ASKED, { id: 8 }));
  assertEquals([script.answer()[1], script.sockets().length], [8, 0], "it is kept");
  script.assertIdle();
});

Deno.test("DnsService with NAT64 leaves out aliases and whatever else is in the answer, and gives every name", () => {
  const alias = cnameRecord(60, "7.sub.2.0.192.in-addr.arpa");
  const answers = [alias, ptrRecord(300, "a.test", "7.sub.2.0.192.in-addr.arpa"), ptrRecord(300, "b.test")];
  assertEquals(
    answerTo({ answers }),
    "authoritative, NOERROR, PTR? NAME., 2/0/0 records; NAME. 12 300 8; NAME. 12 300 8",
  );
});

Deno.test("DnsService with NAT64 says that there is no name, or that the resolver failed", () => {
  const flags = DNS_QR | DNS_RD | DNS_RA;
  assertEquals(answerTo({ flags: flags | RCODE.NXDOMAIN }), "authoritative, NXDOMAIN, PTR? NAME.");
  assertEquals(answerTo({}), "authoritative, NOERROR, PTR? NAME.");
  assertEquals(answerTo({ flags: flags | RCODE.SERVFAIL }), "SERVFAIL, PTR? NAME.");
  assertEquals(answerTo({ flags: flags | DNS_TC }), "NOERROR, truncated, PTR? NAME.");
  assertEquals(answerTo({ flags: flags | DNS_AD, answers: [alias()] }), "authoritative, NOERROR, PTR? NAME.");
  const nowhere = { ...ptrRecord(300, "x.test"), data: Uint8Array.of(0xc0, 0xff) };
  assertEquals(answerTo({ answers: [ptrRecord(300, "a.test"), nowhere] }), "authoritative, NOERROR, PTR? NAME.");
  const cut = start(), whole = { answers: [ptrRecord(300, "a.test"), ptrRecord(300, "b.test")] };
  cut.ask(dnsQuery(ASKED, { id: 7 }));
  const { socket, id } = cut.upstream();
  cut.reply(socket, dnsAnswer(IPV4_ASKED, { id, ...whole }).slice(0, -3));
  assertEquals(dnsText(cut.answer()), `DNS answer 7 NOERROR, PTR? ${NAME}.`, "a record is cut off");
  const silent = start();
  silent.ask(dnsQuery(ASKED, { id: 7 }));
  silent.advance(DNS_QUERY_MS);
  assertEquals(dnsText(silent.answer()), `DNS answer 7 SERVFAIL, PTR? ${NAME}.`);
  silent.assertIdle();
});

function alias(): DnsRecordFields {
  return cnameRecord(60, "elsewhere.test");
}

Deno.test("DnsService with NAT64 passes every other question for a name on as it is", () => {
  const others: [string, MessageFields?][] = [
    [`${NAME} TXT`],
    [`${NAME} PTR 3`],
    [`${NAME.slice(2)} PTR`],
    [`0.${NAME} PTR`],
    [`${NAME.replace("b.9.f.f", "b.8.f.f")} PTR`],
    [`${NAME.replace("7.0.2", "g.0.2")} PTR`],
    [`${NAME.replace("7.0.2.0", "7.0.200")} PTR`],
    [`${NAME.replace("0.0.b.9", "1.0.b.9")} PTR`],
    [`${NAME.replace("arpa", "test")} PTR`],
    [IPV4_ASKED],
    [ASKED, { flags: DNS_RD | DNS_CD }],
  ];
  for (const [question, fields] of others) {
    const script = start();
    script.ask(dnsQuery(question, fields));
    assertEquals(dnsText(script.upstream().message).includes(question.split(" ")[0]!), true, question);
  }
  const script = start({ nat64: false });
  script.ask(dnsQuery(ASKED));
  assertEquals(dnsText(script.upstream().message).includes(NAME), true, "without NAT64");
});

Deno.test("DnsService with NAT64 asks once for all who want the same name", () => {
  const script = start({ guests: 2 });
  script.ask(dnsQuery(ASKED, { id: 1 }));
  script.ask(dnsQuery(ASKED, { id: 2 }), { guest: 2 });
  reply(script, { answers: [ptrRecord(300, "host.test")] });
  assertEquals(script.take().map(({ guest, bytes }) => [guest, bytes[1], bytes[7]]), [[1, 1, 1], [2, 2, 1]]);
  script.assertIdle();
});

Deno.test("DnsService with NAT64 gives no more names than a message holds, and never throws", () => {
  const long = [63, 63, 63, 61].map((length) => "a".repeat(length)).join(".");
  const many = Array.from({ length: 400 }, () => ptrRecord(300, "h.test"));
  assertEquals(answerTo({ answers: many }), "NOERROR, truncated, PTR? NAME.");
  const longest = Array.from({ length: 240 }, () => ptrRecord(300, long));
  assertEquals(answerTo({ answers: longest }), "NOERROR, truncated, PTR? NAME.");
  // A name that another one stands for is written out in the answer.
  const short = { ...ptrRecord(300, "h.test"), data: Uint8Array.of(0xc0, 12) };
  assertEquals(answerTo({ answers: Array.from({ length: 4000 }, () => short) }), "NOERROR, truncated, PTR? NAME.");
  for (let seed = 1; seed <= 200; seed++) {
    const script = start();
    script.ask(dnsQuery(ASKED));
    const { socket, id } = script.upstream();
    const whole = dnsAnswer(IPV4_ASKED, { id, answers: [alias(), ptrRecord(300, "a.test"), ptrRecord(300, "b.test")] });
    const junk = noise(whole.length, seed), first = whole.length - 70;
    script.reply(socket, whole.map((byte, i) => (i > first && junk[i]! < 24 ? junk[(i * 7) % junk.length]! : byte)));
    assertEquals(script.take().length <= 1, true);
  }
});
