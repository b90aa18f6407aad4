/**
 * Connections by the thousand through a real namespace, each to a fate that was chosen for it.
 */
import { assert, assertEquals } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createEndings, type Endings } from "../../nat/flow/endings.ts";
import { openDescriptors, openedSince } from "../support/descriptors.ts";
import { requires } from "../support/requirements.ts";
import type { Program } from "./program.ts";
import { until as untilSoon } from "./run_support.ts";
import { World, WORLD_NEEDS } from "./world.ts";

const { ignore, reason } = requires(...WORLD_NEEDS, "nft");
const FATES = 10;
const EACH = 1000;
/** Processes that are killed, each with its share of the connections. */
const VICTIMS = 4;
/** Short enough to wait for, long enough for guests whose answers a busy machine delays. */
const SILENCE = { keepAliveMs: 2000, keepAliveIntervalMs: 1000, keepAliveProbes: 9 };

/** Waits until `condition` holds, and asks seldom: to list thousands of flows takes the gateway's time. */
function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  return untilSoon(what, async () => {
    await new Promise((resolve) => setTimeout(resolve, 80));
    return await condition();
  }, 30_000);
}

/** Splits `EACH` over the victims. */
function shares(): number[] {
  return Array.from({ length: VICTIMS }, (_, i) => Math.floor((EACH + i) / VICTIMS));
}

/** Bytes of this process that are in use, after the garbage is collected, in MiB. */
function usedMiB(): number {
  setFlagsFromString("--expose_gc");
  const collect: () => void = runInNewContext("gc");
  // Twice: what the first finds unreachable may have finalizers.
  collect();
  collect();
  const { heapUsed, external } = Deno.memoryUsage();
  return (heapUsed + external) / (1 << 20);
}

function inState(w: World, port: number, state: string): number {
  return w.gateway.flows().filter((flow) => flow.state === state && flow.host === `127.0.0.1:${port}`).length;
}

/** How many flows are in which state, for the report of a failure. */
function statesByPort(w: World): string {
  const counts: Record<string, number> = {};
  for (const { host, state } of w.gateway.flows()) counts[`${host} ${state}`] = (counts[`${host} ${state}`] ?? 0) + 1;
  return JSON.stringify(counts);
}

