import { assert, assertEquals, assertGreater, assertMatch, assertRejects, assertThrows } from "@std/assert";
import type { Link } from "../../../net/link/link.ts";
import { type LinkListener, MOST_GUESTS } from "../../../net/link/listener.ts";
import { MOST_SILENT } from "../../../net/link/connected_guests.ts";
import { MOST_PENDING } from "../../../net/link/websocket_door.ts";
import { listenForWebSockets, type WebSocketListenerOptions } from "../../../net/link/websocket.ts";
import { EventLoop } from "../../../net/linux/event_loop.ts";
import { assertNoDescriptorLeft } from "../../support/ffi_descriptors.ts";
import { bytesOf, eventually, framed, frameOf, LinkRecorder } from "../../support/link_peer.ts";
import { BINARY, clientFrame, CLOSE, joined, PING, PONG, RawWebSocket } from "../../support/websocket_client.ts";
import { requires } from "../../support/requirements.ts";

const LOOPBACK = { hostname: "127.0.0.1", port: 0 } as const;

/** A frame as guests begin with: to everyone. */
function broadcast(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  const bytes = bytesOf(frameOf(length, seed));
  return bytes.fill(0xff, 0, 6);
}

interface World extends AsyncDisposable {
  readonly links: Link[];
  readonly recorders: LinkRecorder[];
  readonly refusals: string[];
  readonly listener: LinkListener;
  readonly url: string;
}

const needsFfi = requires("linux", "ffi");

async function openWorld(kind: "ffi" | "deno", options: Partial<WebSocketListenerOptions> = {}): Promise<World> {
  const loop = kind === "ffi" ? EventLoop.shared() : undefined;
  const links: Link[] = [], recorders: LinkRecorder[] = [], refusals: string[] = [];
  const listener = await listenForWebSockets(LOOPBACK, {
    attach: (link) => {
      const recorder = new LinkRecorder();
      links.push(link);
      recorders.push(recorder);
      link.start(recorder);
    },
    refused: (message) => void refusals.push(message),
    ...options,
    ...(loop && { loop }),
  });
  const dispose = async () => {
    await listener[Symbol.asyncDispose]();
    await Promise.all(links.map((link) => link.close()));
    await loop?.[Symbol.asyncDispose]();
  };
  const url = listener.address.replace("ws:", "ws://");
  return { links, recorders, refusals, listener, url, [Symbol.asyncDispose]: dispose };
}

type Open = (options?: Partial<WebSocketListenerOptions>) => Promise<World>;

/** A case on both kinds of sockets. */
function test(name: string, fn: (open: Open) => Promise<void>): void {
  for (const kind of ["ffi", "deno"] as const) {
    const { ignore, reason } = kind === "ffi" ? needsFfi : { ignore: false, reason: "" };
    const body = () => fn((options) => openWorld(kind, options));
    const whole = needsFfi.ignore ? body : () => assertNoDescriptorLeft(body);
    Deno.test({ name: `websocket ${name}, on ${kind} sockets${reason}`, ignore, fn: whole });
  }
}

function placeOf(world: World): string {
  return world.listener.address.slice("ws:".length);
}

/** A guest's socket and what it has received. */
class Guest implements AsyncDisposable {
  readonly messages: Uint8Array[] = [];
  readonly closed: Promise<CloseEvent>;
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => void this.messages.push(new Uint8Array(data));
    this.closed = new Promise((resolve) => socket.onclose = resolve);
  }

  static async connect(url: string): Promise<Guest> {
    const socket = new WebSocket(url), guest = new Guest(socket);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error("Cannot connect"));
    });
    socket.onerror = () => {};
    return guest;
  }

  send(message: Uint8Array<ArrayBuffer> | string): void {
    this.#socket.send(message);
  }

  async seen(count: number): Promise<void> {
    await eventually(`${count} messages came`, () => this.messages.length >= count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }
}

