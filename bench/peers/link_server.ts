/**
 * The host's side of `link_client.ts`, on 127.0.0.1 and a port that it chooses and prints.
 *
 * The first byte of a connection tells: 0, take everything; 1, send without end.
 *
 * @module
 */
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
for await (const conn of listener) void serve(conn);

async function serve(conn: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(1 << 18);
  try {
    await conn.read(buffer.subarray(0, 1));
    if (buffer[0] === 1) {
      for (;;) await conn.write(buffer);
    }
    while (await conn.read(buffer) !== null);
  } catch {
    // A client that has measured for long enough resets its connection.
  }
  conn.close();
}
