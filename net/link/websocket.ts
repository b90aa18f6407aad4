/**
 * A listener for guests in WebSockets (RFC 6455): virtual machines in a browser, and any program that can speak it.
 *
 * **Two framings** travel in binary messages. Bare: a frame a message, as v86 sends. Framed: QEMU's stream, a 32-bit length
 * before each frame, cut into messages anywhere, as container2wasm sends. Unless told, the first message decides: it is
 * framed if it is too short for a frame or begins with a length that a frame can have, which an Ethernet destination does
 * not look like: guests begin with frames to everyone, to a group or to the gateway. Frames to the guest go out in the same
 * framing, each in a message of its own; before the first message there is none, and they are dropped.
 *
 * **Who may connect.** A web page can open a WebSocket to any port of the machine on which its browser runs, loopback included,
 * and would be a guest like any other; browsers tell its origin. So a request with an `Origin` is refused unless
 * that is on loopback itself or in `origins`; other programs send none. With a `token` every request must carry it, in
 * the query (`?token=`) or as `Authorization: Bearer`.
 *
 * **Limits.** A WebSocket takes whatever it is given to send: beyond `MOST_BUFFERED` bytes on their way, frames are
 * dropped and counted. Messages are handled as they come; Deno takes none over 64 MiB. It also asks a silent client whether it is
 * there, and ends the connection if not.
 *
 * @module
 */
import { Frame } from "../wire/frame.ts";
import { readUint32, writeUint32 } from "../wire/bytes.ts";
import type { Link, LinkReceiver } from "./link.ts";
import { GuestCount, type LinkListener, type ListenerOptions } from "./listener.ts";
import { ETHERNET_HEADER_LENGTH, LONGEST_FRAME } from "../wire/ethernet.ts";
import { LENGTH_PREFIX, StreamInput } from "./stream_framing.ts";

/** How frames travel in messages. */
export type WebSocketFraming = "bare" | "framed";

/** What a listener for WebSockets is told. */
export interface WebSocketListenerOptions extends ListenerOptions {
  /** How frames travel in messages; unless given, each guest's first message tells. */
  readonly framing?: WebSocketFraming;
  /** What a client must know to connect; nothing unless given. */
  readonly token?: string;
  /** Web origins that may connect besides those on loopback: `https://vm.example`; `*` for any. */
  readonly origins?: readonly string[];
}

/** Bytes that may be on their way to a guest. */
const MOST_BUFFERED = 1 << 20;
/** How long a client may take to answer that its connection closes. */
const CLOSING_MS = 500;
/** Close codes (RFC 6455 section 7.4.1): what was received cannot be understood; the normal end. */
const UNSUPPORTED_DATA = 1003;
const NORMAL = 1000;

/**
 * Listens for WebSockets on an address and a port, 0 for a free one. Throws `Deno.errors.AddrInUse` for a port that another
 * program has, and what else `Deno.serve` throws.
 *
 * @example
 * ```ts ignore
 * await using listener = await listenForWebSockets({ hostname: "127.0.0.1", port: 0 }, { attach: (link) => gateway.attach(link) });
 * ```
 */
export async function listenForWebSockets(
  address: { readonly hostname: string; readonly port: number },
  options: WebSocketListenerOptions,
): Promise<LinkListener> {
  return await Promise.resolve(new WebSocketListener(address, options));
}

class WebSocketListener implements LinkListener {
  readonly address: string;
  readonly #options: WebSocketListenerOptions;
  readonly #abort = new AbortController();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #guests: GuestCount;
  readonly #links = new Set<WebSocketLink>();

