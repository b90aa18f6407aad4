/**
 * A listener for guests that send a frame a datagram over unix sockets: QEMU's `-netdev dgram`, vfkit, libkrun.
 *
 * @module
 */
import type { EventLoop } from "../linux/event_loop.ts";
import { DenoDatagramListener } from "./deno_datagram.ts";
import { LinuxDatagramListener } from "./linux_datagram.ts";
import type { LinkListener, ListenerOptions } from "./listener.ts";

/** What a listener for datagrams is told. */
export interface DatagramListenerOptions extends ListenerOptions {
  /** The event loop in which the socket lives, on Linux; without one it is Deno's, which needs `--unstable-net`. */
  readonly loop?: EventLoop;
}

/**
 * Waits at `path` for guests; each path from which datagrams come is one. With the listener its guests' links end, for
 * they share its socket. Throws as `listenForStreams` does, and `Deno.errors.NotSupported` without `loop` and
 * `--unstable-net`.
 *
 * @example
 * ```ts ignore
 * await using listener = await listenForDatagrams("/tmp/vm.sock", { loop, attach: (link) => gateway.attach(link) });
 * ```
 */
export async function listenForDatagrams(path: string, options: DatagramListenerOptions): Promise<LinkListener> {
  if (options.loop === undefined) return await DenoDatagramListener.open(path, options);
  return await LinuxDatagramListener.open(path, options, options.loop);
}
