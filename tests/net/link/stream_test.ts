import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertRejects, assertThrows } from "@std/assert";
import type { Link } from "../../../net/link/link.ts";
import { type LinkListener, type ListenerOptions, MOST_GUESTS } from "../../../net/link/listener.ts";
import { MOST_SILENT } from "../../../net/link/connected_guests.ts";
import { streamLink } from "../../../net/link/stream.ts";
import { MOST_QUEUED } from "../../../net/link/stream_framing.ts";
import { listenForStreams, type StreamAddress } from "../../../net/link/stream_listener.ts";
import { EventLoop } from "../../../net/linux/event_loop.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { bytesOf, eventually, framed, frameOf, LinkRecorder } from "../../support/link_peer.ts";
import { requires } from "../../support/requirements.ts";
import { connectUnix, leaveStaleSocket, type TestConn } from "../../support/unix_client.ts";

const needsFfi = requires("linux", "ffi");
const TCP = { hostname: "127.0.0.1", port: 0 } as const;

/** Listens for the links under test, on Linux's sockets or Deno's, in a folder of its own. */
interface World extends AsyncDisposable {
  readonly folder: string;
  /**
   * Where a guest is waited for: at a path on Linux's sockets, on a port on Deno's, which need permission for each
   * path.
   */
  readonly address: StreamAddress;
  readonly links: Link[];
  readonly recorders: LinkRecorder[];
  readonly refusals: string[];
  listen(address: StreamAddress, options?: Partial<ListenerOptions>): Promise<LinkListener>;
}

