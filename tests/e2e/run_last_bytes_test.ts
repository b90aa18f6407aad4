import { assert, assertEquals, assertLess } from "@std/assert";
import { createSocket } from "node:dgram";
import { type Outcome, readOutcome, startHawser, until } from "./run_support.ts";
import { requires } from "../support/requirements.ts";

const { ignore, reason } = requires("linux", "root", "tun", "unshare", "ip");
const GUEST = new URL("./last_bytes_guest.ts", import.meta.url).pathname;

/** The words that have `run` run the guest. */
function guest(options: readonly string[], ...words: (string | number)[]): string[] {
  const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-config", "--allow-net", "--allow-write", GUEST];
  return ["run", "-D", "none", ...options, "--", ...deno, ...words.map(String)];
}

/** A `run` under way. */
class Run {
  readonly child: Deno.ChildProcess;
  readonly #text = { stdout: "", stderr: "" };
  readonly #read: Promise<unknown>;

  constructor(words: readonly string[]) {
    this.child = startHawser(words, { env: { DENO_DIR: Deno.env.get("DENO_DIR") ?? "" } });
    this.#read = Promise.all([this.#hear("stdout"), this.#hear("stderr")]);
  }

  async #hear(which: "stdout" | "stderr"): Promise<void> {
    for await (const text of this.child[which].pipeThrough(new TextDecoderStream())) this.#text[which] += text;
  }

  get stderr(): string {
    return this.#text.stderr;
  }

  /** Waits until the command has said that it ends: how many bytes it has sent, where it counts them. */
  async ended(): Promise<number> {
    const said = () => /^ended (\d+)\n/m.exec(this.#text.stdout);
    await until("the command ends", () => Promise.resolve(said() !== null), 60_000);
    return Number(said()![1]);
  }

  /** How it ended. */
  async outcome(): Promise<Outcome> {
    const status = await this.child.status;
    await this.#read;
    const bytes = new TextEncoder();
    return readOutcome({
      ...status,
      stdout: bytes.encode(this.#text.stdout),
      stderr: bytes.encode(this.#text.stderr),
    } as Deno.CommandOutput);
  }
}

/** Takes connections, reads each to its end and notes how many bytes that were, or the error. */
class Server implements AsyncDisposable {
  readonly got: (number | string)[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #begin: Promise<unknown>;
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #taking: Promise<void>;

  /** Reads when `begin` has resolved. */
  constructor(begin: Promise<unknown> = Promise.resolve()) {
    this.#begin = begin;
    this.#taking = this.#take();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #take(): Promise<void> {
    const reading: Promise<void>[] = [];
    for await (const conn of this.#listener) reading.push(this.#readToEnd(conn));
    await Promise.all(reading);
  }

  async #readToEnd(conn: Deno.TcpConn): Promise<void> {
    this.#conns.add(conn);
    await this.#begin;
    const buffer = new Uint8Array(65536);
    let length = 0;
    try {
      for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) length += n;
      this.got.push(length);
    } catch (error) {
      this.got.push(`${length} ${(error as Error).name}`);
    }
    conn.close();
  }

  /** Waits for so many connections to end. */
  async all(count: number): Promise<void> {
    await until(`${count} have come`, () => Promise.resolve(this.got.length >= count), 60_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#taking;
  }
}

const HOSTS = [[], ["--host", "deno"]];
const NETWORKS = [[], ["--impair", "delay=40ms"], ["--impair", "loss=2%,seed=3"], ["--impair", "rate=20mbit"]];

for (const host of HOSTS) {
  for (const network of NETWORKS) {
    const options = [...host, ...network], name = options.join(" ");
    Deno.test({
      name:
        `hawser run ${name} delivers what a hundred connections were given that the command closed by ending${reason}`,
      ignore,
      fn: async () => {
        await using server = new Server();
        const outcome = await new Run(guest(options, "many", server.port, 100)).outcome();
        assertEquals([outcome.code, outcome.stderr], [0, ""]);
        await server.all(100);
        assertEquals(server.got.filter((length) => length !== 100), []);
      },
    });
  }

  for (const network of [[], ["--impair", "delay=40ms"]]) {
    const options = [...host, ...network], name = options.join(" ");
    Deno.test({
      name: `hawser run ${name} sends every datagram of a command that ends at once${reason}`,
      ignore,
      fn: async () => {
        let got = 0;
        const socket = createSocket("udp4");
        socket.on("message", () => got++);
        await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
        const outcome = await new Run(guest(options, "datagrams", socket.address().port, 100)).outcome();
        assertEquals([outcome.code, outcome.stderr], [0, ""]);
        await until("100 have come", () => Promise.resolve(got >= 100), 20_000);
        await new Promise<void>((resolve) => socket.close(() => resolve()));
      },
    });
  }

  Deno.test({
    name: `hawser run ${host.join(" ")} waits for a host that begins to read after the command has ended${reason}`,
    ignore,
    fn: async () => {
      const begin = Promise.withResolvers<void>();
      await using server = new Server(begin.promise);
      const run = new Run(guest(host, "fill", server.port));
      const sent = await run.ended();
      // Long enough for a `run` that does not wait to be gone.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      begin.resolve();
      const outcome = await run.outcome();
      await server.all(1);
      assertEquals([server.got, outcome.code, outcome.stderr], [[sent], 0, ""]);
    },
  });
}

Deno.test({
  name: `hawser run delivers what a server behind a forward has said and closed by ending${reason}`,
  ignore,
  fn: async () => {
    const file = await Deno.makeTempFile();
    await Deno.remove(file);
    const run = new Run(guest(["-t", "0:80"], "answer", 80, 3_000_000, file));
    await until("the server listens", () => Deno.stat(file).then(() => true, () => false), 60_000);
    const port = Number(/^forwarding tcp 127\.0\.0\.1:(\d+) -> 80$/m.exec(run.stderr)![1]);
    using conn = await Deno.connect({ hostname: "127.0.0.1", port });
    await conn.write(new Uint8Array(5));
    await run.ended();
    const buffer = new Uint8Array(65536);
    let length = 0;
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) length += n;
    assertEquals([length, (await run.outcome()).code], [3_000_000, 0]);
    await Deno.remove(file);
  },
});

Deno.test({
  name: `hawser run ends what the command left before it waits, and delivers what that had sent${reason}`,
  ignore,
  fn: async () => {
    const file = await Deno.makeTempFile();
    await Deno.remove(file);
    await using server = new Server();
    const [command, ...words] = guest([], "hold", server.port, 5000, file).slice(4);
    const script = `"$@" >/dev/null & while [ ! -e "$0" ]; do sleep 0.05; done`;
    const began = performance.now();
    const outcome = await new Run(["run", "-D", "none", "sh", "-c", script, file, command!, ...words]).outcome();
    await server.all(1);
    assertEquals([server.got, outcome.code, outcome.stderr], [[5000], 0, ""]);
    // Not after the minute that is given to what does not move.
    assertLess(performance.now() - began, 45_000);
    await Deno.remove(file);
  },
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `hawser run that waits for a host that takes nothing ends at once by ${signal}${reason}`,
    ignore,
    fn: async () => {
      const begin = Promise.withResolvers<void>();
      await using server = new Server(begin.promise);
      const run = new Run(guest([], "fill", server.port));
      const sent = await run.ended();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      run.child.kill(signal);
      const outcome = await run.outcome();
      assertEquals(outcome.signal, signal);
      begin.resolve();
      await server.all(1);
      assert(server.got[0] !== sent, "nothing was left to wait for");
    },
  });
}
