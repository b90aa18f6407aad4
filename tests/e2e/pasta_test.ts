/**
 * `hawser pasta` as its callers start it: for user and network namespaces of an ordinary kind, by process and by path,
 * in the background and in front, ended by the namespace's end and by signals.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Container, GET, server } from "./container.ts";
import { hawser, type HawserOptions, type Outcome, processesWith, shell, startHawser, until } from "./run_support.ts";

const needs = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "socat", "busybox");
const DEADLINE_MS = 30_000;

function test(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: `hawser pasta ${name}${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "hawser-pasta-" });
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** A network that does not depend on this machine's. */
const NETWORK = ["-4", "--ns-ifname=tap0", "--address=10.0.2.100", "--netmask=24", "--gateway=10.0.2.2", "--dns=none"];
NETWORK.push("-t", "none", "-u", "none");

/** A `hawser pasta` in the background. */
class Pasta implements AsyncDisposable {
  readonly pid: number;
  readonly started: Outcome;

  private constructor(pid: number, started: Outcome) {
    this.pid = pid;
    this.started = started;
  }

  /** Starts it, and waits until whoever reads its outputs sees their end. */
  static async start(
    folder: string,
    words: readonly string[],
    { network = NETWORK, ...options }: HawserOptions & { readonly network?: readonly string[] } = {},
  ): Promise<Pasta> {
    const file = `${folder}/pid`, started = await hawser(["pasta", "--pid", file, ...network, ...words], options);
    assertEquals(started.code, 0, started.stderr);
    return new Pasta(Number(await Deno.readTextFile(file)), started);
  }

  async hasEnded(): Promise<boolean> {
    const state = await shell('sed -n "s/^State:.//p" "/proc/$1/status" 2>/dev/null || true', `${this.pid}`);
    return state === "" || state.startsWith("Z");
  }

  async ends(): Promise<void> {
    await until("it has ended", () => this.hasEnded(), DEADLINE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.hasEnded()) return;
    Deno.kill(this.pid, "SIGTERM");
    await this.ends();
  }
}

const SHOW_TAP = "ip -brief link show tap0 2>&1 || true";

test("returns when everything is ready, goes on in the background without a descriptor of its caller's, and ends by TERM", async (folder) => {
  await using host = server(), container = await Container.start();
  await using pasta = await Pasta.start(folder, [
    "--config-net",
    "--ns-mac-addr=0e:d4:18:d9:38:fb",
    `${container.pid}`,
  ]);
  assertEquals([pasta.started.stdout, pasta.started.stderr], ["", ""]);
  const shown = await container.run("ip addr; ip route");
  assertMatch(shown, /lo: <LOOPBACK,UP/);
  assertMatch(shown, /tap0: <.*UP.*mtu 65520/);
  assertStringIncludes(shown, "ether 0e:d4:18:d9:38:fb");
  assertStringIncludes(shown, "inet 10.0.2.100/24 brd 10.0.2.255");
  assertStringIncludes(shown, "default via 10.0.2.2 dev tap0");
  assertEquals(await container.run(GET, `10.0.2.2:${host.port}`), "it is the host");
  const open = await shell('ls -l "/proc/$1/fd"', `${pasta.pid}`);
  for (const fd of [0, 1, 2]) assertMatch(open, new RegExp(` ${fd} -> /dev/null$`, "m"));
  assertEquals(open.includes("pipe:"), false, open);
  assertEquals(await shell('readlink "/proc/$1/cwd"', `${pasta.pid}`), "/");
  const [, session] = (await shell('ps -o pid=,sid= -p "$1"', `${pasta.pid}`)).split(/\s+/);
  assertEquals(session, `${pasta.pid}`);
  Deno.kill(pasta.pid, "SIGTERM");
  await pasta.ends();
  assertStringIncludes(await container.run(SHOW_TAP), "does not exist");
});

test("ends when the process is gone", async (folder) => {
  const container = await Container.start();
  await using pasta = await Pasta.start(folder, ["--config-net", `${container.pid}`]);
  await container[Symbol.asyncDispose]();
  await pasta.ends();
});

