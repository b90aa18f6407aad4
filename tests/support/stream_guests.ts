/**
 * Guests on a stream for tests: a good one, which checks every byte that it exchanges with a server, and a hostile one.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { type GuestConn, GuestStack, type GuestStackOptions } from "../../guest/mod.ts";
import { memoryLinkPair } from "../../net/link/memory.ts";
import { streamLink } from "../../net/link/stream.ts";
import { Frame } from "../../net/wire/frame.ts";
import { framed } from "./link_peer.ts";

/** A guest in this program, of whoever listens for streams on this port of loopback. */
export async function connectGuest(port: number, options: GuestStackOptions = {}): Promise<GuestStack> {
  return new GuestStack(streamLink(await Deno.connect({ hostname: "127.0.0.1", port })), options);
}

/**
 * A guest in this program, of whoever listens for WebSockets on this port of loopback; a frame a message, as v86
 * speaks.
 */
export async function connectWebSocketGuest(
  port: number,
  query: string,
  options: GuestStackOptions = {},
): Promise<GuestStack> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${query}`), [end, guest] = memoryLinkPair();
  socket.binaryType = "arraybuffer";
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("Cannot connect"));
  });
  const over = new Promise((resolve) => socket.onclose = resolve), frame = new Frame();
  socket.onmessage = ({ data }) => {
    end.send(frame.set(new Uint8Array(data), 0, data.byteLength));
    end.flush();
  };
  end.start({
    receive: ({ bytes, start, end }) => socket.send(bytes.slice(start, end)),
    flush() {},
    closed: () => socket.close(),
  });
  const stack = new GuestStack(guest, options), close = stack.close.bind(stack);
  stack.close = async () => {
    await close();
    await over;
  };
  return stack;
}

/** A server on loopback that sends back what it is sent, and closes when its peer has. */
export function echoServer(hostname = "127.0.0.1"): { port: number; close: () => Promise<void> } {
  const listener = Deno.listen({ hostname, port: 0 }), served: Promise<void>[] = [];
  let open = true;
  const accepting = (async () => {
    while (open) {
      try {
        served.push(echo(await listener.accept()));
      } catch {
        // It was reset before it was accepted, or the server closes.
      }
    }
  })();
  return {
    port: listener.addr.port,
    close: async () => {
      open = false;
      listener.close();
      await accepting;
      await Promise.all(served);
    },
  };
}

async function echo(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(65536);
  try {
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      for (let at = 0; at < n;) at += await conn.write(buffer.subarray(at, n));
    }
  } catch {
    // The guest was hostile, or is gone.
  }
  conn.close();
}

/** Sends `bytes` and expects them back; then FIN both ways. */
export async function exchange(conn: GuestConn, bytes: Uint8Array): Promise<void> {
  const back = new Uint8Array(bytes.length);
  const sending = (async () => {
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    conn.closeWrite();
  })();
  let at = 0;
  for (let n = await conn.read(back); n !== null && n > 0; n = await conn.read(back.subarray(at))) {
    at += n;
    if (at === back.length) break;
  }
  await sending;
  assertEquals(at, bytes.length);
  const wrong = back.findIndex((byte, i) => byte !== bytes[i]);
  assertEquals(wrong, -1, `byte ${wrong} is wrong`);
  assertEquals(await conn.read(new Uint8Array(1)), null);
}

/**
 * Floods whoever listens on `port` with noise, truncated frames, broken framing, and SYNs where there is a `target` for
 * them, with a new connection whenever it is cut off. Resolves to how many frames were sent.
 */
export async function attack(port: number, target: number | undefined, goesOn: () => boolean): Promise<number> {
  const mine = [0x52, 0x54, 0, 0x66, 0x66, 0x66], gateway = [0x52, 0x54, 0, 0x12, 0x34, 2];
  let sent = 0;
  while (goesOn()) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    const draining = conn.read(new Uint8Array(1 << 20)).then(() => {}, () => {});
    try {
      for (let burst = 0; burst < 50 && goesOn(); burst++) {
        const frames = Array.from({ length: 64 }, (_, i) => {
          const frame = crypto.getRandomValues(new Uint8Array(54 + ((burst * 67 + i * 31) % 1400)));
          frame.set([...gateway, ...mine, 8, 0]);
          if (i % 4 === 0) {
            frame.set([0x45, 0, 0, frame.length - 14, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2], 14);
          }
          if (i % 4 === 1 && target !== undefined) frame.set(syn(target, sent + i), 14);
          return i % 4 === 2 ? frame.subarray(0, 14 + i) : frame;
        });
        const bytes = framed(...frames);
        for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
        sent += frames.length;
      }
      // The last frame never comes whole, or was never one.
      await conn.write(
        sent % 2 === 0 ? new Uint8Array([0, 0, 4, 0, 1, 2, 3]) : crypto.getRandomValues(new Uint8Array(64)),
      );
    } catch {
      // It was cut off.
    }
    conn.close();
    await draining;
  }
  return sent;
}

/** An IPv4 header and a TCP header with SYN, all checksums right, from a port that `n` decides. */
function syn(port: number, n: number): Uint8Array {
  const bytes = new Uint8Array(40), view = new DataView(bytes.buffer);
  bytes.set([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]);
  view.setUint16(10, sum(bytes, 0, 20, 0));
  view.setUint16(20, 1024 + (n % 60000));
  view.setUint16(22, port);
  view.setUint32(24, n * 7919);
  bytes.set([0x50, 2, 0xff, 0xff], 32);
  view.setUint16(36, sum(bytes, 20, 40, 0x0a00 + 0x020f + 0x0a00 + 0x0202 + 6 + 20));
  return bytes;
}

function sum(bytes: Uint8Array, start: number, end: number, before: number): number {
  let total = before;
  for (let i = start; i < end; i += 2) total += (bytes[i]! << 8) | bytes[i + 1]!;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}
