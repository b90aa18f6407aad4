import { assert, assertEquals, assertRejects } from "@std/assert";
import type { AuditRecord } from "../audit/records.ts";
import { type LineOutput, LineSink } from "../audit/sink.ts";
import { GuestStack } from "../guest/stack.ts";
import { Gateway, type GatewayOptions } from "../mod.ts";
import { memoryLinkPair } from "../net/link/memory.ts";
import { checkedRecords, schemaProblems } from "./support/audit_schema.ts";

/** A server that counts its connections and closes each when its client has finished. */
class Server implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #served: Promise<void>;
  readonly port: number = this.#listener.addr.port;
  connections = 0;
  bytes = 0;

  constructor() {
    this.#served = (async () => {
      for await (const conn of this.#listener) {
        this.connections++;
        void this.#serve(conn);
      }
    })();
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    const bytes = new Uint8Array(1000);
    for (let count; (count = await conn.read(bytes).catch(() => null)) !== null;) this.bytes += count;
    conn.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#served;
  }
}

/** A gateway with one guest, and what it records. */
async function start(options: GatewayOptions): Promise<{ guest: GuestStack; end: () => Promise<void> }> {
  const [link, end] = memoryLinkPair();
  const gateway = await Gateway.start({ host: "deno", dns: "none", families: "ipv4", ...options });
  const attached = gateway.attach(link), guest = new GuestStack(end);
  return {
    guest,
    end: async () => {
      await guest.close();
      await attached.ended;
      await gateway[Symbol.asyncDispose]();
    },
  };
}

/** Connects, says five bytes, and waits for the other side to close. */
async function talk(guest: GuestStack, port: number): Promise<void> {
  const conn = await guest.connect({ hostname: "10.0.2.2", port });
  await conn.write(new TextEncoder().encode("hello"));
  conn.closeWrite();
  assertEquals(await conn.read(new Uint8Array(9)), null);
  conn.close();
}

Deno.test("Gateway's audit is complete: as many flows, refusals and bytes as the servers and the guest count", async () => {
  await using one = new Server();
  await using other = new Server();
  await using closed = new Server();
  const records: AuditRecord[] = [];
  const allow = [one, other].map(({ port }) => `10.0.2.2:${port}`);
  const { guest, end } = await start({ allow, audit: (record) => void records.push(record) });
  const rounds = 40;
  for (let round = 0; round < rounds; round++) {
    await Promise.all([
      talk(guest, one.port),
      talk(guest, other.port),
      assertRejects(() => guest.connect({ hostname: "10.0.2.2", port: closed.port }), Deno.errors.ConnectionRefused),
    ]);
  }
  await end();
  assertEquals([one.connections, other.connections, closed.connections], [rounds, rounds, 0]);
  for (const [i, record] of records.entries()) {
    assertEquals(schemaProblems(record), [], JSON.stringify(record));
    assertEquals(record.seq, i + 1);
  }
  const of = <E extends AuditRecord["event"]>(event: E) =>
    records.filter((record): record is AuditRecord & { event: E } => record.event === event);
  for (const { port } of [one, other]) assertEquals(of("open").filter((record) => record.port === port).length, rounds);
  assertEquals(of("open").every(({ rule }) => rule !== null && allow.includes(rule.text.slice("allow ".length))), true);
  const closes = of("close");
  assertEquals(closes.reduce((sum, { bytesFromGuest }) => sum + bytesFromGuest, 0), one.bytes + other.bytes);
  assertEquals(new Set(closes.map(({ flow }) => flow)), new Set(of("open").map(({ flow }) => flow)));
  assertEquals(of("refuse").reduce((sum, { count }) => sum + count, 0), rounds);
  assertEquals(
    new Set(of("refuse").map(({ reason, port }) => `${reason} ${port}`)),
    new Set([`notAllowed ${closed.port}`]),
  );
  const [started] = of("start"), [ended] = of("end");
  assertEquals([started!.allow, started!.mode, started!.seq], [2, "enforce", 1]);
  assertEquals([ended!.flows, ended!.refused, ended!.seq], [2 * rounds, rounds, records.length]);
});

Deno.test("Gateway whose audit cannot be written begins no flow; those that are open go on; a gap tells of it", async () => {
  await using server = new Server();
  const output = new FullDisk();
  const warnings: string[] = [], logger = { ...console, warn: (line: string) => void warnings.push(line) };
  const { guest, end } = await start({ audit: [new LineSink(output)], logger: { ...logger, info() {}, debug() {} } });
  const open = await guest.connect({ hostname: "10.0.2.2", port: server.port });
  output.isFull = true;
  for (let i = 0; i < 5; i++) {
    await assertRejects(
      () => guest.connect({ hostname: "10.0.2.2", port: server.port }),
      Deno.errors.ConnectionRefused,
    );
  }
  // What is open goes on.
  await open.write(new TextEncoder().encode("hello"));
  open.closeWrite();
  assertEquals(await open.read(new Uint8Array(9)), null);
  open.close();
  output.isFull = false;
  for (;;) {
    const done = await talk(guest, server.port).then(() => true, () => false);
    if (done) break;
  }
  await end();
  assertEquals(server.connections, 2);
  const records = checkedRecords(output.text), events = records.map(({ event }) => event);
  assertEquals(events.filter((event) => event === "gap").length, 1);
  const gap = records.find((record) => record.event === "gap")!;
  assert(gap.refused >= 5 && gap.lost === 0, JSON.stringify(gap));
  const opens = records.filter(({ event }) => event === "open").length;
  // The one at which it was noticed was recorded, and ended before anything was connected.
  assertEquals(records.filter((record) => record.event === "close" && record.ending === "auditUnavailable").length, 1);
  assertEquals(opens, 3);
  assertEquals(warnings.filter((line) => line.startsWith("Cannot write the audit")).length, 1);
  assertEquals(warnings.filter((line) => line.startsWith("Refused")), []);
});

/** A disk that is full, or is not. */
class FullDisk implements LineOutput {
  readonly patience: number = 0;
  isFull = false;
  text = "";

  write(bytes: Uint8Array): number {
    if (this.isFull) throw new Error("no space left on device (ENOSPC)");
    this.text += new TextDecoder().decode(bytes);
    return bytes.length;
  }

  [Symbol.dispose](): void {}
}

Deno.test("Gateway does not start without an audit that can be written, and closes the sinks", async () => {
  let isClosed = false;
  const output = Object.assign(new FullDisk(), { isFull: true, [Symbol.dispose]: () => void (isClosed = true) });
  await assertRejects(
    () => Gateway.start({ host: "deno", audit: [new LineSink(output)] }),
    Error,
    "Cannot write the audit",
  );
  assertEquals(isClosed, true);
});
