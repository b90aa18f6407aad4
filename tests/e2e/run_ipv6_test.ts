import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { hawser, OrdinaryUser } from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const NEEDS = ["linux", "root", "tun", "unshare", "ip", "curl"];
const { ignore, reason } = requires(...NEEDS), ping = requires(...NEEDS, "busybox");

/** A server of one page on a loopback address. */
function serve(hostname: string): { port: number; [Symbol.asyncDispose](): Promise<void> } {
  const server = Deno.serve({ hostname, port: 0, onListen: () => {} }, () => new Response(`from ${hostname}\n`));
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

const LOOK = "ip -o addr show dev eth0; ip -o -6 route; cat /etc/resolv.conf";

Deno.test({
  name: `hawser run has addresses of both families, none of them tentative, before the command starts${reason}`,
  ignore,
  fn: async () => {
    for (const isolate of [[], ["--isolate"]]) {
      const { stdout, stderr } = await hawser(["run", ...isolate, "sh", "-c", LOOK]);
      assertEquals(stderr, "");
      assertMatch(stdout, /eth0\s+inet 10\.0\.2\.15\/24/);
      assertMatch(stdout, /eth0\s+inet6 fd00::15\/64 scope global/);
      assertEquals(stdout.match(/inet6 fe80::/g)?.length, 1);
      // No other address is made up from the prefix that is advertised.
      assertEquals(stdout.match(/inet6 /g)?.length, 2, stdout);
      assert(!/tentative|dadfailed/.test(stdout), stdout);
      assertMatch(stdout, /^nameserver 10\.0\.2\.3\n$/m);
    }
  },
});

Deno.test({
  name: `hawser run -6 has no IPv4, -4 and a small MTU no IPv6 on eth0, and --subnet6 says which${reason}`,
  ignore,
  fn: async () => {
    const six = await hawser(["run", "-6", "--subnet6", "2001:db8:7:8::/64", "sh", "-c", LOOK]);
    assertMatch(six.stdout, /eth0\s+inet6 2001:db8:7:8::15\/64/);
    assert(!six.stdout.includes("inet 10."), six.stdout);
    assertMatch(six.stdout, /^nameserver 2001:db8:7:8::3$/m);
    for (const words of [["-4"], ["-m", "1279"]]) {
      const four = await hawser(["run", ...words, "sh", "-c", LOOK]);
      assertMatch(four.stdout, /eth0\s+inet 10\.0\.2\.15\/24/);
      assert(!four.stdout.includes("inet6"), four.stdout);
      assertEquals(four.code, 0);
    }
  },
});

Deno.test({
  name: `hawser run pings fd00::2 and reaches the host's loopback there, as root and as an ordinary user${ping.reason}`,
  ignore: ping.ignore,
  fn: async () => {
    await using six = serve("::1");
    await using four = serve("127.0.0.1");
    await using user = await OrdinaryUser.create();
    const get = (port: number) => `curl -sS -6 -g -m 20 "http://[fd00::2]:${port}/"`;
    const echo = "busybox ping -6 -c 1 -W 20 fd00::2 | grep -o '1 packets received'";
    const script = `${echo}; ${get(six.port)}; ${get(four.port)}; getent ahosts host.hawser.internal | grep STREAM`;
    for (const run of [hawser, (words: string[]) => user.hawser(words)]) {
      const { stdout, stderr, code } = await run(["run", "sh", "-c", script]);
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      assertStringIncludes(stdout, "1 packets received\nfrom ::1\nfrom 127.0.0.1\n");
      assertMatch(stdout, /^fd00::2 +STREAM/m);
      assertMatch(stdout, /^10\.0\.2\.2 +STREAM/m);
    }
  },
});

Deno.test({
  name: `hawser run in a namespace without an IPv6 default route has none itself${reason}`,
  ignore,
  fn: async () => {
    const around = 'unshare -n sh -c "ip link set lo up; exec \\"\\$@\\"" sh "$@"';
    const { stdout } = await hawser(["run", "sh", "-c", "sleep 0.5; ip -6 route show default"], { around });
    assertEquals(stdout, "");
  },
});

Deno.test({
  name: `hawser run has the host's IPv6 default route when the command starts, and follows it${reason}`,
  ignore,
  fn: async () => {
    // The host is a namespace whose route goes and comes back, each when the command asks for it.
    const route = "default via 2001:db8:5::2 dev v0";
    const change = `read -r _; ip -6 route del ${route}; read -r _; ip -6 route add ${route}`;
    const around = `unshare -n sh -c '
      ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
      ip addr add 2001:db8:5::1/64 dev v0 nodad; ip -6 route add ${route}
      timeout 60 sh -c "${change}" <>"$FIFO" >/dev/null 2>&1 & exec "$@"' sh "$@"`;
    const fifo = await Deno.makeTempDir();
    try {
      await new Deno.Command("mkfifo", { args: [`${fifo}/f`] }).output();
      const wait = (what: string, condition: string) =>
        `i=0; until ${condition}; do i=$((i+1)); [ $i -gt 400 ] && echo "not ${what}" && ip -6 route && exit 1; sleep 0.05; done`;
      // A route whose time is up is still shown for a while, and leads nowhere. Asking for one sends nothing.
      const script = `has() { ip -6 route get 2001:db8:9::1 2>/dev/null | grep -q "via fe80::2"; }
        has || { echo "no route at the start"; exit 1; }
        echo >"$FIFO"; ${wait("gone", "! has")}
        echo >"$FIFO"; ${wait("back", "has")}
        echo followed`;
      const env = { FIFO: `${fifo}/f` };
      for (const host of ["ffi", "deno"]) {
        const { stdout, stderr } = await hawser(["run", "--host", host, "sh", "-c", script], { around, env });
        assertEquals(stdout, "followed\n", stderr);
      }
    } finally {
      await Deno.remove(fifo, { recursive: true });
    }
  },
});

Deno.test({
  name: `hawser run loses no time over IPv6 that the host has not, with names of both families${reason}`,
  ignore,
  fn: async () => {
    // The way to IPv6, if there is one, leads to a cable with nobody at its end.
    const route = `ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up &&
      ip addr add 2001:db8:5::1/64 dev v0 nodad && ip -6 route add default via 2001:db8:5::2 dev v0 || exit 1`;
    const script = "curl -sS --happy-eyeballs-timeout-ms 60000 -m $SECONDS_MOST http://name.test:8080/";
    for (const [before, seconds, expected] of [[":", "30", 0], [route, "2", 28]] as const) {
      const folder = await Deno.makeTempDir();
      try {
        const env = { ...hostEnv(folder), SECONDS_MOST: seconds };
        // Under such a subnet programs ask IPv6 first, if they have a route for it.
        const run = ["run", "--subnet6", "2001:db8:7:8::/64", "-D", "127.0.0.1:5300", "sh", "-c", script];
        const { code, stdout, stderr } = await hawser(run, { around: aroundHost(before, "both"), env });
        // 28 is curl's for time that is up: so long it would wait for IPv6 before it tries IPv4.
        assertEquals([code, stdout], [expected, expected === 0 ? "IPv4\n" : ""], stderr);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }
  },
});

/** A namespace, for `around`, with the host of `ipv4_only_host.ts` and what a shell script adds. */
function aroundHost(script: string, ...args: string[]): string {
  return `exec unshare -n sh -c '
    ip link set lo up && ip addr add 192.0.2.1/32 dev lo && mkfifo "$FOLDER/ready" || exit 1
    ${script}
    "$DENO" run --quiet --no-check --allow-net "$PROGRAM" ${args.join(" ")} >"$FOLDER/ready" & host=$!
    read -r ready <"$FOLDER/ready"
    "$@"; code=$?
    kill $host; exit $code' sh "$@"`;
}

/** What its script needs. */
function hostEnv(folder: string): Record<string, string> {
  const program = new URL("./ipv4_only_host.ts", import.meta.url).pathname;
  return { FOLDER: folder, DENO: Deno.execPath(), PROGRAM: decodeURIComponent(program) };
}

Deno.test({
  name: `hawser run -6 --nat64 reaches a name that has IPv4 alone, from a guest without IPv4${reason}`,
  ignore,
  fn: async () => {
    const around = aroundHost(":");
    const folder = await Deno.makeTempDir();
    try {
      const env = hostEnv(folder);
      const script =
        "getent ahosts name.test | head -n 1; ip -o -4 addr show dev eth0; curl -sS -m 20 http://name.test:8080/";
      for (const [words, code] of [[["--nat64"], 0], [[], 7]] as const) {
        const run = ["run", "-6", ...words, "-D", "127.0.0.1:5300", "sh", "-c", script];
        const outcome = await hawser(run, { around, env });
        await Deno.remove(`${folder}/ready`);
        // 7 is curl's for an address that it cannot connect to: without NAT64 there is no way to 192.0.2.1.
        assertEquals(outcome.code, code, outcome.stderr);
        if (code === 0) assertMatch(outcome.stdout, /^64:ff9b::c000:201 +STREAM name\.test\nIPv4\n$/);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
