import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { GuestConn } from "../guest/mod.ts";
import { GuestStack } from "../guest/mod.ts";
import { Gateway, type GatewayOptions } from "../mod.ts";
import { memoryLinkPair } from "../net/link/memory.ts";
import { endpoint, FAMILIES, testFamilies, type TestFamily } from "./support/families.ts";
import { assertNoDescriptorLeft } from "./support/ffi_descriptors.ts";
import { requires } from "./support/requirements.ts";

const needs = requires("linux", "ffi");
const LENGTH = 6 << 20;

function at(i: number): number {
  return ((i * 31) ^ (i >> 9)) & 255;
}

const PATTERN = Uint8Array.from({ length: LENGTH }, (_, i) => at(i));

async function writeAll(conn: Deno.Conn | GuestConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

async function assertReadsPattern(conn: Deno.Conn | GuestConn): Promise<void> {
  const buffer = new Uint8Array(65536);
  let total = 0;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    for (let i = 0; i < n; i++) if (buffer[i] !== at(total + i)) throw new Error(`byte ${total + i} is wrong`);
    total += n;
  }
  assertEquals(total, LENGTH);
}

const HOSTS_AND_FAMILIES = (["deno", "ffi"] as const).flatMap((host) =>
  FAMILIES.map((family) => [host, family] as const)
);

interface Case {
  readonly host: "deno" | "ffi";
  readonly offload: boolean;
  readonly family: TestFamily;
  /** Frames the link holds: few means many are lost. */
  readonly capacity: number;
}

async function transfer({ host, offload, family, capacity }: Case, first: "guest" | "host"): Promise<number> {
  const listener = Deno.listen({ hostname: family.loopback, port: 0 });
  const serving = (async () => {
    const conn = await listener.accept();
    if (first === "guest") await assertReadsPattern(conn);
    await writeAll(conn, PATTERN);
    await conn.closeWrite();
    if (first === "host") await assertReadsPattern(conn);
    conn.close();
  })();
  const [link, end] = memoryLinkPair({ offload, mtu: 1500, capacity });
  await using gateway = await Gateway.start({ host, dns: "none" });
  await using _guest = gateway.attach(link);
  await using stack = new GuestStack(end);
  const conn = await stack.connect({ hostname: family.gateway, port: listener.addr.port });
  if (first === "host") await assertReadsPattern(conn);
  await writeAll(conn, PATTERN);
  conn.closeWrite();
  if (first === "guest") await assertReadsPattern(conn);
  await serving;
  listener.close();
  return link.dropped + end.dropped;
}

for (const host of ["deno", "ffi"] as const) {
  const skip = host === "ffi" && needs.ignore, reason = skip ? needs.reason : "";
  for (const family of FAMILIES) {
    for (const first of ["guest", "host"] as const) {
      Deno.test({
        name:
          `Gateway on ${host} sockets carries every byte over ${family.name} when the ${first} closes first${reason}`,
        ignore: skip,
        fn: async () => {
          assertEquals(await transfer({ host, offload: true, family, capacity: 1024 }, first), 0);
        },
      });
      Deno.test({
        name:
          `Gateway on ${host} sockets carries every byte over ${family.name} and a link that loses frames, the ${first} closing first${reason}`,
        ignore: skip,
        fn: async () => {
          assert(await transfer({ host, offload: false, family, capacity: 200 }, first) > 10);
        },
      });
    }
  }
}

Deno.test("Gateway lets the other guests be when one sends garbage or goes away", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    const conn = await listener.accept();
    await assertReadsPattern(conn);
    conn.close();
  })();
  await using gateway = await Gateway.start({ host: "deno", dns: "none" });
  const [good, goodEnd] = memoryLinkPair({ offload: true }), [bad, badEnd] = memoryLinkPair();
  gateway.attach(good);
  const attached = gateway.attach(bad);
  badEnd.start({ receive() {}, flush() {}, closed() {} });
  await using stack = new GuestStack(goodEnd);
  const conn = await stack.connect({ hostname: "10.0.2.2", port: listener.addr.port });
  const { Frame } = await import("../net/wire/frame.ts");
  for (let i = 0; i < 500; i++) {
    const noise = crypto.getRandomValues(new Uint8Array(60));
    badEnd.send(new Frame().set(noise, 0, i % 60));
  }
  badEnd.flush();
  await writeAll(conn, PATTERN);
  await badEnd.close();
  assertEquals(await attached.ended, undefined);
  conn.closeWrite();
  await serving;
  listener.close();
  assert(Object.values(gateway.counters()).reduce((sum, count) => sum + count, 0) >= 400);
});

