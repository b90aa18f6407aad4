/**
 * A UDP socket on `node:dgram`, which needs no flag where `Deno.listenDatagram` needs `--unstable-net`.
 *
 * **Sending.** The socket is bound to a free port by its first datagram. Datagrams are copied and sent one after the
 * other: several in flight at once leave in any order, mostly the reverse. At most `SEND_QUEUE_BYTES` wait; beyond
 * that `send` answers false and the datagram is lost, as in any full queue.
 *
 * **What it lacks.** ICMP errors: a port that nobody listens on stays silent (only an FFI socket can read the error
 * queue). Only what the local kernel refuses is told through `hostDatagramFailed`, and of that Deno names few causes.
 * The interface of a link-local peer: one of several interfaces may be the wrong one to answer through. Each received
 * datagram costs an allocation of 64 KiB, by `node:dgram` itself.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
// Where nothing has loaded this, Deno 2.9 runs no callback of `process.nextTick`, and a socket never says that it is
// closed.
import "node:process";
import type {
  HostBoundUdpSocket,
  HostEndpoint,
  HostError,
  HostListenError,
  HostUdpHandler,
  HostUdpSocket,
} from "../nat/host.ts";
import { IpAddress } from "../net/wire/address.ts";
import { hostErrorOf, listenErrorOf } from "./deno_error.ts";
import { hostnameOf } from "./deno_hostname.ts";

/** Most bytes of datagrams that wait to be sent. */
export const SEND_QUEUE_BYTES = 262144;
// What a queued datagram costs beside its payload, so that empty ones are bounded too.
const DATAGRAM_COST_BYTES = 256;

/** Addresses are never names here, so there is nothing to look up. */
type Lookup = (
  hostname: string,
  family: unknown,
  callback: (error: null, address: string, family: number) => void,
) => void;

interface Datagram {
  readonly bytes: Uint8Array;
  readonly to: HostEndpoint;
}

/** What a UDP socket needs of its host. */
export interface DenoUdpContext {
  /** Handlers were called: a turn is due. */
  wake(): void;
  /** The descriptor is closed. */
  gone(socket: DenoUdpSocket): void;
}

/** One UDP socket; made by `DenoHost.openUdp`. */
export class DenoUdpSocket implements HostUdpSocket {
  readonly #context: DenoUdpContext;
  readonly #handler: HostUdpHandler;
  readonly #socket: Socket;
  readonly #takesBoth: boolean;
  #queue: Datagram[] = [];
  #queuedBytes = 0;
  #sending = false;
  #closed = false;
  #bound = false;
  #broken = false;
  #socketClosed = false;
  #lastFrom: HostEndpoint = { address: IpAddress.fromIpv4(0), port: 0 };
  #lastFromText = "";

  /**
   * Makes a socket of one family, nothing is bound yet; or one for `bind`, which in the case of IPv6 takes both
   * families.
   */
  constructor(
    context: DenoUdpContext,
    { family, toBind = false }: { family: 4 | 6; toBind?: boolean },
    handler: HostUdpHandler,
  ) {
    this.#handler = handler;
    this.#context = context;
    this.#takesBoth = family === 6 && toBind;
    const lookup: Lookup = (hostname, _family, callback) => callback(null, hostname, family);
    const options = family === 4
      ? { type: "udp4" as const, lookup }
      : { type: "udp6" as const, lookup, ipv6Only: !toBind };
    this.#socket = createSocket(options);
    this.#socket.on("message", this.#onMessage);
    this.#socket.on("error", this.#onError);
    this.#socket.on("listening", () => this.#bound = true);
    this.#socket.on("close", () => this.#context.gone(this));
  }

  /** What waits to be sent, in bytes, each datagram with its cost. */
  get unwritten(): number {
    return this.#queuedBytes;
  }

