import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { hawser, readOutcome, type ReadyRun, shell, startHawser, startReady } from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip", "setsid", "nc", "env");
/**
 * Signals whose effect is another test's: KILL, STOP, CONT, job control, those that are passed on, and 33, which glibc
 * has.
 */
const NOT_IGNORED = [1, 9, 12, 15, 18, 19, 20, 21, 22];

/** `hawser run` with a shell script that says when it is ready. */
function startScript(script: string, around?: string): Promise<ReadyRun> {
  return startReady(["run", "sh", "-c", script], around === undefined ? {} : { around });
}

Deno.test({
  name: `hawser run passes on TERM, HUP, USR2 and CONT${reason}`,
  ignore,
  fn: async () => {
    for (const signal of ["TERM", "HUP", "USR2", "CONT"]) {
      const script = `trap 'echo got; exit 9' ${signal}; echo ready; while :; do sleep 0.02; done`;
      const { child, rest } = await startScript(script);
      child.kill(`SIG${signal}` as Deno.Signal);
      const [text, status, stderr] = await Promise.all([rest, child.status, new Response(child.stderr).text()]);
      assertEquals([text, status.code, stderr], ["got\n", 9, ""], signal);
    }
  },
});

Deno.test({
  name: `hawser run is ended by TERM only when the command is${reason}`,
  ignore,
  fn: async () => {
    const { child, rest } = await startScript("echo ready; exec sleep 300");
    child.kill("SIGTERM");
    const [, status] = await Promise.all([rest, child.status, new Response(child.stderr).text()]);
    assertEquals([status.code, status.signal], [143, null]);
  },
});

Deno.test({
  name: `hawser run outlives INT and QUIT, which the terminal sends to the command too${reason}`,
  ignore,
  fn: async () => {
    // In a session of its own, so that its whole process group can be signalled as a terminal does it.
    const script = "trap 'echo int' INT; trap 'echo quit; exit 8' QUIT; cut -d' ' -f5 /proc/$$/stat; echo ready; " +
      "while :; do sleep 0.02; done";
    const { child, first, rest } = await startScript(script, 'exec setsid -w "$@"');
    const group = first.split("\n")[0];
    await new Deno.Command("kill", { args: ["-INT", "--", `-${group}`] }).output();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await new Deno.Command("kill", { args: ["-QUIT", "--", `-${group}`] }).output();
    const [text, status] = await Promise.all([rest, child.status, new Response(child.stderr).text()]);
    assertEquals([text, status.code], ["int\nquit\n", 8]);
  },
});

Deno.test({
  name: `hawser run prints the flow table for PWR and goes on${reason}`,
  ignore,
  fn: async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const script = `echo ready; exec nc 10.0.2.2 ${listener.addr.port}`;
    const { child, rest } = await startScript(script);
    const conn = await listener.accept();
    const stderr = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let table = "";
    child.kill("SIGPWR");
    while (!/^total: .*\n/m.test(table)) table += (await stderr.read()).value ?? "";
    assertMatch(table, /^PROTO +GUEST +HOST +STATE +FROM GUEST /m);
    const port = listener.addr.port;
    // The host has the connection before the guest's last ACK of the handshake is here.
    assertMatch(
      table,
      new RegExp(
        `^tcp +10\\.0\\.2\\.15:\\d+ +127\\.0\\.0\\.1:${port} +(SYN-RECEIVED|ESTABLISHED) +0 .* 10\\.0\\.2\\.2:${port}$`,
        "m",
      ),
    );
    assertStringIncludes(table, "total: 1 tcp; 0 bytes from the guest");
    await conn.write(new TextEncoder().encode("bye"));
    conn.close();
    listener.close();
    assertEquals([await rest, (await child.status).code], ["bye", 0]);
    await stderr.cancel();
  },
});

Deno.test({
  name: `hawser run is not ended by any signal that nobody means to end it by${reason}`,
  ignore,
  fn: async () => {
    const script = "echo ready; read -r line; echo got $line";
    const child = startHawser(["run", "sh", "-c", script], { stdin: "" });
    const stdout = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    assertEquals((await stdout.read()).value, "ready\n");
    const stderr = new Response(child.stderr).text();
    for (let signal = 1; signal <= 64; signal++) {
      if (NOT_IGNORED.includes(signal)) continue;
      // Twice, because Rust's handler of SEGV and BUS, which Deno brings, lets the first pass.
      await shell(`kill -"$1" "$2"; kill -"$1" "$2"`, String(signal), String(child.pid));
      // It has had the signals by the time that it answers PWR, and by its end anyway.
    }
    const stdin = child.stdin.getWriter();
    await stdin.write(new TextEncoder().encode("line\n"));
    await stdin.close();
    assertEquals([(await stdout.read()).value, await child.status], ["got line\n", {
      code: 0,
      signal: null,
      success: true,
    }]);
    assertMatch(await stderr, /^hawser: no flows\n/);
    await stdout.cancel();
  },
});

/** What a process says of its own signals. */
const OWN_SIGNALS = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"];
/**
 * Bits of the signals that the C library uses itself; whether a program finds them ignored depends on how it was
 * started.
 */
const LIBRARYS = 3n << 31n;

/** The same without the signals that the C library uses itself. */
function withoutLibrarys(text: string): string {
  return text.replaceAll(/[0-9a-f]{16}/g, (hex) => (BigInt(`0x${hex}`) & ~LIBRARYS).toString(16));
}

for (
  const [what, around] of [
    ["as they are", 'exec "$@"'],
    ["ignored", 'exec env --ignore-signal=HUP,USR1,TERM,ALRM,PROF "$@"'],
    ["blocked", 'exec env --block-signal=USR2,WINCH,RTMIN --ignore-signal=INT,QUIT,PWR "$@"'],
  ] as const
) {
  Deno.test({
    name: `hawser run's command has its caller's signals: ${what}${reason}`,
    ignore,
    fn: async () => {
      const direct = await new Deno.Command("sh", { args: ["-c", around, "sh", ...OWN_SIGNALS] }).output();
      const outcome = await hawser(["run", "-D", "none", "--", ...OWN_SIGNALS], { around });
      const [own, callers] = [outcome.stdout, readOutcome(direct).stdout].map(withoutLibrarys);
      assertEquals([own, outcome.code], [callers, 0], outcome.stderr);
    },
  });
}

Deno.test({
  name: `hawser run under nohup outlives HUP, and so does its command${reason}`,
  ignore,
  fn: async () => {
    const { child, rest } = await startScript("echo ready; exec sleep 300", 'exec nohup "$@" 2>&1');
    child.kill("SIGHUP");
    child.kill("SIGHUP");
    child.kill("SIGTERM");
    const [, status] = await Promise.all([rest, child.status, child.stderr.cancel()]);
    assertEquals([status.code, status.signal], [143, null]);
  },
});
