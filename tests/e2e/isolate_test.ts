import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import {
  hawser,
  OrdinaryUser,
  type Outcome,
  processesWith,
  type ReadyRun,
  shell,
  startHawser,
  startReady,
  until,
} from "./run_support.ts";

const needs = ["linux", "root", "tun", "unshare", "nsenter", "setpriv", "ip", "lsns", "pgrep", "ipcmk"];
const { ignore, reason } = requires(...needs);

/** `hawser run --isolate` with a shell script, as root. */
function isolated(script: string, options: { env?: Record<string, string>; around?: string } = {}): Promise<Outcome> {
  return hawser(["run", "--isolate", "-D", "none", "--", "sh", "-c", script], options);
}

/** A number of seconds to sleep that no other process sleeps: processes are found by it. */
function uniqueSleep(): string {
  return `87${crypto.getRandomValues(new Uint32Array(1))[0]}`;
}

/** What must be the same before and after: PID namespaces whose init is Hawser's, and its mounts. */
function surroundings(): Promise<string> {
  return shell(
    "lsns -n -t pid -o NS,COMMAND | grep 'read -r pid name state' | sort; grep '^hawser ' /proc/self/mounts || :",
  );
}

const CASES: [what: string, script: string, outcome: Partial<Outcome>][] = [
  ["its own code", "exit 7", { code: 7 }],
  ["128+n for a signal", "kill -TERM $$", { code: 143 }],
  ["stdout and stderr, untouched", "echo out; echo err >&2", { code: 0, stdout: "out\n", stderr: "err\n" }],
  ["nothing said about a crash", "kill -SEGV $$", { code: 139, stderr: "" }],
  ["no PID 1", "trap 'exit 3' TERM; kill -TERM $$; exit 4", { code: 3 }],
  ["a program without a handler ends", "sh -c 'kill -HUP $$'; echo $?", { code: 0, stdout: "129\n" }],
  ["lo and eth0", "ip -4 -br addr | awk '{ print $1, $3 }'", { stdout: "lo 127.0.0.1/8\neth0 10.0.2.15/24\n" }],
  ["rights over its network", "ip addr add 10.9.9.9/32 dev lo && ip -4 -br addr show lo | grep -o 10.9.9.9", {
    stdout: "10.9.9.9\n",
  }],
  ["root inside", "id -u", { stdout: "0\n" }],
  ["its own processes alone", "[ $(ls /proc | grep -c '^[0-9]') -lt 20 ] && cat /proc/1/comm", { stdout: "sh\n" }],
  ["shared memory of its own", "ls -A /dev/shm; echo x >/dev/shm/x && cat /dev/shm/x", { stdout: "x\n" }],
];

for (const kind of ["root", "an ordinary user"]) {
  Deno.test({
    name: `hawser run --isolate as ${kind}: exit codes, streams and what the command finds${reason}`,
    ignore,
    fn: async () => {
      await using user = await OrdinaryUser.create();
      for (const [what, script, expected] of CASES) {
        const words = ["run", "--isolate", "-D", "none", "--", "sh", "-c", script];
        const outcome = await (kind === "root" ? hawser(words) : user.hawser(words));
        assertEquals({ ...outcome, ...expected }, outcome, `${what}: ${outcome.stderr}`);
      }
    },
  });
}

Deno.test({
  name: `hawser run --isolate: a command that is not there is 127, one that cannot be executed 126${reason}`,
  ignore,
  fn: async () => {
    for (const [command, code] of [["/nowhere/at/all", 127], ["nowhere-at-all", 127], ["/etc/passwd", 126]] as const) {
      const outcome = await hawser(["run", "--isolate", "-D", "none", command]);
      assertEquals([outcome.code, outcome.stderr.split("\n").length], [code, 2], command);
      assertStringIncludes(outcome.stderr, `hawser run: cannot run ${command}: `);
    }
  },
});

