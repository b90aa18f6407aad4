import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { listenForDatagrams } from "../../../net/link/datagram_listener.ts";
import type { Link } from "../../../net/link/link.ts";
import { type LinkListener, type ListenerOptions, MOST_GUESTS } from "../../../net/link/listener.ts";
import { EventLoop } from "../../../net/linux/event_loop.ts";
import { ipv4AddressSum } from "../../../net/wire/checksum.ts";
import { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, CHECKSUM_VERIFIED, Frame } from "../../../net/wire/frame.ts";
import { TCP_ACK, TCP_SYN, tcpSetPartialChecksum } from "../../../net/wire/tcp.ts";
import { GATEWAY_IP, GUEST_IP, tcpFrame, udpFrame } from "../../support/frames.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { bytesOf, eventually, frameOf, LinkRecorder } from "../../support/link_peer.ts";
import { requires } from "../../support/requirements.ts";
import { connectUnix, leaveStaleSocket, UnixDatagramClient } from "../../support/unix_client.ts";

const needs = requires("linux", "ffi");
const VFKT = new TextEncoder().encode("VFKT");

interface World extends AsyncDisposable {
  readonly folder: string;
  readonly path: string;
  readonly links: Link[];
  readonly recorders: LinkRecorder[];
  readonly refusals: string[];
  listen(path?: string, options?: Partial<ListenerOptions>): Promise<LinkListener>;
}