  send(bytes: Uint8Array, start: number, end: number, to: HostEndpoint): boolean {
    const cost = end - start + DATAGRAM_COST_BYTES;
    if (this.#closed || this.#broken || to.port === 0 || this.#queuedBytes + cost > SEND_QUEUE_BYTES) return false;
    this.#queue.push({ bytes: bytes.slice(start, end), to });
    this.#queuedBytes += cost;
    this.#sendNext();
    return true;
  }

  /** Binds it and answers where. Throws what the system says. */
  bind({ address, port }: HostEndpoint): HostEndpoint {
    let failure: unknown;
    const note = (error: unknown) => void (failure = error);
    this.#socket.once("error", note);
    // Nothing is looked up, so this is done, or has failed, when it returns.
    this.#socket.bind({ address: address.toString(), port, exclusive: true });
    this.#socket.off("error", note);
    if (failure !== undefined) throw failure;
    this.#bound = true;
    return { address, port: this.#socket.address().port };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#sending) this.#closeSocket();
  }

  /** Closes without sending what waits. */
  cut(): void {
    this.#queue.length = 0;
    this.close();
  }

  #sendNext(): void {
    const next = this.#queue[0];
    if (this.#sending || next === undefined) return;
    this.#sending = true;
    try {
      const { address, port, zone } = next.to;
      // A socket of both families names a peer of IPv4 in its mapped form (RFC 4291 section 2.5.5.2).
      const to = this.#takesBoth && address.isIpv4 ? `::ffff:${address}` : hostnameOf(address, zone);
      this.#socket.send(next.bytes, 0, next.bytes.length, port, to, this.#onSent);
    } catch (error) {
      queueMicrotask(() => this.#onSent(error));
    }
  }

  readonly #onSent = (error: unknown): void => {
    this.#sending = false;
    const sent = this.#queue.shift();
    if (sent !== undefined) this.#queuedBytes -= sent.bytes.length + DATAGRAM_COST_BYTES;
    if (this.#broken) this.#queue.length = 0;
    if (this.#closed && this.#queue.length === 0) return this.#closeSocket();
    this.#sendNext();
    if (error instanceof Error && sent !== undefined && !this.#closed) this.#tellFailure(hostErrorOf(error), sent.to);
  };

  readonly #onMessage = (message: Buffer, from: RemoteInfo): void => {
    if (this.#closed) return;
    if (from.address !== this.#lastFromText || from.port !== this.#lastFrom.port) {
      // A link-local source carries its interface behind a percent sign.
      this.#lastFrom = { address: IpAddress.parse(from.address.replace(/%.*$/, "")), port: from.port };
      this.#lastFromText = from.address;
    }
    // Not the Buffer itself: its `slice` is a view, which whoever copies by `slice` would not expect.
    const bytes = new Uint8Array(message.buffer, message.byteOffset, message.length);
    this.#handler.hostDatagram(bytes, 0, bytes.length, this.#lastFrom);
    this.#context.wake();
  };

  readonly #onError = (error: Error): void => {
    // On some systems an ICMP error about one peer shows up here; the socket still serves the others.
    if (this.#bound) return;
    this.#broken = true;
    const waiting = this.#queue[0];
    if (!this.#closed && waiting !== undefined) this.#tellFailure(hostErrorOf(error), waiting.to);
    if (this.#sending) this.#onSent(undefined);
  };

  #closeSocket(): void {
    if (this.#socketClosed) return;
    this.#socketClosed = true;
    // A socket that could not be bound has no descriptor, and never says that it is closed.
    if (this.#broken) this.#context.gone(this);
    else this.#socket.close();
  }

  #tellFailure(error: HostError, to: HostEndpoint): void {
    this.#handler.hostDatagramFailed(error, to, 0);
    this.#context.wake();
  }
}

/** Opens a UDP socket on `local`, or answers why that cannot be. `gone` resolves when its descriptor is closed. */
export function bindDenoUdp(
  context: DenoUdpContext,
  local: HostEndpoint,
  handler: HostUdpHandler,
): (DenoUdpSocket & HostBoundUdpSocket) | HostListenError {
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  const whenGone: DenoUdpContext = {
    wake: context.wake,
    gone: (socket) => {
      context.gone(socket);
      resolve();
    },
  };
  const socket = new DenoUdpSocket(whenGone, { family: local.address.isIpv4 ? 4 : 6, toBind: true }, handler);
  try {
    const bound = socket.bind(local);
    return Object.assign(socket, {
      local: bound,
      [Symbol.asyncDispose]: async () => {
        socket.close();
        await gone;
      },
    });
  } catch (error) {
    socket.close();
    return listenErrorOf(error);
  }
}
