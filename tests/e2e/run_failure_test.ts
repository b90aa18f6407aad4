import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { hawser, OrdinaryUser, type Outcome } from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip", "setpriv", "mount");

function assertOneLine(outcome: Outcome, code: number, ...parts: string[]): void {
  assertEquals(outcome.stdout, "");
  assertMatch(outcome.stderr, /^hawser run: [^\n]+\n$/);
  for (const part of parts) assertStringIncludes(outcome.stderr, part);
  assertEquals(outcome.code, code);
}

Deno.test({
  name: `hawser run of a command that is not there is 127${reason}`,
  ignore,
  fn: async () => {
    assertOneLine(await hawser(["run", "no-such-command"]), 127, "cannot run no-such-command: it is not in PATH");
    assertOneLine(await hawser(["run", "./no/such"]), 127, "cannot run ./no/such: there is no such file");
  },
});

Deno.test({
  name: `hawser run of a command that cannot be executed is 126${reason}`,
  ignore,
  fn: async () => {
    assertOneLine(await hawser(["run", "/etc/passwd"]), 126, "cannot run /etc/passwd: it cannot be executed");
    assertOneLine(await hawser(["run", "/etc"]), 126, "cannot run /etc: it cannot be executed");
  },
});

Deno.test("hawser run with a bad command line is 2 and starts nothing", async () => {
  assertOneLine(await hawser(["run", "--mtu", "9", "touch", "/nowhere/x"]), 2, "bad --mtu 9: it is a whole number");
  assertOneLine(await hawser(["run"]), 2, "missing COMMAND");
  assertOneLine(await hawser(["run", "-4", "-6", "true"]), 2, "--ipv4-only and --ipv6-only leave nothing, give one");
  assertOneLine(await hawser(["run", "--subnet6", "fd00::/56", "true"]), 2, "its prefix is /64, such as fd00::/64");
});

Deno.test("hawser --help and --version write to stdout alone", async () => {
  for (const words of [["--help"], ["run", "--help"], ["forward", "--help"], ["demo", "--help"], ["--version"]]) {
    const outcome = await hawser(words);
    assertEquals({ code: outcome.code, stderr: outcome.stderr }, { code: 0, stderr: "" });
    assertMatch(outcome.stdout, /hawser/i);
  }
});

Deno.test({
  name: `hawser run without /dev/net/tun says how to get it${reason}`,
  ignore,
  fn: async () => {
    const around = 'exec unshare -m sh -c \'mount -t tmpfs none /dev/net && exec "$@"\' sh "$@"';
    assertOneLine(await hawser(["run", "true"], { around }), 125, "cannot open /dev/net/tun", "modprobe tun");
  },
});

Deno.test({
  name: `hawser run without unshare, nsenter, ip or mount names the package${reason}`,
  ignore,
  fn: async () => {
    // A PATH of links to all commands but one; the sbin folders, which are always searched, are hidden.
    const around = (name: string) =>
      `exec unshare -m sh -c '
        mount -t tmpfs none /mnt && mkdir /mnt/bin /mnt/none &&
        for command in sh unshare nsenter ip mount umount readlink cat; do
          [ "$command" = ${name} ] || cp -L "$(command -v "$command")" "/mnt/bin/$command"
        done
        hide() { [ -L "$1" ] || mount --bind /mnt/none "$1"; }
        hide /usr/sbin; hide /sbin
        export PATH=/mnt/bin
        exec "$@"' sh "$@"`;
    const packages = { unshare: "util-linux", nsenter: "util-linux", ip: "iproute2", mount: "util-linux" };
    for (const [name, debianPackage] of Object.entries(packages)) {
      const outcome = await hawser(["run", "/bin/true"], { around: around(name) });
      assertOneLine(outcome, 125, `install "${name}" (Debian package ${debianPackage})`);
    }
  },
});

Deno.test({
  name: `hawser run where user namespaces are off says how to allow them${reason}`,
  ignore,
  fn: async () => {
    // A user namespace in which there may be no further one, and no capability to do without.
    const around = `exec unshare -r sh -c 'echo 0 >/proc/sys/user/max_user_namespaces &&
      exec setpriv --bounding-set=-all -- "$@"' sh "$@"`;
    const outcome = await hawser(["run", "true"], { around });
    assertOneLine(outcome, 125, "cannot create a network namespace", "sysctl user.max_user_namespaces=10000");
  },
});

Deno.test({
  name: `hawser run as a user who may not open /dev/net/tun says so${reason}`,
  ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    const outcome = await user.hawser(["run", "true"], { tunMode: "600" });
    assertOneLine(outcome, 125, "cannot open /dev/net/tun", "chmod 666 /dev/net/tun");
  },
});
