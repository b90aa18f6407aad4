import { assertEquals, assertRejects } from "@std/assert";
import { GuestStack } from "../guest/mod.ts";
import { type AskedFlow, Gateway, type GatewayOptions, type RulesChanged } from "../mod.ts";
import { memoryLinkPair } from "../net/link/memory.ts";
import { RuleError } from "../rules/mod.ts";

/** A gateway, a guest of it, and a server of the host that answers each line with the same. */
async function start(options: (port: number) => GatewayOptions) {
  const owned = new AsyncDisposableStack();
  const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    for await (const conn of server) void echo(conn);
  })();
  owned.defer(async () => {
    server.close();
    await served;
  });
  const [link, end] = memoryLinkPair(), { port } = server.addr as Deno.NetAddr;
  const gateway = owned.use(await Gateway.start({ host: "deno", dns: "127.0.0.1:9", ...options(port) }));
  owned.use(gateway.attach(link));
  const guest = owned.use(new GuestStack(end));
  const connect = (to = port) => guest.connect({ hostname: "10.0.2.2", port: to });
  return { gateway, port, connect, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function echo(conn: Deno.Conn): Promise<void> {
  using held = conn;
  const buffer = new Uint8Array(64);
  try {
    for (let count = await held.read(buffer); count !== null; count = await held.read(buffer)) {
      await held.write(buffer.subarray(0, count));
    }
  } catch {
    // The gateway resets it when rules forbid it.
  }
}

/** Says a line, which cannot become a request, and waits for it; null: the end, or a reset. */
async function say(
  conn: { write(bytes: Uint8Array): Promise<number>; read(into: Uint8Array): Promise<number | null> },
) {
  const into = new Uint8Array(64);
  await conn.write(new TextEncoder().encode("word\n"));
  const count = await conn.read(into);
  return count === null ? null : new TextDecoder().decode(into.subarray(0, count)).trim();
}

Deno.test("Gateway.rules are those that it was started with, under a digest that order does not change", async () => {
  await using one = await Gateway.start({ host: "deno", allow: ["192.0.2.1:443", "192.0.2.2"], deny: ["none"] });
  await using two = await Gateway.start({ host: "deno", allow: ["192.0.2.2", "192.0.2.1:443"], deny: ["none"] });
  assertEquals(one.rules.list().map(({ text }) => text), ["allow 192.0.2.1:443", "allow 192.0.2.2"]);
  assertEquals([one.rules.digest, one.rules.digest.length], [two.rules.digest, 64]);
});

Deno.test("Gateway.rules.replace ends flows that the new rules do not allow, and says so", async () => {
  await using world = await start((port) => ({ allow: [`10.0.2.2:${port}`] }));
  const { gateway, connect, port } = world, changes: RulesChanged[] = [];
  gateway.events.addEventListener("rulesChanged", ({ detail }) => changes.push(detail));
  const conn = await connect();
  assertEquals(await say(conn), "word");
  const from = gateway.rules.digest;
  const kept = await gateway.rules.replace({ allow: ["10.0.2.0/24"] });
  assertEquals(await say(conn), "word");
  const late = await gateway.rules.replace({ allow: ["192.0.2.1"] }, { keepFlows: true });
  assertEquals(await say(conn), "word");
  await assertRejects(() => connect(), Deno.errors.ConnectionRefused);
  const to = await gateway.rules.replace({ allow: ["192.0.2.2"] });
  await assertRejects(() => say(conn), Deno.errors.ConnectionReset);
  assertEquals(changes.map(({ from, to, ended }) => [from, to, ended]), [[from, kept, 0], [kept, late, 0], [
    late,
    to,
    1,
  ]]);
  assertEquals([gateway.rules.digest, gateway.endings().rulesChanged], [to, 1]);
  await gateway.rules.replace({ rules: { name: "rules.txt", text: `allow host.docker.internal:${port}` } });
  const again = await connect();
  assertEquals(await say(again), "word");
});

Deno.test("Gateway.rules.replace leaves everything as it was if a rule cannot be followed", async () => {
  await using world = await start((port) => ({ allow: [`10.0.2.2:${port}`] }));
  const conn = await world.connect();
  const { rules } = world.gateway, before = rules.digest;
  const bad = { rules: { name: "rules.txt", text: "allow 192.0.2.1\nallow *\n" } };
  const error = await assertRejects(() => rules.replace(bad), RuleError);
  assertEquals([error.message.includes("rules.txt:2"), rules.digest], [true, before]);
  assertEquals(await say(conn), "word");
  // A bad one in between keeps nobody from coming after.
  const results = await Promise.allSettled([
    rules.replace({ allow: ["*.example.org"] }),
    rules.replace(bad),
    rules.replace({ allow: ["192.0.2.3"] }),
  ]);
  assertEquals(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  assertEquals(rules.list()[0]!.text, "allow 192.0.2.3", "the last one given is in force");
});

Deno.test("Gateway with reportOnly refuses nothing by a rule, and decide has the last word", async () => {
  const asked: AskedFlow[] = [];
  await using world = await start((port) => ({
    allow: ["192.0.2.1"],
    reportOnly: true,
    decide: (flow) => {
      asked.push(flow);
      return flow.port === 1 ? { redirect: `127.0.0.1:${port}` } : flow.port === 2 ? "refuse" : "allow";
    },
  }));
  const would: (string | undefined)[] = [];
  world.gateway.events.addEventListener("flowOpened", ({ detail }) => would.push(detail.wouldRefuse?.cause));
  const conn = await world.connect();
  assertEquals([await say(conn), would], ["word", ["notAllowed"]]);
  const led = await world.connect(1);
  assertEquals(await say(led), "word");
  await assertRejects(() => world.connect(2), Deno.errors.ConnectionRefused);
  assertEquals(world.gateway.counters().hookRefused, 1);
  assertEquals(asked.map(({ protocol, host, rule }) => [protocol, host, rule]), [
    ["tcp", `127.0.0.1:${world.port}`, null],
    ["tcp", "127.0.0.1:1", null],
    ["tcp", "127.0.0.1:2", null],
  ]);
});

Deno.test("Gateway.start refuses options of names that are none", async () => {
  const strange = { host: "deno", names: "loose" } as unknown as GatewayOptions;
  await assertRejects(() => Gateway.start(strange), TypeError, "Cannot set names to loose: it is verify or strict");
  for (const namesTtlS of [0, 1.5, NaN, 604_801]) {
    const start = () => Gateway.start({ host: "deno", namesTtlS });
    await assertRejects(start, RangeError, `Cannot set namesTtlS to ${namesTtlS}: it is a whole number of seconds`);
  }
});

Deno.test("Gateway with strict names ends a flow that says none, and with verify does not", async () => {
  for (const names of ["verify", "strict"] as const) {
    await using world = await start((port) => ({ allow: [`host.docker.internal:${port}`], names, namesTtlS: 60 }));
    const conn = await world.connect();
    if (names === "verify") assertEquals(await say(conn), "word");
    else await assertRejects(() => say(conn), Deno.errors.ConnectionReset);
    assertEquals(world.gateway.endings().unverified, names === "strict" ? 1 : 0);
  }
});
