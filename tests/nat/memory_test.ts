import { assert, assertEquals } from "@std/assert";
import { LARGE_BUFFER, SMALL_BUFFER } from "../../nat/base/buffers.ts";
import { TCP_DEFAULTS } from "../../nat/tcp/context.ts";
import { TCP_ACK, TCP_RST } from "../../net/wire/tcp.ts";
import type { NatScript } from "../support/nat_script.ts";
import { FLOWS, LIMIT, StalledFlows } from "../support/stalled_flows.ts";

function endAll(script: NatScript): void {
  script.nat.close();
  script.take();
  script.assertEmpty();
}

Deno.test("Nat holds no more than the sum of one-byte segments and two buffers a flow, whatever their count", () => {
  const script = new StalledFlows(), before = script.nat.pool.takenBytes;
  for (let i = 0; i < 5000; i++) script.data(1, i, "x");
  script.take();
  assert(
    script.nat.pool.takenBytes - before <= 2 * SMALL_BUFFER + 5000,
    `${script.nat.pool.takenBytes - before} bytes`,
  );
  endAll(script);
});

Deno.test("Nat holds no more than the window for one-byte segments far apart, and forgets none that it has acknowledged", () => {
  const script = new StalledFlows(), before = script.nat.pool.takenBytes;
  for (let i = 0; i < 2000; i++) script.data(1, 9 + i * 1000, "x");
  script.take();
  assert(script.nat.pool.takenBytes - before <= TCP_DEFAULTS.receiveLimit, `${script.nat.pool.takenBytes - before}`);
  assert(script.nat.counters.tcpTooManyGaps > 1000);
  endAll(script);
});

Deno.test("Nat keeps the buffers of all flows below its bound while a guest fills stalled ones", () => {
  const script = new StalledFlows();
  script.flood(400);
  // 56 MB were offered. The buffer that reached the bound may lie beyond it.
  assert(script.nat.pool.takenBytes <= LIMIT + LARGE_BUFFER, `${script.nat.pool.takenBytes} bytes`);
  assert(script.nat.counters.memoryLimit > 1000);
  endAll(script);
});

Deno.test("Nat keeps its process small whatever a guest offers to stalled hosts", async () => {
  const program = new URL("../support/stalled_flows.ts", import.meta.url).href;
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["run", "--no-check", program] }).output();
  const { offered, grown } = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(offered, 784_000_000);
  assert(grown < 100 << 20, `resident memory grew by ${grown} bytes`);
});

Deno.test("Nat reads no more from hosts than its bound allows while guests acknowledge nothing", () => {
  const script = new StalledFlows();
  for (const socket of script.host.sockets) socket.hostSends(new Uint8Array(400_000));
  script.host.run();
  script.take();
  const held = script.nat.pool.takenBytes;
  assert(held <= LIMIT + FLOWS * SMALL_BUFFER + LARGE_BUFFER, `${held} bytes`);
  const unread = script.host.sockets.reduce((sum, socket) => sum + socket.unreadLength, 0);
  assert(unread > 20_000_000, `${unread} bytes stay with the hosts`);
  endAll(script);
});

Deno.test("Nat at its bound still carries a flow whose host takes what comes", () => {
  const script = new StalledFlows(), payload = new Uint8Array(1400);
  for (let i = 0; i < 100; i++) {
    for (let port = 2; port <= FLOWS; port++) script.data(port, i * 1400, payload);
    script.take();
  }
  assert(script.nat.pool.isFull);
  const socket = script.host.sockets[0]!;
  socket.budget = Infinity;
  for (let i = 0; i < 100; i++) {
    script.data(1, i * 1400, payload);
    assertEquals(script.take().at(-1)!.flags & (TCP_ACK | TCP_RST), TCP_ACK);
  }
  assertEquals(socket.receivedLength, 140_000);
  endAll(script);
});
