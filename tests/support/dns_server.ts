/**
 * A DNS server on loopback for tests: UDP and TCP on one port, answering as the test says.
 *
 * @module
 */
import { createSocket, type Socket } from "node:dgram";

/** A message that the server got. */
export interface ServedQuery {
  /** `udp` or `tcp`. */
  readonly transport: "udp" | "tcp";
  /** The message, without a length before it. */
  readonly bytes: Uint8Array;
  /** The port it came from. */
  readonly port: number;
}

/** The answer to a message, or null for none. */
export type Responder = (query: ServedQuery) => Uint8Array | null;

/**
 * Answers every question with this A record, whatever type was asked for; a question for AAAA with the address `ipv6`,
 * or with nothing.
 */
export function respondWith(ipv4: readonly number[], ttl = 300, ipv6: readonly number[] = []): Responder {
  return ({ bytes }) => {
    const question = bytes.subarray(12, bytes.indexOf(0, 12) + 5), isAaaa = question.at(-3) === 28;
    const address = isAaaa ? ipv6 : ipv4, type = isAaaa ? 28 : 1, count = address.length > 0 ? 1 : 0;
    const record = [0xc0, 12, 0, type, 0, 1, ttl >>> 24, ttl >>> 16, ttl >>> 8, ttl, 0, address.length, ...address];
    const head = [bytes[0]!, bytes[1]!, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
    return Uint8Array.from([...head, ...question, ...(count === 0 ? [] : record)]);
  };
}

/** A server; dispose of it to close its sockets. */
export class DnsServer implements AsyncDisposable {
  /** Its port. */
  readonly port: number;
  /** What it got, in order. */
  readonly queries: ServedQuery[] = [];
  readonly #udp: Socket;
  readonly #tcp: Deno.TcpListener;
  readonly #hostname: string;
  readonly #respond: Responder;
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #accepting: Promise<void>;

  private constructor(udp: Socket, tcp: Deno.TcpListener, parts: { hostname: string; respond: Responder }) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.#hostname = parts.hostname;
    this.#respond = parts.respond;
    this.port = tcp.addr.port;
    udp.on("message", (message, from) => {
      const answer = this.#serve({ transport: "udp", bytes: new Uint8Array(message), port: from.port });
      if (answer !== null) udp.send(answer, from.port, from.address);
    });
    this.#accepting = this.#accept();
  }

  /** Starts a server on an address of loopback; port 0 takes a free one. */
  static async start(respond: Responder, where: { hostname?: string; port?: number } = {}): Promise<DnsServer> {
    const { hostname = "127.0.0.1", port = 0 } = where;
    const tcp = Deno.listen({ hostname, port }), udp = createSocket(hostname.includes(":") ? "udp6" : "udp4");
    await new Promise<void>((resolve, reject) => {
      udp.once("error", reject);
      udp.bind(tcp.addr.port, hostname, () => resolve());
    });
    return new DnsServer(udp, tcp, { hostname, respond });
  }

  /** Sends a datagram to who sent `query`. */
  send(bytes: Uint8Array, query: ServedQuery): void {
    this.#udp.send(bytes, query.port, this.#hostname);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tcp.close();
    for (const conn of this.#conns) conn.close();
    await this.#accepting;
    await new Promise<void>((resolve) => this.#udp.close(() => resolve()));
  }

  #serve(query: ServedQuery): Uint8Array | null {
    this.queries.push(query);
    return this.#respond(query);
  }

  async #accept(): Promise<void> {
    const serving: Promise<void>[] = [];
    for await (const conn of this.#tcp) {
      this.#conns.add(conn);
      serving.push(this.#converse(conn).catch(() => {}).finally(() => this.#conns.delete(conn)));
    }
    await Promise.all(serving);
  }

  async #converse(conn: Deno.TcpConn): Promise<void> {
    for (;;) {
      const head = await readExactly(conn, 2);
      const bytes = head && await readExactly(conn, (head[0]! << 8) | head[1]!);
      if (!bytes) return conn.close();
      const answer = this.#serve({ transport: "tcp", bytes, port: (conn.remoteAddr as Deno.NetAddr).port });
      if (answer === null) continue;
      const framed = new Uint8Array([answer.length >>> 8, answer.length & 255, ...answer]);
      for (let at = 0; at < framed.length;) at += await conn.write(framed.subarray(at));
    }
  }
}

/** So many bytes, or null where the connection ends before. */
async function readExactly(conn: Deno.Conn, length: number): Promise<Uint8Array | null> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await conn.read(bytes.subarray(at));
    if (count === null) return null;
    at += count;
  }
  return bytes;
}
