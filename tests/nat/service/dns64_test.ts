import { assert, assertEquals } from "@std/assert";
import { DNS_QUERY_MS } from "../../../nat/service/dns_exchange.ts";
import { DNS_AD, DNS_CD, DNS_QR, DNS_RA, DNS_RD, DNS_TC, type DnsRecordFields } from "../../../net/wire/dns.ts";
import {
  aaaaRecord,
  aRecord,
  cnameRecord,
  dnsAnswer,
  dnsQuery,
  dnsText,
  type MessageFields,
  optRecord,
  soaRecord,
  txtRecord,
} from "../../support/dns_messages.ts";
import { DnsScript } from "../../support/dns_script.ts";
import { noise } from "../../support/packet_bytes.ts";

const AAAA = "name.test AAAA", A = "name.test A", NODATA = { authorities: [soaRecord(300, 120)] };
const RCODE = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };

function start(options: { nat64?: boolean; guests?: number } = {}): DnsScript {
  return new DnsScript({ guests: options.guests ?? 1, rules: { nat64: options.nat64 ?? true } });
}

/** The resolver answers the question that it was asked last. */
function reply(script: DnsScript, question: string, fields: MessageFields): void {
  const { socket, id, message } = script.upstream();
  assertEquals(dnsText(message).replace(/;.*/, ""), dnsText(dnsQuery(question, { id })), "what was asked");
  script.reply(socket, dnsAnswer(question, { id, ...fields }));
}

/** What a guest gets for AAAA if the resolver says so; `ipv4`: what it says of A, which it is asked only then. */
function answerTo(ipv6: MessageFields, ipv4?: MessageFields, query: MessageFields = {}): string {
  const script = start();
  script.ask(dnsQuery(AAAA, { id: 7, ...query }));
  reply(script, AAAA, ipv6);
  if (ipv4 !== undefined) reply(script, A, ipv4);
  const text = dnsText(script.answer());
  script.assertIdle();
  return text.replace("DNS answer 7 ", "");
}

function flags(rcode: number, more = 0): number {
  return DNS_QR | DNS_RD | DNS_RA | more | rcode;
}

Deno.test("DnsService with NAT64 makes AAAA of A where a name has no IPv6 address, for no longer than that is known", () => {
  assertEquals(
    answerTo(NODATA, { answers: [aRecord(300), aRecord(60, [198, 51, 100, 9])] }),
    "NOERROR, AAAA? name.test., 2/0/0 records; name.test. 28 120 64:ff9b::c000:207; name.test. 28 60 64:ff9b::c633:6409",
  );
  assertEquals(
    answerTo({}, { answers: [aRecord(3000)] }),
    "NOERROR, AAAA? name.test., 1/0/0 records; name.test. 28 600 64:ff9b::c000:207",
    "ten minutes if nothing says for how long",
  );
});

Deno.test("DnsService with NAT64 keeps the aliases that led to an address, and the letters of the guest's question", () => {
  const script = start();
  script.ask(dnsQuery("NAME.test AAAA", { id: 7 }));
  reply(script, "NAME.test AAAA", { answers: [cnameRecord(90, "other.example")] });
  const other: DnsRecordFields = { ...aRecord(60), name: "other.example" };
  reply(script, "name.test A", { answers: [cnameRecord(90, "other.example"), other, txtRecord(9, 3)] });
  assertEquals(
    dnsText(script.answer()),
    "DNS answer 7 NOERROR, AAAA? NAME.test., 2/0/0 records; name.test. 5 90 15; other.example. 28 60 64:ff9b::c000:207",
  );
});

Deno.test("DnsService with NAT64 asks for no IPv4 address where a name has an IPv6 one, does not exist, or is cut off", () => {
  assertEquals(
    answerTo({ answers: [cnameRecord(90, "x.test"), aaaaRecord(60, "2001:db8::1")] }),
    "NOERROR, AAAA? name.test., 2/0/0 records; name.test. 5 90 8; name.test. 28 60 2001:db8::1",
  );
  assertEquals(
    answerTo({ flags: flags(RCODE.NXDOMAIN), ...NODATA }),
    "NXDOMAIN, AAAA? name.test., 0/1/0 records; test. 6 300 22",
  );
  assertEquals(answerTo({ flags: flags(0, DNS_TC) }), "NOERROR, truncated, AAAA? name.test.");
});

