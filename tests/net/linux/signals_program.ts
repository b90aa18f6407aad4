/**
 * Says what `net/linux/signal_actions.ts` finds and does in a process of its own, for `signal_actions_test.ts`.
 *
 * @module
 */
import { asCaller, callerSignals, ignoreSignals, isHandled, resetSignals } from "../../../net/linux/signal_actions.ts";

const USR1 = 10, USR2 = 12, RT_MIN = 34;
const { ignored, blocked } = callerSignals();
ignoreSignals([USR2, RT_MIN, 9, 19]);
Deno.addSignalListener("SIGUSR1", () => {});
// CHLD, or Deno does not learn how a program ended.
resetSignals([17, 37]);
const isHandledByDeno = isHandled(USR1);
ignoreSignals([USR1]);

/** Starts a program that says which signals it ignores; no shell, which changes CHLD. */
function start(): Deno.ChildProcess {
  return new Deno.Command("grep", { args: ["SigIgn:", "/proc/self/status"], stdout: "piped" }).spawn();
}

/** What it said: bit n-1 for signal n, in hexadecimal, without the C library's own. */
async function ignoredBy(program: Deno.ChildProcess): Promise<string> {
  const text = (await new Response(program.stdout).text()).replace("SigIgn:", "").trim();
  return (BigInt(`0x${text}`) & ~(3n << 31n)).toString(16).padStart(16, "0");
}

const inherited = await ignoredBy(start()), asCallers = await ignoredBy(asCaller(start));
const after = await ignoredBy(start());
let thrown = "";
try {
  asCaller(() => {
    throw new Error("in between");
  });
} catch (error) {
  thrown = (error as Error).message;
}
const afterThrow = await ignoredBy(start());
console.log(JSON.stringify({
  ignored: [...ignored],
  blocked: blocked.toString(16),
  sameSnapshot: callerSignals().ignored === ignored,
  isHandledByDeno,
  isHandledAfter: isHandled(USR1),
  inherited,
  asCallers,
  after,
  thrown,
  afterThrow,
}));