test("ends when the path of the namespace is no longer its name, unless told not to", async (folder) => {
  const path = `${folder}/netns`;
  for (const way of ['umount "$1" && rm "$1"', 'umount "$1"']) {
    await using container = await Container.start();
    await shell('touch "$1" && mount --bind "/proc/$2/ns/net" "$1"', path, `${container.pid}`);
    await using pasta = await Pasta.start(folder, ["--config-net", "--netns", path]);
    await using stays = await Pasta.start(folder, ["-I", "tap1", "--no-netns-quit", "--netns", path]);
    await shell(way, path);
    await pasta.ends();
    assertEquals(await stays.hasEnded(), false);
    // Without --config-net that is somebody else's business.
    assertEquals((await container.run("ip -brief link show tap1")).split(/\s+/)[1], "DOWN");
  }
});

test("lets all datagrams through that come before the container has sent any, empty ones too", async (folder) => {
  await using container = await Container.start();
  const network = [...NETWORK.slice(1), "--address=fd00:9::7", "--gateway=fd00:9::1"];
  await using pasta = await Pasta.start(folder, ["--config-net", "-u", "127.0.0.1/0:7000", `${container.pid}`], {
    network,
  });
  const [, port] = /^forwarding udp 127\.0\.0\.1:(\d+) -> 7000$/m.exec(pasta.started.stderr)!;
  const served = container.run("timeout 60 socat -u UDP4-LISTEN:7000,null-eof STDOUT");
  await until("it listens", async () => (await container.run("cat /proc/net/udp")).includes(":1B58 "), DEADLINE_MS);
  await shell('echo first | socat -u STDIN "UDP4:127.0.0.1:$1,shut-null"', port!);
  assertEquals(await served, "first");
});

test("leads ports of every address of the host to the container, over TCP and UDP, and says so unless it is quiet", async (folder) => {
  await using container = await Container.start();
  const port = (() => {
    using listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
    return listener.addr.port;
  })();
  const words = ["--config-net", "-t", `${port}:7000`, "-u", `${port}:7000`, `${container.pid}`];
  const network = [...NETWORK.slice(1), "--address=fd00:9::7", "--gateway=fd00:9::1"];
  await using pasta = await Pasta.start(folder, words, { network });
  assertEquals(pasta.started.stderr, `forwarding tcp [::]:${port} -> 7000\nforwarding udp [::]:${port} -> 7000\n`);
  const stop = `${folder}/stop`;
  const serving = container.run(
    `socat TCP4-LISTEN:7000,fork SYSTEM:'echo tcp' & tcp=$!
    socat UDP4-RECVFROM:7000,fork SYSTEM:'read -r line; echo udp' & udp=$!
    until [ -e ${stop} ]; do sleep 0.1; done; kill $tcp $udp; wait`,
  );
  await until(
    "it listens",
    async () => (await container.run("cat /proc/net/tcp /proc/net/udp")).split(":1B58 ").length === 3,
    DEADLINE_MS,
  );
  for (const address of ["TCP4:127.0.0.1", "TCP4:127.0.0.9", "TCP6:[::1]"]) {
    assertEquals(await shell('socat -u "$1" -', `${address}:${port}`), "tcp");
  }
  const ask = () => shell('echo hello | socat -t 2 - "UDP4:127.0.0.1:$1" | head -n 1', `${port}`);
  await until("it answers over UDP", async () => await ask() === "udp", DEADLINE_MS);
  await Deno.writeTextFile(stop, "");
  await serving;
  const again = await hawser(["pasta", "-q", ...NETWORK, "-I", "tap1", "-t", `${port}`, `${container.pid}`]);
  assertEquals([again.code, again.stderr.split("\n").length], [1, 2]);
  assertMatch(again.stderr, new RegExp(`^pasta: .*${port}`));
});

