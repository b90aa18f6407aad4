/**
 * UDP of an in-process guest: sockets with the methods of `Deno.DatagramConn`, and what comes for them.
 *
 * A datagram waits in its socket's queue until `receive` takes it; the queue is bounded, and what comes beyond is
 * dropped and counted, as in a kernel. An ICMP error about a datagram that was sent (RFC 1122 section 4.1.3.3) takes
 * its place in that queue, and `receive` rejects with it. A datagram to a port that is not open is answered with port
 * unreachable (section 4.1.3.1). Nothing is cut up: a datagram is as large as the link's MTU lets it be.
 *
 * @module
 */
import { formatEndpoint, formatIpv4, IpAddress, parseIpv4 } from "../net/wire/address.ts";
import { ipv4AddressSum } from "../net/wire/checksum.ts";
import { SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import {
  checkIcmpv4,
  encodeIcmpv4Error,
  ICMP_ADMIN_PROHIBITED,
  ICMP_PORT_UNREACHABLE,
  ICMP_UNREACHABLE,
  icmpv4ChecksumValid,
  icmpv4Code,
  icmpv4Quoted,
  icmpv4Type,
} from "../net/wire/icmpv4.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4Source,
  PROTOCOL_ICMP,
  PROTOCOL_UDP,
} from "../net/wire/ipv4.ts";
import {
  checkUdp,
  UDP_HEADER_LENGTH,
  udpChecksum,
  udpChecksumValid,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from "../net/wire/udp.ts";
import { checkPort, type DynamicPorts } from "./ports.ts";
import type { Station } from "./station.ts";

/** Bytes of payload that wait in a socket. */
const QUEUE_BYTES = 1 << 20;
/** Datagrams and errors that wait in a socket. */
const QUEUE_LENGTH = 1024;

/** A datagram and who sent it. */
export type GuestDatagram = [bytes: Uint8Array, from: Deno.NetAddr];

/** What a socket needs of its guest. */
export interface GuestUdpParts {
  /** Sends `bytes` to `port` of an address. Throws a `RangeError` where the link cannot carry it. */
  readonly send: (bytes: Uint8Array, address: number, port: number) => void;
  /** The socket's port is free. */
  readonly over: () => void;
}

/** A UDP port of an in-process guest. */
export class GuestUdpSocket implements AsyncIterable<GuestDatagram>, Disposable {
  /** The port. */
  readonly port: number;
  /** Datagrams and errors that were not kept because too much waits for `receive`. */
  dropped = 0;

  #parts: GuestUdpParts;
  #queue: (GuestDatagram | Error)[] = [];
  #queueBytes = 0;
  #receives: PromiseWithResolvers<GuestDatagram>[] = [];
  #closed: Error | null = null;

  /** Made by `GuestStack.openUdp`. */
  constructor(port: number, parts: GuestUdpParts) {
    this.port = port;
    this.#parts = parts;
  }

  /**
   * Sends `bytes` to a port of an IPv4 address, and answers how many they are. That says nothing of whether they
   * arrive. Rejects with a `RangeError` where they are more than the link carries, with a `TypeError` for a name, with
   * `BadResource` once the socket is closed.
   */
  // deno-lint-ignore require-await
  async send(bytes: Uint8Array, to: { hostname: string; port: number }): Promise<number> {
    if (this.#closed !== null) throw this.#closed;
    this.#parts.send(bytes, parseIpv4(to.hostname), checkPort(to.port, 1));
    return bytes.length;
  }

  /**
   * The next datagram and its sender. Rejects with `ConnectionRefused` where one that was sent came to a port that
   * nobody listens on and the gateway says so, with `PermissionDenied` where a rule forbids its destination, with
   * `NetworkUnreachable` for other such errors; with the signal's reason; with `BadResource` once the socket is closed.
   */
  receive(options: { signal?: AbortSignal } = {}): Promise<GuestDatagram> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const first = this.#queue.shift();
    if (first instanceof Error) return Promise.reject(first);
    if (first !== undefined) {
      this.#queueBytes -= first[0].length;
      return Promise.resolve(first);
    }
    if (this.#closed !== null) return Promise.reject(this.#closed);
    const receive = Promise.withResolvers<GuestDatagram>();
    this.#receives.push(receive);
    if (signal === undefined) return receive.promise;
    const stop = () => {
      this.#receives = this.#receives.filter((each) => each !== receive);
      receive.reject(signal.reason);
    };
    signal.addEventListener("abort", stop, { once: true });
    return receive.promise.finally(() => signal.removeEventListener("abort", stop));
  }

  /** For the stack: something has come for this socket. */
  deliver(item: GuestDatagram | Error): void {
    const receive = this.#receives.shift();
    if (receive !== undefined) {
      if (item instanceof Error) receive.reject(item);
      else receive.resolve(item);
      return;
    }
    const bytes = item instanceof Error ? 0 : item[0].length;
    if (this.#queue.length >= QUEUE_LENGTH || this.#queueBytes + bytes > QUEUE_BYTES) return void this.dropped++;
    this.#queueBytes += bytes;
    this.#queue.push(item);
  }

  /** Frees the port. What has come and was not received is lost. */
  close(): void {
    this.fail(new Deno.errors.BadResource("UDP socket is closed"));
  }

  /** For the stack: `close()`, with the error that ended the link. */
  fail(error: Error): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    this.#queue = [];
    this.#queueBytes = 0;
    this.#parts.over();
    for (const receive of this.#receives.splice(0)) receive.reject(error);
  }

  /** `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Each datagram until the socket is closed. Errors about datagrams that were sent are passed over: a server has many
   * peers.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<GuestDatagram, void, void> {
    while (this.#closed === null) {
      let datagram: GuestDatagram;
      try {
        datagram = await this.receive();
      } catch {
        continue;
      }
      yield datagram;
    }
  }
}

/** The UDP sockets of a guest. */
export class GuestUdp {
  #station: Station;
  #parts: { ports: DynamicPorts; scratch: Uint8Array; act: () => void };
  #sockets = new Map<number, GuestUdpSocket>();

  /** `scratch` is used within one call; `act` runs a turn after the user has acted. */
  constructor(station: Station, parts: { ports: DynamicPorts; scratch: Uint8Array; act: () => void }) {
    this.#station = station;
    this.#parts = parts;
  }

  /** Opens a socket on `port`, 0 for a free one. Throws `AddrInUse`, or `AddrNotAvailable` where no port is free. */
  open(port: number): GuestUdpSocket {
    checkPort(port, 0);
    if (this.#sockets.has(port)) throw new Deno.errors.AddrInUse(`Cannot open UDP port ${port}: it is in use`);
    const taken = port === 0 ? this.#parts.ports.take((each) => this.#sockets.has(each)) : port;
    const socket = new GuestUdpSocket(taken, {
      send: (bytes, address, to) => this.#send(bytes, { address, port: to, from: taken }),
      over: () => void this.#sockets.delete(taken),
    });
    this.#sockets.set(taken, socket);
    return socket;
  }

  /** Takes the datagram in the packet `bytes[ip, end)`. */
  receive(bytes: Uint8Array, ip: number, end: number, vouched: boolean): void {
    const udp = ip + ipv4HeaderLength(bytes, ip), source = ipv4Source(bytes, ip);
    if (!checkUdp(bytes, udp, end)) return;
    const unchecked = vouched || udpChecksum(bytes, udp) === 0;
    if (!unchecked && !udpChecksumValid(bytes, udp, ipv4AddressSum(source, this.#station.address))) return;
    const socket = this.#sockets.get(udpDestinationPort(bytes, udp));
    if (socket === undefined) return this.#sendUnreachable(bytes, ip, end);
    const payload = bytes.slice(udp + UDP_HEADER_LENGTH, udp + udpLength(bytes, udp));
    socket.deliver([payload, { transport: "udp", hostname: formatIpv4(source), port: udpSourcePort(bytes, udp) }]);
  }

  /** Takes the ICMP message in the packet `bytes[ip, end)`: an error about a datagram of ours is its socket's. */
  receiveIcmp(bytes: Uint8Array, ip: number, end: number): void {
    const icmp = ip + ipv4HeaderLength(bytes, ip);
    if (!checkIcmpv4(bytes, icmp, end) || !icmpv4ChecksumValid(bytes, icmp, end)) return;
    const quote = icmpv4Quoted(bytes, icmp, end);
    if (icmpv4Type(bytes, icmp) !== ICMP_UNREACHABLE || quote < 0) return;
    if (ipv4Source(bytes, quote) !== this.#station.address || ipv4Protocol(bytes, quote) !== PROTOCOL_UDP) return;
    const udp = quote + ipv4HeaderLength(bytes, quote);
    const to = formatEndpoint(IpAddress.fromIpv4(ipv4Destination(bytes, quote)), udpDestinationPort(bytes, udp));
    this.#sockets.get(udpSourcePort(bytes, udp))?.deliver(errorOf(icmpv4Code(bytes, icmp), to));
  }

  /** Ends every socket. */
  fail(error: Error): void {
    for (const socket of [...this.#sockets.values()]) socket.fail(error);
  }

  #send(bytes: Uint8Array, way: { address: number; port: number; from: number }): void {
    const { link } = this.#station.out, most = link.mtu - IPV4_HEADER_LENGTH - UDP_HEADER_LENGTH;
    if (bytes.length > most) {
      throw new RangeError(`Cannot send a datagram of ${bytes.length} bytes: link ${link.name} carries ${most}`);
    }
    const { scratch, act } = this.#parts, end = SEGMENT_HEADROOM + bytes.length, ends = this.#station.to(way.address);
    scratch.set(bytes, SEGMENT_HEADROOM);
    this.#station.ipv4.udp(scratch, SEGMENT_HEADROOM, end, way.from, way.port, ends);
    act();
  }

  #sendUnreachable(bytes: Uint8Array, ip: number, end: number): void {
    const into = this.#parts.scratch, at = SEGMENT_HEADROOM;
    const error = { type: ICMP_UNREACHABLE, code: ICMP_PORT_UNREACHABLE };
    const length = encodeIcmpv4Error(into, at, error, { bytes, start: ip, end });
    this.#station.ipv4.packet(into, at, at + length, PROTOCOL_ICMP, this.#station.to(ipv4Source(bytes, ip)));
  }
}

function errorOf(code: number, to: string): Error {
  if (code === ICMP_PORT_UNREACHABLE) return new Deno.errors.ConnectionRefused(`Datagram to ${to} was refused`);
  if (code === ICMP_ADMIN_PROHIBITED) return new Deno.errors.PermissionDenied(`Datagram to ${to} is prohibited`);
  return new Deno.errors.NetworkUnreachable(`Datagram to ${to} did not arrive: ICMP unreachable, code ${code}`);
}
