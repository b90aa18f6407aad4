/**
 * A listener of links under a script: clients that come, say whatever, and leave, while descriptors run out and come
 * back.
 *
 * After every line it looks whether the listener keeps its promises: nothing is thrown; no more connections than its
 * bounds; nobody who has spoken is ended for someone who has not; nobody waits while there are descriptors; each
 * descriptor is closed once; a link gives only frames that can be. At the end nothing is left.
 *
 * The verbs: `listen KIND` (`ws` or `stream`) with `token`, `framing`; `come times=N`; `say client=N hex=BYTES`; `leave
 * client=N`; `take times=N` and `give times=N`: other parts of the program open and close descriptors; `limit of=N`;
 * `wait ms=N`; `send len=N`: a frame to every guest; `read client=N`: it takes all that was sent to it.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { MOST_SILENT, serveStreams } from "../../net/link/connected_guests.ts";
import type { Arrival, Conversation, Door, DoorHandler } from "../../net/link/arrival.ts";
import { FramedLink, type FramedLinkOptions } from "../../net/link/framed_link.ts";
import type { Link } from "../../net/link/link.ts";
import { type LinkListener, type ListenerOptions, MOST_GUESTS } from "../../net/link/listener.ts";
import { MOST_QUEUED, StreamOutput } from "../../net/link/stream_framing.ts";
import { MOST_PENDING, serveWebSockets } from "../../net/link/websocket_door.ts";
import type { WebSocketFraming } from "../../net/link/websocket_framing.ts";
import { Acceptor, REST_MS } from "../../net/linux/acceptor.ts";
import { LEFT_BY_NEWCOMERS } from "../../net/linux/descriptors.ts";
import { LONGEST_FRAME } from "../../net/wire/ethernet.ts";
import { Frame } from "../../net/wire/frame.ts";
import { CrowdKernel } from "./crowd_kernel.ts";

const ACCEPTS_PER_TURN = 8;
/** Time in which whoever waits must have been taken or turned away, if there are descriptors. */
const PATIENCE_MS = 1000;

/** A client's connection, as the listener sees it and as a link. */
class Client implements Arrival {
  readonly from: string;
  /** Whether a whole frame of it has come. */
  spoke = false;
  link_: ScriptLink | undefined;
  readonly #kernel: CrowdKernel;
  readonly #fd: number;
  #conversation: Conversation | undefined;
  #over = false;

