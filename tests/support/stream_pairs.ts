/**
 * Pairs of connected sockets, and peers that read and write in bulk, for what joins streams.
 *
 * @module
 */
import type { PumpConn } from "../../forward/pump.ts";

/** Two ends of one TCP connection over loopback. */
export async function tcpPair(): Promise<[Deno.Conn, Deno.Conn]> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const pair = await Promise.all([Deno.connect({ port: listener.addr.port }), listener.accept()]);
  listener.close();
  return pair;
}

/** Two ends of one connection over the Unix socket at `path`. */
export async function unixPair(path: string): Promise<[Deno.Conn, Deno.Conn]> {
  const listener = Deno.listen({ transport: "unix", path });
  const pair = await Promise.all([Deno.connect({ transport: "unix", path }), listener.accept()]);
  listener.close();
  return pair;
}

/** Writes all of it. */
export async function writeAll(conn: PumpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Reads to the end of the stream, or throws what broke it. */
export async function readAll(conn: PumpConn): Promise<Uint8Array> {
  const parts: Uint8Array[] = [], buffer = new Uint8Array(65536);
  let length = 0;
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    parts.push(buffer.slice(0, count));
    length += count;
  }
  const whole = new Uint8Array(length);
  for (let i = 0, at = 0; i < parts.length; at += parts[i++]!.length) whole.set(parts[i]!, at);
  return whole;
}
