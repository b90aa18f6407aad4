import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readOutcome, startHawser } from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip", "setsid", "nc");

/** Starts `hawser run` with a shell script that says when it is ready, and collects what it writes from then on. */
async function startScript(
  script: string,
  around?: string,
): Promise<{ child: Deno.ChildProcess; rest: Promise<string> }> {
  const child = startHawser(["run", "sh", "-c", script], around === undefined ? {} : { around });
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("ready\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`Cannot start ${script}: ${await new Response(child.stderr).text()}`);
    text += value;
  }
  const rest = (async () => {
    let more = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return more;
      more += value;
    }
  })();
  return { child, rest };
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
    const script = "trap 'echo int' INT; trap 'echo quit; exit 8' QUIT; echo ready; while :; do sleep 0.02; done";
    const { child, rest } = await startScript(script, 'exec setsid -w "$@"');
    const group = await groupOf(child.pid);
    await new Deno.Command("kill", { args: ["-INT", "--", `-${group}`] }).output();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await new Deno.Command("kill", { args: ["-QUIT", "--", `-${group}`] }).output();
    const [text, status] = await Promise.all([rest, child.status, new Response(child.stderr).text()]);
    assertEquals([text, status.code], ["int\nquit\n", 8]);
  },
});

/** The process group of the child that `setsid -w` started, or of the process itself. */
async function groupOf(pid: number): Promise<string> {
  const output = await new Deno.Command("sh", {
    args: [
      "-c",
      'child=$(cat "/proc/$1/task/$1/children"); cut -d" " -f5 "/proc/${child%% *}/stat"',
      "sh",
      String(pid),
    ],
  }).output();
  return readOutcome(output).stdout.trim();
}

Deno.test({
  name: `hawser run prints the flow table for USR1 and goes on${reason}`,
  ignore,
  fn: async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const script = `echo ready; exec nc 10.0.2.2 ${listener.addr.port}`;
    const { child, rest } = await startScript(script);
    const conn = await listener.accept();
    const stderr = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let table = "";
    child.kill("SIGUSR1");
    while (!/^total: .*\n/m.test(table)) table += (await stderr.read()).value ?? "";
    // Deno may have said before that its debugger listens (SECURITY.md).
    assertMatch(table, /^PROTO +GUEST +HOST +STATE +FROM GUEST /m);
    const port = listener.addr.port;
    assertMatch(
      table,
      new RegExp(`^tcp +10\\.0\\.2\\.15:\\d+ +127\\.0\\.0\\.1:${port} +ESTABLISHED +0 .* 10\\.0\\.2\\.2:${port}$`, "m"),
    );
    assertStringIncludes(table, "total: 1 tcp; 0 bytes from the guest");
    await conn.write(new TextEncoder().encode("bye"));
    conn.close();
    listener.close();
    assertEquals([await rest, (await child.status).code], ["bye", 0]);
    await stderr.cancel();
  },
});
