/**
 * Connections whose far end can reset them: Deno's own connections cannot, those of node:net can.
 *
 * @module
 */
import { createServer, type Socket } from "node:net";

/** The far end of a connection. */
export interface ResettingPeer {
  /** Writes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resets the connection. */
  reset(): void;
}

/** A port of loopback, and the far end of the one connection that it takes. */
export async function resettingServer(): Promise<{ port: number; peer: Promise<ResettingPeer> }> {
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer((socket) => {
    server.close();
    accepted.resolve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const peer = accepted.promise.then((far): ResettingPeer => ({
    write: (bytes) => new Promise((resolve) => far.write(bytes, () => resolve())),
    reset: () => void far.resetAndDestroy(),
  }));
  return { port: (server.address() as { port: number }).port, peer };
}

/** Both ends of a new connection; the near one is to see the reset. */
export async function resettingPair(): Promise<ResettingPeer & { near: Deno.Conn }> {
  const { port, peer } = await resettingServer(), near = await Deno.connect({ port });
  return { near, ...await peer };
}
