/**
 * `hawser serve` under a small limit of open files, from outside: it runs out of descriptors, says so, goes on, and
 * recovers.
 *
 * @module
 */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import type { GuestConn, GuestStack } from "../../guest/mod.ts";
import { pattern } from "../support/bytes.ts";
import { requires } from "../support/requirements.ts";
import { connectGuest, connectWebSocketGuest, echoServer, exchange } from "../support/stream_guests.ts";
import { shell, until } from "./run_support.ts";
import { Serve } from "./serve_support.ts";

const needs = requires("linux", "ffi");
const LIMIT = 120;

/** Processor time in seconds that a process has used. */
async function processorTime(pid: number): Promise<number> {
  const fields = (await shell(`cat "/proc/$1/stat"`, `${pid}`)).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Opens connections to `port` until one is refused. */
async function openAll(guest: GuestStack, port: number): Promise<GuestConn[]> {
  const conns: GuestConn[] = [];
  for (let i = 0; i < 2 * LIMIT; i++) {
    try {
      conns.push(await guest.connect({ hostname: "10.0.2.2", port }));
    } catch {
      return conns;
    }
  }
  throw new Error(`Opened ${conns.length} connections with ${LIMIT} descriptors`);
}

for (const host of ["ffi", "deno"]) {
  Deno.test({
    name: `hawser serve on ${host} sockets survives being out of descriptors, says so, and recovers${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const links = ["--listen", "tcp:127.0.0.1:0", "--listen", "ws:127.0.0.1:0"];
      await using serve = await Serve.start(
        [...links, "-t", "127.0.0.1/0:7000", "--dns", "none", "--host", host, "--log-level", "warn"],
        { around: `ulimit -n ${LIMIT} && exec "$@"` },
      );
      const server = echoServer(), port = server.port;
      const [tcp, ws] = serve.addresses.map((address) => Number(address.split(":").at(-1)));
      const forward = Number(/forwarding tcp 127\.0\.0\.1:(\d+)/.exec(serve.stderr)![1]);
      const clients: Deno.Conn[] = [];
      try {
        await using guest = await connectGuest(tcp!);
        guest.listen(7000);
        const first = await guest.connect({ hostname: "10.0.2.2", port });
        const conns = await openAll(guest, port);
        assertGreater(conns.length, 20);
        // Datagrams from ports of their own want a socket each, as clients at every door want one.
        for (let i = 0; i < 20; i++) {
          using socket = guest.openUdp(0);
          await socket.send(pattern(10), { hostname: "10.0.2.2", port });
        }
        for (const door of [tcp!, ws!, forward]) {
          for (let i = 0; i < 5; i++) {
            // One that is reset at once may not even see that it was connected.
            await Deno.connect({ hostname: "127.0.0.1", port: door }).then((conn) => clients.push(conn), () => {});
          }
        }
        await serve.says("it has run out of descriptors", (text) => / warn: .*descriptor/.test(text));
        const before = await processorTime(serve.pid);
        await new Promise((resolve) => setTimeout(resolve, 2000));
        assertLess(await processorTime(serve.pid) - before, 1);
        // Who is in goes on.
        await exchange(first, pattern(100_000));
        serve.kill("SIGPWR");
        await serve.says("what it counted", (text) => /hostExhausted +[1-9]/.test(text));
        for (const conn of conns) await conn[Symbol.asyncDispose]();
        for (const client of clients.splice(0)) client.close();
        await until("a guest connects again", async () => {
          try {
            await using another = await connectWebSocketGuest(ws!, "");
            await exchange(await another.connect({ hostname: "10.0.2.2", port }), pattern(1000));
            return true;
          } catch {
            return false;
          }
        }, 20_000);
        await using another = await connectGuest(tcp!);
        await exchange(await another.connect({ hostname: "10.0.2.2", port }), pattern(1000));
      } finally {
        for (const client of clients) client.close();
        await server.close();
      }
      serve.kill("SIGTERM");
      const { code, stderr } = await serve.ended();
      assertEquals(code, 0, stderr);
      assertEquals(stderr.match(/ error: |Uncaught|panicked/g), null, stderr);
      assertLess(stderr.match(/ warn: /g)!.length, 60);
    },
  });
}
