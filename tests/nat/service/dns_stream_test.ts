import { assertEquals } from "@std/assert";
import { MAX_LOCAL_QUERY } from "../../../nat/service/dns_stream.ts";
import { parseIpv4 } from "../../../net/wire/address.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { dnsAnswer, dnsQuery, dnsText, optRecord, txtRecord } from "../../support/dns_messages.ts";
import { NatScript } from "../../support/nat_script.ts";
import fc from "fast-check";
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

/** A guest that is connected to the resolver. */
class TcpAsker extends NatScript {
  readonly socket: ScriptTcpSocket;

  constructor() {
    super({ rules: { dnsServers: [{ address: "192.0.2.53" }] } });
    Object.assign(this, { remoteIp: parseIpv4("10.0.2.3"), remotePort: 53 });
    this.socket = this.open();
  }

  /** What the guest got, acknowledged. */
  receive(): Uint8Array {
    const bytes = this.receiveAll();
    this.send();
    return bytes;
  }

  /** The resolver sends these bytes. */
  reply(bytes: Uint8Array): void {
    this.socket.hostSends(bytes);
    this.host.run();
  }
}

const local = framed(dnsQuery("host.docker.internal A"));
const other = framed(dnsQuery("name.test TXT", { id: 2 }));
const found = framed(dnsAnswer("name.test TXT", { id: 2, answers: [txtRecord(300, 9000)] }));

Deno.test("DnsStream answers local names and asks the resolver nothing about them", () => {
  const asker = new TcpAsker();
  asker.send({ payload: local });
  assertEquals(messages(asker.receive()).map(dnsText), [LOCAL]);
  asker.send({ payload: framed(dnsQuery("Nothing.Hawser.internal A", { id: 7, additionals: [optRecord()] })) });
  assertEquals(messages(asker.receive()).map(dnsText), [
    "DNS answer 7 NXDOMAIN, A? Nothing.Hawser.internal., 0/1/1 records; Hawser.internal. 6 60 38; . 41 0 0",
  ]);
  assertEquals([asker.socket.receivedLength, asker.warnings], [0, []]);
});

Deno.test("DnsStream passes everything else on and back unchanged, whatever it is", () => {
  const asker = new TcpAsker();
  const long = framed(
    dnsQuery("host.docker.internal A", { additionals: [optRecord(1232, 0, new Array(600).fill(7))] }),
  );
  const whole = [other, framed(new Uint8Array(0)), framed(Uint8Array.of(1)), long, local.with(4, 0x80)];
  for (const message of whole) asker.send({ payload: message });
  assertEquals(asker.socket.received, join(...whole));
  asker.reply(join(found, found));
  let got = asker.receive();
  while (got.length < 2 * found.length) got = join(got, asker.receive());
  assertEquals(got, join(found, found));
});

Deno.test("DnsStream keeps a query until it is whole, also a byte at a time, and takes the largest that may be local", () => {
  const asker = new TcpAsker();
  for (const byte of join(local, other)) asker.send({ payload: Uint8Array.of(byte) });
  assertEquals([messages(asker.receive()).map(dnsText), asker.socket.received], [[LOCAL], other]);
  for (const [length, passes] of [[MAX_LOCAL_QUERY, false], [MAX_LOCAL_QUERY + 1, true]] as const) {
    const message = new Uint8Array(length);
    message.set(local.subarray(2));
    const before = asker.socket.receivedLength;
    asker.send({ payload: framed(message).subarray(0, 200) });
    assertEquals(asker.socket.receivedLength > before, passes);
    asker.send({ payload: framed(message).subarray(200) });
  }
  assertEquals(messages(asker.receive()).map(dnsText), [LOCAL]);
});

Deno.test("DnsStream puts its answer between two of the resolver's, not into one", () => {
  const asker = new TcpAsker();
  asker.send({ payload: other });
  for (const cut of [1, 2, 700]) {
    asker.reply(found.subarray(0, cut));
    asker.send({ payload: local });
    let got = asker.receive();
    assertEquals(got.length, cut, "nothing but what the resolver has said");
    asker.reply(join(found.subarray(cut), found));
    for (let i = 0; i < 20; i++) got = join(got, asker.receive());
    const order = messages(got).map(dnsText);
    assertEquals([order.length, order[1]], [3, LOCAL]);
    assertEquals(join(got.subarray(0, found.length), got.subarray(-found.length)), join(found, found));
  }
});

