import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createSocket } from "node:dgram";
import { requires } from "../support/requirements.ts";
import { hawser, type HawserOptions, OrdinaryUser, shell, startHawser, until } from "./run_support.ts";

const NEEDS = ["linux", "root", "tun", "unshare", "ip"];
const run = requires(...NEEDS);
const curl = requires(...NEEDS, "curl");
const nc = requires(...NEEDS, "nc");
const SERVER = decodeURIComponent(new URL("./guest_server.ts", import.meta.url).pathname);

/** `hawser run` with the servers of `guest_server.ts` in its namespace. */
class ServingGuest implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>[];
  stdout = "";
  stderr = "";

  private constructor(words: string[], options: HawserOptions) {
    const server = [Deno.execPath(), "run", "--no-prompt", "--no-check", "--allow-net", SERVER];
    this.#child = startHawser(["run", ...words, "--", ...server], options);
    const keep = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>, take: (text: string) => void) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
    };
    this.#reading = [
      keep(this.#child.stdout, (text) => this.stdout += text),
      keep(this.#child.stderr, (text) => this.stderr += text),
    ];
  }

  static async start(words: string[], options: HawserOptions = {}): Promise<ServingGuest> {
    const guest = new ServingGuest(words, options);
    try {
      await until("the guest's servers are there", () => Promise.resolve(guest.stdout.includes("ready")), 20_000);
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw new Error(`${error}: ${guest.stderr}`);
    }
    return guest;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The host port that leads to this port of the guest. */
  port(protocol: "tcp" | "udp", guestPort: number): number {
    const match = new RegExp(`^forwarding ${protocol} \\S+:(\\d+) -> ${guestPort}$`, "m").exec(this.stderr);
    assert(match !== null, this.stderr);
    return Number(match[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await Promise.all(this.#reading);
  }
}

async function descriptorCount(pid: number): Promise<number> {
  return Number(await shell(`ls /proc/$1/fd | wc -l`, `${pid}`));
}

/** Resident memory in MiB. */
async function residentMiB(pid: number): Promise<number> {
  return Number(await shell(`awk '/^VmRSS/ { print $2 }' /proc/$1/status`, `${pid}`)) / 1024;
}

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

async function readText(conn: Deno.TcpConn): Promise<string> {
  const buffer = new Uint8Array(4096);
  let text = "";
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    text += new TextDecoder().decode(buffer.subarray(0, n));
  }
  return text;
}

for (const host of ["ffi", "deno"]) {
  const flags = ["--host", host, "--log-level", "error", "-t", "0:80,0:81,0:82", "-u", "0:53"];

  Deno.test({
    name: `hawser run --host ${host} -t forwards HTTP to a server in the guest, told in a line a port${curl.reason}`,
    ignore: curl.ignore,
    fn: async () => {
      await using guest = await ServingGuest.start([...flags, "-t", "[::1]/0:80"]);
      assertMatch(
        guest.stderr,
        /^(forwarding (tcp|udp) (127\.0\.0\.1|\[::1\]):\d+ -> \d+\n){5}$/,
      );
      const port = guest.port("tcp", 80);
      for (const size of [0, 1, 1 << 20, 64 << 20]) {
        assertEquals(await shell(`curl -sS http://127.0.0.1:${port}/${size} | wc -c`), `${size}`);
      }
      assertEquals(await shell(`curl -sS http://127.0.0.1:${port}/peer`), "10.0.2.2");
      const six = /\[::1\]:(\d+) -> 80/.exec(guest.stderr)![1]!;
      assertEquals(await shell(`curl -sS "http://[::1]:${six}/peer"`), "10.0.2.2");
    },
  });

  Deno.test({
    name: `hawser run --host ${host} -t carries both orders of closing between nc and the guest${nc.reason}`,
    ignore: nc.ignore,
    fn: async () => {
      await using guest = await ServingGuest.start(flags);
      // The client says all it has, then FIN; the answer begins later.
      const asked = await shell(`head -c 3000000 /dev/zero | nc -N 127.0.0.1 ${guest.port("tcp", 81)}`);
      assertEquals(asked, "got 3000000");
      // The guest ends first; the client goes on.
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: guest.port("tcp", 82) });
      assertEquals(await readText(conn), "hello\n");
      await writeAll(conn, new Uint8Array(3_000_000));
      await conn.closeWrite();
      await until("the guest has all", () => Promise.resolve(guest.stdout.includes("received 3000000")));
      conn.close();
    },
  });

  Deno.test({
    name:
      `hawser run --host ${host} -t serves 1000 connections, 50 at once, and has its descriptors back and its memory${run.reason}`,
    ignore: run.ignore,
    fn: async () => {
      await using guest = await ServingGuest.start(flags);
      const port = guest.port("tcp", 81);
      const ask = async (size: number) => {
        const conn = await Deno.connect({ hostname: "127.0.0.1", port });
        await writeAll(conn, new Uint8Array(size));
        await conn.closeWrite();
        assertEquals(await readText(conn), `got ${size}\n`);
        conn.close();
      };
      const askAll = async (connections: number) => {
        let next = 0;
        await Promise.all(Array.from({ length: 50 }, async () => {
          while (next < connections) await ask(next++ * 13);
        }));
      };
      await ask(1);
      const descriptors = await descriptorCount(guest.pid);
      // What the first connections compile and make the heap grow to is no leak.
      await askAll(1000);
      const resident = await residentMiB(guest.pid);
      await askAll(1000);
      await until("the descriptors are closed", async () => await descriptorCount(guest.pid) <= descriptors);
      const grown = await residentMiB(guest.pid) - resident;
      console.log(`${host}: ${resident.toFixed(0)} MiB resident, ${grown.toFixed(1)} MiB more after 1000 connections`);
      // A buffer of 64 KiB each, kept, would be twice as much.
      assert(grown < 32, `${grown} MiB more`);
    },
  });

  Deno.test({
    name: `hawser run --host ${host} -u carries datagrams of 1 to 60000 bytes there and back${run.reason}`,
    ignore: run.ignore,
    fn: async () => {
      await using guest = await ServingGuest.start(flags);
      const client = createSocket("udp4"), got: Uint8Array[] = [];
      client.on("message", (bytes) => void got.push(new Uint8Array(bytes)));
      for (const size of [1, 1400, 9000, 60000]) {
        const bytes = new Uint8Array(size).map((_, i) => i * 7 + (i >> 8));
        client.send(bytes, guest.port("udp", 53), "127.0.0.1");
        await until(`${size} bytes are back`, () => Promise.resolve(got.length > 0));
        assertEquals(got.splice(0), [bytes]);
      }
      await new Promise<void>((resolve) => client.close(() => resolve()));
    },
  });

  Deno.test({
    name: `hawser run --host ${host} says which port is in use and starts nothing${run.reason}`,
    ignore: run.ignore,
    fn: async () => {
      const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = taken.addr;
      const words = ["run", "--host", host, "-t", `0:80,${port}:80`, "--", "echo", "started"];
      const { code, stdout, stderr } = await hawser(words);
      taken.close();
      assertEquals([code, stdout], [125, ""]);
      assertEquals(
        stderr,
        `hawser run: cannot start the gateway: cannot forward tcp 127.0.0.1:${port} -> 80: port ${port} of 127.0.0.1 is in use already\n`,
      );
    },
  });
}

