import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async";
import { requires } from "../support/requirements.ts";
import { hawser, OrdinaryUser, shell } from "./run_support.ts";

const SIZES = [0, 1, 1 << 20, 64 << 20];
/** An option of nc, the gateway, the host's address behind it, and how many bytes. */
const HALF_CLOSES = [
  ["-4", "10.0.2.2", "127.0.0.1", SIZES],
  ["-6", "fd00::2", "::1", [0, 64 << 20]],
] as const;
const curl = requires("linux", "root", "tun", "unshare", "ip", "curl");
const nc = requires("linux", "root", "tun", "unshare", "ip", "nc");
const socat = requires("linux", "root", "tun", "unshare", "ip", "socat");
const iperf3 = requires("linux", "root", "tun", "unshare", "ip", "iperf3");

/** Bytes whose order shows. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31) ^ (i >> 11);
  return bytes;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at, at + 1_000_000));
}

async function countToEnd(conn: Deno.Conn): Promise<number> {
  const buffer = new Uint8Array(65536);
  let total = 0;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) total += n;
  return total;
}

/** Runs `body` beside a server on loopback that gives each connection to `serve`. */
async function beside(
  serve: (conn: Deno.TcpConn) => Promise<void>,
  body: (port: number) => Promise<void>,
  hostname = "127.0.0.1",
): Promise<void> {
  const listener = Deno.listen({ hostname, port: 0 }), served: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const conn of listener) served.push(serve(conn).finally(() => conn.close()));
  })();
  try {
    await body(listener.addr.port);
  } finally {
    listener.close();
    await accepting;
    await Promise.all(served);
  }
}

for (const flags of [[], ["--no-offload", "-m", "1500"], ["--host", "deno"]]) {
  Deno.test({
    name: `hawser run ${flags.join(" ")} carries downloads and uploads byte by byte${curl.reason}`,
    ignore: curl.ignore,
    fn: async () => {
      const bodies = new Map(SIZES.map((size) => [`/${size}`, pattern(size)]));
      const digests: string[] = [];
      const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
        if (request.method === "PUT") digests.push(await sha256(new Uint8Array(await request.arrayBuffer())));
        return new Response(request.method === "PUT" ? "" : bodies.get(new URL(request.url).pathname)!);
      });
      try {
        const url = `http://10.0.2.2:${server.addr.port}`;
        for (const size of SIZES) {
          const digest = await sha256(bodies.get(`/${size}`)!);
          const down = await hawser(["run", ...flags, "--", "sh", "-c", `curl -sS ${url}/${size} | sha256sum`]);
          assertEquals(down.stdout.slice(0, 64), digest, `${size} bytes down: ${down.stderr}`);
          const up = await hawser([
            "run",
            ...flags,
            "--",
            "sh",
            "-c",
            `curl -sS ${url}/${size} | curl -sS -T - ${url}/up`,
          ]);
          assertEquals([up.code, digests.pop()], [0, digest], `${size} bytes up: ${up.stderr}`);
        }
      } finally {
        await server.shutdown();
      }
    },
  });
}

Deno.test({
  name: `hawser run as an ordinary user carries 64 MiB byte by byte${curl.reason}`,
  ignore: curl.ignore,
  fn: async () => {
    await using user = await OrdinaryUser.create();
    const body = pattern(64 << 20);
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response(body));
    try {
      const script = `cat /proc/self/uid_map; curl -sS http://10.0.2.2:${server.addr.port}/ | sha256sum`;
      const { stdout, stderr } = await user.hawser(["run", "--", "sh", "-c", script]);
      assertEquals(stdout.trim().split(/\s+/).slice(0, 4), ["0", `${user.id}`, "1", await sha256(body)], stderr);
    } finally {
      await server.shutdown();
    }
  },
});

