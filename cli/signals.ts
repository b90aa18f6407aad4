/**
 * What signals do to Hawser, and their names and numbers.
 *
 * | signal                        | run                              | serve, forward and others    |
 * | ----------------------------- | -------------------------------- | ---------------------------- |
 * | TERM, HUP                     | passed on to COMMAND             | end it                       |
 * | INT, QUIT                     | ignored: COMMAND gets them too   | INT ends it, QUIT at once    |
 * | USR2, CONT                    | passed on to COMMAND             | nothing                      |
 * | PWR                           | prints the flow table            | the same in serve            |
 * | KILL, STOP, TSTP, TTIN, TTOU  | what they do to any program      | the same                     |
 * | all others                    | nothing                          | nothing                      |
 *
 * "All others" are ignored in the kernel, by `guardSignals`, which is the first thing the command does. Among them are:
 *
 * - **USR1.** From half a second after its start on, Deno opens its debugger on 127.0.0.1:9229 when USR1 comes, and who
 *   reaches that port runs code in Hawser. `closeDebugger` in `debugger.ts` is what helps where the C library cannot be
 *   used.
 * - **The timers' signals, IO, the real-time signals and the like**, which would end a program that has no handler for
 *   them.
 * - **ABRT, BUS, FPE, ILL, SEGV, SYS, TRAP** when another process sends them. A real fault still ends Hawser: for that
 *   the kernel does not ask whether the signal is ignored, and abort(3) does not either.
 *
 * HUP stays ignored where the caller ignored it, so `nohup hawser serve` does what it says. COMMAND starts with what
 * its caller had: see `net/linux/signal_actions.ts`.
 *
 * @module
 */
import { libc } from "../net/linux/libc.ts";
import { callerSignals, ignoreSignals, isHandled, LAST_SIGNAL, resetSignals } from "../net/linux/signal_actions.ts";
import { closeDebugger } from "./debugger.ts";

/** Numbers of signals on Linux for x86-64 and arm64 (signal(7)), in order from 1. */
const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
    .split(" ");

/** Signals that Hawser passes on to COMMAND. */
export const PASSED_ON: readonly Deno.Signal[] = ["SIGTERM", "SIGHUP", "SIGUSR2", "SIGCONT"];
/** Signals that reach COMMAND from the terminal by themselves. */
export const IGNORED: readonly Deno.Signal[] = ["SIGINT", "SIGQUIT"];
/** The signals that ask for the flow table: PWR, or what a system without it has. */
export const REPORT: readonly Deno.Signal[] = Deno.build.os === "linux"
  ? ["SIGPWR"]
  : Deno.build.os === "darwin"
  ? ["SIGINFO"]
  : [];

/** How long `signalsHeard` waits for a signal of its own: it never comes if the caller blocked it. */
const HEARD_TIMEOUT_MS = 100;

/** Signals that keep their meaning for every program: those that end it on purpose, job control, children. */
const MEANT = ["HUP", "INT", "QUIT", "KILL", "TERM", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"];
/** Signals that are ignored although Deno has a handler for them. */
const TAKEN_FROM_DENO = ["USR1", "SEGV", "BUS"];

/**
 * Closes Deno's debugger and ignores every signal that would end Hawser though nobody means that. To be called before
 * anything else happens.
 */
export function guardSignals(): void {
  if (Deno.build.os === "windows") return;
  const ignored = canUseLibrary() ? callerSignals().ignored : undefined;
  if (ignored === undefined) return closeDebugger();
  // Deno installs its handlers now, also those for HUP, INT and TERM, and never again.
  Deno.addSignalListener("SIGUSR1", () => {});
  const meant = new Set(MEANT.map(signalNumber)), taken = new Set(TAKEN_FROM_DENO.map(signalNumber));
  const toIgnore = [...taken];
  for (let signal = 1; signal <= LAST_SIGNAL; signal++) {
    if (!meant.has(signal) && !taken.has(signal) && !isHandled(signal)) toIgnore.push(signal);
  }
  const hangUp = signalNumber("HUP");
  if (ignored.has(hangUp)) toIgnore.push(hangUp);
  ignoreSignals(toIgnore);
  // A process that ignores CHLD never learns how its children ended.
  resetSignals([signalNumber("CHLD")]);
}

/** Whether signals can be ignored in the kernel. Takes the snapshot of the caller's, too. */
function canUseLibrary(): boolean {
  if (Deno.build.os !== "linux" || Deno.permissions.querySync({ name: "ffi" }).state !== "granted") return false;
  try {
    callerSignals();
    return true;
  } catch {
    return false;
  }
}

/**
 * Resolves when every signal that was sent to Hawser before now has reached its listener. Signals come to listeners in
 * the order of their numbers and through another thread, so a URG of Hawser's own comes after them: the first one may
 * overtake one that is being looked at, the second one cannot. For Linux with FFI.
 */
export async function signalsHeard(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const heard = Promise.withResolvers<void>(), timer = setTimeout(heard.resolve, HEARD_TIMEOUT_MS);
    Deno.addSignalListener("SIGURG", heard.resolve);
    libc().kill(Deno.pid, signalNumber("URG"));
    await heard.promise;
    clearTimeout(timer);
    Deno.removeSignalListener("SIGURG", heard.resolve);
  }
}

/** The number of a signal, 0 for a name that is not known. */
export function signalNumber(signal: string): number {
  return NAMES.indexOf(signal === "SIGPOLL" ? "IO" : signal.replace(/^SIG/, "")) + 1;
}

/** The exit code for how a process ended: its own, or 128+n (POSIX shell, section 2.8.2). */
export function exitCodeOf(ending: { code: number | null; signal: number | null }): number {
  return ending.code ?? 128 + (ending.signal ?? 0);
}