/** The status with which a request with these headers is answered. */
async function statusOf(url: string, headers: readonly string[], path = "/"): Promise<number> {
  const { hostname, port } = new URL(url.replace("ws:", "http:"));
  using conn = await Deno.connect({ hostname, port: Number(port) });
  const upgrade = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
  ];
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${hostname}:${port}`, ...upgrade, ...headers, "", ""];
  await conn.write(new TextEncoder().encode(lines.join("\r\n")));
  const buffer = new Uint8Array(4096), count = await conn.read(buffer);
  return Number(/^HTTP\/1.1 (\d+)/.exec(new TextDecoder().decode(buffer.subarray(0, count ?? 0)))?.[1]);
}

test("link carries a frame a message for a guest that sends bare frames", async (open) => {
  await using world = await open();
  assertMatch(world.listener.address, /^ws:127\.0\.0\.1:[1-9]\d*$/);
  await using guest = await Guest.connect(world.url);
  const frames = [broadcast(60, 1), bytesOf(frameOf(1514, 2)), bytesOf(frameOf(14, 3))];
  for (const frame of frames) guest.send(frame);
  await eventually("the guest came", () => world.recorders.length === 1);
  const link = world.links[0]!, recorder = world.recorders[0]!;
  await recorder.seen(3);
  assertEquals(recorder.frames, frames);
  assert(link.name.startsWith(`${world.listener.address} from 127.0.0.1:`));
  assertEquals([link.mtu, link.headroom, link.offload], [1500, 14, false]);
  const sent = frameOf(1514, 4), copy = bytesOf(sent);
  assert(link.send(sent));
  sent.bytes.fill(0);
  assert(link.send(frameOf(60, 5)));
  link.flush();
  await guest.seen(2);
  assertEquals(guest.messages, [copy, bytesOf(frameOf(60, 5))]);
  assertEquals(link.dropped, 0);
});

test("link carries QEMU's framing for a guest that sends it, however it is cut into messages", async (open) => {
  await using world = await open();
  const frames = [broadcast(60, 1), bytesOf(frameOf(1514, 2)), bytesOf(frameOf(42, 3))], stream = framed(...frames);
  const cuts = [[stream.length], [4, 60, 4, 1514, 4, 42], [64, 1518, 46], [3, 500, stream.length - 503]];
  for (const [i, pieces] of cuts.entries()) {
    await using guest = await Guest.connect(world.url);
    let at = 0;
    for (const piece of pieces) guest.send(stream.slice(at, at += piece));
    await eventually("the guest came", () => world.recorders.length === i + 1);
    await world.recorders[i]!.seen(3);
    assertEquals(world.recorders[i]!.frames, frames, `cut into ${pieces}`);
    assert(world.links[i]!.send(frameOf(100, 9)));
    world.links[i]!.flush();
    await guest.seen(1);
    assertEquals(guest.messages, [framed(bytesOf(frameOf(100, 9)))]);
  }
});

test("link keeps to the framing it is told", async (open) => {
  await using world = await open({ framing: "bare" });
  await using guest = await Guest.connect(world.url);
  const ambiguous = framed(bytesOf(frameOf(60, 1)));
  guest.send(ambiguous);
  await eventually("the guest came", () => world.recorders.length === 1);
  await world.recorders[0]!.seen(1);
  assertEquals(world.recorders[0]!.frames, [ambiguous]);
});

test("link drops and counts what it is given before the guest has said how it speaks", async (open) => {
  await using world = await open();
  await using guest = await Guest.connect(world.url);
  await eventually("the guest came", () => world.links.length === 1);
  assertEquals([world.links[0]!.send(frameOf(60)), world.links[0]!.dropped], [false, 1]);
  guest.send(broadcast(60));
  await world.recorders[0]!.seen(1);
  assert(world.links[0]!.send(frameOf(61)));
  world.links[0]!.flush();
  await guest.seen(1);
  assertEquals(guest.messages[0]!.length, 61);
});

test("link drops and counts beyond what may be on its way, and goes on later", async (open) => {
  await using world = await open();
  await using guest = await Guest.connect(world.url);
  guest.send(broadcast(60));
  await eventually("the guest came", () => world.recorders[0]?.frames.length === 1);
  const link = world.links[0]!;
  let taken = 0;
  // Nothing leaves while this thread does not give way.
  for (let i = 0; i < 8000; i++) if (link.send(frameOf(1514, i))) taken++;
  assertGreater(link.dropped, 500);
  assertEquals(link.dropped, 8000 - taken);
  link.flush();
  await guest.seen(taken);
  assertEquals(guest.messages.length, taken);
  assert(link.send(frameOf(60, 1)));
  link.flush();
  await guest.seen(taken + 1);
});

test("link ends with a clear error for text and for impossible lengths, and no other guest notices", async (open) => {
  await using world = await open();
  await using good = await Guest.connect(world.url);
  good.send(broadcast(60));
  await eventually("the good guest came", () => world.recorders.length === 1);
  const cases: [(string | Uint8Array<ArrayBuffer>)[], string][] = [
    [["hello"], "a text message came, frames are binary"],
    [
      [framed(broadcast(60)), new Uint8Array([0, 2, 0, 0])],
      "131072 is no possible length of a frame, the longest has 65553 bytes",
    ],
    [[broadcast(60), new Uint8Array(70_000)], "a message is longer than any frame"],
  ];
  for (const [i, [messages, cause]] of cases.entries()) {
    await using bad = await Guest.connect(world.url);
    for (const message of messages) bad.send(message);
    await eventually("the bad guest came", () => world.recorders.length === i + 2);
    assertMatch((await world.recorders[i + 1]!.end())!, new RegExp(`^Cannot read from link ws:.*: ${cause}$`));
    assertEquals((await bad.closed).code, cause.startsWith("a message") ? 1009 : 1003);
  }
  good.send(broadcast(61));
  await world.recorders[0]!.seen(2);
  assertEquals(world.recorders[0]!.ends, []);
});

test("link gives frames of any length to the gateway, which judges them, and goes on", async (open) => {
  await using world = await open();
  await using guest = await Guest.connect(world.url);
  const frames = [60, 0, 1, 13, 1519, 9014, 65_553, 61].map((length) => bytesOf(frameOf(length)));
  for (const frame of frames) guest.send(framed(frame));
  await eventually("the guest came", () => world.recorders.length === 1);
  await world.recorders[0]!.seen(frames.length);
  assertEquals(world.recorders[0]!.frames, frames);
  assertEquals(world.recorders[0]!.ends, []);
});

test("link whose guest leaves ends, with an error only within a frame", async (open) => {
  await using world = await open();
  const messages: Uint8Array<ArrayBuffer>[] = [
    broadcast(60),
    framed(broadcast(60)),
    framed(broadcast(60)).slice(0, 50),
  ];
  const ends: (string | undefined)[] = [];
  for (const [i, message] of messages.entries()) {
    const guest = await Guest.connect(world.url);
    guest.send(message);
    await eventually("the guest came", () => world.recorders.length === i + 1);
    await guest[Symbol.asyncDispose]();
    ends.push(await world.recorders[i]!.end());
  }
  assertEquals(ends.slice(0, 2), [undefined, undefined]);
  assertMatch(ends[2]!, /it ended in the middle of a frame, after 46 of 60 bytes$/);
  assertEquals([world.links[0]!.send(frameOf(60)), world.links[0]!.dropped], [false, 1]);
  assertThrows(() => world.links[0]!.start(new LinkRecorder()), Error, "it is closed");
});

test("link that is closed tells both ends, and cannot be started twice", async (open) => {
  await using world = await open();
  await using guest = await Guest.connect(world.url);
  await eventually("the guest came", () => world.links.length === 1);
  assertThrows(() => world.links[0]!.start(new LinkRecorder()), Error, "started already");
  await world.links[0]!.close();
  await world.links[0]!.close();
  assertEquals(world.recorders[0]!.ends, [undefined]);
  assertEquals((await guest.closed).code, 1000);
});

test("listener takes no page of another origin than loopback's unless it is named", async (open) => {
  await using world = await open({ origins: ["https://vm.example", "null"] });
  const statuses: Record<string, number> = {};
  const origins = [
    "http://localhost:8000",
    "https://localhost",
    "http://127.0.0.1:3000",
    "http://[::1]:3000",
    "https://vm.example",
    "null",
    "https://evil.example",
    "http://localhost.evil.example",
    "http://vm.example",
    "https://vm.example:444",
    "ftp://localhost",
    '"quoted"',
  ];
  for (const origin of origins) statuses[origin] = await statusOf(world.url, [`Origin: ${origin}`]);
  assertEquals(
    Object.values(statuses),
    [101, 101, 101, 101, 101, 101, 403, 403, 403, 403, 403, 403],
    JSON.stringify(statuses),
  );
  assertEquals(await statusOf(world.url, []), 101);
  assertMatch(
    world.refusals[0]!,
    /^Refused 127\.0\.0\.1:\d+ on ws:.*: the origin "https:\/\/evil.example" is not allowed$/,
  );
  await using any = await open({ origins: ["*"] });
  assertEquals(await statusOf(any.url, ["Origin: https://evil.example"]), 101);
});

test("listener with a token takes nobody without it", async (open) => {
  await using world = await open({ token: "s3cret" });
  const attempts: [string[], string][] = [
    [[], "/"],
    [[], "/?token=wrong"],
    [[], "/?token=s3cretX"],
    [[], "/?token=s3cre"],
    [["Authorization: Bearer wrong"], "/?token=s3cret"],
    [["Authorization: Basic s3cret"], "/"],
    [[], "/?token=s3cret"],
    [["Authorization: Bearer s3cret"], "/vm"],
  ];
  const statuses = [];
  for (const [headers, path] of attempts) statuses.push(await statusOf(world.url, headers, path));
  assertEquals(statuses, [401, 401, 401, 401, 401, 401, 101, 101]);
  assertMatch(world.refusals[0]!, /: the token is missing or wrong$/);
  await assertRejects(() => Guest.connect(world.url), Error, "Cannot connect");
  await using _guest = await Guest.connect(`${world.url}/?token=s3cret`);
});

test("listener answers plain HTTP with what it is for", async (open) => {
  await using world = await open();
  const response = await fetch(world.url.replace("ws:", "http:"));
  assertEquals([response.status, await response.text()], [
    426,
    "This port takes WebSockets that carry Ethernet frames.\n",
  ]);
});

test("listener turns away guests beyond its bound, and serves one again when another has gone", async (open) => {
  await using world = await open();
  const guests: Guest[] = [];
  for (let i = 0; i < MOST_GUESTS; i++) {
    const guest = await Guest.connect(world.url);
    guests.push(guest);
    guest.send(broadcast(60));
    await eventually("it spoke", () => world.recorders[i]?.frames.length === 1);
  }
  assertEquals(await statusOf(world.url, []), 503);
  assertEquals(world.refusals.length, 1);
  await guests.pop()![Symbol.asyncDispose]();
  await eventually("one has gone", () => world.recorders.some(({ ends }) => ends.length > 0));
  guests.push(await Guest.connect(world.url));
  await Promise.all(guests.map((guest) => guest[Symbol.asyncDispose]()));
});

test("listener ends the longest silent guest for the newest, and none that has spoken", async (open) => {
  await using world = await open();
  using honest = await RawWebSocket.open(placeOf(world));
  await honest.send(clientFrame(BINARY, broadcast(60)));
  await eventually("it spoke", () => world.recorders[0]?.frames.length === 1);
  const silent: RawWebSocket[] = [];
  for (let i = 0; i <= MOST_SILENT; i++) silent.push(await RawWebSocket.open(placeOf(world)));
  assertEquals(await silent[0]!.frame(), { opcode: CLOSE, payload: Uint8Array.of(3, 232) });
  await eventually("all came", () => world.recorders.length === MOST_SILENT + 2);
  assertEquals(world.recorders.map(({ ends }) => ends.length).indexOf(1), 1);
  assertEquals(world.recorders.reduce((sum, { ends }) => sum + ends.length, 0), 1);
  assertMatch(world.refusals[0]!, /^Ended ws:.* from .*: it has sent no frame, and 64 such connections are the limit/);
  await silent[1]!.send(clientFrame(BINARY, broadcast(60)));
  await world.recorders[2]!.seen(1);
  for (const guest of silent) guest.close();
});

test("listener turns away the oldest connection without a request for the newest, and answers requests meanwhile", async (open) => {
  await using world = await open();
  const idle: RawWebSocket[] = [];
  for (let i = 0; i < MOST_PENDING; i++) idle.push(await RawWebSocket.connect(placeOf(world)));
  assertEquals(await statusOf(world.url, []), 101);
  assertMatch(await idle[0]!.head(), /^HTTP\/1\.1 503 /);
  assertMatch(world.refusals[0]!, /^Refused 127.*: 64 connections without a request are the limit of a listener$/);
  for (let i = 0; i < 3 * MOST_PENDING; i++) idle.push(await RawWebSocket.connect(placeOf(world)));
  assertEquals(await statusOf(world.url, []), 101);
  for (const one of idle) one.close();
});

test("listener gives a client so long for its request, and tells it", async (open) => {
  await using world = await open({ requestMs: 50 });
  using idle = await RawWebSocket.connect(placeOf(world)), half = await RawWebSocket.connect(placeOf(world));
  await half.send(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  assertMatch(await idle.head(), /^HTTP\/1\.1 408 /);
  assertMatch(await half.head(), /^HTTP\/1\.1 408 /);
  assertEquals(world.refusals.length, 2);
  using guest = await RawWebSocket.open(placeOf(world));
  await guest.send(clientFrame(BINARY, broadcast(60)));
  await eventually("it came", () => world.recorders[0]?.frames.length === 1);
});

test("link answers pings and closes as RFC 6455 says", async (open) => {
  await using world = await open();
  using guest = await RawWebSocket.open(placeOf(world), ["Sec-WebSocket-Protocol: binary"]);
  await guest.send(clientFrame(PING, Uint8Array.of(1, 2, 3)));
  assertEquals(await guest.frame(), { opcode: PONG, payload: Uint8Array.of(1, 2, 3) });
  await guest.send(joined(clientFrame(BINARY, broadcast(60)), clientFrame(CLOSE, Uint8Array.of(3, 233))));
  assertEquals(await guest.frame(), { opcode: CLOSE, payload: Uint8Array.of(3, 233) });
  assertEquals(await guest.rest(), new Uint8Array(0));
  assertEquals(await world.recorders[0]!.end(), undefined);
  assertEquals(world.recorders[0]!.frames.length, 1);
});

test("link of a guest that pings and never reads stays within what may be on its way", async (open) => {
  await using world = await open();
  using guest = await RawWebSocket.open(placeOf(world));
  const pings = joined(...Array.from({ length: 2000 }, () => clientFrame(PING, new Uint8Array(125))));
  for (let i = 0; i < 40; i++) await guest.send(pings);
  await guest.send(clientFrame(BINARY, broadcast(60)));
  await world.recorders[0]!.seen(1);
  assertEquals(world.recorders[0]!.ends, []);
});

test("link ends with a message that is longer than any frame, before it is whole", async (open) => {
  await using world = await open();
  using guest = await RawWebSocket.open(placeOf(world));
  const bytes = clientFrame(BINARY, new Uint8Array(200_000).fill(0xff), { length: 1 << 26 });
  await guest.send(bytes);
  assertEquals(await guest.frame(), { opcode: CLOSE, payload: Uint8Array.of(3, 241) });
  assertMatch((await world.recorders[0]!.end())!, /a message is longer than any frame$/);
});

test("listener's end leaves its guests, and ends who has not been answered", async (open) => {
  await using world = await open();
  using guest = await RawWebSocket.open(placeOf(world)), idle = await RawWebSocket.connect(placeOf(world));
  await idle.send(new TextEncoder().encode("GET"));
  await guest.send(clientFrame(BINARY, broadcast(60)));
  await eventually("it came", () => world.recorders[0]?.frames.length === 1);
  await world.listener[Symbol.asyncDispose]();
  await idle.rest();
  await guest.send(clientFrame(BINARY, broadcast(61)));
  await world.recorders[0]!.seen(2);
});

test("listener says that its port is in use", async (open) => {
  await using world = await open();
  const port = Number(new URL(world.url.replace("ws:", "http:")).port);
  await assertRejects(
    () => listenForWebSockets({ hostname: "127.0.0.1", port }, { attach: () => {} }),
    Deno.errors.AddrInUse,
    `Cannot listen on port ${port} of 127.0.0.1: it is in use`,
  );
});
