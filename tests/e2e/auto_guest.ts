/**
 * A guest that listens and closes, for `auto_test.ts`: `auto_guest.ts FIRST COUNT AT_ONCE`. On COUNT ports from FIRST
 * on it takes one client each, tells him the port, and closes; AT_ONCE of them at a time, each as soon as it may. It
 * stays until somebody has come to the port behind these.
 *
 * @module
 */
const [first, count, atOnce] = Deno.args.map(Number) as [number, number, number];

/** Takes one client. */
async function takeOne(port: number): Promise<void> {
  using listener = Deno.listen({ hostname: "0.0.0.0", port });
  const client = await listener.accept();
  await client.write(new TextEncoder().encode(`${port}\n`));
  client.close();
}

let next = first;
await Promise.all(Array.from({ length: atOnce }, async () => {
  while (next < first + count) await takeOne(next++);
}));
await takeOne(first + count);