for (const [nc6, gateway, hostname, sizes] of HALF_CLOSES) {
  Deno.test({
    name: `hawser run carries the whole answer that begins after the guest's FIN, to ${gateway}${nc.reason}`,
    ignore: nc.ignore,
    fn: async () => {
      for (const size of sizes) {
        const answer = pattern(size);
        await beside(async (conn) => {
          assertEquals(await countToEnd(conn), 1);
          await writeAll(conn, answer);
          await conn.closeWrite();
        }, async (port) => {
          const client = `printf x | nc ${nc6} -N ${gateway} ${port} | sha256sum`;
          const { stdout } = await hawser(["run", "--", "sh", "-c", client]);
          assertEquals(stdout.slice(0, 64), await sha256(answer), `${size} bytes`);
        }, hostname);
      }
    },
  });

  Deno.test({
    name: `hawser run carries what the guest says after the host's FIN, to ${gateway}${nc.reason}`,
    ignore: nc.ignore,
    fn: async () => {
      for (const size of sizes) {
        let received = -1;
        await beside(async (conn) => {
          await writeAll(conn, new Uint8Array([120]));
          await conn.closeWrite();
          received = await countToEnd(conn);
        }, async (port) => {
          const client = `(sleep 0.2; head -c ${size} /dev/zero) | nc ${nc6} -N ${gateway} ${port} | wc -c`;
          const { stdout } = await hawser(["run", "--", "sh", "-c", client]);
          assertEquals(stdout.trim(), "1");
        }, hostname);
        assertEquals(received, size);
      }
    },
  });
}

for (const host of ["ffi", "deno"]) {
  Deno.test({
    name: `hawser run --host ${host} waits for a slow host after a command that has said all and ended${socat.reason}`,
    ignore: socat.ignore,
    fn: async () => {
      const size = 8 << 20;
      let received = -1;
      await beside(async (conn) => {
        await delay(2500);
        received = await countToEnd(conn);
      }, async (port) => {
        const client = `head -c ${size} /dev/zero | socat -u STDIN TCP:10.0.2.2:${port}`;
        assertEquals((await hawser(["run", "--host", host, "--dns", "none", "--", "sh", "-c", client])).code, 0);
      });
      assertEquals(received, size);
    },
  });
}

Deno.test({
  name: `hawser run refuses what the host refuses, follows maps and keeps to --no-host-loopback${nc.reason}`,
  ignore: nc.ignore,
  fn: async () => {
    await beside(async (conn) => void await writeAll(conn, new Uint8Array([79, 75])), async (port) => {
      const nc = (address: string, to: number) => `nc -w 5 ${address} ${to} </dev/null; echo " $?"`;
      const open = await hawser(["run", "--map", "10.0.2.9=127.0.0.1", "sh", "-c", nc("10.0.2.9", port)]);
      assertEquals(open.stdout, "OK 0\n");
      const refused = await hawser(["run", "sh", "-c", nc("10.0.2.2", 1)]);
      assertEquals(refused.stdout, " 1\n");
      const began = performance.now();
      const forbidden = await hawser(["run", "--no-host-loopback", "sh", "-c", nc("10.0.2.2", port)]);
      assertEquals(forbidden.stdout, " 1\n");
      assert(performance.now() - began < 4000);
    });
  },
});

for (const flags of [["-m", "65520"], ["-m", "1500"], ["-m", "1500", "--no-offload"]]) {
  Deno.test({
    name: `hawser run ${
      flags.join(" ")
    } carries iperf3 both ways, 1 and 8 streams, over both families, without a stall${iperf3.reason}`,
    ignore: iperf3.ignore,
    fn: async () => {
      const free = Deno.listen({ hostname: "127.0.0.1", port: 0 }), port = free.addr.port;
      free.close();
      const server = new Deno.Command("iperf3", { args: ["-s", "-p", `${port}`, "-B", "127.0.0.1"], stdout: "null" })
        .spawn();
      try {
        await shell(`for i in 1 2 3 4 5 6 7 8 9; do ss -ltn | grep -q ":${port} " && exit; sleep 0.1; done; exit 1`);
        // The server may still be busy with the end of the run before.
        const client =
          `for way in "10.0.2.2" "10.0.2.2 -R" "10.0.2.2 -P 8" "10.0.2.2 -P 8 -R" "fd00::2 -6" "fd00::2 -6 -R"; do
            once() { iperf3 -p ${port} -t 1 -i 0.5 -f m -c $way; }
            once || { sleep 1; once; } || exit
          done`;
        const { code, stdout } = await hawser(["run", ...flags, "--", "sh", "-c", client]);
        assertEquals(code, 0, stdout);
        const speeds = [...stdout.matchAll(/(\d+(?:\.\d+)?) Mbits\/sec.*receiver/g)].map((match) => Number(match[1]));
        assert(speeds.length >= 6 && speeds.every((speed) => speed > 1), stdout);
      } finally {
        server.kill();
        await server.status;
      }
    },
  });
}