Deno.test({
  name:
    `hawser run --isolate as root: root stays root for files, and is nobody for devices and for other users' processes${reason}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser-isolate-" });
    try {
      const script = `cd "$FOLDER" && touch file && chown 1234:5678 file && chmod 600 file && echo x >>file &&
        stat -c '%u %g' file; mknod disk b 7 0 2>/dev/null || echo refused; mount -t tmpfs none . && echo mounted`;
      const outcome = await isolated(script, { env: { FOLDER: folder } });
      assertEquals(outcome, { code: 0, signal: null, stdout: "1234 5678\nrefused\nmounted\n", stderr: "" });
      assertEquals(await shell(`stat -c '%u %g' "$1/file"`, folder), "1234 5678");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name:
    `hawser run --isolate: variables, folder, signals, limits and descriptors of the command are those without it${reason}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser isolate " });
    try {
      const script =
        "pwd; grep -E 'Sig(Ign|Blk)' /proc/self/status; ulimit -a; umask; ls /proc/self/fd; env | sort | grep -v -e ^_= -e ^PWD= -e ^SHLVL=";
      const env = { map: "mine", init: "mine too", folder: "", OLDPWD: "/old", LC_ALL: "C.UTF-8" };
      const run = (words: string[]) =>
        hawser(["run", ...words, "-D", "none", "--", "sh", "-c", script], { env, cwd: folder });
      assertEquals(await run(["--isolate"]), await run([]));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** `hawser run --isolate` with a shell script that says when it is ready. */
function startIsolated(script: string): Promise<ReadyRun> {
  return startReady(["run", "--isolate", "-D", "none", "--", "sh", "-c", script]);
}

Deno.test({
  name: `hawser run --isolate passes on TERM, HUP, USR2 and CONT${reason}`,
  ignore,
  fn: async () => {
    for (const signal of ["TERM", "HUP", "USR2", "CONT"]) {
      const script = `trap 'echo got; exit 9' ${signal}; echo ready; while :; do sleep 0.02; done`;
      const { child, rest } = await startIsolated(script);
      child.kill(`SIG${signal}` as Deno.Signal);
      const [text, status, stderr] = await Promise.all([rest, child.status, new Response(child.stderr).text()]);
      assertEquals([text, status.code, stderr], ["got\n", 9, ""], signal);
    }
  },
});

Deno.test({
  name: `hawser run --isolate reaps what the command's children leave${reason}`,
  ignore,
  fn: async () => {
    const script =
      `sh -c 'for i in 1 2 3; do sleep 0.1 & done'; for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
      sleep 0.2; grep -qs '^State:.Z' /proc/[0-9]*/status || [ "$(pgrep -c sleep)" -gt 2 ] || exit 0; done; exit 1`;
    assertEquals((await isolated(script)).code, 0);
  },
});

Deno.test({
  name: `hawser run --isolate ends what the command left, and leaves nothing itself${reason}`,
  ignore,
  fn: async () => {
    const before = await surroundings(), seconds = uniqueSleep();
    const script = `sleep ${seconds} & setsid sleep ${seconds} & unshare -Urn sleep ${seconds} &
      (trap '' HUP TERM INT; exec sleep ${seconds}) & exit 2`;
    assertEquals(await isolated(script), { code: 2, signal: null, stdout: "", stderr: "" });
    assertEquals(await processesWith(seconds), []);
    assertEquals(await surroundings(), before);
  },
});

Deno.test({
  name: `hawser run --isolate that is killed takes everything with it, namespaces inside included${reason}`,
  ignore,
  fn: async () => {
    const before = await surroundings(), seconds = uniqueSleep();
    const { child, rest } = await startIsolated(
      `setsid unshare -Urnpf sleep ${seconds} & (trap '' HUP TERM INT; exec sleep ${seconds}) & echo ready; exec sleep ${seconds}`,
    );
    child.kill("SIGKILL");
    await Promise.all([rest, child.status, child.stderr.cancel()]);
    await until("everything has ended", async () => (await processesWith(seconds)).length === 0);
    await until("nothing is left", async () => await surroundings() === before);
  },
});

Deno.test({
  name: `hawser run --isolate that is killed at any moment of its start leaves nothing${reason}`,
  ignore,
  fn: async () => {
    const before = await surroundings(), seconds = uniqueSleep();
    for (let delayMs = 20; delayMs <= 320; delayMs += 15) {
      const child = startHawser(["run", "--isolate", "-D", "none", "sleep", seconds]);
      const output = child.output();
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      child.kill("SIGKILL");
      await output;
    }
    await until("everything has ended", async () => (await processesWith(seconds)).length === 0);
    await until("nothing is left", async () => await surroundings() === before);
  },
});

Deno.test({
  name: `hawser run --isolate: the end of init is the end of the command${reason}`,
  ignore,
  fn: async () => {
    const seconds = uniqueSleep();
    const { child, rest } = await startIsolated(`echo ready; exec sleep ${seconds}`);
    const init = await shell(
      `for parent in $(pgrep -P "$1"); do for pid in $(pgrep -P "$parent"); do
         grep -q '^NSpid:.*[^0-9]1$' "/proc/$pid/status" && echo "$pid"; done; done; true`,
      String(child.pid),
    );
    assertMatch(init, /^\d+$/);
    await shell(`kill -KILL "$1"`, init);
    const [, status, stderr] = await Promise.all([rest, child.status, new Response(child.stderr).text()]);
    assertEquals([status.code, stderr], [137, ""]);
    assertEquals(await processesWith(seconds), []);
  },
});

Deno.test({
  name: `hawser run --isolate: memory, queues and semaphores of System V and POSIX are its own${reason}`,
  ignore,
  fn: async () => {
    const id = await shell("ipcmk -M 4096 | grep -o '[0-9]*$'");
    try {
      const script =
        `ipcs -m | grep -c 0x; ipcmk -M 4096 >/dev/null && ipcs -m | grep -c 0x; ls -A /dev/mqueue 2>/dev/null`;
      assertEquals((await isolated(script)).stdout, "0\n1\n");
      assertMatch(await shell("ipcs -m"), new RegExp(`^0x\\w+ +${id} `, "m"));
    } finally {
      await shell(`ipcrm -m "$1"`, id);
    }
  },
});

Deno.test({
  name: `hawser run --isolate where no /proc can be mounted says so in a line, with 125${reason}`,
  ignore,
  fn: async () => {
    // As in a container: a user namespace, in which something of /proc is hidden.
    const around = `exec unshare -m -- sh -c 'mount -t tmpfs none /proc/sys && exec unshare -Ur "$@"' sh "$@"`;
    const outcome = await isolated("echo ran", { around });
    assertEquals([outcome.code, outcome.stdout], [125, ""]);
    assertMatch(outcome.stderr, /^hawser run: cannot mount a \/proc for the command: .*unmask.*\n$/);
    // Without it there is no need.
    assertEquals((await hawser(["run", "-D", "none", "true"], { around })).code, 0);
  },
});

Deno.test({
  name: `hawser run --isolate hides the files of its rules: the command neither reads nor changes them${reason}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser-isolate-" }), path = `${folder}/rules`;
    const text = "deny 192.0.2.0/24\n",
      script = 'cat "$1"; echo allow 0.0.0.0/0 >> "$1"; true > "$1"; rm -f "$1"; echo ran';
    try {
      await Deno.writeTextFile(path, text);
      for (const [words, env] of [[["--rules", path], {}], [[], { HAWSER_RULES: path }]] as const) {
        const outcome = await hawser(["run", "--isolate", "-D", "none", ...words, "sh", "-c", script, "sh", path], {
          env,
        });
        assertEquals([outcome.code, outcome.stdout], [0, "ran\n"], outcome.stderr);
        assertEquals(await Deno.readTextFile(path), text);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: `hawser run --isolate refuses a capture with a second name, and runs nothing${reason}`,
  ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser-isolate-" }), path = `${folder}/x.pcap`;
    try {
      await Deno.writeTextFile(path, "");
      await Deno.link(path, `${folder}/second`);
      const outcome = await hawser(["run", "--isolate", "-D", "none", "--pcap", path, "echo", "ran"]);
      assertEquals([outcome.code, outcome.stdout], [125, ""]);
      assertEquals(
        outcome.stderr,
        `hawser run: cannot hide ${path} from the command: it has other names (hard links)\n`,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: `hawser run --isolate refuses if Deno hides files from it, for it would not see what to cover${reason}`,
  ignore,
  fn: async () => {
    const cli = decodeURIComponent(new URL("../../cli.ts", import.meta.url).pathname);
    const folder = decodeURIComponent(new URL("../../", import.meta.url).pathname);
    for (const read of [[`--allow-read=${folder}`], ["--allow-read", "--deny-read=/run"]]) {
      const options = ["run", "--no-prompt", "--allow-ffi", ...read, cli, "run", "--isolate", "-D", "none"];
      const env = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
      const outcome = await new Deno.Command(Deno.execPath(), { args: [...options, "--", "echo", "ran"], env })
        .output();
      assertEquals([outcome.code, new TextDecoder().decode(outcome.stdout)], [125, ""], `${read}`);
      assertStringIncludes(new TextDecoder().decode(outcome.stderr), "--isolate needs --allow-read of every path");
    }
  },
});
