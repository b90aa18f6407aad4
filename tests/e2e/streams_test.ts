import { assert, assertEquals } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { TCP_DEFAULTS } from "../../nat/tcp/context.ts";
import { until } from "./run_support.ts";
import { World, WORLD_NEEDS } from "./world.ts";

const { ignore, reason } = requires(...WORLD_NEEDS);
const ENDLESS = Number.MAX_SAFE_INTEGER, FULL_SPEED = { bytesPerRead: 65536, pauseMs: 0 };

function test(name: string, body: (world: World) => Promise<void>): void {
  Deno.test({
    name: `${name}${reason}`,
    ignore,
    fn: async () => {
      await using world = await World.create();
      await body(world);
    },
  });
}

/** A connection that is open and idle meanwhile, and must not notice anything. */
async function bystander(world: World): Promise<{ assertWell: () => Promise<void> }> {
  const host = world.host(), guest = world.guest(), port = await host.call<number>("hold", "bystander");
  await guest.call("open", "bystander", port, 1);
  await until("it is held", async () => await host.call("held", "bystander") === 1);
  return {
    async assertWell() {
      await host.call("finish", "bystander");
      await guest.call("hear", "bystander");
      await host.call("hear", "bystander");
      assertEquals(await host.call("tally"), { "bystander: finished after 0": 1 });
      await until("no flow is left", () => Promise.resolve(world.gateway.flows().length === 0));
      assertEquals(world.gateway.endings().hostFirst, 1);
    },
  };
}

test("Gateway serves a fast reader beside a slow one, and holds no more than its bound for the slow one", async (w) => {
  const host = w.host(), slow = w.guest(), fast = w.guest(), port = await host.call<number>("serve", "stream");
  const began = performance.now(), slowDone = slow.call("download", port, 8 << 20, { bytesPerRead: 32768, pauseMs: 4 });
  await until("the slow one has begun", () => Promise.resolve(w.gateway.flows().length === 1));
  const { guest } = w.gateway.flows()[0]!;
  let queued = 0;
  const look = setInterval(() => {
    const flow = w.gateway.flows().find((flow) => flow.guest === guest);
    if (flow) queued = Math.max(queued, flow.bytesFromHost - flow.bytesToGuest);
  }, 5);
  const bytesPerSecond = await fast.call<number>("download", port, 256 << 20, FULL_SPEED);
  const fastMs = performance.now() - began;
  await slowDone;
  clearInterval(look);
  const slowMs = performance.now() - began;
  assert(bytesPerSecond > 50e6, `the fast one read ${bytesPerSecond} bytes a second`);
  assert(fastMs < slowMs, `the fast one took ${fastMs} ms, the slow one ${slowMs}`);
  assert(queued > 0 && queued <= TCP_DEFAULTS.sendLimit + 65536, `${queued} bytes were queued`);
  await until("no flow is left", () => Promise.resolve(w.gateway.flows().length === 0));
});

test("Gateway resets the host when the guest's process is killed in mid-transfer, and lets others be", async (w) => {
  const other = await bystander(w), host = w.host(), victim = w.guest();
  const port = await host.call<number>("serve", "stream");
  const broken = victim.call("download", port, ENDLESS, FULL_SPEED).catch(() => {});
  await until("bytes flow", () => Promise.resolve(w.gateway.flows().some((flow) => flow.bytesToGuest > 10_000_000)));
  await victim.kill();
  await broken;
  await until("the host has heard", async () => {
    // A kernel whose process ends with nothing unread says FIN first, and RST to what comes then.
    const tally = await host.call<Record<string, number>>("tally");
    return tally["stream: ConnectionReset"] === 1 || tally["stream: BrokenPipe"] === 1;
  });
  assertEquals(w.gateway.endings().resetByGuest, 1);
  await other.assertWell();
});

test("Gateway resets the guest when the host's server is killed in mid-transfer, and lets others be", async (w) => {
  const other = await bystander(w), victim = w.host(), guest = w.guest();
  const port = await victim.call<number>("serve", "guestFirst"), broken = guest.call("upload", port);
  await until("bytes flow", () => Promise.resolve(w.gateway.flows().some((flow) => flow.bytesToHost > 10_000_000)));
  await victim.kill();
  const how = await broken as string;
  assert(["ConnectionReset", "BrokenPipe"].includes(how), how);
  await until("the flow has ended", () => Promise.resolve(w.gateway.endings().resetByHost === 1));
  await other.assertWell();
});
