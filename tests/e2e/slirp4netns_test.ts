/**
 * `hawser slirp4netns` as its callers start it: in user and network namespaces of an ordinary kind, by process and by
 * path, configured and attached, ended by descriptors and signals, and asked over its socket.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Container, GET, server } from "./container.ts";
import { hawser, shell, startHawser, until } from "./run_support.ts";

const needs = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "socat");

function test(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: `hawser slirp4netns ${name}${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "hawser-slirp4netns-" });
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** A running `hawser slirp4netns`. */
class Slirp implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<Deno.CommandOutput>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#output = child.output();
  }

  /** Starts it with a descriptor 3 that it says it is ready on, and 4 that ends with `exit` in `folder`. */
  static async start(folder: string, words: readonly string[], env: Record<string, string> = {}): Promise<Slirp> {
    const around = `exec "$@" 3>>${folder}/ready 4<>${folder}/exit`;
    await Deno.writeTextFile(`${folder}/ready`, "");
    await shell('rm -f "$1/exit"; mkfifo "$1/exit"', folder);
    const slirp = new Slirp(startHawser(["slirp4netns", "-r", "3", "--dns", "none", ...words], { around, env }));
    const ended = slirp.#output.then(({ stderr }) => {
      throw new Error(`It ended: ${new TextDecoder().decode(stderr)}`);
    });
    const ready = until("it is ready", async () => await Deno.readTextFile(`${folder}/ready`) === "1", 30_000);
    await Promise.race([ready, ended]);
    ended.catch(() => {});
    return slirp;
  }

  get pid(): number {
    return this.#child.pid;
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<{ code: number; stdout: string; stderr: string }> {
    const { code, stdout, stderr } = await this.#output;
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.#output;
  }
}

/** What is answered on the API's socket `$1` to `$2`. */
const ASK = 'printf %s "$2" | socat -t 5 - "UNIX-CONNECT:$1"';

test("-c configures the TAP as slirp4netns does, and leads to the host", async (folder) => {
  await using host = server(), container = await Container.start();
  const words = ["-c", "--mtu=65520", "--macaddress=0e:d4:18:d9:38:fb", `${container.pid}`, "tap0"];
  await using slirp = await Slirp.start(folder, words);
  const shown = await container.run("ip addr; ip route");
  assertMatch(shown, /lo: <LOOPBACK,UP/);
  assertMatch(shown, /tap0: <.*UP.*mtu 65520/);
  for (
    const part of ["inet 10.0.2.100/24 brd 10.0.2.255", "ether 0e:d4:18:d9:38:fb", "default via 10.0.2.2 dev tap0"]
  ) {
    assertStringIncludes(shown, part);
  }
  assertEquals(await container.run(GET, `10.0.2.2:${host.port}`), "it is the host");
  slirp.kill("SIGTERM");
  const { code, stdout } = await slirp.ended();
  assertEquals(code, 0);
  assertStringIncludes(stdout, "* Recommended IP:  10.0.2.100\n");
});

