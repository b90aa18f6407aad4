/**
 * Signals by name and number, and which of them Hawser passes on.
 *
 * @module
 */

/** Numbers of signals on Linux for x86-64 and arm64 (signal(7)), in order from 1. */
const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
    .split(" ");

/** Signals that Hawser passes on to COMMAND. */
export const PASSED_ON: readonly Deno.Signal[] = ["SIGTERM", "SIGHUP", "SIGUSR2", "SIGCONT"];
/** Signals that reach COMMAND from the terminal by themselves. */
export const IGNORED: readonly Deno.Signal[] = ["SIGINT", "SIGQUIT"];

/** The number of a signal, 0 for a name that is not known. */
export function signalNumber(signal: string): number {
  return NAMES.indexOf(signal === "SIGPOLL" ? "IO" : signal.replace(/^SIG/, "")) + 1;
}

/** The exit code for how a process ended: its own, or 128+n (POSIX shell, section 2.8.2). */
export function exitCodeOf(ending: { code: number | null; signal: string | null }): number {
  return ending.code ?? 128 + signalNumber(ending.signal ?? "");
}
