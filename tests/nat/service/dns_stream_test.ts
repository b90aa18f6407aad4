import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { DNS_ATTEMPT_MS, DNS_QUERY_MS } from "../../../nat/service/dns_exchange.ts";
import { DNS_IDLE_MS, MAX_DNS_PIPELINED, MAX_DNS_QUERY } from "../../../nat/service/dns_stream.ts";
import type { RuleList } from "../../../nat/rules/rule_list.ts";
import { IpAddress, parseIpv4 } from "../../../net/wire/address.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { aRecord, dnsAnswer, dnsMessage, dnsQuery, dnsText, optRecord, txtRecord } from "../../support/dns_messages.ts";
import { listOf, nameRule } from "../../support/name_rules.ts";
import { NatScript } from "../../support/nat_script.ts";
import { checkProperty } from "../../support/properties.ts";
import type { ScriptTcpSocket } from "../../support/script_host.ts";

const LOCAL = "DNS answer 1 NOERROR, A? host.docker.internal., 1/0/0 records; host.docker.internal. 1 60 10.0.2.2";

/** A message with its length in front. */
function framed(message: Uint8Array): Uint8Array {
  return Uint8Array.from([message.length >> 8, message.length & 255, ...message]);
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The messages that a stream of bytes is made of; what is left over, is left over. */
function messages(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 2 + ((bytes[at]! << 8) | bytes[at + 1]!);
    found.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return found;
}

/** A guest that is connected to .3. */
class TcpAsker extends NatScript {
  constructor(servers: readonly string[] = ["192.0.2.53"], egress?: RuleList) {
    super({ rules: { dnsServers: servers, ...(egress && { egress }) } });
    Object.assign(this, { remoteIp: parseIpv4("10.0.2.3"), remotePort: 53 });
    this.send({ flags: TCP_SYN, ack: 0, mss: 1460 });
    this.ack = (this.expect({ flags: TCP_SYN | TCP_ACK, ack: this.seq }).seq + 1) >>> 0;
    this.send();
  }

  /** The guest asks. */
  ask(...queries: Uint8Array[]): void {
    const bytes = join(...queries.map(framed));
    for (let at = 0; at < bytes.length; at += 1000) this.send({ payload: bytes.subarray(at, at + 1000) });
  }

  /** Everything that comes for the guest, acknowledged. */
  receive(): Uint8Array {
    const parts: Uint8Array[] = [];
    for (;;) {
      const part = this.receiveAll();
      if (part.length === 0) return join(...parts);
      parts.push(part);
      this.send();
    }
  }

  /** The messages that come for the guest, as text. */
  texts(): string[] {
    return messages(this.receive()).map(dnsText);
  }

  /** The one connection to a resolver that was made since, which takes it. */
  resolver(): ScriptTcpSocket {
    const socket = this.host.onlyConnect();
    socket.accept();
    this.host.run();
    return socket;
  }

  /** The resolver answers the query that it got with these records, in pieces of `size` bytes. */
  reply(socket: ScriptTcpSocket, length = 9000, size = Infinity): void {
    const [query] = messages(socket.takeReceived()) as [Uint8Array], id = (query[0]! << 8) | query[1]!;
    const question = dnsText(query).includes("other.test") ? "other.test TXT" : "name.test TXT";
    const answer = framed(dnsAnswer(question, { id, answers: [txtRecord(300, length)] }));
    for (let at = 0; at < answer.length; at += size) {
      socket.hostSends(answer.subarray(at, at + size));
      this.host.run();
    }
  }
}

const local = dnsQuery("host.docker.internal A");

function large(id: number): Uint8Array {
  return dnsQuery("name.test TXT", { id });
}

Deno.test("DnsStream answers local names and asks no resolver about them, also while the host has none", () => {
  for (const servers of [["192.0.2.53"], []]) {
    const asker = new TcpAsker(servers);
    asker.ask(local, dnsQuery("Nothing.Hawser.internal A", { id: 7, additionals: [optRecord()] }));
    assertEquals(asker.texts(), [
      LOCAL,
      "DNS answer 7 NXDOMAIN, A? Nothing.Hawser.internal., 0/1/1 records; Hawser.internal. 6 60 38; . 41 0 0",
    ]);
    assertEquals([asker.host.sockets.length, asker.warnings], [0, []]);
  }
});

Deno.test("DnsStream gives the guest an answer too large for UDP, from a resolver over TCP once and then from the cache", () => {
  for (const size of [1, 7, 1000, Infinity]) {
    const asker = new TcpAsker();
    asker.ask(large(5));
    const socket = asker.resolver();
    assertEquals(`${socket}`, "192.0.2.53:53");
    asker.reply(socket, 9000, size);
    const [first] = messages(asker.receive()) as [Uint8Array];
    assertEquals([(first[0]! << 8) | first[1]!, first.length > 9000], [5, true]);
    assertEquals([socket.closed, asker.host.openSockets], [true, []]);
    asker.advance(10_000);
    asker.ask(large(6));
    const [second] = messages(asker.receive()) as [Uint8Array];
    assertEquals([(second[0]! << 8) | second[1]!, second.length], [6, first.length]);
    assertEquals(asker.host.sockets.length, 1);
  }
});

Deno.test("DnsStream goes on to the next resolver from one that refuses, breaks, ends, answers wrongly, cannot, or is silent", () => {
  const failures: [string, (asker: TcpAsker) => void][] = [
    ["refuses", (asker) => asker.host.onlyConnect().refuse()],
    ["breaks", (asker) => asker.resolver().hostResets()],
    ["ends", (asker) => asker.resolver().hostEof()],
    ["ends within an answer", (asker) => {
      const socket = asker.resolver();
      socket.hostSends(framed(new Uint8Array(50)).subarray(0, 20));
      socket.hostEof();
    }],
    ["says nothing in a message", (asker) => asker.resolver().hostSends(Uint8Array.of(0, 0))],
    ["answers another question", (asker) => asker.resolver().hostSends(framed(dnsAnswer("b.test A", { id: 9 })))],
    ["cannot", (asker) => {
      const socket = asker.resolver(), [query] = messages(socket.takeReceived()) as [Uint8Array];
      socket.hostSends(framed(dnsAnswer("name.test TXT", { id: (query[0]! << 8) | query[1]!, flags: 0x8002 })));
    }],
    ["is silent", (asker) => {
      asker.resolver();
      asker.advance(DNS_ATTEMPT_MS);
    }],
    ["is silent before it takes the connection", (asker) => asker.advance(DNS_ATTEMPT_MS)],
  ];
  for (const [what, fail] of failures) {
    const asker = new TcpAsker(["192.0.2.53", "192.0.2.54"]);
    asker.ask(large(5));
    fail(asker);
    asker.host.run();
    const second = asker.host.sockets[1]!;
    assertEquals(`${second}`, "192.0.2.54:53", what);
    second.accept();
    asker.host.run();
    asker.reply(second);
    assertEquals(messages(asker.receive()).length, 1, what);
    assertEquals(asker.host.openSockets, [], what);
  }
});

Deno.test("DnsStream takes a late answer of a resolver that was passed over", () => {
  const asker = new TcpAsker(["192.0.2.53", "192.0.2.54"]);
  asker.ask(large(5));
  const first = asker.resolver();
  asker.advance(DNS_ATTEMPT_MS);
  asker.reply(first);
  assertEquals([messages(asker.receive()).length, asker.host.openSockets], [1, []]);
});

Deno.test("DnsStream tells a guest SERVFAIL if no resolver answers in time, and keeps the connection", () => {
  const asker = new TcpAsker(["192.0.2.53", "192.0.2.54"]);
  asker.ask(large(5));
  asker.advance(DNS_QUERY_MS);
  assertEquals(asker.texts(), ["DNS answer 5 SERVFAIL, TXT? name.test."]);
  assertEquals([asker.nat.counters.dnsUnanswered, asker.host.openSockets, asker.state], [1, [], "ESTABLISHED"]);
});

Deno.test("DnsStream has one exchange for equal questions of one connection and of several, and answers each", () => {
  const asker = new TcpAsker();
  asker.ask(large(5), large(5), large(6));
  const socket = asker.resolver();
  asker.reply(socket);
  assertEquals(messages(asker.receive()).map((one) => one[1]), [5, 5, 6]);
});

Deno.test("DnsStream gives answers as they come, whatever the order of the questions", () => {
  const asker = new TcpAsker();
  asker.ask(large(5), dnsQuery("other.test TXT", { id: 6 }), local);
  const [first, second] = asker.host.sockets as [ScriptTcpSocket, ScriptTcpSocket];
  for (const socket of [first, second]) socket.accept();
  asker.host.run();
  asker.reply(second);
  asker.reply(first);
  assertEquals(messages(asker.receive()).map((one) => one[1]), [1, 6, 5]);
});

Deno.test("DnsStream answers what a guest has asked before its FIN, then ends; what it did not finish is counted", () => {
  for (const rest of [0, 1, 2, 30]) {
    const asker = new TcpAsker();
    asker.send({
      flags: TCP_FIN | TCP_ACK,
      payload: join(framed(local), framed(large(5)), framed(local).subarray(0, rest)),
    });
    assertEquals(asker.texts(), [LOCAL]);
    assertEquals([asker.state, asker.nat.counters.dnsMalformed], ["CLOSE-WAIT", rest > 0 ? 1 : 0]);
    asker.reply(asker.resolver());
    assertEquals(messages(asker.receive()).length, 1);
    asker.send();
    asker.assertEmpty();
  }
});

Deno.test("DnsStream ends a connection on which nothing is asked for 30 s, but not one whose answer is under way", () => {
  const asker = new TcpAsker();
  asker.advance(DNS_IDLE_MS - 1);
  asker.ask(local);
  asker.texts();
  asker.advance(DNS_IDLE_MS - 1);
  assertEquals([asker.texts(), asker.state], [[], "ESTABLISHED"]);
  asker.advance(1);
  asker.receiveAll();
  asker.send();
  assertEquals(asker.state, "FIN-WAIT-2");
  // There is no place for an answer any more.
  asker.ask(local);
  asker.send({ flags: TCP_FIN | TCP_ACK });
  assertEquals(asker.take().every(({ payload }) => payload.length === 0), true);
  asker.advance(1001);
  asker.take();
  asker.assertEmpty();

  const slow = new TcpAsker();
  slow.ask(large(5));
  slow.advance(DNS_QUERY_MS - 1);
  slow.reply(slow.resolver());
  assertEquals(messages(slow.receive()).length, 1);
});

Deno.test("DnsStream holds a guest back that asks much or reads nothing, without a busy loop, and loses no query", () => {
  const asker = new TcpAsker(), count = 3 * MAX_DNS_PIPELINED;
  for (let i = 0; i < count; i++) asker.ask(dnsQuery(`n${i}.test A`, { id: i }));
  assertEquals([asker.nat.dns!.pending, asker.nat.flows()[0]!.bytesToHost < asker.nat.flows()[0]!.bytesFromGuest], [
    MAX_DNS_PIPELINED,
    true,
  ]);
  const turns = asker.host.turns;
  asker.host.wake();
  asker.host.run();
  assertEquals(asker.host.turns - turns, 1);
  for (let i = 0; i < count / MAX_DNS_PIPELINED; i++) asker.advance(DNS_QUERY_MS);
  assertEquals(asker.texts().length, count);

  const deaf = new TcpAsker(), answered = 2000;
  deaf.send({ window: 0 });
  for (let i = 0; i < answered; i++) deaf.send({ window: 0, payload: framed(local) });
  assert(deaf.nat.flows()[0]!.bytesToHost < answered * framed(local).length, "answers wait without bound");
  deaf.send();
  let texts: string[] = [];
  for (let i = 0; i < 100; i++) texts = texts.concat(deaf.texts());
  assertEquals(texts, Array(answered).fill(LOCAL));
});

Deno.test("DnsStream breaks a connection with a query that nobody asks, and drops a message that is no query", () => {
  const asker = new TcpAsker();
  const most = new Uint8Array(MAX_DNS_QUERY);
  most.set(local);
  asker.ask(new Uint8Array(0), Uint8Array.of(1), dnsAnswer("name.test A"), most);
  assertEquals(asker.texts(), [LOCAL]);
  assertEquals(asker.nat.counters.dnsMalformed, 3);
  asker.send({ payload: Uint8Array.of((MAX_DNS_QUERY + 1) >> 8, (MAX_DNS_QUERY + 1) & 255) });
  assertEquals(asker.take().at(-1)!.flags & TCP_RST, TCP_RST);
  assertEquals(asker.nat.counters.dnsMalformed, 4);
  asker.assertEmpty();
});

Deno.test("DnsStream and DnsService answer NOTIFY, UPDATE, STATUS and zone transfers with NOTIMP, and pass none on", () => {
  const asker = new TcpAsker();
  const queries = [
    ...[1, 2, 4, 5, 6].map((opcode) => dnsMessage({ id: 1, flags: opcode << 11, questions: ["test SOA"] })),
    dnsQuery("test AXFR", { id: 1 }),
    dnsQuery("test 251", { id: 1 }),
  ];
  asker.ask(...queries);
  const texts = asker.texts();
  assertEquals([texts.length, texts.every((text) => / NOTIMP/.test(text))], [queries.length, true]);
  for (const query of queries) asker.sendUdp({ payload: query, guestPort: 5000, remote: "10.0.2.3:53" });
  assertEquals(asker.takeUdp().map(({ payload }) => payload[3]! & 15), queries.map(() => 4));
  assertEquals(asker.nat.counters.dnsNotQuery, 2 * queries.length);
  assertEquals([asker.host.sockets, asker.host.udpSockets], [[], []]);
});

Deno.test("DnsStream gives up what a guest has asked that resets or goes, and nobody else's", () => {
  for (const goes of [(asker: TcpAsker) => asker.send({ flags: TCP_RST }), (asker: TcpAsker) => asker.nat.close()]) {
    const asker = new TcpAsker();
    asker.ask(large(5));
    const socket = asker.resolver();
    goes(asker);
    assertEquals([socket.closed, asker.nat.dns!.pending], [true, 0]);
    asker.assertEmpty();
  }
});

Deno.test("DnsStream leaves other ports and addresses alone", () => {
  const script = new NatScript({ rules: { dnsServers: ["192.0.2.53"] } });
  Object.assign(script, { remoteIp: parseIpv4("192.0.2.53"), remotePort: 53 });
  const socket = script.open();
  script.send({ payload: framed(local) });
  assertEquals(socket.received, framed(local));
});

Deno.test("DnsStream answers every query once, however the bytes are cut", () => {
  const query = fc.constantFrom("local", "large", "empty");
  const script = fc.record({
    asked: fc.array(query, { maxLength: 12 }),
    cuts: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 }),
    size: fc.integer({ min: 1, max: 900 }),
    window: fc.integer({ min: 100, max: 5000 }),
  });
  checkProperty(script, ({ asked, cuts, size, window }) => {
    const asker = new TcpAsker();
    const bytes = join(
      ...asked.map((kind) => framed(kind === "local" ? local : kind === "large" ? large(5) : new Uint8Array(0))),
    );
    const got: Uint8Array[] = [];
    const look = () => {
      for (const socket of asker.host.openSockets) {
        if (socket.state === "connecting") socket.accept();
        asker.host.run();
        if (socket.receivedLength > 0) asker.reply(socket, 300, size);
      }
      for (let part = asker.receiveAll(); part.length > 0; part = asker.receiveAll()) {
        got.push(part);
        asker.send({ window });
      }
    };
    for (let at = 0, i = 0; at < bytes.length; i++) {
      asker.send({ window, payload: bytes.subarray(at, at += cuts[i % cuts.length]!) });
      look();
    }
    asker.send({ window, flags: TCP_FIN | TCP_ACK });
    for (let i = 0; i < 50; i++) look();
    const answers = messages(join(...got)), own = answers.filter((one) => dnsText(one) === LOCAL);
    assertEquals(own.length, asked.filter((kind) => kind === "local").length);
    assertEquals(answers.length - own.length, asked.filter((kind) => kind === "large").length);
    asker.send();
    asker.assertEmpty();
  });
});