test("-6 gives IPv6 by advertisements, also in a namespace that forwards", async (folder) => {
  await using container = await Container.start("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
  await using _slirp = await Slirp.start(folder, ["-c", "-6", `${container.pid}`, "tap0"]);
  await until("it has an address", async () => /inet6 fd00::/.test(await container.run("ip addr show tap0")), 30_000);
});

test("without -c attaches to a persistent TAP that was made and configured before, by paths of namespaces", async (folder) => {
  await using host = server();
  await using container = await Container.start(`ip tuntap add name tap0 mode tap && ip link set tap0 up &&
    ip addr add 10.0.2.100/24 dev tap0 && ip route add default via 10.0.2.2`);
  const proc = `/proc/${container.pid}/ns`;
  for (let i = 0; i < 2; i++) {
    await using _slirp = await Slirp.start(folder, [
      ...["--mtu", "65520", "--disable-dns", `--userns-path=${proc}/user`, "--netns-type=path", `${proc}/net`, "tap0"],
    ]);
    assertEquals(await container.run(GET, `10.0.2.2:${host.port}`), "it is the host");
  }
});

test("ends when -e is closed, and leaves no interface, whatever the container does", async (folder) => {
  await using container = await Container.start();
  const around = `exec "$@" 3>>${folder}/ready 4<${folder}/exit`;
  await shell('mkfifo "$1/exit"', folder);
  const child = startHawser(
    ["slirp4netns", "-c", "-e", "4", "-r", "3", "--dns=none", `${container.pid}`, "tap0"],
    { around },
  );
  const exit = await Deno.open(`${folder}/exit`, { write: true });
  const isReady = async () => await Deno.readTextFile(`${folder}/ready`).catch(() => "") === "1";
  await until("it is ready", isReady, 30_000);
  assertMatch(await container.run("ip -brief link show tap0"), /^tap0/);
  exit.close();
  assertEquals((await child.output()).code, 0);
  assertStringIncludes(await container.run("ip -brief link show tap0 2>&1 || true"), "does not exist");
});

test("killed leaves no interface and no process", async (folder) => {
  await using container = await Container.start();
  const slirp = await Slirp.start(folder, ["-c", `${container.pid}`, "tap0"]);
  slirp.kill("SIGKILL");
  await slirp.ended();
  await until("the interface is gone", async () => {
    return (await container.run("ip -brief link show tap0 2>&1 || true")).includes("does not exist");
  }, 30_000);
  const left = await shell('pgrep -f "nsenter .*hawser:[r]eady.*$1" || true', folder);
  assertEquals(left, "");
});

test("--disable-host-loopback, --cidr and --enable-sandbox do what they say", async (folder) => {
  await using host = server(), container = await Container.start();
  const words = ["--disable-host-loopback", "--enable-sandbox", "--enable-seccomp", "--cidr=10.9.0.0/16"];
  await using slirp = await Slirp.start(folder, ["-c", ...words, `${container.pid}`, "tap0"]);
  assertStringIncludes(await container.run("ip addr show tap0"), "inet 10.9.0.100/16");
  assertEquals(
    await container.run(`{ ${GET}; } 2>&1 || true`, `10.9.0.2:${host.port}`).then((text) => /refused/.test(text)),
    true,
  );
  const status = await shell('cat "/proc/$1/status"', `${slirp.pid}`);
  assertMatch(status, /^Seccomp:\t2$/m);
  assertMatch(status, /^CapEff:\t0000000000000400$/m);
  // Each thread of ours has dropped its own.
  const threads = await shell('grep -h CapEff "/proc/$1/task/"*/status | sort -u', `${slirp.pid}`);
  assert(threads.includes("0000000000000400"), threads);
});

test("holds a container to the rules that HAWSER_RULES names, records it in HAWSER_AUDIT, and does not begin without them", async (folder) => {
  await using host = server(), other = server(), container = await Container.start();
  const rules = `${folder}/rules.txt`, words = ["-c", `${container.pid}`, "tap0"];
  const refused = async (text: string, problem: string) => {
    await Deno.writeTextFile(rules, text);
    const { code, stderr } = await hawser(["slirp4netns", "--dns", "none", ...words], { env: { HAWSER_RULES: rules } });
    assertEquals([code, stderr.split("\n").length], [1, 2], stderr);
    assertStringIncludes(stderr, problem);
  };
  await refused("allow tcp:10.0.2.2:99999\n", `slirp4netns: ${rules}:1: bad rule "tcp:10.0.2.2:99999"`);
  await refused("permit all\n", `slirp4netns: ${rules}:1: `);
  await Deno.remove(rules);
  const { code, stderr } = await hawser(["slirp4netns", ...words], { env: { HAWSER_RULES: rules } });
  assertEquals(code, 1);
  assertStringIncludes(stderr, `slirp4netns: cannot read the rules ${rules}: there is no such file`);
  await Deno.writeTextFile(rules, `allow tcp:10.0.2.2:${host.port}\n`);
  const audit = `${folder}/audit.jsonl`, none = `${folder}/none/audit.jsonl`;
  const unwritable = await hawser(["slirp4netns", ...words], { env: { HAWSER_RULES: rules, HAWSER_AUDIT: none } });
  assertEquals([unwritable.code, unwritable.stderr.split("\n").length], [1, 2], unwritable.stderr);
  await using slirp = await Slirp.start(folder, words, { HAWSER_RULES: rules, HAWSER_AUDIT: audit });
  assertEquals(await container.run(GET, `10.0.2.2:${host.port}`), "it is the host");
  const answer = await container.run(`{ ${GET}; } 2>&1 || true`, `10.0.2.2:${other.port}`);
  assertStringIncludes(answer, "Connection refused");
  slirp.kill("SIGTERM");
  await slirp.ended();
  const records = (await Deno.readTextFile(audit)).trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(records.map(({ event }) => event), ["start", "open", "close", "refuse", "end"]);
  assertEquals(records.map(({ port }) => port).filter((port) => port !== undefined), [host.port, other.port]);
});

test("forwards ports over its API, tells them and takes them back", async (folder) => {
  await using container = await Container.start();
  const path = `${folder}/api.sock`;
  await using slirp = await Slirp.start(folder, ["-c", "-a", path, `${container.pid}`, "tap0"]);
  const ask = (request: unknown) => shell(ASK, path, typeof request === "string" ? request : JSON.stringify(request));
  const add = (values: unknown) => ask({ execute: "add_hostfwd", arguments: values });
  const port = (() => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return listener.addr.port;
  })();
  const forward = { host_addr: "127.0.0.1", host_port: port, guest_port: 7000 };
  assertEquals(await add({ proto: "tcp", ...forward }), '{"return":{"id":1}}');
  assertEquals(await add({ proto: "udp", ...forward }), '{"return":{"id":2}}');
  assertStringIncludes(await add({ proto: "tcp", ...forward }), "add_hostfwd: slirp_add_hostfwd failed: ");
  assertStringIncludes(await add({ proto: "tcp", ...forward, host_addr: "192.0.2.1" }), "no interface of this host");
  assertEquals(JSON.parse(await ask({ execute: "list_hostfwd" })).return.entries.length, 2);
  // A server in the container that answers a datagram, once it has read it, and a connection.
  const serving = container.run(
    `timeout 60 socat TCP4-LISTEN:7000 SYSTEM:'echo tcp' & timeout 60 socat UDP4-RECVFROM:7000 SYSTEM:'read -r line; echo udp'
    wait`,
  );
  await until(
    "it listens",
    async () => (await container.run("cat /proc/net/tcp /proc/net/udp")).split(":1B58 ").length === 3,
  );
  assertEquals(await shell('socat -u "TCP4:127.0.0.1:$1" -', `${port}`), "tcp");
  assertEquals(await shell('echo hello | socat -t 5 - "UDP4:127.0.0.1:$1" | head -n 1', `${port}`), "udp");
  await serving;
  assertEquals(await ask({ execute: "remove_hostfwd", arguments: { id: 1 } }), '{"return":{}}');
  assertEquals(await ask({ execute: "remove_hostfwd", arguments: { id: 2 } }), '{"return":{}}');
  Deno.listen({ hostname: "127.0.0.1", port }).close();
  for (const [request, problem] of [["badjson", "cannot parse JSON"], [" ".repeat(5000), "too large message"]]) {
    assertStringIncludes(await ask(request), `bad request: ${problem}`);
  }
  // Who does not half-close is answered too, and who says nothing does not keep others waiting.
  const silent = shell('sleep 3 | socat -t 3 - "UNIX-CONNECT:$1"', path);
  assertStringIncludes(
    await shell(
      `{ printf '{"execute":"list_'; sleep 0.2; printf 'hostfwd"}'; sleep 2; } | socat - "UNIX-CONNECT:$1"`,
      path,
    ),
    '"entries":[]',
  );
  assertStringIncludes(await silent, "cannot parse JSON");
  slirp.kill("SIGTERM");
  assertEquals((await slirp.ended()).code, 0);
  assertEquals((await shell('ls "$1"', folder)).includes("api.sock"), false);
});

