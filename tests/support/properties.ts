/**
 * Properties that must hold for whatever a script of random choices leads to.
 *
 * A failure prints the seed and the smallest script found. It is kept by putting that script among the property's
 * `examples`, which are run before any random one.
 *
 * The seed is fixed, so that a run judges the change and not the luck of the day. `PROPERTY_SEED` and `PROPERTY_RUNS`
 * in the environment look further.
 *
 * @module
 */
import fc from "fast-check";

/** Runs of every property. */
export const RUNS = 2000;
const SEED = 20240229;

/** Checks that `holds` throws for nothing that `script` makes. */
export function checkProperty<T>(
  script: fc.Arbitrary<T>,
  holds: (script: T) => void,
  examples: readonly T[] = [],
): void {
  fc.assert(
    fc.property(fc.tuple(script), ([one]) => holds(one)),
    {
      numRuns: Number(Deno.env.get("PROPERTY_RUNS") ?? RUNS),
      seed: Number(Deno.env.get("PROPERTY_SEED") ?? SEED),
      examples: examples.map((one) => [[one]] as [[T]]),
    },
  );
}