Deno.test("DnsService with NAT64 takes an IPv4-mapped address for none, and a failure for an empty answer", () => {
  const made = "NOERROR, AAAA? name.test., 1/0/0 records; name.test. 28 60 64:ff9b::c000:207";
  const ipv4 = { answers: [aRecord(60)] };
  assertEquals(answerTo({ answers: [aaaaRecord(60, "::ffff:192.0.2.7")] }, ipv4), made);
  assertEquals(answerTo({ flags: flags(RCODE.SERVFAIL) }, ipv4), made);
  assertEquals(answerTo({ flags: flags(RCODE.REFUSED) }, ipv4), made);
  assertEquals(
    answerTo({ answers: [aaaaRecord(60, "::ffff:192.0.2.7"), aaaaRecord(60, "2001:db8::1")] }).includes("2001:db8::1"),
    true,
  );
});

Deno.test("DnsService with NAT64 says what it knew of IPv6 if nothing follows from the answer for IPv4", () => {
  const none = "NOERROR, AAAA? name.test., 0/1/0 records; test. 6 300 22";
  assertEquals(answerTo(NODATA, {}), none);
  assertEquals(answerTo(NODATA, { flags: flags(RCODE.SERVFAIL) }), none);
  assertEquals(answerTo(NODATA, { answers: [cnameRecord(60, "other.test")] }), none);
  for (const special of [[127, 0, 0, 1], [0, 0, 0, 0], [224, 0, 0, 251], [255, 255, 255, 255]]) {
    assertEquals(answerTo(NODATA, { answers: [aRecord(60, special)] }), none, `${special}`);
  }
  assertEquals(answerTo(NODATA, { answers: [{ ...aRecord(60), data: new Uint8Array(3) }] }), none, "no address");
  const pointer = { ...cnameRecord(60, "x.test"), data: Uint8Array.of(0xc0, 0xff) };
  assertEquals(answerTo(NODATA, { answers: [pointer, aRecord(60)] }), none, "a name that leads nowhere");
  const many = Array.from({ length: 1000 }, () => aRecord(60));
  assertEquals(answerTo(NODATA, { answers: many }), "NOERROR, truncated, AAAA? name.test.");
});

Deno.test("DnsService with NAT64 makes no answer that is longer than a message can be", () => {
  const name = Array.from({ length: 3 }, () => "a".repeat(63)).join("."), script = start();
  script.ask(dnsQuery(`${name} AAAA`));
  reply(script, `${name} AAAA`, NODATA);
  reply(script, `${name} A`, { answers: Array.from({ length: 3900 }, () => aRecord(60)) });
  assertEquals(dnsText(script.answer()).includes("0/1/0 records"), true);
  script.assertIdle();
});

Deno.test("DnsService with NAT64 sends a guest to TCP if the answer for IPv4 is cut off", () => {
  assertEquals(answerTo(NODATA, { flags: flags(0, DNS_TC) }), "NOERROR, truncated, AAAA? name.test.");
});

Deno.test("DnsService with NAT64 makes nothing for a guest that checks signatures, and says AD of nothing it made", () => {
  const script = start();
  script.ask(dnsQuery(AAAA, { flags: DNS_RD | DNS_CD }));
  const { socket, id } = script.upstream();
  script.reply(socket, dnsAnswer(AAAA, { id, ...NODATA }));
  assertEquals(dnsText(script.answer()).includes("0/1/0 records"), true);
  script.ask(dnsQuery(AAAA, { flags: DNS_RD | DNS_AD, additionals: [optRecord(4096, 0x8000)] }));
  const first = script.upstream();
  script.reply(first.socket, dnsAnswer(AAAA, { id: first.id, flags: flags(0, DNS_AD), ...NODATA }));
  const second = script.upstream();
  assertEquals(
    dnsText(second.message).split("; ")[1],
    ". 41 32768 0",
    "what was asked with EDNS is asked with it again",
  );
  script.reply(second.socket, dnsAnswer(A, { id: second.id, flags: flags(0, DNS_AD), answers: [aRecord(60)] }));
  const made = script.answer();
  assertEquals([made[3]! & DNS_AD, dnsText(made).includes("64:ff9b::c000:207")], [0, true]);
  script.assertIdle();
});

