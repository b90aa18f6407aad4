/**
 * What the NAT asks of a host: sockets by readiness, a clock, and to be turned.
 *
 * Everything here is synchronous and nothing ever waits. A socket is readable or writable, its handler is called when
 * it is and there is interest, and `read` and `write` answer at once with what could be done. So one loop over
 * `epoll_wait` is a host, an adapter over promises is one, and a script in a test is one.
 *
 * **Turns.** The gateway works in turns: some events (frames, ready sockets), then one call of the `Turn` that was
 * given to `start`. The turn fires due timers, sends the acknowledgements that the events made due, and answers with
 * the time at which it wants to be called again even if nothing happens.
 *
 * **Failing.** A TCP connection breaks in both directions at once. Its owner learns of that once: from the `read` or
 * `write` that answers `FAILED` or, if it has no interest that would show it, from `hostFailed`. From then on:
 *
 * - `write` answers `FAILED`, and what earlier calls took may be lost.
 * - `read` gives what the peer sent before, however much that is, and then `FAILED`; never 0, even behind the peer's
 *   FIN.
 * - No handler needs to be called any more, so the owner reads by itself, as it has room, until `FAILED`. Only a `read`
 *   that answers `WOULD_BLOCK`, as that of a host may which reads ahead, promises a `hostReadable`, while there is
 *   interest.
 *
 * **Closing.** `close` is orderly whatever the peer has said: the peer gets everything that was written, then FIN.
 * Bytes that have come and were not read are discarded first, because a kernel that drops them says so by a reset,
 * which makes the peer lose what it was sent. Bytes that come later are refused with a reset, as those for a program
 * that has ended are.
 *
 * @module
 */
import type { FlowEnding } from "./flow/endings.ts";
import type { IpAddress } from "../net/wire/address.ts";

/** `read`/`write`: nothing now; the handler will be called. */
export const WOULD_BLOCK: number = -1;
/**
 * `read`/`write`: the connection is broken; `error` of the socket says why. No handler is called for it; see "Failing".
 */
export const FAILED: number = -2;

/** Interest in reading. */
export const READ = 1;
/** Interest in writing. */
export const WRITE = 2;

/** Why a host operation failed, in the classes that a guest can be told apart (RFC 1122 section 3.2.2.1). */
export type HostError =
  | "refused"
  | "reset"
  | "networkUnreachable"
  | "hostUnreachable"
  | "prohibited"
  | "timedOut"
  /** Larger than what the path carries whole (RFC 1191). */
  | "tooLarge"
  /** It ran out of hops (ICMP time exceeded). */
  | "expired"
  /** Out of descriptors, ports or memory. */
  | "exhausted"
  | "other";

/** Why a host cannot listen on a port, in the classes that a user can do something about. */
export type HostListenError =
  | "addressInUse"
  /** A port that ordinary users may not listen on. */
  | "privileged"
  /** There is no interface of that name, or this program cannot listen by one alone. */
  | "deviceNotAvailable"
  /** No interface has the address. */
  | "addressNotAvailable"
  /** This program has not been granted the address. */
  | "notPermitted"
  /** Out of descriptors, ports or memory. */
  | "exhausted"
  | "other";

/** An address and a port of the host, or of a peer of it. */
export interface HostEndpoint {
  /** The address. */
  readonly address: IpAddress;
  /** The port. */
  readonly port: number;
  /** Of a link-local address of IPv6: the interface through which it is reached, by name or number. */
  readonly zone?: string;
}

/** Where a program listens. */
export interface HostListenPlace extends HostEndpoint {
  /** The interface by which clients come; any unless given. */
  readonly device?: string;
}

/** The host's own addresses, as they are at any time. */
export interface HostAddresses {
  /** A number that is another one after the addresses have changed. */
  version(): number;
  /** Whether `address` is the host's own, loopback included. */
  has(address: IpAddress): boolean;
}

