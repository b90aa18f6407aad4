/**
 * A program in the guest with servers that say as whom they see their client, and a client that asks servers and DNS.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { answerCalls } from "./program.ts";

async function readText(conn: Deno.TcpConn): Promise<string> {
  const buffer = new Uint8Array(4096);
  let text = "";
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text;
}

async function serve(listener: Deno.TcpListener): Promise<void> {
  for await (const conn of listener) {
    const text = await readText(conn);
    await conn.write(new TextEncoder().encode(`${text} of ${conn.remoteAddr.hostname}`));
    conn.close();
  }
}

await answerCalls({
  /** Listens on these addresses. */
  listen(hostnames: string[], port: number): null {
    for (const hostname of hostnames) void serve(Deno.listen({ hostname, port }));
    return null;
  },
  /** Answers datagrams that come to these addresses. */
  async listenUdp(hostnames: string[], port: number): Promise<null> {
    for (const hostname of hostnames) {
      const socket = createSocket({ type: hostname.includes(":") ? "udp6" : "udp4", ipv6Only: true });
      socket.on("message", (bytes, from) => socket.send(`${bytes} of ${from.address}`, from.port, from.address));
      await new Promise<void>((resolve) => socket.bind(port, hostname, resolve));
    }
    return null;
  },
  /** Says `text` to a server, ends, and gives what it answers, or the name of the error. */
  async ask(hostname: string, port: number, text: string): Promise<string> {
    try {
      const conn = await Deno.connect({ hostname, port });
      await conn.write(new TextEncoder().encode(text));
      await conn.closeWrite();
      const answer = await readText(conn);
      conn.close();
      return answer;
    } catch (error) {
      return error instanceof Error ? error.name : String(error);
    }
  },
  /** The addresses, or names, that a DNS server at `server` has for a name. */
  async resolve(name: string, type: "A" | "AAAA" | "PTR", server: string): Promise<string> {
    try {
      return (await Deno.resolveDns(name, type, { nameServer: { ipAddr: server, port: 53 } })).join(" ");
    } catch (error) {
      return error instanceof Error ? error.name : String(error);
    }
  },
});