test("gives what the host has, DNS and the host at addresses of 169.254.0.0/16, and nobody the host's loopback", async (folder) => {
  // The host is a namespace with an uplink that leads nowhere.
  await using host = await Container.start(
    `ip link set lo up && ip link add up0 type veth peer name wire && ip link set wire up && ip link set up0 up &&
     ip addr add 192.0.2.7/24 dev up0 && ip route add default via 192.0.2.1 &&
     ip -6 addr add 2001:db8:7::7/64 dev up0 nodad && ip -6 route add default via fe80::1 dev up0`,
  );
  await using container = await Container.start();
  const serving = host.run(
    `timeout 60 socat TCP4-LISTEN:8000,bind=127.0.0.1,fork SYSTEM:'echo loopback' & loopback=$!
     timeout 60 socat TCP4-LISTEN:8000,bind=192.0.2.7 SYSTEM:'echo IPv4' & four=$!
     timeout 60 socat TCP6-LISTEN:8000,bind=[2001:db8:7::7] SYSTEM:'echo IPv6' && wait $four && kill $loopback`,
  );
  const listeners = async () => (await host.run("cat /proc/net/tcp /proc/net/tcp6")).split(":1F40 ").length - 1;
  await until("it serves", async () => await listeners() === 3, DEADLINE_MS);
  const words = ["--config-net", "--dns=127.0.0.1:9", "--dns-forward", "169.254.1.1", "--no-map-gw", "--quiet"];
  for (const ports of ["-t", "-u", "-T", "-U"]) words.push(ports, "none");
  for (const address of ["169.254.1.2", "fd00::1:2"]) words.push("--map-guest-addr", address);
  const around = `exec nsenter -t ${host.pid} -n -- "$@"`;
  await using _pasta = await Pasta.start(folder, [...words, `${container.pid}`], { network: [], around });
  const shown = await container.run("ip addr; ip route; ip -6 route");
  assertMatch(shown, /up0: <.*UP.*mtu 65520/);
  for (const part of ["inet 192.0.2.7/24", "default via 192.0.2.1 dev up0", "inet6 2001:db8:7::7/64"]) {
    assertStringIncludes(shown, part);
  }
  assertEquals(shown.match(/^default via fe80::1 dev up0/gm)?.length, 1, shown);
  const names = await container.run("busybox nslookup host.containers.internal 169.254.1.1 || true");
  assertStringIncludes(names, "192.0.2.1");
  const get = (address: string) => container.run('socat -u -T 5 "$1" - 2>&1 || true', address);
  for (const closed of ["TCP4:169.254.1.1:8000", "TCP4:169.254.1.3:8000", "TCP4:169.254.169.254:80"]) {
    assertStringIncludes(await get(closed), "refused", closed);
  }
  assertEquals((await get("TCP4:192.0.2.1:8000")).includes("loopback"), false);
  assertEquals(await get("TCP4:169.254.1.2:8000"), "IPv4");
  assertEquals(await get("TCP6:[fd00::1:2]:8000"), "IPv6");
  await serving;
});

test("leads to what listens in the container while it listens, unless told otherwise", async (folder) => {
  await using container = await Container.start();
  const network = NETWORK.filter((word) => word !== "-u" && word !== "-t" && word !== "none");
  await using _pasta = await Pasta.start(folder, ["-q", "-u", "none", "--config-net", `${container.pid}`], { network });
  const port = (() => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return listener.addr.port;
  })();
  const ask = () => shell('socat -u -T 5 "TCP4:127.0.0.1:$1" - 2>/dev/null || true', `${port}`);
  assertEquals(await ask(), "");
  // It serves one, and then it listens no more.
  const serving = container.run(`exec timeout 60 socat "TCP4-LISTEN:$1" SYSTEM:'echo it listens'`, `${port}`);
  await until("it is reached", async () => await ask() === "it listens", DEADLINE_MS);
  await serving;
  const refused = () => shell('socat -u "TCP4:127.0.0.1:$1" - 2>&1 || true', `${port}`);
  await until("nobody is", async () => (await refused()).includes("refused"), DEADLINE_MS);
});

