import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { hawser, OrdinaryUser, shell } from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip");

Deno.test({
  name: `hawser run returns the exit code of the command${reason}`,
  ignore,
  fn: async () => {
    for (const code of [0, 1, 3, 125, 126, 127, 255]) {
      const outcome = await hawser(["run", "--", "sh", "-c", `exit ${code}`]);
      assertEquals({ code: outcome.code, stderr: outcome.stderr }, { code, stderr: "" });
    }
  },
});

Deno.test({
  name: `hawser run returns 128+n for a command that signal n ended${reason}`,
  ignore,
  fn: async () => {
    for (const [signal, number] of [["TERM", 15], ["KILL", 9], ["SEGV", 11], ["INT", 2]] as const) {
      const outcome = await hawser(["run", "sh", "-c", `ulimit -c 0; kill -${signal} $$`]);
      assertEquals(outcome.code, 128 + number, signal);
      assertEquals(outcome.signal, null);
    }
  },
});

Deno.test({
  name: `hawser run leaves stdin, stdout and stderr to the command${reason}`,
  ignore,
  fn: async () => {
    const text = "line\n".repeat(50_000) + "no newline at the end";
    const outcome = await hawser(["run", "sh", "-c", "cat; echo done >&2"], { stdin: text });
    assertEquals(outcome.stdout.length, text.length);
    assertEquals(outcome.stdout === text, true);
    assertEquals(outcome.stderr, "done\n");
  },
});

Deno.test({
  name: `hawser run has address, route, resolver and interfaces ready before the command starts${reason}`,
  ignore,
  fn: async () => {
    const script = "ip -o -4 addr show; ip -4 route; cat /etc/resolv.conf; ip -o link show eth0; ip -o link | wc -l";
    const { stdout } = await hawser(["run", "--subnet", "10.77.5.32/27", "-m", "1400", "sh", "-c", script]);
    assertMatch(stdout, /lo\s+inet 127\.0\.0\.1\/8/);
    assertMatch(stdout, /eth0\s+inet 10\.77\.5\.47\/27/);
    assertStringIncludes(stdout, "default via 10.77.5.34 dev eth0");
    assertMatch(stdout, /^nameserver 10\.77\.5\.35$/m);
    assertMatch(stdout, /eth0: <[^>]*\bUP\b[^>]*> mtu 1400/);
    assertMatch(stdout, /^2$/m);
  },
});

Deno.test({
  name: `hawser run --dns none leaves no name server${reason}`,
  ignore,
  fn: async () => {
    const outcome = await hawser(["run", "--dns", "none", "cat", "/etc/resolv.conf"]);
    assertEquals(outcome.stdout.trim(), "");
    assertEquals(outcome.code, 0);
  },
});

Deno.test({
  name: `hawser run keeps arguments, environment and working directory${reason}`,
  ignore,
  fn: async () => {
    const args = ["a b", "", "*", "$HOME", "--", "-n", "'\"\\", "line\nbreak", "ü"];
    const { stdout } = await hawser(["run", "printf", "<%s>", ...args]);
    assertEquals(stdout, args.map((arg) => `<${arg}>`).join(""));

    const env = {
      HAWSER_TEST: "a b\nc",
      hawser_answer: "x",
      code: "y",
      folder: "z",
      PATH: "/usr/bin:/bin",
      LC_ALL: "C",
    };
    const script =
      'printf "<%s>" "$HAWSER_TEST" "$code" "$folder" "$PATH" "$LC_ALL" "$DENO_EXTRA_STDIO_FDS"; umask; pwd';
    const outcome = await hawser(["run", "sh", "-c", script], { env, cwd: "/usr" });
    assertEquals(outcome.stdout, `<a b\nc><y><z></usr/bin:/bin><C><>${await shell("umask")}\n/usr\n`);
  },
});

Deno.test({
  name:
    `hawser run gives the command the descriptors of its caller, no child and no blocked or ignored signal${reason}`,
  ignore,
  fn: async () => {
    // Nothing is substituted while descriptors are listed: a shell would have pipes open for that.
    const script = "ls /proc/$$/fd; echo children: $(cat /proc/$$/task/$$/children); " +
      "exec grep -E 'Sig(Blk|Ign)' /proc/self/status";
    const descriptors = (text: string) => text.split("children:")[0];
    // Read by the last program itself, as a shell blocks signals while it waits. 1 to 31: the C library plays with the
    // next two.
    const signals = (text: string) =>
      [...text.matchAll(/Sig\w+:\s+\w+(\w{8})$/gm)].map((match) => parseInt(match[1]!, 16) & 0x7fffffff);
    // The caller asks first, itself, and then becomes Hawser.
    const around = 'dash -c "$SCRIPT" >&2; exec "$@"';
    const outcome = await hawser(["run", "dash", "-c", script], { around, env: { SCRIPT: script } });
    assertEquals(descriptors(outcome.stdout), descriptors(outcome.stderr));
    assertEquals(signals(outcome.stdout), signals(outcome.stderr));
    // The one child is the substitution that asks.
    assertMatch(outcome.stdout, /^children: \d+$/m);
  },
});

Deno.test({
  name: `hawser run keeps the process group and the session${reason}`,
  ignore,
  fn: async () => {
    // pid, group and session of hawser itself, then of the command.
    const around = 'cut -d" " -f5,6 /proc/$$/stat >&2; exec "$@"';
    const outcome = await hawser(["run", "sh", "-c", 'cut -d" " -f5,6 /proc/$$/stat'], { around });
    assertMatch(outcome.stdout, /^\d+ \d+\n$/);
    assertEquals(outcome.stdout, outcome.stderr);
  },
});

Deno.test({
  name: `hawser run works with each shell there is as sh${reason}`,
  ignore,
  fn: async () => {
    const shells = (await shell("command -v dash bash busybox || true")).split("\n").filter((path) => path !== "");
    for (const path of shells) {
      const folder = await Deno.makeTempDir();
      try {
        // busybox looks at the name it is called by.
        await Deno.symlink(path, `${folder}/sh`);
        const env = { PATH: `${folder}:${Deno.env.get("PATH")}` };
        const outcome = await hawser(["run", "/bin/sh", "-c", "ip -o -4 addr show eth0; sleep 300 & exit 4"], { env });
        assertEquals(outcome.code, 4, `${path}: ${outcome.stderr}`);
        assertStringIncludes(outcome.stdout, "10.0.2.15/24", path);
        const unknown = await hawser(["run", "hawser-no-such-command"], { env });
        assertEquals(unknown.code, 127, path);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }
  },
});

Deno.test({
  name: `hawser run works as an ordinary user, who is root inside${reason}`,
  ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    const script = "cat /proc/self/uid_map; id -u; ip -o -4 addr show eth0; cat /etc/resolv.conf; exit 6";
    const outcome = await user.hawser(["run", "sh", "-c", script]);
    assertEquals(outcome.stderr, "");
    assertEquals(outcome.code, 6);
    // Root inside is user 65534 outside, and nobody else is mapped: the one who ran this has no privileges.
    assertMatch(outcome.stdout, new RegExp(`^\\s*0\\s+${user.id}\\s+1\\n0\\n`));
    assertStringIncludes(outcome.stdout, "10.0.2.15/24");
    assertMatch(outcome.stdout, /^nameserver 10\.0\.2\.3$/m);
  },
});
