/**
 * Says what `net/linux/signal_actions.ts` finds and does in a process of its own, for `signal_actions_test.ts`.
 *
 * @module
 */
import { asCaller, callerSignals, ignoreSignals, isHandled, resetSignals } from "../../../net/linux/signal_actions.ts";
import { readFileBytes } from "../../../net/linux/process.ts";
import { LineSocket, spawn } from "../../../net/linux/spawn.ts";

const USR1 = 10, USR2 = 12, RT_MIN = 34;
const { ignored, blocked } = callerSignals();
ignoreSignals([USR2, RT_MIN, 9, 19]);
Deno.addSignalListener("SIGUSR1", () => {});
// CHLD, or Deno does not learn how a program ended.
resetSignals([17, 37]);
const isHandledByDeno = isHandled(USR1);
ignoreSignals([USR1]);

/** The signals that a text like /proc/self/status calls ignored, without the C library's own: bit n-1 for signal n. */
function ignoredIn(status: string): string {
  const [, mask] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status)!;
  return (BigInt(`0x${mask}`) & ~(3n << 31n)).toString(16).padStart(16, "0");
}

/** What this process ignores now. */
function ignoredHere(): string {
  return ignoredIn(new TextDecoder().decode(readFileBytes("/proc/self/status")!));
}

/** What a program ignores that `spawn` starts; no shell, which changes CHLD. */
async function ignoredThere(): Promise<string> {
  let text = "";
  const socket = new LineSocket((line) => text += line), { theirs } = socket;
  const args = ["grep", "SigIgn:", "/proc/self/status"];
  spawn({ path: "/bin/grep", args, env: [], stdio: [theirs, theirs, theirs] });
  socket.started();
  socket.finish();
  await socket.closed;
  return ignoredIn(text);
}

const before = ignoredHere(), started = await ignoredThere();
const during = asCaller((defaults) => ({ defaults, here: ignoredHere() }));
const after = ignoredHere();
let thrown = "";
try {
  asCaller(() => {
    throw new Error("in between");
  });
} catch (error) {
  thrown = (error as Error).message;
}
console.log(JSON.stringify({
  ignored: [...ignored],
  blocked: blocked.toString(16),
  sameSnapshot: callerSignals().ignored === ignored,
  isHandledByDeno,
  isHandledAfter: isHandled(USR1),
  before,
  started,
  during,
  after,
  thrown,
  afterThrow: ignoredHere(),
}));
