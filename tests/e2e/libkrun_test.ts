import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { GuestStack } from "../../guest/mod.ts";
import type { GuestConn } from "../../guest/mod.ts";
import type { Link } from "../../net/link/link.ts";
import { streamLink } from "../../net/link/stream.ts";
import { EventLoop } from "../../net/linux/event_loop.ts";
import { LibkrunDevice, UnixDatagramLink } from "../support/libkrun_device.ts";
import { requires } from "../support/requirements.ts";
import { connectUnix } from "../support/unix_client.ts";
import { Serve } from "./serve_support.ts";

const { ignore, reason } = requires("linux", "ffi");
const MIB = 1 << 20, BULK = 24 * MIB;
/** Longer than this no frame is unless segmentation is left to the other end. */
const WHOLE_MTU = 1518;

type Connect = (folder: string, loop: EventLoop) => Promise<Link>;

interface World {
  readonly serve: Serve;
  readonly device: LibkrunDevice;
  /** A connection to a server on the host, and the server's end of it. */
  connect(): Promise<[GuestConn, Deno.Conn]>;
}

async function world(listen: string, connect: Connect, body: (world: World) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "hawser-krun-" });
  try {
    await using stack = new AsyncDisposableStack();
    const link = listen.replace("PATH", `${folder}/net.sock`);
    const serve = stack.use(await Serve.start(["-D", "none", ...link.split(" "), "--log-level", "info"]));
    const loop = stack.use(new EventLoop());
    loop.start();
    const device = new LibkrunDevice(await connect(folder, loop));
    const guest = stack.use(new GuestStack(device));
    const server = stack.use(Deno.listen({ hostname: "127.0.0.1", port: 0 }));
    await body({
      serve,
      device,
      connect: async () => {
        const accepting = server.accept();
        const conn = await guest.connect({ hostname: "10.0.2.2", port: server.addr.port });
        return [conn, await accepting];
      },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function datagrams(folder: string, loop: EventLoop): Promise<Link> {
  return Promise.resolve(new UnixDatagramLink(loop, `${folder}/vm.sock`, `${folder}/net.sock`));
}

async function stream(folder: string): Promise<Link> {
  return streamLink(await connectUnix(`${folder}/net.sock`) as Deno.Conn, { offload: true });
}

/** The bytes of a transfer, and what they add up to: each position counts. */
function chunk(index: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(MIB / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(index * words.length + i, 0x9e3779b1);
  return new Uint8Array(words.buffer);
}

async function digestOf(read: (into: Uint8Array) => Promise<number | null>): Promise<[bytes: number, digest: string]> {
  const all = new Uint8Array(BULK + 1);
  let at = 0;
  for (let n = await read(all); n !== null; n = await read(all.subarray(at))) at += n;
  return [at, hexOf(await crypto.subtle.digest("SHA-256", all.subarray(0, at)))];
}

async function expected(): Promise<[bytes: number, digest: string]> {
  const all = new Uint8Array(BULK);
  for (let i = 0; i < BULK / MIB; i++) all.set(chunk(i), i * MIB);
  return [BULK, hexOf(await crypto.subtle.digest("SHA-256", all))];
}

function hexOf(digest: ArrayBuffer): string {
  return new Uint8Array(digest).toHex();
}

async function writeBulk(write: (bytes: Uint8Array<ArrayBuffer>) => Promise<number>): Promise<void> {
  for (let i = 0; i < BULK / MIB; i++) {
    const bytes = chunk(i);
    for (let at = 0; at < bytes.length;) at += await write(bytes.subarray(at));
  }
}

/** Bulk both ways, each with its digest. Returns the longest frame to the guest. */
async function transferBoth({ connect, device }: World): Promise<number> {
  const [upload, uploaded] = await connect();
  const up = digestOf((into) => uploaded.read(into));
  await writeBulk((bytes) => upload.write(bytes));
  upload.closeWrite();
  assertEquals(await up, await expected());
  uploaded.close();
  await upload[Symbol.asyncDispose]();
  assertGreater(device.sizes.longestSent, 60_000, "segments leave whole");
  const [download, served] = await connect();
  const down = digestOf((into) => download.read(into));
  await writeBulk((bytes) => served.write(bytes));
  served.close();
  assertEquals(await down, await expected());
  await download[Symbol.asyncDispose]();
  return device.sizes.longestReceived;
}

function test(name: string, listen: string, connect: Connect, body: (world: World) => Promise<void>): void {
  Deno.test({ name: `hawser serve ${name}${reason}`, ignore, fn: () => world(listen, connect, body) });
}

for (
  const [listen, connect] of [
    ["--listen unixgram:PATH", datagrams],
    ["--listen unixgram:PATH,offload", datagrams],
    ["--listen unix:PATH,offload", stream],
  ] as const
) {
  test(
    `${listen} carries libkrun's frames at full size both ways, with partial checksums`,
    listen,
    connect,
    async (w) => {
      assertGreater(await transferBoth(w), 60_000, "segments come whole");
      w.serve.kill("SIGPWR");
      await w.serve.says("the flows are printed", (text) => /^total: /m.test(text));
      for (const word of ["tcpChecksum", "frameTooLong", "warn"]) {
        assert(!w.serve.stderr.includes(word), `${word} in ${w.serve.stderr}`);
      }
    },
  );
}

for (
  const [listen, connect] of [["--listen unix:PATH", stream], [
    "--listen unixgram:PATH --no-offload",
    datagrams,
  ]] as const
) {
  test(`${listen} takes libkrun's frames, and sends none over the MTU`, listen, connect, async (w) => {
    assertEquals(await transferBoth(w) <= WHOLE_MTU, true);
    assertStringIncludes(w.serve.stderr, "and the MTU is 1500 here: taken, but answers are no longer");
  });
}