Deno.test("DnsStream holds a guest that reads no answers back, without a busy loop, and loses none of its queries", () => {
  const asker = new TcpAsker(), count = 60;
  const shut = { window: 0 };
  asker.send(shut);
  for (let i = 0; i < count; i++) asker.send({ ...shut, payload: join(local, other) });
  // One answer waits for the guest's window, the next one for that, and everything else behind it.
  assertEquals([asker.receiveAll().length, asker.socket.receivedLength], [0, other.length]);
  const turns = asker.host.turns;
  asker.host.wake();
  asker.host.run();
  assertEquals([asker.host.turns - turns, asker.nat.flows()[0]!.bytesFromGuest], [
    1,
    count * (local.length + other.length),
  ]);
  asker.send();
  const answers: string[] = [];
  for (let i = 0; i < 2 * count; i++) answers.push(...messages(asker.receive()).map(dnsText));
  assertEquals(answers, new Array(count).fill(LOCAL));
  assertEquals(asker.socket.received, join(...new Array(count).fill(other)));
});

Deno.test("DnsStream answers a guest that has sent its FIN, and carries the resolver's answer minutes later", () => {
  const asker = new TcpAsker();
  asker.send({ flags: TCP_FIN | TCP_ACK, payload: join(other, local) });
  assertEquals([asker.socket.received, asker.socket.closeWriteCalled], [other, true]);
  assertEquals(messages(asker.receive()).map(dnsText), [LOCAL]);
  asker.advance(5 * 60_000);
  asker.take();
  asker.reply(found);
  let got = asker.receive();
  while (got.length < found.length) got = join(got, asker.receive());
  assertEquals(got, found);
  asker.socket.hostEof();
  asker.host.run();
  asker.receiveAll();
  asker.send();
  assertEquals(asker.socket.endedInOrder, true);
  asker.assertEmpty();
});

Deno.test("DnsStream gives its answer before the resolver's end, and passes on what the guest still says", () => {
  const asker = new TcpAsker();
  asker.send({ window: 0, payload: local });
  asker.socket.hostEof();
  asker.host.run();
  asker.send();
  assertEquals(messages(asker.receive()).map(dnsText), [LOCAL]);
  assertEquals(asker.state, "FIN-WAIT-2");
  // After its end there is no place for an answer, and a local name is still nobody else's business.
  asker.send({ payload: join(local, other, local) });
  asker.send({ flags: TCP_FIN | TCP_ACK });
  assertEquals([asker.socket.received, asker.socket.endedInOrder], [other, true]);
  asker.advance(1001);
  asker.take();
  asker.assertEmpty();
});

Deno.test("DnsStream gives no answer into a message that the resolver's end cuts short, and goes on with the guest", () => {
  const asker = new TcpAsker();
  asker.reply(found.subarray(0, 100));
  asker.send({ payload: join(local, other) });
  asker.socket.hostEof();
  asker.host.run();
  assertEquals([asker.receive(), asker.socket.received, asker.state], [found.subarray(0, 100), other, "FIN-WAIT-2"]);
});

Deno.test("DnsStream passes on what is left of a message that the guest does not finish, then FIN", () => {
  for (const rest of [local.subarray(0, 1), local.subarray(0, -1)]) {
    const asker = new TcpAsker();
    asker.socket.budget = 0;
    asker.send({ flags: TCP_FIN | TCP_ACK, payload: rest });
    assertEquals([asker.socket.receivedLength, asker.socket.closeWriteCalled], [0, false]);
    asker.socket.budget = Infinity;
    asker.host.run();
    assertEquals([asker.socket.received, asker.socket.closeWriteCalled], [rest, true]);
  }
});

Deno.test("DnsStream loses nothing to a resolver that takes little at a time", () => {
  const asker = new TcpAsker(), long = framed(new Uint8Array(3000).fill(9));
  asker.socket.writeAtMost = 7;
  asker.socket.budget = 20;
  asker.send({ payload: join(other, local) });
  asker.send({ payload: join(long.subarray(0, 1400)) });
  asker.send({ payload: long.subarray(1400, 2800) });
  asker.send({ payload: join(long.subarray(2800), other) });
  assertEquals([asker.socket.receivedLength, asker.receive().length], [20, 0]);
  asker.socket.budget = Infinity;
  asker.host.run();
  assertEquals(messages(asker.receive()).map(dnsText), [LOCAL]);
  assertEquals(asker.socket.received, join(other, long, other));
});

Deno.test("DnsStream tells of a resolver that breaks the connection, whoever meets it", () => {
  for (const meets of ["read", "write", "FIN"]) {
    const asker = new TcpAsker();
    if (meets === "FIN") asker.send({ payload: other.subarray(0, 5) });
    asker.socket.hostResets();
    if (meets === "read") asker.host.run();
    else if (meets === "write") asker.send({ payload: other });
    else asker.send({ flags: TCP_FIN | TCP_ACK });
    assertEquals(asker.take().at(-1)!.flags & TCP_RST, TCP_RST, meets);
    asker.assertEmpty();
  }
});

