import { assert, assertEquals, assertGreater, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async";
import { median } from "../../bench/peers/statistics.ts";
import { pattern } from "../support/bytes.ts";
import { FAMILIES } from "../support/families.ts";
import { FLOW_LINES_BURST, FLOW_LINES_REFILL_MS } from "../../nat/flow/flow_log.ts";
import { requires } from "../support/requirements.ts";
import { attack, connectGuest, connectWebSocketGuest, echoServer, exchange } from "../support/stream_guests.ts";
import { leaveStaleSocket } from "../support/unix_client.ts";
import { shell, until } from "./run_support.ts";
import { Serve, serveFails } from "./serve_support.ts";

const needs = requires("linux", "ffi");
const FLOWS = 500;
/** For how long a guest may be refused while others have all flows. */
const REFUSED_MS = 60_000;
/**
 * By what the other's throughput may be divided; much of that is for what else a shared machine does in these seconds.
 */
const MOST_SLOWED = 4;
/** How long the hostile guest goes on, in seconds. */
const HOSTILE_SECONDS = Number(Deno.env.get("HAWSER_HOSTILE_SECONDS") ?? 3);

function test(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: `hawser serve ${name}${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "hawser-serve-" });
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

for (const host of ["ffi", "deno"]) {
  test(`on ${host} sockets serves guests, tells its flows on PWR, and ends with code 0 when told to`, async (folder) => {
    const links = ["--listen", "tcp:127.0.0.1:0", ...(host === "ffi" ? ["--listen", `unix:${folder}/vm.sock`] : [])];
    const serve = await Serve.start([...links, "--listen", "tcp:[::1]:0", "--host", host, "--dns", "none"]);
    const server = echoServer();
    assertMatch(serve.addresses[0]!, /^tcp:127\.0\.0\.1:[1-9]\d*$/);
    assertMatch(serve.addresses.at(-1)!, /^tcp:\[::1\]:[1-9]\d*$/);
    {
      await using first = await connectGuest(serve.port), second = await connectGuest(serve.port);
      for (const guest of [first, second]) {
        await exchange(await guest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(3 << 20));
      }
      const idle = await first.connect({ hostname: "10.0.2.2", port: server.port });
      // The first may come before the gateway knows the connection for open.
      await serve.says(
        "flows",
        (text) => /^tcp .*10\.0\.2\.15.*ESTABLISHED/m.test(text),
        () => serve.kill("SIGPWR"),
      );
      await idle[Symbol.asyncDispose]();
    }
    await serve.says("guests ended", (text) => text.match(/Guest \d on .* ended/g)?.length === 2);
    serve.kill(host === "ffi" ? "SIGTERM" : "SIGINT");
    const { code, stderr } = await serve.ended();
    assertEquals(code, 0, stderr);
    assertMatch(stderr, /info: Guest 1 on tcp:127\.0\.0\.1:\d+ from 127\.0\.0\.1:\d+ began/);
    assertEquals(stderr.match(/ (warn|error): /g), null, stderr);
    assertEquals([...Deno.readDirSync(folder)], []);
    await server.close();
  });
}

test("serves a guest that comes again as a new one", async () => {
  await using serve = await Serve.start(["--listen", "tcp:127.0.0.1:0", "--dns", "none"]);
  const server = echoServer();
  for (let i = 0; i < 3; i++) {
    await using guest = await connectGuest(serve.port);
    await exchange(await guest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(100_000));
  }
  await serve.says("three guests", (text) => text.includes("Guest 3 on"));
  await server.close();
});

for (const host of ["ffi", "deno"]) {
  const among = `guests on a WebSocket and on a stream together, over both families and on ${host} sockets`;
  test(`serves ${among}, and none without the token`, async () => {
    await using serve = await Serve.start([
      ...["--listen", "ws:127.0.0.1:0", "--ws-token", "secret", "--listen", "tcp:127.0.0.1:0", "--dns", "none"],
      ...["--host", host],
    ]);
    const server = echoServer(), port = Number(serve.addresses[1]!.split(":").at(-1));
    await assertRejects(() => connectWebSocketGuest(serve.port, "?token=guess"), Error, "Cannot connect");
    {
      await using browser = await connectWebSocketGuest(serve.port, "?token=secret"), vm = await connectGuest(port);
      const exchanges = FAMILIES.flatMap(({ gateway }) =>
        [browser, vm].map(async (guest) => {
          await exchange(await guest.connect({ hostname: gateway, port: server.port }), pattern(1 << 20));
        })
      );
      await Promise.all(exchanges);
    }
    await serve.says("both have gone", (text) => text.match(/Guest \d on .* ended/g)?.length === 2);
    await server.close();
  });
}

test("--pcap - writes a capture of all its guests to stdout", async (folder) => {
  const server = echoServer();
  {
    const around = `exec "$@" >${folder}/capture`;
    await using serve = await Serve.start(["--listen", "tcp:127.0.0.1:0", "--dns", "none", "--pcap", "-"], { around });
    await using guest = await connectGuest(serve.port), other = await connectGuest(serve.port);
    for (const each of [guest, other]) {
      await exchange(await each.connect({ hostname: "10.0.2.2", port: server.port }), pattern(10_000));
    }
  }
  await server.close();
  const bytes = await Deno.readFile(`${folder}/capture`);
  assertEquals([...bytes.subarray(0, 4)], [0xa1, 0xb2, 0x3c, 0x4d]); // Of nanoseconds.
  assert(bytes.length > 40_000, `${bytes.length} bytes of four times 10,000`);
});

test("--impair, --trace and --pcap compose around each guest's link, those of streams and of WebSockets alike", async (folder) => {
  const server = echoServer(), capture = `${folder}/serve.pcap`;
  const links = ["--listen", "tcp:127.0.0.1:0", "--listen", "ws:127.0.0.1:0"];
  const serve = await Serve.start([...links, "--dns", "none", "--impair", "delay=30ms", "--trace", "--pcap", capture]);
  const port = Number(serve.addresses[1]!.split(":").at(-1));
  {
    await using vm = await connectGuest(serve.port), browser = await connectWebSocketGuest(port, "");
    for (const guest of [vm, browser]) {
      const began = performance.now();
      await exchange(await guest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(1000));
      // ARP, the handshake and the echo take a round trip of 60 ms each.
      assertGreater(performance.now() - began, 175);
    }
  }
  serve.kill("SIGTERM");
  const { code, stderr } = await serve.ended();
  assertEquals(code, 0, stderr);
  const lines = stderr.match(/^\d\d:\d\d:\d\d\.\d{6} (ARP,|IP) .*$/gm) ?? [];
  assertEquals(lines.filter((line) => /Flags \[S\.\]/.test(line)).length, 2, stderr);
  assertEquals(recordsOf(await Deno.readFile(capture)), lines.length, stderr);
  await server.close();
});

test("takes over a socket that was left behind, not one that is served, and removes no other file", async (folder) => {
  const path = `${folder}/vm.sock`;
  leaveStaleSocket(path);
  const first = await Serve.start(["--listen", `unix:${path}`]);
  const refused = await serveFails(["--listen", `unix:${path}`]);
  assertEquals([refused.code, refused.stderr], [
    125,
    `hawser: Cannot listen on ${path}: another program serves there, take another path\n`,
  ]);
  first.kill("SIGKILL");
  assertEquals((await first.ended()).signal, "SIGKILL");
  assert((await Deno.lstat(path)).isSocket);
  {
    await using _second = await Serve.start(["--listen", `unixgram:${path}`]);
  }
  await Deno.writeTextFile(path, "mine");
  const other = await serveFails(["--listen", `unix:${path}`]);
  assertEquals(other.code, 125);
  assertStringIncludes(other.stderr, "there is a file of that name that is no socket, remove it or take another path");
  assertEquals(await Deno.readTextFile(path), "mine");
});

test("says that a port is in use or an address is none of its own, and leaves nothing", async (folder) => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  for (const kind of ["tcp", "ws"]) {
    const links = ["--listen", `unix:${folder}/vm.sock`, "--listen", `${kind}:127.0.0.1:${port}`];
    const { code, stderr } = await serveFails(links);
    assertEquals(code, 125);
    assertMatch(
      stderr,
      new RegExp(
        `^hawser: Cannot listen on port ${port} of 127.0.0.1: it is in use, [^\n]*\n$`,
      ),
    );
    assertEquals([...Deno.readDirSync(folder)], []);
  }
  const { stderr } = await serveFails(["--listen", `unix:${folder}/none/vm.sock`]);
  assertMatch(stderr, /there is no such folder/);
});

test("says on --ready-fd when it is ready, and ends when --exit-fd does", async (folder) => {
  await shell(`mkfifo "$1/ready" "$1/exit"`, folder);
  const around = `exec "$@" 7>${folder}/ready 8<${folder}/exit`;
  const starting = Serve.start(["--listen", "tcp:127.0.0.1:0", "--ready-fd", "7", "--exit-fd", "8"], { around });
  const ready = Deno.readTextFile(`${folder}/ready`), exit = await Deno.open(`${folder}/exit`, { write: true });
  assertEquals(await ready, "1");
  const serve = await starting;
  // Words are no end.
  await exit.write(new TextEncoder().encode("wait"));
  await using guest = await connectGuest(serve.port);
  assertEquals(guest.connections, 0);
  exit.close();
  const { code, stderr } = await serve.ended();
  assertEquals(code, 0);
  assertStringIncludes(stderr, "info: ending, --exit-fd was closed");
});

test("takes a file for --ready-fd and --exit-fd too, which never ends it", async (folder) => {
  const around = `exec "$@" 7>>${folder}/ready 8</etc/passwd`;
  await using serve = await Serve.start(["--listen", "tcp:127.0.0.1:0", "--ready-fd", "7", "--exit-fd", "8"], {
    around,
  });
  await until("it is told", async () => await Deno.readTextFile(`${folder}/ready`) === "1");
  await using guest = await connectGuest(serve.port);
  assertEquals(guest.connections, 0);
  serve.kill("SIGTERM");
  assertStringIncludes((await serve.ended()).stderr, "ending, SIGTERM came");
});

test("says on a socket that it is ready, and ends when the other end of one is closed", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const path = `/dev/tcp/127.0.0.1/${listener.addr.port}`;
  const around = `exec bash -c 'exec 7<>${path} 8<>${path} && exec "$@"' bash "$@"`;
  const starting = Serve.start(["--listen", "tcp:127.0.0.1:0", "--ready-fd", "7", "--exit-fd", "8"], { around });
  const ready = await listener.accept(), exit = await listener.accept();
  assertEquals(await new Response(ready.readable).text(), "1");
  const serve = await starting;
  await using guest = await connectGuest(serve.port);
  assertEquals(guest.connections, 0);
  // As much as the end of a pipe, though the other direction is open.
  await exit.closeWrite();
  const { code, stderr } = await serve.ended();
  exit.close();
  assertEquals(code, 0);
  assertStringIncludes(stderr, "info: ending, --exit-fd was closed");
});

test("says that a descriptor is none that it can use", async () => {
  const around = 'exec "$@" 7</etc/hostname 8>/dev/null';
  const wrong: [string, string, string][] = [
    ["--ready-fd", "7", "it cannot be written to"],
    ["--ready-fd", "99", "the caller has not left it open"],
    // Deno has descriptors of its own, which the caller knows nothing of.
    ["--ready-fd", "4", "the caller has not left it open"],
    ["--exit-fd", "99", "the caller has not left it open"],
    ["--exit-fd", "4", "the caller has not left it open"],
  ];
  for (const [option, fd, why] of wrong) {
    const { code, stderr } = await serveFails(["--listen", "tcp:127.0.0.1:0", option, fd], { around });
    assertEquals(code, 125);
    assertStringIncludes(stderr, `hawser: cannot use descriptor ${fd} (${option}): ${why}\n`);
  }
});

/** How many frames a capture holds. */
function recordsOf(pcap: Uint8Array): number {
  const view = new DataView(pcap.buffer, pcap.byteOffset, pcap.byteLength), littleEndian = pcap[0] !== 0xa1;
  let count = 0;
  for (let at = 24; at < pcap.length; count++) at += 16 + view.getUint32(at + 8, littleEndian);
  return count;
}

/** The hostile guest, a program; resolves once it has its connections, to a promise of how many frames it sent. */
async function startHostile(port: number, target: number): Promise<{ ended: Promise<number> }> {
  const program = new URL("../support/hostile_guest.ts", import.meta.url).pathname;
  const line = [Deno.execPath(), "run", "--no-check", "--allow-net=127.0.0.1", program];
  const child = new Deno.Command(line[0]!, {
    args: [...line.slice(1), `${port}`, `${target}`, `${HOSTILE_SECONDS}`],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value ?? "";
  assertEquals(text, `${FLOWS}\n`);
  // From now on it takes what the others leave of the processors, so that it harms by what it sends alone.
  await shell('renice -n 19 -p "$1"', `${child.pid}`);
  const ended = (async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
    assertEquals((await child.status).code, 0);
    return Number(text.split("\n")[1]);
  })();
  return { ended };
}

/** Connects, again and again while that is refused. */
async function connectAgain(guest: Awaited<ReturnType<typeof connectGuest>>, port: number) {
  for (const began = performance.now();;) {
    try {
      return await guest.connect({ hostname: "10.0.2.2", port });
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused) || performance.now() - began > REFUSED_MS) throw error;
      await delay(20);
    }
  }
}

test("gives 500 flows of one guest every byte while another sends garbage", async () => {
  const beganAt = performance.now();
  await using serve = await Serve.start(["--listen", "tcp:127.0.0.1:0", "--dns", "none"]);
  const server = echoServer();
  {
    await using good = await connectGuest(serve.port);
    /** Megabytes a second that it exchanges over all its flows; each byte of the answers is compared. */
    const round = async () => {
      const began = performance.now();
      let bytes = 0;
      const conns = await Promise.all(
        Array.from({ length: FLOWS }, () => good.connect({ hostname: "10.0.2.2", port: server.port })),
      );
      await Promise.all(conns.map((conn, i) => {
        const sent = pattern(20_000 + i * 100);
        bytes += sent.length;
        return exchange(conn, sent);
      }));
      return bytes / 1000 / (performance.now() - began);
    };
    await round();
    const alone = [await round(), await round()], beside: number[] = [];
    let isHostile = true;
    const hostile = await startHostile(serve.port, server.port);
    const ended = hostile.ended.finally(() => isHostile = false);
    while (isHostile) beside.push(await round());
    const sent = await ended;
    alone.push(await round(), await round());
    const figures = `MB/s alone ${alone.map(Math.round)}, beside ${beside.map(Math.round)}, ${sent} hostile frames`;
    if (Deno.env.has("HAWSER_HOSTILE_SECONDS")) console.log(figures);
    assert(sent > 1000, figures);
    assert(median(beside) > median(alone) / MOST_SLOWED, figures);
    // A flood of SYNs takes this program's time too; there every byte is what counts. It has a server of its own,
    // because whoever fills a server's queue keeps all others waiting, without Hawser as well. It comes as one guest
    // after another, several of them at a time on a busy machine, so the share of this one may be full for a while.
    const tireless = async (i: number) =>
      await exchange(await connectAgain(good, server.port), pattern(20_000 + i * 100));
    isHostile = true;
    const flooded = echoServer(), attacking = attack(serve.port, flooded.port, () => isHostile);
    const flows = Promise.all(Array.from({ length: FLOWS }, (_, i) => tireless(i)));
    const [attacked] = await Promise.all([attacking, flows.finally(() => isHostile = false)]);
    assert(attacked > 1000);
    await flooded.close();
  }
  // What it had open goes with its link, as soon as its end is read.
  await until("no flow is left", () => {
    serve.kill("SIGPWR");
    return Promise.resolve(serve.stderr.includes("hawser: no flows\n"));
  });
  // What it can provoke in the log is rationed.
  const lines = (level: string) => serve.stderr.match(new RegExp(`^hawser: ${level}: `, "gm"))?.length ?? 0;
  assert(lines("warn") + lines("error") < 60, `${lines("warn")} warnings`);
  const seconds = (performance.now() - beganAt) / 1000,
    most = FLOW_LINES_BURST + (1000 / FLOW_LINES_REFILL_MS) * seconds;
  // Two lines a guest and one a forward are no lines about flows.
  assert(lines("info") < most + 20, `${lines("info")} lines about flows in ${seconds} s`);
  await server.close();
});
