/**
 * A guest's side of a transfer both ways at once: sends so many bytes to an echo server and compares what comes back.
 *
 * `deno run --allow-net tcp_echo_guest.ts HOST PORT LENGTH` writes `same`, or what is wrong.
 *
 * @module
 */
import { pattern } from "../support/bytes.ts";

const [hostname, port, length] = Deno.args, sent = pattern(Number(length));
const conn = await Deno.connect({ hostname: hostname!, port: Number(port) });
const writing = (async () => {
  for (let at = 0; at < sent.length;) at += await conn.write(sent.subarray(at, at + (1 << 20)));
  await conn.closeWrite();
})();
const received = new Uint8Array(await new Response(conn.readable).arrayBuffer());
await writing;
const isSame = received.length === sent.length && received.every((byte, i) => byte === sent[i]);
console.log(isSame ? "same" : `${received.length} bytes came back, or others`);
