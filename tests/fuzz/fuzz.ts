/**
 * The fuzzer: `deno task fuzz --seconds 30 --seed 1`.
 *
 * It plays scripts of the corpus with changes, one gateway each, until half the time is over, and random scripts of
 * crowds at listeners for the other half. What breaks a promise of the gateway (`target.ts`) is made as short as it
 * goes and written to the corpus, which the tests replay. The same seed tries the same sequence; how far it comes
 * depends on the machine.
 *
 * @module
 */
import { type CorpusEntry, CROWD_FOLDER, readCorpus, writeFailure } from "./corpus.ts";
import { fuzzCrowds } from "./crowd_fuzz.ts";
import { readTwins } from "./families.ts";
import { HOST_DEEDS, mutate } from "./mutate.ts";
import { randomFrame6, tornFrames6 } from "./packets6.ts";
import { Random } from "./random.ts";
import { type Action, FRAME_VERBS, parseScript } from "./script.ts";
import { FuzzTarget } from "./target.ts";

/** What one run has done. */
export interface FuzzResult {
  readonly sessions: number;
  readonly frames: number;
  /** The failures, as scripts, by the words of their error. */
  readonly failures: ReadonlyMap<string, string>;
}

/** Failures after which a run ends: more of them say nothing new. */
const MOST_FAILURES = 10;
const HEX_LINE = /^frame [0-9a-f]*/;

/** Fuzzes from `corpus` for as long as `goesOn` says. */
export function fuzz(corpus: readonly CorpusEntry[], seed: number, goesOn: (sessions: number) => boolean): FuzzResult {
  const random = new Random(seed),
    scripts = corpus.map(({ text }) => parseScript(text)),
    failures = new Map<string, string>();
  let sessions = 0, frames = 0;
  while (goesOn(sessions) && failures.size < MOST_FAILURES) {
    const target = new FuzzTarget(optionsOf(random.pick(scripts)));
    const cause = errorOf(() => playChanged(target, scripts, random));
    sessions++;
    frames += target.played.filter((line) => HEX_LINE.test(line)).length;
    if (cause === null || failures.has(cause)) continue;
    failures.set(cause, shortened(target.played, cause).join("\n") + "\n");
  }
  return { sessions, frames, failures };
}

/** Plays one to three scripts with changes, then ends the gateway. */
function playChanged(target: FuzzTarget, scripts: readonly Action[][], random: Random): void {
  const calm = random.below(6) + 2;
  for (let count = 1 + random.below(3); count > 0; count--) {
    for (const action of random.pick(scripts)) {
      if (random.oneIn(12)) continue;
      playAction(target, action, { random, calm });
      if (random.oneIn(12)) playAction(target, action, { random, calm });
      if (random.oneIn(10)) target.act(parseScript(random.pick(HOST_DEEDS))[0]!);
      if (random.oneIn(5)) playFrame6(target, { random, calm });
    }
  }
  target.close();
}

/** Plays a line; once in `calm` times a frame of it is a changed one. */
function playAction(target: FuzzTarget, action: Action, how: { random: Random; calm: number }): void {
  // What a script expects is no longer to be expected.
  if (action.verb === "expect") return;
  if (!FRAME_VERBS.has(action.verb)) return target.act(action);
  // A few of a thousand alike do as well.
  const times = Math.min(Number(action.fields.get("times") ?? 1), 40);
  for (let i = 0; i < times; i++) {
    const frame = target.script.frame(action, i);
    if (how.random.oneIn(how.calm)) target.frame(mutate(frame, how.random), how.random.oneIn(16));
    else target.frame(frame, action.words.includes("vouched"));
  }
}

/** Plays a frame of IPv6 by chance, whole or in fragments. */
function playFrame6(target: FuzzTarget, { random, calm }: { random: Random; calm: number }): void {
  const frame = randomFrame6(random);
  const frames = random.oneIn(8) && frame.length > 54 ? tornFrames6(frame, random) : [frame];
  for (const one of frames) target.frame(random.oneIn(calm) ? mutate(one, random) : one, random.oneIn(30));
}

/** The words of what `play` throws, or null. */
function errorOf(play: () => void): string | null {
  try {
    play();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0]! : String(error);
  }
}

/** The lines without those that the failure does not need. */
function shortened(lines: readonly string[], cause: string): readonly string[] {
  let kept = lines;
  for (let size = Math.ceil(kept.length / 2); size > 0; size = size > 1 ? Math.ceil(size / 2) : 0) {
    for (let at = 0; at < kept.length;) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (errorOf(() => replay(fewer)) === cause) kept = fewer;
      else at += size;
    }
  }
  return kept;
}

function replay(lines: readonly string[]): void {
  const actions = parseScript(lines.join("\n")), target = new FuzzTarget(optionsOf(actions));
  for (const action of actions) target.act(action);
  target.close();
}

function optionsOf(actions: readonly Action[]): ReadonlyMap<string, string> | undefined {
  return actions[0]?.verb === "options" ? actions[0].fields : undefined;
}

function option(name: string, otherwise: number): number {
  const at = Deno.args.indexOf(`--${name}`);
  if (at < 0) return otherwise;
  const value = Number(Deno.args[at + 1]);
  if (!Number.isInteger(value) || value < 0) throw new RangeError(`Cannot fuzz: --${name} takes a number`);
  return value;
}

async function main(): Promise<number> {
  const seconds = option("seconds", 30), seed = option("seed", Date.now() % 1_000_000_007);
  const end = performance.now() + seconds * 1000, half = end - seconds * 500;
  console.log(`fuzzing for ${seconds} s with seed ${seed}`);
  const { sessions, frames, failures } = fuzz([...readCorpus(), ...readTwins()], seed, () => performance.now() < half);
  console.log(`${frames} frames in ${sessions} sessions, ${failures.size} failures`);
  const crowds = await fuzzCrowds(new Random(seed), () => performance.now() < end);
  console.log(`${crowds.lines} deeds of crowds in ${crowds.sessions} sessions, ${crowds.failures.size} failures`);
  let number = 0;
  for (const [folder, found] of [["", failures], [CROWD_FOLDER, crowds.failures]] as const) {
    for (const [cause, script] of found) {
      const text = `# Found by the fuzzer with seed ${seed}: ${cause}\n${script}`;
      console.log(`${cause}\n  ${writeFailure(`${folder}found_${seed}_${number++}`, text)}`);
    }
  }
  return number > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
