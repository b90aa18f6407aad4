/**
 * What a process does about signals, beyond what Deno offers: ignoring one in the kernel, and knowing what the process
 * that started this one had ignored.
 *
 * **Ignoring** a signal in the kernel costs nothing however often it is sent, and nothing in the process sees it. Deno
 * installs its handler for a signal once, when the first listener for it is added, and never again. So a signal that is
 * ignored after that stays ignored, whatever listeners come later.
 *
 * **The caller's signals.** A program inherits which signals are ignored and which are blocked from its caller. What
 * Hawser changes for itself must not reach a program that it starts: that one is to find what Hawser found. So the
 * first call here takes a snapshot, and it must come before anything is changed. Two signals count as not ignored
 * whatever the caller did: PIPE, which Deno ignores before any of our code runs, so that nobody can tell; and CHLD,
 * because who ignores it while it starts a program may never learn how that ended (a shell takes CHLD for itself, too).
 *
 * The system calls are made directly, because the C library refuses the signals that it uses itself (32 and 33, musl 34
 * too), which end a process like any other when they come from outside. What a program inherits of 32 and 33 is left to
 * the C library: it has them ignored in whatever posix_spawn(3) starts.
 *
 * @module
 */
import { libc } from "./libc.ts";

const IS_X86 = Deno.build.arch === "x86_64";
const RT_SIGACTION = IS_X86 ? 13n : 134n;
const RT_SIGPROCMASK = IS_X86 ? 14n : 135n;
/** Bytes of the kernel's signal set: a bit each for the signals 1 to 64. */
const SET_BYTES = 8;
/** The kernel's `struct sigaction`: handler, flags, restorer, mask; the same on x86-64 and arm64. */
const ACTION_BYTES = 32;
const SIG_DFL = 0n;
const SIG_IGN = 1n;
const SIGKILL = 9;
const SIGPIPE = 13;
const SIGCHLD = 17;
const SIGSTOP = 19;
/**
 * Signals of which a program that is started does not get what the caller had: see above; 32 and 33 are the C
 * library's.
 */
const NOT_INHERITED: readonly number[] = [SIGKILL, SIGPIPE, SIGCHLD, SIGSTOP, 32, 33];

/** The largest signal number. */
export const LAST_SIGNAL = 64;

/** What the process that started this one left it about signals. */
export interface CallerSignals {
  /** The signals that it ignored, by number. */
  readonly ignored: ReadonlySet<number>;
  /** The signals that it blocked: bit n-1 for signal n. */
  readonly blocked: bigint;
}

let snapshot: CallerSignals | undefined;

/**
 * What the caller of this process had ignored and blocked. The first call looks, so it comes before anything is
 * changed; later ones answer the same. Throws what `libc` throws.
 */
export function callerSignals(): CallerSignals {
  return snapshot ??= look();
}

function look(): CallerSignals {
  const ignored = new Set<number>();
  for (let signal = 1; signal <= LAST_SIGNAL; signal++) {
    if (!NOT_INHERITED.includes(signal) && handlerOf(actionOf(signal)) === SIG_IGN) ignored.add(signal);
  }
  const mask = new BigUint64Array(1);
  libc().syscallInOut(RT_SIGPROCMASK, 0n, null, new Uint8Array(mask.buffer), BigInt(SET_BYTES));
  return { ignored, blocked: mask[0]! };
}

/** Ignores signals, by number. The kernel refuses it for KILL and STOP, which are passed over. */
export function ignoreSignals(signals: Iterable<number>): void {
  callerSignals();
  for (const signal of signals) setHandler(signal, SIG_IGN);
}

/** Gives signals their default effect back, by number. */
export function resetSignals(signals: Iterable<number>): void {
  callerSignals();
  for (const signal of signals) setHandler(signal, SIG_DFL);
}

/** Whether a function of this process, of Deno's or of the C library's, handles the signal now. */
export function isHandled(signal: number): boolean {
  return handlerOf(actionOf(signal)) > SIG_IGN;
}

/**
 * Calls `start`, which starts a program, with each signal ignored that the caller had ignored; then puts everything
 * back. `start` is told which signals the program is to have at their default effect although this process ignores
 * them: posix_spawn(3) sees to those in the child, so that no signal can end this process meanwhile. Signals that a
 * function handles need no care, because a program that is started never has them.
 */
export function asCaller<T>(start: (defaults: readonly number[]) => T): T {
  const { ignored } = callerSignals(), changed: [number, Uint8Array][] = [], defaults: number[] = [];
  for (let signal = 1; signal <= LAST_SIGNAL; signal++) {
    if (NOT_INHERITED.includes(signal)) continue;
    const action = actionOf(signal), isIgnored = handlerOf(action) === SIG_IGN;
    if (isIgnored === ignored.has(signal)) continue;
    if (isIgnored) {
      defaults.push(signal);
      continue;
    }
    changed.push([signal, action]);
    setHandler(signal, SIG_IGN);
  }
  try {
    return start(defaults);
  } finally {
    for (const [signal, action] of changed) setAction(signal, action);
  }
}

function actionOf(signal: number): Uint8Array {
  const action = new Uint8Array(ACTION_BYTES);
  libc().syscallInOut(RT_SIGACTION, BigInt(signal), null, action, BigInt(SET_BYTES));
  return action;
}

function handlerOf(action: Uint8Array): bigint {
  return new DataView(action.buffer).getBigUint64(0, true);
}

function setHandler(signal: number, handler: bigint): void {
  const action = new Uint8Array(ACTION_BYTES);
  new DataView(action.buffer).setBigUint64(0, handler, true);
  setAction(signal, action);
}

function setAction(signal: number, action: Uint8Array): void {
  libc().syscallInOut(RT_SIGACTION, BigInt(signal), action, null, BigInt(SET_BYTES));
}
