/**
 * A gateway in a program of its own on the host of `internet.ts`, so that a test may steer it while a guest's kernel
 * talks through it: it starts with the options in the first word, and does what the test asks (`program.ts`).
 *
 * @module
 */
import { answerCalls } from "./program.ts";
import { World } from "./world.ts";

const records: unknown[] = [];
await using world = await World.create({ ...JSON.parse(Deno.args[0]!), audit: (record) => records.push(record) });
await world.run("ip route add default via 10.0.2.2");

await answerCalls({
  /** A line of bash in the guest, and what it wrote. */
  guest: (line: string) => world.run(line),
  /** Other rules; the digest of the list. */
  replace: (rules: { allow?: string[]; deny?: string[]; rules?: string }, options: { keepFlows?: boolean }) =>
    world.gateway.rules.replace(rules, options),
  /** The audit so far. */
  records: () => records as never,
});
