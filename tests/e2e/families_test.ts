import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createSocket, type Socket } from "node:dgram";
import type { GatewayOptions } from "../../mod.ts";
import { aRecord, dnsAnswer, ptrRecord, soaRecord } from "../support/dns_messages.ts";
import { requires } from "../support/requirements.ts";
import type { Program } from "./program.ts";
import { World, WORLD_NEEDS } from "./world.ts";

const { ignore, reason } = requires(...WORLD_NEEDS), ping = requires(...WORLD_NEEDS, "busybox");
const CLIENTS = ["127.0.0.1", "::1"];

/** A world whose guest has fd00::15 too, and a route for NAT64; its listeners on `::` take IPv6 alone. */
async function create(
  options: GatewayOptions,
  spoken: readonly string[] = options.families === "ipv6" ? ["fd00::2"] : ["10.0.2.2", "fd00::2"],
): Promise<{ world: World; guest: Program }> {
  const world = await World.create(options);
  try {
    await world.run(
      "sysctl -qw net.ipv6.bindv6only=1; ip -6 addr add fd00::15/64 dev eth0 nodad; " +
        "ip -6 route add 64:ff9b::/96 via fd00::2",
    );
    const guest = world.inGuest("./families_guest.ts", ["--allow-net"]);
    // Whoever has a server that is reached over a family has spoken over it before: a first packet makes it so.
    for (const address of spoken) await guest.call("ask", address, 1, "");
    return { world, guest };
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** What a client of the host gets for "hello": the answer, or the name of the error. */
async function visit(hostname: string, port: number): Promise<string> {
  try {
    using conn = await Deno.connect({ hostname, port });
    await conn.write(new TextEncoder().encode("hello"));
    await conn.closeWrite();
    const buffer = new Uint8Array(1000), count = await conn.read(buffer);
    return count === null ? "nothing" : new TextDecoder().decode(buffer.subarray(0, count));
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}

/** The answer to one "hello" of a client of UDP. */
async function sayUdp(hostname: string, port: number): Promise<string> {
  const socket = createSocket(hostname.includes(":") ? "udp6" : "udp4");
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`No answer of ${hostname}`)), 20_000);
      socket.once("message", (bytes) => {
        clearTimeout(timer);
        resolve(`${bytes}`);
      });
      socket.send("hello", port, hostname);
    });
  } finally {
    socket.close();
  }
}

Deno.test({
  name: `-t reaches a guest's server from localhost of either family, whichever family it listens on${reason}`,
  ignore,
  fn: async () => {
    const over4 = "hello of 10.0.2.2", over6 = "hello of fd00::2", none = "ConnectionReset";
    const table: [string[], [string, string]][] = [
      [["0.0.0.0", "::"], [over4, over6]],
      [["0.0.0.0"], [over4, over4]],
      [["::"], [over6, over6]],
      [[], [none, none]],
    ];
    const specs = table.flatMap((_, i) => CLIENTS.map((client) => `tcp:${bracketed(client)}/0:${80 + i}`));
    const { world, guest } = await create({ forwards: specs });
    await using _ = world;
    const ports = world.gateway.forwards.list().map(({ hostPort }) => hostPort);
    for (const [listens, expected] of table) {
      await guest.call("listen", listens, 80 + table.findIndex(([other]) => other === listens));
      for (const [i, client] of CLIENTS.entries()) {
        assertEquals(await visit(client, ports.shift()!), expected[i], `on ${listens}, from ${client}`);
      }
    }
  },
});

Deno.test({
  name: `-u reaches a guest's server from localhost of either family, whichever family it listens on${reason}`,
  ignore,
  fn: async () => {
    const table: [string[], [string, string]][] = [
      [["0.0.0.0", "::"], ["hello of 10.0.2.2", "hello of fd00::2"]],
      [["0.0.0.0"], ["hello of 10.0.2.2", "hello of 10.0.2.2"]],
      [["::"], ["hello of fd00::2", "hello of fd00::2"]],
    ];
    const specs = table.flatMap((_, i) => CLIENTS.map((client) => `udp:${bracketed(client)}/0:${80 + i}`));
    const { world, guest } = await create({ forwards: specs });
    await using _ = world;
    const ports = world.gateway.forwards.list().map(({ hostPort }) => hostPort);
    for (const [listens, expected] of table) {
      await guest.call("listenUdp", listens, 80 + table.findIndex(([other]) => other === listens));
      for (const [i, client] of CLIENTS.entries()) {
        assertEquals(await sayUdp(client, ports.shift()!), expected[i], `on ${listens}, from ${client}`);
      }
    }
  },
});

Deno.test({
  name: `-t and -u reach a guest over IPv4 that has it and has only spoken over IPv6${reason}`,
  ignore,
  fn: async () => {
    const { world, guest } = await create({ forwards: ["tcp:127.0.0.1/0:80", "udp:127.0.0.1/0:80"] }, ["fd00::2"]);
    await using _ = world;
    const [tcp, udp] = world.gateway.forwards.list().map(({ hostPort }) => hostPort);
    await guest.call("listen", ["0.0.0.0"], 80);
    await guest.call("listenUdp", ["0.0.0.0"], 80);
    assertEquals(await sayUdp("127.0.0.1", udp!), "hello of 10.0.2.2");
    assertEquals(await visit("127.0.0.1", tcp!), "hello of 10.0.2.2");
  },
});

