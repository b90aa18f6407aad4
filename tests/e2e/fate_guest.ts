/**
 * A program in the guest that opens connections by the hundred and lets each meet its fate. `fate_host.ts` is the other
 * end.
 *
 * @module
 */
import { createConnection } from "node:net";
import { answerCalls } from "./program.ts";

const HOST = "10.0.2.2";
/** Connections that one fate opens at the same time. */
const AT_ONCE = 40;
/** What is said in each direction where something is. */
export const WORDS = 1000;

const groups = new Map<string, Deno.TcpConn[]>();

/** Does `one` so many times, `AT_ONCE` at the same time. */
async function times(count: number, one: () => Promise<void>): Promise<void> {
  let left = count;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (left-- > 0) await one();
  }));
}

async function readToEnd(conn: Deno.TcpConn): Promise<number> {
  const buffer = new Uint8Array(65536);
  let total = 0;
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) total += count;
  return total;
}

async function expectReset(conn: Deno.TcpConn): Promise<void> {
  try {
    const count = await readToEnd(conn);
    throw new Error(`Expected a reset and read ${count} bytes and the end`);
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  } finally {
    conn.close();
  }
}

async function expectWords(conn: Deno.TcpConn): Promise<void> {
  const count = await readToEnd(conn);
  if (count !== WORDS) throw new Error(`Expected ${WORDS} bytes and read ${count}`);
}

const fates: Record<string, (port: number) => Promise<void>> = {
  async guestFirst(port) {
    const conn = await Deno.connect({ hostname: HOST, port });
    await conn.write(new Uint8Array(WORDS));
    await conn.closeWrite();
    await expectWords(conn);
    conn.close();
  },
  async hostFirst(port) {
    const conn = await Deno.connect({ hostname: HOST, port });
    await expectWords(conn);
    await conn.write(new Uint8Array(WORDS));
    conn.close();
  },
  guestResets(port) {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ host: HOST, port });
      socket.on("data", () => socket.resetAndDestroy());
      socket.on("error", reject);
      socket.on("close", () => resolve());
    });
  },
  async hostResets(port) {
    const conn = await Deno.connect({ hostname: HOST, port });
    await conn.write(new Uint8Array(WORDS));
    await expectReset(conn);
  },
  async refused(port) {
    try {
      const conn = await Deno.connect({ hostname: HOST, port });
      conn.close();
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused) return;
      throw error;
    }
    throw new Error("Expected a refusal and was connected");
  },
};

if (import.meta.main) {
  await answerCalls({
    /** Lets `count` connections meet their fate. */
    async meet(fate: string, port: number, count: number) {
      await times(count, () => fates[fate]!(port));
      return count;
    },
    /** Opens connections and keeps them. */
    async open(group: string, port: number, count: number) {
      const conns: Deno.TcpConn[] = [];
      groups.set(group, conns);
      await times(count, async () => {
        conns.push(await Deno.connect({ hostname: HOST, port }));
      });
      return count;
    },
    /** Writes to each of them. */
    async write(group: string, bytes: number) {
      await Promise.all(groups.get(group)!.map((conn) => conn.write(new Uint8Array(bytes))));
      return null;
    },
    /** Reads one byte of each and leaves the rest where it is. */
    async taste(group: string) {
      await Promise.all(groups.get(group)!.map((conn) => conn.read(new Uint8Array(1))));
      return null;
    },
    /** Sends FIN on each of them. */
    async finish(group: string) {
      await Promise.all(groups.get(group)!.map((conn) => conn.closeWrite()));
      return null;
    },
    /** Reads `WORDS` bytes and the host's FIN of each of them and closes it. */
    async hear(group: string) {
      await Promise.all(groups.get(group)!.map((conn) => expectWords(conn).finally(() => conn.close())));
      return null;
    },
    /** Reads the host's reset of each of them. */
    async suffer(group: string) {
      await Promise.all(groups.get(group)!.map((conn) => expectReset(conn)));
      return null;
    },
    /** Downloads from a host that streams: `bytesPerRead` at a time with a pause after each. Returns bytes a second. */
    async download(port: number, bytes: number, pace: { bytesPerRead: number; pauseMs: number }) {
      const conn = await Deno.connect({ hostname: HOST, port }), buffer = new Uint8Array(pace.bytesPerRead);
      const began = performance.now();
      let total = 0;
      for (; total < bytes;) {
        const count = await conn.read(buffer);
        if (count === null) throw new Error(`Expected ${bytes} bytes and read ${total} and the end`);
        for (let i = 0; i < count; i += 997) if (buffer[i] !== ((total + i) & 255)) throw new Error("A byte is wrong");
        total += count;
        if (pace.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pace.pauseMs));
      }
      conn.close();
      return total / (performance.now() - began) * 1000;
    },
    /** Uploads until the connection breaks. Returns how. */
    async upload(port: number) {
      const conn = await Deno.connect({ hostname: HOST, port }), piece = new Uint8Array(65536);
      try {
        for (;;) await conn.write(piece);
      } catch (error) {
        return (error as Error).name;
      } finally {
        conn.close();
      }
    },
  });
}