Deno.test("DnsService with NAT64 asks once for all who wait, also for those who come between both questions", () => {
  const script = start({ guests: 2 });
  script.ask(dnsQuery(AAAA, { id: 1 }));
  reply(script, AAAA, NODATA);
  script.ask(dnsQuery(AAAA, { id: 2 }), { guest: 2 });
  reply(script, A, { answers: [aRecord(60)] });
  assertEquals(script.take().map(({ guest, bytes }) => `${guest} ${bytes[1]} ${dnsText(bytes).split(" ").at(-1)}`), [
    "1 1 64:ff9b::c000:207",
    "2 2 64:ff9b::c000:207",
  ]);
  script.ask(dnsQuery(AAAA, { id: 3 }));
  assertEquals(dnsText(script.answer()).endsWith("28 60 64:ff9b::c000:207"), true, "it is kept");
  script.assertIdle();
});

Deno.test("DnsService with NAT64 fails if nobody answers for IPv4, and forgets the question with its guest", () => {
  const script = start();
  script.ask(dnsQuery(AAAA, { id: 7 }));
  reply(script, AAAA, NODATA);
  script.advance(DNS_QUERY_MS);
  assertEquals(dnsText(script.answer()), "DNS answer 7 SERVFAIL, AAAA? name.test.");
  script.ask(dnsQuery(AAAA, { id: 8 }));
  script.sockets();
  script.nat.detach(script.guests[0]!);
  script.assertIdle();
});

Deno.test("DnsService without NAT64 passes the answer on, and knows nothing of ipv4only.arpa", () => {
  const script = start({ nat64: false });
  script.ask(dnsQuery(AAAA, { id: 7 }));
  reply(script, AAAA, NODATA);
  assertEquals(dnsText(script.answer()).includes("0/1/0 records"), true);
  script.ask(dnsQuery("ipv4only.arpa AAAA"));
  reply(script, "ipv4only.arpa AAAA", NODATA);
});

Deno.test("DnsService with NAT64 makes nothing for other types and classes", () => {
  for (const question of [A, "name.test TXT", "name.test AAAA 3", "name.test ANY"]) {
    const script = start();
    script.ask(dnsQuery(question));
    const { socket, id } = script.upstream();
    script.reply(socket, dnsAnswer(question, { id, ...NODATA }));
    assertEquals([script.take().length, script.sockets().length], [1, 0], question);
  }
});

Deno.test("DnsService with NAT64 answers for ipv4only.arpa by itself, so that guests find the prefix", () => {
  const script = start();
  const ask = (question: string) => {
    script.ask(dnsQuery(question, { id: 7 }));
    return dnsText(script.answer()).replace("DNS answer 7 ", "");
  };
  assertEquals(
    ask("IPv4only.arpa AAAA"),
    "NOERROR, AAAA? IPv4only.arpa., 2/0/0 records; IPv4only.arpa. 28 3600 64:ff9b::c000:aa; " +
      "IPv4only.arpa. 28 3600 64:ff9b::c000:ab",
  );
  assertEquals(
    ask("ipv4only.arpa A"),
    "NOERROR, A? ipv4only.arpa., 2/0/0 records; ipv4only.arpa. 1 3600 192.0.0.170; ipv4only.arpa. 1 3600 192.0.0.171",
  );
  assertEquals(ask("ipv4only.arpa TXT"), "NOERROR, TXT? ipv4only.arpa.");
  assertEquals(script.sockets().length, 0);
  script.ask(dnsQuery("x.ipv4only.arpa AAAA"));
  assertEquals(script.sockets().length, 1, "a name below it is another one");
});

Deno.test("DnsService with NAT64 never throws, whatever resolvers answer", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const script = start();
    script.ask(dnsQuery(AAAA));
    reply(script, AAAA, {});
    const { socket, id } = script.upstream(), answers = [cnameRecord(60, "other.test"), aRecord(60), aRecord(60)];
    const whole = dnsAnswer(A, { id, answers }), junk = noise(whole.length, seed);
    const bytes = whole.map((byte, i) => (i > 26 && junk[i]! < 16 ? junk[(i * 7) % junk.length]! : byte));
    script.reply(socket, bytes.subarray(0, seed % 3 === 0 ? 27 + seed % (whole.length - 27) : whole.length));
    assert(script.take().length <= 1);
  }
});
