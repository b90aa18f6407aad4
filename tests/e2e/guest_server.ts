/**
 * Servers for the guest's side of forwards, started as the command of `hawser run`: prints `ready` when they listen,
 * and what one of them counts.
 *
 * - TCP 80: HTTP. `/N` answers N bytes, `/peer` the client's address as the guest sees it.
 * - TCP 81: reads to the client's FIN, waits, answers `got N` and ends.
 * - TCP 82: says `hello` and ends; then reads to the client's FIN and prints `received N`.
 * - UDP 53: returns each datagram.
 *
 * @module
 */
import { createSocket } from "node:dgram";

async function countToEnd(conn: Deno.TcpConn): Promise<number> {
  const buffer = new Uint8Array(65536);
  let total = 0;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) total += n;
  return total;
}

async function say(conn: Deno.TcpConn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  await conn.closeWrite();
}

async function serve(port: number, answer: (conn: Deno.TcpConn) => Promise<void>): Promise<void> {
  const listener = Deno.listen({ hostname: "0.0.0.0", port });
  for await (const conn of listener) void answer(conn).finally(() => conn.close());
}

Deno.serve({ hostname: "0.0.0.0", port: 80, onListen() {} }, (request, { remoteAddr }) => {
  const path = new URL(request.url).pathname.slice(1);
  return new Response(path === "peer" ? remoteAddr.hostname : new Uint8Array(Number(path)));
});
void serve(81, async (conn) => {
  const total = await countToEnd(conn);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await say(conn, `got ${total}\n`);
});
void serve(82, async (conn) => {
  await say(conn, "hello\n");
  console.log(`received ${await countToEnd(conn)}`);
});
const udp = createSocket("udp4");
udp.on("message", (bytes, from) => udp.send(bytes, from.port, from.address));
udp.bind(53, "0.0.0.0", () => console.log("ready"));
