/**
 * `hawser serve --configure`, `--pid` and `--outbound-addr`, in namespaces that the tests make.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createSocket } from "node:dgram";
import { requires } from "../support/requirements.ts";
import { shell } from "./run_support.ts";
import { Serve, serveFails } from "./serve_support.ts";

const needs = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "socat");
let count = 0;

/** A named network namespace. */
class Netns implements AsyncDisposable {
  readonly name = `hawser-configure-${Deno.pid}-${count++}`;

  static async make(): Promise<Netns> {
    const netns = new Netns();
    await shell('ip netns add "$1"', netns.name);
    return netns;
  }

  async run(script: string, ...args: string[]): Promise<string> {
    return await shell('name=$1; shift; exec ip netns exec "$name" sh -c "$@"', this.name, script, "sh", ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await shell('ip netns del "$1"', this.name);
  }
}

function test(name: string, fn: (netns: Netns) => Promise<void>): void {
  Deno.test({
    name: `hawser serve ${name}${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      await using netns = await Netns.make();
      await fn(netns);
    },
  });
}

/** A server on the host that answers each client with the address from which he came. */
function whoServer(hostname: string): AsyncDisposable & { readonly port: number } {
  const server = Deno.serve(
    { hostname, port: 0, onListen: () => {} },
    (_request, info) => new Response((info.remoteAddr as Deno.NetAddr).hostname),
  );
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

const GET = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - "$1" | tail -n 1`;

test("--configure sets addresses of both families, routes, MTU and lo, and says its number when it is ready", async (netns) => {
  await using server = whoServer("127.0.0.1");
  const folder = await Deno.makeTempDir({ prefix: "hawser-configure-" });
  try {
    const pidFile = `${folder}/pid`;
    await using serve = await Serve.start([
      ...["--listen", `tap:tap0@${netns.name}`, "--configure", "--pid", pidFile, "--dns", "none", "--mtu", "9000"],
    ]);
    assertEquals(await Deno.readTextFile(pidFile), `${serve.pid}\n`);
    const shown = await netns.run("ip addr show; ip route; ip -6 route");
    assertMatch(shown, /lo: <LOOPBACK,UP/);
    assertMatch(shown, /tap0: <.*UP.*mtu 9000/);
    assertStringIncludes(shown, "inet 10.0.2.15/24 brd 10.0.2.255");
    assertMatch(shown, /inet6 fd00::15\/64/);
    assertStringIncludes(shown, "default via 10.0.2.2 dev tap0");
    assertEquals(await netns.run(GET, `TCP4:10.0.2.2:${server.port}`), "127.0.0.1");
    // It is told in the namespace alone.
    assertStringIncludes(await shell("ip -brief link show tap0 2>&1 || true"), "does not exist");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

test("--configure leaves a family out that guests do not have", async (netns) => {
  const listen = ["--listen", `tap:tap0@${netns.name}`, "--configure", "--dns", "none"];
  {
    await using _serve = await Serve.start([...listen, "-4", "--subnet", "10.9.8.0/24"]);
    const shown = await netns.run("ip addr show tap0; ip route");
    assertStringIncludes(shown, "inet 10.9.8.15/24");
    assertEquals(shown.includes("inet6"), false, shown);
    assertStringIncludes(shown, "default via 10.9.8.2");
  }
  await using _serve = await Serve.start([...listen, "-6"]);
  const shown = await netns.run("ip addr show tap0; ip route");
  assertEquals(shown.includes("inet "), false, shown);
  assertStringIncludes(shown, "inet6 fd00::15/64");
});

test("--outbound-addr sends flows from this address of the host, or from that of an interface", async (netns) => {
  await using server = whoServer("127.0.0.1");
  const listen = ["--listen", `tap:tap0@${netns.name}`, "--configure", "--dns", "none"];
  for (const [outbound, expected] of [["127.0.0.7", "127.0.0.7"], ["lo", "127.0.0.1"]]) {
    await using serve = await Serve.start([...listen, "--outbound-addr", outbound!, "-u", "127.0.0.1/0:7000"]);
    assertEquals(await netns.run(GET, `TCP4:10.0.2.2:${server.port}`), expected, serve.stderr);
    const udp = createSocket("udp4"),
      asker = new Promise<string>((resolve) => {
        udp.on("message", (_bytes, from) => resolve(from.address));
      });
    await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
    await netns.run('echo hello | socat -t 1 - "$1"', `UDP4:10.0.2.2:${udp.address().port}`);
    assertEquals(await asker, expected);
    await new Promise<void>((resolve) => udp.close(() => resolve()));
  }
});

test("says what is wrong with --configure, --pid and --outbound-addr", async (netns) => {
  const listen = ["--listen", `tap:tap0@${netns.name}`, "--dns", "none"];
  const wrong: [string[], number, string][] = [
    [["--listen", "tcp:127.0.0.1:0", "--configure"], 2, "--configure is for a TAP in a namespace"],
    [["--listen", "tap:tap0", "--configure"], 2, "--configure is for a TAP in a namespace"],
    [
      [...listen, "--outbound-addr", "a/b"],
      2,
      "bad --outbound-addr a/b: it is an address of the host, or an interface",
    ],
    [
      [...listen, "--outbound-addr", "127.0.0.1", "--host", "deno"],
      2,
      "--outbound-addr needs the sockets of --host ffi",
    ],
    [[...listen, "--outbound-addr", "192.0.2.7"], 125, "Cannot send from 192.0.2.7: no interface of this host has"],
    [[...listen, "--outbound-addr", "no-such"], 125, "Cannot send from no-such: there is no interface of that name"],
    [[...listen, "--pid", "/no/such/folder/pid"], 125, "cannot write /no/such/folder/pid (--pid)"],
  ];
  for (const [words, code, message] of wrong) {
    const outcome = await serveFails(words);
    assertEquals(outcome.code, code, outcome.stderr);
    assertStringIncludes(outcome.stderr, message);
  }
  await netns.run("ip link add tap0 type veth peer name other");
  const { code, stderr } = await serveFails([...listen, "--configure"]);
  assertEquals(code, 125);
  assertStringIncludes(stderr, "Cannot create TAP interface tap0");
});

test("--configure says what fails in the namespace, and ends", async (netns) => {
  await netns.run("ip link set lo up && ip route add default dev lo");
  const { code, stderr } = await serveFails(["--listen", `tap:tap0@${netns.name}`, "--configure", "--dns", "none"]);
  assertEquals(code, 125);
  assertMatch(stderr, /hawser: cannot configure the interface in the network namespace .*: .*File exists/);
  assertEquals(await netns.run("ip -brief link show tap0 2>&1 || true"), 'Device "tap0" does not exist.');
});
