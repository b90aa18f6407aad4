import { assert, assertEquals } from "@std/assert";
import { LARGE_BUFFER, SMALL_BUFFER } from "../../nat/buffers.ts";
import { TCP_DEFAULTS } from "../../nat/tcp/context.ts";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../../net/wire/tcp.ts";
import { GUEST_ISN, NatScript } from "../support/nat_script.ts";

const FLOWS = 100, LIMIT = 8 << 20;

/** A hundred open flows whose hosts take nothing. */
class Stalled extends NatScript {
  #acks: number[] = [];

  constructor() {
    super({ maxFlows: FLOWS, maxBufferBytes: LIMIT });
    this.host.defaultBudget = 0;
    for (let port = 1; port <= FLOWS; port++) {
      this.send({ flags: TCP_SYN, ack: 0, seq: GUEST_ISN, port, mss: 1460, windowShift: 7, sackPermitted: true });
      this.host.onlyConnect().accept();
      this.host.run();
      this.#acks[port] = (this.take().at(-1)!.seq + 1) >>> 0;
      this.data(port, 0, "");
    }
    this.take();
  }

  /** A segment of the flow from `port`, whose first byte is the `offset`th. */
  data(port: number, offset: number, payload: Uint8Array | string): void {
    this.send({ payload, seq: (GUEST_ISN + 1 + offset) >>> 0, ack: this.#acks[port]!, port, window: 0x4000 });
  }
}

function endAll(script: NatScript): void {
  script.nat.close();
  script.take();
  script.assertEmpty();
}

Deno.test("Nat holds no more than the sum of one-byte segments and two buffers a flow, whatever their count", () => {
  const script = new Stalled(), before = script.nat.pool.takenBytes;
  for (let i = 0; i < 5000; i++) script.data(1, i, "x");
  script.take();
  assert(
    script.nat.pool.takenBytes - before <= 2 * SMALL_BUFFER + 5000,
    `${script.nat.pool.takenBytes - before} bytes`,
  );
  endAll(script);
});

Deno.test("Nat holds no more than the window for one-byte segments far apart, and forgets none that it has acknowledged", () => {
  const script = new Stalled(), before = script.nat.pool.takenBytes;
  for (let i = 0; i < 2000; i++) script.data(1, 9 + i * 1000, "x");
  script.take();
  assert(script.nat.pool.takenBytes - before <= TCP_DEFAULTS.receiveLimit, `${script.nat.pool.takenBytes - before}`);
  assert(script.nat.counters.tcpTooManyGaps > 1000);
  endAll(script);
});

Deno.test("Nat keeps the buffers of all flows below its bound, and its process too, while a guest fills stalled ones", () => {
  const script = new Stalled();
  const payload = new Uint8Array(1400), rssBefore = Deno.memoryUsage().rss;
  for (let i = 0; i < 400; i++) {
    for (let port = 1; port <= FLOWS; port++) script.data(port, i * 1400, payload);
    script.take();
  }
  // 56 MB were offered. Each flow may have taken one more buffer when the bound was reached.
  const most = LIMIT + LARGE_BUFFER;
  assert(script.nat.pool.takenBytes <= most, `${script.nat.pool.takenBytes} bytes`);
  assert(script.nat.counters.memoryLimit > 1000);
  const grown = (Deno.memoryUsage().rss - rssBefore) / (1 << 20);
  assert(grown < 150, `resident memory grew by ${grown} MiB`);
  endAll(script);
});

Deno.test("Nat reads no more from hosts than its bound allows while guests acknowledge nothing", () => {
  const script = new Stalled();
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
  const script = new Stalled(), payload = new Uint8Array(1400);
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
