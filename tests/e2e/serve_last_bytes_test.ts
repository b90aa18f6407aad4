import { assert, assertEquals, assertLess } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { connectGuest } from "../support/stream_guests.ts";
import { Serve } from "./serve_support.ts";

const needs = requires("linux", "ffi");
const PIECE = 65536;
/** More than the host's kernel and the gateway take for a host that does not read. */
const LENGTH = 12 << 20;

type Reader = { read(into: Uint8Array): Promise<number | null> };

async function readSome(from: Reader, least: number): Promise<number> {
  const buffer = new Uint8Array(PIECE);
  let length = 0;
  for (let n: number | null = 0; n !== null && length < least; length += n ?? 0) n = await from.read(buffer);
  return length;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until the flow table has a line that fits. */
async function flowIs(serve: Serve, line: RegExp): Promise<void> {
  await serve.says(`a flow is ${line}`, (text) => line.test(text), () => serve.kill("SIGPWR"));
}

for (const host of ["ffi", "deno"]) {
  const options = ["--listen", "tcp:127.0.0.1:0", "--dns", "none", "--host", host];

  Deno.test({
    name:
      `hawser serve on ${host} sockets that is told to end gives a slow host what a guest has sent and finished${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const serve = await Serve.start(options);
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      await using guest = await connectGuest(serve.port);
      const conn = await guest.connect({ hostname: "10.0.2.2", port: listener.addr.port });
      using peer = await listener.accept();
      const sending = (async () => {
        for (let left = LENGTH; left > 0;) left -= await conn.write(new Uint8Array(Math.min(left, PIECE)));
        conn.closeWrite();
      })();
      // The host reads until its gateway has all that the guest says, and much of it still waits.
      let got = 0;
      while (!/CLOSE-WAIT/.test(serve.stderr)) {
        got += await readSome(peer, 2 * PIECE);
        serve.kill("SIGPWR");
        await pause(20);
      }
      await sending;
      serve.kill("SIGTERM");
      await pause(500);
      got += await readSome(peer, Infinity);
      const { code, stderr } = await serve.ended();
      assertEquals([got, code, stderr.match(/ warn: .*/g)], [LENGTH, 0, null]);
    },
  });

  Deno.test({
    name:
      `hawser serve on ${host} sockets that is told to end gives a guest what the host has sent and finished${needs.reason}`,
    ignore: needs.ignore,
    fn: async () => {
      const serve = await Serve.start([...options, "--impair", "delay=300ms"]);
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      await using guest = await connectGuest(serve.port);
      const [conn, peer] = await Promise.all([
        guest.connect({ hostname: "10.0.2.2", port: listener.addr.port }),
        listener.accept(),
      ]);
      for (let left = 100_000; left > 0;) left -= await peer.write(new Uint8Array(left));
      peer.close();
      await flowIs(serve, /FIN-WAIT-1/);
      serve.kill("SIGTERM");
      assertEquals(await readSome(conn, Infinity), 100_000);
      const { code, stderr } = await serve.ended();
      assertEquals([code, stderr.match(/ warn: .*/g)], [0, null]);
    },
  });
}

Deno.test({
  name: `hawser serve that is told to end does not wait for what has not finished${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serve = await Serve.start(["--listen", "tcp:127.0.0.1:0", "--dns", "none"]);
    await using guest = await connectGuest(serve.port);
    const idle = await guest.connect({ hostname: "10.0.2.2", port: listener.addr.port });
    using _peer = await listener.accept();
    await idle.write(new Uint8Array(10));
    const began = performance.now();
    serve.kill("SIGTERM");
    assertEquals((await serve.ended()).code, 0);
    assertLess(performance.now() - began, 8000);
    assert(await idle.read(new Uint8Array(1)).then((count) => count === null, () => true));
  },
});
