import { assertEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { World, WORLD_NEEDS } from "./world.ts";

const needs = requires(...WORLD_NEEDS);

/** A server on 127.0.0.1 that gives back every line, and says one itself when told to. */
class LineServer implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #conns: Deno.TcpConn[] = [];
  readonly #serving: Promise<void>;

  constructor() {
    this.#serving = this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** Says `line` on every connection. */
  async say(line: string): Promise<void> {
    for (const conn of this.#conns) await conn.write(new TextEncoder().encode(`${line}\n`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) conn.close();
    await this.#serving;
  }

  async #accept(): Promise<void> {
    const serving: Promise<void>[] = [];
    for await (const conn of this.#listener) {
      this.#conns.push(conn);
      serving.push(echo(conn));
    }
    await Promise.all(serving);
  }
}

async function echo(conn: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(1024);
  try {
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) await conn.write(buffer.slice(0, n));
  } catch {
    // The test has closed it.
  }
}

Deno.test({
  name:
    `A Linux guest changes its MAC and IPv4 addresses, and flows of before and after go on beside each other${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    await using server = new LineServer();
    await using world = await World.create();
    const open = (fd: number) => world.run(`exec ${fd}<>/dev/tcp/10.0.2.2/${server.port}`);
    const talk = (fd: number) => world.run(`echo hello >&${fd}; read -t 60 -u ${fd} line && [ "$line" = hello ]`);
    await open(3);
    await talk(3);
    await world.run("ip link set dev eth0 address 02:00:00:00:00:99");
    await talk(3);
    await open(4);
    await world.run("ip addr add 10.0.2.50/24 dev eth0; ip route replace 10.0.2.0/24 dev eth0 src 10.0.2.50");
    await open(5);
    await world.run("ip link set dev eth0 address 02:00:00:00:00:98");
    for (const fd of [3, 4, 5]) await talk(fd);
    const guests = world.gateway.flows().map(({ guest, state }) => `${guest.split(":")[0]} ${state}`).sort();
    assertEquals(guests, ["10.0.2.15 ESTABLISHED", "10.0.2.15 ESTABLISHED", "10.0.2.50 ESTABLISHED"]);
    const { spoofedMac, spoofedAddress } = world.gateway.counters();
    assertEquals([spoofedMac, spoofedAddress], [0, 0]);
    await world.run("exec 3>&- 4>&- 5>&-");
  },
});

Deno.test({
  name: `A Linux guest that changes its MAC address and only listens is found by ARP${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    await using server = new LineServer();
    await using world = await World.create();
    await world.run(`exec 3<>/dev/tcp/10.0.2.2/${server.port}; echo x >&3; read -t 60 -u 3 line`);
    await world.run("ip link set dev eth0 address 02:00:00:00:00:99");
    await server.say("news");
    await world.run(`read -t 60 -u 3 line && [ "$line" = news ]; result=$?; exec 3>&-; (exit $result)`);
  },
});

Deno.test({
  name: `A Linux guest with a static address of another network is warned about once, with the remedy${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, warn: (line: string) => void warnings.push(line), error() {} };
    await using world = await World.create({ logger });
    await world.run("ip addr flush dev eth0; ip addr add 192.168.1.50/24 dev eth0; ip route add 10.0.2.0/24 dev eth0");
    await world.run("! timeout 3 bash -c '</dev/tcp/10.0.2.2/9' 2>/dev/null");
    assertEquals(warnings, [
      "Guest 1 on tap eth0 uses 192.168.1.50, which is not of 10.0.2.0/24: give it an address of that network, " +
      "e.g. 10.0.2.15, or the gateway that of the guest (--subnet)",
    ]);
  },
});
