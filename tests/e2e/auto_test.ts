/**
 * `-t auto` and `-u auto`: ports of the host that follow what listens in a namespace, on Linux's own sockets.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { hawser, OrdinaryUser, readOutcome, shell, startHawser, until } from "./run_support.ts";
import { Serve, serveFails } from "./serve_support.ts";

const needs = requires("linux", "root", "tun", "unshare", "nsenter", "ip", "ss", "socat", "setpriv", "mount");
const GUEST = decodeURIComponent(new URL("auto_guest.ts", import.meta.url).pathname);
/** Ports below those that Linux gives to clients, where no other test listens. */
const FIRST = 12000, BURST = 14000, SINGLE = 16000;
/** A server in the namespace, and its answer, which begins when somebody has come. */
const SAY_INSIDE = "socat -t 5 TCP4-LISTEN:$1,reuseaddr SYSTEM:'echo inside'";
const UNTOLD = /^hawser: warn: Cannot tell what listens: .+; ports are not followed any more\n$/;
const EVERY = 30_000;

/** What a port of the host's loopback says to a client; nothing if it takes none. */
async function heardAt(port: number, hostname = "127.0.0.1"): Promise<string> {
  try {
    using client = await Deno.connect({ hostname, port });
    return await new Response(client.readable).text();
  } catch {
    return "";
  }
}

/** Waits until that port says this. */
async function hears(port: number, text: string, hostname?: string): Promise<void> {
  await until(`${port} says ${text}`, async () => await heardAt(port, hostname) === text, EVERY);
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `${name}${needs.reason}`, ignore: needs.ignore, fn });
}

/** A run whose command ends when a client has come to `port`. */
async function comesTo(port: number, words: readonly string[]): Promise<string> {
  const child = startHawser(["run", "--dns", "none", ...words, "--", "sh", "-c", SAY_INSIDE, "sh", `${port}`]);
  await hears(port, "inside\n");
  const outcome = readOutcome(await child.output());
  assertEquals(outcome.code, 0, outcome.stderr);
  return outcome.stderr;
}

for (const isolate of [[], ["--isolate"]]) {
  const shown = ["hawser run", ...isolate, "-t auto"].join(" ");
  test(`${shown} forwards what listens in the namespace and says so`, async () => {
    const port = SINGLE;
    assertEquals(await comesTo(port, ["-t", "auto", ...isolate]), `forwarding tcp 127.0.0.1:${port} -> ${port}\n`);
  });

  test(`${shown} works as an ordinary user`, async () => {
    await using user = await OrdinaryUser.create();
    const port = SINGLE + 1;
    const words = ["run", "--dns", "none", "-t", "auto", ...isolate, "--", "sh", "-c", SAY_INSIDE, "sh", `${port}`];
    const ended = user.hawser(words);
    await hears(port, "inside\n");
    const { code, stderr } = await ended;
    assertEquals([code, stderr], [0, `forwarding tcp 127.0.0.1:${port} -> ${port}\n`]);
  });
}

test("hawser run -t auto follows a thousand listens and closes, none is missed and nothing is left", async () => {
  const stderr = await followed({ first: FIRST, count: 1000, atOnce: 40 });
  for (const line of ["forwarding", "hawser: info: No longer forwarding"]) {
    const ports = [...stderr.matchAll(new RegExp(`^${line} tcp 127\\.0\\.0\\.1:(\\d+) `, "gm"))].map(([, port]) =>
      port
    );
    // The last one ends with the command.
    assertEquals(new Set(ports.map(Number).filter((port) => port < FIRST + 1000)).size, 1000, line);
  }
});

test("hawser run -t auto follows a thousand listens at once", async () => {
  await followed({ first: BURST, count: 1000, atOnce: 1000 });
});

/** Has a guest listen on ports, comes to each, and waits until none of them is forwarded any more. */
async function followed(
  { first, count, atOnce }: { readonly first: number; readonly count: number; readonly atOnce: number },
): Promise<string> {
  const guest = [Deno.execPath(), "run", "--no-prompt", "--allow-net", GUEST, ...[first, count, atOnce].map(String)];
  const child = startHawser(["run", "--dns", "none", "-t", "auto", "--log-level", "info", "--", ...guest]);
  const reading = new Response(child.stderr).text();
  let next = first;
  await Promise.all(Array.from({ length: Math.min(atOnce, 100) }, async () => {
    while (next < first + count) {
      const port = next++;
      await hears(port, `${port}\n`);
    }
  }));
  const listed = async () => await shell("ss -Hltn src 127.0.0.1 | awk '{ print $4 }'");
  await until("no port is listened on any more", async () => {
    const ports = (await listed()).split("\n").map((line) => Number(line.split(":").at(-1)));
    return !ports.some((port) => port >= first && port < first + count);
  }, EVERY);
  await hears(first + count, `${first + count}\n`);
  assertEquals((await child.status).code, 0);
  await child.stdout.cancel();
  return await reading;
}

test("hawser run -u auto forwards UDP while it is bound", async () => {
  const port = SINGLE + 2, folder = await Deno.makeTempDir({ prefix: "hawser-auto-" }), stop = `${folder}/stop`;
  // A server that connects its socket to a client would not count as one while it answers.
  const script =
    "socat UDP4-RECVFROM:$1,fork,reuseaddr EXEC:'head -n 1' & until [ -e $2 ]; do sleep 0.1; done; kill $!";
  const words = ["run", "--dns", "none", "-u", "auto", "--", "sh", "-c", script, "sh", `${port}`, stop];
  const child = startHawser(words);
  const ask = `echo asked | timeout 5 socat -t 1 - UDP4:127.0.0.1:${port} 2>/dev/null || true`;
  await until("UDP is answered", async () => await shell(ask) === "asked", EVERY);
  await Deno.writeTextFile(stop, "");
  const { stderr } = readOutcome(await child.output());
  assertEquals(stderr, `forwarding udp 127.0.0.1:${port} -> ${port}\n`);
  await Deno.remove(folder, { recursive: true });
});

