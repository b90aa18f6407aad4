/**
 * The guest's side of round trips, run in the stack's namespace: `client.ts KIND TARGET PORT,… COUNT CONCURRENCY`.
 *
 * `rr`: one byte and its echo over an open connection. `crr`: connect, one byte and its echo, close. Both print the p50
 * and p99 of COUNT of them in microseconds as JSON. `hold`: opens COUNT connections, with a byte over each, prints how
 * many there are, and holds them until it is ended.
 *
 * Each client is a thread with system calls that wait: what this program costs is in every stack's figures, and a
 * runtime's own event loop would cost more than the stacks do. Loopback's figures show what remains.
 *
 * @module
 */
import { connect, exchange, measure, type Share } from "./exchange.ts";
import { percentile } from "./statistics.ts";

/** Exchanges that are not counted: with them the client, the server and a stack in JavaScript are compiled. */
const WARM_UP = 1000;

function measureBeside(share: Share): Promise<number[]> {
  const worker = new Worker(new URL("./client_thread.ts", import.meta.url), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<number[]>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = reject;
  worker.postMessage(share);
  return promise.finally(() => worker.terminate());
}

async function hold(share: Share): Promise<void> {
  let open = 0;
  try {
    for (; open < share.count; open++) exchange(connect(share, open));
  } finally {
    console.log(open);
  }
  // Until it is ended, which closes all of them.
  await new Promise((resolve) => setTimeout(resolve, 300_000));
}

const [kind, target, ports, count, concurrency] = Deno.args, clients = Number(concurrency);
function per(total: number): number {
  return Math.ceil(total / clients);
}
const share = {
  kind: kind!,
  target: target!,
  ports: ports!.split(",").map(Number),
  warmUp: per(WARM_UP),
  count: per(Number(count)),
};
if (kind === "hold") {
  await hold(share);
} else {
  const beside = Array.from({ length: clients }, () => share);
  const samples = clients === 1 ? measure(share) : (await Promise.all(beside.map(measureBeside))).flat();
  console.log(JSON.stringify({ p50: percentile(samples, 0.5), p99: percentile(samples, 0.99) }));
}
