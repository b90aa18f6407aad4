/**
 * A command of `hawser run` that says something to 10.0.2.2 and ends at once: what it has sent and closed is its
 * kernel's business, and Hawser's.
 *
 * It prints `ended` and how many bytes `fill` has sent. Its words are a way, a port, a number, and perhaps a file:
 *
 * - `many`: so many connections, each with 100 bytes.
 * - `fill`: one connection with as many bytes as the kernels take of a peer that does not read.
 * - `datagrams`: so many datagrams of UDP.
 * - `answer`: takes one connection on the port and answers with so many bytes.
 * - `hold`: one connection with so many bytes that is not closed; makes the file, then waits for ever.
 *
 * @module
 */
import { createSocket } from "node:dgram";

const HOST = "10.0.2.2";
let total = 0;
const [way, port, count, file] = [Deno.args[0]!, Number(Deno.args[1]), Number(Deno.args[2]), Deno.args[3]];

async function writeAll(conn: Deno.TcpConn, length: number): Promise<void> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) done += await conn.write(bytes.subarray(done));
}

const ways: Record<string, () => Promise<void>> = {
  async many() {
    const conns = await Promise.all(Array.from({ length: count }, () => Deno.connect({ hostname: HOST, port })));
    for (const conn of conns) await writeAll(conn, 100);
  },
  async fill() {
    const conn = await Deno.connect({ hostname: HOST, port }), bytes = new Uint8Array(65536);
    for (let n: number | null = 0; n !== null; total += n ?? 0) {
      // A write that does not come to an end has written nothing.
      n = await Promise.race([conn.write(bytes), new Promise<null>((resolve) => setTimeout(resolve, 500, null))]);
    }
  },
  async datagrams() {
    const socket = createSocket("udp4"), sent: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      sent.push(new Promise((resolve) => socket.send(new Uint8Array(50), port, HOST, () => resolve())));
    }
    await Promise.all(sent);
  },
  async answer() {
    const listener = Deno.listen({ hostname: "0.0.0.0", port });
    await Deno.writeTextFile(file!, "");
    const conn = await listener.accept();
    // A socket whose program ends with bytes that it has not read is reset by its kernel.
    await conn.read(new Uint8Array(100));
    await writeAll(conn, count);
  },
  async hold() {
    const conn = await Deno.connect({ hostname: HOST, port });
    await writeAll(conn, count);
    await Deno.writeTextFile(file!, "");
    await conn.read(new Uint8Array(1));
  },
};

await ways[way]!();
console.log(`ended ${total}`);
Deno.exit(0);