  constructor(address: { readonly hostname: string; readonly port: number }, options: WebSocketListenerOptions) {
    this.#options = options;
    const { signal } = this.#abort;
    this.#server = serve({ ...address, signal }, (request, info) => this.#answer(request, info.remoteAddr));
    const { hostname, port } = this.#server.addr;
    this.address = `ws:${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
    this.#guests = new GuestCount(this.address, options);
  }

  /** Takes no more connections, and ends those that are open: they are the server's. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#links].map((link) => link.close()));
    this.#abort.abort();
    await this.#server.finished;
  }

  #answer(request: Request, peer: Deno.NetAddr): Response {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("This port takes WebSockets that carry Ethernet frames.\n", { status: 426 });
    }
    const origin = request.headers.get("origin"), { token, origins = [] } = this.#options;
    if (origin !== null && !isAllowed(origin, origins)) {
      return this.#refuse(peer, 403, `the origin ${clipped(origin)} is not allowed`);
    }
    if (token !== undefined && !isSame(tokenOf(request), token)) {
      return this.#refuse(peer, 401, "the token is missing or wrong");
    }
    if (!this.#guests.take()) return new Response("Too many guests.\n", { status: 503 });
    const { socket, response } = Deno.upgradeWebSocket(request);
    const link: WebSocketLink = new WebSocketLink(socket, {
      name: `${this.address} from ${peer.hostname}:${peer.port}`,
      mtu: this.#options.mtu ?? 1500,
      framing: this.#options.framing,
      ended: () => {
        this.#links.delete(link);
        this.#guests.gone();
      },
    });
    this.#links.add(link);
    socket.onopen = () => this.#options.attach(link);
    return response;
  }

  #refuse(peer: Deno.NetAddr, status: number, why: string): Response {
    this.#options.refused?.(`Refused ${peer.hostname}:${peer.port} on ${this.address}: ${why}`);
    return new Response(`Refused: ${why}.\n`, { status });
  }
}

/** What a link over a WebSocket is told. */
interface WebSocketLinkOptions {
  readonly name: string;
  readonly mtu: number;
  readonly framing: WebSocketFraming | undefined;
  readonly ended: () => void;
}

class WebSocketLink implements Link {
  readonly name: string;
  readonly mtu: number;
  readonly headroom = LENGTH_PREFIX;
  readonly offload = false;
  dropped = 0;
  readonly #socket: WebSocket;
  readonly #ended: () => void;
  readonly #frame = new Frame();
  readonly #gone = Promise.withResolvers<void>();
  #framing: WebSocketFraming | undefined;
  #input: StreamInput | undefined;
  #receiver: LinkReceiver | undefined;
  #closed = false;

  constructor(socket: WebSocket, options: WebSocketLinkOptions) {
    this.name = options.name;
    this.mtu = options.mtu;
    this.#framing = options.framing;
    this.#ended = options.ended;
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = () => {
      this.#gone.resolve();
      this.#end(this.#input?.atBoundary === false ? this.#problem(this.#input.describeRest()) : undefined);
    };
    // `close` follows, and says everything.
    socket.onerror = () => {};
  }

  start(receiver: LinkReceiver): void {
    if (this.#closed) throw new Error(`Cannot start link ${this.name}: it is closed`);
    if (this.#receiver) throw new Error(`Cannot start link ${this.name}: it is started already`);
    this.#receiver = receiver;
  }

  send(frame: Frame): boolean {
    const socket = this.#socket, framing = this.#framing;
    const isReady = !this.#closed && framing !== undefined && socket.readyState === WebSocket.OPEN;
    if (!isReady || frame.start < LENGTH_PREFIX || socket.bufferedAmount + frame.length > MOST_BUFFERED) {
      this.dropped++;
      return false;
    }
    // `send` takes a copy.
    socket.send(framing === "framed" ? withLength(frame) : view(frame.bytes, frame.start, frame.end));
    return true;
  }

  flush(): void {}

  async close(): Promise<void> {
    this.#end();
    // A client that does not answer is not waited for: the server's end cuts it off.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<void>((resolve) => timer = setTimeout(resolve, CLOSING_MS));
    await Promise.race([this.#gone.promise, timeout]);
    clearTimeout(timer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #take(data: unknown): void {
    const receiver = this.#receiver;
    if (this.#closed || receiver === undefined) return;
    if (!(data instanceof ArrayBuffer)) return this.#end(this.#problem("a text message came, frames are binary"));
    const bytes = new Uint8Array(data);
    if (bytes.length === 0) return;
    this.#framing ??= framingOf(bytes);
    if (this.#framing === "framed") return this.#takeStream(bytes, receiver);
    receiver.receive(this.#frame.set(bytes, 0, bytes.length));
    receiver.flush();
  }

  #takeStream(bytes: Uint8Array, receiver: LinkReceiver): void {
    const input = this.#input ??= new StreamInput(), frame = this.#frame;
    for (let at = 0; at < bytes.length && !this.#closed;) {
      input.makeRoom();
      const count = Math.min(bytes.length - at, input.bytes.length - input.end);
      input.bytes.set(bytes.subarray(at, at + count), input.end);
      input.end += count;
      at += count;
      while (!this.#closed && input.next(frame)) receiver.receive(frame);
      if (input.problem !== undefined) return this.#end(this.#problem(input.problem));
    }
    if (!this.#closed) receiver.flush();
  }

  #problem(cause: string): Error {
    return new Error(`Cannot read from link ${this.name}: ${cause}`);
  }

  #end(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    const { readyState } = this.#socket;
    if (readyState === WebSocket.OPEN || readyState === WebSocket.CONNECTING) {
      this.#socket.close(error ? UNSUPPORTED_DATA : NORMAL);
    }
    this.#ended();
    this.#receiver?.closed(error);
  }
}

/** Which framing a guest's first message shows. */
function framingOf(message: Uint8Array): WebSocketFraming {
  if (message.length < ETHERNET_HEADER_LENGTH) return "framed";
  return readUint32(message, 0) <= LONGEST_FRAME ? "framed" : "bare";
}

function withLength(frame: Frame): Uint8Array<ArrayBuffer> {
  const start = frame.start - LENGTH_PREFIX;
  writeUint32(frame.bytes, start, frame.length);
  return view(frame.bytes, start, frame.end);
}

function view(bytes: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
  return bytes.subarray(start, end) as Uint8Array<ArrayBuffer>;
}

function serve(
  address: { readonly hostname: string; readonly port: number; readonly signal: AbortSignal },
  handler: (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Response,
): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve({ ...address, onListen() {} }, handler);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new Deno.errors.AddrInUse(
      `Cannot listen on port ${address.port} of ${address.hostname}: it is in use, take another one or end the program that has it`,
    );
  }
}

/** Whether a page of this origin may connect: one on loopback, or one that was named. */
function isAllowed(origin: string, origins: readonly string[]): boolean {
  if (origins.includes("*") || origins.includes(origin)) return true;
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname);
}

function tokenOf(request: Request): string {
  const bearer = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  return bearer ?? new URL(request.url).searchParams.get("token") ?? "";
}

/** Compares in a time that does not tell how much of a guess is right. */
function isSame(guess: string, token: string): boolean {
  const encoder = new TextEncoder(), a = encoder.encode(guess), b = encoder.encode(token);
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= b[i]! ^ (a[i] ?? 0);
  return difference === 0;
}

/** Text of a stranger's, as much of it as belongs in a log line. */
function clipped(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
