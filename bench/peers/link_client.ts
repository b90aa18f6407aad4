/**
 * A guest on a stream link: `link_client.ts WAY PATH MTU PORT SECONDS`, with WAY `g2h` or `h2g`.
 *
 * It speaks QEMU's framing over the unix socket at PATH and TCP by the in-process guest, and sends to, or receives
 * from, `link_server.ts` on PORT of the gateway for so long. A first, shorter transfer warms everything up. Prints as
 * JSON the megabits a second and the share of a core that this program took.
 *
 * The link is the one on Deno's own sockets, whose readiness comes from another thread, so that this program reads on
 * while it works.
 *
 * @module
 */
import process from "node:process";
import { GuestStack } from "../../guest/mod.ts";
import { streamLink } from "../../net/link/stream.ts";

const [way, path, mtu, port, seconds] = Deno.args;
const WARM_UP_MS = 500;
const link = streamLink(await Deno.connect({ transport: "unix", path: path! }), { mtu: Number(mtu) });
const guest = new GuestStack(link), buffer = new Uint8Array(1 << 18);

/** Sends for so long: what was written, of which at most a window and a send queue, some MiB, are not there yet. */
async function send(ms: number): Promise<number> {
  const conn = await guest.connect({ hostname: "10.0.2.2", port: Number(port) }), end = performance.now() + ms;
  await conn.write(new Uint8Array([0]));
  let bytes = 0;
  while (performance.now() < end) bytes += await conn.write(buffer);
  conn.abort();
  return bytes;
}

/** Receives for so long. */
async function receive(ms: number): Promise<number> {
  const conn = await guest.connect({ hostname: "10.0.2.2", port: Number(port) }), end = performance.now() + ms;
  await conn.write(new Uint8Array([1]));
  let bytes = 0;
  while (performance.now() < end) {
    const count = await conn.read(buffer);
    if (count === null) throw new Error("Cannot measure: the server has gone");
    bytes += count;
  }
  conn.abort();
  return bytes;
}

const transfer = way === "g2h" ? send : receive;
await transfer(WARM_UP_MS);
const began = performance.now(), before = process.cpuUsage();
const bytes = await transfer(Number(seconds) * 1000);
const ms = performance.now() - began, { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ mbps: bytes * 8 / ms / 1000, cpu: (user + system) / 1000 / ms }));
await guest.close();