async function open(): Promise<World> {
  const folder = await Deno.makeTempDir({ prefix: "hawser-dgram-" });
  const loop = new EventLoop();
  loop.start();
  const links: Link[] = [], recorders: LinkRecorder[] = [], refusals: string[] = [], listeners: LinkListener[] = [];
  const attach = (link: Link) => {
    const recorder = new LinkRecorder();
    links.push(link);
    recorders.push(recorder);
    link.start(recorder);
  };
  const path = `${folder}/net.sock`;
  return {
    folder,
    path,
    links,
    recorders,
    refusals,
    listen: async (at = path, options = {}) => {
      const refused = (message: string) => void refusals.push(message);
      const listener = await listenForDatagrams(at, { attach, refused, loop, ...options });
      listeners.push(listener);
      return listener;
    },
    [Symbol.asyncDispose]: async () => {
      for (const listener of listeners) await listener[Symbol.asyncDispose]();
      for (const link of links) await link.close();
      await loop[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function test(name: string, fn: (world: World) => Promise<void>): void {
  const body = async () => {
    await using world = await open();
    await fn(world);
  };
  Deno.test({
    name: `datagram link ${name}${needs.reason}`,
    ignore: needs.ignore,
    fn: () => assertNoDescriptorLeft(body),
  });
}

test("carries a frame a datagram, both ways, each path a guest of its own", async (world) => {
  const listener = await world.listen();
  assertEquals(listener.address, `unixgram:${world.path}`);
  using a = new UnixDatagramClient(`${world.folder}/a`), b = new UnixDatagramClient(`${world.folder}/b`);
  for (let i = 0; i < 3; i++) {
    await a.send(bytesOf(frameOf(60 + i, 1)), world.path);
    await b.send(bytesOf(frameOf(1514 - i, 2)), world.path);
  }
  await eventually("both came", () => world.recorders.length === 2);
  await Promise.all(world.recorders.map((recorder) => recorder.seen(3)));
  assertEquals(world.recorders[0]!.frames, [60, 61, 62].map((length) => bytesOf(frameOf(length, 1))));
  assertEquals(world.recorders[1]!.frames, [1514, 1513, 1512].map((length) => bytesOf(frameOf(length, 2))));
  assertGreater(world.recorders[0]!.flushes, 0);
  const [toA, toB] = world.links as [Link, Link];
  assertEquals([toA.name, toA.mtu, toA.headroom, toA.offload], [
    `unixgram:${world.path} from ${world.folder}/a`,
    1500,
    0,
    false,
  ]);
  assert(toA.send(frameOf(100, 3)) && toB.send(frameOf(1514, 4)) && toA.send(frameOf(101, 5)));
  assertEquals([await a.receive(), await a.receive()], [bytesOf(frameOf(100, 3)), bytesOf(frameOf(101, 5))]);
  assertEquals(await b.receive(), bytesOf(frameOf(1514, 4)));
  assertEquals([toA.dropped, toB.dropped], [0, 0]);
});

test("takes vfkit's opening for a greeting, and answers a socket that is connected to the path", async (world) => {
  await world.listen(world.path, { mtu: 65520 });
  using vfkit = new UnixDatagramClient(`${world.folder}/vfkit`, world.path);
  await vfkit.send(VFKT, world.path);
  await eventually("the guest came", () => world.links.length === 1);
  assert(world.links[0]!.send(frameOf(60_000, 1)));
  assertEquals(await vfkit.receive(), bytesOf(frameOf(60_000, 1)));
  await vfkit.send(bytesOf(frameOf(60_001)), world.path);
  await world.recorders[0]!.seen(1);
  assertEquals(world.recorders[0]!.frames, [bytesOf(frameOf(60_001))]);
});

test("takes another greeting for a new guest", async (world) => {
  await world.listen();
  using vm = new UnixDatagramClient(`${world.folder}/vm`);
  for (const bytes of [VFKT, VFKT, bytesOf(frameOf(60, 1)), VFKT, bytesOf(frameOf(60, 2))]) {
    await vm.send(bytes, world.path);
  }
  await eventually("the second came", () => world.recorders[1]?.frames.length === 1);
  assertEquals(world.recorders.map(({ frames }) => frames), [[bytesOf(frameOf(60, 1))], [bytesOf(frameOf(60, 2))]]);
  assertEquals(world.recorders.map(({ ends }) => ends.length), [1, 0]);
  assert(world.links[1]!.send(frameOf(61, 3)));
  assertEquals(await vm.receive(), bytesOf(frameOf(61, 3)));
});

test("offloads for a guest that greets and shows it, and for no other", async (world) => {
  const whole = tcpFrame({ flags: TCP_SYN, seq: 1, ack: 0 }), partial = whole.slice();
  tcpSetPartialChecksum(partial, 34, partial.length, ipv4AddressSum(GUEST_IP, GATEWAY_IP));
  const wrong = whole.slice(), long = tcpFrame({ flags: TCP_ACK, seq: 1, ack: 0, payload: new Uint8Array(3000) });
  wrong[51]! ^= 1;
  const longDatagram = udpFrame({ source: 9, destination: 9 }, new Uint8Array(3000));
  const cases: [frames: Uint8Array[], offload: boolean][] = [
    [[VFKT, whole, wrong, longDatagram, new Uint8Array(9000), partial.subarray(0, 40)], false],
    [[partial, long], false],
    [[VFKT, whole, partial], true],
    [[VFKT, long], true],
    [[partial, VFKT, partial], true],
  ];
  await world.listen();
  for (const [i, [frames, offload]] of cases.entries()) {
    using vm = new UnixDatagramClient(`${world.folder}/vm${i}`);
    const before = world.recorders.length;
    for (const bytes of frames) await vm.send(bytes, world.path);
    await vm.send(bytesOf(frameOf(60, 7)), world.path);
    const isLast = (recorder: LinkRecorder) => recorder.frames.at(-1)?.[0] === 7;
    await eventually("the last came", () => world.recorders.slice(before).some(isLast));
    assertEquals(world.links.at(-1)!.offload, offload, `case ${i}`);
    await world.links.at(-1)!.close();
  }
});

for (const offload of [true, false]) {
  test(`${offload ? "always" : "never"} offloads if it is told so, and completes what it sends`, async (world) => {
    await world.listen(world.path, { offload });
    using vm = new UnixDatagramClient(`${world.folder}/vm`);
    const partial = tcpFrame({ flags: TCP_SYN, seq: 1, ack: 0, payload: new Uint8Array(60_000) }),
      whole = partial.slice();
    tcpSetPartialChecksum(partial, 34, partial.length, ipv4AddressSum(GUEST_IP, GATEWAY_IP));
    await vm.send(VFKT, world.path);
    await vm.send(partial, world.path);
    await eventually("it came", () => world.recorders[0]?.frames.length === 1);
    assertEquals(world.links[0]!.offload, offload);
    assertEquals(world.recorders[0]!.checksums, [offload ? CHECKSUM_VERIFIED : CHECKSUM_COMPLETE]);
    const frame = new Frame().set(partial, 0, partial.length);
    Object.assign(frame, { checksum: CHECKSUM_PARTIAL, transport: 34, checksumField: 16, segmentSize: 1460 });
    assert(world.links[0]!.send(frame));
    assertEquals(await vm.receive(), whole);
  });
}

test("drops and counts what a guest's queue has no room for, and no other guest notices", async (world) => {
  await world.listen();
  using slow = new UnixDatagramClient(`${world.folder}/slow`), good = new UnixDatagramClient(`${world.folder}/good`);
  await slow.send(bytesOf(frameOf(60)), world.path);
  await good.send(bytesOf(frameOf(60)), world.path);
  await eventually("both came", () => world.links.length === 2);
  const [toSlow, toGood] = world.links as [Link, Link];
  let taken = 0;
  while (toSlow.send(frameOf(1514, taken))) taken++;
  assertEquals(toSlow.send(frameOf(1514)), false);
  assertEquals(toSlow.dropped, 2);
  assert(toGood.send(frameOf(1514, 9)));
  assertEquals(await good.receive(), bytesOf(frameOf(1514, 9)));
  for (let i = 0; i < taken; i++) assertEquals(await slow.receive(), bytesOf(frameOf(1514, i)));
  assert(toSlow.send(frameOf(1514, 7)));
  assertEquals(world.recorders.map(({ ends }) => ends.length), [0, 0]);
});

test("ends when its guest has vanished, and what comes from the same path later is a new guest", async (world) => {
  await world.listen();
  const path = `${world.folder}/vm`;
  for (const remove of [false, true]) {
    const before = world.links.length;
    const first = new UnixDatagramClient(path);
    await first.send(bytesOf(frameOf(60)), world.path);
    await eventually("it came", () => world.links.length === before + 1);
    first[Symbol.dispose]();
    if (remove) await Deno.remove(path);
    const link = world.links[before]!;
    assertEquals([link.send(frameOf(60)), link.send(frameOf(60))], [false, false]);
    assertEquals(world.recorders[before]!.ends, [], "the receiver is not told from within its own call");
    assertEquals(await world.recorders[before]!.end(), undefined);
    assertEquals(link.dropped, 2);
    if (!remove) await Deno.remove(path);
    using second = new UnixDatagramClient(path);
    await second.send(bytesOf(frameOf(61)), world.path);
    await eventually("it came again", () => world.links.length === before + 2);
    assert(world.links[before + 1]!.send(frameOf(62)));
    assertEquals((await second.receive()).length, 62);
    await world.links[before + 1]!.close();
    await Deno.remove(path);
  }
});

test("sends nothing to a path that is or becomes a symbolic link to another program's socket", async (world) => {
  await world.listen();
  using other = new UnixDatagramClient(`${world.folder}/other`);
  const path = `${world.folder}/vm`;
  using vm = new UnixDatagramClient(path);
  await vm.send(bytesOf(frameOf(60)), world.path);
  await eventually("it came", () => world.links.length === 1);
  await Deno.remove(path);
  await Deno.symlink(`${world.folder}/other`, path);
  assert(world.links[0]!.send(frameOf(61, 1)));
  assertEquals((await vm.receive()).length, 61, "whoever began there still gets it");
  using late = new UnixDatagramClient(`${world.folder}/late`);
  await Deno.remove(`${world.folder}/late`);
  await Deno.symlink(`${world.folder}/other`, `${world.folder}/late`);
  await late.send(bytesOf(frameOf(62)), world.path);
  await eventually("it was refused", () => world.refusals.length === 1);
  assertStringIncludes(world.refusals[0]!, `${world.folder}/late is a symbolic link, its socket must be there itself`);
  vm[Symbol.dispose]();
  assertEquals(world.links[0]!.send(frameOf(63)), false);
  await eventually("it ended", () => world.recorders[0]!.ends.length === 1);
  assertEquals(other.tryReceive(), undefined);
});

test("goes on with a guest whose socket is another one at the same path now", async (world) => {
  await world.listen();
  const path = `${world.folder}/vm`, first = new UnixDatagramClient(path);
  await first.send(bytesOf(frameOf(60)), world.path);
  await eventually("it came", () => world.links.length === 1);
  first[Symbol.dispose]();
  await Deno.remove(path);
  using second = new UnixDatagramClient(path);
  assert(world.links[0]!.send(frameOf(61, 1)));
  assertEquals(await second.receive(), bytesOf(frameOf(61, 1)));
});

test("refuses a guest whose path is gone or no socket", async (world) => {
  await world.listen();
  using gone = new UnixDatagramClient(`${world.folder}/gone`), file = new UnixDatagramClient(`${world.folder}/file`);
  await Deno.remove(`${world.folder}/gone`);
  await Deno.remove(`${world.folder}/file`);
  await Deno.writeTextFile(`${world.folder}/file`, "");
  for (const guest of [gone, file]) await guest.send(bytesOf(frameOf(60)), world.path);
  await eventually("both were refused", () => world.refusals.length === 2);
  assertMatch(world.refusals[0]!, /gone is no socket, no such file/);
  assertMatch(world.refusals[1]!, /file is no socket$/);
  assertEquals(world.links, []);
});

test("serves a guest that connects its socket later, and one with an abstract address", async (world) => {
  await world.listen();
  using vm = new UnixDatagramClient(`${world.folder}/vm`), abstract = new UnixDatagramClient(`@${world.folder}/vm`);
  await vm.send(bytesOf(frameOf(60)), world.path);
  await abstract.send(bytesOf(frameOf(60)), world.path);
  await eventually("both came", () => world.links.length === 2);
  assertEquals(world.links[1]!.name, `unixgram:${world.path} from @${world.folder}/vm`);
  for (const [i, guest] of [vm, abstract].entries()) {
    assert(world.links[i]!.send(frameOf(61, i)));
    assertEquals(await guest.receive(), bytesOf(frameOf(61, i)));
  }
  vm.connect(world.path);
  assert(world.links[0]!.send(frameOf(62, 7)));
  assertEquals(await vm.receive(), bytesOf(frameOf(62, 7)));
  assertEquals(world.links.map(({ dropped }) => dropped), [0, 0]);
});

test("lets no guest that does not read 64 KiB frames take another one's room", async (world) => {
  await world.listen();
  const guests = Array.from({ length: 20 }, (_, i) => new UnixDatagramClient(`${world.folder}/${i}`));
  try {
    for (const guest of guests) await guest.send(bytesOf(frameOf(60)), world.path);
    await eventually("all came", () => world.links.length === guests.length);
    for (const link of world.links.slice(1)) while (link.send(frameOf(65_549)));
    for (let i = 0; i < 4; i++) assert(world.links[0]!.send(frameOf(65_549, i)));
    for (let i = 0; i < 4; i++) assertEquals(await guests[0]!.receive(), bytesOf(frameOf(65_549, i)));
  } finally {
    for (const guest of guests) guest[Symbol.dispose]();
  }
});

test("writes a guest's path as one line, whatever is in it", async (world) => {
  await world.listen();
  using vm = new UnixDatagramClient(`${world.folder}/a\n\u001b[2Jb\\\u2028é`);
  await vm.send(bytesOf(frameOf(60)), world.path);
  await eventually("it came", () => world.links.length === 1);
  assertEquals(world.links[0]!.name, `unixgram:${world.path} from ${world.folder}/a\\u{a}\\u{1b}[2Jb\\\\\\u{2028}é`);
});

test("gives frames of any length to the gateway, which judges them", async (world) => {
  await world.listen();
  using guest = new UnixDatagramClient(`${world.folder}/vm`);
  const lengths = [0, 1, 3, 5, 13, 1519, 65_535, 69_000];
  for (const length of lengths) await guest.send(new Uint8Array(length), world.path);
  await eventually("it came", () => world.recorders.length === 1);
  await world.recorders[0]!.seen(lengths.length);
  assertEquals(world.recorders[0]!.frames.map(({ length }) => length), [0, 1, 3, 5, 13, 1519, 65_535, 65_554]);
});

test("refuses a guest that has no path to send to, and guests beyond its bound", async (world) => {
  const listener = await world.listen();
  using nameless = new UnixDatagramClient();
  await nameless.send(bytesOf(frameOf(60)), world.path);
  await eventually("it was refused", () => world.refusals.length > 0);
  assertEquals(world.refusals, [
    `Refused a guest on ${listener.address}: its socket has no path to send to, bind it to one`,
  ]);
  const guests = Array.from({ length: MOST_GUESTS }, (_, i) => new UnixDatagramClient(`${world.folder}/${i}`));
  for (const guest of guests) await guest.send(bytesOf(frameOf(60)), world.path);
  await eventually("all came", () => world.links.length === MOST_GUESTS);
  using late = new UnixDatagramClient(`${world.folder}/late`);
  await late.send(bytesOf(frameOf(60)), world.path);
  await eventually("it was refused", () => world.refusals.length > 1);
  assertEquals(world.refusals[1], `Refused a guest on ${listener.address}: 256 guests are the limit of a listener`);
  await world.links[7]!.close();
  await late.send(bytesOf(frameOf(60)), world.path);
  await eventually("it came", () => world.links.length === MOST_GUESTS + 1);
  for (const guest of guests) guest[Symbol.dispose]();
});

test("cannot be started twice or after close, and drops what it is given then", async (world) => {
  await world.listen();
  using guest = new UnixDatagramClient(`${world.folder}/vm`);
  await guest.send(bytesOf(frameOf(60)), world.path);
  await eventually("it came", () => world.links.length === 1);
  const link = world.links[0]!;
  assertThrows(() => link.start(new LinkRecorder()), Error, "started already");
  await link.close();
  await link.close();
  assertThrows(() => link.start(new LinkRecorder()), Error, "it is closed");
  assertEquals([link.send(frameOf(60)), link.dropped], [false, 1]);
  assertEquals(world.recorders[0]!.ends, [undefined]);
});

test("listener ends its guests with it, and keeps to the rules for paths", async (world) => {
  leaveStaleSocket(world.path);
  const listener = await world.listen();
  using guest = new UnixDatagramClient(`${world.folder}/vm`);
  await guest.send(bytesOf(frameOf(60)), world.path);
  await eventually("it came", () => world.links.length === 1);
  await assertRejects(() => world.listen(), Deno.errors.AddrInUse, "another program serves there");
  await assertRejects(() => connectUnix(world.path), Error, "91"); // EPROTOTYPE: streams are elsewhere.
  await listener[Symbol.asyncDispose]();
  assertEquals(world.recorders[0]!.ends, [undefined]);
  await assertRejects(() => Deno.lstat(world.path), Deno.errors.NotFound);
  await Deno.writeTextFile(world.path, "mine");
  await assertRejects(() => world.listen(), Deno.errors.AlreadyExists, "no socket, remove it");
  assertEquals(await Deno.readTextFile(world.path), "mine");
});

Deno.test("datagram listener without a loop says that it needs --unstable-net", async () => {
  await assertRejects(
    () => listenForDatagrams("/tmp/hawser-none.sock", { attach: () => {} }),
    Deno.errors.NotSupported,
    "run with --unstable-net",
  );
});

Deno.test("datagram listener on Deno's sockets carries frames both ways, also while it waits to receive", async () => {
  const folder = await Deno.makeTempDir({ prefix: "hawser-dgram-" }), path = `${folder}/net.sock`;
  const from = (path: string) => JSON.stringify(import.meta.resolve(path));
  const code = `import { listenForDatagrams } from ${from("../../../net/link/datagram_listener.ts")};
    import { bytesOf, eventually, frameOf, LinkRecorder } from ${from("../../support/link_peer.ts")};
    const path = ${JSON.stringify(path)}, links = [], recorders = [];
    const attach = (link) => {
      recorders.push(new LinkRecorder());
      links.push(link);
      link.start(recorders.at(-1));
    };
    const listener = await listenForDatagrams(path, { attach });
    const open = (name) => Deno.listenDatagram({ transport: "unixpacket", path: path + name });
    const to = { transport: "unixpacket", path }, a = open(".a"), b = open(".b");
    await a.send(new TextEncoder().encode("VFKT"), to);
    await a.send(bytesOf(frameOf(60, 1)), to);
    await b.send(bytesOf(frameOf(61, 2)), to);
    await eventually("both came", () => recorders.length === 2 && recorders.every(({ frames }) => frames.length > 0));
    console.log(recorders.map(({ frames }) => frames.length).join(), links[0].name);
    let taken = 0;
    for (let i = 0; i < 200; i++) if (links[0].send(frameOf(1514, i))) taken++;
    console.log(taken, links[0].dropped);
    links[1].send(frameOf(100, 7));
    const [bytes] = await b.receive(new Uint8Array(2000));
    console.log(bytes.join() === bytesOf(frameOf(100, 7)).join());
    for (let i = 0; i < taken; i++) {
      const [bytes] = await a.receive(new Uint8Array(2000));
      if (bytes.join() !== bytesOf(frameOf(1514, i)).join()) console.log("frame", i, "is wrong");
    }
    b.close();
    links[1].send(frameOf(100));
    console.log(await recorders[1].end());
    await listener[Symbol.asyncDispose]();
    console.log(await recorders[0].end());
    a.close();`;
  const paths = ["", ".a", ".b", ".1", ".2"].map((end) => `unix:${path}${end}`);
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--no-config",
      "--unstable-net",
      "--allow-read",
      `--allow-write=${folder}`,
      `--allow-net=${paths}`,
      "data:application/javascript," + encodeURIComponent(code),
    ],
    env: { NO_COLOR: "1" },
  }).output();
  await Deno.remove(folder, { recursive: true });
  assertEquals(
    new TextDecoder().decode(stdout).split("\n"),
    [`1,1 unixgram:${path} from ${path}.a`, "64 136", "true", "undefined", "undefined", ""],
    new TextDecoder().decode(stderr),
  );
});

Deno.test({
  name: `datagram listener on Deno's sockets says what it cannot serve, and leaves no path behind${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "hawser-dgram-" }), path = `${folder}/net.sock`;
    const from = (path: string) => JSON.stringify(import.meta.resolve(path));
    const code = `import { listenForDatagrams } from ${from("../../../net/link/datagram_listener.ts")};
      import { eventually, frameOf, LinkRecorder } from ${from("../../support/link_peer.ts")};
      const path = ${JSON.stringify(path)}, recorders = [], errors = [];
      const attach = (link) => {
        const recorder = new LinkRecorder(), closed = recorder.closed.bind(recorder);
        recorder.closed = (error) => {
          if (error) errors.push(error);
          closed(error);
        };
        recorder.onFrame = () => link.send(frameOf(70, 7));
        recorders.push(recorder);
        link.start(recorder);
      };
      const listener = await listenForDatagrams(path, { attach });
      console.log("ready");
      await eventually("the connected one was refused", () => errors.length === 1);
      console.log(errors[0] instanceof Deno.errors.NotSupported, errors[0].message);
      await eventually("the other one came", () => recorders.length === 2 && recorders[1].frames.length === 1);
      console.log([...Deno.readDirSync(${JSON.stringify(folder)})].map(({ name }) => name).sort().join());
      await listener[Symbol.asyncDispose]();`;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-check",
        "--no-config",
        "--unstable-net",
        "--allow-read",
        `--allow-write=${folder}`,
        `--allow-net=${["net.sock", "net.sock.1", "net.sock.2", "a", "b"].map((name) => `unix:${folder}/${name}`)}`,
        "data:application/javascript," + encodeURIComponent(code),
      ],
      env: { NO_COLOR: "1" },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output = child.output();
    await eventually("it listens", () => {
      try {
        return Deno.lstatSync(path).isSocket === true;
      } catch {
        return false;
      }
    }, 30_000);
    {
      using connected = new UnixDatagramClient(`${folder}/a`, path), other = new UnixDatagramClient(`${folder}/b`);
      for (let i = 0; i < 3; i++) await connected.send(bytesOf(frameOf(60)), path);
      await other.send(bytesOf(frameOf(60)), path);
      assertEquals(await other.receive(), bytesOf(frameOf(70, 7)));
      const { stdout, stderr } = await output, [ready, problem, files] = new TextDecoder().decode(stdout).split("\n");
      assertEquals(ready, "ready", new TextDecoder().decode(stderr));
      assertMatch(
        problem!,
        /^true Cannot send on link .*: its socket is connected to .*; for that run with --allow-ffi$/,
      );
      assertEquals(files, "a,b,net.sock");
      assertEquals(connected.tryReceive(), undefined);
    }
    await Deno.remove(folder, { recursive: true });
  },
});