test("logs to a file from when it is ready, and records to a descriptor that its caller has opened", async (folder) => {
  await using host = server(), container = await Container.start();
  const log = `${folder}/log`, audit = `${folder}/audit.jsonl`, rules = `${folder}/rules`;
  await Deno.writeTextFile(rules, `allow tcp:10.0.2.2:${host.port}\n`);
  const words = [...NETWORK, "-P", `${folder}/pid`, "-l", log, "--audit", "fd:3", "--config-net", `${container.pid}`];
  const { code, stderr } = await hawser(["pasta", "-q", ...words], {
    around: `exec "$@" 3>>${audit}`,
    env: { HAWSER_RULES: rules },
  });
  assertEquals([code, stderr], [0, ""]);
  assertEquals(await container.run(GET, `10.0.2.2:${host.port}`), "it is the host");
  const refused = await container.run(`{ ${GET}; } 2>&1 || true`, `10.0.2.2:${host.port - 1}`);
  assertStringIncludes(refused, "refused");
  const pid = Number(await Deno.readTextFile(`${folder}/pid`));
  await until(
    "it is logged",
    async () => (await Deno.readTextFile(log)).includes("no allow rule matches"),
    DEADLINE_MS,
  );
  Deno.kill(pid, "SIGTERM");
  await until("the record ends", async () => (await Deno.readTextFile(audit)).includes('"end"'), DEADLINE_MS);
  const events = (await Deno.readTextFile(audit)).trimEnd().split("\n").map((line) => JSON.parse(line).event);
  assertEquals(events, ["start", "open", "close", "refuse", "end"]);
});

test("is not there if whoever started it is gone before it was ready", async (folder) => {
  await using container = await Container.start();
  const rules = `${folder}/rules`, words = [...NETWORK, "--rules", rules, "--config-net", `${container.pid}`];
  await shell('mkfifo "$1"', rules);
  const launcher = startHawser(["pasta", ...words]);
  // It is opened as soon as the process in the background reads its rules.
  const writer = await Deno.open(rules, { write: true });
  assertEquals((await processesWith(rules)).length, 2);
  launcher.kill("SIGKILL");
  await launcher.output();
  writer.close();
  await until("it has ended", async () => (await processesWith(rules)).length === 0, DEADLINE_MS);
  assertStringIncludes(await container.run(SHOW_TAP), "does not exist");
});

test("runs a COMMAND, whose exit code is its own, in the foreground", async () => {
  await using host = server();
  const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - "TCP4:10.0.2.2:$1" | tail -n 1; exit 7`;
  const ran = await hawser(["pasta", ...NETWORK, "--", "sh", "-c", script, "sh", `${host.port}`]);
  assertEquals([ran.code, ran.stdout, ran.stderr], [7, "it is the host", ""]);
  const { code, stdout } = await hawser(["pasta", ...NETWORK], {
    stdin: "echo $((6*7)); exit 3",
    env: { SHELL: "/bin/sh" },
  });
  assertEquals([code, stdout], [3, "42\n"]);
});

test("says in one line what is wrong, and leaves nothing", async (folder) => {
  await using container = await Container.start("ip link set lo up; ip route add default dev lo");
  await Deno.writeTextFile(`${folder}/file`, "");
  const pid = `${container.pid}`;
  const wrong: [string[], string][] = [
    [["--foo", pid], "unrecognized option '--foo'"],
    [["4194305"], "there is no process 4194305"],
    [["--netns", `${folder}/none`], `Cannot enter network namespace ${folder}/none: there is none`],
    [["--netns", `${folder}/file`], `Cannot enter network namespace ${folder}/file: this is not`],
    [["--netns", "no-such-name"], "Cannot enter network namespace /run/netns/no-such-name: there is none"],
    [["--userns", `${folder}/none`, pid], `there is no user namespace ${folder}/none`],
    [["--pid", `${folder}/none/pid`, pid], `cannot write ${folder}/none/pid (--pid)`],
    [["-l", `${folder}/none/log`, pid], `cannot write ${folder}/none/log (--log-file)`],
    [["-o", "192.0.2.7", pid], "Cannot send from 192.0.2.7"],
    [["--config-net", pid], "cannot configure the interface in the network namespace of process"],
    [["-I", "lo", pid], "Cannot create TAP interface lo"],
  ];
  for (const [words, message] of wrong) {
    const { code, stderr } = await hawser(["pasta", ...NETWORK, ...words]);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, `pasta: ${message}`);
    assertEquals(stderr.split("\n").length, 2, stderr);
  }
  assert(!(await container.run("ip -brief link")).includes("tap0"));
  const refused = await hawser(["pasta", pid], { env: { HAWSER_RULES: `${folder}/none` } });
  assertEquals([refused.code, refused.stderr.split("\n").length], [1, 2]);
  assertStringIncludes(refused.stderr, `pasta: cannot read the rules ${folder}/none`);
});
