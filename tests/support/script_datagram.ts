/**
 * Sockets of the scripted host for datagrams: UDP, and ICMP echo. The test plays whoever is asked.
 *
 * @module
 */
import type { HostError, HostPingHandler, HostPingSocket, HostUdpHandler, HostUdpSocket } from "../../nat/host.ts";
import type { IpAddress } from "../../net/wire/address.ts";
import {
  encodeIcmpv4Echo,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMPV4_HEADER_LENGTH,
  icmpv4Sequence,
  icmpv4SetEcho,
} from "../../net/wire/icmpv4.ts";
import { ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST } from "../../net/wire/icmpv6.ts";
import type { ScriptEndpoint } from "./script_host.ts";

/** A datagram that the owner sent. */
export interface ScriptDatagram {
  bytes: Uint8Array;
  to: ScriptEndpoint;
}

/** What happens to a socket for datagrams, in order, when the host runs. */
class ScriptEvents {
  readonly #events: (() => void)[] = [];

  /** It happens next. */
  add(event: () => void): void {
    this.#events.push(event);
  }

  /** A handler is given a copy of `bytes` that lies `front` bytes into its array and is overwritten when it returns. */
  addBytes(bytes: Uint8Array, front: number, event: (framed: Uint8Array, start: number, end: number) => void): void {
    // Not at the front of its buffer, and of no use after the call: an owner that keeps it is found out.
    const framed = new Uint8Array(front + bytes.length + 2).fill(0xa5);
    framed.set(bytes, front);
    this.add(() => {
      event(framed, front, front + bytes.length);
      framed.fill(0xa5);
    });
  }

  /** Lets it happen while the socket is open; returns whether anything was to. */
  dispatch(socket: { closed: boolean }): boolean {
    const events = this.#events.splice(0);
    for (const event of events) if (!socket.closed) event();
    return events.length > 0;
  }
}

/** A UDP socket and, in `hostSends` and `hostRefuses`, its peers. */
export class ScriptUdpSocket implements HostUdpSocket {
  /** 4 or 6. */
  readonly family: 4 | 6;
  /** What the owner sent and the socket took. */
  readonly sent: ScriptDatagram[] = [];
  /** Whether `send` takes datagrams. */
  takes = true;
  /** Bytes in front of a received datagram in its array. */
  front = 7;
  /** Whether the owner closed it. */
  closed = false;
  readonly #handler: HostUdpHandler;
  /** Where it is bound, if that was asked for. */
  readonly local: ScriptEndpoint | undefined;
  readonly #events = new ScriptEvents();

  constructor(family: 4 | 6, handler: HostUdpHandler, local?: ScriptEndpoint) {
    this.family = family;
    this.#handler = handler;
    this.local = local;
  }

  send(bytes: Uint8Array, start: number, end: number, to: ScriptEndpoint): boolean {
    if (this.closed) throw new Error("Cannot send a datagram: the socket is closed");
    // One that is bound to :: serves both families.
    const servesBoth = this.local?.address.toString() === "::";
    if ((this.family === 4) !== to.address.isIpv4 && !servesBoth) {
      throw new TypeError(`Cannot send a datagram to ${to.address}: the socket is of family ${this.family}`);
    }
    if (this.takes) this.sent.push({ bytes: bytes.slice(start, end), to });
    return this.takes;
  }

  close(): void {
    if (this.closed) throw new Error("Cannot close the UDP socket: it was closed before");
    this.closed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  /** A peer sends a datagram; the bytes given to the handler are overwritten when it returns. */
  hostSends(bytes: Uint8Array | string, from: ScriptEndpoint): void {
    const copy = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    this.#events.addBytes(
      copy,
      this.front,
      (framed, start, end) => this.#handler.hostDatagram(framed, start, end, from),
    );
  }

  /** A datagram to `to` comes back as an ICMP error. */
  hostRefuses(to: ScriptEndpoint, error: HostError = "refused", mtu = 0): void {
    this.#events.add(() => this.#handler.hostDatagramFailed(error, to, mtu));
  }

  /** For the host: calls the handler for what happened; returns whether anything did. */
  dispatch(): boolean {
    return this.#events.dispatch(this);
  }
}

/** An echo request that the owner sent, with the host's identifier. */
export interface ScriptEcho {
  bytes: Uint8Array;
  to: IpAddress;
}

/** A ping socket and, in the methods whose names begin with `host`, who is asked. */
export class ScriptPingSocket implements HostPingSocket {
  /** 4 or 6. */
  readonly family: 4 | 6;
  /** The host's identifier. */
  readonly identifier: number;
  /** What the owner sent and the socket took. */
  readonly sent: ScriptEcho[] = [];
  /** Whether `send` takes requests. */
  takes = true;
  /** Bytes in front of a reply in its array. */
  front = 7;
  /** Whether the owner closed it. */
  closed = false;
  readonly #handler: HostPingHandler;
  readonly #events = new ScriptEvents();

  constructor(family: 4 | 6, handler: HostPingHandler, identifier: number) {
    this.family = family;
    this.#handler = handler;
    this.identifier = identifier;
  }

  send(bytes: Uint8Array, start: number, end: number, to: IpAddress): boolean {
    if (this.closed) throw new Error("Cannot send an echo request: the socket is closed");
    if ((this.family === 4) !== to.isIpv4) {
      throw new TypeError(`Cannot send an echo request to ${to}: the socket is of family ${this.family}`);
    }
    if (!this.takes) return false;
    icmpv4SetEcho(bytes, start, end, this.family === 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST, this.identifier);
    this.sent.push({ bytes: bytes.slice(start, end), to });
    return true;
  }

  close(): void {
    if (this.closed) throw new Error("Cannot close the ping socket: it was closed before");
    this.closed = true;
  }

  /** Whoever was asked by `request` replies, or `from` does in its stead. */
  hostReplies(request: ScriptEcho, from: IpAddress = request.to): void {
    const reply = new Uint8Array(request.bytes.length), sequence = icmpv4Sequence(request.bytes, 0);
    const payload = request.bytes.subarray(ICMPV4_HEADER_LENGTH);
    encodeIcmpv4Echo(reply, 0, { type: ICMP_ECHO_REPLY, identifier: this.identifier, sequence, payload });
    if (this.family === 6) reply[0] = ICMPV6_ECHO_REPLY;
    // Checksum and identifier are of no meaning to the owner.
    reply.fill(0xee, 2, 6);
    this.#events.addBytes(
      reply,
      this.front,
      (framed, start, end) => this.#handler.hostEchoReply(framed, start, end, from),
    );
  }

  /** A request comes back as an ICMP error. */
  hostFails(request: ScriptEcho, error: HostError, mtu = 0): void {
    const details = { mtu, sequence: icmpv4Sequence(request.bytes, 0) };
    this.#events.add(() => this.#handler.hostEchoFailed(error, request.to, details));
  }

  /** For the host: calls the handler for what happened; returns whether anything did. */
  dispatch(): boolean {
    return this.#events.dispatch(this);
  }
}
