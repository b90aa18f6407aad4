/**
 * Connections to an address, as they come: what listeners of streams and of WebSockets have in common.
 *
 * A `Door` hands over each connection as an `Arrival`, which is talked with until it is known who it is, and then
 * becomes a link or is closed. `linux_door.ts` has these on Linux's sockets in the event loop, `deno_door.ts` on
 * Deno's.
 *
 * @module
 */
import type { FramedLinkOptions } from "./framed_link.ts";
import type { Link } from "./link.ts";

/** Where streams are waited for: a path of this machine, or an address and a port, 0 for a free one. */
export type StreamAddress = { readonly path: string } | { readonly hostname: string; readonly port: number };

/** What an arrival says. */
export interface Conversation {
  /** Where what it says next is read to: at least one byte. */
  room(): Uint8Array<ArrayBuffer>;
  /** `count` bytes of that room were read; 0 if it has ended. May end the conversation. */
  took(count: number): void;
}

/** A connection of which is not known yet what it will be. */
export interface Arrival {
  /** Who it is, as text: `127.0.0.1:40123`; empty for a path. */
  readonly from: string;
  /** Listens to it until `link` or `close`. */
  listen(conversation: Conversation): void;
  /** Sends a few bytes to it. */
  say(bytes: Uint8Array<ArrayBuffer>): void;
  /** Makes a link of it. Throws an `Error`, and closes it, if the kernel refuses. */
  link(options: FramedLinkOptions): Link;
  /** Ends it, behind what was said to it. May be called again. */
  close(): void;
}

/** Who is told of connections. */
export interface DoorHandler {
  /** Takes a connection. Throws an `Error` only as `Arrival.link` does. */
  arrived(arrival: Arrival): void;
  /**
   * Told in a sentence why a connection is not taken, or none for now; `isExhausted`: for want of descriptors or
   * memory.
   */
  refused(message: string, isExhausted: boolean): void;
}

/** What waits for connections. Its end does not end those that have come. */
export interface Door extends AsyncDisposable {
  /** Where it waits, with the real port: `/run/vm.sock`, `127.0.0.1:40123`, `[::1]:5000`. */
  readonly place: string;
  /** Begins to hand over connections; called once. Throws an `Error` if the kernel refuses. */
  open(handler: DoorHandler): void;
  /** Calls `callback` once, in `ms` milliseconds; returns what prevents that. */
  delay(callback: () => void, ms: number): () => void;
}
