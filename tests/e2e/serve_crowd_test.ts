/**
 * Crowds at the listeners of `hawser serve`, from outside: what they cost it, and that an honest guest is served beside
 * them.
 *
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { pattern } from "../support/bytes.ts";
import { requires } from "../support/requirements.ts";
import { connectGuest, connectWebSocketGuest, echoServer, exchange } from "../support/stream_guests.ts";
import { BINARY, clientFrame, RawWebSocket } from "../support/websocket_client.ts";
import { shell } from "./run_support.ts";
import { Serve } from "./serve_support.ts";

const needs = requires("linux", "ffi");
const MIB = 1 << 20;

/** Bytes of memory that a process has used at most. */
async function peakMemory(pid: number): Promise<number> {
  return Number(await shell(`awk '/^VmHWM/ { print $2 }' "/proc/$1/status"`, `${pid}`)) * 1024;
}

for (const host of ["ffi", "deno"]) {
  const options = ["--dns", "none", "--host", host, "--log-level", "warn"];

  Deno.test({
    name:
      `hawser serve on ${host} sockets holds 256 KiB a WebSocket whatever its client sends and never ends${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      await using serve = await Serve.start(["--listen", "ws:127.0.0.1:0", ...options]);
      const place = `127.0.0.1:${serve.port}`, clients: RawWebSocket[] = [];
      const server = echoServer();
      // What the first guest costs is the program's.
      {
        await using guest = await connectWebSocketGuest(serve.port, "");
        await exchange(await guest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(MIB));
      }
      const before = await peakMemory(serve.pid), crowd = 60, piece = new Uint8Array(MIB);
      // A message of QEMU's framing may go on for ever. Bare, one is no frame any more beyond 64 KiB.
      for (let i = 0; i < crowd; i++) {
        const client = await RawWebSocket.open(place);
        clients.push(client);
        if (i % 2 === 0) piece.fill(0xff, 0, 64);
        else piece.set([0, 0, 5, 0xdc]);
        const message = clientFrame(BINARY, piece, { isLast: false, length: 1 << 26 });
        // A client that is cut off has what it deserves.
        for (let sent = 0; sent < 4; sent++) await client.send(message).catch(() => {});
      }
      await using guest = await connectWebSocketGuest(serve.port, "");
      await exchange(await guest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(MIB));
      const grown = await peakMemory(serve.pid) - before;
      assertLess(grown, crowd * MIB / 4 + 48 * MIB);
      for (const client of clients) client.close();
      await server.close();
    },
  });

  Deno.test({
    name: `hawser serve on ${host} sockets serves guests beside a thousand connections that say nothing${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      await using serve = await Serve.start([
        ...["--listen", "ws:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0", "--ws-token", "secret", ...options],
      ]);
      const server = echoServer(), [ws, tcp] = serve.addresses.map((address) => Number(address.split(":").at(-1)));
      const crowd: Deno.Conn[] = [];
      try {
        await using honest = await connectGuest(tcp!);
        await exchange(await honest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(1000));
        for (let i = 0; i < 1000; i++) {
          crowd.push(await Deno.connect({ hostname: "127.0.0.1", port: i % 2 ? ws! : tcp! }));
        }
        await exchange(await honest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(1000));
        {
          await using browser = await connectWebSocketGuest(ws!, "?token=secret"), vm = await connectGuest(tcp!);
          for (const guest of [browser, vm]) {
            await exchange(await guest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(1000));
          }
        }
        const descriptors = Number(await shell(`ls "/proc/$1/fd" | wc -l`, `${serve.pid}`));
        assertLess(descriptors, 64 + 64 + 60);
        assert(serve.stderr.includes("are the limit of a listener"), serve.stderr);
      } finally {
        for (const conn of crowd) conn.close();
        await server.close();
      }
    },
  });
}

Deno.test({
  name: `hawser serve takes WebSockets and streams without --allow-net and --allow-write${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    const words = ["--listen", "ws:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0", "--dns", "none", "--log-level", "warn"];
    for (const without of ["--allow-net", "--allow-write"]) {
      await using serve = await Serve.start(words, { without });
      await using guest = await connectWebSocketGuest(serve.port, ""), server = echoServerOf();
      await exchange(await guest.connect({ hostname: "10.0.2.2", port: server.port }), pattern(1000));
      assertEquals(serve.stderr.match(/ (warn|error): /g), null, serve.stderr);
    }
  },
});

function echoServerOf(): ReturnType<typeof echoServer> & AsyncDisposable {
  const server = echoServer();
  return { ...server, [Symbol.asyncDispose]: () => server.close() };
}