async function open(kind: "ffi" | "deno"): Promise<World> {
  const folder = await Deno.makeTempDir({ prefix: "hawser-stream-" });
  const loop = kind === "ffi" ? new EventLoop() : undefined;
  loop?.start();
  const links: Link[] = [], recorders: LinkRecorder[] = [], refusals: string[] = [], listeners: LinkListener[] = [];
  const attach = (link: Link) => {
    const recorder = new LinkRecorder();
    links.push(link);
    recorders.push(recorder);
    link.start(recorder);
  };
  return {
    folder,
    address: kind === "ffi" ? { path: `${folder}/vm.sock` } : TCP,
    links,
    recorders,
    refusals,
    listen: async (address, options = {}) => {
      const refused = (message: string) => void refusals.push(message);
      const listener = await listenForStreams(address, { attach, refused, ...options, ...(loop && { loop }) });
      listeners.push(listener);
      return listener;
    },
    [Symbol.asyncDispose]: async () => {
      for (const listener of listeners) await listener[Symbol.asyncDispose]();
      for (const link of links) await link.close();
      await loop?.[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function test(name: string, fn: (world: World, kind: "ffi" | "deno") => Promise<void>): void {
  for (const kind of ["ffi", "deno"] as const) {
    const { ignore, reason } = kind === "ffi" ? needsFfi : { ignore: false, reason: "" };
    const body = async () => {
      await using world = await open(kind);
      await fn(world, kind);
    };
    const whole = needsFfi.ignore ? body : () => assertNoDescriptorLeft(body);
    Deno.test({ name: `stream link on ${kind} sockets ${name}${reason}`, ignore, fn: whole });
  }
}

/** A case about paths, which in-process tests cannot have on Deno's sockets. */
function pathTest(name: string, fn: (world: World) => Promise<void>): void {
  const body = async () => {
    await using world = await open("ffi");
    await fn(world);
  };
  Deno.test({
    name: `stream link on ffi sockets ${name}${needsFfi.reason}`,
    ignore: needsFfi.ignore,
    fn: () => assertNoDescriptorLeft(body),
  });
}

async function writeAll(conn: TestConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

async function readExactly(conn: TestConn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await conn.read(bytes.subarray(at));
    if (count === null) throw new Error(`Cannot read ${length} bytes: the end came after ${at}`);
    at += count;
  }
  return bytes;
}

async function connect(listener: LinkListener): Promise<TestConn> {
  const [, kind, rest] = /^(unix|tcp):(.*)$/.exec(listener.address)!;
  if (kind === "unix") return await connectUnix(rest!);
  const [, hostname, port] = /^\[?([^\]]*)\]?:(\d+)$/.exec(rest!)!;
  return await Deno.connect({ hostname: hostname!, port: Number(port) });
}

test("carries frames both ways, over a unix socket and over TCP", async (world) => {
  for (const address of [world.address, TCP, { hostname: "::1", port: 0 }]) {
    const listener = await world.listen(address);
    assertMatch(
      listener.address,
      "path" in address ? /^unix:\/.*\/vm\.sock$/ : /^tcp:(127\.0\.0\.1|\[::1\]):[1-9]\d*$/,
    );
    using guest = await connect(listener);
    const frames = [14, 60, 1514, 1518].map((length, i) => bytesOf(frameOf(length, i)));
    await writeAll(guest, framed(...frames));
    await eventually("the guest came", () => world.recorders.length > 0);
    const link = world.links.pop()!, recorder = world.recorders.pop()!;
    await recorder.seen(frames.length);
    assertEquals(recorder.frames, frames);
    assertGreater(recorder.flushes, 0);
    assert(link.name.startsWith(listener.address));
    assertEquals([link.headroom, link.offload, link.mtu], [4, false, 1500]);
    for (const [i, frame] of frames.entries()) assert(link.send(frameOf(frame.length, i)));
    link.flush();
    assertEquals(await readExactly(guest, framed(...frames).length), framed(...frames));
    assertEquals(link.dropped, 0);
    await link.close();
    assertEquals(recorder.ends, [undefined]);
    assertEquals(await guest.read(new Uint8Array(1)), null);
  }
});

test("carries the largest frames of a large MTU in order, many at once", async (world) => {
  const listener = await world.listen(world.address, { mtu: 65520 });
  using guest = await connect(listener);
  await eventually("the guest came", () => world.links.length > 0);
  const link = world.links[0]!, recorder = world.recorders[0]!;
  const lengths = Array.from({ length: 200 }, (_, i) => i % 3 === 0 ? 60 + i : 65534 - i);
  const all = framed(...lengths.map((length, i) => bytesOf(frameOf(length, i))));
  await writeAll(guest, all);
  await recorder.seen(lengths.length);
  assertEquals(framed(...recorder.frames), all);
  const reading = readExactly(guest, all.length);
  for (const [i, length] of lengths.entries()) {
    while (!link.send(frameOf(length, i))) await new Promise((resolve) => setTimeout(resolve, 1));
    link.flush();
  }
  assertEquals(await reading, all);
});

test("hands out costly frames in parts, between which another guest is heard, and all of them before the end", async (world) => {
  const listener = await world.listen(world.address), count = 2000;
  const greedy = await connect(listener);
  await eventually("the first guest came", () => world.links.length === 1);
  using modest = await connect(listener);
  await eventually("the second guest came", () => world.links.length === 2);
  const [first, second] = world.recorders as [LinkRecorder, LinkRecorder];
  first.onFrame = () => {
    for (const end = performance.now() + 0.1; performance.now() < end;);
  };
  let before = 0;
  second.onFrame = () => before = first.frames.length;
  const frames = Array.from({ length: count }, (_, i) => bytesOf(frameOf(60, i)));
  // On Linux's sockets both are written before the loop has its next turn, the greedy guest's first.
  await Promise.all([writeAll(greedy, framed(...frames)), writeAll(modest, framed(bytesOf(frameOf(60))))]);
  greedy.close();
  await second.seen(1);
  assertLess(before, count / 2);
  assertEquals(await first.end(), undefined);
  assertEquals(first.frames, frames);
});

test("gives a frame that comes in pieces when it is whole", async (world) => {
  const listener = await world.listen(world.address);
  using guest = await connect(listener);
  const bytes = framed(bytesOf(frameOf(200, 1)), bytesOf(frameOf(300, 2)));
  for (const [from, to] of [[0, 3], [3, 4], [4, 100], [100, 206], [206, bytes.length]]) {
    await writeAll(guest, bytes.subarray(from, to));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await eventually("the guest came", () => world.recorders.length > 0);
  await world.recorders[0]!.seen(2);
  assertEquals(framed(...world.recorders[0]!.frames), bytes);
});

test("drops and counts what a guest that does not read has no room for, and goes on when it reads", async (world) => {
  const listener = await world.listen(world.address);
  using guest = await connect(listener);
  await eventually("the guest came", () => world.links.length > 0);
  const link = world.links[0]!;
  let taken = 0;
  for (let i = 0; i < 4000; i++) {
    if (link.send(frameOf(1514, i))) taken++;
    if (i % 50 === 0) {
      link.flush();
      // A write on Deno's sockets is under way while other code runs.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
  assertGreater(link.dropped, 500);
  assertEquals(link.dropped, 4000 - taken);
  assert(taken * 1518 >= MOST_QUEUED);
  link.flush();
  // Every frame that was taken comes whole.
  for (let i = 0; i < taken; i++) {
    const head = await readExactly(guest, 1518);
    assertEquals([...head.subarray(0, 4)], [0, 0, 5, 0xea]);
  }
  assert(link.send(frameOf(60, 9)));
  link.flush();
  assertEquals(await readExactly(guest, 64), framed(bytesOf(frameOf(60, 9))));
});

pathTest(
  "gives the socket of a guest that does not read twice what it holds by default, before anything waits here",
  async (world) => {
    const listener = await world.listen(world.address);
    using _conn = await connect(listener);
    await eventually("it is served", () => world.links.length === 1);
    const link = world.links[0]!, frame = frameOf(1500);
    let bytes = 0;
    for (; link.send(frame); bytes += 4 + frame.length) link.flush();
    // The default of Linux is 208 KiB, what the kernel needs for itself included.
    assertGreater(bytes - MOST_QUEUED, 250_000);
  },
);

test("ends with a clear error when a length is impossible or another framing speaks, and no other guest notices", async (world) => {
  const listener = await world.listen(world.address);
  using good = await connect(listener);
  await writeAll(good, framed(bytesOf(frameOf(60, 1))));
  await eventually("the good guest came", () => world.recorders.length === 1);
  const cases: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [new Uint8Array([0, 1, 0, 0x12]), /: 65554 is no possible length of a frame, the longest has 65553 bytes$/],
    [new Uint8Array([0xff, 0xff, 0, 0]), /: 4294901760 is no possible length of a frame/],
    [new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), /: this is HTTP, not QEMU's framing \(a 32-bit big-endian/],
  ];
  for (const [i, [bytes, message]] of cases.entries()) {
    using bad = await connect(listener);
    await writeAll(bad, framed(bytesOf(frameOf(100))).subarray(0, i === 2 ? 0 : 104));
    await writeAll(bad, bytes);
    await eventually("the bad guest came", () => world.recorders.length === 2 + i);
    assertMatch(
      (await world.recorders[1 + i]!.end())!,
      new RegExp(`^Cannot read from link (unix|tcp):.*${message.source}`),
    );
    assertEquals(world.recorders[1 + i]!.frames.length, i === 2 ? 0 : 1);
    // A unix socket tells of what was not read.
    await bad.read(new Uint8Array(1)).then((count) => assertEquals(count, null), () => {});
  }
  await writeAll(good, framed(bytesOf(frameOf(61, 2))));
  await world.recorders[0]!.seen(2);
  assertEquals(world.recorders[0]!.ends, []);
});

test("gives frames of any length to the gateway, which judges them, and goes on", async (world) => {
  const listener = await world.listen(world.address);
  using guest = await connect(listener);
  const frames = [0, 1, 13, 14, 1519, 9014, 65_535, 65_553, 60].map((length, i) => bytesOf(frameOf(length, i)));
  await writeAll(guest, framed(...frames));
  await eventually("the guest came", () => world.recorders.length === 1);
  await world.recorders[0]!.seen(frames.length);
  assertEquals(world.recorders[0]!.frames, frames);
  assertEquals(world.recorders[0]!.ends, []);
});

test("that loses its guest within a frame says so, and between frames just ends", async (world) => {
  const listener = await world.listen(TCP);
  const frame = framed(bytesOf(frameOf(1000)));
  const ends: (string | undefined)[] = [];
  for (const [i, length] of [500, 2, frame.length, 0].entries()) {
    const guest = await connect(listener);
    await writeAll(guest, frame.subarray(0, length));
    guest.close();
    await eventually("the guest came", () => world.recorders.length === i + 1);
    ends.push((await world.recorders[i]!.end())?.replace(/^.*: it/, "it"));
  }
  assertEquals(ends, [
    "it ended in the middle of a frame, after 496 of 1000 bytes",
    "it ended in the middle of a frame's length",
    undefined,
    undefined,
  ]);
  assertEquals(world.links[0]!.send(frameOf(60)), false);
  assertEquals(world.links[0]!.dropped, 1);
});

test("that is sent to after its guest has gone loses the frames and ends", async (world) => {
  const listener = await world.listen(world.address);
  const guest = await connect(listener);
  await eventually("the guest came", () => world.links.length > 0);
  guest.close();
  for (let i = 0; i < 20; i++) {
    world.links[0]!.send(frameOf(20_000, i));
    world.links[0]!.flush();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assertEquals(await world.recorders[0]!.end(), undefined);
  assertGreater(world.links[0]!.dropped, 0);
});

test("closed from within a frame delivers no other, and tells so once", async (world) => {
  const attach = (link: Link) => {
    const recorder = new LinkRecorder();
    recorder.onFrame = () => void link.close();
    world.links.push(link);
    world.recorders.push(recorder);
    link.start(recorder);
    assertThrows(() => link.start(recorder), Error, "started already");
  };
  const listener = await world.listen(world.address, { attach });
  using guest = await connect(listener);
  await writeAll(guest, framed(...[1, 2, 3].map((i) => bytesOf(frameOf(60, i)))));
  await eventually("the guest came", () => world.links.length > 0);
  assertEquals(await world.recorders[0]!.end(), undefined);
  await world.links[0]!.close();
  assertEquals([world.recorders[0]!.frames.length, world.recorders[0]!.flushes], [1, 0]);
  assertThrows(() => world.links[0]!.start(new LinkRecorder()), Error, "it is closed");
});

test("listener turns away guests beyond its bound, and serves one again when another has gone", async (world) => {
  const listener = await world.listen(world.address);
  const guests: TestConn[] = [];
  for (let i = 0; i < MOST_GUESTS; i++) {
    const guest = await connect(listener);
    guests.push(guest);
    await writeAll(guest, framed(bytesOf(frameOf(60))));
    await eventually("it spoke", () => world.recorders[i]?.frames.length === 1);
  }
  const refused = await connect(listener);
  assertEquals(await refused.read(new Uint8Array(1)), null);
  refused.close();
  assertEquals(world.refusals, [`Refused a guest on ${listener.address}: 256 guests are the limit of a listener`]);
  guests.pop()!.close();
  await eventually("one has gone", () => world.recorders.some(({ ends }) => ends.length > 0));
  guests.push(await connect(listener));
  await eventually("another came", () => world.links.length === MOST_GUESTS + 1);
  for (const guest of guests) guest.close();
});

test("listener ends the longest silent guest for the newest, and none that has spoken", async (world) => {
  const listener = await world.listen(world.address);
  using honest = await connect(listener);
  await writeAll(honest, framed(bytesOf(frameOf(60))));
  await eventually("it spoke", () => world.recorders[0]?.frames.length === 1);
  const silent: TestConn[] = [];
  for (let i = 0; i <= MOST_SILENT; i++) {
    silent.push(await connect(listener));
    await eventually("it came", () => world.recorders.length === i + 2);
  }
  assertEquals(await silent[0]!.read(new Uint8Array(1)), null);
  assertEquals(world.recorders.map(({ ends }) => ends.length).indexOf(1), 1);
  assertEquals(world.recorders.reduce((sum, { ends }) => sum + ends.length, 0), 1);
  assertEquals(world.refusals.length, 1);
  assertMatch(
    world.refusals[0]!,
    /^Ended .*: it has sent no frame, and 64 such connections are the limit of a listener$/,
  );
  await writeAll(silent[1]!, framed(bytesOf(frameOf(60))));
  await world.recorders[2]!.seen(1);
  for (const guest of silent) guest.close();
});

pathTest(
  "listener takes over a path that was left behind, not one that is served, and removes no other file",
  async (world) => {
    const path = `${world.folder}/vm.sock`;
    leaveStaleSocket(path);
    assert((await Deno.lstat(path)).isSocket);
    const listener = await world.listen({ path });
    using guest = await connect(listener);
    await writeAll(guest, framed(bytesOf(frameOf(60))));
    await eventually("the guest came", () => world.recorders.length === 1);
    await assertRejects(() => world.listen({ path }), Deno.errors.AddrInUse, "another program serves there");
    await listener[Symbol.asyncDispose]();
    await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);
    for (const make of [(file: string) => Deno.writeTextFile(file, "mine"), (file: string) => Deno.mkdir(file)]) {
      const file = `${world.folder}/other`;
      await make(file);
      await assertRejects(() => world.listen({ path: file }), Deno.errors.AlreadyExists, "no socket, remove it");
      await Deno.remove(file);
    }
    await Deno.symlink(path, `${world.folder}/link`);
    await assertRejects(() => world.listen({ path: `${world.folder}/link` }), Deno.errors.AlreadyExists, "no socket");
  },
);

pathTest("listener that ends leaves a path alone that another has taken meanwhile", async (world) => {
  const path = `${world.folder}/vm.sock`, listener = await world.listen({ path });
  await Deno.remove(path);
  const other = await world.listen({ path });
  await listener[Symbol.asyncDispose]();
  (await connect(other)).close();
  await eventually("the guest came to the other", () => world.links.length === 1);
});

test("listener says what is wrong with an address", async (world, kind) => {
  const first = await world.listen(TCP), port = Number(first.address.split(":").pop());
  await assertRejects(() => world.listen({ hostname: "127.0.0.1", port }), Deno.errors.AddrInUse, "it is in use");
  if (kind === "deno") return;
  await assertRejects(
    () => world.listen({ hostname: "192.0.2.1", port: 0 }),
    Deno.errors.AddrNotAvailable,
    "no such address",
  );
  await assertRejects(() => world.listen({ path: `${world.folder}/none/vm.sock` }), Deno.errors.NotFound);
  await assertRejects(() => world.listen({ path: `/${"x".repeat(107)}` }), RangeError, "1 to 107 bytes");
});

Deno.test({
  name: `stream listener rests while descriptors have run out, then serves who waited${needsFfi.reason}`,
  ignore: needsFfi.ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser-stream-" });
    const from = (path: string) => JSON.stringify(import.meta.resolve(path));
    const code = `import { listenForStreams } from ${from("../../../net/link/stream_listener.ts")};
      import { EventLoop } from ${from("../../../net/linux/event_loop.ts")};
      import { libc } from ${from("../../../net/linux/libc.ts")};
      import { connectUnix } from ${from("../../support/unix_client.ts")};
      const path = ${JSON.stringify(`${folder}/vm.sock`)}, loop = new EventLoop(), { eventfd, close } = libc();
      let refusals = 0, links = 0;
      const attach = () => links++, refused = (message) => refusals++ || console.log(message.replace(path, "vm.sock"));
      await listenForStreams({ path }, { loop, attach, refused });
      await connectUnix(path);
      const held = [];
      for (let fd; (fd = eventfd(0, 0)) >= 0;) held.push(fd);
      let turns = 0;
      loop.onTurnEnd(() => (turns++, Infinity));
      loop.runBlocking(loop.now() + 350);
      console.log(links, refusals, turns < 20);
      for (const fd of held) close(fd);
      loop.runBlocking(loop.now() + 250);
      console.log(links);
      Deno.exit();`;
    const url = "data:application/javascript," + encodeURIComponent(code);
    const command = 'ulimit -n 100; exec "$0" run --no-prompt --no-config --allow-ffi --allow-read "$1"';
    const { stdout, stderr } = await new Deno.Command("sh", { args: ["-c", command, Deno.execPath(), url] }).output();
    await Deno.remove(folder, { recursive: true });
    assertEquals(
      new TextDecoder().decode(stdout),
      "Cannot accept a connection on vm.sock: the process has no file descriptors left (EMFILE), raise the limit of open files " +
        "(ulimit -n)\n0 1 true\n1\n",
      new TextDecoder().decode(stderr),
    );
  },
});

Deno.test("streamLink has a name and an MTU of its own unless told otherwise", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [conn, guest] = await Promise.all([listener.accept(), Deno.connect({ port: listener.addr.port })]);
  listener.close();
  await using link = streamLink(conn);
  assertEquals([link.name, link.mtu, link.headroom], ["stream", 1500, 4]);
  guest.close();
});

Deno.test("stream listener on Deno's sockets keeps to the same rules for paths, with permission for just these", async () => {
  const folder = await Deno.makeTempDir({ prefix: "hawser-stream-" }), path = `${folder}/vm.sock`;
  const module = JSON.stringify(import.meta.resolve("../../../net/link/stream_listener.ts"));
  const code = `import { listenForStreams } from ${module};
    const path = ${JSON.stringify(path)}, file = path + ".txt";
    const links = [], attach = (link) => links.push(link);
    async function attempt(path) {
      try {
        return await listenForStreams({ path }, { attach });
      } catch (error) {
        console.log(error.name, error.message);
      }
    }
    Deno.writeTextFileSync(file, "mine");
    await attempt(file);
    console.log(Deno.readTextFileSync(file));
    const first = await attempt(path);
    console.log(first.address);
    await attempt(path);
    const conn = await Deno.connect({ transport: "unix", path });
    while (links.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    console.log(links[0].name);
    await links[0].close();
    conn.close();
    await first[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    console.log([...Deno.readDirSync(${JSON.stringify(folder)})].map(({ name }) => name).join());
    await attempt(path + "2");`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--no-config",
      `--allow-read=${folder}`,
      `--allow-write=${folder}`,
      `--allow-net=unix:${path},unix:${path}.txt`,
      "data:application/javascript," + encodeURIComponent(code),
    ],
    env: { NO_COLOR: "1" },
  }).output();
  await Deno.remove(folder, { recursive: true });
  assertEquals(new TextDecoder().decode(stdout).split("\n"), [
    `AlreadyExists Cannot listen on ${path}.txt: there is a file of that name that is no socket, remove it or take another path`,
    "mine",
    `unix:${path}`,
    `AddrInUse Cannot listen on ${path}: another program serves there, take another path`,
    `unix:${path}`,
    "vm.sock.txt",
    `NotCapable Cannot listen on ${path}2: a permission is missing, run with --allow-read, --allow-write and --allow-net for this path`,
    "",
  ], new TextDecoder().decode(stderr));
});
