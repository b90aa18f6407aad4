/**
 * The agent in a namespace: what listens on loopback there is reached from the host's loopback.
 *
 * @module
 */
import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { createSocket } from "node:dgram";
import { requires } from "../support/requirements.ts";
import { hawser, OrdinaryUser, readOutcome, shell, startHawser, until } from "./run_support.ts";
import { Serve, serveFails } from "./serve_support.ts";

const needs = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "ss", "socat", "setpriv", "mount");
/** Below the ports that Linux gives to clients, where no other test listens. */
const FIRST = 17000;
const EVERY = 30_000;
const RUN = ["run", "--dns", "none"];
/** Listens on loopback alone: `sh -c SAY sh PORT FAMILY ADDRESS`. */
const SAY = "socat -t 5 TCP$2-LISTEN:$1,bind=$3,reuseaddr SYSTEM:'echo inside'";

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name}${needs.reason}`, ignore: needs.ignore, fn });
}

/** What a port of the host's loopback says to a client; nothing if it takes none. */
async function heardAt(port: number): Promise<string> {
  try {
    using client = await Deno.connect({ hostname: "127.0.0.1", port });
    return await new Response(client.readable).text();
  } catch {
    return "";
  }
}

async function hears(port: number, text: string): Promise<void> {
  await until(`${port} says ${text}`, async () => await heardAt(port) === text, EVERY);
}

let next = FIRST;

for (const isolate of [[], ["--isolate"]]) {
  for (const [family, address, shown] of [["4", "127.0.0.1", "127.0.0.1"], ["6", "[::1]", "[::1]"]] as const) {
    const what = ["hawser run", ...isolate, `-t auto forwards what listens on ${address} alone`].join(" ");
    test(what, async () => {
      const port = next++;
      const child = startHawser([
        ...RUN,
        "-t",
        "auto",
        ...isolate,
        "--",
        "sh",
        "-c",
        SAY,
        "sh",
        `${port}`,
        family,
        address,
      ]);
      await hears(port, "inside\n");
      const { code, stderr } = readOutcome(await child.output());
      assertEquals([code, stderr], [0, `forwarding tcp 127.0.0.1:${port} -> ${shown}:${port}\n`]);
    });
  }

  test(["hawser run", ...isolate, "-t auto reaches loopback as an ordinary user"].join(" "), async () => {
    await using user = await OrdinaryUser.create();
    const port = next++;
    const ended = user.hawser([
      ...[...RUN, "-t", "auto", ...isolate, "--", "sh", "-c", SAY, "sh", `${port}`, "4", "127.0.0.1"],
    ]);
    await hears(port, "inside\n");
    const { code, stderr } = await ended;
    assertEquals([code, stderr], [0, `forwarding tcp 127.0.0.1:${port} -> 127.0.0.1:${port}\n`]);
  });
}

test("a client gets all that a server on the namespace's loopback said before it ended", async () => {
  const port = next++, script = "socat -u EXEC:'head -c 8000000 /dev/zero' TCP4-LISTEN:$1,bind=127.0.0.1,reuseaddr";
  const child = startHawser([...RUN, "-t", "auto", "--", "sh", "-c", script, "sh", `${port}`]);
  const ended = child.output();
  let length = 0;
  await until("it is answered", async () => (length = (await heardAt(port)).length) > 0, EVERY);
  assertEquals(length, 8_000_000);
  assertEquals((await ended).code, 0);
});

test("hawser run -u auto forwards UDP that is bound to loopback alone", async () => {
  const port = next++, script = "exec socat UDP4-RECVFROM:$1,bind=127.0.0.1,fork EXEC:cat";
  const child = startHawser([...RUN, "-u", "auto", "--", "sh", "-c", script, "sh", `${port}`]);
  const reading = child.output();
  const ask = `echo asked | timeout 2 socat -t 1 - UDP4:127.0.0.1:${port} 2>/dev/null || true`;
  await until("UDP is answered", async () => await shell(ask) === "asked", EVERY);
  child.kill();
  const { stderr } = readOutcome(await reading);
  assertStringIncludes(stderr, `forwarding udp 127.0.0.1:${port} -> 127.0.0.1:${port}\n`);
});

test("many listeners on loopback are forwarded, each while it listens, and the agent's own ports never", async () => {
  const count = 40, first = FIRST + 100;
  // Each listens until it has been reached.
  const script =
    `for port in $(seq $1 $2); do socat -t 5 TCP4-LISTEN:$port,bind=127.0.0.1 SYSTEM:"echo $port" & done; wait`;
  const words = ["sh", "-c", script, "sh", `${first}`, `${first + count - 1}`];
  const child = startHawser([...RUN, "-t", "auto", "--log-level", "info", "--", ...words]);
  const reading = child.output();
  await Promise.all(Array.from({ length: count }, (_, i) => hears(first + i, `${first + i}\n`)));
  const { code, stderr } = readOutcome(await reading);
  assertEquals(code, 0);
  const told = [...stderr.matchAll(/^forwarding tcp 127\.0\.0\.1:(\d+) -> 127\.0\.0\.1:\1$/gm)].map(([, port]) => port);
  assertEquals(new Set(told).size, count);
  assertEquals(stderr.match(/^forwarding /gm)!.length, told.length, stderr);
});

test("no agent is there as long as nothing listens on loopback alone, and the command sees one shell at most", async () => {
  const script = `socat TCP4-LISTEN:${next++} - & sleep 1
    for process in /proc/[0-9]*; do [ "$process/ns/net" -ef /proc/self/ns/net ] && cat "$process/comm"; done | sort | uniq -c
    kill $!`;
  const { code, stdout } = await hawser([...RUN, "-t", "auto", "--", "sh", "-c", script]);
  assertEquals(code, 0);
  assertEquals(/\bdeno\b/.test(stdout), false, stdout);
});

test("a command that ends the agent ends that way alone, and Hawser says so once", async () => {
  const port = next++, other = next++;
  const script = `socat TCP4-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr SYSTEM:'echo inside' & first=$!
    read -r _ <"$3"
    for process in /proc/[0-9]*; do
      [ "$process/ns/net" -ef /proc/self/ns/net ] && [ "$(cat "$process/comm")" = deno ] && kill -KILL "\${process#/proc/}"
    done
    socat -t 5 TCP4-LISTEN:$2,reuseaddr SYSTEM:'echo open'; kill $first`;
  const folder = await Deno.makeTempDir({ prefix: "hawser-loopback-" }), pipe = `${folder}/go`;
  try {
    await shell('mkfifo "$1"', pipe);
    const child = startHawser([...RUN, "-t", "auto", "--", "sh", "-c", script, "sh", `${port}`, `${other}`, pipe]);
    const reading = child.output();
    await hears(port, "inside\n");
    await Deno.writeTextFile(pipe, "go\n");
    await hears(other, "open\n");
    const { code, stderr } = readOutcome(await reading);
    assertEquals(code, 0);
    assertEquals(stderr.match(/its loopback leads nowhere any more/g)?.length, 1, stderr);
    assertStringIncludes(stderr, `forwarding tcp 127.0.0.1:${other} -> ${other}\n`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

test("hawser serve -t auto reaches the loopback of its namespace, and leaves nothing there", async () => {
  const name = `hawser-loopback-${Deno.pid}`, port = next++;
  await shell('ip netns add "$1"', name);
  try {
    {
      await using serve = await Serve.start([
        ...["--listen", `tap:tap0@${name}`, "--configure", "--dns", "none", "-t", "auto"],
      ]);
      const args = ["netns", "exec", name, "sh", "-c", SAY, "sh", `${port}`, "4", "127.0.0.1"];
      const server = new Deno.Command("ip", { args }).spawn();
      await hears(port, "inside\n");
      assertEquals((await server.status).code, 0);
      assertStringIncludes(serve.stderr, `forwarding tcp 127.0.0.1:${port} -> 127.0.0.1:${port}\n`);
    }
    await until("nobody is in the namespace", async () => await shell('ip netns pids "$1"', name) === "", EVERY);
  } finally {
    await shell('ip netns del "$1"', name);
  }
});

/** A server on the host's loopback that says "outside" to whoever comes. */
function serveOutside(hostname: string): { readonly port: number; close(): void } {
  const listener = Deno.listen({ hostname, port: 0 });
  void (async () => {
    for await (const conn of listener) {
      await conn.write(new TextEncoder().encode("outside\n"));
      conn.close();
    }
  })();
  return { port: listener.addr.port, close: () => listener.close() };
}

for (const more of [[], ["--no-host-loopback"], ["-6", "--isolate"]]) {
  test(["hawser run -T", ...more, "leads a port of loopback to the host's, and no other"].join(" "), async () => {
    const named = serveOutside("127.0.0.1"), other = serveOutside("127.0.0.1");
    try {
      const script = `for at in TCP4:127.0.0.1:$1 TCP6:[::1]:$1; do socat -u $at -; done
        socat -u TCP4:127.0.0.1:$2 - 2>/dev/null || echo refused`;
      const words = ["sh", "-c", script, "sh", "5432", `${other.port}`];
      const { code, stdout, stderr } = await hawser([...RUN, ...more, "-T", `5432:${named.port}`, "--", ...words]);
      assertEquals([code, stdout], [0, "outside\noutside\nrefused\n"], stderr);
    } finally {
      named.close();
      other.close();
    }
  });
}

test("hawser run -T is under the rules, and the audit has its flows", async () => {
  const named = serveOutside("127.0.0.1"), folder = await Deno.makeTempDir({ prefix: "hawser-loopback-" });
  try {
    const script = "socat -u TCP4:127.0.0.1:5432 -", words = ["-T", `5432:${named.port}`, "--audit", `${folder}/audit`];
    const { stdout } = await hawser([...RUN, ...words, "--deny", `127.0.0.1:${named.port}`, "--", "sh", "-c", script]);
    assertEquals(stdout, "");
    const records = await Deno.readTextFile(`${folder}/audit`);
    assertStringIncludes(records, `10.0.2.2`);
    assertStringIncludes(records, `${named.port}`);
  } finally {
    named.close();
    await Deno.remove(folder, { recursive: true });
  }
});

test("hawser run -T reaches a server on the host's [::1] alone, and -U carries UDP", async () => {
  const named = serveOutside("::1");
  const echo = new Deno.Command("socat", { args: ["UDP4-LISTEN:17999,bind=127.0.0.1,fork", "EXEC:cat"] }).spawn();
  try {
    const script = `socat -u TCP4:127.0.0.1:5432 -
      answer=; while [ -z "$answer" ]; do answer=$(echo asked | timeout 2 socat -t 1 - UDP4:127.0.0.1:5353); done; echo $answer`;
    const words = ["-T", `5432:${named.port}`, "-U", "5353:17999", "--", "sh", "-c", script];
    const { code, stdout, stderr } = await hawser([...RUN, ...words]);
    assertEquals([code, stdout], [0, "outside\nasked\n"], stderr);
  } finally {
    named.close();
    echo.kill();
    await echo.status;
  }
});

test("hawser serve -T leads out of its namespace, -t auto beside it, and a port that is taken there is an error", async () => {
  const name = `hawser-outward-${Deno.pid}`, named = serveOutside("127.0.0.1");
  await shell('ip netns add "$1" && ip -n "$1" link set lo up', name);
  const words = [
    "--listen",
    `tap:tap0@${name}`,
    "--configure",
    "--dns",
    "none",
    "-T",
    `5432:${named.port}`,
    "-t",
    "auto",
  ];
  const inside = (script: string) => shell('ip netns exec "$1" sh -c "$2"', name, script);
  try {
    {
      await using serve = await Serve.start(words);
      assertEquals(await inside("socat -u TCP4:127.0.0.1:5432 -"), "outside");
      // The agent's own listeners are none that are followed.
      assertEquals(serve.stderr.includes("forwarding"), false, serve.stderr);
    }
    const args = ["netns", "exec", name, "socat", "TCP4-LISTEN:5432,bind=127.0.0.1,reuseaddr", "-"];
    const taken = new Deno.Command("ip", { args, stdin: "piped" }).spawn();
    await until("somebody listens", async () => await inside("ss -Hltn sport = :5432") !== "", EVERY);
    const { code, stderr } = await serveFails(words);
    assertEquals([code, stderr.includes("tcp 127.0.0.1:5432")], [125, true], stderr);
    taken.kill();
    await taken.stdin.close();
    await taken.status;
  } finally {
    named.close();
    await shell('ip netns del "$1"', name);
  }
});

/** Says as whom it sees its client: `sh -c PEER sh PORT FAMILY ADDRESS`. */
const PEER = "exec socat -t 5 TCP$2-LISTEN:$1,bind=$3,reuseaddr,fork SYSTEM:'echo \"\$SOCAT_PEERADDR\"'";
const LED = "--host-lo-to-ns-lo";

/** What a port of that loopback address says to a client; nothing if it takes none. */
async function heardFrom(hostname: string, port: number): Promise<string> {
  try {
    using client = await Deno.connect({ hostname, port });
    return await new Response(client.readable).text();
  } catch {
    return "";
  }
}

/** What a port of UDP answers to one datagram. */
async function answerOf(port: number, text: string): Promise<string> {
  const socket = createSocket("udp4"), answer = Promise.withResolvers<string>();
  socket.on("message", (bytes: Uint8Array) => answer.resolve(new TextDecoder().decode(bytes)));
  socket.send(text, port, "127.0.0.1");
  try {
    return await deadline(answer.promise, EVERY);
  } finally {
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
}

for (const more of [[], ["--isolate"], ["-6"]]) {
  test(["hawser run", LED, ...more, "leads clients of the host's loopback to the namespace's"].join(" "), async () => {
    const port = next++, words = ["-t", `[::]/${port}`, "--", "sh", "-c", PEER, "sh", `${port}`, "4", "127.0.0.1"];
    const child = startHawser([...RUN, LED, ...more, ...words]);
    const reading = child.output();
    // Nobody listens on ::1, and whoever tries that first is answered all the same.
    for (const hostname of ["::1", "127.0.0.1"]) {
      await until(`${hostname} is answered`, async () => await heardFrom(hostname, port) === "127.0.0.1\n", EVERY);
    }
    child.kill();
    const { stderr } = readOutcome(await reading);
    assertEquals(stderr, `forwarding tcp [::]:${port} -> ${port}\n`);
  });
}

test(`hawser run ${LED} -T auto leads both ways for an ordinary user`, async () => {
  await using user = await OrdinaryUser.create();
  const outside = serveOutside("127.0.0.1"), port = next++;
  try {
    const script = "socat -u TCP4:127.0.0.1:$1 -; shift; " + SAY;
    const words = ["--", "sh", "-c", script, "sh", `${outside.port}`, `${port}`, "4", "127.0.0.1"];
    const ended = user.hawser([...RUN, LED, "-T", "auto", "-t", `${port}`, ...words]);
    await hears(port, "inside\n");
    const { code, stdout, stderr } = await ended;
    assertEquals([code, stdout], [0, "outside\n"], stderr);
  } finally {
    outside.close();
  }
});

test(`hawser run ${LED} leads clients to loopback of what listens everywhere, with auto too, and not if an address is named`, async () => {
  const port = next++, named = next++;
  const script = `(${PEER}) & exec socat -t 5 TCP4-LISTEN:$4,reuseaddr,fork SYSTEM:'echo "\$SOCAT_PEERADDR"'`;
  const words = ["--", "sh", "-c", script, "sh", `${port}`, "4", "0.0.0.0", `${named}`];
  const child = startHawser([...RUN, LED, "-t", `auto,~${named}`, "-t", `${named}:10.0.2.15/${named}`, ...words]);
  const reading = child.output();
  await hears(port, "127.0.0.1\n");
  await hears(named, "10.0.2.2\n");
  child.kill();
  await reading;
});

test(`hawser run ${LED} carries UDP, the first datagram too`, async () => {
  const port = next++, ready = next++;
  const script = `socat UDP4-RECVFROM:$1,bind=127.0.0.1,fork EXEC:cat &
    until [ -n "$(ss -Hlun "sport = :$1")" ]; do sleep 0.1; done
    exec socat TCP4-LISTEN:$2,reuseaddr,fork SYSTEM:'echo ready'`;
  const words = ["-u", `${port}`, "-t", `${ready}:10.0.2.15`, "--", "sh", "-c", script, "sh", `${port}`, `${ready}`];
  const child = startHawser([...RUN, LED, ...words]);
  const reading = child.output();
  await hears(ready, "ready\n");
  assertEquals(await answerOf(port, "asked"), "asked");
  child.kill();
  await reading;
});

test(`hawser run ${LED} turns a client away whose way a command keeps shut, after ten seconds, and says so`, async () => {
  const port = next++, other = next++, open = next++;
  const script = `socat TCP4-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr SYSTEM:'echo inside' &
    socat TCP4-LISTEN:$2,reuseaddr,fork SYSTEM:'echo never' &
    read -r _ <"$4"
    for process in /proc/[0-9]*; do
      [ "$process/ns/net" -ef /proc/self/ns/net ] && [ "$(cat "$process/comm")" = deno ] && kill -STOP "\${process#/proc/}"
    done
    exec socat TCP4-LISTEN:$3,reuseaddr,fork SYSTEM:'echo stopped'`;
  const folder = await Deno.makeTempDir({ prefix: "hawser-loopback-" }), pipe = `${folder}/go`;
  try {
    await shell('mkfifo "$1"', pipe);
    const words = ["-t", `${port},${other}`, "-t", `${open}:10.0.2.15`, "--", "sh", "-c", script, "sh"];
    const child = startHawser([...RUN, LED, ...words, `${port}`, `${other}`, `${open}`, pipe]);
    const reading = child.output();
    await hears(port, "inside\n");
    await Deno.writeTextFile(pipe, "go\n");
    await hears(open, "stopped\n");
    const began = performance.now();
    assertEquals(await heardAt(other), "");
    assertGreater(performance.now() - began, 9_000);
    child.kill();
    const { stderr } = readOutcome(await reading);
    assertStringIncludes(stderr, "the agent in the namespace does not answer");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

test(`hawser serve ${LED} leads to the loopback of its namespace, and is refused without one`, async () => {
  const name = `hawser-led-${Deno.pid}`, port = next++;
  await shell('ip netns add "$1"', name);
  try {
    const words = [LED, "--configure", "--dns", "none", "-t", `${port}`];
    await using _serve = await Serve.start(["--listen", `tap:tap0@${name}`, ...words]);
    const args = ["netns", "exec", name, "sh", "-c", PEER, "sh", `${port}`, "6", "[::1]"];
    const server = new Deno.Command("ip", { args }).spawn();
    await until("it is answered", async () => (await heardAt(port)).endsWith(":0001]\n"), EVERY);
    server.kill();
    await server.status;
  } finally {
    await shell('ip netns del "$1"', name);
  }
  const { code, stderr } = await serveFails(["--listen", "unix:/nowhere/hawser", LED]);
  assertEquals([code, stderr.includes(`${LED} leads into one namespace`)], [2, true], stderr);
});

test("hawser run -T auto leads to what listens on the host, before the command begins and later, and to nothing else", async () => {
  const before = serveOutside("127.0.0.1"), later = next++, own = next++;
  // What listens here is forwarded, which is no port of the host's own.
  const script = `socat -u TCP4:127.0.0.1:$1 -
    socat TCP4-LISTEN:$3,reuseaddr,fork SYSTEM:'echo inside' &
    until socat -u TCP4:localhost:$2 - 2>/dev/null; do sleep 0.1; done
    kill $!`;
  const words = ["sh", "-c", script, "sh", `${before.port}`, `${later}`, `${own}`];
  const options = ["--no-host-loopback", "-T", "auto", "-t", "auto", "--log-level", "info"];
  const child = startHawser([...RUN, ...options, "--", ...words]);
  const reading = child.output();
  try {
    await hears(own, "inside\n");
    const server = Deno.listen({ hostname: "127.0.0.1", port: later });
    try {
      using client = await server.accept();
      await client.write(new TextEncoder().encode("outside later\n"));
    } finally {
      server.close();
    }
    const { code, stdout, stderr } = readOutcome(await reading);
    assertEquals([code, stdout], [0, "outside\noutside later\n"], stderr);
    assertStringIncludes(stderr, `Leading tcp ${later} of the namespace's loopback to the host's`);
    for (const back of [`Leading tcp ${own} `, `Cannot lead tcp 127.0.0.1:${own} `]) {
      assertEquals(stderr.includes(back), false, stderr);
    }
  } finally {
    before.close();
  }
});

test("hawser run -T auto leaves out what is excluded, and is refused beside --no-host", async () => {
  const named = serveOutside("127.0.0.1");
  try {
    const script = "socat -u TCP4:127.0.0.1:$1 - 2>/dev/null || echo refused";
    const words = ["--", "sh", "-c", script, "sh", `${named.port}`];
    const { code, stdout } = await hawser([...RUN, "-T", `auto,~${named.port}`, ...words]);
    assertEquals([code, stdout], [0, "refused\n"]);
  } finally {
    named.close();
  }
  const { code, stderr } = await hawser([...RUN, "--no-host", "-U", "auto", "--", "true"]);
  assertEquals([code, stderr.includes("which --no-host forbids")], [2, true], stderr);
});
