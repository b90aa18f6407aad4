/**
 * An attacker who may send Hawser signals, because he is the same user: whatever he sends, Deno's debugger stays shut.
 * It would listen on 127.0.0.1:9229, which a guest reaches at the gateway's address, and run any code in Hawser.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { requires } from "../support/requirements.ts";
import { connectGuest } from "../support/stream_guests.ts";
import { hawser, OrdinaryUser, until } from "./run_support.ts";
import { Serve } from "./serve_support.ts";

const DEBUGGER_PORT = 9229;
/** Deno waits for half a second before it takes USR1 for its debugger. */
const ATTACK_MS = 2500;
const CLI = decodeURIComponent(new URL("../../cli.ts", import.meta.url).pathname);

/** As COMMAND: sends its parent, which is Hawser, USR1 again and again, and asks at the gateway for the debugger. */
const ATTACK = `
tr '\\0' ' ' </proc/$PPID/cmdline | grep -q 'cli.ts run' || { echo "not Hawser's child"; exit 1; }
end=$(($(date +%s) + 4)) asked=0
while [ "$(date +%s)" -lt "$end" ]; do
  kill -USR1 "$PPID" || { echo "cannot signal Hawser"; exit 1; }
  if nc -z -w 1 10.0.2.2 ${DEBUGGER_PORT}; then echo "the debugger is open"; exit 1; fi
  asked=$((asked + 1))
done
[ "$asked" -gt 5 ] && echo shut
exit 7
`;

const run = requires("linux", "root", "tun", "unshare", "ip", "nc");

Deno.test({
  name: `hawser run's command cannot open Hawser's debugger by USR1${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    const outcome = await hawser(["run", "-D", "none", "--", "sh", "-c", ATTACK]);
    assertEquals([outcome.stdout, outcome.code, outcome.stderr], ["shut\n", 7, ""]);
  },
});

Deno.test({
  name: `hawser run's command cannot open Hawser's debugger by USR1, as an ordinary user${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    const outcome = await user.hawser(["run", "-D", "none", "--", "sh", "-c", ATTACK]);
    assertEquals([outcome.stdout, outcome.code, outcome.stderr], ["shut\n", 7, ""]);
  },
});

const ffi = requires("linux", "ffi");

for (const host of ["ffi", "deno"]) {
  Deno.test({
    name: `hawser serve's guest reaches no debugger after USR1, on ${host} sockets${ffi.reason}`,
    ignore: ffi.ignore,
    fn: async () => {
      await using serve = await Serve.start(["--listen", "tcp:127.0.0.1:0", "--host", host, "--dns", "none"]);
      await using guest = await connectGuest(serve.port);
      let asked = 0;
      for (const end = performance.now() + ATTACK_MS; performance.now() < end; asked++) {
        serve.kill("SIGUSR1");
        const conn = await guest.connect({ hostname: "10.0.2.2", port: DEBUGGER_PORT }).catch(() => undefined);
        assertEquals(conn, undefined, "the debugger is open");
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert(asked > 5);
      assert(!/debugger|inspector/i.test(serve.stderr), serve.stderr);
    },
  });
}

const linux = requires("linux");

/** Starts `hawser forward`, and gives its process and what it writes. */
async function startForward(
  permissions: readonly string[],
): Promise<{ child: Deno.ChildProcess; stderr: () => string }> {
  const words = ["forward", "127.0.0.1:0", "127.0.0.1:1"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...permissions, CLI, ...words],
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let text = "";
  void (async () => {
    for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) text += part;
  })();
  await until("it listens", () => Promise.resolve(text.includes("listening on ")), 30_000);
  return { child, stderr: () => text };
}

const FORWARD = config.tasks.forward.split(" ").filter((word) => word.startsWith("--"));

Deno.test({
  name: `hawser forward opens no debugger at USR1 where it may use the C library${ffi.reason}`,
  ignore: ffi.ignore,
  fn: async () => {
    const { child, stderr } = await startForward([...FORWARD, "--allow-ffi"]);
    for (const end = performance.now() + ATTACK_MS; performance.now() < end;) {
      child.kill("SIGUSR1");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill("SIGINT");
    assertEquals((await child.status).code, 0);
    assert(!/debugger|inspector/i.test(stderr()), stderr());
  },
});

Deno.test({
  name: `hawser forward without FFI has no debugger that answers at USR1${linux.reason}`,
  ignore: linux.ignore,
  fn: async () => {
    const { child, stderr } = await startForward(FORWARD);
    let answers = 0, asked = 0;
    for (const end = performance.now() + ATTACK_MS; performance.now() < end; asked++) {
      child.kill("SIGUSR1");
      if (await debuggerAnswers()) answers++;
    }
    assertEquals(answers, 0, `${asked} times asked: ${stderr()}`);
    child.kill("SIGINT");
    assertEquals((await child.status).code, 0);
    // It was the port that kept it shut, and not that Deno did not try.
    assertStringIncludes(stderr(), "Failed to start inspector server");
  },
});

/** Whether something that speaks the debugger's protocol answers at its port within a moment. */
async function debuggerAnswers(): Promise<boolean> {
  try {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: DEBUGGER_PORT });
    await conn.write(new TextEncoder().encode("GET /json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
    const bytes = new Uint8Array(4096), timeout = setTimeout(() => conn.close(), 20);
    const length = await conn.read(bytes).catch(() => null);
    clearTimeout(timeout);
    return length !== null && new TextDecoder().decode(bytes.subarray(0, length)).includes("webSocketDebuggerUrl");
  } catch {
    return false;
  }
}
