/**
 * What Hawser gives up, seen from outside: its threads, its permissions, and that the command has lost nothing.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser, OrdinaryUser, shell } from "./run_support.ts";
import { Serve } from "./serve_support.ts";

const run = requires("linux", "root", "tun", "unshare", "ip");

/** What a process may: of the command, and of whoever starts Hawser. */
const OWN_RIGHTS = "grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status";

Deno.test({
  name:
    `hawser run's command has its caller's capabilities, and neither no_new_privs nor a filter of Hawser's${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    const outcome = await hawser(["run", "-D", "none", "--", "sh", "-c", OWN_RIGHTS]);
    assertEquals([outcome.stdout.trim(), outcome.stderr], [await shell(OWN_RIGHTS), ""]);
  },
});

/** As COMMAND: waits for Hawser's filter, then lists `name no_new_privs filters capabilities` of its threads. */
const LIST_THREADS = `
own=$(sed -n 's/^Seccomp_filters:\\t//p' /proc/self/status)
until grep -q "^Seccomp_filters:.$((own + 1))$" /proc/$PPID/status; do sleep 0.02; done
for status in /proc/$PPID/task/*/status; do
  # A thread of Deno's pool may end in between.
  sed -n "s/^\\(Name\\|NoNewPrivs\\|Seccomp_filters\\|CapEff\\):\\t//p" "$status" 2>/dev/null | paste -sd:
done
echo "own $own $PPID"
`;

Deno.test({
  name: `hawser run denies system calls on every thread, and keeps few capabilities on its own${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    const outcome = await hawser(["run", "-D", "none", "--", "sh", "-c", LIST_THREADS]);
    const lines = outcome.stdout.trim().split("\n"), filters = Number(lines.pop()!.split(" ")[1]) + 1;
    const threads = lines.filter((line) => line !== "").map((line) => {
      const [name, capabilities, privileges, count] = line.split(":");
      return { name: name!, capabilities: BigInt(`0x${capabilities}`), privileges, count: Number(count) };
    });
    assert(threads.length >= 4, outcome.stdout);
    for (const { name, privileges, count } of threads) {
      assertEquals([name, privileges, count], [name, "1", filters], outcome.stdout);
    }
    // Paths, signals to COMMAND, low ports, the TAP, raw sockets.
    const kept = 1n << 1n | 1n << 5n | 1n << 10n | 1n << 12n | 1n << 13n;
    assertEquals(threads[0]!.capabilities, kept, outcome.stdout);
    assertEquals(outcome.stderr, "");
  },
});

/** Starts Hawser as an ordinary user, and tries to look into it as he may look into his own processes. */
const LOOK_IN = `
"$@" 2>"$DENO_DIR/log" &
hawser=$!
until grep -q '^listening on' "$DENO_DIR/log"; do kill -0 $hawser || exit 1; sleep 0.02; done
for process in $hawser $$; do
  open=
  ls "/proc/$process/fd" >/dev/null 2>&1 && open="$open fd"
  readlink "/proc/$process/ns/net" >/dev/null 2>&1 && open="$open ns"
  head -c 1 "/proc/$process/environ" >/dev/null 2>&1 && open="$open environ"
  [ -r "/proc/$process/mem" ] && open="$open mem"
  echo "open:$open"
done
kill -TERM $hawser
wait $hawser
`;

Deno.test({
  name: `other processes of the same user cannot look into hawser serve${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    const outcome = await user.script(LOOK_IN, ["serve", "--listen", "tcp:127.0.0.1:0", "--dns", "none"]);
    assertEquals([outcome.stdout, outcome.code], ["open:\nopen: fd ns environ mem\n", 0], outcome.stderr);
  },
});

/** As COMMAND: what a hardened process could not do any more. */
const BE_FREE = `
unshare -r true && echo "namespaces: allowed"
grep NoNewPrivs /proc/self/status
ls /proc/$$/fd >/dev/null && echo "own descriptors: seen"
`;

Deno.test({
  name: `hawser run's command is free to make namespaces and to gain privileges, as an ordinary user${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    const outcome = await user.hawser(["run", "-D", "none", "--", "sh", "-c", BE_FREE]);
    const free = "namespaces: allowed\nNoNewPrivs:\t0\nown descriptors: seen\n";
    assertEquals([outcome.stdout, outcome.code], [free, 0], outcome.stderr);
  },
});

Deno.test({
  name:
    `hawser run's command has its environment byte for byte, although Hawser is hidden from its ordinary user${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    const words = ["run", "-D", "none", "--", "sh", "-c", 'printf %s "$BYTES" | od -An -tx1'];
    const outcome = await user.script(`BYTES=$(printf '\\377\\200a') && export BYTES && exec "$@"`, words);
    assertEquals([outcome.stdout, outcome.code], [" ff 80 61\n", 0], outcome.stderr);
  },
});

const LEFT = /^hawser: debug: Permissions from here on: (.*)$/m;

for (
  const [options, left] of [
    [[], "read, ffi"],
    [["--host", "deno"], "read, net, ffi"],
    [["--pcap", "/dev/null"], "read, ffi"],
  ] as const
) {
  const words = options.join(" ");
  Deno.test({
    name: `hawser run ${words} gives up the permissions that it does not need any more${run.reason}`,
    ignore: run.ignore,
    fn: async () => {
      const outcome = await hawser(["run", "-D", "none", "--log-level", "debug", ...options, "--", "true"]);
      assertEquals([outcome.code, LEFT.exec(outcome.stderr)?.[1]], [0, left], outcome.stderr);
      assert(!outcome.stderr.includes("less hardened"), outcome.stderr);
    },
  });
}

Deno.test({
  name: `hawser run works without --allow-net, --allow-write and --allow-run${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    for (const without of ["--allow-net", "--allow-write", "--allow-run=sh"]) {
      const outcome = await hawser(["run", "-D", "none", "--", "true"], { without });
      assertEquals([outcome.code, outcome.stderr], [0, ""]);
    }
  },
});

const ffi = requires("linux", "ffi");

for (
  const [host, link, left] of [
    ["ffi", "unix", "read, ffi"],
    ["ffi", "ws", "read, ffi"],
    ["deno", "unix", "read, write, net, ffi"],
    ["deno", "tcp", "read, net, ffi"],
  ] as const
) {
  Deno.test({
    name: `hawser serve on ${link} and ${host} sockets gives up what it does not need any more${ffi.reason}`,
    ignore: ffi.ignore,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "hawser-serve-" });
      try {
        await using serve = await Serve.start([
          ...["--listen", link === "unix" ? `unix:${folder}/vm.sock` : `${link}:127.0.0.1:0`],
          ...["--host", host, "--dns", "none", "--log-level", "debug"],
        ]);
        assertEquals(LEFT.exec(serve.stderr)?.[1], left, serve.stderr);
        const status = await shell(`cat "/proc/$1/status"`, String(serve.pid));
        assertStringIncludes(status, "NoNewPrivs:\t1");
        assertStringIncludes(status, "Seccomp:\t2");
        assert(!serve.stderr.includes("less hardened"), serve.stderr);
        serve.kill("SIGTERM");
        assertEquals((await serve.ended()).code, 0, serve.stderr);
        assertEquals([...Deno.readDirSync(folder)], []);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}