Deno.test({
  name: `-t with an address of the guest's leads to that alone, over IPv6 too${reason}`,
  ignore,
  fn: async () => {
    const { world, guest } = await create({
      forwards: ["tcp:127.0.0.1/0:[fd00::15]/80", "tcp:[::1]/0:10.0.2.15/80", "tcp:127.0.0.1/0:[fd00::15]/81"],
    });
    await using _ = world;
    const ports = world.gateway.forwards.list().map(({ hostPort }) => hostPort);
    await guest.call("listen", ["0.0.0.0", "::"], 80);
    await guest.call("listen", ["0.0.0.0"], 81);
    assertEquals(await visit("127.0.0.1", ports[0]!), "hello of fd00::2");
    assertEquals(await visit("::1", ports[1]!), "hello of 10.0.2.2");
    assertEquals(await visit("127.0.0.1", ports[2]!), "ConnectionReset");
  },
});

Deno.test({
  name:
    `-t reaches a guest that has only spoken from its link-local address at that of DHCP, and sees it as ::2${reason}`,
  ignore,
  fn: async () => {
    const { world, guest } = await create({ forwards: ["tcp:[::1]/0:80"] }, []), refused: string[] = [];
    await using _ = world;
    world.gateway.events.addEventListener("flowRefused", ({ detail }) => refused.push(detail.guest));
    // Its link-local address may be used once it has seen that nobody else has it.
    await world.run("while ip -6 addr show dev eth0 tentative | grep -q inet6; do sleep 0.05; done");
    await guest.call("ask", "fe80::2%eth0", 1, "");
    assertMatch(refused.join(), /^\[fe80::[0-9a-f:]+\]:\d+$/);
    await guest.call("listen", ["fd00::15"], 80);
    assertEquals(await visit("::1", world.gateway.forwards.list()[0]!.hostPort), "hello of fd00::2");
  },
});

Deno.test({
  name: `a guest pings by NAT64${ping.reason}`,
  ignore: ping.ignore,
  fn: async () => {
    const { world } = await create({ families: "ipv6", nat64: true, maps: ["10.0.2.100=127.0.0.1"] });
    await using _ = world;
    assertStringIncludes(await world.run("busybox ping -6 -c 1 -W 20 64:ff9b::10.0.2.100"), " 0% packet loss");
    const output = await world.run("busybox ping -6 -c 1 -W 1 64:ff9b::127.0.0.1 || true");
    assertStringIncludes(output, "100% packet loss");
  },
});

/** A resolver on the host's loopback that knows the address 10.0.2.100 alone, as that of every name, and its name. */
async function startResolver(): Promise<{ dns: string; socket: Socket }> {
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const type = query[query.indexOf(0, 12) + 2], id = query.readUInt16BE(0);
    const answer = type === 1
      ? dnsAnswer("four.test A", { id, answers: [aRecord(60, [10, 0, 2, 100])] })
      : type === 12
      ? dnsAnswer("100.2.0.10.in-addr.arpa PTR", { id, answers: [ptrRecord(60, "four.test")] })
      : dnsAnswer("four.test AAAA", { id, authorities: [soaRecord(60, 60)] });
    socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { dns: `127.0.0.1:${socket.address().port}`, socket };
}

/** A server on the host's loopback that returns what it is sent. */
function greet(hostname: string): { port: number; listener: Deno.TcpListener; done: Promise<void> } {
  const listener = Deno.listen({ hostname, port: 0 });
  const done = (async () => {
    for await (const conn of listener) {
      await conn.readable.pipeTo(conn.writable);
    }
  })();
  return { port: listener.addr.port, listener, done };
}

Deno.test({
  name: `a guest reaches the host's loopback of either family at fd00::2, and names it by an AAAA record${reason}`,
  ignore,
  fn: async () => {
    const { world, guest } = await create({ dns: "127.0.0.1:1" });
    await using _ = world;
    for (const hostname of CLIENTS) {
      const { port, listener, done } = greet(hostname);
      assertEquals(await guest.call("ask", "fd00::2", port, `over IPv6 to ${hostname}`), `over IPv6 to ${hostname}`);
      listener.close();
      await done;
    }
    assertEquals(await guest.call("ask", "fd00::2", 1, ""), "ConnectionRefused");
    for (const server of ["10.0.2.3", "fd00::3"]) {
      assertEquals(await guest.call("resolve", "host.hawser.internal", "AAAA", server), "fd00::2");
      assertEquals(await guest.call("resolve", "host.docker.internal", "A", server), "10.0.2.2");
    }
  },
});

Deno.test({
  name: `a guest with IPv6 alone reaches a name that has only an IPv4 address, by NAT64${reason}`,
  ignore,
  fn: async () => {
    const { dns, socket } = await startResolver();
    const { port, listener, done } = greet("127.0.0.1");
    const { world, guest } = await create({
      families: "ipv6",
      nat64: true,
      dns,
      maps: ["10.0.2.100=127.0.0.1"],
    });
    await using _ = world;
    const address = await guest.call<string>("resolve", "four.test", "AAAA", "fd00::3");
    assertEquals(address, "64:ff9b::a00:264");
    assertEquals(await guest.call("ask", address, port, "over NAT64"), "over NAT64");
    const reverse = "4.6.2.0.0.0.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa";
    assertEquals(await guest.call("resolve", reverse, "PTR", "fd00::3"), "four.test.");
    assertEquals(await guest.call("resolve", "ipv4only.arpa", "AAAA", "fd00::3"), "64:ff9b::c000:aa 64:ff9b::c000:ab");
    assert(world.gateway.flows().every(({ guest }) => guest.startsWith("[fd00:")));
    listener.close();
    socket.close();
    await done;
  },
});