Deno.test("DnsStream under rules about names: refused at once, made anew, bound, filtered, and broken ones answered", () => {
  const asker = new TcpAsker(["192.0.2.53"], listOf(nameRule("allow", "*.test")));
  asker.ask(dnsQuery("evil.example A", { id: 2 }), dnsQuery("a.test A").subarray(0, 14), dnsMessage({ id: 4 }));
  assertEquals(asker.texts(), [
    "DNS answer 2 NXDOMAIN, A? evil.example., 0/1/0 records; evil.example. 6 5 38",
    "DNS answer 1 FORMERR",
    "DNS answer 4 FORMERR",
  ]);
  assertEquals([asker.nat.counters.dnsRefused, asker.nat.counters.dnsMalformed], [1, 2]);
  asker.ask(dnsQuery("A.test A", { id: 5, additionals: [optRecord(4096, 0, [0, 10, 0, 0])] }));
  const socket = asker.resolver(), [query] = messages(socket.takeReceived()) as [Uint8Array];
  assertEquals([...query.subarray(2)], [...dnsQuery("a.test A", { additionals: [optRecord()] })].slice(2));
  const id = (query[0]! << 8) | query[1]!, answers = [aRecord(60, [10, 0, 0, 1]), aRecord(60, [8, 8, 8, 8])];
  socket.hostSends(framed(dnsAnswer("a.test A", { id, answers })));
  asker.host.run();
  assertEquals(asker.texts(), ["DNS answer 5 NOERROR, A? A.test., 1/0/0 records; A.test. 1 60 8.8.8.8"]);
  const bound = (address: string) => asker.guest.bindings.of(IpAddress.parse(address), asker.nat.now()).length;
  assertEquals([bound("8.8.8.8"), bound("10.0.0.1")], [1, 0]);
});
