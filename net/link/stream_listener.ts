/**
 * A listener for streams of frames: each connection is a guest of its own, and so is each that comes after one has
 * gone.
 *
 * With an event loop it listens on Linux's own sockets; without, on Deno's (`arrival.ts`). At most `MOST_GUESTS`
 * connections are served at once, and of those that have not sent a frame yet at most `MOST_SILENT`
 * (`connected_guests.ts`).
 *
 * @module
 */
import type { EventLoop } from "../linux/event_loop.ts";
import type { StreamAddress } from "./arrival.ts";
import { serveStreams } from "./connected_guests.ts";
import { bindDoor } from "./door.ts";
import type { LinkListener, ListenerOptions } from "./listener.ts";

export type { StreamAddress } from "./arrival.ts";

/** What a listener for streams is told. */
export interface StreamListenerOptions extends ListenerOptions {
  /** The event loop in which the links live; without one they live on Deno's sockets. */
  readonly loop?: EventLoop;
}

/**
 * Listens for guests that speak QEMU's `-netdev stream`. Throws `Deno.errors.AddrInUse` for an address that another
 * program has, `Deno.errors.AlreadyExists` for a path where there is another file, and others that say what is wrong.
 *
 * @example
 * ```ts ignore
 * await using listener = await listenForStreams({ path: "/tmp/vm.sock" }, { attach: (link) => gateway.attach(link) });
 * ```
 */
export async function listenForStreams(address: StreamAddress, options: StreamListenerOptions): Promise<LinkListener> {
  const door = await bindDoor(address, options.loop);
  return await serveStreams(door, "path" in address ? "unix" : "tcp", options);
}
