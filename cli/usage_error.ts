/**
 * What the user typed cannot be done.
 *
 * @module
 */

/** A mistake on the command line: printed as one line, exit code 2. */
export class UsageError extends Error {
  /** The class's name, for messages. */
  override readonly name = "UsageError";
  /** Who complains: `hawser` or `hawser run`. */
  readonly program: string;

  /** Takes who complains, and what is wrong and what would be right in one sentence. */
  constructor(program: string, message: string) {
    super(message);
    this.program = program;
  }
}

/** The one of `words` that `word` is most likely meant to be, if any is near. */
export function nearestWord(word: string, words: readonly string[]): string | undefined {
  let nearest: string | undefined, least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of words) {
    const distance = candidate.startsWith(word) && word.length > 1 ? 1 : editDistance(word, candidate);
    if (distance < least) [nearest, least] = [candidate, distance];
  }
  return nearest;
}

/** How many letters must be inserted, deleted, replaced or swapped with their neighbour. */
function editDistance(a: string, b: string): number {
  let before: number[] = [], previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    [before, previous] = [previous, row];
  }
  return previous[b.length]!;
}
