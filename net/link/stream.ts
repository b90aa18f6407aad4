/**
 * A stream of frames over a `Deno.Conn` that a program has.
 *
 * @module
 */
import { ConnLink } from "./conn_link.ts";
import type { Link } from "./link.ts";

/** What a link over a connection is told. */
export interface StreamLinkOptions {
  /** What it is, for messages; `stream` unless given. */
  readonly name?: string;
  /** Largest IP packet in bytes; 1500 unless given. */
  readonly mtu?: number;
  /** Whether the guest leaves checksums and segmentation to this end, see `ListenerOptions`; false unless given. */
  readonly offload?: boolean;
  /** Called once when it has ended. */
  readonly ended?: () => void;
}

/**
 * A link over a connection whose other end speaks QEMU's framing (`-netdev stream`): a 32-bit big-endian length before
 * each frame. The connection is the link's from now on, and closed with it.
 *
 * @example
 * ```ts ignore
 * const listener = Deno.listen({ transport: "unix", path: "/tmp/vm.sock" });
 * for await (const conn of listener) gateway.attach(streamLink(conn));
 * ```
 */
export function streamLink(conn: Deno.Conn, options: StreamLinkOptions = {}): Link {
  return new ConnLink(conn, { name: "stream", mtu: 1500, ...options });
}