  constructor(kernel: CrowdKernel, fd: number) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.from = `client ${kernel.ownerOf(fd)}`;
  }

  /** Whether its connection is open. */
  get isOpen(): boolean {
    return !this.#over || (this.link_ !== undefined && !this.link_.isClosed);
  }

  listen(conversation: Conversation): void {
    this.#conversation = conversation;
  }

  say(bytes: Uint8Array): void {
    assert(!this.#over && bytes.length > 0 && bytes.length < 1000);
  }

  link(options: FramedLinkOptions): Link {
    assert(!this.#over, "a connection becomes a link once");
    this.#over = true;
    return this.link_ = new ScriptLink(options, () => this.#kernel.close(this.#fd));
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#kernel.close(this.#fd);
  }

  /** It says something, or ends if that is nothing. */
  hear(bytes: Uint8Array): void {
    for (let at = 0; !this.#over;) {
      const room = this.#conversation!.room(), piece = bytes.subarray(at, at + room.length);
      room.set(piece);
      this.#conversation!.took(piece.length);
      at += piece.length;
      if (at === bytes.length) return;
    }
    if (this.link_ !== undefined && bytes.length === 0) this.link_.gone();
    else this.link_?.hear(bytes);
  }
}

/** A link whose other end is the script. */
class ScriptLink extends FramedLink {
  readonly output: StreamOutput;
  readonly #freed: () => void;

  constructor(options: FramedLinkOptions, freed: () => void) {
    super(options);
    this.output = new StreamOutput(this.prefix);
    this.#freed = freed;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  hear(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && !this.closed;) {
      this.input.makeRoom();
      const room = this.input.bytes.length - this.input.end;
      assert(room > 0, "a link that is open has room");
      const piece = bytes.subarray(at, at + room);
      this.input.bytes.set(piece, this.input.end);
      this.deliver(piece.length);
      at += piece.length;
    }
  }

  gone(): void {
    this.finish();
  }

  protected override begin(): void {}
  protected override queue(frame: Frame): boolean {
    return this.output.push(frame);
  }
  protected override queueBytes(bytes: Uint8Array): boolean {
    return this.output.pushBytes(bytes, 0, bytes.length);
  }
  protected override write(): void {}
  protected override free(): void {
    this.#freed();
  }
  protected override async freed(): Promise<void> {}
}

/** The door of such a listener. */
class ScriptDoor implements Door {
  readonly place = "script";
  readonly clients: Client[] = [];
  readonly #kernel: CrowdKernel;
  #acceptor: Acceptor | undefined;

  constructor(kernel: CrowdKernel) {
    this.#kernel = kernel;
  }

  open(handler: DoorHandler): void {
    const accepted = (fd: number) => {
      const client = new Client(this.#kernel, fd);
      this.clients[this.#kernel.ownerOf(fd)] = client;
      handler.arrived(client);
    };
    this.#acceptor = new Acceptor(
      this.#kernel.loop,
      this.#kernel.take(-2),
      {
        handler: { accepted, acceptFailed: () => handler.refused("no descriptor", true) },
        mostPerTurn: ACCEPTS_PER_TURN,
        left: LEFT_BY_NEWCOMERS,
      },
      this.#kernel,
    );
  }

  delay(callback: () => void, ms: number): () => void {
    return this.#kernel.delay(callback, ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#acceptor?.close();
    await Promise.resolve();
  }
}

/** A listener and what a script does to it. */
export class CrowdTarget {
  /** How often the listener turned someone away. */
  refusals = 0;
  /** How often for want of descriptors. */
  shortages = 0;
  /** Frames that came from all guests. */
  frames = 0;
  readonly #kernel = new CrowdKernel();
  readonly #door = new ScriptDoor(this.#kernel);
  readonly #isWebSocket: boolean;
  readonly #listener: Promise<LinkListener>;
  #came = 0;

  /** Listens as the first line of a script says. */
  constructor(first: string) {
    const { words, fields } = parse(first);
    assert(words[0] === "listen", "a script begins with listen");
    this.#isWebSocket = words[1] === "ws";
    const options: ListenerOptions = {
      attach: (link) => this.#attach(link as ScriptLink),
      refused: (_message, isExhausted) => {
        this.refusals++;
        if (isExhausted) this.shortages++;
      },
    };
    const token = fields.get("token"), framing = fields.get("framing") as WebSocketFraming | undefined;
    this.#listener = this.#isWebSocket
      ? serveWebSockets(this.#door, { ...options, ...(token && { token }), ...(framing && { framing }) })
      : serveStreams(this.#door, "script", options);
  }

  /** How many guests have an open link. */
  get guests(): number {
    return this.#door.clients.filter((client) => client.link_?.isClosed === false).length;
  }

  /** Plays a line and looks at the promises. */
  act(line: string): void {
    const { words, fields } = parse(line), number = (name: string) => Number(fields.get(name) ?? 1);
    const client = this.#door.clients[number("client")];
    switch (words[0]) {
      case "come":
        for (let i = number("times"); i > 0; i--) this.#kernel.arrive(this.#came++);
        break;
      case "say":
        if (client?.isOpen) client.hear(fromHex(fields.get("hex") ?? ""));
        break;
      case "leave":
        if (client?.isOpen) client.hear(new Uint8Array(0));
        break;
      case "take":
        for (let i = number("times"); i > 0; i--) this.#kernel.take(-1);
        break;
      case "give":
        this.#kernel.giveBack(number("times"));
        break;
      case "limit":
        this.#kernel.limit = Math.max(1, number("of"));
        break;
      case "wait":
        this.#kernel.wait(number("ms"));
        break;
      case "send":
        this.#send(number("len"));
        break;
      case "read": {
        const output = client?.link_?.output;
        output?.taken(output.length);
        break;
      }
      case "expect":
        for (const [name, value] of fields) assertEquals(this[name as "guests"], Number(value), name);
        break;
      default:
        throw new SyntaxError(`Cannot play "${line}"`);
    }
    this.#kernel.run();
    this.#check();
  }

  /** Ends the listener and every link, and looks whether anything is left. */
  async close(): Promise<void> {
    await (await this.#listener)[Symbol.asyncDispose]();
    for (const client of this.#door.clients) {
      if (client?.link_ !== undefined) await client.link_.close();
      assert(client === undefined || !client.isOpen, "nobody is left");
    }
    this.#kernel.giveBack(Infinity);
    assertEquals([this.#kernel.open, this.#kernel.delays], [0, 0]);
  }

  #attach(link: ScriptLink): void {
    const client = this.#door.clients.find((each) => each?.link_ === link) ?? this.#door.clients.at(-1)!;
    link.start({
      receive: (frame) => {
        assert(frame.length >= 0 && frame.length <= LONGEST_FRAME && frame.end <= frame.bytes.length);
        client.spoke = true;
        this.frames++;
      },
      flush() {},
      closed() {},
    });
  }

  #send(length: number): void {
    const frame = new Frame(), bytes = new Uint8Array(100 + length);
    for (const client of this.#door.clients) {
      const link = client?.link_;
      if (link === undefined) continue;
      link.send(frame.set(bytes, 50, 50 + length));
      assert(link.output.length <= MOST_QUEUED);
    }
  }

  #check(): void {
    const open = this.#door.clients.filter((client) => client?.isOpen);
    const links = open.filter(({ link_ }) => link_ !== undefined);
    assert(open.length - links.length <= (this.#isWebSocket ? MOST_PENDING : 0), `${open.length - links.length} pend`);
    assert(links.length <= MOST_GUESTS, `${links.length} guests`);
    const silent = links.filter(({ spoke }) => !spoke).length;
    assert(silent <= MOST_SILENT, `${silent} are silent`);
    if (this.#kernel.waiting.length === 0 || this.#kernel.free === 0) return;
    const before = this.#kernel.waiting.length;
    this.#kernel.wait(PATIENCE_MS);
    // A descriptor may have come free since the acceptor last tried, while it rests.
    const isResting = this.#kernel.now - this.#kernel.shortAt <= REST_MS;
    const isServed = this.#kernel.waiting.length === 0 || this.#kernel.free === 0 || isResting;
    assert(isServed, `${before} clients wait for nothing`);
  }
}

function parse(line: string): { words: string[]; fields: ReadonlyMap<string, string> } {
  const parts = line.trim().split(/\s+/);
  const fields = parts.filter((part) => part.includes("=")).map((part) => part.split("=") as [string, string]);
  return { words: parts.filter((part) => !part.includes("=")), fields: new Map(fields) };
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