/** Whether the host has a default route for IPv6, as it is at any time. */
export interface Ipv6Routes {
  /** Whether it has one now. */
  has(): boolean;
  /** Has `listener` called when that has changed, never from within this call. Returns what ends that. */
  changed(listener: () => void): () => void;
}

/** Routes that stay as they are. */
export function fixedIpv6Routes(has: boolean): Ipv6Routes {
  return { has: () => has, changed: () => () => {} };
}

/** Who owns a socket of the host. */
export interface HostSocketOwner {
  /** Whose time the socket's work takes (`FrameSink.payer`), for a host that shares its time among guests. */
  readonly payer?: object | undefined;
}

/**
 * What an open TCP socket tells its owner. None is called after `close` or `reset`, and none from within a call of the
 * owner.
 */
export interface HostTcpHandler extends HostSocketOwner {
  /** There are bytes, EOF or an error to `read`, and interest in `READ`. Called once a turn while that holds. */
  hostReadable(): void;
  /** `write` will take bytes or fail, and there is interest in `WRITE`. Called once a turn while that holds. */
  hostWritable(): void;
  /**
   * The connection broke while there was no interest that would have shown it; see "Failing". The owner still closes
   * the socket.
   */
  hostFailed(error: HostError): void;
}

/** The same for a socket that connects first. */
export interface HostConnectHandler extends HostTcpHandler {
  /** The connect succeeded; called once, before any other. */
  hostConnected(): void;
  /** The connect failed. The socket is closed already. */
  hostConnectFailed(error: HostError): void;
}

/** A TCP connection of the host. */
export interface HostTcpSocket {
  /** Why the last `read` or `write` answered `FAILED`. */
  readonly error: HostError;
  /** How the flow ends if not the host but what stands before it has broken the connection, and why is known. */
  readonly endsAs?: FlowEnding | undefined;
  /** Says what the handler wants to be called for: `READ | WRITE`, either, or 0 (the initial state). */
  setInterest(interest: number): void;
  /** Reads into `bytes[start, end)`: the count, 0 at EOF, `WOULD_BLOCK` or `FAILED`. */
  read(bytes: Uint8Array, start: number, end: number): number;
  /** Writes from `bytes[start, end)`: how many bytes were taken (at least 1), `WOULD_BLOCK` or `FAILED`. */
  write(bytes: Uint8Array, start: number, end: number): number;
  /** Sends FIN after what was written; reading goes on. Called at most once. */
  closeWrite(): void;
  /** Closes the socket in an orderly way, after what was written; see "Closing". */
  close(): void;
  /** Closes the socket so that the peer sees a reset, where the host can do that. */
  reset(): void;
  /**
   * Bytes that were taken and wait before the host, which is lost if the socket is closed meanwhile. When the host has
   * them all `hostWritable` is called, whatever the interest. Absent from a socket of the host itself.
   */
  readonly unwritten?: number;
}

/** What a listener tells its owner; nothing after `close`, and nothing from within a call of the owner. */
export interface HostListenHandler {
  /**
   * A client has connected. Nothing of it is read before it is asked for. Returns who is told of the rest, or null
   * where the socket was closed or reset within this call.
   */
  hostAccepted(socket: HostTcpSocket, client: HostEndpoint): HostTcpHandler | null;
  /** A client could not be accepted and was turned away. */
  hostAcceptFailed(error: HostError): void;
}

/** A TCP port of the host that is listened on. */
export interface HostListener extends AsyncDisposable {
  /** Where it listens, with the port that was found where a free one was asked for. */
  readonly local: HostEndpoint;
  /**
   * Takes no more clients; those that wait are turned away. `asyncDispose` does the same and tells when the port is
   * free.
   */
  close(): void;
}

/** What a UDP socket tells its owner. */
export interface HostUdpHandler extends HostSocketOwner {
  /** A datagram came. The bytes are valid until this returns, and they and all in front of them may be overwritten. */
  hostDatagram(bytes: Uint8Array, start: number, end: number, from: HostEndpoint): void;
  /**
   * A datagram sent to `to` did not arrive, where the host can tell. `mtu` is what the path carries with `tooLarge`,
   * where that is known, in bytes of a packet of the family of `to`; else 0.
   */
  hostDatagramFailed(error: HostError, to: HostEndpoint, mtu: number): void;
}

