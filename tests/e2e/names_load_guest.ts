/**
 * The guest of `names_load.ts`: begins connections at a steady rate, half of them to a port that is allowed and answers
 * a byte, half to one that is refused, and prints as JSON what became of them.
 *
 * Words: name, allowed port, refused port, connections a second, seconds.
 *
 * @module
 */
const [name, allowedPort, refusedPort, rate, seconds] = Deno.args;
// One address: with two of them a refusal would be tried again.
const [hostname] = await Deno.resolveDns(name!, "A");
/** How often connections begin, in ms. */
const TICK_MS = 10;
const counts = { answered: 0, refused: 0, failed: 0, ms: 0 };
const errors = new Set<string>();

async function attempt(port: number): Promise<void> {
  try {
    using conn = await Deno.connect({ hostname: hostname!, port });
    const byte = new Uint8Array([1]);
    await conn.write(byte);
    if (await conn.read(byte) === 1) counts.answered++;
    else counts.failed++;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) counts.refused++;
    else {
      counts.failed++;
      errors.add(String(error));
    }
  }
}

const total = Number(rate) * Number(seconds), began = performance.now(), attempts: Promise<void>[] = [];
while (attempts.length < total) {
  const due = Math.min(total, Math.ceil((performance.now() - began + TICK_MS) / 1000 * Number(rate)));
  while (attempts.length < due) attempts.push(attempt(Number(attempts.length % 2 === 0 ? allowedPort : refusedPort)));
  await new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
await Promise.all(attempts);
console.log(JSON.stringify({ ...counts, ms: Math.round(performance.now() - began), errors: [...errors] }));