test("hawser run -t auto says that a port is taken, and forwards it when it is free", async () => {
  const port = SINGLE + 3, listener = Deno.listen({ hostname: "127.0.0.1", port });
  const child = startHawser(["run", "--dns", "none", "-t", "auto", "--", "sh", "-c", SAY_INSIDE, "sh", `${port}`]);
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  assertMatch(value!, new RegExp(`^hawser: warn: .*127\\.0\\.0\\.1:${port}.*it is tried again while somebody listens`));
  listener.close();
  await hears(port, "inside\n");
  assertEquals((await reader.read()).value, `forwarding tcp 127.0.0.1:${port} -> ${port}\n`);
  assertEquals((await child.status).code, 0);
  await reader.cancel();
  await child.stdout.cancel();
});

test("hawser run -t auto without ss reads /proc", async () => {
  const around = `exec unshare -m sh -c 'mount --bind /dev/null "$(command -v ss)" && exec "$@"' sh "$@"`;
  const port = SINGLE + 6, words = ["run", "--dns", "none", "-t", "auto", "--log-level", "debug"];
  const child = startHawser([...words, "--", "sh", "-c", SAY_INSIDE, "sh", `${port}`], { around });
  await hears(port, "inside\n");
  const { code, stderr } = readOutcome(await child.output());
  assertEquals(code, 0);
  assertStringIncludes(stderr, "known by /proc");
  assertStringIncludes(stderr, `forwarding tcp 127.0.0.1:${port} -> ${port}\n`);
});

test("hawser run -t auto says that it follows no more if the command ends who looks, and serves on", async () => {
  const around = `exec unshare -m sh -c 'mount --bind /dev/null "$(command -v ss)" && exec "$@"' sh "$@"`;
  // It is the only "cat" in this network namespace; the server comes behind it, so that nobody hears of it.
  const script = `for process in /proc/[0-9]*; do
      [ "$process/ns/net" -ef /proc/self/ns/net ] && [ "$(cat "$process/comm")" = cat ] && kill "\${process#/proc/}"
    done
    read -r go
    echo served | socat -t 5 - TCP4:10.0.2.2:$1`;
  const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const words = ["run", "--dns", "none", "-t", "auto", "--", "sh", "-c", script, "sh", `${server.addr.port}`];
  const run = startHawser(words, { around, stdin: "" });
  const errors = run.stderr.pipeThrough(new TextDecoderStream()).getReader();
  assertMatch((await errors.read()).value!, UNTOLD);
  const input = run.stdin.getWriter();
  await input.write(new TextEncoder().encode("go\n"));
  await input.close();
  {
    using client = await server.accept();
    const bytes = new Uint8Array(16), count = await client.read(bytes);
    assertEquals(new TextDecoder().decode(bytes.subarray(0, count!)), "served\n");
  }
  server.close();
  assertEquals((await run.status).code, 0);
  await errors.cancel();
  await run.stdout.cancel();
});

test("hawser run -t auto leaves no process and no descriptor to the command", async () => {
  const script = `ls -l /proc/self/fd
    for process in /proc/[0-9]*; do [ "$process/ns/net" -ef /proc/self/ns/net ] && cat "$process/comm"; done | sort`;
  const { code, stdout } = await hawser(["run", "--dns", "none", "-t", "auto", "--", "sh", "-c", script]);
  assertEquals(code, 0);
  assertEquals(stdout.includes("socket:"), false, stdout);
  assertEquals(/\b(ss|nsenter)\n/.test(stdout), false, stdout);
});

test("hawser serve -t auto follows the namespace of its TAP, and ends with nothing left", async () => {
  const name = `hawser-auto-${Deno.pid}`, port = SINGLE + 7;
  await shell('ip netns add "$1"', name);
  try {
    await using serve = await Serve.start([
      ...["--listen", `tap:tap0@${name}`, "--configure", "--dns", "none", "-t", "auto,~" + (port + 1)],
    ]);
    const inside = (port: number) =>
      new Deno.Command("ip", { args: ["netns", "exec", name, "sh", "-c", SAY_INSIDE, "sh", `${port}`] }).spawn();
    const excluded = inside(port + 1), server = inside(port);
    await hears(port, "inside\n");
    await server.status;
    assertEquals(await heardAt(port + 1), "");
    excluded.kill();
    await excluded.status;
    await until("the port is free again", async () => {
      try {
        Deno.listen({ hostname: "127.0.0.1", port }).close();
        return await Promise.resolve(true);
      } catch {
        return false;
      }
    }, EVERY);
    assertEquals(serve.pid > 0, true);
  } finally {
    await shell('ip netns del "$1"', name);
  }
});

test("hawser serve -t auto without one namespace to follow is 2 and says what is needed", async () => {
  for (const listen of [["--listen", "unix:/nowhere/x"], ["--listen", "tap:tap0@a", "--listen", "tap:tap0@b"]]) {
    const { code, stderr } = await serveFails([...listen, "-t", "auto"]);
    assertEquals(code, 2);
    assertStringIncludes(stderr, "such as that of --listen tap:tap0@blue");
  }
});
