import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { assertSame, pattern } from "../support/bytes.ts";
import { requires } from "../support/requirements.ts";
import { readAll, writeAll } from "../support/stream_pairs.ts";
import { readOutcome, shell, until } from "./run_support.ts";

const { ignore, reason } = requires("linux", "nc", "socat");
const CLI = decodeURIComponent(new URL("../../cli.ts", import.meta.url).pathname);
/** The permissions that `deno task forward` gives. */
const PERMISSIONS = config.tasks.forward.split(" ").filter((word) => word.startsWith("--"));

/** A `hawser forward` that runs, and whose stderr is read. */
class Running implements AsyncDisposable {
  stderr = "";
  #child: Deno.ChildProcess;
  #reading: Promise<void>;

  constructor(words: readonly string[], around = 'exec "$@"') {
    const command = [Deno.execPath(), "run", "--no-prompt", ...PERMISSIONS, CLI, "forward", ...words];
    this.#child = new Deno.Command("sh", {
      args: ["-c", around, "sh", ...command],
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#reading = this.#read();
  }

  /** Starts one, and waits until it listens. */
  static async start(words: readonly string[], around?: string): Promise<Running> {
    const running = new Running(words, around);
    await until("it listens", () => Promise.resolve(/^listening on .*\n/m.test(running.stderr)));
    return running;
  }

  /** Where it listens, by its own word. */
  get place(): string {
    return /^listening on (.*)$/m.exec(this.stderr)![1]!;
  }

  get port(): number {
    return Number(/:(\d+)$/.exec(this.place)![1]);
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<{ code: number; signal: Deno.Signal | null }> {
    const { code, signal } = await this.#child.status;
    await this.#reading;
    return { code, signal };
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    const reader = this.#child.stderr.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      this.stderr += decoder.decode(part.value);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.ended();
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("deno task forward asks for neither FFI nor a program nor the environment", () => {
  assertEquals(PERMISSIONS, ["--allow-net", "--allow-read", "--allow-write"]);
});

Deno.test({
  name:
    `hawser forward keeps a half-closed connection until the server has said everything, with nc and socat${reason}`,
  ignore,
  fn: async () => {
    const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    // The sorted input can only come once its end has been seen.
    const serving = (async () => {
      const conn = await server.accept(), text = new TextDecoder().decode(await readAll(conn));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await writeAll(conn, new TextEncoder().encode(`${text.trim().split("\n").toSorted().join("\n")}\ndone\n`));
      conn.close();
    })();
    await using running = await Running.start(["127.0.0.1:0", `127.0.0.1:${server.addr.port}`]);
    assertMatch(running.stderr, /^listening on 127\.0\.0\.1:\d+\n$/);
    assertEquals(await shell(`printf 'b\\na\\n' | timeout 10 nc -N 127.0.0.1 ${running.port}`), "a\nb\ndone");
    await serving;
    server.close();
  },
});

Deno.test({
  name: `hawser forward leads from a Unix socket to another, and removes its file at the end${reason}`,
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const server = new Deno.Command("socat", {
        args: ["-t", "10", `UNIX-LISTEN:${folder}/app.sock,fork`, "SYSTEM:sort; sleep 0.3; echo done"],
        stderr: "null",
      }).spawn();
      await until("socat listens", () => exists(`${folder}/app.sock`));
      await using running = await Running.start([`unix:${folder}/door.sock`, `unix:${folder}/app.sock`]);
      assertEquals(running.place, `unix:${folder}/door.sock`);
      assertEquals(await shell(`printf 'b\\na\\n' | timeout 10 nc -N -U ${folder}/door.sock`), "a\nb\ndone");
      assertEquals(
        await shell(`printf 'd\\nc\\n' | timeout 10 socat -t 10 - UNIX-CONNECT:${folder}/door.sock`),
        "c\nd\ndone",
      );
      running.kill("SIGTERM");
      assertEquals(await running.ended(), { code: 0, signal: null });
      assertEquals(await exists(`${folder}/door.sock`), false);
      server.kill("SIGTERM");
      await server.status;
    }),
});

Deno.test({
  name: `hawser forward carries bulk both ways when the server finishes first, over IPv6 too${reason}`,
  ignore: ignore || requires("ipv6").ignore,
  fn: async () => {
    const server = Deno.listen({ hostname: "::1", port: 0 }), bytes = pattern(16 << 20);
    const serving = (async () => {
      const conn = await server.accept();
      await writeAll(conn, bytes);
      await conn.closeWrite();
      assertSame(await readAll(conn), bytes);
      conn.close();
    })();
    await using running = await Running.start(["[::1]:0", `[::1]:${server.addr.port}`]);
    assertMatch(running.place, /^\[::1\]:\d+$/);
    const client = await Deno.connect({ hostname: "::1", port: running.port });
    assertSame(await readAll(client), bytes);
    await writeAll(client, bytes);
    await client.closeWrite();
    await serving;
    client.close();
    server.close();
  },
});

Deno.test({
  name: `hawser forward ends by a signal: at once without connections, by a second one with them${reason}`,
  ignore,
  fn: async () => {
    const server = Deno.listen({ hostname: "127.0.0.1", port: 0 }), target = `127.0.0.1:${server.addr.port}`;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      await using running = await Running.start(["127.0.0.1:0", target]);
      running.kill(signal);
      assertEquals(await running.ended(), { code: 0, signal: null });
    }
    await using running = await Running.start(["--log-level", "info", "127.0.0.1:0", target]);
    const client = await Deno.connect({ hostname: "127.0.0.1", port: running.port }), served = await server.accept();
    running.kill("SIGINT");
    await until(
      "it stops",
      () => Promise.resolve(running.stderr.includes("Stopping: 1 connections may go on for 5 s")),
    );
    await writeAll(client, pattern(10));
    assertEquals(await served.read(new Uint8Array(99)), 10);
    const began = performance.now();
    running.kill("SIGTERM");
    assertEquals(await running.ended(), { code: 0, signal: null });
    assert(performance.now() - began < 3000);
    assertEquals((await readAll(client)).length, 0);
    assertMatch(running.stderr, /^hawser: info: 127\.0\.0\.1:\d+ aborted: 10 bytes to the target, 0 back/m);
    for (const one of [client, served, server]) one.close();
  },
});

