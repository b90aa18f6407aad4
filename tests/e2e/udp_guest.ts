/**
 * A guest's side of the datagram tests: sends datagrams of the sizes given to an echo server and compares what comes
 * back.
 *
 * `deno run --allow-net udp_guest.ts HOST PORT SIZE…` writes a line for each size.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { assertSame, pattern } from "../support/bytes.ts";

const [host, port, ...sizes] = Deno.args;
const socket = createSocket(host!.includes(":") ? "udp6" : "udp4");
for (const size of sizes.map(Number)) {
  const sent = pattern(size), answer = new Promise<Uint8Array>((resolve) => socket.once("message", resolve));
  const timer = setTimeout(() => {
    console.log(`${size} bytes were not answered`);
    Deno.exit(1);
  }, 10_000);
  socket.send(sent, Number(port), host);
  assertSame(new Uint8Array(await answer), sent);
  clearTimeout(timer);
  console.log(size);
}
socket.close();
