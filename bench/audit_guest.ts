/**
 * The guest of `audit_load.ts` and `audit_cost.ts`: begins flows that are allowed and flows that are refused, or
 * measures what one costs.
 *
 * @module
 */
const [port = 0, perSecond = 0, seconds = 0, mode = 0] = Deno.args.map(Number);
const HOST = "10.0.2.2", BUNCH_MS = 10;
/** A port that no rule of the load allows. */
const REFUSED_PORT = 9;

async function connect(port: number): Promise<boolean> {
  try {
    using conn = await Deno.connect({ hostname: HOST, port });
    await conn.read(new Uint8Array(1));
    return true;
  } catch {
    return false;
  }
}

/** As many flows a second of each kind, in bunches. */
async function load(): Promise<unknown> {
  const begin = performance.now(), each = perSecond * BUNCH_MS / 1000, bunches = seconds * 1000 / BUNCH_MS;
  const all: Promise<boolean>[] = [], refused: Promise<boolean>[] = [];
  for (let bunch = 0; bunch < bunches; bunch++) {
    const late = begin + bunch * BUNCH_MS - performance.now();
    if (late > 0) await new Promise((resolve) => setTimeout(resolve, late));
    for (let i = 0; i < each; i++) {
      all.push(connect(port));
      refused.push(connect(REFUSED_PORT));
    }
  }
  const came = await Promise.all(all), kept = await Promise.all(refused);
  return {
    allowed: came.filter((isIn) => isIn).length,
    refused: kept.filter((isIn) => !isIn).length,
    elapsedMs: performance.now() - begin,
  };
}

/** The median time of a connect in microseconds, one after another, and bytes a second of a transfer. */
async function cost(): Promise<unknown> {
  const times: number[] = [];
  for (let i = 0; i < perSecond; i++) {
    const begin = performance.now();
    await connect(port);
    times.push((performance.now() - begin) * 1000);
  }
  using conn = await Deno.connect({ hostname: HOST, port: mode });
  const bytes = new Uint8Array(1 << 20);
  const begin = performance.now();
  let received = 0;
  for (let count; (count = await conn.read(bytes)) !== null;) received += count;
  const elapsedS = (performance.now() - begin) / 1000;
  return { connectUs: times.toSorted((a, b) => a - b)[times.length >> 1], bytesPerS: received / elapsedS };
}

console.log(JSON.stringify(mode === 0 ? await load() : await cost()));
