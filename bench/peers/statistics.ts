/**
 * Medians and spread of a few rounds, and percentiles of many samples.
 *
 * @module
 */

/** What several rounds of one measurement say. */
export interface Summary {
  /** The middle value. */
  median: number;
  /** The least value. */
  min: number;
  /** The greatest value. */
  max: number;
  /** How many rounds gave a value. */
  rounds: number;
}

/** The value below which the fraction `q` of `values` lies (nearest rank). `NaN` where there are none. */
export function percentile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * q) - 1))] ?? NaN;
}

/** The middle value, or the mean of the two in the middle. `NaN` where there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** Median, least and greatest of a round's values. */
export function summarize(values: readonly number[]): Summary {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), rounds: values.length };
}
