/**
 * A program of a guest that opens connections to a server that sends back what it gets, says pieces of bytes, and tells
 * what became of each. The first word is a list of `Conversation`, as JSON.
 *
 * @module
 */

/** What is said over one connection. */
export interface Conversation {
  /** To whom. */
  readonly host: string;
  /** The port. */
  readonly port: number;
  /** The bytes: an array for each write, and so for each segment as far as the kernel likes. */
  readonly pieces: readonly (readonly number[])[];
  /** Bytes without meaning that follow, so many. */
  readonly more?: number;
  /** Whether the guest finishes behind them. */
  readonly finishes?: boolean;
}

/** What became of it. */
export interface Fate {
  /** `echoed`: all of it came back; `ended`: the server finished before; otherwise the error. */
  readonly fate: string;
  /** Bytes that came back. */
  readonly bytes: number;
  /** Milliseconds from the first write on. */
  readonly ms: number;
}

if (import.meta.main) {
  const conversations: Conversation[] = JSON.parse(Deno.args[0]!);
  console.log(JSON.stringify(await Promise.all(conversations.map(talk))));
}

async function talk({ host, port, pieces, more = 0, finishes = false }: Conversation): Promise<Fate> {
  let bytes = 0, began = performance.now();
  const fate = (fate: string): Fate => ({ fate, bytes, ms: performance.now() - began });
  try {
    using conn = await Deno.connect({ hostname: host, port });
    conn.setNoDelay(true);
    began = performance.now();
    const all = pieces.reduce((sum, { length }) => sum + length, more);
    const said = say(conn, [...pieces.map((piece) => Uint8Array.from(piece)), new Uint8Array(more)], finishes);
    const buffer = new Uint8Array(65_536);
    try {
      while (finishes || bytes < all) {
        const count = await conn.read(buffer);
        if (count === null) return fate(bytes === all ? "echoed" : "ended");
        bytes += count;
      }
    } finally {
      await said;
    }
    return fate("echoed");
  } catch (error) {
    return fate((error as Error).name);
  }
}

async function say(conn: Deno.TcpConn, pieces: readonly Uint8Array[], finishes: boolean): Promise<void> {
  try {
    for (const piece of pieces) for (let at = 0; at < piece.length;) at += await conn.write(piece.subarray(at));
    if (finishes) await conn.closeWrite();
  } catch {
    // The read says why.
  }
}
