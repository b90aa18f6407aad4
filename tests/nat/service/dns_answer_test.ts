import { assert, assertEquals } from "@std/assert";
import { readDnsFacts } from "../../../nat/service/dns_answer.ts";
import { dnsNameText } from "../../../nat/service/dns_query.ts";
import type { DnsRecordFields } from "../../../net/wire/dns.ts";
import {
  aaaaRecord,
  aRecord,
  cnameRecord,
  dnsAnswer,
  type MessageFields,
  nameRecord,
} from "../../support/dns_messages.ts";
import { noise, painted } from "../../support/packet_bytes.ts";

const NAME = "\x01a\x04test\0";

/** What an answer for `a.test` says, in one line; null if it is malformed. */
function factsOf(fields: MessageFields, question = "A.test A"): string | null {
  const message = dnsAnswer(question, fields), bytes = painted(message.length + 8);
  bytes.set(message, 3);
  const facts = readDnsFacts({ bytes, start: 3, end: 3 + message.length }, NAME);
  if (facts === null) return null;
  const names = (found: typeof facts.cnames) => found.map(({ value, ttl }) => `${dnsNameText(value)} ${ttl}`).join(" ");
  const addresses = facts.addresses.map(({ value, ttl }) => `${value} ${ttl}`).join(" ");
  return `cnames ${names(facts.cnames)}; addresses ${addresses}; targets ${names(facts.targets)}`;
}

function named(record: DnsRecordFields, name: string): DnsRecordFields {
  return { ...record, name };
}

Deno.test("readDnsFacts finds the addresses of the name that was asked, and nothing else that is beside them", () => {
  const answers = [aRecord(60), aaaaRecord(30, "2001:db8::7"), named(aRecord(60, [192, 0, 2, 8]), "other.test")];
  const more = { authorities: [aRecord(60, [192, 0, 2, 9])], additionals: [aRecord(60, [192, 0, 2, 10])] };
  assertEquals(factsOf({ answers, ...more }), "cnames ; addresses 192.0.2.7 60 2001:db8::7 30; targets ");
});

Deno.test("readDnsFacts follows a chain in any order, and gives nothing a longer life than the chain that led there", () => {
  const chain = [cnameRecord(50, "B.test"), named(cnameRecord(90, "c.test"), "b.TEST"), named(aRecord(300), "C.test")];
  const found = "cnames b.test. 50 c.test. 50; addresses 192.0.2.7 50; targets ";
  assertEquals(factsOf({ answers: chain }), found);
  assertEquals(factsOf({ answers: chain.toReversed() }), found);
  assertEquals(factsOf({ answers: [...chain, aRecord(9, [192, 0, 2, 1])] }), found, "an address of an alias");
});

Deno.test("readDnsFacts ends a chain that is a circle", () => {
  const circle = [cnameRecord(50, "b.test"), named(cnameRecord(50, "a.test"), "b.test")];
  assertEquals(factsOf({ answers: circle }), "cnames b.test. 50; addresses ; targets ");
  assertEquals(factsOf({ answers: [cnameRecord(50, "a.test")] }), "cnames ; addresses ; targets ");
});

Deno.test("readDnsFacts finds the servers that SRV, MX, SVCB and HTTPS name", () => {
  const answers = [
    nameRecord(33, 60, "srv.test", [0, 1, 0, 2, 1, 187]),
    nameRecord(15, 50, "Mail.test", [0, 10]),
    nameRecord(64, 40, "svc.test", [0, 1]),
    nameRecord(65, 30, "https.test", [0, 0]),
    nameRecord(65, 30, ".", [0, 1]),
    nameRecord(2, 30, "ns.test"),
  ];
  assertEquals(
    factsOf({ answers }),
    "cnames ; addresses ; targets srv.test. 60 mail.test. 50 svc.test. 40 https.test. 30",
  );
});

Deno.test("readDnsFacts concludes nothing from what is malformed, of another class, or without the question", () => {
  assertEquals(factsOf({ answers: [{ ...aRecord(60), data: new Uint8Array(5) }] }), null);
  assertEquals(factsOf({ answers: [{ ...aaaaRecord(60, "::1"), data: new Uint8Array(4) }] }), null);
  assertEquals(factsOf({ answers: [{ ...cnameRecord(60, "b.test"), data: Uint8Array.of(0xc0) }] }), null);
  assertEquals(factsOf({ answers: [{ ...aRecord(60), class: 3 }] }), "cnames ; addresses ; targets ");
  assertEquals(factsOf({ answers: [aRecord(60)], questions: [] }), "cnames ; addresses ; targets ");
  const message = dnsAnswer("a.test A", { answers: [aRecord(60)] });
  for (let length = 12; length < message.length; length++) {
    assertEquals(readDnsFacts({ bytes: message, start: 0, end: length }, NAME), null, `${length} bytes`);
  }
  assertEquals(readDnsFacts({ bytes: new Uint8Array([...message, 0]), start: 0, end: message.length + 1 }, NAME), null);
});

Deno.test("readDnsFacts throws for no bytes", () => {
  let read = 0;
  const head = dnsAnswer("a.test A", { answers: [aRecord(1)] }).subarray(0, 24);
  for (let seed = 1; seed <= 20_000; seed++) {
    const bytes = painted(90);
    bytes.set(noise(90, seed));
    for (let i = 0; i < 90; i++) bytes[i] = [0, 1, 0, 12, 4, 0xc0, 97, 5][bytes[i]! & 7]!;
    bytes.set(head, 3);
    bytes.set([0xc0, 12, 0, [1, 5, 28, 33, 65][seed % 5]!, 0, 1, 0, 0, 0, 1, 0, seed % 20], 27);
    if (readDnsFacts({ bytes, start: 3, end: 39 + seed % 20 }, NAME) !== null) read++;
  }
  assert(read > 500, `${read} read`);
});
