import { assertEquals } from "@std/assert";
import { requires } from "../../support/requirements.ts";

const { ignore, reason } = requires("linux", "ffi", "env", "grep");
const PROGRAM = decodeURIComponent(new URL("./signals_program.ts", import.meta.url).pathname);

/** Signals by number as /proc writes them. */
function mask(...signals: number[]): string {
  return signals.reduce((bits, signal) => bits | 1n << BigInt(signal - 1), 0n).toString(16).padStart(16, "0");
}

/** Runs the program with these words of env(1) before it. */
async function report(...env: string[]): Promise<Record<string, unknown>> {
  const deno = [Deno.execPath(), "run", "--no-prompt", "--allow-ffi", PROGRAM];
  const { stdout, stderr } = await new Deno.Command("env", { args: [...env, ...deno] }).output();
  const text = new TextDecoder().decode(stdout);
  return text === "" ? { stderr: new TextDecoder().decode(stderr) } : JSON.parse(text);
}

Deno.test({
  name: `callerSignals and asCaller know what the caller ignored and blocked, whatever was changed since${reason}`,
  ignore,
  fn: async () => {
    // PIPE is ignored by Deno.
    const here = mask(10, 12, 13, 34);
    assertEquals(await report("--ignore-signal=HUP,PIPE,USR1,CHLD,RTMIN+3", "--block-signal=WINCH,TERM"), {
      // PIPE and CHLD are never counted.
      ignored: [1, 10, 37],
      blocked: BigInt(`0x${mask(15, 28)}`).toString(16),
      sameSnapshot: true,
      isHandledByDeno: true,
      isHandledAfter: false,
      before: here,
      started: mask(1, 10, 37),
      // Nothing that is ignored is let in while a program starts.
      during: { defaults: [12, 34], here: mask(1, 10, 12, 13, 34, 37) },
      after: here,
      thrown: "in between",
      afterThrow: here,
    });
  },
});

Deno.test({
  name: `asCaller starts programs without ignored signals where the caller ignored none${reason}`,
  ignore,
  fn: async () => {
    const found = await report(), here = mask(10, 12, 13, 34);
    assertEquals([found["ignored"], found["blocked"]], [[], "0"], JSON.stringify(found));
    assertEquals([found["before"], found["started"], found["after"]], [here, mask(), here]);
    assertEquals(found["during"], { defaults: [10, 12, 34], here });
  },
});
