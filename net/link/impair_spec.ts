/**
 * A bad network in a few words: `loss=1%,delay=20ms,jitter=5ms,rate=10mbit,reorder=1%,duplicate=1%,seed=7`, as users of
 * `tc netem` know them. Any of these, in any order, each once; both directions are impaired alike.
 *
 * @module
 */
import type { Impairment } from "./lossy.ts";

const LONGEST_MS = 60_000;
const LARGEST_SEED = 2 ** 32 - 1;
const MS_OF_UNIT: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };
const BITS_OF_UNIT: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** A bad network: what `lossyLink` takes, as plain numbers. */
export interface ImpairmentSpec extends Impairment {
  /** What decides the random numbers. */
  readonly seed?: number;
}

/** Each word: the option it sets, and how its value is read, `undefined` where it is none. */
const WORDS: Readonly<
  Record<string, { option: keyof ImpairmentSpec; read: (text: string) => number | undefined; right: string }>
> = {
  loss: { option: "loss", read: readPercentage, right: "a percentage from 0% to 100%, such as 1%" },
  delay: { option: "delayMs", read: readTime, right: "a time up to 60s, such as 20ms" },
  jitter: { option: "jitterMs", read: readTime, right: "a time up to 60s, such as 5ms" },
  rate: { option: "rate", read: readRate, right: "a number of bits a second, such as 10mbit" },
  reorder: { option: "reorder", read: readPercentage, right: "a percentage from 0% to 100%, such as 1%" },
  duplicate: { option: "duplicate", read: readPercentage, right: "a percentage from 0% to 100%, such as 1%" },
  seed: { option: "seed", read: readSeed, right: `a whole number from 0 to ${LARGEST_SEED}` },
};

/**
 * Reads the words for `lossyLink`. Throws a `TypeError` whose message, the end of a sentence, says what would be right:
 * `loss is a percentage from 0% to 100%, such as 1%`.
 *
 * @example
 * ```ts
 * import { parseImpairment } from "@hawser/hawser/link";
 *
 * const { loss, delayMs } = parseImpairment("loss=1%,delay=20ms");
 * console.log(loss, delayMs); // 0.01 20
 * ```
 */
export function parseImpairment(text: string): ImpairmentSpec {
  const options: { -readonly [K in keyof ImpairmentSpec]: ImpairmentSpec[K] } = {};
  for (const part of text.split(",")) {
    const equals = part.indexOf("="), word = equals < 0 ? part : part.slice(0, equals);
    const known = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
    if (known === undefined || equals < 0) {
      throw new TypeError(`it is a list of ${Object.keys(WORDS).join(", ")}, such as loss=1%,delay=20ms`);
    }
    if (options[known.option] !== undefined) throw new TypeError(`${word} is given once`);
    const value = known.read(part.slice(equals + 1));
    if (value === undefined) throw new TypeError(`${word} is ${known.right}`);
    options[known.option] = value;
  }
  if ((options.reorder ?? 0) > 0 && !options.delayMs) {
    throw new TypeError("reorder needs a delay that a frame can skip, such as delay=20ms");
  }
  return options;
}

function readPercentage(text: string): number | undefined {
  const percent = readNumber(text, { "%": 1 });
  return percent !== undefined && percent <= 100 ? percent / 100 : undefined;
}

function readTime(text: string): number | undefined {
  const ms = readNumber(text, MS_OF_UNIT);
  return ms !== undefined && ms <= LONGEST_MS ? ms : undefined;
}

function readRate(text: string): number | undefined {
  return readNumber(text, BITS_OF_UNIT) || undefined;
}

function readSeed(text: string): number | undefined {
  const seed = readNumber(text, { "": 1 });
  return seed !== undefined && Number.isInteger(seed) && seed <= LARGEST_SEED ? seed : undefined;
}

/** A decimal number with one of these units. */
function readNumber(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, digits, unit] = /^(\d{1,10}(?:\.\d{1,9})?)(\D*)$/.exec(text) ?? [];
  if (digits === undefined || unit === undefined || !Object.hasOwn(units, unit)) return undefined;
  return Number(digits) * units[unit]!;
}
