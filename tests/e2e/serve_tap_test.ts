import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { pattern } from "../support/bytes.ts";
import { requires } from "../support/requirements.ts";
import { OrdinaryUser, shell } from "./run_support.ts";
import { Serve, serveFails } from "./serve_support.ts";

const needs = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "nc");
const TAPS = 40;
/**
 * In a namespace: sets tap0 up as a user would, then asks port `$1` of the gateway and prints a digest of the answer.
 */
const ASK = `ip addr add 10.0.2.15/24 dev tap0 && ip link set tap0 mtu 65520 up && ip route add default via 10.0.2.2 &&
  nc -N 10.0.2.2 "$1" </dev/null | sha256sum | cut -c 1-64`;

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `hawser serve ${name}${needs.reason}`, ignore: needs.ignore, fn });
}

/** A process in a network namespace of its own. */
class Sleeper implements AsyncDisposable {
  readonly #child = new Deno.Command("unshare", { args: ["--net", "sleep", "60"], stdin: "null" }).spawn();

  /** Starts it and waits until it is in its namespace. */
  static async start(): Promise<Sleeper> {
    const sleeper = new Sleeper();
    await shell(
      'while [ "$(readlink "/proc/$1/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done',
      `${sleeper.pid}`,
    );
    return sleeper;
  }

