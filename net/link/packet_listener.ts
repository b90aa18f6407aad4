/**
 * A listener for guests whose frames are the packets of a unix socket (SOCK_SEQPACKET): User Mode Linux's
 * `vec0:transport=bess`, for which BESS calls it so.
 *
 * Each connection is a guest. A packet is a frame, so nothing has to be framed, and a read or write of the socket does
 * what that of a TAP does; its end is a read of nothing. It lives on Linux's sockets alone.
 *
 * @module
 */
import { Acceptor } from "../linux/acceptor.ts";
import { LEFT_BY_NEWCOMERS } from "../linux/descriptors.ts";
import type { EventLoop } from "../linux/event_loop.ts";
import { describeErrno, libc } from "../linux/libc.ts";
import { listenUnixPackets, removeSocket, unixPathIsServed } from "../linux/sockets.ts";
import { ConnectedGuests } from "./connected_guests.ts";
import type { LinkListener, ListenerOptions } from "./listener.ts";
import { bindSocketPath } from "./socket_path.ts";
import { packetLink } from "./tap.ts";

const ACCEPTS_PER_TURN = 8;

/** What a listener for packets is told. */
export interface PacketListenerOptions extends ListenerOptions {
  /** The event loop in which socket and links live. */
  readonly loop: EventLoop;
}

/**
 * Waits at `path` for guests that send a frame a packet. Throws `Deno.errors.AddrInUse` for a path that another program
 * serves, `Deno.errors.AlreadyExists` if there is another file, and others that say what is wrong.
 *
 * @example
 * ```ts ignore
 * await using listener = await listenForPackets("/tmp/uml.sock", { loop, attach: (link) => gateway.attach(link) });
 * ```
 */
export async function listenForPackets(path: string, options: PacketListenerOptions): Promise<LinkListener> {
  const { loop } = options, guests = new ConnectedGuests(`unixpacket:${path}`, options);
  const { socket, release } = await bindSocketPath(path, {
    bind: () => listenUnixPackets(path),
    isServed: () => unixPathIsServed(path),
    remove: () => removeSocket(path),
  });
  const refused = (why: string) => options.refused?.(`Cannot accept a connection on ${path}: ${why}`, true);
  const accepted = (fd: number) => {
    try {
      if (!guests.admit("", (events) => packetLink({ ...events, loop, fd }))) libc().close(fd);
    } catch (error) {
      refused(error instanceof Error ? error.message : String(error));
    }
  };
  const acceptor = new Acceptor(loop, socket, {
    handler: {
      accepted,
      acceptFailed: (code) => refused(`${describeErrno(code)}, raise the limit of open files (ulimit -n)`),
    },
    mostPerTurn: ACCEPTS_PER_TURN,
    left: LEFT_BY_NEWCOMERS,
  });
  return {
    address: guests.address,
    [Symbol.asyncDispose]: async () => {
      acceptor.close();
      release();
      await loop.allClosed();
    },
  };
}
