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
import { formatEndpoint, IpAddress } from "../net/wire/address.ts";
import { SEGMENT_HEADROOM } from "../net/wire/frame.ts";
import type { Packet } from "../nat/ip/packet.ts";
import type { DatagramFailure, StationFamily } from "./family.ts";
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
  readonly send: (bytes: Uint8Array, address: IpAddress, port: number) => void;
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
   * Sends `bytes` to a port of an IP address, and answers how many they are. That says nothing of whether they arrive.
   * Rejects with a `RangeError` where they are more than the link carries, with `NetworkUnreachable` where the guest
   * has no address of that family, with a `TypeError` for a name, with `BadResource` once the socket is closed.
   */
  // deno-lint-ignore require-await
  async send(bytes: Uint8Array, to: { hostname: string; port: number }): Promise<number> {
    if (this.#closed !== null) throw this.#closed;
    this.#parts.send(bytes, IpAddress.parse(to.hostname), checkPort(to.port, 1));
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
      send: (bytes, address, to) => this.#send(bytes, address, { to, from: taken }),
      over: () => void this.#sockets.delete(taken),
    });
    this.#sockets.set(taken, socket);
    return socket;
  }

  /** Takes the datagram in `packet`. */
  receive(packet: Packet, family: StationFamily): void {
    const { bytes, payload, end, key } = packet, socket = this.#sockets.get(key.remotePort);
    if (socket === undefined) return family.refuse(packet);
    const from = { transport: "udp", hostname: `${key.guestAddress}`, port: key.guestPort } as const;
    socket.deliver([bytes.slice(payload, end), from]);
  }

  /** A datagram did not arrive: its socket is told. */
  failed(failure: DatagramFailure): void {
    this.#sockets.get(failure.fromPort)?.deliver(errorOf(failure));
  }

  /** Ends every socket. */
  fail(error: Error): void {
    for (const socket of [...this.#sockets.values()]) socket.fail(error);
  }

  #send(bytes: Uint8Array, address: IpAddress, ports: { to: number; from: number }): void {
    const family = this.#station.familyFor(address), { sender, maxDatagram } = family;
    if (bytes.length > maxDatagram) {
      const { name } = sender.out.link;
      throw new RangeError(`Cannot send a datagram of ${bytes.length} bytes: link ${name} carries ${maxDatagram}`);
    }
    const { scratch, act } = this.#parts, start = SEGMENT_HEADROOM;
    scratch.set(bytes, start);
    sender.udp(scratch, start, start + bytes.length, ports.from, ports.to, family.to(address));
    act();
  }
}

function errorOf({ to, toPort, reason, code }: DatagramFailure): Error {
  const where = formatEndpoint(to, toPort);
  if (reason === "refused") return new Deno.errors.ConnectionRefused(`Datagram to ${where} was refused`);
  if (reason === "prohibited") return new Deno.errors.PermissionDenied(`Datagram to ${where} is prohibited`);
  return new Deno.errors.NetworkUnreachable(`Datagram to ${where} did not arrive: ICMP unreachable, code ${code}`);
}