  get pid(): number {
    return this.#child.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/** A server on loopback that gives everyone the same answer. */
class Answers implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #answer = pattern(300_000);
  readonly #serving = this.#serve();

  get port(): number {
    return this.#listener.addr.port;
  }

  async digest(): Promise<string> {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(this.#answer))).toHex();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }

  async #serve(): Promise<void> {
    const conns: Promise<void>[] = [];
    for await (const conn of this.#listener) conns.push(this.#give(conn));
    await Promise.all(conns);
  }

  async #give(conn: Deno.Conn): Promise<void> {
    for (let at = 0; at < this.#answer.length;) at += await conn.write(this.#answer.subarray(at));
    conn.close();
  }
}

async function ask(netns: string, port: number): Promise<string> {
  return await shell('exec nsenter --net="$1" sh -c "$2" sh "$3"', netns, ASK, `${port}`);
}

test("makes a TAP in a namespace by name, by path and by process", async () => {
  const name = `hawser-test-${Deno.pid}`;
  await using answers = new Answers(), sleeper = await Sleeper.start();
  await shell('ip netns add "$1"', name);
  try {
    const namespaces: [string, string][] = [
      [name, `/run/netns/${name}`],
      [`/run/netns/${name}`, `/run/netns/${name}`],
      [`pid:${sleeper.pid}`, `/proc/${sleeper.pid}/ns/net`],
    ];
    for (const [netns, path] of namespaces) {
      await using serve = await Serve.start(["--listen", `tap:tap0@${netns}`, "--dns", "none"]);
      assertMatch(serve.addresses[0]!, /^tap:tap0@/);
      assertEquals(await ask(path, answers.port), await answers.digest(), serve.stderr);
      const here = await shell("ip -brief link show tap0 2>&1 || true");
      assertStringIncludes(here, "does not exist");
    }
  } finally {
    await shell('ip netns del "$1"', name);
  }
});

test("as an ordinary user makes a TAP in a user namespace of his own, by process", async () => {
  await using user = await OrdinaryUser.create();
  await using answers = new Answers();
  const script = `
    unshare --user --map-root-user --net sleep 60 & pid=$!
    while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ] || ! grep -q . /proc/$pid/uid_map; do sleep 0.05; done
    "$@" --listen "tap:tap0@pid:$pid" 2>"$HOME/cache/log" & hawser=$!
    for i in $(seq 100); do grep -q '^listening on' "$HOME/cache/log" && break; sleep 0.1; done
    nsenter --target $pid --user --net --preserve-credentials sh -c '${ASK}' sh ${answers.port}
    kill $hawser; wait $hawser; echo "code $?"; kill $pid; cat "$HOME/cache/log" >&2`;
  const { stdout, stderr } = await user.script(script, ["serve", "--dns", "none"]);
  assertEquals(stdout, `${await answers.digest()}\ncode 0\n`, stderr);
});

/** In a script: waits until process `$pid` is in a network namespace of its own and has its numbers. */
const UNTIL_ENTERED = `
  while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ] || ! grep -q . /proc/$pid/uid_map; do
    sleep 0.05
  done`;

test("as an ordinary user makes a TAP for a process in a user namespace within the one that owns its network", async () => {
  await using user = await OrdinaryUser.create();
  await using answers = new Answers();
  // As bubblewrap does it: the network belongs to the outer namespace, and its command is in the inner one.
  const script = `
    mkfifo "$HOME/cache/pid"
    unshare --user --map-root-user --net sh -c 'unshare --user sleep 60 & echo $! >"$HOME/cache/pid"; wait' & outer=$!
    read -r pid <"$HOME/cache/pid"
    while [ "$(readlink /proc/$pid/ns/user)" = "$(readlink /proc/$outer/ns/user)" ]; do sleep 0.05; done
    nsenter --target $pid --user --net --preserve-credentials true 2>/dev/null || echo "not by its own user namespace"
    "$@" --listen "tap:tap0@pid:$pid" 2>"$HOME/cache/log" & hawser=$!
    for i in $(seq 100); do grep -q '^listening on' "$HOME/cache/log" && break; sleep 0.1; done
    nsenter --target $outer --user --net --preserve-credentials sh -c '${ASK}' sh ${answers.port}
    kill $hawser; wait $hawser; echo "code $?"; kill $pid; cat "$HOME/cache/log" >&2`;
  const { stdout, stderr } = await user.script(script, ["serve", "--dns", "none"]);
  assertEquals(stdout, `not by its own user namespace\n${await answers.digest()}\ncode 0\n`, stderr);
});

test("inside a user namespace makes a TAP by process and by path, though it could not return", async () => {
  await using user = await OrdinaryUser.create();
  await using answers = new Answers();
  // As podman and buildah do it: root of a user namespace, in a network namespace that is the host's.
  const inside = `
    mount -t tmpfs none /run && mkdir /run/netns && ip netns add blue
    unshare --net sleep 60 & pid=$!
    ${UNTIL_ENTERED}
    for netns in pid:$pid blue /run/netns/blue; do
      case $netns in pid:*) net=/proc/$pid/ns/net ;; *) net=/run/netns/blue ;; esac
      "$@" --listen "tap:tap0@$netns" 2>"$HOME/cache/log" & hawser=$!
      for i in $(seq 100); do grep -q '^listening on' "$HOME/cache/log" && break; sleep 0.1; done
      nsenter --net=$net sh -c '${ASK}' sh ${answers.port}
      kill $hawser; wait $hawser; echo "code $?"; cat "$HOME/cache/log" >&2
    done
    kill $pid`;
  const script = `export INSIDE='${inside.replaceAll("'", `'\\''`)}'
    exec unshare --user --map-root-user --mount sh -c "$INSIDE" sh "$@"`;
  const { stdout, stderr } = await user.script(script, ["serve", "--dns", "none"]);
  assertEquals(stdout, `${await answers.digest()}\ncode 0\n`.repeat(3), stderr);
});

test("inside a user namespace says of a network around it that it cannot be entered", async () => {
  await using user = await OrdinaryUser.create();
  const script = 'exec unshare --user --map-root-user "$@"';
  const { code, stderr } = await user.script(script, ["serve", "--listen", "tap:tap0@/proc/self/ns/net"]);
  assertEquals(code, 125);
  assertMatch(stderr, /^hawser: Cannot enter network namespace .*: it belongs to a user namespace around this one/);
});

test("as an ordinary user says of a namespace that is not his what would help", async () => {
  await using user = await OrdinaryUser.create();
  await using sleeper = await Sleeper.start();
  const named = `hawser-test-${Deno.pid}-u`;
  await shell('ip netns add "$1"', named);
  try {
    for (const netns of [`pid:${sleeper.pid}`, named]) {
      const { code, stderr } = await user.script('exec "$@"', ["serve", "--listen", `tap:tap0@${netns}`]);
      assertEquals(code, 125);
      assertMatch(stderr, /^hawser: [Cc]annot enter (the )?network namespace [^\n]*run as root[^\n]*\n$/);
    }
  } finally {
    await shell('ip netns del "$1"', named);
  }
});

test("says what is wrong with a namespace, a process or an interface", async () => {
  await using sleeper = await Sleeper.start();
  await using _serve = await Serve.start(["--listen", `tap:tap0@pid:${sleeper.pid}`]);
  const bad: [string, RegExp][] = [
    [
      "tap0@no-such-namespace",
      /^hawser: Cannot enter network namespace \/run\/netns\/no-such-namespace: there is none of that name, see "ip netns list"$/m,
    ],
    ["tap0@pid:2147483646", /^hawser: there is no process 2147483646$/m],
    [
      "tap0@/etc/hostname",
      /^hawser: Cannot enter network namespace \/etc\/hostname: this is not a network namespace$/m,
    ],
    [
      `tap0@pid:${sleeper.pid}`,
      /^hawser: Cannot create TAP interface tap0: another program serves an interface of that name/m,
    ],
  ];
  for (const [tap, message] of bad) {
    const { code, stderr } = await serveFails(["--listen", `tap:${tap}`]);
    assertEquals(code, 125);
    assertMatch(stderr, message);
  }
});

test("serves forty TAPs at once", async () => {
  await using stack = new AsyncDisposableStack();
  const sleepers = await Promise.all(Array.from({ length: TAPS }, () => Sleeper.start()));
  for (const sleeper of sleepers) stack.use(sleeper);
  const answers = stack.use(new Answers());
  const links = sleepers.flatMap(({ pid }) => ["--listen", `tap:tap0@pid:${pid}`]);
  const serve = stack.use(await Serve.start([...links, "--dns", "none", "--log-level", "warn"]));
  const digests = await Promise.all(sleepers.map(({ pid }) => ask(`/proc/${pid}/ns/net`, answers.port)));
  assertEquals(digests, Array(TAPS).fill(await answers.digest()), serve.stderr);
  assertEquals(serve.stderr.split("\n").filter((line) => !line.startsWith("listening on")), [""]);
});

async function removeTap({ pid }: Sleeper): Promise<void> {
  await shell('nsenter --net="/proc/$1/ns/net" ip link del tap0', `${pid}`);
}

for (const host of ["ffi", "deno"]) {
  test(`--host ${host} ends with 125 when its last TAP is gone, and not before`, async () => {
    await using first = await Sleeper.start(), last = await Sleeper.start();
    const taps = [first, last].flatMap(({ pid }) => ["--listen", `tap:tap0@pid:${pid}`]);
    await using serve = await Serve.start(["--host", host, "--dns", "none", ...taps]);
    await removeTap(first);
    await serve.says("the first is gone", (text) => /Guest 1 on tap tap0 ended/.test(text));
    await removeTap(last);
    const { code, stderr } = await serve.ended();
    assertEquals(code, 125, stderr);
    assertMatch(stderr, /\nhawser: Cannot go on: the last TAP is gone, and no other link is listened on\n$/);
  });
}

test("goes on without its TAP while another link is listened on, and ends as it is told", async () => {
  const folder = await Deno.makeTempDir({ prefix: "hawser-tap-" });
  try {
    await using sleeper = await Sleeper.start();
    const links = ["--listen", `tap:tap0@pid:${sleeper.pid}`, "--listen", `unix:${folder}/vm.sock`];
    await using serve = await Serve.start(["--dns", "none", ...links]);
    await removeTap(sleeper);
    await serve.says("the TAP is gone", (text) => /Guest 1 on tap tap0 ended/.test(text));
    serve.kill("SIGTERM");
    assertEquals((await serve.ended()).code, 0, serve.stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