Deno.test({
  name: `hawser run -t turns a client away at once whom the guest refuses${nc.reason}`,
  ignore: nc.ignore,
  fn: async () => {
    await using guest = await ServingGuest.start(["-t", "0:80,0:99"]);
    const began = performance.now();
    const lookAtEnd = async () => {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: guest.port("tcp", 99) });
      try {
        return await conn.read(new Uint8Array(1));
      } finally {
        conn.close();
      }
    };
    const error = await lookAtEnd().then(() => null, (error) => error);
    assert(error instanceof Deno.errors.ConnectionReset, `${error}`);
    assert(performance.now() - began < 1000);
  },
});

Deno.test({
  name: `hawser run -t tells an ordinary user that a low port is not his${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    for (const host of ["ffi", "deno"]) {
      const { code, stdout, stderr } = await user.hawser(["run", "--host", host, "-t", "80", "--", "echo", "started"]);
      assertEquals([code, stdout], [125, ""], stderr);
      assertStringIncludes(stderr, "cannot forward tcp 127.0.0.1:80 -> 80: port 80 is for privileged users alone here");
    }
    const { code, stdout, stderr } = await user.hawser(["run", "-t", "0:80", "--", "echo", "started"]);
    assertEquals([code, stdout], [0, "started\n"], stderr);
    assertMatch(stderr, /^forwarding tcp 127\.0\.0\.1:\d+ -> 80\n$/);
  },
});

Deno.test({
  name: `hawser run -t answers a SPEC that makes no sense with one line and code 2${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    const { code, stdout, stderr } = await hawser(["run", "-t", "8080:http", "--", "echo", "started"]);
    assertEquals([code, stdout], [2, ""]);
    assertEquals(
      stderr,
      'hawser run: bad --tcp-ports 8080:http: "http" is no port of the guest, write 80, 9000-9009, 10.0.2.20/80 or [fd00::20]/80\n',
    );
  },
});

Deno.test({
  name: `hawser run -t shows the guest the address of a client from elsewhere${curl.reason}`,
  ignore: curl.ignore,
  fn: async () => {
    // Hawser and the client are in two namespaces, at the ends of a veth pair.
    const [near, far] = [`hawser-near-${Deno.pid}`, `hawser-far-${Deno.pid}`];
    await shell(`ip netns add ${near} && ip netns add ${far} &&
      ip -n ${near} link add eth0 type veth peer name eth0 netns ${far} &&
      ip -n ${near} addr add 192.0.2.1/24 dev eth0 && ip -n ${far} addr add 192.0.2.2/24 dev eth0 &&
      ip -n ${near} link set lo up && ip -n ${near} link set eth0 up && ip -n ${far} link set eth0 up`);
    try {
      for (const host of ["ffi", "deno"]) {
        const around = `exec ip netns exec ${near} "$@"`;
        await using guest = await ServingGuest.start(["--host", host, "-t", "192.0.2.1/0:80"], { around });
        const url = `http://192.0.2.1:${guest.port("tcp", 80)}/peer`;
        assertEquals(await shell(`ip netns exec ${far} curl -sS -m 5 ${url}`), "192.0.2.2");
      }
    } finally {
      await shell(`ip netns del ${near}; ip netns del ${far}`);
    }
  },
});