test("replaces a socket that was left behind at the API's path, and no other file", async (folder) => {
  await using container = await Container.start();
  const path = `${folder}/api.sock`, words = ["-c", "-a", path, `${container.pid}`, "tap0"];
  const first = await Slirp.start(folder, words);
  first.kill("SIGKILL");
  await first.ended();
  await until("the interface is gone", async () => !(await container.run("ip -brief link")).includes("tap0"));
  {
    await using _second = await Slirp.start(folder, words);
    assertStringIncludes(await shell(ASK, path, '{"execute":"list_hostfwd"}'), '"entries":[]');
  }
  await Deno.writeTextFile(path, "kept");
  const { code, stderr } = await hawser(["slirp4netns", ...words]);
  assertEquals([code, stderr.split("\n").length], [1, 2]);
  assertStringIncludes(stderr, `slirp4netns: cannot listen on ${path} (--api-socket): there is a file of that name`);
  assertEquals(await Deno.readTextFile(path), "kept");
});

test("says in one line what is wrong, and exits with 1", async (folder) => {
  await using container = await Container.start("ip link set lo up; ip route add default dev lo");
  await Deno.writeTextFile(`${folder}/file`, "");
  const pid = `${container.pid}`;
  const wrong: [string[], string][] = [
    [["--foo"], "unrecognized option '--foo'"],
    [["4194305", "tap0"], "there is no process 4194305"],
    [["--netns-type=path", `${folder}/none`, "tap0"], `Cannot enter network namespace ${folder}/none: there is none`],
    [["--netns-type=path", `${folder}/file`, "tap0"], `Cannot enter network namespace ${folder}/file: this is not`],
    [["--userns-path", `${folder}/none`, pid, "tap0"], `userns path doesn't exist: ${folder}/none`],
    [["-a", `${folder}/none/api.sock`, pid, "tap0"], `cannot listen on ${folder}/none/api.sock (--api-socket)`],
    [["-r", "94", pid, "tap0"], "cannot use descriptor 94 (--ready-fd): the caller has not left it open"],
    [["-e", "94", pid, "tap0"], "cannot use descriptor 94 (--exit-fd): the caller has not left it open"],
    [["--outbound-addr", "no-such", pid, "tap0"], "--outbound-addr no-such: there is no interface of that name"],
    [["--outbound-addr", "192.0.2.7", pid, "tap0"], "Cannot send from 192.0.2.7"],
    [["-c", pid, "tap0"], "cannot configure the interface in the network namespace of process"],
    [[pid, "lo"], "Cannot create TAP interface lo"],
  ];
  for (const [words, message] of wrong) {
    const { code, stderr } = await hawser(["slirp4netns", "--dns", "none", ...words]);
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, `slirp4netns: ${message}`);
    assertEquals(stderr.split("\n").length, 2, stderr);
  }
  assertEquals((await container.run("ip -brief link")).includes("tap0"), false);
});

test("--target-type=bess serves a guest whose frames are packets of a socket", async (folder) => {
  const path = `${folder}/bess.sock`;
  await using _slirp = await Slirp.start(folder, ["--target-type=bess", path]);
  // An ARP request for the gateway, broadcast.
  const arp =
    "\\xff\\xff\\xff\\xff\\xff\\xff\\x02\\0\\0\\0\\0\\1\\x08\\6\\0\\1\\x08\\0\\6\\4\\0\\1\\x02\\0\\0\\0\\0\\1\\x0a\\0\\2\\x64\\0\\0\\0\\0\\0\\0\\x0a\\0\\2\\2";
  const ask = `(printf '${arp}'; sleep 1) | socat -t 2 - UNIX-CONNECT:"$1",type=5 | od -An -tx1 | tr -d ' \\n'`;
  for (let i = 0; i < 2; i++) {
    const answer = await shell(`exec bash -c "$2" bash "$1"`, path, ask);
    assertMatch(answer, /^020000000001[0-9a-f]{12}0806000108000604000[2][0-9a-f]{12}0a000202/);
  }
});
