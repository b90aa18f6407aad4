/**
 * A guest that floods beside one that does not: what the honest one notices, at the links of one `hawser serve`.
 *
 * Before turns were shared by time, a connect took a fifth of a second or failed beside SYNs to a refused port, and
 * most of a second beside datagrams from new ports. Figures of speed are in bench/README.md; here the bounds are wide.
 *
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { pattern } from "../support/bytes.ts";
import { requires } from "../support/requirements.ts";
import { connectGuest, echoServer, exchange } from "../support/stream_guests.ts";
import { Serve } from "./serve_support.ts";

const needs = requires("linux", "ffi");
const FLOOD = new URL("../support/flood_guest.ts", import.meta.url).pathname;
const CONNECTS = 25;
/** What half of the connects take at most; the goal on a machine with nothing else to do is 10 ms. */
const MEDIAN_MS = 100;

/** A port on which nobody listens. */
function refusedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Starts a flood, and waits until it flows. */
async function flood(port: number, kind: string, target: number): Promise<AsyncDisposable> {
  const args = ["run", "--no-check", "--allow-net=127.0.0.1", FLOOD, `${port}`, kind, `${target}`];
  const child = new Deno.Command(Deno.execPath(), { args, stdin: "null", stdout: "piped", stderr: "null" }).spawn();
  const reader = child.stdout.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "floods\n");
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}

const KINDS = ["refused", "open", "udp", "dns", "dns-local", "echo", "arp"] as const;

for (const kind of KINDS) {
  Deno.test({
    name: `hawser serve lets a guest connect and carry bytes beside a flood of kind ${kind}${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const server = echoServer(), open = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const silent = await silentServer();
      try {
        const links = ["--listen", "tcp:127.0.0.1:0", "--dns", `127.0.0.1:${silent.port}`, "--log-level", "error"];
        await using serve = await Serve.start(links);
        await using honest = await connectGuest(serve.port);
        const connect = () => honest.connect({ hostname: "10.0.2.2", port: server.port });
        await exchange(await connect(), pattern(1000));
        const isSyn = kind === "refused" || kind === "open";
        await using _flood = await flood(
          serve.port,
          isSyn ? "syn" : kind,
          kind === "open" ? open.addr.port : refusedPort(),
        );
        const times: number[] = [];
        for (let i = 0; i < CONNECTS; i++) {
          const began = performance.now(), conn = await connect();
          times.push(performance.now() - began);
          await exchange(conn, pattern(1000));
        }
        times.sort((a, b) => a - b);
        assertLess(times[CONNECTS >> 1]!, MEDIAN_MS, `${times.map((time) => time.toFixed(1))}`);
        await exchange(await connect(), pattern(2 << 20));
        assert(!serve.stderr.includes("error"), serve.stderr);
      } finally {
        silent.close();
        open.close();
        await server.close();
      }
    },
  });
}

/** A UDP port of loopback that never answers. */
async function silentServer(): Promise<{ port: number; close: () => void }> {
  const { createSocket } = await import("node:dgram");
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", () => resolve()));
  return { port: socket.address().port, close: () => socket.close() };
}