testFamilies("Gateway refuses a port that the host refuses", async (family) => {
  const free = Deno.listen({ hostname: family.loopback, port: 0 }), port = free.addr.port;
  free.close();
  const [link, end] = memoryLinkPair();
  await using gateway = await Gateway.start({ host: "deno", dns: "none" });
  gateway.attach(link);
  await using stack = new GuestStack(end);
  await assertRejects(
    () => stack.connect({ hostname: family.gateway, port }),
    Deno.errors.ConnectionRefused,
    `Cannot connect to ${endpoint(family.gateway, port)}: refused`,
  );
  assertEquals(stack.connections, 0);
});

testFamilies("Gateway refuses what its rules deny and counts it", async (family) => {
  const listener = Deno.listen({ hostname: family.loopback, port: 0 }), { port } = listener.addr;
  const loopback = family.version === 4 ? "127.0.0.0/8" : "::1/128";
  const other = family.version === 4 ? "192.0.2.0/24" : "2001:db8::/32";
  for (const rules of [{ deny: [loopback] }, { allow: [other] }, { allow: [endpoint(family.loopback, port ^ 1)] }]) {
    const [link, end] = memoryLinkPair();
    await using gateway = await Gateway.start({ host: "deno", dns: "none", ...rules });
    gateway.attach(link);
    await using stack = new GuestStack(end);
    await assertRejects(() => stack.connect({ hostname: family.gateway, port }), Deno.errors.ConnectionRefused);
    assertEquals(gateway.counters().denied, 1);
  }
  listener.close();
});

testFamilies(
  "Gateway without a family leaves its guest without a gateway there, and serves the other",
  async (family) => {
    const other = FAMILIES.find(({ version }) => version !== family.version)!;
    using listener = Deno.listen({ hostname: other.loopback, port: 0 });
    const [link, end] = memoryLinkPair(), { port } = listener.addr;
    await using gateway = await Gateway.start({
      host: "deno",
      dns: "none",
      families: other.version === 4 ? "ipv4" : "ipv6",
    });
    await using _guest = gateway.attach(link);
    await using stack = new GuestStack(end, { tcp: { userTimeoutMs: 1000 } });
    const connecting = assertRejects(() => stack.connect({ hostname: family.gateway, port }), Deno.errors.TimedOut);
    const accepted = listener.accept(), conn = await stack.connect({ hostname: other.gateway, port });
    (await accepted).close();
    conn.close();
    await connecting;
    const { ipv4Disabled, ipv6Disabled } = gateway.counters();
    assert((family.version === 4 ? ipv4Disabled : ipv6Disabled) > 0);
    assertEquals(family.version === 4 ? ipv6Disabled : ipv4Disabled, 0);
  },
);

Deno.test("Gateway.start refuses options that make no sense, and says why", async () => {
  const bad: [GatewayOptions, string][] = [
    [{ subnet: "10.0.2.0/28" }, "/27"],
    [{ subnet: "ten" }, "ten"],
    [{ maxFlows: 0 }, "Cannot set maxFlows to 0: it is a whole number from 1 to 1000000"],
    [{ maxFlows: NaN }, "maxFlows"],
    [{ maxNewFlows: 1.5 }, "Cannot set maxNewFlows to 1.5"],
    [{ maps: ["10.0.2.9"] }, "GUESTADDR=HOSTADDR"],
    [{ dns: "1.2.3.4:99999" }, "1 to 65535"],
    [{ allow: ["some where"] }, 'Cannot follow --allow "some where": after the host and its ports comes "unverified"'],
    [{ allow: ["*.com"] }, "which is a public suffix"],
    [{ rules: { name: "r", text: "allow" } }, 'Cannot follow r:1 "allow": "allow" of what?'],
    [{ rules: "deny a.example", dns: "none" }, "without DNS no name leads anywhere"],
    [{ deny: ["10.0.0.5/8"] }, "write 10.0.0.0/8"],
    [{ maxNewFlows: 0 }, "Cannot set maxNewFlows to 0"],
  ];
  for (const [options, text] of bad) {
    await assertRejects(() => Gateway.start({ host: "deno", ...options }), Error, text);
  }
  await assertRejects(() => Gateway.start({ signal: AbortSignal.abort(new RangeError("Not wanted")) }), RangeError);
});

