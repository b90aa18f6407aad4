import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async";
import { GuestStack, type GuestUdpSocket } from "../guest/mod.ts";
import { Gateway, type GatewayOptions } from "../mod.ts";
import { memoryLinkPair } from "../net/link/memory.ts";
import type { Link } from "../net/link/link.ts";
import { dnsAnswer, dnsQuery, dnsText, txtRecord } from "./support/dns_messages.ts";
import { DnsServer, respondWith } from "./support/dns_server.ts";
import { endpoint, FAMILIES, type TestFamily } from "./support/families.ts";
import { requires } from "./support/requirements.ts";

const needs = requires("linux", "ffi"), root = requires("linux", "ffi", "root");
/** A guest that sends queries from one port and takes answers in order. */
class DnsGuest implements AsyncDisposable {
  readonly #stack: GuestStack;
  readonly #socket: GuestUdpSocket;
  readonly #server: { hostname: string; port: number };

  constructor(link: Link, { dns }: TestFamily = FAMILIES[0]!) {
    this.#stack = new GuestStack(link);
    this.#socket = this.#stack.openUdp(40_000);
    this.#server = { hostname: dns, port: 53 };
  }

  /** Rejects with what ICMP says of the query. */
  async ask(message: Uint8Array): Promise<Uint8Array> {
    await this.#socket.send(message, this.#server);
    const [answer, from] = await this.#socket.receive();
    assertEquals(from, { transport: "udp", ...this.#server });
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.close();
  }
}

for (const host of ["deno", "ffi"] as const) {
  const ignore = host === "ffi" && needs.ignore, reason = ignore ? needs.reason : "";
  const test = (
    name: string,
    options: GatewayOptions,
    fn: (guest: DnsGuest, family: TestFamily, gateway: Gateway) => Promise<void>,
  ) => {
    for (const family of FAMILIES) {
      Deno.test({
        name: `Gateway on ${host} sockets ${name}, over ${family.name}${reason}`,
        ignore,
        fn: async () => {
          const [link, end] = memoryLinkPair();
          await using gateway = await Gateway.start({ host, ...options });
          await using _attached = gateway.attach(link);
          await using guest = new DnsGuest(end, family);
          await fn(guest, family, gateway);
        },
      });
    }
  };

  for (const family of FAMILIES) {
    for (const resolver of FAMILIES) {
      Deno.test({
        name:
          `Gateway on ${host} sockets asks a resolver on loopback once, with ids and ports of its own, guest over ${family.name}, resolver over ${resolver.name}${reason}`,
        ignore,
        fn: async () => {
          await using server = await DnsServer.start(respondWith([192, 0, 2, 7]), { hostname: resolver.loopback });
          const [link, end] = memoryLinkPair();
          await using gateway = await Gateway.start({ host, dns: endpoint(resolver.loopback, server.port) });
          await using _attached = gateway.attach(link);
          await using guest = new DnsGuest(end, family);
          for (let i = 0; i < 40; i++) {
            const text = dnsText(await guest.ask(dnsQuery(`n${i >> 1}.test A`, { id: 7 })));
            assertEquals(
              text,
              `DNS answer 7 NOERROR, A? n${i >> 1}.test., 1/0/0 records; n${i >> 1}.test. 1 300 192.0.2.7`,
            );
          }
          const ids = new Set(server.queries.map(({ bytes }) => (bytes[0]! << 8) | bytes[1]!));
          const ports = new Set(server.queries.map(({ port }) => port));
          assertEquals(server.queries.length, 20);
          assert(ids.size >= 19 && ports.size >= 15, `${ids.size} ids, ${ports.size} ports`);
          // They are drawn, not counted up: most neighbours are far from each other.
          const all = server.queries.map(({ port }) => port);
          assert(all.filter((port, i) => i > 0 && Math.abs(port - all[i - 1]!) > 16).length >= 10, `${all}`);
          assertEquals(gateway.flows(), []);
          assert(Object.values(gateway.counters()).every((count) => count === 0));
        },
      });
    }

    Deno.test({
      name:
        `Gateway on ${host} sockets asks the resolver over TCP for a guest that asks so, once, and answers local names itself, over ${family.name}${reason}`,
      ignore,
      fn: async () => {
        await using server = await DnsServer.start(({ bytes }) => answerTo(bytes, 9000));
        const [link, end] = memoryLinkPair();
        await using gateway = await Gateway.start({ host, dns: `127.0.0.1:${server.port}` });
        await using _attached = gateway.attach(link);
        await using stack = new GuestStack(end);
        const conn = await stack.connect({ hostname: family.dns, port: 53 });
        const message = dnsQuery("name.test TXT"), local = dnsQuery("host.docker.internal A", { id: 9 });
        for (const query of [message, local, message]) {
          await conn.write(new Uint8Array([0, query.length, ...query]));
          const answer = await readMessage(conn);
          if (query === message) assertEquals(answer, answerTo(message, 9000));
          else assertEquals(dnsText(answer).slice(-8), "10.0.2.2");
        }
        assertEquals(server.queries.map(({ transport }) => transport), ["tcp"]);
        conn.close();
        // The server has heard the end before the test is over.
        for (let i = 0; i < 200 && gateway.flows().some(({ state }) => state !== "TIME-WAIT"); i++) await delay(5);
      },
    });
  }

  Deno.test({
    name: `Gateway on ${host} sockets goes on from a resolver that takes the connection and says nothing${root.reason}`,
    ignore: ignore || root.ignore,
    fn: async () => {
      const silent = "127.77.53.5", other = "127.77.53.6";
      await using _silent = await DnsServer.start(() => null, { hostname: silent, port: 53 });
      await using server = await DnsServer.start(({ bytes }) => answerTo(bytes, 9000), { hostname: other, port: 53 });
      const resolvConf = await Deno.makeTempFile();
      await Deno.writeTextFile(resolvConf, `nameserver ${silent}\nnameserver ${other}\n`);
      const [link, end] = memoryLinkPair();
      await using gateway = await Gateway.start({ host, resolvConf });
      await using _attached = gateway.attach(link);
      await using stack = new GuestStack(end);
      const conn = await stack.connect({ hostname: "10.0.2.3", port: 53 }), message = dnsQuery("name.test TXT");
      await conn.write(new Uint8Array([0, message.length, ...message]));
      assertEquals(await readMessage(conn), answerTo(message, 9000));
      assertEquals(server.queries.length, 1);
      conn.close();
      await Deno.remove(resolvConf);
    },
  });

  test("answers local names without a resolver, and SERVFAIL at once for others", {
    resolvConf: "/nonexistent/resolv.conf",
  }, async (guest, family, gateway) => {
    const type = family.version === 4 ? "A" : "AAAA", name = "host.docker.internal";
    assertEquals(
      dnsText(await guest.ask(dnsQuery(`${name} ${type}`))),
      `DNS answer 1 NOERROR, ${type}? ${name}., 1/0/0 records; ${name}. ${
        family.version === 4 ? 1 : 28
      } 60 ${family.gateway}`,
    );
    assertEquals(dnsText(await guest.ask(dnsQuery("name.test A"))), "DNS answer 1 SERVFAIL, A? name.test.");
    assertEquals(gateway.counters().dnsUnanswered, 1);
  });

  test("refuses queries where there is no DNS", { dns: "none" }, async (guest, _family, gateway) => {
    const asking = guest.ask(dnsQuery("host.hawser.internal A"));
    await assertRejects(() => asking, Deno.errors.PermissionDenied, "is prohibited");
    assertEquals(gateway.counters().denied, 1);
  });
}

Deno.test({
  name: `Gateway on ffi sockets answers SERVFAIL at once for a resolver that does not listen${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = free.addr;
    free.close();
    const [link, end] = memoryLinkPair();
    await using gateway = await Gateway.start({ host: "ffi", dns: `127.0.0.1:${port}` });
    await using _attached = gateway.attach(link);
    await using guest = new DnsGuest(end);
    const began = performance.now();
    assertEquals(dnsText(await guest.ask(dnsQuery("name.test A"))), "DNS answer 1 SERVFAIL, A? name.test.");
    assert(performance.now() - began < 1000);
  },
});

Deno.test({
  name: `Gateway takes the answer of the true resolver among forged ones${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    // The resolver itself sends forgeries first; another socket sends from its own port.
    const { createSocket } = await import("node:dgram");
    const stranger = createSocket("udp4");
    const respond = respondWith([192, 0, 2, 7]), forge = respondWith([203, 0, 113, 66]);
    await using server = await DnsServer.start((query) => {
      stranger.send(forge(query)!, query.port, "127.0.0.1");
      return null;
    });
    const [link, end] = memoryLinkPair();
    await using gateway = await Gateway.start({ host: "ffi", dns: `127.0.0.1:${server.port}` });
    await using _attached = gateway.attach(link);
    await using guest = new DnsGuest(end);
    const answer = guest.ask(dnsQuery("name.test A"));
    while (gateway.counters().dnsMismatched === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const query = server.queries[0]!, wrongId = forge(query)!;
    wrongId[0]! ^= 1;
    server.send(wrongId, query);
    server.send(respond(query)!, query);
    assertEquals(dnsText(await answer).slice(-9), "192.0.2.7");
    assertEquals(gateway.counters().dnsMismatched, 2);
    await new Promise<void>((resolve) => stranger.close(() => resolve()));
  },
});

Deno.test({
  name: `Gateway asks whom its resolv.conf names now, and forgets what another one said${root.reason}`,
  ignore: root.ignore,
  fn: async () => {
    await using first = await DnsServer.start(respondWith([192, 0, 2, 1]), { hostname: "127.77.53.1", port: 53 });
    await using second = await DnsServer.start(respondWith([192, 0, 2, 2]), { hostname: "127.77.53.2", port: 53 });
    const resolvConf = await Deno.makeTempFile();
    await Deno.writeTextFile(resolvConf, "nameserver 127.77.53.1\n");
    const [link, end] = memoryLinkPair();
    await using gateway = await Gateway.start({ host: "deno", resolvConf });
    await using _attached = gateway.attach(link);
    await using guest = new DnsGuest(end);
    const ask = async () => dnsText(await guest.ask(dnsQuery("name.test A"))).slice(-9);
    assertEquals([await ask(), await ask(), first.queries.length], ["192.0.2.1", "192.0.2.1", 1]);
    await Deno.writeTextFile(resolvConf, "nameserver 127.77.53.2\n");
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assertEquals([await ask(), first.queries.length, second.queries.length], ["192.0.2.2", 1, 1]);
    await Deno.remove(resolvConf);
  },
});

/** The answer to a query for TXT, of more than `length` bytes. */
function answerTo(query: Uint8Array, length: number): Uint8Array {
  return dnsAnswer("name.test TXT", { id: (query[0]! << 8) | query[1]!, answers: [txtRecord(300, length)] });
}

/** The next message on a connection. */
async function readMessage(conn: { read(into: Uint8Array): Promise<number | null> }): Promise<Uint8Array> {
  const bytes = new Uint8Array(20_000);
  let got = 0;
  while (got < 2 || got < 2 + ((bytes[0]! << 8) | bytes[1]!)) got += (await conn.read(bytes.subarray(got)))!;
  return bytes.subarray(2, got);
}
