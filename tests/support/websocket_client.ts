/**
 * A WebSocket's client for tests that says exactly what it is told, right or wrong.
 *
 * @module
 */

const UPGRADE = [
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/** A request for a WebSocket as text, with these header fields more. */
export function webSocketRequest(fields: readonly string[] = [], path = "/"): string {
  return [`GET ${path} HTTP/1.1`, "Host: 127.0.0.1", ...UPGRADE, ...fields, "", ""].join("\r\n");
}

/** Opcodes (RFC 6455 section 5.2). */
export const CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

/**
 * A client's frame: masked, the last of its message, unless told otherwise. `length` is what it announces, if that is
 * not true.
 */
export function clientFrame(
  opcode: number,
  payload: Uint8Array,
  options: { isLast?: boolean; mask?: readonly number[] | null; reserved?: number; length?: number } = {},
): Uint8Array<ArrayBuffer> {
  const { isLast = true, mask = [0x12, 0x34, 0x56, 0x78], reserved = 0, length = payload.length } = options;
  const masked = mask === null ? 0 : 0x80;
  const size = length < 126
    ? [length | masked]
    : length < 65536
    ? [126 | masked, length >> 8, length & 255]
    : [127 | masked, ...new Uint8Array(new BigUint64Array([BigInt(length)]).buffer).reverse()];
  const head = [(isLast ? 0x80 : 0) | reserved | opcode, ...size, ...mask ?? []];
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  payload.forEach((byte, i) => bytes[head.length + i] = byte ^ (mask?.[i & 3] ?? 0));
  return bytes;
}

/** These arrays as one. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A client's connection to a listener. */
export class RawWebSocket implements Disposable {
  readonly #conn: Deno.Conn;
  #rest = new Uint8Array(0);

  private constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  /** Connects and says nothing. `place` is `HOST:PORT`. */
  static async connect(place: string): Promise<RawWebSocket> {
    const { hostname, port } = new URL(`http://${place}`);
    return new RawWebSocket(await Deno.connect({ hostname: hostname.replace(/[[\]]/g, ""), port: Number(port) }));
  }

  /** Connects and asks. Throws an `Error` if it is refused. */
  static async open(place: string, fields: readonly string[] = [], path = "/"): Promise<RawWebSocket> {
    const client = await RawWebSocket.connect(place);
    await client.send(new TextEncoder().encode(webSocketRequest(fields, path)));
    const head = await client.head();
    if (!head.startsWith("HTTP/1.1 101 ")) {
      client.close();
      throw new Error(`Cannot open a WebSocket: ${head}`);
    }
    return client;
  }

  /** Sends bytes as they are. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }

  /** The head of a response. */
  async head(): Promise<string> {
    let text = "";
    while (!text.endsWith("\r\n\r\n")) text += String.fromCharCode((await this.#take(1))[0]!);
    return text;
  }

  /** The next frame of the server. */
  async frame(): Promise<{ opcode: number; payload: Uint8Array }> {
    const [first, short] = await this.#take(2);
    let length = short!;
    if (short === 126) length = new DataView((await this.#take(2)).buffer).getUint16(0);
    if (short === 127) length = Number(new DataView((await this.#take(8)).buffer).getBigUint64(0));
    return { opcode: first! & 15, payload: await this.#take(length) };
  }

  /** Everything until the end, which may be a reset. */
  async rest(): Promise<Uint8Array> {
    const parts = [this.#rest];
    const buffer = new Uint8Array(65536);
    try {
      for (let n = await this.#conn.read(buffer); n !== null; n = await this.#conn.read(buffer)) {
        parts.push(buffer.slice(0, n));
      }
    } catch {
      // It was reset.
    }
    return joined(...parts);
  }

  /** Closes the connection without a word. */
  close(): void {
    this.#conn.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #take(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const buffer = new Uint8Array(65536);
    while (this.#rest.length < count) {
      const n = await this.#conn.read(buffer);
      if (n === null) throw new Error(`Cannot read ${count} bytes: the end came`);
      this.#rest = joined(this.#rest, buffer.subarray(0, n));
    }
    const taken = this.#rest.slice(0, count);
    this.#rest = this.#rest.slice(count);
    return taken;
  }
}