Deno.test({
  name: `hawser forward cuts a connection some seconds after the first signal${reason}`,
  ignore,
  fn: async () => {
    const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await using running = await Running.start(["127.0.0.1:0", `127.0.0.1:${server.addr.port}`]);
    const client = await Deno.connect({ hostname: "127.0.0.1", port: running.port }), served = await server.accept();
    const began = performance.now();
    running.kill("SIGTERM");
    assertEquals(await running.ended(), { code: 0, signal: null });
    const took = performance.now() - began;
    assert(took > 4500 && took < 9000, `${took} ms`);
    for (const one of [client, served, server]) one.close();
  },
});

Deno.test({
  name: `hawser forward takes over the socket of one that was killed, and no other file${reason}`,
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const words = [`unix:${folder}/door.sock`, `unix:${folder}/none.sock`];
      const killed = await Running.start(words);
      killed.kill("SIGKILL");
      await killed.ended();
      assert(await exists(`${folder}/door.sock`));
      await using running = await Running.start(words);
      const second = new Running(words);
      assertEquals((await second.ended()).code, 125);
      assertMatch(second.stderr, /^hawser: Cannot listen on unix:\S+\/door\.sock: someone listens there\n$/);
      Deno.writeTextFileSync(`${folder}/precious`, "precious");
      const third = new Running([`unix:${folder}/precious`, words[1]!]);
      assertEquals((await third.ended()).code, 125);
      assertStringIncludes(third.stderr, "there is a file of that name, and it is no socket");
      assertEquals(Deno.readTextFileSync(`${folder}/precious`), "precious");
      running.kill("SIGTERM");
      await running.ended();
    }),
});

Deno.test({
  name: `hawser forward closes clients of a target that is down, with one line${reason}`,
  ignore,
  fn: async () => {
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = free.addr;
    free.close();
    await using running = await Running.start(["127.0.0.1:0", `127.0.0.1:${port}`]);
    for (let i = 0; i < 3; i++) await shell(`timeout 10 nc -N 127.0.0.1 ${running.port} </dev/null`);
    running.kill("SIGTERM");
    await running.ended();
    assertEquals(running.stderr.match(/Cannot connect to/g)?.length, 1);
    assertMatch(running.stderr, /^hawser: warn: Cannot connect to 127\.0\.0\.1:\d+: Connection refused/m);
  },
});

Deno.test({
  name: `hawser forward without descriptors says so and goes on when there are some again${reason}`,
  ignore,
  fn: async () => {
    const server = Deno.listen({ hostname: "127.0.0.1", port: 0 }), kept: Deno.Conn[] = [];
    const accepting = (async () => {
      for await (const conn of server) kept.push(conn);
    })();
    await using running = await Running.start(
      ["127.0.0.1:0", `127.0.0.1:${server.addr.port}`],
      'ulimit -n 64 && exec "$@"',
    );
    const clients: Deno.Conn[] = [];
    for (let i = 0; i < 60; i++) clients.push(await Deno.connect({ hostname: "127.0.0.1", port: running.port }));
    await until("it complains", () => Promise.resolve(/Too many open files/.test(running.stderr)));
    for (const conn of [...clients, ...kept.splice(0)]) conn.close();
    await until("it serves again", async () => {
      const client = await Deno.connect({ hostname: "127.0.0.1", port: running.port });
      await new Promise((resolve) => setTimeout(resolve, 200));
      client.close();
      return kept.length > 0;
    });
    server.close();
    await accepting;
    for (const conn of kept) conn.close();
  },
});

Deno.test("hawser forward with a bad command line is 2, and one that cannot listen is 125", async () => {
  const run = async (...words: string[]) => {
    const args = ["run", "--no-prompt", ...PERMISSIONS, CLI, "forward", ...words];
    return readOutcome(await new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1" } }).output());
  };
  const bad = await run("127.0.0.1", "127.0.0.1:80");
  assertEquals([bad.code, bad.stdout], [2, ""]);
  assertMatch(bad.stderr, /^hawser forward: bad LISTEN 127\.0\.0\.1: it is HOST:PORT[^\n]*\n$/);
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const failed = await run(`127.0.0.1:${taken.addr.port}`, "127.0.0.1:1");
  assertEquals([failed.code, failed.stdout], [125, ""]);
  assertMatch(failed.stderr, /^hawser: Cannot listen on 127\.0\.0\.1:\d+: Address already in use[^\n]*\n$/);
  taken.close();
});
