/**
 * A transfer of so many bytes each way over one connection, closed in a chosen order, checked by digest at both ends.
 *
 * As a program this is the guest's end, for `hawser run`: host, port, how many at once, and the exchanges as JSON. It
 * prints a line of JSON for each.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { PATTERN_MAX, patternAt } from "../../cli/demo_pattern.ts";

/** What passes. */
export interface Exchange {
  /** Bytes from the guest. */
  readonly up: number;
  /** Bytes to the guest. */
  readonly down: number;
  /** Who finishes first: the other then begins; `both`: nobody waits. */
  readonly first: "guest" | "host" | "both";
}

/** How it went at one end. */
export interface Outcome extends Exchange {
  /** SHA-256 of what came, in hexadecimal. */
  readonly digest: string;
  /** How long it took, in milliseconds. */
  readonly ms: number;
}

/** The exchange itself goes ahead, as text of this length. */
const HEADER = 64;

/** Plays the guest's end and closes the connection. */
export async function ask(conn: Deno.TcpConn, exchange: Exchange): Promise<Outcome> {
  const began = performance.now(), { up, down, first } = exchange;
  try {
    await writeAll(conn, new TextEncoder().encode(`${up} ${down} ${first}`.padEnd(HEADER)));
    const digest = await exchangeBytes(conn, up, first === "both" ? "both" : first === "guest" ? "mine" : "theirs");
    return { ...exchange, digest, ms: performance.now() - began };
  } finally {
    conn.close();
  }
}

/** Plays the host's end and closes the connection. */
export async function answer(conn: Deno.TcpConn): Promise<Outcome> {
  const began = performance.now(), header = new Uint8Array(HEADER);
  try {
    for (let at = 0; at < HEADER;) {
      const count = await conn.read(header.subarray(at));
      if (count === null) throw new Error(`the connection ended after ${at} bytes of its header`);
      at += count;
    }
    const [up, down, first] = new TextDecoder().decode(header).trim().split(" ");
    const exchange = { up: Number(up), down: Number(down), first: first as Exchange["first"] };
    const digest = await exchangeBytes(
      conn,
      exchange.down,
      first === "both" ? "both" : first === "host" ? "mine" : "theirs",
    );
    return { ...exchange, digest, ms: performance.now() - began };
  } finally {
    conn.close();
  }
}

/** The digest that `length` bytes must have. */
export function expectedDigest(length: number): string {
  const hash = createHash("sha256");
  for (let at = 0; at < length; at += PATTERN_MAX) hash.update(patternAt(at, Math.min(PATTERN_MAX, length - at)));
  return hash.digest("hex");
}

/** Sends `length` bytes and FIN, and reads to the peer's, in this order. Returns the digest of what was read. */
async function exchangeBytes(conn: Deno.TcpConn, length: number, first: "mine" | "theirs" | "both"): Promise<string> {
  if (first === "theirs") {
    const digest = await digestToEnd(conn);
    await send(conn, length);
    return digest;
  }
  const sent = send(conn, length);
  if (first === "mine") await sent;
  const [digest] = await Promise.all([digestToEnd(conn), sent]);
  return digest;
}

async function send(conn: Deno.TcpConn, length: number): Promise<void> {
  for (let at = 0; at < length;) at += await conn.write(patternAt(at, Math.min(PATTERN_MAX, length - at)));
  await conn.closeWrite();
}

async function digestToEnd(conn: Deno.TcpConn): Promise<string> {
  const hash = createHash("sha256"), buffer = new Uint8Array(PATTERN_MAX);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    hash.update(buffer.subarray(0, count));
  }
  return hash.digest("hex");
}

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

if (import.meta.main) {
  const [hostname, port, atOnce, exchanges] = Deno.args;
  const waiting: Exchange[] = JSON.parse(exchanges!);
  await Promise.all(Array.from({ length: Number(atOnce) }, async () => {
    for (let exchange = waiting.shift(); exchange; exchange = waiting.shift()) {
      const conn = await Deno.connect({ hostname: hostname!, port: Number(port) });
      console.log(JSON.stringify(await ask(conn, exchange)));
    }
  }));
}