Deno.test("DnsStream tells of a break that only the query it keeps can meet, after its answer", () => {
  const asker = new TcpAsker();
  asker.socket.budget = 0;
  // The answer fills what the shut window leaves room for, so nothing more is read of the resolver.
  asker.send({ window: 0, payload: join(local, other) });
  asker.socket.hostResets();
  asker.host.run();
  asker.send();
  assertEquals(messages(asker.receive()).map(dnsText), [LOCAL]);
  asker.expect({ flags: TCP_RST | TCP_ACK });
  asker.assertEmpty();
});

Deno.test("DnsStream whose guest resets, or whose resolver has ended without taking the query, resets the resolver", () => {
  const gone = new TcpAsker();
  gone.send({ payload: other.subarray(0, 5) });
  gone.send({ flags: TCP_RST });
  assertEquals(gone.socket.wasReset, true);
  gone.assertEmpty();

  const deaf = new TcpAsker();
  deaf.socket.budget = 5;
  deaf.socket.hostEof();
  deaf.send({ payload: other });
  deaf.receive();
  deaf.send({ flags: TCP_FIN | TCP_ACK });
  assertEquals([deaf.socket.received, deaf.socket.wasReset], [other.subarray(0, 5), true]);
});

Deno.test("DnsStream refuses the guest where the resolver refuses, after trying the others, and leaves other ports alone", () => {
  const dnsServers = [{ address: "192.0.2.53" }, { address: "192.0.2.54" }];
  const script = new NatScript({ rules: { dnsServers } });
  Object.assign(script, { remoteIp: parseIpv4("10.0.2.3"), remotePort: 53 });
  script.send({ flags: TCP_SYN, ack: 0 });
  for (const { address } of dnsServers) {
    const socket = script.host.onlyConnect();
    assertEquals(`${socket}`, `${address}:53`);
    socket.refuse();
    script.host.run();
  }
  script.expect({ flags: TCP_RST | TCP_ACK });
  script.assertEmpty();
  // At another address a message is a message of its own.
  script.remoteIp = parseIpv4("192.0.2.53");
  const socket = script.open({ port: 40_001 });
  script.send({ payload: local, port: 40_001 });
  assertEquals(socket.received, local);
});

Deno.test("DnsStream carries both streams whole however they are cut, and each answer of its own once", () => {
  const message = fc.constantFrom(local, other, framed(new Uint8Array(0)), framed(new Uint8Array(700).fill(1)));
  const reply = fc.constantFrom(
    framed(dnsAnswer("name.test TXT")),
    framed(new Uint8Array(0)),
    framed(new Uint8Array(300)),
  );
  const script = fc.record({
    asked: fc.array(message, { maxLength: 12 }),
    replies: fc.array(reply, { maxLength: 6 }),
    steps: fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 300 })), {
      maxLength: 60,
    }),
    window: fc.integer({ min: 100, max: 5000 }),
  });
  checkProperty(script, ({ asked, replies, steps, window }) => {
    const asker = new TcpAsker(), fromGuest = join(...asked), fromHost = join(...replies);
    const got: Uint8Array[] = [];
    let guestAt = 0, hostAt = 0;
    asker.socket.budget = 0;
    const guestSends = (count: number) => {
      if (guestAt < fromGuest.length) asker.send({ window, payload: fromGuest.subarray(guestAt, guestAt += count) });
      got.push(asker.receiveAll());
      asker.send({ window });
    };
    for (const [isGuest, count, budget] of steps) {
      asker.socket.budget += budget;
      if (isGuest) guestSends(count);
      else asker.reply(fromHost.subarray(hostAt, hostAt += count));
    }
    asker.socket.budget = Infinity;
    asker.reply(fromHost.subarray(hostAt));
    asker.send({ window });
    const room = () => guestAt < fromGuest.length || asker.nat.flows()[0]!.bytesFromHost > 0;
    for (let i = 0; i < 100 && room(); i++) guestSends(1000);
    asker.send({ window, flags: TCP_FIN | TCP_ACK });
    for (let i = 0; i < 20; i++) guestSends(0);
    const isLocal = (bytes: Uint8Array) => bytes.length > 12 && dnsText(bytes) === LOCAL;
    const answers = messages(join(...got)), own = answers.filter(isLocal);
    assertEquals(own.length, asked.filter((one) => one === local).length);
    assertEquals(join(...answers.filter((one) => !isLocal(one)).map(framed)), fromHost);
    assertEquals(asker.socket.received, join(...asked.filter((one) => one !== local)));
    assertEquals(asker.socket.closeWriteCalled, true);
  });
});