Deno.test("Gateway that is closed takes no guest", async () => {
  const gateway = await Gateway.start({ host: "deno", dns: "none" });
  await gateway[Symbol.asyncDispose]();
  const [link] = memoryLinkPair();
  assertThrows(() => gateway.attach(link), Deno.errors.BadResource, "the gateway is closed");
});

Deno.test("Gateway counts and logs whom listeners have turned away, apart from those for want of descriptors", async () => {
  const lines: string[] = [], warn = (line: string) => void lines.push(line);
  const logger = { debug() {}, info() {}, warn, error() {} };
  await using gateway = await Gateway.start({ host: "deno", dns: "none", logger });
  for (let i = 0; i < 20; i++) gateway.refused(`Refused client ${i}`);
  gateway.refused("Cannot accept a connection", true);
  assertEquals([gateway.counters().guestRefused, gateway.counters().hostExhausted], [20, 1]);
  assertEquals(lines, Array.from({ length: 10 }, (_, i) => `Refused client ${i}`));
});

Deno.test({
  name: `Gateway with hostAddresses: false refuses the host, and its end leaves nothing open${needs.reason}`,
  ignore: needs.ignore,
  fn: () =>
    assertNoDescriptorLeft(async () => {
      for (const [host, family] of HOSTS_AND_FAMILIES) {
        using listener = Deno.listen({ hostname: family.loopback, port: 0 });
        const [link, end] = memoryLinkPair({ mtu: 1500 });
        await using gateway = await Gateway.start({ host, dns: "none", hostAddresses: false });
        await using _guest = gateway.attach(link);
        await using stack = new GuestStack(end);
        const connect = () => stack.connect({ hostname: family.gateway, port: listener.addr.port });
        await assertRejects(connect, Deno.errors.ConnectionRefused);
        assertEquals(gateway.counters().denied, 1);
        await assertRejects(() => Gateway.start({ host, dns: "none", hostAddresses: false, forwards: ["nonsense"] }));
      }
    }),
});

Deno.test("Gateway warns of rules that close one family and leave the other open", async () => {
  const warnings = async (options: GatewayOptions) => {
    const lines: string[] = [], warn = (line: string) => void lines.push(line);
    const logger = { debug() {}, info() {}, warn, error() {} };
    const gateway = await Gateway.start({ host: "deno", dns: "none", logger, ...options });
    await gateway[Symbol.asyncDispose]();
    return lines;
  };
  assertEquals((await warnings({ deny: ["0.0.0.0/0"] })).join().includes("leaves IPv6 open: add --deny ::/0"), true);
  assertEquals(await warnings({ deny: ["0.0.0.0/0"], families: "ipv4" }), []);
  assertEquals(await warnings({ deny: ["0.0.0.0/0", "::/0"] }), []);
  // Beside rules about addresses alone, names can still be asked for; by QUIC a name opens others.
  assertEquals(await warnings({ allow: ["192.0.2.1"] }), []);
  const [open, ...others] = await warnings({ allow: ["192.0.2.1"], dns: "127.0.0.1:9" });
  assertEquals([open?.startsWith("Rules: addresses alone are allowed, so every name can be asked for"), others], [
    true,
    [],
  ]);
  const quic = await warnings({ allow: ["udp:a.example:443"], dns: "127.0.0.1:9" });
  assertEquals(quic.map((line) => line.split(":").slice(0, 3).join(":")), ["Rules: allow udp:a.example"]);
});
