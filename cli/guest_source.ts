/**
 * Where a gateway's guests come from: plain data, and what is made of it. What each kind needs is loaded with it.
 *
 * A TAP is one guest from the start; everything else waits for guests.
 *
 * @module
 */
import type { Link } from "../net/link/link.ts";
import { tapLink } from "../net/link/tap.ts";
import type { EventLoop } from "../net/linux/event_loop.ts";
import { pidfdGetFd } from "../net/linux/pidfd.ts";

/** A TAP interface to be made of an open /dev/net/tun. */
export interface TapSource {
  /** Tells the kinds apart. */
  readonly kind: "tap";
  /** The interface's name. */
  readonly name: string;
  /** The descriptor of /dev/net/tun: of process `pid`, or of this one. */
  readonly tun: { readonly pid?: number; readonly fd: number };
  /** MTU in bytes. */
  readonly mtu: number;
  /** Whether the TAP leaves segmentation and checksums to the other side. */
  readonly offload: boolean;
}

/** A place at which guests are waited for. */
export type ListenerSource =
  & { readonly mtu: number }
  & (
    | { readonly kind: "unix" | "unixgram"; readonly path: string; readonly offload?: boolean }
    | { readonly kind: "unixpacket"; readonly path: string }
    | { readonly kind: "tcp"; readonly hostname: string; readonly port: number }
    | {
      readonly kind: "ws";
      readonly hostname: string;
      readonly port: number;
      readonly token?: string;
      readonly origins: readonly string[];
    }
  );

/** Where guests come from. */
export type GuestSource = TapSource | ListenerSource;

/** What a source is opened with. */
export interface SourceContext {
  /** The event loop for TAPs. */
  readonly loop: EventLoop | undefined;
  /** The event loop for other sockets; without one they are Deno's. */
  readonly socketLoop: EventLoop | undefined;
  /** Takes each link. */
  readonly attach: (link: Link) => unknown;
  /** Told that a TAP has ended. */
  readonly tapEnded: (source: TapSource) => void;
  /** Told why a guest was turned away; see `ListenerOptions`. */
  readonly refused: (message: string, isExhausted: boolean) => void;
}

/** An open source: where guests come from with the real port, or nothing to say of a TAP. */
export interface OpenSource extends AsyncDisposable {
  /** `unix:/tmp/vm.sock`, `tcp:127.0.0.1:40123`, `tap:tap0`. */
  readonly address: string;
}

/** Begins to take guests from `source`. */
export async function openSource(source: GuestSource, context: SourceContext): Promise<OpenSource> {
  const { attach, refused, loop, socketLoop } = context, { mtu } = source;
  const options = { mtu, attach, refused, ...(socketLoop && { loop: socketLoop }) };
  switch (source.kind) {
    case "tap":
      return openTap(source, context);
    case "unix":
      return await (await import("../net/link/stream_listener.ts")).listenForStreams({ path: source.path }, {
        ...options,
        ...offloadOf(source),
      });
    case "tcp":
      return await (await import("../net/link/stream_listener.ts")).listenForStreams(source, options);
    case "unixgram":
      return await (await import("../net/link/datagram_listener.ts")).listenForDatagrams(source.path, {
        ...options,
        ...offloadOf(source),
        ...(loop && { loop }),
      });
    case "unixpacket":
      if (loop === undefined) {
        throw new Deno.errors.NotSupported(`Cannot listen on ${source.path}: unixpacket needs Linux and --allow-ffi`);
      }
      return await (await import("../net/link/packet_listener.ts")).listenForPackets(source.path, { ...options, loop });
    case "ws": {
      const { hostname, port, token, origins } = source;
      return await (await import("../net/link/websocket.ts")).listenForWebSockets({ hostname, port }, {
        ...options,
        origins,
        ...(token && { token }),
      });
    }
  }
}

function offloadOf({ offload }: { readonly offload?: boolean }): { offload?: boolean } {
  return offload === undefined ? {} : { offload };
}

function openTap(source: TapSource, { loop, attach, tapEnded }: SourceContext): OpenSource {
  const { name, tun, mtu, offload } = source;
  const fd = tun.pid === undefined ? tun.fd : pidfdGetFd(tun.pid, tun.fd);
  const link = tapLink({ loop: loop!, fd, name, mtu, offload, ended: () => tapEnded(source) });
  attach(link);
  return { address: `tap:${name}`, [Symbol.asyncDispose]: () => link.close() };
}

/** Whether this source is best served in an event loop of Linux, whatever the gateway's own sockets are. */
export function wantsLoop(source: GuestSource): boolean {
  return source.kind === "tap" || source.kind === "unixgram" || source.kind === "unixpacket";
}
