/**
 * Guests that have IPv6 alone, on each kind of link that is no TAP: what they carry is the same on all of them, and
 * with either kind of host sockets.
 */
import { assertEquals } from "@std/assert";
import { createSocket } from "node:dgram";
import { GuestStack } from "../../guest/mod.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { pattern } from "../support/bytes.ts";
import { UnixDatagramLink } from "../support/libkrun_device.ts";
import { requires } from "../support/requirements.ts";
import { connectGuest, connectWebSocketGuest, echoServer, exchange } from "../support/stream_guests.ts";
import { Serve } from "./serve_support.ts";

const { ignore, reason } = requires("linux", "ffi", "ipv6");

interface Kind {
  readonly name: string;
  readonly address6: string;
  readonly listen: (folder: string) => string;
  readonly connect: (at: { folder: string; port: number; loop: EventLoop }, address6: string) => Promise<GuestStack>;
}

const KINDS: readonly Kind[] = [
  {
    name: "a stream",
    address6: "fd00::21",
    listen: () => "tcp:127.0.0.1:0",
    connect: ({ port }, address6) => connectGuest(port, { address: null, address6 }),
  },
  {
    name: "a WebSocket",
    address6: "fd00::22",
    listen: () => "ws:127.0.0.1:0",
    connect: ({ port }, address6) => connectWebSocketGuest(port, "", { address: null, address6 }),
  },
  {
    name: "datagrams",
    address6: "fd00::23",
    listen: (folder) => `unixgram:${folder}/net.sock`,
    connect: ({ folder, loop }, address6) => {
      const link = new UnixDatagramLink(loop, `${folder}/vm.sock`, `${folder}/net.sock`);
      return Promise.resolve(new GuestStack(link, { address: null, address6 }));
    },
  },
];

/** A server on ::1 that returns every datagram. */
async function udpEcho(): Promise<{ port: number } & AsyncDisposable> {
  const socket = createSocket("udp6");
  socket.on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
  await new Promise<void>((resolve) => socket.bind(0, "::1", resolve));
  return {
    port: socket.address().port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  };
}

/** Datagrams may be lost, so it is sent until it comes back. */
async function exchangeDatagram(guest: GuestStack, port: number): Promise<void> {
  using socket = guest.openUdp(5353);
  const bytes = pattern(1300), send = () => void socket.send(bytes, { hostname: "fd00::2", port });
  send();
  const again = setInterval(send, 1000);
  const [back, from] = await socket.receive();
  clearInterval(again);
  assertEquals([back, from], [bytes, { transport: "udp", hostname: "fd00::2", port }]);
}

/** A client of the host says all it has to say, and then hears the guest's answer. */
async function serveClient(guest: GuestStack, port: number): Promise<void> {
  const listener = guest.listen(80), question = pattern(100_000);
  const served = (async () => {
    const conn = await listener.accept(), buffer = new Uint8Array(65536);
    let count = 0;
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) count += n;
    await conn.write(new TextEncoder().encode(`${count} from ${conn.remoteAddr.hostname}`));
    conn.close();
  })();
  using client = await Deno.connect({ hostname: "::1", port });
  for (let at = 0; at < question.length;) at += await client.write(question.subarray(at));
  await client.closeWrite();
  assertEquals(await new Response(client.readable).text(), "100000 from fd00::2");
  await served;
  listener.close();
}

for (const host of ["ffi", "deno"]) {
  for (const { name, address6, listen, connect } of KINDS) {
    Deno.test({
      name: `a guest with IPv6 alone on ${name} of hawser serve --host ${host} has TCP, UDP and a forward${reason}`,
      ignore,
      fn: async () => {
        const folder = await Deno.makeTempDir({ prefix: "hawser-serve6-" });
        try {
          await using stack = new AsyncDisposableStack();
          const words = ["--listen", listen(folder), "--host", host, "--dns", "none", "-6"];
          const serve = stack.use(await Serve.start([...words, "-t", `[::1]/0:[${address6}]/80`]));
          const forward = Number(/^forwarding tcp \[::1\]:(\d+) -> /m.exec(serve.stderr)![1]);
          const loop = stack.use(new EventLoop()), udp = stack.use(await udpEcho()), tcp = echoServer("::1");
          stack.defer(() => tcp.close());
          loop.start();
          const port = listen(folder).startsWith("unixgram:") ? 0 : serve.port;
          const guest = stack.use(await connect({ folder, port, loop }, address6));
          await exchange(await guest.connect({ hostname: "fd00::2", port: tcp.port }), pattern(1 << 20));
          await exchangeDatagram(guest, udp.port);
          await serveClient(guest, forward);
          assertEquals(serve.stderr.match(/ (warn|error): .*/g), null, serve.stderr);
        } finally {
          await Deno.remove(folder, { recursive: true });
        }
      },
    });
  }
}
