/**
 * A program on the host with servers that let connections meet their fate. `fate_guest.ts` is the other end.
 *
 * @module
 */
import { createServer, type Socket } from "node:net";
import { WORDS } from "./fate_guest.ts";
import { answerCalls } from "./program.ts";

const listeners: { close(): void }[] = [];
/** How connections ended, by fate and how. */
const tally: Record<string, number> = {};
const groups = new Map<string, Deno.TcpConn[]>();

function note(fate: string, how: string): void {
  const name = `${fate}: ${how}`;
  tally[name] = (tally[name] ?? 0) + 1;
}

/** `finished after N` or the error's name. */
async function readToEnd(conn: Deno.TcpConn): Promise<string> {
  const buffer = new Uint8Array(65536);
  let total = 0;
  try {
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) total += count;
    return `finished after ${total}`;
  } catch (error) {
    return (error as Error).name;
  }
}

/** What a server does with one connection; it is closed then. */
const servers: Record<string, (conn: Deno.TcpConn) => Promise<string | undefined>> = {
  async guestFirst(conn) {
    const how = await readToEnd(conn);
    await conn.write(new Uint8Array(WORDS));
    return how;
  },
  async hostFirst(conn) {
    await conn.write(new Uint8Array(WORDS));
    await conn.closeWrite();
    return await readToEnd(conn);
  },
  async guestResets(conn) {
    await conn.write(new Uint8Array(WORDS));
    return await readToEnd(conn);
  },
  /** Says more than is read. */
  async guestKilled(conn) {
    await conn.write(new Uint8Array(64 * WORDS));
    return await readToEnd(conn);
  },
  /** Hears more than it reads, and is killed. */
  async hostKilled(conn) {
    await conn.read(new Uint8Array(1));
    note("hostKilled", "tasted");
    return await new Promise<undefined>(() => {});
  },
  async guestSilent(conn) {
    return await readToEnd(conn);
  },
  /** Says more and more until the guest has had enough. */
  async stream(conn) {
    const piece = Uint8Array.from({ length: 65536 }, (_, i) => i & 255);
    try {
      for (let at = 0;;) at = (at + await conn.write(piece.subarray(at))) % piece.length;
    } catch (error) {
      return (error as Error).name;
    }
  },
};

function listen(fate: string, serve: (conn: Deno.TcpConn) => Promise<string | undefined>): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listeners.push(listener);
  (async () => {
    for await (const conn of listener) {
      serve(conn).catch((error: Error) => error.name).then((how) => {
        conn.close();
        if (how !== undefined) note(fate, how);
      });
    }
  })();
  return listener.addr.port;
}

if (import.meta.main) {
  await answerCalls({
    /** Serves connections that all meet one fate. Returns the port. */
    serve: (fate: string) => listen(fate, servers[fate]!),
    /** Accepts connections and keeps them. Returns the port. */
    hold(group: string) {
      const conns: Deno.TcpConn[] = [];
      groups.set(group, conns);
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      listeners.push(listener);
      (async () => {
        for await (const conn of listener) conns.push(conn);
      })();
      return listener.addr.port;
    },
    /** How many it keeps. */
    held: (group: string) => groups.get(group)!.length,
    /** Says something and FIN on each of them. */
    async finish(group: string) {
      await Promise.all(groups.get(group)!.map(async (conn) => {
        await conn.write(new Uint8Array(WORDS));
        await conn.closeWrite();
      }));
      return null;
    },
    /** Reads to the guest's FIN on each of them and closes it. */
    async hear(group: string) {
      await Promise.all(groups.get(group)!.map(async (conn) => {
        note(group, await readToEnd(conn));
        conn.close();
      }));
      return null;
    },
    /** Resets each connection at its first byte. Returns the port. */
    reset() {
      const server = createServer((socket: Socket) => {
        socket.on("data", () => socket.resetAndDestroy());
        socket.on("error", () => {});
        socket.on("close", () => note("hostResets", "reset"));
      });
      listeners.push(server);
      return new Promise<number>((resolve) => {
        server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
      });
    },
    /** A port at which nobody listens. */
    nobody() {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = listener.addr;
      listener.close();
      return port;
    },
    /** How connections ended so far. */
    tally: () => tally,
    /** Begins to count anew. */
    forget() {
      for (const name of Object.keys(tally)) delete tally[name];
      return null;
    },
  });
  for (const listener of listeners) listener.close();
}