/** Lets `EACH` connections meet each fate, all fates at the same time. Returns how the host saw them end. */
async function meetAll(w: World, guest: Program, host: Program): Promise<Record<string, number>> {
  const simple = async (fate: string, port: number) => void await guest.call("meet", fate, port, EACH);
  const served = async (fate: string) => await simple(fate, await host.call("serve", fate));
  // Guests that are killed with bytes of the host unread: their kernel answers with RST.
  const guestKilled = async () => {
    const port = await host.call<number>("serve", "guestKilled");
    await Promise.all(
      shares().map(async (count) => {
        const victim = w.guest();
        await victim.call("open", "victim", port, count);
        await victim.call("taste", "victim");
        await victim.kill();
      }),
    );
  };
  const hostKilled = async (index: number, count: number) => {
    const victim = w.host(), port = await victim.call<number>("serve", "hostKilled"), group = `hostKilled${index}`;
    await guest.call("open", group, port, count);
    await guest.call("write", group, 4000);
    await until("each was tasted", async () => {
      return (await victim.call<Record<string, number>>("tally"))["hostKilled: tasted"] === count;
    });
    await victim.kill();
    await guest.call("suffer", group);
  };
  // FINs that cross: the guest is deaf to this port while both sides finish.
  const bothAtOnce = async () => {
    const port = await host.call<number>("hold", "bothAtOnce");
    await guest.call("open", "bothAtOnce", port, EACH);
    await until("all are held", async () => await host.call("held", "bothAtOnce") === EACH);
    await w.run(`nft 'table ip deaf { chain in { type filter hook input priority 0; tcp sport ${port} drop; }; }'`);
    await host.call("finish", "bothAtOnce");
    await until("all are in FIN-WAIT-1", () => inState(w, port, "FIN-WAIT-1") === EACH);
    await guest.call("finish", "bothAtOnce");
    await until("all are in CLOSING", () => inState(w, port, "CLOSING") === EACH);
    await w.run("nft delete table ip deaf");
    await Promise.all([guest.call("hear", "bothAtOnce"), host.call("hear", "bothAtOnce")]);
  };
  // A guest that is gone without a word.
  const guestSilent = async () => {
    const port = await host.call<number>("serve", "guestSilent");
    await guest.call("open", "guestSilent", port, EACH);
    const silence = `chain in { type filter hook input priority 0; tcp sport ${port} drop; };
      chain out { type filter hook output priority 0; tcp dport ${port} drop; };`;
    await w.run(`nft 'table ip silent { ${silence.replaceAll("\n", " ")} }'`);
    await until("all were given up", async () => {
      return (await host.call<Record<string, number>>("tally"))["guestSilent: ConnectionReset"] === EACH;
    });
  };
  // Half-closed and idle while all the others come and go.
  const idlePort = await host.call<number>("hold", "idle");
  await guest.call("open", "idle", idlePort, EACH);
  await guest.call("finish", "idle");
  await Promise.all([
    served("guestFirst"),
    served("hostFirst"),
    served("guestResets"),
    host.call<number>("reset").then((port) => simple("hostResets", port)),
    host.call<number>("nobody").then((port) => simple("refused", port)),
    guestKilled(),
    ...shares().map((count, i) => hostKilled(i, count)),
    bothAtOnce(),
    guestSilent(),
  ]);
  const idle = w.gateway.flows().filter((flow) => flow.host === `127.0.0.1:${idlePort}` && flow.state === "CLOSE-WAIT");
  assertEquals(idle.length, EACH, JSON.stringify(w.gateway.endings()));
  await host.call("finish", "idle");
  await Promise.all([guest.call("hear", "idle"), host.call("hear", "idle")]);
  await until("no flow is left", () => w.gateway.flows().length === 0);
  return await host.call("tally");
}

Deno.test({
  name: `Gateway: ${FATES * EACH} connections of ten fates end as they were made to, and leave nothing${reason}`,
  ignore,
  fn: async () => {
    await using w = await World.create({ maxFlows: 20_000, tcp: SILENCE });
    const guest = w.guest(), host = w.host(), port = await host.call<number>("serve", "guestFirst");
    // What a first flow loads and what a thousand make the heap grow to is no leak.
    await guest.call("meet", "guestFirst", port, 1000);
    await until("no flow is left", () => w.gateway.flows().length === 0);
    await host.call("forget");
    const descriptors = await openDescriptors(), used = usedMiB(), before = w.gateway.endings();

    const began = performance.now(),
      tally = await meetAll(w, guest, host).catch((error) => {
        throw new Error(`${JSON.stringify(w.gateway.endings())} ${statesByPort(w)}`, { cause: error });
      }),
      seconds = (performance.now() - began) / 1000;

    assertEquals(w.gateway.flows(), []);
    const expected: Endings = {
      ...createEndings(),
      guestFirst: before.guestFirst + 2 * EACH,
      hostFirst: EACH,
      bothAtOnce: EACH,
      resetByGuest: 2 * EACH,
      resetByHost: 2 * EACH,
      refusedByHost: EACH,
      guestSilent: EACH,
    };
    assertEquals(w.gateway.endings(), expected);
    assertEquals(tally, {
      "guestFirst: finished after 1000": EACH,
      "hostFirst: finished after 1000": EACH,
      "guestResets: ConnectionReset": EACH,
      "hostResets: reset": EACH,
      "guestKilled: ConnectionReset": EACH,
      "bothAtOnce: finished after 0": EACH,
      "guestSilent: ConnectionReset": EACH,
      "idle: finished after 0": EACH,
    });
    assertEquals(await openedSince(descriptors), []);
    const grown = usedMiB() - used, rss = Deno.memoryUsage().rss / (1 << 20);
    console.log(
      `${FATES * EACH} connections in ${seconds.toFixed(1)} s; ${grown.toFixed(1)} MiB more in use, ${
        rss.toFixed(0)
      } MiB resident`,
    );
    assert(grown < 16, `${grown} MiB more`);
  },
});
