/**
 * The guest's side of round trips, run in the stack's namespace: `client.ts KIND TARGET PORT COUNT CONCURRENCY`.
 *
 * `rr`: one byte and its echo over an open connection. `crr`: connect, one byte and its echo, close. Both print the p50 and
 * p99 of COUNT of them in microseconds as JSON. `hold`: opens COUNT connections, with a byte over each, prints how many there
 * are, and holds them until it is ended. The cost of this program is in every stack's figures, and in
 * loopback's, which is therefore the floor.
 *
 * @module
 */
import { percentile } from "./statistics.ts";

const [kind, hostname, port, count, concurrency] = Deno.args;
/** Exchanges that are not counted: with them the client, the server and a stack in JavaScript are compiled. */
const WARM_UP = 1000;
const target = { hostname: hostname!, port: Number(port) }, byte = new Uint8Array([1]);

async function exchange(conn: Deno.TcpConn, buffer: Uint8Array): Promise<void> {
  await conn.write(byte);
  if (await conn.read(buffer) !== 1) throw new Error("Cannot measure: no echo came");
}

async function roundTrips(share: number, warmUp: number, samples: number[]): Promise<void> {
  const conn = await Deno.connect(target), buffer = new Uint8Array(16);
  conn.setNoDelay(true);
  for (let i = 0; i < warmUp + share; i++) {
    const began = performance.now();
    await exchange(conn, buffer);
    if (i >= warmUp) samples.push((performance.now() - began) * 1000);
  }
  conn.close();
}

async function connections(share: number, warmUp: number, samples: number[]): Promise<void> {
  const buffer = new Uint8Array(16);
  for (let i = 0; i < warmUp + share; i++) {
    const began = performance.now();
    const conn = await Deno.connect(target);
    await exchange(conn, buffer);
    conn.close();
    if (i >= warmUp) samples.push((performance.now() - began) * 1000);
  }
}

async function hold(): Promise<void> {
  const open: Deno.TcpConn[] = [], buffer = new Uint8Array(16);
  try {
    while (open.length < Number(count)) {
      const conn = await Deno.connect(target);
      open.push(conn);
      await exchange(conn, buffer);
    }
  } finally {
    console.log(open.length);
  }
  // Until it is ended, which closes all of them.
  await new Promise((resolve) => setTimeout(resolve, 300_000));
}

if (kind === "hold") {
  await hold();
} else {
  const samples: number[] = [], workers = Number(concurrency), share = Math.ceil(Number(count) / workers);
  const warmUp = Math.ceil(WARM_UP / workers);
  const work = kind === "rr" ? roundTrips : connections;
  await Promise.all(Array.from({ length: workers }, () => work(share, warmUp, samples)));
  console.log(JSON.stringify({ p50: percentile(samples, 0.5), p99: percentile(samples, 0.99) }));
}