/** A UDP socket of the host: one local port, any number of peers. */
export interface HostUdpSocket {
  /** Sends `bytes[start, end)`; returns whether the host took it, or will tell that it did not. */
  send(bytes: Uint8Array, start: number, end: number, to: HostEndpoint): boolean;
  /** Closes the socket. */
  close(): void;
}

/** A UDP socket on a port that was asked for. */
export interface HostBoundUdpSocket extends HostUdpSocket, AsyncDisposable {
  /** Where it is bound, with the port that was found where a free one was asked for. */
  readonly local: HostEndpoint;
}

/** What a ping socket tells its owner. */
export interface HostPingHandler extends HostSocketOwner {
  /**
   * An ICMP echo reply came, whose message is `bytes[start, end)`: sequence number and data are the peer's, identifier
   * and checksum mean nothing, and the type is that of the socket's family. The bytes are valid until this returns, and
   * they and all in front of them may be overwritten.
   */
  hostEchoReply(bytes: Uint8Array, start: number, end: number, from: IpAddress): void;
  /** A request to `to` with this sequence number did not arrive. `mtu` is as in `HostUdpHandler`. */
  hostEchoFailed(error: HostError, to: IpAddress, details: { mtu: number; sequence: number }): void;
}

/** A socket for ICMP echo over IPv4 or IPv6, with an identifier of its own. */
export interface HostPingSocket {
  /**
   * Sends the echo message `bytes[start, end)` as a request of the socket's family, with the host's identifier in the
   * place of its own; returns whether the host took it. The bytes may be overwritten.
   */
  send(bytes: Uint8Array, start: number, end: number, to: IpAddress): boolean;
  /** Closes the socket. */
  close(): void;
}

/**
 * The end of a turn: fires due timers, sends what is due, returns when to be called again (`now()` time; `Infinity`:
 * never).
 */
export type Turn = () => number;

/** A host: a clock, sockets, and the one who calls the turn. */
export interface HostNetwork extends AsyncDisposable {
  /** What kind of host this is, for messages: `ffi`, `deno`, `script`. */
  readonly name: string;
  /**
   * Bytes that sockets were given, closed ones too, and the system has not taken. Absent from a host whose system takes
   * them at once.
   */
  readonly unwritten?: number;
  /** Monotonic milliseconds with a fraction; read once a turn where that is possible. */
  now(): number;
  /** Begins to call `turn` after each batch of events of its own and at the time it asked for. */
  start(turn: Turn): void;
  /** Tells that events came from outside the host (a link): the turn is called soon, once for many tellings. */
  wake(): void;
  /** Connects to `address`; the answer comes to the handler, never before this returns. Throws nothing. */
  connectTcp(target: HostEndpoint, handler: HostConnectHandler): HostTcpSocket;
  /** Listens on `local`, port 0 for a free one, or answers why it cannot. `::` takes clients of both families. */
  listenTcp(local: HostListenPlace, handler: HostListenHandler): HostListener | HostListenError;
  /** Opens a UDP socket of the family of `address`. Returns the error where the host has no more. */
  openUdp(family: 4 | 6, handler: HostUdpHandler): HostUdpSocket | HostError;
  /**
   * Opens a UDP socket on `local`, port 0 for a free one, or answers why it cannot. `::` takes datagrams of both
   * families.
   */
  bindUdp(local: HostListenPlace, handler: HostUdpHandler): HostBoundUdpSocket | HostListenError;
  /**
   * Opens a ping socket of this family. Returns the error where the host has none: `exhausted` for now, another one for
   * good. Absent from a host that never has.
   */
  openPing?(family: 4 | 6, handler: HostPingHandler): HostPingSocket | HostError;
  /** Its routes. Absent from a host that cannot read them. */
  readonly ipv6Routes?: Ipv6Routes;
}
